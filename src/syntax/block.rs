//! Items and blocks: one statement after the other, whatever is wrong with those before.

use super::ast::{Block, Item, Statement};
use super::parser::{NESTING, Parser};
use super::recover::{self, Place};
use crate::diagnostic::{Code, Diagnostic};

/// Statements that stand at the top level and nowhere else.
pub(super) const TOP_LEVEL: &[&str] =
    &["scenario", "stream", "streams", "interpreter", "set", "param", "params", "task", "import", "on"];

/// Statements that stand in a block and nowhere else.
pub(super) const IN_BLOCK: &[&str] = &[
    "let", "start", "prepare", "stop", "trigger", "wait", "signal", "sync", "expect", "put", "get", "for", "if",
    "else", "retry", "repeat", "shell", "bash", "python", "exec",
];

/// Statements that stand in both.
pub(super) const ANYWHERE: &[&str] = &["barrier", "finally"];

/// The label under what stands in a block and should not.
pub(super) const NOT_HERE: &str = "no place for it inside a block";

impl Parser<'_> {
    /// The whole file.
    pub(super) fn items(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        loop {
            self.skip_space();
            if self.at >= self.text.len() {
                return items;
            }
            (self.abandoned, self.suspect) = (false, None);
            let start = self.at;
            match self.item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => {}
                Err(problem) => recover::skip(self, start, *problem, Place::Top),
            }
            debug_assert!(self.at > start, "every item takes at least a byte");
        }
    }

    /// The block whose `{` was just read.
    pub(super) fn block(&mut self) -> Block {
        let open = self.at - 1;
        if self.open.len() >= NESTING {
            return self.too_deep(open);
        }
        self.open.push(open);
        let mut statements = self.statements();
        self.open.pop();
        statements.shrink_to_fit();
        Block { statements, span: self.span(open..self.at.max(open + 1)) }
    }

    fn statements(&mut self) -> Vec<Statement> {
        let mut statements = Vec::new();
        let mut flush_left = None;
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'}') => {
                    self.close();
                    break;
                }
                Some(_) if !self.ends_here(*flush_left.get_or_insert(self.line_start(self.at) == self.at)) => {
                    statements.extend(self.guarded());
                }
                Some(_) | None => {
                    self.unclosed();
                    break;
                }
            }
        }
        statements.shrink_to_fit();
        statements
    }

    /// One statement, or none where it is bad.
    fn guarded(&mut self) -> Option<Statement> {
        let start = self.at;
        match self.statement() {
            Ok(statement) => statement,
            Err(problem) => {
                recover::skip(self, start, *problem, Place::Block);
                None
            }
        }
    }

    /// Steps over `}`; a block whose head stands further right than it is noted as a likely culprit.
    fn close(&mut self) {
        let indent = |parser: &Self, at: usize| {
            let start = parser.line_start(at);
            parser.text[start..].len() - parser.text[start..].trim_start_matches([' ', '\t']).len()
        };
        if let Some(open) = self.open.last().copied() {
            let start = self.line_start(self.at);
            let first = start + indent(self, self.at) == self.at;
            if first && self.suspect.is_none() && self.open.len() > 1 && indent(self, self.at) < indent(self, open) {
                self.suspect = Some(open);
            }
        }
        self.at += 1;
    }

    /// Whether what stands here can only belong to the top level: its keyword, at the start of a line, while the
    /// block's own statements are indented or could not be this.
    fn ends_here(&self, flush_left: bool) -> bool {
        if self.abandoned {
            return true;
        }
        if self.line_start(self.at) != self.at {
            return false;
        }
        let word = self.word(self.at);
        let next = self.text[self.at + word.len()..].trim_start_matches([' ', '\t']);
        if TOP_LEVEL.contains(&word) {
            return !next.starts_with('(');
        }
        !flush_left && (word == "finally" || word == "barrier" && states_parties(next))
    }

    fn unclosed(&mut self) {
        if self.abandoned {
            return;
        }
        let open = self.open.last().copied().unwrap_or_default();
        let open = if self.open.len() == 1 { self.suspect.take().unwrap_or(open) } else { open };
        let end = self.text[..self.at].trim_end().len().max(open + 1);
        let problem = Diagnostic::new(Code::UnclosedBlock, self.span(open..open + 1), "this block is not closed")
            .label("opened here")
            .other(self.before(end), "taken to end here")
            .help("close it with `}`");
        self.report(problem);
    }

    /// Says that blocks nest too deep.
    fn too_deep(&mut self, open: usize) -> Block {
        let message = format!("blocks nest more than {NESTING} deep");
        let problem = Diagnostic::new(Code::LimitExceeded, self.span(open..open + 1), message);
        self.abandon(problem.help("move the inner blocks to a task of their own"));
        Block { statements: Vec::new(), span: self.span(open..open + 1) }
    }

    /// Leaves the rest of the item unread.
    pub(super) fn abandon(&mut self, problem: Diagnostic) {
        self.report(problem);
        self.abandoned = true;
        self.at = recover::next_item(self.text, self.at);
    }

    /// Behind a `}` nothing may stand but the end of the line, a comment, or another `}`.
    pub(super) fn after_block(&mut self) {
        if !self.text[..self.at].ends_with('}') {
            return;
        }
        self.skip_blanks();
        let ends = self.peek().is_none_or(|byte| matches!(byte, b'\n' | b'#' | b'}'));
        if !ends && !self.rest().starts_with("\r\n") && !self.abandoned {
            let problem = recover::unexpected(self, self.at, "the end of the line");
            self.report(*problem);
            self.at = self.code_end(self.at);
        }
    }
}

/// Whether this is what follows `barrier` in `barrier NAME parties ...`.
fn states_parties(next: &str) -> bool {
    let name = next.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let second = name.trim_start_matches([' ', '\t']);
    name.len() < next.len() && second.starts_with("parties")
}
