//! Mermaid, version 10 or later: a flowchart with a subgraph for each stream. All labels are quoted and escaped.

use std::fmt::Write as _;

use super::model::{Edge, Kind, Model, Node};
use crate::plan::{StepId, StepKind};
use crate::scenario::StreamId;

/// The whole chart.
pub(super) fn write(model: &Model) -> String {
    let title = serde_json::Value::from(&*model.plan.title);
    let mut out = format!("---\ntitle: {title}\n---\nflowchart TB\n");
    for stream in model.plan.streams.ids() {
        subgraph(model, stream, &mut out);
    }
    for id in model.plan.barriers.ids() {
        let _ = writeln!(out, "  b{}{{{{{}}}}}", id.0, quoted(&model.meeting(id)));
    }
    for (id, signal) in model.plan.signals.iter() {
        let _ = writeln!(out, "  w{}>{}]", id.0, quoted(&signal.name));
    }
    for stream in model.plan.streams.ids() {
        if let Some(first) = model.steps(stream).next() {
            let to = model.gate(first).map_or_else(|| model.node(first), Node::Barrier);
            let _ = writeln!(out, "  t{} --> {}", stream.0, id(to));
        }
    }
    for edge in model.edges() {
        let _ = writeln!(out, "  {}", self::edge(&edge));
    }
    classes(model, &mut out);
    out
}

fn subgraph(model: &Model, stream: StreamId, out: &mut String) {
    let _ = writeln!(out, "  subgraph c{}[{}]", stream.0, quoted(&model.heading(stream)));
    let _ = writeln!(out, "    t{}(({}))", stream.0, quoted(" "));
    let own = |step: &StepId| !matches!(model.plan.steps[*step].kind, StepKind::Barrier(_));
    for step in model.steps(stream).filter(own) {
        let marks = model.marks(step);
        let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
        let _ = writeln!(out, "    s{}[{}]", step.0, quoted(&format!("{}{marks}", model.label(step))));
    }
    out.push_str("  end\n");
}

/// What is drawn differently: background processes and what belongs to a `finally`.
fn classes(model: &Model, out: &mut String) {
    let mut class = |name: &str, style: &str, is: &dyn Fn(StepId) -> bool| {
        let steps: Vec<String> =
            model.plan.steps.ids().filter(|step| is(*step)).map(|step| format!("s{}", step.0)).collect();
        if !steps.is_empty() {
            let _ = writeln!(out, "  classDef {name} {style}\n  class {} {name}", steps.join(","));
        }
    };
    let background = |step| matches!(model.plan.steps[step].kind, StepKind::Start(_) | StepKind::Prepare(_));
    class("background", "stroke-width:3px", &background);
    class("cleanup", "stroke-dasharray:4", &|step| model.is_cleanup(step));
}

fn edge(edge: &Edge) -> String {
    let arrow = match edge.kind {
        Kind::Sequence => "-->",
        Kind::Barrier => "==>",
        Kind::Signal | Kind::Value | Kind::End => "-.->",
    };
    format!("{} {arrow} {}", id(edge.from), id(edge.to))
}

/// `s12`, `b3`, `w0`: never a word that means something there, such as `end`.
fn id(node: Node) -> String {
    match node {
        Node::Step(id) => format!("s{}", id.0),
        Node::Barrier(id) => format!("b{}", id.0),
        Node::Signal(id) => format!("w{}", id.0),
    }
}

/// In quotes, with everything as a number that Mermaid, Markdown or HTML would read: quotes, `#`, `<`, backticks, `*`, `$$`,
/// and what would begin a list.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    let list = text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    for (at, character) in text.char_indices() {
        let begins_list = text.len() - at == list && matches!(character, '.' | ')' | '-' | '+');
        let twice = character == '$' && text[..at].ends_with('$');
        if begins_list || twice || "\"#&<>`*\\{}[]|~;%".contains(character) {
            let _ = write!(out, "#{};", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn labels_cannot_mean_anything() {
        let all = ["end", "say \"hi\" #1", "<b>`x`</b>", "1. first", "- item", "echo $$ ${a}", "a_b 日本"];
        assert_eq!(
            all.map(quoted),
            [
                "\"end\"",
                "\"say #34;hi#34; #35;1\"",
                "\"#60;b#62;#96;x#96;#60;/b#62;\"",
                "\"1#46; first\"",
                "\"#45; item\"",
                "\"echo $#36; $#123;a#125;\"",
                "\"a_b 日本\"",
            ]
        );
    }
}
