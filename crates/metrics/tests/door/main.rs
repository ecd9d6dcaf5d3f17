//! Does PromQL over the store say what was sent by OTLP, wherever the samples lie?

#![allow(clippy::unwrap_used)]

mod rollups;

use std::collections::BTreeSet;
use std::sync::Arc;

use causeway_ingest::otlp::{Encoding, decode};
use causeway_metrics::{Metrics, MetricsOptions};
use causeway_model::{Appender, Delivery, Signal, SystemClock};
use causeway_promql::{
    Catalog, MatchOperator, Matcher, Number, Options, SeriesQuery, Syntax, Value, Window, evaluate, parse,
};
use causeway_store::{Store, StoreOptions};
use serde_json::{Value as Json, json};

/// Half an hour before noon, UTC, in milliseconds.
const START_MS: i64 = 1_760_009_400_000;
const STEP_MS: i64 = 15_000;
const STEPS: i64 = 80;

fn point(time_ms: i64, mut of: Json) -> Json {
    let times = json!({ "timeUnixNano": format!("{}", time_ms * 1_000_000), "startTimeUnixNano": format!("{}", START_MS * 1_000_000 - 1) });
    of.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
    of
}

/// What one service says at one moment: its `n`th, counted from 0.
fn request(n: i64) -> String {
    let time = START_MS + n * STEP_MS;
    let route = |route: &str| json!([{ "key": "http.route", "value": { "stringValue": route } }]);
    let metrics = json!([
        { "name": "queue.length", "unit": "{item}", "gauge": { "dataPoints": [point(time, json!({ "asInt": format!("{}", n % 7) }))] } },
        { "name": "http.requests", "description": "How many.", "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
            point(time, json!({ "asInt": format!("{}", n * 30), "attributes": route("/cart") })),
            point(time, json!({ "asDouble": n as f64 * 15.0, "attributes": route("/pay") })) ] } },
        { "name": "jobs.done", "sum": { "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point(time, json!({ "asInt": "6" }))] } },
        { "name": "request.duration", "unit": "s", "histogram": { "aggregationTemporality": 2, "dataPoints": [
            point(time, json!({ "count": format!("{}", n * 10), "sum": n as f64 * 2.5, "bucketCounts": [format!("{}", n * 4), format!("{}", n * 5), format!("{n}")], "explicitBounds": [0.1, 1.0],
                "exemplars": [{ "timeUnixNano": format!("{}", time * 1_000_000), "asDouble": 0.7, "traceId": "5b8efff798038103d269b633813fc60c" }] })) ] } },
        { "name": "payload", "unit": "By", "exponentialHistogram": { "aggregationTemporality": 2, "dataPoints": [
            point(time, json!({ "count": format!("{}", n * 3), "sum": n as f64 * 12.0, "scale": 0, "zeroCount": format!("{n}"), "positive": { "offset": 1, "bucketCounts": [format!("{}", 2 * n)] } })) ] } },
        { "name": "gc.pause", "summary": { "dataPoints": [
            point(time, json!({ "count": format!("{n}"), "sum": n as f64, "quantileValues": [{ "quantile": 0.5, "value": 0.25 }, { "quantile": 0.99, "value": 4.0 }] })) ] } },
    ]);
    let resource = json!({ "attributes": [
        { "key": "service.name", "value": { "stringValue": "checkout" } },
        { "key": "service.namespace", "value": { "stringValue": "shop" } },
        { "key": "service.instance.id", "value": { "stringValue": "a" } },
        { "key": "host.name", "value": { "stringValue": "h1" } } ] });
    json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "scope": { "name": "meter", "version": "1" }, "metrics": metrics }] }] }).to_string()
}

