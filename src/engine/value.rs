//! What `let` has made, and what expressions see of a run.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::state::{Kept, State, Turn};
use super::{Captured, Engine};
use crate::event::{Exit, Made};
use crate::plan::{Context, Field, Plan, StepId, Unknown, ValueId, evaluate};
use crate::scenario::StreamId;
use crate::syntax::Value;

impl Made {
    pub(super) fn output(captured: Captured, exit: &Exit, duration: Duration) -> Self {
        let exit = match exit {
            Exit::Status(status) | Exit::OutOfMemory(status) => Some(i64::from(*status)),
            Exit::Signal(signal) => Some(128 + i64::from(*signal)),
            Exit::NotStarted(_) | Exit::Refused(_) | Exit::Lost(_) => None,
        };
        Self::Output { stdout: text(captured.stdout), stderr: text(captured.stderr), exit, duration }
    }

    fn field(&self, field: Field) -> Option<Value> {
        match (self, field) {
            (Self::Value(value), Field::Whole) => Some(value.clone()),
            (Self::Value(_), _) => None,
            (Self::Output { stdout, .. }, Field::Whole) => Some(trimmed(stdout)),
            (Self::Output { stdout, .. }, Field::Stdout) => Some(stdout.clone()),
            (Self::Output { stderr, .. }, Field::Stderr) => Some(stderr.clone()),
            (Self::Output { exit, .. }, Field::Exit) => exit.map(Value::Int),
            (Self::Output { duration, .. }, Field::Duration) => Some(Value::Duration(*duration)),
            (Self::Output { stdout, .. }, Field::Json) => {
                serde_json::from_slice::<serde_json::Value>(&stdout.to_bytes()).ok().map(Value::from)
            }
        }
    }
}

fn text(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text.into()),
        Err(raw) => Value::Bytes(raw.into_bytes().into()),
    }
}

/// Without the newlines at its end, as `$( )` has it.
fn trimmed(stdout: &Value) -> Value {
    match stdout {
        Value::Text(text) => match text.trim_end_matches('\n') {
            short if short.len() < text.len() => Value::Text(short.into()),
            _ => stdout.clone(),
        },
        Value::Bytes(bytes) => {
            let end = bytes.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
            Value::Bytes(bytes[..end].into())
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Duration(_)
        | Value::Size(_)
        | Value::Regex(_)
        | Value::List(_)
        | Value::Map(_) => stdout.clone(),
    }
}

/// What an expression sees.
struct View<'a> {
    plan: &'a Plan,
    state: &'a State,
    secrets: &'a IndexMap<Arc<str>, Value>,
}

impl Context for View<'_> {
    fn value(&self, id: ValueId, field: Field) -> Option<Value> {
        match &self.state.values[id] {
            Kept::Private(made) | Kept::Made(made) => made.field(field),
            Kept::Pending | Kept::Absent | Kept::Broken(_) => None,
        }
    }

    fn host(&self, stream: StreamId) -> Option<Value> {
        let host = self.state.lanes[stream].host.as_ref().or(self.plan.streams[stream].host.as_ref());
        host.map(|host| Value::Text(Arc::clone(host)))
    }

    fn success(&self, stream: StreamId) -> bool {
        self.state.lanes[stream].passed
    }

    fn secret(&self, name: &str) -> Option<Value> {
        self.secrets.get(name).cloned()
    }

    fn name(&self, id: ValueId) -> Arc<str> {
        Arc::clone(&self.plan.values[id].name)
    }
}

impl Turn<'_> {
    /// Whether all that the code or the paths of a step are made of is there; the error says in words what is not.
    pub(super) fn known(&self, step: StepId) -> Result<(), Unknown> {
        let (view, it) = (self.view(), &self.plan.steps[step]);
        let paths = it.extra.iter().flat_map(|extra| &extra.paths).flat_map(|(from, to)| [from, to]);
        let code = self.plan.code_of(step);
        let options = code.and_then(|code| code.options.as_deref());
        let of_options = options.into_iter().flat_map(|options| {
            let env = options.env.iter().map(|(_, value)| value);
            env.chain(&options.dir).chain(&options.user).chain(&options.stdin)
        });
        let mut all = code.into_iter().flat_map(|code| &code.holes).chain(of_options).chain(paths);
        all.try_for_each(|expr| evaluate(expr, &view).map(drop))
    }

    /// What the expressions of a step see now.
    pub(super) fn view(&self) -> impl Context {
        View { plan: self.plan, state: self.state, secrets: self.secrets }
    }
}

impl Engine {
    fn view(&self) -> View<'_> {
        View { plan: &self.plan, state: &self.state, secrets: &self.secrets }
    }
}

/// What the options and holes of a step see while the engine waits for what it asked for.
impl Context for Engine {
    fn value(&self, id: ValueId, field: Field) -> Option<Value> {
        self.view().value(id, field)
    }

    fn host(&self, stream: StreamId) -> Option<Value> {
        self.view().host(stream)
    }

    fn success(&self, stream: StreamId) -> bool {
        self.view().success(stream)
    }

    fn secret(&self, name: &str) -> Option<Value> {
        self.view().secret(name)
    }

    fn name(&self, id: ValueId) -> Arc<str> {
        self.view().name(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newlines_at_the_end_of_an_output_are_not_part_of_its_value() {
        for (whole, short) in [("a\n\n", "a"), ("\na", "\na"), ("\n", ""), ("", ""), ("a \n", "a ")] {
            assert_eq!(trimmed(&Value::Text(whole.into())), Value::Text(short.into()));
            assert_eq!(trimmed(&Value::Bytes(whole.as_bytes().into())), Value::Bytes(short.as_bytes().into()));
        }
    }
}
