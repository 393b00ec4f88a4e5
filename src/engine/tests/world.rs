//! A world for tests, in virtual time: it does what the engine asks for, as the code of each step says it would go.
//!
//! Code is words: `2s` takes that long, `exit 3`, `signal 9`, `missing` (never starts), `fails 2` (its first two times
//! end with status 1), `stubborn` (outlives TERM), `immortal` (outlives KILL), `ready 1s`, `sick 3s` (unhealthy 3s after
//! its start), `prints X`, `leaks`, `lost` (its stream goes away). The time comes first; without one it ends at once, unless it is a
//! background process, which goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Action, Captured, End, Engine, Input, Limits, Stop};
use crate::event::{Ask, Event, Exit, Fault, Leak, Urgency};
use crate::plan::sketch::seconds;
use crate::plan::{Plan, StepId, StepKind};
use crate::scenario::StreamId;

/// A world and its run.
pub(super) struct World {
    pub(super) plan: Arc<Plan>,
    pub(super) engine: Engine,
    now: Duration,
    /// What will happen, in order of time and then of asking.
    future: BTreeMap<(Duration, u64), Input>,
    asked: u64,
    runs: BTreeMap<StepId, u32>,
    /// Which processes are alive, and the entries of `future` in which they end.
    alive: BTreeMap<StepId, Option<(Duration, u64)>>,
    streams: BTreeMap<String, (String, Duration)>,
    pub(super) log: Vec<(Duration, Action)>,
}

/// The listing of a run of `plan`, with what happens to it from outside: `2s interrupt`, `2s lost a`, `0s unreachable a`,
/// `0s silent a` (never opens), `3s slow a` (opens after 3s), `0s leaky a`,
/// `0s stuck a` (never closes).
pub(super) fn story(plan: &str, outside: &str) -> String {
    story_within(plan, outside, Limits::default())
}

/// A story with limits of its own.
pub(super) fn story_within(plan: &str, outside: &str, limits: Limits) -> String {
    let mut world = World::new(Arc::new(crate::plan::sketch::sketch(plan)), limits);
    for line in outside.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        world.outside(line);
    }
    world.run();
    world.listing()
}

