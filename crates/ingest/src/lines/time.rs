//! Which time does a line say? RFC 3339 and its relatives, and numbers since 1970 in whichever unit.

use causeway_model::Value;

/// The time in nanoseconds since 1970 that a value says.
pub(super) fn of_value(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => of_integer(*number),
        Value::Double(number) => of_double(*number),
        Value::String(text) => of_text(text),
        _ => None,
    }
}

/// The time that a text says, written as a date or as a number.
pub(crate) fn of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return of_integer(number);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return of_double(text.parse().ok()?);
    }
    of_date(text.as_bytes())
}

/// Seconds, milliseconds, microseconds or nanoseconds, told by their size: none can be taken for another between the years 1973 and 5138,
/// and what is smaller is no time.
fn of_integer(number: i64) -> Option<i64> {
    let unit = match number {
        100_000_000..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        100_000_000_000_000_000.. => 1,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// The same with a fraction. A double is good for a quarter of a microsecond today, so that is what it is rounded to.
fn of_double(number: f64) -> Option<i64> {
    let microseconds = match number {
        1e8..1e11 => number * 1e6,
        1e11..1e14 => number * 1e3,
        1e14..1e17 => number,
        1e17.. => number / 1e3,
        _ => return None,
    };
    // The cast saturates, and what is too large then has no nanoseconds.
    (microseconds.round() as i64).checked_mul(1_000)
}

/// `2026-01-31T23:59:59.123456789+01:00`, also with a space, a comma, no colon in the zone or no zone, which is then UTC.
fn of_date(text: &[u8]) -> Option<i64> {
    let mut rest = text;
    let year = number(&mut rest, 4)?;
    let (month, day) = (after(&mut rest, b"-", 2)?, after(&mut rest, b"-", 2)?);
    let hour = after(&mut rest, b"Tt ", 2)?;
    let (minute, second) = (after(&mut rest, b":", 2)?, after(&mut rest, b":", 2)?);
    let nanosecond = fraction(&mut rest)?;
    let east = zone_seconds(rest.trim_ascii())?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_from_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - east;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanosecond)
}

/// So many digits.
fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    head.iter().try_fold(0, |number, byte| Some(number * 10 + digit(byte)?))
}

/// So many digits after one of these bytes.
fn after(rest: &mut &[u8], separators: &[u8], digits: usize) -> Option<i64> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    if separators.contains(first) { number(rest, digits) } else { None }
}

/// Nanoseconds; digits beyond the ninth say nothing that could be kept.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let Some((b'.' | b',', tail)) = rest.split_first() else { return Some(0) };
    let digits = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, tail) = tail.split_at_checked(digits)?;
    *rest = tail;
    let places = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    (digits > 0).then(|| places.fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0')))
}

/// Seconds that the zone is ahead of UTC.
fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, mut rest) = match zone {
        [] | b"Z" | b"z" | b"UTC" | b"GMT" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let hours = number(&mut rest, 2)?;
    let minutes = match rest {
        [] => 0,
        [b':', ..] => after(&mut rest, b":", 2)?,
        _ => number(&mut rest, 2)?,
    };
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar, counted in eras of 400 years that begin in March (Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`). Years have four digits.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let year = year.rem_euclid(400);
    let day_of_era = year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1;
    era * 146_097 + day_of_era - 719_468
}
