//! What people write: scenarios, parameter files, code with holes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::text;
use crate::check::check;
use crate::code::{Command, Dialect, Interpreter, Launch, command, embed};
use crate::diagnostic::{Diagnostic, FileId, Form, Sources, Span, render};
use crate::params::{File, Limits, Tree};
use crate::scenario::Settings;
use crate::syntax::ast::{Expr, ExprKind, Piece, Text, TextForm};
use crate::syntax::{self, Value};

/// What the parser may cost for 64 KiB: 100 ms in what is shipped, which is many times faster than what a fuzzer runs.
const PARSER: Duration = Duration::from_secs(1);
/// What everything else may cost.
const LIMIT: Duration = Duration::from_secs(5);

/// Does `work` and makes sure that it takes no longer than `limit`.
fn within<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let before = SystemTime::now();
    let made = work();
    let took = before.elapsed().unwrap_or_default();
    assert!(took < limit, "it took {took:?}");
    made
}

/// Every place in a diagnostic is a place in its text, and every diagnostic can be shown.
fn can_be_shown(problems: &[Diagnostic], sources: &Sources) {
    for problem in problems {
        for span in problem.others.iter().map(|other| other.span).chain([problem.span]) {
            assert!(sources.file(span.file).text().get(span.range()).is_some(), "{problem:?}");
        }
    }
    for problem in problems.iter().take(3) {
        let shown = render(std::slice::from_ref(problem), sources, Form::Human { color: false });
        assert!(shown.contains(&problem.code.to_string()), "{problem:?}: {shown}");
    }
}

/// A scenario: read without a panic and in time, checked too, and every place in a diagnostic is in the text.
pub fn parse(bytes: &[u8]) {
    let text = text(bytes);
    let mut sources = Sources::default();
    let id = sources.add("fuzz.ms", text);
    let (_, problems) = within(PARSER, || syntax::parse(id, &sources));
    can_be_shown(&problems, &sources);
    drop(syntax::parse_expression(id, &sources));
    let mut read = |path: &Path| if path == Path::new("fuzz.ms") { Ok(text.to_owned()) } else { nothing() };
    let checked = within(LIMIT, || check(Path::new("fuzz.ms"), &Settings::default(), &mut read));
    let checked = checked.unwrap_or_else(|error| panic!("{error}"));
    can_be_shown(&checked.diagnostics, &checked.sources);
    let wrong = checked.diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(checked.plan.is_none(), wrong, "a plan, or an error that says why there is none");
    assert!(wrong || problems.iter().all(|problem| !problem.is_error()), "what the parser refuses is refused");
}

fn nothing<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotFound.into())
}

/// A parameter file: read without a panic and in time, and every place in a diagnostic is in its text.
pub fn yaml(bytes: &[u8]) {
    let text = text(bytes);
    let mut sources = Sources::default();
    let files = [File { path: "fuzz.yaml".into(), named: Span::default() }];
    let mut read = |path: &Path| match path.to_str() {
        Some("fuzz.yaml") => Ok(text.to_owned()),
        Some("other.yaml") => Ok("other: {a: 1, b: !mux {x: , y: }}\n".to_owned()),
        _ => nothing(),
    };
    sources.add("params.ms", "");
    let problems = within(LIMIT, || {
        let (tree, problems) = Tree::read(&files, &Limits::default(), &mut read, &mut sources);
        let all = tree.all();
        for path in ["*", "/run/*", "*/a/*", "/streams/*"] {
            drop((all.get("a", path), all.keys(path), all.at(path)));
        }
        drop(tree.variants().map(|variants| variants.take(3).count()));
        problems
    });
    can_be_shown(&problems, &sources);
}

/// Stands in no code that a fuzzer is likely to make.
const VALUE: &str = "the value'\"\\$(`of the hole`\n";

/// Code with `${{x}}` for holes, the first byte saying for whom: each hole becomes a reference or is refused, whatever
/// else stands there is left as it is, and values travel beside the code.
pub fn holes(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let (dialect, words): (_, &[&str]) = match first % 3 {
        0 => (Dialect::Shell, &["sh"]),
        1 => (Dialect::Python, &["python3"]),
        _ => (Dialect::Other, &["perl"]),
    };
    let literals: Vec<&str> = self::text(rest).split("${{x}}").collect();
    let holes = literals.len() - 1;
    match within(LIMIT, || embed(dialect, &embedded(&literals))) {
        Err(wrong) => assert!((1..=holes).contains(&wrong.len()), "{holes} holes, and {wrong:?}"),
        Ok(code) => {
            assert!(dialect != Dialect::Other || holes == 0, "a value in code that nothing is known about");
            only_references(dialect, &code, &literals);
            let names = words.iter().map(|word| Arc::from(*word)).collect();
            let interpreter = Interpreter { name: words[0].into(), command: names, dialect };
            let values = vec![Value::Text(VALUE.into()); holes];
            let launch = Launch { text: &code, values: &values, file: "fuzz.ms", line: 1, ..Launch::default() };
            beside(command(&interpreter, launch), &code, holes);
        }
    }
}

fn embedded(literals: &[&str]) -> Text {
    let (mut pieces, mut at) = (Vec::new(), 0);
    for (index, literal) in literals.iter().enumerate() {
        if index > 0 {
            let span = Span::new(FileId(0), at..at + 6);
            let expr = Expr { kind: ExprKind::Name("x".into()), span };
            pieces.push(Piece::Hole(Box::new(expr), span));
            at += 6;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal((*literal).into()));
            at += literal.len();
        }
    }
    Text { pieces: pieces.into_iter().collect(), span: Span::new(FileId(0), 0..at), form: TextForm::Fenced, indent: 0 }
}

/// The code is what was written, with the n-th reference in place of the n-th hole.
fn only_references(dialect: Dialect, code: &str, literals: &[&str]) {
    let mut rest = code.strip_prefix(literals[0]).unwrap_or_else(|| panic!("{code:?} begins otherwise"));
    for (index, literal) in literals.iter().enumerate().skip(1) {
        let forms = match dialect {
            Dialect::Python => vec![format!("__mstream__[{}]", index - 1)],
            Dialect::Shell | Dialect::Exec | Dialect::Other => {
                vec![format!("'\"$MS_{index}\"'"), format!("\"$MS_{index}\""), format!("${{MS_{index}}}")]
            }
        };
        let after = forms.iter().find_map(|form| rest.strip_prefix(&**form));
        let after = after.unwrap_or_else(|| panic!("hole {index} is no reference in {code:?}"));
        rest = after.strip_prefix(*literal).unwrap_or_else(|| panic!("{code:?} is changed after hole {index}"));
    }
    assert_eq!(rest, "", "{code:?} goes on");
}

/// No value stands in an argument, and each travels.
fn beside(command: Result<Command, String>, code: &str, holes: usize) {
    let Ok(Command { argv, env, script, .. }) = command else {
        assert!(code.contains('\0'), "only a NUL cannot travel");
        return;
    };
    let has = |bytes: &[u8], what: &str| memchr::memmem::find(bytes, what.as_bytes()).is_some();
    assert!(has(code.as_bytes(), VALUE) || !argv.iter().any(|word| has(word, VALUE)), "a value in an argument");
    let words = "of the hole";
    let there = env.iter().filter(|(_, value)| has(value, words)).count() + usize::from(script.is_some());
    assert!(holes == 0 || there > 0, "values are lost");
}
