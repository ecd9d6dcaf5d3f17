//! Which lines come now? What was kept is held for a moment for those who follow; while nobody does, nothing is.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use causeway_logql::ast::LogQuery;
use causeway_logql::{Entry, FoundLine, LineTail, Lines, Looked, Span, Tailed};
use causeway_model::{Appender, Batch, Delivery, Error, ErrorKind, Receipt, Result, Table};
use futures::stream::{BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Who may follow at one time. 100: more people than look at one system.
const FOLLOWERS_MAX: usize = 100;
/// Bytes of what is held for those who follow. 64 MiB: some seconds of a hundred thousand lines each.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Lines that are told at one time at most; the newest stay. 1,000: nobody reads more in a moment.
const TOLD_MAX: usize = 1_000;
/// When to come back where too many follow.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What was kept last.
#[derive(Debug, Default)]
struct Held {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// Lines before the first batch, since somebody follows.
    lines_before: u64,
    /// Number of the first batch.
    first: u64,
}

impl Held {
    fn push(&mut self, batch: Arc<Batch>) {
        self.bytes += batch.memory_bytes();
        self.batches.push_back(batch);
        while self.bytes > HELD_BYTES_MAX
            && let Some(oldest) = self.batches.pop_front()
        {
            self.bytes -= oldest.memory_bytes();
            self.lines_before += oldest.rows() as u64;
            self.first += 1;
        }
    }

    fn clear(&mut self) {
        self.lines_before += self.batches.iter().map(|batch| batch.rows() as u64).sum::<u64>();
        self.first += self.batches.len() as u64;
        self.batches.clear();
        self.bytes = 0;
    }

    fn end(&self) -> u64 {
        self.first + self.batches.len() as u64
    }
}

#[derive(Debug)]
struct Shared {
    held: Mutex<Held>,
    followers: AtomicUsize,
    missed: AtomicU64,
    /// The number of the next batch.
    arrived: watch::Sender<u64>,
}

/// How many follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveFigures {
    /// Now.
    pub followers: usize,
    /// Bytes held for them.
    pub held_bytes: usize,
    /// Lines that they did not get, as more came than they could take.
    pub missed: u64,
}

/// Hands on what is kept, and tells those who follow.
pub struct Live {
    inner: Arc<dyn Appender>,
    shared: Arc<Shared>,
}

impl Live {
    /// In front of a store.
    pub fn new(inner: Arc<dyn Appender>) -> Self {
        let (arrived, _) = watch::channel(0);
        let (held, followers, missed) = (Mutex::default(), AtomicUsize::new(0), AtomicU64::new(0));
        Self { inner, shared: Arc::new(Shared { held, followers, missed, arrived }) }
    }

    /// How many follow.
    pub fn figures(&self) -> LiveFigures {
        let shared = &self.shared;
        LiveFigures {
            followers: shared.followers.load(Ordering::Relaxed),
            held_bytes: shared.held.lock().bytes,
            missed: shared.missed.load(Ordering::Relaxed),
        }
    }
}

impl Appender for Live {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        Box::pin(async move {
            let followed = self.shared.followers.load(Ordering::Relaxed) > 0;
            let logs = |batch: &&Batch| followed && batch.table() == Table::Logs && batch.rows() > 0;
            let batches: Vec<Batch> = delivery.batches.iter().filter(logs).cloned().collect();
            // What was not kept will be sent again.
            let receipt = self.inner.append(delivery).await?;
            if !batches.is_empty() {
                let mut held = self.shared.held.lock();
                batches.into_iter().for_each(|batch| held.push(Arc::new(batch)));
                self.shared.arrived.send_replace(held.end());
            }
            Ok(receipt)
        })
    }
}

impl LineTail for Live {
    fn follow(&self, query: LogQuery) -> Result<BoxStream<'static, Tailed>> {
        let place = Place::take(&self.shared)?;
        let (next, lines_seen) = {
            let held = self.shared.held.lock();
            let rows: u64 = held.batches.iter().map(|batch| batch.rows() as u64).sum();
            (held.end(), held.lines_before + rows)
        };
        let (query, arrived) = (Arc::new(query), self.shared.arrived.subscribe());
        let follower = Follower { place, query, arrived, next, lines_seen };
        Ok(futures::stream::unfold(follower, Follower::tell).boxed())
    }
}

/// One of those who follow, counted as long as it does.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Result<Self> {
        let place = Self(shared.clone());
        if shared.followers.fetch_add(1, Ordering::Relaxed) >= FOLLOWERS_MAX {
            let message = format!("{FOLLOWERS_MAX} follow already");
            return Err(Error::new(ErrorKind::Overloaded { retry_after: RETRY_AFTER }, message));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.followers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.held.lock().clear();
        }
    }
}

struct Follower {
    place: Place,
    query: Arc<LogQuery>,
    arrived: watch::Receiver<u64>,
    /// Number of the batch that is wanted next.
    next: u64,
    /// Lines before it.
    lines_seen: u64,
}

impl Follower {
    /// Waits for what comes and tells it.
    async fn tell(mut self) -> Option<(Tailed, Self)> {
        let next = self.next;
        self.arrived.wait_for(|arrived| *arrived > next).await.ok()?;
        let (batches, missed) = self.take();
        let seen: u64 = batches.iter().map(|batch| batch.rows() as u64).sum();
        let query = self.query.clone();
        // Expressions over many lines take a while.
        let found = tokio::task::spawn_blocking(move || kept(&query, batches)).await.ok()?;
        let (lines, cut) = found.unwrap_or_default();
        let missed = missed + cut;
        self.place.0.missed.fetch_add(missed, Ordering::Relaxed);
        Some((Tailed { lines, seen, missed }, self))
    }

    /// The batches that came, and how many lines came before them that are held no more.
    fn take(&mut self) -> (Vec<Arc<Batch>>, u64) {
        let held = self.place.0.held.lock();
        let missed = if held.first > self.next { held.lines_before.saturating_sub(self.lines_seen) } else { 0 };
        let skip = usize::try_from(self.next.saturating_sub(held.first)).unwrap_or(usize::MAX);
        let batches: Vec<Arc<Batch>> = held.batches.iter().skip(skip).cloned().collect();
        let rows: u64 = held.batches.iter().map(|batch| batch.rows() as u64).sum();
        (self.next, self.lines_seen) = (held.end(), held.lines_before + rows);
        (batches, missed)
    }
}

/// The lines of some batches that a query keeps, the newest of them where there are too many, and how many were left out.
fn kept(query: &LogQuery, batches: Vec<Arc<Batch>>) -> Result<(Vec<FoundLine>, u64)> {
    let (mut found, mut left_out) = (VecDeque::new(), 0);
    let span = Span { after_ns: i64::MIN, until_ns: i64::MAX };
    let wanted = Lines {
        matchers: &query.matchers,
        needles: &[],
        equal: &[],
        looked: &Looked::ALL,
        text: true,
        span,
        backward: false,
        ends_early: false,
        interrupted: &|| Ok(()),
    };
    let take = |entry: Entry<'_>| {
        found.extend(query.kept(&entry));
        if found.len() > TOLD_MAX {
            found.pop_front();
            left_out += 1;
        }
        Ok(span)
    };
    crate::visit((batches, Vec::new()), &wanted, &mut [Box::new(take)])?;
    let mut found: Vec<FoundLine> = found.into();
    found.sort_by_key(|line| line.time_ns);
    Ok((found, left_out))
}
