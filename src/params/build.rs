//! YAML nodes to tree nodes: what the tags mean, what may stand where, and what is included.

mod directive;
mod value;

use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::data::{self, Data};
use super::node::{Entry, Node};
use super::yaml::{self, Kind, Yaml};
use super::{File, Limits, Read};
use crate::diagnostic::{Code, Diagnostic, FileId, Sources, Span, Spanned};
use crate::syntax::Value;

/// The tags that stand where a name would: `!include : other.yaml`.
const DIRECTIVES: [&str; 6] = ["!include", "!using", "!remove_node", "!remove_value", "!filter-only", "!filter-out"];

/// The tags that stand behind a name: `release: !mux`.
const MARKS: [&str; 2] = ["!mux", "!join"];

/// How deep files may include each other.
const MAX_INCLUDES: usize = 16;

/// How long the path of a node may be.
const MAX_PATH: usize = 1024;

/// The state of reading files, and the tree so far.
pub(super) struct Builder<'a, 'r> {
    limits: &'a Limits,
    read: &'a mut Read<'r>,
    sources: &'a mut Sources,
    root: Node,
    problems: Vec<Diagnostic>,
    /// The files that are being built, outermost first.
    open: Vec<PathBuf>,
    /// Every file so far, so that each is read once; `None` where it holds nothing, or cannot be read.
    seen: HashMap<PathBuf, Option<Arc<Yaml>>>,
    /// How many values there may still be.
    left: usize,
    /// How long the path of the node is that is being built.
    length: usize,
    /// Whether the tree has become too large: what follows of that is not told.
    full: bool,
}

impl<'a, 'r> Builder<'a, 'r> {
    pub(super) fn new(limits: &'a Limits, read: &'a mut Read<'r>, sources: &'a mut Sources) -> Self {
        Self {
            limits,
            read,
            sources,
            root: Node::default(),
            problems: Vec::new(),
            open: Vec::new(),
            seen: HashMap::new(),
            left: limits.nodes,
            length: "/run".len(),
            full: false,
        }
    }

    /// Merges files into the tree, in order, below `/run` as Avocado does.
    pub(super) fn merge(&mut self, files: &[File]) {
        for file in files {
            if let Some(mut top) = self.file(&file.path, file.named) {
                top.name.node = "run".into();
                self.root.merge(Node::around(Spanned::default(), top));
            }
        }
    }

    /// The id that the next file will have. What was read already is read again for those that follow.
    pub(super) fn next_file(&mut self) -> FileId {
        self.seen.clear();
        self.sources.next()
    }

    /// The tree, and everything that is wrong with it.
    pub(super) fn done(self) -> (Node, Vec<Diagnostic>) {
        (self.root, self.problems)
    }
}

impl Builder<'_, '_> {
    /// The top node of a file, without a name; `None` where it has nothing to say.
    fn file(&mut self, path: &Path, named: Span) -> Option<Node> {
        let yaml = self.document(path, named)?;
        let mut node = Node::new(Spanned::new(Arc::default(), yaml.span.head()));
        self.open.push(normal(path));
        let using = self.fill(&mut node, &yaml);
        self.open.pop();
        let mut parts = using.into_iter();
        let Some(first) = parts.next() else { return Some(node) };
        node.name = first;
        // At the top of a file Avocado puts each part above the one before it.
        let outermost = parts.fold(node, |inner, part| Node::around(part, inner));
        Some(Node::around(Spanned::default(), outermost))
    }

    /// The text of a file as YAML; read once however often it is asked for.
    fn document(&mut self, path: &Path, named: Span) -> Option<Arc<Yaml>> {
        if let Some(known) = self.seen.get(&normal(path)) {
            return known.clone();
        }
        let document = self.parse(path, named);
        self.seen.insert(normal(path), document.clone());
        document
    }

    fn parse(&mut self, path: &Path, named: Span) -> Option<Arc<Yaml>> {
        let text = match (self.read)(path) {
            Ok(text) => text,
            Err(error) => {
                self.unread(path, named, &error);
                return None;
            }
        };
        if text.len() > self.limits.bytes {
            let message = format!("`{}` has more than {} MiB", path.display(), self.limits.bytes >> 20);
            self.problems.push(*self.limits.exceeded(named, message));
            return None;
        }
        let id = self.sources.add(path.display().to_string(), text);
        yaml::read(id, self.sources.file(id).text(), self.limits).unwrap_or_else(|problem| {
            self.problems.push(*problem);
            None
        })
    }

