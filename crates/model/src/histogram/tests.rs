//! Do histograms add, shrink and read as Prometheus has them?

use proptest::prelude::*;

use super::*;

/// One side's buckets without gaps from an index on.
fn run(offset: i32, counts: &[f64]) -> (Vec<BucketSpan>, Vec<f64>) {
    if counts.is_empty() {
        return Default::default();
    }
    (vec![BucketSpan { offset, length: counts.len() as u32 }], counts.to_vec())
}

/// An exponential histogram; its count is that of its buckets.
fn exponential(schema: i32, zero: (f64, f64), positive: (i32, &[f64]), negative: (i32, &[f64])) -> Histogram {
    let (positive_spans, positive_buckets) = run(positive.0, positive.1);
    let (negative_spans, negative_buckets) = run(negative.0, negative.1);
    let mut histogram = Histogram {
        schema,
        zero_threshold: zero.0,
        zero_count: zero.1,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..Histogram::default()
    };
    histogram.count = bucket_total(&histogram);
    histogram
}

fn custom(bounds: &[f64], counts: &[f64], sum: f64) -> Histogram {
    let (positive_spans, positive_buckets) = run(0, counts);
    Histogram {
        schema: Histogram::CUSTOM,
        count: counts.iter().fold(0.0, |sum, count| sum + count),
        sum,
        positive_spans,
        positive_buckets,
        custom_values: bounds.to_vec(),
        ..Histogram::default()
    }
}

fn bucket_total(histogram: &Histogram) -> f64 {
    histogram.buckets().iter().fold(0.0, |sum, bucket| sum + bucket.count)
}

fn compacted(mut histogram: Histogram) -> Histogram {
    histogram.compact(0);
    histogram
}

fn spans(pairs: &[(i32, u32)]) -> Vec<BucketSpan> {
    pairs.iter().map(|(offset, length)| BucketSpan { offset: *offset, length: *length }).collect()
}

#[test]
fn bounds_are_powers_of_two_and_their_roots() {
    for (index, schema, bound) in [
        (0, 0, 1.0),
        (1, 0, 2.0),
        (-3, 0, 0.125),
        (1, -1, 4.0),
        (-1, -4, 2f64.powi(-16)),
        (1, 1, 2f64.sqrt()),
        (512, 8, 4.0),
        (1023, 0, 2f64.powi(1023)),
        // The last bucket of finite numbers, and that of infinity.
        (1024, 0, f64::MAX),
        (1025, 0, f64::INFINITY),
        (262_144, 8, f64::MAX),
        (-1074, 0, 5e-324),
        (-1075, 0, 0.0),
        (i32::MAX, -4, f64::INFINITY),
        (i32::MIN, 8, 0.0),
    ] {
        assert_eq!(exponential_bound(index, schema), bound, "bucket {index} of schema {schema}");
    }
    let bounds = custom(&[-1.0, 5.0], &[], 0.0);
    assert_eq!([-1, 0, 1, 2, 3].map(|index| bounds.bound(index))[..3], [f64::NEG_INFINITY, -1.0, 5.0]);
    assert_eq!(bounds.bound(2), f64::INFINITY);
}

#[test]
fn buckets_come_from_the_lowest_to_the_highest() {
    let histogram = exponential(0, (0.75, 2.0), (0, &[1.0, 0.0, 3.0]), (0, &[4.0, 5.0]));
    let found: Vec<_> = histogram.buckets().iter().map(|bucket| (bucket.lower, bucket.upper, bucket.count)).collect();
    assert_eq!(
        found,
        [(-2.0, -1.0, 5.0), (-1.0, -0.75, 4.0), (-0.75, 0.75, 2.0), (0.75, 1.0, 1.0), (1.0, 2.0, 0.0), (2.0, 4.0, 3.0)]
    );
    assert_eq!(histogram.populated().map(|bucket| bucket.boundary_rule()).collect::<Vec<_>>(), [1, 1, 3, 0, 0]);
    let bounds = custom(&[5.0], &[1.0, 2.0], 0.0);
    assert_eq!(bounds.populated().map(|bucket| bucket.boundary_rule()).collect::<Vec<_>>(), [3, 0]);
}

