//! How many does a sampled span stand for, and which traces would a sampler keep? What tracestate says, by OpenTelemetry's "TraceState: Probability
//! Sampling": a trace has 56 random bits R, a sampler a rejection threshold T (`ot=th:…`), what has R >= T is kept and stands for
//! 2^56 / (2^56 - T). What carries no threshold stands for itself.

/// 2^56: a threshold is one of so many numbers, and so is R.
const THRESHOLDS: u64 = 1 << 56;
/// Hex digits of a threshold and of R in full; zeros at a threshold's end may be left out.
const DIGITS: usize = 14;
/// OpenTelemetry's member of a tracestate.
const MEMBER: &str = "ot=";

/// A span counts for this many at most wherever spans are counted. Whoever calls a service writes its tracestate, and one span that stood for
/// 2^56 would outweigh all others; a sampler that keeps less than a thousandth is taken for one that keeps a thousandth.
pub const SAMPLE_WEIGHT_MAX: f64 = 1000.0;

/// The weight that a tracestate tells, without a limit; 1 where it tells none or can't be read.
pub fn sample_weight(trace_state: &str) -> f64 {
    let weight = |threshold| THRESHOLDS as f64 / (THRESHOLDS - threshold) as f64;
    sampling_threshold(trace_state).map_or(1.0, weight)
}

/// The threshold that a tracestate tells, below 2^56; nothing where it tells none or can't be read.
pub fn sampling_threshold(trace_state: &str) -> Option<u64> {
    let text = told(trace_state, "th:")?;
    let digits = hex(text).filter(|_| text.len() <= DIGITS)?;
    Some(digits << (4 * (DIGITS - text.len())))
}

/// The randomness R of a trace: what its tracestate tells (`ot=rv:…`), else the last 56 bits of its id.
pub fn sampling_randomness(trace_state: &str, trace_id: [u8; 16]) -> u64 {
    let explicit = told(trace_state, "rv:").filter(|text| text.len() == DIGITS).and_then(hex);
    explicit.unwrap_or_else(|| (u128::from_be_bytes(trace_id) as u64) & (THRESHOLDS - 1))
}

/// The threshold at which so large a share is kept; nothing where 56 bits can't tell it from none.
pub fn threshold_of_share(share: f64) -> Option<u64> {
    let kept = (share.clamp(0.0, 1.0) * THRESHOLDS as f64) as u64;
    (kept > 0).then(|| THRESHOLDS - kept)
}

/// The tracestate with this threshold. As W3C wants it, the member that was changed comes first; all else stays.
pub fn with_sampling_threshold(trace_state: &str, threshold: u64) -> String {
    let digits = format!("{:0DIGITS$x}", threshold.min(THRESHOLDS - 1));
    let digits = digits.trim_end_matches('0');
    let mut state = format!("{MEMBER}th:{}", if digits.is_empty() { "0" } else { digits });
    let is_other = |pair: &&str| !pair.is_empty() && !pair.starts_with("th:");
    for pair in member(trace_state).into_iter().flat_map(|ours| ours.split(';')).filter(is_other) {
        state.push(';');
        state.push_str(pair);
    }
    for other in members(trace_state).filter(|other| !other.is_empty() && !other.starts_with(MEMBER)) {
        state.push(',');
        state.push_str(other);
    }
    state
}

fn members(state: &str) -> impl Iterator<Item = &str> {
    state.split(',').map(|member| member.trim_matches([' ', '\t']))
}

fn member(state: &str) -> Option<&str> {
    members(state).find_map(|member| member.strip_prefix(MEMBER))
}

fn told<'a>(state: &'a str, key: &str) -> Option<&'a str> {
    member(state)?.split(';').find_map(|pair| pair.strip_prefix(key))
}

fn hex(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (digits && !text.is_empty()).then(|| u64::from_str_radix(text, 16).ok()).flatten()
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

    #[test]
    fn a_threshold_is_written_as_it_is_read_and_all_else_stays() {
        let cases = [
            ("", 0, "ot=th:0"),
            ("", 1 << 55, "ot=th:8"),
            ("a=1, ot=rv:00000000000001;th:8 ,b=2", 3 << 54, "ot=th:c;rv:00000000000001,a=1,b=2"),
            ("ot=th:zz;x:1", 1, "ot=th:00000000000001;x:1"),
            ("a=1", u64::MAX, "ot=th:ffffffffffffff,a=1"),
        ];
        for (before, threshold, expected) in cases {
            let state = with_sampling_threshold(before, threshold);
            assert_eq!(state, expected);
            assert_eq!(sampling_threshold(&state), Some(threshold.min(THRESHOLDS - 1)));
        }
    }

    #[test]
    fn randomness_is_told_or_the_end_of_the_id() {
        let id = u128::to_be_bytes(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        assert_eq!(sampling_randomness("", id), 0xdc_ba98_7654_3210);
        assert_eq!(sampling_randomness("ot=th:8;rv:000000000000ff", id), 0xff);
        assert_eq!(sampling_randomness("ot=rv:ff", id), 0xdc_ba98_7654_3210);
        let thresholds = [1.0, 2.0, 0.5, 0.25, 0.0, -1.0, f64::NAN, 1e-20].map(threshold_of_share);
        assert_eq!(thresholds, [Some(0), Some(0), Some(1 << 55), Some(3 << 54), None, None, None, None]);
    }
}
