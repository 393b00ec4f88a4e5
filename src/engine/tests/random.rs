//! Random runs of random plans, a number each: the invariants hold, the same number gives the same events, and every
//! kind of end is met on the way.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::explore::{Move, Node};
use crate::engine::{Action, Input, Limits};
use crate::event::{Ask, Cause, Event, Exit, Fault, Outcome, Reason};
use crate::plan::sketch::sketch;

/// How many plans each of the four tests runs; `tests/soak` asks for more.
#[expect(clippy::disallowed_methods, reason = "how long a test takes is asked from outside")]
fn seeds() -> u64 {
    std::env::var("MSTREAM_SOAK_SEEDS").ok().and_then(|text| text.parse().ok()).map_or(5_000, |all: u64| all / 4)
}

#[test]
fn random_runs_hold_the_invariants_1_of_4() {
    run_all(0);
}

#[test]
fn random_runs_hold_the_invariants_2_of_4() {
    run_all(1);
}

#[test]
fn random_runs_hold_the_invariants_3_of_4() {
    run_all(2);
}

#[test]
fn random_runs_hold_the_invariants_4_of_4() {
    run_all(3);
}

fn run_all(part: u64) {
    let mut met = BTreeSet::new();
    let seeds = seeds();
    for seed in part * seeds..(part + 1) * seeds {
        let text = Gardener::new(seed).plan();
        let actions = run(seed, &text, &mut met).unwrap_or_else(|words| panic!("seed {seed}: {words}\n{text}"));
        if seed % 8 == 0 {
            let again = run(seed, &text, &mut BTreeSet::new());
            assert_eq!(again, Ok(actions), "seed {seed} gives other events the second time\n{text}");
        }
    }
    let met: Vec<_> = met.into_iter().collect();
    assert_eq!(met, EVERYTHING, "not everything was met");
}

/// One run, with all that the engine did.
fn run(seed: u64, text: &str, met: &mut BTreeSet<&'static str>) -> Result<Vec<Action>, String> {
    let plan = Arc::new(sketch(text));
    let mut dice = Dice(seed ^ 0x5eed);
    let limits = Limits {
        fail_fast: dice.below(6) == 0,
        run: (dice.below(6) == 0).then_some(Duration::from_secs(20)),
        ..Limits::default()
    };
    let faults = u8::try_from(dice.below(5)).unwrap_or_default();
    let mut node = Node::begin(&plan, limits, faults, None)?;
    let (mut actions, mut told) = (Vec::new(), String::new());
    for _ in 0..5_000 {
        if node.engine.done() {
            return Ok(actions);
        }
        let moves = node.moves(&plan);
        let Some(chosen) = choose(&mut dice, moves) else { return Err(format!("the run hangs{told}")) };
        note_move(&chosen, met);
        let _ = write!(told, "\n  {chosen:?}");
        node.make(&plan, chosen, &mut |action| {
            note_action(action, met);
            actions.push(action.clone());
        })
        .map_err(|words| format!("{words}{told}"))?;
    }
    Err(format!("the run does not end{told}"))
}

/// One move in eight may be a fault.
fn choose(dice: &mut Dice, mut moves: Vec<Move>) -> Option<Move> {
    if dice.below(8) > 0 && moves.iter().any(|it| !it.costs()) {
        moves.retain(|it| !it.costs());
    }
    let place = dice.below(moves.len().max(1) as u64);
    usize::try_from(place).ok().filter(|place| *place < moves.len()).map(|place| moves.swap_remove(place))
}

/// All that a part of the seeds must meet.
const EVERYTHING: &[&str] = &[
    "barrier broken",
    "barrier released",
    "broken",
    "cancelled by its stream",
    "cancelled: fail fast",
    "cancelled: interrupt",
    "cancelled: run timeout",
    "failed: error",
    "failed: exit",
    "failed: unhealthy",
    "failed: unmet",
    "fault: deadline",
    "fault: interrupt",
    "fault: lost",
    "fault: mute process",
    "fault: mute stream",
    "fault: status",
    "fault: unhealthy",
    "fault: unreachable",
    "lost",
    "passed",
    "retried",
    "run timed out",
    "skipped",
    "start gate opened",
    "timed out",
    "unreachable",
];

