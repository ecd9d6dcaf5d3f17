//! What is known of the text that rows are grouped by, before a row is read? Whether Parquet keeps it as numbers of a dictionary, and the
//! one value of a row group whose rows all share it.

use arrow::datatypes::DataType;
use causeway_model::Result;
use parquet::basic::Encoding;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::part::read::Part;
use crate::part::resolve::Resolved;
use crate::scan::ScanColumn;

fn is_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    chunk.dictionary_page_offset().is_some()
        && chunk.page_encoding_stats_mask().is_some_and(|mask| mask.is_only(Encoding::RLE_DICTIONARY))
}

impl Part {
    /// The column chunk that alone holds a column of the schema as text; `None` for any other.
    fn text_chunk(&self, column: usize, row_group: usize) -> Option<&ColumnChunkMetaData> {
        let leaf = self.leaf(column).filter(|_| self.stored_type(column) == Some(&DataType::Utf8))?;
        self.footer().metadata().row_groups().get(row_group)?.columns().get(leaf)
    }

    /// Whether a row group keeps a column of the schema as text by numbers of a dictionary alone.
    pub(crate) fn keeps_dictionary(&self, column: usize, row_group: usize) -> bool {
        self.text_chunk(column, row_group).is_some_and(is_dictionary)
    }

    /// The column of the schema that alone holds a scan's column.
    fn whole_column(&self, column: &ScanColumn) -> Result<Option<usize>> {
        Ok(Resolved::scan(self.schema(), std::slice::from_ref(column))?.whole())
    }

    /// Whether every row group keeps this text as a dictionary.
    ///
    /// # Errors
    /// `Invalid` for a column that the table lacks.
    pub fn has_dictionary(&self, column: &ScanColumn) -> Result<bool> {
        let whole = self.whole_column(column)?;
        let mut groups = 0..self.footer().metadata().num_row_groups();
        Ok(whole.is_some_and(|column| groups.all(|row_group| self.keeps_dictionary(column, row_group))))
    }

    /// The value that all rows of a row group have in a column of text, where its statistics know one.
    ///
    /// # Errors
    /// `Invalid` for a column that the table lacks.
    pub fn constant(&self, column: &ScanColumn, row_group: usize) -> Result<Option<&str>> {
        let chunk = self.whole_column(column)?.and_then(|column| self.text_chunk(column, row_group));
        Ok(chunk.and_then(ColumnChunkMetaData::statistics).and_then(|statistics| {
            let exact =
                statistics.min_is_exact() && statistics.max_is_exact() && statistics.null_count_opt() == Some(0);
            let (min, max) = (statistics.min_bytes_opt()?, statistics.max_bytes_opt()?);
            (exact && min == max).then(|| std::str::from_utf8(min).ok()).flatten()
        }))
    }
}
