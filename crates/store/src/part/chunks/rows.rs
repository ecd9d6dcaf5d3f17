//! How do chunks read as rows of `metric_samples`? A block of chunks at a time, decoded as far as columns are wanted.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use causeway_model::Result;

use super::{BLOCK_CHUNKS, ChunkFile, GroupDirectory};
use crate::part::columns::PartSchema;
use crate::part::read::{Batches, PartPiece};
use crate::part::resolve::Resolved;
use crate::samples::{Chunk, SERIES_ID};
use crate::scan::{Scan, ScanColumn};

/// Reads the samples of a piece.
pub(super) fn read(file: &Arc<ChunkFile>, schema: &Arc<PartSchema>, scan: &Scan, piece: &PartPiece) -> Result<Batches> {
    let mut wanted = scan.columns.clone();
    wanted.extend(scan.filters.iter().flat_map(|filter| filter.columns.iter().cloned()));
    let reader = RowReader {
        needed: Resolved::scan(schema, &wanted)?,
        schema: schema.clone(),
        scan: scan.clone(),
        directory: file.directory(piece.row_group)?,
        file: file.clone(),
        group: piece.row_group,
        chunks: VecDeque::new(),
        ready: RecordBatch::new_empty(Arc::new(Schema::empty())),
        blocks: VecDeque::new(),
    };
    Ok(Box::new(reader.planned(piece)))
}

/// Turns chunks into rows, a block of chunks at a time.
struct RowReader {
    file: Arc<ChunkFile>,
    schema: Arc<PartSchema>,
    scan: Scan,
    needed: Resolved,
    directory: Arc<GroupDirectory>,
    group: usize,
    /// Blocks of chunks to read yet.
    blocks: VecDeque<Vec<Range<usize>>>,
    /// Rows that were decoded and are not yet given out.
    ready: RecordBatch,
    /// Chunks that were read, with their numbers.
    chunks: VecDeque<(usize, BinaryArray, usize)>,
}

impl RowReader {
    /// Leaves out chunks that can't hold what is asked for.
    fn planned(mut self, piece: &PartPiece) -> Self {
        let is_id = |column: &ScanColumn| matches!(column, ScanColumn::Fixed(SERIES_ID));
        let of_ids: Vec<&Vec<Vec<u8>>> =
            self.scan.pruning.values.iter().filter(|(column, _)| is_id(column)).map(|(_, ids)| ids).collect();
        let may_hold = |at: &usize| {
            self.directory.entry(*at).is_some_and(|entry| {
                entry.time.overlaps(&self.scan.pruning.time)
                    && of_ids.iter().all(|ids| ids.iter().any(|id| id.as_slice() == entry.id.as_slice()))
            })
        };
        let chunks = piece.rows.iter().flat_map(|rows| self.directory.chunks(rows)).filter(may_hold);
        let mut block: Vec<Range<usize>> = Vec::new();
        let (mut count, mut blocks) = (0, VecDeque::new());
        for at in chunks {
            match block.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                Some(last) if last.end > at => continue,
                _ => block.push(at..at + 1),
            }
            count += 1;
            if count == BLOCK_CHUNKS {
                blocks.push_back(std::mem::take(&mut block));
                count = 0;
            }
        }
        if !block.is_empty() {
            blocks.push_back(block);
        }
        self.blocks = blocks;
        self
    }

    fn next_chunk(&mut self) -> Result<Option<(usize, Chunk)>> {
        while self.chunks.is_empty() {
            let Some(block) = self.blocks.pop_front() else { return Ok(None) };
            let mut numbers = block.iter().cloned().flatten();
            for bytes in self.file.read_chunks(self.group, &block)? {
                for row in 0..bytes.len() {
                    let Some(number) = numbers.next() else { break };
                    self.chunks.push_back((number, bytes.clone(), row));
                }
            }
        }
        let Some((number, bytes, row)) = self.chunks.pop_front() else { return Ok(None) };
        let columns = &self.needed.columns;
        let chunk = Chunk::decode(bytes.value(row), |position| columns.contains(&position))
            .map_err(|error| error.context(self.file.path.display()))?;
        Ok(Some((number, chunk)))
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut rows = Chunk::default();
        let mut ids: Vec<u8> = Vec::new();
        while rows.rows() < self.scan.batch_rows {
            let Some((number, chunk)) = self.next_chunk()? else { break };
            let id = self.directory.ids().get(number).copied().unwrap_or_default();
            ids.extend((0..chunk.rows()).flat_map(|_| id));
            rows.append(&chunk)?;
        }
        if rows.rows() == 0 {
            return Ok(None);
        }
        let count = rows.rows();
        let array = |position: &usize| -> Result<ArrayRef> {
            if *position == SERIES_ID {
                let ids = std::mem::take(&mut ids);
                return Ok(Arc::new(FixedSizeBinaryArray::try_new(16, ids.into(), None)?));
            }
            rows.to_array(*position)
        };
        let columns = self.needed.columns.iter().map(array).collect::<Result<Vec<_>>>()?;
        let schema = Arc::new(self.schema.arrow.project(&self.needed.columns)?);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let read = RecordBatch::try_new_with_options(schema, columns, &options)?;
        self.filtered(self.needed.apply(&read)?).map(Some)
    }

    /// The rows that pass the scan's filters, with the scan's columns alone.
    fn filtered(&self, mut rows: RecordBatch) -> Result<RecordBatch> {
        let mut from = self.scan.columns.len();
        for filter in &self.scan.filters {
            let of_filter: Vec<usize> = (from..from + filter.columns.len()).collect();
            from += filter.columns.len();
            let keep = (filter.keep)(&rows.project(&of_filter)?)?;
            rows = filter_record_batch(&rows, &keep)?;
        }
        Ok(rows.project(&(0..self.scan.columns.len()).collect::<Vec<_>>())?)
    }
}

impl Iterator for RowReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.num_rows() == 0 {
            match self.next_batch() {
                Ok(Some(batch)) => self.ready = batch,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        // Chunks are taken whole, so that the last one may go beyond a batch.
        let rows = self.ready.num_rows().min(self.scan.batch_rows.max(1));
        let batch = self.ready.slice(0, rows);
        self.ready = self.ready.slice(rows, self.ready.num_rows() - rows);
        Some(Ok(batch))
    }
}
