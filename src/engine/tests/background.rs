//! Stories of background processes: `start`, `stop`, `prepare`, `trigger`, `wait`.

use insta::assert_snapshot;

use super::world::story;

#[test]
fn a_started_process_goes_on_until_it_is_stopped() {
    assert_snapshot!(story("a: start web $ ready 2s; $ 3s; stop web; $ 1s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    2s a: start web: ready
    2s a: start web: passed
    2s a: 3s: started
    5s a: 3s: passed
    5s a: stop web: started
    5s > signal 15 to a: start web
    5s a: start web: process ended, Signal(15)
    5s a: stop web: passed
    5s a: 1s: started
    6s a: 1s: passed
    6s > close a
    6s a: closed
    6s ended, exit code 0
    ");
}

#[test]
fn what_still_runs_is_stopped_last_started_first() {
    assert_snapshot!(story("a: start one $ stubborn; start two $; $ 1s; finally; $ clean", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start one: started
    0ms a: start one: ready
    0ms a: start one: passed
    0ms a: start two: started
    0ms a: start two: ready
    0ms a: start two: passed
    0ms a: 1s: started
    1s a: 1s: passed
    1s > signal 15 to a: start two
    1s a: start two: process ended, Signal(15)
    1s > signal 15 to a: start one
    11s > kill a: start one
    11s a: start one: process ended, Signal(9)
    11s a: cleanup
    11s a: clean: started
    11s a: clean: passed
    11s > close a
    11s a: closed
    11s ended, exit code 0
    ");
}

#[test]
fn a_start_that_never_gets_ready_times_out() {
    assert_snapshot!(story("a: start web $(timeout=4s) ready 60s; $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    4s > signal 15 to a: start web
    4s a: start web: timed out after 4s
    4s a: never: Skipped
    4s > close a
    4s a: closed
    4s ended, exit code 4
    ");
}

#[test]
fn a_start_that_ends_before_it_is_ready_fails() {
    assert_snapshot!(story("a: start web $ 1s ready 60s exit 4; $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    1s a: start web: failed, Status(4)
    1s a: never: Skipped
    1s > close a
    1s a: closed
    1s ended, exit code 1
    ");
}

#[test]
fn an_early_death_fails_the_stream_at_once() {
    assert_snapshot!(story("a: start web $ 2s; $ 60s stubborn; barrier go
        b: barrier go", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 60s stubborn: started
    2s a: start web: process ended, Status(0)
    2s > signal 15 to a: 60s stubborn
    2s go: broken by a: start web
    2s b: barrier go: broken by a: start web
    12s > kill a: 60s stubborn
    12s a: 60s stubborn: cancelled by a: start web
    12s a: barrier go: Skipped
    12s > close a
    12s a: closed
    12s ended, exit code 1
    ");
}

#[test]
fn an_early_death_ends_what_waits() {
    assert_snapshot!(story("a: start web $ 2s exit 1; barrier go
        b: $ 9s; barrier go", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: start web: started
    0ms b: 9s: started
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: barrier go: started
    0ms a: barrier go: waits
    2s a: start web: process ended, Status(1)
    2s a: barrier go: cancelled by a: start web
    2s go: broken by a: start web
    2s > close a
    2s a: closed
    9s b: 9s: passed
    9s b: barrier go: started
    9s b: barrier go: broken by a: start web
    9s > close b
    9s b: closed
    9s ended, exit code 1
    ");
}

#[test]
fn an_unhealthy_process_fails_the_stream_at_once() {
    assert_snapshot!(story("a: start web $ sick 2s; $ 60s; finally; $ clean", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 60s: started
    2s > signal 15 to a: start web
    2s > signal 15 to a: 60s
    2s a: start web: process ended, Signal(15)
    2s a: 60s: failed, probe failed of a: start web
    2s a: cleanup
    2s a: clean: started
    2s a: clean: passed
    2s > close a
    2s a: closed
    2s ended, exit code 1
    ");
}

#[test]
fn a_prepared_process_is_held_released_and_judged() {
    assert_snapshot!(story("a: prepare load $ 5s exit 3; $ 1s; trigger load; $ 2s; join load; $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: prepare load: started
    0ms a: prepare load: ready
    0ms a: prepare load: passed
    0ms a: 1s: started
    1s a: 1s: passed
    1s a: trigger load: started
    1s > release a: prepare load
    1s a: prepare load: released
    1s a: trigger load: passed
    1s a: 2s: started
    3s a: 2s: passed
    3s a: wait load: started
    3s a: wait load: waits
    6s a: prepare load: process ended, Status(3)
    6s a: wait load: failed, Status(3)
    6s a: never: Skipped
    6s > close a
    6s a: closed
    6s ended, exit code 1
    ");
}

#[test]
fn a_prepared_process_that_nobody_waits_for_may_end_well_and_not_badly() {
    assert_snapshot!(story("a: prepare load $ 1s; trigger load; $ 5s; prepare more $ 1s exit 1; trigger more; $ 60s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: prepare load: started
    0ms a: prepare load: ready
    0ms a: prepare load: passed
    0ms a: trigger load: started
    0ms > release a: prepare load
    0ms a: prepare load: released
    0ms a: trigger load: passed
    0ms a: 5s: started
    1s a: prepare load: process ended, Status(0)
    5s a: 5s: passed
    5s a: prepare more: started
    5s a: prepare more: ready
    5s a: prepare more: passed
    5s a: trigger more: started
    5s > release a: prepare more
    5s a: prepare more: released
    5s a: trigger more: passed
    5s a: 60s: started
    6s a: prepare more: process ended, Status(1)
    6s > signal 15 to a: 60s
    6s a: 60s: cancelled by a: prepare more
    6s > close a
    6s a: closed
    6s ended, exit code 1
    ");
}

#[test]
fn a_prepared_process_that_is_never_released_is_stopped() {
    assert_snapshot!(story("a: prepare load $ 5s; $ 1s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: prepare load: started
    0ms a: prepare load: ready
    0ms a: prepare load: passed
    0ms a: 1s: started
    1s a: 1s: passed
    1s > signal 15 to a: prepare load
    1s a: prepare load: process ended, Signal(15)
    1s > close a
    1s a: closed
    1s ended, exit code 0
    ");
}

#[test]
fn a_prepared_process_has_its_own_timeout_from_its_release() {
    assert_snapshot!(story("a: prepare load $(timeout=3s) 60s; $ 9s; trigger load; join load", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: prepare load: started
    0ms a: prepare load: ready
    0ms a: prepare load: passed
    0ms a: 9s: started
    9s a: 9s: passed
    9s a: trigger load: started
    9s > release a: prepare load
    9s a: prepare load: released
    9s a: trigger load: passed
    9s a: wait load: started
    9s a: wait load: waits
    12s > signal 15 to a: prepare load
    12s a: prepare load: process ended, Signal(15)
    12s a: wait load: timed out after 3s
    12s > close a
    12s a: closed
    12s ended, exit code 4
    ");
}

#[test]
fn a_wait_that_takes_too_long_stops_the_process() {
    assert_snapshot!(story("a: prepare load $ 60s stubborn; trigger load; join load within 3s; $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: prepare load: started
    0ms a: prepare load: ready
    0ms a: prepare load: passed
    0ms a: trigger load: started
    0ms > release a: prepare load
    0ms a: prepare load: released
    0ms a: trigger load: passed
    0ms a: wait load: started
    0ms a: wait load: waits
    3s > signal 15 to a: prepare load
    13s > kill a: prepare load
    13s a: prepare load: process ended, Signal(9)
    13s a: wait load: timed out after 3s
    13s a: never: Skipped
    13s > close a
    13s a: closed
    13s ended, exit code 4
    ");
}

#[test]
fn what_has_ended_is_stopped_in_vain_and_not_released() {
    assert_snapshot!(story("a: prepare load $ 1s; stop load; stop load; trigger load", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: prepare load: started
    0ms a: prepare load: ready
    0ms a: prepare load: passed
    0ms a: stop load: started
    0ms > signal 15 to a: prepare load
    0ms a: prepare load: process ended, Signal(15)
    0ms a: stop load: passed
    0ms a: stop load: started
    0ms a: stop load: passed
    0ms a: trigger load: started
    0ms a: trigger load: failed, `load` had ended before it was released
    0ms > close a
    0ms a: closed
    0ms ended, exit code 1
    ");
}

#[test]
fn a_start_that_may_fail_may_die() {
    assert_snapshot!(story("a: start web ? $ 1s exit 1; $ 2s; finally; expect a.success", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 2s: started
    1s a: start web: process ended, Status(1)
    2s a: 2s: passed
    2s a: cleanup
    2s a: expect a.success: started
    2s a: expect a.success: failed, a.success; a.success is false
    2s > close a
    2s a: closed
    2s ended, exit code 1
    ");
}

#[test]
fn an_early_death_between_two_rounds_breaks_what_depends_on_it() {
    assert_snapshot!(story("a: start web $ 3s; repeat 60s 9s {; $ 1s; }; barrier go
        b: barrier go", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 1s: started
    1s a: 1s: passed
    3s a: start web: process ended, Status(0)
    3s go: broken by a: start web
    3s b: barrier go: broken by a: start web
    3s a: barrier go: Skipped
    3s > close a
    3s a: closed
    3s ended, exit code 1
    ");
}

#[test]
fn an_early_death_is_not_excused_with_the_step_that_it_ends() {
    assert_snapshot!(story("a: start web $ 3s; ?$(timeout=2s retry=9) 60s stubborn; $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 60s stubborn: started
    2s > signal 15 to a: 60s stubborn
    3s a: start web: process ended, Status(0)
    12s > kill a: 60s stubborn
    12s a: 60s stubborn: cancelled by a: start web
    12s a: never: Skipped
    12s > close a
    12s a: closed
    12s ended, exit code 1
    ");
}

#[test]
fn who_is_told_to_stop_may_be_unhealthy_meanwhile() {
    assert_snapshot!(story("a: start web $ sick 3s stubborn; $ 2s; stop web; $ after", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 2s: started
    2s a: 2s: passed
    2s a: stop web: started
    2s > signal 15 to a: start web
    12s > kill a: start web
    12s a: start web: process ended, Signal(9)
    12s a: stop web: passed
    12s a: after: started
    12s a: after: passed
    12s > close a
    12s a: closed
    12s ended, exit code 0
    ");
}
