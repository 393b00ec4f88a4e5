//! What decided the plan of a run: the texts that were read, parameters, bindings. Kept as hashes beside the journal, so
//! that whoever goes on with the run can be told what has changed.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::folder::{create, open};
use crate::diagnostic::Sources;
use crate::scenario::Settings;

/// Its name in the folder of a run.
const NAME: &str = "inputs.json";

/// A longer text has no hash for each of its lines.
const LINES: usize = 100_000;

/// A larger file is none of ours.
const LARGEST: u64 = 64 << 20;

/// All that decided the plan, and on which machine it ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Inputs {
    /// The version of mstream.
    mstream: String,
    /// The start of the machine: after another one, the last that was written may be missing.
    pub(super) boot: String,
    /// Scenario, imports and parameter files, in the order in which they were read.
    files: Vec<Text>,
    /// By name: a hash of each value that was given with `-p`.
    params: Vec<(String, String)>,
    /// By name: a hash of each address that was given with `--stream`.
    streams: Vec<(String, String)>,
    /// The id of the variant of its parameters.
    variant: Option<Arc<str>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Text {
    name: String,
    hash: String,
    lines: Vec<u32>,
}

impl Inputs {
    /// Those of a run that is about to begin.
    pub(super) fn of(sources: &Sources, settings: &Settings, variant: Option<Arc<str>>) -> Self {
        let params = settings.params.iter().map(|(name, value)| (name.clone(), hash(value)));
        let named = |text: &String| text.split_once('=').map(|(name, uri)| (name.to_owned(), hash(uri)));
        // What the command line says is a source as well, and stands below by name.
        let files = sources.iter().filter(|(_, source)| !source.name().starts_with("--"));
        Self {
            mstream: env!("CARGO_PKG_VERSION").to_owned(),
            boot: boot(),
            files: files.map(|(_, source)| Text::of(source.name(), source.text())).collect(),
            params: params.collect(),
            streams: settings.streams.iter().filter_map(named).collect(),
            variant,
        }
    }

    /// Puts them into the folder of a run.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        create(&folder.join(NAME))?.write_all(&serde_json::to_vec(self)?)
    }

    /// Those of an earlier run.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        open(&folder.join(NAME))?.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Whether `now` is of the same variant of the same scenario, whatever stands in it.
    pub(super) fn is_of_the_same(&self, now: &Self) -> bool {
        let scenario = |it: &Self| it.files.first().map(|text| text.name.clone());
        scenario(self) == scenario(now) && self.variant == now.variant
    }

    /// What is different now, a line each.
    pub(super) fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self.mstream != now.mstream {
            changes.push(format!("it was run by mstream {}, and this is {}", self.mstream, now.mstream));
        }
        if self.variant != now.variant {
            let named = |it: &Self| {
                it.variant.as_ref().map_or("without `--variants`".into(), |it| format!("as variant `{it}`"))
            };
            changes.push(format!("it was run {}, and this is {}", named(self), named(now)));
        }
        changes.extend(self.files.iter().zip(&now.files).filter_map(|(then, now)| then.change(now)));
        let gone = self.files.get(now.files.len()..).unwrap_or_default();
        changes.extend(gone.iter().map(|text| format!("`{}` is not read any more", text.name)));
        let new = now.files.get(self.files.len()..).unwrap_or_default();
        changes.extend(new.iter().map(|text| format!("`{}` was not read then", text.name)));
        pairs(&self.params, &now.params, "the parameter", "-p", &mut changes);
        pairs(&self.streams, &now.streams, "the binding of", "--stream", &mut changes);
        changes
    }
}

impl Text {
    fn of(name: &str, text: &str) -> Self {
        let count = memchr::memchr_iter(b'\n', text.as_bytes()).count();
        let lines = text.split('\n').map(|line| crc32fast::hash(line.as_bytes()));
        let lines = if count <= LINES { lines.collect() } else { Vec::new() };
        Self { name: name.to_owned(), hash: hash(text), lines }
    }

    fn change(&self, now: &Self) -> Option<String> {
        if self.hash == now.hash {
            return None;
        }
        let differs = (0..self.lines.len().max(now.lines.len())).find(|at| self.lines.get(*at) != now.lines.get(*at));
        let place = differs.filter(|_| !self.lines.is_empty() && !now.lines.is_empty());
        Some(match place {
            Some(at) => format!("`{}` has changed, first in line {}", now.name, at + 1),
            None => format!("`{}` has changed", now.name),
        })
    }
}

fn pairs(then: &[(String, String)], now: &[(String, String)], what: &str, option: &str, changes: &mut Vec<String>) {
    // Of a name that was given twice the last counts.
    let of = |all: &[(String, String)], name: &String| {
        all.iter().rev().find(|(other, _)| other == name).map(|(_, hash)| hash.clone())
    };
    let mut seen: Vec<&String> = Vec::new();
    for (name, _) in then.iter().chain(now) {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        changes.extend(match (of(then, name), of(now, name)) {
            (Some(_), None) => Some(format!("{what} `{name}` was given with {option}, and is not now")),
            (None, Some(_)) => Some(format!("{what} `{name}` was not given with {option}, and is now")),
            (Some(then), Some(now)) if then != now => Some(format!("{what} `{name}` has another value in {option}")),
            (Some(_), Some(_)) | (None, None) => None,
        });
    }
}

fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The id that the system has had since it was started.
#[expect(clippy::disallowed_methods, reason = "this is where files are read")]
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
