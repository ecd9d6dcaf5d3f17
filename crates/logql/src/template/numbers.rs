//! What do the functions make that are about numbers? As sprig has them: integers of 64 bits that wrap around, sums of fractions in decimals, and
//! what is no number counts as zero.

use super::functions::{Arguments, Function};
use super::value::{Made, Value};
use crate::units;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("int", 1, |call| Ok(int_of(call.value(0)).into())),
    Function::new("float64", 1, |call| Ok(float_of(call.value(0)).into())),
    Function::many("add", 0, |call| folded(call, 0, i64::wrapping_add)),
    Function::new("sub", 2, |call| Ok(int_of(call.value(0)).wrapping_sub(int_of(call.value(1))).into())),
    Function::many("mul", 1, |call| folded(call, 1, i64::wrapping_mul)),
    Function::new("div", 2, |call| Ok(int_of(call.value(0)).wrapping_div(divisor(call)?).into())),
    Function::new("mod", 2, |call| Ok(int_of(call.value(0)).wrapping_rem(divisor(call)?).into())),
    Function::many("max", 1, |call| folded(call, int_of(call.value(0)), Ord::max)),
    Function::many("min", 1, |call| folded(call, int_of(call.value(0)), Ord::min)),
    Function::many("addf", 0, |call| sum(call, Some(Decimal { digits: 0, exponent: 0 }), Decimal::plus, |a, b| a + b)),
    Function::many("subf", 1, |call| sum(call, None, Decimal::minus, |a, b| a - b)),
    Function::many("mulf", 1, |call| sum(call, None, Decimal::times, |a, b| a * b)),
    Function::many("divf", 1, |call| {
        if call.values.iter().skip(1).any(|value| float_of(value) == 0.0) {
            return Err("decimal division by 0".to_owned());
        }
        sum(call, None, Decimal::over, |a, b| a / b)
    }),
    Function::many("maxf", 1, |call| extreme(call, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) })),
    Function::many("minf", 1, |call| extreme(call, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) })),
    Function::new("ceil", 1, |call| Ok(float_of(call.value(0)).ceil().into())),
    Function::new("floor", 1, |call| Ok(float_of(call.value(0)).floor().into())),
    Function::between("round", 2, 3, rounded),
    Function::new("duration", 1, seconds),
    Function::new("duration_seconds", 1, seconds),
    Function::new("bytes", 1, |call| {
        let text = call.text(0)?;
        let bytes = units::bytes(text).ok_or_else(|| format!("{:?} is no size", text.to_string()))?;
        Ok(bytes.trunc().into())
    }),
];

/// An integer as it is written in Go, where `0x`, `0o`, `0b` and `0` before others are bases.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.get(..1).unwrap_or_default(), digits),
        None => ("", text),
    };
    let lower = digits.to_ascii_lowercase();
    let bases = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed = bases.into_iter().find_map(|(prefix, base)| Some((lower.strip_prefix(prefix)?, base)));
    let (digits, base) = prefixed.unwrap_or((&lower, if lower.len() > 1 && lower.starts_with('0') { 8 } else { 10 }));
    let is_wrong = digits.starts_with(['+', '-']) || digits.ends_with('_') || digits.contains("__");
    let begins_wrong = prefixed.is_none() && digits.starts_with('_');
    if is_wrong || begins_wrong {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), base).ok()
}

/// The integer that a value means; zero where it means none.
fn int_of(value: &Value<'_>) -> i64 {
    match value {
        Value::Int(value) => *value,
        // Beyond the largest integer lies the largest.
        Value::Float(value) => *value as i64,
        Value::Bool(value) => i64::from(*value),
        Value::Text(text) => {
            let whole = text.trim_end_matches('0').strip_suffix('.').filter(|whole| whole.len() + 1 < text.len());
            integer(whole.unwrap_or(text)).unwrap_or_default()
        }
        _ => 0,
    }
}

/// The number that a value means; zero where it means none.
fn float_of(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Text(text) => text.parse().unwrap_or_default(),
        _ => 0.0,
    }
}

fn folded<'a>(call: &Arguments<'_, 'a>, first: i64, next: fn(i64, i64) -> i64) -> Made<Value<'a>> {
    Ok(call.values.iter().map(int_of).fold(first, next).into())
}

