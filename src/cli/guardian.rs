//! The process that the user has started watches over the one that runs the scenario: hands signals on to it, and cleans
//! up after it where it could not do so itself. It has one thread and does nothing else.
//!
//! Each notices the other's death. The guardian has all that was made in its own memory, so that it needs no disk to
//! clean up; the coordinator stops the run in order when its guardian is gone, since it would be alone from then on.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{DumpableBehavior, Pid, WaitId, WaitIdOptions, getpid, set_child_subreaper, setpgid, waitid};

use super::clean::{Cleaned, process, sweep};
use super::exec::shown;
use super::folder::Folder;
use super::ledger::{Book, Entry, entries, resources};
use super::{Console, FAULT, spacious};
use crate::backend::ledger::Resource;
use crate::backend::local::{Cgroup, end_cgroup, end_descendants, let_leave, remove_tree, started};
use crate::sys::{self, Signals, Target};

/// The signals that are handed on.
const HANDED_ON: [i32; 5] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGCONT];

/// The exit code of a run that passed and left processes behind.
const LEFT: u8 = 5;

/// What the guardian says when all is prepared.
const READY: u8 = b'+';

/// What the coordinator has of its guardian.
pub(super) struct Guarded {
    /// Where resources are written down.
    pub(super) book: Book,
    /// Says that all is ready, by a byte, and that the guardian is gone, by its end.
    alive: PipeReader,
    cgroup: Option<Cgroup>,
    signals: Signals,
}

/// What the guardian has of the coordinator.
struct Charge<'a> {
    pid: u32,
    folder: &'a Folder,
    scenario: &'a Path,
    /// What was written down before it began.
    made: Vec<Resource>,
    book: Book,
    cgroup: Option<Cgroup>,
    /// What the coordinator enters into the ledger.
    entered: PipeReader,
    heard: Vec<u8>,
    signals: Signals,
}

/// How the coordinator has ended.
enum End {
    Code(u8),
    Killed(i32),
}

/// Runs `work` in a process of its own and watches over it; its exit code. What `work` may need of this machine and
/// what is known beforehand, `made`, is written down first.
///
/// # Errors
/// In words: the run could not even begin.
pub(super) fn guarded(
    folder: &Folder,
    scenario: &Path,
    made: &[Resource],
    work: impl FnOnce(Guarded) -> u8 + Send,
) -> Result<u8, String> {
    let cannot = |error: io::Error| format!("cannot start a run in `{}`: {error}", folder.path.display());
    let book = Book::open(folder, scenario).map_err(cannot)?;
    let cgroup = Cgroup::named(&format!("mstream-{}", folder.id));
    let known = cgroup.iter().map(|group| Resource::Cgroup(group.folder().to_owned()));
    let made: Vec<Resource> = known.chain(made.iter().cloned()).collect();
    for resource in &made {
        book.write(resource.clone()).map_err(cannot)?;
    }
    if let Err(error) = book.sync() {
        book.close();
        return Err(format!("nothing is made that cannot be written down in `{}`: {error}", folder.path.display()));
    }
    let (entered, tell) = io::pipe().map_err(cannot)?;
    let (alive, ready) = io::pipe().map_err(cannot)?;
    // Neither waits for the other: what a guardian that stands still does not hear stands on the disk.
    fcntl_setfl(&entered, OFlags::NONBLOCK).map_err(|error| cannot(error.into()))?;
    fcntl_setfl(&tell, OFlags::NONBLOCK).map_err(|error| cannot(error.into()))?;
    quiet();
    let mut caught = HANDED_ON.to_vec();
    // `nohup` means it.
    caught.retain(|signal| *signal != libc::SIGHUP || !sys::is_ignored(libc::SIGHUP));
    caught.extend([libc::SIGTSTP, libc::SIGTTOU, libc::SIGXFSZ, libc::SIGCHLD]);
    let signals = Signals::catch(&caught).map_err(cannot)?;
    let _ = io::stdout().flush();
    let cgroup = cgroup.filter(|group| group.make().is_ok());
    let (split, inside) = split(cgroup.as_ref());
    match split {
        Err(error) => {
            let _ = signals.release(&[]);
            let _ = cgroup.map(|group| group.remove());
            book.close();
            Err(cannot(error))
        }
        Ok(None) => {
            drop((entered, ready));
            coordinate(Guarded { book: book.with(tell), alive, cgroup, signals }, work)
        }
        Ok(Some(pid)) => {
            drop((alive, tell));
            let cgroup = cgroup.filter(|group| inside || entered_into(group, pid));
            let charge = Charge { pid, folder, scenario, made, book, cgroup, entered, heard: Vec::new(), signals };
            Ok(charge.watch(ready))
        }
    }
}

