//! The life of a stream: opening, its timeline, its cleanup, closing, and its loss on the way.

use std::sync::Arc;

use super::clock::Alarm;
use super::needs::needs_place;
use super::state::{After, Kept, Life, Link, Part, Phase, Turn, Work};
use super::{Action, Planted};
use crate::event::{Event, Exit, Fault, Leak, Origin, Outcome};
use crate::plan::{Need, Plan, StepId, StepKind};
use crate::scenario::StreamId;

impl Turn<'_> {
    /// Opens what can be opened now; the first steps start when all of these have answered.
    pub(super) fn begin_run(&mut self) {
        if std::mem::replace(&mut self.state.begun, true) {
            return;
        }
        self.record(Event::RunStarted);
        for event in std::mem::take(&mut self.state.told) {
            self.record(event);
        }
        if let Some(limit) = self.bounds.run {
            self.arm(Alarm::Run, limit);
        }
        for stream in self.state.lanes.ids() {
            if self.state.lanes[stream].eager {
                self.state.connecting += 1;
                self.open(stream);
            }
        }
        if self.state.connecting == 0 {
            self.start_all();
        }
    }

    fn start_all(&mut self) {
        for (stream, place) in self.plan.streams.iter() {
            if !place.finale {
                self.queue(Work::Proceed(stream));
            }
        }
        if self.state.open == 0 {
            self.all_closed();
        }
    }

    pub(super) fn open(&mut self, stream: StreamId) {
        let lane = &mut self.state.lanes[stream];
        lane.link = Link::Opening;
        lane.touched = true;
        self.record(Event::StreamOpening(stream));
        let made = &*self.plan.streams[stream].kind == "docker";
        self.arm(Alarm::Bound(stream), if made { self.bounds.create } else { self.bounds.connect });
        self.act(Action::Open(stream));
    }

    pub(super) fn opened(&mut self, stream: StreamId, host: Arc<str>) {
        let lane = &mut self.state.lanes[stream];
        if lane.link != Link::Opening || matches!(lane.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        lane.link = Link::Open;
        lane.host = Some(Arc::clone(&host));
        let waits = lane.phase == Phase::Opening;
        self.disarm(Alarm::Bound(stream));
        self.record(Event::StreamOpened(stream, host));
        self.supply(Need::Host(stream));
        if waits && self.state.lanes[stream].part == Part::Cleanup {
            self.start_cleanup(stream);
        } else if waits {
            self.launch(stream);
        }
        self.connected(stream);
    }

    /// One stream less to wait for before the first step.
    fn connected(&mut self, stream: StreamId) {
        let eager = std::mem::replace(&mut self.state.lanes[stream].eager, false);
        if eager && self.state.connecting > 0 {
            self.state.connecting -= 1;
            if self.state.connecting == 0 {
                self.start_all();
            }
        }
    }

    /// A stream could not be opened or went away: what ran there is gone, and nothing more can run there.
    pub(super) fn stream_failed(&mut self, stream: StreamId, fault: &Fault) {
        let lane = &mut self.state.lanes[stream];
        if matches!(lane.link, Link::Failed(_)) || lane.phase == Phase::Closed {
            return;
        }
        let (Fault::Unreachable(words) | Fault::Lost(words)) = fault;
        let words = Arc::clone(words);
        lane.link = Link::Failed(fault.clone());
        lane.passed = false;
        lane.failed.get_or_insert(Origin::Stream(stream));
        let background = std::mem::take(&mut lane.background);
        self.state.verdict.surroundings = true;
        if self.state.lanes[stream].phase != Phase::Closing {
            self.disarm(Alarm::Bound(stream));
        }
        self.record(Event::StreamFailed(stream, fault.clone()));
        for handle in background {
            self.state.processes[handle].life = Life::Ended(Exit::Lost(Arc::clone(&words)));
            self.disarm(Alarm::Process(handle));
            self.record(Event::ProcessEnded(self.plan.handles[handle].step, Exit::Lost(Arc::clone(&words))));
        }
        self.deny(Need::Host(stream), Origin::Stream(stream));
        self.abandon(stream, fault);
        self.connected(stream);
        self.failed_fast(Origin::Stream(stream));
    }

    /// Ends what a dead stream was doing.
    fn abandon(&mut self, stream: StreamId, fault: &Fault) {
        let lane = &mut self.state.lanes[stream];
        match lane.phase {
            // The next move is on the list, or the run has not begun: it will see the link.
            Phase::Idle | Phase::Closing | Phase::Closed => {}
            Phase::Draining(After::Timeline | After::Cleanup) => self.queue(Work::Drained(stream)),
            Phase::Lingering => self.close(stream),
            Phase::Opening if lane.part == Part::Cleanup => self.skip_cleanup(stream),
            Phase::Needs(_)
            | Phase::Opening
            | Phase::Running
            | Phase::Held
            | Phase::Meeting
            | Phase::Listening
            | Phase::Joining(_)
            | Phase::Stopping(_)
            | Phase::Pausing => self.end_now(stream, outcome_of(fault)),
            Phase::Resting | Phase::Draining(After::Round) => self.cut(stream, outcome_of(fault)),
        }
    }

    /// The next move of a stream.
    pub(super) fn proceed(&mut self, stream: StreamId) {
        let (lane, place) = (&self.state.lanes[stream], &self.plan.streams[stream]);
        if lane.phase != Phase::Idle {
            return;
        }
        match lane.part {
            Part::Timeline => match &lane.link {
                _ if self.state.halt.is_some() => self.fall(stream, lane.at, None),
                _ if lane.at == place.timeline.end => self.timeline_over(stream),
                Link::Failed(fault) => {
                    let outcome = outcome_of(&fault.clone());
                    self.end_now(stream, outcome);
                }
                Link::Unopened | Link::Opening | Link::Open => self.arrive(stream),
            },
            Part::Cleanup => match &lane.link {
                Link::Failed(_) => self.skip_cleanup(stream),
                _ if self.state.at_once || lane.late => self.skip_cleanup(stream),
                _ if lane.at == place.cleanup.end => self.drain(stream, After::Cleanup),
                Link::Unopened | Link::Opening | Link::Open => self.arrive(stream),
            },
            Part::Over => {}
        }
    }

    /// The rest of a timeline will not run: all that it would have given to others is broken, now.
    pub(super) fn fall(&mut self, stream: StreamId, from: StepId, origin: Option<Origin>) {
        let end = self.plan.streams[stream].timeline.end;
        if let Some(origin) = origin {
            self.state.lanes[stream].failed.get_or_insert(origin);
            self.break_rest(stream, from);
        }
        let from = self.state.lanes[stream].again.back().copied().unwrap_or(from);
        self.state.lanes[stream].again.clear();
        for step in Plan::range(&(from..end)) {
            self.record(Event::StepEnded(step, Outcome::Skipped));
        }
        self.timeline_over(stream);
    }

    /// Breaks what the steps from `from` to the end of the timeline would have given to others, and what the groups
    /// that the stream is in have not given yet.
    pub(super) fn break_rest(&mut self, stream: StreamId, from: StepId) {
        let lane = &self.state.lanes[stream];
        let Some(origin) = lane.failed else { return };
        let from = lane.since.map_or(from, |since| since.min(from));
        let from = lane.again.back().copied().unwrap_or(from);
        if lane.link == Link::Unopened {
            self.deny(Need::Host(stream), origin);
        }
        if self.planted(Planted::FailureDoesNotBreak) {
            return;
        }
        for step in Plan::range(&(from..self.plan.streams[stream].timeline.end)) {
            self.break_gifts(step, origin);
        }
    }

    /// Breaks what one step would have given to others.
    pub(super) fn break_gifts(&mut self, step: StepId, origin: Origin) {
        let plan = self.plan;
        let it = &plan.steps[step];
        match it.kind {
            StepKind::Barrier(barrier) => self.break_barrier(barrier, origin),
            StepKind::Capture(value, _) | StepKind::Evaluate(value) => {
                if !matches!(self.state.values[value], Kept::Made(_)) {
                    self.state.values[value] = Kept::Broken(origin);
                    self.deny(Need::Value(value), origin);
                }
            }
            StepKind::Signal => {
                for signal in it.extra.iter().flat_map(|extra| &extra.feeds) {
                    self.break_signal(*signal, origin);
                }
            }
            StepKind::Run(_)
            | StepKind::Start(_)
            | StepKind::Stop(_)
            | StepKind::Prepare(_)
            | StepKind::Trigger(_)
            | StepKind::Join(_)
            | StepKind::Wait(_)
            | StepKind::Expect
            | StepKind::Put
            | StepKind::Get => {}
        }
        if let Some(gate) = it.extra.as_ref().and_then(|extra| extra.gate) {
            self.break_barrier(gate, origin);
        }
    }

    /// No step of the timeline will start any more.
    fn timeline_over(&mut self, stream: StreamId) {
        let lane = &mut self.state.lanes[stream];
        lane.part = Part::Cleanup;
        lane.at = self.plan.streams[stream].cleanup.start;
        lane.rounds.clear();
        lane.since = None;
        self.disarm(Alarm::Step(stream));
        self.supply(Need::End(stream));
        self.drain(stream, After::Timeline);
    }

    /// Opens the stream for its cleanup where nothing has needed it before, then begins the cleanup.
    pub(super) fn prepare_cleanup(&mut self, stream: StreamId) {
        let cleanup = &self.plan.streams[stream].cleanup;
        let lane = &mut self.state.lanes[stream];
        lane.phase = Phase::Idle;
        if cleanup.is_empty() || lane.cleaned {
            return self.close(stream);
        }
        let lost = matches!(lane.link, Link::Failed(_));
        if lost || self.state.at_once || self.planted(Planted::CleanupForgotten) {
            return self.skip_cleanup(stream);
        }
        let placed = Plan::range(cleanup).any(|step| needs_place(self.plan, step));
        match self.state.lanes[stream].link {
            Link::Unopened if placed && self.keys_known(stream) => {
                self.state.lanes[stream].phase = Phase::Opening;
                self.open(stream);
            }
            // Nothing was ever done there. Without a failure that says why, the steps themselves fail.
            Link::Unopened if placed && (self.state.lanes[stream].failed.is_some() || self.state.halt.is_some()) => {
                self.skip_cleanup(stream);
            }
            Link::Opening => self.state.lanes[stream].phase = Phase::Opening,
            Link::Unopened | Link::Open | Link::Failed(_) => self.start_cleanup(stream),
        }
    }

    fn start_cleanup(&mut self, stream: StreamId) {
        self.state.lanes[stream].phase = Phase::Idle;
        self.record(Event::CleanupStarted(stream));
        self.arm(Alarm::Bound(stream), self.bounds.cleanup);
        self.queue(Work::Proceed(stream));
    }

    /// The rest of the cleanup will not run. A signal in it can no longer come.
    pub(super) fn skip_cleanup(&mut self, stream: StreamId) {
        let (from, end) = (self.state.lanes[stream].at, self.plan.streams[stream].cleanup.end);
        let origin = self.state.lanes[stream].failed;
        for step in Plan::range(&(from..end)) {
            self.record(Event::StepEnded(step, Outcome::Skipped));
            self.break_gifts(step, origin.unwrap_or(Origin::Stream(stream)));
        }
        let lane = &mut self.state.lanes[stream];
        lane.at = end;
        lane.rounds.clear();
        self.drain(stream, After::Cleanup);
    }

    /// The cleanup has taken too long.
    pub(super) fn cleanup_due(&mut self, stream: StreamId) {
        self.state.verdict.timed_out = true;
        let lane = &mut self.state.lanes[stream];
        lane.late = true;
        lane.failed.get_or_insert(Origin::Step(lane.at));
        self.cut(stream, Outcome::TimedOut(self.bounds.cleanup));
    }

    /// Nobody uses its address any more; meanwhile it may have been lost, and be closing already.
    pub(super) fn close_lingering(&mut self, stream: StreamId) {
        if self.state.lanes[stream].phase == Phase::Lingering {
            self.close(stream);
        }
    }

    pub(super) fn close(&mut self, stream: StreamId) {
        let lane = &mut self.state.lanes[stream];
        lane.part = Part::Over;
        lane.phase = Phase::Closing;
        self.disarm(Alarm::Step(stream));
        self.steps_let_go(stream);
        if self.held_open(stream) {
            return self.disarm(Alarm::Bound(stream));
        }
        if self.state.lanes[stream].touched {
            self.arm(Alarm::Bound(stream), self.bounds.cleanup);
            self.act(Action::Close(stream));
        } else {
            self.gone(stream);
        }
    }

    pub(super) fn closed(&mut self, stream: StreamId, leaks: Vec<Leak>) {
        if self.state.lanes[stream].phase == Phase::Closing {
            self.state.verdict.leaked |= !leaks.is_empty();
            self.record(Event::StreamClosed(stream, leaks));
            self.gone(stream);
        }
    }

    fn gone(&mut self, stream: StreamId) {
        self.disarm(Alarm::Bound(stream));
        self.state.lanes[stream].phase = Phase::Closed;
        self.keys_let_go(stream);
        self.supply(Need::Host(stream));
        if self.plan.streams[stream].finale {
            self.end_run();
        } else {
            self.state.open -= 1;
            if self.state.open == usize::from(self.planted(Planted::EndsEarly)) {
                self.all_closed();
            }
        }
    }

    fn all_closed(&mut self) {
        match self.plan.streams.iter().next_back().filter(|(_, place)| place.finale) {
            Some((finale, _)) => self.timeline_over(finale),
            None => self.end_run(),
        }
    }

    fn end_run(&mut self) {
        if !std::mem::replace(&mut self.state.done, true) {
            self.record(Event::RunEnded(self.state.verdict));
        }
    }
}

fn outcome_of(fault: &Fault) -> Outcome {
    match fault {
        Fault::Unreachable(words) => Outcome::Unreachable(Arc::clone(words)),
        Fault::Lost(words) => Outcome::Lost(Arc::clone(words)),
    }
}
