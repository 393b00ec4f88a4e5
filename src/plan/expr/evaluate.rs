//! What an expression comes to, once a run knows its parts.

use std::cmp::Ordering;
use std::sync::Arc;

use regex::Regex;

use super::{Context, Expr, Field, Unknown};
use crate::syntax::Value;
use crate::syntax::ast::Operator;

/// The value of an expression; the error says in words what is missing or does not fit.
pub fn evaluate(expr: &Expr, run: &dyn Context) -> Result<Value, Unknown> {
    match expr {
        Expr::Constant(value) => Ok(value.clone()),
        Expr::Value(id, field) => run.value(*id, *field).ok_or_else(|| {
            let name = run.name(*id);
            if *field == Field::Json && run.value(*id, Field::Stdout).is_some() {
                unknown(format!("`{name}` is not JSON"))
            } else {
                unknown(format!("`{name}{}` was never made", field.suffix()))
            }
        }),
        Expr::Host(stream) => {
            run.host(*stream).ok_or_else(|| unknown("the address of a stream that is not open is not known"))
        }
        Expr::Success(streams) => Ok(Value::Bool(streams.iter().all(|stream| run.success(*stream)))),
        Expr::Secret(name) => run.secret(name).ok_or_else(|| unknown(format!("the secret `{name}` is not set"))),
        Expr::Index(of, at) => index(&evaluate(of, run)?, &evaluate(at, run)?),
        Expr::List(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| evaluate(item, run)).collect();
            Ok(Value::List(items?.into()))
        }
        Expr::Map(entries) => {
            let entries: Result<_, Unknown> =
                entries.iter().map(|(key, value)| Ok((Arc::clone(key), evaluate(value, run)?))).collect();
            Ok(Value::Map(Arc::new(entries?)))
        }
        Expr::Concat(parts) => concat(parts, run),
        Expr::Not(inner) => Ok(Value::Bool(!holds(inner, run)?)),
        Expr::Binary(parts, _) => binary(parts, run),
    }
}

/// Whether a condition holds; what is not a boolean is an error in words.
pub fn holds(expr: &Expr, run: &dyn Context) -> Result<bool, Unknown> {
    let value = evaluate(expr, run)?;
    if let Value::Bool(value) = value {
        Ok(value)
    } else {
        Err(unknown(format!("a condition must be true or false, and this is {}", value.kind())))
    }
}

fn unknown(words: impl Into<String>) -> Unknown {
    Unknown(words.into())
}

fn concat(parts: &[Expr], run: &dyn Context) -> Result<Value, Unknown> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(evaluate(part, run)?.to_bytes());
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text.into()),
        Err(raw) => Value::Bytes(raw.into_bytes().into()),
    })
}

fn index(of: &Value, at: &Value) -> Result<Value, Unknown> {
    match (of, at) {
        (Value::Map(map), Value::Text(key)) => {
            map.get(key).cloned().ok_or_else(|| unknown(format!("there is no `{key}` in the map")))
        }
        (Value::List(items), Value::Int(position)) => {
            let found = usize::try_from(*position).ok().and_then(|position| items.get(position));
            found.cloned().ok_or_else(|| unknown(format!("there is no [{position}] in a list of {}", items.len())))
        }
        _ => Err(unknown(format!("{} has no [{at}]", of.kind()))),
    }
}

fn binary((left, operator, right): &(Expr, Operator, Expr), run: &dyn Context) -> Result<Value, Unknown> {
    let answer = match operator {
        Operator::And => holds(left, run)? && holds(right, run)?,
        Operator::Or => holds(left, run)? || holds(right, run)?,
        Operator::Equal => equal(&evaluate(left, run)?, &evaluate(right, run)?)?,
        Operator::NotEqual => !equal(&evaluate(left, run)?, &evaluate(right, run)?)?,
        Operator::Less => order(&evaluate(left, run)?, &evaluate(right, run)?)?.is_some_and(Ordering::is_lt),
        Operator::AtMost => order(&evaluate(left, run)?, &evaluate(right, run)?)?.is_some_and(Ordering::is_le),
        Operator::Greater => order(&evaluate(left, run)?, &evaluate(right, run)?)?.is_some_and(Ordering::is_gt),
        Operator::AtLeast => order(&evaluate(left, run)?, &evaluate(right, run)?)?.is_some_and(Ordering::is_ge),
        Operator::Matches => matches(&evaluate(left, run)?, &evaluate(right, run)?)?,
        Operator::Contains => contains(&evaluate(left, run)?, &evaluate(right, run)?)?,
        Operator::In => contains(&evaluate(right, run)?, &evaluate(left, run)?)?,
    };
    Ok(Value::Bool(answer))
}

