//! What is held, and what is let go when? Each delivery of spans waits as it came for the same time; when it is let go its traces are decided, by all
//! that has come of them until then, and of its spans those of kept traces go on.
//!
//! So a trace is decided one hold after its first span, nothing is sorted by trace, and a trace of a million spans costs no more than a
//! million traces of one.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, StringArray};
use causeway_model::{Batch, Delivery, LedgerEntry, Result, Signal, sampling_threshold, with_sampling_threshold};
use hashbrown::HashMap;

use crate::SamplingOptions;
use crate::decisions::Decision;
use crate::policies::{OPEN_BYTES, Policies};
use crate::spans::{Columns, text_of};

/// Why spans of dropped traces are not stored, in the ledger.
pub const SAMPLED: &str = "sampled";
/// Why spans are not stored that the store refused for good after they were acknowledged, in the ledger.
pub const NOT_STORED: &str = "not_stored";
/// Memory of spans that go to the store together: what came in many small requests, of which little is left, becomes one again. 4 MiB: far below
/// what the store takes at once.
const TOGETHER_BYTES_MAX: usize = 4 << 20;

/// What a delivery costs in memory beside its spans, roughly; of most sampled ones nothing but their ledger's entry is left.
const DELIVERY_BYTES: usize = 512;

const TRACE_STATE: &str = "trace_state";

/// Spans of one sender that came together.
struct Held {
    arrived_ns: u64,
    sender: Arc<str>,
    received_unix_nano: i64,
    batch: Batch,
    bytes: usize,
}

/// Who sent spans, and when.
pub(crate) struct Origin {
    pub sender: Arc<str>,
    pub received_unix_nano: i64,
}

/// Everything that waits.
pub(crate) struct Hold {
    pub policies: Policies,
    queue: VecDeque<Held>,
    /// What was let go and is not in the store yet.
    outgoing: VecDeque<(Delivery, usize)>,
    hold_ns: u64,
    pub held_bytes_max: usize,
    pub held_bytes: usize,
    pub held_spans: u64,
    /// Bytes of what was let go and is not in the store yet.
    pub outgoing_bytes: usize,
    /// Traces that were decided before their time, as memory was full.
    pub early_traces: u64,
    /// Spans that were acknowledged and that the store refused for good.
    pub not_stored: u64,
}

impl Hold {
    pub fn new(options: SamplingOptions) -> Self {
        Self {
            hold_ns: u64::try_from(options.hold.as_nanos()).unwrap_or(u64::MAX),
            held_bytes_max: options.held_bytes_max,
            policies: Policies::new(options),
            queue: VecDeque::new(),
            outgoing: VecDeque::new(),
            held_bytes: 0,
            held_spans: 0,
            outgoing_bytes: 0,
            early_traces: 0,
            not_stored: 0,
        }
    }

    /// Whether what was let go alone takes all memory: the store does not take it.
    pub fn is_full(&self) -> bool {
        self.outgoing_bytes > self.held_bytes_max
    }

    /// Holds spans.
    pub fn hold(&mut self, origin: &Origin, batch: Batch, now_ns: u64) {
        let new = self.policies.observe(&batch, now_ns);
        let bytes = batch.memory_bytes() + new * OPEN_BYTES;
        self.held_bytes += bytes;
        self.held_spans += batch.rows() as u64;
        let (sender, received_unix_nano) = (origin.sender.clone(), origin.received_unix_nano);
        self.queue.push_back(Held { arrived_ns: now_ns, sender, received_unix_nano, batch, bytes });
    }

    /// Lets go what has been held for its time, and the oldest beyond where memory is full; `all` at the end.
    pub fn let_go(&mut self, now_ns: u64, all: bool) {
        let mut together = Together::default();
        while let Some(oldest) = self.queue.front() {
            let is_due = all || now_ns.saturating_sub(oldest.arrived_ns) >= self.hold_ns;
            let bytes = self.held_bytes + self.outgoing_bytes + together.bytes;
            if !is_due && bytes <= self.held_bytes_max {
                break;
            }
            let Some(held) = self.queue.pop_front() else { break };
            self.held_bytes -= held.bytes;
            self.held_spans -= held.batch.rows() as u64;
            let kept = self.decide(&held.batch, now_ns, is_due);
            together.add(&held, kept);
        }
        let (deliveries, lost) = together.finish();
        self.not_stored += lost;
        for (delivery, bytes) in deliveries {
            self.outgoing_bytes += bytes;
            self.outgoing.push_back((delivery, bytes));
        }
    }

    /// The spans of a batch whose traces are kept.
    fn decide(&mut self, batch: &Batch, now_ns: u64, is_due: bool) -> Result<Option<Batch>> {
        let Some(columns) = Columns::of(batch) else { return Ok(None) };
        let (mut kept, mut thresholds) = (Vec::with_capacity(batch.rows()), Vec::new());
        for row in 0..batch.rows() {
            let (decision, is_new) = self.policies.decide(&columns, row, now_ns);
            self.early_traces += u64::from(is_new && !is_due);
            kept.push(decision != Decision::Dropped);
            if let Decision::Kept(threshold) = decision {
                thresholds.push(threshold);
            }
        }
        if thresholds.is_empty() {
            return Ok(None);
        }
        let batch =
            if thresholds.len() == kept.len() { batch.clone() } else { batch.filter(&BooleanArray::from(kept))? };
        with_thresholds(batch, &thresholds).map(Some)
    }

