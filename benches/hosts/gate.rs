//! Start together: how far apart the streams start, as the run itself says, and by the clocks of the steps. Beside it,
//! what the machine can do: shells that wait for a line, and get it one right after the other.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::Lab;
use crate::measure::{mstream, write};
use crate::table::{Row, Table};

const RUNS: usize = 20;

/// Takes the time, and says it when all others have taken theirs: what is printed, and who ends, would hold them up.
fn mark(folder: &Path) -> String {
    format!("t=$EPOCHREALTIME; read -rt .5 <>{}/quiet || :; echo $t", folder.display())
}

pub(crate) fn measure(folder: &Path, table: &mut Table) {
    // Those who log in are other users.
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o711)).unwrap();
    let made = Command::new("mkfifo").args(["-m", "666"]).arg(folder.join("quiet")).status().unwrap();
    assert!(made.success(), "mkfifo");
    let waiting = format!("echo; read -r; {}", mark(folder));
    let held = || {
        let mut command = Command::new("bash");
        command.args(["-c", &waiting]);
        command
    };
    table.push(gate(folder, "100 local streams", "stream s[1..100] = local\n", &bare(100, held), 2.0));
    let lab = Lab::new(folder, 1);
    let ssh = format!("stream s[1..50] = ssh(host = \"{}\", config = \"config\")\n", lab.hosts[0]);
    let held = || {
        let mut command = Command::new("ssh");
        command.args(["-F", "config", &lab.hosts[0].to_string(), &format!("exec bash -c '{waiting}'")]);
        command.current_dir(folder);
        command
    };
    table.push(gate(folder, "50 ssh streams", &ssh, &bare(50, held), 5.0));
}

/// The 99th percentile of how far behind the first one so many of these commands start, in words.
fn bare(count: usize, held: impl Fn() -> Command) -> String {
    let mut behind = Vec::new();
    for _ in 0..5 {
        let start = |_| held().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut shells: Vec<_> = (0..count).map(start).collect();
        for shell in &mut shells {
            shell.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        }
        // The last one has said that it is there; now it reads.
        std::thread::sleep(Duration::from_millis(200));
        for shell in &mut shells {
            shell.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        }
        let stamps = shells.into_iter().map(|shell| shell.wait_with_output().unwrap().stdout);
        behind.extend(after_first(&stamps.map(|text| millis(&String::from_utf8(text).unwrap())).collect::<Vec<_>>()));
    }
    format!("`bash` that reads a line, all written in a loop, 99th percentile {:.2} ms", quantile(&mut behind, 99))
}

fn millis(text: &str) -> f64 {
    text.trim().parse::<f64>().unwrap() * 1e3
}

/// How much later than the first each is.
fn after_first(stamps: &[f64]) -> impl Iterator<Item = f64> {
    let first = stamps.iter().copied().fold(f64::INFINITY, f64::min);
    stamps.iter().map(move |stamp| stamp - first)
}

fn gate(folder: &Path, name: &str, streams: &str, limit: &str, most: f64) -> Row {
    let text = format!("{streams}on s {{ bash(synchronized = true) \"{}\" }}\n", mark(folder));
    write(folder, "gate.ms", &text);
    let mut row = Row::new(format!("start together: {name}, {RUNS} runs"), limit);
    let (mut said, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let output = mstream(folder, &["exec", "--format", "jsonl", "gate.ms"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut stamps = Vec::new();
        for event in events {
            match event["event"].as_str() {
                Some("gate_released") => said.push(event["skew"].as_f64().unwrap() * 1e3),
                Some("output") => stamps.push(millis(event["text"].as_str().unwrap())),
                Some(_) | None => {}
            }
        }
        seen.extend(after_first(&stamps));
    }
    assert_eq!(said.len(), RUNS, "a run did not say its skew");
    // The run says the skew of the last one.
    row.goal("by the run itself, median ", quantile(&mut said, 50), most, " ms");
    row.goal("99th percentile ", quantile(&mut said, 99), most, " ms");
    row.goal("by the steps' own clocks, 99th percentile ", quantile(&mut seen, 99), most, " ms");
    row
}

fn quantile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}
