//! Does an id lead to spans and logs that name it, whoever sent it how, and are spans told as they come?

use std::process::Stdio;
use std::time::Duration;

use causeway_tests::{Program, binary};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::{interval, timeout};

use crate::span_metrics::now_ns;

const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false"), ("CAUSEWAY_SPAN_METRICS", "false")];
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A command that does not follow by then never will.
const FOLLOWED_MAX: Duration = Duration::from_secs(30);

fn resource() -> Value {
    json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] })
}

async fn send(program: &Program, path: &str, body: Value) {
    let (status, answer) = program.call("POST", path, &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

/// A span that failed, with its request's id as a header.
async fn send_span(program: &Program, now: u64) {
    let header = json!({ "arrayValue": { "values": [{ "stringValue": "r-1" }] } });
    let span = json!({ "traceId": TRACE, "spanId": "b7ad6b7169203331", "name": "GET /cart", "kind": 2,
        "startTimeUnixNano": now.to_string(), "endTimeUnixNano": (now + 5_000_000).to_string(),
        "status": { "code": 2 }, "attributes": [{ "key": "http.request.header.x-request-id", "value": header }] });
    let spans = json!({ "resourceSpans": [{ "resource": resource(), "scopeSpans": [{ "spans": [span] }] }] });
    send(program, "/v1/traces", spans).await;
}

/// A log that tells its trace by an attribute, one that knows the request alone, and one that knows nothing.
async fn send_logs(program: &Program, now: u64) {
    let log = |key: &str, value: &str| {
        json!({ "timeUnixNano": now.to_string(), "severityNumber": 17, "body": { "stringValue": "it broke" },
                "attributes": [{ "key": key, "value": { "stringValue": value } }] })
    };
    let records = [log("otelTraceID", TRACE), log("request_id", "r-1"), log("other", "x")];
    let logs = json!({ "resourceLogs": [{ "resource": resource(), "scopeLogs": [{ "logRecords": records }] }] });
    send(program, "/v1/logs", logs).await;
}

async fn correlated(program: &Program, asked: &str) -> Value {
    let (status, told) = program.call("GET", &format!("/api/v1/correlate?{asked}"), &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    told
}

/// What, by what, how many, how many errors.
fn counts(told: &Value) -> Vec<Value> {
    let one = |pivot: &Value| json!([pivot["what"], pivot["by"], pivot["count"], pivot["errors"]]);
    told["pivots"].as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn an_id_leads_to_all_that_names_it() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(data.path(), SETTINGS).await;
    let now = now_ns(&program).await;
    send_span(&program, now).await;
    send_logs(&program, now).await;
    let by_trace =
        [json!(["spans", "trace_id", 1, 1]), json!(["logs", "trace_id", 1, 1]), json!(["exemplars", "trace_id", 0, 0])];
    let by_request = [json!(["spans", "request_id", 1, 1]), json!(["logs", "request_id", 1, 1])];
    let told = correlated(&program, &format!("trace_id={TRACE}")).await;
    assert_eq!((counts(&told), &told["request_ids"]), ([&by_trace[..], &by_request].concat(), &json!(["r-1"])));
    assert_eq!(told["pivots"][2]["reasons"][0]["reason"], "none_sent");
    let back = correlated(&program, "request_id=r-1").await;
    assert_eq!((counts(&back), &back["trace_ids"]), ([&by_request[..], &by_trace].concat(), &json!([TRACE])));
    for pivot in told["pivots"].as_array().unwrap().iter().filter(|pivot| pivot["count"] == 1) {
        assert_eq!(program.sql(pivot["sql"].as_str().unwrap()).await.len(), 1, "{pivot}");
        let asked = |path: &str, name: &str, query: &Value| {
            let query = reqwest::Url::parse_with_params("http://x", [(name, query.as_str().unwrap())]).unwrap();
            format!("{path}?{}", query.query().unwrap())
        };
        if pivot["logql"].is_string() {
            let path = asked("/loki/api/v1/query_range", "query", &pivot["logql"]);
            let (_, found) = program.call("GET", &path, &Value::Null).await;
            assert_eq!(found["data"]["result"][0]["values"].as_array().map(Vec::len), Some(1), "{path}: {found}");
        }
        if pivot["traceql"].is_string() {
            let path = asked("/tempo/api/search", "q", &pivot["traceql"]);
            let (_, found) = program.call("GET", &path, &Value::Null).await;
            assert_eq!(found["traces"][0]["traceID"], TRACE, "{path}: {found}");
        }
    }
    let found = program.run(&["find", &format!("00-{TRACE}-b7ad6b7169203331-01")]).await;
    assert!(found.contains(&format!("/traces/{TRACE}")) && found.contains("0 exemplars by trace_id"), "{found}");
    let found = program.run(&["find", "r-2"]).await;
    assert!(found.contains("nothing here names this request"), "{found}");
    let listed = program.run(&["traces", "shop"]).await;
    assert!(listed.contains("shop  GET /cart  1 spans  1 failed") && listed.contains(TRACE), "{listed}");
    program.end().await;
}

#[tokio::test]
async fn spans_are_followed_from_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(data.path(), SETTINGS).await;
    let url = format!("http://{}", program.listen);
    let query = "{ status = error } | select(span.http.request.header.x-request-id)";
    let mut command = Command::new(binary());
    command.args(["traces", "-f", query, "--url", &url, "--format", "json"]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let followed = async {
        let mut pauses = interval(Duration::from_millis(50));
        let url = format!("{url}/metrics");
        let metrics = async || program.client.get(&url).send().await.unwrap().text().await.unwrap();
        while !metrics().await.contains("causeway_tails{table=\"spans\"} 1") {
            pauses.tick().await;
        }
    };
    timeout(FOLLOWED_MAX, followed).await.expect("it follows");
    send_span(&program, now_ns(&program).await).await;
    let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(
        (&line["trace_id"], &line["name"], &line["status"]),
        (&json!(TRACE), &json!("GET /cart"), &json!("error"))
    );
    child.kill().await.unwrap();
    let output =
        Command::new(binary()).args(["traces", "-f", "{ } | count() > 1", "--url", &url]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("an aggregate of spans needs the whole trace"));
    program.end().await;
}
