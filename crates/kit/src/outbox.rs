//! How does telemetry leave without holding anyone up? Bounded queues, and one thread of its own that sends.
//!
//! OpenTelemetry's own batch processor neither says how many records it dropped while it runs nor keeps exemplars; so this is one, over the
//! SDK's data and `opentelemetry-proto`'s encoding. The thread has its own runtime: a service whose runtime is stuck still
//! tells of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock::{Rng, moved, wait};
use crate::log::LogSink;
use crate::losses::{Fate, Fates, Signal};
use crate::settings::Settings;

/// Records in one sending; OpenTelemetry's default.
const BATCH_MAX: usize = 512;
/// Pause after a first failed sending; doubled with each further one.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest pause: a receiver that comes back is found within half a minute.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Losses are told at most this often: who reads the log needs to know it, not to drown in it.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// Commands that may wait; they come from people and shutdowns.
const COMMANDS_MAX: usize = 16;
/// Most bytes of an answer that are read: it holds a count and a sentence.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What waits to be sent, and the way to send it.
#[derive(Debug)]
pub(crate) struct Outbox {
    queues: Arc<Queues>,
    /// `None` where nothing is to be sent.
    sending: Option<Sending>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Queues {
    waiting: Mutex<Waiting>,
    queue_max: usize,
    /// A queue is half full: it should not wait for company any longer.
    half_full: Notify,
    /// Records of each signal that the sender has taken and not yet settled: on their way, or held for another try.
    in_hand: [AtomicUsize; 2],
    fates: Arc<Fates>,
}

/// The thread, seen from outside.
#[derive(Debug)]
struct Sending {
    commands: mpsc::Sender<Command>,
    poster: Poster,
    runtime: tokio::runtime::Handle,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: VecDeque<SpanData>,
    logs: VecDeque<LogRecord>,
}

/// A wish to send now.
#[derive(Debug)]
struct Command {
    /// What can't be sent is given up.
    last: bool,
    done: oneshot::Sender<()>,
}

/// Knows the receiver.
#[derive(Debug, Clone)]
struct Poster {
    client: reqwest::Client,
    endpoint: Arc<str>,
    headers: http::HeaderMap,
    fates: Arc<Fates>,
}

/// An encoded request that has not arrived yet.
struct Parcel {
    signal: Signal,
    records: usize,
    body: bytes::Bytes,
}

/// What came of one sending.
enum Outcome {
    /// It is settled, and counted.
    Settled,
    /// Not now; later perhaps, and not before the receiver's own wish.
    Later(Option<Duration>),
}

impl Outbox {
    /// Starts the thread. It ends when the outbox is gone.
    pub(crate) fn start(
        settings: &Settings,
        resource: &Resource,
        sink: Arc<LogSink>,
        rng: Arc<Rng>,
    ) -> std::io::Result<Arc<Self>> {
        let fates = Arc::new(Fates::default());
        let queues = Arc::new(Queues {
            waiting: Mutex::default(),
            queue_max: settings.queue_max,
            half_full: Notify::new(),
            in_hand: Default::default(),
            fates: Arc::clone(&fates),
        });
        let Some(endpoint) = settings.otlp_endpoint.as_deref() else {
            return Ok(Arc::new(Self { queues, sending: None, closed: AtomicBool::new(false) }));
        };
        let poster = Poster::new(endpoint, settings, fates)?;
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let sender = Sender {
            queues: Arc::clone(&queues),
            poster: poster.clone(),
            resource: ResourceAttributesWithSchema::from(resource),
            proto_resource: ProtoResource::from(resource),
            interval: settings.export_interval,
            held: Vec::new(),
            failures: 0,
            sink,
            rng,
            told: 0,
        };
        let (started, runtime) = std::sync::mpsc::sync_channel(1);
        // The runtime lives and dies on its thread, as it must not be dropped inside another one.
        let work = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _is_awaited = started.send(Ok(runtime.handle().clone()));
                // Its own subscriber: nothing that happens while sending may become telemetry.
                let none = tracing::subscriber::NoSubscriber::default();
                tracing::subscriber::with_default(none, || runtime.block_on(sender.run(inbox)));
            }
            Err(error) => drop(started.send(Err(error))),
        };
        std::thread::Builder::new().name("telemetry".to_owned()).spawn(work)?;
        let runtime = runtime.recv().map_err(std::io::Error::other)??;
        Ok(Arc::new(Self {
            queues,
            sending: Some(Sending { commands, poster, runtime }),
            closed: AtomicBool::new(false),
        }))
    }

    pub(crate) fn fates(&self) -> &Arc<Fates> {
        &self.queues.fates
    }

    pub(crate) fn push_log(&self, record: LogRecord) {
        self.push(Signal::Logs, |waiting| &mut waiting.logs, record);
    }

    fn push<T>(&self, signal: Signal, queue: impl Fn(&mut Waiting) -> &mut VecDeque<T>, record: T) {
        if self.sending.is_none() {
            return;
        }
        let queues = &*self.queues;
        let length = {
            let mut waiting = queues.waiting.lock();
            let queue = queue(&mut waiting);
            if queue.len() >= queues.queue_max {
                queues.fates.add(signal, Fate::QueueFull, 1);
                return;
            }
            queue.push_back(record);
            queue.len()
        };
        if length == (queues.queue_max / 2).max(1) {
            queues.half_full.notify_one();
        }
    }

    /// Sends metrics at once; waits for the answer.
    pub(crate) async fn send_metrics(&self, request: ExportMetricsServiceRequest, points: usize) {
        let Some(Sending { poster, runtime, .. }) = &self.sending else { return };
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let poster = poster.clone();
        let parcel = Parcel { signal: Signal::Metrics, records: points, body: request.encode_to_vec().into() };
        let sending = runtime.spawn(async move {
            if matches!(poster.post(&parcel).await, Outcome::Later(_)) {
                // Sums and histograms are cumulative: the next sending tells the same, so that this one need not be kept.
                poster.fates.add(Signal::Metrics, Fate::Unreachable, points);
            }
        });
        let _gone_with_its_runtime = sending.await;
    }

    /// From now on metrics are dropped: their reader would otherwise send once more, and hold up whoever drops it.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Sends all that waits, or as much as can be sent now; if it is the `last` time, what is left is given up and counted.
    pub(crate) async fn flush(&self, last: bool) {
        let Some(Sending { commands, .. }) = &self.sending else { return };
        let (done, wait) = oneshot::channel();
        if commands.send(Command { last, done }).await.is_ok() {
            let _sender_ended = wait.await;
        }
    }

    /// Gives up what has not arrived, and counts it as lost.
    pub(crate) fn abandon(&self) {
        self.queues.abandon();
    }
}

