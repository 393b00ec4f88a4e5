//! Meeting points: who names them how often, and the barriers and waits that come of it.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::{Barrier, BarrierId, Plan, Signal, SignalId, StepId, StepKind};
use crate::diagnostic::{Code, Diagnostic, Span, similar};
use crate::scenario::{Scenario, StreamId};
use crate::syntax::Value;
use crate::syntax::ast::{Expr, ExprKind, Name};

/// What makes two meeting points the same one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    /// `barrier NAME`
    Named(Arc<str>),
    /// `sync` or `synchronized`: the `on` block, and where it stands.
    Block(usize, Span),
}

/// All meeting points while timelines are spelt out.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    barriers: IndexMap<Key, Rounds>,
    signals: IndexMap<Arc<str>, Signals>,
}

/// The meetings of one barrier.
#[derive(Debug, Default)]
struct Rounds {
    ids: Vec<BarrierId>,
    parties: Vec<Vec<StepId>>,
    /// How often each stream has come, in order of streams; the last one is the stream at hand.
    counts: Vec<(StreamId, usize)>,
}

/// Who signals, and who waits.
#[derive(Debug, Default)]
struct Signals {
    /// Each signaller with its signals, in order.
    from: IndexMap<StreamId, Vec<StepId>>,
    /// Each wait, with the how-manieth of its stream it is, from 0.
    to: Vec<(StepId, usize)>,
    counts: IndexMap<StreamId, usize>,
    first_wait: Option<Span>,
    first_signal: Option<Span>,
}

impl Barrier {
    /// A meeting whose parties are not known yet.
    pub(super) fn named(name: Option<Arc<str>>, timeout: Option<Duration>, gate: bool) -> Self {
        Self { name, round: 0, rounds: 0, parties: [].into(), timeout, gate }
    }
}

impl Meetings {
    /// `step`, which is about to be added, meets here: the meeting that it is a party of.
    pub(super) fn arrive(&mut self, key: Key, step: StepId, meeting: Barrier, plan: &mut Plan) -> BarrierId {
        let rounds = self.barriers.entry(key).or_default();
        let stream = StreamId(u32::try_from(plan.streams.len()).unwrap_or(u32::MAX));
        match rounds.counts.last_mut() {
            Some((last, count)) if *last == stream => *count += 1,
            _ => rounds.counts.push((stream, 1)),
        }
        let round = rounds.counts.last().map_or(1, |(_, count)| *count);
        if rounds.ids.len() < round {
            let round = u32::try_from(round).unwrap_or(u32::MAX);
            rounds.ids.push(plan.barriers.push(Barrier { round, ..meeting }));
            rounds.parties.push(Vec::new());
        } else if let Some(timeout) = meeting.timeout {
            // Each party may state a timeout; the shortest counts.
            let known = &mut plan.barriers[rounds.ids[round - 1]].timeout;
            *known = Some(known.map_or(timeout, |known| known.min(timeout)));
        }
        rounds.parties[round - 1].push(step);
        rounds.ids[round - 1]
    }

    pub(super) fn signal(&mut self, name: &Name, stream: StreamId, step: StepId) {
        let it = self.signals.entry(name.node.clone()).or_default();
        it.from.entry(stream).or_default().push(step);
        it.first_signal.get_or_insert(name.span);
    }

    pub(super) fn wait(&mut self, name: &Name, stream: StreamId, step: StepId) {
        let it = self.signals.entry(name.node.clone()).or_default();
        let count = it.counts.entry(stream).or_default();
        it.to.push((step, *count));
        *count += 1;
        it.first_wait.get_or_insert(name.span);
    }

