//! Plans for tests, from a line a stream: `a: $ build; barrier ready; signal up; wait down; finally; $ clean`.
//!
//! It says less than the language on purpose: what waits and what runs, nothing else. Beyond the steps above:
//! `? $ code` may fail; `$(timeout=1s retry=2 every=1s exit=3) code`; `barrier ready within 5s`, and so `wait` and `join`; `together go $ code` is
//! `synchronized`; `start web $ code`, `prepare load $ code`, `stop web`, `trigger load`, `join load`;
//! `let x $ code`, `let x = 5`, `let y = x`; `use x $ code`, `host b $ code`, `end b $ code` wait for a value, an
//! address, the end of a stream; `when x $ code`; `expect x.exit == 0`, `expect x`, `expect not b.success`;
//! `retry 3 1s {`, `repeat 10s 2s {` and `}` around steps. A stream `a@x@y:` has keys that need the values `x` and `y`;
//! `finale:` is the top-level `finally`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Barrier, BarrierId, Code, CodeId, Expr, Extra, Field, Group, GroupId, GroupKind, Handle, HandleId, Need, Plan,
    Produced, Signal, SignalId, Step, StepId, StepKind, Stream, ValueId,
};
use crate::code::{Dialect, Interpreter};
use crate::diagnostic::{FileId, Span};
use crate::plan::{InterpreterId, Options};
use crate::scenario::{Arena, Bound, Layer, StreamId};
use crate::syntax::Value;
use crate::syntax::ast::Operator;

/// The plan that `text` sketches. Spans count lines and columns of `text`.
pub(crate) fn sketch(text: &str) -> Plan {
    let mut sketch = Sketch::new(text);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().for_each(|line| sketch.declare(line));
    lines().for_each(|line| sketch.stream(line));
    sketch.meet();
    sketch.signals();
    sketch.plan
}

type Parties<'a> = BTreeMap<&'a str, Vec<StepId>>;

struct Sketch<'a> {
    text: &'a str,
    plan: Plan,
    streams: BTreeMap<&'a str, StreamId>,
    values: BTreeMap<&'a str, ValueId>,
    handles: BTreeMap<&'a str, HandleId>,
    parties: BTreeMap<(&'a str, usize), Vec<StepId>>,
    timeouts: BTreeMap<&'a str, Duration>,
    gates: Vec<&'a str>,
    rounds: BTreeMap<&'a str, usize>,
    from: Parties<'a>,
    to: Parties<'a>,
    /// The groups that are open, and those that the next step opens.
    groups: Vec<GroupId>,
    opening: Vec<GroupId>,
}

