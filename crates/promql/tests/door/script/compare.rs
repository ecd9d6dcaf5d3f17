//! Is a value what a script expects? Floats to a relative difference of one millionth, histograms bucket for bucket.

use causeway_model::{Histogram, Labels};
use causeway_promql::Samples;

use super::read::{Case, Expected, Pattern};
use super::series::Point;
use super::{Number, Outcome, Value};

/// How much two floats may differ, by the sum of their sizes.
const DIFFERENCE_MAX: f64 = 1e-6;

/// Whether two floats are as good as equal. A staleness marker only equals its own kind.
pub fn nearly(one: f64, other: f64) -> bool {
    if Samples::is_stale(one) || Samples::is_stale(other) {
        return Samples::is_stale(one) && Samples::is_stale(other);
    }
    if one == other || (one.is_nan() && other.is_nan()) {
        return true;
    }
    let (size, difference) = (one.abs() + other.abs(), (one - other).abs());
    if one == 0.0 || other == 0.0 || size < f64::MIN_POSITIVE {
        return difference < DIFFERENCE_MAX * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < DIFFERENCE_MAX
}

fn nearly_all(one: &[f64], other: &[f64]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| nearly(*one, *other))
}

fn same_histogram(expected: &Histogram, hinted: bool, found: &Histogram) -> bool {
    let (mut one, mut other) = (expected.clone(), found.clone());
    one.compact(0);
    other.compact(0);
    one.schema == other.schema
        && nearly(one.count, other.count)
        && nearly(one.sum, other.sum)
        && nearly(one.zero_count, other.zero_count)
        && one.zero_threshold == other.zero_threshold
        && one.custom_values == other.custom_values
        && one.positive_spans == other.positive_spans
        && one.negative_spans == other.negative_spans
        && nearly_all(&one.positive_buckets, &other.positive_buckets)
        && nearly_all(&one.negative_buckets, &other.negative_buckets)
        && (!hinted || one.reset_hint == other.reset_hint)
}

fn same_number(expected: &Point, found: &Number) -> bool {
    match (expected, found) {
        (Point::Float(expected), Ok(found)) => nearly(*expected, *found),
        (Point::Histogram(expected, hinted), Err(found)) => same_histogram(expected, *hinted, found),
        _ => false,
    }
}

fn write_point(point: &Point) -> String {
    match point {
        Point::Gap => "_".into(),
        Point::Float(value) => value.to_string(),
        Point::Histogram(histogram, _) => histogram.test_expression(),
    }
}

fn write_number(number: &Number) -> String {
    match number {
        Ok(value) => value.to_string(),
        Err(histogram) => histogram.test_expression(),
    }
}

fn write_points(points: &[Point]) -> String {
    points.iter().map(write_point).collect::<Vec<_>>().join(" ")
}

fn write_series(points: &[(i64, Number)]) -> String {
    let points = points.iter().map(|(time_ms, number)| format!("{} @{time_ms}", write_number(number)));
    points.collect::<Vec<_>>().join(", ")
}

/// Whether the annotations are those expected.
pub fn messages(case: &Case, outcome: &Outcome) -> Result<(), String> {
    for (kind, expected, none, found) in [
        ("warning", &case.warnings, case.no_warnings, &outcome.warnings),
        ("info", &case.infos, case.no_infos, &outcome.infos),
    ] {
        if none && !found.is_empty() {
            return Err(format!("expected no {kind}\n  got {found:?}"));
        }
        if expected.is_empty() {
            continue;
        }
        if let Some(missing) = expected.iter().find(|pattern| !found.iter().any(|message| pattern.fits(message))) {
            return Err(format!("expected the {kind} {}\n  got {found:?}", missing.describe()));
        }
        let fits = |message: &&String| expected.iter().any(|pattern: &Pattern| pattern.fits(message));
        if let Some(surplus) = found.iter().find(|message| !fits(message)) {
            return Err(format!("unexpected {kind} {surplus}"));
        }
    }
    Ok(())
}

