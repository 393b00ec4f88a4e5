//! `mstream exec --resume`: finds the earlier run, makes sure that nobody else goes on with it and that nothing has
//! changed, and says what of it is not done again.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::begun::begun;
use super::folder::{create, lock, open, runs, sync_folder};
use super::inputs::Inputs;
use crate::diagnostic::Sources;
use crate::engine::Past;
use crate::plan::Plan;
use crate::resume::{Extent, Known, Refusal, Story, kept, past, read};

/// The exit code where a run cannot be resumed.
pub(super) const REFUSED: u8 = 6;

/// In the folder of a run that another one has gone on with: the id of that one.
const RESUMED: &str = "resumed";

/// The run that is gone on with. Its lock is held for as long as this lives.
pub(super) struct Earlier {
    pub(super) id: Arc<str>,
    folder: PathBuf,
    pub(super) past: Past,
    /// Something that people should know, though it keeps nothing from going on.
    pub(super) note: Option<String>,
    _lock: File,
}

/// Why a run cannot be gone on with, and what to do.
pub(super) enum Refused {
    /// All of it has passed.
    Passed(String),
    /// It is alive, or something has changed, is damaged, or may not be done twice.
    For(String),
}

impl From<String> for Refused {
    fn from(words: String) -> Self {
        Self::For(words)
    }
}

/// The id of the run `which` below `root`, and which of these it was made of.
pub(super) fn origin(root: &Path, which: &str, all: &[Inputs]) -> Result<(Arc<str>, usize), Refused> {
    let id = find(root, which)?;
    let then = made_of(&runs(root).join(&*id)).map_err(|words| refused(&id, &words))?;
    let place = all.iter().position(|now| then.is_of_the_same(now));
    let place = place.ok_or_else(|| refused(&id, "it is of none of these scenarios and variants"))?;
    Ok((id, place))
}

/// Finds the run `which` below `root`.
pub(super) fn earlier(
    root: &Path,
    which: &str,
    plan: &Arc<Plan>,
    sources: &Sources,
    inputs: &Inputs,
) -> Result<Earlier, Refused> {
    let id = find(root, which)?;
    let folder = runs(root).join(&*id);
    let refused = |words: String| refused(&id, &words);
    let held = lock(&folder).map_err(|error| refused(format!("its lock cannot be taken: {error}")))?;
    let held = held.ok_or_else(|| refused("it is still alive, or is being resumed right now".to_owned()))?;
    unchanged(&folder, inputs).map_err(refused)?;
    let (story, extent) = story(&folder, plan).map_err(refused)?;
    not_taken_over(root, &folder, &story).map_err(refused)?;
    let known = known(&folder, plan, inputs).map_err(|error| refused(error.to_string()))?;
    let past = past(plan, &story, known).map_err(|refusals| {
        let words: Vec<String> = refusals.iter().map(|refusal| refusal.words(plan, sources)).collect();
        let words = refused(words.join("\n"));
        if matches!(refusals[..], [Refusal::EndedWell(_)]) { Refused::Passed(words) } else { Refused::For(words) }
    })?;
    let note = (extent.torn > 0)
        .then(|| format!("the last record of run {id} was not written to its end: {} bytes are left out", extent.torn));
    Ok(Earlier { id, folder, past, note, _lock: held })
}

fn refused(id: &str, words: &str) -> String {
    format!("run {id} cannot be resumed: {words}")
}

/// The id that begins so; `last` is the latest.
fn find(root: &Path, which: &str) -> Result<Arc<str>, String> {
    let place = runs(root);
    let entries =
        std::fs::read_dir(&place).map_err(|error| format!("there are no runs in `{}`: {error}", place.display()));
    let names = entries?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut ids: Vec<String> = names.filter(|name| which == "last" || name.starts_with(which)).collect();
    // The lock is made with the run and never written. Of runs of one second the ids tell no order.
    ids.sort_by_cached_key(|id| {
        let began = place.join(id).join("lock").symlink_metadata().and_then(|lock| lock.modified());
        (began.ok(), id.clone())
    });
    match &ids[..] {
        [] => Err(format!("there is no run `{which}` in `{}`", place.display())),
        [only] => Ok(only.as_str().into()),
        [.., last] if which == "last" => Ok(last.as_str().into()),
        [first, second, ..] if first != which => {
            Err(format!("`{which}` begins the ids of {} runs: {first}, {second}: give more of it", ids.len()))
        }
        [first, ..] => Ok(first.as_str().into()),
    }
}

