//! Statements spelt out as steps: loops unrolled, conditions decided, tasks put where they are called.

use std::sync::Arc;

use super::build::{Background, BackgroundState, Binding, Builder, Cursor};
use super::meet::Key;
use super::options::Allowed;
use super::{Barrier, Extra, Group, GroupKind, Handle, HandleId, StepKind, StopHow};
use crate::diagnostic::{Code, Diagnostic, Span, similar};
use crate::syntax::Value;
use crate::syntax::ast::{Argument, Block, Expr, ExprKind, For, If, Name, Options, Statement, StatementKind, Task};

/// How deep tasks may call each other.
const MAX_CALLS: usize = 64;

impl<'a> Builder<'a> {
    pub(super) fn statements(&mut self, block: &'a Block, cursor: &mut Cursor<'a>) {
        for statement in &block.statements {
            if self.budget == 0 {
                return self.too_much(statement.span);
            }
            self.budget -= 1;
            self.statement(statement, cursor);
            cursor.needs.clear();
        }
    }

    fn too_much(&mut self, span: Span) {
        let limit = self.scenario.max_steps;
        let message = format!("the scenario comes to more than {limit} steps");
        if !self.problems.iter().any(|problem| problem.code == Code::LimitExceeded) {
            let problem = Diagnostic::new(Code::LimitExceeded, span, message).label("reached here");
            self.tell(problem.help(format!("raise the limit: set max_steps = {}", limit.saturating_mul(10))));
        }
    }

    fn statement(&mut self, it: &'a Statement, cursor: &mut Cursor<'a>) {
        match &it.kind {
            StatementKind::Code(code) => self.code_step(code, it.span, cursor),
            StatementKind::LetCode(name, code) => self.let_code(name, code, it.span, cursor),
            StatementKind::Let(name, value) => self.let_value(name, value, it.span, cursor),
            StatementKind::Start(name, code) => self.start(name, code, it.span, cursor),
            StatementKind::Prepare(name, code) => self.prepare(name, code, it.span, cursor),
            StatementKind::Stop(name, options) => self.stop(name, options, it.span, cursor),
            StatementKind::Trigger(name) => self.trigger(name, it.span, cursor),
            StatementKind::Wait(name, options) => self.wait(name, options, it.span, cursor),
            StatementKind::Barrier(name, options) => self.barrier(name, options, it.span, cursor),
            StatementKind::Signal(name) => self.signal(name, it.span, cursor),
            StatementKind::Sync(options) => self.sync(options, it.span, cursor),
            StatementKind::Expect(condition) => self.expect(condition, it.span, cursor),
            StatementKind::Put(from, to) => self.copy(StepKind::Put, (from, to), it.span, cursor),
            StatementKind::Get(from, to) => self.copy(StepKind::Get, (from, to), it.span, cursor),
            StatementKind::Finally(block) => self.finally(block, it.span, cursor),
            StatementKind::For(it) => self.each(it, cursor),
            StatementKind::If(it) => self.branch(it, cursor),
            StatementKind::Retry(group) => {
                let kind = self.retry(&group.options, it.span, cursor);
                self.group(kind, &group.body, it.span, cursor);
            }
            StatementKind::Repeat(group) => {
                let kind = self.repeat(&group.options, it.span, cursor);
                self.group(kind, &group.body, it.span, cursor);
            }
            StatementKind::Call(name, arguments) => self.call(name, arguments, cursor),
        }
    }

    fn let_value(&mut self, name: &Name, value: &Expr, span: Span, cursor: &mut Cursor<'a>) {
        let expression = self.expr(value, cursor);
        self.reserved(name, "value");
        let id = self.make(cursor, &name.node, name.span);
        let extra = Extra { expression: Some(expression), ..Extra::default() };
        self.push(cursor, StepKind::Evaluate(id), span, Some(extra));
    }

    /// Some names mean something else already.
    pub(super) fn reserved(&mut self, name: &Name, kind: &str) {
        const WORDS: &[&str] = &["self", "all", "param", "streams", "secret", "host", "name", "index", "success"];
        if WORDS.contains(&&*name.node) {
            let message = format!("`{}` is a word of the language and cannot name a {kind}", name.node);
            self.tell(Diagnostic::new(Code::ReservedName, name.span, message));
        }
    }

