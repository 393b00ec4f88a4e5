//! Mistakes: each is told, at its place, and hides nothing else.

use super::{concise, dump, parsed};

/// What is wrong with a text, a line each, and what could be read all the same.
fn mistakes(text: &str) -> String {
    let (sources, file, problems) = parsed(text);
    let problems = problems.iter().map(|problem| concise(problem, &sources));
    problems.chain([dump::file(&file)]).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_operator_of_another_language_is_recognized() {
    let told = |line: &str| {
        let (_, _, problems) = parsed(&format!("on a {{\n  {line}\n}}\n"));
        assert_eq!(problems.len(), 1, "{line}");
        problems[0].help.clone().unwrap_or_default().replace("the operator is written ", "")
    };
    for (line, help) in [
        ("expect x = 1", "`==`"),
        ("expect x === 1", "`==`"),
        ("expect x is 1", "`==`"),
        ("expect x <> 1", "`!=`"),
        ("expect x && y", "`and`"),
        ("expect x || y", "`or`"),
        ("expect !x", "`not`"),
        ("expect x not in [1]", "`not ... in`"),
        ("expect x =~ /a/", "`matches`"),
        ("expect x match /a/", "`matches`"),
        ("expect x includes \"a\"", "`contains`"),
        ("expect x !~ /a/", "`not ... matches`"),
        ("expect x contain 'a'", "`contains`"),
        ("if x = 1 { $ a }", "`==`"),
        ("shell(when = x = 1) 'a'", "`==`"),
        ("expect x nonsense 1", ""),
        ("let x = $ a", "`$` is a step of its own; the output of code is a value as `let x = shell \"...\"`"),
        ("start x = $ a", "`$` is a step of its own; code in the background is written `start x = shell \"...\"`"),
        ("prepare x $ a", "`$` is a step of its own; code in the background is written `prepare x = shell \"...\"`"),
        ("let x = 1 = 2", ""),
    ] {
        assert_eq!(told(line), help, "{line}");
    }
}

#[test]
fn one_run_tells_all_mistakes_of_a_file() {
    let text = r#"
strem web = "ssh://web"
stream db == local
stream cache = docker(image = "redis", image = "valkey")
on web {
  barier ready
  barrier ready(timeout = )
  shell "echo \d"
  $ echo ${{ web. }}
  let x 5
  y = 7
  stream late = local
  shell ```
      a
   b
    ```
  signal up now
  put "a" "b"
  expect a ==
}
  }
on db, {
  $ true
  wait up
}
signal up
on cache {
  exec ["a", "b"
  $ still here
  if x {
    retry(3) {
      $ again
    }
  }
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    2:1 MS004 no statement is called `strem`
    3:11 MS001 `==` cannot stand here (expected `=` or the end of the line)
    4:40 MS007 the option `image` is given twice (again here)
    6:3 MS004 no statement is called `barier`
    7:27 MS001 `)` cannot stand here (expected a value)
    8:15 MS009 `\d` is no escape (known are \n \t \r \\ \" \u{...})
    9:18 MS001 a blank cannot stand here (expected a name)
    10:9 MS001 `5` cannot stand here (expected `=`)
    11:5 MS001 `=` cannot stand here
    12:3 MS001 `stream` belongs to the top level (no place for it inside a block)
    15:1 MS010 this line stands left of its closing fence
    17:13 MS001 `now` cannot stand here (expected the end of the line)
    18:11 MS001 a string cannot stand here (expected `to`)
    19:14 MS001 the end of the line cannot stand here (expected a value)
    21:3 MS001 no block is open here
    22:8 MS001 `{` cannot stand here (expected a stream)
    26:1 MS001 `signal` stands inside a block (no stream is chosen here)
    27:10 MS002 this block is not closed (opened here)
    28:8 MS001 this `[` is not closed (opened here)
    31:11 MS001 this option has no name
    (stream cache (docker: image="redis" image="valkey"))
    (on [web] (shell fenced3"   a\nb\n"))
    (on [cache] (shell $"still here") (if x))
    "#);
}

#[test]
fn an_unclosed_block_ends_where_the_next_item_starts() {
    insta::assert_snapshot!(mistakes("on a {\n  $ x\n\non b {\n  $ y\n}\n"), @r#"
    1:6 MS002 this block is not closed (opened here)
    (on [a] (shell $"x"))
    (on [b] (shell $"y"))
    "#);
    insta::assert_snapshot!(mistakes("on a {\n  if b {\n    $ x\n}\nstream c\n"), @r#"
    2:8 MS002 this block is not closed (opened here)
    (on [a] (if b (shell $"x")))
    (stream c)
    "#);
    insta::assert_snapshot!(mistakes("on a {\n  $ x\nfinally {\n  $ y\n}\nbarrier b parties 2\n"), @r#"
    1:6 MS002 this block is not closed (opened here)
    (on [a] (shell $"x"))
    (finally (shell $"y"))
    (parties b 2)
    "#);
    insta::assert_snapshot!(mistakes("on a {\nbarrier x\nfinally { $ y }\n}\n"), @r#"(on [a] (barrier x) (finally (shell $"y")))"#);
    insta::assert_snapshot!(mistakes("on a {"), @"
    1:6 MS002 this block is not closed (opened here)
    (on [a])
    ");
}

#[test]
fn an_unclosed_fence_ends_where_a_statement_could_start() {
    insta::assert_snapshot!(mistakes("on a {\n  shell ```\n    x\n}\non b {\n  shell ```\n    y\n  ```\n}\n"), @r#"
    2:9 MS003 this fence is not closed (opened here)
    (on [a])
    (on [b] (shell fenced4"y\n"))
    "#);
    insta::assert_snapshot!(mistakes("on a {\n  shell ```\n    x\n  barrier z\n}\n"), @"
    2:9 MS003 this fence is not closed (opened here)
    (on [a] (barrier z))
    ");
    insta::assert_snapshot!(mistakes("on a {\n  shell ```\n    x\n"), @"
    1:6 MS002 this block is not closed (opened here)
    2:9 MS003 this fence is not closed (opened here)
    (on [a])
    ");
    insta::assert_snapshot!(mistakes("on a {\n  shell ``` x ```\n  sync\n}\n"), @"
    2:9 MS001 this fence cannot stand here (expected a fence, a list, a string or the end of the line)
    (on [a] (sync))
    ");
}

#[test]
fn a_bad_statement_with_a_fence_takes_its_code_along() {
    let text =
        "on a {\n  start web ```sh\n    exec serve --port 80\n  ```\n  let x = ```\n    id -u\n  ```\n  sync\n}\n";
    insta::assert_snapshot!(mistakes(text), @"
    2:13 MS001 this fence cannot stand here (expected `=`)
    5:11 MS001 this fence cannot stand here (expected a value)
    (on [a] (sync))
    ");
}

#[test]
fn code_that_is_bad_in_one_line_leaves_its_statement() {
    let text = "on a {\n  start web = shell ```\n    serve ${{1 +}}\n    ${{)}}\n  ```\n  stop web\n  let x = shell ```\n out\n    in\n  ```\n}\n";
    insta::assert_snapshot!(mistakes(text), @r#"
    3:16 MS001 `+` cannot stand here (expected `}}`)
    4:8 MS001 `)` cannot stand here (expected a value)
    8:1 MS010 this line stands left of its closing fence
    (on [a] (start web (shell fenced4"serve \n\n")) (stop web) (let x (shell fenced1"out\n   in\n")))
    "#);
}

#[test]
fn heads_that_are_bad_keep_their_blocks_together() {
    insta::assert_snapshot!(mistakes("on a b {\n  sync\n  bad line\n}\nstream c\n"), @"
    1:6 MS001 `b` cannot stand here (expected `{`, `,` or `except`)
    3:3 MS004 no statement is called `bad`
    (stream c)
    ");
    insta::assert_snapshot!(mistakes("on a { barrier }\nstream c\n"), @"
    1:16 MS001 `}` cannot stand here (expected a name)
    (on [a])
    (stream c)
    ");
    insta::assert_snapshot!(mistakes("on a {\n  on b {\n    sync\n  }\n  sync\n}\n"), @"
    2:3 MS001 `on` belongs to the top level (no place for it inside a block)
    (on [a] (sync))
    ");
    insta::assert_snapshot!(mistakes("on a {\n  retry(3) {\n    sync\n  }\n  sync\n}\n"), @"
    2:9 MS001 this option has no name
    (on [a] (sync))
    ");
    insta::assert_snapshot!(mistakes("on a { sync } sync\non b {\n  if c { sync } sync\n}\n"), @"
    1:15 MS001 `sync` cannot stand here (expected the end of the line)
    (on [a] (sync))
    (on [b] (if c (sync)) (sync))
    ");
    insta::assert_snapshot!(mistakes("stream a = docker(\n  image = ,\n  x = 1,\n)\nstream b\n"), @"
    2:11 MS001 `,` cannot stand here (expected a value)
    (stream b)
    ");
}

#[test]
fn code_that_does_not_fit_its_interpreter() {
    insta::assert_snapshot!(mistakes("on a {\n  exec \"true\"\n  exec ```\n    true\n  ```\n  shell [\"true\"]\n  sync\n}\n"), @"
    2:8 MS001 `exec` takes a list: a program and its arguments
    3:3 MS001 `exec` takes a list: a program and its arguments
    6:9 MS001 only `exec` takes a list, not `shell`
    (on [a] (sync))
    ");
    insta::assert_snapshot!(mistakes("on a {\n  start x = 5\n  5 ```\n    x\n  ```\n  let y = a.b ```\n    x\n  ```\n  sync\n}\n"), @"
    2:13 MS001 code is needed here: an interpreter and its code
    3:3 MS001 `5` cannot stand here (expected a statement)
    6:11 MS001 only an interpreter, with its options, stands before a fence
    (on [a] (sync))
    ");
    insta::assert_snapshot!(mistakes("barrier x\nstream a = \"${{b}}\"\nimport \"${{b}}\"\n$ true\ninstall(1)\n"), @"
    1:10 MS001 the end of the line cannot stand here (expected `parties`)
    3:9 MS001 this string can have no hole (must be known beforehand)
    4:1 MS001 `$` stands inside a block (no stream is chosen here)
    5:1 MS001 `install` stands inside a block (no stream is chosen here)
    (stream a <b>)
    ");
    insta::assert_snapshot!(mistakes("on a {\n  $true\n  $\n  $ echo ${{a\n  $ echo ${{ a b }}\n  else {\n    sync\n  }\n  sync\n}\n"), @"
    2:3 MS001 a blank must follow `$`
    3:3 MS001 there is no code behind `$`
    4:10 MS009 this hole is not closed (no `}}` before the end of the line)
    5:16 MS001 `b` cannot stand here (expected `}}`)
    6:3 MS001 `else` stands behind the `}` of an `if`
    (on [a] (sync))
    ");
}

#[test]
fn conflicts_and_hidden_characters() {
    let conflict = "on a {\n<<<<<<< ours\n  $ x\n=======\n  $ y\n  bad line\n>>>>>>> theirs\n  sync\n}\n";
    insta::assert_snapshot!(mistakes(conflict), @r#"
    2:1 MS012 a merge conflict is left in this file (one side starts here)
    (on [a] (shell $"x") (sync))
    "#);
    insta::assert_snapshot!(mistakes("on a {\n  sync\n=======\n}\n"), @"
    3:1 MS012 a mark of a merge conflict is left in this file
    (on [a] (sync))
    ");
    insta::assert_snapshot!(mistakes("on a {\n  $ x\u{202e}y\u{202c}\n  $ caf\u{e9} \u{1f468}\u{200d}\u{1f469}\n}\n"), @r#"
    2:6 MS011 a character that nobody sees: U+202E (changes the order in which the line is shown)
    (on [a] (shell $"x\u{202e}y\u{202c}") (shell $"café 👨\u{200d}👩"))
    "#);
}

#[test]
fn limits() {
    let first = |text: &str| mistakes(text).lines().next().unwrap_or_default().to_owned();
    let last = |text: &str| mistakes(text).lines().last().unwrap_or_default().to_owned();
    let lists = |n: usize| format!("on a {{\n  let x = {}{}\n  sync\n}}\n", "[".repeat(n), "]".repeat(n));
    assert_eq!(first(&lists(64)), last(&lists(64)));
    assert_eq!(first(&lists(65)), "2:76 MS013 brackets nest more than 64 deep");
    assert_eq!(last(&lists(65)), "(on [a] (sync))");

    let blocks = |n: usize| format!("on a {{\n{}{}}}\nstream b\n", "if c {\n".repeat(n), "}\n".repeat(n));
    assert_eq!(mistakes(&blocks(63)).lines().count(), 2);
    assert_eq!(first(&blocks(64)), "65:6 MS013 blocks nest more than 64 deep");
    assert_eq!(last(&blocks(64)), "(stream b)");

    let elses = format!("on a {{\n if b {{ }}{}\n}}\nstream b\n", "\n else if b { }".repeat(100));
    assert_eq!(first(&elses), "66:2 MS013 more than 64 `else if` follow one another");
    assert_eq!(last(&elses), "(stream b)");

    for chain in ["not ".repeat(300) + "x", "x or ".repeat(300) + "x", "x".to_owned() + &".y".repeat(300)] {
        let text = format!("on a {{\n  expect {chain}\n  sync\n}}\n");
        let problem = first(&text);
        assert!(problem.ends_with("MS013 this expression nests more than 256 deep"), "{problem}");
        assert_eq!(last(&text), "(on [a] (sync))");
    }
    assert_eq!(last(&"@\n".repeat(60)), "51:1 MS013 10 more problems in this file are not shown");
    assert_eq!(first(&" ".repeat((64 << 20) + 1)), "1:1 MS013 this file is larger than 64 MiB");
}

#[test]
fn allows_count_outside_code_only() {
    let text = "# ms: allow[MS213, MS105] slow device\non a {\n  $ x # ms: allow[MS1]\n  shell ```\n  # ms: allow[MS2]\n  ```\n  \
                shell '# ms: allow[MS3]'\n  exec [ # ms: allow[MS4]\n  'a' ]\n  sync # ms:allow[ MS5 ] why\n}\n";
    let (sources, file, problems) = parsed(text);
    assert_eq!(problems, []);
    let shown = |allow: &crate::syntax::ast::Allow| {
        let codes: Vec<&str> = allow.codes.iter().map(|code| sources.text(code.span)).collect();
        assert_eq!(codes, allow.codes.iter().map(|code| &*code.node).collect::<Vec<_>>());
        format!("{} {}", sources.text(allow.span), codes.join("+"))
    };
    let shown: Vec<String> = file.allows.iter().map(shown).collect();
    assert_eq!(
        shown,
        ["# ms: allow[MS213, MS105] slow device MS213+MS105", "# ms: allow[MS4] MS4", "# ms:allow[ MS5 ] why MS5",]
    );
}
