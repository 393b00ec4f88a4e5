//! What a hole becomes in each context, as a table: the code, and what is made of it or where it is refused.

use proptest::prelude::*;

use super::{Dialect, embed};
use crate::diagnostic::{FileId, Span};
use crate::syntax::ast::{Expr, ExprKind, Piece, Text, TextForm};

/// A text with `${{name}}` for holes, as the parser gives it.
pub(super) fn text(code: &str) -> Text {
    let span = |from: usize, to: usize| Span::new(FileId(0), from..to);
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(start) = code[at..].find("${{").map(|found| at + found) {
        let Some(end) = code[start..].find("}}").map(|found| start + found) else { break };
        let name = code[start + 3..end].trim();
        let expr = Expr { kind: ExprKind::Name(name.into()), span: span(start + 3, end) };
        if start > at {
            pieces.push(Piece::Literal(code[at..start].into()));
        }
        pieces.push(Piece::Hole(Box::new(expr), span(start, end + 2)));
        at = end + 2;
    }
    if at < code.len() {
        pieces.push(Piece::Literal(code[at..].into()));
    }
    Text { pieces: pieces.into_iter().collect(), span: span(0, code.len()), form: TextForm::Fenced, indent: 0 }
}

/// The code that comes out, or each refusal with the byte at which its hole starts.
fn outcome(dialect: Dialect, code: &str) -> String {
    match embed(dialect, &text(code)) {
        Ok(code) => code.to_string(),
        Err(wrong) => {
            let place = |message: &str| message.rsplit_once("safely ").unwrap().1.to_owned();
            let lines = wrong.iter().map(|it| format!("{} {} {}", it.code, it.span.start, place(&it.message)));
            lines.collect::<Vec<_>>().join("; ")
        }
    }
}

fn table(dialect: Dialect, rows: &[(&str, &str)]) {
    for (code, expected) in rows {
        assert_eq!(outcome(dialect, code), *expected, "for the code: {code}");
    }
}

