//! Do spans of Zipkin's and Jaeger's senders become one trace, and is it told and drawn as it happened?

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::senders::{laid_out, present};

/// Metrics from spans would leave exemplars.
const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false"), ("CAUSEWAY_SPAN_METRICS", "false")];
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The fields of all spans that a trace has, in its order.
fn of(told: &Value, field: &str) -> Vec<Value> {
    told["spans"].as_array().unwrap().iter().map(|span| span[field].clone()).collect()
}

/// What a sender of spans prints that it sent.
async fn sent(sender: &str, endpoint: &str) -> Value {
    let folder = laid_out(sender);
    let mut sender = Command::new(folder.join("venv/bin/python"));
    sender.arg(folder.join("send.py")).args(["--endpoint", endpoint]).env("NO_PROXY", "127.0.0.1");
    let output = sender.kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn py_zipkin_and_opentelemetrys_exporter() {
    if !present("python3", "zipkin") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(data.path(), SETTINGS).await;
    let sent = sent("zipkin", &format!("http://{}/api/v2/spans", program.listen)).await;
    let path = format!("/api/v1/traces/{}", sent["py_zipkin"].as_str().unwrap());
    let (status, told) = program.call("GET", &path, &Value::Null).await;
    assert_eq!((status, told["trace_id"].as_str()), (StatusCode::OK, Some(TRACE)), "{told}");
    assert_eq!(of(&told, "service"), ["web", "web", "cart"], "{told}");
    assert_eq!(of(&told, "kind"), ["server", "client", "server"]);
    assert_eq!(of(&told, "depth"), [0, 1, 2], "the halves of one span lie below each other");
    assert_eq!(told["findings"][0]["pattern"], "error_origin");
    assert_eq!(told["logs"]["reasons"][0]["reason"], "none_sent");

    let id = sent["opentelemetry"].as_str().unwrap();
    let columns = "service_name, scope_name, scope_version, status_code, status_message, kind, events";
    let rows = program.sql(&format!("SELECT {columns} FROM spans WHERE trace_id = '{id}'")).await;
    let row = Value::from(rows.into_iter().next().unwrap());
    let of = |column: &str| row[column].clone();
    assert_eq!([of("service_name"), of("scope_name"), of("scope_version")], ["otel-zipkin", "sender", "1.2"], "{row}");
    assert_eq!((of("status_code"), of("status_message"), of("kind")), (json!(2), json!("it broke"), json!(3)));
    assert_eq!(row["events"][0]["name"], "cache.miss", "{row}");
    program.end().await;
}

#[tokio::test]
async fn opentelemetrys_exporter_for_jaeger() {
    if !present("python3", "jaeger") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(data.path(), SETTINGS).await;
    let sent = sent("jaeger", &program.otlp_grpc.to_string()).await;
    let (_, told) = program.call("GET", &format!("/jaeger/api/traces/{}", sent.as_str().unwrap()), &Value::Null).await;
    let trace = &told["data"][0];
    let (outer, inner) = (&trace["spans"][0], &trace["spans"][1]);
    assert_eq!([&outer["operationName"], &inner["operationName"]], ["GET /cart", "SELECT"], "{told}");
    assert_eq!((&inner["references"][0]["spanID"], &outer["references"]), (&outer["spanID"], &json!([])));
    let tag = |tags: &Value, key: &str| {
        let found = tags.as_array().unwrap().iter().find(|tag| tag["key"] == key);
        found.map(|tag| (tag["type"].clone(), tag["value"].clone()))
    };
    let tags = [
        (outer, "http.route", json!("string"), json!("/cart")),
        (outer, "items", json!("int64"), json!(7)),
        (outer, "cached", json!("bool"), json!(true)),
        (outer, "share", json!("float64"), json!(0.5)),
        (outer, "span.kind", json!("string"), json!("server")),
        (outer, "otel.scope.name", json!("string"), json!("sender")),
        (inner, "error", json!("bool"), json!(true)),
        (inner, "otel.status_description", json!("string"), json!("declined")),
    ];
    for (span, key, kind, value) in tags {
        assert_eq!(tag(&span["tags"], key), Some((kind, value)), "{key}: {told}");
    }
    assert_eq!(tag(&outer["logs"][0]["fields"], "event"), Some((json!("string"), json!("cache.miss"))), "{told}");
    assert_eq!(tag(&inner["logs"][0]["fields"], "exception.type"), Some((json!("string"), json!("ValueError"))));
    let process = &trace["processes"][outer["processID"].as_str().unwrap()];
    assert_eq!(
        (&process["serviceName"], tag(&process["tags"], "service.version").unwrap().1),
        (&json!("otel-jaeger"), json!("2.1"))
    );
    program.end().await;
}

/// A request of `shop` that asks for six items one by one, and whose call to `pay` nobody answers.
fn spans(now: u64) -> Value {
    let span = |id: u64, parent: &str, name: &str, (from, to): (u64, u64), more: Value| {
        let mut span = json!({
            "traceId": TRACE, "spanId": format!("{id:016x}"), "parentSpanId": parent, "name": name, "kind": 3,
            "startTimeUnixNano": (now + from * 1_000_000).to_string(),
            "endTimeUnixNano": (now + to * 1_000_000).to_string(),
        });
        span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        span
    };
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let root = "0000000000000001";
    let query = |n: u64| {
        let statement = format!("SELECT name FROM item WHERE id = {n}");
        let attributes = json!([text("db.system.name", "postgresql"), text("db.query.text", &statement)]);
        span(n + 10, root, "SELECT item", (n * 10, n * 10 + 8), json!({ "attributes": attributes }))
    };
    let mut all: Vec<Value> = (0..6).map(query).collect();
    all.push(span(1, "", "GET /cart", (0, 600), json!({ "kind": 2 })));
    let failed =
        json!({ "status": { "code": 2, "message": "deadline exceeded" }, "attributes": [text("peer.service", "pay")] });
    all.push(span(2, root, "POST", (80, 580), failed));
    let resource = json!({ "attributes": [text("service.name", "shop")] });
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": all }] }] })
}

#[tokio::test]
async fn a_trace_is_understood_and_drawn() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(data.path(), SETTINGS).await;
    let now = crate::span_metrics::now_ns(&program).await;
    let (status, answer) = program.call("POST", "/v1/traces", &spans(now)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let log = json!({ "timeUnixNano": now.to_string(), "traceId": TRACE, "spanId": "0000000000000002",
                      "body": { "stringValue": "pay does not answer" } });
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] });
    let logs = json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": [log] }] }] });
    assert_eq!(program.call("POST", "/v1/logs", &logs).await.0, StatusCode::OK);
    let check = async |program: &Program| {
        let drawn = program.run(&["trace", TRACE, "--width", "100"]).await;
        assert!(drawn.contains("600 ms · 8 spans · 1 service · 1 failed"), "{drawn}");
        assert!(drawn.contains("called 6 times by GET /cart"), "{drawn}");
        assert!(drawn.contains("gave up after 500 ms, at a deadline of 500 ms"), "{drawn}");
        assert!(drawn.contains("shop POST ≡1") && drawn.contains("logs 1 · exemplars 0"), "{drawn}");
        assert!(!drawn.contains('\u{1b}'), "no terminal, no colours");
        let json: Value = serde_json::from_str(&program.run(&["trace", TRACE, "--format", "json"]).await).unwrap();
        assert_eq!(json["exemplars"]["reasons"][0]["reason"], "none_sent", "{json}");
        let critical: i64 = of(&json, "critical_ns").iter().map(|ns| ns.as_i64().unwrap()).sum();
        assert_eq!(critical, json["duration_ns"].as_i64().unwrap());
    };
    check(&program).await;
    let (status, missing) = program.call("GET", "/api/v1/traces/1", &Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{missing}");
    program.end().await;
    // From the log and from parts it is the same.
    let again = [SETTINGS, &[("CAUSEWAY_MEMTABLE_BYTES_MAX", "1KiB")]].concat();
    let program = Program::start(data.path(), &again).await;
    check(&program).await;
    program.end().await;
}
