//! What is said at the end? What arrived, what is new against the last run, what the store dropped, where to look.

use std::fmt::Write as _;

use super::ask::{Asker, Row, integer, text};
use super::compare::{Answers, Finding};
use super::lines::Paint;
use super::queries::{self, KINDS_MAX};
use crate::table::harmless;

/// Findings of one kind that are listed.
const LISTED_MAX: usize = 12;
/// Characters of a finding.
const WORDS_CHARS: usize = 300;

/// A run, as far as its telemetry tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Which.
    pub id: String,
    /// When its first record was (RFC 3339).
    pub began: String,
    pub spans: i64,
    pub logs: i64,
}

/// What the store received, stored and dropped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ledger(pub [i64; 3]);

impl Ledger {
    /// As the store has it.
    ///
    /// # Errors
    /// Why it can't be had.
    pub async fn ask(asker: &Asker) -> Result<Self, String> {
        let rows = asker.rows(queries::LEDGER).await?;
        let sum = |column: &str| rows.first().and_then(|row| integer(row, column)).unwrap_or_default();
        Ok(Self(["received", "stored", "dropped"].map(sum)))
    }

    /// What came since.
    pub fn since(self, before: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].saturating_sub(before.0[at])))
    }
}

/// What the report tells.
#[derive(Debug, Default)]
pub struct Report {
    pub now: Run,
    /// The last run of the same subject that sent anything.
    pub last: Option<Run>,
    pub findings: Vec<Finding>,
    pub ledger: Ledger,
    /// What should be known about how it was found out.
    pub notes: Vec<String>,
    /// The questions asked, in order.
    pub questions: Vec<String>,
}

impl Report {
    /// Asks for all of it.
    ///
    /// # Errors
    /// Why the store can't be asked.
    pub async fn ask(asker: &Asker, run: &str, subject: &str, ledger_before: Ledger) -> Result<Self, String> {
        let mut report = Self::default();
        let runs = report.rows(asker, queries::runs(subject)).await?;
        (report.now, report.last) = this_and_last(&runs, run);
        if let Some(last) = report.last.as_ref().map(|last| last.id.clone()).filter(|_| report.now.arrived()) {
            let both = [run, last.as_str()];
            let answers = Answers {
                operations: report.rows(asker, queries::operations(both)).await?,
                codes: report.rows(asker, queries::codes(both)).await?,
                failures: report.rows(asker, queries::failures(both)).await?,
                messages: report.rows(asker, queries::messages(both)).await?,
                repeats: report.rows(asker, queries::repeats(both)).await?,
            };
            report.findings = answers.compare(run, &last);
        }
        report.ledger = Ledger::ask(asker).await?.since(ledger_before);
        Ok(report)
    }

    async fn rows(&mut self, asker: &Asker, question: String) -> Result<Vec<Row>, String> {
        let rows = asker.rows(&question).await?;
        if rows.len() >= KINDS_MAX {
            self.notes
                .push(format!("only the {KINDS_MAX} most frequent kinds were compared: a rare one may not be new"));
            self.notes.dedup();
        }
        self.questions.push(question);
        Ok(rows)
    }

    /// For the terminal; `url` is where a person finds the store.
    pub fn text(&self, url: &str, paint: Paint) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "causeway: {} and {} arrived",
            some(self.now.spans, "span"),
            some(self.now.logs, "log record")
        );
        match &self.last {
            _ if !self.now.arrived() => {
                out.push_str("causeway: is the program instrumented? `causeway dev --help` says how it can be\n");
            }
            None => out.push_str("causeway: first run: nothing to compare with\n"),
            Some(last) => self.compared(last, &mut out, url, paint),
        }
        for note in &self.notes {
            let _ = writeln!(out, "causeway: {note}");
        }
        let [received, stored, dropped] = self.ledger.0;
        let line =
            format!("the store received {received} records meanwhile, metrics too: {stored} stored, {dropped} dropped");
        let _ = writeln!(out, "causeway: {}", if dropped > 0 { paint.bad(&line) } else { line });
        out
    }

    fn compared(&self, last: &Run, out: &mut String, url: &str, paint: Paint) {
        let than = format!(
            "the run of {} ({}, {})",
            harmless(last.began.get(..19).unwrap_or(&last.began), WORDS_CHARS),
            some(last.spans, "span"),
            some(last.logs, "log record")
        );
        if self.findings.is_empty() {
            let _ = writeln!(out, "causeway: nothing is new against {than}");
            return;
        }
        let _ = writeln!(out, "causeway: new against {than}:");
        for same in self.findings.chunk_by(|a, b| a.kind == b.kind) {
            for finding in same.iter().take(LISTED_MAX) {
                let kind = format!("{:<14}", finding.kind.words());
                let kind = if finding.kind.is_bad() { paint.bad(&kind) } else { kind };
                let trace =
                    finding.trace.as_ref().map(|trace| format!("  {url}/traces/{}", harmless(trace, WORDS_CHARS)));
                let trace = paint.faint(&trace.unwrap_or_default());
                let _ = writeln!(out, "  {kind} {}{trace}", harmless(&finding.words, WORDS_CHARS));
            }
            if let Some(more) = same.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
                let _ = writeln!(out, "  and {more} more of these");
            }
        }
    }
}

