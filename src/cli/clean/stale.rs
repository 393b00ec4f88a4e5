//! What runs of other folders have left in a container engine: found by its labels, removed where nobody can need it.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;

use super::command::Done;
use super::{Cleaned, Refused, open};
use crate::backend::docker::{Broom, Thing};
use crate::cli::Console;
use crate::cli::engines::{EXPIRES, engines, owner, passing};

/// Cleans up the engine that the environment names, or that is found where engines usually are.
pub(super) fn sweep_engines() -> Vec<Done> {
    let known = engines(passing());
    let named = known.named.is_some();
    let things = Broom::take(&known).and_then(|broom| broom.things("owner", &owner()).map(|things| (broom, things)));
    let (broom, things) = match things {
        Ok(found) => found,
        Err(words) => {
            // Where there is none there is nothing to say.
            if named {
                Console::progress(&format!("no containers were looked for: {words}\n"));
            }
            return Vec::new();
        }
    };
    let runs: BTreeSet<&str> = things.iter().filter(|thing| useless(thing)).map(|thing| thing.label("run")).collect();
    let sweep = |run: &str| {
        let swept = broom.sweep(run, &[]);
        let cleaned = Cleaned { removed: swept.removed, failed: swept.failed, ..Cleaned::default() };
        Done { id: run.to_owned(), scenario: "a run of another folder".to_owned(), cleaned }
    };
    runs.into_iter().map(sweep).filter(|done| !done.cleaned.is_empty()).collect()
}

/// Whether nobody can need it: its run is over, or its time is, and its run cannot be asked.
fn useless(thing: &Thing) -> bool {
    let folder = Path::new(thing.label("folder"));
    let named = folder.file_name().is_some_and(|name| *name == *thing.label("run"));
    if thing.stays() || thing.label("run").is_empty() {
        return false;
    }
    match open(folder) {
        Ok(_) if named => true,
        Err(Refused::Alive) => false,
        Ok(_) | Err(Refused::Because(_)) => {
            let expires = thing.label("expires");
            !expires.is_empty() && *expires < *Timestamp::now().strftime(EXPIRES).to_string()
        }
    }
}
