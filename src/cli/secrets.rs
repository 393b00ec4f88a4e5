//! Secrets: from a file or the environment, all of them before anything runs.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::plan::Plan;
use crate::syntax::Value;

/// Secrets by name.
pub(super) type Secrets = IndexMap<Arc<str>, Value>;

/// The secrets that `plan` asks for: `NAME=value` lines of `file` first, then the environment. The error names all
/// that are missing.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub(super) fn secrets(plan: &Plan, file: Option<&Path>) -> Result<Secrets, String> {
    let stored = match file {
        None => String::new(),
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?
        }
    };
    let stored: IndexMap<&str, &str> = stored.lines().filter_map(|line| line.split_once('=')).collect();
    let mut found = Secrets::new();
    let mut missing = Vec::new();
    for name in plan.secrets() {
        let value = stored.get(&*name).map(|value| (*value).to_owned()).or_else(|| std::env::var(&*name).ok());
        match value {
            Some(value) => {
                found.insert(name, Value::Text(value.into()));
            }
            None => missing.push(format!("`{name}`")),
        }
    }
    // Those that stand in a file of parameters are no less secret.
    found.extend(plan.passwords());
    if missing.is_empty() {
        return Ok(found);
    }
    let which = missing.join(", ");
    Err(format!("no value for the secret {which}: set it in the environment, or give --secret-file"))
}