fn note_move(it: &Move, met: &mut BTreeSet<&'static str>) {
    let name = match it {
        Move::MuteStep(_) => "fault: mute process",
        Move::MuteStream(_) => "fault: mute stream",
        Move::Wait(true) => "fault: deadline",
        Move::Tell(Input::StreamFailed(_, Fault::Lost(_)), _) => "fault: lost",
        Move::Tell(Input::StreamFailed(_, Fault::Unreachable(_)), _) => "fault: unreachable",
        Move::Tell(Input::Unhealthy(..), _) => "fault: unhealthy",
        Move::Tell(Input::Asked(Ask::Interrupt(_)), _) => "fault: interrupt",
        Move::Tell(Input::Ended(_, end), true) if end.exit == Exit::Status(1) => "fault: status",
        Move::Wait(false) | Move::Tell(..) => return,
    };
    met.insert(name);
}

fn note_action(action: &Action, met: &mut BTreeSet<&'static str>) {
    let Action::Record(event) = action else {
        if let Action::ReleaseAll(..) = action {
            met.insert("start gate opened");
        }
        return;
    };
    let name = match event {
        Event::StepRetried(..) => "retried",
        Event::BarrierReleased(..) => "barrier released",
        Event::BarrierBroken(..) => "barrier broken",
        Event::RunTimedOut => "run timed out",
        Event::StepEnded(_, outcome) => outcome_name(outcome),
        Event::RunStarted
        | Event::StreamOpening(_)
        | Event::StreamOpened(..)
        | Event::StreamFailed(..)
        | Event::CleanupStarted(_)
        | Event::StreamClosed(..)
        | Event::StepStarted(..)
        | Event::StepWaiting(_)
        | Event::StepReady(_)
        | Event::StepReleased(_)
        | Event::Output(..)
        | Event::OutputCut(..)
        | Event::StepLeaked(..)
        | Event::ProcessEnded(..)
        | Event::GateReleased(..)
        | Event::Interrupted(_)
        | Event::JournalFailed(_)
        | Event::ValueMade(..)
        | Event::StepTaken(..)
        | Event::RunEnded(_) => return,
    };
    met.insert(name);
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(Reason::Exit(_)) => "failed: exit",
        Outcome::Failed(Reason::Unmet(_)) => "failed: unmet",
        Outcome::Failed(Reason::Error(_)) => "failed: error",
        Outcome::Failed(Reason::Background(..)) => "failed: unhealthy",
        Outcome::TimedOut(_) => "timed out",
        Outcome::Unreachable(_) => "unreachable",
        Outcome::Lost(_) => "lost",
        Outcome::Broken(_) => "broken",
        Outcome::Cancelled(Cause::Interrupt) => "cancelled: interrupt",
        Outcome::Cancelled(Cause::FailFast(_)) => "cancelled: fail fast",
        Outcome::Cancelled(Cause::Journal) => "cancelled: journal",
        Outcome::Cancelled(Cause::RunTimeout) => "cancelled: run timeout",
        Outcome::Cancelled(Cause::Stream(_)) => "cancelled by its stream",
        Outcome::Skipped => "skipped",
    }
}

/// `SplitMix64`: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % end
    }
}

/// Grows a plan without a circle: everything is added at the end of the timelines, and who has been waited for to its
/// end gets no more.
struct Gardener {
    dice: Dice,
    lines: Vec<String>,
    cleanups: Vec<String>,
    closed: Vec<bool>,
    names: u32,
}

