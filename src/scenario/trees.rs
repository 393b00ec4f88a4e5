//! The parameter tree of a scenario: the files that it names with `params`, and over them those of `--params`.

use std::path::{Path, PathBuf};

use super::{Loaded, Settings};
use crate::diagnostic::{Diagnostic, FileId, Sources, Span};
use crate::params::{File, Limits, Params, Read, Tree};
use crate::syntax::ast::Item;

/// What the parameter files say.
#[derive(Clone, Debug)]
pub struct Given {
    /// All of them merged: the whole tree, or one variant of it.
    pub params: Params,
    /// The first file that the command line brings.
    outer: FileId,
}

impl Default for Given {
    fn default() -> Self {
        Self { params: Params::default(), outer: FileId(u32::MAX) }
    }
}

impl Given {
    /// Whether what stands there comes from a file of `--params`.
    pub fn by_command_line(&self, span: Span) -> bool {
        span.file >= self.outer
    }
}

/// Reads the parameter files of a scenario; what they say stands in [`Loaded::given`].
pub fn trees(loaded: &mut Loaded, settings: &Settings, read: &mut Read<'_>, sources: &mut Sources) -> Vec<Diagnostic> {
    let limits = Limits::scaled(settings.limit_scale.unwrap_or(1));
    let named = loaded.items.iter().filter_map(|item| if let Item::Params(name) = item { Some(name) } else { None });
    let own: Vec<File> =
        named.map(|name| File { path: beside(name.span, &name.node, sources), named: name.span }).collect();
    let outer: Vec<File> = settings.files.iter().map(|path| on_command_line(path, sources)).collect();
    let (tree, first, problems) = Tree::read_over(&own, &outer, &limits, read, sources);
    loaded.given = Given { params: tree.all(), outer: first };
    problems
}

/// A file that the command line names; that becomes a source.
fn on_command_line(path: &Path, sources: &mut Sources) -> File {
    let text = path.display().to_string();
    let end = text.len();
    let id = sources.add("--params", text);
    File { path: path.to_owned(), named: Span::new(id, 0..end) }
}

/// A file that is named at `span` is looked for beside the file that names it.
fn beside(span: Span, name: &str, sources: &Sources) -> PathBuf {
    Path::new(&**sources.file(span.file).name()).parent().unwrap_or(Path::new("")).join(name)
}
