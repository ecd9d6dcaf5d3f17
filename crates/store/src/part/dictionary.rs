//! How does a text come as a number of a dictionary? As Parquet keeps it where it does, else by the numbers that stand for it; only what
//! has to be put together row by row stands in its own dictionary row by row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder as _, ArrayRef, AsArray, DictionaryArray, Int32Array, StringBuilder, new_null_array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use causeway_model::{Error, Result, Value};
use hashbrown::HashMap;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use crate::part::values::ColumnValues;
use crate::scan::dictionary_type;

/// A footer that gives all text as dictionaries.
pub(crate) fn with_dictionaries(footer: &ArrowReaderMetadata) -> parquet::errors::Result<ArrowReaderMetadata> {
    let changed = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(dictionary_type())),
        _ => field.clone(),
    };
    let fields: Vec<Arc<Field>> = footer.schema().fields().iter().map(changed).collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    ArrowReaderMetadata::try_new(footer.metadata().clone(), options)
}

/// A column of text or whole numbers as a dictionary of texts.
///
/// # Errors
/// `Internal` for a column of another type.
pub(crate) fn of_array(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(..) => Ok(array.clone()),
        DataType::Utf8 => own(array),
        DataType::Int32 => {
            let numbers = array.as_primitive::<Int32Type>();
            of_numbers(array, |row| i64::from(numbers.value(row)).cast_unsigned(), int)
        }
        DataType::Int64 => {
            let numbers = array.as_primitive::<Int64Type>();
            of_numbers(array, |row| numbers.value(row).cast_unsigned(), int)
        }
        other => Err(Error::internal(format!("a column of {other} as a dictionary of texts"))),
    }
}

/// An attribute of one kind as a dictionary of its texts.
pub(crate) fn of_values(array: &ArrayRef, values: ColumnValues<'_>) -> Result<Option<ArrayRef>> {
    Ok(Some(match values {
        ColumnValues::Int(numbers) => of_numbers(array, |row| numbers.value(row).cast_unsigned(), int)?,
        ColumnValues::Double(numbers) => {
            of_numbers(array, |row| numbers.value(row).to_bits(), |bits| Value::Double(f64::from_bits(bits)))?
        }
        ColumnValues::Bool(truths) => {
            of_numbers(array, |row| u64::from(truths.value(row)), |bit| Value::Bool(bit == 1))?
        }
        ColumnValues::Text(..) | ColumnValues::Bytes(_) => return Ok(None),
    }))
}

fn int(bits: u64) -> Value<'static> {
    Value::Int(bits.cast_signed())
}

/// Each row has its own place in the dictionary: whoever reads it must look up each text, but none is copied.
fn own(texts: &ArrayRef) -> Result<ArrayRef> {
    if texts.null_count() == texts.len() {
        return Ok(new_null_array(&dictionary_type(), texts.len()));
    }
    let rows = i32::try_from(texts.len()).map_err(|_| Error::internal("too many rows"))?;
    let numbers = Int32Array::try_new((0..rows).collect(), texts.nulls().cloned())?;
    Ok(Arc::new(DictionaryArray::try_new(numbers, texts.clone())?))
}

/// Numbers around the first one that are found without hashing. 2,048: codes, counts and truths lie that near.
const NEAR: u64 = 2_048;
/// No text stands for the number yet.
const NO_PLACE: i32 = -1;

/// Numbers, of which each that occurs is written as text once.
fn of_numbers(
    array: &ArrayRef,
    bits: impl Fn(usize) -> u64,
    value: impl Fn(u64) -> Value<'static>,
) -> Result<ArrayRef> {
    if array.null_count() == array.len() {
        return Ok(new_null_array(&dictionary_type(), array.len()));
    }
    let (mut texts, mut text) = (StringBuilder::new(), String::new());
    let mut near: Vec<i32> = Vec::new();
    let mut far: HashMap<u64, i32> = HashMap::new();
    let first = (0..array.len()).find(|row| array.is_valid(*row)).map_or(0, &bits).wrapping_sub(NEAR / 2);
    near.resize(usize::try_from(NEAR).unwrap_or_default(), NO_PLACE);
    let mut numbers = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        if array.is_null(row) {
            numbers.push(0);
            continue;
        }
        let bits = bits(row);
        let distance = usize::try_from(bits.wrapping_sub(first)).unwrap_or(usize::MAX);
        let place = match near.get_mut(distance) {
            Some(place) => place,
            None => far.entry(bits).or_insert(NO_PLACE),
        };
        if *place == NO_PLACE {
            *place = i32::try_from(texts.len()).map_err(|_| Error::internal("too many rows"))?;
            text.clear();
            value(bits).write_text(&mut text);
            texts.append_value(&text);
        }
        numbers.push(*place);
    }
    let numbers = Int32Array::try_new(numbers.into(), array.nulls().cloned())?;
    Ok(Arc::new(DictionaryArray::try_new(numbers, Arc::new(texts.finish()))?))
}