impl Queues {
    fn abandon(&self) {
        let Waiting { spans, logs } = std::mem::take(&mut *self.waiting.lock());
        for (signal, waiting) in [(Signal::Spans, spans.len()), (Signal::Logs, logs.len())] {
            let in_hand = self.in_hand[signal as usize].swap(0, Ordering::Relaxed);
            self.fates.add(signal, Fate::Unreachable, waiting + in_hand);
        }
    }

    fn taken(&self, parcel: &Parcel) {
        self.in_hand[parcel.signal as usize].fetch_add(parcel.records, Ordering::Relaxed);
    }

    fn settled(&self, parcel: &Parcel) {
        // Saturating, as the end of the process may have given it up meanwhile.
        let _previous =
            self.in_hand[parcel.signal as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |in_hand| {
                Some(in_hand.saturating_sub(parcel.records))
            });
    }
}

/// The thread's work.
struct Sender {
    queues: Arc<Queues>,
    poster: Poster,
    resource: ResourceAttributesWithSchema,
    proto_resource: ProtoResource,
    interval: Duration,
    /// Parcels that failed and will be sent again: at most one a signal.
    held: Vec<Parcel>,
    failures: u32,
    sink: Arc<LogSink>,
    rng: Arc<Rng>,
    /// Losses that the log has told of.
    told: u64,
}

