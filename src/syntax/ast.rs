//! The tree: a scenario exactly as it was written, every piece with its place. No pest in here.

use std::ops::Deref;
use std::sync::Arc;

use super::value::Value;
use crate::diagnostic::{FileId, Span, Spanned};

/// A name, quoted or not, and where it stands.
pub type Name = Spanned<Arc<str>>;

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    /// Which.
    pub id: FileId,
    /// Its items, in order.
    pub items: Vec<Item>,
    /// Its `# ms: allow[...]` comments, in order.
    pub allows: Vec<Allow>,
}

/// `# ms: allow[MS213] reason`: silences codes on its line and the next.
#[derive(Clone, Debug)]
pub struct Allow {
    /// The comment.
    pub span: Span,
    /// What stands between the brackets, each with its place.
    pub codes: Vec<Name>,
}

/// Something at the top level.
#[derive(Clone, Debug)]
pub enum Item {
    /// `scenario "title"`
    Scenario(Name),
    /// `stream NAME = ...`
    Stream(Stream),
    /// `streams "FILE.yaml" at "/path/*"`
    Streams {
        /// The YAML file.
        file: Name,
        /// The path in its tree.
        at: Option<Name>,
        /// The whole statement.
        span: Span,
    },
    /// `interpreter NAME = ["program", "argument"]`
    Interpreter(Name, Expr),
    /// `set NAME = value`
    Set(Name, Expr),
    /// `param NAME: type = default at "path"`
    Param(Param),
    /// `params "FILE.yaml"`
    Params(Name),
    /// `barrier NAME parties ...`
    Barrier(Name, Expr),
    /// `task NAME(parameters) { }`
    Task(Task),
    /// `import "FILE.ms"`
    Import(Name),
    /// `on SELECTOR { }`
    On(On),
    /// `finally { }` of the whole scenario
    Finally(Block),
}

/// `stream NAME = binding`, `stream NAME[1..8] = binding`.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The name, or the fleet's name.
    pub name: Name,
    /// `[1..8]`, both ends included.
    pub fleet: Option<Spanned<(i64, i64)>>,
    /// A URI, a call or `params(...)`; absent where it is bound from outside.
    pub binding: Option<Expr>,
    /// The whole statement.
    pub span: Span,
}

/// `param count: int = 4 at "*/boot/*"`.
#[derive(Clone, Debug)]
pub struct Param {
    /// The name.
    pub name: Name,
    /// The stated type.
    pub kind: Option<Name>,
    /// The default.
    pub default: Option<Expr>,
    /// The path in the parameter tree.
    pub at: Option<Name>,
}

/// `task install(package, version = "latest") { }`.
#[derive(Clone, Debug)]
pub struct Task {
    /// The name.
    pub name: Name,
    /// Its parameters with their defaults.
    pub parameters: Vec<(Name, Option<Expr>)>,
    /// What it does.
    pub body: Block,
}

/// `on SELECTOR { }`.
#[derive(Clone, Debug)]
pub struct On {
    /// Which streams.
    pub selector: Selector,
    /// What they do.
    pub body: Block,
}

/// A comma list of picks, and what is left out of it.
#[derive(Clone, Debug)]
pub struct Selector {
    /// What is chosen.
    pub picks: Vec<Pick>,
    /// What stands after `except`.
    pub except: Vec<Pick>,
    /// The whole selector.
    pub span: Span,
}

/// One part of a selector.
#[derive(Clone, Debug)]
pub struct Pick {
    /// What it chooses.
    pub kind: PickKind,
    /// Where it stands.
    pub span: Span,
}

/// What a part of a selector chooses.
#[derive(Clone, Debug)]
pub enum PickKind {
    /// `all`
    All,
    /// A name, quoted or not: a stream or a fleet.
    Name(Arc<str>),
    /// `client[1..3]`, `client[2]`
    Part(Arc<str>, i64, i64),
    /// `/client-\d+/`, over whole names
    Regex(Arc<str>),
    /// `3`, `1..4`
    Range(i64, i64),
}

/// Statements between braces.
#[derive(Clone, Debug)]
pub struct Block {
    /// In order.
    pub statements: Vec<Statement>,
    /// From `{` to `}`.
    pub span: Span,
}

/// One statement of a timeline.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it does.
    pub kind: StatementKind,
    /// The whole statement; of a block statement, its head.
    pub span: Span,
}

/// What a statement does.
#[derive(Clone, Debug)]
pub enum StatementKind {
    /// `$ ...`, `shell(...) "..."`, `exec [...]`
    Code(Box<Code>),
    /// `let x = shell "..."`
    LetCode(Name, Box<Code>),
    /// `let x = expression`
    Let(Name, Box<Expr>),
    /// `start web = shell(...) "..."`
    Start(Name, Box<Code>),
    /// `prepare load = shell "..."`
    Prepare(Name, Box<Code>),
    /// `stop web(signal = "INT", grace = 5s)`
    Stop(Name, Options),
    /// `trigger load`
    Trigger(Name),
    /// `wait db_up`, `wait load(may_fail = true)`
    Wait(Name, Options),
    /// `barrier ready(timeout = 30s)`
    Barrier(Name, Options),
    /// `signal db_up`
    Signal(Name),
    /// `sync`
    Sync(Options),
    /// `expect probe.exit == 0`
    Expect(Box<Expr>),
    /// `put "a" to "b"`
    Put(Box<Expr>, Box<Expr>),
    /// `get "a" to "b"`
    Get(Box<Expr>, Box<Expr>),
    /// `finally { }`
    Finally(Block),
    /// `for i in 1..3 { }`
    For(Box<For>),
    /// `if condition { } else { }`
    If(Box<If>),
    /// `retry(times = 3, every = 2s) { }`
    Retry(Box<Group>),
    /// `repeat(for = 60s, every = 5s) { }`
    Repeat(Box<Group>),
    /// `install("nginx", version = "1")`
    Call(Name, Vec<Argument>),
}