#[test]
fn it_reads_as_prometheus_shows_it() {
    let mut histogram = exponential(0, (0.001, 2.0), (-1, &[1.0, 0.0, 3.0]), (0, &[0.5]));
    histogram.sum = 1e6;
    assert_eq!(histogram.to_string(), "{count:6.5, sum:1e+06, [-1,-0.5):0.5, [-0.001,0.001]:2, (0.25,0.5]:1, (1,2]:3}");
    assert_eq!(
        histogram.test_expression(),
        "{{count:6.5 sum:1e+06 z_bucket:2 z_bucket_w:0.001 offset:-1 buckets:[1 0 3] n_buckets:[0.5]}}"
    );
    let mut bounds = custom(&[5.0, 10.0], &[1.0, 4.0], f64::NAN);
    bounds.reset_hint = ResetHint::Gauge;
    assert_eq!(bounds.to_string(), "{count:5, sum:NaN, [-Inf,5]:1, (5,10]:4}");
    assert_eq!(
        bounds.test_expression(),
        "{{schema:-53 count:5 sum:NaN custom_values:[5 10] counter_reset_hint:gauge buckets:[1 4]}}"
    );
    assert_eq!(Histogram::default().test_expression(), "{{}}");
    let numbers = [0.0001, 0.00001, 123_456.0, 1_234_567.0, f64::NEG_INFINITY, 1e100, -0.5];
    let texts = ["0.0001", "1e-05", "123456", "1.234567e+06", "-Inf", "1e+100", "-0.5"];
    assert_eq!(numbers.map(format_float), texts);
}

#[test]
fn equality_is_of_layouts_not_of_spans() {
    let one = exponential(0, (0.0, 0.0), (0, &[1.0, f64::NAN]), (0, &[]));
    let mut other = one.clone();
    other.positive_spans = spans(&[(-2, 0), (2, 1), (0, 0), (0, 1)]);
    other.reset_hint = ResetHint::Gauge;
    assert_eq!(one, other);
    other.positive_spans = spans(&[(0, 1), (1, 1)]);
    assert_ne!(one, other);
    assert!(Histogram::stale().is_stale() && !one.is_stale());
    assert_eq!(Histogram::stale(), Histogram::stale());
}

#[test]
fn compact_keeps_short_runs_of_empty_buckets() {
    let mut histogram = exponential(0, (0.0, 0.0), (3, &[0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0]), (0, &[0.0]));
    histogram.compact(1);
    assert_eq!(histogram.positive_spans, spans(&[(4, 1), (2, 3)]));
    assert_eq!(histogram.positive_buckets, [1.0, 2.0, 0.0, 3.0]);
    assert_eq!((histogram.negative_spans.len(), histogram.negative_buckets.len()), (0, 0));
    histogram.compact(2);
    assert_eq!(histogram.positive_spans, spans(&[(4, 6)]));
    histogram.compact(0);
    assert_eq!(histogram.positive_spans, spans(&[(4, 1), (2, 1), (1, 1)]));
}

#[test]
fn a_coarser_schema_merges_buckets() {
    let mut histogram = exponential(1, (0.0, 0.0), (-2, &[1.0, 2.0, 3.0, 4.0, 5.0]), (1, &[1.0, 1.0]));
    histogram.reduce_resolution(0).unwrap();
    assert_eq!(histogram, exponential(0, (0.0, 0.0), (-1, &[1.0, 5.0, 9.0]), (1, &[2.0])));
    assert!(histogram.reduce_resolution(1).is_err());
    assert!(histogram.reduce_resolution(-5).is_err());
    assert!(custom(&[], &[], 0.0).reduce_resolution(0).is_err());
}

#[test]
fn a_sum_meets_at_the_coarser_schema() {
    let mut coarse = exponential(-1, (0.0, 0.0), (1, &[1.0]), (0, &[]));
    let fine = exponential(0, (0.0, 0.0), (1, &[2.0, 2.0, 7.0]), (0, &[]));
    let mut other_way = fine.clone();
    coarse.add(&fine).unwrap();
    assert_eq!(coarse, exponential(-1, (0.0, 0.0), (1, &[5.0, 7.0]), (0, &[])));
    other_way.add(&exponential(-1, (0.0, 0.0), (1, &[1.0]), (0, &[]))).unwrap();
    assert_eq!(coarse, other_way);
    // Exponential buckets and custom ones don't.
    assert_eq!(coarse.add(&custom(&[1.0], &[1.0], 1.0)), Err(MixedSchemas));
    assert_eq!(coarse, other_way);
}

