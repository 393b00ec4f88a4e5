//! What happens, a line each, with the name of its stream before it: progress where there is no terminal, and what
//! scrolls by above the live view.
//!
//! ```text
//! web   ▸ $ serve --port 8080 · deploy.ms:12
//! web   │ listening on 8080
//! web   ! no certificate, plain HTTP
//! cache ◆ waits at barrier loaded for web and db
//! web   ✗ $ serve --port 8080 failed: exit status 3 · deploy.ms:12
//! cache ✗ barrier loaded broken: web failed at deploy.ms:12
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::lines::Lines;
use super::names::Names;
use super::wait::{Wait, doing};
use super::watch::{Watch, excused};
use super::{Style, Unshown, paint, words};
use crate::diagnostic::{Sources, visible};
use crate::event::{Cause, Channel, Event, Exit, Fault, Leak, Outcome, Reason, Record, Urgency};
use crate::plan::{BarrierId, Plan, StepId, StepKind};
use crate::scenario::{Id as _, StreamId};
use crate::syntax::Value;

/// What takes longer than this is worth a line of its own.
const LONG: Duration = Duration::from_secs(1);
/// Of larger meetings those who are missing are counted, not named.
const NAMED: usize = 16;

/// What stands between a stream's name and the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Stdout,
    Stderr,
    Begins,
    Meets,
    Well,
    Wrong,
}

/// The fold. Output leaves in whole lines; a line that a step has begun is kept until it ends it, 8 KiB at most.
#[derive(Debug)]
pub struct Plain {
    names: Names,
    style: Style,
    watch: Watch,
    lines: Lines,
    width: usize,
    /// What stands before stdout and stderr of each stream that has printed something.
    prefixes: Vec<Option<Box<[Vec<u8>; 2]>>>,
}

impl Plain {
    /// Before the first record.
    pub fn new(plan: Arc<Plan>, sources: Arc<Sources>, style: Style) -> Self {
        let watch = Watch::new(&plan);
        let prefixes = vec![None; plan.streams.len()];
        let names = Names { plan, sources };
        Self { width: names.width(), watch, lines: Lines::default(), prefixes, names, style }
    }

