//! Files and folders on their way: an archive streams between `tar` at the far end and this machine.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;
use rustix::pipe::{PipeFlags, pipe_with};
use tar::{Archive, Builder, EntryType, HeaderMode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::task::spawn_blocking;

use super::order::{BOOT, quoted};
use super::{Far, Line, random};
use crate::backend::local::copy::copy;

/// What is taken from an archive.
const TAKEN: [EntryType; 5] =
    [EntryType::Regular, EntryType::Continuous, EntryType::Directory, EntryType::Symlink, EntryType::Link];

/// Set-user-ID, set-group-ID and sticky bits.
const SPECIAL: u32 = 0o7000;

/// The most that the far end may say, of what went wrong, or as the greeting of a login.
const SAID: u64 = 64 << 10;

/// A line on which a script runs.
struct Raw {
    line: Line,
    /// What the script says first on stdout and stderr: what stands before it are the words of the login.
    mark: String,
}

impl Far {
    /// Writes `content` to a file of the stream's own folder; its path there.
    pub(super) async fn upload(&self, content: &[u8]) -> Result<String, String> {
        let path = format!("{}/.{}", self.folder(), self.number());
        let mut raw = self.raw(&format!("umask 077; cat >{}", quoted(&path))).await?;
        let sent = raw.line.stdin.write_all(content).await;
        finish(raw, sent.map_err(|error| error.to_string())).await?;
        Ok(path)
    }

    /// Copies a file or a folder of this machine to the far end; see [`crate::backend::Session::put`].
    pub(super) async fn put(&self, from: PathBuf, to: String) -> Result<(), String> {
        let found = fs::metadata(&from).map_err(|error| format!("cannot read {}: {error}", from.display()))?;
        if !found.is_dir() && !found.is_file() {
            return Err(format!("{} is neither a file nor a folder", from.display()));
        }
        let (folder, name) = target(&from, &to)?;
        let refuse = if found.is_dir() { "-f" } else { "-d" };
        let (shown, quoted_name) = (quoted(&to), quoted(&format!("./{name}")));
        let word = if found.is_dir() { "file, not a folder" } else { "folder: to copy into it, end it with `/`" };
        // `-o`: files belong to who runs the step, not to whom the numbers of this machine would name there.
        let script = format!(
            "mkdir -p -- {folder} && cd -- {folder} || exit 1; \
             if [ {refuse} {quoted_name} ]; then printf '%s is a {word}' {shown} >&2; exit 1; fi; exec tar -xpof -",
            folder = quoted(&folder),
        );
        let mut raw = self.raw(&script).await?;
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(no_pipe)?;
        let packing = spawn_blocking(move || pack(&from, &name, File::from(ours)));
        let sent = send(&mut raw.line, File::from(theirs)).await;
        let packed = packing.await.map_err(|error| error.to_string())?;
        // Where the far end has gone, its reason counts, and not that the archive could not be written on.
        finish(raw, packed.map_err(|error| error.to_string()).and(sent)).await
    }

    /// Copies a file or a folder of the far end to this machine; see [`crate::backend::Session::get`].
    pub(super) async fn get(&self, from: String, to: PathBuf) -> Result<(), String> {
        let script = format!(
            "f={}; [ -e \"$f\" ] || {{ printf '%s does not exist' \"$f\" >&2; exit 1; }}; \
             [ -d \"$f\" ] || [ -f \"$f\" ] || {{ printf '%s is neither a file nor a folder' \"$f\" >&2; exit 1; }}; \
             [ -L \"$f\" ] && f=$(readlink -f -- \"$f\"); f=${{f%/}}; \
             case $f in */*) cd -- \"${{f%/*}}/\" || exit 1;; esac; exec tar -cf - -- \"./${{f##*/}}\"",
            quoted(&from),
        );
        let name = Path::new(&from).file_name().unwrap_or(OsStr::new("files")).to_owned();
        let (mut stdout, raw) = self.raw(&script).await?.split();
        let stage = Stage::make(&self.place_of_files())?;
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(no_pipe)?;
        let inside = stage.0.clone();
        let unpacking = spawn_blocking(move || unpack(File::from(theirs), &inside, &name));
        let received = async {
            let rest = after(&mut stdout, raw.mark.as_bytes()).await?;
            let mut ours = pipe::Sender::from_file(File::from(ours))?;
            ours.write_all(&rest).await?;
            tokio::io::copy(&mut stdout, &mut ours).await
        };
        let received = received.await.map_err(|error| error.to_string());
        let unpacked = unpacking.await.map_err(|error| error.to_string())?;
        let finished = finish(raw, received.map(drop)).await;
        match &unpacked {
            // That the far end could not send the rest is a consequence.
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            Ok(_) | Err(_) => finished?,
        }
        let found = unpacked.map_err(|error| format!("cannot unpack {from}: {error}"))?;
        copy(&found, &to).await
    }

    /// A line on which `script` runs, with nothing but its own stdin, stdout and stderr.
    async fn raw(&self, script: &str) -> Result<Raw, String> {
        let mut line = self.dial(BOOT).await?;
        let mark = random();
        // The status stands at the end of stderr: the way there may not carry it.
        let text = format!("echo {mark}; echo {mark} >&2; ({script}); echo \"=$?\" >&2\n.\n");
        let told = line.stdin.write_all(text.as_bytes()).await;
        told.map_err(|error| format!("the line to the far end broke: {error}"))?;
        Ok(Raw { line, mark: format!("{mark}\n") })
    }
}

/// Reads on until behind `mark`; what has come from there on. Nothing, where it never comes.
async fn after(from: &mut (dyn AsyncRead + Send + Unpin), mark: &[u8]) -> io::Result<Vec<u8>> {
    let (mut said, finder) = (Vec::new(), Finder::new(mark));
    let mut from = from.take(SAID);
    while from.read_buf(&mut said).await? > 0 {
        if let Some(at) = finder.find(&said) {
            return Ok(said.split_off(at + mark.len()));
        }
    }
    Ok(Vec::new())
}

impl Raw {
    /// Its stdout, and the rest.
    fn split(self) -> (Box<dyn AsyncRead + Send + Unpin>, Self) {
        let nothing = Box::new(tokio::io::empty());
        let Line { stdin, stdout, stderr, end } = self.line;
        (stdout, Self { line: Line { stdin, stdout: nothing, stderr, end }, mark: self.mark })
    }
}

async fn send(line: &mut Line, from: File) -> Result<(), String> {
    let mut from = pipe::Receiver::from_file(from).map_err(|error| error.to_string())?;
    tokio::io::copy(&mut from, &mut line.stdin).await.map(drop).map_err(|error| error.to_string())
}

/// Ends the input of a line and takes what its script says of how it went; `sent` is how it went here.
async fn finish(Raw { mut line, mark }: Raw, sent: Result<(), String>) -> Result<(), String> {
    let _ = line.stdin.shutdown().await;
    drop(line.stdin);
    let mut said = Vec::new();
    let mut stdout = line.stdout;
    let mut rest = tokio::io::sink();
    let mut stderr = line.stderr.take(SAID);
    let (read, _) = tokio::join!(stderr.read_to_end(&mut said), tokio::io::copy(&mut stdout, &mut rest));
    read.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&said);
    let said = said.split_once(&*mark).map_or(&*said, |(_, said)| said).trim_end();
    match said.rsplit_once('=').map(|(words, status)| (words.trim(), status)) {
        Some((_, "0")) => sent,
        Some(("", status)) => Err(format!("the far end ended with status {status}")),
        Some((words, _)) => Err(words.to_owned()),
        None => Err(line.end.await.unwrap_or_else(|| "the line to the far end broke".to_owned())),
    }
}

