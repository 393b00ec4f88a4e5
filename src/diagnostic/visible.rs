//! Text that others wrote, made safe to look at: control characters are shown and not obeyed.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Whether a text (of whole lines) can be shown as it is. No early exit in the checks, so that they run as vectors.
pub fn passes(text: &[u8]) -> bool {
    is_plain(text)
        || (!text.iter().fold(false, |any, byte| any | is_suspect(*byte)) && std::str::from_utf8(text).is_ok())
}

/// Whether there is nothing in it but printable ASCII, tabs and line ends.
#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from running as vectors")]
fn is_plain(text: &[u8]) -> bool {
    let odd = |b: u8| (b.wrapping_sub(b' ') > b'~' - b' ') & (b != b'\n') & (b != b'\t');
    !text.iter().fold(false, |any, byte| any | odd(*byte))
}

/// Whether a byte of UTF-8 may begin something odd: a control character, or a character whose first byte is that of
/// one which turns or hides text.
#[expect(clippy::needless_bitwise_bool, reason = "branches would keep it from running as vectors")]
fn is_suspect(b: u8) -> bool {
    ((b < b' ') & (b != b'\n') & (b != b'\t'))
        | (b == 0x7f)
        | (b == 0xc2)
        | (b == 0xd8)
        | (b == 0xe1)
        | (b == 0xe2)
        | (b == 0xef)
        | (b == 0xf3)
}

/// Appends one line (without its end): `^[` for escape, `\x9b` for a byte that is not UTF-8, `<U+202E>` for what would
/// turn or hide text. Tabs and everything printable pass.
pub fn write(line: &[u8], out: &mut Vec<u8>) {
    if passes(line) && !line.contains(&b'\n') {
        out.extend_from_slice(line);
        return;
    }
    for chunk in line.utf8_chunks() {
        characters(chunk.valid(), out);
        for &byte in chunk.invalid() {
            out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// A text as one visible line.
pub fn text(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    write(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A text with something visible in place of each character that is not, of the same length in bytes, so that places
/// in it stay what they are.
pub fn in_place(text: &str) -> Cow<'_, str> {
    if passes(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let ends_line = character == '\n' || (character == '\r' && characters.peek() == Some(&'\n'));
        if ends_line || !is_odd(character) {
            out.push(character);
            continue;
        }
        out.push_str(match character.len_utf8() {
            1 => "?",
            2 => "¿",
            3 => "\u{fffd}",
            _ => "\u{fffd}?",
        });
    }
    Cow::Owned(out)
}

fn digit(four_bits: u8) -> u8 {
    b"0123456789abcdef"[usize::from(four_bits)]
}

fn characters(text: &str, out: &mut Vec<u8>) {
    let mut from = 0;
    let suspects = text.bytes().enumerate().filter(|(_, byte)| is_suspect(*byte) || *byte == b'\n');
    for (at, _) in suspects {
        let Some(character) = text[at..].chars().next().filter(|character| is_odd(*character)) else { continue };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        from = at + character.len_utf8();
        match character {
            '\0'..='\x1f' => out.extend_from_slice(&[b'^', character as u8 + b'@']),
            '\x7f' => out.extend_from_slice(b"^?"),
            _ => out.extend_from_slice(format!("<U+{:04X}>", u32::from(character)).as_bytes()),
        }
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
}

/// What a terminal would obey, or what turns or hides text. Joiners pass: emoji and many scripts need them.
fn is_odd(character: char) -> bool {
    match character {
        '\t' | ' '..='~' => false,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{feff}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        _ => character.is_control(),
    }
}

/// The first line, visible, in at most `width` columns.
pub fn shorten(text: &str, width: usize) -> String {
    let mut lines = text.lines();
    // How many columns a tab takes depends on where it stands.
    let first = self::text(lines.next().unwrap_or_default()).replace('\t', " ");
    if first.width() <= width { first } else { fit(&first, width) }
}

/// `text` in exactly as many columns as fit, with `…` at its end if something is missing.
pub fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let kept = text.chars().take_while(|character| {
        let wide = character.width().unwrap_or(1);
        let fits = wide <= room;
        room = room.saturating_sub(wide);
        fits
    });
    let mut kept: String = kept.collect();
    // Together, characters may be wider than each of them: some are drawn as emoji because of what follows.
    while kept.width() >= width && kept.pop().is_some() {}
    kept.extend((width > 0).then_some('…'));
    kept
}

/// `text` with blanks up to `width` columns.
pub fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &[u8], shown: &str) {
        let mut out = Vec::new();
        write(line, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), shown);
    }

    #[test]
    fn control_characters_are_shown() {
        check(b"\x1b[2Jgone\x07", "^[[2Jgone^G");
        check(b"50%\r100%", "50%^M100%");
        check(b"nul \0 del \x7f", "nul ^@ del ^?");
        check("\u{9b}31m".as_bytes(), "<U+009B>31m");
    }

    #[test]
    fn bytes_that_are_not_text_are_shown() {
        check(b"a\x9bb\xff\xfe", "a\\x9bb\\xff\\xfe");
        check(b"cut \xe2\x82", "cut \\xe2\\x82");
    }

    #[test]
    fn what_turns_or_hides_text_is_shown() {
        check("user\u{202e}txt.exe".as_bytes(), "user<U+202E>txt.exe");
        check("a\u{200b}b\u{feff}".as_bytes(), "a<U+200B>b<U+FEFF>");
    }

    #[test]
    fn printable_text_and_tabs_pass() {
        check("größe\t日本語 👩‍🚀 │".as_bytes(), "größe\t日本語 👩‍🚀 │");
    }

    #[test]
    fn whatever_is_odd_is_suspected_by_its_first_byte() {
        let odd = ('\0'..=char::MAX).filter(|character| is_odd(*character) && *character != '\n');
        let mut bytes = [0; 4];
        let missed: Vec<char> = odd.filter(|it| !is_suspect(it.encode_utf8(&mut bytes).as_bytes()[0])).collect();
        assert_eq!(missed, Vec::<char>::new());
    }

    #[test]
    fn plain_means_every_single_byte() {
        assert!(is_plain(&[b'x'; 1000]) && is_plain(b"a\tb\n~ "));
        for odd in (0..=255_u8).filter(|b| !matches!(b, b' '..=b'~' | b'\t' | b'\n')) {
            for at in [0, 63, 64, 999] {
                let mut text = [b'x'; 1000];
                text[at] = odd;
                assert!(!is_plain(&text), "{odd:#x} at {at}");
            }
        }
    }

    #[test]
    fn long_and_wide_text_is_cut_at_the_column() {
        let all = [("short", 9), ("exactly it", 10), ("too long for it", 8), ("日本語テキスト", 7), ("x", 0)];
        assert_eq!(all.map(|(text, width)| fit(text, width)), ["short", "exactly it", "too lon…", "日本語…", ""]);
        assert_eq!(shorten("first\nsecond", 20), "first");
        assert_eq!(shorten("a\u{1b}[31mb\n", 20), "a^[[31mb");
        assert_eq!(shorten("a\tb\tc\td", 5), "a b …");
        assert_eq!(fit("☁\u{fe0f}☁\u{fe0f}☁\u{fe0f}", 4), "☁\u{fe0f}☁…");
    }
}
