//! Streams as they end up bound: every way to write a binding, and who goes before whom.

use std::fmt::Write as _;
use std::path::Path;

use super::{Layer, Scenario, Settings, Stream, load, resolve};
use crate::diagnostic::{Form, Sources, render};
use crate::syntax::ast::Expr;

/// A scenario with the files beside it, and what the command line says.
#[derive(Default)]
struct Story<'a> {
    scenario: &'a str,
    streams: &'a [&'a str],
}

impl Story<'_> {
    fn resolved(&self) -> (Scenario, Sources, String) {
        let mut sources = Sources::default();
        let mut read = |path: &Path| match path.to_str() {
            Some("lab.ms") => Ok(self.scenario.to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let (loaded, mut problems) = load(Path::new("lab.ms"), &mut read, &mut sources).unwrap();
        let settings =
            Settings { streams: self.streams.iter().map(|text| (*text).to_owned()).collect(), ..Settings::default() };
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
        let (resolved, sources, told) = Story { scenario: "stream it\n", streams: &[&given] }.resolved();
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
        },
        "server: ssh host=\"last\" · --stream\n\
         db: ssh host=\"db\" · scenario lab.ms:3\n\
         other: docker image=\"a\" · default_stream lab.ms:1\n\
         late: local · --stream\n",
    );
    check(&Story { scenario: "stream a\n", streams: &[] }, "a: local · default");
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
    };
    let (_, sources, _) = story.resolved();
    assert!(sources.iter().skip(1).all(|(_, source)| !source.text().contains("hunter2")));
    let (_, sources, told) = Story { streams: &[], ..story }.resolved();
    assert_eq!(told, "lab.ms:1:39: warning[MS402]: a password that everybody can read who can read this file\n");
    assert_eq!(
        &**sources.file(crate::diagnostic::FileId(0)).text(),
        "stream a = ssh(host = \"h\", password = \"*******\")\n"
    );
}
