//! Who waited for whom where timelines met.

use std::time::Duration;

use super::super::names::Names;
use super::super::watch::Meeting;
use super::super::words;
use crate::diagnostic::visible::pad;
use crate::plan::{BarrierId, Plan, StepId};
use crate::scenario::StreamId;

/// Shorter waits are not worth telling.
const NOTICEABLE: Duration = Duration::from_millis(100);
/// So many of those who waited at one meeting are named, the longest waits first.
const PARTIES: usize = 4;
/// So many meetings are shown: those where somebody waited longest.
const ROWS: usize = 20;

/// A meeting where somebody waited noticeably.
#[derive(Debug)]
pub(super) struct Met {
    barrier: BarrierId,
    last: StreamId,
    /// Who waited how long, longest first.
    waited: Vec<(StreamId, Duration)>,
    more: usize,
}

impl Met {
    /// The meeting that `last` completed at `at`; nothing where nobody waited noticeably.
    pub(super) fn new(
        plan: &Plan,
        (barrier, last): (BarrierId, StreamId),
        meeting: &Meeting,
        at: Duration,
    ) -> Option<Self> {
        let waited = |(step, since): &(StepId, Duration)| (plan.steps[*step].stream, at.saturating_sub(*since));
        let mut waited: Vec<_> = meeting.arrived.iter().map(waited).filter(|(_, time)| *time >= NOTICEABLE).collect();
        waited.sort_by_key(|(stream, time)| (std::cmp::Reverse(*time), *stream));
        let more = waited.len().saturating_sub(PARTIES);
        waited.truncate(PARTIES);
        waited.shrink_to_fit();
        (!waited.is_empty()).then_some(Self { barrier, last, waited, more })
    }

    fn longest(&self) -> Duration {
        self.waited.first().map_or(Duration::ZERO, |(_, time)| *time)
    }

    fn row(&self, names: &Names) -> [String; 3] {
        let waited =
            self.waited.iter().map(|(stream, time)| format!("{} {}", names.stream(*stream), words::elapsed(*time)));
        let more = (self.more > 0).then(|| format!("{} others", self.more));
        let waited: Vec<String> = waited.chain(more).collect();
        [
            names.meeting(self.barrier),
            format!("last: {}", names.stream(self.last)),
            format!("waited: {}", waited.join(", ")),
        ]
    }
}

/// The table, a line each: `loaded  last: db  waited: web 3.1s, cache 2.9s`.
pub(super) fn table(names: &Names, met: &[Met]) -> Vec<String> {
    let mut shown: Vec<usize> = (0..met.len()).collect();
    shown.sort_by_key(|at| std::cmp::Reverse(met[*at].longest()));
    shown.truncate(ROWS);
    shown.sort_unstable();
    let rows: Vec<[String; 3]> = shown.into_iter().map(|at| met[at].row(names)).collect();
    let width = |column: usize| rows.iter().map(|row| unicode_width::UnicodeWidthStr::width(&*row[column])).max();
    let (first, second) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    let lines =
        rows.iter().map(|[name, last, waited]| format!("{}  {}  {waited}", pad(name, first), pad(last, second)));
    let more = met.len().checked_sub(ROWS).filter(|more| *more > 0);
    lines.chain(more.map(|more| format!("and {more} more, where nobody waited longer"))).collect()
}
