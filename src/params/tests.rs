//! Trees told as stories: files in; values, places and mistakes out.

mod lookup;
mod mistakes;

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{File, Limits, Params, Tree};
use crate::diagnostic::{Form, Sources, Span, render};

/// The tree of some files, of which the first `named` ones are asked for, and all that is wrong with them.
fn read(files: &[(&str, &str)], named: usize) -> (Arc<Tree>, Sources, String) {
    let mut read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or(io::Error::from(io::ErrorKind::NotFound))
    };
    let asked: Vec<File> =
        files[..named].iter().map(|(name, _)| File { path: name.into(), named: Span::default() }).collect();
    let mut sources = Sources::default();
    let (tree, problems) = Tree::read(&asked, &Limits::default(), &mut read, &mut sources);
    let told = render(&problems, &sources, Form::Concise);
    (tree, sources, told)
}

/// All that one right file says.
fn params(text: &str) -> (Params, Sources) {
    let (tree, sources, problems) = read(&[("a.yaml", text)], 1);
    assert_eq!(problems, "");
    (tree.all(), sources)
}

/// What a lookup finds: `value at path (file:line)`.
fn got(params: &Params, sources: &Sources, key: &str, path: &str) -> String {
    match params.get(key, path) {
        Ok(Some(hit)) => format!("{} at {} ({})", hit.value.node.value(), hit.path, sources.place(hit.value.span)),
        Ok(None) => "nothing".to_owned(),
        Err(clash) => {
            let hits: Vec<String> =
                clash.hits.iter().map(|hit| format!("{}={}", hit.path, hit.value.node.value())).collect();
            format!("clash: {}", hits.join(", "))
        }
    }
}
