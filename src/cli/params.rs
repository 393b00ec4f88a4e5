//! `mstream params`: what the parameters are, where each comes from, and which variants there are. It runs nothing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::files::{checked, checked_variants, read, show_all, show_problems};
use super::{Console, Inputs, WRONG};
use crate::check::Checked;
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
    /// List the variants, each with what is its own.
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
    variant: Option<Arc<str>>,
}

/// A parameter of a scenario.
struct Row {
    name: String,
    value: Value,
    from: String,
}

pub(super) fn params(it: &Show, console: &Console) -> u8 {
    shown(it, console).map_or_else(
        |code| code,
        |text| {
            Console::result(&text);
            0
        },
    )
}

fn shown(it: &Show, console: &Console) -> Result<String, u8> {
    let is_tree = it.file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    let all = if is_tree { of_tree(it, console)? } else { of_scenario(it, console)? };
    let [first, ..] = &all[..] else { return Ok(String::new()) };
    Ok(match (it.variants, it.format) {
        (false, Format::Human) => human(first, console.out_color),
        (true, Format::Human) => variants(&all, console.out_color),
        (false, Format::Json) => format!("{:#}\n", document(first)),
        (true, Format::Json) => {
            let mut document = document(first);
            document["parameters"] = Json::Array(Vec::new());
            document["variants"] = all.iter().map(Shown::variant).collect();
            format!("{document:#}\n")
        }
    })
}

fn of_tree(it: &Show, console: &Console) -> Result<Vec<Shown>, u8> {
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
    let shown = |params: Params, variant| Shown { sources: sources.clone(), table: Vec::new(), params, variant };
    if !it.variants {
        return Ok(vec![shown(tree.all(), None)]);
    }
    let variants = tree.variants().map_err(|problem| {
        show_problems(&[*problem], &sources, console);
        WRONG
    })?;
    Ok(variants.map(|variant| shown(variant.params, Some(variant.id))).collect())
}

fn of_scenario(it: &Show, console: &Console) -> Result<Vec<Shown>, u8> {
    let settings = it.inputs.settings();
    let found = if it.variants { checked_variants(&it.file, &settings)? } else { vec![checked(&it.file, &settings)?] };
    show_all(&found, console);
    if found.iter().any(|found| found.plan.is_none()) {
        return Err(WRONG);
    }
    Ok(found.into_iter().map(of_checked).collect())
}

fn of_checked(found: Checked) -> Shown {
    let table = found.params.iter().map(|(name, value, origin)| {
        let from = match origin {
            Origin::CommandLine => "-p".to_owned(),
            Origin::File(span) | Origin::Default(span) => found.sources.place(*span),
        };
        Row { name: name.to_string(), value: value.clone(), from }
    });
    Shown { table: table.collect(), params: found.given.params, variant: found.variant, sources: found.sources }
}

impl Shown {
    fn id(&self) -> &str {
        self.variant.as_deref().unwrap_or("the only one")
    }

    /// The variant as JSON.
    fn variant(&self) -> Json {
        json!({ "id": self.variant.as_deref(), "paths": self.params.paths(), "parameters": rows(&self.table) })
    }
}

fn rows(table: &[Row]) -> Vec<Json> {
    table.iter().map(|row| json!({ "name": row.name, "value": row.value.to_json(), "from": row.from })).collect()
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

/// The variants, each with what it does not have in common with all others: of a scenario the values of parameters, of a
/// tree alone the paths.
fn variants(all: &[Shown], color: bool) -> String {
    let width = all.iter().map(|shown| visible::text(shown.id()).chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    let own = if all.iter().all(|shown| shown.table.is_empty()) { own_paths(all) } else { own_values(all) };
    for (shown, own) in all.iter().zip(own) {
        let line = format!("{:width$}  {}", visible::text(shown.id()), dim(&visible::text(&own), color));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let _ = writeln!(out, "{} variant{}", all.len(), if all.len() == 1 { "" } else { "s" });
    out
}

/// The paths that not all variants have.
fn own_paths(all: &[Shown]) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for path in all.iter().flat_map(|shown| shown.params.paths()) {
        *counts.entry(path).or_default() += 1;
    }
    let own = |shown: &Shown| {
        let paths = shown.params.paths().into_iter().filter(|path| counts[path] < all.len());
        paths.collect::<Vec<_>>().join("  ")
    };
    all.iter().map(own).collect()
}

/// The parameters that do not have the same value in all variants.
fn own_values(all: &[Shown]) -> Vec<String> {
    let differs = |at: &usize| all.iter().any(|other| other.table[*at].value != all[0].table[*at].value);
    let columns: Vec<usize> = (0..all.first().map_or(0, |first| first.table.len())).filter(differs).collect();
    let own = |shown: &Shown| {
        let rows = columns.iter().map(|at| &shown.table[*at]);
        rows.map(|row| format!("{} = {}", row.name, written(&row.value))).collect::<Vec<_>>().join("  ")
    };
    all.iter().map(own).collect()
}

fn document(shown: &Shown) -> Json {
    json!({ "schema": SCHEMA, "parameters": rows(&shown.table), "tree": shown.params.tree().value().to_json() })
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
