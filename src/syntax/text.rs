//! Texts: strings with their escapes, lines of code, and the holes in both.

use std::ops::Range;
use std::sync::Arc;

use super::ast::{Expr, Name, Piece, Pieces, Text, TextForm};
use super::grammar::{Pair, Rule};
use super::parser::{Parsed, Parser};
use crate::diagnostic::{Code, Diagnostic, Span, Spanned};

/// A text in the making: literal text grows until a hole ends it.
#[derive(Default)]
pub(super) struct Making {
    done: Vec<Piece>,
    literal: String,
}

impl Making {
    pub(super) fn push(&mut self, text: &str) {
        self.literal.push_str(text);
    }

    pub(super) fn hole(&mut self, expr: Expr, span: Span) {
        self.flush();
        self.done.push(Piece::Hole(Box::new(expr), span));
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.done.push(Piece::Literal(Arc::from(&*self.literal)));
            self.literal.clear();
        }
    }

    pub(super) fn finish(mut self) -> Pieces {
        self.flush();
        self.done.into_iter().collect()
    }
}

impl<'s> Parser<'s> {
    /// A string or a raw string, and how high the expressions in its holes are.
    pub(super) fn text_of(&mut self, pair: Pair<'s>) -> Parsed<(Text, u32)> {
        let span = self.place(&pair);
        let raw = pair.as_rule() == Rule::raw;
        let span = self.span(span.range().start + 1..span.range().end - 1);
        let (mut pieces, mut height) = (Making::default(), 0);
        for part in pair.into_inner() {
            height = height.max(self.part(part, &mut pieces)?);
        }
        let form = if raw { TextForm::Raw } else { TextForm::Quoted };
        Ok((Text { pieces: pieces.finish(), span, form, indent: 0 }, height))
    }

    /// Adds one part of a string; the height of its expression, if it is a hole.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is left are the closing quotes")]
    fn part(&mut self, part: Pair<'s>, pieces: &mut Making) -> Parsed<u32> {
        match part.as_rule() {
            Rule::chars | Rule::raw_text => pieces.push(part.as_str()),
            Rule::dollar => pieces.push(part.as_str().strip_prefix("$$").map_or("$", |_| "${{")),
            Rule::escape => {
                let Some(c) = unescaped(part.as_str()) else {
                    let message = format!("`{}` is no character", part.as_str());
                    return Err(Box::new(Diagnostic::new(Code::InvalidString, self.place(&part), message)));
                };
                pieces.push(c.encode_utf8(&mut [0; 4]));
            }
            Rule::hole => {
                let span = self.place(&part);
                let mut inner = part.into_inner();
                let value = self.next(&mut inner)?;
                let (expr, height) = self.expression_and_height(value)?;
                pieces.hole(expr, span);
                return Ok(height);
            }
            _ => {}
        }
        Ok(0)
    }

    /// A string without holes, such as a title or a path.
    pub(super) fn plain_text(&mut self, pair: Pair<'s>) -> Parsed<Name> {
        let span = self.place(&pair);
        let (text, _) = self.text_of(pair)?;
        match &text.pieces[..] {
            [] => Ok(Spanned::new(Arc::default(), span)),
            [Piece::Literal(literal)] => Ok(Spanned::new(literal.clone(), span)),
            [..] => {
                let hole = text.pieces.iter().find_map(|piece| match piece {
                    Piece::Hole(_, span) => Some(*span),
                    Piece::Literal(_) => None,
                });
                let place = hole.unwrap_or(span).range();
                Err(Box::new(self.wrong(place, "this string can have no hole").label("must be known beforehand")))
            }
        }
    }

    /// `/.../`, with `\/` for a slash.
    pub(super) fn regex(&mut self, pair: Pair<'s>) -> Parsed<Arc<str>> {
        let mut inner = pair.into_inner();
        let text = self.next(&mut inner)?;
        Ok(text.as_str().replace("\\/", "/").into())
    }

