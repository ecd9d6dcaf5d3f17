//! Does OTLP over HTTP answer with the specification's statuses, and keep exactly what it says it kept?

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use causeway_model::{Error, ErrorKind, Signal};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::doubles::{House, Reply, call, house, house_of, limits, logs, one_good_span_of_two, raw};
use crate::otlp::rpc::{ExportResponse, RetryInfo, Status};
use crate::serve::Patience;
use crate::{DeskLimits, SeriesLimitOptions, SeriesLimits};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

type Headers<'a> = &'a [(&'a str, &'a str)];

async fn send(house: &House, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    call(&house.address, "POST", path, headers, body).await
}

fn status_of(reply: &Reply) -> Status {
    assert!(reply.head.contains("content-type: application/x-protobuf"), "{}", reply.head);
    Status::decode(&*reply.body).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn records_are_kept_however_they_are_wrapped() {
    let house = house().await;
    let body = logs(3);
    let (gzipped, zstd) = (gzip(&body), zstd::encode_all(&*body, 1).unwrap());
    let large = gzip(&logs(20_000));
    let json = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a"}}]}]}]}"#;
    let cases: [(Headers<'_>, &[u8], u64); 6] = [
        (&[PROTOBUF], &body, 3),
        (&[("content-type", "Application/X-Protobuf; v=1"), ("content-encoding", "identity")], &body, 3),
        (&[PROTOBUF, ("content-encoding", "gzip"), ("user-agent", "Thing/1.2 (linux)")], &gzipped, 3),
        (&[PROTOBUF, ("content-encoding", "zstd")], &zstd, 3),
        (&[PROTOBUF, ("content-encoding", "gzip")], &large, 20_000),
        (&[JSON], json, 1),
    ];
    for (headers, body, received) in cases {
        let reply = send(&house, "/v1/logs", headers, body).await;
        assert_eq!(reply.status, 200, "{headers:?}");
        let delivery = house.cellar.kept.lock().pop().unwrap();
        let [entry] = &delivery.ledger[..] else { panic!("one entry") };
        assert_eq!((entry.signal, entry.received, entry.stored), (Signal::Logs, received, received));
        let expected: &[u8] = if headers[0] == JSON { b"{}" } else { b"" };
        assert_eq!(reply.body, expected, "success says nothing");
        let client = if headers.len() == 3 { "Thing/1.2" } else { "unknown" };
        assert_eq!(delivery.sender, format!("otlp-http {client} 127.0.0.1"));
    }
    assert_eq!(send(&house, "/v1/logs", &[PROTOBUF], b"").await.status, 200, "an empty request is a request");
    let reply = send(&house, "/v1/logs", &[JSON], b"").await;
    assert_eq!((reply.status, reply.body), (200, b"{}".to_vec()), "in JSON as well");
    assert!(house.cellar.kept.lock().is_empty(), "and nothing to keep");
}

#[tokio::test]
async fn a_broken_record_is_told_of_and_its_neighbour_kept() {
    let house = house().await;
    let reply = send(&house, "/v1/traces", &[PROTOBUF], &one_good_span_of_two()).await;
    assert_eq!(reply.status, 200);
    let partial = ExportResponse::decode(&*reply.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected, 1);
    assert!(!partial.error_message.is_empty());
    let delivery = house.cellar.kept.lock().pop().unwrap();
    let [entry] = &delivery.ledger[..] else { panic!("one entry") };
    let dropped: u64 = entry.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!((entry.signal, entry.received, entry.stored, dropped), (Signal::Spans, 2, 1, 1));
    let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"no ids"}]}]}]}"#;
    let reply = send(&house, "/v1/traces", &[JSON], json).await;
    assert_eq!(reply.json()["partialSuccess"]["rejectedSpans"], "1");
}

