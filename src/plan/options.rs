//! Options between parentheses: which ones a statement takes, and what their values come to.

use std::sync::Arc;
use std::time::Duration;

use super::build::{Builder, Cursor};
use super::{Expr, GroupKind, Options, Probe};
use crate::diagnostic::{Code, Diagnostic, Span, similar};
use crate::syntax::Value;
use crate::syntax::ast::{self, ExprKind, Opt};

/// Where options stand decides which ones there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Allowed {
    /// A code step.
    Step,
    /// `let x = shell(...)`
    Let,
    /// `start`
    Start,
    /// `prepare`
    Prepare,
    /// `wait`
    Wait,
    /// `stop`
    Stop,
    /// `retry`
    Retry,
    /// `repeat`
    Repeat,
    /// `barrier` and `sync`
    Meeting,
}

impl Allowed {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Step => &[
                "timeout",
                "retry",
                "every",
                "exit",
                "may_fail",
                "dir",
                "env",
                "user",
                "stdin",
                "when",
                "as",
                "synchronized",
                "resumable",
            ],
            Self::Let => &[
                "timeout",
                "retry",
                "every",
                "exit",
                "may_fail",
                "dir",
                "env",
                "user",
                "stdin",
                "when",
                "as",
                "resumable",
            ],
            Self::Start => &["timeout", "ready", "alive", "every", "dir", "env", "user", "stdin", "when", "resumable"],
            Self::Prepare => &["timeout", "exit", "dir", "env", "user", "stdin", "resumable"],
            Self::Wait => &["timeout", "may_fail"],
            Self::Stop => &["signal", "grace"],
            Self::Retry => &["times", "every"],
            Self::Repeat => &["for", "every"],
            Self::Meeting => &["timeout"],
        }
    }
}

/// Options as read; what was not given is empty.
#[derive(Default)]
pub(super) struct Given {
    pub(super) code: Options,
    pub(super) when: Option<Expr>,
    pub(super) name: Option<Arc<str>>,
    pub(super) synchronized: bool,
    pub(super) ready: Option<Probe>,
    pub(super) alive: Option<Probe>,
    pub(super) signal: Option<i32>,
    pub(super) grace: Option<Duration>,
    pub(super) times: Option<u32>,
    pub(super) time: Option<Duration>,
}