/// Splits this process in two; and whether the new one is in the group already, which not every kernel can do.
fn split(group: Option<&Cgroup>) -> (io::Result<Option<u32>>, bool) {
    let inside = group.and_then(|group| File::open(group.folder()).ok()).map(|group| sys::fork_into(group.as_fd()));
    match inside {
        Some(Ok(split)) => (Ok(split), true),
        Some(Err(_)) | None => (sys::fork(), false),
    }
}

/// What holds for both processes: orphans come back, and no core holds anybody's secrets.
fn quiet() {
    let _ = set_child_subreaper(Some(getpid()));
    // Unlike a limit on the size of cores it is nothing that the steps would inherit.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // An ignored one would tell nobody of the end of a child.
    sys::restore(libc::SIGCHLD);
}

/// The life of the new process; it ends here.
#[expect(clippy::exit, reason = "the rest of the program belongs to the process that this one was split from")]
fn coordinate(guarded: Guarded, work: impl FnOnce(Guarded) -> u8 + Send) -> ! {
    // What comes from the terminal goes to the guardian, which hands it on, so that it comes once.
    let _ = setpgid(None, None);
    let code = spacious(|| work(guarded));
    std::process::exit(i32::from(code.unwrap_or_else(|code| code)))
}

impl Guarded {
    /// Waits until the guardian has prepared everything.
    pub(super) fn wait(&mut self) -> Result<(), String> {
        match self.alive.read(&mut [0]) {
            Ok(0) => Err("the guardian of the run did not answer: it was killed".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("cannot hear the guardian: {error}")),
        }
    }

    /// From now on signals reach this thread: somebody listens to them.
    pub(super) fn listens(&self) {
        // Writing to a terminal that stops those in the background is allowed to who blocks the signal for it; and a
        // file that is as large as its user may make one is an error like any other.
        let _ = self.signals.release(&[libc::SIGTTOU, libc::SIGXFSZ]);
    }

    /// What becomes readable when the guardian is gone.
    pub(super) fn alive(&self) -> io::Result<OwnedFd> {
        self.alive.as_fd().try_clone_to_owned()
    }

    /// All is done and cleaned up. Where the guardian is gone, its part is done here.
    pub(super) fn done(mut self) {
        self.listens();
        self.book.done();
        let _ = fcntl_setfl(&self.alive, OFlags::NONBLOCK);
        if !matches!(self.alive.read(&mut [0]), Ok(0)) {
            return;
        }
        end_descendants();
        if let Some(group) = &self.cgroup
            && group.leave().is_ok()
        {
            end_cgroup(group);
        }
        self.book.close();
    }
}

