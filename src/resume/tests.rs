//! A journal cut and flipped at every byte; and all runs of small plans, cut anywhere, against another way to find the
//! last point that all streams had passed.

use std::sync::Arc;
use std::time::Duration;

use indexmap::{IndexMap, IndexSet};

use super::*;
use crate::engine::{Action, Captured, End, Engine, Input, Limits, Past};
use crate::event::{Event, Exit, Made};
use crate::plan::sketch::sketch;
use crate::plan::{Options, Plan, StepId, StepKind};
use crate::scenario::StreamId;

const SPEC: &str = include_str!("../../spec/events.md");

fn sealed(lines: impl Iterator<Item = String>) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        let from = out.len();
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
        seal(&mut out, from);
    }
    out
}

/// A journal with every event in it: the examples of the book.
fn sample() -> Vec<u8> {
    let lines = SPEC.lines().filter(|line| line.starts_with("{\"v\":") && line.contains("\"seq\":"));
    let lines = lines.filter(|line| !line.contains("\"crc\""));
    let renumbered = lines.enumerate().map(|(at, line)| {
        let (_, rest) = line.split_once(",\"t\"").unwrap();
        format!("{{\"v\":1,\"seq\":{at},\"t\"{rest}")
    });
    sealed(renumbered)
}

/// Reads it, and has a story made of it: nothing of either may panic.
fn told(journal: &[u8]) -> Result<Extent, Broken> {
    let plan =
        Arc::new(sketch("web: $ serve; barrier loaded; finally; $ clean\ndb: $ load; barrier loaded; let probe $ ask"));
    let mut story = Story::new(&plan);
    let extent = read(journal, &mut |_, entry| {
        let _ = story.record(entry);
        Ok(())
    });
    let _ = past(&plan, &story, Known::default());
    extent
}

#[test]
fn the_book_shows_a_sealed_line() {
    let line = SPEC.lines().find(|line| line.starts_with("{\"v\":") && line.contains("\"crc\"")).unwrap();
    let bare = format!("{}}}", line.split_once(",\"crc\"").unwrap().0);
    assert_eq!(String::from_utf8(sealed([bare].into_iter())).unwrap(), format!("{line}\n"));
}

#[test]
fn a_journal_is_cut_at_every_byte() {
    let journal = sample();
    let whole = told(&journal).unwrap();
    assert!(whole.records > 40 && whole.torn == 0, "{whole:?}");
    for cut in 0..journal.len() {
        let before = &journal[..cut];
        let records = memchr::memchr_iter(b'\n', before).count() as u64;
        let torn = cut - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        assert_eq!(told(before), Ok(Extent { records, torn }), "cut at byte {cut}");
    }
}

#[test]
fn a_journal_is_flipped_at_every_byte() {
    let journal = sample();
    for at in 0..journal.len() {
        let record = memchr::memchr_iter(b'\n', &journal[..at]).count() as u64;
        for pattern in [1 << (at % 8), journal[at] ^ b'\n'] {
            let mut other = journal.clone();
            other[at] ^= pattern;
            if other[at] != journal[at] {
                assert_eq!(told(&other), Err(Broken::Damaged(record)), "byte {at} with {pattern:#x}");
            }
        }
    }
}

#[test]
fn what_is_whole_and_does_not_belong_there_is_refused() {
    let lines: Vec<String> = String::from_utf8(sample()).unwrap().lines().map(str::to_owned).collect();
    let without = |gone: usize| {
        let left = lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| format!("{line}\n"));
        left.collect::<String>()
    };
    assert_eq!(told(without(7).as_bytes()), Err(Broken::Missing(7, 8)));
    let newer = sealed(["{\"v\":2,\"seq\":0,\"event\":\"run_started\"}".to_owned()].into_iter());
    assert_eq!(told(&newer), Err(Broken::OtherForm(0, 2)));
    let bare = sealed(["{\"v\":1,\"seq\":0,\"event\":\"step_started\"}".to_owned()].into_iter());
    assert_eq!(told(&bare).unwrap_err().to_string(), "record 0 cannot be understood: it lacks `step`");
    assert_eq!(told(&vec![b'x'; LONGEST + 2]), Err(Broken::TooLong(0)));
    assert_eq!(told(&vec![b'x'; LONGEST]), Ok(Extent { records: 0, torn: LONGEST }));
}

