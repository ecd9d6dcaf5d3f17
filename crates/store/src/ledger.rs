//! What became of every record that was ever received? Stored, or dropped for a reason, by sender and signal.

use std::collections::BTreeMap;

use causeway_model::{Error, LedgerEntry, Result, Signal};
use serde::{Deserialize, Serialize};

use crate::LedgerRow;

/// Senders with rows of their own. 1,000: a fleet of collectors; what comes after counts together as [`OTHER`].
pub const SENDERS_MAX: usize = 1_000;
/// Reasons with counts of their own in a row. 64: more than the decoders know; what comes after counts as [`OTHER`].
pub const REASONS_MAX: usize = 64;
/// Bytes of a sender's name that are kept. 256: protocol, client and address fit; a sender chooses part of it.
pub const SENDER_BYTES_MAX: usize = 256;
/// The name under which the rest counts.
pub const OTHER: &str = "other";

/// The counts of all senders. Grows only with deliveries, in their order, so that replay gives the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    senders: BTreeMap<String, BTreeMap<u8, Counts>>,
    /// Deliveries that were counted under [`OTHER`] because of [`SENDERS_MAX`].
    folded: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    received: u64,
    stored: u64,
    dropped: BTreeMap<String, u64>,
}

/// Refuses entries whose sums don't hold; a delivery is checked before it is kept.
///
/// # Errors
/// `Internal`: a decoder has miscounted.
pub fn check(entries: &[LedgerEntry]) -> Result<()> {
    for entry in entries {
        let parts = entry.dropped.iter().map(|(_, count)| *count).try_fold(entry.stored, u64::checked_add);
        if parts != Some(entry.received) {
            let name = entry.signal.name();
            return Err(Error::internal(format!("ledger: received {name} are not stored plus dropped")));
        }
    }
    Ok(())
}

impl Ledger {
    /// Counts one delivery.
    pub fn add(&mut self, sender: &str, entries: &[LedgerEntry]) {
        if entries.is_empty() {
            return;
        }
        let mut sender = &sender[..sender.floor_char_boundary(SENDER_BYTES_MAX)];
        if !self.senders.contains_key(sender) && self.senders.len() >= SENDERS_MAX {
            sender = OTHER;
            self.folded = self.folded.saturating_add(1);
        }
        let signals = self.senders.entry(sender.to_owned()).or_default();
        for entry in entries {
            let counts = signals.entry(entry.signal as u8).or_default();
            counts.received = counts.received.saturating_add(entry.received);
            counts.stored = counts.stored.saturating_add(entry.stored);
            for (reason, count) in &entry.dropped {
                let known = counts.dropped.contains_key(reason) || counts.dropped.len() < REASONS_MAX;
                let total = counts.dropped.entry(if known { reason.clone() } else { OTHER.to_owned() }).or_default();
                *total = total.saturating_add(*count);
            }
        }
    }

    /// Deliveries that were counted under [`OTHER`] because of [`SENDERS_MAX`].
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// The rows, by sender and signal.
    pub fn rows(&self) -> Vec<LedgerRow> {
        let row = |sender: &str, signal: u8, counts: &Counts| {
            Some(LedgerRow {
                sender: sender.to_owned(),
                signal: Signal::from_u8(signal)?,
                received: counts.received,
                stored: counts.stored,
                dropped: counts.dropped.iter().map(|(reason, count)| (reason.clone(), *count)).collect(),
            })
        };
        self.senders
            .iter()
            .flat_map(|(sender, signals)| {
                signals.iter().filter_map(move |(signal, counts)| row(sender, *signal, counts))
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(stored: u64, reason: &str, dropped: u64) -> LedgerEntry {
        let dropped_by = vec![(reason.to_owned(), dropped)];
        LedgerEntry { signal: Signal::Logs, received: stored + dropped, stored, dropped: dropped_by }
    }

    #[test]
    fn sums_hold_whatever_is_folded() {
        let mut ledger = Ledger::default();
        for number in 0..SENDERS_MAX as u64 + 50 {
            ledger.add(&format!("sender {number}"), &[entry(2, &format!("reason {number}"), 1)]);
            ledger.add("sender 0", &[entry(1, &format!("reason {number}"), 1)]);
        }
        let rows = ledger.rows();
        assert_eq!(rows.len(), SENDERS_MAX + 1);
        assert_eq!(ledger.folded(), 50);
        for row in &rows {
            assert_eq!(row.received, row.stored + row.dropped.iter().map(|(_, count)| count).sum::<u64>());
            assert!(row.dropped.len() <= REASONS_MAX + 1);
        }
        assert_eq!(rows.iter().map(|row| row.received).sum::<u64>(), 5 * (SENDERS_MAX as u64 + 50));
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    }

    #[test]
    fn miscounts_are_refused_and_long_names_cut_between_characters() {
        assert!(check(&[entry(2, "x", 1)]).is_ok());
        assert!(check(&[LedgerEntry { received: 4, ..entry(2, "x", 1) }]).is_err());
        assert!(check(&[LedgerEntry { stored: u64::MAX, ..entry(2, "x", 1) }]).is_err());
        let mut ledger = Ledger::default();
        ledger.add(&"€".repeat(SENDER_BYTES_MAX), &[entry(1, "x", 0)]);
        assert_eq!(ledger.rows().first().unwrap().sender.len(), 255);
    }
}
