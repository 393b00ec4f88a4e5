//! Texts that nobody writes: they must never panic, hang or cost more than their length.

use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::parsed;

/// Pieces that are likely to meet in a mistake.
const PIECES: &[&str] = &[
    "on a {\n",
    "}\n",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    "```\n",
    "````\n",
    "```",
    "shell ```\n",
    "$ x\n",
    "$ x }\n",
    "${{",
    "}}",
    "$${{",
    "\"",
    "'",
    "/",
    "\\",
    "#",
    "# ms: allow[MS213]\n",
    "\n",
    "\r\n",
    " ",
    "\t",
    ",",
    "=",
    "==",
    "..",
    ".",
    "-",
    "1",
    "1h",
    "9e999",
    "x",
    "stream ",
    "streams ",
    "param ",
    "task t(",
    "barrier b parties ",
    "finally {",
    "if ",
    "else ",
    "for i in ",
    "retry(",
    "let x = ",
    "not ",
    "and ",
    "or ",
    "in ",
    "exec [",
    "shell(",
    "scenario ",
    "except ",
    "all",
    "<<<<<<< a\n",
    "=======\n",
    ">>>>>>> b\n",
    "\u{feff}",
    "\u{202e}",
    "é",
    "👨\u{200d}👩",
    "\u{a0}",
    "\0",
];

fn soup(length: usize) -> impl Strategy<Value = String> {
    vec(select(PIECES), 0..length).prop_map(|pieces| pieces.concat())
}

/// The text is read; every place is in it, on character boundaries, and in order.
fn is_sound(text: &str) {
    let (sources, file, problems) = parsed(text);
    let mut last = 0;
    for problem in &problems {
        let others = problem.others.iter().map(|other| other.span);
        for span in others.chain([problem.span]) {
            assert!(text.get(span.range()).is_some(), "{text:?}: {problem:?}");
        }
        assert!(problem.span.start >= last, "{text:?}: {problem:?} is out of order");
        last = problem.span.start;
        assert!(
            !crate::diagnostic::render(std::slice::from_ref(problem), &sources, crate::diagnostic::Form::Concise)
                .is_empty()
        );
    }
    drop(file);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        is_sound(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_pieces(text in soup(60)) {
        is_sound(&text);
    }

    #[test]
    fn any_pieces_in_a_block(text in soup(30)) {
        is_sound(&format!("on a {{\n  {text}\n}}\nstream b\n"));
    }
}

/// Pieces that cost much when they are repeated, were something not linear.
const NASTY: &[&str] = &[
    "shell ```\n",
    "shell ```\n}\n",
    "exec [\n",
    "a,\n",
    "x(",
    "x[",
    "{a=",
    "[(",
    "not ",
    "x or ",
    "x.",
    "\"${{",
    "\"${{\"",
    "$ ${{\n",
    "on a {",
    "on a {\n",
    "if x {\n",
    "} else if x {\n",
    "else {\n",
    "@\n",
    "barier x\n",
    "x = [\n",
    "\\",
    "\"\n",
    "'",
    "/x",
    "# ",
    " ",
    "\n",
    "}",
    "} #",
    " }",
    "<<<<<<< \n",
    "<<<<<<<\n=======\n",
    "\u{202e}",
    "\u{202e}\n",
    "# ms: allow[a]\n",
    "```\n",
    "````\nshell ```\n",
    "shell(\n",
    "let x = {\n",
    "on a, ",
    "on a\n",
    "foo {\n",
    "shell ``` {\n",
    "a \"",
    "1..",
    "exec(a = exec(a = ",
];

/// 64 KiB of each piece: a tenth of a second in release; here, unoptimised and beside other tests, only growth out of
/// proportion is caught.
fn is_read_in_time(head: &str) {
    const BYTES: usize = 64 << 10;
    const BOUND: Duration = Duration::from_secs(4);
    for piece in NASTY {
        let text = format!("{head}{}", piece.repeat(BYTES / piece.len()));
        let before = SystemTime::now();
        is_sound(&text);
        let took = before.elapsed().unwrap_or_default();
        assert!(took < BOUND, "64 KiB of {piece:?} behind {head:?} took {took:?}");
    }
}

#[test]
fn nasty_repetition_at_the_top_is_read_in_time() {
    is_read_in_time("");
}

#[test]
fn nasty_repetition_in_a_value_is_read_in_time() {
    is_read_in_time("on a {\n  let x = ");
}
