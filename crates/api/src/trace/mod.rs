//! How is a trace told? Piece by piece while it is sent, so that a trace of a million spans is never there twice.

pub(crate) mod otlp_json;
pub(crate) mod otlp_protobuf;
#[cfg(test)]
pub(crate) mod tests;
mod value;

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use causeway_model::trace::{Resource, Scope, Span, Trace};
use causeway_model::{Error, Result};
use http::header;
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use value::AnyValue;

use crate::observe::Metric;

/// Spans of one piece at most. 1,000: half a megabyte of JSON.
const PIECE_SPANS_MAX: usize = 1_000;

/// Traces that an API did not show whole.
pub(crate) fn cut_metric(api: &'static str, cut: u64) -> Metric {
    let help = "Traces that were not shown whole, as a limit of spans or bytes was reached.";
    Metric::counter("causeway_traces_cut_total", help, cut as f64).with("api", api)
}

/// Spans of one resource and scope.
pub(crate) struct Piece<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) resource: &'a Resource,
    pub(crate) scope: &'a Scope,
    pub(crate) spans: Vec<&'a Span>,
}

/// The positions of a trace's spans, piece by piece: those of a resource and scope stand together, by their begin.
pub(crate) fn pieces(trace: &Trace) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..trace.spans.len()).collect();
    let source = |at: &usize| trace.spans.get(*at).map(|span| (span.resource, span.scope));
    order.sort_by_key(source);
    order
        .chunk_by(|a, b| source(a) == source(b))
        .flat_map(|same| same.chunks(PIECE_SPANS_MAX))
        .map(<[usize]>::to_vec)
        .collect()
}

impl<'a> Piece<'a> {
    /// The piece of these positions; `None` where there are none.
    pub(crate) fn of(trace: &'a Trace, positions: &[usize]) -> Option<Self> {
        let spans: Vec<&Span> = positions.iter().filter_map(|at| trace.spans.get(*at)).collect();
        let first = spans.first()?;
        let (resource, scope) = (trace.resources.get(first.resource)?, trace.scopes.get(first.scope)?);
        Some(Self { trace, resource, scope, spans })
    }
}

/// How traces are written.
pub(crate) trait Format: Send + 'static {
    /// What the answer is called.
    const CONTENT_TYPE: &'static str;

    /// What stands before the first trace.
    fn head(&mut self, out: &mut Vec<u8>);

    /// Writes a piece of a trace, in the order of [`pieces`]; `last` of its trace.
    fn piece(&mut self, piece: &Piece<'_>, last: bool, out: &mut Vec<u8>);

    /// What stands behind the last one.
    fn tail(&mut self, out: &mut Vec<u8>);
}

/// An answer that is written while it is sent; the place of its question is held until then.
pub(crate) fn answer(traces: Vec<Trace>, mut format: impl Format, place: Option<OwnedSemaphorePermit>) -> Response {
    let content_type = content_type(&format);
    let mut traces = traces.into_iter().filter(|trace| !trace.spans.is_empty());
    let mut now = traces.next().map(|trace| (pieces(&trace), trace, 0));
    let (mut begun, mut ended) = (false, false);
    let chunks = std::iter::from_fn(move || {
        let _held = &place;
        let mut out = Vec::new();
        if !begun {
            begun = true;
            format.head(&mut out);
        }
        if let Some((positions, trace, at)) = &mut now {
            let last = *at + 1 >= positions.len();
            if let Some(piece) = positions.get(*at).and_then(|positions| Piece::of(trace, positions)) {
                format.piece(&piece, last, &mut out);
            }
            *at += 1;
            if last {
                now = traces.next().map(|trace| (pieces(&trace), trace, 0));
            }
            return Some(Ok::<Bytes, Infallible>(out.into()));
        }
        if ended {
            return None;
        }
        ended = true;
        format.tail(&mut out);
        Some(Ok(out.into()))
    });
    let body = Body::from_stream(futures::stream::iter(chunks));
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

fn content_type<F: Format>(_: &F) -> &'static str {
    F::CONTENT_TYPE
}

/// Why spans of these traces are missing, where some are.
pub(crate) fn partial(traces: &[Trace]) -> Option<String> {
    let said = traces.iter().find_map(|trace| Some((trace, trace.partial.as_deref()?)));
    said.map(|(trace, why)| format!("trace {} is not shown whole: {why}", causeway_model::hex(&trace.trace_id)))
}

/// An id in hexadecimal digits, of which zeros at the left may be missing.
pub(crate) fn parse_id<const N: usize>(text: &str) -> Result<[u8; N]> {
    let wrong = || Error::invalid(format!("{:?} is no id of at most {} hexadecimal digits", shortened(text), 2 * N));
    let digits: Vec<u8> = text
        .chars()
        .map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    if digits.is_empty() || digits.len() > 2 * N {
        return Err(wrong());
    }
    let mut id = [0; N];
    for (place, digit) in digits.iter().rev().enumerate() {
        if let Some(byte) = id.iter_mut().rev().nth(place / 2) {
            *byte |= if place % 2 == 0 { *digit } else { digit << 4 };
        }
    }
    Ok(id)
}

/// So much of a client's text as fits an error.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
