//! Values: who makes them, who uses them, and what is wrong between the two.

use std::sync::Arc;

use indexmap::IndexMap;

use super::build::{Builder, Cursor, Early, Export};
use super::{Need, Produced, StepId, ValueId};
use crate::diagnostic::{Code, Diagnostic, Span, similar};
use crate::scenario::{Id as _, StreamId};

/// What every stream has.
const OWN: [&str; 4] = ["host", "name", "index", "success"];

impl Builder<'_> {
    /// Every `let` by its place, once however many streams run it.
    pub(super) fn lets(&self) -> IndexMap<Span, (Arc<str>, bool)> {
        let made = self.plan.values.iter().filter_map(|(id, value)| Some((*self.made.get(&id)?, value)));
        made.map(|(span, value)| (span, (value.name.clone(), self.used.contains(&span)))).collect()
    }

    pub(super) fn values(&mut self) {
        let used = self.exports.values().filter(|export| export.used.is_some()).flat_map(|export| &export.made);
        self.used.extend(used.copied());
        let unknown: Vec<Diagnostic> =
            self.exports.iter().filter_map(|(key, export)| self.misused(key, export)).collect();
        let early: Vec<Diagnostic> = self.early.iter().filter_map(|asked| self.too_early(asked)).collect();
        for problem in unknown.into_iter().chain(early) {
            self.tell(problem);
        }
        let pairs: Vec<(StepId, ValueId)> = self
            .plan
            .steps
            .iter()
            .flat_map(|(id, step)| {
                let needs = step.extra.iter().flat_map(|extra| &extra.needs);
                needs.filter_map(move |need| match need {
                    Need::Value(value) => Some((id, *value)),
                    Need::Host(_) | Need::End(_) => None,
                })
            })
            .collect();
        for (step, value) in pairs {
            self.plan.values[value].users.push(step);
            self.guarded(step, value);
        }
    }

    /// A value that other streams wait for must be sure to come.
    fn guarded(&mut self, user: StepId, value: ValueId) {
        let made = &self.plan.values[value];
        let Some(producer) = made.step.index().lt(&self.plan.steps.len()).then(|| &self.plan.steps[made.step]) else {
            return;
        };
        if producer.extra.as_ref().is_some_and(|extra| extra.when.is_some()) {
            let message = format!("`{}` may never be made: the step that makes it is guarded", made.name);
            let problem = Diagnostic::new(Code::ConditionalBarrier, self.plan.steps[user].span, message);
            let problem = problem.label("waited for here").other(producer.span, "made only where its `when` holds");
            self.tell(problem.help("make the value always, and put the condition into it"));
        }
    }

    /// A value of another stream that nobody makes, or that is made more than once.
    fn misused(&self, (stream, name): &(StreamId, Arc<str>), export: &Export) -> Option<Diagnostic> {
        let used = export.used?;
        let owner = &self.scenario.streams.get(*stream).map_or("finally".into(), |stream| stream.name.clone());
        match &export.made[..] {
            [_] => None,
            [] => {
                let made = self.exports.iter().filter(|((by, _), it)| by == stream && !it.made.is_empty());
                let names: Vec<&str> = made.map(|((_, name), _)| &**name).collect();
                let known = names.iter().copied().chain(OWN);
                let problem = Diagnostic::new(Code::UnknownValue, used, format!("`{owner}` makes no value `{name}`"));
                match similar(name, known.clone()) {
                    Some(_) => Some(problem.near("value", name, known)),
                    None if self.unsure.contains(stream) => None,
                    None => Some(problem.help(format!("it has: {}", known.collect::<Vec<_>>().join(", ")))),
                }
            }
            [first, second, ..] => {
                let message =
                    format!("`{owner}` makes `{name}` more than once, and it is not clear which one is meant");
                let problem = Diagnostic::new(Code::DuplicateName, used, message).label("used by another stream here");
                let again = if first == second { "and again, in a loop" } else { "and again here" };
                Some(problem.other(*first, "made here").other(*second, again))
            }
        }
    }

    /// An own value used where it is not there (yet). Nothing where it may be one of a task that is not known.
    fn too_early(&self, Early { stream, name, span, member, attribute }: &Early) -> Option<Diagnostic> {
        let made = self.exports.get(&(*stream, name.clone())).and_then(|export| export.made.first());
        if let Some(made) = made {
            let message = format!("`{name}` is used above the line that makes it");
            return Some(Diagnostic::new(Code::ValueBeforeProduced, *span, message).other(*made, "made here"));
        }
        let known = self.exports.keys().filter(|(by, _)| by == stream).map(|(_, name)| &**name);
        let streams = self.scenario.streams.values().map(|stream| &*stream.name);
        if *member {
            let problem = Diagnostic::new(Code::UnknownStream, *span, format!("there is no stream `{name}`"));
            let fleets = self.scenario.fleets.keys().map(|name| &**name);
            return Some(problem.near("stream", name, streams.chain(fleets)));
        }
        let problem = Diagnostic::new(Code::UnknownValue, *span, format!("there is no value `{name}`"));
        let problem = if *attribute {
            problem.near("value", name, known.chain(OWN))
        } else if self.scenario.params.contains_key(name) {
            problem.help(format!("a parameter is read as `param.{name}`"))
        } else {
            let params = self.scenario.params.keys().map(|name| &**name);
            problem.near("value", name, known.chain(streams).chain(params))
        };
        (problem.help.is_some() || !self.unsure.contains(stream)).then_some(problem)
    }

    /// The value that `stream` makes under `name`, whether it is spelt out already or not.
    pub(super) fn export(&mut self, stream: StreamId, name: &Arc<str>, used: Span) -> ValueId {
        let values = &mut self.plan.values;
        let export = self.exports.entry((stream, name.clone())).or_insert_with(|| Export {
            id: values.push(Produced { name: name.clone(), step: StepId(u32::MAX), users: Vec::new() }),
            made: Vec::new(),
            used: None,
        });
        export.used.get_or_insert(used);
        self.owners.insert(export.id, stream);
        export.id
    }

    /// Notes that the step about to be added makes `name`.
    pub(super) fn make(&mut self, cursor: &mut Cursor<'_>, name: &Arc<str>, span: Span) -> ValueId {
        let step = self.next();
        let values = &mut self.plan.values;
        let produced = |step| Produced { name: name.clone(), step, users: Vec::new() };
        let export = self.exports.entry((cursor.stream, name.clone())).or_insert_with(|| Export {
            id: values.push(produced(step)),
            made: Vec::new(),
            used: None,
        });
        let id = if export.made.is_empty() { export.id } else { values.push(produced(step)) };
        export.made.push(span);
        values[id].step = step;
        self.made.insert(id, span);
        self.owners.insert(id, cursor.stream);
        cursor.values.insert(name.clone(), id);
        id
    }
}
