//! Real processes. Each test is a stream of its own; none leaves anything behind.

mod ends;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::backend::Told;
use crate::code::Command;
use crate::engine::{End, Stop};
use crate::event::{Channel, Exit};
use crate::plan::StepId;

/// A stream in a folder of its own.
struct Stream {
    root: TempDir,
    session: Arc<dyn Session>,
}

/// A step on its way.
struct Running {
    orders: watch::Sender<Orders>,
    told: mpsc::Receiver<(StepId, Told)>,
    task: JoinHandle<()>,
}

/// All that a step told, put together.
#[derive(Default, Debug)]
struct Heard {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    leaked: Vec<String>,
    cut: Vec<(Channel, u64)>,
    end: Option<End>,
}

impl Heard {
    fn exit(&self) -> Exit {
        self.end.as_ref().unwrap().exit.clone()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

impl Stream {
    async fn open() -> Self {
        let env = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name.into(), inherited(name)?)));
        Self::with(env.collect()).await
    }

    async fn with(env: Vec<(OsString, OsString)>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let place = Place {
            name: "web".into(),
            keys: Vec::new(),
            run: "r1".into(),
            folder: root.path().to_owned(),
            tmp: root.path().join("private/web"),
        };
        let session = LocalBackend::new(env).open(place).await.unwrap();
        Self { root, session }
    }

    fn start(&self, job: Job) -> Running {
        let (orders, listening) = watch::channel(Orders { stop: Stop::No, released: false });
        let (sender, told) = mpsc::channel(256);
        let life = self.session.run(job, listening, Voice::new(StepId(0), sender));
        #[expect(clippy::disallowed_methods, reason = "the test owns the task")]
        let task = tokio::spawn(life);
        Running { orders, told, task }
    }

    async fn run(&self, job: Job) -> Heard {
        self.start(job).end().await
    }

    async fn close(self) -> Vec<String> {
        let leaks = self.session.close(true).await;
        leaks.iter().map(|leak| leak.command.to_string()).collect()
    }
}

impl Running {
    async fn next(&mut self) -> Told {
        loop {
            let told = timeout(Duration::from_secs(10), self.told.recv()).await.expect("it tells something");
            let (_, told) = told.unwrap();
            if told != Told::Started {
                return told;
            }
        }
    }

    async fn end(&mut self) -> Heard {
        let mut heard = Heard::default();
        while heard.end.is_none() {
            match self.next().await {
                Told::Started | Told::Staged | Told::Released(_) => {}
                Told::Output(Channel::Stdout, bytes) => heard.stdout.extend_from_slice(&bytes),
                Told::Output(Channel::Stderr, bytes) => heard.stderr.extend_from_slice(&bytes),
                Told::Cut(channel, bytes) => heard.cut.push((channel, bytes)),
                Told::Leaked(leaks) => heard.leaked.extend(leaks.iter().map(|leak| leak.command.to_string())),
                Told::Ended(end) => heard.end = Some(end),
            }
        }
        heard
    }

