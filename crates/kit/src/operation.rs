//! How does an operation end in its span and in its histogram, also where nobody waits for its end?

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::clock::Clock;
use crate::init::Kit;
use crate::metrics::Durations;

/// Something with a beginning, an end and perhaps an error: a request, a call, a statement. Dropped before its end, it was cancelled: a time-out
/// further out, or a caller that hung up.
#[derive(Debug)]
pub(crate) struct Operation {
    durations: Durations,
    clock: Arc<dyn Clock>,
    started: Duration,
    span: Span,
    attributes: Vec<KeyValue>,
    ended: bool,
    /// It was not answered as wished, though nobody here may be at fault.
    refused: bool,
    late: Option<Late>,
}

/// A span of a server that is only made once its request has failed.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) kit: Kit,
    pub(crate) name: String,
    pub(crate) parent: Context,
    /// What the histogram does not have.
    pub(crate) attributes: Vec<KeyValue>,
}

impl Late {
    fn tell(mut self, duration: Duration, attributes: &[KeyValue], error_type: Option<&str>) {
        self.attributes.extend_from_slice(attributes);
        let ended = self.kit.clock().unix_time();
        let started = ended.checked_sub(duration).unwrap_or(std::time::UNIX_EPOCH);
        let tracer = self.kit.tracer();
        let span = tracer.span_builder(self.name).with_kind(SpanKind::Server).with_start_time(started);
        let mut span = span.with_attributes(self.attributes).start_with_context(tracer, &self.parent);
        if error_type.is_some() {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(ended);
    }
}

impl Operation {
    /// It begins now. The span needs the fields `otel.status_code` and `error.type`.
    pub(crate) fn begin(kit: &Kit, durations: &Durations, span: &Span, attributes: Vec<KeyValue>) -> Self {
        let clock = Arc::clone(kit.clock());
        let (started, span) = (clock.monotonic(), span.clone());
        let durations = durations.clone();
        Self { durations, clock, started, span, attributes, ended: false, refused: false, late: None }
    }

    /// Makes a span where it fails, in place of the one that it has not.
    pub(crate) fn told_late(mut self, late: Option<Late>) -> Self {
        self.late = late;
        self
    }

    /// A status, for the span and the histogram.
    pub(crate) fn status(&mut self, status: u16) {
        // The bridge knows signed integers only; it makes texts of others.
        let status = i64::from(status);
        self.refused |= status >= 400;
        self.span.record("http.response.status_code", status);
        self.attributes.push(KeyValue::new("http.response.status_code", status));
    }

    /// The status of a gRPC call that failed, for the span.
    pub(crate) fn grpc_status(&mut self, code: &'static str) {
        self.refused = true;
        self.span.record("rpc.system.name", "grpc");
        self.span.record("rpc.response.status_code", code);
        if let Some(late) = &mut self.late {
            late.attributes.push(KeyValue::new("rpc.system.name", "grpc"));
            late.attributes.push(KeyValue::new("rpc.response.status_code", code));
        }
    }

    /// It ends now.
    pub(crate) fn end(mut self, error_type: Option<&str>) {
        self.finish(error_type);
    }

    fn finish(&mut self, error_type: Option<&str>) {
        self.ended = true;
        if let Some(error_type) = error_type {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", error_type);
            self.attributes.push(KeyValue::new("error.type", error_type.to_owned()));
        }
        let duration = self.clock.monotonic().saturating_sub(self.started);
        self.durations.record(duration, &self.attributes, self.span.context().span().span_context());
        if let Some(late) = self.late.take().filter(|_| self.refused || error_type.is_some()) {
            late.tell(duration, &self.attributes, error_type);
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Some("cancelled"));
        }
    }
}
