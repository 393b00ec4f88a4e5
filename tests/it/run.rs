//! The program with real processes: signals, trees that do not want to end, floods, and what is left afterwards.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::watchdog::{BOUND, Watchdog, children};

/// A run of mstream in a folder of its own, its events read from its stdout.
pub(crate) struct Run {
    child: Child,
    watchdog: Watchdog,
    events: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
    began: Instant,
}

impl Run {
    /// Starts `mstream exec` of this text with `--format jsonl` and these options.
    pub(crate) fn start(text: &str, options: &[&str]) -> Self {
        Self::by(Command::new(env!("CARGO_BIN_EXE_mstream")), text, options)
    }

    /// The same by a command that starts mstream somewhere else.
    pub(crate) fn by(mut command: Command, text: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("test.ms"), text).unwrap();
        command.args(["exec", "--format", "jsonl", "test.ms"]).args(options).current_dir(folder.path());
        // What it makes beside its own folder has to be gone at the end.
        command.env("TMPDIR", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        let watchdog = Watchdog::over(&child);
        Self { child, watchdog, events, folder, began: Instant::now() }
    }

    /// The next event.
    fn next(&mut self) -> Option<Json> {
        let mut line = String::new();
        self.events.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Reads on until an event of this kind whose text contains `words`.
    pub(crate) fn until(&mut self, event: &str, words: &str) -> Json {
        loop {
            let next = self.next().unwrap_or_else(|| panic!("no `{event}` with `{words}` came"));
            if next["event"] == event && next.to_string().contains(words) {
                return next;
            }
        }
    }

    /// Sends a signal to the process that the user has started.
    pub(crate) fn signal(&self, signal: &str) {
        send(signal, &self.pid());
    }

    /// Sends a signal to the process that runs the scenario, if there still is one.
    pub(crate) fn signal_coordinator(&self, signal: &str) {
        for pid in children(&self.pid()) {
            send(signal, &pid);
        }
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// The rest of the events, the exit status, and how long it took since the start. Nothing may be left.
    pub(crate) fn end(mut self) -> Ended {
        let pid = self.child.id();
        let events: Vec<Json> = std::iter::from_fn(|| self.next()).collect();
        let status = self.child.wait().unwrap();
        let took = self.began.elapsed();
        drop(self.watchdog);
        assert!(took < BOUND, "process {pid} took {took:?}");
        assert_eq!(strays(self.folder.path()), Vec::<String>::new());
        let left: Vec<_> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let temporary = left.iter().filter(|name| name.to_string_lossy().starts_with("mstream-"));
        assert_eq!(temporary.count(), 0, "{left:?}");
        Ended { events, status, took, folder: self.folder }
    }
}

fn send(signal: &str, pid: &str) {
    assert!(Command::new("kill").args(["-s", signal, pid]).status().unwrap().success());
}

/// A run that is over.
pub(crate) struct Ended {
    pub(crate) events: Vec<Json>,
    pub(crate) status: ExitStatus,
    pub(crate) took: Duration,
    pub(crate) folder: tempfile::TempDir,
}

impl Ended {
    pub(crate) fn has(&self, event: &str, words: &str) -> bool {
        self.events.iter().any(|it| it["event"] == event && it.to_string().contains(words))
    }
}

/// The processes whose environment says that they belong to a run in this folder.
fn strays(folder: &Path) -> Vec<String> {
    let mark = format!("TMPDIR={}", folder.display());
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers = processes.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let ours = numbers.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    });
    ours.map(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " "))
        .collect()
}

#[test]
fn an_interrupt_stops_the_steps_and_runs_every_finally() {
    let mut run = Run::start(
        "stream a = local\nstream b = local\n\
         on a {\n  finally { $ echo a cleaned }\n  $ sleep 60\n  barrier x\n}\n\
         on b {\n  finally { $ echo b cleaned }\n  barrier x\n}\n",
        &[],
    );
    run.until("step_started", "sleep 60");
    run.signal("INT");
    let ended = run.end();
    assert_eq!(ended.status.code(), Some(130));
    assert!(ended.has("output", "a cleaned") && ended.has("output", "b cleaned"));
    assert!(ended.has("step_ended", "cancelled"));
    assert!(ended.took < Duration::from_secs(5), "{:?}", ended.took);
}

