//! Stories in virtual time: the code of each step is the script of its process. The whole way from the plan to the
//! events, with nothing replaced but the far end.

mod background;
mod real;

use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::backend::scripted::{Opening, ScriptedBackend};
use crate::event::{Event, Leak, Outcome, Reason, Urgency};
use crate::plan::sketch::sketch;
use crate::plan::{Barrier, CodeId, Expr, Handle, HandleId, Probe, StepKind};
use crate::scenario::StreamId;

/// What a story starts from.
struct Story {
    plan: Plan,
    sources: Sources,
    limits: Limits,
    backend: Arc<dyn Backend>,
    home: Home,
    /// When somebody asks to stop.
    asks: Vec<(Duration, Urgency)>,
}

impl Story {
    fn of(text: &str) -> Self {
        let mut sources = Sources::default();
        sources.add("story.ms", text);
        let home =
            Home { id: "r1".into(), folder: "/".into(), tmp: "/nowhere".into(), files: "/files".into(), keep: 1 << 20 };
        let backend = Arc::new(ScriptedBackend::default());
        Self { plan: sketch(text), sources, limits: Limits::default(), backend, home, asks: Vec::new() }
    }

    fn opening(mut self, name: &str, opening: Opening) -> Self {
        self.backend = Arc::new(ScriptedBackend::new([(name.into(), opening)].into_iter().collect()));
        self
    }

    fn asked(mut self, at: Duration, urgency: Urgency) -> Self {
        self.asks.push((at, urgency));
        self
    }

    /// The step of that code becomes the `start` of a background process.
    fn start(mut self, code: &str, ready: Option<Probe>, alive: Option<&str>) -> Self {
        let (step, id) = self.step(code);
        let alive = alive.map(|script| Probe::Code(self.code(id, script)));
        let every = Duration::from_millis(100);
        let handle = self.plan.handles.push(Handle { name: "web".into(), step, code: id, ready, alive, every });
        self.plan.steps[step].kind = StepKind::Start(handle);
        self
    }

    /// The step of that code becomes a step of the first handle.
    fn becomes(mut self, code: &str, kind: fn(HandleId) -> StepKind) -> Self {
        let (step, _) = self.step(code);
        self.plan.steps[step].kind = kind(HandleId(0));
        self
    }

    /// The step of that code is held until its process is released.
    fn prepare(self, code: &str) -> Self {
        let mut it = self.start(code, None, None);
        let step = it.plan.handles[HandleId(0)].step;
        it.plan.steps[step].kind = StepKind::Prepare(HandleId(0));
        it
    }

    /// The steps of these codes start as one.
    fn together(mut self, codes: &[&str]) -> Self {
        let parties: Vec<StepId> = codes.iter().map(|code| self.step(code).0).collect();
        let (name, round, rounds, timeout) = (None, 1, 1, None);
        let parties_of = parties.as_slice().into();
        let gate = self.plan.barriers.push(Barrier { name, round, rounds, parties: parties_of, timeout, gate: true });
        for step in parties {
            self.plan.steps[step].extra.get_or_insert_default().gate = Some(gate);
        }
        self
    }

    fn step(&self, code: &str) -> (StepId, CodeId) {
        let found = self.plan.steps.iter().find_map(|(step, it)| {
            let StepKind::Run(id) = it.kind else { return None };
            (&*self.plan.codes[id].text == code).then_some((step, id))
        });
        found.expect("a step with that code")
    }

    fn code(&mut self, like: CodeId, text: &str) -> CodeId {
        let code = crate::plan::Code { text: text.into(), ..self.plan.codes[like].clone() };
        self.plan.codes.push(code)
    }

