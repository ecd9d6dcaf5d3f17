//! What went wrong? One file a pattern; each finding says in words and numbers what it saw, and in which spans.

mod errors;
mod pool_wait;
mod repeated;
mod timeouts;

use serde::{Deserialize, Serialize};

use crate::span::{INTERNAL, Span, Texts};
use crate::understand::Understood;

/// Spans that a finding lists. 10: the rest is like them, and counted.
pub const SPANS_LISTED: usize = 10;
/// Findings of one trace. 50: beyond it nobody reads on; the longest come first.
const FINDINGS_MAX: usize = 50;
/// Calls of one kind by one caller that make an N+1.
pub const CALLS_MIN: usize = 5;
/// A call begins after another where it begins at most this long before that ended: clocks tick in steps.
const TICK_NS: i64 = 1_000_000;

/// How something misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Called again after a call that failed or ran out of time.
    Retry,
    /// Given up while the other side goes on, or said to be.
    Timeout,
    /// Waits for a connection.
    PoolWait,
    /// Called many times by one caller.
    NPlusOne,
    /// Not made: its caller refused it.
    Refused,
    /// An error begins here, and what lies above passed it on.
    ErrorOrigin,
}

/// What stands out, and what it was seen in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// By name.
    pub pattern: Pattern,
    /// The service whose spans they are.
    pub service: String,
    /// Their name, or what they asked.
    pub operation: String,
    /// In words.
    pub statement: String,
    /// How many spans show it.
    pub count: u64,
    /// Nanoseconds that they took together.
    pub duration_ns: i64,
    /// Ids of those spans in hex, at most ten of them.
    pub span_ids: Vec<String>,
}

/// How one call ended, beside others.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Nanoseconds since 1970.
    pub start: i64,
    /// As above.
    pub end: i64,
    /// Status of error.
    pub failed: bool,
    /// Whether it says that someone stopped waiting.
    pub says_timeout: bool,
    /// Nanoseconds that the other side goes on.
    pub overrun_ns: i64,
}

impl Call {
    /// Whether its caller stopped waiting.
    pub fn ran_out(&self) -> bool {
        self.overrun_ns > TICK_NS || (self.failed && self.says_timeout)
    }

    /// Whether it was made because the one before came to nothing: that had failed or was given up, and was over.
    pub fn is_again_after(&self, previous: &Self) -> bool {
        (previous.failed || previous.says_timeout || previous.overrun_ns > TICK_NS)
            && self.start.saturating_add(TICK_NS) >= previous.end
    }
}

/// What the methods look at.
struct Scene<'a> {
    trace: &'a Understood,
    spans: &'a [Span],
    texts: &'a Texts,
}

/// All that stands out.
pub(crate) fn findings(trace: &Understood, spans: &[Span], texts: &Texts) -> Vec<Finding> {
    let scene = Scene { trace, spans, texts };
    let mut findings = errors::find(&scene);
    findings.extend(timeouts::find(&scene));
    findings.extend(repeated::find(&scene));
    findings.extend(pool_wait::find(&scene));
    findings.sort_by(|a, b| (b.duration_ns, a.pattern, &a.span_ids).cmp(&(a.duration_ns, b.pattern, &b.span_ids)));
    findings.truncate(FINDINGS_MAX);
    findings
}

impl Scene<'_> {
    fn call(&self, at: usize) -> Call {
        let (span, (start, end)) = (&self.spans[at], self.trace.intervals[at]);
        let overrun_ns = self.trace.overruns_ns[at];
        Call { start, end, failed: span.failed, says_timeout: span.says_timeout, overrun_ns }
    }

    /// Whose call it is: the span above, past such as only wrap this one call.
    fn caller(&self, at: usize) -> Option<usize> {
        let (tree, service) = (&self.trace.tree, self.spans[at].service);
        let mut caller = tree.parent(at)?;
        while self.spans[caller].kind <= INTERNAL
            && self.spans[caller].service == service
            && tree.children(caller).len() == 1
            && let Some(above) = tree.parent(caller)
        {
            caller = above;
        }
        Some(caller)
    }

    /// The first span below it that another service sent.
    fn answer(&self, at: usize) -> Option<usize> {
        let children = self.trace.tree.children(at).iter().copied();
        children.into_iter().find(|child| self.spans[*child].service != self.spans[at].service)
    }

    /// How it is called in findings: its name, and what or whom it asks.
    fn operation(&self, at: usize) -> String {
        let span = &self.spans[at];
        let name = self.texts.text(span.name);
        match span.statement.or(span.target.filter(|_| span.is_call())) {
            Some(more) if self.texts.text(more) != name => format!("{name} ({})", shortened(self.texts.text(more))),
            _ => name.to_owned(),
        }
    }

    fn finding(&self, pattern: Pattern, spans: &[usize], statement: String) -> Finding {
        let first = spans.first().copied().unwrap_or_default();
        let duration = |at: &usize| self.trace.intervals[*at].1.saturating_sub(self.trace.intervals[*at].0);
        Finding {
            pattern,
            service: self.spans.get(first).map_or("", |span| self.texts.text(span.service)).to_owned(),
            operation: if spans.is_empty() { String::new() } else { self.operation(first) },
            statement,
            count: spans.len() as u64,
            duration_ns: spans.iter().map(duration).fold(0, i64::saturating_add),
            span_ids: spans.iter().take(SPANS_LISTED).map(|at| hex(&self.spans[*at].id)).collect(),
        }
    }
}

/// The begin of a text that may be long.
fn shortened(text: &str) -> String {
    const CHARS: usize = 80;
    let mut short: String = text.chars().take(CHARS).collect();
    if text.chars().nth(CHARS).is_some() {
        short.push('…');
    }
    short
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// A duration as people read it.
pub(crate) fn duration_text(ns: i64) -> String {
    let (value, unit) = match ns.unsigned_abs() {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        1_000_000_000..120_000_000_000 => (ns as f64 / 1e9, "s"),
        120_000_000_000..7_200_000_000_000 => (ns as f64 / 60e9, "min"),
        _ => (ns as f64 / 3_600e9, "h"),
    };
    let places = if value.abs() < 10.0 {
        2
    } else if value.abs() < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.places$} {unit}")
}
