//! What do senders of Prometheus' protocols say of their metrics? Rows of `metric_metadata`, each thing said once.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use causeway_model::{Error, Result, Table};
use causeway_promql::Metadata;
use causeway_store::part::scan_batch;
use causeway_store::{Pruning, Scan, ScanColumn, TableSnapshot};

/// Things said that one answer may hold. 100,000: ten times what large installations have.
const METADATA_MAX: usize = 100_000;

/// Adds what is said of the wanted metrics.
///
/// # Errors
/// `Corrupt` where a part can't be read.
pub(crate) fn add_told(
    snapshot: &TableSnapshot,
    wanted: &dyn Fn(&str) -> bool,
    told: &mut BTreeSet<Metadata>,
) -> Result<()> {
    let scan = Scan {
        table: Table::MetricMetadata,
        columns: (1..Table::MetricMetadata.columns().len()).map(ScanColumn::Fixed).collect(),
        filters: Vec::new(),
        pruning: Pruning::default(),
        batch_rows: 8_192,
    };
    let mut add = |batch: &RecordBatch| add_rows(batch, wanted, told);
    for part in &snapshot.parts {
        for piece in part.plan(&scan)?.0 {
            part.read(&scan, &piece)?.try_for_each(|batch| add(&batch?))?;
        }
    }
    snapshot.memory.iter().try_for_each(|batch| add(&scan_batch(batch, &scan)?))
}

fn add_rows(batch: &RecordBatch, wanted: &dyn Fn(&str) -> bool, told: &mut BTreeSet<Metadata>) -> Result<()> {
    let text = |at: usize, row: usize| {
        let texts = batch.columns().get(at).and_then(|column| column.as_string_opt::<i32>());
        let texts = texts.ok_or_else(|| Error::internal("not the columns of metadata"))?;
        Ok::<_, Error>(if texts.is_null(row) { "" } else { texts.value(row) })
    };
    for row in 0..batch.num_rows() {
        let metric = text(0, row)?;
        if wanted(metric) && told.len() < METADATA_MAX {
            let (kind, unit, help) = (text(1, row)?.to_owned(), text(2, row)?.to_owned(), text(3, row)?.to_owned());
            told.insert(Metadata { metric: metric.to_owned(), kind, unit, help });
        }
    }
    Ok(())
}
