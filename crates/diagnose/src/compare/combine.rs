//! Which combinations tell more than their parts? Greedy: the strongest values are extended by one more value at a time, over the joint
//! counts of the most telling keys.

use causeway_model::{Error, Result};
use hashbrown::HashMap;

use super::count::{Count, tally};
use super::{Attribute, Comparison, Difference, difference};
use crate::ask::{Inquiry, numbered, quoted};
use crate::keys::Dimension;
use crate::statistics::g_signed;

/// Keys whose joint counts are taken. 8: the most telling; each may multiply the cells.
const KEYS_MAX: usize = 8;
/// Cells of the joint counts. 500,000: some 40 MB; rows that would open more are left out of combinations, and said so. Rows without any value
/// that is extended open none.
const CELLS_MAX: u64 = 500_000;
/// Values of one key that are told apart. 250: the strongest; they fit a byte.
const VALUES_MAX: usize = 250;
/// Combinations that are extended at each size.
const BEAM: usize = 20;
/// A combination is listed when its G exceeds that of its strongest part by this: about chi-squared's 99.9 % point, the price of one more
/// condition.
const GAIN_MIN: f64 = 10.83;
/// How much of what remains of a part, without the combination, may stand out: a third of the way (in log odds) from the other rows to the
/// combination. Where more does, the part describes what stands out and the combination only its core, and is listed below it.
const REMAINDER_MAX: f64 = 1.0 / 3.0;
/// Attributes in a combination.
const ATTRIBUTES_MAX: usize = 3;

type Codes = [u8; KEYS_MAX];
/// The code of a value that is not among those told apart, or missing.
const OTHER: u8 = 0;
/// Joint counts of some keys.
pub(super) struct Cells {
    /// For each key its values that are told apart; code = position + 1.
    values: Vec<Vec<Attribute>>,
    /// The single values, strongest first; the first [`BEAM`] are extended.
    singles: Vec<(Vec<Part>, Count)>,
    /// The rows that have a value which is extended.
    cells: Vec<(Codes, Count)>,
}

/// A value: key and code.
type Part = (usize, u8);

impl Cells {
    /// Counts the most telling keys jointly; nothing where there are fewer than two.
    pub async fn load(
        inquiry: &Inquiry<'_>,
        asked: &Comparison,
        categories: &[Dimension],
        singles: &[(Count, Difference)],
        total: Count,
    ) -> Result<Option<Self>> {
        let keys = telling(categories, singles);
        if keys.len() < 2 {
            return Ok(None);
        }
        let strongest: Vec<Vec<(Attribute, Count)>> = keys.iter().map(|key| strongest(&key.text, singles)).collect();
        let singles = in_order(&strongest, total);
        let extended = |part: Part| singles.iter().take(BEAM).any(|(parts, _)| *parts == [part]);
        // The strongest values of a key are the first ones, and so are those that are extended.
        let told_apart: Vec<[Vec<&str>; 2]> = strongest
            .iter()
            .enumerate()
            .map(|(key, list)| {
                let leading = (1..=u8::MAX).zip(list).take_while(|(code, _)| extended((key, *code))).count();
                let (leading, others) = list.split_at(leading);
                [leading, others].map(|list| list.iter().map(|(it, _)| it.value.as_str()).collect())
            })
            .collect();
        let told_apart = serde_json::to_string(&told_apart)
            .map_err(|error| Error::internal(format!("values can't be written as JSON: {error}")))?;
        let columns: Vec<String> = keys.iter().map(|key| numbered(&key.text)).collect();
        let counted = tally(inquiry, asked, "tally_joint", CELLS_MAX, Some(quoted(&told_apart)), &columns).await?;
        let left_out: u64 = counted.others.iter().sum();
        if left_out > 0 {
            inquiry.note(format!("{left_out} rows are left out of combinations"));
        }
        let cells = counted.cells.iter().map(|(cell, count)| (cell.to_le_bytes(), *count)).collect();
        let values = strongest.into_iter().map(|list| list.into_iter().map(|(value, _)| value).collect()).collect();
        Ok(Some(Self { values, singles, cells }))
    }

    /// Combinations that the selection has more often, each more telling than its parts.
    pub fn combinations(&self, asked: &Comparison, total: Count) -> Vec<Difference> {
        let g = |count: &Count| g_of(count, &total);
        let mut known: HashMap<Vec<Part>, Count> = self.singles.iter().cloned().collect();
        let mut grown: Vec<(Vec<Part>, Count)> = self.singles.clone();
        let mut found = Vec::new();
        for _ in 2..=ATTRIBUTES_MAX {
            strongest_first(&mut grown, &total);
            grown.truncate(BEAM);
            let mut next: Vec<(Vec<Part>, Count)> = Vec::new();
            for (parts, _) in &grown {
                for (longer, count) in self.extensions(parts) {
                    if known.contains_key(&longer) {
                        continue;
                    }
                    let known_parts = shorter(&longer).filter_map(|part| known.get(&part));
                    let strongest = known_parts.max_by(|a, b| g(a).total_cmp(&g(b))).copied().unwrap_or_default();
                    known.insert(longer.clone(), count);
                    if g(&count) < g(&strongest) + GAIN_MIN {
                        continue;
                    }
                    let mut told = difference(asked, self.named(&longer), count, total);
                    if remainder(&count, &strongest, &total) > REMAINDER_MAX {
                        told.strength = told.strength.min(g(&strongest) * (1.0 - f64::EPSILON * 4.0));
                    }
                    found.push(told);
                    next.push((longer, count));
                }
            }
            grown = next;
        }
        found
    }

