//! What mstream is when `ssh` starts it to ask for a password: it hands the question to the mstream that started `ssh`.

use std::io::Write as _;
use std::process::ExitCode;

use super::Console;
use crate::backend::ssh::{ASKPASS_SOCKET, ask};

/// Asks, and prints the answer, where this process was started to; nothing otherwise.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub(super) fn answer() -> Option<ExitCode> {
    let socket = std::env::var_os(ASKPASS_SOCKET)?;
    let prompt = std::env::args().nth(1).unwrap_or_default();
    let answered = ask(&socket, &prompt).and_then(|mut answer| {
        answer.push(b'\n');
        std::io::stdout().write_all(&answer)
    });
    Some(match answered {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Console::complain(&format!("cannot answer `{prompt}`: {error}"));
            ExitCode::FAILURE
        }
    })
}
