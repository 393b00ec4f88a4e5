//! One suite for all kinds of streams: each scenario of `tests/conformance/` runs unchanged on every one of them. A
//! new kind is one more test below.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::cases::ends;
use crate::engine::{BUSYBOX, DEBIAN, Engine, HOST, HOST_VOLUMES};
use crate::markdown::files;
use crate::run::Run;
use crate::sshd::Sshd;

/// What starts mstream where the streams can be reached.
type Program<'a> = dyn Fn() -> Command + Sync + 'a;

fn mstream() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mstream"))
}

/// How long the sleepers of the scenarios sleep; each run gets a length of its own, by which they are found.
const SLEEP: &str = "sleep 7110";

/// So many scenarios run at the same time.
const WORKERS: usize = 5;

/// Runs every scenario with the stream `far` bound to `uri`. Nothing may be left of any of them.
fn conforms(uri: &str, program: &Program<'_>) {
    let scenarios = Mutex::new(files("tests/conformance", "ms"));
    let next = || scenarios.lock().unwrap().pop();
    let work = || std::iter::from_fn(next).flat_map(|path| complaints(&path, uri, program)).collect::<Vec<_>>();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    interrupts_leave_nothing(uri, program);
    files_stream_through(uri, program);
}

/// What the sleepers of one run are called.
fn own_sleep() -> String {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    format!("sleep {}{:04}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed))
}

/// What is wrong with one scenario. Its head says what is expected: `# expect: EXIT CODE`, `# says: WORDS` of the
/// output, `# options: WORDS` of the command line.
fn complaints(path: &Path, uri: &str, program: &Program<'_>) -> Vec<String> {
    let sleep = own_sleep();
    let story = std::fs::read_to_string(path).unwrap();
    let text = story.replace(SLEEP, &sleep);
    let heads = |name: &'static str| story.lines().filter_map(move |line| line.strip_prefix(name));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.ms"), &text).unwrap();
    let stream = format!("far={uri}");
    let mut words = vec!["exec", "test.ms", "--stream", &stream];
    words.extend(heads("# options: ").flat_map(str::split_whitespace));
    let output = ends(program(), folder.path(), &words);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap().replace(&sleep, SLEEP);
    let mut wrong = Vec::new();
    if heads("# expect: ").next().unwrap().parse().ok() != output.status.code() {
        wrong.push(format!("exit code {:?}", output.status.code()));
    }
    wrong
        .extend(heads("# says: ").filter(|words| !said.contains(words)).map(|words| format!("does not say `{words}`")));
    wrong.extend(strays(folder.path(), &sleep).iter().map(|stray| format!("left behind: {stray}")));
    let name = path.file_name().unwrap().display();
    wrong.iter().map(|words| format!("{name} at {uri}: {words}\n{said}")).collect()
}

/// The processes of any machine and container here whose environment names a run of this folder, and those that hide
/// behind an empty one but sleep for as long as nobody else does.
fn strays(folder: &Path, sleep: &str) -> Vec<String> {
    let began = Instant::now();
    loop {
        let found = processes(folder, sleep);
        // The far end tidies up after itself for a moment.
        if found.is_empty() || began.elapsed() > Duration::from_secs(2) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn processes(folder: &Path, sleep: &str) -> Vec<String> {
    // No run where the scenario was refused.
    let runs = std::fs::read_dir(folder.join(".mstream/runs")).into_iter().flatten();
    let runs: Vec<String> = runs.map(|run| format!("MSTREAM_RUN={} ", run.unwrap().file_name().display())).collect();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let read = |pid: &str, file: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()).replace('\0', " ")
    };
    let ours = all.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())).filter(|pid| {
        let environment = read(pid, "environ");
        runs.iter().any(|run| environment.contains(run)) || read(pid, "cmdline").contains(sleep)
    });
    ours.map(|pid| format!("{pid} {}", read(&pid, "cmdline"))).collect()
}