#[test]
fn a_sum_has_the_wider_zero_bucket() {
    // 0.6 is in the bucket that ends at 1, so that the zero bucket must reach there.
    let mut narrow = exponential(0, (0.001, 1.0), (-1, &[2.0, 3.0, 4.0]), (0, &[5.0, 6.0]));
    let wide = exponential(0, (0.6, 10.0), (1, &[20.0]), (1, &[]));
    narrow.add(&wide).unwrap();
    assert_eq!(narrow, exponential(0, (1.0, 21.0), (1, &[24.0]), (1, &[6.0])));
    // A bucket without observations is no reason to widen it.
    let mut empty = exponential(0, (0.001, 1.0), (0, &[0.0, 4.0]), (0, &[]));
    empty.subtract(&wide).unwrap();
    let expected = exponential(0, (0.6, -9.0), (1, &[-16.0]), (0, &[]));
    assert_eq!(empty, Histogram { count: -25.0, ..expected });
}

#[test]
fn custom_buckets_meet_at_common_bounds() {
    let mut one = custom(&[2.0, 4.0, 6.0], &[1.0, 2.0, 5.0, 7.0], 55.0);
    let other = custom(
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
        &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0],
        555.0,
    );
    let reconciled = one.add(&other).unwrap();
    assert!(reconciled.custom_bounds && !reconciled.reset_collision);
    assert_eq!(one, custom(&[2.0, 4.0, 6.0], &[31.0, 72.0, 115.0, 247.0], 610.0));
    // Nothing in common leaves one bucket.
    assert!(one.subtract(&custom(&[7.5], &[1.0, 1.0], 0.0)).unwrap().custom_bounds);
    assert_eq!(one, custom(&[], &[463.0], 610.0));
    let same = one.clone();
    assert!(!one.add(&same).unwrap().custom_bounds);
    assert_eq!(one, custom(&[], &[926.0], 1220.0));
}

#[test]
fn hints_join() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    for (one, other, joined, collision) in [
        (Reset, Reset, Reset, false),
        (Reset, NotReset, Unknown, true),
        (NotReset, Unknown, Unknown, false),
        (Unknown, Reset, Unknown, false),
        (Gauge, Reset, Gauge, false),
        (NotReset, Gauge, Gauge, false),
    ] {
        let mut histogram = Histogram { reset_hint: one, ..Histogram::default() };
        let reconciled = histogram.add(&Histogram { reset_hint: other, ..Histogram::default() }).unwrap();
        assert_eq!((histogram.reset_hint, reconciled.reset_collision), (joined, collision), "{one:?} and {other:?}");
    }
}

#[test]
fn a_sum_loses_nothing_to_rounding() {
    let with_sum = |sum| Histogram { sum, ..exponential(0, (0.0, 0.0), (0, &[sum, 1.0]), (0, &[])) };
    let mut sum = HistogramSum::new(&with_sum(3.1));
    for number in [1e100, 1.3, -1e100] {
        sum.add(&with_sum(number)).unwrap();
    }
    let total = sum.total();
    assert_eq!(total.sum, 4.4);
    assert_eq!(total.positive_buckets, [4.4, 4.0]);
    assert!(!sum.overflows());
    sum.add(&with_sum(f64::MAX)).unwrap();
    sum.add(&with_sum(f64::MAX)).unwrap();
    assert!(sum.overflows());
}

#[test]
fn by_numbers() {
    let histogram = exponential(0, (0.001, 3.0), (0, &[3.0]), (0, &[6.0]));
    let mut scaled = histogram.clone();
    scaled.multiply(-2.0);
    assert_eq!(scaled.reset_hint, ResetHint::Gauge);
    assert_eq!((scaled.count, scaled.zero_count, scaled.positive_buckets[0]), (-24.0, -6.0, -6.0));
    scaled.divide(-2.0);
    assert_eq!(scaled, histogram);
    scaled.divide(0.0);
    assert_eq!(scaled.to_string(), "{count:+Inf, sum:NaN, [-0.001,0.001]:+Inf}");
}

