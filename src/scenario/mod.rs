//! A scenario as written, with its streams resolved: declarations collected, imports joined, selectors chosen.

mod arena;

pub(crate) use arena::id;
pub use arena::{Arena, Id};

id! {
    /// A stream, in order of definition.
    StreamId
}
