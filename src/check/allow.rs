//! `# ms: allow[MS213] reason`: silences warnings on its line and the next; one that silences nothing is told.

use crate::diagnostic::{Code, Diagnostic, Sources};
use crate::syntax::ast::Allow;

/// Takes out what is allowed, and adds what is wrong with the comments themselves.
pub(super) fn apply(problems: &mut Vec<Diagnostic>, allows: &[Allow], sources: &Sources) {
    let mut told = Vec::new();
    for allow in allows {
        let line = sources.location(allow.span).line;
        for name in &allow.codes {
            let Ok(code) = name.node.parse::<Code>() else {
                let known = Code::ALL.iter().map(|code| code.id());
                let problem =
                    Diagnostic::new(Code::UnknownCode, name.span, format!("there is no code `{}`", name.node));
                told.push(problem.near("code", &name.node, known));
                continue;
            };
            let before = problems.len();
            problems.retain(|problem| {
                let here = problem.span.file == allow.span.file && problem.code == code && !problem.is_error();
                let at = sources.location(problem.span).line;
                !(here && (at == line || at == line + 1))
            });
            if problems.len() == before {
                let message = format!("nothing here is silenced by `{code}`");
                let problem = Diagnostic::new(Code::UnusedAllow, name.span, message);
                told.push(problem.help("take it out; errors cannot be silenced"));
            }
        }
    }
    problems.extend(told);
}
