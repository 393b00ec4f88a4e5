//! Starting a process in a session of its own.
//!
//! Until it is the program, a new process stands on memory of ours, and `vfork` would let nobody go on here meanwhile:
//! where more is to run than there are processors, it has to wait for its turn first, and so would all that is started
//! after it. Here it gets a cradle of its own, and who has started it goes on.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::Timespec;
use rustix::io::{DupFlags, Errno, dup3, fcntl_dupfd_cloexec};
use rustix::process::{Pid, Resource, WaitOptions, getrlimit};
use rustix::thread::futex;
use syscalls::{Sysno, syscall};

use super::signals::{Quiet, Target, is_ignored, signal};

/// Descriptors below this may be given to a process. What is given stands above it, or is moved there first.
pub const FIRST_FREE: RawFd = 10;

/// So many may be in their cradles at once: more would not keep the processors busier.
const CRADLES: usize = 16;

/// A new process takes what it is given from below this. It gets no copies of the descriptors from here on, each of which
/// it would have to close again: with hundreds of streams, that is a good part of a start.
const FAR: RawFd = 112;

/// How many places below [`FAR`] each cradle has for what stands outside: the standard descriptors, and one beside them.
const PLACES: usize = 4;

/// Who may open fewer files than this has none to spare for places.
const ROOMY: u64 = 512;

/// After so long it is looked whether another cradle than the oldest is free: its process may hang, on a file system
/// that does not answer.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// A process to start, in a session and process group of its own, with all signals at their defaults.
#[derive(Clone, Copy, Debug)]
pub struct Spawn<'a> {
    /// The program: a path, relative ones below `dir`.
    pub program: &'a CStr,
    /// Its arguments, its own name first.
    pub argv: &'a [CString],
    /// Its whole environment.
    pub env: &'a [&'a CStr],
    /// The folder it starts in.
    pub dir: Option<&'a CStr>,
    /// What stands at which of its descriptors, all below 10; all others that close on exec are closed.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
}

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

/// What is known of a new process on its way to be the program.
#[derive(Clone, Debug)]
pub struct Birth(Arc<Signs>);

#[derive(Debug)]
struct Signs {
    /// Not 0 as long as the process stands on memory of ours. The kernel sees to it, and wakes who waits.
    cradled: AtomicU32,
    /// Why it could not become the program.
    error: AtomicI32,
}

/// Starts a process. It need not be the program yet when this returns: [`Birth`] tells.
///
/// # Errors
/// There is no room for one more process, or for its descriptors.
pub fn spawn(spawn: Spawn<'_>) -> io::Result<Started> {
    let mut nursery = nursery();
    let mut cradle = nursery.free();
    let started = cradle.lay(&spawn);
    nursery.used.push_back(cradle);
    started
}

/// Makes room for new processes. Best done before many descriptors are open: starts are quicker then.
pub fn reserve() {
    drop(nursery());
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
    fn new() -> Self {
        Self(Arc::new(Signs { cradled: AtomicU32::new(1), error: AtomicI32::new(0) }))
    }

    /// Whether it stands on memory of ours no more: it is the program, or has ended.
    fn is_over(&self) -> bool {
        self.0.cradled.load(Ordering::Acquire) == 0
    }

    /// Waits until it stands on memory of ours no more, for so long at most where that is said.
    fn wait(&self, most: Option<&Timespec>) {
        while !self.is_over() {
            // It comes back at once where the number has changed, and too early where a signal came. The kernel wakes
            // as if others shared the number.
            if let Err(Errno::TIMEDOUT) = futex::wait(&self.0.cradled, futex::Flags::empty(), 1, most) {
                break;
            }
        }
    }

    /// Why it could not become the program: the folder or the program is missing or may not be used. To be called once
    /// the process has ended: nothing here holds what it was given from then on.
    pub fn end(&self) -> Option<io::Error> {
        nursery().sweep();
        let error = self.0.error.load(Ordering::Acquire);
        (error != 0).then(|| io::Error::from_raw_os_error(error))
    }
}

/// The cradles of this process.
struct Nursery {
    /// What stands in all their places while nobody uses them; `None` where there are no places.
    nothing: Option<OwnedFd>,
    /// Those in use, the oldest first.
    used: VecDeque<Cradle>,
    free: Vec<Cradle>,
}

fn nursery() -> MutexGuard<'static, Nursery> {
    static NURSERY: OnceLock<Mutex<Nursery>> = OnceLock::new();
    NURSERY.get_or_init(|| Mutex::new(Nursery::new())).lock().unwrap_or_else(PoisonError::into_inner)
}

