//! Does each span count once, under the right name, as often as it stands for, and never without bounds?

use causeway_meters::testing::{SECOND_NS, START_NS, Samples, Stand};
use causeway_model::Signal;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::{Figures, SpanMetrics};

fn stand() -> Stand<SpanMetrics> {
    Stand::new(SpanMetrics::default())
}

async fn send(stand: &Stand<SpanMetrics>, services: &[(&str, Vec<Json>)]) {
    let resource = |(service, spans): &(&str, Vec<Json>)| {
        json!({
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeSpans": [{"spans": spans}]
        })
    };
    let body = json!({"resourceSpans": services.iter().map(resource).collect::<Vec<_>>()}).to_string();
    stand.send(Signal::Spans, &body).await;
}

fn figures(stand: &Stand<SpanMetrics>) -> Figures {
    stand.counted.look(SpanMetrics::figures)
}

/// A span of a trace that ends at the start; kind as in OTLP.
fn span(trace: u8, id: u8, parent: Option<u8>, kind: u8, name: &str) -> Json {
    json!({
        "traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}"),
        "parentSpanId": parent.map_or(String::new(), |parent| format!("{parent:016x}")),
        "name": name, "kind": kind,
        "startTimeUnixNano": (START_NS - SECOND_NS / 2).to_string(), "endTimeUnixNano": START_NS.to_string(),
    })
}

fn with(mut span: Json, key: &str, value: Json) -> Json {
    span[key] = value;
    span
}

fn calls(peer: &str) -> Json {
    json!([{"key": "server.address", "value": {"stringValue": peer}}])
}

fn value(samples: &Samples, series: &str) -> Vec<(f64, Option<f64>)> {
    samples.get(series).unwrap_or_else(|| panic!("{series} is not among {:#?}", samples.keys())).clone()
}

const OPERATION: &str = "service=pay,span_kind=SPAN_KIND_SERVER,span_name=POST /pay,status_code=STATUS_CODE_UNSET";

#[tokio::test]
async fn turns_can_be_kept_on_any_thread() {
    let stand = std::sync::Arc::new(stand());
    send(&stand, &[("pay", vec![span(1, 1, None, 2, "POST /pay")])]).await;
    let counting = stand.clone();
    tokio::spawn(async move { counting.counted.run(std::future::ready(())).await }).await.unwrap();
    assert_eq!(stand.samples().len(), 8, "a last turn is kept at the end");
}

#[tokio::test]
async fn requests_count_from_zero_with_their_durations_and_an_exemplar() {
    let stand = stand();
    send(&stand, &[("pay", vec![span(1, 1, None, 2, "POST /pay"), span(2, 1, None, 2, "POST /pay")])]).await;
    stand.turn(15).await;
    stand.turn(30).await;
    let samples = stand.samples();
    let expected = [(0.001, Some(0.0)), (15.0, Some(2.0)), (30.0, Some(2.0))];
    assert_eq!(value(&samples, &format!("traces_spanmetrics_calls_total{{{OPERATION}}}")), expected);
    assert_eq!(value(&samples, &format!("traces_spanmetrics_latency{{{OPERATION}}}")), expected);
    let instance = "traces_service_instance_requests_total{service=pay}";
    assert_eq!(value(&samples, instance), expected);
    let user = "traces_service_graph_request_total{client=user,connection_type=virtual_node,server=pay}";
    assert_eq!(value(&samples, user), expected);
    assert_eq!(
        stand.exemplar_traces().len(),
        1,
        "of the slowest, once; a call that only one end saw has no duration of its caller"
    );
    let kept = stand.cellar.kept.lock();
    let entry = &kept.last().unwrap().ledger[0];
    assert_eq!((entry.signal, entry.received, entry.stored), (Signal::Metrics, 8, 8));
}

