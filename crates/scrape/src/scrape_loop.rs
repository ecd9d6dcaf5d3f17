//! What happens to one target over time? It is scraped at its place in each interval until it goes away, and then its series end.

use std::sync::Arc;
use std::time::Duration;

use causeway_ingest::prometheus::{accept_header, series_rows};
use causeway_model::{Delivery, Error, ErrorKind, Receipt, Result};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::absorb::{Absorbed, Occasion, absorb, end};
use crate::cache::SeriesCache;
use crate::config::JobConfig;
use crate::fetch::{Answer, LazyFetcher, scrape_headers};
use crate::schedule::Schedule;
use crate::scraper::Shared;
use crate::status::{Health, Status, add};
use crate::target::Target;

/// An answer up to this size is taken in where it arrived; handing it to another thread would take as long.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// How long a store that can't be reached is left alone, where it does not say so itself.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a target is scraped, until told otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) job: Arc<JobConfig>,
    pub(crate) target: Arc<Target>,
    pub(crate) fetcher: Arc<LazyFetcher>,
    /// Why it is not scraped at all.
    pub(crate) refused: Option<String>,
}

/// What a loop is to do.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    Scrape(Arc<Plan>),
    /// End the series of the target, and end.
    Leave,
}

/// One target's loop.
pub(crate) struct ScrapeLoop {
    pub(crate) shared: Arc<Shared>,
    pub(crate) status: Arc<Mutex<Status>>,
    pub(crate) cache: SeriesCache,
}

/// Waits, on the runtime's timer.
async fn wait(duration: Duration) {
    let _elapsed = tokio::time::timeout(duration, std::future::pending::<()>()).await;
}

