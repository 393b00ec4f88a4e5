//! What people read when a run is over.

use insta::assert_snapshot;

use super::super::story::Story;
use super::*;
use crate::event::{Channel, Reason};
use crate::plan::StepKind;

#[track_caller]
fn told(story: &Story) -> String {
    let mut summary = Summary::new(Arc::clone(&story.plan), Arc::clone(&story.sources), Style::default());
    story.records.iter().for_each(|record| summary.record(record));
    summary.render()
}

const FAILED: Verdict =
    Verdict { failed: true, timed_out: false, surroundings: false, leaked: false, internal: false, interrupted: false };

const SERVICES: &str = "web: $ serve --port 8080; barrier loaded; $ stop; finally; $ rm -rf /srv
db: $ load; barrier loaded
cache: barrier loaded; $ warm";

#[test]
fn all_passed() {
    let story = Story::new("a: $ x").tell("0 a: starts / $ x\n 20 a: passes / $ x");
    assert_snapshot!(told(&story.at(21, Event::RunEnded(Verdict::default()))), @"passed in 21ms: 1 step");
}

#[test]
fn one_failure_and_what_followed() {
    let story = Story::new(SERVICES).tell(
        "0 web: starts / $ serve
         0 db: starts / $ load
         1 cache: waits / barrier loaded
         100 web: prints / $ serve / loading configuration
         200 db: passes / $ load
         200 db: waits / barrier loaded
         2100 web: warns / $ serve / port 8080 is in use
         2110 web: fails / $ serve / 3
         2110 db: breaks / barrier loaded / web / $ serve
         2110 cache: breaks / barrier loaded / web / $ serve
         2111 web: skips / barrier loaded
         2111 web: skips / $ stop
         2112 web: finally
         2112 web: starts / $ rm
         2113 web: passes / $ rm",
    );
    assert_snapshot!(told(&story.at(2120, Event::RunEnded(FAILED))), @"
    web: $ serve --port 8080 · deploy.ms:1
      exit status 3 after 2.1s
      │ loading configuration
      │ port 8080 is in use
      because of it
        db: broken at barrier loaded · deploy.ms:2
        cache: broken at barrier loaded · deploy.ms:3

    failed in 2.1s: 8 steps, 2 passed, 1 failed, 2 broken, 2 skipped, 1 never started
    ");
}

#[test]
fn who_waited_for_whom() {
    let story = Story::new(SERVICES).tell(
        "1 cache: waits / barrier loaded
         31 web: waits / barrier loaded
         3131 db: waits / barrier loaded
         3131 db: releases / loaded
         3131 db: passes / barrier loaded",
    );
    let gate = story.barrier("loaded");
    let story = story.at(3200, Event::GateReleased(gate, Duration::from_micros(180)));
    assert_snapshot!(told(&story.at(3300, Event::RunEnded(Verdict::default()))), @"
    who waited
      loaded  last: db  waited: cache 3.1s, web 3.1s

    started together
      3 streams within 180us · deploy.ms:1

    passed in 3.3s: 8 steps, 1 passed, 7 never started
    ");
}

#[test]
fn nobody_reads_of_waits_that_were_short() {
    let story = Story::new(SERVICES).tell(
        "1 cache: waits / barrier loaded
         31 web: waits / barrier loaded
         100 db: releases / loaded",
    );
    assert!(!told(&story).contains("waited"));
}

#[test]
fn a_timeout_at_a_barrier_tells_who_is_missing_and_what_they_do() {
    let story = Story::new(SERVICES).tell(
        "0 web: starts / $ serve
         1 cache: waits / barrier loaded
         2 db: waits / barrier loaded
         3 web: prints / $ serve / waiting for a licence
         5001 db: times out / barrier loaded / 5
         5001 cache: times out / barrier loaded / 5
         6000 web: passes / $ serve
         6000 web: breaks / barrier loaded / cache / barrier loaded",
    );
    assert_snapshot!(told(&story.at(6001, Event::RunEnded(Verdict { timed_out: true, ..FAILED }))), @"
    db: barrier loaded · deploy.ms:2
      timed out after 5s
      had come: cache and db
      had not: web, in step $ serve --port 8080 (line 1)
        │ waiting for a licence
      because of it
        web: broken at barrier loaded · deploy.ms:1

    timed out in 6.0s: 8 steps, 1 passed, 2 timed out, 1 broken, 4 never started
    ");
}

#[test]
fn a_false_expectation_shows_its_parts() {
    let story = Story::new("a: $ probe");
    let step = story.step("a", "$ probe");
    let parts = ["probe.exit == 0", "probe.exit = 7"].map(str::to_owned).to_vec();
    let story = story
        .plan(|plan| plan.steps[step].kind = StepKind::Expect)
        .at(0, Event::StepEnded(step, Outcome::Failed(Reason::Unmet(parts))))
        .at(1, Event::RunEnded(FAILED));
    assert_snapshot!(told(&story), @"
    a: $ probe · deploy.ms:1
      not true: probe.exit == 0
        probe.exit = 7

    failed in 1ms: 1 step, 1 failed
    ");
}

#[test]
fn faults_of_the_surroundings_are_told_apart() {
    let story = Story::new("web: python; barrier b\ndb: $ load; barrier b".replace("python", "$ python").as_str());
    let (python, load) = (story.step("web", "$ python"), story.step("db", "$ load"));
    let db = story.stream("db");
    let refused = "connection refused\nis sshd running on db.example.com?";
    let missing = Exit::NotStarted("python3 is not there".into());
    let story = story
        .at(0, Event::StreamFailed(db, Fault::Unreachable(refused.into())))
        .at(0, Event::StepEnded(load, Outcome::Unreachable("connection refused".into())))
        .at(0, Event::StepEnded(python, Outcome::Failed(Reason::Exit(missing))))
        .at(1, Event::RunEnded(Verdict { surroundings: true, ..FAILED }));
    assert_snapshot!(told(&story), @"
    db · deploy.ms:1
      could not be opened: connection refused (a fault of the surroundings, not of the test)
        is sshd running on db.example.com?
      because of it
        db: did not get through $ load · deploy.ms:2

    web: $ python · deploy.ms:1
      not started: python3 is not there (a fault of the surroundings, not of the test)

    the surroundings failed in 1ms: 4 steps, 1 failed, 1 unreachable, 2 never started
    ");
}

#[test]
fn what_uses_a_stream_that_went_away_may_have_failed_of_that() {
    let story = Story::new("web: let port $ serve; $ rest\ndb: host web $ curl; $ load\nui: use port $ ask");
    let (web, rest) = (story.stream("web"), story.step("web", "$ rest"));
    let (curl, load, ask) = (story.step("db", "host web"), story.step("db", "$ load"), story.step("ui", "use port"));
    let refused = || Outcome::Failed(Reason::Exit(Exit::Status(7)));
    let silent = "Timeout, server 192.0.2.7 not responding.";
    let story = story
        .at(0, Event::StepStarted(curl, 1))
        .at(0, Event::StepStarted(ask, 1))
        .at(9, Event::StepEnded(curl, refused()))
        .at(9, Event::StepEnded(load, refused()))
        .at(15_000, Event::StreamFailed(web, Fault::Lost(silent.into())))
        .at(15_000, Event::StepEnded(rest, Outcome::Lost(silent.into())))
        .at(16_000, Event::StepEnded(ask, refused()));
    assert_snapshot!(told(&story.at(16_001, Event::RunEnded(Verdict { surroundings: true, ..FAILED }))), @"
    db: $ curl · deploy.ms:2
      exit status 7 after 9ms
        it uses the address of web, which went away · deploy.ms:1

    db: $ load · deploy.ms:2
      exit status 7 after 9ms

    web · deploy.ms:1
      went away: Timeout, server 192.0.2.7 not responding. (a fault of the surroundings, not of the test)
      because of it
        web: did not get through $ rest · deploy.ms:1

    ui: $ use port $ ask · deploy.ms:3
      exit status 7 after 16s
        it uses the value port of web, which went away · deploy.ms:1

    the surroundings failed in 16s: 5 steps, 3 failed, 1 lost, 1 never started
    ");
}

/// `web` has a background process, `httpd`, and runs `$ probe`; it prints and dies.
fn a_death() -> Story {
    let story = Story::new("web: $ serve; $ probe; barrier b\ndb: barrier b");
    let (serve, probe) = (story.step("web", "$ serve"), story.step("web", "$ probe"));
    let story = story.plan(|plan| {
        let StepKind::Run(code) = plan.steps[serve].kind else { unreachable!() };
        let every = Duration::from_secs(1);
        let handle = crate::plan::Handle { name: "httpd".into(), step: serve, code, ready: None, alive: None, every };
        plan.steps[serve].kind = StepKind::Start(plan.handles.push(handle));
    });
    story
        .at(0, Event::StepStarted(serve, 1))
        .at(1, Event::StepEnded(serve, Outcome::Passed))
        .at(2, Event::StepStarted(probe, 1))
        .at(3, Event::Output(serve, Channel::Stderr, "panic: no space left".into()))
        .at(4, Event::ProcessEnded(serve, Exit::Signal(6)))
}

#[test]
fn a_background_process_that_died_is_an_origin() {
    let story = a_death();
    let (serve, probe, wait) =
        (story.step("web", "$ serve"), story.step("web", "$ probe"), story.step("db", "barrier"));
    let story = story
        .at(5, Event::StepEnded(wait, Outcome::Broken(Origin::Step(serve))))
        .at(5, Event::StepEnded(probe, Outcome::Cancelled(Cause::Stream(Origin::Step(serve)))))
        .at(6, Event::RunEnded(FAILED));
    assert_snapshot!(told(&story), @"
    web: start httpd · deploy.ms:1
      died in the background: killed by SIGABRT
      │ panic: no space left
      because of it
        db: broken at barrier b · deploy.ms:2
        web: cancelled in $ probe · deploy.ms:1

    failed in 6ms: 4 steps, 1 passed, 1 broken, 1 cancelled, 1 never started
    ");
}

#[test]
fn a_step_that_failed_of_a_background_process_shows_its_output() {
    let story = a_death();
    let (serve, probe, wait) =
        (story.step("web", "$ serve"), story.step("web", "$ probe"), story.step("db", "barrier"));
    let story = story
        .at(5, Event::StepEnded(probe, Outcome::Failed(Reason::Background(serve, "httpd is not healthy".into()))))
        .at(5, Event::StepEnded(wait, Outcome::Broken(Origin::Step(serve))))
        .at(6, Event::RunEnded(FAILED));
    assert_snapshot!(told(&story), @"
    web: $ probe · deploy.ms:1
      httpd is not healthy
        background process httpd, killed by SIGABRT · deploy.ms:1
      │ panic: no space left
      because of it
        db: broken at barrier b · deploy.ms:2

    failed in 6ms: 4 steps, 1 passed, 1 failed, 1 broken, 1 never started
    ");
}

#[test]
fn code_of_an_open_start_gate_that_times_out_misses_nobody() {
    let story = Story::new("a: $ x; barrier go\nb: $ y; barrier go");
    let (gate, x, y) = (story.barrier("go"), story.step("a", "$ x"), story.step("b", "$ y"));
    let gates = |plan: &mut Plan| {
        (plan.barriers[gate].gate, plan.barriers[gate].parties) = (true, [x, y].into());
        plan.steps[x].extra.get_or_insert_default().gate = Some(gate);
        plan.steps[y].extra.get_or_insert_default().gate = Some(gate);
    };
    let early = Event::StepEnded(x, Outcome::TimedOut(Duration::from_secs(2)));
    let held = Story::new("a: $ x; barrier go\nb: $ y; barrier go")
        .plan(gates)
        .tell("0 a: starts / $ x")
        .at(1, Event::StepReady(x));
    assert!(told(&held.at(2000, early.clone())).contains("had come: a\n  had not: b, not begun"));
    let open = Story::new("a: $ x; barrier go\nb: $ y; barrier go")
        .plan(gates)
        .tell("0 a: starts / $ x\n 0 b: starts / $ y")
        .at(1, Event::StepReady(x))
        .at(1, Event::StepWaiting(x))
        .at(1501, Event::StepReady(y))
        .tell("1501 b: releases / go")
        .at(1501, Event::StepReleased(x))
        .at(3501, early);
    assert_snapshot!(told(&open), @"
    a: $ x · deploy.ms:1
      timed out after 2s

    who waited
      go  last: b  waited: a 1.5s

    not finished in 3.5s: 4 steps, 1 timed out, 3 never started
    ");
}

#[test]
fn an_interrupted_run_says_so_and_what_it_stopped() {
    let story = Story::new("a: $ long; finally; $ clean");
    let step = story.step("a", "$ long");
    let leak = Leak { pid: 4711, command: "sleep 1000".into() };
    let story = story
        .tell("0 a: starts / $ long\n 5 a: prints / $ long / 3 of 10")
        .at(3000, Event::Interrupted(Urgency::Orderly))
        .at(3001, Event::StepLeaked(step, vec![leak]))
        .at(3001, Event::StepEnded(step, Outcome::Cancelled(Cause::Interrupt)))
        .tell("3002 a: finally\n 3002 a: starts / $ clean\n 3014 a: fails / $ clean / 1")
        .at(3020, Event::OutputCut(step, Channel::Stdout, 3 << 30))
        .at(3100, Event::RunEnded(Verdict { interrupted: true, ..FAILED }));
    assert_snapshot!(told(&story), @"
    a: finally: $ clean · deploy.ms:1
      exit status 1 after 12ms

    interrupted after 3.0s: steps were stopped, `finally` ran
      stopped a: $ long · deploy.ms:1
        │ 3 of 10

    left behind
      a: $ long · deploy.ms:1: process 4711, sleep 1000

    output that was not kept
      a: $ long · deploy.ms:1: 3.0 GiB

    interrupted in 3.1s: 2 steps, 1 failed, 1 cancelled
    ");
}

#[test]
fn failures_that_may_be_are_counted_apart() {
    let story = Story::new("a: ? $ luck; $ go").tell("0 a: fails / ? $ luck / 1\n 1 a: passes / $ go");
    assert_snapshot!(told(&story.at(2, Event::RunEnded(Verdict::default()))), @"passed in 2ms: 2 steps, 1 passed, 1 failed as they may");
}

#[test]
fn thousands_of_failures_are_counted() {
    let text = (0..1000).map(|n| format!("s{n}: $ x; barrier b\n")).collect::<Vec<_>>().concat();
    let lines = (0..1000).map(|n| format!("{n} s{n}: fails / $ x / 1\n")).collect::<Vec<_>>().concat();
    let text = told(&Story::new(&text).tell(&lines));
    assert!(text.contains("\nand 950 more failures of their own\n") && text.lines().count() < 200);
}
