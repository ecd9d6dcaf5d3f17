//! How do rows of many arrays become one array? As runs of rows: long runs are copied whole, short ones row by row.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{concat, interleave};
use causeway_model::Result;

/// Runs of at least this many rows, on average, are copied whole: each costs a slice, which some rows must pay for.
const RUN_ROWS_MIN: usize = 8;

/// Consecutive rows of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) length: usize,
}

/// Rows of several sources in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Picks {
    runs: Vec<Run>,
    rows: usize,
}

impl Picks {
    pub(crate) fn push(&mut self, source: usize, start: usize, length: usize) {
        self.rows += length;
        match self.runs.last_mut() {
            Some(last) if last.source == source && last.start + last.length == start => last.length += length,
            _ => self.runs.push(Run { source, start, length }),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.rows = 0;
    }

    /// Source and row of each picked row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.runs.iter().flat_map(|run| (run.start..run.start + run.length).map(|row| (run.source, row)))
    }

    /// The picked rows of one array a source; there must be a run.
    pub(crate) fn gather(&self, sources: &[&dyn Array]) -> Result<ArrayRef> {
        if let [run] = self.runs.as_slice() {
            return Ok(sources[run.source].slice(run.start, run.length));
        }
        // Most columns of a wide table say nothing in most parts.
        if let Some(first) = sources.first()
            && sources.iter().all(|source| source.null_count() == source.len())
        {
            return Ok(new_null_array(first.data_type(), self.rows));
        }
        if self.rows >= self.runs.len() * RUN_ROWS_MIN {
            let slices: Vec<ArrayRef> =
                self.runs.iter().map(|run| sources[run.source].slice(run.start, run.length)).collect();
            let slices: Vec<&dyn Array> = slices.iter().map(|slice| &**slice).collect();
            return Ok(concat(&slices)?);
        }
        let indices: Vec<(usize, usize)> = self.iter().collect();
        Ok(interleave(sources, &indices)?)
    }
}
