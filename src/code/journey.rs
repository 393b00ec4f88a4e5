//! Values travel through real shells and a real Python, and arrive byte for byte.

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::contexts::text;
use super::{Command, Dialect, Interpreter, Launch, command, embed};
use crate::syntax::Value;

pub(super) fn interpreter(dialect: Dialect, words: &[&str]) -> Interpreter {
    let command = words.iter().map(|word| Arc::from(*word)).collect();
    Interpreter { name: Arc::from(words.first().copied().unwrap_or("exec")), command, dialect }
}

/// The shells that are installed; `busybox` is not everywhere.
pub(super) fn shells() -> Vec<Interpreter> {
    let known: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "sh"]];
    let there = |words: &&[&str]| {
        let mut probe = std::process::Command::new(words[0]);
        probe.args(&words[1..]).args(["-c", ":"]).output().is_ok_and(|output| output.status.success())
    };
    let found: Vec<_> = known.into_iter().filter(there).map(|words| interpreter(Dialect::Shell, words)).collect();
    assert!(found.len() >= 2, "dash and bash are needed to test with");
    found
}

pub(super) fn python() -> Interpreter {
    interpreter(Dialect::Python, &["python3"])
}

/// Runs a command as a backend does: its descriptors 8 and 9 in place, nothing on its stdin unless told.
pub(super) fn run(command: &Command) -> Output {
    let file = |bytes: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    };
    let (script, stdin) =
        (file(command.script.as_deref().unwrap_or_default()), file(command.stdin.as_deref().unwrap_or_default()));
    let mut process = std::process::Command::new("dash");
    process.arg("-c").arg("exec 8<&0 9<\"$0\" <\"$1\"; shift; exec \"$@\"").arg(script.path()).arg(stdin.path());
    process.args(command.argv.iter().map(|word| os(word)));
    process.envs(command.env.iter().map(|(name, value)| (&**name, os(value))));
    let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that ended at once has closed its end.
    let _ = child.stdin.take().unwrap().write_all(b"go\n");
    child.wait_with_output().unwrap()
}

