//! One run from its beginning to its end: what reads it, who guards it, what it came to.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::mpsc;

use super::drive::{Links, drive, temporary};
use super::writer::Writer;
use super::{Exec, Format, Scenario, Unable};
use crate::backend::ledger::Resource;
use crate::cli::begun::Begun;
use crate::cli::clean::clean_run;
use crate::cli::folder::{Folder, runs};
use crate::cli::guardian::{Guarded, guarded};
use crate::cli::hand::{Hand, Taking};
use crate::cli::inputs::Inputs;
use crate::cli::journal::Journal;
use crate::cli::ledger::FILE;
use crate::cli::outlet::Outlet;
use crate::cli::resume::{Earlier, Refused, earlier};
use crate::cli::view::View;
use crate::cli::{Console, SURROUNDINGS, here, no_thread, spacious, unwritten};
use crate::engine::Past;
use crate::event::Verdict;
use crate::report::Style;
use crate::report::jsonl::{Header, Jsonl, Printed};
use crate::report::summary::Summary;
use crate::sys::Mortal;

/// How much of one step's output on one channel is kept in the run's folder.
pub(super) const KEPT: u64 = 64 << 20;

/// So many batches of records may wait to be written; then the run waits. Output waits before that.
const BATCHES: usize = 4096;

/// A run that is over waits for a reader of its progress until that takes nothing for so long.
const FAREWELL: Duration = Duration::from_secs(10);

/// So many requests to stop may wait: a third interrupt says nothing new.
const ASKS: usize = 8;

/// The fewest files that a process may have open for a run to begin.
const FILES: u64 = 32;

/// Who reads what a run writes.
pub(super) struct Readers {
    results: Arc<Outlet>,
    progress: Arc<Outlet>,
}

impl Readers {
    /// The one who reads what happens must not hold up those at work; the other hears of the run before and after it.
    fn new(it: &Exec, scenario: &Scenario) -> io::Result<Self> {
        let (mut results, mut progress) = (Outlet::stdout(), Outlet::stderr());
        match it.format {
            _ if scenario.plan.steps.is_empty() => {}
            Format::Human => progress = progress.threaded()?,
            Format::Jsonl => results = results.threaded()?,
        }
        Ok(Self { results: Arc::new(results), progress: Arc::new(progress) })
    }

    /// Tells what the run came to, and waits until that is read.
    fn tell(&self, it: &Exec, writer: &Writer, folder: &Folder) {
        if it.format == Format::Human {
            let seen = self.progress.wait(0, FAREWELL);
            self.results.say(&writer.summary.render());
            if !seen {
                self.results.say("whoever reads stderr has stopped, and has not seen all of the progress\n");
            }
            self.see_results();
            self.progress.say(&format!("journal: {}\n", shown(&folder.path)));
        }
        self.see_results();
    }

    /// Says why results are missing where they go, and answers whether any are.
    fn told_what_is_missing(&self) -> bool {
        let missing = self.results.error().map(|error| unwritten(&error));
        missing.inspect(|words| self.progress.say(&format!("error: {words}\n"))).is_some()
    }

    /// Waits until the results are read. Nothing runs any more, so whoever is asked to end meanwhile just ends.
    fn see_results(&self) {
        if !self.results.wait(0, Duration::from_secs(1)) {
            let _mortal = Mortal::new();
            while !self.results.wait(0, FAREWELL) {}
        }
    }
}

/// A run that is about to begin.
pub(super) struct Start<'a> {
    pub(super) it: &'a Exec,
    pub(super) scenario: &'a Scenario,
    pub(super) console: &'a Console,
    pub(super) folder: &'a Folder,
    pub(super) inputs: &'a Inputs,
    pub(super) earlier: Option<&'a Earlier>,
    /// What is to be said before.
    pub(super) intro: &'a str,
}

