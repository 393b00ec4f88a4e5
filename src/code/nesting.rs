//! Random nestings of quotes, substitutions, documents and patterns around holes, run by real shells.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::contexts::text;
use super::journey::{both, launch, shells};
use super::{Dialect, Launch, command, embed};
use crate::syntax::Value;

/// A piece of shell code with its holes' values, and the text that it comes to.
#[derive(Clone, Debug, Default)]
struct Piece {
    code: String,
    values: Vec<String>,
    text: String,
}

impl Piece {
    fn plain(code: &str, text: &str) -> Self {
        Self { code: code.to_owned(), values: Vec::new(), text: text.to_owned() }
    }

    fn hole(value: String) -> Self {
        Self { code: "${{x}}".to_owned(), text: value.clone(), values: vec![value] }
    }

    /// The same with code, and what that adds to the text, before and after.
    fn within(self, (before, after): (&str, &str), (left, right): (&str, &str)) -> Self {
        Self { code: format!("{before}{}{after}", self.code), text: format!("{left}{}{right}", self.text), ..self }
    }

    fn join(pieces: Vec<Self>) -> Self {
        let mut all = Self::default();
        for piece in pieces {
            all.code.push_str(&piece.code);
            all.values.extend(piece.values);
            all.text.push_str(&piece.text);
        }
        all
    }
}

/// The end of a document: each its own, because shells differ on one that stands in another of the same end.
fn end() -> impl Strategy<Value = String> + Clone {
    "E[0-9]{9}"
}

const NOTHING: (&str, &str) = ("", "");

fn hole() -> impl Strategy<Value = Piece> + Clone {
    let values = [
        "a", "", "a  b", "'", "\"", "\\", "$(x)", "`x`", "*", "}", ")", "EOF", "${", "# ", "\n", "a\n\nb", ";;", "esac",
    ];
    prop::sample::select(values.to_vec()).prop_map(|value| Piece::hole(value.to_owned()))
}

/// What can stand between double quotes, or in a document.
fn quoted(word: impl Strategy<Value = Piece> + Clone + 'static) -> impl Strategy<Value = Piece> + Clone {
    let command = word.clone().prop_map(|it| it.within(("$(printf '%s.' ", ")"), ("", ".")));
    let comment = word.clone().prop_map(|it| it.within(("$(printf '%s.' ", " # it's a \"note (\n)"), ("", ".")));
    let case = word.clone().prop_map(|it| {
        let code = format!("$(case \"x\" in (a|{}) printf 1;; x) printf 2 ;; esac)", it.code);
        Piece { code, text: "2".to_owned(), ..it }
    });
    let document = (word, end()).prop_map(|(it, end)| {
        let after = format!("; cat <<{end}\nit's \" \\$x\n{end}\n)");
        it.within(("$(printf '%s.' ", &after), ("", ".it's \" $x"))
    });
    let default = hole().prop_map(|it| it.within(("${none:-'its' ", "}"), ("'its' ", "")));
    prop_oneof![
        4 => hole(),
        1 => Just(Piece::plain("it's \\$(", "it's $(")),
        1 => Just(Piece::plain("$((1+(2)))#", "3#")),
        2 => command, 1 => comment, 1 => case, 1 => document, 1 => default,
    ]
}

fn word() -> impl Strategy<Value = Piece> {
    let single = hole().prop_map(|it| it.within(("'\"\\", "${'"), ("\"\\", "${")));
    let leaf = prop_oneof![3 => hole(), 1 => single, 1 => Just(Piece::plain("a#\\'\\ b", "a#' b"))];
    leaf.boxed().prop_recursive(4, 40, 4, |inner| {
        let inside = || prop::collection::vec(quoted(inner.clone()), 1..4).prop_map(Piece::join);
        let double = inside().prop_map(|it| it.within(("\"", "\""), NOTHING));
        let document = (inside(), end()).prop_map(|(it, end)| {
            let before = format!("\"$(cat <<-'A B' <<{end}\n'\"$(\n\tA B\n\"");
            it.within((&before, &format!("\n{end}\nprintf .)\"")), ("\"", "\n."))
        });
        let default = inner
            .clone()
            .prop_map(|it| it.within(("${none:-", "}"), NOTHING))
            .prop_filter("splits", |it| !it.code.contains("$(") || it.code.contains('"'));
        let several = prop::collection::vec(inner.clone(), 2..4).prop_map(Piece::join);
        prop_oneof![3 => double, 2 => document, 1 => default, 2 => several].boxed()
    })
}

