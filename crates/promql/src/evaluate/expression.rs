//! What is the value of each kind of expression at all steps?

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use causeway_model::{Error, Result};
use hashbrown::HashSet;

use super::annotations::Notes;
use super::column::Vector;
use super::meter::Meter;
use super::steps::{Reference, Steps};
use super::stream::{Constant, Mapped, Stream, lock};
use super::{Evaluation, Number, Options, Statistics, Window, binary, duration, functions, result, statistics_only};
use crate::ast::{At, Duration, Expr, ExprKind, Function, Span};
use crate::source::Source;

/// One evaluation.
pub(super) struct Evaluator<'a> {
    pub query: &'a str,
    /// Of the whole query, also inside of subqueries.
    pub window: Window,
    pub source: &'a dyn Source,
    pub options: &'a Options,
    pub meter: Arc<Meter>,
    pub notes: Mutex<Notes>,
    pub samples_read: AtomicUsize,
    pub series_read: AtomicUsize,
    /// Selectors of whose histograms only counts and sums are wanted.
    pub statistics_only: HashSet<Span>,
}

impl<'a> Evaluator<'a> {
    pub fn new(query: &'a str, expr: &Expr, window: Window, source: &'a dyn Source, options: &'a Options) -> Self {
        let window = if window.step_ms > 0 { window } else { Window { end_ms: window.start_ms, step_ms: 0, ..window } };
        Self {
            query,
            window,
            source,
            options,
            meter: Arc::new(Meter::new(options)),
            notes: Mutex::default(),
            samples_read: AtomicUsize::new(0),
            series_read: AtomicUsize::new(0),
            statistics_only: statistics_only::selectors(expr),
        }
    }

    /// The value of the whole query.
    pub fn run(self, expr: &Expr) -> Result<Evaluation> {
        let steps = Steps::new(self.window.start_ms, self.window.end_ms, self.window.step_ms)?;
        let value = result::value(&self, expr, &steps)?;
        let (samples_peak, memory_bytes_peak) = self.meter.peaks();
        let statistics = Statistics {
            samples_read: self.samples_read.load(Ordering::Relaxed),
            series: self.series_read.load(Ordering::Relaxed),
            samples_peak,
            memory_bytes_peak,
        };
        let notes = self.notes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Evaluation { value, annotations: notes.finish(self.query), statistics })
    }

    /// Whether the query asks for one moment only.
    pub fn is_instant(&self) -> bool {
        self.window.step_ms == 0
    }

    pub fn note(&self, say: impl FnOnce(&mut Notes)) {
        say(&mut lock(&self.notes));
    }

    pub fn milliseconds(&self, duration: Option<&Duration>) -> Result<i64> {
        duration.map_or(Ok(0), |duration| duration::milliseconds(duration, &self.window))
    }

    pub fn reference(&self, at: Option<At>, offset: Option<&Duration>) -> Result<Reference> {
        let at_ms = at.map(|at| match at {
            At::TimeMs(time_ms) => time_ms,
            At::Start => self.window.start_ms,
            At::End => self.window.end_ms,
        });
        Ok(Reference { at_ms, offset_ms: self.milliseconds(offset)? })
    }

    /// A scalar at all steps.
    pub fn scalar(&self, expr: &Expr, steps: &Steps) -> Result<Vec<f64>> {
        self.meter.charge().add(0, steps.count.saturating_mul(size_of::<f64>()))?;
        if steps.count > 1 && is_step_invariant(expr) {
            let value = self.scalar(expr, &steps.first())?;
            return Ok(vec![value.first().copied().unwrap_or(f64::NAN); steps.count]);
        }
        match &expr.kind {
            ExprKind::Number { value, .. } => Ok(vec![*value; steps.count]),
            ExprKind::Paren(inner) => self.scalar(inner, steps),
            ExprKind::Unary { negative, operand } => {
                let mut values = self.scalar(operand, steps)?;
                if *negative {
                    values.iter_mut().for_each(|value| *value = -*value);
                }
                Ok(values)
            }
            ExprKind::Binary(operation) => {
                let (left, right) = (self.scalar(&operation.left, steps)?, self.scalar(&operation.right, steps)?);
                let pairs = left.into_iter().zip(right);
                Ok(pairs.map(|(left, right)| binary::scalars(operation.operator, left, right)).collect())
            }
            ExprKind::Call { function, arguments } => functions::scalar(self, *function, arguments, steps),
            _ => Err(unexpected("scalar")),
        }
    }

    /// An instant vector at all steps, kept.
    pub fn vector(&self, expr: &Expr, steps: &Steps) -> Result<Vector> {
        match self.stream(expr, steps)? {
            Streamed::Kept(vector) => Ok(vector),
            Streamed::Passing(stream) => self.collect(&*stream, steps.count),
        }
    }

    /// An instant vector at all steps, its series made when they are asked for where that can be.
    pub fn stream<'b>(&'b self, expr: &'b Expr, steps: &Steps) -> Result<Streamed<'b>> {
        self.meter.check()?;
        self.meter.charge().add(0, steps.count.saturating_mul(size_of::<f64>()))?;
        if steps.count > 1 && is_step_invariant(expr) {
            return Ok(Streamed::passing(Constant(self.vector(expr, &steps.first())?)));
        }
        match &expr.kind {
            ExprKind::Paren(inner) => self.stream(inner, steps),
            ExprKind::Selector(selector) => self.instant(selector, expr.span, steps),
            ExprKind::Unary { negative: false, operand } => self.stream(operand, steps),
            ExprKind::Unary { operand, .. } => {
                let input = self.stream(operand, steps)?.boxed();
                let change = |_: usize, column: &mut super::column::Column, _: &mut super::stream::Worker| {
                    column.map_floats(|_, float| -float);
                    for histogram in column.histograms.iter_mut().flatten() {
                        *histogram = Arc::new(binary::scaled(histogram, -1.0));
                    }
                };
                Ok(Streamed::passing(Mapped { input, drop_name: true, change }))
            }
            ExprKind::Binary(operation) => binary::stream(self, operation, expr.span, steps),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, steps).map(Streamed::Kept),
            ExprKind::Call { function, arguments } => functions::stream(self, *function, arguments, expr.span, steps),
            _ => Err(unexpected("instant vector")),
        }
    }
}

