//! The command line: files, terminal, environment, signals and exit codes. Nothing else in the house touches them.

mod askpass;
mod begun;
mod check;
mod clean;
mod configs;
mod engines;
mod exec;
mod explain;
mod files;
mod folder;
mod graph;
mod guardian;
mod hand;
mod inputs;
mod journal;
mod ledger;
mod outlet;
mod params;
mod resume;
mod secrets;
mod streams;
mod sync;
mod view;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::scenario::Settings;

/// The exit code where the scenario or the command line is wrong, and nothing ran.
const WRONG: u8 = 2;

/// The exit code where the surroundings failed.
const SURROUNDINGS: u8 = 3;

/// The exit code of a fault of mstream's own.
const FAULT: u8 = 70;

/// As large a stack as Linux gives a program, unless somebody says otherwise; arguments may take a quarter of it.
const STACK: usize = 8 << 20;

/// Tests that span many machines: one file, many streams, barriers where they meet.
#[derive(Parser, Debug)]
#[command(name = "mstream", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  all passed
    1  a step or an expectation failed
    2  the scenario or the command line is wrong, and nothing ran
    3  the surroundings failed
    4  timed out
    5  all passed, yet something was left behind
    6  the run cannot be resumed
   70  a fault of mstream's own
  130  interrupted, after cleaning up (143 by SIGTERM, 129 by SIGHUP, 131 by SIGQUIT)
  137  mstream itself was killed; its guardian has cleaned up (128 + the signal's number)";

#[derive(Subcommand, Debug)]
enum Command {
    /// Check, plan and run scenarios.
    Exec(exec::Exec),
    /// Find all mistakes without running anything.
    Check(check::Check),
    /// The plan as a graph.
    #[command(subcommand)]
    Graph(graph::Graph),
    /// What the parameters are, and where each comes from.
    Params(params::Show),
    /// Where each stream is, and who says so.
    Streams(streams::Streams),
    /// Find and remove what killed runs have left behind.
    Clean(clean::Clean),
    /// What a diagnostic code means.
    Explain(explain::Explain),
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    fn wanted(self, terminal: bool) -> bool {
        match self {
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// What decides the plan beside the files.
#[derive(Args, Clone, Debug)]
struct Inputs {
    /// Give a parameter a value.
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    param: Vec<(String, String)>,
    /// Read parameters, and where streams are, from a YAML file; what a later one says counts.
    #[arg(long, value_name = "FILE")]
    params: Vec<PathBuf>,
    /// What the limits on parameter files are multiplied by.
    #[arg(long, value_name = "FACTOR", env = "MSTREAM_LIMIT_SCALE", value_parser = clap::value_parser!(u16).range(1..))]
    limit_scale: Option<u16>,
    /// Bind a stream, whatever the scenario says.
    #[arg(long, value_name = "NAME=URI")]
    stream: Vec<String>,
}

impl Inputs {
    fn settings(&self) -> Settings {
        Settings {
            params: self.param.clone(),
            streams: self.stream.clone(),
            files: self.params.clone(),
            limit_scale: self.limit_scale.map(usize::from),
            user_config: configs::of_user(),
            system_config: configs::of_system(),
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the command that the command line names; its exit code.
pub fn main() -> ExitCode {
    if let Some(code) = askpass::answer() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not mistakes; a closed pipe is no error either.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG } else { 0 });
        }
    };
    let console = Console::new(cli.color);
    let code = match &cli.command {
        Command::Exec(exec) => Ok(exec::exec(exec, &console)),
        Command::Check(check) => spacious(|| check::check(check, &console)),
        Command::Clean(clean) => Ok(clean::clean(clean)),
        Command::Graph(graph) => spacious(|| graph::graph(graph, &console)),
        Command::Params(it) => spacious(|| params::params(it, &console)),
        Command::Streams(it) => spacious(|| streams::streams(it, &console)),
        Command::Explain(explain) => Ok(explain::explain(explain)),
    };
    let code = code.unwrap_or_else(|code| code);
    ExitCode::from(if Console::told_what_is_missing() && code == 0 { SURROUNDINGS } else { code })
}

/// What `work` comes to; else an exit code, where it panics or there is no room for a thread. Parsing is recursive to a
/// bounded depth, and needs a stack of known size: that of the main thread, which this is called from, or of another.
fn spacious<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, u8> {
    let own = rustix::process::getrlimit(rustix::process::Resource::Stack).current;
    if own.is_none_or(|size| size >= STACK as u64) {
        return std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|_| FAULT);
    }
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let worker = worker.map_err(|error| {
            Console::complain(&no_thread(&error));
            SURROUNDINGS
        })?;
        worker.join().map_err(|_| FAULT)
    })
}

/// There is no room for one more thread.
fn no_thread(error: &std::io::Error) -> String {
    format!("cannot start: this machine has no room for one more thread: {error}")
}

#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn here() -> Result<PathBuf, String> {
    std::env::current_dir().map_err(|error| format!("there is no current folder: {error}"))
}

#[expect(clippy::disallowed_methods, reason = "what people see and what the disk gets goes by the clock on the wall")]
fn now() -> Instant {
    Instant::now()
}

/// Why a result could not be written.
static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();

/// Results are missing on stdout.
fn unwritten(error: &std::io::Error) -> String {
    format!("stdout cannot be written: {error}")
}

/// Where results and progress go, and whether they may be coloured.
struct Console {
    /// stdout may be coloured.
    out_color: bool,
    /// stderr may be coloured.
    err_color: bool,
    /// stderr is a terminal.
    err_terminal: bool,
}

impl Console {
    fn new(color: Color) -> Self {
        let err_terminal = std::io::stderr().is_terminal();
        Self {
            out_color: color.wanted(std::io::stdout().is_terminal()),
            err_color: color.wanted(err_terminal),
            err_terminal,
        }
    }

    /// Writes a result to stdout. A closed pipe is no error; any other makes the command fail at its end.
    fn result(text: &str) {
        if let Err(error) = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush())
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            let _ = UNWRITTEN.set(error);
        }
    }

    /// Says why results are missing on stdout, and answers whether any are.
    fn told_what_is_missing() -> bool {
        UNWRITTEN.get().inspect(|error| Self::complain(&unwritten(error))).is_some()
    }

    /// Writes progress or a complaint to stderr.
    fn progress(text: &str) {
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// A complaint about the command line or the surroundings, without a place in a scenario.
    fn complain(text: &str) {
        Self::progress(&format!("error: {text}\n"));
    }
}

/// The scenarios of a command.
#[derive(Args, Clone, Debug)]
struct Scenarios {
    /// The scenario files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    inputs: Inputs,
}
