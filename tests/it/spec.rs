//! The book is a test: every `mstream` block of `spec/` says what is accepted, and where what is refused.

use std::collections::HashMap;
use std::path::Path;

use mstream::check::{Checked, check};
use mstream::diagnostic::{Code, Diagnostic, Form, Severity, render};
use mstream::scenario::Settings;

use crate::markdown::{Block, blocks, files};

/// The files beside an example: the `yaml NAME` blocks above it on its page.
type Beside = HashMap<String, String>;

/// Checks `text` as the file `example.ms`.
fn checked(text: &str, beside: &Beside) -> Checked {
    let mut read = |path: &Path| match path.to_str() {
        Some("example.ms") => Ok(text.to_owned()),
        other => other.and_then(|name| beside.get(name).cloned()).ok_or(std::io::ErrorKind::NotFound.into()),
    };
    check(Path::new("example.ms"), &Settings::default(), &mut read).unwrap()
}

fn found(checked: &Checked, of: impl Fn(&Diagnostic) -> bool) -> Vec<(u32, String)> {
    let these = checked.diagnostics.iter().filter(|problem| of(problem));
    these.map(|problem| (checked.sources.location(problem.span).line, problem.code.id().to_owned())).collect()
}

/// Keeps a `yaml NAME` block for the examples below it.
fn stands_beside(block: &Block, beside: &mut Beside) {
    if let Some(name) = block.info.strip_prefix("yaml ") {
        beside.insert(name.to_owned(), block.text.clone());
    }
}

/// The `# error: MS201` and `# warning: MS105` marks of a block.
fn marks(text: &str, kind: &str) -> Vec<(u32, String)> {
    let mark = format!("# {kind}: ");
    let lines = text.lines().zip(1..).filter_map(|(line, at)| Some((at, line.split_once(&mark)?.1)));
    lines.flat_map(|(at, codes)| codes.split(',').map(move |code| (at, code.trim().to_owned()))).collect()
}

/// What is wrong with a block, if anything.
fn complaint(block: &Block, next: Option<&Block>, beside: &Beside) -> Option<String> {
    let checked = checked(&block.text, beside);
    let all = render(&checked.diagnostics, &checked.sources, Form::Concise);
    let errors = found(&checked, |problem| problem.severity == Severity::Error);
    let mut marked = marks(&block.text, "error");
    for (_, source) in checked.sources.iter().filter(|(_, source)| beside.contains_key(&**source.name())) {
        marked.extend(marks(source.text(), "error"));
    }
    if errors != marked {
        return Some(format!("errors differ from the marks:\n{all}"));
    }
    let warnings = found(&checked, |problem| problem.severity == Severity::Warning);
    if let Some(missing) = marks(&block.text, "warning").iter().find(|mark| !warnings.contains(mark)) {
        return Some(format!("no warning {missing:?}:\n{all}"));
    }
    let drawn = next.filter(|next| next.info == "text diagnostic")?;
    let rendered = render(&checked.diagnostics, &checked.sources, Form::Human { color: false });
    (rendered.trim_end() != drawn.text.trim_end()).then(|| format!("drawn differently:\n{rendered}"))
}

#[test]
fn every_block_of_the_book_is_accepted_or_refused_as_it_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in files("spec", "md").into_iter().chain(files(".", "md")) {
        let all = blocks(&std::fs::read_to_string(&path).unwrap());
        let mut beside = Beside::new();
        for (at, block) in all.iter().enumerate() {
            stands_beside(block, &mut beside);
            if block.info == "mstream" || block.info.starts_with("mstream ") {
                count += 1;
                let place = format!("{}:{}", path.display(), block.line);
                wrong.extend(complaint(block, all.get(at + 1), &beside).map(|text| format!("{place}: {text}")));
            }
        }
    }
    assert!(count > 50, "only {count} blocks were found");
    assert!(wrong.is_empty(), "{} of {count} blocks:\n{}", wrong.len(), wrong.join("\n"));
}

/// Everything that a text is told, as codes.
fn codes(text: &str, beside: &Beside) -> (Vec<Code>, String) {
    let checked = checked(text, beside);
    let mut codes: Vec<Code> = checked.diagnostics.iter().map(|problem| problem.code).collect();
    codes.dedup();
    (codes, render(&checked.diagnostics, &checked.sources, Form::Concise))
}

#[test]
fn every_code_has_a_page_whose_bad_example_gives_it_and_whose_good_one_gives_nothing() {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        let page = code.page();
        if !page.starts_with(&format!("# {code} {}\n", code.name())) {
            wrong.push(format!("{code}: the page does not start with its name"));
        }
        let mut beside = Beside::new();
        let mut examples: Vec<(Block, Beside)> = Vec::new();
        for block in blocks(page) {
            stands_beside(&block, &mut beside);
            if block.info == "mstream" {
                examples.push((block, beside.clone()));
            }
        }
        let [bad, good, ..] = &examples[..] else {
            wrong.push(format!("{code}: the page has no two examples"));
            continue;
        };
        let (found, all) = codes(&bad.0.text, &bad.1);
        if found != [*code] {
            wrong.push(format!("{code}: the bad example gives {found:?}:\n{all}"));
        }
        let (found, all) = codes(&good.0.text, &good.1);
        if !found.is_empty() {
            wrong.push(format!("{code}: the good example gives {found:?}:\n{all}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
