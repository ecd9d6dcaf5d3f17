//! What are the samples of some series? Found at once in all parts and in memory, read series by series from any thread; where it is enough,
//! what they were together in windows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, FixedSizeBinaryArray, Float64Array, TimestampNanosecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{Float64Type, TimestampNanosecondType, UInt32Type};
use causeway_model::{
    Batch, Error, Histogram, NO_RECORDED_VALUE, Result, Rollup, Table, TimeRange, join_rollups, rollups_of,
};
use parking_lot::Mutex;

use super::chunk::{Chunk, FLAGS, SERIES_ID, START_TIME, TIME, VALUE, milliseconds};
use super::plan::{Kind, SampleTables};
use super::rollup::add_rolled;
use crate::part::{ChunkFile, Part};
use crate::scan::{Filter, Pruning, Scan, ScanColumn};

/// Chunks that are read together at most: about what a block holds.
const SEGMENT_CHUNKS: usize = 256;

/// Samples of one series, in order of time; of those within one millisecond the last that came.
#[derive(Debug, Default)]
pub struct SeriesSamples {
    /// Times of the floating point values, in milliseconds since 1970, as Prometheus has them.
    pub times: Vec<i64>,
    /// The values; a staleness marker where there is no recorded value.
    pub values: Vec<f64>,
    /// When accumulation began, in milliseconds, 0 where unknown; empty where none is known.
    pub starts: Vec<i64>,
    /// Samples that are more than a value: histograms and summaries, as they lie, in no order.
    pub others: Vec<Chunk>,
    /// What values were together, in order; where samples were asked for, only of those that are no longer kept themselves.
    pub rollups: Vec<Rollup>,
    /// What is left of histograms and summaries that are no longer kept: the last of each window, and those before a reset.
    pub others_left: Vec<Chunk>,
}

impl SeriesSamples {
    /// Empties it and keeps its room.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.others.clear();
        self.rollups.clear();
        self.others_left.clear();
    }

    /// How many samples it holds.
    pub(crate) fn held(&self) -> usize {
        self.times.len() + self.others.iter().map(Chunk::rows).sum::<usize>()
    }

    /// Adds a value; both times are in nanoseconds.
    fn push(&mut self, time: i64, start: i64, value: f64) {
        let (time, start) = (milliseconds(time), milliseconds(start));
        if start != 0 || !self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
            self.starts.push(start);
        }
        self.times.push(time);
        self.values.push(value);
    }

    /// Adds the samples of a chunk as it lies on disk.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { times, values, starts, .. } = self;
        if !Chunk::decode_values(bytes, times, values, starts)? {
            self.add_chunk(Chunk::decode(bytes, |_| true)?);
        }
        Ok(())
    }

    /// Adds what a chunk of some part holds.
    fn add_kind(&mut self, kind: Kind, bytes: &[u8]) -> Result<()> {
        match kind {
            Kind::Samples => self.add_bytes(bytes),
            Kind::Rollups { resolution_ms, .. } => {
                add_rolled(Chunk::decode(bytes, |_| true)?, resolution_ms, &mut self.rollups, &mut self.others_left);
                Ok(())
            }
        }
    }

    /// Adds the samples of a chunk.
    pub(crate) fn add_chunk(&mut self, chunk: Chunk) {
        let (values, flags, starts) = (chunk.floats(VALUE), chunk.integers(FLAGS), chunk.integers(START_TIME));
        let mut left = Vec::new();
        for (row, time) in chunk.times().iter().enumerate() {
            let stale = flags.get(row).is_some_and(|flags| *flags as u32 & NO_RECORDED_VALUE != 0);
            let value = if stale { Some(f64::from_bits(Histogram::STALE)) } else { values.get(row).copied().flatten() };
            match value {
                Some(value) => self.push(*time, starts.get(row).copied().unwrap_or(0), value),
                None => left.push(row),
            }
        }
        if !left.is_empty() {
            self.others.push(if left.len() == chunk.rows() { chunk } else { chunk.rows_at(&left) });
        }
    }

    pub(super) fn order(&mut self) {
        self.starts.truncate(self.times.len());
        if self.times.is_sorted_by(|a, b| a < b) {
            return;
        }
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by_key(|at| self.times[*at]);
        let times = &self.times;
        let last_of_its_time = |(place, at): (usize, &usize)| {
            let next = order.get(place + 1);
            next.is_none_or(|next| times[*next] != times[*at]).then_some(*at)
        };
        let order: Vec<usize> = order.iter().enumerate().filter_map(last_of_its_time).collect();
        let picked = |values: &[i64]| order.iter().map(|at| values[*at]).collect::<Vec<_>>();
        let values = order.iter().map(|at| self.values[*at]).collect();
        self.starts = if self.starts.is_empty() { Vec::new() } else { picked(&self.starts) };
        self.times = picked(&self.times);
        self.values = values;
    }
}

