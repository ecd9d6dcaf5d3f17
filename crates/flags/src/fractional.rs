//! Which share does a subject fall into? flagd's `fractional`: MurmurHash3 (x86, 32 bits, seed 0) of the bucketing text, spread over the
//! sum of the weights: bucket = (hash * sum) >> 32. The same text falls into the same share in every flagd, everywhere.

use serde_json::Value;

/// The sum of weights, at most: flagd's limit, the largest signed 32-bit integer.
const WEIGHT_SUM_MAX: u64 = 2_147_483_647;

/// The value whose share `text` falls into; null where the shares make no sense, as flagd answers.
pub fn choose(text: &str, shares: &[Value]) -> Value {
    let Some(shares) = shares.iter().map(share).collect::<Option<Vec<_>>>() else { return Value::Null };
    let sum = shares.iter().map(|(_, weight)| *weight).try_fold(0u64, u64::checked_add);
    let Some(sum) = sum.filter(|sum| (1..=WEIGHT_SUM_MAX).contains(sum)) else { return Value::Null };
    let bucket = u64::from(murmur3(text.as_bytes())).saturating_mul(sum) >> 32;
    let mut end = 0;
    for (value, weight) in shares {
        end += weight;
        if bucket < end {
            return value.clone();
        }
    }
    Value::Null
}

/// `[value]` or `[value, weight]`. A weight below zero counts as none: flagd lets weights be computed.
fn share(json: &Value) -> Option<(&Value, u64)> {
    let (value, weight) = match json.as_array()?.as_slice() {
        [value] => (value, 1),
        [value, weight] => (value, whole(weight)?.max(0).unsigned_abs()),
        _ => return None,
    };
    (!value.is_array() && !value.is_object()).then_some((value, weight))
}

fn whole(weight: &Value) -> Option<i64> {
    let number = weight.as_f64()?;
    // What is larger than the limit is refused by it, however much larger.
    (number.fract() == 0.0).then_some(number.clamp(-1.0, WEIGHT_SUM_MAX as f64 + 1.0) as i64)
}

/// MurmurHash3_x86_32 with seed 0 (Appleby, public domain, github.com/aappleby/smhasher).
fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = 0u32;
    for block in blocks {
        hash ^= mix(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = tail.iter().rev().fold(0u32, |rest, byte| (rest << 8) | u32::from(*byte));
    hash ^= mix(rest);
    // The algorithm takes the length modulo 2^32.
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_murmur3() {
        // Vectors of SMHasher's family as published with its ports; the first four blocks and every tail length.
        let known: [(&str, u32); 7] = [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("ab", 0x9bbf_d75f),
            ("abc", 0xb3dd_93fa),
            ("abcd", 0x43ed_676a),
            ("test", 0xba6b_d213),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ];
        for (text, hash) in known {
            assert_eq!(murmur3(text.as_bytes()), hash, "{text}");
        }
    }
}
