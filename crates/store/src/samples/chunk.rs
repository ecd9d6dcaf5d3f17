//! What is a chunk? Samples of one series in order of time: each column of `metric_samples` or of a table of rollups by itself, and only
//! where it says anything.
//!
//! The bytes: docs/formats/samples.md.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, ListArray, StructArray, TimestampNanosecondArray,
    UInt32Array, UInt64Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use causeway_model::{Error, Result, Table};

use super::integers::{damaged, push_varint, take, take_varint};
use super::{floats, integers};

/// Samples of a chunk at most. 1,024: four hours at 15 s; its fixed bytes are then below a hundredth, and a short window decodes little.
pub const CHUNK_ROWS_MAX: usize = 1_024;
/// Items of all lists of one column of a chunk at most: what [`CHUNK_ROWS_MAX`] histograms of 16,384 buckets have.
const ITEMS_MAX: usize = 1 << 24;

/// Position of the column in `metric_samples`.
pub(crate) const TIME: usize = 0;
/// The series' id, which stands beside the chunk.
pub(crate) const SERIES_ID: usize = 1;
/// Positions of other columns.
pub(crate) const START_TIME: usize = 2;
pub(crate) const FLAGS: usize = 3;
pub(crate) const VALUE: usize = 4;
const VALUE_INT: usize = 5;

/// Bits of a column's first byte: some rows lack it; all lists are of one length; all lists are the first one.
const SOME_LACK: u8 = 1;
const ONE_LENGTH: u8 = 2;
const ONE_LIST: u8 = 4;
/// Bit of the chunk's first byte: `value` is `value_int` as floating point.
const VALUE_IS_INT: u8 = 1;

/// Samples of one series, decoded.
#[derive(Debug, Default, Clone)]
pub struct Chunk {
    rows: usize,
    /// By position in the table, ascending; a column that says nothing is left out.
    columns: Vec<(usize, Column)>,
}

#[derive(Debug, Clone)]
struct Column {
    /// Whether each row has it; `None` where all do.
    present: Option<Vec<bool>>,
    /// Of the rows that have it.
    data: Data,
}

#[derive(Debug, Clone)]
enum Data {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    /// The lengths, and the items of all lists, of which a pair has two streams.
    Lists(Vec<i64>, Vec<Data>),
}

/// The values of a column of numbers, of rows that may lack it.
pub(super) enum Cells {
    Integers(Vec<Option<i64>>),
    Floats(Vec<Option<f64>>),
}

/// How the values of a column are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Integer,
    Float,
    Integers,
    Floats,
    Pairs,
}

/// A column of any table that stands in chunks: those of rollups are those of samples and some more.
fn column_at(position: usize) -> Result<&'static causeway_model::Column> {
    Table::MetricRollups5m.columns().get(position).ok_or_else(damaged)
}

fn shape(position: usize) -> Result<Shape> {
    let column = column_at(position)?;
    Ok(match (column.data_type)() {
        DataType::Timestamp(..) | DataType::Int64 | DataType::UInt64 | DataType::Int32 | DataType::UInt32 => {
            Shape::Integer
        }
        DataType::Float64 => Shape::Float,
        DataType::List(item) => match item.data_type() {
            DataType::UInt64 => Shape::Integers,
            DataType::Float64 => Shape::Floats,
            DataType::Struct(_) => Shape::Pairs,
            other => return Err(Error::internal(format!("no chunks of lists of {other}"))),
        },
        other => return Err(Error::internal(format!("no chunks of {other}"))),
    })
}

impl Data {
    fn empty(shape: Shape) -> Self {
        match shape {
            Shape::Integer => Self::Integers(Vec::new()),
            Shape::Float => Self::Floats(Vec::new()),
            Shape::Integers => Self::Lists(Vec::new(), vec![Self::Integers(Vec::new())]),
            Shape::Floats => Self::Lists(Vec::new(), vec![Self::Floats(Vec::new())]),
            Shape::Pairs => Self::Lists(Vec::new(), vec![Self::Floats(Vec::new()), Self::Floats(Vec::new())]),
        }
    }

    fn append(&mut self, other: &Self) {
        match (self, other) {
            (Self::Integers(mine), Self::Integers(theirs)) => mine.extend_from_slice(theirs),
            (Self::Floats(mine), Self::Floats(theirs)) => mine.extend_from_slice(theirs),
            (Self::Lists(mine, items), Self::Lists(theirs, more)) => {
                mine.extend_from_slice(theirs);
                items.iter_mut().zip(more).for_each(|(items, more)| items.append(more));
            }
            // Data of one column have one shape.
            _ => {}
        }
    }

