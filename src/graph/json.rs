//! Everything, for tools: one document, one element a line, so that two versions can be compared line by line.

use serde_json::{Map, Value, json};

use super::model::{Model, Node};
use crate::plan::{StepId, StepKind};
use crate::scenario::StreamId;

/// The version of the form.
const SCHEMA: u32 = 1;

/// The whole document.
pub(super) fn write(model: &Model) -> String {
    let plan = model.plan;
    let lists: [(&str, Vec<Value>); 7] = [
        ("streams", plan.streams.ids().map(|id| stream(model, id)).collect()),
        ("steps", plan.steps.ids().map(|id| step(model, id)).collect()),
        ("barriers", plan.barriers.ids().map(|id| barrier(model, id)).collect()),
        ("signals", plan.signals.ids().map(|id| signal(model, id)).collect()),
        ("values", plan.values.ids().map(|id| value(model, id)).collect()),
        ("groups", plan.groups.ids().map(|id| group(model, id)).collect()),
        ("edges", model.edges().iter().map(edge).collect()),
    ];
    let lists = lists.map(|(name, items)| {
        let items: Vec<String> = items.iter().map(|item| format!("\n    {item}")).collect();
        let end = if items.is_empty() { "" } else { "\n  " };
        format!("  \"{name}\": [{}{end}]", items.join(","))
    });
    let title = Value::from(&*plan.title);
    format!("{{\n  \"schema\": {SCHEMA},\n  \"title\": {title},\n{}\n}}\n", lists.join(",\n"))
}

fn stream(model: &Model, id: StreamId) -> Value {
    let it = &model.plan.streams[id];
    json!({ "name": *it.name, "kind": *it.kind, "finale": it.finale })
}

fn step(model: &Model, id: StepId) -> Value {
    let it = &model.plan.steps[id];
    let (file, line) = model.location(id);
    let mut out = Map::new();
    out.insert("id".to_owned(), name(Node::Step(id)).into());
    out.insert("stream".to_owned(), (*model.plan.streams[it.stream].name).into());
    out.insert("label".to_owned(), model.label(id).into());
    out.insert("kind".to_owned(), kind(it.kind).into());
    out.insert("file".to_owned(), file.into());
    out.insert("line".to_owned(), line.into());
    let barrier = if let StepKind::Barrier(barrier) = it.kind { Some(barrier) } else { model.gate(id) };
    out.extend(barrier.map(|barrier| ("barrier".to_owned(), name(Node::Barrier(barrier)).into())));
    out.extend(model.is_cleanup(id).then(|| ("finally".to_owned(), true.into())));
    out.extend(model.group(id).map(|group| ("group".to_owned(), format!("g{}", group.0).into())));
    let when = it.extra.as_ref().is_some_and(|extra| extra.when.is_some());
    out.extend(when.then(|| ("when".to_owned(), true.into())));
    out.into()
}

fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Run(_) => "code",
        StepKind::Capture(..) | StepKind::Evaluate(_) => "let",
        StepKind::Start(_) => "start",
        StepKind::Stop(_) => "stop",
        StepKind::Prepare(_) => "prepare",
        StepKind::Trigger(_) => "trigger",
        StepKind::Join(_) => "join",
        StepKind::Barrier(_) => "barrier",
        StepKind::Signal => "signal",
        StepKind::Wait(_) => "wait",
        StepKind::Expect => "expect",
        StepKind::Put => "put",
        StepKind::Get => "get",
    }
}

fn barrier(model: &Model, id: crate::plan::BarrierId) -> Value {
    let it = &model.plan.barriers[id];
    json!({
        "id": name(Node::Barrier(id)), "name": it.name.as_deref(), "round": it.round, "rounds": it.rounds,
        "gate": it.gate, "parties": steps(&it.parties),
    })
}

fn signal(model: &Model, id: crate::plan::SignalId) -> Value {
    let it = &model.plan.signals[id];
    json!({ "id": name(Node::Signal(id)), "name": *it.name, "from": steps(&it.from), "to": steps(&it.to) })
}

fn value(model: &Model, id: crate::plan::ValueId) -> Value {
    let it = &model.plan.values[id];
    json!({ "name": *it.name, "step": name(Node::Step(it.step)), "users": steps(&it.users) })
}

fn group(model: &Model, id: crate::plan::GroupId) -> Value {
    let it = &model.plan.groups[id];
    let [first, last] = [it.first, it.last].map(|step| name(Node::Step(step)));
    json!({ "id": format!("g{}", id.0), "what": model.group_words(id), "first": first, "last": last })
}

fn steps(steps: &[StepId]) -> Value {
    steps.iter().map(|step| name(Node::Step(*step))).collect()
}

fn edge(edge: &super::model::Edge) -> Value {
    json!({ "from": name(edge.from), "to": name(edge.to), "kind": edge.kind.word() })
}

/// `s12`, `b3`, `w0`
fn name(node: Node) -> String {
    match node {
        Node::Step(id) => format!("s{}", id.0),
        Node::Barrier(id) => format!("b{}", id.0),
        Node::Signal(id) => format!("w{}", id.0),
    }
}
