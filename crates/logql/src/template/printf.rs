//! What does `printf "%-10s|%5.2f" .a .b` make? The verbs of Go's `fmt` for the values that templates have.

use std::slice::Iter;

use super::value::{Made, Value, room};

/// Digits behind the point at most: no number has more that are not zero.
const DIGITS_MAX: usize = 1_100;

/// What stands between `%` and the verb.
#[derive(Debug, Default, Clone, Copy)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// The format with the values in the places of its verbs.
pub(super) fn formatted(format: &str, values: &[Value<'_>]) -> Made<String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let (spec, behind) = Spec::read(behind, &mut values)?;
        let mut characters = behind.chars();
        match characters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                None => out += &format!("%!{verb}(MISSING)"),
                Some(Value::Nil) if verb == 'v' => spec.pad("<nil>", &mut out)?,
                Some(value) if verb == 'T' => spec.pad(value.type_name(), &mut out)?,
                Some(value) => value.print_with(&mut out, &mut |value, out| spec.print(verb, value, out))?,
            },
        }
        room(out.len())?;
        rest = characters.as_str();
    }
    out.push_str(rest);
    if !values.as_slice().is_empty() {
        out.push_str("%!(EXTRA ");
        for (at, value) in values.enumerate() {
            out.push_str(if at == 0 { "" } else { ", " });
            described(value, &mut out)?;
        }
        out.push(')');
    }
    room(out.len())?;
    Ok(out)
}

/// `int=3`.
fn described(value: &Value<'_>, out: &mut String) -> Made<()> {
    if !matches!(value, Value::Nil) {
        out.push_str(value.type_name());
        out.push('=');
    }
    value.print(out)
}

impl Spec {
    fn read<'f>(text: &'f str, values: &mut Iter<'_, Value<'_>>) -> Made<(Self, &'f str)> {
        let mut spec = Self::default();
        let mut rest = text;
        while let Some(flag) = rest.chars().next().filter(|flag| "-+# 0".contains(*flag)) {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        if let Some(width) = number(&mut rest, values)? {
            spec.minus |= width < 0;
            spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        }
        if let Some(behind) = rest.strip_prefix('.') {
            rest = behind;
            spec.precision = usize::try_from(number(&mut rest, values)?.unwrap_or_default()).ok();
        }
        if rest.starts_with('[') {
            return Err("printf: numbers of arguments in brackets are not supported".to_owned());
        }
        room(spec.width)?;
        room(spec.precision.unwrap_or_default())?;
        Ok((spec, rest))
    }

    fn print(&self, verb: char, value: &Value<'_>, out: &mut String) -> Made<()> {
        let text = match (value, verb) {
            (Value::Bool(value), 't' | 'v') => value.to_string(),
            (Value::Text(text), _) => match self.text(verb, text) {
                Some(text) => text,
                None => return bad(verb, value, out),
            },
            (Value::Int(value), 'v' | 'd' | 'b' | 'o' | 'O' | 'x' | 'X') => return self.integer(verb, *value, out),
            (Value::Int(value), 'c' | 'q' | 'U') => character(verb, *value),
            (Value::Float(value), 'v' | 'g' | 'G' | 'e' | 'E' | 'f' | 'F') => return self.float(verb, *value, out),
            (Value::Time(time), 'v' | 's') => time.to_string(),
            (Value::Time(time), 'q') => causeway_promql::quote(&time.to_string()),
            (Value::Nil, 'v') => "<nil>".to_owned(),
            _ => return bad(verb, value, out),
        };
        self.pad(&text, out)
    }

    /// Fills up with spaces, or before it with zeros, to the width in characters.
    fn pad(&self, text: &str, out: &mut String) -> Made<()> {
        let missing = self.width.saturating_sub(text.chars().count());
        room(out.len().saturating_add(missing))?;
        let fill = if self.zero && !self.minus { "0" } else { " " }.repeat(missing);
        let (before, behind) = if self.minus { ("", fill.as_str()) } else { (fill.as_str(), "") };
        out.extend([before, text, behind]);
        Ok(())
    }

    fn text(&self, verb: char, text: &str) -> Option<String> {
        let cut: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        match verb {
            'v' if self.sharp => Some(causeway_promql::quote(text)),
            's' | 'v' => Some(cut),
            'q' if self.sharp && !cut.contains(['`', '\n', '\r']) => Some(format!("`{cut}`")),
            'q' => Some(causeway_promql::quote(&cut)),
            'x' | 'X' => {
                let bytes = text.bytes().take(self.precision.unwrap_or(usize::MAX));
                let hex = |byte: u8| if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
                let prefix = if self.sharp { ["0", verb.encode_utf8(&mut [0; 4])].concat() } else { String::new() };
                let bytes: Vec<String> = bytes.map(hex).collect();
                let between = if self.space { format!(" {prefix}") } else { String::new() };
                Some(if bytes.is_empty() { String::new() } else { prefix + &bytes.join(&between) })
            }
            _ => None,
        }
    }

    fn integer(&self, verb: char, value: i64, out: &mut String) -> Made<()> {
        let size = value.unsigned_abs();
        let (prefix, digits) = match verb {
            'b' => ("0b", format!("{size:b}")),
            'o' => ("0", format!("{size:o}")),
            'O' => ("0o", format!("{size:o}")),
            'x' => ("0x", format!("{size:x}")),
            'X' => ("0X", format!("{size:X}")),
            _ => ("", size.to_string()),
        };
        let prefix = if self.sharp || verb == 'O' { prefix } else { "" };
        let digits = match self.precision {
            Some(0) if value == 0 => String::new(),
            Some(precision) => format!("{}{digits}", "0".repeat(precision.saturating_sub(digits.len()))),
            None => digits,
        };
        let spec = Self { zero: self.zero && self.precision.is_none(), ..*self };
        spec.signed(value < 0, prefix, &digits, out)
    }

    fn float(&self, verb: char, value: f64, out: &mut String) -> Made<()> {
        if self.precision.is_some_and(|precision| precision > DIGITS_MAX) {
            return Err(format!("printf: more than {DIGITS_MAX} digits of a number"));
        }
        let size = value.abs();
        if !value.is_finite() {
            let name = if value.is_nan() { "NaN" } else { "Inf" };
            let plus = self.plus || value == f64::INFINITY && verb == 'v';
            return Self { zero: false, plus, ..*self }.signed(
                value.is_sign_negative() && !value.is_nan(),
                "",
                name,
                out,
            );
        }
        let digits = match (verb, self.precision) {
            ('f' | 'F', precision) => format!("{size:.*}", precision.unwrap_or(6)),
            ('e' | 'E', precision) => scientific(&format!("{size:.*e}", precision.unwrap_or(6))),
            (_, None) => shortest(size),
            (_, Some(precision)) => general(size, precision.max(1)),
        };
        let digits = if verb.is_ascii_uppercase() { digits.to_ascii_uppercase() } else { digits };
        self.signed(value.is_sign_negative(), "", &digits, out)
    }

    /// A number, whose zeros stand behind its sign.
    fn signed(&self, negative: bool, prefix: &str, digits: &str, out: &mut String) -> Made<()> {
        let sign = match negative {
            true => "-",
            false if self.plus => "+",
            false if self.space => " ",
            false => "",
        };
        if !self.zero || self.minus {
            return self.pad(&[sign, prefix, digits].concat(), out);
        }
        out.push_str(sign);
        let width = self.width.saturating_sub(sign.len() + digits.len()) + digits.len();
        out.push_str(prefix);
        Self { width, ..*self }.pad(digits, out)
    }
}

