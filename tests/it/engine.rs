//! Container engines to test with: the one that answers already, else a dockerd of the tests' own, and podman, each in
//! namespaces of its own, which end with it and take along whatever it has started.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// An image with busybox and nothing else.
pub(crate) const BUSYBOX: &str = "mstream-test/busybox:1";
/// An image that is empty but for the folders where those of this machine are mounted: [`HOST_VOLUMES`].
pub(crate) const HOST: &str = "mstream-test/host:1";
/// What [`HOST`] needs from this machine: its shells and its Python.
pub(crate) const HOST_VOLUMES: &str = "/usr:/usr:ro";
/// An image of Debian with Python, as people have it: [`Engine::debian`] makes it.
pub(crate) const DEBIAN: &str = "mstream-test/debian:1";
/// An image without a shell.
pub(crate) const EMPTY: &str = "mstream-test/empty:1";

/// How long an engine may take to answer.
const BOUND: Duration = Duration::from_mins(1);

/// An engine that answers.
pub(crate) struct Engine {
    address: String,
    own: Option<Own>,
}

/// An engine of our own.
struct Own {
    child: Child,
    /// The first process of its namespaces.
    pid: String,
    _alive: Sender<()>,
    folder: tempfile::TempDir,
}

impl Engine {
    /// The engine of all tests that need one now.
    pub(crate) fn get() -> Arc<Self> {
        static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = shared.upgrade() {
            return engine;
        }
        let engine = Arc::new(Self::answering().unwrap_or_else(|| Self::start(&dockerd("exec", ""))));
        engine.images();
        *shared = Arc::downgrade(&engine);
        engine
    }

    /// One that nobody else uses, and that is started anew when it is killed.
    pub(crate) fn of_its_own() -> Self {
        let engine = Self::start(&dockerd("while :; do", " || rm -f \"$1/pid\"; done"));
        engine.images();
        engine
    }

    /// Podman behind its socket.
    pub(crate) fn podman() -> Self {
        let engine = Self::start(PODMAN);
        engine.images();
        engine
    }

    /// Kills the engine, not what runs in it.
    pub(crate) fn kill(&self) {
        let own = self.own.as_ref().unwrap();
        let words = format!("dockerd\0--data-root\0{}/", own.folder.path().display());
        let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let command = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let pid = pids.into_iter().find(|pid| command(pid).starts_with(&words)).unwrap();
        assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
    }

    /// The one that is there already.
    fn answering() -> Option<Self> {
        let address = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        let it = Self { address, own: None };
        it.docker(&["version"]).status.success().then_some(it)
    }

    fn start(serve: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--mount", "--net", "sh", "-eu", "-c", &[READY, serve].concat(), "serve"]).arg(folder.path());
        // What it leaves when it ends goes with the rest.
        command.env("TMPDIR", folder.path());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // The thread that starts it has to outlive it.
        let (alive, over) = channel::<()>();
        let (started, starting) = channel();
        std::thread::spawn(move || {
            started.send(command.spawn().unwrap()).unwrap();
            let _ = over.recv();
        });
        let own = Own { pid: String::new(), child: starting.recv().unwrap(), _alive: alive, folder };
        let mut it = Self { address: format!("unix://{}", socket.display()), own: Some(own) };
        let began = Instant::now();
        while !it.docker(&["version"]).status.success() {
            let log = std::fs::read_to_string(socket.with_file_name("log")).unwrap_or_default();
            assert!(began.elapsed() < BOUND, "the engine does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        if let Some(own) = &mut it.own {
            let parent = own.child.id();
            let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
            children.trim().clone_into(&mut own.pid);
        }
        it
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The network namespace in which the containers can be reached.
    pub(crate) fn network(&self) -> String {
        let pid = self.own.as_ref().map_or("self", |own| &own.pid);
        format!("/proc/{pid}/ns/net")
    }

    /// A command that runs where the containers can be reached.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if self.own.is_some() {
            command = Command::new("nsenter");
            command.args([&format!("--net={}", self.network()), "--", program]);
        }
        command.env("DOCKER_HOST", &self.address);
        command
    }

    /// Runs the client.
    pub(crate) fn docker(&self, words: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.args(["--host", &self.address]).args(words).stdin(Stdio::null());
        command.output().expect("the docker client is installed")
    }

    /// What the client prints.
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let output = self.docker(words);
        assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Makes the images, out of what this machine has.
    fn images(&self) {
        let folder = tempfile::tempdir().unwrap();
        let busybox = String::from_utf8(Command::new("which").arg("busybox").output().unwrap().stdout).unwrap();
        for (name, make) in [(BUSYBOX, FILL_BUSYBOX), (HOST, FILL_HOST), (EMPTY, "mkdir -p etc; touch etc/nothing")] {
            let root = folder.path().join(name.replace(['/', ':'], "-"));
            std::fs::create_dir(&root).unwrap();
            let mut command = Command::new("sh");
            command.args(["-eu", "-c", make, "make", busybox.trim()]).current_dir(&root);
            assert!(command.status().unwrap().success());
            self.import(&root, name);
        }
    }

