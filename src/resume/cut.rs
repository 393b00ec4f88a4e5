//! From where a run goes on: the last points that all streams had passed together. See `spec/resume.md`.

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::refusal::Refusal;
use super::story::Story;
use crate::engine::{Past, key_needs, needs_place};
use crate::event::{Exit, Made, Outcome};
use crate::plan::{BarrierId, GroupKind, HandleId, Need, Plan, StepId, StepKind, ValueId};
use crate::scenario::{Arena, StreamId};

/// What is known of a run beside its journal.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The steps whose code may have run, whatever the journal tells.
    pub begun: IndexSet<StepId>,
    /// The values that were kept.
    pub values: IndexMap<ValueId, Made>,
}

/// What a new run of `plan` does not do again; or everything that keeps it from going on.
pub fn past(plan: &Arc<Plan>, story: &Story, known: Known) -> Result<Past, Vec<Refusal>> {
    if let Some(code @ (0 | 5)) = story.exit_code {
        return Err(vec![Refusal::EndedWell(code)]);
    }
    let cut = Cut::of(plan, story);
    let again = cut.alive();
    let refusals = cut.refusals(&known, &again);
    if refusals.is_empty() { Ok(cut.past(known, again)) } else { Err(refusals) }
}

struct Cut<'a> {
    plan: &'a Plan,
    story: &'a Story,
    /// By stream: the first step that is done again.
    from: Arena<StreamId, StepId>,
}

impl<'a> Cut<'a> {
    fn of(plan: &'a Plan, story: &'a Story) -> Self {
        let mut cut = Self { plan, story, from: plan.streams.values().map(|it| it.timeline.start).collect() };
        for stream in plan.streams.ids() {
            cut.from[stream] = cut.point(stream, cut.reached(stream));
        }
        while cut.lower() {}
        cut
    }

    /// The first step of a stream that it has not got past.
    fn reached(&self, stream: StreamId) -> StepId {
        let at = self.story.lanes[stream].at;
        let before = Plan::range(&(self.plan.streams[stream].timeline.start..at));
        before.into_iter().find(|step| !self.story.ended.contains_key(step)).unwrap_or(at)
    }

    /// The last point of a stream that does not lie behind `at`: behind a barrier, at its end or at its beginning.
    fn point(&self, stream: StreamId, at: StepId) -> StepId {
        let timeline = &self.plan.streams[stream].timeline;
        if at == timeline.end && self.over(stream) {
            return at;
        }
        let back = Plan::range(&(timeline.start..at)).rev();
        let met = |step: &StepId| {
            let barrier = self.plan.steps[*step].barrier();
            barrier.is_some_and(|it| self.story.released.contains_key(&it))
        };
        back.into_iter().find(met).map_or(timeline.start, |step| StepId(step.0 + 1))
    }

    /// Whether a stream that has got past its last step has no round of a `repeat` left.
    fn over(&self, stream: StreamId) -> bool {
        let (timeline, lane) = (&self.plan.streams[stream].timeline, &self.story.lanes[stream]);
        let last = Plan::range(timeline).next_back();
        let closes = last.and_then(|last| self.plan.steps[last].extra.as_deref());
        let repeats = closes.into_iter().flat_map(|extra| &extra.closes);
        let open = repeats.map(|group| &self.plan.groups[*group]).any(|it| matches!(it.kind, GroupKind::Repeat { .. }));
        !open || lane.cleaning || lane.closed
    }

    /// Takes back one stream that depends on what is behind the cut. Answers whether there was one.
    fn lower(&mut self) -> bool {
        let mut lowered = false;
        for stream in self.plan.streams.ids() {
            let before = self.plan.streams[stream].timeline.start..self.from[stream];
            if let Some(step) = Plan::range(&before).find(|step| !self.stands(*step)) {
                self.from[stream] = self.point(stream, step);
                lowered = true;
            }
        }
        lowered
    }

