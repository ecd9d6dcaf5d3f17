//! What is left of samples when they are rolled up? A row for each window, which is the last sample in it and what all were together;
//! of histograms and summaries the last of each window, and the one before a reset.

use causeway_model::{NO_RECORDED_VALUE, Point, Result, Rollup, Table, join_rollups, rollups_of};

use super::chunk::{Cells, Chunk, FLAGS, START_TIME, TIME, VALUE, milliseconds, nanoseconds};
use super::select::SeriesSamples;

/// Position of the column in a table of rollups, and of those that follow it.
const SAMPLES: usize = 22;
const FIRST_TIME: usize = 23;
const FIRST_START_TIME: usize = 24;
const FIRST_VALUE: usize = 25;
const VALUE_SUM: usize = 26;
const VALUE_MIN: usize = 27;
const VALUE_MAX: usize = 28;
const VALUE_LOST: usize = 29;
/// Position of the count in a histogram, by which its resets are seen.
const COUNT: usize = 6;

/// Bit of `flags`, beside that of samples: its samples did not follow each other in time.
const TANGLED: u32 = 1 << 8;

/// Rows of a rollup from windows.
fn of_windows(windows: &[Rollup]) -> Chunk {
    let integers = |of: &dyn Fn(&Rollup) -> Option<i64>| Cells::Integers(windows.iter().map(of).collect());
    let floats = |of: &dyn Fn(&Rollup) -> f64| {
        Cells::Floats(windows.iter().map(|window| (window.count > 0).then(|| of(window))).collect())
    };
    let start = |point: &Point| Some(nanoseconds(point.start_ms)).filter(|start| *start != 0);
    let flags = |window: &Rollup| {
        let stale = if window.stale { NO_RECORDED_VALUE } else { 0 };
        i64::from(stale | if window.tangled { TANGLED } else { 0 })
    };
    Chunk::of_cells(
        windows.len(),
        [
            (TIME, integers(&|window| Some(nanoseconds(window.last.time_ms)))),
            (START_TIME, integers(&|window| start(&window.last))),
            (FLAGS, integers(&|window| Some(flags(window)))),
            (VALUE, floats(&|window| window.last.value)),
            (SAMPLES, integers(&|window| i64::try_from(window.count).ok())),
            (FIRST_TIME, integers(&|window| Some(nanoseconds(window.first.time_ms)))),
            (FIRST_START_TIME, integers(&|window| start(&window.first))),
            (FIRST_VALUE, floats(&|window| window.first.value)),
            (VALUE_SUM, floats(&|window| window.sum)),
            (VALUE_MIN, floats(&|window| window.min)),
            (VALUE_MAX, floats(&|window| window.max)),
            (
                VALUE_LOST,
                Cells::Floats(windows.iter().map(|window| Some(window.lost).filter(|lost| *lost != 0.0)).collect()),
            ),
        ],
    )
}

/// Adds the windows of a chunk of a rollup, and the histograms that were kept as they are.
pub(super) fn add_rolled(chunk: Chunk, resolution_ms: i64, windows: &mut Vec<Rollup>, others: &mut Vec<Chunk>) {
    let (samples, flags) = (chunk.integer_options(SAMPLES), chunk.integers(FLAGS));
    let (starts, first_times, first_starts) =
        (chunk.integers(START_TIME), chunk.integers(FIRST_TIME), chunk.integers(FIRST_START_TIME));
    let [values, firsts, sums, mins, maxs, lost] =
        [VALUE, FIRST_VALUE, VALUE_SUM, VALUE_MIN, VALUE_MAX, VALUE_LOST].map(|position| chunk.floats(position));
    let integer = |column: &[i64], row: usize| milliseconds(column.get(row).copied().unwrap_or(0));
    let float = |column: &[Option<f64>], row: usize| column.get(row).copied().flatten();
    let mut kept = Vec::new();
    for (row, time) in chunk.times().iter().enumerate() {
        let Some(count) = samples.get(row).copied().flatten() else {
            kept.push(row);
            continue;
        };
        let flags = flags.get(row).map_or(0, |flags| *flags as u32);
        let (time_ms, first_ms) = (milliseconds(*time), integer(&first_times, row));
        let nothing = f64::NAN;
        windows.push(Rollup {
            end_ms: Rollup::end_of(time_ms, resolution_ms),
            count: u64::try_from(count).unwrap_or(0),
            first: Point {
                time_ms: first_ms,
                value: float(&firsts, row).unwrap_or(0.0),
                start_ms: integer(&first_starts, row),
            },
            last: Point { time_ms, value: float(&values, row).unwrap_or(0.0), start_ms: integer(&starts, row) },
            sum: float(&sums, row).unwrap_or(0.0),
            min: float(&mins, row).unwrap_or(nothing),
            max: float(&maxs, row).unwrap_or(nothing),
            lost: float(&lost, row).unwrap_or(0.0),
            stale: flags & NO_RECORDED_VALUE != 0,
            tangled: flags & TANGLED != 0,
        });
    }
    if !kept.is_empty() {
        others.push(if kept.len() == chunk.rows() { chunk } else { chunk.rows_at(&kept) });
    }
}

/// Rolls up the samples of one series, which may come in several pieces.
#[derive(Debug)]
pub(crate) struct Roller {
    /// The table of the rollup, and what was rolled up so far.
    tables: Vec<(Table, Vec<Rollup>, Chunk)>,
}

impl Roller {
    /// For these tables of rollups.
    pub(crate) fn new(tables: impl IntoIterator<Item = Table>) -> Self {
        Self { tables: tables.into_iter().map(|table| (table, Vec::new(), Chunk::default())).collect() }
    }

    /// Adds samples of the series, and empties them.
    ///
    /// # Errors
    /// `Corrupt` when a column is none of the table's.
    pub(crate) fn add(&mut self, samples: &mut SeriesSamples) -> Result<()> {
        samples.order();
        for (table, windows, kept) in &mut self.tables {
            let resolution_ms = table.resolution_ms().unwrap_or(i64::MAX);
            rollups_of(&samples.times, &samples.values, &samples.starts, resolution_ms, windows);
            for others in &samples.others {
                let mut others = others.clone();
                others.sort();
                kept.append(&others.rows_at(&last_of_windows(&others, resolution_ms)))?;
            }
        }
        samples.clear();
        Ok(())
    }

    /// What is to be written of the series that ends here, for each table in order.
    ///
    /// # Errors
    /// `Corrupt` when a column is none of the table's.
    pub(crate) fn take(&mut self) -> Result<Vec<Chunk>> {
        let take = |(_, windows, kept): &mut (Table, Vec<Rollup>, Chunk)| {
            let (mut windows, mut chunk) = (std::mem::take(windows), std::mem::take(kept));
            join_rollups(&mut windows);
            if !windows.is_empty() {
                chunk.append(&of_windows(&windows))?;
            }
            Ok(chunk)
        };
        self.tables.iter_mut().map(take).collect()
    }
}

/// The rows that are the last of their window or come before a reset; the chunk is in order of time.
fn last_of_windows(chunk: &Chunk, resolution_ms: i64) -> Vec<usize> {
    let counts = chunk.integer_options(COUNT);
    let end = |row: usize| chunk.times().get(row).map(|time| Rollup::end_of(milliseconds(*time), resolution_ms));
    let count = |row: usize| counts.get(row).copied().flatten();
    let is_kept = |row: &usize| end(*row) != end(row + 1) || count(*row) > count(row + 1);
    (0..chunk.rows()).filter(is_kept).collect()
}