#[tokio::test]
async fn a_call_is_counted_once_whichever_end_comes_first() {
    for server_first in [true, false] {
        let stand = stand();
        let client = with(span(1, 1, None, 3, "POST"), "attributes", calls("10.0.0.1"));
        let server = with(span(1, 2, Some(1), 2, "POST /pay"), "status", json!({"code": 2}));
        let mut ends = vec![("shop", vec![client]), ("pay", vec![server])];
        if server_first {
            ends.reverse();
        }
        for end in ends {
            send(&stand, &[end]).await;
        }
        stand.turn(15).await;
        let samples = stand.samples();
        let edges: Vec<&String> = samples.keys().filter(|it| it.starts_with("traces_service_graph")).collect();
        assert_eq!(edges.len(), 4, "{edges:?}");
        for name in ["total", "failed_total", "client_seconds", "server_seconds"] {
            let series = format!("traces_service_graph_request_{name}{{client=shop,server=pay}}");
            assert_eq!(value(&samples, &series), [(0.001, Some(0.0)), (15.0, Some(1.0))]);
        }
    }
}

#[tokio::test]
async fn what_has_no_spans_goes_by_the_callers_name_for_it() {
    let stand = stand();
    let database = json!([
        {"key": "db.system", "value": {"stringValue": "postgresql"}}, {"key": "db.name", "value": {"stringValue": "orders"}},
    ]);
    let query = with(span(1, 1, None, 3, "SELECT"), "attributes", database);
    let outside = with(span(1, 2, None, 3, "GET"), "attributes", calls("bank.example"));
    let nowhere = span(1, 3, None, 3, "GET");
    let unclaimed = span(9, 4, Some(77), 2, "GET /x");
    send(&stand, &[("pay", vec![query, outside, nowhere, unclaimed])]).await;
    stand.turn(5).await;
    let graph = |samples: &Samples| {
        let edges = samples.keys().filter(|it| it.starts_with("traces_service_graph_request_total"));
        edges.map(|it| it["traces_service_graph_request_total".len()..].to_owned()).collect::<Vec<_>>()
    };
    let of_database = "{client=pay,connection_type=database,server=orders}";
    assert_eq!(graph(&stand.samples()), [of_database], "the others are waited for");
    stand.turn(15).await;
    assert_eq!(graph(&stand.samples()), [of_database, "{client=pay,connection_type=virtual_node,server=bank.example}"]);
    assert_eq!((figures(&stand).unclaimed, figures(&stand).waiting), (1, 0));
}

#[tokio::test]
async fn spans_count_as_often_as_they_stand_for_and_not_within_a_service_or_too_late() {
    let stand = stand();
    let sampled = with(span(1, 1, None, 2, "POST /pay"), "traceState", json!("ot=th:c"));
    let greedy = with(span(2, 1, None, 2, "POST /pay"), "traceState", json!("ot=th:ffffffffffffff"));
    let inner = span(1, 5, Some(1), 1, "compute");
    let job = span(3, 1, None, 1, "nightly");
    let old = START_NS - 301 * SECOND_NS;
    let late = with(span(4, 1, None, 2, "POST /pay"), "startTimeUnixNano", json!((old - 1).to_string()));
    let late = with(late, "endTimeUnixNano", json!(old.to_string()));
    send(&stand, &[("pay", vec![sampled, greedy, inner, job, late])]).await;
    stand.turn(15).await;
    let samples = stand.samples();
    let operations = samples.keys().filter(|it| it.starts_with("traces_spanmetrics_calls_total"));
    assert_eq!(operations.count(), 2, "{samples:#?}");
    let calls = value(&samples, &format!("traces_spanmetrics_calls_total{{{OPERATION}}}"));
    assert_eq!(calls[1], (15.0, Some(1004.0)), "4, and a thousand at most");
    assert_eq!(figures(&stand).late, 1);
}

