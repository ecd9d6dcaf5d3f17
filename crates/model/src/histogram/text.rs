//! How is a histogram written? As Prometheus shows it to people, and as its test scripts write it.

use std::fmt;

use super::{Bucket, BucketSpan, Histogram, ResetHint};

/// A number as Prometheus' messages write it: the shortest digits that mean it, with an exponent where that is below -4 or above 5
/// (Go's `%g`).
pub fn format_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    number.to_string()
}

/// `[lower,upper):count`, with the brackets of mathematics.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        let [lower, upper, count] = [self.lower, self.upper, self.count].map(format_float);
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

/// `{count:…, sum:…, [lower,upper):count, …}`, with the buckets that hold something.
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", format_float(self.count), format_float(self.sum))?;
        let mut negative: Vec<Bucket> = self.negative().collect();
        negative.reverse();
        for bucket in negative.into_iter().chain([self.zero_bucket()]).chain(self.positive()) {
            if bucket.count != 0.0 {
                write!(f, ", {bucket}")?;
            }
        }
        f.write_str("}")
    }
}

impl Histogram {
    /// As Prometheus' test scripts write it: `{{schema:1 count:3 sum:4 buckets:[1 2]}}`.
    pub fn test_expression(&self) -> String {
        let mut compact = self.clone();
        compact.compact(Self::BUCKETS_MAX);
        let mut parts = Vec::new();
        if compact.schema != 0 {
            parts.push(format!("schema:{}", compact.schema));
        }
        let numbers = [
            ("count", compact.count),
            ("sum", compact.sum),
            ("z_bucket", compact.zero_count),
            ("z_bucket_w", compact.zero_threshold),
        ];
        for (name, number) in numbers {
            if number != 0.0 {
                parts.push(format!("{name}:{}", format_float(number)));
            }
        }
        let list = |numbers: &[f64]| numbers.iter().copied().map(format_float).collect::<Vec<_>>().join(" ");
        if compact.is_custom() {
            parts.push(format!("custom_values:[{}]", list(&compact.custom_values)));
        }
        match compact.reset_hint {
            ResetHint::Unknown => {}
            ResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
            ResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
            ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        let mut side = |prefix: &str, spans: &[BucketSpan], counts: &[f64]| {
            if let Some(span) = spans.first().filter(|span| span.offset != 0) {
                parts.push(format!("{prefix}offset:{}", span.offset));
            }
            if !counts.is_empty() {
                parts.push(format!("{prefix}buckets:[{}]", list(counts)));
            }
        };
        side("", &compact.positive_spans, &compact.positive_buckets);
        side("n_", &compact.negative_spans, &compact.negative_buckets);
        format!("{{{{{}}}}}", parts.join(" "))
    }
}
