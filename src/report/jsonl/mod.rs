//! Every event as one line of JSON, with names instead of ids: for tools, and for the journal.
//!
//! `spec/events.md` has every event with its fields and an example; a test holds the two together.

mod json;

use std::sync::Arc;

use self::json::Json;
use super::names::Names;
use super::{Unshown, words};
use crate::diagnostic::Sources;
use crate::event::{Cause, Channel, Event, Exit, Fault, Leak, Origin, Outcome, Reason, Record, Urgency, Verdict};
use crate::plan::{BarrierId, Plan, StepId, ValueId};
use crate::scenario::{Id as _, StreamId};

/// The version of the form: it rises when a field changes its meaning or goes away, not when one is added.
pub const VERSION: u32 = 1;

/// What the first line says and no event knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The id of the run.
    pub run: Arc<str>,
    /// When it started, by the clock on the wall, as RFC 3339 has it.
    pub started: Arc<str>,
    /// The run that it goes on with, if it does.
    pub resumed: Option<Arc<str>>,
    /// The variant of the parameters, where there are several.
    pub variant: Option<Arc<str>>,
}

/// What is written of the output of steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Printed {
    /// All of it.
    Whole,
    /// How many bytes: the journal has the bytes themselves in files beside it.
    Size,
}

/// The fold. It keeps nothing.
#[derive(Debug)]
pub struct Jsonl {
    names: Names,
    header: Header,
    printed: Printed,
}

impl Jsonl {
    /// Before the first record.
    pub fn new(plan: Arc<Plan>, sources: Arc<Sources>, header: Header, printed: Printed) -> Self {
        Self { names: Names { plan, sources }, header, printed }
    }

    /// Appends the line of `record` to `out`.
    pub fn record(&self, record: &Record, out: &mut Vec<u8>) {
        self.line(record, record.sequence, out);
    }

    /// The same with a number of its own, for a file that leaves some out.
    pub fn line(&self, record: &Record, sequence: u64, out: &mut Vec<u8>) {
        let mut line = Json::begin(out);
        line.number("v", VERSION.into());
        line.number("seq", sequence);
        line.seconds("t", record.at);
        line.text("event", name(&record.event));
        self.event(&record.event, &mut line);
        line.end();
        out.push(b'\n');
    }

    /// Appends a line that says what is missing here, because whoever reads was too slow for it.
    pub fn unshown(&self, it: Unshown, out: &mut Vec<u8>) {
        let mut line = Json::begin(out);
        line.number("v", VERSION.into());
        line.text("event", "not_shown");
        line.number("events", it.events);
        line.number("bytes", it.bytes);
        line.end();
        out.push(b'\n');
    }

    fn event(&self, event: &Event, line: &mut Json) {
        match event {
            Event::RunStarted => self.run_started(line),
            Event::StreamOpening(stream) | Event::CleanupStarted(stream) => self.stream(*stream, line),
            Event::StreamOpened(stream, host) => {
                self.stream(*stream, line);
                line.text("host", host);
            }
            Event::StreamFailed(stream, fault) => {
                self.stream(*stream, line);
                self::fault(fault, line);
            }
            Event::StreamClosed(stream, leaks) => {
                self.stream(*stream, line);
                self::leaks(leaks, line);
            }
            Event::StepStarted(step, time) => {
                self.step(*step, line);
                line.number("time", (*time).into());
            }
            Event::StepWaiting(step) | Event::StepReady(step) | Event::StepReleased(step) => self.step(*step, line),
            Event::Output(step, channel, chunk) => self.output(*step, *channel, chunk, line),
            Event::OutputCut(step, channel, bytes) => {
                self.printed(*step, *channel, line);
                line.number("bytes", *bytes);
            }
            Event::StepLeaked(step, leaks) => {
                self.step(*step, line);
                self::leaks(leaks, line);
            }
            Event::StepRetried(step, outcome, pause) => {
                self.step(*step, line);
                self.outcome(outcome, line);
                line.seconds("pause", *pause);
            }
            Event::StepEnded(step, outcome) | Event::StepTaken(step, outcome) => {
                self.step(*step, line);
                self.outcome(outcome, line);
            }
            Event::ProcessEnded(step, exit) => {
                self.step(*step, line);
                self::exit(exit, line);
            }
            Event::BarrierReleased(barrier, last) => {
                self.barrier(*barrier, line);
                line.text("last", &self.names.plan.streams[*last].name);
            }
            Event::BarrierBroken(barrier, origin) => {
                self.barrier(*barrier, line);
                self.origin(*origin, line);
            }
            Event::GateReleased(barrier, skew) => {
                self.barrier(*barrier, line);
                line.seconds("skew", *skew);
            }
            Event::ValueMade(value, made) => self.value(*value, made.is_none(), line),
            Event::JournalFailed(why) => line.text("error", why),
            Event::Interrupted(urgency) => line.text("urgency", self::urgency(*urgency)),
            Event::RunTimedOut => {}
            Event::RunEnded(verdict) => self::verdict(*verdict, line),
        }
    }

