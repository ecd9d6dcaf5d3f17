//! What does every protocol's decoder hand over, and how does it count what it can't keep?

use causeway_model::{Batch, LedgerEntry, Signal};

use crate::wire::Fault;

/// No larger body is read. A column's texts must stay under 2 GiB and JSON escapes can make six bytes of one. Receivers set lower
/// limits of their own.
pub const BODY_BYTES_MAX: usize = 256 << 20;

/// Records, events, links, exemplars, resources, scopes and metadata in one request. An empty one takes two bytes on the wire and some
/// hundred in memory; senders put 512 to 10,000 into a request.
pub const ROWS_MAX: usize = 1 << 20;

/// One request, decoded.
#[derive(Debug)]
pub struct Decoded {
    /// At most one batch a table; none for tables without rows.
    pub batches: Vec<Batch>,
    /// Log records, spans or metric data points in the request.
    pub received: u64,
    /// How many of them are in no batch, by reason: a stable snake_case word.
    pub dropped: Vec<(&'static str, u64)>,
    /// What the sender should be told: what was dropped, and what was kept with something missing.
    pub message: Option<String>,
}

impl Decoded {
    /// What it adds to the ledger.
    pub fn ledger_entry(&self, signal: Signal) -> LedgerEntry {
        let dropped = self.dropped.iter().map(|(_, count)| count).sum::<u64>();
        LedgerEntry {
            signal,
            received: self.received,
            stored: self.received.saturating_sub(dropped),
            dropped: self.dropped.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
        }
    }
}

/// Turns what is wrong with one record into the reason; what is wrong with the whole request stays an error.
pub(crate) fn contain(result: Result<(), Fault>) -> Result<Option<&'static str>, Fault> {
    match result {
        Ok(()) => Ok(None),
        Err(Fault::Record(reason)) => Ok(Some(reason)),
        Err(framing) => Err(framing),
    }
}

/// Counts records in, records dropped, and what was kept with something missing.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: usize,
    received: u64,
    dropped: Vec<(&'static str, u64)>,
    warnings: Vec<(&'static str, u64)>,
}

impl Tally {
    /// Counts one record by how it went.
    #[inline]
    pub(crate) fn count(&mut self, result: Result<(), Fault>) -> Result<(), Fault> {
        self.row()?;
        self.received += 1;
        if let Some(reason) = contain(result)? {
            add(&mut self.dropped, reason);
        }
        Ok(())
    }

    /// Counts one row of any kind.
    #[inline]
    pub(crate) fn row(&mut self) -> Result<(), Fault> {
        self.rows += 1;
        if self.rows > ROWS_MAX { Err(Fault::Limit("too many records in one request")) } else { Ok(()) }
    }

    /// Counts something that is missing from a record that was kept.
    #[cold]
    pub(crate) fn warn(&mut self, what: &'static str) {
        add(&mut self.warnings, what);
    }

    pub(crate) fn decoded(self, batches: Vec<Batch>) -> Decoded {
        let dropped = self.dropped.iter().map(|(reason, count)| format!("dropped {count}: {reason}"));
        let warnings = self.warnings.iter().map(|(what, count)| format!("{count} {what}"));
        let words: Vec<String> = dropped.chain(warnings).collect();
        let message = (!words.is_empty()).then(|| words.join("; "));
        Decoded { batches, received: self.received, dropped: self.dropped, message }
    }
}

/// The words are few and fixed, so a list serves as a map.
fn add(counts: &mut Vec<(&'static str, u64)>, word: &'static str) {
    match counts.iter_mut().find(|(known, _)| *known == word) {
        Some((_, count)) => *count += 1,
        None => counts.push((word, 1)),
    }
}
