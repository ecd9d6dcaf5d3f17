//! How are filters written beside a part, and probed? Written block by block as rows pass by; probed by reading a few sectors.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimestampNanosecondType};
use causeway_model::{Error, Family, Result, TimeRange, Value};

use crate::disk::{Disk, File};
use crate::index::directory::{Block, Directory, Group};
use crate::index::fuse::{Builder, Shape};
use crate::index::{attribute_seed, filter_hash, tokens};
use crate::part::json::with_json;

const MAGIC: &[u8; 8] = b"CAUSEIDX";
const VERSION: u32 = 2;
/// Its filters were of another kind, which is no longer read: they count as holding anything.
const VERSION_WITHOUT_FILTERS: u32 = 1;
const FOOTER_BYTES: usize = 8 + 4 + 8 + 4 + 4;
/// A directory beyond this is taken as damage rather than read into memory. 256 MiB: keys and checksums of a part of 100 GB.
const DIRECTORY_BYTES_MAX: u32 = 256 << 20;

/// Where a filter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) shape: Shape,
}

/// What of a column goes into filters; the position is the column's in the blocks that are written.
#[derive(Debug, Clone)]
pub(crate) enum IndexedColumn {
    /// The words of a text column.
    Tokens { position: usize, seed: u64 },
    /// Whole values, in the row group's filter too when `group` is set.
    Values { position: usize, seed: u64, group: bool },
    /// The strings of a rest map.
    Rest { position: usize, family: Family },
}

/// Gathers hashes, each about once: a small table of those seen lately drops most repetitions, sorting the others.
/// (A table that drops all of them was slower: it and the filter then miss the processor's caches at each hash.)
#[derive(Debug)]
pub(super) struct Hashes {
    recent: Vec<u64>,
    gathered: Vec<u64>,
}

impl Hashes {
    /// Places for hashes seen lately. 8,192: 64 KiB stay in the processor's caches.
    const RECENT: usize = 8_192;

    pub(super) fn new() -> Self {
        Self { recent: vec![0; Self::RECENT], gathered: Vec::new() }
    }

    #[inline]
    pub(super) fn add(&mut self, hash: u64) {
        let place = &mut self.recent[(hash as usize) % Self::RECENT];
        if *place != hash {
            *place = hash;
            self.gathered.push(hash);
        }
    }

    /// Appends a filter over what was gathered and begins anew.
    pub(super) fn write_filter(&mut self, builder: &mut Builder, out: &mut Vec<u8>) -> Shape {
        self.gathered.sort_unstable();
        self.gathered.dedup();
        let shape = builder.write_filter(&self.gathered, out);
        self.gathered.clear();
        self.recent.fill(0);
        shape
    }
}

/// Writes an index file.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    file: Arc<dyn File>,
    offset: u64,
    columns: Vec<IndexedColumn>,
    block: Hashes,
    group: Hashes,
    groups: Vec<Group>,
    open: Vec<Block>,
    builder: Builder,
    buffer: Vec<u8>,
}

impl IndexWriter {
    pub(crate) fn new(file: Arc<dyn File>, columns: Vec<IndexedColumn>) -> Self {
        Self {
            file,
            offset: 0,
            columns,
            block: Hashes::new(),
            group: Hashes::new(),
            groups: Vec::new(),
            open: Vec::new(),
            builder: Builder::default(),
            buffer: Vec::new(),
        }
    }

    /// Adds the next block of the row group. `time` is its first column.
    pub(crate) fn add_block(&mut self, rows: &RecordBatch) -> Result<()> {
        let columns = std::mem::take(&mut self.columns);
        for column in &columns {
            match *column {
                IndexedColumn::Tokens { position, seed } => self.add_tokens(rows.column(position), seed),
                IndexedColumn::Values { position, seed, group } => self.add_values(rows.column(position), seed, group),
                IndexedColumn::Rest { position, family } => self.add_rest(rows.column(position), family),
            }
        }
        self.columns = columns;
        let count = u32::try_from(rows.num_rows()).map_err(|_| Error::internal("a block of over 4 billion rows"))?;
        self.buffer.clear();
        self.add_block_of(count, time_of(rows)?)
    }