impl Charge<'_> {
    fn watch(mut self, ready: PipeWriter) -> u8 {
        // Where it cannot be told that all is ready, the end of the pipe says that it is not.
        let ready = self.prepare(ready).ok();
        let end = self.until_end();
        // Nobody is left who could hear it.
        drop(ready);
        self.listen();
        let entered = entries(&self.heard);
        let (code, words) = match end {
            End::Code(code) => (code, format!("ended without a word (exit code {code})")),
            End::Killed(signal) => {
                (u8::try_from(128 + signal).unwrap_or(FAULT), format!("was killed by signal {signal}"))
            }
        };
        if !entered.contains(&Entry::Clean) {
            return self.clean(code, &words, &entered);
        }
        let code = self.tidy(code);
        if let End::Killed(signal) = end {
            // It was done, and was asked to end while it waited for those who read.
            let _ = sys::signal(Target::Process(std::process::id()), signal);
        }
        code
    }

    /// Says that all is ready.
    fn prepare(&self, mut ready: PipeWriter) -> io::Result<PipeWriter> {
        let _ = setpgid(Pid::from_raw(self.pid.cast_signed()), Pid::from_raw(self.pid.cast_signed()));
        ready.write_all(&[READY])?;
        Ok(ready)
    }

    /// Hands signals on until the coordinator has ended.
    fn until_end(&mut self) -> End {
        let mut listening = true;
        loop {
            if let Some(end) = ended(self.pid) {
                return end;
            }
            let mut watched = [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.entered, PollFlags::IN)];
            let count = if listening { 2 } else { 1 };
            let _ = poll(&mut watched[..count], None);
            while let Some(signal) = self.signals.next() {
                self.hand_on(signal);
            }
            // One that is done says no more, and may wait for those who read what it has shown.
            listening = listening && !self.listen();
        }
    }

    fn hand_on(&self, signal: i32) {
        match signal {
            libc::SIGCHLD | libc::SIGTTOU | libc::SIGXFSZ => {}
            libc::SIGTSTP => {
                let coordinator = Target::Process(self.pid);
                let _ = sys::signal(coordinator, libc::SIGSTOP);
                let _ = sys::signal(Target::Process(std::process::id()), libc::SIGSTOP);
                // Here somebody has let us go on.
                let _ = sys::signal(coordinator, libc::SIGCONT);
            }
            other => drop(sys::signal(Target::Process(self.pid), other)),
        }
    }

    /// Hears what the coordinator has to say; whether that was the last of it.
    fn listen(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.entered.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// The end of a run that has cleaned up: what is there all the same has leaked.
    fn tidy(&self, code: u8) -> u8 {
        let_leave(self.cgroup.as_ref());
        let mut found = end_descendants();
        if let Some(group) = &self.cgroup {
            let rest = end_cgroup(group);
            found.found.extend(rest.found);
            found.stayed.extend(rest.stayed);
        }
        for resource in &self.made {
            // One that ran out of descriptors, for one, could not; what nobody can remove the streams have told.
            if let Resource::Folder(folder) = resource {
                let _ = remove_tree(folder);
            }
        }
        self.book.close();
        self.obey();
        for leak in &found.found {
            Console::progress(&format!("left behind by the run, and killed: {}\n", process(leak)));
        }
        for leak in &found.stayed {
            Console::complain(&format!("it does not end: {}", process(leak)));
        }
        let left = !found.found.is_empty() || !found.stayed.is_empty();
        if left && code == 0 { LEFT } else { code }
    }

    /// From now on signals end this process: it has nothing left to do but to tell, and the reader may let it wait.
    fn obey(&self) {
        let _ = self.signals.release(&[]);
    }

    /// The end of a run that could not clean up.
    fn clean(&self, code: u8, words: &str, entered: &[Entry]) -> u8 {
        let mut cleaned = Cleaned::default();
        if let Some(group) = &self.cgroup {
            cleaned.ended(end_cgroup(group));
        }
        cleaned.ended(end_descendants());
        let since = started(std::process::id()).unwrap_or_default();
        let all: Vec<Resource> = self.made.iter().cloned().chain(resources(entered)).collect();
        cleaned.and(sweep(&self.folder.id, Some(since), &all));
        if cleaned.failed.is_empty() {
            self.book.close();
        }
        self.obey();
        Console::complain(&format!(
            "mstream {words} while it ran `{}`; its guardian has cleaned up",
            self.scenario.display()
        ));
        Console::progress(&cleaned.shown());
        if !cleaned.failed.is_empty() {
            Console::progress(&format!("  try again: mstream clean {}\n", self.folder.id));
        }
        Console::progress(&format!("journal: {}\n", shown(&self.folder.path)));
        let (run, scenario) = (&self.folder.id, self.scenario.display());
        Console::progress(&format!("to go on, with the same options: mstream exec --resume {run} {scenario}\n"));
        code
    }
}

/// Puts the process into the group; whether it is there. Where not, nobody needs the group.
fn entered_into(group: &Cgroup, pid: u32) -> bool {
    let entered = group.take(pid).is_ok();
    if !entered {
        end_cgroup(group);
    }
    entered
}

/// How a process of ours has ended, if it has.
fn ended(pid: u32) -> Option<End> {
    let pid = Pid::from_raw(pid.cast_signed())?;
    let status = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok()??;
    let code = status.exit_status().map(|code| End::Code(u8::try_from(code).unwrap_or(FAULT)));
    code.or(status.terminating_signal().map(End::Killed))
}
