//! Secrets in what steps print: replaced before anybody sees, writes or keeps them, across the borders of chunks too.

use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;

use crate::event::{Channel, Event, Made, Outcome, Reason};
use crate::plan::StepId;
use crate::syntax::Value;

/// What stands in a secret's place.
const MASK: &str = "***";

/// The secrets of a run, and the ends of chunks that may be the beginning of one.
#[derive(Debug, Default)]
pub(super) struct Masker {
    /// Longest first, so that one that contains another goes as a whole.
    secrets: Vec<Vec<u8>>,
    held: IndexMap<(StepId, Channel), Vec<u8>>,
}

impl Masker {
    pub(super) fn new(secrets: &IndexMap<Arc<str>, Value>) -> Self {
        let mut secrets: Vec<Vec<u8>> = secrets.values().map(Value::to_bytes).filter(|it| !it.is_empty()).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets, held: IndexMap::new() }
    }

    /// The chunk without secrets. Its end is held back while it may be the beginning of one.
    pub(super) fn chunk(&mut self, step: StepId, channel: Channel, chunk: Bytes) -> Bytes {
        if self.secrets.is_empty() {
            return chunk;
        }
        let mut text = self.held.swap_remove(&(step, channel)).unwrap_or_default();
        text.extend_from_slice(&chunk);
        let certain = text.len() - self.begun(&text);
        let (mut masked, rest) = self.replaced(&text, certain);
        let certain = certain.max(rest);
        masked.extend_from_slice(&text[rest..certain]);
        if certain < text.len() {
            self.held.insert((step, channel), text.split_off(certain));
        }
        masked.into()
    }

    /// What was held back of a step that has ended: it was the beginning of no secret.
    pub(super) fn rest(&mut self, step: StepId, channel: Channel) -> Option<Bytes> {
        let text = self.held.swap_remove(&(step, channel))?;
        let (mut masked, rest) = self.replaced(&text, text.len());
        masked.extend_from_slice(&text[rest..]);
        Some(masked.into())
    }

    /// An event whose words hold no secret.
    pub(super) fn event(&self, mut event: Event) -> Event {
        if self.secrets.is_empty() {
            return event;
        }
        if let Event::ValueMade(_, made) = &mut event {
            made.take_if(|made| self.is_in(made));
        } else if let Event::StepEnded(_, Outcome::Failed(Reason::Unmet(parts))) = &mut event {
            *parts = parts.iter().map(|part| self.words(part)).collect();
        } else if let Event::StepEnded(_, Outcome::Failed(Reason::Error(words))) = &mut event {
            *words = self.words(words).into();
        }
        event
    }

    /// Whether a secret is in it.
    fn is_in(&self, made: &Made) -> bool {
        match made {
            Made::Value(value) => self.holds(value),
            Made::Output { stdout, stderr, .. } => self.holds(stdout) || self.holds(stderr),
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match value {
            Value::List(items) => items.iter().any(|item| self.holds(item)),
            Value::Map(map) => {
                map.iter().any(|(key, value)| self.holds(&Value::Text(key.clone())) || self.holds(value))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Duration(_)
            | Value::Size(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Regex(_) => self.replaced(&value.to_bytes(), usize::MAX).1 > 0,
        }
    }

    fn words(&self, text: &str) -> String {
        let (mut masked, rest) = self.replaced(text.as_bytes(), text.len());
        masked.extend_from_slice(&text.as_bytes()[rest..]);
        String::from_utf8_lossy(&masked).into_owned()
    }

    /// The text up to behind the last secret that begins before `certain`, with all of them replaced, and where the
    /// rest begins.
    fn replaced(&self, text: &[u8], certain: usize) -> (Vec<u8>, usize) {
        let (mut masked, mut at) = (Vec::with_capacity(text.len()), 0);
        loop {
            let next = |secret: &Vec<u8>| Some((at + memchr::memmem::find(&text[at..], secret)?, secret.len()));
            let earliest = |found: &(usize, usize)| (found.0, std::cmp::Reverse(found.1));
            let found = self.secrets.iter().filter_map(next).min_by_key(earliest);
            let Some((start, length)) = found.filter(|(start, _)| *start < certain) else { return (masked, at) };
            masked.extend_from_slice(&text[at..start]);
            masked.extend_from_slice(MASK.as_bytes());
            at = start + length;
        }
    }

    /// How many bytes at the end of `text` may be the beginning of a secret.
    fn begun(&self, text: &[u8]) -> usize {
        let longest = self.secrets.first().map_or(0, Vec::len).saturating_sub(1).min(text.len());
        let may_begin =
            |length: &usize| self.secrets.iter().any(|secret| secret.starts_with(&text[text.len() - length..]));
        (1..=longest).rev().find(may_begin).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masker(secrets: &[&str]) -> Masker {
        Masker::new(&secrets.iter().map(|it| (Arc::from(*it), Value::Text(Arc::from(*it)))).collect())
    }

    /// What is shown of chunks that come one after the other.
    fn shown(masker: &mut Masker, chunks: &[&[u8]]) -> Vec<u8> {
        let key = (StepId(0), Channel::Stdout);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&masker.chunk(key.0, key.1, Bytes::copy_from_slice(chunk)));
        }
        out.extend(masker.rest(key.0, key.1).into_iter().flatten());
        out
    }

    #[test]
    fn secrets_are_masked_whole_and_over_borders() {
        let mut it = masker(&["hunter2", "hunter2-long", "s"]);
        assert_eq!(shown(&mut it, &[b"a hunter2-long b hunter2 c"]), b"a *** b *** c");
        assert_eq!(shown(&mut it, &[b"a hun", b"ter", b"2", b"-lo", b"ng b"]), b"a *** b");
        assert_eq!(shown(&mut it, &[b"hunt", b"ing"]), b"hunting", "what only begins like one is shown");
        assert_eq!(shown(&mut masker(&[]), &[b"anything"]), b"anything");
    }

    proptest! {
        #[test]
        fn no_split_shows_a_secret(before in "[a-c]{0,8}", after in "[a-c]{0,8}", secret in "[a-c]{3,6}", cut in 0_usize..22) {
            let text = format!("{before}{secret}{after}");
            let (left, right) = text.as_bytes().split_at(cut.min(text.len()));
            let whole = shown(&mut masker(&[&secret]), &[text.as_bytes()]);
            let split = shown(&mut masker(&[&secret]), &[left, right]);
            prop_assert_eq!(&whole, &split);
            prop_assert!(memchr::memmem::find(&split, secret.as_bytes()).is_none());
        }
    }
}
