//! Do the APIs of Tempo and Jaeger answer Grafana's data sources as these programs do?

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use causeway_model::trace::{OwnedValue, Trace};
use causeway_model::{Error, Result, Tailed, TimeRange, Value as Attribute, hex};
use causeway_query::traces::{Interrupted, Listed, Operation, Tag, TagScope, TraceCatalog, TraceSearch};
use causeway_traceql::ast::{Kind, Status};
use causeway_traceql::{Alike, Fields, Seen, Span, SpanSource, SpanTail, TailQuery, TailedSpan, Taker, Wanted};
use futures::stream::{BoxStream, StreamExt};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::doubles::{House, Reply, call, house_with, limits};
use crate::serve::Patience;
use crate::trace::tests::trace;
use crate::turns::Turns;
use crate::{Jaeger, JaegerOptions, Languages, Tempo, TempoOptions};

/// The trace with this id is there, and another that is cut.
const THERE: &str = "ab";
const CUT: &str = "cd";

/// One trace, and what was asked for.
#[derive(Default)]
pub(super) struct Album {
    searches: Mutex<Vec<TraceSearch>>,
    tags: Mutex<Vec<Tag>>,
}

impl TraceCatalog for Album {
    fn by_ids(&self, trace_ids: &[[u8; 16]], _: Interrupted<'_>) -> Result<Vec<Trace>> {
        let found = |trace_id: &[u8; 16]| {
            let text = hex(trace_id);
            let partial = text.ends_with(CUT).then(|| "it has more than 2 spans".to_owned());
            let there = text.ends_with(THERE) || partial.is_some();
            there.then(|| Trace { trace_id: *trace_id, partial, ..trace() })
        };
        Ok(trace_ids.iter().filter_map(found).collect())
    }

    fn search(&self, wanted: &TraceSearch, _: Interrupted<'_>) -> Result<Vec<Trace>> {
        self.searches.lock().push(wanted.clone());
        Ok(if wanted.service.as_deref() == Some("web") { vec![trace()] } else { Vec::new() })
    }

    fn operations(&self, _: TimeRange, _: Interrupted<'_>) -> Result<Listed<Operation>> {
        let operation =
            |service: &str, name: &str, kind| Operation { service: service.to_owned(), name: name.to_owned(), kind };
        let items = vec![
            operation("", "none", 0),
            operation("web", "GET /", 2),
            operation("web", "call", 3),
            operation("a/b", "x", 2),
        ];
        Ok(Listed { items, cut: false })
    }

    fn tag_names(&self, scopes: &[TagScope], _: TimeRange, _: Interrupted<'_>) -> Result<Listed<(TagScope, String)>> {
        let all = [
            (TagScope::Resource, "service.name"),
            (TagScope::Span, "http.route"),
            (TagScope::Span, "n"),
            (TagScope::Event, "why"),
        ];
        let items = all.into_iter().filter(|(scope, _)| scopes.contains(scope));
        Ok(Listed { items: items.map(|(scope, key)| (scope, key.to_owned())).collect(), cut: false })
    }

    fn tag_values(&self, tag: &Tag, _: TimeRange, max: usize, _: Interrupted<'_>) -> Result<Listed<OwnedValue>> {
        self.tags.lock().push(tag.clone());
        let items = vec![
            OwnedValue::String("a".to_owned()),
            OwnedValue::Int(5),
            OwnedValue::Double(0.5),
            OwnedValue::Bool(true),
        ];
        Ok(Listed { items: items.into_iter().take(max).collect(), cut: false })
    }
}

pub(super) const START_S: i64 = 1_767_225_600;

/// Spans of three traces, ten seconds apart; each has a root of `web` and a child of `db`.
struct Film;

