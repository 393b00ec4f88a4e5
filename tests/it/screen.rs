//! Who looks never holds up who works: readers that stop reading, for a while or for good.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::watchdog::Watchdog;

/// A step that prints 153 MB, and a mark behind it.
const FLOOD: &str = "stream a = local\non a {\n  $ yes 'a line of output' | head -c 153000000\n  $ touch done\n}\n";

/// A run of the flood that nobody reads yet.
struct Unread {
    child: Child,
    _watchdog: Watchdog,
    folder: tempfile::TempDir,
}

impl Unread {
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("test.ms"), FLOOD).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mstream"));
        command.args(["exec", "test.ms"]).args(options).current_dir(folder.path()).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { _watchdog: Watchdog::over(&child), child, folder }
    }

    /// Waits until the last step has run, which nobody's reading helps, and the journal says how it ended.
    fn finish(&self) {
        until("done", || self.folder.path().join("done").exists());
        until("run_ended", || journal(self.folder.path()).contains("\"run_ended\""));
        let output = folder_of_run(self.folder.path()).join("output/a.out");
        assert_eq!(std::fs::metadata(output).unwrap().len(), 64 << 20, "all that is kept is there");
    }

    fn read_stdout(&mut self) -> String {
        let mut all = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut all).unwrap();
        all
    }
}

fn until(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what} did not come while nobody read");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn folder_of_run(folder: &Path) -> PathBuf {
    std::fs::read_dir(folder.join(".mstream/runs")).unwrap().next().unwrap().unwrap().path()
}

fn journal(folder: &Path) -> String {
    std::fs::read_to_string(folder_of_run(folder).join("journal.jsonl")).unwrap()
}

#[test]
fn a_reader_of_progress_that_stops_for_a_while_misses_output_and_is_told_how_much() {
    let mut run = Unread::start(&[]);
    run.finish();
    let mut progress = String::new();
    run.child.stderr.take().unwrap().read_to_string(&mut progress).unwrap();
    let summary = run.read_stdout();
    assert_eq!(run.child.wait().unwrap().code(), Some(0));
    let (shown, missed): (Vec<&str>, Vec<&str>) = progress.lines().partition(|line| line.starts_with('a'));
    assert!(shown.iter().any(|line| line.contains("a ▸ $ touch done")), "what mstream says is shown all the same");
    assert!(shown.iter().filter(|line| line.contains('│')).all(|line| *line == "a │ a line of output"));
    assert!(missed.iter().any(|line| line.contains("not shown: ") && line.contains("MiB of output")), "{missed:?}");
    assert!(progress.len() < 20 << 20, "{}", progress.len());
    assert!(summary.contains("passed") && !summary.contains("has stopped"), "{summary}");
}

#[test]
fn a_reader_of_progress_that_stops_for_good_does_not_keep_a_run_from_its_end() {
    let mut run = Unread::start(&[]);
    run.finish();
    let summary = run.read_stdout();
    assert!(summary.contains("whoever reads stderr has stopped"), "{summary}");
    assert_eq!(run.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_of_events_that_stops_for_a_while_has_all_but_output() {
    let mut run = Unread::start(&["--format", "jsonl"]);
    run.finish();
    let events = run.read_stdout();
    assert_eq!(run.child.wait().unwrap().code(), Some(0));
    let all: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.last().unwrap()["event"], "run_ended");
    let of = |name: &str| all.iter().filter(|line| line["event"] == name).collect::<Vec<_>>();
    assert_eq!((of("step_started").len(), of("step_ended").len()), (2, 2));
    let missing: u64 = of("not_shown").iter().map(|line| line["events"].as_u64().unwrap()).sum();
    let numbers = all.iter().filter_map(|line| line["seq"].as_u64());
    assert_eq!(numbers.clone().count() as u64 + missing, numbers.max().unwrap() + 1, "what is missing is counted");
    let shown: usize = of("output").iter().map(|line| line["text"].as_str().unwrap().len()).sum();
    let bytes: u64 = of("not_shown").iter().map(|line| line["bytes"].as_u64().unwrap()).sum();
    assert_eq!(shown as u64 + bytes, 153_000_000);
}

#[test]
fn who_waits_for_a_reader_of_events_can_be_ended() {
    let mut run = Unread::start(&["--format", "jsonl"]);
    run.finish();
    // After the run nothing is at stake any more; from a second later on a signal just ends mstream.
    std::thread::sleep(Duration::from_secs(6));
    assert!(run.child.try_wait().unwrap().is_none(), "it waits for its reader");
    assert!(Command::new("kill").args(["-s", "INT", &run.child.id().to_string()]).status().unwrap().success());
    assert_eq!(run.child.wait().unwrap().signal(), Some(2));
}

#[test]
fn a_terminal_that_is_stopped_holds_up_nothing() {
    // Reads from the terminal only when the run is over.
    let code = "
import os, pty, sys, time
pid, master = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], 'exec', 'test.ms'])
began = time.monotonic()
while not os.path.exists('done'):
    assert time.monotonic() - began < 30, 'it waits for the terminal'
    time.sleep(0.01)
shown = b''
try:
    while more := os.read(master, 1 << 16):
        shown += more
except OSError:
    pass
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
sys.stdout.buffer.write(shown)
";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.ms"), FLOOD).unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", code]);
    let output = crate::cases::ends(command, folder.path(), &[env!("CARGO_BIN_EXE_mstream")]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("not shown: ") && shown.contains("touch done"), "{}", shown.len());
    assert!(shown.lines().rev().nth(1).unwrap().contains("2 steps"), "the summary comes at the end");
}
