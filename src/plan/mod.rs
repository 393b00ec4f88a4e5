//! The static graph: every step of every stream, and everything that one waits for in another.
//!
//! A [`Plan`] exists only where its graph has no circle, every name is resolved, every loop unrolled and every
//! fleet spelt out. Nothing at run time changes its shape, and nothing downstream checks again.

mod attributes;
mod build;
mod caption;
mod code;
mod deadlock;
mod expr;
mod kinds;
mod meet;
mod options;
mod resolve;
mod secrets;
#[cfg(test)]
pub(crate) mod sketch;
mod statement;
mod uses;
mod values;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub use build::{Draft, draft};
pub use caption::caption;
pub use expr::{Context, Expr, Field, Unknown, evaluate, explain, holds, show};
pub use options::SIGNALS;

use crate::code::Interpreter;
use crate::diagnostic::Span;
use crate::scenario::{Arena, Bound, StreamId, id};

id! {
    /// A step. The steps of one stream stand side by side: the next one has the next id.
    StepId
}
id! {
    /// One meeting of one barrier: a barrier named three times by its parties is three of these.
    BarrierId
}
id! {
    /// One wait for a signal: a set of signal steps that must all have happened.
    SignalId
}
id! {
    /// What a `let` makes.
    ValueId
}
id! {
    /// A background process: what a `start` or a `prepare` makes.
    HandleId
}
id! {
    /// Code with its holes.
    CodeId
}
id! {
    /// A `retry` or `repeat` around some steps of a stream.
    GroupId
}
id! {
    /// An interpreter, built in or declared.
    InterpreterId
}

/// The whole graph.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the scenario calls itself.
    pub title: Arc<str>,
    /// The streams that have steps, in order of definition; the top-level `finally`, if any, is the last one.
    pub streams: Arena<StreamId, Stream>,
    /// Every step, stream by stream.
    pub steps: Arena<StepId, Step>,
    /// Every meeting.
    pub barriers: Arena<BarrierId, Barrier>,
    /// Every wait for signals.
    pub signals: Arena<SignalId, Signal>,
    /// Every value made at run time.
    pub values: Arena<ValueId, Produced>,
    /// Every background process.
    pub handles: Arena<HandleId, Handle>,
    /// Every piece of code.
    pub codes: Arena<CodeId, Code>,
    /// Every group.
    pub groups: Arena<GroupId, Group>,
    /// The interpreters in use.
    pub interpreters: Arena<InterpreterId, Interpreter>,
}

/// A place where code runs, with its timeline.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its name.
    pub name: Arc<str>,
    /// What opens it: `local`, `ssh`, `docker`.
    pub kind: Arc<str>,
    /// Where its kind and its keys come from.
    pub bound: Bound,
    /// Its keys, in order.
    pub keys: Vec<(Arc<str>, Expr)>,
    /// Its address where it is known beforehand; of others once they are open.
    pub host: Option<Arc<str>>,
    /// Its place in the order of definition, or its number in the brackets of its fleet.
    pub index: i64,
    /// Where it was declared, or first used.
    pub span: Span,
    /// Its steps, in order.
    pub timeline: Range<StepId>,
    /// The steps of its `finally` blocks, in order; they follow the timeline's ids.
    pub cleanup: Range<StepId>,
    /// Whether this is the top-level `finally`: it starts when all others have ended, and has only a cleanup.
    pub finale: bool,
}

/// One thing in a timeline.
#[derive(Clone, Debug)]
pub struct Step {
    /// Whose.
    pub stream: StreamId,
    /// Where it was written.
    pub span: Span,
    /// What it does.
    pub kind: StepKind,
    /// What few steps have.
    pub extra: Option<Box<Extra>>,
}

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// Runs code.
    Run(CodeId),
    /// Runs code and keeps what it printed.
    Capture(ValueId, CodeId),
    /// Evaluates an expression and keeps it.
    Evaluate(ValueId),
    /// Starts a background process; done when it is ready.
    Start(HandleId),
    /// Ends a background process.
    Stop(HandleId),
    /// Stages a background process, held before its first instruction.
    Prepare(HandleId),
    /// Releases a staged process.
    Trigger(HandleId),
    /// Waits for the end of a background process; its status is this step's.
    Join(HandleId),
    /// Meets the other parties.
    Barrier(BarrierId),
    /// Signals; never waits. [`Extra::feeds`] names the waits that it is part of.
    Signal,
    /// Waits until all of its signals have come.
    Wait(SignalId),
    /// Judges an expression: [`Extra::expression`].
    Expect,
    /// Copies to the stream: [`Extra::paths`].
    Put,
    /// Copies from the stream: [`Extra::paths`].
    Get,
}

