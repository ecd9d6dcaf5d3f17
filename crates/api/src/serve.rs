//! Who may stay on the line? Connections of HTTP/1 and HTTP/2 on one socket: a bounded number, each with patience of a
//! bounded length, all let go in order at the end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::observe::Metric;

/// Connections at the same time, over all sockets: 10,000 agents and room for those that reconnect.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Bytes of one HTTP/1 head, and of each read of a body.
const READ_BYTES_MAX: usize = 128 << 10;
/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Bytes that an HTTP/2 client may send before they are asked for, a stream and a connection.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// The other end of the connection that a request came by.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// How long a connection may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the first byte of a request to the end of its head. 10 s: a head is one packet.
    pub head_max: Duration,
    /// Without any request. 5 min: senders that export once a minute keep their connection.
    pub idle_max: Duration,
    /// With an answer that the client does not read. 30 s.
    pub write_max: Duration,
    /// After the order to stop, for requests that are under way. 10 s.
    pub stop_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head_max: Duration::from_secs(10),
            idle_max: Duration::from_secs(300),
            write_max: Duration::from_secs(30),
            stop_max: Duration::from_secs(10),
        }
    }
}

/// Takes connections of a socket until the order to stop.
pub(crate) async fn accept_each(
    listener: &TcpListener,
    stop: &CancellationToken,
    mut admit: impl FnMut(TcpStream, SocketAddr),
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of file descriptors: the next try makes sense only after some connection has ended.
                let _ = tokio::time::timeout(Duration::from_millis(50), stop.cancelled()).await;
            }
        }
    }
}

/// The connections of all sockets.
#[derive(Debug, Clone)]
pub struct Connections {
    free: Arc<Semaphore>,
    max: u32,
    refused: Arc<AtomicU64>,
    patience: Patience,
    stop: CancellationToken,
}

impl Connections {
    /// At most `max` connections, until `stop`.
    pub fn new(max: usize, patience: Patience, stop: CancellationToken) -> Self {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(max as usize)), max, refused: Arc::default(), patience, stop }
    }

    /// Serves `router` on a socket until the order to stop.
    pub async fn serve(&self, listener: TcpListener, router: Router) {
        accept_each(&listener, &self.stop, |stream, peer| self.admit(stream, peer, router.clone())).await;
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, router: Router) {
        let Ok(place) = self.free.clone().try_acquire_owned() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // Without it small answers wait for the peer's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let (patience, stop) = (self.patience, self.stop.clone());
        tokio::spawn(async move {
            let _place = place;
            attend(stream, peer, router, patience, stop).await;
        });
    }

    /// Waits until all connections have ended, at most as long as patience has it. `true` when they have.
    pub async fn drained(&self) -> bool {
        tokio::time::timeout(self.patience.stop_max, self.free.acquire_many(self.max)).await.is_ok()
    }

    /// Open and refused connections.
    pub fn metrics(&self) -> [Metric; 2] {
        let open = (self.max as usize).saturating_sub(self.free.available_permits());
        [
            Metric::gauge("causeway_connections", "Open connections.", open as f64),
            Metric::counter(
                "causeway_connections_refused_total",
                "Connections refused because too many were open.",
                self.refused.load(Ordering::Relaxed) as f64,
            ),
        ]
    }
}

