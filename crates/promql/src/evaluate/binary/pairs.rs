//! Which series of two vectors belong together where each has one partner at most? Known by labels alone, so that they need not be
//! kept: a pair is read when its result is asked for.

use causeway_model::{Labels, Result};

use super::super::Number;
use super::super::column::{ABSENT, Column, is_absent};
use super::super::groups::{Grouping, Groups};
use super::super::stream::{Stream, Worker};
use super::elements::{self, Outcome, element};
use super::matching::result_labels;
use crate::ast::{Binary, BinaryOperator, Cardinality, Matching, Span};

/// Pairs of series, one of each side.
pub(super) struct Pairs<'a> {
    operation: &'a Binary,
    matching: Matching,
    span: Span,
    left: Box<dyn Stream + 'a>,
    right: Box<dyn Stream + 'a>,
    pairs: Vec<(usize, usize)>,
}

/// Both sides of an operation.
type Sides<'a> = (Box<dyn Stream + 'a>, Box<dyn Stream + 'a>);

impl<'a> Pairs<'a> {
    /// The pairs; both sides back where some series has several partners, or none and a fill instead.
    pub fn new(
        operation: &'a Binary,
        span: Span,
        left: Box<dyn Stream + 'a>,
        right: Box<dyn Stream + 'a>,
    ) -> Result<Result<Self, Sides<'a>>> {
        let matching = operation.matching.clone().unwrap_or_default();
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if matching.cardinality != Cardinality::OneToOne || fills {
            return Ok(Err((left, right)));
        }
        let grouping = Grouping::of(&matching);
        let mut groups = Groups::<(Vec<usize>, Vec<usize>)>::default();
        for series in 0..left.len() {
            groups.of(&grouping, &left.labels(series), Default::default)?.fold.0.push(series);
        }
        for series in 0..right.len() {
            groups.of(&grouping, &right.labels(series), Default::default)?.fold.1.push(series);
        }
        let mut pairs = Vec::new();
        for group in groups.groups {
            match (group.fold.0.as_slice(), group.fold.1.as_slice()) {
                ([left], [right]) => pairs.push((*left, *right)),
                ([_], []) | ([], [_]) => {}
                _ => return Ok(Err((left, right))),
            }
        }
        Ok(Ok(Self { operation, matching, span, left, right, pairs }))
    }
}

impl Stream for Pairs<'_> {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn labels(&self, series: usize) -> Labels {
        let Some((left, right)) = self.pairs.get(series) else { return Labels::empty() };
        result_labels(self.operation, &self.matching, &self.left.labels(*left), &self.right.labels(*right))
    }

    fn drop_name(&self, series: usize) -> bool {
        let left = self.pairs.get(series).is_some_and(|(left, _)| self.left.drop_name(*left));
        left || self.operation.returns_bool
    }

    fn read(&self, series: usize, worker: &mut Worker, column: &mut Column) -> Result<()> {
        let Some((left, right)) = self.pairs.get(series) else { return Ok(()) };
        let mut other = worker.spare.pop().unwrap_or_default();
        other.reset(column.floats.len());
        self.left.read(*left, worker, column)?;
        self.right.read(*right, worker, &mut other)?;
        if column.histograms.is_empty() && other.histograms.is_empty() && !is_trim(self.operation.operator) {
            self.floats(&mut column.floats, &other.floats);
        } else {
            self.numbers(column, &other, worker);
        }
        worker.spare.push(other);
        Ok(())
    }
}

fn is_trim(operator: BinaryOperator) -> bool {
    matches!(operator, BinaryOperator::TrimUpper | BinaryOperator::TrimLower)
}

impl Pairs<'_> {
    fn floats(&self, left: &mut [f64], right: &[f64]) {
        let (operator, returns_bool) = (self.operation.operator, self.operation.returns_bool);
        for (left, right) in left.iter_mut().zip(right) {
            *left = if is_absent(*left) || is_absent(*right) {
                ABSENT
            } else {
                match elements::compare(operator, *left, *right) {
                    Some(holds) if returns_bool => f64::from(u8::from(holds)),
                    Some(true) => *left,
                    Some(false) => ABSENT,
                    None => elements::arithmetic(operator, *left, *right).unwrap_or(f64::NAN),
                }
            };
        }
    }

    fn numbers(&self, left: &mut Column, right: &Column, worker: &mut Worker) {
        for step in 0..right.floats.len() {
            let (Some(number), Some(partner)) = (left.get(step), right.get(step)) else {
                left.set(step, None);
                continue;
            };
            let (result, said) = match element(self.operation.operator, &number, &partner) {
                Ok(Outcome { keep, notes, .. }) if self.operation.returns_bool => {
                    (Some(Number::Float(f64::from(u8::from(keep)))), notes)
                }
                Ok(Outcome { keep, value, notes }) => (Some(value).filter(|_| keep), notes),
                Err(said) => (None, vec![said]),
            };
            said.iter().for_each(|(note, detail)| worker.notes.add(*note, self.span, detail));
            left.set(step, result);
        }
    }
}
