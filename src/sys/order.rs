//! What a new process does until it is the program.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::thread::futex;
use syscalls::{Sysno, syscall};

use super::signals::is_ignored;

/// A process to start, in a session and process group of its own, with all signals at their defaults.
#[derive(Clone, Copy, Debug)]
pub struct Spawn<'a> {
    /// The program: a path, relative ones below `dir`.
    pub program: &'a CStr,
    /// Its arguments, its own name first.
    pub argv: &'a [CString],
    /// Its environment: what it has in common with others.
    pub inherited: &'a Arc<Block>,
    /// And what it has for itself, of other names.
    pub env: &'a [&'a CStr],
    /// The folder it starts in.
    pub dir: Option<&'a CStr>,
    /// What stands at which of its descriptors, all below 10; all others that close on exec are closed. Where nothing is
    /// to stand at 0, `/dev/null` does.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
}

/// An environment, ready to be given to any number of processes.
#[derive(Debug)]
pub struct Block {
    /// What the entries point to.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is read through the entries"))]
    words: Vec<u8>,
    entries: Vec<*const c_char>,
}

// SAFETY: nobody writes to what the entries point to, and it lives as long as they do.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// Of these entries, each `NAME=value`.
    pub fn new<'a>(entries: impl Iterator<Item = &'a CStr> + Clone) -> Self {
        let mut words = Vec::new();
        // What is pointed to must not move while more is added.
        words.reserve_exact(entries.clone().map(|text| text.count_bytes() + 1).sum());
        let entries = entries.map(|text| keep(&mut words, text)).collect();
        Self { words, entries }
    }

    /// The entries as text.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> Vec<String> {
        let texts = self.words.split_inclusive(|byte| *byte == 0).map(|text| &text[..text.len() - 1]);
        texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }
}

/// Keeps a text in `words`, which has room for it, and says where.
fn keep(words: &mut Vec<u8>, text: &CStr) -> *const c_char {
    let at = words.len();
    words.extend_from_slice(text.to_bytes_with_nul());
    words[at..].as_ptr().cast()
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

impl Birth {
    pub(super) fn new() -> Self {
        Self(Arc::new(Signs { cradled: AtomicU32::new(1), error: AtomicI32::new(0) }))
    }

    /// Whether it stands on memory of ours no more: it is the program, or has ended.
    pub(super) fn is_over(&self) -> bool {
        self.0.cradled.load(Ordering::Acquire) == 0
    }

    /// Waits until it stands on memory of ours no more, for so long at most where that is said.
    pub(super) fn wait(&self, most: Option<&Timespec>) {
        while !self.is_over() {
            // It comes back at once where the number has changed, and too early where a signal came. The kernel wakes
            // as if others shared the number.
            if let Err(Errno::TIMEDOUT) = futex::wait(&self.0.cradled, futex::Flags::empty(), 1, most) {
                break;
            }
        }
    }

    /// Why it could not become the program.
    pub(super) fn error(&self) -> Option<io::Error> {
        let error = self.0.error.load(Ordering::Acquire);
        (error != 0).then(|| io::Error::from_raw_os_error(error))
    }

    /// The number that the kernel sets to 0.
    pub(super) fn cradled(&self) -> *mut u32 {
        self.0.cradled.as_ptr()
    }

    /// Nobody was born.
    pub(super) fn give_up(&self) {
        self.0.cradled.store(0, Ordering::Release);
    }
}

/// What a new process does before it becomes the program: `posix_spawn` takes more calls for it, and has no way to name
/// the process for good.
pub(super) struct Order {
    /// Whoever starts a process may forget what it said: the words it needs stand here.
    words: Vec<u8>,
    program: *const c_char,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    /// What a part of `env` points to.
    inherited: Option<Arc<Block>>,
    /// Null where it stays in the folder of the one that starts it.
    dir: *const c_char,
    /// Which descriptor comes to stand where.
    pub(super) descriptors: Vec<(RawFd, RawFd)>,
    /// Where it shares our descriptors until it has taken its own: it takes those below this.
    pub(super) shared: Option<RawFd>,
    altered: &'static [c_int],
    pub(super) birth: Birth,
}

impl Order {
    pub(super) fn new() -> Self {
        Self {
            words: Vec::new(),
            program: ptr::null(),
            argv: Vec::new(),
            env: Vec::new(),
            inherited: None,
            dir: ptr::null(),
            descriptors: Vec::new(),
            shared: None,
            altered: altered(),
            birth: Birth::new(),
        }
    }

    /// Writes down all that is asked, but for the descriptors.
    pub(super) fn write(&mut self, spawn: &Spawn<'_>) {
        let argv = spawn.argv.iter().map(CString::as_c_str);
        let all = [spawn.program].into_iter().chain(spawn.dir).chain(argv.clone()).chain(spawn.env.iter().copied());
        self.words.clear();
        // What is pointed to must not move while more is added.
        self.words.reserve(all.map(|text| text.count_bytes() + 1).sum());
        self.program = keep(&mut self.words, spawn.program);
        self.dir = spawn.dir.map_or(ptr::null(), |dir| keep(&mut self.words, dir));
        self.argv.clear();
        self.argv.extend(argv.map(|text| keep(&mut self.words, text)));
        self.argv.push(ptr::null());
        self.env.clear();
        self.env.extend_from_slice(&spawn.inherited.entries);
        self.env.extend(spawn.env.iter().map(|text| keep(&mut self.words, text)));
        self.env.push(ptr::null());
        self.inherited = Some(Arc::clone(spawn.inherited));
    }

    /// Becomes the program; the number of the error where that fails.
    fn become_it(&self) -> c_int {
        // SAFETY: each call enters the kernel and does nothing else; those of the C library cannot fail. `write` makes lists
        // that end in a null pointer.
        let tried = unsafe {
            let unshare = |from| syscall!(Sysno::close_range, from, libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE);
            let taken = self.shared.map_or(Ok(0), unshare);
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

/// Where a new process begins. It is given its [`Order`].
pub(super) extern "C" fn carry_out(order: *mut c_void) -> c_int {
    // SAFETY: it is what whoever has started the process gave to it.
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
