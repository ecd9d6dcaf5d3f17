//! What do all rooms that handle metrics agree on? Which rows of `metric_series` say the same, and what a sample's flags mean.

use xxhash_rust::xxh3::Xxh3;

/// Nanoseconds of a day.
pub const DAY_NS: i64 = 86_400_000_000_000;

/// The bit of a sample's flags that says that there is no value (OTLP, `FLAG_NO_RECORDED_VALUE`): a staleness marker.
pub const NO_RECORDED_VALUE: u32 = 1;

/// The UTC day of a time in nanoseconds since 1970. A series and what is said of a metric stand once for each.
pub fn day_of(unix_nano: i64) -> i64 {
    unix_nano.div_euclid(DAY_NS)
}

/// What tells the rows of a day in `metric_series` apart: the series, and the bounds of its buckets where it has some. One number for
/// both, as nothing matters but that others differ.
pub fn series_row_identity(series_id: u128, bounds: Option<&[f64]>) -> u128 {
    let Some(bounds) = bounds else { return series_id };
    let mut hasher = Xxh3::new();
    bounds.iter().for_each(|bound| hasher.update(&bound.to_bits().to_le_bytes()));
    series_id ^ hasher.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_and_bounds_tell_rows_apart() {
        assert_eq!([-1, 0, DAY_NS - 1, DAY_NS].map(day_of), [-1, 0, 0, 1]);
        assert_eq!(series_row_identity(7, None), 7);
        assert_eq!(series_row_identity(7, Some(&[0.5])), series_row_identity(7, Some(&[0.5])));
        assert_ne!(series_row_identity(7, Some(&[0.5])), series_row_identity(7, Some(&[0.5, 1.0])));
        assert_ne!(series_row_identity(7, Some(&[])), series_row_identity(7, None));
    }
}
