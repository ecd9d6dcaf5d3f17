//! Can a sender bring it down, or its memory up? Each test states the bound that holds.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use causeway_tests::{Program, log, logs_request, string};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::StatusCode;
use rustix::process::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The sum of the named limits: 64 MiB of bodies in flight, 64 waiting for their sync, two memtables of 24, 160 for questions,
/// 60 at rest, and the allocator's slack.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// Longer than any of the server's own patience with slow clients (10 s for a header, 30 s between bytes of a body).
const PATIENCE: Duration = Duration::from_secs(90);

/// 2026-01-01.
const TIME: u64 = 1_767_225_600_000_000_000;

async fn start() -> (TempDir, Program) {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&folder.path().join("data"), &[]).await;
    (folder, program)
}

/// It still takes a record in and finds it, and its memory stayed within the bound.
async fn still_serves(program: &Program, id: i64) {
    let response = program.send_logs(logs_request("witness", vec![log(id, TIME)])).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "it said:\n{}", program.said());
    let count = format!("SELECT count(*) AS n FROM logs WHERE service_name = 'witness' AND attr_int('test.id') = {id}");
    assert_eq!(program.number(&count).await, 1);
    let peak = program.peak_memory_bytes();
    assert!(peak < MEMORY_BYTES_MAX, "it held {} MiB", peak >> 20);
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
async fn flood(program: &Program, head: &str) -> String {
    let mut stream = TcpStream::connect(program.otlp_http).await.unwrap();
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
        let answer = timeout(PATIENCE, flood(&program, &format!("{head}{length}\r\n\r\n"))).await.unwrap();
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
