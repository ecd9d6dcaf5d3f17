//! Which labels do info metrics such as `target_info` add to a series? Those of the info series with the same `instance` and `job`
//! (Prometheus, promql/info.go).

use std::collections::BTreeMap;

use causeway_model::{Error, Labels, METRIC_NAME, Result};
use hashbrown::{HashMap, HashSet};

use super::super::binary::written;
use super::super::column::{Merger, Series, Vector, is_absent};
use super::super::expression::{Evaluator, argument, unwrapped};
use super::super::steps::{Reference, Steps};
use crate::ast::{Expr, ExprKind, Selector};
use crate::source::{MatchOperator, Matcher};

/// The labels that tell targets apart, and so say which info series belongs to which others.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

const TARGET_INFO: &str = "target_info";

/// Info series by the labels of their target, then by their metric.
type Index = HashMap<Labels, BTreeMap<String, Vec<usize>>>;

fn identifying(labels: &Labels) -> Labels {
    labels.filter(|name| IDENTIFYING.contains(&name))
}

/// `info(vector, {matchers})`.
pub(super) fn info(evaluator: &Evaluator, arguments: &[Expr], steps: &Steps) -> Result<Vector> {
    let base = argument(arguments, 0)?;
    let mut vector = evaluator.vector(base, steps)?;
    let matchers = match arguments.get(1).map(|argument| &unwrapped(argument).kind) {
        Some(ExprKind::Selector(selector)) => selector.matchers.clone(),
        None => Vec::new(),
        _ => return Err(Error::invalid("the second argument of info must be a selector")),
    };
    let (names, data): (Vec<Matcher>, Vec<Matcher>) =
        matchers.into_iter().partition(|matcher| matcher.name() == METRIC_NAME);
    let names = with_positive(names)?;
    // Info series themselves stay as they are.
    let is_info = |series: &Series| {
        let name = series.labels.metric_name().unwrap_or_default();
        names.iter().all(|matcher| matcher.matches(name))
    };
    let others = vector.series.iter().filter(|series| !is_info(series));
    let targets: HashSet<Labels> = others.map(|series| identifying(&series.labels)).collect();
    let wanted = names.iter().chain(&data).cloned().collect();
    let reference = reference(evaluator, base, Reference { at_ms: None, offset_ms: 0 })?;
    let infos = read_infos(evaluator, wanted, reference, steps, &targets)?;
    let mut index = Index::new();
    for (at, series) in infos.series.iter().enumerate() {
        let name = series.labels.metric_name().unwrap_or_default().to_owned();
        index.entry(identifying(&series.labels)).or_default().entry(name).or_default().push(at);
    }
    let enriching = Enriching { infos: &infos.series, data: &data, count: steps.count };
    let mut merger = Merger::default();
    for series in std::mem::take(&mut vector.series) {
        if is_info(&series) {
            merger.add(series)?;
        } else {
            enriching.enrich(&series, index.get(&identifying(&series.labels)), &mut merger)?;
        }
    }
    Ok(Vector { series: merger.series, charges: vector.charges })
}

/// The conditions on the names of info metrics: without any only `target_info` is one, and where they only say what is none, all
/// others whose name ends in `_info` are.
fn with_positive(mut names: Vec<Matcher>) -> Result<Vec<Matcher>> {
    let positive = |matcher: &Matcher| matches!(matcher.operator(), MatchOperator::Equal | MatchOperator::Matches);
    if names.is_empty() {
        names.push(Matcher::new(METRIC_NAME, MatchOperator::Equal, TARGET_INFO)?);
    } else if !names.iter().any(positive) {
        names.push(Matcher::new(METRIC_NAME, MatchOperator::Matches, ".+_info")?);
    }
    Ok(names)
}

/// The moment that an expression's samples are of, as its first selector says.
fn reference(evaluator: &Evaluator, expr: &Expr, outer: Reference) -> Result<Reference> {
    let within = |at, offset| {
        let own = evaluator.reference(at, offset)?;
        let outer_ms = if own.at_ms.is_some() { 0 } else { outer.offset_ms };
        Ok(Reference { at_ms: own.at_ms.or(outer.at_ms), offset_ms: own.offset_ms.saturating_add(outer_ms) })
    };
    match &expr.kind {
        ExprKind::Selector(selector) | ExprKind::Range { selector, .. } => {
            within(selector.at, selector.offset.as_ref())
        }
        ExprKind::Subquery(subquery) => {
            reference(evaluator, &subquery.expr, within(subquery.at, subquery.offset.as_ref())?)
        }
        ExprKind::Unary { operand: inner, .. } | ExprKind::Paren(inner) => reference(evaluator, inner, outer),
        ExprKind::Aggregate(aggregate) => reference(evaluator, &aggregate.expr, outer),
        ExprKind::Binary(operation) if has_selector(&operation.left) => reference(evaluator, &operation.left, outer),
        ExprKind::Binary(operation) => reference(evaluator, &operation.right, outer),
        ExprKind::Call { arguments, .. } => match arguments.iter().find(|argument| has_selector(argument)) {
            Some(argument) => reference(evaluator, argument, outer),
            None => Ok(outer),
        },
        ExprKind::Number { .. } | ExprKind::String(_) => Ok(outer),
    }
}

