//! What is scraped? As Prometheus tells of its targets; whoever scrapes says which they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use causeway_diagnose::Time;
use causeway_model::Labels;
use causeway_promql::{parse_selector, print_duration_ms};
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::parameters::Parameters;
use super::{Prometheus, answer, spoken};
use crate::Desk;

/// How the last scrape of a target went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetHealth {
    /// There was none yet.
    Unknown,
    /// It answered.
    Up,
    /// It did not, or not with metrics.
    Down,
}

/// A target that is scraped.
#[derive(Debug, Clone)]
pub struct ActiveTarget {
    /// The name of its job's configuration.
    pub pool: String,
    /// Labels before relabeling.
    pub discovered_labels: Labels,
    /// Labels of its series.
    pub labels: Labels,
    /// Where it is scraped.
    pub url: String,
    /// How the last scrape went.
    pub health: TargetHealth,
    /// Why it failed, empty where it did not.
    pub last_error: String,
    /// When it began, in nanoseconds since 1970.
    pub last_scrape_unix_nano: Option<i64>,
    /// How long it took.
    pub last_scrape_duration_seconds: f64,
    /// How often it is scraped.
    pub interval_ms: i64,
    /// How long that may take.
    pub timeout_ms: i64,
}

/// A target that relabeling took away.
#[derive(Debug, Clone)]
pub struct DroppedTarget {
    /// The name of its job's configuration.
    pub pool: String,
    /// Labels before relabeling.
    pub discovered_labels: Labels,
}

/// All targets of one moment.
#[derive(Debug, Clone, Default)]
pub struct TargetList {
    /// All pools, also those without targets, and how many targets of each were dropped.
    pub pools: BTreeMap<String, u64>,
    /// Targets that are scraped, sorted by pool.
    pub active: Vec<ActiveTarget>,
    /// Targets that were dropped, as many as are remembered.
    pub dropped: Vec<DroppedTarget>,
}

/// Whoever scrapes.
pub trait Targets: Send + Sync {
    /// What it scrapes at the moment. Quick: it is asked for where others wait.
    fn targets(&self) -> TargetList;
}

/// Routes of targets.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/prometheus/api/v1/targets", get(targets))
        .route("/prometheus/api/v1/targets/metadata", get(metadata))
        .route("/prometheus/api/v1/scrape_pools", get(pools))
}

impl Prometheus {
    fn targets(&self) -> TargetList {
        self.targets.as_ref().map_or_else(TargetList::default, |targets| targets.targets())
    }
}

async fn targets(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        let prometheus = spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        let (state, pool) = (parameters.get("state").to_lowercase(), parameters.get("scrapePool"));
        let shown = |wanted: &str| ["", "any", wanted].contains(&state.as_str());
        let in_pool = |name: &str| pool.is_empty() || pool == name;
        let TargetList { pools, active, dropped } = prometheus.targets();
        let active = active.iter().filter(|target| shown("active") && in_pool(&target.pool));
        let shown_dropped = dropped.iter().filter(|target| shown("dropped") && in_pool(&target.pool));
        let counts: BTreeMap<_, _> = pools.iter().filter(|(name, _)| shown("dropped") && in_pool(name)).collect();
        Ok(json!({
            "activeTargets": active.map(active_json).collect::<Vec<_>>(),
            "droppedTargets": shown_dropped.map(dropped_json).collect::<Vec<_>>(),
            "droppedTargetCounts": counts,
        }))
    };
    answer(found.await)
}

fn map(labels: &Labels) -> Map<String, Value> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

fn active_json(target: &ActiveTarget) -> Value {
    let health = match target.health {
        TargetHealth::Unknown => "unknown",
        TargetHealth::Up => "up",
        TargetHealth::Down => "down",
    };
    // Go's zero time, by which clients know that there was none.
    let never = || "0001-01-01T00:00:00Z".to_owned();
    json!({
        "discoveredLabels": map(&target.discovered_labels),
        "labels": map(&target.labels),
        "scrapePool": target.pool,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": target.last_error,
        "lastScrape": target.last_scrape_unix_nano.map_or_else(never, |time| Time(time).to_string()),
        "lastScrapeDuration": target.last_scrape_duration_seconds,
        "health": health,
        "scrapeInterval": print_duration_ms(target.interval_ms),
        "scrapeTimeout": print_duration_ms(target.timeout_ms),
    })
}

fn dropped_json(target: &DroppedTarget) -> Value {
    json!({ "discoveredLabels": map(&target.discovered_labels), "scrapePool": target.pool })
}

/// What is known of metrics is kept by metric and not by target: `metadata` tells it.
async fn metadata(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let found = async {
        spoken(&desk)?;
        let parameters = Parameters::read(&desk, request).await?;
        parameters.count("limit")?;
        let wanted = parameters.get("match_target");
        if !wanted.is_empty() {
            parse_selector(wanted).map_err(|error| Failure::parameter("match_target", error))?;
        }
        Ok(json!([]))
    };
    answer(found.await)
}

async fn pools(State(desk): State<Arc<Desk>>) -> Response {
    let pools = |prometheus: &Prometheus| prometheus.targets().pools.into_keys().collect::<Vec<_>>();
    answer(spoken(&desk).map(|prometheus| json!({ "scrapePools": pools(prometheus) })))
}
