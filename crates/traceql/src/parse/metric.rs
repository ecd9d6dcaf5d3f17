//! What does `rate() by (name)` say, and what can stand behind it?

use super::spans::{Operand, comparison};
use super::{field, scalar};
use crate::ast::{Compare, Field, FieldOperator, MetricsExpr, MetricsFunction, Pipeline, SpanMetrics, Static};
use crate::cursor::{Cursor, Result};

/// Fields that make a series, at most; Tempo has the same limit.
const BY_MAX: usize = 5;
/// Quantiles of one function at most.
const QUANTILES_MAX: usize = 20;
/// Series that topk and bottomk choose at most.
const CHOSEN_MAX: i64 = 10_000;
/// Values of an attribute that compare tells where nothing else is asked for.
const VALUES_DEFAULT: u32 = 10;

const FUNCTIONS: [&str; 9] = [
    "rate",
    "count_over_time",
    "min_over_time",
    "max_over_time",
    "avg_over_time",
    "sum_over_time",
    "quantile_over_time",
    "histogram_over_time",
    "compare",
];

/// A function of metrics, where one comes next.
pub(super) fn function(cursor: &mut Cursor<'_>) -> Result<Option<MetricsFunction>> {
    let word = cursor.peek_word();
    if !FUNCTIONS.contains(&word) {
        return Ok(None);
    }
    cursor.count_node()?;
    cursor.advance(word.len());
    cursor.expect("(")?;
    let function = match word {
        "rate" => MetricsFunction::Rate,
        "count_over_time" => MetricsFunction::Count,
        "compare" => MetricsFunction::Compare(compare(cursor)?),
        _ => {
            let value = one_field(cursor)?;
            match word {
                "min_over_time" => MetricsFunction::Min(value),
                "max_over_time" => MetricsFunction::Max(value),
                "avg_over_time" => MetricsFunction::Avg(value),
                "sum_over_time" => MetricsFunction::Sum(value),
                "histogram_over_time" => MetricsFunction::Histogram(value),
                _ => MetricsFunction::Quantile(value, quantiles(cursor)?),
            }
        }
    };
    cursor.expect(")")?;
    Ok(Some(function))
}

fn one_field(cursor: &mut Cursor<'_>) -> Result<Field> {
    field::field(cursor)?.ok_or_else(|| cursor.unexpected("expecting a field such as `duration` or `span.size`"))
}

fn quantiles(cursor: &mut Cursor<'_>) -> Result<Vec<f64>> {
    let mut found = Vec::new();
    while cursor.take(",") {
        let at = cursor.at;
        let number = cursor.number()?.and_then(|number| number.number());
        let number = number.ok_or_else(|| cursor.unexpected("expecting a quantile such as 0.99"))?;
        if !(0.0..=1.0).contains(&number) {
            return Err(cursor.meaningless(at, "quantiles lie between 0 and 1"));
        }
        if found.len() >= QUANTILES_MAX {
            return Err(cursor.refused(&format!("more than {QUANTILES_MAX} quantiles")));
        }
        found.push(number);
    }
    if found.is_empty() { Err(cursor.unexpected("expecting `,` and a quantile such as 0.99")) } else { Ok(found) }
}

fn compare(cursor: &mut Cursor<'_>) -> Result<Compare> {
    let selection = field::condition(cursor)?;
    let mut numbers = Vec::new();
    while numbers.len() < 3 && cursor.take(",") {
        let at = cursor.at;
        match cursor.number()? {
            Some(Static::Int(number)) => numbers.push((at, number)),
            _ => return Err(cursor.unexpected("expecting a whole number")),
        }
    }
    let values_max = match numbers.first() {
        None => VALUES_DEFAULT,
        Some((at, number)) => u32::try_from(*number)
            .ok()
            .filter(|number| (1..=1_000).contains(number))
            .ok_or_else(|| cursor.meaningless(*at, "compare tells from 1 to 1000 values of each attribute"))?,
    };
    let time_ns = match numbers.as_slice() {
        [_, (_, start), (_, end)] => Some((*start, *end)),
        [_, (at, _)] => return Err(cursor.meaningless(*at, "compare needs begin and end of the selection, or neither")),
        _ => None,
    };
    Ok(Compare { selection, values_max, time_ns })
}

