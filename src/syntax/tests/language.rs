//! The language of the design, read whole.

use super::{statement, tree, value};

/// Scenarios in the shape of the examples.
const SERVICES: &str = r#"# two services come up at their own pace
scenario "ssh and http come up independently"

stream ssh    = "ssh://tester@foo.example.com"
stream http   = docker(image = "fedora:42", remove = "always")
stream worker = local

on ssh {
  $ start_ssh
  barrier ssh_started
}

on http {
  shell(timeout = 5m) ```
    configure_database
      bootstrap_server
  ```
  barrier http_started
}

on worker {
  barrier ssh_started                     # two parties: ssh, worker
  $ ssh ${{ssh.host}} some_business       # runs while http is still starting
  $ curl -fsS http://${{http.host}}/
}
"#;

#[test]
fn the_example_of_the_services() {
    insta::assert_snapshot!(tree(SERVICES), @r#"
    (scenario "ssh and http come up independently")
    (stream ssh "ssh://tester@foo.example.com")
    (stream http (docker: image="fedora:42" remove="always"))
    (stream worker local)
    (on [ssh] (shell $"start_ssh") (barrier ssh_started))
    (on [http] (shell timeout=5m fenced4"configure_database\n  bootstrap_server\n") (barrier http_started))
    (on [worker] (barrier ssh_started) (shell $"ssh "+<ssh.host>+" some_business       # runs while http is still starting") (shell $"curl -fsS http://"+<http.host>+"/"))
    "#);
}

/// Texts and the short forms of their trees.
fn table(read: fn(&str) -> String, cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|(text, expected)| (text, expected, read(text)))
        .filter(|(_, expected, found)| *expected != found)
        .map(|(text, expected, found)| format!("{text}\n  expected {expected}\n  found    {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn items() {
    table(
        tree,
        &[
            ("scenario 'a \"title\"'", "(scenario \"a \\\"title\\\"\")"),
            ("stream server", "(stream server)"),
            ("stream server  # bound elsewhere", "(stream server)"),
            ("stream \"1\" = local", "(stream 1 local)"),
            ("stream 1 = \"local:\"\r\n", "(stream 1 \"local:\")"),
            ("stream client[1..8] = \"docker://?image=alpine\"", "(stream client[1..8] \"docker://?image=alpine\")"),
            ("stream guest = ssh(host = db.guest_address)", "(stream guest (ssh: host=db.guest_address))"),
            ("stream first = params(\"/streams/first/*\")", "(stream first (params: \"/streams/first/*\"))"),
            (
                "stream db = docker(\n  image = \"postgres:16\", # why\n  env = { A = secret(\"B\") },\n)\n",
                "(stream db (docker: image=\"postgres:16\" env={A=(secret: \"B\")}))",
            ),
            ("streams \"lab.yaml\" at \"/Second/*\"", "(streams \"lab.yaml\" at \"/Second/*\")"),
            ("streams \"lab.yaml\"", "(streams \"lab.yaml\")"),
            ("set default_stream = \"local\"\nset strict = true", "(set default_stream \"local\")\n(set strict true)"),
            ("interpreter perl = [\"perl\", \"-\"]", "(interpreter perl [\"perl\", \"-\"])"),
            ("param timeout = 10s at \"*/boot/*\"", "(param timeout = 10s at \"*/boot/*\")"),
            ("param count: int = 4", "(param count: int = 4)"),
            ("param name", "(param name)"),
            ("params \"defaults.yaml\"", "(params \"defaults.yaml\")"),
            ("barrier ready parties [ssh, worker]", "(parties ready [ssh, worker])"),
            ("barrier ready parties 3", "(parties ready 3)"),
            (
                "task install(package, version = \"latest\") { $ apt-get install -y ${{package}}=${{version}} }",
                "(task install(package version=\"latest\") (shell $\"apt-get install -y \"+<package>+\"=\"+<version>))",
            ),
            ("task clean { $ rm x }", "(task clean() (shell $\"rm x\"))"),
            ("task clean() {\n}\n", "(task clean())"),
            ("import \"lib/cluster.ms\"", "(import \"lib/cluster.ms\")"),
            ("finally { $ rm x }", "(finally (shell $\"rm x\"))"),
            ("\u{feff}import 'a.ms'", "(import \"a.ms\")"),
            ("", ""),
            ("# nothing but a comment", ""),
        ],
    );
}

#[test]
fn selectors() {
    table(
        tree,
        &[
            ("on client { }", "(on [client])"),
            ("on client, \"a name\",'b' { }", "(on [client, a name, b])"),
            ("on client[1..3], client[2] { }", "(on [client[1..3], client[2..2]])"),
            ("on /client-\\d+/ { }", "(on [/client-\\d+/])"),
            ("on /a\\/b/ { }", "(on [/a/b/])"),
            ("on 3, 1..4 { }", "(on [3..3, 1..4])"),
            ("on all except a, b { }", "(on [ALL] except [a, b])"),
            ("on all{}", "(on [ALL])"),
            ("on onx { }", "(on [onx])"),
        ],
    );
}

#[test]
fn statements() {
    table(
        statement,
        &[
            ("barrier ready", "(barrier ready)"),
            ("barrier ready(timeout = 30s)", "(barrier ready timeout=30s)"),
            ("signal db_up", "(signal db_up)"),
            ("wait db_up", "(wait db_up)"),
            ("wait load(may_fail = true)", "(wait load may_fail=true)"),
            ("sync", "(sync)"),
            ("sync(timeout = 1h30m)", "(sync timeout=1h30m)"),
            ("stop web(signal = \"INT\", grace = 5s)", "(stop web signal=\"INT\" grace=5s)"),
            ("trigger load", "(trigger load)"),
            ("expect probe.stdout matches /^2../", "(expect (probe.stdout matches /^2../))"),
            ("expect not streams[3..4].success", "(expect (not streams[(3 .. 4)].success))"),
            ("put \"conf/app.toml\" to \"/etc/app.toml\"", "(put \"conf/app.toml\" \"/etc/app.toml\")"),
            ("get \"/var/log/${{self.name}}\" to \"logs/\"", "(get \"/var/log/\"+<self.name> \"logs/\")"),
            ("finally { $ rm -f x }", "(finally (shell $\"rm -f x\"))"),
            ("for i in 1..3 { $ ping ${{client[i].host}} }", "(for i (1 .. 3) (shell $\"ping \"+<client[i].host>))"),
            ("for x in [a, b] { sync }", "(for x [a, b] (sync))"),
            ("if param.tls { $ setup-tls }", "(if param.tls (shell $\"setup-tls\"))"),
            ("if a { sync } else { signal x }", "(if a (sync) else (signal x))"),
            (
                "if a {\n sync\n }\n # or\n else if b {\n signal x\n } else {\n wait x\n }",
                "(if a (sync) else (if b (signal x) else (wait x)))",
            ),
            (
                "retry(times = 3, every = 2s) {\n $ wipe\n $ set-up\n}",
                "(retry times=3 every=2s (shell $\"wipe\") (shell $\"set-up\"))",
            ),
            ("repeat(for = 60s, every = 5s) { $ add-one }", "(repeat for=1m every=5s (shell $\"add-one\"))"),
            ("install(\"nginx\", version = \"1\")", "(call install \"nginx\" version=\"1\")"),
            ("install()", "(call install)"),
            ("start_all()", "(call start_all)"),
            ("let n = 3", "(let n 3)"),
            ("let n = list[0]", "(let n list[0])"),
            ("let n = other", "(let n other)"),
            ("let port = shell \"free-port\"", "(let port (shell \"free-port\"))"),
            ("let port = shell(timeout = 1s) \"free-port\"", "(let port (shell timeout=1s \"free-port\"))"),
            ("let port = shell ```\n    free\n  ```", "(let port (shell fenced4\"free\\n\"))"),
            (
                "let port = python(timeout = 1s) ```\n    free\n  ```",
                "(let port (python timeout=1s fenced4\"free\\n\"))",
            ),
            ("let x = exec [\"a\"]", "(let x (exec [\"a\"]))"),
            ("let secret_word = secret(\"X\")", "(let secret_word (secret: \"X\"))"),
            ("start web = shell(ready = port(8080)) \"serve\"", "(start web (shell ready=(port: 8080) \"serve\"))"),
            (
                "start db = shell(ready = output(/listening/), alive = shell(\"pg_isready\"), every = 5s) \"postgres\"",
                "(start db (shell ready=(output: /listening/) alive=(shell: \"pg_isready\") every=5s \"postgres\"))",
            ),
            ("start db = shell(ready = shell \"probe\") 'p'", "(start db (shell ready=(shell \"probe\") raw\"p\"))"),
            ("prepare load = shell \"ddos ${{server.host}}\"", "(prepare load (shell \"ddos \"+<server.host>))"),
        ],
    );
}

#[test]
fn values() {
    table(
        value,
        &[
            ("1", "1"),
            ("-1", "-1"),
            ("1_000_000", "1000000"),
            ("1.5", "1.5"),
            ("1e3", "1000.0"),
            ("2.5e-1", "0.25"),
            ("250ms", "250ms"),
            ("1h30m", "1h30m"),
            ("1.5s", "1.5s"),
            ("2d", "48h"),
            ("7us", "7us"),
            ("64KiB", "65536B"),
            ("10MB", "10000000B"),
            ("1.5GiB", "1610612736B"),
            ("512B", "512B"),
            ("true", "true"),
            ("'a\\n${{b}}'", "\"a\\\\n${{b}}\""),
            ("\"a\\n\\t\\\"\\\\\\u{e9}\"", "\"a\\n\\t\\\"\\\\é\""),
            ("\"\"", "\"\""),
            ("\"$x ${y} $(z) {{w}} $$${{a}}\"", "\"$x ${y} $(z) {{w}} $${{a}}\""),
            ("\"a${{b}}c${{\"d\"}}\"", "\"a\"+<b>+\"c\"+<\"d\">"),
            ("\"${{ m[\"}}\"] }}\"", "<m[\"}}\"]>"),
            ("[1, [2], ]", "[1, [2]]"),
            ("[]", "[]"),
            ("{}", "{}"),
            ("{ a = 1, 'b c' = 2 }", "{a=1, b c=2}"),
            ("{\n  a = 1 # one\n\n  b = [\n    2\n  ],\n  c = 3\n}", "{a=1, b=[2], c=3}"),
            ("/a b\\/c\\d/", "/a b/c\\d/"),
            ("1..3", "(1 .. 3)"),
            ("a..b.c", "(a .. b.c)"),
            ("a.b[1].c", "a.b[1].c"),
            ("streams[\"a name\"].host", "streams[\"a name\"].host"),
            ("streams[1..2].success", "streams[(1 .. 2)].success"),
            ("a or b and not c == d", "(a or (b and (not (c == d))))"),
            ("(a or b) and c", "((a or b) and c)"),
            ("a or b or c", "((a or b) or c)"),
            ("not not a", "(not (not a))"),
            ("x in 1..3", "(x in (1 .. 3))"),
            (
                "a == 1 and b != 2 and c < 3 and d <= 4 and e > 5 and f >= 6",
                "((((((a == 1) and (b != 2)) and (c < 3)) and (d <= 4)) and (e > 5)) and (f >= 6))",
            ),
            ("a contains 'b' or a matches /c/", "((a contains \"b\") or (a matches /c/))"),
            ("android", "android"),
            ("nothing", "nothing"),
            ("a\n  and b # why\n", "(a and b)"),
            ("port(8080)", "(port: 8080)"),
            ("docker(image = 'x', 3)", "(docker: image=\"x\" 3)"),
        ],
    );
}

#[test]
fn values_that_are_none() {
    table(
        value,
        &[
            ("", "1:1 MS001 the end of the file cannot stand here (expected a value)"),
            ("1 2", "1:3 MS001 `2` cannot stand here (expected the end)"),
            ("99999999999999999999", "1:1 MS013 `99999999999999999999` is too large"),
            ("300000d", "1:1 MS013 `300000d` is too large"),
            ("10x", "1:1 MS001 `10x` is no number"),
            ("a < b < c", "1:7 MS001 comparisons do not chain"),
            ("[1, 2", "1:6 MS001 the end of the file cannot stand here (expected `,` or `]`)"),
            ("\"a", "1:1 MS009 this string is not closed (no `\"` before the end of the line)"),
            ("'a", "1:1 MS009 this string is not closed (no `'` before the end of the line)"),
            ("/a", "1:1 MS009 this regex is not closed (no `/` before the end of the line)"),
            ("\"a\\d\"", "1:3 MS009 `\\d` is no escape (known are \\n \\t \\r \\\\ \\\" \\u{...})"),
            ("\"\\u{d800}\"", "1:2 MS009 `\\u{d800}` is no character"),
            ("\"a ${{ b\"", "1:4 MS009 this hole is not closed (no `}}` before the end of the line)"),
            ("{ a = 1, a = 2 }", "1:10 MS007 the key `a` is given twice (again here)"),
            ("x [1]", "1:3 MS001 only `exec` takes a list, not `x`"),
            ("shell(5) \"x\"", "1:7 MS001 this option has no name"),
        ],
    );
}
