//! Reading files, and checking the scenarios in them.

use std::io;
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
