//! Diagnostics drawn with their source lines, by miette.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteSpanContents, SourceCode, SourceSpan, SpanContents,
    ThemeStyles,
};

use crate::diagnostic::{Diagnostic, FileId, Severity, Sources};

pub(super) fn render(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let styles = if color { ThemeStyles::ansi() } else { ThemeStyles::none() };
    let theme = GraphicalTheme { characters: miette::ThemeCharacters::unicode(), styles };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100).with_context_lines(0);
    let mut out = String::new();
    for diagnostic in diagnostics {
        let file = File { sources, id: diagnostic.span.file };
        let view = View { diagnostic, file };
        if handler.render_report(&mut out, &view).is_err() {
            out.push_str(&diagnostic.message);
        }
        out.push('\n');
    }
    out
}

/// One source under its own name, as miette wants to read it.
struct File<'a> {
    sources: &'a Sources,
    id: FileId,
}

impl SourceCode for File<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, miette::MietteError> {
        let file = self.sources.file(self.id);
        let found = file.text().as_ref().read_span(span, before, after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            file.name().to_string(),
            found.data(),
            *found.span(),
            found.line(),
            found.column(),
            found.line_count(),
        )))
    }
}

struct View<'a> {
    diagnostic: &'a Diagnostic,
    file: File<'a>,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { severity, code, message, .. } = self.diagnostic;
        write!(f, "{}[{code}]: {message}", severity.name())
    }
}

impl std::error::Error for View<'_> {}

impl miette::Diagnostic for View<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.file)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Diagnostic { span, label, others, .. } = self.diagnostic;
        let text = (!label.is_empty()).then(|| label.clone());
        let primary = LabeledSpan::new_primary_with_span(text, span.range());
        let here = others.iter().filter(|other| other.span.file == self.file.id);
        let rest = here.map(|other| LabeledSpan::new_with_span(Some(other.node.clone()), other.span.range()));
        Some(Box::new(std::iter::once(primary).chain(rest)))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}