async fn attend(stream: TcpStream, peer: SocketAddr, router: Router, patience: Patience, stop: CancellationToken) {
    let requests = Arc::new(Requests::default());
    let stream = PatientStream::new(stream, patience, requests.clone());
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let guard = Serving::begin(&requests);
        let answer = router.clone().oneshot(request.map(Body::new));
        let requests = requests.clone();
        async move {
            // The answer's body keeps the guard: a request is served until its last byte is handed over.
            answer.await.map(|response| {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    requests.are_over.store(true, Ordering::Relaxed);
                }
                response.map(|body| {
                    body.map_frame(move |frame| {
                        let _held = &guard;
                        frame
                    })
                })
            })
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(READ_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let ended = tokio::time::timeout(patience.stop_max, connection.as_mut()).await;
            ended.unwrap_or_else(|_| Err("the time to stop is over".into()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

/// Requests of one connection.
#[derive(Debug, Default)]
struct Requests {
    serving: AtomicUsize,
    begun: AtomicU64,
    /// Whether another protocol is spoken now, in which what comes begins no head.
    are_over: AtomicBool,
}

/// One request that is being served.
struct Serving(Arc<Requests>);

impl Serving {
    fn begin(requests: &Arc<Requests>) -> Self {
        requests.begun.fetch_add(1, Ordering::Relaxed);
        requests.serving.fetch_add(1, Ordering::Relaxed);
        Self(requests.clone())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection waits for when no request is being served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The first byte of a request.
    Request,
    /// The rest of a head that began then.
    Head(Instant),
}

/// A stream that ends when patience does. hyper's own time-out for heads also ends connections that are kept alive
/// between requests, and there is none for a client that never says which HTTP it speaks or never reads.
struct PatientStream {
    stream: TcpStream,
    patience: Patience,
    requests: Arc<Requests>,
    begun: u64,
    waiting: Waiting,
    http2: bool,
    last_byte: Instant,
    read_alarm: Pin<Box<Sleep>>,
    write_alarm: Option<Pin<Box<Sleep>>>,
}

/// Goes off at the deadline of a client's patience.
#[allow(clippy::disallowed_methods, reason = "the event waited for is the deadline itself, polled beside the socket")]
fn alarm_at(deadline: Instant) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep_until(deadline))
}

impl PatientStream {
    fn new(stream: TcpStream, patience: Patience, requests: Arc<Requests>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            patience,
            requests,
            begun: 0,
            waiting: Waiting::Request,
            http2: false,
            last_byte: now,
            read_alarm: alarm_at(now + patience.idle_max),
            write_alarm: None,
        }
    }

    /// When to give up if nothing more comes; `None` while a request is being served.
    fn deadline(&mut self) -> Option<Instant> {
        let begun = self.requests.begun.load(Ordering::Relaxed);
        if begun != self.begun {
            self.begun = begun;
            self.waiting = Waiting::Request;
        }
        if self.requests.serving.load(Ordering::Relaxed) > 0 {
            return None;
        }
        match self.waiting {
            // HTTP/2 clients talk between requests (settings, pings), so their bytes begin no head.
            Waiting::Head(since) if !self.http2 && !self.requests.are_over.load(Ordering::Relaxed) => {
                Some(since + self.patience.head_max)
            }
            _ => Some(self.last_byte + self.patience.idle_max),
        }
    }

    fn note_bytes(&mut self, bytes: &[u8]) {
        self.http2 |= bytes.starts_with(b"PRI * HTTP/2");
        let between_requests = self.deadline().is_some();
        self.last_byte = Instant::now();
        if between_requests && self.waiting == Waiting::Request {
            self.waiting = Waiting::Head(self.last_byte);
        }
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        // A head that has begun ends sooner than the idle connection would have.
        if let Some(deadline) = self.deadline().filter(|deadline| *deadline < self.read_alarm.deadline()) {
            self.read_alarm.as_mut().reset(deadline);
        }
        loop {
            ready!(self.read_alarm.as_mut().poll(context));
            let now = Instant::now();
            let next = match self.deadline() {
                Some(deadline) if deadline <= now => return Poll::Ready(io::ErrorKind::TimedOut.into()),
                Some(deadline) => deadline,
                None => now + self.patience.idle_max,
            };
            self.read_alarm.as_mut().reset(next);
        }
    }

    fn poll_written(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.write_alarm = None;
            self.last_byte = Instant::now();
            return written;
        }
        let deadline = Instant::now() + self.patience.write_max;
        let alarm = self.write_alarm.get_or_insert_with(|| alarm_at(deadline));
        ready!(alarm.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl tokio::io::AsyncRead for PatientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            if let Some(bytes) = buffer.filled().get(filled..).filter(|bytes| !bytes.is_empty()) {
                this.note_bytes(bytes);
                // A client that drips never lets a read wait, so the head's end is looked at here as well.
                if matches!(this.deadline(), Some(deadline) if deadline <= Instant::now()) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            return Poll::Ready(read);
        }
        this.poll_patience(context).map(Err)
    }
}

impl tokio::io::AsyncWrite for PatientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.poll_written(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.poll_written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
