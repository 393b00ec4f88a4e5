//! Code: lines, blocks on one line, strings, fences.

use super::{statement, tree};

fn line(text: &str) -> String {
    tree(text).trim_start_matches("(on [a] ").to_owned()
}

#[test]
fn a_line_of_code_is_the_rest_of_the_line() {
    assert_eq!(statement("$ echo a # b } \"c"), r#"(shell $"echo a # b } \"c")"#);
    assert_eq!(statement("$\ttrue  "), r#"(shell $"true")"#);
    assert_eq!(statement("$ { a; b; }"), r#"(shell $"{ a; b; }")"#);
    assert_eq!(statement("$ echo $$${{x}} ${{y}}"), r#"(shell $"echo $${{x}} "+<y>)"#);
    assert_eq!(statement("$ echo ${x} $(y) {{z}} \\"), r#"(shell $"echo ${x} $(y) {{z}} \\")"#);
    assert_eq!(tree("on a {\r\n  $ x\r\n}\r\n"), r#"(on [a] (shell $"x"))"#);
}

#[test]
fn a_block_on_one_line_ends_before_its_last_brace() {
    assert_eq!(line("on a { $ nc -z x }"), r#"(shell $"nc -z x"))"#);
    assert_eq!(line("on a { $ nc -z x }  # why }"), r#"(shell $"nc -z x"))"#);
    assert_eq!(line("on a { $ echo a # b }"), r#"(shell $"echo a # b"))"#);
    assert_eq!(line("on a { $ { a; b; } }"), r#"(shell $"{ a; b; }"))"#);
    assert_eq!(line("on a { $ awk '{ print $1 }' }"), r#"(shell $"awk '{ print $1 }'"))"#);
    assert_eq!(line("on a { $ echo ${#x} }"), r#"(shell $"echo ${#x}"))"#);
    assert_eq!(line("on a { finally { $ rm x } }"), r#"(finally (shell $"rm x")))"#);
    assert_eq!(line("on a { finally { $ { rm x; } } } # why"), r#"(finally (shell $"{ rm x; }")))"#);
    assert_eq!(line("on a { $ x\n $ y\n}"), r#"(shell $"x") (shell $"y"))"#);
    assert_eq!(line("on a { if b { $ x } else { $ y } }"), r#"(if b (shell $"x") else (shell $"y")))"#);
}

#[test]
fn code_in_strings_and_lists() {
    assert_eq!(statement("shell \"a ${{b}}\""), r#"(shell "a "+<b>)"#);
    assert_eq!(statement("python 'print(\"x\\n\")'"), r#"(python raw"print(\"x\\n\")")"#);
    assert_eq!(statement("exec [\"ddos\", server.host]  # no shell"), r#"(exec ["ddos", server.host])"#);
    assert_eq!(statement("exec(timeout = 5s) [\n  'a',\n  'b',\n]"), r#"(exec timeout=5s ["a", "b"])"#);
    assert_eq!(statement("perl(env = { A = b }) 'print'"), r#"(perl env={A=b} raw"print")"#);
}

#[test]
fn fences_lose_the_indentation_that_their_lines_share() {
    assert_eq!(statement("shell ```\n    a\n\n      b\n  ```"), r#"(shell fenced4"a\n\n  b\n")"#);
    assert_eq!(statement("shell ```\n\ta\r\n\t\tb\r\n\t```"), r#"(shell fenced1"a\n\tb\n")"#);
    assert_eq!(statement("shell ````\n  ```\n  a\n  ```\n  ````"), r#"(shell fenced2"```\na\n```\n")"#);
    assert_eq!(
        statement("shell(timeout = 1s) ```  \n  a ${{b}}}\n  $${{c}}\n  ```"),
        r#"(shell timeout=1s fenced2"a "+<b>+"}\n${{c}}\n")"#
    );
    assert_eq!(statement("shell ```\n  ```"), "(shell fenced)");
    assert_eq!(tree("on a {\n  shell ```\nx\n```\n}\n"), "(on [a] (shell fenced\"x\\n\"))");
}
