//! Expressions: the flat run of operands and operators that the grammar gives becomes a tree.

use std::iter::Peekable;
use std::sync::Arc;

use super::ast::{Argument, Body, Code, Expr, ExprKind, Name, Operator, Opt, Options, Piece};
use super::grammar::{Pair, Pairs, Rule};
use super::parser::{Parsed, Parser};
use super::{literal, value::Value};
use crate::diagnostic::{Code as Problem, Diagnostic, Span, Spanned};

/// How high the tree of an expression may grow.
const HEIGHT: u32 = 256;

/// How tightly `not` binds: looser than a comparison, tighter than `and`.
const NOT: u8 = 3;

/// How tightly a comparison binds.
const COMPARISON: u8 = 4;

/// A tree and its height, so that nobody who walks it can run out of stack.
struct Tree {
    expr: Expr,
    height: u32,
}

/// What stands between two operands.
#[derive(Clone, Copy)]
enum Infix {
    Operator(Operator),
    Range,
}

impl Infix {
    fn new(symbol: &str) -> Option<Self> {
        use Operator::{And, AtLeast, AtMost, Contains, Equal, Greater, In, Less, Matches, NotEqual, Or};
        let all = [Or, And, Equal, NotEqual, Less, AtMost, Greater, AtLeast, In, Matches, Contains];
        let found = all.into_iter().find(|operator| operator.symbol() == symbol).map(Self::Operator);
        found.or_else(|| (symbol == "..").then_some(Self::Range))
    }

    /// How tightly it binds; comparisons and ranges do not chain.
    fn strength(self) -> u8 {
        match self {
            Self::Operator(Operator::Or) => 1,
            Self::Operator(Operator::And) => 2,
            Self::Operator(
                Operator::Equal
                | Operator::NotEqual
                | Operator::Less
                | Operator::AtMost
                | Operator::Greater
                | Operator::AtLeast
                | Operator::In
                | Operator::Matches
                | Operator::Contains,
            ) => COMPARISON,
            Self::Range => COMPARISON + 1,
        }
    }
}

type Flat<'s> = Peekable<Pairs<'s>>;

impl<'s> Parser<'s> {
    /// The whole text as one expression.
    pub(super) fn whole(&mut self) -> Parsed<Expr> {
        let mut inner = self.read_within(Rule::whole, self.text.len())?.into_inner();
        let free = self.next(&mut inner)?;
        self.expression(free)
    }

    /// A `value` or `free`.
    pub(super) fn expression(&mut self, pair: Pair<'s>) -> Parsed<Expr> {
        Ok(self.tree(pair)?.expr)
    }

    /// A `value` or `free`, and the height of its tree.
    pub(super) fn expression_and_height(&mut self, pair: Pair<'s>) -> Parsed<(Expr, u32)> {
        self.tree(pair).map(|tree| (tree.expr, tree.height))
    }

    /// One operand that stands alone.
    pub(super) fn operand(&mut self, pair: Pair<'s>) -> Parsed<Expr> {
        Ok(self.primary(pair)?.expr)
    }

    fn tree(&mut self, pair: Pair<'s>) -> Parsed<Tree> {
        let mut flat = pair.into_inner().peekable();
        self.climb(&mut flat, 0)
    }

    /// All that binds at least as tightly as `least`.
    fn climb(&mut self, flat: &mut Flat<'s>, least: u8) -> Parsed<Tree> {
        let mut left = self.unary(flat)?;
        while let Some((infix, place)) = self.infix(flat) {
            let strength = infix.strength();
            if strength < least {
                break;
            }
            flat.next();
            let right = self.climb(flat, strength + 1)?;
            left = Self::join(left, infix, place, right)?;
            if let Some((next, place)) = self.infix(flat)
                && strength >= COMPARISON
                && next.strength() == strength
            {
                let problem = self.wrong(place.range(), "comparisons do not chain");
                return Err(Box::new(problem.help("compare twice: `a < b and b < c`")));
            }
        }
        Ok(left)
    }

    fn infix(&self, flat: &mut Flat<'s>) -> Option<(Infix, Span)> {
        let pair = flat.peek().filter(|pair| pair.as_rule() == Rule::operator)?;
        Some((Infix::new(pair.as_str())?, self.place(pair)))
    }

    fn join(left: Tree, infix: Infix, place: Span, right: Tree) -> Parsed<Tree> {
        let span = left.expr.span.to(right.expr.span);
        let height = left.height.max(right.height);
        let (left, right) = (Box::new(left.expr), Box::new(right.expr));
        let kind = match infix {
            Infix::Operator(operator) => ExprKind::Binary(left, Spanned::new(operator, place), right),
            Infix::Range => ExprKind::Range(left, right),
        };
        grow(kind, span, height)
    }

