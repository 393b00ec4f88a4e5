//! Where a failure began, and all that is said about it.

use std::time::Duration;

use indexmap::IndexMap;

use super::super::names::Names;
use super::super::tail::Tail;
use super::super::wait::{Wait, doing};
use super::super::watch::Watch;
use super::super::words;
use crate::diagnostic::visible;
use crate::event::{Exit, Fault, Origin, Outcome, Reason};
use crate::plan::{BarrierId, StepId};
use crate::scenario::StreamId;

/// Of so many who are missing at a meeting it is told what they do.
const MISSING: usize = 8;

/// One origin.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What happened, on one line.
    pub(super) how: String,
    /// How long the process had run, where it ended of itself.
    pub(super) took: Option<Duration>,
    /// The surroundings are at fault, not the test.
    pub(super) surroundings: bool,
    /// More about it, a line each: the parts of an expectation, the rest of a reason.
    pub(super) details: Vec<String>,
    /// The last lines of output.
    pub(super) output: Vec<String>,
    /// The background process that is behind it.
    pub(super) process: Option<StepId>,
    /// Who had come to the meeting where the time was over.
    pub(super) arrived: Vec<StreamId>,
    /// Who had not, what each did, and its last lines.
    pub(super) missing: Vec<(StreamId, String, Vec<String>)>,
    /// How many more had not.
    pub(super) more_missing: usize,
    /// What followed.
    pub(super) suffering: Vec<(StepId, Suffering)>,
}

/// How a step suffers from an origin elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Suffering {
    /// What it waits for can no longer come.
    Broken,
    /// It was ended because of it.
    Cancelled,
    /// Its own stream is the origin.
    Stream,
}

/// The origin that `step` timed out together with: the first of the parties of one meeting.
pub(super) fn same(names: &Names, watch: &Watch, origins: &IndexMap<Origin, Entry>, step: StepId) -> Option<Origin> {
    let meeting = pending(names, watch, step)?;
    let timed_out_there = |(origin, entry): &(&Origin, &Entry)| match origin {
        Origin::Step(other) => !entry.arrived.is_empty() && pending(names, watch, *other) == Some(meeting),
        Origin::Stream(_) => false,
    };
    origins.iter().find(timed_out_there).map(|(origin, _)| *origin)
}

/// The meeting that a step waits at, or waited at when it ended.
fn pending(names: &Names, watch: &Watch, step: StepId) -> Option<BarrierId> {
    names.meets(step).filter(|id| !watch.is_released(*id))
}

impl Entry {
    /// A step that failed or timed out, after that time, with those last lines.
    pub(super) fn of_step(outcome: &Outcome, took: Duration, output: Vec<String>) -> Self {
        let (how, details) = match outcome {
            Outcome::Failed(Reason::Exit(exit @ (Exit::Status(_) | Exit::Signal(_) | Exit::OutOfMemory(_)))) => {
                (words::exit(exit), Vec::new())
            }
            Outcome::Failed(Reason::Exit(Exit::NotStarted(why))) => first(&format!("not started: {why}")),
            Outcome::Failed(Reason::Exit(Exit::Lost(why))) => first(&format!("lost: {why}")),
            Outcome::Failed(Reason::Unmet(parts)) => (
                words::ending(outcome).replace("failed: ", "not true: "),
                parts.iter().skip(1).map(|it| visible::text(it)).collect(),
            ),
            Outcome::Failed(Reason::Error(why) | Reason::Background(_, why) | Reason::Exit(Exit::Refused(why))) => {
                first(why)
            }
            Outcome::Passed
            | Outcome::TimedOut(_)
            | Outcome::Unreachable(_)
            | Outcome::Lost(_)
            | Outcome::Broken(_)
            | Outcome::Cancelled(_)
            | Outcome::Skipped => (words::ending(outcome), Vec::new()),
        };
        let surroundings = matches!(outcome, Outcome::Failed(Reason::Exit(Exit::NotStarted(_) | Exit::Lost(_))));
        let process = if let Outcome::Failed(Reason::Background(step, _)) = outcome { Some(*step) } else { None };
        let ended =
            matches!(outcome, Outcome::Failed(Reason::Exit(Exit::Status(_) | Exit::Signal(_) | Exit::OutOfMemory(_))));
        Self { how, took: ended.then_some(took), surroundings, details, output, process, ..Self::default() }
    }

    /// Whether the two say the same, so that one of them can stand for both.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let words = |it: &Self| (it.how.clone(), it.took.is_some(), it.details.clone(), it.output.clone());
        let alone = |it: &Self| it.process.is_none() && it.arrived.is_empty() && it.missing.is_empty();
        alone(self) && alone(other) && words(self) == words(other)
    }

    /// A stream that could not be opened, or went away.
    pub(super) fn of_stream(fault: &Fault) -> Self {
        let (Fault::Unreachable(why) | Fault::Lost(why)) = fault;
        let (_, details) = first(why);
        let how = words::fault(&match fault {
            Fault::Unreachable(_) => Fault::Unreachable(why.lines().next().unwrap_or_default().into()),
            Fault::Lost(_) => Fault::Lost(why.lines().next().unwrap_or_default().into()),
        });
        Self { how, details, surroundings: true, ..Self::default() }
    }

    /// A background process that died, how, and its last lines.
    pub(super) fn of_process(how: &str, output: Vec<String>) -> Self {
        Self { how: format!("died in the background: {how}"), output, ..Self::default() }
    }

    /// Says which background process is behind it, how it ended, and what it printed last.
    pub(super) fn background(&mut self, names: &Names, process: StepId, ended: &str, output: Vec<String>) {
        let ended = if ended.is_empty() { String::new() } else { format!(", {ended}") };
        let line = format!("background process {}{ended} · {}", names.process(process), names.place(process));
        self.details.insert(0, line);
        self.output = output;
    }

    /// Says who had come where `step` waited too long, who had not, and what those do.
    pub(super) fn meeting(&mut self, names: &Names, watch: &Watch, tails: &IndexMap<StepId, Tail>, step: StepId) {
        let wait = Wait::of(names, watch, step);
        if let Some(barrier) = pending(names, watch, step) {
            let arrived = watch.meeting(barrier).into_iter().flat_map(|meeting| &meeting.arrived);
            self.arrived = arrived.map(|(step, _)| names.plan.steps[*step].stream).collect();
        }
        self.more_missing = wait.missing.len().saturating_sub(MISSING);
        self.missing = wait
            .missing
            .into_iter()
            .take(MISSING)
            .map(|stream| {
                let lines = watch.streams[stream].step().and_then(|step| tails.get(&step)).map(Tail::lines);
                (stream, doing(names, watch, stream), lines.unwrap_or_default())
            })
            .collect();
    }
}

/// The first line of a reason, and the others.
fn first(why: &str) -> (String, Vec<String>) {
    let mut lines = why.lines().map(visible::text);
    (lines.next().unwrap_or_default(), lines.collect())
}
