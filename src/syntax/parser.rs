//! Where the reading stands: the text, the place in it, the open blocks, and what was found wrong so far.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use pest::Parser as _;
use pest::error::Error;

use super::ast::{Allow, Name};
use super::fence::Looked;
use super::grammar::{Grammar, Pair, Rule};
use super::{hygiene, recover};
use crate::diagnostic::{Code, Diagnostic, FileId, Span, Spanned};

/// What could be read, or the one problem that kept it from being read.
pub(super) type Parsed<T> = Result<T, Box<Diagnostic>>;

/// How many problems of a file are told; the rest is counted.
const SHOWN: usize = 50;

/// From how many problems on the rest is no longer put into words.
const COUNTED: usize = 4 * SHOWN;

/// How deep blocks may nest.
pub(super) const NESTING: usize = 64;

/// The reading of one text.
pub(super) struct Parser<'s> {
    pub(super) file: FileId,
    pub(super) text: &'s str,
    /// The next byte to read.
    pub(super) at: usize,
    /// Where the piece in hand starts: the grammar counts from there.
    pub(super) base: usize,
    /// The `{` of every open block, outermost first.
    pub(super) open: Vec<usize>,
    /// The `{` of the last block behind an `if`.
    pub(super) then: Option<usize>,
    /// A block that a `}` further left than its head closed: likely the one whose own `}` is missing.
    pub(super) suspect: Option<usize>,
    /// Blocks nest too deep: the rest of the item is not read.
    pub(super) abandoned: bool,
    /// Where the grammar last got stuck.
    pub(super) stuck: usize,
    /// The closing fences that were looked for, by their length.
    pub(super) fences: HashMap<usize, Looked>,
    problems: Vec<Diagnostic>,
    /// Problems beyond those in `problems`.
    uncounted: usize,
    names: HashMap<&'s str, Arc<str>>,
    allows: Vec<Allow>,
    /// Which of `allows` turned out to stand in code.
    code: Vec<bool>,
}

impl<'s> Parser<'s> {
    /// At the start of `text`, with what is already known to be wrong with it.
    pub(super) fn new(file: FileId, text: &'s str, problems: Vec<Diagnostic>) -> Self {
        let allows = hygiene::allows(file, text);
        let code = vec![false; allows.len()];
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self {
            file,
            text,
            at,
            base: at,
            open: Vec::new(),
            then: None,
            suspect: None,
            abandoned: false,
            stuck: at,
            fences: HashMap::new(),
            problems,
            uncounted: 0,
            names: HashMap::new(),
            allows,
            code,
        }
    }

    /// The allows that stand outside code, and the problems in source order.
    pub(super) fn finish(mut self) -> (Vec<Allow>, Vec<Diagnostic>) {
        let mut code = self.code.into_iter();
        self.allows.retain(|_| !code.next().unwrap_or_default());
        self.problems.sort_by_key(|problem| problem.span);
        self.problems.dedup();
        if self.problems.len() > SHOWN {
            let rest = self.problems.split_off(SHOWN);
            let message = format!("{} more problems in this file are not shown", rest.len() + self.uncounted);
            let help = "correct those above first: one mistake may be the cause of others";
            self.problems.push(Diagnostic::new(Code::LimitExceeded, rest[0].span, message).help(help));
        }
        (self.allows, self.problems)
    }

