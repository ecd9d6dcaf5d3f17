//! Who scrapes all jobs? The door of this room: start by a configuration, reload another, ask how the targets are, stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_ingest::SeriesLimits;
use causeway_ingest::prometheus::Known;
use causeway_model::{Appender, Clock};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::discovery::FILE_LOOK_INTERVAL;
use crate::pool::{Pool, PoolOrder};
use crate::status::{Counters, PoolStatus, ScrapeCounts, Targets};

/// Orders that wait until a pool has time for them.
const ORDERS_MAX: usize = 4;

/// What no configuration file says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of this machine, for URLs that others can reach; may be empty.
    pub hostname: String,
    /// How often files with targets are looked at for changes.
    pub file_look_interval: Duration,
    /// How many series may be active; shared with the other ways in.
    pub series: Arc<SeriesLimits>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { hostname: String::new(), file_look_interval: FILE_LOOK_INTERVAL, series: Arc::default() }
    }
}

/// What all loops share.
pub(crate) struct Shared {
    pub(crate) appender: Arc<dyn Appender>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) counters: Counters,
    /// Metadata that stands in the store, by day: the targets of a job all say the same.
    pub(crate) metadata: Mutex<Known>,
}

struct RunningPool {
    orders: mpsc::Sender<PoolOrder>,
    status: Arc<Mutex<PoolStatus>>,
}

/// Status of all pools by the names of their jobs.
type Statuses = Arc<Mutex<BTreeMap<String, Arc<Mutex<PoolStatus>>>>>;

/// Another configuration, and whom to tell that it counts.
type Reload = (Config, oneshot::Sender<()>);

/// Scrapes until it is stopped; where it is dropped, everything ends at once.
pub struct Scraper {
    shared: Arc<Shared>,
    reloads: mpsc::Sender<Reload>,
    statuses: Statuses,
    manager: Mutex<JoinSet<()>>,
}

impl Scraper {
    /// Begins to scrape, on the runtime that it is called on. Samples go to the appender, one delivery a scrape.
    pub async fn start(config: Config, appender: Arc<dyn Appender>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        let shared = Arc::new(Shared {
            appender,
            clock,
            settings,
            counters: Counters::default(),
            metadata: Mutex::new(Known::default()),
        });
        let (reloads, receiver) = mpsc::channel(ORDERS_MAX);
        let statuses = Statuses::default();
        let mut manager = JoinSet::new();
        let (for_manager, of_manager) = (Arc::clone(&shared), Arc::clone(&statuses));
        manager.spawn(async move {
            let (running, tasks) = (BTreeMap::new(), JoinSet::new());
            Manager { shared: for_manager, statuses: of_manager, running, tasks }.run(receiver).await;
        });
        let scraper = Self { shared, reloads, statuses, manager: Mutex::new(manager) };
        scraper.reload(config).await;
        scraper
    }

    /// Goes on by another configuration. Targets that are in both are scraped on as they were; the series of others end. After
    /// [`Self::stop`] nothing happens.
    pub async fn reload(&self, config: Config) {
        let (done, is_done) = oneshot::channel();
        if self.reloads.send((config, done)).await.is_ok() {
            let _stopped_meanwhile = is_done.await;
        }
    }

    /// How all targets are at this moment.
    pub fn targets(&self) -> Targets {
        let mut targets = Targets::default();
        for (name, status) in &*self.statuses.lock() {
            status.lock().tell(name, &self.shared.settings.hostname, &mut targets);
        }
        targets
    }

    /// Names of all jobs, sorted.
    pub fn scrape_pools(&self) -> Vec<String> {
        self.statuses.lock().keys().cloned().collect()
    }

    /// What was counted since the start.
    pub fn counts(&self) -> ScrapeCounts {
        self.shared.counters.read()
    }

    /// Ends all scraping. No series ends by it: who starts again goes on where this was.
    pub async fn stop(&self) {
        let mut manager = std::mem::take(&mut *self.manager.lock());
        manager.shutdown().await;
        self.statuses.lock().clear();
    }
}

/// Keeps one pool a job.
struct Manager {
    shared: Arc<Shared>,
    statuses: Statuses,
    running: BTreeMap<String, RunningPool>,
    tasks: JoinSet<()>,
}

impl Manager {
    async fn run(mut self, mut reloads: mpsc::Receiver<Reload>) {
        loop {
            tokio::select! {
                reload = reloads.recv() => {
                    let Some((config, done)) = reload else { return };
                    self.reload(config).await;
                    let _nobody_waits = done.send(());
                }
                Some(_ended) = self.tasks.join_next() => (),
            }
        }
    }

    async fn reload(&mut self, config: Config) {
        for warning in &config.warnings {
            tracing::warn!("scrape configuration: {warning}");
        }
        let mut before = std::mem::take(&mut self.running);
        for job in config.jobs {
            let name = job.job_name.clone();
            let job = Arc::new(job);
            if let Some(pool) = before.remove(&name)
                && pool.orders.send(PoolOrder::Reload(Arc::clone(&job))).await.is_ok()
            {
                self.running.insert(name, pool);
                continue;
            }
            let (orders, receiver) = mpsc::channel(ORDERS_MAX);
            let status = Arc::<Mutex<PoolStatus>>::default();
            self.tasks.spawn(Pool::new(Arc::clone(&self.shared), job, Arc::clone(&status)).run(receiver));
            self.running.insert(name, RunningPool { orders, status });
        }
        for pool in before.into_values() {
            // One that has ended already has nothing to end.
            let _ended = pool.orders.send(PoolOrder::Leave).await;
        }
        let statuses = self.running.iter().map(|(name, pool)| (name.clone(), Arc::clone(&pool.status)));
        *self.statuses.lock() = statuses.collect();
    }
}
