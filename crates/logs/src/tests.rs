//! Are the lines that were sent found, wherever they lie?

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use causeway_ingest::otlp::{Encoding, decode};
use causeway_logql::ast::Query;
use causeway_logql::{LineSource, Lines, Moments, Numbers, Span, lines, metric, parse};
use causeway_model::{Appender, Delivery, Signal, SystemClock};
use causeway_promql::Options;
use causeway_store::{Store, StoreOptions};
use serde_json::json;

use super::Logs;

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
            "attributes": [{ "key": "http.route", "value": { "stringValue": "/cart" } }] });
        let request = json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": [record] }] }] });
        let bytes = request.to_string();
        let decoded = decode(Signal::Logs, Encoding::Json, bytes.as_bytes(), START_NS).unwrap();
        let (batches, ledger) = (decoded.batches, Vec::new());
        let delivery = Delivery { sender: "test".to_owned(), received_unix_nano: START_NS, batches, ledger };
        store.append(delivery).await.unwrap();
        if second % 30 == 20 {
            store.flush().await.unwrap();
        }
    }
    Logs::new(store)
}

fn found(logs: &Logs, query: &str, backward: bool, limit: usize) -> Vec<String> {
    let Query::Log(query) = parse(query).unwrap() else { panic!("{query}") };
    let span = Span { after_ns: START_NS - 1, until_ns: START_NS + 1_000 * SECOND_NS };
    lines(&query, logs, span, (backward, limit), &|| Ok(())).unwrap().into_iter().map(|line| line.text).collect()
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
    let formatted = r#"{service_name="web"} | logfmt | n > 96 | line_format "{{.n}} {{.http_route}} {{.detected_level}} {{.trace_id}}""#;
    assert_eq!(
        found(&logs, formatted, true, 9),
        ["99 /cart info 5b8efff798038103d269b633813fc60c", "97 /cart info 5b8efff798038103d269b633813fc60c"]
    );
    let query = r#"sum by (service_name) (count_over_time({k8s_namespace_name="shop"} | logfmt | took >= 50ms [5m]))"#;
    let Query::Metric(query) = parse(query).unwrap() else { panic!() };
    let at = START_NS + 99 * SECOND_NS;
    let moments = Moments { start_ns: at, end_ns: at, step_ns: 0 };
    let Numbers::Vector(series) = metric(&query, &logs, moments, &Options::default()).unwrap() else { panic!() };
    let values: Vec<f64> = series.iter().map(|series| series.points[0].1).collect();
    assert_eq!(values, [25.0, 25.0]);
    let mut streams = Vec::new();
    let span = Span { after_ns: START_NS - 1, until_ns: at };
    let wanted = Lines { matchers: &[], needles: &[], span, backward: true, interrupted: &|| Ok(()) };
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
