//! What is the p-th percentile of values that don't fit into memory? A log-linear histogram: each power of two is cut into 128
//! buckets of equal width, so that a value is known to 0.4% (Masson et al., "DDSketch", VLDB 2019, with the bits of the float in
//! place of a logarithm). Few values are kept as they are, and their percentiles are exact.

use causeway_model::{Error, Result};

/// Values kept as they are. 512: 4 KiB, about what a histogram takes.
pub(crate) const EXACT_MAX: usize = 512;
/// Bits of a bucket within its power of two. 7: half a bucket is at most 1/256 of the value.
const BUCKET_BITS: u32 = 7;
/// What of a float's bits is not in its bucket's number.
const SHIFT: u32 = f64::MANTISSA_DIGITS - 1 - BUCKET_BITS;
/// Buckets of a power of two: counts grow by so many.
const OCTAVE: i32 = 1 << BUCKET_BITS;
/// Buckets of one sign. 4,096 (32 KiB): 32 powers of two, as from a microsecond to an hour in nanoseconds. Values nearer to zero than
/// these count into the bucket that is nearest to it.
const BUCKETS_MAX: i32 = 32 * OCTAVE;

/// Counts of neighbouring buckets.
#[derive(Debug, Clone, Default, PartialEq)]
struct Buckets {
    first: i32,
    counts: Vec<u64>,
}

/// The bucket of a positive finite number.
fn bucket_of(magnitude: f64) -> i32 {
    (magnitude.to_bits() >> SHIFT) as i32
}

/// The middle of a bucket.
fn middle(bucket: i32) -> f64 {
    let start = |bucket: i32| f64::from_bits((bucket as u64) << SHIFT);
    start(bucket) / 2.0 + start(bucket + 1).min(f64::MAX) / 2.0
}

impl Buckets {
    #[inline]
    fn slot(&mut self, bucket: i32) -> Option<&mut u64> {
        self.counts.get_mut(usize::try_from(bucket - self.first).ok()?)
    }

    fn add(&mut self, bucket: i32, count: u64) {
        if self.slot(bucket).is_none() {
            self.reach(bucket);
        }
        let nearest = bucket.max(self.first);
        if let Some(slot) = self.slot(nearest) {
            *slot += count;
        }
    }

    /// Makes room for a bucket, in whole powers of two; when there would be too many, the lowest are counted as one.
    fn reach(&mut self, bucket: i32) {
        let octave = bucket - bucket.rem_euclid(OCTAVE);
        if self.counts.is_empty() {
            self.first = octave;
        }
        let end = (self.first + self.counts.len() as i32).max(octave + OCTAVE);
        let first = self.first.min(octave).max(end - BUCKETS_MAX);
        let mut counts = vec![0; (end - first) as usize];
        for (bucket, count) in (self.first..).zip(&self.counts) {
            counts[(bucket.max(first) - first) as usize] += count;
        }
        *self = Self { first, counts };
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + ExactSizeIterator {
        self.counts.iter().enumerate().map(|(at, count)| (self.first + at as i32, *count))
    }
}

/// Counts of many values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram {
    min: f64,
    max: f64,
    zeros: u64,
    /// Of minus and plus infinity.
    infinite: [u64; 2],
    negative: Buckets,
    positive: Buckets,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            zeros: 0,
            infinite: [0; 2],
            negative: Buckets::default(),
            positive: Buckets::default(),
        }
    }
}

