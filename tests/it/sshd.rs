//! An sshd of the tests' own: keys, accounts and passwords that exist nowhere else, on a free port of loopback or
//! behind a cable that can be cut. It is the first process of a PID namespace, so that all that it started ends
//! with it, and it ends with the test.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The accounts: a name, and the login shell. Nobody may log in as `closed`, and `forced` gets what the server says.
pub(crate) const ACCOUNTS: [(&str, &str); 7] = [
    ("tester", "/bin/dash"),
    ("basher", "/bin/bash"),
    ("boxer", "/run/busybox/sh"),
    ("fisher", "/usr/bin/fish"),
    ("tcsher", "/usr/bin/tcsh"),
    ("closed", "/usr/sbin/nologin"),
    ("forced", "/bin/dash"),
];

/// The password of every account. It would do harm in careless hands: to a shell, to a format, to a line of words.
pub(crate) const PASSWORD: &str = "pass'w0rd $(touch pwned) %s\\ \"";

/// The first of the ids of the accounts.
const FIRST_ID: u32 = 64_200;

/// How long a server may take to answer.
const BOUND: Duration = Duration::from_secs(20);

/// Tells the cables of this process apart.
static CABLES: AtomicU32 = AtomicU32::new(0);

/// Where a server listens.
enum Network {
    /// On this machine.
    Here,
    /// In that network namespace.
    Of(String),
    /// In one of its own, behind a cable with these two ends.
    Behind([Ipv4Addr; 2]),
}

/// A server that runs.
pub(crate) struct Sshd {
    child: Child,
    folder: tempfile::TempDir,
    address: Ipv4Addr,
    port: u16,
}

impl Sshd {
    /// A server on loopback, with these lines before all others in its configuration.
    pub(crate) fn start(extra: &str) -> Self {
        Self::launch(extra, &[Ipv4Addr::LOCALHOST], &Network::Here)
    }

    /// The same on these addresses of loopback, all on the same port.
    pub(crate) fn on(addresses: &[Ipv4Addr], extra: &str) -> Self {
        Self::launch(extra, addresses, &Network::Here)
    }

    /// The same on the loopback of that network namespace.
    pub(crate) fn inside(namespace: String, extra: &str) -> Self {
        Self::launch(extra, &[Ipv4Addr::LOCALHOST], &Network::Of(namespace))
    }

    /// A server in a network namespace of its own; the only way there is a cable of our end and its end.
    pub(crate) fn behind_a_cable() -> Self {
        // Of the range that is kept for tests of devices; two tests at a time take different cables.
        let [net, slot] = [std::process::id() % 250, CABLES.fetch_add(1, Ordering::Relaxed) % 60];
        let [net, slot] = [net, slot * 4].map(|number| u8::try_from(number).unwrap());
        let [ours, theirs] = [1, 2].map(|end| Ipv4Addr::new(198, 18, net, slot + end));
        Self::launch("", &[theirs], &Network::Behind([ours, theirs]))
    }