/// What a run was made of.
fn made_of(folder: &Path) -> Result<Inputs, String> {
    Inputs::read(folder).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return "it ended before anything of it began: run the scenario anew".to_owned();
        }
        format!("what it was made of cannot be read: {error}")
    })
}

fn unchanged(folder: &Path, inputs: &Inputs) -> Result<(), String> {
    let changes = made_of(folder)?.changes(inputs);
    if changes.is_empty() {
        return Ok(());
    }
    let help = "  help: undo the change, or run the scenario from its beginning";
    Err(format!(
        "what it was made of has changed:\n{}\n{help}",
        changes.iter().map(|it| format!("  {it}")).collect::<Vec<_>>().join("\n")
    ))
}

fn story(folder: &Path, plan: &Arc<Plan>) -> Result<(Story, Extent), String> {
    let broken = |error: String| format!("its journal is broken: {error}\n  help: run the scenario from its beginning");
    let file = open(&folder.join("journal.jsonl")).map_err(|error| broken(error.to_string()))?;
    let mut story = Story::new(plan);
    let extent = read(BufReader::new(file), &mut |_, entry| story.record(entry));
    let extent = extent.map_err(|error| broken(error.to_string()))?;
    if story.header().is_none() {
        return Err("it ended before anything of it began: run the scenario anew".to_owned());
    }
    Ok((story, extent))
}

/// Whoever goes on with a run that was gone on with would do twice what that one has done.
fn not_taken_over(root: &Path, folder: &Path, story: &Story) -> Result<(), String> {
    if let Some(by) = taken_by(folder) {
        return Err(format!("run {by} has gone on with it\n  help: mstream exec --resume {by}"));
    }
    let Some(header) = story.header() else { return Ok(()) };
    let Some(before) = &header.resumed else { return Ok(()) };
    if taken_by(&runs(root).join(&**before)).as_deref() == Some(&*header.run) {
        return Ok(());
    }
    Err(format!("it ended before it went on with run {before}\n  help: mstream exec --resume {before}"))
}

/// The id of the run that has gone on with that one.
#[expect(clippy::disallowed_methods, reason = "this is where files are read")]
fn taken_by(folder: &Path) -> Option<String> {
    std::fs::read_to_string(folder.join(RESUMED)).ok().map(|text| text.trim().to_owned())
}

fn known(folder: &Path, plan: &Plan, inputs: &Inputs) -> io::Result<Known> {
    let values = match open(&folder.join("values")) {
        Ok(file) => kept(BufReader::new(file), plan),
        Err(error) if error.kind() == io::ErrorKind::NotFound => IndexMap::new(),
        Err(error) => return Err(error),
    };
    let same_start = Inputs::read(folder)?.boot == inputs.boot;
    // The machine went down with it: what was written last may be missing, so any step may have begun.
    let begun = if same_start { begun(folder, plan)? } else { plan.steps.ids().collect() };
    Ok(Known { begun, values })
}

impl Earlier {
    /// What people are told before the rest is done.
    pub(super) fn words(&self, plan: &Plan) -> String {
        let note = self.note.as_ref().map(|note| format!("note: {note}\n")).unwrap_or_default();
        let (taken, of) = (self.past.taken.len(), plan.steps.len());
        format!("{note}resuming run {}: {taken} of {of} steps are done\n", self.id)
    }

    /// From now on run `by` is the one to go on with. What it has taken over is on the disk.
    pub(super) fn taken_over(&self, by: &str) -> Result<(), String> {
        let path = self.folder.join(RESUMED);
        let write = || {
            let mut file = create(&path)?;
            file.write_all(by.as_bytes())?;
            file.sync_all()?;
            sync_folder(&self.folder)
        };
        write().map_err(|error: io::Error| format!("`{}` cannot be written: {error}", path.display()))
    }
}
