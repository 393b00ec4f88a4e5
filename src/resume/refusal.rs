//! Why a run cannot go on from where an earlier one ended, and what to do about it.

use crate::diagnostic::Sources;
use crate::plan::{Plan, StepId, ValueId, caption};
use crate::scenario::StreamId;

/// So many steps, streams or values are named; the rest is counted.
const NAMED: usize = 8;

/// A label is cut to so many characters.
const LABEL: usize = 60;

/// A reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// All has passed.
    EndedWell(u8),
    /// These began behind the cut, and nobody says that they may run twice.
    NotResumable(Vec<StepId>),
    /// These processes were alive at the cut, and nobody says that they may be started twice.
    Alive(Vec<StepId>),
    /// These cleanups have begun, each named by its first step, and their timelines are not over.
    CleanedAway(Vec<StepId>),
    /// These streams were in containers that mstream made.
    Container(Vec<StreamId>),
    /// These values hold a secret, so they were not kept.
    Secret(Vec<ValueId>),
    /// These values cannot be read.
    LostValue(Vec<ValueId>),
}

impl Refusal {
    /// What is wrong, a line each, and what to do, as people read it.
    pub fn words(&self, plan: &Plan, sources: &Sources) -> String {
        let step = |step: &StepId| {
            let place = sources.place(plan.steps[*step].span);
            format!("{}: {} · {place}", plan.stream_of(*step).name, caption(plan, sources, *step, LABEL))
        };
        let stream = |id: &StreamId| {
            let it = &plan.streams[*id];
            format!("{} · {}", it.name, sources.place(it.span))
        };
        let value = |id: &ValueId| {
            let it = &plan.values[*id];
            format!("{} · {}", it.name, sources.place(plan.steps[it.step].span))
        };
        let anew = "  help: run the scenario from its beginning";
        match self {
            Self::EndedWell(0) => "it passed: there is nothing left to do".to_owned(),
            Self::EndedWell(_) => {
                "all of it passed, with something left behind: there is nothing left to do".to_owned()
            }
            Self::NotResumable(steps) => format!(
                "{} begun behind the last point that all streams had passed, and {} not marked `resumable`:\n{}\n  \
                 help: mark what may run twice with `resumable = true` for the next time; this time {}",
                had(steps, "this step had", "these steps had"),
                had(steps, "is", "are"),
                listed(steps, step),
                "run the scenario from its beginning"
            ),
            Self::Alive(steps) => format!(
                "{} in the background at the last point that all streams had passed, and {} not marked \
                 `resumable`:\n{}\n{anew}",
                had(steps, "this ran", "these ran"),
                had(steps, "is", "are"),
                listed(steps, step)
            ),
            Self::CleanedAway(steps) => format!(
                "{} run already, and cleaned away what the steps before {} set up:\n{}\n{anew}",
                had(steps, "this `finally` has", "these `finally` have"),
                had(steps, "it", "them"),
                listed(steps, step)
            ),
            Self::Container(streams) => format!(
                "{} in a container that mstream made, and what was done there went with it:\n{}\n{anew}",
                had(streams, "this stream ran", "these streams ran"),
                listed(streams, stream)
            ),
            Self::Secret(values) => format!(
                "a secret is in {}, so {} not kept, and steps that run again need {}:\n{}\n{anew}",
                had(values, "this value", "these values"),
                had(values, "it was", "they were"),
                had(values, "it", "them"),
                listed(values, value)
            ),
            Self::LostValue(values) => format!(
                "{} damaged or missing, and steps that run again need {}:\n{}\n{anew}",
                had(values, "this value is", "these values are"),
                had(values, "it", "them"),
                listed(values, value)
            ),
        }
    }
}

fn had<T>(items: &[T], one: &'static str, many: &'static str) -> &'static str {
    if items.len() == 1 { one } else { many }
}

fn listed<T>(items: &[T], line: impl Fn(&T) -> String) -> String {
    let more = items.len().checked_sub(NAMED).filter(|more| *more > 0).map(|more| format!("  and {more} more"));
    let lines = items.iter().take(NAMED).map(|item| format!("  {}", line(item)));
    lines.chain(more).collect::<Vec<_>>().join("\n")
}