/// The folder at the far end, and the name in it.
fn target(from: &Path, to: &str) -> Result<(String, String), String> {
    if let Some(folder) = to.strip_suffix('/') {
        let name = from.file_name().ok_or_else(|| format!("{} has no name to copy it under", from.display()))?;
        let name = name.to_str().ok_or_else(|| format!("the name of {} is not UTF-8: give it one", from.display()))?;
        return Ok((if folder.is_empty() { "/".into() } else { folder.into() }, name.to_owned()));
    }
    let (folder, name) = to.rsplit_once('/').unwrap_or((".", to));
    Ok((if folder.is_empty() { "/".into() } else { folder.into() }, name.to_owned()))
}

fn pack(from: &Path, name: &str, to: File) -> io::Result<()> {
    let mut builder = Builder::new(io::BufWriter::new(to));
    builder.mode(HeaderMode::Complete);
    builder.follow_symlinks(false);
    // Not every `tar` knows files with holes.
    builder.sparse(false);
    // The name at the top may be a link: what it leads to is meant.
    let from = from.canonicalize()?;
    if from.is_dir() {
        builder.append_dir_all(Path::new(".").join(name), &from)?;
    } else {
        builder.append_path_with_name(&from, Path::new(".").join(name))?;
    }
    builder.into_inner()?.into_inner()?;
    Ok(())
}

