//! How many does a sampled span stand for? What its tracestate says, by OpenTelemetry's rejection threshold (`ot=th:…`, "Probability
//! sampling"): 2^56 / (2^56 - T). What carries no threshold stands for itself.

/// 2^56: a threshold is one of so many numbers.
const THRESHOLDS: u64 = 1 << 56;
/// Hex digits of a threshold in full; zeros at its end may be left out.
const DIGITS: usize = 14;

/// A span counts for this many at most wherever spans are counted. Whoever calls a service writes its tracestate, and one span that stood for
/// 2^56 would outweigh all others; a sampler that keeps less than a thousandth is taken for one that keeps a thousandth.
pub const SAMPLE_WEIGHT_MAX: f64 = 1000.0;

/// The weight that a tracestate tells, without a limit; 1 where it tells none or can't be read.
pub fn sample_weight(trace_state: &str) -> f64 {
    told(trace_state).unwrap_or(1.0)
}

fn told(state: &str) -> Option<f64> {
    let mut members = state.split(',').map(|member| member.trim_matches([' ', '\t']));
    let vendor = members.find_map(|member| member.strip_prefix("ot="))?;
    let text = vendor.split(';').find_map(|pair| pair.strip_prefix("th:"))?;
    let hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !hex || text.is_empty() || text.len() > DIGITS {
        return None;
    }
    let threshold = u64::from_str_radix(text, 16).ok()? << (4 * (DIGITS - text.len()));
    Some(THRESHOLDS as f64 / THRESHOLDS.checked_sub(threshold)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_says_how_many_a_row_stands_for() {
        let cases = [
            ("ot=th:0", 1.0),
            ("ot=th:8", 2.0),
            ("ot=th:c", 4.0),
            ("vendor=x, ot=rv:00000000000001;th:fd70a3d70a3d71", 100.0),
            ("ot=th:ffffffffffffff", (1_u64 << 56) as f64),
            ("ot=th:", 1.0),
            ("ot=th:8G", 1.0),
            ("ot=th:C", 1.0),
            ("ot=th:800000000000000", 1.0),
            ("ot=rv:00000000000001", 1.0),
            ("other=th:8", 1.0),
            ("", 1.0),
        ];
        for (state, expected) in cases {
            let found = sample_weight(state);
            assert!((found / expected - 1.0).abs() < 1e-9, "{state}: {found}, expected {expected}");
        }
    }
}
