//! What streams on other machines and in containers share: one constant command at the far end reads a short shell
//! text, the guard, which runs jobs and makes sure of their end. A backend brings only the way there, a [`Transport`].
//!
//! Code, values and secrets travel on stdin, never in an argument list. A job that ends says so in band, so that a
//! lost line is never taken for a status. When a line ends, or no sign of life comes for the time of a lease, its guard
//! ends all that it has started.

pub(crate) mod frame;
mod job;
mod line;
mod order;
#[cfg(test)]
mod tests;
pub(crate) mod transfer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::line::{Control, Guarded, Heard, Prelude};
pub use self::order::SHELL;
use super::{Job, Orders, Place, Session, Task, Voice};
use crate::event::Leak;

/// Without a sign of life for so long, a guard ends all that it has started, unless it is told otherwise.
pub const LEASE: &str = "30s";

/// How long the far end may take to tidy up.
const TIDYING: Duration = Duration::from_secs(10);

/// The way to the far end of a stream.
pub trait Transport: Send + Sync + 'static {
    /// Runs `command` at the far end with a POSIX `sh`, and connects its stdin, stdout and stderr. The command is
    /// constant: what it is to do comes down its stdin. The error is the reason in words, with what to try.
    fn dial(&self, command: &'static str) -> Task<Result<Line, String>>;
}

/// The two directions to a process at the far end.
pub struct Line {
    /// Its stdin; it ends when this is shut down or dropped.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its stdout, until it or the way there ends.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its stderr, apart from stdout.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Asked after stdout has ended: why the way there ended, in words; `None` where the process has ended by itself.
    pub end: Task<Option<String>>,
}

/// How long a guard waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a line to be there, its guard included.
    pub connect: Duration,
    /// For a sign of life, before it ends everything. At least three seconds.
    pub lease: Duration,
}

impl Patience {
    /// When to give a line up: a little before the run gives the stream up, which could not say why.
    pub fn limit(&self) -> Instant {
        Instant::now() + self.connect.mul_f64(0.95)
    }
}

/// An open stream at the far end of a transport.
pub struct Far {
    transport: Arc<dyn Transport>,
    host: Arc<str>,
    place: Place,
    patience: Patience,
    /// How the cookies of all its processes begin.
    token: String,
    /// The first line: it owns the folder, and is asked whatever is asked of the stream.
    first: Control,
    /// The folder of the stream at the far end: `MSTREAM_TMP`.
    folder: String,
    /// Lines that run no job.
    idle: Mutex<Vec<Guarded>>,
    numbers: AtomicUsize,
}

/// A session over [`Far`].
struct FarSession(Arc<Far>);

impl Far {
    /// Opens a stream over `transport`.
    pub async fn open(transport: Arc<dyn Transport>, place: Place, patience: Patience) -> Result<Self, String> {
        let token = random();
        let env = vec![("MSTREAM_RUN", place.run.to_string()), ("MSTREAM_STREAM", place.name.to_string())];
        let cookies = format!("{token}.");
        let prelude = Prelude { nonce: random(), cookies, first: true, env, patience };
        let (line, folder) = Guarded::open(&*transport, prelude, format!("{token}.0.")).await?;
        if folder.is_empty() {
            return Err("the far end has no room for a temporary folder: `mktemp -d` fails there".to_owned());
        }
        let first = line.control.clone();
        let idle = Mutex::new(vec![line]);
        let numbers = AtomicUsize::new(1);
        let host = Arc::clone(&place.name);
        Ok(Self { transport, host, place, patience, token, first, folder, idle, numbers })
    }

    /// The session; `host` is the address that others can use.
    pub fn reached_at(mut self, host: Arc<str>) -> Arc<dyn Session> {
        self.host = host;
        Arc::new(FarSession(Arc::new(self)))
    }