pub(super) fn os(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

/// Embeds, launches and runs; the code's line 1 is line 41 of `deploy.ms`.
pub(super) fn launch(interpreter: &Interpreter, code: &str, values: &[Value]) -> Output {
    let code = embed(interpreter.dialect, &text(code)).unwrap();
    let launch = Launch { text: &code, values, file: "deploy.ms", line: 41, strict: true, ..Launch::default() };
    run(&command(interpreter, launch).unwrap())
}

pub(super) fn both(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let status = output.status.code().map_or_else(|| "killed".to_owned(), |code| code.to_string());
    format!("{}{}status {status}", text(&output.stdout), text(&output.stderr))
}

/// Values that break careless quoting.
fn values(count: usize) -> Vec<Value> {
    let pieces = prop::sample::select(vec![
        "'",
        "\"",
        "\\",
        "\n",
        "\n\n",
        " ",
        "\t",
        "$(touch pwned)",
        "`touch pwned`",
        "${HOME}",
        "$MS_1",
        "*",
        "?",
        "[a]",
        "~",
        "-n",
        "-e",
        "--",
        "%s",
        "%n",
        "EOF",
        "\nEOF\n",
        "$((1+1))",
        "#",
        ";",
        "&",
        "|",
        "<",
        ">",
        "(",
        ")",
        "{a,b}",
        "!",
        "=",
        "a",
        "7",
        "ß",
        "漢",
        "🦀",
        "\u{1}",
        "\u{7f}",
        "\r",
        "\u{1b}[31m",
        "\u{feff}",
        "\\n",
        "\\0",
        "{",
        "}",
        "${{x}}",
        "&&",
        ";;",
    ]);
    let text = prop::collection::vec(pieces, 0..12).prop_map(|parts| Value::Text(parts.concat().into()));
    let bytes = prop::collection::vec(1_u8..=255, 0..40).prop_map(|bytes| Value::Bytes(bytes.into()));
    let unicode = "[^\0]{0,24}".prop_map(|text| Value::Text(text.into()));
    let strategy = prop_oneof![4 => text, 2 => bytes, 1 => unicode];
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Each value in each context, and the bytes that must come out.
fn tour(values: &[Value]) -> (String, Vec<Value>, Vec<u8>) {
    let (mut code, mut holes, mut expected) = (String::new(), Vec::new(), Vec::new());
    let mut document = String::from("cat <<EOF\n");
    let mut last = Vec::new();
    for (index, value) in values.iter().enumerate() {
        code.push_str("printf '%s\\0' ${{x}} \"a${{x}}b\" 'a\"${{x}}\"b' a${{x}}${{x}}");
        // A subshell each would make most of the time that this takes.
        let nested = index % 10 == 0;
        code.push_str(if nested {
            " \"$(printf '%s.' ${{x}} \"${{x}}\")\" \"${none:-${{x}}}\" ${none:-${{x}}}\n"
        } else {
            "\n"
        });
        holes.extend(std::iter::repeat_n(value.clone(), if nested { 9 } else { 5 }));
        let it = value.to_bytes();
        let around = |before: &[u8], after: &[u8]| [before, &it, after].concat();
        let mut words = vec![it.clone(), around(b"a", b"b"), around(b"a\"", b"\"b"), [b"a", &it[..], &it[..]].concat()];
        if nested {
            words.extend([[&it[..], b".", &it[..], b"."].concat(), it.clone(), it.clone()]);
        }
        for word in words {
            expected.extend(word);
            expected.push(0);
        }
        document.push_str("${{x}} 'a' \"${{x}}\"\n");
        last.extend([&it[..], b" 'a' \"", &it[..], b"\"\n"].concat());
    }
    holes.extend(values.iter().flat_map(|value| [value.clone(), value.clone()]));
    expected.extend(last);
    (code + &document + "EOF\n", holes, expected)
}

#[test]
fn ten_thousand_values_arrive_byte_for_byte_through_every_quoting() {
    let values = values(10_000);
    for shell in shells() {
        for some in values.chunks(500) {
            let (code, holes, expected) = tour(some);
            let output = launch(&shell, &code, &holes);
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", shell.name);
            let at = output.stdout.iter().zip(&expected).take_while(|(found, wanted)| found == wanted).count();
            let near = |bytes: &[u8]| bytes[at.min(bytes.len())..].iter().take(40).copied().collect::<Vec<u8>>();
            assert!(output.stdout == expected, "{}: {:?} for {:?}", shell.name, near(&output.stdout), near(&expected));
        }
    }
}

#[test]
fn ten_thousand_values_arrive_in_python_with_their_type() {
    for some in values(10_000).chunks(500) {
        let (mut code, mut expected) = ("import sys\nout = sys.stdout.buffer\n".to_owned(), Vec::new());
        for value in some {
            code.push_str("v = ${{x}}; out.write((v if type(v) is bytes else v.encode()) + b'\\0')\n");
            expected.extend(value.to_bytes());
            expected.push(0);
        }
        let output = launch(&python(), &code, some);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(output.stdout == expected);
    }
}

#[test]
fn what_is_too_long_for_an_argument_arrives_as_well() {
    let long = Value::Text("it's \"a\" $(b)\n".repeat(15_000).into());
    let bytes: Arc<[u8]> = (1..=255).cycle().take(200_000).collect();
    let few = [long.clone(), Value::Bytes(bytes), Value::Text("short".into())];
    let padding = format!("# {}\n", "comment ".repeat(20_000));
    for shell in shells() {
        for before in ["", &padding] {
            let (code, holes, expected) = tour(&few);
            let output = launch(&shell, &format!("{before}{code}"), &holes);
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", shell.name);
            assert!(output.stdout == expected, "{}", shell.name);
        }
    }
    for before in ["", &padding] {
        let code = format!("{before}import sys\nsys.stdout.write(${{{{x}}}})");
        assert!(launch(&python(), &code, std::slice::from_ref(&long)).stdout == long.to_bytes());
    }
}
