//! Which parts become one? Eight neighbours of one level become a part of the next.
//!
//! A merge takes neighbours in the order of their deliveries, so the sequences of two parts of a table never overlap; the
//! catalog can therefore be rebuilt from the parts alone. Parts that can't be merged (damaged, or full) are walls.
//!
//! Write amplification: a row is written once by its flush and at most once for each level. A level needs [`FAN_IN`] (for the
//! last one, at least half as many) parts of the level below, and parts over a quarter of the maximum are not merged again. After N flushes of one
//! size S, bytes written / bytes flushed <= 2 + log8(min(N, max / S)); with 8 MiB flushes and 1 GiB parts that is under 4, and a
//! trickle of one part a minute takes a year to reach 7.

use crate::part::PartMeta;

/// Parts that become one. 8: two levels fewer than with 2, and few enough that all can be read side by side in little memory.
pub const FAN_IN: usize = 8;
/// A part over this share of the largest allowed size is full: with it, fewer than four would fit into one.
const FULL_SHARE: u64 = 4;

/// A part as the policy sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What the catalog knows.
    pub meta: &'a PartMeta,
    /// Whether it can be read; a damaged part is a wall.
    pub readable: bool,
}

/// Limits of a merge.
#[derive(Debug, Clone, Copy)]
pub struct MergeLimits {
    /// Bytes of the largest part.
    pub part_bytes_max: u64,
    /// The parts of one merge arrived within this time, so that retention by age finds parts that are old as a whole.
    pub span_ns_max: Option<i64>,
}

/// The parts of one table to merge next, as a range of `parts`; `parts` are in the order of their sequences. Lower levels
/// first: they are cheap and the most numerous.
pub fn choose(parts: &[Candidate<'_>], limits: MergeLimits) -> Option<std::ops::Range<usize>> {
    let mut best: Option<(u32, std::ops::Range<usize>)> = None;
    let mut start = 0;
    while let Some(first) = parts.get(start) {
        let length = run(&parts[start..], limits);
        if length > 1 && best.as_ref().is_none_or(|(level, _)| first.meta.level < *level) {
            best = Some((first.meta.level, start..start + length));
        }
        start += 1;
    }
    best.map(|(_, range)| range)
}

/// How many parts from the first on can be merged now; 0 when too few.
fn run(parts: &[Candidate<'_>], limits: MergeLimits) -> usize {
    let mergeable = |part: &Candidate<'_>| part.readable && part.meta.bytes <= limits.part_bytes_max / FULL_SHARE;
    let Some(first) = parts.first().filter(|first| mergeable(first)) else { return 0 };
    let mut bytes = 0u64;
    for (length, part) in parts.iter().enumerate() {
        let span = part.meta.created_unix_nano.saturating_sub(first.meta.created_unix_nano);
        if !mergeable(part)
            || part.meta.level != first.meta.level
            || limits.span_ns_max.is_some_and(|max| span.saturating_abs() > max)
        {
            return 0;
        }
        bytes = bytes.saturating_add(part.meta.bytes);
        if bytes > limits.part_bytes_max {
            return length;
        }
        if length + 1 == FAN_IN {
            return FAN_IN;
        }
    }
    0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use causeway_model::{Rng, Table, TimeRange};

    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn part(sequence: u64, level: u32, bytes: u64) -> PartMeta {
        PartMeta {
            id: sequence,
            table: Table::Logs,
            level,
            rows: 1,
            bytes,
            time: TimeRange { start: 0, end: 0 },
            sequences: (sequence, sequence),
            created_unix_nano: i64::try_from(sequence).unwrap() * 60_000_000_000,
        }
    }

    fn candidates(parts: &[PartMeta]) -> Vec<Candidate<'_>> {
        parts.iter().map(|meta| Candidate { meta, readable: true }).collect()
    }

    /// Flushes of these sizes, merged as the policy says: bytes written for each flushed, and the parts left.
    fn simulate(sizes: impl Iterator<Item = u64>, limits: MergeLimits) -> (f64, Vec<PartMeta>) {
        let (mut parts, mut flushed, mut written) = (Vec::<PartMeta>::new(), 0u64, 0u64);
        for (sequence, size) in sizes.enumerate() {
            parts.push(part(sequence as u64, 0, size));
            flushed += size;
            written += size;
            while let Some(range) = choose(&candidates(&parts), limits) {
                let run = &parts[range.clone()];
                let bytes: u64 = run.iter().map(|part| part.bytes).sum();
                assert!(bytes <= limits.part_bytes_max);
                let mut merged = part(run[0].sequences.0, run[0].level + 1, bytes);
                merged.sequences.1 = run.last().unwrap().sequences.1;
                merged.created_unix_nano = run.last().unwrap().created_unix_nano;
                written += bytes;
                parts.splice(range, [merged]);
            }
        }
        for pair in parts.windows(2) {
            assert!(pair[0].sequences.1 < pair[1].sequences.0);
        }
        (written as f64 / flushed as f64, parts)
    }

    #[test]
    fn rows_are_rewritten_a_logarithmic_number_of_times() {
        let limits = MergeLimits { part_bytes_max: GIB, span_ns_max: None };
        let (steady, parts) = simulate((0..20_000).map(|_| 8 * MIB), limits);
        assert!(steady <= 4.0, "{steady}");
        assert!(parts.len() <= 20_000 / 64 + 16, "{}", parts.len());
        let mut rng = Rng::from_seed(7);
        let (mixed, parts) = simulate((0..20_000).map(|_| MIB + rng.below(12 * MIB)), limits);
        assert!(mixed <= 4.0, "{mixed}");
        assert!(parts.len() <= 700, "{}", parts.len());
        let (bursts, _) = simulate((0..5_000).map(|_| 1u64 << rng.below(29)), limits);
        assert!(bursts <= 5.0, "{bursts}");
        // A year of one small part a minute.
        let (trickle, parts) = simulate((0..525_600).map(|_| 10 << 10), limits);
        assert!(trickle <= 7.5, "{trickle}");
        assert!(parts.len() <= 8 * 7, "{}", parts.len());
    }

    #[test]
    fn full_and_damaged_parts_are_walls() {
        let limits = MergeLimits { part_bytes_max: 400, span_ns_max: None };
        let mut parts: Vec<PartMeta> = (0..9).map(|sequence| part(sequence, 0, 10)).collect();
        assert_eq!(choose(&candidates(&parts), limits), Some(0..8));
        let mut walled = candidates(&parts);
        walled[0].readable = false;
        assert_eq!(choose(&walled, limits), Some(1..9));
        walled[4].readable = false;
        assert_eq!(choose(&walled, limits), None);
        parts[3].bytes = 101;
        assert_eq!(choose(&candidates(&parts), limits), None);
        let large: Vec<PartMeta> = (0..6).map(|sequence| part(sequence, 2, 100)).collect();
        assert_eq!(choose(&candidates(&large), limits), Some(0..4));
    }

    #[test]
    fn parts_that_arrived_far_apart_stay_apart() {
        let parts: Vec<PartMeta> = (0..8).map(|sequence| part(sequence, 0, 10)).collect();
        let minutes = |minutes: i64| MergeLimits { part_bytes_max: GIB, span_ns_max: Some(minutes * 60_000_000_000) };
        assert_eq!(choose(&candidates(&parts), minutes(6)), None);
        assert_eq!(choose(&candidates(&parts), minutes(7)), Some(0..8));
    }
}
