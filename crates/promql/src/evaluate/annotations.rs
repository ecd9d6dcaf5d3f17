//! What should the reader of a result know besides it? Warnings and infos in Prometheus' own words (util/annotations).

use std::collections::{BTreeMap, BTreeSet};

use causeway_model::format_float;

use super::number::rfc3339;
use crate::ast::Span;

/// Different annotations of one evaluation at most; more help nobody.
const ANNOTATIONS_MAX: usize = 1_000;

/// Warnings and infos, each once, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// What makes the result doubtful.
    pub warnings: Vec<String>,
    /// What may surprise.
    pub infos: Vec<String>,
}

/// What can be said; the texts are below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    InvalidQuantile,
    InvalidRatio,
    BadBucketLabel,
    MixedFloatsHistograms,
    MixedFloatsHistogramsAggregation,
    MixedClassicNative,
    NotCounter,
    NotGauge,
    MixedExponentialCustom,
    IncompatibleBucketLayout,
    ResetCollision,
    OverlappingStart,
    SortIneffective,
    PossibleNonCounter,
    IncompatibleTypes,
    HistogramIgnoredAggregation,
    HistogramIgnoredRange,
    MismatchedBounds,
    QuantileNanResult,
    QuantileNanSkew,
    FractionNan,
    SamplesRolledUp,
}

impl Note {
    fn is_info(self) -> bool {
        self >= Self::PossibleNonCounter
    }

    /// The text before and behind its detail, and whether the detail is a metric's name that may be missing.
    fn text(self) -> &'static str {
        match self {
            Self::InvalidQuantile => "quantile value should be between 0 and 1, got",
            Self::InvalidRatio => "ratio value should be between -1 and 1, got",
            Self::BadBucketLabel => "bucket label \"le\" is missing or has a malformed value of",
            Self::MixedFloatsHistograms => "encountered a mix of histograms and floats for metric name",
            Self::MixedFloatsHistogramsAggregation => "encountered a mix of histograms and floats for aggregation",
            Self::MixedClassicNative => "vector contains a mix of classic and native histograms",
            Self::NotCounter => "this native histogram metric is not a counter:",
            Self::NotGauge => "this native histogram metric is not a gauge:",
            Self::MixedExponentialCustom => {
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name"
            }
            Self::IncompatibleBucketLayout => "incompatible bucket layout encountered for binary operator",
            Self::ResetCollision => "conflicting counter resets during histogram",
            Self::OverlappingStart => "sample has start time that overlaps with previous sample timestamp for metric",
            Self::SortIneffective => "sort is ineffective for range queries since results are always ordered by labels",
            Self::PossibleNonCounter => {
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:"
            }
            Self::IncompatibleTypes => "incompatible sample types encountered for binary operator",
            Self::HistogramIgnoredAggregation => "ignored histogram in",
            Self::HistogramIgnoredRange => {
                "ignored histograms in a range containing both floats and histograms for metric name"
            }
            Self::MismatchedBounds => "mismatched custom buckets were reconciled during",
            Self::QuantileNanResult => "input to histogram_quantile has NaN observations, result is NaN",
            Self::QuantileNanSkew => "input to histogram_quantile has NaN observations, result is skewed higher",
            Self::FractionNan => {
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            }
            Self::SamplesRolledUp => {
                "samples of some of the time are no longer kept, values there are made from rollups to 5m or 1h"
            }
        }
    }
}

/// Classic buckets that had to be made monotonic, over all steps.
#[derive(Debug, Clone)]
struct Forced {
    count: usize,
    first_ms: i64,
    last_ms: i64,
    lowest: f64,
    highest: f64,
    difference: f64,
}

/// Gathers annotations while an evaluation runs; texts are made at the end.
#[derive(Debug, Default)]
pub(super) struct Notes {
    said: BTreeMap<(Note, usize), BTreeSet<String>>,
    forced: BTreeMap<(usize, String), Forced>,
    count: usize,
}

impl Notes {
    /// Says something of a place in the query; the detail is put behind the text as it is.
    pub fn add(&mut self, note: Note, place: Span, detail: &str) {
        let details = self.said.entry((note, place.start)).or_default();
        if !details.contains(detail) && self.count < ANNOTATIONS_MAX {
            self.count += 1;
            details.insert(detail.to_owned());
        }
    }

    /// Says something of a metric, whose name is quoted.
    pub fn add_metric(&mut self, note: Note, place: Span, name: &str) {
        self.add(note, place, &crate::quote(name));
    }

    /// Says something that names the metric only where its name is known.
    pub fn add_for_metric(&mut self, note: Note, place: Span, name: &str) {
        self.add(note, place, &for_metric(name));
    }

    /// Says that classic buckets were made monotonic: between which bounds, by how much.
    pub fn add_forced(
        &mut self,
        place: Span,
        name: &str,
        time_ms: i64,
        (lowest, highest, difference): (f64, f64, f64),
    ) {
        let this = Forced { count: 1, first_ms: time_ms, last_ms: time_ms, lowest, highest, difference };
        self.join_forced((place.start, name.to_owned()), this);
    }

    fn join_forced(&mut self, key: (usize, String), this: Forced) {
        if self.forced.len() >= ANNOTATIONS_MAX && !self.forced.contains_key(&key) {
            return;
        }
        self.forced
            .entry(key)
            .and_modify(|all| {
                all.count += this.count;
                all.first_ms = all.first_ms.min(this.first_ms);
                all.last_ms = all.last_ms.max(this.last_ms);
                all.lowest = all.lowest.min(this.lowest);
                all.highest = all.highest.max(this.highest);
                all.difference = all.difference.max(this.difference);
            })
            .or_insert(this);
    }

    /// Takes over what others gathered.
    pub fn join(&mut self, other: Notes) {
        for ((note, start), details) in other.said {
            for detail in details {
                self.add(note, Span { start, end: start }, &detail);
            }
        }
        for (key, forced) in other.forced {
            self.join_forced(key, forced);
        }
    }

    /// The texts, each with its place in the query.
    pub fn finish(self, query: &str) -> Annotations {
        let (mut warnings, mut infos) = (BTreeSet::new(), BTreeSet::new());
        for ((note, start), details) in self.said {
            let kind = if note.is_info() { "info" } else { "warning" };
            for detail in details {
                let separator = if detail.is_empty() || detail.starts_with(',') { "" } else { " " };
                let text = format!("PromQL {kind}: {}{separator}{detail} ({})", note.text(), place(query, start));
                if note.is_info() {
                    infos.insert(text)
                } else {
                    warnings.insert(text)
                };
            }
        }
        for ((start, name), forced) in self.forced {
            let name = for_metric(&name);
            let separator = if name.is_empty() { "" } else { " " };
            infos.insert(format!(
                "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/\
                 prometheus/latest/querying/functions/#histogram_quantile){separator}{name}, from buckets {} to {}, with a max \
                 diff of {}, over {} samples from {} to {} ({})",
                format_float(forced.lowest),
                format_float(forced.highest),
                format_float(format!("{:.1e}", forced.difference).parse().unwrap_or(forced.difference)),
                forced.count,
                rfc3339(forced.first_ms.div_euclid(1000)),
                rfc3339(forced.last_ms.div_euclid(1000)),
                place(query, start),
            ));
        }
        Annotations { warnings: warnings.into_iter().collect(), infos: infos.into_iter().collect() }
    }
}

fn for_metric(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("for metric name {}", crate::quote(name)) }
}

/// `line:column`.
fn place(query: &str, start: usize) -> String {
    let (line, column) = crate::line_column(query, start);
    format!("{line}:{column}")
}