    /// Joins everything into the plan, and tells what does not fit.
    pub(super) fn join(self, plan: &mut Plan, scenario: &Scenario) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let names: Vec<Arc<str>> = self
            .barriers
            .keys()
            .filter_map(|key| match key {
                Key::Named(name) => Some(name.clone()),
                Key::Block(..) => None,
            })
            .collect();
        for (key, rounds) in self.barriers {
            let count = rounds.ids.len();
            problems.extend(unequal(&key, &rounds, plan, scenario));
            for (id, parties) in rounds.ids.into_iter().zip(rounds.parties) {
                plan.barriers[id].rounds = u32::try_from(count).unwrap_or(u32::MAX);
                plan.barriers[id].parties = parties.into();
            }
            if let Some(first) = rounds.counts.first() {
                problems.extend(lonely(&key, &rounds.counts, first.0, plan, &names));
            }
            if let Key::Named(name) = &key {
                problems.extend(stated(name, &rounds.counts, plan, scenario));
            }
        }
        let waited: Vec<Arc<str>> =
            self.signals.iter().filter(|(_, it)| it.from.is_empty()).map(|(name, _)| name.clone()).collect();
        let known: Vec<Arc<str>> =
            self.signals.iter().filter(|(_, it)| !it.from.is_empty()).map(|(name, _)| name.clone()).collect();
        for (name, it) in self.signals {
            problems.extend(one_sided(&name, &it, &known, &waited, &names));
            connect(&name, it, plan);
        }
        problems
    }
}

/// The first step of `stream` at a meeting of `rounds`.
fn place(stream: StreamId, rounds: &Rounds, plan: &Plan) -> Span {
    let steps = rounds.parties.iter().flatten().find(|step| plan.steps[**step].stream == stream);
    steps.map_or(Span::default(), |step| plan.steps[*step].span)
}

/// Parties that come a different number of times would wait for a meeting that never is.
fn unequal(key: &Key, rounds: &Rounds, plan: &Plan, scenario: &Scenario) -> Option<Diagnostic> {
    let expected = match key {
        Key::Named(_) => rounds.counts.len(),
        Key::Block(block, _) => scenario.blocks.get(*block).map_or(0, |block| block.streams.len()),
    };
    let most = rounds.ids.len();
    let (least, fewest) = rounds.counts.iter().min_by_key(|(_, count)| *count)?;
    if *fewest == most && rounds.counts.len() == expected {
        return None;
    }
    let (often, _) = rounds.counts.iter().find(|(_, count)| *count == most)?;
    let label = |stream: StreamId, count: usize| format!("`{}` comes {}", plan.streams[stream].name, times(count));
    let what = match key {
        Key::Named(name) => format!("the parties of `{name}` name it unequally often"),
        Key::Block(..) => "not all streams of this block come here equally often".to_owned(),
    };
    let problem = Diagnostic::new(Code::UnequalRounds, place(*often, rounds, plan), what).label(label(*often, most));
    let problem =
        if *fewest < most { problem.other(place(*least, rounds, plan), label(*least, *fewest)) } else { problem };
    let counts: Vec<String> = rounds.counts.iter().take(12).map(|(stream, count)| label(*stream, *count)).collect();
    let note = format!("the k-th time of one meets the k-th time of the others: {}", counts.join(", "));
    Some(problem.note(note).help("let every party name it the same number of times"))
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}

/// A meeting of one is no meeting.
fn lonely(
    key: &Key,
    counts: &[(StreamId, usize)],
    first: StreamId,
    plan: &Plan,
    names: &[Arc<str>],
) -> Option<Diagnostic> {
    let [_] = counts else { return None };
    let stream = &plan.streams[first].name;
    let is_it = |step: &super::Step| {
        step.stream == first && matches!(step.kind, StepKind::Barrier(id) if label_is(plan, id, key))
    };
    let step = plan.steps.iter().find(|(_, step)| is_it(step) || gate_is(plan, step, key)).map(|(_, step)| step)?;
    let (message, near) = match key {
        Key::Named(name) => {
            let near = similar(name, names.iter().map(|name| &**name));
            (format!("only `{stream}` names the barrier `{name}`"), near)
        }
        Key::Block(..) => (format!("this block has one stream, `{stream}`: there is nobody to meet"), None),
    };
    let problem = Diagnostic::new(Code::LonelyBarrier, step.span, message).label("nobody else comes here");
    Some(match near {
        Some(near) => problem.help(format!("a barrier with a similar name exists: `{near}`")),
        None => problem,
    })
}

fn label_is(plan: &Plan, id: BarrierId, key: &Key) -> bool {
    let step = plan.barriers[id].parties.first();
    match key {
        Key::Named(name) => plan.barriers[id].name.as_ref() == Some(name),
        Key::Block(_, span) => step.is_some_and(|step| plan.steps[*step].span == *span),
    }
}

