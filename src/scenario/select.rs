//! Selectors: which streams an `on` block means.

use regex::Regex;

use super::{Id as _, Resolver, StreamId};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::syntax::ast::{Pick, PickKind, Selector};

impl Resolver<'_> {
    /// The streams of a selector, in order of definition, each once.
    pub(super) fn select(&mut self, selector: &Selector) -> Vec<StreamId> {
        let mut chosen: Vec<StreamId> = selector.picks.iter().flat_map(|pick| self.pick(pick, true)).collect();
        let left_out: Vec<StreamId> = selector.except.iter().flat_map(|pick| self.pick(pick, false)).collect();
        let before = chosen.len();
        chosen.retain(|id| !left_out.contains(id));
        if before > 0 && chosen.is_empty() {
            let message = "nothing is left of this selection";
            self.problems.push(Diagnostic::new(Code::EmptySelection, selector.span, message));
        }
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    fn pick(&mut self, pick: &Pick, may_make: bool) -> Vec<StreamId> {
        let found = match &pick.kind {
            PickKind::All => self.scenario.streams.ids().collect(),
            PickKind::Name(name) => match (self.scenario.fleets.get(name), self.scenario.stream_named(name)) {
                (Some(fleet), _) => fleet.clone(),
                (None, Some(stream)) => vec![stream],
                (None, None) if may_make => return self.undeclared(name, pick.span).into_iter().collect(),
                (None, None) => Vec::new(),
            },
            PickKind::Part(name, first, last) => self.part(name, *first, *last),
            PickKind::Regex(pattern) => self.matching(pattern, pick.span),
            PickKind::Range(first, last) => self.numbered(*first, *last),
        };
        if found.is_empty() {
            self.matches_nothing(pick);
        }
        found
    }

    fn part(&self, fleet: &str, first: i64, last: i64) -> Vec<StreamId> {
        let members = self.scenario.fleets.get(fleet).map_or(&[][..], |members| members);
        let inside = |id: &StreamId| (first..=last).contains(&self.scenario.streams[*id].index);
        members.iter().copied().filter(inside).collect()
    }

    fn matching(&mut self, pattern: &str, span: Span) -> Vec<StreamId> {
        match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) => {
                let all = self.scenario.streams.iter();
                all.filter(|(_, stream)| regex.is_match(&stream.name)).map(|(id, _)| id).collect()
            }
            Err(error) => {
                let words = error.to_string();
                let last = words.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.problems.push(Diagnostic::new(Code::InvalidString, span, format!("not a regex: {last}")));
                Vec::new()
            }
        }
    }

    /// Integers are names where any stream has one for a name, else positions from 0.
    fn numbered(&self, first: i64, last: i64) -> Vec<StreamId> {
        let name = |id: StreamId| self.scenario.streams[id].name.parse::<i64>().ok();
        let names = self.scenario.streams.ids().any(|id| name(id).is_some());
        let number = |id: StreamId| if names { name(id) } else { i64::try_from(id.index()).ok() };
        self.scenario.streams.ids().filter(|id| number(*id).is_some_and(|it| (first..=last).contains(&it))).collect()
    }

    fn matches_nothing(&mut self, pick: &Pick) {
        if self.problems.last().is_some_and(|problem| problem.span == pick.span) {
            return;
        }
        let what = match &pick.kind {
            PickKind::All => "there is no stream at all".to_owned(),
            PickKind::Name(name) => format!("there is no stream `{name}`"),
            PickKind::Part(name, ..) if !self.scenario.fleets.contains_key(name) => {
                format!("there is no fleet `{name}`")
            }
            PickKind::Part(..) => "the fleet has no such part".to_owned(),
            PickKind::Regex(pattern) => format!("no stream's name matches /{pattern}/"),
            PickKind::Range(..) => "no stream has such a number".to_owned(),
        };
        let known = self.existing();
        self.problems.push(Diagnostic::new(Code::EmptySelection, pick.span, what).help(known));
    }

    /// What exists, in a few words.
    pub(super) fn existing(&self) -> String {
        let single = self
            .scenario
            .streams
            .iter()
            .filter(|(id, _)| !self.scenario.fleets.values().any(|members| members.contains(id)));
        let mut names: Vec<String> = single.map(|(_, stream)| format!("`{}`", stream.name)).take(12).collect();
        for (name, members) in &self.scenario.fleets {
            let index = |id: Option<&StreamId>| id.map_or(0, |id| self.scenario.streams[*id].index);
            names.push(format!("`{name}[{}..{}]`", index(members.first()), index(members.last())));
        }
        if names.is_empty() { "no stream is declared".to_owned() } else { format!("streams: {}", names.join(", ")) }
    }
}
