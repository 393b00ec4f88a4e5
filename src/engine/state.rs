//! All that the engine remembers: dense tables per stream, meeting, signal, value and background process. Nothing
//! per step, so that a plan of a million steps costs no more than its streams.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::clock::{Clock, Slot};
use super::hosts::Hosts;
use super::needs::{key_needs, needs_place};
use super::past::{Past, Taken};
use super::{Action, Limits, Stop};
use crate::event::{Cause, Event, Exit, Made, Origin, Outcome, Verdict};
use crate::plan::{BarrierId, GroupId, HandleId, Need, Plan, SignalId, StepId, ValueId};
use crate::scenario::{Arena, StreamId};

/// The whole memory of a run.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) lanes: Arena<StreamId, Lane>,
    pub(super) meetings: Arena<BarrierId, Meeting>,
    pub(super) signals: Arena<SignalId, Awaited>,
    pub(super) values: Arena<ValueId, Kept>,
    pub(super) processes: Arena<HandleId, Process>,
    /// Who waits for a need that is not there yet.
    pub(super) waiters: IndexMap<Need, Vec<StreamId>>,
    pub(super) hosts: Hosts,
    /// How often a step of a group or with `retry` was started.
    pub(super) counts: IndexMap<StepId, u32>,
    pub(super) clock: Clock,
    pub(super) work: VecDeque<Work>,
    /// How many streams are being opened before the first step.
    pub(super) connecting: usize,
    /// How many streams, the finale aside, are not closed yet.
    pub(super) open: usize,
    pub(super) begun: bool,
    pub(super) done: bool,
    /// Why all timelines are over.
    pub(super) halt: Option<Cause>,
    pub(super) interrupted: bool,
    /// No `finally` any more.
    pub(super) at_once: bool,
    pub(super) verdict: Verdict,
    /// What is to be told of an earlier run, until the beginning.
    pub(super) told: Vec<Event>,
    #[cfg(test)]
    pub(super) planted: Option<super::Planted>,
}

/// What is left to do before the next input. A list instead of recursion: a failure may fell a million others.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Go on with the next step.
    Proceed(StreamId),
    /// Begin the step whose needs have come.
    Begin(StreamId),
    /// The timeline is over before its end; the first step that will not run, and what others are told.
    Fall(StreamId, StepId, Option<Origin>),
    /// The background processes that had to end have ended.
    Drained(StreamId),
    /// The keys of a stream have come or never will: others want its address.
    Keys(StreamId, Option<Origin>),
    /// Nobody uses the address of a stream any more.
    Close(StreamId),
    /// All timelines are over.
    Halt(Cause),
}

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) at: StepId,
    /// Where it goes from there, until it has come to where an earlier run was; the last of these is that place.
    pub(super) again: VecDeque<StepId>,
    /// Whether an earlier run has done its cleanup.
    pub(super) cleaned: bool,
    pub(super) part: Part,
    pub(super) phase: Phase,
    pub(super) link: Link,
    /// Whether it is opened at the beginning of the run.
    pub(super) eager: bool,
    /// Why what it takes to open it will never be there.
    pub(super) denied: Option<Origin>,
    /// Whether `Open` was ever sent, and so `Close` must be.
    pub(super) touched: bool,
    pub(super) host: Option<Arc<str>>,
    /// Whether no step of it has failed.
    pub(super) passed: bool,
    /// Whether its running step gets no further try: its process was given up.
    pub(super) spent: bool,
    /// Whether the time of its cleanup is over.
    pub(super) late: bool,
    /// Where its timeline's failure began.
    pub(super) failed: Option<Origin>,
    /// How often the running step was tried.
    pub(super) tries: u32,
    pub(super) stop: Stop,
    /// What the running step will have come to, whatever its process says.
    pub(super) sentence: Option<Outcome>,
    pub(super) started: Duration,
    /// The running background processes, in order of their starts.
    pub(super) background: Vec<HandleId>,
    /// The first step of the outermost group it is in: what was made since then is not public yet.
    pub(super) since: Option<StepId>,
    /// The groups it is in, outermost first.
    pub(super) rounds: Vec<Round>,
    /// For the running step: its timeout, the grace, a pause.
    pub(super) step_slot: Slot,
    /// For the stream: connecting, cleaning up, closing.
    pub(super) bound_slot: Slot,
}

/// Which part of its life a stream is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Part {
    Timeline,
    Cleanup,
    Over,
}

/// What a stream is doing now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    /// Nothing: before the run, or its next move is on the work list.
    Idle,
    /// Waits for that many needs.
    Needs(u32),
    /// Waits until it is open itself.
    Opening,
    /// The process of its step is at work.
    Running,
    /// The process of its step is held at its gate.
    Held,
    /// Waits at a barrier.
    Meeting,
    /// Waits for a signal.
    Listening,
    /// Waits for the end of a background process.
    Joining(HandleId),
    /// Stops a background process.
    Stopping(HandleId),
    /// Pauses before the next try of its step.
    Pausing,
    /// Pauses before the next round of its group.
    Resting,
    /// Ends its background processes.
    Draining(After),
    /// Stays open for those who use its address.
    Lingering,
    /// Waits until it is closed.
    Closing,
    /// Nothing more will happen here.
    Closed,
}

/// What follows once background processes have ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum After {
    /// The next round of the innermost group.
    Round,
    /// The cleanup.
    Timeline,
    /// Closing.
    Cleanup,
}

/// Whether a stream can run code.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Link {
    Unopened,
    Opening,
    Open,
    Failed(crate::event::Fault),
}

