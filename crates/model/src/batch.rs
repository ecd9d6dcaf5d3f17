//! What is decoded telemetry, between a receiver and the store? A batch: records of one table as columns, each pointing
//! at its resource and its scope, which stand once.
//!
//! On disk (in the log of deliveries) a batch is four Arrow IPC streams; docs/formats/batch.md draws the bytes.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::nulls::{is_shared, null_column};
use crate::{AttributeSets, ColumnLevel, Error, Family, KeyDictionary, Result, Table};

/// Records of one table. Immutable and cheap to clone.
///
/// Invariants, checked by [`Batch::new`]: the columns of each side have the table's schema for that level; each side's
/// attribute sets have as many rows as its columns; `resource_of` and `scope_of` have a row per record and point inside.
#[derive(Debug, Clone)]
pub struct Batch {
    table: Table,
    records: RecordBatch,
    resource_of: UInt32Array,
    scope_of: UInt32Array,
    resources: RecordBatch,
    scopes: RecordBatch,
    attributes: [AttributeSets; 3],
    keys: Arc<KeyDictionary>,
}

/// The parts of a [`Batch`] before they are checked; each side has columns and attribute sets.
#[derive(Debug)]
pub struct Side {
    /// The columns of the side's level, in the order of [`Table::columns`].
    pub columns: Vec<ArrayRef>,
    /// One set per row.
    pub attributes: AttributeSets,
}

fn side_rows(side: &Side, table: Table, level: ColumnLevel) -> Result<RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(side.attributes.len()));
    let columns = side.columns.iter().map(|column| {
        let is_dear = says_nothing(column) && !is_shared(column);
        if is_dear { null_column(column.data_type(), column.len()) } else { column.clone() }
    });
    RecordBatch::try_new_with_options(table.schema(level), columns.collect(), &options)
        .map_err(|error| Error::corrupt(format!("batch of {}: {error}", table.name())))
}

/// Whether all rows of a column are null.
fn says_nothing(column: &ArrayRef) -> bool {
    column.null_count() == column.len()
}

impl Batch {
    /// Puts a batch together. A column that is all null is held as [`null_column`] has it, whatever it was before.
    ///
    /// # Errors
    /// `Corrupt` when an invariant does not hold.
    pub fn new(
        table: Table,
        records: Side,
        resource_of: UInt32Array,
        resources: Side,
        scope_of: UInt32Array,
        scopes: Side,
        keys: KeyDictionary,
    ) -> Result<Self> {
        let batch = Self {
            table,
            records: side_rows(&records, table, ColumnLevel::Record)?,
            resources: side_rows(&resources, table, ColumnLevel::Resource)?,
            scopes: side_rows(&scopes, table, ColumnLevel::Scope)?,
            resource_of,
            scope_of,
            attributes: [records.attributes, resources.attributes, scopes.attributes],
            keys: Arc::new(keys),
        };
        let rows = batch.rows();
        for (of, side) in [(&batch.resource_of, &batch.resources), (&batch.scope_of, &batch.scopes)] {
            let inside = of.values().iter().all(|row| (*row as usize) < side.num_rows());
            if of.len() != rows || of.null_count() > 0 || !inside {
                return Err(Error::corrupt(format!("batch of {}: a record points outside", table.name())));
            }
        }
        Ok(batch)
    }

    /// A batch whose records have no resource, scope or attributes.
    ///
    /// # Errors
    /// `Corrupt` when the columns don't have the table's schema.
    pub fn of_columns(table: Table, columns: Vec<ArrayRef>) -> Result<Self> {
        let rows = columns.first().map_or(0, |column| column.len());
        Self::of_records(table, Side { columns, attributes: AttributeSets::empty(rows) }, KeyDictionary::new())
    }

    /// A batch whose records have no resource and no scope.
    ///
    /// # Errors
    /// `Corrupt` when the columns don't have the table's schema.
    pub fn of_records(table: Table, records: Side, keys: KeyDictionary) -> Result<Self> {
        let rows = records.attributes.len();
        let bare = |level: ColumnLevel| Side {
            columns: table.schema(level).fields().iter().map(|field| blank(field)).collect(),
            attributes: AttributeSets::empty(1),
        };
        let zeros = || UInt32Array::from(vec![0u32; rows]);
        Self::new(table, records, zeros(), bare(ColumnLevel::Resource), zeros(), bare(ColumnLevel::Scope), keys)
    }

