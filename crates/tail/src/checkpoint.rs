//! How far have files been read, across restarts? A small JSON file that is replaced as a whole.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use causeway_model::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::file::{Fingerprint, Identity};

/// The only version of the format so far.
const VERSION: u32 = 1;

/// How far one file has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What it was called.
    pub path: PathBuf,
    /// Which file it is.
    pub identity: Identity,
    /// How it begins.
    pub fingerprint: Fingerprint,
    /// Bytes that the server has acknowledged.
    pub offset: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    files: Vec<Checkpoint>,
}

/// The file that holds the checkpoints, locked for as long as this lives.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    _lock: File,
}

/// The file of checkpoints for these patterns in a folder: one for each set, so that several programs can run beside each other.
pub fn state_file(folder: &Path, patterns: &[String]) -> PathBuf {
    let mut sorted: Vec<&str> = patterns.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    folder.join(format!("tail-{:016x}.json", xxh3_64(sorted.join("\n").as_bytes())))
}

impl Checkpoints {
    /// Opens the file of checkpoints, and makes its folder; what it says, `None` where there is none yet.
    ///
    /// # Errors
    /// `Unavailable` when another program uses it or the disk refuses, `Corrupt` when it can't be read.
    pub fn open(path: &Path) -> Result<(Self, Option<Vec<Checkpoint>>)> {
        let named = |error: &dyn std::fmt::Display| Error::unavailable(format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| named(&error))?;
        }
        // A file of its own: the other is replaced again and again.
        let lock = File::options().create(true).append(true).open(path.with_extension("lock"));
        let lock = lock.map_err(|error| named(&error))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| named(&"another program follows the same files with the same state"))?;
        let known = match fs::read(path) {
            Ok(bytes) => Some(parse(&bytes).map_err(|error| error.context(path.display()))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(named(&error)),
        };
        Ok((Self { path: path.to_owned(), _lock: lock }, known))
    }

    /// Replaces what is kept, so that either the old or the new state is found after a crash.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses.
    pub fn save(&self, files: Vec<Checkpoint>) -> Result<()> {
        let text = serde_json::to_vec_pretty(&State { version: VERSION, files });
        let text = text.map_err(|error| Error::internal(format!("checkpoints: {error}")))?;
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Checkpoint>> {
    let state: State =
        serde_json::from_slice(bytes).map_err(|error| Error::corrupt(format!("{error}; remove it to begin anew")))?;
    if state.version != VERSION {
        return Err(Error::corrupt(format!("version {} is not known here", state.version)));
    }
    Ok(state.files)
}
