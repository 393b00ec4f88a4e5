//! Diagnostics drawn with their source lines: miette draws the lines, the words around them are ours.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteSpanContents, SourceCode, SourceSpan, SpanContents,
    ThemeStyles,
};

use crate::diagnostic::{Diagnostic, FileId, Severity, Sources, Span, visible};

pub(super) fn render(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let styles = if color { ThemeStyles::ansi() } else { ThemeStyles::none() };
    let theme = GraphicalTheme { characters: miette::ThemeCharacters::unicode(), styles };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100).with_context_lines(0);
    let mut out = String::new();
    for diagnostic in diagnostics {
        header(diagnostic, color, &mut out);
        for snippet in snippets(diagnostic, sources) {
            draw(&handler, &snippet, &mut out);
        }
        footer(diagnostic, color, &mut out);
        out.push('\n');
    }
    out
}

fn painted(text: &str, style: Style, color: bool) -> String {
    if color { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// `error[MS201]: message`
fn header(diagnostic: &Diagnostic, color: bool, out: &mut String) {
    let hue = match diagnostic.severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
    };
    let code = format!("{}[{}]", diagnostic.severity.name(), diagnostic.code);
    let code = painted(&code, Style::new().bold().fg_color(Some(hue.into())), color);
    let message = painted(&diagnostic.message, Style::new().bold(), color);
    let _ = writeln!(out, "{code}: {message}");
}

fn footer(diagnostic: &Diagnostic, color: bool, out: &mut String) {
    let cyan = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
    let mut line = |word: &str, text: &str| {
        let _ = writeln!(out, "  {}: {text}", painted(word, cyan, color));
    };
    for note in &diagnostic.notes {
        line("note", note);
    }
    if let Some(help) = &diagnostic.help {
        line("help", help);
    }
    line("more", &format!("mstream explain {}", diagnostic.code));
}

/// The longest line that is drawn; nobody looks for the place in a longer one, and miette cannot point into it.
const WIDEST: usize = 2_000;

/// What is drawn of one file: the labels that stand in it, the primary one first where it is there.
struct Snippet<'a> {
    sources: &'a Sources,
    file: FileId,
    /// The file's text as it is shown.
    text: Cow<'a, str>,
    labels: Vec<(Span, &'a str)>,
}

impl<'a> Snippet<'a> {
    fn new(sources: &'a Sources, span: Span, label: &'a str) -> Self {
        let mut text = visible::in_place(sources.file(span.file).text());
        if !text.ends_with('\n') {
            text.to_mut().push('\n');
        }
        Self { sources, file: span.file, text, labels: vec![(span, label)] }
    }

    /// How long the line is that `span` starts in.
    fn line(&self, span: Span) -> usize {
        let file = self.sources.file(span.file);
        file.line(file.location(span.start).line).len()
    }
}

/// One snippet a file, that of the primary label first.
fn snippets<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Snippet<'a>> {
    let first = (diagnostic.span, diagnostic.label.as_str());
    let others = diagnostic.others.iter().map(|other| (other.span, other.node.as_str()));
    let mut snippets: Vec<Snippet<'a>> = Vec::new();
    for (span, label) in std::iter::once(first).chain(others) {
        match snippets.iter_mut().find(|snippet| snippet.file == span.file) {
            Some(snippet) => snippet.labels.push((span, label)),
            None => snippets.push(Snippet::new(sources, span, label)),
        }
    }
    snippets
}

/// Draws the labels of one file in one box. Miette draws a box for each run of lines; they become one, under the place
/// of the first label, with a gap between lines that do not follow each other.
fn draw(handler: &GraphicalReportHandler, snippet: &Snippet<'_>, out: &mut String) {
    let mut drawn = String::new();
    let Some((span, _)) = snippet.labels.first() else { return };
    if let Some(length) = snippet.labels.iter().map(|(span, _)| snippet.line(*span)).find(|length| *length > WIDEST) {
        let place = snippet.sources.location(*span);
        let name = snippet.sources.file(snippet.file).name();
        let _ = writeln!(out, "   ╭─[{name}:{}:{}]", place.line, place.column);
        let _ = writeln!(out, "   │ (a line of {length} bytes, too long to be drawn)\n   ╰─");
        return;
    }
    if handler.render_report(&mut drawn, snippet).is_err() {
        return;
    }
    let lines: Vec<&str> =
        drawn.lines().skip_while(|line| !line.contains('╭')).filter(|line| !line.is_empty()).collect();
    let corner = |line: &str| line.find(['╭', '╰']).filter(|at| line[..*at].trim().is_empty());
    let width = lines.iter().filter_map(|line| corner(line)).max().unwrap_or_default();
    let at = snippet.sources.location(*span);
    let name = snippet.sources.file(snippet.file).name();
    let _ = writeln!(out, "{:width$}╭─[{name}:{}:{}]", "", at.line, at.column);
    let (mut pad, mut before) = (0, 0);
    for line in lines {
        if line.contains("╭─[") && corner(line).is_some() {
            pad = width - corner(line).unwrap_or(width);
        } else if corner(line).is_none() {
            let number = line.trim_start().split([' ', '│']).next().and_then(|number| number.parse::<usize>().ok());
            if let Some(number) = number {
                if before > 0 && number > before + 1 {
                    let _ = writeln!(out, "{:width$}⋮", "");
                }
                before = number;
            }
            let _ = writeln!(out, "{:pad$}{}", "", line.trim_end());
        }
    }
    let _ = writeln!(out, "{:width$}╰─", "");
}

impl SourceCode for Snippet<'_> {
    /// Whole lines with their ends: what stands before the span on its line is drawn as well, and a label may stand
    /// behind the last character.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, miette::MietteError> {
        let file = self.sources.file(self.file);
        let text = self.text.as_bytes();
        let start = span.offset().min(text.len());
        let end = (start + span.len()).min(text.len());
        let head = memchr::memrchr(b'\n', &text[..start]).map_or(0, |at| at + 1);
        let tail = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |at| end + at + 1);
        let line = file.location(u32::try_from(head).unwrap_or(u32::MAX)).line as usize - 1;
        let count = memchr::memchr_iter(b'\n', &text[head..tail]).count();
        let place = SourceSpan::from((head, tail - head));
        let name = file.name().to_string();
        Ok(Box::new(MietteSpanContents::new_named(name, &text[head..tail], place, line, 0, count)))
    }
}

impl fmt::Debug for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.labels.fmt(f)
    }
}

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Snippet<'_> {}

impl miette::Diagnostic for Snippet<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.labels.iter().enumerate().map(|(at, (span, text))| {
            let text = (!text.is_empty()).then(|| (*text).to_owned());
            if at == 0 {
                LabeledSpan::new_primary_with_span(text, span.range())
            } else {
                LabeledSpan::new_with_span(text, span.range())
            }
        });
        Some(Box::new(labels))
    }
}
