//! How do bytes reach the disk? Through one trait, so that a simulated disk can tear, lose and refuse them from a seed.

use std::path::Path;
use std::sync::Arc;

use causeway_model::Result;

mod local;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;

pub use local::LocalDisk;

/// A directory tree on which the store lives. Paths are relative to its root. The contract is POSIX's:
/// - What was written is only sure to survive a crash after [`File::sync`]; unsynced writes may be lost, torn or reordered.
/// - A created, renamed or removed name is only sure after [`Disk::sync_dir`] of its directory.
/// - After a failed sync the file's unsynced bytes are in an unknown state: never acknowledge them.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Creates a file that must not exist yet, for appending and reading.
    fn create(&self, path: &Path) -> Result<Arc<dyn File>>;
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> Result<Arc<dyn File>>;
    /// Moves a name over another, atomically.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file; what has it open can go on reading.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Makes a directory and those above it.
    fn create_dir_all(&self, path: &Path) -> Result<()>;
    /// Names of the files directly inside a directory, sorted.
    fn list(&self, path: &Path) -> Result<Vec<String>>;
    /// Makes names in the directory durable.
    fn sync_dir(&self, path: &Path) -> Result<()>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> Result<u64>;
}

/// A file of a [`Disk`].
pub trait File: Send + Sync + std::fmt::Debug {
    /// Appends at the end; on an error an unknown prefix may have been written.
    fn append(&self, bytes: &[u8]) -> Result<()>;
    /// Fills `buffer` from `offset`; an error when the file is too short.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// Length in bytes.
    fn len(&self) -> Result<u64>;
    /// Whether nothing is in it.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file to this length (only ever shorter).
    fn truncate(&self, length: u64) -> Result<()>;
    /// Makes content and length durable (fdatasync).
    fn sync(&self) -> Result<()>;
}