impl<'a> Sketch<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            plan: empty(),
            streams: BTreeMap::new(),
            values: BTreeMap::new(),
            handles: BTreeMap::new(),
            parties: BTreeMap::new(),
            timeouts: BTreeMap::new(),
            gates: Vec::new(),
            rounds: BTreeMap::new(),
            from: BTreeMap::new(),
            to: BTreeMap::new(),
            groups: Vec::new(),
            opening: Vec::new(),
        }
    }

    /// Names may be used before the line that makes them.
    fn declare(&mut self, line: &'a str) {
        let (name, steps) = parts(line);
        self.streams.insert(name.split_once('@').map_or(name, |(name, _)| name), count(self.streams.len()));
        for part in steps {
            match part.split(' ').collect::<Vec<_>>()[..] {
                ["let", name, ..] | ["when", _, "let", name, ..] => {
                    let made = Produced { name: name.into(), step: StepId(0), users: Vec::new() };
                    self.values.insert(name, self.plan.values.push(made));
                }
                ["start" | "prepare", name, ..] => {
                    let every = Duration::from_secs(1);
                    let handle =
                        Handle { name: name.into(), step: StepId(0), code: CodeId(0), ready: None, alive: None, every };
                    self.handles.insert(name, self.plan.handles.push(handle));
                }
                _ => {}
            }
        }
    }

    fn stream(&mut self, line: &'a str) {
        let (name, steps) = parts(line);
        let mut keys = name.split('@');
        let name = keys.next().unwrap_or_default();
        let stream = self.streams[name];
        let (first, mut cut) = (self.next(), None);
        self.rounds.clear();
        for part in steps {
            if part == "finally" {
                cut = Some(self.next());
            } else if !self.group(part) {
                self.step(part, stream);
            }
        }
        let end = self.next();
        let cut = cut.unwrap_or(if name == "finale" { first } else { end });
        let mut place = place(name, stream, first..cut, cut..end);
        place.keys.extend(keys.map(|key| ("host".into(), Expr::Value(self.values[key], Field::Whole))));
        self.plan.streams.push(place);
    }

    fn next(&self) -> StepId {
        count(self.plan.steps.len())
    }

    fn group(&mut self, part: &str) -> bool {
        let kind = match part.split(' ').collect::<Vec<_>>()[..] {
            ["retry", times, every, "{"] => {
                GroupKind::Retry { times: times.parse().unwrap(), every: seconds(every).unwrap() }
            }
            ["repeat", time, every, "{"] => {
                GroupKind::Repeat { time: seconds(time).unwrap(), every: seconds(every).unwrap() }
            }
            ["}"] => {
                let group = self.groups.pop().expect("`}` closes a group");
                let last = StepId(self.next().0 - 1);
                self.plan.groups[group].last = last;
                self.plan.steps[last].extra.get_or_insert_default().closes.push(group);
                return true;
            }
            _ => return false,
        };
        let group = self.plan.groups.push(Group { first: self.next(), last: self.next(), kind });
        self.groups.push(group);
        self.opening.push(group);
        true
    }

    fn step(&mut self, part: &'a str, stream: StreamId) {
        let at = part.as_ptr().addr() - self.text.as_ptr().addr();
        let span = Span::new(FileId(0), at..at + part.len());
        let mut extra = Extra { opens: std::mem::take(&mut self.opening), ..Extra::default() };
        let kind = self.kind(part, span, &mut extra);
        self.plan.steps.push(Step { stream, span, kind, extra: Some(Box::new(extra)) });
    }

    fn kind(&mut self, part: &'a str, span: Span, extra: &mut Extra) -> StepKind {
        let id = self.next();
        match part.split(' ').collect::<Vec<_>>()[..] {
            ["barrier", name] => self.party(name),
            ["barrier", name, "within", time] => {
                self.timeouts.insert(name, seconds(time).unwrap());
                self.party(name)
            }
            ["together", name, ..] => {
                self.gates.push(name);
                self.party(name);
                extra.gate = Some(BarrierId(0));
                StepKind::Run(self.code(part, span))
            }
            ["signal", name] => {
                self.from.entry(name).or_default().push(id);
                extra.name = Some(name.into());
                StepKind::Signal
            }
            ["wait", name] | ["wait", name, "within", _] => {
                extra.timeout = part.split(' ').nth(3).and_then(seconds);
                self.to.entry(name).or_default().push(id);
                StepKind::Wait(SignalId(0))
            }
            ["start" | "prepare" | "stop" | "trigger" | "join", name, ..] => {
                extra.timeout = part.split_once(" within ").and_then(|(_, time)| seconds(time));
                self.background(part, name, span)
            }
            ["let", name, ..] => self.make(part, name, span, extra),
            ["use", name, ..] => {
                let kind = self.needs(part, Need::Value(self.values[name]), span, extra);
                if let StepKind::Run(code) = kind {
                    self.plan.codes[code].holes = [Expr::Value(self.values[name], Field::Whole)].into();
                }
                kind
            }
            ["host", name, ..] => self.needs(part, Need::Host(self.streams[name]), span, extra),
            ["end", name, ..] => self.needs(part, Need::End(self.streams[name]), span, extra),
            ["when", name, "let", made, ..] => {
                extra.when = Some(self.expression(name, extra));
                self.make(part, made, span, extra)
            }
            ["when", name, ..] => {
                extra.when = Some(self.expression(name, extra));
                StepKind::Run(self.code(part, span))
            }
            ["expect", ..] => {
                extra.expression = Some(self.expression(&part["expect ".len()..], extra));
                StepKind::Expect
            }
            _ => StepKind::Run(self.code(part, span)),
        }
    }

    fn party(&mut self, name: &'a str) -> StepKind {
        let round = self.rounds.entry(name).or_default();
        *round += 1;
        let id = count(self.plan.steps.len());
        self.parties.entry((name, *round)).or_default().push(id);
        StepKind::Barrier(BarrierId(0))
    }

    fn background(&mut self, part: &str, name: &str, span: Span) -> StepKind {
        let handle = self.handles[name];
        match part.split(' ').next() {
            Some("stop") => StepKind::Stop(handle),
            Some("trigger") => StepKind::Trigger(handle),
            Some("join") => StepKind::Join(handle),
            made => {
                self.plan.handles[handle].step = self.next();
                self.plan.handles[handle].code = self.code(part, span);
                if made == Some("start") { StepKind::Start(handle) } else { StepKind::Prepare(handle) }
            }
        }
    }

    fn make(&mut self, part: &str, name: &str, span: Span, extra: &mut Extra) -> StepKind {
        let value = self.values[name];
        self.plan.values[value].step = self.next();
        if let Some((_, expression)) = part.split_once(" = ") {
            extra.expression = Some(self.expression(expression, extra));
            return StepKind::Evaluate(value);
        }
        StepKind::Capture(value, self.code(part, span))
    }

    fn needs(&mut self, part: &str, need: Need, span: Span, extra: &mut Extra) -> StepKind {
        extra.needs.push(need);
        if let Need::Value(value) = need {
            let user = self.next();
            self.plan.values[value].users.push(user);
        }
        StepKind::Run(self.code(part, span))
    }

    fn expression(&mut self, text: &str, extra: &mut Extra) -> Expr {
        let expr = self.parse(text);
        extra.needs.extend(expr.needs());
        expr
    }

    fn parse(&self, text: &str) -> Expr {
        if let Some(inner) = text.strip_prefix("not ") {
            return Expr::Not(Box::new(self.parse(inner)));
        }
        if let Some((left, right)) = text.split_once(" == ") {
            let parts = (self.parse(left), Operator::Equal, self.parse(right));
            return Expr::Binary(Box::new(parts), Span::default());
        }
        match text.split_once('.') {
            Some((stream, "success")) => Expr::Success([self.streams[stream]].into()),
            Some((value, "exit")) => Expr::Value(self.values[value], Field::Exit),
            Some((value, "duration")) => Expr::Value(self.values[value], Field::Duration),
            _ => match (text, text.parse()) {
                ("true" | "false", _) => Expr::Constant(Value::Bool(text == "true")),
                (_, Ok(number)) => Expr::Constant(Value::Int(number)),
                (name, Err(_)) => Expr::Value(self.values[name], Field::Whole),
            },
        }
    }

    fn code(&mut self, part: &str, span: Span) -> CodeId {
        let (before, code) = part.split_once('$').expect("`$ code`");
        let may_fail = before.trim_end().ends_with('?');
        let mut options = Options { may_fail, ..Options::default() };
        let (given, text) = code.strip_prefix('(').and_then(|rest| rest.split_once(") ")).unwrap_or(("", code));
        for option in given.split(' ').filter_map(|option| option.split_once('=')) {
            match option {
                ("timeout", time) => options.timeout = seconds(time),
                ("every", time) => options.every = seconds(time),
                ("retry", times) => options.retry = times.parse().unwrap(),
                ("exit", status) => options.exit.push(status.parse().unwrap()),
                other => panic!("no option {other:?}"),
            }
        }
        let options = (may_fail || !given.is_empty()).then(|| Box::new(options));
        let text: Arc<str> = text.trim().into();
        self.plan.codes.push(Code {
            interpreter: InterpreterId(0),
            text,
            holes: [].into(),
            span,
            options,
            strict: false,
        })
    }

    fn meet(&mut self) {
        let all = std::mem::take(&mut self.parties);
        let rounds: BTreeMap<&str, usize> = all.keys().map(|(name, round)| (*name, *round)).collect();
        for ((name, round), parties) in all {
            let number = |n: usize| u32::try_from(n).unwrap();
            let gate = self.gates.contains(&name);
            let id = self.plan.barriers.push(Barrier {
                name: Some(name.into()),
                round: number(round),
                rounds: number(rounds[name]),
                parties: parties.as_slice().into(),
                timeout: self.timeouts.get(name).copied(),
                gate,
            });
            for party in parties {
                if gate {
                    self.plan.steps[party].extra.get_or_insert_default().gate = Some(id);
                } else {
                    self.plan.steps[party].kind = StepKind::Barrier(id);
                }
            }
        }
    }

    fn signals(&mut self) {
        for (name, to) in std::mem::take(&mut self.to) {
            let from = self.from.get(name).cloned().unwrap_or_default();
            let signal = Signal { name: name.into(), from: from.as_slice().into(), to: to.as_slice().into() };
            let id = self.plan.signals.push(signal);
            for step in from {
                self.plan.steps[step].extra.get_or_insert_default().feeds.push(id);
            }
            for step in to {
                self.plan.steps[step].kind = StepKind::Wait(id);
            }
        }
    }
}

fn parts(line: &str) -> (&str, impl Iterator<Item = &str>) {
    let (name, steps) = line.split_once(':').expect("`name: step; step`");
    (name.trim(), steps.split(';').map(str::trim).filter(|part| !part.is_empty()))
}

/// `5s`, `250ms`.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(millis) => millis.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

fn count<I: crate::scenario::Id>(length: usize) -> I {
    I::from_index(length)
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

fn place(name: &str, id: StreamId, timeline: Range<StepId>, cleanup: Range<StepId>) -> Stream {
    Stream {
        name: name.into(),
        kind: "local".into(),
        bound: Bound { layer: Layer::BuiltIn, span: None },
        keys: Vec::new(),
        host: Some("localhost".into()),
        index: i64::from(id.0),
        span: Span::default(),
        timeline,
        cleanup,
        finale: name == "finale",
    }
}
