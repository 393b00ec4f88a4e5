//! Code statements spelt out: their text with references for holes, their options, and the steps they become.

use std::sync::Arc;
use std::time::Duration;

use super::build::{BackgroundState, Builder, Cursor};
use super::meet::Key;
use super::options::{Allowed, Given};
use super::{Barrier, Code, CodeId, Expr, Extra, Handle, Options, StepKind};
use crate::code::{Dialect, embed};
use crate::diagnostic::{self, Diagnostic, Span};
use crate::syntax::ast::{self, Body, ExprKind, Name, Piece, Text, TextForm};

/// The pause between two probes of a background process.
const PROBE_EVERY: Duration = Duration::from_millis(200);

impl<'a> Builder<'a> {
    pub(super) fn code_step(&mut self, code: &'a ast::Code, span: Span, cursor: &mut Cursor<'a>) {
        let given = self.options(&code.options, Allowed::Step, cursor);
        let Given { code: options, when, name, synchronized, .. } = given;
        let Some(id) = self.code(code, options, cursor) else { return };
        let mut extra = (when.is_some() || name.is_some()).then(|| Extra { when, name, ..Extra::default() });
        if synchronized && self.may_meet(span, "a synchronized step", cursor) {
            let extra = extra.get_or_insert_default();
            if extra.when.is_some() {
                let message = "a synchronized step cannot be guarded: the others wait for it";
                self.tell(Diagnostic::new(diagnostic::Code::ConditionalBarrier, span, message));
            }
            let step = self.next();
            let key = Key::Block(cursor.block, span);
            extra.gate = Some(self.meetings.arrive(key, step, Barrier::named(None, None, true), &mut self.plan));
        }
        self.push(cursor, StepKind::Run(id), span, extra);
    }

    pub(super) fn let_code(&mut self, name: &Name, code: &'a ast::Code, span: Span, cursor: &mut Cursor<'a>) {
        let given = self.options(&code.options, Allowed::Let, cursor);
        let Given { code: options, when, name: label, .. } = given;
        let built = self.code(code, options, cursor);
        self.reserved(name, "value");
        let value = self.make(cursor, &name.node, name.span);
        let Some(id) = built else { return };
        let extra = (when.is_some() || label.is_some()).then(|| Extra { when, name: label, ..Extra::default() });
        self.push(cursor, StepKind::Capture(value, id), span, extra);
    }

    pub(super) fn start(&mut self, name: &Name, code: &'a ast::Code, span: Span, cursor: &mut Cursor<'a>) {
        let given = self.options(&code.options, Allowed::Start, cursor);
        let Given { code: options, when, ready, alive, .. } = given;
        let every = options.every.unwrap_or(PROBE_EVERY);
        let Some(id) = self.code(code, options, cursor) else { return };
        let it = Handle { name: name.node.clone(), step: self.next(), code: id, ready, alive, every };
        let handle = self.handle(name, it, BackgroundState::Started, cursor);
        let extra = when.is_some().then(|| Extra { when, ..Extra::default() });
        self.push(cursor, StepKind::Start(handle), span, extra);
    }

    pub(super) fn prepare(&mut self, name: &Name, code: &'a ast::Code, span: Span, cursor: &mut Cursor<'a>) {
        let given = self.options(&code.options, Allowed::Prepare, cursor);
        let Some(id) = self.code(code, given.code, cursor) else { return };
        let it = Handle {
            name: name.node.clone(),
            step: self.next(),
            code: id,
            ready: None,
            alive: None,
            every: PROBE_EVERY,
        };
        let handle = self.handle(name, it, BackgroundState::Prepared, cursor);
        self.push(cursor, StepKind::Prepare(handle), span, None);
    }

