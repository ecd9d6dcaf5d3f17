//! Which series of two vectors belong together, and what labels does their result have?

use causeway_model::{Error, Labels, Result};
use hashbrown::HashSet;

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

    /// All series of one signature.
    fn group(&self, evaluator: &Evaluator, many: &[usize], one: &[usize], merger: &mut Merger) -> Result<()> {
        let mut matched_steps = vec![false; self.count];
        // What a step of the many side has given already, where that must be unique.
        let mut given: HashSet<(usize, Labels)> = HashSet::new();
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let nothing = Column::absent(self.count);
        for at in many {
            let left = &self.many[*at];
            let mut filled = self.fill_one.map(|_| vec![true; self.count]);
            for right in one.iter().map(|at| &self.one[*at]) {
                let mut partner = |step: usize| {
                    let number = right.column.get(step);
                    if let (Some(filled), true) = (&mut filled, number.is_some()) {
                        filled[step] = false;
                    }
                    number
                };
                let steps = self.pair(
                    evaluator,
                    (&left.labels, left.drop_name),
                    &right.labels,
                    &left.column,
                    &mut partner,
                    merger,
                )?;
                self.check_matches(&steps, one_to_one, &mut matched_steps, many.len() > 1, &mut given)?;
            }
            if let (Some(fill), Some(filled)) = (self.fill_one, filled) {
                let labels = self.grouping.labels(&left.labels);
                let mut partner = |step: usize| filled[step].then_some(Number::Float(fill));
                let steps =
                    self.pair(evaluator, (&left.labels, left.drop_name), &labels, &left.column, &mut partner, merger)?;
                self.check_matches(&steps, one_to_one, &mut matched_steps, many.len() > 1, &mut given)?;
            }
        }
        let Some(fill) = self.fill_many else { return Ok(()) };
        for right in one.iter().map(|at| &self.one[*at]) {
            let labels = self.grouping.labels(&right.labels);
            let mut left = nothing.clone();
            for (step, matched) in matched_steps.iter().enumerate() {
                if !matched && right.column.has(step) {
                    left.set(step, Some(Number::Float(fill)));
                }
            }
            self.pair(evaluator, (&labels, false), &right.labels, &left, &mut |step| right.column.get(step), merger)?;
        }
        Ok(())
    }

    /// Notes at which steps a pair matched; one to one, no signature may match twice at a step.
    fn check_matches(
        &self,
        (labels, steps): &(Labels, Vec<usize>),
        one_to_one: bool,
        matched_steps: &mut [bool],
        several: bool,
        given: &mut HashSet<(usize, Labels)>,
    ) -> Result<()> {
        for step in steps {
            let again = std::mem::replace(&mut matched_steps[*step], true);
            if again && one_to_one {
                let text =
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                return Err(Error::invalid(text));
            }
            if several && !one_to_one && !given.insert((*step, labels.clone())) {
                return Err(Error::invalid("multiple matches for labels: grouping labels must ensure unique matches"));
            }
        }
        Ok(())
    }

    /// One series with another; the labels of the result, and the steps at which both had a value that fits.
    fn pair(
        &self,
        evaluator: &Evaluator,
        (left_labels, drop_name): (&Labels, bool),
        right_labels: &Labels,
        left: &Column,
        right: &mut dyn FnMut(usize) -> Option<Number>,
        merger: &mut Merger,
    ) -> Result<(Labels, Vec<usize>)> {
        let operator = self.operation.operator;
        let returns_bool = self.operation.returns_bool;
        let labels = result_labels(self.operation, self.matching, left_labels, right_labels);
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let mut steps = Vec::new();
        let mut results = Vec::new();
        for step in 0..self.count {
            // The partner is asked at each step, as it takes note of where it was there.
            let (partner, number) = (right(step), left.get(step));
            let (Some(partner), Some(number)) = (partner, number) else { continue };
            let (first, second) = if swapped { (&partner, &number) } else { (&number, &partner) };
            let said = match element(operator, first, second) {
                Ok(Outcome { keep, value, notes }) => {
                    steps.push(step);
                    match (returns_bool, keep) {
                        (true, _) => results.push((step, Number::Float(f64::from(u8::from(keep))))),
                        (false, true) => results.push((step, value)),
                        (false, false) => {}
                    }
                    notes
                }
                Err(said) => vec![said],
            };
            if !said.is_empty() {
                evaluator.note(|notes| said.iter().for_each(|(note, detail)| notes.add(*note, self.span, detail)));
            }
        }
        if !results.is_empty() {
            let series = merger.series(&labels, returns_bool || drop_name, self.count);
            for (step, number) in results {
                series.column.put(step, number)?;
            }
        }
        Ok((labels, steps))
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