#[test]
fn a_value_arrives_through_any_nesting() {
    let mut runner = TestRunner::deterministic();
    let words: Vec<Piece> = (0..400).map(|_| word().new_tree(&mut runner).unwrap().current()).collect();
    for shell in shells() {
        for some in words.chunks(100) {
            let lines: Vec<String> = some.iter().map(|it| format!("printf '%s\\0' {}\n", it.code)).collect();
            let code = lines.concat();
            let values: Vec<Value> =
                some.iter().flat_map(|it| &it.values).map(|it| Value::Text((&**it).into())).collect();
            let output = launch(&shell, &code, &values);
            let found: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
            for (it, found) in some.iter().zip(found) {
                assert_eq!(
                    String::from_utf8_lossy(found),
                    it.text,
                    "{}: {}\nwith {:?}\n{}",
                    shell.name,
                    it.code,
                    it.values,
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", shell.name);
        }
    }
}

/// Most random code is wrong code. Whatever a shell makes of it, it must not run what is in a value.
#[test]
fn a_value_never_runs_whatever_the_code_is() {
    let value = || Value::Text("a[$(echo q''zw >&2)]".into());
    let folder = tempfile::tempdir().unwrap();
    let part = prop_oneof![3 => Just("${{x}}"), 8 => prop::sample::select(PARTS)];
    let strategy = prop::collection::vec(part, 1..6).prop_map(|parts| parts.concat());
    let mut runner = TestRunner::deterministic();
    let mut ran = 0;
    let installed = shells();
    for _ in 0..500 {
        let code = text(&strategy.new_tree(&mut runner).unwrap().current());
        let values: Vec<Value> = code
            .pieces
            .iter()
            .filter(|it| matches!(it, crate::syntax::ast::Piece::Hole(..)))
            .map(|_| value())
            .collect();
        let Ok(made) = embed(Dialect::Shell, &code) else { continue };
        // `${a:-let }` makes a command of its own text: what that does with a value is the author's business.
        if values.is_empty() || made.contains("${a") {
            continue;
        }
        for shell in &installed {
            let launch = Launch { text: &made, values: &values, file: "a.ms", line: 1, ..Launch::default() };
            let output = run_in(folder.path(), &command(shell, launch).unwrap());
            let told = both(&output);
            assert!(!told.contains("qzw"), "{}: {made}\n{told}", shell.name);
            ran += 1;
        }
    }
    assert!(ran > 200, "only {ran} pieces of code were run");
}

/// Runs a command in a folder of its own: random code may write files.
fn run_in(folder: &std::path::Path, command: &super::Command) -> std::process::Output {
    let mut process = std::process::Command::new("timeout");
    process.arg("5").args(command.argv.iter().map(|word| super::journey::os(word))).current_dir(folder);
    process.envs(command.env.iter().map(|(name, value)| (&**name, super::journey::os(value))));
    process.stdin(std::process::Stdio::null());
    process.output().unwrap()
}

/// What random code is made of: above all what starts arithmetic, tests and names.
const PARTS: &[&str] = &[
    "'",
    "\"",
    "\\",
    "`",
    "$",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "[[ ",
    " ]]",
    "<<E\n",
    "\nE\n",
    "<<<",
    "\n",
    "\n",
    " ",
    " ",
    " ",
    ";",
    " # ",
    "case ",
    " in ",
    "esac",
    "((",
    "))",
    "$((",
    "$(",
    "${",
    "${a",
    "${a:-",
    "${a#",
    "a",
    "=",
    ":",
    "%",
    " -eq ",
    " -v ",
    "let ",
    "unset ",
    "read ",
    "printf -v ",
    "printf ",
    "declare -i ",
    "test ",
    "[ ",
    " ]",
    "a[",
    "a=(",
    "1",
    "if ",
    "then ",
    "fi",
    "$'",
    "-",
    "@",
    "!",
    "|",
    "&&",
    "for ",
    "do ",
    "done",
    "export ",
    "local ",
    "f() ",
    "echo ",
    "echo ",
    "<(",
    "{ ",
    "} ",
    "time ",
    "command ",
];
