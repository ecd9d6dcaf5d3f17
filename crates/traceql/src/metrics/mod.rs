//! Which numbers does a query make of spans? Windows of spans become series, and PromQL calculates with these, so that there is one evaluator of time
//! series.

mod compare;
mod distribution;
mod labels;
mod observe;
mod read;

use std::sync::Arc;

use causeway_model::{Error, Labels, METRIC_NAME, Result};
use causeway_promql as promql;
use causeway_promql::ast::{
    Aggregate, AggregateOperator, Binary, BinaryOperator, Cardinality, Expr, ExprKind, Matching, Selector, Span,
};
use causeway_promql::{MatchOperator, Matcher, Samples, Selection, SeriesSet};
use hashbrown::HashMap;

use crate::answer::{Exemplar, MetricSeries, Metrics};
use crate::ast::{FieldOperator, MetricsExpr, MetricsFunction, Query, QueryKind, SpanMetrics, Static};
use crate::source::SpanSource;
use labels::Names;
use observe::{Charged, Observed};

/// Points of a series at most, as in Prometheus.
const POINTS_MAX: i64 = 11_000;
/// Spans that stand for others, where the query has no hint `exemplars`, and at most.
const EXEMPLARS_DEFAULT: usize = 100;
const EXEMPLARS_MAX: usize = 1_000;

/// The time of a metrics query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moments {
    /// The begin, in nanoseconds since 1970.
    pub start_ns: i64,
    /// The end.
    pub end_ns: i64,
    /// How long windows are; 0 for one window of all the time, which has no exemplars.
    pub step_ns: i64,
}

/// Windows of time, each of which has its end in it and not its begin; what is made of one stands at its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    /// The end of the first.
    pub first_ns: i64,
    /// The length of each.
    pub length_ns: i64,
    pub count: usize,
}

impl Windows {
    /// With a step, windows end at multiples of it: the first of them holds the start, the last one the end.
    fn of(moments: Moments) -> Result<Self> {
        let Moments { start_ns, end_ns, step_ns } = moments;
        let refused = || Error::invalid("the end must be later than the start, and the step not negative");
        if step_ns == 0 {
            let length_ns = end_ns.checked_sub(start_ns).filter(|length| *length > 0).ok_or_else(refused)?;
            return Ok(Self { first_ns: end_ns, length_ns, count: 1 });
        }
        if step_ns < 0 || end_ns < start_ns {
            return Err(refused());
        }
        let window = |time_ns: i64| time_ns.checked_add(step_ns - 1).map(|behind| behind.div_euclid(step_ns));
        let (first, last) = window(start_ns).zip(window(end_ns)).ok_or_else(refused)?;
        let first_ns = first.checked_mul(step_ns).ok_or_else(refused)?;
        let count = last.saturating_sub(first).saturating_add(1);
        if count > POINTS_MAX {
            let message = format!("more than {POINTS_MAX} points in each series: take a longer step or a shorter time");
            return Err(Error::invalid(message));
        }
        first_ns.checked_sub(step_ns).ok_or_else(refused)?;
        Ok(Self { first_ns, length_ns: step_ns, count: count as usize })
    }

    /// The last moment that lies in no window.
    pub fn after_ns(&self) -> i64 {
        self.first_ns.saturating_sub(self.length_ns)
    }

    /// The end of a window.
    pub fn end_ns(&self, window: usize) -> i64 {
        self.first_ns.saturating_add(self.length_ns.saturating_mul(window as i64))
    }

    /// The end of the last.
    pub fn until_ns(&self) -> i64 {
        self.end_ns(self.count.saturating_sub(1))
    }

    /// The window that holds a moment.
    pub fn window(&self, time_ns: i64) -> Option<usize> {
        let since = time_ns.checked_sub(self.after_ns())?.checked_sub(1)?;
        let window = usize::try_from(since.div_euclid(self.length_ns.max(1))).ok()?;
        (window < self.count).then_some(window)
    }
}

