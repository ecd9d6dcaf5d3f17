//! How does the program observe itself? Its own logs, request spans and metrics go into its own store as service `causeway`,
//! the way everyone else's do: as OTLP, decoded, appended.
//!
//! It never feeds back on itself: what writes telemetry runs without a subscriber, so nothing on its way becomes an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_api::{Metric, REQUEST_TARGET, Reading};
use causeway_ingest::otlp::{Encoding, decode};
use causeway_model::{Appender, Clock, Delivery, LedgerEntry, Result, Rng, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric as OtlpMetric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status};
use parking_lot::Mutex;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The sender in the ledger.
const SENDER: &str = "causeway-self";
/// Logs and spans that wait for the next write; beyond it they are dropped and counted. 4,096: seconds of a busy server.
const QUEUE_MAX: usize = 4096;
/// Logs and spans are written this often.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Metrics are written every so many flushes: every 15 s, Prometheus' usual step.
const FLUSHES_PER_METRICS: u64 = 3;

/// Collects and writes the program's own telemetry. Cheap to clone; clones share one queue.
#[derive(Debug, Clone)]
pub struct SelfTelemetry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    started_unix_nano: i64,
    waiting: Mutex<Waiting>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    logs: Vec<LogRecord>,
    spans: Vec<Span>,
    rng: Rng,
}

