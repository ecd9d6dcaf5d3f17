//! What does a PromQL query mean? Text -> syntax tree -> values over the series of a [`Source`]; no I/O of its own.

pub mod ast;
mod classic_histogram;
mod native_histogram;
mod source;

pub use classic_histogram::{ClassicBucket, ClassicHistogram, ForcedMonotonicity};
pub use native_histogram::{
    HistogramMean, HistogramNote, native_average, native_fraction, native_quantile, native_variance,
};
pub use source::{MatchOperator, Matcher, Samples, Selection, SeriesSet, Source};
