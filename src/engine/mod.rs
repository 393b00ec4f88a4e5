//! The run as a pure state machine: what the world tells goes in, what is to be done comes out.
//!
//! No clock, no I/O, no async: time is an argument. Who waits, who is broken, what is skipped, which `finally`
//! runs and what the verdict is are decided here and nowhere else.

mod background;
mod clock;
mod groups;
mod halt;
mod hosts;
mod judge;
mod meeting;
mod needs;
mod past;
mod planted;
mod state;
mod step;
mod stream;
#[cfg(test)]
mod tests;
mod turn;
mod value;

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::event::{Ask, Event, Exit, Fault, Leak, Verdict};
use crate::plan::{Plan, StepId};
use crate::scenario::StreamId;
use crate::syntax::Value;
pub(crate) use needs::{key_needs, needs_place};
pub use past::Past;
use planted::Planted;
use state::{Bounds, State, Turn};

/// A run: what has happened so far, and what follows from the next thing that happens.
#[derive(Clone, Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    bounds: Bounds,
    secrets: Arc<IndexMap<Arc<str>, Value>>,
    state: State,
}

impl Engine {
    /// A run of `plan` that has not begun: [`Input::Begin`] begins it.
    pub fn new(plan: Arc<Plan>, limits: Limits, secrets: Arc<IndexMap<Arc<str>, Value>>) -> Self {
        Self::resume(plan, limits, secrets, &Past::default())
    }

    /// A run that begins after all that an earlier one has done.
    pub fn resume(plan: Arc<Plan>, limits: Limits, secrets: Arc<IndexMap<Arc<str>, Value>>, past: &Past) -> Self {
        let state = State::new(&plan, past);
        Self { plan, bounds: Bounds::new(&limits), secrets, state }
    }

    /// What follows from `input`, in the order in which it is to be done. `now` counts from the start of the run and
    /// never goes back.
    pub fn handle(&mut self, input: Input, now: Duration) -> Vec<Action> {
        let mut turn = Turn {
            plan: &self.plan,
            bounds: self.bounds,
            secrets: &self.secrets,
            state: &mut self.state,
            now,
            out: Vec::new(),
        };
        turn.take(input);
        turn.out
    }

    /// When to send [`Input::Tick`], if nothing else comes before.
    pub fn deadline(&self) -> Option<Duration> {
        if self.state.done { None } else { self.state.clock.next() }
    }

    /// Whether the run is over: `RunEnded` was recorded.
    pub fn done(&self) -> bool {
        self.state.done
    }

    /// Whether all steps of a stream have passed so far.
    pub fn passed(&self, stream: StreamId) -> bool {
        self.state.lanes[stream].passed
    }

    /// What the run comes to, as far as it is known.
    pub fn verdict(&self) -> Verdict {
        self.state.verdict
    }
}

/// What the world tells the engine.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The run may begin.
    Begin,
    /// A stream is open; its address.
    Opened(StreamId, Arc<str>),
    /// A stream could not be opened, or went away.
    StreamFailed(StreamId, Fault),
    /// A staged process (`prepare`, `synchronized`) is in place, held before its first instruction.
    Staged(StepId),
    /// A `start`ed process is ready.
    Ready(StepId),
    /// The `alive` probe of a background process failed; in words.
    Unhealthy(StepId, Arc<str>),
    /// The process of a step, or the copying of a `put` or `get`, ended.
    Ended(StepId, End),
    /// The process of a step left others behind, which were killed. Comes before its `Ended`.
    Leaked(StepId, Vec<Leak>),
    /// A gate was opened: the time between the first and the last release.
    GateReleased(crate::plan::BarrierId, Duration),
    /// A stream is closed, and what it left behind.
    Closed(StreamId, Vec<Leak>),
    /// The run is asked to stop.
    Asked(Ask),
    /// Nothing but the time: [`Engine::deadline`](Engine) has come.
    Tick,
}

/// How the process of a step ended, and what a `let` keeps of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// How it ended.
    pub exit: Exit,
    /// stdout and stderr, where the step is a `let`.
    pub captured: Option<Box<Captured>>,
}

/// What a `let` keeps.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Captured {
    /// All of stdout.
    pub stdout: Vec<u8>,
    /// All of stderr.
    pub stderr: Vec<u8>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Open a stream; answer `Opened` or `StreamFailed`.
    Open(StreamId),
    /// Run the code of a step, or copy its files; answer `Ended`. Of a `start`: `Ready` as well. Of a `prepare` or a
    /// `synchronized` step: hold it, and answer `Staged` first.
    Run(StepId),
    /// Let a staged process go (`trigger`).
    Release(StepId),
    /// Let all of these go as one; answer `GateReleased`.
    ReleaseAll(crate::plan::BarrierId, Vec<StepId>),
    /// End the process of a step with all its children; it still answers `Ended`.
    Stop(StepId, Stop),
    /// Close a stream: nothing of it may be left; answer `Closed`.
    Close(StreamId),
    /// Write this down.
    Record(Event),
}

/// How to end a process. It only rises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stop {
    /// Not at all.
    No,
    /// With this signal.
    Gently(i32),
    /// With KILL.
    Now,
}

impl Stop {
    /// Whether this asks for more than `other`: two gentle ones ask for the same, whatever their signals.
    fn rises_above(self, other: Self) -> bool {
        let level = |stop| match stop {
            Self::No => 0,
            Self::Gently(_) => 1,
            Self::Now => 2,
        };
        level(self) > level(other)
    }
}

/// What bounds a run from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Any failure ends the whole run.
    pub fail_fast: bool,
    /// For the whole run.
    pub run: Option<Duration>,
    /// What all timeouts are multiplied by, in percent.
    pub scale: u32,
    /// For opening a stream.
    pub connect: Duration,
    /// For opening a stream in a container, whose image may have to be fetched.
    pub create: Duration,
    /// For a step that names no timeout of its own.
    pub step: Duration,
    /// For all the `finally` steps of a stream together, and for closing it.
    pub cleanup: Duration,
    /// Between TERM and KILL.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fail_fast: false,
            run: None,
            scale: 100,
            connect: Duration::from_secs(10),
            create: Duration::from_mins(10),
            step: Duration::from_mins(10),
            cleanup: Duration::from_mins(1),
            grace: Duration::from_secs(10),
        }
    }
}
