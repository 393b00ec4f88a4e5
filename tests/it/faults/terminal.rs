//! A terminal that a fault is watched on: what mstream writes to it is kept, and what is typed reaches mstream.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Of a flood, so much of its beginning and at least so much of its end is kept.
const HEAD: usize = 1 << 20;
const TAIL: usize = 1 << 20;

/// The side of the terminal where people sit.
pub(super) struct Terminal {
    keyboard: File,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// A terminal, and the side of it where programs run.
    pub(super) fn open() -> (Self, File) {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let keyboard = File::from(ours);
        let mut screen = keyboard.try_clone().unwrap();
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&shown);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            // It ends when nobody holds the other side any more.
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                keep(&mut kept.lock().unwrap_or_else(PoisonError::into_inner), &buffer[..length]);
            }
        });
        (Self { keyboard, shown, reader: Some(reader) }, theirs)
    }

    /// Types these bytes.
    pub(super) fn types(&mut self, bytes: &[u8]) {
        self.keyboard.write_all(bytes).unwrap();
    }

    /// All that was shown, once nobody runs on it any more.
    pub(super) fn shown(mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        std::mem::take(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn keep(shown: &mut Vec<u8>, more: &[u8]) {
    shown.extend_from_slice(more);
    if shown.len() > HEAD + 4 * TAIL {
        shown.drain(HEAD..shown.len() - TAIL);
    }
}
