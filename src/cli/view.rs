//! What a run shows while it happens: JSON lines on stdout, plain lines on stderr, or a live view of the streams at
//! work below them where stderr is a terminal.
//!
//! Who looks never holds up who works. A terminal shows what it can in time; a reader of a pipe is waited for as long
//! as it reads. Output that is not shown is counted and said; what mstream itself has to say is shown later instead.

use std::sync::Arc;
use std::time::Duration;

use super::Console;
use super::outlet::Outlet;
use crate::diagnostic::Sources;
use crate::event::{Event, Record};
use crate::plan::Plan;
use crate::report::jsonl::Jsonl;
use crate::report::live::{Live, Screen, Size};
use crate::report::plain::Plain;
use crate::report::{Style, Unshown};

/// How often the live view is drawn again.
pub(super) const FRAME: Duration = Duration::from_millis(100);

/// What is shown goes out in pieces of about this size.
const PIECE: usize = 256 << 10;

/// While more than this waits for the reader, output of steps is not shown.
const LATE: usize = 4 << 20;

/// While more than this waits for the reader, nothing is shown.
const STUCK: usize = 16 << 20;

/// A reader of a pipe that takes less than a piece in this time is not waited for any more, until it has caught up.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a run shows.
pub(super) struct View {
    outlet: Arc<Outlet>,
    form: Form,
    /// Whole lines that were not handed on yet.
    out: Vec<u8>,
    unshown: Unshown,
    /// Whether the reader was waited for in vain, and has not caught up since.
    stalled: bool,
    /// How far the run has come.
    now: Duration,
}

/// One of the three.
enum Form {
    /// `--format jsonl`
    Lines(Jsonl),
    /// Progress where there is no terminal.
    Plain(Box<Plain>),
    /// Progress on a terminal.
    Live(Box<Frame>),
}

/// The live view.
struct Frame {
    plain: Plain,
    live: Live,
    screen: Screen,
    /// What is drawn in one go.
    drawn: Vec<u8>,
}

impl View {
    /// For people.
    pub(super) fn human(plan: &Arc<Plan>, sources: &Arc<Sources>, console: &Console, outlet: &Arc<Outlet>) -> Self {
        let style = Style { color: console.err_color };
        let progress = Plain::new(Arc::clone(plan), Arc::clone(sources), style);
        if !console.err_terminal {
            // A reader of a pipe that lags a little does not hold up a flood; where it is no pipe, nothing happens.
            let _ = rustix::pipe::fcntl_setpipe_size(std::io::stderr(), 1 << 20);
            return Self::new(Form::Plain(Box::new(progress)), outlet);
        }
        let live = Live::new(Arc::clone(plan), Arc::clone(sources), style);
        let frame = Frame { plain: progress, live, screen: Screen::default(), drawn: Vec::new() };
        Self::new(Form::Live(Box::new(frame)), outlet)
    }

    /// For tools.
    pub(super) fn lines(lines: Jsonl, outlet: &Arc<Outlet>) -> Self {
        Self::new(Form::Lines(lines), outlet)
    }

    fn new(form: Form, outlet: &Arc<Outlet>) -> Self {
        Self {
            outlet: Arc::clone(outlet),
            form,
            out: Vec::new(),
            unshown: Unshown::default(),
            stalled: false,
            now: Duration::ZERO,
        }
    }

    /// Takes the next record; much of it is shown at once, the rest with [`View::flush`].
    pub(super) fn record(&mut self, record: &Record) {
        self.catch_up();
        self.now = record.at;
        if matches!(record.event, Event::RunEnded(_)) {
            self.say_unshown();
        }
        let before = self.out.len();
        match &mut self.form {
            Form::Lines(lines) => lines.record(record, &mut self.out),
            Form::Plain(plain) => plain.record(record, &mut self.out),
            Form::Live(frame) => {
                frame.plain.record(record, &mut self.out);
                frame.live.record(record);
            }
        }
        if self.too_late(&record.event) {
            self.leave_out(before, &record.event);
        }
        if self.out.len() > PIECE {
            self.hand_on();
        }
    }

