//! What was kept just now? Batches of a table are held for a moment for those who follow it; while nobody does, none are.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use causeway_model::{Appender, Batch, Delivery, Error, ErrorKind, Receipt, Result, Table, Tailed};
use futures::stream::{BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::watch;

/// What may be followed.
const TABLES: [Table; 2] = [Table::Logs, Table::Spans];
/// Who may follow a table at one time. 100: more people than look at one system.
const FOLLOWERS_MAX: usize = 100;
/// Bytes of what is held of a table for those who follow. 64 MiB: some seconds of a hundred thousand records each.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Records that are told at one time at most; the newest stay. 1,000: nobody reads more in a moment.
const TOLD_MAX: usize = 1_000;
/// Bytes of what is told at one time at most, about; the newest record is told in any case. 1 MiB: far more than anybody reads in a moment, and
/// what a hundred that read slowly hold stays small.
const TOLD_BYTES_MAX: usize = 1 << 20;
/// When to come back where too many follow.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What was kept last of a table.
#[derive(Debug, Default)]
struct Held {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// Records before the first batch, since somebody follows.
    rows_before: u64,
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
            self.rows_before += oldest.rows() as u64;
            self.first += 1;
        }
    }

    fn clear(&mut self) {
        (self.rows_before, self.first) = (self.rows(), self.end());
        self.batches.clear();
        self.bytes = 0;
    }

    fn end(&self) -> u64 {
        self.first + self.batches.len() as u64
    }

    /// Records up to the last batch.
    fn rows(&self) -> u64 {
        self.rows_before + rows(self.batches.iter())
    }
}

fn rows<'a>(batches: impl Iterator<Item = &'a Arc<Batch>>) -> u64 {
    batches.map(|batch| batch.rows() as u64).sum()
}

/// A table, and those who follow it.
#[derive(Debug)]
struct Feed {
    table: Table,
    held: Mutex<Held>,
    followers: AtomicUsize,
    missed: AtomicU64,
    /// The number of the next batch.
    arrived: watch::Sender<u64>,
}

impl Feed {
    fn of(table: Table) -> Arc<Self> {
        let (arrived, _) = watch::channel(0);
        let (held, followers, missed) = (Mutex::default(), AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { table, held, followers, missed, arrived })
    }
}

/// How many follow a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveFigures {
    /// The table.
    pub table: Table,
    /// Those who follow now.
    pub followers: usize,
    /// Bytes held for them.
    pub held_bytes: usize,
    /// Records that they did not get, as more came than they could take.
    pub missed: u64,
}

/// Hands on what is kept, and tells those who follow.
pub struct Live {
    inner: Arc<dyn Appender>,
    feeds: [Arc<Feed>; TABLES.len()],
}

impl Live {
    /// In front of a store.
    pub fn new(inner: Arc<dyn Appender>) -> Self {
        Self { inner, feeds: TABLES.map(Feed::of) }
    }

    /// How many follow which table.
    pub fn figures(&self) -> [LiveFigures; TABLES.len()] {
        self.feeds.each_ref().map(|feed| LiveFigures {
            table: feed.table,
            followers: feed.followers.load(Ordering::Relaxed),
            held_bytes: feed.held.lock().bytes,
            missed: feed.missed.load(Ordering::Relaxed),
        })
    }

    /// What `look` finds in all batches of a table that are kept from now on. Whoever takes nothing for a while costs nothing and misses records.
    ///
    /// # Errors
    /// `Overloaded` when too many follow already, `Invalid` for a table that can't be followed.
    pub fn follow<T: Send + 'static>(
        &self,
        table: Table,
        look: impl Fn(Vec<Arc<Batch>>, &mut Newest<T>) -> Result<()> + Send + Sync + 'static,
    ) -> Result<BoxStream<'static, Tailed<T>>> {
        let feed = self.feeds.iter().find(|feed| feed.table == table);
        let feed = feed.ok_or_else(|| Error::invalid(format!("{} can't be followed", table.name())))?;
        let place = Place::take(feed)?;
        let (next, rows_seen) = {
            let held = feed.held.lock();
            (held.end(), held.rows())
        };
        let follower = Follower { place, look: Arc::new(look), arrived: feed.arrived.subscribe(), next, rows_seen };
        Ok(futures::stream::unfold(follower, Follower::tell).boxed())
    }
}

