//! The same with real processes of this machine.

use std::path::Path;

use super::*;
use crate::backend::local::LocalBackend;
use crate::plan::Extra;

impl Story {
    /// On real streams of this machine, in that folder.
    fn local(mut self, folder: &Path) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test inherits what it was started with")]
        let env = std::env::vars_os().collect();
        self.backend = Arc::new(LocalBackend::new(env));
        self.home = Home { folder: folder.into(), tmp: folder.join("tmp"), files: folder.join("files"), ..self.home };
        self
    }
}

/// What was told, without times and in alphabetical order, as real streams answer when they like.
fn unordered(told: &str) -> String {
    let mut lines: Vec<&str> = told
        .lines()
        .map(|line| line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']))
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[tokio::test]
async fn a_real_run_of_local_streams() {
    let folder = tempfile::tempdir().unwrap();
    let text = "a: $ echo one; barrier x; $ no-such-command\n b: barrier x; $ pwd > here; finally; $ cat here";
    let told = Story::of(text).local(folder.path()).told().await;
    let told = unordered(&told.replace(&folder.path().display().to_string(), "HERE"));
    insta::assert_snapshot!(told, @r#"
    a: barrier x #1
    a: barrier x = Passed
    a: closed
    a: echo one #1
    a: echo one = Passed
    a: echo one Stdout "one\n"
    a: no-such-command #1
    a: no-such-command = Status(127)
    a: no-such-command Stderr "story.ms: 1: no-such-command: not found\n"
    a: open as 127.0.0.1
    a: opening
    b: barrier x #1
    b: barrier x = Passed
    b: barrier x waits
    b: cat here #1
    b: cat here = Passed
    b: cat here Stdout "HERE\n"
    b: closed
    b: finally
    b: open as 127.0.0.1
    b: opening
    b: pwd > here #1
    b: pwd > here = Passed
    barrier x: released by a
    end 1
    exit 1
    run
    "#);
    let left: Vec<_> = Path::read_dir(&folder.path().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn real_processes_start_as_one_and_their_files_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let text = "a: $ sleep 0.2 && echo made > new; $ sleep 0.05; $ 1\n b: $ sleep 0.06; $ 2";
    let mut story = Story::of(text).together(&["sleep 0.05", "sleep 0.06"]).local(folder.path());
    let (from, to) = ("new", "back/");
    let constant = |text: &str| Expr::Constant(Value::Text(text.into()));
    for (code, kind, from, to) in [("1", StepKind::Get, from, to), ("2", StepKind::Put, "none", "x")] {
        let (step, _) = story.step(code);
        let paths = Some((constant(from), constant(to)));
        (story.plan.steps[step].kind, story.plan.steps[step].extra) =
            (kind, Some(Box::new(Extra { paths, ..Extra::default() })));
    }
    let told = story.told().await.replace(&folder.path().display().to_string(), "HERE");
    let skew = told.lines().find_map(|line| line.split_once("released within ")).unwrap().1;
    let told = unordered(&told.replace(skew, "SKEW"));
    insta::assert_snapshot!(told, @r#"
    a: closed
    a: get "new" to "back/" #1
    a: get "new" to "back/" = Passed
    a: open as 127.0.0.1
    a: opening
    a: sleep 0.05 #1
    a: sleep 0.05 = Passed
    a: sleep 0.05 is ready
    a: sleep 0.05 is released
    a: sleep 0.2 && echo made > new #1
    a: sleep 0.2 && echo made > new = Passed
    b: closed
    b: open as 127.0.0.1
    b: opening
    b: put "none" to "x" #1
    b: put "none" to "x" = Error("cannot read HERE/none: No such file or directory")
    b: sleep 0.06 #1
    b: sleep 0.06 = Passed
    b: sleep 0.06 is ready
    b: sleep 0.06 is released
    b: sleep 0.06 waits
    end 1
    exit 1
    run
    start together: released by a
    start together: released within SKEW
    "#);
    assert!(skew.ends_with("µs") || skew.ends_with("ms"), "{skew}");
    assert!(folder.path().join("files/a/back/new").is_file());
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let story = Story::of("a: $ setsid sleep 1020 & echo $! > pid && wait").local(folder.path());
    let pid = async {
        loop {
            let mut text = String::new();
            let read = std::fs::File::open(folder.path().join("pid"));
            if read.and_then(|mut file| std::io::Read::read_to_string(&mut file, &mut text)).is_ok()
                && text.ends_with('\n')
            {
                break text.trim().to_owned();
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    let pid = tokio::select! {
        told = story.told() => panic!("{told}"),
        pid = pid => pid,
    };
    let process = Path::new("/proc").join(pid).join("exe");
    for _ in 0..500 {
        // What a zombie executed can no longer be read.
        if process.read_link().is_err() {
            return;
        }
        sleep(Duration::from_millis(2)).await;
    }
    panic!("it lives");
}
