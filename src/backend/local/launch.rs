//! Starts the process of a step: program, arguments, environment, folder, user and descriptors.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Local;
use super::environment::{nul, variable};
use super::kin::{self, COOKIE, Claim, lead};
use super::pump::Pump;
use crate::backend::Job;
use crate::code::{HOLD_FD, SCRIPT_FD};
use crate::event::Channel;
use crate::sys::{self, Birth, Spawn, Started};

/// The variable that names the folder that a process is in.
pub(super) const PWD: &str = "PWD";

/// A process that has just been started.
#[derive(Debug)]
pub(super) struct Launched {
    /// Its id, and that of its session and group.
    pub(super) pid: u32,
    /// Readable once it has ended.
    pub(super) end: OwnedFd,
    /// Whether it has become the program.
    pub(super) birth: Birth,
    /// How it was started.
    pub(super) way: Way,
    /// Who belongs to it.
    pub(super) claim: Claim,
    pub(super) stdout: Pump,
    pub(super) stderr: Pump,
    /// What lets it go, where it is held.
    pub(super) hold: Option<File>,
}

/// How a process is started. Each is for what the one before it could not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// The program itself, where it takes no shell to start it. What goes wrong with it is for a shell to say.
    Plain,
    /// What the job names, where it was found before.
    Known,
    /// The same where it is now: it may have moved.
    Anew,
}

impl Way {
    /// What to try where this has failed.
    fn next(self, error: &io::Error) -> Option<Self> {
        match self {
            Self::Plain => Some(Self::Known),
            Self::Known if error.kind() == io::ErrorKind::NotFound => Some(Self::Anew),
            Self::Known | Self::Anew => None,
        }
    }
}

/// Starts the process of `job`; the error is what is missing, in words. Where nobody waits for the start, what is missing
/// may be known only when the process has ended: see [`relaunch`].
pub(super) fn launch(local: &Local, job: &Job) -> Result<Launched, String> {
    go(local, job, Way::Plain)
}

/// Starts the process of `job` once more after it could not be started in that way; the error is what is missing, in
/// words.
pub(super) fn relaunch(local: &Local, job: &Job, way: Way, error: &io::Error) -> Result<Launched, String> {
    match way.next(error) {
        Some(way) => go(local, job, way),
        None => Err(refused(local, job, error)),
    }
}

fn go(local: &Local, job: &Job, way: Way) -> Result<Launched, String> {
    let pipe = || local.spares.pipe().map_err(|error| no_room(&error.into()));
    let (stdout, stderr) = (pipe()?, pipe()?);
    let stdin = job.command.stdin.as_deref().map(|content| memory("stdin", content)).transpose()?;
    let script = job.command.script.as_deref().map(|content| memory("script", content)).transpose()?;
    let hold = job.staged.then(hold).transpose()?;
    let mut descriptors = vec![(stdout.theirs.as_fd(), 1), (stderr.theirs.as_fd(), 2)];
    descriptors.extend(stdin.iter().map(|file| (file.as_fd(), 0)));
    descriptors.extend(hold.iter().map(|(_, theirs)| (theirs.as_fd(), HOLD_FD)));
    descriptors.extend(script.iter().map(|file| (file.as_fd(), SCRIPT_FD)));
    let cookie = local.cookie();
    let (Started { pid, end, birth }, way) = start(local, job, way, &cookie, &descriptors)?;
    Ok(Launched {
        pid,
        end,
        birth,
        way,
        claim: Claim::Step { leader: pid, cookie: cookie.into_bytes(), pipes: Vec::new() },
        stdout: Pump::new(Channel::Stdout, stdout.ours, job.capture),
        stderr: Pump::new(Channel::Stderr, stderr.ours, job.capture),
        hold: hold.map(|(ours, _)| ours),
    })
}