/// An instant vector: kept, or made on demand.
pub(super) enum Streamed<'a> {
    Kept(Vector),
    Passing(Box<dyn Stream + 'a>),
}

impl<'a> Streamed<'a> {
    pub fn passing(stream: impl Stream + 'a) -> Self {
        Self::Passing(Box::new(stream))
    }

    pub fn boxed(self) -> Box<dyn Stream + 'a> {
        match self {
            Self::Kept(vector) => Box::new(vector),
            Self::Passing(stream) => stream,
        }
    }
}

fn unexpected(wanted: &str) -> Error {
    Error::internal(format!("an expression that is no {wanted} stands where one is needed"))
}

/// An expression without the parentheses around it.
pub(super) fn unwrapped(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}

/// The place of an argument, which in annotations is that of what stands in its parentheses.
pub(super) fn place(arguments: &[Expr], at: usize) -> Span {
    arguments.get(at).map(|argument| unwrapped(argument).span).unwrap_or_default()
}

/// An argument that the parser has seen to be there.
pub(super) fn argument(arguments: &[Expr], at: usize) -> Result<&Expr> {
    arguments.get(at).ok_or_else(|| Error::invalid(format!("argument {} is missing", at + 1)))
}

/// An argument that is a text.
pub(super) fn text(arguments: &[Expr], at: usize) -> Result<&str> {
    match &unwrapped(argument(arguments, at)?).kind {
        ExprKind::String(text) => Ok(text),
        _ => Err(Error::invalid(format!("argument {} must be a string literal", at + 1))),
    }
}

/// Whether the value is the same at each step, so that one step is enough.
pub(super) fn is_step_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => true,
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => selector.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.at.is_some(),
        ExprKind::Unary { operand, .. } => is_step_invariant(operand),
        ExprKind::Paren(inner) => is_step_invariant(inner),
        ExprKind::Binary(operation) => is_step_invariant(&operation.left) && is_step_invariant(&operation.right),
        ExprKind::Aggregate(aggregate) => {
            is_step_invariant(&aggregate.expr) && aggregate.parameter.as_ref().is_none_or(is_step_invariant)
        }
        ExprKind::Call { function, arguments } => {
            !depends_on_time(*function) && arguments.iter().all(is_step_invariant)
        }
    }
}

/// Functions whose value depends on the moment of the evaluation and not on their arguments alone.
fn depends_on_time(function: Function) -> bool {
    matches!(
        function,
        Function::DayOfMonth
            | Function::DayOfWeek
            | Function::DayOfYear
            | Function::DaysInMonth
            | Function::Hour
            | Function::Minute
            | Function::Month
            | Function::Year
            | Function::PredictLinear
            | Function::Time
            | Function::Timestamp
            | Function::StartTimestamp
    )
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}
