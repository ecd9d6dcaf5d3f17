//! Is a hash certainly absent? A binary fuse filter (Graf, Lemire 2022, "Binary Fuse Filters: Fast and Smaller Than Xor Filters") of
//! arity four: a hash is in it when the cells at its four places, a byte each, give its fingerprint by exclusive or.
//!
//! About 9.2 bits a hash; 0.4 % of absent hashes look present. The four places lie in neighbouring segments, so that a probe reads
//! one piece of some 2 KiB.
//!
//! On disk cells stand in sectors of 512 with a CRC-32C behind each: a flipped bit is an error rather than a row that is never
//! found again.

use std::ops::Range;

use causeway_model::{Error, Result};

/// Seeds tried before a filter is given up. 64: the first one fails for one small set in ten and hardly a large one, each further one
/// as rarely; only hashes made to collide fail with all.
const SEEDS: u8 = 64;
/// A segment has at most two to this many cells; three offsets inside it are then taken from different bits of a hash.
const SEGMENT_BITS_MAX: u8 = 14;
/// A segment has at least two to this many cells: in smaller ones too many hashes share their places.
const SEGMENT_BITS_MIN: u8 = 2;
const SECTOR_CELLS: usize = 512;
const CHECKSUM_BYTES: usize = 4;
const SECTOR_BYTES: usize = SECTOR_CELLS + CHECKSUM_BYTES;

/// What a filter is, apart from its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shape {
    /// It holds no hash.
    #[default]
    Nothing,
    /// It may hold any hash: it could not be built, or is of a form that is no longer read.
    Anything,
    Cells(Cells),
}

/// How hashes find their cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cells {
    /// Segments in which a first place can be; three more follow.
    segments: u32,
    segment_bits: u8,
    seed: u8,
}

impl Shape {
    /// Four bytes of segments, one of the segments' bits, one of the seed; without segments the seed tells the other two apart.
    pub(super) fn encode(self) -> [u8; 6] {
        let (segments, bits, seed) = match self {
            Self::Nothing => (0, 0, 0),
            Self::Anything => (0, 0, 1),
            Self::Cells(cells) => (cells.segments, cells.segment_bits, cells.seed),
        };
        let [a, b, c, d] = u32::to_le_bytes(segments);
        [a, b, c, d, bits, seed]
    }

    /// The reverse of [`Self::encode`].
    ///
    /// # Errors
    /// `Corrupt` when no filter has this shape.
    pub(super) fn decode([a, b, c, d, segment_bits, seed]: [u8; 6]) -> Result<Self> {
        match (u32::from_le_bytes([a, b, c, d]), segment_bits, seed) {
            (0, 0, 0) => Ok(Self::Nothing),
            (0, 0, 1) => Ok(Self::Anything),
            (segments, SEGMENT_BITS_MIN..=SEGMENT_BITS_MAX, _) if segments > 0 => {
                Ok(Self::Cells(Cells { segments, segment_bits, seed }))
            }
            _ => Err(Error::corrupt("a filter has an unknown shape")),
        }
    }

    /// Bytes on disk.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Cells(cells) => cells.count() + cells.count().div_ceil(SECTOR_CELLS as u64) * CHECKSUM_BYTES as u64,
            Self::Nothing | Self::Anything => 0,
        }
    }
}

impl Cells {
    /// The sizes that the paper's authors found to succeed with the first seeds.
    fn for_hashes(count: u32) -> Self {
        let logarithm = f64::from(count.max(2)).ln();
        let bits = (logarithm / 2.91f64.ln() - 0.5).floor();
        let segment_bits = bits.clamp(f64::from(SEGMENT_BITS_MIN), f64::from(SEGMENT_BITS_MAX)) as u8;
        let cells_each = (0.77 + 0.305 * 600_000f64.ln() / logarithm).max(1.075);
        let cells = (f64::from(count) * cells_each) as u64;
        let segments = u32::try_from(cells.div_ceil(1 << segment_bits)).unwrap_or(u32::MAX);
        Self { segments: segments.saturating_sub(3).max(1), segment_bits, seed: 0 }
    }

    fn count(self) -> u64 {
        (u64::from(self.segments) + 3) << self.segment_bits
    }

