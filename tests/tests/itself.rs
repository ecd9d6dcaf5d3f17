//! Does the program watch itself as any service does with the kit, and does its ledger hold for that, too?

use causeway_tests::{Program, log, logs_request};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Sends a request; its status, its `x-request-id` and what it said.
async fn answered(request: RequestBuilder) -> (StatusCode, String, String) {
    let answer = request.send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    (answer.status(), id, answer.text().await.unwrap())
}

/// Asks it in each of the ways that leave something behind, and in those that must not; the id of the request that took too long.
async fn visit(program: &Program) -> String {
    let request = |method: Method, path: &str| {
        let to = if path.starts_with("/v1/") { program.otlp_http } else { program.listen };
        let parent = format!("00-{TRACE}-{CALLER}-01");
        program.client.request(method, format!("http://{to}{path}")).header("traceparent", parent)
    };
    let export =
        |body: Vec<u8>| request(Method::POST, "/v1/logs").header("content-type", "application/x-protobuf").body(body);
    let question = || request(Method::POST, "/api/v1/sql").json(&json!({ "query": "SELECT 1" }));
    let (status, id, _) = answered(question().header("x-request-id", "asked-1")).await;
    assert_eq!((status, id.as_str()), (StatusCode::OK, "asked-1"));
    let (status, id, _) = answered(export(logs_request("elsewhere", vec![log(1, 1_760_000_000_000_000_000)]))).await;
    assert_eq!((status, id.len()), (StatusCode::OK, 32));
    assert_eq!(answered(export(b"no protobuf".to_vec())).await.0, StatusCode::BAD_REQUEST);
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(answered(request(Method::GET, probe)).await.0, StatusCode::OK);
    }
    let evaluation =
        request(Method::POST, "/ofrep/v1/evaluate/flags").json(&json!({ "context": { "targetingKey": "u" } }));
    assert_eq!(answered(evaluation).await.0, StatusCode::OK);
    let (_, _, metrics) = answered(request(Method::GET, "/metrics")).await;
    for name in [
        "causeway_http_request_duration_seconds_count{route=\"/v1/logs\",code=\"400\"} 1",
        "causeway_ledger_received_total",
        "causeway_self_telemetry_dropped_total 0",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    assert_eq!(answered(request(Method::GET, "/nowhere")).await.0, StatusCode::NOT_FOUND);
    let (status, id, said) = answered(question().header("x-request-timeout-ms", "0")).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["error"]["request_id"], id.as_str());
    id
}

#[tokio::test]
async fn each_request_leaves_its_trace_the_many_only_where_they_fail_and_the_ledger_holds() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(&data, &[]).await;
    let late = visit(&program).await;
    program.end().await;
    let program = Program::start(&data, &[("CAUSEWAY_SELF_TELEMETRY", "false")]).await;
    let spans = "SELECT name, attr_int('http.response.status_code') AS status, trace_id, parent_span_id, attr('request_id') AS id \
                 FROM spans WHERE service_name = 'causeway' AND kind = 2 ORDER BY time";
    let spans = program.sql(spans).await;
    let told: Vec<String> =
        spans.iter().map(|row| format!("{} {}", row["name"].as_str().unwrap(), row["status"])).collect();
    assert_eq!(told, ["POST /api/v1/sql 200", "POST /v1/logs 400", "GET 404", "POST /api/v1/sql 504"]);
    assert!(spans.iter().all(|row| row["trace_id"] == TRACE && row["parent_span_id"] == CALLER), "{spans:?}");
    assert_eq!((&spans[0]["id"], &spans[3]["id"]), (&json!("asked-1"), &json!(late)));
    let logs = "SELECT l.attr_id AS id FROM (SELECT attr('request_id') AS attr_id, trace_id, span_id FROM logs WHERE event_name = 'request.failed') l \
                JOIN spans s ON l.trace_id = s.trace_id AND l.span_id = s.span_id";
    let logs = program.sql(logs).await;
    assert_eq!((logs.len(), &logs[0]["id"]), (1, &json!(late)));
    // Metrics count what left no span.
    let counted = "SELECT CAST(sum(n) AS BIGINT) FROM (SELECT max(m.count) AS n FROM metric_samples m JOIN metric_series s ON m.series_id = s.series_id \
                   WHERE s.name = 'http.server.request.duration' AND attr(s, 'http.route') = '/v1/logs' GROUP BY m.series_id)";
    assert_eq!(program.number(counted).await, 2);
    for (signal, table) in [("spans", "spans"), ("logs", "logs"), ("metrics", "metric_samples")] {
        let ledger = |column: &str| {
            format!(
                "SELECT CAST(sum({column}) AS BIGINT) FROM ledger WHERE signal = '{signal}' AND sender = 'causeway-self'"
            )
        };
        let [received, stored] = [program.number(&ledger("received")).await, program.number(&ledger("stored")).await];
        let others = if table == "logs" { " WHERE service_name = 'causeway'" } else { "" };
        let rows = program.number(&format!("SELECT count(*) FROM {table}{others}")).await;
        assert!(received > 0 && received == stored && stored == rows, "{signal}: {received} {stored} {rows}");
    }
}
