//! Tells what the guard says from what jobs print, in one stream of bytes that comes in pieces of any size.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;

/// The longest that the guard says at once. What is longer is taken for output: the guard never says so much.
pub(crate) const LONGEST: usize = 64 << 10;

/// Cuts a stream of bytes into output and frames.
#[derive(Debug)]
pub(crate) struct Frames {
    mark: Finder<'static>,
    waiting: BytesMut,
}

/// What comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// A job printed this.
    Output(Bytes),
    /// The guard said this: a letter, and what stands behind it.
    Frame(u8, Vec<u8>),
}

impl Frames {
    /// Frames that begin with this nonce.
    pub(crate) fn new(nonce: &str) -> Self {
        let mark = format!("\x1e{nonce} ");
        Self { mark: Finder::new(mark.as_bytes()).into_owned(), waiting: BytesMut::new() }
    }

    /// More bytes have come.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// What can be told of what has come so far.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        let mark = self.mark.needle();
        let Some(at) = self.mark.find(&self.waiting) else {
            let kept = (1..mark.len()).rev().find(|length| self.waiting.ends_with(&mark[..*length]));
            return self.output(self.waiting.len() - kept.unwrap_or_default());
        };
        if at > 0 {
            return self.output(at);
        }
        let body = &self.waiting[mark.len()..];
        let Some(end) = memchr::memchr(b'\n', body) else {
            return if body.len() > LONGEST { self.output(mark.len()) } else { None };
        };
        let mut frame = self.waiting.split_to(mark.len() + end + 1);
        frame.advance(mark.len());
        frame.truncate(end);
        let letter = if frame.is_empty() { b' ' } else { frame.get_u8() };
        let words = frame.strip_prefix(b" ").unwrap_or(&frame);
        Some(Piece::Frame(letter, words.trim_ascii_end().to_vec()))
    }

    /// What is left when nothing more comes.
    pub(crate) fn rest(&mut self) -> Option<Piece> {
        self.output(self.waiting.len())
    }

    /// How many bytes nothing can be told of yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn output(&mut self, length: usize) -> Option<Piece> {
        (length > 0).then(|| Piece::Output(self.waiting.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(stream: &[u8], cuts: impl Iterator<Item = usize>) -> Vec<Piece> {
        let mut frames = Frames::new("ab12");
        let mut all: Vec<Piece> = Vec::new();
        let mut from = 0;
        for to in cuts.chain([stream.len()]) {
            frames.feed(&stream[from..to.max(from)]);
            from = to.max(from);
            while let Some(piece) = frames.next() {
                all.push(piece);
            }
        }
        all.extend(frames.rest());
        // How output is cut into pieces depends on how it came; what it is does not.
        let mut joined: Vec<Piece> = Vec::new();
        for piece in all {
            match (joined.last_mut(), piece) {
                (Some(Piece::Output(before)), Piece::Output(more)) => *before = [&before[..], &more].concat().into(),
                (_, piece) => joined.push(piece),
            }
        }
        joined
    }

    #[test]
    fn frames_stand_between_output_without_a_newline() {
        let stream = b"no newline\x1eab12 X 3\nmore\x1eab12 E\n\x1ewrong X 1\n";
        let wanted = [
            Piece::Output("no newline".into()),
            Piece::Frame(b'X', b"3".to_vec()),
            Piece::Output("more".into()),
            Piece::Frame(b'E', Vec::new()),
            Piece::Output("\x1ewrong X 1\n".into()),
        ];
        assert_eq!(pieces(stream, std::iter::empty()), wanted);
        assert_eq!(pieces(stream, 0..stream.len()), wanted);
    }

    #[test]
    fn what_never_ends_is_output_in_the_end() {
        let mut frames = Frames::new("ab12");
        frames.feed(b"\x1eab12 ");
        assert_eq!(frames.next(), None);
        frames.feed(&vec![b'x'; LONGEST + 1]);
        assert_eq!(frames.next(), Some(Piece::Output("\x1eab12 ".into())));
        assert!(matches!(frames.next(), Some(Piece::Output(_))));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            parts in prop::collection::vec(
                prop_oneof![Just(b"\x1eab12 X 7\n".to_vec()), Just(b"\x1eab".to_vec()), prop::collection::vec(any::<u8>(), 0..9)],
                0..12,
            ),
            mut cuts in prop::collection::vec(0_usize..80, 0..10),
        ) {
            let stream = parts.concat();
            cuts.retain(|cut| *cut <= stream.len());
            cuts.sort_unstable();
            prop_assert_eq!(pieces(&stream, cuts.into_iter()), pieces(&stream, std::iter::empty()));
        }
    }
}
