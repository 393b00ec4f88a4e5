//! The plan as a picture or a document, for review. The same plan always gives the same text.

mod dot;
mod json;
mod mermaid;
mod model;
mod rank;
mod table;
mod text;

use std::path::Path;

use crate::diagnostic::Sources;
use crate::plan::Plan;

/// In which form a plan is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Each stream with its steps, and whom it meets where.
    Text,
    /// Markdown: the streams as columns, from top to bottom what follows on what.
    Table,
    /// Graphviz.
    Dot,
    /// Mermaid, version 10 or later.
    Mermaid,
    /// Everything, for tools.
    Json,
}

impl Format {
    /// All of them, with the names that `--format` knows.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Text, "text"),
        (Self::Table, "table"),
        (Self::Dot, "dot"),
        (Self::Mermaid, "mermaid"),
        (Self::Json, "json"),
    ];

    /// What the ending of a file's name asks for: `.txt`, `.md`, `.dot` and `.gv`, `.mmd` and `.mermaid`, `.json`.
    pub fn from_extension(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Text),
            "md" => Some(Self::Table),
            "dot" | "gv" => Some(Self::Dot),
            "mmd" | "mermaid" => Some(Self::Mermaid),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The plan in that form; ends with a line break.
pub fn export(plan: &Plan, sources: &Sources, format: Format) -> String {
    let model = model::Model::new(plan, sources);
    match format {
        Format::Text => text::write(&model),
        Format::Table => table::write(&model),
        Format::Dot => dot::write(&model),
        Format::Mermaid => mermaid::write(&model),
        Format::Json => json::write(&model),
    }
}

#[cfg(test)]
mod tests;
