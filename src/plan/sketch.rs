//! Plans for tests, from a line a stream: `a: $ build; barrier ready; signal up; wait down; finally; $ clean`.
//!
//! It says less than the language on purpose: what waits and what runs, nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Barrier, BarrierId, Code, CodeId, Extra, Plan, Signal, SignalId, Step, StepId, StepKind, Stream};
use crate::code::{Dialect, Interpreter};
use crate::diagnostic::{FileId, Span};
use crate::plan::{InterpreterId, Options};
use crate::scenario::{Arena, StreamId};

/// The plan that `text` sketches. `? $ code` is a step that may fail. Spans count lines and columns of `text`.
pub(crate) fn sketch(text: &str) -> Plan {
    let mut plan = empty();
    let mut parties: BTreeMap<(&str, usize), Vec<StepId>> = BTreeMap::new();
    let (mut from, mut to): (BTreeMap<&str, Vec<StepId>>, BTreeMap<&str, Vec<StepId>>) = Default::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, steps) = line.split_once(':').expect("`name: step; step`");
        let stream = StreamId(u32::try_from(plan.streams.len()).unwrap());
        let first = next(&plan);
        let (mut timeline_end, mut rounds) = (None, BTreeMap::new());
        for part in steps.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let at = part.as_ptr().addr() - text.as_ptr().addr();
            let span = Span::new(FileId(0), at..at + part.len());
            let id = next(&plan);
            let mut extra = Extra::default();
            let kind = match part.split_once(' ') {
                None if part == "finally" => {
                    timeline_end = Some(id);
                    continue;
                }
                Some(("barrier", name)) => {
                    let round: &mut usize = rounds.entry(name).or_default();
                    *round += 1;
                    parties.entry((name, *round)).or_default().push(id);
                    StepKind::Barrier(BarrierId(0))
                }
                Some(("signal", name)) => {
                    from.entry(name).or_default().push(id);
                    extra.name = Some(name.into());
                    StepKind::Signal
                }
                Some(("wait", name)) => {
                    to.entry(name).or_default().push(id);
                    StepKind::Wait(SignalId(0))
                }
                _ => StepKind::Run(code(&mut plan, part, span)),
            };
            plan.steps.push(Step { stream, span, kind, extra: Some(Box::new(extra)) });
        }
        let end = next(&plan);
        let cut = timeline_end.unwrap_or(end);
        plan.streams.push(place(name, stream, first..cut, cut..end));
    }
    meet(&mut plan, parties);
    signals(&mut plan, &from, to);
    plan
}

fn next(plan: &Plan) -> StepId {
    StepId(u32::try_from(plan.steps.len()).unwrap())
}

fn empty() -> Plan {
    let shell = Interpreter { name: "shell".into(), command: vec!["sh".into()], dialect: Dialect::Shell };
    Plan {
        title: "sketch".into(),
        streams: Arena::default(),
        steps: Arena::default(),
        barriers: Arena::default(),
        signals: Arena::default(),
        values: Arena::default(),
        handles: Arena::default(),
        codes: Arena::default(),
        groups: Arena::default(),
        interpreters: [shell].into_iter().collect(),
    }
}

fn code(plan: &mut Plan, part: &str, span: Span) -> CodeId {
    let (may_fail, part) = part.strip_prefix("? ").map_or((false, part), |rest| (true, rest));
    let text: Arc<str> = part.strip_prefix("$ ").expect("`$ code`").into();
    let options = may_fail.then(|| Box::new(Options { may_fail, ..Options::default() }));
    plan.codes.push(Code { interpreter: InterpreterId(0), text, holes: [].into(), span, options, strict: false })
}

fn place(name: &str, id: StreamId, timeline: std::ops::Range<StepId>, cleanup: std::ops::Range<StepId>) -> Stream {
    Stream {
        name: name.trim().into(),
        kind: "local".into(),
        keys: Vec::new(),
        host: Some("localhost".into()),
        index: i64::from(id.0),
        span: Span::default(),
        timeline,
        cleanup,
        finale: name.trim() == "finale",
    }
}

fn meet(plan: &mut Plan, all: BTreeMap<(&str, usize), Vec<StepId>>) {
    let rounds: BTreeMap<&str, usize> = all.keys().map(|(name, round)| (*name, *round)).collect();
    for ((name, round), parties) in all {
        let count = |n: usize| u32::try_from(n).unwrap();
        let id = plan.barriers.push(Barrier {
            name: Some(name.into()),
            round: count(round),
            rounds: count(rounds[name]),
            parties: parties.as_slice().into(),
            timeout: None,
            gate: false,
        });
        for party in parties {
            plan.steps[party].kind = StepKind::Barrier(id);
        }
    }
}

fn signals(plan: &mut Plan, from: &BTreeMap<&str, Vec<StepId>>, to: BTreeMap<&str, Vec<StepId>>) {
    for (name, to) in to {
        let from = from.get(name).cloned().unwrap_or_default();
        let id =
            plan.signals.push(Signal { name: name.into(), from: from.as_slice().into(), to: to.as_slice().into() });
        for step in from {
            plan.steps[step].extra.get_or_insert_default().feeds.push(id);
        }
        for step in to {
            plan.steps[step].kind = StepKind::Wait(id);
        }
    }
}
