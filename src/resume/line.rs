//! A record as a line that says of itself whether it is whole: its last field is a checksum of all that stands before.

use std::io::Write as _;

/// A longer line is none of ours.
pub const LONGEST: usize = 16 << 20;

const FIELD: &[u8] = b",\"crc\":\"";
const END: &[u8] = b"\"}";
const DIGITS: usize = 8;

/// Puts the checksum into the line that begins at `from` and ends `out`: an object of JSON and a line break.
pub fn seal(out: &mut Vec<u8>, from: usize) {
    out.truncate(out.len().saturating_sub(b"}\n".len()).max(from));
    let sum = crc32fast::hash(&out[from..]);
    out.extend_from_slice(FIELD);
    let _ = write!(out, "{sum:08x}");
    out.extend_from_slice(END);
    out.push(b'\n');
}

/// Whether a line, without its line break, is what was written. The digits are compared as text, so that none of its
/// bytes can change unseen.
pub fn is_whole(line: &[u8]) -> bool {
    let Some(cut) = line.len().checked_sub(FIELD.len() + DIGITS + END.len()) else { return false };
    let (before, after) = line.split_at(cut);
    let sum = format!("{:08x}", crc32fast::hash(before));
    after.strip_prefix(FIELD).and_then(|rest| rest.strip_suffix(END)) == Some(sum.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_sealed_behind_what_stands_there() {
        let mut out = b"{\"v\":1}\n".to_vec();
        let from = out.len();
        out.extend_from_slice(b"{\"v\":1,\"event\":\"run_timed_out\"}\n");
        seal(&mut out, from);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "{\"v\":1}\n{\"v\":1,\"event\":\"run_timed_out\",\"crc\":\"ef14fe36\"}\n");
        let line = text.lines().nth(1).unwrap();
        assert!(is_whole(line.as_bytes()) && serde_json::from_str::<serde_json::Value>(line).is_ok());
    }

    #[test]
    fn no_byte_of_it_changes_unseen() {
        let mut line = b"{\"v\":1,\"text\":\"abc\"}\n".to_vec();
        seal(&mut line, 0);
        line.pop();
        for at in 0..line.len() {
            for pattern in 1..=255_u8 {
                let mut other = line.clone();
                other[at] ^= pattern;
                assert!(!is_whole(&other), "byte {at} with {pattern:#x}");
            }
            assert!(!is_whole(&line[..at]));
        }
    }
}
