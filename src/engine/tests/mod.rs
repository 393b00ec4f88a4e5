//! Tests of the engine: stories in virtual time, a search through all runs of small plans, and random runs of random
//! plans, all held to the same invariants.

mod background;
mod ends;
mod explore;
mod groups;
mod limits;
mod meetings;
mod model;
mod random;
mod steps;
mod values;
mod watch;
mod world;
