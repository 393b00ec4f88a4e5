//! What became of the variants of a scenario: one line each, and a count.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::verdict::headline;
use super::words;
use crate::diagnostic::visible;
use crate::event::Verdict;

/// One variant that ran.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its id.
    pub variant: Arc<str>,
    /// What it came to.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// The table. `of` is how many variants there are: some may not have run.
pub fn table(ran: &[Ran], of: usize) -> String {
    let rows: Vec<[String; 3]> = ran.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let mut out = String::from("\nvariants\n");
    for [verdict, took, variant] in &rows {
        let _ = writeln!(out, "  {verdict:first$}  {took:>second$}  {variant}");
    }
    out + &last_line(ran, of)
}

fn row(ran: &Ran) -> [String; 3] {
    [headline(ran.verdict).to_owned(), words::elapsed(ran.took), visible::text(&ran.variant)]
}

fn last_line(ran: &[Ran], of: usize) -> String {
    let passed = ran.iter().filter(|ran| ran.verdict.exit_code() == 0).count();
    let mut parts = vec![format!("{passed} passed")];
    let counts = [(ran.len() - passed, "did not"), (of - ran.len(), "not run")];
    parts.extend(counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{n} {words}")));
    format!("{}: {}\n", words::count(of, "variant", "variants"), parts.join(", "))
}