    fn named(&self, parts: &[Part]) -> Vec<Attribute> {
        parts
            .iter()
            .filter_map(|(key, code)| self.values.get(*key)?.get(usize::from(*code).checked_sub(1)?))
            .cloned()
            .collect()
    }

    /// The rows that have all of `parts`, by each further value.
    fn extensions(&self, parts: &[Part]) -> Vec<(Vec<Part>, Count)> {
        let mut counts = vec![[Count::default(); 1 << u8::BITS]; self.values.len()];
        for (codes, count) in
            self.cells.iter().filter(|(codes, _)| parts.iter().all(|(key, code)| codes[*key] == *code))
        {
            for (counts, code) in counts.iter_mut().zip(codes) {
                counts[usize::from(*code)].add(count);
            }
        }
        let taken = |key: usize| parts.iter().any(|(taken, _)| *taken == key);
        let mut longer = Vec::new();
        for (key, counts) in counts.iter().enumerate().filter(|(key, _)| !taken(*key)) {
            for (code, count) in (0..=u8::MAX).zip(counts).filter(|(code, count)| *code != OTHER && !count.is_none()) {
                let mut all = [parts, &[(key, code)]].concat();
                all.sort_unstable();
                longer.push((all, *count));
            }
        }
        longer
    }
}

fn g_of(count: &Count, total: &Count) -> f64 {
    g_signed(count.selection, total.selection, count.baseline, total.baseline)
}

fn strongest_first(parts: &mut [(Vec<Part>, Count)], total: &Count) {
    parts.sort_by(|(a, x), (b, y)| g_of(y, total).total_cmp(&g_of(x, total)).then_with(|| a.cmp(b)));
}

/// The values of all keys by their codes, strongest first.
fn in_order(values: &[Vec<(Attribute, Count)>], total: Count) -> Vec<(Vec<Part>, Count)> {
    let of_key = |(key, list): (usize, &Vec<(Attribute, Count)>)| {
        list.iter().zip(1..=u8::MAX).map(|((_, count), code)| (vec![(key, code)], *count)).collect::<Vec<_>>()
    };
    let mut singles: Vec<(Vec<Part>, Count)> = values.iter().enumerate().flat_map(of_key).collect();
    strongest_first(&mut singles, &total);
    singles
}

/// How far what remains of `part` without `whole` stands out: 0 as the rows outside of `part`, 1 as `whole`, in log odds.
fn remainder(whole: &Count, part: &Count, total: &Count) -> f64 {
    // Haldane's half keeps empty cells finite.
    let odds = |selection: f64, baseline: f64| ((selection.max(0.0) + 0.5) / (baseline.max(0.0) + 0.5)).ln();
    let inside = odds(whole.selection, whole.baseline);
    let rest = odds(part.selection - whole.selection, part.baseline - whole.baseline);
    let outside = odds(total.selection - part.selection, total.baseline - part.baseline);
    if inside > outside { (rest - outside) / (inside - outside) } else { 0.0 }
}

/// The combination less one part, for each part, down to single values.
fn shorter(parts: &[Part]) -> impl Iterator<Item = Vec<Part>> {
    let subsets = 1..(1_usize << parts.len()) - 1;
    subsets
        .map(|chosen| parts.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, part)| *part).collect())
}

/// The keys whose best value tells most; synonyms were folded, so that none of them says the same twice.
fn telling<'a>(categories: &'a [Dimension], singles: &[(Count, Difference)]) -> Vec<&'a Dimension> {
    let best = |dimension: &Dimension| of_key(&dimension.text, singles).map(|(_, it)| it.g).fold(0.0, f64::max);
    let mut keys: Vec<(f64, &Dimension)> =
        categories.iter().map(|it| (best(it), it)).filter(|(g, _)| *g > 0.0).collect();
    keys.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.text.cmp(&right.text)));
    keys.into_iter().take(KEYS_MAX).map(|(_, dimension)| dimension).collect()
}

fn of_key<'a>(
    expression: &'a str,
    singles: &'a [(Count, Difference)],
) -> impl Iterator<Item = &'a (Count, Difference)> {
    singles.iter().filter(move |(_, it)| it.attributes.iter().any(|part| part.expression == expression))
}

fn strongest(expression: &str, singles: &[(Count, Difference)]) -> Vec<(Attribute, Count)> {
    let mut own: Vec<&(Count, Difference)> = of_key(expression, singles).collect();
    own.sort_by(|(_, a), (_, b)| b.g.total_cmp(&a.g).then_with(|| a.attributes.cmp(&b.attributes)));
    own.into_iter().take(VALUES_MAX).filter_map(|(count, it)| Some((it.attributes.first()?.clone(), *count))).collect()
}
