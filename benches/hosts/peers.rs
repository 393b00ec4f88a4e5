//! The neighbours: where they come from, and how the commands are given to each.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::lab::{COMMAND, Lab};
use crate::measure::{from_debian, write};

/// The folder of the Python environment of the neighbours.
fn environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

/// Installs the neighbours that are missing.
pub(crate) fn install() {
    let environment = environment();
    let there = |name: &str| environment.join("bin").join(name).exists();
    if !["ansible", "pyinfra", "fab"].into_iter().all(there) {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&environment).status().unwrap();
        let packages = ["asyncssh", "fabric", "parallel-ssh", "pyinfra", "ansible-core"];
        let filled = Command::new(environment.join("bin/pip")).args(["install", "-q"]).args(packages).status().unwrap();
        assert!(made.success() && filled.success(), "the neighbours cannot be installed");
    }
    let complete = from_debian(&["pdsh", "clush", "parallel"], &["pdsh", "clustershell", "parallel"]);
    assert!(complete, "pdsh, clustershell and parallel cannot be installed");
}

/// A script of ours around a library.
pub(crate) fn script(lab: &Lab<'_>, name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(environment().join("bin/python"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name));
    command.args(words).current_dir(lab.folder);
    command
}

/// A tool of the Python environment.
fn tool(lab: &Lab<'_>, name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(environment().join("bin").join(name));
    command.args(words).current_dir(lab.folder);
    command.env("ANSIBLE_HOST_KEY_CHECKING", "False").env("ANSIBLE_PIPELINING", "True");
    command.env("ANSIBLE_SSH_ARGS", "-F config -o ControlMaster=auto -o ControlPersist=10s");
    command.env("ANSIBLE_SSH_CONTROL_PATH_DIR", lab.folder.join("cp"));
    command
}

/// One command of a shell tool a round, over connections that stay open between the rounds.
fn shell(lab: &Lab<'_>, once: &str, commands: usize) -> Command {
    let mut command = Command::new("bash");
    let shared = "export PDSH_SSH_ARGS_APPEND='-F shared'; set -e -o pipefail; ";
    command.args(["-c", &format!("{shared} for round in $(seq $1); do {once}; done"), "bash"]);
    command.args([commands.to_string(), lab.hosts.len().to_string()]).current_dir(lab.folder);
    command
}

/// Those that run commands one after the other on each host, without meetings.
pub(crate) fn of_commands(lab: &Lab<'_>, commands: usize) -> Vec<(&'static str, Command)> {
    let (number, forks) = (commands.to_string(), lab.hosts.len().to_string());
    let fabric = ("fabric", script(lab, "fabric_hosts.py", &[&number, "no"]));
    if lab.hosts.len() > 10 {
        return vec![fabric];
    }
    write(
        lab.folder,
        "shared",
        &format!("ControlMaster auto\nControlPersist 10s\nControlPath cm-%h\n{}", lab.config()),
    );
    let mut all = vec![
        fabric,
        ("parallel-ssh", script(lab, "pssh_hosts.py", &[&number])),
        ("pdsh over shared ssh", shell(lab, "pdsh -R ssh -f $2 -w ^hosts uname -n", commands)),
        ("clush over shared ssh", shell(lab, "clush -q -f $2 --hostfile hosts -o '-F shared' uname -n", commands)),
        ("GNU parallel over shared ssh", shell(lab, "parallel -j $2 ssh -F shared {} uname -n :::: hosts", commands)),
    ];
    all.extend(rounds(lab, commands, &forks));
    all
}

/// Those that can have all hosts meet after each command.
pub(crate) fn of_barriers(lab: &Lab<'_>, commands: usize) -> Vec<(&'static str, Command)> {
    let (number, forks) = (commands.to_string(), lab.hosts.len().to_string());
    let mut all = vec![
        ("fabric, threading.Barrier", script(lab, "fabric_hosts.py", &[&number, "yes"])),
        ("parallel-ssh", script(lab, "pssh_hosts.py", &[&number])),
    ];
    all.extend(rounds(lab, commands, &forks));
    all
}

/// Those that run a command on all hosts before the next one.
fn rounds(lab: &Lab<'_>, commands: usize, forks: &str) -> [(&'static str, Command); 2] {
    write(lab.folder, "play.yaml", &play(commands));
    write(lab.folder, "deploy.py", &deploy(commands));
    write(lab.folder, "inventory.py", &lab.inventory());
    [
        ("pyinfra", tool(lab, "pyinfra", &["-y", "--parallel", forks, "inventory.py", "deploy.py"])),
        ("ansible raw", tool(lab, "ansible-playbook", &["-f", forks, "-i", "inventory", "play.yaml"])),
    ]
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

/// How long a command takes, and the time of all processors that it and those that it waited for have taken; where it
/// fails, why.
pub(crate) fn spent(command: &mut Command) -> Result<[Duration; 2], String> {
    let mut shell = Command::new("bash");
    let script = "TIMEFORMAT='%R %U %S'; { time \"$@\" >out 2>err; } 2>&1 || { tail -n 3 err out; exit 1; }";
    shell.args(["-c", script, "bash"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(said.trim().to_owned());
    }
    let seconds: Vec<f64> = said.split_whitespace().map(|seconds| seconds.parse().unwrap()).collect();
    Ok([Duration::from_secs_f64(seconds[0]), Duration::from_secs_f64(seconds[1] + seconds[2])])
}
