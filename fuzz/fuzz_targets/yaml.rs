//! Any parameter file is read without a panic, in bounded time, and every place in a diagnostic is a place in the text.

#![no_main]

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use mstream::diagnostic::{Sources, Span};
use mstream::params::{File, Limits, Tree};

/// What 64 KiB of input may cost, at most. Instrumented code is several times slower than what is shipped.
const LIMIT: Duration = Duration::from_secs(5);

fuzz_target!(|text: &str| {
    if text.len() > 64 << 10 {
        return;
    }
    let mut sources = Sources::default();
    let files = [File { path: "fuzz.yaml".into(), named: Span::default() }];
    let mut read = |path: &Path| match path.to_str() {
        Some("fuzz.yaml") => Ok(text.to_owned()),
        Some("other.yaml") => Ok("other: {a: 1, b: !mux {x: , y: }}\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let before = SystemTime::now();
    let (tree, problems) = Tree::read(&files, &Limits::default(), &mut read, &mut sources);
    let all = tree.all();
    for path in ["*", "/run/*", "*/a/*", "/streams/*"] {
        drop((all.get("a", path), all.keys(path), all.at(path)));
    }
    drop(tree.variants().map(|variants| variants.take(3).count()));
    assert!(before.elapsed().unwrap_or_default() < LIMIT, "too slow");
    for problem in &problems {
        for span in problem.others.iter().map(|other| other.span).chain([problem.span]) {
            assert!(text.get(span.range()).is_some() || span.file != problem.span.file, "{problem:?}");
        }
    }
});
