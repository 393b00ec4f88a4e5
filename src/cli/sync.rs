//! Brings what was written to the disk, on a thread of its own: no step, and no line on a screen, waits for it. What was
//! written while one sync lasted goes with the next.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::folder::sync_folder;
use super::now;

/// While much is written, so much time passes between two syncs: each takes the disk, and a core, from the steps.
const REST: Duration = Duration::from_millis(100);

/// The thread, and what it is told.
pub(super) struct Syncer {
    orders: Sender<Order>,
    /// Whether one has asked for a sync that has not begun.
    asked: Arc<AtomicBool>,
    error: Arc<OnceLock<io::Error>>,
    thread: JoinHandle<()>,
}

enum Order {
    /// This file too from now on.
    Watch(File),
    Sync,
}

impl Syncer {
    /// For these files in that folder. The folder, and the one above, are brought to the disk with the first sync.
    pub(super) fn start(files: Vec<File>, folder: PathBuf) -> io::Result<Self> {
        let (orders, received) = channel();
        let asked = Arc::new(AtomicBool::new(false));
        let error = Arc::new(OnceLock::new());
        let told = Arc::clone(&error);
        let mut disk = Disk { files, folder, named: false, asked: Arc::clone(&asked) };
        let work = move || {
            if let Err(error) = disk.serve(&received) {
                let _ = told.set(error);
            }
        };
        let thread = std::thread::Builder::new().name("sync".to_owned()).stack_size(64 << 10).spawn(work)?;
        Ok(Self { orders, asked, error, thread })
    }

    /// Asks for a sync of all that was written before.
    pub(super) fn ask(&self) {
        // One that has not begun is for this too, and nobody is woken for it.
        if !self.asked.swap(true, Ordering::AcqRel) {
            let _ = self.orders.send(Order::Sync);
        }
    }

    /// One more file, whose name is new in the folder.
    pub(super) fn watch(&self, file: File) {
        let _ = self.orders.send(Order::Watch(file));
    }

    /// What has gone wrong. It is final: the system may have thrown away what it could not write.
    pub(super) fn error(&self) -> Option<&io::Error> {
        self.error.get()
    }

    /// Waits until all is on the disk that was asked for.
    pub(super) fn end(self) -> Result<(), String> {
        drop(self.orders);
        let fine = self.thread.join().is_ok();
        match self.error.get() {
            Some(error) => Err(error.to_string()),
            None if fine => Ok(()),
            None => Err("the thread that writes to the disk has failed".to_owned()),
        }
    }
}

/// What is brought to the disk.
struct Disk {
    files: Vec<File>,
    folder: PathBuf,
    /// Whether the names of the files are there.
    named: bool,
    /// Taken back before a sync begins: whoever asks from then on asks for the next one.
    asked: Arc<AtomicBool>,
}

impl Disk {
    fn serve(&mut self, orders: &Receiver<Order>) -> io::Result<()> {
        while let Ok(order) = orders.recv() {
            let mut due = self.take(order);
            while due {
                self.sync()?;
                due = self.rest(orders);
            }
        }
        Ok(())
    }

    /// Takes an order; whether it asks for a sync.
    fn take(&mut self, order: Order) -> bool {
        match order {
            Order::Watch(file) => {
                self.files.push(file);
                self.named = false;
                false
            }
            Order::Sync => true,
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.asked.swap(false, Ordering::AcqRel);
        for file in &self.files {
            file.sync_data()?;
        }
        if !std::mem::replace(&mut self.named, true) {
            sync_folder(&self.folder)?;
            self.folder.parent().map_or(Ok(()), sync_folder)?;
        }
        Ok(())
    }

    /// Gathers the orders of a while, or the last ones; whether they ask for another sync.
    fn rest(&mut self, orders: &Receiver<Order>) -> bool {
        let until = now() + REST;
        let mut due = false;
        while let Ok(order) = orders.recv_timeout(until.saturating_duration_since(now())) {
            due |= self.take(order);
        }
        due
    }
}
