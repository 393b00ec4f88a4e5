//! Expressions with all names resolved, and what they come to.

use std::sync::Arc;

use super::ValueId;
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
}

/// Why an expression has no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown(pub String);
