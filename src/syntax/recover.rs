//! Mistakes: what is said about them, and where the reading goes on.

use std::ops::Range;

use pest::error::{Error, ErrorVariant, InputLocation};

use super::block::{ANYWHERE, IN_BLOCK, TOP_LEVEL};
use super::grammar::{Rule, words};
use super::parser::{NESTING, Parser};
use crate::diagnostic::{Code, Diagnostic, similar};

/// Where a bad statement stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the top level.
    Top,
    /// In a block.
    Block,
}

/// Statements with which a block starts.
const BLOCKS: &[&str] = &["on", "task", "finally", "for", "if", "else", "retry", "repeat"];

/// How far a bad statement is followed over lines in the hope that its brackets close.
const FOLLOWED: usize = 40;

/// Reports what is wrong with the statement at `start` and steps to where the next one is likely to start.
pub(super) fn skip(parser: &mut Parser<'_>, start: usize, problem: Diagnostic, place: Place) {
    parser.report(problem);
    if parser.at > start {
        return;
    }
    let stuck = parser.stuck.clamp(start, parser.text.len());
    let line = parser.line_start(stuck);
    if line > start && starts_statement(parser, line) {
        parser.at = line;
        return;
    }
    if place == Place::Block && line <= start && parser.opened_on_line(start) > 0 {
        let next = start + parser.text[start..].chars().next().map_or(1, char::len_utf8);
        let end = parser.code_end(start).max(next);
        if !parser.text[..end].ends_with('{') {
            parser.at = end;
            return;
        }
    }
    skip_lines(parser, start, stuck);
}

fn skip_lines(parser: &mut Parser<'_>, start: usize, stuck: usize) {
    let end = parser.content_end(stuck).max(start + 1);
    let code = without_comment(&parser.text[start..end]).trim_end();
    let word = parser.word(start);
    let known = TOP_LEVEL.contains(&word) || IN_BLOCK.contains(&word) || ANYWHERE.contains(&word);
    if let Some(fence) = opening(code) {
        let fence = start + fence.start..start + fence.end;
        parser.at = end;
        if let Err(problem) = parser.fenced_lines(&fence) {
            parser.report(*problem);
        }
    } else if code.ends_with('{') && (BLOCKS.contains(&word) || !known) {
        parser.at = start + code.len();
        parser.block();
        parser.after_block();
    } else {
        parser.at = balanced_end(parser, start, end).max(start + 1);
    }
}

/// The backticks at the end of a bad line that were meant to open a fence; behind them the name of a language, as it
/// stands in other texts.
fn opening(code: &str) -> Option<Range<usize>> {
    let at = code.find("```")?;
    let name = code[at..].trim_start_matches('`');
    name.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| at..code.len() - name.len())
}

/// The end of the line on which the brackets of a statement are closed; `end` where they are not.
fn balanced_end(parser: &Parser<'_>, start: usize, end: usize) -> usize {
    let mut scan = Brackets::default();
    scan.read(&parser.text[start..end], start);
    let mut at = end;
    for _ in 0..if parser.is_full() { 0 } else { FOLLOWED } {
        let next = parser.line_end(at) + 1;
        if scan.open.is_empty() || next >= parser.text.len() || starts_statement(parser, next) {
            break;
        }
        at = parser.content_end(next).max(next);
        scan.read(&parser.text[next..at], next);
        if scan.open.is_empty() {
            return at;
        }
    }
    end
}

/// Whether a line starts as statements do.
fn starts_statement(parser: &Parser<'_>, line: usize) -> bool {
    let indent = parser.text[line..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let at = line + indent;
    let word = parser.word(at);
    let assigns = parser.text[at + word.len()..].trim_start_matches([' ', '\t']).starts_with('=');
    let known = TOP_LEVEL.contains(&word) || IN_BLOCK.contains(&word) || ANYWHERE.contains(&word);
    known && !assigns || parser.text[at..].starts_with("$ ")
}

/// The start of the next line with a keyword of the top level.
pub(super) fn next_item(text: &str, from: usize) -> usize {
    let lines = memchr::memchr_iter(b'\n', &text.as_bytes()[from..]).map(|newline| from + newline + 1);
    let is_item = |at: &usize| {
        let rest = &text[*at..];
        let word = &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())];
        TOP_LEVEL.contains(&word)
    };
    lines.into_iter().find(is_item).unwrap_or(text.len())
}

/// The brackets and strings that are open somewhere in a statement.
#[derive(Default)]
struct Brackets {
    open: Vec<usize>,
}