/// A new process shares the memory of mstream for a moment: no handler may be left that a signal could call in it.
#[test]
fn no_signal_is_handled_but_those_that_are_put_back() {
    let ended = Run::start("stream a = local\non a { $ grep SigCgt /proc/$PPID/status }\n", &[]).end();
    let said = ended.events.iter().find_map(|event| event["text"].as_str()?.strip_prefix("SigCgt:\t"));
    let caught = u64::from_str_radix(said.unwrap().trim(), 16).unwrap();
    // HUP, INT, QUIT, PIPE and TERM are put back. A process can only be sent SEGV, BUS and CHLD by its own doing; 32 and
    // 33 belong to the C library.
    let known = [1, 2, 3, 13, 15, 11, 7, 17, 32, 33].map(|signal: u32| 1_u64 << (signal - 1));
    assert_eq!(caught & !known.iter().sum::<u64>(), 0, "{caught:x}");
    assert_ne!(caught & 1 << 14, 0, "TERM is heard: {caught:x}");
}

#[test]
fn a_second_interrupt_ends_everything_at_once() {
    let mut run = Run::start(
        "stream a = local\non a {\n  finally { $ echo never }\n  $ trap '' TERM INT; echo deaf; while :; do sleep 1; done\n}\n",
        &[],
    );
    run.until("output", "deaf");
    run.signal("INT");
    run.until("interrupted", "");
    let again = Instant::now();
    run.signal("INT");
    let ended = run.end();
    assert_eq!(ended.status.code(), Some(130));
    assert!(!ended.has("output", "never"));
    assert!(again.elapsed() < Duration::from_millis(1500), "{:?}", again.elapsed());
}

#[test]
fn a_termination_has_its_own_exit_code() {
    let mut run = Run::start("stream a = local\non a { $ sleep 60 }\n", &[]);
    run.until("step_started", "sleep 60");
    run.signal("TERM");
    assert_eq!(run.end().status.code(), Some(143));
}

#[test]
fn those_who_wait_are_released_within_50_ms_of_a_death() {
    let mut text = String::from("stream origin = local\nstream party[1..20] = local\n");
    text.push_str(
        "on origin {\n  $ sleep 0.3; exit 3\n  barrier ready\n}\non party {\n  barrier ready\n  $ echo never\n}\n",
    );
    let ended = Run::start(&text, &[]).end();
    assert_eq!(ended.status.code(), Some(1));
    let time = |event: &Json| event["t"].as_f64().unwrap();
    let is = |event: &&Json, outcome: &str| event["event"] == "step_ended" && event["outcome"] == outcome;
    let death = ended.events.iter().find(|event| is(event, "failed")).map(time).unwrap();
    let broken: Vec<f64> = ended.events.iter().filter(|event| is(event, "broken")).map(time).collect();
    assert_eq!(broken.len(), 20);
    let last = broken.into_iter().fold(0.0, f64::max);
    assert!(last - death < 0.05, "{} s", last - death);
    assert!(ended.has("step_ended", "test.ms:4"), "each names the origin by its place");
}

#[test]
fn a_tree_that_ignores_term_is_gone_after_its_timeout() {
    // A length of sleep that no other run on this machine has, since one of them hides behind an empty environment.
    let long = format!("6{:09}", std::process::id());
    let text = format!(
        "stream a = local\non a {{\n  start deaf = shell \"trap '' TERM; setsid sh -c 'trap \\\"\\\" TERM; sleep {long}; :' & sleep {long}; :\"\n  \
         stop deaf(grace = 100ms)\n  \
         shell(timeout = 200ms) \"(setsid sleep {long} &) ; env -i setsid sleep {long} & sleep {long}\"\n  \
       }}\n"
    );
    let ended = Run::start(&text, &["--timeout-scale", "1"]).end();
    assert_eq!(ended.status.code(), Some(4));
    assert!(ended.events.iter().any(|it| it.to_string().contains(&long)), "it ran");
    let survivors = Command::new("ps").args(["-eo", "ppid,args"]).output().unwrap();
    let survivors = String::from_utf8_lossy(&survivors.stdout).into_owned();
    assert!(!survivors.contains(&long), "{survivors}");
}

