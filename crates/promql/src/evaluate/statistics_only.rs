//! Which selectors need no buckets of their native histograms? Those of which only the count and the sum are asked. Their resets are
//! found before the buckets go, and stand as hints (Prometheus, promql/histogram_stats_iterator.go).

use std::sync::Arc;

use causeway_model::{Histogram, Labels, ResetHint, Result, Rollup};
use hashbrown::HashSet;

use crate::ast::{BinaryOperator, Expr, ExprKind, Function, Span};
use crate::source::{Samples, SeriesSet};

/// The places of all such selectors in an expression.
pub(super) fn selectors(expr: &Expr) -> HashSet<Span> {
    let mut found = HashSet::new();
    find(expr, Need::Buckets, &mut found);
    found
}

/// What is needed of the histograms of an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Its buckets, so far.
    Buckets,
    /// Only counts and sums.
    Statistics,
    /// Its buckets, whatever stands within.
    BucketsAlways,
}

fn find(expr: &Expr, need: Need, found: &mut HashSet<Span>) {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => {}
        ExprKind::Selector(_) | ExprKind::Range { .. } => {
            if need == Need::Statistics {
                found.insert(expr.span);
            }
        }
        // Between the steps of a subquery resets are found by comparing buckets.
        ExprKind::Subquery(subquery) => find(&subquery.expr, Need::BucketsAlways, found),
        ExprKind::Unary { operand: inner, .. } | ExprKind::Paren(inner) => find(inner, need, found),
        ExprKind::Binary(operation) => {
            let need = if looks_at_buckets(operation.operator) { Need::BucketsAlways } else { need };
            find(&operation.left, need, found);
            find(&operation.right, need, found);
        }
        ExprKind::Aggregate(aggregate) => {
            find(&aggregate.expr, need, found);
            aggregate.parameter.iter().for_each(|parameter| find(parameter, need, found));
        }
        ExprKind::Call { function, arguments } => {
            let need = match function {
                Function::HistogramCount | Function::HistogramSum | Function::HistogramAvg
                    if need != Need::BucketsAlways =>
                {
                    Need::Statistics
                }
                Function::HistogramQuantile
                | Function::HistogramQuantiles
                | Function::HistogramFraction
                | Function::HistogramStddev
                | Function::HistogramStdvar => Need::BucketsAlways,
                _ => need,
            };
            arguments.iter().for_each(|argument| find(argument, need, found));
        }
    }
}

fn looks_at_buckets(operator: BinaryOperator) -> bool {
    use BinaryOperator::{Equal, NotEqual, TrimLower, TrimUpper};
    matches!(operator, Equal | NotEqual | TrimLower | TrimUpper)
}

/// Series without the buckets of their histograms.
pub(super) struct StatisticsOnly(pub Arc<dyn SeriesSet>);

impl SeriesSet for StatisticsOnly {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.0.labels(series)
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        self.0.read(series, samples)?;
        let mut before: Option<Arc<Histogram>> = None;
        for histogram in &mut samples.histograms {
            if histogram.is_stale() {
                continue;
            }
            let hint = match (histogram.reset_hint, &before) {
                (ResetHint::Unknown, Some(before)) if histogram.detect_reset(before) => ResetHint::Reset,
                (ResetHint::Unknown, Some(_)) => ResetHint::NotReset,
                (hint, _) => hint,
            };
            let reduced = Histogram {
                schema: histogram.schema,
                count: histogram.count,
                sum: histogram.sum,
                custom_values: histogram.custom_values.clone(),
                reset_hint: hint,
                ..Histogram::default()
            };
            before = Some(std::mem::replace(histogram, Arc::new(reduced)));
        }
        Ok(())
    }

    fn read_rollups(&self, series: usize, rollups: &mut Vec<Rollup>) -> Result<bool> {
        self.0.read_rollups(series, rollups)
    }
}
