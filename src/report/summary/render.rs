//! The summary as text: origins first, the verdict on the last line.

use indexmap::IndexMap;

use super::super::watch::Done;
use super::super::{paint, verdict, words};
use super::origin::{Entry, Suffering};
use super::{Summary, meetings};
use crate::event::{Origin, Urgency};
use crate::plan::{Need, StepId, StepKind};
use crate::scenario::StreamId;

/// Of so many who suffer from one origin their names are told.
const SUFFERING: usize = 10;
/// Of so many streams that failed alike the names are told.
const TOGETHER: usize = 8;

/// The whole text.
pub(super) fn render(summary: &Summary) -> String {
    let mut out = String::new();
    for group in groups(summary) {
        section(&mut out, origin(summary, &group));
    }
    if summary.more_origins > 0 {
        section(&mut out, vec![format!("and {} more failures of their own", summary.more_origins)]);
    }
    section(&mut out, stopped(summary));
    section(&mut out, leaks(summary));
    section(&mut out, cuts(summary));
    section(&mut out, headed(summary, "who waited", meetings::table(&summary.names, &summary.met)));
    section(&mut out, headed(summary, "started together", gates(summary)));
    section(&mut out, taken(summary).into_iter().chain([last_line(summary)]).collect());
    out
}

/// Lines with a blank one before them, unless there are none.
fn section(out: &mut String, lines: Vec<String>) {
    if !lines.is_empty() && !out.is_empty() {
        out.push('\n');
    }
    for line in lines {
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn headed(summary: &Summary, head: &str, lines: Vec<String>) -> Vec<String> {
    let head = (!lines.is_empty()).then(|| summary.style.paint(paint::BOLD, head));
    head.into_iter().chain(lines.into_iter().map(|line| format!("  {line}"))).collect()
}

/// Failures that are told as one, the first of them first.
type Group<'a> = Vec<(Origin, &'a Entry)>;

/// The origins in order; those of one statement in several streams that say the same stand together.
fn groups(summary: &Summary) -> Vec<Group<'_>> {
    let statement =
        |origin: Origin| origin.step().map(|step| (summary.names.plan.steps[step].span, summary.names.label(step)));
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (origin, entry) in &summary.origins {
        let like = |group: &&mut Group<'_>| {
            let (first, told) = group[0];
            statement(*origin).is_some() && statement(first) == statement(*origin) && told.says_the_same_as(entry)
        };
        match groups.iter_mut().find(like) {
            Some(group) => group.push((*origin, entry)),
            None => groups.push(vec![(*origin, entry)]),
        }
    }
    groups
}

fn origin(summary: &Summary, group: &Group<'_>) -> Vec<String> {
    let (first, entry) = group[0];
    let mut lines = vec![summary.style.paint(paint::BAD, &head(summary, first, group))];
    let how = if entry.how.is_empty() { "failed" } else { &entry.how };
    let note = if entry.surroundings { " (a fault of the surroundings, not of the test)" } else { "" };
    lines.push(format!("  {how}{}{note}", after(group)));
    lines.extend(entry.details.iter().map(|line| format!("    {line}")));
    lines.extend(first.step().map(|step| uses_of_the_gone(summary, step)).unwrap_or_default());
    lines.extend(entry.output.iter().map(|line| format!("  │ {line}")));
    lines.extend(missing(summary, entry));
    lines.extend(suffering(summary, group));
    lines
}

/// Who failed, in what, and where.
fn head(summary: &Summary, first: Origin, group: &Group<'_>) -> String {
    let names = &summary.names;
    match first {
        Origin::Step(step) if group.len() == 1 => step_line(summary, step),
        Origin::Step(step) => {
            let mut steps: Vec<StepId> = group.iter().filter_map(|(origin, _)| origin.step()).collect();
            steps.sort_by_key(|step| names.plan.steps[*step].stream);
            let streams: Vec<String> = steps.iter().map(|step| names.stream_of(*step)).collect();
            let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
            format!("{}: {}", words::list(&streams, TOGETHER), step_words(summary, step))
        }
        Origin::Stream(stream) => format!("{} · {}", names.stream(stream), names.declared(stream)),
    }
}

