//! Copies a file or a folder on this machine, a piece at a time. Links are copied as links, and below the target no
//! link is ever followed: nothing is written outside of it.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use tokio::task::yield_now;

/// How much is copied before others get a turn.
const PIECE: usize = 256 << 10;

/// Copies `from` to `to`; a `/` at the end of `to` means the folder to put it into. Parents are made.
pub(in crate::backend) async fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let found = fs::metadata(from).map_err(|error| format!("cannot read {}: {}", from.display(), reason(&error)))?;
    let target = target(from, to)?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(|error| format!("cannot make the folder {}: {error}", parent.display()))?;
    }
    if found.is_dir() {
        return folder(from, &target).await;
    }
    if !found.is_file() {
        return Err(format!("{} is neither a file nor a folder", from.display()));
    }
    if target.is_dir() {
        return Err(format!("{} is a folder: to copy into it, end it with `/`", target.display()));
    }
    let mode = found.permissions().mode() & 0o7777;
    let pair = File::open(from).and_then(|read| Ok((read, File::create(&target)?)));
    let copied = match pair {
        Ok((read, write)) => contents(read, write, mode).await,
        Err(error) => Err(error),
    };
    copied.map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), target.display()))
}

fn target(from: &Path, to: &Path) -> Result<PathBuf, String> {
    if !to.as_os_str().as_bytes().ends_with(b"/") {
        return Ok(to.to_owned());
    }
    let name = from.file_name().ok_or_else(|| format!("{} has no name to copy it under", from.display()))?;
    Ok(to.join(name))
}

async fn contents(mut read: File, mut write: File, mode: u32) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = read.read(&mut piece)?;
        if length == 0 {
            return write.set_permissions(fs::Permissions::from_mode(mode));
        }
        write.write_all(&piece[..length])?;
        yield_now().await;
    }
}

/// A folder on its way: what is still to be copied from where to where.
struct Level {
    from: OwnedFd,
    to: OwnedFd,
    names: Vec<CString>,
    shown: PathBuf,
}

async fn folder(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: Errno| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    fs::create_dir_all(to).map_err(|error| format!("cannot make the folder {}: {error}", to.display()))?;
    if let (Ok(inner), Ok(outer)) = (to.canonicalize(), from.canonicalize())
        && inner.starts_with(&outer)
    {
        return Err(format!("{} lies in {}: a folder cannot be copied into itself", to.display(), from.display()));
    }
    let open =
        |path: &Path| rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let first = Level::new(open(from).map_err(failed)?, open(to).map_err(failed)?, from.to_owned());
    let mut levels = vec![first.map_err(failed)?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            levels.pop();
            continue;
        };
        let shown = level.shown.join(OsStr::from_bytes(name.to_bytes()));
        let below = entry(level, &name, &shown).await;
        levels.extend(below.map_err(|error| format!("cannot copy {}: {error}", shown.display()))?);
        yield_now().await;
    }
    Ok(())
}

impl Level {
    fn new(from: OwnedFd, to: OwnedFd, shown: PathBuf) -> Result<Self, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&from)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self { from, to, names, shown })
    }
}

/// Copies one entry; a folder is only made, and what is in it is left to do.
async fn entry(level: &Level, name: &CStr, shown: &Path) -> io::Result<Option<Level>> {
    let found = statat(&level.from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    match kind {
        FileType::Directory => {
            let made = mkdirat(&level.to, name, Mode::from_raw_mode(0o700));
            made.or_else(|error| if error == Errno::EXIST { Ok(()) } else { Err(error) })?;
            let (from, to) = (enter(&level.from, name)?, enter(&level.to, name)?);
            rustix::fs::fchmod(&to, Mode::from_raw_mode(found.st_mode & 0o7777 | 0o700))?;
            Ok(Some(Level::new(from, to, shown.to_owned())?))
        }
        FileType::RegularFile => {
            let read = openat(&level.from, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            clear(level, name)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let write = openat(&level.to, name, flags, Mode::from_raw_mode(0o600))?;
            let mode = fstat(&read)?.st_mode & 0o7777;
            contents(read.into(), write.into(), mode).await?;
            Ok(None)
        }
        FileType::Symlink => {
            let leads_to = readlinkat(&level.from, name, Vec::new())?;
            clear(level, name)?;
            symlinkat(&leads_to, &level.to, name)?;
            Ok(None)
        }
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            Err(io::Error::other("it is neither a file, a folder nor a link"))
        }
    }
}

/// Makes room for an entry of that name.
fn clear(level: &Level, name: &CStr) -> Result<(), Errno> {
    match unlinkat(&level.to, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

fn enter(folder: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

/// What the system says, without its number.
fn reason(error: &io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().write_all(text).unwrap();
    }

    fn read(path: &Path) -> Vec<u8> {
        let mut text = Vec::new();
        File::open(path).unwrap().read_to_end(&mut text).unwrap();
        text
    }

    #[tokio::test]
    async fn a_file_gets_parents_a_name_and_its_mode() {
        let root = tempfile::tempdir().unwrap();
        let from = root.path().join("app.toml");
        write(&from, b"a = 1\n");
        fs::set_permissions(&from, fs::Permissions::from_mode(0o750)).unwrap();
        copy(&from, &root.path().join("x/y/conf.toml")).await.unwrap();
        copy(&from, &root.path().join("into/")).await.unwrap();
        assert_eq!(read(&root.path().join("x/y/conf.toml")), b"a = 1\n");
        let found = fs::metadata(root.path().join("into/app.toml")).unwrap();
        assert_eq!((found.len(), found.permissions().mode() & 0o777), (6, 0o750));
        let said = copy(&from, &root.path().join("into")).await.unwrap_err();
        assert!(said.ends_with("into is a folder: to copy into it, end it with `/`"), "{said}");
    }

    #[tokio::test]
    async fn a_folder_is_copied_whole_names_of_any_bytes_and_links_as_links() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        let odd = OsStr::from_bytes(b"odd\xff\n name");
        write(&from.join("a/b/file"), b"deep");
        write(&from.join(odd), b"odd");
        symlink("/etc", from.join("out")).unwrap();
        copy(&from, &to).await.unwrap();
        copy(&from, &to).await.unwrap();
        assert_eq!((read(&to.join("a/b/file")), read(&to.join(odd))), (b"deep".to_vec(), b"odd".to_vec()));
        assert_eq!(fs::read_link(to.join("out")).unwrap(), Path::new("/etc"));
    }

    #[tokio::test]
    async fn a_link_in_the_target_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let (from, to, outside) = (root.path().join("from"), root.path().join("to"), root.path().join("outside"));
        write(&from.join("file"), b"new");
        write(&from.join("folder/file"), b"new");
        write(&outside.join("file"), b"old");
        fs::create_dir(&to).unwrap();
        symlink(outside.join("file"), to.join("file")).unwrap();
        symlink(&outside, to.join("folder")).unwrap();
        let said = copy(&from, &to).await.unwrap_err();
        assert!(said.contains("from/folder"), "{said}");
        assert_eq!((read(&to.join("file")), read(&outside.join("file"))), (b"new".to_vec(), b"old".to_vec()));
    }

    #[tokio::test]
    async fn a_folder_is_not_copied_into_itself() {
        let root = tempfile::tempdir().unwrap();
        write(&root.path().join("f"), b"");
        let said = copy(root.path(), &root.path().join("in/")).await.unwrap_err();
        assert!(said.ends_with("a folder cannot be copied into itself"), "{said}");
        let said = copy(&root.path().join("none"), &root.path().join("x")).await.unwrap_err();
        assert!(said.contains("cannot read"), "{said}");
    }
}
