//! E: what happens at barriers and to the order of things.

use std::time::Duration;

use super::trial::Trial;
use super::{FAULT, Fault, Kind, Place, survive};

#[test]
fn faults_of_meetings_are_survived() {
    survive(FAULTS);
}

const ALL: &[Place] = &[Place::Local, Place::Ssh, Place::Docker];

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        id: "F53",
        title: "one fails before a barrier where many wait",
        how: "`exit 3`, then a timeout, at barriers of 21 parties",
        does: "all who wait are released within 0.25s; each names the origin",
        on: ALL,
        text: "stream far = \"FAR\"\nstream late = \"FAR\"\nstream party[1..20] = local\non far {\n  $ sleep 0.5; exit 3\n  barrier met\n}\n\
               on late {\n  shell(timeout = 5s) \"SLEEP\"\n  barrier later\n}\non party[1..10] {\n  barrier met\n  $ echo never\n}\non party[11..20] {\n  barrier later\n  $ echo never\n}\n",
        options: &["--timeout-scale", "0.2"],
        exit: 4,
        says: &[
            "far: $ sleep 0.5; exit 3 · test.ms:5",
            "exit status 3",
            "because of it",
            "party-1: broken at barrier met",
            "timed out",
            "party-11: broken at barrier later",
        ],
        commit: |it| {
            it.until("barrier_broken", "\"met\"");
            it.until("barrier_broken", "\"later\"");
            it.fire();
        },
        after: |it| {
            for (barrier, origin) in [("barrier met", "test.ms:5"), ("barrier later", "test.ms:9")] {
                let death = it.times("step_ended", origin).into_iter().fold(f64::NAN, f64::min);
                let waiters = it.all("step_ended", "\"broken\"").into_iter().filter(|event| event["label"] == barrier);
                let times: Vec<f64> = waiters.filter_map(|event| event["t"].as_f64()).collect();
                let last = times.iter().copied().fold(0.0, f64::max);
                if times.len() != 10 || last - death > 0.25 {
                    it.complain(format!("{} waiters at {barrier}, the last {} s late", times.len(), last - death));
                }
            }
        },
        ..FAULT
    },
    Fault {
        id: "F54",
        title: "one is only slow",
        how: "works for longer than a barrier with a timeout waits",
        does: "timed out; names who has come, who has not, and what that one is doing",
        on: ALL,
        text: "stream far = \"FAR\"\nstream near = local\nstream other = local\n\
               on far {\n  $ echo still counting; sleep 3\n  barrier met(timeout = 1s)\n}\n\
               on near { barrier met }\non other { barrier met }\n",
        exit: 4,
        says: &["near: barrier met · test.ms:8", "other", "timed out", "far", "test.ms:5", "still counting"],
        commit: |it| {
            it.until("step_ended", "timed_out");
            it.fire();
        },
        ..FAULT
    },
    Fault {
        id: "F55",
        title: "one ends without coming",
        how: "its stream fails in a background process; a barrier that only one stream names",
        does: "the first breaks the barrier at once; the second is refused before the run",
        on: ALL,
        text: "stream far = \"FAR\"\nstream near = local\n\
               on far {\n  start died = shell \"sleep 0.5; exit 4\"\n  SLEEP\n  barrier met\n}\non near { barrier met }\n",
        exit: 1,
        says: &["died", "test.ms:4", "exit status 4", "because of it", "near: broken at barrier met"],
        story: |it| {
            it.text = it.text.replace("  sleep 7", "  $ sleep 7");
            it.start();
            it.until("barrier_broken", "met");
            it.fire();
            it.end();
            super::audit::audit(it);
            it.again();
            "barrier met parties [far, near]\nstream far = local\nstream near = local\non far { barrier met }\non near { $ true }\n".clone_into(&mut it.text);
            (it.exit, it.says) = (2, &["error[", "met", "test.ms:"]);
            it.start();
            it.fire();
            it.end();
            super::audit::audit(it);
        },
        ..FAULT
    },
    Fault {
        id: "F56",
        title: "two barriers in two orders",
        how: "one stream comes to `x` and then to `y`, the other to `y` and then to `x`",
        does: "refused before the run, with both lines, in less than a second",
        kind: Kind::Input,
        text: "stream a = local\nstream b = local\non a {\n  barrier x\n  barrier y\n}\non b {\n  barrier y\n  barrier x\n}\n",
        exit: 2,
        says: &["error[MS201]", "wait for each other", "waits here for `x`", "waits here for `y`"],
        bound: Duration::from_secs(1),
        commit: Trial::fire,
        after: |it| {
            if !it.run_folders().is_empty() {
                it.complain("something ran");
            }
        },
        ..FAULT
    },
    Fault {
        id: "F57",
        title: "a Ctrl-C while some are released and others are not",
        how: "at 24 moments around the release of a barrier of 12 parties",
        does: "after the stop nobody begins a step but what cleans up",
        kind: Kind::Signal,
        text: "stream far[1..12] = local\non far {\n  finally { $ true }\n  for i in 1..6 {\n    barrier met\n    $ sleep 0.01\n  }\n}\n",
        exit: 130,
        says: &["interrupted"],
        story: |it| {
            for moment in 0..24 {
                it.start();
                it.until("barrier_released", "\"met\"");
                std::thread::sleep(Duration::from_micros(moment * 700));
                it.types(b"\x03");
                it.fire();
                it.end();
                if it.all("interrupted", "").is_empty() {
                    // It was over before.
                    it.exit = 0;
                    it.says = &["passed in"];
                }
                super::audit::audit(it);
                (it.exit, it.says) = (130, it.fault.says);
                it.again();
            }
        },
        ..FAULT
    },
    Fault {
        id: "F59",
        title: "a `finally` fails, another one hangs",
        how: "`exit 5`, and a sleep without an end",
        does: "each has its own time; the others run; the first cause stays the first",
        on: ALL,
        text: "stream far = \"FAR\"\nstream near = local\nstream other = local\n\
               on far {\n  finally { SLEEP }\n  $ exit 3\n}\non near {\n  finally {\n    $ exit 5\n    $ echo near cleaned\n  }\n  $ sleep 2\n}\n\
               on other {\n  finally { $ echo other cleaned }\n  $ true\n}\nfinally { $ echo the last word }\n",
        options: &["--timeout-scale", "0.03"],
        exit: 4,
        says: &["far: $ exit 3 · test.ms:6", "exit status 3", "near: finally: $ exit 5 · test.ms:10", "timed out"],
        prepare: |it| {
            it.text = it.text.replace("{ sleep 7", "{ $ sleep 7");
            if it.place != Place::Local {
                // Connecting is scaled as well.
                it.options = ["--timeout-scale", "0.1"].map(Into::into).into();
            }
        },
        commit: |it| {
            it.until("cleanup_started", "far");
            it.until("step_ended", "timed_out");
            it.fire();
        },
        after: |it| {
            for (stream, words) in [("near", "near cleaned"), ("other", "other cleaned")] {
                let text =
                    std::fs::read(it.run_folder().unwrap().join(format!("output/{stream}.out"))).unwrap_or_default();
                if !String::from_utf8_lossy(&text).contains(words) {
                    it.complain(format!("the `finally` of {stream} did not run to its end"));
                }
            }
            let out = it.ended().out.clone();
            let (first, later) = (out.find("$ exit 3"), out.find("$ exit 5"));
            if !matches!((first, later), (Some(first), Some(later)) if first < later) {
                it.complain("the first cause is not told first");
            }
        },
        ..FAULT
    },
];