    /// The same with the values in another order.
    fn permuted(&self, order: &[usize]) -> Self {
        match self {
            Self::Integers(values) => Self::Integers(order.iter().filter_map(|at| values.get(*at).copied()).collect()),
            Self::Floats(values) => Self::Floats(order.iter().filter_map(|at| values.get(*at).copied()).collect()),
            Self::Lists(lengths, items) => {
                let mut starts = Vec::with_capacity(lengths.len());
                let mut end = 0usize;
                for length in lengths {
                    starts.push(end);
                    end += usize::try_from(*length).unwrap_or(0);
                }
                let of = |at: &usize| {
                    let start = starts.get(*at).copied().unwrap_or(0);
                    start..start + lengths.get(*at).and_then(|length| usize::try_from(*length).ok()).unwrap_or(0)
                };
                let positions: Vec<usize> = order.iter().flat_map(of).collect();
                let lengths = order.iter().filter_map(|at| lengths.get(*at).copied()).collect();
                Self::Lists(lengths, items.iter().map(|items| items.permuted(&positions)).collect())
            }
        }
    }
}

impl Chunk {
    /// Number of samples.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Times of the samples, in nanoseconds since 1970.
    pub fn times(&self) -> &[i64] {
        match self.columns.first() {
            Some((TIME, Column { data: Data::Integers(times), .. })) => times,
            _ => &[],
        }
    }

    /// Rows of a table's columns, all of one series.
    ///
    /// # Errors
    /// `Internal` when these are not its columns.
    pub fn of_rows(columns: &[ArrayRef], rows: Range<usize>) -> Result<Self> {
        let mut chunk = Self { rows: rows.len(), columns: Vec::new() };
        for (position, array) in columns.iter().enumerate().filter(|(position, _)| *position != SERIES_ID) {
            // A null array is not looked at row by row.
            if array.null_count() == array.len() && !array.is_empty() {
                continue;
            }
            let array = array.slice(rows.start, rows.len());
            let column = Column::of_array(shape(position)?, &array)?;
            if column.says_something(position) {
                chunk.columns.push((position, column));
            }
        }
        Ok(chunk)
    }

    /// Rows of these columns, in the order of their positions.
    pub(super) fn of_cells(rows: usize, columns: impl IntoIterator<Item = (usize, Cells)>) -> Self {
        let columns = columns.into_iter().map(|(position, cells)| (position, Column::of_cells(cells)));
        Self { rows, columns: columns.filter(|(position, column)| column.says_something(*position)).collect() }
    }

    /// Adds the samples of another chunk of the same series behind.
    ///
    /// # Errors
    /// `Corrupt` when a column is none of the table's.
    pub(crate) fn append(&mut self, other: &Self) -> Result<()> {
        if self.rows == 0 {
            *self = other.clone();
            return Ok(());
        }
        for (position, column) in &other.columns {
            let at = self.columns.partition_point(|(mine, _)| mine < position);
            if self.columns.get(at).is_none_or(|(mine, _)| mine != position) {
                self.columns.insert(at, (*position, Column::lacking(*position, self.rows)?));
            }
            if let Some((_, mine)) = self.columns.get_mut(at) {
                mine.append(column, self.rows, other.rows);
            }
        }
        let theirs = |position: &usize| other.columns.iter().any(|(other, _)| other == position);
        for (position, mine) in self.columns.iter_mut().filter(|(position, _)| !theirs(position)) {
            mine.append(&Column::lacking(*position, other.rows)?, self.rows, other.rows);
        }
        self.rows += other.rows;
        Ok(())
    }

