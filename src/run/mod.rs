//! The run for real: carries out what the engine decides, and tells it what came of that. It decides nothing.
//!
//! One loop takes one thing at a time: somebody asks to stop, a step tells something, a deadline comes, a task ends.
//! All tasks belong to one set; a panic in one of them ends its step or stream, and never hangs the run.

mod carry;
mod files;
mod gate;
mod job;
pub(crate) mod mask;
mod probe;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use self::carry::{Carrier, Finished};
pub use self::mask::maskable;
use crate::backend::{Backend, Told};
use crate::diagnostic::Sources;
use crate::engine::{Input, Limits, Past};
use crate::event::{Ask, Record, Verdict};
use crate::plan::{Plan, StepId};
use crate::syntax::Value;

/// How much may be on its way from the steps to the loop.
const ON_ITS_WAY: usize = 256;

/// How many pieces of output may be on their way from the steps to those who write them down. Those who print more
/// wait: so a flood holds up nobody else, and its memory is bounded.
const PIECES: usize = 32;

/// What a run is made of.
pub struct Run<'a> {
    /// What to run.
    pub plan: Arc<Plan>,
    /// What bounds it.
    pub limits: Limits,
    /// What `secret("NAME")` stands for.
    pub secrets: Arc<IndexMap<Arc<str>, Value>>,
    /// What opens streams, by kind.
    pub backends: &'a IndexMap<Arc<str>, Arc<dyn Backend>>,
    /// Where it has its files.
    pub home: Home,
    /// The texts of the scenario, so that messages of interpreters name its lines.
    pub sources: &'a Sources,
    /// Who asks to stop, and why.
    pub stops: mpsc::Receiver<Ask>,
    /// What an earlier run has done of it.
    pub past: &'a Past,
}

/// Where a run has its files.
#[derive(Clone, Debug)]
pub struct Home {
    /// The id of the run.
    pub id: Arc<str>,
    /// The folder of the scenario: `put` reads from here, local steps start here.
    pub folder: PathBuf,
    /// A private folder; each stream gets one of its own below it.
    pub tmp: PathBuf,
    /// What `get` brings goes here, one folder a stream.
    pub files: PathBuf,
    /// How many bytes of what one step prints on one channel are kept. More is told all the same, and said.
    pub keep: u64,
}

/// Who writes down what happens.
pub trait Recorder {
    /// Code of a step is about to run. What must outlive mstream is to be written before this returns; where it cannot
    /// be, the code does not run. The error is why, in words.
    fn begins(&mut self, step: StepId) -> Result<(), String>;

    /// What has happened in one moment, in order.
    fn record(&mut self, batch: Batch);
}

/// What has happened in one moment. While it lives, it takes the room of the output that it holds.
#[derive(Debug)]
pub struct Batch {
    /// In order.
    pub records: Vec<Record>,
    pieces: usize,
    room: Arc<Semaphore>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.room.add_permits(self.pieces);
    }
}

impl<F: FnMut(Vec<Record>)> Recorder for F {
    fn begins(&mut self, _: StepId) -> Result<(), String> {
        Ok(())
    }

    fn record(&mut self, batch: Batch) {
        let mut batch = batch;
        self(std::mem::take(&mut batch.records));
    }
}

/// What the loop takes.
enum Next {
    Asked(Option<Ask>),
    Told(StepId, Told),
    Due,
    Finished(Finished),
    Stuck,
}

/// Runs the plan, hands every event to `record` as it happens, those of one moment together, and returns what the run
/// comes to. Dropped half-way, it takes the processes of local streams with it.
pub async fn run(run: Run<'_>, record: &mut dyn Recorder) -> Verdict {
    let (voices, mut told) = mpsc::channel(ON_ITS_WAY);
    let Run { plan, limits, secrets, backends, home, sources, mut stops, past } = run;
    let world = carry::World { plan, backends, home, sources, past, scale: limits.scale };
    let mut carrier = Carrier::new(world, limits, secrets, voices, record);
    carrier.take(Input::Begin);
    carrier.flush();
    let mut asking = true;
    // Set anew for an earlier deadline only: most steps end before theirs, and what rings too early finds nothing due.
    let mut alarm = pin!(sleep(Duration::ZERO));
    while !carrier.done() {
        let deadline = carrier.deadline();
        if let Some(deadline) = deadline
            && (alarm.is_elapsed() || deadline < alarm.deadline())
        {
            alarm.as_mut().reset(deadline);
        }
        let (busy, waiting) = (carrier.busy(), deadline.is_some());
        let next = tokio::select! {
            biased;
            asked = stops.recv(), if asking => Next::Asked(asked),
            Some((step, told)) = told.recv() => Next::Told(step, told),
            () = &mut alarm, if waiting => Next::Due,
            () = std::future::ready(()), if !busy && !waiting => Next::Stuck,
            finished = carrier.finished() => Next::Finished(finished),
        };
        match next {
            Next::Asked(Some(ask)) => carrier.take(Input::Asked(ask)),
            Next::Asked(None) => asking = false,
            Next::Told(step, told) => carrier.told(step, told),
            Next::Due => carrier.take(Input::Tick),
            Next::Finished(finished) => carrier.settle(finished),
            Next::Stuck => {
                carrier.give_up();
                break;
            }
        }
        carrier.flush();
    }
    carrier.end().await
}
