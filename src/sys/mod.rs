//! What the standard library cannot ask the kernel for. The only module with `unsafe`.
#![expect(
    unsafe_code,
    reason = "starting a process in a session of its own has no safe wrapper; each block says why it is sound"
)]

mod order;
mod signals;
mod spawn;

use std::ffi::{CStr, OsStr, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use self::order::{Birth, Block, Spawn};
pub use self::signals::{Mortal, Signals, Target, is_ignored, restore, signal};
pub use self::spawn::{Started, reserve, spawn};

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

/// The same, with the new process in a control group from its first moment: to put it there later takes the kernel as
/// long as all processors take to come to rest once, 10 ms and more.
///
/// # Errors
/// The same, or the kernel cannot do that (Linux before 5.7, some sandboxes).
pub fn fork_into(group: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    only_thread()?;
    let (into_cgroup, signal, group) = (0x2_0000_0000, u64::from(libc::SIGCHLD.cast_unsigned()), group.as_raw_fd());
    // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
    let asked = [into_cgroup, 0, 0, 0, signal, 0, 0, 0, 0, 0, u64::from(group.cast_unsigned())];
    // SAFETY: as above. The call reads `asked`, and both processes go on from here, each with a stack of its own. The C
    // library is told nothing of it, and need not be: it asks the kernel for the ids of a process and of its first thread
    // wherever something hangs on them.
    match unsafe { libc::syscall(libc::SYS_clone3, asked.as_ptr(), size_of_val(&asked)) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => u32::try_from(pid).map(Some).map_err(io::Error::other),
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

/// Watches a descriptor for something to read. Where no more can be watched, it comes back with the reason.
pub fn watch(descriptor: OwnedFd) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped, which is when the watching ends.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(tokio::io::unix::AsyncFdRegisterError::into_parts)
}

fn check(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Whether a test has this process for itself. Where not, it is run in one of its own, and has to pass there.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test is told by it that it was started for itself")]
pub(crate) fn alone(test: &str) -> bool {
    const ALONE: &str = "MSTREAM_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let told = again.args(["--exact", test]).env(ALONE, "1").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("1 passed"), "{told}");
    false
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