/// Runs one scenario, or goes on with its run `resume`; its exit code. The error is why it could not begin.
pub(super) fn one(
    it: &Exec,
    scenario: &Scenario,
    resume: Option<&str>,
    console: &Console,
    intro: &str,
) -> Result<u8, Unable> {
    enough_files()?;
    let here = here()?;
    let inputs = scenario.inputs(it);
    let mut intro = intro.to_owned();
    let go_on = |which: &str| spacious(|| gone_on_with(which, scenario, &inputs, &here));
    let earlier = match resume.map(go_on).transpose() {
        Ok(earlier) => earlier.transpose()?,
        Err(code) => return Ok(code),
    };
    if let Some((earlier, cleaned)) = &earlier {
        intro += cleaned;
        intro += &earlier.words(&scenario.plan);
    }
    let folder = Folder::make(&here);
    let folder = folder.map_err(|error| format!("cannot make the run's folder in `{}`: {error}", here.display()))?;
    let earlier = earlier.as_ref().map(|(earlier, _)| earlier);
    let start = Start { it, scenario, console, folder: &folder, inputs: &inputs, earlier, intro: &intro };
    if scenario.plan.steps.is_empty() {
        // Nothing is made that anybody would have to look after.
        return Ok(spacious(|| coordinate(&start, None)).unwrap_or_else(|code| code));
    }
    let made = [Resource::Folder(temporary(&folder.id)?)];
    Ok(guarded(&folder, &scenario.path, &made, |guard| coordinate(&start, Some(guard)))?)
}

/// Whether a run may open what it takes to begin, which not all that it is built on can say.
fn enough_files() -> Result<(), String> {
    match rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        Some(most) if most < FILES => Err(format!(
            "cannot start: this process may have {most} files open, and a run takes {FILES} at least: see `ulimit -n`"
        )),
        _ => Ok(()),
    }
}

/// Runs one scenario from its beginning to its end; its exit code.
fn coordinate(start: &Start<'_>, guard: Option<Guarded>) -> u8 {
    // They have threads, so they are made where the run is.
    let readers = match Readers::new(start.it, start.scenario) {
        Ok(readers) => readers,
        Err(error) => {
            Console::complain(&no_thread(&error));
            if let Some(guard) = guard {
                guard.done();
            }
            return SURROUNDINGS;
        }
    };
    readers.progress.say(start.intro);
    let mut guard = guard;
    let recorded = record(start, &readers, guard.as_mut());
    // Whatever came of it, nothing of it is left. Whoever reads may let us wait now.
    if let Some(guard) = guard {
        guard.done();
    }
    let code = match recorded {
        Ok((writer, mut verdict, signal)) => {
            readers.tell(start.it, &writer, start.folder);
            verdict.surroundings |= readers.told_what_is_missing();
            if verdict.interrupted { signal.unwrap_or(130) } else { verdict.exit_code() }
        }
        Err(words) => {
            readers.progress.say(&format!("error: {words}\n"));
            SURROUNDINGS
        }
    };
    readers.progress.wait(0, FAREWELL);
    code
}