/// Whether the value is the one expected.
pub fn value(case: &Case, found: &Value) -> Result<(), String> {
    match (&case.expected, found) {
        (Expected::Scalar(expected), Value::Scalar(found)) if nearly(*expected, *found) => Ok(()),
        (Expected::Scalar(expected), Value::Scalar(found)) => Err(format!("expected {expected}\n  got {found}")),
        (Expected::String(expected), Value::String(found)) if expected == found => Ok(()),
        (Expected::String(expected), Value::String(found)) => Err(format!("expected {expected:?}\n  got {found:?}")),
        (Expected::Series(expected), Value::Vector(found)) => vector(expected, found, case.ordered),
        (Expected::Series(expected), Value::Matrix(found)) => {
            matrix(expected, found, (case.start_ms, case.end_ms, case.step_ms))
        }
        (Expected::Range { start_ms, end_ms, step_ms, series }, Value::Matrix(found)) => {
            matrix(series, found, (*start_ms, *end_ms, *step_ms))
        }
        (_, found) => Err(format!("a value of another type: {found:?}")),
    }
}

fn vector(expected: &[(Labels, Vec<Point>)], found: &[(Labels, Number)], ordered: bool) -> Result<(), String> {
    for (at, (labels, number)) in found.iter().enumerate() {
        let Some(place) = expected.iter().position(|(expected, _)| expected == labels) else {
            return Err(format!("unexpected {labels:?} {}", write_number(number)));
        };
        let points = &expected[place].1;
        match points.as_slice() {
            [point] if same_number(point, number) => {}
            _ => return Err(format!("expected {labels:?} {}\n  got {}", write_points(points), write_number(number))),
        }
        if ordered && place != at {
            return Err(format!("expected {labels:?} in place {place}\n  got it in {at}"));
        }
    }
    missing(expected, found.iter().map(|(labels, _)| labels))
}

fn missing<'a>(
    expected: &[(Labels, Vec<Point>)],
    found: impl Iterator<Item = &'a Labels> + Clone,
) -> Result<(), String> {
    match expected.iter().find(|(labels, _)| !found.clone().any(|found| found == labels)) {
        Some((labels, points)) => Err(format!("expected {labels:?} {}\n  got nothing", write_points(points))),
        None => Ok(()),
    }
}

/// Whether a matrix is sorted by labels.
pub fn sorted(found: &[(Labels, Vec<(i64, Number)>)]) -> Result<(), String> {
    match found.windows(2).find(|pair| pair[0].0 > pair[1].0) {
        Some(pair) => Err(format!("{:?} stands before {:?}", pair[0].0, pair[1].0)),
        None => Ok(()),
    }
}

fn matrix(
    expected: &[(Labels, Vec<Point>)],
    found: &[(Labels, Vec<(i64, Number)>)],
    (start_ms, end_ms, step_ms): (i64, i64, i64),
) -> Result<(), String> {
    sorted(found)?;
    for (labels, numbers) in found {
        let Some((_, points)) = expected.iter().find(|(expected, _)| expected == labels) else {
            return Err(format!("unexpected {labels:?} {}", write_series(numbers)));
        };
        let times = (start_ms..=end_ms).step_by(usize::try_from(step_ms).unwrap_or(1));
        if points.len() > times.clone().count() {
            return Err(format!("more points are expected of {labels:?} than there are steps"));
        }
        let wanted: Vec<_> = times.zip(points).filter(|(_, point)| !matches!(point, Point::Gap)).collect();
        let same = wanted.len() == numbers.len()
            && wanted
                .iter()
                .zip(numbers)
                .all(|((wanted_ms, point), (found_ms, number))| wanted_ms == found_ms && same_number(point, number));
        if !same {
            return Err(format!("expected {labels:?} {}\n  got {}", write_points(points), write_series(numbers)));
        }
    }
    missing(expected, found.iter().map(|(labels, _)| labels))
}