    fn expect(&mut self, condition: &Expr, span: Span, cursor: &mut Cursor<'a>) {
        let expression = self.expr(condition, cursor);
        if let super::Expr::Constant(value) = &expression
            && !matches!(value, Value::Bool(_) | Value::Null)
        {
            let message = format!("an expectation is true or false, and this is {}", value.kind());
            self.tell(Diagnostic::new(Code::WrongType, condition.span, message));
        }
        self.push(cursor, StepKind::Expect, span, Some(Extra { expression: Some(expression), ..Extra::default() }));
    }

    fn copy(&mut self, kind: StepKind, (from, to): (&Expr, &Expr), span: Span, cursor: &mut Cursor<'a>) {
        let paths = Some((self.expr(from, cursor), self.expr(to, cursor)));
        self.push(cursor, kind, span, Some(Extra { paths, ..Extra::default() }));
    }

    fn finally(&mut self, block: &'a Block, span: Span, cursor: &mut Cursor<'a>) {
        if cursor.cleaning {
            let message = "a `finally` cannot stand in a `finally`";
            return self.tell(Diagnostic::new(Code::UnexpectedToken, span, message));
        }
        cursor.cleanups.push((block, cursor.scope.clone()));
    }

    fn barrier(&mut self, name: &Name, options: &Options, span: Span, cursor: &mut Cursor<'a>) {
        if !self.may_meet(span, &format!("barrier `{}`", name.node), cursor) {
            return;
        }
        let timeout = self.meeting_options(options, cursor);
        let step = self.next();
        let meeting = Barrier::named(Some(name.node.clone()), timeout, false);
        let id = self.meetings.arrive(Key::Named(name.node.clone()), step, meeting, &mut self.plan);
        self.push(cursor, StepKind::Barrier(id), span, None);
    }

    fn sync(&mut self, options: &Options, span: Span, cursor: &mut Cursor<'a>) {
        if !self.may_meet(span, "`sync`", cursor) {
            return;
        }
        let timeout = self.meeting_options(options, cursor);
        let step = self.next();
        let key = Key::Block(cursor.block, span);
        let id = self.meetings.arrive(key, step, Barrier::named(None, timeout, false), &mut self.plan);
        self.push(cursor, StepKind::Barrier(id), span, None);
    }

    fn signal(&mut self, name: &Name, span: Span, cursor: &mut Cursor<'a>) {
        if cursor.groups.is_empty() || self.may_meet(span, &format!("signal `{}`", name.node), cursor) {
            let extra = Extra { name: Some(name.node.clone()), ..Extra::default() };
            let step = self.push(cursor, StepKind::Signal, span, Some(extra));
            self.meetings.signal(name, cursor.stream, step);
        }
    }

    /// Whether a meeting point may stand here: not in a `finally`, not in a group.
    pub(super) fn may_meet(&mut self, span: Span, what: &str, cursor: &Cursor<'_>) -> bool {
        if cursor.cleaning {
            let message = format!("{what} stands in a `finally`, and cleaning up never waits for others");
            self.tell(Diagnostic::new(Code::BarrierInFinally, span, message));
            return false;
        }
        let Some(group) = cursor.groups.first() else { return true };
        let message = format!("{what} stands in a group that is tried or done again");
        let problem = Diagnostic::new(Code::RetryOverBarrier, span, message);
        let problem = problem.other(*group, "this group").note("the others would meet it only once");
        self.tell(problem.help("move the meeting point out of the group"));
        false
    }