/// `for i in 1..3 { }`.
#[derive(Clone, Debug)]
pub struct For {
    /// The loop's name.
    pub name: Name,
    /// What it runs over.
    pub items: Expr,
    /// What it does each time.
    pub body: Block,
}

/// `if condition { } else { }`.
#[derive(Clone, Debug)]
pub struct If {
    /// Decided before the run.
    pub condition: Expr,
    /// Where it holds.
    pub then: Block,
    /// Where it does not.
    pub otherwise: Option<Block>,
}

/// The options and the body of `retry` or `repeat`.
#[derive(Clone, Debug)]
pub struct Group {
    /// `times`, `for`, `every`.
    pub options: Options,
    /// What is tried again or repeated.
    pub body: Block,
}

/// Options between parentheses, in order; absent parentheses are an empty list.
pub type Options = Box<[Opt]>;

/// `timeout = 5m`.
#[derive(Clone, Debug)]
pub struct Opt {
    /// The option's name.
    pub name: Name,
    /// Its value.
    pub value: Expr,
}

/// An argument of a call, with its name where it has one.
#[derive(Clone, Debug)]
pub struct Argument {
    /// `version` in `version = "1"`.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

/// Code for an interpreter.
#[derive(Clone, Debug)]
pub struct Code {
    /// `shell`, `python`, ...; `$` is `shell`.
    pub interpreter: Name,
    /// Its options.
    pub options: Options,
    /// The code itself.
    pub body: Body,
}

/// Code as it was written.
#[derive(Clone, Debug)]
pub enum Body {
    /// `$ ...`, a quoted or a fenced text.
    Text(Text),
    /// `exec ["program", "argument"]`
    Arguments(Box<Expr>),
}

/// Text with holes, the common indentation already removed.
#[derive(Clone, Debug)]
pub struct Text {
    /// The pieces in order; two pieces of literal text never stand side by side.
    pub pieces: Pieces,
    /// Where the content stands: without quotes or fence lines.
    pub span: Span,
    /// How it was delimited.
    pub form: TextForm,
    /// How many bytes of indentation were removed from each line (0 but for fences).
    pub indent: u32,
}

/// How a text was delimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextForm {
    /// `$ ...`
    Line,
    /// `"..."`
    Quoted,
    /// `'...'`: no holes
    Raw,
    /// Between fences
    Fenced,
}

/// A piece of a text.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Literal text.
    Literal(Arc<str>),
    /// `${{ expression }}`; its span is the whole hole.
    Hole(Box<Expr>, Span),
}

/// The pieces of a text. Most texts are one piece, and a scenario has a million of them: that one stands here itself.
#[derive(Clone, Debug)]
pub enum Pieces {
    /// A single one.
    One(Piece),
    /// None, or several.
    Many(Box<[Piece]>),
}

impl Deref for Pieces {
    type Target = [Piece];

    fn deref(&self) -> &[Piece] {
        match self {
            Self::One(piece) => std::slice::from_ref(piece),
            Self::Many(pieces) => pieces,
        }
    }
}

impl FromIterator<Piece> for Pieces {
    fn from_iter<I: IntoIterator<Item = Piece>>(pieces: I) -> Self {
        let mut pieces = pieces.into_iter();
        match (pieces.next(), pieces.next()) {
            (None, _) => Self::Many(Box::default()),
            (Some(only), None) => Self::One(only),
            (Some(first), Some(second)) => Self::Many([first, second].into_iter().chain(pieces).collect()),
        }
    }
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

impl Expr {
    /// The value of a literal.
    pub fn as_literal(&self) -> Option<&Value> {
        if let ExprKind::Literal(value) = &self.kind { Some(value) } else { None }
    }

    /// The text of a string without holes.
    pub fn as_text(&self) -> Option<&Arc<str>> {
        if let Some(Value::Text(text)) = self.as_literal() { Some(text) } else { None }
    }
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A literal without holes.
    Literal(Value),
    /// `"... ${{x}} ..."`
    Template(Text),
    /// `param`, `server`, `self`, `i`
    Name(Arc<str>),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `{ k = v }`
    Map(Vec<(Name, Expr)>),
    /// `1..3`, both ends included
    Range(Box<Expr>, Box<Expr>),
    /// `a.b`
    Member(Box<Expr>, Name),
    /// `a[1]`, `streams["x"]`, `streams[1..2]`
    Index(Box<Expr>, Box<Expr>),
    /// `secret("X")`, `docker(image = "x")`, `port(8080)`
    Call(Name, Vec<Argument>),
    /// `shell "probe"` where a value may be code
    Code(Box<Code>),
    /// `not a`
    Not(Box<Expr>),
    /// `a == b`; the operator's own place for the message
    Binary(Box<Expr>, Spanned<Operator>, Box<Expr>),
}

/// The binary operators, loosest first: `or`, `and`, the comparisons.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `in`
    In,
    /// `matches`
    Matches,
    /// `contains`
    Contains,
}

impl Operator {
    /// As it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::In => "in",
            Self::Matches => "matches",
            Self::Contains => "contains",
        }
    }
}
