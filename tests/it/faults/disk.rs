//! F: what happens to disks, to the clock, and to what is written.

use std::time::Duration;

use super::calls::SWEEP;
use super::trial::Trial;
use super::{FAULT, Fault, Kind, survive};

#[test]
fn faults_of_disks_and_clocks_are_survived() {
    survive(FAULTS);
}

pub(super) const FAULTS: &[Fault] = &[
    SWEEP,
    Fault {
        id: "F71",
        title: "the clock on the wall jumps",
        how: "an hour on and an hour back in the middle of a run, by libfaketime",
        does: "durations and timeouts are those of a clock that does not jump",
        kind: Kind::Clock,
        text: "stream far = local\non far {\n  $ date +%s\n  $ sleep 1.5\n  $ date +%s\n  shell(timeout = 1s) \"exec SLEEP\"\n}\n",
        exit: 4,
        says: &["timed out after 1", "test.ms:6"],
        bound: Duration::from_secs(10),
        story: |it| {
            for jump in ["+3600", "-3600"] {
                jumps(it, jump);
                it.again();
            }
        },
        ..FAULT
    },
    Fault {
        id: "F73",
        title: "mstream is killed while it writes a report",
        how: "kill -9 at each call of `mstream graph export -o FILE` that opens, writes, syncs, renames or closes",
        does: "the file is the old one or the new one, and never half of one",
        kind: Kind::Disk,
        text: "stream far[1..40] = local\non far {\n  $ echo one\n  barrier met\n}\n",
        bound: Duration::from_secs(20),
        story: half_written,
        ..FAULT
    },
];

fn jumps(it: &mut Trial, jump: &str) {
    let mut folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let library = folders.find_map(|folder| Some(folder.join("faketime/libfaketimeMT.so.1")).filter(|it| it.exists()));
    let library = library.expect("libfaketime is installed").display().to_string();
    let file = it.path("clock");
    std::fs::write(&file, "+0").unwrap();
    let set = [
        ("LD_PRELOAD", &*library),
        ("FAKETIME_TIMESTAMP_FILE", &file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
    ];
    let set = set.map(|(name, value)| format!("{name}={value}").into());
    it.before = std::iter::once("env".into()).chain(set).collect();
    it.start();
    it.until("step_started", "sleep 1.5");
    std::fs::write(&file, jump).unwrap();
    it.end();
    let text = std::fs::read_to_string(it.run_folder().unwrap().join("output/far.out")).unwrap_or_default();
    let times: Vec<i64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let jumped = times.last().copied().unwrap_or_default() - times.first().copied().unwrap_or_default();
    if (jumped - jump.parse::<i64>().unwrap()).abs() < 60 {
        it.fire();
    }
    for (words, range) in [("sleep 1.5", 1.45..2.6), ("test.ms:6", 0.95..2.1)] {
        let took = it.time("step_ended", words) - it.time("step_started", words);
        if !range.contains(&took) {
            it.complain(format!("after a jump of {jump} s, `{words}` took {took} s"));
        }
    }
    let told: Vec<f64> = it.ended().events.iter().filter_map(|event| event["t"].as_f64()).collect();
    if !told.is_sorted() || told.last().is_none_or(|last| *last > 20.0) {
        it.complain("the times of the events jump");
    }
    super::audit::audit(it);
}

/// What opens, writes and puts a file in place.
const WRITING: [&str; 8] = ["openat", "write", "fsync", "fdatasync", "ftruncate", "rename", "renameat2", "close"];

fn half_written(it: &mut Trial) {
    std::fs::write(it.path("work/test.ms"), &it.text).unwrap();
    let program = super::trial::program();
    let export = |words: &[&str]| {
        let mut command = std::process::Command::new(words[0]);
        command.args(&words[1..]).arg(&program).args([
            "graph",
            "export",
            "test.ms",
            "--format",
            "json",
            "-o",
            "plan.json",
        ]);
        command.current_dir(it.folder.path().join("work")).output().unwrap()
    };
    let report = it.path("work/plan.json");
    assert!(export(&["env"]).status.success());
    let new = std::fs::read(&report).unwrap();
    let (mut killed, mut before, mut complaints) = (0, 0, Vec::new());
    for call in WRITING {
        for number in 1..400 {
            let old = b"{\"old\": true}\n";
            std::fs::write(&report, old).unwrap();
            let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={number}"));
            let ran = export(&["strace", "-f", "-qq", "-e", &trace, "-e", &inject, "-o", "/dev/null"]);
            let found = std::fs::read(&report).unwrap_or_default();
            if found != old && found != new {
                complaints.push(format!(
                    "killed at {call} {number}: {} bytes of {} stand there",
                    found.len(),
                    new.len()
                ));
            }
            if ran.status.success() {
                break;
            }
            killed += 1;
            before += usize::from(found == old);
        }
    }
    // Once more, undisturbed: what a killed one has left is gone then.
    assert!(export(&["env"]).status.success());
    let left: Vec<String> = super::trial::entries(&it.path("work"));
    if left != ["plan.json", "test.ms"] {
        complaints.push(format!("left behind: {left:?}"));
    }
    if killed < 10 || before == 0 {
        complaints.push(format!("killed {killed} times, {before} times before the end"));
    }
    it.complaints.extend(complaints);
    it.fire();
}
