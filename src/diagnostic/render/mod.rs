//! Diagnostics as text, one file a form. Nothing parses what comes out here.

mod concise;
mod human;
mod json;

use super::{Diagnostic, Sources};

/// How diagnostics are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Drawn with the source lines, for people; `color` allows escapes.
    Human {
        /// Whether colours may be used.
        color: bool,
    },
    /// `file:line:col: error[MS201]: message`, a line each.
    Concise,
    /// One JSON document with everything, for tools.
    Json,
}

/// All of `diagnostics` in one text that ends with a line break, or nothing where there are none
/// (JSON is always a document).
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, form: Form) -> String {
    match form {
        Form::Human { color } => human::render(diagnostics, sources, color),
        Form::Concise => concise::render(diagnostics, sources),
        Form::Json => json::render(diagnostics, sources),
    }
}
