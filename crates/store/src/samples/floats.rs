//! How few bytes hold the floating point values of one series? Most are decimals of few digits, which are integers once multiplied; the
//! bits of the others, taken as integers, still lie close to each other.

use causeway_model::Result;

use super::integers::{self, damaged, push_varint, take, take_varint};

/// Digits behind the point that are tried. 9: nanoseconds in seconds.
const DIGITS_MAX: usize = 9;
const POWERS: [f64; DIGITS_MAX + 1] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Integers beyond are not exact as floating point values.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// Stands for the digits where the bits are kept.
const BITS: u8 = 127;
/// Added to the digits where some values stand apart: staleness markers, NaN and infinities among decimals.
const APART: u8 = 128;
/// One of so many values may stand apart; it takes nine bytes.
const APART_SHARE: usize = 16;

/// Appends the values. Their number is the reader's to know.
pub(crate) fn encode(values: &[f64], out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    match Decimals::of(values) {
        Some(Decimals { digits, integers, apart }) => {
            out.push(digits as u8 | if apart.is_empty() { 0 } else { APART });
            if !apart.is_empty() {
                push_varint(apart.len() as u64, out);
                for at in &apart {
                    push_varint(*at as u64, out);
                    out.extend_from_slice(&values.get(*at).map_or(0, |value| value.to_bits()).to_le_bytes());
                }
            }
            integers::encode(&integers, out);
        }
        None => {
            out.push(BITS);
            let bits: Vec<i64> = values.iter().map(|value| ordered_bits(*value)).collect();
            integers::encode(&bits, out);
        }
    }
}

/// Takes so many values from the front of `bytes` and appends them.
///
/// # Errors
/// `Corrupt` when they don't stand there.
pub(crate) fn decode(bytes: &mut &[u8], count: usize, out: &mut Vec<f64>) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let head = take(bytes, 1)?[0];
    let start = out.len();
    let apart = if head & APART == 0 { 0 } else { take_varint(bytes)? };
    let stands_apart: &[u8] = match usize::try_from(apart) {
        Ok(0) => &[],
        Ok(apart) if apart <= count => apart_bytes(bytes, apart)?,
        _ => return Err(damaged()),
    };
    match head & !APART {
        BITS => integers::decode_as(bytes, count, out, from_ordered_bits)?,
        0 => integers::decode_as(bytes, count, out, |integer| integer as f64)?,
        digits => {
            let power = *POWERS.get(usize::from(digits)).ok_or_else(damaged)?;
            integers::decode_as(bytes, count, out, |integer| integer as f64 / power)?;
        }
    }
    let mut rest = stands_apart;
    for _ in 0..apart {
        let at = usize::try_from(take_varint(&mut rest)?).map_err(|_| damaged())?;
        let bits = take(&mut rest, 8)?.try_into().map_err(|_| damaged())?;
        *out.get_mut(start..).and_then(|out| out.get_mut(at)).ok_or_else(damaged)? =
            f64::from_bits(u64::from_le_bytes(bits));
    }
    Ok(())
}

/// The bytes of the values that stand apart; their own length follows from reading them.
fn apart_bytes<'a>(bytes: &mut &'a [u8], apart: usize) -> Result<&'a [u8]> {
    let all = *bytes;
    for _ in 0..apart {
        take_varint(bytes)?;
        take(bytes, 8)?;
    }
    all.get(..all.len() - bytes.len()).ok_or_else(damaged)
}

/// Values as integers of the last digit that any of them has.
struct Decimals {
    digits: usize,
    integers: Vec<i64>,
    apart: Vec<usize>,
}

impl Decimals {
    /// `None` where too many of the values are not such decimals, to the bit.
    fn of(values: &[f64]) -> Option<Self> {
        let apart_max = values.len() / APART_SHARE + 1;
        let (mut digits, mut apart) = (0, 0);
        for value in values {
            match (digits..=DIGITS_MAX)
                .find(|digits| POWERS.get(*digits).is_some_and(|power| is_decimal(*value, *power)))
            {
                Some(needed) => digits = needed,
                None => apart += 1,
            }
            if apart > apart_max {
                return None;
            }
        }
        let power = POWERS.get(digits)?;
        let mut decimals = Self { digits, integers: Vec::with_capacity(values.len()), apart: Vec::new() };
        let mut before = 0;
        for (at, value) in values.iter().enumerate() {
            // A value that has fewer digits need not survive the multiplication with more.
            if is_decimal(*value, *power) {
                before = (value * power).round() as i64;
            } else {
                decimals.apart.push(at);
            }
            decimals.integers.push(before);
        }
        (decimals.apart.len() <= apart_max).then_some(decimals)
    }
}

fn is_decimal(value: f64, power: f64) -> bool {
    let integer = (value * power).round();
    integer.abs() < EXACT_MAX
        && (integer / power).to_bits() == value.to_bits()
        && value.to_bits() != (-0.0f64).to_bits()
}

/// Integers that rise where the values do.
fn ordered_bits(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn from_ordered_bits(bits: i64) -> f64 {
    f64::from_bits((bits ^ (((bits >> 63) as u64) >> 1) as i64) as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(values: &[f64]) -> usize {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        let (mut rest, mut back) = (bytes.as_slice(), Vec::new());
        decode(&mut rest, values.len(), &mut back).unwrap();
        let bits = |values: &[f64]| -> Vec<u64> { values.iter().map(|value| value.to_bits()).collect() };
        assert_eq!(bits(&back), bits(values));
        assert!(rest.is_empty());
        bytes.len()
    }

    #[test]
    fn special_values_keep_their_bits() {
        let stale = f64::from_bits(0x7ff0_0000_0000_0002);
        there_and_back(&[
            0.0,
            -0.0,
            f64::NAN,
            stale,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
        ]);
        there_and_back(&[1.0, stale]);
        let mut ending = vec![3.5; 100];
        ending[60] = f64::NAN;
        ending.push(stale);
        assert!(there_and_back(&ending) < 40);
        there_and_back(&[9_007_199_254_740_992.0, 9_007_199_254_740_991.0]);
    }

    #[test]
    fn decimals_are_small() {
        let values: Vec<f64> = (0..240).map(|number| f64::from(number % 7) / 100.0).collect();
        assert!(there_and_back(&values) < 240 * 4 / 8 + 16);
        let counter: Vec<f64> = (0..240).map(|number| 1e9 + f64::from(number) * 40.0).collect();
        assert!(there_and_back(&counter) < 24);
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in prop::collection::vec(prop_oneof![any::<f64>(), (-10_000i32..10_000).prop_map(|value| f64::from(value) / 1e3), any::<u64>().prop_map(f64::from_bits)], 0..300)) {
            there_and_back(&values);
        }
    }
}
