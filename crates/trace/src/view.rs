//! How is a trace told to whoever asked? The shapes of the API's JSON, which the terminal's picture is drawn from as well.

use serde::{Deserialize, Serialize};

use crate::find::{Finding, hex};
use crate::span::{Span, Texts, kind_name};
use crate::understand::Understood;

/// A trace as it is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceView {
    /// In hex.
    pub trace_id: String,
    /// When the first span began, after clocks were made to agree; RFC 3339.
    pub start: String,
    /// From there to the end of the last one.
    pub duration_ns: i64,
    /// Services that sent spans of it, by name.
    pub services: Vec<String>,
    /// Spans with a status of error.
    pub failed_spans: u64,
    /// The span whose critical path is told, in hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root_span_id: Option<String>,
    /// Each before its children.
    pub spans: Vec<SpanView>,
    /// Parents that are not there.
    pub missing: Vec<MissingView>,
    /// What stands out, the longest first.
    pub findings: Vec<Finding>,
    /// Log records with the trace's id, those without a span's among them.
    pub logs: Counted,
    /// Exemplars of metrics with it.
    pub exemplars: Counted,
    /// What was left out or mended.
    pub notes: Vec<String>,
}

/// Spans that name a parent that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingView {
    /// The parent's id in hex.
    pub span_id: String,
    /// Ids of its children in hex.
    pub children: Vec<String>,
}

/// How much there is elsewhere, and why there is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// All of the trace.
    pub count: u64,
    /// The table and condition in SQL that show them.
    pub sql: String,
    /// Where there is nothing, for one service or for all: why, as far as can be told cheaply.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reasons: Vec<Why>,
}

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The service; all where it is empty.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub service: String,
    /// `none_sent`, `no_trace_ids`, `expired`, `none_here`.
    pub reason: String,
    /// In words.
    pub statement: String,
}

/// One span.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpanView {
    /// In hex.
    pub span_id: String,
    /// The parent in the tree, in hex; of a span whose parent is missing, the id that it names.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_span_id: Option<String>,
    /// Spans above it.
    pub depth: usize,
    /// Whose it is.
    pub service: String,
    /// Name of the operation.
    pub name: String,
    /// `server`, `client` …
    pub kind: String,
    /// Nanoseconds from the trace's begin to its own, after clocks were made to agree.
    pub offset_ns: i64,
    /// By how much it was moved for that.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub shift_ns: i64,
    /// How long it took; nothing where the sender gave no end.
    pub duration_ns: Option<i64>,
    /// Nanoseconds in which none of its children ran.
    pub self_ns: i64,
    /// Whether it lies on the critical path.
    pub critical: bool,
    /// Nanoseconds of it there.
    pub critical_ns: i64,
    /// Status of error.
    #[serde(skip_serializing_if = "is_false", default)]
    pub failed: bool,
    /// What its status or exception says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// What it asked, else whom.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// Log records of it.
    pub logs: u64,
    /// Exemplars of metrics measured in it.
    pub exemplars: u64,
    /// Places in the list of findings that name it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<usize>,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl TraceView {
    /// The spans in the tree's order, with all that they tell themselves. `of_span` says how many log records and exemplars there are of
    /// a span.
    pub fn of(understood: &Understood, spans: &[Span], texts: &Texts, of_span: impl Fn(&Span) -> (u64, u64)) -> Self {
        let moved = |at: usize| understood.intervals[at];
        let all = understood.order.iter().map(|(at, _)| moved(*at));
        let start = all.clone().map(|(start, _)| start).min().unwrap_or(0);
        let end = all.map(|(_, end)| end).max().unwrap_or(start);
        let mut services: Vec<&str> = spans.iter().map(|span| texts.text(span.service)).collect();
        services.sort_unstable();
        services.dedup();
        let view = |(at, depth): &(usize, usize)| {
            let mut view = span_view(understood, spans, texts, *at, *depth);
            view.offset_ns = moved(*at).0.saturating_sub(start);
            (view.logs, view.exemplars) = of_span(&spans[*at]);
            view
        };
        let mut views: Vec<SpanView> = understood.order.iter().map(view).collect();
        name_findings(&mut views, &understood.findings);
        let missing = understood.tree.missing.iter().map(|missing| MissingView {
            span_id: hex(&missing.id),
            children: missing.children.iter().map(|child| hex(&spans[*child].id)).collect(),
        });
        Self {
            duration_ns: end.saturating_sub(start),
            services: services.into_iter().map(str::to_owned).collect(),
            failed_spans: views.iter().filter(|view| view.failed).count() as u64,
            root_span_id: understood.root.map(|root| hex(&spans[root].id)),
            spans: views,
            missing: missing.collect(),
            findings: understood.findings.clone(),
            notes: notes(understood),
            ..Self::default()
        }
    }

    /// When the first span began, in nanoseconds since 1970, after clocks were made to agree.
    pub fn start_of(understood: &Understood) -> i64 {
        understood.order.iter().map(|(at, _)| understood.intervals[*at].0).min().unwrap_or(0)
    }
}

