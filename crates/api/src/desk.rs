//! What stands on the front desk? All that the dialects share, and the routes of each door.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use causeway_flags::FlagStore;
use causeway_ingest::SeriesLimits;
use causeway_ingest::prometheus::Known;
use causeway_model::{Appender, Clock};
use causeway_query::Answerer;
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::body::{BODY_BYTES_MAX, IN_FLIGHT_BYTES_MAX};
use crate::loki::{self, Loki};
use crate::observe::{Metric, RequestStats, Vitals};
use crate::otlp::Intake;
use crate::prometheus::{self, Prometheus};
use crate::{Pages, changes, diagnose, flags, observe, ofrep, operator, otlp, pages, senders, sql, ui};

/// Limits of what clients may do.
#[derive(Debug, Clone)]
pub struct DeskLimits {
    /// Bytes of one body after decompression.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are being received or decoded.
    pub in_flight_bytes_max: usize,
    /// A body of which nothing comes for this long is given up. 30 s: senders' own time-outs are 10 s.
    pub body_idle_max: Duration,
    /// Bodies that are decoded at the same time: the machine's cores, as more would only take turns.
    pub decoders_max: usize,
    /// The web pages that may use it.
    pub pages: Pages,
    /// How many series may be active; shared with whatever else takes samples in.
    pub series: Arc<SeriesLimits>,
}

impl Default for DeskLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: BODY_BYTES_MAX,
            in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
            body_idle_max: Duration::from_secs(30),
            decoders_max: std::thread::available_parallelism().map_or(1, usize::from),
            pages: Pages::default(),
            series: Arc::default(),
        }
    }
}

/// The query languages of others that a desk speaks.
#[derive(Default)]
pub struct Languages {
    /// PromQL, by Prometheus' API.
    pub prometheus: Option<Prometheus>,
    /// LogQL, by Loki's.
    pub loki: Option<Loki>,
}

/// What every dialect works with.
pub struct Desk {
    pub(crate) intake: Intake,
    pub(crate) answerer: Arc<dyn Answerer>,
    pub(crate) vitals: Arc<dyn Vitals>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) requests: RequestStats,
    pub(crate) pages: Pages,
    pub(crate) flags: Arc<FlagStore>,
    pub(crate) prometheus: Option<Prometheus>,
    pub(crate) loki: Option<Loki>,
    /// Series that remote write has brought and that are kept.
    pub(crate) known_series: Arc<RwLock<Known>>,
    /// Whoever keeps changes.
    pub(crate) change_turn: Semaphore,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk that keeps through `appender`, asks `answerer`, shows `vitals` to operators, evaluates `flags` and speaks the
    /// languages that it gets.
    pub fn new(
        appender: Arc<dyn Appender>,
        answerer: Arc<dyn Answerer>,
        vitals: Arc<dyn Vitals>,
        clock: Arc<dyn Clock>,
        limits: &DeskLimits,
        flags: Arc<FlagStore>,
        languages: Languages,
    ) -> Arc<Self> {
        let intake = Intake::new(appender, clock.clone(), limits);
        let (requests, change_turn, pages) = (RequestStats::default(), Semaphore::new(1), limits.pages.clone());
        let (known_series, Languages { prometheus, loki }) = (Arc::default(), languages);
        Arc::new(Self {
            intake,
            answerer,
            vitals,
            clock,
            requests,
            pages,
            flags,
            prometheus,
            loki,
            known_series,
            change_turn,
        })
    }

    /// Everything: OTLP over HTTP and gRPC, other senders of logs, SQL, the debugging loop, changes, flags, Prometheus' and
    /// Loki's APIs, the operator's pages and the screens.
    pub fn all(self: &Arc<Self>) -> Router {
        let routes = otlp::http::routes().merge(otlp::grpc::routes()).merge(sql::routes()).merge(operator::routes());
        let routes = routes
            .merge(changes::routes())
            .merge(flags::routes())
            .merge(ofrep::routes())
            .merge(prometheus::routes())
            .merge(loki::routes())
            .merge(senders::routes());
        self.finish(routes.merge(diagnose::routes()).merge(ui::routes()).fallback(operator::not_found))
    }

    /// OTLP over HTTP alone.
    pub fn otlp_http(self: &Arc<Self>) -> Router {
        self.finish(otlp::http::routes().fallback(operator::not_found))
    }

    /// OTLP over gRPC alone.
    pub fn otlp_grpc(self: &Arc<Self>) -> Router {
        self.finish(otlp::grpc::routes().fallback(otlp::grpc::unknown_method))
    }

    /// Counters and gauges: the desk's own and those of the house.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.vitals.metrics();
        metrics.extend(self.intake.metrics());
        metrics.extend(self.intake.series_metrics());
        metrics.extend(self.requests.metrics());
        metrics.extend(self.prometheus.iter().flat_map(Prometheus::metrics));
        metrics
    }

    fn finish(self: &Arc<Self>, routes: Router<Arc<Self>>) -> Router {
        let checked = axum::middleware::from_fn_with_state(self.clone(), pages::check);
        let observed = axum::middleware::from_fn_with_state(self.clone(), observe::observe);
        routes.layer(checked).layer(observed).with_state(self.clone())
    }
}
