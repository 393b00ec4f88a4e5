//! Going on where a run ended: its journal is read back, and the last points are found that all streams had passed. It
//! opens no file, and runs nothing.
//!
//! `spec/resume.md` is the decision table.

mod cut;
mod kept;
mod line;
mod read;
mod refusal;
mod story;
#[cfg(test)]
mod tests;

pub use cut::{Known, past};
pub use kept::{keep, kept};
pub use line::{LONGEST, is_whole, seal};
pub use read::{Broken, Entry, Extent, read};
pub use refusal::Refusal;
pub use story::{Header, Story};
