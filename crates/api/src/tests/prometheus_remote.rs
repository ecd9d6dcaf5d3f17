//! Do remote read and remote write keep what their specifications promise to senders and readers?

use std::sync::Arc;
use std::time::Duration;

use causeway_model::{Batch, Error, ErrorKind, Signal, Table};
use prost::Message;

use super::doubles::{House, Reply, call, house_of, limits};
use super::series_double::{house_of_prometheus, house_of_series, shelf};
use crate::prometheus::PrometheusOptions;
use crate::serve::Patience;
use crate::{DeskLimits, SeriesLimitOptions, SeriesLimits};

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(double, tag = "2")]
    count_float: f64,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(double, tag = "7")]
    zero_count_float: f64,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    #[prost(int64, tag = "15")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct QueryResult {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

/// `ReadResponse` and, of one result, `WriteRequest`'s time series have the same shape one level apart.
#[derive(Clone, PartialEq, Message)]
struct ReadResponse {
    #[prost(message, repeated, tag = "1")]
    results: Vec<QueryResult>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelMatcher {
    #[prost(int32, tag = "1")]
    operator: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<LabelMatcher>,
}

#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
    #[prost(int32, repeated, tag = "2")]
    accepted_response_types: Vec<i32>,
}

/// `io.prometheus.write.v2.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
struct TimeSeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestV2 {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeriesV2>,
}

