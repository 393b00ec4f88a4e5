//! Circles in the graph: streams that wait for each other for ever, told as a story.
//!
//! Only the points where streams meet are looked at: the code between them cannot make a circle.

use std::collections::VecDeque;
use std::fmt::Write as _;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;

use super::{Need, Plan, StepId, StepKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Id as _, StreamId};

/// An arrow of the graph: along one timeline, from the first step to the second, or from one stream to another.
#[derive(Clone, Copy, Debug)]
enum Arrow {
    /// The first point comes before the second in one timeline.
    Before(StepId, StepId),
    /// The second step waits for the first one, in another stream.
    Awaited(StepId, StepId),
    /// A signal step is a part of what some wait for.
    Gives(StepId),
    /// A step waits for some signals.
    Takes(StepId),
}

/// One diagnostic for each knot of streams that wait for each other.
pub(super) fn find(plan: &Plan) -> Vec<Diagnostic> {
    let graph = Points::new(plan).graph;
    let mut knots: Vec<Vec<NodeIndex>> = kosaraju_scc(&graph)
        .into_iter()
        .filter(|knot| knot.len() > 1 || graph.find_edge(knot[0], knot[0]).is_some())
        .collect();
    for knot in &mut knots {
        knot.sort_unstable();
    }
    knots.sort_unstable();
    knots.iter().map(|knot| story(plan, &shortest(&graph, knot))).collect()
}

struct Points<'a> {
    plan: &'a Plan,
    graph: DiGraph<(), Arrow>,
    /// The node of each meeting; parties share it.
    barriers: Vec<Option<NodeIndex>>,
    /// The node of each point that is no barrier.
    others: indexmap::IndexMap<StepId, NodeIndex>,
    /// The last point of each timeline.
    last: Vec<Option<StepId>>,
}

impl<'a> Points<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut points = Self {
            plan,
            graph: DiGraph::new(),
            barriers: vec![None; plan.barriers.len()],
            others: indexmap::IndexMap::new(),
            last: vec![None; plan.streams.len()],
        };
        let produced = points.producers();
        for stream in plan.streams.ids() {
            points.timeline(stream, &produced);
        }
        points.waits();
        points
    }

    /// For each value that another stream uses, the step after which it is there, and the value.
    fn producers(&self) -> Vec<StepId> {
        let used = self.plan.values.values().filter(|value| !value.users.is_empty());
        let mut steps: Vec<StepId> = used.map(|value| self.published(value.step)).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// A value made in a group is there for others when the outermost group is over.
    fn published(&self, step: StepId) -> StepId {
        let around = self.plan.groups.values().filter(|group| group.first <= step && step <= group.last);
        around.map(|group| group.last).max().unwrap_or(step)
    }

    fn timeline(&mut self, stream: StreamId, produced: &[StepId]) {
        let it = &self.plan.streams[stream];
        let mut before: Option<(StepId, NodeIndex)> = None;
        for step in Plan::range(&(it.timeline.start..it.cleanup.end)) {
            let Some(node) = self.point(step, produced) else { continue };
            if let Some((last, from)) = before {
                self.graph.add_edge(from, node, Arrow::Before(last, step));
            }
            before = Some((step, node));
            if step < it.timeline.end {
                self.last[stream.index()] = Some(step);
            }
        }
    }

    /// The node of a step, if it is a point where streams meet.
    fn point(&mut self, step: StepId, produced: &[StepId]) -> Option<NodeIndex> {
        let it = &self.plan.steps[step];
        if let Some(id) = it.barrier().or(it.gate()) {
            let graph = &mut self.graph;
            let node = *self.barriers[id.index()].get_or_insert_with(|| graph.add_node(()));
            if it.extra.as_ref().is_some_and(|extra| !extra.needs.is_empty()) {
                self.others.insert(step, node);
            }
            return Some(node);
        }
        let meets = matches!(it.kind, StepKind::Wait(_))
            || it.extra.as_ref().is_some_and(|extra| !extra.needs.is_empty() || !extra.feeds.is_empty())
            || produced.binary_search(&step).is_ok();
        meets.then(|| {
            let node = self.graph.add_node(());
            self.others.insert(step, node);
            node
        })
    }

    /// The arrows from one stream to another.
    fn waits(&mut self) {
        let mut arrows = Vec::new();
        for signal in self.plan.signals.values() {
            // One node for all who wait for the same signals: arrows from each to each would be their product.
            let node = self.graph.add_node(());
            for (step, source) in
                signal.from.iter().filter_map(|step| Some((*step, self.node(*step)?))).collect::<Vec<_>>()
            {
                self.graph.add_edge(source, node, Arrow::Gives(step));
            }
            for (step, target) in
                signal.to.iter().filter_map(|step| Some((*step, self.node(*step)?))).collect::<Vec<_>>()
            {
                self.graph.add_edge(node, target, Arrow::Takes(step));
            }
        }
        for (step, _) in &self.others {
            let needs = self.plan.steps[*step].extra.iter().flat_map(|extra| &extra.needs);
            for need in needs {
                let from = match need {
                    Need::Value(value) => Some(self.published(self.plan.values[*value].step)),
                    Need::End(stream) => self.last[stream.index()],
                    Need::Host(_) => None,
                };
                arrows.extend(from.map(|from| (from, *step)));
            }
        }
        for (from, to) in arrows {
            if let (Some(source), Some(target)) = (self.node(from), self.node(to)) {
                self.graph.add_edge(source, target, Arrow::Awaited(from, to));
            }
        }
    }

    /// The node of a step that is a point already.
    fn node(&self, step: StepId) -> Option<NodeIndex> {
        let barrier = self.plan.steps.get(step)?.barrier().and_then(|id| self.barriers[id.index()]);
        barrier.or_else(|| self.others.get(&step).copied())
    }
}