fn gate_is(plan: &Plan, step: &super::Step, key: &Key) -> bool {
    step.extra.as_ref().and_then(|extra| extra.gate).is_some_and(|gate| label_is(plan, gate, key))
}

/// What the top level states of a barrier against what was found.
fn stated(name: &Arc<str>, counts: &[(StreamId, usize)], plan: &Plan, scenario: &Scenario) -> Option<Diagnostic> {
    let (_, stated) = scenario.barriers.get(name)?;
    let found: Vec<&str> = counts.iter().map(|(stream, _)| &*plan.streams[*stream].name).collect();
    let listed = found.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let (wanted, differs) = match parties(stated, scenario)? {
        Parties::Count(count) => (count.to_string(), usize::try_from(count) != Ok(found.len())),
        Parties::Names(names) => {
            let same = names.len() == found.len() && names.iter().all(|name| found.contains(&&**name));
            (names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "), !same)
        }
    };
    let message = format!("the parties of `{name}` are not the stated ones");
    let problem = Diagnostic::new(Code::PartiesDiffer, stated.span, message).label(format!("stated here: {wanted}"));
    differs.then(|| problem.note(format!("found: {} ({listed})", found.len())))
}

/// What a declaration states.
enum Parties {
    Count(i64),
    Names(Vec<Arc<str>>),
}

fn parties(stated: &Expr, scenario: &Scenario) -> Option<Parties> {
    let names = |expr: &Expr| -> Option<Vec<Arc<str>>> {
        let (ExprKind::Name(name) | ExprKind::Literal(Value::Text(name))) = &expr.kind else { return None };
        Some(match scenario.fleets.get(name) {
            Some(fleet) => fleet.iter().map(|id| scenario.streams[*id].name.clone()).collect(),
            None => vec![name.clone()],
        })
    };
    if let Some(count) = stated.as_literal().and_then(Value::as_int) {
        return Some(Parties::Count(count));
    }
    let ExprKind::List(items) = &stated.kind else { return names(stated).map(Parties::Names) };
    let all = items.iter().map(names).collect::<Option<Vec<_>>>()?;
    Some(Parties::Names(all.into_iter().flatten().collect()))
}

/// Signals without waits and waits without signals.
fn one_sided(
    name: &Arc<str>,
    it: &Signals,
    signals: &[Arc<str>],
    waited: &[Arc<str>],
    barriers: &[Arc<str>],
) -> Option<Diagnostic> {
    match (it.first_signal, it.first_wait) {
        (None, Some(span)) => {
            let problem = Diagnostic::new(Code::WaitNeverSignalled, span, format!("nobody signals `{name}`"));
            let problem = problem.label("this would wait for ever");
            Some(if barriers.contains(name) {
                problem.help(format!("`{name}` is a barrier: `barrier {name}` meets the others there"))
            } else {
                problem.near("signal", name, signals.iter().map(|name| &**name))
            })
        }
        // The one who waits in vain was probably meant, and is told already.
        (Some(_), None) if similar(name, waited.iter().map(|name| &**name)).is_some() => None,
        (Some(span), None) => {
            Some(Diagnostic::new(Code::SignalNeverWaited, span, format!("nobody waits for the signal `{name}`")))
        }
        _ => None,
    }
}

/// The k-th wait of a stream needs of each signaller its k-th signal, or its last one where it signals less often.
fn connect(name: &Arc<str>, it: Signals, plan: &mut Plan) {
    let most = it.from.values().map(Vec::len).max().unwrap_or_default();
    let mut rounds: IndexMap<usize, Vec<StepId>> = IndexMap::new();
    for (step, count) in it.to {
        rounds.entry(count.min(most.saturating_sub(1))).or_default().push(step);
    }
    for (round, to) in rounds {
        let last = |steps: &Vec<StepId>| steps[round.min(steps.len() - 1)];
        let from: Box<[StepId]> = it.from.values().map(last).collect();
        let id: SignalId =
            plan.signals.push(Signal { name: name.clone(), from: from.clone(), to: to.as_slice().into() });
        for step in from {
            plan.steps[step].extra.get_or_insert_default().feeds.push(id);
        }
        for step in to {
            plan.steps[step].kind = StepKind::Wait(id);
        }
    }
}
