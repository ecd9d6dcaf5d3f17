//! Which single number says something of a native histogram?

use causeway_model::Histogram;

use super::super::column::{ABSENT, Column};
use super::super::expression::Streamed;
use super::super::stream::{Mapped, Stream, Worker};
use crate::ast::Function;
use crate::{native_average, native_variance};

/// Functions of one histogram.
pub(super) fn of_one(function: Function) -> Option<fn(&Histogram) -> f64> {
    Some(match function {
        Function::HistogramAvg => native_average,
        Function::HistogramCount => |histogram| histogram.count,
        Function::HistogramStddev => |histogram| native_variance(histogram).sqrt(),
        Function::HistogramStdvar => native_variance,
        Function::HistogramSum => |histogram| histogram.sum,
        _ => return None,
    })
}

/// A stream whose histograms become numbers, and which loses its floats.
pub(super) fn stream<'a>(input: Box<dyn Stream + 'a>, value: fn(&Histogram) -> f64) -> Streamed<'a> {
    let change = move |_: usize, column: &mut Column, _: &mut Worker| {
        let histograms = std::mem::take(&mut column.histograms);
        column.floats.fill(ABSENT);
        for (float, histogram) in column.floats.iter_mut().zip(&histograms) {
            if let Some(histogram) = histogram {
                *float = value(histogram);
            }
        }
    };
    Streamed::passing(Mapped { input, drop_name: true, change })
}