#[test]
fn records_say_what_happened_and_the_story_how_it_ended() {
    let lines = [
        "\"event\":\"run_started\",\"run\":\"r1\",\"mstream\":\"0\",\"steps\":2",
        "\"event\":\"step_started\",\"stream\":\"a\",\"step\":1",
        "\"event\":\"step_ended\",\"stream\":\"a\",\"step\":1,\"outcome\":\"passed\"",
        "\"event\":\"value_made\",\"stream\":\"a\",\"step\":1,\"value\":\"x\"",
        "\"event\":\"value_made\",\"stream\":\"a\",\"step\":1,\"value\":\"x\",\"secret\":true",
        "\"event\":\"interrupted\",\"urgency\":\"orderly\"",
        "\"event\":\"something_later\"",
        "\"event\":\"run_ended\",\"exit_code\":4",
    ];
    let journal = sealed(lines.iter().enumerate().map(|(at, rest)| format!("{{\"v\":1,\"seq\":{at},{rest}}}")));
    let plan = Arc::new(sketch("a: $ one; $ two"));
    let mut story = Story::new(&plan);
    let mut entries = Vec::new();
    let extent = read(&journal[..], &mut |_, entry| {
        assert_eq!(story.exit_code(), None);
        entries.push(entry.clone());
        story.record(entry)
    });
    assert_eq!(extent, Ok(Extent { records: 8, torn: 0 }));
    let step = StepId(1);
    let passed = Entry::StepEnded(step, Some(crate::event::Outcome::Passed));
    let made = [Entry::ValueMade(step, false), Entry::ValueMade(step, true)];
    let rest = [Entry::Halted, Entry::Other, Entry::RunEnded(4)];
    assert_eq!(entries[1..], [&[Entry::StepStarted(step), passed], &made[..], &rest].concat());
    assert_eq!(story.exit_code(), Some(4));
}

#[test]
fn what_was_done_in_a_container_is_gone_with_it_where_it_is_still_needed() {
    let goes_on = |text: &str| {
        let mut plan = sketch(text);
        let made = plan.streams.ids().next().unwrap();
        plan.streams[made].kind = "docker".into();
        plan.streams[made]
            .keys
            .push(("image".into(), crate::plan::Expr::Constant(crate::syntax::Value::Text("busybox".into()))));
        let whole = run(&Arc::new(plan.clone()), &Past::default(), 1);
        refused(&plan, &whole, |event| matches!(event, Event::BarrierReleased(..)), &[])
    };
    assert_eq!(goes_on("a: $ one; barrier x\nb: barrier x; $ two"), "goes on after 3 steps");
    for text in [
        "a: $ one; barrier x; $ more\nb: barrier x; $ two",
        "a: $ one; barrier x; finally; $ clean\nb: barrier x; $ two",
    ] {
        assert!(goes_on(text).contains("container"), "{}", goes_on(text));
    }
}

#[test]
fn values_come_back_as_they_were_and_a_torn_end_is_left_out() {
    use crate::syntax::Value;
    let plan = sketch("a: let x $ one; let y $ two; let z $ three");
    let ids: Vec<_> = plan.values.ids().collect();
    let output = |stdout: &str| Made::Output {
        stdout: Value::Text(stdout.into()),
        stderr: Value::Bytes([0xff, b'\n'].as_slice().into()),
        exit: Some(3),
        duration: Duration::from_micros(1_234_567),
    };
    let map = [("k".into(), Value::Size(7)), ("l".into(), Value::Regex("a+".into()))];
    let all = [
        Value::Null,
        Value::Bool(true),
        Value::Int(-7),
        Value::Float(0.1),
        Value::Duration(Duration::from_nanos(1)),
        Value::Bytes([0xff].as_slice().into()),
        Value::Map(Arc::new(map.into_iter().collect())),
    ];
    let list = Made::Value(Value::List(all.into_iter().collect()));
    let mut file = Vec::new();
    keep(ids[0], &output("once"), &mut file);
    keep(ids[1], &list, &mut file);
    keep(ids[0], &output("again\n"), &mut file);
    let before = file.len();
    keep(ids[2], &output(""), &mut file);
    let both = IndexMap::from([(ids[0], output("again\n")), (ids[1], list)]);
    for cut in before..file.len() {
        assert_eq!(kept(&file[..cut], &plan), both, "cut at byte {cut}");
    }
    assert_eq!(kept(&file[..], &plan).len(), 3);
    for at in 0..file.len() {
        let mut other = file.clone();
        other[at] ^= 0x40;
        assert!(
            kept(&other[..], &plan)
                .values()
                .all(|made| [&both[0], &both[1], &output("once"), &output("")].contains(&made))
        );
    }
}

