//! Starting a process in a session of its own.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::io::{DupFlags, dup3, fcntl_dupfd_cloexec};
use rustix::process::WaitOptions;

use super::signals::{Quiet, Target, is_ignored, signal};

/// Descriptors below this may be given to a process. What is given stands above it, or is moved there first.
pub const FIRST_FREE: RawFd = 10;

/// A new process takes what it is given from below this. It gets no copies of the descriptors from here on, each of which
/// it would have to close again: with hundreds of streams, that is a good part of a start.
const FAR: RawFd = 64;
/// How many places below [`FAR`] are kept for what stands outside: three standard descriptors, and two beside them.
const PLACES: usize = 5;

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
    let mut near = if spawn.descriptors.len() <= PLACES { Lent::take() } else { None };
    let mut places = Vec::with_capacity(spawn.descriptors.len());
    for &(from, to) in spawn.descriptors {
        let source = match (from.as_raw_fd(), &mut near) {
            (number @ FIRST_FREE..FAR, _) | (number @ FAR.., None) => number,
            (_, Some(near)) => near.bring(from)?,
            (_, None) => {
                moved.push(fcntl_dupfd_cloexec(from, FIRST_FREE)?);
                moved[moved.len() - 1].as_raw_fd()
            }
        };
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
        near: near.is_some(),
        altered: altered(),
        error: AtomicI32::new(0),
    };
    let started = order.give()?;
    drop(near);
    match order.error.into_inner() {
        0 => Ok(started),
        error => {
            let pid = rustix::process::Pid::from_raw(started.pid.cast_signed());
            rustix::process::waitpid(pid, WaitOptions::empty())?;
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// Places for descriptors, where there are such below [`FAR`].
struct Near {
    /// What stands in all of them while nobody uses them.
    nothing: OwnedFd,
    places: [OwnedFd; PLACES],
}

/// The places, and how many of them are in use until this is dropped.
struct Lent(MutexGuard<'static, Near>, usize);

impl Near {
    /// `None` where the kernel cannot leave descriptors out, or too many are open already.
    fn new() -> Option<Self> {
        // SAFETY: no descriptor has that number. Linux before 5.9, and some sandboxes, refuse the call.
        let known = unsafe { libc::close_range(libc::c_uint::MAX, libc::c_uint::MAX, 0) } == 0;
        let nothing: OwnedFd = known.then(|| std::fs::File::open("/dev/null").ok())??.into();
        let place = |_| fcntl_dupfd_cloexec(&nothing, FIRST_FREE).ok().filter(|place| place.as_raw_fd() < FAR);
        let places: Vec<OwnedFd> = (0..PLACES).map_while(place).collect();
        Some(Self { nothing, places: places.try_into().ok()? })
    }
}

/// The places of this process.
fn near() -> Option<&'static Mutex<Near>> {
    static NEAR: OnceLock<Option<Mutex<Near>>> = OnceLock::new();
    NEAR.get_or_init(|| Near::new().map(Mutex::new)).as_ref()
}

/// Makes room for what [`spawn`] gives to processes. Best done before many descriptors are open: starts are quicker then.
pub fn reserve() {
    near();
}

impl Lent {
    fn take() -> Option<Self> {
        Some(Self(near()?.lock().unwrap_or_else(PoisonError::into_inner), 0))
    }

    /// A copy of a descriptor in the next place.
    fn bring(&mut self, from: BorrowedFd<'_>) -> io::Result<RawFd> {
        let place = &mut self.0.places[self.1];
        dup3(from, place, DupFlags::CLOEXEC)?;
        self.1 += 1;
        Ok(place.as_raw_fd())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Near { nothing, places } = &mut *self.0;
        for place in &mut places[..self.1] {
            // Nobody else may be the last who holds the end of a pipe. It cannot fail: both are open.
            let _ = dup3(&*nothing, place, DupFlags::CLOEXEC);
        }
    }
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
    /// Whether all of that stands below [`FAR`].
    near: bool,
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
        // It has its own descriptors in any case: here, or, where it takes only some of ours, in `become_it`.
        let descriptors = if self.near { libc::CLONE_FILES } else { 0 };
        let flags = descriptors | libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
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
            if self.near
                && libc::close_range(FAR.cast_unsigned(), libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE.cast_signed())
                    < 0
            {
                return *libc::__errno_location();
            }
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

/// The list that C wants: pointers with a null at the end.
fn pointers<'a>(texts: impl Iterator<Item = &'a CStr>) -> Vec<*mut c_char> {
    texts.map(|text| text.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

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
    fn what_stands_far_away_comes_along_and_nothing_else_does() {
        let open = |_| File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        let held: Vec<File> = (0..100).map(open).collect();
        let code = "[ \"$(ls -l /proc/$$/fd | grep -c Cargo.toml)\" = 1 ]";
        let argv = ["sh", "-c", code].map(|text| CString::new(text).unwrap());
        for from in held.iter().rev() {
            let descriptors = [(from.as_fd(), 0)];
            let env = [c"PATH=/usr/bin:/bin"];
            let it = Spawn { program: c"/bin/sh", argv: &argv, env: &env, dir: None, descriptors: &descriptors };
            assert_eq!(end(spawn(it).unwrap().pid).exit_status(), Some(0), "{from:?}");
        }
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
}
