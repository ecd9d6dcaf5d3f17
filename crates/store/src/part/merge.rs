//! How do several parts become one? By a merge of sorted streams, a block at a time: each part holds one batch in memory, the new
//! part one block.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::row::{RowConverter, Rows, SortField};
use causeway_model::{Error, Result, Table};

use crate::disk::Disk;
use crate::part::census::Census;
use crate::part::chunks::merge_chunks;
use crate::part::columns::{PartSchema, fixed_position};
use crate::part::picks::Picks;
use crate::part::project::BLOCK_BYTES_MAX;
use crate::part::read::Batches;
use crate::part::write::PartWriter;
use crate::part::{NewPart, Part, PartMeta, PartOptions, PartPiece};

/// Merges parts of one table into one, sorted, streaming: memory stays bounded whatever the parts' size. `give_way` is called
/// between blocks and may wait for what is more urgent.
///
/// # Errors
/// `Invalid` when there are no parts or not of one table; `Corrupt` names the part that can't be read; `Unavailable` when the disk
/// refuses.
pub fn merge_parts(
    disk: &Arc<dyn Disk>,
    parts: &[Arc<Part>],
    new: &NewPart,
    options: &PartOptions,
    give_way: &dyn Fn(),
) -> Result<PartMeta> {
    let table = parts.first().map(|part| part.meta().table).ok_or_else(|| Error::invalid("nothing to merge"))?;
    if parts.iter().any(|part| part.meta().table != table) {
        return Err(Error::invalid("a part of another table"));
    }
    if table.has_chunks() {
        return merge_chunks(disk, table, parts, new, options, give_way);
    }
    let mut census = Census::new();
    for part in parts {
        let directory = part.index().directory()?;
        census.add_keys(&directory.keys, directory.keys_complete);
    }
    let (keys, complete) = census.finish(table, options.promoted_keys_max);
    let schema = Arc::new(PartSchema::of_keys(table, keys.iter().map(|key| &key.statistics), complete));
    let mut writer = PartWriter::create(disk, &schema, keys, complete, new, options)?;
    let order = SortOrder::new(table, &schema)?;
    let mut streams = Vec::with_capacity(parts.len());
    for part in parts {
        streams.extend(Stream::open(part, &schema, &order, options.block_rows)?);
    }
    let mut block = BlockBuilder::new(&schema, options.block_rows);
    while let Some((first, second)) = first_two(&streams) {
        let Some(stream) = streams.get(first) else { break };
        let bound = second.and_then(|second| streams.get(second)).map(|other| (other, first < second.unwrap_or(first)));
        let end = stream.end_of_run(bound);
        let taken = block.take(stream, end - stream.row);
        if block.is_full() {
            writer.add_block(&block.finish()?)?;
            give_way();
        }
        if !streams[first].advance(taken, &order)? {
            streams.remove(first);
        }
    }
    if !block.is_empty() {
        writer.add_block(&block.finish()?)?;
    }
    let replaced: Vec<u64> = parts.iter().map(|part| part.meta().id).collect();
    writer.finish(&replaced)
}

/// Compares rows by the table's sort columns.
struct SortOrder {
    converter: RowConverter,
    columns: Vec<usize>,
}

impl SortOrder {
    fn new(table: Table, schema: &PartSchema) -> Result<Self> {
        let columns: Vec<usize> = table.sort_columns().iter().filter_map(|name| fixed_position(table, name)).collect();
        let fields =
            columns.iter().map(|column| SortField::new(schema.arrow.field(*column).data_type().clone())).collect();
        Ok(Self { converter: RowConverter::new(fields)?, columns })
    }

    fn rows(&self, batch: &RecordBatch) -> Result<Rows> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| batch.column(*column).clone()).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }
}

/// What is left of one part.
struct Stream {
    part: Arc<Part>,
    schema: Arc<PartSchema>,
    batch_rows: usize,
    pieces: VecDeque<PartPiece>,
    batches: Option<Batches>,
    batch: RecordBatch,
    keys: Rows,
    row: usize,
    row_bytes: usize,
}

impl Stream {
    /// `None` when the part has no rows.
    fn open(part: &Arc<Part>, schema: &Arc<PartSchema>, order: &SortOrder, batch_rows: usize) -> Result<Option<Self>> {
        let batch = RecordBatch::new_empty(schema.arrow.clone());
        let mut stream = Self {
            part: part.clone(),
            schema: schema.clone(),
            batch_rows,
            pieces: part.whole().into(),
            batches: None,
            keys: order.rows(&batch)?,
            batch,
            row: 0,
            row_bytes: 0,
        };
        Ok(stream.advance(0, order)?.then_some(stream))
    }

