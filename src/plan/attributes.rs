//! What expressions say of streams: `web.host`, `client[2].port`, `streams[1..2].success`.

use std::sync::Arc;

use super::build::{Builder, Cursor, Early};
use super::resolve::Meaning;
use super::{Expr, Need};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Id as _, StreamId};
use crate::syntax::Value;
use crate::syntax::ast::{self, ExprKind, Name};

/// What stands between the brackets of a fleet.
enum Which {
    Numbers(std::ops::RangeInclusive<i64>),
    Name(Arc<str>),
}

impl Builder<'_> {
    pub(super) fn attribute(&mut self, stream: StreamId, name: &Name, cursor: &mut Cursor<'_>) -> Meaning {
        let constant = |value| Meaning::Expr(Expr::Constant(value));
        self.referred.insert(stream);
        let finale = stream.index() >= self.scenario.streams.len();
        match &*name.node {
            "name" => constant(Value::Text(self.stream_name(stream))),
            "index" if !finale => constant(Value::Int(self.scenario.streams[stream].index)),
            "host" if finale => constant(Value::Text("127.0.0.1".into())),
            "host" => Meaning::Expr(self.address(stream, cursor)),
            "success" => Meaning::Expr(success(&[stream], cursor)),
            _ if stream == cursor.stream => {
                if let Some(value) = cursor.values.get(&name.node) {
                    self.used.extend(self.made.get(value));
                    return Meaning::Result(*value);
                }
                self.early.push(Early {
                    stream,
                    name: name.node.clone(),
                    span: name.span,
                    member: false,
                    attribute: true,
                });
                Meaning::Nothing
            }
            _ => {
                let value = self.export(stream, &name.node, name.span);
                need(cursor, Need::Value(value));
                Meaning::Result(value)
            }
        }
    }

    pub(super) fn attributes(&mut self, streams: &[StreamId], name: &Name, cursor: &mut Cursor<'_>) -> Meaning {
        if &*name.node == "success" {
            return Meaning::Expr(success(streams, cursor));
        }
        if &*name.node == "len" {
            return Meaning::Expr(Expr::Constant(Value::Int(i64::try_from(streams.len()).unwrap_or(i64::MAX))));
        }
        let each = streams.iter().map(|stream| {
            let meaning = self.attribute(*stream, name, cursor);
            self.value_of(meaning, name.span, cursor)
        });
        let list = Expr::List(each.collect());
        Meaning::Expr(self.fold(list, name.span))
    }

    fn address(&mut self, stream: StreamId, cursor: &mut Cursor<'_>) -> Expr {
        if let Some(host) = self.host(stream) {
            return Expr::Constant(Value::Text(host));
        }
        if stream != cursor.stream {
            need(cursor, Need::Host(stream));
        }
        Expr::Host(stream)
    }

    /// `client[2]`, `client[1..3]`, `streams["a name"]`, `streams[0]`. Among all streams, integers are names where any
    /// stream has one for a name, else positions; in a fleet they are its own numbers.
    pub(super) fn part(
        &mut self,
        streams: &[StreamId],
        index: &ast::Expr,
        all: bool,
        cursor: &mut Cursor<'_>,
    ) -> Meaning {
        let Some(which) = self.which(index, cursor) else { return Meaning::Nothing };
        let scenario = self.scenario;
        let integer = |id: &StreamId| scenario.streams[*id].name.parse::<i64>().ok();
        let by_name = all && streams.iter().any(|id| integer(id).is_some());
        let number = |id: &StreamId| match all {
            true if by_name => integer(id),
            true => i64::try_from(id.index()).ok(),
            false => Some(scenario.streams[*id].index),
        };
        let chosen = |id: &StreamId| match &which {
            Which::Numbers(numbers) => number(id).is_some_and(|it| numbers.contains(&it)),
            Which::Name(name) => scenario.streams[*id].name == *name,
        };
        let found: Vec<StreamId> = streams.iter().copied().filter(chosen).collect();
        match (&found[..], &index.kind) {
            ([], _) => {
                let known: Vec<&str> = streams.iter().map(|id| &*scenario.streams[*id].name).take(12).collect();
                let problem = Diagnostic::new(Code::UnknownStream, index.span, "there is no such stream");
                self.tell(problem.help(format!("there are: {}", known.join(", "))));
                Meaning::Nothing
            }
            (_, ExprKind::Range(..)) => Meaning::Streams(found),
            ([one, ..], _) => Meaning::Stream(*one),
        }
    }

    /// What stands between the brackets; it has to be known before the run.
    fn which(&mut self, index: &ast::Expr, cursor: &mut Cursor<'_>) -> Option<Which> {
        let found = if let ExprKind::Range(first, last) = &index.kind {
            let (first, last) = (self.integer(first, cursor), self.integer(last, cursor));
            first.zip(last).map(|(first, last)| Which::Numbers(first..=last))
        } else {
            let value = self.expr(index, cursor);
            let value = value.as_constant();
            let number = value.and_then(Value::as_int).map(|at| Which::Numbers(at..=at));
            number.or_else(|| value.and_then(Value::as_text).cloned().map(Which::Name))
        };
        if found.is_none() {
            self.wrong(index.span, "which stream is meant is decided before the run: a number or a name stands here");
        }
        found
    }
}

/// Whether all of these passed; known once their timelines have ended.
fn success(streams: &[StreamId], cursor: &mut Cursor<'_>) -> Expr {
    for stream in streams {
        need(cursor, Need::End(*stream));
    }
    Expr::Success(streams.into())
}

/// Notes what the step at hand needs, once.
pub(super) fn need(cursor: &mut Cursor<'_>, need: Need) {
    // Cleaning up never waits for others.
    if !cursor.cleaning && !cursor.needs.contains(&need) {
        cursor.needs.push(need);
    }
}
