use proptest::prelude::*;

use super::*;

const STDOUT: (StepId, Channel) = (StepId(0), Channel::Stdout);

fn masker(secrets: &[&str]) -> Masker {
    Masker::new(&secrets.iter().map(|it| (Arc::from(*it), Value::Text(Arc::from(*it)))).collect())
}

/// What is shown of chunks that come one after the other.
fn shown(masker: &mut Masker, chunks: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&masker.chunk(STDOUT.0, STDOUT.1, Bytes::copy_from_slice(chunk)));
    }
    out.extend(masker.rest(STDOUT.0, STDOUT.1).into_iter().flatten());
    out
}

#[track_caller]
fn check(secrets: &[&str], chunks: &[&str], expected: &str) {
    let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
    assert_eq!(String::from_utf8(shown(&mut masker(secrets), &chunks)).unwrap(), expected);
}

#[test]
fn secrets_are_masked_whole_and_over_borders() {
    let all = ["hunter-2", "hunter-2-long"];
    check(&all, &["a hunter-2-long b hunter-2 c"], "a *** b *** c");
    check(&all, &["a hun", "ter", "-2", "-lo", "ng b"], "a *** b");
    check(&all, &["hunt", "ing"], "hunting");
    check(&[], &["anything"], "anything");
}

#[test]
fn secrets_that_overlap_are_masked_as_one() {
    check(&["abcdef", "defghi"], &["xabcdefghix"], "x***x");
    check(&["abcdef", "defghi"], &["xabcde", "fgh", "ix"], "x***x");
    check(&["abcdef", "defghi"], &["xabcdef", "ghx"], "x***ghx");
    check(&["abcdef"], &["abcdefabcdef"], "******");
}

#[test]
fn what_may_still_become_a_secret_is_bounded() {
    let mut it = masker(&["aaaaaa"]);
    let mut out = Vec::new();
    for _ in 0..1000 {
        out.extend_from_slice(&it.chunk(STDOUT.0, STDOUT.1, Bytes::from_static(&[b'a'; 1000])));
        assert!(it.held.values().all(|held| held.text.len() <= 20));
    }
    out.extend(it.rest(STDOUT.0, STDOUT.1).into_iter().flatten());
    assert_eq!(out, b"***");
}

#[test]
fn short_secrets_mask_nothing() {
    check(&["12345", "a", ""], &["12345 a\n"], "12345 a\n");
}

#[test]
fn steps_and_channels_are_apart() {
    let mut it = masker(&["secret-word"]);
    let mut tell = |step: u32, channel, text: &'static str| it.chunk(StepId(step), channel, Bytes::from(text));
    assert_eq!(tell(0, Channel::Stdout, "secret-"), "");
    assert_eq!(tell(0, Channel::Stderr, "word"), "word");
    assert_eq!(tell(1, Channel::Stdout, "word"), "word");
    assert_eq!(tell(0, Channel::Stdout, "word"), "***");
}

#[test]
fn what_is_said_of_steps_and_streams_is_masked() {
    let it = masker(&["secret-word"]);
    let (said, masked): ([Arc<str>; 2], [Arc<str>; 2]) =
        (["the secret-word".into(), "nothing".into()], ["the ***".into(), "nothing".into()]);
    let stream = crate::scenario::StreamId(0);
    let all = |words: &[Arc<str>; 2]| {
        let [a, b] = words.clone();
        let leak = vec![Leak { pid: 1, command: a.clone() }, Leak { pid: 2, command: b.clone() }];
        let unmet = Reason::Unmet(vec![a.as_ref().to_owned(), b.as_ref().to_owned()]);
        let mut events = vec![
            Event::StreamOpened(stream, a.clone()),
            Event::StreamFailed(stream, Fault::Unreachable(a.clone())),
            Event::StreamFailed(stream, Fault::Lost(a.clone())),
            Event::StreamClosed(stream, leak.clone()),
            Event::StepLeaked(StepId(0), leak),
            Event::ProcessEnded(StepId(0), Exit::Lost(a.clone())),
            Event::ProcessEnded(StepId(0), Exit::Status(3)),
            Event::JournalFailed(a.clone()),
            Event::StepTaken(StepId(0), Outcome::Lost(a.clone())),
        ];
        for outcome in [
            Outcome::Failed(unmet),
            Outcome::Failed(Reason::Error(a.clone())),
            Outcome::Failed(Reason::Background(StepId(1), a.clone())),
            Outcome::Failed(Reason::Exit(Exit::NotStarted(a.clone()))),
            Outcome::Failed(Reason::Exit(Exit::Refused(a.clone()))),
            Outcome::Unreachable(a.clone()),
            Outcome::Lost(a),
            Outcome::Passed,
        ] {
            events.push(Event::StepRetried(StepId(0), outcome.clone(), std::time::Duration::ZERO));
            events.push(Event::StepEnded(StepId(0), outcome));
        }
        events
    };
    let events: Vec<Event> = all(&said).into_iter().map(|event| it.event(event)).collect();
    assert_eq!(events, all(&masked));
}

