//! The handling of one input: it is given to whom it concerns, then everything that follows from it is worked off.

use super::clock::Alarm;
use super::state::{Life, Link, Part, Phase, Turn, Work};
use super::{Action, End, Input, Stop};
use crate::event::{Ask, Cause, Event, Fault, Outcome, Reason};
use crate::plan::StepId;
use crate::scenario::StreamId;

/// Why a step fails where all streams wait for each other.
pub(super) const TANGLED: &str = "the streams wait for each other: what it waits for can never come";

impl Turn<'_> {
    /// Handles one input, and every deadline that has come.
    pub(super) fn take(&mut self, input: Input) {
        if self.state.done {
            return;
        }
        self.dispatch(input);
        self.work_off();
        while !self.state.done
            && let Some(alarm) = self.strike()
        {
            self.ring(alarm);
            self.work_off();
        }
        self.tidy();
        while self.at_rest() && self.untangle() {
            self.work_off();
            self.tidy();
        }
    }

    /// Where all streams wait for each other, the first of them fails, so that no run hangs. Plans are proven to have no
    /// such circle; this is for those that a proof does not see.
    fn untangle(&mut self) -> bool {
        if self.state.done || !self.state.begun {
            return false;
        }
        let waits = |phase| matches!(phase, Phase::Needs(_) | Phase::Meeting | Phase::Held | Phase::Listening);
        let Some((stream, lane)) = self.state.lanes.iter().find(|(_, lane)| waits(lane.phase)) else { return false };
        let outcome = Outcome::Failed(Reason::Error(TANGLED.into()));
        if lane.phase == Phase::Held {
            self.sentence(stream, outcome, Stop::Now);
        } else {
            self.end_now(stream, outcome);
        }
        true
    }

    fn dispatch(&mut self, input: Input) {
        match input {
            Input::Begin => self.begin_run(),
            Input::Opened(stream, host) => self.opened(stream, host),
            Input::StreamFailed(stream, fault) => self.stream_failed(stream, &fault),
            Input::Staged(step) => self.staged(step),
            Input::Ready(step) => self.ready(step),
            Input::Unhealthy(step, words) => self.unhealthy(step, words),
            Input::Ended(step, end) => self.ended(step, end),
            Input::Leaked(step, leaks) => {
                self.state.verdict.leaked = true;
                self.record(Event::StepLeaked(step, leaks));
            }
            Input::GateReleased(barrier, skew) => self.record(Event::GateReleased(barrier, skew)),
            Input::Closed(stream, leaks) => self.closed(stream, leaks),
            Input::Asked(Ask::Interrupt(urgency)) => self.interrupt(urgency),
            Input::Asked(Ask::JournalFailed(words)) => {
                self.record(Event::JournalFailed(words));
                self.state.verdict.surroundings = true;
                self.halt(Cause::Journal);
            }
            Input::Tick => {}
        }
    }

    fn work_off(&mut self) {
        while let Some(work) = self.state.work.pop_front() {
            match work {
                Work::Proceed(stream) => self.proceed(stream),
                Work::Begin(stream) => self.begin_supplied(stream),
                Work::Fall(stream, from, origin) => self.fall(stream, from, origin),
                Work::Drained(stream) => self.drained(stream),
                Work::Keys(stream, denied) => self.keys(stream, denied),
                Work::Close(stream) => self.close_lingering(stream),
                Work::Halt(cause) => self.halt(cause),
            }
        }
    }

    fn ring(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Step(stream) => self.step_due(stream),
            Alarm::Bound(stream) => self.bound_due(stream),
            Alarm::Process(handle) => self.process_due(handle),
            Alarm::Barrier(barrier) => self.barrier_due(barrier),
            Alarm::Run => {
                self.record(Event::RunTimedOut);
                self.state.verdict.timed_out = true;
                self.halt(Cause::RunTimeout);
            }
        }
    }

    /// A process or a copying has ended: it is the running step's, a background one, or one that was given up.
    fn ended(&mut self, step: StepId, end: End) {
        let stream = self.plan.steps[step].stream;
        let lane = &self.state.lanes[stream];
        if lane.at == step && matches!(lane.phase, Phase::Running | Phase::Held) {
            self.process_of_step_ended(stream, end);
        } else if let Some(handle) = self.handle_of(step)
            && matches!(self.state.processes[handle].life, Life::Held | Life::Running)
        {
            self.background_ended(handle, end.exit);
        }
    }

    /// A deadline of a whole stream has come.
    fn bound_due(&mut self, stream: StreamId) {
        let lane = &self.state.lanes[stream];
        if lane.link == Link::Opening && lane.phase != Phase::Closing {
            let limit = crate::syntax::duration(self.bounds.connect);
            self.stream_failed(stream, &Fault::Unreachable(format!("no answer within {limit}").into()));
        } else if lane.phase == Phase::Closing {
            // Nobody knows what is left there.
            self.state.verdict.leaked = true;
            self.closed(stream, Vec::new());
        } else if lane.part == Part::Cleanup {
            self.cleanup_due(stream);
        }
    }

    pub(super) fn record(&mut self, event: Event) {
        self.out.push(Action::Record(event));
    }

    pub(super) fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    pub(super) fn queue(&mut self, work: Work) {
        self.state.work.push_back(work);
    }
}
