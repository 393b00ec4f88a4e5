//! The forms in which a secret may come out of a step: as it is, line by line, encoded, escaped, quoted.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Fewer characters than this are not masked: they stand in ordinary output too often.
pub(super) const SHORTEST: usize = 6;

/// The columns after which `base64`, and `openssl` and mail, break their lines.
const COLUMNS: [usize; 2] = [76, 64];

/// So many digits of base64 are also looked for over the ends of lines.
const BREAKABLE: usize = 128;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Every form of a secret, each once. Line ends around it are no part of it.
pub(crate) fn forms(secret: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    let whole = trimmed(secret);
    for part in std::iter::once(whole).chain(lines(secret)).filter(|part| is_long(part)) {
        all.insert(part.to_vec());
        urls(part, &mut all);
        if let Ok(text) = std::str::from_utf8(part) {
            escaped(text, &mut all);
            quoted(text, &mut all);
        }
    }
    if is_long(whole) {
        base64s(whole, &mut all);
    }
    all
}

/// Whether something of a secret can be masked: it has a line that is long enough.
pub(super) fn maskable(secret: &[u8]) -> bool {
    lines(secret).any(is_long)
}

fn lines(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    secret.split(|byte| *byte == b'\n').map(trimmed)
}

fn trimmed(part: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = part.iter().take_while(|byte| is_end(byte)).count();
    let end = part.iter().rev().take_while(|byte| is_end(byte)).count();
    part.get(start..part.len() - end).unwrap_or_default()
}

fn is_long(part: &[u8]) -> bool {
    part.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum::<usize>() >= SHORTEST
}

/// In base64 a secret has three faces, by what stands before it. Of what stands around it the digits at either end
/// depend too: there the end of the text and a line end are taken into account.
fn base64s(secret: &[u8], all: &mut BTreeSet<Vec<u8>>) {
    for digits in [STANDARD, FOR_URLS] {
        for before in 0..3_usize {
            let first = (before * 8).div_ceil(6);
            let mut text = vec![0; before];
            text.extend_from_slice(secret);
            let within = text.len() * 8 / 6;
            all.insert(base64(&text, digits)[first..within].to_vec());
            if digits == STANDARD {
                broken(&base64(&text, digits)[first..within], all);
            }
            for end in [&b""[..], b"\n"] {
                let text = [&text, end].concat();
                let mut last = base64(&text, digits)[first..].to_vec();
                all.insert(last.clone());
                last.resize(last.len() + (3 - text.len() % 3) % 3, b'=');
                all.insert(last);
            }
        }
        for (end, columns) in [&b""[..], b"\n"].into_iter().flat_map(|end| COLUMNS.map(|columns| (end, columns))) {
            let whole = base64(&[secret, end].concat(), digits);
            if whole.len() > columns {
                all.extend(whole.chunks(columns).filter(|line| line.len() >= SHORTEST).map(<[u8]>::to_vec));
            }
        }
    }
}

/// Amid other text in base64, a line may end anywhere in it. Of a very long one that would be too many forms.
fn broken(digits: &[u8], all: &mut BTreeSet<Vec<u8>>) {
    if digits.len() > BREAKABLE {
        return;
    }
    for columns in COLUMNS {
        for first in 1..columns.min(digits.len()) {
            let (head, rest) = digits.split_at(first);
            let lines: Vec<&[u8]> = std::iter::once(head).chain(rest.chunks(columns)).collect();
            all.insert(lines.join(&b'\n'));
        }
    }
}

/// Without padding.
fn base64(bytes: &[u8], digits: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        out.extend([18, 12, 6, 0].into_iter().take(three.len() + 1).map(|shift| digits[(bits >> shift & 63) as usize]));
    }
    out
}

/// In an address: by what the libraries of this world leave as it is, a blank in its two forms, digits in both cases.
fn urls(part: &[u8], all: &mut BTreeSet<Vec<u8>>) {
    for safe in ["-_.~", "-_.~/", "-_.*", "-_.~!*'()", "-_.~!*'();,/?:@&=+$#"] {
        for blank in ["%20", "+"] {
            for upper in [true, false] {
                let mut out = String::with_capacity(part.len() * 3);
                for byte in part {
                    let is_safe = byte.is_ascii_alphanumeric() || safe.as_bytes().contains(byte);
                    let _ = match byte {
                        b' ' => out.write_str(blank),
                        _ if is_safe => out.write_char(char::from(*byte)),
                        _ if upper => write!(out, "%{byte:02X}"),
                        _ => write!(out, "%{byte:02x}"),
                    };
                }
                all.insert(out.into_bytes());
            }
        }
    }
}

/// As JSON, and as other languages that escape with a backslash: what is escaped beside backslashes and controls, and
/// what becomes of the rest.
fn escaped(part: &str, all: &mut BTreeSet<Vec<u8>>) {
    for also in ["\"", "\"/", "'", "", "\"<>&"] {
        for (ascii, upper) in [(false, false), (true, false), (true, true)] {
            let mut out = String::with_capacity(part.len() * 2);
            for character in part.chars() {
                escape(character, also, ascii, &mut out);
            }
            let out = if upper { upper_hex(&out) } else { out };
            all.insert(out.into_bytes());
        }
    }
}

fn escape(character: char, also: &str, ascii: bool, out: &mut String) {
    let _ = match character {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\u{8}' => out.write_str("\\b"),
        '\u{c}' => out.write_str("\\f"),
        '<' | '>' | '&' if also.contains(character) => write!(out, "\\u{:04x}", u32::from(character)),
        _ if character == '\\' || also.contains(character) => write!(out, "\\{character}"),
        _ if character < ' ' || (ascii && !character.is_ascii()) => {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
        }
        _ => out.write_char(character),
    };
}