impl Appender for Live {
    fn append(&self, delivery: Delivery) -> Pin<Box<dyn Future<Output = Result<Receipt>> + Send + '_>> {
        Box::pin(async move {
            let of = |table: Table| self.feeds.iter().find(|feed| feed.table == table);
            let fed = |batch: &Batch| of(batch.table()).filter(|_| batch.rows() > 0).map(|feed| (feed, batch.clone()));
            let batches: Vec<(&Arc<Feed>, Batch)> = delivery.batches.iter().filter_map(fed).collect();
            // What was not kept will be sent again.
            let receipt = self.inner.append(delivery).await?;
            // Whoever began to follow meanwhile may have looked back before this was there.
            let is_followed = |feed: &Feed| feed.followers.load(Ordering::Relaxed) > 0;
            for (feed, batch) in batches.into_iter().filter(|(feed, _)| is_followed(feed)) {
                let mut held = feed.held.lock();
                held.push(Arc::new(batch));
                feed.arrived.send_replace(held.end());
            }
            Ok(receipt)
        })
    }
}

/// Takes what is found, of which the newest stay where there is too much.
pub struct Newest<T> {
    found: VecDeque<(i64, usize, T)>,
    bytes: usize,
    left_out: u64,
}

impl<T> Newest<T> {
    /// Adds something with its time in nanoseconds since 1970 and its bytes.
    pub fn push(&mut self, time_ns: i64, bytes: usize, item: T) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.found.push_back((time_ns, bytes, item));
        while (self.found.len() > TOLD_MAX || self.bytes > TOLD_BYTES_MAX && self.found.len() > 1)
            && let Some((_, bytes, _)) = self.found.pop_front()
        {
            self.bytes -= bytes;
            self.left_out += 1;
        }
    }

    /// What stayed in order of time, and how much was left out.
    fn finish(self) -> (Vec<T>, u64) {
        let mut found: Vec<(i64, usize, T)> = self.found.into();
        found.sort_by_key(|(time_ns, _, _)| *time_ns);
        (found.into_iter().map(|(_, _, item)| item).collect(), self.left_out)
    }
}

/// One of those who follow, counted as long as it does.
struct Place(Arc<Feed>);

impl Place {
    fn take(feed: &Arc<Feed>) -> Result<Self> {
        let place = Self(feed.clone());
        if feed.followers.fetch_add(1, Ordering::Relaxed) >= FOLLOWERS_MAX {
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

struct Follower<L> {
    place: Place,
    look: Arc<L>,
    arrived: watch::Receiver<u64>,
    /// Number of the batch that is wanted next.
    next: u64,
    /// Records before it.
    rows_seen: u64,
}

impl<L> Follower<L> {
    /// Waits for what comes and tells it.
    async fn tell<T: Send + 'static>(mut self) -> Option<(Tailed<T>, Self)>
    where
        L: Fn(Vec<Arc<Batch>>, &mut Newest<T>) -> Result<()> + Send + Sync + 'static,
    {
        let next = self.next;
        self.arrived.wait_for(|arrived| *arrived > next).await.ok()?;
        let (batches, missed) = self.take();
        let seen = rows(batches.iter());
        let look = self.look.clone();
        // Expressions over many records take a while.
        let found = tokio::task::spawn_blocking(move || {
            let mut newest = Newest { found: VecDeque::new(), bytes: 0, left_out: 0 };
            look(batches, &mut newest).map(|()| newest.finish())
        });
        // What can't be looked at is missed.
        let (found, left_out) = found.await.ok()?.unwrap_or_else(|_| (Vec::new(), seen));
        let missed = missed + left_out;
        self.place.0.missed.fetch_add(missed, Ordering::Relaxed);
        Some((Tailed { found, seen, missed }, self))
    }

    /// The batches that came, and how many records came before them that are held no more.
    fn take(&mut self) -> (Vec<Arc<Batch>>, u64) {
        let held = self.place.0.held.lock();
        let missed = if held.first > self.next { held.rows_before.saturating_sub(self.rows_seen) } else { 0 };
        let skip = usize::try_from(self.next.saturating_sub(held.first)).unwrap_or(usize::MAX);
        let batches: Vec<Arc<Batch>> = held.batches.iter().skip(skip).cloned().collect();
        (self.next, self.rows_seen) = (held.end(), held.rows());
        (batches, missed)
    }
}
