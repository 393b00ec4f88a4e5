//! F, the journal: disks that are full or fail under it, records that are torn or changed, and going on with a run.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::audit::left;
use super::trial::{Trial, entries, program};
use super::{FAULT, Fault, Kind, soak, survive};

#[test]
fn faults_of_the_journal_are_survived() {
    survive(FAULTS);
}

/// A run that can be gone on with: it was killed in its third part.
const RESUMABLE: &str = "stream far = local\nstream near = local\n\
    on far {\n  shell(resumable = true) \"echo one >>done\"\n  barrier met\n  shell(resumable = true) \"echo three >>done; test -e go || SLEEP\"\n}\n\
    on near {\n  shell(resumable = true) \"echo two >>done\"\n  barrier met\n}\n";

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        id: "F63",
        title: "the disk with the run's folder is full",
        how: "a file system of 64 KiB",
        does: "no further step begins, every `finally` runs; the last records fit into a reserve",
        kind: Kind::Disk,
        text: "stream far = local\non far {\n  finally { $ echo cleaned >MARK }\n  for i in 1..60 { $ head -c 4000 /dev/zero | tr '\\0' x }\n}\n",
        exit: 3,
        says: &["No space left on device"],
        placeless: true,
        story: |it| {
            let (work, mark) = (it.path("work"), it.path("mark"));
            it.tmpfs(&work, "size=64k,mode=700");
            it.text = it.text.replace("MARK", &mark.display().to_string());
            it.start();
            it.until("journal_failed", "");
            it.fire();
            it.end();
            let steps = it.all("step_started", "head -c 4000").len();
            if !mark.exists() || !(5..40).contains(&steps) {
                it.complain(format!("{steps} steps began; the `finally` ran: {}", mark.exists()));
            }
            ended_in_order(it);
        },
        ..FAULT
    },
    Fault {
        id: "F64",
        title: "the disk fails under the journal",
        how: "`strace -e inject=fdatasync:error=EIO:when=2`",
        does: "the same: an error of a sync is final, and not tried again",
        kind: Kind::Call,
        text: "stream far = local\non far {\n  finally { $ echo cleaned >MARK }\n  for i in 1..40 { $ sleep 0.05 }\n}\n",
        exit: 3,
        says: &["Input/output error"],
        placeless: true,
        bound: Duration::from_secs(20),
        story: |it| {
            let (trace, mark) = (it.path("trace"), it.path("mark"));
            it.text = it.text.replace("MARK", &mark.display().to_string());
            let inject = "inject=fdatasync:error=EIO:when=2";
            let words = ["strace", "-f", "-qq", "-e", "trace=fdatasync", "-e", inject, "-o"];
            it.before = words.into_iter().map(Into::into).chain([trace.clone().into()]).collect();
            it.start();
            it.end();
            let log = std::fs::read_to_string(&trace).unwrap_or_default();
            if log.contains("(INJECTED)") {
                it.fire();
            }
            let steps = it.all("step_started", "sleep 0.05").len();
            if !mark.exists() || steps >= 40 {
                it.complain(format!("{steps} steps began; the `finally` ran: {}", mark.exists()));
            }
            // What the disk has of the journal cannot be known any more, and nothing is added.
            said_why(it);
        },
        ..FAULT
    },
    Fault {
        id: "F66",
        title: "the end of the journal is torn off",
        how: "cut at bytes all over it, at every byte in `tests/soak`",
        does: "goes on from the last point that all had passed, without half a record, and says so; or says why not",
        kind: Kind::Journal,
        text: RESUMABLE,
        bound: Duration::from_mins(10),
        once: true,
        story: |it| {
            damaged(it, |journal| {
                let every = if soak() { 1 } else { journal.len() / 40 };
                (0..journal.len()).step_by(every.max(1)).map(|at| journal[..at].to_vec()).collect()
            });
        },
        ..FAULT
    },
    Fault {
        id: "F67",
        title: "a byte in the journal has changed",
        how: "flipped at places all over it, at every byte in `tests/soak`",
        does: "refuses to go on, with the number of the record",
        kind: Kind::Journal,
        text: RESUMABLE,
        bound: Duration::from_mins(10),
        once: true,
        story: |it| {
            damaged(it, |journal| {
                let last = journal[..journal.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap_or_default();
                let every = if soak() { 1 } else { last / 40 };
                let flip = |at: usize| {
                    let mut flipped = journal.to_vec();
                    flipped[at] ^= 0x04;
                    flipped
                };
                (0..last).step_by(every.max(1)).map(flip).collect()
            });
        },
        ..FAULT
    },
    Fault {
        id: "F68",
        title: "the scenario has changed before it is gone on with",
        how: "one line of it is another one",
        does: "refuses, and says what has changed; undone, it goes on",
        kind: Kind::Journal,
        text: RESUMABLE,
        exit: 6,
        bound: Duration::from_secs(10),
        story: |it| {
            let id = killed(it);
            let text = it.text.clone();
            std::fs::write(it.path("work/test.ms"), text.replace("echo two", "echo 2")).unwrap();
            let (code, said) = resume(it, &id);
            it.fire();
            if code != Some(6) || !said.contains("test.ms") || !said.contains("changed") {
                it.complain(format!("exit code {code:?}: {said}"));
            }
            std::fs::write(it.path("work/test.ms"), text).unwrap();
            goes_on(it, &id);
        },
        ..FAULT
    },
    Fault {
        id: "F69",
        title: "two go on with a run at once; somebody goes on with one that lives",
        how: "`--resume` twice at the same time; while it runs; after a kill -9 of one that went on",
        does: "one goes on, the other is refused at once; no lock stays behind",
        kind: Kind::Journal,
        text: RESUMABLE,
        exit: 6,
        bound: Duration::from_secs(20),
        story: |it| {
            it.beside = vec!["done", "go"];
            it.start();
            it.until("step_started", "three");
            let id = it.run_folder().unwrap().file_name().unwrap().to_string_lossy().into_owned();
            let (code, said) = resume(it, &id);
            if code != Some(6) || !said.contains("still alive") {
                it.complain(format!("of a run that lives: exit code {code:?}: {said}"));
            }
            bury(it);
            std::fs::write(it.path("work/go"), "").unwrap();
            let mut at_once: Vec<_> = (0..2).map(|_| resuming(it, &id).spawn().unwrap()).collect();
            let mut codes: Vec<_> = at_once.iter_mut().map(|child| child.wait().unwrap().code()).collect();
            codes.sort_unstable();
            it.fire();
            if codes != [Some(0), Some(6)] {
                it.complain(format!("two at once end with {codes:?}"));
            }
            finish(it);
        },
        ..FAULT
    },
];