impl Builder<'_> {
    pub(super) fn options(&mut self, options: &[Opt], allowed: Allowed, cursor: &mut Cursor<'_>) -> Given {
        let mut given = Given::default();
        for option in options {
            if allowed.names().contains(&&*option.name.node) {
                self.option(option, &mut given, cursor);
            } else {
                self.unknown_option(option, allowed);
            }
        }
        given
    }

    fn unknown_option(&mut self, option: &Opt, allowed: Allowed) {
        let (name, span, known) = (&option.name.node, option.name.span, allowed.names());
        if allowed == Allowed::Meeting && &**name == "when" {
            let message = "a meeting point cannot be guarded: others wait for it";
            let help = "guard the steps around it, and let the stream always reach it";
            return self.tell(Diagnostic::new(Code::ConditionalBarrier, span, message).help(help));
        }
        let problem = Diagnostic::new(Code::UnknownOption, span, format!("there is no option `{name}` here"));
        self.tell(match similar(name, known.iter().copied()) {
            Some(_) => problem.near("option", name, known.iter().copied()),
            None => problem.help(format!("the options here are: {}", known.join(", "))),
        });
    }

    fn option(&mut self, option: &Opt, given: &mut Given, cursor: &mut Cursor<'_>) {
        let value = &option.value;
        let code = &mut given.code;
        match &*option.name.node {
            "timeout" => code.timeout = self.duration(option, cursor),
            "retry" => code.retry = self.count(option, cursor).unwrap_or_default(),
            "every" => code.every = self.duration(option, cursor),
            "exit" => code.exit = self.statuses(option, cursor),
            "may_fail" => code.may_fail = self.flag(option, cursor),
            "dir" => code.dir = Some(self.expr(value, cursor)),
            "env" => code.env = self.environment(option, cursor),
            "user" => code.user = Some(self.expr(value, cursor)),
            "stdin" => code.stdin = Some(self.expr(value, cursor)),
            "resumable" => code.resumable = self.flag(option, cursor),
            "when" => given.when = Some(self.expr(value, cursor)),
            "as" => given.name = self.text(option, cursor),
            "synchronized" => given.synchronized = self.flag(option, cursor),
            "ready" => given.ready = self.probe(option, cursor),
            "alive" => given.alive = self.probe(option, cursor),
            "signal" => given.signal = self.signal_number(option, cursor),
            "grace" => given.grace = self.duration(option, cursor),
            "times" => given.times = self.count(option, cursor),
            "for" => given.time = self.duration(option, cursor),
            _ => {}
        }
    }

    /// `timeout` of a meeting point.
    pub(super) fn meeting_options(&mut self, options: &[Opt], cursor: &mut Cursor<'_>) -> Option<Duration> {
        self.options(options, Allowed::Meeting, cursor).code.timeout
    }

    pub(super) fn retry(&mut self, options: &[Opt], span: Span, cursor: &mut Cursor<'_>) -> Option<GroupKind> {
        let given = self.options(options, Allowed::Retry, cursor);
        let every = given.code.every.unwrap_or_default();
        match given.times {
            Some(times) => return Some(GroupKind::Retry { times: times.max(1), every }),
            None => self.missing("retry", "times", "retry(times = 3, every = 2s) { ... }", span),
        }
        None
    }

    pub(super) fn repeat(&mut self, options: &[Opt], span: Span, cursor: &mut Cursor<'_>) -> Option<GroupKind> {
        let given = self.options(options, Allowed::Repeat, cursor);
        let every = given.code.every.unwrap_or_default();
        match given.time {
            Some(time) => return Some(GroupKind::Repeat { time, every }),
            None => self.missing("repeat", "for", "repeat(for = 60s, every = 5s) { ... }", span),
        }
        None
    }

    fn missing(&mut self, what: &str, option: &str, example: &str, span: Span) {
        let problem = Diagnostic::new(Code::MissingOption, span, format!("`{what}` needs `{option}`"));
        self.tell(problem.help(example));
    }

    /// A value that is known before the run.
    fn constant(&mut self, option: &Opt, cursor: &mut Cursor<'_>) -> Option<Value> {
        let needs = cursor.needs.len();
        let value = self.expr(&option.value, cursor);
        cursor.needs.truncate(needs);
        if let Expr::Constant(value) = value {
            return Some(value);
        }
        let message = format!("`{}` is decided before the run", option.name.node);
        self.tell(Diagnostic::new(Code::WrongType, option.value.span, message).label("this is known only at run time"));
        None
    }

    fn wrong_option(&mut self, option: &Opt, value: &Value, wanted: &str) {
        if *value == Value::Null {
            return;
        }
        let message = format!("`{}` takes {wanted}, and this is {}", option.name.node, value.kind());
        let problem = Diagnostic::new(Code::WrongType, option.value.span, message);
        self.tell(match value.as_int().filter(|_| wanted == "a duration") {
            Some(number) => problem.help(format!("give it a unit: `{number}s`")),
            None => problem,
        });
    }

    /// A value of the wanted kind; another one is told.
    fn wanted<T>(
        &mut self,
        option: &Opt,
        wanted: &str,
        cursor: &mut Cursor<'_>,
        read: fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.constant(option, cursor)?;
        let found = read(&value);
        if found.is_none() {
            self.wrong_option(option, &value, wanted);
        }
        found
    }

    fn duration(&mut self, option: &Opt, cursor: &mut Cursor<'_>) -> Option<Duration> {
        self.wanted(option, "a duration", cursor, Value::as_duration)
    }

    fn count(&mut self, option: &Opt, cursor: &mut Cursor<'_>) -> Option<u32> {
        self.wanted(option, "a count", cursor, |value| u32::try_from(value.as_int()?).ok())
    }

    fn flag(&mut self, option: &Opt, cursor: &mut Cursor<'_>) -> bool {
        let read = |value: &Value| if let Value::Bool(flag) = value { Some(*flag) } else { None };
        self.wanted(option, "`true` or `false`", cursor, read).unwrap_or_default()
    }

    fn text(&mut self, option: &Opt, cursor: &mut Cursor<'_>) -> Option<Arc<str>> {
        self.wanted(option, "a string", cursor, |value| value.as_text().cloned())
    }

    fn statuses(&mut self, option: &Opt, cursor: &mut Cursor<'_>) -> Vec<i32> {
        fn status(value: &Value) -> Option<i32> {
            i32::try_from(value.as_int()?).ok().filter(|status| (0..=255).contains(status))
        }
        let read = |value: &Value| {
            let Value::List(items) = value else { return Some(vec![status(value)?]) };
            items.iter().map(status).collect()
        };
        self.wanted(option, "a status from 0 to 255 or a list of them", cursor, read).unwrap_or_default()
    }

    /// `env = { NAME = value }`; values may be known at run time only.
    fn environment(&mut self, option: &Opt, cursor: &mut Cursor<'_>) -> Vec<(Arc<str>, Expr)> {
        if let ExprKind::Map(pairs) = &option.value.kind {
            return pairs.iter().map(|(name, value)| (name.node.clone(), self.expr(value, cursor))).collect();
        }
        let read = |value: &Value| {
            let Value::Map(map) = value else { return None };
            Some(map.iter().map(|(name, value)| (name.clone(), Expr::Constant(value.clone()))).collect())
        };
        self.wanted(option, "a map: { NAME = value }", cursor, read).unwrap_or_default()
    }

    /// `"INT"`, `"SIGINT"` or a number.
    fn signal_number(&mut self, option: &Opt, cursor: &mut Cursor<'_>) -> Option<i32> {
        let read = |value: &Value| match (value.as_int(), value.as_text()) {
            (Some(number), _) => i32::try_from(number).ok().filter(|number| (1..=64).contains(number)),
            (None, Some(name)) => {
                let name = name.strip_prefix("SIG").unwrap_or(name);
                SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
            }
            (None, None) => None,
        };
        self.wanted(option, "a signal such as \"INT\"", cursor, read)
    }

    fn probe(&mut self, option: &Opt, cursor: &mut Cursor<'_>) -> Option<Probe> {
        let value = &option.value;
        let ExprKind::Call(name, arguments) = &value.kind else {
            if let ExprKind::Code(code) = &value.kind {
                return self.code(code, Options::default(), cursor).map(Probe::Code);
            }
            self.not_a_probe(option);
            return None;
        };
        let [argument] = &arguments[..] else {
            self.not_a_probe(option);
            return None;
        };
        match (&*name.node, &argument.value.kind) {
            ("port", _) => Some(Probe::Port(self.expr(&argument.value, cursor))),
            ("file", _) => Some(Probe::File(self.expr(&argument.value, cursor))),
            ("output", ExprKind::Literal(Value::Regex(pattern))) if &*option.name.node == "ready" => {
                self.regex(pattern, argument.value.span).then(|| Probe::Output(pattern.clone()))
            }
            ("shell", _) => self.probe_code(&argument.value, cursor).map(Probe::Code),
            _ => {
                self.not_a_probe(option);
                None
            }
        }
    }

    /// Whether the pattern is a regex; an error where it is not.
    pub(super) fn regex(&mut self, pattern: &str, span: Span) -> bool {
        let read = regex::Regex::new(pattern);
        if let Err(error) = &read {
            let words = error.to_string();
            let last = words.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            self.tell(Diagnostic::new(Code::InvalidString, span, format!("not a regex: {last}")));
        }
        read.is_ok()
    }

    fn not_a_probe(&mut self, option: &Opt) {
        let name = &option.name.node;
        let message = format!("`{name}` takes a probe");
        let help = match &**name {
            "ready" => "port(8080), output(/regex/), file(\"/path\") or shell(\"probe\")",
            _ => "shell(\"probe\"), port(8080) or file(\"/path\")",
        };
        self.tell(Diagnostic::new(Code::WrongType, option.value.span, message).help(help));
    }

    /// The code in `shell("probe")`.
    fn probe_code(&mut self, text: &ast::Expr, cursor: &mut Cursor<'_>) -> Option<super::CodeId> {
        let interpreter = ast::Name::new("shell".into(), text.span);
        let body = if let ExprKind::Template(text) = &text.kind {
            text.clone()
        } else if let Some(literal) = text.as_text() {
            let pieces = ast::Pieces::One(ast::Piece::Literal(literal.clone()));
            ast::Text { pieces, span: text.span, form: ast::TextForm::Quoted, indent: 0 }
        } else {
            let message = "a probe is code between quotes: shell(\"probe\")";
            self.tell(Diagnostic::new(Code::WrongType, text.span, message));
            return None;
        };
        let code = ast::Code { interpreter, options: Box::default(), body: ast::Body::Text(body) };
        self.code(&code, Options::default(), cursor)
    }
}

/// Signals by name, with the numbers that they have on Linux.
pub const SIGNALS: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("SYS", 31),
];
