//! How do several parts of samples become one? Series by series; a large chunk goes as it is, small ones become large.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray};
use causeway_model::{Error, Result, Table};

use super::write::{ChunkWriter, Runs};
use super::{BLOCK_CHUNKS, ChunkFile, Entry, GroupDirectory};
use crate::disk::Disk;
use crate::part::read::Batches;
use crate::part::{NewPart, Part, PartMeta, PartOptions};
use crate::samples::{CHUNK_ROWS_MAX, Chunk};
use crate::scan::{Pruning, Scan, ScanColumn};

/// A chunk of at least so many samples is not taken apart to be merged.
const WHOLE_ROWS_MIN: usize = CHUNK_ROWS_MAX / 2;

/// Merges parts of a table that stands in chunks into one, a series at a time. `give_way` is called now and then and may wait.
///
/// # Errors
/// As [`crate::part::merge_parts`].
pub(crate) fn merge_chunks(
    disk: &Arc<dyn Disk>,
    table: Table,
    parts: &[Arc<Part>],
    new: &NewPart,
    options: &PartOptions,
    give_way: &dyn Fn(),
) -> Result<PartMeta> {
    let mut writer = ChunkWriter::create(disk, table, new, options)?;
    let mut streams = parts.iter().map(|part| Stream::open(part, options)).collect::<Result<Vec<_>>>()?;
    let mut blocks = 0;
    while let Some(id) = streams.iter().filter_map(Stream::id).min() {
        for stream in &mut streams {
            while stream.id() == Some(id) {
                stream.pass_on(&mut writer)?;
            }
        }
        if writer.blocks > blocks {
            blocks = writer.blocks;
            give_way();
        }
    }
    let replaced: Vec<u64> = parts.iter().map(|part| part.meta().id).collect();
    writer.finish(&replaced)
}

/// What is left of one part that is merged.
pub(super) struct Stream {
    /// The rest of a part of chunks: its next row group, and what is read of the one before.
    chunked: Option<(Arc<ChunkFile>, usize)>,
    directory: Arc<GroupDirectory>,
    /// The next chunk of the directory.
    at: usize,
    /// Bytes of chunks from `at` on.
    bytes: VecDeque<BinaryArray>,
    byte_row: usize,
    /// The rest of a part of rows.
    rows: Option<Batches>,
    runs: Option<Runs>,
    run: Option<([u8; 16], Chunk)>,
}

impl Stream {
    pub(super) fn open(part: &Arc<Part>, options: &PartOptions) -> Result<Self> {
        let rows = if part.chunks().is_some() { None } else { Some(all_rows(part, options)?) };
        let mut stream = Self {
            chunked: part.chunks().map(|file| (file.clone(), 0)),
            directory: Arc::default(),
            at: 0,
            bytes: VecDeque::new(),
            byte_row: 0,
            rows,
            runs: None,
            run: None,
        };
        stream.fill()?;
        Ok(stream)
    }

    /// The series that comes next.
    pub(super) fn id(&self) -> Option<[u8; 16]> {
        match &self.run {
            Some((id, _)) => Some(*id),
            None => self.directory.ids().get(self.at).copied(),
        }
    }

    /// Reads on where nothing is at hand.
    fn fill(&mut self) -> Result<()> {
        if let Some(rows) = &mut self.rows {
            while self.run.is_none() {
                self.run = self.runs.as_mut().and_then(Iterator::next).transpose()?;
                if self.run.is_none() {
                    let Some(batch) = rows.next().transpose()? else { break };
                    self.runs = Some(Runs::of(batch));
                }
            }
        }
        let Some((file, next)) = &mut self.chunked else { return Ok(()) };
        while self.at >= self.directory.len() && *next < file.groups() {
            self.directory = file.directory(*next)?;
            (self.at, self.byte_row) = (0, 0);
            self.bytes.clear();
            *next += 1;
        }
        if self.bytes.is_empty() && self.at < self.directory.len() {
            let end = self.directory.len().min(self.at + BLOCK_CHUNKS);
            self.bytes = file.read_chunks(*next - 1, std::slice::from_ref(&(self.at..end)))?.into();
        }
        Ok(())
    }

    /// Gives the next chunk to the writer. A large one that nothing overlaps goes as it is.
    fn pass_on(&mut self, writer: &mut ChunkWriter<'_>) -> Result<()> {
        self.take(&mut |id, next| match next {
            Next::Rows(chunk) => writer.add(id, chunk),
            Next::Bytes(entry, bytes) if entry.rows >= WHOLE_ROWS_MIN && writer.nothing_pending_of(id) => {
                writer.add_whole(&entry, bytes)
            }
            Next::Bytes(_, bytes) => writer.add(id, Chunk::decode(bytes, |_| true)?),
        })
    }

    /// Gives the next chunk away.
    pub(super) fn take(&mut self, to: &mut dyn FnMut([u8; 16], Next<'_>) -> Result<()>) -> Result<()> {
        if let Some((id, chunk)) = self.run.take() {
            to(id, Next::Rows(chunk))?;
            return self.fill();
        }
        let (Some(entry), Some(bytes)) = (self.directory.entry(self.at), self.bytes.front()) else {
            return Err(Error::internal("a chunk without bytes"));
        };
        to(entry.id, Next::Bytes(entry, bytes.value(self.byte_row)))?;
        self.at += 1;
        self.byte_row += 1;
        if self.byte_row >= bytes.len() {
            self.bytes.pop_front();
            self.byte_row = 0;
        }
        self.fill()
    }
}

/// The next samples of a part: rows, or a chunk as it lies.
pub(super) enum Next<'a> {
    Rows(Chunk),
    Bytes(Entry, &'a [u8]),
}

/// All rows of a part of an older format, in order.
fn all_rows(part: &Arc<Part>, options: &PartOptions) -> Result<Batches> {
    let columns = (0..Table::MetricSamples.columns().len()).map(ScanColumn::Fixed).collect();
    let scan = Scan {
        table: Table::MetricSamples,
        columns,
        filters: Vec::new(),
        pruning: Pruning::default(),
        batch_rows: options.block_rows,
    };
    let part = part.clone();
    let pieces = part.whole().into_iter();
    Ok(Box::new(pieces.flat_map(move |piece| match part.read(&scan, &piece) {
        Ok(batches) => batches,
        Err(error) => Box::new(std::iter::once(Err(error))) as Batches,
    })))
}
