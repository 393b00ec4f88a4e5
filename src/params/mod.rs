//! Trees of parameters, read from YAML files: nodes, values, variants, and how a value is looked up.
//!
//! What a file means is what it means to Avocado's varianter `yaml_to_mux`; `spec/parameters.md` tells it, and the real
//! one is asked in the tests. A map is a **node**, and so is a key with nothing behind it; everything else is a **value**
//! of the node that it stands in. Nodes inherit the values of those above them. All files together are one tree; each is
//! merged into it below `/run`, later ones over earlier ones.
//!
//! It knows nothing of scenarios. How to use it:
//!
//! 1. [`Tree::read`] reads and merges files. It always gives a tree; where an error comes with it, parts are missing.
//!    Every problem stands in the YAML file, or at [`File::named`] where the file itself cannot be read.
//! 2. [`Tree::all`] looks at all of it, [`Tree::variants`] at one variant after the other: both are [`Params`].
//! 3. [`Params::get`] is Avocado's `params.get(key, path)`. [`Params::keys`] is everything that a path has to say, as
//!    `stream NAME = params("/streams/first/*")` wants it. [`Params::at`] is what stands at a path, one after the other,
//!    as `streams "FILE" at "/streams/*"` wants it: nodes (as [`Data::Map`]) and values alike, in the order of the file.
//!
//! Paths of [`Params::at`] start at the top of the files, so that `/streams/*` finds what `/run/streams/*` finds.

mod build;
mod data;
mod lookup;
mod node;
mod python;
mod show;
#[cfg(test)]
mod tests;
mod tree;
mod variants;
mod yaml;

use std::io;
use std::path::{Path, PathBuf};

pub use data::Data;
pub use lookup::{Clash, Found, Hit, Params};
pub use show::Line;
pub use tree::{NodeId, Tree};
pub use variants::{Variant, Variants};

use crate::diagnostic::{Code, Diagnostic, Span};

/// How a file is read: its path as messages name it in, its text out.
pub type Read<'a> = dyn FnMut(&Path) -> io::Result<String> + 'a;

/// A file to read, and where it is named.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path, from where mstream was started.
    pub path: PathBuf,
    /// Where a scenario names it: problems that have no place in the file itself stand there.
    pub named: Span,
}

/// How large a tree of parameters may become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The bytes of one file.
    pub bytes: usize,
    /// The values and nodes of all files, aliases and includes spelt out.
    pub nodes: usize,
    /// How deep a file may nest.
    pub depth: usize,
    /// The variants.
    pub variants: usize,
    scale: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::scaled(1)
    }
}

impl Limits {
    /// The limits that are right for people's files, times `scale`; how deep a file may nest stays as it is.
    pub fn scaled(scale: usize) -> Self {
        let times = |limit: usize| limit.saturating_mul(scale);
        Self { bytes: times(8 << 20), nodes: times(200_000), depth: 64, variants: times(10_000), scale }
    }

    /// What is told where one of them is passed.
    fn exceeded(&self, span: Span, message: String) -> Box<Diagnostic> {
        let help = format!("`--limit-scale {}` allows twice as much", self.scale.saturating_mul(2));
        Box::new(Diagnostic::new(Code::LimitExceeded, span, message).help(help))
    }
}