    /// Adds the next block of the row group, of which nothing goes into filters.
    pub(crate) fn add_counted(&mut self, rows: u32, time: TimeRange) -> Result<()> {
        self.buffer.clear();
        self.add_block_of(rows, time)
    }

    fn add_block_of(&mut self, rows: u32, time: TimeRange) -> Result<()> {
        let shape = self.block.write_filter(&mut self.builder, &mut self.buffer);
        let filter = self.append(shape)?;
        self.open.push(Block { rows, time, filter });
        Ok(())
    }

    fn add_tokens(&mut self, column: &ArrayRef, seed: u64) {
        let Some(texts) = column.as_string_opt::<i32>() else { return };
        for text in texts.iter().flatten() {
            tokens(text).for_each(|token| self.block.add(filter_hash(seed, token.as_bytes())));
        }
    }

    fn add_values(&mut self, column: &ArrayRef, seed: u64, group: bool) {
        let mut last: Option<&[u8]> = None;
        let mut add = |value: &'_ [u8]| {
            let hash = filter_hash(seed, value);
            self.block.add(hash);
            if group {
                self.group.add(hash);
            }
        };
        match column.data_type() {
            DataType::Utf8 => {
                for value in column.as_string::<i32>().iter().flatten() {
                    if last != Some(value.as_bytes()) {
                        add(value.as_bytes());
                    }
                    last = Some(value.as_bytes());
                }
            }
            DataType::FixedSizeBinary(_) => column.as_fixed_size_binary().iter().flatten().for_each(add),
            _ => {}
        }
    }

    fn add_rest(&mut self, column: &ArrayRef, family: Family) {
        let Some(map) = column.as_map_opt() else { return };
        let (Some(keys), Some(values)) = (map.keys().as_string_opt::<i32>(), map.values().as_string_opt::<i32>())
        else {
            return;
        };
        for (key, value) in keys.iter().zip(values) {
            let (Some(key), Some(value)) = (key, value) else { continue };
            with_json(value, |value| {
                if let Value::String(text) = value {
                    self.block.add(filter_hash(attribute_seed(family, key), text.as_bytes()));
                }
            });
        }
    }

    /// Ends the row group.
    pub(crate) fn end_group(&mut self) -> Result<()> {
        self.buffer.clear();
        let shape = self.group.write_filter(&mut self.builder, &mut self.buffer);
        let filter = self.append(shape)?;
        self.groups.push(Group { filter, blocks: std::mem::take(&mut self.open) });
        Ok(())
    }

    /// Appends the filter that stands in the buffer.
    fn append(&mut self, shape: Shape) -> Result<Place> {
        let place = Place { offset: self.offset, shape };
        self.file.append(&self.buffer)?;
        self.offset += self.buffer.len() as u64;
        Ok(place)
    }

    /// Smallest and largest time of all rows so far; empty ranges when there are none.
    pub(crate) fn time(&self) -> Option<TimeRange> {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks).chain(&self.open);
        blocks.map(|block| block.time).reduce(|a, b| TimeRange { start: a.start.min(b.start), end: a.end.max(b.end) })
    }

    /// Writes the directory, whose groups are those written here, and syncs. Answers the file's length.
    pub(crate) fn finish(mut self, mut directory: Directory) -> Result<u64> {
        directory.groups = std::mem::take(&mut self.groups);
        let mut bytes = directory.encode();
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= DIRECTORY_BYTES_MAX);
        let length = length.ok_or_else(|| Error::internal("the index directory is too large"))?;
        let mut footer = Vec::with_capacity(FOOTER_BYTES);
        footer.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        footer.extend_from_slice(&length.to_le_bytes());
        footer.extend_from_slice(&self.offset.to_le_bytes());
        footer.extend_from_slice(&VERSION.to_le_bytes());
        footer.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&footer);
        self.file.append(&bytes)?;
        self.file.sync()?;
        Ok(self.offset + bytes.len() as u64)
    }
}

fn time_of(rows: &RecordBatch) -> Result<TimeRange> {
    let time = rows.columns().first().and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    let values = time.ok_or_else(|| Error::internal("the first column is not time"))?.values();
    let fold = |from: (i64, i64), time: &i64| (from.0.min(*time), from.1.max(*time));
    let (start, end) = values.iter().fold((i64::MAX, i64::MIN), fold);
    Ok(TimeRange { start, end })
}

