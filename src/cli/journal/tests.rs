//! A journal in a folder of its own, with disks that fail where a test says so.

#![expect(clippy::disallowed_methods, reason = "the tests look at what was written")]

use tokio::sync::mpsc::Receiver;

use super::*;
use crate::event::{Exit, Reason, Verdict};
use crate::report::jsonl::{Header, Printed};
use crate::report::story::Story;
use crate::resume;
use crate::syntax::Value;

const LIMIT: u64 = 100;

/// A run with a journal.
struct Kept {
    story: Story,
    journal: Journal,
    asked: Receiver<Ask>,
    folder: Folder,
    _root: tempfile::TempDir,
}

impl Kept {
    fn new(text: &str) -> Self {
        let story = Story::new(text);
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::make(root.path()).unwrap();
        let header = Header {
            run: Arc::clone(&folder.id),
            started: folder.began.to_string().into(),
            resumed: None,
            variant: None,
        };
        let lines = Jsonl::new(Arc::clone(&story.plan), Arc::clone(&story.sources), header, Printed::Size);
        let (asks, asked) = mpsc::channel(8);
        let journal = Journal::open(&folder, Arc::clone(&story.plan), lines, LIMIT, asks).unwrap();
        Self { story, journal, asked, folder, _root: root }
    }

    fn record(&mut self, event: Event) {
        self.journal.record(&Record { sequence: 0, at: std::time::Duration::ZERO, event });
    }

    fn prints(&mut self, stream: &str, step: &str, channel: Channel, text: &str) {
        let step = self.story.step(stream, step);
        self.record(Event::Output(step, channel, text.to_owned().into()));
    }

    fn ends(&mut self, stream: &str, step: &str, outcome: Outcome) {
        let step = self.story.step(stream, step);
        self.record(Event::StepEnded(step, outcome));
    }

    /// What stands in a file of the run's folder.
    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path.join(name)).unwrap()
    }

    /// The kinds of all records; the journal has to be sound to its last byte.
    fn kinds(&self) -> Vec<String> {
        let text = self.file("journal.jsonl");
        let extent = resume::read(text.as_bytes(), &mut |_, _| Ok(())).unwrap();
        assert_eq!((extent.records, extent.torn), (text.lines().count() as u64, 0));
        let kind =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_owned();
        text.lines().map(kind).collect()
    }

    /// The disk is full, or fails in another way.
    fn fails(&mut self, kind: io::ErrorKind, otherwise: Health) {
        self.journal.no_room(&self.folder.path.join("journal.jsonl"), &kind.into(), otherwise);
    }

    /// How often somebody was asked to stop the run.
    fn asks(&mut self) -> usize {
        std::iter::from_fn(|| self.asked.try_recv().ok()).count()
    }
}

#[test]
fn records_are_sealed_lines_and_output_and_values_stand_beside_them() {
    let mut it = Kept::new("web: $ serve; let probe $ ask\na b/c: $ load");
    it.record(Event::RunStarted);
    it.prints("web", "$ serve", Channel::Stdout, "one\n");
    it.prints("web", "$ serve", Channel::Stderr, "oh\n");
    it.prints("web", "$ serve", Channel::Stdout, "two");
    it.prints("a b/c", "$ load", Channel::Stdout, "three");
    let value = it.story.plan.values.ids().next().unwrap();
    it.record(Event::ValueMade(value, Some(Made::Value(Value::Int(7)))));
    it.record(Event::RunEnded(Verdict::default()));
    assert_eq!(it.file("output/web.out"), "one\ntwo");
    assert_eq!(it.file("output/web.err"), "oh\n");
    assert_eq!(it.file("output/a%20b%2Fc.out"), "three");
    let kept = resume::kept(it.file("values").as_bytes(), &it.story.plan);
    assert_eq!(kept.get(&value), Some(&Made::Value(Value::Int(7))));
    assert_eq!(it.kinds(), ["run_started", "output", "output", "output", "output", "value_made", "run_ended"]);
    assert!(it.journal.on_disk());
    assert_eq!(it.journal.end(), None);
    assert!(!it.folder.path.join("reserve").exists());
    assert_eq!(it.asks(), 0);
}

#[test]
fn results_must_come_to_the_disk_and_the_rest_may_wait() {
    let mut it = Kept::new("web: $ serve; barrier met\ndb: barrier met");
    let (web, serve, met) = (it.story.stream("web"), it.story.step("web", "$ serve"), it.story.barrier("met"));
    for (event, due) in [
        (Event::RunStarted, false),
        (Event::StepStarted(serve, 1), false),
        (Event::StepEnded(serve, Outcome::Passed), true),
        (Event::ProcessEnded(serve, Exit::Status(0)), true),
        (Event::BarrierReleased(met, web), true),
        (Event::RunEnded(Verdict::default()), true),
    ] {
        it.record(event.clone());
        assert_eq!(it.journal.due, due, "{event:?}");
        it.journal.settle();
        assert!(!it.journal.due);
    }
}

