//! Makes the process of a step from its code: holes and options get their values, and the interpreter is called.

use super::carry::Carrier;
use crate::backend::Job;
use crate::code::{Launch, command};
use crate::plan::{Code, Expr, Options, StepId, StepKind, evaluate};
use crate::syntax::Value;

/// The process of a step; the error is what keeps it from being one, in words.
pub(super) fn of_step(carrier: &Carrier<'_>, step: StepId) -> Result<Job, String> {
    let plan = &carrier.world.plan;
    let it = &plan.steps[step];
    let code = plan.code_of(step).ok_or_else(|| format!("`{}` runs no code", plan.label(step)))?;
    let gated = it.extra.as_ref().is_some_and(|extra| extra.gate.is_some());
    let staged = gated || matches!(it.kind, StepKind::Prepare(_));
    let job = of_code(carrier, step, code, staged)?;
    let watched = matches!(it.kind, StepKind::Start(_));
    Ok(Job { watched, capture: matches!(it.kind, StepKind::Capture(..)), ..job })
}

/// A process that runs `code` for a step.
pub(super) fn of_code(carrier: &Carrier<'_>, step: StepId, code: &Code, staged: bool) -> Result<Job, String> {
    let value = |expr: &Expr| evaluate(expr, &carrier.engine).map_err(|unknown| unknown.0);
    let none = Options::default();
    let options = code.options.as_deref().unwrap_or(&none);
    let text = |expr: &Option<Expr>| expr.as_ref().map(value).transpose();
    let values = code.holes.iter().map(value).collect::<Result<Vec<Value>, String>>()?;
    let mut env = Vec::with_capacity(options.env.len());
    for (name, expr) in &options.env {
        env.push((name.clone(), value(expr)?.to_bytes()));
    }
    let sources = carrier.world.sources;
    let launch = Launch {
        text: &code.text,
        values: &values,
        file: sources.file(code.span.file).name(),
        line: sources.location(code.span).line,
        strict: code.strict,
        staged,
        env,
        stdin: text(&options.stdin)?.map(|value| value.to_bytes()),
    };
    let command = command(&carrier.world.plan.interpreters[code.interpreter], launch)?;
    let shown = |value: Option<Value>| value.map(|value| value.to_string());
    let (dir, user) = (shown(text(&options.dir)?), shown(text(&options.user)?));
    Ok(Job { step, command, dir, user, staged, watched: false, capture: false })
}
