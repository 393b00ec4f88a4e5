//! Secrets in what steps print and in what is said of them: replaced before anybody sees, writes or keeps it, in
//! every form that a step is likely to give them, across the borders of chunks too.

pub(crate) mod forms;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use bytes::Bytes;
use indexmap::IndexMap;

use crate::event::{Channel, Event, Exit, Fault, Leak, Made, Outcome, Reason};
use crate::plan::StepId;
use crate::syntax::Value;

/// What stands in a secret's place.
const MASK: &str = "***";

/// Whether a secret of this value can be masked. One that is too short would mask ordinary output.
pub fn maskable(value: &Value) -> bool {
    forms::maskable(&value.to_bytes())
}

/// The secrets of a run, and the ends of chunks that may be the beginning of one.
#[derive(Debug)]
pub(crate) struct Masker {
    search: Option<Search>,
    /// Secrets that are not masked, because they are too short.
    short: Vec<Vec<u8>>,
    held: IndexMap<(StepId, Channel), Held>,
}

/// The end of what was printed so far.
#[derive(Debug, Default)]
struct Held {
    text: Vec<u8>,
    /// So many of its bytes belong to a secret whose mask has been shown.
    covered: usize,
}

/// All forms of all secrets.
#[derive(Debug)]
struct Search {
    automaton: AhoCorasick,
    /// In order, so that those that begin with something stand together.
    forms: Vec<Vec<u8>>,
    longest: usize,
}

impl Masker {
    pub(crate) fn new(secrets: &IndexMap<Arc<str>, Value>) -> Self {
        let mut forms: Vec<Vec<u8>> = secrets.values().flat_map(|secret| forms::forms(&secret.to_bytes())).collect();
        forms.sort_unstable();
        forms.dedup();
        let short = secrets.values().filter(|secret| !maskable(secret)).map(Value::to_bytes);
        let short = short.filter(|secret| !secret.is_empty()).collect();
        Self { search: Search::new(forms), short, held: IndexMap::new() }
    }

    /// The chunk without secrets. Its end is held back while it may be the beginning of one.
    pub(crate) fn chunk(&mut self, step: StepId, channel: Channel, chunk: Bytes) -> Bytes {
        let Some(search) = &self.search else { return chunk };
        let held = self.held.swap_remove(&(step, channel)).unwrap_or_default();
        let mut text = if held.text.is_empty() { chunk } else { [&held.text[..], &chunk].concat().into() };
        let certain = text.len() - search.begun(&text);
        let masked = search.masked(&text, held.covered, certain);
        let rest = text.split_off(certain);
        let (shown, covered) = masked.map_or((text, 0), |(masked, covered)| (masked.into(), covered));
        if !rest.is_empty() {
            self.held.insert((step, channel), Held { text: rest.to_vec(), covered });
        }
        shown
    }

    /// What was held back of a step that has ended: nothing follows any more.
    pub(crate) fn rest(&mut self, step: StepId, channel: Channel) -> Option<Bytes> {
        let held = self.held.swap_remove(&(step, channel))?;
        let masked = self.search.as_ref().and_then(|search| search.masked(&held.text, held.covered, held.text.len()));
        Some(masked.map_or(held.text, |(masked, _)| masked).into())
    }