/// A plan whose code may all run twice.
fn resumable(text: &str) -> Arc<Plan> {
    let mut plan = sketch(text);
    for code in plan.codes.ids().collect::<Vec<_>>() {
        let options = plan.codes[code].options.take().map_or_else(Options::default, |options| *options);
        plan.codes[code].options = Some(Box::new(Options { resumable: true, ..options }));
    }
    Arc::new(plan)
}

/// What a journal would have of an event.
fn entry(plan: &Plan, event: &Event) -> Entry {
    let name = |stream: StreamId| Arc::clone(&plan.streams[stream].name);
    match event {
        Event::RunStarted => {
            let steps = plan.steps.len() as u64;
            Entry::RunStarted { run: "r1".into(), mstream: "0".into(), steps, resumed: None }
        }
        Event::StepStarted(step, _) => Entry::StepStarted(*step),
        Event::StepEnded(step, outcome) => Entry::StepEnded(*step, Some(outcome.clone())),
        Event::StepTaken(step, outcome) => Entry::StepTaken(*step, Some(outcome.clone())),
        Event::ValueMade(value, made) => Entry::ValueMade(plan.values[*value].step, made.is_none()),
        Event::ProcessEnded(step, exit) => Entry::ProcessEnded(*step, exit.clone()),
        Event::BarrierReleased(barrier, _) => Entry::BarrierReleased(*barrier),
        Event::CleanupStarted(stream) => Entry::CleanupStarted(name(*stream)),
        Event::StreamClosed(stream, _) => Entry::StreamClosed(name(*stream)),
        Event::RunEnded(verdict) => Entry::RunEnded(verdict.exit_code()),
        Event::Interrupted(_) | Event::RunTimedOut | Event::JournalFailed(_) => Entry::Halted,
        Event::StreamOpening(_)
        | Event::StreamOpened(..)
        | Event::StreamFailed(..)
        | Event::StepWaiting(_)
        | Event::StepReady(_)
        | Event::StepReleased(_)
        | Event::Output(..)
        | Event::OutputCut(..)
        | Event::StepLeaked(..)
        | Event::StepRetried(..)
        | Event::BarrierBroken(..)
        | Event::GateReleased(..) => Entry::Other,
    }
}

/// A run to its end in a world where all goes well, what is answered first chosen by `dice`; its events.
fn run(plan: &Arc<Plan>, past: &Past, mut dice: u64) -> Vec<Event> {
    let mut engine = Engine::resume(Arc::clone(plan), Limits::default(), Arc::default(), past);
    let (mut events, mut owed) = (Vec::new(), vec![Input::Begin]);
    while !engine.done() {
        let input = if owed.is_empty() {
            Input::Tick
        } else {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            owed.swap_remove(usize::try_from(dice >> 33).unwrap() % owed.len())
        };
        let now = if input == Input::Tick { engine.deadline().expect("it hangs") } else { Duration::ZERO };
        for action in engine.handle(input, now) {
            answer(plan, action, &mut owed, &mut events);
        }
    }
    assert!(plan.streams.ids().all(|stream| engine.passed(stream)));
    events
}

