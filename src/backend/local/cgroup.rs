//! The control group of a run: all that runs on this machine for it is in there, whatever it does to get away.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::statfs;

use super::kin::content;

/// What the kernel says a control group's file system is.
const CGROUP2: i64 = 0x6367_7270;

/// A control group below the one that this process is in.
#[derive(Clone, Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Where the one called `name` would be; `None`: this machine shows no control groups of the second version.
    pub fn named(name: &str) -> Option<Self> {
        let own = content("/proc/self/cgroup");
        let own = own.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
        let mounts = content("/proc/self/mountinfo");
        let folder = mounts.split(|byte| *byte == b'\n').find_map(|line| below(line, own))?;
        Some(Self(folder.join(name)))
    }

    /// One that was made earlier; `None`: that is none, and must not be touched.
    pub fn at(folder: &Path) -> Option<Self> {
        statfs(folder).is_ok_and(|found| found.f_type == CGROUP2).then(|| Self(folder.to_owned()))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Makes it.
    pub fn make(&self) -> io::Result<()> {
        fs::create_dir(&self.0)
    }

    /// Puts a process into it.
    pub fn take(&self, pid: u32) -> io::Result<()> {
        write(&self.0.join("cgroup.procs"), &pid.to_string())
    }

    /// Puts this process into the one above it.
    pub fn leave(&self) -> io::Result<()> {
        let above = self.0.parent().ok_or(io::ErrorKind::NotFound)?;
        write(&above.join("cgroup.procs"), "0")
    }

    /// Who is in it, or in one below it.
    pub fn members(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for folder in self.folders() {
            let text = content_of(&folder.join("cgroup.procs"));
            let lines = text.split(u8::is_ascii_whitespace).filter_map(|line| std::str::from_utf8(line).ok());
            found.extend(lines.filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
        }
        found
    }

    /// Kills everybody in it and below it, as one act; whether the kernel can do that.
    pub(super) fn kill(&self) -> bool {
        write(&self.0.join("cgroup.kill"), "1").is_ok()
    }

    /// Removes it, and those below it, once they are empty.
    pub fn remove(&self) -> io::Result<()> {
        for folder in self.folders().into_iter().rev() {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Its folder, and all below it, each after the one that holds it.
    fn folders(&self) -> Vec<PathBuf> {
        let mut found = vec![self.0.clone()];
        let mut at = 0;
        while at < found.len() {
            let entries = fs::read_dir(&found[at]).into_iter().flatten().flatten();
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            found.extend(folders.map(|folder| folder.path()));
            at += 1;
        }
        found
    }
}

/// Where the control group `own` stands, if this line of `mountinfo` is of the file system that shows it.
fn below(line: &[u8], own: &[u8]) -> Option<PathBuf> {
    let line = std::str::from_utf8(line).ok()?;
    let (mount, kind) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let own = Path::new(std::ffi::OsStr::from_bytes(own));
    // One that is outside of what this process may see is shown as `/../x`.
    let inside = own.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let plain = !point.contains('\\');
    (kind.starts_with("cgroup2 ") && inside && plain).then_some(())?;
    Some(Path::new(point).join(own.strip_prefix(root).ok()?))
}

fn content_of(path: &Path) -> Vec<u8> {
    path.to_str().map(content).unwrap_or_default()
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_below_the_one_of_this_process() {
        let found = |line: &str, own: &str| below(line.as_bytes(), own.as_bytes()).map(|it| it.display().to_string());
        let unified = "35 29 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
        assert_eq!(found(unified, "/"), Some("/sys/fs/cgroup/unified/".to_owned()));
        assert_eq!(found(unified, "/user.slice/a"), Some("/sys/fs/cgroup/unified/user.slice/a".to_owned()));
        let part = "35 29 0:30 /user.slice /mnt rw - cgroup2 cgroup2 rw";
        assert_eq!(found(part, "/user.slice/a"), Some("/mnt/a".to_owned()));
        assert_eq!(found(part, "/system.slice"), None);
        assert_eq!(found(unified, "/../outside"), None);
        assert_eq!(found("36 29 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids", "/"), None);
    }

    #[test]
    fn a_folder_of_another_kind_is_no_control_group() {
        assert!(Cgroup::at(Path::new("/tmp")).is_none());
    }
}
