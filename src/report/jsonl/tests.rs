//! `spec/events.md` says what the code writes: every event, every field, every example.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::story::Story;
use super::*;
use crate::event::Made;
use crate::syntax::Value;

const SPEC: &str = include_str!("../../../spec/events.md");
const CODE: &str = include_str!("../../event.rs");

fn written(story: &Story) -> Vec<String> {
    let header = Header {
        run: "20261122-154501-k3f9".into(),
        started: "2026-11-22T15:45:01.250Z".into(),
        resumed: None,
        variant: None,
    };
    let jsonl = Jsonl::new(Arc::clone(&story.plan), Arc::clone(&story.sources), header, Printed::Whole);
    let mut out = Vec::new();
    story.records.iter().for_each(|record| jsonl.record(record, &mut out));
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

/// The one line that is no event.
fn unshown() -> String {
    let story = Story::new("web: $ serve");
    let header = Header {
        run: "20261122-154501-k3f9".into(),
        started: "2026-11-22T15:45:01.250Z".into(),
        resumed: None,
        variant: None,
    };
    let jsonl = Jsonl::new(Arc::clone(&story.plan), Arc::clone(&story.sources), header, Printed::Whole);
    let mut out = Vec::new();
    jsonl.unshown(Unshown { events: 312, bytes: 20_446_208 }, &mut out);
    String::from_utf8(out).unwrap().trim_end().to_owned()
}

/// Every event at least once, every outcome, every reason.
fn everything() -> Story {
    let story = Story::new(
        "web: $ serve --port 8080; barrier loaded; finally; $ clean\ndb: $ load; barrier loaded; let probe $ ask",
    );
    let (web, db) = (story.stream("web"), story.stream("db"));
    let (serve, load, meet) = (story.step("web", "$ serve"), story.step("db", "$ load"), story.step("db", "barrier"));
    let (loaded, clean) = (story.barrier("loaded"), story.step("web", "$ clean"));
    let probe = story.plan.values.ids().next().unwrap();
    let leak = || vec![Leak { pid: 4711, command: "sleep 1000".into() }];
    let exit = |exit| Outcome::Failed(Reason::Exit(exit));
    let unmet = vec!["probe.exit == 0".to_owned(), "probe.exit = 7".to_owned()];
    let events = [
        Event::RunStarted,
        Event::StreamOpening(web),
        Event::StreamOpened(web, "10.0.0.7".into()),
        Event::StreamFailed(db, Fault::Unreachable("connection refused".into())),
        Event::StreamFailed(db, Fault::Lost("the connection was closed".into())),
        Event::StepStarted(serve, 1),
        Event::StepWaiting(meet),
        Event::StepReady(serve),
        Event::StepReleased(serve),
        Event::Output(serve, Channel::Stdout, "listening on \"8080\"\n".into()),
        Event::Output(serve, Channel::Stderr, vec![0xff, 0xfe, b'\n'].into()),
        Event::OutputCut(serve, Channel::Stdout, 3_221_225_472),
        Event::StepLeaked(serve, leak()),
        Event::StepRetried(load, exit(Exit::Status(1)), Duration::from_secs(2)),
        Event::StepEnded(serve, Outcome::Passed),
        Event::StepEnded(load, exit(Exit::Status(3))),
        Event::StepEnded(load, exit(Exit::Signal(11))),
        Event::StepEnded(load, exit(Exit::NotStarted("python3 is not there".into()))),
        Event::StepEnded(load, exit(Exit::Lost("the connection was closed".into()))),
        Event::StepEnded(load, Outcome::Failed(Reason::Unmet(unmet))),
        Event::StepEnded(load, Outcome::Failed(Reason::Error("no such file".into()))),
        Event::StepEnded(clean, Outcome::Failed(Reason::Background(serve, "web died early".into()))),
        Event::StepEnded(load, Outcome::TimedOut(Duration::from_secs(5))),
        Event::StepEnded(load, Outcome::Unreachable("connection refused".into())),
        Event::StepEnded(load, Outcome::Lost("the connection was closed".into())),
        Event::StepEnded(meet, Outcome::Broken(Origin::Step(serve))),
        Event::StepEnded(meet, Outcome::Broken(Origin::Stream(web))),
        Event::StepEnded(load, Outcome::Cancelled(Cause::Interrupt)),
        Event::StepEnded(load, Outcome::Cancelled(Cause::RunTimeout)),
        Event::StepEnded(load, Outcome::Cancelled(Cause::Journal)),
        Event::StepEnded(load, Outcome::Cancelled(Cause::FailFast(Origin::Step(serve)))),
        Event::StepEnded(load, Outcome::Cancelled(Cause::Stream(Origin::Stream(db)))),
        Event::StepEnded(clean, Outcome::Skipped),
        Event::ValueMade(probe, Some(Made::Value(Value::Int(7)))),
        Event::ValueMade(probe, None),
        Event::StepTaken(load, Outcome::Passed),
        Event::ProcessEnded(serve, Exit::Signal(15)),
        Event::BarrierReleased(loaded, db),
        Event::BarrierBroken(loaded, Origin::Step(serve)),
        Event::GateReleased(loaded, Duration::from_micros(180)),
        Event::Interrupted(Urgency::Orderly),
        Event::Interrupted(Urgency::AtOnce),
        Event::RunTimedOut,
        Event::JournalFailed("`journal.jsonl` cannot be written: no space left on device".into()),
        Event::CleanupStarted(web),
        Event::StreamClosed(web, leak()),
        Event::RunEnded(Verdict { failed: true, ..Verdict::default() }),
        Event::StepEnded(load, exit(Exit::OutOfMemory(137))),
    ];
    (0..).step_by(123).zip(events).fold(story, |story, (millis, event)| story.at(millis, event))
}

/// The names of all variants of `Event` in the source, as the file has them.
fn variants() -> BTreeSet<String> {
    let body = CODE.split_once("pub enum Event {").unwrap().1.split_once("\n}").unwrap().0;
    let lines = body.lines().map(str::trim).filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    lines.map(|line| snake(line.split(|c: char| !c.is_alphanumeric()).next().unwrap())).collect()
}

fn snake(name: &str) -> String {
    name.char_indices().fold(String::new(), |mut out, (at, c)| {
        if at > 0 && c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        out
    })
}

/// The part of the chapter about one event.
fn section(name: &str) -> &'static str {
    let head = format!("\n## `{name}`\n");
    let (_, after) = SPEC.split_once(&*head).unwrap_or_else(|| panic!("spec/events.md has no section for `{name}`"));
    after.split_once("\n## ").map_or(after, |(section, _)| section)
}

