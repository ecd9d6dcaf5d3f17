//! Which targets does a job have, and who scrapes them? What discovery finds is relabeled; new targets get a loop, those that are gone end.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::cache::SeriesCache;
use crate::config::{JobConfig, TargetGroup};
use crate::discovery::{self, TARGETS_MAX, discover};
use crate::fetch::LazyFetcher;
use crate::scrape_loop::{Order, Plan, ScrapeLoop};
use crate::scraper::Shared;
use crate::status::{PoolStatus, Status};
use crate::target::{Found, Target, TargetKey, targets_of};

/// Finds that wait until the pool has time for them.
const FINDS_MAX: usize = 16;

/// Dropped targets of a job that are remembered where `keep_dropped_targets` sets no limit.
const DROPPED_MAX: usize = 10_000;

/// What a pool is told.
pub(crate) enum PoolOrder {
    /// Go on by this configuration.
    Reload(Arc<JobConfig>),
    /// End the series of all targets, and end.
    Leave,
}

struct Running {
    orders: watch::Sender<Order>,
    plan: Arc<Plan>,
    status: Arc<Mutex<Status>>,
}

/// One job at work.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    job: Arc<JobConfig>,
    fetcher: Arc<LazyFetcher>,
    pub(crate) status: Arc<Mutex<PoolStatus>>,
    /// What each discovery found last; nothing before it found anything.
    groups: Vec<Option<Vec<TargetGroup>>>,
    running: BTreeMap<TargetKey, Running>,
    loops: JoinSet<()>,
    discoveries: JoinSet<()>,
}

impl Pool {
    pub(crate) fn new(shared: Arc<Shared>, job: Arc<JobConfig>, status: Arc<Mutex<PoolStatus>>) -> Self {
        let fetcher = Arc::new(LazyFetcher::new(job.http.clone()));
        Self {
            shared,
            job,
            fetcher,
            status,
            groups: Vec::new(),
            running: BTreeMap::new(),
            loops: JoinSet::new(),
            discoveries: JoinSet::new(),
        }
    }

