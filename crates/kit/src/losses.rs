//! How much telemetry was sent, and how much was lost on the way? Counted, told in the log, sent as a metric.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// A kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Spans,
    /// Log records.
    Logs,
    /// Data points of metrics.
    Metrics,
}

impl Signal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Spans, Self::Logs, Self::Metrics];

    /// Path of the receiver (OTLP specification, "OTLP/HTTP Request").
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Spans => "/v1/traces",
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
        }
    }

    fn metric(self) -> &'static str {
        match self {
            Self::Spans => "otel.sdk.exporter.span.exported",
            Self::Logs => "otel.sdk.exporter.log.exported",
            Self::Metrics => "otel.sdk.exporter.metric_data_point.exported",
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Exported,
    /// The queue was full: the receiver is slow or away.
    QueueFull,
    /// The receiver did not answer, until time ran out.
    Unreachable,
    /// The receiver would not have it.
    Rejected,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Exported, Self::QueueFull, Self::Unreachable, Self::Rejected];

    /// `error.type`; none where all went well.
    fn error_type(self) -> Option<&'static str> {
        match self {
            Self::Exported => None,
            Self::QueueFull => Some("queue_full"),
            Self::Unreachable => Some("unreachable"),
            Self::Rejected => Some("rejected"),
        }
    }
}

/// Counts by signal and fate, since the start.
#[derive(Debug, Default)]
pub struct Fates {
    counts: [[AtomicU64; 4]; 3],
}

impl Fates {
    pub(crate) fn add(&self, signal: Signal, fate: Fate, records: usize) {
        self.counts[signal as usize][fate as usize].fetch_add(records as u64, Ordering::Relaxed);
    }

    /// Records of this signal that met this fate.
    pub fn count(&self, signal: Signal, fate: Fate) -> u64 {
        self.counts[signal as usize][fate as usize].load(Ordering::Relaxed)
    }

    /// Records of this signal that were lost, for whatever reason.
    pub fn lost(&self, signal: Signal) -> u64 {
        Fate::ALL.into_iter().filter(|fate| *fate != Fate::Exported).map(|fate| self.count(signal, fate)).sum()
    }

    /// Shows the counts as the SDK's own metrics (semantic conventions, "OpenTelemetry SDK metrics").
    pub(crate) fn observe(self: &Arc<Self>, meter: &Meter) {
        for signal in Signal::ALL {
            let fates = Arc::clone(self);
            meter
                .u64_observable_counter(signal.metric())
                .with_description("Records that left the service, or with error.type were lost.")
                .with_callback(move |observer| {
                    for fate in Fate::ALL {
                        let attributes = fate.error_type().map(|word| KeyValue::new("error.type", word));
                        observer.observe(fates.count(signal, fate), attributes.as_slice());
                    }
                })
                .build();
        }
    }
}
