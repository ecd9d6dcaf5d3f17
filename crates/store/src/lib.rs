//! Where is the data? On disk before it is acknowledged, in memory until it is sorted into parts, in Parquet parts from
//! then on; a catalog says which parts count.
//!
//! delivery -> [`wal`] (group commit, fsync) -> [`memtable`] (visible) -> ack; memtable -> [`part`] + [`index`] ->
//! [`catalog`] commit -> log cut; parts -> [`compact`] -> larger parts; [`retain`] drops what is too old or too much.

pub mod catalog;
mod change;
pub mod compact;
mod delivery;
pub mod disk;
pub mod index;
mod ledger;
pub mod memtable;
pub mod part;
pub mod retain;
pub mod samples;
pub mod scan;
pub mod store;
#[cfg(test)]
mod testing;
mod visit;
pub mod wal;

pub use scan::{Filter, Pruning, Scan, ScanColumn, ScanStats, dictionary_type, text_pairs, write_text_pairs};
pub use store::{Health, LedgerRow, Snapshot, Store, StoreMetric, StoreOptions, TableSnapshot};
pub use visit::{Place, ScanOf, Take, Visit};
