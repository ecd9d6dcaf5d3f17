//! What does an operator see of the requests? Counts and latencies by route and status, as numbers and as text for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;

use crate::Desk;

/// Upper bounds of the latency buckets in seconds: a fsync is some milliseconds, a question at most half a minute.
const LATENCY_BOUNDS_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What the house behind the desk says of itself.
pub trait Vitals: Send + Sync {
    /// Why deliveries can't be kept or questions answered now; empty when they can.
    fn problems(&self) -> Vec<String>;
    /// What is missing although all that comes is kept and answered: damaged data.
    fn degraded(&self) -> Vec<String>;
    /// Numbers of the moment.
    fn metrics(&self) -> Vec<Metric>;
}

/// One number, or one histogram, with its labels. All metrics of one name have one help text and one kind.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Name in Prometheus' style, unit last, `_total` after a counter.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Labels.
    pub labels: Vec<(&'static str, String)>,
    /// What it reads.
    pub reading: Reading,
}

impl Metric {
    /// A counter without labels.
    pub fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, labels: Vec::new(), reading: Reading::Counter(value) }
    }

    /// A gauge without labels.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, labels: Vec::new(), reading: Reading::Gauge(value) }
    }

    /// The same with one more label.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// What a metric reads.
#[derive(Debug, Clone)]
pub enum Reading {
    /// Only rises.
    Counter(f64),
    /// May fall.
    Gauge(f64),
    /// How often which size was seen.
    Histogram {
        /// Upper bounds of the buckets; one more bucket follows the last.
        bounds: &'static [f64],
        /// How often, each bucket by itself.
        counts: Vec<u64>,
        /// Sum of all sizes.
        sum: f64,
    },
}

#[derive(Debug, Clone)]
struct Series {
    counts: Vec<u64>,
    sum_seconds: f64,
}

/// Requests by route and status (HTTP's, or gRPC's on the routes of gRPC). Bounded: routes are those of [`route_of`].
#[derive(Debug, Default)]
pub struct RequestStats {
    series: Mutex<BTreeMap<(&'static str, u16), Series>>,
}

impl RequestStats {
    fn record(&self, route: &'static str, status: u16, seconds: f64) {
        let mut series = self.series.lock();
        let series = series
            .entry((route, status))
            .or_insert_with(|| Series { counts: vec![0; LATENCY_BOUNDS_SECONDS.len() + 1], sum_seconds: 0.0 });
        let bucket = LATENCY_BOUNDS_SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = series.counts.get_mut(bucket) {
            *count += 1;
        }
        series.sum_seconds += seconds;
    }