    /// A whole number.
    pub(super) fn integer(&self, pair: &Pair<'s>) -> Parsed<i64> {
        pair.as_str().parse().map_err(|_| {
            let message = format!("`{}` is too large", pair.as_str());
            Box::new(Diagnostic::new(Code::LimitExceeded, self.place(pair), message))
        })
    }

    /// Where `$` code, or anything else that may stand in a one-line block, ends: at the end of the line, or before
    /// the `}` of the blocks that were opened on it. A comment may follow those, and behind `if` an `else`.
    pub(super) fn code_end(&self, at: usize) -> usize {
        let line = &self.text[at..self.content_end(at)];
        let whole = line.trim_end_matches([' ', '\t']);
        let blocks = self.opened_on_line(at);
        if blocks == 0 {
            return at + whole.len();
        }
        if self.then.is_some() && self.then == self.open.last().copied() {
            let ends = ["} else {", "} else if "].iter().filter_map(|end| line.find(end)).min();
            if let Some(end) = ends.filter(|end| line[..*end].ends_with([' ', '\t'])) {
                return at + line[..end].trim_end_matches([' ', '\t']).len();
            }
        }
        let comments = line.match_indices('#').map(|(at, _)| at).filter(|at| line[..*at].ends_with([' ', '\t']));
        let before_comment = comments.map(|at| line[..at].trim_end_matches([' ', '\t']));
        let tails = before_comment.filter(|tail| tail.ends_with('}'));
        at + tails.chain([whole]).find_map(|tail| before_braces(tail, blocks)).unwrap_or(whole.len())
    }

    /// One line of code.
    pub(super) fn line_text(&mut self, range: Range<usize>) -> Parsed<Text> {
        self.opaque(&range);
        let mut pieces = Making::default();
        let span = self.span(range.clone());
        self.holes(range, &mut pieces)?;
        Ok(Text { pieces: pieces.finish(), span, form: TextForm::Line, indent: 0 })
    }

    /// Adds a piece of code that stays on one line, with its holes.
    pub(super) fn holes(&mut self, range: Range<usize>, pieces: &mut Making) -> Parsed<()> {
        let mut from = range.start;
        let bytes = self.text.as_bytes();
        while let Some(found) = memchr::memmem::find(&bytes[from..range.end], b"${{") {
            let at = from + found;
            if at > from && bytes[at - 1] == b'$' {
                pieces.push(&self.text[from..at - 1]);
                pieces.push("${{");
                from = at + 3;
                continue;
            }
            pieces.push(&self.text[from..at]);
            self.at = at;
            let hole = self.read_within(Rule::hole, range.end);
            let hole = hole.inspect_err(|_| self.at = range.end)?;
            from = self.at;
            let span = self.place(&hole);
            let mut inner = hole.into_inner();
            let value = self.next(&mut inner)?;
            pieces.hole(self.expression(value)?, span);
        }
        pieces.push(&self.text[from..range.end]);
        self.at = range.end;
        Ok(())
    }
}

/// How much of `code` stands before its last ` }`s, of which there are at most so many.
fn before_braces(code: &str, blocks: usize) -> Option<usize> {
    let mut rest = code;
    let mut found = None;
    for _ in 0..blocks {
        let Some(shorter) = rest.strip_suffix('}') else { break };
        rest = shorter.trim_end_matches([' ', '\t']);
        if rest.len() < shorter.len() {
            found = Some(rest.len());
        }
    }
    found
}

/// The character that an escape stands for.
fn unescaped(escape: &str) -> Option<char> {
    match escape.as_bytes() {
        [_, b'n'] => Some('\n'),
        [_, b't'] => Some('\t'),
        [_, b'r'] => Some('\r'),
        [_, b'u', b'{', ..] => char::from_u32(u32::from_str_radix(&escape[3..escape.len() - 1], 16).ok()?),
        [_, c] => Some(char::from(*c)),
        _ => None,
    }
}