#[test]
fn a_process_left_behind_does_not_hold_its_step() {
    let text = "stream a = local\non a {\n  $ sleep 1000 &\n  $ echo next\n}\n";
    let ended = Run::start(text, &[]).end();
    assert_eq!(ended.status.code(), Some(5));
    assert!(ended.has("step_leaked", "sleep 1000") && ended.has("output", "next"));
    assert!(ended.took < Duration::from_secs(5), "{:?}", ended.took);
}

#[test]
fn what_is_fetched_lies_in_the_folder_of_the_run() {
    let text = "stream a = local\non a {\n  $ mkdir logs; echo one > logs/x; echo two > y\n  get \"logs\" to \"all/\"\n  \
                get \"y\" to \"y\"\n}\n";
    let ended = Run::start(text, &[]).end();
    assert_eq!(ended.status.code(), Some(0));
    let run = std::fs::read_dir(ended.folder.path().join(".mstream/runs")).unwrap().next().unwrap().unwrap().path();
    let found = Command::new("find").args([".", "-type", "f"]).current_dir(run.join("files/a")).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let mut found: Vec<_> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, ["./all/logs/x", "./y"]);
    assert_eq!(std::fs::read_to_string(run.join("files/a/y")).unwrap(), "two\n");
}

#[test]
fn a_file_of_odd_bytes_is_told_and_never_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 5] = [
        ("utf16.ms", b"\xff\xfes\0t\0"),
        ("latin.ms", b"stream a = local # caf\xe9\n"),
        ("binary.ms", b"\x7fELF\x02\x01\0\0"),
        ("escape.ms", b"stream a = local\non a { \x1b[2J\xe2\x80\xae $ true }\n"),
        ("windows.ms", b"\xef\xbb\xbfstream a = local\r\non a {\r\n  $ printf 'a\\r\\n'\r\n}\r\n"),
    ];
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let check = |name: &str| {
        let output = crate::cases::mstream(folder.path(), &["check", name]);
        let all = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(all.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{all:?}");
        (output.status.code(), all)
    };
    for (name, words) in [
        ("utf16.ms", "cannot read `utf16.ms`: it is UTF-16; scenarios are UTF-8"),
        ("latin.ms", "cannot read `latin.ms`: byte 22 is not UTF-8"),
        ("binary.ms", "U+007F cannot stand here"),
        ("escape.ms", "U+001B cannot stand here"),
    ] {
        let (code, all) = check(name);
        assert_eq!(code, Some(2), "{name}");
        assert!(all.contains(words), "{all}");
    }
    assert_eq!(check("windows.ms"), (Some(0), "1 file checked: no problems\n".to_owned()));
    let run = crate::cases::mstream(folder.path(), &["exec", "windows.ms"]);
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn a_flood_is_shown_in_bounded_memory_and_what_is_not_kept_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let text = "stream a = local\non a { $ yes 'a line of output' | head -c 300000000 }\n";
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mstream"));
    command.args(["exec", "test.ms"]).current_dir(folder.path()).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _watchdog = Watchdog::over(&child);
    let pid = child.id().to_string();
    let mut progress = child.stderr.take().unwrap();
    let (mut shown, mut peak, mut buffer) = (0, 0, vec![0; 1 << 20]);
    while let Ok(count @ 1..) = progress.read(&mut buffer) {
        shown += count;
        peak = peak.max(peak_memory(&pid));
    }
    let mut summary = String::new();
    child.stdout.take().unwrap().read_to_string(&mut summary).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(shown > 300_000_000, "every line has its stream's name before it: {shown}");
    assert!(peak > 0 && peak < 50 << 10, "{peak} KiB");
    assert!(summary.contains("not kept"), "{summary}");
    let kept = folder.path().join(".mstream/runs");
    let run = std::fs::read_dir(kept).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::metadata(run.join("output/a.out")).unwrap().len(), 64 << 20);
}

/// The most memory that mstream has had so far, both processes together, in KiB.
pub(crate) fn peak_memory(pid: &str) -> u64 {
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let own = children(pid).into_iter().filter(|child| name(child) == name(pid));
    own.map(|child| peak_of(&child)).sum::<u64>() + peak_of(pid)
}

