//! What do the functions make that are about times? As Go's `time` has them, with layouts that write `2006-01-02 15:04:05` as an example; the
//! server's own zone, which Go calls `Local`, is UTC here.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::functions::{Arguments, Function};
use super::value::{Made, Value, room};

const NANOSECONDS: i64 = 1_000_000_000;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("__timestamp__", 0, |call| Ok(Value::Time(Time::of_nanoseconds(call.scene.time_ns)))),
    Function::new("now", 0, |call| {
        let now_ns = call.scene.now_ns.ok_or("the query does not say when it is asked")?;
        Ok(Value::Time(Time::of_nanoseconds(now_ns)))
    }),
    Function::new("date", 2, date),
    Function::new("toDate", 2, |call| Ok(Value::Time(parsed(call.text(0)?, call.text(1)?, &Zone::Utc)))),
    Function::new("toDateInZone", 3, |call| {
        let zone = Zone::named(call.text(1)?)?;
        Ok(Value::Time(parsed(call.text(0)?, call.text(2)?, &zone)))
    }),
    Function::new("unixEpoch", 1, |call| Ok(call.time(0)?.utc.timestamp().to_string().into())),
    Function::new("unixEpochMillis", 1, |call| Ok(call.time(0)?.utc.timestamp_millis().to_string().into())),
    Function::new("unixEpochNanos", 1, |call| {
        let utc = call.time(0)?.utc;
        // Beyond the years 1678 to 2262 it wraps around, as in Go.
        let whole = utc.timestamp().wrapping_mul(NANOSECONDS);
        Ok(whole.wrapping_add(i64::from(utc.timestamp_subsec_nanos())).to_string().into())
    }),
    Function::new("unixToTime", 1, |call| unix_to_time(call.text(0)?)),
];

/// A time and the zone in which it is shown.
#[derive(Debug, Clone)]
pub(super) struct Time {
    utc: DateTime<Utc>,
    zone: Zone,
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.utc == other.utc
    }
}

#[derive(Debug, Clone)]
enum Zone {
    Utc,
    Named(Tz),
    /// Seconds east of UTC, and a name, which may be empty.
    Fixed(i32, String),
}

impl Zone {
    fn named(name: &str) -> Made<Self> {
        match name {
            "" | "UTC" | "Local" => Ok(Self::Utc),
            _ => name.parse().map(Self::Named).map_err(|_| format!("the time zone {name:?} is not known")),
        }
    }

    /// Seconds east of UTC, and the name of the zone, at a time.
    fn at(&self, utc: NaiveDateTime) -> (i32, String) {
        match self {
            Self::Utc => (0, "UTC".to_owned()),
            Self::Named(zone) => {
                let offset = zone.offset_from_utc_datetime(&utc);
                (offset.fix().local_minus_utc(), offset.to_string())
            }
            Self::Fixed(seconds, name) => (*seconds, name.clone()),
        }
    }
}

fn shifted(time: NaiveDateTime, seconds: i32) -> NaiveDateTime {
    time.checked_add_signed(TimeDelta::seconds(i64::from(seconds))).unwrap_or(time)
}

impl Time {
    pub fn of_nanoseconds(time_ns: i64) -> Self {
        Self { utc: DateTime::from_timestamp_nanos(time_ns), zone: Zone::Utc }
    }