    /// Puts the samples into the order of time; those of one time stay as they came.
    pub(crate) fn sort(&mut self) {
        if self.times().is_sorted() {
            return;
        }
        let times = self.times();
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|at| times.get(*at).copied());
        for (_, column) in &mut self.columns {
            *column = column.permuted(&order);
        }
    }

    /// The samples in pieces of at most so many, each as bytes.
    pub fn encode(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        let piece = if rows == (0..self.rows) { None } else { Some(self.slice(rows)) };
        piece.as_ref().unwrap_or(self).encode_whole(out);
    }

    fn slice(&self, rows: Range<usize>) -> Self {
        self.rows_at(&rows.collect::<Vec<_>>())
    }

    /// Some of the samples.
    pub(crate) fn rows_at(&self, rows: &[usize]) -> Self {
        let columns = self.columns.iter().map(|(position, column)| (*position, column.permuted(rows)));
        Self { rows: rows.len(), columns: columns.collect() }
    }

    /// The values of a column of floating point numbers, row by row; empty where it says nothing.
    pub(crate) fn floats(&self, position: usize) -> Vec<Option<f64>> {
        match self.column(position) {
            Some(Column { present, data: Data::Floats(values) }) => {
                spread_options(present.as_deref(), values, self.rows)
            }
            _ => Vec::new(),
        }
    }

    /// The values of a column of integers, row by row, 0 where it lacks one; empty where it says nothing.
    pub(crate) fn integers(&self, position: usize) -> Vec<i64> {
        self.integer_options(position).into_iter().map(Option::unwrap_or_default).collect()
    }

    /// The values of a column of integers, row by row; empty where it says nothing.
    pub(super) fn integer_options(&self, position: usize) -> Vec<Option<i64>> {
        match self.column(position) {
            Some(Column { present, data: Data::Integers(values) }) => {
                spread_options(present.as_deref(), values, self.rows)
            }
            _ => Vec::new(),
        }
    }

    /// Appends times and start times, both in milliseconds since 1970, and values of a chunk that holds nothing else, and says whether it is such a one; if not, nothing is
    /// appended. `starts` is as long as `times` was where it is not empty.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are no chunk.
    pub(crate) fn decode_values(
        bytes: &[u8],
        times: &mut Vec<i64>,
        values: &mut Vec<f64>,
        starts: &mut Vec<i64>,
    ) -> Result<bool> {
        let mut probe = Parts::read(bytes)?;
        let value = if probe.value_is_int { VALUE_INT } else { VALUE };
        let (mut has_start, mut has_value) = (false, false);
        while let Some((position, column)) = probe.next()? {
            // The first byte is not zero where some rows lack the column.
            if !([TIME, START_TIME, value].contains(&position) && column.first() == Some(&0)) {
                return Ok(false);
            }
            has_start |= position == START_TIME;
            has_value |= position == value;
        }
        if !has_value {
            return Ok(false);
        }
        let mut parts = Parts::read(bytes)?;
        let before = times.len();
        while let Some((position, column)) = parts.next()? {
            let mut column = column.get(1..).unwrap_or_default();
            match position {
                TIME => integers::decode_as(&mut column, parts.rows, times, milliseconds)?,
                START_TIME => {
                    starts.resize(before, 0);
                    integers::decode_as(&mut column, parts.rows, starts, milliseconds)?;
                }
                VALUE_INT => integers::decode_as(&mut column, parts.rows, values, |int| int as f64)?,
                _ => floats::decode(&mut column, parts.rows, values)?,
            }
        }
        if !has_start && !starts.is_empty() {
            starts.resize(times.len(), 0);
        }
        if times.len() == values.len() { Ok(true) } else { Err(damaged()) }
    }

    fn encode_whole(&self, out: &mut Vec<u8>) {
        let value_is_int = self.value_is_int();
        out.push(if value_is_int { VALUE_IS_INT } else { 0 });
        push_varint(self.rows as u64, out);
        let written = |(position, _): &&(usize, Column)| !(value_is_int && *position == VALUE);
        out.push(self.columns.iter().filter(written).count() as u8);
        let mut bytes = Vec::new();
        for (position, column) in self.columns.iter().filter(written) {
            bytes.clear();
            column.encode(&mut bytes);
            out.push(*position as u8);
            push_varint(bytes.len() as u64, out);
            out.extend_from_slice(&bytes);
        }
    }

    fn column(&self, position: usize) -> Option<&Column> {
        self.columns.iter().find(|(mine, _)| *mine == position).map(|(_, column)| column)
    }

    /// Whether each `value` follows from an exact integer beside it.
    fn value_is_int(&self) -> bool {
        let (Some(value), Some(int)) = (self.column(VALUE), self.column(VALUE_INT)) else { return false };
        match (&value.data, &int.data) {
            (Data::Floats(floats), Data::Integers(integers)) => {
                value.present == int.present
                    && floats.iter().zip(integers).all(|(float, int)| float.to_bits() == (*int as f64).to_bits())
            }
            _ => false,
        }
    }

    /// Reads those columns that are wanted, and time.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are no chunk.
    pub fn decode(bytes: &[u8], wanted: impl Fn(usize) -> bool) -> Result<Self> {
        let mut parts = Parts::read(bytes)?;
        let mut chunk = Self { rows: parts.rows, columns: Vec::new() };
        let value_wanted = wanted(VALUE) && parts.value_is_int;
        while let Some((position, mut bytes)) = parts.next()? {
            if position == TIME || wanted(position) || (position == VALUE_INT && value_wanted) {
                chunk.columns.push((position, Column::decode(shape(position)?, parts.rows, &mut bytes)?));
            }
        }
        if chunk.columns.first().is_none_or(|(position, column)| *position != TIME || column.present.is_some()) {
            return Err(damaged());
        }
        if value_wanted {
            let int = chunk.column(VALUE_INT).cloned().ok_or_else(damaged)?;
            let Data::Integers(integers) = int.data else { return Err(damaged()) };
            let data = Data::Floats(integers.iter().map(|int| *int as f64).collect());
            let at = chunk.columns.partition_point(|(position, _)| *position < VALUE);
            chunk.columns.insert(at, (VALUE, Column { present: int.present, data }));
        }
        Ok(chunk)
    }

    /// A column as an array; not that of the series' id.
    ///
    /// # Errors
    /// `Corrupt` when the column can't be what the table says.
    pub fn to_array(&self, position: usize) -> Result<ArrayRef> {
        let column = column_at(position)?;
        match self.column(position) {
            Some(found) => found.to_array(&(column.data_type)(), self.rows),
            None if column.nullable => Ok(new_null_array(&(column.data_type)(), self.rows)),
            None => Ok(Arc::new(UInt32Array::from(vec![0; self.rows]))),
        }
    }
}

