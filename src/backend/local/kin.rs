//! Who descends from a step: found through `/proc`, stopped while it is counted so that nobody slips away, killed.
//!
//! mstream is the reaper of its descendants, so a daemon whose parents are gone becomes a child of mstream. Such a
//! stray belongs to a step if it is in its session or group, carries its cookie, or holds its pipes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, waitid};

use crate::event::Leak;
use crate::sys::{self, Started, Target};

/// The variable that every process of a step inherits.
pub(super) const COOKIE: &str = "MSTREAM_STEP";

/// The processes that mstream itself has started and not yet seen the end of. All others among its children are
/// strays. There is one list because a process has one set of children.
static LEADERS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Whose strays are meant.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    /// Those of one step.
    Step {
        /// Its first process: the id of its session and its group.
        leader: u32,
        /// `MSTREAM_STEP=value`, whole.
        cookie: Vec<u8>,
        /// The names of its pipes that somebody still holds, as `/proc/PID/fd` shows them.
        pipes: Vec<String>,
    },
    /// Those of a stream: how its cookies begin.
    Stream(Vec<u8>),
    /// Those that carry no cookie of this mstream: how those begin.
    Nobody(Vec<u8>),
}

/// A process as `/proc` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    group: u32,
    session: u32,
    /// When it was started, in ticks since the start of this machine: with the number, it names one process for ever.
    pub(super) started: u64,
    pub(super) zombie: bool,
}

/// Makes this process the one that orphans fall to.
pub(super) fn adopt_orphans() {
    // Without it, which only an ancient kernel refuses, daemons fall to init and are found by their group alone.
    let _ = rustix::process::set_child_subreaper(Some(getpid()));
}

/// Starts a process through `spawn` and enters it in the list, as one act.
pub(super) fn lead(spawn: impl FnOnce() -> io::Result<Started>) -> io::Result<Started> {
    let mut leaders = leaders();
    let started = spawn()?;
    leaders.insert(started.pid);
    Ok(started)
}