fn peak_of(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[test]
fn output_is_kept_byte_for_byte_and_shown_harmlessly() {
    let folder = tempfile::tempdir().unwrap();
    let text = "stream a = local\non a { $ printf 'x\\033[2J\\377\\000\\r\\nend' }\n";
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    let output = crate::cases::mstream(folder.path(), &["exec", "test.ms"]);
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    let run = std::fs::read_dir(folder.path().join(".mstream/runs")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read(run.join("output/a.out")).unwrap(), b"x\x1b[2J\xff\0\r\nend");
    for path in [&run, &run.join("output")] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
    }
    for path in [run.join("journal.jsonl"), run.join("output/a.out")] {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let text = "stream a = local\non a { $ for i in $(seq 200); do echo $i; done; touch ran }\n";
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    let program = env!("CARGO_BIN_EXE_mstream");
    let script = format!("{{ '{program}' exec --format jsonl test.ms; echo \"exit $?\" >code; }} 2>err | head -n 1");
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("run_started"));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!((read("code").as_str(), read("err").as_str()), ("exit 0\n", ""));
    assert!(folder.path().join("ran").exists());
}

#[test]
fn results_that_a_full_disk_does_not_take_are_not_lost_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.ms"), "stream a = local\non a { $ true }\n").unwrap();
    for words in [&["exec"][..], &["exec", "--format", "jsonl"], &["check"], &["graph", "export"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mstream"));
        command.args(words).arg("test.ms").current_dir(folder.path()).stdin(Stdio::null()).stdout(full);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{words:?}: {said}");
        assert!(said.ends_with("error: stdout cannot be written: No space left on device (os error 28)\n"), "{said}");
    }
}

#[test]
fn a_limit_on_the_size_of_files_ends_a_run_in_order() {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 40; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_mstream")]);
    let text = "stream a = local\non a {\n  $ seq 20000\n  $ sleep 60\n  finally { $ touch cleaned }\n}\n";
    let ended = Run::by(limited, text, &[]).end();
    assert_eq!(ended.status.code(), Some(3), "{:?}", ended.events);
    assert!(ended.has("journal_failed", "File too large") && ended.folder.path().join("cleaned").exists());
}

#[test]
fn who_may_open_few_files_is_told_and_leaves_nothing() {
    let limited = |most: u32| {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_mstream")]);
        let ended = Run::by(limited, "stream a[1..40] = local\non a { $ true }\n", &[]).end();
        assert_eq!(ended.status.code(), Some(3), "{:?}", ended.events);
        let left = std::fs::read_dir(ended.folder.path()).unwrap();
        let left = left.filter(|it| it.as_ref().unwrap().file_name().to_string_lossy().starts_with("mstream-"));
        assert_eq!(left.count(), 0, "with {most}");
        ended
    };
    assert!(limited(31).events.is_empty());
    assert!(limited(40).has("step_ended", "Too many open files"));
}

#[test]
fn events_have_no_gaps_and_the_journal_has_them_all() {
    let text = "stream a = local\nstream b = local\non a { $ echo x }\non b { $ echo y }\non all { barrier z }\n";
    let ended = Run::start(text, &[]).end();
    let numbers: Vec<u64> = ended.events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    let run = std::fs::read_dir(ended.folder.path().join(".mstream/runs")).unwrap().next().unwrap().unwrap().path();
    let journal = std::fs::read_to_string(run.join("journal.jsonl")).unwrap();
    assert_eq!(journal.lines().count(), numbers.len());
    assert!(!journal.contains("\"text\""), "the output stands in files of its own");
}

#[test]
fn a_check_starts_nothing_and_connects_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let text = "stream a = \"ssh://tester@foo.example.com\"\nstream b = local\non a { $ hostname }\n\
                on b { let x = shell \"touch ran\"\n expect x.exit == 0 }\n";
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "trace=execve,connect,socket", "-o", "trace"]);
    let status = strace.args([env!("CARGO_BIN_EXE_mstream"), "check", "test.ms"]).current_dir(folder.path()).output();
    assert!(status.unwrap().status.success());
    let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap();
    assert_eq!(trace.lines().filter(|line| line.contains("execve")).count(), 1, "{trace}");
    assert!(!trace.contains("connect(") && !trace.contains("socket("), "{trace}");
    assert!(!folder.path().join("ran").exists());
}
