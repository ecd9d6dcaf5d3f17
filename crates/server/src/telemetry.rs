//! How does the program observe itself? As any service does, by the kit; but its telemetry goes into its own store, as service `causeway`.
//!
//! It never feeds back on itself: the kit asks for the way to the store without a subscriber, so nothing on it becomes an event or a span.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use causeway_api::{Metric, Reading};
use causeway_ingest::otlp::{Encoding, decode};
use causeway_kit::{self as kit, Kit, Sampling, Sent, ServerLayer, Transport};
use causeway_model::{Appender, Clock, Delivery, Error, ErrorKind, LedgerEntry, OWN_SERVICE, Result, Signal};
use futures::FutureExt;
use futures::future::BoxFuture;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric as OtlpMetric, NumberDataPoint, ScopeMetrics,
    Sum, metric, number_data_point,
};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Settings};

/// The sender in the ledger.
const SENDER: &str = "causeway-self";
/// Spans, and logs, that wait for the next write; beyond it they are dropped and counted. 4,096: seconds of a busy server.
const QUEUE_MAX: usize = 4096;
/// Logs and spans are written this often: seldom enough that they don't keep the disk awake.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// No request takes longer. The limits of bodies, questions and answers that nobody reads come first, unless a sender drips.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// Below these, requests come by the thousand and say the same each time: a span for each would double the telemetry of small senders.
const MANY: [&str; 13] = [
    "/v1/",
    "/opentelemetry.proto.collector.",
    "/jaeger.api_v2.",
    "/api/v2/spans",
    "/loki/api/v1/push",
    "/elasticsearch/",
    "/_bulk",
    "/services/collector",
    "/api/v1/logs/lines",
    "/ofrep/",
    "/healthz",
    "/readyz",
    "/metrics",
];

/// Sets logs, spans and metrics up: once in the program's life. They wait until the store is there.
///
/// # Errors
/// `Invalid` for a log filter that can't be read, `Unavailable` where there is a subscriber already.
pub fn start(settings: &Settings, transport: &Arc<OwnTransport>) -> Result<Kit> {
    let own = own_settings(settings, transport)?;
    kit::init(own).map_err(|error| Error::unavailable(error.to_string()))
}

fn own_settings(settings: &Settings, transport: &Arc<OwnTransport>) -> Result<kit::Settings> {
    EnvFilter::try_new(&settings.log_level)
        .map_err(|error| Error::invalid(format!("log_level {}: {error}", settings.log_level)))?;
    let mut own = kit::Settings::new(OWN_SERVICE, env!("CARGO_PKG_VERSION"));
    own.log_filter.clone_from(&settings.log_level);
    own.log_output = Box::new(std::io::stderr());
    own.log_format = match settings.log_format {
        LogFormat::Text => kit::LogFormat::Text,
        LogFormat::Json => kit::LogFormat::Json,
    };
    (own.queue_max, own.export_interval) = (QUEUE_MAX, FLUSH_EVERY);
    own.otlp_endpoint = None;
    if settings.self_telemetry {
        own.transport = Some(transport.clone());
    } else {
        own.sampling = Sampling::Probability(0.0);
    }
    Ok(own)
}

/// What makes each request visible.
pub fn layer(kit: &Kit) -> ServerLayer {
    let many = |request: &Request<Body>| MANY.iter().any(|start| request.uri().path().starts_with(start));
    kit.server_layer().timeout_max(REQUEST_TIMEOUT_MAX).quiet(many)
}

/// What was dropped.
pub fn dropped(kit: &Kit) -> Metric {
    let lost: u64 = kit::Signal::ALL.into_iter().map(|signal| kit.fates().lost(signal)).sum();
    let help =
        "Logs, spans and metrics of Causeway itself that were dropped, as the queue was full or the store refused.";
    Metric::counter("causeway_self_telemetry_dropped_total", help, lost as f64)
}

/// The way of the program's own telemetry: decoded as everyone else's, and appended.
pub struct OwnTransport {
    clock: Arc<dyn Clock>,
    started_unix_nano: i64,
    appender: OnceLock<Arc<dyn Appender>>,
}

