//! `mstream exec`: checks all scenarios, then runs one after the other.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use clap::{Args, ValueEnum};
use indexmap::IndexMap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::begun::Begun;
use super::clean::{clean_run, killed};
use super::engines::{EXPIRES, engines, owner};
use super::files::{checked, checked_variants, show_all};
use super::folder::{Folder, private, runs};
use super::guardian::{Guarded, guarded};
use super::hand::{Hand, Taking};
use super::inputs::Inputs;
use super::journal::Journal;
use super::ledger::FILE;
use super::outlet::Outlet;
use super::resume::{Earlier, REFUSED, earlier};
use super::secrets::{Secrets, secrets};
use super::view::{FRAME, View};
use super::{Console, FAULT, SURROUNDINGS, Scenarios, WRONG, here, no_thread, spacious};
use crate::backend::Backend;
use crate::backend::docker::{DockerBackend, Labels};
use crate::backend::guard::{LEASE, Patience};
use crate::backend::ledger::{Ledger, Resource, Unwritten};
use crate::backend::local::{LocalBackend, remove_tree};
use crate::backend::ssh::SshBackend;
use crate::check::Checked;
use crate::diagnostic::{Sources, visible};
use crate::engine::{Limits, Past};
use crate::event::{Ask, Urgency, Verdict};
use crate::graph;
use crate::plan::Plan;
use crate::report::Style;
use crate::report::jsonl::{Header, Jsonl, Printed};
use crate::report::summary::Summary;
use crate::report::variants::{Ran, table};
use crate::run::{Batch, Home, Run, maskable, run};
use crate::syntax::{Value, parse_expression};
use crate::sys::{self, Mortal};

/// From this exit code on somebody has asked mstream to end, or has ended it.
const INTERRUPTED: u8 = 128;

/// How much of one step's output on one channel is kept in the run's folder.
const KEPT: u64 = 64 << 20;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The shortest lease.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

/// After so long nobody needs what a run has left in a container engine.
const EXPIRY: Duration = Duration::from_hours(24);

/// So many batches of records may wait to be written; then the run waits. Output waits before that.
const BATCHES: usize = 4096;

/// A run that is over waits for a reader of its progress until that takes nothing for so long.
const FAREWELL: Duration = Duration::from_secs(10);

/// So many requests to stop may wait: a third interrupt says nothing new.
const ASKS: usize = 8;

/// How often the writer looks for records while there are some.
const LOOK: Duration = Duration::from_millis(2);

/// After so many looks in vain it waits to be woken.
const QUIET: u32 = 5;

/// `mstream exec`
#[derive(Args, Debug)]
pub(super) struct Exec {
    #[command(flatten)]
    scenarios: Scenarios,
    /// Run once for each variant of the parameters, one after the other.
    #[arg(long)]
    variants: bool,
    /// Say what would run, and run nothing.
    #[arg(long)]
    dry_run: bool,
    /// End the whole run at the first failure.
    #[arg(long)]
    fail_fast: bool,
    /// How long the whole run may take.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// What all timeouts are multiplied by.
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = factor, env = "MSTREAM_TIMEOUT_SCALE")]
    timeout_scale: u32,
    /// How long what runs on other machines lives on when they hear nothing of mstream any more; at least 3s.
    #[arg(long, value_name = "DURATION", default_value = LEASE, value_parser = lease, env = "MSTREAM_LEASE")]
    lease: Duration,
    /// What to write while it runs.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Go on with a run that was killed: its id, the beginning of it, or `last`.
    #[arg(long, value_name = "RUN")]
    resume: Option<String>,
    /// Where secrets stand, as NAME=value lines, before the environment.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// What is written while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// Progress on stderr, the summary on stdout.
    Human,
    /// Every event on stdout as it happens, a line each.
    Jsonl,
}

/// A lease; a shorter one could end a run that only stutters.
fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text)?;
    if lease < SHORTEST_LEASE { Err("a lease is at least 3s long".to_owned()) } else { Ok(lease) }
}

/// `5m`, as the language writes it.
fn duration(text: &str) -> Result<Duration, String> {
    let mut sources = Sources::default();
    let id = sources.add("--timeout", text);
    let read = parse_expression(id, &sources).ok().map(|expr| expr.kind);
    match read {
        Some(crate::syntax::ast::ExprKind::Literal(Value::Duration(value))) => Ok(value),
        _ => Err("a duration is expected, such as 90s or 5m".to_owned()),
    }
}

