//! The parameter trees of a scenario: the files that it names with `params`, and over them those of `--params`; apart from
//! them the files of `streams`, and the configurations.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::{Layer, Loaded, Settings, passwords};
use crate::diagnostic::{Diagnostic, FileId, Sources, Span};
use crate::params::{File, Limits, Params, Read, Tree};
use crate::syntax::ast::Item;

/// What the parameter files say.
#[derive(Clone, Debug)]
pub struct Given {
    /// All of them merged: the whole tree, or one variant of it.
    pub params: Params,
    /// The first source that is no scenario.
    first: FileId,
    /// The first file that the command line brings.
    outer: FileId,
    /// The files that `streams` names, each by itself.
    pub(super) files: IndexMap<PathBuf, Params>,
    /// The configurations, that of the user first.
    pub(super) configs: Vec<(Layer, Params)>,
}

impl Default for Given {
    fn default() -> Self {
        let none = FileId(u32::MAX);
        let (files, configs) = (IndexMap::new(), Vec::new());
        Self { params: Params::default(), first: none, outer: none, files, configs }
    }
}

impl Given {
    /// Whether what stands there comes from a file of `--params`.
    pub fn by_command_line(&self, span: Span) -> bool {
        span.file >= self.outer
    }

    /// Whether what stands there stands in no scenario.
    pub(super) fn outside(&self, span: Span) -> bool {
        span.file >= self.first
    }
}

/// Reads the parameter files of a scenario; what they say stands in [`Loaded::given`].
pub fn trees(loaded: &mut Loaded, settings: &Settings, read: &mut Read<'_>, sources: &mut Sources) -> Vec<Diagnostic> {
    let limits = Limits::scaled(settings.limit_scale.unwrap_or(1));
    let first = sources.next();
    let named = loaded.items.iter().filter_map(|item| if let Item::Params(name) = item { Some(name) } else { None });
    let own: Vec<File> =
        named.map(|name| File { path: beside(name.span, &name.node, sources), named: name.span }).collect();
    let outer: Vec<File> = settings.files.iter().map(|path| on_command_line(path, sources)).collect();
    let (tree, outer, mut problems) = Tree::read_over(&own, &outer, &limits, read, sources);
    let of_streams = of_streams(loaded, sources);
    let mut alone = |path: PathBuf, named: Span| {
        let (tree, found) = Tree::read(&[File { path, named }], &limits, read, sources);
        problems.extend(found);
        tree.all()
    };
    let mut files = IndexMap::new();
    for (path, named) in of_streams {
        files.entry(path.clone()).or_insert_with(|| alone(path, named));
    }
    let configs = [(Layer::User, &settings.user_config), (Layer::System, &settings.system_config)];
    let configs = configs.into_iter().filter_map(|(layer, path)| Some((layer, alone(path.clone()?, Span::default()))));
    let configs = configs.collect();
    // Whoever draws a line of these files shall not show the passwords in it.
    sources.hide(&passwords::places(sources, first));
    loaded.given = Given { params: tree.all(), first, outer, files, configs };
    problems
}

/// The files that `streams` names, and where.
fn of_streams(loaded: &Loaded, sources: &Sources) -> Vec<(PathBuf, Span)> {
    let named =
        loaded.items.iter().filter_map(|item| if let Item::Streams { file, .. } = item { Some(file) } else { None });
    named.map(|file| (beside(file.span, &file.node, sources), file.span)).collect()
}

/// A file that the command line names; that becomes a source.
fn on_command_line(path: &Path, sources: &mut Sources) -> File {
    let text = path.display().to_string();
    let end = text.len();
    let id = sources.add("--params", text);
    File { path: path.to_owned(), named: Span::new(id, 0..end) }
}

/// A file that is named at `span` is looked for beside the file that names it.
pub(super) fn beside(span: Span, name: &str, sources: &Sources) -> PathBuf {
    Path::new(&**sources.file(span.file).name()).parent().unwrap_or(Path::new("")).join(name)
}
