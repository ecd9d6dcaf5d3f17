//! Under which names do records tell of their trace and span, and how are ids written there? For lines that become fields, and for attributes of
//! OTLP's logs, whose senders often put ids beside the columns that are meant for them.

use std::sync::LazyLock;

use causeway_model::{KeyDictionary, Value};
use hashbrown::HashMap;

/// Names of a trace's id, those that mean nothing else first.
pub(crate) const TRACE_IDS: &[&str] =
    &["trace_id", "trace.id", "traceId", "traceID", "otelTraceID", "TraceId", "@tr", "traceid"];
/// Names of a span's id.
pub(crate) const SPAN_IDS: &[&str] =
    &["span_id", "span.id", "spanId", "spanID", "otelSpanID", "SpanId", "@sp", "spanid"];
/// Names of W3C's header of both.
pub(crate) const TRACE_PARENTS: &[&str] = &["traceparent"];
/// Datadog's names, of which the values are decimal numbers of 64 bits.
pub(crate) const DATADOG_TRACE_IDS: &[&str] = &["dd.trace_id"];
/// Its name of a span's id.
pub(crate) const DATADOG_SPAN_IDS: &[&str] = &["dd.span_id"];

/// Hexadecimal digits of exactly so many bytes that are not all zero.
pub(crate) fn hex_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    (bytes != [0; N]).then_some(bytes)
}

/// A trace id; one of 64 bits, as Zipkin's older clients have them, with zeros before it.
pub(crate) fn trace_id(text: &str) -> Option<[u8; 16]> {
    hex_bytes(text).or_else(|| hex_bytes::<8>(text).map(low_half))
}

/// W3C Trace Context: version, trace, span and flags.
pub(crate) fn trace_parent(text: &str) -> Option<([u8; 16], [u8; 8], u32)> {
    let mut parts = text.split('-');
    let (_version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some((hex_bytes(trace)?, hex_bytes(span)?, u32::from(u8::from_str_radix(flags, 16).ok()?)))
}

/// Datadog's trace id: the lower 64 bits as a decimal number, with zeros before them as the others are not told; newer tracers write all in hex.
pub(crate) fn datadog_trace_id(value: &Value<'_>) -> Option<[u8; 16]> {
    match value {
        Value::String(text) if text.len() == 32 => hex_bytes(text),
        other => datadog_span_id(other).map(low_half),
    }
}

/// Datadog's span id: a decimal number.
pub(crate) fn datadog_span_id(value: &Value<'_>) -> Option<[u8; 8]> {
    let number: u64 = match value {
        Value::String(text) => text.parse().ok()?,
        Value::Int(number) => u64::try_from(*number).ok()?,
        _ => return None,
    };
    (number != 0).then(|| number.to_be_bytes())
}

fn low_half(half: [u8; 8]) -> [u8; 16] {
    u128::from(u64::from_be_bytes(half)).to_be_bytes()
}

/// What an attribute's name says that its value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Trace,
    Span,
    Parent,
    DatadogTrace,
    DatadogSpan,
}

/// Each name with what it means and its rank: of several ids, that of the lowest is taken.
static BY_NAME: LazyLock<HashMap<&str, (Named, usize)>> = LazyLock::new(|| {
    let lists = [
        (Named::Trace, TRACE_IDS),
        (Named::Span, SPAN_IDS),
        (Named::Parent, TRACE_PARENTS),
        (Named::DatadogTrace, DATADOG_TRACE_IDS),
        (Named::DatadogSpan, DATADOG_SPAN_IDS),
    ];
    let all = lists.into_iter().flat_map(|(named, names)| names.iter().map(move |name| (*name, named)));
    all.enumerate().map(|(rank, (name, named))| (name, (named, rank))).collect()
});

/// The ids that attributes tell.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub trace: Option<[u8; 16]>,
    pub span: Option<[u8; 8]>,
}

/// Which of a request's keys are names of ids: looked up once for each key, so that records without such a key cost nothing.
#[derive(Debug, Default)]
pub(crate) struct IdKeys {
    known: usize,
    named: Vec<(u32, Named, usize)>,
}

impl IdKeys {
    /// What the attributes of a record say, by the numbers of their keys in `keys`.
    #[inline]
    pub(crate) fn told<'v>(
        &mut self,
        keys: &KeyDictionary,
        attributes: impl Iterator<Item = (u32, Value<'v>)>,
    ) -> Told {
        if self.known < keys.len() {
            self.learn(keys);
        }
        if self.named.is_empty() { Told::default() } else { self.read(attributes) }
    }

    #[cold]
    fn learn(&mut self, keys: &KeyDictionary) {
        for (number, key) in keys.keys().iter().enumerate().skip(self.known) {
            if let Some((named, rank)) = BY_NAME.get(&**key).copied()
                && let Ok(number) = u32::try_from(number)
            {
                self.named.push((number, named, rank));
            }
        }
        self.known = keys.len();
    }

    fn read<'v>(&self, attributes: impl Iterator<Item = (u32, Value<'v>)>) -> Told {
        let (mut told, mut trace_rank, mut span_rank) = (Told::default(), usize::MAX, usize::MAX);
        for (number, value) in attributes {
            let Some((_, named, rank)) = self.named.iter().find(|(key, ..)| *key == number) else { continue };
            let (trace, span) = ids_of(*named, &value);
            if trace.is_some() && *rank < trace_rank {
                (told.trace, trace_rank) = (trace, *rank);
            }
            if span.is_some() && *rank < span_rank {
                (told.span, span_rank) = (span, *rank);
            }
        }
        told
    }
}

fn ids_of(named: Named, value: &Value<'_>) -> (Option<[u8; 16]>, Option<[u8; 8]>) {
    match (named, value) {
        (Named::Trace, Value::String(text)) => (trace_id(text), None),
        (Named::Span, Value::String(text)) => (None, hex_bytes(text)),
        (Named::Parent, Value::String(text)) => trace_parent(text).map(|(trace, span, _)| (trace, span)).unzip(),
        (Named::DatadogTrace, value) => (datadog_trace_id(value), None),
        (Named::DatadogSpan, value) => (None, datadog_span_id(value)),
        _ => (None, None),
    }
}
