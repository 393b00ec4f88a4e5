//! Cleans up after runs that could not do so themselves. Only what is theirs beyond doubt is touched, and what is done
//! may be done again.

mod command;
mod look;
mod stale;

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

pub(super) use self::command::{Clean, clean};
pub(super) use self::look::killed;
use super::engines::passing;
use super::ledger::{NotOld, Old, boot};
use crate::backend::docker::{Broom, Known};
use crate::backend::ledger::Resource;
use crate::backend::local::{Cgroup, Ended, end_cgroup, end_marked, remove_tree, started};
use crate::diagnostic::visible;
use crate::event::Leak;
use crate::syntax;

/// So many processes are named; of the others it is said how many they are.
const NAMED: usize = 5;

/// So many characters of a command are shown.
const LONGEST: usize = 60;

/// What has become of what a run had left behind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Cleaned {
    /// Processes that were still there.
    pub(super) killed: Vec<Leak>,
    /// Containers, networks and folders that are gone now.
    pub(super) removed: Vec<String>,
    /// What stays, because the scenario wants that.
    pub(super) kept: Vec<String>,
    /// Where what runs out of reach ends by itself.
    pub(super) remote: Vec<String>,
    /// What is still there, and why.
    pub(super) failed: Vec<String>,
}

impl Cleaned {
    /// With these processes.
    pub(super) fn ended(&mut self, ended: Ended) {
        self.killed.extend(ended.found);
        self.failed.extend(ended.stayed.iter().map(process));
    }

    /// With all of the other.
    pub(super) fn and(&mut self, other: Self) {
        self.killed.extend(other.killed);
        self.removed.extend(other.removed);
        self.kept.extend(other.kept);
        self.remote.extend(other.remote);
        self.failed.extend(other.failed);
    }

    /// Whether there was nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.killed.is_empty() && self.removed.is_empty() && self.failed.is_empty()
    }

    /// For people, a line for each kind.
    pub(super) fn shown(&self) -> String {
        let mut killed: Vec<String> = self.killed.iter().take(NAMED).map(process).collect();
        if let more @ 1.. = self.killed.len() - killed.len() {
            killed.push(format!("{more} more"));
        }
        let all = [
            ("killed", &killed),
            ("removed", &self.removed),
            ("kept, as the scenario says", &self.kept),
            ("ends by itself", &self.remote),
            ("still there", &self.failed),
        ];
        let lines = all.iter().filter(|(_, items)| !items.is_empty());
        let lines: Vec<String> = lines.map(|(name, items)| format!("  {name}: {}\n", items.join(", "))).collect();
        lines.concat()
    }
}

/// A process, for people: its command on one line, and not all of a long one.
pub(super) fn process(leak: &Leak) -> String {
    let words: Vec<&str> = leak.command.split_whitespace().collect();
    let line = words.join(" ");
    let cut = line.char_indices().nth(LONGEST).map(|(at, _)| format!("{}…", &line[..at]));
    format!("process {}, {}", leak.pid, visible::text(&cut.unwrap_or(line)))
}

/// Cleans up after the run in this folder. What lives is not touched.
///
/// # Errors
/// The run lives, or its folder does not say what it has made; in words.
pub(super) fn clean_run(folder: &Path) -> Result<Cleaned, String> {
    let mut old = open(folder).map_err(|refused| refused.words(&name(folder)))?;
    let cleaned = sweep(&name(folder), since(&old), &old.resources());
    if cleaned.failed.is_empty() {
        old.close();
    }
    Ok(cleaned)
}

/// Why a run is not cleaned up after.
#[derive(Debug)]
enum Refused {
    /// It is going on, or somebody else is cleaning up after it.
    Alive,
    /// What there is to clean up cannot be known; why.
    Because(String),
}

impl Refused {
    fn words(self, id: &str) -> String {
        match self {
            Self::Alive => format!("the run {id} is going on, or being cleaned up after: it is not touched"),
            Self::Because(words) => words,
        }
    }
}

