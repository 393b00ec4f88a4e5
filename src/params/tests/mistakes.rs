//! What is wrong with a file is told in that file, at its line and column.

use std::fmt::Write as _;

use super::read;

/// Each file, and what it is told.
fn all(files: &[&str]) -> String {
    let mut all = String::new();
    for text in files {
        all += text;
        for line in read(&[("a.yaml", text)], 1).2.lines() {
            let _ = writeln!(all, "    {line}");
        }
    }
    all
}

#[test]
fn what_is_no_yaml_is_told_where_it_stands() {
    insta::assert_snapshot!(all(&[
        "a: 1\nb: [1, 2\n",
        "a: 'x\n",
        "a: b: c\n",
        "a:\n\t- 1\n",
        "a: \"\\d\"\n",
        "a: 1\n b: 2\n",
        "a: @x\n",
        "a: *x\n",
        "a: 1\n---\nb: 2\n",
        "a: &x [*x]\n",
    ]), @r#"
    a: 1
    b: [1, 2
        a.yaml:2:4: error[MS014]: this `[` is not closed
    a: 'x
        a.yaml:1:4: error[MS014]: the quote is not closed
    a: b: c
        a.yaml:1:5: error[MS014]: a colon cannot stand here
    a:
    	- 1
        a.yaml:2:2: error[MS014]: a tab cannot indent
    a: "\d"
        a.yaml:1:4: error[MS014]: while parsing a quoted scalar, found unknown escape character
    a: 1
     b: 2
        a.yaml:2:3: error[MS014]: a colon cannot stand here
    a: @x
        a.yaml:1:4: error[MS014]: a value cannot start with `@`
    a: *x
        a.yaml:1:4: error[MS014]: no node has this anchor
    a: 1
    ---
    b: 2
        a.yaml:2:1: error[MS014]: a parameter file is one document, and here starts another
    a: &x [*x]
        a.yaml:1:8: error[MS014]: this alias stands inside what it stands for
    "#);
}

#[test]
fn an_include_that_leads_nowhere_is_told_where_it_stands() {
    insta::assert_snapshot!(all(&[
        "!include :\nb: 1\n",
        "!include: b.yaml\n",
        "!include : b.yaml\n",
        "!include : a.yaml\n",
        "!include :\n",
        "!incldue : a.yaml\n",
        "a: !include b.yaml\n",
    ]), @r#"
    !include :
    b: 1
        a.yaml:1:1: error[MS008]: `!include` takes the path of a file
    !include: b.yaml
        a.yaml:1:1: error[MS004]: there is no tag `!include:`
    !include : b.yaml
        a.yaml:1:12: error[MS111]: `b.yaml` cannot be read: no such file
    !include : a.yaml
        a.yaml:1:12: error[MS112]: this include leads back to itself
    !include :
        a.yaml:1:1: error[MS008]: `!include` takes the path of a file
    !incldue : a.yaml
        a.yaml:1:1: error[MS004]: there is no tag `!incldue`
    a: !include b.yaml
        a.yaml:1:4: error[MS001]: `!include` cannot stand here
    "#);
}

#[test]
fn what_means_nothing_is_told_where_it_stands() {
    insta::assert_snapshot!(all(&[
        "a: 1\nb: 2\na: 3\n",
        "!mux : a.yaml\n",
        "a: !mux x\n",
        "a: [!mux {b: 1}]\n",
        "a: !!int x\n",
        "a: !!set {x}\n",
        "!using : /\nb: 1\n",
        "!using : /a\n!using : /b\nb: 1\n",
        "!remove_node : (\n",
        "- a\n- b\n",
        "hello\n",
        "? [a, b]\n: c\n",
        "<<: 4\n",
        "a: {<<: [{b: 1}, c]}\n",
    ]), @r#"
    a: 1
    b: 2
    a: 3
        a.yaml:3:1: error[MS104]: the key `a` stands here twice
    !mux : a.yaml
        a.yaml:1:1: error[MS001]: `!mux` cannot stand here
    a: !mux x
        a.yaml:1:9: error[MS008]: names with their values stand in a node, and this is text
    a: [!mux {b: 1}]
        a.yaml:1:5: error[MS001]: `!mux` cannot stand here
    a: !!int x
        a.yaml:1:4: error[MS008]: `x` is no `!!int`
    a: !!set {x}
        a.yaml:1:4: error[MS004]: there is no tag `!!set`
    !using : /
    b: 1
        a.yaml:1:10: error[MS008]: `!using` takes a path in the tree
    !using : /a
    !using : /b
    b: 1
        a.yaml:2:1: error[MS007]: `!using` stands once in a node
    !remove_node : (
        a.yaml:1:16: error[MS008]: this is no regex: unclosed group
    - a
    - b
        a.yaml:1:1: error[MS008]: names with their values stand in a node, and this is a list
    hello
        a.yaml:1:1: error[MS008]: names with their values stand in a node, and this is text
    ? [a, b]
    : c
        a.yaml:1:3: error[MS008]: a name is text
    <<: 4
        a.yaml:1:5: error[MS008]: `<<` takes a map, or a list of maps: `<<: *defaults`
    a: {<<: [{b: 1}, c]}
        a.yaml:1:18: error[MS008]: `<<` takes a map, or a list of maps: `<<: *defaults`
    "#);
}