/// The samples of some series of one snapshot.
#[derive(Debug)]
pub struct SampleSet {
    ids: Vec<[u8; 16]>,
    time: TimeRange,
    /// The length of the windows that are wanted; 0 where samples are.
    resolution_ms: i64,
    parts: InParts,
    memory: Vec<MemoryBatch>,
    /// For each series where its runs of rows in memory begin; one more for the end.
    memory_starts: Vec<usize>,
    runs: Vec<Run>,
    /// All parts of samples, where rollups are read in the place of some; and what is found in them, once it is wanted.
    reserve: Vec<Arc<Part>>,
    in_reserve: Mutex<Option<Arc<InParts>>>,
}

/// The samples of some series in parts.
#[derive(Debug)]
struct InParts {
    segments: Vec<Segment>,
    /// For each series where its places begin; one more for the end.
    starts: Vec<usize>,
    places: Vec<Place>,
    /// Samples of parts that don't keep chunks.
    unchunked: Vec<(u32, Chunk)>,
}

/// Where a chunk lies: its segment and its number there.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u32,
    row: u32,
}

/// Rows of a series in memory.
#[derive(Debug, Clone, Copy)]
struct Run {
    batch: u32,
    start: u32,
    end: u32,
}

/// Chunks that are read together once the first of them is wanted.
#[derive(Debug)]
struct Segment {
    file: Arc<ChunkFile>,
    kind: Kind,
    group: usize,
    chunks: Vec<Range<usize>>,
    state: Mutex<SegmentState>,
}

#[derive(Debug, Default)]
struct SegmentState {
    bytes: Vec<BinaryArray>,
    /// Chunks that nobody has asked for since the bytes were read; at the last one they are let go.
    left: usize,
}

impl Segment {
    fn chunk(&self, row: u32) -> Result<(BinaryArray, usize)> {
        let mut state = self.state.lock();
        if state.bytes.is_empty() {
            state.bytes = self.file.read_chunks(self.group, &self.chunks)?;
            state.left = self.chunks.iter().map(Range::len).sum();
        }
        let mut row = row as usize;
        let found = state.bytes.iter().find(|bytes| {
            let inside = row < bytes.len();
            if !inside {
                row -= bytes.len();
            }
            inside
        });
        let found = found.cloned().ok_or_else(|| Error::internal("a chunk outside of its segment"))?;
        state.left = state.left.saturating_sub(1);
        if state.left == 0 {
            state.bytes = Vec::new();
        }
        Ok((found, row))
    }
}

/// A batch in memory, sorted by series and time, as the memtable keeps it.
#[derive(Debug)]
struct MemoryBatch {
    columns: Vec<ArrayRef>,
    ids: FixedSizeBinaryArray,
    times: TimestampNanosecondArray,
    starts: TimestampNanosecondArray,
    flags: UInt32Array,
    values: Float64Array,
}

impl MemoryBatch {
    fn of(batch: &Batch) -> Result<Self> {
        let columns = batch.records().columns().to_vec();
        let typed = (|| {
            let time = |position: usize| columns.get(position)?.as_primitive_opt::<TimestampNanosecondType>().cloned();
            Some((
                columns.get(SERIES_ID)?.as_fixed_size_binary_opt()?.clone(),
                time(TIME)?,
                time(START_TIME)?,
                columns.get(FLAGS)?.as_primitive_opt::<UInt32Type>()?.clone(),
                columns.get(VALUE)?.as_primitive_opt::<Float64Type>()?.clone(),
            ))
        })();
        let (ids, times, starts, flags, values) = typed.ok_or_else(|| Error::internal("not the columns of samples"))?;
        Ok(Self { columns, ids, times, starts, flags, values })
    }

