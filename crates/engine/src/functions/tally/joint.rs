//! Which values of several columns stand on a row together? A number for each row, made of a byte a column.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::common::{Result, internal_err, plan_err};
use hashbrown::HashMap;

use super::column::each_number;

/// Columns whose bytes fit a number.
pub(super) const COLUMNS_MAX: usize = 8;
/// Values of one column that a byte tells apart, besides none of them.
const VALUES_MAX: usize = u8::MAX as usize;
/// Texts of the dictionaries of one column that are remembered. 40,000, as for those that are counted.
const TEXTS_MAX: usize = 40_000;
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
            let of_numbers = codes.of_dictionary(texts);
            let (cells, leading) = (&mut self.cells, &mut self.leading);
            each_number(column, |row, number| {
                let code = of_numbers.get(number).copied().unwrap_or_default();
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

impl Codes {
    fn of_dictionary(&mut self, texts: &StringArray) -> &[u16] {
        let at = self.known.iter().position(|(known, _)| super::column::same_texts(known, texts));
        let at = at.unwrap_or_else(|| {
            let mut known: usize = self.known.iter().map(|(texts, _)| texts.len()).sum();
            while known + texts.len() > TEXTS_MAX && !self.known.is_empty() {
                known -= self.known.remove(0).0.len();
            }
            let code = |text: Option<&str>| text.and_then(|text| self.of_value.get(text).copied()).unwrap_or_default();
            let codes = texts.iter().map(code).collect();
            self.known.push((texts.clone(), codes));
            self.known.len() - 1
        });
        self.known.get(at).map_or(&[], |(_, codes)| codes)
    }
}