    /// Takes the next record and appends the lines that it makes to `out`: whole lines, nothing else.
    pub fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.watch.record(&self.names.plan, record);
        let at = record.at;
        match &record.event {
            Event::Output(step, channel, chunk) => self.output(*step, *channel, chunk, out),
            Event::OutputCut(step, channel, bytes) => self.cut(*step, *channel, *bytes, out),
            Event::StepStarted(step, time) => self.started(*step, *time, out),
            Event::StepWaiting(step) => self.waiting(*step, out),
            Event::StepReady(step) => self.ready(*step, at, out),
            Event::StepEnded(step, outcome) => self.ended(*step, outcome, at, out),
            Event::StepRetried(step, outcome, pause) => self.retried(*step, outcome, *pause, out),
            Event::StepLeaked(step, leaks) => self.leaked(self.names.plan.steps[*step].stream, leaks, out),
            Event::ProcessEnded(step, exit) => self.process_ended(*step, exit, out),
            Event::StreamOpening(stream) => self.opening(*stream, out),
            Event::StreamOpened(stream, host) => self.opened(*stream, host, out),
            Event::StreamFailed(stream, fault) => self.failed(*stream, fault, out),
            Event::CleanupStarted(stream) => self.say(Some(*stream), Mark::Begins, "finally", out),
            Event::StreamClosed(stream, leaks) => self.leaked(*stream, leaks, out),
            Event::BarrierReleased(barrier, last) => self.released(*barrier, *last, at, out),
            Event::GateReleased(barrier, skew) => self.gate(*barrier, *skew, out),
            Event::Interrupted(urgency) => self.interrupted(*urgency, out),
            Event::RunTimedOut => self.say(None, Mark::Wrong, "the time for the whole run is over", out),
            Event::JournalFailed(why) => {
                let text = format!("{}: the run ends", visible::text(why));
                self.say(None, Mark::Wrong, &text, out);
            }
            Event::RunStarted
            | Event::StepReleased(_)
            | Event::BarrierBroken(..)
            | Event::ValueMade(..)
            | Event::StepTaken(..)
            | Event::RunEnded(_) => {}
        }
    }

    /// Says what is not shown here, because whoever reads was too slow for it.
    pub fn unshown(&self, it: Unshown, out: &mut Vec<u8>) {
        let events = words::count(usize::try_from(it.events).unwrap_or(usize::MAX), "event", "events");
        let size = words::size(it.bytes);
        let text = format!("not shown: {events} with {size} of output, which nobody read in time");
        self.say(None, Mark::Wrong, &text, out);
    }

    fn output(&mut self, step: StepId, channel: Channel, chunk: &[u8], out: &mut Vec<u8>) {
        let stream = self.names.plan.steps[step].stream;
        let Self { names, style, width, prefixes, lines, .. } = self;
        let both = prefixes[stream.index()].get_or_insert_with(|| {
            let of = |mark| prefix(names, *style, *width, Some(stream), mark).into_bytes();
            Box::new([of(Mark::Stdout), of(Mark::Stderr)])
        });
        lines.write((step, channel), &both[channel as usize], chunk, out);
    }

    /// Ends the lines that a step has begun: nothing more comes.
    fn flush(&mut self, step: StepId, out: &mut Vec<u8>) {
        let stream = self.names.plan.steps[step].stream;
        let Some(both) = &self.prefixes[stream.index()] else { return };
        for channel in [Channel::Stdout, Channel::Stderr] {
            self.lines.end((step, channel), &both[channel as usize], out);
        }
    }

    fn cut(&mut self, step: StepId, channel: Channel, bytes: u64, out: &mut Vec<u8>) {
        self.flush(step, out);
        let channel = if channel == Channel::Stdout { "stdout" } else { "stderr" };
        self.step(step, Mark::Wrong, &format!("{} of {channel} are not kept", words::size(bytes)), out);
    }

    fn started(&mut self, step: StepId, time: u32, out: &mut Vec<u8>) {
        if does_something(self.names.plan.steps[step].kind) {
            let again = if time > 1 { format!(" (time {time})") } else { String::new() };
            let text = format!("{}{again}{}", self.names.label(step), self.place(step));
            self.step(step, Mark::Begins, &text, out);
        }
    }

    fn waiting(&mut self, step: StepId, out: &mut Vec<u8>) {
        if let StepKind::Barrier(barrier) = self.names.plan.steps[step].kind
            && self.names.plan.barriers[barrier].parties.len() > NAMED
        {
            let come = self.watch.meeting(barrier).map_or(0, |meeting| meeting.arrived.len());
            let of = self.names.plan.barriers[barrier].parties.len();
            let text = format!("waits at {}: {come} of {of} have come", self.names.plan.barrier_label(barrier));
            return self.step(step, Mark::Meets, &text, out);
        }
        let wait = Wait::of(&self.names, &self.watch, step);
        match wait.missing.is_empty() {
            true if wait.of > 0 => {}
            true => self.step(step, Mark::Meets, &format!("waits {}", wait.what), out),
            false => {
                let link = if wait.what.starts_with("at ") { "for" } else { "of" };
                let text = format!("waits {} {link} {}", wait.what, wait.whom(&self.names));
                self.step(step, Mark::Meets, &text, out);
            }
        }
    }

    fn ready(&mut self, step: StepId, at: Duration, out: &mut Vec<u8>) {
        if let StepKind::Start(_) = self.names.plan.steps[step].kind {
            let took = words::elapsed(at.saturating_sub(self.watch.seen(&self.names.plan, step).begun));
            self.step(step, Mark::Well, &format!("{} is ready after {took}", self.names.label(step)), out);
        }
    }

    fn ended(&mut self, step: StepId, outcome: &Outcome, at: Duration, out: &mut Vec<u8>) {
        if !self.names.goes_on(step, outcome) {
            self.flush(step, out);
        }
        match outcome {
            Outcome::Passed => self.passed(step, at, out),
            Outcome::Skipped => self.skipped(step, out),
            Outcome::Broken(origin) => {
                let text = format!("{} broken: {}", self.names.label(step), self.names.origin(*origin));
                self.step(step, Mark::Wrong, &text, out);
            }
            Outcome::TimedOut(_) => {
                self.wrong(step, outcome, out);
                self.missing(step, out);
            }
            Outcome::Failed(_) | Outcome::Unreachable(_) | Outcome::Lost(_) | Outcome::Cancelled(_) => {
                self.wrong(step, outcome, out);
            }
        }
    }

    fn passed(&mut self, step: StepId, at: Duration, out: &mut Vec<u8>) {
        let kind = self.names.plan.steps[step].kind;
        let took = at.saturating_sub(self.watch.seen(&self.names.plan, step).begun);
        let label = self.names.label(step);
        if kind == StepKind::Signal {
            self.step(step, Mark::Meets, &label, out);
        } else if took >= LONG && does_something(kind) && !matches!(kind, StepKind::Start(_)) {
            self.step(step, Mark::Well, &format!("{label} passed after {}", words::elapsed(took)), out);
        }
    }

    /// Worth a line only where the step has a guard of its own.
    fn skipped(&mut self, step: StepId, out: &mut Vec<u8>) {
        if self.names.plan.steps[step].extra.as_ref().is_some_and(|extra| extra.when.is_some()) {
            self.step(step, Mark::Begins, &format!("{} skipped{}", self.names.label(step), self.place(step)), out);
        }
    }

    fn wrong(&mut self, step: StepId, outcome: &Outcome, out: &mut Vec<u8>) {
        let allowed = excused(&self.names.plan, step, outcome);
        let (mark, may) = if allowed { (Mark::Begins, ", as it may") } else { (Mark::Wrong, "") };
        let text = format!("{} {}{may}{}", self.names.label(step), self.ending(outcome), self.place(step));
        self.step(step, mark, &text, out);
        if let Outcome::Failed(Reason::Unmet(parts)) = outcome {
            for part in parts.iter().skip(1) {
                self.step(step, mark, &format!("  {}", visible::text(part)), out);
            }
        }
    }

    /// How a step ended; where it was ended because of something elsewhere, because of what.
    fn ending(&self, outcome: &Outcome) -> String {
        match outcome {
            // Why has just been said of its stream.
            Outcome::Unreachable(_) => "did not run".to_owned(),
            Outcome::Cancelled(Cause::FailFast(origin) | Cause::Stream(origin)) => {
                format!("cancelled: {}", self.names.origin(*origin))
            }
            // The line names the expectation already.
            Outcome::Failed(Reason::Unmet(_)) => "failed: not true".to_owned(),
            Outcome::Cancelled(Cause::Interrupt | Cause::RunTimeout | Cause::Journal)
            | Outcome::Passed
            | Outcome::Failed(_)
            | Outcome::TimedOut(_)
            | Outcome::Lost(_)
            | Outcome::Broken(_)
            | Outcome::Skipped => words::ending(outcome),
        }
    }

    /// Who has not come to where `step` waited too long, and what they do instead. Told once for all who waited there.
    fn missing(&mut self, step: StepId, out: &mut Vec<u8>) {
        if self.names.meets(step).is_some_and(|barrier| self.watch.is_broken(barrier)) {
            return;
        }
        let wait = Wait::of(&self.names, &self.watch, step);
        for stream in wait.missing.iter().take(NAMED) {
            let text =
                format!("  missing: {}, {}", self.names.stream(*stream), doing(&self.names, &self.watch, *stream));
            self.step(step, Mark::Wrong, &text, out);
        }
        if let Some(more @ 1..) = wait.missing.len().checked_sub(NAMED) {
            self.step(step, Mark::Wrong, &format!("  missing: {more} others"), out);
        }
    }

    fn retried(&mut self, step: StepId, outcome: &Outcome, pause: Duration, out: &mut Vec<u8>) {
        self.flush(step, out);
        let pause = Value::Duration(pause);
        let text = format!("{} {}; again in {pause}", self.names.label(step), words::ending(outcome));
        self.step(step, Mark::Begins, &text, out);
    }

    fn process_ended(&mut self, step: StepId, exit: &Exit, out: &mut Vec<u8>) {
        self.flush(step, out);
        let text = format!("{} ended: {}", self.names.process(step), words::exit(exit));
        self.step(step, Mark::Begins, &text, out);
    }

    fn leaked(&mut self, stream: StreamId, leaks: &[Leak], out: &mut Vec<u8>) {
        for leak in leaks {
            let text = format!("left behind: {}", words::leak(leak));
            self.say(Some(stream), Mark::Wrong, &text, out);
        }
    }

    fn opening(&mut self, stream: StreamId, out: &mut Vec<u8>) {
        let kind = &self.names.plan.streams[stream].kind;
        if &**kind != "local" {
            self.say(Some(stream), Mark::Begins, &format!("opens ({kind})"), out);
        }
    }

    fn opened(&mut self, stream: StreamId, host: &str, out: &mut Vec<u8>) {
        if &*self.names.plan.streams[stream].kind != "local" {
            self.say(Some(stream), Mark::Well, &format!("open at {}", visible::text(host)), out);
        }
    }

    fn failed(&mut self, stream: StreamId, fault: &Fault, out: &mut Vec<u8>) {
        let place = self.names.declared(stream);
        self.say(Some(stream), Mark::Wrong, &format!("{} · {place}", words::fault(fault)), out);
    }

    fn released(&mut self, barrier: BarrierId, last: StreamId, at: Duration, out: &mut Vec<u8>) {
        let arrived = self.watch.meeting(barrier).map_or(&[][..], |meeting| &meeting.arrived);
        let waited = |(_, since): &(StepId, Duration)| at.saturating_sub(*since);
        let Some(longest) = arrived.iter().max_by_key(|party| waited(party)).filter(|party| waited(party) >= LONG)
        else {
            return;
        };
        let who = self.names.stream_of(longest.0);
        let text = format!(
            "{} goes on, {} came last; {who} waited {}",
            self.names.plan.barrier_label(barrier),
            self.names.stream(last),
            words::elapsed(waited(longest))
        );
        self.say(Some(last), Mark::Meets, &text, out);
    }

    fn gate(&mut self, barrier: BarrierId, skew: Duration, out: &mut Vec<u8>) {
        let parties = &self.names.plan.barriers[barrier].parties;
        let text = format!("{} started together within {}", parties.len(), words::elapsed(skew));
        self.say(None, Mark::Meets, &text, out);
    }

    fn interrupted(&mut self, urgency: Urgency, out: &mut Vec<u8>) {
        let text = match urgency {
            Urgency::Orderly => "interrupted: steps are stopped, `finally` runs; once more ends everything at once",
            Urgency::AtOnce => "interrupted again: everything is ended at once",
        };
        self.say(None, Mark::Wrong, text, out);
    }

    fn place(&self, step: StepId) -> String {
        self.style.paint(paint::DIM, &format!(" · {}", self.names.place(step)))
    }

    fn step(&self, step: StepId, mark: Mark, text: &str, out: &mut Vec<u8>) {
        self.say(Some(self.names.plan.steps[step].stream), mark, text, out);
    }

    fn say(&self, stream: Option<StreamId>, mark: Mark, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(prefix(&self.names, self.style, self.width, stream, mark).as_bytes());
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
}

