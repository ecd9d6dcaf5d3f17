//! Do quantiles of classic histograms come out as Prometheus has them?

use proptest::prelude::*;

use super::*;

fn classic(buckets: &[(f64, f64)]) -> ClassicHistogram {
    ClassicHistogram::new(
        buckets.iter().map(|(upper_bound, count)| ClassicBucket { upper_bound: *upper_bound, count: *count }).collect(),
    )
}

#[test]
fn quantiles_interpolate_linearly() {
    let mut histogram = classic(&[(f64::INFINITY, 10.0), (2.0, 4.0), (4.0, 8.0), (4.0, 0.0)]);
    for (q, value) in [(0.2, 1.0), (0.0, 0.0), (0.6, 3.0), (0.8, 4.0), (0.9, 4.0), (1.0, 4.0)] {
        assert_eq!(histogram.quantile(q), (value, None), "{q}");
    }
    assert_eq!(histogram.quantile(-0.1).0, f64::NEG_INFINITY);
    assert_eq!(histogram.quantile(1.1).0, f64::INFINITY);
    assert!(histogram.quantile(f64::NAN).0.is_nan());
    for buckets in [&[][..], &[(1.0, 1.0), (2.0, 2.0)], &[(f64::INFINITY, 3.0)], &[(1.0, 0.0), (f64::INFINITY, 0.0)]] {
        assert!(classic(buckets).quantile(0.5).0.is_nan(), "{buckets:?}");
    }
    assert_eq!(classic(&[(-1.0, 5.0), (1.0, 6.0), (f64::INFINITY, 6.0)]).quantile(0.1).0, -1.0);
}

#[test]
fn decreases_are_corrected() {
    let buckets =
        [(0.1, 2.0), (1.0, 1.0), (10.0, 5.0), (100.0, 4.0), (1000.0, 9.0), (f64::INFINITY, 8.999_999_999_999_9)];
    let mut histogram = classic(&buckets);
    let forced = ForcedMonotonicity { lowest_bound: 1.0, highest_bound: 100.0, largest_difference: 1.0 };
    assert_eq!(histogram.quantile(0.5), (8.5, Some(forced)));
    assert_eq!(histogram.quantile(0.5), (8.5, None));
}

#[test]
fn fractions_undo_quantiles() {
    let mut histogram = classic(&[(2.0, 4.0), (4.0, 8.0), (f64::INFINITY, 10.0)]);
    for q in [0.1, 0.4, 0.5, 0.8] {
        let (value, _) = histogram.quantile(q);
        assert!((histogram.fraction(f64::NEG_INFINITY, value) - q).abs() < 1e-12, "{q}");
    }
    assert_eq!(histogram.fraction(1.0, 3.0), 0.4);
    assert_eq!(histogram.fraction(4.0, f64::INFINITY), 0.2);
    assert_eq!(histogram.fraction(3.0, 1.0), 0.0);
    assert!(histogram.fraction(f64::NAN, 1.0).is_nan());
    assert!(classic(&[(2.0, 4.0)]).fraction(0.0, 1.0).is_nan());
}

proptest! {
    #[test]
    fn quantiles_rise(counts in prop::collection::vec(any::<u8>(), 1..8), qs in prop::collection::vec(0.0..=1.0f64, 2)) {
        let mut buckets: Vec<(f64, f64)> = (1..).zip(&counts).map(|(at, count)| (f64::from(at), f64::from(*count))).collect();
        let highest = counts.len() as f64;
        buckets.push((f64::INFINITY, 255.0));
        let mut histogram = classic(&buckets);
        let (low, high) = (qs[0].min(qs[1]), qs[0].max(qs[1]));
        let (low, high) = (histogram.quantile(low).0, histogram.quantile(high).0);
        prop_assert!(0.0 <= low && low <= high && high <= highest, "{low} {high}");
    }

    #[test]
    fn any_bucket_is_survived(buckets in prop::collection::vec((any::<f64>(), any::<f64>()), 0..6), q in any::<f64>()) {
        let mut histogram = classic(&buckets);
        histogram.quantile(q);
        histogram.quantile(0.5);
        histogram.fraction(q, 1.0);
    }
}
