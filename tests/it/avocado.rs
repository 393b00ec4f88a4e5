//! Parameter files mean what they mean to Avocado: random trees and lookups, each asked of the real one as well.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mstream::diagnostic::{Form, Sources, Span, render};
use mstream::params::{File, Limits, Tree};
use serde_json::{Value as Json, json};

/// So many trees, each from a number.
const TREES: u64 = 200;

/// So many lookups in each of its variants.
const LOOKUPS: usize = 16;

/// More variants than these are counted and not compared one by one.
const VARIANTS: usize = 50;

/// Names of nodes; few, so that they meet often.
const NODES: &[&str] = &["a", "b", "os", "disk", "boot", "1", "x-y", "Ü"];
const KEYS: &[&str] = &["k", "n", "timeout", "list", "b"];
const VALUES: &[&str] = &[
    "1",
    "-7",
    "0",
    "1.5",
    "1.10",
    "100000000000000000.0",
    "0.00001",
    "true",
    "false",
    "text",
    "two words",
    "'it''s'",
    "\"\\\"q\\\"\"",
    "5s",
    "\"null\"",
    "'null'",
    "''",
    "\"tab\\tline\\nend\"",
    "\"ünï\"",
    "!!str 5",
    "/a/b",
    "[1, 2]",
    "[]",
    "[text, 1.0, true, ~]",
    "[a, [b, 'c''d']]",
    "[{p: 1, q: [x]}]",
    "[{}]",
];
const PATHS: &[&str] = &[
    "*",
    "/*",
    "/run/*",
    "/run/os/*",
    "*/a/*",
    "*/b/*",
    "*/boot/*",
    "*/os/a/*",
    "/run/*/b/*",
    "*/b",
    "os/*",
    "/a/",
    "",
    "/nowhere/*",
    "*/o*/*",
    "/run/a/b/*",
    "*/*/a*",
    "/run",
    "/run/",
    "*/disk/",
    "/*/os*",
    "b/*",
];
const REGEXES: &[&str] = &["a", "b", "o", "os|disk", ".*", "k$", "'[a-n]'", "timeout", "x-y", "nothing"];
const FILTERS: &[&str] =
    &["/run/a", "/run/os/a/", "/run/os/b", "/run/disk", "/run/a/b/os", "/run/b/", "/", "/run/boot/1", "a", "''"];
const USINGS: &[&str] = &["/a", "os/", "/a/b", "boot", "/x/y/z/"];
const WRONG: &[&str] =
    &["!using : /a\n!using : /b\n", "!include : missing.yaml\n", "k: [1\n", "k: @x\n", "!nothing : x\n", "!mux : x\n"];

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// One question: files, the first of which are named, and lookups.
struct Question {
    files: Vec<String>,
    named: usize,
    lookups: Vec<(String, String)>,
}