/// Equality of values of one kind; of two kinds it is an error, as it is always a mistake.
fn equal(left: &Value, right: &Value) -> Result<bool, Unknown> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(left == right),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::List(a), Value::List(b)) => Ok(a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))),
        (Value::Map(a), Value::Map(b)) => {
            Ok(a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))))
        }
        _ => Ok(order(left, right)?.is_some_and(Ordering::is_eq)),
    }
}

fn same(left: &Value, right: &Value) -> bool {
    equal(left, right).unwrap_or(false)
}

/// The order of two values; `None` where a number is not a number.
fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, Unknown> {
    if let (Some(a), Some(b)) = (text(left), text(right)) {
        return Ok(Some(a.cmp(b)));
    }
    match (left, right) {
        (Value::Duration(a), Value::Duration(b)) => Ok(Some(a.cmp(b))),
        _ => match (number(left), number(right)) {
            (Some(Number::Whole(a)), Some(Number::Whole(b))) => Ok(Some(a.cmp(&b))),
            (Some(a), Some(b)) => Ok(a.float().partial_cmp(&b.float())),
            _ => Err(unknown(format!("cannot compare {} with {}", left.kind(), right.kind()))),
        },
    }
}

/// Text and bytes are one kind: output that happens not to be UTF-8 is still output.
fn text(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Bytes(bytes) => Some(bytes),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Duration(_)
        | Value::Size(_)
        | Value::Regex(_)
        | Value::List(_)
        | Value::Map(_) => None,
    }
}

/// A number: whole ones compare exactly.
enum Number {
    Whole(i128),
    Fraction(f64),
}

impl Number {
    #[expect(clippy::cast_precision_loss, reason = "a fraction is compared with the precision that it has")]
    fn float(&self) -> f64 {
        match self {
            Self::Whole(value) => *value as f64,
            Self::Fraction(value) => *value,
        }
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Int(value) => Some(Number::Whole(i128::from(*value))),
        Value::Size(value) => Some(Number::Whole(i128::from(*value))),
        Value::Float(value) => Some(Number::Fraction(*value)),
        Value::Null
        | Value::Bool(_)
        | Value::Duration(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Regex(_)
        | Value::List(_)
        | Value::Map(_) => None,
    }
}

/// Whether the regex is found anywhere in the text.
fn matches(left: &Value, right: &Value) -> Result<bool, Unknown> {
    let Some(text) = text(left) else {
        return Err(unknown(format!("only text can match a regex, and this is {}", left.kind())));
    };
    let (Value::Regex(pattern) | Value::Text(pattern)) = right else {
        return Err(unknown(format!("`matches` wants a regex, and this is {}", right.kind())));
    };
    let regex = Regex::new(pattern).map_err(|error| unknown(format!("/{pattern}/ is not a regex: {error}")))?;
    Ok(regex.is_match(&String::from_utf8_lossy(text)))
}

fn contains(whole: &Value, part: &Value) -> Result<bool, Unknown> {
    match (whole, part) {
        (Value::List(items), _) => Ok(items.iter().any(|item| same(item, part))),
        (Value::Map(map), Value::Text(key)) => Ok(map.contains_key(key)),
        _ => match (text(whole), text(part)) {
            (Some(whole), Some(part)) => Ok(memchr::memmem::find(whole, part).is_some()),
            _ => Err(unknown(format!("{} cannot contain {}", whole.kind(), part.kind()))),
        },
    }
}
