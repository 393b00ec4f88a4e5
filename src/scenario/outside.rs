//! Bindings from outside of the scenario, by the names of streams and fleets.

use std::collections::HashMap;
use std::sync::Arc;

use super::data::{Entry, PATHS};
use super::{Binding, Bound, Layer, Resolver, Settings};
use crate::diagnostic::{Code, Diagnostic, FileId, Span, Spanned};
use crate::params::Params;
use crate::syntax::ast::Text;
use crate::syntax::parse_line;

/// What stands outside of the scenario, one table a layer, in order of precedence.
#[derive(Default)]
pub(super) struct Outside {
    tables: Vec<Table>,
}

/// The bindings of one layer.
struct Table {
    layer: Layer,
    offers: Vec<Offer>,
    /// By whole name: the last of a name counts.
    named: HashMap<Arc<str>, usize>,
    /// Parts of fleets, in order.
    parts: Vec<usize>,
}

/// A binding for whoever has that name.
struct Offer {
    name: Spanned<Arc<str>>,
    /// `client[1..3]`: which of the fleet.
    part: Option<(i64, i64)>,
    form: Form,
    /// What became of it, once somebody wanted it.
    made: Option<Arc<Binding>>,
}

/// How a binding outside is written.
enum Form {
    /// As a URI.
    Uri(Text),
    /// In a tree of parameters.
    Tree(Entry),
    /// In a way that nobody could read; that has been told.
    Broken,
}

/// Whom a binding is wanted for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The name of the stream.
    pub(super) name: &'a str,
    /// Its fleet, and its number there.
    pub(super) fleet: Option<(&'a str, i64)>,
}

impl Table {
    fn new(layer: Layer, offers: Vec<Offer>) -> Self {
        let mut it = Self { layer, offers, named: HashMap::new(), parts: Vec::new() };
        for (at, offer) in it.offers.iter().enumerate() {
            match offer.part {
                None => drop(it.named.insert(Arc::clone(&offer.name.node), at)),
                Some(_) => it.parts.push(at),
            }
        }
        it
    }

    /// The offer for a stream: one for it alone goes before one for a part of its fleet, and that before the whole.
    fn find(&self, wanted: Wanted<'_>) -> Option<usize> {
        let alone = || self.named.get(wanted.name).copied();
        let Some((fleet, number)) = wanted.fleet else { return alone() };
        let fits = |offer: &Offer| {
            *offer.name.node == *fleet && offer.part.is_some_and(|(first, last)| (first..=last).contains(&number))
        };
        let part = || self.parts.iter().rev().copied().find(|at| fits(&self.offers[*at]));
        alone().or_else(part).or_else(|| self.named.get(fleet).copied())
    }
}