impl Histogram {
    fn add(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if value.is_infinite() {
            self.infinite[usize::from(value > 0.0)] += 1;
        } else if value > 0.0 {
            self.positive.add(bucket_of(value), 1);
        } else if value < 0.0 {
            self.negative.add(bucket_of(-value), 1);
        } else {
            self.zeros += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.zeros += other.zeros;
        for (own, count) in self.infinite.iter_mut().zip(other.infinite) {
            *own += count;
        }
        for (own, others) in [(&mut self.negative, &other.negative), (&mut self.positive, &other.positive)] {
            others.iter().rev().filter(|(_, count)| *count > 0).for_each(|(bucket, count)| own.add(bucket, count));
        }
    }

    /// Values and how many there are, in rising order.
    fn rising(&self) -> impl Iterator<Item = (f64, u64)> {
        let negative = self.negative.iter().rev().map(|(bucket, count)| (-middle(bucket), count));
        let positive = self.positive.iter().map(|(bucket, count)| (middle(bucket), count));
        std::iter::once((f64::NEG_INFINITY, self.infinite[0]))
            .chain(negative)
            .chain(std::iter::once((0.0, self.zeros)))
            .chain(positive)
            .chain(std::iter::once((f64::INFINITY, self.infinite[1])))
    }

    fn count(&self) -> u64 {
        self.rising().map(|(_, count)| count).sum()
    }

    /// The value of this rank, counted from 0.
    fn value_at(&self, rank: u64) -> f64 {
        let mut seen = 0;
        let found = self.rising().find(|(_, count)| {
            seen += count;
            seen > rank
        });
        let value = found.map_or(self.max, |(value, _)| value);
        if rank == 0 {
            self.min
        } else if rank + 1 >= seen && seen == self.count() {
            self.max
        } else {
            value.clamp(self.min, self.max)
        }
    }

    fn heap_bytes(&self) -> usize {
        size_of::<Self>() + (self.negative.counts.capacity() + self.positive.counts.capacity()) * size_of::<u64>()
    }
}

/// The values of one group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sketch {
    Few(Vec<f64>),
    Many(Box<Histogram>),
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Sketch {
    /// Adds a value that belongs to a bucket which is there already; false when it does not.
    #[inline]
    pub(crate) fn add_in_place(&mut self, value: f64) -> bool {
        let Self::Many(histogram) = self else { return false };
        let inside = value > 0.0 && value.is_finite();
        match inside.then(|| histogram.positive.slot(bucket_of(value))).flatten() {
            Some(count) => {
                *count += 1;
                histogram.min = histogram.min.min(value);
                histogram.max = histogram.max.max(value);
                true
            }
            None => false,
        }
    }

    /// Adds a value; NaN is left out.
    pub(crate) fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        match self {
            Self::Few(values) if values.len() < EXACT_MAX => values.push(value),
            _ => self.many().add(value),
        }
    }

    fn many(&mut self) -> &mut Histogram {
        if let Self::Few(values) = self {
            let mut histogram = Box::<Histogram>::default();
            values.iter().for_each(|value| histogram.add(*value));
            *self = Self::Many(histogram);
        }
        match self {
            Self::Many(histogram) => histogram,
            Self::Few(_) => unreachable!("it was just made"),
        }
    }

