//! How does a series of samples lie on disk? In chunks, one for many samples of one series; each of its columns by itself.

mod chunk;
mod floats;
mod integers;
mod plan;
mod rollup;
mod select;
pub(crate) use chunk::SERIES_ID;
pub use chunk::{CHUNK_ROWS_MAX, Chunk};
pub use plan::SampleTables;
pub(crate) use rollup::Roller;
pub(crate) use select::by_series;
pub use select::{SampleSet, SeriesSamples};

#[cfg(test)]
mod tests;
