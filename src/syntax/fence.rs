//! Text between fences: where it ends, and the indentation that its lines share.

use std::ops::Range;

use super::ast::{Text, TextForm};
use super::block::{ANYWHERE, IN_BLOCK, TOP_LEVEL};
use super::grammar::Pair;
use super::parser::{Parsed, Parser};
use super::text::Making;
use crate::diagnostic::{Code, Diagnostic};

/// A closing fence that was looked for: from where, and the start of its line if there is one.
pub(super) struct Looked {
    from: usize,
    found: Option<usize>,
}

impl<'s> Parser<'s> {
    /// The text behind an opening fence; steps behind the closing one.
    pub(super) fn fence(&mut self, opening: &Pair<'s>) -> Parsed<Text> {
        let opening = self.place(opening).range();
        let lines = self.fenced_lines(&opening)?;
        let after = self.at;
        let text = self.dedented(lines);
        self.at = after;
        Ok(text)
    }

    /// The bytes of the lines between an opening fence and its closing one.
    pub(super) fn fenced_lines(&mut self, opening: &Range<usize>) -> Parsed<Range<usize>> {
        let start = (self.line_end(opening.end) + 1).min(self.text.len());
        let Some(close) = self.closing(start, opening.len()) else {
            let end = self.likely_end(opening.start, start);
            return Err(self.unclosed_fence(opening, end));
        };
        let edge = indentation(&self.text[close..]);
        if let Some(left) = self.first_outdented(start..close, edge) {
            if self.is_structure(left) {
                return Err(self.unclosed_fence(opening, left));
            }
            let ticks = close + edge..close + edge + opening.len();
            let end = self.content_end(left);
            let problem = Diagnostic::new(
                Code::BodyOutdented,
                self.span(left..end),
                "this line stands left of its closing fence",
            )
            .other(self.span(ticks), "the closing fence")
            .help("indent the line, or move the fence to the left");
            self.report(problem);
        }
        self.at = self.content_end(close);
        Ok(start..close)
    }

    /// The start of the first line from `start` on that is a fence of at least so many backticks.
    fn closing(&mut self, start: usize, ticks: usize) -> Option<usize> {
        if let Some(looked) = self.fences.get(&ticks)
            && looked.from <= start
            && looked.found.is_none_or(|found| found >= start)
        {
            return looked.found;
        }
        let mut at = start;
        let found = loop {
            if at >= self.text.len() {
                break None;
            }
            let line = self.text[at..self.line_end(at)].trim_matches([' ', '\t', '\r']);
            if line.len() >= ticks && line.bytes().all(|byte| byte == b'`') {
                break Some(at);
            }
            at = self.line_end(at) + 1;
        };
        self.fences.insert(ticks, Looked { from: start, found });
        found
    }

    fn unclosed_fence(&mut self, opening: &Range<usize>, end: usize) -> Box<Diagnostic> {
        self.at = end;
        let last = self.text[..end].trim_end().len().max(opening.end);
        let fence = "`".repeat(opening.len());
        Box::new(
            Diagnostic::new(Code::UnclosedFence, self.span(opening.clone()), "this fence is not closed")
                .label("opened here")
                .other(self.before(last), "likely meant to end here")
                .help(format!("close it with {fence} on a line of its own")),
        )
    }

    /// Where code that nothing closes was likely meant to end: before the first line that is not indented further than
    /// its statement and looks like one itself.
    fn likely_end(&self, statement: usize, start: usize) -> usize {
        let edge = indentation(&self.text[self.line_start(statement)..]);
        let mut at = start;
        while at < self.text.len() {
            let indent = indentation(&self.text[at..]);
            let word = self.word(at + indent);
            let next = self.text.as_bytes().get(at + indent);
            let known = TOP_LEVEL.contains(&word) || IN_BLOCK.contains(&word) || ANYWHERE.contains(&word);
            if indent <= edge && (known || matches!(next, Some(b'}' | b'$'))) {
                return at;
            }
            at = self.line_end(at) + 1;
        }
        self.text.len()
    }

    /// The first line with content that is indented less than `edge`.
    fn first_outdented(&self, lines: Range<usize>, edge: usize) -> Option<usize> {
        let mut at = lines.start;
        while edge > 0 && at < lines.end {
            let end = self.line_end(at);
            let indent = indentation(&self.text[at..end]);
            if indent < edge && !self.text[at + indent..end].trim().is_empty() {
                return Some(at);
            }
            at = end + 1;
        }
        None
    }

    /// Whether a line looks like the scenario's own: a lone `}`, or a keyword of the top level.
    fn is_structure(&self, at: usize) -> bool {
        let line = self.text[at..self.line_end(at)].trim();
        line == "}" || TOP_LEVEL.contains(&self.word(at)) && !line.contains('(') || self.word(at) == "stream"
    }

    /// The lines without the indentation that they share, joined with line feeds. A bad hole leaves its statement, for
    /// others rely on it.
    fn dedented(&mut self, lines: Range<usize>) -> Text {
        self.opaque(&lines);
        let shared = shared_indentation(&self.text[lines.clone()]);
        let mut pieces = Making::default();
        let mut at = lines.start;
        while at < lines.end {
            let (end, next) = (self.content_end(at), self.line_end(at) + 1);
            let blank = self.text[at..end].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let read = self.holes(at + shared.min(blank)..end, &mut pieces);
            self.kept(read);
            pieces.push("\n");
            at = next;
        }
        let span = self.span(lines);
        let indent = u32::try_from(shared).unwrap_or(u32::MAX);
        Text { pieces: pieces.finish(), span, form: TextForm::Fenced, indent }
    }
}

/// The bytes of blanks that a line starts with.
fn indentation(line: &str) -> usize {
    line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The bytes of blanks that all lines with content start with.
fn shared_indentation(text: &str) -> usize {
    let mut shared: Option<&str> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let own = &line[..indentation(line)];
        let common = shared.map_or(own.len(), |shared| {
            shared.bytes().zip(own.bytes()).take_while(|(left, right)| left == right).count()
        });
        shared = Some(&own[..common]);
    }
    shared.map_or(0, str::len)
}
