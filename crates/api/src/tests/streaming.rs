//! Does Tempo's `StreamingQuerier` answer over gRPC what its HTTP API answers?

use prost::Message;

use super::doubles::House;
use super::grpc::{GRPC, Reply, call, framed};
use super::traces::{START_S, house};

#[derive(Clone, PartialEq, Message)]
struct SearchRequest {
    #[prost(btree_map = "string, string", tag = "1")]
    tags: std::collections::BTreeMap<String, String>,
    #[prost(uint32, tag = "2")]
    min_duration_ms: u32,
    #[prost(uint32, tag = "4")]
    limit: u32,
    #[prost(uint32, tag = "5")]
    start: u32,
    #[prost(uint32, tag = "6")]
    end: u32,
    #[prost(string, tag = "8")]
    query: String,
}

#[derive(Clone, PartialEq, Message)]
struct SearchResponse {
    #[prost(message, repeated, tag = "1")]
    traces: Vec<FoundTrace>,
    #[prost(message, optional, tag = "2")]
    metrics: Option<SearchMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct FoundTrace {
    #[prost(string, tag = "1")]
    trace_id: String,
    #[prost(string, tag = "2")]
    root_service_name: String,
    #[prost(uint32, tag = "5")]
    duration_ms: u32,
}

#[derive(Clone, PartialEq, Message)]
struct SearchMetrics {
    #[prost(uint32, tag = "4")]
    completed_jobs: u32,
    #[prost(uint32, tag = "5")]
    total_jobs: u32,
}

#[derive(Clone, PartialEq, Message)]
struct TagsRequest {
    #[prost(string, tag = "1")]
    scope: String,
    #[prost(uint32, tag = "5")]
    max_tags_per_scope: u32,
}

#[derive(Clone, PartialEq, Message)]
struct TagValuesRequest {
    #[prost(string, tag = "1")]
    tag_name: String,
    #[prost(string, tag = "2")]
    query: String,
    #[prost(uint32, tag = "4")]
    start: u32,
    #[prost(uint32, tag = "5")]
    end: u32,
    #[prost(uint32, tag = "6")]
    max_tag_values: u32,
}

/// `SearchTagsResponse` and `SearchTagValuesResponse`.
#[derive(Clone, PartialEq, Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    texts: Vec<String>,
}

/// `SearchTagsV2Response`, and with one text each `SearchTagValuesV2Response`.
#[derive(Clone, PartialEq, Message)]
struct Lists {
    #[prost(message, repeated, tag = "1")]
    lists: Vec<List>,
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    texts: Vec<String>,
}

/// `QueryRangeRequest` and `QueryInstantRequest`.
#[derive(Clone, PartialEq, Message)]
struct MetricsRequest {
    #[prost(string, tag = "1")]
    query: String,
    #[prost(uint64, tag = "2")]
    start: u64,
    #[prost(uint64, tag = "3")]
    end: u64,
    #[prost(uint64, tag = "4")]
    step: u64,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "1")]
    series: Vec<TimeSeries>,
    #[prost(message, optional, tag = "2")]
    metrics: Option<SearchMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<KeyValue>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct InstantResponse {
    #[prost(message, repeated, tag = "1")]
    series: Vec<InstantSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct InstantSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<KeyValue>,
    #[prost(double, tag = "2")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<KeyValue>,
    #[prost(int64, tag = "3")]
    timestamp_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, tag = "1")]
    string_value: String,
}

const START: u32 = START_S as u32;
const NS: u64 = 1_000_000_000;

async fn ask(house: &House, method: &str, request: &impl Message) -> Reply {
    let path = format!("/tempopb.StreamingQuerier/{method}");
    call(house, &path, &[GRPC], framed(false, &request.encode_to_vec())).await
}

/// The one message of an answer.
async fn answer<T: Message + Default>(house: &House, method: &str, request: impl Message) -> T {
    let reply = ask(house, method, &request).await;
    assert_eq!((reply.http, reply.code), (200, Some(0)), "{method}: {}", reply.message);
    let length = u32::from_be_bytes(reply.body[1..5].try_into().unwrap()) as usize;
    assert_eq!((reply.body[0], length), (0, reply.body.len() - 5), "{method}: one message, not compressed");
    T::decode(&reply.body[5..]).unwrap()
}

