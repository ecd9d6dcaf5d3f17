//! Who is answered now, and who waits? Questions that read series or lines take turns: some work at one time, some wait, each within its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use causeway_model::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::observe::Metric;
use crate::prometheus::failure::{ErrorType, Failure};

/// When to ask again where too many wait already.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where questions take turns.
pub struct Turns {
    places: Arc<Semaphore>,
    places_max: usize,
    waiting: Semaphore,
    waiting_max: usize,
    timeout_max: Duration,
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
pub struct Waited(Arc<AtomicBool>);

impl Waited {
    /// # Errors
    /// `Cancelled` when nobody waits any more.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "query was canceled in expression evaluation"));
        }
        Ok(())
    }
}

fn timed_out(at: &str) -> Failure {
    Failure::new(ErrorType::Timeout, format!("query timed out in {at}"))
}

impl Turns {
    /// So many are answered and wait at one time, none for longer than `timeout_max`.
    pub fn new(places_max: usize, waiting_max: usize, timeout_max: Duration) -> Self {
        let places_max = places_max.max(1);
        let (places, waiting) = (Arc::new(Semaphore::new(places_max)), Semaphore::new(waiting_max));
        Self { places, places_max, waiting, waiting_max, timeout_max, refused: Refused::default() }
    }

    /// Works where waiting is allowed, in one of the places and within the time. Who goes on holding what the work gave keeps the
    /// place as well.
    ///
    /// # Errors
    /// What `work` gives; a time-out, or that too many wait already.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(Waited) -> Result<T> + Send + 'static,
    ) -> Result<(T, OwnedSemaphorePermit), Failure> {
        let deadline = tokio::time::Instant::now() + timeout.min(self.timeout_max);
        let place = self.place(deadline).await?;
        let flag = Arc::new(AtomicBool::new(false));
        let mut call_off = CallOff { flag: flag.clone(), canceled: &self.refused.canceled, is_settled: false };
        let waited = Waited(flag);
        let work = tokio::task::spawn_blocking(move || work(waited).map(|done| (done, place)));
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

    /// The same in the words of our own API, where what is wrong with a question is told from a limit that it reached.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) async fn ask_plainly<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(Waited) -> Result<T> + Send + 'static,
    ) -> Result<(T, OwnedSemaphorePermit)> {
        let asked = self.ask(timeout, move |waited| match work(waited) {
            Err(error) if error.kind == ErrorKind::Invalid => Ok(Err(error)),
            done => done.map(Ok),
        });
        let (done, place) = asked.await?;
        Ok((done?, place))
    }

    async fn place(&self, deadline: tokio::time::Instant) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let Ok(_turn) = self.waiting.try_acquire() else {
            self.refused.queue_full.fetch_add(1, Ordering::Relaxed);
            let message = format!("{} questions wait already", self.waiting_max);
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
        let working = self.places_max.saturating_sub(self.places.available_permits());
        let waiting = self.waiting_max.saturating_sub(self.waiting.available_permits());
        let now = [
            Metric::gauge(
                "causeway_promql_queries",
                "Questions in PromQL, LogQL and TraceQL that are being answered.",
                working as f64,
            ),
            Metric::gauge(
                "causeway_promql_queries_waiting",
                "Questions in PromQL, LogQL and TraceQL that wait for their turn.",
                waiting as f64,
            ),
        ];
        let reasons = [
            ("queue_full", &self.refused.queue_full),
            ("timeout", &self.refused.timeout),
            ("limit", &self.refused.limit),
            ("canceled", &self.refused.canceled),
        ];
        let refused = reasons.map(|(reason, count)| {
            let help = "Questions in PromQL, LogQL and TraceQL that got no answer, by reason.";
            let count = count.load(Ordering::Relaxed) as f64;
            Metric::counter("causeway_promql_queries_refused_total", help, count).with("reason", reason)
        });
        now.into_iter().chain(refused).collect()
    }
}
