//! Are there request rates, failures and durations of services that send nothing but spans, and does the last turn survive the end?

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::prometheus::form;

/// Nanoseconds since 1970, as the program has them.
pub(crate) async fn now_ns(program: &Program) -> u64 {
    u64::try_from(program.number("SELECT CAST(now() AS BIGINT) AS now").await).unwrap()
}

/// A checkout that calls payment, which fails.
fn spans(request: u32, end: u64) -> Value {
    let span = |id: u32, parent: &str, kind: u8, name: &str, code: u8, milliseconds: u64| {
        json!({
            "traceId": format!("{:032x}", request + 1), "spanId": format!("{id:016x}"), "parentSpanId": parent,
            "name": name, "kind": kind, "status": {"code": code},
            "startTimeUnixNano": (end - milliseconds * 1_000_000).to_string(), "endTimeUnixNano": end.to_string(),
        })
    };
    let service = |name: &str, spans: Value| {
        json!({
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]},
            "scopeSpans": [{"spans": spans}]
        })
    };
    let caller = json!([
        span(1, "", 2, "POST /checkout", 2, 300),
        span(2, "0000000000000001", 3, "POST", 2, 250),
        span(3, "0000000000000001", 1, "price", 0, 5),
    ]);
    let called = json!([span(4, "0000000000000002", 2, "POST /pay", 2, 200)]);
    json!({"resourceSpans": [service("checkout", caller), service("payment", called)]})
}

async fn get(program: &Program, path: &str, parameters: &[(&str, &str)]) -> Value {
    let url = format!("http://{}/prometheus/api/v1/{path}?{}", program.listen, form(parameters));
    program.client.get(url).send().await.unwrap().json().await.unwrap()
}

async fn ask(program: &Program, query: &str) -> Vec<(Value, f64)> {
    let answer = get(program, "query", &[("query", query)]).await;
    let result = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
    let number = |sample: &Value| sample["value"][1].as_str().unwrap().parse().unwrap();
    let mut samples: Vec<(Value, f64)> =
        result.iter().map(|sample| (sample["metric"].clone(), number(sample))).collect();
    samples.sort_by_key(|(labels, _)| labels.to_string());
    samples
}

#[tokio::test]
async fn services_that_send_only_spans_have_rates_failures_and_durations() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let settings = [("CAUSEWAY_SELF_TELEMETRY", "false")];
    let program = Program::start(&data, &settings).await;
    let now = now_ns(&program).await;
    for request in 0..10 {
        let url = format!("http://{}/v1/traces", program.otlp_http);
        let sent = program.client.post(url).json(&spans(request, now)).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::OK);
    }
    program.end().await;
    let program = Program::start(&data, &settings).await;
    // The first sample of a series is a zero, so that nothing is missing from an increase. It is extrapolated to the window's ends.
    let increases = ask(&program, "increase(traces_spanmetrics_calls_total[5m]) > 5").await;
    assert_eq!(increases.len(), 3, "{increases:?}");
    let failed = ask(&program, "sum by (service, span_name) (traces_spanmetrics_calls_total{status_code='STATUS_CODE_ERROR', span_kind='SPAN_KIND_SERVER'})").await;
    assert_eq!(
        failed,
        [
            (json!({"service": "checkout", "span_name": "POST /checkout"}), 10.0),
            (json!({"service": "payment", "span_name": "POST /pay"}), 10.0),
        ]
    );
    let quantile = "histogram_quantile(0.9, traces_spanmetrics_latency{service='payment'})";
    let [(_, seconds)] = ask(&program, quantile).await[..] else { panic!("one") };
    assert!((0.18..0.22).contains(&seconds), "{seconds}");
    let edges = ask(&program, "traces_service_graph_request_total").await;
    let edges: Vec<(&Value, &Value, f64)> =
        edges.iter().map(|(labels, count)| (&labels["client"], &labels["server"], *count)).collect();
    assert_eq!(edges, [(&json!("checkout"), &json!("payment"), 10.0), (&json!("user"), &json!("checkout"), 10.0)]);
    let window = [("query", "traces_spanmetrics_latency"), ("start", "0"), ("end", "4e9")];
    let exemplars = get(&program, "query_exemplars", &window).await;
    let labels = &exemplars["data"][0]["exemplars"][0]["labels"];
    assert_eq!(labels["trace_id"].as_str().map(str::len), Some(32), "{exemplars}");
    program.end().await;
}