fn answer(plan: &Plan, action: Action, owed: &mut Vec<Input>, events: &mut Vec<Event>) {
    let end = |step, exit| {
        let captured = Captured { stdout: format!("{step:?}").into_bytes(), stderr: Vec::new() };
        Input::Ended(step, End { exit, captured: Some(Box::new(captured)) })
    };
    match action {
        Action::Open(stream) => owed.push(Input::Opened(stream, plan.streams[stream].name.clone())),
        Action::Close(stream) => owed.push(Input::Closed(stream, Vec::new())),
        Action::Run(step) => {
            let it = &plan.steps[step];
            let staged = matches!(it.kind, StepKind::Prepare(_)) || it.gate().is_some();
            owed.push(match it.kind {
                StepKind::Start(_) => Input::Ready(step),
                _ if staged => Input::Staged(step),
                StepKind::Run(_)
                | StepKind::Capture(..)
                | StepKind::Evaluate(_)
                | StepKind::Stop(_)
                | StepKind::Prepare(_)
                | StepKind::Trigger(_)
                | StepKind::Join(_)
                | StepKind::Barrier(_)
                | StepKind::Signal
                | StepKind::Wait(_)
                | StepKind::Expect
                | StepKind::Put
                | StepKind::Get => end(step, Exit::Status(0)),
            });
        }
        Action::Release(step) => owed.push(end(step, Exit::Status(0))),
        Action::ReleaseAll(_, steps) => owed.extend(steps.into_iter().map(|step| end(step, Exit::Status(0)))),
        Action::Stop(step, _) => owed.push(end(step, Exit::Signal(15))),
        Action::Record(event) => events.push(event),
    }
}

fn story(plan: &Arc<Plan>, events: &[Event]) -> Story {
    let mut story = Story::new(plan);
    for event in events {
        story.record(entry(plan, event)).unwrap();
    }
    story
}

fn values(events: &[Event]) -> Known {
    let made = events.iter().filter_map(|event| {
        if let Event::ValueMade(value, Some(made)) = event { Some((*value, made.clone())) } else { None }
    });
    Known { begun: IndexSet::new(), values: made.collect() }
}

/// Whether nothing before these points depends on something behind them: all arrows of the plan, one by one.
fn consistent(plan: &Plan, points: &[StepId]) -> bool {
    let before = |step: StepId| {
        let stream = plan.steps[step].stream;
        plan.streams[stream].timeline.contains(&step) && step < points[stream.0 as usize]
    };
    let mut arrows: Vec<(StepId, StepId)> = Vec::new();
    for barrier in plan.barriers.values() {
        arrows.extend(barrier.parties.iter().flat_map(|a| barrier.parties.iter().map(move |b| (*a, *b))));
    }
    for signal in plan.signals.values() {
        arrows.extend(signal.from.iter().flat_map(|a| signal.to.iter().map(move |b| (*a, *b))));
    }
    for value in plan.values.values() {
        arrows.extend(value.users.iter().map(|user| (value.step, *user)));
    }
    arrows.into_iter().all(|(first, then)| before(first) || !before(then))
}

/// The last points by trying all there are.
fn oracle(plan: &Plan, reached: &[Vec<StepId>]) -> Vec<StepId> {
    let mut best: Option<Vec<StepId>> = None;
    let mut choice = vec![0; reached.len()];
    loop {
        let points: Vec<StepId> = choice.iter().zip(reached).map(|(at, all): (&usize, _)| all[*at]).collect();
        if consistent(plan, &points) {
            let join = |best: Vec<StepId>| best.iter().zip(&points).map(|(a, b)| *a.max(b)).collect();
            best = Some(best.map_or_else(|| points.clone(), join));
        }
        let Some(next) = (0..choice.len()).find(|at| choice[*at] + 1 < reached[*at].len()) else { break };
        choice[next] += 1;
        choice[..next].fill(0);
    }
    let best = best.unwrap();
    assert!(consistent(plan, &best), "there is one last cut");
    best
}

