//! The texts that spans point into, with an index of their lines.

use std::ops::Range;
use std::sync::Arc;

use super::span::{FileId, Span};

/// One text, with its name as the user wrote it.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    // Moved in, never copied: it may be large.
    text: Arc<String>,
    lines: Vec<u32>,
}

/// A place as people count: line and column from 1, the column in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl Source {
    fn new(name: Arc<str>, text: String) -> Self {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes());
        let mut lines = Vec::with_capacity(ends.clone().count() + 1);
        lines.push(0);
        lines.extend(ends.map(|at| u32::try_from(at + 1).unwrap_or(u32::MAX)));
        Self { name, text: Arc::new(text), lines }
    }

    /// The name as given on the command line or in an `import`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset; an offset past the end is the end.
    pub fn location(&self, offset: u32) -> Location {
        let line = self.lines.partition_point(|start| *start <= offset).max(1) - 1;
        let start = self.lines[line] as usize;
        let end = (offset as usize).min(self.text.len());
        let column = self.text.get(start..end).map_or(0, |before| before.chars().count());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Location { line: count(line + 1), column: count(column + 1) }
    }

    /// The bytes of a line (from 1), without its end.
    pub fn line(&self, line: u32) -> Range<usize> {
        let at = |index: usize| self.lines.get(index).map_or(self.text.len(), |start| *start as usize);
        let start = at(line as usize - 1);
        let text = &self.text[start..at(line as usize)];
        start..start + text.trim_end_matches(['\n', '\r']).len()
    }
}

/// All texts of one run, in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a text and returns its id.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<String>) -> FileId {
        let id = self.next();
        self.files.push(Source::new(name.into(), text.into()));
        id
    }

    /// Adds a text of others and returns its id here.
    pub fn share(&mut self, source: &Source) -> FileId {
        let id = self.next();
        self.files.push(source.clone());
        id
    }

    /// The id that the next text will have.
    pub fn next(&self) -> FileId {
        FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX))
    }

    /// The file with this id; ids come from [`Sources::add`] only.
    pub fn file(&self, id: FileId) -> &Source {
        &self.files[id.0 as usize]
    }

    /// All files with their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        (0..).map(FileId).zip(&self.files)
    }

    /// From now on what stands at these places is shown as asterisks. Places stay what they are.
    pub fn hide(&mut self, spans: &[Span]) {
        for of_file in spans.chunk_by(|a, b| a.file == b.file) {
            let Some(file) = self.files.get_mut(of_file[0].file.0 as usize) else { continue };
            let mut bytes = file.text.as_bytes().to_vec();
            for span in of_file {
                for byte in bytes.get_mut(span.range()).into_iter().flatten().filter(|byte| **byte != b'\n') {
                    *byte = b'*';
                }
            }
            // A span that cuts a character in two hides nothing.
            if let Ok(text) = String::from_utf8(bytes) {
                file.text = text.into();
            }
        }
    }

    /// What was written at `span`.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).text.get(span.range()).unwrap_or_default()
    }

    /// Line and column where `span` starts.
    pub fn location(&self, span: Span) -> Location {
        self.file(span.file).location(span.start)
    }

    /// `scenario.ms:18`, the form in which messages name a place.
    pub fn place(&self, span: Span) -> String {
        format!("{}:{}", self.file(span.file).name, self.location(span).line)
    }
}
