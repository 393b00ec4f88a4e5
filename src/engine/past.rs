//! A run that goes on where another one ended: what that one has done is there from the beginning.

use indexmap::IndexMap;

use super::needs::needs_place;
use super::state::{Fate, Kept, Life, State};
use crate::event::{Event, Exit, Leak, Made, Outcome};
use crate::plan::{HandleId, Plan, StepId, StepKind, ValueId};
use crate::scenario::{Arena, StreamId};

/// What an earlier run has done and a new one does not do again. It is closed: what a step of it depends on is in it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Past {
    /// The steps, in order, and how each ended.
    pub taken: Vec<(StepId, Outcome)>,
    /// What they left behind.
    pub leaks: IndexMap<StepId, Vec<Leak>>,
    /// What they made; those whose value holds a secret are not here.
    pub values: IndexMap<ValueId, Made>,
    /// The background processes that had ended.
    pub ended: IndexMap<HandleId, Exit>,
    /// By stream: where it goes on.
    pub from: Arena<StreamId, StepId>,
    /// The starts and releases of processes that were alive there, in order: they are done again first.
    pub again: Vec<StepId>,
}

/// The steps of a plan as bits.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken(Vec<bool>);

impl Taken {
    pub(super) fn new(plan: &Plan, past: &Past) -> Self {
        let mut all = if past.taken.is_empty() { Vec::new() } else { vec![false; plan.steps.len()] };
        for (step, _) in &past.taken {
            all[step.0 as usize] = true;
        }
        Self(all)
    }

    pub(super) fn has(&self, step: StepId) -> bool {
        self.0.get(step.0 as usize).is_some_and(|taken| *taken)
    }
}

impl State {
    /// Puts everything where the past has left it, and returns what is to be told of it.
    pub(super) fn go_on_after(&mut self, plan: &Plan, past: &Past, taken: &Taken) -> Vec<Event> {
        if past.taken.is_empty() {
            return Vec::new();
        }
        for step in &past.again {
            self.lanes[plan.steps[*step].stream].again.push_back(*step);
        }
        for (stream, from) in past.from.iter() {
            let place = &plan.streams[stream];
            let lane = &mut self.lanes[stream];
            lane.again.push_back(*from);
            lane.at = lane.again.pop_front().unwrap_or(*from);
            lane.cleaned = !place.cleanup.is_empty() && Plan::range(&place.cleanup).all(|step| taken.has(step));
            let rest = Plan::range(&(*from..place.timeline.end)).chain(lane.again.iter().copied());
            let placed = rest.chain([lane.at]).any(|step| step != place.timeline.end && needs_place(plan, step));
            lane.eager &= placed || self.hosts.wanted(stream);
        }
        self.meetings_had(plan, taken);
        self.made_before(plan, past);
        self.processes_had(plan, past);
        self.verdict.leaked = !past.leaks.is_empty();
        told(plan, past)
    }

    fn meetings_had(&mut self, plan: &Plan, taken: &Taken) {
        for (barrier, it) in plan.barriers.iter() {
            if it.parties.iter().all(|party| taken.has(*party)) {
                self.meetings[barrier].fate = Fate::Come;
            }
        }
        for (signal, it) in plan.signals.iter() {
            let came = it.from.iter().filter(|step| taken.has(**step)).count();
            self.signals[signal].came = u32::try_from(came).unwrap_or(u32::MAX);
            if came == it.from.len() {
                self.signals[signal].fate = Fate::Come;
            }
        }
    }

    fn made_before(&mut self, plan: &Plan, past: &Past) {
        for (step, outcome) in &past.taken {
            if let StepKind::Capture(value, _) | StepKind::Evaluate(value) = plan.steps[*step].kind {
                self.values[value] = Kept::Absent;
            }
            if !matches!(outcome, Outcome::Passed | Outcome::Skipped) {
                self.lanes[plan.steps[*step].stream].passed = false;
            }
        }
        for (value, made) in &past.values {
            self.values[*value] = Kept::Made(made.clone());
        }
    }

    fn processes_had(&mut self, plan: &Plan, past: &Past) {
        for (handle, exit) in &past.ended {
            self.processes[*handle].life = Life::Ended(exit.clone());
        }
        for (step, _) in &past.taken {
            if let StepKind::Stop(handle) | StepKind::Join(handle) = plan.steps[*step].kind
                && self.processes[handle].life == Life::Unborn
            {
                self.processes[handle].life = Life::Ended(Exit::Status(0));
            }
        }
    }
}

/// What reports, and who goes on with this run in its turn, have to know.
fn told(plan: &Plan, past: &Past) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for (step, outcome) in &past.taken {
        events.extend(past.leaks.get(step).map(|leaks| Event::StepLeaked(*step, leaks.clone())));
        if let StepKind::Capture(value, _) | StepKind::Evaluate(value) = plan.steps[*step].kind {
            events.push(Event::ValueMade(value, past.values.get(&value).cloned()));
        }
        events.push(Event::StepTaken(*step, outcome.clone()));
        if let StepKind::Start(handle) | StepKind::Prepare(handle) = plan.steps[*step].kind {
            events.extend(past.ended.get(&handle).map(|exit| Event::ProcessEnded(*step, exit.clone())));
        }
    }
    events
}