/// How a process of ours ended, if it has; it is then forgotten.
pub(super) fn reap(pid: u32) -> Option<crate::event::Exit> {
    let mut leaders = leaders();
    let status = waitid(WaitId::Pid(id(pid)?), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok()??;
    leaders.remove(&pid);
    let signal = status.terminating_signal().map(crate::event::Exit::Signal);
    signal.or(status.exit_status().map(crate::event::Exit::Status))
}

/// Nobody waits for that process of ours any more: it is a stray from now on, and buried as one.
pub(super) fn abandon(pid: u32) {
    leaders().remove(&pid);
}

impl Claim {
    /// Everybody that belongs to the claim and lives. Strays that have ended are reaped on the way.
    pub(super) fn members(&self) -> Vec<Process> {
        let leaders = leaders();
        let mut found = Vec::new();
        if let Self::Step { leader, .. } = self
            && leaders.contains(leader)
            && let Some(process) = look(*leader)
        {
            found.push(process);
        }
        found.extend(strays(&leaders).into_iter().filter(|stray| self.owns(stray)));
        drop(leaders);
        let mut at = 0;
        while let Some(process) = found.get(at) {
            let below: Vec<Process> = children(process.pid).into_iter().filter_map(look).collect();
            found.extend(below);
            at += 1;
        }
        found.retain(|process| !process.zombie);
        found
    }

    fn owns(&self, stray: &Process) -> bool {
        match self {
            Self::Step { leader, cookie, pipes } => {
                stray.session == *leader
                    || stray.group == *leader
                    || carries(stray.pid, |entry| entry == cookie)
                    || holds(stray.pid, pipes)
            }
            Self::Stream(prefix) => carries(stray.pid, |entry| entry.starts_with(prefix)),
            Self::Nobody(prefix) => !carries(stray.pid, |entry| entry.starts_with(prefix)),
        }
    }

    /// Kills everybody that belongs to the claim. Each is stopped first, until a count finds nobody new: so nobody
    /// forks away in between.
    pub(super) fn kill(&self) {
        let mut seen = BTreeSet::new();
        for _ in 0..64 {
            let members = self.members();
            let fresh: Vec<u32> = members.iter().map(|it| it.pid).filter(|pid| seen.insert(*pid)).collect();
            if fresh.is_empty() {
                break;
            }
            for pid in fresh {
                let _ = sys::signal(Target::Process(pid), libc::SIGSTOP);
            }
        }
        for pid in seen {
            let _ = sys::signal(Target::Process(pid), libc::SIGKILL);
        }
    }

    /// Sends a signal to everybody that belongs to the claim, once each, and wakes those that are stopped, so that
    /// they hear it.
    pub(super) fn signal(&self, signal: i32) {
        let leader = match self {
            Self::Step { leader, .. } => Some(*leader),
            Self::Stream(_) | Self::Nobody(_) => None,
        };
        let outside: Vec<u32> = self.members().iter().filter(|it| Some(it.group) != leader).map(|it| it.pid).collect();
        for number in [signal, libc::SIGCONT] {
            let whole = leader.map(Target::Group);
            for target in whole.into_iter().chain(outside.iter().copied().map(Target::Process)) {
                let _ = sys::signal(target, number);
            }
        }
    }

    /// Those who hold one of these pipes belong to the step too.
    pub(super) fn hold(&mut self, names: Vec<String>) {
        match self {
            Self::Step { pipes, .. } => *pipes = names,
            Self::Stream(_) | Self::Nobody(_) => {}
        }
    }
}

/// Whether anybody of the group of a leader that has ended still lives.
pub(super) fn group_lives(leader: u32) -> bool {
    if sys::signal(Target::Group(leader), 0).is_err() {
        return false;
    }
    let Some(group) = id(leader) else { return false };
    // Orphans of the group that have ended as well are ours to bury before they can be told from the living.
    while let Ok(Some(_)) = waitid(WaitId::Pgid(Some(group)), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {}
    sys::signal(Target::Group(leader), 0).is_ok()
}

/// What these processes are, for people.
pub(super) fn describe(processes: &[Process]) -> Vec<Leak> {
    processes.iter().map(|process| Leak { pid: process.pid, command: command(process.pid).into() }).collect()
}

/// The command line of a process, else its name.
fn command(pid: u32) -> String {
    let line = content(&format!("/proc/{pid}/cmdline"));
    let words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let text = words.collect::<Vec<_>>().join(" ").trim_end().to_owned();
    if !text.is_empty() {
        return text;
    }
    String::from_utf8_lossy(&content(&format!("/proc/{pid}/comm"))).trim_end().to_owned()
}

/// The children that mstream did not start itself: those that fell to it. Processes that other parts of the program
/// have started stay in its own session and are not meant.
fn strays(leaders: &BTreeSet<u32>) -> Vec<Process> {
    let me = std::process::id();
    // `getsid` will not do: in a PID namespace the leader of the session may stand outside, and the session is then 0.
    let own = stat(me).map_or(0, |fields| fields.3);
    let unknown = children(me).into_iter().filter(|pid| !leaders.contains(pid));
    let mut strays: Vec<Process> = unknown.filter_map(look).filter(|stray| stray.session != own).collect();
    strays.retain(|stray| {
        if stray.zombie
            && let Some(pid) = id(stray.pid)
        {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
        !stray.zombie
    });
    strays
}

/// The children of a process.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for task in tasks.flatten() {
        let Ok(mut file) = File::open(task.path().join("children")) else {
            return children_by_parent(pid);
        };
        let mut text = String::new();
        // A task that ends in between has no children any more.
        if file.read_to_string(&mut text).is_ok() {
            found.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    found
}

/// The same on a kernel that keeps no lists of children: everybody is asked for its parent.
fn children_by_parent(pid: u32) -> Vec<u32> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|other| stat(*other).is_some_and(|fields| fields.1 == pid)).collect()
}

pub(super) fn look(pid: u32) -> Option<Process> {
    let (state, _, group, session, started) = stat(pid)?;
    Some(Process { pid, group, session, started, zombie: matches!(state, b'Z' | b'X') })
}

/// State, parent, group, session and start of a process.
fn stat(pid: u32) -> Option<(u8, u32, u32, u32, u64)> {
    let text = content(&format!("/proc/{pid}/stat"));
    // The name stands in parentheses and may hold anything, parentheses too.
    let rest = &text[memchr::memrchr(b')', &text)? + 1..];
    let mut fields = std::str::from_utf8(rest).ok()?.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let mut number = || fields.next()?.parse().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    Some((state, parent, group, session, fields.nth(15)?.parse().ok()?))
}

/// Whether the environment that a process was started with holds such an entry.
pub(super) fn carries(pid: u32, wanted: impl Fn(&[u8]) -> bool) -> bool {
    content(&format!("/proc/{pid}/environ")).split(|byte| *byte == 0).any(wanted)
}

/// Whether a process has one of these pipes open.
fn holds(pid: u32, pipes: &[String]) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let targets = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.into_iter().any(|target| pipes.iter().any(|pipe| target.as_os_str().as_bytes() == pipe.as_bytes()))
}

/// What a file of `/proc` says; nothing if the process is gone or not ours to read.
pub(super) fn content(path: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let _ = File::open(path).and_then(|mut file| file.read_to_end(&mut text));
    text
}

fn leaders() -> MutexGuard<'static, BTreeSet<u32>> {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.cast_signed())
}
