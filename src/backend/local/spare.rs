//! Descriptors made before they are needed and closed after they have mattered, both while a process runs: so the
//! time between the end of one step and the start of the next is spent on neither.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::process::Used;

/// How many pipes are kept ready: those of one process.
const READY: usize = 2;
/// How many ended processes may keep their descriptors until the next start.
const ENDED: usize = 2;

/// What the streams of a backend share.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Stock>);

#[derive(Debug, Default)]
struct Stock {
    ready: Vec<Pair>,
    ended: Vec<Used>,
}

/// A pipe from a process to us. Our end never blocks, and the other is as any other pipe.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) ours: OwnedFd,
    pub(super) theirs: OwnedFd,
}

impl Pair {
    pub(super) fn new() -> Result<Self, Errno> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&ours, OFlags::NONBLOCK)?;
        Ok(Self { ours, theirs })
    }
}

impl Spares {
    /// A pipe for the output of a process.
    pub(super) fn pipe(&self) -> Result<Pair, Errno> {
        let ready = self.stock().ready.pop();
        ready.map_or_else(Pair::new, Ok)
    }

    /// What an ended process has used is closed soon.
    pub(super) fn ended(&self, used: Used) {
        let mut stock = self.stock();
        if stock.ended.len() < ENDED {
            stock.ended.push(used);
        }
    }

    /// A process has just been started, and there is time.
    pub(super) fn tidy(&self) {
        let mut stock = self.stock();
        stock.ended.clear();
        while stock.ready.len() < READY
            && let Ok(pair) = Pair::new()
        {
            stock.ready.push(pair);
        }
    }

    /// Closes what ended processes have used.
    pub(super) fn clear(&self) {
        self.stock().ended.clear();
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
