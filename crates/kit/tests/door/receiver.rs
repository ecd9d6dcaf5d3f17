//! What has arrived? An OTLP/HTTP receiver that keeps everything, and the means to look into it.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use causeway_kit::{Kit, Settings};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint, metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;

/// Keeps what services send.
#[derive(Clone, Default)]
pub struct Receiver {
    pub url: String,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    arrivals: watch::Sender<()>,
    traces: Vec<ExportTraceServiceRequest>,
    logs: Vec<ExportLogsServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
}

/// Serves a router on a port of its own until the test ends.
pub async fn listen(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

impl Receiver {
    pub async fn start() -> Self {
        let mut receiver = Self::default();
        let keep_traces = |State(kept): State<Arc<Mutex<Kept>>>, body: Bytes| async move {
            let mut kept = kept.lock();
            kept.traces.push(ExportTraceServiceRequest::decode(body).unwrap());
            kept.arrivals.send_replace(());
        };
        let keep_logs = |State(kept): State<Arc<Mutex<Kept>>>, body: Bytes| async move {
            kept.lock().logs.push(ExportLogsServiceRequest::decode(body).unwrap());
        };
        let others = Router::new().route("/v1/traces", post(keep_traces)).route("/v1/logs", post(keep_logs));
        let router = receiver.metrics_router().merge(others.with_state(Arc::clone(&receiver.kept)));
        receiver.url = format!("http://{}", listen(router).await);
        receiver
    }

    /// The part that keeps metrics.
    pub fn metrics_router(&self) -> Router {
        let keep = |State(kept): State<Arc<Mutex<Kept>>>, body: Bytes| async move {
            kept.lock().metrics.push(ExportMetricsServiceRequest::decode(body).unwrap());
        };
        Router::new().route("/v1/metrics", post(keep)).with_state(Arc::clone(&self.kept))
    }

    /// Waits until spans have arrived that fulfil this.
    pub async fn until(&self, fulfilled: impl Fn(&[Span]) -> bool) {
        let mut arrivals = self.kept.lock().arrivals.subscribe();
        while !fulfilled(&self.spans()) {
            arrivals.changed().await.unwrap();
        }
    }

    /// Settings of a service that sends here, and only when told.
    pub fn settings(&self, service: &str) -> Settings {
        let mut settings = quiet(service);
        settings.otlp_endpoint = Some(self.url.clone());
        settings
    }

    pub fn kit(&self, service: &str) -> Kit {
        causeway_kit::init_scoped(self.settings(service)).unwrap()
    }

    pub fn spans(&self) -> Vec<Span> {
        let kept = self.kept.lock();
        let resources = kept.traces.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    pub fn spans_named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// The one span of this name.
    pub fn span(&self, name: &str) -> Span {
        let mut spans = self.spans_named(name);
        let names: Vec<String> = self.spans().into_iter().map(|span| span.name).collect();
        assert_eq!(spans.len(), 1, "{name} in {names:?}");
        spans.remove(0)
    }

    pub fn logs(&self) -> Vec<LogRecord> {
        let kept = self.kept.lock();
        let resources = kept.logs.iter().flat_map(|request| &request.resource_logs);
        resources.flat_map(|resource| &resource.scope_logs).flat_map(|scope| scope.log_records.clone()).collect()
    }

    pub fn log(&self, event: &str) -> LogRecord {
        let logs = self.logs();
        let found = logs.iter().find(|log| log.event_name == event).cloned();
        found.unwrap_or_else(|| panic!("no {event} in {logs:?}"))
    }

    /// Attributes of the resource of the first trace request.
    pub fn resource(&self) -> Vec<KeyValue> {
        self.kept.lock().traces[0].resource_spans[0].resource.clone().unwrap().attributes
    }

    fn metric(&self, name: &str) -> Option<Data> {
        let kept = self.kept.lock();
        let resources = kept.metrics.iter().rev().flat_map(|request| &request.resource_metrics);
        let mut metrics = resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
        metrics.find(|metric| metric.name == name)?.data.clone()
    }

    /// The latest points of a histogram.
    pub fn histogram(&self, name: &str) -> Vec<HistogramDataPoint> {
        match self.metric(name) {
            Some(Data::Histogram(histogram)) => histogram.data_points,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The latest points of a sum or gauge.
    pub fn numbers(&self, name: &str) -> Vec<NumberDataPoint> {
        match self.metric(name) {
            Some(Data::Sum(sum)) => sum.data_points,
            Some(Data::Gauge(gauge)) => gauge.data_points,
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Settings of a service that sends nothing and writes its log nowhere.
pub fn quiet(service: &str) -> Settings {
    let mut settings = Settings::new(service, "1.2.3").environment("test").region("eu-1");
    settings.otlp_endpoint = None;
    settings.log_output = Box::new(std::io::sink());
    settings.export_interval = Duration::from_secs(3600);
    settings.metrics_interval = Duration::from_secs(3600);
    settings
}

/// An attribute as text; empty where it is missing.
pub fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == key).and_then(|attribute| attribute.value.clone());
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

/// An attribute that is a whole number by its type, not a text that looks like one.
pub fn integer(attributes: &[KeyValue], key: &str) -> Option<i64> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match value.value {
        Some(Value::IntValue(number)) => Some(number),
        _ => None,
    }
}

/// A number of a sum or gauge.
pub fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsInt(number)) => number as f64,
        Some(number_data_point::Value::AsDouble(number)) => number,
        None => f64::NAN,
    }
}

/// Log lines that a test can read.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    pub fn all(&self) -> Vec<serde_json::Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    pub fn event(&self, event: &str) -> serde_json::Value {
        let all = self.all();
        all.iter().find(|line| line["event"] == event).cloned().unwrap_or_else(|| panic!("no {event} in {all:#?}"))
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
