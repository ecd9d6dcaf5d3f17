//! How are the spans of a window distributed? Each value is kept while they are few; then they are counted in buckets, which are the upper bits of the float:
//! their bounds are at most 0.39% apart, so that a quantile is at most 0.2% off.

use std::collections::BTreeMap;

/// Values of one window that are kept as they are.
const EXACT_MAX: usize = 1_024;
/// Bits of a float that its bucket leaves out: all of the fraction but the first eight.
const LEFT_OUT: u32 = 44;

/// Values and how many spans each stands for.
#[derive(Debug, Default)]
pub(crate) struct Distribution {
    exact: Vec<(f64, f64)>,
    /// By number, in the order of their values.
    buckets: BTreeMap<i64, f64>,
}

impl Distribution {
    /// Adds a value; how many bytes that took.
    pub fn add(&mut self, value: f64, weight: f64) -> usize {
        if self.buckets.is_empty() && self.exact.len() < EXACT_MAX {
            self.exact.push((value, weight));
            return size_of::<(f64, f64)>();
        }
        for (value, weight) in std::mem::take(&mut self.exact) {
            *self.buckets.entry(bucket(value)).or_insert(0.0) += weight;
        }
        let before = self.buckets.len();
        *self.buckets.entry(bucket(value)).or_insert(0.0) += weight;
        (self.buckets.len() - before) * 32
    }

    /// The least value that at least such a share of the spans does not exceed.
    pub fn quantile(&mut self, share: f64) -> Option<f64> {
        self.exact.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let exact = self.exact.iter().copied();
        let values = exact.chain(self.buckets.iter().map(|(number, weight)| (middle(*number), *weight)));
        let total: f64 = values.clone().map(|(_, weight)| weight).sum();
        // Sums of weights are off by their last digits.
        let wanted = share * total * (1.0 - 1e-12);
        let mut sum = 0.0;
        let mut last = None;
        for (value, weight) in values {
            sum += weight;
            last = Some(value);
            if sum >= wanted {
                break;
            }
        }
        last
    }
}

/// The bits of a float in an order that is that of floats, and back again.
fn ordered(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

fn bucket(value: f64) -> i64 {
    ordered(value.to_bits() as i64) >> LEFT_OUT
}

fn middle(number: i64) -> f64 {
    // Zeros of both signs, and what is next to them.
    if number == 0 || number == -1 {
        return 0.0;
    }
    let bits = (number << LEFT_OUT) | (1 << (LEFT_OUT - 1));
    f64::from_bits(ordered(bits) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_exact() {
        let mut few = Distribution::default();
        for value in [3.0, -1.0, 2.0, 10.0] {
            few.add(value, 1.0);
        }
        for (share, value) in
            [(0.0, -1.0), (0.25, -1.0), (0.26, 2.0), (0.5, 2.0), (0.75, 3.0), (0.99, 10.0), (1.0, 10.0)]
        {
            assert_eq!(few.quantile(share), Some(value), "{share}");
        }
        assert_eq!(Distribution::default().quantile(0.5), None);
    }

    #[test]
    fn many_values_are_near() {
        let mut many = Distribution::default();
        for value in 1..=100_000 {
            many.add(f64::from(value) / 1e3, 1.0);
        }
        for share in [0.001, 0.1, 0.5, 0.9, 0.99, 1.0] {
            let (found, exact) = (many.quantile(share).unwrap(), share * 100.0);
            assert!((found / exact - 1.0).abs() < 0.002, "{share}: {found}, not {exact}");
        }
    }

    #[test]
    fn buckets_are_in_the_order_of_their_values() {
        let values = [-1e300, -5.5, -1.0, -1e-9, 0.0, 1e-9, 0.3, 1.0, 1.1, 1e9, 1e300];
        assert!(values.is_sorted_by_key(|value| bucket(*value)));
        for value in values {
            assert!((middle(bucket(value)) - value).abs() <= 0.002 * value.abs(), "{value}");
        }
    }

    #[test]
    fn a_span_that_stands_for_others_counts_so_often() {
        let mut weighted = Distribution::default();
        weighted.add(1.0, 9.0);
        weighted.add(5.0, 1.0);
        assert_eq!(weighted.quantile(0.9), Some(1.0));
        assert_eq!(weighted.quantile(0.91), Some(5.0));
    }
}
