//! Where passwords stand in files of parameters, so that whoever draws a line of them shows none. A file that is no YAML
//! may have some as well, so this looks at nothing but its text.

use std::sync::LazyLock;

use regex::Regex;

use crate::diagnostic::{FileId, Sources, Span};

/// `password: x`, `"password" = 'x y'`, `password=x` in a URI: the value, quoted or not.
static PASSWORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)password["']?[ \t]*(?:(=)|:[ \t])[ \t]*(?:"((?:[^"\\\n]|\\.)*)|'((?:[^'\n]|'')*)|([^"'\s][^\n]*))"#,
    )
    .expect("this is a regex")
});

/// The places in all sources from `first` on.
pub(super) fn places(sources: &Sources, first: FileId) -> Vec<Span> {
    let files = sources.iter().filter(|(id, _)| *id >= first);
    files.flat_map(|(id, file)| found(file.text()).map(move |range| Span::new(id, range)).collect::<Vec<_>>()).collect()
}

fn found(text: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
    PASSWORD.captures_iter(text).filter_map(move |found| {
        if let Some(quoted) = found.get(2).or(found.get(3)) {
            return Some(quoted.range());
        }
        let value = found.get(4)?;
        // The name of a secret is none.
        if value.as_str().starts_with("${{") {
            return None;
        }
        let line = text[..value.start()].rsplit('\n').next().unwrap_or_default();
        let ends: &[char] = match found.get(1) {
            Some(_) => &['&', '"', '\'', ' ', ',', '}', '\r'],
            None if line.matches('{').count() > line.matches('}').count() => &[',', '}', '\r'],
            None => &['\r'],
        };
        let length = value.as_str().find(ends).unwrap_or(value.len());
        Some(value.start()..value.start() + length)
    })
}

#[cfg(test)]
mod tests {
    #[track_caller]
    fn check(text: &str, hidden: &str) {
        let mut out = text.to_owned();
        for range in super::found(text) {
            out.replace_range(range.clone(), &"*".repeat(range.len()));
        }
        assert_eq!(out, hidden);
    }

    #[test]
    fn whatever_looks_like_a_password_is_found() {
        check("a:\n  password: a, b}\n  host: h\n", "a:\n  password: *****\n  host: h\n");
        check("a: {password: ab, host: h}\n", "a: {password: **, host: h}\n");
        check("a: {\"password\": \"a, \\\"b\", host: h}\n", "a: {\"password\": \"******\", host: h}\n");
        check("a: {password: 'it''s', b: c", "a: {password: '*****', b: c");
        check(
            "a: ssh://h?password=x&port=2\nb: \"ssh://h?password=x\"\n",
            "a: ssh://h?password=*&port=2\nb: \"ssh://h?password=*\"\n",
        );
        check("password: ${{secret(\"LAB\")}}\n", "password: ${{secret(\"LAB\")}}\n");
        check("password:\n  x: y\n", "password:\n  x: y\n");
    }
}
