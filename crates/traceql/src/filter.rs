//! Does one span pass a filter? For those who look at spans one by one, away from any source.

use causeway_model::{Error, Result};

use crate::ast::{Pipeline, QueryKind};
use crate::expression::{Node, Row};
use crate::parse::parse;
use crate::pipeline::span_filter;
use crate::source::{Fields, Span};

/// A filter of single spans, such as `{ resource.service.name = "pay" && duration > 2s }`.
#[derive(Debug, Clone)]
pub struct SpanFilter {
    pub(crate) node: Node,
    pub(crate) fields: Fields,
}

impl SpanFilter {
    /// Reads one.
    ///
    /// # Errors
    /// `Invalid` where it can't be read, or needs more than one span to be decided.
    pub fn parse(text: &str) -> Result<Self> {
        let filter = match &parse(text)?.kind {
            QueryKind::Search(pipeline) => Self::of(pipeline),
            QueryKind::Metrics(_) => None,
        };
        filter.ok_or_else(|| {
            Error::invalid(
                "a filter of single spans is expected, such as `{ span.http.route = \"/pay\" && duration > 2s }`",
            )
        })
    }

    /// That of stages which look at single spans only; `None` where one needs more.
    pub(crate) fn of(pipeline: &Pipeline) -> Option<Self> {
        let mut fields = Fields::default();
        let node = Node::of(&mut fields, &span_filter(pipeline)?);
        Some(Self { node, fields })
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
