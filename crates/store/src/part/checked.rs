//! Are the bytes of a part those that were written? Every chunk of 16 KiB has a CRC-32C in the index beside the part, checked with
//! every read, so that neither Parquet's reader nor a question ever sees damaged bytes.

use std::io::{Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use causeway_model::{Error, Result};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::disk::File;

/// Bytes a checksum covers. 16 KiB: a page is read whole anyway, and a part of 1 GiB has 256 KiB of checksums.
const CHUNK_BYTES: usize = 16 << 10;
/// Bytes gathered before they are handed to the disk. 1 MiB.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes a file and notes the checksum of each chunk.
#[derive(Debug)]
pub(crate) struct CheckedWriter {
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    written: u64,
    checksums: Vec<u32>,
}

impl CheckedWriter {
    pub(crate) fn new(file: Arc<dyn File>) -> Self {
        Self { file, buffer: Vec::with_capacity(BUFFER_BYTES), written: 0, checksums: Vec::new() }
    }

    fn spill(&mut self) -> Result<()> {
        self.checksums.extend(self.buffer.chunks(CHUNK_BYTES).map(crc32c::crc32c));
        self.file.append(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Syncs; answers length and checksums.
    pub(crate) fn finish(mut self) -> Result<(u64, Vec<u32>)> {
        self.spill()?;
        self.file.sync()?;
        Ok((self.written, self.checksums))
    }
}

impl Write for CheckedWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Only whole buffers are spilled before the end, so that chunks stay aligned.
        let taken = bytes.len().min(BUFFER_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if self.buffer.len() == BUFFER_BYTES {
            self.spill().map_err(std::io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads such a file.
#[derive(Debug, Clone)]
pub(crate) struct CheckedFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: Arc<dyn File>,
    path: PathBuf,
    length: u64,
    checksums: Vec<u32>,
}

impl CheckedFile {
    /// # Errors
    /// `Corrupt` when the file does not have this length or the checksums don't fit it.
    pub(crate) fn new(file: Arc<dyn File>, path: PathBuf, length: u64, checksums: Vec<u32>) -> Result<Self> {
        let found = file.len()?;
        if found != length || length.div_ceil(CHUNK_BYTES as u64) != checksums.len() as u64 {
            return Err(Error::corrupt(format!("{}: {found} bytes, expected {length}", path.display())));
        }
        Ok(Self { shared: Arc::new(Shared { file, path, length, checksums }) })
    }

    /// Bytes of the file, checked.
    ///
    /// # Errors
    /// `Corrupt` with the file's name when they are damaged or outside.
    pub(crate) fn read(&self, start: u64, length: usize) -> Result<Bytes> {
        let Shared { file, path, length: total, checksums } = &*self.shared;
        let damaged = |at: u64| Error::corrupt(format!("{}: damaged at byte {at}", path.display()));
        let end = start.checked_add(length as u64).filter(|end| end <= total).ok_or_else(|| damaged(start))?;
        let chunk = CHUNK_BYTES as u64;
        let aligned_start = start / chunk * chunk;
        let aligned_end = end.next_multiple_of(chunk).min(*total);
        let mut bytes = vec![0; usize::try_from(aligned_end - aligned_start).map_err(|_| damaged(start))?];
        file.read_at(aligned_start, &mut bytes)?;
        let first = usize::try_from(aligned_start / chunk).map_err(|_| damaged(start))?;
        let expected = checksums.get(first..).unwrap_or_default();
        for (number, (chunk, expected)) in bytes.chunks(CHUNK_BYTES).zip(expected).enumerate() {
            if crc32c::crc32c(chunk) != *expected {
                return Err(damaged(aligned_start + (number * CHUNK_BYTES) as u64));
            }
        }
        let skip = usize::try_from(start - aligned_start).map_err(|_| damaged(start))?;
        Ok(Bytes::from(bytes).slice(skip..skip + length))
    }
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.shared.length
    }
}

impl ChunkReader for CheckedFile {
    type T = CheckedRead;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(CheckedRead { file: self.clone(), at: start, ready: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.read(start, length).map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// A file of which some stretches are read whole once a byte of them is asked for. Pages of some KiB would else be read with the whole
/// chunks that they lie in, each of which is checked again for every page.
#[derive(Debug, Clone)]
pub(crate) struct StretchedFile {
    file: CheckedFile,
    stretches: Arc<[Stretch]>,
}

#[derive(Debug)]
struct Stretch {
    start: u64,
    length: usize,
    bytes: OnceLock<Bytes>,
}

/// Bytes of a stretch. 256 KiB: longer ones have pages that are long enough by themselves.
const STRETCH_BYTES_MAX: usize = 256 << 10;
/// Bytes of all stretches of one reader, which keeps them as long as it reads. 4 MiB: sixty columns of few bits.
const STRETCHES_BYTES_MAX: usize = 4 << 20;

impl StretchedFile {
    /// The file with these stretches, (start, length) each; those that are too long, or too many, are read as if they were none.
    pub(crate) fn new(file: CheckedFile, stretches: impl Iterator<Item = (u64, usize)>) -> Self {
        let mut all = 0;
        let short = stretches.filter(|(_, length)| *length <= STRETCH_BYTES_MAX).take_while(|(_, length)| {
            all += length;
            all <= STRETCHES_BYTES_MAX
        });
        let stretch = |(start, length)| Stretch { start, length, bytes: OnceLock::new() };
        Self { file, stretches: short.map(stretch).collect() }
    }
}

impl Stretch {
    /// The place of some bytes in it, where it has all of them.
    fn place(&self, start: u64, length: usize) -> Option<Range<usize>> {
        let first = usize::try_from(start.checked_sub(self.start)?).ok()?;
        let end = first.checked_add(length).filter(|end| *end <= self.length)?;
        Some(first..end)
    }
}

impl Length for StretchedFile {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for StretchedFile {
    type T = CheckedRead;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let found = self.stretches.iter().find_map(|stretch| Some((stretch, stretch.place(start, length)?)));
        let Some((stretch, place)) = found else {
            return self.file.get_bytes(start, length);
        };
        let bytes = match stretch.bytes.get() {
            Some(bytes) => bytes,
            None => {
                // Damage elsewhere in the stretch is no reason not to read these.
                let Ok(read) = self.file.get_bytes(stretch.start, stretch.length) else {
                    return self.file.get_bytes(start, length);
                };
                stretch.bytes.get_or_init(|| read)
            }
        };
        Ok(bytes.slice(place))
    }
}

/// Reads on from a place, a chunk at a time.
#[derive(Debug)]
pub(crate) struct CheckedRead {
    file: CheckedFile,
    at: u64,
    ready: Bytes,
}

impl Read for CheckedRead {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.ready.is_empty() {
            let chunk = CHUNK_BYTES as u64;
            let end = (self.at / chunk + 1).saturating_mul(chunk).min(self.file.shared.length);
            let length = usize::try_from(end.saturating_sub(self.at)).unwrap_or(0);
            self.ready = self.file.read(self.at, length).map_err(std::io::Error::other)?;
            self.at += length as u64;
        }
        let taken = self.ready.len().min(out.len());
        let head = self.ready.split_to(taken);
        if let Some(out) = out.get_mut(..taken) {
            out.copy_from_slice(&head);
        }
        Ok(taken)
    }
}
