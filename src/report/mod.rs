//! What people and tools read of a run: folds over its events and the plan. No clock, no files, no terminal.
//!
//! [`plain::Plain`] writes a line as something happens, [`live::Live`] shows what happens now, [`summary::Summary`]
//! says at the end what it came to, [`jsonl::Jsonl`] writes everything for tools and for the journal.
//! Each takes every [`Record`](crate::event::Record) in order and keeps no more than the plan's size.

#[cfg(test)]
mod book;
pub mod jsonl;
pub(crate) mod lines;
pub mod live;
mod names;
mod paint;
pub mod plain;
#[cfg(test)]
pub(crate) mod story;
pub mod summary;
mod tail;
pub mod variants;
pub mod verdict;
mod wait;
mod watch;
mod words;

/// How text for people looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Style {
    /// Whether colours may be used.
    pub color: bool,
}

/// What a reader was too slow for, so that it is not shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unshown {
    /// How many events.
    pub events: u64,
    /// How many bytes of output they hold.
    pub bytes: u64,
}
