//! The life of one job on a line, from the order to run it until nothing of it is left.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Far;
use super::line::{Guarded, Heard};
use super::order::{self, Content};
use crate::backend::{Job, KEPT, Orders, Told, Voice};
use crate::engine::{Captured, End, Stop};
use crate::event::{Channel, Exit};

/// How long others may take to follow the first process of a step.
const FOLLOW: Duration = Duration::from_millis(100);
/// How long the far end may take over those that were killed, before the line is given up.
const DYING: Duration = Duration::from_secs(10);

/// Runs `job` from its start to its end, and tells `voice` all of it.
pub(super) async fn live(far: &Far, job: Job, mut orders: watch::Receiver<Orders>, voice: Voice) {
    let told = *orders.borrow_and_update();
    let beginning = async { if let Some(exit) = stopped(told.stop) { Err(exit) } else { start(far, &job).await } };
    let line = tokio::select! {
        biased;
        exit = asked_to_stop(orders.clone()) => Err(exit),
        line = beginning => line,
    };
    let line = match line {
        Ok(line) => line,
        Err(exit) => return voice.tell(Told::Ended(End { exit, captured: None })).await,
    };
    let cookie = format!("{}{}", line.cookies, line.jobs);
    let captured = job.capture.then(Box::default);
    let mut it = Life {
        held: Held { far, line: Some(line), cookie, pid: None },
        job: &job,
        status: None,
        signalled: false,
        starved: false,
        refused: None,
        released: None,
        stop: Stop::No,
        grouped: false,
        due: None,
        deadline: None,
        captured,
        cut: [0; 2],
        orders,
        voice,
    };
    it.follow(true);
    let exit = it.run().await;
    it.end(exit).await;
}

fn stopped(stop: Stop) -> Option<Exit> {
    match stop {
        Stop::No => None,
        Stop::Gently(signal) => Some(Exit::Signal(signal)),
        Stop::Now => Some(Exit::Signal(libc::SIGKILL)),
    }
}

/// Waits until somebody orders a stop.
async fn asked_to_stop(mut orders: watch::Receiver<Orders>) -> Exit {
    loop {
        let given = orders.changed().await.is_ok();
        let stop = if given { orders.borrow_and_update().stop } else { Stop::Now };
        if let Some(exit) = stopped(stop) {
            return exit;
        }
    }
}

/// Takes a line and orders it to run the job.
async fn start(far: &Far, job: &Job) -> Result<Guarded, Exit> {
    let lost = |words: String| Exit::Lost(words.into());
    let mut paths = [None, None];
    for (content, path) in [&job.command.stdin, &job.command.script].into_iter().zip(&mut paths) {
        if let Some(content) = content.as_ref().filter(|content| content.len() > order::LONG) {
            *path = Some(far.upload(content).await.map_err(lost)?);
        }
    }
    let mut line = far.line().await.map_err(lost)?;
    line.jobs += 1;
    let cookie = format!("{}{}", line.cookies, line.jobs);
    let mut env: Vec<(&str, &[u8])> = vec![("MSTREAM_STEP", cookie.as_bytes())];
    env.extend(job.command.env.iter().map(|(name, value)| (&**name, value.as_slice())));
    let stdin = contents(job.command.stdin.as_deref(), paths[0].as_deref());
    let script = contents(job.command.script.as_deref(), paths[1].as_deref());
    match order::job(job, &env, stdin, script) {
        Ok(order) => line.begin(order),
        Err(words) => {
            far.give_back(line);
            return Err(Exit::NotStarted(words.into()));
        }
    }
    Ok(line)
}

fn contents<'a>(bytes: Option<&'a [u8]>, path: Option<&'a str>) -> Content<'a> {
    match (bytes, path) {
        (_, Some(path)) => Content::File(path),
        (Some(bytes), None) => Content::Bytes(bytes),
        (None, None) => Content::Nothing,
    }
}

struct Life<'a> {
    held: Held<'a>,
    job: &'a Job,
    /// How its first process ended.
    status: Option<i32>,
    /// Whether that was by a signal.
    signalled: bool,
    /// Whether the system killed a process for want of memory while it ran.
    starved: bool,
    /// Why it was not started.
    refused: Option<String>,
    /// When it was let go: the word of it is on its way to the job, and back.
    released: Option<Instant>,
    stop: Stop,
    /// Whether the guard waits for the rest of the group to go, and then for the word that the job is over.
    grouped: bool,
    /// When to look at what is left.
    due: Option<Instant>,
    /// By when those that were killed have to be gone.
    deadline: Option<Instant>,
    captured: Option<Box<Captured>>,
    cut: [u64; 2],
    orders: watch::Receiver<Orders>,
    voice: Voice,
}

/// A line in use. Dropped before the job is over, it has the job killed, and nobody uses it until that is done.
struct Held<'a> {
    far: &'a Far,
    line: Option<Guarded>,
    cookie: String,
    pid: Option<u32>,
}

impl Held<'_> {
    fn slay(&self) {
        if let Some(line) = &self.line {
            line.control.slay(self.pid, &self.cookie);
        }
    }

    fn order(&self, order: impl Into<Vec<u8>>) {
        if let Some(line) = &self.line {
            line.control.order(order);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.slay();
        if let Some(line) = self.line.take() {
            self.far.give_back(line);
        }
    }
}

/// What comes next in a life.
enum Turn {
    Ordered(bool),
    Heard(Heard),
    Due,
}