/// The ledger of the run in this folder, locked, where the run is over.
fn open(folder: &Path) -> Result<Old, Refused> {
    let id = name(folder);
    let because = |words: String| Err(Refused::Because(words));
    let old = match Old::open(folder) {
        Err(NotOld::Alive) => return Err(Refused::Alive),
        Err(NotOld::Unreadable(error)) => return because(format!("cannot read what the run {id} has made: {error}")),
        Ok(old) => old,
    };
    match old.owner() {
        Some(owner) if *owner.id != *id => {
            because(format!("what the run {id} has made belongs to the run {}", owner.id))
        }
        // A copy of the folder has no lock.
        Some(owner) if owner.boot == boot() && started(owner.guardian) == Some(owner.since) => Err(Refused::Alive),
        Some(_) | None => Ok(old),
    }
}

/// When the run began, where its processes may still be there: this machine has not been started anew since.
fn since(old: &Old) -> Option<u64> {
    old.owner().filter(|owner| owner.boot == boot()).map(|owner| owner.since)
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes these resources of the run `id`, and ends its processes, if it began at `since` after the start of this
/// machine.
pub(super) fn sweep(id: &str, since: Option<u64>, resources: &[Resource]) -> Cleaned {
    let mut cleaned = Cleaned::default();
    if let Some(since) = since {
        for group in resources.iter().filter_map(|resource| cgroup(id, resource)) {
            cleaned.ended(end_cgroup(&group));
        }
        cleaned.ended(end_marked(id, since));
    }
    for (engine, names) in engines(resources) {
        sweep_engine(id, &engine, &names, &mut cleaned);
    }
    for resource in resources {
        match resource {
            Resource::Folder(folder) => remove(id, folder, &mut cleaned),
            Resource::Remote { place, lease } => {
                let lease = syntax::duration(std::time::Duration::from_secs(*lease));
                cleaned.remote.push(format!("what runs on {place}, within {lease}"));
            }
            Resource::Cgroup(_) | Resource::Container { .. } | Resource::Network { .. } => {}
        }
    }
    cleaned.remote.sort_unstable();
    cleaned.remote.dedup();
    cleaned
}

/// What a run calls what is its own on this machine.
fn own_name(id: &str) -> String {
    format!("mstream-{id}")
}

fn cgroup(id: &str, resource: &Resource) -> Option<Cgroup> {
    let Resource::Cgroup(folder) = resource else { return None };
    folder.file_name().is_some_and(|name| *name == *own_name(id)).then(|| Cgroup::at(folder))?
}

fn remove(id: &str, folder: &Path, cleaned: &mut Cleaned) {
    let shown = format!("folder {}", folder.display());
    if folder.file_name().is_none_or(|name| *name != *own_name(id)) {
        cleaned.failed.push(format!("{shown}: it does not have the name of this run"));
    } else if folder.symlink_metadata().is_ok() {
        match remove_tree(folder) {
            Ok(()) => cleaned.removed.push(shown),
            Err(error) => cleaned.failed.push(format!("{shown}: {error}")),
        }
    }
}

/// The names of what may have been made, by engine.
fn engines(resources: &[Resource]) -> IndexMap<Arc<str>, Vec<Arc<str>>> {
    let mut found: IndexMap<Arc<str>, Vec<Arc<str>>> = IndexMap::new();
    for resource in resources {
        match resource {
            Resource::Container { engine, name, keep: _ } | Resource::Network { engine, name } => {
                found.entry(Arc::clone(engine)).or_default().push(Arc::clone(name));
            }
            Resource::Cgroup(_) | Resource::Folder(_) | Resource::Remote { .. } => {}
        }
    }
    found
}

/// The engine at this address.
fn engine(address: &str) -> Result<Broom, String> {
    Broom::take(&Known { named: Some(Ok(address.to_owned())), folder: passing(), ..Known::default() })
}

fn sweep_engine(id: &str, engine: &Arc<str>, names: &[Arc<str>], cleaned: &mut Cleaned) {
    match self::engine(engine) {
        Err(words) => cleaned.failed.push(format!("{}: {words}", names.join(", "))),
        Ok(broom) => {
            let swept = broom.sweep(id, names);
            cleaned.removed.extend(swept.removed);
            cleaned.kept.extend(swept.kept);
            cleaned.failed.extend(swept.failed);
        }
    }
}
