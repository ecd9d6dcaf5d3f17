//! What comes back, and how does it know? Rows as a stream, beside a report that fills while they flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use causeway_model::{ErrorKind, Result};
use futures::stream::BoxStream;

/// An answer. Dropping `rows` ends the work behind it.
pub struct Answer {
    /// Columns of all batches.
    pub schema: SchemaRef,
    /// The rows; after an error nothing follows.
    pub rows: BoxStream<'static, Result<RecordBatch>>,
    /// How it knows; complete once `rows` has ended.
    pub report: Arc<Report>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).field("report", &self.report).finish_non_exhaustive()
    }
}

/// Answers questions. The contract:
/// - The rows are of one atomic snapshot, taken when `ask` is called: all that was acknowledged before is in it.
/// - Limits hold: see [`crate::Limits`]. The process never ends because of a question.
/// - An error tells the asker what to do (`Invalid`: correct the text).
#[async_trait]
pub trait Answerer: Send + Sync {
    /// Plans the question and begins to answer it.
    async fn ask(&self, question: crate::Question) -> Result<Answer>;
}

/// How an answer knows what it says. Counters rise while the answer is worked out.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows that were decoded to answer.
    pub rows_scanned: AtomicU64,
    /// Compressed bytes read from parts.
    pub bytes_scanned: AtomicU64,
    /// Parts in the snapshot.
    pub parts: AtomicU64,
    /// Parts that had nothing to say, known without reading their rows.
    pub parts_skipped: AtomicU64,
    /// Row groups in the parts that were opened.
    pub row_groups: AtomicU64,
    /// Row groups skipped among them.
    pub row_groups_skipped: AtomicU64,
    /// Blocks of rows (about 8k each) in the parts that were opened.
    pub blocks: AtomicU64,
    /// Blocks skipped among them.
    pub blocks_skipped: AtomicU64,
    /// Rows handed to the asker.
    pub rows_returned: AtomicU64,
    /// Time from the question to the last row, in nanoseconds; 0 until then.
    pub elapsed_ns: AtomicU64,
    /// Set when a limit ended the answer early.
    pub coverage: std::sync::OnceLock<Coverage>,
}

/// How much a partial answer covers.
#[derive(Debug, Clone, Copy)]
pub struct Coverage {
    /// The limit that ended it.
    pub limit: ErrorKind,
    /// Share of the snapshot's rows, after skipping, that were looked at: 0 to 1.
    pub fraction: f64,
}

impl Report {
    /// Adds to one of the counters.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads one of the counters.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
