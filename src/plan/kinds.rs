//! Comparisons whose sides can never be compared: what a `let` keeps has a kind that is known before the run.

use super::build::Builder;
use super::{Expr, Field, StepKind, ValueId};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::syntax::Value;
use crate::syntax::ast::Operator;

/// What a value is compared as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Duration,
    Boolean,
}

impl Builder<'_> {
    /// Tells of every comparison that a run could only fail at.
    pub(super) fn comparisons(&mut self) {
        let mut wrong = Vec::new();
        for step in self.plan.steps.values() {
            let Some(extra) = &step.extra else { continue };
            let mut left: Vec<&Expr> = extra.when.iter().chain(&extra.expression).collect();
            while let Some(it) = left.pop() {
                match it {
                    Expr::Not(inner) => left.push(inner),
                    Expr::Binary(parts, span) => {
                        left.extend([&parts.0, &parts.2]);
                        wrong.extend(self.mismatch(parts, *span));
                    }
                    Expr::Constant(_)
                    | Expr::Value(..)
                    | Expr::Host(_)
                    | Expr::Success(_)
                    | Expr::Secret(_)
                    | Expr::Index(..)
                    | Expr::List(_)
                    | Expr::Map(_)
                    | Expr::Concat(_) => {}
                }
            }
        }
        for problem in wrong {
            self.tell(problem);
        }
    }

    fn mismatch(&self, (left, operator, right): &(Expr, Operator, Expr), span: Span) -> Option<Diagnostic> {
        let compares = match operator {
            Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::AtMost
            | Operator::Greater
            | Operator::AtLeast => true,
            Operator::Matches | Operator::Contains | Operator::In | Operator::And | Operator::Or => false,
        };
        let (one, other) = (self.kind(left)?, self.kind(right)?);
        if !compares || one == other {
            return None;
        }
        let message = format!("{} can never be compared with {}", one.words(), other.words());
        let problem = Diagnostic::new(Code::WrongType, span, message);
        Some(match (left, right) {
            (Expr::Value(id, field), Expr::Constant(it)) | (Expr::Constant(it), Expr::Value(id, field)) => {
                problem.help(self.advice(*id, *field, it))
            }
            _ => problem,
        })
    }

    /// What to write instead.
    fn advice(&self, id: ValueId, field: Field, other: &Value) -> String {
        let name = &self.plan.values[id].name;
        match field {
            Field::Whole | Field::Stdout | Field::Stderr => {
                format!("what a command prints is text: compare it with \"{other}\", or read it as JSON: `{name}.json`")
            }
            Field::Exit => format!("`{name}.exit` is a number: `{name}.exit == 0`"),
            Field::Duration => format!("`{name}.duration` is a duration: `{name}.duration < 2s`"),
            Field::Json => format!("`{name}.json` has the kind that the JSON has"),
        }
    }

    /// The kind of an expression, where it is sure whatever the run brings.
    fn kind(&self, expr: &Expr) -> Option<Kind> {
        match expr {
            Expr::Constant(value) => Kind::of(value),
            Expr::Value(_, Field::Stdout | Field::Stderr) | Expr::Concat(_) | Expr::Host(_) | Expr::Secret(_) => {
                Some(Kind::Text)
            }
            Expr::Value(_, Field::Exit) => Some(Kind::Number),
            Expr::Value(_, Field::Duration) => Some(Kind::Duration),
            Expr::Value(id, Field::Whole) => {
                let maker = self.plan.steps.get(self.plan.values[*id].step)?;
                matches!(maker.kind, StepKind::Capture(..)).then_some(Kind::Text)
            }
            Expr::Success(_) | Expr::Not(_) | Expr::Binary(..) => Some(Kind::Boolean),
            Expr::Value(_, Field::Json) | Expr::Index(..) | Expr::List(_) | Expr::Map(_) => None,
        }
    }
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Text(_) | Value::Bytes(_) => Some(Self::Text),
            Value::Int(_) | Value::Float(_) | Value::Size(_) => Some(Self::Number),
            Value::Duration(_) => Some(Self::Duration),
            Value::Bool(_) => Some(Self::Boolean),
            Value::Null | Value::Regex(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Duration => "a duration",
            Self::Boolean => "a boolean",
        }
    }
}
