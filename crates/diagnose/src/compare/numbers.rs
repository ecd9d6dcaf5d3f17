//! Are numbers of one population larger? Histograms with bins of 2 %, so that memory does not grow with the rows.

use hashbrown::HashMap;
use serde::Serialize;

use crate::keys::Dimension;
use crate::statistics::{chi_squared_tail, q_values};

/// Bins for each factor of e: a bin is 2 % wide, so that a quantile is at most 1 % off.
const BINS_PER_E: f64 = 50.0;
/// Smaller magnitudes count as zero.
const SMALLEST: f64 = 1e-9;

/// How often each magnitude occurs in the selection and in the baseline.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    bins: HashMap<i32, [u64; 2]>,
}

/// A bin with its counts.
type Bin = (i32, [u64; 2]);
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

fn bin(value: f64) -> i32 {
    let magnitude = value.abs();
    if magnitude < SMALLEST {
        return 0;
    }
    let bin = 1 + ((magnitude / SMALLEST).ln() * BINS_PER_E) as i32;
    if value < 0.0 { -bin } else { bin }
}

fn middle(bin: i32) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    SMALLEST * ((f64::from(bin.abs()) - 0.5) / BINS_PER_E).exp() * f64::from(bin.signum())
}

impl Histogram {
    pub fn add(&mut self, value: f64, selected: bool) {
        if !value.is_nan() {
            self.bins.entry(bin(value)).or_default()[usize::from(!selected)] += 1;
        }
    }

    fn sorted(&self) -> Vec<Bin> {
        let mut bins: Vec<Bin> = self.bins.iter().map(|(bin, counts)| (*bin, *counts)).collect();
        bins.sort_unstable_by_key(|(bin, _)| *bin);
        bins
    }
}

fn total(bins: &[Bin], side: usize) -> u64 {
    bins.iter().map(|(_, counts)| counts[side]).sum()
}

fn quantiles(bins: &[Bin], side: usize) -> Quantiles {
    let total = total(bins, side) as f64;
    let at = |share: f64| {
        let mut below = 0;
        let reached = bins.iter().find(|(_, counts)| {
            below += counts[side];
            below as f64 >= share * total
        });
        reached.map_or(f64::NAN, |(bin, _)| middle(*bin))
    };
    Quantiles { p5: at(0.05), p50: at(0.5), p95: at(0.95) }
}

/// Cliff's delta and the p-value of Mann and Whitney's test, corrected for ties.
fn compare(bins: &[Bin]) -> Option<(f64, f64)> {
    let (selected, others) = (total(bins, 0) as f64, total(bins, 1) as f64);
    if selected == 0.0 || others == 0.0 {
        return None;
    }
    let (mut below, mut wins, mut ties) = (0.0, 0.0, 0.0);
    for (_, [selection, baseline]) in bins {
        let (selection, baseline) = (*selection as f64, *baseline as f64);
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
pub(super) fn findings(dimensions: &[Dimension], histograms: &[Histogram], q_max: f64) -> Vec<NumberFinding> {
    let bins = histograms.iter().map(Histogram::sorted);
    let compared: Vec<Compared<'_>> = dimensions
        .iter()
        .zip(bins)
        .filter_map(|(it, bins)| {
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