#[test]
fn resets_are_detected() {
    let before = exponential(0, (0.001, 1.0), (0, &[1.0, 2.0, 1.0]), (0, &[1.0]));
    let changed = |change: fn(&mut Histogram)| {
        let mut after = before.clone();
        change(&mut after);
        after
    };
    assert!(!before.detect_reset(&before));
    assert!(changed(|after| after.count -= 1.0).detect_reset(&before));
    assert!(changed(|after| after.zero_count = 0.0).detect_reset(&before));
    assert!(changed(|after| after.positive_buckets[1] = 1.0).detect_reset(&before));
    assert!(changed(|after| after.negative_buckets.clear()).detect_reset(&before));
    assert!(changed(|after| after.schema = 1).detect_reset(&before));
    assert!(changed(|after| after.zero_threshold = 0.0005).detect_reset(&before));
    assert!(changed(|after| after.reset_hint = ResetHint::Reset).detect_reset(&before));
    assert!(!changed(|after| (after.count, after.reset_hint) = (0.0, ResetHint::NotReset)).detect_reset(&before));
    // A coarser schema and a wider zero bucket are none, where the counts fit.
    assert!(!changed(|after| after.reduce_resolution(-1).unwrap()).detect_reset(&before));
    let widened = exponential(0, (1.0, 3.0), (1, &[2.0, 1.0]), (0, &[]));
    assert!(!widened.detect_reset(&before));
    let cutting = exponential(0, (1.5, 5.0), (2, &[1.0]), (0, &[]));
    assert!(cutting.detect_reset(&before));
    assert!(before.detect_reset(&custom(&[1.0], &[], 0.0)));
    assert!(custom(&[1.0], &[6.0], 0.0).detect_reset(&before));
    assert!(!custom(&[5.0, 10.0], &[1.0], 1.0).detect_reset(&custom(&[5.0], &[1.0], 1.0)));
    assert!(custom(&[5.0, 10.0], &[0.0, 1.0], 1.0).detect_reset(&custom(&[5.0], &[1.0], 1.0)));
}

#[test]
fn trims_interpolate() {
    let histogram = Histogram { sum: 172.5, ..custom(&[5.0, 10.0, 15.0, 20.0], &[1.0, 6.0, 4.0, 3.0, 1.0], 0.0) };
    let trimmed = |limit, trim| {
        let mut histogram = histogram.clone();
        histogram.trim(limit, trim);
        histogram
    };
    let upper = trimmed(13.0, Trim::Upper);
    assert_eq!(upper.positive_buckets, [1.0, 6.0, 2.4]);
    assert!((upper.sum - 75.1).abs() < 1e-9);
    let lower = trimmed(13.0, Trim::Lower);
    assert_eq!(lower.positive_spans, spans(&[(2, 3)]));
    assert!((lower.sum - 94.9).abs() < 1e-9);
    assert_eq!(trimmed(f64::INFINITY, Trim::Upper), histogram);
    assert_eq!(trimmed(0.0, Trim::Lower), histogram);
    assert_eq!(trimmed(50.0, Trim::Upper).count, 14.0);
    let mut zero = Histogram { sum: 0.0, ..exponential(0, (0.1, 5.0), (0, &[]), (0, &[])) };
    zero.trim(0.05, Trim::Lower);
    assert!((zero.count - 1.25).abs() < 1e-9 && (zero.sum - 0.09375).abs() < 1e-9);
    let mut exponential = exponential(0, (0.001, 1.0), (0, &[2.0, 4.0, 8.0, 16.0]), (0, &[1.0, 2.0]));
    exponential.trim(2f64.sqrt(), Trim::Upper);
    assert!((exponential.count - 8.0).abs() < 1e-9);
    assert!((exponential.sum - 0.2570938865989847).abs() < 1e-9);
}