impl Brackets {
    /// Reads a piece of text that starts at `offset`; the start of a string that it leaves open.
    fn read(&mut self, text: &str, offset: usize) -> Option<usize> {
        let mut quote = None;
        let mut bytes = text.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match (byte, quote) {
                (b'\\', Some((b'"', _))) => {
                    bytes.next();
                }
                (b'\n', Some(_)) => quote = None,
                (b'"' | b'\'', None) => quote = Some((byte, offset + at)),
                (_, Some((mark, _))) if byte == mark => quote = None,
                (b'(' | b'[' | b'{', None) => self.open.push(offset + at),
                (b')' | b']' | b'}', None) => {
                    self.open.pop();
                }
                _ => {}
            }
        }
        quote.map(|(_, at)| at)
    }
}

fn without_comment(line: &str) -> &str {
    line.find(" #").map_or(line, |at| &line[..at])
}

/// The byte at which the grammar got stuck, counted from where it started.
pub(super) fn position(error: &Error<Rule>) -> usize {
    let (InputLocation::Pos(at) | InputLocation::Span((at, _))) = error.location;
    at
}

/// What the grammar found wrong, in words.
pub(super) fn explain(parser: &mut Parser<'_>, error: &Error<Rule>) -> Box<Diagnostic> {
    let at = parser.base + position(error);
    parser.stuck = at;
    if parser.is_full() {
        return parser.wrong(at..at, "");
    }
    let expected: &[Rule] = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        ErrorVariant::CustomError { .. } => &[],
    };
    if expected.contains(&Rule::room) {
        let message = format!("brackets nest more than {NESTING} deep");
        let problem = Diagnostic::new(Code::LimitExceeded, parser.span(at..at), message);
        return Box::new(problem.help("name a part of it with `let`"));
    }
    if let Some(problem) = unclosed_hole(parser, at, expected) {
        return problem;
    }
    let quotes = [Rule::string_end, Rule::raw_end, Rule::regex_end];
    if let Some(quote) = quotes.into_iter().find(|quote| expected.contains(quote)) {
        return bad_string(parser, quote, at);
    }
    unclosed_bracket(parser, at).unwrap_or_else(|| unexpected(parser, at, &listed(expected)))
}

/// A hole whose `}}` is missing on its line.
fn unclosed_hole(parser: &Parser<'_>, at: usize, expected: &[Rule]) -> Option<Box<Diagnostic>> {
    let relevant = [Rule::hole_end, Rule::string_end].iter().any(|rule| expected.contains(rule));
    if !relevant || at < parser.content_end(at) {
        return None;
    }
    let line = parser.line_start(at).max(parser.base);
    let hole = line + parser.text[line..at].rfind("${{")?;
    let span = parser.span(hole..at);
    let closed = parser.text[hole..at].contains("}}");
    let problem = Diagnostic::new(Code::InvalidString, span, "this hole is not closed");
    (!closed).then(|| Box::new(problem.label("no `}}` before the end of the line")))
}

fn bad_string(parser: &Parser<'_>, quote: Rule, at: usize) -> Box<Diagnostic> {
    let rest = &parser.text[at..];
    if quote == Rule::string_end && rest.starts_with('\\') {
        let escape: String = rest.chars().take(2).filter(|c| !c.is_control()).collect();
        let span = parser.span(at..at + escape.len());
        let problem = Diagnostic::new(Code::InvalidString, span, format!("`{escape}` is no escape"));
        let help = "write `\\\\` for a backslash, or put the text in '...', where nothing is special";
        return Box::new(problem.label("known are \\n \\t \\r \\\\ \\\" \\u{...}").help(help));
    }
    let mark = if quote == Rule::regex_end {
        '/'
    } else if quote == Rule::raw_end {
        '\''
    } else {
        '"'
    };
    let line = parser.line_start(at).max(parser.base);
    let open = Brackets::default().read(&parser.text[line..at], line).filter(|_| mark != '/');
    let open = open.or_else(|| parser.text[line..at].find(mark).map(|open| line + open)).unwrap_or(at);
    let what = if mark == '/' { "regex" } else { "string" };
    let close = parser.content_end(at).min(at).max(open + 1);
    let problem = Diagnostic::new(Code::InvalidString, parser.span(open..close), format!("this {what} is not closed"));
    Box::new(problem.label(format!("no `{mark}` before the end of the line")))
}

/// Where a later line stops the reading and looks like a statement, the bracket before it was left open.
fn unclosed_bracket(parser: &Parser<'_>, at: usize) -> Option<Box<Diagnostic>> {
    let line = parser.line_start(at);
    if line <= parser.base || !starts_statement(parser, line) {
        return None;
    }
    let mut scan = Brackets::default();
    scan.read(&parser.text[parser.base..at], parser.base);
    let open = *scan.open.last()?;
    let bracket = &parser.text[open..=open];
    let problem = parser.wrong(open..open + 1, format!("this `{bracket}` is not closed")).label("opened here");
    Some(Box::new(problem.other(parser.span(at..at), "must be closed before this")))
}

