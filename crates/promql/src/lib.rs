//! What does a PromQL query mean? Text -> syntax tree -> values over the series of a [`Source`]; no I/O of its own.

pub mod ast;
mod evaluate;
mod literal;
mod names;
mod parse;
mod source;
mod text;

pub use evaluate::{
    Annotations, Evaluation, Number, Options, SeriesPoints, Statistics, Value, VectorSample, Window, evaluate,
};
pub use literal::{parse_duration_ms, print_duration_ms, print_number};
pub use parse::{
    DEPTH_MAX, ParseError, QUERY_BYTES_MAX, REGEXES_MAX, Syntax, line_column, parse, parse_selector, parse_selectors,
};
pub use source::{MatchOperator, Matcher, Samples, Selection, SeriesSet, Source};
pub use text::quote;
