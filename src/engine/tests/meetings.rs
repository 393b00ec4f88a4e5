//! Stories of barriers and start gates.

use insta::assert_snapshot;

use super::world::story;

#[test]
fn a_barrier_with_a_timeout_counts_from_the_first_arrival() {
    assert_snapshot!(story("a: barrier go within 3s
        b: $ 1s; barrier go within 3s
        c: $ 9s; barrier go within 3s", ""), @"
    0ms RunStarted
    0ms b: opening
    0ms c: opening
    0ms b: opened
    0ms c: opened
    0ms a: barrier go: started
    0ms a: barrier go: waits
    0ms b: 1s: started
    0ms c: 9s: started
    1s b: 1s: passed
    1s b: barrier go: started
    1s b: barrier go: waits
    3s a: barrier go: timed out after 3s
    3s go: broken by a: barrier go
    3s b: barrier go: timed out after 3s
    3s > close b
    3s b: closed
    9s c: 9s: passed
    9s c: barrier go: started
    9s c: barrier go: broken by a: barrier go
    9s > close c
    9s c: closed
    9s ended, exit code 4
    ");
}

#[test]
fn synchronized_code_is_held_and_released_as_one() {
    assert_snapshot!(story("a: together go $ 2s
        b: $ 3s; together go $ 2s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: 2s: started
    0ms b: 3s: started
    0ms a: 2s: ready
    0ms a: 2s: waits
    3s b: 3s: passed
    3s b: 2s: started
    3s b: 2s: ready
    3s go: all there, last b
    3s > release a: 2s, b: 2s
    3s a: 2s: released
    3s b: 2s: released
    3s go: gone within 1ms
    5s a: 2s: passed
    5s > close a
    5s b: 2s: passed
    5s > close b
    5s a: closed
    5s b: closed
    5s ended, exit code 0
    ");
}

#[test]
fn a_broken_gate_kills_what_is_held() {
    assert_snapshot!(story("a: together go $ 2s
        b: $ 3s exit 1; together go $ 2s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: 2s: started
    0ms b: 3s exit 1: started
    0ms a: 2s: ready
    0ms a: 2s: waits
    3s b: 3s exit 1: failed, Status(1)
    3s go: broken by b: 3s exit 1
    3s > kill a: 2s
    3s b: 2s: Skipped
    3s > close b
    3s a: 2s: broken by b: 3s exit 1
    3s > close a
    3s b: closed
    3s a: closed
    3s ended, exit code 1
    ");
}

#[test]
fn a_death_frees_who_is_held_at_a_gate() {
    assert_snapshot!(story("a: start web $ 2s; together go $ 5s
        b: $ 9s; together go $ 5s", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: start web: started
    0ms b: 9s: started
    0ms a: start web: ready
    0ms a: start web: passed
    0ms a: 5s: started
    0ms a: 5s: ready
    0ms a: 5s: waits
    2s a: start web: process ended, Status(0)
    2s > signal 15 to a: 5s
    2s go: broken by a: start web
    2s > kill a: 5s
    2s a: 5s: cancelled by a: start web
    2s > close a
    2s a: closed
    9s b: 9s: passed
    9s b: 5s: started
    9s b: 5s: broken by a: start web
    9s > close b
    9s b: closed
    9s ended, exit code 1
    ");
}

#[test]
fn streams_that_wait_for_each_other_do_not_hang() {
    assert_snapshot!(story("a: barrier x; barrier y; finally; $ clean
        b: barrier y; barrier x", ""), @"
    0ms RunStarted
    0ms a: barrier x: started
    0ms a: barrier x: waits
    0ms b: barrier y: started
    0ms b: barrier y: waits
    0ms a: barrier x: failed, the streams wait for each other: what it waits for can never come
    0ms x: broken by a: barrier x
    0ms y: broken by a: barrier x
    0ms b: barrier y: broken by a: barrier x
    0ms a: barrier y: Skipped
    0ms a: opening
    0ms b: barrier x: Skipped
    0ms a: opened
    0ms a: cleanup
    0ms a: clean: started
    0ms a: clean: passed
    0ms > close a
    0ms a: closed
    0ms ended, exit code 1
    ");
}
