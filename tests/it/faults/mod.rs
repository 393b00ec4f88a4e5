//! The fault rig: each fault is committed for real, and after each the whole [`audit`] has to hold.
//!
//! A fault is data: what happens, to which scenario, and what mstream then does. `spec/reliability.md` has one row of each,
//! which a test holds against this data. `tests/soak` runs every fault many times over.

#![expect(clippy::print_stdout, reason = "tests/soak counts what is told here")]

mod audit;
mod calls;
mod containers;
mod coordinator;
mod disk;
mod hosts;
mod input;
mod journal;
mod kills;
mod meetings;
mod processes;
mod table;
mod terminal;
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::audit::{Sampler, audit};
use self::trial::Trial;

/// A fault.
pub(crate) struct Fault {
    id: &'static str,
    title: &'static str,
    /// How it is committed, in words for the table.
    how: &'static str,
    /// What mstream does then, in words for the table.
    does: &'static str,
    kind: Kind,
    /// At which streams: `FAR` in the scenario is one of each.
    on: &'static [Place],
    /// The scenario; `SLEEP` in it sleeps for as long as nobody else.
    text: &'static str,
    options: &'static [&'static str],
    exit: i32,
    /// What has to be said.
    says: &'static [&'static str],
    /// Between the fault and the end of the run.
    bound: Duration,
    /// Before the start.
    prepare: fn(&mut Trial),
    /// Once it runs. It has to see that the fault has happened, and to say so with [`Trial::fire`].
    commit: fn(&mut Trial),
    /// Looks at what this fault alone is about, when the run is over.
    after: fn(&mut Trial),
    /// It fails before any place of the scenario is reached.
    placeless: bool,
    /// It is many faults in one, and tried once, however often the others are.
    once: bool,
    /// All of it, from the start of the run to the audit.
    story: fn(&mut Trial),
}

/// A fault of which nothing is said.
const FAULT: Fault = Fault {
    id: "",
    title: "",
    how: "",
    does: "",
    kind: Kind::Step,
    on: &[Place::Local],
    text: "",
    options: &[],
    exit: 0,
    says: &[],
    bound: Duration::from_secs(10),
    prepare: |_| {},
    commit: |_| {},
    after: |_| {},
    placeless: false,
    once: false,
    story: usual,
};

/// What a fault is done to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// A stream of this machine.
    Local,
    /// A host with an sshd.
    Ssh,
    /// The same behind a cable that can be pulled.
    Cable,
    /// A container.
    Docker,
}

/// What commits a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// The code of a step.
    Step,
    /// A signal to mstream.
    Signal,
    /// A terminal, a pipe.
    Terminal,
    /// A network that is cut.
    Network,
    /// A host: its sshd, its keys.
    Host,
    /// A container engine.
    Engine,
    /// A disk.
    Disk,
    /// A system call that fails.
    Call,
    /// The clock.
    Clock,
    /// A journal that is damaged.
    Journal,
    /// A scenario, a value, a file that is hostile.
    Input,
}

/// How often faults of each kind were seen to happen.
static COUNTS: [AtomicUsize; 11] = [const { AtomicUsize::new(0) }; 11];

impl Kind {
    fn count(self) {
        COUNTS[self as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn counted(self) -> usize {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }
}

/// So many trials go on at a time; most of them wait most of the time.
const WORKERS: usize = 4;

/// How often every fault is tried: `tests/soak` asks for more.
fn repeats() -> usize {
    std::env::var("MSTREAM_SOAK_REPEATS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Whether everything is tried, and not only a choice of it.
fn soak() -> bool {
    repeats() > 1
}

/// From the start to the audit, as most faults go.
fn usual(trial: &mut Trial) {
    (trial.fault.prepare)(trial);
    trial.start();
    (trial.fault.commit)(trial);
    trial.end();
    (trial.fault.after)(trial);
    audit(trial);
}

/// What goes wrong in one trial.
fn complaints(fault: &'static Fault, place: Place) -> Vec<String> {
    let sampler = Sampler::get();
    let began = Instant::now();
    let before = sampler.samples.load(Ordering::Relaxed);
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let mut trial = Trial::new(fault, place, sampler.clone());
        let told = catch_unwind(AssertUnwindSafe(|| (fault.story)(&mut trial)));
        let mut wrong = std::mem::take(&mut trial.complaints);
        if let Err(panic) = told {
            wrong.push(words(&*panic));
        }
        if !trial.has_fired() {
            wrong.push("the fault never happened".to_owned());
        }
        if !wrong.is_empty() {
            wrong.push(trial.told());
        }
        wrong
    }));
    let mut wrong = tried.unwrap_or_else(|panic| vec![words(&*panic)]);
    if sampler.samples.load(Ordering::Relaxed) == before && began.elapsed() > Duration::from_secs(1) {
        wrong.push("A8: nobody looked at the arguments".to_owned());
    }
    wrong
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Commits each of these faults at each of its places. All of them have to happen, and to be survived.
fn survive(faults: &'static [Fault]) {
    let only = std::env::var("MSTREAM_FAULT").ok();
    let wanted = |fault: &&Fault| only.as_ref().is_none_or(|id| id == fault.id);
    let once: Vec<_> =
        faults.iter().filter(wanted).flat_map(|fault| fault.on.iter().map(move |place| (fault, *place))).collect();
    let again = (1..repeats()).flat_map(|_| once.iter().copied().filter(|(fault, _)| !fault.once));
    let trials: Vec<_> = once.iter().copied().chain(again).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((fault, place)) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let found = complaints(fault, *place);
                    let verdict = if found.is_empty() { "survived" } else { "NOT SURVIVED" };
                    println!("{} at {place:?}: {verdict} after {:.1?}", fault.id, began.elapsed());
                    if !found.is_empty() {
                        let all = format!("{} {} at {place:?}:\n{}", fault.id, fault.title, found.join("\n"));
                        wrong.lock().unwrap_or_else(PoisonError::into_inner).push(all);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (fault, _) in &trials {
        assert!(fault.kind.counted() > 0 || !wrong.is_empty(), "no fault of the kind {:?} ever happened", fault.kind);
    }
    assert!(wrong.is_empty(), "{} of {} trials:\n{}", wrong.len(), trials.len(), wrong.join("\n\n"));
}
