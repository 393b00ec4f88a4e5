//! Streams over ssh, with a real sshd: who is let in, what is told where nobody is, and what is left where the way there
//! or mstream itself ends in the middle.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cases::{ends, mstream};
use crate::run::Run;
use crate::sshd::{PASSWORD, Sshd};
use crate::watchdog::{BOUND, Watchdog, children};

/// Runs `text` in `folder`; all that it printed comes with the exit code.
fn exec(folder: &Path, text: &str, options: &[&str]) -> (Option<i32>, String) {
    std::fs::write(folder.join("test.ms"), text).unwrap();
    told(&mstream(folder, &[&["exec", "test.ms"], options].concat()))
}

fn told(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Expects that `text` ends with this exit code and says all of these words.
fn expect(text: &str, code: i32, words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (found, said) = exec(folder.path(), text, &[]);
    assert_eq!(found, Some(code), "{said}");
    for words in words {
        assert!(said.contains(words), "does not say `{words}`:\n{said}");
    }
    said
}

fn one_step(uri: &str) -> String {
    format!("stream far = \"{uri}\"\non far {{ $ echo \"I am $USER\" }}\n")
}

#[test]
fn who_may_come_in_and_what_is_said_to_the_others() {
    let sshd = Sshd::start("");
    expect(&one_step(&sshd.uri("tester")), 0, &["I am tester", "open at 127.0.0.1"]);
    expect(
        &one_step(&sshd.uri_without_key("tester")),
        3,
        &["Permission denied (publickey,password)", "Name its `user` and `key`, load the key into the agent"],
    );
    expect(&one_step(&sshd.uri("nobody-here")), 3, &["Permission denied"]);

    let known = sshd.known_hosts();
    let key = std::fs::read_to_string(&known).unwrap();
    std::fs::write(&known, "").unwrap();
    expect(&one_step(&sshd.uri("tester")), 3, &["its host key SHA256:", "is not known. Compare it", "accept-new"]);
    let new = format!("{}&host_key=accept-new", sshd.uri("tester"));
    expect(&one_step(&new), 0, &["I am tester"]);
    assert!(std::fs::read_to_string(&known).unwrap().contains(key.split(' ').nth(2).unwrap().trim()));

    let other = Sshd::start("");
    let name = key.split(' ').next().unwrap();
    let wrong = std::fs::read_to_string(other.known_hosts()).unwrap();
    std::fs::write(&known, format!("{name} {}", wrong.split_once(' ').unwrap().1)).unwrap();
    for uri in [sshd.uri("tester"), new] {
        let said = expect(&one_step(&uri), 3, &["is not the one that stands in", "Somebody may be in between"]);
        let shown = Command::new("ssh-keygen").arg("-lf").arg(sshd.host_key()).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(said.contains(shown.split(' ').nth(1).unwrap()) && said.contains("ssh-keygen -f"), "{said}");
    }
}

#[test]
fn who_cannot_be_reached_is_told_and_why_and_what_to_try() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for (host, words) in [
        ("127.0.0.1:1", &["Connection refused", "is sshd running, and the `port` right?"][..]),
        ("no-such-host", &["Could not resolve hostname no-such-host", "Is the name right?"]),
        ("198.51.100.7", &["Network is unreachable", "Is this machine in a network"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("test.ms"), one_step(&format!("ssh://me@{host}?config=/dev/null"))).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_mstream")]);
        let (code, said) = told(&ends(command, folder.path(), &["exec", "test.ms"]));
        assert_eq!(code, Some(3), "{said}");
        for words in words {
            assert!(said.contains(words), "does not say `{words}`:\n{said}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("ssh://me@127.0.0.1:{port}?config=/dev/null");
    let began = Instant::now();
    let (code, said) = exec(folder.path(), &one_step(&uri), &["--timeout-scale", "0.2"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("cannot connect to me@127.0.0.1:{port}: ")), "{said}");
    assert!(said.contains("It does not answer: is it up"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn who_cannot_be_reached_is_told_before_the_first_step_of_any_stream() {
    let text = "stream far = \"ssh://me@127.0.0.1:1?config=/dev/null\"\nstream near = local\nstream other = local\n\
                on far {\n  barrier met\n  $ true\n}\non near {\n  barrier met\n  $ true\n}\non other { $ true }\n";
    let ended = Run::start(text, &[]).end();
    assert_eq!(ended.status.code(), Some(3));
    let at = |event: &str| ended.events.iter().position(|it| it["event"] == event).unwrap();
    assert!(at("stream_failed") < at("step_started"), "{:?}", ended.events);
    assert!(ended.has("step_ended", "broken") && ended.has("step_ended", "passed"), "{:?}", ended.events);
}

#[test]
fn a_password_is_answered_and_shown_nowhere() {
    let sshd = Sshd::start("PubkeyAuthentication no");
    let folder = tempfile::tempdir().unwrap();
    let uri = sshd.uri_without_key("tester");
    let (address, rest) = uri.split_once('?').unwrap();
    let (host, port) = address.trim_start_matches("ssh://tester@").split_once(':').unwrap();
    let known = rest.split("known_hosts=").nth(1).unwrap();
    let text = format!(
        "stream far = ssh(host = \"{host}\", port = {port}, user = \"tester\", config = \"/dev/null\", \
         known_hosts = \"{known}\", password = secret(\"LAB\"))\n\
         on far {{\n  $ echo \"I am $USER\"; tr '\\0' '\\n' </proc/self/environ\n}}\n"
    );
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    let run = |password: &str| {
        let trace = folder.path().join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-v", "-s", "4096", "-e", "trace=execve", "-o"]).arg(&trace);
        command.args([env!("CARGO_BIN_EXE_mstream"), "exec", "test.ms"]).current_dir(folder.path());
        // The secret itself comes through a file, so that no environment has it.
        std::fs::write(folder.path().join("secrets"), format!("LAB={password}\n")).unwrap();
        let output = command.args(["--secret-file", "secrets"]).stdin(Stdio::null()).output().unwrap();
        (told(&output), std::fs::read_to_string(trace).unwrap())
    };
    let ((code, said), trace) = run(PASSWORD);
    assert_eq!(code, Some(0), "{said}\n{}", sshd.log());
    assert!(said.contains("I am tester"), "{said}");
    let canary = "touch pwned";
    assert!(!said.contains(canary) && !trace.contains(canary), "{said}\n{trace}");
    assert!(trace.contains("\"ssh\"") && trace.contains("SSH_ASKPASS"), "{trace}");
    let kept = Command::new("grep").args(["-r", canary, ".mstream"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "");

    let ((code, said), _) = run("not the password");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("Permission denied") && !said.contains("not the password"), "{said}");
}

#[test]
fn an_alias_of_the_user_s_own_configuration_goes_over_a_jump_host() {
    let sshd = Sshd::start("");
    let folder = tempfile::tempdir().unwrap();
    let uri = sshd.uri("tester");
    let field = |name: &str| uri.split(name).nth(1).unwrap().split('&').next().unwrap().to_owned();
    let port = uri.split(':').nth(2).unwrap().split('?').next().unwrap();
    let config = |gate: &str| {
        let text = format!(
            "Host gate lab\n  HostName 127.0.0.1\n  Port {port}\n  User {gate}\n  IdentityFile {}\n  \
             UserKnownHostsFile {}\nHost lab\n  ProxyJump gate\n  \
             ForwardAgent yes\n  ForwardX11 yes\n  RequestTTY force\n  RemoteCommand false\n  PermitLocalCommand yes\n  \
             LocalCommand touch pwned\n  HostKeyAlias [127.0.0.1]:{port}\n",
            field("key="),
            field("known_hosts="),
        );
        std::fs::write(folder.path().join("ssh-config"), text).unwrap();
    };
    let text = "stream far = ssh(host = \"lab\", config = \"ssh-config\", user = \"tester\")\n\
                stream near = local\n\
                on far { $ echo \"I am $USER\" }\n\
                on near { expect far.host == \"127.0.0.1\" }\n";
    config("basher");
    let (code, said) = exec(folder.path(), text, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("I am tester"), "{said}");
    let log = sshd.log();
    assert!(log.contains("Accepted publickey for basher") && log.contains("Accepted publickey for tester"), "{log}");

    let asked = ["auth-agent-req", "x11-req", "pty-req", "tcpip-forward"].iter().find(|it| log.contains(**it));
    assert_eq!((asked, folder.path().join("pwned").exists()), (None, false), "{log}");

    // Every host on the way shows its key, and that is checked, whatever the configuration says.
    let lax = "Host gate\n  HostKeyAlias nobody\n  StrictHostKeyChecking no\n";
    let ours = std::fs::read_to_string(folder.path().join("ssh-config")).unwrap();
    std::fs::write(folder.path().join("ssh-config"), lax.to_owned() + &ours).unwrap();
    let (code, said) = exec(folder.path(), text, &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("cannot connect to tester@lab: on the way there, the host key of nobody is not known."),
        "{said}"
    );

    config("no-such-user");
    let (code, said) = exec(folder.path(), text, &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("cannot connect to tester@lab: no-such-user@127.0.0.1: Permission denied (publickey,password)"),
        "{said}"
    );
}

#[test]
fn forty_streams_get_into_one_host_that_takes_ten_at_a_time() {
    // The defaults of sshd, said here because they are what this is about.
    let sshd = Sshd::start("MaxStartups 10:30:100\nMaxSessions 10");
    let text = format!(
        "stream far[1..40] = \"{}\"\non far {{\n  $ echo \"I am $USER\"\n  barrier all_there\n  $ true\n}}\n",
        sshd.uri("tester")
    );
    let said = expect(&text, 0, &["passed in"]);
    assert_eq!(said.matches("I am tester").count(), 40, "{said}");
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 5, "eight streams share a connection");
}

#[test]
fn what_a_login_prints_and_does_disturbs_nobody() {
    let sshd = Sshd::start("");
    let noise = "echo 'Welcome!'; printf '\\036 noise' ; echo 'mind the dog' >&2\ncd /\n";
    let bash = "alias printf=false kill=false\nset -o noclobber -o nounset\ntrap 'echo bye' EXIT\n";
    let csh = "echo Welcome; printf '\\036 noise'; alias printf false; set noclobber; cd /\n";
    let fish = "echo Welcome; printf '\\036 noise'; echo 'mind the dog' >&2; cd /\n";
    for (user, file, text) in [
        ("basher", ".bashrc", &*[noise, bash].concat()),
        ("tcsher", ".cshrc", csh),
        ("fisher", ".config/fish/config.fish", fish),
        ("boxer", ".profile", noise),
    ] {
        let file = sshd.home(user).join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        let text = format!(
            "stream far = \"{}\"\non far {{\n  let x = shell \"printf 'one\\n'; echo two >&2\"\n  \
             expect x.stdout == \"one\\n\" and x.stderr == \"two\\n\"\n  shell(exit = 9) \"exit 9\"\n  \
             put \"test.ms\" to \"${{{{base}}}}/\"\n  get \"${{{{base}}}}/test.ms\" to \"back/\"\n}}\n",
            sshd.uri(user)
        );
        let text = text.replace("on far {\n", "on far {\n  let base = shell \"printf %s $MSTREAM_TMP\"\n");
        expect(&text, 0, &["passed in"]);
    }
}

#[test]
fn a_login_without_a_shell_says_what_it_said() {
    let sshd = Sshd::start("");
    for (user, words) in [("closed", "This account is currently not available"), ("forced", "only backups here")] {
        let advice = "A stream needs a login that runs the commands it is given, and a `sh`";
        expect(&one_step(&sshd.uri(user)), 3, &[words, advice]);
    }
}

#[test]
fn the_address_of_a_late_stream_is_another_stream_s_value() {
    let sshd = Sshd::start("");
    let uri = sshd.uri("tester");
    let field = |name: &str| uri.split(name).nth(1).unwrap().split('&').next().unwrap().to_owned();
    let port = uri.split(':').nth(2).unwrap().split('?').next().unwrap();
    let text = format!(
        "stream maker = local\n\
         stream guest = ssh(host = maker.address, port = maker.port, user = \"tester\", config = \"/dev/null\", \
         key = \"{}\", known_hosts = \"{}\")\n\
         on maker {{\n  let address = shell \"sleep 0.2; echo 127.0.0.1\"\n  let port = shell \"echo {port}\"\n}}\n\
         on guest {{ $ echo \"I am $USER\" }}\n",
        field("key="),
        field("known_hosts="),
    );
    expect(&text, 0, &["I am tester", "open at 127.0.0.1"]);
}

#[test]
fn a_connection_that_is_killed_is_blamed_and_only_for_those_who_used_it() {
    let sshd = Sshd::start("");
    let text = format!(
        "stream far = \"{}\"\nstream near = local\n\
         on far {{\n  $ echo started; sleep 60\n  barrier met\n}}\n\
         on near {{\n  $ echo near\n  barrier met\n}}\n",
        sshd.uri("tester")
    );
    let mut run = Run::start(&text, &[]);
    run.until("output", "started");
    for pid in sshd.processes("sshd: tester") {
        assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
    }
    let ended = run.end();
    assert_eq!(ended.status.code(), Some(3));
    assert!(ended.has("step_ended", "was lost"), "{:?}", ended.events);
    assert!(ended.has("step_ended", "broken") && ended.has("step_ended", "test.ms:4"), "{:?}", ended.events);
    gone(&sshd, "sleep 60");
}

#[test]
fn a_cable_that_is_pulled_is_noticed_at_both_ends() {
    let sshd = Sshd::behind_a_cable();
    let text = format!(
        "stream far = \"{}\"\nstream near = local\n\
         on far {{\n  $ echo started; sleep 60\n  barrier met\n}}\n\
         on near {{\n  $ echo near\n  barrier met\n}}\n",
        sshd.uri("tester")
    );
    let mut run = Run::start(&text, &["--lease", "3s"]);
    run.until("output", "started");
    assert!(!sshd.processes("sleep 60").is_empty(), "it runs there");
    sshd.cut();
    let cut = Instant::now();
    let ended = run.end();
    assert!(cut.elapsed() < Duration::from_secs(15), "{:?}", cut.elapsed());
    assert_eq!(ended.status.code(), Some(3));
    assert!(ended.has("step_ended", "was lost"), "{:?}", ended.events);
    assert!(ended.has("step_ended", "broken"), "{:?}", ended.events);
    gone(&sshd, "sleep 60");
}

#[test]
fn nothing_outlives_mstream_for_longer_than_the_lease() {
    let sshd = Sshd::start("");
    let text = format!(
        "stream far[1..3] = \"{}\"\non far {{\n  start deaf = shell \"trap '' TERM; setsid sleep 63 & sleep 63; :\"\n  \
         $ sleep 64\n}}\n",
        sshd.uri("tester")
    );
    // During a copy as well.
    let copy = format!("stream far = \"{}\"\non far {{\n  put \"big\" to \"sleep 64\"\n}}\n", sshd.uri("tester"));
    let mut moments: Vec<(&str, &str, u64)> = [0, 60, 150, 300, 450, 700, 1200].map(|it| ("KILL", &*text, it)).into();
    moments.extend([120, 700].map(|it| ("STOP", &*text, it)));
    moments.extend([250, 400, 600].map(|it| ("KILL", &*copy, it)));
    let killed: Vec<Killed> = std::thread::scope(|scope| {
        let all: Vec<_> = moments.into_iter().map(|it| scope.spawn(move || Killed::at(it.0, it.1, it.2))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for words in ["sleep 6", "MSTREAM", "tar -x", "sh -c"] {
        gone(&sshd, words);
    }
    drop(killed);
    // Those who end the processes remove the folders next.
    let began = Instant::now();
    while !sshd.temporary_files().is_empty() && began.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(sshd.temporary_files(), [""; 0], "a folder of a stream is left");
}

/// A run that was sent a signal after so many milliseconds, and may be stopped still.
struct Killed {
    child: std::process::Child,
    _watchdog: Watchdog,
    _folder: tempfile::TempDir,
}

impl Killed {
    fn at(signal: &str, text: &str, moment: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("test.ms"), text).unwrap();
        std::fs::File::create(folder.path().join("big")).unwrap().set_len(4 << 30).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mstream"));
        command.args(["exec", "--lease", "3s", "test.ms"]).current_dir(folder.path()).env("TMPDIR", folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (watchdog, began) = (Watchdog::over(&child), Instant::now());
        std::thread::sleep(Duration::from_millis(moment));
        // The one that runs the scenario; before it is there, the one that would watch over it. That one must not stand
        // still: nobody would let it go on.
        let own = child.id().to_string();
        let mut pid = children(&own).pop();
        while pid.is_none() && signal == "STOP" && began.elapsed() < BOUND {
            std::thread::sleep(Duration::from_millis(1));
            pid = children(&own).pop();
        }
        let pid = pid.unwrap_or(own);
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        Self { child, _watchdog: watchdog, _folder: folder }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        for pid in children(&self.child.id().to_string()) {
            let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
        }
        let _ = self.child.wait();
    }
}

/// How long after the beginning of a lease of 3 seconds the last process may end: dozens of guards look through the same
/// processes then, and each gives those that it has told to end 3 more seconds.
const TIDY: Duration = Duration::from_secs(25);

/// Expects that when the lease is over, and the time to tidy up, nobody in there has these words in its command.
fn gone(sshd: &Sshd, words: &str) {
    let began = Instant::now();
    loop {
        let left = sshd.processes(words);
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < TIDY, "`{words}` lives on: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
