//! What does an index file hold, and where? The directory at its end: row groups, blocks, filters, attribute keys, and the
//! checksums of the Parquet file beside it.

use causeway_model::{Error, Family, Kind, Result, TimeRange};

use crate::index::file::Place;
use crate::index::fuse::Shape;
use crate::index::sketch::{REGISTERS, Sketch};
use crate::part::KeyStatistics;

/// A block: consecutive rows of a row group with a filter of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// Rows in it.
    pub(crate) rows: u32,
    /// Smallest and largest time in it.
    pub(crate) time: TimeRange,
    /// Words and values.
    pub(crate) filter: Place,
}

/// A row group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    /// Whole values of the fixed columns.
    pub(crate) filter: Place,
    /// Its blocks, in order.
    pub(crate) blocks: Vec<Block>,
}

/// An attribute key and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) statistics: KeyStatistics,
    pub(crate) sketch: Sketch,
    /// Whether each value is the text of a UUID.
    pub(crate) uuid: bool,
}

/// Bits of the byte that tells more of a key.
const PROMOTED: u8 = 1;
const UUID: u8 = 2;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Directory {
    pub(crate) groups: Vec<Group>,
    pub(crate) keys: Vec<Key>,
    /// Whether no key is missing in `keys`.
    pub(crate) keys_complete: bool,
    /// Length of the Parquet file.
    pub(crate) part_bytes: u64,
    /// CRC-32C of each chunk of the Parquet file.
    pub(crate) checksums: Vec<u32>,
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
}

impl Place {
    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.shape.encode());
    }
}

impl Directory {
    /// The bytes, as docs/formats/index.md draws them.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&length(self.groups.len()));
        for group in &self.groups {
            group.filter.encode(&mut out);
            out.extend_from_slice(&length(group.blocks.len()));
            for block in &group.blocks {
                out.extend_from_slice(&block.rows.to_le_bytes());
                out.extend_from_slice(&block.time.start.to_le_bytes());
                out.extend_from_slice(&block.time.end.to_le_bytes());
                block.filter.encode(&mut out);
            }
        }
        out.push(u8::from(self.keys_complete));
        out.extend_from_slice(&length(self.keys.len()));
        for Key { statistics, sketch, uuid } in &self.keys {
            let flags = u8::from(statistics.promoted) * PROMOTED + u8::from(*uuid) * UUID;
            out.extend_from_slice(&[statistics.family as u8, statistics.kind as u8, flags]);
            out.extend_from_slice(&statistics.rows.to_le_bytes());
            out.extend_from_slice(sketch.registers());
            out.extend_from_slice(&length(statistics.key.len()));
            out.extend_from_slice(statistics.key.as_bytes());
        }
        out.extend_from_slice(&self.part_bytes.to_le_bytes());
        out.extend_from_slice(&length(self.checksums.len()));
        self.checksums.iter().for_each(|checksum| out.extend_from_slice(&checksum.to_le_bytes()));
        out
    }

    /// The reverse of [`Self::encode`]; without `filters` that of the first version, whose filters are no longer read.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are no directory.
    pub(crate) fn decode(bytes: &[u8], filters: bool) -> Result<Self> {
        let mut from = Cursor { bytes, filters };
        let mut groups = Vec::new();
        for _ in 0..from.u32()? {
            let filter = from.place()?;
            let mut blocks = Vec::new();
            for _ in 0..from.u32()? {
                let rows = from.u32()?;
                let time =
                    TimeRange { start: i64::from_le_bytes(from.array()?), end: i64::from_le_bytes(from.array()?) };
                blocks.push(Block { rows, time, filter: from.place()? });
            }
            groups.push(Group { filter, blocks });
        }
        let keys_complete = from.u8()? != 0;
        let mut keys = Vec::new();
        for _ in 0..from.u32()? {
            keys.push(from.key()?);
        }
        let part_bytes = from.u64()?;
        let mut checksums = Vec::new();
        for _ in 0..from.u32()? {
            checksums.push(from.u32()?);
        }
        Ok(Self { groups, keys, keys_complete, part_bytes, checksums })
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    filters: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let cut = || Error::corrupt("the index directory is cut short");
        let (head, tail) = self.bytes.split_at_checked(count).ok_or_else(cut)?;
        self.bytes = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Error::internal("a slice of N bytes is no array of N"))
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn place(&mut self) -> Result<Place> {
        let offset = self.u64()?;
        if self.filters {
            return Ok(Place { offset, shape: Shape::decode(self.array()?)? });
        }
        let shape = if self.u32()? == 0 { Shape::Nothing } else { Shape::Anything };
        Ok(Place { offset, shape })
    }

    fn key(&mut self) -> Result<Key> {
        let unknown = || Error::corrupt("the index directory has an unknown family or kind");
        let family = self.u8()?;
        let family = Family::ALL.into_iter().find(|known| *known as u8 == family).ok_or_else(unknown)?;
        let kind = Kind::from_u8(self.u8()?).ok_or_else(unknown)?;
        let flags = self.u8()?;
        let (promoted, uuid) = (flags & PROMOTED != 0, flags & UUID != 0);
        let rows = self.u64()?;
        let sketch = Sketch::from_registers(self.array::<REGISTERS>()?);
        let key_bytes = self.u32()? as usize;
        let key =
            std::str::from_utf8(self.take(key_bytes)?).map_err(|_| Error::corrupt("a key is not UTF-8"))?.to_owned();
        let distinct = sketch.estimate().min(rows);
        Ok(Key { statistics: KeyStatistics { family, key, kind, rows, distinct, promoted }, sketch, uuid })
    }
}
