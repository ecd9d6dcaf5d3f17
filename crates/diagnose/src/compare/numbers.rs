//! Are numbers of one population larger? Histograms with bins of 2 %, so that memory does not grow with the rows; counted in the engine.

use serde::Serialize;

use super::count::Count;
use crate::keys::Dimension;
use crate::statistics::{chi_squared_tail, q_values};

/// Bins for each factor of e: a bin is 2 % wide, so that a quantile is at most 1 % off.
const BINS_PER_E: f64 = 50.0;
/// Magnitudes well above it have bins of that width; below it bins are even, so that zero lies in the middle of one.
const SMALLEST: f64 = 1e-9;

/// A bin with what both populations have there.
type Bin = (i32, [f64; 2]);
/// A key, its bins, and the effect with its p-value.
type Compared<'a> = (&'a Dimension, Vec<Bin>, (f64, f64));

/// Three quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// 5 % are smaller.
    pub p5: f64,
    /// Half are smaller.
    pub p50: f64,
    /// 95 % are smaller.
    pub p95: f64,
}

/// A number that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NumberFinding {
    /// The attribute's key or the column's name.
    pub key: String,
    /// Quantiles of the selected rows, within 1 %.
    pub selection: Quantiles,
    /// Quantiles of the others.
    pub baseline: Quantiles,
    /// Cliff's delta: -1 where all selected ones are smaller, 1 where all are larger.
    pub effect: f64,
    /// Expected share of false findings among those at least as strong.
    pub q_value: f64,
}

/// The bin of a number, in SQL; none of what is not finite.
pub(super) fn bin_of(number: &str) -> String {
    let number = format!("CAST({number} AS DOUBLE)");
    format!("TRY_CAST(signum({number}) * ln(1.0 + abs({number}) / {SMALLEST:e}) * {BINS_PER_E:.1} AS BIGINT)")
}

fn middle(bin: i32) -> f64 {
    let magnitude = (f64::from(bin.abs()) + 0.5) / BINS_PER_E;
    if bin == 0 { 0.0 } else { SMALLEST * (magnitude.exp() - 1.0) * f64::from(bin.signum()) }
}

fn bins(counted: &[(String, Count)]) -> Vec<Bin> {
    let bin = |(bin, count): &(String, Count)| Some((bin.parse().ok()?, [count.selection, count.baseline]));
    let mut bins: Vec<Bin> = counted.iter().filter_map(bin).collect();
    bins.sort_unstable_by_key(|(bin, _)| *bin);
    bins
}

fn total(bins: &[Bin], side: usize) -> f64 {
    bins.iter().map(|(_, counts)| counts[side]).sum()
}

fn quantiles(bins: &[Bin], side: usize) -> Quantiles {
    let total = total(bins, side);
    let at = |share: f64| {
        let mut below = 0.0;
        let reached = bins.iter().find(|(_, counts)| {
            below += counts[side];
            below >= share * total
        });
        reached.map_or(f64::NAN, |(bin, _)| middle(*bin))
    };
    Quantiles { p5: at(0.05), p50: at(0.5), p95: at(0.95) }
}

/// Cliff's delta and the p-value of Mann and Whitney's test, corrected for ties.
fn compare(bins: &[Bin]) -> Option<(f64, f64)> {
    let (selected, others) = (total(bins, 0), total(bins, 1));
    if selected == 0.0 || others == 0.0 {
        return None;
    }
    let (mut below, mut wins, mut ties) = (0.0, 0.0, 0.0);
    for (_, [selection, baseline]) in bins {
        wins += selection * (below + baseline / 2.0);
        below += baseline;
        ties += (selection + baseline).powi(3) - (selection + baseline);
    }
    let all = selected + others;
    let variance = selected * others / 12.0 * (all + 1.0 - ties / (all * (all - 1.0).max(1.0)));
    let z = if variance > 0.0 { (wins - selected * others / 2.0) / variance.sqrt() } else { 0.0 };
    Some((2.0 * wins / (selected * others) - 1.0, chi_squared_tail(z * z)))
}

/// The numbers that differ, largest effect first.
pub(super) fn findings<'a>(
    counted: impl Iterator<Item = (&'a Dimension, &'a [(String, Count)])>,
    q_max: f64,
) -> Vec<NumberFinding> {
    let compared: Vec<Compared<'_>> = counted
        .filter_map(|(it, counted)| {
            let bins = bins(counted);
            let result = compare(&bins)?;
            Some((it, bins, result))
        })
        .collect();
    let p_values: Vec<f64> = compared.iter().map(|(.., (_, p))| *p).collect();
    let finding = |((it, bins, (effect, _)), q_value): (&Compared<'_>, f64)| NumberFinding {
        key: it.key.clone(),
        selection: quantiles(bins, 0),
        baseline: quantiles(bins, 1),
        effect: *effect,
        q_value,
    };
    let mut findings: Vec<NumberFinding> =
        compared.iter().zip(q_values(&p_values, compared.len())).map(finding).collect();
    findings.retain(|it| it.q_value <= q_max);
    findings.sort_by(|a, b| b.effect.abs().total_cmp(&a.effect.abs()));
    findings
}
