//! Parameters: their types, defaults, and what `-p` makes of them.

use super::{Resolver, Settings};
use crate::diagnostic::{Code, Diagnostic, Sources, Span, Spanned, similar};
use crate::params::Data;
use crate::syntax::ast::{Expr, ExprKind, Param};
use crate::syntax::{Value, parse_expression};

/// The types that a parameter may state.
const TYPES: &[(&str, &str)] = &[
    ("int", "an integer"),
    ("float", "a number"),
    ("string", "a string"),
    ("bool", "a boolean"),
    ("duration", "a duration"),
    ("size", "a size"),
    ("list", "a list"),
    ("map", "a map"),
];

/// How many of the values that contradict each other are shown.
const MAX_LABELS: usize = 8;

/// Where the value of a parameter comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// `-p NAME=VALUE`
    CommandLine,
    /// A key of a parameter file.
    File(Span),
    /// The default in the scenario.
    Default(Span),
}

impl Resolver<'_> {
    pub(super) fn param(&mut self, param: &Param, settings: &Settings) {
        if !self.fresh("param", &param.name) {
            return;
        }
        let stated = param.kind.as_ref().and_then(|kind| self.stated(&kind.node, kind.span));
        let default = param.default.as_ref().map_or(Some(Value::Null), |expr| self.literal(expr));
        let Some(default) = default else { return };
        let wanted = stated.unwrap_or_else(|| default.kind());
        if stated.is_some_and(|stated| default != Value::Null && default.kind() != stated) {
            let span = param.default.as_ref().map_or(param.name.span, |expr| expr.span);
            let message = format!("`{}` takes {wanted}, and this is {}", param.name.node, default.kind());
            self.problems.push(Diagnostic::new(Code::WrongType, span, message));
        }
        let stood = param.default.as_ref().map(|expr| Origin::Default(expr.span));
        let found = match self.on_command_line(param, wanted, settings) {
            Some(value) => Some((value, Origin::CommandLine)),
            None => self.in_files(param, wanted).or_else(|| Some((default, stood?))),
        };
        let (value, origin) = found.unwrap_or_else(|| {
            self.missing(param);
            (Value::Null, Origin::Default(param.name.span))
        });
        self.scenario.params.insert(param.name.node.clone(), value);
        self.scenario.origins.insert(param.name.node.clone(), origin);
    }

    fn missing(&mut self, param: &Param) {
        let name = &param.name.node;
        let message = format!("the parameter `{name}` has no value");
        let problem = Diagnostic::new(Code::MissingOption, param.name.span, message);
        let (params, path) = (&self.given.params, path(param));
        let here = |other: &&str| params.get(other, path).is_ok_and(|hit| hit.is_some());
        let mut near: Vec<&str> = params.names().into_iter().filter(here).collect();
        near.sort_unstable();
        self.problems.push(match similar(name, near.iter().copied()) {
            Some(_) => problem.near("key", name, near),
            None => problem.help(format!("give it one: -p {name}=..., or a default here")),
        });
    }

    /// What `-p` says.
    fn on_command_line(&mut self, param: &Param, wanted: &str, settings: &Settings) -> Option<Value> {
        let (_, text) = settings.params.iter().rev().find(|(name, _)| *name == *param.name.node)?;
        Some(self.given(text, wanted, param))
    }

    /// What the parameter files say.
    fn in_files(&mut self, param: &Param, wanted: &str) -> Option<(Value, Origin)> {
        let (name, at) = (&param.name, path(param));
        let found = match self.given.params.get(&name.node, at) {
            Ok(Some(hit)) => vec![(hit.key, hit.value)],
            Ok(None) => {
                let maps = self.given.params.maps(&name.node, at);
                maps.into_iter().filter(|_| wanted == "a map").map(|map| (map.name.span, map.data)).collect()
            }
            Err(clash) => clash.hits.into_iter().map(|hit| (hit.key, hit.value)).collect(),
        };
        let [(key, data)] = &found[..] else {
            if !found.is_empty() {
                self.clash(param, &found);
            }
            return found.first().map(|(key, _)| (Value::Null, Origin::File(*key)));
        };
        let value = typed(&data.node, wanted).unwrap_or_else(|| {
            let kind = data.node.value().kind();
            let message = format!("the parameter `{}` takes {wanted}, and this is {kind}", name.node);
            let problem = Diagnostic::new(Code::WrongType, data.span, message);
            let problem = problem.other(name.span, format!("it takes {wanted}"));
            self.problems.push(match example(wanted) {
                Some(example) => problem.help(example),
                None => problem,
            });
            Value::Null
        });
        Some((value, Origin::File(*key)))
    }

    fn clash(&mut self, param: &Param, found: &[(Span, Spanned<Data>)]) {
        let (name, at) = (&param.name.node, path(param));
        let message = format!("`{name}` at `{at}` has {} values, and nothing says which of them counts", found.len());
        let label = |data: &Spanned<Data>| format!("`{}` here", data.node.value());
        let mut problem = Diagnostic::new(Code::ParameterClash, found[0].0, message).label(label(&found[0].1));
        for (key, data) in &found[1..found.len().min(MAX_LABELS)] {
            problem = problem.other(*key, label(data));
        }
        let read = param.at.as_ref().map_or(param.name.span, |at| at.span);
        let problem = problem.other(read, "read here");
        self.problems.push(problem.help(if self.given.params.tree().has_mux() {
            "`--variants` looks at one variant after the other; a longer path finds fewer of them"
        } else {
            "a longer path finds fewer of them"
        }));
    }

    fn stated(&mut self, name: &str, span: Span) -> Option<&'static str> {
        let found = TYPES.iter().find(|(known, _)| *known == name).map(|(_, words)| *words);
        if found.is_none() {
            let names = TYPES.iter().map(|(name, _)| *name);
            let problem = Diagnostic::new(Code::WrongType, span, format!("there is no type `{name}`"));
            self.problems.push(problem.help(format!("the types are: {}", names.collect::<Vec<_>>().join(", "))));
        }
        found
    }

    /// The value of an expression that must be known as it stands.
    fn literal(&mut self, expr: &Expr) -> Option<Value> {
        let value = literal(expr);
        if value.is_none() {
            self.problems.push(Diagnostic::new(Code::WrongType, expr.span, "a default is a plain value"));
        }
        value
    }

    /// The value of `-p name=text`: read as the type that is wanted; where any text will do, it is the text itself.
    fn given(&mut self, text: &str, wanted: &str, param: &Param) -> Value {
        if wanted == "a string" {
            return Value::Text(text.into());
        }
        match written(text) {
            Some(Value::Int(value)) if wanted == "a number" => {
                // A float holds every integer that anybody writes on a command line closely enough.
                Value::Float(value.to_string().parse().unwrap_or(f64::NAN))
            }
            Some(value) if value.kind() == wanted || wanted == "null" => value,
            None if wanted == "null" => Value::Text(text.into()),
            Some(_) | None => {
                let message = format!("-p {}={text}: the parameter takes {wanted}", param.name.node);
                self.problems.push(Diagnostic::new(Code::WrongType, param.name.span, message));
                Value::Null
            }
        }
    }
}