    /// Has [`DEBIAN`]. Its archive is made once, without a registry, and kept below the target folder.
    pub(crate) fn debian(&self) {
        let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian.tar");
        if !archive.exists() {
            let fresh = archive.with_extension(format!("{}.tar", std::process::id()));
            let mut command = Command::new("sh");
            command.args(["-eu", "-c", DEBOOTSTRAP, "debootstrap"]).arg(&fresh).stderr(Stdio::piped());
            let output = command.output().unwrap();
            assert!(output.status.success(), "no Debian: {}", String::from_utf8_lossy(&output.stderr));
            std::fs::rename(fresh, &archive).unwrap();
        }
        self.says(&["import", "-c", "CMD [\"sh\"]", archive.to_str().unwrap(), DEBIAN]);
    }

    fn import(&self, root: &Path, name: &str) {
        let mut tar = Command::new("tar");
        let mut tar = tar.args(["-c", "."]).current_dir(root).stdout(Stdio::piped()).spawn().unwrap();
        let mut import = Command::new("docker");
        import.args(["--host", &self.address, "import", "-c", "CMD [\"sh\"]", "-"]).arg(name);
        let done = import.stdin(tar.stdout.take().unwrap()).stdout(Stdio::null()).status().unwrap();
        assert!(done.success() && tar.wait().unwrap().success(), "{name}");
    }

    /// Containers and networks that the runs of this folder have left.
    pub(crate) fn left(&self, folder: &Path) -> String {
        // No run where the scenario was refused.
        let runs = std::fs::read_dir(folder.join(".mstream/runs")).into_iter().flatten();
        runs.map(|run| self.left_of(&run.unwrap().file_name().to_string_lossy())).collect()
    }

    /// What that run has left.
    pub(crate) fn left_of(&self, run: &str) -> String {
        let filter = ["--filter", &format!("label=dev.mstream.run={run}")];
        let containers = self.says(&[&["ps", "-aq"][..], &filter].concat());
        let networks = self.says(&[&["network", "ls", "-q"][..], &filter].concat());
        let volumes = self.says(&[&["volume", "ls", "-q"][..], &filter].concat());
        [containers, networks, volumes].join("\n").trim().to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for image in [BUSYBOX, HOST, EMPTY, DEBIAN] {
            self.docker(&["rmi", "-f", image]);
        }
        if let Some(own) = &mut self.own {
            // In order, so that it removes what it has made outside of its namespaces.
            let _ = Command::new("kill").args(["-s", "TERM", &own.pid]).status();
            let began = Instant::now();
            while matches!(own.child.try_wait(), Ok(None)) && began.elapsed() < Duration::from_secs(15) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = own.child.kill();
            let _ = own.child.wait();
            // Podman leaves its control groups, empty.
            let words = "find /sys/fs/cgroup -depth -path '*/libpod_parent*' -type d -exec rmdir {} ';'";
            let _ = Command::new("sh").args(["-c", words]).stderr(Stdio::null()).status();
        }
    }
}

/// In the namespaces, before the engine.
const READY: &str = "ip link set lo up\nmount -t tmpfs -o mode=755 none /run\n";

/// Dockerd with all of its files in the folder, between these words.
fn dockerd(before: &str, behind: &str) -> String {
    format!(
        "{before} dockerd --data-root \"$1/data\" --exec-root \"$1/exec\" --pidfile \"$1/pid\" \
         -H \"unix://$1/docker.sock\"{behind}\n"
    )
}

/// Podman with all of its files in the folder.
const PODMAN: &str = r#"
exec podman --root "$1/data" --runroot "$1/run" --tmpdir "$1/tmp" --network-config-dir "$1/networks" \
  --runtime runc --cgroup-manager cgroupfs --events-backend file system service --time 0 "unix://$1/docker.sock"
"#;

/// A small Debian with Python from where this machine gets its packages, as one archive.
const DEBOOTSTRAP: &str = r#"
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
  mmdebstrap --quiet --variant=essential --include=python3 --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' '' "$1" -
"#;

const FILL_BUSYBOX: &str = r#"
mkdir -p bin etc proc sys dev tmp root var usr/bin
chmod 1777 tmp
cp "$1" bin/busybox
for name in $("$1" --list); do [ "$name" = busybox ] || ln -s busybox "bin/$name"; done
echo root:x:0:0:root:/root:/bin/sh >etc/passwd
echo tester:x:1000:1000::/tmp:/bin/sh >>etc/passwd
echo root:x:0: >etc/group
echo tester:x:1000: >>etc/group
"#;

const FILL_HOST: &str = r#"
mkdir -p usr proc sys dev tmp root etc var
chmod 1777 tmp
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
echo root:x:0:0:root:/root:/bin/sh >etc/passwd
echo root:x:0: >etc/group
"#;
