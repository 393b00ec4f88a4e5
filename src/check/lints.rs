//! What is allowed and probably a mistake.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::{Code, Diagnostic, FileId, Span};
use crate::plan::{BarrierId, Draft, Plan, StepId, StepKind};
use crate::scenario::{Scenario, StreamId};
use crate::syntax::Value;
use crate::syntax::ast::{self, Block, Body, Expr, ExprKind, Piece, Statement, StatementKind};

/// A step that only sleeps.
static SLEEP: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*sleep\s+[0-9.]+[smhd]?\s*(#.*)?$"));
/// A command sent to the background at the end of a line.
static BACKGROUND: LazyLock<Regex> = LazyLock::new(|| regex(r"(?m)(^|[^&>|<\\])&[ \t]*(#.*)?$|^\s*(nohup|setsid)\s"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns above are regexes")
}

/// All warnings of a scenario, in no particular order.
pub(super) fn lint(scenario: &Scenario, draft: &Draft) -> Vec<Diagnostic> {
    // What a file offers to those who import it need not be used here.
    let mut found = unused(scenario, draft);
    found.retain(|problem| problem.span.file == FileId::default());
    found.extend(adjacent(draft.graph()));
    found.extend(too_short(draft.graph()));
    let busy = draft.graph().streams.values().filter(|stream| stream.timeline.start < stream.timeline.end).count();
    let mut blocks = Blocks { found, several: busy > 1 };
    for on in &scenario.blocks {
        blocks.block(&on.body);
    }
    for task in scenario.tasks.values() {
        blocks.block(&task.body);
    }
    for block in &scenario.finales {
        blocks.block(block);
    }
    blocks.found
}

fn unused(scenario: &Scenario, draft: &Draft) -> Vec<Diagnostic> {
    let plan = draft.graph();
    let mut found = Vec::new();
    let idle = |id: StreamId| plan.streams.get(id).is_none_or(|it| it.timeline.start == it.cleanup.end);
    let spoken = |id: StreamId| draft.referred.contains(&id);
    let chosen = |id: StreamId| scenario.blocks.iter().any(|on| on.streams.binary_search(&id).is_ok());
    let mut fleets: Vec<Span> = Vec::new();
    for (id, stream) in scenario.streams.iter() {
        // One member in use is enough for a fleet.
        if !idle(id) || spoken(id) || chosen(id) {
            fleets.push(stream.span);
        }
    }
    for (_, stream) in scenario.streams.iter().filter(|(_, stream)| stream.declared && !fleets.contains(&stream.span)) {
        let message = format!("the stream `{}` is never used", stream.name);
        if !found.iter().any(|problem: &Diagnostic| problem.span == stream.span) {
            found.push(Diagnostic::new(Code::UnusedStream, stream.span, message));
        }
    }
    for (name, task) in scenario.tasks.iter().filter(|(name, _)| !draft.called.contains(*name)) {
        found.push(Diagnostic::new(Code::UnusedTask, task.name.span, format!("the task `{name}` is never called")));
    }
    for (name, (place, _)) in &scenario.barriers {
        if !plan.barriers.values().any(|barrier| barrier.name.as_ref() == Some(name)) {
            let names: Vec<_> = plan.barriers.values().filter_map(|barrier| barrier.name.clone()).collect();
            let problem =
                Diagnostic::new(Code::UnusedBarrier, place.span, format!("no stream names the barrier `{name}`"));
            found.push(problem.near("barrier", name, names.iter().map(|name| &**name)));
        }
    }
    for (name, span) in draft.unused_values() {
        let problem = Diagnostic::new(Code::UnusedValue, span, format!("nobody uses the value `{name}`"));
        found.push(problem.help("run the code as a step of its own where only its status matters"));
    }
    found
}

/// Two meetings of the same parties with nothing in between.
fn adjacent(plan: &Plan) -> Vec<Diagnostic> {
    let meeting = |step: StepId| plan.steps.get(step)?.barrier();
    let mut found: Vec<Diagnostic> = Vec::new();
    for (first, barrier) in plan.barriers.iter().filter(|(_, barrier)| !barrier.gate && barrier.parties.len() > 1) {
        let next = |step: &StepId| {
            let after = StepId(step.0 + 1);
            let same = plan.steps.get(after).is_some_and(|it| it.stream == plan.steps[*step].stream);
            same.then(|| meeting(after)).flatten()
        };
        let nexts: Vec<Option<BarrierId>> = barrier.parties.iter().map(next).collect();
        let Some(second) = nexts[0].filter(|second| nexts.iter().all(|next| *next == Some(*second))) else { continue };
        if plan.barriers[second].parties.len() != barrier.parties.len() {
            continue;
        }
        let span = plan.steps[StepId(barrier.parties[0].0 + 1)].span;
        let before = plan.steps[barrier.parties[0]].span;
        let message = format!(
            "`{}` meets the same streams as `{}`, with nothing in between",
            name(plan, second),
            name(plan, first)
        );
        if !found.iter().any(|problem| problem.span == span) {
            found.push(Diagnostic::new(Code::AdjacentBarriers, span, message).other(before, "the one before"));
        }
    }
    found
}

fn name(plan: &Plan, barrier: BarrierId) -> String {
    plan.barrier_label(barrier).trim_start_matches("barrier ").to_owned()
}

/// A barrier's timeout below what one step before it may take by its own timeout.
fn too_short(plan: &Plan) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for (id, barrier) in plan.barriers.iter() {
        let Some(limit) = barrier.timeout else { continue };
        for party in &barrier.parties {
            let start = plan.stream_of(*party).timeline.start;
            let before = (start.0..party.0).rev().map(StepId);
            let free =
                before.take_while(|step| !matches!(plan.steps[*step].kind, StepKind::Barrier(_) | StepKind::Wait(_)));
            let own = |step: StepId| Some((step, plan.code_of(step)?.options.as_ref()?.timeout?));
            let Some((step, longer)) = free.filter_map(own).find(|(_, timeout)| *timeout > limit) else { continue };
            let (limit, longer) = (crate::syntax::duration(limit), crate::syntax::duration(longer));
            let span = plan.steps[*party].span;
            let message = format!("`{}` waits at most {limit}, and a step before it may take {longer}", name(plan, id));
            if !found.iter().any(|problem| problem.span == span) {
                let problem = Diagnostic::new(Code::TimeoutTooShort, span, message);
                found.push(
                    problem
                        .other(plan.steps[step].span, format!("this may take {longer}"))
                        .help("leave the barrier's timeout out: what it waits for arrives or breaks it"),
                );
            }
        }
    }
    found
}

/// What can be seen in the blocks as they are written, each once however many streams run it.
struct Blocks {
    found: Vec<Diagnostic>,
    /// Whether several streams have something to do.
    several: bool,
}

impl Blocks {
    fn block(&mut self, block: &Block) {
        if block.statements.is_empty() {
            self.found.push(Diagnostic::new(Code::EmptyBlock, block.span, "this block does nothing"));
        }
        for statement in &block.statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, it: &Statement) {
        match &it.kind {
            StatementKind::Code(code) => self.code(code, it.span),
            StatementKind::Expect(condition) => self.condition(condition, "this expectation"),
            StatementKind::Finally(block) => self.block(block),
            StatementKind::For(it) => self.block(&it.body),
            StatementKind::If(it) => {
                self.condition(&it.condition, "this condition");
                self.block(&it.then);
                it.otherwise.iter().for_each(|block| self.block(block));
            }
            StatementKind::Retry(group) | StatementKind::Repeat(group) => self.block(&group.body),
            StatementKind::LetCode(_, code) | StatementKind::Start(_, code) | StatementKind::Prepare(_, code) => {
                self.guard(code);
                if let Body::Arguments(list) = &code.body {
                    self.arguments(list);
                }
            }
            StatementKind::Let(..)
            | StatementKind::Stop(..)
            | StatementKind::Trigger(_)
            | StatementKind::Wait(..)
            | StatementKind::Barrier(..)
            | StatementKind::Signal(_)
            | StatementKind::Sync(_)
            | StatementKind::Put(..)
            | StatementKind::Get(..)
            | StatementKind::Call(..) => {}
        }
    }

    fn condition(&mut self, condition: &Expr, what: &str) {
        if is_literal(condition) {
            self.found.push(Diagnostic::new(
                Code::ConstantCondition,
                condition.span,
                format!("{what} is always the same"),
            ));
        }
    }

    fn guard(&mut self, code: &ast::Code) {
        for option in code.options.iter().filter(|option| &*option.name.node == "when") {
            self.condition(&option.value, "this condition");
        }
    }

    /// A program and its arguments: everybody on its machine can see them.
    fn arguments(&mut self, list: &Expr) {
        let mut secrets = Vec::new();
        secrets_in(list, &mut secrets);
        for span in secrets {
            let problem =
                Diagnostic::new(Code::SecretInArgv, span, "others on that machine see this secret in the process list");
            let help = "env = { NAME = secret(...) } or stdin = secret(...) hands it to the program unseen";
            self.found.push(problem.help(help));
        }
    }

    fn code(&mut self, code: &ast::Code, span: Span) {
        self.guard(code);
        let text = match &code.body {
            Body::Text(text) => text,
            Body::Arguments(list) => return self.arguments(list),
        };
        if !matches!(&*code.interpreter.node, "shell" | "bash") {
            return;
        }
        let literal = |piece: &Piece| match piece {
            Piece::Literal(literal) => literal.to_string(),
            Piece::Hole(..) => "x".to_owned(),
        };
        let source: String = text.pieces.iter().map(literal).collect();
        if self.several && SLEEP.is_match(&source) {
            let problem =
                Diagnostic::new(Code::SleepAsSync, span, "a step that only sleeps hopes that others are done by then");
            let help = "meet them: `barrier NAME`; or wait for what you need: `ready = ...`, `retry` with `every`";
            self.found.push(problem.help(help));
        }
        if BACKGROUND.is_match(&source) && !source.contains("wait") {
            let problem =
                Diagnostic::new(Code::LeakedProcess, span, "this leaves a process behind, and nobody ends it");
            self.found.push(
                problem.help("start NAME = shell \"...\" runs it in the background until the end or `stop NAME`"),
            );
        }
    }
}

/// Where an expression names secrets.
fn secrets_in(expr: &Expr, found: &mut Vec<Span>) {
    match &expr.kind {
        ExprKind::Call(name, _) if &*name.node == "secret" => found.push(expr.span),
        ExprKind::Call(_, arguments) => arguments.iter().for_each(|it| secrets_in(&it.value, found)),
        ExprKind::Template(text) => {
            for piece in text.pieces.iter() {
                if let Piece::Hole(hole, _) = piece {
                    secrets_in(hole, found);
                }
            }
        }
        ExprKind::List(items) => items.iter().for_each(|item| secrets_in(item, found)),
        ExprKind::Map(pairs) => pairs.iter().for_each(|(_, value)| secrets_in(value, found)),
        ExprKind::Member(base, _) | ExprKind::Not(base) => secrets_in(base, found),
        ExprKind::Index(left, right) | ExprKind::Range(left, right) | ExprKind::Binary(left, _, right) => {
            secrets_in(left, found);
            secrets_in(right, found);
        }
        ExprKind::Literal(_) | ExprKind::Name(_) | ExprKind::Code(_) => {}
    }
}

/// Whether an expression is made of literals only.
fn is_literal(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(value) => !matches!(value, Value::Regex(_)),
        ExprKind::Not(inner) => is_literal(inner),
        ExprKind::Binary(left, _, right) => is_literal(left) && is_literal(right),
        ExprKind::List(items) => items.iter().all(is_literal),
        ExprKind::Template(_)
        | ExprKind::Name(_)
        | ExprKind::Map(_)
        | ExprKind::Range(..)
        | ExprKind::Member(..)
        | ExprKind::Index(..)
        | ExprKind::Call(..)
        | ExprKind::Code(_) => false,
    }
}
