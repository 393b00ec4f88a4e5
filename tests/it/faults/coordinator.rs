//! B: what happens to mstream itself.

use std::time::Duration;

use super::trial::Trial;
use super::{FAULT, Fault, Kind, Place, survive};

#[test]
fn faults_of_mstream_itself_are_survived() {
    survive(FAULTS);
}

const ALL: &[Place] = &[Place::Local, Place::Ssh, Place::Docker];

/// A stream at work, one that waits for it, and both clean up.
const AT_WORK: &str = "stream far = \"FAR\"\nstream near = local\n\
    on far {\n  finally { shell(env = { T = secret(\"CANARY\") }) \"echo far cleaned $T\" }\n  \
    shell(env = { T = secret(\"CANARY\") }) \"echo at work with $T; SLEEP\"\n  barrier met\n}\n\
    on near {\n  finally { $ echo near cleaned }\n  barrier met\n}\n";

/// Those who are cleaned up only where there is time.
const DEAF: &str = "stream far = \"FAR\"\non far {\n  finally { $ echo begun; SLEEP }\n  \
    $ trap '' TERM INT; echo deaf; while :; do sleep 0.1; done\n}\n";

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        id: "F17",
        title: "Ctrl-C",
        how: "typed at the terminal",
        does: "stops the steps, runs every `finally`, reports",
        kind: Kind::Signal,
        on: ALL,
        text: AT_WORK,
        exit: 130,
        says: &["interrupted", "far: ", "near: barrier met"],
        bound: Duration::from_secs(12),
        commit: |it| {
            it.until_printed("far", "at work");
            it.types(b"\x03");
            it.until("interrupted", "orderly");
            it.fire();
        },
        after: cleaned,
        ..FAULT
    },
    Fault {
        id: "F18",
        title: "Ctrl-C twice",
        how: "the second one while a `finally` runs",
        does: "ends everything at once, and still reports",
        kind: Kind::Signal,
        on: ALL,
        text: DEAF,
        options: &["--timeout-scale", "0.2"],
        exit: 130,
        says: &["interrupted", "far: "],
        bound: Duration::from_millis(1500),
        commit: |it| {
            it.until_printed("far", "deaf");
            it.types(b"\x03");
            it.until_printed("far", "begun");
            it.types(b"\x03");
            it.fire();
            it.until("interrupted", "at_once");
        },
        ..FAULT
    },
    Fault {
        id: "F19",
        title: "TERM, and the terminal hangs up",
        how: "SIGTERM, SIGHUP",
        does: "as Ctrl-C, with an exit code of its own: 143, 129",
        kind: Kind::Signal,
        text: AT_WORK,
        exit: 143,
        says: &["interrupted"],
        bound: Duration::from_secs(12),
        story: |it| {
            for (signal, code) in [("HUP", 129), ("TERM", 143)] {
                it.exit = code;
                it.start();
                it.until_printed("far", "at work");
                it.signal(signal);
                it.fire();
                it.end();
                cleaned(it);
                super::audit::audit(it);
                if signal == "HUP" {
                    it.again();
                }
            }
        },
        ..FAULT
    },
    Fault {
        id: "F26",
        title: "who reads its output goes away",
        how: "a pipe to `head -c 1` on stdout and on stderr",
        does: "runs on to the end; the journal and the output are whole",
        kind: Kind::Terminal,
        on: &[Place::Local],
        text: "stream far = \"FAR\"\non far {\n  $ for i in $(seq 2000); do echo line $i; done; echo the last one\n}\n",
        bound: Duration::from_secs(20),
        prepare: |it| {
            let script = r#""$@" 2>&1 >"$TRIAL/out" | head -c 1 >"$TRIAL/taken""#;
            it.before = ["bash", "-o", "pipefail", "-c", script, "pipe"].map(Into::into).into();
        },
        commit: |it| {
            it.wait("the end of `head`", |it| {
                (std::fs::metadata(it.path("taken")).is_ok_and(|found| found.len() == 1)).then_some(())
            });
            it.fire();
        },
        after: |it| it.until_printed("far", "the last one"),
        ..FAULT
    },
];

/// Both streams have cleaned up.
fn cleaned(it: &mut Trial) {
    for (stream, words) in [("far", "far cleaned"), ("near", "near cleaned")] {
        let file = it.run_folder().unwrap().join(format!("output/{stream}.out"));
        let text = std::fs::read(file).unwrap_or_default();
        if !String::from_utf8_lossy(&text).contains(words) {
            it.complain(format!("the `finally` of {stream} did not run"));
        }
    }
}
