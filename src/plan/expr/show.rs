//! An expression as an author would write it, and why it does not hold.

use super::{Context, Expr, evaluate};
use crate::plan::Plan;
use crate::scenario::StreamId;
use crate::syntax::Value;
use crate::syntax::ast::Operator;

/// How much of a value is shown beside a failed expectation, in characters.
const SHOWN: usize = 200;

/// The expression as an author would write it: `probe.exit == 0`.
pub fn show(expr: &Expr, plan: &Plan) -> String {
    match expr {
        Expr::Constant(value) => literal(value),
        Expr::Value(id, field) => format!("{}{}", plan.values[*id].name, field.suffix()),
        Expr::Host(stream) => format!("{}.host", stream_name(*stream, plan)),
        Expr::Success(streams) => success(streams, plan),
        Expr::Secret(name) => format!("secret({name:?})"),
        Expr::Index(of, at) => match constant(at) {
            Some(Value::Text(key)) if plain(key) => format!("{}.{key}", show(of, plan)),
            Some(_) | None => format!("{}[{}]", show(of, plan), show(at, plan)),
        },
        Expr::List(items) => format!("[{}]", joined(items.iter().map(|item| show(item, plan)))),
        Expr::Map(entries) => {
            format!("{{ {} }}", joined(entries.iter().map(|(key, value)| format!("{key} = {}", show(value, plan)))))
        }
        Expr::Concat(parts) => format!("\"{}\"", parts.iter().map(|part| piece(part, plan)).collect::<String>()),
        Expr::Not(inner) if matches!(**inner, Expr::Binary(..)) => format!("not ({})", show(inner, plan)),
        Expr::Not(inner) => format!("not {}", show(inner, plan)),
        Expr::Binary(parts, _) => {
            let (left, operator, right) = &**parts;
            format!("{} {} {}", side(left, *operator, plan), operator.symbol(), side(right, *operator, plan))
        }
    }
}

/// Why a condition does not hold: the expression, then each part that only the run knew, with its value.
pub fn explain(expr: &Expr, plan: &Plan, run: &dyn Context) -> Vec<String> {
    let mut lines = vec![show(expr, plan)];
    let mut left = vec![expr];
    while let Some(it) = left.pop() {
        match it {
            Expr::Constant(_) => {}
            Expr::Secret(_) => lines.push(format!("{} is hidden", show(it, plan))),
            Expr::Success(streams) if streams.len() > 1 => {
                lines.extend(streams.iter().map(|one| told(&Expr::Success([*one].into()), plan, run)));
            }
            Expr::Value(..) | Expr::Host(_) | Expr::Success(_) | Expr::Index(..) => lines.push(told(it, plan, run)),
            Expr::List(items) | Expr::Concat(items) => left.extend(items.iter().rev()),
            Expr::Map(entries) => left.extend(entries.iter().rev().map(|(_, value)| value)),
            Expr::Not(inner) => left.push(inner),
            Expr::Binary(parts, _) => left.extend([&parts.2, &parts.0]),
        }
    }
    let mut seen = indexmap::IndexSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}

/// `probe.exit is 7`.
fn told(expr: &Expr, plan: &Plan, run: &dyn Context) -> String {
    match evaluate(expr, run) {
        Ok(value) => format!("{} is {}", show(expr, plan), shortened(&literal(&value))),
        Err(_) => format!("{} is not known", show(expr, plan)),
    }
}

fn constant(expr: &Expr) -> Option<&Value> {
    if let Expr::Constant(value) = expr { Some(value) } else { None }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Regex(pattern) => format!("/{pattern}/"),
        Value::Null => "null".to_owned(),
        Value::Bytes(_) => format!("{:?}", value.to_string()),
        Value::List(items) => format!("[{}]", joined(items.iter().map(literal))),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Duration(_) | Value::Size(_) | Value::Map(_) => {
            value.to_string()
        }
    }
}

fn piece(part: &Expr, plan: &Plan) -> String {
    constant(part).map_or_else(|| format!("${{{{{}}}}}", show(part, plan)), Value::to_string)
}

/// An operand, in parentheses where it binds more loosely than the operator.
fn side(expr: &Expr, operator: Operator, plan: &Plan) -> String {
    let loose = match expr {
        Expr::Binary(parts, _) => strength(parts.1) < strength(operator) || strength(operator) == 2,
        Expr::Not(_) => strength(operator) == 2,
        Expr::Constant(_)
        | Expr::Value(..)
        | Expr::Host(_)
        | Expr::Success(_)
        | Expr::Secret(_)
        | Expr::Index(..)
        | Expr::List(_)
        | Expr::Map(_)
        | Expr::Concat(_) => false,
    };
    if loose { format!("({})", show(expr, plan)) } else { show(expr, plan) }
}

fn strength(operator: Operator) -> u8 {
    match operator {
        Operator::Or => 0,
        Operator::And => 1,
        Operator::Equal
        | Operator::NotEqual
        | Operator::Less
        | Operator::AtMost
        | Operator::Greater
        | Operator::AtLeast
        | Operator::In
        | Operator::Matches
        | Operator::Contains => 2,
    }
}

/// `a.success`, `streams.success` for all of them, `(a, b).success` for some.
fn success(streams: &[StreamId], plan: &Plan) -> String {
    let places = plan.streams.values().filter(|stream| !stream.finale).count();
    match streams {
        [one] => format!("{}.success", stream_name(*one, plan)),
        all if all.len() == places => "streams.success".to_owned(),
        some => format!("({}).success", joined(some.iter().map(|stream| stream_name(*stream, plan)))),
    }
}

fn stream_name(stream: StreamId, plan: &Plan) -> String {
    let name = &plan.streams[stream].name;
    if plain(name) { name.to_string() } else { format!("streams[{name:?}]") }
}

fn plain(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
}
