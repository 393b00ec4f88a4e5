//! What a stream is bound to: one form for all the ways to write it, checked against its kind.

use std::sync::Arc;

use super::{Resolver, keys, params, uri};
use crate::diagnostic::{Code, Diagnostic, Span, Spanned, similar};
use crate::syntax::Value;
use crate::syntax::ast::{Argument, Expr, ExprKind, Name, Text};

/// Who bound a stream, in order of precedence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Layer {
    /// `--stream NAME=URI`
    CommandLine,
    /// A file of `--params`
    ParameterFile,
    /// The scenario itself, or what its `streams` name.
    Scenario,
    /// A file that the scenario names with `params`.
    NamedFile,
    /// The configuration of the user.
    User,
    /// The configuration of the machine.
    System,
    /// `set default_stream = "URI"`
    DefaultStream,
    /// Nobody: it is `local`.
    BuiltIn,
}

impl Layer {
    /// The words for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommandLine => "--stream",
            Self::ParameterFile => "--params",
            Self::Scenario => "scenario",
            Self::NamedFile => "params",
            Self::User => "user config",
            Self::System => "system config",
            Self::DefaultStream => "default_stream",
            Self::BuiltIn => "default",
        }
    }
}

/// Where a binding comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    /// By whom.
    pub layer: Layer,
    /// Where it is written; the built-in one is written nowhere.
    pub span: Option<Span>,
}

/// What a stream is bound to.
#[derive(Clone, Debug)]
pub struct Binding {
    /// What opens it.
    pub kind: Arc<str>,
    /// Its keys, in the order in which the kind has them. What is known beforehand is in its one form.
    pub keys: Vec<(Name, Expr)>,
    /// Where it comes from.
    pub bound: Bound,
}

impl Binding {
    /// That of a stream that nobody binds.
    pub(super) fn built_in() -> Self {
        Self { kind: "local".into(), keys: Vec::new(), bound: Bound { layer: Layer::BuiltIn, span: None } }
    }
}

/// A kind with its keys, as somebody wrote them and nobody has checked them.
pub(super) struct Written {
    pub(super) kind: Spanned<&'static str>,
    pub(super) keys: Vec<(Name, Expr)>,
    /// All of it.
    pub(super) span: Span,
}

impl Resolver<'_> {
    /// The binding that was written, once its keys are checked.
    pub(super) fn bind(&mut self, written: Written, layer: Layer) -> Binding {
        let Written { kind, mut keys, span } = written;
        for (key, value) in &keys {
            self.key(kind.node, key, value, layer);
        }
        let has = |name: &str| keys.iter().any(|(key, _)| &*key.node == name);
        let missing = match kind.node {
            "ssh" if !has("host") => Some(("`host`", "`host` says where it is")),
            "docker" if !has("image") && !has("container") => {
                Some(("`image` or `container`", "`image` makes a container, `container` names an existing one"))
            }
            _ => None,
        };
        if let Some((what, help)) = missing {
            let problem = Diagnostic::new(Code::MissingOption, kind.span, format!("`{}` needs {what}", kind.node));
            self.problems.push(problem.help(help));
        }
        for (key, value) in &mut keys {
            if let Some(literal) = params::literal(value) {
                value.kind = ExprKind::Literal(keys::canonical(kind.node, &key.node, &literal));
            }
        }
        keys.sort_by_key(|(key, _)| {
            keys::of_kind(kind.node).position(|known| known == &*key.node).unwrap_or(usize::MAX)
        });
        Binding { kind: kind.node.into(), keys, bound: Bound { layer, span: Some(span) } }
    }

    /// Checks one key.
    fn key(&mut self, kind: &'static str, key: &Name, value: &Expr, layer: Layer) {
        if !keys::of_kind(kind).any(|known| known == &*key.node) {
            self.problems.push(unknown_key(kind, key));
            return;
        }
        let Some(literal) = params::literal(value) else { return };
        // Parameter files may have passwords, whoever names them.
        let layer = if layer == Layer::Scenario && self.given.outside(value.span) { Layer::NamedFile } else { layer };
        if let Some(problem) = key_problem(kind, &key.node, &literal, layer) {
            self.problems.push(Diagnostic { span: value.span, ..problem });
        }
        if &*key.node == "password" {
            // Whoever draws this line later shall not show it.
            let quoted = self.sources.text(value.span).starts_with(['"', '\'']);
            let inside = Span { start: value.span.start + 1, end: value.span.end - 1, ..value.span };
            self.sources.hide(&[if quoted { inside } else { value.span }]);
        }
    }

    /// What `docker(image = "x")`, `local`, `"ssh://host"` say.
    pub(super) fn written(&mut self, it: &Expr) -> Option<Written> {
        match &it.kind {
            ExprKind::Literal(Value::Text(text)) => {
                let inside = it.span.start + 1..it.span.end - 1;
                let span = Span { start: inside.start, end: inside.end.max(inside.start), ..it.span };
                self.uri(&uri::plain(text, span), it.span)
            }
            ExprKind::Template(text) => self.uri(text, it.span),
            ExprKind::Name(name) => {
                let kind = self.kind(name, it.span)?;
                Some(Written { kind, keys: Vec::new(), span: it.span })
            }
            ExprKind::Call(name, arguments) if &*name.node == "params" => match &arguments[..] {
                [Argument { name: None, value }] if value.as_text().is_some_and(|path| path.starts_with('/')) => {
                    let path = Spanned::new(value.as_text()?.clone(), value.span);
                    self.written_at(&path)
                }
                _ => {
                    self.wrong_type(it.span, "params", "a path from the top of the parameters: \"/streams/first/*\"");
                    None
                }
            },
            ExprKind::Call(name, arguments) => {
                let kind = self.kind(&name.node, name.span)?;
                let keys = arguments.iter().filter_map(|argument| self.argument(argument)).collect();
                Some(Written { kind, keys, span: it.span })
            }
            ExprKind::Literal(_)
            | ExprKind::List(_)
            | ExprKind::Map(_)
            | ExprKind::Range(..)
            | ExprKind::Member(..)
            | ExprKind::Index(..)
            | ExprKind::Code(_)
            | ExprKind::Not(_)
            | ExprKind::Binary(..) => {
                self.wrong_type(it.span, "a stream", "a kind with its keys or a URI: `local`, \"ssh://host\"");
                None
            }
        }
    }

    /// What a URI says; `span` is all of it.
    pub(super) fn uri(&mut self, text: &Text, span: Span) -> Option<Written> {
        match uri::parse(text, self.sources) {
            Ok((kind, keys)) => Some(Written { kind, keys, span }),
            Err(problem) => {
                self.problems.push(*problem);
                None
            }
        }
    }

    pub(super) fn kind(&mut self, name: &str, span: Span) -> Option<Spanned<&'static str>> {
        let found = keys::kind(name);
        if found.is_none() {
            let message = format!("there is no kind of stream `{name}`");
            self.problems.push(keys::near_kind(Diagnostic::new(Code::UnknownKind, span, message), name));
        }
        found.map(|kind| Spanned::new(kind, span))
    }

    fn argument(&mut self, argument: &Argument) -> Option<(Name, Expr)> {
        if argument.name.is_none() {
            self.wrong_type(argument.value.span, "a key", "a name and a value: `host = \"foo\"`");
        }
        argument.name.clone().map(|name| (name, argument.value.clone()))
    }
}

