//! What streams on other machines and in containers share: one constant command at the far end reads a short shell
//! text, the guard, which runs jobs and makes sure of their end. A backend brings only the way there, a [`Transport`].

use tokio::io::{AsyncRead, AsyncWrite};

use super::Task;

/// The way to the far end of a stream.
pub trait Transport: Send + Sync + 'static {
    /// Runs `command` at the far end with a POSIX `sh`, and connects its stdin, stdout and stderr. The command is
    /// constant: what it is to do comes down its stdin. The error is the reason in words, with what to try.
    fn dial(&self, command: &'static str) -> Task<Result<Line, String>>;
}

/// The two directions to a process at the far end.
pub struct Line {
    /// Its stdin; it ends when this is shut down or dropped.
    pub stdin: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// Its stdout, until it or the way there ends.
    pub stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// Its stderr, apart from stdout.
    pub stderr: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// Asked after stdout has ended: why the way there ended, in words; `None` where the process has ended by itself.
    pub end: Task<Option<String>>,
}
