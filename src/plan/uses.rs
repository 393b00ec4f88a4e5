//! Which values a step uses, its own stream's as well: what it needs of others alone stands in [`super::Extra::needs`].

use super::{Code, Expr, Need, Plan, Probe, StepId, StepKind, ValueId};

impl Plan {
    /// All values in the code, the options, the paths and the conditions of a step.
    pub fn values_of(&self, step: StepId) -> Vec<ValueId> {
        let mut used = Vec::new();
        let mut note = |expr: &Expr| {
            used.extend(expr.needs().into_iter().filter_map(|need| match need {
                Need::Value(value) => Some(value),
                Need::Host(_) | Need::End(_) => None,
            }));
        };
        let it = &self.steps[step];
        if let Some(code) = self.code_of(step) {
            of_code(code, &mut note);
        }
        if let StepKind::Start(handle) = it.kind {
            for probe in self.handles[handle].ready.iter().chain(&self.handles[handle].alive) {
                match probe {
                    Probe::Port(expr) | Probe::File(expr) => note(expr),
                    Probe::Code(code) => of_code(&self.codes[*code], &mut note),
                    Probe::Output(_) => {}
                }
            }
        }
        if let Some(extra) = &it.extra {
            extra.when.iter().chain(&extra.expression).for_each(&mut note);
            extra.paths.iter().flat_map(|(from, to)| [from, to]).for_each(&mut note);
        }
        used
    }
}

/// Hands every expression in code and its options to `note`.
pub(super) fn of_code(code: &Code, note: &mut impl FnMut(&Expr)) {
    code.holes.iter().for_each(&mut *note);
    if let Some(options) = &code.options {
        options.env.iter().for_each(|(_, value)| note(value));
        options.dir.iter().chain(&options.user).chain(&options.stdin).for_each(note);
    }
}
