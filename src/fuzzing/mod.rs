//! What holds whatever comes: one function for each thing that reads what others wrote. Each takes any bytes and panics
//! where a promise is broken. `fuzz/` calls them with bytes that a fuzzer makes, and the tests with those that it keeps.
//!
//! It is the one door to what is private to its module, and no part of a run.

mod archive;
mod journal;
mod language;
mod output;

pub use archive::archive;
pub use journal::journal;
pub use language::{holes, parse, yaml};
pub use output::{guard, mask, output};

/// A target: its name, which is that of its file and its folder in `fuzz/`, and what takes the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("archive", archive),
    ("guard", guard),
    ("holes", holes),
    ("journal", journal),
    ("mask", mask),
    ("output", output),
    ("parse", parse),
    ("yaml", yaml),
];

/// Where an input says that one piece of it ends and the next one comes: the group separator of ASCII.
const CUT: u8 = 0x1d;

/// More than this no target takes.
const MOST: usize = 64 << 10;

/// The input as the pieces in which it is to come.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    bytes[..bytes.len().min(MOST)].split(|byte| *byte == CUT).collect()
}

/// As much of the input as is text.
fn text(bytes: &[u8]) -> &str {
    bytes[..bytes.len().min(MOST)].utf8_chunks().next().map_or("", |chunk| chunk.valid())
}
