//! Do lines become the records that their loggers meant? And does what can't be read stay as it came?

mod cases;
mod properties;

use causeway_model::{Batch, Family, Table};

use super::{Keep, Line, LineRows};
use crate::Decoded;
use crate::otlp::tests::rows;

/// Arrival of all lines in these tests.
pub(crate) const RECEIVED: i64 = 1_700_000_000_000_000_000;

/// Columns that lines fill.
const COLUMNS: [&str; 8] =
    ["time", "severity_number", "severity_text", "body", "trace_id", "span_id", "flags", "service_name"];

/// What the rows of `logs` say, a column or attribute a line: no nulls, no zeros, no arrival. What was received is stored or dropped.
pub(crate) fn told(decoded: &Decoded) -> Vec<Vec<String>> {
    let rows: Vec<Vec<String>> = decoded.batches.iter().flat_map(told_of).collect();
    let dropped: u64 = decoded.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!(decoded.received, rows.len() as u64 + dropped);
    rows
}

fn told_of(batch: &Batch) -> Vec<Vec<String>> {
    assert_eq!(batch.table(), Table::Logs);
    let of_row = |(at, row): (usize, crate::otlp::tests::Row)| {
        assert_eq!(row["observed_time"], RECEIVED.to_string());
        let silent = ["null".to_owned(), "0".to_owned(), RECEIVED.to_string()];
        let columns = COLUMNS.iter().filter(|name| !silent.contains(&row[**name]));
        let plain = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.to_owned());
        let mut told: Vec<String> = columns.map(|name| format!("{name}={}", plain(&row[*name]))).collect();
        for family in [Family::Record, Family::Resource] {
            let set = batch.row_of(family).map_or(at, |of| of.value(at) as usize);
            for entry in batch.attributes(family).row(set) {
                let mut text = format!("{}.{}=", family.prefix(), batch.keys().key(entry.key).unwrap());
                entry.value.write_text(&mut text);
                told.push(text);
            }
        }
        told.sort();
        told
    };
    rows(batch).into_iter().enumerate().map(of_row).collect()
}

fn one(keep: Keep, resource: &[(&str, &str)], line: &Line<'_>) -> Vec<String> {
    let mut lines = LineRows::new(keep, RECEIVED);
    let resource = lines.resource(resource).unwrap();
    lines.push(resource, line).unwrap();
    told(&lines.finish().unwrap()).remove(0)
}

/// What one line with nothing beside it becomes.
fn read(text: &str) -> Vec<String> {
    one(Keep::Fields, &[], &Line { text, ..Line::default() })
}
