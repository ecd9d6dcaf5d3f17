//! Which lines are one record? A line, or a stack trace with the line that reports it.

use std::time::Duration;

use crate::lines::{Line, Lines, RECORD_BYTES_MAX};
use crate::rules::{self, Stack};

/// Lines of one record. 1,000: Java's deepest stack traces have 1,024 frames; what follows is a record of its own.
pub const RECORD_LINES_MAX: usize = 1_000;
/// A record to which nothing was added for so long is whole. 1 s: a stack trace is written at once.
pub const RECORD_WAIT: Duration = Duration::from_secs(1);
/// A line without an end to which nothing was added for so long is whole, as a program's last one may be.
pub const PARTIAL_WAIT: Duration = Duration::from_secs(5);

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it says, lines with newlines between.
    pub text: String,
    /// Bytes of the source up to its end.
    pub end: u64,
    /// Lines in it.
    pub lines: u64,
    /// Whether something of it was cut off.
    pub is_cut: bool,
}

/// Joins lines to records.
#[derive(Debug, Default)]
pub struct Joiner {
    lines: Lines,
    pending: Pending,
    last_byte_nano: u64,
}

#[derive(Debug, Default)]
struct Pending {
    record: Option<(Record, Stack)>,
    reports_failure: bool,
    /// Bytes of the source up to the end of the last whole line.
    end: u64,
}

impl Joiner {
    /// A joiner whose next byte is at this place of its source.
    pub fn at(end: u64) -> Self {
        Self { pending: Pending { end, ..Pending::default() }, ..Self::default() }
    }

    /// Takes the next bytes in; records that are whole go to `out`.
    pub fn feed(&mut self, bytes: &[u8], now_nano: u64, out: &mut Vec<Record>) {
        self.last_byte_nano = now_nano;
        let pending = &mut self.pending;
        self.lines.feed(bytes, &mut |line| pending.add(line, out));
    }

    /// Gives out what nothing was added to for long enough.
    pub fn settle(&mut self, now_nano: u64, out: &mut Vec<Record>) {
        let quiet = Duration::from_nanos(now_nano.saturating_sub(self.last_byte_nano));
        if quiet >= PARTIAL_WAIT {
            let pending = &mut self.pending;
            self.lines.finish(&mut |line| pending.add(line, out));
        }
        if quiet >= RECORD_WAIT {
            self.pending.give(out);
        }
    }

    /// Gives out all whole lines; `with_partial` also one that has not ended.
    pub fn finish(&mut self, with_partial: bool, out: &mut Vec<Record>) {
        let pending = &mut self.pending;
        if with_partial {
            self.lines.finish(&mut |line| pending.add(line, out));
        }
        pending.give(out);
    }

    /// Bytes of the source up to the end of the last whole line.
    pub fn lines_end(&self) -> u64 {
        self.pending.end
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.pending.record.is_none() && self.lines.held_bytes() == 0
    }
}

impl Pending {
    fn add(&mut self, line: Line<'_>, out: &mut Vec<Record>) {
        self.end = self.end.saturating_add(line.bytes as u64);
        let text = String::from_utf8_lossy(line.text);
        if self.join(&text, line.is_cut) {
            return;
        }
        self.give(out);
        let record = Record { text: text.into_owned(), end: self.end, lines: 1, is_cut: line.is_cut };
        if is_json(&record.text) {
            out.push(record);
        } else {
            self.reports_failure = rules::reports_failure(&record.text);
            let stack = rules::begins(&record.text).unwrap_or(Stack::Plain);
            self.record = Some((record, stack));
        }
    }

    /// Adds the line to the record before it, if it belongs there.
    fn join(&mut self, line: &str, is_cut: bool) -> bool {
        let Some((record, stack)) = &mut self.record else { return false };
        let begins = || rules::begins(line).filter(|_| self.reports_failure);
        let Some(then) = rules::continues(*stack, line).or_else(begins) else { return false };
        let fits = record.text.len() + 1 + line.len() <= RECORD_BYTES_MAX && record.lines < RECORD_LINES_MAX as u64;
        if !fits {
            return false;
        }
        record.text.push('\n');
        record.text.push_str(line);
        (record.end, record.lines, record.is_cut) = (self.end, record.lines + 1, record.is_cut || is_cut);
        *stack = then;
        true
    }

    /// A record of nothing but blank lines is none; its bytes go with the next.
    fn give(&mut self, out: &mut Vec<Record>) {
        let Some((mut record, _)) = self.record.take() else { return };
        record.text.truncate(record.text.trim_end().len());
        if !record.text.is_empty() {
            out.push(record);
        }
    }
}