    fn wait(&mut self, name: &Name, options: &Options, span: Span, cursor: &mut Cursor<'a>) {
        let read = self.options(options, Allowed::Wait, cursor);
        let extra = Extra { may_fail: read.code.may_fail, timeout: read.code.timeout, ..Extra::default() };
        if let Some(handle) = self.background(name, cursor, Some(BackgroundState::Over(span))) {
            if handle.state == BackgroundState::Prepared {
                let message = format!("`{}` is waited for and was never triggered", name.node);
                let problem =
                    Diagnostic::new(Code::HandleMisuse, name.span, message).other(handle.span, "prepared here");
                self.tell(problem.help(format!("trigger {} above", name.node)));
            }
            self.push(cursor, StepKind::Join(handle.id), span, Some(extra));
        } else if !cursor.handles.contains_key(&name.node)
            && self.may_meet(span, &format!("wait `{}`", name.node), cursor)
        {
            let extra = (extra.may_fail || extra.timeout.is_some()).then_some(extra);
            let step = self.push(cursor, StepKind::Wait(super::SignalId(0)), span, extra);
            self.meetings.wait(name, cursor.stream, step);
        }
    }

    /// The background process of that name, moved on to `state`; a mistake is told.
    fn background(
        &mut self,
        name: &Name,
        cursor: &mut Cursor<'_>,
        state: Option<BackgroundState>,
    ) -> Option<Background> {
        let found = cursor.handles.get_mut(&name.node)?;
        let before = *found;
        if let BackgroundState::Over(over) = before.state {
            let message = format!("`{}` is used after its end", name.node);
            let problem = Diagnostic::new(Code::HandleMisuse, name.span, message);
            self.tell(problem.other(before.span, "begun here").other(over, "ended here"));
            return None;
        }
        found.state = state.unwrap_or(before.state);
        Some(before)
    }

    fn stop(&mut self, name: &Name, options: &Options, span: Span, cursor: &mut Cursor<'a>) {
        let read = self.options(options, Allowed::Stop, cursor);
        let how = StopHow { signal: read.signal.unwrap_or(15), grace: read.grace.unwrap_or(super::GRACE) };
        let Some(handle) = self.known_background(name, cursor, BackgroundState::Over(span)) else { return };
        self.push(cursor, StepKind::Stop(handle.id), span, Some(Extra { stop: Some(how), ..Extra::default() }));
    }

    fn trigger(&mut self, name: &Name, span: Span, cursor: &mut Cursor<'a>) {
        let Some(handle) = self.known_background(name, cursor, BackgroundState::Triggered) else { return };
        if handle.state == BackgroundState::Prepared {
            self.push(cursor, StepKind::Trigger(handle.id), span, None);
            return;
        }
        let message = format!("`{}` runs already", name.node);
        let problem = Diagnostic::new(Code::HandleMisuse, name.span, message);
        self.tell(problem.other(handle.span, "begun here").help("`trigger` releases what `prepare` staged, once"));
    }

    fn known_background(&mut self, name: &Name, cursor: &mut Cursor<'_>, state: BackgroundState) -> Option<Background> {
        if !cursor.handles.contains_key(&name.node) {
            let message = format!("nothing called `{}` was started or prepared above", name.node);
            let known = cursor.handles.keys().map(|name| &**name);
            let problem = Diagnostic::new(Code::HandleMisuse, name.span, message).near("process", &name.node, known);
            self.tell(problem);
            return None;
        }
        self.background(name, cursor, Some(state))
    }

    /// Adds a background process under `name`; a second one of that name takes its place once the first is over.
    pub(super) fn handle(
        &mut self,
        name: &Name,
        it: Handle,
        state: BackgroundState,
        cursor: &mut Cursor<'_>,
    ) -> HandleId {
        self.reserved(name, "process");
        let id = self.plan.handles.push(it);
        let before = cursor.handles.insert(name.node.clone(), Background { id, span: name.span, state });
        if let Some(before) = before
            && !matches!(before.state, BackgroundState::Over(_))
        {
            let message = format!("`{}` still runs when another one of that name begins", name.node);
            let problem = Diagnostic::new(Code::HandleMisuse, name.span, message).other(before.span, "begun here");
            self.tell(problem.help(format!("stop {} first, or give it another name", name.node)));
        }
        id
    }