    /// A line that runs no job: one that is there, else a new one.
    async fn line(&self) -> Result<Guarded, String> {
        if let Some(line) = self.rested() {
            return Ok(line);
        }
        let cookies = format!("{}.{}.", self.token, self.number());
        let own = [
            ("MSTREAM_RUN", self.place.run.to_string()),
            ("MSTREAM_STREAM", self.place.name.to_string()),
            ("MSTREAM_TMP", self.folder.clone()),
        ];
        let prelude = Prelude {
            nonce: random(),
            cookies: cookies.clone(),
            first: false,
            env: own.into(),
            patience: self.patience,
        };
        Ok(Guarded::open(&*self.transport, prelude, cookies).await?.0)
    }

    /// The line used last that is free again.
    fn rested(&self) -> Option<Guarded> {
        let mut idle = self.idle();
        let at = idle.iter_mut().rposition(Guarded::calm)?;
        Some(idle.remove(at))
    }

    fn give_back(&self, line: Guarded) {
        self.idle().push(line);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Guarded>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn folder(&self) -> &str {
        &self.folder
    }

    fn dial(&self, command: &'static str) -> Task<Result<Line, String>> {
        self.transport.dial(command)
    }

    /// A fresh folder of this machine for files on their way.
    fn place_of_files(&self) -> PathBuf {
        self.place.tmp.join(format!("files-{}", self.number()))
    }

    async fn close(&self) -> Vec<Leak> {
        let everybody = format!("{}.", self.token);
        let mut leaks = Vec::new();
        match self.first.list(None, &everybody).await {
            Some(left) if left.is_empty() => {}
            Some(left) => {
                self.first.slay(None, &everybody);
                leaks = left;
            }
            None => {
                let command = format!("nobody knows what still runs on {}: the line there is silent", self.host);
                leaks.push(Leak { pid: 0, command: command.into() });
            }
        }
        let mut lines = std::mem::take(&mut *self.idle());
        for line in &lines {
            line.control.order(".quit\n");
        }
        let tidying = async {
            for line in &mut lines {
                while !matches!(line.hear().await, Heard::Gone(_) | Heard::Frame(_, b'Q', _)) {}
            }
        };
        let _ = timeout(TIDYING, tidying).await;
        leaks
    }
}

impl Session for FarSession {
    fn host(&self) -> Arc<str> {
        Arc::clone(&self.0.host)
    }

    fn run(&self, job: Job, orders: watch::Receiver<Orders>, voice: Voice) -> Task<()> {
        let far = Arc::clone(&self.0);
        Box::pin(async move { job::live(&far, job, orders, voice).await })
    }

    fn put(&self, from: PathBuf, to: String) -> Task<Result<(), String>> {
        let far = Arc::clone(&self.0);
        Box::pin(async move { far.put(from, to).await })
    }

    fn get(&self, from: String, to: PathBuf) -> Task<Result<(), String>> {
        let far = Arc::clone(&self.0);
        Box::pin(async move { far.get(from, to).await })
    }

    fn listens(&self, port: u16) -> Task<bool> {
        let first = self.0.first.clone();
        Box::pin(async move { first.listens(port).await })
    }

    fn exists(&self, path: String) -> Task<bool> {
        let first = self.0.first.clone();
        Box::pin(async move { first.exists(&path).await })
    }

    fn lost(&self) -> Option<Task<String>> {
        let first = self.0.first.clone();
        Some(Box::pin(async move { first.lost().await }))
    }

    fn close(&self, _passed: bool) -> Task<Vec<Leak>> {
        let far = Arc::clone(&self.0);
        Box::pin(async move { far.close().await })
    }
}

/// 64 random bits, in hexadecimal: a name that nobody can guess.
pub fn random() -> String {
    let mut bytes = [0_u8; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(rustix::io::Errno::INTR) => {}
            // A kernel without randomness does not start mstream at all.
            Err(_) => break,
        }
    }
    format!("{:016x}", u64::from_ne_bytes(bytes))
}
