//! How often does each value occur in both populations? The engine counts while it reads (`tally` in SQL); what comes of it here is made of
//! rows and of what they stand for.
//!
//! Where spans were sampled, a row counts with its weight, and the tests with the effective size of its population, the square of the
//! weights' sum over the sum of their squares (Kish 1965): weights say how much there was, not how sure one can be.

use arrow::array::{Array, AsArray, PrimitiveArray, StringArray, StructArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use causeway_model::{Error, Result};

use super::Comparison;
use crate::ask::{Inquiry, Rows, no_row};
use crate::weights::WEIGHT;

/// Places of a tally that are no column's: all rows, and all rows with their weights squared.
const ALL: i32 = -1;
const SQUARES: i32 = -2;

/// What a value, or several of them, has of both populations.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    /// Rows, selected ones and others.
    pub rows: [u64; 2],
    /// What they count in a test: rows, or where they weigh, their share of the effective size.
    pub selection: f64,
    pub baseline: f64,
    fingerprint: i64,
}

impl Count {
    pub fn is_none(&self) -> bool {
        self.rows == [0, 0]
    }

    /// Whether both are the same rows.
    pub fn same_rows(&self, other: &Self) -> bool {
        (self.rows, self.fingerprint) == (other.rows, other.fingerprint)
    }

    /// By what values with the same rows come to stand beside each other.
    pub fn fingerprint(&self) -> i64 {
        self.fingerprint
    }

    pub fn add(&mut self, other: &Self) {
        self.rows = [self.rows[0] + other.rows[0], self.rows[1] + other.rows[1]];
        self.selection += other.selection;
        self.baseline += other.baseline;
    }
}

/// What a tally brought.
#[derive(Debug)]
pub(super) struct Tally {
    /// All rows.
    pub total: Count,
    /// For each column its values.
    columns: Vec<Vec<(String, Count)>>,
    /// Values that stand together, as `tally_joint` numbers them.
    pub cells: Vec<(i64, Count)>,
    /// For each column the rows whose values were too many to be told apart.
    pub others: Vec<u64>,
    /// How many the rows stand for, where some stand for several.
    stand_for: Option<f64>,
}

/// Counts the columns of a function of the engine's, which gets `arguments` after the limit of values.
pub(super) async fn tally(
    inquiry: &Inquiry<'_>,
    asked: &Comparison,
    function: &str,
    limit: u64,
    before: Option<String>,
    columns: &[String],
) -> Result<Tally> {
    let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let named: Vec<String> = columns.iter().zip(&names).map(|(text, name)| format!("{text} AS {name}")).collect();
    let arguments: Vec<String> = before.into_iter().chain(names).collect();
    let (selection, baseline) = (asked.selection.condition(), asked.baseline.condition());
    let weight = if asked.table == "spans" { WEIGHT } else { "1.0" };
    let start = asked.selection.start.min(asked.baseline.start);
    let end = asked.selection.end.max(asked.baseline.end);
    let sql = format!(
        "SELECT {function}({limit}, selected, weight, {}) FROM \
         (SELECT coalesce({selection}, false) AS selected, {weight} AS weight, {} FROM {} \
         WHERE time >= '{start}' AND time < '{end}' AND (({selection}) OR ({baseline})))",
        arguments.join(", "),
        named.join(", "),
        asked.table
    );
    let mut found = None;
    inquiry
        .each(sql, |rows| {
            if rows.len() > 0 {
                found = Some(Tally::read(&rows, columns.len())?);
            }
            Ok(())
        })
        .await?;
    let found = found.ok_or_else(|| no_row("the values of both populations"))?;
    if let Some(stand_for) = found.stand_for {
        let rows: u64 = found.total.rows.iter().sum();
        inquiry.note(format!(
            "spans are sampled: {rows} rows stand for {stand_for:.0}; shares are estimates, and tests count what was kept"
        ));
    }
    Ok(found)
}

