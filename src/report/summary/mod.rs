//! What a run came to: where failures began and what followed from each, what was left behind, who waited for whom.
//!
//! The fold keeps the last lines of the steps that run, and per origin of a failure what is said about it.

mod meetings;
mod origin;
mod render;

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use self::meetings::Met;
use self::origin::{Entry, Suffering};
use super::Style;
use super::names::Names;
use super::tail::Tail;
use super::watch::{Watch, excused};
use crate::diagnostic::Sources;
use crate::event::{Cause, Event, Exit, Fault, Leak, Origin, Outcome, Record, Urgency, Verdict};
use crate::plan::{BarrierId, Plan, StepId};
use crate::scenario::StreamId;

/// Of so many origins the details are kept; of the rest their number.
const ORIGINS: usize = 50;
/// So many leaks, cut outputs and steps cut short are named; of the rest their number.
const NAMED: usize = 20;
/// The output of so many background processes that have ended is kept, because a failure may follow.
const DEAD: usize = 16;

/// The fold.
#[derive(Debug)]
pub struct Summary {
    names: Names,
    style: Style,
    watch: Watch,
    /// The end of the output of steps that run.
    tails: IndexMap<StepId, Tail>,
    /// Background processes that have ended, the latest last: what a failure that follows is about.
    dead: IndexMap<StepId, (String, Vec<String>)>,
    origins: IndexMap<Origin, Entry>,
    /// Steps that failed of the same: parties of one barrier that timed out, a background process.
    same: IndexMap<Origin, Origin>,
    more_origins: usize,
    leaks: Vec<(StreamId, Option<StepId>, Leak)>,
    more_leaks: usize,
    cuts: IndexMap<StepId, u64>,
    met: Vec<Met>,
    gates: Vec<(BarrierId, Duration)>,
    stopped: Vec<(StepId, Vec<String>)>,
    more_stopped: usize,
    interrupted: Option<(Urgency, Duration)>,
    run_timed_out: bool,
    journal_failed: bool,
    verdict: Option<Verdict>,
    last: Duration,
    /// The run that this one goes on with.
    resumed: Option<Arc<str>>,
}

impl Summary {
    /// Before the first record.
    pub fn new(plan: Arc<Plan>, sources: Arc<Sources>, style: Style) -> Self {
        Self {
            watch: Watch::new(&plan),
            names: Names { plan, sources },
            style,
            tails: IndexMap::new(),
            dead: IndexMap::new(),
            origins: IndexMap::new(),
            same: IndexMap::new(),
            more_origins: 0,
            leaks: Vec::new(),
            more_leaks: 0,
            cuts: IndexMap::new(),
            met: Vec::new(),
            gates: Vec::new(),
            stopped: Vec::new(),
            more_stopped: 0,
            interrupted: None,
            run_timed_out: false,
            journal_failed: false,
            verdict: None,
            last: Duration::ZERO,
            resumed: None,
        }
    }

    /// Of a run that goes on with that one.
    #[must_use]
    pub fn resumed(self, run: Option<Arc<str>>) -> Self {
        Self { resumed: run, ..self }
    }

    /// Takes the next record.
    pub fn record(&mut self, record: &Record) {
        self.watch.record(&self.names.plan, record);
        self.last = record.at;
        match &record.event {
            Event::Output(step, channel, chunk) => self.tails.entry(*step).or_default().push(*channel, chunk),
            Event::OutputCut(step, _, bytes) => *self.cuts.entry(*step).or_default() += bytes,
            Event::StepEnded(step, outcome) => self.ended(*step, outcome),
            Event::ProcessEnded(step, exit) => self.process_ended(*step, exit),
            Event::StreamFailed(stream, fault) => self.stream_failed(*stream, fault),
            Event::StepLeaked(step, leaks) => self.leaked(self.names.plan.steps[*step].stream, Some(*step), leaks),
            Event::StreamClosed(stream, leaks) => self.leaked(*stream, None, leaks),
            Event::BarrierReleased(barrier, last) => self.released(*barrier, *last, record.at),
            Event::GateReleased(barrier, skew) => self.gates.push((*barrier, *skew)),
            Event::Interrupted(urgency) => self.interrupted = Some((*urgency, record.at)),
            Event::RunTimedOut => self.run_timed_out = true,
            Event::JournalFailed(_) => self.journal_failed = true,
            Event::RunEnded(verdict) => self.verdict = Some(*verdict),
            Event::RunStarted
            | Event::StreamOpening(_)
            | Event::StreamOpened(..)
            | Event::CleanupStarted(_)
            | Event::StepStarted(..)
            | Event::StepWaiting(_)
            | Event::StepReady(_)
            | Event::StepReleased(_)
            | Event::StepRetried(..)
            | Event::ValueMade(..)
            | Event::StepTaken(..)
            | Event::BarrierBroken(..) => {}
        }
    }

    /// The whole text, ending with a line break. Its last line is the verdict.
    pub fn render(&self) -> String {
        render::render(self)
    }

