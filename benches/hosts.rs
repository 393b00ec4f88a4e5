//! What a run over many hosts costs beside the limit and beside its neighbours, in one go: `cargo bench --bench hosts`.
//!
//! The hosts are sshds on addresses of loopback. The limit is one live remote shell a host, to which the commands are
//! written one after the other. Neighbours are installed into `target/peers`, or by the package manager, before the first run.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench is a program of its own: it prints, and measures by the clock on the wall"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use self::measure::{from_debian, kib, line, median, mstream, peak_of, timed, write};
use self::sshd::Sshd;

mod measure;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/sshd.rs"]
mod sshd;

/// The command of each step: a program of its own, so that nobody answers it out of a shell.
const COMMAND: &str = "uname -n";

fn main() {
    // `cargo test --benches` asks for a quick pass.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let only = std::env::args().nth(1).filter(|word| !word.starts_with('-'));
    let chosen = |name: &str| only.as_ref().is_none_or(|only| only == name);
    peers();
    for count in [10, 50, 100] {
        if chosen("commands") {
            let lab = Lab::new(folder.path(), count);
            lab.commands(10);
        }
    }
    if chosen("barriers") {
        Lab::new(folder.path(), 20).barriers(20);
    }
    if chosen("gate") {
        gate(folder.path());
    }
}

/// The folder of the Python environment of the neighbours.
fn environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

/// Installs the neighbours that are missing.
fn peers() {
    let environment = environment();
    if !environment.join("bin/ansible").exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&environment).status().unwrap();
        let packages = ["asyncssh", "fabric", "parallel-ssh", "pyinfra", "ansible-core"];
        let filled = Command::new(environment.join("bin/pip")).args(["install", "-q"]).args(packages).status().unwrap();
        assert!(made.success() && filled.success(), "the neighbours cannot be installed");
    }
    let complete = from_debian(&["pdsh", "clush", "parallel"], &["pdsh", "clustershell", "parallel"]);
    assert!(complete, "pdsh, clustershell and parallel cannot be installed");
}

/// Hosts, and what the neighbours need to find them.
struct Lab<'a> {
    folder: &'a Path,
    hosts: Vec<Ipv4Addr>,
    servers: Vec<Sshd>,
}

impl<'a> Lab<'a> {
    fn new(folder: &'a Path, count: usize) -> Self {
        let address = |at: usize| Ipv4Addr::new(127, 8, 0, u8::try_from(at + 1).unwrap());
        let hosts: Vec<Ipv4Addr> = (0..count).map(address).collect();
        // An sshd takes 16 addresses.
        let servers: Vec<Sshd> =
            hosts.chunks(16).map(|some| Sshd::on(some, "MaxStartups 100\nLogLevel INFO")).collect();
        // One key exchange for all: not every neighbour has the one that OpenSSH prefers, which costs 60 ms a connection.
        let mut config = String::new();
        let mut inventory = String::from("[all:vars]\nansible_python_interpreter=/usr/bin/python3\n[all]\n");
        for (host, server) in hosts.iter().zip(servers.iter().flat_map(|server| std::iter::repeat_n(server, 16))) {
            let _ = write!(
                config,
                "Host {host}\n  Port {}\n  User tester\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
                 KexAlgorithms curve25519-sha256\n",
                server.port(),
                server.user_key().display(),
                server.known_hosts().display()
            );
            let _ = writeln!(
                inventory,
                "{host} ansible_port={} ansible_user=tester ansible_ssh_private_key_file={}",
                server.port(),
                server.user_key().display()
            );
        }
        write(folder, "config", &config);
        write(folder, "inventory", &inventory);
        write(folder, "hosts", &hosts.iter().fold(String::new(), |text, host| format!("{text}{host}\n")));
        Self { folder, hosts, servers }
    }