    /// The table that the records belong to.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Number of records.
    pub fn rows(&self) -> usize {
        self.records.num_rows()
    }

    /// Columns of the records' own level.
    pub fn records(&self) -> &RecordBatch {
        &self.records
    }

    /// Columns of the resources, one row each.
    pub fn resources(&self) -> &RecordBatch {
        &self.resources
    }

    /// Columns of the scopes, one row each.
    pub fn scopes(&self) -> &RecordBatch {
        &self.scopes
    }

    /// For each record the row of its resource.
    pub fn resource_of(&self) -> &UInt32Array {
        &self.resource_of
    }

    /// For each record the row of its scope.
    pub fn scope_of(&self) -> &UInt32Array {
        &self.scope_of
    }

    /// The attribute sets of a family: one per record, resource or scope.
    pub fn attributes(&self, family: Family) -> &AttributeSets {
        &self.attributes[family as usize]
    }

    /// For each record its row in the family's sets; `None` where that is the record's own row.
    pub fn row_of(&self, family: Family) -> Option<&UInt32Array> {
        match family {
            Family::Record => None,
            Family::Resource => Some(&self.resource_of),
            Family::Scope => Some(&self.scope_of),
        }
    }

    /// The keys that all three families number.
    pub fn keys(&self) -> &KeyDictionary {
        &self.keys
    }

    /// Appends the batch as bytes: table number, then records, resources, scopes and keys, each an Arrow IPC stream behind its
    /// length (u32, little-endian). Needs nothing else to be read. Columns that are all null are left out.
    ///
    /// # Errors
    /// `Internal` when Arrow refuses to write.
    pub fn write_to(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(self.table as u8);
        let of: [(&str, &UInt32Array); 2] = [("resource", &self.resource_of), ("scope", &self.scope_of)];
        write_side(out, &self.records, &self.attributes[0], &of)?;
        write_side(out, &self.resources, &self.attributes[1], &[])?;
        write_side(out, &self.scopes, &self.attributes[2], &[])?;
        let keys: StringArray = self.keys.keys().iter().map(|key| Some(&**key)).collect();
        let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Utf8, false)]));
        write_stream(out, &RecordBatch::try_new(schema, vec![Arc::new(keys)])?)
    }

    /// Reads what [`Self::write_to`] wrote from the front of `bytes` and moves it forward. The bytes must have passed a
    /// checksum: Arrow's reader trusts the lengths inside a stream.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not a whole batch.
    pub fn read_from(bytes: &mut &[u8]) -> Result<Self> {
        let (&number, rest) = bytes.split_first().ok_or_else(|| Error::corrupt("batch: no bytes"))?;
        let table = Table::from_u8(number).ok_or_else(|| Error::corrupt(format!("batch: unknown table {number}")))?;
        *bytes = rest;
        let mut streams = || read_stream(bytes);
        let (mut records, mut resources, mut scopes) = (streams()?, streams()?, streams()?);
        let keys = streams()?.take("key")?;
        let keys = keys.as_string_opt::<i32>().ok_or_else(|| Error::corrupt("batch: keys"))?;
        let mut dictionary = KeyDictionary::new();
        for key in keys {
            dictionary.number(key.unwrap_or_default());
        }
        let mut pointers = |name: &str| -> Result<UInt32Array> {
            let column = records.take(name)?;
            column.as_primitive_opt::<UInt32Type>().cloned().ok_or_else(|| Error::corrupt("batch: pointers"))
        };
        let (resource_of, scope_of) = (pointers("resource")?, pointers("scope")?);
        let side = |stream: &mut Stream, level: ColumnLevel| stream.take_side(table, level, dictionary.len());
        let records = side(&mut records, ColumnLevel::Record)?;
        let resources = side(&mut resources, ColumnLevel::Resource)?;
        let scopes = side(&mut scopes, ColumnLevel::Scope)?;
        Self::new(table, records, resource_of, resources, scope_of, scopes, dictionary)
    }
}

/// One row of a column that has nothing to say: null, or zero where null is not allowed.
fn blank(field: &Field) -> ArrayRef {
    if field.is_nullable() {
        return arrow::array::new_null_array(field.data_type(), 1);
    }
    Arc::new(UInt32Array::from(vec![0u32]))
}

