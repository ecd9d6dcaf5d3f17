//! How do attribute values become a typed column, and a typed column values?

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder as _, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder,
    Float64Array, Float64Builder, Int64Array, Int64Builder, MapArray, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use causeway_model::{Error, Kind, Result, Value};

use crate::scan::text_map_type;

/// Builds the column of one kind. Rows that were passed over are null.
#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    /// String, Array and Map; checked to be UTF-8 all at once at the end.
    Text(BinaryBuilder),
    Bytes(BinaryBuilder),
    Int(Int64Builder),
    Double(Float64Builder),
    Bool(BooleanBuilder),
}

impl ColumnBuilder {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Empty | Kind::String | Kind::Array | Kind::Map => Self::Text(BinaryBuilder::new()),
            Kind::Bytes => Self::Bytes(BinaryBuilder::new()),
            Kind::Int => Self::Int(Int64Builder::new()),
            Kind::Double => Self::Double(Float64Builder::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
        }
    }

    /// Fills up with null to this number of rows.
    pub(crate) fn fill_to(&mut self, rows: usize) {
        match self {
            Self::Text(builder) | Self::Bytes(builder) => builder.append_nulls(rows.saturating_sub(builder.len())),
            Self::Int(builder) => builder.append_nulls(rows.saturating_sub(builder.len())),
            Self::Double(builder) => builder.append_nulls(rows.saturating_sub(builder.len())),
            Self::Bool(builder) => builder.append_nulls(rows.saturating_sub(builder.len())),
        }
    }

    /// Sets the next row, `row`, from a flat value (see [`Value::from_flat`]); null when the bytes don't fit.
    #[inline]
    pub(crate) fn append_flat(&mut self, row: usize, flat: &[u8]) {
        match self {
            Self::Text(builder) | Self::Bytes(builder) => {
                if builder.len() < row {
                    builder.append_nulls(row - builder.len());
                }
                builder.append_value(flat);
            }
            Self::Int(builder) => {
                builder.append_nulls(row.saturating_sub(builder.len()));
                builder.append_option(flat.try_into().ok().map(i64::from_le_bytes));
            }
            Self::Double(builder) => {
                builder.append_nulls(row.saturating_sub(builder.len()));
                builder.append_option(flat.try_into().ok().map(f64::from_le_bytes));
            }
            Self::Bool(builder) => {
                builder.append_nulls(row.saturating_sub(builder.len()));
                builder.append_option(flat.first().map(|byte| *byte != 0));
            }
        }
    }

    /// The column with this number of rows; the builder is empty again.
    ///
    /// # Errors
    /// `Corrupt` when text is not UTF-8.
    pub(crate) fn finish(&mut self, rows: usize) -> Result<ArrayRef> {
        self.fill_to(rows);
        Ok(match self {
            Self::Text(builder) => Arc::new(
                StringArray::try_from_binary(builder.finish()).map_err(|_| Error::corrupt("a text is not UTF-8"))?,
            ),
            Self::Bytes(builder) => Arc::new(builder.finish()),
            Self::Int(builder) => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
        })
    }
}

/// A column read as values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ColumnValues<'a> {
    Text(&'a StringArray, Kind),
    Bytes(&'a BinaryArray),
    Int(&'a Int64Array),
    Double(&'a Float64Array),
    Bool(&'a BooleanArray),
}

impl<'a> ColumnValues<'a> {
    /// `None` when the array's type does not fit the kind.
    pub(crate) fn new(array: &'a ArrayRef, kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::Empty => return None,
            Kind::String | Kind::Array | Kind::Map => Self::Text(array.as_string_opt()?, kind),
            Kind::Bytes => Self::Bytes(array.as_binary_opt()?),
            Kind::Int => Self::Int(array.as_primitive_opt::<Int64Type>()?),
            Kind::Double => Self::Double(array.as_primitive_opt::<Float64Type>()?),
            Kind::Bool => Self::Bool(array.as_boolean_opt()?),
        })
    }

    /// The value of a row.
    pub(crate) fn value(&self, row: usize) -> Option<Value<'a>> {
        match *self {
            Self::Text(array, kind) => array.is_valid(row).then(|| match kind {
                Kind::Array => Value::Array(array.value(row)),
                Kind::Map => Value::Map(array.value(row)),
                _ => Value::String(array.value(row)),
            }),
            Self::Bytes(array) => array.is_valid(row).then(|| Value::Bytes(array.value(row))),
            Self::Int(array) => array.is_valid(row).then(|| Value::Int(array.value(row))),
            Self::Double(array) => array.is_valid(row).then(|| Value::Double(array.value(row))),
            Self::Bool(array) => array.is_valid(row).then(|| Value::Bool(array.value(row))),
        }
    }
}

/// Builds a map from text to text.
#[derive(Debug, Default)]
pub(crate) struct TextMapBuilder {
    ends: Vec<usize>,
    keys: StringBuilder,
    values: StringBuilder,
    scratch: String,
}

impl TextMapBuilder {
    /// Adds an entry to the current row; `write` appends its text.
    pub(crate) fn push(&mut self, key: &str, write: impl FnOnce(&mut String)) {
        self.scratch.clear();
        write(&mut self.scratch);
        self.keys.append_value(key);
        self.values.append_value(&self.scratch);
    }

    /// Ends the current row.
    pub(crate) fn finish_row(&mut self) {
        self.ends.push(self.keys.len());
    }

    /// The map; the builder is empty again.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let DataType::Map(entries, sorted) = text_map_type() else {
            return Err(Error::internal("a map type is no map"));
        };
        let DataType::Struct(fields) = entries.data_type().clone() else {
            return Err(Error::internal("map entries are no struct"));
        };
        let ends = std::mem::take(&mut self.ends);
        let lengths = std::iter::once(0).chain(ends.iter().copied()).zip(ends.iter()).map(|(start, end)| end - start);
        let offsets = OffsetBuffer::from_lengths(lengths);
        let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), Arc::new(self.values.finish())];
        let rows = StructArray::try_new(fields, columns, None)?;
        Ok(Arc::new(MapArray::try_new(entries, offsets, rows, None, sorted)?))
    }
}
