//! The life of one local process, from its start until nothing of it is left.
//!
//! The end of a step is the end of its first process, not of its pipes. What is left after that, beyond a short
//! moment, has leaked: it is named and killed. Where the step was told to end, what is left may take its time until
//! the order to end now.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Local;
use super::kin::{self, Claim};
use super::launch::{self, Launched, Way};
use super::pump::{Pump, Until};
use super::ticks::Ticks;
use crate::backend::{Job, Orders, Task, Told, Voice};
use crate::engine::{Captured, End, Stop};
use crate::event::{Channel, Exit};
use crate::sys::{self, Birth};

/// How long others may take to follow the first process of a step.
const FOLLOW: Duration = Duration::from_millis(100);
/// How long those who have been killed may be seen before they count as having stayed.
const LEAVING: Duration = Duration::from_millis(30);
/// How long the kernel may take over those that were killed.
const DYING: Duration = Duration::from_secs(2);
/// How long a held process may take to get to where it waits, before it is taken to be there.
const STAGING: Duration = Duration::from_millis(250);

/// Starts the process of `job`. What comes back follows it to its end, and tells `voice` all of it. It is small: there is
/// one for every step.
pub(super) fn live(local: Arc<Local>, job: Job, mut orders: watch::Receiver<Orders>, voice: Voice) -> Task<()> {
    let told = *orders.borrow_and_update();
    let launched = unbegun(told.stop).map_or_else(|| launch::launch(&local, &job).map_err(not_started), Err);
    match launched {
        Ok(launched) => {
            let (start, end) = begin(launched);
            local.spares.tidy();
            let life = Life { start, job: Box::new(job), stop: Stop::No, orders, voice };
            Box::pin(life.run(told.released, end, local))
        }
        Err(exit) => Box::pin(async move { voice.tell(Told::Ended(End { exit, captured: None })).await }),
    }
}

/// How a process ends that was told to before it had begun.
fn unbegun(stop: Stop) -> Option<Exit> {
    match stop {
        Stop::No => None,
        Stop::Gently(signal) => Some(Exit::Signal(signal)),
        Stop::Now => Some(Exit::Signal(libc::SIGKILL)),
    }
}

fn not_started(words: String) -> Exit {
    Exit::NotStarted(words.into())
}

struct Life {
    start: Start,
    job: Box<Job>,
    stop: Stop,
    orders: watch::Receiver<Orders>,
    voice: Voice,
}

/// What there is of one start of a process.
struct Start {
    guard: Guard,
    pumps: Pumps,
    hold: Option<File>,
    birth: Birth,
    way: Way,
}

/// What was started, and what tells its end, where there was room to wait for that.
fn begin(launched: Launched) -> (Start, io::Result<AsyncFd<OwnedFd>>) {
    let Launched { pid, end, birth, way, claim, stdout, stderr, hold } = launched;
    let guard = Guard { pid, claim, over: false };
    let start = Start { guard, pumps: Pumps { stdout, stderr }, hold, birth, way };
    (start, sys::watch(end).map_err(|(_, error)| error))
}

/// What an ended process has used, to be closed when there is time.
#[derive(Debug)]
pub(super) struct Used {
    _pumps: Pumps,
    _end: Option<AsyncFd<OwnedFd>>,
}

/// Kills what is left when it is dropped before the end.
struct Guard {
    pid: u32,
    claim: Claim,
    over: bool,
}

#[derive(Debug)]
struct Pumps {
    stdout: Pump,
    stderr: Pump,
}

/// What comes next in a life.
enum Turn {
    Ordered(bool),
    Exited,
    Staged,
    Watching,
    Dry,
}

impl Life {
    async fn run(mut self, released: bool, mut end: io::Result<AsyncFd<OwnedFd>>, local: Arc<Local>) {
        if self.job.watched {
            self.voice.tell(Told::Started).await;
        }
        if released {
            self.release().await;
        }
        let exit = loop {
            let ended = match &end {
                Ok(end) => self.until_exit(end, &local.ticks).await,
                Err(error) => {
                    self.start.guard.claim.kill();
                    break not_started(launch::no_room(error));
                }
            };
            let Some(error) = self.start.birth.end() else { break ended };
            self.start.guard.over = true;
            if let Some(exit) = unbegun(self.stop) {
                break exit;
            }
            match launch::relaunch(&local, &self.job, self.start.way, &error) {
                Ok(launched) => (self.start, end) = begin(launched),
                Err(words) => break not_started(words),
            }
        };
        self.start.pumps.drain(&self.voice).await;
        if !self.alone() {
            Box::pin(self.settle()).await;
        }
        self.start.guard.over = true;
        let captured = self.captured().await;
        self.voice.tell(Told::Ended(End { exit, captured })).await;
        local.spares.ended(Used { _pumps: self.start.pumps, _end: end.ok() });
    }

    /// Carries output and follows orders until the first process ends. Output is not watched at once, unless somebody
    /// waits for it: most processes end soon, and what they printed is then read in one go. Being woken by each of their
    /// pipes costs more than all the rest.
    async fn until_exit(&mut self, end: &AsyncFd<OwnedFd>, ticks: &Arc<Ticks>) -> Exit {
        let started = Instant::now();
        let mut staged = false;
        let (mut watching, mut dry) = (self.job.watched, false);
        let mut young = pin!(Arc::clone(ticks).pause());
        loop {
            let listening = self.stop != Stop::Now;
            let staging = self.start.hold.is_some() && !staged;
            let turn = tokio::select! {
                biased;
                changed = self.orders.changed(), if listening => Turn::Ordered(changed.is_ok()),
                _ = end.ready(Interest::READABLE) => Turn::Exited,
                () = in_place(self.start.guard.pid, started), if staging => Turn::Staged,
                () = &mut young, if !watching => Turn::Watching,
                () = async { self.start.pumps.watch(&self.voice).await }, if watching && !dry => Turn::Dry,
            };
            match turn {
                Turn::Ordered(given) => self.follow(given).await,
                Turn::Exited => {
                    if let Some(exit) = kin::reap(self.start.guard.pid) {
                        return exit;
                    }
                }
                Turn::Staged => {
                    staged = true;
                    self.voice.tell(Told::Staged).await;
                }
                Turn::Watching => watching = true,
                Turn::Dry => dry = true,
            }
        }
    }

