//! Declarations of streams and fleets: their kinds and keys.

use std::sync::Arc;

use super::keys::{self, Takes};
use super::{Resolver, Settings, Stream, StreamId, uri};
use crate::diagnostic::{Code, Diagnostic, Span, Spanned, similar};
use crate::syntax::Value;
use crate::syntax::ast::{self, Argument, Expr, ExprKind, Name};

/// How many streams one fleet may have.
const MAX_FLEET: i64 = 100_000;

/// The kinds of streams, each with the keys it has and what they take.
pub(super) const KINDS: &[(&str, &[(&str, Takes)])] = &[
    ("local", &[("dir", Takes::Path), ("user", Takes::Name(".-_@+$\\"))]),
    (
        "ssh",
        &[
            ("host", Takes::Name(":.-_%")),
            ("user", Takes::Name(".-_@+$\\")),
            ("port", Takes::Port),
            ("key", Takes::Path),
            ("password", Takes::Text),
            ("config", Takes::Path),
            ("known_hosts", Takes::Path),
            ("host_key", Takes::HostKey),
            ("jump", Takes::Name(":.-_%@,[]")),
        ],
    ),
    (
        "docker",
        &[
            ("image", Takes::Name(":.-_/@")),
            ("container", Takes::Name(".-_")),
            ("create", Takes::Flag),
            ("remove", Takes::Word(&["always", "on_success", "never"])),
            ("pull", Takes::Word(&["missing", "never", "always"])),
            ("env", Takes::Map),
            ("volumes", Takes::Volumes),
            ("network", Takes::Text),
            ("user", Takes::Name(".-_:")),
            ("dir", Takes::Text),
            ("command", Takes::Texts),
            ("init", Takes::Flag),
            ("memory", Takes::Size),
            ("cpus", Takes::Number),
            ("cap_add", Takes::Texts),
            ("privileged", Takes::Flag),
        ],
    ),
];

/// The kind that `name` means: its own name or another one for it.
pub(super) fn kind(name: &str) -> Option<&'static str> {
    let name = match name {
        "localhost" => "local",
        "remote" => "ssh",
        other => other,
    };
    KINDS.iter().map(|(kind, _)| *kind).find(|kind| *kind == name)
}

/// A kind with its keys.
type Binding = (Arc<str>, Vec<(Name, Expr)>);

impl Resolver {
    pub(super) fn stream(&mut self, declared: &ast::Stream, settings: &Settings) {
        let name = &declared.name;
        if !self.fresh("stream", name) {
            return;
        }
        let bound = settings.streams.iter().rev().find(|(bound, _)| *bound == *name.node);
        let binding = match (bound, &declared.binding) {
            (Some((_, uri)), _) => self.uri(uri, name.span),
            (None, Some(binding)) => self.binding(binding),
            (None, None) => self.default_binding(name.span),
        };
        let Some((kind, keys)) = binding else { return self.push_broken(declared) };
        self.keys(&kind, &keys, declared.span);
        for (name, index) in self.members(declared) {
            let index = index.unwrap_or_else(|| i64::try_from(self.scenario.streams.len()).unwrap_or(i64::MAX));
            let (kind, keys) = (kind.clone(), keys.clone());
            let it = Stream { name: name.clone(), kind, keys, index, span: declared.name.span, declared: true };
            let id = self.scenario.add(it);
            if declared.fleet.is_some() {
                self.places.insert(("stream", name), declared.name.span);
                self.scenario.fleets.entry(declared.name.node.clone()).or_default().push(id);
            }
        }
    }

    /// A stream whose binding is wrong still exists, so that nobody is told that it does not.
    fn push_broken(&mut self, declared: &ast::Stream) {
        for (name, index) in self.members(declared) {
            let (span, index) = (declared.name.span, index.unwrap_or_default());
            let it = Stream { name, kind: "local".into(), keys: Vec::new(), index, span, declared: true };
            let id = self.scenario.add(it);
            if declared.fleet.is_some() {
                self.scenario.fleets.entry(declared.name.node.clone()).or_default().push(id);
            }
        }
    }

