//! How are durations measured so that a bucket leads to a trace? Histograms with exemplars, and the way that metrics leave.
//!
//! The SDK keeps no exemplars. They are kept here, one a bucket and series as in OpenTelemetry's AlignedHistogramBucketExemplarReservoir,
//! and joined to the data points when these leave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};
use opentelemetry::trace::SpanContext;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue as ProtoKeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Gauge, ScopeMetrics, Sum, exemplar, metric};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::outbox::Outbox;

/// Buckets of durations in seconds, as the semantic conventions advise for HTTP.
const BOUNDS_S: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Series that keep exemplars between two sendings; the SDK's own limit of series is 2,000 an instrument.
const SERIES_MAX: usize = 2000;

type Buckets = [Option<Exemplar>; BOUNDS_S.len() + 1];

/// The exemplars since the last sending.
#[derive(Debug)]
pub(crate) struct Exemplars {
    series: Mutex<BTreeMap<String, Box<Buckets>>>,
    clock: Arc<dyn Clock>,
}

impl Exemplars {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { series: Mutex::default(), clock }
    }

    fn offer(&self, series: String, seconds: f64, span: &SpanContext) {
        let exemplar = Exemplar {
            time_unix_nano: unix_nano(self.clock.unix_time()),
            span_id: span.span_id().to_bytes().to_vec(),
            trace_id: span.trace_id().to_bytes().to_vec(),
            value: Some(exemplar::Value::AsDouble(seconds)),
            ..Exemplar::default()
        };
        let mut all = self.series.lock();
        if all.len() < SERIES_MAX || all.contains_key(&series) {
            let bucket = BOUNDS_S.partition_point(|bound| *bound < seconds);
            all.entry(series).or_default()[bucket] = Some(exemplar);
        }
    }

    /// Moves what was kept to the data points that it belongs to.
    fn attach(&self, request: &mut ExportMetricsServiceRequest) {
        let mut all = std::mem::take(&mut *self.series.lock());
        let scopes = request.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics);
        for metric in scopes.flat_map(|scope| &mut scope.metrics) {
            let Some(metric::Data::Histogram(histogram)) = &mut metric.data else { continue };
            for point in &mut histogram.data_points {
                if let Some(buckets) = all.remove(&series_of_proto(&metric.name, &point.attributes)) {
                    point.exemplars = buckets.into_iter().flatten().collect();
                }
            }
        }
    }
}

/// A histogram of durations.
#[derive(Debug, Clone)]
pub struct Durations {
    name: &'static str,
    histogram: Histogram<f64>,
    exemplars: Arc<Exemplars>,
}

impl Durations {
    pub(crate) fn new(
        meter: &Meter,
        exemplars: &Arc<Exemplars>,
        name: &'static str,
        description: &'static str,
    ) -> Self {
        let histogram = meter
            .f64_histogram(name)
            .with_unit("s")
            .with_description(description)
            .with_boundaries(BOUNDS_S.to_vec())
            .build();
        Self { name, histogram, exemplars: Arc::clone(exemplars) }
    }

    /// Counts one duration. `span` becomes its exemplar where it is sampled.
    pub fn record(&self, duration: Duration, attributes: &[KeyValue], span: &SpanContext) {
        self.histogram.record(duration.as_secs_f64(), attributes);
        if span.is_sampled() {
            let named = attributes.iter().map(|attribute| (attribute.key.as_str(), attribute.value.as_str()));
            self.exemplars.offer(series(self.name, named), duration.as_secs_f64(), span);
        }
    }
}

/// One name for a metric with these attributes, whatever their order. The separators can't be in a key.
fn series<K: AsRef<str>, V: AsRef<str>>(name: &str, attributes: impl Iterator<Item = (K, V)>) -> String {
    let mut pairs: Vec<String> =
        attributes.map(|(key, value)| format!("\u{1}{}\u{2}{}", key.as_ref(), value.as_ref())).collect();
    pairs.sort_unstable();
    pairs.insert(0, name.to_owned());
    pairs.concat()
}

fn series_of_proto(name: &str, attributes: &[ProtoKeyValue]) -> String {
    let text = |attribute: &ProtoKeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(truth)) => truth.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        _ => String::new(),
    };
    series(name, attributes.iter().map(|attribute| (attribute.key.as_str(), text(attribute))))
}

pub(crate) fn unix_nano(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Hands the SDK's metrics, with their exemplars, to the outbox.
#[derive(Debug)]
pub(crate) struct MetricExporter {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) exemplars: Arc<Exemplars>,
    pub(crate) producers: Arc<Producers>,
}

type Producer = dyn Fn() -> ScopeMetrics + Send + Sync;

/// Metrics that are counted elsewhere and leave with the SDK's (OpenTelemetry specification, "MetricProducer").
#[derive(Default)]
pub(crate) struct Producers(Mutex<Vec<Arc<Producer>>>);

impl std::fmt::Debug for Producers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Producers")
    }
}

impl Producers {
    pub(crate) fn add(&self, producer: Arc<Producer>) {
        self.0.lock().push(producer);
    }

    fn append(&self, request: &mut ExportMetricsServiceRequest) {
        // Not under the lock: a producer may do as it likes.
        let producers = self.0.lock().clone();
        if let Some(resource) = request.resource_metrics.first_mut() {
            resource.scope_metrics.extend(producers.iter().map(|produce| produce()));
        }
    }
}

impl PushMetricExporter for MetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut request = ExportMetricsServiceRequest::from(metrics);
        shift(&mut request, self.exemplars.clock.ahead_ns());
        self.exemplars.attach(&mut request);
        self.producers.append(&mut request);
        let points = points(&request);
        self.outbox.send_metrics(request, points).await;
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// Moves the times of all points to those of the service's clock.
fn shift(request: &mut ExportMetricsServiceRequest, ahead_ns: i64) {
    if ahead_ns == 0 {
        return;
    }
    let scopes = request.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics);
    for metric in scopes.flat_map(|scope| &mut scope.metrics) {
        let mut times: Vec<&mut u64> = Vec::new();
        match &mut metric.data {
            Some(metric::Data::Gauge(Gauge { data_points })) | Some(metric::Data::Sum(Sum { data_points, .. })) => {
                times.extend(data_points.iter_mut().flat_map(|p| [&mut p.start_time_unix_nano, &mut p.time_unix_nano]));
            }
            Some(metric::Data::Histogram(histogram)) => {
                let points = histogram.data_points.iter_mut();
                times.extend(points.flat_map(|p| [&mut p.start_time_unix_nano, &mut p.time_unix_nano]));
            }
            // The kit makes no others.
            _ => {}
        }
        times.into_iter().for_each(|time| *time = time.saturating_add_signed(ahead_ns));
    }
}

fn points(request: &ExportMetricsServiceRequest) -> usize {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let points = scopes.flat_map(|scope| &scope.metrics).map(|metric| match &metric.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(metric::Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(metric::Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    });
    points.sum()
}
