//! `retry` and `repeat`: rounds of steps, and the values that others see only once the outermost group is over.

use std::time::Duration;

use super::clock::Alarm;
use super::state::{After, Kept, Part, Phase, Round, Turn, Work};
use crate::event::{Cause, Event, Made, Origin, Outcome, Reason};
use crate::plan::{GroupKind, Need, Plan, StepId, StepKind, ValueId};
use crate::scenario::StreamId;

/// The shortest time from one round's start to the next, so that rounds that take no time end some day.
const SHORTEST: Duration = Duration::from_millis(1);

impl Turn<'_> {
    /// Enters the groups that begin with the current step, those aside that it is in already.
    pub(super) fn open_groups(&mut self, stream: StreamId) {
        let plan = self.plan;
        let lane = &mut self.state.lanes[stream];
        for group in plan.steps[lane.at].extra.iter().flat_map(|extra| &extra.opens) {
            if lane.rounds.iter().all(|round| round.group != *group) {
                lane.since.get_or_insert(lane.at);
                let mark = u32::try_from(lane.background.len()).unwrap_or(u32::MAX);
                lane.rounds.push(Round { group: *group, times: 1, first: self.now, began: self.now, mark });
            }
        }
    }

    /// A step has ended and its stream goes on: with the next round of a group that ends here, or the next step.
    pub(super) fn go_on(&mut self, stream: StreamId, step: StepId) {
        let mut outermost = None;
        while let Some(round) = self.state.lanes[stream].rounds.last().copied() {
            let group = &self.plan.groups[round.group];
            if group.last != step {
                break;
            }
            if let GroupKind::Repeat { .. } = group.kind {
                return self.drain(stream, After::Round);
            }
            self.state.lanes[stream].rounds.pop();
            outermost = Some(round.group);
        }
        self.leave(stream, step, outermost);
    }

    fn leave(&mut self, stream: StreamId, step: StepId, outermost: Option<crate::plan::GroupId>) {
        if let Some(group) = outermost.filter(|_| self.state.lanes[stream].rounds.is_empty()) {
            self.state.lanes[stream].since = None;
            self.publish(self.plan.groups[group].first, step);
        }
        let lane = &mut self.state.lanes[stream];
        lane.at = lane.again.pop_front().unwrap_or(StepId(step.0 + 1));
        self.queue(Work::Proceed(stream));
    }

    /// Whether a failure with this outcome would begin another round of a `retry`.
    pub(super) fn group_can_retry(&self, stream: StreamId, outcome: &Outcome) -> bool {
        self.retrying(stream, outcome).is_some()
    }

    /// The place of the group that is tried again, and its pause.
    fn retrying(&self, stream: StreamId, outcome: &Outcome) -> Option<(usize, Duration)> {
        let lane = &self.state.lanes[stream];
        let from = match outcome {
            Outcome::Failed(Reason::Background(start, _)) | Outcome::Cancelled(Cause::Stream(Origin::Step(start))) => {
                *start
            }
            Outcome::Failed(_) | Outcome::TimedOut(_) => lane.at,
            Outcome::Passed
            | Outcome::Unreachable(_)
            | Outcome::Lost(_)
            | Outcome::Broken(_)
            | Outcome::Cancelled(_)
            | Outcome::Skipped => return None,
        };
        if lane.spent || lane.late || (lane.part == Part::Timeline && self.state.halt.is_some()) {
            return None;
        }
        lane.rounds.iter().enumerate().rev().find_map(|(place, round)| {
            let group = &self.plan.groups[round.group];
            match group.kind {
                GroupKind::Retry { times, every } if round.times < times && group.first <= from => Some((place, every)),
                GroupKind::Retry { .. } | GroupKind::Repeat { .. } => None,
            }
        })
    }

    /// Begins another round after a failure, if a group allows it.
    pub(super) fn tries_group_again(&mut self, stream: StreamId, outcome: &Outcome) -> bool {
        let Some((place, every)) = self.retrying(stream, outcome) else { return false };
        let lane = &mut self.state.lanes[stream];
        lane.rounds.truncate(place + 1);
        lane.rounds[place].times += 1;
        let step = lane.at;
        self.record(Event::StepRetried(step, outcome.clone(), every));
        self.drain(stream, After::Round);
        true
    }

    /// The background processes of a round have ended: pauses before the next one, or goes on where there is none.
    pub(super) fn rest(&mut self, stream: StreamId) {
        let Some(round) = self.state.lanes[stream].rounds.last().copied() else { return };
        let group = self.plan.groups[round.group];
        let pause = match group.kind {
            GroupKind::Retry { every, .. } => every,
            GroupKind::Repeat { time, every } => {
                let next = self.now.max(round.began + every.max(SHORTEST));
                if next >= round.first.saturating_add(time) {
                    return self.leave_repeat(stream, group.last);
                }
                self.state.lanes[stream].rounds.last_mut().into_iter().for_each(|round| round.times += 1);
                next.saturating_sub(self.now)
            }
        };
        self.state.lanes[stream].phase = Phase::Resting;
        self.arm(Alarm::Step(stream), pause);
    }

    fn leave_repeat(&mut self, stream: StreamId, step: StepId) {
        let lane = &mut self.state.lanes[stream];
        lane.phase = Phase::Idle;
        match lane.rounds.pop() {
            Some(round) if lane.rounds.is_empty() => self.leave(stream, step, Some(round.group)),
            _ => self.go_on(stream, step),
        }
    }

    /// The pause before a round is over.
    pub(super) fn next_round(&mut self, stream: StreamId) {
        let lane = &mut self.state.lanes[stream];
        lane.phase = Phase::Idle;
        if let Some(round) = lane.rounds.last_mut() {
            round.began = self.now;
            lane.at = self.plan.groups[round.group].first;
        }
        self.queue(Work::Proceed(stream));
    }

    /// Whether the step at which a group pauses has an end of its own already.
    pub(super) fn between_rounds_of_repeat(&self, stream: StreamId) -> bool {
        let round = self.state.lanes[stream].rounds.last();
        round.is_some_and(|round| matches!(self.plan.groups[round.group].kind, GroupKind::Repeat { .. }))
    }

    /// Keeps what a `let` made; others see it at once, or when the outermost group is over.
    pub(super) fn keep(&mut self, stream: StreamId, value: ValueId, made: Made) {
        self.record(Event::ValueMade(value, Some(made.clone())));
        if self.state.lanes[stream].rounds.is_empty() {
            self.state.values[value] = Kept::Made(made);
            self.supply(Need::Value(value));
        } else {
            self.state.values[value] = Kept::Private(made);
        }
    }

    fn publish(&mut self, first: StepId, last: StepId) {
        for step in Plan::range(&(first..StepId(last.0 + 1))) {
            let (StepKind::Capture(value, _) | StepKind::Evaluate(value)) = self.plan.steps[step].kind else {
                continue;
            };
            self.state.values[value] = match std::mem::replace(&mut self.state.values[value], Kept::Absent) {
                Kept::Private(made) | Kept::Made(made) => Kept::Made(made),
                Kept::Pending | Kept::Absent => Kept::Absent,
                Kept::Broken(origin) => Kept::Broken(origin),
            };
            self.supply(Need::Value(value));
        }
    }
}
