//! Text to tree. The one place that knows pest; it knows nothing of what names mean.

pub mod ast;
mod block;
mod expression;
mod fence;
mod grammar;
mod hygiene;
mod item;
mod literal;
mod parser;
mod recover;
mod statement;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use value::{Value, duration};

use std::ops::Range;

use crate::diagnostic::{Diagnostic, FileId, Sources};
use parser::Parser;

/// Reads a scenario: the tree of all that could be read, and everything that is wrong with the rest, in source order.
///
/// A mistake costs its statement alone; the tree is complete exactly where no diagnostic is an error.
pub fn parse(id: FileId, sources: &Sources) -> (ast::File, Vec<Diagnostic>) {
    let text = sources.file(id).text();
    let mut problems = hygiene::inspect(id, text);
    if let Some(problem) = hygiene::too_large(id, text) {
        return (ast::File { id, items: Vec::new(), allows: Vec::new() }, vec![problem]);
    }
    let masked = hygiene::without_conflicts(id, text, &mut problems);
    let mut parser = Parser::new(id, masked.as_deref().unwrap_or(text), problems);
    let items = parser.items();
    let (allows, problems) = parser.finish();
    (ast::File { id, items, allows }, problems)
}

/// Reads a source that is one expression, such as the value of `-p name=value`.
pub fn parse_expression(id: FileId, sources: &Sources) -> Result<ast::Expr, Vec<Diagnostic>> {
    let text = sources.file(id).text();
    if let Some(problem) = hygiene::too_large(id, text) {
        return Err(vec![problem]);
    }
    let mut parser = Parser::new(id, text, Vec::new());
    let read = parser.whole();
    let (_, mut problems) = parser.finish();
    match read {
        Ok(expr) if problems.is_empty() => Ok(expr),
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.insert(0, *problem);
            Err(problems)
        }
    }
}

/// Reads a piece of a source, on one line, as text with holes: a value in a file of another kind, or on the command line.
pub fn parse_line(id: FileId, range: Range<usize>, sources: &Sources) -> Result<ast::Text, Vec<Diagnostic>> {
    let text = sources.file(id).text();
    let mut parser = Parser::new(id, text, Vec::new());
    let read = parser.line_text(range);
    let (_, mut problems) = parser.finish();
    match read {
        Ok(line) if problems.is_empty() => Ok(line),
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.insert(0, *problem);
            Err(problems)
        }
    }
}
