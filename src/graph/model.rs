//! What all forms draw: nodes and edges. A barrier is one node, whoever meets there; so is a wait for signals.

use crate::diagnostic::{Sources, visible};
use crate::plan::{BarrierId, GroupId, GroupKind, Need, Plan, SignalId, StepId, StepKind, caption};
use crate::scenario::{Arena, StreamId};
use crate::syntax::Value;

/// A longer label is cut.
const LABEL: usize = 40;

/// Something to draw.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Node {
    /// A step that is no barrier.
    Step(StepId),
    /// A meeting.
    Barrier(BarrierId),
    /// A wait for signals.
    Signal(SignalId),
}

/// Why one comes after another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Kind {
    /// They stand in one timeline.
    Sequence,
    /// One of them is a barrier.
    Barrier,
    /// A signal is sent, or waited for.
    Signal,
    /// A value is made and used.
    Value,
    /// A whole timeline has to end first.
    End,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Sequence => "seq",
            Self::Barrier => "barrier",
            Self::Signal => "signal",
            Self::Value => "value",
            Self::End => "end",
        }
    }
}

/// `to` comes after `from`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Edge {
    pub(super) from: Node,
    pub(super) to: Node,
    pub(super) kind: Kind,
}

/// A plan to draw.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) plan: &'a Plan,
    sources: &'a Sources,
    /// The innermost group of each step.
    groups: Arena<StepId, Option<GroupId>>,
}

impl<'a> Model<'a> {
    pub(super) fn new(plan: &'a Plan, sources: &'a Sources) -> Self {
        let mut groups: Arena<StepId, Option<GroupId>> = plan.steps.ids().map(|_| None).collect();
        let mut order: Vec<GroupId> = plan.groups.ids().collect();
        order.sort_by_key(|id| std::cmp::Reverse(plan.groups[*id].last.0 - plan.groups[*id].first.0));
        for id in order {
            (plan.groups[id].first.0..=plan.groups[id].last.0).for_each(|step| groups[StepId(step)] = Some(id));
        }
        Self { plan, sources, groups }
    }

    /// A step's caption, short.
    pub(super) fn label(&self, step: StepId) -> String {
        caption(self.plan, self.sources, step, LABEL)
    }

    /// `deploy.ms:12`
    pub(super) fn place(&self, step: StepId) -> String {
        visible::text(&self.sources.place(self.plan.steps[step].span))
    }

    /// The file and the line.
    pub(super) fn location(&self, step: StepId) -> (&str, u32) {
        let span = self.plan.steps[step].span;
        (self.sources.file(span.file).name(), self.sources.location(span).line)
    }

    /// A stream's name.
    pub(super) fn stream(&self, stream: StreamId) -> String {
        visible::text(&self.plan.streams[stream].name)
    }

    /// `web (local)`
    pub(super) fn heading(&self, stream: StreamId) -> String {
        format!("{} ({})", self.stream(stream), self.plan.streams[stream].kind)
    }

    /// `ready`, `ready (2 of 3)`, `sync`, `start together`
    pub(super) fn meeting(&self, barrier: BarrierId) -> String {
        let label = self.plan.barrier_label(barrier);
        visible::shorten(label.strip_prefix("barrier ").unwrap_or(&label), LABEL)
    }

    /// All steps of a stream, its `finally` last.
    pub(super) fn steps(&self, stream: StreamId) -> impl Iterator<Item = StepId> + use<> {
        let it = &self.plan.streams[stream];
        Plan::range(&it.timeline).chain(Plan::range(&it.cleanup))
    }

    /// Whether a step belongs to a `finally`.
    pub(super) fn is_cleanup(&self, step: StepId) -> bool {
        self.plan.stream_of(step).cleanup.contains(&step)
    }

