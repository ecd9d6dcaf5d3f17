//! What happens while the program runs? Twice a second its new log records and the traces that ended go to the terminal.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use causeway_model::Clock;
use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::ask::{Asker, Row, text};
use super::lines::{self, Line, Paint};
use super::queries::{LOOK_ROWS_MAX, failed, logs_since, roots_since};
use super::rfc3339;
use super::told::Told;

/// Time between two looks. Half a second: as good as at once for a person, and a small part of a core.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How far each look goes back. 10 s: twice what an SDK waits by itself before it sends.
const OVERLAP_NS: i64 = 10_000_000_000;
/// Lines that one look prints; how many more there were is said.
const LINES_MAX: usize = 100;
/// Characters of what went wrong.
const TROUBLE_CHARS: usize = 300;

/// What to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Follow {
    /// Logs and traces.
    All,
    /// Logs only.
    Logs,
    /// Traces only.
    Traces,
    /// Neither.
    Nothing,
}

/// Follows one run.
pub struct Follower {
    asker: Arc<Asker>,
    clock: Arc<dyn Clock>,
    run: String,
    /// Where a person finds the store.
    url: String,
    follow: Follow,
    paint: Paint,
    logs: Told,
    traces: Told,
    /// Beginning of the next look.
    since: i64,
    /// The last thing that went wrong, so that it is said once.
    trouble: Option<String>,
}

impl Follower {
    pub fn new(
        asker: Arc<Asker>,
        clock: Arc<dyn Clock>,
        run: String,
        url: String,
        follow: Follow,
        paint: Paint,
    ) -> Self {
        let since = clock.now_unix_nano().saturating_sub(OVERLAP_NS);
        let (logs, traces) = (Told::default(), Told::default());
        Self { asker, clock, run, url, follow, paint, logs, traces, since, trouble: None }
    }

    /// Until told to stop; then looks once more, as the program's last words came at its end.
    pub async fn run(mut self, stop: CancellationToken) {
        if self.follow == Follow::Nothing {
            return;
        }
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let stopped = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            self.look().await;
            if stopped {
                return;
            }
        }
    }

    async fn look(&mut self) {
        let now = self.clock.now_unix_nano();
        match self.lines().await {
            Ok((lines, more_behind)) => {
                // A line is never cut in two by what the program itself prints.
                let _nobody_reads = std::io::stderr().write_all(shown(lines, more_behind, &self.url).as_bytes());
                self.trouble = None;
                self.since = self.since.max(now.saturating_sub(OVERLAP_NS));
            }
            Err(trouble) => {
                if self.trouble.as_ref() != Some(&trouble) {
                    eprintln!(
                        "causeway: the store can't be asked: {}",
                        crate::table::harmless(&trouble, TROUBLE_CHARS)
                    );
                }
                self.trouble = Some(trouble);
            }
        }
    }

    /// What is new since the last look, in no order; and whether there may be more than was asked for.
    async fn lines(&mut self) -> Result<(Vec<Line>, bool), String> {
        let (mut logs, mut roots) = (Vec::new(), Vec::new());
        if matches!(self.follow, Follow::All | Follow::Logs) {
            logs = self.asker.rows(&logs_since(&self.run, &rfc3339(self.since))).await?;
        }
        if matches!(self.follow, Follow::All | Follow::Traces) {
            roots = self.asker.rows(&roots_since(&self.run, self.since)).await?;
        }
        let more_behind = logs.len().max(roots.len()) >= LOOK_ROWS_MAX;
        let id = |row: &Row| [text(row, "trace_id"), text(row, "span_id")].map(Option::unwrap_or_default).join("/");
        let roots = self.traces.fresh(roots, id);
        // A trace without the place of its errors is better than none.
        let failed = self.failed(&roots).await.unwrap_or_default();
        let logs = self.logs.fresh(logs, |row| serde_json::to_string(row).unwrap_or_default());
        let trace = |root: &Row| {
            let failed = text(root, "trace_id").and_then(|id| failed.get(id)).map(Vec::as_slice).unwrap_or_default();
            lines::trace(root, &failed.iter().collect::<Vec<_>>(), &self.url, self.paint)
        };
        let lines = logs.iter().map(|row| lines::log(row, self.paint)).chain(roots.iter().map(trace)).collect();
        Ok((lines, more_behind))
    }

    /// The failed spans of the traces that will be shown, by trace.
    async fn failed(&self, roots: &[Row]) -> Result<BTreeMap<String, Vec<Row>>, String> {
        let ids: Vec<&str> = roots.iter().take(LINES_MAX).filter_map(|root| text(root, "trace_id")).collect();
        let mut by_trace: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        if ids.is_empty() {
            return Ok(by_trace);
        }
        for span in self.asker.rows(&failed(&self.run, &ids)).await? {
            let trace = text(&span, "trace_id").unwrap_or_default().to_owned();
            by_trace.entry(trace).or_default().push(span);
        }
        Ok(by_trace)
    }
}

/// The newest lines in the order of their times, and how many were left out before them.
fn shown(mut lines: Vec<Line>, more_behind: bool, url: &str) -> String {
    lines.sort_by(|a, b| a.time.cmp(&b.time));
    let left_out = lines.len().saturating_sub(LINES_MAX);
    let mut text = String::new();
    if left_out > 0 {
        let or_more = if more_behind { " or more" } else { "" };
        text = format!("causeway: {left_out}{or_more} lines left out here; all are at {url}/logs and {url}/traces\n");
    }
    for line in lines.iter().skip(left_out) {
        text.push_str(&line.text);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_bounded_and_what_is_left_out_is_said() {
        let line = |at: usize| Line { time: format!("{at:05}"), text: format!("line {at}") };
        assert_eq!(shown(vec![line(2), line(1)], false, "u"), "line 1\nline 2\n");
        let many = shown((0..LINES_MAX + 7).rev().map(line).collect(), false, "u");
        assert!(many.starts_with("causeway: 7 lines left out here; all are at u/logs and u/traces\nline 7\nline 8\n"));
        assert_eq!(many.lines().count(), LINES_MAX + 1);
        let more = shown((0..LINES_MAX + 7).map(line).collect(), true, "u");
        assert!(more.starts_with("causeway: 7 or more lines left out here"));
    }
}
