//! Text to tree. The one place that knows pest; it knows nothing of what names mean.

pub mod ast;
mod value;

pub use value::{Value, duration};

/// x
pub fn parse(
    _: crate::diagnostic::FileId,
    _: &crate::diagnostic::Sources,
) -> (ast::File, Vec<crate::diagnostic::Diagnostic>) {
    unimplemented!()
}
/// x
pub fn parse_expression(
    _: crate::diagnostic::FileId,
    _: &crate::diagnostic::Sources,
) -> Result<ast::Expr, Vec<crate::diagnostic::Diagnostic>> {
    unimplemented!()
}
