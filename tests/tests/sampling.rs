//! Is what tail sampling keeps and drops exact from outside? Through the real program, over its end and a restart.

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::span_metrics::now_ns;

const TRACES: u32 = 400;
/// One of so many fails.
const FAILS_EVERY: u32 = 20;

/// A request that calls another service, which comes in a request of its own.
fn spans(trace: u32, service: &str, end: u64) -> Value {
    let (id, parent, kind) = if service == "web" { (1, String::new(), 2) } else { (2, format!("{:016x}", 1), 2) };
    let fails = service == "pay" && trace.is_multiple_of(FAILS_EVERY);
    // The last 56 bits are spread evenly, so that a quarter of them is above a threshold of three quarters.
    let random = u64::from(trace) * ((1 << 56) / u64::from(TRACES));
    let span = json!({
        "traceId": format!("{:016x}{random:016x}", trace + 1), "spanId": format!("{id:016x}"), "parentSpanId": parent,
        "name": "POST /pay", "kind": kind, "status": {"code": if fails { 2 } else { 0 }},
        "startTimeUnixNano": (end - 5_000_000).to_string(), "endTimeUnixNano": end.to_string(),
    });
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})
}

async fn metrics(program: &Program) -> String {
    let answer = program.client.get(format!("http://{}/metrics", program.listen)).send().await.unwrap();
    answer.text().await.unwrap()
}

#[tokio::test]
async fn failed_traces_are_kept_and_weights_and_ledger_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("CAUSEWAY_SELF_TELEMETRY", "false"),
        ("CAUSEWAY_SAMPLING_SHARE", "0.25"),
        ("CAUSEWAY_SAMPLING_RARE_BELOW", "0"),
        ("CAUSEWAY_SAMPLING_SLOW_QUANTILE", "1"),
        ("CAUSEWAY_SAMPLING_HOLD", "5m"),
    ];
    let program = Program::start(folder.path(), &settings).await;
    let now = now_ns(&program).await;
    for service in ["web", "pay"] {
        for trace in 0..TRACES {
            let url = format!("http://{}/v1/traces", program.otlp_http);
            let sent = program.client.post(url).json(&spans(trace, service, now)).send().await.unwrap();
            assert_eq!(sent.status(), StatusCode::OK);
        }
    }
    let held = metrics(&program).await;
    assert!(held.contains("causeway_sampling_held_spans 800"), "{held}");
    assert_eq!(program.number("SELECT count(*) FROM spans").await, 0, "nothing is decided yet");
    // What is held is decided at the end.
    program.end().await;
    let program = Program::start(folder.path(), &settings).await;

    // A failed trace stands for itself; of the others those are kept that lie in the last quarter.
    let failed = i64::from(TRACES / FAILS_EVERY);
    let by_chance = (TRACES * 3 / 4..TRACES).filter(|trace| trace % FAILS_EVERY != 0).count() as i64;
    let kept = "SELECT count(*) FROM spans WHERE trace_state";
    assert_eq!(program.number(&format!("{kept} IS NULL")).await, 2 * failed);
    assert_eq!(program.number(&format!("{kept} = 'ot=th:c'")).await, 2 * by_chance);
    let weights = "SELECT CAST(sum(sample_weight(trace_state)) AS BIGINT) FROM spans";
    assert_eq!(program.number(&format!("{weights} WHERE status_code = 2")).await, failed);
    assert_eq!(program.number(weights).await, 2 * (failed + 4 * by_chance));

    let told = metrics(&program).await;
    let ledger = |name: &str| -> f64 {
        let lines = told.lines().filter(|line| line.starts_with(name) && line.contains("signal=\"spans\""));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    let stored = (2 * (failed + by_chance)) as f64;
    assert_eq!((ledger("causeway_ledger_received_total"), ledger("causeway_ledger_stored_total")), (800.0, stored));
    assert_eq!(ledger("causeway_ledger_dropped_total"), 800.0 - stored);
    assert!(told.contains("reason=\"sampled\""), "{told}");

    // Requests are counted before anything is dropped.
    let query = "sum(traces_spanmetrics_calls_total{service='pay'})";
    let path = format!("/prometheus/api/v1/query?{}", crate::prometheus::form(&[("query", query)]));
    let (_, answer) = program.call("GET", &path, &Value::Null).await;
    assert_eq!(answer["data"]["result"][0]["value"][1], json!(TRACES.to_string()), "{answer}");
    program.end().await;
}
