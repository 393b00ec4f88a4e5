//! What the engine costs: a million steps of a simulated run, and barriers beside tokio's, in the same run.

#![expect(clippy::print_stdout, reason = "a bench prints")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and its own memory")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mstream::code::{Dialect, Interpreter};
use mstream::diagnostic::Span;
use mstream::engine::{Action, End, Engine, Input, Limits};
use mstream::event::{Event, Exit};
use mstream::plan::{Barrier, BarrierId, Code, CodeId, InterpreterId, Plan, Step, StepId, StepKind, Stream};
use mstream::scenario::{Arena, Bound, Layer, StreamId};

/// How many parties are measured in all, for each size.
const PARTIES: usize = 1_000_000;

fn main() {
    million();
    println!(
        "barrier of n parties, ns a party (its three events included; a run is also the start and end of a stream):"
    );
    for size in [10, 100, 1_000, 10_000] {
        let (run, more) = (engine_run(size, 1), engine_run(size, 5));
        let (ours, theirs) = ((more - run) / 4.0, tokio_barrier(size));
        println!(
            "  n = {size:6}: engine {ours:6.1} (a run with one {run:6.1}), tokio::sync::Barrier {theirs:6.1}, ratio {:.2}",
            ours / theirs
        );
    }
}

/// 1,000 streams of 1,000 steps each: code, and a barrier of all after every 99 steps.
fn million() {
    let start = Instant::now();
    let plan = Arc::new(grow(1_000, 1_000, |step| step % 100 == 99));
    let built = start.elapsed();
    let engine = Engine::new(Arc::clone(&plan), Limits::default(), Arc::default());
    let start = Instant::now();
    let events = simulate(engine);
    let took = start.elapsed().as_secs_f64();
    println!(
        "1,000,000 steps: {took:.3} s, {:.0} ns a step, {events} events, peak {} MB with the plan ({:.3} s to build)",
        took * 1e9 / 1e6,
        peak() / 1_000_000,
        built.as_secs_f64()
    );
}

/// Runs to the end with a world that answers at once; counts the events.
fn simulate(mut engine: Engine) -> u64 {
    let mut world = VecDeque::from([Input::Begin]);
    let (mut events, mut verdict) = (0, None);
    while let Some(input) = world.pop_front() {
        for action in engine.handle(input, Duration::from_millis(events)) {
            match action {
                Action::Open(stream) => world.push_back(Input::Opened(stream, "host".into())),
                Action::Run(step) => {
                    world.push_back(Input::Ended(step, End { exit: Exit::Status(0), captured: None }));
                }
                Action::Close(stream) => world.push_back(Input::Closed(stream, Vec::new())),
                Action::Record(event) => {
                    events += 1;
                    if let Event::RunEnded(it) = event {
                        verdict = Some(it.exit_code());
                    }
                }
                Action::Release(_) | Action::ReleaseAll(..) | Action::Stop(..) => {}
            }
        }
    }
    assert_eq!((verdict, engine.done()), (Some(0), true));
    events
}

/// The whole of a run in which n streams meet so many times.
fn engine_run(size: usize, meetings: usize) -> f64 {
    let plan = Arc::new(grow(size, meetings, |_| true));
    let mut took = Duration::ZERO;
    let rounds = PARTIES / size;
    for _ in 0..rounds {
        let mut engine = Engine::new(Arc::clone(&plan), Limits::default(), Arc::default());
        let start = Instant::now();
        let actions = engine.handle(Input::Begin, Duration::ZERO);
        took += start.elapsed();
        assert!(engine.done() && actions.len() > 3 * size);
    }
    per_party(took, size * rounds)
}

/// n tasks that meet again and again, on one thread.
fn tokio_barrier(size: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let rounds = PARTIES / size;
    let barrier = Arc::new(tokio::sync::Barrier::new(size));
    let start = Instant::now();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..size {
            let barrier = Arc::clone(&barrier);
            tasks.spawn(async move {
                for _ in 0..rounds {
                    barrier.wait().await;
                }
            });
        }
        tasks.join_all().await;
    });
    per_party(start.elapsed(), size * rounds)
}

fn per_party(took: Duration, parties: usize) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(u32::try_from(parties).expect("few"))
}

/// The most memory that this process had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// `streams` timelines of `steps` steps, each one code or a barrier of all streams.
fn grow(streams: usize, steps: usize, meets: impl Fn(usize) -> bool) -> Plan {
    let count = |it: usize| u32::try_from(it).expect("fewer than 2^32");
    let mut barriers: Arena<BarrierId, Barrier> = Arena::default();
    let mut kinds = Vec::new();
    for step in 0..steps {
        let parties = (0..streams).map(|stream| StepId(count(stream * steps + step))).collect();
        kinds.push(if meets(step) {
            let it = Barrier { name: Some("all".into()), round: 1, rounds: 1, parties, timeout: None, gate: false };
            StepKind::Barrier(barriers.push(it))
        } else {
            StepKind::Run(CodeId(0))
        });
    }
    let step = |index: usize| Step {
        stream: StreamId(count(index / steps)),
        span: Span::default(),
        kind: kinds[index % steps],
        extra: None,
    };
    Plan {
        title: "bench".into(),
        streams: (0..streams).map(|index| place(count(index), count(steps))).collect(),
        steps: (0..streams * steps).map(step).collect(),
        barriers,
        signals: Arena::default(),
        values: Arena::default(),
        handles: Arena::default(),
        codes: [code()].into_iter().collect(),
        groups: Arena::default(),
        interpreters: [Interpreter { name: "shell".into(), command: vec!["sh".into()], dialect: Dialect::Shell }]
            .into_iter()
            .collect(),
    }
}

fn place(index: u32, steps: u32) -> Stream {
    let (start, end) = (StepId(index * steps), StepId((index + 1) * steps));
    Stream {
        name: format!("s{index}").into(),
        kind: "local".into(),
        bound: Bound { layer: Layer::BuiltIn, span: None },
        keys: Vec::new(),
        host: None,
        index: i64::from(index),
        span: Span::default(),
        timeline: start..end,
        cleanup: end..end,
        finale: false,
    }
}

fn code() -> Code {
    Code {
        interpreter: InterpreterId(0),
        text: ":".into(),
        holes: [].into(),
        span: Span::default(),
        options: None,
        strict: false,
    }
}
