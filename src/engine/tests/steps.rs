//! Stories of single steps: their outcomes, tries and timeouts, row by row of `spec/engine.md`.

use insta::assert_snapshot;

use super::world::story;

#[test]
fn a_step_that_may_fail_goes_on_and_does_not_count() {
    assert_snapshot!(story("a: ? $ exit 1; $ 1s; finally; expect a.success", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: exit 1: started
    0ms a: exit 1: failed, Status(1)
    0ms a: 1s: started
    1s a: 1s: passed
    1s a: cleanup
    1s a: expect a.success: started
    1s a: expect a.success: failed, a.success; a.success is false
    1s > close a
    1s a: closed
    1s ended, exit code 1
    ");
}

#[test]
fn a_status_counts_as_the_options_say() {
    assert_snapshot!(story("a: $(exit=3) exit 3; $(exit=3) exit 0", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: exit 3: started
    0ms a: exit 3: passed
    0ms a: exit 0: started
    0ms a: exit 0: failed, Status(0)
    0ms > close a
    0ms a: closed
    0ms ended, exit code 1
    ");
}

#[test]
fn a_missing_program_is_a_fault_of_the_surroundings() {
    assert_snapshot!(story("a: $ missing", ""), @r#"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: missing: started
    0ms a: missing: failed, NotStarted("no such program")
    0ms > close a
    0ms a: closed
    0ms ended, exit code 3
    "#);
}

#[test]
fn a_step_is_tried_again_after_a_pause() {
    assert_snapshot!(story("a: $(retry=2 every=5s) fails 2; $(retry=1) fails 2", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: fails 2: started
    0ms a: fails 2: failed, Status(1), again in 5s
    5s a: fails 2: started, 2
    5s a: fails 2: failed, Status(1), again in 5s
    10s a: fails 2: started, 3
    10s a: fails 2: passed
    10s a: fails 2: started
    10s a: fails 2: failed, Status(1), again in 0ms
    10s a: fails 2: started, 2
    10s a: fails 2: failed, Status(1)
    10s > close a
    10s a: closed
    10s ended, exit code 1
    ");
}

#[test]
fn a_step_that_takes_too_long_is_stopped_gently_first() {
    assert_snapshot!(story("a: $(timeout=3s) 60s; $ never
        b: $(timeout=3s) 60s stubborn; $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms b: opening
    0ms a: opened
    0ms b: opened
    0ms a: 60s: started
    0ms b: 60s stubborn: started
    3s > signal 15 to a: 60s
    3s > signal 15 to b: 60s stubborn
    3s a: 60s: timed out after 3s
    3s a: never: Skipped
    3s > close a
    3s a: closed
    13s > kill b: 60s stubborn
    13s b: 60s stubborn: timed out after 3s
    13s b: never: Skipped
    13s > close b
    13s b: closed
    13s ended, exit code 4
    ");
}

#[test]
fn what_kill_does_not_end_is_given_up() {
    assert_snapshot!(story("a: $(timeout=3s retry=5) 60s immortal; finally; $ clean", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: 60s immortal: started
    3s > signal 15 to a: 60s immortal
    13s > kill a: 60s immortal
    23s a: 60s immortal: timed out after 3s
    23s a: cleanup
    23s a: clean: started
    23s a: clean: passed
    23s > close a
    23s a: closed
    23s ended, exit code 4
    ");
}

#[test]
fn a_guard_that_is_false_skips_its_step() {
    assert_snapshot!(story("a: let x = false; when x $ never; let y = 5; when y $ never", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: let x: started
    0ms a: let x: passed
    0ms a: never: Skipped
    0ms a: let y: started
    0ms a: let y: passed
    0ms a: never: failed, a condition must be true or false, and this is an integer
    0ms > close a
    0ms a: closed
    0ms ended, exit code 1
    ");
}

#[test]
fn an_expectation_shows_its_parts() {
    assert_snapshot!(story("a: let probe $(exit=7) exit 7; expect probe.exit == 7; expect probe.exit == 0", ""), @"
    0ms RunStarted
    0ms a: opening
    0ms a: opened
    0ms a: let probe: started
    0ms a: let probe: passed
    0ms a: expect probe.exit == 7: started
    0ms a: expect probe.exit == 7: passed
    0ms a: expect probe.exit == 0: started
    0ms a: expect probe.exit == 0: failed, probe.exit == 0; probe.exit is 7
    0ms > close a
    0ms a: closed
    0ms ended, exit code 1
    ");
}