impl World {
    pub(super) fn new(plan: Arc<Plan>, limits: Limits) -> Self {
        let engine = Engine::new(Arc::clone(&plan), limits, Arc::default());
        Self {
            plan,
            engine,
            now: Duration::ZERO,
            future: BTreeMap::new(),
            asked: 0,
            runs: BTreeMap::new(),
            alive: BTreeMap::new(),
            streams: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    /// Something that comes from outside the run.
    pub(super) fn outside(&mut self, line: &str) {
        let (at, what) = line.split_once(' ').expect("`2s interrupt`");
        let at = seconds(at).expect("a time");
        match what.split_once(' ') {
            None => drop(self.plan_input(at, Input::Asked(Ask::Interrupt(Urgency::Orderly)))),
            Some(("lost", name)) => {
                let id = self.plan.streams.iter().find(|(_, it)| &*it.name == name).map(|(id, _)| id).unwrap();
                self.plan_input(at, Input::StreamFailed(id, Fault::Lost("gone".into())));
            }
            Some((how, name)) => {
                self.streams.insert(name.to_owned(), (how.to_owned(), at));
            }
        }
    }

    fn plan_input(&mut self, at: Duration, input: Input) -> (Duration, u64) {
        self.asked += 1;
        self.future.insert((at, self.asked), input);
        (at, self.asked)
    }

    fn soon(&mut self, after: Duration, input: Input) -> (Duration, u64) {
        self.plan_input(self.now + after, input)
    }

    /// Runs to the end. Panics where nothing can happen any more and the run is not over.
    pub(super) fn run(&mut self) {
        self.tell(Input::Begin);
        while !self.engine.done() {
            let next = self.future.first_key_value().map(|((at, _), _)| *at);
            let due = self.engine.deadline();
            match (next, due) {
                (Some(next), due) if due.is_none_or(|due| next <= due) => {
                    let ((at, _), input) = self.future.pop_first().unwrap();
                    self.now = self.now.max(at);
                    self.tell(input);
                }
                (_, Some(due)) => {
                    self.now = self.now.max(due);
                    self.tell(Input::Tick);
                }
                (_, None) => panic!("the run hangs:\n{}", self.listing()),
            }
        }
    }

    fn tell(&mut self, input: Input) {
        if let Input::Ended(step, _) = &input {
            self.alive.remove(step);
        }
        for action in self.engine.handle(input, self.now) {
            self.log.push((self.now, action.clone()));
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Open(stream) => self.open(stream),
            Action::Run(step) => self.start(step),
            Action::Release(step) => self.release(step),
            Action::ReleaseAll(barrier, steps) => {
                self.soon(Duration::ZERO, Input::GateReleased(barrier, Duration::from_millis(1)));
                for step in steps {
                    self.release(step);
                }
            }
            Action::Stop(step, how) => self.stop(step, how),
            Action::Close(stream) => {
                let name = &*self.plan.streams[stream].name;
                if self.streams.get(name).is_some_and(|(how, _)| how == "stuck") {
                    return;
                }
                let leaves = self.streams.get(&*self.plan.streams[stream].name).is_some_and(|(how, _)| how == "leaky");
                let leaks = if leaves { vec![Leak { pid: 7, command: "daemon".into() }] } else { Vec::new() };
                self.soon(Duration::ZERO, Input::Closed(stream, leaks));
            }
            Action::Record(_) => {}
        }
    }

    fn open(&mut self, stream: StreamId) {
        let host: Arc<str> = format!("{}.host", self.plan.streams[stream].name).into();
        let name = self.plan.streams[stream].name.to_string();
        match self.streams.get(&name).map(|(how, at)| (how.as_str(), *at)) {
            Some(("unreachable", at)) => {
                self.soon(at, Input::StreamFailed(stream, Fault::Unreachable("no route".into())));
            }
            Some(("silent", _)) => {}
            Some(("slow", at)) => drop(self.soon(at, Input::Opened(stream, host))),
            _ => drop(self.soon(Duration::ZERO, Input::Opened(stream, host))),
        }
    }

    /// The words of the step's code, and what follows one of them.
    fn word(&self, step: StepId, word: &str) -> Option<String> {
        let code = self.plan.code_of(step)?;
        let mut words = code.text.split(' ').skip_while(|it| *it != word);
        words.next().map(|_| words.next().unwrap_or_default().to_owned())
    }

    fn start(&mut self, step: StepId) {
        *self.runs.entry(step).or_default() += 1;
        self.alive.insert(step, None);
        let zero = Duration::ZERO;
        if self.word(step, "missing").is_some() {
            let end = self.soon(zero, Input::Ended(step, self.end(step, Exit::NotStarted("no such program".into()))));
            self.alive.insert(step, Some(end));
            return;
        }
        let staged = self.plan.steps[step].extra.as_ref().is_some_and(|extra| extra.gate.is_some());
        let kind = self.plan.steps[step].kind;
        if staged || matches!(kind, StepKind::Prepare(_)) {
            self.soon(zero, Input::Staged(step));
            return;
        }
        if let StepKind::Start(_) = kind {
            let ready = self.word(step, "ready").and_then(|time| seconds(&time)).unwrap_or_default();
            self.soon(ready, Input::Ready(step));
            if let Some(sick) = self.word(step, "sick").and_then(|time| seconds(&time)) {
                self.soon(sick, Input::Unhealthy(step, "probe failed".into()));
            }
        }
        self.release(step);
    }

    /// The process is on its way: its end comes in time, if it has one.
    fn release(&mut self, step: StepId) {
        let text = self.plan.code_of(step).map(|code| Arc::clone(&code.text)).unwrap_or_default();
        let time = text.split(' ').next().and_then(seconds);
        let fails = self.word(step, "fails").and_then(|times| times.parse().ok()).unwrap_or(0);
        let status = |word: &str| self.word(step, word).and_then(|status| status.parse().ok());
        let exit = match (status("exit"), status("signal")) {
            _ if self.word(step, "lost").is_some() => Exit::Lost("gone".into()),
            _ if self.runs[&step] <= fails => Exit::Status(1),
            (Some(status), _) => Exit::Status(status),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Status(0),
        };
        let background = matches!(self.plan.steps[step].kind, StepKind::Start(_));
        if let Some(time) = time.or((!background).then_some(Duration::ZERO)) {
            if self.word(step, "leaks").is_some() {
                self.soon(time, Input::Leaked(step, vec![Leak { pid: 8, command: "child".into() }]));
            }
            let end = self.soon(time, Input::Ended(step, self.end(step, exit)));
            self.alive.insert(step, Some(end));
        }
    }

    fn end(&self, step: StepId, exit: Exit) -> End {
        let stdout = self.word(step, "prints").unwrap_or_default().into_bytes();
        End { exit, captured: Some(Box::new(Captured { stdout, stderr: Vec::new() })) }
    }

    fn stop(&mut self, step: StepId, how: Stop) {
        let obeys = match how {
            Stop::No => false,
            Stop::Gently(_) => self.word(step, "stubborn").is_none() && self.word(step, "immortal").is_none(),
            Stop::Now => self.word(step, "immortal").is_none(),
        };
        if let Some(end) = self.alive.get(&step).copied()
            && obeys
        {
            if let Some(end) = end {
                self.future.remove(&end);
            }
            let signal = if let Stop::Gently(signal) = how { signal } else { 9 };
            let end = self.soon(Duration::ZERO, Input::Ended(step, self.end(step, Exit::Signal(signal))));
            self.alive.insert(step, Some(end));
        }
    }

    /// What was done and recorded, a line each.
    pub(super) fn listing(&self) -> String {
        let lines = self.log.iter().filter_map(|(at, action)| Some((at, self.line(action)?)));
        lines.map(|(at, line)| crate::syntax::duration(*at) + " " + &line + "\n").collect()
    }

    fn line(&self, action: &Action) -> Option<String> {
        match action {
            // What a `let` makes is seen in who uses it.
            Action::Open(_) | Action::Run(_) | Action::Record(Event::ValueMade(..)) => None,
            Action::Release(step) => Some(format!("> release {}", self.step(*step))),
            Action::ReleaseAll(_, steps) => {
                Some(format!("> release {}", steps.iter().map(|step| self.step(*step)).collect::<Vec<_>>().join(", ")))
            }
            Action::Stop(step, Stop::Gently(signal)) => Some(format!("> signal {signal} to {}", self.step(*step))),
            Action::Stop(step, _) => Some(format!("> kill {}", self.step(*step))),
            Action::Close(stream) => Some(format!("> close {}", self.plan.streams[*stream].name)),
            Action::Record(event) => Some(self.event(event)),
        }
    }

    fn step(&self, step: StepId) -> String {
        format!("{}: {}", self.plan.stream_of(step).name, self.plan.label(step))
    }

    fn event(&self, event: &Event) -> String {
        let stream = |id: &StreamId| self.plan.streams[*id].name.to_string();
        match event {
            Event::StreamOpening(id) => format!("{}: opening", stream(id)),
            Event::StreamOpened(id, _) => format!("{}: opened", stream(id)),
            Event::StreamFailed(id, fault) => format!("{}: {fault:?}", stream(id)),
            Event::CleanupStarted(id) => format!("{}: cleanup", stream(id)),
            Event::StreamClosed(id, leaks) => format!("{}: closed{}", stream(id), leaked(leaks)),
            Event::StepStarted(step, 1) => format!("{}: started", self.step(*step)),
            Event::StepStarted(step, times) => format!("{}: started, {times}", self.step(*step)),
            Event::StepWaiting(step) => format!("{}: waits", self.step(*step)),
            Event::StepReady(step) => format!("{}: ready", self.step(*step)),
            Event::StepReleased(step) => format!("{}: released", self.step(*step)),
            Event::StepLeaked(step, leaks) => format!("{}: left{}", self.step(*step), leaked(leaks)),
            Event::StepRetried(step, outcome, pause) => {
                format!("{}: {}, again in {}", self.step(*step), self.said(outcome), crate::syntax::duration(*pause))
            }
            Event::StepEnded(step, outcome) => format!("{}: {}", self.step(*step), self.said(outcome)),
            Event::ProcessEnded(step, exit) => format!("{}: process ended, {exit:?}", self.step(*step)),
            Event::BarrierReleased(id, last) => format!("{}: all there, last {}", self.meeting(*id), stream(last)),
            Event::BarrierBroken(id, origin) => format!("{}: broken by {}", self.meeting(*id), self.origin(*origin)),
            Event::GateReleased(id, skew) => format!("{}: gone within {skew:?}", self.meeting(*id)),
            Event::RunEnded(verdict) => format!("ended, exit code {}", verdict.exit_code()),
            Event::RunStarted
            | Event::Output(..)
            | Event::OutputCut(..)
            | Event::Interrupted(_)
            | Event::RunTimedOut
            | Event::JournalFailed(_)
            | Event::StepTaken(..)
            | Event::ValueMade(..) => format!("{event:?}"),
        }
    }

    fn meeting(&self, id: crate::plan::BarrierId) -> String {
        self.plan.barriers[id].name.as_deref().unwrap_or("sync").to_owned()
    }

    fn origin(&self, origin: crate::event::Origin) -> String {
        match origin {
            crate::event::Origin::Step(step) => self.step(step),
            crate::event::Origin::Stream(stream) => self.plan.streams[stream].name.to_string(),
        }
    }

    fn said(&self, outcome: &crate::event::Outcome) -> String {
        use crate::event::{Cause, Outcome, Reason};
        match outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(Reason::Exit(exit)) => format!("failed, {exit:?}"),
            Outcome::Failed(Reason::Unmet(lines)) => format!("failed, {}", lines.join("; ")),
            Outcome::Failed(Reason::Error(words)) => format!("failed, {words}"),
            Outcome::Failed(Reason::Background(step, words)) => {
                format!("failed, {words} of {}", self.step(*step))
            }
            Outcome::TimedOut(limit) => format!("timed out after {}", crate::syntax::duration(*limit)),
            Outcome::Broken(origin) => format!("broken by {}", self.origin(*origin)),
            Outcome::Cancelled(Cause::Stream(origin)) => format!("cancelled by {}", self.origin(*origin)),
            Outcome::Cancelled(Cause::FailFast(origin)) => {
                format!("cancelled, failed fast by {}", self.origin(*origin))
            }
            Outcome::Cancelled(Cause::Interrupt | Cause::RunTimeout | Cause::Journal)
            | Outcome::Unreachable(_)
            | Outcome::Lost(_)
            | Outcome::Skipped => format!("{outcome:?}"),
        }
    }
}

fn leaked(leaks: &[Leak]) -> String {
    let told: Vec<_> = leaks.iter().map(|leak| format!(" {} ({})", leak.pid, leak.command)).collect();
    told.concat()
}
