//! What stands behind the desk in these tests? An appender and an answerer that do as they are told.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use causeway_flags::FlagStore;
use causeway_model::{Appender, Delivery, Error, ErrorKind, Receipt, Result, SystemClock};
use causeway_query::{Answer, Answerer, Question};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use parking_lot::Mutex;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::serve::{Connections, Patience};
use crate::{Desk, DeskLimits, Languages, Metric, Vitals};

/// Keeps what it gets, or fails as told.
#[derive(Default)]
pub struct Cellar {
    pub kept: Mutex<Vec<Delivery>>,
    pub fail: Mutex<Option<ErrorKind>>,
    pub problems: Mutex<Vec<String>>,
    pub degraded: Mutex<Vec<String>>,
    pub series_forgotten: Mutex<u64>,
}

impl Appender for Cellar {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        Box::pin(async move {
            if let Some(kind) = *self.fail.lock() {
                return Err(Error::new(kind, "told to fail – 100%"));
            }
            let mut kept = self.kept.lock();
            kept.push(delivery);
            Ok(Receipt { sequence: kept.len() as u64, series_forgotten: *self.series_forgotten.lock() })
        })
    }
}

impl Vitals for Cellar {
    fn problems(&self) -> Vec<String> {
        self.problems.lock().clone()
    }

    fn degraded(&self) -> Vec<String> {
        self.degraded.lock().clone()
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}

type AskFn = Box<dyn Fn(Question) -> Result<Answer> + Send + Sync>;

/// Answers with a closure.
pub struct Study(pub AskFn);

#[async_trait]
impl Answerer for Study {
    async fn ask(&self, question: Question) -> Result<Answer> {
        (self.0)(question)
    }
}

/// A desk behind real sockets.
pub struct House {
    pub cellar: Arc<Cellar>,
    pub desk: Arc<Desk>,
    pub address: String,
    pub connections: Connections,
    pub stop: CancellationToken,
    pub folder: tempfile::TempDir,
}

pub fn limits() -> DeskLimits {
    DeskLimits {
        body_bytes_max: 1 << 20,
        in_flight_bytes_max: 2 << 20,
        body_idle_max: Duration::from_millis(200),
        decoders_max: 2,
        ..DeskLimits::default()
    }
}

pub fn patience() -> Patience {
    let short = Duration::from_millis(200);
    Patience { head_max: short, idle_max: short * 3, write_max: short, stop_max: Duration::from_secs(5) }
}

pub async fn house_of(ask: AskFn, limits: DeskLimits, patience: Patience, connections_max: usize) -> House {
    house_with(ask, limits, patience, connections_max, Languages::default()).await
}

/// A house whose desk speaks these languages.
pub async fn house_with(
    ask: AskFn,
    limits: DeskLimits,
    patience: Patience,
    connections_max: usize,
    languages: Languages,
) -> House {
    let cellar = Arc::new(Cellar::default());
    let clock = Arc::new(SystemClock::new());
    let folder = tempfile::tempdir().unwrap();
    let (file, audit) = (folder.path().join("flags.json"), folder.path().join("flags.audit.jsonl"));
    let flags = Arc::new(FlagStore::open(file, audit, clock.clone()).unwrap());
    let desk = Desk::new(cellar.clone(), Arc::new(Study(ask)), cellar.clone(), clock, &limits, flags, languages);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let connections = Connections::new(connections_max, patience, stop.clone());
    let (serving, router) = (connections.clone(), desk.all());
    tokio::spawn(async move { serving.serve(listener, router).await });
    House { cellar, desk, address, connections, stop, folder }
}

pub async fn house() -> House {
    let ask: AskFn = Box::new(|_| Err(Error::invalid("no questions here")));
    house_of(ask, limits(), Patience::default(), 100).await
}

/// An HTTP/1 answer, read until the server closes.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = bytes[end + 4..].to_vec();
        let body = if head.contains("transfer-encoding: chunked") { dechunked(&body) } else { body };
        Self { status, head, body }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// The chunks' data; the trailers, if any, follow after the last chunk and are kept as text at the end.
fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        bytes = &bytes[end + 2..];
        if length == 0 {
            break;
        }
        out.extend_from_slice(&bytes[..length]);
        bytes = &bytes[length + 2..];
    }
    out
}

/// Sends raw bytes and reads until the end.
pub async fn raw(address: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut out = Vec::new();
    let _ = stream.read_to_end(&mut out).await;
    out
}

pub async fn call(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    Reply::parse(&raw(address, &[request.as_bytes(), body].concat()).await)
}

/// A logs request of this many records.
pub fn logs(records: usize) -> Vec<u8> {
    let record = |n: usize| LogRecord { time_unix_nano: 1 + n as u64, ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: (0..records).map(record).collect(), ..ScopeLogs::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }
        .encode_to_vec()
}

/// A spans request with one good span and one without ids.
pub fn one_good_span_of_two() -> Vec<u8> {
    let good = Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: "a".into(), ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![good, Span::default()], ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
        .encode_to_vec()
}

/// Counts down and rings when it is dropped.
pub struct Alive(pub Arc<AtomicU64>, pub Arc<tokio::sync::Notify>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        self.1.notify_one();
    }
}
