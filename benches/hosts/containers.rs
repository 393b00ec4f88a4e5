//! Containers: steps one after the other in each, all of them at once.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::engine::{BUSYBOX, Engine};
use crate::lab::{COMMAND, live};
use crate::measure::{timed, write};
use crate::table::{Row, Table, ratio, shown};

const CONTAINERS: usize = 10;
const STEPS: usize = 20;

/// Containers that the run makes, and containers that are there already.
pub(crate) fn measure(folder: &Path, table: &mut Table) {
    let engine = Engine::get();
    let job = format!("docker: {CONTAINERS} containers, {STEPS} steps in each");
    let run = |_: usize| {
        let mut command = engine.command("docker");
        command.args(["run", "--rm", "-i", "--init", BUSYBOX, "sh"]);
        command
    };
    write(folder, "made.ms", &scenario(|_| format!("image = \"{BUSYBOX}\", pull = \"never\"")));
    let (limit, ours) = turns(&engine, folder, "made.ms", run);
    let mut row = Row::new(
        format!("{job}, made and removed"),
        format!("`docker run --rm -i` with a live `sh`, {}", shown(&limit)),
    );
    row.goal("", ratio(&ours, &limit), 1.5, "x");
    table.push(row);

    let there: Vec<String> =
        (0..CONTAINERS).map(|_| engine.says(&["run", "-d", "--rm", "-i", "--init", BUSYBOX, "sh"])).collect();
    let exec = |at: usize| {
        let mut command = engine.command("docker");
        command.args(["exec", "-i", &there[at], "sh"]);
        command
    };
    write(folder, "there.ms", &scenario(|at| format!("container = \"{}\"", there[at])));
    let (limit, ours) = turns(&engine, folder, "there.ms", exec);
    let mut row =
        Row::new(format!("{job}, there already"), format!("`docker exec -i` with a live `sh`, {}", shown(&limit)));
    row.goal("", ratio(&ours, &limit), 1.5, "x");
    let each = |at: usize| {
        let script = format!("for step in $(seq {STEPS}); do docker exec {} {COMMAND}; done", there[at]);
        let mut command = engine.command("sh");
        command.args(["-c", &script]).stdout(Stdio::null());
        command
    };
    let (taken, limit) =
        (at_once((0..CONTAINERS).map(each).collect()), live((0..CONTAINERS).map(exec).collect(), STEPS));
    row.peer("`docker exec` a step", Ok(taken.as_secs_f64() / limit.as_secs_f64()), "");
    table.push(row);
    for container in &there {
        engine.docker(&["kill", container]);
    }
}

fn scenario(keys: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 0..CONTAINERS {
        let _ = writeln!(text, "stream c{at} = docker({})", keys(at));
    }
    let _ = write!(text, "on all {{\n{}}}\n", format!("  $ {COMMAND}\n").repeat(STEPS));
    text
}

/// The limit and the scenario, in turns.
fn turns(
    engine: &Engine,
    folder: &Path,
    scenario: &str,
    shell: impl Fn(usize) -> Command,
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut limit, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        limit.push(live((0..CONTAINERS).map(&shell).collect(), STEPS));
        let mut mstream = engine.command(env!("CARGO_BIN_EXE_mstream"));
        ours.push(timed(mstream.args(["exec", scenario]).current_dir(folder)));
    }
    (limit, ours)
}

/// How long these commands take, all at once.
fn at_once(commands: Vec<Command>) -> Duration {
    let began = Instant::now();
    let all: Vec<_> = commands.into_iter().map(|mut command| command.spawn().unwrap()).collect();
    for mut child in all {
        assert!(child.wait().unwrap().success());
    }
    began.elapsed()
}
