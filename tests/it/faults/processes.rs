//! A: what the processes of a step do.

use std::time::Duration;

use super::trial::{Trial, kill};
use super::{FAULT, Fault, Place, repeats, survive};

#[test]
fn faults_of_processes_are_survived() {
    survive(FAULTS);
}

const ALL: &[Place] = &[Place::Local, Place::Ssh, Place::Docker];

/// What a run may take of the memory of this machine, in KiB.
const MEMORY: u64 = 60 << 10;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        id: "F1",
        title: "a step exits with 3",
        how: "`exit 3`, while another stream waits for it at a barrier",
        does: "the step has failed; who waits is released within 0.25s and named under it",
        on: ALL,
        text: "stream far = \"FAR\"\nstream near = local\n\
               on far {\n  $ echo the last words; exit 3\n  barrier met\n}\non near { barrier met }\n",
        exit: 1,
        says: &[
            "far: $ echo the last words; exit 3 · test.ms:4",
            "exit status 3",
            "│ the last words",
            "because of it",
            "near: broken at barrier met",
        ],
        commit: |it| {
            it.until("step_ended", "\"status\":3");
            it.fire();
        },
        ..FAULT
    },
    Fault {
        id: "F2",
        title: "a step dies by a signal",
        how: "`kill -SEGV $$`",
        does: "says `SIGSEGV`, in the same words everywhere",
        on: ALL,
        text: "stream far = \"FAR\"\non far {\n  $ kill -SEGV $$\n}\n",
        exit: 1,
        says: &["far: $ kill -SEGV $$ · test.ms:3", "killed by SIGSEGV"],
        commit: |it| {
            it.until("step_ended", "\"signal_name\":\"SIGSEGV\"");
            it.fire();
        },
        ..FAULT
    },
    Fault {
        id: "F3",
        title: "a step hangs and ignores TERM",
        how: "`trap '' TERM`, its children too, and a timeout",
        does: "TERM, the grace, KILL for the whole tree",
        on: ALL,
        text: "stream far = \"FAR\"\non far {\n  shell(timeout = 2s) \"trap '' TERM; echo deaf; (setsid SLEEP &) ; SLEEP; :\"\n}\n",
        options: &["--timeout-scale", "0.2"],
        exit: 4,
        says: &["far: ", "test.ms:3", "timed out"],
        bound: Duration::from_secs(5),
        commit: |it| {
            it.until_printed("far", "deaf");
            it.fire();
        },
        after: |it| {
            let (began, ended) = (it.time("step_started", "test.ms:3"), it.time("step_ended", "timed_out"));
            // 2s, and 10s of grace, both scaled; and what it takes a busy engine to kill.
            if !(2.3..4.4).contains(&(ended - began)) {
                it.complain(format!("A1: timeout and grace took {} s", ended - began));
            }
        },
        ..FAULT
    },
    Fault {
        id: "F4",
        title: "a grandchild keeps stdout open",
        how: "`sleep & echo hi`",
        does: "the step ends at once; the process left behind is named and killed",
        on: ALL,
        text: "stream far = \"FAR\"\non far {\n  $ SLEEP & echo hi\n}\n",
        exit: 5,
        says: &["left", "sleep 7"],
        bound: Duration::from_secs(3),
        commit: |it| {
            it.until("step_leaked", "sleep 7");
            it.fire();
        },
        after: |it| {
            it.until_printed("far", "hi");
            let took = it.time("step_ended", "test.ms:3") - it.time("step_started", "test.ms:3");
            if took > 1.5 {
                it.complain(format!("A1: the step took {took} s"));
            }
        },
        ..FAULT
    },
    Fault {
        id: "F5",
        title: "a daemon escapes",
        how: "a new session, an empty environment, no pipe of ours",
        does: "finds it among its orphans at the end, names it and kills it",
        text: "stream far = \"FAR\"\non far {\n  $ env -i setsid SLEEP </dev/null >/dev/null 2>&1 &\n  $ sleep 0.3\n}\n",
        exit: 5,
        says: &["left", "sleep 7"],
        commit: |it| {
            let sleep = it.sleep.clone();
            it.wait("the daemon", |_| {
                (!super::trial::having(|pid| super::trial::command(pid) == sleep).is_empty()).then_some(())
            });
            it.fire();
        },
        ..FAULT
    },
    Fault {
        id: "F8",
        title: "a flood of output",
        how: "`yes` and `/dev/zero` at once",
        does: "keeps the first 64 MiB of each step and says how much it does not; in less than 60 MiB of memory; other streams are not held up",
        text: "stream far = \"FAR\"\nstream lines = local\nstream near = local\n\
               on far {\n  $ head -c FLOOD /dev/zero\n}\non lines {\n  $ yes 'a line of output' | head -c FLOOD\n}\n\
               on near {\n  for i in 1..40 { $ sleep 0.02 }\n}\n",
        says: &["not kept"],
        bound: Duration::from_secs(150),
        prepare: |it| it.text = it.text.replace("FLOOD", &flood().to_string()),
        commit: measure_memory,
        after: |it| {
            check_memory(it);
            // The short steps of the other stream are over long before the flood is.
            let ends = it.times("step_ended", "\"near\"");
            let (last, whole) = (ends.iter().copied().fold(0.0, f64::max), it.time("run_ended", ""));
            if ends.len() != 40 || last > whole * 0.9 {
                it.complain(format!("the other stream was held up: {} steps, until {last} of {whole} s", ends.len()));
            }
            for stream in ["far", "lines"] {
                let printed: u64 =
                    it.all("output", &format!("\"{stream}\"")).iter().filter_map(|it| it["bytes"].as_u64()).sum();
                if printed != flood() {
                    it.complain(format!("A7: {stream} printed {} bytes, and {printed} were seen", flood()));
                }
            }
        },
        ..FAULT
    },
    Fault {
        id: "F9",
        title: "a line without an end",
        how: "96 MiB without a newline, 1 GiB in `tests/soak`",
        does: "shows it in pieces and never holds it, in less than 60 MiB of memory",
        text: "stream far = \"FAR\"\non far {\n  $ head -c LINE /dev/zero | tr '\\0' x\n}\n",
        says: &["not kept"],
        bound: Duration::from_secs(90),
        prepare: |it| it.text = it.text.replace("LINE", if repeats() > 1 { "1G" } else { "96M" }),
        commit: measure_memory,
        after: check_memory,
        ..FAULT
    },
    Fault {
        id: "F10",
        title: "bytes that are no text",
        how: "invalid UTF-8, NUL, lone CR, all of random",
        does: "keeps them byte for byte",
        on: ALL,
        text: "stream far = \"FAR\"\non far {\n  put \"odd\" to \"/tmp/TEMP\"\n  $ cat /tmp/TEMP; rm /tmp/TEMP\n}\n",
        prepare: |it| {
            let mut odd = b"\xff\xfe\0\r\r\n\xc3\x28\xed\xa0\x80 caf\xe9 \x80\x9b".to_vec();
            let random = std::fs::File::open("/dev/urandom").unwrap();
            std::io::Read::read_to_end(&mut std::io::Read::take(random, 300_000), &mut odd).unwrap();
            std::fs::write(it.path("work/odd"), odd).unwrap();
            it.beside.push("odd");
            it.text = it.text.replace("TEMP", &it.sleep.replace(' ', "-"));
        },
        commit: |it| {
            it.until("output", "");
            it.fire();
        },
        after: |it| {
            let kept = std::fs::read(it.run_folder().unwrap().join("output/far.out")).unwrap_or_default();
            if kept != std::fs::read(it.path("work/odd")).unwrap() {
                it.complain(format!("A7: {} bytes are kept, and they differ", kept.len()));
            }
        },
        ..FAULT
    },
    Fault {
        id: "F11",
        title: "escapes for the terminal, and lines that look like ours",
        how: "OSC 52, OSC 8, clear screen, C1, CR, a forged line",
        does: "shows them as text, with the stream's name before; the terminal obeys none of them",
        on: ALL,
        text: "stream far = \"FAR\"\non far {\n  $ printf '\\033]52;c;cHduZWQ=\\007\\033]8;;http://x\\007\\033[2J\\033[31m\\233\\302\\2332J\\rnear  \\342\\234\\223 passed\\n'\n  $ printf 'b\\bc\\033c\\016\\177\\n' >&2\n}\n",
        says: &["^[]52;c;"],
        commit: |it| {
            it.until("step_ended", "test.ms:4");
            it.fire();
        },
        after: |it| {
            if let Some(found) = obeyed(&it.ended().screen) {
                it.complain(format!("the terminal was sent {found:?}"));
            }
            let screen = String::from_utf8_lossy(&it.ended().screen).into_owned();
            if screen.lines().any(|line| line.starts_with("near")) {
                it.complain("a line was forged");
            }
        },
        ..FAULT
    },
    Fault {
        id: "F12",
        title: "a step wants the terminal",
        how: "`cat`, opens `/dev/tty`, asks to be in the foreground",
        does: "there is nothing to read and no terminal to take",
        on: ALL,
        text: "stream far = \"FAR\"\non far {\n  $ test \"$(cat | wc -c)\" -eq 0; ! test -t 0 && ! test -t 1 && ! test -t 2\n  $ if (read x </dev/tty) 2>/dev/null; then exit 1; fi; echo none\n  PYTHON\n}\n",
        prepare: |it| {
            let python = "python \"import os\\ntry: os.tcsetpgrp(os.open('/dev/tty', os.O_RDWR), os.getpgrp())\\nexcept OSError: print('no terminal')\"";
            let python = if it.engine.is_some() { "$ echo no terminal" } else { python };
            it.text = it.text.replace("PYTHON", python);
        },
        commit: |it| {
            it.until_printed("far", "no terminal");
            it.fire();
        },
        ..FAULT
    },
    Fault {
        id: "F15",
        title: "the program, the interpreter or the folder is not there, or may not be run",
        how: "an empty PATH, a folder that does not exist, a file without x, a mount with noexec",
        does: "says before the start what it looked for; a fault of the surroundings, not `exit 127`",
        on: &[Place::Local, Place::Ssh],
        text: "stream far = \"FAR\"\nstream b = \"FAR\"\nstream c = \"FAR\"\nstream d = \"FAR\"\n\
               on far { python(env = { PATH = \"/nowhere\" }) \"print(1)\" }\non b { shell(dir = \"/nope\") \"true\" }\n\
               on c { exec [\"PLACE/plain\"] }\non d { exec [\"PLACE/mounted/tool\"] }\n",
        exit: 3,
        says: &[
            "python3",
            "/nope",
            "plain",
            "mounted/tool",
            "test.ms:5",
            "test.ms:6",
            "test.ms:7",
            "test.ms:8",
            "surroundings",
        ],
        prepare: |it| {
            let place = it.path("runnable");
            std::fs::create_dir_all(place.join("mounted")).unwrap();
            for name in ["", "/.."] {
                let folder = format!("{}{name}", place.display());
                assert!(std::process::Command::new("chmod").args(["755", &folder]).status().unwrap().success());
            }
            it.tmpfs(&place.join("mounted"), "noexec,mode=755");
            std::fs::write(place.join("plain"), "#!/bin/sh\n").unwrap();
            std::fs::write(place.join("mounted/tool"), "#!/bin/sh\n").unwrap();
            let tool = place.join("mounted/tool").display().to_string();
            assert!(std::process::Command::new("chmod").args(["755", &tool]).status().unwrap().success());
            it.text = it.text.replace("PLACE", &place.display().to_string());
        },
        commit: |it| {
            it.until("step_ended", "not_started");
            it.fire();
        },
        after: |it| {
            let count = it.all("step_ended", "\"not_started\"").len();
            if count != 4 {
                it.complain(format!("{count} of 4 steps were not started"));
            }
        },
        ..FAULT
    },
];