/// The first nanosecond of a millisecond.
pub(crate) fn nanoseconds(time_ms: i64) -> i64 {
    time_ms.saturating_mul(1_000_000)
}

/// Nanoseconds as the milliseconds that they lie in.
pub(crate) fn milliseconds(time: i64) -> i64 {
    time.div_euclid(1_000_000)
}

/// The columns of a chunk's bytes.
struct Parts<'a> {
    rows: usize,
    value_is_int: bool,
    left: u8,
    last: Option<usize>,
    bytes: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(mut bytes: &'a [u8]) -> Result<Self> {
        let flags = take(&mut bytes, 1)?.first().copied().unwrap_or_default();
        let rows = usize::try_from(take_varint(&mut bytes)?).map_err(|_| damaged())?;
        let left = take(&mut bytes, 1)?.first().copied().unwrap_or_default();
        if rows == 0 || rows > CHUNK_ROWS_MAX || flags > VALUE_IS_INT {
            return Err(damaged());
        }
        Ok(Self { rows, value_is_int: flags == VALUE_IS_INT, left, last: None, bytes })
    }

    fn next(&mut self) -> Result<Option<(usize, &'a [u8])>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let position = usize::from(take(&mut self.bytes, 1)?.first().copied().unwrap_or_default());
        if self.last.is_some_and(|last| last >= position) || position == SERIES_ID {
            return Err(damaged());
        }
        self.last = Some(position);
        let length = usize::try_from(take_varint(&mut self.bytes)?).map_err(|_| damaged())?;
        Ok(Some((position, take(&mut self.bytes, length)?)))
    }
}

impl Column {
    /// Of rows that all lack it, or for a column that can't be lacking have its zero.
    fn lacking(position: usize, rows: usize) -> Result<Self> {
        if position == FLAGS {
            return Ok(Self { present: None, data: Data::Integers(vec![0; rows]) });
        }
        Ok(Self { present: Some(vec![false; rows]), data: Data::empty(shape(position)?) })
    }

    fn of_cells(cells: Cells) -> Self {
        fn split<T: Copy>(cells: &[Option<T>]) -> (Option<Vec<bool>>, Vec<T>) {
            let present = cells.iter().any(Option::is_none);
            let present = present.then(|| cells.iter().map(Option::is_some).collect());
            (present, cells.iter().copied().flatten().collect())
        }
        match cells {
            Cells::Integers(cells) => {
                let (present, values) = split(&cells);
                Self { present, data: Data::Integers(values) }
            }
            Cells::Floats(cells) => {
                let (present, values) = split(&cells);
                Self { present, data: Data::Floats(values) }
            }
        }
    }

