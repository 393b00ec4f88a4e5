//! The front door: text in, a plan or everything that is wrong with it out. It runs nothing and connects nowhere.

mod allow;
mod lints;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Sources, Span};
use crate::params::Variant;
use crate::plan::{Plan, draft};
use crate::scenario::{Given, Loaded, Origin, Read, Settings, load, resolve, trees};
use crate::syntax::Value;

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// All texts that were read.
    pub sources: Sources,
    /// The plan; only where there is no error.
    pub plan: Option<Plan>,
    /// Everything there is to say, in source order.
    pub diagnostics: Vec<Diagnostic>,
    /// The parameters, with their values and where these come from.
    pub params: Vec<(Arc<str>, Value, Origin)>,
    /// What the parameter files say.
    pub given: Given,
    /// Which variant of the parameters this is.
    pub variant: Option<Arc<str>>,
}

/// How many diagnostics one file may have; the rest is counted.
const MAX_PER_FILE: usize = 50;

/// Checks the scenario at `path`. `read` gives the text of a file; only that of `path` itself is an error here.
pub fn check(path: &Path, settings: &Settings, read: &mut Read<'_>) -> io::Result<Checked> {
    Ok(judge(text(path, settings, read)?, None, settings))
}

/// Checks the scenario at `path` once for each variant of its parameters; there is always one at least.
pub fn check_variants(path: &Path, settings: &Settings, read: &mut Read<'_>) -> io::Result<Vec<Checked>> {
    let mut text = text(path, settings, read)?;
    let tree = Arc::clone(text.loaded.given.params.tree());
    if !tree.has_mux() {
        return Ok(vec![judge(text, None, settings)]);
    }
    let mut variants = match tree.variants() {
        Ok(variants) => variants.peekable(),
        Err(problem) => {
            text.problems.push(*problem);
            return Ok(vec![judge(text, None, settings)]);
        }
    };
    if variants.peek().is_none() {
        let message = "the filters of the parameters leave no variant";
        text.problems.push(Diagnostic::new(Code::EmptySelection, Span::default(), message));
        return Ok(vec![judge(text, None, settings)]);
    }
    Ok(variants.map(|variant| judge(text.clone(), Some(variant), settings)).collect())
}

/// Everything that was read.
#[derive(Clone)]
struct Text {
    loaded: Loaded,
    problems: Vec<Diagnostic>,
    unread: Unread,
    sources: Sources,
}

fn text(path: &Path, settings: &Settings, read: &mut Read<'_>) -> io::Result<Text> {
    let mut sources = Sources::default();
    let (mut loaded, mut problems) = load(path, read, &mut sources)?;
    let unread = Unread::new(&problems, &sources);
    problems.extend(trees(&mut loaded, settings, read, &mut sources));
    Ok(Text { loaded, problems, unread, sources })
}

/// What there is to say of it, with the parameters of one variant or of all.
fn judge(text: Text, variant: Option<Variant>, settings: &Settings) -> Checked {
    let Text { mut loaded, mut problems, unread, mut sources } = text;
    let allows = std::mem::take(&mut loaded.allows);
    let variant = variant.map(|variant| {
        loaded.given.params = variant.params;
        variant.id
    });
    let given = loaded.given.clone();
    let (scenario, found) = resolve(loaded, settings, &mut sources);
    let mut meaning = found;
    let mut draft = draft(&scenario);
    meaning.append(&mut draft.problems);
    meaning.extend(lints::lint(&scenario, &draft));
    meaning.retain(|problem| !(needs_whole_file(problem.code) && unread.explains(problem, &sources)));
    problems.extend(meaning);
    allow::apply(&mut problems, &allows, &sources);
    problems.sort_by_key(|problem| (problem.span, problem.code));
    problems.dedup();
    let sound = !problems.iter().any(Diagnostic::is_error);
    let plan = sound.then(|| draft.prove()).flatten();
    let params = scenario.params.iter().zip(scenario.origins.values());
    let params = params.map(|((name, value), origin)| (name.clone(), value.clone(), *origin)).collect();
    Checked { diagnostics: capped(problems), sources, plan, params, given, variant }
}

