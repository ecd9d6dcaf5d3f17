//! Is a hash certainly absent? A split-block Bloom filter as in Parquet's specification (BloomFilter.md): buckets of 256 bits, of
//! which a hash sets one bit in each of eight words, so that a probe reads one bucket.
//!
//! At 10 bits a hash about 1.2 % of absent hashes look present.
//!
//! On disk buckets stand in sectors of 15 with a CRC-32C behind each: a probe reads one sector, and a flipped bit is an error
//! rather than a row that is never found again.

use causeway_model::{Error, Result};

const BITS_PER_HASH: usize = 10;
const WORDS: usize = 8;
const BUCKET_BYTES: usize = WORDS * 4;
const SECTOR_BUCKETS: usize = 15;
const SECTOR_BYTES: usize = SECTOR_BUCKETS * BUCKET_BYTES;
/// Bytes of a whole sector with its checksum.
pub(super) const SECTOR_LENGTH: usize = SECTOR_BYTES + 4;

const SALT: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

fn mask(hash: u64) -> [u32; WORDS] {
    let low = hash as u32;
    let mut bits = SALT;
    // Five bits never shift too far; saying so spares a check for each, and the loop becomes one of vectors.
    bits.iter_mut().for_each(|bit| *bit = 1u32.wrapping_shl(low.wrapping_mul(*bit) >> 27));
    bits
}

fn bucket_of(hash: u64, buckets: u32) -> u32 {
    (((hash >> 32) * u64::from(buckets)) >> 32) as u32
}

/// Buckets that a filter over this many hashes has; none when there is nothing to hold.
fn bucket_count(hashes: usize) -> u32 {
    u32::try_from((hashes * BITS_PER_HASH).div_ceil(BUCKET_BYTES * 8)).unwrap_or(u32::MAX)
}

/// Appends a filter over the hashes in its form on disk; answers its number of buckets.
pub(super) fn write_filter(hashes: &[u64], out: &mut Vec<u8>) -> u32 {
    let buckets = bucket_count(hashes.len());
    let mut words = vec![[0u32; WORDS]; buckets as usize];
    for hash in hashes {
        if let Some(bucket) = words.get_mut(bucket_of(*hash, buckets) as usize) {
            bucket.iter_mut().zip(mask(*hash)).for_each(|(word, bit)| *word |= bit);
        }
    }
    for sector in words.chunks(SECTOR_BUCKETS) {
        let start = out.len();
        for word in sector.iter().flatten() {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.resize(start + SECTOR_BYTES, 0);
        let checksum = out.get(start..).map_or(0, crc32c::crc32c);
        out.extend_from_slice(&checksum.to_le_bytes());
    }
    buckets
}

/// Bytes on disk of a filter with this many buckets.
pub(super) fn filter_bytes(buckets: u32) -> u64 {
    u64::from(buckets).div_ceil(SECTOR_BUCKETS as u64) * SECTOR_LENGTH as u64
}

/// The place of the sector, from the filter's start, that decides over a hash.
pub(super) fn sector_offset(hash: u64, buckets: u32) -> u64 {
    u64::from(bucket_of(hash, buckets)) / SECTOR_BUCKETS as u64 * SECTOR_LENGTH as u64
}

/// Whether the hash may be in the filter that this sector is of.
///
/// # Errors
/// `Corrupt` when the sector is damaged.
pub(super) fn sector_may_hold(hash: u64, buckets: u32, sector: &[u8; SECTOR_LENGTH]) -> Result<bool> {
    let (body, checksum) = sector.split_at(SECTOR_BYTES);
    if crc32c::crc32c(body).to_le_bytes() != checksum {
        return Err(Error::corrupt("a filter is damaged"));
    }
    let at = bucket_of(hash, buckets) as usize % SECTOR_BUCKETS;
    let words = body.chunks_exact(BUCKET_BYTES).nth(at).unwrap_or_default().chunks_exact(4);
    Ok(words
        .zip(mask(hash))
        .all(|(word, bit)| word.try_into().map(u32::from_le_bytes).is_ok_and(|word| word & bit != 0)))
}