/// How much a flood is: `tests/soak` asks for more.
fn flood() -> u64 {
    std::env::var("MSTREAM_SOAK_FLOOD").ok().and_then(|text| text.parse().ok()).unwrap_or(80_000_000)
}

/// Looks at the memory of mstream as long as it runs.
fn measure_memory(it: &mut Trial) {
    let pid = it.pid();
    it.until("output", "");
    it.fire();
    let mut peak = 0;
    while !it.over() {
        peak = peak.max(crate::run::peak_memory(&pid));
        std::thread::sleep(Duration::from_millis(50));
    }
    it.memory = peak;
    assert!(!kill("0", &pid), "mstream is gone");
}

fn check_memory(it: &mut Trial) {
    if it.memory == 0 || it.memory > MEMORY {
        it.complain(format!("mstream took {} KiB of memory", it.memory));
    }
}

/// What a terminal was sent beside text, line ends, and the movements that are ours.
fn obeyed(screen: &[u8]) -> Option<String> {
    let mut text = String::from_utf8_lossy(screen).replace("\r\n", "\n");
    for ours in ["\u{1b}[?2026h", "\u{1b}[?2026l", "\u{1b}[J", "\u{1b}[K"] {
        text = text.replace(ours, "");
    }
    for lines in 1..60 {
        text = text.replace(&format!("\u{1b}[{lines}A\r"), "");
    }
    let at = text.find(|letter: char| letter.is_control() && !matches!(letter, '\n' | '\t'))?;
    Some(text[at..].chars().take(20).collect())
}
