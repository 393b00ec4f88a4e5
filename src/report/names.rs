//! What reports call streams and steps, and where those were written.

use std::sync::Arc;

use unicode_width::UnicodeWidthStr as _;

use crate::diagnostic::{Sources, visible};
use crate::event::{Origin, Outcome};
use crate::plan::{BarrierId, Plan, StepId, StepKind, caption};
use crate::scenario::StreamId;

/// A longer label is cut.
const LABEL: usize = 60;
/// Names are padded to the longest one, but to no more than this.
const NAME: usize = 24;

/// The plan and its texts, asked for names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) plan: Arc<Plan>,
    pub(super) sources: Arc<Sources>,
}

impl Names {
    /// A stream's name, visible.
    pub(super) fn stream(&self, stream: StreamId) -> String {
        visible::text(&self.plan.streams[stream].name)
    }

    /// The name of a step's stream.
    pub(super) fn stream_of(&self, step: StepId) -> String {
        self.stream(self.plan.steps[step].stream)
    }

    /// `$ serve --port 8080`, `python: import os`, `start web`, `barrier loaded`: one line, cut where it is long.
    pub(super) fn label(&self, step: StepId) -> String {
        caption(&self.plan, &self.sources, step, LABEL)
    }

    /// `deploy.ms:18`
    pub(super) fn place(&self, step: StepId) -> String {
        visible::text(&self.sources.place(self.plan.steps[step].span))
    }

    /// The line alone, for where there is little room.
    pub(super) fn line(&self, step: StepId) -> u32 {
        self.sources.location(self.plan.steps[step].span).line
    }

    /// Where a stream was declared, or first used.
    pub(super) fn declared(&self, stream: StreamId) -> String {
        visible::text(&self.sources.place(self.plan.streams[stream].span))
    }

    /// The name of the background process that a `start` or a `prepare` makes; of others the label.
    pub(super) fn process(&self, step: StepId) -> String {
        let (StepKind::Start(handle) | StepKind::Prepare(handle)) = self.plan.steps[step].kind else {
            return self.label(step);
        };
        visible::text(&self.plan.handles[handle].name)
    }

    /// The meeting that a step is a party of: a barrier's or a start gate's.
    pub(super) fn meets(&self, step: StepId) -> Option<BarrierId> {
        let it = &self.plan.steps[step];
        if let StepKind::Barrier(id) = it.kind { Some(id) } else { it.extra.as_ref()?.gate }
    }

    /// Whether a process of this step goes on after its end: it is in the background.
    pub(super) fn goes_on(&self, step: StepId, outcome: &Outcome) -> bool {
        matches!(self.plan.steps[step].kind, StepKind::Start(_) | StepKind::Prepare(_)) && *outcome == Outcome::Passed
    }

    /// `web failed at deploy.ms:18`
    pub(super) fn origin(&self, origin: Origin) -> String {
        match origin {
            Origin::Step(step) => format!("{} failed at {}", self.stream_of(step), self.place(step)),
            Origin::Stream(stream) => format!("{} failed at {}", self.stream(stream), self.declared(stream)),
        }
    }

    /// `loaded`, `ready (2 of 3)`, `sync`, `start together`
    pub(super) fn meeting(&self, barrier: BarrierId) -> String {
        let label = self.plan.barrier_label(barrier);
        visible::text(label.strip_prefix("barrier ").unwrap_or(&label))
    }

    /// How wide a column for the names of all streams is.
    pub(super) fn width(&self) -> usize {
        self.plan.streams.values().map(|stream| stream.name.width()).max().unwrap_or(0).min(NAME)
    }
}
