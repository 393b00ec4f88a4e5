//! Removes a folder with all that is in it, and nothing that is not: no link is followed, and what somebody has mounted
//! in there is left alone.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, chmodat, open, openat2, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Removes a folder of this user; where there is none, that is no error.
///
/// # Errors
/// It is a link, a file, or somebody else's; something is mounted in it; or the file system refuses.
pub fn remove_tree(folder: &Path) -> io::Result<()> {
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(io::Error::other("it is no folder of a run"));
    };
    let above = match open(above, OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        above => above?,
    };
    let found = match statat(&above, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        found => found?,
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
        return Err(io::Error::other("it is no folder"));
    }
    if found.st_uid != geteuid().as_raw() {
        return Err(io::Error::other("it belongs to somebody else"));
    }
    remove(above.as_fd(), name)
}

/// Removes a folder in `above` and what is in it. It goes on behind what cannot be removed, and tells the first of it.
fn remove(above: impl AsFd + Copy, name: &OsStr) -> io::Result<()> {
    let mut first = None;
    match enter(above, name).and_then(|folder| empty(&folder)) {
        Ok(()) => {}
        // A mount point, for one: the next call says so.
        Err(error) => first = Some(error),
    }
    match unlinkat(above, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::BUSY) => Err(io::Error::other(format!("something is mounted at `{}`", name.to_string_lossy()))),
        Err(error) => Err(first.unwrap_or_else(|| error.into())),
    }
}

fn empty(folder: &OwnedFd) -> io::Result<()> {
    let mut first = Ok(());
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let name = std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes());
        let removed = match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => remove(folder, name),
            Err(error) => Err(error.into()),
        };
        first = first.and(removed);
    }
    first
}

/// Opens a folder in `above` to empty it, one too that its owner may not read.
fn enter(above: impl AsFd + Copy, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match openat2(above, name, flags, Mode::empty(), resolve) {
        Err(Errno::ACCESS) => {
            chmodat(above, name, Mode::RWXU, AtFlags::empty())?;
            Ok(openat2(above, name, flags, Mode::empty(), resolve)?)
        }
        opened => Ok(opened?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    #[test]
    fn all_that_is_in_it_goes_and_nothing_that_is_linked() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("own/deep/shut")).unwrap();
        fs::create_dir(at("precious")).unwrap();
        for name in ["own/a", "own/deep/b", "own/deep/shut/c", "precious/d"] {
            fs::File::create(at(name)).unwrap();
        }
        symlink(at("precious"), at("own/deep/link")).unwrap();
        fs::set_permissions(at("own/deep/shut"), fs::Permissions::from_mode(0o0)).unwrap();
        remove_tree(&at("own")).unwrap();
        assert!(!at("own").exists() && at("precious/d").exists());
        remove_tree(&at("own")).unwrap();
        remove_tree(&at("nowhere/own")).unwrap();
    }

    #[test]
    fn what_is_no_folder_of_this_user_stays() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("precious")).unwrap();
        fs::File::create(at("file")).unwrap();
        symlink(at("precious"), at("link")).unwrap();
        let refused = |name: &str| remove_tree(&at(name)).unwrap_err().to_string();
        assert_eq!((refused("link"), refused("file")), ("it is no folder".to_owned(), "it is no folder".to_owned()));
        assert!(remove_tree(Path::new("/")).is_err());
        if geteuid().is_root() {
            chown(at("precious"), Some(1234), None).unwrap();
            assert_eq!(refused("precious"), "it belongs to somebody else");
        }
        assert!(at("precious").exists() && at("file").exists() && at("link").exists());
    }
}
