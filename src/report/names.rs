//! What reports call streams and steps, and where those were written.

use std::sync::Arc;

use unicode_width::UnicodeWidthStr as _;

use super::visible;
use crate::code::Dialect;
use crate::diagnostic::Sources;
use crate::event::Origin;
use crate::plan::{BarrierId, Plan, StepId, StepKind};
use crate::scenario::StreamId;

/// A longer label is cut.
const LABEL: usize = 60;
/// Names are padded to the longest one, but to no more than this.
const NAME: usize = 24;

/// The plan and its texts, asked for names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) plan: Arc<Plan>,
    pub(super) sources: Arc<Sources>,
}

impl Names {
    /// A stream's name, visible.
    pub(super) fn stream(&self, stream: StreamId) -> String {
        visible::text(&self.plan.streams[stream].name)
    }

    /// The name of a step's stream.
    pub(super) fn stream_of(&self, step: StepId) -> String {
        self.stream(self.plan.steps[step].stream)
    }

    /// `$ serve --port 8080`, `python: import os`, `start web`, `barrier loaded`: one line, cut where it is long.
    pub(super) fn label(&self, step: StepId) -> String {
        shorten(&self.whole_label(step), LABEL)
    }

    fn whole_label(&self, step: StepId) -> String {
        let it = &self.plan.steps[step];
        let named = it.extra.as_ref().is_some_and(|extra| extra.name.is_some());
        let StepKind::Run(code) = it.kind else { return self.plan.label(step) };
        let code = &self.plan.codes[code];
        let interpreter = &self.plan.interpreters[code.interpreter];
        if named {
            return self.plan.label(step);
        }
        let first = match self.written(code) {
            Some(first) if !code.holes.is_empty() => first,
            Some(_) | None => self.plan.label(step),
        };
        match interpreter.dialect {
            Dialect::Shell => format!("$ {first}"),
            Dialect::Exec if first == *interpreter.name => first,
            Dialect::Python | Dialect::Exec | Dialect::Other => format!("{}: {first}", interpreter.name),
        }
    }

    /// The first line of code as its author wrote it, holes and all.
    fn written(&self, code: &crate::plan::Code) -> Option<String> {
        let text = self.sources.text(code.span);
        let first = text.lines().map(str::trim).find(|line| !line.is_empty())?;
        Some(first.strip_prefix("$ ").unwrap_or(first).to_owned())
    }

    /// `deploy.ms:18`
    pub(super) fn place(&self, step: StepId) -> String {
        visible::text(&self.sources.place(self.plan.steps[step].span))
    }

    /// The line alone, for where there is little room.
    pub(super) fn line(&self, step: StepId) -> u32 {
        self.sources.location(self.plan.steps[step].span).line
    }

    /// Where a stream was declared, or first used.
    pub(super) fn declared(&self, stream: StreamId) -> String {
        visible::text(&self.sources.place(self.plan.streams[stream].span))
    }

    /// The name of the background process that a `start` or a `prepare` makes; of others the label.
    pub(super) fn process(&self, step: StepId) -> String {
        let (StepKind::Start(handle) | StepKind::Prepare(handle)) = self.plan.steps[step].kind else {
            return self.label(step);
        };
        visible::text(&self.plan.handles[handle].name)
    }

    /// Whether a failure of this step neither stops its stream nor counts.
    pub(super) fn may_fail(&self, step: StepId) -> bool {
        let options = self.plan.code_of(step).and_then(|code| code.options.as_ref());
        options.is_some_and(|options| options.may_fail)
            || self.plan.steps[step].extra.as_ref().is_some_and(|extra| extra.may_fail)
    }

    /// `web failed at deploy.ms:18`
    pub(super) fn origin(&self, origin: Origin) -> String {
        match origin {
            Origin::Step(step) => format!("{} failed at {}", self.stream_of(step), self.place(step)),
            Origin::Stream(stream) => format!("{} failed at {}", self.stream(stream), self.declared(stream)),
        }
    }

    /// `loaded`, `ready (2 of 3)`, `sync`, `start together`
    pub(super) fn meeting(&self, barrier: BarrierId) -> String {
        let label = self.plan.barrier_label(barrier);
        visible::text(label.strip_prefix("barrier ").unwrap_or(&label))
    }

    /// How wide a column for the names of all streams is.
    pub(super) fn width(&self) -> usize {
        self.plan.streams.values().map(|stream| stream.name.width()).max().unwrap_or(0).min(NAME)
    }
}

/// The first line, visible, in at most `width` columns.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let mut lines = text.lines();
    let first = visible::text(lines.next().unwrap_or_default());
    if first.width() <= width { first } else { fit(&first, width) }
}

/// `text` in exactly as many columns as fit, with `…` at its end if something is missing.
pub(super) fn fit(text: &str, width: usize) -> String {
    use unicode_width::UnicodeWidthChar as _;
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let kept = text.chars().take_while(|character| {
        let wide = character.width().unwrap_or(0);
        let fits = wide <= room;
        room = room.saturating_sub(wide);
        fits
    });
    kept.chain((width > 0).then_some('…')).collect()
}

/// `text` with blanks up to `width` columns.
pub(super) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_wide_text_is_cut_at_the_column() {
        let all = [("short", 9), ("exactly it", 10), ("too long for it", 8), ("日本語テキスト", 7), ("x", 0)];
        assert_eq!(all.map(|(text, width)| fit(text, width)), ["short", "exactly it", "too lon…", "日本語…", ""]);
        assert_eq!(shorten("first\nsecond", 20), "first");
        assert_eq!(shorten("a\u{1b}[31mb\n", 20), "a^[[31mb");
    }
}
