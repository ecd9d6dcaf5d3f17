//! How few bytes hold the integers of one series? Differences of the order that is smallest, divided by what all of them share, packed
//! in blocks with the bits that most of a block need; the few others stand apart (patched frame of reference, PFOR).
//!
//! The bytes: docs/formats/samples.md.

use causeway_model::{Error, Result};

/// Values that share one width. 128: a byte can number them, and one outlier costs few others bits.
const BLOCK_VALUES: usize = 128;
/// The order of differences has two bits of the first byte, the next says whether there is a divisor.
const ORDER_MAX: usize = 2;
const HAS_DIVISOR: u8 = 4;

/// Appends the values. Their number is the reader's to know.
pub(crate) fn encode(values: &[i64], out: &mut Vec<u8>) {
    let Some((&first, rest)) = values.split_first() else { return };
    let divisor = common_divisor(first, rest);
    let mut residuals: Vec<i64> = values.iter().map(|value| divided(value.wrapping_sub(first), divisor)).collect();
    let order = differentiate(&mut residuals);
    out.push(order as u8 | if divisor > 1 { HAS_DIVISOR } else { 0 });
    push_varint(zigzag(first), out);
    if divisor > 1 {
        push_varint(divisor, out);
    }
    // The first value is the zero of all others.
    for block in residuals.get(1..).unwrap_or_default().chunks(BLOCK_VALUES) {
        encode_block(block, out);
    }
}

/// Takes so many values from the front of `bytes` and appends them.
///
/// # Errors
/// `Corrupt` when they don't stand there.
pub(crate) fn decode(bytes: &mut &[u8], count: usize, out: &mut Vec<i64>) -> Result<()> {
    decode_as(bytes, count, out, |value| value)
}

/// The same of values that are wanted in another form.
pub(crate) fn decode_as<T>(bytes: &mut &[u8], count: usize, out: &mut Vec<T>, form: impl Fn(i64) -> T) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let head = take(bytes, 1)?[0];
    let order = usize::from(head & 3);
    if order > ORDER_MAX || head > (HAS_DIVISOR | 3) {
        return Err(damaged());
    }
    let first = unzigzag(take_varint(bytes)?);
    let divisor = if head & HAS_DIVISOR != 0 { take_varint(bytes)? as i64 } else { 1 };
    out.push(form(first));
    let mut residuals = [0i64; BLOCK_VALUES];
    let (mut sum, mut rise) = (0i64, 0i64);
    let mut left = count - 1;
    while left > 0 {
        let size = left.min(BLOCK_VALUES);
        let residuals = residuals.get_mut(..size).unwrap_or_default();
        decode_block(bytes, residuals)?;
        let undivided = |value: i64| first.wrapping_add(value.wrapping_mul(divisor));
        match order {
            0 => out.extend(residuals.iter().map(|value| form(undivided(*value)))),
            1 => out.extend(residuals.iter().map(|value| {
                sum = sum.wrapping_add(*value);
                form(undivided(sum))
            })),
            _ => out.extend(residuals.iter().map(|value| {
                rise = rise.wrapping_add(*value);
                sum = sum.wrapping_add(rise);
                form(undivided(sum))
            })),
        }
        left -= size;
    }
    Ok(())
}

/// What divides the distance of each value from the first; 1 where that is not worth a division, or a distance does not fit.
fn common_divisor(first: i64, rest: &[i64]) -> u64 {
    let mut divisor = 0u64;
    for value in rest {
        let Some(distance) = value.checked_sub(first).filter(|distance| *distance != i64::MIN) else { return 1 };
        let (mut a, mut b) = (divisor, distance.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            return 1;
        }
    }
    // Divisors of this many bits would make the product overflow on its way back.
    divisor.clamp(1, i64::MAX as u64)
}

fn divided(value: i64, divisor: u64) -> i64 {
    if divisor <= 1 { value } else { value / divisor as i64 }
}