    fn of_array(shape: Shape, array: &ArrayRef) -> Result<Self> {
        let present = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let has = |row: &usize| present.is_none_or(|present| present.is_valid(*row));
        let rows = || (0..array.len()).filter(has);
        let data = match shape {
            Shape::Integer => Data::Integers(integers_of(array, rows())?),
            Shape::Float => Data::Floats(floats_of(array, rows())?),
            Shape::Integers | Shape::Floats | Shape::Pairs => {
                let list = array.as_list_opt::<i32>().ok_or_else(damaged)?;
                let (mut lengths, mut positions) = (Vec::new(), Vec::new());
                for row in rows() {
                    let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
                    lengths.push((end - start) as i64);
                    positions.extend(start..end);
                }
                let items = match shape {
                    Shape::Integers => vec![Data::Integers(integers_of(list.values(), positions.into_iter())?)],
                    Shape::Floats => vec![Data::Floats(floats_of(list.values(), positions.into_iter())?)],
                    _ => {
                        let pairs = list.values().as_struct_opt().ok_or_else(damaged)?;
                        let of = |column: &ArrayRef| floats_of(column, positions.iter().copied()).map(Data::Floats);
                        pairs.columns().iter().map(of).collect::<Result<_>>()?
                    }
                };
                Data::Lists(lengths, items)
            }
        };
        Ok(Self { present: present.map(|present| present.iter().collect()), data })
    }

    fn says_something(&self, position: usize) -> bool {
        let zero =
            position == FLAGS && matches!(&self.data, Data::Integers(values) if values.iter().all(|value| *value == 0));
        !zero && self.present.as_ref().is_none_or(|present| present.contains(&true))
    }

    fn append(&mut self, other: &Self, mine: usize, theirs: usize) {
        if self.present.is_some() || other.present.is_some() {
            let present = self.present.get_or_insert_with(|| vec![true; mine]);
            match &other.present {
                Some(other) => present.extend_from_slice(other),
                None => present.resize(mine + theirs, true),
            }
        }
        self.data.append(&other.data);
    }

    fn permuted(&self, order: &[usize]) -> Self {
        let Some(present) = &self.present else {
            return Self { present: None, data: self.data.permuted(order) };
        };
        let mut before = Vec::with_capacity(present.len());
        let mut count = 0usize;
        for has in present {
            before.push(count);
            count += usize::from(*has);
        }
        let has = |at: &&usize| present.get(**at).copied().unwrap_or(false);
        let of_data: Vec<usize> = order.iter().filter(has).filter_map(|at| before.get(*at).copied()).collect();
        let permuted: Vec<bool> = order.iter().map(|at| has(&at)).collect();
        let present = permuted.contains(&false).then_some(permuted);
        Self { present, data: self.data.permuted(&of_data) }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let head = out.len();
        out.push(if self.present.is_some() { SOME_LACK } else { 0 });
        if let Some(present) = &self.present {
            integers::encode(&present.iter().map(|present| i64::from(*present)).collect::<Vec<_>>(), out);
        }
        match &self.data {
            Data::Integers(values) => integers::encode(values, out),
            Data::Floats(values) => floats::encode(values, out),
            Data::Lists(lengths, items) => {
                let flags = encode_lists(lengths, items, out);
                if let Some(head) = out.get_mut(head) {
                    *head |= flags;
                }
            }
        }
    }

    fn decode(shape: Shape, rows: usize, bytes: &mut &[u8]) -> Result<Self> {
        let flags = take(bytes, 1)?.first().copied().unwrap_or_default();
        let present = if flags & SOME_LACK == 0 {
            None
        } else {
            let mut present = Vec::new();
            integers::decode(bytes, rows, &mut present)?;
            Some(present.into_iter().map(|present| present != 0).collect::<Vec<_>>())
        };
        let count = present.as_ref().map_or(rows, |present| present.iter().filter(|present| **present).count());
        let data = match shape {
            Shape::Integer => Data::Integers(decode_integers(bytes, count)?),
            Shape::Float => Data::Floats(decode_floats(bytes, count)?),
            _ => decode_lists(shape, flags, count, bytes)?,
        };
        Ok(Self { present, data })
    }

