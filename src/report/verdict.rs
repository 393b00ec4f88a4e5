//! What a run came to, in a few words that go with its exit code.

use crate::event::Verdict;

/// The gravest thing that there is to say of a run, in the order of the exit codes.
pub fn headline(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict { interrupted: true, .. } => "interrupted",
        Verdict { internal: true, .. } => "mstream itself failed",
        Verdict { surroundings: true, .. } => "the surroundings failed",
        Verdict { timed_out: true, .. } => "timed out",
        Verdict { failed: true, .. } => "failed",
        Verdict { leaked: true, .. } => "passed with something left behind",
        Verdict { .. } => "passed",
    }
}

/// What an exit code of mstream's means, as the manual has it; nothing for codes that it does not have.
pub fn exit_code(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "all passed",
        1 => "a step or an expectation failed",
        2 => "the scenario or the command line is wrong, and nothing ran",
        3 => "the surroundings failed: unreachable, lost, a program missing",
        4 => "something timed out",
        5 => "all passed with something left behind",
        6 => "the run cannot be resumed",
        70 => "a fault of mstream's own",
        129 | 130 | 131 | 143 => "interrupted, after cleaning up",
        137 => "mstream itself was killed; its guardian has cleaned up",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_is_said_as_the_exit_code_has_it() {
        let all = Verdict {
            failed: true,
            timed_out: true,
            surroundings: true,
            leaked: true,
            internal: true,
            interrupted: true,
        };
        let steps: [fn(Verdict) -> Verdict; 7] = [
            |it| it,
            |it| Verdict { interrupted: false, ..it },
            |it| Verdict { internal: false, ..it },
            |it| Verdict { surroundings: false, ..it },
            |it| Verdict { timed_out: false, ..it },
            |it| Verdict { failed: false, ..it },
            |it| Verdict { leaked: false, ..it },
        ];
        let mut verdict = all;
        let said = steps.map(|less| {
            verdict = less(verdict);
            (verdict.exit_code(), headline(verdict))
        });
        assert_eq!(
            said,
            [
                (130, "interrupted"),
                (70, "mstream itself failed"),
                (3, "the surroundings failed"),
                (4, "timed out"),
                (1, "failed"),
                (5, "passed with something left behind"),
                (0, "passed"),
            ]
        );
        assert!(said.iter().all(|(code, _)| exit_code(*code).is_some()) && exit_code(99).is_none());
    }
}
