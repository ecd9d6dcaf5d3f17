//! Which traces are kept, and how many does each one stand for? Consistent probability sampling at the head.
//!
//! OpenTelemetry's "Probability sampling" with W3C Trace Context level 2: a trace has 56 random bits R (`ot=rv:` in tracestate, else
//! the last 7 bytes of its id), a sampler a rejection threshold T, and R >= T is kept. As all services read the same R, what is kept
//! at 1 % is kept at 10 % too. T travels as `ot=th:`, so that every span says how many it stands for.

use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

/// 2^56: the number of values that R can have.
const RANDOM_VALUES: u64 = 1 << 56;
/// Hex digits of R and of T in full.
const DIGITS: usize = 14;
/// OpenTelemetry's list-member of tracestate.
const VENDOR: &str = "ot";
/// OpenTelemetry's limit for the value of its list-member.
const VENDOR_BYTES_MAX: usize = 256;

/// How the head of a trace decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// The caller's decision where there is a caller; this share of the traces that begin here. 1 keeps all.
    ParentBased(f64),
    /// This share, whatever the caller decided: consistent with the caller, but spans may be missing above or below.
    Probability(f64),
}

impl Default for Sampling {
    fn default() -> Self {
        Self::ParentBased(1.0)
    }
}

/// The rejection threshold for a share: 0 keeps all; `None` keeps nothing.
fn threshold(ratio: f64) -> Option<u64> {
    // NaN and shares below the least that 56 bits can tell keep nothing.
    if ratio.is_nan() || ratio * (RANDOM_VALUES as f64) < 1.0 {
        return None;
    }
    Some(RANDOM_VALUES - ((ratio.min(1.0) * RANDOM_VALUES as f64) as u64))
}

/// `th` as on the wire: trailing zeros cut, but never nothing.
fn threshold_text(threshold: u64) -> String {
    let digits = format!("{threshold:0DIGITS$x}");
    let cut = digits.trim_end_matches('0');
    if cut.is_empty() { "0".to_owned() } else { cut.to_owned() }
}

fn hex(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (digits && !text.is_empty()).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

fn sub_key<'a>(state: &'a TraceState, key: &str) -> Option<&'a str> {
    state.get(VENDOR)?.split(';').find_map(|pair| pair.strip_prefix(key)?.strip_prefix(':'))
}

/// The threshold that a tracestate carries; `None` where it has none or it can't be read.
pub fn threshold_of(state: &TraceState) -> Option<u64> {
    let text = sub_key(state, "th")?;
    (1..=DIGITS).contains(&text.len()).then(|| hex(&format!("{text:0<DIGITS$}"))).flatten()
}

/// How many spans this one stands for: 2^56 / (2^56 - T). `None`: unknown, as nobody said.
pub fn weight(state: &TraceState) -> Option<f64> {
    threshold_of(state).map(|threshold| RANDOM_VALUES as f64 / (RANDOM_VALUES - threshold) as f64)
}

/// R: `ot=rv:` where it was given, else the last 56 bits of the trace id.
fn randomness(state: &TraceState, trace_id: TraceId) -> u64 {
    let explicit = sub_key(state, "rv").filter(|text| text.len() == DIGITS).and_then(hex);
    explicit.unwrap_or_else(|| (u128::from_be_bytes(trace_id.to_bytes()) as u64) & (RANDOM_VALUES - 1))
}

/// The tracestate with `th` set, or removed; everything else in it stays.
fn with_threshold(state: &TraceState, threshold: Option<u64>) -> TraceState {
    let others =
        state.get(VENDOR).unwrap_or_default().split(';').filter(|pair| !pair.is_empty() && !pair.starts_with("th:"));
    let mut pairs: Vec<String> = others.map(str::to_owned).collect();
    if let Some(threshold) = threshold {
        pairs.insert(0, format!("th:{}", threshold_text(threshold)));
    }
    let value = pairs.join(";");
    let changed = if value.is_empty() { state.delete(VENDOR) } else { state.insert(VENDOR, value) };
    changed
        .ok()
        .filter(|changed| changed.get(VENDOR).is_none_or(|value| value.len() <= VENDOR_BYTES_MAX))
        .unwrap_or_else(|| state.clone())
}

impl Sampling {
    fn decide(&self, parent: Option<&SpanContext>, trace_id: TraceId) -> (bool, TraceState) {
        let inherited = parent.map(|parent| parent.trace_state().clone()).unwrap_or_default();
        let ratio = match (self, parent) {
            (Self::ParentBased(_), Some(parent)) => {
                // A threshold beside "not sampled" would lie about a weight: nothing is kept that could have one.
                return if parent.is_sampled() { (true, inherited) } else { (false, with_threshold(&inherited, None)) };
            }
            (Self::ParentBased(ratio), None) | (Self::Probability(ratio), _) => *ratio,
        };
        match threshold(ratio) {
            Some(threshold) if randomness(&inherited, trace_id) >= threshold => {
                (true, with_threshold(&inherited, Some(threshold)))
            }
            _ => (false, with_threshold(&inherited, None)),
        }
    }

    /// The decision for a trace that begins here: what a test or a load generator wants to know beforehand.
    pub fn keeps(&self, trace_id: TraceId) -> bool {
        self.decide(None, trace_id).0
    }
}

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        _name: &str,
        _kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let context =
            parent.filter(|parent| parent.has_active_span()).map(|parent| parent.span().span_context().clone());
        let context = context.filter(SpanContext::is_valid);
        // Within a service the server span has decided; only at the door may the own share differ from the caller's.
        let within = context.as_ref().is_some_and(|context| !context.is_remote());
        let sampling = if within { &Self::ParentBased(1.0) } else { self };
        let (sampled, trace_state) = sampling.decide(context.as_ref(), trace_id);
        let decision = if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        SamplingResult { decision, attributes: Vec::new(), trace_state }
    }
}
