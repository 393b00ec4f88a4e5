//! What a journal tells of a run over a plan: how far every stream came, and which steps had begun.

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::read::Entry;
use crate::event::{Exit, Leak, Outcome, Reason};
use crate::plan::{BarrierId, HandleId, Plan, StepId, StepKind};
use crate::scenario::{Arena, StreamId};

/// The fold over the records of a journal.
#[derive(Clone, Debug)]
pub struct Story {
    plan: Arc<Plan>,
    streams: IndexMap<Arc<str>, StreamId>,
    /// The records so far.
    records: u64,
    /// What the first record says.
    pub(super) header: Option<Header>,
    pub(super) lanes: Arena<StreamId, Lane>,
    /// How the steps ended that their streams got past.
    pub(super) ended: IndexMap<StepId, Outcome>,
    /// The steps that an earlier run had done: what is started of them once more is so for others' sake.
    taken: IndexSet<StepId>,
    /// The steps that began, in this run or before.
    pub(super) begun: IndexSet<StepId>,
    pub(super) leaks: IndexMap<StepId, Vec<Leak>>,
    /// The `let` steps whose value holds a secret.
    pub(super) secret: IndexSet<StepId>,
    /// When all had met, by record.
    pub(super) released: IndexMap<BarrierId, u64>,
    /// How a background process ended, and when, by record.
    pub(super) processes: IndexMap<HandleId, (u64, Exit)>,
    /// The exit code of a run that came to its end.
    pub(super) exit_code: Option<u8>,
    /// Something has failed, or the run was asked to stop: what is skipped from then on is skipped because of that.
    falls: bool,
}

/// What the first record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The id of the run.
    pub run: Arc<str>,
    /// The version of mstream.
    pub mstream: Arc<str>,
    /// The run that it goes on with, if it does.
    pub resumed: Option<Arc<str>>,
}

/// How far one stream came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lane {
    /// The step that it has not got past.
    pub(super) at: StepId,
    /// It never will in this run.
    pub(super) stuck: bool,
    /// Its `finally` began.
    pub(super) cleaning: bool,
    pub(super) closed: bool,
}

impl Story {
    /// Nothing has happened.
    pub fn new(plan: &Arc<Plan>) -> Self {
        let lane = |at| Lane { at, stuck: false, cleaning: false, closed: false };
        Self {
            streams: plan.streams.iter().map(|(id, stream)| (Arc::clone(&stream.name), id)).collect(),
            records: 0,
            header: None,
            lanes: plan.streams.values().map(|stream| lane(stream.timeline.start)).collect(),
            ended: IndexMap::new(),
            taken: IndexSet::new(),
            begun: IndexSet::new(),
            leaks: IndexMap::new(),
            secret: IndexSet::new(),
            released: IndexMap::new(),
            processes: IndexMap::new(),
            exit_code: None,
            falls: false,
            plan: Arc::clone(plan),
        }
    }

    /// What the first record says.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The exit code, where the run came to its end.
    pub fn exit_code(&self) -> Option<u8> {
        self.exit_code
    }

    /// Whether the plan has that step: another record of it would be of another plan.
    fn known(&self, step: StepId) -> Result<StepId, String> {
        let there = (step.0 as usize) < self.plan.steps.len();
        there.then_some(step).ok_or_else(|| format!("it tells of step {}, which the plan does not have", step.0))
    }

    fn stream(&self, name: &str) -> Result<StreamId, String> {
        let found = self.streams.get(name).copied();
        found.ok_or_else(|| format!("it tells of the stream `{name}`, which the plan does not have"))
    }

