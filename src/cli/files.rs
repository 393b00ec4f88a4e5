//! Reading files, checking the scenarios in them, and putting files in place.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use indexmap::IndexMap;

use super::{Console, WRONG};
use crate::check::{Checked, check, check_variants};
use crate::diagnostic::{Code, Diagnostic, Form, Sources, Span, render, visible};
use crate::scenario::Settings;

/// The largest file that is read as a scenario.
const MAX_FILE: u64 = 64 << 20;

/// The text of a file: UTF-8, of a bounded size.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size <= MAX_FILE {
        // A device or a pipe does not say how much it holds.
        bytes.reserve_exact(usize::try_from(size).unwrap_or_default());
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    }
    if size.max(bytes.len() as u64) > MAX_FILE {
        let words = format!("it is larger than {} MiB", MAX_FILE >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
    }
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
    check(path, settings, &mut read).map_err(|error| unreadable(path, &error))
}

/// Checks the scenario at `path` once for each variant of its parameters.
pub(super) fn checked_variants(path: &Path, settings: &Settings) -> Result<Vec<Checked>, u8> {
    check_variants(path, settings, &mut read).map_err(|error| unreadable(path, &error))
}

/// What there is to say of all variants of a scenario: what is the same for all of them once.
pub(super) fn joined(variants: &[Checked]) -> Vec<Diagnostic> {
    let mut joined: IndexMap<(Span, Code, &str), (&Diagnostic, Vec<&str>)> = IndexMap::new();
    for found in variants {
        for problem in &found.diagnostics {
            let key = (problem.span, problem.code, problem.message.as_str());
            let (_, names) = joined.entry(key).or_insert((problem, Vec::new()));
            names.extend(found.variant.as_deref());
        }
    }
    let mut all: Vec<Diagnostic> =
        joined.into_values().map(|(problem, names)| within(problem, &names, variants.len())).collect();
    all.sort_by_key(|problem| (problem.span, problem.code));
    all
}

/// The problem, with the variants that have it unless all do.
fn within(problem: &Diagnostic, names: &[&str], all: usize) -> Diagnostic {
    let problem = problem.clone();
    match names {
        [] => problem,
        _ if names.len() == all => problem,
        [one] => problem.note(format!("in the variant `{one}`")),
        [first, rest @ ..] => problem.note(format!("in the variant `{first}` and {} more", rest.len())),
    }
}

/// A file that cannot be read.
fn unreadable(path: &Path, error: &io::Error) -> u8 {
    const KNOWN: [(io::ErrorKind, &str); 2] =
        [(io::ErrorKind::NotFound, "no such file"), (io::ErrorKind::IsADirectory, "it is a folder")];
    let known = KNOWN.iter().find(|(kind, _)| *kind == error.kind());
    let reason = known.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned());
    let name = visible::text(&path.to_string_lossy());
    Console::complain(&format!("cannot read `{name}`: {reason}"));
    WRONG
}

/// Draws the diagnostics for people, on stderr.
pub(super) fn show(checked: &Checked, console: &Console) {
    show_all(std::slice::from_ref(checked), console);
}

/// Draws problems for people, on stderr.
pub(super) fn show_problems(problems: &[Diagnostic], sources: &Sources, console: &Console) {
    let form = Form::Human { color: console.err_color };
    Console::progress(&render(problems, sources, form));
}

/// Draws what there is to say of all variants for people, on stderr.
pub(super) fn show_all(variants: &[Checked], console: &Console) {
    if let Some(first) = variants.first() {
        show_problems(&joined(variants), &first.sources, console);
    }
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
