//! Code that needs no shell: one command of plain words. A shell would do nothing for it but start the program, at the
//! cost of one more program.

/// The words of `text` where every POSIX shell would take it for the name of a program and its arguments, each as it
/// stands there.
pub(super) fn words(text: &str) -> Option<Vec<&str>> {
    let text = text.trim_matches([' ', '\t', '\n']);
    let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    let plain = words.iter().all(|word| word.bytes().all(stands_for_itself));
    let named = words.first().is_some_and(|name| names_a_program(name));
    (plain && named).then_some(words)
}

/// Whether no shell makes anything else of this character, whatever stands around it.
fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./:=@%+,-".contains(&byte)
}

/// Whether this is looked up in `PATH`. Not the path of a file, which a shell reads as a script where it is no program.
fn names_a_program(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    starts && !name.contains(['/', '=']) && OWN.binary_search(&name).is_err()
}

/// What some shell does by itself and a program of this name does not, or not in the same way, and all keywords: of dash,
/// bash, busybox, ksh, mksh, yash and zsh.
const OWN: [&str; 118] = [
    "alias",
    "autoload",
    "bg",
    "bind",
    "bindkey",
    "break",
    "builtin",
    "bye",
    "caller",
    "case",
    "cd",
    "chdir",
    "command",
    "compctl",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disable",
    "disown",
    "do",
    "done",
    "echo",
    "echotc",
    "elif",
    "else",
    "emulate",
    "enable",
    "enum",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "fi",
    "float",
    "for",
    "foreach",
    "function",
    "functions",
    "getopts",
    "global",
    "hash",
    "help",
    "hist",
    "history",
    "if",
    "in",
    "integer",
    "jobs",
    "kill",
    "let",
    "limit",
    "local",
    "login",
    "logout",
    "mapfile",
    "nameref",
    "newgrp",
    "nocorrect",
    "noglob",
    "popd",
    "print",
    "printf",
    "pushd",
    "pushln",
    "pwd",
    "r",
    "read",
    "readarray",
    "readonly",
    "rehash",
    "repeat",
    "return",
    "sched",
    "select",
    "set",
    "setopt",
    "shift",
    "shopt",
    "source",
    "stop",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "true",
    "ttyctl",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unfunction",
    "unhash",
    "unlimit",
    "unset",
    "unsetopt",
    "until",
    "vared",
    "wait",
    "whence",
    "where",
    "which",
    "while",
    "zcompile",
    "zmodload",
    "zparseopts",
    "zstyle",
    "zutil",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_need_no_shell() {
        for (text, expected) in [
            ("uname -n", "uname|-n"),
            (" systemctl\trestart  web@1.service\n", "systemctl|restart|web@1.service"),
            ("tar -C /srv --owner=0:0 -xf a,b+c%d.tar", "tar|-C|/srv|--owner=0:0|-xf|a,b+c%d.tar"),
            ("7z x a.7z", "7z|x|a.7z"),
        ] {
            assert_eq!(words(text).map(|words| words.join("|")).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn all_else_is_for_a_shell() {
        let texts = [
            "",
            "  ",
            ":",
            ". lib",
            "[ -f x ]",
            "cd /srv",
            "echo hi",
            "true",
            "kill 1",
            "if",
            "time make",
            "A=1 make",
            "./run",
            "/bin/ls",
            "ls | wc",
            "ls;ls",
            "ls&",
            "ls >x",
            "ls $x",
            "ls `x`",
            "ls ~",
            "ls *",
            "ls ?",
            "ls [a]",
            "ls {a,b}",
            "ls 'x'",
            "ls \"x\"",
            "ls \\x",
            "ls #x",
            "ls !x",
            "ls a^b",
            "ls (x)",
            "ls\nls",
            "ls\rx",
            "ls \u{e4}",
            "ls \0",
            "_x",
            "-x",
            "a=b",
        ];
        for text in texts {
            assert_eq!(words(text), None, "{text}");
        }
    }

    #[test]
    fn the_names_are_in_order() {
        assert!(OWN.is_sorted());
    }

    #[test]
    fn what_bash_has_built_in_is_known() {
        let output = std::process::Command::new("bash").args(["-c", "compgen -b; compgen -k"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() > 60);
        assert_eq!(text.lines().filter(|name| names_a_program(name)).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