/// Unpacks into a fresh folder, and says where what stands at the top of the archive now is: under `name`. What
/// would leave the folder, and what is neither file, folder nor link, is refused. Nothing that comes from elsewhere runs as
/// somebody else: those bits stay there.
pub(crate) fn unpack(from: impl Read, into: &Path, name: &OsStr) -> io::Result<PathBuf> {
    let mut archive = Archive::new(from);
    archive.set_preserve_permissions(true);
    archive.set_mask(SPECIAL);
    archive.set_preserve_mtime(true);
    archive.set_unpack_xattrs(false);
    let mut top: Option<OsString> = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let shown = path.display();
        if !TAKEN.contains(&entry.header().entry_type()) {
            return Err(refused(format!("{shown} is neither a file, a folder nor a link")));
        }
        top = top.or_else(|| path.iter().find(|part| *part != "." && *part != "/").map(OsStr::to_owned));
        if path.is_absolute() || !entry.unpack_in(into)? {
            return Err(refused(format!("{shown} leads out of its folder")));
        }
        if entry.header().entry_type() == EntryType::Directory {
            // What stands in it is still to come.
            let mode = entry.header().mode()? & !SPECIAL | 0o700;
            fs::set_permissions(into.join(&path), fs::Permissions::from_mode(mode))?;
        }
    }
    // The far end may wait to write what it pads its archive with.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    let top = top.ok_or_else(|| io::Error::other("nothing came"))?;
    if top == name {
        return Ok(into.join(top));
    }
    let named = into.join(".named");
    fs::create_dir(&named)?;
    fs::rename(into.join(top), named.join(name))?;
    Ok(named.join(name))
}

/// An archive that wants more than it may.
fn refused(words: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, words)
}

/// A private folder that goes when it is dropped.
struct Stage(PathBuf);

impl Stage {
    fn make(path: &Path) -> Result<Self, String> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| format!("cannot make the folder {}: {error}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn no_pipe(error: rustix::io::Errno) -> String {
    format!("this machine has no room for one more pipe: {error}")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make and read the files that travel")]
mod tests {
    use tar::Header;

    use super::*;

    /// A name, a kind, and what a link leads to.
    type Entry<'a> = (&'a str, EntryType, &'a str);

    /// An archive as a far end could send it that means harm: whatever its entries are called.
    fn archive(entries: &[Entry]) -> File {
        let mut builder = Builder::new(tempfile::tempfile().unwrap());
        for (name, kind, leads_to) in entries {
            let mut header = Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_old_mut().linkname[..leads_to.len()].copy_from_slice(leads_to.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(if *kind == EntryType::Directory { 0o2555 } else { 0o6755 });
            let content: &[u8] = if *kind == EntryType::Regular { b"evil" } else { b"" };
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        let mut file = builder.into_inner().unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file
    }

    fn text(error: &io::Error) -> String {
        let mut all = error.to_string();
        let mut next = std::error::Error::source(error);
        while let Some(inner) = next {
            all = format!("{all}: {inner}");
            next = inner.source();
        }
        all
    }

    #[test]
    fn nothing_is_written_outside_whatever_the_far_end_sends() {
        use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "as it was").unwrap();
        let kept = outside.join("kept").display().to_string();
        let out = outside.display().to_string();
        let absolute = format!("{out}/new");
        let attacks: &[(&[Entry], &str)] = &[
            (&[("it/../../outside/kept", Regular, "")], "leads out of its folder"),
            (&[("../outside/new", Regular, "")], "leads out of its folder"),
            (&[(&absolute, Regular, "")], "leads out of its folder"),
            (&[("it/", Directory, ""), ("it/x", Symlink, &out), ("it/x/kept", Regular, "")], "outside"),
            (&[("it", Symlink, &out), ("it/new", Regular, "")], "outside"),
            (&[("it/x", Link, &kept), ("it/x", Regular, "")], "it/x"),
            (&[("it/x", Link, "../../outside/kept")], "it/x"),
            (&[("it/x", Char, "")], "is neither a file, a folder nor a link"),
            (&[("it/x", Block, "")], "is neither a file, a folder nor a link"),
            (&[("it/x", Fifo, "")], "is neither a file, a folder nor a link"),
        ];
        for (number, (entries, words)) in attacks.iter().enumerate() {
            let into = root.path().join(format!("stage-{number}"));
            fs::create_dir(&into).unwrap();
            let said = text(&unpack(archive(entries), &into, OsStr::new("it")).expect_err(entries[0].0));
            assert!(said.contains(words), "{entries:?}: {said}");
            let there: Vec<_> = fs::read_dir(&outside).unwrap().map(|it| it.unwrap().file_name()).collect();
            assert_eq!((there, fs::read(outside.join("kept")).unwrap()), (vec!["kept".into()], b"as it was".to_vec()));
        }
    }

    #[test]
    fn a_name_of_any_bytes_stays_and_special_bits_do_not() {
        use EntryType::{Directory, Link, Regular};
        let root = tempfile::tempdir().unwrap();
        let entries = [
            ("it/", Directory, ""),
            ("it/a\n-b ", Regular, ""),
            ("it/same", Link, "it/a\n-b "),
            ("it/d/", Directory, ""),
        ];
        let found = unpack(archive(&entries), root.path(), OsStr::new("other")).unwrap();
        assert!(found.ends_with("other"), "{}", found.display());
        assert_eq!(fs::read(found.join("same")).unwrap(), b"evil");
        let mode = |name: &str| fs::metadata(found.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("a\n-b "), mode("d")), (0o755, 0o755));
    }
}
