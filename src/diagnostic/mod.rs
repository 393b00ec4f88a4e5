//! What mstream has to say about a text: codes, places, labels, help. It knows nothing of the language.

mod code;
mod render;
mod similar;
mod source;
mod span;
pub mod visible;

pub use code::{Code, Severity};
pub use render::{Form, render};
pub use similar::similar;
pub use source::{Location, Source, Sources};
pub use span::{FileId, Span, Spanned};

/// One problem: what is wrong, where, why, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// Usually the code's own severity; a few codes are softened where the design says so.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop, names in backticks.
    pub message: String,
    /// The smallest piece that is wrong.
    pub span: Span,
    /// What the label under `span` says; may be empty.
    pub label: String,
    /// Every other place involved.
    pub others: Vec<Spanned<String>>,
    /// Why.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem of kind `code` at `span`, with nothing but its message.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            span,
            label: String::new(),
            others: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Says something right under the piece that is wrong.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// Labels another place.
    #[must_use]
    pub fn other(mut self, span: Span, text: impl Into<String>) -> Self {
        self.others.push(Spanned::new(text.into(), span));
        self
    }

    /// Adds why.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Names a similar `kind` among `candidates` as the help, if there is one.
    #[must_use]
    pub fn near<'a>(self, kind: &str, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match similar(name, candidates) {
            Some(found) => self.help(format!("{} {kind} with a similar name exists: `{found}`", article(kind))),
            None => self,
        }
    }

    /// Makes an error a warning.
    #[must_use]
    pub fn softened(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Whether `exec` refuses because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}