#[test]
fn a_value_with_a_secret_in_it_is_not_written_down() {
    let it = masker(&["secret-word", "123"]);
    let made = |value: Value| it.event(Event::ValueMade(crate::plan::ValueId(0), Some(Made::Value(value))));
    let kept = |value: Value| matches!(made(value), Event::ValueMade(_, Some(_)));
    let text = |text: &str| Value::Text(text.into());
    assert!(kept(text("word")) && kept(Value::Int(12)));
    assert!(!kept(text("a secret-word")) && !kept(text("c2VjcmV0LXdvcmQ=")), "no form of it");
    assert!(!kept(Value::Int(1234)), "one that is too short to be masked is not written down either");
    assert!(!kept(Value::List([text("a"), text("x secret-word")].into())));
    let of = |key: &str, value: &str| Value::Map(Arc::new(IndexMap::from([(Arc::from(key), text(value))])));
    assert!(!kept(of("secret-word", "")) && !kept(of("a", "secret-word")) && kept(of("a", "b")));
    let output = |stdout, stderr| Made::Output { stdout, stderr, exit: Some(0), duration: std::time::Duration::ZERO };
    for (stdout, stderr, is) in [("secret-word", "", false), ("", "secret-word", false), ("a", "b", true)] {
        let event = it.event(Event::ValueMade(crate::plan::ValueId(0), Some(output(text(stdout), text(stderr)))));
        assert_eq!(matches!(event, Event::ValueMade(_, Some(_))), is);
    }
}

/// Secrets with everything that some form treats in its own way.
fn secret() -> impl Strategy<Value = String> {
    "[ -~]{6,40}|[a-c]{6,8}|[aé日😀'\"\\\\$/+=&<>%]{6,20}|([a-zA-Z+/]{0,30}\n){2,5}[a-zA-Z]{6,9}"
}

proptest! {
    #[test]
    fn no_split_changes_what_is_shown(
        secrets in prop::collection::vec("[a-c]{6,9}", 1..3),
        text in "[a-c]{0,60}",
        cuts in prop::collection::vec(0_usize..60, 0..6),
    ) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let whole = shown(&mut masker(&secrets), &[text.as_bytes()]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
        prop_assert_eq!(shown(&mut masker(&secrets), &chunks), whole);
    }

    #[test]
    fn what_holds_no_form_is_shown_as_it_is(secret in "[a-z0-9]{6,30}", text in "[A-Z \n]{0,60}") {
        // Forms of small letters and digits have small letters or digits in them, base64 of six and more as well.
        let shows = shown(&mut masker(&[&secret]), &[text.as_bytes()]);
        prop_assert!(shows == text.as_bytes() || forms::forms(secret.as_bytes()).iter().any(|form| memchr::memmem::find(text.as_bytes(), form).is_some()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn no_form_of_a_secret_is_shown(
        secret in secret(),
        before in "[ -~]{0,9}",
        cuts in prop::collection::vec(0_usize..200, 1..6),
    ) {
        let mut it = masker(&[&secret]);
        let forms = forms::forms(secret.as_bytes());
        let any = AhoCorasick::new(&forms).unwrap();
        for form in &forms {
            let text = [before.as_bytes(), form, b"\n"].concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut % text.len()).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let shown = shown(&mut it, &chunks);
            prop_assert!(!any.is_match(&shown), "{}", String::from_utf8_lossy(&shown));
            prop_assert!(shown.ends_with(b"***\n"), "{}", String::from_utf8_lossy(&shown));
        }
    }
}
