//! What do tests diagnose? A real store and engine over a temporary directory, fed with OTLP as any sender would.

use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::json::ReaderBuilder;
use causeway_engine::{Engine, EngineOptions};
use causeway_ingest::otlp::{Encoding, decode};
use causeway_model::{
    Appender, AttributeSetsBuilder, Batch, ColumnLevel, Delivery, KeyDictionary, LedgerEntry, Side, Signal,
    SystemClock, Table,
};
use causeway_store::{Store, StoreOptions};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;

/// Records of one request, as senders batch them.
const BATCH_RECORDS: usize = 5_000;

pub type Attributes = Vec<(String, Value)>;

/// A text attribute.
pub fn text(key: &str, value: impl Into<String>) -> (String, Value) {
    (key.to_owned(), Value::StringValue(value.into()))
}

/// One span, in OTLP's numbers.
#[derive(Debug, Clone, Default)]
pub struct SpanRow {
    pub resource: Attributes,
    pub trace_id: [u8; 16],
    pub trace_state: String,
    pub span_id: [u8; 8],
    pub parent: Option<[u8; 8]>,
    pub name: String,
    pub kind: i32,
    pub start: i64,
    pub end: i64,
    pub failed: bool,
    pub message: String,
    pub attributes: Attributes,
    /// Events: name and attributes, at the begin.
    pub events: Vec<(String, Attributes)>,
}

/// One log record.
#[derive(Debug, Clone, Default)]
pub struct LogRow {
    pub resource: Attributes,
    pub time: i64,
    pub severity: i32,
    pub body: String,
    pub trace_id: Option<[u8; 16]>,
    pub span_id: Option<[u8; 8]>,
    pub attributes: Attributes,
}

/// One sample of a gauge, or of a counter.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub resource: Attributes,
    pub name: String,
    pub unit: String,
    /// Whether it is a sum that only rises.
    pub counts: bool,
    pub time: i64,
    pub value: f64,
    pub attributes: Attributes,
}

/// A store that is fed and asked.
pub struct Ground {
    pub store: Arc<Store>,
    pub engine: Arc<Engine>,
    _directory: tempfile::TempDir,
}

impl Ground {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::new(directory.path()), Arc::new(SystemClock::new())).await.unwrap();
        let engine = Engine::new(store.clone(), EngineOptions::new(directory.path().join("spill"))).unwrap();
        Self { store, engine, _directory: directory }
    }

    /// Sends spans in order of time, so that they arrive when they end.
    pub async fn spans(&self, mut rows: Vec<SpanRow>) {
        rows.sort_by_key(|row| row.start);
        for rows in rows.chunks(BATCH_RECORDS) {
            let received = rows.last().map_or(0, |row| row.start);
            let resource_spans = grouped(rows, |row| &row.resource)
                .into_iter()
                .map(|(resource, rows)| ResourceSpans {
                    resource: Some(resource),
                    scope_spans: vec![ScopeSpans {
                        spans: rows.into_iter().map(span_of).collect(),
                        ..Default::default()
                    }],
                    ..Default::default()
                })
                .collect();
            self.send(Signal::Spans, &ExportTraceServiceRequest { resource_spans }.encode_to_vec(), received).await;
        }
    }

    /// Sends log records.
    pub async fn logs(&self, rows: Vec<LogRow>) {
        for rows in rows.chunks(BATCH_RECORDS) {
            let resource_logs = grouped(rows, |row| &row.resource)
                .into_iter()
                .map(|(resource, rows)| ResourceLogs {
                    resource: Some(resource),
                    scope_logs: vec![ScopeLogs {
                        log_records: rows.into_iter().map(log).collect(),
                        ..Default::default()
                    }],
                    ..Default::default()
                })
                .collect();
            self.send(Signal::Logs, &ExportLogsServiceRequest { resource_logs }.encode_to_vec(), 0).await;
        }
    }

    /// Sends samples.
    pub async fn samples(&self, rows: Vec<Sample>) {
        for rows in rows.chunks(BATCH_RECORDS) {
            let resource_metrics = grouped(rows, |row| &row.resource)
                .into_iter()
                .map(|(resource, rows)| ResourceMetrics {
                    resource: Some(resource),
                    scope_metrics: vec![ScopeMetrics {
                        metrics: rows.into_iter().map(sample).collect(),
                        ..Default::default()
                    }],
                    ..Default::default()
                })
                .collect();
            self.send(Signal::Metrics, &ExportMetricsServiceRequest { resource_metrics }.encode_to_vec(), 0).await;
        }
    }

    async fn send(&self, signal: Signal, body: &[u8], received_unix_nano: i64) {
        let decoded = decode(signal, Encoding::Protobuf, body, received_unix_nano).unwrap();
        assert_eq!(decoded.dropped, vec![], "{:?}", decoded.message);
        let entry = LedgerEntry { signal, received: decoded.received, stored: decoded.received, dropped: Vec::new() };
        let delivery =
            Delivery { sender: "test".into(), received_unix_nano, batches: decoded.batches, ledger: vec![entry] };
        self.store.append(delivery).await.unwrap();
    }

    /// Keeps a change as the API would.
    pub async fn change(&self, time: i64, kind: &str, entity: &str, before: &str, after: &str) {
        let row = serde_json::json!({
            "time": time, "kind": kind, "entity": entity, "before": before, "after": after, "actor": "someone", "source": "test",
        });
        let side = |level| {
            let schema = Table::Changes.schema(level);
            let columns = if schema.fields().is_empty() {
                Vec::new()
            } else {
                let mut decoder = ReaderBuilder::new(schema).build_decoder().unwrap();
                decoder.serialize(std::slice::from_ref(&row)).unwrap();
                decoder.flush().unwrap().unwrap().columns().to_vec()
            };
            let mut attributes = AttributeSetsBuilder::new();
            attributes.finish_set();
            Side { columns, attributes: attributes.finish() }
        };
        let own = || UInt32Array::from(vec![0]);
        let (records, resources, scopes) =
            (side(ColumnLevel::Record), side(ColumnLevel::Resource), side(ColumnLevel::Scope));
        let batch = Batch::new(Table::Changes, records, own(), resources, own(), scopes, KeyDictionary::new()).unwrap();
        let delivery =
            Delivery { sender: "test".into(), received_unix_nano: time, batches: vec![batch], ledger: Vec::new() };
        self.store.append(delivery).await.unwrap();
    }
}

