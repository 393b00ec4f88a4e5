//! Streams as columns, time from top to bottom: a row for each meeting, and rows for what happens between them.

use indexmap::IndexMap;
use unicode_width::UnicodeWidthStr as _;

use super::model::{Model, Node};
use super::rank::ranks;
use crate::diagnostic::visible::pad;
use crate::plan::{Need, StepId, StepKind};
use crate::scenario::{Arena, Id as _, StreamId};

/// Something that stands in one row of one column, or of several: a meeting, or steps between two meetings.
#[derive(Debug, Default)]
struct Cell {
    columns: Vec<StreamId>,
    lines: Vec<String>,
}

/// The whole table, in Markdown.
pub(super) fn write(model: &Model) -> String {
    let (cells, of) = cells(model);
    let mut edges: Vec<(usize, usize)> = model
        .edges()
        .into_iter()
        .filter_map(|edge| Some((*of.get(&edge.from)?, *of.get(&edge.to)?)))
        .filter(|(from, to)| from != to)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let ranks = ranks(cells.len(), &edges);
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|cell| ranks[*cell]);
    let mut rows: Vec<Vec<String>> =
        vec![model.plan.streams.ids().map(|stream| escape(&model.stream(stream))).collect()];
    for level in order.chunk_by(|a, b| ranks[*a] == ranks[*b]) {
        let height = level.iter().map(|cell| cells[*cell].lines.len()).max().unwrap_or(0);
        let first = rows.len();
        rows.resize(first + height, vec![String::new(); model.plan.streams.len()]);
        for cell in level.iter().map(|cell| &cells[*cell]) {
            for (row, line) in cell.lines.iter().enumerate() {
                cell.columns.iter().for_each(|stream| rows[first + row][stream.index()].clone_from(line));
            }
        }
    }
    markdown(&rows)
}

fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows[0].len();
    let widths: Vec<usize> =
        (0..columns).map(|at| rows.iter().map(|row| row[at].width()).max().unwrap_or(0).max(3)).collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        out.push_str(&line(row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect()));
        if at == 0 {
            out.push_str(&line(widths.iter().map(|width| "-".repeat(*width)).collect()));
        }
    }
    out
}

/// The cells, and in which of them each node stands.
fn cells(model: &Model) -> (Vec<Cell>, IndexMap<Node, usize>) {
    let (mut cells, mut of): (Vec<Cell>, IndexMap<Node, usize>) = (Vec::new(), IndexMap::new());
    let ties = tied(model);
    for stream in model.plan.streams.ids() {
        let mut open: Option<(usize, bool)> = None;
        for step in model.steps(stream) {
            if let Some(gate) = model.gate(step) {
                meet(&mut cells, &mut of, Node::Barrier(gate), stream, format!("▣ {}", model.meeting(gate)));
                open = None;
            }
            let (node, text, cleanup) = (model.node(step), text(model, step), model.is_cleanup(step));
            if ties[step] {
                meet(&mut cells, &mut of, node, stream, text);
                open = None;
                continue;
            }
            let at = match open {
                Some((at, before)) if before == cleanup => at,
                Some(_) | None => {
                    cells.push(Cell { columns: vec![stream], lines: Vec::new() });
                    cells.len() - 1
                }
            };
            cells[at].lines.push(text);
            of.insert(node, at);
            open = Some((at, cleanup));
        }
    }
    through_signals(model, &mut cells, &mut of);
    (cells, of)
}

fn meet(cells: &mut Vec<Cell>, of: &mut IndexMap<Node, usize>, node: Node, stream: StreamId, text: String) {
    let at = *of.entry(node).or_insert_with(|| {
        cells.push(Cell { columns: Vec::new(), lines: vec![text] });
        cells.len() - 1
    });
    cells[at].columns.push(stream);
}

/// A wait for signals takes no row, yet what waits stands below what signals.
fn through_signals(model: &Model, cells: &mut Vec<Cell>, of: &mut IndexMap<Node, usize>) {
    for id in model.plan.signals.ids() {
        cells.push(Cell::default());
        of.insert(Node::Signal(id), cells.len() - 1);
    }
}

/// Which steps are tied to other streams, so that their row means something.
fn tied(model: &Model) -> Arena<StepId, bool> {
    let plan = model.plan;
    let stream = |step: StepId| plan.steps[step].stream;
    let needs = |step: StepId, need: &Need| match *need {
        Need::Value(id) => stream(plan.values[id].step) != stream(step),
        Need::End(_) => true,
        Need::Host(_) => false,
    };
    let mut tied: Arena<StepId, bool> = plan
        .steps
        .iter()
        .map(|(step, it)| {
            matches!(it.kind, StepKind::Barrier(_) | StepKind::Signal | StepKind::Wait(_))
                || model.gate(step).is_some()
                || model.needs(step).iter().any(|need| needs(step, need))
        })
        .collect();
    for value in plan.values.values() {
        tied[value.step] |= value.users.iter().any(|user| stream(*user) != stream(value.step));
    }
    tied
}

fn text(model: &Model, step: StepId) -> String {
    let plan = model.plan;
    let label = escape(&model.label(step));
    let own = plan.steps[step].stream;
    let text = match plan.steps[step].kind {
        StepKind::Barrier(id) => format!("▣ {}", escape(&model.meeting(id))),
        StepKind::Signal => format!("→ {}", label.trim_start_matches("signal ")),
        StepKind::Wait(_) => format!("← {}", label.trim_start_matches("wait ")),
        StepKind::Capture(id, _) | StepKind::Evaluate(id)
            if plan.values[id].users.iter().any(|user| plan.steps[*user].stream != own) =>
        {
            format!("{label} →")
        }
        StepKind::Capture(..)
        | StepKind::Evaluate(_)
        | StepKind::Run(_)
        | StepKind::Start(_)
        | StepKind::Stop(_)
        | StepKind::Prepare(_)
        | StepKind::Trigger(_)
        | StepKind::Join(_)
        | StepKind::Expect
        | StepKind::Put
        | StepKind::Get => label,
    };
    let values = model.needs(step).iter().filter_map(|need| match *need {
        Need::Value(id) => {
            (plan.steps[plan.values[id].step].stream != own).then(|| format!(" ← {}", plan.values[id].name))
        }
        Need::Host(_) | Need::End(_) => None,
    });
    let marks = model.marks(step);
    let marks = if marks.is_empty() { String::new() } else { format!(" [{}]", marks.join(", ")) };
    let finally = if model.is_cleanup(step) { "finally: " } else { "" };
    format!("{finally}{text}{}{marks}", values.collect::<String>())
}

/// Text inside a cell.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|")
}