    /// Visits the rows of each of these series, which are in order.
    fn find(&self, ids: &[[u8; 16]], visit: &mut dyn FnMut(usize, Range<usize>)) {
        let rows = self.ids.len();
        let id = |row: usize| self.ids.value(row);
        let mut row = 0;
        for (number, wanted) in ids.iter().enumerate() {
            // Both are sorted: double the step, then halve it.
            let mut step = 1;
            while row + step < rows && id(row + step) < wanted.as_slice() {
                row += step;
                step *= 2;
            }
            let (mut low, mut high) = (row, rows.min(row + step + 1));
            while low < high {
                let middle = low + (high - low) / 2;
                if id(middle) < wanted.as_slice() {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            row = low;
            if row >= rows {
                return;
            }
            let end = (row..rows).find(|row| id(*row) != wanted.as_slice()).unwrap_or(rows);
            if end > row {
                visit(number, row..end);
                row = end;
                if row >= rows {
                    return;
                }
            }
        }
    }

    fn add_to(&self, rows: Range<usize>, samples: &mut SeriesSamples) -> Result<()> {
        for row in rows {
            let start = if self.starts.is_valid(row) { self.starts.value(row) } else { 0 };
            if self.flags.value(row) & NO_RECORDED_VALUE != 0 {
                samples.push(self.times.value(row), start, f64::from_bits(Histogram::STALE));
            } else if self.values.is_valid(row) {
                samples.push(self.times.value(row), start, self.values.value(row));
            } else {
                samples.others.push(Chunk::of_rows(&self.columns, row..row + 1)?);
            }
        }
        Ok(())
    }
}

/// The rows of a batch of samples sorted by series and time; `None` where they are already.
///
/// # Errors
/// `Internal` when it is no batch of samples.
pub(crate) fn by_series(batch: &Batch) -> Result<Option<Batch>> {
    let columns = batch.records().columns();
    let ids = columns.get(SERIES_ID).and_then(|ids| ids.as_fixed_size_binary_opt());
    let times = columns.get(TIME).and_then(|times| times.as_primitive_opt::<TimestampNanosecondType>());
    let (Some(ids), Some(times)) = (ids, times) else { return Err(Error::internal("not a batch of samples")) };
    u32::try_from(batch.rows()).map_err(|_| Error::internal("a batch of over 4 billion rows"))?;
    let (ids, _) = ids.value_data().as_chunks::<16>();
    // Numbers compare faster than bytes.
    let mut keys: Vec<(u128, i64, u32)> = (0u32..)
        .zip(ids.iter().zip(times.values()))
        .map(|(row, (id, time))| (u128::from_be_bytes(*id), *time, row))
        .collect();
    if keys.is_sorted_by_key(|(id, time, _)| (*id, *time)) {
        return Ok(None);
    }
    // Samples of one time stay as they came; batches that were sorted before they were joined are merged.
    keys.sort_by_key(|(id, time, _)| (*id, *time));
    let order: UInt32Array = keys.into_iter().map(|(_, _, row)| row).collect();
    // Nulls alone have no order.
    let sorted = |column: &ArrayRef| match column.null_count() == column.len() {
        true => Ok(column.clone()),
        false => Ok(take(column, &order, None)?),
    };
    let columns = columns.iter().map(sorted).collect::<Result<Vec<_>>>()?;
    Ok(Some(Batch::of_columns(Table::MetricSamples, columns)?))
}

/// What is found, before it is put in the order of the series.
#[derive(Default)]
struct Found {
    segments: Vec<Segment>,
    places: Vec<(u32, Place)>,
    unchunked: Vec<(u32, Chunk)>,
}

impl SampleSet {
    /// Finds the samples of these series, whose ids are ascending and each there once. All samples of the time are found; more may be.
    /// With a `resolution_ms` of [`Table::resolution_ms`] it is found what they were together in windows so long, from rollups where
    /// there are any; 0 asks for samples.
    ///
    /// # Errors
    /// `Corrupt` when a part can't be read.
    pub fn select(tables: &SampleTables<'_>, ids: &[[u8; 16]], time: TimeRange, resolution_ms: i64) -> Result<Self> {
        let plan = tables.plan(time, resolution_ms);
        let samples = plan.samples.iter().map(|part| (part, Kind::Samples));
        let rollups = plan.rollups.iter().map(|(part, kind)| (part, *kind));
        let parts = InParts::find(samples.chain(rollups), ids, time)?;
        let memory = tables.samples.memory.iter().map(|batch| MemoryBatch::of(batch)).collect::<Result<Vec<_>>>()?;
        let mut runs: Vec<(u32, Run)> = Vec::new();
        for (number, batch) in (0u32..).zip(&memory) {
            batch.find(ids, &mut |series, rows| {
                let run = Run { batch: number, start: rows.start as u32, end: rows.end as u32 };
                runs.push((series as u32, run));
            });
        }
        let (memory_starts, runs) = by_number(ids.len(), runs);
        let (ids, reserve, in_reserve) = (ids.to_vec(), plan.in_reserve, Mutex::default());
        Ok(Self { ids, time, resolution_ms, parts, memory, memory_starts, runs, reserve, in_reserve })
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Puts the samples of a series in place of what was there, and windows where no samples are left.
    ///
    /// # Errors
    /// `Corrupt` when they can't be read.
    pub fn read(&self, series: usize, samples: &mut SeriesSamples) -> Result<()> {
        samples.clear();
        let last = |kind| matches!(kind, Kind::Rollups { last: true, .. });
        if self.reserve.is_empty() {
            self.parts.read(series, samples, |kind| kind == Kind::Samples || last(kind))?;
        } else {
            self.found_in_reserve()?.read(series, samples, |_| true)?;
            self.parts.read(series, samples, last)?;
        }
        self.read_memory(series, samples)?;
        samples.order();
        join_rollups(&mut samples.rollups);
        Ok(())
    }

    /// Puts what the values of a series were together in the place of what was there, as its `rollups`; says whether they tell all, which
    /// they don't for histograms and where samples did not come in order of time: then [`Self::read`] does.
    ///
    /// # Errors
    /// `Corrupt` when they can't be read.
    pub fn read_rollups(&self, series: usize, samples: &mut SeriesSamples) -> Result<bool> {
        samples.clear();
        self.parts.read(series, samples, |_| true)?;
        self.read_memory(series, samples)?;
        if !(samples.others.is_empty() && samples.others_left.is_empty()) {
            return Ok(false);
        }
        samples.order();
        let SeriesSamples { times, values, starts, rollups, .. } = samples;
        rollups_of(times, values, starts, self.resolution_ms.max(1), rollups);
        join_rollups(rollups);
        Ok(self.reserve.is_empty() || rollups.iter().all(|rollup| !rollup.tangled))
    }

    fn read_memory(&self, series: usize, samples: &mut SeriesSamples) -> Result<()> {
        for run in of_series(&self.memory_starts, &self.runs, series) {
            let batch = self.memory.get(run.batch as usize).ok_or_else(|| Error::internal("no such batch"))?;
            batch.add_to(run.start as usize..run.end as usize, samples)?;
        }
        Ok(())
    }

    /// Where samples lie in all parts of samples.
    fn found_in_reserve(&self) -> Result<Arc<InParts>> {
        let mut found = self.in_reserve.lock();
        if let Some(found) = &*found {
            return Ok(found.clone());
        }
        let parts = self.reserve.iter().map(|part| (part, Kind::Samples));
        let all = Arc::new(InParts::find(parts, &self.ids, self.time)?);
        *found = Some(all.clone());
        Ok(all)
    }
}

impl InParts {
    fn find<'a>(parts: impl Iterator<Item = (&'a Arc<Part>, Kind)>, ids: &[[u8; 16]], time: TimeRange) -> Result<Self> {
        let mut found = Found::default();
        for (part, kind) in parts {
            found.in_part(part, kind, ids, kind.reach(time))?;
        }
        let (starts, places) = by_number(ids.len(), found.places);
        let Found { segments, mut unchunked, .. } = found;
        unchunked.sort_by_key(|(series, _)| *series);
        Ok(Self { segments, starts, places, unchunked })
    }

    /// Adds what these kinds of parts hold of a series.
    fn read(&self, series: usize, samples: &mut SeriesSamples, wanted: impl Fn(Kind) -> bool) -> Result<()> {
        let first = self.unchunked.partition_point(|(number, _)| (*number as usize) < series);
        let unchunked = self.unchunked.iter().skip(first).take_while(|(number, _)| *number as usize == series);
        for (_, chunk) in unchunked.filter(|_| wanted(Kind::Samples)) {
            samples.add_chunk(chunk.clone());
        }
        for place in of_series(&self.starts, &self.places, series) {
            let segment = self.segments.get(place.segment as usize).ok_or_else(no_segment)?;
            if wanted(segment.kind) {
                let (bytes, row) = segment.chunk(place.row)?;
                samples.add_kind(segment.kind, bytes.value(row))?;
            }
        }
        Ok(())
    }
}

fn no_segment() -> Error {
    Error::internal("no such segment")
}

/// What belongs to a series, of what [`by_number`] gives.
fn of_series<'a, T>(starts: &[usize], all: &'a [T], series: usize) -> &'a [T] {
    let range = starts.get(series).zip(starts.get(series + 1));
    range.and_then(|(start, end)| all.get(*start..*end)).unwrap_or_default()
}

