//! Streams as they end up bound: every way to write a binding, and who goes before whom.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Layer, Scenario, Settings, Stream, load, resolve, trees};
use crate::diagnostic::{Form, Sources, render};
use crate::syntax::ast::Expr;

/// A scenario with the files beside it, and what the command line says.
#[derive(Default)]
struct Story<'a> {
    scenario: &'a str,
    streams: &'a [&'a str],
    /// What `--params` names.
    given: &'a [&'a str],
    /// Where there are configurations, they are `user.yaml` and `system.yaml`.
    files: &'a [(&'a str, &'a str)],
}

impl Story<'_> {
    fn resolved(&self) -> (Scenario, Sources, String) {
        let mut sources = Sources::default();
        let all = [("lab.ms", self.scenario)];
        let all = || all.iter().chain(self.files);
        let mut read = |path: &Path| {
            let found = all().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
        };
        let config = |name: &str| all().any(|(file, _)| *file == name).then(|| PathBuf::from(name));
        let (mut loaded, mut problems) = load(Path::new("lab.ms"), &mut read, &mut sources).unwrap();
        let settings = Settings {
            streams: self.streams.iter().map(|text| (*text).to_owned()).collect(),
            files: self.given.iter().map(PathBuf::from).collect(),
            user_config: config("user.yaml"),
            system_config: config("system.yaml"),
            ..Settings::default()
        };
        problems.extend(trees(&mut loaded, &settings, &mut read, &mut sources));
        let (scenario, found) = resolve(loaded, &settings, &mut sources);
        problems.extend(found);
        let told = render(&problems, &sources, Form::Concise);
        (scenario, sources, told)
    }

    /// Every stream with its binding, a line each, then what is told.
    fn bound(&self) -> String {
        let (scenario, sources, told) = self.resolved();
        let mut out = String::new();
        for stream in scenario.streams.values() {
            let bound = stream.binding.bound;
            let place = bound.span.filter(|_| bound.layer != Layer::CommandLine).map(|span| sources.place(span));
            let from = [bound.layer.name(), &place.unwrap_or_default()].join(" ");
            writeln!(out, "{}: {} · {}", stream.name, said(stream, &sources), from.trim_end()).unwrap();
        }
        out + &told
    }
}

/// A kind with its keys, each value as JSON, or as it is written where only the run knows it.
fn said(stream: &Stream, sources: &Sources) -> String {
    let value = |value: &Expr| {
        let known = value.as_literal().map(|literal| literal.to_json().to_string());
        known.unwrap_or_else(|| sources.text(value.span).to_owned())
    };
    let keys = stream.binding.keys.iter().map(|(key, expr)| format!(" {}={}", key.node, value(expr)));
    format!("{}{}", stream.binding.kind, keys.collect::<String>())
}

/// Expects that all of these forms mean the same.
#[track_caller]
fn same(forms: &[&str], meaning: &str) {
    for form in forms {
        let scenario = format!("stream it = {form}\n");
        let (resolved, sources, told) = Story { scenario: &scenario, ..Story::default() }.resolved();
        assert_eq!(told, "", "{form}");
        assert_eq!(said(resolved.streams.values().next().unwrap(), &sources), meaning, "{form}");
        // What stands on the command line means the same, too.
        let Some(uri) = form.strip_prefix('"').and_then(|form| form.strip_suffix('"')) else { continue };
        let given = format!("it={uri}");
        let (resolved, sources, told) =
            Story { scenario: "stream it\n", streams: &[&given], ..Story::default() }.resolved();
        assert_eq!(told, "", "{given}");
        assert_eq!(said(resolved.streams.values().next().unwrap(), &sources), meaning, "{given}");
    }
}

