//! What the keys of a stream may say. `check` asks it of what is written, a backend of what a run has made of it.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, similar};
use crate::syntax::Value;

/// The kinds of streams, each with the keys it has and what they take.
const KINDS: &[(&str, &[(&str, Takes)])] = &[
    ("local", &[("dir", Takes::Path), ("user", Takes::Name(".-_@+$\\"))]),
    (
        "ssh",
        &[
            ("host", Takes::Name(":.-_%")),
            ("user", Takes::Name(".-_@+$\\")),
            ("port", Takes::Port),
            ("key", Takes::Path),
            ("password", Takes::Secret),
            ("config", Takes::Path),
            ("known_hosts", Takes::Path),
            ("host_key", Takes::HostKey),
            ("jump", Takes::Name(":.-_%@,[]")),
        ],
    ),
    (
        "docker",
        &[
            ("image", Takes::Name(":.-_/@")),
            ("container", Takes::Name(".-_")),
            ("create", Takes::Flag),
            ("remove", Takes::Word(&["always", "on_success", "never"])),
            ("pull", Takes::Word(&["missing", "never", "always"])),
            ("env", Takes::Map),
            ("volumes", Takes::Volumes),
            ("network", Takes::Text),
            ("user", Takes::Name(".-_:")),
            ("dir", Takes::Text),
            ("command", Takes::Command),
            ("init", Takes::Flag),
            ("memory", Takes::Size),
            ("cpus", Takes::Number),
            ("cap_add", Takes::Texts),
            ("privileged", Takes::Flag),
        ],
    ),
];

/// The kind that `name` means: its own name or another one for it.
pub(super) fn kind(name: &str) -> Option<&'static str> {
    let name = match name {
        "localhost" => "local",
        "remote" => "ssh",
        other => other,
    };
    KINDS.iter().map(|(kind, _)| *kind).find(|kind| *kind == name)
}

/// Adds the kind that was probably meant, else all of them.
pub(super) fn near_kind(problem: Diagnostic, name: &str) -> Diagnostic {
    let kinds = KINDS.iter().map(|(kind, _)| *kind);
    match similar(name, kinds.clone()) {
        Some(_) => problem.near("kind", name, kinds),
        None => problem.help("the kinds are: local, ssh, docker"),
    }
}

/// The keys of a kind, in order.
pub(super) fn of_kind(kind: &str) -> impl Iterator<Item = &'static str> + Clone {
    takes(kind).iter().map(|(key, _)| *key)
}

/// The kinds that have this key.
pub(super) fn kinds_with(key: &str) -> impl Iterator<Item = &'static str> {
    KINDS.iter().filter(move |(_, keys)| keys.iter().any(|(name, _)| *name == key)).map(|(kind, _)| *kind)
}

/// Whether a key of that name may take a map.
pub(super) fn takes_map(key: &str) -> bool {
    let takes = KINDS.iter().flat_map(|(_, keys)| *keys).filter(|(name, _)| *name == key).map(|(_, takes)| *takes);
    takes.into_iter().any(|takes| matches!(takes, Takes::Map | Takes::Volumes))
}

fn takes(kind: &str) -> &'static [(&'static str, Takes)] {
    KINDS.iter().find(|(name, _)| *name == kind).map_or(&[], |(_, keys)| *keys)
}

/// What a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Takes {
    /// Any text.
    Text,
    /// Any text, which no message may show.
    Secret,
    /// Letters, digits and these signs: never an option, more than one word, or code.
    Name(&'static str),
    /// A path.
    Path,
    /// A TCP port.
    Port,
    /// `true` or `false`; in a URI also `yes` and `no`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// How strictly the key of a host is checked.
    HostKey,
    /// A text, or a list of them.
    Texts,
    /// A list of words, or a text for `sh -c`.
    Command,
    /// A map from names to values.
    Map,
    /// A list of `"from:to"`, or a map.
    Volumes,
    /// A size in bytes.
    Size,
    /// A number above 0.
    Number,
}

