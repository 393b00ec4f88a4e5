//! The journal of a run that is gone on with.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::MOST;
use crate::check::check;
use crate::plan::Plan;
use crate::resume::{Known, Story, kept, past, read, seal};
use crate::scenario::Settings;

const SCENARIO: &str = "stream a = local\nstream b = local\non a {\n  let v = shell \"one\"\n  barrier x\n  \
                        start web = shell(resumable = true) \"serve\"\n  barrier y\n  $ two\n  finally { $ clean }\n}\n\
                        on b {\n  barrier x\n  $ use ${{a.v}}\n  barrier y\n}\n";

static PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| {
    let mut only = |_: &Path| Ok(SCENARIO.to_owned());
    let checked = check(Path::new("fuzz.ms"), &Settings::default(), &mut only).expect("it was read");
    Arc::new(checked.plan.expect("it is a correct scenario"))
});

/// Any bytes are read as a journal, and as the values beside it, without a panic and in bounded memory; and whatever
/// the records say, a cut is found or refused.
pub fn journal(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MOST)];
    take(bytes);
    // Few inputs have the right checksums by chance: so each line gets one of its own.
    let mut sealed = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let from = sealed.len();
        sealed.extend_from_slice(line);
        seal(&mut sealed, from);
    }
    take(&sealed);
}

fn take(journal: &[u8]) {
    let mut story = Story::new(&PLAN);
    if read(journal, &mut |_, entry| story.record(entry)).is_ok() {
        let known = Known { values: kept(journal, &PLAN), ..Known::default() };
        drop(past(&PLAN, &story, known));
    }
}