    /// An operand with the `not`s before it and the `.name` and `[index]` behind it.
    fn unary(&mut self, flat: &mut Flat<'s>) -> Parsed<Tree> {
        let mut nots = Vec::new();
        while let Some(not) = flat.next_if(|pair| pair.as_rule() == Rule::not) {
            nots.push(self.place(&not));
        }
        let mut tree = if nots.is_empty() { self.postfixed(flat)? } else { self.climb(flat, NOT + 1)? };
        for not in nots.into_iter().rev() {
            let span = not.to(tree.expr.span);
            tree = grow(ExprKind::Not(Box::new(tree.expr)), span, tree.height)?;
        }
        Ok(tree)
    }

    fn postfixed(&mut self, flat: &mut Flat<'s>) -> Parsed<Tree> {
        let Some(first) = flat.next() else {
            return Err(self.wrong(self.base..self.at, "a value is missing here"));
        };
        let mut tree = self.primary(first)?;
        while let Some(pair) = flat.next_if(|pair| matches!(pair.as_rule(), Rule::member | Rule::index)) {
            let span = tree.expr.span.to(self.place(&pair));
            let member = pair.as_rule() == Rule::member;
            let inner = self.next(&mut pair.into_inner())?;
            let of = Box::new(tree.expr);
            let (kind, height) = if member {
                (ExprKind::Member(of, self.name(&inner)), tree.height)
            } else {
                let index = self.tree(inner)?;
                (ExprKind::Index(of, Box::new(index.expr)), tree.height.max(index.height))
            };
            tree = grow(kind, span, height)?;
        }
        Ok(tree)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the grammar lets nothing else through")]
    fn primary(&mut self, pair: Pair<'s>) -> Parsed<Tree> {
        let span = self.place(&pair);
        let literal = |value| Ok(Tree { expr: Expr { kind: ExprKind::Literal(value), span }, height: 1 });
        match pair.as_rule() {
            Rule::number => match literal::number(pair.as_str()) {
                Ok(value) => literal(value),
                Err(problem) => Err(problem.at(span)),
            },
            Rule::regex => literal(Value::Regex(self.regex(pair)?)),
            Rule::string | Rule::raw => self.quoted(pair, span),
            Rule::list => self.list(pair, span),
            Rule::map => self.map(pair, span),
            Rule::named => self.named(pair, span),
            _ => {
                let mut inner = pair.into_inner();
                let free = self.next(&mut inner)?;
                self.tree(free)
            }
        }
    }

    fn quoted(&mut self, pair: Pair<'s>, span: Span) -> Parsed<Tree> {
        let (text, height) = self.text_of(pair)?;
        let kind = match &text.pieces[..] {
            [] => ExprKind::Literal(Value::Text(Arc::default())),
            [Piece::Literal(text)] => ExprKind::Literal(Value::Text(text.clone())),
            [..] => ExprKind::Template(text),
        };
        grow(kind, span, height)
    }

    fn list(&mut self, pair: Pair<'s>, span: Span) -> Parsed<Tree> {
        let (mut items, mut height) = (Vec::new(), 0);
        for pair in pair.into_inner().filter(|pair| pair.as_rule() == Rule::free) {
            let item = self.tree(pair)?;
            height = height.max(item.height);
            items.push(item.expr);
        }
        grow(ExprKind::List(items), span, height)
    }

    fn map(&mut self, pair: Pair<'s>, span: Span) -> Parsed<Tree> {
        let (mut entries, mut height) = (Vec::new(), 0);
        for pair in pair.into_inner().filter(|pair| pair.as_rule() == Rule::entry) {
            let mut inner = pair.into_inner().filter(|pair| pair.as_rule() != Rule::equals);
            let (Some(key), Some(value)) = (inner.next(), inner.next()) else { continue };
            let key = if key.as_rule() == Rule::name { self.name(&key) } else { self.plain_text(key)? };
            let value = self.tree(value)?;
            height = height.max(value.height);
            entries.push((key, value.expr));
        }
        self.distinct("key", entries.iter().map(|(key, _)| key));
        grow(ExprKind::Map(entries), span, height)
    }

    /// A name, a call, or code.
    fn named(&mut self, pair: Pair<'s>, span: Span) -> Parsed<Tree> {
        let mut inner = pair.into_inner();
        let name = self.next(&mut inner)?;
        let name = self.name(&name);
        let (mut arguments, mut height) = (None, 0);
        if let Some(pair) = inner.peek().filter(|pair| pair.as_rule() == Rule::arguments) {
            inner.next();
            let (found, high) = self.arguments(pair)?;
            (arguments, height) = (Some(found), high);
        }
        let Some(body) = inner.next() else { return self.name_or_call(name, arguments, span, height) };
        let options = self.as_options(arguments.unwrap_or_default())?;
        let (body, high) = self.body_of(&name, body)?;
        let code = Code { interpreter: name, options, body };
        grow(ExprKind::Code(Box::new(code)), span, height.max(high))
    }

    fn name_or_call(&mut self, name: Name, args: Option<Vec<Argument>>, span: Span, height: u32) -> Parsed<Tree> {
        let kind = match (args, &*name.node) {
            (Some(arguments), _) => {
                self.distinct("option", arguments.iter().filter_map(|argument| argument.name.as_ref()));
                ExprKind::Call(name, arguments)
            }
            (None, "true") => ExprKind::Literal(Value::Bool(true)),
            (None, "false") => ExprKind::Literal(Value::Bool(false)),
            (None, _) => ExprKind::Name(name.node),
        };
        grow(kind, span, height)
    }

    /// `exec` has no code.
    pub(super) fn not_for_exec(&self, text: Span) -> Box<Diagnostic> {
        let problem = self.wrong(text.range(), "`exec` takes a list: a program and its arguments");
        Box::new(problem.help("write `exec [\"program\", \"argument\"]`, or `shell` for code"))
    }

    fn body_of(&mut self, interpreter: &Name, pair: Pair<'s>) -> Parsed<(Body, u32)> {
        if pair.as_rule() != Rule::list {
            if &*interpreter.node == "exec" {
                return Err(self.not_for_exec(self.place(&pair)));
            }
            let (text, height) = self.text_of(pair)?;
            self.opaque(&text.span.range());
            return Ok((Body::Text(text), height));
        }
        let span = self.place(&pair);
        if &*interpreter.node != "exec" {
            let message = format!("only `exec` takes a list, not `{}`", interpreter.node);
            return Err(Box::new(self.wrong(span.range(), message).help("code stands in quotes or between fences")));
        }
        let list = self.list(pair, span)?;
        Ok((Body::Arguments(Box::new(list.expr)), list.height))
    }

    fn arguments(&mut self, pair: Pair<'s>) -> Parsed<(Vec<Argument>, u32)> {
        let (mut arguments, mut height) = (Vec::new(), 0);
        for pair in pair.into_inner().filter(|pair| pair.as_rule() == Rule::argument) {
            let mut inner = pair.into_inner().filter(|pair| pair.as_rule() != Rule::equals);
            let Some(mut first) = inner.next() else { continue };
            let mut name = None;
            if first.as_rule() == Rule::name {
                name = Some(self.name(&first));
                let Some(value) = inner.next() else { continue };
                first = value;
            }
            let value = self.tree(first)?;
            height = height.max(value.height);
            arguments.push(Argument { name, value: value.expr });
        }
        Ok((arguments, height))
    }

    /// What stands between parentheses, if they are there, as options.
    pub(super) fn options(&mut self, pair: Option<Pair<'s>>) -> Parsed<Options> {
        match pair.filter(|pair| pair.as_rule() == Rule::arguments) {
            Some(pair) => {
                let (arguments, _) = self.arguments(pair)?;
                self.as_options(arguments)
            }
            None => Ok(Options::default()),
        }
    }

    /// Arguments that must all have names.
    pub(super) fn as_options(&mut self, arguments: Vec<Argument>) -> Parsed<Options> {
        let mut options = Vec::with_capacity(arguments.len());
        for Argument { name, value } in arguments {
            let Some(name) = name else {
                let problem = self.wrong(value.span.range(), "this option has no name");
                return Err(Box::new(problem.help("write `name = value`")));
            };
            options.push(Opt { name, value });
        }
        self.distinct("option", options.iter().map(|option| &option.name));
        Ok(options.into_boxed_slice())
    }

    /// Reports every name that stands twice.
    fn distinct<'a>(&mut self, what: &str, names: impl Iterator<Item = &'a Name>) {
        let mut seen: indexmap::IndexMap<&str, Span> = indexmap::IndexMap::new();
        for name in names {
            if let Some(first) = seen.get(&*name.node) {
                let message = format!("the {what} `{}` is given twice", name.node);
                let problem = Diagnostic::new(Problem::DuplicateOption, name.span, message);
                self.report(problem.label("again here").other(*first, "first given here"));
            } else {
                seen.insert(&name.node, name.span);
            }
        }
    }
}

/// A tree on top of others that are at most so high.
fn grow(kind: ExprKind, span: Span, height: u32) -> Parsed<Tree> {
    if height >= HEIGHT {
        let message = format!("this expression nests more than {HEIGHT} deep");
        let problem = Diagnostic::new(Problem::LimitExceeded, span, message);
        return Err(Box::new(problem.help("name a part of it with `let`")));
    }
    Ok(Tree { expr: Expr { kind, span }, height: height + 1 })
}
