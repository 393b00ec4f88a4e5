//! Streams written as URIs: `ssh://user@host:2222?key=value`, `docker://?image=alpine`, `local:`. Holes may stand in them
//! wherever a value does; each key and each value knows its own place.

use std::ops::Range;
use std::sync::Arc;

use super::keys;
use crate::diagnostic::{Code, Diagnostic, Sources, Span, Spanned};
use crate::syntax::Value;
use crate::syntax::ast::{Expr, ExprKind, Name, Piece, Pieces, Text, TextForm};

/// Stands for a hole while a URI is taken apart.
const HOLE: char = '\0';

/// A kind with its keys, each at its place.
type Parsed = (Spanned<&'static str>, Vec<(Name, Expr)>);

/// The kind and the keys that a URI says, or what is wrong with it.
pub(super) fn parse(text: &Text, sources: &Sources) -> Result<Parsed, Box<Diagnostic>> {
    let uri = Uri::flat(text, sources);
    let whole = 0..uri.text.len();
    let (scheme, rest) = uri.split(whole, ":");
    let name = uri.str(&scheme);
    let Some(kind) = keys::kind(name) else {
        let message = format!("there is no kind of stream `{}`", name.replace(HOLE, "${{...}}"));
        return Err(Box::new(keys::near_kind(Diagnostic::new(Code::UnknownKind, uri.span(&scheme), message), name)));
    };
    let rest = rest.unwrap_or(scheme.end..scheme.end);
    let rest = if uri.str(&rest).starts_with("//") { rest.start + 2..rest.end } else { rest };
    let (authority, query) = uri.split(rest, "?");
    let slashes = uri.str(&authority).len() - uri.str(&authority).trim_end_matches('/').len();
    let authority = authority.start..authority.end - slashes;
    let mut found = Vec::new();
    match kind {
        "ssh" => uri.address(authority, &mut found)?,
        "docker" if uri.str(&authority).contains('=') => uri.pairs(authority, ",", &mut found)?,
        "docker" if !authority.is_empty() => found.push(uri.entry("container", &authority)?),
        _ if !authority.is_empty() && kind == "local" => {
            return Err(wrong(Code::UnknownKind, uri.span(&authority), "`local:` takes no address"));
        }
        _ => {}
    }
    if let Some(query) = query {
        uri.pairs(query, "&", &mut found)?;
    }
    let twice = |at: &usize| found[..*at].iter().any(|(key, _): &(Name, Expr)| key.node == found[*at].0.node);
    if let Some(at) = (0..found.len()).find(twice) {
        let key = &found[at].0;
        return Err(wrong(Code::DuplicateOption, key.span, format!("`{}` is given twice", key.node)));
    }
    Ok((Spanned::new(kind, uri.span(&scheme)), found))
}

fn wrong(code: Code, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::new(code, span, message))
}

/// A URI with [`HOLE`] in the place of each hole.
struct Uri<'a> {
    text: String,
    holes: Vec<&'a Expr>,
    /// Where each stretch of the text begins, and where it stands in the source. Empty where escapes keep the two apart.
    stretches: Vec<(usize, Span)>,
    whole: Span,
}

impl<'a> Uri<'a> {
    fn flat(text: &'a Text, sources: &Sources) -> Self {
        let mut it = Self { text: String::new(), holes: Vec::new(), stretches: Vec::new(), whole: text.span };
        let (mut at, mut exact) = (text.span.range().start, true);
        for piece in text.pieces.iter() {
            let span = match piece {
                Piece::Literal(literal) => Span::new(text.span.file, at..at + literal.len()),
                Piece::Hole(_, span) => *span,
            };
            at = span.range().end;
            it.stretches.push((it.text.len(), span));
            match piece {
                Piece::Literal(literal) => {
                    exact &= sources.text(span) == &**literal;
                    // No URI has the character that stands for a hole; what stands for it is as long, so that places stay.
                    it.text.push_str(&literal.replace(HOLE, "\u{1}"));
                }
                Piece::Hole(expr, _) => {
                    it.text.push(HOLE);
                    it.holes.push(expr);
                }
            }
        }
        if !exact {
            it.stretches.clear();
        }
        it
    }

    fn str(&self, range: &Range<usize>) -> &str {
        &self.text[range.clone()]
    }

    /// Where these bytes stand.
    fn span(&self, range: &Range<usize>) -> Span {
        let place = |at: usize| {
            let (from, span) = self.stretches[..self.stretches.partition_point(|(from, _)| *from <= at)].last()?;
            Some((span.range().start + at - from, *span))
        };
        let last = range.end.max(range.start + 1) - 1;
        let (Some((start, _)), Some((end, stretch))) = (place(range.start), place(last)) else { return self.whole };
        let end = if self.text.as_bytes().get(last) == Some(&0) { stretch.range().end } else { end + 1 };
        let end = if range.is_empty() { start } else { end };
        Span::new(self.whole.file, start..end)
    }