async fn filled(directory: &std::path::Path) -> Metrics {
    let store = Store::open(StoreOptions::new(directory), Arc::new(SystemClock::new())).await.unwrap();
    for n in 0..STEPS {
        // Some come late, and one comes twice.
        for n in if n % 10 == 3 { vec![n + 1, n] } else { vec![n] } {
            let received_unix_nano = (START_MS + n * STEP_MS) * 1_000_000;
            let decoded = decode(Signal::Metrics, Encoding::Json, request(n).as_bytes(), received_unix_nano).unwrap();
            let delivery = Delivery {
                sender: "test".to_owned(),
                received_unix_nano,
                batches: decoded.batches,
                ledger: Vec::new(),
            };
            store.append(delivery).await.unwrap();
        }
        if n % 25 == 20 {
            store.flush().await.unwrap();
        }
    }
    Metrics::new(store, MetricsOptions::default())
}

/// The answer of an instant query `seconds` after the start: a line a series, sorted.
fn ask(metrics: &Metrics, query: &str, seconds: i64) -> Vec<String> {
    let expr = parse(query, &Syntax::ALL).unwrap();
    let start_ms = START_MS + seconds * 1000;
    let window = Window { start_ms, end_ms: start_ms, step_ms: 0 };
    let options = Options { parallelism: 2, ..Options::default() };
    let answer = evaluate(query, &expr, window, metrics, &options).unwrap();
    let Value::Vector(samples) = answer.value else { panic!("{query}: {:?}", answer.value) };
    let number = |value: &Number| match value {
        Number::Float(value) => format!("{value}"),
        Number::Histogram(histogram) => histogram.to_string(),
    };
    let mut lines: Vec<String> =
        samples.iter().map(|sample| format!("{:?} {}", sample.labels, number(&sample.value))).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn promql_says_what_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = filled(directory.path()).await;
    let labels = |more: &str| {
        format!(
            r#"{more}"instance": "a", "job": "shop/checkout", "otel_scope_name": "meter", "otel_scope_version": "1"}}"#
        )
    };
    let name = |name: &str| labels(&format!(r#"{{"__name__": "{name}", "#));
    let close = |lines: &[String], expected: f64| {
        let value: f64 = lines[0].rsplit(' ').next().unwrap().parse().unwrap();
        assert!((value - expected).abs() < 1e-9 * expected.abs(), "{lines:?} is not {expected}");
    };
    assert_eq!(ask(&metrics, "queue_length", 600), [format!("{} 5", name("queue_length"))]);
    assert_eq!(ask(&metrics, "count_over_time(queue_length[5m])", 600)[0].rsplit(' ').next(), Some("20"));
    close(&ask(&metrics, "sum(rate(http_requests_total[5m]))", 900), 3.0);
    assert_eq!(
        ask(&metrics, "sum by (http_route) (increase(http_requests_total[5m]))", 900),
        [r#"{"http_route": "/cart"} 600"#, r#"{"http_route": "/pay"} 300"#]
    );
    close(&ask(&metrics, "rate(jobs_done_total[5m])", 900), 0.4);
    close(&ask(&metrics, "jobs_done_total", 600), 41.0 * 6.0);
    close(&ask(&metrics, "histogram_quantile(0.4, rate(request_duration_seconds_bucket[5m]))", 900), 0.1);
    close(
        &ask(
            &metrics,
            "sum(rate(request_duration_seconds_sum[5m])) / sum(rate(request_duration_seconds_count[5m]))",
            900,
        ),
        0.25,
    );
    assert_eq!(ask(&metrics, r#"request_duration_seconds_bucket{le=~"0.1|1"}"#, 600).len(), 2);
    close(&ask(&metrics, r#"request_duration_seconds_bucket{le="+Inf"}"#, 600), 400.0);
    close(
        &ask(&metrics, "histogram_sum(rate(payload_bytes[5m])) / histogram_count(rate(payload_bytes[5m]))", 900),
        4.0,
    );
    assert_eq!(
        ask(&metrics, "payload_bytes", 600),
        [format!("{} {{count:120, sum:480, [-0,0]:40, (2,4]:80}}", name("payload_bytes"))
            .replace("[-0,0]", "[-1e-128,1e-128]")]
    );
    close(&ask(&metrics, r#"gc_pause{quantile="0.99"}"#, 600), 4.0);
    close(&ask(&metrics, "gc_pause_count", 600), 40.0);
    assert_eq!(ask(&metrics, r#"{__name__=~"gc_.*", job="shop/checkout"}"#, 600).len(), 4);
    let info = r#"{"__name__": "target_info", "host_name": "h1", "instance": "a", "job": "shop/checkout"} 1"#;
    for seconds in [0, 600, (STEPS - 1) * 15] {
        assert_eq!(ask(&metrics, "target_info", seconds), [info], "{seconds}");
    }
    assert_eq!(ask(&metrics, "target_info", STEPS * 15 + 300).len(), 0);
    let joined = "queue_length * on (job, instance) group_left (host_name) target_info";
    assert!(ask(&metrics, joined, 600)[0].contains(r#""host_name": "h1""#));
    assert_eq!(ask(&metrics, r#"{job="another"}"#, 600).len(), 0);
    assert_eq!(ask(&metrics, "queue_length", 100_000).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_knows_series_labels_and_exemplars() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = filled(directory.path()).await;
    let of = |name: &str| vec![Matcher::new("__name__", MatchOperator::Equal, name).unwrap()];
    let query = |selectors: Vec<Vec<Matcher>>, limit| SeriesQuery {
        selectors,
        start_ms: START_MS,
        end_ms: START_MS + STEPS * STEP_MS,
        limit,
    };
    assert_eq!(metrics.series(&query(vec![], 0)).unwrap().items.len(), 1 + 2 + 1 + 5 + 1 + 4 + 1);
    let names = metrics.label_values("__name__", &query(vec![], 0)).unwrap().items;
    assert!(names.contains(&"request_duration_seconds_bucket".to_owned()) && names.len() == 11, "{names:?}");
    assert_eq!(
        metrics.label_values("le", &query(vec![of("request_duration_seconds_bucket")], 2)).unwrap().items,
        ["+Inf", "0.1"]
    );
    // However the values of a label are found, they are those of the series.
    let series = metrics.series(&query(vec![], 0)).unwrap().items;
    for name in metrics.label_names(&query(vec![], 0)).unwrap().items {
        let of_series: BTreeSet<&str> = series.iter().filter_map(|labels| labels.get(&name)).collect();
        let anything = vec![Matcher::new("__name__", MatchOperator::Matches, ".+").unwrap()];
        for selectors in [vec![], vec![anything]] {
            let values = metrics.label_values(&name, &query(selectors, 0)).unwrap().items;
            assert!(values.iter().map(String::as_str).eq(of_series.iter().copied()), "{name}: {values:?}");
        }
        let before = SeriesQuery { start_ms: 0, end_ms: START_MS - 2 * 86_400_000, ..query(vec![], 0) };
        assert!(metrics.label_values(&name, &before).unwrap().items.is_empty(), "{name}");
    }
    assert!(metrics.label_names(&query(vec![of("queue_length")], 2)).unwrap().truncated);
    let told = metrics.metadata(Some("http_requests_total")).unwrap();
    assert_eq!((told[0].kind.as_str(), told[0].help.as_str(), told.len()), ("counter", "How many.", 1));
    let exemplars = metrics.exemplars(&query(vec![of("request_duration_seconds_bucket")], 0)).unwrap();
    assert_eq!(exemplars.iter().map(|of| of.exemplars.len()).sum::<usize>(), STEPS as usize);
    assert_eq!(exemplars[0].exemplars[0].labels.get("trace_id"), Some("5b8efff798038103d269b633813fc60c"));
    let cardinality = metrics.cardinality(3).unwrap();
    assert_eq!((cardinality.series, cardinality.series_by_metric.len()), (15, 3));
    assert_eq!(cardinality.time_ms, Some((START_MS, START_MS + (STEPS - 1) * STEP_MS)));
}