impl Run {
    fn arrived(&self) -> bool {
        self.spans + self.logs > 0
    }
}

fn some(count: i64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Ids of runs begin with their time: the latest one before this is the last.
fn this_and_last(rows: &[Row], run: &str) -> (Run, Option<Run>) {
    let of = |row: &Row| Run {
        id: text(row, "run").unwrap_or_default().to_owned(),
        began: text(row, "began").unwrap_or_default().to_owned(),
        spans: integer(row, "spans").unwrap_or_default(),
        logs: integer(row, "logs").unwrap_or_default(),
    };
    let runs: Vec<Run> = rows.iter().map(of).collect();
    let mut now = Run { id: run.to_owned(), ..Run::default() };
    let mut last: Option<Run> = None;
    for found in runs {
        if found.id == run {
            now = found;
        } else if found.id.as_str() < run && last.as_ref().is_none_or(|last| last.id < found.id) {
            last = Some(found);
        }
    }
    (now, last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::compare::Kind;
    use super::*;

    fn run(id: &str, spans: i64) -> Run {
        Run { id: id.to_owned(), began: "2026-05-01T12:00:00.000000000Z".to_owned(), spans, logs: 1 }
    }

    #[test]
    fn the_last_run_is_the_latest_before_this_one() {
        let row = |id: &str| json!({"run": id, "began": "b", "spans": 2, "logs": 3}).as_object().unwrap().clone();
        let (now, last) = this_and_last(&[row("r4"), row("r3"), row("r2"), row("r1")], "r3");
        assert_eq!((now.id.as_str(), now.spans, now.logs), ("r3", 2, 3));
        assert_eq!(last.unwrap().id, "r2", "r4 is one that runs beside it");
        let (now, last) = this_and_last(&[row("r1")], "r2");
        assert!(!now.arrived() && last.unwrap().id == "r1");
        assert_eq!(this_and_last(&[row("r1")], "r1").1, None);
    }

    #[test]
    fn the_end_says_what_arrived_what_is_new_and_what_was_dropped() {
        let plain = Paint(false);
        let mut report = Report { now: run("r2", 5), ledger: Ledger([7, 6, 1]), ..Report::default() };
        let ledger = "causeway: the store received 7 records meanwhile, metrics too: 6 stored, 1 dropped\n";
        let arrived = "causeway: 5 spans and 1 log record arrived\n";
        let first = format!("{arrived}causeway: first run: nothing to compare with\n{ledger}");
        assert_eq!(report.text("u", plain), first);
        report.last = Some(run("r1", 4));
        let same = "causeway: nothing is new against the run of 2026-05-01T12:00:00 (4 spans, 1 log record)\n";
        assert_eq!(report.text("u", plain), format!("{arrived}{same}{ledger}"));
        let finding = |at: u64| Finding {
            kind: Kind::NewError,
            words: format!("a: \u{1b}[2J {at}"),
            support: at,
            trace: (at == 0).then(|| "ab".to_owned()),
        };
        report.findings = (0..LISTED_MAX as u64 + 2).map(finding).collect();
        let text = report.text("u", plain);
        assert!(text.contains("new against the run of 2026-05-01T12:00:00 (4 spans, 1 log record):\n  new error      a: ·[2J 0  u/traces/ab\n"));
        assert!(text.contains("  and 2 more of these\n"), "{text}");
        report.now = Run::default();
        assert!(report.text("u", plain).contains("is the program instrumented?"));
    }

    #[test]
    fn a_ledger_since_another_is_what_came_between() {
        assert_eq!(Ledger([10, 9, 1]).since(Ledger([4, 4, 0])), Ledger([6, 5, 1]));
    }
}