    /// Whether all that a step before the cut depends on is before it too.
    fn stands(&self, step: StepId) -> bool {
        let it = &self.plan.steps[step];
        let meeting = it.barrier().or(it.gate());
        let met = meeting.is_none_or(|barrier| self.all(&self.plan.barriers[barrier].parties));
        let heard = if let StepKind::Wait(signal) = it.kind { self.all(&self.plan.signals[signal].from) } else { true };
        let own = it.extra.iter().flat_map(|extra| extra.needs.iter().copied());
        let keys = needs_place(self.plan, step).then(|| key_needs(&self.plan.streams[it.stream]));
        met && heard && own.chain(keys.into_iter().flatten()).all(|need| self.had(need, it.stream))
    }

    fn all(&self, steps: &[StepId]) -> bool {
        steps.iter().all(|step| self.is_taken(*step))
    }

    fn had(&self, need: Need, asker: StreamId) -> bool {
        match need {
            Need::Value(value) => self.is_taken(self.plan.values[value].step),
            Need::Host(_) => true,
            Need::End(stream) => stream == asker || self.at_end(stream),
        }
    }

    fn at_end(&self, stream: StreamId) -> bool {
        self.from[stream] == self.plan.streams[stream].timeline.end
    }

    /// Whether a step is not done again.
    fn is_taken(&self, step: StepId) -> bool {
        let stream = self.plan.steps[step].stream;
        let timeline = &self.plan.streams[stream].timeline;
        if timeline.contains(&step) { step < self.from[stream] } else { self.cleaned(stream) }
    }

    /// Whether the `finally` of a stream is not run again: it stands behind its timeline, and all of it was done.
    fn cleaned(&self, stream: StreamId) -> bool {
        let cleanup = &self.plan.streams[stream].cleanup;
        self.at_end(stream) && Plan::range(cleanup).all(|step| self.story.ended.contains_key(&step))
    }

    /// The starts and releases to be done again, for the processes that were alive at the cut.
    fn alive(&self) -> Vec<StepId> {
        let over = |handle: HandleId, step: StepId| {
            let kind = self.plan.steps[step].kind;
            kind == StepKind::Stop(handle) || kind == StepKind::Join(handle)
        };
        let mut again = Vec::new();
        for (handle, it) in self.plan.handles.iter() {
            let stream = self.plan.steps[it.step].stream;
            let rest = StepId(it.step.0 + 1)..self.from[stream];
            let made = self.is_taken(it.step) && self.story.ended.get(&it.step) == Some(&Outcome::Passed);
            let gone = self.at_end(stream) || self.ended_before(handle);
            if !made || gone || Plan::range(&rest).any(|step| over(handle, step)) {
                continue;
            }
            again.push(it.step);
            again.extend(Plan::range(&rest).find(|step| self.plan.steps[*step].kind == StepKind::Trigger(handle)));
        }
        again.sort_unstable();
        again
    }

    /// Whether a background process ended by itself before its stream had passed the cut.
    fn ended_before(&self, handle: HandleId) -> bool {
        let stream = self.plan.steps[self.plan.handles[handle].step].stream;
        let met = |barrier: BarrierId| self.story.released.get(&barrier).copied();
        let passed = self.from[stream].0.checked_sub(1).and_then(|last| self.plan.steps[StepId(last)].barrier());
        let ended = self.story.processes.get(&handle).map(|(record, _)| *record);
        self.at_end(stream) || matches!((ended, passed.and_then(met)), (Some(ended), Some(passed)) if ended < passed)
    }

    fn past(&self, known: Known, again: Vec<StepId>) -> Past {
        let taken: Vec<(StepId, Outcome)> = self.plan.steps.ids().filter_map(|step| self.taken(step)).collect();
        let gone = |handle: &HandleId| self.is_taken(self.plan.handles[*handle].step) && self.ended_before(*handle);
        let ended = self.story.processes.iter().filter(|(handle, _)| gone(handle));
        let made = |value: &ValueId| self.is_taken(self.plan.values[*value].step);
        Past {
            leaks: self.story.leaks.iter().filter(|(step, _)| self.is_taken(**step)).map(cloned).collect(),
            values: known.values.into_iter().filter(|(value, _)| made(value)).collect(),
            ended: ended.map(|(handle, (_, exit))| (*handle, exit.clone())).collect::<IndexMap<HandleId, Exit>>(),
            from: self.from.clone(),
            taken,
            again,
        }
    }

