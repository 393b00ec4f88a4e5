//! What the standard library cannot ask the kernel for. The only module with `unsafe`.
#![expect(
    unsafe_code,
    reason = "posix_spawn with a session of its own has no safe wrapper; each block says why it is sound"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_short};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

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

/// Starts a process and returns its id, which is the id of its session and of its process group as well.
///
/// # Errors
/// What the kernel says: the folder or the program is missing or may not be used, or there is no room for one more.
pub fn spawn(spawn: Spawn<'_>) -> io::Result<u32> {
    let mut moved: Vec<OwnedFd> = Vec::new();
    let mut actions = Actions::new()?;
    for &(from, to) in spawn.descriptors {
        let mut source = from.as_raw_fd();
        if source < FIRST_FREE {
            let copy = rustix::io::fcntl_dupfd_cloexec(from, FIRST_FREE)?;
            source = copy.as_raw_fd();
            moved.push(copy);
        }
        actions.place(source, to)?;
    }
    if let Some(dir) = spawn.dir {
        actions.enter(dir)?;
    }
    let attributes = Attributes::new()?;
    let argv = pointers(spawn.argv.iter().map(CString::as_c_str));
    let env = pointers(spawn.env.iter().copied());
    let mut pid = 0;
    // SAFETY: both lists end in a null pointer and, like all that they and `actions` point to, outlive the call,
    // which reads them only.
    let error = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            spawn.program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            argv.as_ptr(),
            env.as_ptr(),
        )
    };
    drop(moved);
    check(error)?;
    Ok(pid.cast_unsigned())
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
        let before = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].into_iter().filter_map(|number| {
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

/// Watches a descriptor for something to read. Where no more can be watched, it comes back with the reason.
pub fn watch(descriptor: OwnedFd) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped, which is when the watching ends.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(tokio::io::unix::AsyncFdRegisterError::into_parts)
}

/// What is done to the descriptors and the folder of a new process.
struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the call initializes what it is given a pointer to, and says so with 0.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: initialized just above.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    /// The descriptor `from` stands at `to`.
    fn place(&mut self, from: RawFd, to: RawFd) -> io::Result<()> {
        // SAFETY: `self` is initialized; the numbers are only stored.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }

    /// The process starts in `dir`.
    fn enter(&mut self, dir: &CStr) -> io::Result<()> {
        // SAFETY: `self` is initialized, and the text is copied.
        check(unsafe { libc::posix_spawn_file_actions_addchdir_np(&raw mut self.0, dir.as_ptr()) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialized in `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

/// A session of its own, no signal blocked, all signals at their defaults.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the call initializes what it is given a pointer to, and says so with 0.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: initialized just above.
        let mut it = Self(unsafe { attributes.assume_init() });
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigfillset` and `sigemptyset` initialize the whole set, and the other calls copy it.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            check(libc::posix_spawnattr_setsigdefault(&raw mut it.0, set.as_ptr()))?;
            libc::sigemptyset(set.as_mut_ptr());
            check(libc::posix_spawnattr_setsigmask(&raw mut it.0, set.as_ptr()))?;
        }
        let flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK | c_int::from(libc::POSIX_SPAWN_SETSID);
        let flags = c_short::try_from(flags).expect("the flags are small");
        // SAFETY: `it` is initialized.
        check(unsafe { libc::posix_spawnattr_setflags(&raw mut it.0, flags) })?;
        Ok(it)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialized in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
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
    use std::os::fd::AsFd;

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
        let pid = spawn(Spawn { program: c"/bin/sh", argv: &argv, env: &[c"A=1"], dir, descriptors: &descriptors });
        let status = end(pid.unwrap()).exit_status();
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
    fn nobody_is_signalled_by_mistake() {
        assert!(signal(Target::Process(0), 0).is_err());
        assert!(signal(Target::Group(1), 0).is_err());
        assert!(signal(Target::Group(0), 0).is_err());
    }
}
