//! How are the rows of `spans` read, by one or in several threads at once? Memory first, then parts, the newest first; whoever is free takes the next
//! piece, as long as one may hold something.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use causeway_model::{Batch, Error, Result, Table, TimeRange};
use causeway_query::traces::Interrupted;
use causeway_store::part::{Part, PartPiece, scan_batch};
use causeway_store::{Filter, Pruning, Scan, ScanColumn, TableSnapshot};
use hashbrown::HashSet;
use parking_lot::Mutex;

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

/// The scan of a place, with what belongs to it; `None` skips the place.
pub(crate) type ScanOf<'a, L> = &'a (dyn Fn(Held<'_>) -> Result<Option<(Scan, L)>> + Send + Sync);

/// Takes rows with what belongs to their place.
pub(crate) type Take<'a, L> = dyn FnMut(&RecordBatch, &L) -> Result<Go> + Send + 'a;

/// Gives the rows to those who take, each batch to one of them, by the scan that each place gets.
///
/// # Errors
/// Those of the takers and of `interrupted`; `Corrupt` where a part can't be read.
pub(crate) fn visit_by<L: Send + Sync>(
    spans: &TableSnapshot,
    asked: Asked<'_>,
    scan_of: ScanOf<'_, L>,
    takes: &mut [Box<Take<'_, L>>],
) -> Result<()> {
    let mut parts: Vec<Arc<Part>> =
        spans.parts.iter().filter(|part| part.meta().time.overlaps(&asked.time)).cloned().collect();
    parts.sort_by_key(|part| part.meta().time.end);
    let queue = Mutex::new(Queue { memory: spans.memory.clone(), parts, opened: None });
    let work = Work { asked, scan_of, queue, floor: AtomicI64::new(i64::MIN), over: AtomicBool::new(false) };
    let Some((mine, others)) = takes.split_first_mut() else { return Ok(()) };
    std::thread::scope(|scope| {
        let others: Vec<_> = others.iter_mut().map(|take| scope.spawn(|| work.until_done(take))).collect();
        let mine = work.until_done(mine);
        let panicked = |_| Error::internal("a thread that read spans broke");
        let others = others.into_iter().map(|other| other.join().map_err(panicked).flatten());
        others.fold(mine, |all, one| all.and(one))
    })
}

/// What is read next.
enum Next<L> {
    Memory(Arc<Batch>),
    Piece(Arc<Opened<L>>, PartPiece),
}

/// A part that is being read, and how.
struct Opened<L> {
    part: Arc<Part>,
    scan: Scan,
    layout: L,
}

/// What was not taken yet; of lists the last is the next.
struct Queue<L> {
    memory: Vec<Arc<Batch>>,
    parts: Vec<Arc<Part>>,
    opened: Option<(Arc<Opened<L>>, std::vec::IntoIter<PartPiece>)>,
}

struct Work<'a, L> {
    asked: Asked<'a>,
    scan_of: ScanOf<'a, L>,
    queue: Mutex<Queue<L>>,
    /// From when on spans still matter, to all who take.
    floor: AtomicI64,
    /// Whether somebody failed or needs no more.
    over: AtomicBool,
}

impl<L: Send + Sync> Work<'_, L> {
    fn until_done(&self, take: &mut Box<Take<'_, L>>) -> Result<()> {
        let done = self.take_all(take);
        if done.is_err() {
            self.over.store(true, Ordering::Relaxed);
        }
        done
    }

    fn take_all(&self, take: &mut Box<Take<'_, L>>) -> Result<()> {
        while let Some(next) = self.next()? {
            (self.asked.interrupted)()?;
            match next {
                Next::Memory(batch) => {
                    let Some((scan, layout)) = (self.scan_of)(Held::Memory(&batch))? else { continue };
                    self.give(take, &scan_batch(&batch, &scan)?, &layout)?;
                }
                Next::Piece(opened, piece) => {
                    let Opened { part, scan, layout } = &*opened;
                    for batch in part.read(scan, &piece)? {
                        if self.over.load(Ordering::Relaxed) {
                            return Ok(());
                        }
                        (self.asked.interrupted)()?;
                        self.give(take, &batch?, layout)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn give(&self, take: &mut Box<Take<'_, L>>, batch: &RecordBatch, layout: &L) -> Result<()> {
        match take(batch, layout)? {
            Go::Continue(from) => {
                self.floor.fetch_max(from, Ordering::Relaxed);
            }
            Go::Break(()) => self.over.store(true, Ordering::Relaxed),
        }
        Ok(())
    }

    /// The next piece that may hold something that matters.
    fn next(&self) -> Result<Option<Next<L>>> {
        let mut queue = self.queue.lock();
        loop {
            if self.over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if let Some(batch) = queue.memory.pop() {
                return Ok(Some(Next::Memory(batch)));
            }
            let floor = self.floor.load(Ordering::Relaxed);
            if let Some((opened, pieces)) = &mut queue.opened {
                if let Some(piece) = pieces.find(|piece| piece.time.end >= floor) {
                    return Ok(Some(Next::Piece(opened.clone(), piece)));
                }
                queue.opened = None;
            }
            let Some(part) = queue.parts.pop() else { return Ok(None) };
            if part.meta().time.end < floor {
                continue;
            }
            let Some((scan, layout)) = (self.scan_of)(Held::Part(&part))? else { continue };
            let pieces = self.pieces(&part, &scan)?;
            queue.opened = Some((Arc::new(Opened { part, scan, layout }), pieces.into_iter()));
        }
    }

    fn pieces(&self, part: &Part, scan: &Scan) -> Result<Vec<PartPiece>> {
        let (mut pieces, _) = part.plan(scan)?;
        if self.asked.ends_early {
            pieces = pieces.iter().flat_map(|piece| part.split(piece)).collect();
            pieces.sort_by_key(|piece| std::cmp::Reverse(piece.time.end));
        }
        Ok(pieces)
    }
}

/// Gives the rows of one scan to one who may need no older ones.
pub(crate) fn visit(
    spans: &TableSnapshot,
    scan: &Scan,
    interrupted: Interrupted<'_>,
    take: &mut (dyn FnMut(&RecordBatch) -> Result<Go> + Send),
) -> Result<()> {
    let same = |_: Held<'_>| Ok(Some((scan.clone(), ())));
    let asked = Asked { time: scan.pruning.time, ends_early: true, interrupted };
    visit_by(spans, asked, &same, &mut [Box::new(|batch: &RecordBatch, (): &()| take(batch))])
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
pub(crate) fn of_time(time: TimeRange, held: Held<'_>) -> Result<Vec<Filter>> {
    use arrow::datatypes::TimestampNanosecondType;
    if let Held::Part(part) = held
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
