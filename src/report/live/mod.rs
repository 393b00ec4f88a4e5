//! What happens now, for a terminal: a line for each stream that is at work, redrawn in place below what scrolls by.
//!
//! ```text
//! web    $ serve --port 8080 · deploy.ms:12  41s
//! http   waits at barrier ready 41s: 1 of 3 missing, worker in step $ mount (line 37)
//! worker $ mount · deploy.ms:37  42s
//! 12 of 40 steps, 42s
//! ```
//!
//! Time comes from the records and from the caller: this reads no clock, so the caller draws again every now and then.

mod screen;

use std::sync::Arc;
use std::time::Duration;

use super::names::Names;
use super::wait::{Wait, doing};
use super::watch::{Doing, Done, Seen, Watch, excused};
use super::{Style, paint, words};
use crate::diagnostic::Sources;
use crate::diagnostic::visible::{fit, pad};
use crate::event::{Event, Outcome, Record};
use crate::plan::{Plan, StepId};
use crate::scenario::StreamId;

pub use screen::Screen;

/// How large the terminal is, in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// The fold.
#[derive(Debug)]
pub struct Live {
    names: Names,
    style: Style,
    watch: Watch,
    width: usize,
    ended: usize,
    failed: usize,
    stopping: bool,
}

impl Live {
    /// Before the first record.
    pub fn new(plan: Arc<Plan>, sources: Arc<Sources>, style: Style) -> Self {
        let watch = Watch::new(&plan);
        let names = Names { plan, sources };
        Self { width: names.width(), watch, names, style, ended: 0, failed: 0, stopping: false }
    }

    /// Takes the next record.
    pub fn record(&mut self, record: &Record) {
        if let Event::StepEnded(step, outcome) | Event::StepTaken(step, outcome) = &record.event {
            self.ended(*step, outcome);
        }
        self.stopping |= matches!(record.event, Event::Interrupted(_) | Event::RunTimedOut | Event::JournalFailed(_));
        self.watch.record(&self.names.plan, record);
    }

    /// What to show at `now` (since the start of the run): a line for each stream at work, no longer than the terminal is
    /// wide, and a last one with the state of the whole. At most half of the terminal is taken; streams that
    /// find no room are counted.
    pub fn lines(&self, now: Duration, size: Size) -> Vec<String> {
        let room = (size.rows / 2).max(2) - 1;
        let at_work: Vec<StreamId> = self.names.plan.streams.ids().filter(|id| self.at_work(*id)).collect();
        let shown = if at_work.len() > room { &at_work[..room - 1] } else { &at_work };
        let lines = shown.iter().map(|stream| self.line(*stream, now, size.columns));
        let more = (shown.len() < at_work.len()).then(|| fit(&self.more(&at_work[shown.len()..]), size.columns));
        lines.chain(more).chain([fit(&self.state(now), size.columns)]).collect()
    }

    /// A step may end more than once, in `repeat`: it counts once.
    fn ended(&mut self, step: StepId, outcome: &Outcome) {
        if self.watch.steps[step] == Done::NotYet {
            self.ended += 1;
        }
        let failed =
            matches!(outcome, Outcome::Failed(_) | Outcome::TimedOut(_)) && !excused(&self.names.plan, step, outcome);
        self.failed += usize::from(failed);
    }

    fn at_work(&self, stream: StreamId) -> bool {
        match self.watch.streams[stream].doing {
            Doing::Opening | Doing::Running(_) | Doing::Waiting(_) => true,
            Doing::Nothing | Doing::Between | Doing::Failed | Doing::Closed => false,
        }
    }

    fn line(&self, stream: StreamId, now: Duration, columns: usize) -> String {
        let seen = self.watch.streams[stream];
        let name = pad(&self.names.stream(stream), self.width);
        let room = columns.saturating_sub(self.width + 1);
        let text = fit(&self.doing(seen, now), room);
        format!("{} {text}", self.style.paint(paint::stream(stream), &fit(&name, columns)))
    }

    fn doing(&self, seen: Seen, now: Duration) -> String {
        let since = words::elapsed(now.saturating_sub(seen.since));
        let when = if seen.cleanup { "finally: " } else { "" };
        match seen.doing {
            Doing::Opening => format!("opens  {since}"),
            Doing::Running(step) => {
                format!("{when}{} · {}  {since}", self.names.label(step), self.names.place(step))
            }
            Doing::Waiting(step) => self.waits(step, &since),
            Doing::Nothing | Doing::Between | Doing::Failed | Doing::Closed => String::new(),
        }
    }

    /// `waits at barrier ready 41s: 1 of 3 missing, worker in step $ mount (line 37)`
    fn waits(&self, step: StepId, since: &str) -> String {
        let wait = Wait::of(&self.names, &self.watch, step);
        let [first, ..] = *wait.missing else { return format!("waits {} {since}", wait.what) };
        let who = format!("{} {}", self.names.stream(first), doing(&self.names, &self.watch, first));
        format!("waits {} {since}: {} of {} missing, {who}", wait.what, wait.missing.len(), wait.of)
    }

    /// `and 12 more: 9 in steps, 3 waiting`
    fn more(&self, streams: &[StreamId]) -> String {
        let waiting = |id: &&StreamId| matches!(self.watch.streams[**id].doing, Doing::Waiting(_));
        let waiting = streams.iter().filter(waiting).count();
        let counts = [(streams.len() - waiting, "at work"), (waiting, "waiting")];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        format!("and {} more: {}", streams.len(), counts.collect::<Vec<_>>().join(", "))
    }

    /// `12 of 40 steps, 1 failed, 42s`
    fn state(&self, now: Duration) -> String {
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let stopping = if self.stopping { ", stopping" } else { "" };
        let steps = words::count(self.watch.steps.len(), "step", "steps");
        format!("{} of {steps}{failed}{stopping}, {}", self.ended, words::elapsed(now))
    }
}

#[cfg(test)]
mod tests;