/// The path that a parameter is looked up at; without one it may stand anywhere.
fn path(param: &Param) -> &str {
    param.at.as_ref().map_or("*", |at| &*at.node)
}

/// A value as a scenario writes it.
fn written(text: &str) -> Option<Value> {
    let mut sources = Sources::default();
    let id = sources.add("-p", text);
    parse_expression(id, &sources).ok().and_then(|expr| literal(&expr))
}

/// The value of a parameter file as the type that is wanted; text may be written as a scenario writes that type.
fn typed(data: &Data, wanted: &str) -> Option<Value> {
    let value = data.value();
    if wanted == "null" || value.kind() == wanted && wanted != "a string" {
        return Some(value);
    }
    let text = data.text()?;
    match (wanted, &value) {
        (_, Value::Null) => None,
        ("a string", _) => Some(Value::Text(text.clone())),
        ("a number", Value::Int(value)) => value.to_string().parse().ok().map(Value::Float),
        ("a boolean", Value::Text(_)) => match text.to_lowercase().as_str() {
            "yes" | "on" | "true" => Some(Value::Bool(true)),
            "no" | "off" | "false" => Some(Value::Bool(false)),
            _ => None,
        },
        (_, Value::Text(_)) => written(text).filter(|value| value.kind() == wanted),
        _ => None,
    }
}

/// How a type is written.
fn example(wanted: &str) -> Option<&'static str> {
    match wanted {
        "a duration" => Some("a duration is written as `250ms`, `10s` or `1h30m`"),
        "a size" => Some("a size is written as `512B`, `64KiB` or `1GB`"),
        "a boolean" => Some("`true` or `false`"),
        _ => None,
    }
}

/// The value of an expression made of literals only.
pub(super) fn literal(expr: &Expr) -> Option<Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value.clone()),
        ExprKind::List(items) => items.iter().map(literal).collect::<Option<Vec<_>>>().map(|it| Value::List(it.into())),
        ExprKind::Map(pairs) => {
            let entries = pairs.iter().map(|(key, value)| Some((key.node.clone(), literal(value)?)));
            Some(Value::Map(std::sync::Arc::new(entries.collect::<Option<_>>()?)))
        }
        ExprKind::Template(_)
        | ExprKind::Name(_)
        | ExprKind::Range(..)
        | ExprKind::Member(..)
        | ExprKind::Index(..)
        | ExprKind::Call(..)
        | ExprKind::Code(_)
        | ExprKind::Not(_)
        | ExprKind::Binary(..) => None,
    }
}