/// What holds where the journal could not be written on, and the reserve was.
fn ended_in_order(it: &mut Trial) {
    let events = it.ended().events.clone();
    for started in events.iter().filter(|event| event["event"] == "step_started") {
        if !events.iter().any(|event| event["event"] == "step_ended" && event["step"] == started["step"]) {
            it.complain(format!("A6: no end of {started}"));
        }
    }
    if events.last().is_none_or(|event| event["event"] != "run_ended") {
        it.complain("A6: the journal has no end");
    }
    said_why(it);
}

fn said_why(it: &mut Trial) {
    if it.ended().code != Some(3) {
        it.complain(format!("A2: the exit code is {:?}", it.ended().code));
    }
    let all = format!("{}{}", it.ended().out, String::from_utf8_lossy(&it.ended().screen));
    for words in it.says {
        if !all.contains(words) {
            it.complain(format!("A10: does not say `{words}`"));
        }
    }
    for words in left(it) {
        it.complain(words);
    }
}

/// Runs the scenario and kills it when everybody has passed the barrier; the id of the run.
fn killed(it: &mut Trial) -> String {
    it.beside = vec!["done", "go"];
    it.start();
    it.until("step_started", "three");
    it.wait("the third part", |it| {
        std::fs::read_to_string(it.path("work/done")).is_ok_and(|text| text.contains("three")).then_some(())
    });
    bury(it);
    std::fs::write(it.path("work/go"), "").unwrap();
    it.run_folder().unwrap().file_name().unwrap().to_string_lossy().into_owned()
}

