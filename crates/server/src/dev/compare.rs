//! What is new in this run? Two runs side by side: messages, status codes, operations, times and repeated calls; pure, over rows.

use std::collections::BTreeMap;

use super::ask::{Row, integer, number, text};
use super::milliseconds;

/// Runs of an operation from which its times say something, in each run. 10: a median of fewer is one or two requests.
const SUPPORT_MIN: u64 = 10;
/// A median that moved by less than this factor …
const RATIO_MIN: f64 = 1.5;
/// … or by less than this is no news. 5 ms: what else the machine does at the time moves a whole run by as much.
const DIFFERENCE_MIN_NS: f64 = 5e6;
/// Half a notch of a box plot, in interquartile ranges over the root of the count: medians differ where notches don't overlap (McGill, Tukey,
/// Larsen: "Variations of box plots", 1978).
const NOTCH: f64 = 1.57;
/// A call that one span makes as often is repeated: an N+1 query, a retry. 10: below it is often meant.
const REPEATS_MIN: u64 = 10;

/// What is found, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    NewError,
    NewCode,
    NewWarning,
    Slower,
    Repeated,
    NewOperation,
    NewMessage,
    Gone,
    Faster,
}

impl Kind {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NewError => "new error",
            Self::NewCode => "new status",
            Self::NewWarning => "new warning",
            Self::Slower => "slower",
            Self::Repeated => "repeated",
            Self::NewOperation => "new operation",
            Self::NewMessage => "new message",
            Self::Gone => "gone",
            Self::Faster => "faster",
        }
    }

    /// Whether somebody should look.
    pub fn is_bad(self) -> bool {
        self <= Self::Repeated
    }
}

/// One difference between two runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    /// Of what, how often: not made harmless yet.
    pub words: String,
    /// How often it was seen, in the run that has it.
    pub support: u64,
    /// A trace that shows it, in hex.
    pub trace: Option<String>,
}

/// How often something was seen, and a trace that shows it.
#[derive(Debug, Default, Clone)]
struct Seen {
    n: u64,
    trace: Option<String>,
}

/// How often an operation ran, and its quartiles in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Operation {
    n: u64,
    quartiles: [f64; 3],
}

impl Operation {
    /// Between which values the median lies.
    fn notch(&self) -> (f64, f64) {
        let [low, median, high] = self.quartiles;
        let half = NOTCH * (high - low) / (self.n as f64).sqrt();
        (median - half, median + half)
    }

    fn slower_than(&self, other: &Self) -> bool {
        let (now, before) = (self.quartiles[1], other.quartiles[1]);
        self.n.min(other.n) >= SUPPORT_MIN
            && self.notch().0 > other.notch().1
            && now >= before * RATIO_MIN
            && now - before >= DIFFERENCE_MIN_NS
    }
}

/// Service and operation.
type Place = (String, String);

/// What is known of one run.
#[derive(Debug, Default)]
struct Side {
    /// By place and kind of span.
    operations: BTreeMap<(Place, i64), Operation>,
    /// By place and status code.
    codes: BTreeMap<(Place, i64), Seen>,
    /// By place and message of a failed span.
    failures: BTreeMap<(Place, String), Seen>,
    /// By service, level and message.
    messages: BTreeMap<(String, String, String), Seen>,
    repeats: BTreeMap<Place, Seen>,
}

/// The rows that the questions of the report brought.
#[derive(Debug, Default)]
pub struct Answers {
    pub operations: Vec<Row>,
    pub codes: Vec<Row>,
    pub failures: Vec<Row>,
    pub messages: Vec<Row>,
    pub repeats: Vec<Row>,
}

fn word(row: &Row, column: &str) -> String {
    text(row, column).unwrap_or("-").to_owned()
}

fn place(row: &Row) -> Place {
    (word(row, "service_name"), word(row, "operation"))
}

fn seen(row: &Row) -> Seen {
    let trace = text(row, "trace").map(str::to_owned);
    Seen { n: integer(row, "n").and_then(|n| u64::try_from(n).ok()).unwrap_or_default(), trace }
}

impl Answers {
    fn side(&self, run: &str) -> Side {
        let of = |rows: &'_ [Row]| -> Vec<Row> {
            rows.iter().filter(|row| text(row, "run") == Some(run)).cloned().collect()
        };
        let quartiles = |row: &Row| ["p25", "p50", "p75"].map(|name| number(row, name).unwrap_or_default());
        let operation = |row: Row| {
            let kind = integer(&row, "kind").unwrap_or_default();
            ((place(&row), kind), Operation { n: seen(&row).n, quartiles: quartiles(&row) })
        };
        let code = |row: Row| ((place(&row), integer(&row, "code").unwrap_or_default()), seen(&row));
        let failure = |row: Row| ((place(&row), word(&row, "message")), seen(&row));
        let message = |row: Row| ((word(&row, "service_name"), word(&row, "level"), word(&row, "message")), seen(&row));
        Side {
            operations: of(&self.operations).into_iter().map(operation).collect(),
            codes: of(&self.codes).into_iter().map(code).collect(),
            failures: of(&self.failures).into_iter().map(failure).collect(),
            messages: of(&self.messages).into_iter().map(message).collect(),
            repeats: of(&self.repeats).into_iter().map(|row| (place(&row), seen(&row))).collect(),
        }
    }

    /// What is new in the run `now` against the run `before`: the worst first, the most frequent first of each kind.
    pub fn compare(&self, now: &str, before: &str) -> Vec<Finding> {
        let (now, before) = (self.side(now), self.side(before));
        let mut findings = messages(&now, &before);
        findings.extend(failures(&now, &before));
        findings.extend(codes(&now, &before));
        findings.extend(operations(&now, &before));
        findings.extend(repeats(&now, &before));
        findings.sort_by(|a, b| (a.kind, b.support, &a.words).cmp(&(b.kind, a.support, &b.words)));
        findings
    }
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

