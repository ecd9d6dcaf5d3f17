//! Which spans do metrics count? Single spans as they come where nothing else is asked of them, else those that a pipeline leaves of whole traces.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use causeway_model::{Error, ErrorKind, Result, TimeRange};
use causeway_promql::Options;

use super::Windows;
use crate::ast::{Intrinsic, Pipeline};
use crate::conditions::{self, Said};
use crate::expression::{Filter, Node, Row, Whole, distinct};
use crate::pipeline::{Steps, span_filter, union};
use crate::search::{Candidates, TOGETHER_MAX, TRACES_MAX};
use crate::source::{Alike, Fields, SpanSource, Taker, Wanted};

/// Takes what a pipeline leaves.
pub(super) trait Observe: Send {
    /// Spans that are alike come next.
    fn begin(&mut self) {}

    /// One of them, and its window.
    ///
    /// # Errors
    /// `LimitExceeded` where what is made of them takes too much.
    fn add(&mut self, row: &Row<'_>, window: usize) -> Result<()>;
}

/// Gives each span that a pipeline leaves to one of the observers; `fields` are those that they read, `is_local` says whether they need spans alone. Answers how
/// many spans were looked at.
pub(super) fn spans<O: Observe>(
    pipeline: &Pipeline,
    (source, windows, options): (&dyn SpanSource, Windows, &Options),
    (fields, is_local): (&mut Fields, bool),
    observers: &mut [O],
) -> Result<u64> {
    let time = TimeRange { start: windows.after_ns().saturating_add(1), end: windows.until_ns() };
    let interrupted = &*options.interrupted;
    let Some(filter) = span_filter(pipeline).filter(|_| is_local) else {
        let Some(observer) = observers.first_mut() else { return Ok(0) };
        return of_traces(pipeline, (source, windows, options), fields, observer);
    };
    let alternatives = conditions::alternatives(&filter);
    let node = Node::of(fields, &filter);
    let filter = Filter::of(&node);
    let wanted = Wanted { time, alternatives: &alternatives, fields, ends_early: false, interrupted };
    let looked_at = AtomicU64::new(0);
    let takers = observers.iter_mut().map(|observer| {
        let mut places = Places::of(windows);
        let (filter, looked_at) = (&filter, &looked_at);
        let take = move |found: &[Alike<'_>]| {
            for alike in found {
                looked_at.fetch_add(alike.count() as u64, Ordering::Relaxed);
                observer.begin();
                Filter::each(Some(filter), alike, &mut |span| match places.window(span.start_ns) {
                    Some(window) => observer.add(&Row { span, place: None }, window),
                    None => Ok(()),
                })?;
            }
            Ok(ControlFlow::Continue(()))
        };
        Box::new(take) as Box<Taker<'_>>
    });
    source.spans(&wanted, &mut takers.collect::<Vec<_>>())?;
    Ok(looked_at.into_inner())
}

/// Where spans lie that come nearly in the order of their begin: mostly in the window of the one before.
struct Places {
    windows: Windows,
    last: Option<(usize, TimeRange)>,
}

impl Places {
    fn of(windows: Windows) -> Self {
        Self { windows, last: None }
    }

    fn window(&mut self, time_ns: i64) -> Option<usize> {
        if let Some((window, time)) = &self.last
            && time.start <= time_ns
            && time_ns <= time.end
        {
            return Some(*window);
        }
        let window = self.windows.window(time_ns)?;
        let end = self.windows.end_ns(window);
        let start = end.saturating_sub(self.windows.length_ns).saturating_add(1);
        self.last = Some((window, TimeRange { start, end }));
        Some(window)
    }
}

fn of_traces<O: Observe>(
    pipeline: &Pipeline,
    (source, windows, options): (&dyn SpanSource, Windows, &Options),
    fields: &mut Fields,
    observer: &mut O,
) -> Result<u64> {
    let time = TimeRange { start: windows.after_ns().saturating_add(1), end: windows.until_ns() };
    let interrupted = &*options.interrupted;
    let steps = Steps::of(fields, pipeline);
    // Kinds tell spans of one id apart.
    fields.intrinsics.insert(Intrinsic::Kind);
    let mut seen = Candidates::of(conditions::of_pipeline(pipeline, Said::OfFound));
    seen.visit(source, (time, interrupted), &mut |seen| {
        if seen.is_full() {
            let message =
                format!("more than {TRACES_MAX} traces would have to be read as a whole: ask for a shorter time");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let mut looked_at = seen.spans;
    for together in seen.waiting.chunks(TOGETHER_MAX) {
        source.traces(together, fields, interrupted, &mut |spans| {
            looked_at += spans.len() as u64;
            let spans = distinct(spans);
            let whole = Whole::of(&spans);
            for at in union(steps.run(&whole, interrupted)?) {
                let at = at as usize;
                let Some(span) = whole.spans.get(at) else { continue };
                if let Some(window) = windows.window(span.start_ns) {
                    observer.begin();
                    observer.add(&Row { span, place: Some((&whole, at)) }, window)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(looked_at)
}
