//! A line with a guard at its far end: orders go there, and what comes back is told apart.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout, timeout_at};

use super::frame::{Frames, Piece};
use super::{Line, Patience, Transport, order};
use crate::backend::Task;
use crate::event::{Channel, Leak};

/// How much may be on its way from a line to the job that runs on it.
const ON_ITS_WAY: usize = 32;
/// How much is read at once.
const PIECE: usize = 64 << 10;
/// How long the far end may take to answer a question.
const ANSWER: Duration = Duration::from_secs(10);
/// How much of what a login prints before the guard is there is kept, to show it where the guard never comes.
const GREETING: usize = 400;

/// What to try where no guard comes.
const SHELLS: &str = ". A stream needs a login that runs the commands it is given, and a `sh`";

/// A line that runs one job at a time.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) control: Control,
    pub(super) heard: mpsc::Receiver<Heard>,
    /// How the cookies of its jobs begin.
    pub(super) cookies: String,
    /// How many jobs it has had.
    pub(super) jobs: usize,
    /// On which channels the job is over.
    pub(super) over: [bool; 2],
    busy: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

/// What comes down a line for the job that runs on it.
#[derive(Debug)]
pub(super) enum Heard {
    Output(Channel, Bytes),
    /// The guard says something of the job: a letter, and words.
    Frame(Channel, u8, Vec<u8>),
    /// The line has ended; why.
    Gone(String),
}

/// Gives orders to a guard.
#[derive(Clone, Debug)]
pub(super) struct Control {
    orders: mpsc::UnboundedSender<Vec<u8>>,
    questions: Arc<Questions>,
    /// Why the line has ended, once it has.
    gone: watch::Receiver<Option<String>>,
}

#[derive(Debug, Default)]
struct Questions {
    asked: AtomicUsize,
    open: Mutex<IndexMap<usize, Question>>,
}

#[derive(Debug)]
struct Question {
    said: Vec<Vec<u8>>,
    answer: oneshot::Sender<Vec<Vec<u8>>>,
}

/// What a guard is to be.
#[derive(Debug)]
pub(super) struct Prelude {
    /// Tells what the guard says from what others print.
    pub(super) nonce: String,
    /// How the cookies of its jobs begin; for the first line of a stream, those of all.
    pub(super) cookies: String,
    /// Whether it makes the folder of the stream.
    pub(super) first: bool,
    /// What all its jobs find in their environment.
    pub(super) env: Vec<(&'static str, String)>,
    /// How long it may take to be there, and waits for a sign of life.
    pub(super) patience: Patience,
}

impl Prelude {
    fn text(&self) -> String {
        let third = (self.patience.lease / 3).as_secs().max(1);
        let first = if self.first { "D" } else { "" };
        let own = format!("_n='\n' _N={} _L={third} _C={} _D={first}\n", self.nonce, self.cookies);
        let mut text = order::prologue() + &own;
        for (name, value) in &self.env {
            text.extend(["export ", name, "=", &order::quoted(value), "\n"]);
        }
        text + &order::guard()
    }
}

impl Guarded {
    /// Opens a line and waits until its guard is there: the line, and the folder that the guard has made.
    pub(super) async fn open(
        transport: &dyn Transport,
        prelude: Prelude,
        cookies: String,
    ) -> Result<(Self, String), String> {
        let limit = prelude.patience.limit();
        let late = |who: &str| format!("{who} within {}", crate::syntax::duration(prelude.patience.connect));
        let dialled = timeout_at(limit, transport.dial(order::SHELL)).await;
        let Line { stdin, stdout, stderr, end } = dialled.map_err(|_| late("the far end did not answer"))??;
        let (orders, queue) = mpsc::unbounded_channel();
        let (told, heard) = mpsc::channel(ON_ITS_WAY);
        let (greet, greeting) = oneshot::channel();
        let busy = Arc::new(AtomicBool::new(false));
        let (ended, gone) = watch::channel(None);
        let control = Control { orders, questions: Arc::default(), gone };
        let _ = control.orders.send(prelude.text().into_bytes());
        let mut tasks = JoinSet::new();
        tasks.spawn(write(stdin, queue, prelude.patience.lease / 3));
        let hearing = |channel| Hearing {
            channel,
            frames: Frames::new(&prelude.nonce),
            told: told.clone(),
            questions: Arc::clone(&control.questions),
            busy: Arc::clone(&busy),
            greet: None,
            greeted: false,
        };
        tasks.spawn(Hearing { greet: Some(greet), ..hearing(Channel::Stdout) }.stdout(stdout, end, ended));
        tasks.spawn(hearing(Channel::Stderr).stderr(stderr));
        let line = Self { control, heard, cookies, jobs: 0, over: [true; 2], busy, _tasks: tasks };
        let greeting = timeout_at(limit, greeting).await;
        let greeting = greeting.map_err(|_| late("no shell has answered at the far end") + SHELLS)?;
        let folder = greeting.unwrap_or_else(|_| Err("the line has ended".to_owned()))?;
        Ok((line, folder))
    }

