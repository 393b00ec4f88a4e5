//! Expressions with all names resolved, and what they come to.

mod evaluate;
mod show;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use evaluate::{evaluate, holds};
pub use show::{explain, show};

use super::{Need, ValueId};
use crate::diagnostic::Span;
use crate::scenario::StreamId;
use crate::syntax::Value;
use crate::syntax::ast::Operator;

/// An expression: constants, and what only a run can tell.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// Known beforehand.
    Constant(Value),
    /// What a `let` made.
    Value(ValueId, Field),
    /// The address of a stream.
    Host(StreamId),
    /// Whether all steps of all these streams passed.
    Success(Box<[StreamId]>),
    /// `secret("NAME")`.
    Secret(Arc<str>),
    /// `a.b` and `a["b"]`, `a[0]`.
    Index(Box<Expr>, Box<Expr>),
    /// A list.
    List(Box<[Expr]>),
    /// A map, in order.
    Map(Box<[(Arc<str>, Expr)]>),
    /// A text with holes.
    Concat(Box<[Expr]>),
    /// `not a`.
    Not(Box<Expr>),
    /// `a == b`, and where it was written.
    Binary(Box<(Expr, Operator, Expr)>, Span),
}

impl Expr {
    /// The value, where it is known beforehand.
    pub fn as_constant(&self) -> Option<&Value> {
        if let Self::Constant(value) = self { Some(value) } else { None }
    }
}

/// What of the result of a `let x = <code>` is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Field {
    /// The value itself: an evaluated expression, or the stdout without trailing newlines.
    Whole,
    /// All of stdout.
    Stdout,
    /// All of stderr.
    Stderr,
    /// The exit status.
    Exit,
    /// How long it took.
    Duration,
    /// The stdout, read as JSON.
    Json,
}

/// What an expression needs of a run.
pub trait Context {
    /// A part of what a `let` made; `None` where it is not there.
    fn value(&self, id: ValueId, field: Field) -> Option<Value>;
    /// The address of an open stream.
    fn host(&self, stream: StreamId) -> Option<Value>;
    /// Whether all steps of that stream passed.
    fn success(&self, stream: StreamId) -> bool;
    /// The secret of that name.
    fn secret(&self, name: &str) -> Option<Value>;
    /// What messages call a value.
    fn name(&self, id: ValueId) -> Arc<str> {
        format!("value {}", id.0).into()
    }
}

/// Why an expression has no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown(pub String);

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Expr {
    /// Everything of a run that must be there before the expression can be evaluated, in order.
    pub fn needs(&self) -> Vec<Need> {
        let (mut found, mut left) = (Vec::new(), vec![self]);
        while let Some(it) = left.pop() {
            match it {
                Self::Constant(_) | Self::Secret(_) => {}
                Self::Value(id, _) => found.push(Need::Value(*id)),
                Self::Host(stream) => found.push(Need::Host(*stream)),
                Self::Success(streams) => found.extend(streams.iter().map(|stream| Need::End(*stream))),
                Self::Index(of, at) => left.extend([&**at, &**of]),
                Self::List(items) | Self::Concat(items) => left.extend(items.iter().rev()),
                Self::Map(entries) => left.extend(entries.iter().rev().map(|(_, value)| value)),
                Self::Not(inner) => left.push(inner),
                Self::Binary(parts, _) => left.extend([&parts.2, &parts.0]),
            }
        }
        found
    }
}

impl Field {
    /// As it is written after the value's name; nothing for the whole.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Stdout => ".stdout",
            Self::Stderr => ".stderr",
            Self::Exit => ".exit",
            Self::Duration => ".duration",
            Self::Json => ".json",
        }
    }
}