/// A group that a stream is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Round {
    pub(super) group: GroupId,
    /// From 1.
    pub(super) times: u32,
    /// When its first round began, and this one.
    pub(super) first: Duration,
    pub(super) began: Duration,
    /// How many background processes ran before it.
    pub(super) mark: u32,
}

/// One meeting.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Meeting {
    pub(super) arrived: u32,
    pub(super) fate: Fate,
}

/// Whether something has come, or never will.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum Fate {
    #[default]
    Pending,
    Come,
    Broken(Origin),
}

/// One wait for signals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Awaited {
    pub(super) came: u32,
    pub(super) fate: Fate,
}

/// What became of a `let`.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Pending,
    /// Made in a group that still runs: its own stream alone sees it.
    Private(Made),
    Made(Made),
    /// Its step was skipped.
    Absent,
    Broken(Origin),
}

/// A background process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) life: Life,
    pub(super) stop: Stop,
    /// What it will have come to, whatever its status says.
    pub(super) sentence: Option<Outcome>,
    pub(super) slot: Slot,
    /// How long between its stops.
    pub(super) grace: Duration,
    /// Whether a step judges its status.
    pub(super) joined: bool,
}

/// Where a background process is in its life.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Life {
    /// Not there, or not ready yet.
    Unborn,
    /// Staged and not released.
    Held,
    Running,
    Ended(Exit),
}

impl State {
    pub(super) fn new(plan: &Plan, past: &Past) -> Self {
        let taken = Taken::new(plan, past);
        let hosts = Hosts::new(plan, &taken);
        let mut state = Self {
            lanes: lanes(plan, &hosts),
            meetings: plan.barriers.ids().map(|_| Meeting::default()).collect(),
            signals: plan.signals.ids().map(|_| Awaited::default()).collect(),
            values: plan.values.ids().map(|_| Kept::Pending).collect(),
            processes: processes(plan),
            waiters: IndexMap::new(),
            hosts,
            counts: IndexMap::new(),
            clock: Clock::default(),
            work: VecDeque::new(),
            connecting: 0,
            open: plan.streams.values().filter(|stream| !stream.finale).count(),
            begun: false,
            done: false,
            halt: None,
            interrupted: false,
            at_once: false,
            verdict: Verdict::default(),
            told: Vec::new(),
            #[cfg(test)]
            planted: None,
        };
        state.told = state.go_on_after(plan, past, &taken);
        state
    }
}

/// Eager is who has a step that runs somewhere, or an address that others want, and keys that are known beforehand.
fn lanes(plan: &Plan, hosts: &Hosts) -> Arena<StreamId, Lane> {
    let lane = |(id, stream): (StreamId, &crate::plan::Stream)| {
        let used = hosts.wanted(id) || Plan::range(&stream.timeline).any(|step| needs_place(plan, step));
        Lane::new(stream.timeline.start, used && !stream.finale && key_needs(stream).is_empty())
    };
    plan.streams.iter().map(lane).collect()
}

impl Lane {
    fn new(at: StepId, eager: bool) -> Self {
        Self {
            at,
            again: VecDeque::new(),
            cleaned: false,
            part: Part::Timeline,
            phase: Phase::Idle,
            link: Link::Unopened,
            eager,
            denied: None,
            touched: false,
            host: None,
            passed: true,
            spent: false,
            late: false,
            failed: None,
            tries: 0,
            stop: Stop::No,
            sentence: None,
            started: Duration::ZERO,
            background: Vec::new(),
            since: None,
            rounds: Vec::new(),
            step_slot: Slot::default(),
            bound_slot: Slot::default(),
        }
    }
}

fn processes(plan: &Plan) -> Arena<HandleId, Process> {
    let unborn = |_| Process {
        life: Life::Unborn,
        stop: Stop::No,
        sentence: None,
        slot: Slot::default(),
        grace: Duration::ZERO,
        joined: false,
    };
    let mut all: Arena<HandleId, Process> = plan.handles.ids().map(unborn).collect();
    for step in plan.steps.values() {
        if let crate::plan::StepKind::Join(handle) = step.kind {
            all[handle].joined = true;
        }
    }
    all
}

/// The limits with the scale applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) connect: Duration,
    pub(super) create: Duration,
    pub(super) cleanup: Duration,
    pub(super) grace: Duration,
    pub(super) step: Duration,
    pub(super) run: Option<Duration>,
    pub(super) fail_fast: bool,
    scale: u32,
}

impl Bounds {
    pub(super) fn new(limits: &Limits) -> Self {
        let scale = limits.scale;
        Self {
            connect: scaled(limits.connect, scale),
            create: scaled(limits.create, scale),
            cleanup: scaled(limits.cleanup, scale),
            grace: scaled(limits.grace, scale),
            step: scaled(limits.step, scale),
            run: limits.run,
            fail_fast: limits.fail_fast,
            scale,
        }
    }

    /// A timeout of the scenario, scaled.
    pub(super) fn scaled(&self, time: Duration) -> Duration {
        scaled(time, self.scale)
    }
}

fn scaled(time: Duration, percent: u32) -> Duration {
    if percent == 100 { time } else { time.checked_mul(percent).map_or(Duration::MAX, |time| time / 100) }
}

/// The handling of one input: what it reads, what it changes and what it has decided so far.
pub(super) struct Turn<'a> {
    pub(super) plan: &'a Plan,
    pub(super) bounds: Bounds,
    pub(super) secrets: &'a IndexMap<Arc<str>, crate::syntax::Value>,
    pub(super) state: &'a mut State,
    pub(super) now: Duration,
    pub(super) out: Vec<Action>,
}
