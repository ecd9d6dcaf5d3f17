//! Which blocks of a part can't hold what is looked for? Filters over words and values, read a few bytes at a time.
//!
//! What goes into a filter is a 64-bit hash whose seed says what is hashed: a word of a column, a value of a column, a value of an
//! attribute. The bytes are drawn in docs/formats/index.md.

mod directory;
mod file;
mod fuse;
mod sketch;
#[cfg(test)]
mod tests;

pub(crate) use directory::{Block, Directory, Group, Key};
pub(crate) use file::{IndexReader, IndexWriter, IndexedColumn, Place};
pub(crate) use sketch::Sketch;

use causeway_model::Family;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Which bytes are part of a word: ASCII letters, digits, `_`, and every byte of a non-ASCII character.
const WORD_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let ascii = byte as u8;
        table[byte] = byte >= 128 || ascii.is_ascii_alphanumeric() || ascii == b'_';
        byte += 1;
    }
    table
};

/// The words of a text, as the filters and `has_token` see them: maximal runs of ASCII letters, digits and `_`, and of
/// non-ASCII characters; case is kept.
pub fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |byte: &u8| WORD_BYTE[usize::from(*byte)];
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.bytes().position(|byte| is_word(&byte))?;
        let tail = rest.get(start..)?;
        let end = tail.bytes().position(|byte| !is_word(&byte)).unwrap_or(tail.len());
        // Both ends stand beside ASCII, so they are character boundaries.
        let (token, behind) = tail.split_at_checked(end)?;
        rest = behind;
        Some(token)
    })
}

/// The seed for words of a column.
pub(crate) fn token_seed(column: &str) -> u64 {
    xxh3_64(format!("token\0{column}").as_bytes())
}

/// The seed for whole values of a fixed column.
pub(crate) fn value_seed(column: &str) -> u64 {
    xxh3_64(format!("value\0{column}").as_bytes())
}

/// The seed for string values of an attribute, wherever the part keeps them.
pub(crate) fn attribute_seed(family: Family, key: &str) -> u64 {
    xxh3_64(format!("attribute\0{}\0{key}", family.prefix()).as_bytes())
}

/// What the filters hold of some bytes. Never 0, which marks an empty place while hashes are gathered.
pub(crate) fn filter_hash(seed: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, seed).max(1)
}
