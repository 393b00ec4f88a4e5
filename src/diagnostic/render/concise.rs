//! One line a diagnostic, for editors and `grep`.

use std::fmt::Write as _;

use crate::diagnostic::{Diagnostic, Sources};

pub(super) fn render(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let name = sources.file(diagnostic.span.file).name();
        let at = sources.location(diagnostic.span);
        let (severity, code) = (diagnostic.severity.name(), diagnostic.code);
        let message = &diagnostic.message;
        let _ = writeln!(out, "{name}:{}:{}: {severity}[{code}]: {message}", at.line, at.column);
    }
    out
}
