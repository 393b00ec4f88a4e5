//! The top level: streams, parameters, tasks, imports and `on` blocks.

use std::sync::Arc;

use super::ast::{Expr, Item, Name, On, Param, Pick, PickKind, Selector, Stream, Task};
use super::grammar::{Pair, Pairs, Rule};
use super::parser::{Parsed, Parser};
use super::recover;
use crate::diagnostic::{Span, Spanned};

impl<'s> Parser<'s> {
    /// One item; none where a block was read that does not belong here.
    pub(super) fn item(&mut self) -> Parsed<Option<Item>> {
        let start = self.at;
        let item = match self.word(start) {
            "scenario" => Item::Scenario(self.only_text(Rule::scenario)?),
            "stream" => Item::Stream(self.stream()?),
            "streams" => self.streams()?,
            "interpreter" => self.assignment(Rule::interpreter, Item::Interpreter)?,
            "set" => self.assignment(Rule::set, Item::Set)?,
            "param" => Item::Param(self.param()?),
            "params" => Item::Params(self.only_text(Rule::params)?),
            "barrier" => self.assignment(Rule::parties, Item::Barrier)?,
            "task" => return Ok(self.task()?.map(Item::Task)),
            "import" => Item::Import(self.only_text(Rule::import)?),
            "on" => return Ok(self.on()?.map(Item::On)),
            "finally" => {
                self.read(Rule::finally)?;
                let body = self.block();
                self.after_block();
                Item::Finally(body)
            }
            _ => return Err(recover::misplaced_at_top(self)),
        };
        Ok(Some(item))
    }

    fn only_text(&mut self, rule: Rule) -> Parsed<Name> {
        let pair = self.read(rule)?;
        let mut inner = pair.into_inner();
        self.next_text(&mut inner)
    }