/// `(a, b)`.
pub(super) fn fields(cursor: &mut Cursor<'_>, max: usize) -> Result<Vec<Field>> {
    cursor.expect("(")?;
    let mut found = vec![one_field(cursor)?];
    while cursor.take(",") {
        if found.len() >= max {
            return Err(cursor.refused(&format!("more than {max} fields")));
        }
        found.push(one_field(cursor)?);
    }
    cursor.expect(")")?;
    Ok(found)
}

/// Metrics of the spans of a pipeline, and `by (…)` behind the function.
pub(super) fn of_spans(cursor: &mut Cursor<'_>, pipeline: Pipeline, function: MetricsFunction) -> Result<MetricsExpr> {
    let mut by = Vec::new();
    if cursor.peek_word() == "by" {
        let at = cursor.at;
        cursor.advance("by".len());
        by = fields(cursor, BY_MAX)?;
        if matches!(function, MetricsFunction::Compare(_)) {
            return Err(cursor.meaningless(at, "compare takes all attributes, it can't be grouped by some"));
        }
    }
    Ok(MetricsExpr::Spans(Box::new(SpanMetrics { pipeline, function, by })))
}

/// `> 5`, `| topk(3)` and so on.
pub(super) fn second_stages(cursor: &mut Cursor<'_>, mut expr: MetricsExpr) -> Result<MetricsExpr> {
    loop {
        let at = cursor.at;
        if let Some(operator) = comparison(cursor) {
            cursor.count_metrics_node()?;
            let value = scalar::constant(cursor)?;
            expr = compared(cursor, at, expr, operator, &value)?;
        } else if cursor.next_is("|") && !cursor.next_is("||") {
            cursor.count_metrics_node()?;
            cursor.advance(1);
            expr = chosen(cursor, expr)?;
        } else {
            return Ok(expr);
        }
    }
}

fn chosen(cursor: &mut Cursor<'_>, expr: MetricsExpr) -> Result<MetricsExpr> {
    let (at, word) = (cursor.at, cursor.peek_word());
    let largest = match word {
        "topk" => true,
        "bottomk" => false,
        _ => return Err(cursor.unexpected("expecting `topk(…)` or `bottomk(…)`")),
    };
    cursor.advance(word.len());
    cursor.expect("(")?;
    let number = match cursor.number()? {
        Some(Static::Int(number)) => number,
        _ => return Err(cursor.unexpected("expecting how many series")),
    };
    cursor.expect(")")?;
    let count = u32::try_from(number).ok().filter(|_| (1..=CHOSEN_MAX).contains(&number));
    let count =
        count.ok_or_else(|| cursor.meaningless(at, &format!("{word} chooses from 1 to {CHOSEN_MAX} series")))?;
    refuse_compare(cursor, at, &expr)?;
    Ok(MetricsExpr::Chosen { expr: Box::new(expr), largest, count })
}

/// Metrics compared with a number.
pub(super) fn compared(
    cursor: &Cursor<'_>,
    at: usize,
    expr: MetricsExpr,
    comparison: FieldOperator,
    value: &Static,
) -> Result<MetricsExpr> {
    refuse_compare(cursor, at, &expr)?;
    let value = match value {
        // Metrics of durations are in seconds.
        Static::Duration(nanoseconds) => *nanoseconds as f64 / 1e9,
        other => other.number().unwrap_or(f64::NAN),
    };
    Ok(MetricsExpr::Compared { expr: Box::new(expr), comparison, value })
}

/// One side of arithmetic between metrics.
pub(super) fn operand(cursor: &Cursor<'_>, at: usize, text: &str, operand: Operand) -> Result<MetricsExpr> {
    match operand {
        Operand::Metrics(expr) => {
            refuse_compare(cursor, at, &expr)?;
            Ok(expr)
        }
        Operand::Number(Static::Duration(_)) => {
            Err(cursor.refused("metrics can't be calculated with durations: write seconds as a number"))
        }
        Operand::Number(value) => Ok(MetricsExpr::Constant(value.number().unwrap_or(f64::NAN))),
        Operand::Spans(_) | Operand::Scalar => Err(cursor.refused(&format!(
            "`{text}` needs metrics or numbers on both sides: write `({{ … }} | rate()) {text} ({{ … }} | rate())`"
        ))),
    }
}

fn refuse_compare(cursor: &Cursor<'_>, at: usize, expr: &MetricsExpr) -> Result<()> {
    match expr {
        MetricsExpr::Spans(spans) if matches!(spans.function, MetricsFunction::Compare(_)) => {
            Err(cursor.meaningless(at, "nothing can be made of what compare gives"))
        }
        _ => Ok(()),
    }
}
