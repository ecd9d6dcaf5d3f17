//! How are the targets? What `/api/v1/targets` tells of them, and what was counted of all scrapes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_model::Labels;
use parking_lot::Mutex;

use crate::target::Target;

/// Whether the last scrape of a target went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// It was not scraped yet.
    #[default]
    Unknown,
    /// It did.
    Up,
    /// It did not.
    Down,
}

impl Health {
    /// The word in Prometheus' API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How the last scrape of a target went.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) health: Health,
    pub(crate) last_error: String,
    pub(crate) last_scrape_unix_nano: Option<i64>,
    pub(crate) last_scrape_duration: Duration,
}

/// A target that is scraped.
#[derive(Debug, Clone)]
pub struct ActiveTarget {
    /// Labels before relabeling.
    pub discovered_labels: Labels,
    /// Labels that its series get.
    pub labels: Labels,
    /// Its job.
    pub scrape_pool: String,
    /// What is scraped.
    pub scrape_url: String,
    /// The same as others reach it.
    pub global_url: String,
    /// Why the last scrape failed; empty where it went well.
    pub last_error: String,
    /// When it began, in nanoseconds since 1970; nothing before the first.
    pub last_scrape_unix_nano: Option<i64>,
    /// How long it took.
    pub last_scrape_duration: Duration,
    /// How it went.
    pub health: Health,
    /// Time between two scrapes.
    pub scrape_interval: Duration,
    /// Time that one may take.
    pub scrape_timeout: Duration,
}

/// A target that relabeling dropped.
#[derive(Debug, Clone)]
pub struct DroppedTarget {
    /// Labels before relabeling.
    pub discovered_labels: Labels,
    /// Its job.
    pub scrape_pool: String,
}

/// All targets at one moment, by job and URL.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Those that are scraped.
    pub active: Vec<ActiveTarget>,
    /// Those that are not; no more than `keep_dropped_targets` of a job.
    pub dropped: Vec<DroppedTarget>,
    /// How many were dropped, by job; a job without any stands here with 0.
    pub dropped_counts: BTreeMap<String, u64>,
}

/// The targets of one job.
#[derive(Debug, Default)]
pub(crate) struct PoolStatus {
    pub(crate) active: Vec<(Arc<Target>, Arc<Mutex<Status>>)>,
    pub(crate) dropped: Vec<Labels>,
    pub(crate) dropped_count: u64,
}

impl PoolStatus {
    pub(crate) fn tell(&self, job_name: &str, hostname: &str, targets: &mut Targets) {
        let mut active: Vec<ActiveTarget> = self
            .active
            .iter()
            .map(|(target, status)| {
                let status = status.lock().clone();
                ActiveTarget {
                    discovered_labels: target.discovered_labels.clone(),
                    labels: target.labels.clone(),
                    scrape_pool: job_name.to_owned(),
                    scrape_url: target.url.clone(),
                    global_url: target.global_url(hostname),
                    last_error: status.last_error,
                    last_scrape_unix_nano: status.last_scrape_unix_nano,
                    last_scrape_duration: status.last_scrape_duration,
                    health: status.health,
                    scrape_interval: target.interval,
                    scrape_timeout: target.timeout,
                }
            })
            .collect();
        active.sort_by(|one, other| (&one.scrape_url, &one.labels).cmp(&(&other.scrape_url, &other.labels)));
        targets.active.extend(active);
        let dropped = self.dropped.iter();
        targets.dropped.extend(
            dropped.map(|labels| DroppedTarget { discovered_labels: labels.clone(), scrape_pool: job_name.to_owned() }),
        );
        targets.dropped_counts.insert(job_name.to_owned(), self.dropped_count);
    }
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrapeCounts {
    /// Scrapes.
    pub scrapes: u64,
    /// Those that failed.
    pub failed: u64,
    /// Samples with a time before that of one that is there.
    pub samples_out_of_order: u64,
    /// Samples with the time of another.
    pub samples_duplicate: u64,
    /// Samples too far ahead of now.
    pub samples_out_of_bounds: u64,
    /// Samples that the store did not take.
    pub samples_lost: u64,
}

/// The same, being counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) scrapes: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) samples_out_of_order: AtomicU64,
    pub(crate) samples_duplicate: AtomicU64,
    pub(crate) samples_out_of_bounds: AtomicU64,
    pub(crate) samples_lost: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn read(&self) -> ScrapeCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ScrapeCounts {
            scrapes: read(&self.scrapes),
            failed: read(&self.failed),
            samples_out_of_order: read(&self.samples_out_of_order),
            samples_duplicate: read(&self.samples_duplicate),
            samples_out_of_bounds: read(&self.samples_out_of_bounds),
            samples_lost: read(&self.samples_lost),
        }
    }
}