    /// Begins a job: what still comes from before it is dropped.
    pub(super) fn begin(&mut self, order: Vec<u8>) {
        while self.heard.try_recv().is_ok() {}
        self.over = [false; 2];
        self.busy.store(true, Ordering::Relaxed);
        self.control.order(order);
    }

    /// What the guard says next of the job; the way it ended is noted.
    pub(super) async fn hear(&mut self) -> Heard {
        let gone = || Heard::Gone("the line has ended".to_owned());
        let heard = self.heard.recv().await.unwrap_or_else(gone);
        self.note(&heard);
        heard
    }

    /// Whether the last job is over on both channels; asks the guard to say so where only the dead remain.
    pub(super) fn calm(&mut self) -> bool {
        while let Ok(heard) = self.heard.try_recv() {
            self.note(&heard);
            if let Heard::Frame(_, b'G', _) = heard {
                self.control.order("end\n");
            }
        }
        let calm = self.over == [true; 2];
        self.busy.store(!calm, Ordering::Relaxed);
        calm
    }

    fn note(&mut self, heard: &Heard) {
        if let Heard::Frame(channel, b'E', _) = heard {
            self.over[*channel as usize] = true;
        }
    }
}

impl Control {
    /// Sends an order. One that does not arrive shows in the end of the line.
    pub(super) fn order(&self, order: impl Into<Vec<u8>>) {
        let _ = self.orders.send(order.into());
    }

    /// Asks the listener something; nothing comes back where it does not answer in time.
    async fn ask(&self, question: &str, rest: &str) -> Option<Vec<Vec<u8>>> {
        let (answer, answered) = oneshot::channel();
        let id = self.questions.asked.fetch_add(1, Ordering::Relaxed);
        self.questions.lock().insert(id, Question { said: Vec::new(), answer });
        self.order(format!(".{question} {id} {rest}\n"));
        let mut gone = self.gone.clone();
        let said = tokio::select! {
            biased;
            said = timeout(ANSWER, answered) => said.ok().and_then(Result::ok),
            // Nobody is there any more who could answer.
            _ = gone.wait_for(Option::is_some) => None,
        };
        self.questions.lock().swap_remove(&id);
        said
    }

    /// Waits until the line ends by itself; why.
    pub(super) async fn lost(mut self) -> String {
        let gone = self.gone.wait_for(Option::is_some).await.ok().and_then(|words| words.clone());
        match gone {
            Some(words) => words,
            // It was given up here: that is no loss.
            None => std::future::pending().await,
        }
    }

    /// Whether something listens on that port.
    pub(super) async fn listens(&self, port: u16) -> bool {
        self.truth("port", &format!("{port:04X}")).await
    }

    /// Whether that file exists.
    pub(super) async fn exists(&self, path: &str) -> bool {
        self.truth("file", &order::quoted(path)).await
    }

    async fn truth(&self, question: &str, rest: &str) -> bool {
        self.ask(question, rest).await.is_some_and(|said| said == [b"1".to_vec()])
    }

    /// The processes that belong to process `pid` or carry a cookie that begins so; `None`: the far end is silent.
    pub(super) async fn list(&self, pid: Option<u32>, cookie: &str) -> Option<Vec<Leak>> {
        let said = self.ask("list", &whom(pid, cookie)).await?;
        Some(said.iter().map(|said| leak(&String::from_utf8_lossy(said))).collect())
    }

    /// Sends them a signal.
    pub(super) fn hit(&self, signal: i32, pid: Option<u32>, cookie: &str) {
        self.order(format!(".hit {signal} {}\n", whom(pid, cookie)));
    }

