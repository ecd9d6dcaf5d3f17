//! When was a message sent? RFC 3339 and its relatives, as in any line, and the times of RFC 3164 (`Oct  1 22:14:15`) with and without a year.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime};

use crate::lines;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time at the start of a text in nanoseconds since 1970, and what follows it.
pub(super) fn leading(text: &str, received_unix_nano: i64) -> Option<(i64, &str)> {
    if text.as_bytes().get(4) == Some(&b'-') {
        return iso(text);
    }
    let mut reader = Reader { rest: text };
    Some((reader.bsd(received_unix_nano)?, reader.rest))
}

/// `2003-10-11T22:14:15.003Z` is one word; with a space for the `T` it is two.
fn iso(text: &str) -> Option<(i64, &str)> {
    let spaces = usize::from(text.as_bytes().get(10) == Some(&b' '));
    let end = text.match_indices(' ').nth(spaces).map_or(text.len(), |(at, _)| at);
    let (time, _) = text.split_at_checked(end)?;
    let (time, rest) = text.split_at_checked(time.trim_end_matches(':').len())?;
    Some((lines::time::of_text(time)?, rest))
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, letters: &[char]) -> Option<()> {
        self.rest = self.rest.strip_prefix(letters)?;
        Some(())
    }

    fn spaces(&mut self) -> Option<()> {
        self.eat(&[' '])?;
        self.rest = self.rest.trim_start_matches(' ');
        Some(())
    }

    /// A number of this many digits.
    fn number(&mut self, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count().min(*digits.end());
        let (number, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        number.parse().ok().filter(|_| count >= *digits.start())
    }

    /// `22:14:15`, with a fraction or without.
    fn clock(&mut self) -> Option<NaiveTime> {
        let hour = self.number(1..=2)?;
        self.eat(&[':'])?;
        let minute = self.number(2..=2)?;
        self.eat(&[':'])?;
        let second = self.number(2..=2)?;
        let nano = self.fraction();
        // A leap second is the end of the one before.
        NaiveTime::from_hms_nano_opt(hour, minute, second.min(59), if second == 60 { 999_999_999 } else { nano })
            .filter(|_| second <= 60)
    }

    fn fraction(&mut self) -> u32 {
        let Some(digits) = self.rest.strip_prefix(['.', ',']) else { return 0 };
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        let Some((fraction, rest)) = digits.split_at_checked(count).filter(|_| count > 0) else { return 0 };
        self.rest = rest;
        // What lies below a nanosecond is cut off.
        fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(9)
            .fold(0, |nano, digit| nano * 10 + u32::from(digit - b'0'))
    }

    /// `Oct  1 22:14:15`, with a year before it, within it or nowhere.
    fn bsd(&mut self, received_unix_nano: i64) -> Option<i64> {
        let mut year = None;
        if self.rest.starts_with(|letter: char| letter.is_ascii_digit()) {
            year = Some(self.number(4..=4)?);
            self.spaces()?;
        }
        let name = self.rest.get(..3)?;
        let month = 1 + u32::try_from(MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?).ok()?;
        self.rest = self.rest.get(3..)?;
        self.spaces()?;
        let day = self.number(1..=2)?;
        self.spaces()?;
        if year.is_none() && self.rest.as_bytes().get(4) == Some(&b' ') {
            year = Some(self.number(4..=4)?);
            self.spaces()?;
        }
        let clock = self.clock()?;
        match year {
            Some(year) => nanos(NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?, clock),
            None => nearest(month, day, clock, received_unix_nano),
        }
    }
}

fn nanos(date: NaiveDate, clock: NaiveTime) -> Option<i64> {
    date.and_time(clock).and_utc().timestamp_nanos_opt()
}

/// The time of this day and clock that lies next to the arrival: at the turn of a year both the old one and the new one are sent.
fn nearest(month: u32, day: u32, clock: NaiveTime, received_unix_nano: i64) -> Option<i64> {
    let year = DateTime::from_timestamp_nanos(received_unix_nano).year();
    let times = (-1..=1).filter_map(|more| nanos(NaiveDate::from_ymd_opt(year + more, month, day)?, clock));
    times.min_by_key(|time| time.abs_diff(received_unix_nano))
}