#[tokio::test]
async fn series_end_when_idle_and_come_back_as_they_were_told() {
    let stand = stand();
    let request = || vec![("pay", vec![span(1, 1, None, 2, "POST /pay")])];
    send(&stand, &request()).await;
    for turn in 1..=30 {
        stand.turn(turn * 15).await;
    }
    assert_eq!(figures(&stand).meters, 0);
    let series = format!("traces_spanmetrics_calls_total{{{OPERATION}}}");
    let before = value(&stand.samples(), &series);
    assert_eq!(before.last(), Some(&(22.0 * 15.0 - 15.0, None)), "five minutes after the last turn with a request");
    stand.clock.0.store(0, std::sync::atomic::Ordering::SeqCst);
    send(&stand, &request()).await;
    stand.turn(31 * 15).await;
    let after = value(&stand.samples(), &series);
    assert_eq!(after[before.len()..], [(30.0 * 15.0 + 0.001, Some(0.0)), (465.0, Some(1.0))]);
}

#[tokio::test]
async fn what_the_store_did_not_keep_is_neither_counted_nor_lost() {
    let stand = stand();
    *stand.cellar.fails.lock() = true;
    send(&stand, &[("pay", vec![span(1, 1, None, 2, "POST /pay")])]).await;
    assert_eq!(figures(&stand), Figures::default(), "the sender will send it again");
    *stand.cellar.fails.lock() = false;
    send(&stand, &[("pay", vec![span(1, 1, None, 2, "POST /pay")])]).await;
    *stand.cellar.fails.lock() = true;
    stand.turn(15).await;
    *stand.cellar.fails.lock() = false;
    stand.turn(30).await;
    let calls = value(&stand.samples(), &format!("traces_spanmetrics_calls_total{{{OPERATION}}}"));
    assert_eq!(calls, [(0.001, Some(0.0)), (30.0, Some(1.0))]);
}

#[tokio::test]
async fn one_message_is_a_call_for_each_of_its_consumers() {
    let stand = stand();
    let queue = json!([{"key": "messaging.destination.name", "value": {"stringValue": "orders"}}]);
    let producer = with(span(1, 1, None, 4, "send"), "attributes", queue);
    let consumer = |id: u8| vec![span(1, id, Some(1), 5, "process")];
    send(&stand, &[("shop", vec![producer]), ("mail", consumer(2)), ("bill", consumer(3)), ("bill", consumer(4))])
        .await;
    stand.turn(15).await;
    let samples = stand.samples();
    let calls = |server: &str| {
        let labels = format!("client=shop,connection_type=messaging_system,server={server}");
        value(&samples, &format!("traces_service_graph_request_total{{{labels}}}"))[1].1
    };
    assert_eq!((calls("mail"), calls("bill")), (Some(1.0), Some(2.0)));
    let edges = samples.keys().filter(|it| it.starts_with("traces_service_graph_request_total"));
    assert_eq!(edges.count(), 2, "the queue itself is no third one: {samples:#?}");
    assert_eq!(figures(&stand).waiting, 0);
}

#[tokio::test]
async fn a_message_goes_to_its_system_where_no_queue_is_named() {
    let stand = stand();
    let system = json!([{"key": "messaging.system", "value": {"stringValue": "kafka"}}]);
    send(&stand, &[("shop", vec![with(span(1, 1, None, 4, "send"), "attributes", system)])]).await;
    stand.turn(15).await;
    let series = "traces_service_graph_request_total{client=shop,connection_type=messaging_system,server=kafka}";
    assert_eq!(value(&stand.samples(), series)[1].1, Some(1.0));
}

#[tokio::test]
async fn what_was_counted_before_a_long_outage_is_told_after_it() {
    let stand = stand();
    send(&stand, &[("pay", vec![span(1, 1, None, 2, "POST /pay")])]).await;
    *stand.cellar.fails.lock() = true;
    for turn in 1..=40 {
        stand.turn(turn * 15).await;
    }
    *stand.cellar.fails.lock() = false;
    stand.turn(41 * 15).await;
    let calls = value(&stand.samples(), &format!("traces_spanmetrics_calls_total{{{OPERATION}}}"));
    assert_eq!(calls, [(0.001, Some(0.0)), (615.0, Some(1.0))]);
    stand.turn(42 * 15).await;
    assert_eq!(figures(&stand).meters, 0, "it ends with the next turn, having been idle for long");
}

