//! Runs that are killed and gone on with, on disks that are full or fail: what was done is done once, and nothing is
//! lost without a word.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::cases::ends;
use crate::watchdog::Watchdog;

/// Each step says in `$LOG` that it ran. `a3`, `b3`, `a5` and `c2` may run twice; of the others some take long enough to be
/// killed in.
const SCENARIO: &str = r#"stream a = local
stream b = local
stream c = local
on a {
  $ echo a1 >> "$LOG"
  let v = shell "echo a2 >> \"$LOG\"; sleep 0.05; echo 42"
  barrier one
  shell(resumable = true) "echo a3 >> \"$LOG\"; sleep 0.1"
  barrier two
  $ echo a4 >> "$LOG"; sleep 0.05
  barrier three
  shell(resumable = true) "echo a5 >> \"$LOG\"; sleep 0.1"
}
on b {
  $ echo b1 >> "$LOG"
  barrier one
  shell(resumable = true) "echo b3 >> \"$LOG\"; sleep 0.1"
  barrier two
  $ test ${{a.v}} = 42 && echo b4 >> "$LOG"
  barrier three
}
on c {
  $ echo c1 >> "$LOG"
  barrier one
  barrier two
  shell(resumable = true) "echo c2 >> \"$LOG\"; sleep 0.1"
}
"#;

/// A folder with a scenario in it, and what its steps have said.
struct Place(tempfile::TempDir);

impl Place {
    fn new(text: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write(text);
        place
    }

    fn write(&self, text: &str) {
        std::fs::write(self.0.path().join("test.ms"), text).unwrap();
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mstream"));
        command.arg("exec").args(options).arg("test.ms").current_dir(self.0.path());
        command.env("TMPDIR", self.0.path()).env("LOG", self.0.path().join("log"));
        command
    }