    /// A staged process that nobody lets go is probably a mistake.
    pub(super) fn idle_handles(&mut self, cursor: &Cursor<'_>) {
        let mut idle: Vec<(&Arc<str>, &Background)> =
            cursor.handles.iter().filter(|(_, it)| it.state == BackgroundState::Prepared).collect();
        idle.sort_by_key(|(_, it)| it.id);
        for (name, it) in idle {
            let message = format!("`{name}` is prepared and never triggered");
            self.tell(Diagnostic::new(Code::HandleMisuse, it.span, message).softened());
        }
    }

    fn each(&mut self, it: &'a For, cursor: &mut Cursor<'a>) {
        let Some(items) = self.items(&it.items, cursor) else { return };
        for item in items {
            if self.budget == 0 {
                return self.too_much(it.items.span);
            }
            self.budget -= 1;
            cursor.scope.push((it.name.node.clone(), item));
            self.statements(&it.body, cursor);
            cursor.scope.pop();
        }
    }

    fn branch(&mut self, it: &'a If, cursor: &mut Cursor<'a>) {
        let condition = self.expr(&it.condition, cursor);
        cursor.needs.clear();
        if let Some(Value::Bool(holds)) = condition.as_constant() {
            let chosen = if *holds { Some(&it.then) } else { it.otherwise.as_ref() };
            return chosen.into_iter().for_each(|block| self.statements(block, cursor));
        }
        if let Some(value) = condition.as_constant() {
            // Null stands for what was told already.
            if *value == Value::Null {
                return;
            }
            let message = format!("a condition is true or false, and this is {}", value.kind());
            return self.tell(Diagnostic::new(Code::WrongType, it.condition.span, message));
        }
        self.undecided(it);
        // What stands in it counts as reached, so that nobody is told of its absence.
        for block in [Some(&it.then), it.otherwise.as_ref()].into_iter().flatten() {
            self.statements(block, cursor);
        }
    }

    /// An `if` whose condition only the run can tell.
    fn undecided(&mut self, it: &If) {
        let blocks = [Some(&it.then), it.otherwise.as_ref()];
        let Some(point) = blocks.into_iter().flatten().find_map(meeting_point) else {
            let problem = Diagnostic::new(Code::WrongType, it.condition.span, "an `if` is decided before the run");
            let problem = problem.label("this is known only at run time");
            return self.tell(problem.help("guard the steps instead: shell(when = ...) \"...\""));
        };
        let problem = Diagnostic::new(
            Code::ConditionalBarrier,
            point,
            "whether this meeting point is reached is known only at run time",
        );
        let problem = problem
            .other(it.condition.span, "decided by this")
            .note("the graph is fixed before the run, so that nobody waits in vain");
        self.tell(problem.help("let the stream always reach it, and guard the steps around it with `when = ...`"));
    }

    fn group(&mut self, kind: Option<GroupKind>, body: &'a Block, span: Span, cursor: &mut Cursor<'a>) {
        let first = self.next();
        cursor.groups.push(span);
        self.statements(body, cursor);
        cursor.groups.pop();
        let end = self.next();
        let (Some(kind), true) = (kind, first < end) else { return };
        let last = super::StepId(end.0 - 1);
        let id = self.plan.groups.push(Group { first, last, kind });
        self.plan.steps[first].extra.get_or_insert_default().opens.insert(0, id);
        self.plan.steps[last].extra.get_or_insert_default().closes.push(id);
    }

    fn call(&mut self, name: &'a Name, arguments: &'a [Argument], cursor: &mut Cursor<'a>) {
        let scenario = self.scenario;
        let Some(task) = scenario.tasks.get(&name.node) else {
            self.unsure.insert(cursor.stream);
            let known = scenario.tasks.keys().map(|name| &**name);
            let problem = Diagnostic::new(Code::UnknownTask, name.span, format!("there is no task `{}`", name.node));
            return self.tell(match similar(&name.node, known.clone()) {
                Some(_) => problem.near("task", &name.node, known),
                None if scenario.interpreters.contains_key(&name.node) => {
                    problem.help("code follows an interpreter: `shell \"...\"`")
                }
                None => problem,
            });
        };
        self.called.insert(name.node.clone());
        if cursor.calls.contains(&name.node) || cursor.calls.len() >= MAX_CALLS {
            let message = format!("the task `{}` calls itself", name.node);
            return self.tell(
                Diagnostic::new(Code::LimitExceeded, name.span, message).note("tasks are spelt out before the run"),
            );
        }
        let Some(bound) = self.arguments(task, name, arguments, cursor) else {
            self.unsure.insert(cursor.stream);
            return;
        };
        let outer = std::mem::replace(&mut cursor.scope, bound);
        cursor.calls.push(name.node.clone());
        self.statements(&task.body, cursor);
        cursor.calls.pop();
        cursor.scope = outer;
    }

