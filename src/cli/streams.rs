//! `mstream streams`: where each stream is, and who says so. It connects nowhere.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value as Json, json};

use super::files::{checked, show};
use super::{Console, Inputs, WRONG};
use crate::diagnostic::{Sources, visible};
use crate::plan::{self, Expr, Plan, Stream};
use crate::scenario::Layer;
use crate::syntax::Value;

/// The version of the form for tools.
const SCHEMA: u32 = 1;

/// What stands in a secret's place.
const HIDDEN: &str = "***";

/// `mstream streams`
#[derive(Args, Debug)]
pub(super) struct Streams {
    /// The scenario.
    file: PathBuf,
    /// How to write them.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    inputs: Inputs,
}

/// How streams are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// A table; what is the same for several streams of a fleet stands there once.
    Human,
    /// One document, for tools.
    Json,
}

pub(super) fn streams(it: &Streams, console: &Console) -> u8 {
    let found = match checked(&it.file, &it.inputs.settings()) {
        Ok(found) => found,
        Err(code) => return code,
    };
    show(&found, console);
    let Some(plan) = found.plan else { return WRONG };
    Console::result(&match it.format {
        Format::Human => table(&plan, &found.sources, console.out_color),
        Format::Json => document(&plan, &found.sources),
    });
    0
}

/// A line of the table: what all of these streams have.
#[derive(PartialEq)]
struct Row {
    name: String,
    kind: String,
    keys: String,
    from: String,
}

fn table(plan: &Plan, sources: &Sources, color: bool) -> String {
    let mut rows: Vec<Row> = Vec::new();
    // The fleet of the last row, and its numbers there.
    let mut last: Option<(&str, i64, i64)> = None;
    for stream in declared(plan) {
        let mut row = Row {
            name: visible::text(&stream.name),
            kind: stream.kind.to_string(),
            keys: visible::text(&keys(stream, plan)),
            from: visible::text(&from(stream, sources)),
        };
        let fleet = fleet(stream, sources);
        let same = |above: &Row| (&above.kind, &above.keys, &above.from) == (&row.kind, &row.keys, &row.from);
        let (first, merged) = match (last, fleet, rows.last()) {
            (Some((name, first, end)), Some(fleet), Some(above))
                if name == fleet && end + 1 == stream.index && same(above) =>
            {
                (first, true)
            }
            _ => (stream.index, false),
        };
        last = fleet.map(|fleet| (fleet, first, stream.index));
        if let Some(fleet) = fleet {
            let numbers = if merged { format!("{first}..{}", stream.index) } else { stream.index.to_string() };
            row.name = visible::text(&format!("{fleet}[{numbers}]"));
        }
        if merged {
            rows.pop();
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return "no streams\n".to_owned();
    }
    let head = Row { name: "stream".into(), kind: "kind".into(), keys: "keys".into(), from: "from".into() };
    rows.insert(0, head);
    draw(&rows, color)
}

/// Columns side by side, the head in bold.
fn draw(rows: &[Row], color: bool) -> String {
    let width = |cell: fn(&Row) -> &String| {
        rows.iter().map(|row| unicode_width::UnicodeWidthStr::width(cell(row).as_str())).max().unwrap_or(0)
    };
    let (name, kind, keys) = (width(|row| &row.name), width(|row| &row.kind), width(|row| &row.keys));
    let bold = if color { anstyle::Style::new().bold() } else { anstyle::Style::new() };
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let cells = [visible::pad(&row.name, name), visible::pad(&row.kind, kind), visible::pad(&row.keys, keys)];
        let line = format!("{}  {}", cells.join("  "), row.from);
        let style = if at == 0 { bold } else { anstyle::Style::new() };
        let _ = writeln!(out, "{style}{}{style:#}", line.trim_end());
    }
    out
}

fn document(plan: &Plan, sources: &Sources) -> String {
    let streams: Vec<String> = declared(plan).map(|it| format!("\n    {}", entry(it, plan, sources))).collect();
    let end = if streams.is_empty() { "" } else { "\n  " };
    format!("{{\n  \"schema\": {SCHEMA},\n  \"streams\": [{}{end}]\n}}\n", streams.join(","))
}

