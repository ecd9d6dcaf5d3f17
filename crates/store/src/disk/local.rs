//! The machine's own disk.

/// A directory on the machine.
#[derive(Debug)]
pub struct LocalDisk {}
