//! Do Grafana's data sources of Loki, Tempo and Jaeger get what they read, over logs and traces that came by OTLP? Their requests, in the order of their screens,
//! as they stand in tests/corpus/grafana; tests/corpus/grafana/loki.txt says how these are written.

use std::collections::HashMap;

use causeway_tests::Program;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::prometheus::form;
use crate::span_metrics::now_ns;

const SCENARIOS: [(&str, &str); 3] = [
    ("loki", include_str!("../corpus/grafana/loki.txt")),
    ("tempo", include_str!("../corpus/grafana/tempo.txt")),
    ("jaeger", include_str!("../corpus/grafana/jaeger.txt")),
];

/// One request and what its answer must say.
#[derive(Default)]
struct Step<'a> {
    line: usize,
    path: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    headers: Vec<(&'a str, &'a str)>,
    expected: Vec<&'a str>,
}

fn steps(text: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = line.strip_prefix("GET ") {
            steps.push(Step { line: number + 1, path, ..Step::default() });
            continue;
        }
        let Some((mark, said)) = line.split_once(' ').filter(|(mark, _)| ["?", ">", "<"].contains(mark)) else {
            assert!(line.is_empty() || line.starts_with('#'), "line {}: {line:?}", number + 1);
            continue;
        };
        let step = steps.last_mut().unwrap();
        let pair = || said.split_once(": ").unwrap();
        match mark {
            "?" => step.parameters.push(pair()),
            ">" => step.headers.push(pair()),
            _ => step.expected.push(said),
        }
    }
    steps
}

/// A text with each `$name` replaced by what it stands for.
fn filled(text: &str, known: &HashMap<String, String>) -> String {
    let mut names: Vec<&String> = known.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.into_iter().fold(text.to_owned(), |text, name| text.replace(&format!("${name}"), &known[name]))
}

/// What a pointer finds: one value, or with `*` in it all, sorted by their text.
fn found(value: &Value, pointer: &str) -> Value {
    if !pointer.contains('*') {
        return value.pointer(pointer).cloned().unwrap_or(Value::Null);
    }
    let mut found = vec![value.clone()];
    for part in pointer.split('/').skip(1) {
        let next = |value: Value| -> Vec<Value> {
            match (part, value) {
                ("*", Value::Array(items)) => items,
                ("*", Value::Object(members)) => members.into_iter().map(|(_, member)| member).collect(),
                (_, value) => value.pointer(&format!("/{part}")).cloned().into_iter().collect(),
            }
        };
        found = found.into_iter().flat_map(next).collect();
    }
    found.sort_by_key(ToString::to_string);
    Value::from(found)
}

struct Answer {
    status: StatusCode,
    content_type: String,
    body: Vec<u8>,
}

impl Answer {
    fn shown(&self) -> String {
        format!("{} {} {}", self.status, self.content_type, String::from_utf8_lossy(&self.body))
    }

    /// Fails where it does not say what was expected; keeps what is to be known.
    fn check(&self, expected: &str, known: &mut HashMap<String, String>, place: &str) {
        let because = || format!("{place}: {expected}: {}", self.shown());
        let (first, rest) = expected.split_once(' ').unwrap();
        match first {
            "status" => assert_eq!(self.status.as_u16().to_string(), rest, "{}", because()),
            "type" => assert_eq!(self.content_type, rest, "{}", because()),
            "body" => assert_eq!(String::from_utf8_lossy(&self.body), rest, "{}", because()),
            "spans" => assert_eq!(spans_of(&self.body).to_string(), rest, "{}", because()),
            pointer => {
                let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", because()));
                let value = found(&body, pointer);
                let (operator, said) = rest.split_once(' ').unwrap();
                let wanted = || serde_json::from_str::<Value>(said).unwrap_or_else(|_| panic!("{place}: {expected}"));
                match operator {
                    "=" => assert_eq!(value, wanted(), "{}", because()),
                    "~" => assert!(value.as_array().is_some_and(|all| all.contains(&wanted())), "{}", because()),
                    "#" => assert_eq!(json!(value.as_array().map(Vec::len)), wanted(), "{}", because()),
                    "as" => {
                        let text = value.as_str().unwrap_or_else(|| panic!("{}", because()));
                        known.insert(said.to_owned(), text.to_owned());
                    }
                    _ => panic!("{place}: {expected}"),
                }
            }
        }
    }
}

/// `TraceByIDResponse`, whose trace has the bytes of `TracesData`.
#[derive(Clone, PartialEq, Message)]
struct TraceById {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
}

fn spans_of(body: &[u8]) -> usize {
    let trace = TraceById::decode(body).unwrap().trace.unwrap();
    trace.resource_spans.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum()
}

