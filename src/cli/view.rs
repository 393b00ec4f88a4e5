//! What a run shows while it happens: JSON lines on stdout, plain lines on stderr, or a live view of the streams at
//! work below them where stderr is a terminal.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::Console;
use crate::diagnostic::Sources;
use crate::event::{Event, Record};
use crate::plan::Plan;
use crate::report::Style;
use crate::report::jsonl::Jsonl;
use crate::report::live::{Live, Screen, Size};
use crate::report::plain::Plain;

/// How often the live view is drawn again.
pub(super) const FRAME: Duration = Duration::from_millis(100);

/// Plain lines that wait for the next frame of the live view take at most so much memory.
const MAX_PENDING: usize = 256 << 10;

/// One of the three.
pub(super) enum View {
    /// `--format jsonl`
    Lines(Jsonl, Vec<u8>),
    /// Progress where there is no terminal.
    Plain(Box<Plain>, Vec<u8>),
    /// Progress on a terminal.
    Live(Box<Frame>),
}

/// The live view, and the plain lines that have not scrolled by yet.
pub(super) struct Frame {
    plain: Plain,
    live: Live,
    screen: Screen,
    pending: Vec<u8>,
    out: Vec<u8>,
}

impl View {
    /// For people.
    pub(super) fn human(plan: &Arc<Plan>, sources: &Arc<Sources>, console: &Console) -> Self {
        let style = Style { color: console.err_color };
        let progress = Plain::new(Arc::clone(plan), Arc::clone(sources), style);
        if !console.err_terminal {
            // A reader of a pipe that lags a little does not hold up a flood; where it is no pipe, nothing happens.
            let _ = rustix::pipe::fcntl_setpipe_size(std::io::stderr(), 1 << 20);
            return Self::Plain(Box::new(progress), Vec::new());
        }
        let live = Live::new(Arc::clone(plan), Arc::clone(sources), style);
        let screen = Screen::default();
        Self::Live(Box::new(Frame { plain: progress, live, screen, pending: Vec::new(), out: Vec::new() }))
    }

    /// For tools.
    pub(super) fn lines(lines: Jsonl) -> Self {
        Self::Lines(lines, Vec::new())
    }

    /// Takes the next record; much of it is shown at once, the rest with [`View::flush`].
    pub(super) fn record(&mut self, record: &Record) {
        match self {
            Self::Lines(lines, out) => lines.record(record, out),
            Self::Plain(plain, out) => plain.record(record, out),
            Self::Live(frame) => return frame.record(record),
        }
        let (Self::Lines(_, out) | Self::Plain(_, out)) = self else { return };
        if out.len() > MAX_PENDING {
            self.flush();
        }
    }

    /// Shows what was taken. Whoever reads may have gone: that is no error, and stops nothing.
    pub(super) fn flush(&mut self) {
        match self {
            Self::Lines(_, out) if !out.is_empty() => {
                let _ = std::io::stdout().write_all(out);
                // A reader of a pipe sees what happens as it happens.
                let _ = std::io::stdout().flush();
                out.clear();
            }
            Self::Plain(_, out) if !out.is_empty() => {
                let _ = std::io::stderr().write_all(out);
                out.clear();
            }
            Self::Lines(..) | Self::Plain(..) | Self::Live(_) => {}
        }
    }

    /// Draws again where something is drawn.
    pub(super) fn frame(&mut self, now: Duration) {
        if let Self::Live(frame) = self {
            frame.draw(now);
        }
    }

    /// Shows the rest, and takes away what stood still.
    pub(super) fn end(&mut self) {
        self.flush();
        if let Self::Live(frame) = self {
            frame.end();
        }
    }
}

impl Frame {
    fn record(&mut self, record: &Record) {
        self.plain.record(record, &mut self.pending);
        self.live.record(record);
        if self.pending.len() > MAX_PENDING || matches!(record.event, Event::RunEnded(_)) {
            self.draw(record.at);
        }
    }

    fn draw(&mut self, now: Duration) {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
        let of = |value: Option<u16>, otherwise: usize| value.filter(|value| *value > 0).map_or(otherwise, usize::from);
        let size = Size {
            columns: of(size.as_ref().map(|size| size.ws_col), 80),
            rows: of(size.as_ref().map(|size| size.ws_row), 24),
        };
        self.out.clear();
        self.screen.draw(&self.pending, &self.live.lines(now, size), &mut self.out);
        self.pending.clear();
        let _ = std::io::stderr().write_all(&self.out);
    }

    fn end(&mut self) {
        self.out.clear();
        self.screen.erase(&mut self.out);
        self.out.extend_from_slice(&self.pending);
        self.pending.clear();
        let _ = std::io::stderr().write_all(&self.out);
    }
}