/// What few steps have.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// What must be there before it starts, in other streams and its own.
    pub needs: Vec<Need>,
    /// The guard: skipped where it is false.
    pub when: Option<Expr>,
    /// `synchronized`: staged, then released together with the others that meet here.
    pub gate: Option<BarrierId>,
    /// The groups whose first step it is, outermost first.
    pub opens: Vec<GroupId>,
    /// The groups whose last step it is, innermost first.
    pub closes: Vec<GroupId>,
    /// The waits that a `signal` is part of.
    pub feeds: Vec<SignalId>,
    /// What an `expect` judges or a `let` evaluates.
    pub expression: Option<Expr>,
    /// From and to, of `put` and `get`.
    pub paths: Option<(Expr, Expr)>,
    /// `as`, or the name of a barrier, a signal, a value, a handle.
    pub name: Option<Arc<str>>,
    /// `may_fail` of a `wait`.
    pub may_fail: bool,
    /// `timeout` of a step that runs no code of its own (`wait`, `sync`).
    pub timeout: Option<Duration>,
    /// `signal` and `grace` of a `stop`.
    pub stop: Option<StopHow>,
}

/// How `stop` ends a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StopHow {
    /// The first signal's number, by default TERM.
    pub signal: i32,
    /// How long until KILL.
    pub grace: Duration,
}

/// Something that must be there before a step starts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Need {
    /// A value that a stream makes.
    Value(ValueId),
    /// The address of a stream, known once it is open.
    Host(StreamId),
    /// The end of a stream's timeline, however it ends.
    End(StreamId),
}

/// One meeting.
#[derive(Clone, Debug)]
pub struct Barrier {
    /// Its name; `sync` and `synchronized` have none.
    pub name: Option<Arc<str>>,
    /// Which meeting of this barrier, from 1.
    pub round: u32,
    /// How many meetings it has in all.
    pub rounds: u32,
    /// The steps that meet, in order of their streams.
    pub parties: Box<[StepId]>,
    /// From the first arrival.
    pub timeout: Option<Duration>,
    /// Whether it releases staged code (`synchronized`) instead of letting timelines go on.
    pub gate: bool,
}

/// One wait for signals.
#[derive(Clone, Debug)]
pub struct Signal {
    /// The signal's name.
    pub name: Arc<str>,
    /// The signal steps that must all have happened.
    pub from: Box<[StepId]>,
    /// The steps that wait for them.
    pub to: Box<[StepId]>,
}

/// What a `let` makes.
#[derive(Clone, Debug)]
pub struct Produced {
    /// Its name.
    pub name: Arc<str>,
    /// The step that makes it.
    pub step: StepId,
    /// The steps that use it, in order.
    pub users: Vec<StepId>,
}

/// A background process.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Its name.
    pub name: Arc<str>,
    /// The `start` or `prepare` that makes it.
    pub step: StepId,
    /// What it runs.
    pub code: CodeId,
    /// What `start` waits for.
    pub ready: Option<Probe>,
    /// What must stay true until it is stopped.
    pub alive: Option<Probe>,
    /// The pause between two probes.
    pub every: Duration,
}

/// How to see that a background process is ready, or still alive.
#[derive(Clone, Debug)]
pub enum Probe {
    /// Something listens on that TCP port where the stream is.
    Port(Expr),
    /// A line of its output matches.
    Output(Arc<str>),
    /// The file exists where the stream is.
    File(Expr),
    /// The code ends with status 0.
    Code(CodeId),
}

/// Code with its holes, ready for a stream.
#[derive(Clone, Debug)]
pub struct Code {
    /// What runs it.
    pub interpreter: InterpreterId,
    /// The text in which every hole has become a reference; empty for `exec`.
    pub text: Arc<str>,
    /// The value of each hole, in the order of the references; for `exec` the argument list.
    pub holes: Box<[Expr]>,
    /// Where the text starts in the scenario.
    pub span: Span,
    /// Its options, where it has any.
    pub options: Option<Box<Options>>,
    /// Whether shell code stops at the first command that fails (`set -e`): fenced code does.
    pub strict: bool,
}

/// The options of code.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How often to try again.
    pub retry: u32,
    /// The pause between two tries.
    pub every: Option<Duration>,
    /// The statuses that count as passed; empty is `0` alone.
    pub exit: Vec<i32>,
    /// A failure neither stops the stream nor counts.
    pub may_fail: bool,
    /// The folder it runs in.
    pub dir: Option<Expr>,
    /// Added to its environment, in order.
    pub env: Vec<(Arc<str>, Expr)>,
    /// Whom it runs as.
    pub user: Option<Expr>,
    /// What stands on its stdin.
    pub stdin: Option<Expr>,
    /// A resumed run may pass it again.
    pub resumable: bool,
}

