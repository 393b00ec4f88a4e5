//! `mstream params`: what the parameters are, where each comes from, and which variants there are. It runs nothing.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::files::{checked, read, show, show_problems};
use super::{Console, Inputs, WRONG};
use crate::diagnostic::{Diagnostic, Sources, Span, visible};
use crate::params::{File, Limits, Line, Params, Tree};
use crate::scenario::Origin;
use crate::syntax::Value;

/// The version of the form for tools.
const SCHEMA: u32 = 1;

/// `mstream params`
#[derive(Args, Debug)]
pub(super) struct Show {
    /// A scenario, or a YAML file of parameters.
    file: PathBuf,
    /// List the variants instead of the tree.
    #[arg(long)]
    variants: bool,
    /// How to write it.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    inputs: Inputs,
}

/// How parameters are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// A table and a tree.
    Human,
    /// One document, for tools.
    Json,
}

/// What is shown.
struct Shown {
    sources: Sources,
    /// The parameters of the scenario.
    table: Vec<Row>,
    params: Params,
}

/// A parameter of a scenario.
struct Row {
    name: String,
    value: Value,
    from: String,
}

pub(super) fn params(it: &Show, console: &Console) -> u8 {
    let is_tree = it.file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    let shown = if is_tree { of_tree(it, console) } else { of_scenario(it, console) };
    let shown = match shown {
        Ok(shown) => shown,
        Err(code) => return code,
    };
    let text = match (it.variants, it.format) {
        (false, Format::Human) => human(&shown, console.out_color),
        (true, Format::Human) => match variants(&shown, console.out_color) {
            Ok(text) => text,
            Err(problem) => return refused(*problem, &shown, console),
        },
        (_, Format::Json) => match document(&shown, it.variants) {
            Ok(text) => text,
            Err(problem) => return refused(*problem, &shown, console),
        },
    };
    Console::result(&text);
    0
}

fn refused(problem: Diagnostic, shown: &Shown, console: &Console) -> u8 {
    show_problems(&[problem], &shown.sources, console);
    WRONG
}

fn of_tree(it: &Show, console: &Console) -> Result<Shown, u8> {
    let mut sources = Sources::default();
    let settings = it.inputs.settings();
    let files = std::iter::once(&it.file).chain(&settings.files).map(|path| {
        let text = path.display().to_string();
        let end = text.len();
        File { path: path.clone(), named: Span::new(sources.add("command line", text), 0..end) }
    });
    let files: Vec<File> = files.collect();
    let limits = Limits::scaled(settings.limit_scale.unwrap_or(1));
    let (tree, problems) = Tree::read(&files, &limits, &mut read, &mut sources);
    show_problems(&problems, &sources, console);
    if problems.iter().any(Diagnostic::is_error) {
        return Err(WRONG);
    }
    Ok(Shown { sources, table: Vec::new(), params: tree.all() })
}

fn of_scenario(it: &Show, console: &Console) -> Result<Shown, u8> {
    let found = checked(&it.file, &it.inputs.settings())?;
    show(&found, console);
    if found.plan.is_none() {
        return Err(WRONG);
    }
    let table = found.params.iter().map(|(name, value, origin)| {
        let from = match origin {
            Origin::CommandLine => "-p".to_owned(),
            Origin::File(span) | Origin::Default(span) => found.sources.place(*span),
        };
        Row { name: name.to_string(), value: value.clone(), from }
    });
    Ok(Shown { table: table.collect(), params: found.given.params, sources: found.sources })
}

fn human(shown: &Shown, color: bool) -> String {
    let mut out = String::new();
    if !shown.table.is_empty() {
        out += "parameters\n";
        let rows: Vec<[String; 3]> = shown
            .table
            .iter()
            .map(|row| [visible::text(&row.name), visible::text(&written(&row.value)), visible::text(&row.from)])
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        for [name, value, from] in &rows {
            let _ = writeln!(out, "  {name:first$}  {value:second$}  {}", dim(from, color));
        }
    }
    let lines = shown.params.tree().lines();
    if !lines.is_empty() {
        if !out.is_empty() {
            out += "\ntree\n";
        }
        out += &tree(&lines, shown, color);
    }
    if out.is_empty() {
        return "no parameters\n".to_owned();
    }
    out
}

/// The lines of the tree, with the places at their ends.
fn tree(lines: &[Line], shown: &Shown, color: bool) -> String {
    let texts: Vec<String> = lines
        .iter()
        .map(|line| {
            let value = line.value.as_ref().map(|value| format!(": {}", visible::text(&written(value))));
            format!("{}{}{}", line.rails, visible::text(&line.name), value.unwrap_or_default())
        })
        .collect();
    let width = texts.iter().map(|text| text.chars().count()).filter(|width| *width <= 60).max().unwrap_or(0);
    let mut out = String::new();
    for (line, text) in lines.iter().zip(texts) {
        let place = line.span.map(|span| dim(&visible::text(&shown.sources.place(span)), color)).unwrap_or_default();
        let pad = width.saturating_sub(text.chars().count());
        let _ = writeln!(out, "{}", format!("{text}{}  {place}", " ".repeat(pad)).trim_end());
    }
    out
}

/// The variants, each with what it does not have in common with all others.
fn variants(shown: &Shown, color: bool) -> Result<String, Box<Diagnostic>> {
    let all: Vec<_> = shown.params.tree().variants()?.collect();
    let common = |path: &String| all.iter().all(|variant| variant.paths.contains(path));
    let mut out = String::new();
    for variant in &all {
        let own: Vec<&str> = variant.paths.iter().filter(|path| !common(path)).map(String::as_str).collect();
        let _ = writeln!(out, "{}  {}", visible::text(&variant.id), dim(&visible::text(&own.join("  ")), color));
    }
    let _ = writeln!(out, "{} variant{}", all.len(), if all.len() == 1 { "" } else { "s" });
    Ok(out)
}

fn document(shown: &Shown, with_variants: bool) -> Result<String, Box<Diagnostic>> {
    let table =
        shown.table.iter().map(|row| json!({ "name": row.name, "value": row.value.to_json(), "from": row.from }));
    let mut document = json!({
        "schema": SCHEMA,
        "parameters": table.collect::<Vec<_>>(),
        "tree": shown.params.tree().value().to_json(),
    });
    if with_variants {
        let variants = shown.params.tree().variants()?;
        document["variants"] = variants.map(|it| json!({ "id": &*it.id, "paths": it.paths })).collect::<Json>();
    }
    Ok(format!("{document:#}\n"))
}

/// A value as a scenario writes it, near enough for people.
fn written(value: &Value) -> String {
    match value {
        Value::Text(text) => Json::from(&**text).to_string(),
        Value::Null => "null".to_owned(),
        Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Duration(_)
        | Value::Size(_)
        | Value::Bytes(_)
        | Value::Regex(_)
        | Value::List(_)
        | Value::Map(_) => value.to_string(),
    }
}

fn dim(text: &str, color: bool) -> String {
    if color && !text.is_empty() { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
}
