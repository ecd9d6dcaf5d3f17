//! How is Prometheus' HTTP API spoken? Below `/prometheus`, over whoever knows series: a stock client gets the base URL
//! `http://host:4300/prometheus` (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

mod encode;
mod failure;
mod parameters;
mod query;
mod remote_read;
mod remote_write;
mod series;
mod status;
mod targets;
mod use_method;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use causeway_model::{Clock, Error, ErrorKind, Result};
use causeway_promql::{Catalog, Options, Syntax};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Desk;
use crate::observe::{Metric, Reading};
use failure::{ErrorType, Failure};

pub use targets::{ActiveTarget, DroppedTarget, TargetHealth, TargetList, Targets};

/// The version of Prometheus whose API this is. Clients decide by it what they may ask.
pub const PROMETHEUS_VERSION: &str = "3.9.0";
/// When to ask again where too many wait already.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What questions in PromQL may do and take.
#[derive(Debug, Clone)]
pub struct PrometheusOptions {
    /// Whether the experimental parts of the language may be used; off, they are refused as Prometheus refuses them.
    pub experimental: bool,
    /// How long a sample stands for its series. 5 min, as in Prometheus.
    pub lookback: Duration,
    /// The longest that a question may take, its waiting included; `timeout` can only shorten it. 2 min, as in Prometheus.
    pub timeout_max: Duration,
    /// Questions that are answered at the same time. 8, as for SQL: more would only take turns.
    pub queries_max: usize,
    /// Questions that wait for their turn. 256: a wall of dashboards that load at once.
    pub queries_waiting_max: usize,
    /// Samples that one question holds at one time. 50 million, as in Prometheus.
    pub samples_max: usize,
    /// Bytes of intermediate results that one question holds. 256 MiB: eight of them fit a machine of 4 GB.
    pub memory_bytes_max: usize,
    /// Threads of one question: the machine's cores.
    pub parallelism: usize,
    /// The step of subqueries that name none. 1 min, as in Prometheus.
    pub subquery_step: Duration,
    /// Bytes of one answer of remote read, before compression. 256 MiB, as it is built in memory.
    pub read_bytes_max: usize,
}

impl Default for PrometheusOptions {
    fn default() -> Self {
        Self {
            experimental: false,
            lookback: Duration::from_secs(300),
            timeout_max: Duration::from_secs(120),
            queries_max: 8,
            queries_waiting_max: 256,
            samples_max: 50_000_000,
            memory_bytes_max: 256 << 20,
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            subquery_step: Duration::from_secs(60),
            read_bytes_max: 256 << 20,
        }
    }
}

/// Answers Prometheus' API.
pub struct Prometheus {
    catalog: Arc<dyn Catalog>,
    targets: Option<Arc<dyn Targets>>,
    options: PrometheusOptions,
    started_unix_nano: i64,
    places: Arc<Semaphore>,
    waiting: Semaphore,
    refused: Refused,
}

/// Questions that got no answer, by reason.
#[derive(Debug, Default)]
struct Refused {
    queue_full: AtomicU64,
    timeout: AtomicU64,
    limit: AtomicU64,
    canceled: AtomicU64,
}

/// Calls work off when whoever waits for it is gone.
struct CallOff<'a> {
    flag: Arc<AtomicBool>,
    canceled: &'a AtomicU64,
    is_settled: bool,
}

impl Drop for CallOff<'_> {
    fn drop(&mut self) {
        self.flag.store(true, Ordering::Relaxed);
        self.canceled.fetch_add(u64::from(!self.is_settled), Ordering::Relaxed);
    }
}

/// Tells work whether somebody still waits for it.
#[derive(Clone)]
struct Waited(Arc<AtomicBool>);

impl Waited {
    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "query was canceled in expression evaluation"));
        }
        Ok(())
    }
}

fn timed_out(at: &str) -> Failure {
    Failure::new(ErrorType::Timeout, format!("query timed out in {at}"))
}

impl Prometheus {
    /// Answers from `catalog`.
    pub fn new(catalog: Arc<dyn Catalog>, clock: &dyn Clock, options: PrometheusOptions) -> Self {
        Self {
            catalog,
            targets: None,
            started_unix_nano: clock.now_unix_nano(),
            places: Arc::new(Semaphore::new(options.queries_max.max(1))),
            waiting: Semaphore::new(options.queries_waiting_max),
            refused: Refused::default(),
            options,
        }
    }

    /// The same, which also tells what is scraped.
    #[must_use]
    pub fn with_targets(mut self, targets: Arc<dyn Targets>) -> Self {
        self.targets = Some(targets);
        self
    }

    fn syntax(&self) -> Syntax {
        if self.options.experimental { Syntax::ALL } else { Syntax::default() }
    }

