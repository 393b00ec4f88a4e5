//! Start together: how far apart the streams start, as the run itself says, and by the clocks of the steps.

use std::path::Path;

use crate::lab::Lab;
use crate::measure::{mstream, write};
use crate::table::{Row, Table};

const RUNS: usize = 20;

pub(crate) fn measure(folder: &Path, table: &mut Table) {
    gate(folder, "100 local streams", "stream s[1..100] = local\n", 2.0, table);
    let lab = Lab::new(folder, 1);
    let ssh = format!("stream s[1..50] = ssh(host = \"{}\", config = \"config\")\n", lab.hosts[0]);
    gate(folder, "50 ssh streams", &ssh, 5.0, table);
}

fn gate(folder: &Path, name: &str, streams: &str, most: f64, table: &mut Table) {
    let text = format!("{streams}on s {{ bash(synchronized = true) \"echo $EPOCHREALTIME\" }}\n");
    write(folder, "gate.ms", &text);
    let mut row = Row::new(format!("start together: {name}, {RUNS} runs"), "no skew");
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
                Some("output") => stamps.push(event["text"].as_str().unwrap().trim().parse::<f64>().unwrap() * 1e3),
                Some(_) | None => {}
            }
        }
        let first = stamps.iter().copied().fold(f64::INFINITY, f64::min);
        seen.extend(stamps.iter().map(|stamp| stamp - first));
    }
    assert_eq!(said.len(), RUNS, "a run did not say its skew");
    // The run says the skew of the last one.
    row.goal("by the run itself, median ", quantile(&mut said, 50), most, " ms");
    row.goal("99th percentile ", quantile(&mut said, 99), most, " ms");
    row.goal("by the steps' own clocks, 99th percentile ", quantile(&mut seen, 99), most, " ms");
    table.push(row);
}

fn quantile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}
