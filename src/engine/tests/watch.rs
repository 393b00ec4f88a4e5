//! The invariants of every run, checked as it goes: what the world tells goes in, what the engine answers goes in.

use crate::engine::turn::TANGLED;
use crate::engine::{Action, Input, Stop};
use crate::event::{Ask, Cause, Event, Fault, Origin, Outcome, Reason, Urgency};
use crate::plan::{Plan, StepId, StepKind};
use crate::scenario::StreamId;

/// What was seen of each step and each stream: small enough to be part of a state.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Watch {
    steps: Vec<u16>,
    streams: Vec<u8>,
    over: bool,
    at_once: bool,
    halted: bool,
    /// Something happened that must cost the verdict.
    owes_failure: bool,
}

const STARTED: u16 = 1;
const ENDED: u16 = 2;
const FAILED: u16 = 4;
const READY: u16 = 8;
const ALIVE: u16 = 16;
const STOPPED: u16 = 32;
const KILLED: u16 = 64;
const EVER: u16 = 128;

const OPENING: u8 = 1;
const OPENED: u8 = 2;
const LOST: u8 = 4;
const CLEANED: u8 = 8;
const CLOSED: u8 = 16;
const LATE: u8 = 32;

/// A broken invariant, in words.
type Broken = String;

impl Watch {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { steps: vec![0; plan.steps.len()], streams: vec![0; plan.streams.len()], ..Self::default() }
    }

    fn has(&self, step: StepId, flag: u16) -> bool {
        self.steps[step.0 as usize] & flag != 0
    }

    fn mark(&mut self, step: StepId, flag: u16) {
        self.steps[step.0 as usize] |= flag;
    }

    fn clear(&mut self, step: StepId, flags: u16) {
        self.steps[step.0 as usize] &= !flags;
    }

    fn is(&self, stream: StreamId, flag: u8) -> bool {
        self.streams[stream.0 as usize] & flag != 0
    }

    fn set(&mut self, stream: StreamId, flag: u8) {
        self.streams[stream.0 as usize] |= flag;
    }

    /// What the world tells.
    pub(super) fn input(&mut self, plan: &Plan, input: &Input) {
        match input {
            Input::StreamFailed(stream, _) => self.set(*stream, LOST),
            Input::Unhealthy(step, _) => self.mark(*step, FAILED),
            Input::Ended(step, _) => {
                self.clear(*step, ALIVE);
                let background = matches!(plan.steps[*step].kind, StepKind::Start(_) | StepKind::Prepare(_));
                if background && !self.has(*step, STOPPED | KILLED) {
                    self.mark(*step, FAILED);
                    self.owes_failure |= self.death_counts(plan, *step);
                }
            }
            Input::Asked(Ask::Interrupt(Urgency::AtOnce)) => (self.at_once, self.halted) = (true, true),
            Input::Asked(Ask::Interrupt(Urgency::Orderly)) => {
                self.at_once |= self.halted;
                self.halted = true;
            }
            Input::Asked(Ask::JournalFailed(_)) => self.halted = true,
            Input::Begin
            | Input::Opened(..)
            | Input::Staged(_)
            | Input::Ready(_)
            | Input::Leaked(..)
            | Input::GateReleased(..)
            | Input::Closed(..)
            | Input::Tick => {}
        }
    }

    /// Whether a death must cost the verdict: of a `start`, after it was ready, while its timeline still went on,
    /// and not in a group, which may begin another round.
    fn death_counts(&self, plan: &Plan, step: StepId) -> bool {
        let start = matches!(plan.steps[step].kind, StepKind::Start(_));
        let mut rest = Plan::range(&plan.stream_of(step).timeline);
        let retried = plan.groups.values().any(|group| group.first <= step && step <= group.last);
        start
            && !retried
            && self.has(step, READY)
            && !self.halted
            && rest.any(|step| self.has(step, STARTED) && !self.has(step, ENDED))
    }

    /// A deadline has come: cleanups that run may be cut short from now on.
    pub(super) fn time_passed(&mut self) {
        for stream in &mut self.streams {
            if *stream & CLEANED != 0 {
                *stream |= LATE;
            }
        }
    }

    /// What the engine answers.
    pub(super) fn action(&mut self, plan: &Plan, action: &Action) -> Result<(), Broken> {
        if self.over {
            return Err(format!("after the end of the run: {action:?}"));
        }
        match action {
            Action::Open(stream) => self.once(*stream, OPENING, "opened"),
            Action::Run(step) => {
                self.clear(*step, READY | STOPPED | KILLED | FAILED);
                self.mark(*step, ALIVE);
                Ok(())
            }
            Action::Stop(step, how) => self.stop(*step, *how),
            Action::Close(stream) => {
                let gone = Plan::range(&plan.streams[*stream].timeline).all(|step| self.has(step, ENDED));
                gone.then_some(()).ok_or_else(|| format!("{stream:?} is closed before its timeline is over"))
            }
            Action::Release(step) => self.holds(*step, READY, "released before it was staged"),
            Action::ReleaseAll(_, steps) => {
                steps.iter().try_for_each(|step| self.holds(*step, READY, "released before it was staged"))
            }
            Action::Record(event) => self.event(plan, event),
        }
    }

    fn holds(&self, step: StepId, flag: u16, words: &str) -> Result<(), Broken> {
        if self.has(step, flag) { Ok(()) } else { Err(format!("{step:?} {words}")) }
    }

    fn once(&mut self, stream: StreamId, flag: u8, words: &str) -> Result<(), Broken> {
        if self.is(stream, flag) {
            return Err(format!("{stream:?} is {words} twice"));
        }
        self.set(stream, flag);
        Ok(())
    }

    fn stop(&mut self, step: StepId, how: Stop) -> Result<(), Broken> {
        let falls = match how {
            Stop::No => true,
            Stop::Gently(_) => self.has(step, STOPPED | KILLED),
            Stop::Now => self.has(step, KILLED),
        };
        self.mark(step, if how == Stop::Now { KILLED } else { STOPPED });
        if falls { Err(format!("the stop of {step:?} does not rise to {how:?}")) } else { Ok(()) }
    }

    fn event(&mut self, plan: &Plan, event: &Event) -> Result<(), Broken> {
        match event {
            Event::StreamOpened(stream, _) => self.once(*stream, OPENED, "said to be open"),
            Event::StreamFailed(stream, Fault::Unreachable(_) | Fault::Lost(_)) => {
                self.set(*stream, LOST);
                Ok(())
            }
            Event::CleanupStarted(stream) => self.once(*stream, CLEANED, "cleaned up"),
            Event::StreamClosed(stream, _) => self.once(*stream, CLOSED, "closed"),
            Event::StepStarted(step, _) => self.started(plan, *step),
            Event::StepReady(step) => {
                self.mark(*step, READY);
                Ok(())
            }
            Event::StepEnded(step, outcome) => self.ended(plan, *step, outcome),
            Event::StepRetried(step, _, _) => {
                self.clear(*step, STARTED);
                Ok(())
            }
            Event::BarrierBroken(_, origin) => self.real(*origin),
            Event::BarrierReleased(barrier, _) => {
                let flag = if plan.barriers[*barrier].gate { READY } else { STARTED };
                let parties = &plan.barriers[*barrier].parties;
                parties.iter().try_for_each(|step| self.holds(*step, flag, "has not come to its barrier"))
            }
            Event::RunEnded(verdict) => self.ended_run(plan, verdict.exit_code()),
            Event::RunStarted
            | Event::StreamOpening(_)
            | Event::StepWaiting(_)
            | Event::StepReleased(_)
            | Event::Output(..)
            | Event::OutputCut(..)
            | Event::StepLeaked(..)
            | Event::ProcessEnded(..)
            | Event::GateReleased(..)
            | Event::Interrupted(_)
            | Event::RunTimedOut
            | Event::JournalFailed(_)
            | Event::ValueMade(..)
            | Event::StepTaken(..) => Ok(()),
        }
    }

    /// A stream does one thing at a time, in order.
    fn started(&mut self, plan: &Plan, step: StepId) -> Result<(), Broken> {
        let place = plan.stream_of(step);
        let range = if step < place.timeline.end { &place.timeline } else { &place.cleanup };
        if let Some(other) = Plan::range(range).find(|it| self.has(*it, STARTED) && !self.has(*it, ENDED)) {
            return Err(format!("{step:?} starts while {other:?} runs"));
        }
        self.clear(step, ENDED);
        self.mark(step, STARTED | EVER);
        Ok(())
    }

    fn ended(&mut self, plan: &Plan, step: StepId, outcome: &Outcome) -> Result<(), Broken> {
        if self.has(step, ENDED) {
            return Err(format!("{step:?} ends twice: {outcome:?}"));
        }
        self.mark(step, ENDED);
        if let (StepKind::Barrier(barrier), Outcome::Passed) = (plan.steps[step].kind, outcome) {
            let parties = &plan.barriers[barrier].parties;
            parties.iter().try_for_each(|party| self.holds(*party, EVER, "was not waited for"))?;
        }
        match outcome {
            Outcome::Passed | Outcome::Skipped => return Ok(()),
            Outcome::Failed(Reason::Error(words)) if &**words == TANGLED => {
                return Err(format!("the run hangs at {step:?}"));
            }
            Outcome::Failed(Reason::Background(start, _)) => self.mark(*start, FAILED),
            Outcome::Failed(_) | Outcome::TimedOut(_) => self.mark(step, FAILED),
            Outcome::Broken(origin) | Outcome::Cancelled(Cause::Stream(origin) | Cause::FailFast(origin)) => {
                self.real(*origin)?;
            }
            Outcome::Unreachable(_)
            | Outcome::Lost(_)
            | Outcome::Cancelled(Cause::Interrupt | Cause::RunTimeout | Cause::Journal) => {}
        }
        let excused = plan.code_of(step).and_then(|code| code.options.as_ref()).is_some_and(|it| it.may_fail);
        self.owes_failure |= !excused;
        Ok(())
    }

    /// Blame falls only on what has failed.
    fn real(&self, origin: Origin) -> Result<(), Broken> {
        let failed = match origin {
            Origin::Step(step) => self.has(step, FAILED),
            Origin::Stream(stream) => self.is(stream, LOST),
        };
        if failed { Ok(()) } else { Err(format!("{origin:?} is blamed and has not failed")) }
    }

    fn ended_run(&mut self, plan: &Plan, code: u8) -> Result<(), Broken> {
        self.over = true;
        if let Some(step) = plan.steps.ids().find(|step| !self.has(*step, ENDED)) {
            return Err(format!("{step:?} has no end"));
        }
        for (stream, place) in plan.streams.iter() {
            if self.is(stream, OPENING) && !self.is(stream, CLOSED) {
                return Err(format!("{stream:?} is still open"));
            }
            let spared = self.at_once || self.is(stream, LOST) || !self.is(stream, OPENED);
            if !spared && !place.cleanup.is_empty() && !self.is(stream, CLEANED) {
                return Err(format!("the finally of {stream:?} is lost"));
            }
            let cut = spared || self.is(stream, LATE);
            if let Some(step) = Plan::range(&place.cleanup).find(|step| !cut && !self.has(*step, EVER)) {
                return Err(format!("{step:?} of a finally is lost"));
            }
        }
        if self.owes_failure && code == 0 {
            return Err("a failure does not cost the verdict".to_owned());
        }
        Ok(())
    }
}