/// What a step uses of streams that went away, a line a stream: it may have failed of that, even before anybody noticed.
fn uses_of_the_gone(summary: &Summary, step: StepId) -> Vec<String> {
    let names = &summary.names;
    let plan = &names.plan;
    let needs = plan.steps[step].extra.iter().flat_map(|extra| &extra.needs);
    let used = needs.filter_map(|need| match *need {
        Need::Host(stream) => Some((stream, "the address".to_owned())),
        Need::Value(value) => {
            let made = &plan.values[value];
            Some((plan.steps[made.step].stream, format!("the value {}", made.name)))
        }
        Need::End(_) => None,
    });
    let mut lines: IndexMap<StreamId, String> = IndexMap::new();
    for (stream, what) in used.filter(|(stream, _)| summary.origins.contains_key(&Origin::Stream(*stream))) {
        let (name, place) = (names.stream(stream), names.declared(stream));
        lines.entry(stream).or_insert_with(|| format!("    it uses {what} of {name}, which went away · {place}"));
    }
    lines.into_values().collect()
}

/// ` after 3ms`, of several ` after 3ms to 41ms`; nothing where no process ended of itself.
fn after(group: &Group<'_>) -> String {
    let took = || group.iter().filter_map(|(_, entry)| entry.took);
    match (took().min(), took().max()) {
        (Some(shortest), Some(longest)) if words::elapsed(shortest) != words::elapsed(longest) => {
            format!(" after {} to {}", words::elapsed(shortest), words::elapsed(longest))
        }
        (Some(took), _) => format!(" after {}", words::elapsed(took)),
        (None, _) => String::new(),
    }
}

/// `web: $ serve --port 8080 · deploy.ms:12`
fn step_line(summary: &Summary, step: StepId) -> String {
    format!("{}: {}", summary.names.stream_of(step), step_words(summary, step))
}

fn step_words(summary: &Summary, step: StepId) -> String {
    let names = &summary.names;
    let cleanup = names.plan.stream_of(step).cleanup.contains(&step);
    let when = if cleanup { "finally: " } else { "" };
    format!("{when}{} · {}", names.label(step), names.place(step))
}

