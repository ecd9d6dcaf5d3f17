//! How does a trace look in a terminal? One line a span: service and name as deep as it lies, how long it took, and a bar where in the
//! trace it ran. Beneath it what stands out.

use std::fmt::Write as _;

use hashbrown::HashSet;

use crate::find::duration_text;
use crate::terminal::harmless;
use crate::view::{SpanView, TraceView};

/// A terminal is taken to have at least, and at most, so many columns.
const WIDTH_MIN: usize = 60;
/// As above.
const WIDTH_MAX: usize = 400;
/// Columns for durations.
const DURATION_WIDTH: usize = 9;
/// Columns for marks: error, critical path.
const MARKS_WIDTH: usize = 2;
/// Findings that are listed.
const FINDINGS_MAX: usize = 20;
const RED: &str = "31";
const FAINT: &str = "2";
const BOLD: &str = "1";
/// One for each service, in turn.
const COLOURS: &[&str] = &["36", "32", "33", "35", "34", "96", "92", "93", "95", "94"];

/// How it is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Picture {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether it is a terminal that shows colours.
    pub colour: bool,
    /// Spans that are drawn at most: those on the critical path, failed or named by a finding first, then the longest.
    pub spans_max: usize,
}

/// Draws a trace.
pub fn waterfall(trace: &TraceView, picture: &Picture) -> String {
    let width = picture.width.clamp(WIDTH_MIN, WIDTH_MAX);
    let mut canvas = Canvas { trace, picture: *picture, width, deeper: 0, out: String::new() };
    canvas.head();
    canvas.spans();
    canvas.findings();
    canvas.foot();
    canvas.out
}

struct Canvas<'a> {
    trace: &'a TraceView,
    picture: Picture,
    width: usize,
    /// How much deeper the spans at hand stand: those below a span that is missing stand below its line.
    deeper: usize,
    out: String,
}