fn grouped<'a, T>(rows: &'a [T], resource: impl Fn(&T) -> &Attributes) -> Vec<(Resource, Vec<&'a T>)> {
    let mut groups: Vec<(&'a T, Vec<&'a T>)> = Vec::new();
    let mut places: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for row in rows {
        let place = *places.entry(format!("{:?}", resource(row))).or_insert_with(|| {
            groups.push((row, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(row);
    }
    let made = |(first, rows): (&'a T, Vec<&'a T>)| {
        (Resource { attributes: pairs(resource(first)), ..Default::default() }, rows)
    };
    groups.into_iter().map(made).collect()
}

fn pairs(attributes: &Attributes) -> Vec<KeyValue> {
    let pair = |(key, value): &(String, Value)| KeyValue {
        key: key.clone(),
        value: Some(AnyValue { value: Some(value.clone()) }),
        ..Default::default()
    };
    attributes.iter().map(pair).collect()
}

fn nanos(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

fn span_of(row: &SpanRow) -> Span {
    let event = |(name, attributes): &(String, Attributes)| span::Event {
        time_unix_nano: nanos(row.start),
        name: name.clone(),
        attributes: pairs(attributes),
        ..Default::default()
    };
    Span {
        trace_id: row.trace_id.into(),
        trace_state: row.trace_state.clone(),
        span_id: row.span_id.into(),
        parent_span_id: row.parent.map_or_else(Vec::new, |id| id.into()),
        name: row.name.clone(),
        kind: row.kind,
        start_time_unix_nano: nanos(row.start),
        end_time_unix_nano: nanos(row.end),
        attributes: pairs(&row.attributes),
        events: row.events.iter().map(event).collect(),
        status: Some(Status { code: if row.failed { 2 } else { 0 }, message: row.message.clone() }),
        ..Default::default()
    }
}

fn log(row: &LogRow) -> LogRecord {
    LogRecord {
        time_unix_nano: nanos(row.time),
        observed_time_unix_nano: nanos(row.time),
        severity_number: row.severity,
        body: Some(AnyValue { value: Some(Value::StringValue(row.body.clone())) }),
        trace_id: row.trace_id.map_or_else(Vec::new, |id| id.into()),
        span_id: row.span_id.map_or_else(Vec::new, |id| id.into()),
        attributes: pairs(&row.attributes),
        ..Default::default()
    }
}

fn sample(row: &Sample) -> Metric {
    let point = NumberDataPoint {
        time_unix_nano: nanos(row.time),
        value: Some(number_data_point::Value::AsDouble(row.value)),
        attributes: pairs(&row.attributes),
        ..Default::default()
    };
    let data_points = vec![point];
    let data = if row.counts {
        let (aggregation_temporality, is_monotonic) = (AggregationTemporality::Cumulative as i32, true);
        metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
    } else {
        metric::Data::Gauge(Gauge { data_points })
    };
    Metric { name: row.name.clone(), unit: row.unit.clone(), data: Some(data), ..Default::default() }
}
