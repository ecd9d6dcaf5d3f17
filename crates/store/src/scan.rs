//! What does a reader want of the store? A scan: columns by meaning, what may be skipped, and what must hold of each row.
//! The same scan reads parts and memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields};
use causeway_model::{Family, Kind, Result, Table, TimeRange};

/// A column of a scan, named by what it means; each part knows where it keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScanColumn {
    /// A fixed column: its position in [`Table::columns`].
    Fixed(usize),
    /// An attribute's values of one kind, typed: String, Array and Map as Utf8, Int as Int64, Double as Float64, Bool as Boolean,
    /// Bytes as Binary; null where the row lacks the key or has it with another kind.
    Attribute {
        /// Whose attribute.
        family: Family,
        /// The key as sent.
        key: Arc<str>,
        /// The kind wanted.
        kind: Kind,
    },
    /// An attribute as text, whatever its kind ([`causeway_model::Value::write_text`]), as Utf8; null where the row lacks it.
    AttributeText {
        /// Whose attribute.
        family: Family,
        /// The key as sent.
        key: Arc<str>,
    },
    /// An attribute as a number: Int and Double kinds, as Float64; null where the row lacks both.
    AttributeNumber {
        /// Whose attribute.
        family: Family,
        /// The key as sent.
        key: Arc<str>,
    },
    /// All attributes of a family as `Map<Utf8, Utf8>`, keys sorted, values as text.
    Attributes(Family),
    /// The same with values as lossless JSON text (docs/formats/value.md), for whom a value's kind matters.
    AttributesJson(Family),
    /// A column of text or whole numbers as [`dictionary_type`], with the dictionaries that the parts keep where they do: many rows are then
    /// counted by small numbers instead of texts. Two numbers of one dictionary may stand for the same text.
    Dictionary(Box<ScanColumn>),
}

/// The Arrow type of text as numbers of a dictionary.
pub fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The Arrow type of a map from text to text.
pub fn text_map_type() -> DataType {
    let entries =
        Fields::from(vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// The pairs of a row of such a map; a value that is null is empty. `None` where it is another column.
pub fn text_pairs(map: &ArrayRef, row: usize) -> Option<impl Iterator<Item = (&str, &str)>> {
    let map = map.as_map_opt()?;
    let (keys, values) = (map.keys().as_string_opt::<i32>()?, map.values().as_string_opt::<i32>()?);
    let range = *map.value_offsets().get(row)? as usize..*map.value_offsets().get(row + 1)? as usize;
    Some(range.map(move |at| (keys.value(at), if values.is_null(at) { "" } else { values.value(at) })))
}

/// Appends the pairs of a row so that different ones give different bytes: a key for what was made of them.
pub fn write_text_pairs(map: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Option<()> {
    for text in text_pairs(map, row)?.flat_map(|(key, value)| [key, value]) {
        out.extend_from_slice(&(text.len() as u64).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    Some(())
}

impl ScanColumn {
    /// The Arrow type that the scan gives.
    pub fn data_type(&self, table: Table) -> DataType {
        match self {
            Self::Fixed(index) => (table.columns()[*index].data_type)(),
            Self::Attribute { kind, .. } => match kind {
                Kind::Empty | Kind::String | Kind::Array | Kind::Map => DataType::Utf8,
                Kind::Bool => DataType::Boolean,
                Kind::Int => DataType::Int64,
                Kind::Double => DataType::Float64,
                Kind::Bytes => DataType::Binary,
            },
            Self::AttributeText { .. } => DataType::Utf8,
            Self::AttributeNumber { .. } => DataType::Float64,
            Self::Attributes(_) | Self::AttributesJson(_) => text_map_type(),
            Self::Dictionary(_) => dictionary_type(),
        }
    }
}

/// What may be skipped without reading it. Each condition is necessary, none sufficient: the reader still filters.
#[derive(Debug, Clone)]
pub struct Pruning {
    /// `time` lies in here.
    pub time: TimeRange,
    /// `service_name` is one of these.
    pub services: Option<Vec<String>>,
    /// All of these words ([`crate::index::tokens`]) stand in the table's token columns (body).
    pub tokens: Vec<String>,
    /// Each column has one of the given values: ids as bytes, string attributes as text. Outer: and; inner: or.
    pub values: Vec<(ScanColumn, Vec<Vec<u8>>)>,
}

impl Default for Pruning {
    fn default() -> Self {
        Self { time: TimeRange::ALL, services: None, tokens: Vec::new(), values: Vec::new() }
    }
}

/// Says for each row of a batch (of the filter's columns) whether it stays. Null counts as no.
pub type Keep = Arc<dyn Fn(&RecordBatch) -> Result<BooleanArray> + Send + Sync>;

/// A condition on rows, evaluated before the other columns are read.
#[derive(Clone)]
pub struct Filter {
    /// What it needs, in this order.
    pub columns: Vec<ScanColumn>,
    /// The condition.
    pub keep: Keep,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// A read of one table.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The table.
    pub table: Table,
    /// What to return, in this order; may be empty (only the number of rows counts).
    pub columns: Vec<ScanColumn>,
    /// Conditions, evaluated in this order, each only on the rows that the ones before kept.
    pub filters: Vec<Filter>,
    /// What may be skipped.
    pub pruning: Pruning,
    /// Rows a batch at most. 8,192: one block, small enough for the processor's second-level cache.
    pub batch_rows: usize,
}

/// What a scan of one part touched; summed up in EXPLAIN ANALYZE.
#[derive(Debug, Default, Clone, Copy)]
pub struct ScanStats {
    /// Row groups in the part.
    pub row_groups: u64,
    /// Row groups skipped among them.
    pub row_groups_skipped: u64,
    /// Blocks in the part.
    pub blocks: u64,
    /// Blocks skipped among them.
    pub blocks_skipped: u64,
    /// Rows in the blocks that remain.
    pub rows: u64,
}