impl Nursery {
    fn new() -> Self {
        // SAFETY: no descriptor has that number. Linux before 5.9, and some sandboxes, refuse the call.
        let known = unsafe { libc::close_range(libc::c_uint::MAX, libc::c_uint::MAX, 0) } == 0;
        let roomy = getrlimit(Resource::Nofile).current.is_none_or(|most| most >= ROOMY);
        let nothing = if known && roomy { std::fs::File::open("/dev/null").ok().map(OwnedFd::from) } else { None };
        let free = (0..CRADLES).map(|_| Cradle::new(nothing.as_ref())).collect();
        Self { nothing, used: VecDeque::new(), free }
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
                cradle.clear(self.nothing.as_ref());
                self.free.push(cradle);
            }
        }
    }
}

/// What a process stands on until it is the program. It is used again and again, and never given back.
struct Cradle {
    bed: NonNull<Bed>,
    /// Where what it is given stands meanwhile, below [`FAR`]; `None` where there is no room.
    places: Option<[OwnedFd; PLACES]>,
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

/// What a new process does before it becomes the program: `posix_spawn` takes more calls for it, and has no way to name
/// the process for good.
struct Order {
    /// Whoever starts a process may forget what it said: the words it needs stand here.
    words: Vec<u8>,
    program: *const c_char,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    /// Null where it stays in the folder of the one that starts it.
    dir: *const c_char,
    /// Which descriptor comes to stand where.
    descriptors: Vec<(RawFd, RawFd)>,
    /// Whether all of them are in the places of the cradle, and it shares our descriptors until it has taken them.
    near: bool,
    altered: &'static [c_int],
    birth: Birth,
}

impl Cradle {
    fn new(nothing: Option<&OwnedFd>) -> Self {
        let order = Order {
            words: Vec::new(),
            program: ptr::null(),
            argv: Vec::new(),
            env: Vec::new(),
            dir: ptr::null(),
            descriptors: Vec::new(),
            near: false,
            altered: altered(),
            birth: Birth::new(),
        };
        let place = |_| fcntl_dupfd_cloexec(nothing?, FIRST_FREE).ok().filter(|place| place.as_raw_fd() < FAR);
        let places: Vec<OwnedFd> = (0..PLACES).map_while(place).collect();
        let bed = Box::leak(Box::new(Bed { stack: MaybeUninit::uninit(), order }));
        Self { bed: NonNull::from(bed), places: places.try_into().ok() }
    }

    fn order(&self) -> &Order {
        // SAFETY: it lives for ever, and only `lay` writes to it, which has it to itself.
        unsafe { &self.bed.as_ref().order }
    }

    /// Starts a process in it. Nobody may lie in it.
    fn lay(&mut self, spawn: &Spawn<'_>) -> io::Result<Started> {
        let birth = Birth::new();
        let mut far = Vec::new();
        let started = self.bring(spawn.descriptors, &mut far).and_then(|(descriptors, near)| {
            // SAFETY: nobody lies in it, and nobody else has it.
            unsafe { self.bed.as_mut().order.write(spawn, descriptors, near, birth.clone()) };
            self.give(&birth)
        });
        if started.is_err() {
            birth.0.cradled.store(0, Ordering::Release);
        }
        started
    }

