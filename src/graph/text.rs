//! For a terminal: each stream with its steps, where they stand, and whom it meets.

use unicode_width::UnicodeWidthStr as _;

use super::model::{Model, list};
use crate::diagnostic::visible;
use crate::plan::{Need, StepId, StepKind};
use crate::scenario::StreamId;

/// The whole text.
pub(super) fn write(model: &Model) -> String {
    let mut out = format!("{}\n", visible::text(&model.plan.title));
    let all: Vec<_> = model.plan.streams.ids().map(|stream| (stream, rows(model, stream))).collect();
    let width = |column: usize| {
        let rows = all.iter().flat_map(|(_, rows)| rows).filter(|row| row.len() > 1);
        rows.map(|row| row[column].width()).max().unwrap_or(0)
    };
    let widths = [width(0), width(1)];
    for (stream, rows) in &all {
        out.extend(["\n", &model.heading(*stream), "\n"]);
        for row in rows {
            let padded = row.iter().zip(widths.into_iter().chain([0])).map(|(cell, width)| visible::pad(cell, width));
            out.push_str(format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end());
            out.push('\n');
        }
    }
    out
}

/// One row a step: what, where, with whom; and lines of one cell where a `finally` or a group begins.
fn rows(model: &Model, stream: StreamId) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut cleanup, mut group) = (false, None);
    for step in model.steps(stream) {
        if model.is_cleanup(step) && !std::mem::replace(&mut cleanup, true) {
            rows.push(vec!["finally".to_owned()]);
        }
        let now = model.group(step);
        if now != group
            && let Some(id) = now
        {
            rows.push(vec![format!("{}{}", indent(cleanup, false), model.group_words(id))]);
        }
        group = now;
        let label = format!("{}{}", indent(cleanup, now.is_some()), model.label(step));
        rows.push(vec![label, model.place(step), about(model, step)]);
    }
    rows
}

fn indent(cleanup: bool, group: bool) -> String {
    "  ".repeat(usize::from(cleanup) + usize::from(group))
}

/// What ties a step to other streams, and what sets it apart.
fn about(model: &Model, step: StepId) -> String {
    let needs = model.needs(step).iter().filter_map(|need| needs(model, step, *need));
    let gate = model
        .gate(step)
        .map(|gate| format!("starts together with {}", others(model, step, &model.plan.barriers[gate].parties)));
    let marks = model.marks(step).into_iter().filter(|_| model.group(step).is_none());
    ties(model, step).into_iter().chain(gate).chain(needs).chain(marks).collect::<Vec<_>>().join(", ")
}

fn ties(model: &Model, step: StepId) -> Option<String> {
    let plan = model.plan;
    let text = match plan.steps[step].kind {
        StepKind::Barrier(id) => format!("meets {}", others(model, step, &plan.barriers[id].parties)),
        StepKind::Wait(id) => format!("from {}", others(model, step, &plan.signals[id].from)),
        StepKind::Signal => {
            let feeds = plan.steps[step].extra.as_ref().map_or(&[][..], |extra| &extra.feeds);
            let to: Vec<StepId> = feeds.iter().flat_map(|id| &plan.signals[*id].to).copied().collect();
            format!("for {}", others(model, step, &to))
        }
        StepKind::Capture(id, _) | StepKind::Evaluate(id) => {
            let stream = plan.steps[step].stream;
            let users: Vec<StepId> =
                plan.values[id].users.iter().copied().filter(|user| plan.steps[*user].stream != stream).collect();
            if users.is_empty() {
                return None;
            }
            format!("for {}", others(model, step, &users))
        }
        StepKind::Run(_)
        | StepKind::Start(_)
        | StepKind::Stop(_)
        | StepKind::Prepare(_)
        | StepKind::Trigger(_)
        | StepKind::Join(_)
        | StepKind::Expect
        | StepKind::Put
        | StepKind::Get => return None,
    };
    Some(text)
}

/// What comes from another stream.
fn needs(model: &Model, step: StepId, need: Need) -> Option<String> {
    let own = model.plan.steps[step].stream;
    match need {
        Need::Value(id) => {
            let value = &model.plan.values[id];
            let stream = model.plan.steps[value.step].stream;
            (stream != own).then(|| format!("needs {} of {}", value.name, model.stream(stream)))
        }
        Need::Host(stream) => (stream != own).then(|| format!("needs the address of {}", model.stream(stream))),
        Need::End(stream) => Some(format!("after the end of {}", model.stream(stream))),
    }
}

/// The streams of all these steps but `step`, each once, in order.
fn others(model: &Model, step: StepId, steps: &[StepId]) -> String {
    let mut streams: Vec<StreamId> =
        steps.iter().filter(|other| **other != step).map(|other| model.plan.steps[*other].stream).collect();
    streams.sort_unstable();
    streams.dedup();
    let names: Vec<String> = streams.into_iter().map(|stream| model.stream(stream)).collect();
    if names.is_empty() { "nobody".to_owned() } else { list(&names) }
}
