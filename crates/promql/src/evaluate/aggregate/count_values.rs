//! How many series have each value? One series for each value that occurs, which it has as a label.

use causeway_model::{Error, Result};
use hashbrown::HashMap;

use super::super::Number;
use super::super::column::{Merger, Vector};
use super::super::expression::{Evaluator, unwrapped};
use super::super::groups::Grouping;
use super::Input;
use crate::ast::ExprKind;

impl Evaluator<'_> {
    pub(super) fn count_values(&self, input: &Input) -> Result<Vector> {
        let name = match input.aggregate.parameter.as_ref().map(|parameter| &unwrapped(parameter).kind) {
            Some(ExprKind::String(name)) if !name.is_empty() => name,
            Some(ExprKind::String(name)) => {
                return Err(Error::invalid(format!("invalid label name {}", crate::quote(name))));
            }
            _ => return Err(Error::invalid("count_values needs the name of a label")),
        };
        let mut names = input.aggregate.grouping.clone();
        if !input.aggregate.without {
            names.push(name.clone());
        }
        let grouping = Grouping::new(&names, input.aggregate.without);
        let vector = self.collect(input.stream, input.count)?;
        let mut charge = self.meter.charge();
        let mut merger = Merger::default();
        for series in &vector.series {
            let mut labels_of: HashMap<String, causeway_model::Labels> = HashMap::new();
            for step in 0..input.count {
                let value = match series.column.get(step) {
                    Some(Number::Float(value)) => crate::print_number(value),
                    Some(Number::Histogram(histogram)) => histogram.to_string(),
                    None => continue,
                };
                let labels = labels_of.entry(value).or_insert_with_key(|value| {
                    let with_value = series.labels.with(name, value);
                    grouping.labels(&with_value)
                });
                let before = merger.series.len();
                let counted = merger.series(labels, false, input.count);
                let count = counted.column.get(step).and_then(|number| number.float()).unwrap_or(0.0);
                counted.column.set(step, Some(Number::Float(count + 1.0)));
                charge
                    .add(1, if merger.series.len() > before { input.count * 8 + labels.memory_bytes() } else { 0 })?;
            }
        }
        Ok(Vector { series: merger.series, charges: vec![charge] })
    }
}
