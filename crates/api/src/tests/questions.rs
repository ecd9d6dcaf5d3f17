//! Are SQL's answers told in every form, and its failures too?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::ipc::reader::StreamReader;
use causeway_model::{Error, ErrorKind, Result};
use causeway_query::{Answer, Coverage, Parameter, Report};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::doubles::{Alive, House, Reply, call, house_of, limits, patience, raw};
use crate::serve::Patience;

fn batch(numbers: &[i64]) -> RecordBatch {
    let names: Vec<String> = numbers.iter().map(|n| format!("n,{n}")).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("n", Arc::new(Int64Array::from(numbers.to_vec()))), ("na\"me", Arc::new(StringArray::from(names)))];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn answer_of(batches: Vec<Result<RecordBatch>>) -> Answer {
    let report = Arc::new(Report::default());
    Report::add(&report.rows_scanned, 42);
    Answer { schema: batch(&[]).schema(), rows: futures::stream::iter(batches).boxed(), report }
}

async fn asking(ask: impl Fn(causeway_query::Question) -> Result<Answer> + Send + Sync + 'static) -> House {
    house_of(Box::new(ask), limits(), Patience::default(), 100).await
}

async fn post(house: &House, accept: Option<&str>, body: &str) -> Reply {
    let headers: Vec<(&str, &str)> = accept.map(|accept| ("accept", accept)).into_iter().collect();
    call(&house.address, "POST", "/api/v1/sql", &headers, body.as_bytes()).await
}

const QUESTION: &str = r#"{"query":"SELECT 1"}"#;

#[tokio::test]
async fn an_answer_comes_in_the_form_that_was_asked_for() {
    let house = asking(|_| Ok(answer_of(vec![Ok(batch(&[1, 2])), Ok(batch(&[])), Ok(batch(&[3]))]))).await;
    for accept in [None, Some("*/*"), Some("text/html, application/json;q=0.9")] {
        let reply = post(&house, accept, QUESTION).await;
        let json = reply.json();
        assert_eq!(
            json["columns"],
            serde_json::json!([{"name": "n", "type": "int64"}, {"name": "na\"me", "type": "string"}])
        );
        assert_eq!(json["rows"], serde_json::json!([[1, "n,1"], [2, "n,2"], [3, "n,3"]]));
        assert_eq!(
            (json["stats"]["rows_scanned"].clone(), json["stats"]["partial"].clone()),
            (42.into(), false.into())
        );
    }
    let reply = post(&house, Some("application/x-ndjson"), QUESTION).await;
    assert_eq!(
        reply.body,
        b"{\"n\":1,\"na\\\"me\":\"n,1\"}\n{\"n\":2,\"na\\\"me\":\"n,2\"}\n{\"n\":3,\"na\\\"me\":\"n,3\"}\n"
    );
    let reply = post(&house, Some("text/csv"), QUESTION).await;
    assert_eq!(reply.body, b"n,\"na\"\"me\"\r\n1,\"n,1\"\r\n2,\"n,2\"\r\n3,\"n,3\"\r\n");
    let reply = post(&house, Some("application/vnd.apache.arrow.stream"), QUESTION).await;
    let rows: usize = StreamReader::try_new(&*reply.body, None).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 3);
    for (accept, content_type) in [
        ("application/json;q=0.1, text/csv", "text/csv"),
        ("text/csv;q=0.5, application/*;q=0.6, application/json;q=0", "application/x-ndjson"),
        ("*/*;q=0.1, Text/*", "text/csv"),
        ("*/*, application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        ("text/csv, application/x-ndjson", "text/csv"),
        ("application/x-ndjson ; Q=0.9 , text/csv ; q=0.899", "application/x-ndjson"),
    ] {
        let reply = post(&house, Some(accept), QUESTION).await;
        assert!(reply.head.contains(&format!("content-type: {content_type}")), "{accept}: {}", reply.head);
    }
    for accept in ["image/png", "application/json;q=0", "text/html, text/csv;q=0"] {
        let reply = post(&house, Some(accept), QUESTION).await;
        assert_eq!((reply.status, reply.json()["error"]["kind"].clone()), (415, "unsupported".into()), "{accept}");
    }
}

#[tokio::test]
async fn an_answer_without_rows_still_has_its_form() {
    let house = asking(|_| Ok(answer_of(vec![]))).await;
    assert_eq!(post(&house, None, QUESTION).await.json()["rows"], serde_json::json!([]));
    assert_eq!(post(&house, Some("text/csv"), QUESTION).await.body, b"n,\"na\"\"me\"\r\n");
    let reply = post(&house, Some("application/vnd.apache.arrow.stream"), QUESTION).await;
    assert_eq!(StreamReader::try_new(&*reply.body, None).unwrap().count(), 0);
}

