//! What runs have left behind, seen and not touched.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::{Refused, cgroup, engine, engines, name, process, since};
use crate::backend::docker::Thing;
use crate::backend::ledger::Resource;
use crate::backend::local::marked;
use crate::cli::ledger::{FILE, Old, is_closed, peek};
use crate::diagnostic::visible;
use crate::event::Leak;

/// So many runs are looked at before each run.
const LATEST: usize = 16;

/// A run that has made something.
pub(super) struct Found {
    pub(super) id: String,
    /// The scenario, for people.
    pub(super) scenario: String,
    pub(super) state: State,
}

/// How it stands with a run.
pub(super) enum State {
    /// It lives.
    Running,
    /// It has removed what it made, or somebody has.
    Over,
    /// It was killed; what is still there.
    Died(Vec<String>),
    /// It cannot be said; why.
    Unclear(String),
}

/// The folders of the runs that have made something, the oldest first.
pub(super) fn runs(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|it| it.join(FILE).is_file()).collect();
    folders.sort();
    folders
}

/// How it stands with the run in this folder.
pub(super) fn look(folder: &Path) -> Found {
    let state = match super::open(folder) {
        Ok(old) => state(&name(folder), &old),
        Err(Refused::Alive) => State::Running,
        Err(Refused::Because(words)) => State::Unclear(words),
    };
    Found { id: name(folder), scenario: scenario(folder), state }
}

/// Of the latest runs below `root`, the first that was killed and was not cleaned up after, in words. Nothing is looked
/// for but whether they said so: that is done before each run.
pub(in crate::cli) fn killed(root: &Path) -> Option<String> {
    let entries = std::fs::read_dir(root).ok()?.flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    let latest = names.iter().rev().take(LATEST).map(|name| root.join(name));
    let mut open = latest.filter(|folder| folder.join(FILE).is_file() && !is_closed(folder));
    let folder = open.find(|folder| super::open(folder).is_ok())?;
    let (id, scenario) = (name(&folder), scenario(&folder));
    Some(format!(
        "note: the run {id} of `{scenario}` was killed and may have left something behind: `mstream clean` says what, \
         `mstream clean --stale` removes it\n"
    ))
}

/// The scenario of the run in this folder, for people.
pub(super) fn scenario(folder: &Path) -> String {
    let owner = peek(folder);
    owner.map_or_else(|| "?".to_owned(), |owner| visible::text(&owner.scenario.to_string_lossy()))
}

fn state(id: &str, old: &Old) -> State {
    let resources = old.resources();
    if resources.is_empty() { State::Over } else { State::Died(left(id, since(old), &resources)) }
}

/// What of these resources is still there, for people.
fn left(id: &str, since: Option<u64>, resources: &[Resource]) -> Vec<String> {
    let mut left: Vec<String> = processes(id, since, resources).iter().map(process).collect();
    for (address, names) in engines(resources) {
        match engine(&address).and_then(|broom| broom.things("run", id)) {
            Ok(things) => left.extend(things.iter().filter(|it| !it.stays()).map(Thing::shown)),
            Err(words) => left.push(format!("perhaps {}: {words}", names.join(", "))),
        }
    }
    for resource in resources {
        if let Resource::Folder(folder) = resource
            && folder.symlink_metadata().is_ok()
        {
            left.push(format!("folder {}", folder.display()));
        }
    }
    left
}

/// Who of the run still lives.
fn processes(id: &str, since: Option<u64>, resources: &[Resource]) -> Vec<Leak> {
    let Some(since) = since else { return Vec::new() };
    let mut found = marked(id, since);
    for group in resources.iter().filter_map(|resource| cgroup(id, resource)) {
        found.extend(group.described());
    }
    found.sort_by_key(|leak| leak.pid);
    found.dedup();
    found
}

impl Found {
    /// A line for the run and one for each thing that it left; nothing where all is in order.
    pub(super) fn shown(&self) -> String {
        let Self { id, scenario, state } = self;
        match state {
            State::Running => format!("{id}  {scenario}: it is going on\n"),
            State::Over => String::new(),
            State::Died(left) if left.is_empty() => {
                format!("{id}  {scenario}: it was killed, and left nothing behind\n")
            }
            State::Died(left) => {
                format!("{id}  {scenario}: it was killed, and left behind\n  {}\n", left.join("\n  "))
            }
            State::Unclear(words) => format!("{id}  {scenario}: {words}\n"),
        }
    }

    pub(super) fn json(&self) -> Json {
        let (state, left): (_, &[String]) = match &self.state {
            State::Running => ("running", &[]),
            State::Over => ("over", &[]),
            State::Died(left) => ("died", left),
            State::Unclear(words) => ("unclear", std::slice::from_ref(words)),
        };
        json!({ "run": self.id, "scenario": self.scenario, "state": state, "left": left })
    }
}
