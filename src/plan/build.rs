//! From a scenario to its graph: every stream's timeline is spelt out, then what meets is joined and checked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::deadlock;
use super::meet::Meetings;
use super::{CodeId, Extra, HandleId, Interpreter, InterpreterId, Need, Plan, Step, StepId, StepKind, Stream, ValueId};
use crate::diagnostic::{Code, Diagnostic, Span, similar};
use crate::scenario::{Arena, Bound, Id as _, Layer, Scenario, StreamId};
use crate::syntax::ast::Block;

/// Spells out a scenario.
pub fn draft(scenario: &Scenario) -> Draft {
    let mut builder = Builder::new(scenario);
    builder.make_room();
    for stream in scenario.streams.ids() {
        builder.stream(stream);
    }
    builder.finale();
    builder.join();
    let lets = builder.lets();
    let Builder { plan: mut graph, mut problems, referred, called, .. } = builder;
    problems.extend(deadlock::find(&graph));
    graph.steps.shrink();
    graph.codes.shrink();
    Draft { graph, problems, referred, called, lets }
}

/// A graph that is not proven sound: the lints look at it, nobody runs it.
#[derive(Debug)]
pub struct Draft {
    graph: Plan,
    /// What is wrong with it.
    pub problems: Vec<Diagnostic>,
    /// The streams that expressions speak of.
    pub referred: IndexSet<StreamId>,
    /// The tasks that are called.
    pub called: IndexSet<Arc<str>>,
    /// Every `let`: its name, its place, whether anybody uses it.
    lets: IndexMap<Span, (Arc<str>, bool)>,
}

impl Draft {
    /// The `let`s that nobody uses.
    pub fn unused_values(&self) -> impl Iterator<Item = (&Arc<str>, Span)> {
        self.lets.iter().filter(|(_, (_, used))| !used).map(|(span, (name, _))| (name, *span))
    }

    /// The graph as far as it could be spelt out.
    pub fn graph(&self) -> &Plan {
        &self.graph
    }

    /// The plan, if nothing is wrong with it.
    pub fn prove(self) -> Option<Plan> {
        (!self.problems.iter().any(Diagnostic::is_error)).then_some(self.graph)
    }
}

/// The state of [`draft`].
pub(super) struct Builder<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) plan: Plan,
    pub(super) problems: Vec<Diagnostic>,
    /// The same statement is spelt out for many streams; what is wrong with it is told once.
    told: IndexSet<(Code, Span)>,
    pub(super) meetings: Meetings,
    /// What each stream makes, or is asked for: `server.port`.
    pub(super) exports: IndexMap<(StreamId, Arc<str>), Export>,
    /// Code that is the same for every stream, by where it stands.
    pub(super) constant_codes: HashMap<Span, CodeId>,
    /// Texts whose holes are references already, by where they stand; `None` where that failed.
    pub(super) texts: HashMap<Span, Option<Arc<str>>>,
    /// Own values that were asked for above the line that makes them, or in vain.
    pub(super) early: Vec<Early>,
    /// The `on` blocks of each stream, in order.
    pub(super) blocks: Vec<Vec<usize>>,
    /// How many statements may still be spelt out.
    pub(super) budget: usize,
    /// The streams that expressions speak of.
    pub(super) referred: IndexSet<StreamId>,
    /// The places of the `let`s that are used.
    pub(super) used: IndexSet<Span>,
    /// The tasks that are called.
    pub(super) called: IndexSet<Arc<str>>,
    /// The streams that call a task which does not exist, or not as it is: what it would have made is not known.
    pub(super) unsure: IndexSet<StreamId>,
    /// Where each value is made.
    pub(super) made: HashMap<ValueId, Span>,
    /// Who makes each value.
    pub(super) owners: HashMap<ValueId, StreamId>,
}

/// An own value that was asked for and is not there yet, or never.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) stream: StreamId,
    pub(super) name: Arc<str>,
    pub(super) span: Span,
    /// Whether something of it is asked for: `name.host`.
    pub(super) member: bool,
    /// Whether it is asked for as something of the stream itself: `self.name`.
    pub(super) attribute: bool,
}

/// A value that a stream makes.
#[derive(Debug)]
pub(super) struct Export {
    /// The first value of that name.
    pub(super) id: ValueId,
    /// Where it is made, as often as it is.
    pub(super) made: Vec<Span>,
    /// Where other streams use it first.
    pub(super) used: Option<Span>,
}

