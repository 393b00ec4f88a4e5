//! What a step says of itself, and what its end means: statuses, limits, whether it counts, who is to blame.

use std::sync::Arc;
use std::time::Duration;

use super::state::Turn;
use crate::event::{Cause, Exit, Origin, Outcome, Reason};
use crate::plan::{BarrierId, Expr, Extra, Options, StepId, StepKind};
use crate::scenario::StreamId;

impl Turn<'_> {
    /// Whether code with that status has passed.
    pub(super) fn judge(&self, step: StepId, exit: &Exit) -> Outcome {
        let expected = self.options(step).map_or(&[][..], |options| &options.exit);
        match exit {
            Exit::Refused(words) => Outcome::Failed(Reason::Error(Arc::clone(words))),
            Exit::Status(0) if expected.is_empty() => Outcome::Passed,
            Exit::Status(status) if expected.contains(status) => Outcome::Passed,
            Exit::Lost(words) => Outcome::Lost(Arc::clone(words)),
            Exit::Status(_) | Exit::Signal(_) | Exit::OutOfMemory(_) | Exit::NotStarted(_) => {
                Outcome::Failed(Reason::Exit(exit.clone()))
            }
        }
    }

    pub(super) fn count_failure(&mut self, stream: StreamId, outcome: &Outcome) {
        self.state.lanes[stream].passed = false;
        let verdict = &mut self.state.verdict;
        match outcome {
            Outcome::Failed(Reason::Exit(Exit::NotStarted(_) | Exit::Lost(_)))
            | Outcome::Unreachable(_)
            | Outcome::Lost(_) => verdict.surroundings = true,
            Outcome::Failed(_) | Outcome::Cancelled(Cause::Stream(_)) => verdict.failed = true,
            Outcome::TimedOut(_) => verdict.timed_out = true,
            Outcome::Broken(_) | Outcome::Cancelled(_) | Outcome::Passed | Outcome::Skipped => {}
        }
    }

    /// `may_fail`: of the code, and of a `wait`.
    pub(super) fn excused(&self, step: StepId, outcome: &Outcome) -> bool {
        let own = matches!(outcome, Outcome::Failed(reason) if !matches!(reason, Reason::Background(..)))
            || matches!(outcome, Outcome::TimedOut(_));
        own && (self.options(step).is_some_and(|options| options.may_fail)
            || self.extra(step).is_some_and(|extra| extra.may_fail))
    }

    pub(super) fn extra(&self, step: StepId) -> Option<&Extra> {
        self.plan.steps[step].extra.as_deref()
    }

    pub(super) fn expression(&self, step: StepId) -> Option<&Expr> {
        self.extra(step).and_then(|extra| extra.expression.as_ref())
    }

    pub(super) fn gate(&self, step: StepId) -> Option<BarrierId> {
        self.extra(step).and_then(|extra| extra.gate)
    }

    /// The options of the code that a step runs, or whose status it judges.
    pub(super) fn options(&self, step: StepId) -> Option<&Options> {
        if let StepKind::Join(handle) = self.plan.steps[step].kind {
            return self.plan.codes[self.plan.handles[handle].code].options.as_deref();
        }
        self.plan.code_of(step).and_then(|code| code.options.as_deref())
    }

    /// How long a step may take.
    pub(super) fn limit(&self, step: StepId) -> Duration {
        let joins = matches!(self.plan.steps[step].kind, StepKind::Join(_));
        let of_code = self.options(step).filter(|_| !joins).and_then(|options| options.timeout);
        let own = self.extra(step).and_then(|extra| extra.timeout);
        own.or(of_code).map_or(self.bounds.step, |time| self.bounds.scaled(time))
    }
}

/// What others name when they suffer from this end; nothing where the whole run is ending.
pub(super) fn origin_of(step: StepId, stream: StreamId, outcome: &Outcome) -> Option<Origin> {
    match outcome {
        Outcome::Failed(Reason::Background(start, _)) => Some(Origin::Step(*start)),
        Outcome::Failed(_) | Outcome::TimedOut(_) => Some(Origin::Step(step)),
        Outcome::Unreachable(_) | Outcome::Lost(_) => Some(Origin::Stream(stream)),
        Outcome::Broken(origin) | Outcome::Cancelled(Cause::Stream(origin)) => Some(*origin),
        Outcome::Cancelled(Cause::Interrupt | Cause::FailFast(_) | Cause::RunTimeout | Cause::Journal)
        | Outcome::Passed
        | Outcome::Skipped => None,
    }
}
