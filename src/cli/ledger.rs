//! What a run makes, written down before it is made: in `resources` in the run's folder, and with the guardian.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, fdatasync, flock};
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use crate::backend::Task;
use crate::backend::ledger::{Ledger, Resource};
use crate::backend::local::started;

/// The file in the run's folder.
pub(super) const FILE: &str = "resources";

/// How one ends that says that nothing is left.
const CLOSED: &[u8] = b"\"clean\"\n";

/// No more than this is read of one.
const MOST: u64 = 64 << 20;
/// And of its beginning.
const PEEKED: u64 = 64 << 10;

/// A line of the file. What a later version may write besides is passed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// Whose run it is; the first line.
    Run(Owner),
    /// Something that is about to be made.
    Makes(Resource),
    /// All that stands above is gone.
    Clean,
}

/// Whose run it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Owner {
    /// The id of the run.
    pub(super) id: Arc<str>,
    /// The scenario, as it was named.
    pub(super) scenario: PathBuf,
    /// Which start of this machine it belongs to: process numbers mean nothing after another.
    pub(super) boot: String,
    /// The process that watches over it.
    pub(super) guardian: u32,
    /// When that was started, in ticks since the start of the machine: whatever the run has started came later.
    pub(super) since: u64,
}

/// A ledger that can be written. Whoever holds it open holds the lock that says that the run lives.
#[derive(Clone, Debug)]
pub(super) struct Book {
    shared: Arc<Shared>,
    /// Who hears of each entry.
    guardian: Option<Arc<PipeWriter>>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    pages: Mutex<Pages>,
    /// Held by the one who has the kernel bring it to the disk.
    syncing: Mutex<u64>,
}