/// The arrows of a shortest circle through the first node of a knot that has the shortest one, in order.
fn shortest(graph: &DiGraph<(), Arrow>, knot: &[NodeIndex]) -> Vec<Arrow> {
    // A knot may be as large as the plan; a few starts find a short story without squaring the cost.
    let starts = knot.iter().take(64);
    starts.filter_map(|start| circle(graph, knot, *start)).min_by_key(Vec::len).unwrap_or_default()
}

fn circle(graph: &DiGraph<(), Arrow>, knot: &[NodeIndex], start: NodeIndex) -> Option<Vec<Arrow>> {
    let mut came: indexmap::IndexMap<NodeIndex, (NodeIndex, Arrow)> = indexmap::IndexMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for edge in graph.edges(node) {
            let target = edge.target();
            if target == start {
                let mut arrows = vec![*edge.weight()];
                let mut at = node;
                while at != start {
                    let (from, arrow) = came[&at];
                    arrows.push(arrow);
                    at = from;
                }
                arrows.reverse();
                return Some(joined(arrows));
            }
            if knot.binary_search(&target).is_ok() && !came.contains_key(&target) {
                came.insert(target, (node, *edge.weight()));
                queue.push_back(target);
            }
        }
    }
    None
}

/// The circle with what is given and taken as one arrow.
fn joined(mut arrows: Vec<Arrow>) -> Vec<Arrow> {
    if matches!(arrows.first(), Some(Arrow::Takes(_))) {
        arrows.rotate_left(1);
    }
    let mut out: Vec<Arrow> = Vec::with_capacity(arrows.len());
    for arrow in arrows {
        match (out.last_mut(), arrow) {
            (Some(last @ Arrow::Gives(_)), Arrow::Takes(to)) => {
                if let Arrow::Gives(from) = *last {
                    *last = Arrow::Awaited(from, to);
                }
            }
            _ => out.push(arrow),
        }
    }
    out
}

/// One stream's part in a circle: it waits at the first step, before it reaches the second.
#[derive(Clone, Copy, Debug)]
struct Part {
    stream: StreamId,
    waits: StepId,
    reaches: StepId,
}

/// The circle as the parts of its streams, each one contiguous.
fn parts(plan: &Plan, arrows: &[Arrow]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    // Whether the last part may go on: nothing but its own timeline since.
    let mut open = false;
    for (at, arrow) in arrows.iter().enumerate() {
        match *arrow {
            Arrow::Before(from, to) => {
                let stream = plan.steps[from].stream;
                match parts.last_mut() {
                    Some(last) if open && last.stream == stream && last.reaches == from => last.reaches = to,
                    _ => parts.push(Part { stream, waits: from, reaches: to }),
                }
                open = true;
            }
            Arrow::Awaited(_, waits) => {
                // Where the next arrow leaves from the step that this one leads to, the stream's part is that step.
                if let Arrow::Awaited(reaches, _) = arrows[(at + 1) % arrows.len()] {
                    parts.push(Part { stream: plan.steps[waits].stream, waits, reaches });
                }
                open = false;
            }
            // Joined into one arrow above.
            Arrow::Gives(_) | Arrow::Takes(_) => {}
        }
    }
    if let [first, .., last] = &mut parts[..]
        && first.stream == last.stream
        && last.reaches == first.waits
        && matches!(arrows.first(), Some(Arrow::Before(..)))
    {
        first.waits = last.waits;
        parts.pop();
    }
    parts
}

