//! Shell code, read for one question only: in what quoting does a hole stand? Where `sh` and bash differ, the
//! stricter answer counts.

mod frame;

use frame::{Code, Delimiter, Document, Frame, QUOTED, Stage};

use super::embed::{Quoting, Unsafe};

/// Reads shell code.
pub(super) struct Reader {
    /// What it is inside of, innermost last; the first is the code itself.
    frames: Vec<Frame>,
    /// Here-documents whose lines come after the line at hand.
    pending: Vec<Document>,
    /// Whether a backslash stands just before.
    escaped: bool,
    /// Whether a `$` stands just before.
    dollar: bool,
    /// Whether shells differ on where the quotes end that stand before.
    doubtful: bool,
    /// A hole that a later word showed to be arithmetic.
    regretted: Option<usize>,
}

impl Default for Reader {
    fn default() -> Self {
        let frames = vec![Frame::Code(Code::commands())];
        Self { frames, pending: Vec::new(), escaped: false, dollar: false, doubtful: false, regretted: None }
    }
}

impl Quoting for Reader {
    fn literal(&mut self, text: &str) {
        (self.escaped, self.dollar) = (false, false);
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            rest = &rest[self.step(rest, next)..];
        }
    }

    fn hole(&mut self, number: usize) -> Result<String, Unsafe> {
        let (escaped, dollar) = (std::mem::take(&mut self.escaped), std::mem::take(&mut self.dollar));
        let reference = self.reference(number);
        match () {
            () if escaped => Err(Unsafe::Backslash),
            () if dollar => Err(Unsafe::Dollar),
            () if self.doubtful => Err(Unsafe::NestedQuote),
            () => reference,
        }
    }

    fn regretted(&mut self) -> Option<(usize, Unsafe)> {
        self.regretted.take().map(|number| (number, Unsafe::Compared))
    }
}

/// How a reference is written.
#[derive(Clone, Copy)]
enum Form {
    /// Where nothing is quoted.
    Bare,
    /// Where double quotes hold already.
    Double,
    /// Where single quotes have to be left for it.
    Single,
}

impl Form {
    fn reference(self, number: usize) -> String {
        match self {
            Self::Bare => format!("\"$MS_{number}\""),
            Self::Double => format!("${{MS_{number}}}"),
            Self::Single => format!("'\"$MS_{number}\"'"),
        }
    }
}

impl Reader {
    /// The reference for a hole here. What surrounds the innermost frame has a say as far as the next code.
    fn reference(&mut self, number: usize) -> Result<String, Unsafe> {
        let form = self.form();
        let (inner, outer) = self.frames.split_last_mut().ok_or(Unsafe::Unknown)?;
        let mut allowed = Ok(());
        for frame in std::iter::once(inner).chain(outer.iter_mut().rev()) {
            match frame {
                Frame::Code(code) => {
                    allowed = allowed.and(code.hole(number));
                    break;
                }
                Frame::Document(_, line) => {
                    line.push(QUOTED);
                    break;
                }
                Frame::Arithmetic(..) => allowed = allowed.and(Err(Unsafe::Arithmetic)),
                Frame::Parameter(stage, _) => allowed = allowed.and(stage.refuses()),
                Frame::Comment => break,
                Frame::Double | Frame::Single | Frame::DollarSingle | Frame::Backticks | Frame::Delimiter(_) => {}
            }
        }
        allowed.and(form).map(|form| form.reference(number))
    }

    /// The form that the innermost frame asks for.
    fn form(&self) -> Result<Form, Unsafe> {
        let mut frames = self.frames.iter().rev();
        let (inner, outer) = (frames.next(), frames.next());
        match (inner, outer) {
            (Some(Frame::Double | Frame::Single), Some(Frame::Parameter(_, true)))
            | (Some(Frame::Parameter(Stage::Pattern, true)), Some(Frame::Document(..))) => Err(Unsafe::NestedQuote),
            (Some(Frame::Document(document, _)), _) if document.quoted => Err(Unsafe::QuotedDocument),
            (
                Some(
                    Frame::Code(_) | Frame::Comment | Frame::Parameter(Stage::Pattern, _) | Frame::Parameter(_, false),
                )
                | None,
                _,
            ) => Ok(Form::Bare),
            (Some(Frame::Double | Frame::Document(..) | Frame::Parameter(_, true)), _) => Ok(Form::Double),
            (Some(Frame::Single), _) => Ok(Form::Single),
            (Some(Frame::DollarSingle), _) => Err(Unsafe::DollarQuote),
            (Some(Frame::Backticks), _) => Err(Unsafe::Backticks),
            (Some(Frame::Arithmetic(..)), _) => Err(Unsafe::Arithmetic),
            (Some(Frame::Delimiter(_)), _) => Err(Unsafe::Delimiter),
        }
    }

