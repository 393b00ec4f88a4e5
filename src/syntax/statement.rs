//! The statements of a timeline.

use super::ast::{Block, Code, ExprKind, For, Group, If, Options, Statement, StatementKind};
use super::ast::{Body, Expr, Name, Text};
use super::block::{NOT_HERE, TOP_LEVEL};
use super::grammar::{Pair, Pairs, Rule};
use super::parser::{NESTING, Parsed, Parser};
use super::recover;
use crate::diagnostic::{Code as Problem, Diagnostic, Span, Spanned};

impl<'s> Parser<'s> {
    /// One statement; none where a block was read whose head is bad.
    pub(super) fn statement(&mut self) -> Parsed<Option<Statement>> {
        let start = self.at;
        if self.peek() == Some(b'$') {
            return self.dollar().map(Some);
        }
        match self.word(start) {
            "let" => self.named_code(Rule::let_value),
            "start" => self.named_code(Rule::start),
            "prepare" => self.named_code(Rule::prepare),
            "stop" => self.with_options(Rule::stop, StatementKind::Stop),
            "wait" => self.with_options(Rule::wait, StatementKind::Wait),
            "barrier" => self.with_options(Rule::barrier, StatementKind::Barrier),
            "signal" => self.with_options(Rule::signal, |name, _| StatementKind::Signal(name)),
            "trigger" => self.with_options(Rule::trigger, |name, _| StatementKind::Trigger(name)),
            "sync" => self.sync(),
            "expect" => self.expect(),
            "put" => self.copy(Rule::put, StatementKind::Put),
            "get" => self.copy(Rule::get, StatementKind::Get),
            "finally" => return self.finally(),
            "for" => return self.for_each(),
            "if" => return self.if_true(0),
            "retry" => return self.group(Rule::retry, StatementKind::Retry),
            "repeat" => return self.group(Rule::repeat, StatementKind::Repeat),
            "else" => Err(self.wrong(start..start + 4, "`else` stands behind the `}` of an `if`")),
            "" => Err(recover::no_statement(self)),
            word if TOP_LEVEL.contains(&word) => {
                let message = format!("`{word}` belongs to the top level");
                Err(Box::new(self.wrong(start..start + word.len(), message).label(NOT_HERE)))
            }
            _ => self.code_or_call(),
        }
        .map(Some)
    }

    /// `$ code`: the rest of the line, or up to the last ` }` of a block that this line opened.
    fn dollar(&mut self) -> Parsed<Statement> {
        let start = self.at;
        let end = self.code_end(start + 1);
        let code = self.text[start + 1..end].trim_start_matches([' ', '\t']);
        let from = end - code.len();
        if code.is_empty() || from == start + 1 {
            let message = if code.is_empty() { "there is no code behind `$`" } else { "a blank must follow `$`" };
            return Err(self.wrong(start..start + 1, message));
        }
        let text = self.line_text(from..end);
        self.at = end;
        let interpreter = Spanned::new(self.intern("shell"), self.span(start..start + 1));
        let code = Code { interpreter, options: Options::default(), body: Body::Text(text?) };
        Ok(Statement { kind: StatementKind::Code(Box::new(code)), span: self.span(start..end) })
    }

    /// `let x = ...`, `start x = ...`, `prepare x = ...`.
    fn named_code(&mut self, rule: Rule) -> Parsed<Statement> {
        let pair = self.read(rule)?;
        let span = self.statement_span(&pair);
        let mut inner = pair.into_inner().filter(|pair| pair.as_rule() != Rule::equals);
        let name = inner.next().map(|name| self.name(&name));
        let value = inner.next().map(|value| self.expression(value)).transpose();
        let fenced = self.fenced(inner.next());
        let (Some(name), Some(value), fenced) = (name, value?, fenced?) else {
            return Err(self.wrong(span.range(), "something is missing here"));
        };
        let span = fenced.as_ref().map_or(span, |_| self.span(span.range().start..self.at));
        let kind = match (rule == Rule::let_value, self.code(value, fenced)) {
            (true, Err(value)) => StatementKind::Let(name, value),
            (true, Ok(code)) => StatementKind::LetCode(name, code?),
            (false, Ok(code)) if rule == Rule::start => StatementKind::Start(name, code?),
            (false, Ok(code)) => StatementKind::Prepare(name, code?),
            (false, Err(value)) => {
                let problem = self.wrong(value.span.range(), "code is needed here: an interpreter and its code");
                return Err(Box::new(problem.help("for example `shell \"...\"`")));
            }
        };
        Ok(Statement { kind, span })
    }