/// The points that each stream had passed: its beginning, behind its barriers, its end.
fn reached(plan: &Plan, events: &[Event]) -> Vec<Vec<StepId>> {
    let released = |step: StepId| {
        let meets =
            |event: &&Event| matches!(event, Event::BarrierReleased(id, _) if plan.steps[step].barrier() == Some(*id));
        events.iter().find(meets).is_some()
    };
    let passed = |step: StepId| events.iter().any(|event| matches!(event, Event::StepEnded(of, _) if *of == step));
    let of = |stream: &crate::plan::Stream| {
        let behind = Plan::range(&stream.timeline).filter(|step| released(*step)).map(|step| StepId(step.0 + 1));
        let over = Plan::range(&stream.timeline).all(|step| passed(step) || released(step));
        let end = over.then_some(stream.timeline.end);
        let mut all: Vec<StepId> = [stream.timeline.start].into_iter().chain(behind).chain(end).collect();
        all.dedup();
        all
    };
    plan.streams.values().map(of).collect()
}

const PLANS: [&str; 6] = [
    "a: $ one; barrier x; $ two; barrier y; $ three\n b: $ four; barrier x; $ five; barrier y",
    "a: $ one; barrier x; $ two; signal up; barrier y\n b: barrier x; $ three; barrier z\n c: wait up; $ four; barrier z; barrier y",
    "a: let v $ one; barrier x; $ two; finally; $ clean\n b: use v $ three; barrier y\n c: barrier x; $ four; barrier y",
    "a: start web $ serve; barrier x; $ two; stop web; barrier y\n b: prepare load $ go; barrier x; trigger load; barrier y; join load",
    "a: retry 2 1s {; $ one; $ two; }; barrier x; together go $ three; barrier y\n b: barrier x; together go $ four; barrier y; $ five",
    "a: $ one; barrier x\n b: barrier x; $ two; barrier y\n c: barrier y; $ three\n d: $ four; $ five\n finale: $ last",
];

#[test]
fn every_run_cut_anywhere_goes_on_from_the_last_points_and_does_the_rest_once() {
    let mut cuts = 0;
    for (text, dice) in PLANS.iter().flat_map(|text| (0..12).map(move |dice| (text, dice))) {
        let plan = resumable(text);
        let whole = run(&plan, &Past::default(), dice);
        for cut in 1..whole.len() {
            let events = &whole[..cut];
            let story = story(&plan, events);
            let past =
                past(&plan, &story, values(events)).unwrap_or_else(|why| panic!("{text}, cut at {cut}: {why:?}"));
            let expected = oracle(&plan, &reached(&plan, events));
            assert_eq!(past.from.values().copied().collect::<Vec<_>>(), expected, "{text}, cut at {cut} of {whole:#?}");
            goes_on(&plan, &past, events, dice);
            cuts += 1;
        }
    }
    assert!(cuts > 1_500, "{cuts}");
}

#[test]
fn a_stream_that_ends_in_a_repeat_is_over_when_it_cleans_up() {
    let plan = resumable("a: repeat 5s 2s {; $ two; }; finally; $ clean\nb: $ long");
    let whole = run(&plan, &Past::default(), 1);
    let a = plan.streams.ids().next().unwrap();
    let cleans = |event: &Event| matches!(event, Event::CleanupStarted(stream) if *stream == a);
    let begins = whole.iter().position(cleans).expect("it cleans up");
    for cut in 1..whole.len() {
        let events = &whole[..cut];
        let past = past(&plan, &story(&plan, events), values(events)).unwrap();
        assert_eq!(past.from[a] == plan.streams[a].timeline.end, cut > begins, "cut at {cut} of {whole:#?}");
    }
}

/// The rest is done once, what was done is not, and the run passes; and so it does when it is cut once more.
fn goes_on(plan: &Arc<Plan>, past: &Past, before: &[Event], dice: u64) {
    let rest = run(plan, past, dice);
    let taken: IndexSet<StepId> = past.taken.iter().map(|(step, _)| *step).collect();
    let mut started: IndexMap<StepId, u32> = IndexMap::new();
    for event in &rest {
        if let Event::StepStarted(step, _) = event {
            *started.entry(*step).or_default() += 1;
        }
    }
    for step in plan.steps.ids() {
        let times = started.get(&step).copied().unwrap_or_default();
        let expected = u32::from(!taken.contains(&step)) + u32::from(past.again.contains(&step));
        assert_eq!(times, expected, "{} of {before:#?}\nthen {rest:#?}", plan.label(step));
    }
    assert!(
        matches!(rest.last(), Some(Event::RunEnded(verdict)) if verdict.exit_code() == 0),
        "{before:#?}\nthen {rest:#?}"
    );
    let told = rest.iter().rposition(|event| matches!(event, Event::StepTaken(..))).map_or(1, |at| at + 1);
    let half = &rest[..told.max(rest.len() / 2)];
    let again = super::past(plan, &story(plan, half), values(half)).unwrap();
    let ended = run(plan, &again, dice);
    assert!(taken.iter().all(|step| again.taken.iter().any(|(other, _)| other == step)), "what was taken stays taken");
    assert!(matches!(ended.last(), Some(Event::RunEnded(verdict)) if verdict.exit_code() == 0));
}

