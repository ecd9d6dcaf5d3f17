//! How does a column without a single value take no memory? It is a window on zeros that all such columns share.

use std::sync::LazyLock;

use arrow::array::{Array, ArrayData, ArrayRef, make_array, new_empty_array, new_null_array};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;

/// Rows of a column that still shares the zeros: above what senders put into a request.
const ROWS_MAX: usize = 1 << 16;
/// Bytes of a row of the widest type, an id of 16.
const ROW_BYTES_MAX: usize = 16;

static ZEROS: LazyLock<Buffer> =
    LazyLock::new(|| Buffer::from_vec(vec![0u64; ROWS_MAX * ROW_BYTES_MAX / size_of::<u64>()]));

/// A column of nulls. It holds no memory of its own, unless it is longer than any request.
pub fn null_column(data_type: &DataType, rows: usize) -> ArrayRef {
    shared(data_type, rows).unwrap_or_else(|| new_null_array(data_type, rows))
}

fn shared(data_type: &DataType, rows: usize) -> Option<ArrayRef> {
    if rows >= ROWS_MAX {
        return None;
    }
    let zeros = |bytes: usize| (bytes <= ZEROS.len()).then(|| ZEROS.slice_with_length(0, bytes));
    let offsets = || zeros((rows + 1) * size_of::<i32>());
    let data = ArrayData::builder(data_type.clone()).len(rows).null_bit_buffer(zeros(rows.div_ceil(8)));
    let data = match data_type {
        DataType::Boolean => data.add_buffer(zeros(rows.div_ceil(8))?),
        DataType::Utf8 => data.add_buffer(offsets()?).add_buffer(Buffer::default()),
        DataType::FixedSizeBinary(width) => data.add_buffer(zeros(rows.checked_mul(usize::try_from(*width).ok()?)?)?),
        DataType::List(item) => data.add_buffer(offsets()?).add_child_data(new_empty_array(item.data_type()).to_data()),
        other => data.add_buffer(zeros(rows * other.primitive_width()?)?),
    };
    data.build().ok().map(make_array)
}

/// Whether a buffer is part of the zeros.
pub(crate) fn is_zeros(buffer: &Buffer) -> bool {
    buffer.data_ptr() == ZEROS.data_ptr()
}

/// Whether a column is one of those that share the zeros.
pub(crate) fn is_shared(column: &ArrayRef) -> bool {
    column.nulls().is_some_and(|nulls| is_zeros(nulls.buffer()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    #[test]
    fn a_column_of_nulls_is_as_arrow_makes_it() {
        for column in Table::ALL.iter().flat_map(|table| table.columns()) {
            for rows in [0, 1, 7, 2_000, ROWS_MAX - 1, ROWS_MAX] {
                let data_type = (column.data_type)();
                let nulls = null_column(&data_type, rows);
                assert_eq!(&nulls, &new_null_array(&data_type, rows), "{} of {rows} rows", column.name);
                assert_eq!(is_shared(&nulls), rows < ROWS_MAX && rows > 0, "{} of {rows} rows", column.name);
            }
        }
    }
}