/// A factor in percent.
fn factor(text: &str) -> Result<u32, String> {
    let factor: f64 = text.parse().map_err(|_| "a number is expected, such as 2 or 0.5")?;
    if !(0.01..=1000.0).contains(&factor) {
        return Err("a factor from 0.01 to 1000 is expected".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 100,000 fits")]
    Ok((factor * 100.0).round() as u32)
}

/// Checks all scenarios and runs them; the exit code.
pub(super) fn exec(it: &Exec, console: &Console) -> u8 {
    match spacious(|| prepare(it, console)).and_then(|ready| ready) {
        Ok(ready) => all(it, &ready, console),
        Err(code) => code,
    }
}

/// The scenarios, where all of them may run; else the exit code.
fn prepare(it: &Exec, console: &Console) -> Result<Vec<Scenario>, u8> {
    let settings = it.scenarios.inputs.settings();
    let mut ready = Vec::new();
    let mut wrong = false;
    for path in &it.scenarios.files {
        let found =
            if it.variants { checked_variants(path, &settings) } else { checked(path, &settings).map(|it| vec![it]) };
        let found = found.unwrap_or_default();
        wrong |= found.is_empty();
        show_all(&found, console);
        for found in found {
            match prepared(it, path, found) {
                Ok(scenario) => ready.push(scenario),
                Err(_) => wrong = true,
            }
        }
    }
    if wrong {
        return Err(WRONG);
    }
    if it.resume.is_some() && ready.len() > 1 {
        Console::complain("a run is resumed with the one scenario that it was made of");
        return Err(WRONG);
    }
    if it.dry_run {
        for scenario in &ready {
            if let Some(variant) = &scenario.variant {
                Console::result(&format!("── {}\n", visible::text(variant)));
            }
            Console::result(&graph::export(&scenario.plan, &scenario.sources, graph::Format::Text));
        }
        Console::progress("dry run: nothing was run\n");
        return Err(0);
    }
    Ok(ready)
}

/// Runs one after the other; the exit code of the worst.
fn all(it: &Exec, ready: &[Scenario], console: &Console) -> u8 {
    let human = it.format == Format::Human;
    let root = runs(&here().unwrap_or_default());
    let mut intro = if human { killed(&root).unwrap_or_default() } else { String::new() };
    let mut worst = 0;
    let mut ran = Vec::new();
    for scenario in ready {
        if ready.len() > 1 && human {
            intro += &scenario.heading();
        }
        let began = now();
        let code = one(it, scenario, console, &intro).unwrap_or_else(Unable::told);
        intro.clear();
        worst = graver(worst, code);
        let verdict = verdict(code);
        ran.extend(scenario.variant.clone().map(|variant| Ran { variant, verdict, took: began.elapsed() }));
        // Somebody wants it to end.
        if code >= INTERRUPTED {
            break;
        }
    }
    if !ran.is_empty() && human {
        let of = ready.iter().filter(|scenario| scenario.variant.is_some()).count();
        Console::result(&table(&ran, of));
    }
    worst
}

/// The graver one of two exit codes.
fn graver(one: u8, other: u8) -> u8 {
    const ORDER: [u8; 7] = [0, 5, 1, 4, SURROUNDINGS, REFUSED, FAULT];
    let gravity = |code: u8| ORDER.iter().position(|it| *it == code).unwrap_or(ORDER.len());
    if gravity(other) > gravity(one) { other } else { one }
}

/// The gravest thing that an exit code says.
fn verdict(code: u8) -> Verdict {
    let none = Verdict::default();
    match code {
        0 => none,
        1 => Verdict { failed: true, ..none },
        4 => Verdict { timed_out: true, ..none },
        5 => Verdict { leaked: true, ..none },
        SURROUNDINGS | REFUSED => Verdict { surroundings: true, ..none },
        129 | 130 | 131 | 143 => Verdict { interrupted: true, ..none },
        _ => Verdict { internal: true, ..none },
    }
}

/// Who reads what a run writes.
struct Readers {
    results: Arc<Outlet>,
    progress: Arc<Outlet>,
}

impl Readers {
    fn new() -> io::Result<Self> {
        Ok(Self { results: Arc::new(Outlet::stdout()?), progress: Arc::new(Outlet::stderr()?) })
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

    /// Waits until the results are read. Nothing runs any more, so whoever is asked to end meanwhile just ends.
    fn see_results(&self) {
        if !self.results.wait(0, Duration::from_secs(1)) {
            let _mortal = Mortal::new();
            while !self.results.wait(0, FAREWELL) {}
        }
    }
}

/// Why nothing ran.
enum Unable {
    /// The earlier run cannot be resumed.
    Refused(String),
    /// The surroundings do not allow it.
    Surroundings(String),
}

impl Unable {
    /// Tells why; the exit code.
    fn told(self) -> u8 {
        let (words, code) = match self {
            Self::Refused(words) => (words, REFUSED),
            Self::Surroundings(words) => (words, SURROUNDINGS),
        };
        Console::complain(&words);
        code
    }
}

impl From<String> for Unable {
    fn from(words: String) -> Self {
        Self::Surroundings(words)
    }
}

/// A scenario that may run.
struct Scenario {
    path: PathBuf,
    variant: Option<Arc<str>>,
    plan: Arc<Plan>,
    sources: Arc<Sources>,
    secrets: Arc<Secrets>,
}

impl Scenario {
    /// The line above what it prints, where others run as well.
    fn heading(&self) -> String {
        let variant = self.variant.as_ref().map(|variant| format!(" · {}", visible::text(variant)));
        format!("── {} · {}{}\n", self.plan.title, self.path.display(), variant.unwrap_or_default())
    }
}

/// A scenario that is sound and has all of its secrets; else the reason is told.
fn prepared(it: &Exec, path: &Path, found: Checked) -> Result<Scenario, u8> {
    let plan = found.plan.ok_or(WRONG)?;
    let secrets = secrets(&plan, it.secret_file.as_deref()).map_err(|words| {
        Console::complain(&format!("{}: {words}", path.display()));
        WRONG
    })?;
    for name in secrets.iter().filter(|(_, value)| !maskable(value)).map(|(name, _)| name) {
        let words = "is shown where it is printed: what is shorter than 6 characters cannot be masked";
        Console::progress(&format!("warning: {}: the secret `{name}` {words}\n", path.display()));
    }
    let (plan, sources) = (Arc::new(plan), Arc::new(found.sources));
    Ok(Scenario { path: path.to_owned(), variant: found.variant, plan, sources, secrets: Arc::new(secrets) })
}

/// A run that is about to begin.
struct Start<'a> {
    it: &'a Exec,
    scenario: &'a Scenario,
    console: &'a Console,
    folder: &'a Folder,
    inputs: &'a Inputs,
    earlier: Option<&'a Earlier>,
    /// What is to be said before.
    intro: &'a str,
}

/// Runs one scenario; its exit code. The error is why it could not begin.
fn one(it: &Exec, scenario: &Scenario, console: &Console, intro: &str) -> Result<u8, Unable> {
    let here = here()?;
    let inputs = Inputs::of(&scenario.sources, &it.scenarios.inputs.settings());
    let mut intro = intro.to_owned();
    let resume = || it.resume.as_ref().map(|which| gone_on_with(which, scenario, &inputs, &here)).transpose();
    let earlier = match spacious(resume) {
        Ok(earlier) => earlier?,
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

/// Runs one scenario from its beginning to its end; its exit code.
fn coordinate(start: &Start<'_>, guard: Option<Guarded>) -> u8 {
    // Each has a thread, so they are made where the run is.
    let readers = match Readers::new() {
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
        Ok((writer, verdict, signal)) => {
            readers.tell(start.it, &writer, start.folder);
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
    let ran = std::thread::scope(|scope| {
        let writer = &mut writer;
        let writing = std::thread::Builder::new().spawn_scoped(scope, move || writer.write(&received));
        let writing = writing.map_err(|error| no_thread(&error))?;
        let ran = drive(start, Links { past, asks, asked }, &mut hand, guard);
        drop(hand);
        writing.thread().unpark();
        Ok::<_, String>((ran, writing.join().is_err()))
    })?;
    let ((mut verdict, signal), broken) = (ran.0?, ran.1);
    verdict.internal |= broken;
    verdict.surroundings |= told_what_failed(&mut writer.journal, readers);
    Ok((writer, verdict, signal))
}

/// The run that this one goes on with, and what was cleaned up after it, in words.
fn gone_on_with(which: &str, scenario: &Scenario, inputs: &Inputs, here: &Path) -> Result<(Earlier, String), Unable> {
    let earlier = earlier(here, which, &scenario.plan, &scenario.sources, inputs).map_err(Unable::Refused)?;
    let folder = runs(here).join(&*earlier.id);
    // One that had not come to it has made nothing.
    if !folder.join(FILE).exists() {
        return Ok((earlier, String::new()));
    }
    let cleaned = clean_run(&folder).map_err(Unable::Refused)?;
    if !cleaned.failed.is_empty() {
        return Err(Unable::Refused(format!(
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

/// Writes down what happens, on a thread of its own, so that no stream waits for a disk; what is shown has another
/// thread, so that nothing waits for a terminal.
struct Writer {
    journal: Journal,
    summary: Summary,
    view: View,
    /// Waits until what was taken over of an earlier run is on the disk: that is in the first batch.
    taken: Option<SyncSender<()>>,
}

impl Writer {
    /// Takes records until there are no more.
    fn write(&mut self, records: &Receiver<Batch>) {
        let began = now();
        let mut drawn = began;
        let mut quiet = 0;
        loop {
            match self.next(records, quiet) {
                Ok(()) => quiet = 0,
                Err(RecvTimeoutError::Timeout) => quiet += 1,
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if drawn.elapsed() >= FRAME {
                drawn = now();
                self.view.frame(drawn - began);
            }
        }
        self.view.end();
    }

    /// Takes what there is. While much happens it looks now and then instead of being woken each time: a wake-up
    /// would cost the run more than everything else that it does for a step.
    fn next(&mut self, records: &Receiver<Batch>, quiet: u32) -> Result<(), RecvTimeoutError> {
        let batch = match records.try_recv() {
            Ok(batch) => batch,
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if quiet < QUIET => {
                self.view.flush();
                std::thread::park_timeout(LOOK);
                return Err(RecvTimeoutError::Timeout);
            }
            Err(TryRecvError::Empty) => {
                self.view.flush();
                records.recv_timeout(FRAME)?
            }
        };
        for record in &batch.records {
            self.journal.record(record);
        }
        for record in &batch.records {
            self.summary.record(record);
            self.view.record(record);
        }
        if let Some(taken) = self.taken.take()
            && self.journal.on_disk()
        {
            let _ = taken.send(());
        }
        self.journal.settle();
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the live view is drawn by the clock on the wall")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// A path as people read it: relative where it is below the current folder.
pub(super) fn shown(path: &Path) -> String {
    let here = here().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// What goes into a run from outside.
struct Links<'a> {
    past: &'a Past,
    asks: mpsc::Sender<Ask>,
    asked: mpsc::Receiver<Ask>,
}

/// Sets the run going on a runtime of its own, with the signals beside it.
fn drive(
    start: &Start<'_>,
    links: Links<'_>,
    hand: &mut Hand<'_>,
    guard: Option<&mut Guarded>,
) -> Result<(Verdict, Option<u8>), String> {
    let Start { it, scenario, folder, .. } = *start;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    // Before anything is made that an end in the middle would leave.
    let signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    if let Some(guard) = guard.as_deref() {
        guard.listens();
    }
    // Where nothing runs, nobody needs a folder.
    let mut guard = guard;
    let (tmp, ledger): (_, Arc<dyn Ledger>) = match guard.as_mut() {
        None => (None, Arc::new(Unwritten)),
        Some(guard) => {
            guard.wait()?;
            (Some(Tmp::make(temporary(&folder.id)?)?), Arc::new(guard.book.clone()))
        }
    };
    let tmp_path = tmp.as_ref().map(|tmp| tmp.path.clone()).unwrap_or_default();
    let patience = Patience { connect: CONNECT.saturating_mul(it.timeout_scale) / 100, lease: it.lease };
    let local: Arc<dyn Backend> = Arc::new(LocalBackend::new(environment(&scenario.secrets)));
    let ssh: Arc<dyn Backend> = Arc::new(SshBackend::new(tmp_path.join(".ssh"), patience, Arc::clone(&ledger)));
    let docker: Arc<dyn Backend> = Arc::new(DockerBackend::new(engines(), labels(folder), patience, ledger));
    let backends =
        IndexMap::from([(Arc::from("local"), local), (Arc::from("ssh"), ssh), (Arc::from("docker"), docker)]);
    let base = scenario.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let base = base.canonicalize().map_err(|error| format!("cannot find `{}`: {error}", base.display()))?;
    let files = folder.path.join("files");
    let home = Home { id: Arc::clone(&folder.id), folder: base, tmp: tmp_path, files, keep: KEPT };
    runtime.block_on(async {
        let job = Run {
            plan: Arc::clone(&scenario.plan),
            limits: limits(it),
            secrets: Arc::clone(&scenario.secrets),
            backends: &backends,
            home,
            sources: &scenario.sources,
            stops: links.asked,
            past: links.past,
        };
        beside(run(job, hand), links.asks, signals, guard.as_deref()).await
    })
}

/// The signals that end a run.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
}

impl Signals {
    /// From now on they end nothing by themselves.
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("cannot listen to signals: {error}"));
        let all = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let [interrupt, terminate, hang_up, quit] = all.map(listen);
        Ok(Self { interrupt: interrupt?, terminate: terminate?, hang_up: hang_up?, quit: quit? })
    }
}

/// Waits for the run, and meanwhile listens to signals, and to whether the guardian lives.
async fn beside(
    run: impl Future<Output = Verdict>,
    stops: mpsc::Sender<Ask>,
    mut signals: Signals,
    guard: Option<&Guarded>,
) -> Result<(Verdict, Option<u8>), String> {
    let alive = guard.map(Guarded::alive).transpose();
    let alive = alive.map_err(|error| format!("cannot hear the guardian: {error}"))?;
    let mut alone = std::pin::pin!(alone(alive));
    let mut guarded = true;
    let mut first = None;
    let mut run = std::pin::pin!(run);
    loop {
        let code = tokio::select! {
            biased;
            verdict = &mut run => return Ok((verdict, first)),
            _ = signals.interrupt.recv() => 130,
            _ = signals.terminate.recv() => 143,
            _ = signals.hang_up.recv() => 129,
            _ = signals.quit.recv() => 131,
            () = &mut alone, if guarded => {
                guarded = false;
                Console::progress("the guardian of this run was killed: stopping it in order\n");
                143
            }
        };
        let urgency = if first.is_none() { Urgency::Orderly } else { Urgency::AtOnce };
        first.get_or_insert(code);
        // The channel holds more than anybody needs: the second request is the last that counts.
        let _ = stops.try_send(Ask::Interrupt(urgency));
    }
}

/// Waits for the end of the guardian, where there is one.
async fn alone(alive: Option<OwnedFd>) {
    if let Some(Ok(alive)) = alive.map(sys::watch)
        && alive.readable().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn limits(it: &Exec) -> Limits {
    Limits { fail_fast: it.fail_fast, run: it.timeout, scale: it.timeout_scale, ..Limits::default() }
}

/// What local steps inherit: all but the secrets, which reach only those who ask for them.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn environment(secrets: &Secrets) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_str().is_none_or(|name| !secrets.contains_key(name))).collect()
}

/// What is written on everything that a run makes in a container engine.
fn labels(folder: &Folder) -> Labels {
    let expires = jiff::Timestamp::now() + EXPIRY;
    Labels {
        run: Arc::clone(&folder.id),
        owner: owner().into(),
        expires: expires.strftime(EXPIRES).to_string().into(),
        folder: folder.path.to_string_lossy().into(),
    }
}

/// Where the temporary folder of a run is.
fn temporary(run: &str) -> Result<PathBuf, String> {
    let path = std::env::temp_dir().join(format!("mstream-{run}"));
    std::path::absolute(path).map_err(|error| format!("there is no temporary folder: {error}"))
}

/// A folder for the temporary folders of the streams; removed at the end.
struct Tmp {
    path: PathBuf,
}

impl Tmp {
    fn make(path: PathBuf) -> Result<Self, String> {
        private(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| {
                use std::os::unix::fs::DirBuilderExt as _;
                // Not one that is there already: it may be somebody else's.
                std::fs::DirBuilder::new().mode(0o700).create(&path)
            })
            .map_err(|error| format!("cannot make `{}`: {error}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Tmp {
    fn drop(&mut self) {
        // What cannot be removed the streams have told.
        let _ = remove_tree(&self.path);
    }
}