    /// Passes over rows; false at the end of the part.
    fn advance(&mut self, rows: usize, order: &SortOrder) -> Result<bool> {
        self.row += rows;
        while self.row >= self.batch.num_rows() {
            let next = match &mut self.batches {
                Some(batches) => batches.next().transpose()?,
                None => None,
            };
            match (next, self.pieces.is_empty()) {
                (Some(batch), _) => {
                    self.keys = order.rows(&batch)?;
                    self.row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
                    (self.batch, self.row) = (batch, 0);
                }
                (None, false) => {
                    let Some(piece) = self.pieces.pop_front() else { return Ok(false) };
                    self.batches = Some(self.part.read_as(&self.schema, &piece, self.batch_rows)?);
                }
                (None, true) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The first row behind those that come before the other stream's next row; equal rows go by the parts' order.
    fn end_of_run(&self, bound: Option<(&Self, bool)>) -> usize {
        let total = self.batch.num_rows();
        let Some((other, equal_first)) = bound else { return total };
        let limit = other.keys.row(other.row);
        let inside = |row: usize| {
            let key = self.keys.row(row);
            key < limit || (equal_first && key == limit)
        };
        // Runs are short where parts overlap and long where they don't: double the step, then halve it.
        let (mut low, mut step) = (self.row + 1, 1);
        while low + step <= total && inside(low + step - 1) {
            low += step;
            step *= 2;
        }
        let mut high = total.min(low + step);
        while low < high {
            let middle = low + (high - low) / 2;
            if inside(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.min(total)
    }
}

/// The streams with the smallest and the second smallest next row.
fn first_two(streams: &[Stream]) -> Option<(usize, Option<usize>)> {
    let key = |number: usize| streams.get(number).map(|stream: &Stream| (stream.keys.row(stream.row), number));
    let (mut first, mut second) = (0, None);
    key(0)?;
    for number in 1..streams.len() {
        if key(number) < key(first) {
            second = Some(first);
            first = number;
        } else if second.is_none_or(|second| key(number) < key(second)) {
            second = Some(number);
        }
    }
    Some((first, second))
}

/// Gathers runs of rows until a block is full.
struct BlockBuilder<'a> {
    schema: &'a PartSchema,
    block_rows: usize,
    sources: Vec<RecordBatch>,
    picks: Picks,
    bytes: usize,
}

impl<'a> BlockBuilder<'a> {
    fn new(schema: &'a PartSchema, block_rows: usize) -> Self {
        Self { schema, block_rows, sources: Vec::new(), picks: Picks::default(), bytes: 0 }
    }

    fn is_empty(&self) -> bool {
        self.picks.rows() == 0
    }

    fn is_full(&self) -> bool {
        self.picks.rows() >= self.block_rows || self.bytes >= BLOCK_BYTES_MAX
    }

    /// Takes up to so many next rows of a stream; answers how many fitted.
    fn take(&mut self, stream: &Stream, rows: usize) -> usize {
        let by_bytes = (BLOCK_BYTES_MAX.saturating_sub(self.bytes) / stream.row_bytes.max(1)).max(1);
        let taken = rows.min(self.block_rows.saturating_sub(self.picks.rows())).min(by_bytes);
        // Batches are shared, so that one is told from another by where its first column lies.
        let same = |batch: &RecordBatch| match (batch.columns().first(), stream.batch.columns().first()) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        };
        let source = self.sources.iter().rposition(same).unwrap_or_else(|| {
            self.sources.push(stream.batch.clone());
            self.sources.len() - 1
        });
        self.picks.push(source, stream.row, taken);
        self.bytes += taken * stream.row_bytes;
        taken
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.schema.columns.len());
        for column in 0..self.schema.columns.len() {
            let arrays: Vec<&dyn Array> = self.sources.iter().map(|batch| &**batch.column(column)).collect();
            columns.push(self.picks.gather(&arrays)?);
        }
        self.sources.clear();
        self.picks.clear();
        self.bytes = 0;
        Ok(RecordBatch::try_new(self.schema.arrow.clone(), columns)?)
    }
}
