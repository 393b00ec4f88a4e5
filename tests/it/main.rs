//! The integration tests: one binary.

#![expect(clippy::disallowed_methods, reason = "tests read and write the files of the project")]

mod avocado;
mod bombs;
mod cases;
mod conformance;
mod docker;
mod engine;
mod examples;
mod faults;
mod fuzz;
mod guardian;
mod layers;
mod markdown;
mod resume;
mod run;
mod screen;
mod secrets;
mod spec;
mod ssh;
mod sshd;
mod streams;
mod watchdog;
