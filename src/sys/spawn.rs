//! Starting a process in a session of its own.
//!
//! Until it is the program, a new process stands on memory of ours, and `vfork` would let nobody go on here meanwhile:
//! where more is to run than there are processors, it has to wait for its turn first, and so would all that is started
//! after it. Here it gets a cradle of its own, and who has started it goes on.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};

use rustix::fs::Timespec;
use rustix::io::{DupFlags, dup3, fcntl_dupfd_cloexec};
use rustix::process::{Pid, Resource, WaitOptions, getrlimit};

use super::order::{Birth, Order, Spawn, carry_out};
use super::signals::{Quiet, Target, signal};

/// Descriptors below this may be given to a process. What is given stands above it, or is moved there first.
const FIRST_FREE: RawFd = 10;

/// So many may be in their cradles at once: more would not keep the processors busier.
const CRADLES: usize = 16;

/// The places of all cradles are below this, or there are none. A new process gets no copies of the descriptors beyond
/// the places of its cradle, each of which it would have to close again: with hundreds of streams, that is a good part of
/// a start.
const FAR: RawFd = 112;

/// How many places each cradle has for what stands elsewhere: the standard descriptors, and one beside them.
const PLACES: usize = 4;

/// Who may open fewer files than this has none to spare for places.
const ROOMY: u64 = 512;

/// After so long it is looked whether another cradle than the oldest is free: its process may hang, on a file system
/// that does not answer.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// A process that was started.
#[derive(Debug)]
pub struct Started {
    /// Its id, which is the id of its session and of its process group as well once it is the program.
    pub pid: u32,
    /// Something to wait for its end with: readable once it has ended.
    pub end: OwnedFd,
    /// Whether it has become the program.
    pub birth: Birth,
}

/// Starts a process. It need not be the program yet when this returns: [`Birth`] tells.
///
/// # Errors
/// There is no room for one more process, or for its descriptors.
pub fn spawn(spawn: Spawn<'_>) -> io::Result<Started> {
    in_nursery(|nursery| {
        let mut cradle = nursery.free();
        let started = cradle.lay(&spawn, &nursery.nothing);
        nursery.used.push_back(cradle);
        started
    })?
}

/// Makes room for new processes. Best done before many descriptors are open: starts are quicker then.
///
/// # Errors
/// `/dev/null` cannot be opened.
pub fn reserve() -> io::Result<()> {
    in_nursery(|_| ())
}

impl Started {
    /// Waits until it is the program.
    ///
    /// # Errors
    /// Why it could not become that. It has ended then, and is forgotten.
    pub fn settled(self) -> io::Result<Self> {
        self.birth.wait(None);
        match self.birth.end() {
            None => Ok(self),
            Some(error) => {
                rustix::process::waitpid(Pid::from_raw(self.pid.cast_signed()), WaitOptions::empty())?;
                Err(error)
            }
        }
    }
}

impl Birth {
    /// Why it could not become the program: the folder or the program is missing or may not be used. To be called once
    /// the process has ended: nothing here holds what it was given from then on.
    pub fn end(&self) -> Option<io::Error> {
        // There is one: it was born there.
        let _ = in_nursery(Nursery::sweep);
        self.error()
    }
}

/// The cradles of this process.
struct Nursery {
    /// `/dev/null`. It stands in all their places while nobody uses them, and wherever a process is given no stdin.
    nothing: OwnedFd,
    /// Those in use, the oldest first.
    used: VecDeque<Cradle>,
    /// Those that are not, the one with the lowest places last.
    free: Vec<Cradle>,
}

fn in_nursery<T>(work: impl FnOnce(&mut Nursery) -> T) -> io::Result<T> {
    static NURSERY: Mutex<Option<Nursery>> = Mutex::new(None);
    let mut place = NURSERY.lock().unwrap_or_else(PoisonError::into_inner);
    let nursery = place.take().map_or_else(Nursery::new, Ok)?;
    Ok(work(place.insert(nursery)))
}

