//! How many requests does a row stand for? Head samplers keep a share of the traces and say so in tracestate (`ot=th:`, OpenTelemetry's
//! "Probability sampling"). Each row then counts by its weight, the inverse of its chance to be kept (Horvitz and Thompson 1952), and
//! what it proves by [`crate::statistics::Counted`].
//!
//! Whether any span weighs other than one is asked once for an answer. Where none does, questions and counts stay as they are without
//! weights. Only spans have weights: samplers don't touch logs and metrics.

use arrow::array::Float64Array;
use causeway_model::Result;

use crate::ask::{Inquiry, Rows, no_row};
use crate::types::Window;

/// The values that a trace's random number R can have (W3C Trace Context level 2): a sampler keeps those from its threshold on.
const RANDOM_VALUES: u64 = 1 << 56;
/// Hex digits of R.
const RANDOM_DIGITS: usize = 14;
/// What a span counts for, in SQL: what its tracestate says, but [`causeway_model::SAMPLE_WEIGHT_MAX`] at most.
pub(crate) const WEIGHT: &str = "least(sample_weight(trace_state), 1000.0)";

/// Whether spans are counted by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Weights {
    /// Each stands for itself.
    #[default]
    One,
    /// Some stand for several.
    Sampled,
}

impl Weights {
    /// Asks whether any span of some windows weighs other than one, and notes it.
    pub async fn of(inquiry: &Inquiry<'_>, windows: &[Window]) -> Result<Self> {
        let conditions: Vec<String> = windows.iter().map(|window| format!("({})", window.condition())).collect();
        let sql = format!("SELECT count(*), coalesce(sum({WEIGHT}), 0.0) FROM spans WHERE {}", conditions.join(" OR "));
        let (mut spans, mut weight) = (f64::NAN, f64::NAN);
        inquiry
            .each(sql, |rows| {
                let (counts, weights) = (rows.numbers(0)?, rows.numbers(1)?);
                if rows.len() > 0 {
                    (spans, weight) = (counts.value(0), weights.value(0));
                }
                Ok(())
            })
            .await?;
        if spans.is_nan() {
            return Err(no_row("whether spans are sampled"));
        }
        if weight <= spans {
            return Ok(Self::One);
        }
        let (start, end) = (windows.iter().map(|it| it.start).min(), windows.iter().map(|it| it.end).max());
        if let (Some(start), Some(end)) = (start, end) {
            inquiry.note(format!(
                "spans are sampled: {spans:.0} rows stand for {weight:.0} from {start} to {end}; counts and rates are estimates"
            ));
        }
        Ok(Self::Sampled)
    }

    /// Whether some rows stand for several.
    pub fn is_sampled(self) -> bool {
        self == Self::Sampled
    }

    /// Sampled where either is.
    pub fn or(self, other: Self) -> Self {
        if self.is_sampled() { self } else { other }
    }

    /// More columns of a question: the weight, where it is not one.
    pub fn column(self) -> String {
        if self.is_sampled() { format!(", {WEIGHT}") } else { String::new() }
    }

    /// Reads what [`Self::column`] asked for.
    pub fn read(self, rows: Rows<'_>, at: usize) -> Result<Column> {
        Ok(Column(if self.is_sampled() { Some(rows.numbers(at)?) } else { None }))
    }

    /// How many the rows are, in SQL.
    pub fn count(self) -> String {
        if self.is_sampled() { format!("round(sum({WEIGHT}))") } else { "count(*)".to_owned() }
    }

    /// How many of the rows fulfil a condition, in SQL.
    pub fn count_where(self, condition: &str) -> String {
        if self.is_sampled() {
            format!("round(coalesce(sum({WEIGHT}) FILTER (WHERE {condition}), 0))")
        } else {
            format!("count(*) FILTER (WHERE {condition})")
        }
    }

    /// The mean duration in milliseconds, in SQL.
    pub fn mean_ms(self) -> String {
        if self.is_sampled() {
            format!("sum(duration_ns * {WEIGHT}) / sum({WEIGHT}) / 1e6")
        } else {
            "avg(duration_ns) / 1e6".to_owned()
        }
    }

    /// The duration in milliseconds that a share of the requests stays below, in SQL.
    pub fn percentile_ms(self, share: f64) -> String {
        let function = if self.is_sampled() {
            format!("approx_percentile_cont_with_weight({WEIGHT}, {share})")
        } else {
            format!("approx_percentile_cont({share})")
        };
        format!("{function} WITHIN GROUP (ORDER BY duration_ns) / 1e6")
    }
}

/// The weights of a batch.
pub(crate) struct Column(Option<Float64Array>);

impl Column {
    pub fn at(&self, row: usize) -> f64 {
        self.0.as_ref().map_or(1.0, |weights| weights.value(row))
    }
}

/// A trace's random number R, by which all samplers decide: `ot=rv:` where it was given, else the last 56 bits of the trace's id.
pub(crate) fn randomness(trace: [u8; 16], state: Option<&str>) -> u64 {
    let told = state.unwrap_or_default().split(',').find_map(|member| member.trim().strip_prefix("ot="));
    let told = told.and_then(|told| told.split(';').find_map(|pair| pair.strip_prefix("rv:")));
    let is_hex = |text: &&str| text.len() == RANDOM_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let told = told.filter(is_hex).and_then(|text| u64::from_str_radix(text, 16).ok());
    told.unwrap_or_else(|| (u128::from_be_bytes(trace) as u64) & (RANDOM_VALUES - 1))
}

/// How many traces each one stands for among those whose R is at least this.
pub(crate) fn weight_from(randomness: u64) -> f64 {
    RANDOM_VALUES as f64 / RANDOM_VALUES.saturating_sub(randomness).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_has_the_limit_that_all_spans_are_counted_by() {
        assert!(WEIGHT.ends_with(&format!(" {:?})", causeway_model::SAMPLE_WEIGHT_MAX)));
    }

    #[test]
    fn a_trace_has_the_randomness_that_samplers_read() {
        let trace = 0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00_u128.to_be_bytes();
        assert_eq!(randomness(trace, None), 0xaa_bbcc_ddee_ff00);
        assert_eq!(randomness(trace, Some("a=1, ot=th:8;rv:80000000000000")), 1 << 55);
        for other in ["", "ot=rv:8", "ot=rv:+0000000000000", "ot=rv:zzzzzzzzzzzzzz", "rv:80000000000000"] {
            assert_eq!(randomness(trace, Some(other)), 0xaa_bbcc_ddee_ff00, "{other}");
        }
        assert_eq!((weight_from(0), weight_from(1 << 55), weight_from(u64::MAX)), (1.0, 2.0, RANDOM_VALUES as f64));
    }
}
