//! The program from outside: each `tests/cases/*.md` holds files, a command, and exactly what it prints.
//!
//! Blocks: `file NAME` makes a file; `run` holds `$ mstream ...` and the expected stdout, `run exit=2` another exit
//! code; a `stderr` block behind it the expected stderr. In what is expected, `[..]` stands for any text within a
//! line, and a line `...` for any lines.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::markdown::{Block, blocks, files};
use crate::watchdog::Watchdog;

/// Runs `mstream` with these words in `folder`; one that hangs is killed.
pub(crate) fn mstream(folder: &Path, words: &[&str]) -> Output {
    ends(Command::new(env!("CARGO_BIN_EXE_mstream")), folder, words)
}

/// Runs `command` with these words in `folder`; one that hangs is killed.
pub(crate) fn ends(mut command: Command, folder: &Path, words: &[&str]) -> Output {
    command.args(words).current_dir(folder).stdin(Stdio::null()).env_remove("NO_COLOR");
    if !command.get_envs().any(|(name, _)| name == "XDG_CONFIG_HOME") {
        // Whoever runs the tests may have a configuration.
        command.env("XDG_CONFIG_HOME", folder.join("no-configuration"));
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _watchdog = Watchdog::over(&child);
    child.wait_with_output().unwrap()
}

/// Whether `line` is what `pattern` expects.
fn line_fits(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    let mut parts = pattern.split("[..]");
    let Some(after) = parts.next().and_then(|first| rest.strip_prefix(first)) else { return false };
    rest = after;
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("") || (last.is_some_and(|part| line.ends_with(part)))
}

/// Whether `lines` are what `patterns` expect.
fn fits(patterns: &[&str], lines: &[&str]) -> bool {
    match (patterns, lines) {
        (["...", rest @ ..], _) => (0..=lines.len()).any(|skip| fits(rest, &lines[skip..])),
        ([pattern, patterns @ ..], [line, lines @ ..]) => line_fits(pattern, line) && fits(patterns, lines),
        ([], []) => true,
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}

fn same(expected: &str, found: &str) -> bool {
    fits(&expected.trim_end().lines().collect::<Vec<_>>(), &found.trim_end().lines().collect::<Vec<_>>())
}

fn run(block: &Block, stderr: Option<&Block>, folder: &Path) -> Option<String> {
    let (command, expected) = block.text.split_once('\n').unwrap_or((&block.text, ""));
    let words = shell_words(command.trim_start_matches("$ mstream"));
    let output = mstream(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = block.info.split_once("exit=").map_or("0", |(_, code)| code).parse().ok();
    let wrong = if output.status.code() != code {
        format!("exit code {:?}", output.status.code())
    } else if !same(expected, &out) {
        "stdout differs".to_owned()
    } else if stderr.is_some_and(|block| !same(&block.text, &err)) {
        "stderr differs".to_owned()
    } else {
        return None;
    };
    Some(format!("{command}: {wrong}\n--- stdout\n{out}--- stderr\n{err}"))
}

/// Words between blanks; `'...'` holds blanks together, within a word too.
pub(crate) fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        for (at, piece) in part.split(' ').enumerate() {
            if at > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(piece);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_case_prints_what_it_says() {
    let mut wrong = Vec::new();
    for path in files("tests/cases", "md") {
        let folder = tempfile::tempdir().unwrap();
        let all = blocks(&std::fs::read_to_string(&path).unwrap());
        for (at, block) in all.iter().enumerate() {
            let complaint = if let Some(name) = block.info.strip_prefix("file ") {
                let file = folder.path().join(name);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, &block.text).unwrap();
                None
            } else if block.info == "run" || block.info.starts_with("run ") {
                run(block, all.get(at + 1).filter(|next| next.info == "stderr"), folder.path())
            } else {
                None
            };
            wrong.extend(complaint.map(|text| format!("{}:{}: {text}", path.display(), block.line)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
