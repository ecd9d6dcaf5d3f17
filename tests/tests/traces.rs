//! Do Grafana's data sources of Tempo and Jaeger find the traces that came by OTLP, in memory and in parts? Their requests, in their order.

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::prometheus::form;
use crate::span_metrics::now_ns;

/// A checkout that calls payment; each fifth fails.
fn spans(number: u64, end: u64) -> Value {
    let start = |milliseconds: u64| (end - milliseconds * 1_000_000).to_string();
    let span = |id: u64, parent: &str, kind: u8, name: &str, milliseconds: u64| {
        json!({ "traceId": format!("{:032x}", number + 1), "spanId": format!("{id:016x}"), "parentSpanId": parent, "name": name,
                "kind": kind, "startTimeUnixNano": start(milliseconds), "endTimeUnixNano": end.to_string(),
                "status": { "code": if number.is_multiple_of(5) { 2 } else { 0 } },
                "attributes": [{ "key": "http.route", "value": { "stringValue": format!("/r{}", number % 3) } },
                               { "key": "http.response.status_code", "value": { "intValue": if number.is_multiple_of(5) { "500" } else { "200" } } }] })
    };
    let service = |name: &str, span: Value| json!({ "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": name } }] }, "scopeSpans": [{ "spans": [span] }] });
    json!({ "resourceSpans": [service("checkout", span(1, "", 2, "POST /checkout", 100 + number)),
                              service("payment", span(2, "0000000000000001", 2, "POST /pay", 50 + number))] })
}

async fn get(program: &Program, path: &str, parameters: &[(&str, &str)]) -> Value {
    let url = format!("http://{}/{path}?{}", program.listen, form(parameters));
    let response = program.client.get(url).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|_| json!(text))
}

async fn tempo(program: &Program, start: &str, end: &str) {
    assert_eq!(get(program, "tempo/api/echo", &[]).await, "echo");
    assert!(get(program, "tempo/api/status/buildinfo", &[]).await["version"].is_string());
    let window = [("start", start), ("end", end)];
    let scopes = get(program, "tempo/api/v2/search/tags", &[("limit", "5000"), window[0], window[1]]).await;
    let span = scopes["scopes"].as_array().unwrap().iter().find(|it| it["name"] == "span").unwrap();
    assert!(span["tags"].as_array().unwrap().contains(&json!("http.route")), "{scopes}");
    let values = get(program, "tempo/api/v2/search/tag/span.http.route/values", &window).await;
    assert_eq!(values["tagValues"].as_array().unwrap().len(), 3, "{values}");
    let query = r#"{ resource.service.name = "payment" && span.http.route = "/r1" && duration > 60ms }"#;
    let found =
        get(program, "tempo/api/search", &[("q", query), ("limit", "20"), ("spss", "10"), window[0], window[1]]).await;
    // Of 40 traces those whose number is one above a multiple of three, and above 10.
    assert_eq!(found["traces"].as_array().unwrap().len(), 9, "{found}");
    let newest = &found["traces"][0];
    assert_eq!((&newest["rootServiceName"], &newest["rootTraceName"]), (&json!("checkout"), &json!("POST /checkout")));
    let id = newest["traceID"].as_str().unwrap();
    let trace = get(program, &format!("tempo/api/v2/traces/{id}"), &window).await;
    assert_eq!(trace["trace"]["resourceSpans"].as_array().unwrap().len(), 2);
    let parameters = [
        ("q", "{ status = error } | count_over_time() by (resource.service.name)"),
        ("step", "60s"),
        window[0],
        window[1],
    ];
    let numbers = get(program, "tempo/api/metrics/query_range", &parameters).await;
    assert_eq!(numbers["series"].as_array().unwrap().len(), 2, "{numbers}");
}

async fn jaeger(program: &Program, start_us: &str, end_us: &str) {
    let services = get(program, "jaeger/api/services", &[]).await;
    assert_eq!(services["data"], json!(["checkout", "payment"]));
    let operations = get(program, "jaeger/api/services/payment/operations", &[]).await;
    assert_eq!(operations["data"], json!(["POST /pay"]));
    let parameters = [
        ("service", "payment"),
        ("operation", "POST /pay"),
        ("tags", r#"{"http.response.status_code":"500"}"#),
        ("minDuration", "70ms"),
        ("limit", "3"),
        ("start", start_us),
        ("end", end_us),
    ];
    let found = get(program, "jaeger/api/traces", &parameters).await;
    let ids: Vec<&str> = found["data"].as_array().unwrap().iter().map(|it| it["traceID"].as_str().unwrap()).collect();
    let expected = [20, 25, 30].map(|number: u64| format!("{:032x}", number + 1));
    assert!(ids.len() == 3 && expected.iter().all(|id| ids.contains(&id.as_str())), "{ids:?}");
    let one = get(program, &format!("jaeger/api/traces/{}", ids[0]), &[]).await;
    assert_eq!(one["data"][0]["spans"].as_array().unwrap().len(), 2);
    let missing =
        program.client.get(format!("http://{}/jaeger/api/traces/ffffff", program.listen)).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let otlp = get(program, &format!("jaeger/api/v3/traces/{}", ids[0]), &[]).await;
    assert_eq!(otlp["result"]["resourceSpans"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn grafana_looks_at_traces() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("CAUSEWAY_SELF_TELEMETRY", "false")];
    let program = Program::start(data.path(), &settings).await;
    let now = now_ns(&program).await;
    for number in 0..40 {
        // The newest have the highest numbers but those above 30, which are older than all.
        let end = if number > 30 { now - 600_000_000_000 } else { now - (40 - number) * 1_000_000_000 };
        let (status, answer) = program.call("POST", "/v1/traces", &spans(number, end)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let (start, end) = (now / 1_000_000_000 - 3_600, now / 1_000_000_000 + 60);
    let seconds = (start.to_string(), end.to_string());
    let microseconds = ((start * 1_000_000).to_string(), (end * 1_000_000).to_string());
    tempo(&program, &seconds.0, &seconds.1).await;
    jaeger(&program, &microseconds.0, &microseconds.1).await;
    program.end().await;
    // From the log and from parts it is the same.
    let again = [("CAUSEWAY_SELF_TELEMETRY", "false"), ("CAUSEWAY_MEMTABLE_BYTES_MAX", "1KiB")];
    let program = Program::start(data.path(), &again).await;
    tempo(&program, &seconds.0, &seconds.1).await;
    jaeger(&program, &microseconds.0, &microseconds.1).await;
    program.end().await;
}
