//! What people see while a run goes on.

use unicode_width::UnicodeWidthStr as _;

use super::super::story::Story;
use super::*;
use crate::event::Urgency;

const WIDE: Size = Size { columns: 100, rows: 24 };

#[track_caller]
fn shown(story: &Story, seconds: u64, size: Size) -> Vec<String> {
    let mut live = Live::new(Arc::clone(&story.plan), Arc::clone(&story.sources), Style::default());
    story.records.iter().for_each(|record| live.record(record));
    live.lines(Duration::from_secs(seconds), size)
}

const READY: &str = "web: $ serve --port 8080; barrier ready; finally; $ clean
http: barrier ready; $ fetch
worker: $ mount; barrier ready";

#[test]
fn a_line_for_each_stream_at_work() {
    let story = Story::new(READY);
    assert_eq!(shown(&story, 0, WIDE), ["0 of 7 steps, 0us"]);
    let story = story.tell("0 web: opens\n 500 worker: opened / localhost");
    assert_eq!(shown(&story, 3, WIDE), ["web    opens  3.0s", "0 of 7 steps, 3.0s"]);
    let story = story.tell(
        "1000 web: starts / $ serve
         1000 worker: starts / $ mount
         1000 http: waits / barrier ready",
    );
    assert_eq!(
        shown(&story, 2, WIDE),
        [
            "web    $ serve --port 8080 · deploy.ms:1  1.0s",
            "http   waits at barrier ready 1.0s: 2 of 3 missing, web in step $ serve --port 8080 (line 1)",
            "worker $ mount · deploy.ms:3  1.0s",
            "0 of 7 steps, 2.0s"
        ]
    );
    let story = story.tell("1500 web: passes / $ serve\n 1500 web: waits / barrier ready");
    assert_eq!(
        shown(&story, 42, WIDE),
        [
            "web    waits at barrier ready 40s: 1 of 3 missing, worker in step $ mount (line 3)",
            "http   waits at barrier ready 41s: 1 of 3 missing, worker in step $ mount (line 3)",
            "worker $ mount · deploy.ms:3  41s",
            "1 of 7 steps, 42s"
        ]
    );
}

#[test]
fn what_is_over_is_not_shown() {
    let story = Story::new(READY).tell(
        "0 web: starts / $ serve
         1 web: fails / $ serve / 1
         2 web: finally
         3 web: starts / $ clean",
    );
    assert_eq!(
        shown(&story, 1, WIDE),
        ["web    finally: $ clean · deploy.ms:1  997ms", "1 of 7 steps, 1 failed, 1.0s"]
    );
    let story = story.tell("4 web: passes / $ clean\n 5 web: closed").at(5, Event::Interrupted(Urgency::Orderly));
    assert_eq!(shown(&story, 1, WIDE), ["2 of 7 steps, 1 failed, stopping, 1.0s"]);
}

#[test]
fn waits_for_signals_name_who_signals() {
    let story =
        Story::new("db: $ up; signal ready\nweb: wait ready").tell("0 db: starts / $ up\n 0 web: waits / wait ready");
    assert_eq!(shown(&story, 5, WIDE)[1], "web waits for signal ready 5.0s: 1 of 1 missing, db in step $ up (line 1)");
}

#[test]
fn more_streams_than_rows_are_counted() {
    let text = (0..100).map(|n| format!("s{n}: $ x; barrier b\n")).collect::<Vec<_>>().concat();
    let begun = (0..100)
        .map(|n| format!("0 s{n}: {} / {}\n", ["starts", "waits"][n % 2], ["$ x", "barrier b"][n % 2]))
        .collect::<Vec<_>>()
        .concat();
    let story = Story::new(&text).tell(&begun);
    let lines = shown(&story, 1, Size { columns: 40, rows: 10 });
    assert_eq!(
        lines,
        [
            "s0  $ x · deploy.ms:1  1.0s",
            "s1  waits at barrier b 1.0s: 50 of 100 …",
            "s2  $ x · deploy.ms:3  1.0s",
            "and 97 more: 48 at work, 49 waiting",
            "0 of 200 steps, 1.0s"
        ]
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let story = Story::new(READY).tell("0 web: starts / $ serve\n 0 http: waits / barrier ready");
    for columns in 0..120 {
        for line in shown(&story, 1, Size { columns, rows: 24 }) {
            assert!(line.trim_end().width() <= columns, "{columns}: {line}");
        }
    }
}
