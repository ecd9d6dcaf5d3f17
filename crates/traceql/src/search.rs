//! Which traces does a search find? Spans that may matter are looked at one by one, newest first; their traces are then read as a whole.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use causeway_model::{Error, ErrorKind, Result, TimeRange};
use hashbrown::{HashMap, HashSet};

use crate::answer::{FoundSpan, FoundSpanset, FoundTrace, Search, SpanCounts};
use crate::ast::{Field, FieldExpr, Intrinsic, Pipeline, Query, QueryKind, Spansets, Stage, Static, Status};
use crate::conditions::{self, Said};
use crate::expression::{Access, Filter, Node, Row, Whole, access, distinct, is_duration_field, needs_trace};
use crate::pipeline::{Group, Interrupted, Steps, span_filter};
use crate::source::{Alike, Fields, Seen, Span, SpanSource, Wanted};

/// Traces that one question notes at most: 1,000,000 take some 80 MB.
pub(crate) const TRACES_MAX: usize = 1_000_000;
/// Traces that are read together, at first and at most.
const TOGETHER_MIN: usize = 32;
pub(crate) const TOGETHER_MAX: usize = 1_024;
/// Bytes of an answer's spans at most. 64 MiB, as much as a client reads.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What a search may look at and give.
#[derive(Clone, Copy)]
pub struct SearchOptions<'a> {
    /// A trace counts where a span that its first filter leaves begins in it.
    pub time: TimeRange,
    /// Traces at most.
    pub limit: usize,
    /// Spans that are told of each spanset, at most.
    pub spans_per_spanset: usize,
    /// Asked now and then; its error ends the search.
    pub interrupted: &'a (dyn Fn() -> Result<()> + Send + Sync),
}

/// Searches for traces.
///
/// # Errors
/// `Invalid` where the query asks for metrics; `LimitExceeded` where the answer is too large; those of the source.
pub fn search(query: &Query, source: &dyn SpanSource, options: &SearchOptions<'_>) -> Result<Search> {
    let QueryKind::Search(pipeline) = &query.kind else {
        return Err(Error::invalid("the query asks for metrics, not for traces: ask for it at a metrics endpoint"));
    };
    let mut searcher = Searcher::of(pipeline, source, options);
    // With the hint all is looked at: a trace that began later may stand behind.
    searcher.most_recent = query.hints.iter().any(|hint| *hint == ("most_recent".to_owned(), Static::Bool(true)));
    let mut seen = Candidates::of(conditions::of_pipeline(pipeline, Said::OfOne));
    let mut ended = options.limit == 0;
    if !ended {
        seen.visit(source, (options.time, options.interrupted), &mut |seen| {
            ended = searcher.read_waiting(seen, false)?;
            if seen.is_full() || ended { Ok(ControlFlow::Break(())) } else { Ok(ControlFlow::Continue(())) }
        })?;
        ended = ended || searcher.read_waiting(&mut seen, true)?;
    }
    let mut answer = searcher.answer;
    answer.inspected_spans += seen.spans;
    answer.is_complete = !ended && !seen.is_full();
    answer.traces.sort_by_key(|trace| (trace.start_ns.saturating_neg(), trace.trace_id));
    answer.traces.truncate(options.limit);
    Ok(answer)
}

/// Traces of which a span was seen that may matter.
pub(crate) struct Candidates {
    filter: Option<FieldExpr>,
    /// Where they stood among those that wait when they were noted.
    known: HashMap<[u8; 16], usize>,
    /// Those that were not read yet, in the order in which they were seen.
    pub waiting: Vec<Seen>,
    pub spans: u64,
}

impl Candidates {
    pub fn of(filter: Option<FieldExpr>) -> Self {
        Self { filter, known: HashMap::new(), waiting: Vec::new(), spans: 0 }
    }

    /// Whether no more can be noted.
    pub fn is_full(&self) -> bool {
        self.known.len() >= TRACES_MAX
    }

