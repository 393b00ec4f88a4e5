//! Stories of `retry` and `repeat`.

use insta::assert_snapshot;

use super::world::story;

#[test]
fn a_group_is_tried_again_as_a_whole() {
    assert_snapshot!(story("a: $ 1s; retry 3 5s {; $ wipe; start web $; $ fails 2; stop web; }; $ after", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 1s: started
    1s a: 1s: passed
    1s a: wipe: started
    1s a: wipe: passed
    1s a: start web: started
    1s a: start web: ready
    1s a: start web: passed
    1s a: fails 2: started
    1s a: fails 2: failed, Status(1), again in 5s
    1s > signal 15 to a: start web
    1s a: start web: process ended, Signal(15)
    6s a: wipe: started, 2
    6s a: wipe: passed
    6s a: start web: started, 2
    6s a: start web: ready
    6s a: start web: passed
    6s a: fails 2: started, 2
    6s a: fails 2: failed, Status(1), again in 5s
    6s > signal 15 to a: start web
    6s a: start web: process ended, Signal(15)
    11s a: wipe: started, 3
    11s a: wipe: passed
    11s a: start web: started, 3
    11s a: start web: ready
    11s a: start web: passed
    11s a: fails 2: started, 3
    11s a: fails 2: passed
    11s a: stop web: started
    11s > signal 15 to a: start web
    11s a: start web: process ended, Signal(15)
    11s a: stop web: passed
    11s a: after: started
    11s a: after: passed
    11s > close a
    11s a: closed
    11s ended, exit code 0
    ");
}

#[test]
fn a_group_whose_times_are_exhausted_fails() {
    assert_snapshot!(story("a: retry 2 1s {; $ exit 1; }; barrier go
        b: barrier go", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: exit 1: started
    0ms b: barrier go: started
    0ms b: barrier go: waits
    0ms a: exit 1: failed, Status(1), again in 1s
    1s a: exit 1: started, 2
    1s a: exit 1: failed, Status(1)
    1s go: broken by a: exit 1
    1s b: barrier go: broken by a: exit 1
    1s a: barrier go: Skipped
    1s > close a
    1s a: closed
    1s ended, exit code 1
    ");
}

#[test]
fn a_death_inside_a_group_ends_the_round() {
    assert_snapshot!(story("a: retry 2 1s {; start web $ 2s; $ 60s; }", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: start web: started
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 60s: started
    2s a: start web: process ended, Status(0)
    2s > signal 15 to a: 60s
    2s a: 60s: cancelled by a: start web, again in 1s
    3s a: start web: started, 2
    3s a: start web: ready
    3s a: start web: passed
    3s a: 60s: started, 2
    5s a: start web: process ended, Status(0)
    5s > signal 15 to a: 60s
    5s a: 60s: cancelled by a: start web
    5s > close a
    5s a: closed
    5s ended, exit code 1
    ");
}

#[test]
fn a_group_repeats_as_often_as_fits() {
    assert_snapshot!(story("a: repeat 10s 4s {; $ 1s; }; repeat 10s 1s {; $ 4s; }", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 1s: started
    1s a: 1s: passed
    4s a: 1s: started, 2
    5s a: 1s: passed
    8s a: 1s: started, 3
    9s a: 1s: passed
    9s a: 4s: started
    13s a: 4s: passed
    13s a: 4s: started, 2
    17s a: 4s: passed
    17s a: 4s: started, 3
    21s a: 4s: passed
    21s > close a
    21s a: closed
    21s ended, exit code 0
    ");
}

#[test]
fn a_failure_ends_a_repetition() {
    assert_snapshot!(story("a: repeat 10s 4s {; $ exit 1; }; $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: exit 1: started
    0ms a: exit 1: failed, Status(1)
    0ms a: never: Skipped
    0ms > close a
    0ms a: closed
    0ms ended, exit code 1
    ");
}

#[test]
fn values_of_a_group_are_there_for_others_when_it_is_over() {
    assert_snapshot!(story("a: retry 2 1s {; let x $ prints 1; $ fails 1; }
        b: use x $ 1s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: let x: started
    0ms b: 1s: waits
    0ms a: let x: passed
    0ms a: fails 1: started
    0ms a: fails 1: failed, Status(1), again in 1s
    1s a: let x: started, 2
    1s a: let x: passed
    1s a: fails 1: started, 2
    1s a: fails 1: passed
    1s b: 1s: started
    1s > close a
    1s a: closed
    2s b: 1s: passed
    2s > close b
    2s b: closed
    2s ended, exit code 0
    ");
}

#[test]
fn an_outer_group_takes_what_an_inner_one_gives_up() {
    assert_snapshot!(story("a: retry 2 5s {; $ out; retry 2 1s {; $ fails 3; }; }", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: out: started
    0ms a: out: passed
    0ms a: fails 3: started
    0ms a: fails 3: failed, Status(1), again in 1s
    1s a: fails 3: started, 2
    1s a: fails 3: failed, Status(1), again in 5s
    6s a: out: started, 2
    6s a: out: passed
    6s a: fails 3: started, 3
    6s a: fails 3: failed, Status(1), again in 1s
    7s a: fails 3: started, 4
    7s a: fails 3: passed
    7s > close a
    7s a: closed
    7s ended, exit code 0
    ");
}

#[test]
fn an_interrupt_between_two_rounds_ends_the_group() {
    assert_snapshot!(story("a: retry 3 9s {; $ exit 1; }; $ never
        b: repeat 60s 9s {; $ 1s; }; $ never", "3s interrupt"), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: exit 1: started
    0ms b: 1s: started
    0ms a: exit 1: failed, Status(1), again in 9s
    1s b: 1s: passed
    3s Interrupted(Orderly)
    3s a: exit 1: Cancelled(Interrupt)
    3s a: never: Skipped
    3s > close a
    3s b: never: Skipped
    3s > close b
    3s a: closed
    3s b: closed
    3s ended, exit code 130
    ");
}

#[test]
fn values_of_a_group_that_fails_are_broken() {
    assert_snapshot!(story("a: retry 1 1s {; let x $ prints 1; $ exit 1; }
        b: use x $ 1s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: let x: started
    0ms b: 1s: waits
    0ms a: let x: passed
    0ms a: exit 1: started
    0ms a: exit 1: failed, Status(1)
    0ms b: 1s: broken by a: exit 1
    0ms > close a
    0ms > close b
    0ms a: closed
    0ms b: closed
    0ms ended, exit code 1
    ");
}