#[test]
fn every_form_says_the_same() {
    same(&["local", "\"local\"", "\"local:\"", "\"localhost\"", "local()", "localhost", "'local://'"], "local");
    same(&["local(dir = \"/srv\")", "\"local:?dir=/srv\"", "\"local://?dir=%2Fsrv\""], "local dir=\"/srv\"");
    same(
        &[
            "docker(image = \"x\", create = true)",
            "docker(create = \"yes\", image = \"x\")",
            "\"docker://?image=x&create=yes\"",
            "\"docker:?create=on&image=x\"",
            "\"docker://create=1,image=x\"",
        ],
        "docker image=\"x\" create=true",
    );
    same(
        &[
            "docker(image = \"fedora\", create = true, remove = \"always\")",
            "\"docker://create=yes,image=fedora,remove=always\"",
            "\"docker://?remove=always&image=fedora&create=yes\"",
        ],
        "docker image=\"fedora\" create=true remove=\"always\"",
    );
    same(
        &[
            "docker(container = \"existing-container\")",
            "\"docker://existing-container\"",
            "\"docker://existing-container/\"",
        ],
        "docker container=\"existing-container\"",
    );
    same(
        &[
            "docker(image = \"a\", volumes = { \"/a\" = \"/b:ro\" }, memory = 64MiB, cpus = 2, cap_add = \"NET_ADMIN\")",
            "docker(image = \"a\", volumes = [\"/a:/b:ro\"], memory = \"64m\", cpus = 2.0, cap_add = [\"NET_ADMIN\"])",
            "\"docker://?image=a&volumes=/a:/b:ro&memory=64m&cpus=2&cap_add=NET_ADMIN\"",
        ],
        "docker image=\"a\" volumes=[\"/a:/b:ro\"] memory=67108864 cpus=2.0 cap_add=[\"NET_ADMIN\"]",
    );
    same(
        &[
            "ssh(host = \"::1\", user = \"user\", port = 22, key = \"id\")",
            "remote(port = \"22\", key = \"id\", user = \"user\", host = \"::1\")",
            "\"ssh://user@[::1]:22?key=id\"",
            "\"remote://user@[::1]:22/?key=id\"",
            "\"ssh://?host=::1&user=user&port=22&key=id\"",
        ],
        "ssh host=\"::1\" user=\"user\" port=22 key=\"id\"",
    );
    same(
        &["ssh(host = \"h\", host_key = \"strict\")", "\"ssh://h?host_key=yes\"", "\"ssh:h?host_key=true\""],
        "ssh host=\"h\" host_key=\"yes\"",
    );
}

#[track_caller]
fn check(story: &Story<'_>, expected: &str) {
    assert_eq!(story.bound().trim_end(), expected.trim_end());
}

#[test]
fn the_command_line_goes_before_the_scenario_and_that_before_the_default() {
    check(
        &Story {
            scenario: "set default_stream = \"docker://?image=a\"\n\
                stream server = local\n\
                stream db = \"ssh://db\"\n\
                stream other\n\
                on late { $ true }\n",
            streams: &["server=ssh://first", "server=ssh://last", "late=local"],
            ..Story::default()
        },
        "server: ssh host=\"last\" · --stream\n\
         db: ssh host=\"db\" · scenario lab.ms:3\n\
         other: docker image=\"a\" · default_stream lab.ms:1\n\
         late: local · --stream\n",
    );
    check(&Story { scenario: "stream a\n", ..Story::default() }, "a: local · default");
}

#[test]
fn the_command_line_names_fleets_members_parts_and_odd_names() {
    check(
        &Story {
            scenario: "stream client[1..4] = \"ssh://lab\"\nstream 1 = local\nstream \"a=b\" = local\n",
            streams: &[
                "client-3=ssh://three",
                "client=ssh://all",
                "client[2]=ssh://two",
                "1=ssh://one",
                "\"a=b\"=ssh://ab",
            ],
            ..Story::default()
        },
        "client-1: ssh host=\"all\" · --stream\n\
         client-2: ssh host=\"two\" · --stream\n\
         client-3: ssh host=\"three\" · --stream\n\
         client-4: ssh host=\"all\" · --stream\n\
         1: ssh host=\"one\" · --stream\n\
         a=b: ssh host=\"ab\" · --stream\n",
    );
}