    /// Waits until it has printed a whole line, and returns it.
    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let told = self.next().await;
            let Told::Output(_, bytes) = told else { panic!("{told:?} before a line") };
            line.extend_from_slice(&bytes);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    fn stop(&self, stop: Stop) {
        self.orders.send_modify(|orders| orders.stop = stop);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test inherits what it was started with")]
fn inherited(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn exec(argv: &[&str]) -> Job {
    let argv = argv.iter().map(|word| word.as_bytes().to_vec()).collect();
    let command = Command { argv, ..Command::default() };
    Job { step: StepId(0), command, dir: None, user: None, staged: false, watched: false, capture: false }
}

fn sh(code: &str) -> Job {
    exec(&["sh", "-c", code])
}

fn alive(pid: &str) -> bool {
    // A zombie lives no more, only its parent has not looked yet.
    let status = String::from_utf8(kin::content(&format!("/proc/{}/status", pid.trim()))).unwrap();
    !status.is_empty() && !status.contains("State:\tZ")
}

async fn dies(pid: &str) -> bool {
    let limit = Instant::now() + Duration::from_secs(2);
    while alive(pid) && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    !alive(pid)
}

#[tokio::test]
async fn tells_output_byte_for_byte_and_how_it_ended() {
    let stream = Stream::open().await;
    let heard = stream.run(sh(r"printf 'a\377\000b'; printf 'e\n' >&2; exit 3")).await;
    assert_eq!((heard.stdout.as_slice(), heard.stderr.as_slice()), (&b"a\xff\0b"[..], &b"e\n"[..]));
    assert_eq!(heard.exit(), Exit::Status(3));
    assert_eq!(stream.run(sh("kill -SEGV $$")).await.exit(), Exit::Signal(libc::SIGSEGV));
    assert_eq!(stream.run(exec(&["true"])).await.exit(), Exit::Status(0));
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn a_step_has_a_session_of_its_own_and_the_stream_s_surroundings() {
    let stream = Stream::open().await;
    let code = r"read -r stat < /proc/$$/stat; set -- ${stat##*) }; [ $$ = $3 ] && [ $$ = $4 ] && echo own
        cat; echo $MSTREAM_RUN $MSTREAM_STREAM; stat -c %a $MSTREAM_TMP; pwd; echo $A; ls /proc/self/fd | wc -l";
    let mut job = sh(code);
    job.command.env.push(("A".into(), b"x \n y".to_vec()));
    let heard = stream.run(job).await;
    let folder = stream.root.path().display();
    assert_eq!(heard.text(), format!("own\nr1 web\n700\n{folder}\nx y\n4\n"));
    let mut job = sh("pwd");
    job.dir = Some("private".into());
    assert_eq!(stream.run(job).await.text(), format!("{folder}/private\n"));
    let tmp = stream.root.path().join("private/web");
    assert!(tmp.is_dir());
    fs::DirBuilder::new().create(tmp.join("left")).unwrap();
    assert_eq!(stream.session.close(true).await, []);
    assert!(!tmp.exists());
}

#[tokio::test]
async fn what_is_missing_is_said_and_is_no_status() {
    let stream = Stream::with(vec![("PATH".into(), "/usr/bin:/bin".into())]).await;
    let not_started = |heard: Heard| match heard.exit() {
        Exit::NotStarted(words) => words.replace(&stream.root.path().display().to_string(), "HERE"),
        other @ (Exit::Status(_) | Exit::Signal(_) | Exit::OutOfMemory(_) | Exit::Refused(_) | Exit::Lost(_)) => {
            panic!("{other:?}")
        }
    };
    let mut elsewhere = sh("true");
    elsewhere.dir = Some("nowhere".into());
    fs::copy("/bin/true", stream.root.path().join("plain")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(stream.root.path().join("plain"), mode).unwrap();
    let said = [
        not_started(stream.run(exec(&["no-such-program"])).await),
        not_started(stream.run(elsewhere).await),
        not_started(stream.run(exec(&["./missing"])).await),
        not_started(stream.run(exec(&["./plain"])).await),
        not_started(stream.run(exec(&[])).await),
        not_started(stream.run(exec(&["echo", "a\0b"])).await),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    `no-such-program` was not found in PATH
    the folder HERE/nowhere cannot be used: No such file or directory (os error 2)
    `./missing` does not exist
    `./plain` may not be executed, or the folder HERE not entered
    there is no program to run: the argument list is empty
    an argument holds a NUL byte, which no process can be given
    ");
    assert_eq!(stream.run(sh("no-such-command 2>/dev/null")).await.exit(), Exit::Status(127));
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test makes the program")]
async fn what_cannot_be_started_plainly_is_given_to_the_shell() {
    let stream = Stream::open().await;
    let script = stream.root.path().join("script");
    fs::write(&script, "echo no first line: $1\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = script.display().to_string();
    for watched in [false, true] {
        let mut job = sh(&format!("{script} hello"));
        job.command.plain = vec![script.clone(), "hello".to_owned()];
        let heard = stream.run(Job { watched, ..job }).await;
        assert_eq!((heard.exit(), heard.text()), (Exit::Status(0), "no first line: hello\n"));
    }
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn stdin_and_script_are_read_to_their_ends() {
    let stream = Stream::open().await;
    let mut job = sh("wc -c; wc -c < /dev/fd/9");
    job.command.stdin = Some(vec![b'x'; 300_000]);
    job.command.script = Some(vec![b'y'; 500_000]);
    assert_eq!(stream.run(job).await.text(), "300000\n500000\n");
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn a_flood_is_carried_whole_in_bounded_memory() {
    let stream = Stream::open().await;
    let mut running = stream.start(sh("head -c 104857600 /dev/zero"));
    let (mut total, mut largest) = (0, 0);
    let end = loop {
        let told = running.next().await;
        let Told::Output(Channel::Stdout, bytes) = told else { break told };
        total += bytes.len();
        largest = largest.max(bytes.len());
    };
    assert_eq!(end, Told::Ended(End { exit: Exit::Status(0), captured: None }));
    // 256 pieces on their way at most, so a quarter of this number bounds the memory in MiB: 16.
    assert_eq!((total, largest <= 64 << 10), (100 << 20, true));
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn a_capture_is_kept_up_to_its_bound_and_the_rest_is_told() {
    let stream = Stream::open().await;
    let mut job = sh("head -c 17000000 /dev/zero; echo err >&2");
    job.capture = true;
    let heard = stream.run(job).await;
    let captured = heard.end.unwrap().captured.unwrap();
    assert_eq!((captured.stdout.len(), captured.stderr.as_slice()), (16 << 20, &b"err\n"[..]));
    assert_eq!(heard.cut, [(Channel::Stdout, 17_000_000 - (16 << 20))]);
    assert_eq!(heard.stdout.len(), 17_000_000);
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn a_held_process_runs_nothing_before_it_is_released() {
    let stream = Stream::open().await;
    let mark = stream.root.path().join("mark");
    let mut job = sh("read -r go <&8 || exit 125; exec 8<&-; echo > mark; echo done");
    job.staged = true;
    let mut running = stream.start(job);
    assert_eq!(running.next().await, Told::Staged);
    assert!(!mark.exists());
    running.orders.send_modify(|orders| orders.released = true);
    assert!(matches!(running.next().await, Told::Released(_)));
    assert_eq!((running.end().await.text(), mark.exists()), ("done\n", true));
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn a_held_process_that_is_told_to_end_runs_nothing() {
    let stream = Stream::open().await;
    let mut job = sh("read -r go <&8; echo ran");
    job.staged = true;
    let mut running = stream.start(job);
    assert_eq!(running.next().await, Told::Staged);
    running.stop(Stop::Gently(libc::SIGTERM));
    let heard = running.end().await;
    assert_eq!((heard.text(), heard.exit()), ("", Exit::Signal(libc::SIGTERM)));
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn another_user_runs_it_with_the_same_environment_and_descriptors() {
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/sbin/runuser").exists() {
        return;
    }
    let stream = Stream::open().await;
    let mut job = sh("id -un; echo $A; cat /dev/fd/9");
    job.user = Some("nobody".into());
    job.dir = Some("/".into());
    job.command.env.push(("A".into(), b"1".to_vec()));
    job.command.script = Some(b"script\n".to_vec());
    assert_eq!(stream.run(job).await.text(), "nobody\n1\nscript\n");
    assert_eq!(stream.close().await, [""; 0]);
}

#[tokio::test]
async fn files_go_both_ways_and_paths_start_in_the_folder() {
    let stream = Stream::open().await;
    let here = stream.root.path();
    stream.run(sh("echo 1 > a")).await;
    stream.session.put(here.join("a"), "new/".to_owned()).await.unwrap();
    stream.session.get("new/a".to_owned(), here.join("back")).await.unwrap();
    assert!(here.join("back").is_file());
    let exists = [stream.session.exists("new/a".to_owned()).await, stream.session.exists("b".to_owned()).await];
    assert_eq!(exists, [true, false]);
    assert_eq!(stream.close().await, [""; 0]);
}