    /// All events, a line each, and the exit code.
    async fn told(self) -> String {
        let plan = Arc::new(self.plan);
        let mut lines = Vec::new();
        let mut record = |batch: Vec<Record>| lines.extend(batch.iter().map(|record| line(&plan, record)));
        let (asking, stops) = mpsc::channel(4);
        let asks = async {
            for (at, urgency) in &self.asks {
                sleep(*at).await;
                let _ = asking.send(Ask::Interrupt(*urgency)).await;
            }
        };
        let backends = [("local".into(), self.backend)].into_iter().collect();
        let (plan, limits, home, secrets) = (Arc::clone(&plan), self.limits, self.home, Arc::default());
        let run = Run {
            plan,
            limits,
            secrets,
            backends: &backends,
            home,
            sources: &self.sources,
            stops,
            past: &Past::default(),
        };
        let (verdict, ()) = tokio::join!(super::run(run, &mut record), asks);
        lines.push(format!("exit {}", verdict.exit_code()));
        lines.join("\n")
    }
}

/// One event as a line: when, and what.
fn line(plan: &Plan, record: &Record) -> String {
    let name = |stream: StreamId| &plan.streams[stream].name;
    let step = |id: StepId| format!("{}: {}", plan.stream_of(id).name, plan.label(id));
    let what = match &record.event {
        Event::RunStarted => "run".to_owned(),
        Event::StreamOpening(id) => format!("{}: opening", name(*id)),
        Event::StreamOpened(id, host) => format!("{}: open as {host}", name(*id)),
        Event::StreamFailed(id, fault) => format!("{}: {fault:?}", name(*id)),
        Event::CleanupStarted(id) => format!("{}: finally", name(*id)),
        Event::StreamClosed(id, leaks) => format!("{}: closed{}", name(*id), left(leaks)),
        Event::StepStarted(id, round) => format!("{} #{round}", step(*id)),
        Event::StepWaiting(id) => format!("{} waits", step(*id)),
        Event::StepReady(id) => format!("{} is ready", step(*id)),
        Event::StepReleased(id) => format!("{} is released", step(*id)),
        Event::Output(id, channel, bytes) => format!("{} {channel:?} {:?}", step(*id), String::from_utf8_lossy(bytes)),
        Event::OutputCut(id, channel, bytes) => format!("{} {channel:?} cut by {bytes}", step(*id)),
        Event::StepLeaked(id, leaks) => format!("{} leaked{}", step(*id), left(leaks)),
        Event::StepRetried(id, outcome, pause) => format!("{} again in {pause:?}: {}", step(*id), shown(outcome)),
        Event::StepEnded(id, outcome) => format!("{} = {}", step(*id), shown(outcome)),
        Event::ProcessEnded(id, exit) => format!("{} process = {exit:?}", step(*id)),
        Event::BarrierReleased(id, last) => format!("{}: released by {}", plan.barrier_label(*id), name(*last)),
        Event::BarrierBroken(id, origin) => format!("{}: broken by {origin:?}", plan.barrier_label(*id)),
        Event::GateReleased(id, skew) => format!("{}: released within {skew:?}", plan.barrier_label(*id)),
        Event::Interrupted(urgency) => format!("interrupted: {urgency:?}"),
        Event::JournalFailed(why) => format!("journal failed: {why}"),
        Event::ValueMade(id, _) => format!("{} is made", plan.values[*id].name),
        Event::StepTaken(id, outcome) => format!("{} taken: {}", step(*id), shown(outcome)),
        Event::RunTimedOut => "run timed out".to_owned(),
        Event::RunEnded(verdict) => format!("end {}", verdict.exit_code()),
    };
    format!("{:>4} {what}", record.at.as_millis())
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(Reason::Exit(exit)) => format!("{exit:?}"),
        Outcome::Failed(reason) => format!("{reason:?}"),
        Outcome::Passed
        | Outcome::TimedOut(_)
        | Outcome::Unreachable(_)
        | Outcome::Lost(_)
        | Outcome::Broken(_)
        | Outcome::Cancelled(_)
        | Outcome::Skipped => format!("{outcome:?}"),
    }
}

fn left(leaks: &[Leak]) -> String {
    leaks.iter().flat_map(|leak| [" ", &leak.command]).collect()
}