/// Evaluates a metrics query.
///
/// # Errors
/// `Invalid` where it asks for traces or for too many points; `LimitExceeded` at the limits of the options; those of the source.
pub fn metrics(query: &Query, source: &dyn SpanSource, moments: Moments, options: &promql::Options) -> Result<Metrics> {
    let QueryKind::Metrics(expr) = &query.kind else {
        return Err(Error::invalid("the query asks for traces: end it with a function such as `| rate()`"));
    };
    let windows = Windows::of(moments)?;
    if let MetricsExpr::Spans(spans) = expr
        && let MetricsFunction::Compare(asked) = &spans.function
    {
        return compare::compare(&spans.pipeline, asked, source, windows, options);
    }
    let mut lowering = Lowering::default();
    let lowered = lowering.expr(expr);
    // Of one window for all the time nobody draws exemplars.
    let exemplars = if moments.step_ns == 0 { 0 } else { exemplars_wanted(query) };
    let charged = Charged::of(options);
    let observe = |spans| observe::observe(spans, source, (windows, exemplars > 0), options, &charged);
    let leaves: Vec<Observed> = lowering.leaves.iter().map(observe).collect::<Result<_>>()?;
    let inspected_spans = leaves.iter().map(|leaf| leaf.inspected_spans).sum();
    let leaves = Leaves { sets: leaves.into_iter().map(Arc::new).collect() };
    let window = match moments.step_ns {
        0 => promql::Window { start_ms: windows.first_ns, end_ms: windows.first_ns, step_ms: 0 },
        step => promql::Window { start_ms: windows.first_ns, end_ms: windows.until_ns(), step_ms: step },
    };
    // Values stand at the ends of windows, nothing is looked back for.
    let options = promql::Options { lookback_ms: 1, ..options.clone() };
    let value = promql::evaluate("", &lowered, window, &leaves, &options)?.value;
    let mut series = told(value, &lowering.leaves, &metric_name(expr))?;
    leaves.add_exemplars(&mut series, exemplars);
    let series = series.into_iter().map(|(_, series)| series).collect();
    Ok(Metrics { series, inspected_spans })
}

fn exemplars_wanted(query: &Query) -> usize {
    let hint = query.hints.iter().find(|(name, _)| name == "exemplars").map(|(_, value)| value);
    match hint {
        Some(Static::Int(wanted)) => usize::try_from(*wanted).unwrap_or(0).min(EXEMPLARS_MAX),
        Some(Static::Bool(false)) => 0,
        _ => EXEMPLARS_DEFAULT,
    }
}

/// What stands for the labels of a series that has none.
fn metric_name(expr: &MetricsExpr) -> String {
    match expr {
        MetricsExpr::Spans(spans) => spans.function.name().to_owned(),
        MetricsExpr::Constant(value) => promql::print_number(*value),
        MetricsExpr::Binary { operator, left, right } => {
            format!("({} {} {})", metric_name(left), operator.symbol(), metric_name(right))
        }
        MetricsExpr::Compared { expr, .. } | MetricsExpr::Chosen { expr, .. } => metric_name(expr),
    }
}

/// The series of an answer with the labels that they were found by. What is no finite number is left out.
fn told(value: promql::Value, leaves: &[SpanMetrics], name: &str) -> Result<Vec<(Labels, MetricSeries)>> {
    let found: Vec<(Labels, Vec<(i64, f64)>)> = match value {
        promql::Value::Vector(samples) => {
            let point = |sample: &promql::VectorSample| sample.value.float().map(|value| (sample.time_ms, value));
            samples.into_iter().map(|sample| (sample.labels.clone(), point(&sample).into_iter().collect())).collect()
        }
        promql::Value::Matrix(series) => series.into_iter().map(|series| (series.labels, series.floats)).collect(),
        promql::Value::Scalar { .. } | promql::Value::String(_) => {
            return Err(Error::internal("a metrics query gives no series"));
        }
    };
    let names = Names::of(leaves);
    let tell = |(found, mut points): (Labels, Vec<(i64, f64)>)| {
        points.retain(|(_, value)| value.is_finite());
        let mut labels = names.told(&found);
        if labels.is_empty() {
            labels.push((METRIC_NAME.to_owned(), Static::String(name.to_owned())));
        }
        let series = MetricSeries { labels, points, exemplars: Vec::new() };
        (!series.points.is_empty()).then_some((found, series))
    };
    let mut series: Vec<(Labels, MetricSeries)> = found.into_iter().filter_map(tell).collect();
    series.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(series)
}

/// A metrics query as PromQL, whose selectors are numbers of leaves.
#[derive(Default)]
struct Lowering {
    leaves: Vec<SpanMetrics>,
}