/// Replaces the values by their differences as often as that makes them lie closer together; answers how often.
fn differentiate(values: &mut [i64]) -> usize {
    let bits = |values: &[i64]| -> u64 {
        // Blocks have a base of their own, so what counts is the distance from a usual value.
        let at = |place: usize| values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or(0);
        let mut usual = [at(2), at(values.len() / 2), at(values.len() - 1)];
        usual.sort_unstable();
        let base = usual[1];
        values.iter().map(|value| u64::from(bit_length(zigzag(value.wrapping_sub(base))))).sum()
    };
    let mut least = bits(values);
    for order in 0..ORDER_MAX {
        let mut before = 0i64;
        for value in values.iter_mut() {
            before = std::mem::replace(value, value.wrapping_sub(before));
        }
        let now = bits(values);
        if now >= least {
            let mut sum = 0i64;
            for value in values.iter_mut() {
                sum = sum.wrapping_add(*value);
                *value = sum;
            }
            return order;
        }
        least = now;
    }
    ORDER_MAX
}

/// The base and width of a block, and what it then takes in bits.
#[derive(Clone, Copy)]
struct Shape {
    base: i64,
    width: u32,
    exceptions: usize,
    bits: usize,
}

fn shape(block: &[i64], base: i64) -> Shape {
    let mut of_length = [0usize; 65];
    for value in block {
        of_length[bit_length(value.wrapping_sub(base) as u64) as usize] += 1;
    }
    let mut best = Shape { base, width: 64, exceptions: 0, bits: block.len() * 64 };
    let (mut exceptions, mut exception_bits) = (0, 0);
    for width in (0..64u32).rev() {
        let longer = of_length[width as usize + 1];
        exceptions += longer;
        // Each exception loses a bit of its packed part, so that its rest grows by one; a varint takes 8 bits for 7.
        exception_bits += longer * 16 + exceptions * 8 / 7;
        let bits = block.len() * width as usize + exception_bits;
        if bits <= best.bits {
            best = Shape { base, width, exceptions, bits };
        }
    }
    best
}

fn encode_block(block: &[i64], out: &mut Vec<u8>) {
    let least = block.iter().copied().min().unwrap_or(0);
    let mut best = shape(block, least);
    // A reset of a counter is far below all others: it should be the exception, not the base.
    if best.width > 0 && block.len() > 8 {
        let mut sorted = [0i64; BLOCK_VALUES];
        let sorted = &mut sorted[..block.len()];
        sorted.copy_from_slice(block);
        let (_, low, _) = sorted.select_nth_unstable(block.len() / 32 + 1);
        let other = shape(block, *low);
        if other.bits < best.bits {
            best = other;
        }
    }
    push_varint(zigzag(best.base), out);
    out.push(best.width as u8);
    out.push(best.exceptions as u8);
    let mask = if best.width == 64 { u64::MAX } else { (1u64 << best.width) - 1 };
    let (mut pending, mut filled) = (0u128, 0u32);
    for value in block {
        let residual = value.wrapping_sub(best.base) as u64;
        pending |= u128::from(residual & mask) << filled;
        filled += best.width;
        while filled >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(pending as u8);
    }
    if best.exceptions == 0 {
        return;
    }
    let rest = |value: &i64| (value.wrapping_sub(best.base) as u64).checked_shr(best.width).unwrap_or(0);
    for (at, _) in block.iter().enumerate().filter(|(_, value)| rest(value) != 0) {
        out.push(at as u8);
    }
    for rest in block.iter().map(rest).filter(|rest| *rest != 0) {
        push_varint(rest, out);
    }
}

fn decode_block(bytes: &mut &[u8], out: &mut [i64]) -> Result<()> {
    let base = unzigzag(take_varint(bytes)?);
    let head = take(bytes, 2)?;
    let (width, exceptions) = (u32::from(head[0]), usize::from(head[1]));
    if width > 64 || exceptions > out.len() {
        return Err(damaged());
    }
    let packed = take(bytes, (out.len() * width as usize).div_ceil(8))?;
    unpack(packed, width, base, out);
    if exceptions > 0 {
        let positions = take(bytes, exceptions)?;
        for position in positions {
            let rest = take_varint(bytes)?;
            let value = out.get_mut(usize::from(*position)).ok_or_else(damaged)?;
            let added = rest.checked_shl(width).unwrap_or(0);
            *value = value.wrapping_add(added as i64);
        }
    }
    Ok(())
}