fn messages(now: &Side, before: &Side) -> Vec<Finding> {
    let new = now.messages.iter().filter(|(key, _)| !before.messages.contains_key(*key));
    let finding = |((service, level, message), seen): (&(String, String, String), &Seen)| Finding {
        kind: match level.as_str() {
            "error" => Kind::NewError,
            "warning" => Kind::NewWarning,
            _ => Kind::NewMessage,
        },
        words: format!("{service}: {message} ({})", times(seen.n)),
        support: seen.n,
        trace: seen.trace.clone(),
    };
    new.map(finding).collect()
}

fn failures(now: &Side, before: &Side) -> Vec<Finding> {
    let new = now.failures.iter().filter(|(key, _)| !before.failures.contains_key(*key));
    let finding = |(((service, operation), message), seen): (&(Place, String), &Seen)| Finding {
        kind: Kind::NewError,
        words: format!("{service}: {operation} failed: {message} ({})", times(seen.n)),
        support: seen.n,
        trace: seen.trace.clone(),
    };
    new.map(finding).collect()
}

fn codes(now: &Side, before: &Side) -> Vec<Finding> {
    /// OpenTelemetry's kind of a span that serves.
    const SERVER: i64 = 2;
    let requests = |side: &Side, place: &Place| side.operations.get(&(place.clone(), SERVER)).map_or(0, |seen| seen.n);
    let new = now.codes.iter().filter(|(key, _)| !before.codes.contains_key(*key));
    let finding = |((place, code), seen): (&(Place, i64), &Seen)| Finding {
        kind: Kind::NewCode,
        words: format!(
            "{}: {} answered {code} in {} of {} requests, in none of {} before",
            place.0,
            place.1,
            seen.n,
            requests(now, place),
            requests(before, place)
        ),
        support: seen.n,
        trace: seen.trace.clone(),
    };
    new.map(finding).collect()
}

fn operations(now: &Side, before: &Side) -> Vec<Finding> {
    let ran = |place: &Place, kind, n| Finding {
        kind,
        words: format!("{}: {} ({})", place.0, place.1, times(n)),
        support: n,
        trace: None,
    };
    let mut findings = Vec::new();
    for ((place, kind), operation) in &now.operations {
        let Some(other) = before.operations.get(&(place.clone(), *kind)) else {
            findings.push(ran(place, Kind::NewOperation, operation.n));
            continue;
        };
        let kind = match (operation.slower_than(other), other.slower_than(operation)) {
            (true, _) => Kind::Slower,
            (_, true) => Kind::Faster,
            _ => continue,
        };
        let words = format!(
            "{}: {} took {} in the median of {}, {} of {} before",
            place.0,
            place.1,
            milliseconds(operation.quartiles[1]),
            operation.n,
            milliseconds(other.quartiles[1]),
            other.n
        );
        findings.push(Finding { kind, words, support: operation.n, trace: None });
    }
    let gone = before.operations.iter().filter(|(key, _)| !now.operations.contains_key(*key));
    findings.extend(gone.map(|((place, _), operation)| ran(place, Kind::Gone, operation.n)));
    findings
}

