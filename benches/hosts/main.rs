//! What a run over many hosts costs beside the limit and beside its neighbours, in one go: `cargo bench --bench hosts`,
//! or parts of it: `cargo bench --bench hosts -- j2 j3 docker gate`, for J2 with a number of hosts, `-- j2 50`.
//!
//! The hosts are sshds on addresses of loopback, the containers those of an engine that answers, else of one of the
//! bench's own. The limit is one live remote shell a host, to which the commands are written one after the other. All
//! that is compared takes turns, so that it has the same load; a ratio is the median of the ratios of the rounds.
//! Neighbours are installed into `target/peers`, or by the package manager, before the first run.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench is a program of its own: it prints, and measures by the clock on the wall"
)]

use self::table::Table;

mod containers;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/engine.rs"]
mod engine;
mod gate;
mod lab;
#[expect(dead_code, reason = "another bench uses the rest")]
#[path = "../measure/mod.rs"]
mod measure;
mod peers;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/sshd.rs"]
mod sshd;
mod table;

/// The parts, in their order.
const PARTS: [&str; 4] = ["j2", "j3", "docker", "gate"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` asks for a quick pass.
    if words.iter().any(|word| word == "--test") {
        return;
    }
    let (mut parts, mut counts) = (Vec::new(), Vec::new());
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        match word.parse::<usize>() {
            Ok(count) => counts.push(count),
            Err(_) => parts.push(word.as_str()),
        }
    }
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(*part)) {
        panic!("there is no part `{unknown}`: {}", PARTS.join(", "));
    }
    if counts.is_empty() {
        counts = vec![10, 50, 100];
    }
    let chosen = |part: &str| parts.is_empty() || parts.contains(&part);
    let folder = tempfile::tempdir().unwrap();
    let mut table = Table::default();
    if chosen("j2") || chosen("j3") {
        peers::install();
    }
    if chosen("j2") {
        for count in counts {
            lab::Lab::new(folder.path(), count).commands(10, &mut table);
        }
    }
    if chosen("j3") {
        lab::Lab::new(folder.path(), 20).barriers(20, &mut table);
    }
    if chosen("docker") {
        containers::measure(folder.path(), &mut table);
    }
    if chosen("gate") {
        gate::measure(folder.path(), &mut table);
    }
    table.print();
}
