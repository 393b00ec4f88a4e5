//! Connections to hosts. One carries up to eight sessions; the first is that of the `ssh` process itself, the others
//! go through its control socket. A host gets another connection when all are full.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openssh::{Session, Stdio as Pipe};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::askpass::Askpass;
use super::login::Login;
use super::reason;
use crate::backend::guard::{Line, Patience};

/// So many sessions go over one connection: `sshd` allows 10 unless it is told otherwise.
const SESSIONS: usize = 8;
/// So many connections to one host are made at the same time: `sshd` begins to refuse at 10.
const CONNECTING: usize = 4;
/// How often to look whether a connection is there.
const LOOK: Duration = Duration::from_millis(3);
/// So long before the line is given up, the connection is.
const MOMENT: Duration = Duration::from_millis(20);
/// How long a process may take to end after its session has.
const ENDING: Duration = Duration::from_secs(2);
/// So much of a complaint is read.
const COMPLAINT: u64 = 64 << 10;
/// The first pause before another try where the host was too busy; it doubles.
const AGAIN: Duration = Duration::from_millis(100);

/// A host, with the connections to it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) login: Login,
    folder: PathBuf,
    patience: Patience,
    connecting: Semaphore,
    masters: Mutex<Vec<Arc<Master>>>,
    numbers: Arc<AtomicUsize>,
}

/// One connection.
#[derive(Debug)]
struct Master {
    socket: PathBuf,
    log: PathBuf,
    shown: String,
    sessions: AtomicUsize,
    state: watch::Sender<State>,
    /// Until the last session has gone.
    process: Mutex<Option<Process>>,
}