#[test]
fn what_is_wrong_on_the_command_line_is_shown_there() {
    check(
        &Story {
            scenario: "stream server = local\nstream client[1..2] = local\n",
            streams: &[
                "sevrer=local:",
                "client[3..4]=local:",
                "server=ssh://h?imgae=x",
                "client=ssh://h?image=x",
                "client-1=docker://",
                "client-2=telnet://h",
                "server",
            ],
            ..Story::default()
        },
        "server: ssh host=\"h\" imgae=\"x\" · --stream\n\
         client-1: docker · --stream\n\
         client-2: local · --stream\n\
         --stream:1:1: error[MS001]: `--stream` takes NAME=URI\n\
         --stream:1:16: error[MS005]: `ssh` has no key `imgae`\n\
         --stream:1:10: error[MS006]: `docker` needs `image` or `container`\n\
         --stream:1:10: error[MS114]: there is no kind of stream `telnet`\n\
         --stream:1:1: error[MS101]: there is no stream `sevrer`\n\
         --stream:1:1: error[MS118]: the fleet has no such part\n",
    );
}

#[test]
fn what_is_wrong_in_a_uri_is_shown_at_its_place_in_it() {
    check(
        &Story {
            scenario: "stream a = \"ssh://h?image=x\"\n\
                stream b = \"docker://image=a,image=b\"\n\
                stream c = \"ssh://h:port\"\n\
                stream d = \"ssh://h?key\"\n\
                stream e = \"ssh://h?port=0\"\n\
                stream f = \"local://there\"\n\
                stream g = ssh(user = \"x\")\n\
                stream h = \"ssh://\\u{68}?keey=x\"\n",
            streams: &[],
            ..Story::default()
        },
        "a: ssh host=\"h\" image=\"x\" · scenario lab.ms:1\n\
         b: local · default\n\
         c: local · default\n\
         d: local · default\n\
         e: ssh host=\"h\" port=\"0\" · scenario lab.ms:5\n\
         f: local · default\n\
         g: ssh user=\"x\" · scenario lab.ms:7\n\
         h: ssh host=\"h\" keey=\"x\" · scenario lab.ms:8\n\
         lab.ms:1:21: error[MS602]: `ssh` has no key `image`\n\
         lab.ms:2:30: error[MS007]: `image` is given twice\n\
         lab.ms:3:21: error[MS008]: `port` is not a port\n\
         lab.ms:4:21: error[MS008]: `key` is not `key=value`\n\
         lab.ms:5:26: error[MS008]: `port` takes a number from 1 to 65535, and not `0`\n\
         lab.ms:6:21: error[MS114]: `local:` takes no address\n\
         lab.ms:7:12: error[MS006]: `ssh` needs `host`\n\
         lab.ms:8:13: error[MS005]: `ssh` has no key `keey`\n",
    );
}

#[test]
fn holes_stand_in_every_form() {
    check(
        &Story {
            scenario: "stream db = local\n\
                stream a = ssh(host = db.address)\n\
                stream b = \"ssh://${{db.user}}@${{db.address}}:${{db.port}}?key=id_${{db.user}}\"\n\
                stream c\n",
            streams: &["c=docker://container=box-${{db.n}}"],
            ..Story::default()
        },
        "db: local · scenario lab.ms:1\n\
         a: ssh host=db.address · scenario lab.ms:2\n\
         b: ssh host=db.address user=db.user port=db.port key=id_${{db.user}} · scenario lab.ms:3\n\
         c: docker container=box-${{db.n}} · --stream\n",
    );
}

#[test]
fn under_strict_no_stream_comes_from_the_default() {
    check(
        &Story {
            scenario: "set strict = true\nset default_stream = \"local\"\nstream a\nstream b\nstream c[1..2]\n",
            streams: &["b=local", "c-1=local"],
            ..Story::default()
        },
        "a: local · default_stream lab.ms:2\n\
         b: local · --stream\n\
         c-1: local · --stream\n\
         c-2: local · default_stream lab.ms:2\n\
         lab.ms:3:8: error[MS101]: nobody says where the stream `a` is\n\
         lab.ms:5:8: error[MS101]: nobody says where the stream `c-2` is\n",
    );
}

