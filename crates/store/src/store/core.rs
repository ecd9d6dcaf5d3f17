//! How is a delivery kept, and how does memory become parts? The steps themselves, each called by one thread in turn;
//! a simulation calls them without any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use causeway_model::{Clock, Delivery, Error, ErrorKind, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::keeper::{Change, Keeper};
use super::lock::DirectoryLock;
use super::metrics::{Counters, Refusal};
use super::state::{Frozen, State, Trash};
use super::{Health, StoreOptions};
use crate::catalog::{CatalogCommit, rebuild};
use crate::disk::Disk;
use crate::part::{NewPart, Part, PartMeta, write_part};
use crate::wal::Wal;

/// What an overloaded sender is told to wait. 1 s: a flush of one generation takes about as long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A delivery on its way into the log.
#[derive(Debug)]
pub struct Queued {
    /// Its bytes in the log.
    pub payload: Vec<u8>,
    /// Itself.
    pub delivery: Delivery,
}

/// Why the store can't do its work now; each is cleared by the next success.
#[derive(Debug, Default)]
pub struct Problems {
    /// Of the last group of deliveries.
    pub append: Option<String>,
    /// Of the last flush.
    pub flush: Option<String>,
}

/// The store without its threads.
#[derive(Debug)]
pub struct Core {
    /// Limits and places.
    pub options: StoreOptions,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// The log; `None` while it is being replayed.
    pub wal: Mutex<Option<Wal>>,
    /// The catalog.
    pub keeper: Mutex<Keeper>,
    /// What is seen.
    pub state: Mutex<State>,
    /// What was counted.
    pub counters: Counters,
    /// What is wrong now.
    pub problems: Mutex<Problems>,
    /// Bytes of deliveries that wait for their sync.
    pub queue_bytes: AtomicUsize,
    /// The id of the next part.
    pub next_part_id: AtomicU64,
    /// One flush at a time.
    pub flushing: Mutex<()>,
    /// Told at the end of each flush.
    pub memory_freed: Notify,
    /// Held to the end.
    pub _lock: Option<DirectoryLock>,
}