#[tokio::test(start_paused = true)]
async fn two_streams_meet() {
    let story = Story::of("a: $ 200ms, print hello; barrier x\n b: barrier x; $ exit 3; finally; $ print bye");
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 b: opening
       0 a: open as a
       0 b: open as b
       0 a: 200ms, print hello #1
       0 b: barrier x #1
       0 b: barrier x waits
     200 a: 200ms, print hello Stdout "hello\n"
     200 a: 200ms, print hello = Passed
     200 a: barrier x #1
     200 barrier x: released by a
     200 a: barrier x = Passed
     200 b: barrier x = Passed
     200 b: exit 3 #1
     200 b: exit 3 = Status(3)
     200 b: finally
     200 b: print bye #1
     200 a: closed
     200 b: print bye Stdout "bye\n"
     200 b: print bye = Passed
     200 b: closed
     200 end 1
    exit 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_takes_too_long_is_asked_then_killed() {
    let mut story = Story::of("a: $ deaf, forever; finally; $ print clean");
    story.limits.step = Duration::from_secs(5);
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: deaf, forever #1
    15000 a: deaf, forever = TimedOut(5s)
    15000 a: finally
    15000 a: print clean #1
    15000 a: print clean Stdout "clean\n"
    15000 a: print clean = Passed
    15000 a: closed
    15000 end 4
    exit 4
    "#);
}

#[tokio::test(start_paused = true)]
async fn asked_once_it_cleans_up_asked_twice_it_ends_at_once() {
    let text = "a: $ slowly 2s, forever; finally; $ forever";
    let once = Story::of(text).asked(Duration::from_secs(1), Urgency::Orderly);
    let twice = once.asked(Duration::from_secs(4), Urgency::AtOnce);
    insta::assert_snapshot!(twice.told().await, @"
       0 run
       0 a: opening
       0 a: open as a
       0 a: slowly 2s, forever #1
    1000 interrupted: Orderly
    3000 a: slowly 2s, forever = Cancelled(Interrupt)
    3000 a: finally
    3000 a: forever #1
    5000 interrupted: AtOnce
    5000 a: forever = Cancelled(Interrupt)
    5000 a: closed
    5000 end 130
    exit 130
    ");
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_step_and_is_our_own_fault() {
    let story = Story::of("a: $ 1s, panic; $ print never\n b: $ 2s, print goes on");
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 b: opening
       0 a: open as a
       0 b: open as b
       0 a: 1s, panic #1
       0 b: 2s, print goes on #1
    1000 a: 1s, panic = NotStarted("mstream itself failed here, which is a bug: the script says so")
    1000 a: print never = Skipped
    1000 a: closed
    2000 b: 2s, print goes on Stdout "goes on\n"
    2000 b: 2s, print goes on = Passed
    2000 b: closed
    2000 end 70
    exit 70
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_open_is_unreachable() {
    let opening =
        Opening { takes: Duration::from_secs(2), fails: Some("nobody there".to_owned()), ..Opening::default() };
    let story = Story::of("a: $ print never\n b: $ print b").opening("a", opening);
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 b: opening
       0 b: open as b
    2000 a: Unreachable("nobody there")
    2000 a: print never = Unreachable("nobody there")
    2000 b: print b #1
    2000 a: closed
    2000 b: print b Stdout "b\n"
    2000 b: print b = Passed
    2000 b: closed
    2000 end 3
    exit 3
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_too_slowly_is_given_up() {
    let opening = Opening { takes: Duration::from_mins(1), ..Opening::default() };
    let story = Story::of("a: $ print never").opening("a", opening);
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
    10000 a: Unreachable("no answer within 10s")
    10000 a: print never = Unreachable("no answer within 10s")
    10000 a: closed
    10000 end 3
    exit 3
    "#);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_behind_is_said() {
    let leaves = vec![Leak { pid: 7, command: "daemon".into() }];
    let opening = Opening { closing: Duration::from_secs(1), leaves, ..Opening::default() };
    let story = Story::of("a: $ leave child, exit 0").opening("a", opening);
    insta::assert_snapshot!(story.told().await, @"
       0 run
       0 a: opening
       0 a: open as a
       0 a: leave child, exit 0 #1
       0 a: leave child, exit 0 leaked child
       0 a: leave child, exit 0 = Passed
    1000 a: closed daemon
    1000 end 5
    exit 5
    ");
}