impl SelfTelemetry {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let started_unix_nano = clock.now_unix_nano();
        // Ids must differ between starts, not be secret.
        let seed = started_unix_nano.unsigned_abs() ^ (u64::from(std::process::id()) << 40);
        let waiting = Mutex::new(Waiting { logs: Vec::new(), spans: Vec::new(), rng: Rng::from_seed(seed) });
        Self { shared: Arc::new(Shared { clock, started_unix_nano, waiting, dropped: AtomicU64::new(0) }) }
    }

    /// What listens to the program's events.
    pub fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> impl Layer<S> + use<S> {
        QueueLayer(self.clone()).with_filter(LevelFilter::INFO)
    }

    /// What was dropped.
    pub fn metric(&self) -> Metric {
        Metric {
            name: "causeway_self_telemetry_dropped_total",
            help: "Logs, spans and metrics of Causeway itself that were dropped, as the queue was full or the store refused.",
            labels: Vec::new(),
            reading: Reading::Counter(self.shared.dropped.load(Ordering::Relaxed) as f64),
        }
    }

    /// Writes what waits every few seconds, and once more at the end.
    pub fn run(
        self,
        appender: Arc<dyn Appender>,
        metrics: impl Fn() -> Vec<Metric> + Send + 'static,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send {
        let work = async move {
            for flush in 1u64.. {
                let stopping = tokio::time::timeout(FLUSH_EVERY, stop.cancelled()).await.is_ok();
                self.flush_events(&*appender).await;
                if stopping || flush % FLUSHES_PER_METRICS == 0 {
                    self.flush_metrics(&*appender, &metrics()).await;
                }
                if stopping {
                    return;
                }
            }
        };
        work.with_subscriber(NoSubscriber::default())
    }

    async fn flush_events(&self, appender: &dyn Appender) {
        let (logs, spans) = {
            let mut waiting = self.shared.waiting.lock();
            (std::mem::take(&mut waiting.logs), std::mem::take(&mut waiting.spans))
        };
        if !logs.is_empty() {
            let count = logs.len();
            let scope_logs = vec![ScopeLogs { scope: scope(), log_records: logs, ..ScopeLogs::default() }];
            let resource_logs = vec![ResourceLogs { resource: resource(), scope_logs, ..ResourceLogs::default() }];
            self.write(appender, Signal::Logs, &ExportLogsServiceRequest { resource_logs }, count).await;
        }
        if !spans.is_empty() {
            let count = spans.len();
            let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }];
            let resource_spans = vec![ResourceSpans { resource: resource(), scope_spans, ..ResourceSpans::default() }];
            self.write(appender, Signal::Spans, &ExportTraceServiceRequest { resource_spans }, count).await;
        }
    }

    async fn flush_metrics(&self, appender: &dyn Appender, metrics: &[Metric]) {
        let (now, started) = (unsigned(self.shared.clock.now_unix_nano()), unsigned(self.shared.started_unix_nano));
        let metrics: Vec<OtlpMetric> = metrics.iter().map(|metric| otlp_metric(metric, started, now)).collect();
        let count = metrics.len();
        let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() }];
        let resource_metrics =
            vec![ResourceMetrics { resource: resource(), scope_metrics, ..ResourceMetrics::default() }];
        self.write(appender, Signal::Metrics, &ExportMetricsServiceRequest { resource_metrics }, count).await;
    }

    /// A refusal costs these records and is counted: to keep them would be a queue without end.
    async fn write(&self, appender: &dyn Appender, signal: Signal, request: &impl Message, count: usize) {
        let kept = match self.delivery(signal, request) {
            Ok(delivery) => appender.append(delivery).await.map(|_| ()),
            Err(error) => Err(error),
        };
        if kept.is_err() {
            self.shared.dropped.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    fn delivery(&self, signal: Signal, request: &impl Message) -> Result<Delivery> {
        let received_unix_nano = self.shared.clock.now_unix_nano();
        let decoded = decode(signal, Encoding::Protobuf, &request.encode_to_vec(), received_unix_nano)?;
        let dropped: Vec<(String, u64)> =
            decoded.dropped.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
        let lost = dropped.iter().map(|(_, count)| count).sum::<u64>().min(decoded.received);
        let stored = decoded.received - lost;
        let ledger = vec![LedgerEntry { signal, received: decoded.received, stored, dropped }];
        Ok(Delivery { sender: SENDER.to_owned(), received_unix_nano, batches: decoded.batches, ledger })
    }

    fn push(&self, make: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.shared.waiting.lock();
        if waiting.logs.len() + waiting.spans.len() >= QUEUE_MAX {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        make(&mut waiting);
    }
}

struct QueueLayer(SelfTelemetry);

impl<S: Subscriber> Layer<S> for QueueLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = unsigned(self.0.shared.clock.now_unix_nano());
        if event.metadata().target() == REQUEST_TARGET {
            self.0.push(|waiting| {
                let span = request_span(fields, now, &mut waiting.rng);
                waiting.spans.push(span);
            });
            return;
        }
        let (severity_number, severity_text) = severity(*event.metadata().level());
        fields.attributes.push(text("code.namespace", event.metadata().target()));
        let record = LogRecord {
            time_unix_nano: now,
            observed_time_unix_nano: now,
            severity_number,
            severity_text: severity_text.to_owned(),
            body: Some(AnyValue { value: Some(any_value::Value::StringValue(fields.message)) }),
            attributes: fields.attributes,
            ..LogRecord::default()
        };
        self.0.push(|waiting| waiting.logs.push(record));
    }
}

/// An event's fields as attributes.
#[derive(Default)]
struct Fields {
    message: String,
    attributes: Vec<KeyValue>,
}

impl Fields {
    fn take(&mut self, key: &str) -> Option<any_value::Value> {
        let at = self.attributes.iter().position(|attribute| attribute.key == key)?;
        self.attributes.swap_remove(at).value?.value
    }

    fn take_text(&mut self, key: &str) -> String {
        match self.take(key) {
            Some(any_value::Value::StringValue(text)) => text,
            _ => String::new(),
        }
    }

    fn take_int(&mut self, key: &str) -> i64 {
        match self.take(key) {
            Some(any_value::Value::IntValue(value)) => value,
            _ => 0,
        }
    }

