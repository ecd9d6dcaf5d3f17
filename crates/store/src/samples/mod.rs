//! How does a series of samples lie on disk? In chunks, one for many samples of one series; each of its columns by itself.

mod chunk;
mod floats;
mod integers;
pub(crate) use chunk::{CHUNK_ROWS_MAX, Chunk, SERIES_ID};

#[cfg(test)]
mod tests;
