//! The guard in real shells, over pipes instead of a network. Each test runs in dash, bash and busybox.
#![expect(clippy::disallowed_methods, reason = "tests make and read the files that travel")]

use std::future::Future;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use tempfile::TempDir;
use tokio::process::{Child, ChildStdin, Command as Process};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::backend::Told;
use crate::code::Command;
use crate::engine::{End, Stop};
use crate::event::{Channel, Exit};
use crate::plan::StepId;

/// The shells that a login or an image may have as `sh`.
const SHELLS: [&[&str]; 4] = [&["dash"], &["bash"], &["bash", "--posix"], &["busybox", "sh"]];

/// Starts a shell as a child; it ends with its line.
struct Pipes {
    shell: &'static [&'static str],
    home: PathBuf,
    children: Arc<Mutex<Vec<Child>>>,
    /// Set, nothing that is written arrives any more, and nobody learns of it.
    muffled: Arc<AtomicBool>,
}

/// A stdin that a dead network may lie before.
struct Muffled(ChildStdin, Arc<AtomicBool>);

impl AsyncWrite for Muffled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.1.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// What the login has in its environment, under names that a short script likes as well.
const LETTERS: [&str; 20] =
    ["N", "L", "C", "D", "M", "T", "W", "b", "d", "g", "h", "i", "l", "m", "n", "p", "q", "s", "t", "u"];

impl Transport for Pipes {
    fn dial(&self, command: &'static str) -> Task<Result<Line, String>> {
        // What `exec sh ...` would give to `sh`.
        let words = command.strip_prefix("exec sh").unwrap().trim();
        let mut process = Process::new(self.shell[0]);
        process.args(&self.shell[1..]).current_dir(&self.home).envs(LETTERS.map(|name| (name, name)));
        if let Some(text) = words.strip_prefix("-c '").and_then(|text| text.strip_suffix('\'')) {
            process.args(["-c", text]);
        }
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().unwrap();
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        self.children.lock().unwrap().push(child);
        let muffled = Arc::clone(&self.muffled);
        Box::pin(async move {
            Ok(Line {
                stdin: Box::new(Muffled(stdin.unwrap(), muffled)),
                stdout: Box::new(stdout.unwrap()),
                stderr: Box::new(stderr.unwrap()),
                end: Box::pin(async { None }),
            })
        })
    }
}

/// A stream in a folder of its own.
struct Stream {
    shell: String,
    root: TempDir,
    session: Arc<dyn Session>,
    children: Arc<Mutex<Vec<Child>>>,
    muffled: Arc<AtomicBool>,
}

/// A step on its way.
struct Running {
    orders: watch::Sender<Orders>,
    told: mpsc::Receiver<(StepId, Told)>,
    task: JoinHandle<()>,
}

/// All that a step told, put together.
#[derive(Default, Debug)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    leaked: Vec<String>,
    end: Option<End>,
}

impl Said {
    fn exit(&self) -> Exit {
        self.end.as_ref().unwrap().exit.clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Stream {
    async fn open(shell: &'static [&'static str], lease: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let place = Place {
            name: "web".into(),
            keys: Vec::new(),
            run: "r1".into(),
            folder: root.path().to_owned(),
            tmp: root.path().join("private/web"),
        };
        let children = Arc::default();
        let muffled = Arc::default();
        let (home, quiet) = (root.path().to_owned(), Arc::clone(&muffled));
        let pipes = Pipes { shell, home, children: Arc::clone(&children), muffled: quiet };
        let patience = Patience { connect: Duration::from_secs(20), lease: Duration::from_secs(lease) };
        let session = Far::open(Arc::new(pipes), place, patience).await.unwrap().reached_at("there".into());
        Self { shell: shell.join(" "), root, session, children, muffled }
    }

    fn start(&self, job: Job) -> Running {
        let (orders, listening) = watch::channel(Orders { stop: Stop::No, released: false });
        let (sender, told) = mpsc::channel(256);
        let life = self.session.run(job, listening, Voice::new(StepId(0), sender));
        let task = tokio::spawn(life);
        Running { orders, told, task }
    }

    async fn run(&self, job: Job) -> Said {
        self.start(job).end().await
    }

    async fn sh(&self, code: &str) -> Said {
        self.run(sh(code)).await
    }

    async fn close(self) -> Vec<String> {
        let leaks = self.session.close(true).await;
        let mut children = std::mem::take(&mut *self.children.lock().unwrap());
        drop(self.session);
        for child in &mut children {
            timeout(Duration::from_secs(10), child.wait()).await.expect("a guard ends with its line").unwrap();
        }
        leaks.iter().map(|leak| leak.command.to_string()).collect()
    }
}

impl Running {
    async fn next(&mut self) -> Told {
        timeout(Duration::from_secs(20), self.told.recv()).await.expect("it tells something").unwrap().1
    }