    /// The next piece, which the grammar says is there.
    pub(super) fn next(&self, inner: &mut Pairs<'s>) -> Parsed<Pair<'s>> {
        inner
            .find(|pair| pair.as_rule() != Rule::room)
            .ok_or_else(|| self.wrong(self.base..self.at, "something is missing here"))
    }

    fn next_text(&mut self, inner: &mut Pairs<'s>) -> Parsed<Name> {
        let pair = self.next(inner)?;
        self.plain_text(pair)
    }

    /// The next piece if it is this mark.
    fn mark(inner: &mut Pairs<'s>, rule: Rule) -> bool {
        let found = inner.peek().is_some_and(|pair| pair.as_rule() == rule);
        if found {
            inner.next();
        }
        found
    }

    fn stream(&mut self) -> Parsed<Stream> {
        let pair = self.read(Rule::stream)?;
        let span = self.statement_span(&pair);
        let mut inner = pair.into_inner();
        let name = self.next(&mut inner)?;
        let name = self.any_name(name)?;
        let fleet = match inner.peek().filter(|pair| pair.as_rule() == Rule::fleet) {
            Some(pair) => {
                inner.next();
                Some(self.bounds(pair)?)
            }
            None => None,
        };
        let binding = if Self::mark(&mut inner, Rule::equals) { Some(self.next_value(&mut inner)?) } else { None };
        Ok(Stream { name, fleet, binding, span })
    }

    /// A name, a quoted name or an integer that serves as one.
    fn any_name(&mut self, pair: Pair<'s>) -> Parsed<Name> {
        if matches!(pair.as_rule(), Rule::string | Rule::raw) { self.plain_text(pair) } else { Ok(self.name(&pair)) }
    }

    fn next_value(&mut self, inner: &mut Pairs<'s>) -> Parsed<Expr> {
        let pair = self.next(inner)?;
        self.expression(pair)
    }

    fn streams(&mut self) -> Parsed<Item> {
        let pair = self.read(Rule::streams)?;
        let span = self.statement_span(&pair);
        let mut inner = pair.into_inner();
        let file = self.next_text(&mut inner)?;
        let at = if Self::mark(&mut inner, Rule::kw_at) { Some(self.next_text(&mut inner)?) } else { None };
        Ok(Item::Streams { file, at, span })
    }

    fn assignment(&mut self, rule: Rule, item: fn(Name, Expr) -> Item) -> Parsed<Item> {
        let mut inner = self.read(rule)?.into_inner();
        let name = self.next(&mut inner)?;
        let name = self.name(&name);
        self.next(&mut inner)?;
        Ok(item(name, self.next_value(&mut inner)?))
    }

    fn param(&mut self) -> Parsed<Param> {
        let mut inner = self.read(Rule::param)?.into_inner();
        let name = self.next(&mut inner)?;
        let name = self.name(&name);
        let kind = inner.peek().filter(|pair| pair.as_rule() == Rule::kind);
        if kind.is_some() {
            inner.next();
        }
        let kind = kind.and_then(|kind| kind.into_inner().next()).map(|kind| self.name(&kind));
        let default = if Self::mark(&mut inner, Rule::equals) { Some(self.next_value(&mut inner)?) } else { None };
        let at = if Self::mark(&mut inner, Rule::kw_at) { Some(self.next_text(&mut inner)?) } else { None };
        Ok(Param { name, kind, default, at })
    }

    fn task(&mut self) -> Parsed<Option<Task>> {
        let mut inner = self.read(Rule::task)?.into_inner();
        let name = self.next(&mut inner)?;
        let name = self.name(&name);
        let parameters = match inner.next().filter(|pair| pair.as_rule() == Rule::parameters) {
            Some(pair) => self.parameters(pair),
            None => Ok(Vec::new()),
        };
        let parameters = self.kept(parameters);
        let body = self.block();
        self.after_block();
        Ok(parameters.map(|parameters| Task { name, parameters, body }))
    }

    fn parameters(&mut self, pair: Pair<'s>) -> Parsed<Vec<(Name, Option<Expr>)>> {
        let mut parameters = Vec::new();
        for pair in pair.into_inner().filter(|pair| pair.as_rule() == Rule::parameter) {
            let mut inner = pair.into_inner();
            let name = self.next(&mut inner)?;
            let name = self.name(&name);
            let default = if Self::mark(&mut inner, Rule::equals) { Some(self.next_value(&mut inner)?) } else { None };
            parameters.push((name, default));
        }
        Ok(parameters)
    }

    /// A part of a head; what is wrong with it is reported, so that the block behind it can still be read.
    pub(super) fn kept<T>(&mut self, part: Parsed<T>) -> Option<T> {
        part.map_err(|problem| self.report(*problem)).ok()
    }

    fn on(&mut self) -> Parsed<Option<On>> {
        let inner = self.read(Rule::on)?.into_inner();
        let selector = self.selector(inner);
        let selector = self.kept(selector);
        let body = self.block();
        self.after_block();
        Ok(selector.map(|selector| On { selector, body }))
    }

    fn selector(&mut self, mut inner: Pairs<'s>) -> Parsed<Selector> {
        let first = self.next(&mut inner)?;
        let mut span = self.place(&first);
        let picks = self.picks(first)?;
        let mut except = Vec::new();
        if Self::mark(&mut inner, Rule::kw_except) {
            let second = self.next(&mut inner)?;
            span = span.to(self.place(&second));
            except = self.picks(second)?;
        }
        Ok(Selector { picks, except, span })
    }

    fn picks(&mut self, selector: Pair<'s>) -> Parsed<Vec<Pick>> {
        let picks = selector.into_inner().filter(|pair| pair.as_rule() == Rule::pick);
        picks.map(|pair| self.pick(pair)).collect()
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the grammar lets nothing else through")]
    fn pick(&mut self, pick: Pair<'s>) -> Parsed<Pick> {
        let span = self.place(&pick);
        let mut inner = pick.into_inner();
        let pair = self.next(&mut inner)?;
        let kind = match pair.as_rule() {
            Rule::range => {
                let (first, last) = self.bounds(pair)?.node;
                PickKind::Range(first, last)
            }
            Rule::integer => {
                let position = self.integer(&pair)?;
                PickKind::Range(position, position)
            }
            Rule::string | Rule::raw => PickKind::Name(self.plain_text(pair)?.node),
            Rule::regex => PickKind::Regex(self.regex(pair)?),
            _ => self.named_pick(&pair, inner.next())?,
        };
        Ok(Pick { kind, span })
    }

    fn named_pick(&mut self, name: &Pair<'s>, part: Option<Pair<'s>>) -> Parsed<PickKind> {
        let word: Arc<str> = self.intern(name.as_str());
        Ok(match part {
            Some(part) => {
                let (first, last) = self.bounds(part)?.node;
                PickKind::Part(word, first, last)
            }
            None if &*word == "all" => PickKind::All,
            None => PickKind::Name(word),
        })
    }

    /// `1..8` or `3`, in brackets or not: both ends.
    fn bounds(&mut self, pair: Pair<'s>) -> Parsed<Spanned<(i64, i64)>> {
        let span = self.place(&pair);
        let mut ends = pair.into_inner().filter(|pair| pair.as_rule() == Rule::integer);
        let first = match ends.next() {
            Some(first) => self.integer(&first)?,
            None => return Err(self.wrong(span.range(), "an integer is missing here")),
        };
        let last = ends.next().map_or(Ok(first), |last| self.integer(&last))?;
        Ok(Spanned::new((first, last), span))
    }

    /// The statement without the blanks before its end.
    pub(super) fn statement_span(&self, pair: &Pair<'s>) -> Span {
        let span = self.place(pair);
        let length = self.text[span.range()].trim_end_matches([' ', '\t']).len();
        self.span(span.range().start..span.range().start + length)
    }
}
