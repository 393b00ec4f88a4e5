//! What the guard is told: lines of shell code that it evaluates. Whatever stands in a value, it stays a value.

use crate::backend::Job;

/// What a line with a guard is opened with: the shell takes the guard for its script, which is over before any order
/// comes.
pub const SHELL: &str = "exec sh";

/// What a line is opened with that has other things on its stdin behind its script, which ends with a dot on a line: some
/// shells read ahead.
pub(super) const BOOT: &str = "exec sh -c '_n=$(printf \"\\n.\"); _n=${_n%.}; _g=; while IFS= read -r _l; do case $_l in .) break;; esac; _g=$_g$_l$_n; done; eval \"$_g\"'";

/// Longer contents of stdin or a script travel as a file beforehand: a shell reads its orders byte by byte.
pub(super) const LONG: usize = 64 << 10;

/// What a job reads from one of its descriptors.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// The path of a file at the far end.
    File(&'a str),
}

/// The guard without what is written for people only, as one command: it is read as a whole before it runs.
pub(super) fn guard() -> String {
    let lines = include_str!("guard.sh").lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.starts_with('#') && !line.is_empty()).flat_map(|line| [line, "\n"]);
    ["{\n"].into_iter().chain(lines).chain(["exit\n", END, "\n"]).collect()
}

/// The last line of the guard.
const END: &str = "} # end";

/// What comes before the guard. Bash does not run it well as a script that comes down its stdin, and is started anew.
pub(super) fn prologue() -> String {
    format!(
        "[ \"$BASH_VERSION\" ] && exec \"$BASH\" -c '_g=; while IFS= read -r _l; do _g=\"$_g$_l\n\"; \
         case $_l in \"{END}\") break;; esac; done; eval \"$_g\"'\n"
    )
}

/// The order to run a job with these variables.
pub(super) fn job(
    job: &Job,
    env: &[(&str, &[u8])],
    stdin: Content<'_>,
    script: Content<'_>,
) -> Result<Vec<u8>, String> {
    let mut order = Vec::new();
    order.extend_from_slice(b"x(){ export");
    for (name, value) in env {
        if !is_name(name) {
            return Err(format!(
                "the environment variable `{name}` cannot be set here: a shell takes letters, digits and _"
            ));
        }
        order.push(b' ');
        order.extend_from_slice(name.as_bytes());
        order.push(b'=');
        quote(&mut order, value);
    }
    order.extend_from_slice(b"; }; ");
    if let Some(dir) = &job.dir {
        order.extend_from_slice(b"_d=");
        quote(&mut order, dir.as_bytes());
        order.extend_from_slice(b"; ");
    }
    if let Some(user) = &job.user {
        order.extend_from_slice(b"_u=");
        quote(&mut order, user.as_bytes());
        let names: Vec<&str> = env.iter().map(|(name, _)| *name).collect();
        order.extend_from_slice(format!("; _v={}; ", names.join(",")).as_bytes());
    }
    if job.staged {
        order.extend_from_slice(b"_h=h; ");
    }
    if !job.command.plain.is_empty() && job.user.is_none() {
        order.extend_from_slice(b"_w=");
        quote(&mut order, job.command.plain.join(" ").as_bytes());
        order.extend_from_slice(b"; ");
    }
    content(&mut order, "stdin", "i", stdin);
    content(&mut order, "script", "s", script);
    order.extend_from_slice(b"job");
    for word in &job.command.argv {
        if word.contains(&0) {
            return Err("an argument holds a NUL byte, which no process can be given".to_owned());
        }
        order.push(b' ');
        padded(&mut order, word);
    }
    order.push(b'\n');
    Ok(order)
}

/// The same as [`quote`], with the many empty lines short that stand before code: the guard holds ten newlines in `_n1`, a
/// hundred in `_n2` and a thousand in `_n3`.
fn padded(order: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, b"\n\n\n\n\n\n\n\n\n\n") {
        quote(order, &rest[..at]);
        let end = rest[at..].iter().position(|byte| *byte != b'\n').map_or(rest.len(), |length| at + length);
        let mut left = end - at;
        order.push(b'"');
        for (name, length) in [("$_n3", 1_000), ("$_n2", 100), ("$_n1", 10), ("$_n", 1)] {
            order.extend_from_slice(name.repeat(left / length).as_bytes());
            left %= length;
        }
        order.push(b'"');
        rest = &rest[end..];
    }
    quote(order, rest);
}

fn content(order: &mut Vec<u8>, name: &str, flag: &str, content: Content<'_>) {
    match content {
        Content::Nothing => return,
        Content::Bytes(bytes) => {
            order.extend_from_slice(format!("{name}(){{ printf %b '").as_bytes());
            for byte in bytes {
                match byte {
                    b'\'' | b'\\' | 0..=0x1f | 0x7f.. => order.extend_from_slice(format!("\\0{byte:03o}").as_bytes()),
                    _ => order.push(*byte),
                }
            }
            order.push(b'\'');
        }
        Content::File(path) => {
            order.extend_from_slice(format!("{name}(){{ cat -- ").as_bytes());
            quote(order, path.as_bytes());
        }
    }
    order.extend_from_slice(format!("; }}; _{flag}={flag}; ").as_bytes());
}

/// `bytes` as one word of shell code, on one line: the guard holds a newline in `_n`.
pub(super) fn quote(order: &mut Vec<u8>, bytes: &[u8]) {
    order.push(b'\'');
    for byte in bytes {
        match byte {
            b'\'' => order.extend_from_slice(b"'\\''"),
            b'\n' => order.extend_from_slice(b"'\"$_n\"'"),
            _ => order.push(*byte),
        }
    }
    order.push(b'\'');
}

/// The same as text.
pub(super) fn quoted(text: &str) -> String {
    let mut order = Vec::new();
    quote(&mut order, text.as_bytes());
    String::from_utf8_lossy(&order).into_owned()
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Command;

    #[test]
    fn an_order_is_one_line_whatever_it_holds() {
        let argv = ["sh", "-c", "echo 'a'\nb"].map(|word| word.as_bytes().to_vec()).to_vec();
        let job = Job {
            step: crate::plan::StepId(0),
            command: Command { argv, ..Command::default() },
            dir: Some("a dir".into()),
            user: None,
            staged: true,
            watched: false,
            capture: false,
        };
        let order = super::job(&job, &[("A", b"1\n2")], Content::Bytes(b"x\0'\n"), Content::File("/t/1")).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&order),
            "x(){ export A='1'\"$_n\"'2'; }; _d='a dir'; _h=h; stdin(){ printf %b 'x\\0000\\0047\\0012'; }; _i=i; \
             script(){ cat -- '/t/1'; }; _s=s; job 'sh' '-c' 'echo '\\''a'\\'''\"$_n\"'b'\n"
        );
        let code = ["(", &"\n".repeat(1_213), ")\n"].concat();
        let mut short = Vec::new();
        padded(&mut short, code.as_bytes());
        assert_eq!(String::from_utf8_lossy(&short), "'('\"$_n3$_n2$_n2$_n1$_n$_n$_n\"')'\"$_n\"''");
        let said = super::job(&job, &[("A.B", b"")], Content::Nothing, Content::Nothing).unwrap_err();
        assert_eq!(said, "the environment variable `A.B` cannot be set here: a shell takes letters, digits and _");
    }

    #[test]
    fn the_guard_travels_without_its_comments() {
        let text = guard();
        assert!(!text.trim_end().trim_end_matches(END).contains("# "), "{text}");
    }
}
