//! Stories of streams: opening, loss, cleanup.

use std::sync::Arc;

use insta::assert_snapshot;

use super::world::{World, story};
use crate::engine::Limits;
use crate::plan::Context as _;
use crate::plan::sketch::sketch;

#[test]
fn a_stream_has_passed_where_all_of_its_steps_have() {
    let plan = Arc::new(sketch("a: $ 1s; finally; $ clean\nb: $ 1s exit 1\nc: $ 1s; finally; $ exit 1"));
    let mut world = World::new(Arc::clone(&plan), Limits::default());
    world.run();
    let passed = plan.streams.ids().map(|stream| world.engine.passed(stream));
    assert_eq!(passed.collect::<Vec<_>>(), [true, false, false]);
    let succeeded = plan.streams.ids().map(|stream| world.engine.success(stream));
    assert_eq!(succeeded.collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn an_unreachable_stream_fails_only_who_depends_on_it() {
    assert_snapshot!(story("a: $ 1s; barrier go; finally; $ clean
        b: $ 1s; barrier go; finally; $ clean
        c: $ 2s", "2s unreachable a"), @r#"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms c: opening
    0ms b: opened
    0ms c: opened
    2s a: Unreachable("no route")
    2s a: 1s: Unreachable("no route")
    2s b: 1s: started
    2s c: 2s: started
    2s go: broken by a
    2s a: barrier go: Skipped
    2s a: clean: Skipped
    2s > close a
    2s a: closed
    3s b: 1s: passed
    3s b: barrier go: started
    3s b: barrier go: broken by a
    3s b: cleanup
    3s b: clean: started
    3s b: clean: passed
    3s > close b
    3s b: closed
    4s c: 2s: passed
    4s > close c
    4s c: closed
    4s ended, exit code 3
    "#);
}

#[test]
fn a_stream_that_never_answers_is_unreachable() {
    assert_snapshot!(story("a: $ 1s
        b: barrier go
        c: barrier go", "0s silent a"), @r#"
    0ms RunStarted
    0ms a: opening
    10s a: Unreachable("no answer within 10s")
    10s a: 1s: Unreachable("no answer within 10s")
    10s b: barrier go: started
    10s b: barrier go: waits
    10s c: barrier go: started
    10s go: all there, last c
    10s b: barrier go: passed
    10s c: barrier go: passed
    10s > close a
    10s a: closed
    10s ended, exit code 3
    "#);
}

#[test]
fn a_lost_stream_takes_its_processes_along() {
    assert_snapshot!(story("a: start web $; $ 60s; barrier go; finally; $ clean
        b: barrier go; finally; $ clean", "3s lost a"), @r#"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 60s: started
    3s a: Lost("gone")
    3s a: start web: process ended, Lost("gone")
    3s a: 60s: Lost("gone")
    3s go: broken by a
    3s b: barrier go: broken by a
    3s a: barrier go: Skipped
    3s a: clean: Skipped
    3s > close a
    3s b: opening
    3s a: closed
    3s b: opened
    3s b: cleanup
    3s b: clean: started
    3s b: clean: passed
    3s > close b
    3s b: closed
    3s ended, exit code 3
    "#);
}

#[test]
fn a_stream_whose_keys_need_a_value_opens_when_it_is_there() {
    assert_snapshot!(story("a: $ 2s; let x $ prints 1
        b@x: $ 1s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 2s: started
    0ms b: 1s: waits
    2s a: 2s: passed
    2s a: let x: started
    2s a: let x: passed
    2s b: opening
    2s > close a
    2s b: opened
    2s b: 1s: started
    2s a: closed
    3s b: 1s: passed
    3s > close b
    3s b: closed
    3s ended, exit code 0
    ");
}

#[test]
fn a_stream_that_needs_no_place_is_not_opened() {
    assert_snapshot!(story("a: barrier go
        b: barrier go; $ 1s", ""), @"
    0ms RunStarted
    0ms b: opening
    0ms b: opened
    0ms a: barrier go: started
    0ms a: barrier go: waits
    0ms b: barrier go: started
    0ms go: all there, last b
    0ms a: barrier go: passed
    0ms b: barrier go: passed
    0ms b: 1s: started
    1s b: 1s: passed
    1s > close b
    1s b: closed
    1s ended, exit code 0
    ");
}

#[test]
fn a_stream_is_opened_for_its_finally_alone() {
    assert_snapshot!(story("a: barrier go; finally; $ clean
        b: $ 1s; barrier go", ""), @"
    0ms RunStarted
    0ms b: opening
    0ms b: opened
    0ms a: barrier go: started
    0ms a: barrier go: waits
    0ms b: 1s: started
    1s b: 1s: passed
    1s b: barrier go: started
    1s go: all there, last b
    1s a: barrier go: passed
    1s b: barrier go: passed
    1s a: opening
    1s > close b
    1s a: opened
    1s a: cleanup
    1s a: clean: started
    1s b: closed
    1s a: clean: passed
    1s > close a
    1s a: closed
    1s ended, exit code 0
    ");
}

#[test]
fn every_failure_of_a_finally_counts_and_the_rest_runs() {
    assert_snapshot!(story("a: $ 1s; finally; $ exit 1; $ missing; $ clean", ""), @r#"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 1s: started
    1s a: 1s: passed
    1s a: cleanup
    1s a: exit 1: started
    1s a: exit 1: failed, Status(1)
    1s a: missing: started
    1s a: missing: failed, NotStarted("no such program")
    1s a: clean: started
    1s a: clean: passed
    1s > close a
    1s a: closed
    1s ended, exit code 3
    "#);
}

#[test]
fn a_finally_that_takes_too_long_is_cut_short() {
    assert_snapshot!(story("a: $ 1s; finally; $ 90s; $ never; signal gone
        b: wait gone", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 1s: started
    0ms b: wait gone: started
    0ms b: wait gone: waits
    1s a: 1s: passed
    1s a: cleanup
    1s a: 90s: started
    1m1s > signal 15 to a: 90s
    1m1s a: 90s: timed out after 1m
    1m1s a: never: Skipped
    1m1s a: signal gone: Skipped
    1m1s b: wait gone: broken by a: 90s
    1m1s > close a
    1m1s a: closed
    1m1s ended, exit code 4
    ");
}

#[test]
fn the_top_level_finally_comes_last_and_judges_the_whole() {
    assert_snapshot!(story("a: $ exit 1; finally; $ 5s
        b: $ 1s
        finale: $ report; expect not a.success; expect a.success", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: exit 1: started
    0ms b: 1s: started
    0ms a: exit 1: failed, Status(1)
    0ms a: cleanup
    0ms a: 5s: started
    1s b: 1s: passed
    1s > close b
    1s b: closed
    5s a: 5s: passed
    5s > close a
    5s a: closed
    5s finale: opening
    5s finale: opened
    5s finale: cleanup
    5s finale: report: started
    5s finale: report: passed
    5s finale: expect not a.success: started
    5s finale: expect not a.success: passed
    5s finale: expect a.success: started
    5s finale: expect a.success: failed, a.success; a.success is false
    5s > close finale
    5s finale: closed
    5s ended, exit code 1
    ");
}

#[test]
fn a_stream_lost_in_its_finally_is_closed_all_the_same() {
    assert_snapshot!(story("a: $ 1s; finally; $ 60s; $ never", "3s lost a"), @r#"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 1s: started
    1s a: 1s: passed
    1s a: cleanup
    1s a: 60s: started
    3s a: Lost("gone")
    3s a: 60s: Lost("gone")
    3s a: never: Skipped
    3s > close a
    3s a: closed
    3s ended, exit code 3
    "#);
}

#[test]
fn a_stream_that_does_not_close_counts_as_a_leak() {
    assert_snapshot!(story("a: $ 1s", "0s stuck a"), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 1s: started
    1s a: 1s: passed
    1s > close a
    1m1s a: closed
    1m1s ended, exit code 5
    ");
}

#[test]
fn a_finally_whose_stream_cannot_be_opened_fails() {
    assert_snapshot!(story("a: $ 2s; let x $ prints 1
        b@x: barrier go; finally; $ clean
        c: barrier go", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 2s: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    0ms c: barrier go: started
    0ms go: all there, last c
    0ms b: barrier go: passed
    0ms c: barrier go: passed
    0ms b: cleanup
    0ms b: clean: failed, a value that opens the stream was never made
    2s a: 2s: passed
    2s a: let x: started
    2s a: let x: passed
    2s > close a
    2s a: closed
    2s ended, exit code 1
    ");
}

#[test]
fn a_stream_stays_open_for_those_who_use_its_address() {
    assert_snapshot!(story("db: ; finally; $ clean
        a: host db $ 2s; finally; $ 1s
        b: $ 9s", ""), @"
    0ms RunStarted
    0ms db: opening
    0ms a: opening
    0ms b: opening
    0ms db: opened
    0ms a: opened
    0ms b: opened
    0ms db: cleanup
    0ms a: 2s: started
    0ms b: 9s: started
    0ms db: clean: started
    0ms db: clean: passed
    2s a: 2s: passed
    2s a: cleanup
    2s a: 1s: started
    3s a: 1s: passed
    3s > close a
    3s > close db
    3s a: closed
    3s db: closed
    9s b: 9s: passed
    9s > close b
    9s b: closed
    9s ended, exit code 0
    ");
}

#[test]
fn a_lost_stream_does_not_stay_for_anybody() {
    assert_snapshot!(story("db: 
        a: host db $ 5s", "2s lost db"), @r#"
    0ms RunStarted
    0ms db: opening
    0ms a: opening
    0ms db: opened
    0ms a: opened
    0ms a: 5s: started
    2s db: Lost("gone")
    2s > close db
    2s db: closed
    5s a: 5s: passed
    5s > close a
    5s a: closed
    5s ended, exit code 3
    "#);
}
