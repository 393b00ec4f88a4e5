//! A search through every run of small plans: every order of answers, with up to three faults of the world. It holds
//! the rules: no hang, no stream past a barrier early, no lost `finally`, no wrong blame.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write;
use std::sync::Arc;

use super::explore::{Move, Node};
use crate::engine::{Limits, Planted};
use crate::plan::Plan;
use crate::plan::sketch::sketch;

/// Three streams, three barriers, cleanups.
const MEETINGS: &str = "a: $ one; barrier x; barrier y; $ two; barrier z; finally; $ clean
    b: barrier x; $ three; barrier y; barrier z; finally; $ clean
    c: barrier x; barrier y; $ four; barrier z";

/// Four streams over three barriers.
const FOUR: &str = "a: barrier x; barrier y; barrier z; finally; $ clean
    b: barrier x; barrier y; barrier z
    c: barrier x; barrier y; barrier z
    d: barrier x; barrier y; barrier z";

/// The other ways to depend on each other.
const OTHERS: &str = "a: start web $; signal up; $ two; finally; signal gone
    b: wait up; let v $ one; barrier x; finally; $ clean
    c: use v $ use; barrier x; wait gone";

/// A start gate, a prepared process, a retried group.
const HELD: &str = "a: prepare load $; together go $; trigger load; join load; finally; $ clean
    b: retry 2 1s {; start web $; $ one; }; together go $";

/// What a search found.
#[derive(Debug)]
struct Found {
    states: usize,
    ends: usize,
}

/// Visits all states. The error is a broken invariant and the way to it.
fn search(text: &str, faults: u8, planted: Option<Planted>) -> Result<Found, String> {
    let plan = Arc::new(sketch(text));
    let first = Node::begin(&plan, Limits::default(), faults, planted)?;
    let mut seen = HashSet::from([first.fingerprint()]);
    let mut path: Vec<(usize, Option<Move>)> = vec![(0, None)];
    let mut queue = VecDeque::from([(0, first)]);
    let mut ends = 0;
    while let Some((place, node)) = queue.pop_front() {
        let moves = node.moves(&plan);
        if node.engine.done() {
            ends += 1;
            continue;
        }
        if moves.is_empty() {
            return Err(told("the run hangs", &plan, &path, place));
        }
        for it in moves {
            let mut next = node.clone();
            let made = next.make(&plan, it.clone(), &mut |_| {});
            path.push((place, Some(it)));
            made.map_err(|words| told(&words, &plan, &path, path.len() - 1))?;
            if seen.insert(next.fingerprint()) {
                queue.push_back((path.len() - 1, next));
            } else {
                path.pop();
            }
        }
    }
    Ok(Found { states: seen.len(), ends })
}

/// What is wrong, and the moves that led there.
fn told(words: &str, plan: &Plan, path: &[(usize, Option<Move>)], mut place: usize) -> String {
    let mut moves = Vec::new();
    while let (before, Some(it)) = &path[place] {
        moves.push(it);
        place = *before;
    }
    let mut text = format!("{words}, after:");
    for it in moves.into_iter().rev() {
        let _ = write!(text, "\n  {it:?}");
    }
    for step in plan.steps.ids() {
        let _ = write!(text, "\n{step:?} is {} of {}", plan.label(step), plan.stream_of(step).name);
    }
    text
}

#[test]
fn every_run_of_three_streams_over_three_barriers_with_three_faults() {
    let found = search(MEETINGS, 3, None).unwrap_or_else(|words| panic!("{words}"));
    assert!(found.states > 50_000, "{found:?}");
    assert!(found.ends > 100, "{found:?}");
}

#[test]
#[ignore = "takes minutes: tests/soak runs it"]
#[expect(clippy::print_stdout, reason = "tests/soak reads the figure")]
fn every_run_of_four_streams_over_three_barriers_with_three_faults() {
    let found = search(FOUR, 3, None).unwrap_or_else(|words| panic!("{words}"));
    println!("four streams, three barriers, three faults: {} states", found.states);
    assert!(found.states > 100_000, "{found:?}");
}

#[test]
fn every_run_of_the_other_dependences_with_two_faults() {
    let found = search(OTHERS, 2, None).unwrap_or_else(|words| panic!("{words}"));
    assert!(found.states > 10_000, "{found:?}");
}

#[test]
fn every_run_of_held_and_retried_processes_with_two_faults() {
    let found = search(HELD, 2, None).unwrap_or_else(|words| panic!("{words}"));
    assert!(found.states > 5_000, "{found:?}");
}

#[test]
fn every_planted_fault_is_found() {
    let all = [
        (Planted::FailureDoesNotBreak, "the run hangs"),
        (Planted::WaitersForgotten, "the run hangs"),
        (Planted::ReleasedEarly, "has not come to its barrier"),
        (Planted::SignalLost, "the run hangs"),
        (Planted::WaitsForever, "the run hangs"),
        (Planted::DeathUnnoticed, "a failure does not cost the verdict"),
        (Planted::CleanupForgotten, "is lost"),
        (Planted::StopFalls, "does not rise"),
        (Planted::BlamesItself, "is blamed and has not failed"),
        (Planted::EndsEarly, "is still open"),
        (Planted::InterruptMissesWaiters, "the run hangs"),
    ];
    for (planted, expected) in all {
        let plan = if matches!(planted, Planted::SignalLost | Planted::DeathUnnoticed) { OTHERS } else { MEETINGS };
        let words = search(plan, 2, Some(planted)).expect_err(&format!("{planted:?} is not found"));
        assert!(words.starts_with("the run hangs") == (expected == "the run hangs"), "{planted:?}: {words}");
        assert!(words.contains(expected), "{planted:?}: {words}");
    }
}
