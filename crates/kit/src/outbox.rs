//! How does telemetry leave without holding anyone up? Bounded queues, and one thread of its own that sends.
//!
//! OpenTelemetry's own batch processor neither says how many records it dropped while it runs nor keeps exemplars; so this is one, over the
//! SDK's data and `opentelemetry-proto`'s encoding. The thread has its own runtime: a service whose runtime is stuck still
//! tells of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
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
use crate::transport::{OtlpHttp, Sent, Transport};

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
    /// Why the last sending failed.
    trouble: Mutex<String>,
}

/// The thread, seen from outside.
#[derive(Debug)]
struct Sending {
    commands: mpsc::Sender<Command>,
    transport: Arc<dyn Transport>,
    runtime: tokio::runtime::Handle,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: VecDeque<SpanData>,
    logs: VecDeque<Log>,
}

/// A log record and the place in the program that it comes from.
type Log = (&'static str, LogRecord);

/// A wish to send now.
#[derive(Debug)]
struct Command {
    /// What can't be sent is given up.
    last: bool,
    done: oneshot::Sender<()>,
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
    /// Not now, and not before the receiver's own wish.
    Later(Option<Duration>),
}

impl Outbox {
    /// Starts the thread. It ends when the outbox is gone.
    pub(crate) fn start(
        settings: &mut Settings,
        resource: &Resource,
        sink: Arc<LogSink>,
        rng: Arc<Rng>,
    ) -> std::io::Result<Arc<Self>> {
        let queues = Arc::new(Queues {
            waiting: Mutex::default(),
            queue_max: settings.queue_max,
            half_full: Notify::new(),
            in_hand: Default::default(),
            fates: Arc::default(),
            trouble: Mutex::default(),
        });
        let transport = match (settings.transport.take(), settings.otlp_endpoint.as_deref()) {
            (Some(transport), _) => transport,
            (None, Some(endpoint)) => Arc::new(OtlpHttp::new(endpoint, settings)?),
            (None, None) => return Ok(Arc::new(Self { queues, sending: None, closed: AtomicBool::new(false) })),
        };
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let sender = Sender {
            queues: Arc::clone(&queues),
            transport: Arc::clone(&transport),
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
            sending: Some(Sending { commands, transport, runtime }),
            closed: AtomicBool::new(false),
        }))
    }

    pub(crate) fn fates(&self) -> &Arc<Fates> {
        &self.queues.fates
    }

    /// Why the last sending failed; empty where none has.
    pub(crate) fn trouble(&self) -> String {
        self.queues.trouble.lock().clone()
    }

    pub(crate) fn push_log(&self, target: &'static str, record: LogRecord) {
        self.push(Signal::Logs, |waiting| &mut waiting.logs, (target, record));
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
        let Some(Sending { transport, runtime, .. }) = &self.sending else { return };
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        let (transport, queues) = (Arc::clone(transport), Arc::clone(&self.queues));
        let parcel = Parcel { signal: Signal::Metrics, records: points, body: request.encode_to_vec().into() };
        let sending = runtime.spawn(async move {
            if matches!(queues.send(&*transport, &parcel).await, Outcome::Later(_)) {
                // Sums and histograms are cumulative: the next sending tells the same, so that this one need not be kept.
                queues.fates.add(Signal::Metrics, Fate::Unreachable, points);
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

    async fn send(&self, transport: &dyn Transport, parcel: &Parcel) -> Outcome {
        let (rejected, outcome) = match transport.send(parcel.signal, parcel.body.clone()).await {
            Sent::Accepted { rejected } => (rejected.min(parcel.records), Outcome::Settled),
            Sent::Refused { reason } => {
                *self.trouble.lock() = reason;
                (parcel.records, Outcome::Settled)
            }
            Sent::Later { after, reason } => {
                *self.trouble.lock() = reason;
                return Outcome::Later(after);
            }
        };
        self.fates.add(parcel.signal, Fate::Rejected, rejected);
        self.fates.add(parcel.signal, Fate::Exported, parcel.records - rejected);
        outcome
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
    transport: Arc<dyn Transport>,
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
            if let Outcome::Later(wish) = self.queues.send(&*self.transport, &parcel).await {
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
        let batch: Vec<Log> = waiting.logs.drain(..records).collect();
        drop(waiting);
        // A scope for each place in the program, as OpenTelemetry's own bridge of tracing's events does.
        let mut by_target: BTreeMap<&str, Vec<LogRecord>> = BTreeMap::new();
        for (target, record) in batch {
            by_target.entry(target).or_default().push(record);
        }
        let scope = |name: &str| InstrumentationScope { name: name.to_owned(), ..InstrumentationScope::default() };
        let scope_logs = by_target.into_iter().map(|(target, log_records)| ScopeLogs {
            scope: Some(scope(target)),
            log_records,
            ..ScopeLogs::default()
        });
        let scope_logs = scope_logs.collect();
        let resource = Some(self.proto_resource.clone());
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
        let body = ExportLogsServiceRequest { resource_logs }.encode_to_vec().into();
        Some(Parcel { signal: Signal::Logs, records, body })
    }

    /// Tells of losses in the log on standard output, as the other way is the one that fails.
    fn tell(&mut self) {
        let fates = &self.queues.fates;
        let [spans, logs, metrics] = Signal::ALL.map(|signal| fates.lost(signal));
        let total = spans.saturating_add(logs).saturating_add(metrics);
        if total > self.told {
            self.told = total;
            let reason = self.queues.trouble.lock().clone();
            self.sink.lost(
                "telemetry was lost: its receiver is away, slow or refuses it",
                [spans, logs, metrics],
                reason,
            );
        }
    }
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
