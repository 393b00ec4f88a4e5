//! Deadlines: a heap with at most one live entry for each owner. Setting and clearing one costs no heap operation
//! while an earlier entry of the same owner still stands.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::state::{Fate, State, Turn};
use crate::plan::{BarrierId, HandleId};
use crate::scenario::StreamId;

/// Whose time it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Alarm {
    /// The running step of a stream: its timeout, the grace, a pause.
    Step(StreamId),
    /// A stream: connecting, cleaning up, closing.
    Bound(StreamId),
    /// A background process.
    Process(HandleId),
    /// A meeting with a timeout of its own.
    Barrier(BarrierId),
    /// The run.
    Run,
}

/// The deadline of one owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Slot {
    /// When it is due.
    pub(super) due: Option<Duration>,
    /// When the heap will look here next; never later than `due`.
    queued: Option<Duration>,
}

/// All deadlines.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    heap: BinaryHeap<Reverse<(Duration, Alarm)>>,
}

impl Clock {
    /// The next one, once [`Turn::tidy`] has thrown out what is stale.
    pub(super) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

impl State {
    /// Barriers and the run are armed once and have no slot.
    fn slot(&mut self, alarm: Alarm) -> Option<&mut Slot> {
        match alarm {
            Alarm::Step(stream) => Some(&mut self.lanes[stream].step_slot),
            Alarm::Bound(stream) => Some(&mut self.lanes[stream].bound_slot),
            Alarm::Process(handle) => Some(&mut self.processes[handle].slot),
            Alarm::Barrier(_) | Alarm::Run => None,
        }
    }

    /// Whether the entry at the top of the heap speaks the truth; one that does not is replaced or thrown out.
    fn settle(&mut self, at: Duration, alarm: Alarm) -> bool {
        let due = match alarm {
            Alarm::Barrier(barrier) => (self.meetings[barrier].fate == Fate::Pending).then_some(at),
            Alarm::Run => self.halt.is_none().then_some(at),
            Alarm::Step(_) | Alarm::Bound(_) | Alarm::Process(_) => self.slot(alarm).and_then(|slot| slot.due),
        };
        if due == Some(at) {
            return true;
        }
        self.clock.heap.pop();
        if let Some(slot) = self.slot(alarm).filter(|slot| slot.queued == Some(at)) {
            slot.queued = due;
            if let Some(due) = due {
                self.clock.heap.push(Reverse((due, alarm)));
            }
        }
        false
    }
}

impl Turn<'_> {
    /// Sets the deadline of an owner, in place of the one it had.
    pub(super) fn arm(&mut self, alarm: Alarm, after: Duration) {
        let due = self.now.saturating_add(after);
        let queue = self.state.slot(alarm).is_none_or(|slot| {
            slot.due = Some(due);
            let queue = slot.queued.is_none_or(|queued| queued > due);
            if queue {
                slot.queued = Some(due);
            }
            queue
        });
        if queue {
            self.state.clock.heap.push(Reverse((due, alarm)));
        }
    }

    /// Forgets the deadline of an owner.
    pub(super) fn disarm(&mut self, alarm: Alarm) {
        if let Some(slot) = self.state.slot(alarm) {
            slot.due = None;
        }
    }

    /// Throws out stale entries until the top of the heap is a real deadline.
    pub(super) fn tidy(&mut self) {
        while let Some(Reverse((at, alarm))) = self.state.clock.heap.peek().copied() {
            if self.state.settle(at, alarm) {
                break;
            }
        }
    }

    /// Whether nothing but the end of the run's time can come of itself: nothing runs in the foreground, opens, closes
    /// or pauses.
    pub(super) fn at_rest(&self) -> bool {
        let heap = &self.state.clock.heap;
        heap.iter().take(2).all(|Reverse((_, alarm))| *alarm == Alarm::Run)
    }

    /// Takes one deadline that has come.
    pub(super) fn strike(&mut self) -> Option<Alarm> {
        self.tidy();
        let Reverse((_, alarm)) = self.state.clock.heap.peek().copied().filter(|Reverse((at, _))| *at <= self.now)?;
        self.state.clock.heap.pop();
        if let Some(slot) = self.state.slot(alarm) {
            *slot = Slot::default();
        }
        Some(alarm)
    }
}
