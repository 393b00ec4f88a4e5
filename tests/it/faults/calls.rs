//! The Nth call to the system fails, for every N until none is left to fail: whatever comes of it, mstream does not hang,
//! leaves nothing behind that it does not name, and never says that all is well where it is not.

use std::time::Duration;

use super::audit::{audit, processes};
use super::trial::{Trial, entries};
use super::{FAULT, Fault, Kind, soak};

pub(super) const SWEEP: Fault = Fault {
    id: "F65",
    title: "the Nth call to the system fails",
    how: "`strace -e inject` with EIO, ENOSPC, EAGAIN or ECONNREFUSED, N from 1 until none is left (here a choice of N, all in `tests/soak`)",
    does: "fails with a reason, or passes with all that it did; no hang, no panic, nothing left behind in silence",
    kind: Kind::Call,
    text: "stream far = local\nstream near = local\non far {\n  $ echo far did it\n  barrier met\n}\non near {\n  let x = shell \"echo near did it\"\n  \
           barrier met\n  $ echo ${{x}}\n}\n",
    bound: Duration::from_secs(30),
    placeless: true,
    once: true,
    story: sweep,
    ..FAULT
};

/// A call, and how it fails.
const CALLS: [(&str, &str); 9] = [
    ("openat", "error=EIO"),
    ("write", "error=ENOSPC"),
    ("fdatasync", "error=EIO"),
    ("mkdir", "error=ENOSPC"),
    ("clone3", "error=EAGAIN"),
    ("clone", "error=EAGAIN"),
    ("vfork", "error=EAGAIN"),
    ("connect", "error=ECONNREFUSED"),
    ("unlink", "error=EIO"),
];

/// Without `tests/soak`, each Nth is tried of which the number is among these.
const SOME: [usize; 10] = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89];

/// More calls of one kind than any run makes.
const ENDLESS: usize = 2_000;

fn sweep(it: &mut Trial) {
    let (mut tried, mut passed) = (0, 0);
    for (call, how) in CALLS {
        let mut touched = 0;
        for number in 1..ENDLESS {
            if !soak() && !SOME.contains(&number) {
                continue;
            }
            let trace = it.path(&format!("trace-{call}-{number}"));
            let inject = format!("inject={call}:{how}:when={number}");
            let words = ["strace", "-f", "-qq", "-e", &format!("trace={call}"), "-e", &inject, "-o"];
            it.before = words.into_iter().map(Into::into).chain([trace.clone().into()]).collect();
            it.start();
            it.end();
            let log = std::fs::read_to_string(&trace).unwrap_or_default();
            let _ = std::fs::remove_file(&trace);
            if !log.contains("(INJECTED)") {
                break;
            }
            touched += 1;
            it.fire();
            passed += usize::from(it.ended().code == Some(0));
            look(it, &format!("{call} {number}"), &log);
            it.again();
        }
        tried += touched;
    }
    // Calls that a run can do without are few; those that it cannot do without are many.
    println!("F65: {tried} calls failed, {passed} runs passed all the same");
    if tried < 20 || passed == tried {
        it.complain(format!("{tried} calls failed, and {passed} runs passed"));
    }
    it.before.clear();
    it.start();
    it.end();
    audit(it);
}

/// What holds for each.
fn look(it: &mut Trial, which: &str, log: &str) {
    let mut wrong = Vec::new();
    let ended = it.ended();
    let all = format!("{}{}", ended.out, String::from_utf8_lossy(&ended.screen));
    if ended.hopeless || ended.took > it.fault.bound {
        wrong.push(format!("took {:?}", ended.took));
    }
    // A write that wakes a thread never fails for want of room; made to fail all the same, the runtime gives up.
    let panics = all.matches("panicked at").count();
    if panics > all.matches("failed to wake I/O driver").count() {
        wrong.push("panicked".to_owned());
    }
    match ended.code {
        Some(0) => {
            let text = |name: &str| {
                let file = it.run_folder().map(|folder| folder.join(format!("output/{name}.out")));
                file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default()
            };
            let whole = text("far") == "far did it\n" && text("near") == "near did it\nnear did it\n";
            let ended = ended.events.last().is_some_and(|event| event["event"] == "run_ended");
            if !whole || !ended || !all.contains("passed in") {
                wrong.push("says that all has passed, and it has not".to_owned());
            }
        }
        // The loader itself, before any code of ours, ends with 127; a tracer with 1.
        Some(1..=5 | 70 | 127 | 137) => {
            let unheard =
                |line: &str| line.contains("(INJECTED)") && ["write(1,", "write(2,"].iter().any(|to| line.contains(to));
            if all.trim().is_empty() && !log.lines().any(unheard) {
                wrong.push(format!("ends with {:?} and says nothing", ended.code));
            }
        }
        other => wrong.push(format!("the exit code is {other:?}")),
    }
    wrong.extend(processes(it).into_iter().map(|left| format!("left running: {left}")));
    for name in ["tmp", "home", "runtime"] {
        for left in entries(&it.path(name)) {
            // What cannot be removed is named.
            if !all.contains(&left) {
                wrong.push(format!("left behind in silence: {name}/{left}"));
            }
            let _ = std::fs::remove_dir_all(it.path(name).join(left));
        }
    }
    for words in wrong {
        it.complain(format!("{which}: {words}\n{all:.1500}"));
    }
}