#[test]
fn a_password_is_seen_nowhere() {
    let story = Story {
        scenario: "stream a = ssh(host = \"h\", password = \"hunter2\")\n",
        streams: &["a=ssh://h?password=hunter2"],
        ..Story::default()
    };
    let (_, sources, _) = story.resolved();
    assert!(sources.iter().skip(1).all(|(_, source)| !source.text().contains("hunter2")));
    let (_, sources, told) = Story { streams: &[], ..story }.resolved();
    assert_eq!(told, "lab.ms:1:39: warning[MS402]: a password that everybody can read who can read this file\n");
    assert_eq!(
        sources.file(crate::diagnostic::FileId(0)).text(),
        "stream a = ssh(host = \"h\", password = \"*******\")\n"
    );
}

/// Expects that a YAML text below `streams:` binds `it` like that.
#[track_caller]
fn in_yaml(texts: &[&str], meaning: &str) {
    for text in texts {
        for (head, indent) in [("streams:\n", "  "), ("avocado:\n  streams:\n", "    ")] {
            let yaml = text.lines().fold(head.to_owned(), |all, line| format!("{all}{indent}{line}\n"));
            let files = [("lab.yaml", yaml.as_str())];
            let story = Story { scenario: "stream it\n", given: &["lab.yaml"], files: &files, ..Story::default() };
            let (resolved, sources, told) = story.resolved();
            assert_eq!(told, "", "{yaml}");
            let stream = resolved.streams.values().next().unwrap();
            assert_eq!(said(stream, &sources), meaning, "{yaml}");
            assert_eq!(stream.binding.bound.layer, Layer::ParameterFile, "{yaml}");
        }
    }
}

#[test]
fn yaml_says_the_same_as_uris_and_calls() {
    in_yaml(
        &[
            "it: local",
            "it: {type: local}",
            "it: {type: localhost}",
            "it: 'local:'",
            "- it: local",
            "- other: docker\n- it:\n    type: local",
        ],
        "local",
    );
    in_yaml(
        &[
            "it: docker://?image=x&create=yes",
            "it: {type: docker, image: x, create: yes}",
            "it:\n  type: docker\n  image: x\n  create: true",
            "- it: {create: True, image: x, type: docker}",
            "- it: docker://create=yes,image=x",
        ],
        "docker image=\"x\" create=true",
    );
    in_yaml(
        &["it: docker://existing-container", "it: {type: docker, container: existing-container}"],
        "docker container=\"existing-container\"",
    );
    in_yaml(
        &[
            "it: 'ssh://user@[::1]:22?key=id'",
            "it: \"ssh://user@[::1]:22?key=id\"",
            "it:\n  type: remote\n  host: '::1'\n  user: user\n  port: 22\n  key: id",
            "- it: {type: ssh, port: '22', key: id, user: user, host: \"::1\"}",
        ],
        "ssh host=\"::1\" user=\"user\" port=22 key=\"id\"",
    );
    in_yaml(
        &[
            "it: {type: docker, image: a, volumes: [\"/a:/b:ro\"], memory: 64MiB, cpus: 2, cap_add: [NET_ADMIN], env: {A: 1.10, B: yes}}",
            "it:\n  type: docker\n  image: a\n  volumes:\n    /a: /b:ro\n  memory: 64m\n  cpus: 2.0\n  cap_add: NET_ADMIN\n  env:\n    A: '1.10'\n    B: \"yes\"",
        ],
        "docker image=\"a\" env={\"A\":\"1.10\",\"B\":\"yes\"} volumes=[\"/a:/b:ro\"] memory=67108864 cpus=2.0 cap_add=[\"NET_ADMIN\"]",
    );
    // What looks like a number is text where text is wanted.
    in_yaml(&["it: {type: docker, image: 1.10, user: 0777}"], "docker image=\"1.10\" user=\"0777\"");
    in_yaml(
        &[
            "it: ssh://${{self.name}}.lab",
            "it: {type: ssh, host: '${{self.name}}.lab'}",
            "it:\n  type: ssh\n  host: ${{self.name}}.lab",
        ],
        "ssh host=${{self.name}}.lab",
    );
    in_yaml(&["it:\n  type: ssh\n  host: ${{db.address}}"], "ssh host=db.address");
}