    /// Kills them until nobody is left.
    pub(super) fn slay(&self, pid: Option<u32>, cookie: &str) {
        self.order(format!(".slay {}\n", whom(pid, cookie)));
    }
}

fn whom(pid: Option<u32>, cookie: &str) -> String {
    let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
    format!("'{pid}' {cookie}")
}

fn leak(said: &str) -> Leak {
    let (pid, command) = said.split_once(' ').unwrap_or((said, ""));
    Leak { pid: pid.parse().unwrap_or_default(), command: command.trim_end().into() }
}

impl Questions {
    fn lock(&self) -> std::sync::MutexGuard<'_, IndexMap<usize, Question>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a part of an answer: its first word is the number of the question.
    fn take(&self, words: &[u8], last: bool) {
        let end = memchr::memchr(b' ', words).unwrap_or(words.len());
        let id = std::str::from_utf8(&words[..end]).ok().and_then(|id| id.parse::<usize>().ok());
        let mut open = self.lock();
        let Some(question) = id.and_then(|id| open.get_mut(&id)) else { return };
        question.said.extend(words.get(end + 1..).map(<[u8]>::to_vec));
        if last && let Some(question) = id.and_then(|id| open.swap_remove(&id)) {
            let _ = question.answer.send(question.said);
        }
    }
}

/// Writes orders as they come, and a sign of life in between.
async fn write(
    mut stdin: Box<dyn AsyncWrite + Send + Unpin>,
    mut orders: mpsc::UnboundedReceiver<Vec<u8>>,
    every: Duration,
) {
    let mut beat = interval(every.max(Duration::from_millis(100)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.tick().await;
    loop {
        let order = tokio::select! {
            biased;
            order = orders.recv() => order,
            _ = beat.tick() => Some(b".beat\n".to_vec()),
        };
        let Some(order) = order else { break };
        let written = async {
            stdin.write_all(&order).await?;
            stdin.flush().await
        };
        if written.await.is_err() {
            break;
        }
    }
    let _ = stdin.shutdown().await;
}

/// Listens to one channel.
struct Hearing {
    channel: Channel,
    frames: Frames,
    told: mpsc::Sender<Heard>,
    questions: Arc<Questions>,
    busy: Arc<AtomicBool>,
    /// Whom to tell that the guard is there, and the folder that it has made.
    greet: Option<oneshot::Sender<Result<String, String>>>,
    greeted: bool,
}

impl Hearing {
    async fn stdout(
        mut self,
        stdout: Box<dyn AsyncRead + Send + Unpin>,
        end: Task<Option<String>>,
        gone: watch::Sender<Option<String>>,
    ) {
        let greeting = self.listen(stdout).await;
        let words = end.await;
        let advice = if words.is_none() { SHELLS } else { "" };
        let words = words.unwrap_or_else(|| ended(&greeting));
        gone.send_replace(Some(words.clone()));
        match self.greet.take() {
            Some(greet) => drop(greet.send(Err(words + advice))),
            None => drop(self.told.send(Heard::Gone(words)).await),
        }
        self.questions.lock().clear();
    }

    async fn stderr(mut self, stderr: Box<dyn AsyncRead + Send + Unpin>) {
        self.listen(stderr).await;
    }

    /// Listens to the end; what was said before the guard was there.
    async fn listen(&mut self, mut from: Box<dyn AsyncRead + Send + Unpin>) -> Vec<u8> {
        let mut greeting = Vec::new();
        let mut buffer = vec![0; PIECE];
        loop {
            let length = match from.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => length,
            };
            self.frames.feed(&buffer[..length]);
            while let Some(piece) = self.frames.next() {
                self.take(piece, &mut greeting).await;
            }
        }
        if let Some(piece) = self.frames.rest() {
            self.take(piece, &mut greeting).await;
        }
        greeting
    }

    async fn take(&mut self, piece: Piece, greeting: &mut Vec<u8>) {
        match piece {
            Piece::Output(bytes) if !self.greeted => {
                let room = GREETING.saturating_sub(greeting.len()).min(bytes.len());
                greeting.extend_from_slice(&bytes[..room]);
            }
            Piece::Output(bytes) => {
                if self.busy.load(Ordering::Relaxed) {
                    let _ = self.told.send(Heard::Output(self.channel, bytes)).await;
                }
            }
            Piece::Frame(b'R', folder) => {
                self.greeted = true;
                if let Some(greet) = self.greet.take() {
                    let _ = greet.send(Ok(String::from_utf8_lossy(&folder).into_owned()));
                }
            }
            Piece::Frame(b'L', words) => self.questions.take(&words, false),
            Piece::Frame(b'P' | b'D', words) => self.questions.take(&words, true),
            Piece::Frame(letter, words) => {
                let _ = self.told.send(Heard::Frame(self.channel, letter, words)).await;
            }
        }
    }
}

fn ended(greeting: &[u8]) -> String {
    let said = String::from_utf8_lossy(greeting);
    match said.trim() {
        "" => "the shell at the far end has ended".to_owned(),
        said => format!("the shell at the far end has ended, and said: {}", said.trim_end_matches('.')),
    }
}