    fn run_started(&self, line: &mut Json) {
        line.text("run", &self.header.run);
        line.text("started", &self.header.started);
        if let Some(run) = &self.header.resumed {
            line.text("resumed", run);
        }
        line.text("mstream", env!("CARGO_PKG_VERSION"));
        line.text("title", &self.names.plan.title);
        if let Some(variant) = &self.header.variant {
            line.text("variant", variant);
        }
        line.number("steps", self.names.plan.steps.len() as u64);
        line.list("streams", self.names.plan.streams.values(), |stream, entry| {
            entry.text("name", &stream.name);
            entry.text("kind", &stream.kind);
        });
    }

    fn stream(&self, stream: StreamId, line: &mut Json) {
        line.text("stream", &self.names.plan.streams[stream].name);
    }

    /// The stream, the number, what it is called and where it was written.
    fn step(&self, step: StepId, line: &mut Json) {
        self.stream(self.names.plan.steps[step].stream, line);
        line.number("step", step.index() as u64);
        line.text("label", &self.names.label(step));
        line.text("at", &self.names.place(step));
    }

    fn printed(&self, step: StepId, channel: Channel, line: &mut Json) {
        self.stream(self.names.plan.steps[step].stream, line);
        line.number("step", step.index() as u64);
        let channel = match channel {
            Channel::Stdout => "stdout",
            Channel::Stderr => "stderr",
        };
        line.text("channel", channel);
    }

    fn output(&self, step: StepId, channel: Channel, chunk: &[u8], line: &mut Json) {
        self.printed(step, channel, line);
        if self.printed == Printed::Size {
            return line.number("bytes", chunk.len() as u64);
        }
        match std::str::from_utf8(chunk) {
            Ok(text) => line.text("text", text),
            Err(_) => line.base64("base64", chunk),
        }
    }

    fn value(&self, value: ValueId, secret: bool, line: &mut Json) {
        let it = &self.names.plan.values[value];
        self.step(it.step, line);
        line.text("value", &it.name);
        if secret {
            line.bool("secret", true);
        }
    }

    fn barrier(&self, barrier: BarrierId, line: &mut Json) {
        let it = &self.names.plan.barriers[barrier];
        line.number("meeting", barrier.index() as u64);
        if let Some(name) = &it.name {
            line.text("barrier", name);
        }
        line.number("round", it.round.into());
        line.number("parties", it.parties.len() as u64);
    }

    fn outcome(&self, outcome: &Outcome, line: &mut Json) {
        line.text("outcome", &words::outcome(outcome).replace(' ', "_"));
        match outcome {
            Outcome::Passed | Outcome::Skipped => {}
            Outcome::Failed(reason) => self.reason(reason, line),
            Outcome::TimedOut(limit) => line.seconds("limit", *limit),
            Outcome::Unreachable(why) | Outcome::Lost(why) => line.text("error", why),
            Outcome::Broken(origin) => self.origin(*origin, line),
            Outcome::Cancelled(cause) => self.cause(*cause, line),
        }
    }

    fn reason(&self, reason: &Reason, line: &mut Json) {
        match reason {
            Reason::Exit(exit) => self::exit(exit, line),
            Reason::Unmet(parts) => line.texts("unmet", parts),
            Reason::Error(why) => line.text("error", why),
            Reason::Background(step, why) => {
                line.text("error", why);
                line.object("background", |inner| self.step(*step, inner));
            }
        }
    }

