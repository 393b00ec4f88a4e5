//! YAML text to nodes, each with its place and its tag. No other file names the YAML crate.
//!
//! It knows YAML and nothing of parameters: what a tag means is said elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use serde_yaml::granit_parser as granit;

use super::Limits;
use crate::diagnostic::{Code, Diagnostic, FileId, Span, Spanned};

/// A node. An alias is the node that it stands for, shared.
#[derive(Debug)]
pub(super) struct Yaml {
    /// Where it stands; of what goes over several lines, the first.
    pub(super) span: Span,
    /// Its tag as written: `!mux`.
    pub(super) tag: Option<Spanned<Arc<str>>>,
    pub(super) kind: Kind,
    /// How many levels are below it.
    height: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A scalar: its text, and whether it stands without quotes.
    Scalar(Arc<str>, bool),
    List(Vec<Arc<Yaml>>),
    Map(Vec<(Arc<Yaml>, Arc<Yaml>)>),
}

/// The document of a text; `None` where it holds nothing.
pub(super) fn read(file: FileId, text: &str, limits: &Limits) -> Result<Option<Arc<Yaml>>, Box<Diagnostic>> {
    let options = granit::options! {
        flow_nesting_limit: limits.depth,
        block_nesting_limit: limits.depth,
        block_scalar_eof_without_line_feed: true,
    };
    let mut composer =
        Composer { file, text, limits, open: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0, documents: 0 };
    for event in granit::Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => composer.event(event, span)?,
            Err(error) => return Err(composer.unreadable(text, &error)),
        }
    }
    Ok(composer.root)
}

/// The collections that are being read, outermost first.
struct Composer<'a> {
    file: FileId,
    text: &'a str,
    limits: &'a Limits,
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Yaml>>,
    root: Option<Arc<Yaml>>,
    nodes: usize,
    documents: usize,
}

/// A collection whose end has not come yet.
struct Open {
    span: Span,
    tag: Option<Spanned<Arc<str>>>,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Arc<Yaml>>),
    /// The pairs, and the key whose value comes next.
    Map(Vec<(Arc<Yaml>, Arc<Yaml>)>, Option<Arc<Yaml>>),
}

