//! The integration tests: one binary.

mod cases;
mod examples;
mod layers;
mod markdown;
mod spec;
