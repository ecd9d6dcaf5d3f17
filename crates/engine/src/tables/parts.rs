//! Where do the rows live? `parts`: a row for each part of the snapshot, and one for each table's memory.

use std::sync::Arc;

use causeway_store::part::Part;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use datafusion::common::Result;

use super::{View, bigint};

/// The name in SQL.
pub(crate) const NAME: &str = "parts";

/// Columns for the documentation, in order.
pub(crate) const COLUMNS: &[(&str, &str)] = &[
    ("table_name", "Table whose rows they are."),
    ("id", "Number of the part; null for the rows that are still in memory."),
    ("level", "How often its rows were merged: 0 as flushed; null for memory."),
    ("rows", "Number of rows."),
    ("bytes", "Bytes of its files; in memory, bytes of memory."),
    ("time_min", "Smallest `time` inside; null for memory."),
    ("time_max", "Largest `time` inside; null for memory."),
    ("created", "When the part was written; null for memory."),
];

pub(crate) fn rows(view: &View) -> Result<RecordBatch> {
    let mut list: Vec<(&str, Option<&Arc<Part>>, u64, u64)> = Vec::new();
    for table in &view.tables {
        let name = table.table.name();
        list.extend(table.parts.iter().map(|part| (name, Some(part), part.meta().rows, part.meta().bytes)));
        let rows: u64 = table.memory.iter().map(|batch| batch.rows() as u64).sum();
        if rows > 0 {
            list.push((name, None, rows, table.memory.iter().map(|batch| batch.memory_bytes() as u64).sum()));
        }
    }
    let int = |of: &dyn Fn(&Part) -> i64| -> ArrayRef {
        Arc::new(list.iter().map(|(_, part, ..)| part.map(|part| of(part))).collect::<Int64Array>())
    };
    let time = |of: &dyn Fn(&Part) -> i64| -> ArrayRef {
        let times: TimestampNanosecondArray = list.iter().map(|(_, part, ..)| part.map(|part| of(part))).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let columns: [ArrayRef; 8] = [
        Arc::new(StringArray::from_iter_values(list.iter().map(|(name, ..)| name))),
        int(&|part| bigint(part.meta().id)),
        int(&|part| i64::from(part.meta().level)),
        Arc::new(Int64Array::from_iter_values(list.iter().map(|(_, _, rows, _)| bigint(*rows)))),
        Arc::new(Int64Array::from_iter_values(list.iter().map(|(_, _, _, bytes)| bigint(*bytes)))),
        time(&|part| part.meta().time.start),
        time(&|part| part.meta().time.end),
        time(&|part| part.meta().created_unix_nano),
    ];
    let named = COLUMNS.iter().map(|(name, _)| *name).zip(columns).map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(named)?)
}
