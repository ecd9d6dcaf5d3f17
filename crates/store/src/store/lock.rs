//! Who has this data directory? One process: it holds a lock on a file in it and has written its number there.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use causeway_model::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Name of the file in the data directory.
const FILE: &str = "lock";

/// Held as long as it lives; the system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of a directory that exists.
    ///
    /// # Errors
    /// `Unavailable` when another process holds it, naming that process, or when the disk refuses.
    pub fn take(directory: &Path) -> Result<Self> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(directory.join(FILE))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // The number is only for the message; the lock itself is what counts.
                let _ = (&file).take(20).read_to_string(&mut holder);
                let message = format!("{}: in use by process {}", directory.display(), holder.trim());
                return Err(Error::unavailable(message));
            }
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_was_first() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path()).unwrap();
        let refused = DirectoryLock::take(directory.path()).unwrap_err();
        assert!(refused.message.ends_with(&format!("in use by process {}", std::process::id())), "{refused}");
        drop(first);
        DirectoryLock::take(directory.path()).unwrap();
    }
}