/// Checks the value of a key; the error in words. Of a key that the kind does not have, nothing is said here.
pub fn check(kind: &str, key: &str, value: &Value) -> Result<(), String> {
    let Some((_, takes)) = takes(kind).iter().find(|(name, _)| *name == key) else { return Ok(()) };
    let text = value.to_string();
    let wrong = |what: &str| Err(format!("`{key}` takes {what}, and not `{text}`"));
    let plain = is_plain(value);
    match takes {
        Takes::Text | Takes::Secret if plain && !text.is_empty() && !text.contains('\0') => Ok(()),
        Takes::Text => wrong("a text"),
        Takes::Secret => Err(format!("`{key}` takes a text")),
        Takes::Name(signs) if plain && is_name(&text, signs) => Ok(()),
        Takes::Name(_) => Err(format!("`{text}` cannot be the `{key}` of {}", article(kind))),
        Takes::Path if plain && !text.is_empty() && !text.contains(['"', '\n', '\0']) => Ok(()),
        Takes::Path => wrong("a path"),
        Takes::Port if text.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        Takes::Port => wrong("a number from 1 to 65535"),
        Takes::Flag if flag(value).is_some() => Ok(()),
        Takes::Flag => wrong("`true` or `false`"),
        Takes::Word(words) if words.contains(&&*text) => Ok(()),
        Takes::Word(words) => wrong(&format!("\"{}\"", words.join("\", \""))),
        Takes::HostKey if matches!(&*text, "yes" | "true" | "strict" | "accept-new") => Ok(()),
        Takes::HostKey => {
            Err(format!("`{key}` is \"yes\" or \"accept-new\", and not \"{text}\": host keys are always checked"))
        }
        Takes::Texts | Takes::Command if plain || matches!(value, Value::List(items) if items.iter().all(is_plain)) => {
            Ok(())
        }
        Takes::Texts | Takes::Command => wrong("a text or a list of texts"),
        Takes::Map if matches!(value, Value::Map(_)) => Ok(()),
        Takes::Map => wrong("a map: `{ NAME = value }`"),
        Takes::Volumes => match value {
            Value::Map(_) => Ok(()),
            Value::List(items) if items.iter().all(|item| item.to_string().contains(':')) => Ok(()),
            value if is_plain(value) && text.contains(':') => Ok(()),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Duration(_)
            | Value::Size(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Regex(_)
            | Value::List(_) => wrong("a list such as [\"/here:/there:ro\"], or a map"),
        },
        Takes::Size if size(value).is_some() => Ok(()),
        Takes::Size => wrong("a size, such as 512MiB"),
        Takes::Number if number(value).is_some() => Ok(()),
        Takes::Number => wrong("a number above 0"),
    }
}

/// The one form of a value that can be written in several ways: `yes` and `true`, `"64m"` and `64MiB`. Of a value that
/// [`check`] refuses it is the value itself.
pub(super) fn canonical(kind: &str, key: &str, value: &Value) -> Value {
    let text = |value: &Value| Value::Text(value.to_string().into());
    let Some((_, takes)) = takes(kind).iter().find(|(name, _)| *name == key) else { return value.clone() };
    let found = match takes {
        Takes::Flag => flag(value).map(Value::Bool),
        Takes::Port => value.to_string().parse().ok().map(Value::Int),
        Takes::Size => size(value).map(Value::Size),
        Takes::Number => number(value).map(Value::Float),
        Takes::HostKey if is_plain(value) && value.to_string() != "accept-new" => Some(Value::Text("yes".into())),
        Takes::Text | Takes::Secret | Takes::Name(_) | Takes::Path | Takes::Word(_) | Takes::HostKey
            if is_plain(value) =>
        {
            Some(text(value))
        }
        Takes::Texts | Takes::Volumes if is_plain(value) => Some(Value::List([text(value)].into())),
        Takes::Volumes => match value {
            Value::Map(map) => Some(Value::List(
                map.iter().map(|(from, to)| Value::Text(format!("{from}:{to}").into())).collect::<Arc<[Value]>>(),
            )),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Duration(_)
            | Value::Size(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Regex(_)
            | Value::List(_) => None,
        },
        Takes::Text
        | Takes::Secret
        | Takes::Name(_)
        | Takes::Path
        | Takes::Word(_)
        | Takes::HostKey
        | Takes::Texts
        | Takes::Command
        | Takes::Map => None,
    };
    found.filter(|_| check(kind, key, value).is_ok()).unwrap_or_else(|| value.clone())
}

/// What `create = yes` says: `true`, `false`, or nothing that this is.
pub fn flag(value: &Value) -> Option<bool> {
    match &*value.to_string().to_lowercase() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A number above 0, in a URI too.
pub fn number(value: &Value) -> Option<f64> {
    value.to_string().parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

/// A size in bytes: `512MiB`, `512m`, a number of bytes.
pub fn size(value: &Value) -> Option<u64> {
    if let Value::Size(bytes) = value {
        return Some(*bytes);
    }
    let text = value.to_string().to_lowercase();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

fn is_name(text: &str, signs: &str) -> bool {
    let good = |letter: char| letter.is_alphanumeric() || signs.contains(letter);
    // Of a list of hosts, none.
    let safe = text.split([',', '@']).all(|part| !part.starts_with('-'));
    !text.is_empty() && safe && text.chars().all(good)
}

/// Whether it is one thing, and not nothing.
fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::List(_) | Value::Map(_) | Value::Bytes(_))
}

fn article(kind: &str) -> &'static str {
    match kind {
        "ssh" => "an ssh stream",
        "docker" => "a container",
        _ => "a local stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: &str, key: &str, value: &str) -> String {
        check(kind, key, &Value::Text(value.into())).err().unwrap_or_default()
    }

    #[test]
    fn what_could_be_an_option_or_code_is_refused() {
        for (key, value) in [
            ("host", "-oProxyCommand=reboot"),
            ("host", "a b"),
            ("host", ""),
            ("user", "-l"),
            ("user", "a;b"),
            ("jump", "-oProxyCommand=x"),
            ("port", "0"),
            ("port", "ssh"),
            ("key", "a\"b"),
            ("host_key", "no"),
            ("host_key", "off"),
        ] {
            let said = said("ssh", key, value);
            assert!(said.contains(&format!("`{key}`")), "{said}");
        }
        for (key, value) in
            [("host", "fe80::1%eth0"), ("user", "DOMAIN\\me"), ("jump", "me@gate:22,[::1]"), ("port", "22")]
        {
            assert_eq!(said("ssh", key, value), "");
        }
    }

    #[test]
    fn a_uri_says_the_same_as_a_call() {
        for (key, value) in
            [("create", "yes"), ("memory", "64m"), ("cpus", "1.5"), ("volumes", "/a:/b"), ("pull", "never")]
        {
            assert_eq!(said("docker", key, value), "");
        }
        assert_eq!(size(&Value::Text("64MiB".into())), size(&Value::Size(64 << 20)));
        assert_eq!(said("docker", "pull", "often"), "`pull` takes \"missing\", \"never\", \"always\", and not `often`");
        assert_eq!(said("docker", "env", "A=b"), "`env` takes a map: `{ NAME = value }`, and not `A=b`");
    }
}