    /// What stands before and behind the first `separator`.
    fn split(&self, range: Range<usize>, separator: &str) -> (Range<usize>, Option<Range<usize>>) {
        match self.str(&range).find(separator) {
            Some(at) => (range.start..range.start + at, Some(range.start + at + separator.len()..range.end)),
            None => (range, None),
        }
    }

    /// `user@host:port`, `[::1]:22`.
    fn address(&self, authority: Range<usize>, found: &mut Vec<(Name, Expr)>) -> Result<(), Box<Diagnostic>> {
        let mut host = authority.clone();
        if let Some(at) = self.str(&authority).rfind('@') {
            found.push(self.entry("user", &(authority.start..authority.start + at))?);
            host.start = authority.start + at + 1;
        }
        let (host, port) = match self.str(&host).strip_prefix('[').and_then(|rest| rest.find(']')) {
            Some(end) => {
                let inner = host.start + 1..host.start + 1 + end;
                let behind = inner.end + 1..host.end;
                let port = self.str(&behind).starts_with(':').then(|| behind.start + 1..behind.end);
                (inner, port)
            }
            None => self.split(host, ":"),
        };
        if !host.is_empty() {
            found.push(self.entry("host", &host)?);
        }
        if let Some(port) = port {
            let text = self.str(&port);
            if !text.contains(HOLE) && text.parse::<u16>().is_err() {
                let message = format!("`{text}` is not a port");
                return Err(wrong(Code::WrongType, self.span(&port), message));
            }
            found.push(self.entry("port", &port)?);
        }
        Ok(())
    }

    fn pairs(&self, text: Range<usize>, separator: &str, found: &mut Vec<(Name, Expr)>) -> Result<(), Box<Diagnostic>> {
        let mut rest = Some(text);
        while let Some(range) = rest {
            let (pair, more) = self.split(range, separator);
            rest = more;
            if pair.is_empty() {
                continue;
            }
            let (key, value) = self.split(pair.clone(), "=");
            let Some(value) = value else {
                let message = format!("`{}` is not `key=value`", self.str(&pair));
                return Err(wrong(Code::WrongType, self.span(&pair), message));
            };
            let name = self.decoded(&key)?;
            found.push((Spanned::new(name.into(), self.span(&key)), self.value(&value)?));
        }
        Ok(())
    }

    /// A key that is told by where its value stands.
    fn entry(&self, key: &str, value: &Range<usize>) -> Result<(Name, Expr), Box<Diagnostic>> {
        Ok((Spanned::new(key.into(), self.span(value)), self.value(value)?))
    }

    fn value(&self, range: &Range<usize>) -> Result<Expr, Box<Diagnostic>> {
        let span = self.span(range);
        let text = self.str(range);
        let mut holes = self.holes[self.text[..range.start].matches(HOLE).count()..].iter().copied();
        if text.len() == 1
            && text.starts_with(HOLE)
            && let Some(hole) = holes.next()
        {
            return Ok(hole.clone());
        }
        if !text.contains(HOLE) {
            let text = Value::Text(self.decoded(range)?.into());
            return Ok(Expr { kind: ExprKind::Literal(text), span });
        }
        let mut pieces = Vec::new();
        let mut at = range.start;
        for literal in text.split(HOLE) {
            if at > range.start {
                pieces.extend(holes.next().map(|hole| Piece::Hole(Box::new(hole.clone()), hole.span)));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(self.decoded(&(at..at + literal.len()))?.into()));
            }
            at += literal.len() + 1;
        }
        let text = Text { pieces: pieces.into_iter().collect(), span, form: TextForm::Quoted, indent: 0 };
        Ok(Expr { kind: ExprKind::Template(text), span })
    }

    /// Undoes percent encoding.
    fn decoded(&self, range: &Range<usize>) -> Result<String, Box<Diagnostic>> {
        let text = self.str(range);
        let wrong = |words| wrong(Code::InvalidString, self.span(range), words);
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                return Err(wrong(format!("`%` wants two hexadecimal digits in `{text}`")));
            };
            bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
        }
        String::from_utf8(bytes).map_err(|_| wrong(format!("`{text}` is not UTF-8")))
    }
}

/// A text without holes that stands at `span`.
pub(super) fn plain(text: &Arc<str>, span: Span) -> Text {
    Text { pieces: Pieces::One(Piece::Literal(Arc::clone(text))), span, form: TextForm::Raw, indent: 0 }
}
