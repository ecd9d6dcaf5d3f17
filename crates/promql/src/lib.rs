//! What does a PromQL query mean? Text -> syntax tree -> values over the series of a [`Source`]; no I/O of its own.

pub mod ast;
mod catalog;
mod classic_histogram;
mod evaluate;
mod literal;
mod names;
mod native_histogram;
mod parse;
mod print;
mod selectors;
mod source;
mod text;
mod tree_json;

pub use catalog::{Cardinality, Catalog, Exemplar, Limited, Metadata, SeriesExemplars, SeriesQuery};
pub use classic_histogram::{ClassicBucket, ClassicHistogram, ForcedMonotonicity};
pub use evaluate::{
    Annotations, Evaluation, Number, Options, SeriesPoints, Statistics, Value, VectorSample, Window, evaluate,
};
pub use literal::{parse_duration_ms, print_duration_ms, print_number};
pub use native_histogram::{
    HistogramMean, HistogramNote, native_average, native_fraction, native_quantile, native_variance,
};
pub use parse::{
    DEPTH_MAX, ParseError, QUERY_BYTES_MAX, REGEXES_MAX, Syntax, line_column, parse, parse_selector, parse_selectors,
};
pub use source::{MatchOperator, Matcher, Need, Samples, Selection, SeriesSet, Source};
pub use text::{is_printable, quote, unquote};