    /// One live shell a host, all hosts at once.
    fn limit(&self, commands: usize) -> Duration {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for host in &self.hosts {
                scope.spawn(move || {
                    let mut command = Command::new("ssh");
                    command.args(["-F", "config", &host.to_string(), "exec sh"]).current_dir(self.folder);
                    let mut ssh = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                    let (mut orders, answers) = (ssh.stdin.take().unwrap(), ssh.stdout.take().unwrap());
                    let mut answers = BufReader::new(answers).lines();
                    for _ in 0..commands {
                        orders.write_all(format!("{COMMAND}; echo .\n").as_bytes()).unwrap();
                        while answers.next().unwrap().unwrap() != "." {}
                    }
                    drop(orders);
                    assert!(ssh.wait().unwrap().success());
                });
            }
        });
        began.elapsed()
    }

    /// The scenario: `commands` steps on every host, with a meeting of all after each where that is wanted.
    fn scenario(&self, commands: usize, meeting: bool) {
        let mut text = String::new();
        for (at, host) in self.hosts.iter().enumerate() {
            let _ = writeln!(text, "stream s{at} = ssh(host = \"{host}\", config = \"config\")");
        }
        let step = if meeting { "  $ uname -n\n  barrier all\n" } else { "  $ uname -n\n" };
        let _ = write!(text, "on all {{\n{}}}\n", step.repeat(commands));
        write(self.folder, "hosts.ms", &text);
    }

    /// J2: commands one after the other on each host.
    fn commands(&self, commands: usize) {
        let count = self.hosts.len();
        println!(
            "J2: {count} hosts, {commands} commands one after the other on each, beside one live remote `sh` a host"
        );
        let runs = if count > 20 { 3 } else { 5 };
        let limit = median(runs, || self.limit(commands));
        line("one live sh a host", limit, limit, "");
        self.scenario(commands, false);
        let run = || mstream(self.folder, &["exec", "hosts.ms"]);
        let wall = median(runs, || timed(&mut run()));
        let memory = kib(peak_of(&mut run()));
        line(
            "mstream",
            wall,
            limit,
            &format!("   peak {memory:.1} MB, CPU {:.2} s", wall_and_cpu(&mut run())[1].as_secs_f64()),
        );
        let script = |name: &str, words: &[&str]| self.script(name, words);
        let number = commands.to_string();
        let forks = count.to_string();
        let mut peers: Vec<(&str, Command)> = vec![
            ("asyncssh", script("asyncssh_hosts.py", &[&number, "no"])),
            ("fabric", script("fabric_hosts.py", &[&number, "no"])),
            ("parallel-ssh", script("pssh_hosts.py", &[&number])),
            ("pyinfra", self.tool("pyinfra", &["-y", "--parallel", &forks, "inventory.py", "deploy.py"])),
            ("ansible raw", self.tool("ansible-playbook", &["-f", &forks, "-i", "inventory", "play.yaml"])),
            ("pdsh", self.shell("pdsh -R ssh -f $2 -w ^hosts uname -n", commands)),
            ("clush", self.shell("clush -q -f $2 --hostfile hosts -o '-F config' uname -n", commands)),
            ("GNU parallel", self.shell("parallel -j $2 ssh -F config {} uname -n :::: hosts", commands)),
        ];
        // The others take minutes with many hosts, and their ratios only grow.
        peers.truncate(if count > 10 { 2 } else { peers.len() });
        self.others(peers, limit, commands);
    }

    /// J3: rounds with a meeting of all after each.
    fn barriers(&self, rounds: usize) {
        let count = self.hosts.len();
        println!(
            "J3: {count} hosts, {rounds} rounds with a barrier of all after each, beside one live remote `sh` a host without"
        );
        let limit = median(5, || self.limit(rounds));
        line("one live sh, no barrier", limit, limit, "");
        self.scenario(rounds, true);
        line("mstream", median(5, || timed(&mut mstream(self.folder, &["exec", "hosts.ms"]))), limit, "");
        let (number, forks) = (rounds.to_string(), count.to_string());
        let peers: Vec<(&str, Command)> = vec![
            ("asyncssh, asyncio.Barrier", self.script("asyncssh_hosts.py", &[&number, "yes"])),
            ("fabric, threading.Barrier", self.script("fabric_hosts.py", &[&number, "yes"])),
            ("parallel-ssh", self.script("pssh_hosts.py", &[&number])),
            ("pyinfra", self.tool("pyinfra", &["-y", "--parallel", &forks, "inventory.py", "deploy.py"])),
            ("ansible linear", self.tool("ansible-playbook", &["-f", &forks, "-i", "inventory", "play.yaml"])),
        ];
        self.others(peers, limit, rounds);
    }

    fn others(&self, peers: Vec<(&str, Command)>, limit: Duration, commands: usize) {
        write(self.folder, "play.yaml", &play(commands));
        write(self.folder, "deploy.py", &deploy(commands));
        write(self.folder, "inventory.py", &self.inventory());
        for (name, mut command) in peers {
            let [wall, spent] = wall_and_cpu(&mut command);
            line(name, wall, limit, &format!("   CPU {:.2} s", spent.as_secs_f64()));
        }
    }

    /// A script of ours around a library.
    fn script(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(environment().join("bin/python"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name));
        command.arg(self.servers[0].port().to_string()).args(words).current_dir(self.folder);
        command
    }

    /// A tool of the Python environment.
    fn tool(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(environment().join("bin").join(name));
        command.args(words).current_dir(self.folder);
        command.env("ANSIBLE_HOST_KEY_CHECKING", "False").env("ANSIBLE_PIPELINING", "True");
        command.env("ANSIBLE_SSH_ARGS", "-F config -o ControlMaster=auto -o ControlPersist=10s");
        command.env("ANSIBLE_SSH_CONTROL_PATH_DIR", self.folder.join("cp"));
        command
    }

    /// One command of a shell tool a round, over connections that stay open between the rounds.
    fn shell(&self, once: &str, commands: usize) -> Command {
        let shared = "PDSH_SSH_ARGS_APPEND='-F config'; export PDSH_SSH_ARGS_APPEND; ";
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{shared} for round in $(seq $1); do {once}; done"), "sh"]);
        command.args([commands.to_string(), self.hosts.len().to_string()]).current_dir(self.folder);
        command
    }

    fn inventory(&self) -> String {
        let mut text = String::from("hosts = [\n");
        for (host, server) in self.hosts.iter().zip(self.servers.iter().flat_map(|it| std::iter::repeat_n(it, 16))) {
            let _ = writeln!(
                text,
                "    (\"{host}\", {{\"ssh_port\": {}, \"ssh_user\": \"tester\", \"ssh_key\": \"{}\", \
                 \"ssh_known_hosts_file\": \"{}\"}}),",
                server.port(),
                server.user_key().display(),
                server.known_hosts().display()
            );
        }
        text + "]\n"
    }
}