impl Life<'_> {
    /// Follows the job to its end.
    async fn run(&mut self) -> Exit {
        loop {
            let Some(line) = &mut self.held.line else { return Exit::Lost("the line has ended".into()) };
            let listening = self.stop != Stop::Now;
            let due = self.due;
            let turn = tokio::select! {
                biased;
                changed = self.orders.changed(), if listening => Turn::Ordered(changed.is_ok()),
                heard = line.hear() => Turn::Heard(heard),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Turn::Due,
            };
            match turn {
                Turn::Ordered(given) => self.follow(given),
                Turn::Heard(Heard::Output(channel, bytes)) => {
                    self.keep(channel, &bytes);
                    self.voice.print(channel, bytes).await;
                }
                Turn::Heard(Heard::Frame(_, letter, words)) => self.said(letter, &words).await,
                Turn::Heard(Heard::Gone(words)) => {
                    self.held.line = None;
                    return Exit::Lost(words.into());
                }
                Turn::Due => {
                    if !self.look().await {
                        self.held.line = None;
                        return Exit::Lost("the far end does not get rid of the processes of this step".into());
                    }
                }
            }
            if self.held.line.as_ref().is_some_and(|line| line.over == [true; 2]) {
                return self.exit();
            }
        }
    }

    /// The guard has said something of the job.
    async fn said(&mut self, letter: u8, words: &[u8]) {
        let words = String::from_utf8_lossy(words);
        match letter {
            b'S' => {
                self.held.pid = words.parse().ok();
                if self.job.watched {
                    self.voice.tell(Told::Started).await;
                }
                if self.job.staged {
                    self.held.order(format!(".held {words}\n"));
                }
                self.stop_again();
            }
            b'W' => self.voice.tell(Told::Staged).await,
            b'T' => {
                // Half of the way there and back: nobody knows the clock at the far end.
                if let Some(sent) = self.released {
                    self.voice.tell(Told::Released(sent + sent.elapsed() / 2)).await;
                }
            }
            b'O' => self.starved = true,
            b'F' => self.refused = Some(words.into_owned()),
            b'X' => {
                self.status = words.parse().ok();
                self.settle();
            }
            b'G' | b'E' => {
                self.signalled |= words == "s";
                if letter == b'G' {
                    self.grouped = true;
                    self.settle();
                }
            }
            _ => {}
        }
    }

    /// The first process has ended, and others may be there.
    fn settle(&mut self) {
        if self.stop == Stop::Now {
            self.kill();
        } else {
            self.due = Some(Instant::now() + FOLLOW);
        }
    }

    fn kill(&mut self) {
        self.held.slay();
        self.due = Some(Instant::now() + FOLLOW);
        self.deadline.get_or_insert(Instant::now() + DYING);
    }

    /// Looks at who is left and sees to it; `false`: the line is of no use any more.
    async fn look(&mut self) -> bool {
        let Some(line) = &self.held.line else { return false };
        let Some(left) = line.control.list(self.held.pid, &self.held.cookie).await else { return false };
        if left.is_empty() && std::mem::take(&mut self.grouped) {
            self.held.order("end\n");
            self.due = None;
            return true;
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return false;
        }
        match self.stop {
            Stop::Gently(_) => self.due = Some(Instant::now() + FOLLOW),
            Stop::No if self.deadline.is_none() && !left.is_empty() => {
                self.voice.tell(Told::Leaked(left)).await;
                self.kill();
            }
            Stop::No | Stop::Now => self.kill(),
        }
        true
    }

    /// Does what has been ordered; `given` is false where there is nobody any more to give orders.
    fn follow(&mut self, given: bool) {
        let orders = *self.orders.borrow_and_update();
        let stop = if given { orders.stop } else { Stop::Now };
        if stop > self.stop {
            self.stop = stop;
            self.stop_again();
        }
        if orders.released && self.released.is_none() {
            self.released = Some(Instant::now());
            self.held.order(".go\n");
        }
    }

    /// Tells the guard to stop the job: when that is ordered, and when the job is there.
    fn stop_again(&mut self) {
        match self.stop {
            Stop::No => {}
            Stop::Gently(signal) => {
                if let Some(line) = &self.held.line {
                    line.control.hit(signal, self.held.pid, &self.held.cookie);
                }
            }
            Stop::Now => self.kill(),
        }
    }

    fn exit(&mut self) -> Exit {
        if let Some(words) = self.refused.take() {
            return Exit::NotStarted(words.into());
        }
        let Some(status) = self.status else { return Exit::Lost("the far end did not say how the step ended".into()) };
        if self.starved {
            return Exit::OutOfMemory(status);
        }
        let signal = status - 128;
        // Not every shell tells every signal from a status: those that were sent are known.
        let sent = match self.stop {
            Stop::No => false,
            Stop::Gently(sent) => signal == sent,
            Stop::Now => signal == libc::SIGKILL,
        };
        if signal > 0 && (self.signalled || sent) { Exit::Signal(signal) } else { Exit::Status(status) }
    }

    async fn end(mut self, exit: Exit) {
        if let Some(line) = self.held.line.take() {
            self.held.far.give_back(line);
        }
        for (channel, cut) in [Channel::Stdout, Channel::Stderr].into_iter().zip(self.cut) {
            if cut > 0 {
                self.voice.tell(Told::Cut(channel, cut)).await;
            }
        }
        let captured = self.captured.take();
        self.voice.tell(Told::Ended(End { exit, captured })).await;
    }

    /// Keeps output for a `let`, as far as there is room.
    fn keep(&mut self, channel: Channel, bytes: &[u8]) {
        let Some(captured) = &mut self.captured else { return };
        let kept = match channel {
            Channel::Stdout => &mut captured.stdout,
            Channel::Stderr => &mut captured.stderr,
        };
        let room = (KEPT - kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
        self.cut[channel as usize] += (bytes.len() - room) as u64;
    }
}