/// One stream while its timeline is spelt out.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) stream: StreamId,
    /// Which `on` block.
    pub(super) block: usize,
    /// Loop variables and parameters of tasks, innermost last.
    pub(super) scope: Scope,
    /// The stream's own values so far.
    pub(super) values: HashMap<Arc<str>, ValueId>,
    /// The stream's background processes so far.
    pub(super) handles: HashMap<Arc<str>, Background>,
    /// The `finally` blocks met so far, with what was in scope.
    pub(super) cleanups: Vec<(&'a Block, Scope)>,
    /// The `retry` and `repeat` around the statement: where the outermost stands, and how many there are.
    pub(super) groups: Vec<Span>,
    /// The tasks that are being spelt out.
    pub(super) calls: Vec<Arc<str>>,
    /// Whether this is a `finally`.
    pub(super) cleaning: bool,
    /// What the step at hand needs of other streams.
    pub(super) needs: Vec<Need>,
}

/// The names in scope, innermost last.
pub(super) type Scope = Vec<(Arc<str>, Binding)>;

/// What a name in scope means.
#[derive(Clone, Debug)]
pub(super) enum Binding {
    /// A value known now, or an expression over run-time values.
    Expr(super::Expr),
    /// A stream, in `for c in client`.
    Stream(StreamId),
}

/// A background process while a timeline is spelt out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Background {
    pub(super) id: HandleId,
    pub(super) span: Span,
    pub(super) state: BackgroundState,
}

/// How far a background process has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BackgroundState {
    /// `start`
    Started,
    /// `prepare`
    Prepared,
    /// `trigger`
    Triggered,
    /// `stop` or `wait`, and where
    Over(Span),
}