impl Nursery {
    fn new() -> io::Result<Self> {
        let nothing = fcntl_dupfd_cloexec(File::open("/dev/null")?, FIRST_FREE)?;
        // SAFETY: no descriptor has that number. Linux before 5.9, and some sandboxes, refuse the call.
        let known = unsafe { libc::close_range(libc::c_uint::MAX, libc::c_uint::MAX, 0) } == 0;
        let roomy = known && getrlimit(Resource::Nofile).current.is_none_or(|most| most >= ROOMY);
        let mut free: Vec<Cradle> = (0..CRADLES).map(|_| Cradle::new(roomy.then_some(&nothing))).collect();
        free.reverse();
        Ok(Self { nothing, used: VecDeque::new(), free })
    }

    /// One that nobody lies in. Where all are taken, it waits for the oldest.
    fn free(&mut self) -> Cradle {
        self.sweep();
        loop {
            if let Some(cradle) = self.free.pop() {
                return cradle;
            }
            if let Some(oldest) = self.used.front() {
                oldest.order().birth.wait(Some(&LOOK));
            }
            self.sweep();
        }
    }

    /// Clears those that nobody lies in any more.
    fn sweep(&mut self) {
        let mut at = 0;
        while let Some(cradle) = self.used.get(at) {
            if !cradle.order().birth.is_over() {
                at += 1;
            } else if let Some(mut cradle) = self.used.remove(at) {
                cradle.clear(&self.nothing);
                let lower = self.free.partition_point(|other| other.above > cradle.above);
                self.free.insert(lower, cradle);
            }
        }
    }
}

/// What a process stands on until it is the program. It is used again and again, and never given back.
struct Cradle {
    bed: NonNull<Bed>,
    /// Where what it is given stands meanwhile, below [`FAR`]; `None` where there is no room.
    places: Option<[OwnedFd; PLACES]>,
    /// They all are below this. Who has none is the last to be taken.
    above: RawFd,
    /// How many of them hold something.
    taken: usize,
}

// SAFETY: whoever has it has the only way to the bed, but for the process in it, which only reads.
unsafe impl Send for Cradle {}

struct Bed {
    /// It calls a few functions that only enter the kernel.
    stack: MaybeUninit<Stack>,
    order: Order,
}

#[repr(C, align(16))]
struct Stack([u8; 16 << 10]);

impl Cradle {
    /// With places that hold `nothing`, if there is something to hold.
    fn new(nothing: Option<&OwnedFd>) -> Self {
        let place = |_| fcntl_dupfd_cloexec(nothing?, FIRST_FREE).ok().filter(|place| place.as_raw_fd() < FAR);
        let places: Vec<OwnedFd> = (0..PLACES).map_while(place).collect();
        let bed = Box::leak(Box::new(Bed { stack: MaybeUninit::uninit(), order: Order::new() }));
        let places: Option<[OwnedFd; PLACES]> = places.try_into().ok();
        let above = places.iter().flatten().map(|place| place.as_raw_fd() + 1).max().unwrap_or(RawFd::MAX);
        Self { bed: NonNull::from(bed), places, above, taken: 0 }
    }

    fn order(&self) -> &Order {
        // SAFETY: it lives for ever, and only `lay` writes to it, which has it to itself.
        unsafe { &self.bed.as_ref().order }
    }

    /// Starts a process in it. Nobody may lie in it.
    fn lay(&mut self, spawn: &Spawn<'_>, nothing: &OwnedFd) -> io::Result<Started> {
        let birth = Birth::new();
        // SAFETY: nobody lies in it, and nobody else has it.
        let order = unsafe { &mut self.bed.as_mut().order };
        order.birth = birth.clone();
        order.write(spawn);
        let mut far = Vec::new();
        let started = self.bring(order, spawn.descriptors, nothing, &mut far).and_then(|()| self.give(&birth));
        if started.is_err() {
            birth.give_up();
        }
        started
    }

