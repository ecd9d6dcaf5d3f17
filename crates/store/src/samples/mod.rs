//! How does a series of samples lie on disk? In chunks, one for many samples of one series; each of its columns by itself.

mod chunk;
mod floats;
mod integers;
mod select;
pub use chunk::Chunk;
pub(crate) use chunk::{CHUNK_ROWS_MAX, SERIES_ID};
pub(crate) use select::by_series;
pub use select::{SampleSet, SeriesSamples};

#[cfg(test)]
mod tests;
