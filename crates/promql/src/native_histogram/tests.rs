//! Do estimates of native histograms come out as Prometheus has them?

use causeway_model::BucketSpan;
use proptest::prelude::*;

use super::*;

/// Schema 0, positive buckets from the one that ends at 1 on, negative ones likewise.
fn exponential(zero: (f64, f64), positive: &[f64], negative: &[f64]) -> Histogram {
    let spans = |counts: &[f64]| match counts.len() {
        0 => Vec::new(),
        length => vec![BucketSpan { offset: 0, length: length as u32 }],
    };
    Histogram {
        zero_threshold: zero.0,
        zero_count: zero.1,
        count: zero.1 + positive.iter().chain(negative).sum::<f64>(),
        positive_spans: spans(positive),
        positive_buckets: positive.to_vec(),
        negative_spans: spans(negative),
        negative_buckets: negative.to_vec(),
        ..Histogram::default()
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    let count = counts.iter().sum();
    Histogram::from_bounds(bounds, counts, count, 0.0).unwrap()
}

fn near(value: f64, expected: f64) {
    assert!(value == expected || (value - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[test]
fn quantiles_interpolate_by_logarithm() {
    let histogram = exponential((0.001, 2.0), &[2.0, 3.0, 0.0, 1.0, 4.0], &[]);
    for (q, value) in [
        (-0.1, f64::NEG_INFINITY),
        (1.1, f64::INFINITY),
        (0.0, 0.0),
        // In the zero bucket linearly, and from zero on as all is positive.
        (0.1, 0.0006),
        // Two of three observations between 1 and 2.
        (0.5, 2f64.powf(2.0 / 3.0)),
        (0.9, 2f64.powf(3.7)),
        (1.0, 16.0),
    ] {
        near(native_quantile(q, &histogram).0, value);
    }
    let mirrored = exponential((0.001, 2.0), &[], &[2.0, 3.0, 0.0, 1.0, 4.0]);
    near(native_quantile(0.1, &mirrored).0, -2f64.powf(3.7));
    near(native_quantile(0.99, &mirrored).0, -0.00006);
    near(native_quantile(1.0, &mirrored).0, 0.0);
    let around = exponential((0.001, 4.0), &[1.0], &[1.0]);
    near(native_quantile(0.5, &around).0, 0.0);
    assert!(native_quantile(0.5, &Histogram::default()).0.is_nan());
    assert!(native_quantile(f64::NAN, &around).0.is_nan());
}

#[test]
fn quantiles_of_custom_buckets_are_linear() {
    let histogram = custom(&[5.0, 10.0], &[1.0, 2.0, 1.0]);
    for (q, value) in [(0.5, 7.5), (0.125, 2.5), (0.9, 10.0)] {
        assert_eq!(native_quantile(q, &histogram), (value, None), "{q}");
    }
    assert_eq!(native_quantile(0.1, &custom(&[-5.0], &[1.0, 1.0])).0, -5.0);
    assert_eq!(native_fraction(5.0, 10.0, &histogram), (0.5, None));
    assert_eq!(native_fraction(f64::NEG_INFINITY, 2.5, &histogram), (0.125, None));
}

#[test]
fn fractions_undo_quantiles() {
    let histogram = exponential((0.001, 4.0), &[2.0, 3.0, 0.0, 1.0, 4.0], &[2.0, 3.0, 0.0, 1.0, 4.0]);
    for q in [0.01, 0.1, 0.3, 0.45, 0.5, 0.55, 0.7, 0.9, 0.99] {
        let (value, _) = native_quantile(q, &histogram);
        near(native_fraction(f64::NEG_INFINITY, value, &histogram).0, q);
    }
    assert_eq!(native_fraction(f64::NEG_INFINITY, f64::INFINITY, &histogram).0, 1.0);
    assert_eq!(native_fraction(3.0, 1.0, &histogram).0, 0.0);
    assert!(native_fraction(f64::NAN, 1.0, &histogram).0.is_nan());
    assert!(native_fraction(0.0, 1.0, &Histogram::default()).0.is_nan());
}

#[test]
fn observations_that_are_no_numbers_are_noted() {
    let none = Histogram { count: 3.0, sum: f64::NAN, ..Histogram::default() };
    let some = Histogram { count: 15.0, sum: f64::NAN, ..exponential((0.0, 0.0), &[12.0], &[]) };
    for (q, histogram) in [(0.8, &none), (0.81, &some), (1.0, &some)] {
        let (value, note) = native_quantile(q, histogram);
        assert!(value.is_nan() && note == Some(HistogramNote::QuantileIsNan), "{q}");
    }
    assert_eq!(native_quantile(0.8, &some), (1.0, Some(HistogramNote::QuantileIsSkewed)));
    let (value, note) = native_quantile(0.4, &some);
    near(value, 0.5f64.sqrt());
    assert_eq!(note, Some(HistogramNote::QuantileIsSkewed));
    let all = (f64::NEG_INFINITY, f64::INFINITY);
    assert_eq!(native_fraction(all.0, all.1, &some), (0.8, Some(HistogramNote::FractionWithoutNan)));
    assert_eq!(native_fraction(all.0, all.1, &none), (0.0, Some(HistogramNote::FractionWithoutNan)));
    // Infinities of both signs make the sum no number, too; all observations are in buckets then.
    let infinities = Histogram { sum: f64::NAN, ..exponential((0.0, 0.0), &[1.0, 1.0], &[]) };
    assert_eq!(native_quantile(0.5, &infinities), (1.0, None));
}

#[test]
fn variance_is_that_of_means_of_buckets() {
    let histogram =
        Histogram { sum: 3.0 * 2f64.sqrt() - 2f64.sqrt(), ..exponential((0.0, 0.0), &[0.0, 3.0], &[0.0, 1.0]) };
    // At sqrt(2) three times and once at its negative; the mean is half of it.
    near(native_variance(&histogram), (3.0 * 0.5 + 4.5) / 4.0);
    near(native_average(&histogram), 0.5f64.sqrt());
    near(native_variance(&Histogram { sum: 6.0, ..custom(&[1.0, 3.0, 5.0], &[0.0, 1.0, 1.0, 0.0]) }), 1.0);
    assert!(native_variance(&Histogram::default()).is_nan());
}

#[test]
fn means_survive_overflow() {
    let of = |count: f64, sum: f64| Histogram { count, sum, ..Histogram::default() };
    let mut mean = HistogramMean::new(&of(1.0, 1e100));
    for sum in [2.0, -1e100, 4.0] {
        mean.add(&of(1.0, sum)).unwrap();
    }
    assert_eq!(mean.mean().sum, 1.5);
    let mut mean = HistogramMean::new(&of(f64::MAX, 1.0));
    mean.add(&of(f64::MAX, 2.0)).unwrap();
    mean.add(&of(f64::MAX, 3.0)).unwrap();
    let mean = mean.mean();
    near(mean.count / f64::MAX, 1.0);
    near(mean.sum, 2.0);
    assert_eq!(HistogramMean::new(&of(1.0, 5.0)).mean(), of(1.0, 5.0));
    assert!(HistogramMean::new(&of(1.0, 5.0)).add(&custom(&[1.0], &[1.0, 1.0])).is_err());
}

proptest! {
    #[test]
    fn quantiles_rise_and_lie_among_the_buckets(
        zero in 0..4u8,
        positive in prop::collection::vec(0..4u8, 0..5),
        negative in prop::collection::vec(0..4u8, 0..5),
        q in 0.0..=1.0f64,
        other in 0.0..=1.0f64,
    ) {
        let floats = |counts: &[u8]| counts.iter().copied().map(f64::from).collect::<Vec<_>>();
        let histogram = exponential((0.25, f64::from(zero)), &floats(&positive), &floats(&negative));
        prop_assume!(histogram.count > 0.0);
        let (low, high) = (q.min(other), q.max(other));
        let (low, high) = (native_quantile(low, &histogram).0, native_quantile(high, &histogram).0);
        prop_assert!(low <= high + 1e-9, "{low} {high} of {histogram}");
        let populated: Vec<_> = histogram.populated().collect();
        let (first, last) = (populated.first().unwrap(), populated.last().unwrap());
        prop_assert!(first.lower - 1e-9 <= low && high <= last.upper + 1e-9, "{low} {high} of {histogram}");
        let fraction = native_fraction(low, high, &histogram).0;
        prop_assert!((0.0..=1.0).contains(&fraction), "{fraction} of {histogram}");
    }

    #[test]
    fn any_layout_is_survived(
        spans in prop::collection::vec((any::<i32>(), any::<u32>()), 0..4),
        counts in prop::collection::vec(any::<f64>(), 0..4),
        schema in prop_oneof![Just(Histogram::CUSTOM), any::<i32>()],
        numbers in prop::collection::vec(any::<f64>(), 6),
    ) {
        let spans: Vec<BucketSpan> = spans.into_iter().map(|(offset, length)| BucketSpan { offset, length }).collect();
        let hostile = Histogram {
            schema,
            zero_threshold: numbers[0],
            zero_count: numbers[1],
            count: numbers[2],
            sum: numbers[3],
            positive_spans: spans.clone(),
            positive_buckets: counts.clone(),
            negative_spans: spans,
            negative_buckets: counts,
            ..Histogram::default()
        };
        native_quantile(numbers[4], &hostile);
        native_quantile(0.5, &hostile);
        native_fraction(numbers[4], numbers[5], &hostile);
        native_variance(&hostile);
    }
}
