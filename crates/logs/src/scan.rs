//! How are rows read in several threads at once? Whoever is free takes the next piece, the newest first where these are wanted first, until all
//! are read or nothing is open any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arrow::array::RecordBatch;
use causeway_logql::{Lines, Span};
use causeway_model::{Batch, Error, Result, Table, TimeRange};
use causeway_store::part::{Part, PartPiece, scan_batch};
use causeway_store::{Filter, Pruning, Scan};
use parking_lot::Mutex;

use crate::columns::{Keys, Reading, SERVICE, Shape, keys_of_batch, keys_of_part};
use crate::read::{Rows, first_of, of_lines, of_services, of_value, services, whole_words};

/// Rows of a batch at most: as many as a block of a part has.
const BATCH_ROWS: usize = 8_192;

/// Takes rows of a time that is open; says what is still open then.
pub(crate) type TakeRows<'a> = dyn FnMut(&Shape, &Rows<'_>, Span) -> Result<Span> + Send + 'a;

/// Batches in memory, and parts.
pub(crate) type Held = (Vec<Arc<Batch>>, Vec<Arc<Part>>);

/// Gives all batches of rows that may be wanted, each to one of those who take them.
pub(crate) fn scan(
    (mut memory, mut parts): Held,
    reading: Reading,
    wanted: &Lines<'_>,
    takes: &mut [Box<TakeRows<'_>>],
) -> Result<()> {
    parts.sort_by_key(|part| {
        let time = part.meta().time;
        if wanted.backward { time.end } else { time.start.saturating_neg() }
    });
    if !wanted.backward {
        memory.reverse();
    }
    let services = services(wanted.matchers);
    let by_service = of_services(wanted.matchers).transpose();
    let by_text = (reading == Reading::Lines && !wanted.filters.is_empty()).then(|| of_lines(wanted.filters));
    let needles = wanted.filters.iter().filter_map(|filter| filter.needle());
    let work = Work {
        reading,
        wanted,
        filters: by_service.into_iter().chain(by_text).collect::<Result<_>>()?,
        pruning: Pruning {
            services,
            tokens: needles.flat_map(whole_words).map(str::to_owned).collect(),
            ..Pruning::default()
        },
        queue: Mutex::new(Queue { memory, parts, opened: None }),
        open: Arc::new(Open::of(wanted.span)),
        over: AtomicBool::new(false),
    };
    let Some((mine, others)) = takes.split_first_mut() else { return Ok(()) };
    std::thread::scope(|scope| {
        let others: Vec<_> = others.iter_mut().map(|take| scope.spawn(|| work.until_done(take))).collect();
        let mine = work.until_done(mine);
        let panicked = |_| Error::internal("a thread that read lines broke");
        let others = others.into_iter().map(|other| other.join().map_err(panicked).flatten());
        others.fold(mine, |all, one| all.and(one))
    })
}

/// What is read next.
enum Next {
    Memory(Arc<Batch>),
    Piece(Arc<Opened>, PartPiece),
}

/// A part that is being read, and how.
struct Opened {
    part: Arc<Part>,
    shape: Shape,
    scan: Scan,
}

struct Queue {
    memory: Vec<Arc<Batch>>,
    /// The next one is the last.
    parts: Vec<Arc<Part>>,
    opened: Option<(Arc<Opened>, std::vec::IntoIter<PartPiece>)>,
}

/// The time that is open still, narrowed down by all who take.
#[derive(Debug)]
pub(crate) struct Open {
    after_ns: AtomicI64,
    until_ns: AtomicI64,
}

impl Open {
    fn of(span: Span) -> Self {
        Self { after_ns: AtomicI64::new(span.after_ns), until_ns: AtomicI64::new(span.until_ns) }
    }

    pub(crate) fn span(&self) -> Span {
        Span { after_ns: self.after_ns.load(Ordering::Relaxed), until_ns: self.until_ns.load(Ordering::Relaxed) }
    }

    fn narrow(&self, span: Span) {
        self.after_ns.fetch_max(span.after_ns, Ordering::Relaxed);
        self.until_ns.fetch_min(span.until_ns, Ordering::Relaxed);
    }
}

struct Work<'a> {
    reading: Reading,
    wanted: &'a Lines<'a>,
    filters: Vec<Filter>,
    pruning: Pruning,
    queue: Mutex<Queue>,
    open: Arc<Open>,
    /// Whether somebody failed.
    over: AtomicBool,
}