fn span_ns(from: i64, to: i64) -> Duration {
    Duration::from_nanos(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

impl ScrapeLoop {
    /// Scrapes by the latest order until told to leave, or nobody gives orders any more.
    pub(crate) async fn run(mut self, mut orders: watch::Receiver<Order>) {
        // The plan of the last scrape, when it was due, and the time at which it was noted.
        let mut last: Option<(Arc<Plan>, i64, i64)> = None;
        loop {
            let order = orders.borrow_and_update().clone();
            let Order::Scrape(plan) = order else {
                if let Some((plan, _, noted_ms)) = last {
                    self.leave(&plan, noted_ms).await;
                }
                return;
            };
            if last.as_ref().is_some_and(|(before, ..)| changes_names(&before.job, &plan.job)) {
                self.cache.forget_names();
            }
            let schedule = Schedule::new(plan.target.interval, plan.target.hash());
            let now = self.shared.clock.now_unix_nano();
            let due = schedule.next_scrape(now, last.as_ref().map(|(_, due, _)| *due));
            match tokio::time::timeout(span_ns(now, due), orders.changed()).await {
                Ok(Ok(())) => continue,
                Ok(Err(_)) => return,
                Err(_) => (),
            }
            let now = self.shared.clock.now_unix_nano();
            // The runtime's timer and the clock may differ; what is far too early waits again.
            if span_ns(now, due) > Duration::from_millis(1) {
                continue;
            }
            let noted_ms = schedule.noted_ms(due, now);
            self.scrape(&plan, noted_ms, schedule.next(now.max(due))).await;
            last = Some((plan, due, noted_ms));
        }
    }

    /// One scrape, noted at `time_ms`; what the store does not take before `until`, in nanoseconds since 1970, is lost.
    pub(crate) async fn scrape(&mut self, plan: &Plan, time_ms: i64, until: i64) {
        let started = self.shared.clock.now_unix_nano();
        let started_monotonic = self.shared.clock.monotonic_nano();
        let answer = self.answer(plan).await;
        let absorbed = self.absorb(plan, time_ms, answer, started_monotonic).await;
        let elapsed = self.elapsed(started_monotonic);
        let result = match absorbed {
            Ok(absorbed) => self.keep(plan, absorbed, until).await,
            Err(error) => Err(error),
        };
        add(&self.shared.counters.scrapes, 1);
        add(&self.shared.counters.failed, u64::from(result.is_err()));
        let mut status = self.status.lock();
        status.health = if result.is_ok() { Health::Up } else { Health::Down };
        // A target of which new series are refused is up, as its sample of `up` says.
        status.last_error = result.unwrap_or_else(|error| error.message);
        status.last_scrape_unix_nano = Some(started);
        status.last_scrape_duration = elapsed;
    }

    fn elapsed(&self, started_monotonic: u64) -> Duration {
        Duration::from_nanos(self.shared.clock.monotonic_nano().saturating_sub(started_monotonic))
    }

    async fn answer(&self, plan: &Plan) -> Result<Answer> {
        if let Some(refused) = &plan.refused {
            return Err(Error::invalid(refused.clone()));
        }
        let (job, target) = (&plan.job, &plan.target);
        let fetcher = plan.fetcher.get(target.request_url.scheme() == "https")?;
        let accept = accept_header(&job.scrape_protocols).replace("allow-utf-8", &job.escaping_scheme.0);
        let headers = scrape_headers(&accept, target.timeout.as_secs_f64(), job.enable_compression)?;
        let get = fetcher.get(&target.request_url, headers, job.limits.body_size);
        match tokio::time::timeout(target.timeout, get).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(ErrorKind::Timeout, format!("Get {:?}: context deadline exceeded", target.url))),
        }
    }

    async fn absorb(
        &mut self,
        plan: &Plan,
        time_ms: i64,
        answer: Result<Answer>,
        started_monotonic: u64,
    ) -> Result<Absorbed> {
        let shared = Arc::clone(&self.shared);
        let (plan, mut cache) = (plan.clone(), std::mem::take(&mut self.cache));
        let is_short = answer.as_ref().map_or(true, |answer| answer.body.len() <= INLINE_BYTES_MAX);
        let work = move || {
            let occasion = occasion(&plan, time_ms);
            let clock = Arc::clone(&shared.clock);
            let seconds = || {
                let elapsed = clock.monotonic_nano().saturating_sub(started_monotonic);
                Duration::from_nanos(elapsed).as_secs_f64()
            };
            let absorbed = absorb(&occasion, &mut cache, &shared.metadata, answer, seconds);
            (absorbed, cache)
        };
        let done = if is_short { Ok(work()) } else { tokio::task::spawn_blocking(work).await };
        let (absorbed, cache) = done.map_err(|error| Error::internal(format!("scrape: {error}")))?;
        self.cache = cache;
        absorbed
    }

    /// Keeps what was absorbed, and says what a limit refused of it.
    async fn keep(&mut self, plan: &Plan, absorbed: Absorbed, until: i64) -> Result<String> {
        let Absorbed { mut batches, mut entry, counts, error, metadata } = absorbed;
        let sender = sender(plan);
        let now = self.shared.clock.monotonic_nano();
        // Only new series are refused: a target that exposes one label too many is still seen by all that it exposed before.
        let refused = self.shared.settings.series.admit(&sender, now, &mut batches)?;
        for (reason, count) in refused.iter().flat_map(|refused| &refused.dropped) {
            entry.stored = entry.stored.saturating_sub(*count);
            entry.dropped.push(((*reason).to_owned(), *count));
        }
        let series = series_rows(&batches);
        let counters = &self.shared.counters;
        add(&counters.samples_out_of_order, counts.out_of_order);
        add(&counters.samples_duplicate, counts.duplicates);
        add(&counters.samples_out_of_bounds, counts.out_of_bounds);
        let stored = entry.stored;
        let delivery = self.delivery(plan, batches, entry);
        match self.append(delivery, until).await {
            Ok(receipt) => {
                self.cache.known.add(series, receipt);
                self.shared.metadata.lock().add(metadata, receipt);
            }
            Err(error) => {
                add(&counters.samples_lost, stored);
                tracing::warn!(error = %error, job = plan.job.job_name, "samples of a scrape are lost");
                return Err(error.context("the store did not keep the samples"));
            }
        }
        error.map_or(Ok(refused.map_or_else(String::new, |refused| refused.message)), Err)
    }

    fn delivery(
        &self,
        plan: &Plan,
        batches: Vec<causeway_model::Batch>,
        entry: causeway_model::LedgerEntry,
    ) -> Delivery {
        Delivery {
            sender: sender(plan),
            received_unix_nano: self.shared.clock.now_unix_nano(),
            batches,
            ledger: vec![entry],
        }
    }

    async fn append(&self, delivery: Delivery, until: i64) -> Result<Receipt> {
        loop {
            let error = match self.shared.appender.append(delivery.clone()).await {
                Ok(receipt) => return Ok(receipt),
                Err(error) => error,
            };
            let pause = match error.kind {
                ErrorKind::Overloaded { retry_after } => retry_after.max(Duration::from_millis(1)),
                ErrorKind::Unavailable => RETRY_AFTER,
                _ => return Err(error),
            };
            if span_ns(self.shared.clock.now_unix_nano(), until) <= pause {
                return Err(error);
            }
            wait(pause).await;
        }
    }

    /// Notes the end of all series, after the last scrape also where that is noted at the same millisecond or a later one.
    pub(crate) async fn leave(&mut self, plan: &Plan, last_noted_ms: i64) {
        let now = self.shared.clock.now_unix_nano();
        let time_ms = now.div_euclid(1_000_000).max(last_noted_ms.saturating_add(1));
        let ended = end(&occasion(plan, time_ms), &mut self.cache);
        let until = now.saturating_add(i64::try_from(plan.target.interval.as_nanos()).unwrap_or(i64::MAX));
        let kept = match ended {
            Ok((batches, entry)) => self.append(self.delivery(plan, batches, entry), until).await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::warn!(error = %error, job = plan.job.job_name, "the end of a target's series is not noted");
        }
    }
}

/// The target as the ledger names it.
fn sender(plan: &Plan) -> String {
    let instance = plan.target.labels.get("instance").unwrap_or_default();
    format!("scrape {} {instance}", plan.job.job_name)
}

fn occasion(plan: &Plan, time_ms: i64) -> Occasion<'_> {
    Occasion {
        job: &plan.job,
        labels: &plan.target.labels,
        time_ms,
        timeout_seconds: plan.target.timeout.as_secs_f64(),
    }
}

/// Whether series are named otherwise under the other configuration.
fn changes_names(one: &JobConfig, other: &JobConfig) -> bool {
    one.metric_relabel_rules != other.metric_relabel_rules
        || one.honor_labels != other.honor_labels
        || one.name_scheme != other.name_scheme
        || one.limits != other.limits
}
