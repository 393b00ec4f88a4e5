//! Containers: steps one after the other in each, all of them at once.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::engine::{BUSYBOX, Engine};
use crate::lab::{COMMAND, live};
use crate::measure::{ratio, timed, write};
use crate::table::{Row, Table, shown};

const CONTAINERS: usize = 10;
const STEPS: usize = 20;
const NETWORK: &str = "mstream-bench";

/// Containers that the run makes, and containers that are there already.
pub(crate) fn measure(folder: &Path, table: &mut Table) {
    let engine = Engine::get();
    let job = format!("docker: {CONTAINERS} containers, {STEPS} steps in each");
    let run = |network: &str| {
        let mut command = engine.command("docker");
        command.args(["run", "--rm", "-i", "--init", "--network", network, BUSYBOX, "sh"]);
        command
    };
    let live_in = |network: &str| live((0..CONTAINERS).map(|_| run(network)).collect(), STEPS);
    // They are to reach each other by name, which takes a network of their own.
    let of_their_own = || {
        let began = Instant::now();
        engine.says(&["network", "create", NETWORK]);
        live_in(NETWORK);
        engine.says(&["network", "rm", NETWORK]);
        began.elapsed()
    };
    write(folder, "made.ms", &scenario(|_| format!("image = \"{BUSYBOX}\", pull = \"never\"")));
    let (limit, ours) = turns(&engine, folder, "made.ms", of_their_own);
    let mut row = Row::new(
        format!("{job}, made and removed"),
        format!("`docker run --rm -i` in a new network with a live `sh`, {}", shown(&limit)),
    );
    row.goal("", ratio(&ours, &limit), 1.5, "x");
    let without: Vec<Duration> = (0..3).map(|_| live_in("bridge")).collect();
    row.peer("the limit without a network of its own", Ok(ratio(&without, &limit)), "");
    table.push(row);

    let there: Vec<String> =
        (0..CONTAINERS).map(|_| engine.says(&["run", "-d", "--rm", "-i", "--init", BUSYBOX, "sh"])).collect();
    let exec = |at: usize| {
        let mut command = engine.command("docker");
        command.args(["exec", "-i", &there[at], "sh"]);
        command
    };
    write(folder, "there.ms", &scenario(|at| format!("container = \"{}\"", there[at])));
    let (limit, ours) = turns(&engine, folder, "there.ms", || live((0..CONTAINERS).map(exec).collect(), STEPS));
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
    shells: impl Fn() -> Duration,
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut limit, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        limit.push(shells());
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
