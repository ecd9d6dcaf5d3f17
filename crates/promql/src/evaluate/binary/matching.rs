//! Which series of two vectors belong together, and what labels does their result have?

use causeway_model::{Error, Labels, Result};
use hashbrown::HashMap;

use super::super::Number;
use super::super::column::{Column, Merger, Series, Vector};
use super::super::expression::Evaluator;
use super::super::groups::{Grouping, Groups};
use super::super::result::is_metadata;
use super::elements::{self, Outcome, element};
use crate::ast::{Binary, Cardinality, Matching, Span};

/// One operation on vectors.
struct Join<'a> {
    operation: &'a Binary,
    matching: &'a Matching,
    grouping: Grouping,
    span: Span,
    count: usize,
    many: Vec<Series>,
    one: Vec<Series>,
    /// For each series of both sides the number of those that it may match.
    of_many: Vec<usize>,
    of_one: Vec<usize>,
    kinds: usize,
    fill_many: Option<f64>,
    fill_one: Option<f64>,
}

/// Any operator but the set operators between two vectors at all steps.
pub(super) fn combine(
    evaluator: &Evaluator,
    operation: &Binary,
    span: Span,
    left: Vector,
    right: Vector,
    count: usize,
) -> Result<Vector> {
    let matching = operation.matching.clone().unwrap_or_default();
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    // Prometheus gives the left fill to the many side also where that is on the right (`group_right`).
    let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
    let grouping = Grouping::of(&matching);
    let mut groups = Groups::<()>::default();
    let mut number = |series: &Series| groups.number_of(&grouping, &series.labels, || ());
    let of_many = many.series.iter().map(&mut number).collect();
    let of_one = one.series.iter().map(&mut number).collect();
    let kinds = groups.groups.len();
    let (many, one, _held) = (many.series, one.series, (many.charges, one.charges));
    let matching = &matching;
    let join =
        Join { operation, matching, grouping, span, count, many, one, of_many, of_one, kinds, fill_many, fill_one };
    let merger = join.run(evaluator)?;
    let mut charge = evaluator.meter.charge();
    for series in &merger.series {
        charge.add_column(&series.column)?;
    }
    let series = merger.series.into_iter().filter(|series| !series.column.is_empty()).collect();
    Ok(Vector { series, charges: vec![charge] })
}

impl Join<'_> {
    fn run(&self, evaluator: &Evaluator) -> Result<Merger> {
        let mut many_of = vec![Vec::new(); self.kinds];
        let mut one_of = vec![Vec::new(); self.kinds];
        self.of_many.iter().enumerate().for_each(|(at, signature)| many_of[*signature].push(at));
        self.of_one.iter().enumerate().for_each(|(at, signature)| one_of[*signature].push(at));
        self.check_unique(&one_of)?;
        let mut merger = Merger::default();
        let mut done = vec![false; self.kinds];
        let signatures = self.of_many.iter().chain(&self.of_one);
        for signature in signatures {
            if !std::mem::replace(&mut done[*signature], true) {
                evaluator.meter.check()?;
                self.group(evaluator, &many_of[*signature], &one_of[*signature], &mut merger)?;
            }
        }
        Ok(merger)
    }

    /// At each step where anything could match, series of the one side must be unique.
    fn check_unique(&self, one_of: &[Vec<usize>]) -> Result<()> {
        let fills = self.fill_many.is_some() || self.fill_one.is_some();
        for series in one_of.iter().filter(|series| series.len() > 1) {
            for step in 0..self.count {
                let mut present = series.iter().filter(|at| self.one[**at].column.has(step));
                let (Some(first), Some(second)) = (present.next(), present.next()) else { continue };
                if fills || self.many.iter().any(|series| series.column.has(step)) {
                    return Err(self.duplicates(&self.one[*first].labels, &self.one[*second].labels));
                }
            }
        }
        Ok(())
    }

    fn duplicates(&self, first: &Labels, second: &Labels) -> Error {
        let side = if self.matching.cardinality == Cardinality::OneToMany { "left" } else { "right" };
        let group = written(&self.grouping.labels(first));
        let (first, second) = if first <= second { (first, second) } else { (second, first) };
        Error::invalid(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, {}];\
             many-to-many matching not allowed: matching labels must be unique on one side",
            written(first),
            written(second)
        ))
    }

    /// All series that may match each other.
    fn group(&self, evaluator: &Evaluator, many: &[usize], one: &[usize], merger: &mut Merger) -> Result<()> {
        let mut matched = Matched { steps: vec![false; self.count], by_labels: HashMap::new() };
        let one: Vec<&Series> = one.iter().map(|at| &self.one[*at]).collect();
        let alone: Vec<bool> = (0..self.count).map(|step| !one.iter().any(|one| one.column.has(step))).collect();
        for many in many.iter().map(|at| &self.many[*at]) {
            let left = Operand::of(many);
            for right in &one {
                self.pair(evaluator, &left, &Operand::of(right), &mut matched, merger)?;
            }
            if let Some(fill) = self.fill_one {
                let labels = self.grouping.labels(&many.labels);
                let right = Operand { labels: &labels, drop_name: false, values: Values::Fill(fill, &alone) };
                self.pair(evaluator, &left, &right, &mut matched, merger)?;
            }
        }
        if let Some(fill) = self.fill_many {
            let alone: Vec<bool> = matched.steps.iter().map(|matched| !matched).collect();
            for one in &one {
                let labels = self.grouping.labels(&one.labels);
                let left = Operand { labels: &labels, drop_name: false, values: Values::Fill(fill, &alone) };
                self.pair(evaluator, &left, &Operand::of(one), &mut matched, merger)?;
            }
        }
        Ok(())
    }

    /// One series with another.
    fn pair(
        &self,
        evaluator: &Evaluator,
        left: &Operand,
        right: &Operand,
        matched: &mut Matched,
        merger: &mut Merger,
    ) -> Result<()> {
        let returns_bool = self.operation.returns_bool;
        let labels = result_labels(self.operation, self.matching, left.labels, right.labels);
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let (mut steps, mut results) = (Vec::new(), Vec::new());
        for step in 0..self.count {
            let (Some(number), Some(partner)) = (left.values.get(step), right.values.get(step)) else { continue };
            let (first, second) = if swapped { (&partner, &number) } else { (&number, &partner) };
            let said = match element(self.operation.operator, first, second) {
                Ok(Outcome { keep, value, notes }) => {
                    steps.push(step);
                    if returns_bool {
                        results.push((step, Number::Float(f64::from(u8::from(keep)))));
                    } else if keep {
                        results.push((step, value));
                    }
                    notes
                }
                Err(said) => vec![said],
            };
            if !said.is_empty() {
                evaluator.note(|notes| said.iter().for_each(|(note, detail)| notes.add(*note, self.span, detail)));
            }
        }
        matched.add(&steps, &labels, self.matching.cardinality == Cardinality::OneToOne)?;
        if !results.is_empty() {
            let series = merger.series(&labels, returns_bool || left.drop_name, self.count);
            for (step, number) in results {
                series.column.put(step, number)?;
            }
        }
        Ok(())
    }
}

