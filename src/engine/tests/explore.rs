//! A run and a world that may answer in any order and in any way: which moves there are, and what each leads to.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::watch::Watch;
use crate::engine::state::{Kept, Life};
use crate::engine::{Action, End, Engine, Input, Limits, Planted, Stop};
use crate::event::{Ask, Exit, Fault, Urgency};
use crate::plan::{Plan, StepId, StepKind};
use crate::scenario::{Id, StreamId};

/// A state of a run and of its world.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) now: Duration,
    processes: Vec<Owed>,
    streams: Vec<Place>,
    pub(super) watch: Watch,
    /// How many more faults the world may commit.
    pub(super) faults: u8,
    interrupts: u8,
}

/// What the world owes for a step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Owed {
    Nothing,
    Staged,
    Ready,
    /// It is held, and ends only when it is told to.
    Held,
    End,
    /// A background process: it ends only when it is told to.
    Stopping(bool),
    /// It will never say anything again.
    Mute,
}

/// What the world owes for a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    Unopened,
    Opening,
    Open,
    Lost,
    Closing,
    Closed,
    Mute,
}

/// Something that the world may do.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Move {
    /// Tell something; whether it is a fault.
    Tell(Input, bool),
    /// Say nothing any more about a step.
    MuteStep(StepId),
    /// Say nothing any more about a stream.
    MuteStream(StreamId),
    /// Let the time pass until the next deadline.
    Wait(bool),
}

impl Move {
    /// Whether it is a fault.
    pub(super) fn costs(&self) -> bool {
        match self {
            Self::Tell(_, fault) | Self::Wait(fault) => *fault,
            Self::MuteStep(_) | Self::MuteStream(_) => true,
        }
    }
}

fn status(step: StepId, exit: Exit) -> Input {
    Input::Ended(step, End { exit, captured: None })
}

impl Node {
    /// A run of `plan` that has begun.
    pub(super) fn begin(
        plan: &Arc<Plan>,
        limits: Limits,
        faults: u8,
        planted: Option<Planted>,
    ) -> Result<Self, String> {
        let mut engine = Engine::new(Arc::clone(plan), limits, Arc::default());
        engine.state.planted = planted;
        let mut node = Self {
            engine,
            now: Duration::ZERO,
            processes: vec![Owed::Nothing; plan.steps.len()],
            streams: vec![Place::Unopened; plan.streams.len()],
            watch: Watch::new(plan),
            faults,
            interrupts: 2,
        };
        node.tell(plan, Input::Begin, &mut |_| {})?;
        Ok(node)
    }

    /// All that may happen next.
    pub(super) fn moves(&self, plan: &Plan) -> Vec<Move> {
        let mut all = Vec::new();
        for (index, owed) in self.processes.iter().enumerate() {
            moves_of_step(plan, StepId::from_index(index), *owed, &mut all);
        }
        for (index, place) in self.streams.iter().enumerate() {
            moves_of_stream(StreamId::from_index(index), *place, &mut all);
        }
        let free = all.iter().any(|it| !it.costs());
        if self.engine.deadline().is_some() {
            all.push(Move::Wait(free));
        }
        if self.interrupts > 0 {
            all.push(Move::Tell(Input::Asked(Ask::Interrupt(Urgency::Orderly)), true));
        }
        all.retain(|it| self.faults > 0 || !it.costs());
        all
    }

    /// Makes a move; what the engine did about it goes to `seen`. The error is a broken invariant.
    pub(super) fn make(&mut self, plan: &Plan, it: Move, seen: &mut dyn FnMut(&Action)) -> Result<(), String> {
        self.faults -= u8::from(it.costs());
        match it {
            Move::MuteStep(step) => self.processes[step.0 as usize] = Owed::Mute,
            Move::MuteStream(stream) => self.streams[stream.0 as usize] = Place::Mute,
            Move::Wait(_) => {
                self.now = self.now.max(self.engine.deadline().unwrap_or_default());
                self.watch.time_passed();
                self.tell(plan, Input::Tick, seen)?;
            }
            Move::Tell(input, _) => {
                self.paid(plan, &input);
                self.tell(plan, input, seen)?;
            }
        }
        Ok(())
    }

    /// The world owes this no more.
    fn paid(&mut self, plan: &Plan, input: &Input) {
        match input {
            Input::Ended(step, _) => self.processes[step.0 as usize] = Owed::Nothing,
            Input::Staged(step) => self.processes[step.0 as usize] = Owed::Held,
            Input::Ready(step) => self.processes[step.0 as usize] = Owed::End,
            Input::Opened(stream, _) => self.streams[stream.0 as usize] = Place::Open,
            Input::Closed(stream, _) => self.streams[stream.0 as usize] = Place::Closed,
            Input::StreamFailed(stream, _) => {
                self.streams[stream.0 as usize] = Place::Lost;
                let place = &plan.streams[*stream];
                for step in Plan::range(&(place.timeline.start..place.cleanup.end)) {
                    self.processes[step.0 as usize] = Owed::Nothing;
                }
            }
            Input::Asked(Ask::Interrupt(_)) => self.interrupts -= 1,
            Input::Asked(Ask::JournalFailed(_))
            | Input::Begin
            | Input::Unhealthy(..)
            | Input::Leaked(..)
            | Input::GateReleased(..)
            | Input::Tick => {}
        }
    }

