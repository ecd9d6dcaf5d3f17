//! How do small batches become a larger one, and how is a batch cut down to some of its records? By copying, with each
//! resource and scope kept once.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter, filter_record_batch, take};
use arrow::row::{RowConverter, SortField};
use hashbrown::{HashMap, HashSet};

use crate::nulls::is_zeros;
use crate::{AttributeSets, AttributeSetsBuilder, Batch, ColumnLevel, Error, Family, KeyDictionary, Result, Side};

impl Batch {
    /// One batch with the records of all, in order. Resources and scopes that are equal stand once in it, and it holds
    /// no memory of the batches that it was made of.
    ///
    /// # Errors
    /// `Internal` when there are no batches, they are of different tables, or together too large for Arrow's 32-bit offsets.
    pub fn concat(batches: &[Arc<Self>]) -> Result<Self> {
        let first = batches.first().ok_or_else(|| Error::internal("concat: no batches"))?;
        let table = first.table();
        if batches.iter().any(|batch| batch.table() != table) {
            return Err(Error::internal("concat: batches of different tables"));
        }
        let mut keys = KeyDictionary::new();
        let maps: Vec<Vec<u32>> =
            batches.iter().map(|batch| batch.keys().keys().iter().map(|key| keys.number(key)).collect()).collect();
        let records = concat_batches(&table.schema(ColumnLevel::Record), batches.iter().map(|batch| batch.records()))?;
        let records =
            Side { columns: records.columns().to_vec(), attributes: concat_sets(batches, &maps, Family::Record)? };
        let (resources, resource_of) = concat_side(batches, &maps, Family::Resource)?;
        let (scopes, scope_of) = concat_side(batches, &maps, Family::Scope)?;
        Self::new(table, records, resource_of, resources, scope_of, scopes, keys)
    }

    /// The records for which `keep` is true, with all resources and scopes.
    ///
    /// # Errors
    /// `Internal` when `keep` has another length than the batch.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        if keep.len() != self.rows() {
            return Err(Error::internal("filter: not a word for each record"));
        }
        let rows: Vec<usize> = (0..keep.len()).filter(|&row| keep.is_valid(row) && keep.value(row)).collect();
        let records = filter_record_batch(self.records(), keep)?;
        let side = |rows: &RecordBatch, family: Family| Side {
            columns: rows.columns().to_vec(),
            attributes: self.attributes(family).clone(),
        };
        let of = |of: &UInt32Array| -> Result<UInt32Array> { Ok(UInt32Array::from(filter(of, keep)?.to_data())) };
        Self::new(
            self.table(),
            Side { columns: records.columns().to_vec(), attributes: take_sets(self.attributes(Family::Record), &rows) },
            of(self.resource_of())?,
            side(self.resources(), Family::Resource),
            of(self.scope_of())?,
            side(self.scopes(), Family::Scope),
            self.keys().clone(),
        )
    }

    /// The batch with other values in one of its records' columns.
    ///
    /// # Errors
    /// `Internal` where there is no such column, `Corrupt` where the values are not of its type and length.
    pub fn with_record_column(&self, name: &str, values: ArrayRef) -> Result<Self> {
        let at = self.records().schema().index_of(name)?;
        let mut columns = self.records().columns().to_vec();
        columns[at] = values;
        let side =
            |columns: Vec<ArrayRef>, family: Family| Side { columns, attributes: self.attributes(family).clone() };
        Self::new(
            self.table(),
            side(columns, Family::Record),
            self.resource_of().clone(),
            side(self.resources().columns().to_vec(), Family::Resource),
            self.scope_of().clone(),
            side(self.scopes().columns().to_vec(), Family::Scope),
            self.keys().clone(),
        )
    }

    /// Bytes of memory held. A buffer that several columns share (as after reading) counts once, and what columns of nulls share
    /// with all others not at all.
    pub fn memory_bytes(&self) -> usize {
        let mut seen = HashSet::new();
        let mut bytes = self.keys().keys().iter().map(|key| key.len() + KEY_BYTES).sum::<usize>();
        for side in [self.records(), self.resources(), self.scopes()] {
            bytes += side.columns().iter().map(|column| array_bytes(&column.to_data(), &mut seen)).sum::<usize>();
        }
        for family in Family::ALL {
            bytes += array_bytes(&self.attributes(family).to_array().to_data(), &mut seen);
        }
        bytes
            + array_bytes(&self.resource_of().to_data(), &mut seen)
            + array_bytes(&self.scope_of().to_data(), &mut seen)
    }
}

