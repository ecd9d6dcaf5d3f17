//! What do these rows have in common that those don't? Two populations over every attribute, all rows counted.
//!
//! One pass over the rows counts each key = value in both. The G statistic (Dunning 1993) ranks them; a combination of two or three is listed where
//! it is more telling than each of its parts (found greedily, from the joint counts of the most telling keys); values that
//! stand on exactly the same rows are folded into one finding; q-values are Benjamini and Hochberg's (1995). Numbers are compared by
//! Cliff's delta (1993) with Mann and Whitney's test.

mod combine;
mod count;
mod numbers;

use causeway_model::{Error, Result};
use causeway_query::Answerer;
use serde::{Deserialize, Serialize};

use crate::ask::{Inquiry, all_of, numbered, quoted};
use crate::keys::{self, Dimension};
use crate::statistics::{chi_squared_tail, g_signed, q_values};
use crate::types::{How, Time, Window};

use combine::Cells;
use count::{Count, Tally, tally};
pub use numbers::{NumberFinding, Quantiles};

/// Keys that are compared. 400: the engine's limit is 500 attributes a question; the most frequent ones.
const KEYS_MAX: usize = 400;
/// Values of a key that are counted. 20,000: beyond it a key is an identifier, whose values say nothing about a population.
pub(crate) const VALUES_MAX: u64 = 20_000;
/// A numeric key with more values than this is compared as a number, with fewer as categories.
const CATEGORIES_MAX: u64 = 50;
/// Findings that are listed when nobody says.
const LIMIT_DEFAULT: usize = 50;
/// A finding is listed when its expected share of false ones is at most this.
const Q_MAX: f64 = 0.05;

/// One population.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// A predicate in SQL; all rows when missing.
    #[serde(default)]
    pub filter: Option<String>,
    /// From here.
    pub start: Time,
    /// The first nanosecond after it.
    pub end: Time,
}

impl Population {
    fn window(&self) -> Window {
        Window { start: self.start, end: self.end }
    }

    fn condition(&self) -> String {
        all_of(&[self.window().condition(), self.filter.clone().unwrap_or_default()])
    }
}

/// Which populations to compare. A row that is in both counts as selected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// `spans` or `logs`.
    pub table: String,
    /// What stands out.
    pub selection: Population,
    /// What it is compared with.
    pub baseline: Population,
    /// Findings at most; 50 when missing.
    #[serde(default)]
    pub limit: Option<usize>,
}

impl Comparison {
    /// Whether a predicate names the dimension.
    fn chosen_by(&self, dimension: &Dimension) -> bool {
        let filters = [&self.selection.filter, &self.baseline.filter];
        let named = |filter: &String| {
            if dimension.family.is_empty() {
                let word = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == '.');
                filter.split(word).any(|it| it == dimension.key)
            } else {
                filter.contains(&quoted(&dimension.key))
            }
        };
        filters.into_iter().flatten().any(named)
    }
}

/// One attribute with its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Attribute {
    /// Key of the attribute, or the column's name.
    pub key: String,
    /// Its value as text.
    pub value: String,
    /// How SQL reads it.
    pub expression: String,
}

/// A value or a combination that one population has more often.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// One to three.
    pub attributes: Vec<Attribute>,
    /// Others that stand on exactly the same rows.
    pub synonyms: Vec<Attribute>,
    /// Selected rows that have it.
    pub selection_count: u64,
    /// Other rows that have it.
    pub baseline_count: u64,
    /// Share of the selected rows.
    pub selection_share: f64,
    /// Share of the other rows.
    pub baseline_share: f64,
    /// Difference of the shares.
    pub effect: f64,
    /// The G statistic; negative where the selection has it less often.
    pub g: f64,
    /// What it is ranked by: G, or less where the rest of a part of it stands out as well.
    #[serde(skip)]
    pub strength: f64,
    /// Expected share of false findings among those at least as strong.
    pub q_value: f64,
    /// In words.
    pub statement: String,
    /// SQL that counts it.
    pub query: String,
}

