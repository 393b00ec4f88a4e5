//! A scenario as written, with its streams resolved: declarations collected, imports joined, selectors chosen.

mod arena;
mod binding;
mod data;
pub mod keys;
mod load;
mod outside;
mod params;
mod passwords;
mod select;
mod streams;
#[cfg(test)]
mod tests;
mod trees;
mod uri;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use arena::id;
pub use arena::{Arena, Id};
pub use binding::{Binding, Bound, Layer};
use indexmap::IndexMap;
pub use load::{Loaded, load};
pub use params::Origin;
pub use trees::{Given, trees};

pub use crate::params::Read;

use self::outside::Outside;
use crate::code::{Dialect, Interpreter};
use crate::diagnostic::{Code, Diagnostic, Sources, Span, similar};
use crate::syntax::Value;
use crate::syntax::ast::{self, Block, Expr, ExprKind, Item, Name, Task};

id! {
    /// A stream, in order of definition.
    StreamId
}

/// Words that no stream, value, parameter of a task or task may be called.
const RESERVED: &[&str] =
    &["self", "all", "param", "streams", "secret", "true", "false", "not", "and", "or", "in", "except"];

/// What `set` sets.
const SETTINGS: [&str; 3] = ["strict", "default_stream", "max_steps"];

/// Everything that the files say, the streams of every block known by id.
#[derive(Debug, Default)]
pub struct Scenario {
    /// The title; the file's name where it has none.
    pub title: Arc<str>,
    /// Every stream, declared or used without being declared.
    pub streams: Arena<StreamId, Stream>,
    names: HashMap<Arc<str>, StreamId>,
    /// Fleets, by name, with their streams in order.
    pub fleets: IndexMap<Arc<str>, Vec<StreamId>>,
    /// Parameters with the value that counts.
    pub params: IndexMap<Arc<str>, Value>,
    /// Where each of these values comes from.
    pub origins: IndexMap<Arc<str>, Origin>,
    /// Interpreters, the built-in ones first.
    pub interpreters: IndexMap<Arc<str>, Interpreter>,
    /// Tasks.
    pub tasks: IndexMap<Arc<str>, Task>,
    /// What is stated of barriers: `barrier ready parties 3`.
    pub barriers: IndexMap<Arc<str>, (Name, Expr)>,
    /// The `on` blocks in order, each with its streams.
    pub blocks: Vec<On>,
    /// The top-level `finally` blocks, in order.
    pub finales: Vec<Block>,
    /// How many statements it may come to when spelt out.
    pub max_steps: usize,
}

/// The default of [`Scenario::max_steps`].
const MAX_STEPS: usize = 2_000_000;

impl Scenario {
    /// The stream with exactly this name.
    pub fn stream_named(&self, name: &str) -> Option<StreamId> {
        self.names.get(name).copied()
    }

    fn add(&mut self, stream: Stream) -> StreamId {
        let name = stream.name.clone();
        let id = self.streams.push(stream);
        self.names.entry(name).or_insert(id);
        id
    }
}

/// A block for some streams.
#[derive(Debug)]
pub struct On {
    /// Which, in order of definition.
    pub streams: Vec<StreamId>,
    /// What they do.
    pub body: Block,
    /// The selector.
    pub span: Span,
}

/// A place where code runs.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its name: `web`, `client-3`.
    pub name: Arc<str>,
    /// What opens it, and how.
    pub binding: Arc<Binding>,
    /// The number in the brackets of its fleet, else its position.
    pub index: i64,
    /// Where it was declared, or first used.
    pub span: Span,
    /// Whether the file declares it.
    pub declared: bool,
}

/// What the command line says beside the files.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `-p NAME=VALUE`, in order.
    pub params: Vec<(String, String)>,
    /// `--stream NAME=URI`, in order.
    pub streams: Vec<String>,
    /// `--params FILE`, in order.
    pub files: Vec<PathBuf>,
    /// What the limits of parameter files are multiplied by.
    pub limit_scale: Option<usize>,
    /// The configuration of the user, where there is one.
    pub user_config: Option<PathBuf>,
    /// The configuration of the machine, where there is one.
    pub system_config: Option<PathBuf>,
}

/// Resolves the items of all files. The scenario is whole only where no error comes with it. What the command line says
/// becomes a source.
pub fn resolve(loaded: Loaded, settings: &Settings, sources: &mut Sources) -> (Scenario, Vec<Diagnostic>) {
    let mut resolver = Resolver {
        scenario: Scenario {
            title: loaded.title,
            interpreters: built_in(),
            max_steps: MAX_STEPS,
            ..Scenario::default()
        },
        problems: Vec::new(),
        places: IndexMap::new(),
        strict: false,
        default: None,
        default_binding: None,
        outside: Outside::default(),
        given: loaded.given,
        sources,
    };
    resolver.outside(settings);
    resolver.declare(&loaded.items, settings);
    resolver.blocks(loaded.items);
    resolver.unknown_targets();
    resolver.unknown_settings(settings);
    (resolver.scenario, resolver.problems)
}

/// The interpreters that need no declaration.
fn built_in() -> IndexMap<Arc<str>, Interpreter> {
    let one = |name: &str, command: &[&str], dialect| {
        let command = command.iter().map(|part| Arc::from(*part)).collect();
        (name.into(), Interpreter { name: name.into(), command, dialect })
    };
    IndexMap::from([
        one("shell", &["sh"], Dialect::Shell),
        one("bash", &["bash"], Dialect::Shell),
        one("python", &["python3"], Dialect::Python),
        one("exec", &[], Dialect::Exec),
    ])
}

