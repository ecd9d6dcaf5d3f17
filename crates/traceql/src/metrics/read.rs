//! Which spans do metrics count? Single spans as they come where nothing else is asked of them, else those that a pipeline leaves of whole traces.

use std::ops::ControlFlow;

use causeway_model::{Error, ErrorKind, Result, TimeRange};
use causeway_promql::Options;

use super::Windows;
use crate::ast::{Intrinsic, Pipeline};
use crate::conditions::{self, Said};
use crate::expression::{Node, Row, Whole, distinct};
use crate::pipeline::{Steps, span_filter, union};
use crate::search::{Candidates, TOGETHER_MAX, TRACES_MAX};
use crate::source::{Fields, SpanSource, Wanted};

/// Gives each span that a pipeline leaves, with its window; `fields` are those that `visit` reads, `is_local` says whether it needs spans alone. Answers how
/// many spans were looked at.
pub(super) fn spans(
    pipeline: &Pipeline,
    (source, windows, options): (&dyn SpanSource, Windows, &Options),
    (fields, is_local): (&mut Fields, bool),
    visit: &mut dyn FnMut(&Row<'_>, usize) -> Result<()>,
) -> Result<u64> {
    let time = TimeRange { start: windows.after_ns().saturating_add(1), end: windows.until_ns() };
    let interrupted = &*options.interrupted;
    let Some(filter) = span_filter(pipeline).filter(|_| is_local) else {
        return of_traces(pipeline, (source, windows, options), fields, visit);
    };
    let alternatives = conditions::alternatives(&filter);
    let node = Node::of(fields, &filter);
    let wanted = Wanted { time, alternatives: &alternatives, fields, interrupted };
    let mut looked_at = 0;
    source.spans(&wanted, &mut |spans| {
        looked_at += spans.len() as u64;
        for span in spans {
            let row = Row { span, place: None };
            if let Some(window) = windows.window(span.start_ns)
                && node.holds(&row)
            {
                visit(&row, window)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(looked_at)
}

fn of_traces(
    pipeline: &Pipeline,
    (source, windows, options): (&dyn SpanSource, Windows, &Options),
    fields: &mut Fields,
    visit: &mut dyn FnMut(&Row<'_>, usize) -> Result<()>,
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
                    visit(&Row { span, place: Some((&whole, at)) }, window)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(looked_at)
}