    /// Brings what is to be given to where the new process takes it from, and whether that is in the places: what is not
    /// is in `far`, or stays where it is.
    fn bring(
        &mut self,
        descriptors: &[(BorrowedFd<'_>, RawFd)],
        far: &mut Vec<OwnedFd>,
    ) -> io::Result<(Vec<(RawFd, RawFd)>, bool)> {
        let mut brought = Vec::with_capacity(descriptors.len());
        let near = self.places.as_mut().filter(|places| places.len() >= descriptors.len());
        let are_near = near.is_some();
        let mut places = near.into_iter().flatten();
        for &(from, to) in descriptors {
            let source = match places.next() {
                Some(place) => {
                    dup3(from, place, DupFlags::CLOEXEC)?;
                    place.as_raw_fd()
                }
                None if from.as_raw_fd() >= FIRST_FREE => from.as_raw_fd(),
                None => {
                    far.push(fcntl_dupfd_cloexec(from, FIRST_FREE)?);
                    far[far.len() - 1].as_raw_fd()
                }
            };
            brought.push((source, to));
        }
        Ok((brought, are_near))
    }

    /// Nobody here may be the last who holds the end of a pipe that a process was given.
    fn clear(&mut self, nothing: Option<&OwnedFd>) {
        let used = if self.order().near { self.order().descriptors.len() } else { 0 };
        for place in self.places.iter_mut().flatten().take(used) {
            // It cannot fail: both are open.
            let _ = nothing.map(|nothing| dup3(nothing, place, DupFlags::CLOEXEC));
        }
    }

    fn give(&self, birth: &Birth) -> io::Result<Started> {
        let mut end: RawFd = -1;
        // It has its own descriptors in any case: here, or, where it takes only some of ours, in `become_it`.
        let descriptors = if self.order().near { libc::CLONE_FILES } else { 0 };
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
            libc::clone(carry_out, top.cast(), flags, order.cast(), &raw mut end, tls, birth.0.cradled.as_ptr())
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

impl Order {
    fn write(&mut self, spawn: &Spawn<'_>, descriptors: Vec<(RawFd, RawFd)>, near: bool, birth: Birth) {
        let argv = spawn.argv.iter().map(CString::as_c_str);
        let all = [spawn.program].into_iter().chain(spawn.dir).chain(argv.clone()).chain(spawn.env.iter().copied());
        self.words.clear();
        // What is pointed to must not move while more is added.
        self.words.reserve(all.map(|text| text.count_bytes() + 1).sum());
        self.program = self.keep(spawn.program);
        self.dir = spawn.dir.map_or(ptr::null(), |dir| self.keep(dir));
        self.argv.clear();
        for text in argv {
            let kept = self.keep(text);
            self.argv.push(kept);
        }
        self.argv.push(ptr::null());
        self.env.clear();
        for text in spawn.env {
            let kept = self.keep(text);
            self.env.push(kept);
        }
        self.env.push(ptr::null());
        self.descriptors = descriptors;
        self.near = near;
        self.birth = birth;
    }

    fn keep(&mut self, text: &CStr) -> *const c_char {
        let at = self.words.len();
        self.words.extend_from_slice(text.to_bytes_with_nul());
        self.words[at..].as_ptr().cast()
    }

    /// Becomes the program; the number of the error where that fails.
    fn become_it(&self) -> c_int {
        // SAFETY: each call enters the kernel and does nothing else; those of the C library cannot fail. `write` makes lists
        // that end in a null pointer.
        let tried = unsafe {
            let unshare = || syscall!(Sysno::close_range, FAR, libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE);
            let taken = if self.near { unshare() } else { Ok(0) };
            let mut plain = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            plain.sa_sigaction = libc::SIG_DFL;
            for &signal in self.altered {
                libc::sigaction(signal, &raw const plain, ptr::null_mut());
            }
            libc::setsid();
            let mut given = self.descriptors.iter();
            taken
                .and_then(|_| given.try_for_each(|&(from, to)| syscall!(Sysno::dup3, from, to, 0).map(drop)))
                .and_then(|()| if self.dir.is_null() { Ok(0) } else { syscall!(Sysno::chdir, self.dir) })
                .and_then(|_| {
                    libc::sigprocmask(libc::SIG_SETMASK, &raw const plain.sa_mask, ptr::null_mut());
                    syscall!(Sysno::execve, self.program, self.argv.as_ptr(), self.env.as_ptr())
                })
        };
        tried.err().map_or(libc::EIO, syscalls::Errno::into_raw)
    }
}

/// Where a new process begins.
extern "C" fn carry_out(order: *mut c_void) -> c_int {
    // SAFETY: it is what `Cradle::give` gave.
    let order = unsafe { &*order.cast::<Order>() };
    order.birth.0.error.store(order.become_it(), Ordering::Release);
    // SAFETY: it ends this process and nothing else.
    unsafe { libc::_exit(127) }
}

/// The signals that others send and that mean something else than their default here, in all of this program's life.
const HEARD: [c_int; 5] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE];

/// The signals that a new process has to put back: [`HEARD`], and of the others those that whoever started us ignores.
/// Not all there are: each costs a call in the way of every step.
fn altered() -> &'static [c_int] {
    static ALTERED: OnceLock<Vec<c_int>> = OnceLock::new();
    let ignored = |signal: &c_int| !HEARD.contains(signal) && is_ignored(*signal);
    ALTERED.get_or_init(|| HEARD.into_iter().chain((1..=libc::SIGRTMAX()).filter(ignored)).collect())
}

#[cfg(test)]
mod tests {
    //! Each has a process of its own: in another, tests of local streams take theirs for what a step has left.

    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};

    use super::*;
    use crate::sys::alone;

    fn end(pid: u32) -> WaitIdStatus {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap().unwrap()
    }

    /// What `sh -c code` prints and how it ends, its stdout at descriptor 1 and a second pipe at descriptor 8.
    fn shell(code: &str, dir: Option<&CStr>) -> (String, Option<i32>) {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let argv = ["sh", "-c", code].map(|text| CString::new(text).unwrap());
        let descriptors = [(write.as_fd(), 8), (write.as_fd(), 1)];
        let it = Spawn { program: c"/bin/sh", argv: &argv, env: &[c"A=1"], dir, descriptors: &descriptors };
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
                let it = Spawn { program: c"/bin/sh", argv: &argv, env: &env, dir: None, descriptors: &descriptors };
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
        let missing = Spawn { program: c"/nowhere/x", argv: &[], env: &[], dir: None, descriptors: &[] };
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
                let it = Spawn { program: c"/bin/sh", argv: &argv, env: &[], dir: None, descriptors: &[] };
                (spawn(it).unwrap(), number % 100)
            })
            .collect();
        for (started, status) in all {
            assert_eq!((end(started.pid).exit_status(), started.birth.end().is_none()), (Some(status), true));
        }
        assert_eq!(nursery().free.len(), CRADLES);
    }
}
