//! Are the lines that were sent found, wherever they lie?

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use causeway_ingest::otlp::{Encoding, decode};
use causeway_live::Live;
use causeway_logql::ast::Query;
use causeway_logql::{
    LineSource, LineTail, Lines, Looked, Moments, Numbers, Order, Series, Span, lines, metric, parse,
};
use causeway_model::{Appender, Delivery, Signal, SystemClock};
use causeway_promql::Options;
use causeway_store::{Store, StoreOptions};
use futures::StreamExt;
use serde_json::json;

use super::{LiveLines, Logs};

const SECOND_NS: i64 = 1_000_000_000;
const START_NS: i64 = 1_760_000_000 * SECOND_NS;

/// A hundred lines of two services, a second apart, some in parts and some in memory.
async fn filled(directory: &std::path::Path) -> Logs {
    let store = Store::open(StoreOptions::new(directory), Arc::new(SystemClock::new())).await.unwrap();
    for second in 0..100i64 {
        let service = ["cart", "web"][(second % 2) as usize];
        let body = format!("level=info n={second} took={second}ms");
        let time = (START_NS + second * SECOND_NS).to_string();
        let resource = json!({ "attributes": [
            { "key": "service.name", "value": { "stringValue": service } },
            { "key": "k8s.namespace.name", "value": { "stringValue": "shop" } } ] });
        let record = json!({ "timeUnixNano": time, "severityNumber": 9, "body": { "stringValue": body },
            "traceId": "5b8efff798038103d269b633813fc60c",
            "attributes": [{ "key": "http.route", "value": { "stringValue": "/cart" } },
                { "key": "k8s.namespace.name", "value": { "stringValue": "beside" } },
                { "key": "took_ms", "value": { "intValue": second } }] });
        store.append(delivery_by(&resource, &[record])).await.unwrap();
        if second % 30 == 20 {
            store.flush().await.unwrap();
        }
    }
    Logs::new(store)
}