    /// What the parameters of a task are bound to.
    fn arguments(
        &mut self,
        task: &'a Task,
        name: &Name,
        arguments: &[Argument],
        cursor: &mut Cursor<'a>,
    ) -> Option<Vec<(Arc<str>, Binding)>> {
        let mut bound: Vec<Option<Binding>> = vec![None; task.parameters.len()];
        for (position, argument) in arguments.iter().enumerate() {
            let place = self.parameter(task, position, argument)?;
            if bound[place].is_some() {
                let message = format!("`{}` is given twice", task.parameters[place].0.node);
                self.wrong_argument(task, argument.value.span, message);
                return None;
            }
            bound[place] = Some(self.argument(&argument.value, cursor));
        }
        let mut scope = Vec::with_capacity(bound.len());
        for ((parameter, default), given) in task.parameters.iter().zip(bound) {
            let value = match (given, default) {
                (Some(given), _) => given,
                (None, Some(default)) => self.argument(default, cursor),
                (None, None) => {
                    let message = format!("`{}` needs `{}`", task.name.node, parameter.node);
                    self.wrong_argument(task, name.span, message);
                    return None;
                }
            };
            scope.push((parameter.node.clone(), value));
        }
        Some(scope)
    }

    /// Which parameter an argument is for.
    fn parameter(&mut self, task: &Task, position: usize, argument: &Argument) -> Option<usize> {
        let count = task.parameters.len();
        let found = match &argument.name {
            Some(name) => task.parameters.iter().position(|(parameter, _)| parameter.node == name.node),
            None => (position < count).then_some(position),
        };
        if found.is_none() {
            let (span, message) = match &argument.name {
                Some(name) => (name.span, format!("`{}` has no parameter `{}`", task.name.node, name.node)),
                None if count == 1 => (argument.value.span, format!("`{}` takes one argument", task.name.node)),
                None => (argument.value.span, format!("`{}` takes {count} arguments", task.name.node)),
            };
            self.wrong_argument(task, span, message);
        }
        found
    }

    fn wrong_argument(&mut self, task: &Task, span: Span, message: String) {
        let problem = Diagnostic::new(Code::WrongArguments, span, message);
        self.tell(problem.other(task.name.span, "the task stands here"));
    }
}

/// The first meeting point of a block, however deep.
fn meeting_point(block: &Block) -> Option<Span> {
    block.statements.iter().find_map(|it| match &it.kind {
        StatementKind::Barrier(..) | StatementKind::Signal(_) | StatementKind::Sync(_) | StatementKind::Wait(..) => {
            Some(it.span)
        }
        StatementKind::Code(code) => {
            let gate = code.options.iter().find(|option| &*option.name.node == "synchronized");
            gate.filter(|option| !matches!(option.value.kind, ExprKind::Literal(Value::Bool(false)))).map(|_| it.span)
        }
        StatementKind::Finally(block) => meeting_point(block),
        StatementKind::For(it) => meeting_point(&it.body),
        StatementKind::If(it) => meeting_point(&it.then).or_else(|| it.otherwise.as_ref().and_then(meeting_point)),
        StatementKind::Retry(group) | StatementKind::Repeat(group) => meeting_point(&group.body),
        StatementKind::LetCode(..)
        | StatementKind::Let(..)
        | StatementKind::Start(..)
        | StatementKind::Prepare(..)
        | StatementKind::Stop(..)
        | StatementKind::Trigger(_)
        | StatementKind::Expect(_)
        | StatementKind::Put(..)
        | StatementKind::Get(..)
        | StatementKind::Call(..) => None,
    })
}