#[test]
fn every_event_is_documented_with_all_its_fields_and_what_the_code_writes() {
    let mut named = BTreeSet::new();
    for line in written(&everything()) {
        let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        let name = json["event"].as_str().unwrap().to_owned();
        let section = section(&name);
        for field in json.keys().skip(4) {
            assert!(section.contains(&format!("| `{field}` |")), "`{field}` of `{name}` is not documented");
        }
        assert!(section.contains(&format!("\n{line}\n")), "the example of `{name}` should be\n{line}");
        named.insert(name);
    }
    assert_eq!(named, variants());
}

#[test]
fn nothing_is_documented_that_the_code_does_not_write() {
    let mut lines = written(&everything());
    lines.push(unshown());
    let examples = SPEC.lines().filter(|line| line.starts_with("{\"v\":"));
    // That of a sealed line is looked at where lines are sealed.
    let examples: Vec<&str> = examples.filter(|line| !line.contains("\"crc\"")).collect();
    assert_eq!(examples.iter().find(|example| !lines.iter().any(|line| line == *example)), None);
    let heads: BTreeSet<String> =
        SPEC.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`')).map(str::to_owned).collect();
    assert_eq!(heads, variants());
    assert!(SPEC.contains(&format!("\n{}\n", unshown())), "the line of what is not shown should be\n{}", unshown());
}