fn story(plan: &Plan, arrows: &[Arrow]) -> Diagnostic {
    let mut parts = parts(plan, arrows);
    let first = (0..parts.len()).min_by_key(|at| plan.steps[parts[*at].waits].span).unwrap_or_default();
    parts.rotate_left(first);
    let name = |part: &Part| format!("`{}`", plan.streams[part.stream].name);
    let names: Vec<String> = parts.iter().map(name).collect();
    let message = match &names[..] {
        [one] => format!("{one} waits for itself"),
        [one, two] => format!("{one} and {two} wait for each other"),
        [most @ .., last] => format!("{} and {last} wait for each other in a circle", most.join(", ")),
        [] => "streams wait for each other".to_owned(),
    };
    let label = |part: &Part| {
        let (waits, reaches) = (waiting(plan, part.waits), reaching(plan, part.reaches));
        format!("{} waits here for {waits}, before it {reaches}", name(part))
    };
    let Some(head) = parts.first() else {
        return Diagnostic::new(
            Code::Deadlock,
            plan.streams.values().next().map(|it| it.span).unwrap_or_default(),
            message,
        );
    };
    let mut problem = Diagnostic::new(Code::Deadlock, plan.steps[head.waits].span, message).label(label(head));
    for part in &parts[1..] {
        problem = problem.other(plan.steps[part.waits].span, label(part));
    }
    for part in &parts {
        problem = problem
            .other(plan.steps[part.reaches].span, format!("{} would {} here", name(part), would(plan, part.reaches)));
    }
    let mut seen = vec![problem.span];
    problem.others.retain(|other| {
        let fresh = !seen.contains(&other.span);
        seen.push(other.span);
        fresh
    });
    problem.note(circle_note(plan, &parts)).help(advice(plan, &parts))
}

/// `web:loaded → db:loaded, which comes after db:ready → web:ready, which comes after web:loaded`.
fn circle_note(plan: &Plan, parts: &[Part]) -> String {
    let point = |stream: StreamId, step: StepId| format!("{}:{}", plan.streams[stream].name, short(plan, step));
    let mut out = parts.first().map_or(String::new(), |first| point(first.stream, first.waits));
    // The stream that another waits for is the one before it in the direction of the arrows.
    for part in parts.iter().rev().take(parts.len()) {
        let (reaches, waits) = (point(part.stream, part.reaches), point(part.stream, part.waits));
        let _ = write!(out, " → {reaches}, which comes after {waits}");
    }
    out
}

fn short(plan: &Plan, step: StepId) -> String {
    let label = plan.label(step);
    label.strip_prefix("barrier ").unwrap_or(&label).to_owned()
}

/// What a stream waits for at this step.
fn waiting(plan: &Plan, step: StepId) -> String {
    let it = &plan.steps[step];
    if let Some(id) = it.barrier() {
        let named = plan.barriers[id].name.is_some();
        return if named { format!("`{}`", short(plan, step)) } else { "the others of its block".to_owned() };
    }
    if let StepKind::Wait(id) = it.kind {
        return format!("the signal `{}`", plan.signals[id].name);
    }
    match it.extra.iter().flat_map(|extra| &extra.needs).next() {
        Some(Need::Value(value)) => {
            let made = &plan.values[*value];
            format!("the value `{}.{}`", plan.stream_of(made.step).name, made.name)
        }
        Some(Need::Host(stream)) => format!("the address of `{}`", plan.streams[*stream].name),
        Some(Need::End(stream)) => format!("the end of `{}`", plan.streams[*stream].name),
        None => "the others".to_owned(),
    }
}

/// What others wait for that this step does.
fn reaching(plan: &Plan, step: StepId) -> String {
    let kind = plan.steps[step].kind;
    if let StepKind::Capture(value, _) | StepKind::Evaluate(value) = kind {
        return format!("makes `{}`", plan.values[value].name);
    }
    let name = short(plan, step);
    match name.strip_prefix("signal ") {
        Some(signal) if kind == StepKind::Signal => format!("signals `{signal}`"),
        _ if plan.steps[step].barrier().is_some() => format!("reaches `{name}`"),
        _ => format!("comes to `{name}`"),
    }
}

fn would(plan: &Plan, step: StepId) -> String {
    let words = reaching(plan, step);
    let (verb, rest) = words.split_once(' ').unwrap_or((&words, ""));
    let verb = match verb {
        "reaches" => "reach",
        "signals" => "signal",
        "makes" => "make",
        _ => "come",
    };
    format!("{verb} {rest}")
}

/// What would undo the circle.
fn advice(plan: &Plan, parts: &[Part]) -> String {
    let is_barrier = |step: StepId| matches!(plan.steps[step].kind, StepKind::Barrier(_));
    match parts {
        [one] => format!("move what `{}` waits for above the place where it waits", plan.streams[one.stream].name),
        [first, ..] if parts.iter().all(|part| is_barrier(part.waits) && is_barrier(part.reaches)) => {
            let others: Vec<String> = parts[1..].iter().map(|part| format!("`{}`", short(plan, part.waits))).collect();
            format!("let all of them come to `{}` first, or all to {}", short(plan, first.waits), others.join(" or "))
        }
        [.., last] => {
            let name = &plan.streams[last.stream].name;
            format!("let `{name}` {} before it waits", would(plan, last.reaches).trim_start())
        }
        [] => "let all of them meet in the same order".to_owned(),
    }
}