/// Starts it in that way or in one that comes after it, and says in which.
fn start(
    local: &Local,
    job: &Job,
    mut way: Way,
    cookie: &CStr,
    descriptors: &[(BorrowedFd<'_>, i32)],
) -> Result<(Started, Way), String> {
    let other = job.dir.as_ref().map(|_| Standing::at(&folder(local, job))).transpose()?;
    let standing = other.as_ref().unwrap_or(&local.standing);
    let mut added = Vec::with_capacity(job.command.env.len());
    for (name, value) in &job.command.env {
        added.push(variable(name.as_bytes(), value)?);
    }
    if other.is_some() && !job.command.env.iter().any(|(name, _)| &**name == PWD) {
        added.extend(standing.name.as_ref().map(|name| variable(PWD.as_bytes(), name.as_bytes())).transpose()?);
    }
    let inherited = local.environment.block(&added);
    let env: Vec<&CStr> = added.iter().map(CString::as_c_str).chain([cookie]).collect();
    let dir = Some(standing.dir.as_c_str());
    loop {
        let words = match way {
            Way::Plain => plain(local, job),
            Way::Known => Some(words(local, job)?),
            Way::Anew => {
                local.environment.forget();
                Some(words(local, job)?)
            }
        };
        let Some((program, argv)) = words else {
            way = Way::Known;
            continue;
        };
        let spawn = Spawn { program: &program, argv: &argv, inherited: &inherited, env: &env, dir, descriptors };
        let awaited = job.watched || job.staged;
        let started = lead(|| sys::spawn(spawn).and_then(|it| if awaited { it.settled() } else { Ok(it) }));
        match started {
            Ok(started) => return Ok((started, way)),
            Err(error) => way = way.next(&error).ok_or_else(|| refused(local, job, &error))?,
        }
    }
}

/// What the job adds to where programs are looked for.
fn path(job: &Job) -> Option<&[u8]> {
    job.command.env.iter().rev().find(|(name, _)| &**name == "PATH").map(|(_, value)| value.as_slice())
}

/// The program and its arguments where it takes no shell to start them.
fn plain(local: &Local, job: &Job) -> Option<(CString, Vec<CString>)> {
    let name = job.command.plain.first().filter(|_| job.user.is_none())?;
    let program = local.environment.find_afresh(name, path(job))?;
    let argv = job.command.plain.iter().map(|word| CString::new(word.as_str()).ok()).collect::<Option<_>>()?;
    Some((program, argv))
}

/// The program and all arguments, the change of user included.
fn words(local: &Local, job: &Job) -> Result<(CString, Vec<CString>), String> {
    let [first, rest @ ..] = job.command.argv.as_slice() else {
        return Err("there is no program to run: the argument list is empty".to_owned());
    };
    let program = local.environment.find(first, path(job))?;
    let mut argv = Vec::with_capacity(rest.len() + 5);
    let mut outer = None;
    if let Some(user) = &job.user {
        let prefix = as_user(user, job, rustix::process::geteuid().is_root())?;
        outer = Some(local.environment.find(prefix[0].as_bytes(), path(job))?);
        for word in prefix {
            argv.push(CString::new(word).map_err(|_| nul("the name of the user"))?);
        }
        argv.push(program.clone());
    } else {
        argv.push(CString::new(first.as_slice()).map_err(|_| nul("the name of the program"))?);
    }
    for word in rest {
        argv.push(CString::new(word.as_slice()).map_err(|_| nul("an argument"))?);
    }
    Ok((outer.unwrap_or(program), argv))
}

/// What runs a command as another user. `sudo` closes descriptors and clears the environment, all but what is named.
fn as_user(user: &str, job: &Job, root: bool) -> Result<Vec<String>, String> {
    if root {
        return Ok(["runuser", "-u", user, "--"].map(str::to_owned).into());
    }
    if job.staged || job.command.script.is_some() {
        return Err(format!("as user `{user}`, code that is held or very long needs mstream to run as root"));
    }
    let own = ["MSTREAM_RUN", "MSTREAM_STREAM", "MSTREAM_TMP", COOKIE];
    let names: Vec<&str> = own.into_iter().chain(job.command.env.iter().map(|(name, _)| &**name)).collect();
    let kept = format!("--preserve-env={}", names.join(","));
    Ok(["sudo", "-n", &kept, "-u", user, "--"].map(str::to_owned).into())
}

fn folder(local: &Local, job: &Job) -> PathBuf {
    job.dir.as_ref().map_or_else(|| local.folder.clone(), |dir| local.folder.join(dir))
}

/// A folder that processes start in.
#[derive(Debug)]
pub(super) struct Standing {
    dir: CString,
    /// What tells a process by which name it was entered: whoever inherits it from us would be told ours.
    pub(super) name: Option<OsString>,
}

impl Standing {
    pub(super) fn at(dir: &Path) -> Result<Self, String> {
        let straight = !dir.components().any(|part| part == Component::ParentDir);
        let name = if straight { Some(dir.components().collect()) } else { dir.canonicalize().ok() };
        let dir = CString::new(dir.as_os_str().as_bytes()).map_err(|_| nul("the folder"))?;
        Ok(Self { dir, name: name.map(PathBuf::into_os_string) })
    }
}

/// Why the process of `job` could not be started.
fn refused(local: &Local, job: &Job, error: &io::Error) -> String {
    let dir = folder(local, job);
    let program = match words(local, job) {
        Ok((program, _)) => program,
        Err(words) => return words,
    };
    let program = OsStr::from_bytes(program.to_bytes()).to_string_lossy();
    match dir.metadata() {
        Err(error) => return format!("the folder {} cannot be used: {error}", dir.display()),
        Ok(found) if !found.is_dir() => return format!("{} is not a folder", dir.display()),
        Ok(_) => {}
    }
    match error.raw_os_error() {
        Some(libc::ENOENT) if Path::new(&*program).exists() => {
            format!("`{program}` names an interpreter that does not exist, on its first line")
        }
        Some(libc::ENOENT) => format!("`{program}` does not exist"),
        Some(libc::EACCES) => format!("`{program}` may not be executed, or the folder {} not entered", dir.display()),
        Some(libc::ENOEXEC) => format!("`{program}` is no program: it has no `#!` line and no known format"),
        Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM) => no_room(error),
        Some(libc::E2BIG) => format!("`{program}` cannot be started: its arguments and environment are too long"),
        _ => format!("`{program}` cannot be started: {error}"),
    }
}

/// What lets a held process go: our end, and the end that it reads from.
fn hold() -> Result<(File, OwnedFd), String> {
    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| no_room(&error.into()))?;
    Ok((File::from(ours), theirs))
}

/// A file in memory that holds `content`, at its start: no pipe that somebody would have to go on filling.
fn memory(name: &str, content: &[u8]) -> Result<OwnedFd, String> {
    let fill = || {
        let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
        file.write_all(content)?;
        file.rewind()?;
        Ok(file.into())
    };
    fill().map_err(|error| no_room(&error))
}

/// Why nothing could be started that has nothing to do with what it is.
pub(super) fn no_room(error: &io::Error) -> String {
    format!("this machine has no room for one more process: {error}")
}

/// Whether a held process has come to where it reads what lets it go.
pub(super) fn waits(pid: u32) -> bool {
    let call = kin::content(&format!("/proc/{pid}/syscall"));
    let mut fields = call.split(|byte| *byte == b' ');
    fields.nth(1).is_some_and(|first| first == format!("0x{HOLD_FD:x}").as_bytes())
}
