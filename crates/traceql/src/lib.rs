//! What does a TraceQL query mean? Text -> spansets of traces, or PromQL over what comes out of them. Pure: spans come from a [`SpanSource`].
//!
//! `parse(text) -> Result<ast::Query, ParseError>`; `search(&Query, &dyn SpanSource, &SearchOptions { time, limit, spans_per_spanset, interrupted })
//! -> Result<Search>`; `metrics(&Query, &dyn SpanSource, Moments { start_ns, end_ns, step_ns }, &promql::Options) -> Result<Metrics>`, a step of 0 for
//! one moment; `values(&Query, &dyn SpanSource, &Field, …)`, the values of a field among the spans of a filter. They follow.

mod answer;
pub mod ast;
mod source;

pub use answer::{Exemplar, FoundSpan, FoundSpanset, FoundTrace, MetricSeries, Metrics, Search};
pub use source::{Comparison, Condition, Event, Fields, Link, Seen, Span, SpanSource, Wanted};