impl Gardener {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let streams = 2 + usize::try_from(dice.below(4)).unwrap_or_default();
        Self {
            dice,
            lines: vec![String::new(); streams],
            cleanups: vec![String::new(); streams],
            closed: vec![false; streams],
            names: 0,
        }
    }

    fn plan(mut self) -> String {
        let keyed = self.dice.below(3) == 0;
        if keyed {
            self.add(0, "let key $ key");
        }
        for _ in 0..3 + self.dice.below(9) {
            self.grow();
        }
        let mut text = String::new();
        for stream in 0..self.lines.len() {
            if self.dice.below(2) == 0 {
                self.cleanups[stream].push_str("$ clean; ");
            }
            let key = if keyed && stream == 1 { "@key" } else { "" };
            let (line, cleanup) = (&self.lines[stream], &self.cleanups[stream]);
            let _ = writeln!(text, "s{stream}{key}: {line}finally; {cleanup}");
        }
        if self.dice.below(3) == 0 {
            let _ = writeln!(text, "finale: $ report; expect s0.success");
        }
        text
    }

    fn add(&mut self, stream: usize, part: &str) {
        if !self.closed[stream] {
            let _ = write!(self.lines[stream], "{part}; ");
        }
    }

    fn pick(&mut self) -> usize {
        usize::try_from(self.dice.below(self.lines.len() as u64)).unwrap_or_default()
    }

    fn pair(&mut self) -> (usize, usize) {
        let first = self.pick();
        let step = 1 + usize::try_from(self.dice.below(self.lines.len() as u64 - 1)).unwrap_or_default();
        (first, (first + step) % self.lines.len())
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn grow(&mut self) {
        let name = self.name();
        match self.dice.below(8) {
            0 => self.grow_step(),
            1 => self.grow_meeting(&format!("barrier {name}")),
            2 => self.grow_meeting(&format!("barrier {name} within 5s")),
            3 => self.grow_meeting(&format!("together {name} $ go")),
            4 => self.grow_group(),
            5 => self.grow_background(&name),
            6 => self.grow_end(&name),
            _ => self.grow_pair(&name),
        }
    }

    fn grow_step(&mut self) {
        let steps = ["$ run", "? $ run", "$(retry=1 every=1s) run", "$(timeout=2s) run", "let g = 5; when g $ run"];
        let (stream, which) = (self.pick(), self.dice.below(40));
        match usize::try_from(which).ok().and_then(|which| steps.get(which % 5)) {
            Some(step) if which == 4 || !step.starts_with("let") => self.add(stream, step),
            _ => self.add(stream, "let c = true; when c $ run"),
        }
    }

    fn grow_meeting(&mut self, part: &str) {
        let (first, second) = self.pair();
        for stream in 0..self.lines.len() {
            if stream == first || stream == second || self.dice.below(2) == 0 {
                self.add(stream, part);
            }
        }
    }

    fn grow_group(&mut self) {
        let groups =
            ["retry 2 1s {; $ in; $ in; }", "repeat 3s 1s {; $ in; }", "retry 2 1s {; retry 2 1s {; $ in; }; }"];
        let (stream, which) = (self.pick(), self.dice.below(3));
        self.add(stream, groups[usize::try_from(which).unwrap_or_default()]);
    }

    fn grow_background(&mut self, name: &str) {
        let stream = self.pick();
        match self.dice.below(4) {
            0 => self.add(stream, &format!("start {name} $; $ run")),
            1 => self.add(stream, &format!("start {name} $; $ run; stop {name}")),
            2 => self.add(stream, &format!("retry 2 1s {{; start {name} $; $ run; }}")),
            _ => self.add(stream, &format!("prepare {name} $; $ run; trigger {name}; join {name}")),
        }
    }

    /// The second waits for the end of the first, which gets no more.
    fn grow_end(&mut self, name: &str) {
        let (first, second) = self.pair();
        if self.closed[first] || self.closed[second] {
            return;
        }
        match self.dice.below(3) {
            0 => self.add(second, &format!("end s{first} $ after")),
            1 => self.add(second, &format!("expect s{first}.success")),
            _ => {
                let _ = write!(self.cleanups[first], "signal {name}; ");
                self.add(second, &format!("wait {name}"));
            }
        }
        self.closed[first] = true;
    }

    /// The second waits for something of the first.
    fn grow_pair(&mut self, name: &str) {
        let (first, second) = self.pair();
        if self.closed[first] {
            return;
        }
        match self.dice.below(4) {
            0 => self.add(second, &format!("host s{first} $ use")),
            1 => {
                self.add(first, &format!("signal {name}"));
                self.add(second, &format!("wait {name}"));
            }
            2 => {
                self.add(first, &format!("retry 2 1s {{; let {name} $ make; $ in; }}"));
                self.add(second, &format!("use {name} $ use"));
            }
            _ => {
                self.add(first, &format!("let {name} $ make"));
                self.add(second, &format!("use {name} $ use; expect {name}.exit == 0"));
            }
        }
    }
}