fn question(seed: u64) -> Question {
    let mut dice = Dice((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let named = 1 + dice.roll(3);
    let count = named + dice.roll(3);
    let files = (0..count).map(|at| file(&mut dice, at, count, at < named)).collect();
    let mut lookup = || (dice.pick(KEYS).to_owned(), dice.pick(PATHS).to_owned());
    Question { files, named, lookups: (0..LOOKUPS).map(|_| lookup()).collect() }
}

/// The text of a file. It includes none but later ones, so that there are no circles.
fn file(dice: &mut Dice, at: usize, count: usize, named: bool) -> String {
    let mut text = String::new();
    if named && dice.roll(8) == 0 {
        text += "--- !mux\n";
    }
    let mut used = Vec::new();
    let includes: Vec<usize> = (at + 1..count).collect();
    // A file without anything ends Avocado with an error of Python's.
    entry(dice, &mut text, 0, &mut used, &includes);
    for _ in 0..dice.roll(5) {
        entry(dice, &mut text, 0, &mut used, &includes);
    }
    if dice.roll(40) == 0 {
        text += dice.pick(WRONG);
    }
    text
}

fn entry(dice: &mut Dice, text: &mut String, depth: usize, used: &mut Vec<String>, includes: &[usize]) {
    let indent = "  ".repeat(depth);
    match dice.roll(14) {
        0 if !includes.is_empty() => {
            let include = includes[dice.roll(includes.len())];
            let _ = writeln!(text, "{indent}!include : f{include}.yaml");
        }
        1 if dice.roll(2) == 0 && !used.contains(&"!using".to_owned()) => {
            used.push("!using".to_owned());
            let _ = writeln!(text, "{indent}!using : {}", dice.pick(USINGS));
        }
        2 => drop(writeln!(text, "{indent}!remove_node : {}", dice.pick(REGEXES))),
        3 => drop(writeln!(text, "{indent}!remove_value : {}", dice.pick(REGEXES))),
        4 if dice.roll(2) == 0 => drop(writeln!(text, "{indent}!filter-only : {}", dice.pick(FILTERS))),
        4 => drop(writeln!(text, "{indent}!filter-out : {}", dice.pick(FILTERS))),
        5..8 => named(dice, used, KEYS, |dice, name| {
            let _ = writeln!(text, "{indent}{name}: {}", dice.pick(VALUES));
        }),
        _ => named(dice, used, NODES, |dice, name| {
            let mark = ["", "", " !mux", " !mux", " !join"][dice.roll(5)];
            let _ = writeln!(text, "{indent}{name}:{mark}");
            let mut inner = Vec::new();
            for _ in 0..dice.roll(if depth < 4 { 4 } else { 1 }) {
                entry(dice, text, depth + 1, &mut inner, includes);
            }
        }),
    }
}

/// A name that does not stand here yet, if there is one left.
fn named(dice: &mut Dice, used: &mut Vec<String>, from: &[&str], write: impl FnOnce(&mut Dice, &str)) {
    let name = dice.pick(from);
    if !used.contains(&name.to_owned()) {
        used.push(name.to_owned());
        write(dice, name);
    }
}

/// Where the files of a question stand.
fn write(question: &Question, folder: &Path) -> Vec<PathBuf> {
    std::fs::create_dir(folder).unwrap();
    let paths: Vec<PathBuf> = (0..question.files.len()).map(|at| folder.join(format!("f{at}.yaml"))).collect();
    for (path, text) in paths.iter().zip(&question.files) {
        std::fs::write(path, text).unwrap();
    }
    paths
}

/// Our answer, and what was told.
fn ours(question: &Question, paths: &[PathBuf]) -> (Json, String) {
    let named = paths[..question.named].iter().map(|path| File { path: path.clone(), named: Span::default() });
    let mut sources = Sources::default();
    let mut read = |path: &Path| std::fs::read_to_string(path);
    let (tree, problems) = Tree::read(&named.collect::<Vec<_>>(), &Limits::scaled(1000), &mut read, &mut sources);
    if !problems.is_empty() {
        // A file that is not there has its place where it is named; on the command line there is none.
        sources.add("command line", "");
        return (json!({ "error": true }), render(&problems, &sources, Form::Concise));
    }
    let variants = tree.variants().unwrap().map(|variant| {
        let lookups = question.lookups.iter().map(|(key, path)| match variant.params.get(key, path) {
            Ok(Some(hit)) => json!({ "value": hit.value.node.value().to_json() }),
            Ok(None) => json!({ "none": true }),
            Err(_) => json!({ "clash": true }),
        });
        json!({ "id": &*variant.id, "paths": variant.paths, "get": lookups.collect::<Vec<_>>() })
    });
    (json!({ "variants": variants.take(VARIANTS).collect::<Vec<_>>() }), String::new())
}

/// What the real one answers to all of them.
fn theirs(questions: &Json) -> Vec<Json> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/oracle/bin/python");
    let script = root.join("tests/oracle/avocado_params.py");
    let child = Command::new(&python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{}: {error}; tests/run installs it", python.display()));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(questions.to_string().as_bytes()).unwrap();
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", out.status);
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn random_trees_mean_what_they_mean_to_avocado() {
    let folder = tempfile::tempdir().unwrap();
    let questions: Vec<Question> = (0..TREES).map(question).collect();
    let paths: Vec<Vec<PathBuf>> =
        questions.iter().zip(0..).map(|(it, at)| write(it, &folder.path().join(format!("q{at}")))).collect();
    let asked = questions
        .iter()
        .zip(&paths)
        .map(|(it, paths)| json!({ "files": &paths[..it.named], "get": it.lookups, "limit": VARIANTS }));
    let answers = theirs(&asked.collect());
    let (mut wrong, mut values, mut clashes, mut errors, mut many) = (Vec::new(), 0, 0, 0, 0);
    for ((it, paths), theirs) in questions.iter().zip(&paths).zip(&answers) {
        let (ours, told) = ours(it, paths);
        values += ours.to_string().matches(r#""value""#).count();
        clashes += ours.to_string().matches(r#""clash""#).count();
        errors += ours.to_string().matches(r#""error""#).count();
        many += usize::from(ours["variants"].as_array().is_some_and(|all| all.len() > 1));
        if ours != *theirs {
            let files = it.files.iter().zip(0..).map(|(text, at)| format!("# f{at}.yaml\n{text}"));
            let files = files.collect::<Vec<_>>().concat();
            let first = difference(&ours, theirs, &it.lookups);
            wrong.push(format!("{files}named: {}\n{first}{told}", it.named));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {TREES} trees differ, such as\n{}",
        wrong.len(),
        wrong[..wrong.len().min(3)].join("\n\n")
    );
    assert!(values > 400 && clashes > 100 && errors > 5 && many > 30, "{values} {clashes} {errors} {many}");
}

/// The first thing that two answers do not agree on.
fn difference(ours: &Json, theirs: &Json, lookups: &[(String, String)]) -> String {
    let (Some(our), Some(their)) = (ours["variants"].as_array(), theirs["variants"].as_array()) else {
        return format!("ours: {ours}\ntheirs: {theirs}\n");
    };
    if our.len() != their.len() {
        return format!("ours has {} variants, theirs {}\n", our.len(), their.len());
    }
    for (our, their) in our.iter().zip(their) {
        if our["id"] != their["id"] || our["paths"] != their["paths"] {
            return format!("ours: {} {}\ntheirs: {} {}\n", our["id"], our["paths"], their["id"], their["paths"]);
        }
        for (at, lookup) in lookups.iter().enumerate() {
            if our["get"][at] != their["get"][at] {
                return format!(
                    "{lookup:?} in {}\nours: {}\ntheirs: {}\n",
                    our["id"], our["get"][at], their["get"][at]
                );
            }
        }
    }
    String::new()
}
