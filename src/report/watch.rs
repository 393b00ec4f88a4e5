//! What every stream does now, and who has come to which meeting: the fold that all views for people share.

use std::time::Duration;

use indexmap::IndexSet;

use crate::event::{Event, Outcome, Reason, Record};
use crate::plan::{BarrierId, Plan, StepId, StepKind};
use crate::scenario::{Arena, Id as _, StreamId};

/// What a stream does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Doing {
    /// Nothing has been heard of it.
    #[default]
    Nothing,
    /// It is being opened.
    Opening,
    /// It is open and between two steps.
    Between,
    /// It is in this step.
    Running(StepId),
    /// It waits to get on with this step.
    Waiting(StepId),
    /// It could not be opened, or went away.
    Failed,
    /// It is closed.
    Closed,
}

/// A stream as far as events tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// What it does.
    pub(super) doing: Doing,
    /// Since when it does.
    pub(super) since: Duration,
    /// When its present or last step began.
    pub(super) begun: Duration,
    /// Whether its address is known.
    pub(super) open: bool,
    /// Whether its `finally` has begun.
    pub(super) cleanup: bool,
}

impl Seen {
    /// The step that it is in or waits to get on with.
    pub(super) fn step(&self) -> Option<StepId> {
        match self.doing {
            Doing::Running(step) | Doing::Waiting(step) => Some(step),
            Doing::Nothing | Doing::Opening | Doing::Between | Doing::Failed | Doing::Closed => None,
        }
    }
}

/// What is known of a step, in one byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Done {
    /// It has not ended.
    #[default]
    NotYet,
    Passed,
    Failed,
    /// It failed or timed out, and may.
    Excused,
    TimedOut,
    Unreachable,
    Lost,
    Broken,
    Cancelled,
    Skipped,
}

/// Who has come to a meeting, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Meeting {
    pub(super) arrived: Vec<(StepId, Duration)>,
}

/// A meeting from before its first arrival to after its release.
#[derive(Clone, Debug, Default)]
enum Meets {
    #[default]
    Nobody,
    Some(Box<Meeting>),
    All,
}

/// The fold.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) streams: Arena<StreamId, Seen>,
    pub(super) steps: Arena<StepId, Done>,
    meetings: Vec<Meets>,
    met: Option<(BarrierId, Box<Meeting>)>,
    broken: IndexSet<BarrierId>,
    /// How many steps an earlier run has done.
    pub(super) taken: usize,
}