    fn launch(extra: &str, addresses: &[Ipv4Addr], network: &Network) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = addresses[0];
        let port = if matches!(network, Network::Behind(_)) { 22 } else { free_port() };
        furnish(folder.path(), addresses, port, extra);
        let mut command = Command::new("setpriv");
        // When the thread that started it ends, so does everything in the namespace.
        command.args(["--pdeathsig", "KILL"]);
        if let Network::Of(namespace) = network {
            command.args(["nsenter", &format!("--net={namespace}"), "--"]);
        }
        command.args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount"]);
        if let Network::Behind(_) = network {
            command.arg("--net");
        }
        command
            .args(["sh", "-eu", "-c", SERVE, "serve"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        if let Network::Behind([ours, theirs]) = network {
            connect(&mut child, *ours, *theirs);
        }
        // Closed: it may go on.
        drop(child.stdin.take());
        let it = Self { child, folder, address, port };
        let began = Instant::now();
        while !it.log().contains("Server listening") {
            assert!(began.elapsed() < BOUND, "sshd does not start:\n{}", it.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        it
    }

    /// The URI of a stream that logs in as `user` with the key.
    pub(crate) fn uri(&self, user: &str) -> String {
        format!("{}&key={}", self.uri_without_key(user), self.user_key().display())
    }

    /// The URI of a stream that has neither key nor password.
    pub(crate) fn uri_without_key(&self, user: &str) -> String {
        let known = self.folder.path().join("known_hosts");
        let known = known.display();
        format!("ssh://{user}@{}:{}?config=/dev/null&known_hosts={known}", self.address, self.port)
    }

    /// The file of the hosts that clients know.
    pub(crate) fn known_hosts(&self) -> std::path::PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// What stands in the folder for temporary files of all accounts.
    pub(crate) fn temporary_files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The port, the same on all addresses.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The key that every account takes.
    pub(crate) fn user_key(&self) -> std::path::PathBuf {
        self.folder.path().join("user_key")
    }

    /// The key that shows who the server is.
    pub(crate) fn host_key(&self) -> std::path::PathBuf {
        self.folder.path().join("host_key.pub")
    }

    /// The home of an account.
    pub(crate) fn home(&self, user: &str) -> std::path::PathBuf {
        self.folder.path().join(user)
    }

    /// From now on the first place where programs of that account are looked for is its home.
    pub(crate) fn set_path(&self, user: &str) {
        let config = self.folder.path().join("sshd_config");
        let text = std::fs::read_to_string(&config).unwrap();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.home(user).display());
        let text = text.replacen("SetEnv TMPDIR=", &format!("SetEnv PATH={path} TMPDIR="), 1);
        std::fs::write(&config, text).unwrap();
        for pid in self.processes("[listener]") {
            assert!(Command::new("kill").args(["-s", "HUP", &pid]).status().unwrap().success());
        }
        let began = Instant::now();
        while self.log().matches("Server listening").count() < 2 {
            assert!(began.elapsed() < BOUND, "sshd does not start again:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The processes of the namespace whose command has these words, as their ids here.
    pub(crate) fn processes(&self, words: &str) -> Vec<String> {
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let init = children(&self.child.id().to_string());
        let Some(own) = init.first().and_then(|pid| namespace(pid)) else { return Vec::new() };
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let inside = all.filter(|pid| namespace(pid).is_some_and(|other| other == own));
        let command = |pid: &String| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        inside.filter(|pid| command(pid).replace('\0', " ").contains(words)).collect()
    }

    /// Pulls the cable: nothing comes through any more, and nobody is told.
    pub(crate) fn cut(&self) {
        let server = children(&self.child.id().to_string());
        let status =
            Command::new("nsenter").args(["-t", &server[0], "-n", "ip", "link", "set", "cable", "down"]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // The process that holds the namespace is killed with its parent, and all the others with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The last ones of a namespace are reaped after its first.
        let began = Instant::now();
        while TcpStream::connect_timeout(&(self.address, self.port).into(), Duration::from_millis(50)).is_ok() {
            assert!(began.elapsed() < BOUND, "sshd does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.port == 22 {
            // A connection that was cut keeps the other end alive for minutes.
            let [a, b, c, theirs] = self.address.octets();
            let ours = cable(Ipv4Addr::new(a, b, c, theirs - 1));
            let _ = Command::new("ip").args(["link", "delete", &ours]).status();
        }
    }
}

/// In the namespaces: waits until it is told to go on, puts its own accounts over those of the machine, and serves.
const SERVE: &str = r#"
cd "$1"
echo ready
read -r _ || :
! [ -e /sys/class/net/cable ] || ip link set lo up
mount -t tmpfs -o mode=755 none /run
mkdir /run/sshd
for file in passwd group shadow; do mount --bind "$1/$file" "/etc/$file"; done
mkdir /run/busybox
cp "$(command -v busybox)" /run/busybox/sh
exec /usr/sbin/sshd -D -f "$1/sshd_config" -E "$1/log"
"#;

/// A port that nobody uses.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Writes keys, accounts and the configuration of a server into `folder`.
fn furnish(folder: &Path, addresses: &[Ipv4Addr], port: u16, extra: &str) {
    let file = |name: &str| folder.join(name);
    for name in ["host_key", "user_key"] {
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file(name)).status();
        assert!(made.unwrap().success());
    }
    let public = std::fs::read_to_string(file("host_key.pub")).unwrap();
    std::fs::create_dir(file("tmp")).unwrap();
    std::fs::set_permissions(file("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    let (mut known, mut listen) = (String::new(), String::new());
    for address in addresses {
        let name = if port == 22 { address.to_string() } else { format!("[{address}]:{port}") };
        write!(known, "{name} {public}").unwrap();
        writeln!(listen, "ListenAddress {address}:{port}").unwrap();
    }
    std::fs::write(file("known_hosts"), known).unwrap();
    std::fs::copy(file("user_key.pub"), file("authorized_keys")).unwrap();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o711)).unwrap();
    accounts(folder);
    let shown = folder.display();
    let config = format!(
        "{extra}\n{listen}SetEnv TMPDIR={shown}/tmp\nHostKey {shown}/host_key\nPidFile none\n\
         AuthorizedKeysFile {shown}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication yes\n\
         KbdInteractiveAuthentication no\nPrintMotd no\nLogLevel DEBUG1\n\
         Match User forced\n  ForceCommand echo only backups here\n"
    );
    std::fs::write(file("sshd_config"), config).unwrap();
}

/// The accounts of the machine and our own, each with a home.
fn accounts(folder: &Path) {
    let hashed = Command::new("openssl").args(["passwd", "-6", PASSWORD]).output().unwrap();
    let hash = String::from_utf8(hashed.stdout).unwrap();
    let [mut passwd, mut group, mut shadow] =
        ["passwd", "group", "shadow"].map(|name| std::fs::read_to_string(format!("/etc/{name}")).unwrap_or_default());
    for (id, (name, shell)) in (FIRST_ID..).zip(ACCOUNTS) {
        let home = folder.join(name);
        std::fs::create_dir(&home).unwrap();
        chown(&home, Some(id), Some(id)).unwrap();
        writeln!(passwd, "{name}:x:{id}:{id}::{}:{shell}", home.display()).unwrap();
        writeln!(group, "{name}:x:{id}:").unwrap();
        writeln!(shadow, "{name}:{}:20000:0:99999:7:::", hash.trim()).unwrap();
    }
    // Without one of its own, the server cannot give up its rights.
    if !passwd.contains("\nsshd:") {
        passwd.push_str("sshd:x:64199:65534::/run/sshd:/usr/sbin/nologin\n");
    }
    for (name, text) in [("passwd", passwd), ("group", group), ("shadow", shadow)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

/// What our end of a cable is called.
fn cable(ours: Ipv4Addr) -> String {
    format!("ms{}x{}", std::process::id(), ours.octets()[3])
}

/// Plugs the cable of a server that waits.
fn connect(child: &mut Child, ours: Ipv4Addr, theirs: Ipv4Addr) {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let server = children(&child.id().to_string());
    let name = cable(ours);
    let ip = |words: &[&str]| {
        let status = Command::new("ip").args(words).status().unwrap();
        assert!(status.success(), "ip {words:?}");
    };
    ip(&["link", "add", &name, "type", "veth", "peer", "name", "cable", "netns", &server[0]]);
    ip(&["address", "add", &format!("{ours}/30"), "dev", &name]);
    ip(&["link", "set", &name, "up"]);
    for words in [&["address", "add", &format!("{theirs}/30"), "dev", "cable"][..], &["link", "set", "cable", "up"]] {
        let status = Command::new("nsenter").args(["-t", &server[0], "-n", "ip"]).args(words).status().unwrap();
        assert!(status.success());
    }
}

/// The children of a process.
fn children(pid: &str) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}
