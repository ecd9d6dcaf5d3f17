//! In what form does a column stand in the file? Nearly all as they are; some in one that takes fewer bytes, and that only the writer
//! and the reader of parts ever see.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::kernels::arity::binary;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampNanosecondType};
use causeway_model::{Error, Result, Table};

use crate::part::columns::{PartSchema, Physical, fixed_position};

/// A time that lies close to `time` is kept as its distance from it: the digits that both share are then stored once.
const TIME: &str = "time";
const DELAYED: &str = "observed_time";
const DELAY: &str = "observed_delay";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Same,
    /// Nanoseconds after `time`, as a number of 64 bits that wraps around, so that any two times have one.
    Delay,
}

/// The columns of one file: what they mean, and how they are kept.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    schema: Arc<PartSchema>,
    forms: Vec<Form>,
    /// Where `time` is in `schema`.
    time: Option<usize>,
    /// The columns as the file has them.
    pub(crate) arrow: SchemaRef,
}

impl Stored {
    /// How the columns of a new part are kept.
    pub(crate) fn for_writing(schema: &PartSchema) -> Self {
        let delayed = fixed_position(schema.table, DELAYED).map(Physical::Fixed);
        let form = |column: &Physical| if Some(column) == delayed.as_ref() { Form::Delay } else { Form::Same };
        Self::new(schema.clone(), schema.columns.iter().map(form).collect())
    }

    /// The columns of a file that exists, and for each its position there; what a later version wrote is passed over.
    ///
    /// # Errors
    /// `Corrupt` when a column does not have its type.
    pub(crate) fn of_file(table: Table, file: &Schema) -> Result<(Self, Vec<usize>)> {
        let (mut columns, mut forms, mut roots) = (Vec::new(), Vec::new(), Vec::new());
        for (root, field) in file.fields().iter().enumerate() {
            let Some((column, form)) = column_of(table, field.name()) else { continue };
            if form.field(&column, table).data_type() != field.data_type() {
                return Err(Error::corrupt(format!("column {} has type {}", field.name(), field.data_type())));
            }
            columns.push(column);
            forms.push(form);
            roots.push(root);
        }
        Ok((Self::new(PartSchema::new(table, columns), forms), roots))
    }

    fn new(schema: PartSchema, forms: Vec<Form>) -> Self {
        let time = fixed_position(schema.table, TIME).and_then(|time| schema.position(&Physical::Fixed(time)));
        let columns = schema.columns.iter().zip(&forms);
        let fields: Vec<Field> = columns.map(|(column, form)| form.field(column, schema.table)).collect();
        Self { schema: Arc::new(schema), forms, time, arrow: Arc::new(Schema::new(fields)) }
    }

    /// What the columns mean.
    pub(crate) fn schema(&self) -> &Arc<PartSchema> {
        &self.schema
    }

    /// Rows as they are to stand in the file.
    ///
    /// # Errors
    /// `Internal` when a column does not have its type.
    pub(crate) fn encode(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let time = self.time.and_then(|time| rows.columns().get(time));
        let encoded = rows.columns().iter().zip(&self.forms).map(|(column, form)| match form {
            Form::Same => Ok(column.clone()),
            Form::Delay => delay(column, time),
        });
        Ok(RecordBatch::try_new(self.arrow.clone(), encoded.collect::<Result<_>>()?)?)
    }

    /// The columns to read so that these can be had; both ascending.
    pub(crate) fn needed(&self, columns: &[usize]) -> Vec<usize> {
        let mut needed = columns.to_vec();
        if columns.iter().any(|column| self.form(*column) == Form::Delay) {
            needed.extend(self.time);
            needed.sort_unstable();
            needed.dedup();
        }
        needed
    }

    /// These columns out of those that they need, as they stand in the file.
    ///
    /// # Errors
    /// `Corrupt` when a column does not have its type.
    pub(crate) fn decode(&self, columns: &[usize], read: RecordBatch) -> Result<RecordBatch> {
        if columns.iter().all(|column| self.form(*column) == Form::Same) {
            return Ok(read);
        }
        let needed = self.needed(columns);
        let at = |column: usize| needed.binary_search(&column).ok().and_then(|at| read.columns().get(at));
        let time = self.time.and_then(at);
        let decoded = columns.iter().map(|column| {
            let stored = at(*column).ok_or_else(|| Error::internal("a column was not read"))?;
            match self.form(*column) {
                Form::Same => Ok(stored.clone()),
                Form::Delay => delayed(stored, time, self.schema.arrow.field(*column).data_type()),
            }
        });
        let schema = Arc::new(self.schema.arrow.project(columns)?);
        Ok(RecordBatch::try_new(schema, decoded.collect::<Result<_>>()?)?)
    }

    fn form(&self, column: usize) -> Form {
        self.forms.get(column).copied().unwrap_or(Form::Same)
    }
}

impl Form {
    /// A column of this form as the file has it.
    fn field(self, column: &Physical, table: Table) -> Field {
        let field = column.field(table);
        match self {
            Self::Same => field,
            Self::Delay => Field::new(DELAY, DataType::Int64, field.is_nullable()),
        }
    }
}

/// What the column of this name in a file means, and its form.
fn column_of(table: Table, name: &str) -> Option<(Physical, Form)> {
    if name == DELAY {
        return Some((Physical::Fixed(fixed_position(table, DELAYED)?), Form::Delay));
    }
    Some((Physical::from_name(table, name)?, Form::Same))
}

fn delay(column: &ArrayRef, time: Option<&ArrayRef>) -> Result<ArrayRef> {
    let wrong = || Error::internal("a time is none");
    let column = column.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong)?;
    let time = time.and_then(|time| time.as_primitive_opt::<TimestampNanosecondType>()).ok_or_else(wrong)?;
    Ok(Arc::new(binary::<_, _, _, Int64Type>(column, time, i64::wrapping_sub)?))
}

fn delayed(delay: &ArrayRef, time: Option<&ArrayRef>, data_type: &DataType) -> Result<ArrayRef> {
    let wrong = || Error::corrupt("a delay without its time");
    let delay = delay.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    let time = time.and_then(|time| time.as_primitive_opt::<TimestampNanosecondType>()).ok_or_else(wrong)?;
    let sum = binary::<_, _, _, TimestampNanosecondType>(delay, time, i64::wrapping_add)?;
    Ok(Arc::new(sum.with_data_type(data_type.clone())))
}
