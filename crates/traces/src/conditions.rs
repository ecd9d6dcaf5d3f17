//! What may be skipped for a query in TraceQL, and which rows need not be handed on? Only what surely can't be wanted: `traceql` looks at the
//! rest itself.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use causeway_model::{Family, Kind, Result, TimeRange};
use causeway_store::{Filter, Place, Pruning, ScanColumn};
use causeway_traceql::ast::{Attribute, Field, FieldOperator, Intrinsic, Scope, Static};
use causeway_traceql::{Comparison, Condition};

use crate::scan::{fixed, of_text, of_time, of_traces, wrong};
use crate::search::{column, of_number};
use crate::source::{family, kind_of, kinds_of, status_of};

/// Whole numbers up to here are exact as doubles, by which attributes are compared.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Conditions of which every wanted span fulfils those of one alternative.
pub(crate) struct Conditions<'a> {
    time: TimeRange,
    alternatives: &'a [Vec<Condition>],
}

impl<'a> Conditions<'a> {
    pub(crate) fn of(alternatives: &'a [Vec<Condition>], time: TimeRange) -> Self {
        Self { time, alternatives }
    }

    /// What they are in a place; `None` where it has no such span.
    pub(crate) fn in_place(&self, held: Place<'_>) -> Result<Option<(Vec<Filter>, Pruning)>> {
        let mut possible = Vec::new();
        for all in self.alternatives {
            possible.extend(self.alternative(held, all)?);
        }
        if possible.len() > 1 {
            // What several say can't be put together but for services; `traceql` looks at each span itself.
            let services: Option<Vec<Vec<String>>> =
                possible.iter().map(|(_, pruning)| pruning.services.clone()).collect();
            let services = services.map(|of_each| of_each.concat());
            let pruning = Pruning { time: self.time, services, ..Pruning::default() };
            return Ok(Some((of_time(self.time, held)?, pruning)));
        }
        Ok(possible.pop())
    }

    fn alternative(&self, held: Place<'_>, all: &[Condition]) -> Result<Option<(Vec<Filter>, Pruning)>> {
        let mut filters = of_time(self.time, held)?;
        let mut pruning = Pruning { time: self.time, ..Pruning::default() };
        for Condition { field, comparison } in all {
            let Comparison::With(operator, constant) = comparison else { continue };
            match field {
                Field::Intrinsic(Intrinsic::TraceId) => {
                    if let (FieldOperator::Equal, Static::String(text)) = (operator, constant)
                        && let Ok(number) = u128::from_str_radix(text, 16)
                    {
                        let (filter, skipped) = of_traces(&[number.to_be_bytes()])?;
                        filters.push(filter);
                        pruning.values.extend(skipped.values);
                    }
                }
                Field::Intrinsic(intrinsic) => filters.extend(of_intrinsic(*intrinsic, *operator, constant)?),
                Field::Attribute(attribute) => {
                    let Some(families) = families(attribute) else { continue };
                    match of_attribute(held, &families, &attribute.key, *operator, constant)? {
                        Found::Nothing => return Ok(None),
                        Found::Anything => {}
                        Found::Rows(filter, skipped) => {
                            filters.push(filter);
                            match skipped {
                                Some(Skipped::Service(name)) => pruning.services = Some(vec![name]),
                                Some(Skipped::Value(column, value)) => pruning.values.push((column, vec![value])),
                                None => {}
                            }
                        }
                    }
                }
            }
        }
        Ok(Some((filters, pruning)))
    }
}

/// Whose attributes are meant; `None` for those of events and links.
fn families(attribute: &Attribute) -> Option<Vec<Family>> {
    match attribute.scope {
        None => Some(vec![Family::Record, Family::Resource]),
        Some(scope @ (Scope::Span | Scope::Resource | Scope::Instrumentation)) => family(scope).map(|it| vec![it]),
        Some(Scope::Event | Scope::Link) => None,
    }
}

fn holds(operator: FieldOperator, ordering: Option<Ordering>) -> bool {
    // Of values of different types nothing is said here.
    let Some(ordering) = ordering else { return true };
    match operator {
        FieldOperator::Equal => ordering.is_eq(),
        FieldOperator::NotEqual => ordering.is_ne(),
        FieldOperator::Less => ordering.is_lt(),
        FieldOperator::LessOrEqual => ordering.is_le(),
        FieldOperator::Greater => ordering.is_gt(),
        FieldOperator::GreaterOrEqual => ordering.is_ge(),
        _ => true,
    }
}