#[test]
fn beyond_its_limit_output_is_not_kept_until_the_step_has_ended() {
    let mut it = Kept::new("web: $ serve; $ more");
    for _ in 0..3 {
        it.prints("web", "$ serve", Channel::Stdout, &"x".repeat(40));
    }
    it.prints("web", "$ serve", Channel::Stderr, "y");
    assert_eq!(it.file("output/web.out").len(), 100);
    // Whoever told of the output has counted what is beyond.
    assert_eq!((it.journal.undeclared(), it.file("output/web.err").as_str()), (0, "y"));
    // The next try of a step, and the next step, have all of it again.
    let serve = it.story.step("web", "$ serve");
    let failed = Reason::Exit(Exit::Status(1));
    it.record(Event::StepRetried(serve, Outcome::Failed(failed), std::time::Duration::ZERO));
    it.prints("web", "$ serve", Channel::Stdout, &"x".repeat(40));
    it.ends("web", "$ serve", Outcome::Passed);
    it.prints("web", "$ more", Channel::Stdout, &"z".repeat(200));
    assert_eq!(it.file("output/web.out").len(), 240);
    assert_eq!(it.kinds().iter().filter(|kind| *kind == "output_cut").count(), 0);
}

#[test]
fn a_full_disk_gets_what_was_kept_free_for_results_alone() {
    let mut it = Kept::new("web: $ serve; $ more; $ rest; $ last\ndb: $ load");
    assert_eq!(it.folder.path.join("reserve").metadata().unwrap().len(), RESERVE as u64);
    it.prints("web", "$ serve", Channel::Stdout, "kept\n");
    // Half a line, which has to go.
    std::io::Write::write_all(&mut it.journal.records, b"{\"v\":1,").unwrap();
    it.fails(io::ErrorKind::StorageFull, Health::Dead);
    assert_eq!((it.journal.health, it.asks()), (Health::Reserve, 1));
    assert!(!it.folder.path.join("reserve").exists());
    it.prints("web", "$ serve", Channel::Stdout, "lost\n");
    it.prints("db", "$ load", Channel::Stdout, "lost too\n");
    assert_eq!(it.journal.undeclared(), 14);
    // What is lost is told before the step ends, and of no other step.
    it.ends("web", "$ serve", Outcome::Passed);
    assert_eq!(it.journal.undeclared(), 9);
    it.ends("web", "$ more", Outcome::Skipped);
    let rest = it.story.step("web", "$ rest");
    it.record(Event::StepStarted(rest, 1));
    it.record(Event::StepEnded(rest, Outcome::Failed(Reason::Exit(Exit::Status(1)))));
    it.record(Event::RunEnded(Verdict::default()));
    assert_eq!(it.kinds(), ["output", "output_cut", "step_ended", "step_ended", "output_cut", "run_ended"]);
    assert_eq!((it.file("output/web.out").as_str(), it.journal.undeclared()), ("kept\n", 0));
    // Nothing was kept free for a second time.
    it.fails(io::ErrorKind::StorageFull, Health::Dead);
    it.ends("web", "$ last", Outcome::Passed);
    assert_eq!((it.journal.health, it.kinds().len(), it.asks()), (Health::Dead, 6, 0));
    let words = it.journal.end().unwrap();
    assert!(words.starts_with("`.mstream/runs/") && words.contains("/journal.jsonl` cannot be written: "), "{words}");
}

#[test]
fn any_other_error_of_the_journal_is_final() {
    let mut it = Kept::new("web: $ serve");
    it.record(Event::RunStarted);
    it.journal.records = File::open("/dev/null").unwrap();
    it.ends("web", "$ serve", Outcome::Passed);
    assert_eq!((it.journal.health, it.asks()), (Health::Dead, 1));
    it.prints("web", "$ serve", Channel::Stdout, "lost");
    assert_eq!((it.kinds(), it.journal.undeclared()), (vec!["run_started".to_owned()], 4));
    assert!(!it.journal.on_disk() && it.journal.end().is_some());
}

#[test]
fn a_disk_that_is_full_again_at_once_ends_the_journal() {
    let mut it = Kept::new("web: $ serve");
    it.record(Event::RunStarted);
    it.journal.records = File::options().write(true).open("/dev/full").unwrap();
    it.ends("web", "$ serve", Outcome::Passed);
    assert_eq!((it.journal.health, it.asks()), (Health::Dead, 1));
    assert!(it.journal.end().unwrap().contains("No space left"));
}

#[test]
fn where_output_alone_cannot_be_kept_records_go_on_and_say_so() {
    let mut it = Kept::new("web: $ serve; $ more");
    // Somebody has put something there.
    std::fs::write(it.folder.path.join("output/web.out"), "theirs").unwrap();
    it.prints("web", "$ serve", Channel::Stdout, "lost");
    assert_eq!((it.journal.health, it.journal.undeclared(), it.asks()), (Health::Mute, 4, 1));
    it.prints("web", "$ serve", Channel::Stderr, "lost");
    it.ends("web", "$ serve", Outcome::Passed);
    let more = it.story.step("web", "$ more");
    it.record(Event::StepStarted(more, 1));
    assert_eq!(it.kinds(), ["output", "output", "output_cut", "output_cut", "step_ended", "step_started"]);
    assert_eq!((it.file("output/web.out").as_str(), it.journal.undeclared()), ("theirs", 0));
    assert!(!it.folder.path.join("output/web.err").exists());
}

#[test]
fn where_nothing_runs_nothing_is_kept_free() {
    let mut it = Kept::new("");
    assert!(!it.folder.path.join("reserve").exists());
    it.record(Event::RunStarted);
    assert_eq!((it.kinds(), it.journal.end()), (vec!["run_started".to_owned()], None));
}