/// What a key costs in a dictionary beside its text, roughly.
const KEY_BYTES: usize = 64;
/// What an Arrow array costs beside its buffers, roughly.
const ARRAY_BYTES: usize = 128;

fn array_bytes(data: &ArrayData, seen: &mut HashSet<usize>) -> usize {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    let own: usize = data
        .buffers()
        .iter()
        .chain(nulls)
        .filter(|buffer| !is_zeros(buffer))
        .map(|buffer| if seen.insert(buffer.data_ptr().as_ptr() as usize) { buffer.capacity() } else { 0 })
        .sum();
    ARRAY_BYTES + own + data.child_data().iter().map(|child| array_bytes(child, seen)).sum::<usize>()
}

fn concat_sets(batches: &[Arc<Batch>], maps: &[Vec<u32>], family: Family) -> Result<AttributeSets> {
    let sets: Vec<(&AttributeSets, &[u32])> =
        batches.iter().zip(maps).map(|(batch, map)| (batch.attributes(family), map.as_slice())).collect();
    AttributeSets::concat(&sets)
}

fn take_sets(sets: &AttributeSets, rows: &[usize]) -> AttributeSets {
    let mut builder = AttributeSetsBuilder::new();
    for &row in rows {
        for entry in sets.row(row) {
            builder.push(entry.key, entry.value);
        }
        builder.finish_set();
    }
    builder.finish()
}

/// The resources or scopes of all batches, equal ones once, and where each record now points.
fn concat_side(batches: &[Arc<Batch>], maps: &[Vec<u32>], family: Family) -> Result<(Side, UInt32Array)> {
    let table = batches.first().ok_or_else(|| Error::internal("concat: no batches"))?.table();
    let (level, side_of): (ColumnLevel, fn(&Batch) -> &RecordBatch) = match family {
        Family::Scope => (ColumnLevel::Scope, Batch::scopes),
        Family::Record | Family::Resource => (ColumnLevel::Resource, Batch::resources),
    };
    let rows = concat_batches(&table.schema(level), batches.iter().map(|batch| side_of(batch)))?;
    let sets = concat_sets(batches, maps, family)?;
    let (kept, places) = distinct(&rows, &sets)?;
    let mut of = Vec::with_capacity(batches.iter().map(|batch| batch.rows()).sum());
    let mut first = 0;
    for batch in batches {
        let pointers = batch.row_of(family).map(UInt32Array::values);
        for pointer in pointers.into_iter().flatten() {
            let place = places.get(first + *pointer as usize).copied();
            of.push(place.ok_or_else(|| Error::internal("concat: a record points outside"))?);
        }
        first += side_of(batch).num_rows();
    }
    let picks = UInt32Array::from(kept.clone());
    let columns = rows.columns().iter().map(|column| take(column, &picks, None)).collect::<Result<_, _>>()?;
    let kept: Vec<usize> = kept.into_iter().map(|row| row as usize).collect();
    Ok((Side { columns, attributes: take_sets(&sets, &kept) }, UInt32Array::from(of)))
}

