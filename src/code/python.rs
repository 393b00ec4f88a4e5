//! Python code, read for one question only: does a hole stand where an expression can?

use super::embed::{Quoting, Unsafe};

/// What the reader is inside of, innermost last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Frame {
    /// Statements and expressions.
    Code,
    /// From `#` to the end of the line.
    Comment,
    /// A string.
    Text(Quote),
    /// The expression between the braces of an f-string: how many brackets are open in it.
    Field(u32),
    /// What stands after the `:` of a field.
    Format,
}

/// How a string is delimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Quote {
    mark: char,
    triple: bool,
    /// Whether `{` starts a field.
    fields: bool,
}

/// The list of all values, as the code names it. Such names are Python's own, so nobody's variable is called so.
const VALUES: &str = "__mstream__";

/// Reads Python code.
pub(super) struct Reader {
    frames: Vec<Frame>,
    /// The letters and digits just before.
    word: String,
    /// The hole just before, if nothing stands between.
    hole: Option<usize>,
    regretted: Option<(usize, Unsafe)>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { frames: vec![Frame::Code], word: String::new(), hole: None, regretted: None }
    }
}

impl Quoting for Reader {
    fn literal(&mut self, text: &str) {
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let glued = self.hole.take().filter(|_| next.is_alphanumeric() || next == '_');
            if let Some(number) = glued.filter(|_| self.expression()) {
                self.regretted = Some((number, Unsafe::PythonName));
            }
            let taken = self.step(rest, next);
            rest = &rest[taken..];
        }
    }

    fn hole(&mut self, number: usize) -> Result<String, Unsafe> {
        let glued = !self.word.is_empty() || self.hole.is_some();
        match self.frames.last() {
            Some(Frame::Text(_)) => return Err(Unsafe::PythonString),
            Some(Frame::Format) => return Err(Unsafe::PythonField),
            Some(Frame::Code | Frame::Field(_)) | None if glued => return Err(Unsafe::PythonName),
            Some(Frame::Code | Frame::Field(_) | Frame::Comment) | None => {}
        }
        self.hole = Some(number);
        Ok(format!("{VALUES}[{}]", number - 1))
    }

    fn regretted(&mut self) -> Option<(usize, Unsafe)> {
        self.regretted.take()
    }
}

impl Reader {
    fn expression(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Code | Frame::Field(_)) | None)
    }

    /// Goes over what starts with `next`, and says how many bytes that was.
    fn step(&mut self, rest: &str, next: char) -> usize {
        match self.frames.last().copied() {
            Some(Frame::Comment) => {
                if next == '\n' {
                    self.frames.pop();
                }
                next.len_utf8()
            }
            Some(Frame::Text(quote)) => self.text(rest, next, quote),
            Some(Frame::Format) => self.format(next),
            Some(Frame::Field(open)) => self.field(rest, next, open),
            Some(Frame::Code) | None => self.code(rest, next),
        }
    }

    fn code(&mut self, rest: &str, next: char) -> usize {
        let word = std::mem::take(&mut self.word);
        match next {
            '#' => self.frames.push(Frame::Comment),
            '"' | '\'' => {
                let prefix = word.to_ascii_lowercase();
                let fields = prefix.len() <= 2 && prefix.contains(['f', 't']);
                let triple = rest[1..].starts_with([next]) && rest[2..].starts_with([next]);
                self.frames.push(Frame::Text(Quote { mark: next, triple, fields }));
                return if triple { 3 } else { 1 };
            }
            _ if next.is_alphanumeric() || matches!(next, '_' | '.') => {
                self.word = word;
                self.word.push(next);
            }
            _ => {}
        }
        next.len_utf8()
    }

    fn text(&mut self, rest: &str, next: char, quote: Quote) -> usize {
        let length = if quote.triple { 3 } else { 1 };
        if rest.chars().take_while(|it| *it == quote.mark).take(length).count() == length {
            self.frames.pop();
            return length;
        }
        match next {
            // In a raw string too, a quote after a backslash does not end it.
            '\\' => return 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '\n' if !quote.triple => {
                self.frames.pop();
            }
            '{' if quote.fields && rest.starts_with("{{") => return 2,
            '{' if quote.fields => self.frames.push(Frame::Field(0)),
            _ => {}
        }
        next.len_utf8()
    }

    fn field(&mut self, rest: &str, next: char, open: u32) -> usize {
        let at = self.frames.len() - 1;
        match next {
            '(' | '[' | '{' => self.frames[at] = Frame::Field(open + 1),
            ')' | ']' | '}' if open > 0 => self.frames[at] = Frame::Field(open - 1),
            '}' => {
                self.frames.pop();
            }
            ':' if open == 0 => self.frames[at] = Frame::Format,
            _ => return self.code(rest, next),
        }
        self.word.clear();
        1
    }

    fn format(&mut self, next: char) -> usize {
        match next {
            '{' => self.frames.push(Frame::Field(0)),
            '}' | '\n' => {
                self.frames.pop();
            }
            _ => {}
        }
        next.len_utf8()
    }
}