#[test]
fn other_shapes_become_ours() {
    assert_eq!(absolute_counts(&[3, -1, 2]).unwrap(), [3.0, 2.0, 4.0]);
    assert!(absolute_counts(&[3, -4]).is_err());
    assert!(absolute_counts(&[i64::MAX, 1]).is_err());
    // Buckets (1,2] and (2,4] are 0 and 1 there.
    let point = ExponentialHistogram {
        count: 7.0,
        positive: BucketRun { offset: 0, counts: &[1.0, 2.0] },
        negative: BucketRun { offset: -2, counts: &[4.0, 0.0, 0.0] },
        ..ExponentialHistogram::default()
    };
    let expected = exponential(0, (1e-128, 0.0), (1, &[1.0, 2.0]), (-1, &[4.0]));
    assert_eq!(Histogram::from_exponential(&point).unwrap(), expected);
    let finer = ExponentialHistogram {
        scale: 9,
        positive: BucketRun { offset: -1, counts: &[1.0, 2.0, 3.0] },
        ..ExponentialHistogram::default()
    };
    let expected = Histogram { count: 0.0, ..exponential(8, (1e-128, 0.0), (0, &[1.0, 5.0]), (0, &[])) };
    assert_eq!(Histogram::from_exponential(&finer).unwrap(), expected);
    assert!(Histogram::from_exponential(&ExponentialHistogram { scale: -5, ..point }).is_err());
    let far = BucketRun { offset: i32::MAX, counts: &[1.0, 1.0] };
    assert!(Histogram::from_exponential(&ExponentialHistogram { positive: far, ..point }).is_err());
    let classic = Histogram::from_cumulative(&[(f64::INFINITY, 4.0), (5.0, 1.0), (10.0, 3.0)], None, 5.0).unwrap();
    assert_eq!(classic, custom(&[5.0, 10.0], &[1.0, 2.0, 1.0], 5.0));
    assert!(Histogram::from_cumulative(&[(5.0, 1.0), (10.0, 0.5)], None, 5.0).is_err());
    assert!(Histogram::from_bounds(&[5.0, 5.0], &[1.0, 1.0, 1.0], 3.0, 0.0).is_err());
    assert!(Histogram::from_bounds(&[5.0], &[1.0], 3.0, 0.0).is_err());
}

#[test]
fn what_is_finer_than_ours_is_reduced() {
    let mut fine = exponential(0, (0.0, 0.0), (0, &[]), (0, &[]));
    fine.schema = 20;
    // 2^20 is the bucket that ends at 2, as 2^8 is at schema 8.
    fine.positive_spans = spans(&[(1 << 20, 1), (4096 - 1, 1)]);
    fine.positive_buckets = vec![1.0, 2.0];
    assert_eq!(
        fine.checked().unwrap(),
        Histogram { count: 0.0, ..exponential(8, (0.0, 0.0), (256, &[1.0, 2.0]), (0, &[])) }
    );
}

#[test]
fn what_cannot_be_is_refused_and_never_panics() {
    let valid = exponential(0, (0.001, 1.0), (0, &[1.0, 2.0]), (0, &[1.0]));
    assert!(valid.validate().is_ok());
    let hostile: [fn(&mut Histogram); 12] = [
        |histogram| histogram.schema = 53,
        |histogram| histogram.schema = i32::MIN,
        |histogram| histogram.positive_spans[0].length = u32::MAX,
        |histogram| histogram.positive_spans[0].offset = i32::MAX,
        |histogram| histogram.positive_spans = spans(&[(i32::MAX, 0), (i32::MAX, 0), (i32::MAX, 2)]),
        |histogram| histogram.negative_spans = spans(&[(5, 0), (-5, 1)]),
        |histogram| histogram.positive_spans = spans(&[(0, 1), (-1, 1)]),
        |histogram| histogram.positive_buckets = vec![1.0; Histogram::BUCKETS_MAX + 1],
        |histogram| histogram.zero_threshold = f64::NAN,
        |histogram| histogram.zero_count = -1.0,
        |histogram| histogram.count = -1.0,
        |histogram| histogram.custom_values = vec![1.0],
    ];
    for (at, change) in hostile.iter().enumerate() {
        let mut histogram = valid.clone();
        change(&mut histogram);
        assert!(histogram.validate().is_err(), "{at}");
        assert!(histogram.clone().checked().is_err(), "{at}");
        // It is only senseless then.
        let mut sum = histogram.clone();
        sum.add(&valid).unwrap();
        let mut sum = valid.clone();
        sum.subtract(&histogram).unwrap();
        let _ = (histogram.detect_reset(&valid), valid.detect_reset(&histogram), histogram.buckets());
        let _ = (histogram.to_string(), histogram.test_expression(), histogram.reduce_resolution(-4));
        histogram.trim(1.0, Trim::Lower);
        histogram.compact(usize::MAX);
    }
    let bounds = custom(&[1.0, 2.0], &[1.0, 1.0, 1.0], 1.0);
    assert!(bounds.validate().is_ok());
    let hostile: [fn(&mut Histogram); 6] = [
        |histogram| histogram.custom_values = vec![1.0],
        |histogram| histogram.custom_values = vec![2.0, 1.0],
        |histogram| histogram.custom_values = vec![1.0, f64::NAN],
        |histogram| histogram.positive_spans[0].offset = -1,
        |histogram| histogram.zero_count = 1.0,
        |histogram| histogram.negative_buckets = vec![1.0],
    ];
    for (at, change) in hostile.iter().enumerate() {
        let mut histogram = bounds.clone();
        change(&mut histogram);
        assert!(histogram.validate().is_err(), "{at}");
        let mut sum = histogram.clone();
        sum.add(&bounds).unwrap();
        let _ = (histogram.detect_reset(&bounds), histogram.buckets(), histogram.to_string());
    }
}

