//! What the fuzzers start from and what they have found, as plain tests; `tests/fuzz` lets them search.

use std::fs;
use std::path::{Path, PathBuf};

use mstream::fuzzing::TARGETS;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
#[expect(clippy::print_stderr, reason = "a panic does not say which input it is about")]
fn what_the_fuzzers_keep_holds() {
    for (name, target) in TARGETS {
        let corpus = folder().join("corpus").join(name);
        let inputs = names(&corpus);
        assert!(inputs.len() >= 2, "{name} starts from {inputs:?}");
        for input in inputs {
            // The last that is named is the one that failed.
            eprintln!("fuzz/corpus/{name}/{input}");
            target(&fs::read(corpus.join(input)).unwrap());
        }
    }
}

#[test]
fn each_target_is_one_that_the_fuzzers_know() {
    let of_targets = TARGETS.map(|(name, _)| name.to_owned());
    let files: Vec<String> = names(&folder().join("fuzz_targets"));
    assert_eq!(files, of_targets.each_ref().map(|name| format!("{name}.rs")));
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in &of_targets {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n")), "{name}");
        let code = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(code.contains(&format!("mstream::fuzzing::{name}(bytes)")), "{name} calls something else");
    }
}