    /// Waits until nothing of the step is left, or its time to go by itself is over; then sees to it.
    async fn settle(&mut self) {
        let limit = Instant::now() + FOLLOW;
        let mut pause = Duration::from_millis(1);
        while !self.alone() {
            let late = Instant::now() >= limit;
            let leaving = matches!(self.stop, Stop::Gently(_)) && !self.start.guard.claim.members().is_empty();
            if self.stop == Stop::Now || late && !leaving {
                return self.finish_off().await;
            }
            let printing = !self.start.pumps.ended();
            let given = tokio::select! {
                biased;
                changed = self.orders.changed() => Some(changed.is_ok()),
                () = sleep(pause) => None,
                () = self.start.pumps.carry(&self.voice, Until::End), if printing => None,
            };
            if let Some(given) = given {
                self.follow(given).await;
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Whether nothing of the step is left that is known without a search, or, where it was told to end, at all.
    fn alone(&mut self) -> bool {
        if !self.start.pumps.ended() || kin::group_lives(self.start.guard.pid) {
            let pipes = [self.start.pumps.stdout.name(), self.start.pumps.stderr.name()];
            self.start.guard.claim.hold(pipes.into_iter().flatten().collect());
            return false;
        }
        self.stop == Stop::No || self.start.guard.claim.members().is_empty()
    }

    /// Names those who stayed without being told to go, and kills everybody.
    async fn finish_off(&mut self) {
        let members = self.start.guard.claim.members();
        if self.stop == Stop::No && !members.is_empty() {
            self.voice.tell(Told::Leaked(kin::describe(&members))).await;
        }
        let immortal = exterminate(&self.start.guard.claim).await;
        if self.stop != Stop::No && !immortal.is_empty() {
            self.voice.tell(Told::Leaked(kin::describe(&immortal))).await;
        }
        self.start.pumps.drain(&self.voice).await;
    }

    /// Does what has been ordered; `given` is false where there is nobody any more to give orders.
    async fn follow(&mut self, given: bool) {
        let orders = *self.orders.borrow_and_update();
        let stop = if given { orders.stop } else { Stop::Now };
        if stop > self.stop {
            self.stop = stop;
            match stop {
                Stop::No => {}
                Stop::Gently(signal) => self.start.guard.claim.signal(signal),
                Stop::Now => self.start.guard.claim.kill(),
            }
        }
        if orders.released {
            self.release().await;
        }
    }

    /// Lets a held process go. One that has died meanwhile tells so by its end.
    async fn release(&mut self) {
        if let Some(mut hold) = self.start.hold.take() {
            let _ = hold.write_all(b"\n");
            self.voice.tell(Told::Released(Instant::now())).await;
        }
    }

    /// What a `let` keeps; what it could not keep is told.
    async fn captured(&mut self) -> Option<Box<Captured>> {
        let (stdout, out) = self.start.pumps.stdout.captured();
        let (stderr, err) = self.start.pumps.stderr.captured();
        for (channel, dropped) in [(Channel::Stdout, out), (Channel::Stderr, err)] {
            if dropped > 0 {
                self.voice.tell(Told::Cut(channel, dropped)).await;
            }
        }
        self.job.capture.then(|| Box::new(Captured { stdout, stderr }))
    }
}

impl Pumps {
    /// Carries both channels as long as anybody can write. Boxed: most processes end before it begins.
    fn watch<'a>(&'a mut self, voice: &'a Voice) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.carry(voice, Until::End))
    }

    /// Carries what is there now, of one channel after the other: a dead process waits for neither.
    async fn drain(&mut self, voice: &Voice) {
        self.stdout.carry(voice, Until::Dry).await;
        self.stderr.carry(voice, Until::Dry).await;
    }

    async fn carry(&mut self, voice: &Voice, until: Until) {
        tokio::join!(self.stdout.carry(voice, until), self.stderr.carry(voice, until));
    }

    fn ended(&self) -> bool {
        self.stdout.ended() && self.stderr.ended()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.over {
            self.claim.kill();
            kin::abandon(self.pid);
        }
    }
}

/// Who belongs to the claim and is not just about to end.
pub(super) async fn remaining(claim: &Claim) -> Vec<kin::Process> {
    let limit = Instant::now() + LEAVING;
    loop {
        let members = claim.members();
        if members.is_empty() || Instant::now() >= limit {
            return members;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Kills everybody that belongs to the claim; who is still there when the kernel has had its time.
pub(super) async fn exterminate(claim: &Claim) -> Vec<kin::Process> {
    let limit = Instant::now() + DYING;
    loop {
        claim.kill();
        let left = claim.members();
        if left.is_empty() || Instant::now() >= limit {
            return left;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until a held process waits to be let go, or has had the time to.
async fn in_place(pid: u32, started: Instant) {
    while !launch::waits(pid) && started.elapsed() < STAGING {
        sleep(Duration::from_millis(1)).await;
    }
}
