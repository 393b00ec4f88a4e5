//! What people read while a run goes on.

use bytes::Bytes;
use insta::assert_snapshot;

use super::super::story::Story;
use super::*;
use crate::event::Origin;

#[track_caller]
fn told(story: &Story, color: bool) -> String {
    let mut plain = Plain::new(Arc::clone(&story.plan), Arc::clone(&story.sources), Style { color });
    let mut out = Vec::new();
    story.records.iter().for_each(|record| plain.record(record, &mut out));
    String::from_utf8(out).unwrap()
}

const SERVICES: &str = "web: $ serve --port 8080; barrier loaded; $ stop
db: $ load; barrier loaded
cache: barrier loaded";

#[test]
fn a_run_in_which_everything_is_well() {
    let story = Story::new(SERVICES).tell(
        "0 web: starts / $ serve
         0 db: starts / $ load
         1 cache: waits / barrier loaded
         20 web: prints / $ serve / listening on 8080
         25 web: warns / $ serve / no certificate, plain HTTP
         30 web: passes / $ serve
         31 web: waits / barrier loaded
         4120 db: prints / $ load / 12 tables
         4130 db: passes / $ load
         4131 db: waits / barrier loaded
         4131 db: releases / loaded
         4131 web: passes / barrier loaded",
    );
    assert_snapshot!(told(&story, false), @"
    web   ▸ $ serve --port 8080 · deploy.ms:1
    db    ▸ $ load · deploy.ms:2
    cache ◆ waits at barrier loaded for web and db
    web   │ listening on 8080
    web   ! no certificate, plain HTTP
    web   ◆ waits at barrier loaded for db
    db    │ 12 tables
    db    ✓ $ load passed after 4.1s
    db    ◆ barrier loaded goes on, db came last; cache waited 4.1s
    ");
}

#[test]
fn a_failure_and_whom_it_breaks() {
    let story = Story::new(SERVICES).tell(
        "0 web: starts / $ serve
         1 cache: waits / barrier loaded
         20 web: dies / $ serve / 11
         20 cache: breaks / barrier loaded / web / $ serve
         30 web: skips / $ stop",
    );
    assert_snapshot!(told(&story, false), @"
    web   ▸ $ serve --port 8080 · deploy.ms:1
    cache ◆ waits at barrier loaded for web and db
    web   ✗ $ serve --port 8080 failed: killed by SIGSEGV · deploy.ms:1
    cache ✗ barrier loaded broken: web failed at deploy.ms:1
    ");
}

#[test]
fn a_timeout_at_a_barrier_names_who_is_missing_and_what_they_do() {
    let story = Story::new(SERVICES).tell(
        "0 db: starts / $ load
         1 cache: waits / barrier loaded
         5001 cache: times out / barrier loaded / 5",
    );
    assert_snapshot!(told(&story, false), @"
    db    ▸ $ load · deploy.ms:2
    cache ◆ waits at barrier loaded for web and db
    cache ✗ barrier loaded timed out after 5s · deploy.ms:3
    cache ✗   missing: web, not begun
    cache ✗   missing: db, in step $ load (line 2)
    ");
}

#[test]
fn who_is_missing_is_told_once_for_all_who_waited() {
    let story = Story::new(SERVICES);
    let (loaded, cache) = (story.barrier("loaded"), story.step("cache", "barrier"));
    let story = story
        .tell("1 cache: waits / barrier loaded\n 2 db: waits / barrier loaded\n 5001 cache: times out / barrier loaded / 5")
        .at(5001, Event::BarrierBroken(loaded, Origin::Step(cache)))
        .tell("5001 db: times out / barrier loaded / 5");
    assert_eq!(told(&story, false).matches("missing: web, not begun").count(), 1);
}

#[test]
fn a_step_that_is_cancelled_names_what_began_it() {
    let story = Story::new("a: $ x\nb: $ y");
    let (x, y) = (story.step("a", "$ x"), story.step("b", "$ y"));
    let cause = Cause::FailFast(Origin::Step(x));
    let story = story.tell("1 a: fails / $ x / 1").at(1, Event::StepEnded(y, Outcome::Cancelled(cause)));
    assert_snapshot!(told(&story, false), @"
    a ✗ $ x failed: exit status 1 · deploy.ms:1
    b ✗ $ y cancelled: a failed at deploy.ms:1 · deploy.ms:2
    ");
}

#[test]
fn signals_meet_too() {
    let story = Story::new("db: $ up; signal ready\nweb: wait ready; $ go").tell(
        "0 web: waits / wait ready
         5 db: passes / signal ready
         5 web: passes / wait ready",
    );
    assert_snapshot!(told(&story, false), @"
    web ◆ waits for signal ready of db
    db  ◆ signal ready
    ");
}

#[test]
fn a_step_is_tried_again_or_may_fail() {
    let story = Story::new("a: $ flaky; ? $ luck");
    let (flaky, luck) = (story.step("a", "$ flaky"), story.step("a", "? $ luck"));
    let failed = |status| Outcome::Failed(Reason::Exit(Exit::Status(status)));
    let story = story
        .at(0, Event::StepStarted(flaky, 1))
        .at(10, Event::Output(flaky, Channel::Stdout, Bytes::from_static(b"no route")))
        .at(20, Event::StepRetried(flaky, failed(7), Duration::from_secs(2)))
        .at(2020, Event::StepStarted(flaky, 2))
        .at(2030, Event::StepEnded(flaky, Outcome::Passed))
        .at(2031, Event::StepStarted(luck, 1))
        .at(2032, Event::StepEnded(luck, failed(139)));
    assert_snapshot!(told(&story, false), @"
    a ▸ $ flaky · deploy.ms:1
    a │ no route
    a ▸ $ flaky failed: exit status 7; again in 2s
    a ▸ $ flaky (time 2) · deploy.ms:1
    a ▸ $ luck · deploy.ms:1
    a ▸ $ luck failed: exit status 139 (SIGSEGV), as it may · deploy.ms:1
    ");
}

#[test]
fn expectations_show_the_value_of_each_part() {
    let story = Story::new("a: $ probe");
    let step = story.step("a", "$ probe");
    let parts = vec!["probe.exit == 0".to_owned(), "probe.exit = 7".to_owned()];
    let story = story.plan(|plan| plan.steps[step].kind = StepKind::Expect);
    let story = story.at(0, Event::StepEnded(step, Outcome::Failed(Reason::Unmet(parts))));
    assert_snapshot!(told(&story, false), @"
    a ✗ $ probe failed: not true · deploy.ms:1
    a ✗   probe.exit = 7
    ");
}

#[test]
fn what_goes_wrong_around_the_steps() {
    let story = Story::new("web: $ serve\ndb: $ load");
    let (web, db) = (story.stream("web"), story.stream("db"));
    let (serve, load) = (story.step("web", "$ serve"), story.step("db", "$ load"));
    let leak = || vec![Leak { pid: 4711, command: "sleep 1000 \u{1b}[2J".into() }];
    let story = story
        .plan(|plan| plan.streams[db].kind = "ssh".into())
        .at(0, Event::StreamOpening(web))
        .at(0, Event::StreamOpening(db))
        .at(10, Event::StreamFailed(db, Fault::Unreachable("connection refused".into())))
        .at(10, Event::StepEnded(load, Outcome::Unreachable("connection refused".into())))
        .at(20, Event::OutputCut(serve, Channel::Stdout, 3 << 30))
        .at(30, Event::StepLeaked(serve, leak()))
        .at(40, Event::Interrupted(Urgency::Orderly))
        .at(41, Event::StepEnded(serve, Outcome::Cancelled(Cause::Interrupt)))
        .at(42, Event::CleanupStarted(web))
        .at(43, Event::RunTimedOut)
        .at(44, Event::StreamClosed(web, leak()));
    assert_snapshot!(told(&story, false), @"
    db  ▸ opens (ssh)
    db  ✗ could not be opened: connection refused · deploy.ms:1
    db  ✗ $ load did not run · deploy.ms:2
    web ✗ 3.0 GiB of stdout are not kept
    web ✗ left behind: process 4711, sleep 1000 ^[[2J
        ✗ interrupted: steps are stopped, `finally` runs; once more ends everything at once
    web ✗ $ serve cancelled: interrupted · deploy.ms:1
    web ▸ finally
        ✗ the time for the whole run is over
    web ✗ left behind: process 4711, sleep 1000 ^[[2J
    ");
}

#[test]
fn a_party_of_thousands_is_counted_not_named() {
    let text = (0..1000).map(|n| format!("s{n}: barrier b\n")).collect::<Vec<_>>().concat();
    let story = Story::new(&text).tell("0 s7: waits / barrier b\n 1 s999: waits / barrier b");
    assert_snapshot!(told(&story, false), @"
    s7   ◆ waits at barrier b: 1 of 1000 have come
    s999 ◆ waits at barrier b: 2 of 1000 have come
    ");
}

#[test]
fn streams_have_colours_where_they_are_allowed() {
    let story = Story::new("web: $ serve\ndb: $ load").tell(
        "0 web: prints / $ serve / up
         0 db: warns / $ load / slow
         1 db: fails / $ load / 3",
    );
    assert_snapshot!(told(&story, true).replace('\x1b', "^"), @"
    ^[36mweb^[0m ^[36m│^[0m up
    ^[32mdb ^[0m ^[33m!^[0m slow
    ^[32mdb ^[0m ^[1m^[31m✗^[0m $ load failed: exit status 3^[2m · deploy.ms:2^[0m
    ");
}

#[test]
fn a_start_gate_tells_its_skew() {
    let story = Story::new("a: barrier go\nb: barrier go");
    let gate = story.barrier("go");
    let story = story
        .plan(|plan| (plan.barriers[gate].gate, plan.barriers[gate].name) = (true, None))
        .at(3, Event::GateReleased(gate, Duration::from_micros(180)));
    assert_eq!(told(&story, false), "  ◆ 2 started together within 180us\n");
}

#[test]
fn an_origin_may_be_a_stream_as_a_whole() {
    let story = Story::new("web: barrier b\ndb: barrier b");
    let (step, db) = (story.step("web", "barrier b"), story.stream("db"));
    let story = story.at(1, Event::StepEnded(step, Outcome::Broken(Origin::Stream(db))));
    assert_snapshot!(told(&story, false), @"web ✗ barrier b broken: db failed at deploy.ms:1");
}
