//! Parameters: their types, defaults, and what `-p` makes of them.

use super::{Resolver, Settings};
use crate::diagnostic::{Code, Diagnostic, Sources, Span};
use crate::syntax::ast::{Expr, ExprKind, Param};
use crate::syntax::{Value, parse_expression};

/// The types that a parameter may state.
const TYPES: &[(&str, &str)] = &[
    ("int", "an integer"),
    ("float", "a number"),
    ("string", "a string"),
    ("bool", "a boolean"),
    ("duration", "a duration"),
    ("size", "a size"),
    ("list", "a list"),
    ("map", "a map"),
];

impl Resolver<'_> {
    pub(super) fn param(&mut self, param: &Param, settings: &Settings) {
        if !self.fresh("param", &param.name) {
            return;
        }
        let stated = param.kind.as_ref().and_then(|kind| self.stated(&kind.node, kind.span));
        let default = param.default.as_ref().map_or(Some(Value::Null), |expr| self.literal(expr));
        let Some(default) = default else { return };
        let wanted = stated.unwrap_or_else(|| default.kind());
        if stated.is_some_and(|stated| default != Value::Null && default.kind() != stated) {
            let span = param.default.as_ref().map_or(param.name.span, |expr| expr.span);
            let message = format!("`{}` takes {wanted}, and this is {}", param.name.node, default.kind());
            self.problems.push(Diagnostic::new(Code::WrongType, span, message));
        }
        let given = settings.params.iter().rev().find(|(name, _)| *name == *param.name.node);
        let value = match given {
            Some((_, text)) => self.given(text, wanted, param),
            None => default,
        };
        if value == Value::Null && given.is_none() {
            let message = format!("the parameter `{}` has no value", param.name.node);
            let help = format!("give it one: -p {}=..., or a default here", param.name.node);
            self.problems.push(Diagnostic::new(Code::MissingOption, param.name.span, message).help(help));
        }
        self.scenario.params.insert(param.name.node.clone(), value);
    }

    fn stated(&mut self, name: &str, span: Span) -> Option<&'static str> {
        let found = TYPES.iter().find(|(known, _)| *known == name).map(|(_, words)| *words);
        if found.is_none() {
            let names = TYPES.iter().map(|(name, _)| *name);
            let problem = Diagnostic::new(Code::WrongType, span, format!("there is no type `{name}`"));
            self.problems.push(problem.help(format!("the types are: {}", names.collect::<Vec<_>>().join(", "))));
        }
        found
    }

    /// The value of an expression that must be known as it stands.
    fn literal(&mut self, expr: &Expr) -> Option<Value> {
        let value = literal(expr);
        if value.is_none() {
            self.problems.push(Diagnostic::new(Code::WrongType, expr.span, "a default is a plain value"));
        }
        value
    }

    /// The value of `-p name=text`: read as the type that is wanted; where any text will do, it is the text itself.
    fn given(&mut self, text: &str, wanted: &str, param: &Param) -> Value {
        if wanted == "a string" {
            return Value::Text(text.into());
        }
        let mut sources = Sources::default();
        let id = sources.add("-p", text);
        let read = parse_expression(id, &sources).ok().and_then(|expr| literal(&expr));
        match read {
            Some(Value::Int(value)) if wanted == "a number" => {
                // A float holds every integer that anybody writes on a command line closely enough.
                Value::Float(value.to_string().parse().unwrap_or(f64::NAN))
            }
            Some(value) if value.kind() == wanted || wanted == "null" => value,
            None if wanted == "null" => Value::Text(text.into()),
            Some(_) | None => {
                let message = format!("-p {}={text}: the parameter takes {wanted}", param.name.node);
                self.problems.push(Diagnostic::new(Code::WrongType, param.name.span, message));
                Value::Null
            }
        }
    }
}

/// The value of an expression made of literals only.
pub(super) fn literal(expr: &Expr) -> Option<Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value.clone()),
        ExprKind::List(items) => items.iter().map(literal).collect::<Option<Vec<_>>>().map(|it| Value::List(it.into())),
        ExprKind::Map(pairs) => {
            let entries = pairs.iter().map(|(key, value)| Some((key.node.clone(), literal(value)?)));
            Some(Value::Map(std::sync::Arc::new(entries.collect::<Option<_>>()?)))
        }
        ExprKind::Template(_)
        | ExprKind::Name(_)
        | ExprKind::Range(..)
        | ExprKind::Member(..)
        | ExprKind::Index(..)
        | ExprKind::Call(..)
        | ExprKind::Code(_)
        | ExprKind::Not(_)
        | ExprKind::Binary(..) => None,
    }
}