#[test]
fn rows_of_all_protocols_are_histograms() {
    let delta = |sample: &HistogramSample| Histogram::of_sample(sample, 0, true).unwrap();
    // OTLP's exponential histogram says no hint, and by a threshold of 0 that it knows none.
    let exponential_sample = HistogramSample {
        count: Some(6),
        sum: Some(4.0),
        scale: Some(0),
        zero_count: Some(1),
        zero_threshold: Some(0.0),
        positive_offset: Some(0),
        positive_bucket_counts: vec![2, 0, 3],
        ..HistogramSample::default()
    };
    let expected = Histogram { count: 6.0, ..exponential(0, (1e-128, 1.0), (1, &[2.0, 0.0, 3.0]), (0, &[])) };
    let read = delta(&exponential_sample);
    assert_eq!((read.to_string(), read.reset_hint), (Histogram { sum: 4.0, ..expected }.to_string(), ResetHint::Gauge));
    let finer = HistogramSample { scale: Some(20), ..exponential_sample.clone() };
    assert_eq!(delta(&finer).schema, 8);
    let prometheus = HistogramSample { reset_hint: Some(1), ..exponential_sample.clone() };
    let read = Histogram::of_sample(&prometheus, 0, false).unwrap();
    assert_eq!((read.zero_threshold, read.reset_hint), (0.0, ResetHint::Reset));
    // OTLP's explicit buckets, and those that a sender left out.
    let mut explicit = HistogramSample {
        count: Some(3),
        sum: None,
        has_bounds: true,
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![5.0],
        ..HistogramSample::default()
    };
    assert_eq!(Histogram::of_sample(&explicit, 0, false).unwrap(), custom(&[5.0], &[1.0, 2.0], 0.0));
    (explicit.bucket_counts, explicit.explicit_bounds) = (vec![], vec![]);
    let read = Histogram::of_sample(&explicit, 0, false).unwrap();
    assert_eq!((read.count, read.positive_buckets.len(), read.custom_values.len()), (3.0, 0, 0));
    // What is no histogram, or damaged.
    assert!(Histogram::of_sample(&explicit, 1, false).unwrap().is_stale());
    assert!(Histogram::of_sample(&HistogramSample { has_bounds: false, ..explicit.clone() }, 0, false).is_err());
    for float_counts in [vec![1.5], vec![1.5, 0.0, 1.5], vec![1.5; 6]] {
        let damaged = HistogramSample { float_counts, ..exponential_sample.clone() };
        assert!(Histogram::of_sample(&damaged, 0, false).is_err());
    }
}

#[test]
fn a_staleness_marker_and_a_wide_histogram_as_rows() {
    let mut sample = HistogramSample::default();
    Histogram::stale().to_sample(&mut sample).unwrap();
    assert_eq!(sample.sum.map(f64::to_bits), Some(Histogram::STALE));
    assert!(Histogram::of_sample(&sample, 0, false).unwrap().is_stale());
    let far = |index: i32| Histogram {
        positive_spans: vec![BucketSpan { offset: 0, length: 1 }, BucketSpan { offset: index - 1, length: 1 }],
        positive_buckets: vec![1.0, 1.0],
        count: 2.0,
        ..Histogram::default()
    };
    let limit = i32::try_from(Histogram::DENSE_BUCKETS_MAX).unwrap();
    far(limit - 1).to_sample(&mut sample).unwrap();
    assert_eq!(sample.positive_bucket_counts.len(), Histogram::DENSE_BUCKETS_MAX);
    let error = far(limit).to_sample(&mut sample).unwrap_err();
    assert_eq!(error.kind, crate::ErrorKind::TooLarge);
}