impl Work<'_> {
    fn until_done(&self, take: &mut Box<TakeRows<'_>>) -> Result<()> {
        let done = self.take_all(take);
        if done.is_err() {
            self.over.store(true, Ordering::Relaxed);
        }
        done
    }

    fn take_all(&self, take: &mut Box<TakeRows<'_>>) -> Result<()> {
        while let Some(next) = self.next()? {
            match next {
                Next::Memory(batch) => {
                    let (shape, scan) = self.scan(&keys_of_batch(&batch))?;
                    self.give(take, &shape, &scan_batch(&batch, &scan)?)?;
                }
                Next::Piece(opened, piece) => {
                    let Opened { part, shape, scan } = &*opened;
                    for batch in part.read(scan, &piece)? {
                        if self.over.load(Ordering::Relaxed) {
                            return Ok(());
                        }
                        self.give(take, shape, &batch?)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn give(&self, take: &mut Box<TakeRows<'_>>, shape: &Shape, batch: &RecordBatch) -> Result<()> {
        (self.wanted.interrupted)()?;
        self.open.narrow(take(shape, &Rows::of(shape, batch)?, self.open.span())?);
        Ok(())
    }

    fn range(&self) -> TimeRange {
        let open = self.open.span();
        TimeRange { start: open.after_ns.saturating_add(1), end: open.until_ns }
    }

    fn scan(&self, keys: &Keys<'_>) -> Result<(Shape, Scan)> {
        let shape = Shape::of(self.reading, self.wanted, keys)?;
        let values = if self.reading == Reading::Lines { Shape::values(self.wanted, keys)? } else { Vec::new() };
        let by_value = values.iter().map(|(column, value)| of_value(column.clone(), value));
        let mut filters: Vec<Filter> = by_value.chain(self.filters.iter().cloned()).collect();
        // Conditions on other labels are looked at behind the filters.
        let enough =
            self.wanted.enough.filter(|_| self.wanted.matchers.iter().all(|matcher| matcher.name() == SERVICE));
        if let Some(enough) = enough {
            filters.push(first_of(self.open.clone(), enough, self.wanted.backward)?);
        }
        let columns = shape.columns.clone();
        let values = values.into_iter().map(|(column, value)| (column, vec![value])).collect();
        let pruning = Pruning { time: self.range(), values, ..self.pruning.clone() };
        Ok((shape, Scan { table: Table::Logs, columns, filters, pruning, batch_rows: BATCH_ROWS }))
    }

    /// What is read of a part, in order: where little is read at once, the blocks that are first in time come first.
    fn pieces(&self, part: &Part, scan: &Scan) -> Result<Vec<PartPiece>> {
        let (mut pieces, _) = part.plan(scan)?;
        if self.wanted.ends_early {
            pieces = pieces.iter().flat_map(|piece| part.split(piece)).collect();
            pieces.sort_by_key(
                |piece| {
                    if self.wanted.backward { piece.time.end.saturating_neg() } else { piece.time.start }
                },
            );
        }
        Ok(pieces)
    }

    /// The next piece that may hold something that is open.
    fn next(&self) -> Result<Option<Next>> {
        let mut queue = self.queue.lock();
        loop {
            if self.over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if let Some(batch) = queue.memory.pop() {
                return Ok(Some(Next::Memory(batch)));
            }
            if let Some((opened, pieces)) = &mut queue.opened {
                if let Some(piece) = pieces.find(|piece| piece.time.overlaps(&self.range())) {
                    return Ok(Some(Next::Piece(opened.clone(), piece)));
                }
                queue.opened = None;
            }
            let Some(part) = queue.parts.pop() else { return Ok(None) };
            if part.meta().time.overlaps(&self.range()) {
                let (shape, scan) = self.scan(&keys_of_part(&part))?;
                let pieces = self.pieces(&part, &scan)?;
                queue.opened = Some((Arc::new(Opened { part, shape, scan }), pieces.into_iter()));
            }
        }
    }
}