#[tokio::test]
async fn samples_of_series_beyond_the_limit_are_a_partial_success() {
    let series = SeriesLimitOptions { per_sender_max: 2, ..SeriesLimitOptions::default() };
    let limits = DeskLimits { series: Arc::new(SeriesLimits::new(series)), ..limits() };
    let house = house_of(Box::new(|_| Err(Error::invalid("none"))), limits, Patience::default(), 100).await;
    let point = |user: u32| {
        format!(r#"{{"timeUnixNano":"1","asInt":"1","attributes":[{{"key":"user","value":{{"intValue":"{user}"}}}}]}}"#)
    };
    let points = |users: std::ops::Range<u32>| users.map(point).collect::<Vec<String>>().join(",");
    let request = |users| {
        let metric = format!(r#"{{"name":"m","gauge":{{"dataPoints":[{}]}}}}"#, points(users));
        format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#)
    };
    let reply = send(&house, "/v1/metrics", &[JSON], request(0..5).as_bytes()).await;
    let partial = reply.json()["partialSuccess"].clone();
    assert_eq!((reply.status, partial["rejectedDataPoints"].as_str()), (200, Some("3")), "{partial}");
    assert!(partial["errorMessage"].as_str().unwrap().contains("series-per-sender-max"), "{partial}");
    let delivery = house.cellar.kept.lock().pop().unwrap();
    assert_eq!(delivery.ledger[0].dropped, [("series_limit_sender".to_owned(), 3)]);
    let reply = send(&house, "/v1/metrics", &[JSON], request(0..2).as_bytes()).await;
    assert_eq!((reply.status, reply.body), (200, b"{}".to_vec()), "known series go on");
}

#[tokio::test]
async fn what_must_not_be_repeated_has_a_final_status() {
    let house = house().await;
    let body = logs(1);
    let bomb = gzip(&vec![0; 8 << 20]);
    let mut broken = gzip(&body);
    broken.truncate(broken.len() - 6);
    let cases: [(Headers<'_>, &[u8], u16, i32); 6] = [
        (&[PROTOBUF], &[0xff; 20], 400, 3),
        (&[PROTOBUF, ("content-encoding", "gzip")], &body, 400, 3),
        (&[PROTOBUF, ("content-encoding", "gzip")], &broken, 400, 3),
        (&[PROTOBUF, ("content-encoding", "gzip")], &bomb, 413, 8),
        (&[PROTOBUF, ("content-encoding", "br")], &body, 415, 12),
        (&[PROTOBUF], &vec![0; (1 << 20) + 1], 413, 8),
    ];
    for (headers, body, http, code) in cases {
        let reply = send(&house, "/v1/logs", headers, body).await;
        let status = status_of(&reply);
        assert_eq!((reply.status, status.code), (http, code), "{headers:?}: {}", status.message);
        assert!(status.details.is_empty() && !reply.head.contains("retry-after"), "{}", reply.head);
        assert!(!status.message.is_empty());
    }
    let reply = send(&house, "/v1/logs", &[JSON], b"{").await;
    assert_eq!((reply.status, reply.json()["code"].clone()), (400, 3.into()));
    for headers in [&[("content-type", "text/plain")][..], &[]] {
        let reply = send(&house, "/v1/logs", headers, &body).await;
        assert_eq!((reply.status, reply.json()["code"].clone()), (415, 12.into()));
    }
    let reply = call(&house.address, "GET", "/v1/logs", &[PROTOBUF], b"").await;
    assert_eq!((reply.status, status_of(&reply).code), (405, 12));
    assert!(reply.head.contains("allow: post"));
    assert_eq!(send(&house, "/v1/profiles", &[PROTOBUF], b"").await.status, 404);
    assert!(house.cellar.kept.lock().is_empty());
    assert_eq!(house.desk.intake.metrics_bytes(), 0, "nothing stays charged");
}

#[tokio::test]
async fn pressure_and_a_full_disk_ask_to_repeat_later() {
    let house = house().await;
    let retry_after = Duration::from_millis(1500);
    for (kind, http, code, seconds) in
        [(ErrorKind::Overloaded { retry_after }, 429, 8, "2"), (ErrorKind::Unavailable, 503, 14, "5")]
    {
        *house.cellar.fail.lock() = Some(kind);
        let reply = send(&house, "/v1/logs", &[PROTOBUF], &logs(1)).await;
        let status = status_of(&reply);
        assert_eq!((reply.status, status.code), (http, code));
        assert!(reply.head.contains(&format!("retry-after: {seconds}")), "{}", reply.head);
        let delay = RetryInfo::decode(&*status.details[0].value).unwrap().retry_delay.unwrap();
        assert!(delay.seconds >= 1);
        let json = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#;
        let reply = send(&house, "/v1/logs", &[JSON], json).await;
        assert_eq!((reply.status, reply.json()["code"].clone()), (http, code.into()));
        assert!(reply.json()["details"][0]["retryDelay"].as_str().unwrap().ends_with('s'));
    }
    *house.cellar.fail.lock() = Some(ErrorKind::Internal);
    assert_eq!(send(&house, "/v1/logs", &[PROTOBUF], &logs(1)).await.status, 500);
}

#[tokio::test]
async fn requests_beyond_the_bytes_in_flight_are_told_to_wait() {
    let house = house().await;
    let mut held = house.desk.intake.charge();
    held.raise_to(2 << 20).unwrap();
    let reply = send(&house, "/v1/logs", &[PROTOBUF], &logs(10)).await;
    assert_eq!((reply.status, status_of(&reply).details.len()), (429, 1));
    drop(held);
    assert_eq!(send(&house, "/v1/logs", &[PROTOBUF], &logs(10)).await.status, 200);
}

#[tokio::test]
async fn a_body_that_stands_still_or_lies_of_its_length_is_given_up() {
    let house = house().await;
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\n";
    let still = raw(&house.address, format!("{head}content-length: 10\r\n\r\nabc").as_bytes()).await;
    assert_eq!(Reply::parse(&still).status, 504);
    let huge = raw(&house.address, format!("{head}content-length: 1073741824\r\n\r\n").as_bytes()).await;
    assert_eq!(Reply::parse(&huge).status, 413);
    assert_eq!(house.desk.intake.metrics_bytes(), 0);
}

#[tokio::test]
async fn who_sends_far_too_much_still_reads_why_it_was_refused() {
    let house = house().await;
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
    let body = vec![b'x'; 64 << 20];
    for length in [format!("content-length: {}", body.len()), "transfer-encoding: chunked".to_owned()] {
        let mut stream = TcpStream::connect(&house.address).await.unwrap();
        stream.write_all(format!("{head}{length}\r\n\r\n").as_bytes()).await.unwrap();
        if length.starts_with("transfer") {
            stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await.unwrap();
        }
        // Like most senders it reads nothing before it has written everything.
        stream.write_all(&body).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{length}");
    }
    assert_eq!(house.desk.intake.metrics_bytes(), 0);
}

#[tokio::test]
async fn operators_see_health_and_numbers() {
    let house = house().await;
    let get = |path| call(&house.address, "GET", path, &[], b"");
    assert_eq!(get("/healthz").await.status, 200);
    assert_eq!(get("/readyz").await.status, 200);
    *house.cellar.degraded.lock() = vec!["logs: a damaged part".to_owned()];
    let reply = get("/readyz").await;
    assert_eq!((reply.status, reply.json()["ready"].clone()), (200, true.into()), "what is left is served");
    assert_eq!(reply.json()["degraded"][0], "logs: a damaged part");
    *house.cellar.problems.lock() = vec!["the disk is full".to_owned()];
    let reply = get("/readyz").await;
    assert_eq!((reply.status, reply.json()["problems"][0].clone()), (503, "the disk is full".into()));
    assert_eq!(get("/healthz").await.status, 200, "the process still runs");
    let metrics = get("/metrics").await;
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"));
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(
        text.contains("causeway_http_request_duration_seconds_count{route=\"/readyz\",code=\"503\"} 1\n"),
        "{text}"
    );
    assert_eq!(get("/api/v1/openapi.json").await.json()["openapi"], "3.1.0");
    assert!(String::from_utf8(get("/").await.body).unwrap().contains("/v1/logs"));
    let missing = get("/nowhere").await;
    assert_eq!((missing.status, missing.json()["error"]["kind"].clone()), (404, "not_found".into()));
}
