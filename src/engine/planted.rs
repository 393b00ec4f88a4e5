//! Faults that the model check must find: each breaks one rule of the engine, in tests only.

use super::state::Turn;

/// A broken rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Planted {
    /// A failure tells nobody who depends on it.
    FailureDoesNotBreak,
    /// A broken barrier forgets those who wait there already.
    WaitersForgotten,
    /// A barrier of three goes on with two.
    ReleasedEarly,
    /// A signal wakes nobody.
    SignalLost,
    /// A process that KILL does not end is waited for.
    WaitsForever,
    /// The death of a background process is not noticed.
    DeathUnnoticed,
    /// A cleanup is skipped.
    CleanupForgotten,
    /// A process is told to end more gently than before.
    StopFalls,
    /// Who comes to a broken barrier blames itself.
    BlamesItself,
    /// The run ends while a stream is still open.
    EndsEarly,
    /// An interrupt leaves the waiting streams waiting.
    InterruptMissesWaiters,
}

impl Turn<'_> {
    /// Whether the rule is broken in this run.
    #[cfg(test)]
    pub(super) fn planted(&self, fault: Planted) -> bool {
        self.state.planted == Some(fault)
    }

    /// Outside tests, no rule is broken.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the same call as in tests")]
    pub(super) const fn planted(&self, _: Planted) -> bool {
        false
    }
}
