//! How does an operation end in its span and in its histogram, also where nobody waits for its end?

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TraceContextExt;
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
}

impl Operation {
    /// It begins now. The span needs the fields `otel.status_code` and `error.type`.
    pub(crate) fn begin(kit: &Kit, durations: &Durations, span: &Span, attributes: Vec<KeyValue>) -> Self {
        let clock = Arc::clone(kit.clock());
        let (started, span) = (clock.monotonic(), span.clone());
        Self { durations: durations.clone(), clock, started, span, attributes, ended: false }
    }

    /// A status, for the span and the histogram.
    pub(crate) fn status(&mut self, status: u16) {
        self.span.record("http.response.status_code", status);
        self.attributes.push(KeyValue::new("http.response.status_code", i64::from(status)));
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
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Some("cancelled"));
        }
    }
}