fn divisor(call: &Arguments<'_, '_>) -> Made<i64> {
    match int_of(call.value(1)) {
        0 => Err("integer divide by zero".to_owned()),
        other => Ok(other),
    }
}

fn extreme<'a>(call: &Arguments<'_, 'a>, choose: fn(f64, f64) -> f64) -> Made<Value<'a>> {
    Ok(call.values.iter().map(float_of).fold(float_of(call.value(0)), choose).into())
}

/// Rounded to so many places, up from one half or from what is given.
fn rounded<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    let up_from = if call.values.len() > 2 { float_of(call.value(2)) } else { 0.5 };
    let places = i32::try_from(call.int(1)?).unwrap_or(i32::MAX);
    let factor = 10f64.powi(places);
    let scaled = factor * float_of(call.value(0));
    let whole = if scaled.fract() >= up_from { scaled.ceil() } else { scaled.floor() };
    Ok((whole / factor).into())
}

fn seconds<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    let text = call.text(0)?;
    let seconds = units::seconds(text).ok_or_else(|| format!("{:?} is no duration", text.to_string()))?;
    Ok(((seconds * 1e9).round() / 1e9).into())
}

/// A number of decimal digits: `digits` times ten to the `exponent`.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    /// The shortest that is read as the number.
    fn new(value: f64) -> Option<Self> {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e')?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let places = i32::try_from(fraction.len()).ok()?;
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { digits, exponent: exponent.parse::<i32>().ok()?.checked_sub(places)? })
    }

    fn value(self) -> Option<f64> {
        format!("{}e{}", self.digits, self.exponent).parse().ok()
    }

    /// The digits where the exponent is so much smaller.
    fn digits_at(self, exponent: i32) -> Option<i128> {
        let power = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        self.digits.checked_mul(10i128.checked_pow(power)?)
    }

    fn combined(self, other: Self, of: fn(i128, i128) -> Option<i128>) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        Some(Self { digits: of(self.digits_at(exponent)?, other.digits_at(exponent)?)?, exponent })
    }

    fn plus(self, other: Self) -> Option<Self> {
        self.combined(other, i128::checked_add)
    }

    fn minus(self, other: Self) -> Option<Self> {
        self.combined(other, i128::checked_sub)
    }

    fn times(self, other: Self) -> Option<Self> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Self { digits, exponent: self.exponent.checked_add(other.exponent)? })
    }

    /// The quotient, to sixteen places.
    fn over(self, other: Self) -> Option<Self> {
        const EXPONENT: i32 = -16;
        let (mut above, mut below) = (self.digits, other.digits);
        let power = self.exponent.checked_sub(other.exponent)?.checked_sub(EXPONENT)?;
        let factor = 10i128.checked_pow(power.unsigned_abs())?;
        let scaled = if power >= 0 { &mut above } else { &mut below };
        *scaled = scaled.checked_mul(factor)?;
        let (quotient, rest) = (above.checked_div(below)?, above.checked_rem(below)?);
        let is_up = rest.unsigned_abs().checked_mul(2)? >= below.unsigned_abs();
        let away = if (above < 0) == (below < 0) { 1 } else { -1 };
        Some(Self { digits: quotient.checked_add(if is_up { away } else { 0 })?, exponent: EXPONENT })
    }
}

/// Numbers from the left, in decimals as far as their digits suffice.
fn sum<'a>(
    call: &Arguments<'_, 'a>,
    first: Option<Decimal>,
    exact: fn(Decimal, Decimal) -> Option<Decimal>,
    rough: fn(f64, f64) -> f64,
) -> Made<Value<'a>> {
    let mut numbers = call.values.iter().map(float_of);
    if numbers.clone().any(|number| !number.is_finite()) {
        return Err("a number is infinite or none".to_owned());
    }
    let mut value = if first.is_some() { 0.0 } else { numbers.next().unwrap_or_default() };
    let mut decimal = first.or_else(|| Decimal::new(value));
    for number in numbers {
        decimal = decimal.zip(Decimal::new(number)).and_then(|(left, right)| exact(left, right));
        value = decimal.and_then(Decimal::value).unwrap_or_else(|| rough(value, number));
    }
    Ok(value.into())
}