/// Size of a population.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Rows.
    pub count: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The selected rows.
    pub selection: Size,
    /// The others.
    pub baseline: Size,
    /// What tells them apart, strongest first; those that the selection has less often come after.
    pub findings: Vec<Difference>,
    /// Numeric attributes that differ.
    pub numbers: Vec<NumberFinding>,
    /// Keys that were compared.
    pub keys_compared: usize,
    /// How it knows.
    pub how: How,
}

/// Compares.
///
/// # Errors
/// `Invalid` for another table, an empty window or a predicate that is no SQL; what the store says otherwise.
pub async fn compare(answerer: &dyn Answerer, asked: &Comparison) -> Result<Compared> {
    let inquiry = Inquiry::new(answerer);
    compare_in(&inquiry, asked).await
}

pub(crate) async fn compare_in(inquiry: &Inquiry<'_>, asked: &Comparison) -> Result<Compared> {
    if !matches!(asked.table.as_str(), "spans" | "logs") {
        return Err(Error::invalid(format!("spans and logs can be compared, not {:?}", asked.table)));
    }
    asked.selection.window().check()?;
    asked.baseline.window().check()?;
    let (mut categories, mut numbers) = chosen(inquiry, &asked.table).await?;
    // What a population was chosen by tells it apart by definition.
    categories.retain(|it| !asked.chosen_by(it));
    numbers.retain(|it| !asked.chosen_by(it));
    let texts = categories.iter().map(|it| numbered(&it.text));
    let bins = numbers.iter().filter_map(|it| it.number.as_deref()).map(numbers::bin_of);
    let columns: Vec<String> = texts.chain(bins).collect();
    let counted = tally(inquiry, asked, "tally", VALUES_MAX, None, &columns).await?;
    let ignored: Vec<&str> =
        categories.iter().zip(&counted.others).filter(|(_, others)| **others > 0).map(|(it, _)| &*it.key).collect();
    if !ignored.is_empty() {
        inquiry.note(format!("identifiers are not compared: {}", ignored.join(", ")));
    }
    let (singles, tested) = singles(asked, &categories, &counted);
    let cells = Cells::load(inquiry, asked, &categories, &singles, counted.total).await?;
    let mut findings = cells.map_or_else(Vec::new, |cells| cells.combinations(asked, counted.total));
    let tests = tested + findings.len();
    findings.extend(singles.into_iter().map(|(_, single)| single));
    judge(&mut findings, tests);
    findings.truncate(asked.limit.unwrap_or(LIMIT_DEFAULT));
    let bins = numbers.iter().enumerate().map(|(at, it)| (it, counted.values(categories.len() + at)));
    let numbers = numbers::findings(bins, Q_MAX);
    let window = Window {
        start: asked.selection.start.min(asked.baseline.start),
        end: asked.selection.end.max(asked.baseline.end),
    };
    Ok(Compared {
        selection: Size { count: counted.total.rows[0] },
        baseline: Size { count: counted.total.rows[1] },
        findings,
        numbers,
        keys_compared: categories.len(),
        how: inquiry.how(window),
    })
}

/// The dimensions to compare as categories, and those to compare as numbers.
async fn chosen(inquiry: &Inquiry<'_>, table: &str) -> Result<(Vec<Dimension>, Vec<Dimension>)> {
    let mut all = keys::dimensions(inquiry, table).await?;
    if all.len() > KEYS_MAX {
        inquiry.note(format!("the {KEYS_MAX} most frequent of {} keys were compared", all.len()));
        all.truncate(KEYS_MAX);
    }
    let identifiers: Vec<&str> =
        all.iter().filter(|it| it.distinct > VALUES_MAX && it.number.is_none()).map(|it| it.key.as_str()).collect();
    if !identifiers.is_empty() {
        inquiry.note(format!("identifiers are not compared: {}", identifiers.join(", ")));
    }
    let as_number = |it: &Dimension| it.number.is_some() && it.distinct > CATEGORIES_MAX;
    let mut numbers: Vec<Dimension> = all.iter().filter(|it| as_number(it)).cloned().collect();
    if table == "spans" {
        numbers.insert(
            0,
            Dimension {
                key: "duration_ns".to_owned(),
                family: String::new(),
                text: "duration_ns".to_owned(),
                number: Some("duration_ns".to_owned()),
                distinct: 0,
                rows: u64::MAX,
            },
        );
    }
    all.retain(|it| it.distinct <= VALUES_MAX && !as_number(it));
    Ok((all, numbers))
}

