//! Which indices do spans of buckets stand for, and which spans stand for indices? All changes of a layout go through indices.

use super::{BucketSpan, Histogram};

/// The indices of all buckets in order. It ends at an index that isn't larger than the one before, or beyond the limit.
pub(super) struct Indices<'a> {
    spans: std::slice::Iter<'a, BucketSpan>,
    left_in_span: u32,
    next: i64,
    limit: i64,
    last: Option<i64>,
}

impl<'a> Indices<'a> {
    pub(super) fn new(spans: &'a [BucketSpan], limit: i32) -> Self {
        Self { spans: spans.iter(), left_in_span: 0, next: 0, limit: i64::from(limit), last: None }
    }
}

impl Iterator for Indices<'_> {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        while self.left_in_span == 0 {
            let span = self.spans.next()?;
            self.next = self.next.saturating_add(i64::from(span.offset));
            self.left_in_span = span.length;
        }
        let index = self.next;
        if index.abs() > self.limit || self.last.is_some_and(|last| last >= index) {
            // Nothing behind it counts either.
            self.spans = [].iter();
            self.left_in_span = 0;
            return None;
        }
        self.left_in_span -= 1;
        self.next += 1;
        self.last = Some(index);
        i32::try_from(index).ok()
    }
}

/// The indices with their counts; as many as there are of both.
pub(super) fn indexed<'a>(spans: &'a [BucketSpan], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    Indices::new(spans, Histogram::INDEX_MAX).zip(counts.iter().copied())
}

/// Spans and counts, built up in the order of indices.
#[derive(Default)]
pub(super) struct Layout {
    pub(super) spans: Vec<BucketSpan>,
    pub(super) counts: Vec<f64>,
    last: Option<i32>,
}

impl Layout {
    /// Of indices in rising order.
    pub(super) fn of(buckets: impl IntoIterator<Item = (i32, f64)>) -> Self {
        let mut layout = Self::default();
        for (index, count) in buckets {
            layout.push(index, count);
        }
        layout
    }

    fn push(&mut self, index: i32, count: f64) {
        let gap = match self.last {
            Some(last) => index.saturating_sub(last).saturating_sub(1),
            None => index,
        };
        match self.spans.last_mut() {
            Some(span) if gap == 0 => span.length = span.length.saturating_add(1),
            _ => self.spans.push(BucketSpan { offset: gap, length: 1 }),
        }
        self.counts.push(count);
        self.last = Some(index);
    }

    /// The same with up to `empty_max` empty buckets in the place of a gap before the next one.
    fn push_filling(&mut self, index: i32, count: f64, empty_max: usize) {
        if let Some(last) = self.last {
            let gap = usize::try_from(index.saturating_sub(last).saturating_sub(1)).unwrap_or(0);
            if gap <= empty_max && self.counts.len().saturating_add(gap) < Histogram::BUCKETS_MAX {
                (last + 1..index).for_each(|index| self.push(index, 0.0));
            }
        }
        self.push(index, count);
    }
}

/// Drops empty buckets, see [`Histogram::compact`].
pub(super) fn compact(spans: &mut Vec<BucketSpan>, counts: &mut Vec<f64>, empty_max: usize) {
    let apart = |span: &BucketSpan| usize::try_from(span.offset).is_ok_and(|gap| gap > empty_max);
    let is_compact = counts.iter().all(|count| *count != 0.0)
        && spans.iter().all(|span| span.length > 0)
        && spans.iter().skip(1).all(apart);
    if is_compact {
        return;
    }
    let mut layout = Layout::default();
    for (index, count) in indexed(spans, counts).filter(|(_, count)| *count != 0.0) {
        layout.push_filling(index, count, empty_max);
    }
    (*spans, *counts) = (layout.spans, layout.counts);
}

/// The index of the bucket that holds another one, `by` schemas coarser.
pub(super) fn coarser(index: i32, by: u32) -> i32 {
    // A shift to the right rounds down, also what is negative; 31 is the most that means anything.
    ((index.saturating_sub(1)) >> by.min(31)).saturating_add(1)
}

/// Merges the buckets to those of a schema that is `by` coarser.
pub(super) fn reduce(spans: &mut Vec<BucketSpan>, counts: &mut Vec<f64>, by: u32) {
    let mut layout = Layout::default();
    // A schema that is too fine to be kept has indices of any size.
    for (index, count) in Indices::new(spans, i32::MAX).zip(counts.iter()) {
        let index = coarser(index, by);
        match layout.counts.last_mut() {
            Some(merged) if layout.last == Some(index) => *merged += count,
            _ => layout.push(index, *count),
        }
    }
    (*spans, *counts) = (layout.spans, layout.counts);
}
