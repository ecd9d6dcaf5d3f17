//! How are the rows of `spans` read, by one or in several threads at once? Memory first, then parts, the newest first, as long as one may hold something.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use causeway_model::{Error, Result, Table, TimeRange};
use causeway_query::traces::Interrupted;
use causeway_store::part::Part;
use causeway_store::{Filter, Place, Pruning, Scan, ScanColumn, ScanOf, TableSnapshot, Visit};
use hashbrown::HashSet;

/// Rows of one batch: a block of the index.
const BATCH_ROWS: usize = 8_192;

/// What a visitor says after each batch: stop, or from when on spans still matter to it.
pub(crate) type Go = ControlFlow<(), i64>;

/// Everything still matters.
pub(crate) const ALL: Go = ControlFlow::Continue(i64::MIN);

/// A fixed column of `spans`.
pub(crate) fn fixed(name: &str) -> Result<ScanColumn> {
    let found = Table::Spans.columns().iter().position(|column| column.name == name);
    found.map(ScanColumn::Fixed).ok_or_else(|| Error::internal(format!("spans has no column {name}")))
}

pub(crate) fn wrong() -> Error {
    Error::internal("not the columns of spans")
}

/// A scan of spans.
pub(crate) fn scan(columns: Vec<ScanColumn>, filters: Vec<Filter>, pruning: Pruning) -> Scan {
    Scan { table: Table::Spans, columns, filters, pruning, batch_rows: BATCH_ROWS }
}

/// What is read.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Rows outside are skipped where that is cheap.
    pub time: TimeRange,
    /// Whether blocks are read one by one, the newest first, as those who take may need no older ones then.
    pub ends_early: bool,
    /// Asked now and then.
    pub interrupted: Interrupted<'a>,
}

/// Takes rows with what belongs to their place.
pub(crate) type Take<'a, L> = dyn FnMut(&RecordBatch, &L) -> Result<Go> + Send + 'a;

/// Gives the rows to those who take, the newest parts first, each batch to one of them, by the scan that each place gets.
///
/// # Errors
/// Those of the takers and of `interrupted`; `Corrupt` where a part can't be read.
pub(crate) fn visit_by<L: Send + Sync>(
    spans: &TableSnapshot,
    asked: Asked<'_>,
    scan_of: &ScanOf<'_, L>,
    takes: &mut [Box<Take<'_, L>>],
) -> Result<()> {
    let mut parts: Vec<Arc<Part>> =
        spans.parts.iter().filter(|part| part.meta().time.overlaps(&asked.time)).cloned().collect();
    parts.sort_by_key(|part| part.meta().time.end);
    // From when on spans still matter, to all who take.
    let floor = AtomicI64::new(i64::MIN);
    let newest_first = |time: TimeRange| time.end.saturating_neg();
    let visit = Visit {
        memory: spans.memory.clone(),
        parts,
        rank: asked.ends_early.then_some(&newest_first),
        matters: &|time| time.end >= floor.load(Ordering::Relaxed),
        scan_of,
        interrupted: asked.interrupted,
    };
    let takes = takes.iter_mut().map(|take| {
        let take = |batch: &RecordBatch, layout: &L| {
            Ok(match take(batch, layout)? {
                Go::Continue(from) => {
                    floor.fetch_max(from, Ordering::Relaxed);
                    ControlFlow::Continue(())
                }
                Go::Break(()) => ControlFlow::Break(()),
            })
        };
        Box::new(take) as Box<causeway_store::Take<'_, L>>
    });
    visit.give(&mut takes.collect::<Vec<_>>())
}

/// Gives the rows of one scan to those who take, who may need no older ones.
pub(crate) fn visit_all(
    spans: &TableSnapshot,
    scan: &Scan,
    interrupted: Interrupted<'_>,
    takes: &mut [Box<Take<'_, ()>>],
) -> Result<()> {
    let same = |_: Place<'_>| Ok(Some((scan.clone(), ())));
    let asked = Asked { time: scan.pruning.time, ends_early: true, interrupted };
    visit_by(spans, asked, &same, takes)
}

/// Gives the rows of one scan to one who may need no older ones.
pub(crate) fn visit(
    spans: &TableSnapshot,
    scan: &Scan,
    interrupted: Interrupted<'_>,
    take: &mut (dyn FnMut(&RecordBatch) -> Result<Go> + Send),
) -> Result<()> {
    visit_all(spans, scan, interrupted, &mut [Box::new(|batch: &RecordBatch, (): &()| take(batch))])
}

/// The rows of these traces, and what can be skipped for it.
pub(crate) fn of_traces(traces: &[[u8; 16]]) -> Result<(Filter, Pruning)> {
    let column = fixed("trace_id")?;
    let values = vec![(column.clone(), traces.iter().map(|id| id.to_vec()).collect())];
    let wanted: HashSet<[u8; 16]> = traces.iter().copied().collect();
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let ids = batch.column(0).as_fixed_size_binary_opt().ok_or_else(wrong)?;
        Ok(ids.iter().map(|id| Some(id.is_some_and(|id| wanted.contains(id)))).collect())
    };
    let pruning = Pruning { values, ..Pruning::default() };
    Ok((Filter { columns: vec![column], keep: Arc::new(keep) }, pruning))
}

/// The rows that begin within a time: no filter where a place lies in it as a whole.
pub(crate) fn of_time(time: TimeRange, held: Place<'_>) -> Result<Vec<Filter>> {
    use arrow::datatypes::TimestampNanosecondType;
    if let Place::Part(part) = held
        && time.start <= part.meta().time.start
        && part.meta().time.end <= time.end
    {
        return Ok(Vec::new());
    }
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let times = batch.column(0).as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong)?;
        Ok(times.values().iter().map(|at| Some((time.start..=time.end).contains(at))).collect())
    };
    Ok(vec![Filter { columns: vec![fixed("time")?], keep: Arc::new(keep) }])
}

/// The rows whose text is this.
pub(crate) fn of_text(column: ScanColumn, wanted: &str) -> Filter {
    let wanted: Arc<str> = Arc::from(wanted);
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let texts = batch.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
        // Of long runs of one text comparing the offsets' lengths first is all that most rows cost.
        Ok((0..texts.len()).map(|row| Some(texts.is_valid(row) && texts.value(row) == &*wanted)).collect())
    };
    Filter { columns: vec![column], keep: Arc::new(keep) }
}