#[tokio::test]
async fn parameters_and_limits_reach_the_answerer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let asked = seen.clone();
    let house = asking(move |question| {
        asked.lock().push(question);
        Ok(answer_of(vec![]))
    })
    .await;
    let body =
        r#"{"query":"q","params":["a",1,1.5,true,null],"timeout_ms":7,"rows_max":8,"bytes_max":9,"partial":true}"#;
    assert_eq!(post(&house, None, body).await.status, 200);
    let url = "/api/v1/sql?query=q&params=%5B%22a%22%2C1%2C1.5%2Ctrue%2Cnull%5D&timeout_ms=7&rows_max=8&bytes_max=9&partial=true";
    assert_eq!(call(&house.address, "GET", url, &[], b"").await.status, 200);
    for question in seen.lock().drain(..) {
        assert_eq!(question.sql, "q");
        let expected = [
            Parameter::Text("a".into()),
            Parameter::Int(1),
            Parameter::Float(1.5),
            Parameter::Bool(true),
            Parameter::Null,
        ];
        assert_eq!(question.parameters, expected);
        let limits = question.limits;
        assert_eq!((limits.timeout.as_millis(), limits.rows_max, limits.bytes_max, limits.partial), (7, 8, 9, true));
    }
    let wrong = [
        "",
        "{",
        "[]",
        "{}",
        r#"{"query":1}"#,
        r#"{"query":"q","quary":1}"#,
        r#"{"query":"q","params":[[1]]}"#,
        r#"{"query":"q","params":[18446744073709551615]}"#,
        r#"{"query":"q","timeout_ms":0}"#,
        r#"{"query":"q","timeout_ms":3600001}"#,
    ];
    for body in wrong {
        let reply = post(&house, None, body).await;
        assert_eq!((reply.status, reply.json()["error"]["kind"].clone()), (400, "invalid".into()), "{body}");
    }
    for url in
        ["/api/v1/sql", "/api/v1/sql?query=q&params=1", "/api/v1/sql?query=q&rows_max=x", "/api/v1/sql?query=q&x=1"]
    {
        assert_eq!(call(&house.address, "GET", url, &[], b"").await.status, 400, "{url}");
    }
    assert_eq!(call(&house.address, "PUT", "/api/v1/sql", &[], b"").await.status, 405);
    assert_eq!(post(&house, None, &format!("{{\"query\":\"{}\"}}", "x".repeat(3 << 20))).await.status, 413);
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn each_kind_of_failure_has_its_status() {
    let cases = [
        (ErrorKind::Invalid, 400, "invalid"),
        (ErrorKind::NotFound, 404, "not_found"),
        (ErrorKind::Overloaded { retry_after: std::time::Duration::from_secs(1) }, 429, "overloaded"),
        (ErrorKind::Unavailable, 503, "unavailable"),
        (ErrorKind::Timeout, 504, "timeout"),
        (ErrorKind::LimitExceeded, 422, "limit_exceeded"),
        (ErrorKind::Corrupt, 500, "corrupt"),
        (ErrorKind::Internal, 500, "internal"),
    ];
    for (kind, status, word) in cases {
        for late in [false, true] {
            let house = asking(move |_| {
                let error = Error::new(kind, "why");
                if late { Ok(answer_of(vec![Err(error)])) } else { Err(error) }
            })
            .await;
            let reply = post(&house, Some("text/csv"), QUESTION).await;
            assert_eq!(
                (reply.status, reply.json()),
                (status, serde_json::json!({"error": {"kind": word, "message": "why"}}))
            );
            assert_eq!(reply.head.contains("retry-after"), status == 429 || status == 503);
        }
    }
}

#[tokio::test]
async fn a_failure_after_the_first_rows_is_still_told() {
    let house = asking(|_| {
        let answer = answer_of(vec![Ok(batch(&[1])), Err(Error::new(ErrorKind::Timeout, "too – late"))]);
        let _ = answer.report.coverage.set(Coverage { limit: ErrorKind::Timeout, fraction: 0.5 });
        Ok(answer)
    })
    .await;
    let json = post(&house, None, QUESTION).await.json();
    assert_eq!(
        (json["rows"].clone(), json["error"]["kind"].clone()),
        (serde_json::json!([[1, "n,1"]]), "timeout".into())
    );
    assert_eq!(json["stats"]["coverage"], serde_json::json!({"limit": "timeout", "fraction": 0.5}));
    let lines = String::from_utf8(post(&house, Some("application/x-ndjson"), QUESTION).await.body).unwrap();
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((lines.lines().count(), last["error"]["message"].clone()), (2, "too – late".into()));
    let head = "POST /api/v1/sql HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 20\r\n";
    let csv = raw(&house.address, format!("{head}accept: text/csv\r\n\r\n{QUESTION}").as_bytes()).await;
    assert!(!csv.ends_with(b"0\r\n\r\n"), "a broken answer must not look whole");
    let json = raw(&house.address, format!("{head}te: trailers\r\n\r\n{QUESTION}").as_bytes()).await;
    let text = String::from_utf8(json).unwrap();
    assert!(text.contains("\r\ncauseway-error: {\"kind\":\"timeout\",\"message\":\"too \\u2013 late\"}\r\n"), "{text}");
    assert!(text.contains("\r\ncauseway-stats: {"), "{text}");
}

/// A house whose answers never end, and what tells how many are being worked out, and when one has ended.
async fn endless(patience: Patience) -> (House, Arc<AtomicU64>, Arc<tokio::sync::Notify>) {
    let (running, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (count, bell) = (running.clone(), ended.clone());
    let ask = move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(count.clone(), bell.clone());
        let rows = futures::stream::unfold(alive, |alive| async move { Some((Ok(batch(&[1; 1000])), alive)) });
        Ok(Answer { schema: batch(&[]).schema(), rows: rows.boxed(), report: Arc::new(Report::default()) })
    };
    (house_of(Box::new(ask), limits(), patience, 100).await, running, ended)
}

async fn begin(house: &House) -> TcpStream {
    let mut client = TcpStream::connect(&house.address).await.unwrap();
    let request = format!("POST /api/v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-length: 20\r\n\r\n{QUESTION}");
    client.write_all(request.as_bytes()).await.unwrap();
    client.read_exact(&mut [0; 4096]).await.unwrap();
    client
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_work() {
    let (house, running, ended) = endless(Patience::default()).await;
    let client = begin(&house).await;
    assert_eq!(running.load(Ordering::SeqCst), 1);
    drop(client);
    ended.notified().await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_ends_the_work() {
    let (house, running, ended) = endless(patience()).await;
    let _client = begin(&house).await;
    ended.notified().await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
}