    /// The names that a declaration makes, with their numbers.
    fn members(&mut self, declared: &ast::Stream) -> Vec<(Arc<str>, Option<i64>)> {
        let Some(Spanned { node: (first, last), span }) = declared.fleet else {
            return vec![(declared.name.node.clone(), None)];
        };
        if last < first || last - first >= MAX_FLEET {
            let message = format!("a fleet has 1 to {MAX_FLEET} streams, counted upwards");
            self.problems.push(Diagnostic::new(Code::LimitExceeded, span, message));
            return Vec::new();
        }
        (first..=last).map(|index| (format!("{}-{index}", declared.name.node).into(), Some(index))).collect()
    }

    fn default_binding(&mut self, span: Span) -> Option<Binding> {
        let default = self.default.clone();
        self.uri(&default, span)
    }

    fn uri(&mut self, text: &str, span: Span) -> Option<Binding> {
        match uri::parse(text) {
            Ok((kind, keys)) => {
                let literal = |value: String| Expr { kind: ExprKind::Literal(Value::Text(value.into())), span };
                Some((kind, keys.into_iter().map(|(key, value)| (Spanned::new(key, span), literal(value))).collect()))
            }
            Err(words) => {
                let scheme = text.split(':').next().unwrap_or_default();
                self.problems.push(unknown_kind(Diagnostic::new(Code::UnknownKind, span, words), scheme));
                None
            }
        }
    }

    /// The kind and the keys of `docker(image = "x")`, `local`, `"ssh://host"`.
    fn binding(&mut self, binding: &Expr) -> Option<Binding> {
        if let Some(text) = binding.as_text() {
            return self.uri(text, binding.span);
        }
        if let ExprKind::Name(name) = &binding.kind {
            return self.kind(name, binding.span).map(|kind| (kind, Vec::new()));
        }
        let ExprKind::Call(name, arguments) = &binding.kind else {
            self.wrong_type(binding.span, "a stream", "a kind with its keys or a URI: `local`, \"ssh://host\"");
            return None;
        };
        if &*name.node == "params" {
            self.not_yet(binding.span, "streams from parameters");
            return None;
        }
        let kind = self.kind(&name.node, name.span)?;
        let keys = arguments.iter().filter_map(|argument| self.key(argument)).collect();
        Some((kind, keys))
    }

    fn kind(&mut self, name: &str, span: Span) -> Option<Arc<str>> {
        let found = kind(name);
        if found.is_none() {
            let message = format!("there is no kind of stream `{name}`");
            self.problems.push(unknown_kind(Diagnostic::new(Code::UnknownKind, span, message), name));
        }
        found.map(Arc::from)
    }

    fn key(&mut self, argument: &Argument) -> Option<(Name, Expr)> {
        if argument.name.is_none() {
            self.wrong_type(argument.value.span, "a key", "a name and a value: `host = \"foo\"`");
        }
        argument.name.clone().map(|name| (name, argument.value.clone()))
    }

