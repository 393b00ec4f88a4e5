//! What `ssh` says when it cannot connect, in words that say what to try.

/// The last lines that `ssh` has logged.
pub(super) fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty() && !is_noise(line)).collect();
    let from = lines.len().saturating_sub(3);
    lines[from..].join("; ")
}

fn is_noise(line: &str) -> bool {
    line.chars().all(|letter| letter == '@')
        || line.starts_with("Warning: Permanently added")
        || line.starts_with("** WARNING: connection is not using a post-quantum")
        || line.starts_with("Pseudo-terminal will not be allocated")
        || line.starts_with("Connection closed by UNKNOWN")
        || line.starts_with("Permission denied, please try again")
        || line.starts_with("ssh-keygen -f")
}

/// What `ssh` says of why it cannot connect, and what to try then; the first that fits.
const ADVICE: [(&str, &str); 7] = [
    (
        "IDENTIFICATION HAS CHANGED",
        "The host has another key than before: find out why, then remove the old one with `ssh-keygen -R`",
    ),
    (
        "Host key verification failed",
        "Its key is not known: connect once by hand, name its `known_hosts`, or set `host_key = \"accept-new\"`",
    ),
    ("Permission denied", "Name its `user` and `key`, load the key into the agent, or set a `password`"),
    (
        "Could not resolve hostname",
        "Is the name right? An ssh alias stands in ~/.ssh/config, or in the file that `config` names",
    ),
    ("Connection refused", "Nothing listens there: is sshd running, and the `port` right?"),
    ("timed out", "It does not answer: is it up, and reachable from here?"),
    ("No route to host", "Is it up, and in a network that is reachable from here?"),
];

fn advice(said: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(words, _)| said.contains(words)).map(|(_, advice)| *advice)
}

/// Whether the host was too busy to take one more connection: then it is worth another try.
pub(super) fn is_busy(said: &str) -> bool {
    let early = ["kex_exchange_identification", "banner exchange", "Exceeded MaxStartups"];
    early.iter().any(|words| said.contains(words)) && advice(said).is_none()
}

/// Why `shown` cannot be reached, and what to try, from all that was said.
pub(super) fn explain(shown: &str, said: &str) -> String {
    let words = last_words(said);
    match advice(said) {
        Some(advice) => format!("cannot connect to {shown}: {}. {advice}", words.trim_end_matches('.')),
        None => format!("cannot connect to {shown}: {words}"),
    }
}

/// Why the connection to `shown` is gone.
pub(super) fn lost(shown: &str, said: &str) -> String {
    if said.is_empty() {
        format!("the connection to {shown} was lost")
    } else {
        format!("the connection to {shown} was lost: {said}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_comes_with_advice() {
        let log = "Warning: Permanently added 'a' (ED25519) to the list of known hosts.\r\n\r\n\
                   tester@a: Permission denied (publickey).\r\n";
        assert_eq!(
            explain("tester@a", log),
            "cannot connect to tester@a: tester@a: Permission denied (publickey). \
             Name its `user` and `key`, load the key into the agent, or set a `password`"
        );
        assert_eq!(lost("a", ""), "the connection to a was lost");
    }

    #[test]
    fn only_an_early_refusal_is_tried_again() {
        assert!(is_busy("kex_exchange_identification: Connection closed by remote host"));
        assert!(!is_busy("Permission denied (publickey)."));
        let jump =
            "me@gate: Permission denied (publickey).\nkex_exchange_identification: Connection closed by remote host";
        assert!(!is_busy(jump));
    }
}