/// The columns of a stream, by name.
struct Stream {
    rows: usize,
    columns: Vec<(String, ArrayRef)>,
}

impl Stream {
    fn take_if_there(&mut self, name: &str) -> Option<ArrayRef> {
        let at = self.columns.iter().position(|(each, _)| each == name)?;
        Some(self.columns.swap_remove(at).1)
    }

    fn take(&mut self, name: &str) -> Result<ArrayRef> {
        self.take_if_there(name).ok_or_else(|| Error::corrupt(format!("batch: no column {name}")))
    }

    /// The columns of one level and the attributes, after which none may be left.
    fn take_side(&mut self, table: Table, level: ColumnLevel, keys_len: usize) -> Result<Side> {
        let attributes = AttributeSets::from_array(&self.take("attributes")?, keys_len)?;
        let mut columns = Vec::new();
        for field in table.schema(level).fields() {
            columns.push(match self.take_if_there(field.name()) {
                Some(column) => column,
                // All null, or not known yet to whoever wrote it.
                None if field.is_nullable() => null_column(field.data_type(), self.rows),
                None => return Err(Error::corrupt(format!("batch of {}: no column {}", table.name(), field.name()))),
            });
        }
        match self.columns.first() {
            None => Ok(Side { columns, attributes }),
            Some((name, _)) => Err(Error::corrupt(format!("batch of {}: unknown column {name}", table.name()))),
        }
    }
}