/// An interrupt runs the `finally` and a second one does not; either leaves nothing, however deaf the steps are.
fn interrupts_leave_nothing(uri: &str, program: &Program<'_>) {
    let text = "stream far\non far {\n  finally { $ echo cleaned }\n  \
                start deaf = shell \"trap '' TERM INT; setsid sleep 7110 & sleep 7110; :\"\n  \
                $ trap '' TERM INT; sleep 7110 & echo up; wait; sleep 7110\n}\n";
    for urgent in [false, true] {
        let sleep = own_sleep();
        let mut run = Run::by(
            program(),
            &text.replace(SLEEP, &sleep),
            &["--stream", &format!("far={uri}"), "--timeout-scale", "0.4"],
        );
        run.until("output", "up");
        run.signal("INT");
        if urgent {
            run.until("interrupted", "");
            run.signal("INT");
        }
        let ended = run.end();
        assert_eq!(ended.status.code(), Some(130), "{uri}: {:?}", ended.events);
        assert_eq!(ended.has("output", "cleaned"), !urgent, "{uri}: {:?}", ended.events);
        assert_eq!(strays(ended.folder.path(), &sleep), [""; 0], "{uri}: urgent: {urgent}");
    }
}

/// Files larger than the memory that there is go there and back.
fn files_stream_through(uri: &str, program: &Program<'_>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("test.ms"),
        "stream far\non far {\n  let base = shell \"printf %s $MSTREAM_TMP\"\n  put \"big\" to \"${{base}}/\"\n  \
         $ test $(wc -c <${{base}}/big) = 160000000\n  get \"${{base}}/big\" to \"big\"\n}\n",
    )
    .unwrap();
    std::fs::File::create(folder.path().join("big")).unwrap().set_len(160_000_000).unwrap();
    let within = program();
    let mut command = Command::new("prlimit");
    command.args(["--data=100000000", "--"]).arg(within.get_program()).args(within.get_args());
    command.envs(within.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = ends(command, folder.path(), &["exec", "test.ms", "--stream", &format!("far={uri}")]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{uri}: {said}");
}

/// So many values travel in one run, in steps of [`STEP`].
const VALUES: usize = 50_000;
const STEP: usize = 2_500;

/// So many runs make a hundred thousand values.
const ALL: usize = 2;

/// Random values reach these interpreters as they are.
fn values_arrive(uri: &str, program: &Program<'_>, interpreters: &[&str], runs: usize) {
    for run in 0..runs {
        let seed = u64::from(std::process::id()) << 20 | (uri.len() as u64) << 4 | run as u64 | 1;
        values_of(seed, uri, program, interpreters);
    }
}

fn values_of(seed: u64, uri: &str, program: &Program<'_>, interpreters: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let values: Vec<String> = (0..VALUES).map(|_| random.value()).collect();
    let mut text = String::from("stream far\non far {\n");
    for (number, some) in values.chunks(STEP).enumerate() {
        let holes: Vec<String> = some.iter().map(|value| format!("${{{{{}}}}}", literal(value))).collect();
        match interpreters[number % interpreters.len()] {
            "shell" => writeln!(text, "shell ```\n  printf '%s\\0' {}\n```", holes.join(" ")),
            "bash" => writeln!(text, "bash ```\n  printf '%s\\0' \"{}\"\n```", holes.join("\" \"")),
            _ => writeln!(
                text,
                "python ```\n  import sys\n  for value in [{}]:\n      sys.stdout.buffer.write(value.encode() + b'\\0')\n```",
                holes.join(", ")
            ),
        }
        .unwrap();
    }
    text.push_str("}\n");
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    let output =
        ends(program(), folder.path(), &["exec", "test.ms", "--stream", &format!("far={uri}"), "--format", "jsonl"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{uri}: {said:.2000}");
    let run = std::fs::read_dir(folder.path().join(".mstream/runs")).unwrap().next().unwrap().unwrap().path();
    let arrived = std::fs::read(run.join("output/far.out")).unwrap();
    let arrived: Vec<&[u8]> = arrived.split(|byte| *byte == 0).collect();
    for (sent, arrived) in values.iter().zip(&arrived) {
        assert!(sent.as_bytes() == *arrived, "{uri}: {sent:?} arrived as {:?}", String::from_utf8_lossy(arrived));
    }
    assert_eq!(arrived.len(), VALUES + 1, "{uri}");
}

/// What breaks careless quoting.
const PIECES: [&str; 40] = [
    "'",
    "\"",
    "\\",
    "\n",
    "\n\n",
    " ",
    "\t",
    "$(touch pwned)",
    "`touch pwned`",
    "${HOME}",
    "$x",
    "*",
    "?",
    "[a]",
    "~",
    "-n",
    "--",
    "%s",
    "EOF",
    "\nEOF\n",
    "$((1+1))",
    "#",
    ";",
    "&",
    "|",
    "<",
    ">",
    "{a,b}",
    "!",
    "=",
    "ß",
    "漢",
    "🦀",
    "\u{1}",
    "\u{1e}",
    "\u{7f}",
    "\r",
    "\u{1b}[31m",
    "\\0",
    "${{x}}",
];

/// Random values, the same ones for the same seed (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % bound
    }

    fn value(&mut self) -> String {
        let mut value = String::new();
        for _ in 0..self.below(8) {
            match self.below(4) {
                0 => value.push(char::from(b'a' + u8::try_from(self.below(26)).unwrap())),
                1 => value.extend(char::from_u32(u32::try_from(1 + self.below(0x2_FFFF)).unwrap())),
                _ => value.push_str(PIECES[self.below(PIECES.len())]),
            }
        }
        value
    }
}

/// A value as the language writes it.
fn literal(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        if letter == ' ' || letter.is_ascii_graphic() && !"\"\\${}`".contains(letter) {
            text.push(letter);
        } else {
            write!(text, "\\u{{{:x}}}", u32::from(letter)).unwrap();
        }
    }
    text.push('"');
    text
}

