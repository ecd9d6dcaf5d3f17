//! How do many series pass through an evaluation without all being in memory? One at a time for each thread: a stream makes the
//! column of any of its series on demand, and whoever consumes it folds it away or keeps it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use causeway_model::{Error, Labels, Result, Rollup};

use super::annotations::Notes;
use super::column::{Column, Series, Vector};
use super::expression::Evaluator;
use super::meter::Charge;
use crate::Samples;

/// Series that a thread takes at a time: enough that taking costs nothing, few enough that threads end together.
const SERIES_PER_TURN: usize = 256;

/// An instant vector at all steps of which each series can be made alone, in any thread.
pub(super) trait Stream: Sync {
    /// How many series; some may turn out to have no value at all.
    fn len(&self) -> usize;

    /// The labels of one.
    fn labels(&self, series: usize) -> Labels;

    /// Whether its name goes at the end.
    fn drop_name(&self, series: usize) -> bool;

    /// Puts its values into a column, which comes without any value.
    fn read(&self, series: usize, worker: &mut Worker, column: &mut Column) -> Result<()>;
}

/// What a thread reuses from series to series.
#[derive(Debug, Default)]
pub(super) struct Worker {
    pub samples: Samples,
    /// For each step the first sample in its window and the one behind the last.
    pub windows: Vec<(usize, usize)>,
    /// The same of histograms.
    pub histogram_windows: Vec<(usize, usize)>,
    pub rolled_up: Vec<Rollup>,
    pub scratch: Scratch,
    /// Columns that are of no use for now.
    pub spare: Vec<Column>,
    pub notes: Notes,
    pub samples_read: usize,
}

/// Room for numbers that are of no use after the series that they belong to.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub floats: Vec<f64>,
    pub keys: Vec<i64>,
}

impl Evaluator<'_> {
    /// Hands out all series of a stream to threads; each folds those that have any value into a state of its own, and has a part of
    /// the limits that its states may charge.
    pub fn fold<T: Send>(
        &self,
        stream: &dyn Stream,
        count: usize,
        state: impl Fn() -> T + Sync,
        fold: impl Fn(&mut T, usize, &mut Column, &mut Worker, &mut Charge) -> Result<()> + Sync,
    ) -> Result<(Vec<T>, Vec<Charge>)> {
        let (next, failed, failure) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let run = || {
            let (mut state, mut worker, mut charge) = (state(), Worker::default(), self.meter.charge());
            let result = self.turns(
                stream,
                count,
                &next,
                &failed,
                &mut |series, column, worker| fold(&mut state, series, column, worker, &mut charge),
                &mut worker,
            );
            if let Err(error) = result {
                failed.store(true, Ordering::Relaxed);
                lock(&failure).get_or_insert(error);
            }
            self.finished(worker);
            (state, charge)
        };
        let threads = self.options.parallelism.min(stream.len().div_ceil(SERIES_PER_TURN)).max(1);
        let states = if threads == 1 {
            vec![run()]
        } else {
            std::thread::scope(|scope| {
                let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
                let mut states = vec![run()];
                for other in others {
                    states.push(other.join().map_err(|_| Error::internal("a thread of the evaluation panicked"))?);
                }
                Ok::<_, Error>(states)
            })?
        };
        match lock(&failure).take() {
            Some(error) => Err(error),
            None => Ok(states.into_iter().unzip()),
        }
    }

    fn turns(
        &self,
        stream: &dyn Stream,
        count: usize,
        next: &AtomicUsize,
        failed: &AtomicBool,
        fold: &mut dyn FnMut(usize, &mut Column, &mut Worker) -> Result<()>,
        worker: &mut Worker,
    ) -> Result<()> {
        let mut column = Column::absent(count);
        loop {
            let first = next.fetch_add(SERIES_PER_TURN, Ordering::Relaxed);
            if first >= stream.len() || failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.meter.check()?;
            for series in first..stream.len().min(first + SERIES_PER_TURN) {
                column.reset(count);
                stream.read(series, worker, &mut column)?;
                if !column.is_empty() {
                    fold(series, &mut column, worker)?;
                }
            }
        }
    }

    /// Keeps the columns of all series that have any value, in the stream's order.
    pub fn collect(&self, stream: &dyn Stream, count: usize) -> Result<Vector> {
        let (parts, charges) = self.fold(stream, count, Vec::new, |kept, series, column, _, charge| {
            charge.add_column(column)?;
            let column = Column { floats: column.floats.clone(), histograms: std::mem::take(&mut column.histograms) };
            let (labels, drop_name) = (stream.labels(series), stream.drop_name(series));
            charge.add(0, labels.memory_bytes())?;
            kept.push((series, Series { labels, drop_name, column }));
            Ok(())
        })?;
        let mut kept: Vec<(usize, Series)> = parts.into_iter().flatten().collect();
        kept.sort_unstable_by_key(|(at, _)| *at);
        Ok(Vector { series: kept.into_iter().map(|(_, series)| series).collect(), charges })
    }

    fn finished(&self, worker: Worker) {
        lock(&self.notes).join(worker.notes);
        self.samples_read.fetch_add(worker.samples_read, Ordering::Relaxed);
    }
}

/// Locks; a panic of someone else who held it does no harm here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A vector that is there already.
impl Stream for Vector {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.series.get(series).map_or_else(Labels::empty, |series| series.labels.clone())
    }

    fn drop_name(&self, series: usize) -> bool {
        self.series.get(series).is_some_and(|series| series.drop_name)
    }

    fn read(&self, series: usize, _: &mut Worker, column: &mut Column) -> Result<()> {
        if let Some(series) = self.series.get(series) {
            column.floats.copy_from_slice(&series.column.floats);
            column.histograms.extend_from_slice(&series.column.histograms);
        }
        Ok(())
    }
}

/// A vector of one step that stands at all steps: what does not depend on them is computed once.
pub(super) struct Constant(pub Vector);

impl Stream for Constant {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.0.labels(series)
    }

    fn drop_name(&self, series: usize) -> bool {
        self.0.drop_name(series)
    }

    fn read(&self, series: usize, _: &mut Worker, column: &mut Column) -> Result<()> {
        let count = column.floats.len();
        if let Some(series) = self.0.series.get(series) {
            column.floats.fill(series.column.floats.first().copied().unwrap_or(super::column::ABSENT));
            if let Some(histogram) = series.column.histogram(0) {
                column.histograms.resize(count, Some(histogram.clone()));
            }
        }
        Ok(())
    }
}

/// A stream of which each column is changed on its way.
pub(super) struct Mapped<'a, F> {
    pub input: Box<dyn Stream + 'a>,
    /// Whether the name goes at the end because of this.
    pub drop_name: bool,
    /// Gets the series, its column and the thread's state.
    pub change: F,
}

impl<F: Fn(usize, &mut Column, &mut Worker) + Sync> Stream for Mapped<'_, F> {
    fn len(&self) -> usize {
        self.input.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.input.labels(series)
    }

    fn drop_name(&self, series: usize) -> bool {
        self.drop_name || self.input.drop_name(series)
    }

    fn read(&self, series: usize, worker: &mut Worker, column: &mut Column) -> Result<()> {
        self.input.read(series, worker, column)?;
        (self.change)(series, column, worker);
        Ok(())
    }
}