    fn keep(&mut self, field: &Field, value: any_value::Value) {
        self.attributes.push(attribute(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.keep(field, any_value::Value::StringValue(value.to_owned()));
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, any_value::Value::BoolValue(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, any_value::Value::IntValue(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, any_value::Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, any_value::Value::DoubleValue(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn unsigned(unix_nano: i64) -> u64 {
    u64::try_from(unix_nano).unwrap_or(0)
}

fn severity(level: Level) -> (i32, &'static str) {
    match level {
        Level::ERROR => (17, "ERROR"),
        Level::WARN => (13, "WARN"),
        Level::INFO => (9, "INFO"),
        Level::DEBUG => (5, "DEBUG"),
        Level::TRACE => (1, "TRACE"),
    }
}

fn resource() -> Option<Resource> {
    let attributes = vec![
        text("service.name", "causeway"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        attribute("process.pid", any_value::Value::IntValue(i64::from(std::process::id()))),
    ];
    Some(Resource { attributes, ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    let name = "causeway".to_owned();
    Some(InstrumentationScope {
        name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    })
}

/// The span of a request, from the event that ended it.
fn request_span(mut fields: Fields, end_unix_nano: u64, rng: &mut Rng) -> Span {
    let (route, method) = (fields.take_text("route"), fields.take_text("method"));
    let (status_code, duration) = (fields.take_int("status"), unsigned(fields.take_int("duration_ns")));
    // Who asked with a `traceparent` finds this span below its own; others get a trace of their own.
    let parent = (id_of(&fields.take_text("trace_id"), 16), id_of(&fields.take_text("parent_span_id"), 8));
    let (trace_id, parent_span_id) = match parent {
        (Some(trace_id), Some(parent_span_id)) => (trace_id, parent_span_id),
        _ => ([rng.next_u64() | 1, rng.next_u64()].map(u64::to_be_bytes).concat(), Vec::new()),
    };
    let failed = status_code >= 500;
    Span {
        trace_id,
        parent_span_id,
        span_id: (rng.next_u64() | 1).to_be_bytes().to_vec(),
        name: format!("{method} {route}"),
        kind: span::SpanKind::Server as i32,
        start_time_unix_nano: end_unix_nano.saturating_sub(duration),
        end_time_unix_nano: end_unix_nano,
        attributes: vec![
            text("http.request.method", &method),
            text("http.route", &route),
            attribute("http.response.status_code", any_value::Value::IntValue(status_code)),
        ],
        status: failed.then(|| Status { code: status::StatusCode::Error as i32, message: String::new() }),
        ..Span::default()
    }
}

/// The bytes of an id in hex; `None` unless there are as many as that.
fn id_of(hex: &str, bytes: usize) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect::<Option<Vec<u8>>>().filter(|id| id.len() == bytes)
}

fn otlp_metric(metric: &Metric, started: u64, now: u64) -> OtlpMetric {
    let attributes: Vec<KeyValue> = metric.labels.iter().map(|(name, value)| text(name, value)).collect();
    let point = |value: f64, start_time_unix_nano| NumberDataPoint {
        attributes: attributes.clone(),
        start_time_unix_nano,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let aggregation_temporality = AggregationTemporality::Cumulative as i32;
    let data = match &metric.reading {
        Reading::Gauge(value) => metric::Data::Gauge(Gauge { data_points: vec![point(*value, 0)] }),
        Reading::Counter(value) => {
            let data_points = vec![point(*value, started)];
            metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true })
        }
        Reading::Histogram { bounds, counts, sum } => {
            let point = HistogramDataPoint {
                attributes: attributes.clone(),
                start_time_unix_nano: started,
                time_unix_nano: now,
                count: counts.iter().sum(),
                sum: Some(*sum),
                bucket_counts: counts.clone(),
                explicit_bounds: bounds.to_vec(),
                ..HistogramDataPoint::default()
            };
            metric::Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality })
        }
    };
    OtlpMetric {
        name: metric.name.to_owned(),
        description: metric.help.to_owned(),
        data: Some(data),
        ..OtlpMetric::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::pin::Pin;

    use causeway_model::{Error, Receipt, Table};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Keeps deliveries, and says so aloud, as a real store might.
    #[derive(Default)]
    struct Talkative {
        kept: Mutex<Vec<Delivery>>,
        refuse: bool,
    }

    impl Appender for Talkative {
        fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
            Box::pin(async move {
                tracing::error!("appending");
                if self.refuse {
                    return Err(Error::unavailable("no"));
                }
                self.kept.lock().push(delivery);
                Ok(Receipt { sequence: 1 })
            })
        }
    }

    fn observed(telemetry: &SelfTelemetry, work: impl FnOnce()) {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(telemetry.layer()), work);
    }

    fn new_telemetry() -> SelfTelemetry {
        SelfTelemetry::new(Arc::new(causeway_model::SystemClock::new()))
    }

    #[test]
    fn logs_spans_and_metrics_arrive_and_nothing_feeds_back() {
        let telemetry = new_telemetry();
        let appender = Arc::new(Talkative::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        observed(&telemetry, || {
            tracing::warn!(parts = 3, "a merge was slow");
            tracing::debug!("not this");
            tracing::info!(target: REQUEST_TARGET, route = "/api/v1/sql", method = %"POST", status = 500, duration_ns = 9u64, "request");
            let stop = CancellationToken::new();
            stop.cancel();
            let metrics = || vec![Metric { name: "x", help: "", labels: vec![], reading: Reading::Gauge(1.0) }];
            runtime.block_on(telemetry.clone().run(appender.clone(), metrics, stop));
        });
        let waiting = telemetry.shared.waiting.lock();
        assert!(waiting.logs.is_empty() && waiting.spans.is_empty(), "it fed back on itself");
        let kept = appender.kept.lock();
        let rows = |table: Table| -> usize {
            let batches = kept.iter().flat_map(|delivery| &delivery.batches);
            batches.filter(|batch| batch.table() == table).map(causeway_model::Batch::rows).sum()
        };
        assert_eq!((rows(Table::Logs), rows(Table::Spans), rows(Table::MetricSamples)), (1, 1, 1));
        assert!(kept.iter().all(|delivery| delivery.sender == SENDER));
        assert!(kept.iter().flat_map(|delivery| &delivery.ledger).all(|entry| entry.received == entry.stored));
    }

    #[test]
    fn a_span_continues_the_trace_of_who_asked() {
        let telemetry = new_telemetry();
        let trace = "0af7651916cd43dd8448eb211c80319c";
        observed(&telemetry, || {
            let ends = |trace_id: Option<&str>, parent_span_id: Option<&str>| {
                tracing::info!(target: REQUEST_TARGET, route = "/", trace_id, parent_span_id, "request");
            };
            ends(Some(trace), Some("b7ad6b7169203331"));
            ends(None, None);
        });
        let waiting = telemetry.shared.waiting.lock();
        let [child, root] = &waiting.spans[..] else { panic!("two spans") };
        assert_eq!((child.trace_id[0], child.trace_id[15], child.trace_id.len()), (0x0a, 0x9c, 16));
        assert_eq!(child.parent_span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert!(root.parent_span_id.is_empty() && root.trace_id.len() == 16 && root.trace_id != child.trace_id);
        assert!(child.attributes.iter().all(|attribute| attribute.key != "trace_id"));
    }

    #[test]
    fn what_is_too_much_or_refused_is_counted() {
        let telemetry = new_telemetry();
        observed(&telemetry, || (0..QUEUE_MAX + 10).for_each(|_| tracing::info!("again")));
        assert_eq!(telemetry.shared.dropped.load(Ordering::Relaxed), 10);
        let appender = Talkative { refuse: true, ..Talkative::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(telemetry.flush_events(&appender));
        assert_eq!(telemetry.shared.dropped.load(Ordering::Relaxed), 10 + QUEUE_MAX as u64);
    }
}
