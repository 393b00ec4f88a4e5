//! Hosts: J2, commands one after the other, and J3, the same with meetings of all.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::measure::{kib, middle, mstream, peak_of, ratio, write};
use crate::peers::{of_barriers, of_commands, script, spent};
use crate::sshd::Sshd;
use crate::table::{Row, Table, shown};

/// The command of each step: a program of its own, so that nobody answers it out of a shell.
pub(crate) const COMMAND: &str = "uname -n";

/// Hosts, and what the neighbours need to find them.
pub(crate) struct Lab<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) hosts: Vec<Ipv4Addr>,
    servers: Vec<Sshd>,
}

/// What all rounds took: the time on the wall, and that of all processors.
#[derive(Default)]
struct Taken {
    wall: Vec<Duration>,
    spent: Vec<Duration>,
}

impl Taken {
    fn take(&mut self, [wall, spent]: [Duration; 2]) {
        self.wall.push(wall);
        self.spent.push(spent);
    }
}

impl<'a> Lab<'a> {
    pub(crate) fn new(folder: &'a Path, count: usize) -> Self {
        let address = |at: usize| Ipv4Addr::new(127, 8, 0, u8::try_from(at + 1).unwrap());
        let hosts: Vec<Ipv4Addr> = (0..count).map(address).collect();
        // An sshd takes 16 addresses.
        let servers: Vec<Sshd> =
            hosts.chunks(16).map(|some| Sshd::on(some, "MaxStartups 100\nLogLevel INFO")).collect();
        let it = Self { folder, hosts, servers };
        let mut inventory = String::from("[all:vars]\nansible_python_interpreter=/usr/bin/python3\n[all]\n");
        for (host, server) in it.each() {
            let _ = writeln!(
                inventory,
                "{host} ansible_port={} ansible_user=tester ansible_ssh_private_key_file={}",
                server.port(),
                server.user_key().display()
            );
        }
        write(folder, "config", &it.config());
        write(folder, "inventory", &inventory);
        write(folder, "hosts", &it.hosts.iter().fold(String::new(), |text, host| format!("{text}{host}\n")));
        it
    }

    /// The hosts, each with its server.
    fn each(&self) -> impl Iterator<Item = (&Ipv4Addr, &Sshd)> {
        self.hosts.iter().zip(self.servers.iter().flat_map(|server| std::iter::repeat_n(server, 16)))
    }

    /// For ssh. One key exchange for all: not every neighbour has the one that OpenSSH prefers, which costs 60 ms a
    /// connection.
    pub(crate) fn config(&self) -> String {
        let mut text = String::new();
        for (host, server) in self.each() {
            let _ = write!(
                text,
                "Host {host}\n  Port {}\n  User tester\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
                 KexAlgorithms curve25519-sha256\n",
                server.port(),
                server.user_key().display(),
                server.known_hosts().display()
            );
        }
        text
    }

