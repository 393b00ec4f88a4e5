//! A step as a reader of its scenario would call it.

use super::{Code, Plan, StepId, StepKind};
use crate::code::Dialect;
use crate::diagnostic::{Sources, visible};

/// `$ serve --port 8080`, `python: import os`, `start web`, `barrier loaded`: one line of at most `width` columns.
/// Code is shown as its author wrote it, with its holes, where it has no name.
pub fn caption(plan: &Plan, sources: &Sources, step: StepId, width: usize) -> String {
    let named = plan.steps[step].extra.as_ref().is_some_and(|extra| extra.name.is_some());
    let text = match plan.steps[step].kind {
        StepKind::Run(code) if !named => of_code(plan, sources, step, &plan.codes[code]),
        StepKind::Expect | StepKind::Put | StepKind::Get => {
            first_line(sources.text(plan.steps[step].span)).map_or_else(|| plan.label(step), str::to_owned)
        }
        StepKind::Run(_)
        | StepKind::Capture(..)
        | StepKind::Evaluate(_)
        | StepKind::Start(_)
        | StepKind::Stop(_)
        | StepKind::Prepare(_)
        | StepKind::Trigger(_)
        | StepKind::Join(_)
        | StepKind::Barrier(_)
        | StepKind::Signal
        | StepKind::Wait(_) => plan.label(step),
    };
    visible::shorten(&text, width)
}

fn of_code(plan: &Plan, sources: &Sources, step: StepId, code: &Code) -> String {
    let interpreter = &plan.interpreters[code.interpreter];
    let first = match written(sources, code) {
        Some(first) if !code.holes.is_empty() => first.to_owned(),
        Some(_) | None => plan.label(step),
    };
    match interpreter.dialect {
        Dialect::Shell => format!("$ {first}"),
        Dialect::Exec if first == *interpreter.name => first,
        Dialect::Python | Dialect::Exec | Dialect::Other => format!("{}: {first}", interpreter.name),
    }
}

/// The first line of code as it stands in the scenario.
fn written<'a>(sources: &'a Sources, code: &Code) -> Option<&'a str> {
    let first = first_line(sources.text(code.span))?;
    Some(first.strip_prefix("$ ").unwrap_or(first))
}

fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::code::Interpreter;
    use crate::plan::sketch::sketch;
    use crate::plan::{Expr, Field, ValueId};

    const TEXT: &str = "web: $ curl http://${{db.host}}/; barrier ready; $ cleanup --everything";

    fn captions(change: impl FnOnce(&mut Plan)) -> Vec<String> {
        let mut plan = sketch(TEXT);
        change(&mut plan);
        let mut sources = Sources::default();
        sources.add("deploy.ms", TEXT);
        plan.steps.ids().map(|step| caption(&plan, &sources, step, 28)).collect()
    }

    #[test]
    fn code_is_shown_as_it_was_written() {
        let hole = Expr::Value(ValueId(0), Field::Whole);
        let shown = captions(|plan| {
            let StepKind::Run(code) = plan.steps[StepId(0)].kind else { unreachable!() };
            plan.codes[code].text = "curl http://\"$MSTREAM_1\"/".into();
            plan.codes[code].holes = [hole].into();
        });
        assert_eq!(shown, ["$ curl http://${{db.host}}/", "barrier ready", "$ cleanup --everything"]);
    }

    #[test]
    fn other_interpreters_are_named_and_names_win() {
        let shown = captions(|plan| {
            let python = Interpreter { name: "python".into(), command: Vec::new(), dialect: Dialect::Python };
            let python = plan.interpreters.push(python);
            for code in plan.codes.ids() {
                plan.codes[code].interpreter = python;
                plan.codes[code].text = "\n  import os\u{1b}\n  os.exit()".into();
            }
            plan.steps[StepId(2)].extra.get_or_insert_default().name = Some(Arc::from("tidy up"));
        });
        assert_eq!(shown, ["python: import os^[", "barrier ready", "tidy up"]);
    }
}