impl Sender {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut pause = self.interval;
        let mut told_at = Duration::ZERO;
        loop {
            // A receiver that failed is left alone for the whole pause.
            let early = async {
                match self.failures {
                    0 => self.queues.half_full.notified().await,
                    _ => std::future::pending().await,
                }
            };
            let flushing = tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => Some(command),
                    None => return,
                },
                () = wait(pause) => None,
                () = early => None,
            };
            pause = self.send_all().await;
            if flushing.as_ref().is_some_and(|command| command.last) {
                self.abandon();
            }
            let now = self.sink.monotonic();
            if flushing.is_some() || now.saturating_sub(told_at) >= TELL_EVERY {
                told_at = now;
                self.tell();
            }
            if let Some(command) = flushing {
                let _nobody_waits = command.done.send(());
            }
        }
    }

    /// Sends until nothing waits or a sending fails. Returns how long to wait before the next.
    async fn send_all(&mut self) -> Duration {
        while let Some(parcel) = self.next() {
            if let Outcome::Later(wish) = self.poster.post(&parcel).await {
                self.held.push(parcel);
                self.failures = self.failures.saturating_add(1);
                let longest = BACKOFF_MIN.saturating_mul(1 << self.failures.min(6)).min(BACKOFF_MAX);
                // Jitter: many services lost the same receiver at the same moment.
                let pause = longest.mul_f64(0.5 + self.rng.unit() / 2.0);
                return wish.unwrap_or(pause).clamp(BACKOFF_MIN, BACKOFF_MAX);
            }
            self.queues.settled(&parcel);
            self.failures = 0;
        }
        self.interval
    }

    fn abandon(&mut self) {
        self.held.clear();
        self.queues.abandon();
    }

    fn next(&mut self) -> Option<Parcel> {
        if let Some(held) = self.held.pop() {
            return Some(held);
        }
        let parcel = self.pack()?;
        self.queues.taken(&parcel);
        Some(parcel)
    }

    /// The next batch that waits, encoded.
    fn pack(&self) -> Option<Parcel> {
        let mut waiting = self.queues.waiting.lock();
        let records = waiting.spans.len().min(BATCH_MAX);
        if records > 0 {
            let batch: Vec<SpanData> = waiting.spans.drain(..records).collect();
            drop(waiting);
            let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
            let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
            return Some(Parcel { signal: Signal::Spans, records, body });
        }
        let records = waiting.logs.len().min(BATCH_MAX);
        if records == 0 {
            return None;
        }
        let log_records: Vec<LogRecord> = waiting.logs.drain(..records).collect();
        drop(waiting);
        let scope_logs = vec![ScopeLogs { scope: Some(crate::scope()), log_records, ..ScopeLogs::default() }];
        let resource = Some(self.proto_resource.clone());
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
        let body = ExportLogsServiceRequest { resource_logs }.encode_to_vec().into();
        Some(Parcel { signal: Signal::Logs, records, body })
    }

    /// Tells of losses in the log on standard output, as the other way is the one that fails.
    fn tell(&mut self) {
        let fates = &self.poster.fates;
        let [spans, logs, metrics] = Signal::ALL.map(|signal| fates.lost(signal));
        let total = spans.saturating_add(logs).saturating_add(metrics);
        if total > self.told {
            self.told = total;
            let counts = [("lost_spans", spans), ("lost_logs", logs), ("lost_metric_points", metrics)];
            self.sink.warn("telemetry.lost", "telemetry was lost: its receiver is away, slow or refuses it", &counts);
        }
    }
}

impl Poster {
    fn new(endpoint: &str, settings: &Settings, fates: Arc<Fates>) -> std::io::Result<Self> {
        // A proxy of the environment is for the outer world; the receiver is a neighbour.
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(settings.export_timeout)
            .build()
            .map_err(std::io::Error::other)?;
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/x-protobuf"));
        for (name, value) in &settings.otlp_headers {
            let invalid = |_| {
                std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("the OTLP header {name} is not valid"))
            };
            let value = http::HeaderValue::from_str(value).map_err(|_| invalid(()))?;
            headers.insert(http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(()))?, value);
        }
        Ok(Self { client, endpoint: endpoint.trim_end_matches('/').into(), headers, fates })
    }

    async fn post(&self, parcel: &Parcel) -> Outcome {
        let url = format!("{}{}", self.endpoint, parcel.signal.path());
        let sent = self.client.post(url).headers(self.headers.clone()).body(parcel.body.clone()).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(error) if error.is_builder() => return self.settle(parcel, parcel.records),
            Err(_) => return Outcome::Later(None),
        };
        match response.status().as_u16() {
            200..300 => {
                let rejected = match crate::client::read_limited(response, ANSWER_BYTES_MAX).await {
                    Ok(body) => rejected(parcel.signal, &body),
                    Err(_) => 0,
                };
                self.settle(parcel, rejected)
            }
            // OTLP specification, "Retryable Response Codes".
            429 | 502 | 503 | 504 => {
                let wish = response
                    .headers()
                    .get(http::header::RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                Outcome::Later(wish.map(Duration::from_secs))
            }
            _ => self.settle(parcel, parcel.records),
        }
    }

    fn settle(&self, parcel: &Parcel, rejected: usize) -> Outcome {
        let rejected = rejected.min(parcel.records);
        self.fates.add(parcel.signal, Fate::Rejected, rejected);
        self.fates.add(parcel.signal, Fate::Exported, parcel.records - rejected);
        Outcome::Settled
    }
}

/// Records that the receiver says it refused of an otherwise accepted request (OTLP specification, "Partial Success").
fn rejected(signal: Signal, body: &[u8]) -> usize {
    let count = match signal {
        Signal::Spans => ExportTraceServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| partial.rejected_spans),
        Signal::Logs => ExportLogsServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| partial.rejected_log_records),
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| partial.rejected_data_points),
    };
    count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

/// Takes the ended spans from the SDK.
#[derive(Debug)]
pub(crate) struct SpanQueue {
    pub(crate) outbox: Arc<Outbox>,
    /// By how much the service's clock is ahead of the machine's.
    pub(crate) ahead_ns: i64,
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _span: &mut Span, _context: &opentelemetry::Context) {}

    fn on_end(&self, mut span: SpanData) {
        if self.ahead_ns != 0 {
            let times = span.events.events.iter_mut().map(|event| &mut event.timestamp);
            for time in times.chain([&mut span.start_time, &mut span.end_time]) {
                *time = moved(*time, self.ahead_ns);
            }
        }
        self.outbox.push(Signal::Spans, |waiting| &mut waiting.spans, span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
