//! What does a PromQL query mean? Text -> syntax tree -> values over the series of a [`Source`]; no I/O of its own.

pub mod ast;
mod source;

pub use source::{MatchOperator, Matcher, Samples, Selection, SeriesSet, Source};
