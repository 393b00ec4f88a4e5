//! Output in chunks as they come → whole lines with a prefix. Works on whole chunks, because a step may print gigabytes.

use indexmap::IndexMap;

use crate::diagnostic::visible;
use crate::event::Channel;
use crate::plan::StepId;

/// A longer line is broken into pieces of this many bytes.
pub(crate) const LONGEST: usize = 8192;
/// Stands at the end of a piece whose line goes on.
pub(crate) const GOES_ON: &str = "↩";

/// The lines that have begun and not ended, of every step that runs.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: IndexMap<(StepId, Channel), Vec<u8>>,
}

impl Lines {
    /// Appends every line of `chunk` that is complete, each with `prefix` before it, and keeps the rest.
    pub(crate) fn write(&mut self, from: (StepId, Channel), prefix: &[u8], chunk: &[u8], out: &mut Vec<u8>) {
        let mut chunk = chunk;
        if let Some(open) = self.open.get_mut(&from).filter(|open| !open.is_empty()) {
            let end = memchr::memchr(b'\n', chunk);
            let (head, rest) = chunk.split_at(end.unwrap_or(chunk.len()));
            extend(open, prefix, head, out);
            let Some(after) = rest.get(1..) else { return };
            line(prefix, open, out);
            open.clear();
            chunk = after;
        }
        let whole = memchr::memrchr(b'\n', chunk).map_or(0, |at| at + 1);
        let (whole, rest) = chunk.split_at(whole);
        lines(prefix, whole, out);
        if !rest.is_empty() {
            extend(self.open.entry(from).or_default(), prefix, rest, out);
        }
    }

    /// Appends the line that the step has not ended, if there is one: it will not go on.
    pub(crate) fn end(&mut self, from: (StepId, Channel), prefix: &[u8], out: &mut Vec<u8>) {
        if let Some(open) = self.open.swap_remove(&from).filter(|open| !open.is_empty()) {
            line(prefix, &open, out);
        }
    }
}

/// Adds to a line that goes on; what is too long for one line leaves in pieces.
fn extend(open: &mut Vec<u8>, prefix: &[u8], more: &[u8], out: &mut Vec<u8>) {
    let mut more = more;
    while open.len() + more.len() > LONGEST {
        let (head, rest) = more.split_at(LONGEST.saturating_sub(open.len()).min(more.len()));
        open.extend_from_slice(head);
        let cut = boundary(open);
        piece(prefix, &open[..cut], out);
        open.drain(..cut);
        more = rest;
    }
    open.extend_from_slice(more);
}

/// Lines that all end here.
fn lines(prefix: &[u8], text: &[u8], out: &mut Vec<u8>) {
    if !visible::passes(text) {
        for it in text.split_inclusive(|byte| *byte == b'\n') {
            line(prefix, &it[..it.len() - 1], out);
        }
        return;
    }
    out.reserve(text.len() + memchr::memchr_iter(b'\n', text).count() * prefix.len());
    let mut from = 0;
    for at in memchr::memchr_iter(b'\n', text) {
        if at - from > LONGEST {
            line(prefix, &text[from..at], out);
        } else {
            out.extend_from_slice(prefix);
            out.extend_from_slice(&text[from..=at]);
        }
        from = at + 1;
    }
}

/// One line without its end, in pieces where it is too long.
fn line(prefix: &[u8], text: &[u8], out: &mut Vec<u8>) {
    let mut text = text;
    while text.len() > LONGEST {
        let (head, rest) = text.split_at(boundary(&text[..LONGEST]));
        piece(prefix, head, out);
        text = rest;
    }
    out.extend_from_slice(prefix);
    visible::write(text, out);
    out.push(b'\n');
}

fn piece(prefix: &[u8], text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(prefix);
    visible::write(text, out);
    out.extend_from_slice(GOES_ON.as_bytes());
    out.push(b'\n');
}