/// A key that the kind does not have: one of another kind, or of none.
fn unknown_key(kind: &str, key: &Name) -> Diagnostic {
    let message = format!("`{kind}` has no key `{}`", key.node);
    let known = keys::of_kind(kind);
    let others: Vec<String> = keys::kinds_with(&key.node).map(|other| format!("`{other}`")).collect();
    if !others.is_empty() {
        let problem = Diagnostic::new(Code::OptionNotForBackend, key.span, message);
        let problem = problem.note(format!("`{}` is a key of {}", key.node, others.join(" and ")));
        return problem.help(format!("the keys of `{kind}` are: {}", known.collect::<Vec<_>>().join(", ")));
    }
    let problem = Diagnostic::new(Code::UnknownOption, key.span, message);
    match similar(&key.node, known.clone()) {
        Some(_) => problem.near("key", &key.node, known),
        None => problem.help(format!("its keys are: {}", known.collect::<Vec<_>>().join(", "))),
    }
}

/// What is wrong with a value that is known beforehand. It stands at no place yet.
fn key_problem(kind: &str, key: &str, value: &Value, layer: Layer) -> Option<Diagnostic> {
    if let Err(words) = keys::check(kind, key, value) {
        let off = key == "host_key" && keys::flag(value) == Some(false);
        let code = if off { Code::HostKeyCheckOff } else { Code::WrongType };
        return Some(Diagnostic::new(code, Span::default(), words));
    }
    match (kind, key, layer) {
        ("ssh", "password", Layer::Scenario | Layer::DefaultStream) => {
            let message = "a password that everybody can read who can read this file";
            let problem = Diagnostic::new(Code::HardcodedCredential, Span::default(), message);
            Some(problem.help("password = secret(\"NAME\") takes it from the environment or from --secret-file"))
        }
        ("ssh", "password", Layer::CommandLine) => {
            let message = "a password that everybody can read who can list the processes of this machine";
            let problem = Diagnostic::new(Code::HardcodedCredential, Span::default(), message);
            let help = "`password=${{secret(\"NAME\")}}` takes it from the environment or from --secret-file";
            Some(problem.help(help))
        }
        ("docker", "privileged", _) if keys::flag(value) == Some(true) => {
            let message = "what runs in this container can do everything that root can do on its host";
            let problem = Diagnostic::new(Code::PrivilegedContainer, Span::default(), message);
            Some(problem.help("cap_add = [\"NET_ADMIN\"] gives it only what it needs"))
        }
        _ => None,
    }
}
