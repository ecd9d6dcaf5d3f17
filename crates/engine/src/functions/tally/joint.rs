//! Which values of several columns stand on a row together? A number for each row, made of a byte a column.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::common::{Result, internal_err, plan_err};
use hashbrown::HashMap;

use super::column::{OPEN_MAX, each_number, same_texts, text_at};

/// Columns whose bytes fit a number.
pub(super) const COLUMNS_MAX: usize = 8;
/// Values of one column that a byte tells apart, besides none of them.
const VALUES_MAX: usize = u8::MAX as usize;
/// Set beside the byte of a leading value.
const LEADING: u16 = 1 << u8::BITS;

/// The values of each column that are told apart.
#[derive(Debug)]
pub(super) struct Joint {
    columns: Vec<Codes>,
    cells: Vec<u64>,
    leading: Vec<bool>,
}

#[derive(Debug)]
struct Codes {
    /// The byte of a value, its place counted from 1, with [`LEADING`] or not.
    of_value: HashMap<Box<str>, u16>,
    /// The same by the numbers of dictionaries that were met.
    known: Vec<(StringArray, Vec<u16>)>,
}

impl Joint {
    /// From JSON: for each column two lists of texts, the leading values and the others.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let Ok(lists) = serde_json::from_str::<Vec<[Vec<Box<str>>; 2]>>(text) else {
            return plan_err!(
                "tally_joint: the values are given as JSON, for each column a list of leading ones and one of others"
            );
        };
        let few = |[leading, others]: &[Vec<Box<str>>; 2]| leading.len() + others.len() <= VALUES_MAX;
        if lists.len() > COLUMNS_MAX || !lists.iter().all(few) {
            return plan_err!("tally_joint tells {VALUES_MAX} values of {COLUMNS_MAX} columns apart at most");
        }
        let codes = |[leading, others]: [Vec<Box<str>>; 2]| {
            let marked = leading.into_iter().map(|value| (value, LEADING)).chain(others.into_iter().map(|it| (it, 0)));
            let of_value = marked.zip(1..).map(|((value, mark), code)| (value, mark | code)).collect();
            Codes { of_value, known: Vec::new() }
        };
        Ok(Self { columns: lists.into_iter().map(codes).collect(), cells: Vec::new(), leading: Vec::new() })
    }

    /// Of each row the bytes of its values, the first column's lowest, 0 for a value that is not told apart; null where none of them leads.
    pub(super) fn cells(&mut self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        let rows = columns.first().map_or(0, |column| column.len());
        self.cells.clear();
        self.cells.resize(rows, 0);
        self.leading.clear();
        self.leading.resize(rows, false);
        if columns.len() != self.columns.len() {
            return plan_err!("tally_joint: values of {} columns for {}", self.columns.len(), columns.len());
        }
        for (at, (codes, column)) in self.columns.iter_mut().zip(columns).enumerate() {
            let Some(column) = column.as_dictionary_opt::<Int32Type>() else {
                return internal_err!("tally_joint: a column of {}", column.data_type());
            };
            let Some(texts) = column.values().as_string_opt::<i32>() else {
                return internal_err!("tally_joint: a dictionary that is not of texts");
            };
            if column.null_count() == column.len() {
                continue;
            }
            // Nothing is gained by a code for each text where rows are as few.
            if texts.len() < column.len() {
                codes.learn(texts);
            }
            let (codes, cells, leading) = (&*codes, &mut self.cells, &mut self.leading);
            let known = codes.of_dictionary(texts);
            each_number(column, |row, number| {
                let code = match known {
                    Some(known) => known.get(number).copied().unwrap_or_default(),
                    None => codes.of_text(texts, number),
                };
                if let (Some(cell), Some(leading)) = (cells.get_mut(row), leading.get_mut(row)) {
                    *cell |= u64::from(code as u8) << (8 * at);
                    *leading |= code >= LEADING;
                }
            });
        }
        let cells = self.cells.iter().map(|cell| cell.cast_signed()).collect::<Vec<i64>>();
        let nulls = datafusion::arrow::buffer::NullBuffer::from(self.leading.as_slice());
        Ok(std::sync::Arc::new(Int64Array::try_new(cells.into(), Some(nulls))?))
    }
}

impl Joint {
    /// Memory beside the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let known = |(texts, codes): &(StringArray, Vec<u16>)| texts.get_buffer_memory_size() + codes.capacity() * 2;
        let open: usize = self.columns.iter().flat_map(|column| &column.known).map(known).sum();
        open + self.cells.capacity() * size_of::<u64>() + self.leading.capacity()
    }
}

impl Codes {
    fn of_text(&self, texts: &StringArray, number: usize) -> u16 {
        text_at(texts, number).and_then(|text| self.of_value.get(text).copied()).unwrap_or_default()
    }

    /// The bytes of a dictionary's numbers, where they were learnt.
    fn of_dictionary(&self, texts: &StringArray) -> Option<&[u16]> {
        self.known.iter().find(|(known, _)| same_texts(known, texts)).map(|(_, codes)| codes.as_slice())
    }

    fn learn(&mut self, texts: &StringArray) {
        if self.of_dictionary(texts).is_some() {
            return;
        }
        if self.known.len() >= OPEN_MAX {
            self.known.remove(0);
        }
        let codes = (0..texts.len()).map(|number| self.of_text(texts, number)).collect();
        self.known.push((texts.clone(), codes));
    }
}