    fn taken(&self, step: StepId) -> Option<(StepId, Outcome)> {
        let outcome = self.story.ended.get(&step).filter(|_| self.is_taken(step))?;
        Some((step, outcome.clone()))
    }

    fn refusals(&self, known: &Known, again: &[StepId]) -> Vec<Refusal> {
        let mut all = self.cleaned_away();
        all.extend(self.gone_with_container());
        let begun = |step: &StepId| self.story.begun.contains(step) || known.begun.contains(step);
        let rest = self.plan.steps.ids().filter(|step| !self.is_taken(*step) && !self.may_be_done_again(*step));
        let bad: Vec<StepId> = rest.filter(begun).collect();
        if !bad.is_empty() {
            all.push(Refusal::NotResumable(bad));
        }
        let alive: Vec<StepId> = again.iter().copied().filter(|step| !self.may_be_done_again(*step)).collect();
        if !alive.is_empty() {
            all.push(Refusal::Alive(alive));
        }
        all.extend(self.lost_values(known));
        all
    }

    /// Whether a resumed run may do it again: its author says so, or it does nothing of its own to the world.
    fn may_be_done_again(&self, step: StepId) -> bool {
        self.plan.code_of(step).is_none_or(|code| code.options.as_deref().is_some_and(|options| options.resumable))
    }

    /// A `finally` has run behind a timeline that is not over: what it would go on with is cleaned away.
    fn cleaned_away(&self) -> Vec<Refusal> {
        let begun = |stream: &StreamId| {
            let cleanup = Plan::range(&self.plan.streams[*stream].cleanup);
            cleanup.into_iter().find(|step| self.story.begun.contains(step))
        };
        let going_on = self.plan.streams.ids().filter(|stream| !self.at_end(*stream));
        let finale = self.plan.streams.iter().filter(|(_, it)| it.finale).map(|(id, _)| id);
        let finale = finale.filter(|_| self.plan.streams.ids().any(|stream| !self.at_end(stream)));
        let steps: Vec<StepId> = going_on.chain(finale).filter_map(|stream| begun(&stream)).collect();
        if steps.is_empty() { Vec::new() } else { vec![Refusal::CleanedAway(steps)] }
    }

    /// What was done in a container that mstream made is gone with it.
    fn gone_with_container(&self) -> Option<Refusal> {
        let made = |it: &crate::plan::Stream| &*it.kind == "docker" && it.keys.iter().any(|(key, _)| &**key == "image");
        let gone = self.plan.streams.iter().filter(|(stream, it)| {
            let before = Plan::range(&(it.timeline.start..self.from[*stream]));
            let mut placed = before.into_iter().filter(|step| needs_place(self.plan, *step));
            let rest = !self.at_end(*stream) || (!it.cleanup.is_empty() && !self.cleaned(*stream));
            made(it) && rest && placed.next().is_some()
        });
        let gone: Vec<StreamId> = gone.map(|(stream, _)| stream).collect();
        if gone.is_empty() { None } else { Some(Refusal::Container(gone)) }
    }

    /// Values that are needed and were not kept: a secret is in them, or their file is damaged.
    fn lost_values(&self, known: &Known) -> Vec<Refusal> {
        let rest = self.plan.steps.ids().filter(|step| !self.is_taken(*step));
        let used: IndexSet<ValueId> = rest.flat_map(|step| self.plan.values_of(step)).collect();
        let (mut secret, mut lost) = (Vec::new(), Vec::new());
        for (value, it) in self.plan.values.iter() {
            let made = self.story.ended.get(&it.step).is_some_and(|outcome| *outcome != Outcome::Skipped);
            let needed = self.of_keys(value) || used.contains(&value);
            if self.is_taken(it.step) && made && needed && !known.values.contains_key(&value) {
                let told = if self.story.secret.contains(&it.step) { &mut secret } else { &mut lost };
                told.push(value);
            }
        }
        let secret = (!secret.is_empty()).then_some(Refusal::Secret(secret));
        secret.into_iter().chain((!lost.is_empty()).then_some(Refusal::LostValue(lost))).collect()
    }

    /// Whether a stream that is opened again needs it.
    fn of_keys(&self, value: ValueId) -> bool {
        self.plan.streams.values().any(|stream| key_needs(stream).contains(&Need::Value(value)))
    }
}

fn cloned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}