fn play(commands: usize) -> String {
    let mut text = String::from("- hosts: all\n  gather_facts: false\n  tasks:\n");
    for _ in 0..commands {
        let _ = writeln!(text, "    - raw: {COMMAND}");
    }
    text
}

fn deploy(commands: usize) -> String {
    let mut text = String::from("from pyinfra.operations import server\n");
    for at in 0..commands {
        let _ = writeln!(text, "server.shell(name=\"{at}\", commands=[\"{COMMAND}\"])");
    }
    text
}

/// How long a command takes, and the time of all processors that it and those that it waited for have taken.
fn wall_and_cpu(command: &mut Command) -> [Duration; 2] {
    let mut shell = Command::new("bash");
    let script = "TIMEFORMAT='%R %U %S'; { time \"$@\" >/dev/null 2>err; } 2>&1 || { cat err; exit 1; }";
    shell.args(["-c", script, "bash"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {said}");
    let seconds: Vec<f64> = said.split_whitespace().map(|seconds| seconds.parse().unwrap()).collect();
    [Duration::from_secs_f64(seconds[0]), Duration::from_secs_f64(seconds[1] + seconds[2])]
}

/// Start together: how far apart the streams started, by the clocks of the steps themselves.
fn gate(folder: &Path) {
    println!("start together: skew by the steps' own clocks, 99th percentile of the starts of 20 runs");
    let local = "stream s[1..100] = local\n";
    gate_of(folder, "100 local streams", local, Duration::from_millis(2));
    let lab = Lab::new(folder, 1);
    let ssh = format!("stream s[1..50] = ssh(host = \"{}\", config = \"config\")\n", lab.hosts[0]);
    gate_of(folder, "50 ssh streams", &ssh, Duration::from_millis(5));
}

fn gate_of(folder: &Path, name: &str, streams: &str, bound: Duration) {
    let text = format!("{streams}on s {{ bash(synchronized = true) \"echo $EPOCHREALTIME\" }}\n");
    write(folder, "gate.ms", &text);
    let mut skews = Vec::new();
    for _ in 0..20 {
        let output = mstream(folder, &["exec", "gate.ms"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stderr).unwrap();
        let stamps = said.lines().filter_map(|line| line.split_once("│ ")?.1.trim().parse::<f64>().ok());
        let mut stamps: Vec<f64> = stamps.filter(|stamp| *stamp > 1e9).collect();
        stamps.sort_by(f64::total_cmp);
        skews.extend(stamps.iter().map(|stamp| stamp - stamps[0]));
    }
    skews.sort_by(f64::total_cmp);
    let skew = Duration::from_secs_f64(skews[skews.len() * 99 / 100]);
    line(name, skew, bound, &format!("   of the bound of {bound:?}"));
}
