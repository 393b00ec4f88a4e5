//! Stories of interrupts, limits and leaks.

use insta::assert_snapshot;

use super::world::{story, story_within};
use crate::engine::Limits;

#[test]
fn an_interrupt_stops_the_steps_and_runs_every_finally() {
    assert_snapshot!(story("a: $ 60s stubborn; $ never; finally; $ 1s
        b: barrier go; finally; $ 1s
        c: $ 1s; $(retry=3 every=9s) fails 3; barrier go", "3s interrupt"), @"
    0ms RunStarted
    0ms a: opening
    0ms c: opening
    0ms a: opened
    0ms c: opened
    0ms a: 60s stubborn: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    0ms c: 1s: started
    1s c: 1s: passed
    1s c: fails 3: started
    1s c: fails 3: failed, Status(1), again in 9s
    3s Interrupted(Orderly)
    3s > signal 15 to a: 60s stubborn
    3s b: barrier go: Cancelled(Interrupt)
    3s c: fails 3: Cancelled(Interrupt)
    3s b: opening
    3s c: barrier go: Skipped
    3s > close c
    3s b: opened
    3s b: cleanup
    3s b: 1s: started
    3s c: closed
    4s b: 1s: passed
    4s > close b
    4s b: closed
    13s > kill a: 60s stubborn
    13s a: 60s stubborn: Cancelled(Interrupt)
    13s a: never: Skipped
    13s a: cleanup
    13s a: 1s: started
    14s a: 1s: passed
    14s > close a
    14s a: closed
    14s ended, exit code 130
    ");
}

#[test]
fn a_second_interrupt_ends_everything_at_once() {
    assert_snapshot!(story("a: start web $ stubborn; $ 60s stubborn; finally; $ 1s
        b: barrier go; finally; $ 60s stubborn; $ never
        c: $ 60s; barrier go", "3s interrupt; 4s interrupt"), @"
    0ms RunStarted
    0ms a: opening
    0ms c: opening
    0ms a: opened
    0ms c: opened
    0ms a: start web: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    0ms c: 60s: started
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 60s stubborn: started
    3s Interrupted(Orderly)
    3s > signal 15 to a: 60s stubborn
    3s b: barrier go: Cancelled(Interrupt)
    3s > signal 15 to c: 60s
    3s b: opening
    3s c: 60s: Cancelled(Interrupt)
    3s c: barrier go: Skipped
    3s > close c
    3s b: opened
    3s b: cleanup
    3s b: 60s stubborn: started
    3s c: closed
    4s Interrupted(AtOnce)
    4s > kill a: start web
    4s > kill a: 60s stubborn
    4s > kill b: 60s stubborn
    4s a: start web: process ended, Signal(9)
    4s a: 60s stubborn: Cancelled(Interrupt)
    4s a: 1s: Skipped
    4s > close a
    4s b: 60s stubborn: Cancelled(Interrupt)
    4s b: never: Skipped
    4s > close b
    4s a: closed
    4s b: closed
    4s ended, exit code 130
    ");
}

#[test]
fn an_interrupt_while_connecting_runs_what_was_opened() {
    assert_snapshot!(story("a: $ 1s; finally; $ clean
        b: $ 1s", "5s slow b; 2s interrupt"), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    2s Interrupted(Orderly)
    2s a: 1s: Skipped
    2s a: cleanup
    2s b: 1s: Skipped
    2s > close b
    2s a: clean: started
    2s b: closed
    2s a: clean: passed
    2s > close a
    2s a: closed
    2s ended, exit code 130
    ");
}

#[test]
fn fail_fast_ends_the_others() {
    let limits = Limits { fail_fast: true, ..Limits::default() };
    assert_snapshot!(story_within("a: $ 1s exit 1; finally; $ clean
        b: $ 60s; finally; $ clean
        c: barrier go
        d: $ 60s; barrier go", "", limits), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms d: opening
    0ms a: opened
    0ms b: opened
    0ms d: opened
    0ms a: 1s exit 1: started
    0ms b: 60s: started
    0ms c: barrier go: started
    0ms c: barrier go: waits
    0ms d: 60s: started
    1s a: 1s exit 1: failed, Status(1)
    1s a: cleanup
    1s > signal 15 to b: 60s
    1s c: barrier go: cancelled, failed fast by a: 1s exit 1
    1s > signal 15 to d: 60s
    1s a: clean: started
    1s b: 60s: cancelled, failed fast by a: 1s exit 1
    1s b: cleanup
    1s b: clean: started
    1s d: 60s: cancelled, failed fast by a: 1s exit 1
    1s d: barrier go: Skipped
    1s > close d
    1s a: clean: passed
    1s > close a
    1s b: clean: passed
    1s > close b
    1s d: closed
    1s a: closed
    1s b: closed
    1s ended, exit code 1
    ");
}

#[test]
fn the_time_for_the_run_can_end() {
    let limits = Limits { run: Some(std::time::Duration::from_secs(5)), ..Limits::default() };
    assert_snapshot!(story_within("a: $ 60s; finally; $ clean", "", limits), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 60s: started
    5s RunTimedOut
    5s > signal 15 to a: 60s
    5s a: 60s: Cancelled(RunTimeout)
    5s a: cleanup
    5s a: clean: started
    5s a: clean: passed
    5s > close a
    5s a: closed
    5s ended, exit code 4
    ");
}

#[test]
fn timeouts_are_scaled() {
    let limits = Limits { scale: 200, ..Limits::default() };
    assert_snapshot!(story_within("a: $(timeout=3s) 60s stubborn", "", limits), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 60s stubborn: started
    6s > signal 15 to a: 60s stubborn
    26s > kill a: 60s stubborn
    26s a: 60s stubborn: timed out after 6s
    26s > close a
    26s a: closed
    26s ended, exit code 4
    ");
}

#[test]
fn leaks_are_told_and_cost_the_verdict() {
    assert_snapshot!(story("a: $ 1s leaks
        b: $ 1s", "0s leaky b"), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: 1s leaks: started
    0ms b: 1s: started
    1s a: 1s leaks: left 8 (child)
    1s a: 1s leaks: passed
    1s > close a
    1s b: 1s: passed
    1s > close b
    1s a: closed
    1s b: closed 7 (daemon)
    1s ended, exit code 5
    ");
}

#[test]
fn a_plan_without_streams_ends_at_once() {
    assert_snapshot!(story("", ""), @"
    0ms RunStarted
    0ms ended, exit code 0
    ");
}

#[test]
fn at_once_spares_the_top_level_finally_too() {
    assert_snapshot!(story("a: $ 60s
        finale: $ report", "3s interrupt; 3s interrupt"), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 60s: started
    3s Interrupted(Orderly)
    3s > signal 15 to a: 60s
    3s Interrupted(AtOnce)
    3s > kill a: 60s
    3s a: 60s: Cancelled(Interrupt)
    3s > close a
    3s a: closed
    3s finale: report: Skipped
    3s ended, exit code 130
    ");
}

#[test]
fn a_short_timeout_after_a_long_one_comes_at_its_own_time() {
    assert_snapshot!(story("a: $(timeout=60s) 1s; $(timeout=3s) 30s; $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 1s: started
    1s a: 1s: passed
    1s a: 30s: started
    4s > signal 15 to a: 30s
    4s a: 30s: timed out after 3s
    4s a: never: Skipped
    4s > close a
    4s a: closed
    4s ended, exit code 4
    ");
}
