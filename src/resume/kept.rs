//! The values of a run beside its journal: for each a sealed line that says what follows, then its bytes and a line break.

use std::io::{BufRead, Read as _};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::line::{LONGEST, is_whole, seal};
use crate::event::Made;
use crate::plan::{Plan, ValueId};
use crate::syntax::Value;

/// What the line before the bytes says.
#[derive(Serialize, Deserialize)]
struct Head {
    value: u32,
    /// The checksum of the bytes.
    sum: u32,
    /// Of an expression: how many bytes of JSON there are.
    json: Option<u64>,
    /// Of code: how many bytes of stdout there are, and of stderr behind them.
    stdout: Option<u64>,
    stderr: Option<u64>,
    exit: Option<i64>,
    duration: Option<Duration>,
}

/// Appends a value to `out`.
pub fn keep(value: ValueId, made: &Made, out: &mut Vec<u8>) {
    let none = Head { value: value.0, sum: 0, json: None, stdout: None, stderr: None, exit: None, duration: None };
    let (head, bytes) = match made {
        Made::Value(value) => {
            let bytes = to_json(value).to_string().into_bytes();
            (Head { json: Some(bytes.len() as u64), ..none }, bytes)
        }
        Made::Output { stdout, stderr, exit, duration } => {
            let (mut bytes, rest) = (stdout.to_bytes(), stderr.to_bytes());
            let (stdout, stderr) = (Some(bytes.len() as u64), Some(rest.len() as u64));
            bytes.extend_from_slice(&rest);
            (Head { stdout, stderr, exit: *exit, duration: Some(*duration), ..none }, bytes)
        }
    };
    let head = Head { sum: crc32fast::hash(&bytes), ..head };
    let from = out.len();
    out.extend_from_slice(&serde_json::to_vec(&head).unwrap_or_default());
    out.push(b'\n');
    seal(out, from);
    out.extend_from_slice(&bytes);
    out.push(b'\n');
}

/// The values in such a file, up to the first that is not whole. Of those made more than once the last counts.
pub fn kept(mut input: impl BufRead, plan: &Plan) -> IndexMap<ValueId, Made> {
    let mut all = IndexMap::new();
    while let Some((value, made)) = next(&mut input) {
        if (value.0 as usize) < plan.values.len() {
            all.insert(value, made);
        }
    }
    all
}

fn next(input: &mut impl BufRead) -> Option<(ValueId, Made)> {
    let mut line = Vec::new();
    input.by_ref().take(LONGEST as u64).read_until(b'\n', &mut line).ok()?;
    let line = line.strip_suffix(b"\n").filter(|line| is_whole(line))?;
    let head: Head = serde_json::from_slice(line).ok()?;
    let mut bytes = Vec::new();
    let length = [head.json, head.stdout, head.stderr].into_iter().flatten().try_fold(1_u64, u64::checked_add)?;
    input.by_ref().take(length).read_to_end(&mut bytes).ok()?;
    let whole = bytes.len() as u64 == length && bytes.pop() == Some(b'\n') && crc32fast::hash(&bytes) == head.sum;
    whole.then_some(())?;
    let made = match (head.json, head.stdout) {
        (Some(_), None) => Made::Value(from_json(&serde_json::from_slice(&bytes).ok()?)?),
        (None, Some(cut)) => {
            let stderr = bytes.split_off(usize::try_from(cut).ok()?);
            let duration = head.duration?;
            Made::Output { stdout: text(bytes), stderr: text(stderr), exit: head.exit, duration }
        }
        (Some(_), Some(_)) | (None, None) => return None,
    };
    Some((ValueId(head.value), made))
}

fn text(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text.into()),
        Err(raw) => Value::Bytes(raw.into_bytes().into()),
    }
}

/// A value so that it comes back as what it was: what JSON has no word for is an object with one.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!({ "float": value.to_bits() }),
        Value::Duration(value) => json!({ "duration": value }),
        Value::Size(value) => json!({ "size": value }),
        Value::Text(value) => json!(value),
        Value::Bytes(value) => json!({ "bytes": value }),
        Value::Regex(value) => json!({ "regex": value }),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => {
            json!({ "map": map.iter().map(|(key, value)| json!([key, to_json(value)])).collect::<Vec<_>>() })
        }
    }
}

fn from_json(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Null),
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(value) => value.as_i64().map(Value::Int),
        Json::String(value) => Some(Value::Text(value.as_str().into())),
        Json::Array(items) => Some(Value::List(items.iter().map(from_json).collect::<Option<_>>()?)),
        Json::Object(object) => {
            let (word, inner) = object.iter().next()?;
            named(word, inner)
        }
    }
}

fn named(word: &str, inner: &Json) -> Option<Value> {
    match word {
        "float" => inner.as_u64().map(|bits| Value::Float(f64::from_bits(bits))),
        "duration" => serde_json::from_value(inner.clone()).ok().map(Value::Duration),
        "size" => inner.as_u64().map(Value::Size),
        "bytes" => serde_json::from_value::<Vec<u8>>(inner.clone()).ok().map(|bytes| Value::Bytes(bytes.into())),
        "regex" => inner.as_str().map(|text| Value::Regex(text.into())),
        "map" => {
            let entry = |pair: &Json| Some((Arc::from(pair.get(0)?.as_str()?), from_json(pair.get(1)?)?));
            Some(Value::Map(Arc::new(inner.as_array()?.iter().map(entry).collect::<Option<_>>()?)))
        }
        _ => None,
    }
}
