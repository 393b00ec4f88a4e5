//! Holds the house: a module uses only what is below it. The floors are those that `src/lib.rs` draws.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The floor of each module, read from the table in `lib.rs`.
fn floors(source: &str) -> BTreeMap<String, usize> {
    let mut floors = BTreeMap::new();
    for line in source.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let Some((number, rest)) = line.trim_start().split_once("  ") else { continue };
        let Ok(floor) = number.trim().parse::<usize>() else { continue };
        let names = rest.trim_start().split("  ").next().unwrap_or_default();
        for name in names.split('│').map(str::trim) {
            floors.insert(name.to_owned(), floor);
        }
    }
    floors
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The modules of this crate that a source names, with their lines.
fn uses(source: &str) -> Vec<(usize, String)> {
    let code = source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.flat_map(|(at, line)| {
        line.match_indices("crate::").map(move |(start, _)| {
            let rest = &line[start + "crate::".len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (at + 1, rest[..end].to_owned())
        })
    })
    .collect()
}

#[test]
fn a_module_uses_only_what_is_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floors = floors(&std::fs::read_to_string(src.join("lib.rs")).unwrap());
    assert!(floors.len() >= 12, "the table in lib.rs was not read: {floors:?}");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let inside = path.strip_prefix(&src).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        let floor = *floors.get(module).unwrap_or_else(|| panic!("`{module}` stands on no floor in lib.rs"));
        for (line, used) in uses(&std::fs::read_to_string(&path).unwrap()) {
            let below = floors.get(&used).is_some_and(|below| *below < floor);
            if used != module && !below && floors.contains_key(&used) {
                wrong.push(format!("{}:{line}: `{module}` uses `{used}`", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not below it:\n{}", wrong.join("\n"));
}

#[test]
fn pest_is_named_in_syntax_only_and_unsafe_code_stands_in_sys_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let inside = path.strip_prefix(&src).unwrap();
        let names_pest = code.iter().any(|line| line.contains("pest::") || line.contains("pest_derive"));
        assert!(!names_pest || inside.starts_with("syntax"), "{} names pest", inside.display());
        let is_unsafe = code.iter().any(|line| line.contains("unsafe {") || line.contains("unsafe fn"));
        assert!(!is_unsafe || inside.starts_with("sys"), "{} has unsafe code", inside.display());
    }
}