#[tokio::test]
async fn searches() {
    let (house, _) = house().await;
    let request = |query: &str| SearchRequest {
        limit: 2,
        start: START,
        end: START + 100,
        query: query.to_owned(),
        ..SearchRequest::default()
    };
    let found: SearchResponse = answer(&house, "Search", request("{ }")).await;
    let traces: Vec<(&str, u32)> = found.traces.iter().map(|it| (it.trace_id.as_str(), it.duration_ms)).collect();
    assert_eq!(traces, [("03".repeat(16).as_str(), 300), ("02".repeat(16).as_str(), 200)]);
    assert_eq!(found.traces[0].root_service_name, "web");
    assert_eq!(found.metrics, Some(SearchMetrics { completed_jobs: 1, total_jobs: 1 }));
    let by_tags =
        SearchRequest { tags: [("name".to_owned(), "SELECT".to_owned())].into(), min_duration_ms: 250, ..request("") };
    let found: SearchResponse = answer(&house, "Search", by_tags).await;
    assert_eq!(found.traces.len(), 1);
    assert_eq!(ask(&house, "Search", &request("{")).await.code, Some(3));
    let path = "/tempopb.StreamingQuerier/Search";
    assert_eq!(call(&house, path, &[GRPC], framed(true, b"x")).await.code, Some(12));
    assert_eq!(call(&house, path, &[GRPC], framed(false, b"\xff")).await.code, Some(3));
    let other = call(&house, "/tempopb.StreamingQuerier/Other", &[GRPC], framed(false, b"")).await;
    assert_ne!((other.http, other.code), (200, Some(0)));
}

#[tokio::test]
async fn tags_and_their_values() {
    let (house, _) = house().await;
    let tags = |scope: &str, max: u32| TagsRequest { scope: scope.to_owned(), max_tags_per_scope: max };
    let names: Texts = answer(&house, "SearchTags", tags("", 0)).await;
    assert!(names.texts.iter().any(|name| name == "http.route"), "{names:?}");
    let scopes: Lists = answer(&house, "SearchTagsV2", tags("", 0)).await;
    let told: Vec<&str> = scopes.lists.iter().map(|scope| scope.name.as_str()).collect();
    assert_eq!(told, ["resource", "span", "event", "intrinsic"]);
    let scopes: Lists = answer(&house, "SearchTagsV2", tags("span", 1)).await;
    assert_eq!(scopes.lists, [List { name: "span".to_owned(), texts: vec!["http.route".to_owned()] }]);
    // A text that is "0" is said, a number 0 is not.
    for scope in ["x", "0"] {
        assert_eq!(ask(&house, "SearchTagsV2", &tags(scope, 0)).await.code, Some(3), "{scope}");
    }

    let values = |tag: &str, query: &str| TagValuesRequest {
        tag_name: tag.to_owned(),
        query: query.to_owned(),
        start: START,
        end: START + 100,
        max_tag_values: 2,
    };
    let texts: Texts = answer(&house, "SearchTagValues", values("span.a/b", "")).await;
    assert_eq!(texts.texts, ["a", "5"]);
    let typed: Lists = answer(&house, "SearchTagValuesV2", values("span.a", "")).await;
    let list = |kind: &str, text: &str| List { name: kind.to_owned(), texts: vec![text.to_owned()] };
    assert_eq!(typed.lists, [list("string", "a"), list("int", "5")]);
    let filtered: Lists = answer(&house, "SearchTagValuesV2", values("name", "{ status = error }")).await;
    assert_eq!(filtered.lists, [list("string", "GET /cart")]);
}

#[tokio::test]
async fn metrics_over_time_and_at_once() {
    let (house, _) = house().await;
    let start = u64::from(START) * NS;
    let request =
        |query: &str, step: u64| MetricsRequest { query: query.to_owned(), start, end: start + 100 * NS, step };
    let query = "{ } | count_over_time() by (resource.service.name)";
    let over_time: RangeResponse = answer(&house, "MetricsQueryRange", request(query, 100 * NS)).await;
    let series = &over_time.series;
    let value = |text: &str| Some(AnyValue { string_value: text.to_owned() });
    assert_eq!(series.len(), 2);
    assert_eq!(series[1].labels, [KeyValue { key: "resource.service.name".to_owned(), value: value("web") }]);
    assert_eq!(series[1].samples.iter().map(|sample| sample.value).sum::<f64>(), 3.0);
    assert!(series[1].samples.iter().all(|sample| sample.timestamp_ms >= START_S * 1_000));
    let exemplar = &series[1].exemplars[0];
    let labels: Vec<&str> = exemplar.labels.iter().map(|label| label.key.as_str()).collect();
    assert_eq!((labels, exemplar.timestamp_ms % 10_000), (vec!["trace:id", "span:id"], 0));
    assert_eq!(over_time.metrics.unwrap().completed_jobs, 1);
    // Without a step there is a default.
    let many: RangeResponse = answer(&house, "MetricsQueryRange", request(query, 0)).await;
    assert!(many.series[1].samples.len() > over_time.series[1].samples.len());
    let instant: InstantResponse = answer(&house, "MetricsQueryInstant", request(query, 0)).await;
    assert_eq!((instant.series[1].value, &instant.series[1].labels), (3.0, &series[1].labels));
    for (method, query) in [("MetricsQueryRange", "{ }"), ("MetricsQueryInstant", "")] {
        assert_eq!(ask(&house, method, &request(query, 0)).await.code, Some(3), "{method} {query:?}");
    }
}