    /// Goes over what `next` starts, and says how many bytes of `rest` that was.
    fn step(&mut self, rest: &str, next: char) -> usize {
        let Some(frame) = self.frames.last_mut() else { return rest.len() };
        match (frame, next) {
            (Frame::Code(_), _) => return self.code(rest, next),
            (Frame::Delimiter(delimiter), _) => {
                if !delimiter.takes(next) {
                    self.pending.push(std::mem::take(&mut delimiter.document));
                    self.frames.pop();
                    return 0;
                }
            }
            (Frame::Document(document, line), '\n') => {
                let tabs = if document.tabs { line.len() - line.trim_start_matches('\t').len() } else { 0 };
                if line[tabs..] == document.end {
                    self.frames.pop();
                } else {
                    line.clear();
                }
            }
            (Frame::Document(document, line), _) if document.quoted || !matches!(next, '\\' | '$' | '`') => {
                line.push(next);
            }
            (Frame::Comment, '\n') => {
                self.frames.pop();
                return 0;
            }
            (Frame::Single | Frame::DollarSingle, '\'') | (Frame::Double, '"') | (Frame::Backticks, '`') => {
                self.frames.pop();
            }
            (Frame::Single | Frame::Comment, _) | (Frame::DollarSingle | Frame::Backticks, '$' | '"' | '\'' | '`') => {}
            (_, '\\') => return self.escape(rest),
            (Frame::DollarSingle | Frame::Backticks, _) => {}
            (_, '`') => self.enter(Frame::Backticks),
            (Frame::Double | Frame::Document(..), '$') => return self.dollar(rest, true),
            (Frame::Double | Frame::Document(..), _) => {}
            (Frame::Arithmetic(..), _) => return self.arithmetic(rest, next),
            (Frame::Parameter(..), _) => return self.parameter(rest, next),
        }
        next.len_utf8()
    }

    fn code(&mut self, rest: &str, next: char) -> usize {
        let Some(Frame::Code(code)) = self.frames.last_mut() else { return rest.len() };
        match next {
            '\\' => {
                code.word.push(QUOTED);
                return self.escape(rest);
            }
            '$' => return self.dollar(rest, false),
            '\'' => self.enter(Frame::Single),
            '"' => self.enter(Frame::Double),
            '`' => self.enter(Frame::Backticks),
            '#' if code.word.is_empty() => self.frames.push(Frame::Comment),
            '(' => return self.open(rest),
            ')' => self.close(),
            '\n' => {
                self.regretted = code.end_command().or(self.regretted);
                let documents = self.pending.drain(..).rev();
                self.frames.extend(documents.map(|document| Frame::Document(document, String::new())));
            }
            ';' if rest.starts_with(";;") || rest.starts_with(";&") => {
                code.next_pattern();
                return 2;
            }
            ';' | '&' | '|' => self.regretted = code.end_command().or(self.regretted),
            ' ' | '\t' | '<' | '>' => {
                self.regretted = code.end_word().or(self.regretted);
                if rest.starts_with("<<<") {
                    return 3;
                }
                if let Some(after) = rest.strip_prefix("<<") {
                    let tabs = after.starts_with('-');
                    self.frames.push(Frame::Delimiter(Delimiter::new(tabs)));
                    return 2 + usize::from(tabs);
                }
            }
            _ => code.word.push(next),
        }
        next.len_utf8()
    }