impl Composer<'_> {
    fn event(&mut self, event: granit::Event<'_>, at: granit::Span) -> Result<(), Box<Diagnostic>> {
        use granit::Event;
        let span = self.span(at);
        #[expect(clippy::wildcard_enum_match_arm, reason = "comments are no part of the tree, nor are starts and ends")]
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = self.tag(tag.as_deref(), at);
                let kind = Kind::Scalar(text.into(), style == granit::ScalarStyle::Plain);
                self.finished(Yaml { span, tag, kind, height: 0 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.opened(span, self.tag(tag.as_deref(), at), anchor, Items::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.opened(span, self.tag(tag.as_deref(), at), anchor, Items::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.closed(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::DocumentStart(..) => self.document(span),
            _ => Ok(()),
        }
    }

    fn opened(
        &mut self,
        span: Span,
        tag: Option<Spanned<Arc<str>>>,
        anchor: usize,
        items: Items,
    ) -> Result<(), Box<Diagnostic>> {
        self.open.push(Open { span, tag, anchor, items });
        // The two kinds of brackets have a limit each in the parser; this is the one of both together.
        if self.open.len() > self.limits.depth { Err(self.too_deep(span)) } else { Ok(()) }
    }

    fn closed(&mut self, end: Span) -> Result<(), Box<Diagnostic>> {
        let Some(Open { span, tag, anchor, items }) = self.open.pop() else { return Ok(()) };
        let kind = match items {
            Items::List(items) => Kind::List(items),
            Items::Map(pairs, _) => Kind::Map(pairs),
        };
        let start = span.range().start;
        let first = memchr::memchr(b'\n', self.text.get(start..).unwrap_or_default().as_bytes());
        let first = first.map_or(self.text.len(), |at| start + at);
        let span = Span::new(self.file, start..first.min(end.range().end).max(start));
        let below = match &kind {
            Kind::Scalar(..) => 0,
            Kind::List(items) => items.iter().map(|item| item.height).max().unwrap_or(0),
            Kind::Map(pairs) => pairs.iter().map(|(key, value)| key.height.max(value.height)).max().unwrap_or(0),
        };
        self.finished(Yaml { span, tag, kind, height: below + 1 }, anchor)
    }

    fn finished(&mut self, node: Yaml, anchor: usize) -> Result<(), Box<Diagnostic>> {
        let node = Arc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        match self.anchors.get(&anchor).cloned() {
            Some(node) => self.put(node),
            None => {
                Err(Box::new(Diagnostic::new(Code::YamlSyntax, span, "this alias stands inside what it stands for")))
            }
        }
    }

    fn put(&mut self, node: Arc<Yaml>) -> Result<(), Box<Diagnostic>> {
        self.nodes += 1;
        // An alias brings all the levels of what it stands for.
        if self.open.len() + node.height > self.limits.depth {
            return Err(self.too_deep(node.span));
        }
        if self.nodes > self.limits.nodes {
            return Err(self
                .limits
                .exceeded(node.span, format!("the file has more than {} values", self.limits.nodes)));
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map(pairs, key)) => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => *key = Some(node),
            },
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn document(&mut self, span: Span) -> Result<(), Box<Diagnostic>> {
        self.documents += 1;
        if self.documents < 2 {
            return Ok(());
        }
        let problem =
            Diagnostic::new(Code::YamlSyntax, span, "a parameter file is one document, and here starts another");
        Err(Box::new(problem.help("give the second one a file of its own")))
    }

    fn span(&self, span: granit::Span) -> Span {
        Span::new(self.file, span.byte_range().unwrap_or_default())
    }

    fn tag(&self, tag: Option<&granit::Tag>, at: granit::Span) -> Option<Spanned<Arc<str>>> {
        let span = at.tag_span().map_or_else(|| self.span(at), |span| self.span(span));
        tag.map(|tag| Spanned::new(tag.original().into(), span))
    }

    fn too_deep(&self, span: Span) -> Box<Diagnostic> {
        let message = format!("this stands more than {} levels deep", self.limits.depth);
        Box::new(Diagnostic::new(Code::LimitExceeded, span, message))
    }

    fn unreadable(&self, text: &str, error: &granit::ScanError) -> Box<Diagnostic> {
        let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
        let width = text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        let span = Span::new(self.file, at..at + width);
        let kind = error.kind();
        if *kind == granit::ErrorKind::RecursionLimitExceeded {
            return self.too_deep(span);
        }
        let (words, help) = words(kind, &text[..at]);
        let problem = Diagnostic::new(Code::YamlSyntax, span, words);
        Box::new(match help {
            Some(help) => problem.help(help),
            None => problem,
        })
    }
}

/// What an error of the parser says, and what to do about the likely ones.
fn words(kind: &granit::ErrorKind, before: &str) -> (String, Option<&'static str>) {
    use granit::ErrorKind as E;
    let line = before.rsplit('\n').next().unwrap_or_default();
    let tagged = line.trim_start().starts_with('!');
    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's own words do for all others")]
    match kind {
        E::MappingValueNotAllowed if tagged => (
            "a colon cannot stand here".into(),
            Some("a space goes between a tag and its colon: `!include : other.yaml`"),
        ),
        E::MappingValueNotAllowed => {
            ("a colon cannot stand here".into(), Some("text that holds `: ` needs quotes around it"))
        }
        E::TabNotAllowed | E::TabInBlockIndentation | E::TabInIndentation => {
            ("a tab cannot indent".into(), Some("indent with spaces"))
        }
        E::UnclosedFlowCollection { open } => (format!("this `{open}` is not closed"), None),
        E::UnclosedQuotedScalar => ("the quote is not closed".into(), None),
        E::UnknownAnchor => {
            ("no node has this anchor".into(), Some("text that starts with `*` needs quotes around it: '*/boot/*'"))
        }
        E::UnexpectedCharacter { character } => {
            (format!("a value cannot start with `{character}`"), Some("put quotes around it"))
        }
        other => (other.to_string(), None),
    }
}
