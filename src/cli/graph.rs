//! `mstream graph export`: the plan for review.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::files::{checked, replace, show};
use super::{Console, Inputs, WRONG};
use crate::graph::{Format, export};

/// `mstream graph`
#[derive(Subcommand, Debug)]
pub(super) enum Graph {
    /// Write the plan of a scenario as a graph.
    Export(Export),
}

/// `mstream graph export`
#[derive(Args, Debug)]
pub(super) struct Export {
    /// The scenario.
    file: PathBuf,
    /// `text`, `table`, `dot`, `mermaid` or `json`; by default what the ending of the output says, else `text`.
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<Format>,
    /// Write it there instead of to stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    inputs: Inputs,
}

fn format(name: &str) -> Result<Format, String> {
    let found = Format::ALL.iter().find(|(_, known)| *known == name);
    found
        .map(|(format, _)| *format)
        .ok_or_else(|| format!("the formats are: {}", Format::ALL.map(|(_, name)| name).join(", ")))
}

pub(super) fn graph(it: &Graph, console: &Console) -> u8 {
    let Graph::Export(it) = it;
    let found = match checked(&it.file, &it.inputs.settings()) {
        Ok(found) => found,
        Err(code) => return code,
    };
    show(&found, console);
    let Some(plan) = found.plan else { return WRONG };
    let format = match (&it.format, &it.output) {
        (Some(format), _) => *format,
        (None, None) => Format::Text,
        (None, Some(path)) => {
            let Some(format) = Format::from_extension(path) else {
                let path = path.display();
                Console::complain(&format!("the ending of `{path}` names no format; give one with --format"));
                return WRONG;
            };
            format
        }
    };
    let text = export(&plan, &found.sources, format);
    match &it.output {
        None => Console::result(&text),
        Some(path) => {
            if let Err(error) = replace(path, &text) {
                Console::complain(&format!("cannot write `{}`: {error}", path.display()));
                return 3;
            }
        }
    }
    0
}
