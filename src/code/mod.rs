//! Embedded code: how holes become references that are right for the quoting around them, and how an interpreter
//! is called with code and values. It runs nothing.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod contexts;
mod embed;
#[cfg(test)]
mod journey;
mod launch;
#[cfg(test)]
mod nesting;
mod plain;
mod python;
mod shell;

use std::sync::Arc;

pub use embed::embed;
pub use launch::{Launch, command};

/// The descriptor from which a held process reads one line before its first instruction.
pub const HOLD_FD: i32 = 8;

/// The descriptor that holds a script too long for an argument ([`Command::script`]), as `/dev/fd/9`.
pub const SCRIPT_FD: i32 = 9;

/// What runs code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interpreter {
    /// `shell`, `bash`, `python`, `exec` or a declared name.
    pub name: Arc<str>,
    /// The program and its arguments; empty for `exec`.
    pub command: Vec<Arc<str>>,
    /// How the code and its values get to it.
    pub dialect: Dialect,
}

/// How code and values get to an interpreter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dialect {
    /// A POSIX shell: code as an argument, values in the environment.
    Shell,
    /// Python: code as an argument, values as JSON.
    Python,
    /// The holes are the program and its arguments.
    Exec,
    /// Anything else: the code on its stdin; no holes.
    Other,
}

/// A process to start, for whichever backend.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Command {
    /// The program (a bare name is looked up in `PATH`) and its arguments.
    pub argv: Vec<Vec<u8>>,
    /// What a shell would start for this and do nothing else: to be started instead, where the program is in `PATH` and
    /// may be run. Plain words; none where it takes a shell.
    pub plain: Vec<String>,
    /// Added to the environment, in order.
    pub env: Vec<(Arc<str>, Vec<u8>)>,
    /// What stands on its stdin; nothing is `/dev/null`.
    pub stdin: Option<Vec<u8>>,
    /// What stands at [`SCRIPT_FD`], where the code is too long for an argument.
    pub script: Option<Vec<u8>>,
}