fn found(logs: &Logs, query: &str, backward: bool, limit: usize) -> Vec<String> {
    let Query::Log(query) = parse(query).unwrap() else { panic!("{query}") };
    let span = Span { after_ns: START_NS - 1, until_ns: START_NS + 1_000 * SECOND_NS };
    let order = Order { backward, limit, parallelism: 3 };
    lines(&query, logs, span, order, &|| Ok(())).unwrap().into_iter().map(|line| line.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_found_in_order_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let logs = filled(directory.path()).await;
    let n = |lines: &[String]| -> Vec<i64> {
        let of = |line: &String| line.split(' ').find_map(|word| word.strip_prefix("n=")?.parse().ok()).unwrap();
        lines.iter().map(of).collect()
    };
    assert_eq!(n(&found(&logs, r#"{service_name="cart"}"#, true, 3)), [98, 96, 94]);
    assert_eq!(n(&found(&logs, r#"{service_name="cart"}"#, false, 3)), [0, 2, 4]);
    assert_eq!(
        n(&found(&logs, r#"{k8s_namespace_name=~"sh.*"} |= "n=7""#, false, 100)),
        [7, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79]
    );
    // Of a text the words in the middle are looked for in the filters; those at its ends may go on.
    assert_eq!(n(&found(&logs, r#"{service_name=~".+"} |= "fo n=7 to""#, true, 9)), [7]);
    assert_eq!(
        n(&found(
            &logs,
            r#"{service_name=~".+"} |= "o n=8 took=8ms" | logfmt | line_format "n={{.n}} x" |= "n=8 x""#,
            true,
            9
        )),
        [8]
    );
    assert_eq!(found(&logs, r#"{service_name="cart", k8s_namespace_name!="shop"}"#, true, 3).len(), 0);
    // What stands beside a line is looked for in the filters where it can only be that; the trace has all lines.
    let all = r#"{service_name=~".+"}"#;
    let trace = "5b8efff798038103d269b633813fc60c";
    for (stages, expected) in [
        (format!("trace_id=\"{trace}\" | took_ms=\"7\""), vec![7]),
        (format!("trace_id=\"{}\"", trace.to_ascii_uppercase()), vec![]),
        ("trace_id=\"00\"".to_owned(), vec![]),
        ("http_route=\"/cart\" and took_ms=\"9\"".to_owned(), vec![9]),
        ("http_route=\"/other\"".to_owned(), vec![]),
        ("never_sent=\"x\"".to_owned(), vec![]),
        ("never_sent=\"\" | took_ms=\"9\"".to_owned(), vec![9]),
        // The stream has the name.
        ("k8s_namespace_name=\"shop\" | took_ms=\"9\"".to_owned(), vec![9]),
        ("k8s_namespace_name_extracted=\"beside\" | took_ms=\"9\"".to_owned(), vec![9]),
        ("detected_level=\"info\" | took_ms=\"9\"".to_owned(), vec![9]),
        ("logfmt | n=\"9\" or n=\"11\"".to_owned(), vec![11, 9]),
        ("http_route > 5 | __error__=\"LabelFilterErr\" | took_ms=\"9\"".to_owned(), vec![9]),
    ] {
        assert_eq!(n(&found(&logs, &format!("{all} | {stages}"), true, 9)), expected, "{stages}");
    }
    let formatted = r#"{service_name="web"} | logfmt | n > 96 | line_format "{{.n}} {{.http_route}} {{.detected_level}} {{.trace_id}}""#;
    assert_eq!(
        found(&logs, formatted, true, 9),
        ["99 /cart info 5b8efff798038103d269b633813fc60c", "97 /cart info 5b8efff798038103d269b633813fc60c"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let logs = filled(directory.path()).await;
    let mut streams = Vec::new();
    let at = START_NS + 99 * SECOND_NS;
    let span = Span { after_ns: START_NS - 1, until_ns: at };
    let (matchers, filters, equal, looked, interrupted) = (&[], &[], &[], &Looked::ALL, &|| Ok(()));
    let wanted = Lines {
        matchers,
        filters,
        equal,
        looked,
        number: None,
        text: false,
        together: None,
        span,
        backward: true,
        ends_early: false,
        enough: None,
        interrupted,
    };
    logs.streams(&wanted, &mut |labels| {
        streams.push(format!("{labels:?}"));
        Ok(())
    })
    .unwrap();
    streams.sort();
    assert_eq!(
        streams,
        [
            r#"{"k8s_namespace_name": "shop", "service_name": "cart"}"#,
            r#"{"k8s_namespace_name": "shop", "service_name": "web"}"#
        ]
    );
}

/// What a metric query counts at the last moment, by its labels.
fn counted(logs: &Logs, query: &str, parallelism: usize) -> Vec<String> {
    let Query::Metric(query) = parse(query).unwrap() else { panic!("{query}") };
    let at = START_NS + 99 * SECOND_NS;
    let moments = Moments { start_ns: at, end_ns: at, step_ns: 0 };
    let options = Options { parallelism, ..Options::default() };
    let Numbers::Vector(series) = metric(&query, logs, moments, &options).unwrap() else { panic!() };
    let one = |series: &Series| format!("{:?} {}", series.labels, series.points[0].1);
    let mut all: Vec<String> = series.iter().map(one).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_counted_together_are_as_many() {
    let directory = tempfile::tempdir().unwrap();
    let logs = filled(directory.path()).await;
    let counted = |query: &str, (step_s, parallelism): (i64, usize)| {
        let Query::Metric(query) = parse(query).unwrap() else { panic!("{query}") };
        let options = Options { parallelism, ..Options::default() };
        let step_ns = step_s * SECOND_NS;
        let moments = Moments { start_ns: START_NS + SECOND_NS, end_ns: START_NS + 99 * SECOND_NS, step_ns };
        let Numbers::Matrix(mut series) = metric(&query, &logs, moments, &options).unwrap() else { panic!() };
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series
    };
    let selector = r#"{k8s_namespace_name="shop"}"#;
    for (by, ranges) in [("service_name", ["7s", "1s", "5m"]), ("detected_level, took_ms", ["30s", "2s", "500ms"])] {
        for (range, steps) in ranges.iter().zip([(3, 1), (1, 2), (7, 5)]) {
            let together = format!("sum by ({by}) (count_over_time({selector} | took_ms != \"13\" [{range}]))");
            // What becomes of the text depends on the line.
            let alone =
                format!("sum by ({by}) (count_over_time({selector} | took_ms != \"13\" | line_format `x` [{range}]))");
            let found = counted(&together, steps);
            assert!(!found.is_empty());
            assert_eq!(found, counted(&alone, steps), "{together}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_looked_at_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let logs = filled(directory.path()).await;
    let services = ["cart", "web"].map(|service| format!("[(\"service_name\", \"{service}\")] 25"));
    let selector = r#"{k8s_namespace_name="shop"}"#;
    for (query, expected) in [
        (
            format!("sum by (service_name) (count_over_time({selector} | logfmt | took >= 50ms [5m]))"),
            services.to_vec(),
        ),
        (
            format!("max_over_time({selector} | unwrap took_ms [5m]) by (http_route)"),
            vec![r#"[("http_route", "/cart")] 99"#.to_owned()],
        ),
        (
            format!("quantile_over_time(0.5, {selector} | unwrap took_ms [5m]) by (service_name)"),
            vec![r#"[("service_name", "cart")] 49"#.to_owned(), r#"[("service_name", "web")] 50"#.to_owned()],
        ),
        (
            format!("last_over_time({selector} | unwrap took_ms [5m]) by (service_name)"),
            vec![r#"[("service_name", "cart")] 98"#.to_owned(), r#"[("service_name", "web")] 99"#.to_owned()],
        ),
        // The attribute beside the line lost its name to that of the stream.
        (
            format!("sum by (k8s_namespace_name_extracted, detected_level) (count_over_time({selector}[5m]))"),
            vec![r#"[("detected_level", "info"), ("k8s_namespace_name_extracted", "beside")] 100"#.to_owned()],
        ),
        (
            format!("sum by (trace_id) (bytes_over_time({selector} |= \"n=7 \" [5m]))"),
            vec![r#"[("trace_id", "5b8efff798038103d269b633813fc60c")] 23"#.to_owned()],
        ),
        (
            format!("sum by (r) (count_over_time({selector} | label_format r=`{{{{.http_route}}}}{{{{.n}}}}` [5m]))"),
            vec![r#"[("r", "/cart")] 100"#.to_owned()],
        ),
    ] {
        for parallelism in [1, 2, 5] {
            assert_eq!(counted(&logs, &query, parallelism), expected, "{query}");
        }
    }
    assert_eq!(
        counted(&logs, &format!("count_over_time({selector}[5m])"), 2).len(),
        100,
        "each took_ms makes a series"
    );
    // What goes wrong is told of the labels that are looked at, too: others may be those of any line.
    let failing = r#"sum by (service_name) (sum_over_time({service_name="cart"} | unwrap http_route [5m]))"#;
    let Query::Metric(query) = parse(failing).unwrap() else { panic!() };
    let at = START_NS + 99 * SECOND_NS;
    let refused = metric(&query, &logs, Moments { start_ns: at, end_ns: at, step_ns: 0 }, &Options::default());
    let message = refused.unwrap_err().message;
    assert!(message.contains("cart") && !message.contains("shop"), "{message}");
}

/// A line each of some kinds of values, in a part of their own.
async fn with_values(store: &Store, values: &[serde_json::Value]) {
    let record = |(at, value): (usize, &serde_json::Value)| {
        let route = format!("/r{}", at % 2);
        let attributes =
            json!([{ "key": "took", "value": value }, { "key": "route", "value": { "stringValue": route } }]);
        json!({ "timeUnixNano": (START_NS + at as i64).to_string(), "body": { "stringValue": "x" }, "attributes": attributes })
    };
    let records: Vec<_> = values.iter().enumerate().map(record).collect();
    store.append(delivery_of(&records)).await.unwrap();
    store.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_read_as_such_where_all_are() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(directory.path()), Arc::new(SystemClock::new())).await.unwrap();
    let (int, double, text) = (
        |n: i64| json!({ "intValue": n.to_string() }),
        |x: f64| json!({ "doubleValue": x }),
        |text: &str| json!({ "stringValue": text }),
    );
    with_values(&store, &[int(1), int(2), double(3.5), double(-0.25)]).await;
    with_values(&store, &[int(10), text("20"), text("")]).await;
    with_values(&store, &[json!({}), json!({})]).await;
    let logs = Logs::new(store.clone());
    let all = r#"{service_name="unknown_service"}"#;
    let by_route =
        |r0: &str, r1: &str| vec![format!(r#"[("route", "/r0")] {r0}"#), format!(r#"[("route", "/r1")] {r1}"#)];
    let asked = |function: &str, stages: &str| format!("{function}({all} {stages} | unwrap took [5m]) by (route)");
    for parallelism in [1, 3] {
        let counted = |query: &str| counted(&logs, query, parallelism);
        assert_eq!(counted(&asked("max_over_time", "")), by_route("10", "20"));
        assert_eq!(counted(&asked("min_over_time", "")), by_route("1", "-0.25"));
        assert_eq!(counted(&asked("avg_over_time", "| took != `20`")), by_route("4.833333333333333", "0.875"));
        assert_eq!(counted(&asked("max_over_time", "| label_format took=`7`")), by_route("7", "7"));
        assert_eq!(counted(&asked("max_over_time", "| drop took")), [""; 0]);
        let count = format!("sum by (route) (count_over_time({all} [5m]))");
        assert_eq!(counted(&count), by_route("5", "4"));
    }
    with_values(&store, &[text("slow")]).await;
    let Query::Metric(query) = parse(&asked("max_over_time", "")).unwrap() else { panic!() };
    let moments = Moments { start_ns: START_NS + 99, end_ns: START_NS + 99, step_ns: 0 };
    let refused = metric(&query, &logs, moments, &Options::default()).unwrap_err();
    assert!(refused.message.contains("SampleExtractionErr"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_of_labels_are_told_apart_across_parts() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(directory.path()), Arc::new(SystemClock::new())).await.unwrap();
    // Each part has other keys, so that the same places in its dictionaries mean other texts.
    let parts = [("a", ["x", "y", "x"]), ("b", ["y", "z", "z"]), ("a", ["z", "x", "y"])];
    for (part, (key, values)) in parts.iter().enumerate() {
        let record = |(at, value): (usize, &&str)| {
            let time = (START_NS + (part * 10 + at) as i64).to_string();
            let attributes = json!([{ "key": key, "value": { "stringValue": value } }]);
            json!({ "timeUnixNano": time, "body": { "stringValue": value }, "attributes": attributes })
        };
        let records: Vec<_> = values.iter().enumerate().map(record).collect();
        store.append(delivery_of(&records)).await.unwrap();
        store.flush().await.unwrap();
    }
    let logs = Logs::new(store);
    let all = r#"{service_name="unknown_service"}"#;
    let expected =
        [r#"[("a", "x")] 3"#, r#"[("a", "y")] 2"#, r#"[("a", "z")] 1"#, r#"[("b", "y")] 1"#, r#"[("b", "z")] 2"#];
    for parallelism in [1, 2] {
        assert_eq!(counted(&logs, &format!("sum by (a, b) (count_over_time({all} [5m]))"), parallelism), expected);
        let some = format!("sum by (a, b) (bytes_over_time({all} | a != `x` | b != `z` [5m]))");
        assert_eq!(counted(&logs, &some, parallelism), [r#"[("a", "y")] 2"#, r#"[("a", "z")] 1"#, r#"[("b", "y")] 1"#]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_counted_right_beyond_what_is_remembered_of_their_labels() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(directory.path()), Arc::new(SystemClock::new())).await.unwrap();
    // 48 MB of texts, some of which come again in every part; the last part is in memory.
    for part in 0..6 {
        let record = |at: usize| {
            let long = format!("{part} {} {}", at % 300, "x".repeat(20_000));
            let a = if at < 400 { long } else { at.to_string() };
            let attributes = json!([{ "key": "a", "value": { "stringValue": a } },
                { "key": "b", "value": { "stringValue": (["p", "q"][at % 2]) } }]);
            let time = (START_NS + (part * 1_000 + at) as i64).to_string();
            json!({ "timeUnixNano": time, "body": { "stringValue": "x" }, "attributes": attributes })
        };
        let records: Vec<_> = (0..500).map(record).collect();
        store.append(delivery_of(&records)).await.unwrap();
        if part < 5 {
            store.flush().await.unwrap();
        }
    }
    let logs = Logs::new(store);
    let query = r#"sum by (b) (count_over_time({service_name="unknown_service"} | a != `x` | a != `401` [5m]))"#;
    for parallelism in [1, 2] {
        assert_eq!(counted(&logs, query, parallelism), [r#"[("b", "p")] 1500"#, r#"[("b", "q")] 1494"#]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_an_attribute_says_too_is_one_label() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(directory.path()), Arc::new(SystemClock::new())).await.unwrap();
    let (trace, other) = ("5b8efff798038103d269b633813fc60c", "0af7651916cd43dd8448eb211c80319c");
    let record = |at: i64, more: serde_json::Value| {
        let mut record = json!({ "timeUnixNano": (START_NS + at).to_string(), "body": { "stringValue": "x" },
            "attributes": [{ "key": "trace.id", "value": { "stringValue": trace } }] });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let records = [record(1, json!({})), record(2, json!({ "traceId": other }))];
    store.append(delivery_of(&records)).await.unwrap();
    let logs = Logs::new(store);
    let Query::Log(query) = parse(r#"{service_name=~".+"}"#).unwrap() else { panic!() };
    let span = Span { after_ns: START_NS, until_ns: START_NS + 9 };
    let order = Order { backward: false, limit: 9, parallelism: 1 };
    let found = lines(&query, &logs, span, order, &|| Ok(())).unwrap();
    let ids = |line: &causeway_logql::FoundLine| {
        let labels = line.labels.iter().filter(|label| label.name.starts_with("trace_id"));
        labels.map(|label| format!("{}={}", label.name, label.value)).collect::<Vec<_>>()
    };
    assert_eq!(ids(&found[0]), [format!("trace_id={trace}")]);
    assert_eq!(ids(&found[1]), [format!("trace_id={trace}"), format!("trace_id_extracted={other}")]);
}

fn delivery(bodies: &[String]) -> Delivery {
    let record = |body: &String| json!({ "timeUnixNano": START_NS.to_string(), "body": { "stringValue": body } });
    delivery_of(&bodies.iter().map(record).collect::<Vec<_>>())
}

/// Records of a resource that says nothing.
fn delivery_of(records: &[serde_json::Value]) -> Delivery {
    delivery_by(&json!({}), records)
}

fn delivery_by(resource: &serde_json::Value, records: &[serde_json::Value]) -> Delivery {
    let scope_logs = json!([{ "logRecords": records }]);
    let request = json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": scope_logs }] }).to_string();
    let decoded = decode(Signal::Logs, Encoding::Json, request.as_bytes(), START_NS).unwrap();
    let (batches, ledger) = (decoded.batches, Vec::new());
    Delivery { sender: "test".to_owned(), received_unix_nano: START_NS, batches, ledger }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_is_told_what_comes_and_what_was_missed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(directory.path()), Arc::new(SystemClock::new())).await.unwrap();
    let live = Arc::new(Live::new(store));
    let lines = LiveLines::new(live.clone());
    let figures = || live.figures()[0];
    let append = async |bodies: &[String]| live.append(delivery(bodies)).await.map(|_| ()).unwrap();
    append(&["before".to_owned()]).await;
    assert_eq!(figures().held_bytes, 0, "nobody follows");
    let Query::Log(query) = parse(r#"{service_name="unknown_service"} |= "a""#).unwrap() else { panic!() };
    let mut follower = lines.follow(query.clone()).unwrap();
    append(&["a1".to_owned(), "b2".to_owned()]).await;
    append(&["a3".to_owned()]).await;
    let told = follower.next().await.unwrap();
    let texts: Vec<&str> = told.found.iter().map(|line| line.text.as_str()).collect();
    assert_eq!((texts, told.seen, told.missed), (vec!["a1", "a3"], 3, 0));
    // Of many lines at one time the newest are told.
    append(&(0..1_500).map(|n| format!("a{n}")).collect::<Vec<_>>()).await;
    let told = follower.next().await.unwrap();
    assert_eq!((told.found.len(), told.found[999].text.as_str(), told.missed), (1_000, "a1499", 500));
    // Of more than is held for those who follow the newest are held; the others count as missed.
    let long = "a".repeat(1 << 20);
    for _ in 0..80 {
        append(std::slice::from_ref(&long)).await;
    }
    let held = figures().held_bytes;
    assert!((1 << 24..=64 << 20).contains(&held), "{held}");
    let told = follower.next().await.unwrap();
    assert!((16..=64).contains(&told.seen), "{} seen", told.seen);
    // So long ones are told one by one.
    assert_eq!((told.found.len(), told.missed), (1, 79));
    drop(follower);
    assert_eq!((figures().followers, figures().held_bytes), (0, 0));
    let many: Vec<_> = (0..100).map(|_| lines.follow(query.clone()).unwrap()).collect();
    assert!(lines.follow(query.clone()).is_err());
    drop(many);
    assert!(lines.follow(query).is_ok());
}