/// An `MS001` for what stands at this byte.
pub(super) fn unexpected(parser: &Parser<'_>, at: usize, expected: &str) -> Box<Diagnostic> {
    let (found, length) = token(parser, at);
    let problem = parser.wrong(at..at + length, format!("{found} cannot stand here"));
    let problem = if expected.is_empty() { *problem } else { problem.label(format!("expected {expected}")) };
    let rest = &parser.text[at..];
    let tagged = |rest: &str| rest.trim_start_matches('`').starts_with(|c: char| c.is_ascii_alphabetic());
    Box::new(if rest.starts_with("```") && tagged(rest) {
        problem.help("nothing stands behind a fence: what runs the code is named before it, as in: shell ```")
    } else if rest.starts_with("```") && line_of(parser, at).trim_end().ends_with('=') {
        problem.help("what runs the code is named before its fence, as in: shell ```")
    } else if rest.starts_with("```") {
        problem.help("the code starts on the line after its fence, and a fence alone on a line ends it")
    } else if rest.starts_with('\u{a0}') {
        problem.help("this is a no-break space: write a plain one")
    } else if rest.starts_with("$ ")
        && let Some(help) = no_value(line_of(parser, at))
    {
        problem.help(help)
    } else if let Some(operator) = meant(parser, at) {
        problem.help(format!("the operator is written `{operator}`"))
    } else {
        problem
    })
}

/// How code is written where `$` stands for the value of the statement on this line.
fn no_value(line: &str) -> Option<String> {
    let word = line.split_whitespace().next()?;
    let what = match word {
        "let" => "the output of code is a value as",
        "start" | "prepare" => "code in the background is written",
        _ => return None,
    };
    Some(format!("`$` is a step of its own; {what} `{word} x = shell \"...\"`"))
}

/// The operator that somebody who knows other languages has meant by what stands at this byte of a condition.
fn meant(parser: &Parser<'_>, at: usize) -> Option<&'static str> {
    const OTHERS: [(&str, &str); 9] = [
        ("&&", "and"),
        ("||", "or"),
        ("=~", "matches"),
        ("!~", "not ... matches"),
        ("=", "=="),
        ("!", "not"),
        ("is", "=="),
        ("match", "matches"),
        ("includes", "contains"),
    ];
    const WORDS: [&str; 5] = ["and", "or", "in", "matches", "contains"];
    let (before, rest) = (line_of(parser, at), &parser.text[at..]);
    let first = before.split_whitespace().next().unwrap_or_default();
    if !matches!(first, "expect" | "if") && !before.contains("when") {
        return None;
    }
    if before.ends_with('<') && rest.starts_with('>') {
        return Some("!=");
    }
    let word = parser.word(at);
    if word == "not" && rest["not".len()..].trim_start().starts_with("in ") {
        return Some("not ... in");
    }
    let other = OTHERS.iter().find(|(mark, _)| if word.is_empty() { rest.starts_with(mark) } else { word == *mark });
    other.map(|(_, operator)| *operator).or_else(|| WORDS.into_iter().find(|known| similar(word, [*known]).is_some()))
}

/// What stands before this byte on its line.
fn line_of<'s>(parser: &Parser<'s>, at: usize) -> &'s str {
    &parser.text[parser.line_start(at).max(parser.base)..at]
}

/// What stands at this byte, in words, and its length.
fn token(parser: &Parser<'_>, at: usize) -> (String, usize) {
    let rest = &parser.text[at..];
    let word = parser.word(at);
    let digits = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
    match rest.chars().next() {
        None => ("the end of the file".to_owned(), 0),
        Some('\n' | '\r') => ("the end of the line".to_owned(), 0),
        Some('#') => ("a comment".to_owned(), 1),
        Some(_) if !word.is_empty() => (format!("`{word}`"), word.len()),
        Some('0'..='9') => (format!("`{}`", &rest[..digits]), digits),
        Some('"' | '\'') => ("a string".to_owned(), 1),
        Some('`') if rest.starts_with("```") => ("this fence".to_owned(), 3),
        Some(' ' | '\t') => ("a blank".to_owned(), 1),
        Some(_) if ["==", "!=", "<=", ">=", "..", "}}"].iter().any(|mark| rest.starts_with(mark)) => {
            (format!("`{}`", &rest[..2]), 2)
        }
        Some(c) if c.is_control() || c.is_whitespace() => (format!("U+{:04X}", u32::from(c)), c.len_utf8()),
        Some(c) => (format!("`{c}`"), c.len_utf8()),
    }
}