/// Probes an index file.
#[derive(Debug)]
pub(crate) struct IndexReader {
    file: Arc<dyn File>,
    path: PathBuf,
    filters_end: u64,
    filters_missing: u64,
}

impl IndexReader {
    /// Opens the file and reads its directory.
    ///
    /// # Errors
    /// `Corrupt` with the file's name when it is damaged or of a version that is not known.
    pub(crate) fn open(disk: &Arc<dyn Disk>, path: PathBuf) -> Result<(Self, Directory)> {
        let named = |error: Error| error.context(path.display());
        let file = disk.open(&path)?;
        let (directory, filters_end) = read_directory(&*file).map_err(named)?;
        let places = directory
            .groups
            .iter()
            .flat_map(|group| group.blocks.iter().map(|block| block.filter).chain(std::iter::once(group.filter)));
        let mut filters_missing = 0;
        for place in places {
            let end = place.offset.checked_add(place.shape.bytes());
            if end.is_none_or(|end| end > filters_end) {
                return Err(named(Error::corrupt("a filter lies outside")));
            }
            filters_missing += u64::from(place.shape == Shape::Anything);
        }
        Ok((Self { file, path, filters_end, filters_missing }, directory))
    }

    /// The directory, read again: what is rarely needed is not held.
    pub(crate) fn directory(&self) -> Result<Directory> {
        read_directory(&*self.file).map(|(directory, _)| directory).map_err(|error| error.context(self.path.display()))
    }

    /// Bytes of the file that are filters.
    pub(crate) fn filter_bytes(&self) -> u64 {
        self.filters_end
    }

    /// Filters that let everything through: an older version wrote them, or they could not be built.
    pub(crate) fn filters_missing(&self) -> u64 {
        self.filters_missing
    }

    /// Whether the filter may hold the hash. Reads a few sectors.
    ///
    /// # Errors
    /// `Corrupt` with the file's name when they are damaged.
    pub(crate) fn may_hold(&self, place: Place, hash: u64) -> Result<bool> {
        let cells = match place.shape {
            Shape::Nothing => return Ok(false),
            Shape::Anything => return Ok(true),
            Shape::Cells(cells) => cells,
        };
        let probe = cells.probe(hash);
        let mut bytes = vec![0; usize::try_from(probe.bytes.end - probe.bytes.start).unwrap_or(0)];
        self.file.read_at(place.offset + probe.bytes.start, &mut bytes)?;
        probe.answer(&bytes).map_err(|error| error.context(self.path.display()))
    }
}

fn read_directory(file: &dyn File) -> Result<(Directory, u64)> {
    let damaged = || Error::corrupt("the index is damaged");
    let length = file.len()?;
    let footer_start = length.checked_sub(FOOTER_BYTES as u64).ok_or_else(damaged)?;
    let mut footer = [0; FOOTER_BYTES];
    file.read_at(footer_start, &mut footer)?;
    let [c0, c1, c2, c3, l0, l1, l2, l3, o0, o1, o2, o3, o4, o5, o6, o7, v0, v1, v2, v3, magic @ ..] = footer;
    let bytes_count = u32::from_le_bytes([l0, l1, l2, l3]);
    let offset = u64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
    if &magic != MAGIC
        || bytes_count > DIRECTORY_BYTES_MAX
        || offset.checked_add(u64::from(bytes_count)) != Some(footer_start)
    {
        return Err(damaged());
    }
    let version = u32::from_le_bytes([v0, v1, v2, v3]);
    if ![VERSION, VERSION_WITHOUT_FILTERS].contains(&version) {
        return Err(Error::corrupt(format!("the index has version {version}, known is {VERSION}")));
    }
    let mut bytes = vec![0; bytes_count as usize];
    file.read_at(offset, &mut bytes)?;
    if crc32c::crc32c(&bytes) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(damaged());
    }
    Ok((Directory::decode(&bytes, version > VERSION_WITHOUT_FILTERS)?, offset))
}
