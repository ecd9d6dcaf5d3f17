//! How do labels come to have other values? `label_replace` and `label_join`.

use causeway_model::{Error, Labels, METRIC_NAME, Result, of_re2};

use super::super::column::{Merger, Vector};
use super::super::expression::{Evaluator, argument, text};
use super::super::steps::Steps;
use crate::ast::Expr;
use crate::source::REGEX_BYTES_MAX;

/// `label_replace(vector, destination, replacement, source, regex)`.
pub(super) fn replace(evaluator: &Evaluator, arguments: &[Expr], steps: &Steps) -> Result<Vector> {
    let destination = text(arguments, 1)?;
    let (replacement, source, pattern) = (text(arguments, 2)?, text(arguments, 3)?, text(arguments, 4)?);
    let regex = regex::RegexBuilder::new(&format!("^(?s:{})$", of_re2(pattern)))
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX / 2)
        .build()
        .map_err(|_| Error::invalid(format!("invalid regular expression in label_replace(): {pattern}")))?;
    if destination.is_empty() {
        return Err(Error::invalid(format!("invalid destination label name in label_replace(): {destination}")));
    }
    relabeled(evaluator, argument(arguments, 0)?, steps, destination, |labels| {
        let captures = regex.captures(labels.get(source).unwrap_or_default())?;
        let mut value = String::new();
        captures.expand(replacement, &mut value);
        Some(value)
    })
}

/// `label_join(vector, destination, separator, sources…)`.
pub(super) fn join(evaluator: &Evaluator, arguments: &[Expr], steps: &Steps) -> Result<Vector> {
    let (destination, separator) = (text(arguments, 1)?, text(arguments, 2)?);
    let sources: Vec<&str> = (3..arguments.len()).map(|at| text(arguments, at)).collect::<Result<_>>()?;
    for source in &sources {
        if source.is_empty() {
            return Err(Error::invalid(format!("invalid source label name in label_join(): {source}")));
        }
    }
    if destination.is_empty() {
        return Err(Error::invalid(format!("invalid destination label name in label_join(): {destination}")));
    }
    relabeled(evaluator, argument(arguments, 0)?, steps, destination, |labels| {
        let values: Vec<&str> = sources.iter().map(|source| labels.get(source).unwrap_or_default()).collect();
        Some(values.join(separator))
    })
}

/// The same vector with a label set. A name that is set is no longer one that goes.
fn relabeled(
    evaluator: &Evaluator,
    expr: &Expr,
    steps: &Steps,
    destination: &str,
    value: impl Fn(&Labels) -> Option<String>,
) -> Result<Vector> {
    let vector = evaluator.vector(expr, steps)?;
    let mut merger = Merger::default();
    for mut series in vector.series {
        if let Some(value) = value(&series.labels) {
            series.labels = series.labels.with(destination, &value);
            series.drop_name &= destination != METRIC_NAME;
        }
        merger.add(series)?;
    }
    Ok(Vector { series: merger.series, charges: vector.charges })
}
