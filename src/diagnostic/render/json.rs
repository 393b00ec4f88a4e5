//! Everything a diagnostic says, for tools: lines and columns from 1, columns in characters, bytes beside them.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Sources, Span};

pub(super) fn render(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let all: Vec<Value> = diagnostics.iter().map(|diagnostic| one(diagnostic, sources)).collect();
    let document = json!({ "schema": 1, "diagnostics": all });
    format!("{document:#}\n")
}

fn one(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let others: Vec<Value> = diagnostic
        .others
        .iter()
        .map(|other| json!({ "message": other.node, "span": place(other.span, sources) }))
        .collect();
    json!({
        "code": diagnostic.code.id(),
        "name": diagnostic.code.name(),
        "severity": diagnostic.severity.name(),
        "message": diagnostic.message,
        "span": place(diagnostic.span, sources),
        "label": diagnostic.label,
        "labels": others,
        "notes": diagnostic.notes,
        "help": diagnostic.help,
    })
}

fn place(span: Span, sources: &Sources) -> Value {
    let file = sources.file(span.file);
    let (start, end) = (file.location(span.start), file.location(span.end));
    json!({
        "file": file.name().as_ref(),
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "start_byte": span.start,
        "end_byte": span.end,
    })
}
