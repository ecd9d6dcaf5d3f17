//! How many requests were there, how many failed and how long did they take, by service, operation and dependency? Counted from spans as
//! they arrive, each as often as it stands for, and kept as ordinary series.
//!
//! [`causeway_meters::Counted`] has it count what was kept, and keeps the samples.

use causeway_ingest::prometheus::{Metadata, MetricType};
use causeway_meters::{Counting, Family, LATE_MAX_NS, Limits, Meters, Moment, Observation};
use causeway_model::{Batch, Table};

mod calls;
mod spans;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use calls::USER;

use calls::Calls;

/// Operations and calls that are told apart. 7,500: 20,000 series or so, and with the widest histograms still one delivery. Of one service
/// 1,000: one that has more puts ids into the names of its operations.
const LIMITS: Limits = Limits { meters_max: 7_500, of_service_max: 1_000 };

// Names and labels are those of Grafana Tempo's metrics generator, which dashboards and service graphs read.
/// Requests and calls, by service, operation, kind and status.
pub const OPERATION_CALLS: &str = "traces_spanmetrics_calls_total";
/// How long they took.
pub const OPERATION_LATENCY: &str = "traces_spanmetrics_latency";
/// Calls from one service to another.
pub const CALL_REQUESTS: &str = "traces_service_graph_request_total";
/// Those of them that failed.
pub const CALL_FAILED: &str = "traces_service_graph_request_failed_total";
/// How long they took for the caller.
pub const CALL_CLIENT: &str = "traces_service_graph_request_client_seconds";
const CALL_SERVER: &str = "traces_service_graph_request_server_seconds";

/// Requests that a service answered, by its version and instance: a name of ours.
pub const INSTANCE_REQUESTS: &str = "traces_service_instance_requests_total";
/// Those of them that failed.
pub const INSTANCE_FAILED: &str = "traces_service_instance_requests_failed_total";

/// An instance of a service.
const INSTANCE: Family = Family {
    labels: &["service", "service_version", "service_instance_id"],
    counters: &[INSTANCE_REQUESTS, INSTANCE_FAILED],
    histograms: &[],
};
/// An operation of a service.
const OPERATION: Family = Family {
    labels: &["service", "span_name", "span_kind", "status_code"],
    counters: &[OPERATION_CALLS],
    histograms: &[OPERATION_LATENCY],
};
/// Calls from one service to another.
const CALL: Family = Family {
    labels: &["client", "server", "connection_type"],
    counters: &[CALL_REQUESTS, CALL_FAILED],
    histograms: &[CALL_CLIENT, CALL_SERVER],
};

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Operations and calls that are told apart.
    pub meters: usize,
    /// Ends of calls that wait for the other.
    pub waiting: usize,
    /// Requests and calls beyond the limits, counted in the overflow series.
    pub overflowed: u64,
    /// Spans that came too late to be counted.
    pub late: u64,
    /// Ends of calls that could not wait, as too many did.
    pub crowded: u64,
    /// Called ends that no caller came for.
    pub unclaimed: u64,
}

/// Counts spans.
#[derive(Debug)]
pub struct SpanMetrics {
    meters: Meters,
    calls: Calls,
    late: u64,
}

impl Default for SpanMetrics {
    fn default() -> Self {
        Self { meters: Meters::new(LIMITS), calls: Calls::default(), late: 0 }
    }
}

impl SpanMetrics {
    /// Where it stands.
    pub fn figures(&self) -> Figures {
        Figures {
            meters: self.meters.len(),
            waiting: self.calls.len(),
            overflowed: self.meters.overflowed,
            late: self.late,
            crowded: self.calls.crowded,
            unclaimed: self.calls.unclaimed,
        }
    }
}

impl Counting for SpanMetrics {
    const SENDER: &'static str = "causeway span-metrics";

    fn counts(table: Table) -> bool {
        table == Table::Spans
    }

    fn observe(&mut self, batches: &[Batch], now: Moment) {
        let Self { meters, calls, late } = self;
        calls.expire(now.monotonic_nano, meters);
        for batch in batches {
            spans::each(batch, |seen| {
                if now.unix_nano.saturating_sub(seen.end) > LATE_MAX_NS {
                    *late += 1;
                    return;
                }
                meters.observe(&Observation {
                    family: &OPERATION,
                    values: &[seen.service, seen.name, seen.kind.label(), seen.status_label()],
                    counts: [seen.weight, 0.0],
                    seconds: [seen.seconds, None],
                    span: Some((seen.key, seen.end)),
                });
                if seen.is_answered() {
                    meters.observe(&Observation {
                        family: &INSTANCE,
                        values: &[seen.service, seen.version, seen.instance],
                        counts: [seen.weight, if seen.failed() { seen.weight } else { 0.0 }],
                        seconds: [None; 2],
                        span: None,
                    });
                }
                calls.observe(seen, now.monotonic_nano, meters);
            });
        }
    }

    fn gather(&mut self, now: Moment, is_last: bool) {
        // At the end nothing more comes for those that wait.
        self.calls.expire(if is_last { u64::MAX } else { now.monotonic_nano }, &mut self.meters);
    }

    fn meters(&mut self) -> &mut Meters {
        &mut self.meters
    }

    fn metadata() -> Vec<Metadata<'static>> {
        let metrics = [
            (OPERATION_CALLS, MetricType::Counter, "", "Requests and calls, from spans."),
            (OPERATION_LATENCY, MetricType::Histogram, "seconds", "How long they took."),
            (INSTANCE_REQUESTS, MetricType::Counter, "", "Requests that an instance answered, from spans."),
            (INSTANCE_FAILED, MetricType::Counter, "", "Requests that failed there."),
            (CALL_REQUESTS, MetricType::Counter, "", "Calls from one service to another, from spans."),
            (CALL_FAILED, MetricType::Counter, "", "Calls that failed at either end."),
            (CALL_CLIENT, MetricType::Histogram, "seconds", "How long calls took, as the caller saw it."),
            (CALL_SERVER, MetricType::Histogram, "seconds", "How long calls took, as the called service saw it."),
        ];
        let told =
            metrics.map(|(name, metric_type, unit, description)| Metadata { name, metric_type, unit, description });
        told.into()
    }
}
