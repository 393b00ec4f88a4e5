//! The end of all timelines: an interrupt, `--fail-fast`, the timeout of the run. And the cutting short of one.

use super::clock::Alarm;
use super::judge::origin_of;
use super::state::{After, Part, Phase, Turn, Work};
use super::step::TERM;
use super::{Planted, Stop};
use crate::event::{Cause, Event, Origin, Outcome, Urgency};
use crate::plan::StepId;
use crate::scenario::StreamId;

impl Turn<'_> {
    /// Somebody asks to stop; whoever asks twice means at once.
    pub(super) fn interrupt(&mut self, urgency: Urgency) {
        let again = std::mem::replace(&mut self.state.interrupted, true);
        let urgency = if again { Urgency::AtOnce } else { urgency };
        self.record(Event::Interrupted(urgency));
        self.state.verdict.interrupted = true;
        self.halt(Cause::Interrupt);
        if urgency == Urgency::AtOnce {
            self.halt_at_once();
        }
    }

    /// A failure that counts.
    pub(super) fn failed_fast(&mut self, origin: Origin) {
        if self.bounds.fail_fast && self.state.halt.is_none() {
            self.queue(Work::Halt(Cause::FailFast(origin)));
        }
    }

    /// All timelines are over: what runs is stopped, what waits ends. Cleanups follow.
    pub(super) fn halt(&mut self, cause: Cause) {
        if self.state.halt.is_some() {
            return;
        }
        self.state.halt = Some(cause);
        self.state.connecting = 0;
        for (stream, place) in self.plan.streams.iter() {
            if place.finale || self.state.lanes[stream].part != Part::Timeline {
                continue;
            }
            let phase = self.state.lanes[stream].phase;
            if phase == Phase::Meeting && self.planted(Planted::InterruptMissesWaiters) {
                continue;
            }
            if phase == Phase::Idle {
                self.queue(Work::Proceed(stream));
            } else {
                self.cut(stream, Outcome::Cancelled(cause));
            }
        }
    }

    /// No cleanup any more: everything is killed, then closed.
    fn halt_at_once(&mut self) {
        self.state.at_once = true;
        for stream in self.state.lanes.ids() {
            let lane = &self.state.lanes[stream];
            if lane.part == Part::Over || (lane.part == Part::Timeline && self.plan.streams[stream].finale) {
                continue;
            }
            for handle in lane.background.clone() {
                self.stop_process(handle, Stop::Now, self.bounds.grace);
            }
            match self.state.lanes[stream].phase {
                Phase::Running | Phase::Held => {
                    self.sentence(stream, Outcome::Cancelled(Cause::Interrupt), Stop::Now);
                }
                Phase::Opening => self.skip_cleanup(stream),
                Phase::Stopping(_) | Phase::Joining(_) | Phase::Pausing | Phase::Resting => {
                    self.cut(stream, Outcome::Cancelled(Cause::Interrupt));
                }
                Phase::Draining(After::Round) => self.cut(stream, Outcome::Cancelled(Cause::Interrupt)),
                Phase::Idle
                | Phase::Needs(_)
                | Phase::Meeting
                | Phase::Listening
                | Phase::Draining(After::Timeline | After::Cleanup)
                | Phase::Lingering
                | Phase::Closing
                | Phase::Closed => {}
            }
        }
    }

    /// Cuts short what a stream is doing: a running process is stopped first, everything else ends now.
    pub(super) fn cut(&mut self, stream: StreamId, outcome: Outcome) {
        let lane = &mut self.state.lanes[stream];
        let step = lane.at;
        match lane.phase {
            Phase::Running | Phase::Held => self.sentence(stream, outcome, TERM),
            Phase::Resting | Phase::Draining(After::Round) => self.cut_between_rounds(stream, step, outcome),
            Phase::Needs(_)
            | Phase::Opening
            | Phase::Meeting
            | Phase::Listening
            | Phase::Joining(_)
            | Phase::Stopping(_)
            | Phase::Pausing => self.end_step(stream, outcome),
            Phase::Idle | Phase::Draining(_) | Phase::Lingering | Phase::Closing | Phase::Closed => {}
        }
    }

    /// Between two rounds: the step that failed in a `retry` ends now; that of a `repeat` has ended.
    fn cut_between_rounds(&mut self, stream: StreamId, step: StepId, outcome: Outcome) {
        let ended = self.between_rounds_of_repeat(stream);
        self.disarm(Alarm::Step(stream));
        self.state.lanes[stream].rounds.clear();
        if !ended {
            return self.end_step(stream, outcome);
        }
        self.state.lanes[stream].phase = Phase::Idle;
        self.count_failure(stream, &outcome);
        let origin = origin_of(step, stream, &outcome);
        if self.state.lanes[stream].part == Part::Timeline {
            self.state.lanes[stream].failed = self.state.lanes[stream].failed.or(origin);
            if let Some(origin) = origin {
                self.failed_fast(origin);
            }
            self.queue(Work::Fall(stream, StepId(step.0 + 1), origin));
        } else {
            self.state.lanes[stream].at = StepId(step.0 + 1);
            self.queue(Work::Proceed(stream));
        }
    }
}