    fn tell(&mut self, plan: &Plan, input: Input, seen: &mut dyn FnMut(&Action)) -> Result<(), String> {
        self.watch.input(plan, &input);
        for action in self.engine.handle(input, self.now) {
            seen(&action);
            self.watch.action(plan, &action)?;
            self.owe(plan, &action);
        }
        Ok(())
    }

    fn owe(&mut self, plan: &Plan, action: &Action) {
        match action {
            Action::Open(stream) => self.streams[stream.0 as usize] = Place::Opening,
            Action::Close(stream) if self.streams[stream.0 as usize] != Place::Mute => {
                self.streams[stream.0 as usize] = Place::Closing;
            }
            Action::Run(step) => {
                let gate = plan.steps[*step].extra.as_ref().is_some_and(|extra| extra.gate.is_some());
                let kind = plan.steps[*step].kind;
                self.processes[step.0 as usize] = if gate || matches!(kind, StepKind::Prepare(_)) {
                    Owed::Staged
                } else if matches!(kind, StepKind::Start(_)) {
                    Owed::Ready
                } else {
                    Owed::End
                };
            }
            Action::Release(step) => self.release(*step),
            Action::ReleaseAll(_, steps) => steps.iter().for_each(|step| self.release(*step)),
            Action::Stop(step, how) => {
                let owed = &mut self.processes[step.0 as usize];
                if !matches!(owed, Owed::Nothing | Owed::Mute) {
                    *owed = Owed::Stopping(*how == Stop::Now);
                }
            }
            Action::Close(_) | Action::Record(_) => {}
        }
    }

    fn release(&mut self, step: StepId) {
        let owed = &mut self.processes[step.0 as usize];
        if *owed == Owed::Held {
            *owed = Owed::End;
        }
    }

    /// The state without the hour: two states with one fingerprint have one future.
    pub(super) fn fingerprint(&self) -> u128 {
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            self.feed(&mut hasher);
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
    }

    fn ago(&self, moment: Duration) -> Duration {
        self.now.saturating_sub(moment)
    }

    fn feed(&self, hasher: &mut DefaultHasher) {
        let state = &self.engine.state;
        let left = |due: Option<Duration>| due.map(|due| due.saturating_sub(self.now));
        (&self.processes, &self.streams, &self.watch, self.faults, self.interrupts).hash(hasher);
        for lane in state.lanes.values() {
            (lane.at, lane.part, lane.phase, &lane.link, lane.eager, lane.touched, lane.passed).hash(hasher);
            (lane.spent, lane.late, lane.failed, lane.tries, &lane.sentence, &lane.background).hash(hasher);
            (lane.stop, left(lane.step_slot.due), left(lane.bound_slot.due)).hash(hasher);
            for round in &lane.rounds {
                (round.group, round.times, round.mark, self.ago(round.first), self.ago(round.began)).hash(hasher);
            }
        }
        state.meetings.values().for_each(|it| it.hash(hasher));
        state.signals.values().for_each(|it| it.hash(hasher));
        for value in state.values.values() {
            let broken = if let Kept::Broken(origin) = value { Some(origin) } else { None };
            (std::mem::discriminant(value), broken).hash(hasher);
        }
        for process in state.processes.values() {
            let ended = matches!(process.life, Life::Ended(_));
            (std::mem::discriminant(&process.life), ended, process.stop, &process.sentence).hash(hasher);
            left(process.slot.due).hash(hasher);
        }
        (state.connecting, state.open, state.halt, state.interrupted, state.at_once, state.done).hash(hasher);
        state.verdict.hash(hasher);
    }
}

fn moves_of_step(plan: &Plan, step: StepId, owed: Owed, all: &mut Vec<Move>) {
    if matches!(owed, Owed::Nothing | Owed::Mute) {
        return;
    }
    let background = matches!(plan.steps[step].kind, StepKind::Start(_) | StepKind::Prepare(_));
    all.push(Move::MuteStep(step));
    all.push(Move::Tell(status(step, Exit::Status(1)), true));
    match owed {
        Owed::Staged => all.push(Move::Tell(Input::Staged(step), false)),
        Owed::Ready => all.push(Move::Tell(Input::Ready(step), false)),
        Owed::End if !background => all.push(Move::Tell(status(step, Exit::Status(0)), false)),
        Owed::End => {
            all.push(Move::Tell(Input::Unhealthy(step, "ill".into()), true));
            let fault = matches!(plan.steps[step].kind, StepKind::Start(_));
            all.push(Move::Tell(status(step, Exit::Status(0)), fault));
        }
        Owed::Stopping(now) => {
            let signal = if now { 9 } else { 15 };
            all.push(Move::Tell(status(step, Exit::Signal(signal)), false));
        }
        Owed::Held | Owed::Nothing | Owed::Mute => {}
    }
}

fn moves_of_stream(stream: StreamId, place: Place, all: &mut Vec<Move>) {
    let fault = |fault| Move::Tell(Input::StreamFailed(stream, fault), true);
    match place {
        Place::Opening => {
            all.push(Move::Tell(Input::Opened(stream, "host".into()), false));
            all.push(fault(Fault::Unreachable("unreachable".into())));
            all.push(Move::MuteStream(stream));
        }
        Place::Open => all.push(fault(Fault::Lost("lost".into()))),
        Place::Closing => {
            all.push(Move::Tell(Input::Closed(stream, Vec::new()), false));
            all.push(Move::MuteStream(stream));
        }
        Place::Unopened | Place::Lost | Place::Closed | Place::Mute => {}
    }
}