    /// The hash as this seed sees it. The first takes it as it is: sorted hashes then walk through the cells in order.
    #[inline]
    fn seeded(self, hash: u64) -> u64 {
        if self.seed == 0 {
            return hash;
        }
        // The finalizer of SplitMix64.
        let mut mixed = hash.wrapping_add(u64::from(self.seed));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The four cells of a seeded hash, ascending.
    #[inline]
    fn places(self, seeded: u64) -> [usize; 4] {
        let segment = 1usize << self.segment_bits;
        let inside = segment.wrapping_sub(1);
        let first = ((u128::from(seeded) * (u128::from(self.segments) << self.segment_bits)) >> 64) as usize;
        let at = |number: usize, shift: u32| {
            first.wrapping_add(number.wrapping_mul(segment)) ^ ((seeded >> shift) as usize & inside)
        };
        [first, at(1, 0), at(2, 14), at(3, 28)]
    }

    /// How to find out whether a hash may be in the filter.
    pub(super) fn probe(self, hash: u64) -> Probe {
        let seeded = self.seeded(hash);
        let places = self.places(seeded);
        let sectors = places[0] / SECTOR_CELLS..places[3] / SECTOR_CELLS + 1;
        let end = (sectors.end * SECTOR_BYTES) as u64;
        let bytes = (sectors.start * SECTOR_BYTES) as u64..end.min(Shape::Cells(self).bytes());
        let skipped = sectors.start * SECTOR_CELLS;
        Probe { bytes, places: places.map(|place| place - skipped), fingerprint: fingerprint(seeded) }
    }
}

/// High bits of a product with an odd number depend on all bits of the hash.
#[inline]
fn fingerprint(seeded: u64) -> u8 {
    (seeded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// A question to a filter.
#[derive(Debug)]
pub(super) struct Probe {
    /// The bytes of the filter that decide: whole sectors.
    pub(super) bytes: Range<u64>,
    places: [usize; 4],
    fingerprint: u8,
}

impl Probe {
    /// Whether the hash may be in the filter that these bytes are of.
    ///
    /// # Errors
    /// `Corrupt` when they are damaged.
    pub(super) fn answer(&self, bytes: &[u8]) -> Result<bool> {
        let damaged = || Error::corrupt("a filter is damaged");
        for sector in bytes.chunks(SECTOR_BYTES) {
            let (cells, checksum) = sector.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
            if crc32c::crc32c(cells).to_le_bytes() != *checksum {
                return Err(damaged());
            }
        }
        let mut found = 0;
        for place in self.places {
            let at = place / SECTOR_CELLS * SECTOR_BYTES + place % SECTOR_CELLS;
            found ^= bytes.get(at).ok_or_else(damaged)?;
        }
        Ok(found == self.fingerprint)
    }
}

/// Builds filters, one after the other in the same memory.
#[derive(Debug, Default)]
pub(super) struct Builder {
    /// For each cell the exclusive or of the hashes that have a place there and are not yet taken out, and their number.
    hashes: Vec<u64>,
    counts: Vec<u8>,
    /// Cells with one hash left, to be looked at in turn; those where it was still there move to the front, and keep it.
    queue: Vec<u32>,
    cells: Vec<u8>,
}

impl Builder {
    /// Appends a filter over distinct hashes in its form on disk; fastest when they are sorted. The same hashes give the same bytes.
    pub(super) fn write_filter(&mut self, hashes: &[u64], out: &mut Vec<u8>) -> Shape {
        let Ok(count @ 1..) = u32::try_from(hashes.len()) else {
            return if hashes.is_empty() { Shape::Nothing } else { Shape::Anything };
        };
        let mut cells = Cells::for_hashes(count);
        // Cells are numbered by 32 bits while the filter is built.
        if cells.count() > u64::from(u32::MAX) {
            return Shape::Anything;
        }
        while !(self.gather(cells, hashes) && self.take_out(cells) == hashes.len()) {
            cells.seed += 1;
            if cells.seed == SEEDS {
                return Shape::Anything;
            }
        }
        self.fill(cells, hashes.len());
        for sector in self.cells.chunks(SECTOR_CELLS) {
            out.extend_from_slice(sector);
            out.extend_from_slice(&crc32c::crc32c(sector).to_le_bytes());
        }
        Shape::Cells(cells)
    }

    /// Puts all hashes into their cells; false when a cell has more than can be counted.
    fn gather(&mut self, cells: Cells, hashes: &[u64]) -> bool {
        let count = cells.count() as usize;
        self.hashes.clear();
        self.hashes.resize(count, 0);
        self.counts.clear();
        self.counts.resize(count, 0);
        let mut crowded = false;
        for hash in hashes {
            let seeded = cells.seeded(*hash);
            for place in cells.places(seeded) {
                self.hashes[place] ^= seeded;
                let count = &mut self.counts[place];
                *count = count.saturating_add(1);
                crowded |= *count == u8::MAX;
            }
        }
        !crowded
    }

    /// Takes hashes out where they are alone, which leaves others alone; answers how many. No branch depends on the counts but
    /// one: they can't be foreseen, and a wrong guess costs more than a store.
    fn take_out(&mut self, cells: Cells) -> usize {
        self.queue.resize(self.counts.len() + 1, 0);
        let (mut queued, mut taken) = (0, 0);
        for (cell, count) in (0u32..).zip(&self.counts) {
            self.queue[queued] = cell;
            queued += usize::from(*count == 1);
        }
        let mut next = 0;
        while next < queued {
            let cell = self.queue[next];
            next += 1;
            if self.counts[cell as usize] != 1 {
                continue;
            }
            let seeded = self.hashes[cell as usize];
            self.queue[taken] = cell;
            taken += 1;
            for place in cells.places(seeded) {
                self.hashes[place] ^= seeded;
                let count = &mut self.counts[place];
                *count = count.wrapping_sub(1);
                self.queue[queued] = place as u32;
                queued += usize::from(*count == 1);
            }
            self.hashes[cell as usize] = seeded;
        }
        taken
    }

    /// Gives each hash its fingerprint by the cell where it was alone, the last one first: no other changes its cells after it.
    fn fill(&mut self, cells: Cells, taken: usize) {
        self.cells.clear();
        self.cells.resize(self.counts.len(), 0);
        for cell in self.queue.iter().take(taken).rev() {
            let seeded = self.hashes[*cell as usize];
            let others = cells.places(seeded).into_iter().fold(0, |all, place| all ^ self.cells[place]);
            self.cells[*cell as usize] = fingerprint(seeded) ^ others;
        }
    }
}
