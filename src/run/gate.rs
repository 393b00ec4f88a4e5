//! Start gates: how far apart the processes were let go that should start as one.

use std::time::Duration;

use indexmap::IndexMap;
use tokio::time::Instant;

use crate::plan::{BarrierId, StepId};

/// The gates that are opening.
#[derive(Debug, Default)]
pub(super) struct Gates {
    open: IndexMap<BarrierId, Gate>,
    of: IndexMap<StepId, BarrierId>,
}

#[derive(Debug, Default)]
struct Gate {
    missing: usize,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Gates {
    /// A gate opens for these steps.
    pub(super) fn open(&mut self, gate: BarrierId, steps: &[StepId]) {
        self.open.insert(gate, Gate { missing: steps.len(), ..Gate::default() });
        self.of.extend(steps.iter().map(|step| (*step, gate)));
    }

    /// A step was let go at that moment, or never will be. The last one of its gate gives the time between the first
    /// and the last.
    pub(super) fn passed(&mut self, step: StepId, at: Option<Instant>) -> Option<(BarrierId, Duration)> {
        let gate = self.of.swap_remove(&step)?;
        let it = self.open.get_mut(&gate)?;
        it.missing -= 1;
        it.first = [it.first, at].into_iter().flatten().min();
        it.last = it.last.max(at);
        if it.missing > 0 {
            return None;
        }
        let it = self.open.swap_remove(&gate)?;
        let skew = it.first.zip(it.last).map_or(Duration::ZERO, |(first, last)| last - first);
        Some((gate, skew))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_tells_how_far_apart_all_were() {
        let (mut gates, gate) = (Gates::default(), BarrierId(7));
        let start = Instant::now();
        let at = |micros| Some(start + Duration::from_micros(micros));
        gates.open(gate, &[StepId(1), StepId(2), StepId(3)]);
        assert_eq!(gates.passed(StepId(2), at(50)), None);
        assert_eq!(gates.passed(StepId(9), at(1)), None);
        assert_eq!(gates.passed(StepId(1), None), None);
        assert_eq!(gates.passed(StepId(3), at(20)), Some((gate, Duration::from_micros(30))));
        assert_eq!(gates.passed(StepId(3), at(99)), None);
    }
}
