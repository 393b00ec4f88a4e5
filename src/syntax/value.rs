//! The values of the language: what a literal, a parameter or the result of a step can be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

/// A value. Cheap to clone: what can be large is shared.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing: a parameter without a value, `null` in JSON.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// `250ms`, `1h30m`.
    Duration(Duration),
    /// `64KiB`, in bytes.
    Size(u64),
    /// Text.
    Text(Arc<str>),
    /// Output that is not UTF-8, byte for byte.
    Bytes(Arc<[u8]>),
    /// The text between the slashes of `/client-\d+/`.
    Regex(Arc<str>),
    /// `[a, b]`.
    List(Arc<[Value]>),
    /// `{ k = v }`, in order.
    Map(Arc<IndexMap<Arc<str>, Value>>),
}

impl Value {
    /// The name of its type, as messages say it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Duration(_) => "a duration",
            Self::Size(_) => "a size",
            Self::Text(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Regex(_) => "a regex",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// The number, where it is a whole one.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// The duration, where it is one.
    pub fn as_duration(&self) -> Option<Duration> {
        if let Self::Duration(value) = self { Some(*value) } else { None }
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&Arc<str>> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    /// The bytes that this value is in code, in an environment variable or on stdin.
    pub fn to_bytes(&self) -> Vec<u8> {
        if let Self::Bytes(bytes) = self { bytes.to_vec() } else { self.to_string().into_bytes() }
    }
}

impl fmt::Display for Value {
    /// The text that the value is in code: no quotes around strings; lists and maps as JSON does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Duration(value) => f.write_str(&duration(*value)),
            Self::Size(value) => value.fmt(f),
            Self::Text(value) | Self::Regex(value) => f.write_str(value),
            Self::Bytes(value) => f.write_str(&String::from_utf8_lossy(value)),
            Self::List(_) | Self::Map(_) => self.to_json().fmt(f),
        }
    }
}

impl Value {
    /// The value as JSON; durations as text, sizes in bytes, bytes with replacement characters.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Size(value) => (*value).into(),
            Self::Duration(_) | Self::Text(_) | Self::Bytes(_) | Self::Regex(_) => self.to_string().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(map) => map.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect(),
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(value) => {
                value.as_i64().map_or_else(|| Self::Float(value.as_f64().unwrap_or(f64::NAN)), Self::Int)
            }
            Json::String(value) => Self::Text(value.into()),
            Json::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Json::Object(map) => {
                Self::Map(Arc::new(map.into_iter().map(|(key, value)| (key.into(), Self::from(value))).collect()))
            }
        }
    }
}

/// A duration as the language writes it: `250ms`, `5s`, `1.5s`, `1m30s`, `1h`.
pub fn duration(value: Duration) -> String {
    let (seconds, millis) = (value.as_secs(), value.subsec_millis());
    match (seconds, millis) {
        (0, 0) if !value.is_zero() => format!("{}us", value.subsec_micros()),
        (0, _) => format!("{millis}ms"),
        (1..60, 0) => format!("{seconds}s"),
        (1..60, _) => format!("{}.{}s", seconds, format!("{millis:03}").trim_end_matches('0')),
        _ => {
            let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
            let shown = parts.into_iter().filter(|(count, _)| *count > 0);
            shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().concat()
        }
    }
}
