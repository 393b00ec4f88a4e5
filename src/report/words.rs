//! Facts as words: durations, sizes, signals, how something ended.

use std::time::Duration;

use crate::diagnostic::visible;
use crate::event::{Cause, Exit, Fault, Leak, Outcome, Reason};
use crate::syntax::Value;

/// `180us`, `12ms`, `3.1s`, `41s`, `2m05s`, `1h02m`: as exact as people care for.
pub(super) fn elapsed(time: Duration) -> String {
    let (seconds, tenths) = (time.as_secs(), time.subsec_millis() / 100);
    match seconds {
        0 if time.as_millis() == 0 => format!("{}us", time.as_micros()),
        0 => format!("{}ms", time.as_millis()),
        1..10 => format!("{seconds}.{tenths}s"),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `512 bytes`, `1.5 KiB`, `3.0 GiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = UNITS.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes} bytes");
    };
    let tenths = (bytes >> (shift - 10)) * 10 / 1024;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// `1 step`, `2 steps`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `web`, `web and db`, `web, db and 7 others`: at most `limit` by name.
pub(super) fn list(names: &[&str], limit: usize) -> String {
    let (last, rest) = match names {
        [] => return String::new(),
        [one] => return (*one).to_owned(),
        _ if names.len() > limit => (format!("{} others", names.len() - (limit - 1)), &names[..limit - 1]),
        [rest @ .., last] => ((*last).to_owned(), rest),
    };
    format!("{} and {last}", rest.join(", "))
}

/// `SIGSEGV`; the numbers are Linux's.
pub(super) fn signal(number: i32) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    match usize::try_from(number).unwrap_or(0) {
        number @ 1..=31 => format!("SIG{}", NAMES[number - 1]),
        number @ 34..=64 => format!("SIGRTMIN+{}", number - 34),
        _ => format!("signal {number}"),
    }
}

/// `exit status 3`, `killed by SIGSEGV`, `not started: no such program`. A shell says 128 and the signal's number
/// where a program that it ran was killed; the signal's name stands with it.
pub(super) fn exit(exit: &Exit) -> String {
    match exit {
        Exit::Status(status @ 129..=159) => format!("exit status {status} ({})", signal(status - 128)),
        Exit::Status(status) => format!("exit status {status}"),
        Exit::Signal(number) => format!("killed by {}", signal(*number)),
        Exit::OutOfMemory(status) => {
            format!("out of memory: a process was killed for it, {}", self::exit(&Exit::Status(*status)))
        }
        Exit::NotStarted(why) => format!("not started: {}", visible::text(why)),
        Exit::Refused(why) => visible::text(why),
        Exit::Lost(why) => format!("lost: {}", visible::text(why)),
    }
}

/// What was left behind: a process, or something else in words.
pub(super) fn leak(leak: &Leak) -> String {
    match leak.pid {
        0 => visible::text(&leak.command),
        pid => format!("process {pid}, {}", visible::text(&leak.command)),
    }
}

/// Why a step failed, on one line.
pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Exit(how) => exit(how),
        Reason::Unmet(lines) => lines.first().map_or_else(|| "not true".to_owned(), |line| visible::text(line)),
        Reason::Error(why) | Reason::Background(_, why) => visible::text(why),
    }
}

/// One word for how a step ended, as the manual has it.
pub(super) fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "failed",
        Outcome::TimedOut(_) => "timed out",
        Outcome::Unreachable(_) => "unreachable",
        Outcome::Lost(_) => "lost",
        Outcome::Broken(_) => "broken",
        Outcome::Cancelled(_) => "cancelled",
        Outcome::Skipped => "skipped",
    }
}

/// How a step ended, with its reason where that needs no names: `failed: exit status 3`, `timed out after 5s`.
pub(super) fn ending(how: &Outcome) -> String {
    match how {
        Outcome::Failed(why) => format!("failed: {}", reason(why)),
        Outcome::TimedOut(limit) => format!("timed out after {}", Value::Duration(*limit)),
        Outcome::Unreachable(why) => format!("unreachable: {}", visible::text(why)),
        Outcome::Lost(why) => format!("lost: {}", visible::text(why)),
        Outcome::Cancelled(cause) => format!("cancelled: {}", self::cause(*cause)),
        Outcome::Passed | Outcome::Broken(_) | Outcome::Skipped => outcome(how).to_owned(),
    }
}

/// Why a step was ended from outside.
pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Interrupt => "interrupted",
        Cause::FailFast(_) => "something else failed, and --fail-fast ends the run",
        Cause::RunTimeout => "the time for the whole run was over",
        Cause::Journal => "the journal could not be written any more",
        Cause::Stream(_) => "its stream failed elsewhere",
    }
}

/// What went wrong with a stream.
pub(super) fn fault(fault: &Fault) -> String {
    match fault {
        Fault::Unreachable(why) => format!("could not be opened: {}", visible::text(why)),
        Fault::Lost(why) => format!("went away: {}", visible::text(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_people_care_for() {
        let all = [180, 12_000, 999_999, 3_149_000, 41_900_000, 125_000_000, 3_720_000_000];
        let shown = all.map(|micros| elapsed(Duration::from_micros(micros)));
        assert_eq!(shown, ["180us", "12ms", "999ms", "3.1s", "41s", "2m05s", "1h02m"]);
    }

    #[test]
    fn sizes() {
        let all = [0, 1023, 1024, 1536, 3 << 30, u64::MAX];
        assert_eq!(all.map(size), ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "3.0 GiB", "16777215.9 TiB"]);
    }

    #[test]
    fn lists_name_a_few_and_count_the_rest() {
        let names = ["a", "b", "c", "d", "e"];
        let shown: Vec<_> = (0..=5).map(|n| list(&names[..n], 4)).collect();
        assert_eq!(shown, ["", "a", "a and b", "a, b and c", "a, b, c and d", "a, b, c and 2 others"]);
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(
            [1, 9, 11, 15, 31, 34, 40].map(signal),
            ["SIGHUP", "SIGKILL", "SIGSEGV", "SIGTERM", "SIGSYS", "SIGRTMIN+0", "SIGRTMIN+6"]
        );
        assert_eq!(exit(&Exit::Status(139)), "exit status 139 (SIGSEGV)");
        assert_eq!(exit(&Exit::Signal(11)), "killed by SIGSEGV");
        let words = "out of memory: a process was killed for it, exit status 137 (SIGKILL)";
        assert_eq!(exit(&Exit::OutOfMemory(137)), words);
        assert_eq!(exit(&Exit::Status(255)), "exit status 255");
    }
}
