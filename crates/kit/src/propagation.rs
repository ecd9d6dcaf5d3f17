//! What travels from service to service? W3C `traceparent` and `tracestate`, `x-request-id`, and the time that is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

/// The caller's span (W3C Trace Context level 2, section 3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What others carry along (section 3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The id that a user sees and support asks for; it outlives retries and traces.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Milliseconds that the caller still waits. Relative, as clocks differ between machines; gRPC's `grpc-timeout` does the same.
pub const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// Longest request id that is taken over from a caller: it is repeated in every log line.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Longest tracestate that is carried on: W3C asks for at least 512; members are kept from the left.
const TRACESTATE_BYTES_MAX: usize = 4096;
/// Level 2's flag: the last 56 bits of the trace id are random.
const RANDOM: u8 = 0x02;
const SAMPLED: u8 = 0x01;

/// What a request carries through its service, from the server layer to its logs and clients. Lives in the OpenTelemetry context.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The caller's `x-request-id`, or a new one.
    pub request_id: Arc<str>,
    /// When the caller stops waiting, on the kit's monotonic clock.
    pub deadline: Option<Duration>,
    /// Whether the trace's id is known to be random (W3C level 2).
    pub(crate) random: bool,
    /// Whether a flag's evaluation stands on the request's span already.
    flagged: Arc<AtomicBool>,
}

impl RequestContext {
    /// What a request with these headers carries, at `now`. `new_request_id` is asked where the caller gave none.
    pub fn from_headers(
        headers: &HeaderMap,
        now: Duration,
        timeout_max: Duration,
        new_request_id: impl FnOnce() -> String,
    ) -> Self {
        let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        let given = given.filter(|id| {
            !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let left =
            headers.get(&TIMEOUT_MS).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_millis);
        let deadline = now.checked_add(left.unwrap_or(timeout_max).min(timeout_max));
        let random = flags(headers).is_none_or(|flags| flags & RANDOM != 0);
        let request_id = given.map_or_else(|| new_request_id().into(), Arc::from);
        Self { request_id, deadline, random, flagged: Arc::default() }
    }

    /// The context of the request that is being answered.
    pub fn current() -> Option<Self> {
        Context::map_current(|context| context.get::<Self>().cloned())
    }

    /// Whether this is the first flag of the request.
    pub(crate) fn first_flag(&self) -> bool {
        !self.flagged.swap(true, Ordering::Relaxed)
    }
}

fn parts(headers: &HeaderMap) -> Option<(&str, &str, u8)> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let text = value.to_str().ok()?;
    let lower_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let mut fields = text.split('-');
    let (version, trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let shaped = version.len() == 2 && trace_id.len() == 32 && span_id.len() == 16 && flags.len() == 2;
    let hexadecimal = [version, trace_id, span_id, flags].into_iter().all(lower_hex);
    // Version ff is forbidden; 00 has exactly four fields, later versions may append more.
    let known = version != "ff" && (version != "00" || fields.next().is_none());
    (shaped && hexadecimal && known).then(|| Some((trace_id, span_id, u8::from_str_radix(flags, 16).ok()?)))?
}

fn flags(headers: &HeaderMap) -> Option<u8> {
    parts(headers).map(|(_, _, flags)| flags)
}

/// The caller's span, or `None`: a header that is wrong in any way is as good as none (section 4.3).
pub fn extract(headers: &HeaderMap) -> Option<SpanContext> {
    let (trace_id, span_id, flags) = parts(headers)?;
    let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
    let context =
        SpanContext::new(trace_id, span_id, TraceFlags::new(flags & (SAMPLED | RANDOM)), true, trace_state(headers));
    context.is_valid().then_some(context)
}

/// Several headers are one list, in their order (section 3.3.1); what can't be read is dropped as a whole.
fn trace_state(headers: &HeaderMap) -> TraceState {
    let mut list = String::new();
    for value in headers.get_all(&TRACESTATE) {
        let Ok(text) = value.to_str() else { return TraceState::default() };
        for member in text.split(',') {
            if list.len() + member.len() >= TRACESTATE_BYTES_MAX {
                return list.parse().unwrap_or_default();
            }
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(member);
        }
    }
    list.parse().unwrap_or_default()
}

/// Writes the span of `context` and its request into the headers of a call, which is waited for until `left` is over.
pub fn inject(context: &Context, left: Duration, headers: &mut HeaderMap) {
    let request = context.get::<RequestContext>();
    let span = context.span();
    let span = span.span_context();
    if span.is_valid() {
        // Ids that begin here are random; of others only the caller knows.
        let random = if request.is_none_or(|request| request.random) { RANDOM } else { 0 };
        let flags = (span.trace_flags().to_u8() & SAMPLED) | random;
        set(headers, TRACEPARENT, &format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()));
        let state = span.trace_state().header();
        if !state.is_empty() {
            set(headers, TRACESTATE, &state);
        }
    }
    if let Some(request) = request {
        set(headers, REQUEST_ID, &request.request_id);
    }
    set(headers, TIMEOUT_MS, &left.as_millis().to_string());
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