fn any_side() -> impl Strategy<Value = (Vec<BucketSpan>, Vec<f64>)> {
    prop::collection::vec((0..6i32, prop::collection::vec(0..5u8, 0..4)), 0..4).prop_map(|runs| {
        let mut side = (Vec::new(), Vec::new());
        for (at, (offset, counts)) in runs.into_iter().enumerate() {
            let offset = if at == 0 { offset - 3 } else { offset };
            side.0.push(BucketSpan { offset, length: counts.len() as u32 });
            side.1.extend(counts.into_iter().map(f64::from));
        }
        side
    })
}

fn any_exponential() -> impl Strategy<Value = Histogram> {
    let threshold = prop_oneof![Just(0.0), Just(0.001), Just(0.3), Just(1.0), Just(3.0)];
    (-2..3i32, threshold, 0..5u8, any_side(), any_side()).prop_map(|(schema, threshold, zero, positive, negative)| {
        let (positive_spans, positive_buckets) = positive;
        let (negative_spans, negative_buckets) = negative;
        let mut histogram = Histogram {
            schema,
            zero_threshold: threshold,
            zero_count: f64::from(zero),
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            ..Histogram::default()
        };
        // What lies in the zero bucket is counted there.
        let hidden: Vec<bool> = histogram.positive().map(|bucket| bucket.upper <= threshold).collect();
        histogram
            .positive_buckets
            .iter_mut()
            .zip(hidden)
            .filter(|(_, hidden)| *hidden)
            .for_each(|(count, _)| *count = 0.0);
        let hidden: Vec<bool> = histogram.negative().map(|bucket| bucket.lower >= -threshold).collect();
        histogram
            .negative_buckets
            .iter_mut()
            .zip(hidden)
            .filter(|(_, hidden)| *hidden)
            .for_each(|(count, _)| *count = 0.0);
        let count =
            histogram.zero_count + histogram.positive_buckets.iter().chain(&histogram.negative_buckets).sum::<f64>();
        Histogram { count, sum: count * 1.5, ..histogram }
    })
}

fn any_custom() -> impl Strategy<Value = Histogram> {
    (prop::collection::btree_set(-3..8i32, 0..6), prop::collection::vec(0..5u8, 7)).prop_map(|(bounds, counts)| {
        let bounds: Vec<f64> = bounds.into_iter().map(f64::from).collect();
        let counts: Vec<f64> = counts.into_iter().take(bounds.len() + 1).map(f64::from).collect();
        custom(&bounds, &counts, counts.iter().sum())
    })
}

fn any_pair() -> impl Strategy<Value = (Histogram, Histogram)> {
    prop_oneof![(any_exponential(), any_exponential()), (any_custom(), any_custom())]
}

