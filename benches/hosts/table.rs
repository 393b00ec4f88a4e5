//! What is said of each job as it is measured, and the table of all at the end.

use std::time::Duration;

use crate::measure::middle;

/// A row of the table, for one job.
#[derive(Debug)]
pub(crate) struct Row {
    job: String,
    limit: String,
    figures: Vec<String>,
    missed: Vec<String>,
    peers: Vec<String>,
}

/// All jobs that were measured.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Row {
    /// A job, and the limit that it is measured beside.
    pub(crate) fn new(job: impl Into<String>, limit: impl Into<String>) -> Self {
        let it =
            Self { job: job.into(), limit: limit.into(), figures: Vec::new(), missed: Vec::new(), peers: Vec::new() };
        println!("{}; limit: {}; load {}", it.job, it.limit, load());
        it
    }

    /// What mstream takes, in `unit`, where it may take `most`.
    pub(crate) fn goal(&mut self, what: &str, value: f64, most: f64, unit: &str) {
        let met = value <= most;
        let shown = format!("{what}{value:.2}{unit}");
        println!("  mstream: {shown}, at most {most}{unit}: {}", if met { "met" } else { "NOT MET" });
        if !met {
            self.missed.push(format!("{what}at most {most}{unit}"));
        }
        self.figures.push(shown);
    }

    /// What a neighbour takes: times the limit, or why it is not known.
    pub(crate) fn peer(&mut self, name: &str, ratio: Result<f64, String>, rest: &str) {
        match ratio {
            Ok(ratio) => {
                println!("  {name:<28} {ratio:>6.2}x{rest}");
                self.peers.push(format!("{name} {ratio:.1}x"));
            }
            Err(why) => {
                println!("  {name:<28} FAILS: {why}");
                self.peers.push(format!("{name} fails"));
            }
        }
    }
}

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        println!();
        self.0.push(row);
    }

    /// The table in Markdown.
    pub(crate) fn print(&self) {
        println!("| job | limit, in the same run | mstream | goals | neighbours |\n| --- | --- | --- | --- | --- |");
        for Row { job, limit, figures, missed, peers } in &self.0 {
            let goals = if missed.is_empty() { "met".to_owned() } else { format!("missed: {}", missed.join(", ")) };
            println!("| {job} | {limit} | {} | {goals} | {} |", figures.join(", "), peers.join(", "));
        }
    }
}

/// How many processes wanted to run in the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The median of the times, in words.
pub(crate) fn shown(times: &[Duration]) -> String {
    format!("{:.2} s", middle(times.iter().map(Duration::as_secs_f64).collect()))
}
