//! The folder of a run: made for its owner alone, found again by its id, locked while the run lasts.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::FlockOperation;

/// Where the folders of runs are, below the folder that mstream was started in.
const RUNS: [&str; 2] = [".mstream", "runs"];

/// The folder of one run: `.mstream/runs/ID`.
#[derive(Debug)]
pub(super) struct Folder {
    /// The run's id.
    pub(super) id: Arc<str>,
    /// The folder itself.
    pub(super) path: PathBuf,
    /// When the run began, in UTC.
    pub(super) began: Timestamp,
    /// Held while the run lasts: whoever is killed lets go of it.
    _lock: File,
}

impl Folder {
    /// Makes a folder of its own below `root`, for nobody else to read.
    pub(super) fn make(root: &Path) -> io::Result<Self> {
        let mut runs = root.to_owned();
        for part in RUNS {
            runs.push(part);
            private(&runs)?;
            owned(&runs)?;
        }
        let began = Timestamp::now();
        let mut random = [0_u8; 3];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let [a, b, c] = random;
        let id: Arc<str> = format!("{}-{a:02x}{b:02x}{c:02x}", began.strftime("%Y%m%d-%H%M%S")).into();
        let path = runs.join(&*id);
        // Not one that is there already.
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = create(&path.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { id, path, began, _lock: lock })
    }
}

/// Where the folders of runs are.
pub(super) fn runs(root: &Path) -> PathBuf {
    RUNS.iter().fold(root.to_owned(), |path, part| path.join(part))
}

/// The lock of a run; nothing while somebody holds it.
pub(super) fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(folder.join("lock"))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes a folder, and those above it, for its owner alone.
pub(super) fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Refuses a folder that somebody else has put there, or a link of theirs.
fn owned(path: &Path) -> io::Result<()> {
    let us = rustix::process::geteuid().as_raw();
    for owner in [path.symlink_metadata()?.uid(), path.metadata()?.uid()] {
        if owner != us && owner != 0 {
            return Err(io::Error::other(format!("`{}` belongs to somebody else", path.display())));
        }
    }
    Ok(())
}

/// A new file for its owner alone; never one that is there already, never through a link.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// A file of a run, to be read.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Brings the names in a folder to the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