    fn cause(&self, cause: Cause, line: &mut Json) {
        match cause {
            Cause::Interrupt => line.text("cause", "interrupt"),
            Cause::RunTimeout => line.text("cause", "run_timeout"),
            Cause::Journal => line.text("cause", "journal"),
            Cause::FailFast(origin) => {
                line.text("cause", "fail_fast");
                self.origin(origin, line);
            }
            Cause::Stream(origin) => {
                line.text("cause", "stream");
                self.origin(origin, line);
            }
        }
    }

    /// Where it began: a step, or a stream as a whole.
    fn origin(&self, origin: Origin, line: &mut Json) {
        line.object("origin", |inner| match origin {
            Origin::Step(step) => self.step(step, inner),
            Origin::Stream(stream) => {
                self.stream(stream, inner);
                inner.text("at", &self.names.declared(stream));
            }
        });
    }
}

/// The event's name in the file.
fn name(event: &Event) -> &'static str {
    match event {
        Event::RunStarted => "run_started",
        Event::StreamOpening(_) => "stream_opening",
        Event::StreamOpened(..) => "stream_opened",
        Event::StreamFailed(..) => "stream_failed",
        Event::CleanupStarted(_) => "cleanup_started",
        Event::StreamClosed(..) => "stream_closed",
        Event::StepStarted(..) => "step_started",
        Event::StepWaiting(_) => "step_waiting",
        Event::StepReady(_) => "step_ready",
        Event::StepReleased(_) => "step_released",
        Event::Output(..) => "output",
        Event::OutputCut(..) => "output_cut",
        Event::StepLeaked(..) => "step_leaked",
        Event::StepRetried(..) => "step_retried",
        Event::StepEnded(..) => "step_ended",
        Event::ProcessEnded(..) => "process_ended",
        Event::BarrierReleased(..) => "barrier_released",
        Event::BarrierBroken(..) => "barrier_broken",
        Event::GateReleased(..) => "gate_released",
        Event::Interrupted(_) => "interrupted",
        Event::RunTimedOut => "run_timed_out",
        Event::JournalFailed(_) => "journal_failed",
        Event::ValueMade(..) => "value_made",
        Event::StepTaken(..) => "step_taken",
        Event::RunEnded(_) => "run_ended",
    }
}

fn urgency(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::Orderly => "orderly",
        Urgency::AtOnce => "at_once",
    }
}

fn fault(fault: &Fault, line: &mut Json) {
    let (word, why) = match fault {
        Fault::Unreachable(why) => ("unreachable", why),
        Fault::Lost(why) => ("lost", why),
    };
    line.text("fault", word);
    line.text("error", why);
}

fn exit(exit: &Exit, line: &mut Json) {
    match exit {
        Exit::Status(status) => line.integer("status", (*status).into()),
        Exit::Signal(number) => {
            line.integer("signal", (*number).into());
            line.text("signal_name", &words::signal(*number));
        }
        Exit::OutOfMemory(status) => {
            line.integer("status", (*status).into());
            line.bool("out_of_memory", true);
        }
        Exit::NotStarted(why) => line.text("not_started", why),
        Exit::Refused(why) => line.text("refused", why),
        Exit::Lost(why) => line.text("lost", why),
    }
}

fn leaks(leaks: &[Leak], line: &mut Json) {
    line.list("leaks", leaks.iter(), |leak, entry| {
        entry.number("pid", leak.pid.into());
        entry.text("command", &leak.command);
    });
}

fn verdict(verdict: Verdict, line: &mut Json) {
    line.number("exit_code", verdict.exit_code().into());
    let all = [
        ("failed", verdict.failed),
        ("timed_out", verdict.timed_out),
        ("surroundings", verdict.surroundings),
        ("leaked", verdict.leaked),
        ("internal", verdict.internal),
        ("interrupted", verdict.interrupted),
    ];
    for (key, is) in all {
        line.bool(key, is);
    }
}

#[cfg(test)]
mod tests;
