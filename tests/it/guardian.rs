//! mstream killed: the process that runs a scenario, the one that watches over it, and both; and what is left then.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cases::mstream;
use crate::engine::{BUSYBOX, Engine};
use crate::watchdog::{Watchdog, children};

const MSTREAM: &str = env!("CARGO_BIN_EXE_mstream");

/// In a mount namespace where nobody sees control groups.
const MASKED: &str = "mount -t tmpfs none /sys/fs/cgroup; exec \"$@\"";
/// In one where nobody may make them.
const READ_ONLY: &str = "for at in $(awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts); do mount --bind $at $at; mount -o remount,bind,ro $at; done; exec \"$@\"";

/// A run of mstream, its TMPDIR in a folder of its own.
struct Watched {
    child: Child,
    _watchdog: Watchdog,
    folder: tempfile::TempDir,
}

impl Watched {
    fn start(text: &str) -> Self {
        Self::by(Command::new(MSTREAM), text)
    }

    /// The same after this preparation in a mount namespace of its own.
    fn prepared(preparation: &str, text: &str) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-eu", "-c", preparation, "sh", MSTREAM]);
        Self::by(command, text)
    }

    fn by(mut command: Command, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        std::fs::write(folder.path().join("test.ms"), text).unwrap();
        let file = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
        command.args(["exec", "test.ms"]).current_dir(folder.path()).env("TMPDIR", folder.path().join("tmp"));
        let child = command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err")).spawn().unwrap();
        let it = Self { _watchdog: Watchdog::over(&child), child, folder };
        // Not where the step is shown that is to say it.
        it.until("│ ready");
        it
    }

    /// Waits until the run has said this.
    fn until(&self, words: &str) {
        let heard = || self.said().contains(words);
        eventually(words, heard);
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("err")).unwrap()
    }

    fn guardian(&self) -> String {
        self.child.id().to_string()
    }

    fn coordinator(&self) -> String {
        children(&self.guardian()).pop().expect("the scenario runs")
    }

    /// The folder of the run: the first one.
    fn run(&self) -> PathBuf {
        let all = std::fs::read_dir(self.folder.path().join(".mstream/runs")).unwrap();
        all.map(|entry| entry.unwrap().path()).min().unwrap()
    }

    fn id(&self) -> String {
        self.run().file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn resources(&self) -> String {
        std::fs::read_to_string(self.run().join("resources")).unwrap()
    }

    /// The control group of the run; nothing where none was made.
    fn cgroup(&self) -> Option<PathBuf> {
        let resources = self.resources();
        let path = resources.split("\"cgroup\":\"").nth(1)?.split('"').next()?;
        Some(PathBuf::from(path)).filter(|path| path.exists())
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    fn clean(&self, words: &[&str]) -> Output {
        mstream(self.folder.path(), &[&["clean"], words].concat())
    }

    /// What was made for the run beside its folder, and is there.
    fn left(&self) -> Vec<String> {
        let tmp = std::fs::read_dir(self.folder.path().join("tmp")).unwrap();
        let folders =
            tmp.map(|entry| entry.unwrap().path()).filter(|path| path.display().to_string().contains(&self.id()));
        folders.chain(self.cgroup()).map(|path| path.display().to_string()).collect()
    }
}

/// A process of somebody else's, which ends with its test.
struct Stranger(Child);

impl Stranger {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill(signal: &str, pids: &[&str]) {
    assert!(Command::new("kill").args(["-s", signal]).args(pids).status().unwrap().success());
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "it did not come to that: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes whose command line has these words.
fn alive(words: &str) -> Vec<String> {
    let all = Command::new("ps").args(["-eo", "pid,stat,args"]).output().unwrap();
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    all.lines().filter(|line| line.contains(words) && !line.contains("ps -eo")).map(str::to_owned).collect()
}

/// A length of sleep that nobody else on this machine has.
fn length(number: u32) -> String {
    format!("8{number}{:07}", std::process::id())
}

/// A scenario with processes that want to get away: in the background, as daemons, without any mark, deaf.
fn escapers(long: &str) -> String {
    format!(
        "stream a = local\nstream b = local\n\
         on a {{\n  finally {{ $ touch finished }}\n  start s = shell \"trap '' TERM; sleep {long}; :\"\n  \
         $ setsid sleep {long} >/dev/null 2>&1 & sleep 0.05\n  \
         $ (env -i setsid sleep {long} >/dev/null 2>&1 &) ; touch $MSTREAM_TMP/file; sleep 0.05\n  \
         barrier up\n  $ echo ready; sleep {long}\n}}\n\
         on b {{\n  barrier up\n  $ sleep {long}\n}}\n"
    )
}

#[test]
fn a_coordinator_that_is_killed_leaves_nothing() {
    for (number, preparation) in [None, Some(MASKED), Some(READ_ONLY)].into_iter().enumerate() {
        let long = length(10 + u32::try_from(number).unwrap());
        let text = escapers(&long);
        let mut run = preparation.map_or_else(|| Watched::start(&text), |it| Watched::prepared(it, &text));
        eventually("all are there", || alive(&format!("sleep {long}")).len() >= 5);
        assert_eq!(run.cgroup().is_some(), preparation.is_none());
        let killed = Instant::now();
        kill("KILL", &[&run.coordinator()]);
        assert_eq!(run.wait().code(), Some(137));
        assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
        assert_eq!(alive(&long), [""; 0]);
        assert_eq!(run.left(), [""; 0]);
        let said = run.said();
        assert!(said.contains("mstream was killed by signal 9 while it ran `test.ms`"), "{said}");
        assert!(said.contains(&format!("sleep {long}")) && said.contains("removed: folder"), "{said}");
        assert!(!run.folder.path().join("finished").exists(), "nobody is there to run it");
        let listed = run.clean(&[]);
        assert_eq!(String::from_utf8_lossy(&listed.stderr), "nothing was left behind\n");
    }
}

#[test]
fn a_guardian_that_is_killed_stops_the_run_in_order() {
    for preparation in [None, Some(MASKED)] {
        let long = length(if preparation.is_some() { 21 } else { 20 });
        let text = escapers(&long);
        let mut run = preparation.map_or_else(|| Watched::start(&text), |it| Watched::prepared(it, &text));
        let coordinator = run.coordinator();
        kill("KILL", &[&run.guardian()]);
        assert_eq!(run.wait().signal(), Some(9));
        eventually("the coordinator ends", || !Path::new(&format!("/proc/{coordinator}")).exists());
        assert!(run.folder.path().join("finished").exists(), "{}", run.said());
        assert!(run.said().contains("the guardian of this run was killed"), "{}", run.said());
        assert_eq!(alive(&long), [""; 0]);
        assert_eq!(run.left(), [""; 0]);
        assert!(run.resources().ends_with("\"clean\"\n"), "{}", run.resources());
    }
}

#[test]
fn after_both_were_killed_clean_ends_what_is_left_and_nothing_else() {
    let long = length(30);
    let mut run = Watched::start(&escapers(&long));
    // Somebody else's, that look much the same.
    let mut theirs = Stranger::start(Command::new("sleep").arg(format!("{long}9")).env("MSTREAM_RUN", "another"));
    let folder = run.folder.path().join("tmp/mstream-another");
    std::fs::create_dir(&folder).unwrap();
    // Where both could still act, one would clean up after the other.
    kill("STOP", &[&run.guardian()]);
    kill("KILL", &[&run.coordinator(), &run.guardian()]);
    assert_eq!(run.wait().signal(), Some(9));
    assert!(alive(&format!("sleep {long}")).len() >= 5, "nobody has cleaned up");
    let said = |output: &Output| String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    let listed = said(&run.clean(&[]));
    assert!(listed.contains(&format!("{}  test.ms: it was killed, and left behind", run.id())), "{listed}");
    assert!(listed.contains(&format!("sleep {long}")) && listed.contains("  folder /"), "{listed}");
    assert!(listed.contains("mstream clean --stale"), "{listed}");
    std::fs::write(run.folder.path().join("next.ms"), "stream a = local\non a { $ true }\n").unwrap();
    let next = mstream(run.folder.path(), &["exec", "next.ms"]);
    assert!(said(&next).contains("of `test.ms` was killed and may have left something behind"), "{}", said(&next));
    assert!(alive(&format!("sleep {long}")).len() >= 5, "looking touches nothing");
    let cleaned = run.clean(&["--stale"]);
    assert_eq!(cleaned.status.code(), Some(0), "{}", said(&cleaned));
    assert!(
        said(&cleaned).contains("killed: process") && said(&cleaned).contains("removed: folder"),
        "{}",
        said(&cleaned)
    );
    assert_eq!(alive(&format!("sleep {long}")), alive(&format!("sleep {long}9")));
    assert_eq!(run.left(), [""; 0]);
    assert!(theirs.0.try_wait().unwrap().is_none() && folder.exists());
    assert_eq!(said(&run.clean(&["--stale"])), "nothing was left behind\n");
}

#[test]
fn a_guardian_whose_parent_never_asks_how_it_ended_is_dead_all_the_same() {
    let long = length(45);
    let run = Watched::start(&escapers(&long));
    kill("STOP", &[&run.guardian()]);
    kill("KILL", &[&run.coordinator(), &run.guardian()]);
    let stat = format!("/proc/{}/stat", run.guardian());
    eventually("it is a zombie", || std::fs::read_to_string(&stat).unwrap().contains(") Z "));
    let cleaned = run.clean(&[&run.id()]);
    assert_eq!(cleaned.status.code(), Some(0), "{}", String::from_utf8_lossy(&cleaned.stderr));
    assert_eq!((alive(&format!("sleep {long}")), run.left()), (Vec::new(), Vec::new()));
}

#[test]
fn clean_that_is_killed_half_way_can_be_done_again() {
    let long = length(40);
    let mut run = Watched::prepared(MASKED, &escapers(&long));
    kill("STOP", &[&run.guardian()]);
    kill("KILL", &[&run.coordinator(), &run.guardian()]);
    run.wait();
    for moment in [1, 3, 6, 10] {
        let mut clean = Command::new(MSTREAM);
        let mut child = clean
            .args(["clean", "--stale"])
            .current_dir(run.folder.path())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        let _ = child.kill();
        child.wait().unwrap();
    }
    // With no control group, whoever carries no mark cannot be told from a stranger.
    let unmarked = || alive(&format!("sleep {long}")).len();
    eventually("it is done", || {
        assert_eq!(run.clean(&["--stale"]).status.code(), Some(0));
        unmarked() <= 1
    });
    assert_eq!(run.left(), [""; 0]);
    for line in alive(&format!("sleep {long}")) {
        kill("KILL", &[line.split_whitespace().next().unwrap()]);
    }
}

#[test]
fn a_run_that_lives_is_not_touched() {
    let mut run = Watched::start("stream a = local\non a { $ echo ready; sleep 1.5 }\n");
    let refused = run.clean(&[&run.id()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is going on"), "{refused:?}");
    let listed = run.clean(&["--format", "json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("\"state\":\"running\""), "{listed:?}");
    // A copy has no lock.
    let copy = tempfile::tempdir().unwrap();
    let mut copying = Command::new("cp");
    assert!(copying.arg("-a").arg(run.folder.path().join(".mstream")).arg(copy.path()).status().unwrap().success());
    let refused = mstream(copy.path(), &["clean", &run.id()]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(run.clean(&["--stale"]).status.code(), Some(0));
    assert_eq!(run.wait().code(), Some(0), "{}", run.said());
    let unknown = run.clean(&["20200101-000000-abcdef"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn after_another_start_of_the_machine_process_numbers_mean_nothing() {
    let long = length(50);
    let mut run = Watched::start(&escapers(&long));
    kill("STOP", &[&run.guardian()]);
    kill("KILL", &[&run.coordinator(), &run.guardian()]);
    run.wait();
    let resources = run.resources();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let other = resources.replace(boot.trim(), "11111111-2222-3333-4444-555555555555");
    assert_ne!(resources, other);
    std::fs::write(run.run().join("resources"), other).unwrap();
    assert_eq!(run.clean(&["--stale"]).status.code(), Some(0));
    assert!(alive(&format!("sleep {long}")).len() >= 5, "they were of another time");
    assert!(!run.left().iter().any(|path| path.contains("/tmp/mstream-")), "a folder outlives it: {:?}", run.left());
    std::fs::write(run.run().join("resources"), resources).unwrap();
    assert_eq!(run.clean(&[&run.id()]).status.code(), Some(0));
    assert_eq!((alive(&format!("sleep {long}")), run.left()), (vec![], vec![]));
}

#[test]
fn a_ledger_of_somebody_s_making_cannot_remove_what_is_not_a_run_s() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = path(".mstream/runs/20260101-000000-aaaaaa");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::create_dir_all(path("precious/deep")).unwrap();
    std::fs::write(path("precious/deep/file"), "kept").unwrap();
    std::os::unix::fs::symlink(path("precious"), path("mstream-20260101-000000-aaaaaa")).unwrap();
    let shown = folder.path().display();
    let entries = format!(
        "{{\"run\":{{\"id\":\"20260101-000000-aaaaaa\",\"scenario\":\"x.ms\",\"boot\":\"b\",\"guardian\":1,\"since\":1}}}}\n\
         {{\"makes\":{{\"folder\":\"{shown}/precious\"}}}}\nhalf a li\n\
         {{\"makes\":{{\"folder\":\"{shown}/mstream-20260101-000000-aaaaaa\"}}}}\n\
         {{\"makes\":{{\"cgroup\":\"{shown}/precious\"}}}}\n{{\"makes\":{{\"folder\":\"/\"}}}}\n{{\"makes\":{{\"fol"
    );
    std::fs::write(run.join("resources"), entries).unwrap();
    let cleaned = mstream(folder.path(), &["clean", "--stale"]);
    assert_eq!(cleaned.status.code(), Some(3), "{cleaned:?}");
    let said = String::from_utf8_lossy(&cleaned.stdout).into_owned();
    assert!(said.contains("it does not have the name of this run") && said.contains("it is no folder"), "{said}");
    assert_eq!(std::fs::read_to_string(path("precious/deep/file")).unwrap(), "kept");
}

#[test]
fn what_is_mounted_in_a_temporary_folder_is_not_emptied() {
    let precious = tempfile::tempdir().unwrap();
    std::fs::write(precious.path().join("file"), "kept").unwrap();
    let text = format!(
        "stream a = local\non a {{\n  $ mkdir -p $MSTREAM_TMP/m/n $MSTREAM_TMP/shut; touch $MSTREAM_TMP/m/n/o $MSTREAM_TMP/shut/x; \
         chmod 0 $MSTREAM_TMP/shut\n  $ mount --bind {} $MSTREAM_TMP/m\n  $ echo ready; sleep 60\n}}\n",
        precious.path().display()
    );
    for victim in [Watched::coordinator, Watched::guardian] {
        let mut run = Watched::prepared("exec \"$@\"", &text);
        let (first, guardian) = (victim(&run), run.guardian());
        kill("KILL", &[&first]);
        run.wait();
        if first == guardian {
            run.until("journal: ");
        }
        eventually("it was told", || run.said().contains("something is mounted at `m`"));
        assert_eq!(std::fs::read_to_string(precious.path().join("file")).unwrap(), "kept");
    }
}

#[test]
fn a_signal_comes_once_wherever_it_comes_from() {
    let text =
        "stream a = local\non a {\n  finally { $ echo cleaned; sleep 0.3; echo up }\n  $ echo ready; sleep 60\n}\n";
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let mut run = Watched::start(text);
        // To all of the group, as a terminal does it.
        let group = std::fs::read_to_string(format!("/proc/{}/stat", run.guardian())).unwrap();
        let group = group.split_whitespace().nth(4).unwrap().to_owned();
        if group == run.guardian() {
            kill(signal, &["--", &format!("-{group}")]);
        } else {
            kill(signal, &[&run.guardian()]);
        }
        assert_eq!(run.wait().code(), Some(code), "{}", run.said());
        assert!(run.said().contains("a │ up"), "{}", run.said());
    }
    let mut command = Command::new("nohup");
    command.arg(MSTREAM);
    let mut run = Watched::by(command, "stream a = local\non a { $ echo ready; sleep 0.5; echo through }\n");
    kill("HUP", &[&run.guardian()]);
    assert_eq!(run.wait().code(), Some(0), "{}", run.said());
}

#[test]
fn ctrl_c_at_a_terminal_interrupts_once_and_leaves_the_terminal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let text = "stream a = local\non a {\n  finally { $ sleep 0.3; echo up > done }\n  $ echo ready; sleep 60\n}\n";
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    let script = "import os, pty, sys, termios\n\
        pid, fd = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], [sys.argv[1], 'exec', 'test.ms'])\n\
        before, seen = termios.tcgetattr(fd), b''\n\
        while b'ready' not in seen: seen += os.read(fd, 4096)\n\
        os.write(fd, b'\\x03')\n\
        try:\n\
        \x20 while True:\n\
        \x20   more = os.read(fd, 4096)\n\
        \x20   if not more: break\n\
        \x20   if termios.tcgetattr(fd) != before: sys.exit('modes changed')\n\
        except OSError: pass\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let mut python = Command::new("/usr/bin/python3");
    let child = python.args(["-c", script, MSTREAM]).current_dir(folder.path()).spawn();
    let mut child = child.unwrap();
    let watchdog = Watchdog::over(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(watchdog);
    assert!(folder.path().join("done").exists(), "it was interrupted once");
}

#[test]
fn stopped_and_continued_it_goes_on() {
    let mut run = Watched::start("stream a = local\non a { $ echo ready; sleep 0.5; echo through }\n");
    let coordinator = run.coordinator();
    let stopped = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('T')
    };
    kill("TSTP", &[&run.guardian()]);
    eventually("both stop", || stopped(&run.guardian()) && stopped(&coordinator));
    kill("CONT", &[&run.guardian()]);
    assert_eq!(run.wait().code(), Some(0), "{}", run.said());
}

#[test]
fn who_is_in_the_control_group_at_the_end_is_named_and_killed() {
    let mut run = Watched::start("stream a = local\non a { $ echo ready; sleep 0.5 }\n");
    let long = length(60);
    let mut stray = Stranger::start(Command::new("sleep").arg(&long));
    let group = run.cgroup().expect("this machine lets root make control groups");
    std::fs::write(group.join("cgroup.procs"), stray.0.id().to_string()).unwrap();
    assert_eq!(run.wait().code(), Some(5));
    assert_eq!(stray.0.wait().unwrap().signal(), Some(9));
    assert!(
        run.said().contains(&format!("left behind by the run, and killed: process {}, sleep {long}", stray.0.id())),
        "{}",
        run.said()
    );
    assert!(!group.exists());
}

#[test]
fn what_cannot_be_written_down_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tmp")).unwrap();
    std::fs::write(folder.path().join("test.ms"), "stream a = local\non a { $ touch ran }\n").unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "trace", "-e", "inject=fdatasync:error=EIO:when=1+", MSTREAM]);
    command.env("TMPDIR", folder.path().join("tmp"));
    let ended = crate::cases::ends(command, folder.path(), &["exec", "test.ms"]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    assert!(said.contains("nothing is made that cannot be written down in"), "{said}");
    assert!(!folder.path().join("ran").exists());
    assert_eq!(std::fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap();
    assert!(trace.contains("(INJECTED)") && !trace.contains("mkdir(\"/sys"), "{trace}");
}

#[test]
fn a_kernel_that_starts_nobody_in_a_group_puts_the_run_there() {
    for old in [None, Some("inject=clone3:error=ENOSYS")] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("test.ms"), "stream a = local\non a { $ cat /proc/self/cgroup }\n").unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-y", "-o", "trace", "-e", "trace=clone3,write"]);
        command.args(old.iter().flat_map(|old| ["-e", old])).arg(MSTREAM);
        let ended = crate::cases::ends(command, folder.path(), &["exec", "test.ms"]);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let shown = String::from_utf8(ended.stderr).unwrap();
        assert!(shown.contains("/mstream-"), "its steps are in the group: {shown}");
        let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap();
        let put = trace.lines().any(|line| line.contains("/cgroup.procs>") && line.contains("write("));
        assert_eq!(put, old.is_some(), "{trace}");
    }
}

/// Containers and networks with this label.
fn labelled(engine: &Engine, label: &str) -> String {
    let filter = ["--filter", &format!("label={label}")];
    let containers = engine.says(&[&["ps", "-a", "--format", "{{.Names}}"][..], &filter].concat());
    let networks = engine.says(&[&["network", "ls", "--format", "{{.Name}}"][..], &filter].concat());
    [containers, networks].join("\n").trim().to_owned()
}

#[test]
fn containers_of_a_run_that_was_killed_are_removed_and_no_others() {
    let engine = Engine::get();
    let text = format!(
        "stream box[1..2] = docker(image = \"{BUSYBOX}\")\nstream held = docker(image = \"{BUSYBOX}\", remove = \"never\")\n\
         on all {{\n  $ true\n  barrier up\n}}\non box {{ $ echo ready; sleep 60 }}\n"
    );
    let foreign = format!("mstream-test-foreign-{}", std::process::id());
    engine.says(&["run", "-d", "--name", &foreign, "--label", "dev.mstream.run=another", BUSYBOX, "sleep", "600"]);
    for both in [false, true] {
        let mut command = engine.command(MSTREAM);
        command.env_remove("NO_COLOR");
        let mut run = Watched::by(command, &text);
        let label = format!("dev.mstream.run={}", run.id());
        assert_eq!(labelled(&engine, &label).lines().count(), 4);
        // The command may have got its place through another.
        let guardian = run.guardian();
        if both {
            kill("STOP", &[&guardian]);
            kill("KILL", &[&run.coordinator(), &guardian]);
        } else {
            kill("KILL", &[&run.coordinator()]);
        }
        run.wait();
        if both {
            assert_eq!(labelled(&engine, &label).lines().count(), 4);
            let mut clean = engine.command(MSTREAM);
            clean.args(["clean", "--stale", "--format", "json"]).current_dir(run.folder.path());
            let output = clean.output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stdout).contains("\"kept\":[\"container mstream-"), "{output:?}");
        } else {
            assert!(run.said().contains("kept, as the scenario says: container mstream-"), "{}", run.said());
        }
        let kept = labelled(&engine, &label);
        let own: Vec<&str> = kept.lines().collect();
        assert!(own.len() == 2 && own[0].ends_with("-held"), "{kept}");
        assert_eq!(run.left(), [""; 0]);
        engine.says(&["rm", "-f", own[0]]);
        engine.says(&["network", "rm", own[1]]);
    }
    assert_eq!(engine.says(&["inspect", "-f", "{{.State.Running}}", &foreign]), "true");
    engine.says(&["rm", "-f", &foreign]);
}

#[test]
fn containers_whose_time_is_over_are_removed_where_their_run_cannot_be_asked() {
    let engine = Engine::get();
    let owner = Command::new("sh").args(["-c", "echo $(id -u)@$(uname -n)"]).output().unwrap();
    let owner = String::from_utf8(owner.stdout).unwrap().trim().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, owner: &str, expires: &str| {
        let name = format!("mstream-test-{name}-{}", std::process::id());
        let labels = ["run", "owner", "expires", "folder"].map(|label| format!("dev.mstream.{label}"));
        let values = [format!("run-{name}"), owner.to_owned(), expires.to_owned(), "/nowhere/run".to_owned()];
        let mut words = vec!["create".to_owned(), "--name".to_owned(), name.clone()];
        words.extend(
            labels.iter().zip(values).flat_map(|(label, value)| ["--label".to_owned(), format!("{label}={value}")]),
        );
        words.extend([BUSYBOX.to_owned()]);
        engine.says(&words.iter().map(String::as_str).collect::<Vec<_>>());
        name
    };
    let (past, future) = ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    let all = [make("old", &owner, past), make("young", &owner, future), make("theirs", "4711@elsewhere", past)];
    let mut clean = engine.command(MSTREAM);
    let output = clean.args(["clean", "--stale"]).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let there = all.each_ref().map(|name| engine.docker(&["inspect", name]).status.success());
    engine.docker(&["rm", "-f", &all[0], &all[1], &all[2]]);
    assert_eq!((there, output.status.code()), ([false, true, true], Some(0)), "{said}");
    assert!(said.contains(&format!("removed: container {}", all[0])), "{said}");
}

#[test]
fn a_container_of_somebody_else_with_the_same_name_stays() {
    let engine = Engine::get();
    let name = format!("mstream-test-clash-{}", std::process::id());
    engine.says(&["run", "-d", "--name", &name, BUSYBOX, "sleep", "600"]);
    let folder = tempfile::tempdir().unwrap();
    let text =
        format!("stream a = docker(image = \"{BUSYBOX}\", container = \"{name}\", create = true)\non a {{ $ true }}\n");
    std::fs::write(folder.path().join("test.ms"), text).unwrap();
    let ended = crate::cases::ends(engine.command(MSTREAM), folder.path(), &["exec", "test.ms"]);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("already in use"), "{said}");
    assert_eq!(engine.says(&["inspect", "-f", "{{.State.Running}}", &name]), "true");
    engine.says(&["rm", "-f", &name]);
}