#[test]
fn in_a_shell_a_reference_fits_the_quoting_around_it() {
    table(
        Dialect::Shell,
        &[
            ("echo ${{x}}", r#"echo "$MS_1""#),
            ("echo ${{x}}y-${{y}}", r#"echo "$MS_1"y-"$MS_2""#),
            ("echo a${{x}}${{y}}", r#"echo a"$MS_1""$MS_2""#),
            (r#"echo "a ${{x}}1""#, r#"echo "a ${MS_1}1""#),
            ("awk '{ print ${{x}} }'", r#"awk '{ print '"$MS_1"' }'"#),
            (r#"echo "$(f ${{x}} "${{y}}" '${{z}}')""#, r#"echo "$(f "$MS_1" "${MS_2}" ''"$MS_3"'')""#),
            (r#"x=${{x}} y="${{y}}" f"#, r#"x="$MS_1" y="${MS_2}" f"#),
            ("a=(${{x}} 'b')", r#"a=("$MS_1" 'b')"#),
            (r#"echo \" ${{x}} \\${{y}}"#, r#"echo \" "$MS_1" \\"$MS_2""#),
            (r#"echo "\\${{x}}" '\${{y}}'"#, r#"echo "\\${MS_1}" '\'"$MS_2"''"#),
            ("f # it's ${{x}}\ng ${{y}}", "f # it's \"$MS_1\"\ng \"$MS_2\""),
            ("f a#'b ${{x}}'", r#"f a#'b '"$MS_1"''"#),
            ("f $# ${#a} '${{x}}'", r#"f $# ${#a} ''"$MS_1"''"#),
            ("f $$${{x}} > ${{y}} <<< ${{z}}", r#"f $$"$MS_1" > "$MS_2" <<< "$MS_3""#),
            ("diff <(f ${{x}}) <(g)", r#"diff <(f "$MS_1") <(g)"#),
            ("f $(( 1 + (2) )) ${{x}}", r#"f $(( 1 + (2) )) "$MS_1""#),
            ("f `g '\"` ${{x}}", "f `g '\"` \"$MS_1\""),
            ("( (f ${{x}}) )", r#"( (f "$MS_1") )"#),
            ("f() { case $1 in a) g ${{x}};; esac; }", r#"f() { case $1 in a) g "$MS_1";; esac; }"#),
        ],
    );
}

#[test]
fn in_a_shell_a_reference_fits_the_parameter_around_it() {
    table(
        Dialect::Shell,
        &[
            ("f ${a:-${{x}}} ${{y}}", r#"f ${a:-"$MS_1"} "$MS_2""#),
            (r#"f "${a:-${{x}}}" ${{y}}"#, r#"f "${a:-${MS_1}}" "$MS_2""#),
            (r#"f "${a:-'b' ${{x}}}""#, r#"f "${a:-'b' ${MS_1}}""#),
            (r#"f ${a#${{x}}} "${a%%${{y}}}""#, r#"f ${a#"$MS_1"} "${a%%"$MS_2"}""#),
            ("f ${a:-$(g '${{x}}')}", r#"f ${a:-$(g ''"$MS_1"'')}"#),
            ("f ${a[0]:-${{x}}}", r#"f ${a[0]:-"$MS_1"}"#),
            (r#"f "${a#"b"}" '${{x}}'"#, r#"f "${a#"b"}" ''"$MS_1"''"#),
        ],
    );
}

#[test]
fn in_a_shell_a_case_does_not_end_the_parentheses_around_it() {
    table(
        Dialect::Shell,
        &[
            (
                r#"x="$(case $a in ${{x}}) f ${{y}};; (b|c) g '${{z}}' ;; esac)" h ${{w}}"#,
                r#"x="$(case $a in "$MS_1") f "$MS_2";; (b|c) g ''"$MS_3"'' ;; esac)" h "$MS_4""#,
            ),
            (
                "x=\"$(case in in\n  in) f\n    ;;\n  *) if a; then case b in c) d ${{x}} ;; esac; fi\nesac)${{y}}\"",
                "x=\"$(case in in\n  in) f\n    ;;\n  *) if a; then case b in c) d \"$MS_1\" ;; esac; fi\nesac)${MS_2}\"",
            ),
            (r#"x="$(echo case in)${{x}}""#, r#"x="$(echo case in)${MS_1}""#),
        ],
    );
}

#[test]
fn in_a_shell_a_reference_fits_the_here_document_around_it() {
    table(
        Dialect::Shell,
        &[
            ("cat <<EOF\n\"it's ${{x}}\nEOF\nf ${{y}}", "cat <<EOF\n\"it's ${MS_1}\nEOF\nf \"$MS_2\""),
            ("cat <<-EOF ${{x}}\n\tEOF\n\tf ${{y}}", "cat <<-EOF \"$MS_1\"\n\tEOF\n\tf \"$MS_2\""),
            ("cat <<EOF\n\tEOF\n${{x}}\nEOF\n", "cat <<EOF\n\tEOF\n${MS_1}\nEOF\n"),
            ("cat << 'E F'\n$( \" '\nE F\nf ${{x}}", "cat << 'E F'\n$( \" '\nE F\nf \"$MS_1\""),
            (
                "cat <<A <<\"B\"; f ${{x}}\n${{y}}\nA\n'\nB\n${{z}}",
                "cat <<A <<\"B\"; f \"$MS_1\"\n${MS_2}\nA\n'\nB\n\"$MS_3\"",
            ),
            ("cat <<E\n$(f ${{x}}) ${a:-${{y}}}\nE\n", "cat <<E\n$(f \"$MS_1\") ${a:-${MS_2}}\nE\n"),
            ("x=$(cat <<E\n)\" ${{x}}\nE\n) f ${{y}}", "x=$(cat <<E\n)\" ${MS_1}\nE\n) f \"$MS_2\""),
            ("cat <<E\na\\\nE\n${{x}}\nE\n${{y}}", "cat <<E\na\\\nE\n${MS_1}\nE\n\"$MS_2\""),
            ("f $((1<<2))\n'${{x}}'", "f $((1<<2))\n''\"$MS_1\"''"),
        ],
    );
}

#[test]
fn in_a_shell_a_hole_is_refused_where_no_reference_is_safe() {
    table(
        Dialect::Shell,
        &[
            ("cat <<'E'\n${{x}}\nE\nf ${{y}}", "MS304 10 in a here-document with a quoted delimiter"),
            ("cat <<\\E\n${{x}}\nE", "MS304 9 in a here-document with a quoted delimiter"),
            ("cat <<${{x}}\n'${{y}}", "MS304 6 in the delimiter of a here-document"),
            ("cat <<-E${{x}}", "MS304 8 in the delimiter of a here-document"),
            ("f `g ${{x}}` \"`h ${{y}}`\"", "MS304 5 between backticks; MS304 17 between backticks"),
            ("f $(( ${{x}} + 1 )) ${{y}}", "MS304 6 in arithmetic"),
            ("f $(( \"${{x}}\" ))", "MS304 7 in arithmetic"),
            ("f $(( ${a:-${{x}}} )) $[ a[1] + ${{y}} ]", "MS304 11 in arithmetic; MS304 32 in arithmetic"),
            (
                "((a < ${{x}}))\nfor ((i = 0; i < ${{y}}; i++)); do f; done",
                "MS304 6 in arithmetic; MS304 32 in arithmetic",
            ),
            ("f $(( $(g ${{x}}) ))", r#"f $(( $(g "$MS_1") ))"#),
            ("[[ ${{x}} -eq 1 ]]", "MS304 3 in a comparison of numbers in `[[ ]]`"),
            ("[[ a && $b -lt \"${{x}}\" ]]", "MS304 16 in a comparison of numbers in `[[ ]]`"),
            ("[[ ( ${{x}} -eq 1 ) ]]", "MS304 5 in a comparison of numbers in `[[ ]]`"),
            ("[[ `f ${{x}}` -eq 1 ]]", "MS304 6 between backticks"),
            ("[[ -v ${{x}} ]]", "MS304 6 in a subscript"),
            ("[[ ${{x}} == a* ]] && [ ${{y}} -eq 1 ]", r#"[[ "$MS_1" == a* ]] && [ "$MS_2" -eq 1 ]"#),
            ("a[${{x}}]=1; b=([${{y}}]=2)", "MS304 2 in a subscript; MS304 17 in a subscript"),
            ("let a=${{x}}; declare -i b=${{y}}", "MS304 6 in arithmetic; MS304 27 in arithmetic"),
            ("[ -v ${{x}} ]; unset ${{y}}", "MS304 5 in a subscript; MS304 21 in the name of a variable"),
            (
                "printf -v ${{x}} a; export ${{y}}",
                "MS304 10 in the name of a variable; MS304 27 in the name of a variable",
            ),
            ("a=1 read -p ${{x}} ${{y}}", "MS304 19 in the name of a variable"),
            ("let a=1\nexport b=${{x}} c; f ${{y}}", "let a=1\nexport b=\"$MS_1\" c; f \"$MS_2\""),
            ("f ${a[${{x}}]}", "MS304 6 in a subscript"),
            ("f ${${{x}}} ${a${{y}}}", "MS304 4 in the name of a variable; MS304 15 in the name of a variable"),
            ("f ${a:${{x}}:1}", "MS304 6 in arithmetic"),
            ("f $'a${{x}}' ${{y}}", "MS304 5 in `$'...'`"),
            (
                r#"f "${a:-"${{x}}"}" "${a#'${{y}}'}""#,
                "MS304 9 in quotes within this `${...}`; MS304 25 in quotes within this `${...}`",
            ),
            (r#"f "${a:-'"'}" ${{x}}"#, "MS304 14 in quotes within this `${...}`"),
            (r#"f \${{x}} "\${{y}}""#, "MS304 3 after a backslash; MS304 12 after a backslash"),
            (r#"f $${{x}} "$${{y}}""#, "MS304 3 after a `$`; MS304 12 after a `$`"),
        ],
    );
}

#[test]
fn in_python_a_hole_is_an_expression_or_refused() {
    table(
        Dialect::Python,
        &[
            ("f(${{x}}, ${{y}})", "f(__mstream__[0], __mstream__[1])"),
            ("x = ${{x}}  # it's ${{y}}\ny = ${{z}}", "x = __mstream__[0]  # it's __mstream__[1]\ny = __mstream__[2]"),
            ("x = ${{x}}.y[${{z}}]", "x = __mstream__[0].y[__mstream__[1]]"),
            ("'''it's'''\nf(${{x}})", "'''it's'''\nf(__mstream__[0])"),
            (r"f('\'', r'\', ${{x}}')", "MS304 14 in a string"),
            (r#"f("a ${{x}}", ${{y}})"#, "MS304 5 in a string"),
            ("\"\"\"\na \"b\" ${{x}}\n\"\"\"\nf(${{y}})", "MS304 10 in a string"),
            (r#"f(f"a {${{x}}} {{${{y}}}}")"#, "MS304 17 in a string"),
            (r#"f(rf"{a[b"c":2]}{${{x}}:>3}")"#, r#"f(rf"{a[b"c":2]}{__mstream__[0]:>3}")"#),
            (r#"f(f"{a:>${{x}}}{b:>{${{y}}}}")"#, "MS304 8 in a format"),
            ("a${{x}} = 1", "MS304 1 as a part of a name or a number"),
            (
                "f(${{x}}b, a.${{y}})",
                "MS304 2 as a part of a name or a number; MS304 13 as a part of a name or a number",
            ),
            ("f(${{x}}${{y}})", "MS304 8 as a part of a name or a number"),
            ("f('a\n${{x}})", "f('a\n__mstream__[0])"),
        ],
    );
}

#[test]
fn elsewhere_a_hole_is_refused() {
    table(Dialect::Other, &[("print ${{x}}", "MS304 6 in the code of this interpreter"), ("print 1", "print 1")]);
}

#[test]
fn the_help_shows_what_to_write_instead() {
    let help = |dialect, code| embed(dialect, &text(code)).unwrap_err()[0].help.clone().unwrap();
    assert_eq!(
        help(Dialect::Shell, "f $(( ${{n}} ))"),
        "make sure that it is a number: `n=$(printf %d ${{n}})` before, and `$n` here"
    );
    assert_eq!(help(Dialect::Other, "f ${{n}}"), "give it the option `env = { N = n }`, and read `N` there");
    assert_eq!(
        help(Dialect::Python, "f('${{n}}')"),
        "write `n = ${{n}}` before, and `{n}` in an f-string here: `f\"...{n}...\"`"
    );
}

proptest! {
    #[test]
    fn any_code_is_read_to_its_end(parts in prop::collection::vec(prop::sample::select(PARTS), 0..60)) {
        let code = parts.concat();
        let text = text(&code);
        let holes = text.pieces.iter().filter(|piece| matches!(piece, Piece::Hole(..))).count();
        for dialect in [Dialect::Shell, Dialect::Python] {
            match embed(dialect, &text) {
                Ok(made) => prop_assert!(made.matches("MS_").count() + made.matches("__mstream__").count() == holes),
                Err(wrong) => prop_assert!((1..=holes).contains(&wrong.len())),
            }
        }
    }
}

const PARTS: &[&str] = &[
    "${{x}}", "'", "\"", "\\", "`", "$", "(", ")", "{", "}", "[", "]", "[[ ", " ]]", "<<", "-", "E", "\n", " ", "\t",
    ";;", "#", "case ", " in ", "esac", "((", "$((", "$(", "${", "a", "=", ":", "%", "-eq", "let ", "unset ", "f\"",
    "r'", "\"\"\"", "{{", "}}", "ß", "🦀", "\r", "&", "|", "<", ">", "!", "@", "0",
];
