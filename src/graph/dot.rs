//! Graphviz: a cluster for each stream, the meetings between them.

use std::fmt::Write as _;

use super::model::{Edge, Kind, Model, Node};
use crate::plan::{StepId, StepKind};
use crate::scenario::StreamId;

/// The whole graph.
pub(super) fn write(model: &Model) -> String {
    let mut out = String::from("digraph mstream {\n");
    let _ = writeln!(out, "  label={}; labelloc=t; fontname=\"sans-serif\";", quoted(&model.plan.title));
    out.push_str("  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    for stream in model.plan.streams.ids() {
        cluster(model, stream, &mut out);
    }
    for id in model.plan.barriers.ids() {
        let _ = writeln!(out, "  b{} [label={}, shape=hexagon, style=solid];", id.0, quoted(&model.meeting(id)));
    }
    for (id, signal) in model.plan.signals.iter() {
        let _ = writeln!(out, "  w{} [label={}, shape=cds, style=solid];", id.0, quoted(&signal.name));
    }
    for edge in model.edges() {
        let _ = writeln!(out, "  {};", self::edge(&edge));
    }
    out.push_str("}\n");
    out
}

fn cluster(model: &Model, stream: StreamId, out: &mut String) {
    let _ = writeln!(out, "  subgraph cluster_{} {{", stream.0);
    let _ = writeln!(out, "    label={}; style=rounded;", quoted(&model.heading(stream)));
    let _ = writeln!(out, "    t{} [label=\"\", shape=point];", stream.0);
    let own = |step: &StepId| !matches!(model.plan.steps[*step].kind, StepKind::Barrier(_));
    for step in model.steps(stream).filter(own) {
        let marks = model.marks(step);
        let marks = if marks.is_empty() { String::new() } else { format!("\n[{}]", marks.join(", ")) };
        let label = quoted(&format!("{}\n{}{marks}", model.label(step), model.place(step)));
        let style = if model.is_cleanup(step) { ", style=\"rounded,dashed\"" } else { "" };
        let background = matches!(model.plan.steps[step].kind, StepKind::Start(_) | StepKind::Prepare(_));
        let twice = if background { ", peripheries=2" } else { "" };
        let _ = writeln!(out, "    s{} [label={label}{style}{twice}];", step.0);
    }
    out.push_str("  }\n");
    if let Some(first) = model.steps(stream).next() {
        let to = model.gate(first).map_or_else(|| model.node(first), Node::Barrier);
        let _ = writeln!(out, "  t{} -> {};", stream.0, id(to));
    }
}

fn edge(edge: &Edge) -> String {
    let style = match edge.kind {
        Kind::Sequence => "",
        Kind::Barrier => " [color=purple]",
        Kind::Signal => " [color=blue, style=dashed]",
        Kind::Value => " [color=darkgreen, style=dotted]",
        Kind::End => " [color=gray, style=dashed]",
    };
    format!("{} -> {}{style}", id(edge.from), id(edge.to))
}

/// `s12`, `b3`, `w0`
fn id(node: Node) -> String {
    match node {
        Node::Step(id) => format!("s{}", id.0),
        Node::Barrier(id) => format!("b{}", id.0),
        Node::Signal(id) => format!("w{}", id.0),
    }
}

/// In quotes; a backslash means something in a label, so it is doubled.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