proptest! {
    #[test]
    fn a_row_of_samples_says_the_same_histogram((one, _) in any_pair(), factor in prop_oneof![Just(1.0), Just(0.3)], hint in 0..4i32) {
        let mut histogram = one.checked().unwrap();
        histogram.multiply(factor);
        histogram.reset_hint = ResetHint::from_number(hint);
        let mut sample = HistogramSample { count: Some(77), float_counts: vec![1.0], ..HistogramSample::default() };
        histogram.to_sample(&mut sample).unwrap();
        let back = Histogram::of_sample(&sample, 0, false).unwrap();
        prop_assert_eq!(back.reset_hint, histogram.reset_hint);
        prop_assert_eq!(compacted(back), compacted(histogram.clone()));
        prop_assert_eq!(sample.float_counts.is_empty(), factor == 1.0 || histogram.count == 0.0);
        prop_assert_eq!(sample.count, Some(histogram.count.round() as u64));
        let mut again = HistogramSample::default();
        Histogram::of_sample(&sample, 0, false).unwrap().to_sample(&mut again).unwrap();
        prop_assert_eq!(again, sample);
    }

    #[test]
    fn addition_commutes_and_loses_no_observation((one, other) in any_pair()) {
        let (mut sum, mut reversed) = (one.clone(), other.clone());
        sum.add(&other).unwrap();
        reversed.add(&one).unwrap();
        prop_assert!(sum.validate().is_ok(), "{sum}: {:?}", sum.validate());
        prop_assert_eq!(sum.count, one.count + other.count);
        prop_assert_eq!(bucket_total(&sum), sum.count);
        prop_assert_eq!(&compacted(sum.clone()), &compacted(reversed));
        prop_assert!(!sum.detect_reset(&one), "{sum} after {one}");
        prop_assert!(!sum.detect_reset(&other), "{sum} after {other}");
        let mut exact = HistogramSum::new(&one);
        exact.add(&other).unwrap();
        prop_assert_eq!(compacted(exact.total()), compacted(sum));
    }

    #[test]
    fn subtraction_undoes_addition((one, other) in any_pair()) {
        let mut sum = one.clone();
        sum.add(&other).unwrap();
        let mut back = sum.clone();
        back.subtract(&other).unwrap();
        // What is left is the first at the layout of the sum.
        let mut nothing = sum.clone();
        nothing.multiply(0.0);
        let mut expected = one.clone();
        expected.add(&nothing).unwrap();
        expected.reset_hint = back.reset_hint;
        prop_assert_eq!(compacted(back), compacted(expected));
    }

    #[test]
    fn layouts_hold_the_same_observations(histogram in any_exponential(), empty_max in 0..4usize, schema in -4..3i32) {
        let mut compact = histogram.clone();
        compact.compact(empty_max);
        prop_assert!(compact.validate().is_ok());
        let populated = |histogram: &Histogram| histogram.populated().collect::<Vec<_>>();
        prop_assert_eq!(populated(&compact), populated(&histogram));
        let again = compact.clone();
        compact.compact(empty_max);
        prop_assert_eq!(&compact, &again);
        prop_assert!(!compact.detect_reset(&histogram) && !histogram.detect_reset(&compact));
        if schema <= histogram.schema {
            let mut coarser = histogram.clone();
            coarser.reduce_resolution(schema).unwrap();
            prop_assert!(coarser.validate().is_ok());
            prop_assert_eq!(bucket_total(&coarser), bucket_total(&histogram));
            prop_assert!(!coarser.detect_reset(&histogram));
        }
    }

    #[test]
    fn two_trims_are_the_whole((histogram, _) in any_pair(), limit in -5.0..9.0f64) {
        let trimmed = |trim| {
            let mut histogram = histogram.clone();
            histogram.trim(limit, trim);
            histogram.count
        };
        let total = trimmed(Trim::Upper) + trimmed(Trim::Lower);
        // A bucket without end is dropped by one of both at least.
        if histogram.is_custom() {
            prop_assert!(total <= histogram.count + 1e-9);
        } else {
            prop_assert!((total - histogram.count).abs() < 1e-9, "{total} of {histogram}");
        }
    }

    #[test]
    fn any_layout_is_survived(
        spans in prop::collection::vec((any::<i32>(), any::<u32>()), 0..5),
        counts in prop::collection::vec(any::<f64>(), 0..5),
        schema in prop_oneof![Just(Histogram::CUSTOM), any::<i32>(), -4..=8i32],
        threshold in any::<f64>(),
        custom_values in prop::collection::vec(any::<f64>(), 0..3),
        limit in any::<f64>(),
    ) {
        let spans: Vec<BucketSpan> = spans.into_iter().map(|(offset, length)| BucketSpan { offset, length }).collect();
        let hostile = Histogram {
            schema,
            zero_threshold: threshold,
            positive_spans: spans.clone(),
            positive_buckets: counts.clone(),
            negative_spans: spans,
            negative_buckets: counts,
            custom_values,
            ..Histogram::default()
        };
        let _ = (hostile.clone().checked(), hostile.to_string(), hostile.test_expression());
        let other = exponential(3, (0.5, 1.0), (-4, &[1.0, 2.0]), (0, &[1.0]));
        let mut sum = other.clone();
        let _ = (sum.add(&hostile), hostile.clone().add(&other), hostile.detect_reset(&other), other.detect_reset(&hostile));
        let mut trimmed = hostile.clone();
        trimmed.trim(limit, Trim::Upper);
        let _ = hostile.clone().reduce_resolution(-4);
    }
}