    /// What sets a step apart: `background`, `staged`, `when`, `may fail`, `retry 3x every 2s`, `repeat 1m every 5s`.
    pub(super) fn marks(&self, step: StepId) -> Vec<String> {
        let it = &self.plan.steps[step];
        let background = match it.kind {
            StepKind::Start(_) => Some("background"),
            StepKind::Prepare(_) => Some("staged"),
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
        };
        let options = self.plan.code_of(step).and_then(|code| code.options.as_ref());
        let extra = it.extra.as_ref();
        let may_fail = options.is_some_and(|it| it.may_fail) || extra.is_some_and(|extra| extra.may_fail);
        let when = extra.is_some_and(|extra| extra.when.is_some()).then_some("when");
        let words = [background, when, may_fail.then_some("may fail")].into_iter().flatten().map(str::to_owned);
        words.chain(self.group(step).map(|id| self.group_words(id))).collect()
    }

    /// The innermost group of a step.
    pub(super) fn group(&self, step: StepId) -> Option<GroupId> {
        self.groups[step]
    }

    /// `retry 3x every 2s`, `repeat 1m every 5s`
    pub(super) fn group_words(&self, group: GroupId) -> String {
        match self.plan.groups[group].kind {
            GroupKind::Retry { times, every } => format!("retry {times}x every {}", Value::Duration(every)),
            GroupKind::Repeat { time, every } => {
                format!("repeat {} every {}", Value::Duration(time), Value::Duration(every))
            }
        }
    }

    /// The node that stands for a step.
    pub(super) fn node(&self, step: StepId) -> Node {
        if let StepKind::Barrier(id) = self.plan.steps[step].kind { Node::Barrier(id) } else { Node::Step(step) }
    }

    /// The start gate of a step.
    pub(super) fn gate(&self, step: StepId) -> Option<BarrierId> {
        self.plan.steps[step].extra.as_ref().and_then(|extra| extra.gate)
    }

    /// What a step needs before it starts.
    pub(super) fn needs(&self, step: StepId) -> &'a [Need] {
        self.plan.steps[step].extra.as_ref().map_or(&[], |extra| &extra.needs)
    }

    /// Every edge, stream by stream, in order.
    pub(super) fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for stream in self.plan.streams.ids() {
            self.sequence(stream, &mut edges);
        }
        for (id, signal) in self.plan.signals.iter() {
            let kind = Kind::Signal;
            let into = signal.from.iter().map(|step| Edge { from: self.node(*step), to: Node::Signal(id), kind });
            edges.extend(into);
            edges.extend(signal.to.iter().map(|step| Edge { from: Node::Signal(id), to: self.node(*step), kind }));
        }
        for step in self.plan.steps.ids() {
            edges.extend(self.needs(step).iter().filter_map(|need| self.need(step, *need)));
        }
        edges
    }

    /// The steps of one stream, one after the other.
    fn sequence(&self, stream: StreamId, edges: &mut Vec<Edge>) {
        let mut before: Option<Node> = None;
        for step in self.steps(stream) {
            for node in self.gate(step).map(Node::Barrier).into_iter().chain([self.node(step)]) {
                let meets = |node: Node| matches!(node, Node::Barrier(_));
                let kind = |from: Node| if meets(from) || meets(node) { Kind::Barrier } else { Kind::Sequence };
                edges.extend(before.map(|from| Edge { from, to: node, kind: kind(from) }));
                before = Some(node);
            }
        }
        if let (true, Some(first)) = (self.plan.streams[stream].finale, self.steps(stream).next()) {
            let to = self.node(first);
            let others = self.plan.streams.ids().filter(|other| *other != stream);
            let ends = others.filter_map(|other| self.steps(other).last());
            edges.extend(ends.map(|step| Edge { from: self.node(step), to, kind: Kind::End }));
        }
    }

    fn need(&self, step: StepId, need: Need) -> Option<Edge> {
        let to = self.node(step);
        match need {
            Need::Value(id) => {
                let from = self.node(self.plan.values[id].step);
                Some(Edge { from, to, kind: Kind::Value })
            }
            Need::End(stream) => {
                let last = Plan::range(&self.plan.streams[stream].timeline).next_back()?;
                Some(Edge { from: self.node(last), to, kind: Kind::End })
            }
            Need::Host(_) => None,
        }
    }
}

/// `a, b and c`; of many the first few and their number.
pub(super) fn list(names: &[String]) -> String {
    const FEW: usize = 6;
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= FEW => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} others", names[..FEW - 1].join(", "), names.len() - (FEW - 1)),
    }
}
