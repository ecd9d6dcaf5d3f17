//! How are rows read in several threads at once? Whoever is free takes the next piece, memory first, as long as what is left may matter.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use causeway_model::{Batch, Error, Result, TimeRange};
use parking_lot::Mutex;

use crate::part::{Part, PartPiece, scan_batch};
use crate::scan::Scan;

/// Where rows lie.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In memory.
    Memory(&'a Batch),
    /// In a part.
    Part(&'a Part),
}

/// Takes rows with what belongs to the scan of their place; a break ends the visit for all.
pub type Take<'a, L> = dyn FnMut(&RecordBatch, &L) -> Result<ControlFlow<()>> + Send + 'a;

/// Says the scan of a place, with what belongs to it; `None` skips the place.
pub type ScanOf<'a, L> = dyn Fn(Place<'_>) -> Result<Option<(Scan, L)>> + Sync + 'a;

/// What is read, and how.
pub struct Visit<'a, L> {
    /// Batches in memory; the last comes first.
    pub memory: Vec<Arc<Batch>>,
    /// Parts; the last comes first.
    pub parts: Vec<Arc<Part>>,
    /// Where the visit may end early: a part is read block by block then, those of the least rank first. Else whole row groups are read.
    pub rank: Option<&'a (dyn Fn(TimeRange) -> i64 + Sync)>,
    /// Whether what lies in a time may matter still; asked before each part and piece.
    pub matters: &'a (dyn Fn(TimeRange) -> bool + Sync),
    /// How each place is scanned.
    pub scan_of: &'a ScanOf<'a, L>,
    /// Asked before each piece and batch; its error ends the visit.
    pub interrupted: &'a (dyn Fn() -> Result<()> + Send + Sync),
}

impl<L: Send + Sync> Visit<'_, L> {
    /// Gives each batch of rows to one of those who take, each of whom has a thread.
    ///
    /// # Errors
    /// Those of the takers, of `scan_of` and of `interrupted`; `Corrupt` where a part can't be read.
    pub fn give(mut self, takes: &mut [Box<Take<'_, L>>]) -> Result<()> {
        let (memory, parts) = (std::mem::take(&mut self.memory), std::mem::take(&mut self.parts));
        let queue = Mutex::new(Queue { memory, parts, opened: None });
        let work = Work { visit: self, queue, over: AtomicBool::new(false) };
        let Some((mine, others)) = takes.split_first_mut() else { return Ok(()) };
        std::thread::scope(|scope| {
            let others: Vec<_> = others.iter_mut().map(|take| scope.spawn(|| work.until_done(take))).collect();
            let mine = work.until_done(mine);
            let panicked = |_| Error::internal("a thread that read rows broke");
            let others = others.into_iter().map(|other| other.join().map_err(panicked).flatten());
            others.fold(mine, |all, one| all.and(one))
        })
    }
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
    visit: Visit<'a, L>,
    queue: Mutex<Queue<L>>,
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
            (self.visit.interrupted)()?;
            match next {
                Next::Memory(batch) => {
                    let Some((scan, layout)) = (self.visit.scan_of)(Place::Memory(&batch))? else { continue };
                    self.give(take, &scan_batch(&batch, &scan)?, &layout)?;
                }
                Next::Piece(opened, piece) => {
                    let Opened { part, scan, layout } = &*opened;
                    for batch in part.read(scan, &piece)? {
                        if self.over.load(Ordering::Relaxed) {
                            return Ok(());
                        }
                        (self.visit.interrupted)()?;
                        self.give(take, &batch?, layout)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn give(&self, take: &mut Box<Take<'_, L>>, batch: &RecordBatch, layout: &L) -> Result<()> {
        if take(batch, layout)?.is_break() {
            self.over.store(true, Ordering::Relaxed);
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
            if let Some((opened, pieces)) = &mut queue.opened {
                if let Some(piece) = pieces.find(|piece| (self.visit.matters)(piece.time)) {
                    return Ok(Some(Next::Piece(opened.clone(), piece)));
                }
                queue.opened = None;
            }
            let Some(part) = queue.parts.pop() else { return Ok(None) };
            if !(self.visit.matters)(part.meta().time) {
                continue;
            }
            let Some((scan, layout)) = (self.visit.scan_of)(Place::Part(&part))? else { continue };
            let pieces = self.pieces(&part, &scan)?;
            queue.opened = Some((Arc::new(Opened { part, scan, layout }), pieces.into_iter()));
        }
    }

    fn pieces(&self, part: &Part, scan: &Scan) -> Result<Vec<PartPiece>> {
        let (mut pieces, _) = part.plan(scan)?;
        if let Some(rank) = self.visit.rank {
            pieces = pieces.iter().flat_map(|piece| part.split(piece)).collect();
            pieces.sort_by_key(|piece| rank(piece.time));
        }
        Ok(pieces)
    }
}
