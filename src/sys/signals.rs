//! Signals: sent, read instead of obeyed, put back.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;

use super::check;

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

/// A signal does what it does to a process that says nothing about it.
pub fn restore(signal: c_int) {
    // SAFETY: no handler of ours is called by it.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// As long as it lives, no signal reaches this thread.
pub(super) struct Quiet(libc::sigset_t);

impl Quiet {
    pub(super) fn new() -> io::Result<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn nobody_is_signalled_by_mistake() {
        assert!(signal(Target::Process(0), 0).is_err());
        assert!(signal(Target::Group(1), 0).is_err());
        assert!(signal(Target::Group(0), 0).is_err());
    }
}
