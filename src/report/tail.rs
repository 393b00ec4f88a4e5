//! The last lines of a step's output, in bounded memory however much it prints.

use crate::diagnostic::visible;
use crate::event::Channel;

/// How many lines are kept.
const LINES: usize = 10;
/// How many bytes are kept for them.
const BYTES: usize = 4096;

/// The end of what a step printed, on both channels as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    last: Option<Channel>,
    cut: bool,
}

impl Tail {
    /// Adds a chunk. Where the channel changes in the middle of a line, a line ends there.
    pub(super) fn push(&mut self, channel: Channel, chunk: &[u8]) {
        if self.last.is_some_and(|last| last != channel) && self.bytes.last().is_some_and(|byte| *byte != b'\n') {
            self.bytes.push(b'\n');
        }
        self.last = Some(channel);
        let kept = &chunk[chunk.len().saturating_sub(BYTES)..];
        if kept.len() < chunk.len() {
            self.bytes.clear();
            self.cut = true;
        }
        self.bytes.extend_from_slice(kept);
        if self.bytes.len() > 2 * BYTES {
            self.bytes.drain(..self.bytes.len() - BYTES);
            self.cut = true;
        }
    }

    /// The last lines, made visible, at most ten; the first says how much is missing where something is.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        if text.is_empty() {
            return Vec::new();
        }
        let mut all: Vec<&[u8]> = text.rsplit(|byte| *byte == b'\n').take(LINES + 1).collect();
        let more = self.cut || all.len() > LINES;
        all.truncate(LINES);
        let mark = more.then(|| "… (more above)".to_owned());
        mark.into_iter().chain(all.into_iter().rev().map(shown)).collect()
    }
}

fn shown(line: &[u8]) -> String {
    let mut out = Vec::new();
    visible::write(line, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Channel::{Stderr, Stdout};

    #[test]
    fn few_lines_are_all_there() {
        let mut tail = Tail::default();
        tail.push(Stdout, b"one\ntw");
        tail.push(Stdout, b"o\n\nthree");
        assert_eq!(tail.lines(), ["one", "two", "", "three"]);
    }

    #[test]
    fn of_many_lines_the_last_ten_are_kept_and_it_says_so() {
        let mut tail = Tail::default();
        for n in 0..100_000 {
            tail.push(Stdout, format!("line {n}\n").as_bytes());
        }
        assert!(tail.bytes.capacity() <= 4 * BYTES);
        let lines = tail.lines();
        assert_eq!(
            (lines.len(), &*lines[0], &*lines[1], &*lines[10]),
            (11, "… (more above)", "line 99990", "line 99999")
        );
    }

    #[test]
    fn a_huge_chunk_leaves_only_its_end() {
        let mut tail = Tail::default();
        tail.push(Stdout, b"start\n");
        tail.push(Stdout, &[b"x".repeat(1 << 20), b"\nend\n".to_vec()].concat());
        assert!(tail.bytes.capacity() < 3 * BYTES);
        assert_eq!(tail.lines().last().unwrap(), "end");
    }

    #[test]
    fn channels_do_not_share_a_line() {
        let mut tail = Tail::default();
        tail.push(Stdout, b"half a li");
        tail.push(Stderr, b"\x1b[31merror\n");
        assert_eq!(tail.lines(), ["half a li", "^[[31merror"]);
    }
}
