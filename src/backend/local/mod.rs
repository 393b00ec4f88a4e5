//! Streams of this machine. Each step is a process in a session and a group of its own.

mod cgroup;
pub(super) mod copy;
mod environment;
mod kin;
mod launch;
mod probe;
mod process;
mod pump;
mod remove;
mod spare;
mod sweep;
#[cfg(test)]
mod tests;
mod ticks;

use std::ffi::{CString, OsString};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;

pub use self::cgroup::Cgroup;
use self::environment::Environment;
use self::kin::{COOKIE, Claim};
use self::launch::{PWD, Standing};
pub use self::remove::remove_tree;
use self::spare::Spares;
pub use self::sweep::{Ended, end_cgroup, end_descendants, end_marked, let_leave, marked, started};
use self::ticks::Ticks;
use super::{Backend, Job, Orders, Place, Session, Task, Voice};
use crate::event::Leak;
use crate::sys;

/// Tells the streams of one mstream apart, in their cookies.
static STREAMS: AtomicUsize = AtomicUsize::new(1);

/// How many streams are open in this mstream: the last one to close sweeps up the strays that nobody else can claim.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Opens streams of this machine.
#[derive(Debug)]
pub struct LocalBackend {
    env: Vec<(OsString, OsString)>,
    spares: Arc<Spares>,
    ticks: Arc<Ticks>,
}

/// An open stream of this machine.
#[derive(Debug)]
struct LocalSession(Arc<Local>);

/// What the processes of a stream share.
#[derive(Debug)]
pub(crate) struct Local {
    environment: Environment,
    folder: PathBuf,
    /// Where its processes start that are told nothing else: that folder.
    standing: Standing,
    tmp: PathBuf,
    /// How the cookies of all its processes begin, up to the number of the process.
    cookies: String,
    started: AtomicUsize,
    /// Whether it counts among the open ones.
    open: AtomicBool,
    spares: Arc<Spares>,
    ticks: Arc<Ticks>,
}

impl LocalBackend {
    /// Streams whose processes inherit `env`. From now on this process looks after the orphans among its descendants.
    pub fn new(env: Vec<(OsString, OsString)>) -> Self {
        kin::adopt_orphans();
        sys::seal_descriptors();
        Self { env, spares: Arc::default(), ticks: Arc::default() }
    }

    fn enter(&self, place: &Place) -> Result<LocalSession, String> {
        sys::reserve().map_err(|error| format!("cannot open /dev/null: {error}"))?;
        make_private(&place.tmp).map_err(|error| format!("cannot make the folder {}: {error}", place.tmp.display()))?;
        let standing = Standing::at(&place.folder)?;
        let mut own = vec![
            ("MSTREAM_RUN", place.run.as_ref().as_ref()),
            ("MSTREAM_STREAM", place.name.as_ref().as_ref()),
            ("MSTREAM_TMP", place.tmp.as_os_str()),
        ];
        own.extend(standing.name.as_deref().map(|name| (PWD, name)));
        let number = STREAMS.fetch_add(1, Ordering::Relaxed);
        OPEN.fetch_add(1, Ordering::Relaxed);
        Ok(LocalSession(Arc::new(Local {
            environment: Environment::new(&self.env, &own),
            folder: place.folder.clone(),
            standing,
            tmp: place.tmp.clone(),
            cookies: format!("{}{number}.", everybody()),
            started: AtomicUsize::new(0),
            open: AtomicBool::new(true),
            spares: Arc::clone(&self.spares),
            ticks: Arc::clone(&self.ticks),
        })))
    }
}

impl Backend for LocalBackend {
    fn open(&self, place: Place) -> Task<Result<Arc<dyn Session>, String>> {
        let entered = self.enter(&place);
        Box::pin(async move { entered.map(|session| Arc::new(session) as Arc<dyn Session>) })
    }
}

impl Session for LocalSession {
    fn host(&self) -> Arc<str> {
        "127.0.0.1".into()
    }

    fn run(&self, job: Job, orders: watch::Receiver<Orders>, voice: Voice) -> Task<()> {
        process::live(Arc::clone(&self.0), job, orders, voice)
    }

    fn put(&self, from: PathBuf, to: String) -> Task<Result<(), String>> {
        let to = self.0.path(&to);
        Box::pin(async move { copy::copy(&from, &to).await })
    }

    fn get(&self, from: String, to: PathBuf) -> Task<Result<(), String>> {
        let from = self.0.path(&from);
        Box::pin(async move { copy::copy(&from, &to).await })
    }

    fn listens(&self, port: u16) -> Task<bool> {
        Box::pin(async move { probe::listens(port) })
    }

    fn exists(&self, path: String) -> Task<bool> {
        let path = self.0.path(&path);
        Box::pin(async move { path.exists() })
    }

    fn close(&self, _passed: bool) -> Task<Vec<Leak>> {
        let local = Arc::clone(&self.0);
        Box::pin(async move { local.close().await })
    }
}

impl Local {
    /// The cookie of the next process: `MSTREAM_STEP=PID-STREAM.NUMBER`.
    fn cookie(&self) -> CString {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        CString::new(format!("{}{number}", self.cookies)).unwrap_or_default()
    }

    /// A path in the stream: relative ones start in its folder.
    fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Counts no longer among the open streams; whether it was the last one.
    fn leave(&self) -> bool {
        self.open.swap(false, Ordering::Relaxed) && OPEN.fetch_sub(1, Ordering::Relaxed) == 1
    }

    async fn close(&self) -> Vec<Leak> {
        self.spares.clear();
        let mut claims = vec![Claim::Stream(self.cookies.clone().into_bytes())];
        if self.leave() {
            claims.push(Claim::Nobody(everybody().into_bytes()));
        }
        let mut leaks = Vec::new();
        for claim in claims {
            leaks.extend(kin::describe(&process::remaining(&claim).await));
            process::exterminate(&claim).await;
        }
        if let Err(error) = remove_tree(&self.tmp) {
            let command = format!("the folder {} could not be removed: {error}", self.tmp.display());
            leaks.push(Leak { pid: 0, command: command.into() });
        }
        leaks
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.leave();
    }
}

/// How the cookies of all processes of this mstream begin.
fn everybody() -> String {
    format!("{COOKIE}={}-", std::process::id())
}

/// Makes a folder that only this user can enter, and its parents.
fn make_private(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    DirBuilder::new().mode(0o700).create(folder)
}