async fn asked(program: &Program, step: &Step<'_>, known: &HashMap<String, String>) -> Answer {
    let parameters: Vec<(&str, String)> =
        step.parameters.iter().map(|(name, value)| (*name, filled(value, known))).collect();
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let url = format!("http://{}{}?{}", program.listen, filled(step.path, known), form(&parameters));
    let request =
        step.headers.iter().fold(program.client.get(url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    let content_type = answer.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
    Answer {
        status: answer.status(),
        content_type: content_type.unwrap_or_default(),
        body: answer.bytes().await.unwrap().to_vec(),
    }
}

async fn play(program: &Program, name: &str, text: &str, mut known: HashMap<String, String>) {
    for step in steps(text) {
        let place = format!("{name}.txt:{}", step.line);
        let answer = asked(program, &step, &known).await;
        if !step.expected.iter().any(|expected| expected.starts_with("status ")) {
            assert_eq!(answer.status, StatusCode::OK, "{place}: {}", answer.shown());
        }
        for expected in &step.expected {
            answer.check(&filled(expected, &known), &mut known, &place);
        }
    }
}

fn resource(service: &str) -> Value {
    let attribute = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    json!({ "attributes": [attribute("service.name", service), attribute("k8s.namespace.name", "shop")] })
}

/// A checkout that calls payment, which writes a line; each fifth fails. They lie two seconds apart, the first is the newest.
fn checkout(number: u64, now: u64) -> (Value, Value) {
    let (trace, end, failed) = (format!("{:032x}", number + 1), now - number * 2_000_000_000, number.is_multiple_of(5));
    let attribute = |key: &str, value: Value| json!({ "key": key, "value": value });
    let span = |id: u64, parent: &str, name: &str, milliseconds: u64| {
        let status = if failed { 500 } else { 200 };
        let attributes = json!([
            attribute("http.route", json!({ "stringValue": format!("/{name}") })),
            attribute("http.response.status_code", json!({ "intValue": status.to_string() })),
            attribute("k/v", json!({ "stringValue": "x" }))
        ]);
        let exception = json!({ "timeUnixNano": end.to_string(), "name": "exception",
                                "attributes": [attribute("exception.type", json!({ "stringValue": "Declined" }))] });
        json!({ "traceId": trace, "spanId": format!("{id:016x}"), "parentSpanId": parent, "name": name, "kind": 2, "flags": 257,
                "startTimeUnixNano": (end - milliseconds * 1_000_000).to_string(), "endTimeUnixNano": end.to_string(),
                "status": { "code": if failed { 2 } else { 0 } }, "attributes": attributes,
                "events": if failed { json!([exception]) } else { json!([]) } })
    };
    let of = |service: &str, span: Value| json!({ "resource": resource(service), "scopeSpans": [{ "spans": [span] }] });
    let spans = json!({ "resourceSpans": [of("checkout", span(1, "", "POST /checkout", 100 + number)),
                                          of("payment", span(2, "0000000000000001", "POST /pay", 50 + number))] });
    let (severity, msg) = if failed { (17, "failed") } else { (9, "paid") };
    let line = format!(r#"{{"msg":"{msg}","order":"o-{number}","ms":{}}}"#, number * 10);
    let record = json!({ "timeUnixNano": end.to_string(), "severityNumber": severity, "traceId": trace,
                         "spanId": "0000000000000002", "body": { "stringValue": line } });
    let logs =
        json!({ "resourceLogs": [{ "resource": resource("payment"), "scopeLogs": [{ "logRecords": [record] }] }] });
    (spans, logs)
}

#[tokio::test]
async fn grafana_reads_what_it_asks_for() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("CAUSEWAY_SELF_TELEMETRY", "false")];
    let program = Program::start(data.path(), &settings).await;
    let now = now_ns(&program).await;
    for number in 0..10 {
        let (spans, logs) = checkout(number, now);
        for (path, body) in [("/v1/traces", spans), ("/v1/logs", logs)] {
            let (status, answer) = program.call("POST", path, &body).await;
            assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        }
    }
    // An hour and the minute after it, so that one step of a query holds all of it.
    let (start, end) = (now / 1_000_000_000 - 3_600, now / 1_000_000_000 + 60);
    let known: HashMap<String, String> = [("s", ""), ("ms", "000"), ("us", "000000"), ("ns", "000000000")]
        .into_iter()
        .flat_map(|(unit, zeros)| {
            [(format!("start_{unit}"), format!("{start}{zeros}")), (format!("end_{unit}"), format!("{end}{zeros}"))]
        })
        .collect();
    for (name, text) in SCENARIOS {
        play(&program, name, text, known.clone()).await;
    }
    program.end().await;
    // From the log and from parts it is the same.
    let program = Program::start(data.path(), &[settings[0], ("CAUSEWAY_MEMTABLE_BYTES_MAX", "1KiB")]).await;
    for (name, text) in SCENARIOS {
        play(&program, name, text, known.clone()).await;
    }
    program.end().await;
}