    /// Adds the values of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        match other {
            Self::Few(values) => values.iter().for_each(|value| self.add(*value)),
            Self::Many(histogram) => self.many().merge(histogram),
        }
    }

    /// The value below which this fraction of the values lies, between neighbours by distance; `None` without values.
    pub(crate) fn percentile(&self, fraction: f64) -> Option<f64> {
        let sorted = match self {
            Self::Few(values) => {
                let mut sorted = values.clone();
                sorted.sort_by(f64::total_cmp);
                sorted
            }
            Self::Many(_) => Vec::new(),
        };
        let count = match self {
            Self::Few(values) => values.len() as u64,
            Self::Many(histogram) => histogram.count(),
        };
        let place = fraction.clamp(0.0, 1.0) * count.checked_sub(1)? as f64;
        let value_at = |rank: u64| match self {
            Self::Few(_) => usize::try_from(rank).ok().and_then(|rank| sorted.get(rank).copied()),
            Self::Many(histogram) => Some(histogram.value_at(rank)),
        };
        let (below, above) = (value_at(place.floor() as u64)?, value_at(place.ceil() as u64)?);
        // Infinities have no distance.
        Some(if below == above { below } else { below + (above - below) * place.fract() })
    }

    /// Memory beside the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Few(values) => values.capacity() * size_of::<f64>(),
            Self::Many(histogram) => histogram.heap_bytes(),
        }
    }

    /// As bytes, for another operator of the same question: how many values follow and those, or `u64::MAX` and a histogram; all in
    /// words of eight bytes, little-endian.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut put = |bits: u64| out.extend_from_slice(&bits.to_le_bytes());
        match self {
            Self::Few(values) => {
                put(values.len() as u64);
                values.iter().for_each(|value| put(value.to_bits()));
            }
            Self::Many(histogram) => {
                put(u64::MAX);
                let Histogram { min, max, zeros, infinite, negative, positive } = &**histogram;
                [min.to_bits(), max.to_bits(), *zeros, infinite[0], infinite[1]].into_iter().for_each(&mut put);
                for buckets in [negative, positive] {
                    put(buckets.first as u64);
                    put(buckets.counts.len() as u64);
                    buckets.counts.iter().for_each(|count| put(*count));
                }
            }
        }
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// `Internal` when it is something else.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut words = bytes.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
        Self::of_words(&mut words).ok_or_else(|| Error::internal("the state of a percentile is not understood"))
    }

    fn of_words(words: &mut impl Iterator<Item = u64>) -> Option<Self> {
        let count = words.next()?;
        if count != u64::MAX {
            let count = usize::try_from(count).ok().filter(|count| *count <= EXACT_MAX)?;
            let values: Vec<f64> = words.take(count).map(f64::from_bits).collect();
            return (values.len() == count).then_some(Self::Few(values));
        }
        let (min, max) = (f64::from_bits(words.next()?), f64::from_bits(words.next()?));
        let (zeros, infinite) = (words.next()?, [words.next()?, words.next()?]);
        let mut buckets = || {
            let first = i32::try_from(words.next()? as i64).ok()?;
            let length = usize::try_from(words.next()?).ok().filter(|length| *length <= BUCKETS_MAX as usize)?;
            let counts: Vec<u64> = words.by_ref().take(length).collect();
            (counts.len() == length).then_some(Buckets { first, counts })
        };
        let (negative, positive) = (buckets()?, buckets()?);
        Some(Self::Many(Box::new(Histogram { min, max, zeros, infinite, negative, positive })))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| {
            if !sketch.add_in_place(*value) {
                sketch.add(*value);
            }
        });
        sketch
    }

    fn exact(values: &[f64], fraction: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let place = fraction * (sorted.len() - 1) as f64;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    }

    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        let number = prop_oneof![
            4 => (0.0f64..9.0).prop_map(|power| 10f64.powf(power)),
            1 => (0.0f64..9.0).prop_map(|power| -(10f64.powf(power))),
            1 => Just(0.0),
        ];
        prop_oneof![
            proptest::collection::vec(number.clone(), 1..40),
            proptest::collection::vec(number, EXACT_MAX - 2..EXACT_MAX * 3)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn percentiles_are_near_the_exact_ones_and_exact_for_few(
            values in numbers(), cut in 0.0f64..1.0, fraction in 0.0f64..=1.0,
        ) {
            let (left, right) = values.split_at((values.len() as f64 * cut) as usize);
            let mut merged = Sketch::read(&bytes(&sketch(left))).unwrap();
            merged.merge(&Sketch::read(&bytes(&sketch(right))).unwrap());
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let place = fraction * (values.len() - 1) as f64;
            // Between neighbours of opposite sign the result may be near zero: the error is that of the neighbours.
            let largest = sorted[place.floor() as usize].abs().max(sorted[place.ceil() as usize].abs());
            let tolerance = if values.len() <= EXACT_MAX { 1e-9 } else { 1.0 / 255.0 };
            for sketch in [sketch(&values), merged] {
                let found = sketch.percentile(fraction).unwrap();
                let error = (found - exact(&values, fraction)).abs();
                prop_assert!(error <= largest * tolerance, "{found} {} {largest}", exact(&values, fraction));
                prop_assert_eq!(sketch.percentile(0.0).unwrap(), sorted[0]);
                prop_assert_eq!(sketch.percentile(1.0).unwrap(), sorted[sorted.len() - 1]);
            }
        }

        #[test]
        fn other_bytes_are_refused_or_read_but_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(mut read) = Sketch::read(&bytes) {
                let _ = read.percentile(0.5);
                read.add(1.0);
            }
        }
    }

    fn bytes(sketch: &Sketch) -> Vec<u8> {
        let mut bytes = Vec::new();
        sketch.write(&mut bytes);
        bytes
    }

    #[test]
    fn memory_stays_bounded_and_the_largest_values_stay_exact_enough() {
        let values: Vec<f64> = (-1000..1000).map(|power| 2f64.powi(power)).collect();
        for values in [values.clone(), values.iter().rev().copied().collect()] {
            let sketch = sketch(&values);
            assert!(sketch.heap_bytes() <= 40 << 10, "{}", sketch.heap_bytes());
            let found = sketch.percentile(0.999).unwrap();
            assert!((found / exact(&values, 0.999) - 1.0).abs() < 0.01);
        }
    }

    #[test]
    fn nan_is_left_out_and_infinities_are_ends() {
        let mut values = vec![f64::NAN, f64::NEG_INFINITY];
        values.extend(std::iter::repeat_n(3.0, EXACT_MAX));
        values.push(f64::INFINITY);
        let many = sketch(&values);
        assert_eq!(many.percentile(0.0), Some(f64::NEG_INFINITY));
        assert!((many.percentile(0.5).unwrap() - 3.0).abs() < 0.02);
        assert_eq!(many.percentile(1.0), Some(f64::INFINITY));
        assert_eq!(sketch(&[f64::NAN]).percentile(0.5), None);
    }
}
