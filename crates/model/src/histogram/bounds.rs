//! Where does a bucket end? Powers of two and their roots, or what the histogram itself says.

use std::sync::LazyLock;

use super::Histogram;

/// The bounds between 1 and 2 of the finest schema; a coarser one has every second, fourth, ... of them.
static ROOTS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let roots = 1u32 << Histogram::SCHEMA_MAX;
    (0..roots).map(|root| (f64::from(root) / f64::from(roots)).exp2()).collect()
});

/// `value` times two to the power of `exponent`, for values between 1 and 2.
fn scale(value: f64, exponent: i64) -> f64 {
    // Each half is a normal number; the product is infinite or zero where it should be.
    let exponent = exponent.clamp(-2000, 2000);
    let half = |exponent: i64| f64::from_bits(((1023 + exponent) as u64) << 52);
    value * half(exponent / 2) * half(exponent - exponent / 2)
}

/// The upper bound of a positive bucket: 2^(index * 2^-schema). The last bucket of finite numbers ends at the largest of them, and
/// the one above it is for infinity.
pub fn exponential_bound(index: i32, schema: i32) -> f64 {
    let schema = schema.clamp(Histogram::SCHEMA_MIN, Histogram::SCHEMA_MAX);
    let index = i64::from(index);
    let (exponent, root) = if schema < 0 {
        (index << -schema, 0)
    } else {
        let within = index & ((1 << schema) - 1);
        (index >> schema, within << (Histogram::SCHEMA_MAX - schema))
    };
    if exponent == 1024 && root == 0 {
        return f64::MAX;
    }
    scale(ROOTS.get(root as usize).copied().unwrap_or(1.0), exponent)
}

/// The upper bound of a bucket among custom bounds.
fn custom_bound(index: i32, custom_values: &[f64]) -> f64 {
    match usize::try_from(index) {
        Ok(index) => custom_values.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

impl Histogram {
    /// The upper bound of a positive bucket, which is the lower one of the bucket after it.
    pub fn bound(&self, index: i32) -> f64 {
        if self.is_custom() { custom_bound(index, &self.custom_values) } else { exponential_bound(index, self.schema) }
    }
}
