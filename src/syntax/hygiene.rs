//! What is wrong with a text before anybody reads it: its size, hidden characters, merge conflicts. Also its `allow`s.

use std::ops::Range;

use super::ast::Allow;
use crate::diagnostic::{Code, Diagnostic, FileId, Span, Spanned};

/// The largest file that is read, in bytes.
const LARGEST: usize = 64 << 20;

/// A file that is too large to be a scenario.
pub(super) fn too_large(file: FileId, text: &str) -> Option<Diagnostic> {
    let message = format!("this file is larger than {} MiB", LARGEST >> 20);
    let help = "split it, and join the parts with `import`";
    (text.len() > LARGEST).then(|| Diagnostic::new(Code::LimitExceeded, Span::new(file, 0..0), message).help(help))
}

/// Characters that nobody sees: one warning a line.
pub(super) fn inspect(file: FileId, text: &str) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    if text.is_ascii() {
        return problems;
    }
    let mut line = None;
    for (at, c) in text.char_indices().filter(|(at, c)| !c.is_ascii() && is_hidden(text, *at, *c)) {
        let start = text[line.unwrap_or(0)..at].rfind('\n').map_or(line, |newline| Some(line.unwrap_or(0) + newline));
        if line.is_some() && start == line {
            continue;
        }
        line = Some(start.unwrap_or(0));
        let span = Span::new(file, at..at + c.len_utf8());
        let message = format!("a character that nobody sees: U+{:04X}", u32::from(c));
        let problem = Diagnostic::new(Code::HiddenCharacters, span, message).label(meaning(c));
        problems.push(problem.help("delete it, or write `\\u{...}` in a string"));
    }
    problems
}

/// Joiners are hidden between ASCII only: elsewhere they are part of how a word or an emoji is written.
fn is_hidden(text: &str, at: usize, c: char) -> bool {
    match c {
        '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{061c}'
        | '\u{2060}'..='\u{2064}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => true,
        '\u{feff}' => at > 0,
        '\u{200c}' | '\u{200d}' => {
            let before = text[..at].chars().next_back().is_none_or(|c| c.is_ascii());
            let after = text[at + c.len_utf8()..].chars().next().is_none_or(|c| c.is_ascii());
            before && after
        }
        _ => false,
    }
}

fn meaning(c: char) -> &'static str {
    match c {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}' => {
            "changes the order in which the line is shown"
        }
        _ => "takes no space",
    }
}

/// The text with all merge conflicts blanked out, byte for byte, if there are any: only the first side is read.
pub(super) fn without_conflicts(file: FileId, text: &str, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let mut masked: Option<Vec<u8>> = None;
    let mut conflict: Vec<Range<usize>> = Vec::new();
    for start in memchr::memmem::find_iter(text.as_bytes(), b"<<<<<<<").chain([text.len()]) {
        let behind = conflict.last().map_or(0, |range| range.end);
        if start < behind || start == text.len() || start > 0 && text.as_bytes()[start - 1] != b'\n' {
            continue;
        }
        let Some((middle, end)) = conflict_ends(text, start) else { break };
        let bytes = masked.get_or_insert_with(|| text.as_bytes().to_vec());
        let head = start + line_length(&text[start..]);
        for range in [start..head, middle.start..end.end] {
            bytes[range].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
        let problem = Diagnostic::new(
            Code::ConflictMarker,
            Span::new(file, start..head),
            "a merge conflict is left in this file",
        )
        .label("one side starts here")
        .other(Span::new(file, middle), "the other side starts here")
        .other(Span::new(file, end.clone()), "the conflict ends here")
        .help("keep what is meant, and delete the three markers");
        problems.push(problem);
        conflict.push(start..end.end);
    }
    masked.and_then(|bytes| String::from_utf8(bytes).ok())
}

/// The lines `=======` and `>>>>>>>` of the conflict that starts there.
fn conflict_ends(text: &str, start: usize) -> Option<(Range<usize>, Range<usize>)> {
    let line_after = |from: usize, marker: &str| {
        let at = from + memchr::memmem::find(&text.as_bytes()[from..], marker.as_bytes())? + 1;
        Some(at..at + line_length(&text[at..]))
    };
    let middle = line_after(start, "\n=======")?;
    let end = line_after(middle.start, "\n>>>>>>>")?;
    Some((middle, end))
}

fn line_length(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Every `# ms: allow[...]`, wherever it stands.
pub(super) fn allows(file: FileId, text: &str) -> Vec<Allow> {
    const MARK: &str = "allow[";
    let found = memchr::memmem::find_iter(text.as_bytes(), MARK);
    found.filter_map(|at| allow(file, text, at, at + MARK.len())).collect()
}

fn allow(file: FileId, text: &str, at: usize, list: usize) -> Option<Allow> {
    let blanks = [' ', '\t'];
    let before = text[..at].trim_end_matches(blanks).strip_suffix("ms:")?.trim_end_matches(blanks).strip_suffix('#')?;
    let line = list + line_length(&text[list..]);
    let close = list + text[list..line].find(']')?;
    let mut codes = Vec::new();
    let mut from = list;
    for part in text[list..close].split(',') {
        let code = part.trim();
        let start = from + (part.len() - part.trim_start().len());
        if !code.is_empty() {
            codes.push(Spanned::new(code.into(), Span::new(file, start..start + code.len())));
        }
        from += part.len() + 1;
    }
    let end = list + text[list..line].trim_end().len();
    Some(Allow { span: Span::new(file, before.len()..end), codes })
}
