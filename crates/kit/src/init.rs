//! What does one call set up? Logs, traces and metrics of a service, and the parts that its handlers and clients are made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt, Tracer as _, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::ScopeMetrics;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, filter};

use crate::clock::{Clock, Rng, moved};
use crate::log::{LogLayer, LogSink};
use crate::losses::Fates;
use crate::metrics::{Durations, Exemplars, MetricExporter, Producers};
use crate::outbox::{Outbox, SpanQueue};
use crate::settings::Settings;

/// Time for what still waits when a service ends. Orchestrators kill after 10 to 30 s; the service's own work needs the rest.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a service could not be made debuggable.
#[derive(Debug)]
pub struct InitError {
    what: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl InitError {
    fn new(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { what, source: source.into() }
    }
}

impl std::fmt::Display for InitError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.what, self.source)
    }
}

impl std::error::Error for InitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// A service's telemetry. Clones are the same.
#[derive(Debug, Clone)]
pub struct Kit {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    rng: Arc<Rng>,
    tracer: SdkTracer,
    tracer_provider: SdkTracerProvider,
    meter: Meter,
    meter_provider: SdkMeterProvider,
    exemplars: Arc<Exemplars>,
    producers: Arc<Producers>,
    roots: Vec<reqwest::Certificate>,
    outbox: Arc<Outbox>,
    sink: Arc<LogSink>,
    /// The subscriber, where it is not the program's.
    scoped: Option<Dispatch>,
    draining: AtomicBool,
}

impl Drop for Inner {
    /// Who did not call `shutdown` must not be held up for telemetry that nobody asked to be sent.
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// Sets the program's logs, traces and metrics up: once, at the start of `main`.
///
/// # Errors
/// When something else has set a subscriber already, a header is not valid or no thread can be started.
pub fn init(settings: Settings) -> Result<Kit, InitError> {
    let (kit, dispatch) = build(settings, false)?;
    tracing::dispatcher::set_global_default(dispatch)
        .map_err(|error| InitError::new("a subscriber is set already", error))?;
    opentelemetry::global::set_tracer_provider(kit.inner.tracer_provider.clone());
    opentelemetry::global::set_meter_provider(kit.inner.meter_provider.clone());
    Ok(kit)
}

/// The same for one of several services in one program: its layers and clients use its own telemetry; other code does inside `Kit::run`.
/// A span that ends on a thread outside of that, such as SQLite's, leaves its parent open: tracing closes by the thread's own subscriber.
///
/// # Errors
/// As `init`.
pub fn init_scoped(settings: Settings) -> Result<Kit, InitError> {
    build(settings, true).map(|(kit, _)| kit)
}

fn build(mut settings: Settings, scoped: bool) -> Result<(Kit, Dispatch), InitError> {
    let rng = Arc::new(std::mem::replace(&mut settings.rng, Rng::from_seed(0)));
    let clock = Arc::clone(&settings.clock);
    let resource = resource(&settings, &rng);
    let sink = Arc::new(LogSink::new(&mut settings));
    let roots = crate::tls::roots(settings.root_certificates.as_deref())
        .map_err(|error| InitError::new("root certificates can't be read", error))?;
    let outbox = Outbox::start(&mut settings, &resource, Arc::clone(&sink), Arc::clone(&rng))
        .map_err(|error| InitError::new("telemetry can't be sent", error))?;
    let tracer_provider = SdkTracerProvider::builder()
        .with_sampler(settings.sampling)
        .with_resource(resource.clone())
        .with_span_processor(SpanQueue { outbox: Arc::clone(&outbox), ahead_ns: clock.ahead_ns() })
        .build();
    let exemplars = Arc::new(Exemplars::new(Arc::clone(&clock)));
    let producers = Arc::new(Producers::default());
    let exporter = MetricExporter {
        outbox: Arc::clone(&outbox),
        exemplars: Arc::clone(&exemplars),
        producers: Arc::clone(&producers),
    };
    let reader = PeriodicReader::builder(exporter).with_interval(settings.metrics_interval).build();
    let meter_provider = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
    let scope = InstrumentationScope::builder(crate::SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
    let tracer = tracer_provider.tracer_with_scope(scope.clone());
    let meter = meter_provider.meter_with_scope(scope);
    outbox.fates().observe(&meter);
    crate::process::observe(&meter);

    let log_filter = EnvFilter::try_new(&settings.log_filter).unwrap_or_else(|error| {
        settings.complaints.push(format!("RUST_LOG: {error}"));
        EnvFilter::new("info")
    });
    // Spans whatever the logs' level, or a quieter log would cost the traces; events become logs, not a second copy in the span.
    let spans = filter::filter_fn(|metadata| metadata.is_span() && *metadata.level() <= LevelFilter::INFO);
    let spans = spans.with_max_level_hint(LevelFilter::INFO);
    let logs = LogLayer { sink: Arc::clone(&sink), outbox: Arc::clone(&outbox) };
    let bridge = tracing_opentelemetry::layer()
        .with_tracer(tracer.clone())
        .with_location(false)
        .with_threads(false)
        .with_target(false);
    let dispatch = Dispatch::new(
        tracing_subscriber::registry().with(bridge.with_filter(spans)).with(logs.with_filter(log_filter)),
    );
    for complaint in &settings.complaints {
        sink.warn("settings.ignored", complaint);
    }
    let scoped = scoped.then(|| dispatch.clone());
    let draining = AtomicBool::new(false);
    let inner = Inner {
        clock,
        rng,
        tracer,
        tracer_provider,
        meter,
        meter_provider,
        exemplars,
        producers,
        roots,
        outbox,
        sink,
        scoped,
        draining,
    };
    Ok((Kit { inner: Arc::new(inner) }, dispatch))
}

fn resource(settings: &Settings, rng: &Rng) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.name", settings.service.clone()),
        KeyValue::new("service.version", settings.version.clone()),
        KeyValue::new("service.instance.id", format!("{:016x}", rng.next_u64())),
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("telemetry.sdk.language", "rust"),
        KeyValue::new("telemetry.sdk.name", "opentelemetry"),
    ];
    for (key, value) in [("deployment.environment.name", &settings.environment), ("cloud.region", &settings.region)] {
        if !value.is_empty() {
            attributes.push(KeyValue::new(key, value.clone()));
        }
    }
    attributes.extend(settings.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    Resource::builder_empty().with_attributes(attributes).build()
}

impl Kit {
    /// For metrics of the service's own.
    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    /// For spans that tracing's macros can't make, such as ones that began earlier.
    pub fn tracer(&self) -> &SdkTracer {
        &self.inner.tracer
    }