/// What stands in lines that could not be read: a follow-up of one of them is not told.
#[derive(Clone)]
struct Unread {
    words: HashSet<String>,
    /// Whether the end of a block or a fence is missing, so that nobody knows what was meant to stand where.
    open: bool,
    /// Whether an import is missing, and nobody knows what it would have defined.
    missing: bool,
}

impl Unread {
    fn new(problems: &[Diagnostic], sources: &Sources) -> Self {
        let mut words = HashSet::new();
        for problem in problems.iter().filter(|problem| problem.is_error()) {
            let file = sources.file(problem.span.file);
            let last = file.location(problem.span.end.max(problem.span.start + 1) - 1).line;
            for line in sources.location(problem.span).line..=last {
                words.extend(names(without_comment(&file.text()[file.line(line)])).map(str::to_owned));
            }
        }
        let open = |problem: &Diagnostic| {
            matches!(problem.code, Code::UnclosedBlock | Code::UnclosedFence | Code::LimitExceeded)
        };
        let missing = problems.iter().any(|problem| problem.code == Code::ImportNotFound);
        Self { words, open: problems.iter().any(open), missing }
    }

    /// Whether a line that could not be read names what this problem is about.
    fn explains(&self, problem: &Diagnostic, sources: &Sources) -> bool {
        let elsewhere = matches!(problem.code, Code::UnknownStream | Code::UnknownTask | Code::UnknownValue);
        // What does not exist stands at its place; the message may name things that do.
        let quoted = problem.message.split('`').skip(1).step_by(2).flat_map(names).filter(|_| !elsewhere);
        let mut about = quoted.chain(names(sources.text(problem.span)));
        // Where a name much like it exists, that is what was meant.
        self.open || self.missing && elsewhere && problem.help.is_none() || about.any(|name| self.words.contains(name))
    }
}

/// A line up to where a comment may begin.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with([' ', '\t']) || *at == 0);
    comment.map_or(line, |(at, _)| &line[..at])
}

/// The names in a text, keywords left out.
fn names(text: &str) -> impl Iterator<Item = &str> {
    const KEYWORDS: &[&str] = &["on", "barrier", "signal", "wait", "let", "stream", "shell", "echo", "self", "param"];
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
    words.filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_') && !KEYWORDS.contains(word))
}

/// Whether a bad line elsewhere may be all that is behind it: what a line that could not be read would have named,
/// used or met is not known.
fn needs_whole_file(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownStream
            | Code::UnknownTask
            | Code::UnknownValue
            | Code::UnknownKind
            | Code::ValueBeforeProduced
            | Code::UnusedStream
            | Code::UnusedTask
            | Code::UnusedBarrier
            | Code::UnusedValue
            | Code::LonelyBarrier
            | Code::PartiesDiffer
            | Code::UnequalRounds
            | Code::AdjacentBarriers
            | Code::EmptyBlock
            | Code::SignalNeverWaited
            | Code::WaitNeverSignalled
            | Code::HandleMisuse
            | Code::UnusedAllow
    )
}

/// At most [`MAX_PER_FILE`] of each file, then how many more there are.
fn capped(problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut kept: Vec<Diagnostic> = Vec::new();
    let (mut count, mut file) = (0, None);
    let mut rest: Vec<(usize, usize)> = Vec::new();
    for problem in problems {
        if file != Some(problem.span.file) {
            (count, file) = (0, Some(problem.span.file));
        }
        count += 1;
        if count <= MAX_PER_FILE {
            kept.push(problem);
        } else {
            match rest.last_mut() {
                Some((at, more)) if *at == kept.len() - 1 => *more += 1,
                _ => rest.push((kept.len() - 1, 1)),
            }
        }
    }
    for (at, more) in rest {
        kept[at].notes.push(format!("{more} more in this file are not shown"));
    }
    kept
}