/// What belongs to each number, in the order found, and where it begins.
fn by_number<T: Copy>(numbers: usize, found: Vec<(u32, T)>) -> (Vec<usize>, Vec<T>) {
    let mut found = found;
    if !found.is_sorted_by_key(|(number, _)| *number) {
        found.sort_by_key(|(number, _)| *number);
    }
    let mut starts = vec![0usize; numbers + 1];
    for (number, _) in &found {
        if let Some(count) = starts.get_mut(*number as usize + 1) {
            *count += 1;
        }
    }
    for number in 1..starts.len() {
        starts[number] += starts[number - 1];
    }
    (starts, found.into_iter().map(|(_, of)| of).collect())
}

impl Found {
    fn in_part(&mut self, part: &Arc<Part>, kind: Kind, ids: &[[u8; 16]], time: TimeRange) -> Result<()> {
        match part.chunks() {
            Some(file) => self.in_chunks(file, kind, ids, time),
            None => self.in_rows(part, ids, time),
        }
    }

    fn in_chunks(&mut self, file: &Arc<ChunkFile>, kind: Kind, ids: &[[u8; 16]], time: TimeRange) -> Result<()> {
        for group in 0..file.groups() {
            let directory = file.directory(group)?;
            let (Some(first), Some(last)) = (directory.ids().first(), directory.ids().last()) else { continue };
            let from = ids.partition_point(|id| id < first);
            let mut at = 0;
            let mut chunks: Vec<Range<usize>> = Vec::new();
            let mut count = 0;
            for (number, id) in ids.iter().enumerate().skip(from).take_while(|(_, id)| *id <= last) {
                at += directory.ids()[at..].partition_point(|other| other < id);
                while directory.ids().get(at) == Some(id) {
                    if directory.entry(at).is_some_and(|entry| entry.time.overlaps(&time)) {
                        match chunks.last_mut() {
                            Some(range) if range.end == at => range.end += 1,
                            _ => chunks.push(at..at + 1),
                        }
                        let segment = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
                        self.places.push((number as u32, Place { segment, row: count as u32 }));
                        count += 1;
                        if count == SEGMENT_CHUNKS {
                            self.end_segment((file, kind), group, std::mem::take(&mut chunks), count);
                            count = 0;
                        }
                    }
                    at += 1;
                }
            }
            if count > 0 {
                self.end_segment((file, kind), group, chunks, count);
            }
        }
        Ok(())
    }

