//! What a waiting step waits for, and for whom.

use indexmap::IndexSet;

use super::names::Names;
use super::watch::{Doing, Done, Watch};
use crate::plan::{BarrierId, Need, SignalId, StepId, StepKind};
use crate::scenario::StreamId;

/// A wait, as far as events tell.
#[derive(Debug)]
pub(super) struct Wait {
    /// `at barrier loaded`, `for signal up`, `for value port`, `for load to end`.
    pub(super) what: String,
    /// How many take part in a meeting; of other waits how many it depends on.
    pub(super) of: usize,
    /// Who has not come, in order of the plan; itself left out.
    pub(super) missing: Vec<StreamId>,
}

impl Wait {
    /// What `step`, which waits, waits for.
    pub(super) fn of(names: &Names, watch: &Watch, step: StepId) -> Self {
        let it = &names.plan.steps[step];
        let gate = it.extra.as_ref().and_then(|extra| extra.gate);
        match it.kind {
            StepKind::Barrier(barrier) => meeting(names, watch, step, barrier),
            StepKind::Wait(signal) => self::signal(names, watch, signal),
            StepKind::Join(handle) => {
                let what = format!("for {} to end", names.plan.handles[handle].name);
                Self { what, of: 0, missing: Vec::new() }
            }
            StepKind::Run(_)
            | StepKind::Capture(..)
            | StepKind::Evaluate(_)
            | StepKind::Start(_)
            | StepKind::Stop(_)
            | StepKind::Prepare(_)
            | StepKind::Trigger(_)
            | StepKind::Signal
            | StepKind::Expect
            | StepKind::Put
            | StepKind::Get => match needs(names, watch, step) {
                Some(wait) => wait,
                None => match gate.filter(|gate| !watch.is_released(*gate)) {
                    Some(gate) => meeting(names, watch, step, gate),
                    None => Self { what: "for its turn".to_owned(), of: 0, missing: Vec::new() },
                },
            },
        }
    }

    /// The names of those who are missing, at most four.
    pub(super) fn whom(&self, names: &Names) -> String {
        let all: Vec<String> = self.missing.iter().take(5).map(|stream| names.stream(*stream)).collect();
        match (&*all, self.missing.len()) {
            ([first, second, third, ..], more @ 5..) => format!("{first}, {second}, {third} and {} others", more - 3),
            (few, _) => super::words::list(&few.iter().map(String::as_str).collect::<Vec<_>>(), 4),
        }
    }
}

/// What a stream does, for those who wait for it: `in step $ mount (line 37)`.
pub(super) fn doing(names: &Names, watch: &Watch, stream: StreamId) -> String {
    let at = |step: StepId| format!("{} (line {})", names.label(step), names.line(step));
    match watch.streams[stream].doing {
        Doing::Nothing => "not begun".to_owned(),
        Doing::Opening => "being opened".to_owned(),
        Doing::Between => "between steps".to_owned(),
        Doing::Running(step) => format!("in step {}", at(step)),
        Doing::Waiting(step) => format!("waiting at {}", at(step)),
        Doing::Failed => "gone".to_owned(),
        Doing::Closed => "closed".to_owned(),
    }
}

fn meeting(names: &Names, watch: &Watch, step: StepId, barrier: BarrierId) -> Wait {
    let parties = &names.plan.barriers[barrier].parties;
    let mut arrived: Vec<StepId> =
        watch.meeting(barrier).into_iter().flat_map(|meeting| &meeting.arrived).map(|(step, _)| *step).collect();
    arrived.sort_unstable();
    let gone = |party: &StepId| *party == step || arrived.binary_search(party).is_ok();
    let missing = parties.iter().filter(|party| !gone(party)).map(|party| names.plan.steps[*party].stream).collect();
    Wait { what: format!("at {}", names.plan.barrier_label(barrier)), of: parties.len(), missing }
}

fn signal(names: &Names, watch: &Watch, id: SignalId) -> Wait {
    let signal = &names.plan.signals[id];
    let missing = signal.from.iter().filter(|from| watch.steps[**from] == Done::NotYet);
    let missing: IndexSet<StreamId> = missing.map(|from| names.plan.steps[*from].stream).collect();
    Wait { what: format!("for signal {}", signal.name), of: signal.from.len(), missing: missing.into_iter().collect() }
}

/// The first of a step's needs that is not there, with everybody whom its needs are missing of.
fn needs(names: &Names, watch: &Watch, step: StepId) -> Option<Wait> {
    let needs = names.plan.steps[step].extra.as_ref().map_or(&[][..], |extra| &extra.needs);
    let (mut what, mut missing) = (None, IndexSet::new());
    for (stream, text) in needs.iter().filter_map(|need| absent(names, watch, *need)) {
        what.get_or_insert(text);
        missing.insert(stream);
    }
    what.map(|what| Wait { what, of: needs.len(), missing: missing.into_iter().collect() })
}

fn absent(names: &Names, watch: &Watch, need: Need) -> Option<(StreamId, String)> {
    match need {
        Need::Value(id) => {
            let value = &names.plan.values[id];
            let there = watch.steps[value.step] != Done::NotYet;
            (!there).then(|| (names.plan.steps[value.step].stream, format!("for value {}", value.name)))
        }
        Need::Host(stream) => (!watch.streams[stream].open).then(|| (stream, "for the address".to_owned())),
        Need::End(stream) => {
            let over = matches!(watch.streams[stream].doing, Doing::Closed | Doing::Failed);
            (!over).then(|| (stream, "for the end".to_owned()))
        }
    }
}
