//! What the standard library cannot ask the kernel for. The only module with `unsafe`.
#![expect(
    unsafe_code,
    reason = "starting a process in a session of its own has no safe wrapper; each block says why it is sound"
)]

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::WaitOptions;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Descriptors below this may be given to a process. What is given stands above it, or is moved there first.
pub const FIRST_FREE: RawFd = 10;

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
    /// Its id, which is the id of its session and of its process group as well.
    pub pid: u32,
    /// Something to wait for its end with: readable once it has ended.
    pub end: OwnedFd,
}

/// Starts a process. The calling thread stands still until the process is what it should be, or could not become it.
///
/// # Errors
/// What the kernel says: the folder or the program is missing or may not be used, or there is no room for one more.
pub fn spawn(spawn: Spawn<'_>) -> io::Result<Started> {
    let mut moved: Vec<OwnedFd> = Vec::new();
    let mut places = Vec::with_capacity(spawn.descriptors.len());
    for &(from, to) in spawn.descriptors {
        let mut source = from.as_raw_fd();
        if source < FIRST_FREE {
            let copy = rustix::io::fcntl_dupfd_cloexec(from, FIRST_FREE)?;
            source = copy.as_raw_fd();
            moved.push(copy);
        }
        places.push((source, to));
    }
    let argv = pointers(spawn.argv.iter().map(CString::as_c_str));
    let env = pointers(spawn.env.iter().copied());
    let order = Order {
        program: spawn.program.as_ptr(),
        argv: argv.as_ptr().cast(),
        env: env.as_ptr().cast(),
        dir: spawn.dir.map_or(ptr::null(), CStr::as_ptr),
        places: &places,
        altered: altered(),
        error: AtomicI32::new(0),
    };
    let started = order.give()?;
    match order.error.into_inner() {
        0 => Ok(started),
        error => {
            let pid = rustix::process::Pid::from_raw(started.pid.cast_signed());
            rustix::process::waitpid(pid, WaitOptions::empty())?;
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// Sends a signal to a process, or to a whole process group.
///
/// # Errors
/// There is no such process or group, or it may not be signalled.
pub fn signal(target: Target, signal: i32) -> io::Result<()> {
    let id = match target {
        Target::Process(pid) => pid.cast_signed(),
        Target::Group(pid) => -pid.cast_signed(),
    };
    if id == 0 || id == -1 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: `kill` takes two numbers and touches no memory of ours.
    if unsafe { libc::kill(id, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whom a signal is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// One process.
    Process(u32),
    /// All members of a process group, by the id of its leader.
    Group(u32),
}

/// While this lives, the signals that ask a process to end do end this one at once, whoever listened to them before.
pub struct Mortal {
    before: Vec<(c_int, libc::sigaction)>,
}

impl Mortal {
    /// From now on.
    pub fn new() -> Self {
        let before = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT].into_iter().filter_map(|number| {
            let mut old = MaybeUninit::uninit();
            // SAFETY: all zeros is a valid action, the default one; the call reads it, and initializes `old` if it
            // says so with 0.
            unsafe {
                let default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                let done = libc::sigaction(number, &raw const default, old.as_mut_ptr());
                (done == 0).then(|| (number, old.assume_init()))
            }
        });
        Self { before: before.collect() }
    }
}

impl Default for Mortal {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Mortal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Mortal").finish()
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        for (number, old) in &self.before {
            // SAFETY: this action was in force before, so whatever it calls is there; the call only reads it.
            unsafe { libc::sigaction(*number, old, ptr::null_mut()) };
        }
    }
}

/// Keeps descriptors that this process has inherited, beyond the three standard ones, from the processes it starts.
pub fn seal_descriptors() {
    // SAFETY: it only sets the close-on-exec flag; no descriptor is closed here. An old kernel refuses, which leaves
    // things as they were.
    unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
}

/// Splits this process in two, which go on from here with the same memory and the same open files: the new one gets
/// `None`, the old one the id of the new one.
///
/// # Errors
/// This process has more than one thread, or the kernel has no room for one more process.
pub fn fork() -> io::Result<Option<u32>> {
    only_thread()?;
    // SAFETY: no other thread exists, so none can hold a lock that nobody would release in the new process.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid.cast_unsigned())),
    }
}

/// Waits until the kernel has forgotten threads that have been joined.
fn only_thread() -> io::Result<()> {
    for _ in 0..10_000 {
        if std::fs::read_dir("/proc/self/task")?.count() == 1 {
            return Ok(());
        }
        rustix::thread::sched_yield();
    }
    Err(io::Error::other("another thread is still running"))
}

/// Signals that are read instead of obeyed. Those that this process is sent before they are read are kept.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
    before: libc::sigset_t,
}

impl Signals {
    /// From now on this thread, and those that it starts, obey none of these signals.
    ///
    /// # Errors
    /// The kernel has no room for one more descriptor.
    pub fn catch(signals: &[c_int]) -> io::Result<Self> {
        let set = set(signals);
        let mut before = MaybeUninit::uninit();
        // SAFETY: `set` is whole, and the call fills in `before`, which it says with 0.
        check(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, before.as_mut_ptr()) })?;
        // SAFETY: filled in just above.
        let before = unsafe { before.assume_init() };
        // SAFETY: `set` is whole; -1 asks for a new descriptor.
        let descriptor = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it for us, and nobody else knows it.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) }, before })
    }

    /// The next signal that came, where one did.
    pub fn next(&self) -> Option<c_int> {
        let mut buffer = [0; size_of::<libc::signalfd_siginfo>()];
        let read = rustix::io::read(&self.descriptor, &mut buffer).ok()?;
        // The number is the first field.
        let number = buffer.first_chunk().filter(|_| read == buffer.len())?;
        c_int::try_from(u32::from_ne_bytes(*number)).ok()
    }

    /// The signals are obeyed as they were before, but for those of `without`, which stay blocked.
    ///
    /// # Errors
    /// None that is known.
    pub fn release(&self, without: &[c_int]) -> io::Result<()> {
        let mut before = self.before;
        // SAFETY: the set is whole, and so is every set that `sigaddset` is given.
        unsafe {
            for signal in without {
                libc::sigaddset(&raw mut before, *signal);
            }
            check(libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()))
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn set(signals: &[c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initializes the whole set, and `sigaddset` changes one that is.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Whether whoever has started this process wants that it does not hear of a signal, as `nohup` does.
pub fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the call changes nothing and fills in `action`, which it says with 0.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// The home of whoever has started this process, as the system has it: the environment may say something else.
pub fn home() -> Option<PathBuf> {
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let (mut text, mut found) = ([0; 16 << 10], ptr::null_mut());
    let user = rustix::process::getuid().as_raw();
    // SAFETY: entry and text are ours and as large as the call is told. Where it finds somebody, it fills in the entry,
    // whose texts stand in `text` and end with a NUL.
    unsafe {
        libc::getpwuid_r(user, entry.as_mut_ptr(), text.as_mut_ptr(), text.len(), &raw mut found);
        let home = CStr::from_ptr(found.as_ref()?.pw_dir.cast_const());
        Some(PathBuf::from(OsStr::from_bytes(home.to_bytes())))
    }
}

/// A signal does what it does to a process that says nothing about it.
pub fn restore(signal: c_int) {
    // SAFETY: no handler of ours is called by it.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Watches a descriptor for something to read. Where no more can be watched, it comes back with the reason.
pub fn watch(descriptor: OwnedFd) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped, which is when the watching ends.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(tokio::io::unix::AsyncFdRegisterError::into_parts)
}

/// What a new process does before it becomes the program, in the memory and instead of the thread that starts it:
/// `posix_spawn` takes more calls for it, and has no way to name the process for good.
struct Order<'a> {
    program: *const c_char,
    argv: *const *const c_char,
    env: *const *const c_char,
    /// Null where it stays in the folder of the one that starts it.
    dir: *const c_char,
    /// Which descriptor comes to stand where.
    places: &'a [(RawFd, RawFd)],
    altered: &'a [c_int],
    /// Why it could not.
    error: AtomicI32,
}

/// What the new process stands on until it is the program. It calls a few functions that only enter the kernel.
#[repr(C, align(16))]
struct Stack([u8; 16 << 10]);

impl Order<'_> {
    /// Starts the process, and returns when it has carried out the order or has failed to.
    fn give(&self) -> io::Result<Started> {
        let mut stack = MaybeUninit::<Stack>::uninit();
        let mut end: RawFd = -1;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        let quiet = Quiet::new()?;
        // SAFETY: the process runs `carry_out` on a stack of its own, whose upper end is aligned, and this thread stands
        // still until it does so no more: all that it reads through `self` outlives it. It takes no lock and allocates
        // nothing, so what other threads do meanwhile is none of its business. No signal reaches it before its handlers
        // are gone.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(1);
            libc::clone(carry_out, top.cast(), flags, ptr::from_ref(self).cast_mut().cast(), &raw mut end)
        };
        let error = io::Error::last_os_error();
        drop(quiet);
        match pid {
            -1 => Err(error),
            // SAFETY: the kernel has just opened it for us.
            _ if end >= 0 => Ok(Started { pid: pid.cast_unsigned(), end: unsafe { OwnedFd::from_raw_fd(end) } }),
            _ => {
                // A kernel before Linux 5.2 takes no notice of what it does not know.
                let _ = signal(Target::Process(pid.cast_unsigned()), libc::SIGKILL);
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// Becomes the program; the number of the error where that fails.
    fn become_it(&self) -> c_int {
        // SAFETY: each call enters the kernel and does nothing else. `Order` is only made with lists that end in a null
        // pointer and texts that outlive it.
        unsafe {
            let mut plain = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            plain.sa_sigaction = libc::SIG_DFL;
            for &signal in self.altered {
                libc::sigaction(signal, &raw const plain, ptr::null_mut());
            }
            libc::setsid();
            for &(from, to) in self.places {
                if libc::dup2(from, to) < 0 {
                    return *libc::__errno_location();
                }
            }
            if !self.dir.is_null() && libc::chdir(self.dir) < 0 {
                return *libc::__errno_location();
            }
            libc::sigprocmask(libc::SIG_SETMASK, &raw const plain.sa_mask, ptr::null_mut());
            libc::execve(self.program, self.argv, self.env);
            *libc::__errno_location()
        }
    }
}

/// Where a new process begins.
extern "C" fn carry_out(order: *mut c_void) -> c_int {
    // SAFETY: it is what `Order::give` gave, which waits for us.
    let order = unsafe { &*order.cast::<Order<'_>>() };
    order.error.store(order.become_it(), Ordering::Relaxed);
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

/// As long as it lives, no signal reaches this thread.
struct Quiet(libc::sigset_t);

impl Quiet {
    fn new() -> io::Result<Self> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the first call initializes the whole set; the second reads it and fills in the other.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            check(libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()))?;
            Ok(Self(before.assume_init()))
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: it sets the mask that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// The list that C wants: pointers with a null at the end.
fn pointers<'a>(texts: impl Iterator<Item = &'a CStr>) -> Vec<*mut c_char> {
    texts.map(|text| text.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

fn check(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};

    use super::*;

    fn end(pid: u32) -> WaitIdStatus {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap().unwrap()
    }

    /// What `sh -c code` prints and how it ends, its stdout at descriptor 1 and a second pipe at descriptor 8.
    fn shell(code: &str, dir: Option<&CStr>) -> (String, Option<i32>) {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let argv = ["sh", "-c", code].map(|text| CString::new(text).unwrap());
        let descriptors = [(write.as_fd(), 8), (write.as_fd(), 1)];
        let started = spawn(Spawn { program: c"/bin/sh", argv: &argv, env: &[c"A=1"], dir, descriptors: &descriptors });
        let status = end(started.unwrap().pid).exit_status();
        drop(write);
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        (text, status)
    }

    #[test]
    fn gives_a_session_a_folder_an_environment_and_descriptors() {
        let code = "cut -d' ' -f5,6 /proc/$$/stat; echo $$ $$; pwd; echo $A >&8; exit 7";
        let (text, status) = shell(code, Some(c"/"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], &lines[2..], status), (lines[1], &["/", "1"][..], Some(7)));
    }

    #[test]
    fn signals_are_at_their_defaults() {
        let (text, _) = shell("grep -E 'Sig(Blk|Ign)' /proc/self/status", None);
        let sets = text.lines().map(|line| u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap());
        // 32 and 33 belong to the C library, which hands them on as they are.
        let its_own = 0b11 << 31;
        assert_eq!(sets.map(|set| set & !its_own).collect::<Vec<_>>(), [0, 0]);
    }

    #[test]
    fn a_missing_program_is_an_error_here_and_not_a_status() {
        let spawned = spawn(Spawn { program: c"/nowhere/x", argv: &[], env: &[], dir: None, descriptors: &[] });
        assert_eq!(spawned.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn signals_are_read_instead_of_obeyed() {
        let thread = std::thread::spawn(|| {
            let signals = Signals::catch(&[libc::SIGUSR1, libc::SIGUSR2]).unwrap();
            // SAFETY: it sends a signal to this thread, which blocks it.
            let raise = |signal| unsafe { libc::pthread_kill(libc::pthread_self(), signal) };
            assert_eq!((signals.next(), raise(libc::SIGUSR2)), (None, 0));
            assert_eq!((signals.next(), signals.next()), (Some(libc::SIGUSR2), None));
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_process_with_threads_is_not_split() {
        // The thread of this test, and the one that runs the tests.
        assert_eq!(fork().unwrap_err().to_string(), "another thread is still running");
    }

    #[test]
    fn the_home_is_the_one_that_the_system_knows() {
        let asked = std::process::Command::new("sh").args(["-c", "getent passwd $(id -ru) | cut -d: -f6"]).output();
        let asked = String::from_utf8(asked.unwrap().stdout).unwrap();
        assert_eq!(home(), Some(PathBuf::from(asked.trim())));
    }

    #[test]
    fn nobody_is_signalled_by_mistake() {
        assert!(signal(Target::Process(0), 0).is_err());
        assert!(signal(Target::Group(1), 0).is_err());
        assert!(signal(Target::Group(0), 0).is_err());
    }
}