#[test]
fn every_layer_goes_before_the_next() {
    let story = Story {
        scenario: "params \"named.yaml\"\n\
            set default_stream = \"ssh://seven\"\n\
            stream a = \"ssh://three\"\nstream b = \"ssh://three\"\nstream c = \"ssh://three\"\n\
            stream d\nstream e\nstream f\nstream g\n",
        streams: &["a=ssh://one"],
        given: &["given.yaml"],
        files: &[
            ("given.yaml", "streams:\n  a: ssh://two\n  b: ssh://two\n"),
            ("named.yaml", "streams:\n  a: ssh://four\n  b: ssh://four\n  c: ssh://four\n  d: ssh://four\n"),
            ("user.yaml", "streams:\n  d: ssh://five\n  e: ssh://five\n"),
            ("system.yaml", "streams:\n  e: ssh://six\n  f: ssh://six\n"),
        ],
    };
    check(
        &story,
        "a: ssh host=\"one\" · --stream\n\
         b: ssh host=\"two\" · --params given.yaml:3\n\
         c: ssh host=\"three\" · scenario lab.ms:5\n\
         d: ssh host=\"four\" · params named.yaml:5\n\
         e: ssh host=\"five\" · user config user.yaml:3\n\
         f: ssh host=\"six\" · system config system.yaml:3\n\
         g: ssh host=\"seven\" · default_stream lab.ms:2\n",
    );
}

#[test]
fn files_bind_fleets_parts_members_integers_and_who_is_not_declared() {
    check(
        &Story {
            scenario: "set strict = true\nstream client[1..4]\non 7, other { $ true }\non client { $ true }\nstream 7\n",
            given: &["lab.yaml"],
            files: &[(
                "lab.yaml",
                "streams:\n  client: local\n  client[2..3]: ssh://lab\n  client-3: ssh://three\n  7: ssh://seven\n  other: ssh://o\n  more: ssh://m\n",
            )],
            ..Story::default()
        },
        "client-1: local · --params lab.yaml:2\n\
         client-2: ssh host=\"lab\" · --params lab.yaml:3\n\
         client-3: ssh host=\"three\" · --params lab.yaml:4\n\
         client-4: local · --params lab.yaml:2\n\
         7: ssh host=\"seven\" · --params lab.yaml:5\n\
         other: ssh host=\"o\" · --params lab.yaml:6\n",
    );
}

#[test]
fn streams_defines_what_stands_at_a_path() {
    let files = [(
        "conf/lab.yaml",
        "First:\n  1: local\nSecond:\n  - 1: {type: remote, host: foo}\n  - 2: ssh://bar\n  - client[1..2]: docker://?image=a\nstreams:\n  x: local\n",
    )];
    check(
        &Story { scenario: "streams \"conf/lab.yaml\" at \"/Second/*\"\n", files: &files, ..Story::default() },
        "1: ssh host=\"foo\" · scenario conf/lab.yaml:4\n\
         2: ssh host=\"bar\" · scenario conf/lab.yaml:5\n\
         client-1: docker image=\"a\" · scenario conf/lab.yaml:6\n\
         client-2: docker image=\"a\" · scenario conf/lab.yaml:6\n",
    );
    check(
        &Story {
            scenario: "streams \"conf/lab.yaml\" at \"/First/*\"\nstreams \"conf/lab.yaml\"\n",
            files: &files,
            ..Story::default()
        },
        "1: local · scenario conf/lab.yaml:2\nx: local · scenario conf/lab.yaml:8\n",
    );
    check(
        &Story {
            scenario: "streams \"conf/lab.yaml\" at \"/Frist/*\"\nstreams \"nope.yaml\"\nstream x = local\nstreams \"conf/lab.yaml\"\n",
            files: &files,
            ..Story::default()
        },
        "x: local · scenario lab.ms:3\n\
         lab.ms:2:9: error[MS111]: `nope.yaml` cannot be read: no such file\n\
         lab.ms:1:28: error[MS118]: nothing stands at `/Frist/*`\n\
         conf/lab.yaml:8:3: error[MS104]: the stream `x` is declared twice\n",
    );
}