impl Canvas<'_> {
    fn painted(&self, text: &str, colour: &str) -> String {
        if self.picture.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn line(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{}", text.trim_end());
    }

    fn head(&mut self) {
        let trace = self.trace;
        let spans = counted(trace.spans.len() as u64, "span", "spans");
        let services = counted(trace.services.len() as u64, "service", "services");
        let failed = match trace.failed_spans {
            0 => String::new(),
            failed => format!(" · {}", self.painted(&format!("{failed} failed"), RED)),
        };
        let id = self.painted(&harmless(&trace.trace_id, 64), BOLD);
        let (start, took) = (harmless(&trace.start, 40), duration_text(trace.duration_ns));
        self.line(&format!("{id}  {start}  {took} · {spans} · {services}{failed}"));
        self.line("");
    }

    fn spans(&mut self) {
        let shown = self.chosen();
        let label_width = (self.width * 9 / 20).max(20);
        let bar_width = self.width.saturating_sub(label_width + DURATION_WIDTH + MARKS_WIDTH + 4);
        let mut skipped = 0usize;
        let orphans: HashSet<&str> =
            self.trace.missing.iter().flat_map(|it| &it.children).map(String::as_str).collect();
        for (span, shown) in self.trace.spans.iter().zip(shown) {
            if span.depth == 0 {
                self.deeper = usize::from(orphans.contains(span.span_id.as_str()));
            }
            if !shown {
                skipped += 1;
                continue;
            }
            self.skipped(std::mem::take(&mut skipped));
            self.missing_above(span);
            self.span(span, label_width, bar_width);
        }
        self.skipped(skipped);
    }

    fn skipped(&mut self, count: usize) {
        if count > 0 {
            let text = format!("    … {}", counted(count as u64, "span more", "spans more"));
            let line = self.painted(&text, FAINT);
            self.line(&line);
        }
    }

    /// Before the first child of a span that is not there.
    fn missing_above(&mut self, span: &SpanView) {
        if span.depth > 0 {
            return;
        }
        let missing = self.trace.missing.iter().find(|missing| missing.children.first() == Some(&span.span_id));
        if let Some(missing) = missing {
            let children = counted(missing.children.len() as u64, "span names it", "spans name it");
            let text = format!("?  span {} is missing; {children} as parent", harmless(&missing.span_id, 16));
            let line = self.painted(&text, FAINT);
            self.line(&line);
        }
    }

    fn span(&mut self, span: &SpanView, label_width: usize, bar_width: usize) {
        let marks = [if span.failed { "✗" } else { " " }, if span.critical { "▸" } else { " " }].concat();
        // Beyond half of the label there is no telling levels apart by eye.
        let depth = span.depth.saturating_add(self.deeper);
        let indent = depth.saturating_mul(2).min(label_width / 2);
        let deeper = if depth.saturating_mul(2) > indent { format!("{depth}… ") } else { String::new() };
        let logs = match span.logs {
            0 => String::new(),
            logs => format!(" ≡{logs}"),
        };
        let room = label_width.saturating_sub(indent + deeper.chars().count() + logs.chars().count());
        let service = fitted(&harmless(&span.service, 60), room / 2);
        let name = fitted(&harmless(&span.name, 200), room.saturating_sub(service.chars().count() + 1));
        let used = indent + deeper.chars().count() + service.chars().count() + 1 + name.chars().count();
        let padding = " ".repeat(label_width.saturating_sub(used + logs.chars().count()));
        let took = span.duration_ns.map_or_else(|| "no end".to_owned(), duration_text);
        let colour = self.colour_of(&span.service);
        let bar = self.bar(span, bar_width);
        let text = format!(
            "{} {}{}{} {}{}{} {:>DURATION_WIDTH$} {}",
            self.painted(&marks, if span.failed { RED } else { BOLD }),
            " ".repeat(indent),
            deeper,
            self.painted(&service, colour),
            if span.failed { self.painted(&name, RED) } else { name },
            self.painted(&logs, FAINT),
            padding,
            took,
            self.painted(&bar, if span.failed { RED } else { colour }),
        );
        self.line(&text);
    }

    /// Full where the span lies on the critical path, light beside it.
    fn bar(&self, span: &SpanView, width: usize) -> String {
        let whole = self.trace.duration_ns.max(1) as f64;
        let column = |ns: i64| ((ns.max(0) as f64 / whole * width as f64).floor() as usize).min(width);
        let begin = column(span.offset_ns).min(width.saturating_sub(1));
        let end = column(span.offset_ns.saturating_add(span.duration_ns.unwrap_or(0))).max(begin + 1);
        let full = if span.critical { "█" } else { "░" };
        format!("{}{}", " ".repeat(begin), full.repeat(end - begin))
    }

    fn colour_of(&self, service: &str) -> &'static str {
        let place = self.trace.services.iter().position(|known| known == service).unwrap_or(0);
        COLOURS.get(place % COLOURS.len()).copied().unwrap_or(FAINT)
    }

    /// Which spans are drawn.
    fn chosen(&self) -> Vec<bool> {
        let spans = &self.trace.spans;
        if spans.len() <= self.picture.spans_max {
            return vec![true; spans.len()];
        }
        let rank = |place: &usize| {
            let span = &spans[*place];
            let told = span.critical || span.failed || !span.findings.is_empty();
            (std::cmp::Reverse((told, span.duration_ns.unwrap_or(0))), *place)
        };
        let mut places: Vec<usize> = (0..spans.len()).collect();
        places.sort_unstable_by_key(rank);
        let mut shown = vec![false; spans.len()];
        places.iter().take(self.picture.spans_max).for_each(|place| shown[*place] = true);
        shown
    }

    fn findings(&mut self) {
        if self.trace.findings.is_empty() {
            return;
        }
        self.line("");
        for finding in self.trace.findings.iter().take(FINDINGS_MAX) {
            let pattern = match finding.pattern {
                crate::Pattern::Retry => "retry",
                crate::Pattern::Timeout => "time-out",
                crate::Pattern::PoolWait => "pool wait",
                crate::Pattern::NPlusOne => "N+1",
                crate::Pattern::Refused => "refused",
                crate::Pattern::ErrorOrigin => "error",
            };
            let what = format!("{} {}", harmless(&finding.service, 60), harmless(&finding.operation, 120));
            let spans = counted(finding.count, "span", "spans");
            let took = duration_text(finding.duration_ns);
            let pattern = self.painted(&format!("{pattern:<9}"), BOLD);
            self.line(&format!("{pattern} {what}: {}", harmless(&finding.statement, 300)));
            let ids = finding.span_ids.iter().take(3).map(|id| harmless(id, 16)).collect::<Vec<_>>().join(" ");
            let evidence = self.painted(&format!("          {spans}, {took}: {ids}"), FAINT);
            self.line(&evidence);
        }
        if self.trace.findings.len() > FINDINGS_MAX {
            self.line(&format!("… {} findings more", self.trace.findings.len() - FINDINGS_MAX));
        }
    }

    fn foot(&mut self) {
        let trace = self.trace;
        self.line("");
        self.line(&format!("logs {} · exemplars {}", trace.logs.count, trace.exemplars.count));
        let reasons = trace.logs.reasons.iter().map(|why| ("logs", why));
        let reasons = reasons.chain(trace.exemplars.reasons.iter().map(|why| ("exemplars", why)));
        let lines: Vec<String> = reasons
            .map(|(what, why)| {
                let of =
                    if why.service.is_empty() { String::new() } else { format!(" of {}", harmless(&why.service, 60)) };
                format!("no {what}{of}: {}", harmless(&why.statement, 200))
            })
            .chain(trace.notes.iter().map(|note| harmless(note, 200)))
            .collect();
        for text in lines {
            let line = self.painted(&text, FAINT);
            self.line(&line);
        }
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// At most so many characters.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}
