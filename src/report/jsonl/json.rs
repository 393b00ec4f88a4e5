//! JSON into a buffer that is used again: no tree in between, and text is copied in runs.

use std::io::Write as _;
use std::time::Duration;

/// An object that is being written.
#[derive(Debug)]
pub(super) struct Json<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Json<'a> {
    /// Opens an object at the end of `out`.
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Closes it.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        string(text, self.out);
    }

    pub(super) fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        let _ = write!(self.out, "{number}");
    }

    pub(super) fn integer(&mut self, key: &str, number: i64) {
        self.key(key);
        let _ = write!(self.out, "{number}");
    }

    pub(super) fn bool(&mut self, key: &str, is: bool) {
        self.key(key);
        let _ = write!(self.out, "{is}");
    }

    /// Seconds, with microseconds after the point.
    pub(super) fn seconds(&mut self, key: &str, time: Duration) {
        self.key(key);
        let _ = write!(self.out, "{}.{:06}", time.as_secs(), time.subsec_micros());
    }

    pub(super) fn texts(&mut self, key: &str, texts: &[String]) {
        self.key(key);
        self.out.push(b'[');
        for (at, text) in texts.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            string(text, self.out);
        }
        self.out.push(b']');
    }

    pub(super) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Json)) {
        self.key(key);
        let mut inner = Json::begin(self.out);
        fill(&mut inner);
        inner.end();
    }

    pub(super) fn list<T>(&mut self, key: &str, items: impl Iterator<Item = T>, fill: impl Fn(T, &mut Json)) {
        self.key(key);
        self.out.push(b'[');
        for (at, item) in items.enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            let mut inner = Json::begin(self.out);
            fill(item, &mut inner);
            inner.end();
        }
        self.out.push(b']');
    }

    /// Bytes that are no text, as RFC 4648 has it, with padding.
    pub(super) fn base64(&mut self, key: &str, bytes: &[u8]) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        self.key(key);
        self.out.push(b'"');
        for three in bytes.chunks(3) {
            let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
            let bits = at(0) << 16 | at(1) << 8 | at(2);
            let digit = |shift: u32| DIGITS[(bits >> shift & 63) as usize];
            let mut four = [digit(18), digit(12), digit(6), digit(0)];
            four[three.len() + 1..].fill(b'=');
            self.out.extend_from_slice(&four);
        }
        self.out.push(b'"');
    }
}

/// A string with its quotes. What is not a control character, a quote or a backslash is copied in runs.
#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from running as vectors")]
fn string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let controls = bytes.iter().fold(false, |any, byte| any | ((*byte < b' ') & (*byte != b'\n')) | (*byte == 0x7f));
    let mut from = 0;
    let mut escape = |at: usize| {
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        escaped(bytes[at], out);
    };
    if controls {
        let odd = |byte: u8| byte < b' ' || byte == 0x7f || byte == b'"' || byte == b'\\';
        (0..bytes.len()).filter(|at| odd(bytes[*at])).for_each(&mut escape);
    } else {
        memchr::memchr3_iter(b'\n', b'"', b'\\', bytes).for_each(&mut escape);
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

fn escaped(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ => {
            let _ = write!(out, "\\u{byte:04x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back(text in "(?s).{0,200}|[\\x00-\\x7f]{0,200}|[a-z\"\\\\\\n]{0,200}") {
            let mut out = Vec::new();
            string(&text, &mut out);
            prop_assert!(out.iter().all(|byte| (b' '..0x7f).contains(byte) || *byte >= 0x80));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn bytes_are_written_as_the_rfc_has_them() {
        let all = [&b""[..], b"f", b"fo", b"foo", b"foob", b"fooba", b"foobar", b"\xff\xfe\xfd"];
        let written = all.map(|bytes| {
            let mut out = Vec::new();
            let mut json = Json::begin(&mut out);
            json.base64("b", bytes);
            json.end();
            String::from_utf8(out).unwrap()
        });
        let digits = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy", "//79"];
        assert_eq!(written, digits.map(|digits| format!(r#"{{"b":"{digits}"}}"#)));
    }
}
