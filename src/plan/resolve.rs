//! Names in expressions: what they mean, and what of it is known before the run.

use std::sync::Arc;

use super::attributes::need;
use super::build::{Binding, Builder, Cursor, Early};
use super::{Context, Expr, Field, Need, StepKind, ValueId, evaluate};
use crate::diagnostic::{Code, Diagnostic, Span, similar};
use crate::scenario::{Id as _, StreamId};
use crate::syntax::Value;
use crate::syntax::ast::{self, Argument, ExprKind, Name, Piece};

/// How many turns one loop may take.
const MAX_TURNS: i64 = 1_000_000;

/// What a name, or a path of members, stands for.
pub(super) enum Meaning {
    /// A value.
    Expr(Expr),
    /// What a `let` makes.
    Result(ValueId),
    /// One stream.
    Stream(StreamId),
    /// Several streams: a fleet, a part of one, `streams[1..2]`.
    Streams(Vec<StreamId>),
    /// `streams`
    All,
    /// `param`
    Params,
    /// Already told.
    Nothing,
}

impl Builder<'_> {
    /// The expression with its names resolved; constant where everything in it is known. What is wrong is told, and
    /// stands as null.
    pub(super) fn expr(&mut self, it: &ast::Expr, cursor: &mut Cursor<'_>) -> Expr {
        let expr = match &it.kind {
            ExprKind::Literal(value) => {
                if let Value::Regex(pattern) = value {
                    self.regex(pattern, it.span);
                }
                if let Value::Text(text) = value {
                    self.meant_as_a_hole(text, false, it.span, cursor);
                }
                return Expr::Constant(value.clone());
            }
            ExprKind::Template(text) => {
                let pieces = text.pieces.iter().map(|piece| match piece {
                    Piece::Literal(literal) => {
                        self.meant_as_a_hole(literal, false, it.span, cursor);
                        Expr::Constant(Value::Text(literal.clone()))
                    }
                    Piece::Hole(expr, _) => self.expr(expr, cursor),
                });
                Expr::Concat(pieces.collect())
            }
            ExprKind::List(items) => Expr::List(items.iter().map(|item| self.expr(item, cursor)).collect()),
            ExprKind::Map(pairs) => {
                Expr::Map(pairs.iter().map(|(key, value)| (key.node.clone(), self.expr(value, cursor))).collect())
            }
            ExprKind::Not(inner) => Expr::Not(Box::new(self.expr(inner, cursor))),
            ExprKind::Binary(left, operator, right) => {
                let parts = (self.expr(left, cursor), operator.node, self.expr(right, cursor));
                Expr::Binary(Box::new(parts), it.span)
            }
            ExprKind::Call(name, arguments) => self.function(name, arguments),
            ExprKind::Range(..) => return self.wrong(it.span, "a range stands in `for` and between `[ ]` only"),
            ExprKind::Code(_) => {
                return self.wrong(it.span, "code is no value here: `let x = shell \"...\"` keeps what it prints");
            }
            ExprKind::Name(_) | ExprKind::Member(..) | ExprKind::Index(..) => {
                let meaning = self.meaning(it, cursor);
                self.value_of(meaning, it.span, cursor)
            }
        };
        self.fold(expr, it.span)
    }

    /// Tells of what is a hole elsewhere and none here, where there is something of that name: `${name}` and `{{name}}` in
    /// a text, the latter in shell code too.
    pub(super) fn meant_as_a_hole(&mut self, text: &str, code: bool, span: Span, cursor: &Cursor<'_>) {
        let forms: &[(&str, &str)] = if code { &[("{{", "}}")] } else { &[("{{", "}}"), ("${", "}")] };
        for (open, close) in forms {
            for (at, _) in text.match_indices(open) {
                let Some((path, _)) = text[at + open.len()..].split_once(close) else { continue };
                let path = path.trim();
                let (name, member) = path.split_once(['.', '[']).map_or((path, false), |(name, _)| (name, true));
                // `$${{name}}` is that text itself.
                if !text[..at].ends_with('$') && self.stands_for_something(name, member, cursor) {
                    let message = format!("nothing is put in place of `{open}{path}{close}`");
                    let problem = Diagnostic::new(Code::LiteralHole, span, message);
                    self.tell(problem.help(format!("a hole, in which the value is put, is `${{{{{path}}}}}`")));
                }
            }
        }
    }

    /// Whether a value has that name, or something of which it is a member.
    fn stands_for_something(&self, name: &str, member: bool, cursor: &Cursor<'_>) -> bool {
        let streams = || self.scenario.fleets.contains_key(name) || self.scenario.stream_named(name).is_some();
        cursor.scope.iter().any(|(bound, _)| &**bound == name)
            || cursor.values.contains_key(name)
            || member && (["self", "param", "streams"].contains(&name) || streams())
    }

    pub(super) fn wrong(&mut self, span: Span, message: &str) -> Expr {
        self.tell(Diagnostic::new(Code::WrongType, span, message));
        Expr::Constant(Value::Null)
    }

    /// Evaluates what needs no run.
    pub(super) fn fold(&mut self, expr: Expr, span: Span) -> Expr {
        if matches!(expr, Expr::Constant(_)) || !is_known(&expr) {
            return expr;
        }
        if has_null(&expr) {
            return Expr::Constant(Value::Null);
        }
        match evaluate(&expr, &Nowhere) {
            Ok(value) => Expr::Constant(value),
            Err(unknown) => {
                self.tell(Diagnostic::new(Code::WrongType, span, unknown.0));
                Expr::Constant(Value::Null)
            }
        }
    }

    fn function(&mut self, name: &Name, arguments: &[Argument]) -> Expr {
        match (&*name.node, arguments) {
            (
                "secret",
                [Argument { name: None, value: ast::Expr { kind: ExprKind::Literal(Value::Text(secret)), .. } }],
            ) => Expr::Secret(secret.clone()),
            ("secret", _) => self.wrong(name.span, "`secret` takes the name of a secret: secret(\"NAME\")"),
            _ => {
                let problem =
                    Diagnostic::new(Code::UnknownValue, name.span, format!("there is no function `{}`", name.node));
                self.tell(problem.near("function", &name.node, ["secret"]));
                Expr::Constant(Value::Null)
            }
        }
    }

    /// The value that a meaning stands for as it is.
    pub(super) fn value_of(&mut self, meaning: Meaning, span: Span, cursor: &mut Cursor<'_>) -> Expr {
        match meaning {
            Meaning::Expr(expr) => expr,
            Meaning::Result(value) => Expr::Value(value, Field::Whole),
            Meaning::Stream(stream) => {
                let name = self.stream_name(stream);
                let problem = Diagnostic::new(Code::WrongType, span, format!("`{name}` is a stream, not a value"));
                self.tell(problem.help(format!("`{name}.host` is its address, `{name}.name` its name")));
                Expr::Constant(Value::Null)
            }
            Meaning::Streams(_) | Meaning::All => {
                let problem = Diagnostic::new(Code::WrongType, span, "these are streams, not a value");
                self.tell(problem.help("`.host` and `.name` are lists, `.success` is true where all passed"));
                Expr::Constant(Value::Null)
            }
            Meaning::Params => {
                let names: Vec<_> = self.scenario.params.keys().map(|name| format!("`param.{name}`")).collect();
                let problem = Diagnostic::new(Code::WrongType, span, "`param` is not a value of its own");
                self.tell(problem.help(format!("the parameters are: {}", names.join(", "))));
                Expr::Constant(Value::Null)
            }
            Meaning::Nothing => {
                cursor.needs.clear();
                Expr::Constant(Value::Null)
            }
        }
    }

    fn meaning(&mut self, it: &ast::Expr, cursor: &mut Cursor<'_>) -> Meaning {
        if let ExprKind::Name(name) = &it.kind {
            self.name(name, it.span, cursor)
        } else if let ExprKind::Member(base, name) = &it.kind {
            let early = self.early.len();
            let base = self.meaning(base, cursor);
            self.early[early..].iter_mut().for_each(|asked| asked.member = true);
            self.member(base, name, cursor)
        } else if let ExprKind::Index(base, index) = &it.kind {
            let base = self.meaning(base, cursor);
            self.index(base, index, cursor)
        } else {
            Meaning::Expr(self.expr(it, cursor))
        }
    }

    fn name(&mut self, name: &Arc<str>, span: Span, cursor: &mut Cursor<'_>) -> Meaning {
        if let Some((_, binding)) = cursor.scope.iter().rev().find(|(bound, _)| bound == name) {
            return match binding {
                Binding::Expr(expr) => {
                    let expr = expr.clone();
                    self.need_again(&expr, cursor);
                    Meaning::Expr(expr)
                }
                Binding::Stream(stream) => Meaning::Stream(*stream),
            };
        }
        if let Some(value) = cursor.values.get(name) {
            self.used.extend(self.made.get(value));
            return Meaning::Result(*value);
        }
        match &**name {
            "self" => return Meaning::Stream(cursor.stream),
            "param" => return Meaning::Params,
            "streams" => return Meaning::All,
            _ => {}
        }
        if let Some(fleet) = self.scenario.fleets.get(name) {
            return Meaning::Streams(fleet.clone());
        }
        if let Some(stream) = self.scenario.stream_named(name) {
            return Meaning::Stream(stream);
        }
        self.early.push(Early { stream: cursor.stream, name: name.clone(), span, member: false, attribute: false });
        Meaning::Nothing
    }

    /// What a name in scope stands for is needed wherever it is used, not where it was bound.
    fn need_again(&self, expr: &Expr, cursor: &mut Cursor<'_>) {
        match expr {
            Expr::Constant(_) | Expr::Secret(_) => {}
            Expr::Value(value, _) => {
                if self.owners.get(value).is_some_and(|owner| *owner != cursor.stream) {
                    need(cursor, Need::Value(*value));
                }
            }
            Expr::Host(stream) if *stream == cursor.stream => {}
            Expr::Host(stream) => need(cursor, Need::Host(*stream)),
            Expr::Success(streams) => {
                for stream in streams {
                    need(cursor, Need::End(*stream));
                }
            }
            Expr::List(items) | Expr::Concat(items) => items.iter().for_each(|item| self.need_again(item, cursor)),
            Expr::Map(pairs) => pairs.iter().for_each(|(_, value)| self.need_again(value, cursor)),
            Expr::Not(inner) => self.need_again(inner, cursor),
            Expr::Index(base, index) => {
                self.need_again(base, cursor);
                self.need_again(index, cursor);
            }
            Expr::Binary(parts, _) => {
                self.need_again(&parts.0, cursor);
                self.need_again(&parts.2, cursor);
            }
        }
    }

    fn member(&mut self, base: Meaning, name: &Name, cursor: &mut Cursor<'_>) -> Meaning {
        match base {
            Meaning::Params => self.param(name),
            Meaning::Stream(stream) => self.attribute(stream, name, cursor),
            Meaning::Streams(streams) => self.attributes(&streams, name, cursor),
            Meaning::All if &*name.node == "len" => {
                let declared = self.scenario.streams.values().filter(|stream| stream.declared).count();
                Meaning::Expr(Expr::Constant(Value::Int(i64::try_from(declared).unwrap_or(i64::MAX))))
            }
            Meaning::All => {
                let all: Vec<StreamId> = self.scenario.streams.ids().collect();
                self.attributes(&all, name, cursor)
            }
            Meaning::Result(value) => self.field(value, name),
            Meaning::Expr(expr) => {
                let key = Expr::Constant(Value::Text(name.node.clone()));
                let expr = Expr::Index(Box::new(expr), Box::new(key));
                Meaning::Expr(self.fold_member(expr, name))
            }
            Meaning::Nothing => Meaning::Nothing,
        }
    }

    /// Folds `a.b`; where `a` is known and has no `b`, that is an unknown attribute.
    fn fold_member(&mut self, expr: Expr, name: &Name) -> Expr {
        if !is_known(&expr) {
            return expr;
        }
        match evaluate(&expr, &Nowhere) {
            Ok(value) => Expr::Constant(value),
            Err(unknown) => {
                self.tell(Diagnostic::new(Code::UnknownAttribute, name.span, unknown.0));
                Expr::Constant(Value::Null)
            }
        }
    }

    fn param(&mut self, name: &Name) -> Meaning {
        if let Some(value) = self.scenario.params.get(&name.node) {
            return Meaning::Expr(Expr::Constant(value.clone()));
        }
        let known = self.scenario.params.keys().map(|name| &**name);
        let problem = Diagnostic::new(Code::UnknownValue, name.span, format!("there is no parameter `{}`", name.node));
        let problem = match similar(&name.node, known.clone()) {
            Some(_) => problem.near("parameter", &name.node, known),
            None => problem.help(format!("declare it: param {} = ...", name.node)),
        };
        self.tell(problem);
        Meaning::Nothing
    }

    fn field(&mut self, value: ValueId, name: &Name) -> Meaning {
        let field = match &*name.node {
            "stdout" => Field::Stdout,
            "stderr" => Field::Stderr,
            "exit" => Field::Exit,
            "duration" => Field::Duration,
            "json" => return Meaning::Expr(Expr::Value(value, Field::Json)),
            other => {
                let made = &self.plan.values[value];
                let step = (made.step.index() < self.plan.steps.len()).then(|| &self.plan.steps[made.step]);
                if step.is_some_and(|step| matches!(step.kind, StepKind::Capture(..))) {
                    let message = format!("`{}` has no `{other}`", made.name);
                    let problem = Diagnostic::new(Code::UnknownAttribute, name.span, message);
                    self.tell(problem.help("it has: stdout, stderr, exit, duration, json"));
                    return Meaning::Nothing;
                }
                let key = Expr::Constant(Value::Text(name.node.clone()));
                return Meaning::Expr(Expr::Index(Box::new(Expr::Value(value, Field::Whole)), Box::new(key)));
            }
        };
        Meaning::Expr(Expr::Value(value, field))
    }

    fn index(&mut self, base: Meaning, index: &ast::Expr, cursor: &mut Cursor<'_>) -> Meaning {
        match base {
            Meaning::Streams(streams) => self.part(&streams, index, false, cursor),
            Meaning::All => {
                let all: Vec<StreamId> = self.scenario.streams.ids().collect();
                self.part(&all, index, true, cursor)
            }
            Meaning::Stream(stream) => {
                let message = format!("`{}` is one stream, not a fleet", self.stream_name(stream));
                self.tell(Diagnostic::new(Code::UnknownAttribute, index.span, message));
                Meaning::Nothing
            }
            Meaning::Result(value) => {
                let key = self.expr(index, cursor);
                Meaning::Expr(Expr::Index(Box::new(Expr::Value(value, Field::Whole)), Box::new(key)))
            }
            Meaning::Expr(expr) => {
                let key = self.expr(index, cursor);
                let expr = Expr::Index(Box::new(expr), Box::new(key));
                Meaning::Expr(self.fold(expr, index.span))
            }
            Meaning::Params | Meaning::Nothing => Meaning::Nothing,
        }
    }

    /// A whole number that is known before the run.
    pub(super) fn integer(&mut self, it: &ast::Expr, cursor: &mut Cursor<'_>) -> Option<i64> {
        self.expr(it, cursor).as_constant().and_then(Value::as_int)
    }

    /// What a `for` runs over.
    pub(super) fn items(&mut self, it: &ast::Expr, cursor: &mut Cursor<'_>) -> Option<Vec<Binding>> {
        let integer = |value| Binding::Expr(Expr::Constant(Value::Int(value)));
        if let ExprKind::Range(first, last) = &it.kind {
            let bounds = (self.integer(first, cursor), self.integer(last, cursor));
            let (Some(first), Some(last)) = bounds else {
                self.wrong(it.span, "how often a loop turns is decided before the run: integers stand here");
                return None;
            };
            if last.saturating_sub(first) >= MAX_TURNS {
                let message = format!("this loop turns more than {MAX_TURNS} times");
                self.tell(
                    Diagnostic::new(Code::LimitExceeded, it.span, message)
                        .help("`repeat(for = ...)` does something often"),
                );
                return None;
            }
            return Some((first..=last).map(integer).collect());
        }
        if let ExprKind::List(items) = &it.kind {
            return Some(items.iter().map(|item| self.item(item, cursor)).collect());
        }
        let meaning = self.meaning(it, cursor);
        if let Meaning::Streams(streams) = meaning {
            return Some(streams.into_iter().map(Binding::Stream).collect());
        }
        if let Meaning::All = meaning {
            return Some(self.scenario.streams.ids().map(Binding::Stream).collect());
        }
        if let Meaning::Expr(Expr::Constant(Value::List(items))) = meaning {
            return Some(items.iter().map(|item| Binding::Expr(Expr::Constant(item.clone()))).collect());
        }
        if !matches!(meaning, Meaning::Nothing) {
            self.wrong(it.span, "a loop runs over what is known before the run: a range, a list or a fleet");
        }
        None
    }

    /// One thing of a list: a stream's name stands for the stream.
    fn item(&mut self, it: &ast::Expr, cursor: &mut Cursor<'_>) -> Binding {
        if let ExprKind::Name(_) | ExprKind::Index(..) = &it.kind
            && let Meaning::Stream(stream) = self.meaning(it, cursor)
        {
            return Binding::Stream(stream);
        }
        Binding::Expr(self.expr(it, cursor))
    }

    /// What an argument of a task is bound to.
    pub(super) fn argument(&mut self, it: &ast::Expr, cursor: &mut Cursor<'_>) -> Binding {
        let needs = cursor.needs.len();
        let binding = self.item(it, cursor);
        cursor.needs.truncate(needs);
        binding
    }

    pub(super) fn stream_name(&self, stream: StreamId) -> Arc<str> {
        self.scenario.streams.get(stream).map_or("finally".into(), |stream| stream.name.clone())
    }
}

