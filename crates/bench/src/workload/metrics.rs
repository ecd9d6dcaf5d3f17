//! What do the services measure? A given number of series, each sampled every 15 seconds: sums, gauges and histograms.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use prost::Message;

use super::random::Random;
use super::world::{Instance, ROUTES, START_NS};
use super::{Attributes, Value, key_values, resource, scope};

/// Time between two samples of a series.
pub const INTERVAL_NS: u64 = 15_000_000_000;
/// Upper bounds of the histograms' buckets, in seconds: those that the semantic conventions advise.
pub const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// What a series measures; the name is that of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `http.server.requests`, a cumulative count.
    Requests,
    /// `process.memory.usage`, a gauge in bytes.
    Memory,
    /// `http.server.request.duration`, a cumulative histogram in seconds.
    Duration,
}

impl Kind {
    /// The metric's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "http.server.requests",
            Self::Memory => "process.memory.usage",
            Self::Duration => "http.server.request.duration",
        }
    }

    /// What Prometheus makes of it, with unit and type at its end; a histogram's samples have further suffixes.
    pub fn prometheus_name(self) -> &'static str {
        match self {
            Self::Requests => "http_server_requests_total",
            Self::Memory => "process_memory_usage_bytes",
            Self::Duration => "http_server_request_duration_seconds",
        }
    }

    /// The kind of series number `index`.
    pub fn of(index: u64) -> Self {
        match index % 10 {
            0..5 => Self::Requests,
            5..9 => Self::Memory,
            _ => Self::Duration,
        }
    }

    /// Samples of remote write at each moment: the buckets of a histogram, its sum and its count.
    pub fn samples(self) -> usize {
        match self {
            Self::Requests | Self::Memory => 1,
            Self::Duration => BOUNDS.len() + 3,
        }
    }
}

/// One series; its labels follow from its number, so that any encoding can be written from it.
#[derive(Debug, Clone)]
pub struct Series {
    pub instance: Instance,
    pub kind: Kind,
    pub attributes: Attributes,
    /// Its value so far: a count, or bytes.
    pub level: f64,
    pub buckets: [u64; BOUNDS.len() + 1],
    pub sum: f64,
    random: Random,
}

impl Series {
    /// Series number `index`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut random = Random::new(seed ^ 0x005E_21E5, index);
        let kind = Kind::of(index);
        let instance = Instance::of_series(index);
        let attributes = vec![
            ("http.route", Value::Text(random.pick(&ROUTES).path.to_owned())),
            ("worker", Value::Text(format!("w{index}"))),
        ];
        let level = if kind == Kind::Memory { 200e6 + random.unit() * 400e6 } else { 0.0 };
        Self { instance, kind, attributes, level, buckets: [0; BOUNDS.len() + 1], sum: 0.0, random }
    }

    /// Lets 15 seconds pass.
    pub fn step(&mut self) {
        match self.kind {
            Kind::Requests => self.level += self.random.log_normal(40.0, 0.8).round(),
            Kind::Memory => self.level = (self.level + (self.random.unit() - 0.5) * 4e6).round().max(1e6),
            Kind::Duration => {
                for _ in 0..self.random.below(30) {
                    let seconds = self.random.log_normal(0.04, 1.0);
                    let bucket = BOUNDS.iter().take_while(|bound| seconds > **bound).count();
                    self.buckets[bucket] += 1;
                    self.sum += seconds;
                    self.level += 1.0;
                }
            }
        }
    }

    fn number(&self, time_ns: u64) -> NumberDataPoint {
        NumberDataPoint {
            attributes: key_values(&self.attributes),
            start_time_unix_nano: if self.kind == Kind::Requests { START_NS } else { 0 },
            time_unix_nano: time_ns,
            value: Some(number_data_point::Value::AsDouble(self.level)),
            ..NumberDataPoint::default()
        }
    }

    fn histogram(&self, time_ns: u64) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: key_values(&self.attributes),
            start_time_unix_nano: START_NS,
            time_unix_nano: time_ns,
            count: self.level as u64,
            sum: Some(self.sum),
            bucket_counts: self.buckets.to_vec(),
            explicit_bounds: BOUNDS.to_vec(),
            ..HistogramDataPoint::default()
        }
    }
}

/// Lets one interval pass for the series of one instance and writes them down as one export request.
pub fn encode(instance: Instance, series: &mut [Series], time_ns: u64) -> Vec<u8> {
    let (mut requests, mut memory, mut durations) = (Vec::new(), Vec::new(), Vec::new());
    for one in series {
        one.step();
        match one.kind {
            Kind::Requests => requests.push(one.number(time_ns)),
            Kind::Memory => memory.push(one.number(time_ns)),
            Kind::Duration => durations.push(one.histogram(time_ns)),
        }
    }
    let aggregation_temporality = AggregationTemporality::Cumulative as i32;
    let metrics = vec![
        metric(
            Kind::Requests,
            "{request}",
            metric::Data::Sum(Sum { data_points: requests, aggregation_temporality, is_monotonic: true }),
        ),
        metric(Kind::Memory, "By", metric::Data::Gauge(Gauge { data_points: memory })),
        metric(
            Kind::Duration,
            "s",
            metric::Data::Histogram(Histogram { data_points: durations, aggregation_temporality }),
        ),
    ];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource(instance)),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope("app.meter")), metrics, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
    .encode_to_vec()
}

fn metric(kind: Kind, unit: &str, data: metric::Data) -> Metric {
    Metric { name: kind.name().to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}