    /// Takes the next record; one that does not fit the plan is refused, in words.
    pub fn record(&mut self, entry: Entry) -> Result<(), String> {
        if self.header.is_some() == matches!(entry, Entry::RunStarted { .. }) {
            return Err("a journal begins with `run_started`, and only there".to_owned());
        }
        self.records += 1;
        match entry {
            Entry::RunStarted { run, mstream, steps, resumed } => {
                if steps != self.plan.steps.len() as u64 {
                    return Err(format!("it tells of {steps} steps, and the plan has {}", self.plan.steps.len()));
                }
                self.header = Some(Header { run, mstream, resumed });
            }
            Entry::StepStarted(step) => self.started(self.known(step)?),
            Entry::StepEnded(step, outcome) => self.step_ended(self.known(step)?, outcome),
            Entry::StepTaken(step, outcome) => {
                let outcome = outcome.ok_or("no such end of a step can be taken over")?;
                self.taken(self.known(step)?, outcome);
            }
            Entry::StepLeaked(step, leaks) => drop(self.leaks.insert(self.known(step)?, leaks)),
            Entry::ValueMade(step, secret) => self.made(self.known(step)?, secret),
            Entry::ProcessEnded(step, exit) => {
                if let StepKind::Start(handle) | StepKind::Prepare(handle) = self.plan.steps[self.known(step)?].kind {
                    self.processes.insert(handle, (self.records, exit));
                }
            }
            Entry::BarrierReleased(barrier) => self.met(barrier)?,
            Entry::CleanupStarted(name) => {
                let stream = self.stream(&name)?;
                self.lanes[stream].cleaning = true;
            }
            Entry::StreamClosed(name) => {
                let stream = self.stream(&name)?;
                self.lanes[stream].closed = true;
            }
            Entry::Halted => self.falls = true,
            Entry::RunEnded(code) => self.exit_code = Some(code),
            Entry::Other => {}
        }
        Ok(())
    }

    fn started(&mut self, step: StepId) {
        self.begun.insert(step);
        self.processes.retain(|handle, _| self.plan.handles[*handle].step != step);
        let stream = self.plan.steps[step].stream;
        if self.in_timeline(step) && !self.lanes[stream].stuck && !self.taken.contains(&step) {
            // In a group it may have been further already.
            self.lanes[stream].at = step;
        }
    }

    fn in_timeline(&self, step: StepId) -> bool {
        self.plan.stream_of(step).timeline.contains(&step)
    }

    fn step_ended(&mut self, step: StepId, outcome: Option<Outcome>) {
        let stream = self.plan.steps[step].stream;
        let outcome = outcome.filter(|outcome| self.gets_past(step, outcome));
        let in_order = !self.in_timeline(step) || (self.lanes[stream].at == step && !self.lanes[stream].stuck);
        match outcome {
            Some(outcome) if in_order => self.got_past(step, outcome),
            Some(_) => {}
            None => {
                self.falls = true;
                if !self.taken.contains(&step) {
                    self.ended.swap_remove(&step);
                }
                self.lanes[stream].stuck |= self.in_timeline(step);
            }
        }
    }

    fn got_past(&mut self, step: StepId, outcome: Outcome) {
        let stream = self.plan.steps[step].stream;
        self.ended.insert(step, outcome);
        if self.in_timeline(step) {
            self.lanes[stream].at = StepId(step.0 + 1);
        }
    }

    /// Whether a stream goes on after a step that ended so.
    fn gets_past(&self, step: StepId, outcome: &Outcome) -> bool {
        let extra = self.plan.steps[step].extra.as_deref();
        let options = self.plan.code_of(step).and_then(|code| code.options.as_deref());
        let may_fail = options.is_some_and(|it| it.may_fail) || extra.is_some_and(|it| it.may_fail);
        match outcome {
            Outcome::Passed => true,
            Outcome::Skipped => !self.falls && extra.is_some_and(|it| it.when.is_some()),
            Outcome::Failed(Reason::Exit(_) | Reason::Unmet(_) | Reason::Error(_)) | Outcome::TimedOut(_) => may_fail,
            Outcome::Failed(Reason::Background(..))
            | Outcome::Unreachable(_)
            | Outcome::Lost(_)
            | Outcome::Broken(_)
            | Outcome::Cancelled(_) => false,
        }
    }

    fn taken(&mut self, step: StepId, outcome: Outcome) {
        self.taken.insert(step);
        self.begun.insert(step);
        self.got_past(step, outcome);
        if let StepKind::Barrier(barrier) = self.plan.steps[step].kind {
            self.released.entry(barrier).or_insert(self.records);
        }
    }

    fn made(&mut self, step: StepId, secret: bool) {
        if secret {
            self.secret.insert(step);
        } else {
            self.secret.swap_remove(&step);
        }
    }

    /// All have come, so all have got past what came before, even where a torn end does not tell of it.
    fn met(&mut self, barrier: BarrierId) -> Result<(), String> {
        let plan = Arc::clone(&self.plan);
        if barrier.0 as usize >= plan.barriers.len() {
            return Err(format!("it tells of meeting {}, which the plan does not have", barrier.0));
        }
        let it = &plan.barriers[barrier];
        self.released.insert(barrier, self.records);
        for party in it.parties.iter().filter(|_| !it.gate) {
            if self.lanes[plan.steps[*party].stream].at == *party {
                self.got_past(*party, Outcome::Passed);
            }
        }
        Ok(())
    }
}