/// A whole object in a line, to which nothing is added.
fn is_json(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('{') && line.ends_with('}') && line.len() > 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The records of a text.
    fn records(text: &str) -> Vec<String> {
        let (mut joiner, mut out) = (Joiner::at(0), Vec::new());
        joiner.feed(text.as_bytes(), 0, &mut out);
        joiner.finish(true, &mut out);
        assert_eq!(out.last().map_or(0, |record| record.end), text.trim_end_matches('\n').len() as u64 + 1);
        out.into_iter().map(|record| record.text).collect()
    }

    /// Each of these is one record, however they follow each other.
    const WHOLE: [&str; 12] = [
        "2026-07-01 INFO started",
        "ERROR o.a.Servlet failed\njava.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\n\t... 12 more\nCaused by: java.io.IOException: closed\n\tat d.E.f(E.java:2)",
        "Exception in thread \"main\" java.lang.Error\n\tat a.B.main(B.java:1)",
        "ERROR:root:oops\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    1/0\n    ~^~\nZeroDivisionError: division by zero\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 3, in g\nKeyError: 'x'",
        "panic: runtime error: index out of range [5]\n[signal SIGSEGV: segmentation violation]\n\ngoroutine 1 [running]:\nmain.(*T).run(0x1, {0x2})\n\t/a/main.go:8 +0x39\nmain.main()\n\t/a/main.go:4 +0x1\ncreated by main.start\n\t/a/main.go:2\nexit status 2",
        "thread 'main' panicked at src/main.rs:2:5:\nindex out of bounds: the len is 0\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/x.rs:1:2\nnote: run with `RUST_BACKTRACE=full`",
        "thread 'main' panicked at 'oh no', src/main.rs:2:5\nnote: run with `RUST_BACKTRACE=1`",
        "Unhandled exception. System.InvalidOperationException: no\n ---> System.Exception: inner\n   at A.B() in /a.cs:line 1\n   --- End of inner exception stack trace ---\n   at A.Main()",
        "TypeError: x is not a function\n    at f (/a/b.js:1:2)\n    at g (/a/b.js:3:4) {\n  code: 'E1'\n}",
        "{\"level\":30,\"msg\":\"hi\"}",
        "{\n  \"level\": 30,\n  \"nested\": {\n    \"a\": 1\n  }\n}",
        "INFO Error budget left: 3",
    ];

    #[test]
    fn stack_traces_are_joined_and_others_are_not() {
        for first in WHOLE {
            assert_eq!(records(&format!("{first}\n")), [first]);
            for second in WHOLE.iter().filter(|second| rules::begins(second).is_none()) {
                assert_eq!(records(&format!("{first}\n{second}\n")), [first, second]);
            }
        }
        // Behind a line that reports no failure, a stack trace is a record of its own.
        for stack in WHOLE.iter().filter(|stack| rules::begins(stack).is_some()) {
            assert_eq!(records(&format!("GET / 200\n{stack}\n")), ["GET / 200", stack]);
        }
        assert_eq!(records("\n\na\n\n\nb\n"), ["a", "b"]);
    }

    #[test]
    fn a_record_is_whole_when_nothing_more_comes() {
        let (mut joiner, mut out) = (Joiner::at(10), Vec::new());
        let nano = |wait: Duration| u64::try_from(wait.as_nanos()).unwrap();
        joiner.feed(b"one\n\ttwo\nthr", 0, &mut out);
        assert!(out.is_empty());
        joiner.settle(nano(RECORD_WAIT) - 1, &mut out);
        assert!(out.is_empty());
        joiner.settle(nano(RECORD_WAIT), &mut out);
        assert_eq!(out, [Record { text: "one\n\ttwo".to_owned(), end: 19, lines: 2, is_cut: false }]);
        assert_eq!((joiner.lines_end(), joiner.is_empty()), (19, false));
        joiner.settle(nano(PARTIAL_WAIT), &mut out);
        assert_eq!(out[1], Record { text: "thr".to_owned(), end: 22, lines: 1, is_cut: false });
        assert!(joiner.is_empty());
    }

    #[test]
    fn records_have_an_end() {
        let lines: String = std::iter::once("a\n").chain(std::iter::repeat_n("\tb\n", RECORD_LINES_MAX)).collect();
        assert_eq!(records(&lines).len(), 2);
        let long = format!("a\n\t{}\n\tb\n", "x".repeat(RECORD_BYTES_MAX - 3));
        assert_eq!(records(&long).iter().map(String::len).collect::<Vec<_>>(), [RECORD_BYTES_MAX, 2]);
    }
}