impl<'a> Builder<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut blocks = vec![Vec::new(); scenario.streams.len()];
        for (index, on) in scenario.blocks.iter().enumerate() {
            for stream in &on.streams {
                blocks[stream.index()].push(index);
            }
        }
        let plan = Plan {
            title: scenario.title.clone(),
            streams: Arena::default(),
            steps: Arena::default(),
            barriers: Arena::default(),
            signals: Arena::default(),
            values: Arena::default(),
            handles: Arena::default(),
            codes: Arena::default(),
            groups: Arena::default(),
            interpreters: scenario.interpreters.values().cloned().collect(),
        };
        Self {
            scenario,
            plan,
            problems: Vec::new(),
            told: IndexSet::new(),
            meetings: Meetings::default(),
            exports: IndexMap::new(),
            constant_codes: HashMap::new(),
            texts: HashMap::new(),
            early: Vec::new(),
            blocks,
            budget: scenario.max_steps,
            referred: IndexSet::new(),
            used: IndexSet::new(),
            called: IndexSet::new(),
            unsure: IndexSet::new(),
            made: HashMap::new(),
            owners: HashMap::new(),
        }
    }

    /// Most statements come to one step a stream: room for these at once, and not twice as much in the end.
    fn make_room(&mut self) {
        let blocks = &self.scenario.blocks;
        let steps = blocks.iter().map(|on| on.body.statements.len().saturating_mul(on.streams.len()));
        let steps = steps.fold(0, usize::saturating_add).min(self.scenario.max_steps);
        let codes: usize = blocks.iter().map(|on| on.body.statements.len()).sum();
        self.plan.steps.reserve(steps);
        self.plan.codes.reserve(codes.min(self.scenario.max_steps));
    }

    /// Tells a problem, unless the same place was told of it already.
    pub(super) fn tell(&mut self, problem: Diagnostic) {
        if self.told.insert((problem.code, problem.span)) {
            self.problems.push(problem);
        }
    }

    /// The id that the next step will have.
    pub(super) fn next(&self) -> StepId {
        StepId::from_index(self.plan.steps.len())
    }

    /// Adds a step to the stream at hand, with what it turned out to need.
    pub(super) fn push(&mut self, cursor: &mut Cursor<'_>, kind: StepKind, span: Span, extra: Option<Extra>) -> StepId {
        let needs = std::mem::take(&mut cursor.needs);
        let mut extra = extra;
        if !needs.is_empty() {
            extra.get_or_insert_default().needs = needs;
        }
        self.plan.steps.push(Step { stream: cursor.stream, span, kind, extra: extra.map(Box::new) })
    }

    fn stream(&mut self, id: StreamId) {
        let scenario = self.scenario;
        let it = &scenario.streams[id];
        let mut cursor = Cursor::new(id);
        let keys =
            it.binding.keys.iter().map(|(name, value)| (name.node.clone(), self.expr(value, &mut cursor))).collect();
        cursor.needs.clear();
        let first = self.next();
        for block in std::mem::take(&mut self.blocks[id.index()]) {
            cursor.block = block;
            self.statements(&scenario.blocks[block].body, &mut cursor);
        }
        let middle = self.next();
        self.idle_handles(&cursor);
        self.cleanup(&mut cursor);
        let end = self.next();
        self.plan.streams.push(Stream {
            name: it.name.clone(),
            kind: it.binding.kind.clone(),
            bound: it.binding.bound,
            host: self.host(id),
            keys,
            index: it.index,
            span: it.span,
            timeline: first..middle,
            cleanup: middle..end,
            finale: false,
        });
    }

    fn cleanup(&mut self, cursor: &mut Cursor<'a>) {
        cursor.cleaning = true;
        for (block, scope) in std::mem::take(&mut cursor.cleanups) {
            cursor.scope = scope;
            self.statements(block, cursor);
        }
    }

    /// The top-level `finally`: one more stream, on this machine, that only cleans up.
    fn finale(&mut self) {
        let scenario = self.scenario;
        let Some(block) = scenario.finales.first() else { return };
        let id = StreamId::from_index(self.plan.streams.len());
        let mut cursor = Cursor::new(id);
        cursor.cleanups = scenario.finales.iter().map(|block| (block, Vec::new())).collect();
        let first = self.next();
        self.cleanup(&mut cursor);
        self.plan.streams.push(Stream {
            name: "finally".into(),
            kind: "local".into(),
            bound: Bound { layer: Layer::BuiltIn, span: None },
            keys: Vec::new(),
            host: Some(LOCAL_HOST.into()),
            index: -1,
            span: block.span,
            timeline: first..first,
            cleanup: first..self.next(),
            finale: true,
        });
    }

    /// The address of a stream where it is known beforehand. What a name stands for, the configuration of `ssh` says
    /// when the stream is opened.
    pub(super) fn host(&self, stream: StreamId) -> Option<Arc<str>> {
        let it = &self.scenario.streams[stream].binding;
        match &*it.kind {
            "local" => Some(LOCAL_HOST.into()),
            "ssh" => {
                let host = it.keys.iter().find(|(name, _)| &*name.node == "host")?.1.as_text()?;
                host.parse::<IpAddr>().is_ok().then(|| host.clone())
            }
            _ => None,
        }
    }

    /// Joins what was spelt out stream by stream: values with their users, barriers, signals.
    fn join(&mut self) {
        self.values();
        self.comparisons();
        let problems = std::mem::take(&mut self.meetings).join(&mut self.plan, self.scenario);
        for problem in problems {
            self.tell(problem);
        }
    }

    /// The interpreter of that name; an error with a suggestion where there is none.
    pub(super) fn interpreter(&mut self, name: &Arc<str>, span: Span) -> Option<InterpreterId> {
        let found = self.scenario.interpreters.get_index_of(name).map(InterpreterId::from_index);
        if found.is_none() {
            let known = self.scenario.interpreters.keys().map(|name| &**name);
            let problem = Diagnostic::new(Code::UnknownKind, span, format!("there is no interpreter `{name}`"));
            let problem = match similar(name, known.clone()) {
                Some(_) => problem.near("interpreter", name, known),
                None => problem.help(format!("declare it: interpreter {name} = [\"{name}\", \"-\"]")),
            };
            self.tell(problem);
        }
        found
    }

    /// The interpreter itself.
    pub(super) fn interpreter_at(&self, id: InterpreterId) -> &Interpreter {
        &self.plan.interpreters[id]
    }
}

/// The address of this machine for other streams of this machine: a number, so that nobody tries IPv6 first.
const LOCAL_HOST: &str = "127.0.0.1";

impl Cursor<'_> {
    fn new(stream: StreamId) -> Self {
        Self {
            stream,
            block: 0,
            scope: Vec::new(),
            values: HashMap::new(),
            handles: HashMap::new(),
            cleanups: Vec::new(),
            groups: Vec::new(),
            calls: Vec::new(),
            cleaning: false,
            needs: Vec::new(),
        }
    }
}