fn has_selector(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Selector(_) | ExprKind::Range { .. } | ExprKind::Subquery(_) => true,
        ExprKind::Unary { operand: inner, .. } | ExprKind::Paren(inner) => has_selector(inner),
        ExprKind::Aggregate(aggregate) => has_selector(&aggregate.expr),
        ExprKind::Binary(operation) => has_selector(&operation.left) || has_selector(&operation.right),
        ExprKind::Call { arguments, .. } => arguments.iter().any(has_selector),
        ExprKind::Number { .. } | ExprKind::String(_) => false,
    }
}

/// The info series of the targets; their values are the times of the samples.
fn read_infos(
    evaluator: &Evaluator,
    matchers: Vec<Matcher>,
    reference: Reference,
    steps: &Steps,
    targets: &HashSet<Labels>,
) -> Result<Vector> {
    if targets.iter().all(Labels::is_empty) {
        return Ok(Vector::default());
    }
    let selector = Selector { name: None, matchers, offset: None, at: None, extension: None };
    let stream = evaluator.info_times(&selector, reference, steps)?;
    let mut vector = evaluator.collect(&stream, steps.count)?;
    vector.series.retain(|series| targets.contains(&identifying(&series.labels)));
    for series in &vector.series {
        if series.column.histograms.iter().any(Option::is_some) {
            let labels = written(&series.labels);
            return Err(Error::invalid(format!("this should be an info metric, with float samples: {labels}")));
        }
    }
    Ok(vector)
}

struct Enriching<'a> {
    infos: &'a [Series],
    data: &'a [Matcher],
    count: usize,
}

impl Enriching<'_> {
    fn enrich(&self, series: &Series, infos: Option<&BTreeMap<String, Vec<usize>>>, merger: &mut Merger) -> Result<()> {
        // What the labels are with each choice of info series.
        let mut known: HashMap<Vec<usize>, Option<Labels>> = HashMap::new();
        for step in 0..self.count {
            let Some(number) = series.column.get(step) else { continue };
            let mut chosen = Vec::new();
            for candidates in infos.into_iter().flat_map(BTreeMap::values) {
                chosen.extend(self.newest(candidates, step)?);
            }
            if !known.contains_key(&chosen) {
                let labels = self.labels(&series.labels, &chosen)?;
                known.insert(chosen.clone(), labels);
            }
            if let Some(Some(labels)) = known.get(&chosen) {
                merger.series(labels, series.drop_name, self.count).column.put(step, number)?;
            }
        }
        Ok(())
    }

    /// Of several info series of one target the one with the newest sample.
    fn newest(&self, candidates: &[usize], step: usize) -> Result<Option<usize>> {
        let mut best: Option<(usize, f64)> = None;
        for at in candidates {
            let time = self.infos.get(*at).and_then(|series| series.column.floats.get(step)).copied();
            let Some(time) = time.filter(|time| !is_absent(*time)) else { continue };
            match best {
                Some((other, other_time)) if other_time == time => {
                    let labels =
                        |at: usize| self.infos.get(at).map(|series| written(&series.labels)).unwrap_or_default();
                    let time_ms = (time * 1000.0) as i64;
                    return Err(Error::invalid(format!(
                        "found duplicate series for info metric: existing {} @ {time_ms}, new {} @ {time_ms}",
                        labels(other),
                        labels(*at)
                    )));
                }
                Some((_, other_time)) if other_time > time => {}
                _ => best = Some((*at, time)),
            }
        }
        Ok(best.map(|(at, _)| at))
    }

    /// The labels with those of info series; none where the series goes, as a label that was asked for is missing.
    fn labels(&self, base: &Labels, chosen: &[usize]) -> Result<Option<Labels>> {
        if chosen.is_empty() {
            let needless = self.data.iter().all(|matcher| matcher.matches(""));
            return Ok(needless.then(|| base.clone()));
        }
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        for info in chosen.iter().filter_map(|at| self.infos.get(*at)) {
            for (name, value) in info.labels.iter() {
                let asked = self.data.is_empty() || self.data.iter().any(|matcher| matcher.name() == name);
                if name == METRIC_NAME || !asked {
                    continue;
                }
                if added.get(name).is_some_and(|other| *other != value) {
                    return Err(Error::invalid(format!("conflicting label: {name}")));
                }
                if base.get(name).is_none() {
                    added.insert(name, value);
                }
            }
        }
        Ok(Some(Labels::new(base.iter().chain(added))))
    }
}
