//! Who changed which flag, when, from what to what, and why? A file of JSON lines that is only ever appended to.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use causeway_model::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of one line. 16 MiB: two definitions of the largest size, and their escapes.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// How an edit came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By the API.
    Api,
    /// By hand, in the file.
    File,
}

/// One edit of one flag; one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// When it was seen, in nanoseconds since 1970.
    pub time_unix_nano: i64,
    /// The flag.
    pub key: String,
    /// Counts the edits of this flag from 1.
    pub version: u64,
    /// How it came in.
    pub way: Way,
    /// Who did it, as far as known.
    pub actor: Option<String>,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// The definition before; `None` when the flag is new.
    pub before: Option<Value>,
    /// The definition after; `None` when the flag went.
    pub after: Option<Value>,
}

/// The file.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
}

impl Audit {
    /// The file at this path, created when there is none. A line that a crash cut short is ended, so that the next one stands alone.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses.
    pub fn open(path: PathBuf) -> Result<Self> {
        let mut file =
            File::options().create(true).append(true).read(true).open(&path).map_err(|error| said(&path, error))?;
        if file.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self { path })
    }

    /// Appends the edits, durably.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses.
    pub fn append(&self, edits: &[Edit]) -> Result<()> {
        let mut lines = Vec::new();
        for edit in edits {
            serde_json::to_writer(&mut lines, edit).map_err(|error| Error::internal(error.to_string()))?;
            lines.push(b'\n');
        }
        let append = || -> std::io::Result<()> {
            let mut file = File::options().append(true).open(&self.path)?;
            file.write_all(&lines)?;
            file.sync_data()
        };
        append().map_err(|error| said(&self.path, error))
    }

    /// Hands every edit to `take`, oldest first; answers how many lines could not be read.
    ///
    /// # Errors
    /// `Unavailable` when the disk refuses.
    pub fn replay(&self, mut take: impl FnMut(Edit)) -> Result<u64> {
        let mut reader = BufReader::new(File::open(&self.path).map_err(|error| said(&self.path, error))?);
        let mut line = Vec::new();
        let mut unread = 0u64;
        loop {
            line.clear();
            if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                return Ok(unread);
            }
            match serde_json::from_slice(&line) {
                Ok(edit) => take(edit),
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(_) => unread = unread.saturating_add(1),
            }
        }
    }
}

/// A disk's refusal, with the file that it is about.
pub fn said(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::unavailable(format!("{}: {error}", path.display()))
}
