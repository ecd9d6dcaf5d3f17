//! How are the spans of a window distributed? Each value is kept while they are few; then they are counted in buckets, which are the upper bits of the float:
//! their bounds are at most 0.39% apart, so that a quantile is at most 0.2% off.

/// Values of one window that are kept as they are.
const EXACT_MAX: usize = 1_024;
/// Bits of a float that its bucket leaves out: all of the fraction but the first eight.
const LEFT_OUT: u32 = 44;
/// Buckets that lie side by side: those of floats that differ in these eight bits alone.
const PAGE_BUCKETS: usize = 256;

/// Values and how many spans each stands for.
#[derive(Debug, Default)]
pub(crate) struct Distribution {
    exact: Vec<(f64, f64)>,
    buckets: Buckets,
}

impl Distribution {
    /// Adds a value; how many bytes that took.
    pub fn add(&mut self, value: f64, weight: f64) -> usize {
        if self.buckets.is_empty() {
            if self.exact.len() < EXACT_MAX {
                let before = self.exact.capacity();
                self.exact.push((value, weight));
                return (self.exact.capacity() - before) * size_of::<(f64, f64)>();
            }
            return self.count() + self.buckets.add(bucket(value), weight);
        }
        self.buckets.add(bucket(value), weight)
    }

    /// Counts what was kept as it is in buckets.
    fn count(&mut self) -> usize {
        let exact = std::mem::take(&mut self.exact).into_iter();
        exact.fold(0, |added, (value, weight)| added + self.buckets.add(bucket(value), weight))
    }

    /// Adds what another holds; how many bytes that took.
    pub fn merge(&mut self, other: Self) -> usize {
        let mut added = if other.buckets.is_empty() { 0 } else { self.count() };
        for (number, weight) in other.buckets.iter() {
            added += self.buckets.add(number, weight);
        }
        other.exact.into_iter().fold(added, |added, (value, weight)| added + self.add(value, weight))
    }

    /// The least value that at least such a share of the spans does not exceed.
    pub fn quantile(&mut self, share: f64) -> Option<f64> {
        self.exact.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let exact = self.exact.iter().copied();
        let buckets = self.buckets.iter().map(|(number, weight)| (middle(number), weight));
        let values: Vec<(f64, f64)> = exact.chain(buckets).collect();
        let total: f64 = values.iter().map(|(_, weight)| weight).sum();
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

/// How many spans lie in each bucket, by their numbers. Those of one page stand in a table, so that a value costs an addition: no hash, no search.
#[derive(Debug, Default)]
struct Buckets {
    /// The number of the first page.
    first: i64,
    /// At most 4,096, as a float has 12 bits before its fraction.
    pages: Vec<Option<Box<[f64; PAGE_BUCKETS]>>>,
}

impl Buckets {
    fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Adds to a bucket; how many bytes that took.
    fn add(&mut self, number: i64, weight: f64) -> usize {
        let (page, place) = (number.div_euclid(PAGE_BUCKETS as i64), number.rem_euclid(PAGE_BUCKETS as i64) as usize);
        let mut added = 0;
        if self.pages.is_empty() {
            self.first = page;
        }
        if page < self.first {
            let more = (self.first - page) as usize;
            self.pages.splice(0..0, std::iter::repeat_with(|| None).take(more));
            self.first = page;
            added += more * size_of::<usize>();
        }
        let at = (page - self.first) as usize;
        if at >= self.pages.len() {
            added += (at + 1 - self.pages.len()) * size_of::<usize>();
            self.pages.resize_with(at + 1, || None);
        }
        let Some(page) = self.pages.get_mut(at) else { return added };
        let page = page.get_or_insert_with(|| {
            added += size_of::<[f64; PAGE_BUCKETS]>();
            Box::new([0.0; PAGE_BUCKETS])
        });
        page.get_mut(place).into_iter().for_each(|count| *count += weight);
        added
    }

    /// Those that hold something, in the order of their values.
    fn iter(&self) -> impl Iterator<Item = (i64, f64)> {
        let pages = (self.first..).zip(&self.pages).filter_map(|(number, page)| Some((number, &**page.as_ref()?)));
        let of_page = |(number, page): (i64, &[f64; PAGE_BUCKETS])| {
            let first = number * PAGE_BUCKETS as i64;
            (first..).zip(*page)
        };
        pages.flat_map(of_page).filter(|(_, weight)| *weight > 0.0)
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
    fn what_two_hold_is_what_one_would() {
        for (first, second) in [(10, 20), (1_000, 100), (2_000, 10), (10, 2_000), (3_000, 2_000), (0, 5), (5_000, 0)] {
            let (mut one, mut left, mut right) =
                (Distribution::default(), Distribution::default(), Distribution::default());
            for at in 0..first + second {
                let value = f64::from(at * 7_919 % 10_007);
                one.add(value, 1.0);
                if at < first {
                    left.add(value, 1.0)
                } else {
                    right.add(value, 1.0)
                };
            }
            left.merge(right);
            for share in [0.0, 0.1, 0.5, 0.99, 1.0] {
                assert_eq!(left.quantile(share), one.quantile(share), "{first} {second} {share}");
            }
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