#[test]
fn one_stream_takes_its_kind_and_keys_from_a_path() {
    check(
        &Story {
            scenario: "params \"lab.yaml\"\n\
                stream a = params(\"/streams/first/*\")\n\
                stream b = params(\"/streams/second\")\n\
                stream c = params(\"/streams/nowhere/*\")\n\
                stream d = params(\"/streams/*\")\n\
                stream e = params(12)\n",
            files: &[(
                "lab.yaml",
                "streams:\n  first:\n    type: ssh\n    host: foo\n    user: tester\n    password: hunter2\n  second: ssh://bar\n  third:\n    type: local\n",
            )],
            ..Story::default()
        },
        "a: ssh host=\"foo\" user=\"tester\" password=\"hunter2\" · scenario lab.ms:2\n\
         b: ssh host=\"bar\" · scenario lab.yaml:7\n\
         c: local · default\n\
         d: local · default\n\
         e: local · default\n\
         lab.ms:4:19: error[MS118]: nothing stands at `/streams/nowhere/*`\n\
         lab.ms:5:19: error[MS119]: several nodes at `/streams/*` say different things\n\
         lab.ms:6:12: error[MS008]: `params` takes a path from the top of the parameters: \"/streams/first/*\"\n",
    );
}

#[test]
fn what_is_wrong_in_yaml_is_shown_there() {
    check(
        &Story {
            scenario: "stream a\nstream b\nstream c\nstream d\nstream e\nstream f\nstream g\nstream h\nstream i\nstream j\n",
            given: &["lab.yaml"],
            files: &[(
                "lab.yaml",
                "streams:\n  a: {type: ssh, hots: x}\n  b: {type: ssh, host: h, image: x}\n  c: {type: vmware}\n  \
                 d: {host: x}\n  e: {type: ssh, host: h, port: [1]}\n  f: ssh://h?imgae=x\n  g: [1]\n  h:\n  \
                 i: {type: [ssh]}\n  j: ssh://${{a.}}\n",
            )],
            ..Story::default()
        },
        "a: ssh hots=\"x\" · --params lab.yaml:2\n\
         b: ssh host=\"h\" image=\"x\" · --params lab.yaml:3\n\
         c: local · --params lab.yaml:4\n\
         d: local · --params lab.yaml:5\n\
         e: ssh host=\"h\" port=[\"1\"] · --params lab.yaml:6\n\
         f: ssh host=\"h\" imgae=\"x\" · --params lab.yaml:7\n\
         g: local · --params lab.yaml:8\n\
         h: local · --params lab.yaml:9\n\
         i: local · --params lab.yaml:10\n\
         j: local · --params lab.yaml:11\n\
         lab.yaml:2:18: error[MS005]: `ssh` has no key `hots`\n\
         lab.yaml:2:13: error[MS006]: `ssh` needs `host`\n\
         lab.yaml:3:27: error[MS602]: `ssh` has no key `image`\n\
         lab.yaml:4:13: error[MS114]: there is no kind of stream `vmware`\n\
         lab.yaml:5:3: error[MS006]: nobody says what kind of stream `d` is\n\
         lab.yaml:6:33: error[MS008]: `port` takes a number from 1 to 65535, and not `[\"1\"]`\n\
         lab.yaml:7:14: error[MS005]: `ssh` has no key `imgae`\n\
         lab.yaml:8:6: error[MS008]: `g` is a URI or has keys, and this is a list\n\
         lab.yaml:9:3: error[MS006]: nobody says what kind of stream `h` is\n\
         lab.yaml:10:13: error[MS008]: `type` takes the name of a kind\n\
         lab.yaml:11:17: error[MS001]: `}}` cannot stand here\n",
    );
}

#[test]
fn a_password_in_a_file_is_allowed_and_hidden() {
    let files = [(
        "lab.yaml",
        "streams:\n  a: {type: ssh, host: h, password: hunter2, hots: x}\n  b: ssh://h?password=hunter2\n",
    )];
    let story = Story { scenario: "stream a\nstream b\n", given: &["lab.yaml"], files: &files, ..Story::default() };
    let (scenario, sources, told) = story.resolved();
    assert_eq!(told, "lab.yaml:2:46: error[MS005]: `ssh` has no key `hots`\n");
    assert!(sources.iter().all(|(_, source)| !source.text().contains("hunter2")));
    assert!(scenario.streams.values().all(|stream| said(stream, &sources).contains("password=\"hunter2\"")));
}