    /// For pyinfra.
    pub(crate) fn inventory(&self) -> String {
        let mut text = String::from("hosts = [\n");
        for (host, server) in self.each() {
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

    /// One live shell a host, all hosts at once.
    fn limit(&self, commands: usize) -> Duration {
        let ssh = |host: &Ipv4Addr| {
            let mut command = Command::new("ssh");
            command.args(["-F", "config", &host.to_string(), "exec sh"]).current_dir(self.folder);
            command
        };
        live(self.hosts.iter().map(ssh).collect(), commands)
    }

    /// The scenario: `commands` steps on every host, with a meeting of all after each where that is wanted.
    fn scenario(&self, commands: usize, meeting: bool) {
        let mut text = String::new();
        for (at, host) in self.hosts.iter().enumerate() {
            let _ = writeln!(text, "stream s{at} = ssh(host = \"{host}\", config = \"config\")");
        }
        let step = format!("  $ {COMMAND}\n{}", if meeting { "  barrier all\n" } else { "" });
        let _ = write!(text, "on all {{\n{}}}\n", step.repeat(commands));
        write(self.folder, "hosts.ms", &text);
    }

    /// J2: commands one after the other on each host.
    pub(crate) fn commands(&self, commands: usize, table: &mut Table) {
        let count = self.hosts.len();
        self.scenario(commands, false);
        let runs = if count > 20 { 3 } else { 7 };
        let (limit, ours, theirs) = self.turns(runs, commands, "no");
        let mut row = Row::new(
            format!("J2: {count} hosts, {commands} commands on each"),
            format!("one live remote `sh` a host, {}", shown(&limit)),
        );
        row.goal("", ratio(&ours.wall, &limit), 1.2, "x");
        if theirs.spent.len() == runs {
            row.goal("CPU of the asyncssh script's ", ratio(&ours.spent, &theirs.spent), 0.5, "x");
        }
        let memory = kib(peak_of(&mut mstream(self.folder, &["exec", "hosts.ms"])));
        row.goal("", memory, 40.0, " MB");
        self.rest(&mut row, ("asyncssh", [limit, theirs.wall]), of_commands(self, commands), commands);
        table.push(row);
    }

    /// J3: rounds with a meeting of all after each.
    pub(crate) fn barriers(&self, rounds: usize, table: &mut Table) {
        let count = self.hosts.len();
        self.scenario(rounds, true);
        let (limit, ours, theirs) = self.turns(5, rounds, "yes");
        let mut row = Row::new(
            format!("J3: {count} hosts, {rounds} rounds with a barrier of all after each"),
            format!("one live remote `sh` a host, no barriers, {}", shown(&limit)),
        );
        row.goal("", ratio(&ours.wall, &limit), 1.3, "x");
        self.rest(&mut row, ("asyncssh, asyncio.Barrier", [limit, theirs.wall]), of_barriers(self, rounds), rounds);
        table.push(row);
    }

    /// The limit, the scenario, and the script around asyncssh, which is the quickest neighbour, in turns.
    fn turns(&self, runs: usize, commands: usize, meeting: &str) -> (Vec<Duration>, Taken, Taken) {
        let (mut limit, mut ours, mut theirs) = (Vec::new(), Taken::default(), Taken::default());
        for _ in 0..runs {
            limit.push(self.limit(commands));
            ours.take(spent(&mut mstream(self.folder, &["exec", "hosts.ms"])).unwrap());
            if let Ok(taken) = spent(&mut script(self, "asyncssh_hosts.py", &[&commands.to_string(), meeting])) {
                theirs.take(taken);
            }
        }
        println!(
            "  CPU: mstream {}, asyncssh {}",
            shown(&ours.spent),
            if theirs.spent.is_empty() { "fails".to_owned() } else { shown(&theirs.spent) }
        );
        (limit, ours, theirs)
    }

    /// The neighbours, each once beside the limit.
    fn rest(
        &self,
        row: &mut Row,
        (quickest, [limit, quick]): (&str, [Vec<Duration>; 2]),
        peers: Vec<(&str, Command)>,
        commands: usize,
    ) {
        let failed = || format!("{} of {} rounds", limit.len() - quick.len(), limit.len());
        row.peer(quickest, if quick.len() == limit.len() { Ok(ratio(&quick, &limit)) } else { Err(failed()) }, "");
        for (name, mut command) in peers {
            let limit = middle((0..3).map(|_| self.limit(commands).as_secs_f64()).collect());
            match spent(&mut command) {
                Ok([wall, spent]) => {
                    row.peer(name, Ok(wall.as_secs_f64() / limit), &format!("   CPU {:.2} s", spent.as_secs_f64()));
                }
                Err(why) => row.peer(name, Err(why), ""),
            }
        }
    }
}

/// How long live shells take that these commands start, all at once: `commands` are written to each, one after the other.
pub(crate) fn live(shells: Vec<Command>, commands: usize) -> Duration {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for mut command in shells {
            scope.spawn(move || {
                let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                let (mut orders, answers) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
                let mut answers = BufReader::new(answers).lines();
                for _ in 0..commands {
                    orders.write_all(format!("{COMMAND}; echo .\n").as_bytes()).unwrap();
                    while answers.next().unwrap().unwrap() != "." {}
                }
                drop(orders);
                assert!(shell.wait().unwrap().success());
            });
        }
    });
    began.elapsed()
}