    fn end_segment(
        &mut self,
        (file, kind): (&Arc<ChunkFile>, Kind),
        group: usize,
        chunks: Vec<Range<usize>>,
        count: usize,
    ) {
        let state = Mutex::new(SegmentState { bytes: Vec::new(), left: count });
        self.segments.push(Segment { file: file.clone(), kind, group, chunks, state });
    }

    /// Reads the rows of the series from a part of an older format.
    fn in_rows(&mut self, part: &Part, ids: &[[u8; 16]], time: TimeRange) -> Result<()> {
        let wanted: Arc<[[u8; 16]]> = ids.into();
        let keep = move |batch: &arrow::array::RecordBatch| {
            let ids = batch.column(0).as_fixed_size_binary_opt().ok_or_else(|| Error::internal("no ids"))?;
            let is_wanted =
                |id: Option<&[u8]>| id.map(|id| wanted.binary_search_by(|wanted| wanted.as_slice().cmp(id)).is_ok());
            Ok(ids.iter().map(is_wanted).collect())
        };
        let scan = Scan {
            table: Table::MetricSamples,
            columns: (0..Table::MetricSamples.columns().len()).map(ScanColumn::Fixed).collect(),
            filters: vec![Filter { columns: vec![ScanColumn::Fixed(SERIES_ID)], keep: Arc::new(keep) }],
            pruning: Pruning { time, ..Pruning::default() },
            batch_rows: 8_192,
        };
        for piece in part.plan(&scan)?.0 {
            for batch in part.read(&scan, &piece)? {
                let batch = MemoryBatch::of(&Batch::of_columns(Table::MetricSamples, batch?.columns().to_vec())?)?;
                let mut runs = Vec::new();
                batch.find(ids, &mut |series, rows| runs.push((series as u32, rows)));
                for (series, rows) in runs {
                    for start in rows.clone().step_by(super::CHUNK_ROWS_MAX) {
                        let end = rows.end.min(start + super::CHUNK_ROWS_MAX);
                        self.unchunked.push((series, Chunk::of_rows(&batch.columns, start..end)?));
                    }
                }
            }
        }
        Ok(())
    }
}
