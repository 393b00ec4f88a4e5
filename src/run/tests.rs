//! Stories in virtual time: the code of each step is the script of its process. The whole way from the plan to the
//! events, with nothing replaced but the far end.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::backend::local::LocalBackend;
use crate::backend::scripted::{Opening, ScriptedBackend};
use crate::event::{Event, Leak, Outcome, Reason};
use crate::plan::sketch::sketch;
use crate::plan::{Barrier, CodeId, Expr, Extra, Handle, HandleId, Probe, Produced, StepKind};
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
        let home = Home { id: "r1".into(), folder: "/".into(), tmp: "/nowhere".into(), files: "/files".into() };
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
        let mut record = |record: &Record| lines.push(line(&plan, record));
        let (asking, stops) = mpsc::channel(4);
        let asks = async {
            for (at, urgency) in &self.asks {
                sleep(*at).await;
                let _ = asking.send(*urgency).await;
            }
        };
        let backends = [("local".into(), self.backend)].into_iter().collect();
        let (plan, limits, home, secrets) = (Arc::clone(&plan), self.limits, self.home, Arc::default());
        let run = Run { plan, limits, secrets, backends: &backends, home, sources: &self.sources, stops };
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

#[tokio::test(start_paused = true)]
async fn a_background_process_is_ready_when_its_probe_says_so() {
    let port = Probe::Port(Expr::Constant(Value::Int(8080)));
    let story = Story::of("a: $ 250ms, listen 8080, forever; $ 1s, print used").start(
        "250ms, listen 8080, forever",
        Some(port),
        None,
    );
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
     300 a: start web is ready
     300 a: start web = Passed
     300 a: 1s, print used #1
    1300 a: 1s, print used Stdout "used\n"
    1300 a: 1s, print used = Passed
    1300 a: start web process = Signal(15)
    1300 a: closed
    1300 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_line_of_output_makes_it_ready() {
    let code = "print not yet, 1s, warn now listening, forever";
    let story = Story::of(&format!("a: $ {code}; $ print used")).start(code, Some(Probe::Output("^now".into())), None);
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
       0 a: start web Stdout "not yet\n"
    1000 a: start web Stderr "now listening\n"
    1000 a: start web is ready
    1000 a: start web = Passed
    1000 a: print used #1
    1000 a: print used Stdout "used\n"
    1000 a: print used = Passed
    1000 a: start web process = Signal(15)
    1000 a: closed
    1000 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_whether_it_lives_until_it_does_not() {
    let story =
        Story::of("a: $ 1s, forever; $ forever").start("1s, forever", None, Some("250ms, print unheard, exit 2"));
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
       0 a: start web is ready
       0 a: start web = Passed
       0 a: forever #1
     350 a: start web process = Signal(15)
     350 a: forever = Background(StepId(0), "the probe ended with status 2")
     350 a: closed
     350 end 1
    exit 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_no_answer() {
    let story = Story::of("a: $ 1s, forever; $ forever").start("1s, forever", None, Some("forever"));
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
       0 a: start web is ready
       0 a: start web = Passed
       0 a: forever #1
    10100 a: start web process = Signal(15)
    10100 a: forever = Background(StepId(0), "the probe took longer than 10s")
    10100 a: closed
    10100 end 1
    exit 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_while_it_gets_ready_is_asked_no_more() {
    let file = Probe::File(Expr::Constant(Value::Text("/up".into())));
    let story = Story::of("a: $ 1s, exit 9; $ print never").start("1s, exit 9", Some(file), None);
    insta::assert_snapshot!(story.told().await, @"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
    1000 a: start web = Status(9)
    1000 a: print never = Skipped
    1000 a: closed
    1000 end 1
    exit 1
    ");
}

#[tokio::test(start_paused = true)]
async fn a_prepared_process_goes_when_it_is_triggered() {
    let text = "a: $ print go, 1s; $ 2s; $ exit 0; $ exit 1";
    let story =
        Story::of(text).prepare("print go, 1s").becomes("exit 0", StepKind::Trigger).becomes("exit 1", StepKind::Join);
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: prepare web #1
       0 a: prepare web is ready
       0 a: prepare web = Passed
       0 a: 2s #1
    2000 a: 2s = Passed
    2000 a: trigger web #1
    2000 a: prepare web is released
    2000 a: trigger web = Passed
    2000 a: wait web #1
    2000 a: wait web waits
    2000 a: prepare web Stdout "go\n"
    3000 a: prepare web process = Status(0)
    3000 a: wait web = Passed
    3000 a: closed
    3000 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_gate_lets_all_go_as_one() {
    let text = "a: $ 1s, exit 0; $ print together a\n b: $ print together b";
    let story = Story::of(text).together(&["print together a", "print together b"]);
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 b: opening
       0 a: open as a
       0 b: open as b
       0 a: 1s, exit 0 #1
       0 b: print together b #1
       0 b: print together b is ready
       0 b: print together b waits
    1000 a: 1s, exit 0 = Passed
    1000 a: print together a #1
    1000 a: print together a is ready
    1000 start together: released by a
    1000 a: print together a is released
    1000 b: print together b is released
    1000 a: print together a Stdout "together a\n"
    1000 a: print together a = Passed
    1000 start together: released within 0ns
    1000 b: print together b Stdout "together b\n"
    1000 b: print together b = Passed
    1000 a: closed
    1000 b: closed
    1000 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_let_keeps_what_was_printed_and_another_stream_uses_it() {
    let mut story = Story::of("a: $ 1s, print 42\n b: $ print got");
    let (step, code) = story.step("1s, print 42");
    let (user, its_code) = story.step("print got");
    let value = story.plan.values.push(Produced { name: "x".into(), step, users: vec![user] });
    story.plan.steps[step].kind = StepKind::Capture(value, code);
    story.plan.steps[user].extra.get_or_insert_default().needs.push(crate::plan::Need::Value(value));
    let exec = crate::code::Interpreter { name: "exec".into(), command: vec![], dialect: crate::code::Dialect::Exec };
    story.plan.codes[its_code].interpreter = story.plan.interpreters.push(exec);
    story.plan.codes[its_code].holes =
        [Expr::Constant(Value::Text("print".into())), Expr::Value(value, crate::plan::Field::Whole)].into();
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 b: opening
       0 a: open as a
       0 b: open as b
       0 a: let x #1
       0 b: print got waits
    1000 a: let x Stdout "42\n"
    1000 a: let x = Passed
    1000 b: print got #1
    1000 b: print got Stdout "42\n"
    1000 b: print got = Passed
    1000 a: closed
    1000 b: closed
    1000 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn files_are_put_and_fetched_and_never_outside() {
    let mut story = Story::of("a: $ 1; $ 2; $ 3");
    let text = |text: &str| Expr::Constant(Value::Text(text.into()));
    let paths = [("conf", "/etc/conf"), ("/etc/conf", "back/"), ("/etc/conf", "../out")];
    for (index, (from, to)) in paths.into_iter().enumerate() {
        let step = StepId(u32::try_from(index).unwrap());
        story.plan.steps[step].kind = if index == 0 { StepKind::Put } else { StepKind::Get };
        story.plan.steps[step].extra =
            Some(Box::new(Extra { paths: Some((text(from), text(to))), ..Extra::default() }));
    }
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: put #1
       0 a: put = Passed
       0 a: get #1
       0 a: get = Passed
       0 a: get #1
       0 a: get = Error("`../out` leads out of the folder of the run")
       0 a: closed
       0 end 1
    exit 1
    "#);
}

impl Story {
    /// On real streams of this machine, in that folder.
    fn local(mut self, folder: &Path) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test inherits what it was started with")]
        let env = std::env::vars_os().collect();
        self.backend = Arc::new(LocalBackend::new(env));
        self.home = Home { folder: folder.into(), tmp: folder.join("tmp"), files: folder.join("files"), ..self.home };
        self
    }
}

/// What was told, without times and in alphabetical order, as real streams answer when they like.
fn unordered(told: &str) -> String {
    let mut lines: Vec<&str> = told
        .lines()
        .map(|line| line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']))
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[tokio::test]
async fn a_real_run_of_local_streams() {
    let folder = tempfile::tempdir().unwrap();
    let text = "a: $ echo one; barrier x; $ no-such-command\n b: barrier x; $ pwd > here; finally; $ cat here";
    let told = Story::of(text).local(folder.path()).told().await;
    let told = unordered(&told.replace(&folder.path().display().to_string(), "HERE"));
    insta::assert_snapshot!(told, @r#"
    a: barrier x #1
    a: barrier x = Passed
    a: closed
    a: echo one #1
    a: echo one = Passed
    a: echo one Stdout "one\n"
    a: no-such-command #1
    a: no-such-command = Status(127)
    a: no-such-command Stderr "story.ms: 1: no-such-command: not found\n"
    a: open as 127.0.0.1
    a: opening
    b: barrier x #1
    b: barrier x = Passed
    b: barrier x waits
    b: cat here #1
    b: cat here = Passed
    b: cat here Stdout "HERE\n"
    b: closed
    b: finally
    b: open as 127.0.0.1
    b: opening
    b: pwd > here #1
    b: pwd > here = Passed
    barrier x: released by a
    end 1
    exit 1
    run
    "#);
    let left: Vec<_> = Path::read_dir(&folder.path().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn real_processes_start_as_one_and_their_files_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let text = "a: $ sleep 0.2 && echo made > new; $ sleep 0.05; $ 1\n b: $ sleep 0.06; $ 2";
    let mut story = Story::of(text).together(&["sleep 0.05", "sleep 0.06"]).local(folder.path());
    let (from, to) = ("new", "back/");
    let constant = |text: &str| Expr::Constant(Value::Text(text.into()));
    for (code, kind, from, to) in [("1", StepKind::Get, from, to), ("2", StepKind::Put, "none", "x")] {
        let (step, _) = story.step(code);
        let paths = Some((constant(from), constant(to)));
        (story.plan.steps[step].kind, story.plan.steps[step].extra) =
            (kind, Some(Box::new(Extra { paths, ..Extra::default() })));
    }
    let told = story.told().await.replace(&folder.path().display().to_string(), "HERE");
    let skew = told.lines().find_map(|line| line.split_once("released within ")).unwrap().1;
    let told = unordered(&told.replace(skew, "SKEW"));
    insta::assert_snapshot!(told, @r#"
    a: closed
    a: get #1
    a: get = Passed
    a: open as localhost
    a: opening
    a: sleep 0.05 #1
    a: sleep 0.05 = Passed
    a: sleep 0.05 is ready
    a: sleep 0.05 is released
    a: sleep 0.2 && echo made > new #1
    a: sleep 0.2 && echo made > new = Passed
    b: closed
    b: open as localhost
    b: opening
    b: put #1
    b: put = Error("cannot read HERE/none: No such file or directory (os error 2)")
    b: sleep 0.06 #1
    b: sleep 0.06 = Passed
    b: sleep 0.06 is ready
    b: sleep 0.06 is released
    b: sleep 0.06 waits
    end 1
    exit 1
    run
    start together: released by a
    start together: released within SKEW
    "#);
    assert!(skew.ends_with("µs") || skew.ends_with("ms"), "{skew}");
    assert!(folder.path().join("files/a/back/new").is_file());
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let story = Story::of("a: $ setsid sleep 1020 & echo $! > pid && wait").local(folder.path());
    let pid = async {
        loop {
            let mut text = String::new();
            let read = std::fs::File::open(folder.path().join("pid"));
            if read.and_then(|mut file| std::io::Read::read_to_string(&mut file, &mut text)).is_ok()
                && text.ends_with('\n')
            {
                break text.trim().to_owned();
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    let pid = tokio::select! {
        told = story.told() => panic!("{told}"),
        pid = pid => pid,
    };
    let process = Path::new("/proc").join(pid).join("exe");
    for _ in 0..500 {
        // What a zombie executed can no longer be read.
        if process.read_link().is_err() {
            return;
        }
        sleep(Duration::from_millis(2)).await;
    }
    panic!("it lives");
}