/// Where to break so that no character is torn: at most three bytes before the end.
fn boundary(text: &[u8]) -> usize {
    let end = text.len();
    let start = (end.saturating_sub(3)..end).rev().find(|at| text[*at] >= 0xc0);
    start.filter(|at| *at > 0 && std::str::from_utf8(&text[*at..]).is_err()).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Channel::{Stderr, Stdout};

    const WEB: (StepId, Channel) = (StepId(0), Stdout);

    #[track_caller]
    fn check(chunks: &[&[u8]], shown: &str) {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.write(WEB, b"web> ", chunk, &mut out);
        }
        lines.end(WEB, b"web> ", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), shown);
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let text = "one\ntwo\n\nfour\nfi\u{1b}ve";
        let shown = "web> one\nweb> two\nweb> \nweb> four\nweb> fi^[ve\n";
        check(&[text.as_bytes()], shown);
        for size in 1..text.len() {
            check(&text.as_bytes().chunks(size).collect::<Vec<_>>(), shown);
        }
    }

    #[test]
    fn characters_torn_between_chunks_are_whole() {
        for size in 1..9 {
            check(&"größe 日本\n".as_bytes().chunks(size).collect::<Vec<_>>(), "web> größe 日本\n");
        }
    }

    #[test]
    fn a_line_of_exactly_the_longest_size_is_whole() {
        let text = "x".repeat(LONGEST);
        check(&[text.as_bytes(), b"\n"], &format!("web> {text}\n"));
        check(&[format!("{text}\n").as_bytes()], &format!("web> {text}\n"));
    }

    #[test]
    fn a_longer_line_is_broken_with_a_mark_and_no_character_is_torn() {
        let text = "é".repeat(LONGEST);
        let half = "é".repeat(LONGEST / 2);
        let shown = format!("web> {half}↩\nweb> {half}\n");
        check(&[text.as_bytes(), b"\n"], &shown);
        check(&[format!("{text}\n").as_bytes()], &shown);
        check(&text.as_bytes().chunks(1000).collect::<Vec<_>>(), &shown);
        let odd = format!("x{text}");
        let shown = format!("web> x{}↩\nweb> {}↩\nweb> é\n", "é".repeat(LONGEST / 2 - 1), half);
        check(&[odd.as_bytes(), b"\n"], &shown);
        check(&odd.as_bytes().chunks(7).collect::<Vec<_>>(), &shown);
    }

    #[test]
    fn a_line_without_end_needs_bounded_memory() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        let chunk = b"x".repeat(1 << 16);
        for _ in 0..100 {
            lines.write(WEB, b"", &chunk, &mut out);
        }
        assert!(lines.open[&WEB].capacity() <= 2 * LONGEST);
        assert_eq!(memchr::memchr_iter(b'x', &out).count(), (100 << 16) - lines.open[&WEB].len());
    }

    #[test]
    fn steps_and_channels_do_not_share_lines() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        lines.write(WEB, b"web> ", b"he", &mut out);
        lines.write((StepId(1), Stdout), b"db> ", b"tick\nto", &mut out);
        lines.write((StepId(0), Stderr), b"web! ", b"oops\n", &mut out);
        lines.write(WEB, b"web> ", b"llo\n", &mut out);
        lines.end((StepId(1), Stdout), b"db> ", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "db> tick\nweb! oops\nweb> hello\ndb> to\n");
    }

    /// What a step may print to fool whoever looks: escapes, controls in two forms, lines that look like those of
    /// others, text that turns round, torn characters, long lines, anything.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let known: [&[u8]; 12] = [
            b"\x1b[2J\x1b[1;1H",
            b"\x1b]0;title\x07",
            b"\x9b31m",
            "\u{9b}31m\u{85}".as_bytes(),
            b"\nweb> forged",
            b"\r",
            b"\x0b\x0c\x08\x7f\0",
            "\u{202e}\u{2066}\u{200b}\u{feff}".as_bytes(),
            "\u{2028}\u{2029}\u{e0041}".as_bytes(),
            "größe 日本 👩‍🚀".as_bytes(),
            b"\n",
            &[b'x'; LONGEST],
        ];
        let part = prop_oneof![
            prop::sample::select(known.map(<[u8]>::to_vec).to_vec()),
            prop::collection::vec(any::<u8>(), 0..20),
            "[ -~]{0,20}".prop_map(String::into_bytes),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    fn shown(chunks: &[&[u8]]) -> String {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.write(WEB, b"web> ", chunk, &mut out);
        }
        lines.end(WEB, b"web> ", &mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn whatever_comes_every_line_is_harmless_and_says_whose_it_is(text in hostile()) {
            let out = shown(&[&text]);
            prop_assert!(out.is_empty() || out.ends_with('\n'));
            for line in out.lines() {
                prop_assert!(line.starts_with("web> "), "{line:?}");
                let odd = |c: &char| {
                    (c.is_control() && *c != '\t') || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
                };
                prop_assert_eq!(line.chars().find(odd), None);
            }
            let ends = memchr::memchr_iter(b'\n', &text).count();
            prop_assert!(out.lines().filter(|line| !line.ends_with(GOES_ON)).count() <= ends + 1);
        }

        #[test]
        fn how_it_comes_changes_nothing(text in hostile(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            // Where a line is too long, it is broken where the pieces happen to end.
            prop_assume!(text.split(|byte| *byte == b'\n').all(|line| line.len() <= LONGEST));
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            prop_assert_eq!(shown(&chunks), shown(&[&text]));
        }
    }
}
