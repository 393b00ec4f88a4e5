//! Values as Python prints them: the hash in the name of a variant is made of these.

use std::fmt::Write as _;

use super::Data;
use crate::syntax::Value;

/// `str(value)`
pub(super) fn text(data: &Data) -> String {
    match data {
        Data::Scalar(Value::Text(text), _) => text.to_string(),
        Data::Scalar(..) | Data::List(_) | Data::Map(_) => repr(data),
    }
}

/// `repr(value)`
fn repr(data: &Data) -> String {
    match data {
        Data::Scalar(value, text) => scalar(value, text),
        Data::List(items) => {
            format!("[{}]", items.iter().map(|item| repr(&item.node)).collect::<Vec<_>>().join(", "))
        }
        Data::Map(pairs) if pairs.is_empty() => "OrderedDict()".to_owned(),
        Data::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}: {}", quoted(&key.node), repr(&value.node)));
            format!("OrderedDict({{{}}})", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

fn scalar(value: &Value, text: &str) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value),
        // YAML has no more kinds of scalars than these and text.
        Value::Text(_)
        | Value::Bytes(_)
        | Value::Duration(_)
        | Value::Size(_)
        | Value::Regex(_)
        | Value::List(_)
        | Value::Map(_) => quoted(text),
    }
}

/// The shortest digits that give the number back, with an exponent where Python writes one.
fn float(value: f64) -> String {
    let short = format!("{value:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            _ if c == quote => out.extend(['\\', c]),
            _ if !hidden(c) => out.push(c),
            _ => drop(match u32::from(c) {
                code @ ..0x100 => write!(out, "\\x{code:02x}"),
                code @ ..0x1_0000 => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            }),
        }
    }
    out.push(quote);
    out
}

/// What Python does not print as it is: controls, formatting, private characters and all blanks but the common one.
fn hidden(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0001}'..='\u{e007f}' | '\u{f0000}'..)
}
