//! Which series of two vectors belong together where none has several partners on the one side? Known by labels alone, so that they
//! need not be kept: a pair is read when its result is asked for.

use causeway_model::{Labels, Result};
use hashbrown::HashSet;

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
    span: Span,
    left: Box<dyn Stream + 'a>,
    right: Box<dyn Stream + 'a>,
    pairs: Vec<Pair>,
}

struct Pair {
    left: usize,
    right: usize,
    labels: Labels,
}

/// Both sides of an operation.
type Sides<'a> = (Box<dyn Stream + 'a>, Box<dyn Stream + 'a>);

impl<'a> Pairs<'a> {
    /// The pairs; both sides back where only their values can tell what belongs together: where several series of the one side may
    /// match, where two results have the same labels, or where something is filled in.
    pub fn new(
        operation: &'a Binary,
        span: Span,
        left: Box<dyn Stream + 'a>,
        right: Box<dyn Stream + 'a>,
    ) -> Result<Result<Self, Sides<'a>>> {
        let matching = operation.matching.clone().unwrap_or_default();
        match pairs(operation, &matching, &*left, &*right)? {
            Some(pairs) => Ok(Ok(Self { operation, span, left, right, pairs })),
            None => Ok(Err((left, right))),
        }
    }
}

fn pairs(operation: &Binary, matching: &Matching, left: &dyn Stream, right: &dyn Stream) -> Result<Option<Vec<Pair>>> {
    if matching.fill_left.is_some() || matching.fill_right.is_some() {
        return Ok(None);
    }
    let grouping = Grouping::of(matching);
    let mut groups = Groups::<(Vec<usize>, Vec<usize>)>::default();
    for series in 0..left.len() {
        groups.of(&grouping, &left.labels(series), Default::default)?.fold.0.push(series);
    }
    for series in 0..right.len() {
        groups.of(&grouping, &right.labels(series), Default::default)?.fold.1.push(series);
    }
    let (mut pairs, mut results) = (Vec::new(), HashSet::new());
    for group in groups.groups {
        let (lefts, rights) = group.fold;
        let unique = match matching.cardinality {
            Cardinality::OneToMany => lefts.len() <= 1,
            Cardinality::ManyToOne => rights.len() <= 1,
            _ => lefts.len() <= 1 && rights.len() <= 1,
        };
        if !unique {
            return Ok(None);
        }
        for left_at in &lefts {
            for right_at in &rights {
                let (left_labels, right_labels) = (left.labels(*left_at), right.labels(*right_at));
                let swapped = matching.cardinality == Cardinality::OneToMany;
                let sides = if swapped { (&right_labels, &left_labels) } else { (&left_labels, &right_labels) };
                let labels = result_labels(operation, matching, sides.0, sides.1);
                if !results.insert(labels.clone()) {
                    return Ok(None);
                }
                pairs.push(Pair { left: *left_at, right: *right_at, labels });
            }
        }
    }
    Ok(Some(pairs))
}

impl Stream for Pairs<'_> {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.pairs.get(series).map_or_else(Labels::empty, |pair| pair.labels.clone())
    }

    fn drop_name(&self, series: usize) -> bool {
        let matching = self.operation.matching.as_ref();
        let many_right = matching.is_some_and(|matching| matching.cardinality == Cardinality::OneToMany);
        let many = self.pairs.get(series).is_some_and(|pair| match many_right {
            true => self.right.drop_name(pair.right),
            false => self.left.drop_name(pair.left),
        });
        many || self.operation.returns_bool
    }

    fn read(&self, series: usize, worker: &mut Worker, column: &mut Column) -> Result<()> {
        let Some(pair) = self.pairs.get(series) else { return Ok(()) };
        let mut other = worker.spare.pop().unwrap_or_default();
        other.reset(column.floats.len());
        self.left.read(pair.left, worker, column)?;
        self.right.read(pair.right, worker, &mut other)?;
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