    /// Whether the reader is too far behind for this. The end of the run comes in any case.
    fn too_late(&self, event: &Event) -> bool {
        let behind = self.outlet.behind();
        match event {
            Event::Output(..) => self.stalled || behind > LATE,
            Event::RunEnded(_) => false,
            Event::RunStarted
            | Event::StreamOpening(_)
            | Event::StreamOpened(..)
            | Event::StreamFailed(..)
            | Event::CleanupStarted(_)
            | Event::StreamClosed(..)
            | Event::StepStarted(..)
            | Event::StepWaiting(_)
            | Event::StepReady(_)
            | Event::StepReleased(_)
            | Event::OutputCut(..)
            | Event::StepLeaked(..)
            | Event::StepRetried(..)
            | Event::StepEnded(..)
            | Event::ProcessEnded(..)
            | Event::BarrierReleased(..)
            | Event::BarrierBroken(..)
            | Event::GateReleased(..)
            | Event::Interrupted(_)
            | Event::RunTimedOut
            | Event::JournalFailed(_)
            | Event::ValueMade(..)
            | Event::StepTaken(..) => behind > STUCK,
        }
    }

    /// Shows what was taken.
    pub(super) fn flush(&mut self) {
        self.catch_up();
        match self.form {
            Form::Lines(_) | Form::Plain(_) => self.hand_on(),
            // With the next frame.
            Form::Live(_) => {}
        }
    }

    /// Draws again where something is drawn, unless the terminal is busy with what was drawn before.
    pub(super) fn frame(&mut self, now: Duration) {
        self.now = now;
        if let Form::Live(frame) = &mut self.form
            && self.outlet.behind() == 0
        {
            frame.draw(&mut self.out, now, &self.outlet);
        }
    }

    /// Shows the rest, and takes away what stood still.
    pub(super) fn end(&mut self) {
        self.say_unshown();
        if let Form::Live(frame) = &mut self.form {
            frame.draw(&mut self.out, self.now, &self.outlet);
            frame.screen.erase(&mut self.out);
        }
        self.outlet.put(&mut self.out);
    }

    /// Hands on what was taken, and waits for a reader of a pipe that lags behind. A terminal is not waited for.
    fn hand_on(&mut self) {
        match &mut self.form {
            Form::Live(frame) => frame.draw(&mut self.out, self.now, &self.outlet),
            Form::Lines(_) | Form::Plain(_) => {
                self.outlet.put(&mut self.out);
                self.stalled = self.stalled || !self.outlet.wait(LATE, PATIENCE);
            }
        }
    }

    /// Takes back what was made of a record.
    fn leave_out(&mut self, before: usize, event: &Event) {
        self.out.truncate(before);
        self.unshown.events += 1;
        if let Event::Output(_, _, bytes) = event {
            self.unshown.bytes += bytes.len() as u64;
        }
    }

    /// Goes on showing output once the reader has caught up, and says what it has missed.
    fn catch_up(&mut self) {
        if (self.stalled || self.unshown.events > 0) && self.outlet.behind() <= LATE / 2 {
            self.stalled = false;
            self.say_unshown();
        }
    }

    fn say_unshown(&mut self) {
        let unshown = std::mem::take(&mut self.unshown);
        if unshown.events > 0 {
            match &mut self.form {
                Form::Lines(lines) => lines.unshown(unshown, &mut self.out),
                Form::Plain(plain) => plain.unshown(unshown, &mut self.out),
                Form::Live(frame) => frame.plain.unshown(unshown, &mut self.out),
            }
        }
    }
}

impl Frame {
    /// Draws the lines that stand still below those that scroll by, `above`.
    fn draw(&mut self, above: &mut Vec<u8>, now: Duration, outlet: &Outlet) {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
        let of = |value: Option<u16>, otherwise: usize| value.filter(|value| *value > 0).map_or(otherwise, usize::from);
        let size = Size {
            columns: of(size.as_ref().map(|size| size.ws_col), 80),
            rows: of(size.as_ref().map(|size| size.ws_row), 24),
        };
        self.screen.draw(above, &self.live.lines(now, size), &mut self.drawn);
        above.clear();
        outlet.put(&mut self.drawn);
    }
}