    fn unread(&mut self, path: &Path, named: Span, error: &io::Error) {
        const KNOWN: [(io::ErrorKind, &str); 2] =
            [(io::ErrorKind::NotFound, "no such file"), (io::ErrorKind::IsADirectory, "it is a folder")];
        let known = KNOWN.iter().find(|(kind, _)| *kind == error.kind());
        let reason = known.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned());
        let code = if error.kind() == io::ErrorKind::FileTooLarge { Code::LimitExceeded } else { Code::ImportNotFound };
        self.problems.push(Diagnostic::new(code, named, format!("`{}` cannot be read: {reason}", path.display())));
    }

    /// Puts what stands in `yaml` into `node`. What comes back are the parts of a `!using`.
    fn fill(&mut self, node: &mut Node, yaml: &Yaml) -> Vec<Spanned<Arc<str>>> {
        let Some(mux) = self.mark(yaml.tag.as_ref()) else { return Vec::new() };
        let Kind::Map(pairs) = &yaml.kind else {
            self.empty(yaml);
            node.mux = mux;
            return Vec::new();
        };
        let mut using = Vec::new();
        let mut names: HashMap<&str, Span> = HashMap::new();
        let mut all = Vec::new();
        self.flatten(pairs, &mut all);
        for (key, value, merged) in all {
            if self.full {
                break;
            }
            if let Some(tag) = key.tag.as_ref().filter(|tag| !tag.node.starts_with("!!")) {
                self.directive(node, tag, (key, value), &mut using);
            } else if let Some(name) = self.name(key)
                && self.fresh(&mut names, name, key.span, merged)
            {
                self.entry(node, Spanned::new(name.clone(), key.span), value);
            }
        }
        // What the node says itself goes over what it includes.
        node.mux = mux.or(node.mux);
        using
    }

    /// What a tag before the content of a node says of its children; `None` where it cannot stand there.
    #[expect(clippy::option_option, reason = "a tag that is wrong, none that says anything, and what one says")]
    fn mark(&mut self, tag: Option<&Spanned<Arc<str>>>) -> Option<Option<Spanned<bool>>> {
        let Some(tag) = tag else { return Some(None) };
        match &*tag.node {
            "!mux" => Some(Some(Spanned::new(true, tag.span))),
            "!join" => Some(Some(Spanned::new(false, tag.span))),
            "!!map" => Some(None),
            _ => {
                self.bad_tag(tag);
                None
            }
        }
    }

    /// A node that is no map holds nothing.
    fn empty(&mut self, yaml: &Yaml) {
        let what = if let Kind::List(_) = yaml.kind { "a list" } else { "text" };
        if !is_nothing(yaml) {
            let words = format!("names with their values stand in a node, and this is {what}");
            self.problems.push(Diagnostic::new(Code::WrongType, yaml.span, words).help("name: value"));
        }
    }

    /// The pairs of a map with what `<<` merges into it, which never takes the place of a key of its own.
    fn flatten<'y>(&mut self, pairs: &'y [(Arc<Yaml>, Arc<Yaml>)], all: &mut Vec<(&'y Yaml, &'y Yaml, bool)>) {
        let merge = |key: &Yaml| matches!(&key.kind, Kind::Scalar(text, true) if **text == *"<<") && key.tag.is_none();
        all.extend(pairs.iter().filter(|(key, _)| !merge(key)).map(|(key, value)| (&**key, &**value, false)));
        let mut queue: Vec<(&Yaml, usize)> =
            pairs.iter().filter(|(key, _)| merge(key)).map(|(_, it)| (&**it, 0)).rev().collect();
        while let Some((from, depth)) = queue.pop() {
            if !self.count(from.span) {
                return;
            }
            match &from.kind {
                Kind::List(items) if depth == 0 => queue.extend(items.iter().rev().map(|item| (&**item, 1))),
                Kind::Map(pairs) => {
                    for (key, value) in pairs {
                        if !self.count(key.span) {
                            return;
                        }
                        if merge(key) {
                            queue.push((value, 0));
                        } else {
                            all.push((key, value, true));
                        }
                    }
                }
                Kind::List(_) | Kind::Scalar(..) => {
                    let words = "`<<` takes a map, or a list of maps: `<<: *defaults`";
                    self.problems.push(Diagnostic::new(Code::WrongType, from.span, words));
                }
            }
        }
    }

    /// The text of a key.
    fn name<'y>(&mut self, key: &'y Yaml) -> Option<&'y Arc<str>> {
        if let Kind::Scalar(text, _) = &key.kind {
            return Some(text);
        }
        self.problems.push(Diagnostic::new(Code::WrongType, key.span, "a name is text"));
        None
    }

    /// Whether a key stands here for the first time; of one that `<<` brings, the first one counts.
    fn fresh<'y>(&mut self, names: &mut HashMap<&'y str, Span>, name: &'y str, span: Span, merged: bool) -> bool {
        let Some(first) = names.get(name).copied() else {
            names.insert(name, span);
            return true;
        };
        if !merged {
            let problem = Diagnostic::new(Code::DuplicateName, span, format!("the key `{name}` stands here twice"));
            self.problems.push(problem.label("again here").other(first, "first here"));
        }
        false
    }

    /// A name with what it holds: maps, and what is empty, are nodes; all else are values.
    fn entry(&mut self, node: &mut Node, name: Spanned<Arc<str>>, value: &Yaml) {
        if !self.count(name.span) {
            return;
        }
        let marked = value.tag.as_ref().is_some_and(|tag| MARKS.contains(&&*tag.node));
        let is_node = match &value.kind {
            Kind::Map(_) => true,
            Kind::Scalar(..) => marked || value.tag.is_none() && is_nothing(value),
            Kind::List(_) => marked,
        };
        if is_node {
            return self.child(node, name, value);
        }
        let Some(data) = self.data(value) else { return };
        // As in Avocado, `"null"` in quotes is how a value says that it is none.
        let null = matches!(&data.node, Data::Scalar(Value::Text(text), _) if **text == *"null");
        let value = if null { Spanned::new(Data::Scalar(Value::Null, "null".into()), data.span) } else { data };
        node.set(name.node, Entry { key: name.span, value, rank: 0 });
    }

    fn child(&mut self, node: &mut Node, name: Spanned<Arc<str>>, value: &Yaml) {
        let length = self.length;
        self.length += name.node.len() + 1;
        if self.long(name.span) {
            self.length = length;
            return;
        }
        let mut child = Node::new(name);
        let using = self.fill(&mut child, value);
        self.length = length;
        node.add(using.into_iter().rev().fold(child, |inner, part| Node::around(part, inner)));
    }

    fn long(&mut self, span: Span) -> bool {
        let long = self.length > MAX_PATH;
        if long {
            let message = format!("the path of this node is longer than {MAX_PATH} bytes");
            self.problems.push(Diagnostic::new(Code::LimitExceeded, span, message));
        }
        long
    }

    /// A tag that does not exist, or that stands where it cannot.
    fn bad_tag(&mut self, tag: &Spanned<Arc<str>>) {
        let name = &*tag.node;
        let known = || DIRECTIVES.into_iter().chain(MARKS);
        let problem = if DIRECTIVES.contains(&name) {
            let problem = Diagnostic::new(Code::UnexpectedToken, tag.span, format!("`{name}` cannot stand here"));
            problem.help(format!("it stands where a name would, with a space before the colon: `{name} : ...`"))
        } else if MARKS.contains(&name) {
            let problem = Diagnostic::new(Code::UnexpectedToken, tag.span, format!("`{name}` cannot stand here"));
            problem.help(format!("it stands behind the name of a node: `releases: {name}`"))
        } else {
            let problem = Diagnostic::new(Code::UnknownKeyword, tag.span, format!("there is no tag `{name}`"));
            let bare = name.trim_end_matches(':');
            if bare != name && DIRECTIVES.contains(&bare) {
                problem.help(format!("a space goes between the tag and its colon: `{bare} : ...`"))
            } else if crate::diagnostic::similar(name, known()).is_some() {
                problem.near("tag", name, known())
            } else {
                problem.help(format!("the tags are: {}", known().collect::<Vec<_>>().join(", ")))
            }
        };
        self.problems.push(problem);
    }

    /// Counts one more value; false once there are too many.
    fn count(&mut self, span: Span) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return true;
        }
        if !self.full {
            self.full = true;
            let message = format!("the parameters come to more than {} values when spelt out", self.limits.nodes);
            self.problems.push(*self.limits.exceeded(span, message));
        }
        false
    }
}

/// Whether a node is `null`, or not there.
fn is_nothing(yaml: &Yaml) -> bool {
    matches!(&yaml.kind, Kind::Scalar(text, true) if data::plain(text) == Value::Null)
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