impl Resolver<'_> {
    /// Collects what the command line and the parameter files say of streams.
    pub(super) fn outside(&mut self, settings: &Settings) {
        let offers = settings.streams.iter().filter_map(|text| self.of_command_line(text)).collect();
        self.outside.tables.push(Table::new(Layer::CommandLine, offers));
        let params = self.given.params.clone();
        if !params.tree().is_empty() {
            let (given, named) = self.of_tree(&params, Layer::NamedFile);
            self.outside.tables.extend([Table::new(Layer::ParameterFile, given), Table::new(Layer::NamedFile, named)]);
        }
        for (layer, params) in self.given.configs.clone() {
            let (_, offers) = self.of_tree(&params, layer);
            self.outside.tables.push(Table::new(layer, offers));
        }
    }

    /// The streams of a tree, those that a file of `--params` has a part in first. Each name stands at its place of the
    /// highest precedence.
    fn of_tree(&mut self, params: &Params, layer: Layer) -> (Vec<Offer>, Vec<Offer>) {
        let (mut given, mut others) = (Vec::new(), Vec::new());
        for entry in PATHS.iter().flat_map(|path| self.entries(params, path)).collect::<Vec<_>>() {
            let by_command_line = |span: &Span| layer == Layer::NamedFile && self.given.by_command_line(*span);
            let outer = entry.places().find(by_command_line);
            let span = outer.or_else(|| entry.places().next()).unwrap_or(entry.name.span);
            let (name, part) = part(Spanned::new(Arc::clone(&entry.name.node), span));
            let offers = if outer.is_some() { &mut given } else { &mut others };
            offers.push(Offer { name, part, form: Form::Tree(entry), made: None });
        }
        (given, others)
    }

    /// `NAME=URI`, as a source of its own, so that what is wrong with it is shown where it is.
    fn of_command_line(&mut self, text: &str) -> Option<Offer> {
        let file = self.sources.add("--stream", text);
        let (name, from) = self.target(text, file)?;
        let form = match parse_line(file, from..text.len(), self.sources) {
            Ok(uri) => Form::Uri(uri),
            Err(problems) => {
                self.problems.extend(problems);
                Form::Broken
            }
        };
        let (name, part) = part(name);
        Some(Offer { name, part, form, made: None })
    }

    /// The name in `NAME=URI`, quoted or not, and where the URI begins.
    fn target(&mut self, text: &str, file: FileId) -> Option<(Spanned<Arc<str>>, usize)> {
        let (name, from, place) = match text.strip_prefix('"').and_then(|rest| rest.find("\"=")) {
            Some(end) => (&text[1..=end], end + 3, 0..end + 2),
            None => match text.find('=') {
                Some(end) => (text[..end].trim(), end + 1, 0..end),
                None => (text, text.len(), 0..text.len()),
            },
        };
        let span = Span::new(file, place);
        if name.is_empty() || from > text.len() || !text.contains('=') {
            let problem = Diagnostic::new(Code::UnexpectedToken, span, "`--stream` takes NAME=URI");
            self.problems.push(problem.help("--stream server=ssh://tester@foo.example.com"));
            return None;
        }
        Some((Spanned::new(name.into(), span), from))
    }

    /// The binding that `layer`s up to the scenario, or below it, have for a stream. A broken one is the built-in one.
    pub(super) fn offered(&mut self, wanted: Wanted<'_>, above: bool) -> Option<Arc<Binding>> {
        let fits = |table: &Table| (table.layer < Layer::Scenario) == above;
        let found = |(at, table): (usize, &Table)| Some((at, table.find(wanted)?));
        let (table, offer) = self.outside.tables.iter().enumerate().filter(|(_, it)| fits(it)).find_map(found)?;
        Some(self.made(table, offer))
    }

    fn made(&mut self, table: usize, offer: usize) -> Arc<Binding> {
        let layer = self.outside.tables[table].layer;
        let it = &mut self.outside.tables[table].offers[offer];
        if let Some(made) = &it.made {
            return Arc::clone(made);
        }
        let span = it.name.span;
        let written = match std::mem::replace(&mut it.form, Form::Broken) {
            Form::Uri(text) => self.uri(&text, text.span),
            Form::Tree(entry) => self.written_in_tree(&entry),
            Form::Broken => None,
        };
        let binding = written.map(|written| self.bind(written, layer));
        let mut made = binding.unwrap_or_else(Binding::built_in);
        made.bound = Bound { layer, span: Some(span) };
        let made = Arc::new(made);
        self.outside.tables[table].offers[offer].made = Some(Arc::clone(&made));
        made
    }

    /// What the command line binds and nobody knows.
    pub(super) fn unknown_targets(&mut self) {
        let tables = std::mem::take(&mut self.outside.tables);
        for table in tables.iter().filter(|table| table.layer == Layer::CommandLine) {
            for offer in &table.offers {
                let problem = self.unknown_target(offer);
                self.problems.extend(problem);
            }
        }
        self.outside.tables = tables;
    }

    fn unknown_target(&self, offer: &Offer) -> Option<Diagnostic> {
        let name = &offer.name.node;
        let fleet = self.scenario.fleets.get(name);
        let span = offer.name.span;
        if let (Some((first, last)), Some(members)) = (offer.part, fleet) {
            let numbers = || members.iter().map(|id| self.scenario.streams[*id].index);
            let (low, high) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0));
            let empty = !numbers().any(|number| (first..=last).contains(&number));
            let problem = Diagnostic::new(Code::EmptySelection, span, "the fleet has no such part");
            return empty.then(|| problem.help(format!("streams: `{name}[{low}..{high}]`")));
        }
        let known = fleet.is_some() || (offer.part.is_none() && self.scenario.stream_named(name).is_some());
        if known {
            return None;
        }
        let names = self.scenario.streams.values().map(|stream| &*stream.name);
        let fleets = self.scenario.fleets.keys().map(|name| &**name);
        let what = if offer.part.is_some() { "fleet" } else { "stream" };
        let problem = Diagnostic::new(Code::UnknownStream, span, format!("there is no {what} `{name}`"));
        let problem = problem.near("stream", name, fleets.chain(names));
        Some(if problem.help.is_some() { problem } else { problem.help(self.existing()) })
    }
}

/// `client[1..3]` and `client[2]` as a fleet and a part of it.
pub(super) fn part(name: Spanned<Arc<str>>) -> (Spanned<Arc<str>>, Option<(i64, i64)>) {
    let numbers = |text: &str| {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    let found = name.node.strip_suffix(']').and_then(|rest| rest.split_once('['));
    match found.and_then(|(fleet, text)| Some((fleet, numbers(text)?))) {
        Some((fleet, part)) => (Spanned::new(fleet.into(), name.span), Some(part)),
        None => (name, None),
    }
}
