//! `mstream exec`: checks all scenarios, then runs one after the other.

mod drive;
mod one;
mod writer;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use self::one::one;
pub(super) use self::one::shown;
use super::clean::killed;
use super::files::{checked, checked_variants, show_all};
use super::folder::runs;
use super::inputs::Inputs;
use super::resume::{REFUSED, Refused, origin};
use super::secrets::{Secrets, secrets};
use super::{Console, FAULT, SURROUNDINGS, Scenarios, WRONG, here, now, spacious};
use crate::backend::guard::LEASE;
use crate::check::Checked;
use crate::diagnostic::{Sources, visible};
use crate::event::Verdict;
use crate::graph;
use crate::plan::Plan;
use crate::report::variants::{Ran, table};
use crate::run::maskable;
use crate::syntax::{Value, parse_expression};

/// From this exit code on somebody has asked mstream to end, or has ended it.
const INTERRUPTED: u8 = 128;

/// The shortest lease.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

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

/// Which of them the run was made of that is to be resumed: those before it are done. And its id.
fn resumed(it: &Exec, ready: &[Scenario]) -> Result<(usize, Option<Arc<str>>), Unable> {
    match &it.resume {
        Some(which) if ready.len() > 1 => {
            let inputs: Vec<Inputs> = ready.iter().map(|scenario| scenario.inputs(it)).collect();
            let (id, place) = origin(&here()?, which, &inputs)?;
            Ok((place, Some(id)))
        }
        which => Ok((0, which.as_deref().map(Arc::from))),
    }
}

/// Runs one after the other; the exit code of the worst.
fn all(it: &Exec, ready: &[Scenario], console: &Console) -> u8 {
    let human = it.format == Format::Human;
    let (done, mut resume) = match resumed(it, ready) {
        Ok(found) => found,
        Err(unable) => return unable.told(),
    };
    let root = runs(&here().unwrap_or_default());
    let mut intro = if human { killed(&root).unwrap_or_default() } else { String::new() };
    if done > 0 && human {
        let _ =
            writeln!(intro, "going on with number {} of {}: those before it are not run again", done + 1, ready.len());
    }
    let mut worst = 0;
    let mut ran = Vec::new();
    for (at, scenario) in ready.iter().enumerate().skip(done) {
        let heading = if ready.len() > 1 && human { scenario.heading() } else { String::new() };
        let began = now();
        let code = match one(it, scenario, resume.take().as_deref(), console, &(intro.clone() + &heading)) {
            // It was killed before the next one had begun.
            Err(Unable::Refused(Refused::Passed(_))) if at + 1 < ready.len() => continue,
            Err(unable @ Unable::Refused(_)) => return unable.told(),
            ended => ended.unwrap_or_else(Unable::told),
        };
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
        let of = ready[done..].iter().filter(|scenario| scenario.variant.is_some()).count();
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

/// Why nothing ran.
enum Unable {
    /// The earlier run cannot be resumed.
    Refused(Refused),
    /// The surroundings do not allow it.
    Surroundings(String),
}

impl Unable {
    /// Tells why; the exit code.
    fn told(self) -> u8 {
        let (words, code) = match self {
            Self::Refused(Refused::Passed(words) | Refused::For(words)) => (words, REFUSED),
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

impl From<Refused> for Unable {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
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
    /// What decided its plan.
    fn inputs(&self, it: &Exec) -> Inputs {
        Inputs::of(&self.sources, &it.scenarios.inputs.settings(), self.variant.clone())
    }

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