    /// An event whose words hold no secret.
    pub(super) fn event(&self, event: Event) -> Event {
        if self.search.is_none() && self.short.is_empty() {
            return event;
        }
        match event {
            Event::StreamOpened(stream, host) => Event::StreamOpened(stream, self.words(host)),
            Event::StreamFailed(stream, fault) => Event::StreamFailed(stream, self.fault(fault)),
            Event::StreamClosed(stream, leaks) => Event::StreamClosed(stream, self.leaks(leaks)),
            Event::StepLeaked(step, leaks) => Event::StepLeaked(step, self.leaks(leaks)),
            Event::StepRetried(step, outcome, pause) => Event::StepRetried(step, self.outcome(outcome), pause),
            Event::StepEnded(step, outcome) => Event::StepEnded(step, self.outcome(outcome)),
            Event::StepTaken(step, outcome) => Event::StepTaken(step, self.outcome(outcome)),
            Event::ProcessEnded(step, exit) => Event::ProcessEnded(step, self.exit(exit)),
            Event::JournalFailed(words) => Event::JournalFailed(self.words(words)),
            // A value is written down as it is, so that a run can go on from it, or not at all.
            Event::ValueMade(value, made) => Event::ValueMade(value, made.filter(|made| !self.is_in(made))),
            // Output was masked on its way here, since a secret may stand in two pieces of it.
            Event::Output(..)
            | Event::RunStarted
            | Event::StreamOpening(_)
            | Event::CleanupStarted(_)
            | Event::StepStarted(..)
            | Event::StepWaiting(_)
            | Event::StepReady(_)
            | Event::StepReleased(_)
            | Event::OutputCut(..)
            | Event::BarrierReleased(..)
            | Event::BarrierBroken(..)
            | Event::GateReleased(..)
            | Event::Interrupted(_)
            | Event::RunTimedOut
            | Event::RunEnded(_) => event,
        }
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
            | Value::Regex(_) => {
                let text = value.to_bytes();
                let has = |secret: &Vec<u8>| memchr::memmem::find(&text, secret).is_some();
                self.short.iter().any(has)
                    || self.search.as_ref().is_some_and(|search| search.automaton.is_match(&text))
            }
        }
    }

    fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Failed(reason) => Outcome::Failed(self.reason(reason)),
            Outcome::Unreachable(words) => Outcome::Unreachable(self.words(words)),
            Outcome::Lost(words) => Outcome::Lost(self.words(words)),
            Outcome::Passed | Outcome::TimedOut(_) | Outcome::Broken(_) | Outcome::Cancelled(_) | Outcome::Skipped => {
                outcome
            }
        }
    }

    fn reason(&self, reason: Reason) -> Reason {
        match reason {
            Reason::Exit(exit) => Reason::Exit(self.exit(exit)),
            Reason::Unmet(parts) => {
                Reason::Unmet(parts.into_iter().map(|part| self.words(part.into()).as_ref().to_owned()).collect())
            }
            Reason::Error(words) => Reason::Error(self.words(words)),
            Reason::Background(step, words) => Reason::Background(step, self.words(words)),
        }
    }

    fn exit(&self, exit: Exit) -> Exit {
        match exit {
            Exit::NotStarted(words) => Exit::NotStarted(self.words(words)),
            Exit::Refused(words) => Exit::Refused(self.words(words)),
            Exit::Lost(words) => Exit::Lost(self.words(words)),
            Exit::Status(_) | Exit::Signal(_) | Exit::OutOfMemory(_) => exit,
        }
    }

    fn fault(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Unreachable(words) => Fault::Unreachable(self.words(words)),
            Fault::Lost(words) => Fault::Lost(self.words(words)),
        }
    }

    fn leaks(&self, leaks: Vec<Leak>) -> Vec<Leak> {
        leaks.into_iter().map(|leak| Leak { command: self.words(leak.command), ..leak }).collect()
    }

    fn words(&self, words: Arc<str>) -> Arc<str> {
        let Some(search) = &self.search else { return words };
        match search.masked(words.as_bytes(), 0, words.len()) {
            None => words,
            Some((masked, _)) => String::from_utf8_lossy(&masked).into(),
        }
    }
}

impl Search {
    /// Of these forms, which are in order; none where there is nothing to look for.
    fn new(forms: Vec<Vec<u8>>) -> Option<Self> {
        let longest = forms.iter().map(Vec::len).max()?;
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms);
        Some(Self { automaton: automaton.expect("secrets are no gigabytes"), forms, longest })
    }

    /// The text from `covered` to `certain` with all secrets that begin there replaced, and how much of what follows
    /// they cover. Those that overlap become one. None where the text is to be shown as it is.
    fn masked(&self, text: &[u8], covered: usize, certain: usize) -> Option<(Vec<u8>, usize)> {
        let (mut masked, mut at, mut from) = (Vec::new(), covered, 0);
        while let Some(found) = self.automaton.find(Input::new(text).range(from..)).filter(|it| it.start() < certain) {
            if found.start() >= at {
                masked.extend_from_slice(&text[at..found.start()]);
                masked.extend_from_slice(MASK.as_bytes());
            }
            at = at.max(found.end());
            from = found.start() + 1;
        }
        if at == 0 {
            return None;
        }
        masked.extend_from_slice(text.get(at..certain).unwrap_or_default());
        Some((masked, at.saturating_sub(certain)))
    }

    /// How many bytes at the end of `text` may be the beginning of a secret.
    fn begun(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest - 1);
        let may_begin = |at: &usize| {
            let end = &text[*at..];
            let place = self.forms.partition_point(|form| &form[..] <= end);
            self.forms.get(place).is_some_and(|form| form.starts_with(end))
        };
        (from..text.len()).find(may_begin).map_or(0, |at| text.len() - at)
    }
}