    fn to_array(&self, data_type: &DataType, rows: usize) -> Result<ArrayRef> {
        let nulls = self.present.as_ref().map(|present| NullBuffer::from(present.clone()));
        Ok(match (&self.data, data_type) {
            (Data::Integers(values), DataType::Timestamp(..)) => {
                Arc::new(TimestampNanosecondArray::try_new(self.spread(values, rows), nulls)?.with_timezone("UTC"))
            }
            (Data::Integers(values), DataType::Int64) => {
                Arc::new(Int64Array::try_new(self.spread(values, rows), nulls)?)
            }
            (Data::Integers(values), DataType::UInt64) => {
                let values: Vec<u64> = values.iter().map(|value| *value as u64).collect();
                Arc::new(UInt64Array::try_new(self.spread(&values, rows), nulls)?)
            }
            (Data::Integers(values), DataType::Int32) => {
                let values: Vec<i32> = values.iter().map(|value| *value as i32).collect();
                Arc::new(Int32Array::try_new(self.spread(&values, rows), nulls)?)
            }
            (Data::Integers(values), DataType::UInt32) => {
                let values: Vec<u32> = values.iter().map(|value| *value as u32).collect();
                Arc::new(UInt32Array::try_new(self.spread(&values, rows), nulls)?)
            }
            (Data::Floats(values), DataType::Float64) => {
                Arc::new(Float64Array::try_new(self.spread(values, rows), nulls)?)
            }
            (Data::Lists(lengths, items), DataType::List(item)) => {
                let lengths: Vec<usize> = self.spread(lengths, rows).iter().map(|length| *length as usize).collect();
                let items = list_items(item, items)?;
                Arc::new(ListArray::try_new(item.clone(), OffsetBuffer::from_lengths(lengths), items, nulls)?)
            }
            (_, other) => return Err(Error::internal(format!("no chunk holds {other}"))),
        })
    }

    /// The values at their rows, zeros between them.
    fn spread<T: Copy + Default + arrow::datatypes::ArrowNativeType>(
        &self,
        values: &[T],
        rows: usize,
    ) -> ScalarBuffer<T> {
        let Some(present) = &self.present else { return values.to_vec().into() };
        let mut values = values.iter();
        let spread: Vec<T> = present
            .iter()
            .map(|has| if *has { values.next().copied().unwrap_or_default() } else { T::default() })
            .take(rows)
            .collect();
        spread.into()
    }
}

/// Values at their rows.
fn spread_options<T: Copy>(present: Option<&[bool]>, values: &[T], rows: usize) -> Vec<Option<T>> {
    let Some(present) = present else { return values.iter().copied().map(Some).collect() };
    let mut values = values.iter();
    present.iter().take(rows).map(|has| if *has { values.next().copied() } else { None }).collect()
}

fn integers_of(array: &ArrayRef, rows: impl Iterator<Item = usize>) -> Result<Vec<i64>> {
    macro_rules! values {
        ($type:ty) => {{
            let values = array.as_primitive_opt::<$type>().ok_or_else(damaged)?.values();
            Ok(rows.filter_map(|row| values.get(row)).map(|value| *value as i64).collect())
        }};
    }
    match array.data_type() {
        DataType::Timestamp(..) => values!(TimestampNanosecondType),
        DataType::Int64 => values!(Int64Type),
        DataType::UInt64 => values!(UInt64Type),
        DataType::Int32 => values!(Int32Type),
        DataType::UInt32 => values!(UInt32Type),
        other => Err(Error::internal(format!("no integers in {other}"))),
    }
}

fn floats_of(array: &ArrayRef, rows: impl Iterator<Item = usize>) -> Result<Vec<f64>> {
    let values = array.as_primitive_opt::<Float64Type>().ok_or_else(damaged)?.values();
    Ok(rows.filter_map(|row| values.get(row)).copied().collect())
}

fn list_items(item: &Arc<Field>, items: &[Data]) -> Result<ArrayRef> {
    Ok(match (item.data_type(), items) {
        (DataType::UInt64, [Data::Integers(values)]) => {
            Arc::new(UInt64Array::from_iter_values(values.iter().map(|value| *value as u64)))
        }
        (DataType::Float64, [Data::Floats(values)]) => Arc::new(Float64Array::from(values.clone())),
        (DataType::Struct(fields), [Data::Floats(first), Data::Floats(second)]) => {
            let columns: Vec<ArrayRef> =
                vec![Arc::new(Float64Array::from(first.clone())), Arc::new(Float64Array::from(second.clone()))];
            Arc::new(StructArray::try_new(fields.clone(), columns, None)?)
        }
        (other, _) => return Err(Error::internal(format!("no chunk holds lists of {other}"))),
    })
}

