//! Where do spans come from? The contract with whoever keeps them; blocking.
//!
//! A search looks at spans of the time, newest first ([`SpanSource::spans`]), notes the traces of those that its first filter leaves, and then reads
//! these traces as a whole, some at a time ([`SpanSource::traces`]), until it has found enough. Metrics that need single spans only never read traces, and
//! look at those that say the same ([`Alike`]) once.

use std::ops::ControlFlow;

use causeway_model::{Result, TimeRange, Value};
use hashbrown::HashSet;

use crate::ast::{Field, FieldOperator, Intrinsic, Kind, Scope, Static, Status};

/// A span, of which those fields are filled in that were asked for; the others are empty, except for times, and ids within a trace.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// [`Intrinsic::TraceId`].
    pub trace_id: [u8; 16],
    /// [`Intrinsic::SpanId`].
    pub span_id: [u8; 8],
    /// [`Intrinsic::ParentId`]: the span above; `None` at the root.
    pub parent_id: Option<[u8; 8]>,
    /// When it began, in nanoseconds since 1970.
    pub start_ns: i64,
    /// How long it took, in nanoseconds; 0 where nobody knows.
    pub duration_ns: i64,
    /// [`Intrinsic::Name`].
    pub name: &'a str,
    /// [`Intrinsic::Kind`].
    pub kind: Kind,
    /// [`Intrinsic::Status`].
    pub status: Status,
    /// [`Intrinsic::StatusMessage`].
    pub status_message: &'a str,
    /// `service.name` of the resource ([`Fields::service`]); empty where it has none.
    pub service: &'a str,
    /// W3C's tracestate ([`Fields::trace_state`]).
    pub trace_state: &'a str,
    /// [`Intrinsic::InstrumentationName`].
    pub instrumentation_name: &'a str,
    /// [`Intrinsic::InstrumentationVersion`].
    pub instrumentation_version: &'a str,
    /// A value for each of [`Fields::attributes`] in their order; [`Value::Empty`] where it has none.
    pub values: &'a [Value<'a>],
    /// Where [`Fields::events`] is set.
    pub events: &'a [Event<'a>],
    /// Where [`Fields::links`] is set.
    pub links: &'a [Link<'a>],
    /// Where [`Fields::every_attribute`] is set: all attributes of the span and of its resource.
    pub attributes: &'a [(Scope, &'a str, Value<'a>)],
}

/// What each span has of its own, by the rows of a piece; ids where they were asked for, else none.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// When each began, in nanoseconds since 1970.
    pub start_ns: &'a [i64],
    /// How long each took, in nanoseconds; 0 where nobody knows.
    pub duration_ns: &'a [i64],
    /// Their traces.
    pub trace_ids: &'a [[u8; 16]],
    /// Their ids.
    pub span_ids: &'a [[u8; 8]],
    /// The spans above them.
    pub parent_ids: &'a [Option<[u8; 8]>],
}

/// Spans that say the same but for what each has of its own. A source need not find all that are alike.
#[derive(Debug, Clone, Copy)]
pub struct Alike<'a> {
    /// What they say; what each has of its own is that of one of them.
    pub span: Span<'a>,
    rows: Option<(Own<'a>, &'a [u32])>,
}

impl<'a> Alike<'a> {
    /// A span by itself.
    pub fn alone(span: Span<'a>) -> Self {
        Self { span, rows: None }
    }

    /// The spans of these rows, of which `span` is one.
    pub fn of(span: Span<'a>, own: Own<'a>, rows: &'a [u32]) -> Self {
        Self { span, rows: Some((own, rows)) }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.rows.map_or(1, |(_, rows)| rows.len())
    }

    /// Visits each.
    ///
    /// # Errors
    /// Those of `visit`, the first of which ends it.
    pub fn each(&self, mut visit: impl FnMut(&Span<'a>) -> Result<()>) -> Result<()> {
        let Some((own, rows)) = self.rows else { return visit(&self.span) };
        let mut span = self.span;
        for row in rows.iter().map(|row| *row as usize) {
            span.start_ns = own.start_ns.get(row).copied().unwrap_or_default();
            span.duration_ns = own.duration_ns.get(row).copied().unwrap_or_default();
            span.trace_id = own.trace_ids.get(row).copied().unwrap_or_default();
            span.span_id = own.span_ids.get(row).copied().unwrap_or_default();
            span.parent_id = own.parent_ids.get(row).copied().unwrap_or_default();
            visit(&span)?;
        }
        Ok(())
    }
}

/// Something that happened during a span.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// When, in nanoseconds since 1970.
    pub time_ns: i64,
    /// Its name.
    pub name: &'a str,
    /// A JSON object as `docs/formats/value.md` has it; empty where there is none.
    pub attributes: &'a str,
}

