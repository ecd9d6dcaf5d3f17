//! How are the rows of `spans` visited? Memory first, then the blocks of parts, the newest first, as long as they may hold something.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use causeway_model::{Batch, Error, Result, Table, TimeRange};
use causeway_query::traces::Interrupted;
use causeway_store::part::{Part, scan_batch};
use causeway_store::{Filter, Pruning, Scan, ScanColumn, TableSnapshot};
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

/// Where rows lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held<'a> {
    /// In memory.
    Memory(&'a Batch),
    /// In a part.
    Part(&'a Part),
}

/// The scan of a place, with what belongs to it.
pub(crate) type ScanOf<'a, L> = &'a dyn Fn(Held<'_>) -> Result<Option<(Scan, L)>>;

/// Visits the rows of a time by the scan that each place gets, and with what belongs to that; `None` skips the place.
///
/// # Errors
/// Those of `take` and of `interrupted`; `Corrupt` where a part can't be read.
pub(crate) fn visit_by<L>(
    spans: &TableSnapshot,
    time: TimeRange,
    interrupted: Interrupted<'_>,
    scan_of: ScanOf<'_, L>,
    take: &mut dyn FnMut(&RecordBatch, &L) -> Result<Go>,
) -> Result<()> {
    let mut floor = i64::MIN;
    for batch in spans.memory.iter().rev() {
        interrupted()?;
        let Some((scan, layout)) = scan_of(Held::Memory(batch))? else { continue };
        match take(&scan_batch(batch, &scan)?, &layout)? {
            Go::Continue(from) => floor = floor.max(from),
            Go::Break(()) => return Ok(()),
        }
    }
    let mut parts: Vec<&Arc<Part>> = spans.parts.iter().filter(|part| part.meta().time.overlaps(&time)).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.meta().time.end));
    for part in parts {
        if part.meta().time.end < floor {
            return Ok(());
        }
        let Some((scan, layout)) = scan_of(Held::Part(part))? else { continue };
        let mut pieces: Vec<_> = part.plan(&scan)?.0.iter().flat_map(|piece| part.split(piece)).collect();
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.time.end));
        for piece in pieces {
            if piece.time.end < floor {
                break;
            }
            interrupted()?;
            for batch in part.read(&scan, &piece)? {
                match take(&batch?, &layout)? {
                    Go::Continue(from) => floor = floor.max(from),
                    Go::Break(()) => return Ok(()),
                }
            }
        }
    }
    Ok(())
}

/// The same by one scan.
pub(crate) fn visit(
    spans: &TableSnapshot,
    scan: &Scan,
    interrupted: Interrupted<'_>,
    take: &mut dyn FnMut(&RecordBatch) -> Result<Go>,
) -> Result<()> {
    let same = |_: Held<'_>| Ok(Some((scan.clone(), ())));
    visit_by(spans, scan.pruning.time, interrupted, &same, &mut |batch, ()| take(batch))
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

/// The rows that begin within a time.
pub(crate) fn of_time(time: TimeRange) -> Result<Filter> {
    use arrow::datatypes::TimestampNanosecondType;
    let keep = move |batch: &RecordBatch| -> Result<BooleanArray> {
        let times = batch.column(0).as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong)?;
        Ok(times.values().iter().map(|at| Some((time.start..=time.end).contains(at))).collect())
    };
    Ok(Filter { columns: vec![fixed("time")?], keep: Arc::new(keep) })
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
