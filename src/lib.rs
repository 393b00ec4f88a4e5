//! mstream runs tests that span many machines: one file, many streams, barriers where they meet.
//!
//! One crate: a library and a thin binary. Data flows one way, and each module is one stop on the way.
//!
//! ```text
//!  text ──syntax──▶ tree ──scenario──▶ scenario ──plan──▶ plan ──engine──▶ events ──report──▶ what people read
//!  .ms              as written         names → ids        static graph     what happened      live view, jsonl
//!                                                           │  ▲             │  ▲
//!                                                   check, graph          run (tokio) ⇄ backend (local, ssh, docker)
//! ```
//!
//! A module uses only what is below it; `tests/it/layers.rs` reads the `use` lines and holds the house:
//!
//! ```text
//! 11  fuzzing              what holds whatever comes: for fuzzers and tests, no part of a run
//! 10  cli                  files, terminal, environment, signals, exit codes: nothing else touches them
//!  9  run │ report │ graph │ resume  neighbours; none knows another
//!  8  backend              one trait; one file a backend
//!  7  engine               the run as a pure state machine: no clock, no I/O, no async
//!  6  event                what happened, in order
//!  5  check                the front door: text in, plan or all diagnostics out; the lints
//!  4  plan                 steps and edges; loops and fleets unrolled; deadlock
//!  3  scenario             names, selectors, streams resolved
//!  2  code │ params        embedded code: holes, quoting, how interpreters are called │ YAML parameter trees
//!  1  syntax               text to tree
//!  0  diagnostic │ sys     codes, spans, labels, renderers │ the only module with `unsafe`
//! ```

pub mod backend;
pub mod check;
pub mod cli;
pub mod code;
pub mod diagnostic;
pub mod engine;
pub mod event;
#[doc(hidden)]
pub mod fuzzing;
pub mod graph;
pub mod params;
pub mod plan;
pub mod report;
pub mod resume;
pub mod run;
pub mod scenario;
pub mod syntax;
pub mod sys;