/// Steps that are tried again, or repeated, as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its first step.
    pub first: StepId,
    /// Its last step.
    pub last: StepId,
    /// What it does.
    pub kind: GroupKind,
}

/// What a group does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupKind {
    /// Until it passes, at most `times` in all, with a pause of `every`.
    Retry {
        /// How often in all.
        times: u32,
        /// The pause between two.
        every: Duration,
    },
    /// As often as fits into `time`, one start every `every`.
    Repeat {
        /// How long in all.
        time: Duration,
        /// From one start to the next.
        every: Duration,
    },
}

/// How long a process has between TERM and KILL, unless `stop` says otherwise.
pub const GRACE: Duration = Duration::from_secs(10);

impl Step {
    /// The meeting that this step is, if it is one.
    pub fn barrier(&self) -> Option<BarrierId> {
        if let StepKind::Barrier(id) = self.kind { Some(id) } else { None }
    }

    /// The gate that it is held at, if it is `synchronized`.
    pub fn gate(&self) -> Option<BarrierId> {
        self.extra.as_ref().and_then(|extra| extra.gate)
    }
}

impl Plan {
    /// The stream of a step.
    pub fn stream_of(&self, step: StepId) -> &Stream {
        &self.streams[self.steps[step].stream]
    }

    /// The code that a step runs, if it runs any.
    pub fn code_of(&self, step: StepId) -> Option<&Code> {
        match self.steps[step].kind {
            StepKind::Run(code) | StepKind::Capture(_, code) => Some(&self.codes[code]),
            StepKind::Start(handle) | StepKind::Prepare(handle) => Some(&self.codes[self.handles[handle].code]),
            StepKind::Evaluate(_)
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

    /// The steps of a range, in order.
    pub fn range(range: &Range<StepId>) -> impl DoubleEndedIterator<Item = StepId> + ExactSizeIterator + use<> {
        (range.start.0..range.end.0).map(StepId)
    }

    /// What a reader would call the step: its `as`, else what it does and to what.
    pub fn label(&self, step: StepId) -> String {
        let it = &self.steps[step];
        let name = it.extra.as_ref().and_then(|extra| extra.name.clone()).unwrap_or_default();
        let handle = |id: HandleId| &self.handles[id].name;
        match it.kind {
            StepKind::Run(_) if !name.is_empty() => name.to_string(),
            StepKind::Run(code) => self.code_label(code),
            StepKind::Capture(value, _) | StepKind::Evaluate(value) => format!("let {}", self.values[value].name),
            StepKind::Start(id) => format!("start {}", handle(id)),
            StepKind::Stop(id) => format!("stop {}", handle(id)),
            StepKind::Prepare(id) => format!("prepare {}", handle(id)),
            StepKind::Trigger(id) => format!("trigger {}", handle(id)),
            StepKind::Join(id) => format!("wait {}", handle(id)),
            StepKind::Barrier(id) => self.barrier_label(id),
            StepKind::Signal => format!("signal {name}"),
            StepKind::Wait(id) => format!("wait {}", self.signals[id].name),
            StepKind::Expect => self.expect_label(step),
            StepKind::Put => self.copy_label("put", step),
            StepKind::Get => self.copy_label("get", step),
        }
    }

    /// `expect probe.exit == 0`
    fn expect_label(&self, step: StepId) -> String {
        let judged = self.steps[step].extra.as_ref().and_then(|extra| extra.expression.as_ref());
        judged.map_or_else(|| "expect".to_owned(), |judged| format!("expect {}", show(judged, self)))
    }

    /// `put "app.toml" to "/etc/app.toml"`
    fn copy_label(&self, verb: &str, step: StepId) -> String {
        let paths = self.steps[step].extra.as_ref().and_then(|extra| extra.paths.as_ref());
        paths.map_or_else(|| verb.to_owned(), |(from, to)| format!("{verb} {} to {}", show(from, self), show(to, self)))
    }

    /// `barrier ready`, `barrier ready (2 of 3)`, `sync`, `start together`.
    pub fn barrier_label(&self, barrier: BarrierId) -> String {
        let it = &self.barriers[barrier];
        let name = match &it.name {
            Some(name) => format!("barrier {name}"),
            None if it.gate => "start together".to_owned(),
            None => "sync".to_owned(),
        };
        if it.rounds > 1 { format!("{name} ({} of {})", it.round, it.rounds) } else { name }
    }

    /// The first line of code, as a name for a step that has none.
    fn code_label(&self, code: CodeId) -> String {
        let code = &self.codes[code];
        let interpreter = &self.interpreters[code.interpreter].name;
        let first = code.text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        if first.is_empty() { interpreter.to_string() } else { first.to_owned() }
    }
}