/// What is said of a run of `text` that was killed right after `last` had happened.
fn refused(plan: &Plan, events: &[Event], last: impl Fn(&Event) -> bool, begun: &[StepId]) -> String {
    let plan = Arc::new(plan.clone());
    let cut = events.iter().position(last).expect("that happens") + 1;
    let mut known = values(&events[..cut]);
    known.begun.extend(begun);
    let sources = {
        let mut sources = crate::diagnostic::Sources::default();
        sources.add("deploy.ms", TEXT);
        sources
    };
    match past(&plan, &story(&plan, &events[..cut]), known) {
        Ok(past) => format!("goes on after {} steps", past.taken.len()),
        Err(refusals) => refusals.iter().map(|refusal| refusal.words(&plan, &sources)).collect::<Vec<_>>().join("\n"),
    }
}

const TEXT: &str = "a: start web $ serve; barrier x; $ load; $ more; finally; $ clean\nb: let v $ ask; barrier x; use v $ call; $ long";

#[test]
fn what_keeps_a_run_from_going_on_is_said_with_its_place() {
    let plan = Arc::new(sketch(TEXT));
    let whole = run(&plan, &Past::default(), 1);
    let step = |label: &str| plan.steps.ids().find(|step| plan.label(*step).contains(label)).unwrap();
    let starts = |label: &str| {
        let step = step(label);
        move |event: &Event| *event == Event::StepStarted(step, 1)
    };
    let met = |event: &Event| matches!(event, Event::BarrierReleased(..));
    insta::assert_snapshot!(refused(&plan, &whole, starts("start web"), &[]), @"
    this step had begun behind the last point that all streams had passed, and is not marked `resumable`:
      a: start web · deploy.ms:1
      help: mark what may run twice with `resumable = true` for the next time; this time run the scenario from its beginning
    ");
    insta::assert_snapshot!(refused(&plan, &whole, met, &[]), @"
    this ran in the background at the last point that all streams had passed, and is not marked `resumable`:
      a: start web · deploy.ms:1
      help: run the scenario from its beginning
    ");
    let mut two = (*plan).clone();
    let serve = two.handles.values().next().unwrap().code;
    two.codes[serve].options = Some(Box::new(Options { resumable: true, ..Options::default() }));
    insta::assert_snapshot!(refused(&two, &whole, met, &[]), @"goes on after 4 steps");
    insta::assert_snapshot!(refused(&two, &whole, met, &[step("load")]), @"
    this step had begun behind the last point that all streams had passed, and is not marked `resumable`:
      a: $ load · deploy.ms:1
      help: mark what may run twice with `resumable = true` for the next time; this time run the scenario from its beginning
    ");
    insta::assert_snapshot!(refused(&two, &whole, starts("load"), &[]), @"
    this step had begun behind the last point that all streams had passed, and is not marked `resumable`:
      a: $ load · deploy.ms:1
      help: mark what may run twice with `resumable = true` for the next time; this time run the scenario from its beginning
    ");
    insta::assert_snapshot!(refused(&two, &whole, starts("clean"), &[]), @"
    this step had begun behind the last point that all streams had passed, and is not marked `resumable`:
      a: $ clean · deploy.ms:1
      help: mark what may run twice with `resumable = true` for the next time; this time run the scenario from its beginning
    ");
    insta::assert_snapshot!(refused(&two, &whole, |event| matches!(event, Event::RunEnded(_)), &[]), @"it passed: there is nothing left to do");
}
