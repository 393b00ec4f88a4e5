//! What has to hold after every fault, whatever it was.
//!
//! A1 ended within its bound; A2 with its exit code; A3 no process is left; A4 nothing in a container engine; A5 no file
//! outside of the run's folder; A6 the journal is whole and agrees with the report; A7 every byte that was printed is kept
//! or said not to be; A8 a secret is seen nowhere; A9 the terminal is as it was; A10 it is said what went wrong, and where.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::trial::{Trial, command, entries, environment, having};

/// How much of one step's output on one channel is kept.
const KEPT: u64 = 64 << 20;

/// The longest that those who wait may wait after the end of whom they wait for.
const AT_ONCE: f64 = 0.25;

/// What is left when mstream was killed, and when it refused to run at all.
const KILLED: i32 = 137;
const REFUSED: [i32; 2] = [2, 6];

/// Goes through everything; what is wrong is added to the complaints.
pub(super) fn audit(trial: &mut Trial) {
    let mut wrong = Vec::new();
    end(trial, &mut wrong);
    wrong.extend(left(trial));
    records(trial, &mut wrong);
    let tty = ["before", "after"].map(|name| std::fs::read_to_string(trial.path(name)).unwrap_or_default());
    if tty[0].is_empty() || tty[0] != tty[1] {
        wrong.push(format!("A9: the terminal was {:?} and is {:?}", tty[0], tty[1]));
    }
    words(trial, &mut wrong);
    trial.complaints.extend(wrong);
}

/// A1 and A2.
fn end(trial: &Trial, wrong: &mut Vec<String>) {
    let ended = trial.ended();
    if ended.hopeless || ended.took > trial.fault.bound {
        wrong.push(format!("A1: took {:?}, and may take {:?}", ended.took, trial.fault.bound));
    }
    if ended.code != Some(trial.exit) {
        wrong.push(format!("A2: the exit code is {:?}, not {}", ended.code, trial.exit));
    }
}

/// A3 to A5, and A8: what is left, and what is shown.
pub(super) fn left(trial: &Trial) -> Vec<String> {
    let running = processes(trial).into_iter().map(|it| format!("A3: left running: {it}"));
    let engine = containers(trial).into_iter().map(|it| format!("A4: left in the engine: {it}"));
    let lying = files(trial).into_iter().map(|it| format!("A5: left behind: {it}"));
    let seen = shown(trial).into_iter().map(|it| format!("A8: the secret is seen {it}"));
    running.chain(engine).chain(lying).chain(seen).collect()
}

