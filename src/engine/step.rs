//! One step: arriving at it, beginning it, trying it again, and what its end means for its stream.

use super::clock::Alarm;
use super::judge::origin_of;
use super::needs::needs_place;
use super::state::{Kept, Link, Part, Phase, Turn, Work};
use super::{Action, Captured, End, Planted, Stop};
use crate::event::{Event, Exit, Fault, Made, Origin, Outcome, Reason};
use crate::plan::{StepId, StepKind, Unknown, ValueId, evaluate, explain, holds};
use crate::scenario::StreamId;

/// The gentle end of a process: TERM.
pub(super) const TERM: Stop = Stop::Gently(15);

impl Turn<'_> {
    /// A stream has come to its next step.
    pub(super) fn arrive(&mut self, stream: StreamId) {
        // What is done again for those that come after it is in no group any more.
        if self.state.lanes[stream].again.is_empty() {
            self.open_groups(stream);
        }
        // A cleanup waits for nobody.
        if self.state.lanes[stream].part == Part::Cleanup || self.await_needs(stream) {
            self.begin(stream);
        }
    }

    /// The last of the step's needs has come; meanwhile its timeline may be over.
    pub(super) fn begin_supplied(&mut self, stream: StreamId) {
        if self.state.lanes[stream].part == Part::Timeline {
            self.begin(stream);
        }
    }

    /// All that the step needs of others is there.
    pub(super) fn begin(&mut self, stream: StreamId) {
        let lane = &self.state.lanes[stream];
        let step = lane.at;
        if lane.phase != Phase::Idle {
            return;
        }
        if lane.part == Part::Timeline && self.state.halt.is_some() {
            return self.fall(stream, step, None);
        }
        match self.extra(step).and_then(|extra| extra.when.as_ref()).map(|guard| holds(guard, &self.view())) {
            Some(Ok(false)) => self.end_step(stream, Outcome::Skipped),
            Some(Err(unknown)) => self.end_step(stream, error(unknown)),
            Some(Ok(true)) | None if needs_place(self.plan, step) => self.begin_placed(stream),
            Some(Ok(true)) | None => self.launch(stream),
        }
    }

    fn begin_placed(&mut self, stream: StreamId) {
        match self.state.lanes[stream].link {
            Link::Open => self.launch(stream),
            Link::Unopened if self.state.lanes[stream].part == Part::Cleanup => {
                self.end_step(stream, error(Unknown("a value that opens the stream was never made".to_owned())));
            }
            Link::Unopened => {
                self.state.lanes[stream].phase = Phase::Opening;
                self.open(stream);
            }
            Link::Opening => self.state.lanes[stream].phase = Phase::Opening,
            Link::Failed(_) => self.end_step(stream, Outcome::Skipped),
        }
    }

    /// Starts the step itself.
    pub(super) fn launch(&mut self, stream: StreamId) {
        let lane = &mut self.state.lanes[stream];
        let step = lane.at;
        lane.phase = Phase::Idle;
        lane.started = self.now;
        lane.stop = Stop::No;
        lane.spent = false;
        let count = self.count(stream, step);
        self.record(Event::StepStarted(step, count));
        match self.plan.steps[step].kind {
            StepKind::Run(_)
            | StepKind::Capture(..)
            | StepKind::Put
            | StepKind::Get
            | StepKind::Start(_)
            | StepKind::Prepare(_) => self.launch_process(stream),
            StepKind::Evaluate(value) => self.launch_evaluate(stream, value),
            StepKind::Expect => self.launch_expect(stream),
            StepKind::Stop(handle) => self.launch_stop(stream, handle),
            StepKind::Trigger(handle) => self.launch_trigger(stream, handle),
            StepKind::Join(handle) => self.launch_join(stream, handle),
            StepKind::Barrier(barrier) => self.meet(stream, barrier, Phase::Meeting),
            StepKind::Wait(signal) => self.listen(stream, signal),
            StepKind::Signal => {
                self.end_step(stream, Outcome::Passed);
                self.signal(step);
            }
        }
    }

    /// The how-manieth time a step starts. Counted only where there can be a second time.
    fn count(&mut self, stream: StreamId, step: StepId) -> u32 {
        if self.state.lanes[stream].rounds.is_empty() && self.options(step).is_none_or(|options| options.retry == 0) {
            return 1;
        }
        let count = self.state.counts.entry(step).or_default();
        *count += 1;
        *count
    }

    fn launch_process(&mut self, stream: StreamId) {
        let step = self.state.lanes[stream].at;
        if let Some(gate) = self.gate(step)
            && self.broken_already(stream, gate)
        {
            return;
        }
        if let Err(unknown) = self.known(step) {
            return self.end_step(stream, error(unknown));
        }
        self.state.lanes[stream].phase = Phase::Running;
        self.arm(Alarm::Step(stream), self.limit(step));
        self.act(Action::Run(step));
    }

    fn launch_evaluate(&mut self, stream: StreamId, value: ValueId) {
        let step = self.state.lanes[stream].at;
        match self.expression(step).map(|expression| evaluate(expression, &self.view())) {
            Some(Ok(made)) => {
                self.keep(stream, value, Made::Value(made));
                self.end_step(stream, Outcome::Passed);
            }
            Some(Err(unknown)) => self.end_step(stream, error(unknown)),
            None => self.end_step(stream, Outcome::Passed),
        }
    }

    fn launch_expect(&mut self, stream: StreamId) {
        let step = self.state.lanes[stream].at;
        let Some(expression) = self.expression(step) else { return self.end_step(stream, Outcome::Passed) };
        let outcome = match holds(expression, &self.view()) {
            Ok(true) => Outcome::Passed,
            Ok(false) => Outcome::Failed(Reason::Unmet(explain(expression, self.plan, &self.view()))),
            Err(unknown) => {
                let parts = explain(expression, self.plan, &self.view()).into_iter();
                Outcome::Failed(Reason::Unmet(parts.chain([unknown.0]).collect()))
            }
        };
        self.end_step(stream, outcome);
    }

    /// The process of the running step has ended.
    pub(super) fn process_of_step_ended(&mut self, stream: StreamId, end: End) {
        self.disarm(Alarm::Step(stream));
        let lane = &mut self.state.lanes[stream];
        let (step, started) = (lane.at, lane.started);
        if let Exit::Lost(words) = end.exit {
            return self.stream_failed(stream, &Fault::Lost(words));
        }
        let outcome = lane.sentence.take().unwrap_or_else(|| self.judge(step, &end.exit));
        if self.tries_again(stream, &outcome) {
            return self.pause(stream, outcome);
        }
        let kept = outcome == Outcome::Passed || self.excused(step, &outcome);
        if let (StepKind::Capture(value, _), true) = (self.plan.steps[step].kind, kept) {
            let captured = end.captured.map_or_else(Captured::default, |captured| *captured);
            let made = Made::output(captured, &end.exit, self.now.saturating_sub(started));
            self.keep(stream, value, made);
        }
        self.end_step(stream, outcome);
    }

    /// Whether a failed try is followed by another. Gates are not tried again: the others have gone.
    fn tries_again(&self, stream: StreamId, outcome: &Outcome) -> bool {
        let lane = &self.state.lanes[stream];
        let retry = self.options(lane.at).map_or(0, |options| options.retry);
        let failed = matches!(outcome, Outcome::Failed(Reason::Exit(_)) | Outcome::TimedOut(_));
        let over = lane.spent || lane.late || (lane.part == Part::Timeline && self.state.halt.is_some());
        failed && lane.tries < retry && !over && self.gate(lane.at).is_none()
    }

    fn pause(&mut self, stream: StreamId, outcome: Outcome) {
        let lane = &mut self.state.lanes[stream];
        lane.tries += 1;
        lane.phase = Phase::Pausing;
        lane.stop = Stop::No;
        let step = lane.at;
        let pause = self.options(step).and_then(|options| options.every).unwrap_or_default();
        self.record(Event::StepRetried(step, outcome, pause));
        self.arm(Alarm::Step(stream), pause);
    }

    /// The deadline of the running step has come.
    pub(super) fn step_due(&mut self, stream: StreamId) {
        match self.state.lanes[stream].phase {
            Phase::Running | Phase::Held => self.process_of_step_due(stream),
            Phase::Listening => {
                let limit = self.limit(self.state.lanes[stream].at);
                self.end_step(stream, Outcome::TimedOut(limit));
            }
            Phase::Joining(handle) => self.join_due(stream, handle),
            Phase::Pausing => self.launch(stream),
            Phase::Resting => self.next_round(stream),
            Phase::Idle
            | Phase::Needs(_)
            | Phase::Opening
            | Phase::Meeting
            | Phase::Stopping(_)
            | Phase::Draining(_)
            | Phase::Lingering
            | Phase::Closing
            | Phase::Closed => {}
        }
    }

    /// Its time, then its grace, then the patience with KILL is over.
    fn process_of_step_due(&mut self, stream: StreamId) {
        let limit = self.limit(self.state.lanes[stream].at);
        let patient = self.planted(Planted::WaitsForever);
        let lane = &mut self.state.lanes[stream];
        match lane.stop {
            Stop::Now if patient => {}
            Stop::No => self.sentence(stream, Outcome::TimedOut(limit), TERM),
            Stop::Gently(_) => self.stop_step(stream, Stop::Now),
            Stop::Now => {
                lane.spent = true;
                let outcome = lane.sentence.take().unwrap_or(Outcome::TimedOut(limit));
                self.end_step(stream, outcome);
            }
        }
    }

    /// Ends the process of the running step; whatever its status, the step will have come to `outcome`.
    pub(super) fn sentence(&mut self, stream: StreamId, outcome: Outcome, how: Stop) {
        self.state.lanes[stream].sentence.get_or_insert(outcome);
        self.stop_step(stream, how);
    }

    /// Tells the process of the running step to end. It only rises.
    pub(super) fn stop_step(&mut self, stream: StreamId, how: Stop) {
        let falls = self.planted(Planted::StopFalls);
        let lane = &mut self.state.lanes[stream];
        if how.rises_above(lane.stop) || falls {
            lane.stop = how;
            let step = lane.at;
            self.act(Action::Stop(step, how));
            self.arm(Alarm::Step(stream), self.bounds.grace);
        }
    }

    /// The running step has ended.
    pub(super) fn end_step(&mut self, stream: StreamId, outcome: Outcome) {
        self.disarm(Alarm::Step(stream));
        let lane = &mut self.state.lanes[stream];
        let step = lane.at;
        (lane.sentence, lane.stop, lane.tries, lane.phase) = (None, Stop::No, 0, Phase::Idle);
        match outcome {
            Outcome::Passed => {
                self.record(Event::StepEnded(step, Outcome::Passed));
                self.go_on(stream, step);
            }
            Outcome::Skipped => {
                self.leave_out(step);
                self.record(Event::StepEnded(step, Outcome::Skipped));
                self.go_on(stream, step);
            }
            outcome if self.excused(step, &outcome) => {
                self.state.lanes[stream].passed = false;
                self.leave_out(step);
                self.record(Event::StepEnded(step, outcome));
                self.go_on(stream, step);
            }
            Outcome::Failed(_)
            | Outcome::TimedOut(_)
            | Outcome::Unreachable(_)
            | Outcome::Lost(_)
            | Outcome::Broken(_)
            | Outcome::Cancelled(_) => self.fail_step(stream, step, outcome),
        }
    }

    /// A value that is not made is marked, so that nobody waits for it.
    fn leave_out(&mut self, step: StepId) {
        if let StepKind::Capture(value, _) | StepKind::Evaluate(value) = self.plan.steps[step].kind
            && matches!(self.state.values[value], Kept::Pending)
            && self.state.lanes[self.plan.steps[step].stream].rounds.is_empty()
        {
            self.state.values[value] = Kept::Absent;
            self.supply(crate::plan::Need::Value(value));
        }
    }

    /// Ends the step and its stream's groups for good.
    pub(super) fn end_now(&mut self, stream: StreamId, outcome: Outcome) {
        let lane = &mut self.state.lanes[stream];
        lane.rounds.clear();
        self.end_step(stream, outcome);
    }

    fn fail_step(&mut self, stream: StreamId, step: StepId, outcome: Outcome) {
        if self.tries_group_again(stream, &outcome) {
            return;
        }
        let origin = origin_of(step, stream, &outcome);
        self.count_failure(stream, &outcome);
        self.record(Event::StepEnded(step, outcome));
        if let Some(origin) = origin {
            self.break_own(step, origin);
        }
        if self.state.lanes[stream].part == Part::Cleanup {
            self.go_on(stream, step);
        } else {
            if let Some(origin) = origin {
                self.state.lanes[stream].failed.get_or_insert(origin);
            }
            self.queue(Work::Fall(stream, StepId(step.0 + 1), origin));
        }
        if let Some(origin) = origin {
            self.failed_fast(origin);
        }
    }

    /// A failed step gives nothing to others.
    fn break_own(&mut self, step: StepId, origin: Origin) {
        if !self.planted(Planted::FailureDoesNotBreak) {
            self.break_gifts(step, origin);
        }
    }
}

fn error(unknown: Unknown) -> Outcome {
    Outcome::Failed(Reason::Error(unknown.0.into()))
}
