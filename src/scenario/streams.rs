//! Streams and fleets, declared or only used: which binding counts for each.

use std::sync::Arc;

use super::data::{Entry, PATHS};
use super::outside::{self, Wanted};
use super::trees::beside;
use super::{Binding, Layer, Resolver, Settings, Stream, StreamId};
use crate::diagnostic::{Code, Diagnostic, Span, Spanned};
use crate::syntax::ast::{self, Expr, Name};

/// How many streams one fleet may have.
const MAX_FLEET: i64 = 100_000;

/// What a declaration says of itself.
#[derive(Clone, Copy)]
enum Own<'a> {
    /// Behind its `=`.
    Expr(&'a Expr),
    /// In the file that `streams` names.
    Tree(&'a Entry),
}

impl Resolver<'_> {
    pub(super) fn stream(&mut self, declared: &ast::Stream) {
        let own = declared.binding.as_ref().map(Own::Expr);
        self.declared(&declared.name, declared.fleet, own);
    }

    /// `streams "FILE.yaml" at "/Second/*"`: everything that stands there.
    pub(super) fn streams(&mut self, file: &Name, at: Option<&Name>) {
        let path = beside(file.span, &file.node, self.sources);
        let Some(params) = self.given.files.get(&path).cloned() else { return };
        let entries = match at {
            Some(at) => self.entries(&params, &at.node),
            None => PATHS.iter().flat_map(|path| self.entries(&params, path)).collect(),
        };
        if entries.is_empty() && !params.tree().is_empty() {
            let place = at.cloned().unwrap_or_else(|| Spanned::new(PATHS[0].into(), file.span));
            self.nothing_at(&place, &params);
        }
        for entry in entries {
            let (name, part) = outside::part(entry.name.clone());
            let fleet = part.map(|part| Spanned::new(part, name.span));
            self.declared(&name, fleet, Some(Own::Tree(&entry)));
        }
    }

    fn declared(&mut self, name: &Name, fleet: Option<Spanned<(i64, i64)>>, own: Option<Own<'_>>) {
        if !self.fresh("stream", name) {
            return;
        }
        let mut made = None;
        for (member, index) in self.members(name, fleet) {
            let wanted = Wanted { name: &member, fleet: index.map(|index| (&*name.node, index)) };
            let binding = self.binding(wanted, own, &mut made, name.span);
            let index = index.unwrap_or_else(|| i64::try_from(self.scenario.streams.len()).unwrap_or(i64::MAX));
            let it = Stream { name: member.clone(), binding, index, span: name.span, declared: true };
            let id = self.scenario.add(it);
            if fleet.is_some() {
                self.places.insert(("stream", member), name.span);
                self.scenario.fleets.entry(name.node.clone()).or_default().push(id);
            }
        }
    }

    /// The binding that counts for a declared stream. `own` is that of its declaration, and `made` what became of it.
    fn binding(
        &mut self,
        wanted: Wanted<'_>,
        own: Option<Own<'_>>,
        made: &mut Option<Arc<Binding>>,
        span: Span,
    ) -> Arc<Binding> {
        if let Some(found) = self.offered(wanted, true) {
            return found;
        }
        if let Some(own) = own {
            return Arc::clone(made.get_or_insert_with(|| self.own(own)));
        }
        if let Some(found) = self.offered(wanted, false) {
            return found;
        }
        if self.strict {
            self.unbound(wanted.name, span);
        }
        self.default_binding()
    }

    /// A stream whose binding is wrong still exists, so that nobody is told that it does not.
    fn own(&mut self, own: Own<'_>) -> Arc<Binding> {
        let written = match own {
            Own::Expr(expr) => self.written(expr),
            Own::Tree(entry) => self.written_in_tree(entry),
        };
        Arc::new(written.map_or_else(Binding::built_in, |written| self.bind(written, Layer::Scenario)))
    }

    /// Under `strict` no stream may come from the default.
    fn unbound(&mut self, name: &str, span: Span) {
        if self.problems.last().is_some_and(|problem| problem.span == span) {
            return;
        }
        let problem = Diagnostic::new(Code::UnknownStream, span, format!("nobody says where the stream `{name}` is"));
        let problem = problem.note("under `set strict = true` no stream comes from the default");
        self.problems.push(problem.help(format!("bind it here, or from outside: --stream {name}=URI")));
    }

    /// The names that a declaration makes, with their numbers.
    fn members(&mut self, name: &Name, fleet: Option<Spanned<(i64, i64)>>) -> Vec<(Arc<str>, Option<i64>)> {
        let Some(Spanned { node: (first, last), span }) = fleet else {
            return vec![(name.node.clone(), None)];
        };
        if last < first || last - first >= MAX_FLEET {
            let message = format!("a fleet has 1 to {MAX_FLEET} streams, counted upwards");
            self.problems.push(Diagnostic::new(Code::LimitExceeded, span, message));
            return Vec::new();
        }
        (first..=last).map(|index| (format!("{}-{index}", name.node).into(), Some(index))).collect()
    }

    /// What a stream comes from that nobody binds.
    fn default_binding(&mut self) -> Arc<Binding> {
        if let Some(made) = &self.default_binding {
            return Arc::clone(made);
        }
        let written = self.default.clone().and_then(|uri| self.written(&uri));
        let made = written.map_or_else(Binding::built_in, |written| self.bind(written, Layer::DefaultStream));
        Arc::clone(self.default_binding.insert(Arc::new(made)))
    }

    /// A stream that is used and not declared: bound from outside, else the default, with a warning; under `strict` an
    /// error.
    pub(super) fn undeclared(&mut self, name: &Arc<str>, span: Span) -> Option<StreamId> {
        let wanted = Wanted { name, fleet: None };
        let outside = self.offered(wanted, true).or_else(|| self.offered(wanted, false));
        let binding = match outside {
            Some(binding) => binding,
            None => self.undeclared_binding(name, span)?,
        };
        let index = i64::try_from(self.scenario.streams.len()).unwrap_or(i64::MAX);
        Some(self.scenario.add(Stream { name: name.clone(), binding, index, span, declared: false }))
    }

    fn undeclared_binding(&mut self, name: &str, span: Span) -> Option<Arc<Binding>> {
        let names: Vec<Arc<str>> = self.scenario.streams.values().map(|stream| stream.name.clone()).collect();
        let fleets: Vec<Arc<str>> = self.scenario.fleets.keys().cloned().collect();
        let known = names.iter().chain(&fleets).map(|name| &**name);
        let message = format!("there is no stream `{name}`");
        let problem = Diagnostic::new(Code::UnknownStream, span, message).near("stream", name, known);
        if self.strict {
            self.problems
                .push(problem.note("under `set strict = true` every stream is declared or bound from outside"));
            return None;
        }
        let uri = self.default.as_ref().and_then(|uri| uri.as_text());
        let default = format!("it is taken as `stream {name} = {}`", uri.map_or("local", |uri| uri));
        self.problems.push(problem.softened().note(default));
        Some(self.default_binding())
    }

    /// `-p` names that no parameter of the scenario has.
    pub(super) fn unknown_settings(&mut self, settings: &Settings) {
        for (name, _) in &settings.params {
            if !self.scenario.params.contains_key(name.as_str()) {
                self.problem_of_command_line(Code::UnknownValue, format!("-p {name}: there is no such parameter"));
            }
        }
    }

    /// A mistake on the command line has no place in a file; it is told at the start of the first one.
    fn problem_of_command_line(&mut self, code: Code, message: String) {
        let params: Vec<&str> = self.scenario.params.keys().map(|name| &**name).collect();
        let problem = Diagnostic::new(code, Span::default(), message);
        let known = if params.is_empty() { "the scenario has none".to_owned() } else { params.join(", ") };
        self.problems.push(problem.help(format!("parameters: {known}")));
    }
}
