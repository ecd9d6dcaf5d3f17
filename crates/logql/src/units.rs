//! How many seconds are `1h30m`, how many bytes `2MiB`? As Go's `time.ParseDuration` and the package humanize read them.

use crate::ast::Conversion;

/// Seconds of a duration such as `1.5s`, `250ms` or `1h30m`; PromQL's `d`, `w` and `y` too.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 10] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3_600.0),
        ("d", 86_400.0),
        ("w", 604_800.0),
        ("y", 31_536_000.0),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let (number, behind) = number(rest)?;
        let end = behind.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(behind.len());
        let (unit, after) = behind.split_at_checked(end)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += number * factor;
        rest = after;
    }
    Some(sign * sum).filter(|_| !text.is_empty())
}

/// Bytes of a size such as `512`, `1.5KB` or `2 MiB`.
pub(crate) fn bytes(text: &str) -> Option<f64> {
    let (number, unit) = number(text.trim())?;
    let power = |letter: char| "kmgtpe".find(letter).and_then(|at| i32::try_from(at + 1).ok());
    let unit = unit.trim().to_ascii_lowercase();
    let mut letters = unit.chars();
    let factor = match (letters.next(), letters.as_str()) {
        (None, _) | (Some('b'), "") => 1.0,
        (Some(letter), "ib" | "i") => 1024f64.powi(power(letter)?),
        (Some(letter), "b" | "") => 1000f64.powi(power(letter)?),
        _ => return None,
    };
    Some(number * factor)
}

fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    digits.parse().ok().map(|number| (number, rest))
}

impl Conversion {
    /// The number that a text means.
    pub(crate) fn of(self, text: &str) -> Option<f64> {
        match self {
            Self::Number => text.parse().ok(),
            Self::Duration => seconds(text),
            Self::Bytes => bytes(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, expected) in [
            ("1h30m", Some(5_400.0)),
            ("250ms", Some(0.25)),
            ("1.5s", Some(1.5)),
            ("-2m", Some(-120.0)),
            ("0", Some(0.0)),
            ("1d", Some(86_400.0)),
            ("", None),
            ("5", None),
            ("5x", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for (text, expected) in [
            ("512", Some(512.0)),
            ("1.5KB", Some(1_500.0)),
            ("2MiB", Some(2_097_152.0)),
            ("3 gb", Some(3e9)),
            ("7B", Some(7.0)),
            ("x", None),
            ("5q", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