/// An `ssh`, and what answers its questions. It is killed when this is dropped.
#[derive(Debug)]
struct Process(Child, #[expect(dead_code, reason = "it answers as long as it is kept")] Option<Askpass>);

/// How far a connection is.
#[derive(Clone, PartialEq, Debug)]
enum State {
    Connecting,
    Open,
    /// It is of no use any more; why.
    Ended(String),
}

/// A session on a connection; it counts as long as this lives.
struct Seat(Arc<Master>);

impl Seat {
    fn take(master: &Arc<Master>) -> Option<Self> {
        // Nobody joins one that its last session has left.
        let free = |taken: usize| (1..SESSIONS).contains(&taken).then_some(taken + 1);
        let taken = master.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        taken.ok().map(|_| Self(Arc::clone(master)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.0.sessions.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.state.send_replace(State::Ended("the connection was closed".to_owned()));
            drop(self.0.process().take());
        }
    }
}

impl Host {
    /// A host whose sockets and logs stand in `folder`, and that gets `patience` for each connection.
    pub(super) fn new(login: Login, folder: PathBuf, patience: Patience, numbers: Arc<AtomicUsize>) -> Self {
        let connecting = Semaphore::new(CONNECTING);
        Self { login, folder, patience, connecting, masters: Mutex::default(), numbers }
    }

    /// Opens a session that runs `command`.
    pub(super) async fn dial(&self, command: &'static str) -> Result<Line, String> {
        let (seat, fresh) = self.seat();
        if fresh {
            return self.connect(seat, command).await;
        }
        let mut state = seat.0.state.subscribe();
        let known = state.wait_for(|state| *state != State::Connecting).await.map(|state| state.clone());
        match known {
            Ok(State::Open) => self.join(seat, command).await,
            Ok(State::Ended(words)) => Err(words),
            Ok(State::Connecting) | Err(_) => Err(format!("the connection to {} was given up", self.login.shown)),
        }
    }

    /// A session on a connection with room, else the first of a new one.
    fn seat(&self) -> (Seat, bool) {
        let mut masters = self.masters.lock().unwrap_or_else(PoisonError::into_inner);
        masters.retain(|master| !matches!(*master.state.borrow(), State::Ended(_)));
        if let Some(seat) = masters.iter().find_map(Seat::take) {
            return (seat, false);
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let master = Arc::new(Master {
            socket: self.folder.join(number.to_string()),
            log: self.folder.join(format!("{number}.log")),
            shown: self.login.shown.clone(),
            sessions: AtomicUsize::new(1),
            state: watch::Sender::new(State::Connecting),
            process: Mutex::default(),
        });
        masters.push(Arc::clone(&master));
        (Seat(master), true)
    }

    /// Makes the connection of `seat`, tried again where the host refuses before it has asked who comes.
    async fn connect(&self, seat: Seat, command: &'static str) -> Result<Line, String> {
        let giving_up = GivingUp(&seat.0);
        let limit = self.patience.limit();
        let (mut pause, mut refused) = (AGAIN, String::new());
        let connected = loop {
            let trying = async {
                let _turn = self.connecting.acquire().await;
                self.attempt(&seat.0, command).await
            };
            let late = || format!("{refused}\nno answer within {}", crate::syntax::duration(self.patience.connect));
            match timeout_at(limit - MOMENT, trying).await.unwrap_or_else(|_| Err(late())) {
                Err(words) if reason::is_busy(&words) && Instant::now() + pause < limit => {
                    sleep(pause).await;
                    pause *= 2;
                    refused = words;
                }
                tried => break tried,
            }
        };
        std::mem::forget(giving_up);
        match connected {
            Ok((line, process)) => {
                *seat.0.process() = Some(process);
                seat.0.state.send_replace(State::Open);
                Ok(Line { end: Box::pin(async move { seat.0.ended().await }), ..line })
            }
            Err(mut said) => {
                if reason::lacks_key(&said) {
                    said += &timeout_at(limit, self.login.key_of_host()).await.unwrap_or_default();
                }
                let words = reason::explain(&self.login.shown, &self.login.config.known(&said));
                seat.0.state.send_replace(State::Ended(words.clone()));
                Err(words)
            }
        }
    }

    /// One try: the line and its process, once the control socket is there. The error is what `ssh` said.
    async fn attempt(&self, master: &Master, command: &str) -> Result<(Line, Process), String> {
        let askpass = match &self.login.password {
            Some(password) => {
                let who = self.login.resolved().await;
                let who = format!("{}@{}", who.user, who.hostname);
                Some(Askpass::open(master.socket.with_extension("ask"), Arc::clone(password), who)?)
            }
            None => None,
        };
        // What an earlier try said is of no interest now.
        let _ = std::fs::remove_file(&master.log);
        let mut process = Command::new("ssh");
        process.args(&self.login.words).arg("-E").arg(&master.log);
        process.arg("-o").arg(format!("ControlPath=\"{}\"", master.socket.display()));
        process.args(["--", &self.login.host, command]);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A Ctrl-C at the terminal is mstream's to hear, and not that of its connections.
        process.process_group(0).kill_on_drop(true);
        // Nobody is asked at the terminal, by the `ssh` of a jump host neither.
        process.env("SSH_ASKPASS_REQUIRE", "force").env("SSH_ASKPASS", "/bin/false");
        if let Some(askpass) = &askpass {
            askpass.prepare(&mut process)?;
        }
        let mut child = process.spawn().map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let client = if missing { ": OpenSSH's client is needed" } else { "" };
            format!("ssh cannot be started: {error}{client}")
        })?;
        // Waiting for the process would close its stdin.
        let (stdin, stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        loop {
            tokio::select! {
                biased;
                status = child.wait() => {
                    let said = complaint(stderr.as_mut()).await + &master.log();
                    let silent = || format!("ssh ended with {}", status.map_or_else(|error| error.to_string(), |it| it.to_string()));
                    return Err(if said.is_empty() { silent() } else { said });
                }
                () = sleep(LOOK) => {
                    if master.socket.exists() {
                        break;
                    }
                }
            }
        }
        let missing = || "ssh was started without pipes".to_owned();
        let line = Line {
            stdin: Box::new(stdin.ok_or_else(missing)?),
            stdout: Box::new(stdout.ok_or_else(missing)?),
            stderr: Box::new(stderr.ok_or_else(missing)?),
            end: Box::pin(std::future::ready(None)),
        };
        Ok((line, Process(child, askpass)))
    }

    /// One more session on a connection that is there.
    async fn join(&self, seat: Seat, command: &str) -> Result<Line, String> {
        let session = Arc::new(Session::resume_mux(seat.0.socket.clone().into(), None));
        let mut remote = Session::to_raw_command(session, command);
        remote.stdin(Pipe::piped()).stdout(Pipe::piped()).stderr(Pipe::piped());
        let mut child = remote.spawn().await.map_err(|error| {
            let said = seat.0.said();
            let said = if said.is_empty() { chain(&error) } else { said };
            let words = format!("{} takes no further session: {said}", self.login.shown);
            seat.0.state.send_replace(State::Ended(words.clone()));
            words
        })?;
        let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let missing = || "the session has no pipes".to_owned();
        Ok(Line {
            stdin: Box::new(stdin.ok_or_else(missing)?),
            stdout: Box::new(stdout.ok_or_else(missing)?),
            stderr: Box::new(stderr.ok_or_else(missing)?),
            end: Box::pin(async move {
                let ended = child.wait().await;
                // A shell that was killed, and a connection that went: only the latter takes the socket with it.
                let lost = ended.is_err() && !seat.0.socket.exists();
                lost.then(|| seat.0.is_lost())
            }),
        })
    }
}

impl Master {
    fn log(&self) -> String {
        crate::backend::ssh::read(&self.log)
    }

    /// The last that `ssh` has said.
    fn said(&self) -> String {
        reason::last_words(&self.log())
    }

    /// The connection is gone; why.
    fn is_lost(&self) -> String {
        let words = reason::lost(&self.shown, &self.said());
        self.state.send_replace(State::Ended(words.clone()));
        words
    }

    /// Waits until the process has ended, whose own session has; why the connection is gone, if that is why.
    async fn ended(&self) -> Option<String> {
        let limit = Instant::now() + ENDING;
        loop {
            let status = match &mut *self.process() {
                Some(Process(child, _)) => child.try_wait(),
                None => return Some(self.is_lost()),
            };
            match status {
                Ok(None) if Instant::now() < limit => sleep(LOOK).await,
                // What else the shell at the far end comes to: it ended, and the connection did not.
                Ok(Some(status)) if status.code().is_some_and(|code| code != 255) => {
                    self.is_lost();
                    return None;
                }
                Ok(None) => return None,
                Ok(Some(_)) | Err(_) => return Some(self.is_lost()),
            }
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is given up half-way is of no use to those who wait for it.
struct GivingUp<'a>(&'a Arc<Master>);

impl Drop for GivingUp<'_> {
    fn drop(&mut self) {
        let words = format!("the connection to {} was given up", self.0.shown);
        self.0.state.send_replace(State::Ended(words));
    }
}

/// What the way to the host has to say, a jump host for one, where `ssh` itself writes into its log.
async fn complaint(stderr: Option<&mut ChildStderr>) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = stderr {
        // Whoever holds it open after the end of `ssh` has nothing to say about it.
        let _ = timeout(ENDING, stderr.take(COMPLAINT).read_to_end(&mut said)).await;
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

/// Whether a control socket in this folder has a name that fits: the kernel takes 107 bytes, and `ssh` adds 17.
pub(super) fn fits(folder: &Path) -> bool {
    folder.as_os_str().len() + "/9999.ask".len() + 17 < 107
}
