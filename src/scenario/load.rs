//! Reads a scenario and everything that it imports into one list of items.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Given;
use crate::diagnostic::{Code, Diagnostic, Sources, Span};
use crate::params::Read;
use crate::syntax::ast::{Allow, Item, Name};
use crate::syntax::parse;

/// How deep imports may go.
const MAX_DEPTH: usize = 16;

/// The items of all files, in order: those of an import stand where the import stands.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The file's name without its ending, until the scenario names itself.
    pub title: Arc<str>,
    /// Every item but the imports.
    pub items: Vec<Item>,
    /// Every `# ms: allow[...]` comment.
    pub allows: Vec<Allow>,
    /// What the parameter files say, once they are read.
    pub given: Given,
}

/// Reads `path` and its imports. Only a first file that cannot be read is an error of its own.
pub fn load(path: &Path, read: &mut Read<'_>, sources: &mut Sources) -> io::Result<(Loaded, Vec<Diagnostic>)> {
    let text = read(path)?;
    let title = path.file_stem().map(|stem| stem.to_string_lossy().into()).unwrap_or_default();
    let mut loader = Loader {
        read,
        sources,
        loaded: Loaded { title, ..Loaded::default() },
        problems: Vec::new(),
        open: Vec::new(),
        seen: Vec::new(),
    };
    loader.file(path, text);
    Ok((loader.loaded, loader.problems))
}

struct Loader<'a, 'r> {
    read: &'a mut Read<'r>,
    sources: &'a mut Sources,
    loaded: Loaded,
    problems: Vec<Diagnostic>,
    /// The files that are being read, outermost first.
    open: Vec<PathBuf>,
    /// Every file so far: one that is imported twice counts once.
    seen: Vec<PathBuf>,
}

impl Loader<'_, '_> {
    fn file(&mut self, path: &Path, text: String) {
        let id = self.sources.add(path.display().to_string(), text);
        self.open.push(normal(path));
        self.seen.push(normal(path));
        let (file, problems) = parse(id, self.sources);
        self.problems.extend(problems);
        self.loaded.allows.extend(file.allows);
        for item in file.items {
            if let Item::Import(name) = &item {
                self.import(path, name);
            } else {
                self.loaded.items.push(item);
            }
        }
        self.open.pop();
    }

    fn import(&mut self, from: &Path, name: &Name) {
        let path = from.parent().unwrap_or(Path::new("")).join(&*name.node);
        if let Some(first) = self.open.iter().position(|open| *open == normal(&path)) {
            return self.cycle(first, name);
        }
        if self.seen.contains(&normal(&path)) {
            return;
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("imports go deeper than {MAX_DEPTH} files");
            return self.problems.push(Diagnostic::new(Code::LimitExceeded, name.span, message));
        }
        match (self.read)(&path) {
            Ok(text) => self.file(&path, text),
            Err(error) => self.missing(name.span, &path, &error),
        }
    }

    fn cycle(&mut self, first: usize, name: &Name) {
        let files: Vec<String> = self.open[first..].iter().map(|path| format!("`{}`", path.display())).collect();
        let circle = format!("{} → {}", files.join(" → "), files[0]);
        let problem = Diagnostic::new(Code::ImportCycle, name.span, "this import leads back to itself");
        self.problems.push(problem.note(circle).help("move what both need into a third file"));
    }

    fn missing(&mut self, span: Span, path: &Path, error: &io::Error) {
        let message = format!("`{}` cannot be read: {}", path.display(), reason(error));
        let problem = Diagnostic::new(Code::ImportNotFound, span, message);
        self.problems.push(problem.note("an import is looked up beside the file that imports it"));
    }
}

/// The system's words without its number: `no such file or directory`.
fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound { "no such file".to_owned() } else { error.to_string() }
}

/// `a/../b/./c` as `b/c`, so that one file has one name.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir && out.file_name().is_some() {
            out.pop();
        } else if part != Component::CurDir {
            out.push(part);
        }
    }
    out
}
