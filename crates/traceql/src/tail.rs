//! Which spans does a query keep as they come? Those that pass its filters by themselves, as their traces are not whole yet.

use causeway_model::{Error, Result, Tailed};
use futures::stream::BoxStream;

use crate::ast::{Intrinsic, Kind, Pipeline, Query, QueryKind, Spansets, Stage, Static, Status};
use crate::expression::{Access, Node, Row};
use crate::filter::SpanFilter;
use crate::search::{Told, text_bytes};
use crate::source::{Fields, Span};

/// Tells of spans as they are kept.
pub trait SpanTail: Send + Sync {
    /// What a filter keeps of all spans that are kept from now on. Whoever takes nothing for a while costs nothing and misses spans.
    ///
    /// # Errors
    /// `Overloaded` when too many follow already.
    fn follow(&self, filter: TailQuery) -> Result<BoxStream<'static, Tailed<TailedSpan>>>;
}

/// A span that came.
#[derive(Debug, Clone, PartialEq)]
pub struct TailedSpan {
    /// Its trace.
    pub trace_id: [u8; 16],
    /// Its id.
    pub span_id: [u8; 8],
    /// The span above; `None` at the root.
    pub parent_id: Option<[u8; 8]>,
    /// When it began, in nanoseconds since 1970.
    pub start_ns: i64,
    /// How long it took, in nanoseconds.
    pub duration_ns: i64,
    /// Its name.
    pub name: String,
    /// The service; empty where it has none.
    pub service: String,
    /// What part it plays.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// The other fields that the query speaks of or selects, where they are there.
    pub attributes: Vec<(String, Static)>,
}

impl TailedSpan {
    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len().saturating_add(text_bytes(value)));
        attributes.fold(self.name.len() + self.service.len(), usize::saturating_add)
    }
}

/// A query of which single spans are kept.
#[derive(Debug)]
pub struct TailQuery {
    node: Node,
    fields: Fields,
    told: Told,
}

impl TailQuery {
    /// Of a query that asks for single spans.
    ///
    /// # Errors
    /// `Invalid` for one that needs whole traces or asks for numbers.
    pub fn of(query: &Query) -> Result<Self> {
        let QueryKind::Search(pipeline) = &query.kind else {
            return Err(Error::invalid("tailing needs a query for spans: numbers over time are asked for afterwards"));
        };
        let filter = SpanFilter::of(pipeline).ok_or_else(|| {
            let why = whole_trace_words(pipeline);
            Error::invalid(format!(
                "spans are told one by one as they come, but {why} needs the whole trace: search for it"
            ))
        })?;
        let SpanFilter { node, mut fields } = filter;
        let mut told = Told::of(&mut fields, pipeline);
        told.leave_out(|access| {
            use Intrinsic::{Kind, ParentId, Status};
            matches!(access, Access::Service | Access::Intrinsic(Kind | Status | ParentId))
        });
        fields.service = true;
        fields.intrinsics.extend([Intrinsic::Name, Intrinsic::Kind, Intrinsic::Status]);
        Ok(Self { node, fields, told })
    }

    /// What is read of each span.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// A span, where the query keeps it.
    pub fn kept(&self, span: &Span<'_>) -> Option<TailedSpan> {
        let row = Row { span, place: None };
        self.node.holds(&row).then(|| TailedSpan {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_id: span.parent_id,
            start_ns: span.start_ns,
            duration_ns: span.duration_ns,
            name: span.name.to_owned(),
            service: span.service.to_owned(),
            kind: span.kind,
            status: span.status,
            attributes: self.told.read(&row),
        })
    }
}

/// What of a query a single span can't answer.
fn whole_trace_words(pipeline: &Pipeline) -> &'static str {
    let of_stage = |stage: &Stage| match stage {
        Stage::Select(_) => None,
        Stage::Spansets(Spansets::Filter(_)) => Some("a field of the trace"),
        Stage::Spansets(_) => Some("how spans are related"),
        Stage::By(_) | Stage::Coalesce => Some("a group of spans"),
        Stage::Aggregate(_) => Some("an aggregate of spans"),
    };
    // A filter of single spans may stand before what needs more.
    let found: Vec<&str> = pipeline.stages.iter().filter_map(of_stage).collect();
    let more = found.iter().copied().find(|words| *words != "a field of the trace");
    more.unwrap_or("a field of the trace")
}

#[cfg(test)]
mod tests {
    use causeway_model::Value;

    use super::*;
    use crate::parse::parse;

    fn filter(query: &str) -> Result<TailQuery> {
        TailQuery::of(&parse(query).unwrap_or_else(|error| panic!("{query}: {error:?}")))
    }

    fn span<'a>(values: &'a [Value<'a>]) -> Span<'a> {
        Span {
            trace_id: [1; 16],
            span_id: [2; 8],
            parent_id: None,
            start_ns: 5,
            duration_ns: 2_000_000,
            name: "GET /",
            kind: Kind::Server,
            status: Status::Error,
            status_message: "",
            service: "web",
            trace_state: "",
            instrumentation_name: "",
            instrumentation_version: "",
            values,
            events: &[],
            links: &[],
            attributes: &[],
        }
    }

    #[test]
    fn single_spans_pass_by_what_they_say() {
        let query = "{ resource.service.name = \"web\" && span.http.route = \"/\" } | select(span.n, status) | { duration > 1ms }";
        let filter = filter(query).unwrap();
        let names: Vec<&str> = filter.fields().attributes.iter().map(|(_, key)| key.as_str()).collect();
        assert_eq!(names, ["http.route", "n"]);
        let kept = filter.kept(&span(&[Value::String("/"), Value::Int(7)])).unwrap();
        assert_eq!((kept.service.as_str(), kept.status, kept.duration_ns), ("web", Status::Error, 2_000_000));
        let route = ("span.http.route".to_owned(), Static::String("/".to_owned()));
        assert_eq!(kept.attributes, [route, ("span.n".to_owned(), Static::Int(7))]);
        assert_eq!(filter.kept(&span(&[Value::String("/x"), Value::Empty])), None);
    }

    #[test]
    fn what_needs_whole_traces_is_refused_and_says_why() {
        for (query, words) in [
            ("{ } >> { status = error }", "how spans are related"),
            ("{ } | count() > 2", "an aggregate"),
            ("{ } | by(span.a)", "a group"),
            ("{ rootServiceName = \"web\" }", "a field of the trace"),
            ("{ } | rate()", "numbers"),
        ] {
            let error = filter(query).unwrap_err();
            assert!(error.message.contains(words), "{query}: {}", error.message);
        }
    }
}