    /// One histogram a route and status.
    pub fn metrics(&self) -> Vec<Metric> {
        let series = self.series.lock();
        let metric = |(&(route, status), series): (&(&'static str, u16), &Series)| Metric {
            name: "causeway_http_request_duration_seconds",
            help: "Time from a request's head to the head of its answer.",
            labels: vec![("route", route.to_owned()), ("code", status.to_string())],
            reading: Reading::Histogram {
                bounds: LATENCY_BOUNDS_SECONDS,
                counts: series.counts.clone(),
                sum: series.sum_seconds,
            },
        };
        series.iter().map(metric).collect()
    }
}

/// Paths that are routes as they stand.
const ROUTES: &[&str] = &[
    "/",
    "/v1/logs",
    "/v1/traces",
    "/v1/metrics",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "/jaeger.api_v2.CollectorService/PostSpans",
    "/tempopb.StreamingQuerier/Search",
    "/api/v2/spans",
    "/api/v1/sql",
    "/api/v1/patterns",
    "/api/v1/errors",
    "/api/v1/services",
    "/api/v1/correlate",
    "/api/v1/logs/tail",
    "/api/v1/spans/tail",
    "/api/v1/logs/lines",
    "/_bulk",
    "/api/v1/changes",
    "/api/v1/flags",
    "/ofrep/v1/evaluate/flags",
    "/api/v1/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/services",
    "/errors",
    "/traces",
    "/logs",
    "/compare",
    "/investigate",
    "/flags",
    "/sql",
    "/loki/api/v1/query",
    "/loki/api/v1/query_range",
    "/loki/api/v1/labels",
    "/loki/api/v1/label",
    "/loki/api/v1/series",
    "/loki/api/v1/index/stats",
    "/loki/api/v1/index/volume",
    "/loki/api/v1/index/volume_range",
    "/loki/api/v1/detected_labels",
    "/loki/api/v1/detected_fields",
    "/loki/api/v1/tail",
    "/loki/api/v1/patterns",
    "/loki/api/v1/push",
    "/loki/api/v1/status/buildinfo",
    "/tempo/api/echo",
    "/tempo/api/status/buildinfo",
    "/tempo/api/search",
    "/tempo/api/search/tags",
    "/tempo/api/v2/search/tags",
    "/tempo/api/metrics/query",
    "/tempo/api/metrics/query_range",
    "/jaeger/api/services",
    "/jaeger/api/operations",
    "/jaeger/api/dependencies",
    "/jaeger/api/traces",
    "/jaeger/api/v3/services",
    "/jaeger/api/v3/operations",
    "/jaeger/api/v3/traces",
    "/prometheus/-/healthy",
    "/prometheus/-/ready",
    "/prometheus/api/v1/query",
    "/prometheus/api/v1/query_range",
    "/prometheus/api/v1/query_exemplars",
    "/prometheus/api/v1/format_query",
    "/prometheus/api/v1/parse_query",
    "/prometheus/api/v1/series",
    "/prometheus/api/v1/labels",
    "/prometheus/api/v1/metadata",
    "/prometheus/api/v1/targets",
    "/prometheus/api/v1/targets/metadata",
    "/prometheus/api/v1/scrape_pools",
    "/prometheus/api/v1/rules",
    "/prometheus/api/v1/alerts",
    "/prometheus/api/v1/alertmanagers",
    "/prometheus/api/v1/notifications",
    "/prometheus/api/v1/features",
    "/prometheus/api/v1/read",
    "/prometheus/api/v1/write",
    "/prometheus/api/v1/status/buildinfo",
    "/prometheus/api/v1/status/runtimeinfo",
    "/prometheus/api/v1/status/flags",
    "/prometheus/api/v1/status/config",
    "/prometheus/api/v1/status/tsdb",
    "/prometheus/api/v1/status/walreplay",
];

/// Beginnings of paths behind which a flag's key, a label's or service's name, an id, or whatever else a shipper asks stands, and their routes.
const KEYED: &[(&str, &str)] = &[
    ("/ofrep/v1/evaluate/flags/", "/ofrep/v1/evaluate/flags/{key}"),
    ("/elasticsearch/", "/elasticsearch/{path}"),
    ("/services/collector", "/services/collector/{path}"),
    ("/api/v1/flags/", "/api/v1/flags/{key}"),
    ("/api/v1/traces/", "/api/v1/traces/{trace_id}"),
    ("/loki/api/v1/detected_field/", "/loki/api/v1/detected_field/{name}/values"),
    ("/loki/api/v1/label/", "/loki/api/v1/label/{name}/values"),
    ("/tempo/api/traces/", "/tempo/api/traces/{trace_id}"),
    ("/tempo/api/v2/traces/", "/tempo/api/v2/traces/{trace_id}"),
    ("/tempo/api/search/tag/", "/tempo/api/search/tag/{tag}/values"),
    ("/tempo/api/v2/search/tag/", "/tempo/api/v2/search/tag/{tag}/values"),
    ("/jaeger/api/services/", "/jaeger/api/services/{service}/operations"),
    ("/jaeger/api/traces/", "/jaeger/api/traces/{trace_id}"),
    ("/jaeger/api/v3/traces/", "/jaeger/api/v3/traces/{trace_id}"),
    ("/prometheus/api/v1/label/", "/prometheus/api/v1/label/{name}/values"),
];

/// The route of a path: a closed set, so that clients can't make series by asking for odd paths.
fn route_of(path: &str) -> &'static str {
    let keyed = || KEYED.iter().find(|(start, _)| path.starts_with(start)).map(|(_, route)| *route);
    ROUTES.iter().find(|route| **route == path).copied().or_else(keyed).unwrap_or("other")
}

/// Counts a request.
pub async fn observe(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let started = desk.clock.monotonic_nano();
    let route = route_of(request.uri().path());
    let response = next.run(request).await;
    let duration_ns = desk.clock.monotonic_nano().saturating_sub(started);
    let grpc = ["/opentelemetry.", "/jaeger.api_v2.", "/tempopb."].iter().any(|service| route.starts_with(service));
    let status = if grpc { grpc_status(&response) } else { response.status().as_u16() };
    desk.requests.record(route, status, duration_ns as f64 / 1e9);
    response
}

/// gRPC's own status: failures carry it in the head (HTTP says 200 to them), success only in the trailers.
fn grpc_status(response: &Response) -> u16 {
    let status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok());
    match response.status().as_u16() {
        200 => status.and_then(|status| status.parse().ok()).unwrap_or(0),
        status => status,
    }
}

