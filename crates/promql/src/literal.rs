//! How are numbers and durations written?

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Durations are counted in nanoseconds of 64 bits where they come from; longer ones are refused there and here.
const DURATION_MS_MAX: i64 = i64::MAX / 1_000_000;

/// The same in seconds.
pub(crate) const DURATION_SECONDS_MAX: f64 = 9_223_372_036.854_776;

/// Reads `1h30m`: whole numbers with units, from the largest unit to the smallest, each at most once. In milliseconds.
///
/// # Errors
/// Words for a person.
pub fn parse_duration_ms(text: &str) -> Result<i64, String> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("empty duration string".into());
    }
    let invalid = || format!("not a valid duration string: {}", crate::text::quote(text));
    let (mut rest, mut total, mut units) = (text, 0i64, UNITS.iter());
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).filter(|_| digits > 0).ok_or_else(invalid)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters).ok_or_else(invalid)?;
        let (_, unit_ms) = units.find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let part = number.parse::<i64>().ok().and_then(|number| number.checked_mul(*unit_ms));
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= DURATION_MS_MAX)
            .ok_or("duration out of range")?;
        rest = after;
    }
    Ok(total)
}

/// Writes a duration with the fewest units; parts of a millisecond are left out.
pub fn print_duration_ms(duration_ms: i64) -> String {
    if duration_ms == 0 {
        return "0s".into();
    }
    let mut out = String::from(if duration_ms < 0 { "-" } else { "" });
    let mut rest = duration_ms.unsigned_abs();
    for (unit, unit_ms) in UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        // Years and weeks are only written where nothing is left over, as nobody divides by them in the head.
        if matches!(unit, "y" | "w") && !rest.is_multiple_of(unit_ms) {
            continue;
        }
        if rest >= unit_ms {
            out += &format!("{}{unit}", rest / unit_ms);
            rest %= unit_ms;
        }
    }
    out
}

/// The same for seconds. They are rounded to microseconds first, so that what was read from whole milliseconds stays so.
pub(crate) fn print_duration_seconds(seconds: f64) -> String {
    // The cast saturates; what comes from a query lies far within.
    print_duration_ms(((seconds * 1e6).round() / 1e3) as i64)
}

/// Reads a number as Go does: `0x1f`, `0755` (octal), `1_000`, `1.5e3`, `Inf`, `NaN` in any case. No sign.
///
/// # Errors
/// Words for a person.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    let refused = |why: &str| format!("strconv.ParseFloat: parsing {}: {why}", crate::text::quote(text));
    let digits: String = text.chars().filter(|character| *character != '_').collect();
    let lower = digits.to_ascii_lowercase();
    if let Some(hexadecimal) = lower.strip_prefix("0x") {
        return match i64::from_str_radix(hexadecimal, 16) {
            Ok(number) => Ok(number as f64),
            Err(_) => Err(refused("invalid syntax")),
        };
    }
    if lower.len() > 1
        && lower.starts_with('0')
        && let Ok(number) = i64::from_str_radix(&lower, 8)
    {
        return Ok(number as f64);
    }
    match lower.as_str() {
        "inf" | "infinity" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    match lower.parse::<f64>() {
        Ok(number) if number.is_infinite() => Err(refused("value out of range")),
        Ok(number) => Ok(number),
        Err(_) => Err(refused("invalid syntax")),
    }
}

/// Writes a number without an exponent, with the fewest digits that give it back.
pub fn print_number(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{number}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in
            [("0", 0), ("5m", 300_000), ("1h30m", 5_400_000), ("1y2w3d4h5m6s7ms", 33_019_506_007), ("90s", 90_000)]
        {
            assert_eq!(parse_duration_ms(text).unwrap(), ms);
        }
        assert_eq!(parse_duration_ms("5m1h").unwrap_err(), "not a valid duration string: \"5m1h\"");
        assert_eq!(parse_duration_ms("5m5m").unwrap_err(), "not a valid duration string: \"5m5m\"");
        assert_eq!(parse_duration_ms("1.5h").unwrap_err(), "not a valid duration string: \"1.5h\"");
        assert_eq!(parse_duration_ms("300y").unwrap_err(), "duration out of range");
        assert_eq!(parse_duration_ms("99999999999999999999s").unwrap_err(), "duration out of range");
        for (ms, text) in [
            (0, "0s"),
            (90_000, "1m30s"),
            (604_800_000, "1w"),
            (691_200_000, "8d"),
            (-1001, "-1s1ms"),
            (31_536_000_000, "1y"),
        ] {
            assert_eq!(print_duration_ms(ms), text);
        }
        assert!(print_duration_ms(i64::MIN).starts_with('-'));
        assert_eq!(print_duration_seconds(0.29), "290ms");
    }

    #[test]
    fn numbers() {
        for (text, number) in [
            ("0xc", 12.0),
            ("0755", 493.0),
            ("089", 89.0),
            ("1_000", 1000.0),
            ("5.", 5.0),
            (".5", 0.5),
            ("12.34e6", 12_340_000.0),
        ] {
            assert_eq!(parse_number(text).unwrap(), number);
        }
        assert!(parse_number("nAn").unwrap().is_nan());
        assert_eq!(parse_number("inF").unwrap(), f64::INFINITY);
        assert_eq!(parse_number("1e999").unwrap_err(), "strconv.ParseFloat: parsing \"1e999\": value out of range");
        assert_eq!(print_number(1e21), "1000000000000000000000");
        assert_eq!(print_number(0.00001234), "0.00001234");
    }
}
