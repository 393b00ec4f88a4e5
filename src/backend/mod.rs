//! Where code runs. A backend is only the difference: how code gets there, and how its end is made sure.

pub mod docker;
pub mod guard;
pub mod ledger;
pub mod local;
pub mod scripted;
pub mod ssh;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};

use crate::code::Command;
use crate::engine::{End, Stop};
use crate::event::{Channel, Leak};
use crate::plan::StepId;

/// How much is kept of one channel for a `let`.
pub(crate) const KEPT: usize = 16 << 20;

/// A future without a name.
pub type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Opens streams of one kind.
pub trait Backend: Send + Sync {
    /// Opens a stream. The error is the reason in words, with what to try.
    fn open(&self, place: Place) -> Task<Result<Arc<dyn Session>, String>>;
}

/// A stream to open.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub name: Arc<str>,
    /// Its keys with their values.
    pub keys: Vec<(Arc<str>, crate::syntax::Value)>,
    /// The id of the run: `MSTREAM_RUN`.
    pub run: Arc<str>,
    /// The folder of the scenario: where local steps start.
    pub folder: PathBuf,
    /// A fresh folder that is its own: `MSTREAM_TMP` of a local stream. The backend makes and removes it.
    pub tmp: PathBuf,
}

/// An open stream.
pub trait Session: Send + Sync {
    /// The address that others can use.
    fn host(&self) -> Arc<str>;

    /// The whole life of one process, which may begin with the call. All it tells goes down `voice`, its end last; it
    /// listens to `orders` all the time. Dropping the future must not leave the process running for longer than the
    /// session.
    fn run(&self, job: Job, orders: watch::Receiver<Orders>, voice: Voice) -> Task<()>;

    /// Copies a file or a folder of this machine to the stream; the error in words.
    fn put(&self, from: PathBuf, to: String) -> Task<Result<(), String>>;

    /// Copies a file or a folder of the stream to this machine; the error in words.
    fn get(&self, from: String, to: PathBuf) -> Task<Result<(), String>>;

    /// Whether something listens on that TCP port where the stream is.
    fn listens(&self, port: u16) -> Task<bool>;

    /// Whether that file exists where the stream is.
    fn exists(&self, path: String) -> Task<bool>;

    /// Waits until the stream goes away by itself, whether or not anything runs there; why, in words. `None`: it cannot.
    fn lost(&self) -> Option<Task<String>> {
        None
    }

    /// Ends whatever still runs, removes what was made, and names the processes that had escaped their steps. Where
    /// something is kept for those who look for a mistake, `passed` says that there was none.
    fn close(&self, passed: bool) -> Task<Vec<Leak>>;
}

/// A process to run for a step.
#[derive(Clone, Debug)]
pub struct Job {
    /// For whom.
    pub step: StepId,
    /// What to start.
    pub command: Command,
    /// The folder to start in; relative ones below the stream's own.
    pub dir: Option<String>,
    /// Whom to run as.
    pub user: Option<String>,
    /// Hold it before its first instruction until it is released.
    pub staged: bool,
    /// Tell when it has been started.
    pub watched: bool,
    /// Keep its output for a `let`, as well as telling it.
    pub capture: bool,
}

/// What a running process is told from outside. Both only rise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Orders {
    /// Whether and how to end.
    pub stop: Stop,
    /// Whether a staged process may go.
    pub released: bool,
}

/// The one channel down which a step tells everything.
#[derive(Clone, Debug)]
pub struct Voice {
    step: StepId,
    channel: mpsc::Sender<(StepId, Told)>,
    /// A permit for each piece of output that may be on its way. Who takes pieces gives the permits back.
    room: Option<Arc<Semaphore>>,
}

/// What a step tells.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// Its process has been started: told where [`Job::watched`], and not of one that could not be.
    Started,
    /// It is held before its first instruction.
    Staged,
    /// It was let go, at that moment.
    Released(tokio::time::Instant),
    /// It printed something.
    Output(Channel, Bytes),
    /// It printed more than is kept, by that many bytes.
    Cut(Channel, u64),
    /// It left processes behind; they were killed.
    Leaked(Vec<Leak>),
    /// It ended. Nothing follows.
    Ended(End),
}

impl Voice {
    /// The voice of `step` on `channel`.
    pub fn new(step: StepId, channel: mpsc::Sender<(StepId, Told)>) -> Self {
        Self { step, channel, room: None }
    }

    /// The same, with so much room for output: who prints more than is taken waits, and nobody else does.
    #[must_use]
    pub fn within(self, room: Arc<Semaphore>) -> Self {
        Self { room: Some(room), ..self }
    }

    /// Tells something other than output; waits while the channel is full. A run that listens no more is no error.
    pub async fn tell(&self, told: Told) {
        let _ = self.channel.send((self.step, told)).await;
    }

    /// Tells of output, as soon as there is room for it.
    pub async fn print(&self, channel: Channel, piece: Bytes) {
        if let Some(turn) = self.turn().await {
            turn.print(channel, piece);
        }
    }

    /// Waits until there is room to tell of output. Nothing is lost where this is dropped half-way. `None`: the run
    /// listens no more.
    pub async fn turn(&self) -> Option<Turn<'_>> {
        let room = match &self.room {
            Some(room) => Some(room.acquire().await.ok()?),
            None => None,
        };
        let permit = self.channel.reserve().await.ok()?;
        Some(Turn { step: self.step, permit, room })
    }
}

/// Room to tell of one piece of output.
#[derive(Debug)]
pub struct Turn<'a> {
    step: StepId,
    permit: mpsc::Permit<'a, (StepId, Told)>,
    room: Option<SemaphorePermit<'a>>,
}

impl Turn<'_> {
    /// Tells of it, at once.
    pub fn print(self, channel: Channel, piece: Bytes) {
        if let Some(room) = self.room {
            room.forget();
        }
        self.permit.send((self.step, Told::Output(channel, piece)));
    }
}