    async fn end(&mut self) -> Said {
        let mut said = Said::default();
        while said.end.is_none() {
            match self.next().await {
                Told::Started | Told::Staged | Told::Released(_) | Told::Cut(..) => {}
                Told::Output(Channel::Stdout, bytes) => said.stdout.extend_from_slice(&bytes),
                Told::Output(Channel::Stderr, bytes) => said.stderr.extend_from_slice(&bytes),
                Told::Leaked(leaks) => said.leaked.extend(leaks.iter().map(|leak| leak.command.to_string())),
                Told::Ended(end) => said.end = Some(end),
            }
        }
        (&mut self.task).await.unwrap();
        said
    }

    fn stop(&self, stop: Stop) {
        self.orders.send_modify(|orders| orders.stop = stop);
    }
}

fn job(argv: &[&[u8]]) -> Job {
    let argv = argv.iter().map(|word| word.to_vec()).collect();
    let command = Command { argv, ..Command::default() };
    Job { step: StepId(0), command, dir: None, user: None, staged: false, watched: false, capture: false }
}

fn sh(code: &str) -> Job {
    job(&[b"sh", b"-c", code.as_bytes()])
}

fn all_bytes() -> Vec<u8> {
    (1..=255).chain([b'\n', 0x81, 0x88, b'\\', b'\'', b'\n', b'\n']).collect()
}

/// The same in all shells, at once.
async fn in_every_shell<F: Future<Output = ()> + Send + 'static>(test: impl Fn(&'static [&'static str]) -> F) {
    let mut all = tokio::task::JoinSet::new();
    for shell in SHELLS {
        all.spawn(test(shell));
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
}

fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

fn words(output: &std::process::Output) -> Vec<String> {
    words_of(&String::from_utf8_lossy(&output.stdout)).collect()
}

#[tokio::test]
async fn how_a_job_ends_is_told_exactly() {
    in_every_shell(|shell| async move {
        let stream = Stream::open(shell, 30).await;
        for status in [0, 1, 127, 130, 137, 255] {
            let said = stream.sh(&format!("exit {status}")).await;
            assert_eq!(said.exit(), Exit::Status(status), "{}", stream.shell);
        }
        for signal in [1, 6, 9, 15] {
            let said = stream.sh(&format!("kill -{signal} $$")).await;
            assert_eq!(said.exit(), Exit::Signal(signal), "{}", stream.shell);
        }
        let missing = stream.run(job(&[b"no-such-program"])).await.exit();
        assert_eq!(missing, Exit::NotStarted("`no-such-program` was not found in PATH".into()), "{}", stream.shell);
        let nowhere = stream.run(Job { dir: Some("/no/where".into()), ..sh(":") }).await.exit();
        assert_eq!(nowhere, Exit::NotStarted("the folder /no/where cannot be used".into()), "{}", stream.shell);
        assert_eq!(stream.close().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn every_byte_arrives_as_it_is() {
    in_every_shell(|shell| async move {
        let stream = Stream::open(shell, 30).await;
        let value = all_bytes();
        let mut it = job(&[b"sh", b"-c", b"printf %s \"$V\"; printf %s \"$1\" >&2", b"x", &value]);
        it.command.env = vec![("V".into(), value.clone())];
        let said = stream.run(it).await;
        assert_eq!(said.stdout, value, "{}", stream.shell);
        assert_eq!(said.stderr, value, "{}", stream.shell);
        for length in [3, 5_000, 300_000] {
            let content: Vec<u8> = (0..=255).cycle().take(length).collect();
            let mut it = sh("cat; cat <&9 >&2");
            (it.command.stdin, it.command.script) = (Some(content.clone()), Some(content.clone()));
            let said = stream.run(it).await;
            assert!(said.stdout == content && said.stderr == content, "{}: {length} bytes", stream.shell);
        }
        assert_eq!(stream.close().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_job_finds_where_it_is_and_nothing_of_the_guard() {
    in_every_shell(|shell| async move {
        let stream = Stream::open(shell, 30).await;
        let said =
            stream.sh("echo $MSTREAM_RUN $MSTREAM_STREAM; pwd; ls -d $MSTREAM_TMP; cat; echo $_N$_L$_C$_D").await;
        let text = said.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["r1 web", stream.root.path().canonicalize().unwrap().to_str().unwrap()]);
        assert!(lines[2].contains("/mstream-") && lines[3].is_empty(), "{text}");
        // What this test has inherited itself is not meant.
        let own: Vec<String> =
            std::process::Command::new("sh").args(["-c", "ls /proc/$$/fd"]).output().map(|it| words(&it)).unwrap();
        let added =
            words_of(&stream.sh("ls /proc/$$/fd").await.text()).filter(|it| !own.contains(it)).collect::<Vec<_>>();
        assert_eq!(added, ["7"], "{}", stream.shell);
        let letters = LETTERS.concat();
        let said = stream.sh(&format!("echo ${{{}}}", LETTERS.join("}${"))).await;
        assert_eq!(said.text(), format!("{letters}\n"), "{}: the login's variables are its own", stream.shell);
        let folder = lines[2].to_owned();
        assert!(stream.session.exists(folder.clone()).await);
        assert_eq!(stream.close().await, [""; 0]);
        assert!(!std::path::Path::new(&folder).exists(), "{folder} stayed");
    })
    .await;
}

#[tokio::test]
async fn what_a_job_leaves_behind_is_named_and_killed() {
    in_every_shell(|shell| async move {
        let stream = Stream::open(shell, 30).await;
        for code in ["sleep 71 & echo done", "setsid sleep 71 & echo done", "sleep 71 >/dev/null 2>&1 7>&- & echo done"]
        {
            let said = stream.sh(code).await;
            assert_eq!((said.exit(), said.text().as_str()), (Exit::Status(0), "done\n"), "{}", stream.shell);
            assert_eq!(said.leaked, ["sleep 71"], "{}: {code}", stream.shell);
        }
        let said = stream.sh("setsid sleep 72 >/dev/null 2>&1 7>&- & sleep .1").await;
        assert_eq!(said.leaked, [""; 0], "{}", stream.shell);
        assert_eq!(stream.close().await, ["sleep 72"]);
    })
    .await;
}

#[tokio::test]
async fn a_stop_reaches_the_whole_tree() {
    in_every_shell(|shell| async move {
        let stream = Stream::open(shell, 30).await;
        let mut running = stream.start(Job { watched: true, ..sh("sleep 73 & trap 'echo told; kill $!; exit 3' INT; echo up; wait") });
        assert_eq!(running.next().await, Told::Started);
        assert_eq!(running.next().await, Told::Output(Channel::Stdout, "up\n".into()));
        running.stop(Stop::Gently(libc::SIGINT));
        let said = running.end().await;
        assert_eq!((said.exit(), said.text().as_str()), (Exit::Status(3), "told\n"), "{}", stream.shell);

        let deaf = "trap '' TERM; sh -c 'trap \"\" TERM; echo deaf; sleep 74; :' & setsid sh -c 'trap \"\" TERM; sleep 74; :' & sleep 74; wait";
        let mut running = stream.start(sh(deaf));
        assert_eq!(running.next().await, Told::Output(Channel::Stdout, "deaf\n".into()));
        running.stop(Stop::Gently(libc::SIGTERM));
        sleep(Duration::from_millis(200)).await;
        running.stop(Stop::Now);
        let before = Instant::now();
        assert_eq!(running.end().await.exit(), Exit::Signal(9), "{}", stream.shell);
        assert!(before.elapsed() < Duration::from_secs(3));
        assert_eq!(stream.close().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_held_job_starts_when_it_is_let_go() {
    in_every_shell(|shell| async move {
        let stream = Stream::open(shell, 30).await;
        let mut running = stream.start(Job { staged: true, ..sh("read -r x <&8; echo went") });
        assert_eq!(running.next().await, Told::Staged, "{}", stream.shell);
        running.orders.send_modify(|orders| orders.released = true);
        assert_eq!(running.end().await.text(), "went\n");
        assert_eq!(stream.close().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn jobs_run_beside_each_other_and_a_dropped_one_ends() {
    in_every_shell(|shell| async move {
        let stream = Stream::open(shell, 30).await;
        let mut waiting = stream.start(sh("sleep 75 & echo waits; wait"));
        assert_eq!(waiting.next().await, Told::Output(Channel::Stdout, "waits\n".into()));
        assert_eq!(stream.sh("echo beside").await.text(), "beside\n");
        waiting.task.abort();
        drop(waiting);
        sleep(Duration::from_millis(300)).await;
        assert_eq!(stream.sh("echo after").await.text(), "after\n");
        assert_eq!(stream.close().await, [""; 0], "{}", shell.join(" "));
    })
    .await;
}

#[tokio::test]
async fn questions_are_answered_while_a_job_runs() {
    in_every_shell(|shell| async move {
        let stream = Stream::open(shell, 30).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut running = stream.start(sh("sleep 76"));
        assert!(stream.session.listens(port).await, "{}", stream.shell);
        drop(listener);
        assert!(!stream.session.listens(port).await, "{}", stream.shell);
        assert!(!stream.session.exists("no such 'file'".to_owned()).await);
        running.stop(Stop::Now);
        assert_eq!(running.end().await.exit(), Exit::Signal(9));
        assert_eq!(stream.close().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn files_and_folders_travel_there_and_back() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    in_every_shell(|shell| async move {
        let stream = Stream::open(shell, 30).await;
        let here = tempfile::tempdir().unwrap();
        let from = here.path().join("from");
        let deep = from.join("a").join(std::ffi::OsStr::from_bytes(b"-od\xffd\nname"));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("f"), all_bytes()).unwrap();
        std::fs::set_permissions(deep.join("f"), std::fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("../nowhere", from.join("link")).unwrap();
        stream.session.put(from, "to/it".into()).await.unwrap();
        let back = here.path().join("back/");
        stream.session.get("to/it".into(), back.clone()).await.unwrap();
        let it = back.join("it");
        let file = it.join("a").join(std::ffi::OsStr::from_bytes(b"-od\xffd\nname")).join("f");
        assert_eq!(std::fs::read(&file).unwrap(), all_bytes(), "{}", stream.shell);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o750);
        assert_eq!(std::fs::read_link(it.join("link")).unwrap(), PathBuf::from("../nowhere"));
        let said = stream.session.get("none".into(), back).await.unwrap_err();
        assert_eq!(said, "none does not exist", "{}", stream.shell);
        let said = stream.session.put(file, "to/it".into()).await.unwrap_err();
        assert_eq!(said, "to/it is a folder: to copy into it, end it with `/`", "{}", stream.shell);
        assert_eq!(stream.close().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn nothing_outlives_a_lost_line_or_a_lease() {
    fn lives(root: &TempDir) -> bool {
        let pid = std::fs::read_to_string(root.path().join("pid")).unwrap();
        std::path::Path::new("/proc").join(pid.trim()).join("stat").exists()
    }
    in_every_shell(|shell| async move {
        // The line is cut: the session is dropped without a word.
        let stream = Stream::open(shell, 30).await;
        let mut running =
            stream.start(sh("trap '' TERM; echo $$ >pid; echo up; setsid sh -c 'trap \"\" TERM; sleep 77; :'"));
        assert_eq!(running.next().await, Told::Output(Channel::Stdout, "up\n".into()));
        assert!(lives(&stream.root));
        running.task.abort();
        let Stream { root, session, .. } = stream;
        drop(session);
        let before = Instant::now();
        while lives(&root) && before.elapsed() < Duration::from_secs(10) {
            sleep(Duration::from_millis(50)).await;
        }
        assert!(!lives(&root), "{shell:?}: lives on without a line");
        drop(root);

        // The network dies: the line stays, and nothing comes through.
        let stream = Stream::open(shell, 3).await;
        let mut running = stream.start(sh("trap '' TERM; echo $$ >pid; echo up; sleep 77; :"));
        assert_eq!(running.next().await, Told::Output(Channel::Stdout, "up\n".into()));
        sleep(Duration::from_millis(3500)).await;
        assert!(lives(&stream.root), "{shell:?}: signs of life keep it");
        stream.muffled.store(true, Ordering::Relaxed);
        let before = Instant::now();
        while lives(&stream.root) && before.elapsed() < Duration::from_secs(15) {
            sleep(Duration::from_millis(50)).await;
        }
        assert!(!lives(&stream.root), "{shell:?}: lives on without a sign of life");
        assert!(before.elapsed() > Duration::from_millis(1500), "{:?}: a lease is not that short", before.elapsed());
    })
    .await;
}
