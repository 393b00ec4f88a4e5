//! What the parser makes of texts, right and wrong.

mod code;
mod dump;
mod language;
mod mistakes;
mod pages;
mod soup;
mod spans;

use crate::diagnostic::{Diagnostic, FileId, Sources};
use crate::syntax::ast::File;

/// A text in a file of its own, and what the parser makes of it.
fn parsed(text: &str) -> (Sources, File, Vec<Diagnostic>) {
    let mut sources = Sources::default();
    let id: FileId = sources.add("t.ms", text);
    let (file, problems) = super::parse(id, &sources);
    (sources, file, problems)
}

/// The short form of a text that must be right.
#[track_caller]
fn tree(text: &str) -> String {
    let (sources, file, problems) = parsed(text);
    let shown: Vec<String> = problems.iter().map(|problem| concise(problem, &sources)).collect();
    assert!(problems.is_empty(), "{text}\n{}", shown.join("\n"));
    dump::file(&file)
}

/// The short form of one statement that must be right.
#[track_caller]
fn statement(text: &str) -> String {
    let tree = tree(&format!("on a {{\n  {text}\n}}\n"));
    tree.strip_prefix("(on [a] ").and_then(|tree| tree.strip_suffix(')')).unwrap_or(&tree).to_owned()
}

/// The short form of a value.
#[track_caller]
fn value(text: &str) -> String {
    let mut sources = Sources::default();
    let id = sources.add("v", text);
    match super::parse_expression(id, &sources) {
        Ok(expr) => dump::expr(&expr),
        Err(problems) => problems.iter().map(|problem| concise(problem, &sources)).collect::<Vec<_>>().join("\n"),
    }
}

/// `line:column CODE message`
fn concise(problem: &Diagnostic, sources: &Sources) -> String {
    let place = sources.location(problem.span);
    let label = if problem.label.is_empty() { String::new() } else { format!(" ({})", problem.label) };
    format!("{}:{} {} {}{label}", place.line, place.column, problem.code, problem.message)
}
