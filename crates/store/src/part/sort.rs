//! In which order do the rows of many batches stand in a part? Sorted by [`Table::sort_columns`], rows that compare equal as they came.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimestampNanosecondType};
use causeway_model::{Batch, ColumnLevel, Error, Result, Table};
use hashbrown::HashMap;

/// One row: its sort key, its batch and its row there.
pub(crate) type Ordered = (u128, u32, u32);

/// The rows of all batches in order.
///
/// The key is a rank of what stands before time (so that no text is compared while sorting) above the time.
pub(crate) fn sorted_rows(table: Table, batches: &[Arc<Batch>]) -> Result<Vec<Ordered>> {
    let mut leading: Vec<&str> = table.sort_columns().to_vec();
    let by_time = leading.last() == Some(&"time");
    if by_time {
        leading.pop();
    }
    let ranks = match leading[..] {
        [] => None,
        ["series_id"] => Some(rank_ids(table, batches)?),
        _ => Some(rank(table, batches, &leading)?),
    };
    let mut rows = Vec::with_capacity(batches.iter().map(|batch| batch.rows()).sum());
    for (number, batch) in batches.iter().enumerate() {
        let times =
            batch.records().columns().first().and_then(|time| time.as_primitive_opt::<TimestampNanosecondType>());
        let times = times.ok_or_else(|| Error::internal("the first column is not time"))?;
        let number = u32::try_from(number).map_err(|_| Error::internal("over 4 billion batches"))?;
        for (row, time) in (0u32..).zip(times.values()) {
            let rank = ranks.as_ref().map_or(0, |ranks| ranks[number as usize][row as usize]);
            // Flipping the sign bit makes the order of unsigned numbers that of signed ones.
            let time = if by_time { (*time as u64) ^ (1 << 63) } else { 0 };
            rows.push(((u128::from(rank) << 64) | u128::from(time), number, row));
        }
    }
    if !rows.is_sorted_by_key(|row| row.0) {
        rows.sort_by_key(|row| row.0);
    }
    Ok(rows)
}

/// For each row of each batch the rank of its series, whose id is never null: as numbers, which is faster than as bytes.
fn rank_ids(table: Table, batches: &[Arc<Batch>]) -> Result<Vec<Vec<u32>>> {
    let mut numbers: HashMap<u128, u32> = HashMap::new();
    let mut all = Vec::with_capacity(batches.len());
    for batch in batches {
        let (column, _) = column_of(table, batch, "series_id")?;
        let ids = column.as_fixed_size_binary_opt().ok_or_else(|| Error::internal("series_id is no id"))?;
        let (ids, _) = ids.value_data().as_chunks::<16>();
        let mut of_batch = Vec::with_capacity(ids.len());
        let mut last = None;
        for id in ids {
            let number = match last {
                Some((known, number)) if known == id => number,
                _ => {
                    let next = u32::try_from(numbers.len()).map_err(|_| Error::internal("over 4 billion keys"))?;
                    *numbers.entry(u128::from_be_bytes(*id)).or_insert(next)
                }
            };
            last = Some((id, number));
            of_batch.push(number);
        }
        all.push(of_batch);
    }
    to_ranks(numbers, &mut all);
    Ok(all)
}

/// Puts the rank of a key in the place of its number.
fn to_ranks<K: Ord>(numbers: HashMap<K, u32>, all: &mut [Vec<u32>]) {
    let mut sorted: Vec<(K, u32)> = numbers.into_iter().collect();
    sorted.sort_unstable();
    let mut ranks = vec![0u32; sorted.len()];
    for (rank, (_, number)) in (0u32..).zip(&sorted) {
        ranks[*number as usize] = rank;
    }
    all.iter_mut().flatten().for_each(|number| *number = ranks[*number as usize]);
}

/// For each row of each batch the rank of its leading columns.
fn rank(table: Table, batches: &[Arc<Batch>], leading: &[&str]) -> Result<Vec<Vec<u32>>> {
    let mut numbers: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut all = Vec::with_capacity(batches.len());
    let (mut bytes, mut last, mut last_number) = (Vec::new(), Vec::new(), None);
    for batch in batches {
        let columns = leading.iter().map(|name| column_of(table, batch, name)).collect::<Result<Vec<_>>>()?;
        let mut of_batch = Vec::with_capacity(batch.rows());
        for row in 0..batch.rows() {
            bytes.clear();
            for (column, of) in &columns {
                let row = of.map_or(row, |of| of[row] as usize);
                append_key(column, row, &mut bytes)?;
            }
            let number = match last_number {
                Some(number) if bytes == last => number,
                _ => {
                    let next = u32::try_from(numbers.len()).map_err(|_| Error::internal("over 4 billion keys"))?;
                    last.clone_from(&bytes);
                    *numbers.entry_ref(&bytes).or_insert(next)
                }
            };
            last_number = Some(number);
            of_batch.push(number);
        }
        all.push(of_batch);
    }
    to_ranks(numbers, &mut all);
    Ok(all)
}

/// A fixed column of a batch, and for each record its row there when that is not its own.
pub(crate) fn column_of<'a>(table: Table, batch: &'a Batch, name: &str) -> Result<(&'a ArrayRef, Option<&'a [u32]>)> {
    let unknown = || Error::internal(format!("{} has no column {name}", table.name()));
    let column = table.columns().iter().find(|column| column.name == name).ok_or_else(unknown)?;
    let (side, of) = match column.level {
        ColumnLevel::Record => (batch.records(), None),
        ColumnLevel::Resource => (batch.resources(), Some(&batch.resource_of().values()[..])),
        ColumnLevel::Scope => (batch.scopes(), Some(&batch.scope_of().values()[..])),
    };
    Ok((side.column_by_name(name).ok_or_else(unknown)?, of))
}

/// Appends bytes that compare as Arrow's sort does: null first, then text or id by bytes. A zero ends text; one inside it is
/// followed by 255 so that a longer text comes later.
fn append_key(column: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if column.is_null(row) {
        out.push(0);
        return Ok(());
    }
    out.push(1);
    match column.data_type() {
        DataType::Utf8 => {
            for byte in column.as_string::<i32>().value(row).bytes() {
                out.push(byte);
                if byte == 0 {
                    out.push(255);
                }
            }
            out.extend_from_slice(&[0, 0]);
        }
        DataType::FixedSizeBinary(_) => out.extend_from_slice(column.as_fixed_size_binary().value(row)),
        other => return Err(Error::internal(format!("no sort by {other}"))),
    }
    Ok(())
}
