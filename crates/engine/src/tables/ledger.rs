//! Did anything get lost? `ledger`: a row for each sender and signal, in which `received = stored + dropped`.

use std::sync::Arc;

use causeway_store::LedgerRow;
use datafusion::arrow::array::{
    ArrayRef, Int64Array, Int64Builder, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
};
use datafusion::common::Result;

use super::bigint;

/// The name in SQL.
pub(crate) const NAME: &str = "ledger";

/// Columns for the documentation, in order.
pub(crate) const COLUMNS: &[(&str, &str)] = &[
    ("sender", "Protocol, client and address of the sender."),
    ("signal", "`logs`, `spans` or `metrics` (data points)."),
    ("received", "Records received."),
    ("stored", "Records stored."),
    ("dropped", "Records that could not be kept: the sum of `dropped_reasons`; `received = stored + dropped`, always."),
    ("dropped_reasons", "Records dropped, by reason."),
];

pub(crate) fn rows(ledger: &[LedgerRow]) -> Result<RecordBatch> {
    let count = |of: &dyn Fn(&LedgerRow) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(ledger.iter().map(|row| bigint(of(row)))))
    };
    let names = MapFieldNames { entry: "entries".to_owned(), key: "keys".to_owned(), value: "values".to_owned() };
    let mut reasons = MapBuilder::new(Some(names), StringBuilder::new(), Int64Builder::new());
    for row in ledger {
        for (reason, dropped) in &row.dropped {
            reasons.keys().append_value(reason);
            reasons.values().append_value(bigint(*dropped));
        }
        reasons.append(true)?;
    }
    let columns: [ArrayRef; 6] = [
        Arc::new(StringArray::from_iter_values(ledger.iter().map(|row| &row.sender))),
        Arc::new(StringArray::from_iter_values(ledger.iter().map(|row| row.signal.name()))),
        count(&|row| row.received),
        count(&|row| row.stored),
        count(&|row| row.dropped.iter().map(|(_, dropped)| dropped).sum()),
        Arc::new(reasons.finish()),
    ];
    let named = COLUMNS.iter().map(|(name, _)| *name).zip(columns);
    Ok(RecordBatch::try_from_iter(named)?)
}
