//! A backend that follows a script, for tests and simulations in virtual time: the code of a step is the script of
//! its process, as in `200ms, print hello, exit 3`. Nothing runs, and no time passes but the runtime's.
//!
//! ```text
//! 200ms            takes that long                 deaf             hears no gentle order from here on
//! forever          takes for ever                  slowly 2s        takes that long to follow a gentle order
//! print WORDS      a line on stdout                leave NAME       leaves a process behind
//! warn WORDS       a line on stderr                listen PORT      listens there until it ends
//! exit STATUS      ends; 0 at the end              touch PATH       makes a file
//! die SIGNAL       ends by a signal                panic            the backend itself fails
//! missing WORDS    was never started               lost WORDS       the stream goes away under it
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{Backend, Job, Orders, Place, Session, Task, Told, Voice};
use crate::engine::{Captured, End, Stop};
use crate::event::{Channel, Exit, Leak};

/// How a stream opens and closes.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// How long it takes to open.
    pub takes: Duration,
    /// Why it cannot be opened.
    pub fails: Option<String>,
    /// How long it takes to close.
    pub closing: Duration,
    /// What is left behind when it closes.
    pub leaves: Vec<Leak>,
}

/// Opens streams that follow scripts.
#[derive(Clone, Debug, Default)]
pub struct ScriptedBackend {
    openings: IndexMap<Arc<str>, Opening>,
}

impl ScriptedBackend {
    /// Streams open and close as `openings` says by name; others at once.
    pub fn new(openings: IndexMap<Arc<str>, Opening>) -> Self {
        Self { openings }
    }
}

impl Backend for ScriptedBackend {
    fn open(&self, place: Place) -> Task<Result<Arc<dyn Session>, String>> {
        let opening = self.openings.get(&place.name).cloned().unwrap_or_default();
        Box::pin(async move {
            sleep(opening.takes).await;
            if let Some(words) = opening.fails {
                return Err(words);
            }
            Ok(Arc::new(Scripted { name: place.name, opening, world: Arc::default() }) as Arc<dyn Session>)
        })
    }
}

/// An open stream.
#[derive(Debug)]
struct Scripted {
    name: Arc<str>,
    opening: Opening,
    world: Arc<Mutex<World>>,
}

/// What its processes have made.
#[derive(Debug, Default)]
struct World {
    files: BTreeSet<String>,
    ports: BTreeSet<u16>,
}

impl Session for Scripted {
    fn host(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn run(&self, job: Job, orders: watch::Receiver<Orders>, voice: Voice) -> Task<()> {
        let world = Arc::clone(&self.world);
        Box::pin(async move {
            let process = Process { orders, voice, world, captured: Captured::default(), ports: Vec::new() };
            process.live(&job).await;
        })
    }

    fn put(&self, _from: PathBuf, to: String) -> Task<Result<(), String>> {
        lock(&self.world).files.insert(to);
        Box::pin(async { Ok(()) })
    }

    fn get(&self, from: String, _to: PathBuf) -> Task<Result<(), String>> {
        let found = lock(&self.world).files.contains(&from);
        Box::pin(async move { if found { Ok(()) } else { Err(format!("cannot read {from}: there is no such file")) } })
    }

    fn listens(&self, port: u16) -> Task<bool> {
        let found = lock(&self.world).ports.contains(&port);
        Box::pin(async move { found })
    }

    fn exists(&self, path: String) -> Task<bool> {
        let found = lock(&self.world).files.contains(&path);
        Box::pin(async move { found })
    }

    fn close(&self, _passed: bool) -> Task<Vec<Leak>> {
        let opening = self.opening.clone();
        Box::pin(async move {
            sleep(opening.closing).await;
            opening.leaves
        })
    }
}

/// One thing that a process does.
#[derive(Clone, PartialEq, Debug)]
enum Act {
    Take(Duration),
    Deaf,
    Slowly(Duration),
    Print(Channel, String),
    Leave(String),
    Listen(u16),
    Touch(String),
    Panic,
    End(Exit),
}

/// A process on its way.
struct Process {
    orders: watch::Receiver<Orders>,
    voice: Voice,
    world: Arc<Mutex<World>>,
    captured: Captured,
    ports: Vec<u16>,
}

impl Process {
    async fn live(mut self, job: &Job) {
        let exit = match read(&code(job)) {
            Ok(acts) => self.follow(acts, job).await,
            Err(word) => Exit::NotStarted(format!("a script has no `{word}`").into()),
        };
        for port in &self.ports {
            lock(&self.world).ports.remove(port);
        }
        let captured = job.capture.then(|| Box::new(self.captured));
        self.voice.tell(Told::Ended(End { exit, captured })).await;
    }