#[tokio::test]
async fn instances_count_what_they_answered_by_their_version() {
    let stand = stand();
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let resource = json!({"attributes": [attribute("service.name", "pay"), attribute("service.version", "1.2"),
        attribute("service.instance.id", "a")]});
    let failed = with(span(1, 1, None, 2, "POST /pay"), "status", json!({"code": 2}));
    let spans = json!([
        failed,
        span(2, 1, None, 2, "POST /pay"),
        span(1, 2, Some(1), 3, "SELECT"),
        span(3, 1, None, 1, "sweep")
    ]);
    let body = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).to_string();
    stand.send(Signal::Spans, &body).await;
    stand.turn(15).await;
    let samples = stand.samples();
    for (name, expected) in [("requests", 3.0), ("requests_failed", 1.0)] {
        let series =
            format!("traces_service_instance_{name}_total{{service=pay,service_instance_id=a,service_version=1.2}}");
        assert_eq!(value(&samples, &series)[1].1, Some(expected), "calls to others are not answered");
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_does_not_hold_the_samples_back() {
    let stand = stand();
    stand.turn(3_600).await;
    stand.clock.0.store(0, std::sync::atomic::Ordering::SeqCst);
    send(&stand, &[("pay", vec![span(1, 1, None, 2, "POST /pay")])]).await;
    stand.turn(15).await;
    let calls = value(&stand.samples(), &format!("traces_spanmetrics_calls_total{{{OPERATION}}}"));
    assert_eq!(calls.last(), Some(&(15.0, Some(1.0))));
}

#[tokio::test]
async fn one_service_with_ids_in_its_names_does_not_take_the_place_of_others() {
    let stand = stand();
    let with_id = |id: u32| span(1, 1, Some(9), 2, &format!("GET /user/{id}"));
    send(&stand, &[("bad", (0..2_500).map(with_id).collect())]).await;
    send(&stand, &[("good", vec![span(2, 1, None, 2, "GET /")])]).await;
    stand.turn(15).await;
    let samples = stand.samples();
    let overflow = value(&samples, "traces_spanmetrics_calls_total{otel_metric_overflow=true,service=bad}");
    assert_eq!(overflow[1].1, Some(1_501.0), "its instance counts as well");
    let all: f64 = samples
        .iter()
        .filter(|(series, _)| series.starts_with("traces_spanmetrics_calls_total"))
        .filter_map(|(_, samples)| samples.last()?.1)
        .sum();
    assert_eq!(all, 2_501.0);
    assert_eq!(figures(&stand).overflowed, 1_501);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes in whatever order, each request counts once.
    #[test]
    fn each_request_is_counted_once(spans in prop::collection::vec((0u8..4, 1u8..6, prop::option::of(1u8..6), 0u8..7, 0u8..3, 0u8..3), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let stand = stand();
            let mut expected = 0.0;
            for (trace, id, parent, kind, service, code) in &spans {
                let counts = (2..=5).contains(kind) || parent.is_none();
                expected += f64::from(u8::from(counts));
                let it = with(span(trace + 1, *id, *parent, *kind, "x"), "status", json!({"code": code}));
                send(&stand, &[(["a", "b", "c"][usize::from(*service)], vec![it])]).await;
            }
            for turn in 1..4 {
                stand.turn(turn * 15).await;
            }
            let samples = stand.samples();
            let last = |name: &str| -> f64 {
                let of = samples.iter().filter(|(series, _)| series.starts_with(name));
                of.filter_map(|(_, samples)| samples.last()?.1).sum()
            };
            assert_eq!(last("traces_spanmetrics_calls_total"), expected);
            assert_eq!(last("traces_spanmetrics_latency"), expected);
            assert!(last("traces_service_graph_request_failed_total") <= last("traces_service_graph_request_total"));
            assert!(last("traces_service_graph_request_total") <= expected);
            assert_eq!(figures(&stand).waiting, 0);
        });
    }
}
