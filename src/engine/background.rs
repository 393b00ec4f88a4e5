//! Background processes: `start`, `stop`, `prepare`, `trigger`, `wait`, their early deaths, and their end with the
//! timeline.

use std::sync::Arc;
use std::time::Duration;

use super::clock::Alarm;
use super::state::{After, Life, Part, Phase, Turn};
use super::step::TERM;
use super::{Action, Planted, Stop};
use crate::event::{Cause, Event, Exit, Origin, Outcome, Reason};
use crate::plan::{HandleId, StepId, StepKind};
use crate::scenario::StreamId;

impl Turn<'_> {
    /// The background process that a step makes.
    pub(super) fn handle_of(&self, step: StepId) -> Option<HandleId> {
        match self.plan.steps[step].kind {
            StepKind::Start(handle) | StepKind::Prepare(handle) => Some(handle),
            StepKind::Run(_)
            | StepKind::Capture(..)
            | StepKind::Evaluate(_)
            | StepKind::Stop(_)
            | StepKind::Trigger(_)
            | StepKind::Join(_)
            | StepKind::Barrier(_)
            | StepKind::Signal
            | StepKind::Wait(_)
            | StepKind::Expect
            | StepKind::Put
            | StepKind::Get => None,
        }
    }

    fn stream_of(&self, handle: HandleId) -> StreamId {
        self.plan.steps[self.plan.handles[handle].step].stream
    }

    /// A process is held before its first instruction: of a `prepare`, or at a start gate.
    pub(super) fn staged(&mut self, step: StepId) {
        let stream = self.plan.steps[step].stream;
        let lane = &self.state.lanes[stream];
        if lane.at != step || lane.phase != Phase::Running || lane.stop != Stop::No {
            return;
        }
        self.record(Event::StepReady(step));
        if let Some(handle) = self.handle_of(step) {
            self.keep_running(stream, handle, Life::Held);
        } else if let Some(gate) = self.gate(step) {
            self.disarm(Alarm::Step(stream));
            self.meet(stream, gate, Phase::Held);
        }
    }

    /// A started process is ready.
    pub(super) fn ready(&mut self, step: StepId) {
        let stream = self.plan.steps[step].stream;
        let lane = &self.state.lanes[stream];
        let starting = lane.at == step && lane.phase == Phase::Running && lane.stop == Stop::No;
        if let Some(handle) = self.handle_of(step).filter(|_| starting) {
            self.record(Event::StepReady(step));
            self.keep_running(stream, handle, Life::Running);
        }
    }

    fn keep_running(&mut self, stream: StreamId, handle: HandleId, life: Life) {
        let process = &mut self.state.processes[handle];
        (process.life, process.stop, process.sentence) = (life, Stop::No, None);
        self.state.lanes[stream].background.push(handle);
        self.end_step(stream, Outcome::Passed);
    }

    pub(super) fn launch_trigger(&mut self, stream: StreamId, handle: HandleId) {
        let it = &self.plan.handles[handle];
        if self.state.processes[handle].life != Life::Held {
            let words = format!("`{}` had ended before it was released", it.name);
            return self.end_step(stream, Outcome::Failed(Reason::Error(words.into())));
        }
        self.state.processes[handle].life = Life::Running;
        self.act(Action::Release(it.step));
        self.record(Event::StepReleased(it.step));
        if let Some(limit) = self.own_limit(handle) {
            self.arm(Alarm::Process(handle), limit);
        }
        self.end_step(stream, Outcome::Passed);
    }

    /// The `timeout` of a prepared process, which counts from its release.
    fn own_limit(&self, handle: HandleId) -> Option<Duration> {
        let timeout = self.options(self.plan.handles[handle].step).and_then(|options| options.timeout);
        timeout.map(|timeout| self.bounds.scaled(timeout))
    }

    pub(super) fn launch_stop(&mut self, stream: StreamId, handle: HandleId) {
        if !matches!(self.state.processes[handle].life, Life::Held | Life::Running) {
            return self.end_step(stream, Outcome::Passed);
        }
        let how = self.extra(self.state.lanes[stream].at).and_then(|extra| extra.stop);
        let signal = how.map_or(TERM, |how| Stop::Gently(how.signal));
        let grace = how.map_or(self.bounds.grace, |how| self.bounds.scaled(how.grace));
        self.state.lanes[stream].phase = Phase::Stopping(handle);
        self.stop_process(handle, signal, grace);
    }

    pub(super) fn launch_join(&mut self, stream: StreamId, handle: HandleId) {
        let process = &self.state.processes[handle];
        if let Life::Ended(exit) = &process.life {
            let outcome = process.sentence.clone().unwrap_or_else(|| self.judge(self.plan.handles[handle].step, exit));
            return self.end_step(stream, outcome);
        }
        let step = self.state.lanes[stream].at;
        self.state.lanes[stream].phase = Phase::Joining(handle);
        self.record(Event::StepWaiting(step));
        self.arm(Alarm::Step(stream), self.limit(step));
    }

    /// The process that a `wait` waits for takes too long: it is stopped, and its end ends the step.
    pub(super) fn join_due(&mut self, stream: StreamId, handle: HandleId) {
        let limit = self.limit(self.state.lanes[stream].at);
        self.state.lanes[stream].sentence.get_or_insert(Outcome::TimedOut(limit));
        self.stop_process(handle, TERM, self.bounds.grace);
    }

    /// Tells a background process to end. It only rises.
    pub(super) fn stop_process(&mut self, handle: HandleId, how: Stop, grace: Duration) {
        let process = &mut self.state.processes[handle];
        if how.rises_above(process.stop) {
            process.stop = how;
            process.grace = grace;
            self.act(Action::Stop(self.plan.handles[handle].step, how));
            self.arm(Alarm::Process(handle), grace);
        }
    }

    /// Its own time, then its grace, then the patience with KILL is over.
    pub(super) fn process_due(&mut self, handle: HandleId) {
        let limit = self.own_limit(handle);
        let patient = self.planted(Planted::WaitsForever);
        let process = &mut self.state.processes[handle];
        match process.stop {
            Stop::No => {
                process.sentence = limit.map(Outcome::TimedOut);
                self.stop_process(handle, TERM, self.bounds.grace);
            }
            Stop::Now if patient => {}
            Stop::Gently(_) => self.stop_process(handle, Stop::Now, self.bounds.grace),
            Stop::Now => self.background_ended(handle, Exit::Signal(9)),
        }
    }

    /// A background process has ended, or is given up.
    pub(super) fn background_ended(&mut self, handle: HandleId, exit: Exit) {
        let (stream, step) = (self.stream_of(handle), self.plan.handles[handle].step);
        if let Exit::Lost(words) = exit {
            return self.stream_failed(stream, &crate::event::Fault::Lost(words));
        }
        self.disarm(Alarm::Process(handle));
        let process = &mut self.state.processes[handle];
        process.life = Life::Ended(exit.clone());
        let (asked, sentence) = (process.stop != Stop::No, process.sentence.clone());
        let outside = self.forget(stream, handle);
        self.record(Event::ProcessEnded(step, exit.clone()));
        match self.state.lanes[stream].phase {
            Phase::Stopping(it) if it == handle => self.end_step(stream, Outcome::Passed),
            Phase::Joining(it) if it == handle => {
                let own = self.state.lanes[stream].sentence.take();
                let outcome = own.or(sentence).unwrap_or_else(|| self.judge(step, &exit));
                self.end_step(stream, outcome);
            }
            Phase::Draining(After::Round) if outside && !asked => self.died(handle, &exit),
            Phase::Draining(after) => self.drain(stream, after),
            Phase::Idle
            | Phase::Needs(_)
            | Phase::Opening
            | Phase::Running
            | Phase::Held
            | Phase::Meeting
            | Phase::Listening
            | Phase::Joining(_)
            | Phase::Stopping(_)
            | Phase::Pausing
            | Phase::Resting
            | Phase::Lingering
            | Phase::Closing
            | Phase::Closed => {
                if !asked || sentence.is_some() {
                    self.died(handle, &exit);
                }
            }
        }
    }

    /// Takes a process off the list. Answers whether it was started before the innermost group.
    fn forget(&mut self, stream: StreamId, handle: HandleId) -> bool {
        let lane = &mut self.state.lanes[stream];
        let Some(place) = lane.background.iter().position(|other| *other == handle) else { return false };
        lane.background.remove(place);
        let mut outside = false;
        for round in &mut lane.rounds {
            outside = round.mark as usize > place;
            round.mark -= u32::from(outside);
        }
        outside
    }

    /// A background process ended by itself, or by its own timeout, while its timeline went on.
    fn died(&mut self, handle: HandleId, exit: &Exit) {
        let (stream, it) = (self.stream_of(handle), &self.plan.handles[handle]);
        let process = &self.state.processes[handle];
        let prepared = matches!(self.plan.steps[it.step].kind, StepKind::Prepare(_));
        let fine = process.sentence.is_none() && self.judge(it.step, exit) == Outcome::Passed;
        // A `wait` will judge it; without one, nobody else would.
        if prepared && (fine || process.joined) || self.planted(Planted::DeathUnnoticed) {
            return;
        }
        if self.options(it.step).is_some_and(|options| options.may_fail) {
            self.state.lanes[stream].passed = false;
        } else {
            self.fail_from_behind(stream, it.step, Outcome::Cancelled(Cause::Stream(Origin::Step(it.step))));
        }
    }

    /// The `alive` probe of a background process failed.
    pub(super) fn unhealthy(&mut self, step: StepId, words: Arc<str>) {
        let stream = self.plan.steps[step].stream;
        let Some(handle) = self.handle_of(step) else { return };
        let process = &self.state.processes[handle];
        if process.life != Life::Running || process.stop != Stop::No {
            return;
        }
        self.stop_process(handle, TERM, self.bounds.grace);
        if self.options(step).is_some_and(|options| options.may_fail) {
            self.state.lanes[stream].passed = false;
        } else {
            self.fail_from_behind(stream, step, Outcome::Failed(Reason::Background(step, words)));
        }
    }

    /// Fails the stream whatever its current step is doing: that step is cut short, its dependants end at once.
    fn fail_from_behind(&mut self, stream: StreamId, start: StepId, outcome: Outcome) {
        if self.state.lanes[stream].part != Part::Timeline {
            return;
        }
        // A timeout could be excused or tried again; the death of the stream cannot.
        self.state.lanes[stream].sentence.take_if(|sentence| matches!(sentence, Outcome::TimedOut(_)));
        let over = !self.group_can_retry(stream, &outcome) && self.state.halt.is_none();
        self.cut(stream, outcome);
        let lane = &mut self.state.lanes[stream];
        if over && matches!(lane.phase, Phase::Running | Phase::Held) {
            lane.failed.get_or_insert(Origin::Step(start));
            let at = lane.at;
            self.break_rest(stream, at);
            self.failed_fast(Origin::Step(start));
        }
    }

    /// Ends the background processes that what follows does not allow, last started first.
    pub(super) fn drain(&mut self, stream: StreamId, after: After) {
        let lane = &mut self.state.lanes[stream];
        let mark = match after {
            After::Round => lane.rounds.last().map_or(0, |round| round.mark as usize),
            After::Timeline | After::Cleanup => 0,
        };
        lane.phase = Phase::Draining(after);
        match lane.background.last().copied().filter(|_| lane.background.len() > mark) {
            Some(last) => self.stop_process(last, TERM, self.bounds.grace),
            None => self.drained(stream),
        }
    }

    /// Nothing runs in the background any more.
    pub(super) fn drained(&mut self, stream: StreamId) {
        match self.state.lanes[stream].phase {
            Phase::Draining(After::Round) => self.rest(stream),
            Phase::Draining(After::Timeline) => self.prepare_cleanup(stream),
            Phase::Draining(After::Cleanup) => self.close(stream),
            Phase::Idle
            | Phase::Needs(_)
            | Phase::Opening
            | Phase::Running
            | Phase::Held
            | Phase::Meeting
            | Phase::Listening
            | Phase::Joining(_)
            | Phase::Stopping(_)
            | Phase::Pausing
            | Phase::Resting
            | Phase::Lingering
            | Phase::Closing
            | Phase::Closed => {}
        }
    }
}