#[derive(Debug)]
struct Pages {
    file: File,
    /// How many entries were written.
    written: u64,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

/// Which start of this machine this is.
pub(super) fn boot() -> String {
    read_small(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default().trim().to_owned()
}

impl Book {
    /// Opens the ledger of a new run, and locks it.
    pub(super) fn open(folder: &Folder, scenario: &Path) -> io::Result<Self> {
        let path = folder.path.join(FILE);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let pages = Mutex::new(Pages { file, written: 0, broken: None });
        let it = Self { shared: Arc::new(Shared { path, pages, syncing: Mutex::default() }), guardian: None };
        let guardian = std::process::id();
        let owner = Owner {
            id: Arc::clone(&folder.id),
            scenario: scenario.to_owned(),
            boot: boot(),
            guardian,
            since: started(guardian).unwrap_or_default(),
        };
        it.shared.write(&Entry::Run(owner))?;
        Ok(it)
    }

    /// The same for the process that runs the scenario; what it enters the guardian hears too.
    pub(super) fn with(self, guardian: PipeWriter) -> Self {
        Self { guardian: Some(Arc::new(guardian)), ..self }
    }

    /// Writes down what is about to be made; [`Book::sync`] has to follow.
    pub(super) fn write(&self, resource: Resource) -> io::Result<()> {
        self.put(&Entry::Makes(resource)).map(drop)
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        let written = self.shared.pages().written;
        self.shared.sync(written)
    }

    /// All is gone that was made. It need not be on the disk: who does not find it looks for what is not there.
    pub(super) fn close(&self) {
        let _ = self.shared.write(&Entry::Clean);
    }

    /// Tells the guardian that all was done, and how it came out stands in the exit code.
    pub(super) fn done(&self) {
        self.tell(&Entry::Clean);
    }

    fn put(&self, entry: &Entry) -> io::Result<u64> {
        let number = self.shared.write(entry)?;
        self.tell(entry);
        Ok(number)
    }

    fn tell(&self, entry: &Entry) {
        if let Some(mut guardian) = self.guardian.as_deref()
            && let Ok(line) = line(entry)
        {
            // One that was killed is noticed elsewhere.
            let _ = guardian.write_all(&line);
        }
    }
}

impl Ledger for Book {
    fn enter(&self, resource: Resource) -> Task<Result<(), String>> {
        let it = self.clone();
        Box::pin(async move {
            // What ends by itself need not be found after the machine has lost its power.
            let durable = !matches!(resource, Resource::Remote { .. });
            let number = it.put(&Entry::Makes(resource)).map_err(|error| it.shared.refused(&error))?;
            if !durable {
                return Ok(());
            }
            let syncing = Arc::clone(&it.shared);
            let synced = tokio::task::spawn_blocking(move || syncing.sync(number)).await;
            synced.map_err(io::Error::other).flatten().map_err(|error| it.shared.refused(&error))
        })
    }
}

impl Shared {
    /// Writes an entry; its number.
    fn write(&self, entry: &Entry) -> io::Result<u64> {
        let line = line(entry)?;
        let mut pages = self.pages();
        if let Some(words) = &pages.broken {
            return Err(io::Error::other(words.clone()));
        }
        if let Err(error) = pages.file.write_all(&line) {
            // Half a line may stand there now; nothing may follow it.
            pages.broken = Some(error.to_string());
            return Err(error);
        }
        pages.written += 1;
        Ok(pages.written)
    }

    /// Brings the entries up to this number to the disk. One sync does for all who came before it.
    fn sync(&self, number: u64) -> io::Result<()> {
        let mut synced = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced >= number {
            return Ok(());
        }
        let (written, file) = {
            let pages = self.pages();
            (pages.written, pages.file.try_clone()?)
        };
        if let Err(error) = fdatasync(&file) {
            // The kernel may have dropped what it could not write: another try would only seem to work.
            self.pages().broken = Some(error.to_string());
            return Err(error.into());
        }
        *synced = written;
        Ok(())
    }

    fn refused(&self, error: &io::Error) -> String {
        format!("nothing is made that cannot be written down in `{}`: {error}", self.path.display())
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

/// The entries in these bytes. A line that is none is passed over: the last one, of a writer that was killed.
pub(super) fn entries(bytes: &[u8]) -> Vec<Entry> {
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(entry).collect()
}

fn entry(line: &[u8]) -> Option<Entry> {
    serde_json::from_slice(line.strip_suffix(b"\n")?).ok()
}

/// Whether the run in this folder says that nothing of it is left.
pub(super) fn is_closed(folder: &Path) -> bool {
    let end = || {
        let mut file = File::open(folder.join(FILE))?;
        file.seek(SeekFrom::End(-i64::try_from(CLOSED.len()).unwrap_or_default()))?;
        let mut end = Vec::new();
        file.take(CLOSED.len() as u64).read_to_end(&mut end)?;
        io::Result::Ok(end)
    };
    end().is_ok_and(|end| end == CLOSED)
}

/// Whose run it is in this folder, whether it lives or not.
pub(super) fn peek(folder: &Path) -> Option<Owner> {
    let mut bytes = Vec::new();
    let file = File::open(folder.join(FILE)).ok()?;
    file.take(PEEKED).read_to_end(&mut bytes).ok()?;
    owner(&entries(&bytes)).cloned()
}

fn owner(entries: &[Entry]) -> Option<&Owner> {
    entries.iter().find_map(|entry| match entry {
        Entry::Run(owner) => Some(owner),
        Entry::Makes(_) | Entry::Clean => None,
    })
}

/// The ledger of a run that is over.
#[derive(Debug)]
pub(super) struct Old {
    file: File,
    entries: Vec<Entry>,
}

/// Why there is no old ledger to be had.
#[derive(Debug)]
pub(super) enum NotOld {
    /// The run lives, or somebody else is cleaning up after it.
    Alive,
    /// There is none, or it cannot be read.
    Unreadable(io::Error),
}

impl Old {
    /// Opens the ledger in the folder of a run and locks it, where nobody else has.
    pub(super) fn open(folder: &Path) -> Result<Self, NotOld> {
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
            let file = options.open(folder.join(FILE))?;
            let found = rustix::fs::fstat(&file)?;
            if found.st_uid != rustix::process::geteuid().as_raw() {
                return Err(io::Error::other("it belongs to somebody else"));
            }
            Ok(file)
        };
        let mut file = open().map_err(NotOld::Unreadable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(NotOld::Alive),
            locked => locked.map_err(|error| NotOld::Unreadable(error.into()))?,
        }
        let mut bytes = Vec::new();
        (&mut file).take(MOST).read_to_end(&mut bytes).map_err(NotOld::Unreadable)?;
        Ok(Self { file, entries: entries(&bytes) })
    }

    /// Whose run it was.
    pub(super) fn owner(&self) -> Option<&Owner> {
        owner(&self.entries)
    }

    /// What it made and nobody has removed.
    pub(super) fn resources(&self) -> Vec<Resource> {
        resources(&self.entries)
    }

    /// All of it is gone.
    pub(super) fn close(&mut self) {
        // A line break first: the writer may have been killed in the middle of a line.
        let _ = line(&Entry::Clean).and_then(|line| self.file.write_all(&[&b"\n"[..], &line].concat()));
    }
}

/// What these entries say is still there.
pub(super) fn resources(entries: &[Entry]) -> Vec<Resource> {
    let mut found = Vec::new();
    for entry in entries {
        match entry {
            Entry::Run(_) => {}
            Entry::Makes(resource) => found.push(resource.clone()),
            Entry::Clean => found.clear(),
        }
    }
    found
}

fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(4096).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> Resource {
        Resource::Folder(name.into())
    }

    #[test]
    fn what_stands_in_it_is_found_again_and_half_a_line_is_not() {
        let mut text = Vec::new();
        for entry in [Entry::Makes(folder("/a")), Entry::Clean, Entry::Makes(folder("/b"))] {
            text.extend(line(&entry).unwrap());
        }
        let whole = text.len();
        text.extend(line(&Entry::Makes(folder("/c"))).unwrap());
        for cut in whole..text.len() {
            assert_eq!(resources(&entries(&text[..cut])), [folder("/b")], "{cut}");
        }
        assert_eq!(resources(&entries(&text)), [folder("/b"), folder("/c")]);
        text.extend(b"{\"later\":1}\nno line of ours\n");
        assert_eq!(resources(&entries(&text)), [folder("/b"), folder("/c")]);
    }

    #[tokio::test]
    async fn a_run_that_lives_is_locked_and_one_that_is_over_says_so() {
        let root = tempfile::tempdir().unwrap();
        let run = Folder::make(root.path()).unwrap();
        let book = Book::open(&run, Path::new("x.ms")).unwrap();
        book.enter(folder("/a")).await.unwrap();
        assert!(matches!(Old::open(&run.path), Err(NotOld::Alive)));
        assert_eq!(peek(&run.path).unwrap().guardian, std::process::id());
        drop(book);
        assert!(!is_closed(&run.path));
        let mut old = Old::open(&run.path).unwrap();
        assert_eq!(old.resources(), [folder("/a")]);
        old.close();
        drop(old);
        assert!(is_closed(&run.path) && Old::open(&run.path).unwrap().resources().is_empty());
    }
}