    /// Matches `rule` here and steps behind it; what the grammar finds wrong becomes a diagnostic.
    ///
    /// The grammar sees a few lines at first and more of them only where it wants more, because the price of an error
    /// is all of the text that it sees.
    pub(super) fn read(&mut self, rule: Rule) -> Parsed<Pair<'s>> {
        let mut reach = 64;
        loop {
            let limit = self.text.len().min(self.line_end(self.text.len().min(self.at + reach)) + 1);
            match self.attempt(rule, limit) {
                Err(error) if limit < self.text.len() && recover::position(&error) == limit - self.at => reach *= 8,
                done => return done.map_err(|error| recover::explain(self, &error)),
            }
        }
    }

    /// Like [`read`](Self::read), but sees nothing from `limit` on.
    pub(super) fn read_within(&mut self, rule: Rule, limit: usize) -> Parsed<Pair<'s>> {
        self.attempt(rule, limit).map_err(|error| recover::explain(self, &error))
    }

    fn attempt(&mut self, rule: Rule, limit: usize) -> Result<Pair<'s>, Box<Error<Rule>>> {
        self.base = self.at;
        let mut pairs = Grammar::parse(rule, &self.text[self.at..limit])?;
        let pair = pairs.next().expect("a rule that matches gives its own pair");
        self.at += pair.as_span().end();
        Ok(pair)
    }

    /// Records what is wrong; the reading goes on.
    pub(super) fn report(&mut self, problem: Diagnostic) {
        if self.is_full() {
            self.uncounted += 1;
        } else {
            self.problems.push(problem);
        }
    }

    /// Whether further problems are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= COUNTED
    }

    /// An `MS001` at these bytes.
    pub(super) fn wrong(&self, range: Range<usize>, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::new(Code::UnexpectedToken, self.span(range), message))
    }

    /// These bytes as a span.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    /// The character before this byte.
    pub(super) fn before(&self, end: usize) -> Span {
        self.span(self.text.floor_char_boundary(end.saturating_sub(1))..end)
    }

    /// Where a piece stands in the file.
    pub(super) fn place(&self, pair: &Pair<'s>) -> Span {
        let span = pair.as_span();
        self.span(self.base + span.start()..self.base + span.end())
    }

    /// A shared copy of a name.
    pub(super) fn intern(&mut self, name: &'s str) -> Arc<str> {
        self.names.entry(name).or_insert_with(|| name.into()).clone()
    }

    /// A piece that is a plain name.
    pub(super) fn name(&mut self, pair: &Pair<'s>) -> Name {
        Spanned::new(self.intern(pair.as_str()), self.place(pair))
    }

    /// Marks a text as code: an `allow` in it is none of ours.
    pub(super) fn opaque(&mut self, range: &Range<usize>) {
        let start = self.allows.partition_point(|allow| allow.span.range().start < range.start);
        let inside = self.allows[start..].iter().take_while(|allow| allow.span.range().start < range.end).count();
        self.code[start..start + inside].fill(true);
    }
}

/// The text around the place in hand, as lines and words.
impl<'s> Parser<'s> {
    /// What is left to read.
    pub(super) fn rest(&self) -> &'s str {
        &self.text[self.at..]
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over blanks.
    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Steps over blanks, line ends and comments.
    pub(super) fn skip_space(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n') => self.at += 1,
                Some(b'\r') if self.rest().starts_with("\r\n") => self.at += 2,
                Some(b'#') => self.at = self.line_end(self.at),
                Some(_) | None => return,
            }
        }
    }

    /// Where the line with this byte starts.
    pub(super) fn line_start(&self, at: usize) -> usize {
        memchr::memrchr(b'\n', &self.text.as_bytes()[..at]).map_or(0, |newline| newline + 1)
    }

    /// Where the line with this byte ends: at its line feed, or at the end of the text.
    pub(super) fn line_end(&self, at: usize) -> usize {
        memchr::memchr(b'\n', &self.text.as_bytes()[at..]).map_or(self.text.len(), |length| at + length)
    }

    /// Where the content of the line with this byte ends: before a carriage return as well.
    pub(super) fn content_end(&self, at: usize) -> usize {
        let end = self.line_end(at);
        if end > at && self.text.as_bytes()[end - 1] == b'\r' { end - 1 } else { end }
    }

    /// The word at this byte; empty where none starts there.
    pub(super) fn word(&self, at: usize) -> &'s str {
        let bytes = &self.text.as_bytes()[at..];
        let starts = bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = if starts { bytes.iter().take_while(|byte| belongs(byte)).count() } else { 0 };
        &self.text[at..at + length]
    }

    /// How many of the open blocks were opened on the line with this byte.
    pub(super) fn opened_on_line(&self, at: usize) -> usize {
        let Some(last) = self.open.last() else { return 0 };
        if memchr::memchr(b'\n', &self.text.as_bytes()[*last..at]).is_some() {
            return 0;
        }
        let start = self.line_start(at);
        self.open.iter().rev().take_while(|open| **open >= start).count()
    }
}