/// A relation to another span.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// The other's trace.
    pub trace_id: [u8; 16],
    /// The other.
    pub span_id: [u8; 8],
    /// A JSON object as `docs/formats/value.md` has it; empty where there is none.
    pub attributes: &'a str,
}

/// What is read of each span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// Those of [`Intrinsic::Name`], `Status`, `StatusMessage`, `Kind`, `InstrumentationName` and `InstrumentationVersion`, and of single spans `TraceId`,
    /// `SpanId` and `ParentId`; others follow from what is always there, from the whole trace, from events or links.
    pub intrinsics: HashSet<Intrinsic>,
    /// Attributes of spans, resources and instrumentation, no other scopes; never the resource's `service.name`, for which `service` stands.
    pub attributes: Vec<(Scope, String)>,
    /// Whether the service is read.
    pub service: bool,
    /// Whether the tracestate is read.
    pub trace_state: bool,
    /// Whether events are read.
    pub events: bool,
    /// Whether links are read.
    pub links: bool,
    /// Whether all attributes are read, under their names.
    pub every_attribute: bool,
}

/// How a field is compared with a constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// By an operator of comparison with a value of the same type. Numbers are one type: 200 finds 200.0. Of an array, one element suffices.
    With(FieldOperator, Static),
    /// It is there.
    Exists,
    /// It is a text that the expression matches as a whole.
    Matches(crate::ast::Pattern),
}

/// Something that must hold of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What is compared: any field but those that are known of whole traces only. An attribute without a scope is the span's or the resource's. Of events and
    /// links, one must fulfil it.
    pub field: Field,
    /// How.
    pub comparison: Comparison,
}

/// Which spans are wanted.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Spans that begin in it.
    pub time: TimeRange,
    /// A span is wanted where all conditions of one of these hold. Those that aren't may come, too; an empty list within it leaves all spans.
    pub alternatives: &'a [Vec<Condition>],
    /// What is read of them.
    pub fields: &'a Fields,
    /// Whether the newest are wanted first, as whoever takes them may end before all were seen.
    pub ends_early: bool,
    /// Asked now and then; its error ends the visit.
    pub interrupted: &'a (dyn Fn() -> Result<()> + Send + Sync),
}

/// A trace of which spans were seen; others of it may lie before and behind these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The begin of the first span that was seen, in nanoseconds since 1970.
    pub first_ns: i64,
    /// The begin of the last.
    pub last_ns: i64,
}

/// Takes spans, some at a time; breaks where nobody needs more.
pub type Taker<'a> = dyn FnMut(&[Alike<'_>]) -> Result<ControlFlow<()>> + Send + 'a;

/// Keeps spans. Implementors read one snapshot in both methods where they can: one source is made for one question.
pub trait SpanSource: Send + Sync {
    /// Gives all spans that are wanted, each once, to one of those who take them, at the same time where there are several, until one of them breaks. One
    /// alone gets pieces with newer spans before those with older ones where `wanted` says so. The spans of a trace may come in several pieces.
    ///
    /// # Errors
    /// Those of the takers and of `interrupted`; `Unavailable` or `Corrupt` where it can't read.
    fn spans(&self, wanted: &Wanted<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()>;

    /// Visits these traces, each once with all of its spans that are kept, in any order, whatever the time of the question was. Spans that are there twice may come twice.
    ///
    /// # Errors
    /// As [`Self::spans`]; `LimitExceeded` where a trace is too large.
    fn traces(
        &self,
        traces: &[Seen],
        fields: &Fields,
        interrupted: &(dyn Fn() -> Result<()> + Send + Sync),
        visit: &mut dyn FnMut(&[Span<'_>]) -> Result<()>,
    ) -> Result<()>;
}