/// Runs one scenario and writes down what happens; what it comes to, and the code of the signal that ended it.
fn record(
    start: &Start<'_>,
    readers: &Readers,
    guard: Option<&mut Guarded>,
) -> Result<(Writer, Verdict, Option<u8>), String> {
    let Start { it, scenario, console, folder, inputs, earlier, intro: _ } = *start;
    let unwritten = |error| format!("cannot write `{}`: {error}", folder.path.display());
    let (asks, asked) = mpsc::channel(ASKS);
    let (taken, written) = sync_channel(1);
    let header = header(folder, earlier, scenario.variant.clone());
    let lines =
        |printed| Jsonl::new(Arc::clone(&scenario.plan), Arc::clone(&scenario.sources), header.clone(), printed);
    let view = view(it, scenario, console, readers, lines(Printed::Whole));
    let journal = Journal::open(folder, Arc::clone(&scenario.plan), lines(Printed::Size), KEPT, asks.clone());
    let summary = summary(scenario, console, &header);
    let taken = earlier.is_some().then_some(taken);
    let mut writer = Writer { journal: journal.map_err(unwritten)?, summary, view, taken };
    let (records, received) = sync_channel(BATCHES);
    let begun = Begun::make(&folder.path, &scenario.plan, inputs).map_err(unwritten)?;
    let taking = earlier.map(|earlier| Taking { earlier, by: Arc::clone(&folder.id), written });
    let mut hand = Hand { records, begun, asks: asks.clone(), taking };
    let none = Past::default();
    let past = earlier.map_or(&none, |earlier| &earlier.past);
    let outside = Links { past, asks, asked };
    let (ran, broken) = if scenario.plan.steps.is_empty() {
        // So little happens that all of it can be written afterwards.
        let ran = drive(start, outside, &mut hand, guard);
        drop(hand);
        writer.write(&received);
        (ran, false)
    } else {
        std::thread::scope(|scope| {
            let writer = &mut writer;
            let writing = std::thread::Builder::new().spawn_scoped(scope, move || writer.write(&received));
            let writing = writing.map_err(|error| no_thread(&error))?;
            let ran = drive(start, outside, &mut hand, guard);
            drop(hand);
            writing.thread().unpark();
            Ok::<_, String>((ran, writing.join().is_err()))
        })?
    };
    let (mut verdict, signal) = ran?;
    verdict.internal |= broken;
    verdict.surroundings |= told_what_failed(&mut writer.journal, readers);
    Ok((writer, verdict, signal))
}

/// The run that this one goes on with, and what was cleaned up after it, in words.
fn gone_on_with(which: &str, scenario: &Scenario, inputs: &Inputs, here: &Path) -> Result<(Earlier, String), Refused> {
    let earlier = earlier(here, which, &scenario.plan, &scenario.sources, inputs)?;
    let folder = runs(here).join(&*earlier.id);
    // One that had not come to it has made nothing.
    if !folder.join(FILE).exists() {
        return Ok((earlier, String::new()));
    }
    let cleaned = clean_run(&folder).map_err(Refused::For)?;
    if !cleaned.failed.is_empty() {
        return Err(Refused::For(format!(
            "what run {} has left behind is in the way:\n{}",
            earlier.id,
            cleaned.shown()
        )));
    }
    let told = if cleaned.is_empty() { String::new() } else { cleaned.shown() };
    Ok((earlier, told))
}

/// What the first line of the events says.
fn header(folder: &Folder, earlier: Option<&Earlier>, variant: Option<Arc<str>>) -> Header {
    let resumed = earlier.map(|earlier| Arc::clone(&earlier.id));
    Header { run: Arc::clone(&folder.id), started: folder.began.to_string().into(), resumed, variant }
}

/// What this run shows.
fn view(it: &Exec, scenario: &Scenario, console: &Console, readers: &Readers, lines: Jsonl) -> View {
    match it.format {
        Format::Human => View::human(&scenario.plan, &scenario.sources, console, &readers.progress),
        Format::Jsonl => View::lines(lines, &readers.results),
    }
}

/// What it will have come to.
fn summary(scenario: &Scenario, console: &Console, header: &Header) -> Summary {
    let style = Style { color: console.out_color };
    Summary::new(Arc::clone(&scenario.plan), Arc::clone(&scenario.sources), style).resumed(header.resumed.clone())
}

/// Says what could not be written, and answers whether anything could not.
fn told_what_failed(journal: &mut Journal, readers: &Readers) -> bool {
    let lost = journal.undeclared();
    let Some(words) = journal.end() else { return false };
    let lost = if lost > 0 { format!("; {lost} bytes of output are not kept") } else { String::new() };
    readers.progress.say(&format!("error: {words}{lost}\n"));
    true
}

/// A path as people read it: relative where it is below the current folder.
pub(in crate::cli) fn shown(path: &Path) -> String {
    let here = here().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
