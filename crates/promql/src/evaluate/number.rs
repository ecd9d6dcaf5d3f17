//! How are numbers and times written? As Prometheus writes them, which is as Go does.

use causeway_model::format_float;

/// As the value of a label: a whole number gets `.0`, as OpenMetrics wants it.
pub(super) fn open_metrics(value: f64) -> String {
    let text = format_float(value);
    if text.contains(['.', 'e', 'N', 'I']) { text } else { text + ".0" }
}

/// A day in the proleptic Gregorian calendar and the second in it, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 1 to 366.
    pub day_of_year: i64,
    /// 0 is Sunday.
    pub weekday: i64,
    /// Seconds since midnight.
    pub second: i64,
}

const DAYS_BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

impl Moment {
    /// From seconds since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
    pub fn new(seconds: i64) -> Self {
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days since the first of March of the year 0, so that the leap day is the last of its year.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
        let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let before = DAYS_BEFORE_MONTH.get((month - 1) as usize).copied().unwrap_or(0);
        let day_of_year = before + day + i64::from(month > 2 && is_leap(year));
        Self { year, month, day, day_of_year, weekday: (days + 4).rem_euclid(7), second }
    }

    /// 28 to 31.
    pub fn days_in_month(&self) -> i64 {
        match self.month {
            2 => 28 + i64::from(is_leap(self.year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// `2006-01-02T15:04:05Z`.
pub(super) fn rfc3339(seconds: i64) -> String {
    let at = Moment::new(seconds);
    let (hour, minute, second) = (at.second / 3600, at.second / 60 % 60, at.second % 60);
    format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", at.year, at.month, at.day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_in_go() {
        assert_eq!((open_metrics(1.0), open_metrics(0.5)), ("1.0".into(), "0.5".into()));
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(rfc3339(1_709_210_096), "2024-02-29T12:34:56Z");
        let leap_day = Moment::new(1_709_210_096);
        assert_eq!((leap_day.day_of_year, leap_day.weekday, leap_day.days_in_month()), (60, 4, 29));
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
        assert_eq!(Moment::new(-1).day_of_year, 365);
    }
}