fn of_intrinsic(intrinsic: Intrinsic, operator: FieldOperator, constant: &Static) -> Result<Option<Filter>> {
    Ok(Some(match (intrinsic, constant) {
        (Intrinsic::Name, Static::String(text)) if operator == FieldOperator::Equal => of_text(fixed("name")?, text),
        (Intrinsic::Kind, Static::Kind(kind)) => {
            let wanted = *kind;
            of_number(fixed("kind")?, move |it| holds(operator, Some(kind_of(it).cmp(&wanted))))
        }
        (Intrinsic::Status, Static::Status(status)) => {
            let wanted = *status;
            of_number(fixed("status_code")?, move |it| holds(operator, Some(status_of(it).cmp(&wanted))))
        }
        (Intrinsic::Duration, Static::Duration(_) | Static::Int(_) | Static::Float(_)) => {
            let wanted = constant.clone();
            let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
                let durations = column(batch, 0)?.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
                let kept = |it: Option<i64>| holds(operator, Static::Duration(it.unwrap_or(0)).compare(&wanted));
                Ok(durations.iter().map(|it| Some(kept(it))).collect())
            };
            Filter { columns: vec![fixed("duration_ns")?], keep: Arc::new(keep) }
        }
        _ => return Ok(None),
    }))
}

/// What a place has of a condition.
enum Found {
    /// No row can fulfil it.
    Nothing,
    /// Nothing is known.
    Anything,
    /// These rows can, and by this others can be skipped.
    Rows(Filter, Option<Skipped>),
}

enum Skipped {
    Service(String),
    Value(ScanColumn, Vec<u8>),
}

fn of_attribute(
    held: Place<'_>,
    families: &[Family],
    key: &str,
    operator: FieldOperator,
    constant: &Static,
) -> Result<Found> {
    let known: Vec<(Family, Vec<Kind>)> = families
        .iter()
        .map(|family| (*family, kinds_of(held, *family, key)))
        .filter(|(_, kinds)| !kinds.is_empty())
        .collect();
    if known.is_empty() {
        // What compares with nothing is for the language to say.
        let by_absence = operator == FieldOperator::NotEqual || matches!(constant, Static::Nil);
        return Ok(if by_absence { Found::Anything } else { Found::Nothing });
    }
    let are = |wanted: &[Kind]| known.iter().all(|(_, kinds)| kinds.iter().all(|kind| wanted.contains(kind)));
    match constant {
        Static::String(text) if operator == FieldOperator::Equal && are(&[Kind::String]) => {
            let columns: Vec<ScanColumn> = known
                .iter()
                .map(|(family, _)| ScanColumn::Attribute { family: *family, key: key.into(), kind: Kind::String })
                .collect();
            let skipped = match columns.as_slice() {
                [ScanColumn::Attribute { family: Family::Resource, .. }] if key == "service.name" => {
                    Some(Skipped::Service(text.clone()))
                }
                [only] => Some(Skipped::Value(only.clone(), text.as_bytes().to_vec())),
                _ => None,
            };
            Ok(Found::Rows(any_text(columns, text), skipped))
        }
        Static::Int(_) | Static::Float(_)
            if operator != FieldOperator::NotEqual
                && are(&[Kind::Int, Kind::Double])
                && constant.number().is_some_and(|it| it.abs() < EXACT_MAX) =>
        {
            let columns = known
                .iter()
                .map(|(family, _)| ScanColumn::AttributeNumber { family: *family, key: key.into() })
                .collect();
            Ok(Found::Rows(any_number(columns, operator, constant.number().unwrap_or_default()), None))
        }
        _ => Ok(Found::Anything),
    }
}

/// The rows of which one of these columns has the text.
fn any_text(columns: Vec<ScanColumn>, wanted: &str) -> Filter {
    if let [only] = columns.as_slice() {
        return of_text(only.clone(), wanted);
    }
    let wanted: Arc<str> = Arc::from(wanted);
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let texts = batch.columns().iter().map(|it| it.as_string_opt::<i32>().ok_or_else(wrong));
        let texts: Vec<&StringArray> = texts.collect::<Result<_>>()?;
        let has = |row: usize| texts.iter().any(|it| it.is_valid(row) && it.value(row) == &*wanted);
        Ok((0..batch.num_rows()).map(|row| Some(has(row))).collect())
    };
    Filter { columns, keep: Arc::new(keep) }
}

/// The rows of which a number in one of these columns compares so.
fn any_number(columns: Vec<ScanColumn>, operator: FieldOperator, wanted: f64) -> Filter {
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let numbers = batch.columns().iter().map(|it| it.as_primitive_opt::<Float64Type>().ok_or_else(wrong));
        let numbers: Vec<&Float64Array> = numbers.collect::<Result<_>>()?;
        let compares = |it: f64| holds(operator, Some(it.partial_cmp(&wanted).unwrap_or(Ordering::Less)));
        let has = |row: usize| numbers.iter().any(|it| it.is_valid(row) && compares(it.value(row)));
        Ok((0..batch.num_rows()).map(|row| Some(has(row))).collect())
    };
    Filter { columns, keep: Arc::new(keep) }
}