    /// Notes the traces of a time; `after` is asked after each piece.
    pub fn visit(
        &mut self,
        source: &dyn SpanSource,
        (time, interrupted): (TimeRange, Interrupted<'_>),
        after: &mut (dyn FnMut(&mut Self) -> Result<ControlFlow<()>> + Send),
    ) -> Result<()> {
        let mut fields = Fields { intrinsics: HashSet::from([Intrinsic::TraceId]), ..Fields::default() };
        let filter = self.filter.clone();
        let alternatives = filter.as_ref().map_or_else(|| vec![Vec::new()], conditions::alternatives);
        let node = filter.as_ref().map(|filter| Node::of(&mut fields, filter));
        let filter = node.as_ref().map(Filter::of);
        let wanted = Wanted { time, alternatives: &alternatives, fields: &fields, ends_early: true, interrupted };
        let note = |found: &[Alike<'_>]| {
            for alike in found {
                self.spans += alike.count() as u64;
                let within = |span: &Span<'_>| time.start <= span.start_ns && span.start_ns <= time.end;
                Filter::each(filter.as_ref(), alike, &mut |span| {
                    if within(span) {
                        self.note(span);
                    }
                    Ok(())
                })?;
            }
            after(self)
        };
        source.spans(&wanted, &mut [Box::new(note)])
    }

    fn note(&mut self, span: &Span<'_>) {
        let place = self.known.get(&span.trace_id).copied();
        let waiting = place.and_then(|place| self.waiting.get_mut(place));
        if let Some(seen) = waiting.filter(|seen| seen.trace_id == span.trace_id) {
            seen.first_ns = seen.first_ns.min(span.start_ns);
            seen.last_ns = seen.last_ns.max(span.start_ns);
        } else if place.is_none() && !self.is_full() {
            self.known.insert(span.trace_id, self.waiting.len());
            let (first_ns, last_ns) = (span.start_ns, span.start_ns);
            self.waiting.push(Seen { trace_id: span.trace_id, first_ns, last_ns });
        }
    }
}

/// What is told of each span: its name, how it is read, whether it is a duration.
#[derive(Debug)]
pub(crate) struct Told(Vec<(String, Access, bool)>);

impl Told {
    /// What a pipeline speaks of, which is noted as read.
    pub fn of(fields: &mut Fields, pipeline: &Pipeline) -> Self {
        let tell = |field: Field| {
            let access = access(fields, &field);
            (field.to_string(), access, is_duration_field(&field))
        };
        Self(told_fields(pipeline).into_iter().map(tell).collect())
    }

    /// Tells no more of what is told anyway.
    pub fn leave_out(&mut self, is_told: impl Fn(&Access) -> bool) {
        self.0.retain(|(_, access, _)| !is_told(access));
    }

    /// What is there of a span.
    pub fn read(&self, row: &Row<'_>) -> Vec<(String, Static)> {
        let value = |(name, access, is_duration): &(String, Access, bool)| {
            let value = access.read(row);
            (!value.is_nil()).then(|| (name.clone(), value.told(*is_duration)))
        };
        self.0.iter().filter_map(value).collect()
    }
}

struct Searcher<'a> {
    source: &'a dyn SpanSource,
    options: &'a SearchOptions<'a>,
    steps: Steps,
    fields: Fields,
    told: Told,
    answer: Search,
    bytes: usize,
    most_recent: bool,
    /// How many traces are read next.
    together: usize,
}

impl<'a> Searcher<'a> {
    fn of(pipeline: &Pipeline, source: &'a dyn SpanSource, options: &'a SearchOptions<'a>) -> Self {
        let mut fields = Fields::default();
        let steps = Steps::of(&mut fields, pipeline);
        let told = Told::of(&mut fields, pipeline);
        // Roots and spans are told by their names; kinds tell spans of one id apart.
        fields.service = true;
        fields.intrinsics.extend([Intrinsic::Name, Intrinsic::Kind, Intrinsic::Status]);
        let answer = Search { is_complete: true, ..Search::default() };
        // Where a filter of spans is all, each trace is found.
        let least = if span_filter(pipeline).is_some() { 1 } else { TOGETHER_MIN };
        let together = options.limit.clamp(least, TOGETHER_MAX);
        Self { source, options, steps, fields, told, answer, bytes: 0, most_recent: false, together }
    }

    fn has_enough(&self) -> bool {
        !self.most_recent && self.answer.traces.len() >= self.options.limit
    }

    /// Reads traces that wait, the newest first, some at a time, and with `all` the rest; whether there are enough then.
    fn read_waiting(&mut self, seen: &mut Candidates, all: bool) -> Result<bool> {
        if seen.waiting.is_empty() || !all && seen.waiting.len() < self.together {
            return Ok(false);
        }
        seen.waiting.sort_by_key(|seen| seen.last_ns.saturating_neg());
        let mut waiting = seen.waiting.as_slice();
        while !waiting.is_empty() && (all || waiting.len() >= self.together) {
            let (next, rest) = waiting.split_at(self.together.min(waiting.len()));
            let (source, options, fields) = (self.source, self.options, self.fields.clone());
            source.traces(next, &fields, options.interrupted, &mut |spans| self.look_at(spans))?;
            waiting = rest;
            self.together = (self.together * 2).min(TOGETHER_MAX);
            if self.has_enough() {
                return Ok(true);
            }
        }
        seen.waiting = waiting.to_vec();
        Ok(false)
    }

