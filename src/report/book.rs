//! The examples of `spec/reports.md` are what the reports write.

use std::sync::Arc;
use std::time::Duration;

use super::Style;
use super::live::{Live, Size};
use super::plain::Plain;
use super::story::Story;
use super::summary::Summary;
use crate::event::{Event, Verdict};

const PAGE: &str = include_str!("../../spec/reports.md");

/// What stands on the page in the block of that kind.
fn block(kind: &str) -> &'static str {
    let (_, after) = PAGE.split_once(&format!("\n```{kind}\n")).expect("a block of that kind");
    after.split_once("```\n").expect("its end").0
}

fn run() -> Story {
    let verdict = Verdict { failed: true, ..Verdict::default() };
    Story::new(block("text"))
        .tell(
            "0 web: starts / $ serve
             0 db: starts / $ load
             1 cache: waits / barrier loaded
             5 web: prints / $ serve / reading configuration
             1200 db: prints / $ load / 12 tables
             1201 db: passes / $ load
             1202 db: waits / barrier loaded
             2100 web: warns / $ serve / port 8080 is in use
             2101 web: fails / $ serve / 3
             2101 db: breaks / barrier loaded / web / $ serve
             2101 cache: breaks / barrier loaded / web / $ serve
             2101 web: skips / barrier loaded
             2101 cache: skips / $ warm
             2102 web: finally
             2102 web: starts / $ rm
             2110 web: passes / $ rm",
        )
        .at(2120, Event::RunEnded(verdict))
}

#[test]
fn lines() {
    let story = run();
    let mut plain = Plain::new(Arc::clone(&story.plan), Arc::clone(&story.sources), Style::default());
    let mut out = Vec::new();
    story.records.iter().for_each(|record| plain.record(record, &mut out));
    assert_eq!(String::from_utf8(out).unwrap(), block("plain"));
}

#[test]
fn live() {
    let mut story = run();
    story.records.truncate(7);
    story.records[6].at = Duration::from_secs(1);
    let mut live = Live::new(Arc::clone(&story.plan), Arc::clone(&story.sources), Style::default());
    story.records.iter().for_each(|record| live.record(record));
    let lines = live.lines(Duration::from_millis(41_500), Size { columns: 120, rows: 40 });
    assert_eq!(lines.join("\n") + "\n", block("live"));
}

#[test]
fn summary() {
    let story = run();
    let mut summary = Summary::new(Arc::clone(&story.plan), Arc::clone(&story.sources), Style::default());
    story.records.iter().for_each(|record| summary.record(record));
    assert_eq!(summary.render(), block("summary"));
}
