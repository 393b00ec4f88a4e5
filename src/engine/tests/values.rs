//! Stories of values, signals and origins.

use insta::assert_snapshot;

use super::world::story;

#[test]
fn steps_run_in_order_and_a_barrier_lets_all_go_on() {
    assert_snapshot!(story("a: $ 2s; barrier go; $ 1s
        b: barrier go; $ 3s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: 2s: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    2s a: 2s: passed
    2s a: barrier go: started
    2s go: all there, last a
    2s a: barrier go: passed
    2s b: barrier go: passed
    2s a: 1s: started
    2s b: 3s: started
    3s a: 1s: passed
    3s > close a
    3s a: closed
    5s b: 3s: passed
    5s > close b
    5s b: closed
    5s ended, exit code 0
    ");
}

#[test]
fn a_failed_step_skips_the_rest_and_releases_who_depends_on_it() {
    assert_snapshot!(story("a: $ 2s exit 3; barrier go; finally; $ 1s
        b: barrier go; $ 3s; finally; $ 1s
        c: $ 5s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms c: opening
    0ms a: opened
    0ms b: opened
    0ms c: opened
    0ms a: 2s exit 3: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    0ms c: 5s: started
    2s a: 2s exit 3: failed, Status(3)
    2s go: broken by a: 2s exit 3
    2s b: barrier go: broken by a: 2s exit 3
    2s a: barrier go: Skipped
    2s a: cleanup
    2s b: 3s: Skipped
    2s b: cleanup
    2s a: 1s: started
    2s b: 1s: started
    3s a: 1s: passed
    3s > close a
    3s b: 1s: passed
    3s > close b
    3s a: closed
    3s b: closed
    5s c: 5s: passed
    5s > close c
    5s c: closed
    5s ended, exit code 1
    ");
}

#[test]
fn who_comes_to_a_broken_barrier_later_is_broken_too() {
    assert_snapshot!(story("a: $ exit 1; barrier go
        b: $ 5s; barrier go", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: exit 1: started
    0ms b: 5s: started
    0ms a: exit 1: failed, Status(1)
    0ms go: broken by a: exit 1
    0ms a: barrier go: Skipped
    0ms > close a
    0ms a: closed
    5s b: 5s: passed
    5s b: barrier go: started
    5s b: barrier go: broken by a: exit 1
    5s > close b
    5s b: closed
    5s ended, exit code 1
    ");
}

#[test]
fn broken_steps_pass_the_first_origin_on() {
    assert_snapshot!(story("a: $ exit 1; barrier one
        b: barrier one; barrier two
        c: barrier two; signal up
        d: wait up", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: exit 1: started
    0ms b: barrier one: started
    0ms b: barrier one: waits
    0ms c: barrier two: started
    0ms c: barrier two: waits
    0ms d: wait up: started
    0ms d: wait up: waits
    0ms a: exit 1: failed, Status(1)
    0ms one: broken by a: exit 1
    0ms b: barrier one: broken by a: exit 1
    0ms a: barrier one: Skipped
    0ms > close a
    0ms two: broken by a: exit 1
    0ms c: barrier two: broken by a: exit 1
    0ms b: barrier two: Skipped
    0ms d: wait up: broken by a: exit 1
    0ms c: signal up: Skipped
    0ms a: closed
    0ms ended, exit code 1
    ");
}

#[test]
fn a_value_is_waited_for_and_comes() {
    assert_snapshot!(story("a: $ 2s; let port $ prints 8080
        b: use port $ 1s; expect port.exit == 0", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: 2s: started
    0ms b: 1s: waits
    2s a: 2s: passed
    2s a: let port: started
    2s a: let port: passed
    2s b: 1s: started
    2s > close a
    2s a: closed
    3s b: 1s: passed
    3s b: expect port.exit == 0: started
    3s b: expect port.exit == 0: passed
    3s > close b
    3s b: closed
    3s ended, exit code 0
    ");
}

#[test]
fn a_value_that_can_no_longer_come_breaks_who_needs_it() {
    assert_snapshot!(story("a: $ 2s exit 1; let port $ prints 8080
        b: use port $ 1s
        c: end a $ 1s; expect not a.success", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms c: opening
    0ms a: opened
    0ms b: opened
    0ms c: opened
    0ms a: 2s exit 1: started
    0ms b: 1s: waits
    0ms c: 1s: waits
    2s a: 2s exit 1: failed, Status(1)
    2s b: 1s: broken by a: 2s exit 1
    2s a: let port: Skipped
    2s > close a
    2s > close b
    2s c: 1s: started
    2s a: closed
    2s b: closed
    3s c: 1s: passed
    3s c: expect not a.success: started
    3s c: expect not a.success: passed
    3s > close c
    3s c: closed
    3s ended, exit code 1
    ");
}

#[test]
fn a_signaller_never_waits_and_a_waiter_waits_for_all() {
    assert_snapshot!(story("a: signal up; $ 5s
        b: $ 2s; signal up
        c: wait up", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: signal up: started
    0ms a: signal up: passed
    0ms b: 2s: started
    0ms c: wait up: started
    0ms c: wait up: waits
    0ms a: 5s: started
    2s b: 2s: passed
    2s b: signal up: started
    2s b: signal up: passed
    2s c: wait up: passed
    2s > close b
    2s b: closed
    5s a: 5s: passed
    5s > close a
    5s a: closed
    5s ended, exit code 0
    ");
}

#[test]
fn a_signal_of_a_finally_comes_whatever_happened() {
    assert_snapshot!(story("a: $ exit 1; finally; $ 2s; signal gone
        b: wait gone; $ 1s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: exit 1: started
    0ms b: wait gone: started
    0ms b: wait gone: waits
    0ms a: exit 1: failed, Status(1)
    0ms a: cleanup
    0ms a: 2s: started
    2s a: 2s: passed
    2s a: signal gone: started
    2s a: signal gone: passed
    2s b: wait gone: passed
    2s > close a
    2s b: 1s: started
    2s a: closed
    3s b: 1s: passed
    3s > close b
    3s b: closed
    3s ended, exit code 1
    ");
}

#[test]
fn a_signal_of_a_finally_is_broken_where_the_finally_cannot_run() {
    assert_snapshot!(story("a: $ lost; finally; signal gone
        b: wait gone; $ 1s", ""), @r#"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: lost: started
    0ms b: wait gone: started
    0ms b: wait gone: waits
    0ms a: Lost("gone")
    0ms a: lost: Lost("gone")
    0ms a: signal gone: Skipped
    0ms b: wait gone: broken by a
    0ms > close a
    0ms b: 1s: Skipped
    0ms > close b
    0ms a: closed
    0ms b: closed
    0ms ended, exit code 3
    "#);
}

#[test]
fn a_value_whose_step_is_skipped_is_absent() {
    assert_snapshot!(story("a: let x = false; when x let y $ prints 1
        b: use y $ 1s; expect y.exit == 0", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: let x: started
    0ms a: let x: passed
    0ms b: 1s: waits
    0ms a: let y: Skipped
    0ms b: 1s: started
    0ms b: 1s: failed, `y` was never made
    0ms > close a
    0ms b: expect y.exit == 0: Skipped
    0ms > close b
    0ms a: closed
    0ms b: closed
    0ms ended, exit code 1
    ");
}

#[test]
fn an_address_is_waited_for_and_comes() {
    assert_snapshot!(story("a: $ 2s; let x $ prints 1
        b@x: barrier go; $ 1s
        c: host b $ 1s; barrier go", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms c: opening
    0ms a: opened
    0ms c: opened
    0ms a: 2s: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    0ms c: 1s: waits
    2s a: 2s: passed
    2s a: let x: started
    2s a: let x: passed
    2s b: opening
    2s > close a
    2s b: opened
    2s c: 1s: started
    2s a: closed
    3s c: 1s: passed
    3s c: barrier go: started
    3s go: all there, last c
    3s b: barrier go: passed
    3s c: barrier go: passed
    3s b: 1s: started
    3s > close c
    3s c: closed
    4s b: 1s: passed
    4s > close b
    4s b: closed
    4s ended, exit code 0
    ");
}

#[test]
fn its_own_address_is_there_for_every_stream() {
    assert_snapshot!(story("a: host a $ 1s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 1s: started
    1s a: 1s: passed
    1s > close a
    1s a: closed
    1s ended, exit code 0
    ");
}

#[test]
fn a_stream_whose_address_is_wanted_opens_when_all_of_its_keys_are_there() {
    assert_snapshot!(story("a: $ 1s; let x $ prints 1
        d: $ 2s; let y $ prints 1
        b@x@y: $ 1s
        c: host b $ 1s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms d: opening
    0ms c: opening
    0ms a: opened
    0ms d: opened
    0ms c: opened
    0ms a: 1s: started
    0ms d: 2s: started
    0ms b: 1s: waits
    0ms c: 1s: waits
    1s a: 1s: passed
    1s a: let x: started
    1s a: let x: passed
    1s > close a
    1s a: closed
    2s d: 2s: passed
    2s d: let y: started
    2s d: let y: passed
    2s b: opening
    2s > close d
    2s b: opened
    2s b: 1s: started
    2s c: 1s: started
    2s d: closed
    3s b: 1s: passed
    3s c: 1s: passed
    3s > close c
    3s > close b
    3s c: closed
    3s b: closed
    3s ended, exit code 0
    ");
}

#[test]
fn keys_that_can_no_longer_come_break_the_stream_and_its_address() {
    assert_snapshot!(story("a: $ 2s exit 1; let x $ prints 1
        b@x: $ 1s; finally; $ clean
        c: host b $ 1s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms c: opening
    0ms a: opened
    0ms c: opened
    0ms a: 2s exit 1: started
    0ms b: 1s: waits
    0ms c: 1s: waits
    2s a: 2s exit 1: failed, Status(1)
    2s b: 1s: broken by a: 2s exit 1
    2s a: let x: Skipped
    2s > close a
    2s c: 1s: broken by a: 2s exit 1
    2s b: clean: Skipped
    2s > close c
    2s a: closed
    2s c: closed
    2s ended, exit code 1
    ");
}

#[test]
fn a_wait_can_time_out() {
    assert_snapshot!(story("a: $ 9s; signal up
        b: wait up within 3s; $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: 9s: started
    0ms b: wait up: started
    0ms b: wait up: waits
    3s b: wait up: timed out after 3s
    3s b: never: Skipped
    3s > close b
    3s b: closed
    9s a: 9s: passed
    9s a: signal up: started
    9s a: signal up: passed
    9s > close a
    9s a: closed
    9s ended, exit code 4
    ");
}
