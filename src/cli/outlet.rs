//! Where a run shows itself: stdout or stderr. While it goes on that has a thread of its own, so that a reader who stops
//! reading stops nothing else. How much may wait here is bounded by those who put it here.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// So many buffers are kept to be used again.
const SPARE: usize = 4;

/// A pipe that has room has it for so much: nobody waits who writes no more at once.
const ROOM: usize = 4096;

/// The way to one reader.
pub(super) struct Outlet {
    shared: Arc<Shared>,
    /// Whether a thread writes. Where nothing goes on, who waits for the reader writes.
    threaded: bool,
}

struct Shared {
    descriptor: Box<dyn AsFd + Send + Sync>,
    /// How many bytes were put here and not taken by the reader.
    behind: AtomicUsize,
    state: Mutex<State>,
    /// There is more to write, or it is over.
    more: Condvar,
    /// The reader has taken something, or is gone.
    taken: Condvar,
    /// The first reason why something could not be written.
    failed: OnceLock<Errno>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    /// How many buffers were written or thrown away.
    written: u64,
    over: bool,
}

impl Outlet {
    /// To whoever reads stdout.
    pub(super) fn stdout() -> Self {
        Self::to(std::io::stdout())
    }

    /// To whoever reads stderr.
    pub(super) fn stderr() -> Self {
        Self::to(std::io::stderr())
    }

    fn to(descriptor: impl AsFd + Send + Sync + 'static) -> Self {
        let shared = Shared {
            descriptor: Box::new(descriptor),
            behind: AtomicUsize::default(),
            state: Mutex::default(),
            more: Condvar::default(),
            taken: Condvar::default(),
            failed: OnceLock::new(),
        };
        Self { shared: Arc::new(shared), threaded: false }
    }

    /// With a thread from now on. The error: there is no room for it.
    pub(super) fn threaded(mut self) -> io::Result<Self> {
        let its = Arc::clone(&self.shared);
        // Nobody waits for this thread: while its reader takes nothing, it cannot end.
        std::thread::Builder::new().spawn(move || its.carry())?;
        self.threaded = true;
        Ok(self)
    }

    /// How many bytes wait for the reader.
    pub(super) fn behind(&self) -> usize {
        self.shared.behind.load(Ordering::Relaxed)
    }

    /// Why something is missing for a reader who is still there: a full disk, for one.
    pub(super) fn error(&self) -> Option<io::Error> {
        self.shared.failed.get().copied().map(io::Error::from)
    }

    /// Hands on what stands in `bytes`, and leaves an empty buffer there. Never waits.
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.shared.behind.fetch_add(bytes.len(), Ordering::Relaxed);
        let mut state = self.shared.lock();
        let spare = state.spare.pop().unwrap_or_default();
        state.waiting.push_back(std::mem::replace(bytes, spare));
        drop(state);
        self.shared.more.notify_one();
    }

    /// Hands on a text. Never waits.
    pub(super) fn say(&self, text: &str) {
        self.put(&mut text.as_bytes().to_vec());
        if !self.threaded {
            self.wait(0, Duration::ZERO);
        }
    }

    /// Waits until no more than `most` bytes wait for the reader: `false` where it takes nothing for as long as
    /// `patience`.
    pub(super) fn wait(&self, most: usize, patience: Duration) -> bool {
        if !self.threaded {
            return self.shared.write_out(patience);
        }
        let mut state = self.shared.lock();
        while self.behind() > most {
            let written = state.written;
            let waited = self.shared.taken.wait_timeout_while(state, patience, |state| state.written == written);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.written == written {
                return false;
            }
        }
        true
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.more.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes until it is over.
    fn carry(&self) {
        while let Some(bytes) = self.next() {
            let _ = self.write(&bytes, None);
            self.written(bytes);
        }
    }

    /// Writes what waits: `false` where the reader takes nothing for as long as `patience`.
    fn write_out(&self, patience: Duration) -> bool {
        loop {
            let Some(mut bytes) = self.lock().waiting.pop_front() else { return true };
            if let Err(rest) = self.write(&bytes, Some(patience)) {
                let gone = bytes.len() - rest;
                self.behind.fetch_sub(gone, Ordering::Relaxed);
                bytes.drain(..gone);
                self.lock().waiting.push_front(bytes);
                return false;
            }
            self.written(bytes);
        }
    }

    /// Writes all of it, or finds out that nobody takes it. The error: so many bytes are left, of which the reader has
    /// taken nothing for as long as `patience`.
    fn write(&self, bytes: &[u8], patience: Option<Duration>) -> Result<(), usize> {
        write(&self.descriptor, bytes, patience).map(|error| {
            if let Some(error) = error.filter(|error| !gone(*error)) {
                let _ = self.failed.set(error);
            }
        })
    }

    /// These bytes were written or thrown away.
    fn written(&self, mut bytes: Vec<u8>) {
        self.behind.fetch_sub(bytes.len(), Ordering::Relaxed);
        bytes.clear();
        let mut state = self.lock();
        state.written += 1;
        if state.spare.len() < SPARE {
            state.spare.push(bytes);
        }
        drop(state);
        self.taken.notify_all();
    }

    fn next(&self) -> Option<Vec<u8>> {
        let nothing = |state: &mut State| state.waiting.is_empty() && !state.over;
        let state = self.more.wait_while(self.lock(), nothing);
        state.unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }
}