/// Whether a step does work of its own, so that its beginning is worth a line.
fn does_something(kind: StepKind) -> bool {
    match kind {
        StepKind::Run(_)
        | StepKind::Capture(..)
        | StepKind::Start(_)
        | StepKind::Stop(_)
        | StepKind::Prepare(_)
        | StepKind::Trigger(_)
        | StepKind::Put
        | StepKind::Get => true,
        StepKind::Evaluate(_)
        | StepKind::Join(_)
        | StepKind::Barrier(_)
        | StepKind::Signal
        | StepKind::Wait(_)
        | StepKind::Expect => false,
    }
}

fn prefix(names: &Names, style: Style, width: usize, stream: Option<StreamId>, mark: Mark) -> String {
    let name = visible::pad(&stream.map(|stream| names.stream(stream)).unwrap_or_default(), width);
    let look = stream.map_or(paint::BOLD, paint::stream);
    let mark = match mark {
        Mark::Stdout => style.paint(look, "│"),
        Mark::Stderr => style.paint(paint::WARN, "!"),
        Mark::Begins => style.paint(look, "▸"),
        Mark::Meets => style.paint(look, "◆"),
        Mark::Well => style.paint(paint::GOOD, "✓"),
        Mark::Wrong => style.paint(paint::BAD, "✗"),
    };
    format!("{} {mark} ", style.paint(look, &name))
}

#[cfg(test)]
mod tests;
