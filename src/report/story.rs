//! Runs for tests of reports, told in lines over a sketched plan: `120 web: starts / $ serve`, the time in milliseconds.

use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::Sources;
use crate::event::{Channel, Event, Exit, Origin, Outcome, Reason, Record};
use crate::plan::sketch::sketch;
use crate::plan::{BarrierId, Plan, StepId};
use crate::scenario::StreamId;

/// A plan with its source and the records of a run over it.
pub(crate) struct Story {
    pub(crate) plan: Arc<Plan>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) records: Vec<Record>,
}

impl Story {
    /// Nothing has happened; the file is `deploy.ms`.
    pub(crate) fn new(text: &str) -> Self {
        let mut sources = Sources::default();
        sources.add("deploy.ms", text);
        Self { plan: Arc::new(sketch(text)), sources: Arc::new(sources), records: Vec::new() }
    }

    /// What happens, a line each.
    pub(crate) fn tell(self, text: &str) -> Self {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).fold(self, |story, line| {
            let (millis, rest) = line.split_once(' ').expect("`120 web: starts / $ serve`");
            let (stream, rest) = rest.split_once(": ").expect("`web: starts / $ serve`");
            let parts: Vec<&str> = rest.split(" / ").collect();
            let event = story.event(stream, &parts);
            story.at(millis.parse().expect("milliseconds"), event)
        })
    }

    fn event(&self, stream: &str, parts: &[&str]) -> Event {
        let step = |text| self.step(stream, text);
        let line = |text: &str| format!("{text}\n").into();
        match *parts {
            ["opens"] => Event::StreamOpening(self.stream(stream)),
            ["opened", host] => Event::StreamOpened(self.stream(stream), host.into()),
            ["closed"] => Event::StreamClosed(self.stream(stream), Vec::new()),
            ["finally"] => Event::CleanupStarted(self.stream(stream)),
            ["starts", text] => Event::StepStarted(step(text), 1),
            ["waits", text] => Event::StepWaiting(step(text)),
            ["prints", text, what] => Event::Output(step(text), Channel::Stdout, line(what)),
            ["warns", text, what] => Event::Output(step(text), Channel::Stderr, line(what)),
            ["passes", text] => Event::StepEnded(step(text), Outcome::Passed),
            ["skips", text] => Event::StepEnded(step(text), Outcome::Skipped),
            ["fails", text, status] => {
                let exit = Exit::Status(status.parse().expect("a status"));
                Event::StepEnded(step(text), Outcome::Failed(Reason::Exit(exit)))
            }
            ["dies", text, signal] => {
                let exit = Exit::Signal(signal.parse().expect("a signal"));
                Event::StepEnded(step(text), Outcome::Failed(Reason::Exit(exit)))
            }
            ["times out", text, seconds] => {
                let limit = Duration::from_secs(seconds.parse().expect("seconds"));
                Event::StepEnded(step(text), Outcome::TimedOut(limit))
            }
            ["breaks", text, whose, origin] => {
                let origin = Origin::Step(self.step(whose, origin));
                Event::StepEnded(step(text), Outcome::Broken(origin))
            }
            ["releases", name] => Event::BarrierReleased(self.barrier(name), self.stream(stream)),
            ref other => panic!("{other:?}"),
        }
    }

    /// The first meeting of the barrier of that name.
    pub(crate) fn barrier(&self, name: &str) -> BarrierId {
        let is = |id: &BarrierId| self.plan.barriers[*id].name.as_deref() == Some(name);
        self.plan.barriers.ids().find(is).expect("a barrier of the sketch")
    }

    /// The stream of that name.
    pub(crate) fn stream(&self, name: &str) -> StreamId {
        self.plan.streams.ids().find(|id| *self.plan.streams[*id].name == *name).expect("a stream of the sketch")
    }

    /// `event` happens `millis` after the start.
    pub(crate) fn at(mut self, millis: u64, event: Event) -> Self {
        let sequence = self.records.len() as u64;
        self.records.push(Record { sequence, at: Duration::from_millis(millis), event });
        self
    }

    /// The plan, to change what a sketch does not say.
    pub(crate) fn plan(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(Arc::get_mut(&mut self.plan).expect("changed before it is used"));
        self
    }

    /// The step whose source starts with `text`, in stream `name`.
    pub(crate) fn step(&self, name: &str, text: &str) -> StepId {
        let is = |id: &StepId| {
            *self.plan.stream_of(*id).name == *name && self.sources.text(self.plan.steps[*id].span).starts_with(text)
        };
        self.plan.steps.ids().find(is).expect("a step of the sketch")
    }
}
