//! Which combinations tell more than their parts? Greedy: the strongest values are extended by one more value at a time, over the joint
//! counts of the most telling keys.

use causeway_model::Result;
use hashbrown::HashMap;

use super::count::{Count, select};
use super::numbered::{Dictionaries, each};
use super::{Attribute, Comparison, Difference, difference};
use crate::ask::{Inquiry, numbered};
use crate::keys::Dimension;
use crate::statistics::g_signed;

/// Keys whose joint counts are taken. 8: the most telling; each may multiply the cells.
const KEYS_MAX: usize = 8;
/// Cells of the joint counts. 500,000: some 40 MB; rows that would open more are left out of combinations, and said so.
const CELLS_MAX: usize = 500_000;
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
        singles: &[Difference],
    ) -> Result<Option<Self>> {
        let keys = telling(categories, singles);
        if keys.len() < 2 {
            return Ok(None);
        }
        let values: Vec<Vec<Attribute>> = keys.iter().map(|key| strongest(&key.text, singles)).collect();
        let codes: Vec<HashMap<&str, u8>> = values
            .iter()
            .map(|list| list.iter().zip(1..=u8::MAX).map(|(it, code)| (it.value.as_str(), code)).collect())
            .collect();
        let mut dictionaries: Vec<Dictionaries> = keys.iter().map(|_| Dictionaries::default()).collect();
        let mut cells: HashMap<u64, Count> = HashMap::new();
        let (mut left_out, mut of_rows) = (0_u64, Vec::new());
        inquiry
            .each(select(asked, keys.iter().map(|key| numbered(&key.text))), |rows| {
                let selected = rows.booleans(0)?;
                of_rows.clear();
                of_rows.resize(rows.len(), u64::from_le_bytes([OTHER; KEYS_MAX]));
                for (at, (codes, dictionaries)) in codes.iter().zip(&mut dictionaries).enumerate() {
                    let column = rows.numbered(at + 1)?;
                    let numbers = dictionaries.of(&column)?;
                    each(&column, |row, number| {
                        let code = numbers.place(number, |text| codes.get(text).copied().unwrap_or(OTHER).into());
                        if let Some(cell) = of_rows.get_mut(row) {
                            // A number that stands for null has no code.
                            *cell |= u64::from(u8::try_from(code).unwrap_or(OTHER)) << (8 * at);
                        }
                    });
                }
                for (cell, selected) in of_rows.iter().zip(selected.values()) {
                    let count = match cells.len() < CELLS_MAX {
                        true => Some(cells.entry(*cell).or_default()),
                        false => cells.get_mut(cell),
                    };
                    match count {
                        Some(count) if selected => count.selection += 1,
                        Some(count) => count.baseline += 1,
                        None => left_out += 1,
                    }
                }
                Ok(())
            })
            .await?;
        if left_out > 0 {
            inquiry.note(format!("{left_out} rows are left out of combinations"));
        }
        let cells = cells.into_iter().map(|(cell, count)| (cell.to_le_bytes(), count)).collect();
        drop(codes);
        Ok(Some(Self { values, cells }))
    }

    /// Combinations that the selection has more often, each more telling than its parts.
    pub fn combinations(&self, asked: &Comparison, total: Count) -> Vec<Difference> {
        let g = |count: &Count| {
            let (selection, baseline) = (total.selection as f64, total.baseline as f64);
            g_signed(count.selection as f64, selection, count.baseline as f64, baseline)
        };
        let mut known: HashMap<Vec<Part>, Count> = HashMap::new();
        let mut grown: Vec<(Vec<Part>, Count)> = self.extensions(&[]);
        known.extend(grown.iter().cloned());
        let mut found = Vec::new();
        for _ in 2..=ATTRIBUTES_MAX {
            grown.sort_by(|(a, x), (b, y)| g(y).total_cmp(&g(x)).then_with(|| a.cmp(b)));
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
                let sum = &mut counts[usize::from(*code)];
                sum.selection += count.selection;
                sum.baseline += count.baseline;
            }
        }
        let taken = |key: usize| parts.iter().any(|(taken, _)| *taken == key);
        let mut longer = Vec::new();
        for (key, counts) in counts.iter().enumerate().filter(|(key, _)| !taken(*key)) {
            for (code, count) in (0..=u8::MAX).zip(counts).filter(|(code, count)| *code != OTHER && count.rows() > 0) {
                let mut all = [parts, &[(key, code)]].concat();
                all.sort_unstable();
                longer.push((all, *count));
            }
        }
        longer
    }
}

/// How far what remains of `part` without `whole` stands out: 0 as the rows outside of `part`, 1 as `whole`, in log odds.
fn remainder(whole: &Count, part: &Count, total: &Count) -> f64 {
    // Haldane's half keeps empty cells finite.
    let odds = |selection: u64, baseline: u64| ((selection as f64 + 0.5) / (baseline as f64 + 0.5)).ln();
    let inside = odds(whole.selection, whole.baseline);
    let rest = odds(part.selection.saturating_sub(whole.selection), part.baseline.saturating_sub(whole.baseline));
    let outside = odds(total.selection.saturating_sub(part.selection), total.baseline.saturating_sub(part.baseline));
    if inside > outside { (rest - outside) / (inside - outside) } else { 0.0 }
}

/// The combination less one part, for each part, down to single values.
fn shorter(parts: &[Part]) -> impl Iterator<Item = Vec<Part>> {
    let subsets = 1..(1_usize << parts.len()) - 1;
    subsets
        .map(|chosen| parts.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, part)| *part).collect())
}

/// The keys whose best value tells most; synonyms were folded, so that none of them says the same twice.
fn telling<'a>(categories: &'a [Dimension], singles: &[Difference]) -> Vec<&'a Dimension> {
    let best = |dimension: &Dimension| {
        let own = singles.iter().filter(|it| it.attributes.iter().any(|part| part.expression == dimension.text));
        own.map(|it| it.g).fold(0.0, f64::max)
    };
    let mut keys: Vec<(f64, &Dimension)> =
        categories.iter().map(|it| (best(it), it)).filter(|(g, _)| *g > 0.0).collect();
    keys.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.text.cmp(&right.text)));
    keys.into_iter().take(KEYS_MAX).map(|(_, dimension)| dimension).collect()
}

fn strongest(expression: &str, singles: &[Difference]) -> Vec<Attribute> {
    let own = singles.iter().filter(|it| it.attributes.iter().any(|part| part.expression == expression));
    let mut own: Vec<&Difference> = own.collect();
    own.sort_by(|a, b| b.g.total_cmp(&a.g).then_with(|| a.attributes.cmp(&b.attributes)));
    own.into_iter().take(VALUES_MAX).flat_map(|it| it.attributes.clone()).collect()
}
