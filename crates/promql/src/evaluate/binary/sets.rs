//! What do `and`, `or` and `unless` make of two vectors?

use causeway_model::Result;

use super::super::column::{Merger, Series, Vector};
use super::super::groups::{Grouping, Groups};
use crate::ast::{Binary, BinaryOperator};

/// Whether any series of each signature has a value at each step.
struct Presence {
    bits: Vec<bool>,
    count: usize,
}

impl Presence {
    fn new(vector: &Vector, signatures: &[usize], kinds: usize, count: usize) -> Self {
        let mut bits = vec![false; kinds.saturating_mul(count)];
        for (series, signature) in vector.series.iter().zip(signatures) {
            for (step, bit) in bits.iter_mut().skip(signature * count).take(count).enumerate() {
                *bit |= series.column.has(step);
            }
        }
        Self { bits, count }
    }

    fn has(&self, signature: usize, step: usize) -> bool {
        self.bits.get(signature * self.count + step).copied().unwrap_or(false)
    }
}

/// `and`, `or`, `unless` at all steps.
pub(super) fn combine(operation: &Binary, mut left: Vector, mut right: Vector, count: usize) -> Result<Vector> {
    let matching = operation.matching.clone().unwrap_or_default();
    let grouping = Grouping::of(&matching);
    let mut groups = Groups::<()>::default();
    let mut number = |series: &Series| groups.number_of(&grouping, &series.labels, || ());
    let of_left: Vec<usize> = left.series.iter().map(&mut number).collect();
    let of_right: Vec<usize> = right.series.iter().map(&mut number).collect();
    let kinds = groups.groups.len();
    let mut charges = std::mem::take(&mut left.charges);
    charges.append(&mut right.charges);
    let series = match operation.operator {
        BinaryOperator::Or => {
            let present = Presence::new(&left, &of_left, kinds, count);
            let mut merger = Merger::default();
            for series in left.series {
                merger.add(series)?;
            }
            for (mut series, signature) in right.series.into_iter().zip(of_right) {
                series.column.retain(|step| !present.has(signature, step));
                if !series.column.is_empty() {
                    merger.add(series)?;
                }
            }
            merger.series
        }
        operator => {
            let present = Presence::new(&right, &of_right, kinds, count);
            let wanted = operator == BinaryOperator::And;
            for (series, signature) in left.series.iter_mut().zip(of_left) {
                series.column.retain(|step| present.has(signature, step) == wanted);
            }
            left.series.retain(|series| !series.column.is_empty());
            left.series
        }
    };
    Ok(Vector { series, charges })
}