fn repeats(now: &Side, before: &Side) -> Vec<Finding> {
    let often = |(place, seen): (&Place, &Seen)| {
        let other = before.repeats.get(place).map(|seen| seen.n);
        let rose = seen.n >= REPEATS_MIN && other.is_none_or(|other| seen.n >= other.saturating_mul(2));
        let other = other.map_or_else(|| "a few times at most".to_owned(), |other| format!("at most {}", times(other)));
        rose.then(|| Finding {
            kind: Kind::Repeated,
            words: format!("{}: {} up to {} below one span, {other} before", place.0, place.1, times(seen.n)),
            support: seen.n,
            trace: seen.trace.clone(),
        })
    };
    now.repeats.iter().filter_map(often).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rows(rows: Value) -> Vec<Row> {
        rows.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect()
    }

    fn found(answers: &Answers) -> Vec<(Kind, String)> {
        answers.compare("r2", "r1").into_iter().map(|finding| (finding.kind, finding.words)).collect()
    }

    #[test]
    fn messages_and_codes_are_new_where_the_last_run_lacks_them() {
        let answers = Answers {
            messages: rows(json!([
                {"run": "r2", "service_name": "a", "level": "log", "message": "order * read", "n": 9},
                {"run": "r1", "service_name": "a", "level": "log", "message": "order * read", "n": 3},
                {"run": "r2", "service_name": "a", "level": "warning", "message": "slow", "n": 2},
                {"run": "r2", "service_name": "a", "level": "error", "message": "no address", "n": 1, "trace": "ab"},
                {"run": "r1", "service_name": "a", "level": "error", "message": "old trouble", "n": 1},
            ])),
            codes: rows(json!([
                {"run": "r2", "service_name": "a", "operation": "GET /o", "code": 500, "n": 4},
                {"run": "r2", "service_name": "a", "operation": "GET /o", "code": 404, "n": 4},
                {"run": "r1", "service_name": "a", "operation": "GET /o", "code": 404, "n": 1},
            ])),
            failures: rows(json!([
                {"run": "r2", "service_name": "a", "operation": "SELECT", "message": "no table", "n": 4},
                {"run": "r1", "service_name": "a", "operation": "SELECT", "message": "locked", "n": 4},
            ])),
            operations: rows(json!([
                {"run": "r2", "service_name": "a", "kind": 2, "operation": "GET /o", "n": 40, "p25": 1, "p50": 1, "p75": 1},
                {"run": "r1", "service_name": "a", "kind": 2, "operation": "GET /o", "n": 38, "p25": 1, "p50": 1, "p75": 1},
            ])),
            ..Answers::default()
        };
        let expected = [
            (Kind::NewError, "a: SELECT failed: no table (4 times)".to_owned()),
            (Kind::NewError, "a: no address (once)".to_owned()),
            (Kind::NewCode, "a: GET /o answered 500 in 4 of 40 requests, in none of 38 before".to_owned()),
            (Kind::NewWarning, "a: slow (2 times)".to_owned()),
        ];
        assert_eq!(found(&answers), expected);
        assert_eq!(answers.compare("r2", "r1")[1].trace.as_deref(), Some("ab"));
        assert!(answers.compare("r1", "r1").is_empty(), "nothing is new against itself");
    }

    /// One operation in both runs: counts, and quartiles in ms.
    fn timed(now: (u64, [f64; 3]), before: (u64, [f64; 3])) -> Vec<Kind> {
        let row = |run: &str, (n, [p25, p50, p75]): (u64, [f64; 3])| {
            json!({"run": run, "service_name": "a", "kind": 2, "operation": "o", "n": n,
                   "p25": p25 * 1e6, "p50": p50 * 1e6, "p75": p75 * 1e6})
        };
        let answers = Answers { operations: rows(json!([row("r2", now), row("r1", before)])), ..Answers::default() };
        found(&answers).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn an_operation_is_slower_only_with_support_and_by_a_difference_that_matters() {
        let (quick, slow) = ([1.0, 2.0, 3.0], [30.0, 40.0, 50.0]);
        assert_eq!(timed((30, slow), (30, quick)), [Kind::Slower]);
        assert_eq!(timed((30, quick), (30, slow)), [Kind::Faster]);
        assert_eq!(timed((9, slow), (30, quick)), [], "too few now");
        assert_eq!(timed((30, slow), (9, quick)), [], "too few before");
        assert_eq!(timed((1000, [2.8, 2.9, 3.0]), (1000, quick)), [], "less than half as much again");
        assert_eq!(timed((1000, [3.4, 3.5, 3.6]), (1000, [0.1, 0.2, 0.3])), [], "less than matters");
        assert_eq!(
            timed((10, [1.0, 40.0, 300.0]), (10, [1.0, 20.0, 300.0])),
            [],
            "both spread so far that it may be chance"
        );
    }

    #[test]
    fn operations_come_and_go_and_calls_are_repeated() {
        let answers = Answers {
            operations: rows(json!([
                {"run": "r2", "service_name": "a", "kind": 3, "operation": "new", "n": 1, "p25": 1, "p50": 1, "p75": 1},
                {"run": "r1", "service_name": "a", "kind": 3, "operation": "old", "n": 5, "p25": 1, "p50": 1, "p75": 1},
            ])),
            repeats: rows(json!([
                {"run": "r2", "service_name": "a", "operation": "SELECT item", "n": 25, "trace": "cd"},
                {"run": "r2", "service_name": "a", "operation": "SELECT page", "n": 30},
                {"run": "r1", "service_name": "a", "operation": "SELECT page", "n": 20},
                {"run": "r2", "service_name": "a", "operation": "SELECT few", "n": 9},
            ])),
            ..Answers::default()
        };
        let expected = [
            (Kind::Repeated, "a: SELECT item up to 25 times below one span, a few times at most before".to_owned()),
            (Kind::NewOperation, "a: new (once)".to_owned()),
            (Kind::Gone, "a: old (5 times)".to_owned()),
        ];
        assert_eq!(found(&answers), expected);
    }
}
