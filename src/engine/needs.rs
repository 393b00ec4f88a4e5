//! What must be there before a step starts: values, addresses, the ends of other streams. Who waits stands in one
//! list per need, so that what comes wakes its waiters and nobody else.

use super::state::{Kept, Link, Part, Phase, Turn, Work};
use crate::event::{Event, Origin, Outcome};
use crate::plan::{Need, Plan, StepId, StepKind, Stream};
use crate::scenario::StreamId;

/// Whether a step runs somewhere, and so needs its stream open.
pub(crate) fn needs_place(plan: &Plan, step: StepId) -> bool {
    let it = &plan.steps[step];
    match it.kind {
        StepKind::Run(_)
        | StepKind::Capture(..)
        | StepKind::Start(_)
        | StepKind::Stop(_)
        | StepKind::Prepare(_)
        | StepKind::Trigger(_)
        | StepKind::Join(_)
        | StepKind::Put
        | StepKind::Get => true,
        StepKind::Evaluate(_) | StepKind::Barrier(_) | StepKind::Signal | StepKind::Wait(_) | StepKind::Expect => false,
    }
}

/// What must be there before a stream can be opened.
pub(crate) fn key_needs(stream: &Stream) -> Vec<Need> {
    stream.keys.iter().flat_map(|(_, value)| value.needs()).collect()
}

/// How a need stands for one stream.
enum Standing {
    There,
    Missing,
    Broken(Origin),
}

impl Turn<'_> {
    /// Waits for what the step needs and is not there. Answers whether the step may begin now.
    pub(super) fn await_needs(&mut self, stream: StreamId) -> bool {
        let plan = self.plan;
        let step = self.state.lanes[stream].at;
        let own = plan.steps[step].extra.as_ref().map_or(&[][..], |extra| &extra.needs);
        let keys = match self.state.lanes[stream].link {
            Link::Unopened if needs_place(plan, step) => key_needs(&plan.streams[stream]),
            Link::Unopened | Link::Opening | Link::Open | Link::Failed(_) => Vec::new(),
        };
        let mut missing = 0;
        for need in own.iter().chain(&keys) {
            match self.standing(*need, stream) {
                Standing::There => {}
                Standing::Missing => {
                    missing += 1;
                    self.state.waiters.entry(*need).or_default().push(stream);
                }
                Standing::Broken(origin) => {
                    self.end_step(stream, Outcome::Broken(origin));
                    return false;
                }
            }
        }
        if missing > 0 {
            self.state.lanes[stream].phase = Phase::Needs(missing);
            self.record(Event::StepWaiting(step));
        }
        missing == 0
    }

    fn standing(&self, need: Need, asker: StreamId) -> Standing {
        match need {
            Need::Value(value) => match &self.state.values[value] {
                Kept::Made(_) | Kept::Absent => Standing::There,
                Kept::Broken(origin) => Standing::Broken(*origin),
                // Its own stream made it before, or never will: waiting would not end.
                Kept::Private(_) | Kept::Pending => {
                    let own = self.plan.steps[self.plan.values[value].step].stream == asker;
                    if own { Standing::There } else { Standing::Missing }
                }
            },
            Need::Host(stream) => {
                let lane = &self.state.lanes[stream];
                match (&lane.host, &lane.link, lane.failed) {
                    _ if stream == asker => Standing::There,
                    (Some(_), _, _) => Standing::There,
                    (None, Link::Failed(_), _) => Standing::Broken(Origin::Stream(stream)),
                    (None, Link::Unopened, Some(origin)) => Standing::Broken(origin),
                    (None, Link::Unopened, None) if lane.denied.is_some() => {
                        lane.denied.map_or(Standing::Missing, Standing::Broken)
                    }
                    _ if lane.phase == Phase::Closed => Standing::There,
                    _ => Standing::Missing,
                }
            }
            Need::End(stream) => {
                let over = stream == asker || self.state.lanes[stream].part != Part::Timeline;
                if over { Standing::There } else { Standing::Missing }
            }
        }
    }

    /// Tells everybody who waits for it that a need is there.
    pub(super) fn supply(&mut self, need: Need) {
        self.tell_openers(need, None);
        for stream in self.state.waiters.swap_remove(&need).unwrap_or_default() {
            let lane = &mut self.state.lanes[stream];
            if let Phase::Needs(missing) = lane.phase {
                lane.phase = if missing > 1 { Phase::Needs(missing - 1) } else { Phase::Idle };
                if lane.phase == Phase::Idle {
                    self.queue(Work::Begin(stream));
                }
            }
        }
    }

    /// Tells everybody who waits for it that a need will never be there.
    pub(super) fn deny(&mut self, need: Need, origin: Origin) {
        self.tell_openers(need, Some(origin));
        for stream in self.state.waiters.swap_remove(&need).unwrap_or_default() {
            if let Phase::Needs(_) = self.state.lanes[stream].phase {
                self.end_step(stream, Outcome::Broken(origin));
            }
        }
    }
}
