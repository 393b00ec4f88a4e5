//! One trial of a fault: a scenario runs on a terminal, in folders of its own, and the fault is committed meanwhile.
//! What a trial has made or changed is undone when it is dropped, also where it fails.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::audit::Sampler;
use super::terminal::Terminal;
use super::{Fault, Place};
use crate::engine::{BUSYBOX, Engine};
use crate::sshd::Sshd;

/// After so long a run that hangs is killed, and its trial has failed.
const HOPELESS: Duration = Duration::from_mins(1);

/// How often a trial looks.
const LOOK: Duration = Duration::from_millis(5);

/// A fault on its way, at one kind of stream.
pub(super) struct Trial {
    pub(super) fault: &'static Fault,
    pub(super) folder: tempfile::TempDir,
    pub(super) sshd: Option<Sshd>,
    pub(super) engine: Option<Arc<Engine>>,
    /// What no file, screen or list of arguments may show.
    pub(super) canary: String,
    /// How long its sleepers sleep; nobody else on this machine sleeps for as long.
    pub(super) sleep: String,
    /// The scenario.
    pub(super) text: String,
    pub(super) options: Vec<OsString>,
    pub(super) env: Vec<(String, OsString)>,
    pub(super) exit: i32,
    pub(super) says: &'static [&'static str],
    /// The words before `mstream` on its command line.
    pub(super) before: Vec<OsString>,
    /// How long what it has left elsewhere may take to go.
    pub(super) patience: Duration,
    /// Beside the scenario and the runs, these may stand in the folder that it runs in.
    pub(super) beside: Vec<&'static str>,
    /// Its stdout is not for people.
    pub(super) machine: bool,
    /// The URI of the stream that the fault is done to.
    pub(super) far: String,
    pub(super) place: Place,
    /// The most memory that mstream took, in KiB, where somebody looked.
    pub(super) memory: u64,
    pub(super) complaints: Vec<String>,
    pub(super) sampler: Arc<Sampler>,
    running: Option<Running>,
    pub(super) ended: Option<Ended>,
    journal: Journal,
    /// The folders of runs that are over.
    old: Vec<PathBuf>,
    from: Option<Instant>,
    fired: bool,
    undo: Vec<Box<dyn FnOnce()>>,
}

/// A run that goes on.
struct Running {
    shell: Child,
    terminal: Terminal,
    began: Instant,
}

/// A run that is over.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    /// Since the fault was committed, or else since the start.
    pub(super) took: Duration,
    /// Its stdout.
    pub(super) out: String,
    /// What stood on the terminal.
    pub(super) screen: Vec<u8>,
    pub(super) events: Vec<Json>,
    /// Killed, because it did not end.
    pub(super) hopeless: bool,
}

/// The events as far as they were read.
#[derive(Default)]
struct Journal {
    events: Vec<Json>,
    path: PathBuf,
    read: u64,
    rest: Vec<u8>,
}

/// Runs `mstream` on the terminal that is its stdin and its stderr.
const STAGE: &str = r#"
trap : INT QUIT HUP TERM
stty cols 200 rows 50
stty -a >"$TRIAL/before"
"$@" >"$TRIAL/out"
code=$?
stty -a >"$TRIAL/after"
exit $code
"#;

/// What tells its id before it becomes mstream.
const NAMED: &str = r#"echo $$ >"$TRIAL/pid"; exec "$@""#;