fn entry(stream: &Stream, plan: &Plan, sources: &Sources) -> Json {
    let mut out = Map::new();
    out.insert("name".to_owned(), (*stream.name).into());
    out.extend(fleet(stream, sources).map(|fleet| ("fleet".to_owned(), fleet.into())));
    out.insert("index".to_owned(), stream.index.into());
    out.insert("kind".to_owned(), (*stream.kind).into());
    let keys = stream.keys.iter().map(|(key, value)| (key.to_string(), json_of(key, value, plan)));
    out.insert("keys".to_owned(), Json::Object(keys.collect()));
    out.insert("from".to_owned(), stream.bound.layer.name().into());
    if let Some(span) = written(stream) {
        let location = sources.location(span);
        out.insert("file".to_owned(), (**sources.file(span.file).name()).into());
        out.insert("line".to_owned(), location.line.into());
        out.insert("column".to_owned(), location.column.into());
    }
    Json::Object(out)
}

/// A key for tools: what is known beforehand as it is, the rest as it is written.
fn json_of(key: &str, value: &Expr, plan: &Plan) -> Json {
    match value.as_constant() {
        Some(known) if is_open(key) => known.to_json(),
        None if is_open(key) => json!({ "later": shown(key, value, plan) }),
        Some(_) | None => shown(key, value, plan).into(),
    }
}

/// The streams of the scenario, in order of definition.
fn declared(plan: &Plan) -> impl Iterator<Item = &Stream> {
    plan.streams.values().filter(|stream| !stream.finale)
}

/// The fleet of a stream: its name as it was declared.
fn fleet<'a>(stream: &Stream, sources: &'a Sources) -> Option<&'a str> {
    let written = sources.text(stream.span).trim_matches(['"', '\'']);
    (*stream.name == *format!("{written}-{}", stream.index)).then_some(written)
}

/// `host=foo user=root`.
fn keys(stream: &Stream, plan: &Plan) -> String {
    let keys = stream.keys.iter().map(|(key, value)| format!("{key}={}", shown(key, value, plan)));
    keys.collect::<Vec<_>>().join(" ")
}

/// Whether the values of a key may be shown.
fn is_open(key: &str) -> bool {
    !matches!(key, "password" | "env")
}

fn shown(key: &str, value: &Expr, plan: &Plan) -> String {
    match (key, value) {
        ("password", Expr::Secret(_)) => plan::show(value, plan),
        // Much of what stands there is secret, and nobody knows what.
        ("env", Expr::Constant(Value::Map(map))) => names(map.keys()),
        ("env", Expr::Map(entries)) => names(entries.iter().map(|(name, _)| name)),
        ("password" | "env", _) => HIDDEN.to_owned(),
        (_, Expr::Constant(Value::Text(text))) if is_word(text) => text.to_string(),
        (_, Expr::Constant(Value::Size(bytes))) => size(*bytes),
        (_, Expr::Value(id, _)) => {
            format!("{}.{}", plan.stream_of(plan.values[*id].step).name, plan::show(value, plan))
        }
        _ => plan::show(value, plan),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a std::sync::Arc<str>>) -> String {
    format!("{{{}}}", names.map(|name| format!("{name}={HIDDEN}")).collect::<Vec<_>>().join(", "))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|letter: char| letter.is_whitespace() || letter == '"')
}

/// As the language writes it.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let whole = UNITS.iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    whole.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// Where the binding stands, unless that is the command line.
fn written(stream: &Stream) -> Option<crate::diagnostic::Span> {
    stream.bound.span.filter(|_| stream.bound.layer != Layer::CommandLine)
}

/// `--stream`, `lab.ms:4`, `default`.
fn from(stream: &Stream, sources: &Sources) -> String {
    let place = written(stream).map(|span| sources.place(span));
    match (stream.bound.layer, place) {
        (Layer::Scenario, Some(place)) => place,
        (layer, Some(place)) => format!("{} {place}", layer.name()),
        (layer, None) => layer.name().to_owned(),
    }
}