    /// Works until told to leave; where nobody gives orders any more, everything stops at once.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<PoolOrder>) {
        let mut finds = self.begin_discovery();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(PoolOrder::Reload(job)) => {
                        if let Some(new) = self.reload(job) {
                            finds = new;
                        }
                    }
                    Some(PoolOrder::Leave) => break,
                    None => return,
                },
                Some(found) = finds.recv() => self.take(found),
                Some(_ended) = self.loops.join_next() => (),
            }
        }
        self.discoveries.abort_all();
        for running in self.running.values() {
            running.orders.send_replace(Order::Leave);
        }
        while self.loops.join_next().await.is_some() {}
    }

    fn begin_discovery(&mut self) -> mpsc::Receiver<discovery::Found> {
        let (sender, finds) = mpsc::channel(FINDS_MAX);
        self.discoveries = JoinSet::new();
        self.groups = vec![None; self.job.discovery.len()];
        for (number, discovery) in self.job.discovery.iter().enumerate() {
            let look_interval = self.shared.settings.file_look_interval;
            self.discoveries.spawn(discover(discovery.clone(), number, look_interval, sender.clone()));
        }
        if self.groups.is_empty() {
            self.synchronize();
        }
        finds
    }

    fn reload(&mut self, job: Arc<JobConfig>) -> Option<mpsc::Receiver<discovery::Found>> {
        if *self.job == *job {
            return None;
        }
        let before = std::mem::replace(&mut self.job, job);
        if before.http != self.job.http {
            self.fetcher = Arc::new(LazyFetcher::new(self.job.http.clone()));
        }
        if before.discovery != self.job.discovery {
            return Some(self.begin_discovery());
        }
        self.synchronize();
        None
    }

    fn take(&mut self, found: discovery::Found) {
        if let Some(groups) = self.groups.get_mut(found.number) {
            *groups = Some(found.groups);
            self.synchronize();
        }
    }

    /// Targets by what tells them apart, and what was dropped.
    fn targets(&self) -> (BTreeMap<TargetKey, Target>, Vec<causeway_model::Labels>, u64) {
        let kept_max = match usize::try_from(self.job.limits.keep_dropped_targets) {
            Ok(0) => DROPPED_MAX,
            Ok(limit) => limit.min(DROPPED_MAX),
            Err(_) => DROPPED_MAX,
        };
        let (mut targets, mut dropped, mut dropped_count) = (BTreeMap::new(), Vec::new(), 0u64);
        for group in self.groups.iter().flatten().flatten() {
            for found in targets_of(group, &self.job) {
                match found {
                    Found::Active(target) if targets.len() < TARGETS_MAX => {
                        targets.entry(target.key()).or_insert(*target);
                    }
                    Found::Active(target) => {
                        tracing::warn!(
                            job = target.job_name,
                            "more than {TARGETS_MAX} targets: the others are left out"
                        );
                        return (targets, dropped, dropped_count);
                    }
                    Found::Dropped(labels) => {
                        dropped_count = dropped_count.saturating_add(1);
                        if dropped.len() < kept_max {
                            dropped.push(labels);
                        }
                    }
                    Found::Failed(error) => {
                        tracing::warn!(error = %error, job = self.job.job_name, "a target can't be scraped");
                    }
                }
            }
        }
        (targets, dropped, dropped_count)
    }

    /// Brings loops and targets together. None ends before all discoveries have found something.
    fn synchronize(&mut self) {
        let (targets, dropped, dropped_count) = self.targets();
        if self.groups.iter().all(Option::is_some) {
            self.follow_moved(&targets);
            self.running.retain(|key, running| {
                let stays = targets.contains_key(key);
                if !stays {
                    running.orders.send_replace(Order::Leave);
                }
                stays
            });
        }
        let limit = self.job.limits.target;
        let count = targets.len() as u64;
        let refused = (limit > 0 && count > limit)
            .then(|| format!("target_limit exceeded (number of targets: {count}, limit: {limit})"));
        for (key, target) in targets {
            let plan = Plan {
                job: Arc::clone(&self.job),
                target: Arc::new(target),
                fetcher: Arc::clone(&self.fetcher),
                refused: refused.clone(),
            };
            self.scrape(key, plan);
        }
        let active = self.running.values();
        let active = active.map(|running| (Arc::clone(&running.plan.target), Arc::clone(&running.status))).collect();
        *self.status.lock() = PoolStatus { active, dropped, dropped_count };
    }

    /// A target that is found under another URL has the same series: its loop goes on, so that none of them ends.
    fn follow_moved(&mut self, targets: &BTreeMap<TargetKey, Target>) {
        for new in targets.keys() {
            if self.running.contains_key(new) {
                continue;
            }
            let mut before = self.running.range(new.first_of_labels()..).map(|(key, _)| key);
            let before =
                before.by_ref().take_while(|key| key.has_labels_of(new)).find(|key| !targets.contains_key(key));
            if let Some(running) = before.cloned().and_then(|before| self.running.remove(&before)) {
                self.running.insert(new.clone(), running);
            }
        }
    }

    fn scrape(&mut self, key: TargetKey, plan: Plan) {
        if let Some(running) = self.running.get_mut(&key) {
            let old = &running.plan;
            let is_same = Arc::ptr_eq(&old.job, &plan.job)
                && Arc::ptr_eq(&old.fetcher, &plan.fetcher)
                && old.refused == plan.refused
                && old.target == plan.target;
            if !is_same {
                running.plan = Arc::new(plan);
                running.orders.send_replace(Order::Scrape(Arc::clone(&running.plan)));
            }
            return;
        }
        let (plan, status) = (Arc::new(plan), Arc::<Mutex<Status>>::default());
        let (orders, receiver) = watch::channel(Order::Scrape(Arc::clone(&plan)));
        let scrape_loop =
            ScrapeLoop { shared: Arc::clone(&self.shared), status: Arc::clone(&status), cache: SeriesCache::default() };
        self.loops.spawn(scrape_loop.run(receiver));
        self.running.insert(key, Running { orders, plan, status });
    }
}
