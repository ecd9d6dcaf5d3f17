//! How many rows of two populations is that, how much do they weigh, and are they the same rows as those? Added up row by row.

use causeway_model::Rng;
use datafusion::arrow::array::{Array, BooleanArray, Float64Array};
use datafusion::common::{Result, exec_err};

/// What is known of some rows, in one number, so that a row is counted by one addition: the sum of the rows' random numbers above, which
/// tells sets of rows apart but for one chance in 2^64, then 32 bits each for the selected rows and the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum(u128);

/// Rows that one tally counts: more would run from one population into the other.
const ROWS_MAX: u64 = u32::MAX as u64;

impl Sum {
    fn of_row(selected: bool, random: u64) -> Self {
        Self(u128::from(random) << 64 | if selected { 1 << 32 } else { 1 })
    }

    #[inline]
    pub(super) fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    pub(super) fn is_none(self) -> bool {
        self.0 as u64 == 0
    }

    fn rows(self) -> [u64; 2] {
        [u64::from((self.0 >> 32) as u32), u64::from(self.0 as u32)]
    }
}

/// Weight beyond one a row, of the selected rows and of the others: nothing to add where nothing was sampled.
pub(super) type Excess = [f64; 2];

/// Both together.
pub(super) fn both(one: Excess, other: Excess) -> Excess {
    [one[0] + other[0], one[1] + other[1]]
}

/// Both, ready to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) rows: [u64; 2],
    pub(super) weights: [f64; 2],
    pub(super) fingerprint: u64,
}

impl Counted {
    pub(super) fn new(sum: Sum, excess: Excess) -> Self {
        let rows = sum.rows();
        let weights = [rows[0] as f64 + excess[0], rows[1] as f64 + excess[1]];
        Self { rows, weights, fingerprint: (sum.0 >> 64) as u64 }
    }

    pub(super) fn sum(&self) -> Sum {
        let [selection, baseline] = self.rows;
        Sum(u128::from(self.fingerprint) << 64 | u128::from(selection) << 32 | u128::from(baseline))
    }

    pub(super) fn excess(&self) -> Excess {
        [self.weights[0] - self.rows[0] as f64, self.weights[1] - self.rows[1] as f64]
    }
}

/// The rows of a batch.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) sums: Vec<Sum>,
    /// All of them.
    pub(super) all: Sum,
    /// Each row's; empty where no row weighs more or less than one.
    pub(super) excess: Vec<Excess>,
    /// What all of them weigh beyond one each.
    pub(super) all_excess: Excess,
    random: Rng,
    counted: u64,
}

impl Rows {
    /// Rows with random numbers from this seed: those of two partitions must not be the same.
    pub(super) fn new(seed: u64) -> Self {
        let random = Rng::from_seed(seed);
        Self { sums: Vec::new(), all: Sum::default(), excess: Vec::new(), all_excess: [0.0; 2], random, counted: 0 }
    }

    /// Notes that so many rows are counted, here or by another tally that is merged into this one.
    pub(super) fn count(&mut self, rows: u64) -> Result<()> {
        self.counted = self.counted.saturating_add(rows);
        if self.counted > ROWS_MAX {
            return exec_err!("tally: more than {ROWS_MAX} rows; ask for less time or add filters");
        }
        Ok(())
    }

    /// Goes on to the next batch; a row without a weight weighs one.
    pub(super) fn next(&mut self, selected: &BooleanArray, weights: &Float64Array) -> Result<()> {
        self.count(selected.len() as u64)?;
        let is_selected = |row: usize| selected.is_valid(row) && selected.value(row);
        self.sums.clear();
        self.sums.extend((0..selected.len()).map(|row| Sum::of_row(is_selected(row), self.random.next_u64())));
        self.all = Sum::default();
        self.sums.iter().for_each(|row| self.all.add(*row));
        self.excess.clear();
        // Without an early end the compiler compares many at once.
        if weights.null_count() < weights.len()
            && weights.values().iter().fold(false, |any, weight| any | (*weight != 1.0))
        {
            self.excess.extend((0..selected.len()).map(|row| {
                let excess = if weights.is_valid(row) { weights.value(row) - 1.0 } else { 0.0 };
                if is_selected(row) { [excess, 0.0] } else { [0.0, excess] }
            }));
        }
        self.all_excess = self.excess.iter().fold([0.0; 2], |all, row| both(all, *row));
        Ok(())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Sum>() + self.excess.capacity() * size_of::<Excess>()
    }

    /// What the squares of their weights are beyond one each.
    pub(super) fn all_squares(&self) -> Excess {
        let square = |excess: f64| (1.0 + excess) * (1.0 + excess) - 1.0;
        self.excess.iter().fold([0.0; 2], |all, row| both(all, row.map(square)))
    }
}

/// Sums by place, with the excess beside them once there is any.
#[derive(Debug, Default)]
pub(super) struct Sums {
    sums: Vec<Sum>,
    excess: Vec<Excess>,
}

impl Sums {
    pub(super) fn of(places: usize) -> Self {
        Self { sums: vec![Sum::default(); places], excess: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.sums.len()
    }

    /// A further place.
    pub(super) fn push(&mut self) {
        self.sums.push(Sum::default());
    }

    #[inline]
    pub(super) fn add(&mut self, place: usize, sum: Sum) {
        if let Some(known) = self.sums.get_mut(place) {
            known.add(sum);
        }
    }

    pub(super) fn add_excess(&mut self, place: usize, excess: Excess) {
        if excess != [0.0; 2] {
            self.excess.resize(self.sums.len(), [0.0; 2]);
            if let Some(known) = self.excess.get_mut(place) {
                *known = both(*known, excess);
            }
        }
    }

    pub(super) fn get(&self, place: usize) -> (Sum, Excess) {
        (self.sums.get(place).copied().unwrap_or_default(), self.excess.get(place).copied().unwrap_or_default())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Sum>() + self.excess.capacity() * size_of::<Excess>()
    }
}