/// The state of [`resolve`].
struct Resolver<'a> {
    scenario: Scenario,
    problems: Vec<Diagnostic>,
    /// Where each name was declared, under what kind of thing it is.
    places: IndexMap<(&'static str, Arc<str>), Span>,
    strict: bool,
    /// `set default_stream`
    default: Option<Expr>,
    /// What became of it, once a stream came from it.
    default_binding: Option<Arc<Binding>>,
    outside: Outside,
    /// What the parameter files say.
    given: Given,
    sources: &'a mut Sources,
}

impl Resolver<'_> {
    /// Collects everything but the blocks, so that the order of declarations does not matter.
    fn declare(&mut self, items: &[Item], settings: &Settings) {
        for item in items {
            if let Item::Set(name, value) = item {
                self.set(name, value);
            }
        }
        for item in items {
            self.declaration(item, settings);
        }
    }

    fn declaration(&mut self, item: &Item, settings: &Settings) {
        match item {
            Item::Scenario(title) => self.scenario.title = title.node.clone(),
            Item::Stream(stream) => self.stream(stream),
            Item::Interpreter(name, command) => self.interpreter(name, command),
            Item::Param(param) => self.param(param, settings),
            Item::Barrier(name, parties) => {
                if self.fresh("barrier", name) {
                    self.scenario.barriers.insert(name.node.clone(), (name.clone(), parties.clone()));
                }
            }
            Item::Task(task) => {
                if self.fresh("task", &task.name) {
                    self.scenario.tasks.insert(task.name.node.clone(), task.clone());
                }
            }
            Item::Streams { file, at, .. } => self.streams(file, at.as_ref()),
            Item::Set(..) | Item::Params(_) | Item::Import(_) | Item::On(_) | Item::Finally(_) => {}
        }
    }

    /// Notes that `name` is declared; false where it already was, or may not be.
    fn fresh(&mut self, kind: &'static str, name: &Name) -> bool {
        if RESERVED.contains(&&*name.node) {
            let message = format!("`{}` is a word of the language and cannot name a {kind}", name.node);
            self.problems.push(Diagnostic::new(Code::ReservedName, name.span, message));
            return false;
        }
        let Some(first) = self.places.insert((kind, name.node.clone()), name.span) else { return true };
        self.places.insert((kind, name.node.clone()), first);
        let message = format!("the {kind} `{}` is declared twice", name.node);
        let problem = Diagnostic::new(Code::DuplicateName, name.span, message);
        self.problems.push(problem.label("again here").other(first, "first declared here"));
        false
    }

    fn set(&mut self, name: &Name, value: &Expr) {
        match (&*name.node, &value.kind) {
            ("strict", ExprKind::Literal(Value::Bool(strict))) => self.strict = *strict,
            ("default_stream", ExprKind::Literal(Value::Text(_))) => self.default = Some(value.clone()),
            ("max_steps", ExprKind::Literal(Value::Int(count))) if *count > 0 => {
                self.scenario.max_steps = usize::try_from(*count).unwrap_or(usize::MAX);
            }
            ("max_steps", _) => self.wrong_type(value.span, "max_steps", "a count"),
            ("strict", _) => self.wrong_type(value.span, "strict", "`true` or `false`"),
            ("default_stream", _) => self.wrong_type(value.span, "default_stream", "a string such as \"local\""),
            _ => {
                let message = format!("there is no setting `{}`", name.node);
                let problem = Diagnostic::new(Code::UnknownOption, name.span, message);
                self.problems.push(match similar(&name.node, SETTINGS) {
                    Some(_) => problem.near("setting", &name.node, SETTINGS),
                    None => problem.help(format!("the settings are: {}", SETTINGS.join(", "))),
                });
            }
        }
    }

    fn wrong_type(&mut self, span: Span, name: &str, wanted: &str) {
        self.problems.push(Diagnostic::new(Code::WrongType, span, format!("`{name}` takes {wanted}")));
    }

    fn interpreter(&mut self, name: &Name, command: &Expr) {
        let items = if let ExprKind::List(items) = &command.kind { &items[..] } else { &[] };
        let command: Option<Vec<_>> = items.iter().map(|item| item.as_text().cloned()).collect();
        let Some(command) = command.filter(|command| !command.is_empty()) else {
            return self.wrong_type(name.span, &name.node.clone(), "a list of strings: [\"perl\", \"-\"]");
        };
        if self.scenario.interpreters.contains_key(&name.node)
            && !self.places.contains_key(&("interpreter", name.node.clone()))
        {
            let message = format!("`{}` is built in and cannot be declared", name.node);
            self.problems.push(Diagnostic::new(Code::ReservedName, name.span, message));
        } else if self.fresh("interpreter", name) {
            let it = Interpreter { name: name.node.clone(), command, dialect: Dialect::Other };
            self.scenario.interpreters.insert(name.node.clone(), it);
        }
    }

    fn blocks(&mut self, items: Vec<Item>) {
        for item in items {
            match item {
                Item::On(ast::On { selector, body }) => {
                    let streams = self.select(&selector);
                    self.scenario.blocks.push(On { streams, body, span: selector.span });
                }
                Item::Finally(block) => self.scenario.finales.push(block),
                Item::Scenario(_)
                | Item::Stream(_)
                | Item::Streams { .. }
                | Item::Interpreter(..)
                | Item::Set(..)
                | Item::Param(_)
                | Item::Params(_)
                | Item::Barrier(..)
                | Item::Task(_)
                | Item::Import(_) => {}
            }
        }
    }
}