    /// Takes some of what was let go.
    pub fn take_outgoing(&mut self, max: usize) -> Vec<(Delivery, usize)> {
        let max = max.min(self.outgoing.len());
        self.outgoing.drain(..max).collect()
    }

    /// What was taken is in the store.
    pub fn stored(&mut self, bytes: usize) {
        self.outgoing_bytes -= bytes;
    }

    /// What was taken could not be stored now.
    pub fn put_back(&mut self, delivery: Delivery, bytes: usize) {
        self.outgoing.push_front((delivery, bytes));
    }

    /// What was taken can't ever be stored: the ledger alone tells of it.
    pub fn give_up(&mut self, mut delivery: Delivery, bytes: usize) {
        self.outgoing_bytes -= bytes;
        delivery.batches.clear();
        let mut lost = 0;
        for entry in &mut delivery.ledger {
            lost += entry.stored;
            entry.dropped.push((NOT_STORED.to_owned(), std::mem::take(&mut entry.stored)));
        }
        self.not_stored += lost;
        if lost > 0 {
            self.outgoing_bytes += DELIVERY_BYTES;
            self.outgoing.push_back((delivery, DELIVERY_BYTES));
        }
    }
}

/// The batch in which each span tells a threshold that is at least as high as the one that its trace was kept by.
fn with_thresholds(batch: Batch, thresholds: &[u64]) -> Result<Batch> {
    let states = text_of(batch.records().column_by_name(TRACE_STATE));
    let before = |row: usize| states.filter(|states| states.is_valid(row)).map_or("", |states| states.value(row));
    let is_raised = |(row, threshold): (usize, &u64)| *threshold > sampling_threshold(before(row)).unwrap_or(0);
    if !thresholds.iter().enumerate().any(is_raised) {
        return Ok(batch);
    }
    let after = thresholds.iter().enumerate().map(|(row, threshold)| {
        let state = before(row);
        let is_raised = is_raised((row, threshold));
        let after = if is_raised { with_sampling_threshold(state, *threshold) } else { state.to_owned() };
        (!after.is_empty()).then_some(after)
    });
    let after: ArrayRef = Arc::new(after.collect::<StringArray>());
    batch.with_record_column(TRACE_STATE, after)
}

/// What was let go at one time, by sender.
#[derive(Default)]
struct Together {
    senders: HashMap<Arc<str>, Parcel>,
    full: Vec<(Delivery, usize)>,
    bytes: usize,
    lost: u64,
}

/// What was let go of a sender.
#[derive(Default)]
struct Parcel {
    received_unix_nano: i64,
    received: u64,
    kept: Vec<Arc<Batch>>,
    bytes: usize,
    lost: u64,
}

impl Together {
    fn add(&mut self, held: &Held, kept: Result<Option<Batch>>) {
        let rows = held.batch.rows() as u64;
        let (kept, lost) = kept.map_or_else(
            |error| {
                tracing::error!(%error, "held spans can't be taken apart");
                (None, rows)
            },
            |kept| (kept, 0),
        );
        let bytes = kept.as_ref().map_or(0, Batch::memory_bytes);
        let has_room = |parcel: &Parcel| parcel.kept.is_empty() || parcel.bytes + bytes <= TOGETHER_BYTES_MAX;
        if self.senders.get(&held.sender).is_some_and(|parcel| !has_room(parcel))
            && let Some(full) = self.senders.remove(&held.sender)
        {
            self.hand_over(&held.sender, full);
        }
        let parcel = self.senders.entry(held.sender.clone()).or_default();
        if parcel.received == 0 {
            parcel.received_unix_nano = held.received_unix_nano;
        }
        parcel.received += rows;
        parcel.lost += lost;
        parcel.bytes += bytes;
        parcel.kept.extend(kept.map(Arc::new));
        self.bytes += bytes;
    }

    fn hand_over(&mut self, sender: &str, mut parcel: Parcel) {
        let mut batches = Vec::new();
        if !parcel.kept.is_empty() {
            match Batch::concat(&parcel.kept) {
                Ok(batch) => batches.push(batch),
                Err(error) => {
                    tracing::error!(%error, "spans can't be put together");
                    parcel.lost += parcel.kept.iter().map(|batch| batch.rows() as u64).sum::<u64>();
                }
            }
        }
        self.lost += parcel.lost;
        let stored: u64 = batches.iter().map(|batch| batch.rows() as u64).sum();
        let sampled = parcel.received.saturating_sub(stored).saturating_sub(parcel.lost);
        let dropped = [(SAMPLED, sampled), (NOT_STORED, parcel.lost)].into_iter().filter(|(_, count)| *count > 0);
        let dropped = dropped.map(|(reason, count)| (reason.to_owned(), count)).collect();
        let bytes = DELIVERY_BYTES + batches.iter().map(Batch::memory_bytes).sum::<usize>();
        let ledger = vec![LedgerEntry { signal: Signal::Spans, received: parcel.received, stored, dropped }];
        let (sender, received_unix_nano) = (sender.to_owned(), parcel.received_unix_nano);
        self.full.push((Delivery { sender, received_unix_nano, batches, ledger }, bytes));
    }

    /// What goes to the store, and how many spans were lost.
    fn finish(mut self) -> (Vec<(Delivery, usize)>, u64) {
        for (sender, parcel) in std::mem::take(&mut self.senders) {
            self.hand_over(&sender, parcel);
        }
        (self.full, self.lost)
    }
}