impl Core {
    /// Takes room in the queue for a delivery of this size; [`Self::release`] gives it back.
    ///
    /// # Errors
    /// `Overloaded` when there is none for now.
    pub fn admit(&self, bytes: usize) -> Result<()> {
        // One delivery is let in however large it is, as its sender could never make it smaller by waiting.
        let room = |waiting: usize| {
            let sum = waiting.saturating_add(bytes);
            (waiting == 0 || sum <= self.options.queue_bytes_max).then_some(sum)
        };
        match self.queue_bytes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.overloaded(Refusal::Queue, "too many bytes wait for their sync")),
        }
    }

    /// Waits until a flush has made room in memory. A sender that is kept waiting slows down at once and sends no byte twice,
    /// which a refusal would have it do.
    ///
    /// # Errors
    /// `Overloaded` when that takes longer than [`StoreOptions::memory_wait_max`], or flushing fails.
    pub async fn wait_for_memory(&self) -> Result<()> {
        if let Some(decided) = self.memory_has_room() {
            return decided;
        }
        let room = async {
            loop {
                let freed = self.memory_freed.notified();
                if let Some(decided) = self.memory_has_room() {
                    return decided;
                }
                freed.await;
            }
        };
        tokio::time::timeout(self.options.memory_wait_max, room).await.unwrap_or_else(|_| Err(self.memory_full()))
    }

    /// `None` while a flush is still making room.
    fn memory_has_room(&self) -> Option<Result<()>> {
        let full = {
            let state = self.state.lock();
            state.frozen.is_some() && state.active.bytes() >= self.options.memtable_bytes_max
        };
        if !full {
            return Some(Ok(()));
        }
        self.problems.lock().flush.is_some().then(|| Err(self.memory_full()))
    }

    fn memory_full(&self) -> Error {
        self.overloaded(Refusal::Memory, "the disk does not keep up: memory is full until a flush ends")
    }

    fn overloaded(&self, refusal: Refusal, why: &str) -> Error {
        self.counters.refuse(refusal);
        Error::new(ErrorKind::Overloaded { retry_after: RETRY_AFTER }, why)
    }

    /// Gives the room of [`Self::admit`] back.
    pub fn release(&self, bytes: usize) {
        self.queue_bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Keeps a group of deliveries: one sync, then all are visible. Answers the first one's sequence.
    ///
    /// # Errors
    /// `Unavailable`: none of them is kept.
    pub fn keep(&self, group: Vec<Queued>) -> Result<u64> {
        let kept = self.log(&group);
        self.problems.lock().append = kept.as_ref().err().map(|error| error.message.clone());
        let first = kept.inspect_err(|_| self.counters.refuse_many(Refusal::Disk, group.len()))?;
        let now = self.clock.monotonic_nano();
        let mut state = self.state.lock();
        for (sequence, queued) in (first..).zip(group) {
            state.insert(sequence, queued.delivery, now);
        }
        Ok(first)
    }

    fn log(&self, group: &[Queued]) -> Result<u64> {
        let free = self.disk.free_bytes()?;
        if free < self.options.disk_reserve_bytes {
            let message =
                format!("the disk is full: {free} bytes are free, {} are reserved", self.options.disk_reserve_bytes);
            return Err(Error::unavailable(message));
        }
        let payloads: Vec<&[u8]> = group.iter().map(|queued| queued.payload.as_slice()).collect();
        let started = self.clock.monotonic_nano();
        let mut wal = self.wal.lock();
        let wal = wal.as_mut().ok_or_else(|| Error::unavailable("the log is being replayed"))?;
        let first = wal.append_group(&payloads)?;
        self.counters.synced(self.clock.monotonic_nano().saturating_sub(started), wal.bytes());
        Ok(first)
    }

    /// Whether memory is large or old enough to be flushed.
    pub fn flush_is_due(&self) -> bool {
        let age_max = u64::try_from(self.options.memtable_age_max.as_nanos()).unwrap_or(u64::MAX);
        let now = self.clock.monotonic_nano();
        let state = self.state.lock();
        state.frozen.is_some()
            || state.active.bytes() >= self.options.memtable_bytes_max
            || state.active_since.is_some_and(|since| now.saturating_sub(since) >= age_max)
    }

    /// Whether memory has just become full. Unlike [`Self::flush_is_due`] not true while a flush is being tried: a disk that
    /// refuses is asked again at each tick, not at each delivery.
    pub fn flush_is_wanted(&self) -> bool {
        let state = self.state.lock();
        state.frozen.is_none() && state.active.bytes() >= self.options.memtable_bytes_max
    }

    /// Brings all that is in memory now into parts.
    ///
    /// # Errors
    /// `Unavailable` when the disk or the catalog refuses: all stays in memory and in the log.
    pub fn flush(&self) -> Result<()> {
        let _one = self.flushing.lock();
        let target = self.state.lock().sequence;
        let mut flushed = self.finish_flush();
        while flushed.is_ok() && self.state.lock().flushed_sequence < target {
            flushed = self.flush_generation().and_then(|()| self.finish_flush());
        }
        self.problems.lock().flush = flushed.as_ref().err().map(|error| error.message.clone());
        self.memory_freed.notify_waiters();
        flushed
    }

    fn flush_generation(&self) -> Result<()> {
        self.settle()?;
        let Some(frozen) = self.state.lock().freeze() else { return Ok(()) };
        let parts = self.write_generation(&frozen)?;
        let bytes = parts.iter().map(|part| part.meta().bytes).sum();
        let add = parts.iter().map(|part| part.meta().clone()).collect();
        let commit = CatalogCommit { add, flushed: Some(frozen.flushed.clone()), ..CatalogCommit::default() };
        self.commit(Change { commit, parts })?;
        self.counters.flushed(bytes);
        Ok(())
    }

    /// Writes the copy beside the catalog and cuts the log, where an earlier flush has not come to it.
    pub fn finish_flush(&self) -> Result<()> {
        let Some(flushed) = self.state.lock().uncopied.clone() else { return Ok(()) };
        rebuild::write_copy(&self.disk, &flushed)?;
        {
            let mut state = self.state.lock();
            state.copied_sequence = flushed.sequence;
            state.uncopied.take_if(|newest| newest.sequence == flushed.sequence);
        }
        self.cut_log(flushed.sequence);
        Ok(())
    }

    /// Lets go of the log up to a sequence that is in parts and in the copy.
    pub fn cut_log(&self, sequence: u64) {
        if let Some(Err(error)) = self.wal.lock().as_mut().map(|wal| wal.cut(sequence)) {
            tracing::warn!(target: "causeway::store", "the log stays longer than it must: {error}");
        }
    }

    fn write_generation(&self, frozen: &Frozen) -> Result<Vec<Arc<Part>>> {
        let mut parts = Vec::new();
        for table in frozen.memtable.tables() {
            let new = NewPart {
                id: self.next_id(),
                level: 0,
                sequences: frozen.sequences,
                created_unix_nano: self.clock.now_unix_nano(),
            };
            let batches = frozen.memtable.batches(table);
            let written = write_part(&self.disk, table, &batches, &new, &self.options.part);
            match written.and_then(|meta| self.open_part(meta)) {
                Ok(part) => parts.push(part),
                Err(error) => {
                    self.discard(Trash { table, id: new.id, part: None, since: None });
                    parts.into_iter().for_each(|part| self.discard_part(part));
                    return Err(error.context(format!("flush of {}", table.name())));
                }
            }
        }
        Ok(parts)
    }

    /// An id that no part has.
    pub fn next_id(&self) -> u64 {
        self.next_part_id.fetch_add(1, Ordering::SeqCst)
    }

    /// Opens a part that was just written, which checks it before anything depends on it.
    pub fn open_part(&self, meta: PartMeta) -> Result<Arc<Part>> {
        Ok(Arc::new(Part::open(&self.disk, meta)?))
    }

    /// Files that never counted go.
    pub fn discard(&self, trash: Trash) {
        self.state.lock().trash.push(trash);
    }

    /// A part that never counted goes.
    pub fn discard_part(&self, part: Arc<Part>) {
        let (table, id) = (part.meta().table, part.meta().id);
        self.discard(Trash { table, id, part: Some(part), since: None });
    }

    /// What reality says.
    pub fn health(&self) -> Health {
        let mut problems = Vec::new();
        {
            let seen = self.problems.lock();
            let named = [("deliveries can't be kept", &seen.append), ("memory can't be flushed", &seen.flush)];
            problems.extend(named.iter().filter_map(|(what, why)| Some(format!("{what}: {}", why.as_ref()?))));
        }
        match self.disk.free_bytes() {
            Ok(free) if free >= self.options.disk_reserve_bytes => {}
            Ok(free) => problems.push(format!("the disk is full: {free} bytes are free")),
            Err(error) => problems.push(error.message),
        }
        Health { problems, damaged: self.state.lock().damaged() }
    }
}