    /// Checks the keys of a binding against its kind.
    fn keys(&mut self, kind: &str, keys: &[(Name, Expr)], span: Span) {
        let known = KINDS.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, known)| known);
        let known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
        for (at, (key, value)) in keys.iter().enumerate() {
            if !known.contains(&&*key.node) {
                let message = format!("`{kind}` has no key `{}`", key.node);
                let problem = Diagnostic::new(Code::UnknownOption, key.span, message);
                self.problems.push(match similar(&key.node, known.iter().copied()) {
                    Some(_) => problem.near("key", &key.node, known.iter().copied()),
                    None => problem.help(format!("its keys are: {}", known.join(", "))),
                });
            } else if let Some(problem) = super::params::literal(value).and_then(|it| key_problem(kind, &key.node, &it))
            {
                self.problems.push(Diagnostic { span: value.span, ..problem });
            } else if let Some((first, _)) =
                keys[..at].iter().find(|(other, _)| other.node == key.node && other.span == key.span)
            {
                let message = format!("`{}` is given twice", first.node);
                self.problems.push(Diagnostic::new(Code::DuplicateOption, key.span, message));
            }
        }
        let has = |name: &str| keys.iter().any(|(key, _)| &*key.node == name);
        let missing = match kind {
            "ssh" if !has("host") => "`host`",
            "docker" if !has("image") && !has("container") => "`image` or `container`",
            _ => return,
        };
        self.problems.push(Diagnostic::new(Code::MissingOption, span, format!("`{kind}` needs {missing}")));
    }

    /// A stream that is used and not declared: the default backend, with a warning; an error under `strict`.
    pub(super) fn undeclared(&mut self, name: &Arc<str>, span: Span) -> Option<StreamId> {
        let names: Vec<Arc<str>> = self.scenario.streams.values().map(|stream| stream.name.clone()).collect();
        let fleets: Vec<Arc<str>> = self.scenario.fleets.keys().cloned().collect();
        let known = names.iter().chain(&fleets).map(|name| &**name);
        let message = format!("there is no stream `{name}`");
        let problem = Diagnostic::new(Code::UnknownStream, span, message).near("stream", name, known);
        if self.strict {
            self.problems.push(problem.note("under `set strict = true` every stream is declared"));
            return None;
        }
        let default = format!("it is taken as `stream {name} = {}`", self.default);
        self.problems.push(problem.softened().note(default));
        let (kind, keys) = self.default_binding(span)?;
        let index = i64::try_from(self.scenario.streams.len()).unwrap_or(i64::MAX);
        Some(self.scenario.add(Stream { name: name.clone(), kind, keys, index, span, declared: false }))
    }

    /// `--stream` names that no stream of the scenario has.
    pub(super) fn unknown_settings(&mut self, settings: &Settings) {
        for (name, _) in &settings.streams {
            let known = self.scenario.streams.values().any(|stream| *stream.name == **name);
            if !known && !self.scenario.fleets.contains_key(name.as_str()) {
                self.problem_of_command_line(Code::UnknownStream, format!("--stream {name}: there is no such stream"));
            }
        }
        for (name, _) in &settings.params {
            if !self.scenario.params.contains_key(name.as_str()) {
                self.problem_of_command_line(Code::UnknownValue, format!("-p {name}: there is no such parameter"));
            }
        }
    }

    /// A mistake on the command line has no place in a file; it is told at the start of the first one.
    fn problem_of_command_line(&mut self, code: Code, message: String) {
        let params: Vec<&str> = self.scenario.params.keys().map(|name| &**name).collect();
        let problem = Diagnostic::new(code, Span::default(), message);
        let known = if params.is_empty() { "the scenario has none".to_owned() } else { params.join(", ") };
        self.problems.push(if code == Code::UnknownValue {
            problem.help(format!("parameters: {known}"))
        } else {
            problem
        });
    }
}

/// What is wrong with a value that is known beforehand. It stands at no place yet.
fn key_problem(kind: &str, key: &str, value: &Value) -> Option<Diagnostic> {
    if let Err(words) = keys::check(kind, key, value) {
        let off = key == "host_key" && keys::flag(value) == Some(false);
        let code = if off { Code::HostKeyCheckOff } else { Code::WrongType };
        return Some(Diagnostic::new(code, Span::default(), words));
    }
    match (kind, key) {
        ("ssh", "password") => {
            let message = "a password that everybody can read who can read this file";
            let problem = Diagnostic::new(Code::HardcodedCredential, Span::default(), message);
            Some(problem.help("password = secret(\"NAME\") takes it from the environment or from --secret-file"))
        }
        ("docker", "privileged") if keys::flag(value) == Some(true) => {
            let message = "what runs in this container can do everything that root can do on its host";
            let problem = Diagnostic::new(Code::PrivilegedContainer, Span::default(), message);
            Some(problem.help("cap_add = [\"NET_ADMIN\"] gives it only what it needs"))
        }
        _ => None,
    }
}

fn unknown_kind(problem: Diagnostic, name: &str) -> Diagnostic {
    let kinds = KINDS.iter().map(|(kind, _)| *kind);
    match similar(name, kinds.clone()) {
        Some(_) => problem.near("kind", name, kinds),
        None => problem.help("the kinds are: local, ssh, docker"),
    }
}