/// Kills mstream and all that it has started, and removes its temporary folders. What it would leave is another fault.
fn bury(it: &mut Trial) {
    it.kill();
    it.slay();
    it.end();
    for name in entries(&it.path("tmp")) {
        std::fs::remove_dir_all(it.path("tmp").join(name)).unwrap();
    }
}

fn resuming(it: &Trial, id: &str) -> Command {
    ours(it, &["exec", "--color", "never", "--resume", id, "test.ms"])
}

/// mstream, where the trial is.
fn ours(it: &Trial, words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(words).current_dir(it.path("work"));
    for (name, folder) in [("TRIAL", ""), ("TMPDIR", "tmp"), ("HOME", "home"), ("XDG_RUNTIME_DIR", "runtime")] {
        command.env(name, it.path(folder));
    }
    command.stdin(std::process::Stdio::null()).env("CANARY", &it.canary);
    command
}

/// Goes on with the run; the exit code, and what is said.
fn resume(it: &Trial, id: &str) -> (Option<i32>, String) {
    let output = resuming(it, id).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The first two parts are not done again.
fn goes_on(it: &mut Trial, id: &str) {
    let _ = std::fs::remove_file(it.path("work/done"));
    let (code, said) = resume(it, id);
    let done = std::fs::read_to_string(it.path("work/done")).unwrap_or_default();
    if code != Some(0) || done != "three\n" {
        it.complain(format!("exit code {code:?}, and {done:?} was done: {said}"));
    }
    finish(it);
}

fn finish(it: &mut Trial) {
    for words in left(it) {
        it.complain(words);
    }
}

/// Goes on with a run whose journal is each of these.
fn damaged(it: &mut Trial, damage: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let id = killed(it);
    let folder = it.path("work/.mstream/runs");
    let (journal, kept): (PathBuf, PathBuf) = (folder.join(&id).join("journal.jsonl"), it.path("kept"));
    assert!(Command::new("cp").arg("-a").arg(&folder).arg(&kept).status().unwrap().success());
    let whole = std::fs::read(&journal).unwrap();
    let (mut went_on, mut refused) = (0, 0);
    let flips = it.fault.id == "F67";
    for text in damage(&whole) {
        let _ = std::fs::remove_dir_all(&folder);
        assert!(Command::new("cp").arg("-a").arg(&kept).arg(&folder).status().unwrap().success());
        std::fs::write(&journal, &text).unwrap();
        let _ = std::fs::remove_file(it.path("work/done"));
        let (code, said) = resume(it, &id);
        it.fire();
        let done = std::fs::read_to_string(it.path("work/done")).unwrap_or_default();
        let at = whole.iter().zip(&text).position(|(old, new)| old != new).unwrap_or(text.len());
        match code {
            Some(0) if !flips && done.contains("three\n") => went_on += 1,
            Some(6) if done.is_empty() && said.contains("cannot be resumed") => {
                refused += 1;
                if flips && !said.contains("record") {
                    it.complain(format!("flipped at {at}: names no record: {said}"));
                }
            }
            other => it.complain(format!("damaged at {at}: exit code {other:?}, {done:?} was done: {said}")),
        }
        if said.contains("panicked") {
            it.complain(format!("damaged at {at}: {said}"));
        }
    }
    if refused == 0 || !flips && went_on == 0 {
        it.complain(format!("{went_on} went on, {refused} were refused"));
    }
    // What it has made does not stand in the journal.
    let cleaned = ours(it, &["clean", &id]).output().unwrap();
    if !cleaned.status.success() {
        it.complain(format!("cannot be cleaned up after: {}", String::from_utf8_lossy(&cleaned.stderr)));
    }
    finish(it);
}
