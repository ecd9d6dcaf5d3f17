//! Can a sender bring it down, or its memory up? Each test states the bound that holds.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use causeway_tests::{Program, log, logs_request, span, spans_request, string};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::StatusCode;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::prometheus::form;

/// The sum of the named limits: 64 MiB of bodies in flight, 64 waiting for their sync, two memtables of 24, 160 for questions,
/// 60 at rest, and the allocator's slack.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// Longer than any of the server's own patience: with slow clients (10 s for a header, 30 s between bytes of a body) and with questions (120 s).
const PATIENCE: Duration = Duration::from_secs(150);

/// 2026-01-01.
const TIME: u64 = 1_767_225_600_000_000_000;

async fn start() -> (TempDir, Program) {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), &[]).await;
    (folder, program)
}

/// It still takes a record in and finds it, and its memory stayed within the bound.
async fn still_serves(program: &Program, id: i64) {
    still_keeps(program, id).await;
    let peak = program.peak_memory_bytes();
    assert!(peak < MEMORY_BYTES_MAX, "it held {} MiB", peak >> 20);
}

/// It still takes a record in and finds it.
async fn still_keeps(program: &Program, id: i64) {
    let response = program.send_logs(logs_request("witness", vec![log(id, TIME)])).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "it said:\n{}", program.said());
    let count = format!("SELECT count(*) AS n FROM logs WHERE service_name = 'witness' AND attr_int('test.id') = {id}");
    assert_eq!(program.number(&count).await, 1);
}

