//! Ends what a run has left on this machine when nobody watches over it any more.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use super::cgroup::Cgroup;
use super::kin::{self, Process};
use crate::event::Leak;

/// How long the kernel may take over those that were killed, in looks.
const LOOKS: u32 = 2500;
/// How long those who go by themselves may take, in looks.
const LEAVING: u32 = 250;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);
/// A chain of processes that fork away is stopped after so many counts at the latest.
const COUNTS: u32 = 256;

/// Those who were found and ended, and those who would not go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ended {
    /// Who was there.
    pub found: Vec<Leak>,
    /// Who still is.
    pub stayed: Vec<Leak>,
}

/// Gives those who go by themselves a moment: an `ssh` on the way to a host ends after the one that it served.
pub fn let_leave(group: Option<&Cgroup>) {
    let here = || descendants().into_iter().chain(group.into_iter().flat_map(members));
    settle(&|| here().collect(), LEAVING);
}

/// Ends all descendants of this process.
pub fn end_descendants() -> Ended {
    end(&descendants)
}

fn descendants() -> Vec<Process> {
    bury();
    let mut found = kin::children(std::process::id());
    let mut at = 0;
    while at < found.len() {
        found.extend(kin::children(found[at]));
        at += 1;
    }
    found.into_iter().filter_map(kin::look).collect()
}

/// Ends all processes that carry the mark of a run, and that were not there before it.
///
/// `since`: when the run began, as [`started`] counts.
pub fn end_marked(run: &str, since: u64) -> Ended {
    end(&|| with_mark(run, since))
}

/// Who carries the mark of a run, and was not there before it.
pub fn marked(run: &str, since: u64) -> Vec<Leak> {
    kin::describe(&with_mark(run, since))
}

fn with_mark(run: &str, since: u64) -> Vec<Process> {
    let mark = format!("MSTREAM_RUN={run}").into_bytes();
    let me = std::process::id();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let marked = pids.filter(|pid| *pid != me && kin::carries(*pid, |entry| entry == mark));
    marked.filter_map(kin::look).filter(|process| process.started >= since).collect()
}

/// Ends everybody in a control group, and removes it.
pub fn end_cgroup(group: &Cgroup) -> Ended {
    let members = || members(group);
    if group.members().contains(&std::process::id()) {
        // Somebody who looks after the rest from the inside cannot end it.
        return Ended { found: Vec::new(), stayed: kin::describe(&members()) };
    }
    let found = kin::describe(&members());
    if group.kill() {
        settle(&members, LOOKS);
    }
    // A kernel before 5.14 cannot do it at once.
    let rest = end(&members);
    // The last of them may be on its way out of it still.
    for _ in 0..LOOKS {
        if group.remove().is_ok() {
            break;
        }
        pause();
    }
    Ended { found: if found.is_empty() { rest.found } else { found }, stayed: rest.stayed }
}

impl Cgroup {
    /// Who is in it, for people.
    pub fn described(&self) -> Vec<Leak> {
        kin::describe(&members(self))
    }
}

fn members(group: &Cgroup) -> Vec<Process> {
    group.members().into_iter().filter_map(kin::look).collect()
}

/// When a process was started, in ticks since the start of this machine; `None`: there is no such process, or it has
/// ended and nobody has asked how.
pub fn started(pid: u32) -> Option<u64> {
    kin::look(pid).filter(|process| !process.zombie).map(|process| process.started)
}

/// Stops all who are found until a count finds nobody new, kills them, and begins again until nobody is found at all.
fn end(find: &dyn Fn() -> Vec<Process>) -> Ended {
    let mut ended = Ended::default();
    let mut seen = BTreeSet::new();
    for _ in 0..LOOKS {
        let mut stopped = BTreeSet::new();
        for _ in 0..COUNTS {
            let alive = find().into_iter().filter(|it| !it.zombie);
            let fresh: Vec<Process> = alive.filter(|it| stopped.insert((it.pid, it.started))).collect();
            let new: Vec<Process> = fresh.iter().filter(|it| seen.insert((it.pid, it.started))).copied().collect();
            ended.found.extend(kin::describe(&new));
            if fresh.is_empty() {
                break;
            }
            for process in fresh {
                send(process.pid, process.started, Signal::STOP);
            }
        }
        if stopped.is_empty() {
            return ended;
        }
        for (pid, started) in stopped {
            send(pid, started, Signal::KILL);
        }
        pause();
    }
    ended.stayed = kin::describe(&find());
    ended
}

/// Waits until nobody lives, for so many looks at most.
fn settle(find: &dyn Fn() -> Vec<Process>, looks: u32) {
    for _ in 0..looks {
        bury();
        if find().iter().all(|it| it.zombie) {
            return;
        }
        pause();
    }
}

/// Sends a signal to the process that was started at that time, and to no other that has got its number since.
fn send(pid: u32, started: u64, signal: Signal) {
    let Some(id) = Pid::from_raw(pid.cast_signed()) else { return };
    let Ok(process) = pidfd_open(id, PidfdFlags::empty()) else { return };
    if kin::look(pid).is_some_and(|it| it.started == started) {
        let _ = pidfd_send_signal(process, signal);
    }
}

/// Orphans that have ended, and that fell to this process.
fn bury() {
    while let Ok(Some(_)) = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {}
}

#[expect(clippy::disallowed_methods, reason = "there is no event for the end of somebody else's processes")]
fn pause() {
    std::thread::sleep(PAUSE);
}
