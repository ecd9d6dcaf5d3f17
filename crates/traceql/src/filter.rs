//! Does one span pass a filter? For those who look at spans one by one, away from any source.

use causeway_model::{Error, Result};

use crate::ast::QueryKind;
use crate::expression::{Node, Row};
use crate::parse::parse;
use crate::pipeline::span_filter;
use crate::source::{Fields, Span};

/// A filter of single spans, such as `{ resource.service.name = "pay" && duration > 2s }`.
#[derive(Debug, Clone)]
pub struct SpanFilter {
    node: Node,
    fields: Fields,
}

impl SpanFilter {
    /// Reads one.
    ///
    /// # Errors
    /// `Invalid` where it can't be read, or needs more than one span to be decided.
    pub fn parse(text: &str) -> Result<Self> {
        let filter = match &parse(text)?.kind {
            QueryKind::Search(pipeline) => span_filter(pipeline),
            QueryKind::Metrics(_) => None,
        };
        let Some(filter) = filter else {
            let message =
                "a filter of single spans is expected, such as `{ span.http.route = \"/pay\" && duration > 2s }`";
            return Err(Error::invalid(message));
        };
        let mut fields = Fields::default();
        Ok(Self { node: Node::of(&mut fields, &filter), fields })
    }

    /// What it reads of a span.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Whether a span passes, of which these fields are filled in.
    pub fn holds(&self, span: &Span<'_>) -> bool {
        self.node.holds(&Row { span, place: None })
    }
}
