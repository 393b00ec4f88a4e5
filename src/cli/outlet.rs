//! Where a run shows itself: stdout or stderr, written by a thread of its own, so that a reader who stops reading
//! stops nothing else. How much may wait here is bounded by those who put it here.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// So many buffers are kept to be used again.
const SPARE: usize = 4;

/// The way to one reader.
pub(super) struct Outlet {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How many bytes were put here and not taken by the reader.
    behind: AtomicUsize,
    state: Mutex<State>,
    /// There is more to write, or it is over.
    more: Condvar,
    /// The reader has taken something, or is gone.
    taken: Condvar,
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
    /// To whoever reads stdout. The error: there is no room for its thread.
    pub(super) fn stdout() -> io::Result<Self> {
        Self::to(std::io::stdout())
    }

    /// To whoever reads stderr.
    pub(super) fn stderr() -> io::Result<Self> {
        Self::to(std::io::stderr())
    }

    fn to(descriptor: impl AsFd + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let its = Arc::clone(&shared);
        // Nobody waits for this thread: while its reader takes nothing, it cannot end.
        std::thread::Builder::new().spawn(move || its.carry(&descriptor))?;
        Ok(Self { shared })
    }

    /// How many bytes wait for the reader.
    pub(super) fn behind(&self) -> usize {
        self.shared.behind.load(Ordering::Relaxed)
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
    }

    /// Waits until no more than `most` bytes wait for the reader: `false` where it takes nothing for as long as
    /// `patience`.
    pub(super) fn wait(&self, most: usize, patience: Duration) -> bool {
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
    fn carry(&self, descriptor: &impl AsFd) {
        while let Some(mut bytes) = self.next() {
            // Whoever reads may have gone: that is no error, and stops nothing.
            let _ = write(descriptor, &bytes);
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
    }

    fn next(&self) -> Option<Vec<u8>> {
        let nothing = |state: &mut State| state.waiting.is_empty() && !state.over;
        let state = self.more.wait_while(self.lock(), nothing);
        state.unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }
}

/// Writes all of it, also where somebody who shares the descriptor made it one that does not block.
fn write(descriptor: &impl AsFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(descriptor, rest) {
            Ok(length) => rest = &rest[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(descriptor, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _};

    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    fn outlet() -> (Outlet, PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        (Outlet::to(writer).unwrap(), reader)
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
    }

    #[test]
    fn a_descriptor_that_does_not_block_loses_nothing() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        let outlet = Outlet::to(writer).unwrap();
        put(&outlet, b'x', 4 << 20);
        assert!(!outlet.wait(0, SOON));
        let mut all = vec![0; 4 << 20];
        reader.read_exact(&mut all).unwrap();
        assert!(outlet.wait(0, LONG));
    }
}