    fn ended(&mut self, step: StepId, outcome: &Outcome) {
        match outcome {
            Outcome::Passed | Outcome::Skipped => {}
            Outcome::Failed(_) | Outcome::TimedOut(_) if excused(&self.names.plan, step, outcome) => {}
            Outcome::Failed(_) | Outcome::TimedOut(_) => self.began(step, outcome),
            Outcome::Unreachable(why) => self.suffers_stream(step, &Fault::Unreachable(Arc::clone(why))),
            Outcome::Lost(why) => self.suffers_stream(step, &Fault::Lost(Arc::clone(why))),
            Outcome::Broken(origin) => self.suffers(*origin, step, Suffering::Broken),
            Outcome::Cancelled(Cause::FailFast(origin) | Cause::Stream(origin)) => {
                self.suffers(*origin, step, Suffering::Cancelled);
            }
            Outcome::Cancelled(Cause::Interrupt | Cause::RunTimeout | Cause::Journal) => self.stopped(step),
        }
        if !self.names.goes_on(step, outcome) {
            self.tails.swap_remove(&step);
        }
    }

    /// Something failed of itself.
    fn began(&mut self, step: StepId, outcome: &Outcome) {
        if let Outcome::TimedOut(_) = outcome
            && let Some(same) = origin::same(&self.names, &self.watch, &self.origins, step)
        {
            self.same.insert(Origin::Step(step), same);
            return;
        }
        let entry = if self.origins.len() < ORIGINS { self.entry(step, outcome) } else { Entry::default() };
        if let Some(process) = entry.process {
            self.same.insert(Origin::Step(process), Origin::Step(step));
        }
        // What follows may have been told before what it follows from.
        let suffering = self.origins.swap_remove(&Origin::Step(step)).map(|known| known.suffering);
        self.keep(Origin::Step(step), Entry { suffering: suffering.unwrap_or_default(), ..entry });
    }

    fn entry(&self, step: StepId, outcome: &Outcome) -> Entry {
        let took = self.last.saturating_sub(self.watch.seen(&self.names.plan, step).begun);
        let tail = self.tails.get(&step).map(Tail::lines).unwrap_or_default();
        let mut entry = Entry::of_step(outcome, took, tail);
        if let Some(process) = entry.process {
            let (how, lines) = self.dead.get(&process).cloned().unwrap_or_default();
            entry.background(&self.names, process, &how, lines);
            if entry.output.is_empty() {
                entry.output = self.tails.get(&process).map(Tail::lines).unwrap_or_default();
            }
        }
        if let Outcome::TimedOut(_) = outcome {
            entry.meeting(&self.names, &self.watch, &self.tails, step);
        }
        entry
    }

    fn keep(&mut self, origin: Origin, entry: Entry) {
        if self.origins.len() < ORIGINS {
            self.origins.insert(origin, entry);
        } else {
            self.more_origins += 1;
        }
    }

    fn stream_failed(&mut self, stream: StreamId, fault: &Fault) {
        if !self.origins.contains_key(&Origin::Stream(stream)) {
            self.keep(Origin::Stream(stream), Entry::of_stream(fault));
        }
    }

    /// A step whose stream could not be opened, or went away.
    fn suffers_stream(&mut self, step: StepId, fault: &Fault) {
        let stream = self.names.plan.steps[step].stream;
        self.stream_failed(stream, fault);
        self.suffers(Origin::Stream(stream), step, Suffering::Stream);
    }

    fn suffers(&mut self, origin: Origin, step: StepId, how: Suffering) {
        let origin = self.same.get(&origin).copied().unwrap_or(origin);
        if !self.origins.contains_key(&origin) {
            self.keep(origin, self.unheard(origin));
        }
        if let Some(entry) = self.origins.get_mut(&origin) {
            entry.suffering.push((step, how));
        }
    }

    /// An origin of which no step has told: a background process that died.
    fn unheard(&self, origin: Origin) -> Entry {
        let known = match origin {
            Origin::Step(step) => self.dead.get(&step),
            Origin::Stream(_) => None,
        };
        known.map(|(how, lines)| Entry::of_process(how, lines.clone())).unwrap_or_default()
    }

    fn stopped(&mut self, step: StepId) {
        if self.stopped.len() < NAMED {
            self.stopped.push((step, self.tails.get(&step).map(Tail::lines).unwrap_or_default()));
        } else {
            self.more_stopped += 1;
        }
    }

    fn process_ended(&mut self, step: StepId, exit: &Exit) {
        let lines = self.tails.swap_remove(&step).map(|tail| tail.lines()).unwrap_or_default();
        if self.dead.len() == DEAD {
            self.dead.shift_remove_index(0);
        }
        self.dead.insert(step, (super::words::exit(exit), lines));
    }

    fn leaked(&mut self, stream: StreamId, step: Option<StepId>, leaks: &[Leak]) {
        let room = NAMED.saturating_sub(self.leaks.len());
        self.leaks.extend(leaks.iter().take(room).map(|leak| (stream, step, leak.clone())));
        self.more_leaks += leaks.len().saturating_sub(room);
    }

    fn released(&mut self, barrier: BarrierId, last: StreamId, at: Duration) {
        let meeting = self.watch.meeting(barrier);
        self.met.extend(meeting.and_then(|meeting| Met::new(&self.names.plan, (barrier, last), meeting, at)));
    }
}

#[cfg(test)]
mod tests;
