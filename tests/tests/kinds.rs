//! Which kinds of lines and errors are there? From OTLP to patterns and groups of errors, over a restart, for HTTP, Loki's clients and the terminal.

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::span_metrics::now_ns;

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

async fn send(program: &Program, path: &str, body: &Value) {
    let (status, answer) = program.call("POST", path, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn ask(program: &Program, path: &str) -> Value {
    let (status, answer) = program.call("GET", path, &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

/// Ten lines of two kinds, and one with a stack trace.
fn logs(now: u64) -> Value {
    let record = |(number, severity, body): (u64, u8, String)| json!({"timeUnixNano": (now - number).to_string(), "severityNumber": severity, "body": {"stringValue": body}});
    let stack = |line: u64| {
        format!("it broke\njava.io.IOException: disk {line} is full\n\tat com.shop.Files.write(Files.java:{line})")
    };
    let lines = (0..8).map(|number| (number, 9, format!("order {number} paid in {}ms", number * 3)));
    let lines = lines.chain((8..10).map(|number| (number, 17, stack(number))));
    let resource = json!({"attributes": [attribute("service.name", "pay"), attribute("service.version", "1.2")]});
    let records: Vec<Value> = lines.map(record).collect();
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})
}

/// A failed request whose exception is told by two of its spans.
fn spans(now: u64) -> Value {
    let exception = json!([attribute("exception.type", "Declined"), attribute("exception.message", "card 5 declined")]);
    let span = |id: &str, parent: &str| {
        json!({
            "traceId": "000000000000000000000000000000aa", "spanId": id, "parentSpanId": parent, "name": "charge", "kind": 2,
            "status": {"code": 2}, "startTimeUnixNano": now.to_string(), "endTimeUnixNano": now.to_string(),
            "events": [{"timeUnixNano": now.to_string(), "name": "exception", "attributes": exception}],
        })
    };
    let resource = json!({"attributes": [attribute("service.name", "pay"), attribute("service.version", "1.2")]});
    let spans = [span("00000000000000a1", ""), span("00000000000000a2", "00000000000000a1")];
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})
}

#[tokio::test]
async fn patterns_and_errors_are_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("CAUSEWAY_SELF_TELEMETRY", "false")];
    let program = Program::start(folder.path(), &settings).await;
    let now = now_ns(&program).await;
    send(&program, "/v1/logs", &logs(now)).await;
    send(&program, "/v1/traces", &spans(now)).await;
    // The last turn is kept at the end.
    program.end().await;
    let program = Program::start(folder.path(), &settings).await;

    let patterns = ask(&program, "/api/v1/patterns?service=pay").await;
    let told: Vec<(&Value, &Value, &Value)> = patterns["patterns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pattern| (&pattern["pattern"], &pattern["level"], &pattern["count"]))
        .collect();
    let expected = [("order <_> paid in <_>", "info", 8.0), ("it broke", "error", 2.0)];
    let expected = expected.map(|(pattern, level, count)| (json!(pattern), json!(level), json!(count)));
    assert_eq!(told, expected.each_ref().map(|(pattern, level, count)| (pattern, level, count)), "{patterns}");

    let loki = ask(&program, "/loki/api/v1/patterns?query=%7Bservice_name%3D%22pay%22%7D&step=60").await;
    let counted: i64 = loki["data"][0]["samples"].as_array().unwrap().iter().map(|it| it[1].as_i64().unwrap()).sum();
    assert_eq!((&loki["data"][0]["pattern"], counted), (&json!("order <_> paid in <_>"), 8), "{loki}");

    let errors = ask(&program, "/api/v1/errors?service=pay").await;
    let group = |error_type: &str| {
        let groups = errors["errors"].as_array().unwrap();
        groups.iter().find(|group| group["error_type"] == error_type).unwrap_or_else(|| panic!("{errors}")).clone()
    };
    let (thrown, declined) = (group("java.io.IOException"), group("Declined"));
    assert_eq!((&thrown["count"], &thrown["culprit"]), (&json!(2.0), &json!("com.shop.Files.write")));
    assert_eq!((&declined["count"], &declined["message"]), (&json!(1.0), &json!("card <_> declined")));
    assert_eq!(declined["traces"], json!(["000000000000000000000000000000aa"]));
    assert_eq!(declined["versions"][0]["version"], "1.2");

    let said = program.run(&["patterns", "pay"]).await;
    assert!(said.contains("order <_> paid in <_>"), "{said}");
    let said = program.run(&["errors"]).await;
    assert!(said.contains("com.shop.Files.write") && said.contains("card <_> declined"), "{said}");
    program.end().await;
}

#[tokio::test]
async fn they_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        [("CAUSEWAY_SELF_TELEMETRY", "false"), ("CAUSEWAY_LOG_PATTERNS", "false"), ("CAUSEWAY_ERROR_GROUPS", "false")];
    let program = Program::start(folder.path(), &settings).await;
    let now = now_ns(&program).await;
    send(&program, "/v1/logs", &logs(now)).await;
    program.end().await;
    let program = Program::start(folder.path(), &settings).await;
    assert_eq!(ask(&program, "/api/v1/patterns").await["patterns"], json!([]));
    assert_eq!(ask(&program, "/api/v1/errors").await["errors"], json!([]));
    program.end().await;
}