/// The interpreters that get values through holes.
const INTERPRETERS: [&str; 3] = ["shell", "bash", "python"];

#[test]
fn local_streams_conform() {
    conforms("local:", &mstream);
    values_arrive("local:", &mstream, &INTERPRETERS, ALL);
}

#[test]
fn ssh_streams_conform() {
    // All scenarios at once are more than a server takes in by itself, and each is a program of its own.
    let sshd = Sshd::start("MaxStartups 200");
    for user in ["tester", "basher", "boxer"] {
        conforms(&sshd.uri(user), &mstream);
    }
    values_arrive(&sshd.uri("tester"), &mstream, &INTERPRETERS, ALL);
    values_arrive(&sshd.uri("boxer"), &mstream, &INTERPRETERS, 1);
    assert_eq!(sshd.temporary_files(), [""; 0], "a folder of a stream is left");
}

#[test]
fn containers_conform() {
    let engine = Engine::get();
    let program = || engine.command(env!("CARGO_BIN_EXE_mstream"));
    engine.debian();
    conforms(&format!("docker://?image={DEBIAN}&pull=never"), &program);
    let uri = format!("docker://?image={HOST}&volumes={HOST_VOLUMES}&pull=never");
    values_arrive(&uri, &program, &INTERPRETERS, ALL);
    values_arrive(&format!("docker://?image={BUSYBOX}&pull=never"), &program, &["shell"], 1);
    assert_eq!(engine.says(&["ps", "-aq", "--filter", "label=dev.mstream.run", "--filter", "name=-far"]), "");
}

#[test]
fn containers_of_podman_conform() {
    let engine = Engine::podman();
    let program = || engine.command(env!("CARGO_BIN_EXE_mstream"));
    let uri = format!("docker://?image={HOST}&volumes={HOST_VOLUMES}&pull=never");
    conforms(&uri, &program);
    // A container with a command of its own is entered another way.
    for name in ["outputs.ms", "background.ms", "cleanup.ms"] {
        let path = Path::new("tests/conformance").join(name);
        assert_eq!(complaints(&path, &format!("{uri}&command=cat"), &program), [""; 0]);
    }
    assert_eq!(engine.says(&["ps", "-aq", "--filter", "label=dev.mstream.run"]), "");
}
