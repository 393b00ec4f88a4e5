//! What a far end sends as the files that were asked for.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::MOST;
use crate::backend::guard::transfer::unpack;

/// The size of all parts of an archive.
const BLOCK: usize = 512;
/// Where a header has its size, and its checksum.
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// An archive: unpacked or refused, and nothing outside its folder is made, changed or removed.
pub fn archive(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MOST)];
    let room = Room::make();
    for (number, archive) in [bytes.to_vec(), sealed(bytes)].iter().enumerate() {
        let stage = room.0.join(format!("stage-{number}"));
        make(&stage);
        if let Ok(found) = unpack(&archive[..], &stage, OsStr::new("it")) {
            assert!(found.starts_with(&stage), "{} is outside", found.display());
        }
        room.is_as_it_was(number);
    }
}

/// The same with the right checksum in each header: few have it by chance.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut archive = bytes.to_vec();
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + BLOCK) {
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = header[SIZE].iter().filter(|byte| byte.is_ascii_digit());
        let size = size.fold(0_usize, |size, digit| size.saturating_mul(8).saturating_add(usize::from(digit - b'0')));
        at = at.saturating_add(BLOCK).saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
        if at > archive.len() {
            break;
        }
    }
    archive
}

/// A folder of this process, with one beside those that archives are unpacked in.
struct Room(PathBuf);

impl Room {
    #[expect(clippy::disallowed_methods, reason = "what must not change has to be there")]
    fn make() -> Self {
        let room = Self(std::env::temp_dir().join(format!("mstream-archive-{}", std::process::id())));
        drop(fs::remove_dir_all(&room.0));
        make(&room.0);
        make(&room.0.join("outside"));
        fs::write(room.0.join("outside/kept"), "as it was").expect("there is room for a file");
        room.is_as_it_was(usize::MAX);
        room
    }

    #[expect(clippy::disallowed_methods, reason = "what must not change is looked at")]
    fn is_as_it_was(&self, last: usize) {
        let outside = self.0.join("outside");
        assert_eq!(names(&outside).expect("the folder is there"), ["kept"]);
        assert_eq!(fs::read(outside.join("kept")).expect("the file is there"), b"as it was");
        let mode = |path: &Path| fs::symlink_metadata(path).map(|it| it.permissions().mode() & 0o7777).ok();
        assert_eq!(mode(&outside), Some(0o755));
        let stages = (0..=last).take_while(|_| last != usize::MAX).map(|number| format!("stage-{number}"));
        let expected: Vec<String> = std::iter::once("outside".to_owned()).chain(stages).collect();
        assert_eq!(names(&self.0).expect("the folder is there"), expected);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn make(folder: &Path) {
    fs::create_dir(folder).expect("there is room for a folder");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = entries.collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}