    async fn follow(&mut self, acts: Vec<Act>, job: &Job) -> Exit {
        if job.watched && !matches!(acts.first(), Some(Act::End(Exit::NotStarted(_)))) {
            self.voice.tell(Told::Started).await;
        }
        let mut patience = Some(Duration::ZERO);
        if job.staged {
            self.voice.tell(Told::Staged).await;
            if let Some(exit) = self.wait(None, patience).await {
                return exit;
            }
            self.voice.tell(Told::Released(Instant::now())).await;
        }
        for act in acts {
            match act {
                Act::Deaf => patience = None,
                Act::Slowly(time) => patience = Some(time),
                Act::Take(time) => {
                    if let Some(exit) = self.wait(Some(time), patience).await {
                        return exit;
                    }
                }
                Act::Print(channel, words) => self.print(channel, &words).await,
                Act::Leave(name) => {
                    self.voice.tell(Told::Leaked(vec![Leak { pid: 1000, command: name.into() }])).await;
                }
                Act::Listen(port) => {
                    self.ports.push(port);
                    lock(&self.world).ports.insert(port);
                }
                Act::Touch(path) => {
                    lock(&self.world).files.insert(path);
                }
                Act::Panic => panic!("the script says so"),
                Act::End(exit) => return exit,
            }
        }
        Exit::Status(0)
    }

    /// Lets time pass, or waits to be released, and listens to orders meanwhile: how it ends, if they end it.
    async fn wait(&mut self, time: Option<Duration>, patience: Option<Duration>) -> Option<Exit> {
        let until = time.map(|time| Instant::now().checked_add(time).unwrap_or_else(Instant::now));
        let mut killed = self.orders.clone();
        let hears = |orders: &Orders| match orders.stop {
            Stop::No => time.is_none() && orders.released,
            Stop::Gently(_) => patience.is_some(),
            Stop::Now => true,
        };
        let over = async {
            if let Some(until) = until { tokio::time::sleep_until(until).await } else { std::future::pending().await }
        };
        let orders = tokio::select! {
            biased;
            given = self.orders.wait_for(hears) => given.map_or(Orders { stop: Stop::Now, released: false }, |it| *it),
            () = over => return None,
        };
        match orders.stop {
            Stop::No => None,
            Stop::Now => Some(Exit::Signal(libc::SIGKILL)),
            Stop::Gently(signal) => tokio::select! {
                biased;
                _ = killed.wait_for(|orders| orders.stop == Stop::Now) => Some(Exit::Signal(libc::SIGKILL)),
                () = sleep(patience.unwrap_or_default()) => Some(Exit::Signal(signal)),
            },
        }
    }

    async fn print(&mut self, channel: Channel, words: &str) {
        let line = format!("{words}\n");
        let kept = match channel {
            Channel::Stdout => &mut self.captured.stdout,
            Channel::Stderr => &mut self.captured.stderr,
        };
        kept.extend_from_slice(line.as_bytes());
        self.voice.print(channel, Bytes::from(line)).await;
    }
}

/// The code of a job, without what holds it: the argument after `-c`, else the whole argument list.
fn code(job: &Job) -> String {
    let argv: Vec<_> = job.command.argv.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let after = argv.iter().position(|word| word == "-c").and_then(|at| argv.get(at + 1));
    let code = after.map_or_else(|| argv.join(" "), ToString::to_string);
    code.rsplit("unset MS_GO; ").next().unwrap_or_default().to_owned()
}

/// The acts of a script; the error is the word that is none.
fn read(script: &str) -> Result<Vec<Act>, String> {
    script.split(',').map(str::trim).filter(|act| !act.is_empty()).map(|act| one(act).ok_or(act.to_owned())).collect()
}

fn one(act: &str) -> Option<Act> {
    let (word, rest) = act.split_once(' ').unwrap_or((act, ""));
    Some(match word {
        "forever" => Act::Take(Duration::from_secs(u64::from(u32::MAX))),
        "deaf" => Act::Deaf,
        "slowly" => Act::Slowly(time(rest)?),
        "print" => Act::Print(Channel::Stdout, rest.to_owned()),
        "warn" => Act::Print(Channel::Stderr, rest.to_owned()),
        "leave" => Act::Leave(rest.to_owned()),
        "listen" => Act::Listen(rest.parse().ok()?),
        "touch" => Act::Touch(rest.to_owned()),
        "panic" => Act::Panic,
        "exit" => Act::End(Exit::Status(rest.parse().ok()?)),
        "die" => Act::End(Exit::Signal(rest.parse().ok()?)),
        "missing" => Act::End(Exit::NotStarted(rest.into())),
        "lost" => Act::End(Exit::Lost(rest.into())),
        _ => Act::Take(time(word)?),
    })
}

fn time(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let count = digits.parse::<u64>().ok()?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(count)),
        "s" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_secs(count * 60)),
        _ => None,
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_a_list_of_acts() {
        let acts = read("\n\n200ms, print a b, deaf, exit 3").unwrap();
        let print = Act::Print(Channel::Stdout, "a b".to_owned());
        let expected = [Act::Take(Duration::from_millis(200)), print, Act::Deaf, Act::End(Exit::Status(3))];
        assert_eq!(acts, expected);
        assert_eq!(read("1s, dance wildly"), Err("dance wildly".to_owned()));
    }
}
