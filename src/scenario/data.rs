//! Streams as trees of parameters have them: nodes with keys, lists of names, URIs as values.

use std::sync::Arc;

use super::binding::Written;
use super::{Resolver, keys, passwords, uri};
use crate::diagnostic::{Code, Diagnostic, Span, Spanned};
use crate::params::{Data, Found, Params};
use crate::syntax::ast::{Expr, ExprKind, Name, Piece, Text};
use crate::syntax::{Value, parse_line};

/// Where a parameter file has its streams.
pub(super) const PATHS: [&str; 2] = ["/streams/*", "/avocado/streams/*"];

/// A stream in a tree.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) data: Spanned<Data>,
}

impl Entry {
    /// Every place that it is made of, its name first. Merged files have a part in it each.
    pub(super) fn places(&self) -> impl Iterator<Item = Span> {
        let pairs = if let Data::Map(pairs) = &self.data.node { &pairs[..] } else { &[] };
        let own = [self.name.span].into_iter().filter(move |_| pairs.is_empty());
        let value = (pairs.is_empty()).then_some(self.data.span);
        own.chain(value).chain(pairs.iter().map(|(key, _)| key.span)).chain([self.name.span])
    }
}

impl Resolver<'_> {
    /// The streams at a path, in the order of the files: of a node those in it, of a list those that it lists.
    pub(super) fn entries(&mut self, params: &Params, path: &str) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        for Found { name, data, .. } in params.at(path) {
            all.push(Entry { name, data });
        }
        let lists = path.strip_suffix("/*").map(|above| params.at(above)).unwrap_or_default();
        for found in lists {
            let Data::List(items) = found.data.node else { continue };
            for item in items {
                match item.node {
                    Data::Map(pairs) => all.extend(pairs.into_iter().map(|(name, data)| Entry { name, data })),
                    Data::Scalar(..) | Data::List(_) => {
                        let problem = Diagnostic::new(Code::WrongType, item.span, "this stream has no name");
                        self.problems.push(problem.help("a list has streams with their names: `- server: ssh://host`"));
                    }
                }
            }
        }
        all
    }

    /// The kind and the keys of a stream in a tree.
    pub(super) fn written_in_tree(&mut self, entry: &Entry) -> Option<Written> {
        let Entry { name, data } = entry;
        match &data.node {
            Data::Scalar(Value::Null, _) => self.untyped(name),
            Data::Scalar(_, text) => {
                let text = self.text(text, data.span)?;
                self.uri(&text, data.span)
            }
            Data::List(_) => {
                let message = format!("`{}` is a URI or has keys, and this is a list", name.node);
                self.problems.push(Diagnostic::new(Code::WrongType, data.span, message));
                None
            }
            Data::Map(pairs) => self.written_with_keys(name, pairs),
        }
    }

    /// `type: ssh` and the keys beside it.
    pub(super) fn written_with_keys(&mut self, name: &Name, pairs: &[(Name, Spanned<Data>)]) -> Option<Written> {
        let Some((_, kind)) = pairs.iter().find(|(key, _)| &*key.node == "type") else { return self.untyped(name) };
        let Some(text) = kind.node.text() else {
            let problem = Diagnostic::new(Code::WrongType, kind.span, "`type` takes the name of a kind");
            self.problems.push(problem.help("the kinds are: local, ssh, docker"));
            return None;
        };
        let kind = self.kind(text, kind.span)?;
        let others = pairs.iter().filter(|(key, _)| &*key.node != "type");
        let keys = others.filter_map(|(key, data)| Some((key.clone(), self.value(key, data)?))).collect();
        Some(Written { kind, keys, span: name.span })
    }

    fn untyped(&mut self, name: &Name) -> Option<Written> {
        let message = format!("nobody says what kind of stream `{}` is", name.node);
        let problem = Diagnostic::new(Code::MissingOption, name.span, message);
        self.problems.push(problem.help("`type: ssh`, `type: docker`, `type: local`; or a URI in place of the keys"));
        None
    }

    /// The value of a key, holes in it included. What a scalar is depends on the key, so it is taken as it is spelt.
    fn value(&mut self, key: &Name, data: &Spanned<Data>) -> Option<Expr> {
        let span = data.span;
        let kind = match &data.node {
            Data::Scalar(Value::Null, _) => ExprKind::Literal(Value::Null),
            Data::Scalar(_, text) if text.contains("${{") => {
                let text = self.text(text, span)?;
                if let [Piece::Hole(expr, _)] = &text.pieces[..] {
                    return Some((**expr).clone());
                }
                return Some(Expr { span: text.span, kind: ExprKind::Template(text) });
            }
            Data::Scalar(_, text) => ExprKind::Literal(Value::Text(Arc::clone(text))),
            Data::List(items) => ExprKind::List(items.iter().filter_map(|item| self.value(key, item)).collect()),
            // A key with nothing behind it is an empty node.
            Data::Map(pairs) if pairs.is_empty() && !keys::takes_map(&key.node) => ExprKind::Literal(Value::Null),
            Data::Map(pairs) => {
                let pairs = pairs.iter().filter_map(|(name, data)| Some((name.clone(), self.value(key, data)?)));
                ExprKind::Map(pairs.collect())
            }
        };
        Some(Expr { kind, span })
    }

    /// A scalar as text with holes, each at its place. `$${{` stands for `${{`.
    fn text(&mut self, text: &Arc<str>, span: Span) -> Option<Text> {
        let quoted = self.sources.text(span).starts_with(['"', '\'']);
        let inside = if quoted { span.start + 1..span.end - 1 } else { span.start..span.end };
        let inside = Span { start: inside.start, end: inside.end.max(inside.start), ..span };
        if !text.contains("${{") {
            return Some(uri::plain(text, inside));
        }
        // Where YAML has escapes or folds lines, the text is a source of its own.
        let place = if *self.sources.text(inside) == **text {
            inside
        } else {
            let name = self.sources.place(span);
            let file = self.sources.add(name, &**text);
            Span::new(file, 0..text.len())
        };
        let read = parse_line(place.file, place.range(), self.sources);
        if place.file != span.file {
            self.sources.hide(&passwords::places(self.sources, place.file));
        }
        read.map_err(|problems| self.problems.extend(problems)).ok()
    }

    /// `params("/streams/first/*")`: the kind and the keys that stand at a path.
    pub(super) fn written_at(&mut self, path: &Name) -> Option<Written> {
        let params = self.given.params.clone();
        if params.tree().is_empty() {
            let problem = Diagnostic::new(Code::EmptySelection, path.span, "no parameter file says anything");
            let help = "name one in the scenario, `params \"FILE.yaml\"`, or on the command line, `--params FILE.yaml`";
            self.problems.push(problem.help(help));
            return None;
        }
        let keys = match params.keys(&path.node) {
            Ok(keys) => keys,
            Err(clash) => {
                let mut problem = Diagnostic::new(
                    Code::ParameterClash,
                    path.span,
                    format!("several nodes at `{}` say different things", path.node),
                );
                for hit in &clash.hits {
                    problem = problem.other(hit.key, format!("in `{}`", hit.path));
                }
                self.problems.push(problem.help("name one of them: `/streams/first/*`"));
                return None;
            }
        };
        if keys.is_empty() {
            let own = path.node.trim_end_matches("/*");
            let found = params.at(own).into_iter().find(|found| found.data.node != Data::Map(Vec::new()));
            if let Some(Found { name, data, .. }) = found {
                return self.written_in_tree(&Entry { name, data });
            }
            self.nothing_at(path, &params);
            return None;
        }
        let pairs: Vec<(Name, Spanned<Data>)> =
            keys.into_iter().map(|(name, hit)| (Spanned::new(name, hit.key), hit.value)).collect();
        self.written_with_keys(&Spanned::new(Arc::clone(&path.node), path.span), &pairs)
    }

    /// Nothing stands at a path: says what does stand beside it.
    pub(super) fn nothing_at(&mut self, path: &Name, params: &Params) {
        let problem = Diagnostic::new(Code::EmptySelection, path.span, format!("nothing stands at `{}`", path.node));
        let found = PATHS.iter().chain(&["/*"]).flat_map(|path| params.at(path));
        let mut known: Vec<String> =
            found.map(|it| it.path.strip_prefix("/run").unwrap_or(&it.path).to_owned()).collect();
        let wanted = path.node.trim_end_matches("/*");
        let near = crate::diagnostic::similar(wanted, known.iter().map(String::as_str)).map(str::to_owned);
        known.truncate(12);
        self.problems.push(match near {
            Some(near) => problem.help(format!("a path with a similar name exists: `{near}`")),
            None if known.is_empty() => problem.help("no parameter file says anything"),
            None => problem.help(format!("there are: `{}`", known.join("`, `"))),
        });
    }
}