/// What was expected, as a list in words.
fn listed(expected: &[Rule]) -> String {
    let mut names: Vec<&str> = expected.iter().filter_map(|rule| words(*rule)).collect();
    if names.contains(&"a value") {
        names.retain(|name| !matches!(*name, "a name" | "a string" | "a regex" | "a list" | "a range" | "an integer"));
    }
    if names.iter().any(|name| !matches!(*name, "a string" | "a list")) && !names.contains(&"a fence") {
        names.retain(|name| !matches!(*name, "a string" | "a list"));
    }
    if names.iter().any(|name| *name != "an operator") {
        names.retain(|name| *name != "an operator");
    }
    names.sort_by_key(|name| name.starts_with("the end"));
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name);
            true
        }
    });
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
    }
}

/// What cannot be an item.
pub(super) fn misplaced_at_top(parser: &Parser<'_>) -> Box<Diagnostic> {
    let at = parser.at;
    let word = parser.word(at);
    let rest = &parser.text[at..];
    if parser.is_full() {
        return parser.wrong(at..at, "");
    }
    if let Some(problem) = conflict_marker(parser, at) {
        return problem;
    }
    if rest.starts_with('}') {
        return parser.wrong(at..at + 1, "no block is open here");
    }
    let behind = rest[word.len()..].trim_start_matches([' ', '\t']);
    let length = if rest.starts_with('$') { 1 } else { word.len() };
    if length > 0 && (rest.starts_with('$') || IN_BLOCK.contains(&word) || rest[word.len()..].starts_with('(')) {
        let message = format!("`{}` stands inside a block", &rest[..length]);
        let problem = parser.wrong(at..at + length, message).label("no stream is chosen here");
        return Box::new(problem.help("write `on STREAM { ... }` around it"));
    }
    if word.is_empty() || behind.starts_with('=') {
        return unexpected(parser, at, "a statement");
    }
    let known = TOP_LEVEL.iter().chain(ANYWHERE).copied();
    let problem = Diagnostic::new(
        Code::UnknownKeyword,
        parser.span(at..at + word.len()),
        format!("no statement is called `{word}`"),
    );
    Box::new(problem.near("keyword", word, known))
}

/// What cannot be a statement, for it starts with no word.
pub(super) fn no_statement(parser: &Parser<'_>) -> Box<Diagnostic> {
    conflict_marker(parser, parser.at).unwrap_or_else(|| unexpected(parser, parser.at, "a statement"))
}

/// A part of a merge conflict, whose other parts are gone.
fn conflict_marker(parser: &Parser<'_>, at: usize) -> Option<Box<Diagnostic>> {
    let markers = ["<<<<<<<", "=======", ">>>>>>>", "|||||||"];
    let found = parser.line_start(at) == at && markers.into_iter().any(|marker| parser.text[at..].starts_with(marker));
    let span = parser.span(at..parser.content_end(at));
    found.then(|| {
        Box::new(Diagnostic::new(Code::ConflictMarker, span, "a mark of a merge conflict is left in this file"))
    })
}

/// A statement that starts with a word and is neither code nor a call: an unknown keyword, or code gone wrong.
pub(super) fn not_code(parser: &Parser<'_>, start: usize, problem: Box<Diagnostic>) -> Box<Diagnostic> {
    let word = parser.word(start);
    let tight = &parser.text[start + word.len()..];
    let behind = tight.trim_start_matches([' ', '\t']);
    if IN_BLOCK.contains(&word) || tight.starts_with('(') || behind.starts_with(['"', '\'', '`', '[']) {
        return problem;
    }
    if behind.starts_with('=') && !behind.starts_with("==") {
        let at = start + word.len() + (tight.len() - behind.len());
        let problem = parser.wrong(at..at + 1, "`=` cannot stand here");
        return Box::new(problem.help(format!("write `let {word} = ...` to name a value")));
    }
    unknown_keyword(parser, start)
}

/// A word that starts no statement.
pub(super) fn unknown_keyword(parser: &Parser<'_>, start: usize) -> Box<Diagnostic> {
    let word = parser.word(start);
    if parser.is_full() {
        return parser.wrong(start..start, "");
    }
    let span = parser.span(start..start + word.len());
    let problem = Diagnostic::new(Code::UnknownKeyword, span, format!("no statement is called `{word}`"));
    let near = problem.near("keyword", word, IN_BLOCK.iter().chain(ANYWHERE).copied());
    Box::new(match near.help {
        Some(_) => near,
        None => near.help(format!("a task is called as `{word}(...)`, code stands in quotes or between fences")),
    })
}
