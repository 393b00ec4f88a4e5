//! Any text is read without a panic, within 100 ms per 64 KiB, and every place in a diagnostic is a place in the text.

#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use mstream::diagnostic::Sources;
use mstream::syntax;

/// What 64 KiB of input may cost, at most.
const LIMIT: Duration = Duration::from_millis(100);

fuzz_target!(|text: &str| {
    if text.len() > 64 << 10 {
        return;
    }
    let mut sources = Sources::default();
    let id = sources.add("fuzz.ms", text);
    let before = SystemTime::now();
    let (_, problems) = syntax::parse(id, &sources);
    // Instrumented code is several times slower than what is shipped.
    assert!(before.elapsed().unwrap_or_default() < 10 * LIMIT, "too slow");
    for problem in &problems {
        for span in problem.others.iter().map(|other| other.span).chain([problem.span]) {
            assert!(text.get(span.range()).is_some(), "{problem:?}");
        }
    }
    drop(syntax::parse_expression(id, &sources));
});