/// A finding for each value that stands on rows of its own, and how many values there are; none of a key that turned out to be an identifier.
fn singles(asked: &Comparison, categories: &[Dimension], counted: &Tally) -> (Vec<(Count, Difference)>, usize) {
    let mut found: Vec<(Count, Difference)> = Vec::new();
    for (at, dimension) in categories.iter().enumerate().filter(|(at, _)| counted.others.get(*at) == Some(&0)) {
        for (value, count) in counted.values(at) {
            let attribute = attribute(dimension, value);
            found.push((*count, difference(asked, vec![attribute], *count, counted.total)));
        }
    }
    let tested = found.len();
    // Values on the same rows have the same fingerprint; the shortest key speaks for all.
    found.sort_by(|(a, left), (b, right)| {
        let name = |it: &Difference| it.attributes.first().map(|it| (it.key.len(), it.key.clone(), it.value.clone()));
        b.fingerprint().cmp(&a.fingerprint()).then_with(|| name(left).cmp(&name(right)))
    });
    let mut folded: Vec<(Count, Difference)> = Vec::new();
    for (count, difference) in found {
        match folded.last_mut() {
            Some((last, kept)) if last.same_rows(&count) => kept.synonyms.extend(difference.attributes),
            _ => folded.push((count, difference)),
        }
    }
    folded.retain(|(count, _)| count.rows != counted.total.rows);
    (folded, tested)
}

fn attribute(dimension: &Dimension, value: &str) -> Attribute {
    Attribute { key: dimension.key.clone(), value: value.to_owned(), expression: dimension.text.clone() }
}

fn difference(asked: &Comparison, attributes: Vec<Attribute>, count: Count, total: Count) -> Difference {
    let share = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
    let selection_share = share(count.selection, total.selection);
    let baseline_share = share(count.baseline, total.baseline);
    let g = g_signed(count.selection, total.selection, count.baseline, total.baseline);
    let named: Vec<String> = attributes.iter().map(|it| format!("{} = {}", it.key, it.value)).collect();
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let conditions: Vec<String> =
        attributes.iter().map(|it| format!("{} = {}", it.expression, quoted(&it.value))).collect();
    Difference {
        synonyms: Vec::new(),
        selection_count: count.rows[0],
        baseline_count: count.rows[1],
        selection_share,
        baseline_share,
        effect: selection_share - baseline_share,
        g,
        strength: g.abs(),
        q_value: chi_squared_tail(g.abs()),
        statement: format!(
            "{}: {} of the selection, {} of the baseline",
            named.join(" and "),
            percent(selection_share),
            percent(baseline_share)
        ),
        query: format!(
            "SELECT {} AS selected, count(*) AS rows, count(*) FILTER (WHERE {}) AS having_it FROM {} WHERE {} OR {} GROUP BY 1",
            asked.selection.condition(),
            conditions.join(" AND "),
            asked.table,
            asked.selection.condition(),
            asked.baseline.condition()
        ),
        attributes,
    }
}

/// Turns p-values into q-values, drops what may be chance, and sorts: what the selection has more often first.
fn judge(findings: &mut Vec<Difference>, tests: usize) {
    let p_values: Vec<f64> = findings.iter().map(|it| it.q_value).collect();
    for (finding, q_value) in findings.iter_mut().zip(q_values(&p_values, tests)) {
        finding.q_value = q_value;
    }
    findings.retain(|it| it.q_value <= Q_MAX);
    let order = |it: &Difference| {
        (it.g < 0.0, std::cmp::Reverse(ordered(it.strength)), it.attributes.len(), it.attributes.clone())
    };
    findings.sort_by_cached_key(order);
}

/// The bits of a number that is not negative sort as it does.
fn ordered(value: f64) -> u64 {
    value.to_bits()
}