fn snappy(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

async fn send(house: &House, path: &str, content_type: &str, body: &[u8]) -> Reply {
    let headers = [("content-type", content_type), ("content-encoding", "snappy"), ("user-agent", "Prometheus/3.9.0")];
    call(&house.address, "POST", &format!("/prometheus/api/v1/{path}"), &headers, body).await
}

fn query(name: &str, operator: i32) -> Query {
    let matcher = LabelMatcher { operator, name: "__name__".into(), value: name.into() };
    Query { start_timestamp_ms: 1_435_781_445_000, end_timestamp_ms: 1_435_781_460_000, matchers: vec![matcher] }
}

const PROTOBUF: &str = "application/x-protobuf";

#[tokio::test]
async fn samples_are_read_as_they_are() {
    let house = house_of_series(Arc::new(shelf()), PrometheusOptions::default()).await;
    let queries = vec![query("up", 0), query("lat.*", 2), query("nothing", 0)];
    let request = ReadRequest { queries, accepted_response_types: vec![1, 0] };
    let reply = send(&house, "read", PROTOBUF, &snappy(&request)).await;
    assert_eq!(reply.status, 200, "{:?}", String::from_utf8_lossy(&reply.body));
    assert!(reply.head.contains("content-type: application/x-protobuf"), "{}", reply.head);
    assert!(reply.head.contains("content-encoding: snappy"), "{}", reply.head);
    let body = snap::raw::Decoder::new().decompress_vec(&reply.body).unwrap();
    let [up, latency, nothing] = &ReadResponse::decode(&*body).unwrap().results[..] else { panic!("three results") };
    assert_eq!((up.timeseries.len(), nothing.timeseries.len()), (2, 0));
    let first = &up.timeseries[0];
    assert_eq!(first.labels[0], Label { name: "__name__".into(), value: "up".into() });
    let times: Vec<i64> = first.samples.iter().map(|sample| sample.timestamp).collect();
    assert_eq!(times, [1_435_781_445_000, 1_435_781_460_000], "both ends are inside");
    let histogram = &latency.timeseries[0].histograms[0];
    assert_eq!((histogram.count_float, histogram.sum, histogram.zero_count_float), (3.0, 18.4, 1.0));
    assert_eq!(histogram.positive_spans, [Span { offset: 0, length: 2 }]);
    assert_eq!((histogram.positive_counts.len(), histogram.timestamp), (2, 1_435_781_445_000));
}

#[tokio::test]
async fn reads_that_can_not_be_answered_are_refused_in_words() {
    let options = PrometheusOptions { samples_max: 3, ..PrometheusOptions::default() };
    let house = house_of_series(Arc::new(shelf()), options).await;
    let request =
        |queries: Vec<Query>, types: &[i32]| snappy(&ReadRequest { queries, accepted_response_types: types.to_vec() });
    let streamed = "server does not support any of the requested response types: [STREAMED_XOR_CHUNKS]; supported: map[SAMPLES:{}]\n";
    let cases = [
        (request(vec![query("up", 0)], &[1]), 400, streamed),
        (request(vec![query("up", 0)], &[]), 400, "exceeded sample limit (3)\n"),
        (request(vec![query("up", 7)], &[]), 400, "invalid matcher type\n"),
        (request(vec![query("up", 0); 101], &[]), 400, "more than 100 queries or 1000 matchers\n"),
    ];
    for (body, status, message) in cases {
        let reply = send(&house, "read", PROTOBUF, &body).await;
        assert_eq!((reply.status, String::from_utf8_lossy(&reply.body).as_ref()), (status, message));
    }
    for body in [b"".to_vec(), b"\xff\xff\xff\xff\xff".to_vec(), b"no snappy".to_vec()] {
        assert_eq!(send(&house, "read", PROTOBUF, &body).await.status, 400);
    }
    assert_eq!(send(&house, "read", PROTOBUF, &vec![0; 2 << 20]).await.status, 400);
}

fn series(name: &str, samples: usize) -> TimeSeries {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    let labels = if name.is_empty() {
        vec![label("job", "a"), label("job", "b")]
    } else {
        vec![label("__name__", name), label("job", "a")]
    };
    let sample = |at: usize| Sample { value: at as f64, timestamp: 1_700_000_000_000 + at as i64 };
    TimeSeries { labels, samples: (0..samples).map(sample).collect(), histograms: Vec::new() }
}

/// `WriteRequest` has its time series where a result has them.
fn write_request(series: Vec<TimeSeries>) -> Vec<u8> {
    snappy(&QueryResult { timeseries: series })
}

fn write_request_v2(samples: usize) -> Vec<u8> {
    let symbols = ["", "__name__", "up", "job", "a"].map(String::from).to_vec();
    let samples = series("up", samples).samples;
    snappy(&RequestV2 { symbols, timeseries: vec![TimeSeriesV2 { labels_refs: vec![1, 2, 3, 4], samples }] })
}

/// One series of `m` for each user.
fn of_users(users: &[&str]) -> Vec<u8> {
    let series = |user: &&str| {
        let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
        TimeSeries { labels: vec![label("__name__", "m"), label("user", user)], ..series("m", 1) }
    };
    write_request(users.iter().map(series).collect())
}

#[tokio::test]
async fn new_series_beyond_the_limit_are_refused_and_known_ones_go_on() {
    let series = SeriesLimitOptions { per_metric_max: 2, ..SeriesLimitOptions::default() };
    let limits = DeskLimits { series: Arc::new(SeriesLimits::new(series)), ..limits() };
    let house = house_of(Box::new(|_| Err(Error::invalid("none"))), limits, Patience::default(), 100).await;
    let reply = send(&house, "write", PROTOBUF, &of_users(&["a", "b", "c"])).await;
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, 400, "{said}");
    for word in ["1 samples of new series of metric m refused", "series-per-metric-max", "label user"] {
        assert!(said.contains(word), "{said}");
    }
    let delivery = house.cellar.kept.lock().pop().unwrap();
    let [entry] = &delivery.ledger[..] else { panic!("one entry") };
    assert_eq!((entry.received, entry.stored), (3, 2));
    assert_eq!(entry.dropped, [("series_limit_metric".to_owned(), 1)]);
    assert_eq!(send(&house, "write", PROTOBUF, &of_users(&["b", "a"])).await.status, 204);
    // A refused series is no known one: where it is all that was sent, the answer is the same the second time.
    for _ in 0..2 {
        assert_eq!(send(&house, "write", PROTOBUF, &of_users(&["c"])).await.status, 400);
    }
    let metrics = call(&house.address, "GET", "/metrics", &[], b"").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("causeway_series_active 2\n"), "{text}");
    assert!(text.contains("causeway_series_refused_total{metric=\"m\"} 3\n"), "{text}");
}