fn missing(summary: &Summary, entry: &Entry) -> Vec<String> {
    let mut lines = Vec::new();
    if !entry.arrived.is_empty() {
        let names: Vec<String> = entry.arrived.iter().map(|stream| summary.names.stream(*stream)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        lines.push(format!("  had come: {}", words::list(&names, 8)));
    }
    for (stream, doing, output) in &entry.missing {
        lines.push(format!("  had not: {}, {doing}", summary.names.stream(*stream)));
        lines.extend(output.iter().map(|line| format!("    │ {line}")));
    }
    lines.extend((entry.more_missing > 0).then(|| format!("  had not: {} others", entry.more_missing)));
    lines
}

fn suffering(summary: &Summary, group: &Group<'_>) -> Vec<String> {
    let names = &summary.names;
    let line = |(step, how): &(StepId, Suffering)| {
        let meets = matches!(names.plan.steps[*step].kind, StepKind::Barrier(_) | StepKind::Wait(_));
        let how = match how {
            Suffering::Broken if meets => "broken at",
            Suffering::Broken => "broken before",
            Suffering::Cancelled => "cancelled in",
            Suffering::Stream => "did not get through",
        };
        format!("    {}: {how} {} · {}", names.stream_of(*step), names.label(*step), names.place(*step))
    };
    let all: Vec<_> = group.iter().flat_map(|(_, entry)| &entry.suffering).collect();
    let head = (!all.is_empty()).then(|| "  because of it".to_owned());
    let more = all.len().checked_sub(SUFFERING).filter(|more| *more > 0).map(|more| format!("    and {more} more"));
    head.into_iter().chain(all.into_iter().take(SUFFERING).map(line)).chain(more).collect()
}

/// What an interruption or the end of the time for the run found running.
fn stopped(summary: &Summary) -> Vec<String> {
    let head = match summary.interrupted {
        Some((Urgency::Orderly, at)) => {
            format!("interrupted after {}: steps were stopped, `finally` ran", words::elapsed(at))
        }
        Some((Urgency::AtOnce, at)) => {
            format!("interrupted twice, the second time after {}: ended at once", words::elapsed(at))
        }
        None if summary.journal_failed => {
            "the journal could not be written: steps were stopped, `finally` ran".to_owned()
        }
        None if summary.run_timed_out => "the time for the whole run was over".to_owned(),
        None => return Vec::new(),
    };
    let mut lines = vec![summary.style.paint(paint::BAD, &head)];
    for (step, output) in &summary.stopped {
        lines.push(format!("  stopped {}", step_line(summary, *step)));
        lines.extend(output.iter().map(|line| format!("    │ {line}")));
    }
    lines.extend((summary.more_stopped > 0).then(|| format!("  and {} more", summary.more_stopped)));
    lines
}

fn leaks(summary: &Summary) -> Vec<String> {
    let line = |(stream, step, leak): &(StreamId, Option<StepId>, crate::event::Leak)| {
        let whose = step.map_or_else(|| summary.names.stream(*stream), |step| step_line(summary, step));
        format!("{whose}: {}", words::leak(leak))
    };
    let more = (summary.more_leaks > 0).then(|| format!("and {} more", summary.more_leaks));
    headed(summary, "left behind", summary.leaks.iter().map(line).chain(more).collect())
}

fn cuts(summary: &Summary) -> Vec<String> {
    let line = |(step, bytes): (&StepId, &u64)| format!("{}: {}", step_line(summary, *step), words::size(*bytes));
    let more = summary.cuts.len().checked_sub(super::NAMED).filter(|more| *more > 0);
    let more = more.map(|more| format!("and of {more} more steps"));
    headed(summary, "output that was not kept", summary.cuts.iter().take(super::NAMED).map(line).chain(more).collect())
}

fn gates(summary: &Summary) -> Vec<String> {
    let line = |(barrier, skew): &(crate::plan::BarrierId, std::time::Duration)| {
        let parties = &summary.names.plan.barriers[*barrier].parties;
        let first = parties.first().map_or_else(String::new, |step| format!(" · {}", summary.names.place(*step)));
        format!("{} within {}{first}", words::count(parties.len(), "stream", "streams"), words::elapsed(*skew))
    };
    summary.gates.iter().take(super::NAMED).map(line).collect()
}

/// `12 steps taken from run 20261122-154501-k3f9`
fn taken(summary: &Summary) -> Option<String> {
    let run = summary.resumed.as_ref()?;
    Some(format!("{} taken from run {run}", words::count(summary.watch.taken, "step", "steps")))
}

/// `failed in 4.1s: 8 steps, 3 passed, 1 failed, 2 broken, 2 never started`
fn last_line(summary: &Summary) -> String {
    let (head, look) = match summary.verdict {
        Some(it) => (verdict::headline(it), if it.exit_code() == 0 { paint::GOOD } else { paint::BAD }),
        None => ("not finished", paint::BAD),
    };
    let counts = counts(summary);
    let counts = if counts.is_empty() { String::new() } else { format!(", {}", counts.join(", ")) };
    let steps = words::count(summary.watch.steps.len(), "step", "steps");
    format!("{} in {}: {steps}{counts}", summary.style.paint(look, head), words::elapsed(summary.last))
}

/// `3 passed`, `1 failed`, ...; nothing where all passed.
fn counts(summary: &Summary) -> Vec<String> {
    const WORDS: [(Done, &str); 10] = [
        (Done::Passed, "passed"),
        (Done::Failed, "failed"),
        (Done::TimedOut, "timed out"),
        (Done::Unreachable, "unreachable"),
        (Done::Lost, "lost"),
        (Done::Broken, "broken"),
        (Done::Cancelled, "cancelled"),
        (Done::Skipped, "skipped"),
        (Done::NotYet, "never started"),
        (Done::Excused, "failed as they may"),
    ];
    let mut counts = [0_usize; WORDS.len()];
    for done in summary.watch.steps.values() {
        counts[WORDS.iter().position(|(word, _)| word == done).unwrap_or_default()] += 1;
    }
    if counts[0] == summary.watch.steps.len() {
        return Vec::new();
    }
    let shown = counts.iter().zip(WORDS).filter(|(count, _)| **count > 0);
    shown.map(|(count, (_, word))| format!("{count} {word}")).collect()
}
