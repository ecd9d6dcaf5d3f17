//! What of Prometheus stands in this house? Its API over the store's metrics, and its scraping by its own configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_api::prometheus::{self, TargetHealth, TargetList, Targets};
use causeway_api::{Metric, Prometheus, PrometheusOptions, SeriesLimits};
use causeway_metrics::{Metrics, MetricsOptions, Naming};
use causeway_model::{Appender, Clock, Result};
use causeway_scrape::{Config, Health, Scraper};
use causeway_store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::counted::counter;

/// Answers PromQL over this store.
pub fn answering(
    store: &Arc<Store>,
    settings: &Settings,
    clock: &dyn Clock,
    scraper: Option<Arc<Scraper>>,
) -> Prometheus {
    let resource_labels = settings.metric_resource_labels.clone();
    let naming = Naming { translation: settings.metric_names, resource_labels, ..Naming::default() };
    let metrics = Metrics::new(store.clone(), MetricsOptions { naming, ..MetricsOptions::default() });
    let options = PrometheusOptions { experimental: settings.promql_experimental, ..PrometheusOptions::default() };
    let prometheus = Prometheus::new(Arc::new(metrics), clock, options);
    match scraper {
        Some(scraper) => prometheus.with_targets(Arc::new(ScrapedTargets(scraper))),
        None => prometheus,
    }
}

/// Begins to scrape what the configuration names, where there is one.
///
/// # Errors
/// `Invalid` or `Unavailable` where it can't be read.
pub async fn scraping(
    settings: &Settings,
    appender: Arc<dyn Appender>,
    clock: Arc<dyn Clock>,
    series: Arc<SeriesLimits>,
    stop: &CancellationToken,
) -> Result<Option<Arc<Scraper>>> {
    let Some(path) = settings.scrape_config.clone() else { return Ok(None) };
    let scrape = causeway_scrape::Settings { series, ..causeway_scrape::Settings::default() };
    let scraper = Arc::new(Scraper::start(read(&path)?, appender, clock, scrape).await);
    tokio::spawn(reload_at_hangup(scraper.clone(), path, stop.clone()));
    Ok(Some(scraper))
}

fn read(path: &Path) -> Result<Config> {
    let config = Config::load(path)?;
    for warning in &config.warnings {
        tracing::warn!(path = %path.display(), "{warning}");
    }
    tracing::info!(path = %path.display(), jobs = config.jobs.len(), "scraping");
    Ok(config)
}

/// Goes by the file anew at each SIGHUP, as Prometheus does; one that is wrong changes nothing.
async fn reload_at_hangup(scraper: Arc<Scraper>, path: PathBuf, stop: CancellationToken) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => return tracing::warn!(%error, "SIGHUP will not be heard"),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            hangup = hangups.recv() => if hangup.is_none() { return },
        }
        match read(&path) {
            Ok(config) => scraper.reload(config).await,
            Err(error) => tracing::error!("the scraping goes on as it was: {error}"),
        }
    }
}

/// What was scraped, for /metrics.
pub fn scrape_metrics(scraper: &Scraper) -> Vec<Metric> {
    let counts = scraper.counts();
    let mut metrics = vec![
        counter("causeway_scrapes_total", "Scrapes.", counts.scrapes),
        counter("causeway_scrapes_failed_total", "Scrapes that failed.", counts.failed),
    ];
    let refused = [
        ("out_of_order", counts.samples_out_of_order),
        ("duplicate", counts.samples_duplicate),
        ("out_of_bounds", counts.samples_out_of_bounds),
        ("lost", counts.samples_lost),
    ];
    let help = "Scraped samples that were not stored, by reason.";
    metrics.extend(
        refused.map(|(reason, count)| {
            counter("causeway_scraped_samples_refused_total", help, count).with("reason", reason)
        }),
    );
    metrics
}

/// The scraper's targets in the words of the API.
struct ScrapedTargets(Arc<Scraper>);

impl Targets for ScrapedTargets {
    fn targets(&self) -> TargetList {
        let targets = self.0.targets();
        let milliseconds = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let active = targets.active.into_iter().map(|target| prometheus::ActiveTarget {
            pool: target.scrape_pool,
            discovered_labels: target.discovered_labels,
            labels: target.labels,
            url: target.scrape_url,
            health: match target.health {
                Health::Unknown => TargetHealth::Unknown,
                Health::Up => TargetHealth::Up,
                Health::Down => TargetHealth::Down,
            },
            last_error: target.last_error,
            last_scrape_unix_nano: target.last_scrape_unix_nano,
            last_scrape_duration_seconds: target.last_scrape_duration.as_secs_f64(),
            interval_ms: milliseconds(target.scrape_interval),
            timeout_ms: milliseconds(target.scrape_timeout),
        });
        let dropped = targets.dropped.into_iter().map(|target| prometheus::DroppedTarget {
            pool: target.scrape_pool,
            discovered_labels: target.discovered_labels,
        });
        TargetList { pools: targets.dropped_counts, active: active.collect(), dropped: dropped.collect() }
    }
}
