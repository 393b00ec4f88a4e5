//! What stands where a name would, behind a tag: other files, other places, what is removed, what is filtered out.

use std::path::Path;
use std::sync::Arc;

use regex::RegexBuilder;

use super::super::node::{Node, Removal};
use super::super::yaml::{Kind, Yaml};
use super::{Builder, DIRECTIVES, MAX_INCLUDES, is_nothing, normal};
use crate::diagnostic::{Code, Diagnostic, Span, Spanned};

impl Builder<'_, '_> {
    /// `!include : FILE` and the others that stand where a name would.
    pub(super) fn directive(
        &mut self,
        node: &mut Node,
        tag: &Spanned<Arc<str>>,
        (key, value): (&Yaml, &Yaml),
        using: &mut Vec<Spanned<Arc<str>>>,
    ) {
        if !DIRECTIVES.contains(&&*tag.node) {
            return self.bad_tag(tag);
        }
        if !matches!(&key.kind, Kind::Scalar(text, _) if text.is_empty()) {
            let problem = Diagnostic::new(Code::UnexpectedToken, key.span, format!("a colon follows `{}`", tag.node));
            return self.problems.push(problem.help(format!("{} : ...", tag.node)));
        }
        // A filter that names nothing filters nothing.
        let empty = is_nothing(value) || matches!(&value.kind, Kind::Scalar(text, _) if text.is_empty());
        if tag.node.starts_with("!filter") && empty {
            return;
        }
        let Some(text) = self.text(tag, value) else { return };
        match &*tag.node {
            "!include" => self.include(node, text),
            "!using" => self.using(using, tag, text),
            "!remove_node" => node.removals.extend(self.regex(text).map(Removal::Nodes)),
            "!remove_value" => node.removals.extend(self.regex(text).map(Removal::Values)),
            "!filter-only" => node.filters.only.push(closed(text.node)),
            _ => node.filters.out.push(closed(text.node)),
        }
    }

    /// The text that a directive takes.
    fn text<'y>(&mut self, tag: &Spanned<Arc<str>>, value: &'y Yaml) -> Option<Spanned<&'y Arc<str>>> {
        if !self.count(value.span) {
            return None;
        }
        match &value.kind {
            Kind::Scalar(text, _) if value.tag.is_none() && !is_nothing(value) && !text.is_empty() => {
                Some(Spanned::new(text, value.span))
            }
            Kind::Scalar(..) | Kind::List(_) | Kind::Map(_) => {
                let takes = match &*tag.node {
                    "!include" => "the path of a file",
                    "!remove_node" | "!remove_value" => "a regex over names",
                    _ => "a path in the tree",
                };
                let problem = Diagnostic::new(Code::WrongType, tag.span, format!("`{}` takes {takes}", tag.node));
                let bracket = matches!(value.kind, Kind::List(_) | Kind::Map(_));
                self.problems.push(if bracket {
                    problem.help("text that starts with a bracket needs quotes around it")
                } else {
                    problem
                });
                None
            }
        }
    }

    fn include(&mut self, node: &mut Node, name: Spanned<&Arc<str>>) {
        let here = self.open.last().and_then(|file| file.parent()).unwrap_or(Path::new(""));
        let path = here.join(&**name.node);
        if let Some(first) = self.open.iter().position(|open| *open == normal(&path)) {
            return self.circle(first, name.span);
        }
        if self.open.len() >= MAX_INCLUDES {
            let message = format!("includes go deeper than {MAX_INCLUDES} files");
            return self.problems.push(Diagnostic::new(Code::LimitExceeded, name.span, message));
        }
        if let Some(top) = self.file(&path, name.span) {
            node.merge(top);
        }
    }

    fn circle(&mut self, first: usize, span: Span) {
        let files: Vec<String> = self.open[first..].iter().map(|path| format!("`{}`", path.display())).collect();
        let circle = format!("{} → {}", files.join(" → "), files[0]);
        let problem = Diagnostic::new(Code::ImportCycle, span, "this include leads back to itself");
        self.problems.push(problem.note(circle).help("move what both need into a third file"));
    }

    fn using(&mut self, using: &mut Vec<Spanned<Arc<str>>>, tag: &Spanned<Arc<str>>, path: Spanned<&Arc<str>>) {
        if let Some(first) = using.first() {
            let problem = Diagnostic::new(Code::DuplicateOption, tag.span, "`!using` stands once in a node");
            return self.problems.push(problem.label("again here").other(first.span, "first here"));
        }
        let inner = path.node.strip_prefix('/').unwrap_or(path.node);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            let problem = Diagnostic::new(Code::WrongType, path.span, "`!using` takes a path in the tree");
            return self.problems.push(problem);
        }
        self.length += inner.len() + 1;
        let long = self.long(path.span);
        self.length -= inner.len() + 1;
        if !long {
            using.extend(inner.split('/').map(|part| Spanned::new(part.into(), path.span)));
        }
    }

    /// A regex that matches at the start of a name.
    fn regex(&mut self, text: Spanned<&Arc<str>>) -> Option<regex::Regex> {
        let built = RegexBuilder::new(&format!("^(?:{})", text.node)).size_limit(1 << 16).build();
        if let Err(error) = &built {
            let words = error.to_string();
            let words = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let problem = Diagnostic::new(Code::WrongType, text.span, format!("this is no regex: {words}"));
            self.problems.push(problem);
        }
        built.ok()
    }
}

/// A path of the tree with one `/` at its end.
fn closed(path: &str) -> Arc<str> {
    if path.ends_with('/') { path.into() } else { format!("{path}/").into() }
}