/// A3: the processes that are still there when their patience is over.
pub(super) fn processes(trial: &Trial) -> Vec<String> {
    let runs: Vec<Vec<u8>> = runs(trial).iter().map(|run| format!("MSTREAM_RUN={run}").into_bytes()).collect();
    let began = Instant::now();
    loop {
        let mut left = trial.descendants();
        left.extend(having(|pid| {
            let environment = environment(pid);
            let mut entries = environment.split(|byte| *byte == 0);
            entries.any(|entry| runs.iter().any(|run| run == entry)) || command(pid).contains(&trial.sleep)
        }));
        if left.is_empty() || began.elapsed() > trial.patience {
            left.sort();
            left.dedup();
            return left.iter().map(|pid| format!("{pid} {}", command(pid))).collect();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The ids of all runs of a trial.
fn runs(trial: &Trial) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    trial.run_folders().iter().filter_map(name).collect()
}

/// A4: what is left in the engine when the patience is over.
fn containers(trial: &Trial) -> Vec<String> {
    let Some(engine) = &trial.engine else { return Vec::new() };
    let began = Instant::now();
    loop {
        let left: Vec<String> = runs(trial).iter().map(|run| engine.left_of(run)).filter(|it| !it.is_empty()).collect();
        if left.is_empty() || began.elapsed() > trial.patience {
            return left;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A5: what lies about when the patience is over.
fn files(trial: &Trial) -> Vec<String> {
    let began = Instant::now();
    loop {
        let left = lying(trial);
        if left.is_empty() || began.elapsed() > trial.patience {
            return left;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn lying(trial: &Trial) -> Vec<String> {
    let mut left = Vec::new();
    for name in ["tmp", "home", "runtime"] {
        left.extend(entries(&trial.path(name)).iter().map(|entry| format!("{name}/{entry}")));
    }
    let known = |name: &str| matches!(name, ".mstream" | "test.ms") || trial.beside.contains(&name);
    left.extend(entries(&trial.path("work")).into_iter().filter(|name| !known(name)));
    for shared in ["/tmp", "/var/tmp", "/dev/shm", "/run"] {
        let ours = |entry: &String| runs(trial).iter().any(|run| entry.contains(run));
        left.extend(entries(Path::new(shared)).into_iter().filter(ours).map(|entry| format!("{shared}/{entry}")));
    }
    left.extend(trial.run_folders().iter().filter_map(|run| cgroup(run)).map(|group| format!("the {group}")));
    if let Some(sshd) = &trial.sshd {
        left.extend(sshd.temporary_files().into_iter().map(|entry| format!("the host's TMPDIR/{entry}")));
        left.extend(entries(&sshd.home("tester")).into_iter().map(|entry| format!("the host's HOME/{entry}")));
    }
    left
}

/// The control group of a run, where it is still there.
fn cgroup(run: &Path) -> Option<String> {
    let resources = std::fs::read_to_string(run.join("resources")).ok()?;
    let group = resources.split("\"cgroup\":\"").nth(1)?.split('"').next()?;
    Path::new(group).exists().then(|| format!("control group {group}"))
}

/// A6 and A7.
fn records(trial: &Trial, wrong: &mut Vec<String>) {
    let ended = trial.ended();
    let code = ended.code.unwrap_or(KILLED);
    if REFUSED.contains(&code) || code == KILLED && ended.events.is_empty() {
        return;
    }
    for (at, event) in ended.events.iter().enumerate() {
        if event["seq"] != at {
            wrong.push(format!("A6: record {at} says that it is {}", event["seq"]));
            return;
        }
    }
    let is = |event: Option<&Json>, name: &str| event.is_some_and(|event| event["event"] == name);
    if !is(ended.events.first(), "run_started") {
        wrong.push("A6: the journal does not begin with the run".to_owned());
    }
    released_at_once(&ended.events, wrong);
    nothing_begins_after_a_stop(&ended.events, wrong);
    if code == KILLED {
        return;
    }
    if !is(ended.events.last(), "run_ended") {
        wrong.push("A6: the journal does not end with the run".to_owned());
    }
    every_step_ends(&ended.events, wrong);
    if trial.machine {
        return output(trial, wrong);
    }
    if let Some(line) = totals(&ended.out) {
        let counted = counted(&ended.events);
        if line != counted {
            wrong.push(format!("A6: the report says {line:?}, and the journal {counted:?}"));
        }
    } else {
        wrong.push("A6: the report has no totals".to_owned());
    }
    output(trial, wrong);
}

fn every_step_ends(events: &[Json], wrong: &mut Vec<String>) {
    let of = |name: &str| -> Vec<&Json> { events.iter().filter(|event| event["event"] == name).collect() };
    let ends = of("step_ended");
    for started in of("step_started") {
        if !ends.iter().any(|ended| ended["step"] == started["step"]) {
            wrong.push(format!("A6: a step began and never ended: {started}"));
        }
    }
}

/// Those who wait at a barrier hear at once of the end of whom they wait for.
fn released_at_once(events: &[Json], wrong: &mut Vec<String>) {
    for broken in events.iter().filter(|event| event["event"] == "barrier_broken") {
        let origin = &broken["origin"];
        let end = if origin["step"].is_null() {
            events.iter().find(|event| event["event"] == "stream_failed" && event["stream"] == origin["stream"])
        } else {
            let ends = |event: &&Json| event["event"] == "step_ended" || event["event"] == "process_ended";
            // The step of a background process ends long before the process does.
            events
                .iter()
                .filter(ends)
                .rfind(|event| event["step"] == origin["step"] && event["seq"].as_u64() < broken["seq"].as_u64())
        };
        let late = |end: &Json| broken["t"].as_f64().unwrap_or(f64::MAX) - end["t"].as_f64().unwrap_or_default();
        match end {
            None => wrong.push(format!("A6: nothing ended before {broken}")),
            Some(end) if late(end) <= AT_ONCE => {}
            Some(end) => wrong.push(format!("A6: {broken} came {} s after {end}", late(end))),
        }
    }
}

/// After a stop nothing begins but what cleans up.
fn nothing_begins_after_a_stop(events: &[Json], wrong: &mut Vec<String>) {
    let Some(stop) = events.iter().position(|event| event["event"] == "interrupted") else { return };
    let at_once = events.iter().position(|event| event["event"] == "interrupted" && event["urgency"] == "at_once");
    for (at, event) in events.iter().enumerate().skip(stop) {
        let cleans = events[..at].iter().any(|it| it["event"] == "cleanup_started" && it["stream"] == event["stream"]);
        if event["event"] == "step_started" && (!cleans || at_once.is_some_and(|stop| stop < at)) {
            wrong.push(format!("A6: began after the stop: {event}"));
        }
    }
}

/// The counts of the last line of a report: the steps, and how many of each outcome.
fn totals(out: &str) -> Option<BTreeMap<String, u64>> {
    let line = out.lines().rev().find(|line| line.contains(" in ") && line.contains(" step"))?;
    let (_, counts) = line.split_once(": ")?;
    let count = |part: &str| {
        let (number, word) = part.trim().split_once(' ')?;
        Some((word.trim_end_matches("steps").trim_end_matches("step").to_owned(), number.parse().ok()?))
    };
    counts.split(',').map(count).collect()
}

fn counted(events: &[Json]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::from([(String::new(), events[0]["steps"].as_u64().unwrap_or_default())]);
    let mut last: BTreeMap<u64, &str> = BTreeMap::new();
    for event in events.iter().filter(|event| event["event"] == "step_ended") {
        last.insert(event["step"].as_u64().unwrap_or_default(), event["outcome"].as_str().unwrap_or_default());
    }
    // Where all have passed, no more is said of them.
    if last.values().all(|outcome| *outcome == "passed") {
        return counts;
    }
    for outcome in last.values() {
        *counts.entry(outcome.replace('_', " ")).or_default() += 1;
    }
    counts
}

/// A7: what stands in the files of the output is what was printed, or so much of it as is kept.
fn output(trial: &Trial, wrong: &mut Vec<String>) {
    let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut of_step: BTreeMap<(u64, String), u64> = BTreeMap::new();
    let (mut printed, mut cut) = (0, 0);
    for event in &trial.ended().events {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let step = event["step"].as_u64().unwrap_or_default();
        match event["event"].as_str().unwrap_or_default() {
            "output" => {
                let bytes = event["bytes"].as_u64().unwrap_or_default();
                let so_far = of_step.entry((step, text("channel"))).or_default();
                let kept = (*so_far + bytes).min(KEPT) - (*so_far).min(KEPT);
                *so_far += bytes;
                printed += bytes;
                cut += bytes - kept;
                *expected.entry((text("stream"), text("channel"))).or_default() += kept;
            }
            "step_ended" | "process_ended" | "step_retried" => of_step.retain(|(of, _), _| *of != step),
            _ => {}
        }
    }
    let Some(folder) = trial.run_folder() else { return };
    for ((stream, channel), bytes) in &expected {
        let ending = if channel == "stdout" { "out" } else { "err" };
        let file = folder.join(format!("output/{}.{ending}", stream.replace(['[', ']'], "")));
        let found = std::fs::metadata(&file).map_or(0, |found| found.len());
        if found != *bytes {
            wrong.push(format!("A7: {stream} printed {bytes} bytes to {channel}, and {found} are kept"));
        }
    }
    if cut > 0 && !trial.ended().out.contains("not kept") {
        wrong.push(format!("A7: {cut} of {printed} bytes are not kept, and the report does not say so"));
    }
}

/// A8: where the secret is seen.
fn shown(trial: &Trial) -> Vec<String> {
    let mut seen = Vec::new();
    let ended = trial.ended();
    let has = |bytes: &[u8]| memchr::memmem::find(bytes, trial.canary.as_bytes()).is_some();
    if has(&ended.screen) {
        seen.push("on the terminal".to_owned());
    }
    if has(ended.out.as_bytes()) {
        seen.push("on stdout".to_owned());
    }
    let mut folders = trial.run_folders();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() && has(&std::fs::read(&path).unwrap_or_default()) => {
                    seen.push(format!("in {}", path.display()));
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    seen.extend(trial.sampler.hits(&trial.canary).iter().map(|line| format!("in a list of arguments: {line}")));
    seen
}

/// A10: what is said.
fn words(trial: &Trial, wrong: &mut Vec<String>) {
    let ended = trial.ended();
    let screen = String::from_utf8_lossy(&ended.screen).into_owned();
    for words in trial.says {
        if !ended.out.contains(words) && !screen.contains(words) {
            wrong.push(format!("A10: does not say `{words}`"));
        }
    }
    if screen.contains("panicked at") || ended.out.contains("panicked at") {
        wrong.push("A10: mstream panicked".to_owned());
    }
    // Who reads of a failure has to find its place.
    if ended.code.is_some_and(|code| [1, 3, 4].contains(&code))
        && !trial.fault.placeless
        && !trial.machine
        && !ended.out.contains("test.ms:")
    {
        wrong.push("A10: the report names no place in the scenario".to_owned());
    }
}

/// Looks at the arguments of all processes of this machine, a hundred times a second.
pub(super) struct Sampler {
    seen: Arc<Mutex<Vec<String>>>,
    pub(super) samples: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// The one of all trials that go on now.
    pub(super) fn get() -> Arc<Self> {
        static SHARED: Mutex<Weak<Sampler>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let sampler = Arc::new(Self::start());
            *shared = Arc::downgrade(&sampler);
            sampler
        })
    }

    fn start() -> Self {
        let (seen, samples, over) =
            (Arc::<Mutex<Vec<String>>>::default(), Arc::default(), Arc::<AtomicBool>::default());
        let (log, count, ends) = (Arc::clone(&seen), Arc::clone(&samples), Arc::clone(&over));
        let mark = format!("zq-canary-{}-", std::process::id());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                for pid in having(|pid| command(pid).contains(&mark)) {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(command(&pid));
                }
                AtomicUsize::fetch_add(&count, 1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { seen, samples, over, thread: Some(thread) }
    }

    /// The arguments in which it has seen these words.
    pub(super) fn hits(&self, words: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|line| line.contains(words)).cloned().collect()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
