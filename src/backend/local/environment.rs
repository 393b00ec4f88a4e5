//! What local processes inherit, made ready once for a stream: the environment block, and where programs are.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use rustix::fs::{Access, access};

use super::kin::COOKIE;
use crate::sys::Block;

/// Where programs are looked for when the environment names no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The environment of a stream's processes.
#[derive(Debug)]
pub(super) struct Environment {
    entries: Vec<Entry>,
    /// All of them.
    block: Arc<Block>,
    path: OsString,
    /// Programs found so far.
    programs: Mutex<IndexMap<Vec<u8>, CString>>,
}

#[derive(Debug)]
struct Entry {
    /// How much of the text is the name.
    name: usize,
    /// `NAME=value`.
    text: CString,
}

impl Environment {
    /// `inherited`, and after it `own`, whose names win; all but the name that each process has a value of its own for.
    pub(super) fn new(inherited: &[(OsString, OsString)], own: &[(&str, &OsStr)]) -> Self {
        let stays = |name: &OsStr| name != COOKIE && own.iter().all(|(other, _)| name != OsStr::new(other));
        let kept =
            inherited.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        let added = own.iter().map(|(name, value)| (OsStr::new(name), *value));
        let entries = kept.chain(added).filter_map(|(name, value)| {
            // What the kernel gave us holds no NUL byte; what does cannot be handed on.
            let text = variable(name.as_bytes(), value.as_bytes()).ok()?;
            Some(Entry { name: name.len(), text })
        });
        let path = inherited.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        let entries: Vec<Entry> = entries.collect();
        Self {
            block: Arc::new(Block::new(entries.iter().map(|entry| entry.text.as_c_str()))),
            entries,
            path: path.unwrap_or_else(|| DEFAULT_PATH.into()),
            programs: Mutex::default(),
        }
    }

    /// All but what `added` gives another value, each of which is `NAME=value`.
    pub(super) fn block(&self, added: &[CString]) -> Arc<Block> {
        let names: Vec<&[u8]> = added.iter().map(|text| name_of(text.to_bytes())).collect();
        let stays = |entry: &&Entry| !names.contains(&&entry.text.to_bytes()[..entry.name]);
        if names.is_empty() || self.entries.iter().all(|entry| stays(&entry)) {
            return Arc::clone(&self.block);
        }
        Arc::new(Block::new(self.entries.iter().filter(stays).map(|entry| entry.text.as_c_str())))
    }

    /// The path of `program`: itself where it names a folder, else the first match in `path` or the inherited `PATH`.
    pub(super) fn find(&self, program: &[u8], path: Option<&[u8]>) -> Result<CString, String> {
        if program.contains(&b'/') {
            return CString::new(program).map_err(|_| nul("the name of the program"));
        }
        if let Some(path) = path {
            return look(program, OsStr::from_bytes(path));
        }
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = programs.get(program) {
            return Ok(found.clone());
        }
        let found = look(program, &self.path)?;
        programs.insert(program.to_vec(), found.clone());
        Ok(found)
    }

    /// Where `program` is right now, in a folder that is the same for everybody.
    pub(super) fn find_afresh(&self, program: &str, path: Option<&[u8]>) -> Option<CString> {
        let path = path.map_or(self.path.as_os_str(), OsStr::from_bytes);
        let fixed = std::env::split_paths(path).all(|folder| folder.is_absolute());
        fixed.then(|| look(program.as_bytes(), path).ok()).flatten()
    }

    /// Forgets where programs were, because one of them is there no more.
    pub(super) fn forget(&self) {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// `NAME=value`.
pub(super) fn variable(name: &[u8], value: &[u8]) -> Result<CString, String> {
    let shown = || nul(&format!("the environment variable `{}`", String::from_utf8_lossy(name)));
    CString::new([name, b"=", value].concat()).map_err(|_| shown())
}

/// What cannot be given to a process.
pub(super) fn nul(what: &str) -> String {
    format!("{what} holds a NUL byte, which no process can be given")
}

fn name_of(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn look(program: &[u8], path: &OsStr) -> Result<CString, String> {
    let name = OsStr::from_bytes(program);
    let mut unusable: Option<PathBuf> = None;
    for folder in std::env::split_paths(path) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".").to_owned() } else { folder };
        let file = folder.join(name);
        if !file.is_file() {
            continue;
        }
        if access(&file, Access::EXEC_OK).is_ok() {
            return CString::new(file.into_os_string().into_vec()).map_err(|_| nul("the name of the program"));
        }
        unusable.get_or_insert(file);
    }
    let name = name.to_string_lossy();
    Err(match unusable {
        Some(file) => format!("`{name}` may not be executed: {}", file.display()),
        None => format!("`{name}` was not found in PATH"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(inherited: &[(&str, &str)]) -> Environment {
        let inherited: Vec<_> = inherited.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Environment::new(&inherited, &[("MSTREAM_RUN", OsStr::new("r1"))])
    }

    fn shown(environment: &Environment, added: &[&str]) -> Vec<String> {
        let added: Vec<CString> = added.iter().map(|text| CString::new(*text).unwrap()).collect();
        environment.block(&added).texts()
    }

    #[test]
    fn the_latest_word_wins_and_no_name_stands_twice() {
        let it = environment(&[("A", "1"), ("MSTREAM_RUN", "outer"), ("AB", "2"), ("MSTREAM_STEP", "outer")]);
        assert_eq!(shown(&it, &["S=3"]), ["A=1", "AB=2", "MSTREAM_RUN=r1"]);
        assert_eq!(shown(&it, &["A=x", "S=3"]), ["AB=2", "MSTREAM_RUN=r1"]);
    }

    #[test]
    fn a_missing_program_names_where_it_was_looked_for() {
        let it = environment(&[("PATH", "/nowhere:/usr/bin:/bin")]);
        assert!(it.find(b"sh", None).unwrap().to_bytes().ends_with(b"bin/sh"));
        assert_eq!(it.find(b"sh", Some(b"/nowhere")).unwrap_err(), "`sh` was not found in PATH");
        assert_eq!(it.find(b"no-such-one", None).unwrap_err(), "`no-such-one` was not found in PATH");
        assert_eq!(it.find(b"./here", None).unwrap().to_bytes(), b"./here");
    }

    #[test]
    fn a_folder_that_depends_on_where_one_is_is_left_to_the_shell() {
        let it = environment(&[("PATH", "/usr/bin:/bin")]);
        assert!(it.find_afresh("sh", None).unwrap().to_bytes().ends_with(b"bin/sh"));
        assert_eq!(it.find_afresh("no-such-one", None), None);
        assert_eq!(it.find_afresh("sh", Some(b"/usr/bin:.")), None);
        assert_eq!(it.find_afresh("sh", Some(b"/usr/bin:")), None);
    }

    #[test]
    fn a_nul_byte_is_said_and_not_cut() {
        let said = variable(b"A", b"x\0y").unwrap_err();
        assert_eq!(said, "the environment variable `A` holds a NUL byte, which no process can be given");
    }
}
