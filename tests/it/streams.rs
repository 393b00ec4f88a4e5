//! Streams bound from anywhere: by files beside the scenario, by configurations, by values of other streams.

use std::path::Path;
use std::process::Command;

use crate::cases::{ends, mstream};
use crate::sshd::{PASSWORD, Sshd};

/// Writes files into `folder`.
fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

/// Runs `mstream` with these words; its exit code, and all that it printed.
fn told(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = mstream(folder, words);
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The keys of a login at `address`, as YAML in one line has them.
pub(crate) fn keys(sshd: &Sshd, address: &str) -> String {
    format!(
        "type: ssh, host: {address}, port: {}, user: tester, config: /dev/null, key: {}, known_hosts: {}",
        sshd.port(),
        sshd.user_key().display(),
        sshd.known_hosts().display()
    )
}

#[test]
fn configurations_bind_whom_nobody_else_binds() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("lab.ms", "stream a\nstream b\nstream c\non a, b, c { $ true }\n"),
            ("xdg/mstream/config.yaml", "streams:\n  a: ssh://of-user\n"),
            ("home/.config/mstream/config.yaml", "streams:\n  a: ssh://at-home\n"),
            ("system.yaml", "avocado:\n  streams:\n    - a: ssh://of-system\n    - b: ssh://of-system\n"),
        ],
    );
    let path = |name: &str| folder.path().join(name).display().to_string();
    let streams = |variables: &[(&str, String)]| {
        // An /etc of its own, so that the machine's is left alone.
        let mut command = Command::new("unshare");
        let script =
            "mount -t tmpfs none /etc && mkdir /etc/mstream && cp system.yaml /etc/mstream/config.yaml && exec \"$@\"";
        command.args(["--mount", "sh", "-eu", "-c", script, "sh", env!("CARGO_BIN_EXE_mstream")]);
        command.env_remove("XDG_CONFIG_HOME").envs(variables.iter().map(|(name, value)| (name, value)));
        let output = ends(command, folder.path(), &["streams", "lab.ms"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap().replace(&*folder.path().display().to_string(), "")
    };
    let rest = "b       ssh    host=of-system  system config /etc/mstream/config.yaml:4\n\
                c       local                  default\n";
    assert_eq!(
        streams(&[("XDG_CONFIG_HOME", path("xdg")), ("HOME", path("home"))]),
        format!(
            "stream  kind   keys            from\n\
             a       ssh    host=of-user    user config /xdg/mstream/config.yaml:2\n{rest}"
        )
    );
    assert_eq!(
        streams(&[("XDG_CONFIG_HOME", "relative".to_owned()), ("HOME", path("home"))]),
        format!(
            "stream  kind   keys            from\n\
             a       ssh    host=at-home    user config /home/.config/mstream/config.yaml:2\n{rest}"
        )
    );
}

#[test]
fn a_late_stream_may_be_written_in_every_form() {
    let sshd = Sshd::start("");
    let (_, query) = sshd.uri("tester").split_once('?').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let uri = format!("ssh://tester@${{{{maker.address}}}}:${{{{maker.port}}}}?{query}");
    let map =
        keys(&sshd, "\"${{maker.address}}\"").replace(&format!("port: {}", sshd.port()), "port: '${{maker.port}}'");
    let call = map.replace(": ", " = ").replace("type = ssh, ", "").replace("\"${{maker.address}}\"", "maker.address");
    let call = call.replace("'${{maker.port}}'", "maker.port");
    let quoted: Vec<String> = call
        .split(", ")
        .map(|pair| match pair.split_once(" = ").unwrap() {
            (key @ ("host" | "port"), value) => format!("{key} = {value}"),
            (key, value) => format!("{key} = \"{value}\""),
        })
        .collect();
    let at = "streams \"lab.yaml\" at \"/Second/*\"".to_owned();
    let with = |yaml: String, guest: &str, options: &[&str]| {
        (yaml, guest.to_owned(), options.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    };
    let forms = [
        with(String::new(), &format!("stream guest = ssh({})", quoted.join(", ")), &[]),
        with(String::new(), &format!("stream guest = \"{uri}\""), &[]),
        with(String::new(), "stream guest", &["--stream", &format!("guest={uri}")]),
        with(format!("streams:\n  guest: {uri}\n"), "stream guest", &["--params", "lab.yaml"]),
        with(format!("streams: {{guest: {{{map}}}}}\n"), "stream guest", &["--params", "lab.yaml"]),
        with(format!("avocado: {{streams: [{{guest: {{{map}}}}}]}}\n"), "stream guest", &["--params", "lab.yaml"]),
        with(
            format!("hosts: {{one: {{{map}}}}}\n"),
            "params \"lab.yaml\"\nstream guest = params(\"/hosts/one/*\")",
            &[],
        ),
        with(format!("Second: {{guest: {{{map}}}}}\n"), &at, &[]),
        with(format!("Second:\n  - guest: \"{uri}\"\n"), &at, &[]),
    ];
    for (yaml, guest, options) in forms {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "stream maker = local\n{guest}\n\
             on maker {{\n  let port = shell \"echo {}\"\n  let address = shell \"echo 127.0.0.1\"\n}}\n\
             on guest {{ $ echo \"I am $USER\" }}\n",
            sshd.port()
        );
        write(folder.path(), &[("lab.yaml", &yaml), ("test.ms", &text)]);
        let mut words = vec!["exec", "test.ms"];
        words.extend(options.iter().map(String::as_str));
        let (code, said) = told(folder.path(), &words);
        assert_eq!(code, Some(0), "{guest} {options:?}\n{yaml}\n{said}");
        assert!(said.contains("I am tester"), "{said}");
    }
}

#[test]
fn a_password_in_a_parameter_file_lets_in_and_is_shown_nowhere() {
    let sshd = Sshd::start("PubkeyAuthentication no");
    let folder = tempfile::tempdir().unwrap();
    let password = PASSWORD.replace('\'', "''");
    let known = sshd.known_hosts();
    let lab = format!(
        "streams:\n  far:\n    type: ssh\n    host: 127.0.0.1\n    port: {}\n    user: tester\n    \
         password: '{password}'\n    config: /dev/null\n    known_hosts: {}\n",
        sshd.port(),
        known.display()
    );
    let canary = "touch pwned";
    assert!(lab.contains(canary));
    write(
        folder.path(),
        &[
            // What is wrong on the line of a password is shown, and the password is not.
            ("wrong.yaml", &format!("streams:\n  far: {{type: ssh, password: '{password}', hots: x}}\n")),
            ("broken.yaml", &format!("streams:\n  far: {{type: ssh, password: '{password}', host: x]\n")),
            ("lab.yaml", &lab),
            ("test.ms", "stream far\non far { $ echo \"I am $USER\" }\n"),
            (
                "prints.ms",
                &format!("stream far\non far {{\n  shell ```\n    cat <<'EOF'\n    {PASSWORD}\n    EOF\n  ```\n}}\n"),
            ),
        ],
    );
    let (code, said) = told(folder.path(), &["exec", "test.ms", "--params", "lab.yaml"]);
    assert_eq!(code, Some(0), "{said}\n{}", sshd.log());
    assert!(said.contains("I am tester"), "{said}");
    // A step that prints it is masked, as with any secret.
    let (code, printed) = told(folder.path(), &["exec", "prints.ms", "--params", "lab.yaml"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("***"), "{printed}");
    let mut all = vec![said, printed];
    for (words, expected, shown) in [
        (&["streams", "test.ms", "--params", "lab.yaml"][..], 0, "password=***"),
        (&["streams", "--format", "json", "test.ms", "--params", "lab.yaml"], 0, "\"password\":\"***\""),
        (&["graph", "export", "--format", "json", "test.ms", "--params", "lab.yaml"], 0, "\"far\""),
        (&["check", "test.ms", "--params", "wrong.yaml"], 2, "hots: x"),
        (&["check", "--format", "json", "test.ms", "--params", "wrong.yaml"], 2, "hots"),
        (&["check", "test.ms", "--params", "broken.yaml"], 2, "broken.yaml:2"),
    ] {
        let (code, said) = told(folder.path(), words);
        assert_eq!(code, Some(expected), "{words:?}: {said}");
        assert!(said.contains(shown), "{words:?}: {said}");
        all.push(said);
    }
    for said in all {
        assert!(!said.contains(canary), "{said}");
    }
    let kept = Command::new("grep").args(["-r", canary, ".mstream"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "");
}
