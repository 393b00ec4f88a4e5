//! `mstream clean`: finds and removes what killed runs have left behind.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::look::{Found, State, look, runs, scenario};
use super::stale::sweep_engines;
use super::{Cleaned, clean_run};
use crate::cli::folder::runs as runs_of;
use crate::cli::{Console, WRONG, here};
use crate::diagnostic::visible;

/// The exit code where something is still there.
const STILL_THERE: u8 = 3;

/// `mstream clean`
#[derive(Args, Debug)]
pub(in crate::cli) struct Clean {
    /// The runs to clean up after; without any, what there is to clean up is listed.
    #[arg(value_name = "ID", conflicts_with = "stale")]
    runs: Vec<String>,
    /// Clean up after all runs that were killed.
    #[arg(long)]
    stale: bool,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t = Form::Human)]
    format: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Form {
    /// For people.
    Human,
    /// One JSON object.
    Json,
}

/// A run that was cleaned up after.
pub(super) struct Done {
    pub(super) id: String,
    pub(super) scenario: String,
    pub(super) cleaned: Cleaned,
}

pub(in crate::cli) fn clean(it: &Clean) -> u8 {
    let answer = here().and_then(|here| {
        let root = runs_of(&here);
        match (it.stale, &it.runs[..]) {
            (false, []) => Ok(list(&root, it.format)),
            (false, ids) => one_by_one(&root, ids).map(|done| tell(&done, it.format)),
            (true, _) => Ok(tell(&stale(&root), it.format)),
        }
    });
    answer.unwrap_or_else(|words| {
        Console::complain(&words);
        WRONG
    })
}

/// Lists what there is to clean up.
fn list(root: &Path, format: Form) -> u8 {
    let found: Vec<Found> = runs(root).iter().map(|folder| look(folder)).collect();
    if format == Form::Json {
        let runs: Vec<Json> = found.iter().map(Found::json).collect();
        Console::result(&format!("{}\n", json!({ "runs": runs })));
        return 0;
    }
    let shown: String = found.iter().map(Found::shown).collect();
    Console::result(&shown);
    if found.iter().any(|it| matches!(it.state, State::Died(_))) {
        Console::progress(
            "help: `mstream clean --stale` removes what was left behind; `mstream clean ID` that of one run\n",
        );
    } else if shown.is_empty() {
        Console::progress("nothing was left behind\n");
    }
    0
}

fn one_by_one(root: &Path, ids: &[String]) -> Result<Vec<Done>, String> {
    let folder = |id: &String| -> Result<PathBuf, String> {
        let all = runs(root);
        let found = all.iter().find(|folder| folder.file_name().is_some_and(|name| *name == **id));
        found.cloned().ok_or_else(|| format!("there is no run `{}` here that has made anything", visible::text(id)))
    };
    // All of them are known before anything is done.
    let folders = ids.iter().map(folder).collect::<Result<Vec<_>, String>>()?;
    folders.iter().map(|folder| done(folder)).collect()
}

/// Cleans up after all runs of this folder that are over, and after all others of this user on this machine whose
/// containers are of no use any more.
fn stale(root: &Path) -> Vec<Done> {
    let died = runs(root).into_iter().filter(|folder| matches!(look(folder).state, State::Died(_)));
    let mut all = Vec::new();
    for folder in died {
        match done(&folder) {
            Ok(it) => all.push(it),
            // It may have been cleaned up after just now.
            Err(words) => Console::progress(&format!("{words}\n")),
        }
    }
    all.extend(sweep_engines());
    all
}

fn done(folder: &Path) -> Result<Done, String> {
    let cleaned = clean_run(folder)?;
    Ok(Done { id: super::name(folder), scenario: scenario(folder), cleaned })
}

/// Says what was done; the exit code.
fn tell(done: &[Done], format: Form) -> u8 {
    match format {
        Form::Json => {
            let runs: Vec<Json> = done.iter().map(Done::json).collect();
            Console::result(&format!("{}\n", json!({ "runs": runs })));
        }
        Form::Human if done.is_empty() => Console::progress("nothing was left behind\n"),
        Form::Human => Console::result(&done.iter().map(Done::shown).collect::<String>()),
    }
    if done.iter().all(|it| it.cleaned.failed.is_empty()) { 0 } else { STILL_THERE }
}

impl Done {
    fn shown(&self) -> String {
        let what = if self.cleaned.is_empty() { ": nothing was left behind" } else { "" };
        format!("{}  {}{what}\n{}", self.id, self.scenario, self.cleaned.shown())
    }

    fn json(&self) -> Json {
        let it = &self.cleaned;
        let killed: Vec<Json> =
            it.killed.iter().map(|leak| json!({ "pid": leak.pid, "command": &*leak.command })).collect();
        json!({
            "run": self.id, "scenario": self.scenario, "killed": killed,
            "removed": it.removed, "kept": it.kept, "remote": it.remote, "failed": it.failed,
        })
    }
}