/// Eight values take as many bytes as each has bits: with the width known when this is compiled, every place and shift is too.
fn unpack_eights<const WIDTH: usize>(packed: &[u8], base: i64, out: &mut [i64]) -> usize {
    let mask = (1u64 << WIDTH) - 1;
    let mut done = 0;
    for (eight, bytes) in out.chunks_exact_mut(8).zip(packed.windows(WIDTH + 8).step_by(WIDTH)) {
        for (number, place) in eight.iter_mut().enumerate() {
            let at = number * WIDTH / 8;
            let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes);
            *place = base.wrapping_add(((word >> (number * WIDTH % 8)) & mask) as i64);
        }
        done += 8;
    }
    done
}

/// Unpacks what [`unpack_eights`] can: widths that occur often, and not the end, behind which there is nothing to load.
fn unpack_most(packed: &[u8], width: u32, base: i64, out: &mut [i64]) -> usize {
    macro_rules! by_width {
        ($($number:literal)*) => {
            match width {
                $($number => unpack_eights::<$number>(packed, base, out),)*
                _ => 0,
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40
        41 42 43 44 45 46 47 48)
}

/// Fills `out` with values of `width` bits.
fn unpack(packed: &[u8], width: u32, base: i64, out: &mut [i64]) {
    if width == 0 {
        out.fill(base);
        return;
    }
    let mask = if width == 64 { u64::MAX } else { (1u64 << width) - 1 };
    let done = unpack_most(packed, width, base, out);
    let mut bit = done * width as usize;
    for place in out.iter_mut().skip(done) {
        let mut sixteen = [0u8; 16];
        let rest = packed.get(bit / 8..).unwrap_or_default();
        let rest = &rest[..rest.len().min(16)];
        sixteen[..rest.len()].copy_from_slice(rest);
        *place = base.wrapping_add(((u128::from_le_bytes(sixteen) >> (bit % 8)) as u64 & mask) as i64);
        bit += width as usize;
    }
}

fn bit_length(value: u64) -> u32 {
    64 - value.leading_zeros()
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow (LEB128).
pub(crate) fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged())
}

pub(crate) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(taken)
}

pub(crate) fn damaged() -> Error {
    Error::corrupt("samples: the bytes are not what was written")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use causeway_model::Rng;
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(values: &[i64]) -> usize {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        let mut rest = bytes.as_slice();
        let mut back = Vec::new();
        decode(&mut rest, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
        assert!(rest.is_empty());
        bytes.len()
    }

    #[test]
    fn regular_values_cost_next_to_nothing() {
        assert!(there_and_back(&[]) == 0);
        assert!(there_and_back(&[i64::MIN]) <= 11);
        let times: Vec<i64> = (0..1_000).map(|number| 1_760_000_000_000_000_000 + number * 15_000_000_000).collect();
        assert!(there_and_back(&times) < 64);
        let jitter: Vec<i64> =
            times.iter().enumerate().map(|(number, time)| time + (number as i64 % 3) * 1_000_000).collect();
        assert!(there_and_back(&jitter) < 2 * 130 + 100, "{}", there_and_back(&jitter));
    }

    #[test]
    fn a_reset_costs_no_other_value_bits() {
        let mut rng = Rng::from_seed(3);
        let mut level = 1i64 << 40;
        let mut values = Vec::new();
        for number in 0..512 {
            level = if number == 300 { 0 } else { level + rng.below(16) as i64 };
            values.push(level);
        }
        assert!(there_and_back(&values) < 512 * 5 / 8 + 60, "{}", there_and_back(&values));
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in prop::collection::vec(prop_oneof![any::<i64>(), -100i64..100, Just(i64::MIN), Just(i64::MAX)], 0..400)) {
            there_and_back(&values);
        }

        #[test]
        fn multiples_come_back(values in prop::collection::vec(-1000i64..1000, 0..300), factor in 1i64..1_000_000_000_000) {
            let values: Vec<i64> = values.iter().map(|value| value * factor).collect();
            there_and_back(&values);
        }

        #[test]
        fn damage_is_an_error_or_other_values(values in prop::collection::vec(any::<i64>(), 1..300), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let mut back = Vec::new();
            let _ = decode(&mut bytes.as_slice(), values.len(), &mut back);
            let _ = decode(&mut &bytes[..at], values.len(), &mut back);
            prop_assert!(back.len() <= 2 * values.len());
        }
    }
}