    /// `(`: a group, the elements of an array, arithmetic, or a part of `case` or `[[ ]]`.
    fn open(&mut self, rest: &str) -> usize {
        let Some(Frame::Code(code)) = self.frames.last_mut() else { return 1 };
        if code.test || (code.in_pattern() && code.word.is_empty()) {
            self.regretted = code.end_word().or(self.regretted);
            return 1;
        }
        if rest.starts_with("((") && code.starts() {
            self.frames.push(Frame::Arithmetic('(', 2));
            return 2;
        }
        let group = code.group();
        if !code.word.is_empty() {
            code.word.push(QUOTED);
        }
        self.frames.push(Frame::Code(group));
        1
    }

    fn close(&mut self) {
        let Some(Frame::Code(code)) = self.frames.last_mut() else { return };
        if code.test {
            self.regretted = code.end_word().or(self.regretted);
            return;
        }
        let empty = code.is_empty();
        code.end_word();
        if code.in_pattern() {
            code.end_pattern();
        } else if self.frames.len() > 1 {
            self.frames.pop();
            if let Some(Frame::Code(outer)) = self.frames.last_mut().filter(|_| empty) {
                outer.function();
            }
        }
    }

    /// A backslash and what it escapes.
    fn escape(&mut self, rest: &str) -> usize {
        if let Some(Frame::Document(_, line)) = self.frames.last_mut() {
            line.push(QUOTED);
        }
        let next = rest[1..].chars().next();
        self.escaped = next.is_none();
        1 + next.map_or(0, char::len_utf8)
    }

    /// A `$` and what makes it special.
    fn dollar(&mut self, rest: &str, quoted: bool) -> usize {
        self.mark();
        let mut after = rest[1..].chars();
        match (after.next(), after.next()) {
            (None, _) => self.dollar = true,
            (Some('('), Some('(')) => {
                self.frames.push(Frame::Arithmetic('(', 2));
                return 3;
            }
            (Some('('), _) => self.frames.push(Frame::Code(Code::commands())),
            (Some('{'), _) => self.frames.push(Frame::Parameter(Stage::Start, quoted)),
            (Some('['), _) => self.frames.push(Frame::Arithmetic('[', 1)),
            (Some('\''), _) if !quoted => self.frames.push(Frame::DollarSingle),
            (Some('$' | '#' | '!' | '?' | '-' | '@' | '*' | '0'..='9'), _) => {}
            (Some(_), _) => return 1,
        }
        rest.len().min(2)
    }

    fn arithmetic(&mut self, rest: &str, next: char) -> usize {
        let Some(Frame::Arithmetic(opener, open)) = self.frames.last_mut() else { return 1 };
        let closer = if *opener == '(' { ')' } else { ']' };
        match next {
            '$' => return self.dollar(rest, false),
            '"' => self.enter(Frame::Double),
            '\'' => self.enter(Frame::Single),
            _ if next == *opener => *open += 1,
            _ if next == closer && *open > 1 => *open -= 1,
            _ if next == closer => drop(self.frames.pop()),
            _ => {}
        }
        next.len_utf8()
    }

    fn parameter(&mut self, rest: &str, next: char) -> usize {
        let Some(Frame::Parameter(stage, quoted)) = self.frames.last_mut() else { return 1 };
        let quoted = *quoted;
        match (*stage, next) {
            (_, '}') => drop(self.frames.pop()),
            (Stage::Start | Stage::Name | Stage::Colon, _) => *stage = stage.after(next),
            (_, '$') => return self.dollar(rest, quoted),
            (_, '"') => self.enter(Frame::Double),
            // Within double quotes these are plain characters; bash alone wants them in pairs, and skips what is between.
            (Stage::Word, '\'') if quoted => {
                let skipped = rest[1..].split_once('\'').map_or("", |(skipped, _)| skipped);
                self.doubtful |= skipped.contains(['"', '}']);
            }
            (_, '\'') => self.enter(Frame::Single),
            (Stage::Subscript | Stage::Word | Stage::Pattern | Stage::Offset, _) => *stage = stage.after(next),
        }
        next.len_utf8()
    }

    /// Something that is no plain character starts here.
    fn enter(&mut self, frame: Frame) {
        self.mark();
        self.frames.push(frame);
    }

    fn mark(&mut self) {
        match self.frames.last_mut() {
            Some(Frame::Code(code)) => code.word.push(QUOTED),
            Some(Frame::Document(_, line)) => line.push(QUOTED),
            _ => {}
        }
    }
}
