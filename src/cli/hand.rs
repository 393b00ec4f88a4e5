//! Where a run hands over what happens: to the writer in its own time, and to the list of what has begun before it does.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use tokio::sync::mpsc;

use super::begun::Begun;
use super::resume::Earlier;
use crate::event::Ask;
use crate::plan::StepId;
use crate::run::{Batch, Recorder};

/// The hand of one run.
pub(super) struct Hand<'a> {
    pub(super) records: SyncSender<Batch>,
    pub(super) begun: Option<Begun>,
    pub(super) asks: mpsc::Sender<Ask>,
    /// What is to be done before the first step, where this run goes on with another one.
    pub(super) taking: Option<Taking<'a>>,
}

/// A run that is about to be gone on with.
pub(super) struct Taking<'a> {
    pub(super) earlier: &'a Earlier,
    /// The id of the run that goes on with it.
    pub(super) by: Arc<str>,
    /// Tells when all that is taken over is on the disk.
    pub(super) written: Receiver<()>,
}

impl Taking<'_> {
    fn done(&self) -> Result<(), String> {
        let lost = |_| "what was taken over could not be written".to_owned();
        self.written.recv().map_err(lost)?;
        self.earlier.taken_over(&self.by)
    }
}

impl Hand<'_> {
    fn begin(&mut self, step: StepId) -> Result<(), String> {
        if let Some(taking) = &self.taking {
            taking.done()?;
            self.taking = None;
        }
        self.begun.as_ref().map_or(Ok(()), |begun| begun.begins(step))
    }
}

impl Recorder for Hand<'_> {
    fn begins(&mut self, step: StepId) -> Result<(), String> {
        self.begin(step).inspect_err(|words| {
            // There is room, or the run was asked before.
            let _ = self.asks.try_send(Ask::JournalFailed(words.as_str().into()));
        })
    }

    fn record(&mut self, batch: Batch) {
        // The writer ends after this does; where it failed, the journal says so at the end.
        let _ = self.records.send(batch);
    }
}