fn write_side(
    out: &mut Vec<u8>,
    rows: &RecordBatch,
    attributes: &AttributeSets,
    more: &[(&str, &UInt32Array)],
) -> Result<()> {
    let schema = rows.schema();
    let spoken = schema.fields().iter().zip(rows.columns()).filter(|(field, column)| {
        // The reader makes up for them.
        !(field.is_nullable() && says_nothing(column))
    });
    let (mut fields, mut columns): (Vec<Arc<Field>>, Vec<ArrayRef>) =
        spoken.map(|(field, column)| (field.clone(), column.clone())).unzip();
    fields.push(Arc::new(Field::new("attributes", AttributeSets::data_type(), false)));
    columns.push(attributes.to_array());
    for (name, of) in more {
        fields.push(Arc::new(Field::new(*name, DataType::UInt32, false)));
        columns.push(Arc::new((*of).clone()));
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    write_stream(out, &RecordBatch::try_new(schema, columns)?)
}

fn write_stream(out: &mut Vec<u8>, rows: &RecordBatch) -> Result<()> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut writer = StreamWriter::try_new(&mut *out, &rows.schema())?;
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    let length = u32::try_from(out.len() - at - 4).map_err(|_| Error::internal("batch: over 4 GiB"))?;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

fn read_stream(bytes: &mut &[u8]) -> Result<Stream> {
    let short = || Error::corrupt("batch: cut short");
    let (length, rest) = bytes.split_at_checked(4).ok_or_else(short)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| short())?) as usize;
    let (stream, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    *bytes = rest;
    let damaged = |error: arrow::error::ArrowError| Error::corrupt(format!("batch: {error}"));
    let mut reader = StreamReader::try_new(Cursor::new(stream), None).map_err(damaged)?;
    let rows = reader.next().ok_or_else(short)?.map_err(damaged)?;
    let names = rows.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    Ok(Stream { rows: rows.num_rows(), columns: names.into_iter().zip(rows.columns().iter().cloned()).collect() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{AttributeSetsBuilder, Value};

    fn change_batch() -> Batch {
        let mut keys = KeyDictionary::new();
        let mut attributes = AttributeSetsBuilder::new();
        attributes.push(keys.number("reason"), Value::String("rollback"));
        attributes.finish_set();
        attributes.finish_set();
        let text = |values: [&str; 2]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        let time = arrow::array::TimestampNanosecondArray::from(vec![1, i64::MAX]).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(time),
            text(["version", "version"]),
            text(["cart", "web"]),
            text(["1", "2"]),
            text(["2", "1"]),
            arrow::array::new_null_array(&DataType::Utf8, 2),
            text(["telemetry", "telemetry"]),
        ];
        let bare = || Side { columns: vec![], attributes: AttributeSets::empty(1) };
        Batch::new(
            Table::Changes,
            Side { columns, attributes: attributes.finish() },
            UInt32Array::from(vec![0, 0]),
            bare(),
            UInt32Array::from(vec![0, 0]),
            bare(),
            keys,
        )
        .unwrap()
    }

    #[test]
    fn a_batch_reads_back_as_it_was_written() {
        let batch = change_batch();
        let mut bytes = Vec::new();
        batch.write_to(&mut bytes).unwrap();
        batch.write_to(&mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        for _ in 0..2 {
            let back = Batch::read_from(&mut rest).unwrap();
            assert_eq!(back.records(), batch.records());
            assert_eq!(back.keys().keys(), batch.keys().keys());
            let entries = |batch: &Batch| format!("{:?}", batch.attributes(Family::Record).row(0).collect::<Vec<_>>());
            assert_eq!(entries(&back), entries(&batch));
        }
        assert!(rest.is_empty());
    }

    /// The same bytes with the records' stream written anew, with these columns taken away and added.
    fn rewritten(batch: &Batch, without: &[&str], more: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        batch.write_to(&mut bytes).unwrap();
        let mut rest = &bytes[1..];
        let mut stream = read_stream(&mut rest).unwrap();
        for name in without {
            stream.take(name).unwrap();
        }
        let rows = stream.rows;
        stream.columns.extend(more.iter().map(|name| ((*name).to_owned(), null_column(&DataType::Utf8, rows))));
        let fields = stream.columns.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let columns = stream.columns.iter().map(|(_, column)| column.clone()).collect();
        let mut out = vec![bytes[0]];
        write_stream(&mut out, &RecordBatch::try_new(schema, columns).unwrap()).unwrap();
        out.extend_from_slice(rest);
        out
    }

    #[test]
    fn columns_are_found_by_name_and_what_may_be_missing_is_null() {
        let batch = change_batch();
        let read = |bytes: &[u8]| Batch::read_from(&mut &bytes[..]);
        let names: Vec<String> = {
            let mut bytes = Vec::new();
            batch.write_to(&mut bytes).unwrap();
            read_stream(&mut &bytes[1..]).unwrap().columns.into_iter().map(|(name, _)| name).collect()
        };
        assert!(!names.contains(&"actor".to_owned()), "{names:?} has a column that is all null");
        assert_eq!(read(&rewritten(&batch, &[], &["actor"])).unwrap().records(), batch.records(), "as written before");
        let back = read(&rewritten(&batch, &["before"], &[])).unwrap();
        assert_eq!(back.records().column(3).null_count(), 2);
        assert_eq!(back.records().column(4), batch.records().column(4));
        for (without, more) in
            [(vec!["kind"], vec![]), (vec![], vec!["weather"]), (vec![], vec!["after"]), (vec!["scope"], vec![])]
        {
            assert!(read(&rewritten(&batch, &without, &more)).is_err(), "without {without:?}, with {more:?}");
        }
    }

    #[test]
    fn columns_that_are_all_null_cost_next_to_nothing() {
        let rows = 2_000;
        let columns = Table::MetricSamples.columns().iter().map(|column| match column.name {
            "time" => Arc::new(arrow::array::TimestampNanosecondArray::from(vec![1; rows]).with_timezone("UTC")),
            "flags" => Arc::new(UInt32Array::from(vec![0; rows])) as ArrayRef,
            "series_id" => {
                Arc::new(arrow::array::FixedSizeBinaryArray::try_from_iter((0..rows).map(|_| [1u8; 16])).unwrap())
            }
            _ => arrow::array::new_null_array(&(column.data_type)(), rows),
        });
        let batch = Batch::of_columns(Table::MetricSamples, columns.collect()).unwrap();
        // 28 bytes of time, flags and series_id; 16 of pointers and attributes.
        assert!(batch.memory_bytes() < rows * 60, "{} bytes in memory", batch.memory_bytes());
        let mut bytes = Vec::new();
        batch.write_to(&mut bytes).unwrap();
        assert!(bytes.len() < rows * 60, "{} bytes written", bytes.len());
        let back = Batch::read_from(&mut bytes.as_slice()).unwrap();
        assert_eq!(back.records(), batch.records());
        assert!(back.memory_bytes() < rows * 60, "{} bytes in memory after reading", back.memory_bytes());
    }

    #[test]
    fn cut_bytes_are_refused() {
        let mut bytes = Vec::new();
        change_batch().write_to(&mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert!(Batch::read_from(&mut &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