    /// Brings what is to be given to where the new process takes it from: into the places, or, where there are too few,
    /// into `far`, unless it can stay where it is.
    fn bring(
        &mut self,
        order: &mut Order,
        given: &[(BorrowedFd<'_>, RawFd)],
        nothing: &OwnedFd,
        far: &mut Vec<OwnedFd>,
    ) -> io::Result<()> {
        order.descriptors.clear();
        let lacking = given.iter().all(|&(_, to)| to != 0);
        match &mut self.places {
            Some(places) if given.len() + usize::from(lacking) <= PLACES => {
                order.shared = Some(self.above);
                order.descriptors.extend(lacking.then(|| (places[PLACES - 1].as_raw_fd(), 0)));
                for (&(from, to), place) in given.iter().zip(places) {
                    dup3(from, place, DupFlags::CLOEXEC)?;
                    self.taken += 1;
                    order.descriptors.push((place.as_raw_fd(), to));
                }
            }
            _ => {
                order.shared = None;
                for (from, to) in lacking.then(|| (nothing.as_fd(), 0)).into_iter().chain(given.iter().copied()) {
                    let mut source = from.as_raw_fd();
                    if source < FIRST_FREE {
                        let moved = fcntl_dupfd_cloexec(from, FIRST_FREE)?;
                        source = moved.as_raw_fd();
                        far.push(moved);
                    }
                    order.descriptors.push((source, to));
                }
            }
        }
        Ok(())
    }

    /// Nobody here may be the last who holds the end of a pipe that a process was given.
    fn clear(&mut self, nothing: &OwnedFd) {
        for place in self.places.iter_mut().flatten().take(std::mem::take(&mut self.taken)) {
            // It cannot fail: both are open.
            let _ = dup3(nothing, place, DupFlags::CLOEXEC);
        }
    }

    fn give(&self, birth: &Birth) -> io::Result<Started> {
        let mut end: RawFd = -1;
        // It has its own descriptors in any case: here, or, where it takes only some of ours, when it carries out its order.
        let descriptors = if self.order().shared.is_some() { libc::CLONE_FILES } else { 0 };
        let flags = descriptors | libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD;
        let quiet = Quiet::new()?;
        // SAFETY: the process runs `carry_out` on a stack of its own, whose upper end is aligned. All that it reads stands
        // in the cradle, which is left alone until the kernel says that the process is out of it; so is the number that
        // says so, of which the order holds a part. It takes no lock, allocates nothing and has no `errno`, so what other
        // threads do meanwhile is none of its business. No signal reaches it before its handlers are gone.
        let pid = unsafe {
            let bed = self.bed.as_ptr();
            let top = (&raw mut (*bed).stack).add(1);
            let order = &raw mut (*bed).order;
            let tls = ptr::null_mut::<c_void>();
            libc::clone(carry_out, top.cast(), flags, order.cast(), &raw mut end, tls, birth.cradled())
        };
        let error = io::Error::last_os_error();
        drop(quiet);
        match pid {
            -1 => Err(error),
            // SAFETY: the kernel has just opened it for us.
            _ if end >= 0 => {
                let end = unsafe { OwnedFd::from_raw_fd(end) };
                Ok(Started { pid: pid.cast_unsigned(), end, birth: birth.clone() })
            }
            _ => {
                // A kernel before Linux 5.2 takes no notice of what it does not know.
                let _ = signal(Target::Process(pid.cast_unsigned()), libc::SIGKILL);
                birth.wait(None);
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Each has a process of its own: in another, tests of local streams take theirs for what a step has left.

    use std::ffi::{CStr, CString};
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    use std::sync::Arc;

    use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};

    use super::*;
    use crate::sys::Block;
    use crate::sys::alone;

    fn nothing() -> Arc<Block> {
        Arc::new(Block::new([].into_iter()))
    }

    fn end(pid: u32) -> WaitIdStatus {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap().unwrap()
    }

    /// What `sh -c code` prints and how it ends, its stdout at descriptor 1 and a second pipe at descriptor 8.
    fn shell(code: &str, dir: Option<&CStr>) -> (String, Option<i32>) {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let argv = ["sh", "-c", code].map(|text| CString::new(text).unwrap());
        let descriptors = [(write.as_fd(), 8), (write.as_fd(), 1)];
        let it = Spawn {
            program: c"/bin/sh",
            argv: &argv,
            inherited: &nothing(),
            env: &[c"A=1"],
            dir,
            descriptors: &descriptors,
        };
        let started = spawn(it).unwrap();
        let status = end(started.pid).exit_status();
        assert!(started.birth.end().is_none());
        drop(write);
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        (text, status)
    }

    #[test]
    fn gives_a_session_a_folder_an_environment_and_descriptors() {
        if !alone("sys::spawn::tests::gives_a_session_a_folder_an_environment_and_descriptors") {
            return;
        }
        let code = "cut -d' ' -f5,6 /proc/$$/stat; echo $$ $$; pwd; echo $A >&8; exit 7";
        let (text, status) = shell(code, Some(c"/"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], &lines[2..], status), (lines[1], &["/", "1"][..], Some(7)));
    }

    #[test]
    fn what_is_given_comes_along_and_nothing_else_does() {
        if !alone("sys::spawn::tests::what_is_given_comes_along_and_nothing_else_does") {
            return;
        }
        let open = |_| File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        let held: Vec<File> = (0..100).map(open).collect();
        for count in [1, PLACES + 1] {
            let code = format!("[ \"$(ls -l /proc/$$/fd | grep -c Cargo.toml)\" = {count} ]");
            let argv = ["sh", "-c", &code].map(|text| CString::new(text).unwrap());
            for from in held.iter().rev() {
                let descriptors: Vec<_> = (0..).take(count).map(|to| (from.as_fd(), to)).collect();
                let env = [c"PATH=/usr/bin:/bin"];
                let it = Spawn {
                    program: c"/bin/sh",
                    argv: &argv,
                    inherited: &nothing(),
                    env: &env,
                    dir: None,
                    descriptors: &descriptors,
                };
                assert_eq!(end(spawn(it).unwrap().pid).exit_status(), Some(0), "{from:?}");
            }
        }
    }

    #[test]
    fn signals_are_at_their_defaults() {
        if !alone("sys::spawn::tests::signals_are_at_their_defaults") {
            return;
        }
        let (text, _) = shell("grep -E 'Sig(Blk|Ign)' /proc/self/status", None);
        let sets = text.lines().map(|line| u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap());
        // 32 and 33 belong to the C library, which hands them on as they are.
        let its_own = 0b11 << 31;
        assert_eq!(sets.map(|set| set & !its_own).collect::<Vec<_>>(), [0, 0]);
    }

    #[test]
    fn a_missing_program_or_folder_is_an_error_and_not_a_status() {
        if !alone("sys::spawn::tests::a_missing_program_or_folder_is_an_error_and_not_a_status") {
            return;
        }
        let missing =
            Spawn { program: c"/nowhere/x", argv: &[], inherited: &nothing(), env: &[], dir: None, descriptors: &[] };
        let elsewhere = Spawn { program: c"/bin/true", dir: Some(c"/nowhere"), ..missing };
        for it in [missing, elsewhere] {
            let settled = spawn(it).unwrap().settled();
            assert_eq!(settled.unwrap_err().kind(), io::ErrorKind::NotFound);
            let late = spawn(it).unwrap();
            assert_eq!(end(late.pid).exit_status(), Some(127));
            assert_eq!(late.birth.end().unwrap().kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn many_at_once_each_have_their_own_words() {
        if !alone("sys::spawn::tests::many_at_once_each_have_their_own_words") {
            return;
        }
        // More than there are cradles: some have to wait for others.
        let all: Vec<(Started, i32)> = (0..4 * i32::try_from(CRADLES).unwrap())
            .map(|number| {
                let argv = ["sh", "-c", &format!("exit {}", number % 100)].map(|text| CString::new(text).unwrap());
                let it = Spawn {
                    program: c"/bin/sh",
                    argv: &argv,
                    inherited: &nothing(),
                    env: &[],
                    dir: None,
                    descriptors: &[],
                };
                (spawn(it).unwrap(), number % 100)
            })
            .collect();
        for (started, status) in all {
            assert_eq!((end(started.pid).exit_status(), started.birth.end().is_none()), (Some(status), true));
        }
        assert_eq!(in_nursery(|nursery| nursery.free.len()).unwrap(), CRADLES);
    }
}