    /// What Go has where there is no time: the begin of the year 1.
    fn zero() -> Self {
        let first = NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default();
        Self { utc: first.and_time(chrono::NaiveTime::MIN).and_utc(), zone: Zone::Utc }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&formatted(self, "2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

fn date<'a>(call: &Arguments<'_, 'a>) -> Made<Value<'a>> {
    let layout = call.text(0)?;
    let time = match call.value(1) {
        Value::Time(time) => Time { zone: Zone::Utc, ..time.clone() },
        Value::Int(seconds) => of_seconds(*seconds)?,
        other => return Err(format!("a {} is no time", other.type_name())),
    };
    // No part of a layout becomes more than ten times as long.
    room(layout.len().saturating_mul(10))?;
    Ok(formatted(&time, layout).into())
}

fn of_seconds(seconds: i64) -> Made<Time> {
    let utc = DateTime::from_timestamp(seconds, 0).ok_or("the time is too far away")?;
    Ok(Time { utc, zone: Zone::Utc })
}

/// Days, seconds, milliseconds, microseconds or nanoseconds since 1970, by the number of digits.
fn unix_to_time<'a>(text: &str) -> Made<Value<'a>> {
    let refused = || format!("unable to parse time {text:?}");
    let number: i64 = text.parse().map_err(|_| refused())?;
    let time_ns = match text.len() {
        5 => number.checked_mul(86_400 * NANOSECONDS),
        10 => number.checked_mul(NANOSECONDS),
        13 => number.checked_mul(1_000_000),
        16 => number.checked_mul(1_000),
        19 => Some(number),
        _ => None,
    };
    Ok(Value::Time(Time::of_nanoseconds(time_ns.ok_or_else(refused)?)))
}

/// A part of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    LongYear,
    Year,
    LongMonth,
    Month,
    ZeroMonth,
    NumberMonth,
    LongWeekDay,
    WeekDay,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    Pm,
    SmallPm,
    ZoneName,
    Offset {
        z: bool,
        colon: bool,
        least: u8,
    },
    /// So many digits behind a point or comma; with `cut` without the zeros at their end.
    Fraction {
        digits: usize,
        cut: bool,
        sign: char,
    },
}

const fn offset(z: bool, colon: bool, least: u8) -> Part {
    Part::Offset { z, colon, least }
}

/// Longer ones stand before those that they begin with.
const PARTS: [(&str, Part); 33] = [
    ("January", Part::LongMonth),
    ("Jan", Part::Month),
    ("Monday", Part::LongWeekDay),
    ("Mon", Part::WeekDay),
    ("MST", Part::ZoneName),
    ("002", Part::ZeroYearDay),
    ("01", Part::ZeroMonth),
    ("02", Part::ZeroDay),
    ("03", Part::ZeroHour12),
    ("04", Part::ZeroMinute),
    ("05", Part::ZeroSecond),
    ("06", Part::Year),
    ("15", Part::Hour),
    ("1", Part::NumberMonth),
    ("2006", Part::LongYear),
    ("2", Part::Day),
    ("__2", Part::UnderYearDay),
    ("_2", Part::UnderDay),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
    ("PM", Part::Pm),
    ("pm", Part::SmallPm),
    ("-070000", offset(false, false, 3)),
    ("-07:00:00", offset(false, true, 3)),
    ("-0700", offset(false, false, 2)),
    ("-07:00", offset(false, true, 2)),
    ("-07", offset(false, false, 1)),
    ("Z070000", offset(true, false, 3)),
    ("Z07:00:00", offset(true, true, 3)),
    ("Z0700", offset(true, false, 2)),
    ("Z07:00", offset(true, true, 2)),
    ("Z07", offset(true, false, 1)),
];

/// The text before the first part of a layout, the part, and what stands behind it.
fn next_part(layout: &str) -> (&str, Option<Part>, &str) {
    for (at, _) in layout.char_indices() {
        let (before, rest) = layout.split_at_checked(at).unwrap_or((layout, ""));
        // `_2006` is an underscore and a year.
        if rest.starts_with("_2006") {
            continue;
        }
        let found = PARTS.iter().find(|(text, part)| {
            let is_word = matches!(part, Part::Month | Part::WeekDay);
            let behind = rest.strip_prefix(text);
            behind.is_some_and(|behind| !(is_word && behind.starts_with(|next: char| next.is_ascii_lowercase())))
        });
        if let Some((text, part)) = found {
            return (before, Some(*part), rest.get(text.len()..).unwrap_or_default());
        }
        if let Some((part, behind)) = fraction(rest) {
            return (before, Some(part), behind);
        }
    }
    (layout, None, "")
}

/// `.000` or `,999`, behind which no digit stands.
fn fraction(layout: &str) -> Option<(Part, &str)> {
    let sign = layout.chars().next().filter(|sign| ['.', ','].contains(sign))?;
    let digits = layout.get(1..)?;
    let digit = digits.chars().next().filter(|digit| ['0', '9'].contains(digit))?;
    let behind = digits.trim_start_matches(digit);
    let is_whole = !behind.starts_with(|next: char| next.is_ascii_digit());
    is_whole.then(|| (Part::Fraction { digits: digits.len() - behind.len(), cut: digit == '9', sign }, behind))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn named(names: &'static [&'static str], number: u32) -> &'static str {
    usize::try_from(number).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
}

/// The time as the layout shows it.
fn formatted(time: &Time, layout: &str) -> String {
    let (offset_s, zone) = time.zone.at(time.utc.naive_utc());
    let local = shifted(time.utc.naive_utc(), offset_s);
    let mut out = String::new();
    let mut rest = layout;
    loop {
        let (before, part, behind) = next_part(rest);
        out.push_str(before);
        let Some(part) = part else { return out };
        out += &shown(part, local, offset_s, &zone);
        rest = behind;
    }
}

fn shown(part: Part, local: NaiveDateTime, offset_s: i32, zone: &str) -> String {
    let hour12 = local.hour12().1;
    let month = named(&MONTHS, local.month0());
    let day = named(&DAYS, local.weekday().num_days_from_monday());
    match part {
        Part::LongYear => format!("{:04}", local.year()),
        Part::Year => format!("{:02}", local.year().rem_euclid(100)),
        Part::LongMonth => month.to_owned(),
        Part::Month => month.get(..3).unwrap_or(month).to_owned(),
        Part::NumberMonth => local.month().to_string(),
        Part::ZeroMonth => format!("{:02}", local.month()),
        Part::LongWeekDay => day.to_owned(),
        Part::WeekDay => day.get(..3).unwrap_or(day).to_owned(),
        Part::Day => local.day().to_string(),
        Part::UnderDay => format!("{:2}", local.day()),
        Part::ZeroDay => format!("{:02}", local.day()),
        Part::UnderYearDay => format!("{:3}", local.ordinal()),
        Part::ZeroYearDay => format!("{:03}", local.ordinal()),
        Part::Hour => format!("{:02}", local.hour()),
        Part::Hour12 => hour12.to_string(),
        Part::ZeroHour12 => format!("{hour12:02}"),
        Part::Minute => local.minute().to_string(),
        Part::ZeroMinute => format!("{:02}", local.minute()),
        Part::Second => local.second().to_string(),
        Part::ZeroSecond => format!("{:02}", local.second()),
        Part::Pm => if local.hour() >= 12 { "PM" } else { "AM" }.to_owned(),
        Part::SmallPm => if local.hour() >= 12 { "pm" } else { "am" }.to_owned(),
        Part::ZoneName if zone.is_empty() => offset_text(offset_s, false, 2),
        Part::ZoneName => zone.to_owned(),
        Part::Offset { z: true, .. } if offset_s == 0 => "Z".to_owned(),
        Part::Offset { colon, least, .. } => offset_text(offset_s, colon, least),
        Part::Fraction { digits, cut, sign } => {
            let all = format!("{:09}", local.nanosecond());
            let kept: String = all.chars().chain(std::iter::repeat('0')).take(digits).collect();
            let kept = if cut { kept.trim_end_matches('0') } else { &kept };
            if kept.is_empty() { String::new() } else { format!("{sign}{kept}") }
        }
    }
}

/// Hours east of UTC, and minutes and seconds where so many parts are shown.
fn offset_text(offset_s: i32, colon: bool, parts: u8) -> String {
    let size = offset_s.unsigned_abs();
    let between = if colon { ":" } else { "" };
    let mut out = format!("{}{:02}", if offset_s < 0 { '-' } else { '+' }, size / 3_600);
    for part in [size / 60 % 60, size % 60].into_iter().take(usize::from(parts.saturating_sub(1))) {
        out += &format!("{between}{part:02}");
    }
    out
}

/// The time that a text says by a layout, or where it says none, Go's zero.
fn parsed(layout: &str, text: &str, zone: &Zone) -> Time {
    read(layout, text, zone).unwrap_or_else(Time::zero)
}

/// What was read of a time.
#[derive(Debug, Default)]
struct Read {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    year_day: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanosecond: u32,
    afternoon: Option<bool>,
    offset_s: Option<i32>,
    is_utc: bool,
    zone: String,
}

fn read(layout: &str, text: &str, zone: &Zone) -> Option<Time> {
    let mut found = Read::default();
    let (mut layout, mut text) = (layout, text);
    loop {
        let (before, part, behind) = next_part(layout);
        text = skipped(text, before)?;
        let Some(part) = part else { break };
        text = found.part(part, text)?;
        // A fraction may stand behind the seconds where the layout has none.
        let is_second = matches!(part, Part::Second | Part::ZeroSecond);
        if is_second && !matches!(next_part(behind), ("", Some(Part::Fraction { .. }), _)) {
            text = found.fraction(text, None).unwrap_or(text);
        }
        layout = behind;
    }
    if text.is_empty() { found.time(zone) } else { None }
}

/// The text behind what stands between the parts of a layout; of spaces any number matches any other.
fn skipped<'t>(text: &'t str, expected: &str) -> Option<&'t str> {
    let (mut text, mut expected) = (text, expected);
    while let Some(first) = expected.chars().next() {
        if first == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            (expected, text) = (expected.trim_start_matches(' '), text.trim_start_matches(' '));
            continue;
        }
        expected = expected.strip_prefix(first)?;
        text = text.strip_prefix(first)?;
    }
    Some(text)
}