/// Metrics as Prometheus' text format 0.0.4.
pub fn metrics_text(metrics: &[Metric]) -> String {
    let mut by_name: BTreeMap<&str, Vec<&Metric>> = BTreeMap::new();
    for metric in metrics {
        by_name.entry(metric.name).or_default().push(metric);
    }
    let mut out = String::new();
    for (name, metrics) in by_name {
        let Some(first) = metrics.first() else { continue };
        let kind = match first.reading {
            Reading::Counter(_) => "counter",
            Reading::Gauge(_) => "gauge",
            Reading::Histogram { .. } => "histogram",
        };
        let help = first.help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for metric in metrics {
            write_metric(metric, &mut out);
        }
    }
    out
}

fn write_metric(metric: &Metric, out: &mut String) {
    match &metric.reading {
        Reading::Counter(value) | Reading::Gauge(value) => write_sample(metric, "", None, *value, out),
        Reading::Histogram { bounds, counts, sum } => {
            let mut total = 0u64;
            for (bucket, count) in counts.iter().enumerate() {
                total = total.saturating_add(*count);
                let bound = bounds.get(bucket).map_or("+Inf".to_owned(), f64::to_string);
                write_sample(metric, "_bucket", Some(&bound), total as f64, out);
            }
            write_sample(metric, "_sum", None, *sum, out);
            write_sample(metric, "_count", None, total as f64, out);
        }
    }
}

fn write_sample(metric: &Metric, suffix: &str, bound: Option<&str>, value: f64, out: &mut String) {
    let labels = metric.labels.iter().map(|(name, value)| (*name, value.as_str()));
    let labels: Vec<String> = labels
        .chain(bound.map(|bound| ("le", bound)))
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let value =
        if value.is_infinite() { if value > 0.0 { "+Inf".into() } else { "-Inf".into() } } else { value.to_string() };
    let _ = writeln!(out, "{}{suffix}{labels} {value}", metric.name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_groups_by_name_escapes_labels_and_adds_buckets_up() {
        let stats = RequestStats::default();
        for seconds in [0.0001, 0.001, 0.002, 99.0] {
            stats.record("/", 200, seconds);
        }
        let mut metrics = stats.metrics();
        for sender in ["a\"b\\c\nd", "plain"] {
            metrics.push(Metric {
                name: "causeway_ledger_received_total",
                help: "Records received.",
                labels: vec![("sender", sender.to_owned())],
                reading: Reading::Counter(3.0),
            });
        }
        let text = metrics_text(&metrics);
        assert_eq!(text.matches("# TYPE causeway_ledger_received_total counter\n").count(), 1);
        assert!(text.contains("causeway_ledger_received_total{sender=\"a\\\"b\\\\c\\nd\"} 3\n"), "{text}");
        for line in [
            "causeway_http_request_duration_seconds_bucket{route=\"/\",code=\"200\",le=\"0.001\"} 2\n",
            "causeway_http_request_duration_seconds_bucket{route=\"/\",code=\"200\",le=\"0.0025\"} 3\n",
            "causeway_http_request_duration_seconds_bucket{route=\"/\",code=\"200\",le=\"+Inf\"} 4\n",
            "causeway_http_request_duration_seconds_count{route=\"/\",code=\"200\"} 4\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn odd_paths_make_no_series() {
        assert_eq!(route_of("/v1/logs/../../etc"), "other");
        assert_eq!(route_of("/healthz"), "/healthz");
    }
}