    fn start(&self, options: &[&str]) -> Child {
        let mut command = self.command(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn resume(&self, options: &[&str]) -> Output {
        ends(self.command(options), self.0.path(), &[])
    }

    /// Kills a run once it has told so many events, or of this one, and waits until nothing of it runs any more.
    fn kill(&self, mut run: Child, events: usize, until: &str) {
        let watchdog = Watchdog::over(&run);
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
        let _ = lines.by_ref().take(events).any(|line| !until.is_empty() && line.contains(until));
        run.kill().unwrap();
        run.wait().unwrap();
        drop(watchdog);
        self.ends();
    }

    /// Waits until nothing of a killed run is at work any more; what nobody ends is ended here.
    fn ends(&self) {
        let began = Instant::now();
        // One that has just been started shows its environment a moment later.
        let mut quiet = 0;
        while quiet < 3 {
            let left = self.at_work();
            quiet = if left.is_empty() { quiet + 1 } else { 0 };
            assert!(began.elapsed() < Duration::from_secs(20), "{left:?} live on");
            if began.elapsed() > Duration::from_secs(2) {
                let _ = Command::new("kill").arg("-9").args(&left).stderr(Stdio::null()).status();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes that are at work in this place.
    fn at_work(&self) -> Vec<String> {
        let mark = format!("TMPDIR={}", self.0.path().display());
        let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().into_string().ok());
        let numbers = numbers.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let ours = numbers.filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        });
        ours.collect()
    }

    /// The folders of the runs so far, the first one first.
    fn runs(&self) -> Vec<PathBuf> {
        let found = std::fs::read_dir(self.0.path().join(".mstream/runs"));
        let mut all: Vec<PathBuf> = found.unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort_by_key(|run| run.join("lock").metadata().unwrap().modified().unwrap());
        all
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Who must have run before whom.
const ORDER: [(&str, &str); 6] = [("a1", "a2"), ("a2", "a3"), ("b1", "a3"), ("c1", "a4"), ("b3", "a4"), ("b4", "a5")];

#[test]
fn a_run_that_is_killed_anywhere_goes_on_and_does_nothing_twice_that_may_not() {
    let (mut resumed, mut refused) = (0, 0);
    for events in 1..46 {
        let place = Place::new(SCENARIO);
        place.kill(place.start(&["--format", "jsonl"]), events, "");
        let before = place.log();
        let again = place.resume(&["--resume", "last"]);
        let (words, log) = (said(&again), place.log());
        match again.status.code() {
            Some(6) if words.contains("it passed") => {}
            Some(6) if words.contains("ended before anything of it began") => assert_eq!(before, Vec::<String>::new()),
            Some(6) => {
                refused += 1;
                assert!(words.contains("not marked `resumable`") && words.contains("test.ms:"), "{words}");
                assert_eq!(log, before, "nothing runs where it is refused");
            }
            Some(0) => {
                resumed += 1;
                whole(&log, &format!("killed after {events} events: {before:?}, then {log:?}\n{words}"));
                let summary = String::from_utf8_lossy(&again.stdout).into_owned();
                assert!(summary.contains("taken from run "), "{summary}");
            }
            code => panic!("exit code {code:?}: {words}"),
        }
    }
    assert!(resumed > 2 && refused > 2, "{resumed} were resumed, {refused} refused");
}

fn whole(log: &[String], how: &str) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for line in log {
        *times.entry(line).or_default() += 1;
    }
    for name in ["a1", "a2", "b1", "c1", "a4", "b4"] {
        assert_eq!(times.get(name), Some(&1), "{name}, {how}");
    }
    for name in ["a3", "b3", "a5", "c2"] {
        assert!((1..=2).contains(&times.get(name).copied().unwrap_or_default()), "{name}, {how}");
    }
    for (first, then) in ORDER {
        let at = |name| log.iter().position(|line| line == name).unwrap();
        assert!(at(first) < at(then), "{first} comes before {then}, {how}");
    }
}

/// Stops for as long as it is told, behind a barrier that all have passed.
const WAITS: &str = "stream a = local\nstream b = local\non a {\n  $ echo one >> \"$LOG\"\n  barrier x\n  \
                     shell(resumable = true) \"echo two >> \\\"$LOG\\\"; exec sleep ${PAUSE:-60}\"\n}\non b { barrier x }\n";

#[test]
fn one_at_a_time_goes_on_with_a_run_and_no_lock_stays_behind() {
    let place = Place::new(WAITS);
    let sleeps = |place: &Place, options: &[&str]| {
        let mut command = place.command(options);
        command.env("PAUSE", "3").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let first = sleeps(&place, &["--format", "jsonl"]);
    let mut live = first;
    let mut events = BufReader::new(live.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(events.any(|line| line.contains("step_started") && line.contains("echo two")));
    let words = said(&place.resume(&["--resume", "last"]));
    assert!(words.contains("it is still alive, or is being resumed right now"), "{words}");
    live.kill().unwrap();
    live.wait().unwrap();
    let old = place.runs()[0].file_name().unwrap().to_str().unwrap().to_owned();
    place.ends();
    let mut second = sleeps(&place, &["--format", "jsonl", "--resume", &old]);
    let mut events = BufReader::new(second.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(events.any(|line| line.contains("step_started") && line.contains("echo two")));
    let third = place.resume(&["--resume", &old[..old.len() - 1]]);
    assert_eq!(third.status.code(), Some(6));
    assert!(said(&third).contains("being resumed right now"), "{}", said(&third));
    second.kill().unwrap();
    second.wait().unwrap();
    place.ends();
    let newer = place.runs()[1].file_name().unwrap().to_str().unwrap().to_owned();
    let fourth = place.resume(&["--resume", &old]);
    assert!(said(&fourth).contains(&format!("mstream exec --resume {newer}")), "{}", said(&fourth));
    let mut last = place.command(&["--resume", "last"]);
    last.env("PAUSE", "0");
    let last = ends(last, place.0.path(), &[]);
    assert_eq!(last.status.code(), Some(0), "{}", said(&last));
    assert_eq!(place.log(), ["one", "two", "two", "two"]);
}

#[test]
fn what_has_changed_is_said_with_its_place() {
    let text = format!("param count: int = 1\n{WAITS}");
    let place = Place::new(&text);
    place.kill(place.start(&["--format", "jsonl", "-p", "count=2"]), 1000, "echo two");
    let refused = |options: &[&str]| {
        let output = place.resume(&[&["--resume", "last"], options].concat());
        assert_eq!(output.status.code(), Some(6), "{}", said(&output));
        said(&output)
    };
    assert!(refused(&[]).contains("the parameter `count` was given with -p, and is not now"));
    assert!(refused(&["-p", "count=3"]).contains("the parameter `count` has another value in -p"));
    let bound = refused(&["-p", "count=2", "--stream", "b=local:"]);
    assert!(bound.contains("the binding of `b` was not given with --stream, and is now"), "{bound}");
    place.write(&text.replace("echo one", "echo once"));
    let changed = refused(&["-p", "count=2"]);
    assert!(changed.contains("`test.ms` has changed, first in line 5"), "{changed}");
    assert_eq!(place.log(), ["one", "two"]);
}

/// Three variants, of which the second one takes long.
const MATRIX: &str = "disk: !mux\n  first:\n    pause: 0\n  second:\n    pause: 60\n  third:\n    pause: 0\n";
const OF_MATRIX: &str = r#"params "matrix.yaml"
param pause: int
stream a = local
stream b = local
on b { barrier x }
on a {
  $ echo ${{param.pause}} >> "$LOG"
  barrier x
  shell(resumable = true) "echo sleeps ${{param.pause}}; exec sleep ${PAUSE:-${{param.pause}}}"
}
"#;

#[test]
fn of_several_variants_those_that_are_done_are_not_run_again() {
    let place = Place::new(OF_MATRIX);
    std::fs::write(place.0.path().join("matrix.yaml"), MATRIX).unwrap();
    let many = ["--variants", "--format", "jsonl"];
    place.kill(place.start(&many), 1000, "sleeps 60");
    assert_eq!(place.log(), ["0", "60"]);
    let resume = |which: &str, options: &[&str]| {
        let mut command = place.command(&[&["--resume", which], options].concat());
        command.env("PAUSE", "0");
        ends(command, place.0.path(), &[])
    };
    let other = resume("last", &[]);
    assert_eq!(other.status.code(), Some(2), "its parameter has several values: {}", said(&other));
    let rest = resume("last", &["--variants"]);
    let (told, came) = (said(&rest), String::from_utf8_lossy(&rest.stdout).into_owned());
    assert_eq!(rest.status.code(), Some(0), "{told}{came}");
    assert!(told.contains("going on with number 2 of 3: those") && told.contains(": 3 of 4 steps are done"), "{told}");
    assert!(came.contains("2 variants: 2 passed") && !came.contains("first"), "{came}");
    assert_eq!(place.log(), ["0", "60", "0"]);

    // Had it been killed between two of them, the next one would be run.
    let runs = place.runs();
    let id = |at: usize| runs[at].file_name().unwrap().to_str().unwrap();
    let last = resume(id(2), &["--variants"]);
    assert_eq!((last.status.code(), place.log().len()), (Some(0), 4), "{}", said(&last));
    let nothing = resume(id(3), &["--variants"]);
    assert!(said(&nothing).contains("it passed: there is nothing left to do"), "{}", said(&nothing));
    std::fs::write(place.0.path().join("matrix.yaml"), MATRIX.replace("second", "other")).unwrap();
    let gone = resume(id(1), &["--variants"]);
    assert_eq!((gone.status.code(), place.log().len()), (Some(6), 4));
    assert!(said(&gone).contains("it is of none of these scenarios and variants"), "{}", said(&gone));
}

#[test]
fn a_damaged_journal_is_refused_and_a_torn_end_is_left_out() {
    let place = Place::new(WAITS);
    place.kill(place.start(&["--format", "jsonl"]), 1000, "echo two");
    let path = place.runs()[0].join("journal.jsonl");
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    let third = memchr_lines(&whole, 3);
    damaged[third + 20] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let refused = place.resume(&["--resume", "last"]);
    assert_eq!(refused.status.code(), Some(6));
    assert!(said(&refused).contains("record 3 is damaged: its checksum does not fit"), "{}", said(&refused));
    std::fs::write(&path, [&whole[..], b"{\"v\":1,\"seq\":99"].concat()).unwrap();
    let mut torn = place.command(&["--resume", "last"]);
    torn.env("PAUSE", "0");
    let torn = ends(torn, place.0.path(), &[]);
    assert_eq!(torn.status.code(), Some(0), "{}", said(&torn));
    assert!(said(&torn).contains("was not written to its end: 15 bytes are left out"), "{}", said(&torn));
    let again = place.resume(&["--resume", "last"]);
    assert!(said(&again).contains("it passed: there is nothing left to do"), "{}", said(&again));
    private(place.0.path().join(".mstream").as_path());
}

/// Where the line of that number begins.
fn memchr_lines(text: &[u8], line: usize) -> usize {
    text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(line - 1).unwrap().0 + 1
}

/// Nobody else may read any of it.
fn private(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}", path.display());
        if path.is_dir() {
            private(&path);
        }
    }
}

#[test]
fn a_value_with_a_secret_in_it_is_not_kept_and_not_gone_on_with() {
    let place = Place::new(
        "stream a = local\non a {\n  let v = shell(env = { T = secret(\"TOKEN\") }) \"echo x-$T\"\n  barrier x\n  \
         shell(resumable = true) \"sleep 60; echo ${{v}}\"\n}\nstream b = local\non b { barrier x }\n",
    );
    let mut command = place.command(&["--format", "jsonl"]);
    command.env("TOKEN", "hunter2-hunter2").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    let mut events = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(events.any(|line| line.contains("step_started") && line.contains("sleep 60")));
    run.kill().unwrap();
    run.wait().unwrap();
    place.ends();
    let mut again = place.command(&["--resume", "last"]);
    again.env("TOKEN", "hunter2-hunter2");
    let again = ends(again, place.0.path(), &[]);
    let words = said(&again);
    assert_eq!(again.status.code(), Some(6), "{words}");
    assert!(
        words.contains("a secret is in this value, so it was not kept") && words.contains("v · test.ms:3"),
        "{words}"
    );
    let found = Command::new("grep").args(["-r", "hunter2", ".mstream"]).current_dir(place.0.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn a_full_disk_ends_the_run_in_order_and_every_byte_is_kept_or_declared() {
    let place = Place::new(
        "stream a = local\non a {\n  $ head -c 1000000 /dev/zero\n  $ sleep 1\n  $ echo never >> \"$LOG\"\n  finally { $ echo cleaned >> \"$LOG\" }\n}\n",
    );
    let disk = place.0.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // The disk is gone with the namespace.
    let script = "mount -t tmpfs -o size=256k,mode=700 tmpfs disk && cp test.ms disk && cd disk || exit 99\n\
                  \"$MSTREAM\" exec test.ms; code=$?\n\
                  cat .mstream/runs/*/journal.jsonl >../journal; cat .mstream/runs/*/output/a.out | wc -c >../kept\n\
                  exit $code";
    let mut command = Command::new("unshare");
    command.env("MSTREAM", env!("CARGO_BIN_EXE_mstream")).env("TMPDIR", place.0.path());
    command.env("LOG", place.0.path().join("log"));
    let output = ends(command, place.0.path(), &["-m", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let words = said(&output);
    assert!(words.contains("output/a.out` cannot be written: No space left on device"), "{words}");
    assert_eq!(place.log(), ["cleaned"]);
    let journal = std::fs::read_to_string(place.0.path().join("journal")).unwrap();
    let events: Vec<Json> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!((0..).zip(&events).all(|(at, event): (u64, _)| event["seq"] == at), "{journal}");
    assert_eq!(events.last().unwrap()["event"], "run_ended", "{journal}");
    assert!(events.iter().any(|event| event["event"] == "journal_failed"), "{journal}");
    let kept: u64 = std::fs::read_to_string(place.0.path().join("kept")).unwrap().trim().parse().unwrap();
    let cut = events.iter().filter(|event| event["event"] == "output_cut");
    let cut: u64 = cut.map(|event| event["bytes"].as_u64().unwrap()).sum();
    assert!(kept > 0 && cut > 0, "{kept} {cut}");
    assert_eq!(kept + cut, 1_000_000);
}

#[test]
fn a_disk_that_fails_ends_the_run_in_order() {
    let place = Place::new(
        "stream a = local\non a {\n  $ sleep 0.3\n  $ sleep 0.3\n  $ sleep 0.3\n  $ echo never >> \"$LOG\"\n  \
         finally { $ echo cleaned >> \"$LOG\" }\n}\n",
    );
    let mut command = Command::new("strace");
    command.env("LOG", place.0.path().join("log")).env("TMPDIR", place.0.path());
    let words = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=2"];
    let words = [&words[..], &[env!("CARGO_BIN_EXE_mstream"), "exec", "test.ms"]].concat();
    let output = ends(command, place.0.path(), &words);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("journal.jsonl` cannot be written: Input/output error"), "{}", said(&output));
    assert_eq!(place.log(), ["cleaned"]);
}
