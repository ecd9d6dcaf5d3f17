//! What did a filter read that the answer needs too? The rows that passed, so that their pages are not decoded twice.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use causeway_model::{Error, Result};

/// Bytes of rows kept at most. 4 MiB: a filter that keeps more was not selective, and its columns are read again.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Columns of rows that passed, batch by batch.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Positions in the part's schema, ascending.
    columns: Vec<usize>,
    /// The same columns' positions in the batches that are added.
    places: Vec<usize>,
    batches: Vec<RecordBatch>,
    bytes: usize,
}

/// All kept rows, handed out in order.
#[derive(Debug, Default)]
pub(crate) struct KeptRows {
    /// Positions in the part's schema, ascending.
    pub(crate) columns: Vec<usize>,
    rows: Option<RecordBatch>,
    taken: usize,
}

impl Kept {
    /// Keeps of the columns that are read those that are wanted; both ascending.
    pub(crate) fn of(read: &[usize], wanted: &[usize]) -> Self {
        let both = read.iter().enumerate().filter(|(_, column)| wanted.contains(column));
        let (places, columns) = both.map(|(place, column)| (place, *column)).unzip();
        Self { columns, places, batches: Vec::new(), bytes: 0 }
    }

    /// Adds the rows of a batch that passed.
    pub(crate) fn add(&mut self, batch: &RecordBatch, passed: &BooleanArray) -> Result<()> {
        if self.columns.is_empty() || !passed.has_true() {
            return Ok(());
        }
        let rows = filter_record_batch(&batch.project(&self.places)?, passed)?;
        self.bytes = self.bytes.saturating_add(rows.get_array_memory_size());
        self.batches.push(rows);
        if self.bytes > KEPT_BYTES_MAX {
            *self = Self::default();
        }
        Ok(())
    }

    /// Ends adding.
    pub(crate) fn finish(self) -> Result<KeptRows> {
        let Some(first) = self.batches.first() else {
            return Ok(KeptRows::default());
        };
        let rows = concat_batches(&first.schema(), &self.batches)?;
        Ok(KeptRows { columns: self.columns, rows: Some(rows), taken: 0 })
    }
}

impl KeptRows {
    /// The columns of the next rows.
    pub(crate) fn take(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let Some(kept) = &self.rows else {
            return Ok(Vec::new());
        };
        if kept.num_rows() - self.taken < rows {
            return Err(Error::internal("fewer rows were kept than passed"));
        }
        let next = kept.slice(self.taken, rows);
        self.taken += rows;
        Ok(next.columns().to_vec())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn batch(texts: &[&str], numbers: &[i64]) -> RecordBatch {
        let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        RecordBatch::try_from_iter([("text", texts), ("number", numbers)]).unwrap()
    }

    #[test]
    fn what_passed_comes_back_in_order_and_only_what_is_wanted() {
        let mut kept = Kept::of(&[3, 8], &[1, 8, 9]);
        kept.add(&batch(&["a", "b"], &[1, 2]), &BooleanArray::from(vec![false, true])).unwrap();
        kept.add(&batch(&["c"], &[3]), &BooleanArray::from(vec![false])).unwrap();
        kept.add(&batch(&["d", "e"], &[4, 5]), &BooleanArray::from(vec![true, true])).unwrap();
        let mut rows = kept.finish().unwrap();
        assert_eq!(rows.columns, [8]);
        let mut next = |count| rows.take(count).unwrap()[0].as_primitive::<Int64Type>().values().to_vec();
        assert_eq!((next(1), next(2)), (vec![2], vec![4, 5]));
        assert!(rows.take(1).is_err());
    }

    #[test]
    fn too_much_is_not_kept_at_all() {
        let long = "x".repeat(KEPT_BYTES_MAX);
        let mut kept = Kept::of(&[0, 1], &[0]);
        let all = BooleanArray::from(vec![true]);
        kept.add(&batch(&["short"], &[1]), &all).unwrap();
        kept.add(&batch(&[&long], &[2]), &all).unwrap();
        kept.add(&batch(&["short"], &[3]), &all).unwrap();
        let mut rows = kept.finish().unwrap();
        assert!(rows.columns.is_empty() && rows.take(3).unwrap().is_empty());
    }
}