    /// Code with these options. Code that is the same for every stream is there once.
    pub(super) fn code(&mut self, code: &ast::Code, options: Options, cursor: &mut Cursor<'_>) -> Option<CodeId> {
        let span = match &code.body {
            Body::Text(text) => text.span,
            Body::Arguments(list) => list.span,
        };
        if let Some(id) = self.constant_codes.get(&span) {
            return Some(*id);
        }
        let interpreter = self.interpreter(&code.interpreter.node, code.interpreter.span)?;
        let dialect = self.interpreter_at(interpreter).dialect;
        let (text, holes, strict) = match (&code.body, dialect) {
            (Body::Text(text), Dialect::Shell | Dialect::Python | Dialect::Other) => {
                let strict = text.form == TextForm::Fenced && dialect == Dialect::Shell;
                if dialect == Dialect::Shell {
                    self.holes_of_others(text, cursor);
                }
                (self.embedded(dialect, text)?, self.holes(text, cursor), strict)
            }
            (Body::Arguments(list), Dialect::Exec) => ("".into(), self.arguments_of(list, cursor)?, false),
            (Body::Text(text), Dialect::Exec) => {
                let message = "`exec` takes a program and its arguments as a list";
                let problem = Diagnostic::new(diagnostic::Code::WrongType, text.span, message);
                self.tell(problem.help("exec [\"program\", \"argument\"], or `shell` for shell code"));
                return None;
            }
            (Body::Arguments(list), Dialect::Shell | Dialect::Python | Dialect::Other) => {
                let message = format!("`{}` takes code, and this is a list", code.interpreter.node);
                self.tell(
                    Diagnostic::new(diagnostic::Code::WrongType, list.span, message).help("exec [...] takes a list"),
                );
                return None;
            }
        };
        let plain = holes.is_empty() && code.options.is_empty();
        let options = (!code.options.is_empty()).then(|| Box::new(options));
        let id = self.plan.codes.push(Code { interpreter, text, holes, span, options, strict });
        if plain && self.shared(cursor) {
            self.constant_codes.insert(span, id);
        }
        Some(id)
    }

    /// Whether the statement at hand may be spelt out again, so that keeping its code pays.
    fn shared(&self, cursor: &Cursor<'_>) -> bool {
        let block = self.scenario.blocks.get(cursor.block);
        block.is_some_and(|block| block.streams.len() > 1) || !cursor.scope.is_empty() || !cursor.calls.is_empty()
    }

    /// The text with references in place of its holes.
    fn embedded(&mut self, dialect: Dialect, text: &Text) -> Option<Arc<str>> {
        if let [Piece::Literal(literal)] = &text.pieces[..] {
            return Some(literal.clone());
        }
        if let Some(known) = self.texts.get(&text.span) {
            return known.clone();
        }
        let result = embed(dialect, text);
        let embedded = match result {
            Ok(text) => Some(text),
            Err(problems) => {
                for problem in problems {
                    self.tell(problem);
                }
                None
            }
        };
        self.texts.insert(text.span, embedded.clone());
        embedded
    }

    /// Tells of what would be holes in another language.
    fn holes_of_others(&mut self, text: &Text, cursor: &Cursor<'_>) {
        for piece in text.pieces.iter() {
            if let Piece::Literal(literal) = piece {
                self.meant_as_a_hole(literal, true, text.span, cursor);
            }
        }
    }

    fn holes(&mut self, text: &Text, cursor: &mut Cursor<'_>) -> Box<[Expr]> {
        let holes = text.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Hole(expr, _) => Some(self.expr(expr, cursor)),
        });
        holes.collect()
    }

    fn arguments_of(&mut self, list: &ast::Expr, cursor: &mut Cursor<'_>) -> Option<Box<[Expr]>> {
        if let ExprKind::List(items) = &list.kind
            && !items.is_empty()
        {
            return Some(items.iter().map(|item| self.expr(item, cursor)).collect());
        }
        let message = "`exec` takes a list with at least the program";
        self.tell(Diagnostic::new(diagnostic::Code::WrongType, list.span, message));
        None
    }
}