    fn look_at(&mut self, spans: &[Span<'_>]) -> Result<()> {
        let Some(trace_id) = spans.first().map(|span| span.trace_id) else { return Ok(()) };
        self.answer.inspected_traces += 1;
        self.answer.inspected_spans += spans.len() as u64;
        let spans = distinct(spans);
        let whole = Whole::of(&spans);
        let groups = self.steps.run(&whole, self.options.interrupted)?;
        if groups.is_empty() {
            return Ok(());
        }
        let spansets: Vec<FoundSpanset> = groups.into_iter().map(|group| self.spanset(&whole, group)).collect();
        let root = |of: fn(&Span<'_>) -> String| whole.root.map(of).unwrap_or_default();
        let (root_service, root_name) = (root(|root| root.service.to_owned()), root(|root| root.name.to_owned()));
        let (start_ns, duration_ns) = (whole.start_ns, whole.duration_ns);
        let services = services(&spans);
        let found = FoundTrace { trace_id, root_service, root_name, start_ns, duration_ns, services, spansets };
        self.bytes += found.bytes();
        self.answer.traces.push(found);
        if self.answer.traces.len() > self.options.limit.saturating_mul(2) {
            self.answer.traces.sort_by_key(|trace| trace.start_ns.saturating_neg());
            self.answer.traces.truncate(self.options.limit);
            self.bytes = self.answer.traces.iter().map(FoundTrace::bytes).sum();
        }
        if self.bytes > ANSWER_BYTES_MAX {
            let message = format!("the spans take more than {ANSWER_BYTES_MAX} bytes: ask for fewer traces or spans");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        Ok(())
    }

    fn spanset(&self, whole: &Whole<'_>, group: Group) -> FoundSpanset {
        let matched = group.spans.len();
        let mut spans: Vec<(usize, &Span<'_>)> =
            group.spans.iter().filter_map(|at| Some((*at as usize, whole.spans.get(*at as usize)?))).collect();
        spans.sort_by_key(|(at, span)| (span.start_ns, *at));
        let tell = |(at, span): (usize, &Span<'_>)| {
            let row = Row { span, place: Some((whole, at)) };
            FoundSpan {
                span_id: span.span_id,
                name: span.name.to_owned(),
                start_ns: span.start_ns,
                duration_ns: span.duration_ns,
                attributes: self.told.read(&row),
            }
        };
        let spans = spans.into_iter().take(self.options.spans_per_spanset).map(tell).collect();
        FoundSpanset { matched, attributes: group.attributes, spans }
    }
}

/// How many spans each service has.
fn services(spans: &[Span<'_>]) -> BTreeMap<String, SpanCounts> {
    let mut services: BTreeMap<String, SpanCounts> = BTreeMap::new();
    for span in spans {
        if !services.contains_key(span.service) {
            services.insert(span.service.to_owned(), SpanCounts::default());
        }
        if let Some(counts) = services.get_mut(span.service) {
            counts.spans = counts.spans.saturating_add(1);
            counts.errors = counts.errors.saturating_add(u32::from(span.status == Status::Error));
        }
    }
    services
}

impl FoundTrace {
    fn bytes(&self) -> usize {
        let of = |(name, value): &(String, Static)| name.len() + 32 + text_bytes(value);
        let of_span = |span: &FoundSpan| 64 + span.name.len() + span.attributes.iter().map(of).sum::<usize>();
        let of_set = |set: &FoundSpanset| {
            set.attributes.iter().map(of).sum::<usize>() + set.spans.iter().map(of_span).sum::<usize>()
        };
        let services: usize = self.services.keys().map(|name| name.len() + 64).sum();
        self.spansets.iter().map(of_set).sum::<usize>()
            + services
            + self.root_name.len()
            + self.root_service.len()
            + 128
    }
}

pub(crate) fn text_bytes(value: &Static) -> usize {
    match value {
        Static::String(text) => text.len(),
        Static::Array(values) => values.iter().map(|value| 32 + text_bytes(value)).sum(),
        _ => 0,
    }
}

/// What is told of each span: the fields that are selected, and those that filters name, without what is told anyway or of the trace.
fn told_fields(pipeline: &Pipeline) -> Vec<Field> {
    let mut found = Vec::new();
    collect_pipeline(pipeline, &mut found);
    let mut told: Vec<Field> = Vec::new();
    for (field, is_selected) in found {
        let is_told_anyway = matches!(
            field,
            Field::Intrinsic(
                Intrinsic::Name
                    | Intrinsic::Duration
                    | Intrinsic::SpanId
                    | Intrinsic::TraceId
                    | Intrinsic::TraceDuration
                    | Intrinsic::RootName
                    | Intrinsic::RootService
            )
        );
        if (is_selected || !is_told_anyway) && !told.contains(&field) {
            told.push(field);
        }
    }
    told
}

fn collect_pipeline(pipeline: &Pipeline, found: &mut Vec<(Field, bool)>) {
    for stage in &pipeline.stages {
        match stage {
            Stage::Spansets(spansets) => collect_spansets(spansets, found),
            Stage::By(expr) => collect(expr, found),
            Stage::Coalesce => {}
            Stage::Select(fields) => found.extend(fields.iter().map(|field| (field.clone(), true))),
            Stage::Aggregate(filter) => {
                use crate::ast::Aggregate::{Avg, Count, Max, Min, Sum};
                match &filter.aggregate {
                    Count => {}
                    Min(expr) | Max(expr) | Avg(expr) | Sum(expr) => collect(expr, found),
                }
            }
        }
    }
}

fn collect_spansets(spansets: &Spansets, found: &mut Vec<(Field, bool)>) {
    match spansets {
        Spansets::Filter(expr) => collect(expr, found),
        Spansets::Pipeline(pipeline) => collect_pipeline(pipeline, found),
        Spansets::Binary { left, right, .. } => {
            collect_spansets(left, found);
            collect_spansets(right, found);
        }
    }
}

fn collect(expr: &FieldExpr, found: &mut Vec<(Field, bool)>) {
    match expr {
        FieldExpr::Constant(_) => {}
        FieldExpr::Field(field) => found.push((field.clone(), false)),
        FieldExpr::Negate(inner) | FieldExpr::Not(inner) => collect(inner, found),
        FieldExpr::Matches { operand, .. } => collect(operand, found),
        FieldExpr::Binary { left, right, .. } => {
            collect(left, found);
            collect(right, found);
        }
    }
}

/// Values, each once.
struct Values {
    known: HashSet<String>,
    found: Vec<Static>,
    limit: usize,
    /// Whether there was room for all.
    all: bool,
}

impl Values {
    fn add(&mut self, value: Static) {
        let values = match value {
            Static::Nil => return,
            Static::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let key = value.to_string();
            if self.known.contains(&key) {
                continue;
            }
            if self.found.len() >= self.limit {
                self.all = false;
                return;
            }
            self.known.insert(key);
            self.found.push(value);
        }
    }
}

/// The values that a field has among the spans that a query's filter leaves, each once and at most so many, in no order; whether these are all of them. Of
/// more than a filter of single spans only what it says of these counts.
///
/// # Errors
/// `Invalid` where the field is known of whole traces only; those of the source.
pub fn values(
    query: &Query,
    source: &dyn SpanSource,
    field: &Field,
    options: &SearchOptions<'_>,
) -> Result<(Vec<Static>, bool)> {
    let QueryKind::Search(pipeline) = &query.kind else {
        return Err(Error::invalid(
            "the query asks for metrics: values are listed by a filter such as `{ status = error }`",
        ));
    };
    if needs_trace(field) {
        return Err(Error::invalid(format!(
            "values of {field} can't be listed, as they are known of whole traces only"
        )));
    }
    let mut fields = Fields::default();
    let filter = span_filter(pipeline).or_else(|| conditions::of_pipeline(pipeline, Said::OfFound));
    let alternatives = filter.as_ref().map_or_else(|| vec![Vec::new()], conditions::alternatives);
    let node = filter.as_ref().map(|filter| Node::of(&mut fields, filter));
    let (access, is_duration) = (access(&mut fields, field), is_duration_field(field));
    let (time, interrupted) = (options.time, options.interrupted);
    let filter = node.as_ref().map(Filter::of);
    let wanted = Wanted { time, alternatives: &alternatives, fields: &fields, ends_early: true, interrupted };
    let mut values = Values { known: HashSet::new(), found: Vec::new(), limit: options.limit, all: true };
    let add = |spans: &[Alike<'_>]| {
        for alike in spans {
            let mut is_told = false;
            Filter::each(filter.as_ref(), alike, &mut |span| {
                if !is_told && time.start <= span.start_ns && span.start_ns <= time.end {
                    is_told = !access.is_own();
                    values.add(access.read(&Row { span, place: None }).told(is_duration));
                }
                Ok(())
            })?;
        }
        Ok(if values.all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    };
    source.spans(&wanted, &mut [Box::new(add)])?;
    Ok((values.found, values.all))
}