#[tokio::test]
async fn samples_are_taken_in_and_counted() {
    let house = house_of_prometheus(None).await;
    let v1 = write_request(vec![series("up", 3)]);
    for content_type in [PROTOBUF, "application/x-protobuf;proto=prometheus.WriteRequest"] {
        let reply = send(&house, "write", content_type, &v1).await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{}", reply.head);
        assert!(!reply.head.contains("x-prometheus-remote-write"));
        let delivery = house.cellar.kept.lock().pop().unwrap();
        let [entry] = &delivery.ledger[..] else { panic!("one entry") };
        assert_eq!((entry.signal, entry.received, entry.stored), (Signal::Metrics, 3, 3));
        assert_eq!(delivery.sender, "prometheus-remote-write Prometheus/3.9.0 127.0.0.1");
        assert!(!delivery.batches.is_empty());
    }
    let v2 = "application/x-protobuf; proto=io.prometheus.write.v2.Request";
    let reply = send(&house, "write", v2, &write_request_v2(20_000)).await;
    assert_eq!(reply.status, 204, "{}", String::from_utf8_lossy(&reply.body));
    for header in ["samples-written: 20000", "histograms-written: 0", "exemplars-written: 0"] {
        assert!(reply.head.contains(&format!("x-prometheus-remote-write-{header}")), "{}", reply.head);
    }
    assert_eq!(house.cellar.kept.lock().pop().unwrap().ledger[0].stored, 20_000);
    assert_eq!(send(&house, "write", PROTOBUF, &write_request(Vec::new())).await.status, 204);
    assert!(house.cellar.kept.lock().is_empty(), "of nothing, nothing is kept");
    assert_eq!(house.desk.intake.metrics_bytes(), 0, "nothing stays charged");
}

#[tokio::test]
async fn a_series_is_described_once_and_again_when_the_store_has_lost_its_row() {
    let house = house_of_prometheus(None).await;
    let body = write_request(vec![series("up", 3)]);
    let described = async || {
        assert_eq!(send(&house, "write", PROTOBUF, &body).await.status, 204);
        let delivery = house.cellar.kept.lock().pop().unwrap();
        delivery.batches.iter().filter(|batch| batch.table() == Table::MetricSeries).map(Batch::rows).sum::<usize>()
    };
    assert_eq!((described().await, described().await), (1, 0));
    *house.cellar.series_forgotten.lock() += 1;
    // The answer to this one tells.
    assert_eq!((described().await, described().await, described().await), (0, 1, 0));
}

#[tokio::test]
async fn what_is_good_of_a_request_is_kept_and_the_rest_told() {
    let house = house_of_prometheus(None).await;
    let reply = send(&house, "write", PROTOBUF, &write_request(vec![series("up", 2), series("", 1)])).await;
    assert_eq!(reply.status, 400);
    assert!(!reply.body.is_empty() && !reply.head.contains("retry-after"));
    let delivery = house.cellar.kept.lock().pop().unwrap();
    let entry = &delivery.ledger[0];
    let dropped: u64 = entry.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!((entry.received, entry.stored, dropped), (3, 2, 1));
}

#[tokio::test]
async fn unusable_writes_have_a_final_status_and_pressure_one_to_repeat() {
    let house = house_of_prometheus(None).await;
    let good = write_request(vec![series("up", 1)]);
    for (content_type, body, status) in [
        ("application/json", good.as_slice(), 415),
        ("application/x-protobuf;proto=some.other.Message", &good, 415),
        (PROTOBUF, b"not snappy", 400),
        (PROTOBUF, &good[..good.len() - 3], 400),
        (PROTOBUF, &snap::raw::Encoder::new().compress_vec(&[0xff; 40]).unwrap(), 400),
        (PROTOBUF, &snap::raw::Encoder::new().compress_vec(&vec![0; 8 << 20]).unwrap(), 413),
        (PROTOBUF, &vec![0; (1 << 20) + 1], 413),
    ] {
        let reply = send(&house, "write", content_type, body).await;
        assert_eq!(reply.status, status, "{content_type} {}", String::from_utf8_lossy(&reply.body));
        assert!(!reply.head.contains("retry-after"));
    }
    let headers = [("content-type", PROTOBUF), ("content-encoding", "gzip")];
    let reply = call(&house.address, "POST", "/prometheus/api/v1/write", &headers, &good).await;
    assert_eq!(reply.status, 415);
    assert_eq!(call(&house.address, "POST", "/prometheus/api/v1/write", &[], &good).await.status, 415);
    assert_eq!(call(&house.address, "GET", "/prometheus/api/v1/write", &[], b"").await.status, 405);
    for kind in [ErrorKind::Overloaded { retry_after: Duration::from_secs(2) }, ErrorKind::Unavailable] {
        *house.cellar.fail.lock() = Some(kind);
        let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        let reply = send(&house, "write", v2, &write_request_v2(1)).await;
        assert_eq!(reply.status, 503, "429 would be dropped by Prometheus");
        assert!(reply.head.contains("retry-after") && reply.head.contains("samples-written: 0"), "{}", reply.head);
    }
    assert!(house.cellar.kept.lock().is_empty());
}
