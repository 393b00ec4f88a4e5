//! What the benches measure with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The most memory that a command takes, in KiB. Its output is thrown away; it has to succeed.
pub(crate) fn peak_of(command: &mut Command) -> u64 {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak_memory(pid).max(peak);
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(status.success(), "{command:?}: {status}");
    peak
}

/// The same, timed to the end without looking in between.
pub(crate) fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    let wall = began.elapsed();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    wall
}

/// The most memory that a process has taken so far, in KiB, together with those of its children that are the same
/// program: mstream is two processes.
pub(crate) fn peak_memory(pid: u32) -> u64 {
    let read = |pid: &str, file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let name = read(&pid.to_string(), "comm");
    let children = read(&pid.to_string(), &format!("task/{pid}/children"));
    let same = children.split_whitespace().filter(|child| read(child, "comm") == name).map(str::to_owned);
    let peak = |pid: String| {
        let status = read(&pid, "status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    same.chain([pid.to_string()]).map(peak).sum()
}

/// The middle one.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of the ratios, round by round.
pub(crate) fn ratio(ours: &[Duration], theirs: &[Duration]) -> f64 {
    middle(ours.iter().zip(theirs).map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64()).collect())
}

/// The medians of several things that take turns, so that all of them have the same load.
pub(crate) fn turns(runs: usize, count: usize, mut run: impl FnMut(usize) -> Duration) -> Vec<Duration> {
    let mut taken = vec![Vec::new(); count];
    for _ in 0..runs {
        for (at, taken) in taken.iter_mut().enumerate() {
            taken.push(run(at));
        }
    }
    let seconds = |taken: &Vec<Duration>| taken.iter().map(Duration::as_secs_f64).collect();
    taken.iter().map(|taken| Duration::from_secs_f64(middle(seconds(taken)))).collect()
}

pub(crate) fn mstream(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mstream"));
    command.args(words).current_dir(folder);
    command
}

/// Installs packages of Debian, unless all of these programs are there; whether they are now.
pub(crate) fn from_debian(programs: &[&str], packages: &[&str]) -> bool {
    let complete = || programs.iter().all(|program| installed(program));
    if !complete() {
        let _ = Command::new("apt-get").args(["update", "-qq"]).status();
        let words = ["install", "-y", "-qq", "--no-install-recommends"];
        let _ = Command::new("apt-get").args(words).args(packages).stdout(Stdio::null()).status();
    }
    complete()
}

pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

pub(crate) fn line(name: &str, wall: Duration, limit: Duration, rest: &str) {
    println!(
        "  {name:<28} {:>9.1} ms   {:>5.2}x{rest}",
        wall.as_secs_f64() * 1e3,
        wall.as_secs_f64() / limit.as_secs_f64()
    );
}

#[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^52")]
pub(crate) fn kib(value: u64) -> f64 {
    value as f64 / 1024.0
}
