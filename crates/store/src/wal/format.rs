//! Which bytes is the log made of? Segment and record headers, format 1; docs/formats/wal.md draws them.

use causeway_model::{Error, Result};

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 48;
/// Bytes of a record's header; the payload follows it.
pub(super) const RECORD_HEADER_BYTES: usize = 32;
/// First bytes of each record.
pub(super) const RECORD_MAGIC: [u8; 4] = *b"\xc5REC";

const SEGMENT_MAGIC: [u8; 8] = *b"CAUSEWAL";
const VERSION: u32 = 1;

/// Takes a fixed number of bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

/// What a segment says of itself and of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Sequence of its first record; also its name.
    pub first_sequence: u64,
    /// The segment before it, by its first sequence; 0 when there was none.
    pub previous_first_sequence: u64,
    /// All bytes of the segment before it up to this offset are known to have been synced, whole.
    pub previous_synced_to: u64,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.first_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.previous_first_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.previous_synced_to.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// `None` when the bytes are damaged.
    ///
    /// # Errors
    /// `Unsupported` when they are whole, but of a format that this program does not know.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>> {
        let Some((header, version)) = Self::parse(bytes) else { return Ok(None) };
        if version != VERSION {
            let message = format!("segment of format {version}, this program knows format {VERSION}: use a newer one");
            return Err(Error::new(causeway_model::ErrorKind::Unsupported, message));
        }
        Ok(Some(header))
    }

    fn parse(bytes: &[u8]) -> Option<(Self, u32)> {
        let checked = bytes.get(..SEGMENT_HEADER_BYTES - 4)?;
        let mut rest = bytes;
        if take(&mut rest)? != SEGMENT_MAGIC {
            return None;
        }
        let version = take_u32(&mut rest)?;
        take_u32(&mut rest)?;
        let header = Self {
            first_sequence: take_u64(&mut rest)?,
            previous_first_sequence: take_u64(&mut rest)?,
            previous_synced_to: take_u64(&mut rest)?,
        };
        take_u32(&mut rest)?;
        (take_u32(&mut rest)? == crc32c::crc32c(checked)).then_some((header, version))
    }
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub payload_bytes: u32,
    pub sequence: u64,
    /// All bytes of the segment up to this offset had been synced when the record was written.
    pub synced_to: u64,
    pub payload_crc: u32,
}

impl RecordHeader {
    pub(super) fn encode(&self, place: Place) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.synced_to.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = place.crc(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when the bytes are not a record's header, or not one that was written at this place.
    pub(super) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let checked = bytes.get(..RECORD_HEADER_BYTES - 4)?;
        let mut rest = bytes;
        if take(&mut rest)? != RECORD_MAGIC {
            return None;
        }
        let payload_bytes = take_u32(&mut rest)?;
        let header = Self {
            payload_bytes,
            sequence: take_u64(&mut rest)?,
            synced_to: take_u64(&mut rest)?,
            payload_crc: take_u32(&mut rest)?,
        };
        (take_u32(&mut rest)? == place.crc(checked)).then_some(header)
    }

    /// Bytes of header and payload.
    pub(super) fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }
}

/// Where a record stands. It goes into the header's checksum, so that a payload that holds copies of records (a log line may
/// hold anything) is never mistaken for them, nor is a sector that the disk put in the wrong place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub first_sequence: u64,
    pub offset: u64,
}

impl Place {
    fn crc(self, header: &[u8]) -> u32 {
        let crc = crc32c::crc32c_append(crc32c::crc32c(header), &self.first_sequence.to_le_bytes());
        crc32c::crc32c_append(crc, &self.offset.to_le_bytes())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_and_every_flipped_bit_is_noticed() {
        let segment = SegmentHeader { first_sequence: 7, previous_first_sequence: 3, previous_synced_to: 99 };
        let bytes = segment.encode();
        assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&bytes).unwrap(), Some(segment));
        let place = Place { first_sequence: 7, offset: 48 };
        let record = RecordHeader { payload_bytes: 5, sequence: 8, synced_to: 48, payload_crc: 1 };
        let record_bytes = record.encode(place);
        assert_eq!(RecordHeader::decode(&record_bytes, place), Some(record));
        assert_eq!(RecordHeader::decode(&record_bytes, Place { offset: 49, ..place }), None);
        assert_eq!(RecordHeader::decode(&record_bytes, Place { first_sequence: 8, ..place }), None);
        for bit in 0..8 * SEGMENT_HEADER_BYTES {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped).unwrap(), None);
        }
        for bit in 0..8 * RECORD_HEADER_BYTES {
            let mut flipped = record_bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&flipped, place), None);
        }
        assert_eq!(SegmentHeader::decode(&bytes[..47]).unwrap(), None);
        assert_eq!(RecordHeader::decode(&record_bytes[..31], place), None);
    }

    #[test]
    fn a_newer_format_is_refused_rather_than_called_damaged() {
        let mut bytes = SegmentHeader { first_sequence: 1, previous_first_sequence: 0, previous_synced_to: 0 }.encode();
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes).unwrap_err().kind, causeway_model::ErrorKind::Unsupported);
    }
}
