//! What a run costs beside the limit and beside its neighbours, in one go: `cargo bench --bench jobs`.
//!
//! Every figure is a ratio to something measured in the same run on the same machine. Neighbours are installed before
//! the first run, by the package manager or, `just`, into `target/peers`; those that cannot be are named as missing,
//! not left out.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench is a program of its own: it prints, and measures by the clock on the wall"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use self::measure::{
    from_debian, installed, kib, line, middle, mstream, peak_memory, peak_of, ratio, timed, turns, write,
};

mod measure;

/// Where `just` is installed.
const JUST: &str = "target/peers/just";

/// A bench and its name.
type Bench = (&'static str, fn(&Path));

fn main() {
    // `cargo test --benches` asks for a quick pass.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("mstream-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let only = std::env::args().nth(1).filter(|word| !word.starts_with('-'));
    let all: [Bench; 5] =
        [("start", start_up), ("steps", steps), ("streams", streams), ("flood", flood), ("check", check)];
    if only.as_ref().is_none_or(|only| ["start", "steps", "streams"].contains(&only.as_str())) {
        neighbours();
    }
    for (name, bench) in all {
        if only.as_ref().is_none_or(|only| only == name) {
            bench(&folder);
            println!();
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Installs the neighbours that are missing.
fn neighbours() {
    from_debian(&["make", "ninja"], &["make", "ninja-build"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(JUST);
    if !installed("just") && !own_just().exists() {
        let _ = Command::new("cargo").args(["install", "-q", "--locked", "just", "--root"]).arg(root).status();
    }
}

/// The `just` that no package manager had.
fn own_just() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(JUST).join("bin/just")
}

/// How a neighbour is called, if it is there.
fn neighbour(name: &str) -> Option<Command> {
    let own = (name == "just" && own_just().exists()).then(|| Command::new(own_just()));
    own.or_else(|| installed(name).then(|| Command::new(name)))
}

/// `posix_spawn` and `waitpid` of `sh -c command`, nothing else: the limit of a new shell a step. It has no session of its
/// own, and prints where we print.
fn bare(command: &str, count: usize) {
    for _ in 0..count {
        assert!(Command::new("/bin/sh").args(["-c", command]).status().unwrap().success());
    }
}

/// Small commands beside `just`.
fn start_up(folder: &Path) {
    println!("start-up (median of 20), beside `just`");
    write(folder, "empty.ms", "scenario \"empty\"\n");
    write(folder, "justfile", "empty:\n");
    let ours = |words: &[&str]| timed(&mut mstream(folder, words));
    if neighbour("just").is_none() {
        println!("  just is not installed: no ratio");
        let taken = turns(20, 2, |at| ours([&["--version"][..], &["exec", "empty.ms"]][at]));
        line("mstream --version", taken[0], taken[0], "");
        line("mstream exec empty.ms", taken[1], taken[0], "");
        return;
    }
    let just = |word: &str| timed(neighbour("just").unwrap().arg(word).current_dir(folder));
    let taken = turns(20, 4, |at| match at {
        0 => just("--version"),
        1 => ours(&["--version"]),
        2 => just("empty"),
        _ => ours(&["exec", "empty.ms"]),
    });
    line("just --version", taken[0], taken[0], "");
    line("mstream --version", taken[1], taken[0], "");
    line("just empty", taken[2], taken[2], "");
    line("mstream exec empty.ms", taken[3], taken[2], "");
}

/// J1: 1,000 trivial steps one after the other: of something that the shell does itself, and of a program.
fn steps(folder: &Path) {
    const COUNT: usize = 1_000;
    // What each of them is to `make`, which else leaves the shell out of what it knows to do without one.
    for (command, to_make) in [(":", ": ;"), ("sleep 0", "sleep 0")] {
        println!(
            "J1: {COUNT} steps `{command}` one after the other (medians of 9), beside a bare posix_spawn loop of `sh -c {command}`"
        );
        write(
            folder,
            "steps.ms",
            &format!("stream a = local\non a {{\n{}}}\n", format!("  $ {command}\n").repeat(COUNT)),
        );
        write(folder, "steps.mk", &format!("all:\n{}", format!("\t@{to_make}\n").repeat(COUNT)));
        write(folder, "steps.just", &format!("all:\n{}", format!("  @{command}\n").repeat(COUNT)));
        let mut ninja = format!("rule r\n  command = {command}\n");
        for at in 0..COUNT {
            let _ = writeln!(ninja, "build o{at}: r {}", if at == 0 { String::new() } else { format!("o{}", at - 1) });
        }
        write(folder, "steps.ninja", &ninja);
        bare(command, 100);
        race(
            folder,
            9,
            "bare loop",
            || bare(command, COUNT),
            &[
                ("mstream", &["exec", "steps.ms"]),
                ("make", &["-s", "-f", "steps.mk"]),
                ("ninja", &["--quiet", "-j1", "-f", "steps.ninja"]),
                ("just", &["-f", "steps.just", "all"]),
            ],
        );
    }
}

/// The limit, mstream and its neighbours, in turns, so that all of them have the same load. Each ratio is the median of the
/// ratios of the rounds.
fn race(folder: &Path, runs: usize, name: &str, limit: impl Fn(), all: &[(&str, &[&str])]) {
    let there = |program: &str| if program == "mstream" { Some(mstream(folder, &[])) } else { neighbour(program) };
    let (all, missing): (Vec<_>, Vec<_>) = all.iter().partition(|(program, _)| there(program).is_some());
    let mut taken = vec![Vec::new(); all.len() + 1];
    for _ in 0..runs {
        let began = Instant::now();
        limit();
        taken[0].push(began.elapsed());
        for ((program, words), taken) in all.iter().zip(&mut taken[1..]) {
            taken.push(timed(there(program).unwrap().args(*words).current_dir(folder)));
        }
    }
    for (name, times) in [name].into_iter().chain(all.iter().map(|(program, _)| *program)).zip(&taken) {
        let wall = middle(times.iter().map(|time| time.as_secs_f64() * 1e3).collect());
        println!("  {name:<28} {wall:>9.1} ms   {:>5.2}x", ratio(times, &taken[0]));
    }
    for (program, _) in missing {
        println!("  {program:<28} is not installed");
    }
}

/// J4: 10,000 trivial steps in 100 streams with 2,000 meeting points.
fn streams(folder: &Path) {
    const STREAMS: usize = 100;
    const ROUNDS: usize = 20;
    println!("J4: 10,000 steps in 100 streams with 2,000 meeting points, beside two bare loops at once");
    // Each stream meets its neighbour in turn: 50 meetings a half round, 2,000 in all.
    let mut text = String::new();
    for at in 0..STREAMS {
        let _ = writeln!(text, "stream s{at} = local");
    }
    for at in 0..STREAMS {
        let _ = writeln!(text, "on s{at} {{");
        for round in 0..ROUNDS {
            let (left, right) = (at / 2, at.div_ceil(2) % (STREAMS / 2));
            let _ = writeln!(
                text,
                "  $ :\n  $ :\n  barrier e{round}_{left}\n  $ :\n  $ :\n  barrier o{round}_{right}\n  $ :"
            );
        }
        text.push_str("}\n");
    }
    write(folder, "streams.ms", &text);
    neighbours_of_streams(folder, STREAMS, ROUNDS);
    let half = 10_000 / 2;
    let two = || {
        std::thread::scope(|scope| {
            scope.spawn(|| bare(":", half));
            bare(":", half);
        });
    };
    race(
        folder,
        5,
        "two bare loops",
        two,
        &[
            ("mstream", &["exec", "streams.ms"]),
            ("ninja", &["--quiet", "-j2", "-f", "streams.ninja"]),
            ("make", &["-s", "-j2", "-f", "streams.mk"]),
        ],
    );
    println!("  mstream's peak: {:.1} MB", kib(peak_of(&mut mstream(folder, &["exec", "streams.ms"]))));
}

/// The same graph for `ninja` and `make`: a step that follows a meeting needs the steps before it of both parties.
fn neighbours_of_streams(folder: &Path, streams: usize, rounds: usize) {
    let mut ninja = String::from("rule r\n  command = :\n");
    let mut make =
        format!("all: {}\n", (0..streams).map(|at| format!("s{at}_{}", rounds * 5 - 1)).collect::<Vec<_>>().join(" "));
    for at in 0..streams {
        for step in 0..rounds * 5 {
            let needs = match (step, step % 5) {
                (0, _) => Vec::new(),
                (_, 2) => vec![at, at ^ 1],
                (_, 4) => vec![at, if at % 2 == 1 { (at + 1) % streams } else { (at + streams - 1) % streams }],
                _ => vec![at],
            };
            let needs: Vec<String> = needs.iter().map(|at| format!("s{at}_{}", step.saturating_sub(1))).collect();
            let _ = writeln!(ninja, "build s{at}_{step}: r {}", needs.join(" "));
            let _ = writeln!(make, "s{at}_{step}: {}\n\t@: ;", needs.join(" "));
        }
    }
    write(folder, "streams.ninja", &ninja);
    write(folder, "streams.mk", &make);
}

/// J6: one step that prints 1 GiB.
fn flood(folder: &Path) {
    println!("J6: one step prints 1 GiB of lines, beside `cat` through a pipe (median of 5)");
    let row = "the quick brown fox jumps over the lazy dog and runs away into the dark forest\n";
    let size = 1_usize << 30;
    write(folder, "row.txt", &row.repeat((16 << 20) / row.len()));
    let print = format!("i=0; while [ $i -lt {} ]; do cat row.txt; i=$((i+1)); done", size / (16 << 20));
    write(folder, "flood.ms", &format!("stream a = local\non a {{\n  $ {print}\n}}\n"));
    let step = format!("  shell(env = {{ TOKEN = secret(\"BENCH_TOKEN\") }}) \"{print}\"\n");
    write(folder, "secret.ms", &format!("stream a = local\non a {{\n{step}}}\n"));
    let sink = |command: &mut Command| {
        // Whoever reads takes it as fast as it comes, as a terminal or a log collector would at best.
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let mut buffer = vec![0_u8; 1 << 20];
        let (mut total, mut peak) = (0_u64, 0);
        let mut pipe = child.stderr.take().unwrap();
        while let Ok(count @ 1..) = std::io::Read::read(&mut pipe, &mut buffer) {
            total += count as u64;
            if total % 64 < 1 {
                peak = peak_memory(pid).max(peak);
            }
        }
        peak = peak_memory(pid).max(peak);
        assert!(child.wait().unwrap().success());
        (began.elapsed(), total, peak)
    };
    let through = format!("{{ {print}; }} | cat >&2");
    let mut peaks = [0; 2];
    let taken = turns(5, 3, |at| {
        let Some(at) = at.checked_sub(1) else {
            return sink(Command::new("sh").args(["-c", &through]).current_dir(folder)).0;
        };
        let scenario = ["flood.ms", "secret.ms"][at];
        let (wall, total, most) = sink(mstream(folder, &["exec", scenario]).env("BENCH_TOKEN", "kX93-mQ71-vT55"));
        assert!(total > size as u64);
        peaks[at] = peaks[at].max(most);
        wall
    });
    let (limit, plain, masked) = (taken[0], taken[1], taken[2]);
    line("cat through a pipe", limit, limit, "");
    line("mstream, with prefixes", plain, limit, &format!("   peak {:.1} MB", kib(peaks[0])));
    line("mstream, masking a secret", masked, limit, &format!("   peak {:.1} MB", kib(peaks[1])));
}

/// Parse and check: megabytes a second, and memory a step, from 1,000 to 1,000,000 steps.
fn check(folder: &Path) {
    println!("check: throughput and memory");
    write(folder, "empty.ms", "scenario \"empty\"\n");
    for count in [1_000_usize, 10_000, 100_000, 1_000_000] {
        let streams = 100;
        let mut text = String::new();
        for at in 0..streams {
            let _ = writeln!(text, "stream s{at} = local");
        }
        for at in 0..streams {
            let _ = writeln!(text, "on s{at} {{");
            for step in 0..count / streams {
                let _ = writeln!(text, "  $ make -C build/{at} check-{step}");
            }
            text.push_str("}\n");
        }
        let path = write(folder, "check.ms", &text);
        let wall = turns(3, 1, |_| timed(&mut mstream(folder, &["check", path.to_str().unwrap()])))[0];
        let base = peak_of(&mut mstream(folder, &["check", "empty.ms"]));
        let peak = peak_of(&mut mstream(folder, &["check", path.to_str().unwrap()]));
        let bytes = kib(peak.saturating_sub(base)) * 1024.0 * 1024.0;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let (size, steps) = (text.len() as f64, count as f64);
        println!(
            "  {count:>9} steps, {:>6.1} MB: {:>8.1} ms, {:>5.1} MB/s, {:>6.0} bytes a step",
            size / 1e6,
            wall.as_secs_f64() * 1e3,
            size / 1e6 / wall.as_secs_f64(),
            bytes / steps
        );
    }
}