impl Watch {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            streams: plan.streams.ids().map(|_| Seen::default()).collect(),
            steps: plan.steps.ids().map(|_| Done::default()).collect(),
            meetings: vec![Meets::Nobody; plan.barriers.len()],
            met: None,
            broken: IndexSet::new(),
            taken: 0,
        }
    }

    /// Takes the next record.
    pub(super) fn record(&mut self, plan: &Plan, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::StreamOpening(stream) => self.turn(*stream, Doing::Opening, at),
            Event::StreamOpened(stream, _) => self.opened(*stream, at),
            Event::StreamFailed(stream, _) => self.turn(*stream, Doing::Failed, at),
            Event::CleanupStarted(stream) => self.streams[*stream].cleanup = true,
            Event::StreamClosed(stream, _) => self.turn(*stream, Doing::Closed, at),
            Event::StepStarted(step, _) => self.started(plan, *step, at),
            Event::StepWaiting(step) => self.waiting(plan, *step, at),
            Event::StepReady(step) => self.staged(plan, *step, at),
            Event::StepEnded(step, outcome) => self.ended(plan, *step, outcome, at),
            Event::StepTaken(step, outcome) => self.taken(plan, *step, outcome),
            Event::BarrierReleased(barrier, _) => self.released(*barrier),
            Event::StepReleased(step) => self.let_go(plan, *step, at),
            Event::BarrierBroken(barrier, _) => drop(self.broken.insert(*barrier)),
            Event::RunStarted
            | Event::Output(..)
            | Event::OutputCut(..)
            | Event::StepLeaked(..)
            | Event::StepRetried(..)
            | Event::ProcessEnded(..)
            | Event::GateReleased(..)
            | Event::Interrupted(_)
            | Event::RunTimedOut
            | Event::JournalFailed(_)
            | Event::ValueMade(..)
            | Event::RunEnded(_) => {}
        }
    }

    /// Who has come to a meeting that is not released, or has just been.
    pub(super) fn meeting(&self, barrier: BarrierId) -> Option<&Meeting> {
        match &self.meetings[barrier.index()] {
            Meets::Nobody => None,
            Meets::Some(meeting) => Some(meeting),
            Meets::All => self.met.as_ref().filter(|(id, _)| *id == barrier).map(|(_, meeting)| &**meeting),
        }
    }

    /// Whether all have come to a meeting.
    pub(super) fn is_released(&self, barrier: BarrierId) -> bool {
        matches!(self.meetings[barrier.index()], Meets::All)
    }

    /// Whether it is told that a party cannot come any more.
    pub(super) fn is_broken(&self, barrier: BarrierId) -> bool {
        self.broken.contains(&barrier)
    }

    /// The stream of a step.
    pub(super) fn seen(&self, plan: &Plan, step: StepId) -> &Seen {
        &self.streams[plan.steps[step].stream]
    }

    fn turn(&mut self, stream: StreamId, doing: Doing, at: Duration) {
        let seen = &mut self.streams[stream];
        (seen.doing, seen.since) = (doing, at);
    }

    fn opened(&mut self, stream: StreamId, at: Duration) {
        self.turn(stream, Doing::Between, at);
        self.streams[stream].open = true;
    }

    fn started(&mut self, plan: &Plan, step: StepId, at: Duration) {
        let stream = plan.steps[step].stream;
        self.streams[stream].begun = at;
        self.turn(stream, Doing::Running(step), at);
        self.steps[step] = Done::NotYet;
    }

    fn waiting(&mut self, plan: &Plan, step: StepId, at: Duration) {
        let stream = plan.steps[step].stream;
        if self.streams[stream].doing != Doing::Running(step) {
            self.streams[stream].begun = at;
        }
        self.turn(stream, Doing::Waiting(step), at);
        if let StepKind::Barrier(barrier) = plan.steps[step].kind {
            self.arrive(barrier, step, at);
        }
    }

    /// Code of a start gate is in place: it waits for the others'.
    fn staged(&mut self, plan: &Plan, step: StepId, at: Duration) {
        if let Some(gate) = plan.steps[step].extra.as_ref().and_then(|extra| extra.gate) {
            self.turn(plan.steps[step].stream, Doing::Waiting(step), at);
            self.arrive(gate, step, at);
        }
    }

    /// Code of a start gate runs from now on.
    fn let_go(&mut self, plan: &Plan, step: StepId, at: Duration) {
        let seen = &mut self.streams[plan.steps[step].stream];
        if seen.doing == Doing::Waiting(step) {
            (seen.doing, seen.since, seen.begun) = (Doing::Running(step), at, at);
        }
    }

    fn arrive(&mut self, barrier: BarrierId, step: StepId, at: Duration) {
        let meets = &mut self.meetings[barrier.index()];
        if let Meets::Some(meeting) = meets {
            meeting.arrived.push((step, at));
        } else {
            *meets = Meets::Some(Box::new(Meeting { arrived: vec![(step, at)] }));
        }
    }

    /// An earlier run has done it, all that meets there with it.
    fn taken(&mut self, plan: &Plan, step: StepId, outcome: &Outcome) {
        self.steps[step] = done(plan, step, outcome);
        if let StepKind::Barrier(barrier) = plan.steps[step].kind {
            self.meetings[barrier.index()] = Meets::All;
        }
        self.taken += 1;
    }

    fn ended(&mut self, plan: &Plan, step: StepId, outcome: &Outcome, at: Duration) {
        self.steps[step] = done(plan, step, outcome);
        let seen = &self.streams[plan.steps[step].stream];
        if matches!(seen.doing, Doing::Running(now) | Doing::Waiting(now) if now == step) {
            self.turn(plan.steps[step].stream, Doing::Between, at);
        }
    }

    fn released(&mut self, barrier: BarrierId) {
        let before = std::mem::replace(&mut self.meetings[barrier.index()], Meets::All);
        self.met = Some((barrier, if let Meets::Some(meeting) = before { meeting } else { Box::default() }));
    }
}

fn done(plan: &Plan, step: StepId, outcome: &Outcome) -> Done {
    match outcome {
        Outcome::Passed => Done::Passed,
        Outcome::Failed(_) | Outcome::TimedOut(_) if excused(plan, step, outcome) => Done::Excused,
        Outcome::Failed(_) => Done::Failed,
        Outcome::TimedOut(_) => Done::TimedOut,
        Outcome::Unreachable(_) => Done::Unreachable,
        Outcome::Lost(_) => Done::Lost,
        Outcome::Broken(_) => Done::Broken,
        Outcome::Cancelled(_) => Done::Cancelled,
        Outcome::Skipped => Done::Skipped,
    }
}

/// Whether a failure of this step, as it ended, neither stops its stream nor counts.
pub(super) fn excused(plan: &Plan, step: StepId, outcome: &Outcome) -> bool {
    let own = match outcome {
        Outcome::Failed(reason) => !matches!(reason, Reason::Background(..)),
        Outcome::TimedOut(_) => true,
        Outcome::Passed
        | Outcome::Unreachable(_)
        | Outcome::Lost(_)
        | Outcome::Broken(_)
        | Outcome::Cancelled(_)
        | Outcome::Skipped => false,
    };
    let options = plan.code_of(step).and_then(|code| code.options.as_ref());
    let extra = plan.steps[step].extra.as_ref();
    own && (options.is_some_and(|options| options.may_fail) || extra.is_some_and(|extra| extra.may_fail))
}
