//! What does a LogQL query mean? Text -> lines of streams on their way through stages -> lines, or numbers by PromQL. Pure: lines come from a
//! [`LineSource`].

pub mod ast;
mod cursor;
mod detect;
mod evaluate;
mod ip;
mod json;
mod labels;
mod logfmt;
mod looks;
mod parse;
mod pattern;
mod pipeline;
mod samples;
mod source;
mod template;
mod units;

pub use detect::{DetectedField, FieldKind, detected_fields};
pub use evaluate::{FoundLine, Moments, Numbers, Order, Series, lines, metric};
pub use labels::{ERROR, ERROR_DETAILS, EXTRACTED, Label, LineLabels, Looked, Origin, sanitized};
pub use parse::{QUERY_BYTES_MAX, parse};
pub use pipeline::Line;
pub use source::{Entry, LineSource, LineTail, Lines, Span, Taker};