    /// How far back a sample counts where the question does not say.
    fn lookback_ms(&self) -> i64 {
        i64::try_from(self.options.lookback.as_millis()).unwrap_or(i64::MAX)
    }

    /// How a question is evaluated, within the limits.
    fn evaluation(&self, lookback_ms: i64) -> Options {
        Options {
            lookback_ms,
            samples_max: self.options.samples_max,
            memory_bytes_max: self.options.memory_bytes_max,
            parallelism: self.options.parallelism.max(1),
            subquery_step_ms: i64::try_from(self.options.subquery_step.as_millis()).unwrap_or(i64::MAX),
            ..Options::default()
        }
    }

    /// Works where waiting is allowed, in one of the places and within the time. Who goes on holding what the work gave keeps the
    /// place as well.
    async fn ask<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(&dyn Catalog, Waited) -> Result<T> + Send + 'static,
    ) -> Result<(T, OwnedSemaphorePermit), Failure> {
        let deadline = tokio::time::Instant::now() + timeout.min(self.options.timeout_max);
        let place = self.place(deadline).await?;
        let flag = Arc::new(AtomicBool::new(false));
        let mut call_off = CallOff { flag: flag.clone(), canceled: &self.refused.canceled, is_settled: false };
        let waited = Waited(flag);
        let catalog = self.catalog.clone();
        let work = tokio::task::spawn_blocking(move || work(&*catalog, waited).map(|done| (done, place)));
        let done = tokio::time::timeout_at(deadline, work).await;
        call_off.is_settled = true;
        let Ok(done) = done else {
            self.refused.timeout.fetch_add(1, Ordering::Relaxed);
            return Err(timed_out("expression evaluation"));
        };
        let done = done.map_err(|_| Failure::new(ErrorType::Internal, "answering this question failed"))?;
        done.map_err(|error| {
            if error.kind == ErrorKind::LimitExceeded {
                self.refused.limit.fetch_add(1, Ordering::Relaxed);
            }
            error.into()
        })
    }

    async fn place(&self, deadline: tokio::time::Instant) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let Ok(_turn) = self.waiting.try_acquire() else {
            self.refused.queue_full.fetch_add(1, Ordering::Relaxed);
            let message = format!("{} questions wait already", self.options.queries_waiting_max);
            return Err(Failure { retry_after: Some(RETRY_AFTER), ..Failure::new(ErrorType::Unavailable, message) });
        };
        match tokio::time::timeout_at(deadline, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(Failure::new(ErrorType::Unavailable, "shutting down")),
            Err(_) => {
                self.refused.timeout.fetch_add(1, Ordering::Relaxed);
                Err(timed_out("query queue"))
            }
        }
    }

    /// Questions under way and refused.
    pub fn metrics(&self) -> Vec<Metric> {
        let working = self.options.queries_max.max(1).saturating_sub(self.places.available_permits());
        let waiting = self.options.queries_waiting_max.saturating_sub(self.waiting.available_permits());
        let gauge =
            |name, help, value: usize| Metric { name, help, labels: Vec::new(), reading: Reading::Gauge(value as f64) };
        let now = [
            gauge("causeway_promql_queries", "Questions of Prometheus' API that are being answered.", working),
            gauge("causeway_promql_queries_waiting", "Questions of Prometheus' API that wait for their turn.", waiting),
        ];
        let reasons = [
            ("queue_full", &self.refused.queue_full),
            ("timeout", &self.refused.timeout),
            ("limit", &self.refused.limit),
            ("canceled", &self.refused.canceled),
        ];
        let refused = reasons.map(|(reason, count)| Metric {
            name: "causeway_promql_queries_refused_total",
            help: "Questions of Prometheus' API that got no answer, by reason.",
            labels: vec![("reason", reason.to_owned())],
            reading: Reading::Counter(count.load(Ordering::Relaxed) as f64),
        });
        now.into_iter().chain(refused).collect()
    }
}

/// Routes of Prometheus' API.
pub fn routes() -> Router<Arc<Desk>> {
    let asked = query::routes().merge(series::routes()).merge(status::routes());
    let asked = asked.merge(targets::routes()).merge(use_method::routes());
    asked.merge(remote_read::routes()).merge(remote_write::routes())
}

/// The dialect, where this desk speaks it.
fn spoken(desk: &Desk) -> Result<&Prometheus, Failure> {
    let absent = || Failure::new(ErrorType::NotFound, "this server does not answer Prometheus' API");
    desk.prometheus.as_ref().ok_or_else(absent)
}

/// Small data, or why there is none.
fn answer<T: Serialize>(result: Result<T, Failure>) -> Response {
    #[derive(Serialize)]
    struct Success<T> {
        status: &'static str,
        data: T,
    }
    match result {
        Ok(data) => axum::Json(Success { status: "success", data }).into_response(),
        Err(failure) => failure.into_response(),
    }
}
