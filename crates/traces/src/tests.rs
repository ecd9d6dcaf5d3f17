//! Are the traces that were sent found, wherever they lie?

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_ingest::otlp::{Encoding, decode};
use causeway_live::Live;
use causeway_model::trace::{OwnedValue, Trace};
use causeway_model::{Appender, Delivery, Signal, SystemClock, TimeRange, hex};
use causeway_query::traces::{Tag, TagScope, TraceCatalog, TraceSearch};
use causeway_store::{Store, StoreOptions};
use causeway_traceql::ast::{Attribute, Field, FieldOperator, Intrinsic, Scope, Static};
use causeway_traceql::{Alike, Comparison, Condition, Fields, Seen, SpanSource, SpanTail, TailQuery, Taker, Wanted};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{LiveSpans, Traces, TracesOptions};

const SECOND_NS: i64 = 1_000_000_000;
const START_NS: i64 = 1_760_000_000 * SECOND_NS;

fn go() -> causeway_model::Result<()> {
    Ok(())
}

async fn send(store: &dyn Appender, request: &Value) {
    let bytes = request.to_string();
    let batches = decode(Signal::Spans, Encoding::Json, bytes.as_bytes(), START_NS).unwrap().batches;
    let delivery = Delivery { sender: "test".to_owned(), received_unix_nano: START_NS, batches, ledger: Vec::new() };
    store.append(delivery).await.unwrap();
}

async fn open(directory: &Path) -> Arc<Store> {
    Store::open(StoreOptions::new(directory), Arc::new(SystemClock::new())).await.unwrap()
}

fn request(service: &str, spans: Vec<Value>) -> Value {
    let attributes = json!([{ "key": "service.name", "value": { "stringValue": service } },
                            { "key": "host.cpus", "value": { "intValue": "8" } }]);
    let scope = json!({ "name": "lib", "version": "1.0", "attributes": [{ "key": "lib.mode", "value": { "boolValue": true } }] });
    json!({ "resourceSpans": [{ "resource": { "attributes": attributes }, "scopeSpans": [{ "scope": scope, "spans": spans }] }] })
}

/// Span `n` of trace `n / 2`, a second after the one before; the second of each trace is the child of the first.
fn span(n: u64) -> Value {
    let start = START_NS.cast_unsigned() + n * 1_000_000_000;
    let name = ["GET /cart", "SELECT"][(n % 2) as usize];
    json!({
        "traceId": format!("{:032x}", n / 2 + 1), "spanId": format!("{:016x}", n + 1),
        "parentSpanId": if n % 2 == 1 { format!("{n:016x}") } else { String::new() },
        "name": name, "kind": 2 + n % 2,
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + n * 1_000_000).to_string(),
        "attributes": [{ "key": "http.route", "value": { "stringValue": format!("/r{}", n % 5) } },
                       { "key": "n", "value": { "intValue": n.to_string() } },
                       { "key": "list", "value": { "arrayValue": { "values": [{ "intValue": "1" }, { "stringValue": "a" }] } } }],
        "events": [{ "timeUnixNano": start.to_string(), "name": "tick",
                     "attributes": [{ "key": "ratio", "value": { "doubleValue": 0.5 } }] }],
        "links": [{ "traceId": format!("{:032x}", 99), "spanId": format!("{:016x}", 98),
                    "attributes": [{ "key": "why", "value": { "stringValue": "batch" } }] }],
        "status": if n % 10 == 9 { json!({ "code": 2, "message": "broken" }) } else { json!({}) },
    })
}

/// A hundred spans of fifty traces, some in parts and some in memory; the first delivery was repeated after a flush.
async fn filled(directory: &Path) -> Traces {
    let store = open(directory).await;
    for n in 0..100 {
        send(&*store, &request(["web", "db"][(n % 2) as usize], vec![span(n)])).await;
        if n % 30 == 20 {
            store.flush().await.unwrap();
        }
    }
    send(&*store, &request("web", vec![span(0)])).await;
    Traces::new(store, TracesOptions::default())
}

