//! Holes become references: the value travels beside the code, never in it.

use std::sync::Arc;

use super::{Dialect, python, shell};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::syntax::ast::{Expr, ExprKind, Piece, Text};

/// The code in which the n-th hole (from 1) is a reference to the n-th value, right for the quoting around it.
/// The error has one diagnostic for each hole that has no safe reference where it stands.
pub fn embed(dialect: Dialect, text: &Text) -> Result<Arc<str>, Vec<Diagnostic>> {
    match dialect {
        Dialect::Shell => fill(shell::Reader::default(), text),
        Dialect::Python => fill(python::Reader::default(), text),
        Dialect::Exec | Dialect::Other => fill(Plain, text),
    }
}

/// Reads code piece by piece, and knows at each hole what quoting it stands in.
pub(super) trait Quoting {
    /// Goes over code that is not a hole.
    fn literal(&mut self, text: &str);

    /// The reference for the hole that stands here.
    fn hole(&mut self, number: usize) -> Result<String, Unsafe>;

    /// A hole that only what follows it showed to be unsafe.
    fn regretted(&mut self) -> Option<(usize, Unsafe)> {
        None
    }
}

/// Code that nothing is known about.
struct Plain;

impl Quoting for Plain {
    fn literal(&mut self, _: &str) {}

    fn hole(&mut self, _: usize) -> Result<String, Unsafe> {
        Err(Unsafe::Unknown)
    }
}

fn fill(mut reader: impl Quoting, text: &Text) -> Result<Arc<str>, Vec<Diagnostic>> {
    let mut code = String::new();
    let mut holes: Vec<(&Expr, Span)> = Vec::new();
    let mut wrong: Vec<(usize, Unsafe)> = Vec::new();
    for piece in text.pieces.iter() {
        match piece {
            Piece::Literal(literal) => {
                reader.literal(literal);
                code.push_str(literal);
            }
            Piece::Hole(expr, span) => {
                holes.push((expr, *span));
                match reader.hole(holes.len()) {
                    Ok(reference) => code.push_str(&reference),
                    Err(reason) => wrong.push((holes.len(), reason)),
                }
            }
        }
        wrong.extend(reader.regretted());
        if wrong.last().is_some_and(|(_, reason)| *reason == Unsafe::Delimiter) {
            // Where such a here-document ends is unknown, and so is the quoting of all that follows.
            break;
        }
    }
    if wrong.is_empty() {
        return Ok(code.into());
    }
    wrong.sort_by_key(|(number, _)| *number);
    // One that is refused where it stands may be regretted as well: the first reason is enough.
    wrong.dedup_by_key(|(number, _)| *number);
    Err(wrong.into_iter().map(|(number, reason)| reason.diagnostic(holes[number - 1])).collect())
}

/// Why a hole has no safe reference where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unsafe {
    Unknown,
    Delimiter,
    QuotedDocument,
    Backticks,
    Arithmetic,
    Compared,
    Subscript,
    ParameterName,
    DollarQuote,
    NestedQuote,
    Backslash,
    Dollar,
    PythonString,
    PythonField,
    PythonName,
}

impl Unsafe {
    /// Where it stands, as a message says it.
    fn place(self) -> &'static str {
        match self {
            Self::Unknown => "in the code of this interpreter",
            Self::Delimiter => "in the delimiter of a here-document",
            Self::QuotedDocument => "in a here-document with a quoted delimiter",
            Self::Backticks => "between backticks",
            Self::Arithmetic => "in arithmetic",
            Self::Compared => "in a comparison of numbers in `[[ ]]`",
            Self::Subscript => "in a subscript",
            Self::ParameterName => "in the name of a variable",
            Self::DollarQuote => "in `$'...'`",
            Self::NestedQuote => "in quotes within this `${...}`",
            Self::Backslash => "after a backslash",
            Self::Dollar => "after a `$`",
            Self::PythonString => "in a string",
            Self::PythonField => "in a format",
            Self::PythonName => "as a part of a name or a number",
        }
    }

    /// Why nothing safe can be put there.
    fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "only shells and Python are known well enough to put a value into their code",
            Self::Delimiter => "a shell takes the delimiter as it is written",
            Self::QuotedDocument => "a shell replaces nothing in such a here-document",
            Self::Backticks => "quoting between backticks differs from shell to shell",
            Self::Arithmetic | Self::Compared | Self::Subscript => {
                "a shell takes what stands there for arithmetic, and bash runs the commands in it"
            }
            Self::ParameterName => "a shell takes the name as it is written",
            Self::DollarQuote => "a shell replaces nothing in `$'...'`, and some shells do not know it",
            Self::NestedQuote => "what quotes mean there differs from shell to shell",
            Self::Backslash => "the backslash would change the reference",
            Self::Dollar => "the `$` would change the reference",
            Self::PythonString => "a value would become text of the program",
            Self::PythonField => "what stands there is text of the format",
            Self::PythonName => "a value is a whole expression",
        }
    }

    /// What to write instead; `hole` is the hole as text and `name` a name for its value.
    fn help(self, hole: &str, name: &str) -> String {
        match self {
            Self::Unknown => {
                let upper = name.to_uppercase();
                format!("give it the option `env = {{ {upper} = {} }}`, and read `{upper}` there", inner(hole))
            }
            Self::Delimiter => "write the delimiter itself".to_owned(),
            Self::QuotedDocument => {
                "take the quotes off the delimiter, and write `\\$` and `` \\` `` for what must stay".to_owned()
            }
            Self::Backticks => "write `$( )` instead of the backticks".to_owned(),
            Self::Compared => format!("compare in `[ ]`, which takes nothing but numbers: `[ {hole} -eq 0 ]`"),
            Self::Arithmetic | Self::Subscript => {
                format!("make sure that it is a number: `{name}=$(printf %d {hole})` before, and `${name}` here")
            }
            Self::ParameterName | Self::DollarQuote | Self::NestedQuote | Self::Backslash | Self::Dollar => {
                format!("write `{name}={hole}` before, and `${name}` here")
            }
            Self::PythonString | Self::PythonField => {
                format!("write `{name} = {hole}` before, and `{{{name}}}` in an f-string here: `f\"...{{{name}}}...\"`")
            }
            Self::PythonName => format!("write `{name} = {hole}` before, and put together here what you need"),
        }
    }

    fn diagnostic(self, (expr, span): (&Expr, Span)) -> Diagnostic {
        let written = written(expr);
        let hole = written.as_ref().map_or_else(|| "${{...}}".to_owned(), |text| format!("${{{{{text}}}}}"));
        let name = written.as_deref().and_then(|text| text.rsplit('.').next()).unwrap_or("x").replace('-', "_");
        Diagnostic::new(Code::UnsafeHole, span, format!("no value can stand safely {}", self.place()))
            .note(self.reason())
            .help(self.help(&hole, &name))
    }
}

/// What stands between the braces of a hole.
fn inner(hole: &str) -> &str {
    hole.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(hole)
}

/// A short expression as its author wrote it: a name, or names with points between them.
fn written(expr: &Expr) -> Option<String> {
    if let ExprKind::Name(name) = &expr.kind {
        return Some(name.to_string());
    }
    let ExprKind::Member(owner, name) = &expr.kind else { return None };
    Some(format!("{}.{}", written(owner)?, name.node))
}
