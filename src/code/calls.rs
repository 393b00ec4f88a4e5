//! What an author sees of how code is called: places in messages, statuses, types, what is held and what is refused.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use insta::assert_snapshot;

use super::contexts::text;
use super::journey::{both, interpreter, launch, python, run, shells};
use super::{Command, Dialect, Interpreter, Launch, command, embed};
use crate::syntax::Value;

fn shell(name: &str) -> Interpreter {
    interpreter(Dialect::Shell, &[name])
}

fn value(text: &str) -> Value {
    Value::Text(text.into())
}

fn refusal(interpreter: &Interpreter, launch: Launch<'_>) -> String {
    command(interpreter, launch).unwrap_err()
}

#[test]
fn a_shell_names_the_scenario_and_its_line() {
    assert_snapshot!(both(&launch(&shell("dash"), "x=1\n\nno-such-program", &[])), @"
    deploy.ms: 43: no-such-program: not found
    status 127
    ");
    assert_snapshot!(both(&launch(&shell("bash"), "x=1\n\nno-such-program", &[])), @"
    deploy.ms: line 43: no-such-program: command not found
    status 127
    ");
    assert_snapshot!(both(&launch(&shell("dash"), "x=1\nif", &[])), @r#"
    deploy.ms: 42: Syntax error: end of file unexpected (expecting "then")
    status 2
    "#);
    let long = format!("# {}\nno-such-program ${{{{x}}}}", "c".repeat(200_000));
    assert_snapshot!(both(&launch(&shell("dash"), &long, &[value("1")])), @"
    deploy.ms: 42: eval: no-such-program: not found
    status 127
    ");
    assert_snapshot!(both(&launch(&shell("bash"), &long, &[value("1")])), @"
    deploy.ms: line 42: no-such-program: command not found
    status 127
    ");
    let far = Launch { text: "\nno-such-program", file: "deploy.ms", line: 7_000, ..Launch::default() };
    assert_snapshot!(both(&run(&command(&shell("dash"), far).unwrap())), @"
    deploy.ms:7000+: 2: no-such-program: not found
    status 127
    ");
}

#[test]
fn a_value_is_no_pattern_and_starts_nothing() {
    let code = "a='*x[b]' b=y*x\n\
        printf '<%s>' \"${a#${{star}}}\" \"${b%${{star}}}\" ${a#${{star}}} \"$(printf %s \"${none:-${{run}}}\")\"\n\
        case abc in ${{star}}) echo matched;; *) echo other;; esac";
    for shell in shells() {
        let star = || value("*");
        let output = launch(&shell, code, &[star(), star(), star(), value("$(echo ran)"), star()]);
        assert_eq!(both(&output), "<x[b]><y*x><x[b]><$(echo ran)>other\nstatus 0", "{}", shell.name);
    }
}

#[test]
fn python_shows_its_errors_where_they_stand() {
    assert_snapshot!(unmarked(&launch(&python(), "def f(x):\n    return 1 / x\n\nf(${{x}})", &[Value::Int(0)])), @r#"
    Traceback (most recent call last):
      File "deploy.ms", line 44, in <module>
        f(__mstream__[0])
      File "deploy.ms", line 42, in f
        return 1 / x
    ZeroDivisionError: division by zero
    status 1
    "#);
    assert_snapshot!(unmarked(&launch(&python(), "x = 1\nreturn x", &[])), @r#"
      File "deploy.ms", line 42
        return x
    SyntaxError: 'return' outside function
    status 1
    "#);
    assert_snapshot!(unmarked(&launch(&python(), "try:\n    1 / 0\nexcept ZeroDivisionError:\n    f()", &[])), @r#"
    Traceback (most recent call last):
      File "deploy.ms", line 42, in <module>
        1 / 0
    ZeroDivisionError: division by zero

    During handling of the above exception, another exception occurred:

    Traceback (most recent call last):
      File "deploy.ms", line 44, in <module>
        f()
    NameError: name 'f' is not defined
    status 1
    "#);
}

/// The output without the marks under a piece of a line, which each version of Python puts differently.
fn unmarked(output: &std::process::Output) -> String {
    let text = both(output);
    let marks = |line: &&str| line.trim().is_empty() || !line.trim().chars().all(|c| matches!(c, '~' | '^'));
    text.lines().filter(marks).collect::<Vec<_>>().join("\n")
}

#[test]
fn python_code_runs_as_a_program_of_its_own() {
    let code = "from __future__ import annotations\n\
        import os, sys\n\
        print(__name__, sys.argv, [name for name in globals() if 'ms' in name or name in ('main', 'json')])\n\
        print([name for name in os.environ if name.startswith('MS_')])\n\
        class A:\n    b = ${{x}}\n\
        print((lambda: A.b + ${{x}})())\n\
        sys.exit(7)";
    let output = launch(&python(), code, &[Value::Int(1), Value::Int(2)]);
    assert_snapshot!(both(&output), @"
    __main__ ['deploy.ms'] ['__mstream__']
    []
    3
    status 7
    ");
    assert_snapshot!(both(&launch(&python(), "import sys\nsys.exit('no')", &[])), @"
    no
    status 1
    ");
}

#[test]
fn python_values_have_their_own_types() {
    let map = IndexMap::from([(Arc::from("kind"), Value::Bytes([0, 255].into())), (Arc::from("n"), Value::Null)]);
    let list = [Value::Bool(true), Value::Float(1.0), Value::Float(f64::INFINITY), value("a\0b\u{1f980}")];
    let values = [
        Value::Null,
        Value::Int(-3),
        Value::Size(65_536),
        Value::Duration(Duration::from_millis(1_500)),
        Value::Regex("a+".into()),
        Value::List(list.into()),
        Value::Map(map.into()),
    ];
    let code = "for v in (${{a}}, ${{b}}, ${{c}}, ${{d}}, ${{e}}, ${{f}}, ${{g}}):\n    print(ascii(v))";
    assert_snapshot!(both(&launch(&python(), code, &values)), @r#"
    None
    -3
    65536
    1.5
    'a+'
    [True, 1.0, inf, 'a\x00b\U0001f980']
    {'kind': b'\x00\xff', 'n': None}
    status 0
    "#);
}

#[test]
fn what_is_held_runs_only_once_it_is_released() {
    let words = [value("printf"), value("[%s]"), value("a b")];
    let exec = interpreter(Dialect::Exec, &[]);
    let other = interpreter(Dialect::Other, &["sed", "s/^/> /"]);
    let cases = [
        (shell("dash"), "printf '[%s]' 'a b' >&1", &[][..], "[a b]"),
        (shell("bash"), "printf '[%s]' 'a b' $MS_GO", &[], "[a b]"),
        (python(), "print(\"[a b]\", end=\"\")", &[], "[a b]"),
        (exec, "", &words, "[a b]"),
        (other, "a\nb\n", &[], "> a\n> b\n"),
    ];
    for (interpreter, text, values, expected) in cases {
        let launch =
            Launch { text, values, file: "deploy.ms", line: 1, staged: true, strict: true, ..Launch::default() };
        let command = command(&interpreter, launch).unwrap();
        assert_eq!(both(&run(&command)), format!("{expected}status 0"), "{}", interpreter.name);
        assert_eq!(alone(&command), "status 125", "{}", interpreter.name);
    }
}

/// What a held command does when the one who would release it has gone.
fn alone(command: &Command) -> String {
    let mut process = std::process::Command::new("dash");
    process.args(["-c", "exec 8</dev/null </dev/null; exec \"$@\"", "dash"]);
    process.args(command.argv.iter().map(|word| super::journey::os(word)));
    process.envs(command.env.iter().map(|(name, value)| (&**name, super::journey::os(value))));
    both(&process.output().unwrap())
}

#[test]
fn held_code_keeps_its_lines() {
    for (name, line, expected) in [
        ("dash", 1, "deploy.ms: 2: no-such-program: not found\nstatus 127"),
        ("dash", 9, "deploy.ms: 10: no-such-program: not found\nstatus 127"),
        ("bash", 9, "deploy.ms: line 10: no-such-program: command not found\nstatus 127"),
    ] {
        let text = "# code\nno-such-program";
        let launch = Launch { text, file: "deploy.ms", line, staged: true, ..Launch::default() };
        assert_eq!(both(&run(&command(&shell(name), launch).unwrap())), expected);
    }
}

#[test]
fn code_that_looks_like_an_option_is_code() {
    for interpreter in shells() {
        let launch = Launch { text: "-x 2>/dev/null || echo ran", file: "a.ms", line: 1, ..Launch::default() };
        assert_eq!(both(&run(&command(&interpreter, launch).unwrap())), "ran\nstatus 0", "{}", interpreter.name);
    }
}

#[test]
fn exec_takes_each_value_as_one_argument() {
    let exec = interpreter(Dialect::Exec, &[]);
    let argv = |values: &[Value]| command(&exec, Launch { values, ..Launch::default() }).unwrap().argv;
    let words = vec![value("echo"), value("a b"), Value::Int(3), value("")];
    let expected = [&b"echo"[..], b"a b", b"3", b""];
    assert_eq!(argv(&words), expected);
    assert_eq!(argv(&[Value::List(words.into())]), expected);
}

fn values(values: &[Value]) -> Launch<'_> {
    Launch { values, ..Launch::default() }
}

#[test]
fn what_cannot_travel_is_refused_in_words() {
    let exec = interpreter(Dialect::Exec, &[]);
    assert_snapshot!(refusal(&exec, values(&[])), @"`exec` needs a program, and its list is empty");
    assert_snapshot!(refusal(&exec, values(&[value("")])), @"`exec` needs a program, and its name is empty");
    assert_snapshot!(refusal(&exec, values(&[value("echo"), value("a\0")])), @"argument 1 holds a NUL byte, which no argument or variable can: use a file");
    assert_snapshot!(refusal(&exec, values(&[value("echo"), value(&"a".repeat(200_000))])), @"argument 1 is 200000 bytes long, and at most 102400 can travel this way: use a file");
    assert_snapshot!(refusal(&shell("sh"), values(&[value("a\0")])), @"the value of hole 1 holds a NUL byte, which a shell cannot take: use a file");
    let env = |name: &str, value: &[u8]| Launch { env: vec![(name.into(), value.to_vec())], ..Launch::default() };
    assert_snapshot!(refusal(&shell("sh"), env("A", b"a\0")), @"the environment variable `A` holds a NUL byte, which no argument or variable can: use a file");
    assert_snapshot!(refusal(&shell("sh"), env("A=B", b"a")), @"`A=B` cannot be the name of an environment variable");
    assert_snapshot!(refusal(&shell("sh"), Launch { text: "a\0", ..Launch::default() }), @"the code holds a NUL character, which no interpreter takes");
    let perl = interpreter(Dialect::Other, &["perl", "-"]);
    assert_snapshot!(refusal(&perl, Launch { stdin: Some(Vec::new()), ..Launch::default() }), @"`perl` reads its code from stdin, so it takes no `stdin`");
}

#[test]
fn options_travel_beside_the_code() {
    let code = embed(Dialect::Shell, &text("cat; printf '%s %s' \"$A\" ${{x}}")).unwrap();
    let launch = Launch {
        text: &code,
        values: &[value("x")],
        env: vec![("A".into(), b"a".to_vec())],
        stdin: Some(b"in ".to_vec()),
        ..Launch::default()
    };
    assert_eq!(both(&run(&command(&shell("sh"), launch).unwrap())), "in a xstatus 0");
}