fn ids(traces: &[Trace]) -> Vec<u8> {
    traces.iter().map(|trace| trace.trace_id[15]).collect()
}

fn id(number: u8) -> [u8; 16] {
    let mut id = [0; 16];
    id[15] = number;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_shown_whole_and_each_span_once() {
    let directory = tempfile::tempdir().unwrap();
    let traces = filled(directory.path()).await;
    // The first was sent twice; the last lies in memory.
    for number in [1, 11, 50] {
        let trace = traces.trace(id(number), &go).unwrap().unwrap();
        assert_eq!(trace.spans.len(), 2, "{number}");
        let [first, second] = trace.spans.as_slice() else { panic!() };
        assert_eq!((trace.service(first), trace.service(second)), ("web", "db"));
        assert_eq!(second.parent_span_id, Some(first.span_id));
        let n = i64::from(number) * 2 - 2;
        assert_eq!((first.start_ns, first.duration_ns), (START_NS + n * SECOND_NS, Some(n * 1_000_000)));
        let attribute = |key: &str| first.attributes.iter().find(|it| &*it.key == key).map(|it| it.value.clone());
        assert_eq!(attribute("n"), Some(OwnedValue::Int(n)));
        assert_eq!(attribute("list"), Some(OwnedValue::Array(r#"[1,"a"]"#.to_owned())));
        assert_eq!(first.events[0].name, "tick");
        assert_eq!(first.events[0].attributes[0].value, OwnedValue::Double(0.5));
        assert_eq!(first.links[0].span_id[7], 98);
        assert_eq!(trace.scopes[first.scope].attributes[0].value, OwnedValue::Bool(true));
        assert_eq!(trace.resources[first.resource].attributes.len(), 2);
        assert_eq!(trace.partial, None);
    }
    assert!(traces.trace(id(51), &go).unwrap().is_none());
    let interrupted = || Err(causeway_model::Error::unavailable("gone"));
    assert!(traces.trace(id(1), &interrupted).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_without_end_is_cut_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    // Two spans that are each other's parent, one that took two days, one that ends before it begins, and many of one id.
    let odd = |span_id: u64, parent: u64, end: i64| {
        json!({ "traceId": format!("{:032x}", 7), "spanId": format!("{span_id:016x}"), "parentSpanId": format!("{parent:016x}"),
                "startTimeUnixNano": START_NS.to_string(), "endTimeUnixNano": (START_NS + end).to_string() })
    };
    let mut spans = vec![odd(1, 2, 5), odd(2, 1, 5), odd(3, 3, 2 * 86_400 * SECOND_NS), odd(4, 0, -5)];
    spans.extend((0..20).map(|n| odd(5, 4, n)));
    send(&*store, &request("web", spans)).await;
    let all = Traces::new(store.clone(), TracesOptions::default()).trace(id(7), &go).unwrap().unwrap();
    assert_eq!(all.spans.len(), 24);
    assert!(all.spans.iter().any(|span| span.duration_ns == Some(2 * 86_400 * SECOND_NS)));
    assert!(all.spans.iter().any(|span| span.duration_ns == Some(-5)));
    let few = Traces::new(store.clone(), TracesOptions { spans_max: 10, ..TracesOptions::default() });
    let cut = few.trace(id(7), &go).unwrap().unwrap();
    assert_eq!((cut.spans.len(), cut.partial.as_deref()), (10, Some("it has more than 10 spans")));
    let small = Traces::new(store, TracesOptions { bytes_max: 1, ..TracesOptions::default() });
    let cut = small.trace(id(7), &go).unwrap().unwrap();
    assert!(cut.spans.len() == 1 && cut.partial.is_some(), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_traces_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let traces = filled(directory.path()).await;
    let found = |wanted: TraceSearch| ids(&traces.search(&wanted, &go).unwrap());
    let base = || TraceSearch { traces_max: 3, ..TraceSearch::default() };
    assert_eq!(found(base()), [50, 49, 48]);
    let db = || TraceSearch { service: Some("db".to_owned()), ..base() };
    let route = |route: &str| vec![("http.route".to_owned(), route.to_owned())];
    // Spans 1, 11, 21 … 91 are of db and on /r1.
    assert_eq!(found(TraceSearch { attributes: route("/r1"), ..db() }), [46, 41, 36]);
    let slow = TraceSearch { attributes: route("/r1"), duration_ns: (Some(30_000_000), Some(50_000_000)), ..db() };
    assert_eq!(found(slow), [21, 16]);
    let early = TimeRange { start: START_NS, end: START_NS + 5 * SECOND_NS };
    assert_eq!(found(TraceSearch { time: early, ..base() }), [3, 2, 1]);
    assert_eq!(found(TraceSearch { failed: Some(true), ..base() }), [50, 45, 40]);
    assert_eq!(found(TraceSearch { operation: Some("SELECT".to_owned()), kind: Some(3), ..base() }), [50, 49, 48]);
    for attributes in [("ratio", "0.5"), ("why", "batch"), ("lib.mode", "true"), ("host.cpus", "8"), ("n", "4")] {
        let attributes = vec![(attributes.0.to_owned(), attributes.1.to_owned())];
        assert!(!found(TraceSearch { attributes: attributes.clone(), ..base() }).is_empty(), "{attributes:?}");
    }
    assert!(found(TraceSearch { attributes: route("/none"), ..base() }).is_empty());
    assert!(found(TraceSearch { service: Some("none".to_owned()), ..base() }).is_empty());
    assert!(found(TraceSearch { traces_max: 0, ..base() }).is_empty());
    assert_eq!(found(TraceSearch { traces_max: usize::MAX, ..base() }).len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_operations_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let traces = filled(directory.path()).await;
    let names = traces.tag_names(&TagScope::ALL, TimeRange::ALL, &go).unwrap();
    let expected = [
        (TagScope::Resource, "host.cpus"),
        (TagScope::Span, "http.route"),
        (TagScope::Span, "list"),
        (TagScope::Span, "n"),
        (TagScope::Event, "ratio"),
        (TagScope::Link, "why"),
        (TagScope::Instrumentation, "lib.mode"),
    ];
    let names: Vec<(TagScope, &str)> = names.items.iter().map(|(scope, key)| (*scope, key.as_str())).collect();
    for name in expected {
        assert!(names.contains(&name), "{name:?} of {names:?}");
    }
    let values = |tag: Tag, max| traces.tag_values(&tag, TimeRange::ALL, max, &go).unwrap();
    let attribute = |scope, key: &str| Tag::Attribute(scope, key.to_owned());
    let texts = |tag: Tag| -> Vec<String> {
        let text = |value: &OwnedValue| {
            let mut text = String::new();
            value.as_value().write_text(&mut text);
            text
        };
        values(tag, 1_000).items.iter().map(text).collect()
    };
    assert_eq!(texts(attribute(Some(TagScope::Span), "http.route")), ["/r0", "/r1", "/r2", "/r3", "/r4"]);
    assert_eq!(texts(attribute(None, "http.route")).len(), 5);
    assert_eq!(texts(attribute(None, "n")).len(), 100);
    assert_eq!(texts(attribute(None, "ratio")), ["0.5"]);
    assert_eq!(texts(attribute(Some(TagScope::Instrumentation), "lib.mode")), ["true"]);
    assert_eq!(texts(attribute(Some(TagScope::Resource), "service.name")), ["db", "web"]);
    assert!(texts(attribute(Some(TagScope::Resource), "http.route")).is_empty());
    assert_eq!((texts(Tag::Name), texts(Tag::Service)), (texts(Tag::Name), vec!["db".to_owned(), "web".to_owned()]));
    assert_eq!(texts(Tag::RootName), ["GET /cart"]);
    assert_eq!(texts(Tag::RootService), ["web"]);
    assert_eq!(texts(Tag::StatusMessage), ["broken"]);
    assert_eq!(texts(Tag::EventName), ["tick"]);
    let cut = values(attribute(None, "n"), 7);
    assert!(cut.cut && cut.items.len() == 7);
    let operations = traces.operations(TimeRange::ALL, &go).unwrap().items;
    let operations: Vec<(&str, &str, i32)> =
        operations.iter().map(|it| (it.service.as_str(), it.name.as_str(), it.kind)).collect();
    assert_eq!(operations, [("db", "SELECT", 3), ("web", "GET /cart", 2)]);
}

fn equals(field: Field, value: Static) -> Condition {
    Condition { field, comparison: Comparison::With(FieldOperator::Equal, value) }
}

fn named(scope: Option<Scope>, key: &str) -> Field {
    Field::Attribute(Attribute { scope, key: key.to_owned() })
}

/// The numbers of the spans that are handed on, in their order.
fn visited(traces: &Traces, alternatives: &[Vec<Condition>], enough: usize) -> Vec<i64> {
    let fields = Fields { attributes: vec![(Scope::Span, "n".to_owned())], service: true, ..Fields::default() };
    let wanted = Wanted { time: TimeRange::ALL, alternatives, fields: &fields, ends_early: true, interrupted: &go };
    let mut found = Vec::new();
    let visit = |spans: &[Alike<'_>]| {
        for Alike { span, .. } in spans {
            let causeway_model::Value::Int(n) = span.values[0] else { panic!("{span:?}") };
            assert_eq!(span.service, ["web", "db"][(n % 2) as usize]);
            found.push(n);
        }
        Ok(if found.len() >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    traces.spans(&wanted, &mut [Box::new(visit)]).unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_say_the_same_come_together_each_to_one_of_those_who_take() {
    let directory = tempfile::tempdir().unwrap();
    let traces = filled(directory.path()).await;
    let ids = [Intrinsic::TraceId, Intrinsic::SpanId, Intrinsic::ParentId];
    let read = |fields: &Fields, takers: usize| {
        let found = parking_lot::Mutex::new((Vec::new(), 0));
        let take = |spans: &[Alike<'_>]| {
            let (found, groups) = &mut *found.lock();
            for alike in spans {
                *groups += 1;
                let mut count = 0;
                alike.each(|span| {
                    count += 1;
                    assert_eq!((span.service, span.name), (alike.span.service, alike.span.name));
                    let key = (span.trace_id, span.span_id, span.parent_id);
                    let said = (span.start_ns, span.duration_ns, span.service.to_owned(), span.name.to_owned());
                    found.push((key, said));
                    Ok(())
                })?;
                assert_eq!(count, alike.count());
            }
            Ok(ControlFlow::Continue(()))
        };
        let wanted =
            Wanted { time: TimeRange::ALL, alternatives: &[Vec::new()], fields, ends_early: false, interrupted: &go };
        let mut takers: Vec<Box<Taker<'_>>> = (0..takers).map(|_| Box::new(&take) as Box<Taker<'_>>).collect();
        traces.spans(&wanted, &mut takers).unwrap();
        drop(takers);
        let (mut found, groups) = found.into_inner();
        found.sort();
        (found, groups)
    };
    let intrinsics = |more: &[Intrinsic]| ids.iter().chain(more).copied().collect();
    let together = Fields { intrinsics: intrinsics(&[Intrinsic::Name]), service: true, ..Fields::default() };
    let alone = Fields { events: true, ..together.clone() };
    let (each, groups) = read(&alone, 1);
    // One was sent twice.
    assert_eq!((each.len(), groups), (101, 101));
    for takers in [1, 3] {
        let (found, groups) = read(&together, takers);
        assert!(groups < 50, "{groups}");
        assert_eq!(found, each);
    }
    let (without_ids, _) = read(&Fields { service: true, ..Fields::default() }, 2);
    assert!(without_ids.iter().all(|(key, _)| *key == ([0; 16], [0; 8], None)));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_the_same_in_one_thread_and_in_several() {
    let directory = tempfile::tempdir().unwrap();
    let traces = filled(directory.path()).await;
    let (start_ns, end_ns) = (START_NS - 1, START_NS + 90 * SECOND_NS);
    for text in [
        "{} | quantile_over_time(duration, .5, .99) by (resource.service.name)",
        "{} | rate() by (span.http.route)",
        "{ name = \"SELECT\" && duration > 20ms } | count_over_time() by (span.n)",
        "{} | avg_over_time(span.n) by (duration)",
        "{} | max_over_time(duration) by (name)",
        "{} | histogram_over_time(duration)",
    ] {
        let query = causeway_traceql::parse(text).unwrap();
        for step_ns in [0, (end_ns - start_ns) / 7 + 1] {
            let of = |parallelism| {
                let options = causeway_promql::Options { parallelism, ..Default::default() };
                let moments = causeway_traceql::Moments { start_ns, end_ns, step_ns };
                causeway_traceql::metrics(&query, &traces, moments, &options).unwrap()
            };
            let (one, several) = (of(1), of(4));
            assert!(!one.series.is_empty(), "{text}");
            assert_eq!(one, several, "{text}");
            let exemplars = one.series.iter().flat_map(|series| &series.exemplars);
            assert!(exemplars.clone().all(|it| it.trace_id != [0; 16] && it.span_id != [0; 8]));
            assert_eq!(exemplars.count() == 0, step_ns == 0, "{text}");
        }
    }
}

/// Ten thousand spans of one part, each a trace of its own and a second after the one before, under a thousand long names.
async fn many(directory: &Path, options: TracesOptions) -> Traces {
    let store = open(directory).await;
    let span = |n: u64| {
        let start = START_NS.cast_unsigned() + n * 1_000_000_000;
        json!({ "traceId": format!("{:032x}", n + 1), "spanId": format!("{:016x}", n + 1), "name": format!("{:0200}", n % 1_000),
                "startTimeUnixNano": start.to_string(), "endTimeUnixNano": start.to_string() })
    };
    for first in (0..10_000).step_by(2_500) {
        send(&*store, &request("web", (first..first + 2_500).map(span).collect())).await;
    }
    store.flush().await.unwrap();
    Traces::new(store, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_end_early_is_given_the_newest_first_and_who_does_not_is_asked_for_each_batch() {
    let directory = tempfile::tempdir().unwrap();
    let traces = many(directory.path(), TracesOptions::default()).await;
    let fields = Fields { intrinsics: [Intrinsic::TraceId].into(), events: true, ..Fields::default() };
    let asked = AtomicUsize::new(0);
    let interrupted = || {
        asked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let (mut newest, mut seen) = (i64::MIN, 0);
    for ends_early in [true, false] {
        let time = TimeRange::ALL;
        let wanted =
            Wanted { time, alternatives: &[Vec::new()], fields: &fields, ends_early, interrupted: &interrupted };
        let take = |spans: &[Alike<'_>]| {
            seen += spans.len();
            newest = spans.iter().map(|alike| alike.span.start_ns).fold(newest, i64::max);
            Ok(if ends_early { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        asked.store(0, Ordering::Relaxed);
        traces.spans(&wanted, &mut [Box::new(take)]).unwrap();
        assert_eq!(newest, START_NS + 9_999 * SECOND_NS);
        assert_eq!(seen >= 10_000, !ends_early, "{seen}");
    }
    let asked = asked.into_inner();
    assert!(asked >= 3, "{asked} times in one piece of two batches");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_takes_the_memory_of_its_own_texts_alone() {
    let directory = tempfile::tempdir().unwrap();
    // The names of all traces take 200 KB.
    let traces = many(directory.path(), TracesOptions { bytes_max: 32 << 10, ..TracesOptions::default() }).await;
    let fields = Fields { intrinsics: [Intrinsic::Name].into(), service: true, ..Fields::default() };
    let mut found = Vec::new();
    let mut visit = |spans: &[causeway_traceql::Span<'_>]| {
        found.extend(spans.iter().map(|span| (span.name.parse::<u64>().unwrap(), span.service.to_owned())));
        Ok(())
    };
    let seen = [id(8), id(3)].map(|trace_id| Seen { trace_id, first_ns: 0, last_ns: 0 });
    traces.traces(&seen, &fields, &go, &mut visit).unwrap();
    assert_eq!(found, [(7, "web".to_owned()), (2, "web".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn traceql_sees_spans_and_what_cannot_be_wanted_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let traces = filled(directory.path()).await;
    let all: BTreeSet<i64> = visited(&traces, &[Vec::new()], usize::MAX).into_iter().collect();
    assert_eq!(all, (0..100).collect());
    assert!(visited(&traces, &[Vec::new()], 1).len() < 100, "it goes on after a break");
    let sorted = |alternatives: &[Vec<Condition>]| {
        let mut found = visited(&traces, alternatives, usize::MAX);
        found.sort_unstable();
        found.dedup();
        found
    };
    let route = equals(named(Some(Scope::Span), "http.route"), Static::String("/r1".to_owned()));
    let service = equals(named(Some(Scope::Resource), "service.name"), Static::String("db".to_owned()));
    let duration = Condition {
        field: Field::Intrinsic(Intrinsic::Duration),
        comparison: Comparison::With(FieldOperator::GreaterOrEqual, Static::Duration(50_000_000)),
    };
    assert_eq!(sorted(&[vec![route.clone(), service.clone(), duration]]), [51, 61, 71, 81, 91]);
    assert_eq!(sorted(&[vec![equals(named(None, "n"), Static::Int(42))]]), [42]);
    assert_eq!(
        sorted(&[vec![equals(Field::Intrinsic(Intrinsic::Name), Static::String("SELECT".to_owned()))]]).len(),
        50
    );
    assert!(sorted(&[vec![equals(named(None, "absent"), Static::Int(1))]]).is_empty());
    // What is not there is looked for by the language; of several alternatives all may come.
    let absent = Condition {
        field: named(None, "absent"),
        comparison: Comparison::With(FieldOperator::NotEqual, Static::Int(1)),
    };
    assert_eq!(sorted(&[vec![absent]]).len(), 100);
    let either = sorted(&[vec![route], vec![service]]);
    assert!((0..100).filter(|n| n % 5 == 1 || n % 2 == 1).all(|n| either.contains(&n)));
}

#[tokio::test(flavor = "multi_thread")]
async fn traceql_reads_whole_traces() {
    let directory = tempfile::tempdir().unwrap();
    let traces = filled(directory.path()).await;
    let fields = Fields {
        intrinsics: [Intrinsic::Name, Intrinsic::Kind, Intrinsic::Status, Intrinsic::InstrumentationName]
            .into_iter()
            .collect(),
        attributes: vec![(Scope::Span, "n".to_owned()), (Scope::Instrumentation, "lib.mode".to_owned())],
        events: true,
        links: true,
        every_attribute: true,
        ..Fields::default()
    };
    let seen: Vec<Seen> = [id(2), id(77), id(48)].map(|trace_id| Seen { trace_id, first_ns: 0, last_ns: 0 }).to_vec();
    let mut found = Vec::new();
    let mut visit = |spans: &[causeway_traceql::Span<'_>]| {
        assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id));
        for span in spans {
            assert_eq!(span.values[1], causeway_model::Value::Bool(true));
            assert_eq!((span.events[0].name, span.events[0].attributes), ("tick", r#"{"ratio":0.5}"#));
            assert_eq!(span.links[0].attributes, r#"{"why":"batch"}"#);
            assert_eq!(span.instrumentation_name, "lib");
            assert!(span.attributes.contains(&(Scope::Resource, "host.cpus", causeway_model::Value::Int(8))));
            assert_eq!(span.attributes.len(), 5, "{:?}", span.attributes);
        }
        found.push((hex(&spans[0].trace_id[15..]), spans.len()));
        Ok(())
    };
    traces.traces(&seen, &fields, &go, &mut visit).unwrap();
    assert_eq!(found, [("02".to_owned(), 2), ("30".to_owned(), 2)]);
}

/// What a query of Jaeger's fixtures asks for.
fn wanted(query: &Value) -> TraceSearch {
    let query = &query["Query"];
    let text = |name: &str| query[name].as_str().filter(|it| !it.is_empty()).map(str::to_owned);
    let time = |name: &str| {
        // All are within two days, told by day, hours, minutes and seconds.
        let text = query[name].as_str().unwrap();
        let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
        let seconds = number(17, 19) + 60 * (number(14, 16) + 60 * (number(11, 13) + 24 * (number(8, 10) - 25)));
        1_485_302_400 * SECOND_NS + seconds * SECOND_NS + number(20, 26) * 1_000
    };
    // In nanoseconds, as Go counts; 0 is no bound.
    let duration = |name: &str| query[name].as_i64().filter(|it| *it > 0);
    let tags = query["Tags"].as_object().into_iter().flatten();
    let tag = |(key, value): (&String, &Value)| {
        (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    TraceSearch {
        time: TimeRange { start: time("StartTimeMin"), end: time("StartTimeMax") },
        service: text("ServiceName"),
        operation: text("OperationName"),
        attributes: tags.map(tag).collect(),
        duration_ns: (duration("DurationMin"), duration("DurationMax")),
        traces_max: 1_000,
        ..TraceSearch::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jaegers_searches_find_what_they_must() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/jaeger");
    let Ok(queries) = std::fs::read_to_string(folder.join("queries.json")) else {
        eprintln!("skipped: no fixtures in ../shared/conformance/jaeger");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let mut of_fixture = std::collections::BTreeMap::new();
    for (number, entry) in std::fs::read_dir(folder.join("traces")).unwrap().flatten().enumerate() {
        let request: Value = serde_json::from_str(&std::fs::read_to_string(entry.path()).unwrap()).unwrap();
        let trace_id = request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"].as_str().unwrap().to_owned();
        of_fixture.insert(entry.path().file_stem().unwrap().to_str().unwrap().to_owned(), trace_id);
        send(&*store, &request).await;
        if number % 10 == 5 {
            store.flush().await.unwrap();
        }
    }
    let traces = Traces::new(store, TracesOptions::default());
    let queries: Vec<Value> = serde_json::from_str(&queries).unwrap();
    for query in &queries {
        let expected: BTreeSet<String> = query["ExpectedFixtures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| of_fixture[name.as_str().unwrap()].clone())
            .collect();
        let found = traces.search(&wanted(query), &go).unwrap();
        let found: BTreeSet<String> = found.iter().map(|trace| hex(&trace.trace_id)).collect();
        assert_eq!(found, expected, "{}", query["Caption"]);
    }
    assert_eq!((queries.len(), of_fixture.len()), (25, 32));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_in_traceql_find_what_they_say() {
    use causeway_traceql::{SearchOptions, parse, search};
    let directory = tempfile::tempdir().unwrap();
    let traces = filled(directory.path()).await;
    let found = |query: &str, limit: usize| {
        let options = SearchOptions { time: TimeRange::ALL, limit, spans_per_spanset: 3, interrupted: &go };
        let found = search(&parse(query).unwrap(), &traces, &options).unwrap();
        found.traces.iter().map(|trace| trace.trace_id[15]).collect::<Vec<u8>>()
    };
    assert_eq!(
        found(r#"{ resource.service.name = "db" && span.http.route = "/r1" && duration >= 50ms }"#, 20),
        [46, 41, 36, 31, 26]
    );
    assert_eq!(found(r#"{ resource.service.name = "web" } > { .n = 41 }"#, 20), [21]);
    assert_eq!(found("{ status = error }", 3).len(), 3);
    assert_eq!(found(r#"{ event.ratio = 0.5 && .n = 6 } || { .n = 90 }"#, 20), [46, 4]);
    assert_eq!(found(r#"{ trace:id = "0000000000000000000000000000000b" }"#, 20), [11]);
    assert!(found("{ .n = 1000 }", 20).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_that_do_not_fit_together_are_read_apart() {
    use causeway_traceql::{SearchOptions, parse, search};
    let directory = tempfile::tempdir().unwrap();
    let all = filled(directory.path()).await;
    let found = |bytes_max: usize| {
        let traces = Traces::new(all.store.clone(), TracesOptions { bytes_max, ..TracesOptions::default() });
        let options = SearchOptions { time: TimeRange::ALL, limit: 50, spans_per_spanset: 3, interrupted: &go };
        search(&parse("{ } > { }").unwrap(), &traces, &options).map(|found| found.traces)
    };
    let expected = found(256 << 20).unwrap();
    assert_eq!(expected.len(), 50);
    // One trace takes some KiB, fifty many.
    assert_eq!(found(24 << 10).unwrap(), expected);
    let refused = found(1).unwrap_err();
    assert!(refused.kind == causeway_model::ErrorKind::LimitExceeded, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_kinds_that_nobody_knows_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let mut odd = span(4);
    odd["kind"] = json!(9);
    odd["status"] = json!({ "code": 7 });
    send(&*store, &request("web", vec![odd])).await;
    store.flush().await.unwrap();
    let traces = Traces::new(store, TracesOptions::default());
    for (intrinsic, value) in [
        (Intrinsic::Kind, Static::Kind(causeway_traceql::ast::Kind::Unspecified)),
        (Intrinsic::Status, Static::Status(causeway_traceql::ast::Status::Unset)),
    ] {
        assert_eq!(visited(&traces, &[vec![equals(Field::Intrinsic(intrinsic), value)]], usize::MAX), [4]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_that_are_asked_for_together_keep_to_one_limit() {
    let directory = tempfile::tempdir().unwrap();
    let all = filled(directory.path()).await;
    assert_eq!(ids(&all.by_ids(&[id(7), id(77), id(3), id(7)], &go).unwrap()), [7, 3]);
    let small = Traces::new(all.store.clone(), TracesOptions { bytes_max: 2_000, ..TracesOptions::default() });
    let wanted: Vec<[u8; 16]> = (1..=50).map(id).collect();
    let cut = small.by_ids(&wanted, &go).unwrap();
    let spans: usize = cut.iter().map(|trace| trace.spans.len()).sum();
    assert!(spans < 10 && cut.iter().any(|trace| trace.partial.is_some()), "{spans}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_is_told_spans_as_they_come() {
    let directory = tempfile::tempdir().unwrap();
    let live = Arc::new(Live::new(open(directory.path()).await));
    let query =
        "{ resource.service.name = \"web\" && span.n > 3 && event:name = \"tick\" } | select(resource.host.cpus)";
    let follow =
        || LiveSpans::new(live.clone()).follow(TailQuery::of(&causeway_traceql::parse(query).unwrap()).unwrap());
    send(&*live, &request("web", vec![span(4)])).await;
    assert_eq!(live.figures()[1].held_bytes, 0, "nobody follows");
    let mut follower = follow().unwrap();
    send(&*live, &request("db", vec![span(5)])).await;
    send(&*live, &request("web", vec![span(8), span(6), span(2)])).await;
    let told = follower.next().await.unwrap();
    let starts: Vec<i64> = told.found.iter().map(|span| (span.start_ns - START_NS) / SECOND_NS).collect();
    assert_eq!((starts, told.seen, told.missed), (vec![6, 8], 4, 0));
    let first = &told.found[0];
    assert_eq!((first.name.as_str(), first.service.as_str(), first.duration_ns), ("GET /cart", "web", 6_000_000));
    assert_eq!((hex(&first.span_id), first.parent_id), (format!("{:016x}", 7), None));
    let texts: Vec<String> = first.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(texts, ["span.n=6", "event:name=\"tick\"", "resource.host.cpus=8"]);
    let figures = live.figures()[1];
    assert!(figures.followers == 1 && figures.held_bytes > 0, "{figures:?}");
    drop(follower);
    assert_eq!((live.figures()[1].followers, live.figures()[1].held_bytes), (0, 0));
}
