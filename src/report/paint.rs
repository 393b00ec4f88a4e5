//! Colours, where they are allowed.

use anstyle::{AnsiColor, Style as Look};

use super::Style;
use crate::scenario::{Id as _, StreamId};

/// Something is wrong.
pub(super) const BAD: Look = AnsiColor::Red.on_default().bold();
/// Something is well.
pub(super) const GOOD: Look = AnsiColor::Green.on_default().bold();
/// It matters less.
pub(super) const DIM: Look = Look::new().dimmed();
/// It heads something.
pub(super) const BOLD: Look = Look::new().bold();
/// A warning, and what came down stderr.
pub(super) const WARN: Look = AnsiColor::Yellow.on_default();

/// The colour of a stream's name; red is kept for what is wrong.
pub(super) fn stream(stream: StreamId) -> Look {
    const COLORS: [AnsiColor; 9] = [
        AnsiColor::Cyan,
        AnsiColor::Green,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::Yellow,
        AnsiColor::BrightCyan,
        AnsiColor::BrightGreen,
        AnsiColor::BrightMagenta,
        AnsiColor::BrightBlue,
    ];
    COLORS[stream.index() % COLORS.len()].on_default()
}

impl Style {
    /// `text` in that look, if colours are allowed.
    pub(super) fn paint(self, look: Look, text: &str) -> String {
        if self.color { format!("{look}{text}{look:#}") } else { text.to_owned() }
    }
}