impl Trial {
    pub(super) fn new(fault: &'static Fault, place: Place, sampler: Arc<Sampler>) -> Self {
        static TRIALS: AtomicUsize = AtomicUsize::new(0);
        let number = TRIALS.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        for name in ["work", "tmp", "home", "runtime"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let (sshd, engine, far) = match place {
            Place::Local => (None, None, "local:".to_owned()),
            Place::Ssh | Place::Cable => {
                let sshd = if place == Place::Ssh { Sshd::start("") } else { Sshd::behind_a_cable() };
                let far = sshd.uri("tester");
                (Some(sshd), None, far)
            }
            Place::Docker => (None, Some(Engine::get()), format!("docker://?image={BUSYBOX}&pull=never")),
        };
        let mark = std::process::id();
        let sleep = format!("sleep 7{mark}{number:04}");
        let text = fault.text.replace("FAR", &far).replace("SLEEP", &sleep);
        Self {
            fault,
            folder,
            sshd,
            engine,
            canary: format!("zq-canary-{mark}-{number}-zq"),
            sleep,
            text,
            options: fault.options.iter().map(OsString::from).collect(),
            exit: fault.exit,
            says: fault.says,
            env: Vec::new(),
            before: Vec::new(),
            patience: Duration::from_secs(3),
            beside: Vec::new(),
            machine: false,
            far,
            place,
            memory: 0,
            complaints: Vec::new(),
            sampler,
            running: None,
            ended: None,
            journal: Journal::default(),
            old: Vec::new(),
            from: None,
            fired: false,
            undo: Vec::new(),
        }
    }

    /// A path in the folder of the trial; the scenario runs in `work`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn complain(&mut self, words: impl Into<String>) {
        self.complaints.push(words.into());
    }

    /// Has that done at the end, come what may.
    pub(super) fn undo(&mut self, act: impl FnOnce() + 'static) {
        self.undo.push(Box::new(act));
    }

    /// The fault was seen to happen: the bound counts from here on.
    pub(super) fn fire(&mut self) {
        self.fault.kind.count();
        self.fired = true;
        self.from.get_or_insert_with(Instant::now);
    }

    pub(super) fn has_fired(&self) -> bool {
        self.fired
    }

    /// Starts `mstream exec` of the scenario.
    pub(super) fn start(&mut self) {
        std::fs::write(self.path("work/test.ms"), &self.text).unwrap();
        let mut words = vec![OsString::from("exec"), "--color".into(), "never".into(), "test.ms".into()];
        words.extend(self.options.clone());
        self.run(&words);
    }

    /// Starts mstream with these words.
    pub(super) fn run(&mut self, words: &[OsString]) {
        let program = program();
        let mut command = match &self.engine {
            Some(engine) => engine.command("setsid"),
            None => Command::new("setsid"),
        };
        command.args(["--ctty", "sh", "-c", STAGE, "stage"]).args(&self.before);
        // A tracer would count the calls of that shell as well.
        if self.before.is_empty() {
            command.args(["sh", "-c", NAMED, "named"]);
        }
        command.arg(program).args(words).current_dir(self.path("work"));
        for (name, folder) in [("TRIAL", ""), ("TMPDIR", "tmp"), ("HOME", "home"), ("XDG_RUNTIME_DIR", "runtime")] {
            command.env(name, self.path(folder));
        }
        let (terminal, theirs) = Terminal::open();
        command.env("CANARY", &self.canary).env_remove("NO_COLOR").envs(self.env.clone());
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let shell = command.spawn().unwrap();
        // What the command still holds of the terminal goes with it.
        drop(command);
        self.running = Some(Running { shell, terminal, began: Instant::now() });
    }

    /// Waits for what `look` finds; where it does not come, the trial has failed.
    pub(super) fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(began.elapsed() < HOPELESS / 2 && !self.over(), "{what} did not come:\n{}", self.told());
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for an event of this kind whose line has these words.
    pub(super) fn until(&mut self, event: &str, words: &str) -> Json {
        let what = format!("the event `{event}` with `{words}`");
        self.wait(&what, |it| {
            it.read();
            let fits = |line: &&Json| line["event"] == event && line.to_string().contains(words);
            it.journal.events.iter().find(fits).cloned()
        })
    }

    /// Waits until a stream has printed these words.
    pub(super) fn until_printed(&mut self, stream: &str, words: &str) {
        let file = format!("output/{stream}.out");
        self.wait(&format!("`{words}` of {stream}"), |it| {
            let text = std::fs::read(it.run_folder()?.join(&file)).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(words).then_some(())
        });
    }

