//! `mstream explain MS201`: the page of a code.

use clap::Args;

use super::{Console, WRONG};
use crate::diagnostic::{Code, similar};

/// `mstream explain`
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The code, `MS201`, or its name, `deadlock`; without one, all of them.
    code: Option<String>,
}

pub(super) fn explain(it: &Explain) -> u8 {
    let Some(text) = &it.code else {
        let line = |code: &Code| format!("{code}  {:7}  {}\n", code.severity().name(), code.name());
        Console::result(&Code::ALL.iter().map(line).collect::<String>());
        return 0;
    };
    if let Ok(code) = text.parse::<Code>() {
        Console::result(code.page());
        return 0;
    }
    let upper = text.to_uppercase();
    let near = similar(&upper, Code::ALL.iter().map(|code| code.id()))
        .or_else(|| similar(text, Code::ALL.iter().map(|code| code.name())));
    let help = near
        .map_or_else(|| "`mstream explain` lists them all".to_owned(), |near| format!("a similar one exists: {near}"));
    Console::complain(&format!("there is no code `{text}`; {help}"));
    WRONG
}