/// The first of each group of equal rows, and for each row the position of its group.
fn distinct(rows: &RecordBatch, sets: &AttributeSets) -> Result<(Vec<u32>, Vec<u32>)> {
    let fields: Vec<SortField> =
        rows.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let columns =
        if fields.is_empty() { None } else { Some(RowConverter::new(fields)?.convert_columns(rows.columns())?) };
    let mut groups: HashMap<Vec<u8>, u32> = HashMap::new();
    let (mut kept, mut places) = (Vec::new(), Vec::with_capacity(sets.len()));
    for row in 0..sets.len() {
        let mut content = columns.as_ref().map_or_else(Vec::new, |columns| columns.row(row).as_ref().to_vec());
        for position in sets.entry_range(row) {
            let value = sets.values().value(position);
            content.extend_from_slice(&sets.keys()[position].to_le_bytes());
            content.push(sets.kinds()[position]);
            content.extend_from_slice(&value.len().to_le_bytes());
            content.extend_from_slice(value);
        }
        let next = u32::try_from(kept.len()).map_err(|_| Error::internal("concat: too many rows"))?;
        let group = *groups.entry(content).or_insert(next);
        if group == next {
            kept.push(u32::try_from(row).map_err(|_| Error::internal("concat: too many rows"))?);
        }
        places.push(group);
    }
    Ok((kept, places))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, StringArray, TimestampNanosecondArray};
    use arrow::datatypes::DataType;

    use super::*;
    use crate::{Table, Value};

    /// Changes with one attribute each, whose resource carries the given value under a key numbered per batch.
    fn batch(rows: &[(i64, &str)], resource: &str, filler: &str) -> Arc<Batch> {
        let mut keys = KeyDictionary::new();
        keys.number(filler);
        let mut attributes = AttributeSetsBuilder::new();
        for (_, reason) in rows {
            attributes.push(keys.number("reason"), Value::String(reason));
            attributes.finish_set();
        }
        let mut of_resource = AttributeSetsBuilder::new();
        of_resource.push(keys.number("host.name"), Value::String(resource));
        of_resource.finish_set();
        let text = || -> ArrayRef { Arc::new(StringArray::from(vec!["x"; rows.len()])) };
        let nothing = || arrow::array::new_null_array(&DataType::Utf8, rows.len());
        let time = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![Arc::new(time), text(), text(), nothing(), nothing(), nothing(), text()];
        let zeros = || UInt32Array::from(vec![0; rows.len()]);
        let bare = |attributes| Side { columns: vec![], attributes };
        let records = Side { columns, attributes: attributes.finish() };
        let (resources, scopes) = (bare(of_resource.finish()), bare(AttributeSets::empty(1)));
        Arc::new(Batch::new(Table::Changes, records, zeros(), resources, zeros(), scopes, keys).unwrap())
    }

    fn shown(batch: &Batch) -> Vec<(i64, String, String)> {
        let time = batch.records().column(0).as_primitive::<arrow::datatypes::TimestampNanosecondType>();
        let text = |family: Family, row: usize| {
            let mut out = String::new();
            for entry in batch.attributes(family).row(row) {
                out.push_str(batch.keys().key(entry.key).unwrap());
                entry.value.write_json(&mut out);
            }
            out
        };
        (0..batch.rows())
            .map(|row| {
                let resource = batch.resource_of().value(row) as usize;
                (time.value(row), text(Family::Record, row), text(Family::Resource, resource))
            })
            .collect()
    }

    #[test]
    fn one_batch_says_what_the_many_said_and_equal_resources_stand_once() {
        let parts =
            [batch(&[(1, "a"), (2, "b")], "h1", "p"), batch(&[(3, "c")], "h2", "q"), batch(&[(4, "a")], "h1", "r")];
        let whole = Batch::concat(&parts).unwrap();
        assert_eq!(shown(&whole), parts.iter().flat_map(|part| shown(part)).collect::<Vec<_>>());
        assert_eq!(whole.resources().num_rows(), 2);
        assert_eq!(whole.scopes().num_rows(), 1);
        let kept = whole.filter(&BooleanArray::from(vec![false, true, true, false])).unwrap();
        assert_eq!(shown(&kept), shown(&whole)[1..3].to_vec());
    }

    #[test]
    fn what_cannot_be_one_batch_is_refused() {
        assert!(Batch::concat(&[]).is_err());
        assert!(batch(&[(1, "a")], "h", "p").filter(&BooleanArray::from(vec![true, true])).is_err());
    }

    #[test]
    fn a_batch_that_was_read_counts_its_shared_memory_once() {
        let rows: Vec<(i64, &str)> = (0..1_000).map(|time| (time, "a reason")).collect();
        let batch = batch(&rows, "h", "p");
        let mut bytes = Vec::new();
        batch.write_to(&mut bytes).unwrap();
        let back = Batch::read_from(&mut bytes.as_slice()).unwrap();
        assert!(back.memory_bytes() < 2 * bytes.len() + 64 * 1024, "{} of {}", back.memory_bytes(), bytes.len());
    }
}