    /// The text between fences, where a statement ended in one.
    fn fenced(&mut self, tail: Option<Pair<'s>>) -> Parsed<Option<Text>> {
        match tail.filter(|tail| tail.as_rule() == Rule::fence) {
            Some(fence) => self.fence(&fence).map(Some),
            None => Ok(None),
        }
    }

    /// A value and the fenced text behind it as code; the value itself where it is no code.
    fn code(&mut self, value: Expr, fenced: Option<Text>) -> Result<Parsed<Box<Code>>, Box<Expr>> {
        let Some(text) = fenced else {
            return match value {
                Expr { kind: ExprKind::Code(code), .. } => Ok(Ok(code)),
                other => Err(Box::new(other)),
            };
        };
        let (interpreter, arguments) = match value {
            Expr { kind: ExprKind::Name(name), span } => (Spanned::new(name, span), Vec::new()),
            Expr { kind: ExprKind::Call(name, arguments), .. } => (name, arguments),
            other => {
                let message = "only an interpreter, with its options, stands before a fence";
                return Ok(Err(self.wrong(other.span.range(), message)));
            }
        };
        if &*interpreter.node == "exec" {
            return Ok(Err(self.not_for_exec(interpreter.span)));
        }
        let options = self.as_options(arguments);
        Ok(options.map(|options| Box::new(Code { interpreter, options, body: Body::Text(text) })))
    }

    /// `shell(...) "..."`, a fence, `exec [...]`, or a task's call.
    fn code_or_call(&mut self) -> Parsed<Statement> {
        let start = self.at;
        let pair = self.read(Rule::code).map_err(|problem| recover::not_code(self, start, problem))?;
        let span = self.statement_span(&pair);
        let mut inner = pair.into_inner();
        let named = self.next(&mut inner)?;
        let value = self.operand(named);
        let fenced = self.fenced(inner.next())?;
        let end = if fenced.is_some() { self.at } else { span.range().end };
        let kind = match self.code(value?, fenced) {
            Ok(code) => StatementKind::Code(code?),
            Err(value) => {
                let ExprKind::Call(name, arguments) = value.kind else {
                    return Err(recover::unknown_keyword(self, start));
                };
                StatementKind::Call(name, arguments)
            }
        };
        Ok(Statement { kind, span: self.span(start..end) })
    }

    fn with_options(&mut self, rule: Rule, kind: fn(Name, Options) -> StatementKind) -> Parsed<Statement> {
        let pair = self.read(rule)?;
        let span = self.statement_span(&pair);
        let mut inner = pair.into_inner();
        let name = self.next(&mut inner)?;
        let name = self.name(&name);
        let options = self.options(inner.next())?;
        Ok(Statement { kind: kind(name, options), span })
    }

    fn sync(&mut self) -> Parsed<Statement> {
        let pair = self.read(Rule::sync)?;
        let span = self.statement_span(&pair);
        let options = self.options(pair.into_inner().next())?;
        Ok(Statement { kind: StatementKind::Sync(options), span })
    }

    fn expect(&mut self) -> Parsed<Statement> {
        let pair = self.read(Rule::expect)?;
        let span = self.statement_span(&pair);
        let mut inner = pair.into_inner();
        let value = self.next(&mut inner)?;
        Ok(Statement { kind: StatementKind::Expect(Box::new(self.expression(value)?)), span })
    }

