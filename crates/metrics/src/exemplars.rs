//! Which measurements stand for a series, and in which trace were they taken? Rows of `exemplars` of the series asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampNanosecondType};
use causeway_model::{Error, Family, Labels, Result, Table, TimeRange, hex};
use causeway_promql::{Exemplar, SeriesExemplars, SeriesQuery};
use causeway_store::part::scan_batch;
use causeway_store::{Filter, Pruning, Scan, ScanColumn, text_pairs};

use crate::source::Metrics;

/// Exemplars of one answer. 100,000: more than a chart can show.
const EXEMPLARS_MAX: usize = 100_000;

fn column(name: &str) -> Result<ScanColumn> {
    let found = Table::Exemplars.columns().iter().position(|column| column.name == name);
    found.map(ScanColumn::Fixed).ok_or_else(|| Error::internal(format!("exemplars has no column {name}")))
}

/// The exemplars of the series that a query means.
///
/// # Errors
/// `Corrupt` where a part can't be read.
pub(crate) fn of(metrics: &Metrics, query: &SeriesQuery) -> Result<Vec<SeriesExemplars>> {
    let series = metrics.stored(query)?;
    let ids: Arc<[[u8; 16]]> = series.iter().map(|(id, _)| *id).collect();
    let time = TimeRange {
        start: query.start_ms.saturating_mul(1_000_000),
        end: query.end_ms.saturating_mul(1_000_000).saturating_add(999_999),
    };
    let keep = move |batch: &RecordBatch| {
        let of_series = batch.column(0).as_fixed_size_binary_opt();
        let times = batch.column(1).as_primitive_opt::<TimestampNanosecondType>();
        let (Some(of_series), Some(times)) = (of_series, times) else { return Err(Error::internal("not exemplars")) };
        let wanted = |(id, at): (Option<&[u8]>, &i64)| {
            let known = id.is_some_and(|id| ids.binary_search_by(|known| known.as_slice().cmp(id)).is_ok());
            Some(known && (time.start..=time.end).contains(at))
        };
        Ok(of_series.iter().zip(times.values()).map(wanted).collect())
    };
    let scan = Scan {
        table: Table::Exemplars,
        columns: vec![
            column("series_id")?,
            column("time")?,
            column("value")?,
            column("trace_id")?,
            column("span_id")?,
            ScanColumn::Attributes(Family::Record),
        ],
        filters: vec![Filter { columns: vec![column("series_id")?, column("time")?], keep: Arc::new(keep) }],
        pruning: Pruning { time, ..Pruning::default() },
        batch_rows: 8_192,
    };
    let snapshot = metrics.table(Table::Exemplars)?;
    let mut found: BTreeMap<[u8; 16], Vec<Exemplar>> = BTreeMap::new();
    let mut count = 0;
    let mut add = |batch: &RecordBatch| -> Result<()> {
        count += batch.num_rows();
        if count <= EXEMPLARS_MAX { add_rows(batch, &mut found) } else { Ok(()) }
    };
    for part in snapshot.parts.iter().filter(|part| part.meta().time.overlaps(&time)) {
        for piece in part.plan(&scan)?.0 {
            part.read(&scan, &piece)?.try_for_each(|batch| add(&batch?))?;
        }
    }
    snapshot.memory.iter().try_for_each(|batch| add(&scan_batch(batch, &scan)?))?;
    let mut answers: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
    for (id, labels) in series {
        if let Some(exemplars) = found.remove(&id) {
            answers.entry(labels).or_default().extend(exemplars);
        }
    }
    let answer = |(labels, mut exemplars): (Labels, Vec<Exemplar>)| {
        exemplars.sort_by_key(|exemplar| (exemplar.time_ms, exemplar.value.to_bits(), exemplar.labels.clone()));
        // What was delivered twice was measured once.
        exemplars
            .dedup_by(|a, b| (a.time_ms, a.value.to_bits(), &a.labels) == (b.time_ms, b.value.to_bits(), &b.labels));
        SeriesExemplars { labels, exemplars }
    };
    Ok(answers.into_iter().map(answer).collect())
}

fn add_rows(batch: &RecordBatch, found: &mut BTreeMap<[u8; 16], Vec<Exemplar>>) -> Result<()> {
    let wrong = || Error::internal("not the columns of exemplars");
    let id_of = |at: usize| batch.column(at).as_fixed_size_binary_opt().ok_or_else(wrong);
    let (series, traces, spans) = (id_of(0)?, id_of(3)?, id_of(4)?);
    let times = batch.column(1).as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong)?;
    let values = batch.column(2).as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
    for row in 0..batch.num_rows() {
        let mut labels: Vec<(String, String)> = Vec::new();
        labels.extend(
            text_pairs(batch.column(5), row)
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        for (name, ids) in [("trace_id", traces), ("span_id", spans)] {
            if ids.is_valid(row) {
                labels.push((name.to_owned(), hex(ids.value(row))));
            }
        }
        let exemplar = Exemplar {
            labels: Labels::new(labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
            value: values.value(row),
            time_ms: times.value(row).div_euclid(1_000_000),
        };
        let id = <[u8; 16]>::try_from(series.value(row)).map_err(|_| wrong())?;
        found.entry(id).or_default().push(exemplar);
    }
    Ok(())
}