/// Whether this says that whoever read has gone: a pipe that is closed, a terminal that has hung up. That is no error, and
/// stops nothing.
fn gone(error: Errno) -> bool {
    matches!(error, Errno::PIPE | Errno::CONNRESET | Errno::IO)
}

/// Writes all of it, also where somebody who shares the descriptor made it one that does not block; what kept it from
/// going on, if anything. The error: so many bytes are left, of which the reader has taken nothing for as long as
/// `patience`.
fn write(descriptor: &impl AsFd, bytes: &[u8], patience: Option<Duration>) -> Result<Option<Errno>, usize> {
    let mut rest = bytes;
    let mut room = patience.is_none();
    while !rest.is_empty() {
        if !room {
            room = match wait_for(descriptor, patience) {
                Ok(room) => room,
                Err(error) => return Ok(Some(error)),
            };
            if !room {
                return Err(rest.len());
            }
        }
        let piece = if patience.is_some() { &rest[..rest.len().min(ROOM)] } else { rest };
        match rustix::io::write(descriptor, piece) {
            Ok(length) => {
                rest = &rest[length..];
                room = patience.is_none();
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => room = false,
            Err(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}

/// Waits until something can be written; whether it can.
fn wait_for(descriptor: &impl AsFd, patience: Option<Duration>) -> Result<bool, Errno> {
    let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
    loop {
        match poll(&mut [PollFd::new(descriptor, PollFlags::OUT)], patience.as_ref()) {
            Err(Errno::INTR) => {}
            count => return Ok(count? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _};

    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    fn outlet() -> (Outlet, PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        (Outlet::to(writer).threaded().unwrap(), reader)
    }

    fn put(outlet: &Outlet, byte: u8, count: usize) {
        outlet.put(&mut vec![byte; count]);
    }

    #[test]
    fn what_is_put_arrives_in_order() {
        let (outlet, mut reader) = outlet();
        for byte in b'a'..=b'z' {
            put(&outlet, byte, 3);
        }
        assert!(outlet.wait(0, LONG));
        drop(outlet);
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        assert_eq!(all, ('a'..='z').map(|c| c.to_string().repeat(3)).collect::<String>());
    }

    #[test]
    fn who_does_not_read_stops_nobody() {
        let (outlet, mut reader) = outlet();
        for _ in 0..10 {
            put(&outlet, b'x', 1 << 20);
        }
        assert!(!outlet.wait(1 << 20, SOON), "nobody reads");
        assert!(outlet.behind() >= 9 << 20);
        let mut all = vec![0; 10 << 20];
        reader.read_exact(&mut all).unwrap();
        assert!(outlet.wait(0, LONG));
        assert_eq!(outlet.behind(), 0);
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error() {
        let (outlet, reader) = outlet();
        drop(reader);
        put(&outlet, b'x', 1 << 20);
        put(&outlet, b'y', 1 << 20);
        assert!(outlet.wait(0, LONG));
        assert!(outlet.error().is_none());
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_an_error() {
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        for outlet in [Outlet::to(full()), Outlet::to(full()).threaded().unwrap()] {
            outlet.say("x");
            assert!(outlet.wait(0, LONG));
            assert_eq!(outlet.error().unwrap().kind(), io::ErrorKind::StorageFull);
        }
    }

    #[test]
    fn without_a_thread_who_waits_writes() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let outlet = Outlet::to(writer);
        outlet.say("first ");
        put(&outlet, b'x', 1 << 20);
        assert!(!outlet.wait(0, SOON), "nobody reads");
        outlet.say(" last");
        std::thread::scope(|scope| {
            let all = scope.spawn(move || {
                let mut all = String::new();
                reader.read_to_string(&mut all).unwrap();
                all
            });
            assert!(outlet.wait(0, LONG));
            assert_eq!(outlet.behind(), 0);
            drop(outlet);
            assert_eq!(all.join().unwrap(), format!("first {} last", "x".repeat(1 << 20)));
        });
    }

    #[test]
    fn a_descriptor_that_does_not_block_loses_nothing() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        let outlet = Outlet::to(writer).threaded().unwrap();
        put(&outlet, b'x', 4 << 20);
        assert!(!outlet.wait(0, SOON));
        let mut all = vec![0; 4 << 20];
        reader.read_exact(&mut all).unwrap();
        assert!(outlet.wait(0, LONG));
    }
}