/// Reads until the other side closes or has nothing to say; what it said.
async fn heard(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server ends the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Opens connections in groups, so that the backlog of the listener is never the limit.
async fn connect(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(count);
    while open.len() < count {
        let group = (count - open.len()).min(100);
        let opening: Vec<_> = (0..group).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
        for stream in opening {
            open.push(stream.await.unwrap().unwrap());
        }
    }
    open
}

#[tokio::test]
async fn ten_thousand_connections_cost_little_and_keep_no_one_out() {
    // Both sides hold a descriptor each; the server inherits the limit.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let possible =
        limit.current.map_or(10_000, |descriptors| usize::try_from(descriptors).unwrap().saturating_sub(300));
    let wanted = possible.min(10_000);
    if wanted < 10_000 {
        let _ = writeln!(std::io::stderr(), "only {wanted} connections: this machine allows no more descriptors");
    }
    let (_folder, program) = start().await;
    let mut open = connect(program.otlp_http, wanted).await;
    for stream in open.iter_mut().step_by(2) {
        // It may already have been told to go.
        let _ = stream.write_all(b"POST /v1/logs HTTP/1.1\r\nhost: x\r\n").await;
    }
    still_serves(&program, 1).await;
    drop(open);
    still_serves(&program, 2).await;
}

#[tokio::test]
async fn a_slow_sender_is_let_go() {
    let (_folder, program) = start().await;
    let mut header = TcpStream::connect(program.otlp_http).await.unwrap();
    header.write_all(b"POST /v1/logs HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let mut body = TcpStream::connect(program.otlp_http).await.unwrap();
    let head = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000\r\n\r\n\x0a";
    body.write_all(head).await.unwrap();
    still_serves(&program, 1).await;
    let (header, body) = tokio::join!(heard(&mut header), heard(&mut body));
    assert!(!header.starts_with("HTTP/1.1 200"), "{header}");
    assert!(!body.starts_with("HTTP/1.1 200"), "{body}");
    still_serves(&program, 2).await;
}

/// `size` bytes of zeros, compressed.
fn bomb(size: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    let block = vec![0; 1 << 20];
    for _ in 0..size >> 20 {
        encoder.write_all(&block).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_bombs_are_refused() {
    let (_folder, program) = start().await;
    let bomb = bomb(1 << 30);
    assert!(bomb.len() < 4 << 20, "the bomb itself must be small: {}", bomb.len());
    let url = format!("http://{}/v1/logs", program.otlp_http);
    let throw = |body: Vec<u8>| {
        let request = program.client.post(&url).header("content-type", "application/x-protobuf");
        request.header("content-encoding", "gzip").body(body).timeout(PATIENCE).send()
    };
    let (first, second, third, fourth) =
        tokio::join!(throw(bomb.clone()), throw(bomb.clone()), throw(bomb.clone()), throw(bomb.clone()));
    for response in [first, second, third, fourth] {
        let status = response.unwrap().status();
        // One that comes while others inflate may also be told to wait.
        let refused = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        assert!(refused, "a bomb was answered with {status}");
    }
    assert_eq!(throw(bomb).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    still_serves(&program, 1).await;
}

/// Sends a head and then up to 1 GB of a chunked body, as long as anyone takes it; the answer.
async fn flood(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10000, b'x');
    chunk.extend_from_slice(b"\r\n");
    let (mut reading, mut writing) = stream.split();
    let mut answer = vec![0; 4096];
    let write = async {
        for _ in 0..(1 << 30) / 0x10000 {
            if writing.write_all(&chunk).await.is_err() {
                return;
            }
        }
        panic!("the server took 1 GB in");
    };
    // Whoever answers before the end of the body has refused it; a reset that overtakes the answer has too.
    let read = async { reading.read(&mut answer).await.unwrap_or_default() };
    let length = tokio::select! {
        length = read => length,
        () = write => 0,
    };
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn a_client_that_sends_a_gigabyte_is_stopped_on_the_way() {
    let (_folder, program) = start().await;
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
    for length in ["transfer-encoding: chunked", "content-length: 1073741824"] {
        let answer = timeout(PATIENCE, flood(program.otlp_http, &format!("{head}{length}\r\n\r\n"))).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{length}: {answer}");
    }
    still_serves(&program, 1).await;
}

#[tokio::test]
async fn five_thousand_sparse_keys_do_not_hurt() {
    const KEYS: i64 = 5_000;
    let (_folder, program) = start().await;
    for request in 0..20 {
        let records = (0..1_000).map(|record| {
            let id = request * 1_000 + record;
            let mut record = log(id, TIME);
            let keys = (0..5).map(|step| (id * 5 + step) % KEYS);
            record.attributes.extend(keys.map(|key| string(&format!("sparse.{key}"), format!("value {id}"))));
            record
        });
        let response = program.send_logs(logs_request("sparse", records.collect())).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    let one = "SELECT count(*) AS n FROM logs WHERE attr('sparse.4999') IS NOT NULL";
    assert_eq!(program.number(one).await, 20);
    let exact = "SELECT attr_int('test.id') AS id FROM logs WHERE attr('sparse.4999') = 'value 1999'";
    assert_eq!(program.number(exact).await, 1999);
    let keys = "SELECT count(DISTINCT key) AS n FROM attribute_keys('logs') WHERE key LIKE 'sparse.%'";
    assert_eq!(program.number(keys).await, KEYS);
    still_serves(&program, 20_000).await;
}

#[tokio::test]
async fn attribute_values_of_a_megabyte_come_back_whole() {
    let (_folder, program) = start().await;
    let value = |id: i64| {
        let mut value = format!("value {id} ").repeat((1 << 20) / 8);
        value.truncate(1 << 20);
        value
    };
    for id in 0..20 {
        let mut record = log(id, TIME);
        record.attributes.push(string("large", value(id)));
        let response = program.send_logs(logs_request("large", vec![record])).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    let whole = format!("SELECT count(*) AS n FROM logs WHERE length(attr('large')) = {}", 1 << 20);
    assert_eq!(program.number(&whole).await, 20);
    for id in [0, 19] {
        let query = format!("SELECT attr('large') AS large FROM logs WHERE attr_int('test.id') = {id}");
        let rows = program.sql(&query).await;
        assert!(rows.len() == 1 && rows[0]["large"].as_str() == Some(&value(id)), "value {id} is another");
    }
    still_serves(&program, 20).await;
}

#[tokio::test]
async fn times_of_1970_and_2100_stay_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let times: [(i64, u64, &str); 3] = [
        (1, 1, "1970-01-01T00:00:00.000000001Z"),
        (2, TIME, "2026-01-01T00:00:00Z"),
        (3, 4_102_444_800_000_000_007, "2100-01-01T00:00:00.000000007Z"),
    ];
    let program = Program::start(&data, &[]).await;
    let records = times.iter().map(|(id, time, _)| log(*id, *time)).collect();
    let response = program.send_logs(logs_request("times", records)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    still_serves(&program, 1).await;
    program.kill_after(Duration::ZERO).await;
    let program = Program::start(&data, &[]).await;
    for (id, time, text) in times {
        let query = format!(
            "SELECT CAST(CAST(time AS BIGINT) AS VARCHAR) AS nanos, attr_int('test.id') AS id FROM logs \
             WHERE service_name = 'times' AND time >= '{text}' AND time <= '{text}'"
        );
        let rows = program.sql(&query).await;
        let found: Vec<_> =
            rows.iter().map(|row| (row["id"].as_i64(), row["nanos"].as_str().map(str::to_owned))).collect();
        assert_eq!(found, vec![(Some(id), Some(time.to_string()))], "{text}");
    }
    still_serves(&program, 2).await;
}

/// Sends the spans of a trace, 10,000 at a time, each below the one that `parent` says and at the times that `times` says.
async fn send_trace(
    program: &Program,
    trace: u128,
    spans: u64,
    parent: impl Fn(u64) -> u64,
    times: impl Fn(u64) -> (u64, u64),
) {
    for first in (1..=spans).step_by(10_000) {
        let ids = first..=spans.min(first + 9_999);
        let body = spans_request("hostile", ids.map(|id| span(trace, id, parent(id), times(id))).collect());
        let url = format!("http://{}/v1/traces", program.otlp_http);
        let request = program.client.post(url).header("content-type", "application/x-protobuf").body(body);
        assert_eq!(request.timeout(PATIENCE).send().await.unwrap().status(), StatusCode::OK);
    }
}

/// Asks and reads the whole answer without keeping it; its status, its bytes and how often a word stands in it.
async fn answered(program: &Program, path: &str, word: &str) -> (StatusCode, usize, usize) {
    let url = format!("http://{}{path}", program.listen);
    let mut answer = program.client.get(url).timeout(PATIENCE).send().await.unwrap();
    let (mut bytes, mut words, mut text) = (0, 0, Vec::new());
    while let Some(chunk) = answer.chunk().await.unwrap() {
        bytes += chunk.len();
        text.extend_from_slice(&chunk);
        words += text.windows(word.len()).filter(|part| *part == word.as_bytes()).count();
        // A word may stand across two chunks.
        text.drain(..text.len().saturating_sub(word.len() - 1));
    }
    (answer.status(), bytes, words)
}

/// All that tells a whole trace, and how each begins to tell a span.
fn tellers(trace: u128) -> [(String, &'static str); 5] {
    [
        (format!("/tempo/api/traces/{trace:032x}"), "\"spanId\""),
        (format!("/tempo/api/v2/traces/{trace:032x}"), "\"spanId\""),
        (format!("/jaeger/api/traces/{trace:032x}"), "\"operationName\""),
        (format!("/jaeger/api/v3/traces/{trace:032x}"), "\"spanId\""),
        (format!("/api/v1/traces/{trace:032x}"), "\"span_id\""),
    ]
}

#[tokio::test]
async fn a_trace_of_a_million_spans_is_kept_whole_and_told_by_every_api() {
    const SPANS: u64 = 1_000_000;
    let (_folder, program) = start().await;
    send_trace(&program, 1, SPANS, |id| id / 2, |id| (TIME + id, TIME + 1_000_000_000)).await;
    assert_eq!(program.number("SELECT count(*) AS n FROM spans WHERE service_name = 'hostile'").await, 1_000_000);
    for (path, word) in tellers(1) {
        let (status, bytes, spans) = answered(&program, &path, word).await;
        // What is left out, so that the memory of an answer has a bound, is said in it.
        assert!(status == StatusCode::OK && spans >= 100_000, "{path}: {status}, {spans} spans in {bytes} bytes");
    }
    let (from, to) = ((TIME / 1_000_000_000 - 60).to_string(), (TIME / 1_000_000_000 + 60).to_string());
    for query in ["{ } >> { }", "{ name = \"step 1\" } !>> { }", "{ } ~ { name = \"step 2\" }", "{ } | count() > 5"] {
        let parameters = form(&[("q", query), ("start", &from), ("end", &to)]);
        let (status, _, found) = answered(&program, &format!("/tempo/api/search?{parameters}"), "\"traceID\"").await;
        // The trace may be too large for the question; else it is found.
        assert!(status == StatusCode::OK && found == 1 || status.is_client_error(), "{query}: {status}, {found} found");
    }
    still_keeps(&program, 1).await;
}

#[tokio::test]
async fn circles_repeated_ids_and_impossible_times_are_kept_and_told() {
    const SPANS: u64 = 20_000;
    const DAY: u64 = 86_400_000_000_000;
    let (_folder, program) = start().await;
    let usual = |id: u64| (TIME + id, TIME + 1_000_000_000);
    send_trace(&program, 1, SPANS, |id| id % SPANS + 1, usual).await;
    send_trace(&program, 2, SPANS, |id| id - 1, usual).await;
    send_trace(&program, 3, SPANS, |id| id, usual).await;
    // Longer than a year, the wrong way round, and at both ends of what can be written.
    let far = [
        (TIME - 400 * DAY, TIME),
        (TIME, TIME - DAY),
        (1, i64::MAX as u64),
        (i64::MAX as u64, 1),
        (i64::MAX as u64, i64::MAX as u64),
    ];
    send_trace(&program, 4, far.len() as u64, |id| id - 1, |id| far[id as usize - 1]).await;
    let repeated: Vec<_> = (0..SPANS).map(|number| span(5, 7, 7, usual(number))).collect();
    let url = format!("http://{}/v1/traces", program.otlp_http);
    let request = program.client.post(url).header("content-type", "application/x-protobuf");
    let response = request.body(spans_request("hostile", repeated)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    for (trace, spans) in [(1, SPANS), (2, SPANS), (3, SPANS), (4, far.len() as u64), (5, SPANS)] {
        let kept = format!("SELECT count(*) AS n FROM spans WHERE trace_id = '{trace:032x}'");
        assert_eq!(program.number(&kept).await.unsigned_abs(), spans, "trace {trace}");
        for (path, word) in tellers(trace) {
            let (status, bytes, told) = answered(&program, &path, word).await;
            assert!(status == StatusCode::OK && told as u64 >= spans, "{path}: {status}, {told} in {bytes} bytes");
        }
    }
    let long = "SELECT max(duration_ns) AS n FROM spans WHERE trace_id = '00000000000000000000000000000004'";
    assert_eq!(
        program.number(&format!("{long} AND time < '2025-01-01T00:00:00Z' AND time > '2000-01-01T00:00:00Z'")).await,
        400 * DAY as i64
    );
    still_serves(&program, 1).await;
}

#[tokio::test]
async fn bombs_and_bodies_without_end_are_refused_at_every_door() {
    let (_folder, program) = start().await;
    let bomb = bomb(256 << 20);
    let doors = [
        ("/loki/api/v1/push", "application/json"),
        ("/elasticsearch/_bulk", "application/x-ndjson"),
        ("/services/collector/event", "application/json"),
        ("/services/collector/raw", "text/plain"),
        ("/api/v1/logs/lines", "text/plain"),
        ("/api/v2/spans", "application/json"),
        ("/v1/traces", "application/x-protobuf"),
    ];
    let post = |path: &str, kind: &str, encoding: &str, body: Vec<u8>| {
        let request = program.client.post(format!("http://{}{path}", program.listen)).header("content-type", kind);
        request.header("content-encoding", encoding).body(body).timeout(PATIENCE).send()
    };
    for (path, kind) in doors {
        let status = post(path, kind, "gzip", bomb.clone()).await.unwrap().status();
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
        let answer = timeout(PATIENCE, flood(program.listen, &head)).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
    }
    // A snappy block that says it is of 4 GiB.
    let lie = [vec![0xff, 0xff, 0xff, 0xff, 0x0f], vec![0; 100]].concat();
    let status = post("/loki/api/v1/push", "application/x-protobuf", "snappy", lie).await.unwrap().status();
    assert!(status.is_client_error(), "{status}");
    still_serves(&program, 1).await;
}

#[tokio::test]
async fn queries_that_are_made_to_hurt_are_answered_or_refused_soon() {
    let (_folder, program) = start().await;
    let mut record = log(1, TIME);
    record.attributes.push(string("deep", "[".repeat(50_000)));
    assert_eq!(program.send_logs(logs_request("hostile", vec![record])).await.unwrap().status(), StatusCode::OK);
    let (start, end) = ((TIME - 1_000_000_000).to_string(), (TIME + 1_000_000_000).to_string());
    let stream = "{service_name=\"hostile\"}";
    let nested = format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000));
    let copies: Vec<String> = (0..1_001).map(|at| format!("a{at}=`{{{{__line__}}}}`")).collect();
    let logql = [
        nested.clone(),
        "x".repeat(1 << 20),
        format!("{stream} |~ `(a{{1000}}){{1000}}`"),
        format!("{stream} |~ `{}`", "(".repeat(1_000)),
        format!("{stream} | label_format {}", copies.join(",")),
    ];
    for query in &logql {
        let body = form(&[("query", query), ("start", &start), ("end", &end)]);
        refused(&program, "/loki/api/v1/query_range", body, &query[..40.min(query.len())]).await;
    }
    let counted = format!("count_over_time({stream}[1m])");
    let body = form(&[("query", &counted), ("start", &start), ("end", &end), ("step", "0.000000001")]);
    refused(&program, "/loki/api/v1/query_range", body, "a step of a nanosecond").await;
    refused(&program, "/prometheus/api/v1/query", form(&[("query", &nested)]), "PromQL in parentheses").await;
    // What takes no longer than other questions is answered.
    let all = form(&[("query", &format!("sum(count_over_time({stream}[100y]))")), ("time", &end)]);
    let (status, answer) = program.call("GET", &format!("/loki/api/v1/query?{all}"), &Value::Null).await;
    assert_eq!((status, answer["data"]["result"][0]["value"][1].as_str()), (StatusCode::OK, Some("1")), "{answer}");
    for query in
        ["{".repeat(20_000), "{ .a =~ `(a{1000}){1000}` }".to_owned(), format!("{{ }}{}", ">> { }".repeat(2_000))]
    {
        let parameters = form(&[("q", &query)]);
        let (status, _, _) = answered(&program, &format!("/tempo/api/search?{parameters}"), "\"").await;
        assert!(status.is_client_error(), "{}: {status}", query.get(..40).unwrap_or(&query));
    }
    still_serves(&program, 2).await;
}

/// Sends a form and is told that this is no question.
async fn refused(program: &Program, path: &str, body: String, what: &str) {
    let request = program.client.post(format!("http://{}{path}", program.listen)).timeout(PATIENCE);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.unwrap();
    assert!(answer.status().is_client_error(), "{what}: {}", answer.status());
}

#[tokio::test]
async fn a_thousand_who_follow_lines_are_as_few_as_may_and_cost_little() {
    const FOLLOWERS: usize = 1_000;
    let (_folder, program) = start().await;
    let lines = (0..10).map(|id| {
        let mut record = log(id, TIME + id as u64);
        record.attributes.push(string("long", "x".repeat(1 << 20)));
        record
    });
    let response = program.send_logs(logs_request("hostile", lines.collect())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let parameters = form(&[("query", "{service_name=\"hostile\"}"), ("start", &TIME.to_string()), ("limit", "5000")]);
    let head = format!(
        "GET /loki/api/v1/tail?{parameters} HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        program.listen
    );
    let mut open = connect(program.listen, FOLLOWERS).await;
    let mut follow = 0;
    for stream in &mut open {
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut status)).await.expect("it answers").unwrap();
        follow += usize::from(status.ends_with(b"101"));
    }
    assert!((1..=100).contains(&follow), "{follow} follow");
    for id in 10..20 {
        let mut record = log(id, TIME + id as u64);
        record.attributes.push(string("long", "x".repeat(1 << 20)));
        let response = program.send_logs(logs_request("hostile", vec![record])).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    still_serves(&program, 20).await;
    drop(open);
    still_serves(&program, 21).await;
}