impl Tally {
    fn read(rows: &Rows<'_>, columns: usize) -> Result<Self> {
        let lost = || Error::internal("the answer of a tally is not understood");
        let list = rows.0.columns().first().and_then(|column| column.as_list_opt::<i32>()).ok_or_else(lost)?.value(0);
        let entries = Entries::of(list.as_struct_opt().ok_or_else(lost)?).ok_or_else(lost)?;
        let of = |place: i32| (0..entries.len()).find(|entry| entries.places.value(*entry) == place).ok_or_else(lost);
        let (all, squares) = (of(ALL)?, of(SQUARES)?);
        // What a unit of weight counts in a test: the effective size by the whole weight. Without sampling that is exactly 1.
        let certainty = [0, 1].map(|side: usize| match entries.weights[side] {
            weights if weights.value(squares) > 0.0 => weights.value(all) / weights.value(squares),
            _ => 1.0,
        });
        let stand_for = entries.weights.iter().map(|weights| weights.value(all)).sum();
        let rows: f64 = entries.rows.iter().map(|rows| rows.value(all) as f64).sum();
        let mut found = Self {
            total: entries.count(all, certainty),
            stand_for: Some(stand_for).filter(|stand_for| *stand_for != rows),
            columns: vec![Vec::new(); columns],
            cells: Vec::new(),
            others: vec![0; columns],
        };
        for entry in (0..entries.len()).filter(|entry| entries.places.value(*entry) >= 0) {
            let place = usize::try_from(entries.places.value(entry)).map_err(|_| lost())?;
            let count = entries.count(entry, certainty);
            match entries.values {
                values if values.is_null(entry) => {
                    *found.others.get_mut(place).ok_or_else(lost)? += count.rows[0] + count.rows[1];
                }
                Values::Texts(texts) => {
                    let values = found.columns.get_mut(place).ok_or_else(lost)?;
                    values.push((texts.value(entry).to_owned(), count));
                }
                Values::Numbers(numbers) => found.cells.push((numbers.value(entry), count)),
            }
        }
        Ok(found)
    }

    /// The values of a column.
    pub fn values(&self, column: usize) -> &[(String, Count)] {
        self.columns.get(column).map_or(&[], Vec::as_slice)
    }
}

#[derive(Clone, Copy)]
enum Values<'a> {
    Texts(&'a StringArray),
    Numbers(&'a PrimitiveArray<Int64Type>),
}

impl Values<'_> {
    fn is_null(&self, entry: usize) -> bool {
        match self {
            Self::Texts(texts) => texts.is_null(entry),
            Self::Numbers(numbers) => numbers.is_null(entry),
        }
    }
}

/// The columns of a tally's entries.
struct Entries<'a> {
    places: &'a PrimitiveArray<Int32Type>,
    values: Values<'a>,
    rows: [&'a PrimitiveArray<Int64Type>; 2],
    weights: [&'a PrimitiveArray<Float64Type>; 2],
    fingerprints: &'a PrimitiveArray<Int64Type>,
}

impl<'a> Entries<'a> {
    fn of(entries: &'a StructArray) -> Option<Self> {
        let whole = |name| entries.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let weight = |name| entries.column_by_name(name)?.as_primitive_opt::<Float64Type>();
        Some(Self {
            places: entries.column_by_name("place")?.as_primitive_opt()?,
            values: {
                let values = entries.column_by_name("value")?;
                let numbers = || Some(Values::Numbers(values.as_primitive_opt()?));
                values.as_string_opt().map(Values::Texts).or_else(numbers)?
            },
            rows: [whole("selection")?, whole("baseline")?],
            weights: [weight("selection_weight")?, weight("baseline_weight")?],
            fingerprints: whole("fingerprint")?,
        })
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    fn count(&self, entry: usize, certainty: [f64; 2]) -> Count {
        let [selection, baseline] = [0, 1].map(|side: usize| self.weights[side].value(entry) * certainty[side]);
        let rows = self.rows.map(|rows| rows.value(entry).cast_unsigned());
        Count { rows, selection, baseline, fingerprint: self.fingerprints.value(entry) }
    }
}
