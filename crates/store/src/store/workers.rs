//! Who does the work? Three threads: one keeps deliveries, one flushes, one merges and cleans up. None waits for another
//! that waits for it: the committer waits for nobody, the flusher never for a merge.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_model::{Error, Receipt, Result};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::core::{Core, Queued};

/// How often the threads look at the clock. 1 s: ages and graces are tens of seconds.
const TICK: Duration = Duration::from_secs(1);
/// Bytes that are synced together at most. 16 MiB: many small deliveries share a sync, and the first is not kept waiting.
const GROUP_BYTES_MAX: usize = 16 << 20;

type Reply<T> = oneshot::Sender<Result<T>>;

/// A delivery that waits, and the room that it takes.
#[derive(Debug)]
struct Waiting {
    queued: Queued,
    room: Room,
    reply: Reply<Receipt>,
}

/// Room in the queue; given back however the delivery ends.
#[derive(Debug)]
struct Room {
    core: Arc<Core>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.core.release(self.bytes);
    }
}

/// What wakes a thread.
#[derive(Debug, Default)]
struct Bell {
    calls: Mutex<Calls>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct Calls {
    closing: bool,
    due: bool,
    waiters: Vec<Reply<()>>,
}

impl Bell {
    /// Asks for work now, and for word of how it ended.
    fn call(&self, waiters: impl IntoIterator<Item = Reply<()>>) {
        let mut calls = self.calls.lock();
        calls.due = true;
        if calls.closing {
            return;
        }
        calls.waiters.extend(waiters);
        self.rung.notify_one();
    }

    fn close(&self) {
        let mut calls = self.calls.lock();
        calls.closing = true;
        calls.waiters.clear();
        self.rung.notify_one();
    }

    fn is_closing(&self) -> bool {
        self.calls.lock().closing
    }

    /// Waits for a call or the next tick; `None` at the end.
    fn wait(&self) -> Option<Vec<Reply<()>>> {
        let mut calls = self.calls.lock();
        if !calls.closing && !calls.due {
            self.rung.wait_for(&mut calls, TICK);
        }
        calls.due = false;
        if calls.closing { None } else { Some(std::mem::take(&mut calls.waiters)) }
    }
}

/// The threads of a store. They end when it is dropped.
#[derive(Debug)]
pub struct Workers {
    queue: Mutex<Option<Sender<Waiting>>>,
    flusher: Arc<Bell>,
    keeper: Arc<Bell>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn closed() -> Error {
    Error::unavailable("the store is closed")
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// `Unavailable` when the system gives none.
    pub fn start(core: &Arc<Core>) -> Result<Self> {
        let (sender, receiver) = channel();
        let workers = Self {
            queue: Mutex::new(Some(sender)),
            flusher: Arc::default(),
            keeper: Arc::default(),
            threads: Mutex::default(),
        };
        let (flusher, keeper) = (workers.flusher.clone(), workers.keeper.clone());
        let own = core.clone();
        workers.spawn("causeway-commit", move || commit(&own, &receiver, &flusher))?;
        let (own, flusher) = (core.clone(), workers.flusher.clone());
        workers.spawn("causeway-flush", move || flush(&own, &flusher, &keeper))?;
        let (own, keeper) = (core.clone(), workers.keeper.clone());
        workers.spawn("causeway-merge", move || maintain(&own, &keeper))?;
        Ok(workers)
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Queues a delivery and waits for its group.
    ///
    /// # Errors
    /// As [`causeway_model::Appender`] says.
    pub async fn append(&self, core: &Arc<Core>, queued: Queued) -> Result<Receipt> {
        let memory: usize = queued.delivery.batches.iter().map(causeway_model::Batch::memory_bytes).sum();
        let bytes = queued.payload.len().saturating_add(memory);
        core.admit(bytes)?;
        let room = Room { core: core.clone(), bytes };
        core.wait_for_memory().await?;
        let (reply, answer) = oneshot::channel();
        let sent = match self.queue.lock().as_ref() {
            Some(queue) => queue.send(Waiting { queued, room, reply }).map_err(|_| closed()),
            None => Err(closed()),
        };
        sent?;
        answer.await.map_err(|_| closed())?
    }

    /// Flushes and does what maintenance is due; waits for both.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses or the store is closed.
    pub async fn flush(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.flusher.call([reply]);
        answer.await.map_err(|_| closed())?
    }

    /// Tells the threads to end; they are the caller's to join.
    pub fn stop(&self) -> Vec<JoinHandle<()>> {
        self.queue.lock().take();
        self.flusher.close();
        self.keeper.close();
        std::mem::take(&mut self.threads.lock())
    }

    /// What is wrong with the threads themselves.
    pub fn problem(&self) -> Option<String> {
        let threads = self.threads.lock();
        if threads.is_empty() {
            return Some(closed().message);
        }
        let ended = threads.iter().find(|thread| thread.is_finished())?;
        Some(format!("the thread {} has ended", ended.thread().name().unwrap_or_default()))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Keeps what waits, a group at a time, until nobody can send any more.
fn commit(core: &Core, queue: &Receiver<Waiting>, flusher: &Bell) {
    while let Ok(first) = queue.recv() {
        let mut bytes = first.queued.payload.len();
        let mut group = vec![first];
        while bytes < GROUP_BYTES_MAX
            && let Ok(next) = queue.try_recv()
        {
            bytes = bytes.saturating_add(next.queued.payload.len());
            group.push(next);
        }
        let (queued, waiting): (Vec<_>, Vec<_>) =
            group.into_iter().map(|one| (one.queued, (one.room, one.reply))).unzip();
        let kept = core.keep(queued);
        let series_forgotten = core.state.lock().series.forgotten;
        for (offset, (room, reply)) in (0u64..).zip(waiting) {
            drop(room);
            // A caller that went away has withdrawn nothing but its interest.
            let receipt = |first: u64| Receipt { sequence: first.saturating_add(offset), series_forgotten };
            let _ = reply.send(kept.clone().map(receipt));
        }
        if let Err(error) = kept {
            tracing::error!(target: "causeway::store", "deliveries were refused: {error}");
        } else if core.flush_is_wanted() {
            flusher.call([]);
        }
    }
}

/// Flushes when it is due or asked for; who asked then waits for maintenance too.
fn flush(core: &Core, bell: &Bell, keeper: &Bell) {
    while let Some(waiters) = bell.wait() {
        if waiters.is_empty() && !core.flush_is_due() {
            continue;
        }
        match core.flush() {
            Ok(()) => keeper.call(waiters),
            Err(error) => {
                tracing::error!(target: "causeway::store", "memory was not flushed: {error}");
                waiters.into_iter().for_each(|waiter| {
                    let _ = waiter.send(Err(error.clone()));
                });
            }
        }
    }
}

fn maintain(core: &Core, bell: &Bell) {
    while let Some(waiters) = bell.wait() {
        let done = core.maintain(&|| bell.is_closing());
        if let Err(error) = &done {
            tracing::error!(target: "causeway::store", "maintenance failed: {error}");
        }
        waiters.into_iter().for_each(|waiter| {
            let _ = waiter.send(done.clone());
        });
    }
}
