//! Which day, hour or minute is a time in? In UTC.

use super::super::number::Moment;
use crate::ast::Function;

/// A part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Hour,
    Minute,
    Month,
    Year,
}

/// The part that a function gives.
pub(super) fn field(function: Function) -> Option<Field> {
    Some(match function {
        Function::DayOfMonth => Field::DayOfMonth,
        Function::DayOfWeek => Field::DayOfWeek,
        Function::DayOfYear => Field::DayOfYear,
        Function::DaysInMonth => Field::DaysInMonth,
        Function::Hour => Field::Hour,
        Function::Minute => Field::Minute,
        Function::Month => Field::Month,
        Function::Year => Field::Year,
        _ => return None,
    })
}

/// That part of a moment, in seconds since 1970.
pub(super) fn of(field: Field, seconds: i64) -> f64 {
    let moment = Moment::new(seconds);
    let number = match field {
        Field::DayOfMonth => moment.day,
        Field::DayOfWeek => moment.weekday,
        Field::DayOfYear => moment.day_of_year,
        Field::DaysInMonth => moment.days_in_month(),
        Field::Hour => moment.second / 3600,
        Field::Minute => moment.second / 60 % 60,
        Field::Month => moment.month,
        Field::Year => moment.year,
    };
    number as f64
}
