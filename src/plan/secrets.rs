//! Which secrets a plan asks for, so that a missing one is told before anything runs.

use std::sync::Arc;

use indexmap::IndexSet;

use super::uses::of_code;
use super::{Expr, Plan, Probe};
use crate::syntax::Value;

impl Plan {
    /// The names in all `secret("NAME")`, each once.
    pub fn secrets(&self) -> IndexSet<Arc<str>> {
        let mut names = IndexSet::new();
        let mut note = |expr: &Expr| collect(expr, &mut names);
        for code in self.codes.values() {
            of_code(code, &mut note);
        }
        for handle in self.handles.values() {
            for probe in handle.ready.iter().chain(&handle.alive) {
                match probe {
                    Probe::Port(expr) | Probe::File(expr) => note(expr),
                    Probe::Output(_) | Probe::Code(_) => {}
                }
            }
        }
        for extra in self.steps.values().filter_map(|step| step.extra.as_ref()) {
            extra.when.iter().chain(&extra.expression).for_each(&mut note);
            extra.paths.iter().flat_map(|(from, to)| [from, to]).for_each(&mut note);
        }
        for stream in self.streams.values() {
            stream.keys.iter().for_each(|(_, value)| note(value));
        }
        names
    }

    /// The passwords that stand in keys of streams as they are, each under a name that says where. A file may have
    /// thousands of streams; those without a step are left out.
    pub fn passwords(&self) -> impl Iterator<Item = (Arc<str>, Value)> {
        let busy = self.streams.values().filter(|stream| stream.timeline.start < stream.cleanup.end);
        busy.flat_map(|stream| {
            let known = stream.keys.iter().filter(|(key, _)| &**key == "password");
            known.filter_map(|(_, value)| {
                let password = value.as_constant()?.clone();
                Some((format!("the password of {}", stream.name).into(), password))
            })
        })
    }
}

fn collect(expr: &Expr, names: &mut IndexSet<Arc<str>>) {
    match expr {
        Expr::Secret(name) => {
            names.insert(name.clone());
        }
        Expr::Constant(_) | Expr::Value(..) | Expr::Host(_) | Expr::Success(_) => {}
        Expr::Index(base, index) => {
            collect(base, names);
            collect(index, names);
        }
        Expr::List(items) | Expr::Concat(items) => items.iter().for_each(|item| collect(item, names)),
        Expr::Map(pairs) => pairs.iter().for_each(|(_, value)| collect(value, names)),
        Expr::Not(inner) => collect(inner, names),
        Expr::Binary(parts, _) => {
            collect(&parts.0, names);
            collect(&parts.2, names);
        }
    }
}
