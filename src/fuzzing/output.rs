//! What steps print, and what comes down a line from a far end.

use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;
use memchr::memmem;
use unicode_width::UnicodeWidthStr as _;

use super::{CUT, pieces};
use crate::backend::guard::frame::{self, Frames, Piece};
use crate::diagnostic::visible;
use crate::event::Channel;
use crate::plan::StepId;
use crate::report::lines::{GOES_ON, LONGEST, Lines};
use crate::run::mask::{Masker, forms::forms};
use crate::syntax::Value;

const STDOUT: (StepId, Channel) = (StepId(0), Channel::Stdout);
const PREFIX: &str = "web> ";

/// Output in pieces: every line that is shown says whose it is and holds nothing that a terminal would obey or that
/// turns or hides text, and how it came changes nothing.
pub fn output(bytes: &[u8]) {
    let chunks = pieces(bytes);
    let whole = chunks.concat();
    let shown = shown(&chunks);
    assert!(shown.is_empty() || shown.ends_with('\n'), "the last line has no end");
    for line in shown.lines() {
        let said = line.strip_prefix(PREFIX).unwrap_or_else(|| panic!("nobody says {line:?}"));
        harmless(said);
    }
    let ends = memchr::memchr_iter(b'\n', &whole).count();
    let open = usize::from(!whole.is_empty() && !whole.ends_with(b"\n"));
    assert_eq!(shown.lines().filter(|line| !line.ends_with(GOES_ON)).count(), ends + open - marked(&whole));
    // Where a line is too long, it is broken where the pieces happen to end.
    if whole.split(|byte| *byte == b'\n').all(|line| line.len() <= LONGEST) {
        assert_eq!(shown, self::shown(&[&whole]), "it depends on how it came");
    }
    let text = String::from_utf8_lossy(&whole);
    harmless(&visible::text(&text));
    let in_place = visible::in_place(&text);
    assert_eq!(in_place.len(), text.len(), "places in it have moved");
    in_place.split('\n').for_each(|line| harmless(line.strip_suffix('\r').unwrap_or(line)));
    for width in [0, 1, 2, 20, 80] {
        let short = visible::shorten(&text, width);
        harmless(&short);
        assert!(short.width() <= width, "{short:?} is wider than {width}");
    }
}

/// How many lines of the text itself end with the mark of one that goes on.
fn marked(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').filter(|line| line.ends_with(GOES_ON.as_bytes())).count()
}

fn shown(chunks: &[&[u8]]) -> String {
    let (mut lines, mut out) = (Lines::default(), Vec::new());
    for chunk in chunks {
        lines.write(STDOUT, PREFIX.as_bytes(), chunk, &mut out);
    }
    lines.end(STDOUT, PREFIX.as_bytes(), &mut out);
    String::from_utf8(out).expect("what is shown is text")
}

