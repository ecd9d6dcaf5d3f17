//! In what form does a column stand in the file? Nearly all as they are; some in one that takes fewer bytes, and that only the writer
//! and the reader of parts ever see.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, RecordBatch};
use arrow::compute::kernels::arity::binary;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampNanosecondType};
use causeway_model::{Error, Family, Kind, Result, Table};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescriptor, Type};

use crate::index::Key;
use crate::part::columns::{PartSchema, Physical, fixed_position};
use crate::part::uuid;
use crate::part::values::ColumnBuilder;

/// A time that lies close to `time` is kept as its distance from it: the digits that both share are then stored once.
const TIME: &str = "time";
const DELAYED: &str = "observed_time";
const DELAY: &str = "observed_delay";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Same,
    /// Nanoseconds after `time`, as a number of 64 bits that wraps around, so that any two times have one.
    Delay,
    /// A text that is a UUID in each row, as 16 bytes.
    Uuid,
}

/// What stands in the name of such a column behind the family.
const UUID_SUFFIX: &str = "_uuid";

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
    /// How the columns of a new part with these keys are kept.
    pub(crate) fn for_writing(schema: &PartSchema, keys: &[Key]) -> Self {
        let delayed = fixed_position(schema.table, DELAYED);
        let uuids: HashSet<(Family, &str)> =
            keys.iter().filter(|key| key.uuid).map(|key| (key.statistics.family, &*key.statistics.key)).collect();
        let form = |column: &Physical| match column {
            Physical::Fixed(position) if Some(*position) == delayed => Form::Delay,
            Physical::Attribute { family, key, kind: Kind::String } if uuids.contains(&(*family, key)) => Form::Uuid,
            _ => Form::Same,
        };
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

    /// The file's schema in Parquet's terms: Arrow's have no UUID.
    pub(crate) fn parquet(&self) -> std::result::Result<SchemaDescriptor, ParquetError> {
        let converted = ArrowSchemaConverter::new().convert(&self.arrow)?;
        let fields = converted.root_schema().get_fields().iter().zip(&self.forms).map(|(field, form)| match form {
            Form::Same | Form::Delay => Ok(field.clone()),
            Form::Uuid => Type::primitive_type_builder(field.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY)
                .with_length(uuid::BYTES as i32)
                .with_logical_type(Some(LogicalType::Uuid))
                .with_repetition(Repetition::OPTIONAL)
                .build()
                .map(Arc::new),
        });
        let fields = fields.collect::<std::result::Result<_, _>>()?;
        let root = Type::group_type_builder(converted.root_schema().name()).with_fields(fields).build()?;
        Ok(SchemaDescriptor::new(Arc::new(root)))
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
            Form::Uuid => uuid_bytes(column),
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
                Form::Uuid => uuid_text(stored),
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
            Self::Uuid => {
                let name = match field.name().split_once('.') {
                    Some((family, key)) => format!("{family}{UUID_SUFFIX}.{key}"),
                    None => field.name().clone(),
                };
                Field::new(name, DataType::FixedSizeBinary(uuid::BYTES as i32), true)
            }
        }
    }
}

/// What the column of this name in a file means, and its form.
fn column_of(table: Table, name: &str) -> Option<(Physical, Form)> {
    if name == DELAY {
        return Some((Physical::Fixed(fixed_position(table, DELAYED)?), Form::Delay));
    }
    if let Some((head, key)) = name.split_once('.')
        && let Some(prefix) = head.strip_suffix(UUID_SUFFIX)
    {
        let family = Family::ALL.into_iter().find(|family| family.prefix() == prefix)?;
        return Some((Physical::Attribute { family, key: Arc::from(key), kind: Kind::String }, Form::Uuid));
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

fn uuid_bytes(column: &ArrayRef) -> Result<ArrayRef> {
    let wrong = || Error::internal("a text is no UUID");
    let column = column.as_string_opt::<i32>().ok_or_else(wrong)?;
    let mut out = FixedSizeBinaryBuilder::with_capacity(column.len(), uuid::BYTES as i32);
    for text in column {
        match text {
            Some(text) => out.append_value(uuid::parse(text.as_bytes()).ok_or_else(wrong)?)?,
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn uuid_text(column: &ArrayRef) -> Result<ArrayRef> {
    let wrong = || Error::corrupt("a UUID does not have its length");
    let column = column.as_fixed_size_binary_opt().ok_or_else(wrong)?;
    let mut out = ColumnBuilder::new(Kind::String);
    for (row, bytes) in column.iter().enumerate() {
        if let Some(bytes) = bytes {
            out.append_flat(row, &uuid::format(bytes.try_into().map_err(|_| wrong())?));
        }
    }
    out.finish(column.len())
}
