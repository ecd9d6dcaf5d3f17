//! What does a TraceQL query mean? Text -> spansets of traces, or PromQL over what comes out of them. Pure: spans come from a [`SpanSource`].

mod answer;
pub mod ast;
mod conditions;
mod cursor;
mod expression;
mod filter;
mod metrics;
mod parse;
mod pipeline;
mod print;
mod search;
mod source;
mod tail;
mod tree;
mod value;

pub use answer::{Exemplar, FoundSpan, FoundSpanset, FoundTrace, MetricSeries, Metrics, Search, SpanCounts};
pub use cursor::{ParseError, ParseErrorKind};
pub use filter::SpanFilter;
pub use metrics::{Moments, metrics};
pub use parse::{QUERY_BYTES_MAX, parse};
pub use search::{SearchOptions, search, values};
pub use source::{Alike, Comparison, Condition, Event, Fields, Link, Own, Seen, Span, SpanSource, Taker, Wanted};
pub use tail::{SpanTail, TailQuery, TailedSpan};
