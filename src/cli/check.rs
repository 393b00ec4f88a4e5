//! `mstream check`: all mistakes of all files in one go. It runs nothing.

use clap::{Args, ValueEnum};

use super::files::{checked, checked_variants, joined};
use super::{Console, Scenarios, WRONG};
use crate::diagnostic::{Diagnostic, Form, Severity, Sources, render};

/// `mstream check`
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    scenarios: Scenarios,
    /// Check each variant of the parameters.
    #[arg(long)]
    variants: bool,
    /// How to write what is found.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Fail on these as well.
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
}

/// How diagnostics are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// Drawn with the source lines.
    Human,
    /// `file:line:col: error[MS201]: message`
    Concise,
    /// One document, for tools.
    Json,
}

/// What fails a check beside errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Deny {
    /// Warnings.
    Warnings,
}

pub(super) fn check(it: &Check, console: &Console) -> u8 {
    let settings = it.scenarios.inputs.settings();
    let (mut all, mut sources, mut unreadable) = (Vec::new(), Sources::default(), 0);
    for path in &it.scenarios.files {
        let found =
            if it.variants { checked_variants(path, &settings) } else { checked(path, &settings).map(|it| vec![it]) };
        let Ok(found) = found else {
            unreadable += 1;
            continue;
        };
        if let Some(first) = found.first() {
            merge(&mut all, &mut sources, joined(&found), &first.sources);
        }
    }
    let (errors, warnings) = counts(&all);
    match it.format {
        Format::Human => {
            let form = Form::Human { color: console.out_color };
            Console::result(&render(&all, &sources, form));
            Console::result(&summary([it.scenarios.files.len() - unreadable, unreadable], errors, warnings));
        }
        Format::Concise => Console::result(&render(&all, &sources, Form::Concise)),
        Format::Json => Console::result(&render(&all, &sources, Form::Json)),
    }
    match (errors, warnings) {
        (1.., _) => WRONG,
        _ if unreadable > 0 => WRONG,
        (0, 1..) if it.deny == Some(Deny::Warnings) => 1,
        (0, _) => 0,
    }
}

/// Adds the diagnostics of one scenario, and its files, to those of all.
fn merge(all: &mut Vec<Diagnostic>, sources: &mut Sources, mut found: Vec<Diagnostic>, files: &Sources) {
    let ids: Vec<_> = files.iter().map(|(_, file)| sources.share(file)).collect();
    for problem in &mut found {
        problem.span.file = ids[problem.span.file.0 as usize];
        for other in &mut problem.others {
            other.span.file = ids[other.span.file.0 as usize];
        }
    }
    all.append(&mut found);
}

fn counts(all: &[Diagnostic]) -> (usize, usize) {
    let errors = all.iter().filter(|problem| problem.severity == Severity::Error).count();
    (errors, all.len() - errors)
}

/// The last line: how many files were checked, how many could not be read, and what was found.
fn summary([checked, unreadable]: [usize; 2], errors: usize, warnings: usize) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let found = match (errors, warnings) {
        (0, 0) => "no problems".to_owned(),
        (0, _) => count(warnings, "warning"),
        (_, 0) => count(errors, "error"),
        (_, _) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    let unread = format!("{} could not be read", count(unreadable, "file"));
    match (checked, unreadable) {
        (_, 0) => format!("{} checked: {found}\n", count(checked, "file")),
        (0, _) => format!("{unread}\n"),
        (_, _) => format!("{} checked: {found}; {unread}\n", count(checked, "file")),
    }
}