fn node(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn number(value: f64) -> Expr {
    node(ExprKind::Number { value, as_duration: false })
}

fn binary(operator: BinaryOperator, left: Expr, right: Expr, matching: Option<Matching>) -> Expr {
    node(ExprKind::Binary(Box::new(Binary { operator, left, right, returns_bool: false, matching })))
}

impl Lowering {
    fn expr(&mut self, expr: &MetricsExpr) -> Expr {
        match expr {
            MetricsExpr::Spans(spans) => self.selector(spans),
            MetricsExpr::Constant(value) => number(*value),
            MetricsExpr::Binary { operator, left, right } => {
                let matching = matching(left, right);
                let (left, right) = (self.expr(left), self.expr(right));
                binary(of_operator(*operator), left, right, matching)
            }
            MetricsExpr::Compared { expr, comparison, value } => {
                binary(of_operator(*comparison), self.expr(expr), number(*value), None)
            }
            MetricsExpr::Chosen { expr, largest, count } => node(ExprKind::Aggregate(Box::new(Aggregate {
                operator: if *largest { AggregateOperator::Topk } else { AggregateOperator::Bottomk },
                expr: self.expr(expr),
                parameter: Some(number(f64::from(*count))),
                grouping: Vec::new(),
                without: false,
            }))),
        }
    }

    /// Selectors of equal spans are one.
    fn selector(&mut self, spans: &SpanMetrics) -> Expr {
        let found = self.leaves.iter().position(|leaf| leaf == spans);
        let leaf = found.unwrap_or_else(|| {
            self.leaves.push(spans.clone());
            self.leaves.len() - 1
        });
        // An equality always compiles.
        let matcher = Matcher::new(METRIC_NAME, MatchOperator::Equal, leaf.to_string());
        let matchers = matcher.into_iter().collect();
        node(ExprKind::Selector(Selector { name: None, matchers, offset: None, at: None, extension: None }))
    }
}

/// How two sides find each other: by equal labels, and a series without any goes with each of the other side's.
fn matching(left: &MetricsExpr, right: &MetricsExpr) -> Option<Matching> {
    let cardinality = match (has_labels(left)?, has_labels(right)?) {
        (true, false) => Cardinality::ManyToOne,
        (false, true) => Cardinality::OneToMany,
        _ => return Some(Matching::default()),
    };
    Some(Matching { cardinality, on: true, ..Matching::default() })
}

/// Whether the series of an expression have labels; `None` for a number.
fn has_labels(expr: &MetricsExpr) -> Option<bool> {
    match expr {
        MetricsExpr::Constant(_) => None,
        MetricsExpr::Spans(spans) => {
            let own = matches!(spans.function, MetricsFunction::Quantile(..) | MetricsFunction::Histogram(_));
            Some(own || !spans.by.is_empty())
        }
        MetricsExpr::Compared { expr, .. } | MetricsExpr::Chosen { expr, .. } => has_labels(expr),
        MetricsExpr::Binary { left, right, .. } => match (has_labels(left), has_labels(right)) {
            (Some(left), Some(right)) => Some(left || right),
            (left, right) => left.or(right),
        },
    }
}

fn of_operator(operator: FieldOperator) -> BinaryOperator {
    match operator {
        FieldOperator::Subtract => BinaryOperator::Subtract,
        FieldOperator::Multiply => BinaryOperator::Multiply,
        FieldOperator::Divide => BinaryOperator::Divide,
        FieldOperator::Equal => BinaryOperator::Equal,
        FieldOperator::NotEqual => BinaryOperator::NotEqual,
        FieldOperator::Less => BinaryOperator::Less,
        FieldOperator::LessOrEqual => BinaryOperator::LessOrEqual,
        FieldOperator::Greater => BinaryOperator::Greater,
        FieldOperator::GreaterOrEqual => BinaryOperator::GreaterOrEqual,
        _ => BinaryOperator::Add,
    }
}

/// The series that spans make.
struct Leaves {
    sets: Vec<Arc<Observed>>,
}

impl Leaves {
    /// Adds to each series the spans that stand for it, at most so many in all, spread evenly.
    fn add_exemplars(&self, series: &mut [(Labels, MetricSeries)], wanted: usize) {
        if wanted == 0 {
            return;
        }
        let mut known: HashMap<&Labels, Vec<Exemplar>> = HashMap::new();
        for observed in self.sets.iter().flat_map(|set| &set.series) {
            known.entry(&observed.labels).or_default().extend_from_slice(&observed.exemplars);
        }
        let mut all: Vec<(usize, Exemplar)> = Vec::new();
        for (at, (labels, _)) in series.iter().enumerate() {
            all.extend(known.get(labels).into_iter().flatten().map(|exemplar| (at, *exemplar)));
        }
        let every = all.len().div_ceil(wanted.max(1)).max(1);
        for (at, exemplar) in all.into_iter().step_by(every).take(wanted) {
            if let Some((_, series)) = series.get_mut(at) {
                series.exemplars.push(exemplar);
            }
        }
    }
}

impl promql::Source for Leaves {
    fn select(&self, selection: &Selection) -> Result<Arc<dyn SeriesSet>> {
        let name = selection.matchers.iter().find(|matcher| matcher.name() == METRIC_NAME);
        let number = name.and_then(|name| name.value().parse::<usize>().ok());
        let set = number.and_then(|number| self.sets.get(number));
        let set = set.ok_or_else(|| Error::internal("a selector without its spans"))?;
        Ok(set.clone())
    }
}

impl SeriesSet for Observed {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.series.get(series).map_or_else(Labels::empty, |series| series.labels.clone())
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        let found = self.series.get(series).ok_or_else(|| Error::internal("no such series"))?;
        samples.clear();
        samples.times.extend(found.points.iter().map(|(time, _)| *time));
        samples.values.extend(found.points.iter().map(|(_, value)| *value));
        Ok(())
    }
}
