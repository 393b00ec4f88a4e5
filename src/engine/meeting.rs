//! Where streams meet: barriers, start gates and signals. A meeting of n parties is walked once when it is
//! released or broken, and never on an arrival.

use super::clock::Alarm;
use super::state::{Fate, Phase, Turn};
use super::{Action, Planted, Stop};
use crate::event::{Event, Origin, Outcome};
use crate::plan::{BarrierId, SignalId, StepId};
use crate::scenario::StreamId;

impl Turn<'_> {
    /// Ends the step where its gate is broken before it has begun. Answers whether it is.
    pub(super) fn broken_already(&mut self, stream: StreamId, gate: BarrierId) -> bool {
        let Fate::Broken(origin) = self.state.meetings[gate].fate else { return false };
        self.end_step(stream, Outcome::Broken(origin));
        true
    }

    /// A party has come: to a barrier, or with its process staged to a gate.
    pub(super) fn meet(&mut self, stream: StreamId, barrier: BarrierId, how: Phase) {
        let plan = self.plan;
        if let Fate::Broken(origin) = self.state.meetings[barrier].fate {
            let own = self.planted(Planted::BlamesItself);
            let origin = if own { Origin::Step(self.state.lanes[stream].at) } else { origin };
            return self.end_party(stream, Outcome::Broken(origin));
        }
        let meeting = &mut self.state.meetings[barrier];
        meeting.arrived += 1;
        let (arrived, it) = (meeting.arrived, &plan.barriers[barrier]);
        let early = u32::from(self.planted(Planted::ReleasedEarly) && it.parties.len() > 2);
        self.state.lanes[stream].phase = how;
        if (arrived + early) as usize == it.parties.len() {
            self.release(stream, barrier);
        } else {
            self.record(Event::StepWaiting(self.state.lanes[stream].at));
            if let (1, Some(timeout)) = (arrived, it.timeout) {
                self.arm(Alarm::Barrier(barrier), self.bounds.scaled(timeout));
            }
        }
    }

    fn release(&mut self, last: StreamId, barrier: BarrierId) {
        self.state.meetings[barrier].fate = Fate::Come;
        self.record(Event::BarrierReleased(barrier, last));
        let it = &self.plan.barriers[barrier];
        if it.gate {
            return self.release_gate(barrier);
        }
        for party in &it.parties {
            let stream = self.plan.steps[*party].stream;
            if self.waits_at(stream, *party) {
                self.end_step(stream, Outcome::Passed);
            }
        }
    }

    fn release_gate(&mut self, barrier: BarrierId) {
        let parties = &self.plan.barriers[barrier].parties;
        self.act(Action::ReleaseAll(barrier, parties.to_vec()));
        for party in parties {
            let stream = self.plan.steps[*party].stream;
            self.state.lanes[stream].phase = Phase::Running;
            self.state.lanes[stream].started = self.now;
            self.record(Event::StepReleased(*party));
            self.arm(Alarm::Step(stream), self.limit(*party));
        }
    }

    fn waits_at(&self, stream: StreamId, party: StepId) -> bool {
        let lane = &self.state.lanes[stream];
        lane.at == party && matches!(lane.phase, Phase::Meeting | Phase::Held)
    }

    /// A party can no longer come: who waits ends now, who comes later ends then.
    pub(super) fn break_barrier(&mut self, barrier: BarrierId, origin: Origin) {
        if self.state.meetings[barrier].fate != Fate::Pending {
            return;
        }
        self.state.meetings[barrier].fate = Fate::Broken(origin);
        self.record(Event::BarrierBroken(barrier, origin));
        if self.planted(Planted::WaitersForgotten) {
            return;
        }
        for party in &self.plan.barriers[barrier].parties {
            let stream = self.plan.steps[*party].stream;
            if self.waits_at(stream, *party) {
                self.end_party(stream, Outcome::Broken(origin));
            }
        }
    }

    /// The barrier's own timeout: who waits there has timed out, who comes later finds it broken by the first of them.
    pub(super) fn barrier_due(&mut self, barrier: BarrierId) {
        let it = &self.plan.barriers[barrier];
        let waiting = it.parties.iter().filter(|party| self.waits_at(self.plan.steps[**party].stream, **party));
        let waiting: Vec<StepId> = waiting.copied().collect();
        let Some(first) = waiting.first() else { return };
        let origin = Origin::Step(*first);
        self.state.meetings[barrier].fate = Fate::Broken(origin);
        let limit = self.bounds.scaled(it.timeout.unwrap_or_default());
        for (place, party) in waiting.iter().enumerate() {
            self.end_party(self.plan.steps[*party].stream, Outcome::TimedOut(limit));
            if place == 0 {
                self.record(Event::BarrierBroken(barrier, origin));
            }
        }
    }

    /// Ends the step of a party; a process that is held at a gate is killed first: it has done nothing yet.
    fn end_party(&mut self, stream: StreamId, outcome: Outcome) {
        let lane = &mut self.state.lanes[stream];
        if matches!(lane.phase, Phase::Running | Phase::Held) {
            self.sentence(stream, outcome, Stop::Now);
        } else {
            self.end_step(stream, outcome);
        }
    }

    /// A `signal` step has happened.
    pub(super) fn signal(&mut self, step: StepId) {
        let plan = self.plan;
        if self.planted(Planted::SignalLost) {
            return;
        }
        for signal in plan.steps[step].extra.iter().flat_map(|extra| &extra.feeds) {
            let awaited = &mut self.state.signals[*signal];
            awaited.came += 1;
            if awaited.fate == Fate::Pending && awaited.came as usize == plan.signals[*signal].from.len() {
                awaited.fate = Fate::Come;
                self.end_listeners(*signal, &Outcome::Passed);
            }
        }
    }

    pub(super) fn listen(&mut self, stream: StreamId, signal: SignalId) {
        let step = self.state.lanes[stream].at;
        match self.state.signals[signal].fate {
            Fate::Come => self.end_step(stream, Outcome::Passed),
            Fate::Broken(origin) => self.end_step(stream, Outcome::Broken(origin)),
            Fate::Pending => {
                self.state.lanes[stream].phase = Phase::Listening;
                self.record(Event::StepWaiting(step));
                if self.extra(step).is_some_and(|extra| extra.timeout.is_some()) {
                    self.arm(Alarm::Step(stream), self.limit(step));
                }
            }
        }
    }

    /// A signaller can no longer signal.
    pub(super) fn break_signal(&mut self, signal: SignalId, origin: Origin) {
        if self.state.signals[signal].fate == Fate::Pending {
            self.state.signals[signal].fate = Fate::Broken(origin);
            self.end_listeners(signal, &Outcome::Broken(origin));
        }
    }

    fn end_listeners(&mut self, signal: SignalId, outcome: &Outcome) {
        for listener in &self.plan.signals[signal].to {
            let stream = self.plan.steps[*listener].stream;
            let lane = &self.state.lanes[stream];
            if lane.at == *listener && lane.phase == Phase::Listening {
                self.end_step(stream, outcome.clone());
            }
        }
    }
}
