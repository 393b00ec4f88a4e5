//! Every example runs; every broken one is refused, or fails with the right blame.

use std::path::Path;

use crate::cases::{ends, mstream, shell_words};
use crate::engine::{Engine, HOST, HOST_VOLUMES};
use crate::markdown::{blocks, files};
use crate::sshd::Sshd;
use crate::streams;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a scenario in a folder of its own; its exit code, and all that it printed.
fn exec(path: &Path) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = mstream(folder.path(), &["exec", path.to_str().unwrap()]);
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn every_example_passes() {
    for path in files("examples", "ms") {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{}: the first line says what it shows", path.display());
        let check = mstream(root(), &["check", "--deny", "warnings", path.to_str().unwrap()]);
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
        let (code, output) = exec(&path);
        assert_eq!(code, 0, "{}:\n{output}", path.display());
    }
}

#[test]
fn the_services_run_on_a_host_in_a_container_and_here_without_a_change() {
    let engine = Engine::get();
    let sshd = Sshd::inside(engine.network(), "");
    let (host, container) = (sshd.uri("tester"), format!("docker://?image={HOST}&volumes={HOST_VOLUMES}&pull=never"));
    let path = root().join("examples/services.ms");
    let mixed = [host.as_str(), &container, "local:"];
    for places in [mixed, ["local:"; 3], [host.as_str(); 3], [container.as_str(); 3]] {
        let folder = tempfile::tempdir().unwrap();
        let streams: Vec<String> =
            ["ssh", "http", "worker"].iter().zip(places).map(|(name, uri)| format!("--stream={name}={uri}")).collect();
        let mut words = vec!["exec", path.to_str().unwrap()];
        words.extend(streams.iter().map(String::as_str));
        let output = ends(engine.command(env!("CARGO_BIN_EXE_mstream")), folder.path(), &words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{places:?}: {said}");
        assert!(said.contains("it works"), "{said}");
        assert_eq!(engine.left(folder.path()), "");
    }
}

/// The commands that the README shows, with a host and an image that are there.
#[test]
fn the_same_scenario_runs_here_on_a_host_and_in_a_container_by_the_commands_of_the_readme() {
    let engine = Engine::get();
    let sshd = Sshd::inside(engine.network(), "");
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let commands: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("mstream "))
        .filter(|it| it.contains("services.ms"))
        .collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    let image = format!("docker://?image={HOST}&volumes={HOST_VOLUMES}&pull=never");
    for (command, place) in commands.iter().zip(["", "open at 127.0.0.1", "open at 1"]) {
        let command = command.replace("examples/", &format!("{}/examples/", root().display()));
        let command = command.replace("ssh://tester@foo.example.com", &sshd.uri("tester"));
        let command = command.replace("docker://?image=python:3", &image);
        let folder = tempfile::tempdir().unwrap();
        let words = shell_words(&command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = ends(engine.command(env!("CARGO_BIN_EXE_mstream")), folder.path(), &words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command}: {said}");
        assert!(said.contains("it works") && said.contains(place), "{command}: {said}");
        assert_eq!(engine.left(folder.path()), "");
    }
}

/// The examples of the RFC on four hosts that a file names, and then two scenarios in one run, each with its own part of
/// one file.
#[test]
fn the_examples_of_the_rfc_run_on_hosts_that_a_file_names() {
    let addresses = [2, 3, 4, 5].map(|last| std::net::Ipv4Addr::new(127, 0, 0, last));
    let sshd = Sshd::on(&addresses, "");
    let folder = tempfile::tempdir().unwrap();
    let entry = |at: usize| format!("    - {}: {{{}}}\n", at + 1, streams::keys(&sshd, &addresses[at].to_string()));
    let all: String = (0..4).map(entry).collect();
    std::fs::write(folder.path().join("lab.yaml"), format!("avocado:\n  streams:\n{all}")).unwrap();
    let passed = |words: &[&str], hosts: &[usize]| {
        let output = mstream(folder.path(), words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        for at in hosts {
            let line = format!("open at {}", addresses[*at]);
            assert!(said.contains(&line), "no `{line}`: {said}");
        }
    };
    let path = |name: &str| root().join("examples").join(name).display().to_string();
    passed(&["exec", &path("rfc-ping.ms"), "--params", "lab.yaml"], &[0, 1]);
    passed(&["exec", &path("rfc-ddos.ms"), "--params", "lab.yaml"], &[0, 1, 2, 3]);

    // In the first part, 1 and 2 are the last two hosts.
    let first = [entry(2).replace("- 3:", "- 1:"), entry(3).replace("- 4:", "- 2:")].concat();
    let two = format!("First:\n{first}Second:\n{all}");
    std::fs::write(folder.path().join("parts.yaml"), two).unwrap();
    for (name, part) in [("rfc-ping.ms", "First"), ("rfc-ddos.ms", "Second")] {
        let text = std::fs::read_to_string(path(name)).unwrap().replace("lib/ping.ms", &path("lib/ping.ms"));
        let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("stream ")).collect();
        let text = format!("{}\nstreams \"parts.yaml\" at \"/{part}/*\"\n", kept.join("\n"));
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    passed(&["exec", "rfc-ping.ms", "rfc-ddos.ms"], &[0, 1, 2, 3]);
}

#[test]
fn every_broken_example_is_told_what_is_wrong_with_it() {
    for path in files("examples/broken", "ms") {
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# expect: "));
        let expected = expected.unwrap_or_else(|| panic!("{}: no `# expect:`", path.display()));
        match expected.split_once(' ') {
            Some(("check", codes)) => refused(&path, codes),
            Some(("exec", code)) => fails(&path, &text, code.trim().parse().unwrap()),
            _ => panic!("{}: `# expect: {expected}`", path.display()),
        }
    }
}

fn refused(path: &Path, codes: &str) {
    let output = mstream(root(), &["check", "--format", "concise", path.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found: Vec<&str> =
        text.lines().filter_map(|line| Some(line.split_once("error[")?.1.split_once(']')?.0)).collect();
    found.dedup();
    assert_eq!(found, codes.split(", ").collect::<Vec<_>>(), "{}:\n{text}", path.display());
    let (code, _) = exec(path);
    assert_eq!(code, 2, "{}: exec refuses as well", path.display());
}

fn fails(path: &Path, text: &str, expected: i32) {
    let (code, output) = exec(path);
    assert_eq!(code, expected, "{}:\n{output}", path.display());
    for words in text.lines().filter_map(|line| line.strip_prefix("# says: ")) {
        assert!(output.contains(words), "{}: does not say `{words}`:\n{output}", path.display());
    }
}

#[test]
fn the_runnable_blocks_of_the_book_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in files("spec", "md") {
        for block in blocks(&std::fs::read_to_string(&path).unwrap()) {
            let Some(rest) = block.info.strip_prefix("mstream run") else { continue };
            let expected = rest.trim().strip_prefix("exit=").map_or(0, |code| code.parse().unwrap());
            let file = folder.path().join("example.ms");
            std::fs::write(&file, &block.text).unwrap();
            let (code, output) = exec(&file);
            count += 1;
            if code != expected {
                wrong.push(format!("{}:{}: exit code {code}\n{output}", path.display(), block.line));
            }
        }
    }
    assert!(count > 10, "only {count} runnable blocks");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