impl std::fmt::Debug for OwnTransport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("OwnTransport")
    }
}

impl OwnTransport {
    /// A way that leads nowhere yet.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let started_unix_nano = clock.now_unix_nano();
        Arc::new(Self { clock, started_unix_nano, appender: OnceLock::new() })
    }

    /// From now on it leads into a store; the first one counts.
    pub fn lead_to(&self, appender: Arc<dyn Appender>) {
        let _leads_already = self.appender.set(appender);
    }

    /// Counters and gauges as metrics of OTLP, read now.
    pub fn metrics(&self, metrics: &[Metric]) -> ScopeMetrics {
        let (now, started) = (unsigned(self.clock.now_unix_nano()), unsigned(self.started_unix_nano));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let scope = InstrumentationScope { name: OWN_SERVICE.to_owned(), version, ..InstrumentationScope::default() };
        let metrics = metrics.iter().map(|metric| otlp_metric(metric, started, now)).collect();
        ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }
    }

    async fn keep(&self, signal: kit::Signal, request: Bytes) -> Sent {
        let Some(appender) = self.appender.get() else {
            return Sent::Later { after: None, reason: "the store is not open yet".to_owned() };
        };
        let kept = match self.delivery(signal, &request) {
            Ok((delivery, rejected)) => appender.append(delivery).await.map(|_| rejected),
            Err(error) => Err(error),
        };
        match kept {
            Ok(rejected) => Sent::Accepted { rejected: usize::try_from(rejected).unwrap_or(usize::MAX) },
            Err(Error { kind: ErrorKind::Overloaded { retry_after }, message }) => {
                Sent::Later { after: Some(retry_after), reason: message }
            }
            Err(Error { kind: ErrorKind::Unavailable, message }) => Sent::Later { after: None, reason: message },
            Err(error) => Sent::Refused { reason: error.message },
        }
    }

    /// And how many records could not be read.
    fn delivery(&self, signal: kit::Signal, request: &[u8]) -> Result<(Delivery, u64)> {
        let signal = match signal {
            kit::Signal::Spans => Signal::Spans,
            kit::Signal::Logs => Signal::Logs,
            kit::Signal::Metrics => Signal::Metrics,
        };
        let received_unix_nano = self.clock.now_unix_nano();
        let decoded = decode(signal, Encoding::Protobuf, request, received_unix_nano)?;
        let dropped: Vec<(String, u64)> =
            decoded.dropped.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
        let lost = dropped.iter().map(|(_, count)| count).sum::<u64>().min(decoded.received);
        let ledger = vec![LedgerEntry { signal, received: decoded.received, stored: decoded.received - lost, dropped }];
        let sender = SENDER.to_owned();
        Ok((Delivery { sender, received_unix_nano, batches: decoded.batches, ledger }, lost))
    }
}

impl Transport for OwnTransport {
    fn send(&self, signal: kit::Signal, request: Bytes) -> BoxFuture<'_, Sent> {
        self.keep(signal, request).boxed()
    }
}

