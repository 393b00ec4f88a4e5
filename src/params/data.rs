//! What stands behind a key: scalars with their spelling, lists, maps.

use std::sync::Arc;

use crate::diagnostic::Spanned;
use crate::syntax::Value;

/// A value as the YAML file has it.
#[derive(Clone, PartialEq, Debug)]
pub enum Data {
    /// A scalar, and how it is spelt: `1.10` is the number 1.1, and a parameter that takes a string takes the spelling.
    Scalar(Value, Arc<str>),
    /// `[a, b]`, or lines with `-`.
    List(Vec<Spanned<Data>>),
    /// `{a: b}`, in order, each key once.
    Map(Vec<(Spanned<Arc<str>>, Spanned<Data>)>),
}

impl Data {
    /// The value without its places.
    pub fn value(&self) -> Value {
        match self {
            Self::Scalar(value, _) => value.clone(),
            Self::List(items) => Value::List(items.iter().map(|item| item.node.value()).collect()),
            Self::Map(pairs) => {
                Value::Map(Arc::new(pairs.iter().map(|(key, value)| (key.node.clone(), value.node.value())).collect()))
            }
        }
    }

    /// What is in a list.
    pub fn items(&self) -> Option<&[Spanned<Data>]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The text of a scalar as it is spelt.
    pub fn text(&self) -> Option<&Arc<str>> {
        if let Self::Scalar(_, text) = self { Some(text) } else { None }
    }
}

/// What a scalar without quotes is.
///
/// As in YAML 1.2, `yes`, `no`, `on` and `off` are text; so is what looks like a number with zeros in front, which is
/// octal to some readers and decimal to others.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::Text(text.into())),
    }
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    integer(text).map(Value::Int).or_else(|| float(text).map(Value::Float))
}

/// `12`, `-3`, `1_000`, `0x1f`, `0o17`, `0b101`.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = signed(text);
    let radix = match digits.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ if digits.len() > 1 && digits.starts_with('0') => return None,
        _ => 10,
    };
    let digits = if radix == 10 { digits } else { &digits[2..] };
    let plain = digits.replace('_', "");
    let right = digits.starts_with(|c: char| c.is_digit(radix)) && plain.chars().all(|c| c.is_digit(radix));
    right.then(|| i64::from_str_radix(&format!("{sign}{plain}"), radix).ok()).flatten()
}

/// `1.5`, `-.5`, `1.`, `6.02e+23`; no infinity and nothing that is no number.
pub(super) fn float(text: &str) -> Option<f64> {
    let (_, digits) = signed(text);
    let known = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    let marked = digits.contains(['.', 'e', 'E']) && digits.contains(|c: char| c.is_ascii_digit());
    let value = (marked && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.chars().all(known))
        .then(|| text.parse::<f64>().ok())
        .flatten()?;
    value.is_finite().then_some(value)
}

fn signed(text: &str) -> (&str, &str) {
    match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    }
}