fn harmless(line: &str) {
    let odd = |it: &char| {
        let hides = matches!(it, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{feff}');
        let turns = matches!(it, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e007f}');
        (it.is_control() && *it != '\t') || hides || turns
    };
    assert_eq!(line.chars().find(odd), None, "{line:?}");
}

/// In the input of [`mask`], this and the byte behind it stand for a form of the secret.
const SECRET: u8 = 0x1a;

/// A secret and output in pieces: no form of the secret is shown wherever it is cut, how it comes changes nothing, and
/// what holds none is shown as it is.
pub fn mask(bytes: &[u8]) {
    let all = pieces(bytes);
    let Some((secret, chunks)) = all.split_first() else { return };
    // A mask beside what is left may look like such a secret.
    if secret.len() > 128 || secret.contains(&b'*') || secret.contains(&SECRET) {
        return;
    }
    let value = match std::str::from_utf8(secret) {
        Ok(text) => Value::Text(text.into()),
        Err(_) => Value::Bytes((*secret).into()),
    };
    let made: Vec<Vec<u8>> = chunks.iter().map(|chunk| with_forms(chunk, secret)).collect();
    let whole = made.concat();
    let once = masked(&value, &[&whole]);
    // A form may hold the byte that cuts, and so be torn: that too changes nothing.
    let torn: Vec<&[u8]> = made.iter().flat_map(|chunk| chunk.split_inclusive(|byte| *byte % 7 == CUT % 7)).collect();
    for chunks in [made.iter().map(Vec::as_slice).collect(), torn] {
        assert_eq!(masked(&value, &chunks), once, "it depends on how it came");
    }
    let forms = forms(secret);
    let held = |text: &[u8]| forms.iter().any(|form| memmem::find(text, form).is_some());
    assert!(!held(&once), "a form of {value:?} is shown: {:?}", String::from_utf8_lossy(&once));
    if held(&whole) {
        assert_ne!(once, whole);
    } else {
        assert_eq!(once, whole, "what holds no secret is changed");
    }
    for form in [secret.to_vec(), quoted(secret), percent(secret)].iter().filter(|it| forms.contains(&it[..])) {
        assert!(memmem::find(&once, form).is_none(), "{value:?} is shown");
    }
    assert!(forms.contains(trimmed(secret)) || !is_long(secret), "the secret itself is none of its forms");
}

fn trimmed(secret: &[u8]) -> &[u8] {
    let end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let from = secret.iter().position(|byte| !end(byte)).unwrap_or(secret.len());
    let to = secret.iter().rposition(|byte| !end(byte)).map_or(from, |at| at + 1);
    &secret[from..to]
}

/// Whether it has six characters of ASCII, so that it is masked.
fn is_long(secret: &[u8]) -> bool {
    trimmed(secret).iter().filter(|byte| byte.is_ascii()).count() >= 6
}

/// The chunk with forms of the secret where it asks for them, some made here and not by the masker.
fn with_forms(chunk: &[u8], secret: &[u8]) -> Vec<u8> {
    let all: Vec<Vec<u8>> = forms(secret).into_iter().collect();
    let (mut made, mut rest) = (Vec::new(), chunk);
    while let Some(at) = memchr::memchr(SECRET, rest) {
        made.extend_from_slice(&rest[..at]);
        match rest.get(at + 1) {
            Some(b'r') | None => made.extend_from_slice(secret),
            Some(b'j') => made.extend(quoted(secret)),
            Some(b'u') => made.extend(percent(secret)),
            Some(which) if !all.is_empty() => made.extend_from_slice(&all[usize::from(*which) * 7 % all.len()]),
            Some(_) => {}
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    made.extend_from_slice(rest);
    made
}

/// As JSON, without the quotes.
fn quoted(secret: &[u8]) -> Vec<u8> {
    let text = serde_json::Value::from(String::from_utf8_lossy(secret)).to_string();
    text.as_bytes()[1..text.len() - 1].to_vec()
}

/// As a part of an address.
fn percent(secret: &[u8]) -> Vec<u8> {
    let one = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    secret.iter().map(one).collect::<String>().into_bytes()
}

fn masked(secret: &Value, chunks: &[&[u8]]) -> Vec<u8> {
    let mut masker = Masker::new(&IndexMap::from([(Arc::from("s"), secret.clone())]));
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&masker.chunk(STDOUT.0, STDOUT.1, Bytes::copy_from_slice(chunk)));
    }
    out.extend(masker.rest(STDOUT.0, STDOUT.1).into_iter().flatten());
    out
}

/// The nonce of the guard at whose line [`guard`] listens.
const NONCE: &str = "0123456789abcdef";

/// What comes down a line, in pieces: nothing but what carries the nonce is taken for what the guard says, nothing is lost
/// or added, memory is bounded, and how it comes changes nothing.
pub fn guard(bytes: &[u8]) {
    let chunks = pieces(bytes);
    let whole = chunks.concat();
    let heard = heard(&chunks);
    assert_eq!(heard, self::heard(&[&whole]), "it depends on how it came");
    let mark = format!("\x1e{NONCE} ");
    let marks = memmem::find_iter(&whole, &mark).count();
    let frames = heard.iter().filter(|piece| matches!(piece, Piece::Frame(..))).count();
    assert!(frames <= marks, "{frames} frames of {marks} marks");
    let mut rest = &whole[..];
    for piece in heard {
        rest = match piece {
            Piece::Output(said) => rest.strip_prefix(&said[..]).expect("output is what was printed"),
            Piece::Frame(letter, words) => {
                let frame = rest.strip_prefix(mark.as_bytes()).expect("a frame begins with the mark");
                let end = memchr::memchr(b'\n', frame).expect("a frame ends");
                let body = &frame[..end];
                assert!(end <= frame::LONGEST + super::MOST, "a frame of {end} bytes");
                assert_eq!(body.first().unwrap_or(&b' '), &letter);
                assert!(body.trim_ascii_end().ends_with(&words), "{body:?} is heard as {words:?}");
                &frame[end + 1..]
            }
        };
    }
    assert_eq!(rest, b"", "something was lost");
}

fn heard(chunks: &[&[u8]]) -> Vec<Piece> {
    let mut frames = Frames::new(NONCE);
    let mut all: Vec<Piece> = Vec::new();
    for chunk in chunks {
        frames.feed(chunk);
        while let Some(piece) = frames.next() {
            push(&mut all, piece);
        }
        assert!(frames.waiting() <= frame::LONGEST + 20, "{} bytes wait", frames.waiting());
    }
    if let Some(piece) = frames.rest() {
        push(&mut all, piece);
    }
    all
}

/// How output is cut into pieces depends on how it came; what it is does not.
fn push(all: &mut Vec<Piece>, piece: Piece) {
    match (all.last_mut(), piece) {
        (Some(Piece::Output(before)), Piece::Output(more)) => *before = [&before[..], &more].concat().into(),
        (_, piece) => all.push(piece),
    }
}
