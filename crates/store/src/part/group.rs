//! How do rows come with the text that they are grouped by? As numbers of the column chunk's dictionary where Parquet keeps it so,
//! and from the statistics alone where all rows of a row group share one value.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use causeway_model::{Error, Result};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Encoding;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::part::read::{Part, PartPiece};
use crate::part::resolve::Resolved;
use crate::scan::{Scan, ScanColumn};

/// Rows of a scan, each with its value of the column that they are grouped by: Utf8, or a dictionary of Int32 to Utf8.
pub type GroupedBatches = Box<dyn Iterator<Item = Result<(ArrayRef, RecordBatch)>> + Send>;

/// A footer that gives all text as dictionaries.
pub(crate) fn with_dictionaries(footer: &ArrowReaderMetadata) -> parquet::errors::Result<ArrowReaderMetadata> {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let changed = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(dictionary.clone())),
        _ => field.clone(),
    };
    let fields: Vec<Arc<Field>> = footer.schema().fields().iter().map(changed).collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    ArrowReaderMetadata::try_new(footer.metadata().clone(), options)
}

fn is_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    chunk.dictionary_page_offset().is_some()
        && chunk.page_encoding_stats_mask().is_some_and(|mask| mask.is_only(Encoding::RLE_DICTIONARY))
}

impl Part {
    /// The leaf column that alone holds a column of text; `None` where it must be put together.
    fn text_leaf(&self, column: &ScanColumn) -> Result<Option<usize>> {
        let whole = Resolved::scan(self.schema(), std::slice::from_ref(column))?.whole();
        Ok(whole.filter(|root| self.stored_type(*root) == Some(&DataType::Utf8)).and_then(|root| self.leaf(root)))
    }

    fn chunk(&self, leaf: Option<usize>, row_group: usize) -> Option<&ColumnChunkMetaData> {
        self.footer().metadata().row_groups().get(row_group)?.columns().get(leaf?)
    }

    /// Whether every row group keeps this text as a dictionary.
    ///
    /// # Errors
    /// `Invalid` for a column that the table lacks.
    pub fn has_dictionary(&self, column: &ScanColumn) -> Result<bool> {
        let leaf = self.text_leaf(column)?;
        let groups = 0..self.footer().metadata().num_row_groups();
        Ok(groups.into_iter().all(|row_group| self.chunk(leaf, row_group).is_some_and(is_dictionary)))
    }

    /// The value that all rows of a row group have in a column of text, where its statistics know one.
    ///
    /// # Errors
    /// `Invalid` for a column that the table lacks.
    pub fn constant(&self, column: &ScanColumn, row_group: usize) -> Result<Option<&str>> {
        let statistics = self.chunk(self.text_leaf(column)?, row_group).and_then(ColumnChunkMetaData::statistics);
        Ok(statistics.and_then(|statistics| {
            let exact =
                statistics.min_is_exact() && statistics.max_is_exact() && statistics.null_count_opt() == Some(0);
            let (min, max) = (statistics.min_bytes_opt()?, statistics.max_bytes_opt()?);
            (exact && min == max).then(|| std::str::from_utf8(min).ok()).flatten()
        }))
    }

    /// Reads one piece as [`Part::read`] does, with one column more, which may come as a dictionary.
    ///
    /// # Errors
    /// `Corrupt` when pages can't be read; each item may fail.
    pub fn read_grouped(&self, scan: &Scan, column: &ScanColumn, piece: &PartPiece) -> Result<GroupedBatches> {
        let leaf = self.text_leaf(column)?;
        if !self.chunk(leaf, piece.row_group).is_some_and(is_dictionary) {
            let with_column = std::iter::once(column).chain(&scan.columns).cloned().collect();
            let batches = self.read(&Scan { columns: with_column, ..scan.clone() }, piece)?;
            return Ok(Box::new(batches.map(|batch| {
                let mut batch = batch?;
                let texts = batch.remove_column(0);
                Ok((texts, batch))
            })));
        }
        let resolved = Resolved::scan(self.schema(), &scan.columns)?;
        let (rows, kept) = self.filtered(scan, &resolved, piece)?;
        if !rows.selects_any() {
            return Ok(Box::new(std::iter::empty()));
        }
        let texts = self.dictionaries(leaf, piece.row_group, rows.clone(), scan.batch_rows)?;
        let others = self.read_resolved(resolved, piece.row_group, rows, kept, scan.batch_rows)?;
        Ok(Box::new(texts.zip(others).map(|(texts, others)| {
            let (texts, others) = (texts?, others?);
            if texts.len() == others.num_rows() {
                Ok((texts, others))
            } else {
                Err(Error::internal("columns of one row group differ in length"))
            }
        })))
    }
}