/// A number of so many digits, and what stands behind it.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(count).filter(|_| count >= least)?;
    Some((number.parse().ok()?, rest))
}

/// The number of a name that the text begins with, whole or its first three letters, in any case.
fn name<'t>(names: &[&str], text: &'t str, whole: bool) -> Option<(u32, &'t str)> {
    let fits = |name: &str| {
        let (found, rest) = text.split_at_checked(if whole { name.len() } else { 3 })?;
        found.eq_ignore_ascii_case(name.get(..found.len())?).then_some(rest)
    };
    (0..).zip(names).find_map(|(at, name)| Some((at, fits(name)?)))
}

impl Read {
    /// Reads one part; gives what stands behind it.
    fn part<'t>(&mut self, part: Part, text: &'t str) -> Option<&'t str> {
        let unspaced = text.strip_prefix(' ').unwrap_or(text);
        let (rest, place) = match part {
            Part::LongYear => {
                let (year, rest) = digits(text, 4, 4)?;
                self.year = i32::try_from(year).ok();
                return Some(rest);
            }
            Part::Year => {
                let (year, rest) = digits(text, 2, 2)?;
                self.year = i32::try_from(if year >= 69 { year + 1_900 } else { year + 2_000 }).ok();
                return Some(rest);
            }
            Part::LongMonth | Part::Month => {
                let (month, rest) = name(&MONTHS, text, part == Part::LongMonth)?;
                self.month = Some(month + 1);
                return Some(rest);
            }
            Part::LongWeekDay | Part::WeekDay => return Some(name(&DAYS, text, part == Part::LongWeekDay)?.1),
            Part::Pm | Part::SmallPm => {
                let (half, rest) = text.split_at_checked(2)?;
                let names = if part == Part::Pm { ["AM", "PM"] } else { ["am", "pm"] };
                self.afternoon = Some(names.iter().position(|name| *name == half)? == 1);
                return Some(rest);
            }
            Part::ZoneName => return self.zone_name(text),
            Part::Offset { z, colon, least } => return self.offset(text, z, colon, least),
            Part::Fraction { cut: true, .. } if !text.starts_with(['.', ',']) => return Some(text),
            Part::Fraction { cut, digits, .. } => return self.fraction(text, (!cut).then_some(digits)),
            Part::ZeroMonth => (digits(text, 2, 2)?, self.month.insert(0)),
            Part::NumberMonth => (digits(text, 1, 2)?, self.month.insert(0)),
            Part::ZeroDay => (digits(text, 2, 2)?, self.day.insert(0)),
            Part::Day => (digits(text, 1, 2)?, self.day.insert(0)),
            Part::UnderDay => (digits(unspaced, 1, 2)?, self.day.insert(0)),
            Part::UnderYearDay => (digits(text.trim_start_matches(' '), 1, 3)?, self.year_day.insert(0)),
            Part::ZeroYearDay => (digits(text, 3, 3)?, self.year_day.insert(0)),
            Part::Hour => (digits(text, 1, 2)?, &mut self.hour),
            Part::Hour12 => (digits(text, 1, 2)?, &mut self.hour),
            Part::ZeroHour12 => (digits(text, 2, 2)?, &mut self.hour),
            Part::Minute => (digits(text, 1, 2)?, &mut self.minute),
            Part::ZeroMinute => (digits(text, 2, 2)?, &mut self.minute),
            Part::Second => (digits(text, 1, 2)?, &mut self.second),
            Part::ZeroSecond => (digits(text, 2, 2)?, &mut self.second),
        };
        *place = rest.0;
        Some(rest.1)
    }

    /// Digits behind a point or a comma: so many, or all that there are.
    fn fraction<'t>(&mut self, text: &'t str, exactly: Option<usize>) -> Option<&'t str> {
        let behind = text.strip_prefix(['.', ','])?;
        let count = behind.bytes().take_while(u8::is_ascii_digit).count();
        let count = exactly.map_or(count, |exactly| exactly.min(count));
        let (digits, rest) = behind.split_at_checked(count).filter(|_| count > 0)?;
        if exactly.is_some_and(|exactly| exactly != count) || count > 9 && exactly.is_some() {
            return None;
        }
        self.nanosecond = format!("{digits:0<9}").get(..9)?.parse().ok()?;
        Some(rest)
    }

    /// Three to five capital letters, as in `UTC` or `GMT+3`.
    fn zone_name<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        if let Some(rest) = text.strip_prefix("UTC") {
            self.is_utc = true;
            return Some(rest);
        }
        let letters = text.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
        let (name, rest) = text.split_at_checked(letters).filter(|_| (3..=5).contains(&letters))?;
        self.zone = name.to_owned();
        Some(rest)
    }

    fn offset<'t>(&mut self, text: &'t str, z: bool, colon: bool, parts: u8) -> Option<&'t str> {
        if let Some(rest) = text.strip_prefix('Z').filter(|_| z) {
            self.is_utc = true;
            return Some(rest);
        }
        let (sign, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+')?),
        };
        let mut seconds = 0;
        for (at, (unit_s, most)) in [(3_600, 24), (60, 60), (1, 60)].into_iter().take(usize::from(parts)).enumerate() {
            if at > 0 && colon {
                rest = rest.strip_prefix(':')?;
            }
            let (number, behind) = digits(rest, 2, 2).filter(|(number, _)| *number <= most)?;
            seconds += i32::try_from(number).ok()? * unit_s;
            rest = behind;
        }
        self.offset_s = Some(sign * seconds);
        Some(rest)
    }

    fn date(&self) -> Option<NaiveDate> {
        let year = self.year.unwrap_or(0);
        let Some(year_day) = self.year_day else {
            return NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1));
        };
        let date =
            NaiveDate::from_ymd_opt(year, 1, 1)?.checked_add_days(Days::new(u64::from(year_day.checked_sub(1)?)))?;
        let differs =
            self.month.is_some_and(|month| month != date.month()) || self.day.is_some_and(|day| day != date.day());
        (date.year() == year && !differs).then_some(date)
    }

    /// The time that was read, whose zone is this where it says none.
    fn time(self, zone: &Zone) -> Option<Time> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let local = self.date()?.and_hms_nano_opt(hour, self.minute, self.second, self.nanosecond)?;
        if self.is_utc && self.offset_s.is_none() {
            return Some(Time { utc: local.and_utc(), zone: Zone::Utc });
        }
        if let Some(offset_s) = self.offset_s {
            let utc = shifted(local, -offset_s);
            let (there_s, there) = zone.at(utc);
            let is_there = there_s == offset_s && (self.zone.is_empty() || self.zone == there);
            let zone = if is_there { zone.clone() } else { Zone::Fixed(offset_s, self.zone) };
            return Some(Time { utc: utc.and_utc(), zone });
        }
        // The offset at the time as if it were UTC, and once more at the time that this gives, as Go looks for it.
        let (guess_s, guessed) = zone.at(local);
        let (offset_s, name) = zone.at(shifted(local, -guess_s));
        if !self.zone.is_empty() && self.zone != name && self.zone != guessed {
            // A name that is not known there says nothing of where it lies.
            return Some(Time { utc: local.and_utc(), zone: Zone::Fixed(0, self.zone) });
        }
        Some(Time { utc: shifted(local, -offset_s).and_utc(), zone: zone.clone() })
    }
}
