//! Which file is this, and is it still the same? A file is known by device and inode, and by its first bytes, since an inode is given away again
//! and a file that was emptied keeps it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes at the start by which a file is known. 1 KiB: some lines with their times, which no two files share.
const FINGERPRINT_BYTES_MAX: u64 = 1 << 10;

/// Where a file is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The first bytes of a file, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fingerprint {
    bytes: u64,
    hash: u64,
}

impl Fingerprint {
    /// Of a file of which so many bytes are known.
    pub fn of(file: &File, known_bytes: u64) -> io::Result<Self> {
        let bytes = known_bytes.min(FINGERPRINT_BYTES_MAX);
        Ok(first(file, bytes)?.map_or(Self::default(), |hash| Self { bytes, hash }))
    }

    /// Whether a file begins with the same bytes. Of no bytes every file does.
    pub fn fits(&self, file: &File) -> io::Result<bool> {
        Ok(self.bytes == 0 || first(file, self.bytes)? == Some(self.hash))
    }

    /// Whether it tells files apart.
    pub fn tells(&self) -> bool {
        self.bytes > 0
    }

    /// Takes in more of the file once more of it is known.
    pub fn grow(&mut self, file: &File, known_bytes: u64) -> io::Result<()> {
        if self.bytes < known_bytes.min(FINGERPRINT_BYTES_MAX) {
            *self = Self::of(file, known_bytes)?;
        }
        Ok(())
    }
}

/// The hash of the first bytes; `None` when there are fewer.
fn first(file: &File, bytes: u64) -> io::Result<Option<u64>> {
    let mut buffer = [0; FINGERPRINT_BYTES_MAX as usize];
    let Some(buffer) = usize::try_from(bytes).ok().and_then(|bytes| buffer.get_mut(..bytes)) else { return Ok(None) };
    match file.read_exact_at(buffer, 0) {
        Ok(()) => Ok(Some(xxh3_64(buffer))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the last line of a file begins that has not ended, or its end; looked for in the last `bytes_max`.
pub fn last_line_start(file: &File, bytes_max: usize) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let begin = size.saturating_sub(bytes_max as u64);
    let mut buffer = vec![0; usize::try_from(size - begin).unwrap_or(0)];
    let read = file.read_at(&mut buffer, begin)?;
    let newline = memchr::memrchr(b'\n', buffer.get(..read).unwrap_or_default());
    Ok(match newline {
        Some(at) => begin + at as u64 + 1,
        // One line from the begin on, or a line longer than is looked back for.
        None if begin == 0 => 0,
        None => size,
    })
}
