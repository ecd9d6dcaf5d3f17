//! How is Prometheus' HTTP API spoken? Below `/prometheus`, over whoever knows series: a stock client gets the base URL
//! `http://host:4300/prometheus` (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

pub(crate) mod counted;
mod encode;
mod error_groups;
pub(crate) mod failure;
pub(crate) mod parameters;
pub(crate) mod patterns;
mod query;
mod remote_read;
mod remote_write;
mod series;
mod services;
mod status;
mod targets;
mod use_method;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use causeway_model::{Clock, Error, Result};
use causeway_promql::{Catalog, Matcher, Options, Syntax};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::Desk;
use crate::observe::Metric;
use crate::turns::{Turns, Waited};
use counted::{Counted, Period};
use failure::{ErrorType, Failure};

pub use targets::{ActiveTarget, DroppedTarget, TargetHealth, TargetList, Targets};

/// The version of Prometheus whose API this is. Clients decide by it what they may ask.
pub const PROMETHEUS_VERSION: &str = "3.9.0";
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
    turns: Arc<Turns>,
}

impl Prometheus {
    /// Answers from `catalog`.
    pub fn new(catalog: Arc<dyn Catalog>, clock: &dyn Clock, options: PrometheusOptions) -> Self {
        Self {
            catalog,
            targets: None,
            started_unix_nano: clock.now_unix_nano(),
            turns: Arc::new(Turns::new(options.queries_max, options.queries_waiting_max, options.timeout_max)),
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

    /// Works in one of the places, as [`Turns::ask`] has it.
    async fn ask<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(&dyn Catalog, Waited) -> Result<T> + Send + 'static,
    ) -> Result<(T, OwnedSemaphorePermit), Failure> {
        let catalog = self.catalog.clone();
        self.turns.ask(timeout, move |waited| work(&*catalog, waited)).await
    }

    /// The series that fulfil conditions, with their exact counts in a time.
    ///
    /// # Errors
    /// Those of reading and of waiting for a turn.
    pub(crate) async fn counted(&self, matchers: Vec<Matcher>, period: Period) -> Result<Vec<Counted>> {
        let read = move |catalog: &dyn Catalog, waited: Waited| counted::read(matchers, &period, catalog, &waited);
        Ok(self.ask(self.options.timeout_max, read).await?.0)
    }

    /// Where questions take turns; those of other languages do so too.
    pub fn turns(&self) -> Arc<Turns> {
        self.turns.clone()
    }

    /// Questions under way and refused.
    pub fn metrics(&self) -> Vec<Metric> {
        self.turns.metrics()
    }
}

/// Routes of Prometheus' API.
pub fn routes() -> Router<Arc<Desk>> {
    let asked = query::routes().merge(series::routes()).merge(status::routes());
    let asked = asked.merge(targets::routes()).merge(use_method::routes());
    let asked = asked.merge(patterns::routes()).merge(error_groups::routes()).merge(services::routes());
    asked.merge(remote_read::routes()).merge(remote_write::routes())
}

/// Whoever answers PromQL, for questions of our own over series.
fn answering(desk: &Desk) -> Result<&Prometheus> {
    desk.prometheus.as_ref().ok_or_else(|| Error::invalid("this server does not answer PromQL"))
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
