//! How does a scan read a batch in memory? Filters first, then the columns of the rows that remain; the same meaning as in a part.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{filter, take};
use causeway_model::{Batch, ColumnLevel, Error, Family, Kind, Result, Value};

use crate::part::columns::{SERVICE_COLUMN, SERVICE_KEY, is_service_name};
use crate::part::dictionary;
use crate::part::resolve::{AttributeBuilder, check_columns, scan_schema};
use crate::part::sort::column_of;
use crate::part::values::{ColumnValues, TextMapBuilder};
use crate::scan::{Scan, ScanColumn};

/// The same scan over one batch in memory.
///
/// # Errors
/// `Invalid` for a column that the table does not have; what the scan's filters answer.
pub fn scan_batch(batch: &Batch, scan: &Scan) -> Result<RecordBatch> {
    if batch.table() != scan.table {
        return Err(Error::invalid("a scan of another table"));
    }
    let mut rows: Option<UInt32Array> = None;
    for condition in &scan.filters {
        let kept = (condition.keep)(&columns(batch, &condition.columns, rows.as_ref())?)?;
        let before = match rows {
            Some(rows) => rows,
            None => UInt32Array::from_iter_values(
                0..u32::try_from(batch.rows()).map_err(|_| Error::internal("too many rows"))?,
            ),
        };
        let after = filter(&before, &kept)?;
        rows = Some(UInt32Array::from(after.to_data()));
    }
    columns(batch, &scan.columns, rows.as_ref())
}

fn columns(batch: &Batch, wanted: &[ScanColumn], rows: Option<&UInt32Array>) -> Result<RecordBatch> {
    check_columns(batch.table(), wanted)?;
    let arrays = wanted.iter().map(|column| one_column(batch, column, rows)).collect::<Result<Vec<_>>>()?;
    let count = rows.map_or(batch.rows(), |rows| rows.len());
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(scan_schema(batch.table(), wanted), arrays, &options)?)
}

/// For the wanted records the rows of one level; `None` when these are all its rows in order.
fn level_rows(of: Option<&UInt32Array>, rows: Option<&UInt32Array>) -> Result<Option<UInt32Array>> {
    Ok(match (of, rows) {
        (None, None) => None,
        (None, Some(rows)) => Some(rows.clone()),
        (Some(of), None) => Some(of.clone()),
        (Some(of), Some(rows)) => Some(UInt32Array::from(take(of, rows, None)?.to_data())),
    })
}

fn one_column(batch: &Batch, column: &ScanColumn, rows: Option<&UInt32Array>) -> Result<ArrayRef> {
    match column {
        ScanColumn::Dictionary(column) => column_as(batch, column, rows, |values| dictionary::of_array(&values)),
        _ => column_as(batch, column, rows, Ok),
    }
}

/// A column in a form that is given to its values before they are spread to the records.
fn column_as(
    batch: &Batch,
    column: &ScanColumn,
    rows: Option<&UInt32Array>,
    form: impl Fn(ArrayRef) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    let (family, whole) = match column {
        ScanColumn::Fixed(index) => {
            let known =
                batch.table().columns().get(*index).ok_or_else(|| Error::internal("a column outside the table"))?;
            let of = match known.level {
                ColumnLevel::Record => None,
                ColumnLevel::Resource => Some(batch.resource_of()),
                ColumnLevel::Scope => Some(batch.scope_of()),
            };
            let (values, _) = column_of(batch.table(), batch, known.name)?;
            return spread(form(values.clone())?, level_rows(of, rows)?);
        }
        ScanColumn::Attribute { family, key, .. }
        | ScanColumn::AttributeText { family, key }
        | ScanColumn::AttributeNumber { family, key } => (*family, Some(key)),
        ScanColumn::Attributes(family) | ScanColumn::AttributesJson(family) => (*family, None),
        ScanColumn::Dictionary(_) => return Err(Error::internal("a dictionary of dictionaries")),
    };
    // Attributes of resources and scopes are made once for each of them, then spread to the records.
    let rows = level_rows(batch.row_of(family), rows)?;
    match (whole, family, rows) {
        (Some(key), Family::Record, rows) => form(one_attribute(batch, column, family, key, rows.as_ref())?),
        (Some(key), _, rows) => spread(form(one_attribute(batch, column, family, key, None)?)?, rows),
        (None, Family::Record, rows) => all_attributes(batch, column, family, rows.as_ref()),
        (None, _, rows) => spread(all_attributes(batch, column, family, None)?, rows),
    }
}

fn spread(values: ArrayRef, rows: Option<UInt32Array>) -> Result<ArrayRef> {
    match rows {
        None => Ok(values),
        Some(rows) => Ok(take(&values, &rows, None)?),
    }
}

/// The service's name of each resource, which stands for the attribute.
fn services(batch: &Batch, family: Family) -> Option<ColumnValues<'_>> {
    if !is_service_name(batch.table(), family, SERVICE_KEY, Kind::String) {
        return None;
    }
    ColumnValues::new(batch.resources().column_by_name(SERVICE_COLUMN)?, Kind::String)
}

fn level_length(batch: &Batch, family: Family) -> usize {
    match family {
        Family::Record => batch.rows(),
        Family::Resource => batch.resources().num_rows(),
        Family::Scope => batch.scopes().num_rows(),
    }
}

fn each_row(count: usize, rows: Option<&UInt32Array>, mut visit: impl FnMut(usize)) {
    match rows {
        None => (0..count).for_each(visit),
        Some(rows) => rows.values().iter().for_each(|row| visit(*row as usize)),
    }
}

fn one_attribute(
    batch: &Batch,
    column: &ScanColumn,
    family: Family,
    key: &Arc<str>,
    rows: Option<&UInt32Array>,
) -> Result<ArrayRef> {
    let mut out = AttributeBuilder::of_column(column).ok_or_else(|| Error::internal("not a single attribute"))?;
    let services = services(batch, family).filter(|_| **key == *SERVICE_KEY);
    let number = batch.keys().find(key).filter(|_| batch.table().has_attributes());
    let sets = batch.attributes(family);
    each_row(level_length(batch, family), rows, |row| {
        let in_set = number.and_then(|number| {
            let position = sets.entry_range(row).find(|position| sets.keys()[*position] == number)?;
            Some(sets.entry(position).value)
        });
        let in_set = in_set.filter(|value| !is_service_name(batch.table(), family, key, value.kind()));
        out.push(services.and_then(|services| services.value(row)).or(in_set));
    });
    out.finish()
}

fn all_attributes(batch: &Batch, column: &ScanColumn, family: Family, rows: Option<&UInt32Array>) -> Result<ArrayRef> {
    let json = matches!(column, ScanColumn::AttributesJson(_));
    let mut out = TextMapBuilder::default();
    let services = services(batch, family);
    let sets = batch.attributes(family);
    let mut entries: Vec<(&str, Value<'_>)> = Vec::new();
    each_row(level_length(batch, family), rows, |row| {
        entries.clear();
        entries.extend(services.and_then(|services| Some((SERVICE_KEY, services.value(row)?))));
        if batch.table().has_attributes() {
            entries.extend(sets.row(row).filter_map(|entry| {
                let key = batch.keys().key(entry.key)?;
                (!is_service_name(batch.table(), family, key, entry.value.kind())).then_some((&**key, entry.value))
            }));
        }
        entries.sort_by_key(|(key, _)| *key);
        for (key, value) in &entries {
            out.push(key, |text| if json { value.write_json(text) } else { value.write_text(text) });
        }
        out.finish_row();
    });
    out.finish()
}