    /// The id of mstream.
    pub(super) fn pid(&mut self) -> String {
        self.wait("the id of mstream", |it| {
            let text = std::fs::read_to_string(it.path("pid")).ok()?;
            text.ends_with('\n').then(|| text.trim().to_owned())
        })
    }

    /// The process that runs the scenario, below the one that was started, once it is there.
    pub(super) fn coordinator(&mut self) -> Option<String> {
        let first = std::fs::read_to_string(self.path("pid")).ok()?.trim().to_owned();
        let below = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).ok()?;
        let of_mstream = |pid: &&str| command(pid) == command(&first);
        below.split_whitespace().find(of_mstream).map(str::to_owned)
    }

    /// That one, and the one that watches over it.
    pub(super) fn both(&mut self) -> Vec<String> {
        let guardian = std::fs::read_to_string(self.path("pid")).ok().map(|text| text.trim().to_owned());
        let guardian = guardian.filter(|pid| command(pid).contains("mstream"));
        self.coordinator().into_iter().chain(guardian).collect()
    }

    /// Sends a signal to mstream.
    pub(super) fn signal(&mut self, signal: &str) {
        let pid = self.pid();
        assert!(kill(signal, &pid), "mstream was gone before SIG{signal}");
    }

    /// Types these bytes at the terminal.
    pub(super) fn types(&mut self, bytes: &[u8]) {
        self.running.as_mut().unwrap().terminal.types(bytes);
    }

    /// Whether the run is over.
    pub(super) fn over(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| running.shell.try_wait().unwrap().is_some())
    }

    /// Waits for the end of the run; one that does not end is killed.
    pub(super) fn end(&mut self) {
        let mut running = self.running.take().unwrap();
        let from = self.from.unwrap_or(running.began);
        let hopeless = loop {
            if running.shell.try_wait().unwrap().is_some() {
                break false;
            }
            if from.elapsed() > self.fault.bound.max(HOPELESS) {
                self.slay();
                break true;
            }
            std::thread::sleep(LOOK);
        };
        let took = from.elapsed();
        let code = running.shell.wait().unwrap().code();
        let screen = running.terminal.shown();
        let out = std::fs::read(self.path("out")).unwrap_or_default();
        let out = String::from_utf8_lossy(&out).into_owned();
        self.read();
        let events = self.journal.events.clone();
        self.ended = Some(Ended { code, took, out, screen, events, hopeless });
    }

    /// All events of this kind whose line has these words, so far.
    pub(super) fn all(&self, event: &str, words: &str) -> Vec<&Json> {
        let fits = |line: &&Json| line["event"] == event && line.to_string().contains(words);
        self.journal.events.iter().filter(fits).collect()
    }

    /// When these events happened, in seconds since the start of the run.
    pub(super) fn times(&self, event: &str, words: &str) -> Vec<f64> {
        self.all(event, words).iter().filter_map(|line| line["t"].as_f64()).collect()
    }

    /// When the first of them happened; `NaN` where none did.
    pub(super) fn time(&self, event: &str, words: &str) -> f64 {
        self.times(event, words).first().copied().unwrap_or(f64::NAN)
    }

    /// Mounts a small file system in memory there, until the trial is over.
    pub(super) fn tmpfs(&mut self, folder: &Path, options: &str) {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(folder).status().unwrap();
        assert!(mounted.success(), "mount {}", folder.display());
        let folder = folder.to_owned();
        self.undo(move || {
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        });
    }

    /// Forgets the run that is over, and how it went: another one starts.
    pub(super) fn again(&mut self) {
        self.old = self.run_folders();
        self.next();
    }

    /// Another command follows, about the same runs.
    pub(super) fn next(&mut self) {
        self.ended = None;
        self.journal = Journal::default();
        self.from = None;
        for name in ["pid", "out", "before", "after"] {
            let _ = std::fs::remove_file(self.path(name));
        }
    }

    /// The run that is over.
    pub(super) fn ended(&self) -> &Ended {
        self.ended.as_ref().expect("the run is over")
    }

    /// All that was told so far, for the one who looks for the mistake.
    pub(super) fn told(&self) -> String {
        let out = std::fs::read(self.path("out")).unwrap_or_default();
        let screen = self.ended.as_ref().map(|ended| &ended.screen[..]).unwrap_or_default();
        let screen = String::from_utf8_lossy(&screen[screen.len().saturating_sub(1500)..]).into_owned();
        let events: Vec<String> = self.journal.events.iter().rev().take(8).rev().map(Json::to_string).collect();
        format!("{:.2000}\n--- terminal\n{screen}\n--- events\n{}", String::from_utf8_lossy(&out), events.join("\n"))
    }

    /// The folder of the latest run.
    pub(super) fn run_folder(&self) -> Option<PathBuf> {
        self.run_folders().into_iter().find(|folder| !self.old.contains(folder))
    }

    /// The folders of all runs, in order.
    pub(super) fn run_folders(&self) -> Vec<PathBuf> {
        let runs = std::fs::read_dir(self.path("work/.mstream/runs")).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = runs.map(|run| run.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    }

    /// Reads on in the journal.
    pub(super) fn read(&mut self) {
        let Some(folder) = self.run_folder() else { return };
        let journal = &mut self.journal;
        if journal.path != folder {
            *journal = Journal { path: folder.clone(), ..Journal::default() };
        }
        let Ok(mut file) = File::open(folder.join("journal.jsonl")) else { return };
        let mut fresh = Vec::new();
        file.seek(SeekFrom::Start(journal.read)).and_then(|_| file.read_to_end(&mut fresh)).unwrap();
        journal.read += fresh.len() as u64;
        journal.rest.extend(fresh);
        while let Some(end) = journal.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = journal.rest.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(event) => journal.events.push(event),
                Err(error) => self.complaints.push(format!(
                    "A6: the journal has a line that is no JSON ({error}): {}",
                    String::from_utf8_lossy(&line)
                )),
            }
        }
    }

    /// The processes here that were started by this trial, whoever they have become.
    pub(super) fn descendants(&self) -> Vec<String> {
        let mark = format!("TRIAL={}/", self.folder.path().display());
        having(|pid| environment(pid).split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()))
    }

    /// Kills mstream, and with it the one that watches over it, with -9.
    pub(super) fn kill(&mut self) {
        kill_all(&self.both());
    }

    /// Kills all that this trial has started, with -9.
    pub(super) fn slay(&mut self) {
        for pid in self.descendants() {
            kill("KILL", &pid);
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            self.slay();
            let _ = running.shell.kill();
            let _ = running.shell.wait();
        }
        for act in self.undo.drain(..).rev() {
            act();
        }
        // What a trial has found alive is not left alive.
        self.slay();
    }
}

/// mstream: the one that was built with the tests, or another one that `tests/soak` names.
pub(super) fn program() -> OsString {
    std::env::var_os("MSTREAM_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_mstream").into())
}

/// Sends a signal; whether the process was there.
pub(super) fn kill(signal: &str, pid: &str) -> bool {
    Command::new("kill").args(["-s", signal, pid]).stderr(Stdio::null()).status().unwrap().success()
}

/// Kills these processes at once; whether any of them was there.
pub(super) fn kill_all(pids: &[String]) -> bool {
    // Where one could still act it would clean up after the other.
    for pid in pids.iter().rev() {
        kill("STOP", pid);
    }
    pids.iter().map(|pid| kill("KILL", pid)).fold(false, |any, hit| any | hit)
}

/// The processes of this machine, and of all namespaces below, that `fits` says.
pub(super) fn having(fits: impl Fn(&str) -> bool) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    all.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && fits(pid)).collect()
}

/// The environment that a process was started with.
pub(super) fn environment(pid: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

/// The command of a process.
pub(super) fn command(pid: &str) -> String {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned()
}

/// The names in a folder.
pub(super) fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