    fn copy(&mut self, rule: Rule, kind: fn(Box<Expr>, Box<Expr>) -> StatementKind) -> Parsed<Statement> {
        let pair = self.read(rule)?;
        let span = self.statement_span(&pair);
        let mut values = pair.into_inner().filter(|pair| pair.as_rule() == Rule::value);
        let (Some(from), Some(to)) = (values.next(), values.next()) else {
            return Err(self.wrong(span.range(), "something is missing here"));
        };
        let (from, to) = (self.expression(from)?, self.expression(to)?);
        Ok(Statement { kind: kind(Box::new(from), Box::new(to)), span })
    }

    fn finally(&mut self) -> Parsed<Option<Statement>> {
        let span = self.head(Rule::finally)?.1;
        let body = self.body();
        Ok(Some(Statement { kind: StatementKind::Finally(body), span }))
    }

    /// The head of a block statement, up to its `{`, and its span without that.
    fn head(&mut self, rule: Rule) -> Parsed<(Pairs<'s>, Span)> {
        let pair = self.read(rule)?;
        let span = self.place(&pair);
        let text = self.text[span.range().start..span.range().end - 1].trim_end_matches([' ', '\t']);
        Ok((pair.into_inner(), self.span(span.range().start..span.range().start + text.len())))
    }

    fn body(&mut self) -> Block {
        let body = self.block();
        self.after_block();
        body
    }

    fn for_each(&mut self) -> Parsed<Option<Statement>> {
        let (mut inner, span) = self.head(Rule::for_each)?;
        let name = self.next(&mut inner)?;
        let name = self.name(&name);
        let items = inner.find(|pair| pair.as_rule() == Rule::value).map(|items| self.expression(items)).transpose();
        let items = self.kept(items).flatten();
        let body = self.body();
        Ok(items.map(|items| Statement { kind: StatementKind::For(Box::new(For { name, items, body })), span }))
    }

    /// `if ... { }`, behind so many `else`.
    fn if_true(&mut self, elses: usize) -> Parsed<Option<Statement>> {
        let (mut inner, span) = self.head(Rule::if_true)?;
        let condition = self.next(&mut inner).and_then(|condition| self.expression(condition));
        let condition = self.kept(condition);
        self.then = Some(self.at - 1);
        let then = self.block();
        let otherwise = if self.at_else() { Some(self.otherwise(elses)?) } else { None };
        Ok(condition.map(|condition| {
            let kind = StatementKind::If(Box::new(If { condition, then, otherwise }));
            Statement { kind, span }
        }))
    }

    /// Steps to an `else` behind the block that was just read, on its line or below.
    fn at_else(&mut self) -> bool {
        self.skip_blanks();
        if self.word(self.at) == "else" {
            return true;
        }
        self.after_block();
        let after = self.at;
        self.skip_space();
        let found = self.word(self.at) == "else";
        if !found {
            self.at = after;
        }
        found
    }

    fn otherwise(&mut self, elses: usize) -> Parsed<Block> {
        let start = self.at;
        let behind = self.text[start + 4..].trim_start_matches([' ', '\t']);
        let next = self.text.len() - behind.len();
        if self.word(next) != "if" || next == start + 4 {
            self.read(Rule::if_false)?;
            return Ok(self.body());
        }
        self.at = next;
        if self.open.len() + elses >= NESTING {
            let message = format!("more than {NESTING} `else if` follow one another");
            self.abandon(Diagnostic::new(Problem::LimitExceeded, self.span(start..next + 2), message));
            return Ok(Block { statements: Vec::new(), span: self.span(start..next) });
        }
        let statements = self.if_true(elses + 1)?.into_iter().collect();
        Ok(Block { statements, span: self.span(next..self.at) })
    }

    fn group(&mut self, rule: Rule, kind: fn(Box<Group>) -> StatementKind) -> Parsed<Option<Statement>> {
        let (mut inner, span) = self.head(rule)?;
        let options = self.options(inner.next());
        let options = self.kept(options);
        let body = self.body();
        Ok(options.map(|options| Statement { kind: kind(Box::new(Group { options, body })), span }))
    }
}