/// Lists of one length are turned, so that what stands in one bucket over time stands together. Answers the flags.
fn encode_lists(lengths: &[i64], items: &[Data], out: &mut Vec<u8>) -> u8 {
    let Some((&length, _)) = lengths.split_first() else { return 0 };
    let one_length = lengths.iter().all(|other| *other == length);
    if !one_length {
        integers::encode(lengths, out);
        items.iter().for_each(|items| encode_items(items, 0, 1, out));
        return 0;
    }
    push_varint(length as u64, out);
    let size = length as usize;
    let one_list = items.iter().all(|items| match items {
        Data::Integers(values) => values.chunks(size.max(1)).all(|list| values.starts_with(list)),
        Data::Floats(values) => values
            .iter()
            .enumerate()
            .all(|(at, value)| values.get(at % size.max(1)).is_some_and(|first| first.to_bits() == value.to_bits())),
        Data::Lists(..) => false,
    });
    for items in items {
        if one_list {
            encode_items(&items.permuted(&(0..size).collect::<Vec<_>>()), 0, 1, out);
        } else {
            (0..size).for_each(|bucket| encode_items(items, bucket, size, out));
        }
    }
    ONE_LENGTH | if one_list { ONE_LIST } else { 0 }
}

fn encode_items(items: &Data, first: usize, step: usize, out: &mut Vec<u8>) {
    match items {
        Data::Integers(values) => {
            integers::encode(&values.iter().skip(first).step_by(step).copied().collect::<Vec<_>>(), out);
        }
        Data::Floats(values) => {
            floats::encode(&values.iter().skip(first).step_by(step).copied().collect::<Vec<_>>(), out);
        }
        Data::Lists(..) => {}
    }
}

fn decode_lists(shape: Shape, flags: u8, count: usize, bytes: &mut &[u8]) -> Result<Data> {
    let Data::Lists(_, mut streams) = Data::empty(shape) else { return Err(damaged()) };
    if count == 0 {
        return Ok(Data::empty(shape));
    }
    let size_of = |length: i64| usize::try_from(length).ok().filter(|length| *length <= ITEMS_MAX).ok_or_else(damaged);
    if flags & ONE_LENGTH == 0 {
        let lengths = decode_integers(bytes, count)?;
        let total =
            lengths.iter().try_fold(0usize, |sum, length| Ok::<_, Error>(sum.saturating_add(size_of(*length)?)))?;
        if total > ITEMS_MAX {
            return Err(damaged());
        }
        streams.iter_mut().try_for_each(|items| decode_items(items, bytes, total))?;
        return Ok(Data::Lists(lengths, streams));
    }
    let length = i64::try_from(take_varint(bytes)?).map_err(|_| damaged())?;
    let size = size_of(length)?;
    if size.saturating_mul(count) > ITEMS_MAX {
        return Err(damaged());
    }
    for items in &mut streams {
        let mut turned = items.clone();
        if flags & ONE_LIST != 0 {
            decode_items(&mut turned, bytes, size)?;
            (0..count).for_each(|_| items.append(&turned));
        } else {
            (0..size).try_for_each(|_| decode_items(&mut turned, bytes, count))?;
            let order: Vec<usize> =
                (0..count).flat_map(|row| (0..size).map(move |bucket| bucket * count + row)).collect();
            *items = turned.permuted(&order);
        }
    }
    Ok(Data::Lists(vec![length; count], streams))
}

fn decode_items(items: &mut Data, bytes: &mut &[u8], count: usize) -> Result<()> {
    match items {
        Data::Integers(values) => integers::decode(bytes, count, values),
        Data::Floats(values) => floats::decode(bytes, count, values),
        Data::Lists(..) => Err(damaged()),
    }
}

fn decode_integers(bytes: &mut &[u8], count: usize) -> Result<Vec<i64>> {
    let mut values = Vec::with_capacity(count.min(CHUNK_ROWS_MAX));
    integers::decode(bytes, count, &mut values)?;
    Ok(values)
}

fn decode_floats(bytes: &mut &[u8], count: usize) -> Result<Vec<f64>> {
    let mut values = Vec::with_capacity(count.min(CHUNK_ROWS_MAX));
    floats::decode(bytes, count, &mut values)?;
    Ok(values)
}