    /// A span that is over already, `duration` long until now: for waits that are only worth telling once they were long.
    pub(crate) fn past_span(
        &self,
        name: &'static str,
        duration: Duration,
        attributes: Vec<KeyValue>,
        parent: &Context,
    ) {
        if parent.has_active_span() {
            // By the machine's clock, as all spans are until they leave.
            let ended = moved(self.inner.clock.unix_time(), self.inner.clock.ahead_ns().saturating_neg());
            let started = ended.checked_sub(duration).unwrap_or(std::time::UNIX_EPOCH);
            let builder = self.inner.tracer.span_builder(name).with_kind(SpanKind::Internal).with_start_time(started);
            let mut span = builder.with_attributes(attributes).start_with_context(&self.inner.tracer, parent);
            span.end_with_timestamp(ended);
        }
    }

    /// A histogram of durations in seconds whose buckets lead to traces.
    pub fn durations(&self, name: &'static str, description: &'static str) -> Durations {
        Durations::new(&self.inner.meter, &self.inner.exemplars, name, description)
    }

    /// Metrics that are counted elsewhere and leave with the kit's own, each time as they are then.
    pub fn produce_metrics(&self, producer: impl Fn() -> ScopeMetrics + Send + Sync + 'static) {
        self.inner.producers.add(Arc::new(producer));
    }

    /// What an HTTP client for this URL begins with.
    pub(crate) fn http_client(&self, url: &str) -> reqwest::ClientBuilder {
        crate::tls::client(url, &self.inner.roots)
    }

    /// What became of the telemetry so far.
    pub fn fates(&self) -> &Fates {
        self.inner.outbox.fates()
    }

    /// The clock that it was given.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The randomness that it was given.
    pub fn rng(&self) -> &Arc<Rng> {
        &self.inner.rng
    }

    /// The subscriber, where it is not the program's own.
    pub(crate) fn scoped(&self) -> Option<&Dispatch> {
        self.inner.scoped.as_ref()
    }

    /// Runs a future with this kit's subscriber; the same as awaiting it, after `init`.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        use tracing::instrument::WithSubscriber;
        match self.scoped() {
            Some(dispatch) => work.with_subscriber(dispatch.clone()).await,
            None => work.await,
        }
    }

    /// From now on the service is not ready: it ends.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Relaxed)
    }

    /// Sends everything measured so far; returns when it has arrived or could not be sent now.
    pub async fn flush(&self) {
        tokio::join!(self.send_metrics(false), self.inner.outbox.flush(false));
    }

    /// Sends what waits, within the limit; what could not be sent is counted and told in the log. Later telemetry is dropped.
    pub async fn shutdown(&self, limit: Duration) {
        let work = async { tokio::join!(self.send_metrics(true), self.inner.outbox.flush(true)) };
        if tokio::time::timeout(limit, work).await.is_err() {
            self.inner.outbox.abandon();
            let lost = crate::losses::Signal::ALL.map(|signal| self.fates().lost(signal));
            let reason = self.inner.outbox.trouble();
            self.inner.sink.lost("telemetry was not sent in time before the end", lost, reason);
        }
    }

    /// The SDK's reader waits for its own thread, so that it gets one that may wait.
    async fn send_metrics(&self, last: bool) {
        let provider = self.inner.meter_provider.clone();
        let work = move || if last { provider.shutdown() } else { provider.force_flush() };
        let _failures_are_counted = tokio::task::spawn_blocking(work).await;
    }
}

/// Sets an attribute on the span of the request that is being answered, such as its tenant.
pub fn set_attribute(key: impl Into<opentelemetry::Key>, value: impl Into<opentelemetry::Value>) {
    let attribute = KeyValue::new(key, value);
    Context::map_current(|context| context.span().set_attribute(attribute));
}
