//! Writes down what happens, on a thread of its own.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use crate::cli::journal::Journal;
use crate::cli::now;
use crate::cli::view::{FRAME, View};
use crate::event::{Event, Record};
use crate::report::summary::Summary;
use crate::run::Batch;

/// How often the writer looks for records while there are some.
const LOOK: Duration = Duration::from_millis(5);

/// After so many looks in vain it waits to be woken.
const QUIET: u32 = 5;

/// From so many bytes in one piece on, output is much.
const MUCH: usize = 16 << 10;

/// While much happens, what is shown goes out so often: each time a reader is woken, and nobody reads faster.
const SHOW: Duration = Duration::from_millis(20);

/// Writes down what happens, on a thread of its own, so that no stream waits for a disk; what is shown has another
/// thread, so that nothing waits for a terminal.
pub(super) struct Writer {
    pub(super) journal: Journal,
    pub(super) summary: Summary,
    pub(super) view: View,
    /// Waits until what was taken over of an earlier run is on the disk: that is in the first batch.
    pub(super) taken: Option<SyncSender<()>>,
}

impl Writer {
    /// Takes records until there are no more.
    pub(super) fn write(&mut self, records: &Receiver<Batch>) {
        let began = now();
        let (mut drawn, mut shown) = (began, began);
        let mut quiet = 0;
        loop {
            match self.next(records, quiet, &mut shown) {
                // Much output takes long enough for being woken not to matter, and its steps wait for room.
                Ok(much) => quiet = if much { QUIET } else { 0 },
                Err(RecvTimeoutError::Timeout) => {
                    quiet += 1;
                    // A disk may fail while nothing happens.
                    self.journal.settle();
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if drawn.elapsed() >= FRAME {
                drawn = now();
                self.view.frame(drawn - began);
            }
        }
        self.view.end();
    }

    /// Takes what there is. While much happens it looks now and then instead of being woken each time: a wake-up
    /// would cost the run more than everything else that it does for a step. Whether there was much output.
    fn next(&mut self, records: &Receiver<Batch>, quiet: u32, shown: &mut Instant) -> Result<bool, RecvTimeoutError> {
        let batch = match records.try_recv() {
            Ok(batch) => batch,
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if quiet < QUIET => {
                if shown.elapsed() >= SHOW {
                    *shown = now();
                    self.view.flush();
                }
                std::thread::park_timeout(LOOK);
                return Err(RecvTimeoutError::Timeout);
            }
            Err(TryRecvError::Empty) => {
                self.view.flush();
                records.recv_timeout(FRAME)?
            }
        };
        for record in &batch.records {
            self.journal.record(record);
        }
        for record in &batch.records {
            self.summary.record(record);
            self.view.record(record);
        }
        if let Some(taken) = self.taken.take()
            && self.journal.on_disk()
        {
            let _ = taken.send(());
        }
        self.journal.settle();
        let much = |record: &Record| matches!(&record.event, Event::Output(_, _, bytes) if bytes.len() >= MUCH);
        Ok(batch.records.iter().any(much))
    }
}