/// Whether an expression needs nothing of a run.
fn is_known(expr: &Expr) -> bool {
    match expr {
        Expr::Constant(_) => true,
        Expr::Value(..) | Expr::Host(_) | Expr::Success(_) | Expr::Secret(_) => false,
        Expr::Index(base, index) => is_known(base) && is_known(index),
        Expr::List(items) | Expr::Concat(items) => items.iter().all(is_known),
        Expr::Map(pairs) => pairs.iter().all(|(_, value)| is_known(value)),
        Expr::Not(inner) => is_known(inner),
        Expr::Binary(parts, _) => is_known(&parts.0) && is_known(&parts.2),
    }
}

/// Whether a part was wrong and told already: it stands as null.
fn has_null(expr: &Expr) -> bool {
    match expr {
        Expr::Constant(value) => *value == Value::Null,
        Expr::Value(..) | Expr::Host(_) | Expr::Success(_) | Expr::Secret(_) => false,
        Expr::Index(base, index) => has_null(base) || has_null(index),
        Expr::List(items) | Expr::Concat(items) => items.iter().any(has_null),
        Expr::Map(pairs) => pairs.iter().any(|(_, value)| has_null(value)),
        Expr::Not(inner) => has_null(inner),
        Expr::Binary(parts, _) => has_null(&parts.0) || has_null(&parts.2),
    }
}

/// Before the run: nothing is there yet.
struct Nowhere;

impl Context for Nowhere {
    fn value(&self, _: ValueId, _: Field) -> Option<Value> {
        None
    }

    fn host(&self, _: StreamId) -> Option<Value> {
        None
    }

    fn success(&self, _: StreamId) -> bool {
        false
    }

    fn secret(&self, _: &str) -> Option<Value> {
        None
    }
}
