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
    ("Permission denied", "Name its `user` and `key`, load the key into the agent, or set a `password`"),
    (
        "Could not resolve hostname",
        "Is the name right? An ssh alias stands in ~/.ssh/config, or in the file that `config` names",
    ),
    ("Connection refused", "Nothing listens there: is sshd running, and the `port` right?"),
    ("timed out", SILENT),
    ("no answer", SILENT),
    ("No route to host", "Is it up, and in a network that is reachable from here?"),
    ("Network is unreachable", "Is this machine in a network from where it is reachable?"),
];

const SILENT: &str = "It does not answer: is it up, and reachable from here?";

/// What `ssh` says where the key of a host is not the one that is known, and where it is not known.
const CHANGED: &str = "IDENTIFICATION HAS CHANGED";
const UNKNOWN: &str = "Host key verification failed";
/// What it says where not the host itself has hung up, but the way to it.
const ON_THE_WAY: &str = "closed by UNKNOWN port";

fn advice(said: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(words, _)| said.contains(words)).map(|(_, advice)| *advice)
}

/// Whether the host was too busy to take one more connection: then it is worth another try.
pub(super) fn is_busy(said: &str) -> bool {
    let early = ["kex_exchange_identification", "banner exchange", "Exceeded MaxStartups"];
    early.iter().any(|words| said.contains(words)) && advice(said).is_none() && !said.contains(UNKNOWN)
}

/// Whether the key of the host itself is the matter, and `said` does not have it.
pub(super) fn lacks_key(said: &str) -> bool {
    said.contains(UNKNOWN) && !said.contains(ON_THE_WAY) && fingerprint(said).is_none()
}

/// Whose key is the matter: of a jump host, its name.
fn whose(said: &str) -> String {
    let between = |from: &str, to: &str| Some(said.split_once(from)?.1.split_once(to)?.0);
    let name = between("host key is known for ", " and you").or_else(|| between("Host key for ", " has changed"));
    match name.filter(|_| said.contains(ON_THE_WAY)) {
        Some(gate) => format!("on the way there, the host key of {gate}"),
        None => "its host key".to_owned(),
    }
}

fn fingerprint(said: &str) -> Option<&str> {
    said.split_whitespace().find(|word| word.starts_with("SHA256:")).map(|word| word.trim_end_matches('.'))
}

/// Why the key of `shown` is not taken.
fn key(shown: &str, said: &str) -> String {
    let whose = whose(said);
    let key = fingerprint(said).map(|key| format!(" {key}")).unwrap_or_default();
    if !said.contains(CHANGED) {
        return format!(
            "cannot connect to {shown}: {whose}{key} is not known. Compare it with that of the host \
             (`ssh-keygen -lf` of its /etc/ssh/ssh_host_*_key.pub), then connect once by hand, name its `known_hosts`, \
             or set `host_key = \"accept-new\"`"
        );
    }
    let after = |words: &str| said.lines().find_map(|line| line.split_once(words)).map(|(_, rest)| rest.trim());
    let known = after("Offending ").and_then(|rest| rest.split_once(" key in ")).map_or("known_hosts", |(_, at)| at);
    let remove = after("ssh-keygen -f").map_or("ssh-keygen -R HOST".to_owned(), |rest| format!("ssh-keygen -f {rest}"));
    format!(
        "cannot connect to {shown}: {whose}{key} is not the one that stands in {known}. Somebody may be in between, \
         or it was set up anew: find out, and remove the old key with `{remove}`"
    )
}

/// Why `shown` cannot be reached, and what to try, from all that was said.
pub(super) fn explain(shown: &str, said: &str) -> String {
    if said.contains(UNKNOWN) && !said.contains("Permission denied") {
        return key(shown, said);
    }
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
        assert_eq!(
            explain("a", "ssh: connect to host a port 22: Connection timed out\n"),
            "cannot connect to a: ssh: connect to host a port 22: Connection timed out. \
             It does not answer: is it up, and reachable from here?"
        );
        assert_eq!(lost("a", ""), "the connection to a was lost");
    }

    #[test]
    fn a_key_that_is_not_taken_is_shown() {
        let unknown = "No ED25519 host key is known for a and you have requested strict checking.\r\n\
                       Host key verification failed.\r\n";
        assert!(lacks_key(unknown));
        let said = explain("me@a", &format!("{unknown}debug1: Server host key: ssh-ed25519 SHA256:abc"));
        assert!(said.starts_with("cannot connect to me@a: its host key SHA256:abc is not known. Compare"), "{said}");
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n\
                       The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\r\n\
                       Offending ED25519 key in /home/me/.ssh/known_hosts:7\r\n  remove with:\r\n  \
                       ssh-keygen -f \"/home/me/.ssh/known_hosts\" -R \"a\"\r\nHost key verification failed.\r\n";
        assert!(!lacks_key(changed));
        assert_eq!(
            explain("me@a", changed),
            "cannot connect to me@a: its host key SHA256:abc is not the one that stands in /home/me/.ssh/known_hosts:7. \
             Somebody may be in between, or it was set up anew: find out, and remove the old key with \
             `ssh-keygen -f \"/home/me/.ssh/known_hosts\" -R \"a\"`"
        );
    }

    #[test]
    fn a_jump_host_s_key_is_not_taken_for_that_of_the_host() {
        let end = "Host key verification failed.\r\nkex_exchange_identification: Connection closed by remote host\r\n\
                   Connection closed by UNKNOWN port 65535\r\n";
        let unknown = format!("No ED25519 host key is known for gate and you have requested strict checking.\r\n{end}");
        assert!(!lacks_key(&unknown));
        let said = explain("me@a", &unknown);
        assert!(
            said.starts_with("cannot connect to me@a: on the way there, the host key of gate is not known. "),
            "{said}"
        );
        let changed = format!(
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nSHA256:abc.\r\nOffending ED25519 key in \
             /home/me/known:7\r\nHost key for gate has changed and you have requested strict checking.\r\n{end}"
        );
        let said = explain("me@a", &changed);
        assert!(
            said.starts_with(
                "cannot connect to me@a: on the way there, the host key of gate SHA256:abc is not the one that stands in \
                 /home/me/known:7. "
            ),
            "{said}"
        );
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
