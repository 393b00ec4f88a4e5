//! Streams whose address others use: they open early, and close only when nobody needs them any more.

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::needs::key_needs;
use super::past::Taken;
use super::state::{Kept, Link, Part, Phase, Turn, Work};
use crate::event::Origin;
use crate::plan::{Need, Plan};
use crate::scenario::StreamId;

/// Who uses whose address. Sparse: most streams use none.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    /// By user: the streams whose address its steps use.
    of_steps: IndexMap<StreamId, IndexSet<StreamId>>,
    /// By user: the streams whose address its keys use.
    of_keys: IndexMap<StreamId, IndexSet<StreamId>>,
    /// By stream: how many users still need it open.
    users: IndexMap<StreamId, usize>,
    /// The streams that open as soon as these are there, because others want their address.
    openers: Arc<IndexMap<Need, Vec<StreamId>>>,
}

impl Hosts {
    /// What steps that were taken over have used does not count.
    pub(super) fn new(plan: &Plan, taken: &Taken) -> Self {
        let mut hosts = Self::default();
        for (_, step) in plan.steps.iter().filter(|(id, _)| !taken.has(*id)) {
            for need in step.extra.iter().flat_map(|extra| &extra.needs) {
                hosts.used(step.stream, *need, |hosts| &mut hosts.of_steps);
            }
        }
        for (stream, place) in plan.streams.iter() {
            for need in key_needs(place) {
                hosts.used(stream, need, |hosts| &mut hosts.of_keys);
            }
        }
        let mut openers = IndexMap::<Need, Vec<StreamId>>::new();
        for stream in hosts.users.keys() {
            for need in key_needs(&plan.streams[*stream]) {
                openers.entry(need).or_default().push(*stream);
            }
        }
        hosts.openers = Arc::new(openers);
        hosts
    }

    fn used(&mut self, user: StreamId, need: Need, how: fn(&mut Self) -> &mut IndexMap<StreamId, IndexSet<StreamId>>) {
        if let Need::Host(stream) = need
            && stream != user
            && how(self).entry(user).or_default().insert(stream)
        {
            *self.users.entry(stream).or_default() += 1;
        }
    }

    /// Whether others use the address of a stream.
    pub(super) fn wanted(&self, stream: StreamId) -> bool {
        self.users.contains_key(&stream)
    }

    fn busy(&self, stream: StreamId) -> bool {
        self.users.get(&stream).is_some_and(|users| *users > 0)
    }
}

impl Turn<'_> {
    /// A need has come, or never will: streams that wait for it to be opened are looked at.
    pub(super) fn tell_openers(&mut self, need: Need, denied: Option<Origin>) {
        let openers = Arc::clone(&self.state.hosts.openers);
        for stream in openers.get(&need).into_iter().flatten() {
            self.queue(Work::Keys(*stream, denied));
        }
    }

    /// Opens a stream as soon as its keys are known, because others want its address; or tells them that it will never
    /// have one.
    pub(super) fn keys(&mut self, stream: StreamId, denied: Option<Origin>) {
        let lane = &mut self.state.lanes[stream];
        if lane.link != Link::Unopened || lane.part != Part::Timeline {
            return;
        }
        if let Some(origin) = denied {
            lane.denied.get_or_insert(origin);
            self.deny(Need::Host(stream), origin);
        } else if self.state.halt.is_none() && self.keys_known(stream) {
            self.open(stream);
        }
    }

    /// Whether all that it takes to open a stream is there.
    pub(super) fn keys_known(&self, stream: StreamId) -> bool {
        key_needs(&self.plan.streams[stream]).into_iter().all(|need| match need {
            Need::Value(value) => matches!(self.state.values[value], Kept::Made(_) | Kept::Private(_)),
            Need::Host(other) => self.state.lanes[other].host.is_some() || self.plan.streams[other].host.is_some(),
            Need::End(other) => self.state.lanes[other].part != Part::Timeline,
        })
    }

    /// Whether a stream must stay open a little longer for those who use its address.
    pub(super) fn held_open(&mut self, stream: StreamId) -> bool {
        let lane = &mut self.state.lanes[stream];
        let held = lane.link == Link::Open && self.state.hosts.busy(stream);
        if held {
            lane.phase = Phase::Lingering;
        }
        held
    }

    /// The steps of a stream are over: they use no address any more.
    pub(super) fn steps_let_go(&mut self, user: StreamId) {
        let streams = self.state.hosts.of_steps.swap_remove(&user).unwrap_or_default();
        self.let_go(streams);
    }

    /// A stream is closed: it needs no other on the way to it any more.
    pub(super) fn keys_let_go(&mut self, user: StreamId) {
        let streams = self.state.hosts.of_keys.swap_remove(&user).unwrap_or_default();
        self.let_go(streams);
    }

    fn let_go(&mut self, used: IndexSet<StreamId>) {
        for stream in used {
            let users = self.state.hosts.users.get_mut(&stream);
            let over = users.is_some_and(|users| {
                *users -= 1;
                *users == 0
            });
            if over && self.state.lanes[stream].phase == Phase::Lingering {
                self.queue(Work::Close(stream));
            }
        }
    }
}
