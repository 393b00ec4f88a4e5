//! Background processes, gates, values and files.

use super::*;
use crate::code::{Dialect, Interpreter};
use crate::plan::{Extra, Field, Need, Produced};

#[tokio::test(start_paused = true)]
async fn a_background_process_is_ready_when_its_probe_says_so() {
    let port = Probe::Port(Expr::Constant(Value::Int(8080)));
    let story = Story::of("a: $ 250ms, listen 8080, forever; $ 1s, print used").start(
        "250ms, listen 8080, forever",
        Some(port),
        None,
    );
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
     250 a: start web is ready
     250 a: start web = Passed
     250 a: 1s, print used #1
    1250 a: 1s, print used Stdout "used\n"
    1250 a: 1s, print used = Passed
    1250 a: start web process = Signal(15)
    1250 a: closed
    1250 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_line_of_output_makes_it_ready() {
    let code = "print not yet, 1s, warn now listening, forever";
    let story = Story::of(&format!("a: $ {code}; $ print used")).start(code, Some(Probe::Output("^now".into())), None);
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
       0 a: start web Stdout "not yet\n"
    1000 a: start web Stderr "now listening\n"
    1000 a: start web is ready
    1000 a: start web = Passed
    1000 a: print used #1
    1000 a: print used Stdout "used\n"
    1000 a: print used = Passed
    1000 a: start web process = Signal(15)
    1000 a: closed
    1000 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_whether_it_lives_until_it_does_not() {
    let story =
        Story::of("a: $ 1s, forever; $ forever").start("1s, forever", None, Some("250ms, print unheard, exit 2"));
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
       0 a: start web is ready
       0 a: start web = Passed
       0 a: forever #1
     350 a: start web process = Signal(15)
     350 a: forever = Background(StepId(0), "the probe ended with status 2")
     350 a: closed
     350 end 1
    exit 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_no_answer() {
    let story = Story::of("a: $ 1s, forever; $ forever").start("1s, forever", None, Some("forever"));
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
       0 a: start web is ready
       0 a: start web = Passed
       0 a: forever #1
    10100 a: start web process = Signal(15)
    10100 a: forever = Background(StepId(0), "the probe took longer than 10s")
    10100 a: closed
    10100 end 1
    exit 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn one_that_dies_while_it_gets_ready_is_asked_no_more() {
    let file = Probe::File(Expr::Constant(Value::Text("/up".into())));
    let story = Story::of("a: $ 1s, exit 9; $ print never").start("1s, exit 9", Some(file), None);
    insta::assert_snapshot!(story.told().await, @"
       0 run
       0 a: opening
       0 a: open as a
       0 a: start web #1
    1000 a: start web = Status(9)
    1000 a: print never = Skipped
    1000 a: closed
    1000 end 1
    exit 1
    ");
}

#[tokio::test(start_paused = true)]
async fn a_prepared_process_goes_when_it_is_triggered() {
    let text = "a: $ print go, 1s; $ 2s; $ exit 0; $ exit 1";
    let story =
        Story::of(text).prepare("print go, 1s").becomes("exit 0", StepKind::Trigger).becomes("exit 1", StepKind::Join);
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: prepare web #1
       0 a: prepare web is ready
       0 a: prepare web = Passed
       0 a: 2s #1
    2000 a: 2s = Passed
    2000 a: trigger web #1
    2000 a: prepare web is released
    2000 a: trigger web = Passed
    2000 a: wait web #1
    2000 a: wait web waits
    2000 a: prepare web Stdout "go\n"
    3000 a: prepare web process = Status(0)
    3000 a: wait web = Passed
    3000 a: closed
    3000 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_gate_lets_all_go_as_one() {
    let text = "a: $ 1s, exit 0; $ print together a\n b: $ print together b";
    let story = Story::of(text).together(&["print together a", "print together b"]);
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 b: opening
       0 a: open as a
       0 b: open as b
       0 a: 1s, exit 0 #1
       0 b: print together b #1
       0 b: print together b is ready
       0 b: print together b waits
    1000 a: 1s, exit 0 = Passed
    1000 a: print together a #1
    1000 a: print together a is ready
    1000 start together: released by a
    1000 a: print together a is released
    1000 b: print together b is released
    1000 a: print together a Stdout "together a\n"
    1000 a: print together a = Passed
    1000 start together: released within 0ns
    1000 b: print together b Stdout "together b\n"
    1000 b: print together b = Passed
    1000 a: closed
    1000 b: closed
    1000 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_let_keeps_what_was_printed_and_another_stream_uses_it() {
    let mut story = Story::of("a: $ 1s, print 42\n b: $ print got");
    let (step, code) = story.step("1s, print 42");
    let (user, its_code) = story.step("print got");
    let value = story.plan.values.push(Produced { name: "x".into(), step, users: vec![user] });
    story.plan.steps[step].kind = StepKind::Capture(value, code);
    story.plan.steps[user].extra.get_or_insert_default().needs.push(Need::Value(value));
    let exec = Interpreter { name: "exec".into(), command: vec![], dialect: Dialect::Exec };
    story.plan.codes[its_code].interpreter = story.plan.interpreters.push(exec);
    story.plan.codes[its_code].holes =
        [Expr::Constant(Value::Text("print".into())), Expr::Value(value, Field::Whole)].into();
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 b: opening
       0 a: open as a
       0 b: open as b
       0 a: let x #1
       0 b: print got waits
    1000 a: let x Stdout "42\n"
    1000 x is made
    1000 a: let x = Passed
    1000 b: print got #1
    1000 b: print got Stdout "42\n"
    1000 b: print got = Passed
    1000 a: closed
    1000 b: closed
    1000 end 0
    exit 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn files_are_put_and_fetched_and_never_outside() {
    let mut story = Story::of("a: $ 1; $ 2; $ 3");
    let text = |text: &str| Expr::Constant(Value::Text(text.into()));
    let paths = [("conf", "/etc/conf"), ("/etc/conf", "back/"), ("/etc/conf", "../out")];
    for (index, (from, to)) in paths.into_iter().enumerate() {
        let step = StepId(u32::try_from(index).unwrap());
        story.plan.steps[step].kind = if index == 0 { StepKind::Put } else { StepKind::Get };
        story.plan.steps[step].extra =
            Some(Box::new(Extra { paths: Some((text(from), text(to))), ..Extra::default() }));
    }
    insta::assert_snapshot!(story.told().await, @r#"
       0 run
       0 a: opening
       0 a: open as a
       0 a: put "conf" to "/etc/conf" #1
       0 a: put "conf" to "/etc/conf" = Passed
       0 a: get "/etc/conf" to "back/" #1
       0 a: get "/etc/conf" to "back/" = Passed
       0 a: get "/etc/conf" to "../out" #1
       0 a: get "/etc/conf" to "../out" = Error("`../out` leads out of the folder of the run")
       0 a: closed
       0 end 1
    exit 1
    "#);
}