fn span_view(understood: &Understood, spans: &[Span], texts: &Texts, at: usize, depth: usize) -> SpanView {
    let span = &spans[at];
    let text = |number: Option<u32>| number.map(|number| texts.text(number).to_owned());
    let parent = understood.tree.parent(at).map(|parent| spans[parent].id).or(span.parent_id);
    SpanView {
        span_id: hex(&span.id),
        parent_span_id: parent.map(|id| hex(&id)),
        depth,
        service: texts.text(span.service).to_owned(),
        name: texts.text(span.name).to_owned(),
        kind: kind_name(span.kind).to_owned(),
        shift_ns: understood.shifts[at],
        duration_ns: span.duration_ns,
        self_ns: understood.self_ns[at],
        critical: understood.critical_ns[at].is_some(),
        critical_ns: understood.critical_ns[at].unwrap_or(0),
        failed: span.failed,
        error: text(span.status_message.or(span.error_type).filter(|_| span.failed)),
        target: text(span.statement.filter(|statement| *statement != span.name).or(span.target)),
        ..SpanView::default()
    }
}

fn name_findings(views: &mut [SpanView], findings: &[Finding]) {
    let mut named: hashbrown::HashMap<&str, Vec<usize>> = hashbrown::HashMap::new();
    for (place, finding) in findings.iter().enumerate() {
        finding.span_ids.iter().for_each(|id| named.entry(id).or_default().push(place));
    }
    for view in views {
        if let Some(places) = named.get(view.span_id.as_str()) {
            view.findings.clone_from(places);
        }
    }
}

/// What was mended, in words.
fn notes(understood: &Understood) -> Vec<String> {
    let moved = understood.shifts.iter().filter(|shift| **shift != 0).count();
    let orphans: usize = understood.tree.missing.iter().map(|missing| missing.children.len()).sum();
    let many = |count: usize, one: &str, more: &str| match count {
        0 => None,
        1 => Some(one.to_owned()),
        count => Some(format!("{count} {more}")),
    };
    let notes = [
        many(
            moved,
            "one span was moved, as its host's clock differs",
            "spans were moved, as their hosts' clocks differ",
        ),
        many(
            orphans,
            "one span names a parent that is not there: not sampled, not sent, not here yet, or deleted",
            "spans name parents that are not there: not sampled, not sent, not here yet, or deleted",
        ),
        many(understood.tree.copies.len(), "one span came twice", "spans came more than once"),
        many(understood.tree.opened.len(), "one circle of parents was opened", "circles of parents were opened"),
        many(
            understood.tree.roots.len().saturating_sub(orphans).saturating_sub(1),
            "a second span has no parent",
            "more spans have no parent",
        ),
    ];
    notes.into_iter().flatten().collect()
}
