//! Reading files, checking the scenarios in them, and putting files in place.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::{Console, WRONG};
use crate::check::{Checked, check};
use crate::diagnostic::{Form, render, visible};
use crate::scenario::Settings;

/// The largest file that is read as a scenario.
const MAX_FILE: u64 = 64 << 20;

/// The text of a file: UTF-8, of a bounded size.
#[expect(clippy::disallowed_methods, reason = "this is where files are read")]
pub(super) fn read(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_FILE >> 20)));
    }
    let bytes = std::fs::read(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let words = match error.as_bytes() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16; scenarios are UTF-8".to_owned(),
            _ => format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()),
        };
        io::Error::new(io::ErrorKind::InvalidData, words)
    })
}

/// Checks the scenario at `path`; a file that cannot be read is told here.
pub(super) fn checked(path: &Path, settings: &Settings) -> Result<Checked, u8> {
    check(path, settings, &mut read).map_err(|error| {
        const KNOWN: [(io::ErrorKind, &str); 2] =
            [(io::ErrorKind::NotFound, "no such file"), (io::ErrorKind::IsADirectory, "it is a folder")];
        let known = KNOWN.iter().find(|(kind, _)| *kind == error.kind());
        let reason = known.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned());
        let name = visible::text(&path.to_string_lossy());
        Console::complain(&format!("cannot read `{name}`: {reason}"));
        WRONG
    })
}

/// Draws the diagnostics for people, on stderr.
pub(super) fn show(checked: &Checked, console: &Console) {
    let form = Form::Human { color: console.err_color };
    Console::progress(&render(&checked.diagnostics, &checked.sources, form));
}

/// Puts a text where `path` says, so that whoever is killed, or finds the disk full, leaves the old file or the new one. What
/// is no file, a terminal for one, is written to.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return File::options().write(true).open(path)?.write_all(text.as_bytes());
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.new"));
    // One that was killed has left its own; whatever stands there, it is not followed.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = File::options().write(true).create_new(true).open(&fresh)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let put = written.and_then(|()| std::fs::rename(&fresh, path));
    if put.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    put
}
