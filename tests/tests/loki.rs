//! Are logs that came by OTLP found in LogQL, while they are in memory and once they are in parts?

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::span_metrics::now_ns;

async fn ask(program: &Program, path: &str) -> Value {
    let (status, answer) = program.call("GET", &format!("/loki/api/v1/{path}"), &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer["data"].clone()
}

#[tokio::test]
async fn logs_are_asked_in_logql() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("CAUSEWAY_SELF_TELEMETRY", "false")];
    let program = Program::start(data.path(), &settings).await;
    let now = i64::try_from(now_ns(&program).await).unwrap();
    let record = |number: i64| {
        let (level, body) = if number % 3 == 0 { (17, "failed") } else { (9, "done") };
        json!({ "timeUnixNano": (now - number * 1_000_000_000).to_string(), "severityNumber": level,
                "body": { "stringValue": format!(r#"{{"msg":"{body}","n":{number},"ms":{}}}"#, number * 10) },
                "attributes": [{ "key": "http.route", "value": { "stringValue": "/pay" } }] })
    };
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "payment" } }] });
    let records: Vec<Value> = (0..30).map(record).collect();
    let logs = json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": records }] }] });
    let (status, answer) = program.call("POST", "/v1/logs", &logs).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let check = async |program: &Program| {
        let failed = "query_range?query=%7Bservice_name%3D%22payment%22%7D%20%7C%3D%20%22failed%22%20%7C%20json%20%7C%20n%20%3E%2020&limit=10";
        let found = ask(program, failed).await;
        let lines: Vec<&str> =
            found["result"].as_array().unwrap().iter().map(|stream| stream["stream"]["n"].as_str().unwrap()).collect();
        assert_eq!(lines, ["21", "24", "27"], "{found}");
        assert_eq!(found["result"][0]["stream"]["detected_level"], "error");
        let counted =
            "query?query=sum%20by%20(detected_level)%20(count_over_time(%7Bservice_name%3D%22payment%22%7D%5B5m%5D))";
        let counted = ask(program, counted).await;
        let mut values: Vec<(&str, &str)> = counted["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|series| (series["metric"]["detected_level"].as_str().unwrap(), series["value"][1].as_str().unwrap()))
            .collect();
        values.sort_unstable();
        assert_eq!(values, [("error", "10"), ("info", "20")], "{counted}");
        let slow = "query?query=max_over_time(%7Bservice_name%3D%22payment%22%7D%20%7C%20json%20%7C%20unwrap%20ms%20%5B5m%5D)%20by%20(http_route)";
        assert_eq!(ask(program, slow).await["result"][0]["value"][1], "290");
        assert_eq!(ask(program, "label/service_name/values").await, json!(["payment"]));
    };
    check(&program).await;
    program.end().await;
    // From the log and from parts it is the same.
    let again = [("CAUSEWAY_SELF_TELEMETRY", "false"), ("CAUSEWAY_MEMTABLE_BYTES_MAX", "1KiB")];
    let program = Program::start(data.path(), &again).await;
    check(&program).await;
    program.end().await;
}
