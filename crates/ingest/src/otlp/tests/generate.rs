//! Which requests can be sent? Any, built from bytes as choices, so that fewer and smaller bytes are a simpler request.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

const KEYS: [&str; 7] = ["service.name", "a", "b", "http.route", "", "ключ", "q\"\n"];
const TEXTS: [&str; 6] = ["", "cart", "GET /", "a\"b\\\u{1}\n", "€ 😀", "x"];
const DOUBLES: [f64; 8] = [0.0, 1.0, -0.5, 1e300, 0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Choices, read from bytes; zeros when they are used up.
pub(super) struct Entropy<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// Whether the request will be written as JSON by a writer that can't write all doubles.
    finite: bool,
}

impl<'a> Entropy<'a> {
    pub(super) fn new(bytes: &'a [u8], finite: bool) -> Self {
        Self { bytes: bytes.iter(), finite }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % limit
    }

    fn number(&mut self) -> u64 {
        let width = [0, 1, 2, 8][self.below(4)];
        (0..width).fold(0, |number, _| number << 8 | self.below(256) as u64)
    }

    fn small(&mut self) -> u32 {
        self.number() as u32
    }

    /// Mostly a real time, sometimes 0, sometimes any.
    fn time(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => self.number(),
            _ => 1_544_712_660_000_000_000 + self.number() % 1_000_000_007,
        }
    }

    fn text(&mut self) -> String {
        TEXTS[self.below(TEXTS.len())].into()
    }

    fn double(&mut self) -> f64 {
        DOUBLES[self.below(if self.finite { 5 } else { DOUBLES.len() })]
    }

    fn list<T>(&mut self, limit: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = self.below(limit + 1);
        (0..length).map(|_| make(self)).collect()
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(4) > 0).then(|| make(self))
    }

    /// Mostly right in length, sometimes empty, all zeros or of a wrong length.
    fn id(&mut self, length: usize) -> Vec<u8> {
        match self.below(16) {
            0 => Vec::new(),
            1 => vec![0; length],
            2 => vec![7; length - 1],
            _ => (0..length).map(|_| self.below(256) as u8 | 1).collect(),
        }
    }

    fn value(&mut self, depth: usize) -> AnyValue {
        let value = match self.below(if depth < 3 { 10 } else { 6 }) {
            0 => None,
            1 => Some(Value::BoolValue(self.below(2) == 1)),
            2 => Some(Value::IntValue(self.number() as i64)),
            3 => Some(Value::DoubleValue(self.double())),
            4 => Some(Value::BytesValue(self.list(5, |it| it.below(256) as u8))),
            6 => Some(Value::ArrayValue(ArrayValue { values: self.list(3, |it| it.value(depth + 1)) })),
            7 => Some(Value::KvlistValue(KeyValueList { values: self.list(3, |it| it.attribute(depth + 1)) })),
            _ => Some(Value::StringValue(self.text())),
        };
        AnyValue { value }
    }

    fn attribute(&mut self, depth: usize) -> KeyValue {
        let key = KEYS[self.below(KEYS.len())].into();
        KeyValue { key, value: self.option(|it| it.value(depth)), ..Default::default() }
    }

    fn attributes(&mut self) -> Vec<KeyValue> {
        self.list(5, |it| it.attribute(0))
    }

    fn resource(&mut self) -> Option<Resource> {
        self.option(|it| Resource {
            attributes: it.attributes(),
            dropped_attributes_count: it.small(),
            ..Default::default()
        })
    }

    fn scope(&mut self) -> Option<InstrumentationScope> {
        self.option(|it| InstrumentationScope {
            name: it.text(),
            version: it.text(),
            attributes: it.attributes(),
            dropped_attributes_count: it.small(),
        })
    }

    pub(super) fn logs_request(&mut self) -> ExportLogsServiceRequest {
        let resource_logs = self.list(3, |it| ResourceLogs {
            resource: it.resource(),
            scope_logs: it.list(3, |it| ScopeLogs {
                scope: it.scope(),
                log_records: it.list(4, Self::log_record),
                schema_url: it.text(),
            }),
            schema_url: it.text(),
        });
        ExportLogsServiceRequest { resource_logs }
    }

    fn log_record(&mut self) -> LogRecord {
        LogRecord {
            time_unix_nano: self.time(),
            observed_time_unix_nano: self.time(),
            severity_number: self.small() as i32,
            severity_text: self.text(),
            body: self.option(|it| it.value(0)),
            attributes: self.attributes(),
            dropped_attributes_count: self.small(),
            flags: self.small(),
            trace_id: self.id(16),
            span_id: self.id(8),
            event_name: self.text(),
        }
    }

    pub(super) fn spans_request(&mut self) -> ExportTraceServiceRequest {
        let resource_spans = self.list(3, |it| ResourceSpans {
            resource: it.resource(),
            scope_spans: it.list(3, |it| ScopeSpans {
                scope: it.scope(),
                spans: it.list(4, Self::span),
                schema_url: it.text(),
            }),
            schema_url: it.text(),
        });
        ExportTraceServiceRequest { resource_spans }
    }

    fn span(&mut self) -> Span {
        Span {
            trace_id: self.id(16),
            span_id: self.id(8),
            trace_state: self.text(),
            parent_span_id: self.id(8),
            flags: self.small(),
            name: self.text(),
            kind: self.below(7) as i32,
            start_time_unix_nano: self.time(),
            end_time_unix_nano: self.time(),
            attributes: self.attributes(),
            dropped_attributes_count: self.small(),
            events: self.list(3, |it| Event {
                time_unix_nano: it.time(),
                name: it.text(),
                attributes: it.attributes(),
                dropped_attributes_count: it.small(),
            }),
            dropped_events_count: self.small(),
            links: self.list(3, |it| Link {
                trace_id: it.id(16),
                span_id: it.id(8),
                trace_state: it.text(),
                attributes: it.attributes(),
                dropped_attributes_count: it.small(),
                flags: it.small(),
            }),
            dropped_links_count: self.small(),
            status: self.option(|it| Status { message: it.text(), code: it.below(4) as i32 }),
        }
    }

    pub(super) fn metrics_request(&mut self) -> ExportMetricsServiceRequest {
        let resource_metrics = self.list(3, |it| ResourceMetrics {
            resource: it.resource(),
            scope_metrics: it.list(3, |it| ScopeMetrics {
                scope: it.scope(),
                metrics: it.list(4, Self::metric),
                schema_url: it.text(),
            }),
            schema_url: it.text(),
        });
        ExportMetricsServiceRequest { resource_metrics }
    }

    fn metric(&mut self) -> Metric {
        let temporality = self.below(4) as i32;
        let data = match self.below(6) {
            0 => None,
            1 => Some(metric::Data::Gauge(Gauge { data_points: self.list(4, Self::number_point) })),
            2 => Some(metric::Data::Sum(Sum {
                data_points: self.list(4, Self::number_point),
                aggregation_temporality: temporality,
                is_monotonic: self.below(2) == 1,
            })),
            3 => Some(metric::Data::Histogram(Histogram {
                data_points: self.list(4, Self::histogram_point),
                aggregation_temporality: temporality,
            })),
            4 => Some(metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points: self.list(4, Self::exponential_histogram_point),
                aggregation_temporality: temporality,
            })),
            _ => Some(metric::Data::Summary(Summary { data_points: self.list(4, Self::summary_point) })),
        };
        let metadata = self.attributes();
        Metric { name: self.text(), description: self.text(), unit: self.text(), metadata, data }
    }

    fn exemplar(&mut self) -> Exemplar {
        let value = match self.below(3) {
            0 => None,
            1 => Some(exemplar::Value::AsDouble(self.double())),
            _ => Some(exemplar::Value::AsInt(self.number() as i64)),
        };
        Exemplar {
            filtered_attributes: self.attributes(),
            time_unix_nano: self.time(),
            span_id: self.id(8),
            trace_id: self.id(16),
            // Exemplars without a value can't be written as JSON by opentelemetry-proto and read back.
            value: value.or(Some(exemplar::Value::AsInt(0))),
        }
    }

    fn number_point(&mut self) -> NumberDataPoint {
        let value = match self.below(3) {
            0 => None,
            1 => Some(number_data_point::Value::AsDouble(self.double())),
            _ => Some(number_data_point::Value::AsInt(self.number() as i64)),
        };
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            exemplars: self.list(2, Self::exemplar),
            flags: self.below(3) as u32,
            value,
        }
    }

    fn histogram_point(&mut self) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            count: self.number(),
            sum: self.option(Self::double),
            bucket_counts: self.list(4, Self::number),
            explicit_bounds: self.list(3, Self::double),
            exemplars: self.list(2, Self::exemplar),
            flags: self.small(),
            min: self.option(Self::double),
            max: self.option(Self::double),
        }
    }

    fn buckets(&mut self) -> Buckets {
        Buckets { offset: self.small() as i32, bucket_counts: self.list(4, Self::number) }
    }

    fn exponential_histogram_point(&mut self) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            count: self.number(),
            sum: self.option(Self::double),
            scale: self.small() as i32,
            zero_count: self.number(),
            positive: self.option(Self::buckets),
            negative: self.option(Self::buckets),
            flags: self.small(),
            exemplars: self.list(2, Self::exemplar),
            min: self.option(Self::double),
            max: self.option(Self::double),
            zero_threshold: self.double(),
        }
    }

    fn summary_point(&mut self) -> SummaryDataPoint {
        SummaryDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            count: self.number(),
            sum: self.double(),
            quantile_values: self.list(3, |it| ValueAtQuantile { quantile: it.double(), value: it.double() }),
            flags: self.small(),
        }
    }
}