/// A width or a precision, which may be the next value.
fn number(rest: &mut &str, values: &mut Iter<'_, Value<'_>>) -> Made<Option<i64>> {
    if let Some(behind) = rest.strip_prefix('*') {
        *rest = behind;
        return match values.next() {
            Some(Value::Int(value)) => Ok(Some(*value)),
            _ => Err("printf: a width or precision is no integer".to_owned()),
        };
    }
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
    *rest = behind;
    Ok(if digits.is_empty() { None } else { Some(digits.parse().unwrap_or(i64::MAX)) })
}

/// What stands where a verb does not fit its value.
fn bad(verb: char, value: &Value<'_>, out: &mut String) -> Made<()> {
    *out += &format!("%!{verb}(");
    described(value, out)?;
    out.push(')');
    Ok(())
}

fn character(verb: char, value: i64) -> String {
    let character = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    match verb {
        'c' => character.to_string(),
        'U' => format!("U+{value:04X}"),
        _ if character == '\'' => "'\\''".to_owned(),
        _ if character == '"' => "'\"'".to_owned(),
        _ => {
            let quoted = causeway_promql::quote(&character.to_string());
            format!("'{}'", quoted.trim_matches('"'))
        }
    }
}

/// Rust's `1.5e3` as Go's `1.5e+03`.
fn scientific(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// The exponent that `%e` shows.
fn exponent_of(text: &str) -> i32 {
    text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or_default()
}

/// The fewest digits that mean the number, with an exponent where that is below -4 or above 5.
fn shortest(size: f64) -> String {
    let text = format!("{size:e}");
    if (-4..6).contains(&exponent_of(&text)) { size.to_string() } else { scientific(&text) }
}

/// `%.3g`: so many digits at most, with an exponent where there are not enough of them.
fn general(size: f64, precision: usize) -> String {
    let text = format!("{size:.*e}", precision - 1);
    let exponent = exponent_of(&text);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let digits = trimmed(text.split_once('e').map_or("", |(digits, _)| digits));
    let count = digits.chars().filter(char::is_ascii_digit).count();
    let point = usize::try_from(exponent + 1).unwrap_or_default();
    let most = if precision > count && count >= point { count } else { precision };
    if exponent < -4 || usize::try_from(exponent).is_ok_and(|exponent| exponent >= most) {
        return scientific(&format!("{digits}e{exponent}"));
    }
    let places = i64::try_from(precision).unwrap_or(i64::MAX).saturating_sub(i64::from(exponent) + 1);
    trimmed(&format!("{size:.*}", usize::try_from(places).unwrap_or_default()))
}

/// A number as `%v` prints it.
pub(super) fn float(value: f64) -> String {
    let mut out = String::new();
    // Nothing is filled up, so that there is room.
    let _ = Spec::default().float('v', value, &mut out);
    out
}
