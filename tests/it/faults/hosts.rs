//! C: what happens to hosts and to the way there.

use std::time::{Duration, Instant};

use super::trial::{Trial, kill};
use super::{FAULT, Fault, Kind, Place, survive};
use crate::sshd::Sshd;

#[test]
fn faults_of_hosts_are_survived() {
    survive(FAULTS);
}

const SSH: &[Place] = &[Place::Ssh];
const CABLE: &[Place] = &[Place::Cable];

/// One works far away, another waits for it.
const AT_WORK: &str = "stream far = \"FAR\"\nstream near = local\n\
    on far {\n  shell(env = { T = secret(\"CANARY\") }) \"echo at work; SLEEP\"\n  barrier met\n}\n\
    on near {\n  barrier met\n}\n";

/// One waits far away, for another that works.
const WAITING: &str = "stream far = \"FAR\"\nstream near = local\nstream other = local\n\
    on far {\n  $ echo here\n  barrier met\n}\non other { barrier met }\non near {\n  $ sleep 7\n  barrier met\n}\n";

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        id: "F29",
        title: "a host that cannot be reached",
        how: "a port where nobody listens; a name that nobody knows; an address without a route",
        does: "says which of these it is and what to try; nothing runs on that stream",
        kind: Kind::Network,
        on: SSH,
        text: "stream refused = \"ssh://tester@127.0.0.1:1?config=/dev/null\"\nstream unknown = \"ssh://tester@no-such-host.invalid?config=/dev/null\"\n\
               stream away = \"ssh://tester@198.51.100.7?config=/dev/null\"\non refused { $ echo never }\non unknown { $ echo never }\non away { $ echo never }\n",
        exit: 3,
        says: &[
            "Connection refused",
            "Nothing listens there",
            "Could not resolve hostname",
            "Is the name right?",
            "unreachable",
            "refused · test.ms:",
            "surroundings",
        ],
        bound: Duration::from_secs(14),
        prepare: |it| {
            // A network namespace in which there is loopback and no way out.
            let script = r#"ip link set lo up; exec "$@""#;
            it.before = ["unshare", "--net", "sh", "-c", script, "alone"].map(Into::into).into();
        },
        commit: |it| {
            it.until("stream_failed", "refused");
            it.fire();
        },
        after: |it| {
            if it.all("stream_failed", "unreachable").len() != 3 || !it.all("step_started", "").is_empty() {
                it.complain("not all three were unreachable, or a step began");
            }
        },
        ..FAULT
    },
    Fault {
        id: "F30",
        title: "a host key that is unknown, or another one than before",
        how: "no line in known_hosts; the key of another host in it",
        does: "refuses and says how to find out; a changed key is never taken, with `accept-new` neither",
        kind: Kind::Host,
        on: SSH,
        text: "stream far = \"FAR\"\nstream fresh = \"FAR&host_key=accept-new\"\non far { $ echo never }\non fresh { $ echo never }\n",
        exit: 3,
        says: &["is not the one that stands in", "ssh-keygen -f", "far · test.ms:1"],
        bound: Duration::from_secs(14),
        story: |it| {
            let sshd = it.sshd.as_ref().unwrap();
            let (known, other) = (sshd.known_hosts(), Sshd::start(""));
            let key = std::fs::read_to_string(&known).unwrap();
            let wrong = std::fs::read_to_string(other.known_hosts()).unwrap();
            let changed = format!("{} {}", key.split_once(' ').unwrap().0, wrong.split_once(' ').unwrap().1);
            std::fs::write(&known, changed).unwrap();
            it.start();
            it.until("stream_failed", "is not the one that stands in");
            it.fire();
            it.end();
            if it.all("stream_failed", "is not the one that stands in").len() != 2 {
                it.complain("a changed key was taken");
            }
            super::audit::audit(it);
            it.again();
            // Nobody knows it: only the stream that says so takes it.
            std::fs::write(&known, "").unwrap();
            let lines: Vec<&str> = it.text.lines().filter(|line| !line.contains("fresh")).collect();
            it.text = lines.join("\n") + "\n";
            it.says = &["is not known", "Compare it with that of the host"];
            it.start();
            it.fire();
            it.end();
            super::audit::audit(it);
        },
        ..FAULT
    },
    Fault {
        id: "F31",
        title: "a login that is refused, or would have to be asked for",
        how: "a key that the host does not take; a key with a passphrase, and no agent",
        does: "asks nobody; says what was offered and what to try",
        kind: Kind::Host,
        on: SSH,
        text: "stream far = \"FAR\"\nstream locked = \"FAR\"\non far { $ echo never }\non locked { $ echo never }\n",
        exit: 3,
        says: &["Permission denied", "Name its `user` and `key`", "far · test.ms:1", "locked · test.ms:2"],
        bound: Duration::from_secs(14),
        prepare: |it| {
            let key = it.sshd.as_ref().unwrap().user_key().display().to_string();
            for (name, passphrase) in [("wrong", ""), ("locked", "sesame")] {
                let path = it.path(name);
                let mut make = std::process::Command::new("ssh-keygen");
                make.args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(&path);
                assert!(make.status().unwrap().success());
                it.text = it.text.replacen(&key, &path.display().to_string(), 1);
            }
            it.env.push(("SSH_AUTH_SOCK".to_owned(), "".into()));
        },
        commit: |it| {
            it.until("stream_failed", "locked");
            it.fire();
        },
        after: |it| {
            let screen = String::from_utf8_lossy(&it.ended().screen).into_owned();
            if screen.contains("assphrase") || screen.contains("assword:") {
                it.complain("somebody was asked at the terminal");
            }
        },
        ..FAULT
    },
    Fault {
        id: "F32",
        title: "the network dies in the middle of a step",
        how: "the link goes down; nobody is told",
        does: "the stream is lost after half the lease; the host ends what runs there by the lease",
        kind: Kind::Network,
        on: CABLE,
        text: AT_WORK,
        options: &["--lease", "3s"],
        exit: 3,
        says: &["far", "was lost", "test.ms:4", "because of it", "near: broken at barrier met"],
        bound: Duration::from_secs(10),
        prepare: |it| it.patience = Duration::from_secs(12),
        commit: |it| {
            it.until_printed("far", "at work");
            cut(it);
        },
        ..FAULT
    },
    Fault {
        id: "F33",
        title: "the network dies while the stream waits at a barrier",
        how: "the link goes down; nobody is told",
        does: "the barrier breaks then, and not when its time is over",
        kind: Kind::Network,
        on: CABLE,
        text: WAITING,
        options: &["--lease", "3s"],
        exit: 3,
        says: &["far", "was lost", "test.ms:", "because of it", "other: broken at barrier met"],
        bound: Duration::from_secs(10),
        prepare: |it| it.patience = Duration::from_secs(12),
        commit: |it| {
            it.until("step_waiting", "\"far\"");
            cut(it);
            let cut = Instant::now();
            it.until("barrier_broken", "met");
            if cut.elapsed() > Duration::from_secs(5) {
                it.complain(format!("the barrier broke {:?} after the cut", cut.elapsed()));
            }
        },
        ..FAULT
    },
    Fault {
        id: "F35",
        title: "the sshd of the session is killed; the one that listens is restarted",
        how: "kill -9 of each",
        does: "the first is a lost stream; the second disturbs nobody",
        kind: Kind::Host,
        on: SSH,
        text: AT_WORK,
        options: &["--lease", "3s"],
        exit: 3,
        says: &["was lost", "because of it", "near: broken at barrier met", "test.ms:4"],
        prepare: |it| it.patience = Duration::from_secs(12),
        commit: |it| {
            it.until_printed("far", "at work");
            // The one that listens goes: those who are in stay in.
            let listener = it.sshd.as_ref().unwrap().processes("[listener]");
            it.complaints.extend(listener.is_empty().then(|| "no sshd listens".to_owned()));
            for pid in listener {
                assert!(kill("HUP", &pid));
            }
            std::thread::sleep(Duration::from_millis(500));
            it.read();
            if !it.all("stream_failed", "").is_empty() || it.over() {
                it.complain("a restart of the listener disturbed a stream");
            }
            for pid in it.sshd.as_ref().unwrap().processes("sshd: tester") {
                kill("KILL", &pid);
            }
            it.fire();
        },
        ..FAULT
    },
    Fault {
        id: "F37",
        title: "more streams than a host takes",
        how: "40 streams at once; MaxStartups 10:30:100, MaxSessions 10",
        does: "shares connections, makes few at a time, tries again: all 40 get in",
        kind: Kind::Host,
        on: SSH,
        text: "stream far[1..40] = \"FAR\"\non far {\n  $ echo here\n  barrier met\n}\n",
        bound: Duration::from_secs(40),
        prepare: |it| {
            let text = it.text.clone();
            let old = it.sshd.as_ref().unwrap().uri("tester");
            it.sshd = Some(Sshd::start("MaxStartups 10:30:100\nMaxSessions 10"));
            it.text = text.replace(&old, &it.sshd.as_ref().unwrap().uri("tester"));
        },
        commit: |it| {
            it.until("barrier_released", "\"parties\":40");
            it.fire();
        },
        after: |it| {
            if it.all("stream_opened", "").len() != 40 {
                it.complain("not all 40 got in");
            }
        },
        ..FAULT
    },
    Fault {
        id: "F39",
        title: "a far step exits with 255, or is killed",
        how: "`exit 255`; `kill -KILL $$`",
        does: "a failed step, never a lost connection",
        on: &[Place::Ssh, Place::Docker],
        text: "stream far = \"FAR\"\nstream other = \"FAR\"\non far {\n  $ exit 255\n}\non other {\n  $ kill -KILL $$\n}\n",
        exit: 1,
        says: &[
            "far: $ exit 255 · test.ms:4",
            "exit status 255",
            "other: $ kill -KILL $$ · test.ms:7",
            "killed by SIGKILL",
        ],
        commit: |it| {
            it.until("step_ended", "\"status\":255");
            it.until("step_ended", "SIGKILL");
            it.fire();
        },
        ..FAULT
    },
];

/// Cuts the cable.
fn cut(it: &mut Trial) {
    it.sshd.as_ref().unwrap().cut();
    it.fire();
}
