//! Text to tree. The one place that knows pest; it knows nothing of what names mean.

pub mod ast;
mod value;

pub use value::{Value, duration};