fn unsigned(unix_nano: i64) -> u64 {
    u64::try_from(unix_nano).unwrap_or(0)
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
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

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::{get, post};
    use causeway_kit::Fate;
    use causeway_model::{Receipt, Table};
    use parking_lot::Mutex;

    use super::*;
    use crate::config::SettingsSource;

    /// Keeps deliveries, and says so aloud, as a real store might.
    #[derive(Default)]
    struct Talkative {
        kept: Mutex<Vec<Delivery>>,
        refusal: Option<Error>,
    }

    impl Appender for Talkative {
        fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
            Box::pin(async move {
                tracing::error!("appending");
                if let Some(refusal) = &self.refusal {
                    return Err(refusal.clone());
                }
                self.kept.lock().push(delivery);
                Ok(Receipt { sequence: 1, series_forgotten: 0 })
            })
        }
    }

    impl Talkative {
        fn rows(&self, table: Table) -> usize {
            let kept = self.kept.lock();
            let batches = kept.iter().flat_map(|delivery| &delivery.batches);
            batches.filter(|batch| batch.table() == table).map(causeway_model::Batch::rows).sum()
        }
    }

    fn quiet(transport: &Arc<OwnTransport>) -> kit::Settings {
        let settings = Settings::resolve(SettingsSource::default(), SettingsSource::default());
        let mut own = own_settings(&settings, transport).unwrap();
        own.log_output = Box::new(std::io::sink());
        own
    }

    fn new_transport() -> Arc<OwnTransport> {
        OwnTransport::new(Arc::new(causeway_model::SystemClock::new()))
    }

    async fn requests(kit: &Kit) {
        let broken = || async { StatusCode::INTERNAL_SERVER_ERROR };
        let router = Router::new()
            .route("/api/v1/sql", post(|| async { "rows" }))
            .route("/v1/logs", post(|| async {}).put(|| async { StatusCode::BAD_REQUEST }))
            .route("/readyz", get(broken))
            .layer(layer(kit));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = kit::http_client(&url).no_proxy().build().unwrap();
        for request in [
            client.post(format!("{url}/api/v1/sql")),
            client.post(format!("{url}/v1/logs")),
            client.put(format!("{url}/v1/logs")),
            client.get(format!("{url}/readyz")),
        ] {
            assert!(request.send().await.unwrap().headers().contains_key("x-request-id"));
        }
    }

    /// The one test of this program that sets the subscriber of the whole process, as the program does.
    #[tokio::test]
    async fn logs_spans_and_metrics_arrive_and_nothing_feeds_back() {
        let (transport, appender) = (new_transport(), Arc::new(Talkative::default()));
        let kit = kit::init(quiet(&transport)).unwrap();
        let counted = transport.clone();
        let metric = || Metric { name: "x", help: "", labels: vec![], reading: Reading::Gauge(1.0) };
        kit.produce_metrics(move || counted.metrics(&[metric()]));
        transport.lead_to(appender.clone());
        tracing::warn!(parts = 3, "a merge was slow");
        tracing::debug!("not this");
        requests(&kit).await;
        kit.flush().await;
        // The question, the export that was refused and the probe that failed; not the export that went well.
        assert_eq!((appender.rows(Table::Logs), appender.rows(Table::Spans)), (1, 3));
        kit.flush().await;
        kit.shutdown(kit::SHUTDOWN_TIMEOUT).await;
        assert_eq!((appender.rows(Table::Logs), appender.rows(Table::Spans)), (1, 3), "it fed back on itself");
        assert!(appender.rows(Table::MetricSamples) > 3 && appender.rows(Table::Exemplars) > 0);
        let kept = appender.kept.lock();
        assert!(kept.iter().all(|delivery| delivery.sender == SENDER));
        assert!(kept.iter().flat_map(|delivery| &delivery.ledger).all(|entry| entry.received == entry.stored));
    }

    #[tokio::test]
    async fn what_the_store_refuses_and_what_comes_before_it_is_counted() {
        let transport = new_transport();
        let kit = kit::init_scoped(quiet(&transport)).unwrap();
        let again = || kit.run(async { tracing::info!("again") });
        again().await;
        kit.flush().await;
        assert_eq!(kit.fates().count(kit::Signal::Logs, Fate::Exported), 0, "there is no store yet");
        let refusal = Some(Error::invalid("no"));
        transport.lead_to(Arc::new(Talkative { refusal, ..Talkative::default() }));
        kit.flush().await;
        assert_eq!(kit.fates().count(kit::Signal::Logs, Fate::Rejected), 1);

        let transport = new_transport();
        let kit = kit::init_scoped(quiet(&transport)).unwrap();
        let refusal = Some(Error::unavailable("not now"));
        transport.lead_to(Arc::new(Talkative { refusal, ..Talkative::default() }));
        kit.run(async { tracing::info!("again") }).await;
        kit.shutdown(kit::SHUTDOWN_TIMEOUT).await;
        assert_eq!(kit.fates().count(kit::Signal::Logs, Fate::Unreachable), 1);
        let Reading::Counter(lost) = dropped(&kit).reading else { panic!("a counter") };
        assert!(lost > 1.0, "the log and the points of metrics");
    }
}
