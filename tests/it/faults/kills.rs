//! mstream itself is killed, at moments spread over a whole run: nothing outlives it for longer than the lease.

use std::time::{Duration, Instant};

use super::audit::left;
use super::trial::{Trial, kill_all};
use super::{FAULT, Fault, Kind, Place, soak, survive};

#[test]
fn kills_of_mstream_are_survived() {
    survive(FAULTS);
}

pub(super) const FAULTS: &[Fault] = &[KILLED, BOTH_KILLED];

/// What wants to outlive it: in the background, as a daemon, deaf, with a file on its way and a folder of its own.
const BUSY: &str = "stream far = \"FAR\"\nstream near = local\n\
    on far {\n  finally { $ sleep 0.05 }\n  start deaf = shell \"trap '' TERM; (setsid SLEEP &); SLEEP; :\"\n  \
    shell(env = { T = secret(\"CANARY\") }) \"echo at work >$MSTREAM_TMP/file; sleep 0.1\"\n  put \"test.ms\" to \"/tmp/NAME\"\n  \
    barrier met\n  $ rm /tmp/NAME; sleep 0.2\n  stop deaf(grace = 300ms)\n}\n\
    on near {\n  let x = shell \"(env -i setsid SLEEP >/dev/null 2>&1 &); echo x\"\n  barrier met\n  $ sleep 0.2\n}\n";

/// What the run comes to when nobody kills it.
const LEFT: i32 = 5;

const LEASE: Duration = Duration::from_secs(3);

const KILLED: Fault = Fault {
    id: "F20",
    title: "mstream is killed",
    how: "kill -9 of the process that runs the scenario, at moments spread over a run (500 in `tests/soak`)",
    does: "its guardian ends what runs here and in containers, and removes what was made; hosts do so by the lease; nothing is left for `mstream clean`",
    kind: Kind::Signal,
    on: &[Place::Local, Place::Ssh, Place::Docker],
    text: BUSY,
    options: &["--lease", "3s"],
    exit: 137,
    bound: Duration::from_secs(10),
    once: true,
    story: |it| spread(it, false),
    ..FAULT
};

const BOTH_KILLED: Fault = Fault {
    id: "F21",
    title: "mstream and its guardian are killed at once",
    how: "kill -9 of both, at moments spread over a run",
    does: "hosts end by the lease; the next run says that something may be left; `mstream clean --stale` removes it, and finds nothing the second time",
    story: |it| spread(it, true),
    ..KILLED
};

/// At how many moments it is killed.
fn moments(place: Place) -> u32 {
    let asked = std::env::var("MSTREAM_SOAK_KILLS").ok().and_then(|text| text.parse().ok());
    match (soak(), place) {
        (true, _) => asked.unwrap_or(500),
        (false, Place::Local) => 16,
        (false, Place::Ssh | Place::Cable) => 5,
        (false, Place::Docker) => 4,
    }
}

fn spread(it: &mut Trial, both: bool) {
    it.text = it.text.replace("NAME", &it.sleep.replace(' ', "-"));
    // How long it takes when nobody disturbs it.
    it.start();
    it.end();
    // The daemon is named, and killed.
    assert_eq!(it.ended().code, Some(LEFT), "{}", it.told());
    let whole = it.ended().took;
    it.again();
    let count = moments(it.place);
    let mut hits = 0;
    for moment in 0..count {
        let at = whole * moment / count;
        it.start();
        std::thread::sleep(at);
        let victims = if both { it.both() } else { it.coordinator().into_iter().collect() };
        let hit = !victims.is_empty() && kill_all(&victims);
        if hit {
            it.fire();
            hits += 1;
        }
        let killed = Instant::now();
        it.end();
        // It may have been over, or not yet begun.
        let code = it.ended().code;
        let took = it.ended().took;
        if hit && took > it.fault.bound {
            it.complain(format!("A1: killed at {at:?}: took {took:?}"));
        }
        if hit && ![Some(137), Some(LEFT)].contains(&code) {
            it.complain(format!("at {at:?}: the exit code is {code:?}"));
        }
        if both {
            // What was started on hosts has its lease.
            let lease = if it.sshd.is_some() || it.engine.is_some() { LEASE } else { Duration::ZERO };
            std::thread::sleep(lease.saturating_sub(killed.elapsed()));
            clean(it, at);
        }
        it.patience = LEASE + Duration::from_secs(5);
        for words in left(it) {
            it.complain(format!("killed at {at:?} of {whole:?}: {words}"));
        }
        remove_put(it);
        it.again();
    }
    println!("{}: killed at {hits} of {count} moments, {:?}", it.fault.id, it.place);
    // At the first ones it has not begun, and at the last ones it may be over.
    if hits * 2 < count {
        it.complain(format!("it was hit at {hits} of {count} moments"));
    }
    if !both {
        it.run(&["clean".into()]);
        it.end();
        let told = format!("{}{}", it.ended().out, String::from_utf8_lossy(&it.ended().screen));
        if !told.contains("nothing was left behind") {
            it.complain(format!("something was left for `mstream clean`: {told}"));
        }
    }
}

/// Runs `mstream clean --stale` twice.
fn clean(it: &mut Trial, at: Duration) {
    for wanted in ["", "nothing was left behind"] {
        it.next();
        it.run(&["clean".into(), "--stale".into()]);
        it.end();
        let ended = it.ended();
        let told = format!("{}{}", ended.out, String::from_utf8_lossy(&ended.screen));
        if ended.code != Some(0) || !told.contains(wanted) {
            it.complain(format!("killed at {at:?}: `mstream clean --stale` ends with {:?}: {told}", ended.code));
        }
    }
}

/// What a step has put into a folder that all share is the scenario's to remove.
fn remove_put(it: &Trial) {
    let name = format!("/tmp/{}", it.sleep.replace(' ', "-"));
    let _ = std::fs::remove_file(&name);
    assert!(!std::path::Path::new(&name).exists());
}
