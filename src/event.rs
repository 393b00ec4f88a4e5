//! What happened in a run, in order: the one record that every report, the journal and a replay read.
//!
//! `spec/events.md` documents the form in which they are written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::plan::{BarrierId, StepId, ValueId};
use crate::scenario::StreamId;
use crate::syntax::Value;

/// An event and when it happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// From 0, without gaps.
    pub sequence: u64,
    /// Since the start of the run, on a monotonic clock.
    pub at: Duration,
    /// What happened.
    pub event: Event,
}

/// Something that happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The run began.
    RunStarted,
    /// A stream is being opened.
    StreamOpening(StreamId),
    /// A stream is open; its address.
    StreamOpened(StreamId, Arc<str>),
    /// A stream could not be opened, or went away; why.
    StreamFailed(StreamId, Fault),
    /// A stream's `finally` begins.
    CleanupStarted(StreamId),
    /// A stream is closed and nothing of it is left but what is named here.
    StreamClosed(StreamId, Vec<Leak>),
    /// A step began; the how-manieth time it does, from 1 (above 1 in `retry` and `repeat`).
    StepStarted(StepId, u32),
    /// A step waits: for a barrier, a signal, a value, an address, a background process.
    StepWaiting(StepId),
    /// A background process is ready, or a staged one is in place.
    StepReady(StepId),
    /// A staged process was let go.
    StepReleased(StepId),
    /// Output of a step.
    Output(StepId, Channel, Bytes),
    /// That many bytes of a step's output are not kept.
    OutputCut(StepId, Channel, u64),
    /// A step left processes behind; they were killed.
    StepLeaked(StepId, Vec<Leak>),
    /// A step failed and is tried again after a pause.
    StepRetried(StepId, Outcome, Duration),
    /// A step ended. For a background process: `start` or `prepare` has done its part.
    StepEnded(StepId, Outcome),
    /// A background process ended.
    ProcessEnded(StepId, Exit),
    /// A `let` has made its value; nothing where a secret is in it. Comes before its step's end.
    ValueMade(ValueId, Option<Made>),
    /// A step that an earlier run has done: it is not done again. Comes before anything is done.
    StepTaken(StepId, Outcome),
    /// All parties have come; the last one.
    BarrierReleased(BarrierId, StreamId),
    /// A party cannot come any more.
    BarrierBroken(BarrierId, Origin),
    /// A start gate let everybody go; the time between the first and the last.
    GateReleased(BarrierId, Duration),
    /// Somebody asked to stop: once, or for the second time.
    Interrupted(Urgency),
    /// The time for the whole run is over.
    RunTimedOut,
    /// What happens can no longer be written down, so the run ends; why.
    JournalFailed(Arc<str>),
    /// The run is over.
    RunEnded(Verdict),
}

/// Which output.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Channel {
    /// stdout
    Stdout,
    /// stderr
    Stderr,
}

/// How a step ended.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not as it should; why.
    Failed(Reason),
    /// It took longer than it may; the limit.
    TimedOut(Duration),
    /// Its stream could not be opened.
    Unreachable(Arc<str>),
    /// Its stream went away.
    Lost(Arc<str>),
    /// What it waits for can no longer come.
    Broken(Origin),
    /// It was ended because the run was interrupted, failed fast or ran out of time.
    Cancelled(Cause),
    /// It was never started: its guard was false, or its stream had failed before.
    Skipped,
}

/// Why a step failed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// Its process ended so.
    Exit(Exit),
    /// The expectation is not true: the expression with the value of each part, a line each.
    Unmet(Vec<String>),
    /// It could not do its work; in words.
    Error(Arc<str>),
    /// A background process of the stream died, or is no longer healthy.
    Background(StepId, Arc<str>),
}

/// How a process ended.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Exit {
    /// With a status.
    Status(i32),
    /// By a signal.
    Signal(i32),
    /// There was no memory left where it ran, and the system killed a process there; its status all the same.
    OutOfMemory(i32),
    /// It never ran: the interpreter, the program or the folder is missing. A fault of the surroundings.
    NotStarted(Arc<str>),
    /// It was not even tried: what it needs is not there, or cannot travel. A fault of the step itself.
    Refused(Arc<str>),
    /// The stream went away under it.
    Lost(Arc<str>),
}

/// Where something that others suffer from began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// A step failed, timed out or was lost.
    Step(StepId),
    /// A stream could not be opened, or went away.
    Stream(StreamId),
}

impl Origin {
    /// The step, where it is one.
    pub fn step(self) -> Option<StepId> {
        match self {
            Self::Step(step) => Some(step),
            Self::Stream(_) => None,
        }
    }
}

/// Why a step was ended from outside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// Ctrl-C or a signal.
    Interrupt,
    /// `--fail-fast`, and something failed.
    FailFast(Origin),
    /// The time for the whole run was over.
    RunTimeout,
    /// The journal could not be written any more.
    Journal,
    /// Its own stream failed elsewhere: a background process died.
    Stream(Origin),
}

/// What went wrong with a stream as a whole.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// It could not be opened.
    Unreachable(Arc<str>),
    /// It went away.
    Lost(Arc<str>),
}

/// A process that outlived its step.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Leak {
    /// Its id where it ran.
    pub pid: u32,
    /// Its command line, or its name.
    pub command: Arc<str>,
}

/// How somebody asks a run to stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Urgency {
    /// Stop the steps, run every `finally`, report.
    Orderly,
    /// End everything at once.
    AtOnce,
}

/// Why a run is asked to stop.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Ask {
    /// Somebody wants it to.
    Interrupt(Urgency),
    /// What happens can no longer be written down; why.
    JournalFailed(Arc<str>),
}

/// What a `let` has made. Cheap to clone.
#[derive(Clone, PartialEq, Debug)]
pub enum Made {
    /// An evaluated expression.
    Value(Value),
    /// What code printed and how it ended.
    Output {
        /// All of it, as text where it is UTF-8.
        stdout: Value,
        /// Likewise.
        stderr: Value,
        /// As a shell has it: 128 and the signal's number where one killed it; nothing where it never ran.
        exit: Option<i64>,
        /// From its start to its end.
        duration: Duration,
    },
}

/// What a run comes to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Verdict {
    /// A step or an expectation failed.
    pub failed: bool,
    /// Something timed out.
    pub timed_out: bool,
    /// The surroundings failed: unreachable, lost, not started.
    pub surroundings: bool,
    /// Something was left behind.
    pub leaked: bool,
    /// mstream itself is at fault.
    pub internal: bool,
    /// Somebody asked it to stop.
    pub interrupted: bool,
}

impl Verdict {
    /// What two runs come to together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            failed: self.failed || other.failed,
            timed_out: self.timed_out || other.timed_out,
            surroundings: self.surroundings || other.surroundings,
            leaked: self.leaked || other.leaked,
            internal: self.internal || other.internal,
            interrupted: self.interrupted || other.interrupted,
        }
    }

    /// The exit code: interrupted, then mstream's own faults, surroundings, timeouts, failures, leaks.
    pub fn exit_code(self) -> u8 {
        match self {
            Self { interrupted: true, .. } => 130,
            Self { internal: true, .. } => 70,
            Self { surroundings: true, .. } => 3,
            Self { timed_out: true, .. } => 4,
            Self { failed: true, .. } => 1,
            Self { leaked: true, .. } => 5,
            Self { .. } => 0,
        }
    }
}