/// A series of one side, or what fills its place.
struct Operand<'a> {
    labels: &'a Labels,
    drop_name: bool,
    values: Values<'a>,
}

enum Values<'a> {
    Column(&'a Column),
    /// A value at the steps at which there is nothing else.
    Fill(f64, &'a [bool]),
}

impl<'a> Operand<'a> {
    fn of(series: &'a Series) -> Self {
        Self { labels: &series.labels, drop_name: series.drop_name, values: Values::Column(&series.column) }
    }
}

impl Values<'_> {
    fn get(&self, step: usize) -> Option<Number> {
        match self {
            Self::Column(column) => column.get(step),
            Self::Fill(fill, steps) => steps.get(step).filter(|fills| **fills).map(|_| Number::Float(*fill)),
        }
    }
}

/// At which steps series that may match each other have found a partner.
struct Matched {
    steps: Vec<bool>,
    /// The same for each result, where several series of one side may have the same partner.
    by_labels: HashMap<Labels, Vec<bool>>,
}

impl Matched {
    /// Takes note of matches, of which no two may be at the same step: one to one none at all, otherwise none with the same result.
    fn add(&mut self, steps: &[usize], labels: &Labels, one_to_one: bool) -> Result<()> {
        let count = self.steps.len();
        let mut given = match one_to_one {
            true => None,
            false => Some(self.by_labels.entry(labels.clone()).or_insert_with(|| vec![false; count])),
        };
        for step in steps {
            let matched = std::mem::replace(&mut self.steps[*step], true);
            let wrong = match &mut given {
                None => matched.then_some("many-to-one matching must be explicit (group_left/group_right)"),
                Some(given) => {
                    std::mem::replace(&mut given[*step], true).then_some("grouping labels must ensure unique matches")
                }
            };
            if let Some(wrong) = wrong {
                return Err(Error::invalid(format!("multiple matches for labels: {wrong}")));
            }
        }
        Ok(())
    }
}

/// The labels of the result of a series of the many side with one of the one side.
pub(super) fn result_labels(operation: &Binary, matching: &Matching, many: &Labels, one: &Labels) -> Labels {
    let arithmetic = elements::is_arithmetic(operation.operator);
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    let goes = |name: &str| arithmetic && is_metadata(name) || one_to_one && named(name) != matching.on;
    let kept = many.iter().filter(|(name, _)| !goes(name));
    // A label of the one side replaces that of the many side, also where it is absent there.
    let included = matching.include.iter().map(|name| (name.as_str(), one.get(name).unwrap_or_default()));
    Labels::new(kept.chain(included))
}

/// Labels as Prometheus writes them in messages.
pub(in super::super) fn written(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", crate::quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}
