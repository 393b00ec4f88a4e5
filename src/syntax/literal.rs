//! Numbers, durations and sizes, from their text.

use std::time::Duration;

use super::value::Value;
use crate::diagnostic::{Code, Diagnostic, Span};

/// The units of durations, in nanoseconds; the longer of two that start alike comes first.
const DURATIONS: [(&str, u64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// The units of sizes, in bytes.
const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// What is wrong with a number.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct BadNumber {
    code: Code,
    message: String,
    help: &'static str,
}

impl BadNumber {
    fn too_large(text: &str) -> Self {
        let help = "an integer goes up to 9223372036854775807, a duration to some 580 years";
        Self { code: Code::LimitExceeded, message: format!("`{text}` is too large"), help }
    }

    fn unreadable(text: &str) -> Self {
        let help =
            "durations look like `250ms`, `10s`, `1h30m` (us ms s m h d), sizes like `64KiB` (B KB MB GB KiB MiB GiB)";
        Self { code: Code::UnexpectedToken, message: format!("`{text}` is no number"), help }
    }

    /// The diagnostic, for the number that stands there.
    pub(super) fn at(self, span: Span) -> Box<Diagnostic> {
        Box::new(Diagnostic::new(self.code, span, self.message).help(self.help))
    }
}

/// An integer, a float, a duration or a size.
pub(super) fn number(text: &str) -> Result<Value, BadNumber> {
    let plain = text.replace('_', "");
    if let Ok(value) = plain.parse() {
        return Ok(Value::Int(value));
    }
    let digits = plain.strip_prefix('-').unwrap_or(&plain);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadNumber::too_large(text));
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')) {
        let value = plain.parse().map_err(|_| BadNumber::unreadable(text))?;
        return if f64::is_finite(value) { Ok(Value::Float(value)) } else { Err(BadNumber::too_large(text)) };
    }
    let total = |units| sum(&plain, units).ok_or_else(|| BadNumber::unreadable(text));
    let (value, duration) = match total(&DURATIONS[..]) {
        Ok(value) => (value, true),
        Err(_) => (total(&SIZES[..])?, false),
    };
    let value = u64::try_from(value).map_err(|_| BadNumber::too_large(text))?;
    Ok(if duration { Value::Duration(Duration::from_nanos(value)) } else { Value::Size(value) })
}

/// The sum of parts like `1h`, `30m`; `None` where a part is none.
fn sum(text: &str, units: &[(&str, u64)]) -> Option<u128> {
    let mut total = 0_u128;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|digits| *digits > 0)?;
        let (count, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (_, factor) = units.iter().find(|(unit, _)| *unit == &tail[..letters])?;
        total = total.saturating_add(scaled(count, *factor)?);
        rest = &tail[letters..];
    }
    Some(total)
}

/// `1.5` times a factor, without what is smaller than one; digits that cannot matter are not read.
fn scaled(count: &str, factor: u64) -> Option<u128> {
    let (whole, fraction) = count.split_once('.').unwrap_or((count, "0"));
    let fraction = &fraction[..fraction.len().min(18)];
    let whole = whole.parse().unwrap_or(u128::MAX).saturating_mul(factor.into());
    let part = fraction.parse::<u128>().ok()? * u128::from(factor) / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole.saturating_add(part))
}
