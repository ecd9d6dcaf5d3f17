//! Are logs found in LogQL and SQL that came by Loki's, Elasticsearch's or Splunk's API or as plain lines? From requests as
//! shippers write them, and from real clients: pino-loki and the bulk helper of Elastic's client.

use std::process::Command;
use std::time::Duration;

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::senders::{laid_out, present};
use crate::span_metrics::now_ns;

const SETTINGS: &[(&str, &str)] = &[("CAUSEWAY_SELF_TELEMETRY", "false")];
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Sends a body and says what came back.
async fn send(program: &Program, path: &str, content_type: &str, body: String) -> (StatusCode, String) {
    let request = program.client.post(format!("http://{}{path}", program.listen)).header("content-type", content_type);
    let answer = request.body(body).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// The streams that LogQL finds.
async fn streams(program: &Program, query: &str) -> Vec<Value> {
    let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (status, answer) =
        program.call("GET", &format!("/loki/api/v1/query_range?query={query}&limit=100"), &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["data"]["result"].as_array().unwrap().clone()
}

async fn push(program: &Program, now: u64, line: &str) {
    let metadata = json!({ "trace_id": TRACE, "pod": "p-1" });
    let push = json!({ "streams": [{
        "stream": { "job": "x", "app": "y" },
        "values": [[now.to_string(), line, metadata], [(now + 1).to_string(), "plain"]],
    }] });
    let answer = send(program, "/loki/api/v1/push", "application/json", push.to_string()).await;
    assert_eq!(answer, (StatusCode::NO_CONTENT, String::new()));
}

async fn bulk(program: &Program, now: u64) {
    let document = json!({ "@timestamp": now.to_string(), "log": { "level": "error" }, "message": "no route",
                           "service": { "name": "bulk" }, "trace": { "id": TRACE } });
    let body = format!("{{\"create\":{{\"_index\":\"logs-1\"}}}}\n{document}\n");
    let (status, answer) = send(program, "/elasticsearch/_bulk", "application/x-ndjson", body).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (status, &answer["errors"], &answer["items"][0]["create"]["status"]),
        (StatusCode::OK, &json!(false), &json!(201))
    );
}

async fn events(program: &Program, now: u64) {
    let event = |ms: u32| {
        json!({ "time": now as f64 / 1e9, "host": "h", "sourcetype": "st", "fields": { "service.name": "hec" },
                "event": { "level": "warn", "msg": "slow", "ms": ms } })
    };
    let both = format!("{}{}", event(700), event(800));
    let (status, answer) = send(program, "/services/collector", "application/json", both).await;
    assert_eq!((status, answer.as_str()), (StatusCode::OK, r#"{"code":0,"text":"Success"}"#));
}

async fn lines(program: &Program) {
    let body = "one\n{\"level\":60,\"msg\":\"two\",\"err\":{\"stack\":\"TypeError: x\\n at f\"}}\n".to_owned();
    let (status, answer) = send(program, "/api/v1/logs/lines?service.name=lines", "text/plain", body).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, answer), (StatusCode::OK, json!({ "received": 2, "stored": 2, "dropped": {} })));
}

async fn check(program: &Program, line: &str) {
    for query in [r#"{job="x"} |= "order""#, r#"{service_name="y"} | json | level="50""#, r#"{app="y"} | pod="p-1""#] {
        let found = streams(program, query).await;
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        assert_eq!(found[0]["values"][0][1], line, "{query}: the line comes back as it was sent");
        let stream = &found[0]["stream"];
        assert_eq!((&stream["detected_level"], &stream["trace_id"]), (&json!("error"), &json!(TRACE)), "{query}");
    }
    let bulk = streams(program, r#"{elasticsearch_index="logs-1"} | detected_level="error""#).await;
    assert_eq!((&bulk[0]["values"][0][1], &bulk[0]["stream"]["service_name"]), (&json!("no route"), &json!("bulk")));
    let hec = streams(program, r#"{host_name="h", com_splunk_sourcetype="st"} | ms > 500"#).await;
    assert_eq!(hec.len(), 2, "what stands beside a line tells it apart: {hec:?}");
    let rows = program
        .sql(
            "SELECT service_name, body, severity_number, attr('exception.type') AS exception FROM logs \
             WHERE service_name IN ('bulk', 'hec', 'lines', 'y') ORDER BY service_name, severity_number, body",
        )
        .await;
    let row = |service: &str, body: &str, severity: i64, exception: Option<&str>| -> Map<String, Value> {
        json!({ "service_name": service, "body": body, "severity_number": severity, "exception": exception })
            .as_object()
            .unwrap()
            .clone()
    };
    let expected = [
        row("bulk", "no route", 17, None),
        row("hec", "slow", 13, None),
        row("hec", "slow", 13, None),
        row("lines", "one", 0, None),
        row("lines", "two", 21, Some("TypeError")),
        row("y", "plain", 0, None),
        row("y", line, 17, None),
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn logs_of_every_protocol_are_found() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let program = Program::start(&data, SETTINGS).await;
    let now = now_ns(&program).await;
    let line = r#"{"level":50,  "msg":"order failed", "order":"o-1"}"#;
    push(&program, now, line).await;
    bulk(&program, now).await;
    events(&program, now).await;
    lines(&program).await;
    check(&program, line).await;
    let ledger = program
        .sql("SELECT CAST(sum(received) AS BIGINT) AS received, CAST(sum(stored) AS BIGINT) AS stored FROM ledger")
        .await;
    assert_eq!((&ledger[0]["received"], &ledger[0]["stored"]), (&json!(7), &json!(7)));
    program.end().await;
    let again = [SETTINGS[0], ("CAUSEWAY_MEMTABLE_BYTES_MAX", "1KiB")];
    let program = Program::start(&data, &again).await;
    check(&program, line).await;
    program.end().await;
}

#[tokio::test]
async fn clients_of_loki_and_elasticsearch_send_from_node() {
    if !present("node", "logs-node") || !present("npm", "logs-node") {
        return;
    }
    let folder = laid_out("logs-node");
    let data = tempfile::tempdir().unwrap();
    let program = Program::start(data.path(), SETTINGS).await;
    let mut sender = tokio::process::Command::from(Command::new("node"));
    sender.arg(folder.join("send.cjs")).arg(format!("http://{}", program.listen)).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), sender.output()).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), program.said());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut sent: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rows = program.sql("SELECT service_name, severity_number, hex(trace_id) AS trace_id, body FROM logs").await;
    // pino-loki sends the whole object as the line.
    let found = rows.into_iter().map(|mut row| {
        let body = row.remove("body").unwrap();
        let parsed: Option<Value> = serde_json::from_str(body.as_str().unwrap()).ok();
        row.insert("message".to_owned(), parsed.map_or(body, |line| line["msg"].clone()));
        Value::from(row)
    });
    let mut found: Vec<Value> = found.collect();
    for all in [&mut sent, &mut found] {
        all.sort_by_key(ToString::to_string);
    }
    assert_eq!(found, sent);
    program.end().await;
}