/// `\u00e9` as `\u00E9`.
fn upper_hex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u") {
        let (digits, more) = after.split_at_checked(4).unwrap_or((after, ""));
        let _ = write!(out, "{before}\\u{}", digits.to_ascii_uppercase());
        rest = more;
    }
    out + rest
}

/// As shells and their tracing quote it: between `'`, between `"`, with a backslash before all that is special.
fn quoted(part: &str, all: &mut BTreeSet<Vec<u8>>) {
    all.insert(part.replace('\'', "'\\''").into_bytes());
    all.insert(part.replace('\'', "'\"'\"'").into_bytes());
    let before = |special: &str| {
        let mut out = String::with_capacity(part.len() * 2);
        for character in part.chars() {
            if special.contains(character) {
                out.push('\\');
            }
            out.push(character);
        }
        out.into_bytes()
    };
    all.insert(before("\"\\$`"));
    all.insert(before(" \t'\"\\|&;()<>!{}*[?]^$`,"));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn has(secret: &str, form: &str) -> bool {
        forms(secret.as_bytes()).iter().any(|it| form.as_bytes().windows(it.len()).any(|window| window == it))
    }

    #[track_caller]
    fn check(secret: &str, all: &[&str]) {
        for form in all {
            assert!(has(secret, form), "{form}");
        }
    }

    #[test]
    fn plain_and_encoded() {
        check("hunter-22", &["hunter-22", "aHVudGVyLTIy"]);
        check("pass word/é", &["pass+word%2F%C3%A9", "pass%20word/%c3%a9", "pass word\\/\\u00e9", "pass word/\\u00E9"]);
        check("a\"b\\c'd$e", &["a\\\"b\\\\c'd$e", "a\"b\\c'\\''d$e", "a\"b\\c'\"'\"'d$e", "a\\\"b\\\\c'd\\$e"]);
        check("<b>&amp;", &["\\u003cb\\u003e\\u0026amp;"]);
    }

    #[test]
    fn a_text_of_several_lines_goes_line_by_line() {
        let key = "-----BEGIN-----\r\nMIIEvQIBADAN\nab\n-----END-----\n";
        check(key, &["-----BEGIN-----", "MIIEvQIBADAN", "-----END-----"]);
        check(key, &["-----BEGIN-----\\r\\nMIIEvQIBADAN\\nab\\n-----END-----"]);
        assert!(!forms(key.as_bytes()).contains(&b"ab"[..]), "a short line stands in ordinary output too");
    }

    #[test]
    fn what_is_short_is_no_secret_that_could_be_masked() {
        for short in ["", "12345", "12345\n", "\n\n\n\n\n\n\n", "größe"] {
            assert!(forms(short.as_bytes()).is_empty() && !maskable(short.as_bytes()), "{short:?}");
        }
        assert!(maskable(b"123456") && maskable(b"ab\nlonger\n"));
        assert!(!maskable(b"ab\ncd\nef\ngh"));
        let shortest = forms(b"secret").iter().map(Vec::len).min();
        assert_eq!(shortest, Some(SHORTEST), "no form is shorter than the shortest secret");
    }

    /// What a program makes of `secret`, given as its last argument.
    fn by(program: &str, words: &[&str], secret: &str) -> String {
        let output = Command::new(program).args(words).arg(secret).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is left of `text` when all forms of `secret` are cut out.
    fn left(secret: &str, text: &str) -> String {
        let mut forms: Vec<String> =
            forms(secret.as_bytes()).into_iter().filter_map(|form| String::from_utf8(form).ok()).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.iter().fold(text.to_owned(), |text, form| text.replace(form, ""))
    }

    #[test]
    fn what_real_programs_make_of_it_is_known() {
        let long =
            "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/0123456789abcdefghijklmnopqrstuvwxyz";
        for secret in ["correct horse", "it's $5 & \"more\" `x` \\ (y)", "a/b+c=d?e%f~g*h", "größe&maß", long] {
            let shell = |code: &str| by("bash", &["-c", code, "bash"], secret);
            let python = |code: &str| by("/usr/bin/python3", &["-c", code], secret);
            for (text, rest) in [
                (shell("printf '%s' \"$1\" | base64"), "\n"),
                (shell("printf '%s\\n' \"$1\" | base64 -w 0"), ""),
                (shell("printf 'x%s' \"$1\" | base64 -w 0"), "e"),
                (shell("printf 'xy%s' \"$1\" | base64 -w 0"), "eH"),
                (shell("printf 'xyz%s' \"$1\" | base64 -w 0"), "eHl6"),
                (shell("set -x; true \"$1\" 2>&1"), ""),
                (python("import json, sys; print(json.dumps(sys.argv[1]), end='')"), "\"\""),
                (python("import sys, urllib.parse as u; print(u.quote(sys.argv[1]), end='')"), ""),
                (python("import sys, urllib.parse as u; print(u.quote_plus(sys.argv[1]), end='')"), ""),
                (python("import base64, sys; print(base64.urlsafe_b64encode(sys.argv[1].encode()).decode())"), "\n"),
            ] {
                let left = left(secret, &text);
                let near = left.len() <= rest.len() + 2 && left.trim_end().starts_with(rest.trim_end());
                assert!(near, "{secret}: of {text:?} there is left {left:?}");
            }
            let quoted = left(secret, &shell("printf '%q' \"$1\""));
            assert!(!secret.is_ascii() || quoted.trim_matches('\'').is_empty(), "{quoted}");
            let quoted = left(secret, &python("import shlex, sys; print(shlex.quote(sys.argv[1]), end='')"));
            assert!(quoted.trim_matches('\'').is_empty(), "{quoted}");
        }
    }
}