impl Film {
    fn spans(trace: u8, visit: &mut dyn FnMut(&[Span<'_>]) -> Result<()>, fields: &Fields) -> Result<()> {
        let values = |service: &'static str| -> Vec<Attribute<'static>> {
            let value = |(_, key): &(_, String)| {
                if key == "http.route" { Attribute::String("/cart") } else { Attribute::Empty }
            };
            let _ = service;
            fields.attributes.iter().map(value).collect()
        };
        let (web, db) = (values("web"), values("db"));
        let root = Span {
            trace_id: [trace; 16],
            span_id: [trace; 8],
            parent_id: None,
            start_ns: (START_S + 10 * i64::from(trace)) * 1_000_000_000,
            duration_ns: 100_000_000 * i64::from(trace),
            name: "GET /cart",
            kind: Kind::Server,
            status: if trace == 2 { Status::Error } else { Status::Unset },
            status_message: "",
            service: "web",
            trace_state: "",
            instrumentation_name: "",
            instrumentation_version: "",
            values: &web,
            events: &[],
            links: &[],
            attributes: &[],
        };
        let child = Span {
            span_id: [trace | 0x80; 8],
            parent_id: Some([trace; 8]),
            name: "SELECT",
            service: "db",
            kind: Kind::Client,
            duration_ns: 5_000_000,
            status: Status::Unset,
            values: &db,
            ..root
        };
        visit(&[root, child])
    }
}

impl SpanSource for Film {
    fn spans(&self, wanted: &Wanted<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()> {
        for trace in (1..=3).rev() {
            let mut go = ControlFlow::Continue(());
            Self::spans(
                trace,
                &mut |spans| {
                    let within: Vec<Alike<'_>> = spans
                        .iter()
                        .filter(|it| it.start_ns >= wanted.time.start && it.start_ns <= wanted.time.end)
                        .map(|span| Alike::alone(*span))
                        .collect();
                    go = takers[0](&within)?;
                    Ok(())
                },
                wanted.fields,
            )?;
            if go.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn traces(
        &self,
        traces: &[Seen],
        fields: &Fields,
        _: &(dyn Fn() -> Result<()> + Send + Sync),
        visit: &mut dyn FnMut(&[Span<'_>]) -> Result<()>,
    ) -> Result<()> {
        traces.iter().try_for_each(|seen| Self::spans(seen.trace_id[0], visit, fields))
    }
}

/// The spans of each trace come together, then nothing.
impl SpanTail for Film {
    fn follow(&self, filter: TailQuery) -> Result<BoxStream<'static, Tailed<TailedSpan>>> {
        let come = futures::stream::iter(1..=3).map(move |trace| {
            let mut found = Vec::new();
            let mut keep = |spans: &[Span<'_>]| {
                found.extend(spans.iter().filter_map(|span| filter.kept(span)));
                Ok(())
            };
            Self::spans(trace, &mut keep, filter.fields()).unwrap();
            Tailed { found, seen: 2, missed: u64::from(trace) / 3 }
        });
        Ok(come.chain(futures::stream::pending()).boxed())
    }
}

pub(super) async fn house() -> (House, Arc<Album>) {
    let (turns, album) = (Arc::new(Turns::new(8, 256, Duration::from_secs(10))), Arc::new(Album::default()));
    let tempo =
        Some(Tempo::new(album.clone(), Arc::new(Film), Some(Arc::new(Film)), turns.clone(), TempoOptions::default()));
    let jaeger = Some(Jaeger::new(album.clone(), turns, JaegerOptions::default()));
    let ask = Box::new(|_| Err(Error::invalid("no questions here")));
    let languages = Languages { tempo, jaeger, ..Languages::default() };
    (house_with(ask, limits(), Patience::default(), 100, languages).await, album)
}

async fn get(house: &House, path: &str, headers: &[(&str, &str)]) -> Reply {
    call(&house.address, "GET", path, headers, b"").await
}

async fn ok(house: &House, path: &str) -> Value {
    let reply = get(house, path, &[]).await;
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

#[tokio::test]
async fn grafana_finds_tempo_and_a_trace_in_it() {
    let (house, _) = house().await;
    assert_eq!(get(&house, "/tempo/api/echo", &[]).await.body, b"echo");
    let info = ok(&house, "/tempo/api/status/buildinfo").await;
    assert_eq!((&info["version"], &info["data"]["version"]), (&json!("2.8.0"), &json!("2.8.0")));
    // Grafana asks for version 2 first, as protobuf; zeros at the left may be missing.
    let protobuf = [("accept", "application/protobuf")];
    for id in ["ab", "000000000000000000000000000000ab", "AB"] {
        let reply = get(&house, &format!("/tempo/api/traces/{id}?start=1&end=2"), &protobuf).await;
        assert!(reply.head.contains("content-type: application/protobuf"));
        assert_eq!(TracesData::decode(reply.body.as_slice()).unwrap().resource_spans.len(), 2);
    }
    // `TraceByIDResponse` holds the same in its field 1, here once for each piece.
    let reply = get(&house, &format!("/tempo/api/v2/traces/{CUT}"), &protobuf).await;
    let found = TraceById::decode(reply.body.as_slice()).unwrap();
    assert_eq!((found.trace.unwrap().resource_spans.len(), found.status), (2, 1));
    assert!(found.message.contains("more than 2 spans"));
    let told = ok(&house, "/tempo/api/v2/traces/ab").await;
    assert_eq!((told["trace"]["resourceSpans"].as_array().unwrap().len(), &told["status"]), (2, &json!("COMPLETE")));
    let told = ok(&house, &format!("/tempo/api/v2/traces/{CUT}")).await;
    assert_eq!(told["status"], "PARTIAL");
    assert_eq!(ok(&house, "/tempo/api/traces/ab").await["batches"].as_array().unwrap().len(), 2);
    for path in ["/tempo/api/traces/1", "/tempo/api/v2/traces/1"] {
        assert_eq!(get(&house, path, &protobuf).await.status, 404);
    }
    for path in ["/tempo/api/traces/xyz", "/tempo/api/v2/traces/000000000000000000000000000000001"] {
        let reply = get(&house, path, &[]).await;
        assert_eq!(reply.status, 400, "{}", String::from_utf8_lossy(&reply.body));
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct TraceById {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(string, tag = "4")]
    message: String,
}

#[tokio::test]
async fn tempo_lists_tags_and_their_values() {
    let (house, album) = house().await;
    let scopes = ok(&house, "/tempo/api/v2/search/tags?limit=5000&start=1&end=2").await["scopes"].clone();
    let names: Vec<&str> = scopes.as_array().unwrap().iter().map(|scope| scope["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["resource", "span", "event", "intrinsic"]);
    assert_eq!(scopes[1], json!({ "name": "span", "tags": ["http.route", "n"] }));
    let one = ok(&house, "/tempo/api/v2/search/tags?scope=span&limit=1").await["scopes"].clone();
    assert_eq!(one, json!([{ "name": "span", "tags": ["http.route"] }]));
    let intrinsic = ok(&house, "/tempo/api/v2/search/tags?scope=intrinsic").await["scopes"].clone();
    assert_eq!(intrinsic[0]["name"], "intrinsic");
    let names = ok(&house, "/tempo/api/search/tags").await["tagNames"].clone();
    assert!(names.as_array().unwrap().contains(&json!("http.route")));
    assert_eq!(get(&house, "/tempo/api/v2/search/tags?scope=x", &[]).await.status, 400);
    // Grafana encodes names twice.
    let values = ok(&house, "/tempo/api/v2/search/tag/span.a%252Fb/values?limit=5000").await["tagValues"].clone();
    let typed = |kind: &str, value: &str| json!({ "type": kind, "value": value });
    assert_eq!(values, json!([typed("string", "a"), typed("int", "5"), typed("float", "0.5"), typed("bool", "true")]));
    assert_eq!(album.tags.lock().pop(), Some(Tag::Attribute(Some(TagScope::Span), "a/b".to_owned())));
    assert_eq!(
        ok(&house, "/tempo/api/search/tag/service.name/values").await["tagValues"],
        json!(["a", "5", "0.5", "true"])
    );
    assert_eq!(album.tags.lock().pop(), Some(Tag::Service));
    let status = ok(&house, "/tempo/api/v2/search/tag/status/values").await["tagValues"].clone();
    assert_eq!(status, json!([typed("keyword", "error"), typed("keyword", "ok"), typed("keyword", "unset")]));
    // A filter that is still being written does not count.
    let unfinished = "/tempo/api/v2/search/tag/name/values?q=%7B%20resource.x%20%3D%20%7D&limit=1";
    assert_eq!(ok(&house, unfinished).await["tagValues"], json!([typed("string", "a")]));
}

fn window() -> String {
    format!("start={START_S}&end={}", START_S + 100)
}

#[tokio::test]
async fn spans_are_told_one_by_one() {
    let (house, _) = house().await;
    let mut stream = TcpStream::connect(&house.address).await.unwrap();
    let query = "%7Bstatus%3Derror%26%26span.http.route%3D%22%2Fcart%22%7D";
    let request = format!("GET /api/v1/spans/tail?query={query} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("\"missed\":1") {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(Value::is_object);
    let lines: Vec<Value> = lines.collect();
    let span = json!({
        "time_unix_nano": ((START_S + 20) * 1_000_000_000).to_string(), "duration_ns": 200_000_000,
        "trace_id": "02".repeat(16), "span_id": "02".repeat(8), "parent_span_id": null,
        "name": "GET /cart", "service": "web", "kind": "server", "status": "error",
        "attributes": { "span.http.route": "/cart" },
    });
    let count = |missed: u64| json!({ "seen": 2, "missed": missed });
    assert_eq!(lines, [count(0), span, count(0), count(1)]);
    for (query, words) in [("%7B%7D%3E%3E%7B%7D", "how spans are related"), ("%7B", "invalid TraceQL query")] {
        let wrong = call(&house.address, "GET", &format!("/api/v1/spans/tail?query={query}"), &[], b"").await;
        assert_eq!(wrong.status, 400);
        assert!(wrong.json()["error"]["message"].as_str().unwrap().contains(words), "{}", wrong.json());
    }
}

#[tokio::test]
async fn tempo_searches_by_traceql_and_by_tags() {
    let (house, _) = house().await;
    let window = window();
    // `{ name = "GET /cart" && duration > 150ms }`
    let query = "q=%7B%20name%20%3D%20%22GET%20%2Fcart%22%20%26%26%20duration%20%3E%20150ms%20%7D";
    let found = ok(&house, &format!("/tempo/api/search?{query}&limit=20&spss=10&{window}")).await;
    let traces = found["traces"].as_array().unwrap();
    let ids: Vec<&str> = traces.iter().map(|trace| trace["traceID"].as_str().unwrap()).collect();
    assert_eq!(ids, ["03".repeat(16), "02".repeat(16)]);
    let newest = &traces[0];
    assert_eq!((&newest["rootServiceName"], &newest["rootTraceName"]), (&json!("web"), &json!("GET /cart")));
    let start_ns = ((START_S + 30) * 1_000_000_000).to_string();
    assert_eq!((&newest["startTimeUnixNano"], &newest["durationMs"]), (&json!(start_ns), &json!(300)));
    let spans = &newest["spanSets"][0];
    assert_eq!((&spans["matched"], &spans["spans"][0]["durationNanos"]), (&json!(1), &json!("300000000")));
    assert_eq!((&spans["spans"][0]["spanID"], &newest["spanSet"]), (&json!("0303030303030303"), spans));
    let services = json!({ "web": { "spanCount": 1, "errorCount": 1 }, "db": { "spanCount": 1, "errorCount": 0 } });
    assert_eq!(traces[1]["serviceStats"], services);
    let limited = ok(&house, &format!("/tempo/api/search?{query}&limit=1&{window}")).await;
    assert_eq!(limited["traces"].as_array().unwrap().len(), 1);
    // Tags become a query, as do durations, which are the traces'.
    let by_tags =
        ok(&house, &format!("/tempo/api/search?tags=http.route%3D%2Fcart%20name%3DSELECT&minDuration=250ms&{window}"))
            .await;
    assert_eq!(by_tags["traces"].as_array().unwrap().len(), 1, "{by_tags}");
    let everything = ok(&house, &format!("/tempo/api/search?{window}")).await;
    assert_eq!(everything["traces"].as_array().unwrap().len(), 3);
    let values =
        ok(&house, &format!("/tempo/api/v2/search/tag/name/values?q=%7B%20status%20%3D%20error%20%7D&{window}")).await;
    assert_eq!(values["tagValues"], json!([{ "type": "string", "value": "GET /cart" }]));
    for (path, expected) in [
        ("search?q=%7B", "parse error at line 1"),
        ("search?q=%7B%7D%7Crate()", "asks for metrics"),
        ("search?limit=99999999", "at most 10000"),
        ("search?limit=x", "invalid limit"),
        ("search?spss=99999999", "at most 1000"),
        ("search?tags=x", "logfmt"),
        ("search?minDuration=5", "no duration"),
        ("search?start=5&end=4", "behind the end"),
        ("search?start=x", "no time in seconds"),
        ("metrics/query_range", "a query is required"),
        ("metrics/query_range?q=%7B%7D%7Crate()&step=0&start=1&end=2", "invalid step"),
        ("metrics/query_range?q=%7B%7D%7Crate()&step=1&start=1&end=2000000000", "more than 11000 points"),
    ] {
        let reply = get(&house, &format!("/tempo/api/{path}"), &[]).await;
        let text = String::from_utf8(reply.body.clone()).unwrap();
        assert!(reply.status == 400 && text.contains(expected), "{path}: {} {text}", reply.status);
    }
}

#[tokio::test]
async fn tempo_makes_numbers_of_spans() {
    let (house, _) = house().await;
    let window = window();
    let query = "q=%7B%7D%20%7C%20count_over_time()%20by%20(resource.service.name)";
    let over_time = ok(&house, &format!("/tempo/api/metrics/query_range?{query}&step=100s&{window}")).await;
    let series = over_time["series"].as_array().unwrap();
    assert_eq!(series.len(), 2, "{over_time}");
    assert_eq!(series[0]["labels"], json!([{ "key": "resource.service.name", "value": { "stringValue": "db" } }]));
    let sum: f64 =
        series[1]["samples"].as_array().unwrap().iter().map(|sample| sample["value"].as_f64().unwrap()).sum();
    assert_eq!(sum, 3.0);
    assert!(series[1]["samples"][0]["timestampMs"].as_str().unwrap().parse::<i64>().unwrap() >= START_S * 1_000);
    let exemplar = &series[1]["exemplars"][0]["labels"][0];
    assert_eq!(exemplar["key"], "trace:id");
    let instant = ok(&house, &format!("/tempo/api/metrics/query?{query}&{window}")).await;
    assert_eq!(instant["series"][1]["value"], 3.0);
}

#[tokio::test]
async fn jaegers_health_services_and_operations() {
    let (house, _) = house().await;
    let services = ok(&house, "/jaeger/api/services").await;
    assert_eq!((&services["data"], &services["total"]), (&json!(["a/b", "web"]), &json!(2)));
    assert_eq!(ok(&house, "/jaeger/api/services/web/operations").await["data"], json!(["GET /", "call"]));
    assert_eq!(ok(&house, "/jaeger/api/services/a%2Fb/operations").await["data"], json!(["x"]));
    let servers = ok(&house, "/jaeger/api/operations?service=web&spanKind=server").await["data"].clone();
    assert_eq!(servers, json!([{ "name": "GET /", "spanKind": "server" }]));
    assert_eq!(ok(&house, "/jaeger/api/v3/services").await["services"], json!(["a/b", "web"]));
    let all = ok(&house, "/jaeger/api/v3/operations?service=web").await["operations"].clone();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(get(&house, "/jaeger/api/operations", &[]).await.status, 400);
    // Nobody counts calls here.
    assert_eq!(ok(&house, "/jaeger/api/dependencies?endTs=1767225600000&lookback=86400000").await["data"], json!([]));
    assert_eq!(get(&house, "/jaeger/api/dependencies?lookback=x", &[]).await.status, 400);
}

#[tokio::test]
async fn jaeger_finds_traces() {
    let (house, album) = house().await;
    let path = "/jaeger/api/traces?service=web&operation=GET%20%2F&tags=%7B%22http.route%22%3A%22%2Fcart%22%2C%22error%22%3A%22true%22%2C%22n%22%3A5%7D\
                &minDuration=1.5ms&maxDuration=2s&limit=99999999&start=1767225600000000&end=1767225700000000&lookback=custom";
    let told = ok(&house, path).await;
    assert_eq!((told["data"].as_array().unwrap().len(), &told["limit"]), (1, &json!(1_500)));
    let asked = album.searches.lock().pop().unwrap();
    assert_eq!(
        (asked.service.as_deref(), asked.operation.as_deref(), asked.failed),
        (Some("web"), Some("GET /"), Some(true))
    );
    assert_eq!(asked.duration_ns, (Some(1_500_000), Some(2_000_000_000)));
    assert_eq!(asked.time, TimeRange { start: START_S * 1_000_000_000, end: (START_S + 100) * 1_000_000_000 });
    let attributes = [("http.route", "/cart"), ("n", "5")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(asked.attributes, attributes);
    assert_eq!(ok(&house, "/jaeger/api/traces?service=none").await["data"], json!([]));
    let asked = album.searches.lock().pop().unwrap();
    assert_eq!((asked.traces_max, asked.time.end - asked.time.start), (100, 48 * 3_600 * 1_000_000_000));
    assert_eq!(ok(&house, "/jaeger/api/traces?traceID=ab&traceID=1").await["data"].as_array().unwrap().len(), 1);
    let one = ok(&house, "/jaeger/api/traces/ab").await;
    assert_eq!(one["data"][0]["spans"].as_array().unwrap().len(), 2);
    assert!(ok(&house, &format!("/jaeger/api/traces/{CUT}")).await["data"][0]["warnings"][0].is_string());
    // An empty list would make Grafana stumble.
    let missing = get(&house, "/jaeger/api/traces/1", &[]).await;
    assert_eq!(
        (missing.status, &missing.json()["errors"][0]),
        (404, &json!({ "code": 404, "msg": "trace not found" }))
    );
    for path in [
        "traces",
        "traces?service=web&limit=x",
        "traces?service=web&start=9223372036854775807",
        "traces?service=web&tags=%5B%5D",
        "traces?service=web&minDuration=5",
        "traces?service=web&minDuration=2s&maxDuration=1s",
        "traces/xyz",
        "traces?service=web&tags=%7B%22a%22%3A%7B%7D%7D",
        "traces?service=web&lookback=forever",
    ] {
        let reply = get(&house, &format!("/jaeger/api/{path}"), &[]).await;
        assert_eq!((reply.status, &reply.json()["data"]), (400, &json!(null)), "{path}");
    }
}

#[tokio::test]
async fn jaegers_third_version_answers_otlp() {
    let (house, album) = house().await;
    let told = ok(&house, "/jaeger/api/v3/traces/ab").await;
    assert_eq!(told["result"]["resourceSpans"].as_array().unwrap().len(), 2);
    // The plus of an offset comes as it is.
    let path = "/jaeger/api/v3/traces?query.service_name=web&query.start_time_min=2026-01-01T02:00:00+02:00\
                &query.start_time_max=2026-01-01T00:00:10.5Z&query.duration_min=1s&query.num_traces=7";
    assert_eq!(ok(&house, path).await["result"]["resourceSpans"].as_array().unwrap().len(), 2);
    let asked = album.searches.lock().pop().unwrap();
    assert_eq!((asked.time.start, asked.traces_max), (START_S * 1_000_000_000, 7));
    assert_eq!((asked.time.end, asked.duration_ns.0), (START_S * 1_000_000_000 + 10_500_000_000, Some(1_000_000_000)));
    let missing = get(&house, "/jaeger/api/v3/traces/1", &[]).await;
    assert_eq!((missing.status, &missing.json()["error"]["httpCode"]), (404, &json!(404)));
    assert_eq!(get(&house, "/jaeger/api/v3/traces?query.service_name=web", &[]).await.status, 400);
}

#[tokio::test]
async fn a_desk_without_traces_says_so() {
    let silent = super::series_double::house_of_prometheus(None).await;
    for path in [
        "/tempo/api/traces/1",
        "/tempo/api/search",
        "/tempo/api/v2/search/tags",
        "/jaeger/api/services",
        "/jaeger/api/v3/services",
    ] {
        assert_eq!(call(&silent.address, "GET", path, &[], b"").await.status, 404, "{path}");
    }
}
