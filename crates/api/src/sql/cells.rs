//! How is one value written? Ids as hex, times as RFC 3339 with nanoseconds, integers as JSON numbers in full, NaN and
//! infinities as strings, bytes as base64, lists as arrays, maps and structs as objects.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Date32Type, Date64Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway_model::{Result, json_escape_into};

/// Writes the value of one row.
pub type Cell<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// Where values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Into JSON.
    Json,
    /// Into plain text (CSV): strings without quotes, null as nothing; lists and maps are JSON still.
    Text,
}

impl Style {
    fn string(self, text: &str, out: &mut String) {
        match self {
            Self::Json => json_escape_into(text, out),
            Self::Text => out.push_str(text),
        }
    }
}

/// A writer for one column.
///
/// # Errors
/// `Internal` for a type that Arrow itself can't print.
pub fn cell_writer(array: &ArrayRef, style: Style) -> Result<Cell<'_>> {
    let write = value_writer(array, style)?;
    if array.logical_null_count() == 0 {
        return Ok(write);
    }
    let nulls = array.logical_nulls();
    Ok(Box::new(move |row, out| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.push_str(if style == Style::Json { "null" } else { "" });
        } else {
            write(row, out);
        }
    }))
}

fn value_writer(array: &ArrayRef, style: Style) -> Result<Cell<'_>> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(move |_, out| out.push_str(if style == Style::Json { "null" } else { "" })),
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| out.push_str(if array.value(row) { "true" } else { "false" }))
        }
        integer if integer.is_integer() => integers(array),
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            // By way of its shortest text: 0.1 stays 0.1.
            Box::new(move |row, out| {
                float(
                    array.value(row).is_finite(),
                    f64::from(array.value(row)),
                    &format!("{:?}", array.value(row)),
                    style,
                    out,
                )
            })
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            Box::new(move |row, out| {
                let value = array.value(row);
                float(value.is_finite(), value, &format!("{value:?}"), style, out);
            })
        }
        DataType::Utf8 => strings(array.as_string::<i32>(), style),
        DataType::LargeUtf8 => strings(array.as_string::<i64>(), style),
        DataType::Utf8View => {
            let array = array.as_string_view();
            Box::new(move |row, out| style.string(array.value(row), out))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            bytes(array, style)
        }
        DataType::Timestamp(unit, _) => timestamps(array, *unit, style),
        DataType::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            Box::new(move |row, out| dates(i64::from(array.value(row)), style, out))
        }
        DataType::Date64 => {
            let array = array.as_primitive::<Date64Type>();
            Box::new(move |row, out| dates(array.value(row).div_euclid(86_400_000), style, out))
        }
        DataType::List(_) => lists(array.as_list::<i32>())?,
        DataType::LargeList(_) => lists(array.as_list::<i64>())?,
        DataType::Map(..) => maps(array.as_map())?,
        DataType::Struct(_) => structs(array.as_struct())?,
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let keys = dictionary.normalized_keys();
            let write = cell_writer(dictionary.values(), style)?;
            Box::new(move |row, out| {
                if let Some(key) = keys.get(row) {
                    write(*key, out);
                }
            })
        }
        _ => printed(array, style)?,
    })
}

fn integers(array: &ArrayRef) -> Cell<'_> {
    match array.data_type() {
        DataType::Int8 => number::<Int8Type>(array),
        DataType::Int16 => number::<Int16Type>(array),
        DataType::Int32 => number::<Int32Type>(array),
        DataType::UInt8 => number::<UInt8Type>(array),
        DataType::UInt16 => number::<UInt16Type>(array),
        DataType::UInt32 => number::<UInt32Type>(array),
        DataType::UInt64 => number::<UInt64Type>(array),
        _ => number::<Int64Type>(array),
    }
}

fn number<T: ArrowPrimitiveType>(array: &ArrayRef) -> Cell<'_>
where
    T::Native: std::fmt::Display,
{
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{}", array.value(row));
    })
}

/// JSON has no NaN and no infinities.
fn float(finite: bool, value: f64, text: &str, style: Style, out: &mut String) {
    if finite {
        out.push_str(text);
    } else if value.is_nan() {
        style.string("NaN", out);
    } else {
        style.string(if value > 0.0 { "Infinity" } else { "-Infinity" }, out);
    }
}

fn strings<O: OffsetSizeTrait>(array: &arrow::array::GenericStringArray<O>, style: Style) -> Cell<'_> {
    Box::new(move |row, out| style.string(array.value(row), out))
}

fn bytes(array: &ArrayRef, style: Style) -> Cell<'_> {
    let base64 = move |bytes: &[u8], out: &mut String| style.string(&STANDARD.encode(bytes), out);
    match array.data_type() {
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            Box::new(move |row, out| {
                let mut hex = String::with_capacity(array.value(row).len() * 2);
                for byte in array.value(row) {
                    let _ = write!(hex, "{byte:02x}");
                }
                style.string(&hex, out);
            })
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            Box::new(move |row, out| base64(array.value(row), out))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            Box::new(move |row, out| base64(array.value(row), out))
        }
        _ => {
            let array = array.as_binary::<i32>();
            Box::new(move |row, out| base64(array.value(row), out))
        }
    }
}

fn timestamps(array: &ArrayRef, unit: TimeUnit, style: Style) -> Cell<'_> {
    let value: Box<dyn Fn(usize) -> i64 + '_> = match unit {
        TimeUnit::Second => Box::new(move |row| array.as_primitive::<TimestampSecondType>().value(row)),
        TimeUnit::Millisecond => Box::new(move |row| array.as_primitive::<TimestampMillisecondType>().value(row)),
        TimeUnit::Microsecond => Box::new(move |row| array.as_primitive::<TimestampMicrosecondType>().value(row)),
        TimeUnit::Nanosecond => Box::new(move |row| array.as_primitive::<TimestampNanosecondType>().value(row)),
    };
    let per_second: i64 = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    Box::new(move |row, out| {
        let value = value(row);
        let (seconds, rest) = (value.div_euclid(per_second), value.rem_euclid(per_second));
        let text = rfc3339(seconds, rest * (1_000_000_000 / per_second));
        style.string(&text, out);
    })
}

/// All our times are UTC.
fn rfc3339(unix_seconds: i64, nanos: i64) -> String {
    let (day, second) = (unix_seconds.div_euclid(86_400), unix_seconds.rem_euclid(86_400));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z", date(day))
}

fn dates(unix_day: i64, style: Style, out: &mut String) {
    style.string(&date(unix_day), out);
}

/// Days since 1970 as a date of the proleptic Gregorian calendar (Hinnant: "chrono-compatible low-level date algorithms").
fn date(unix_day: i64) -> String {
    let shifted = unix_day.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn lists<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> Result<Cell<'_>> {
    let write = cell_writer(array.values(), Style::Json)?;
    Ok(Box::new(move |row, out| {
        let range = array.value_offsets().get(row..row + 2).unwrap_or_default();
        let [start, end] = range else { return };
        out.push('[');
        for (item, position) in (start.as_usize()..end.as_usize()).enumerate() {
            if item > 0 {
                out.push(',');
            }
            write(position, out);
        }
        out.push(']');
    }))
}

fn maps(array: &MapArray) -> Result<Cell<'_>> {
    let key = cell_writer(array.keys(), Style::Text)?;
    let value = cell_writer(array.values(), Style::Json)?;
    Ok(Box::new(move |row, out| {
        let range = array.value_offsets().get(row..row + 2).unwrap_or_default();
        let [start, end] = range else { return };
        out.push('{');
        let mut text = String::new();
        for (item, position) in (start.as_usize()..end.as_usize()).enumerate() {
            if item > 0 {
                out.push(',');
            }
            text.clear();
            key(position, &mut text);
            json_escape_into(&text, out);
            out.push(':');
            value(position, out);
        }
        out.push('}');
    }))
}

fn structs(array: &StructArray) -> Result<Cell<'_>> {
    let mut members = Vec::with_capacity(array.num_columns());
    for (field, column) in array.fields().iter().zip(array.columns()) {
        let mut name = String::new();
        json_escape_into(field.name(), &mut name);
        members.push((name, cell_writer(column, Style::Json)?));
    }
    Ok(Box::new(move |row, out| {
        out.push('{');
        for (item, (name, write)) in members.iter().enumerate() {
            if item > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push(':');
            write(row, out);
        }
        out.push('}');
    }))
}

/// Types that only calculations bring about (decimals, intervals, durations): as Arrow prints them. A decimal is a JSON number.
fn printed(array: &ArrayRef, style: Style) -> Result<Cell<'_>> {
    let decimal = array.data_type().is_decimal();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &PRINTED)?;
    Ok(Box::new(move |row, out| {
        let text = formatter.value(row).to_string();
        if decimal { out.push_str(&text) } else { style.string(&text, out) }
    }))
}

const PRINTED: FormatOptions<'static> = FormatOptions::new();

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::Int32Type;

    use super::*;

    fn written(array: impl Array + 'static, style: Style) -> Vec<String> {
        let array: ArrayRef = Arc::new(array);
        let cell = cell_writer(&array, style).unwrap();
        (0..array.len())
            .map(|row| {
                let mut out = String::new();
                cell(row, &mut out);
                out
            })
            .collect()
    }

    #[test]
    fn values_keep_what_json_would_lose() {
        let json = Style::Json;
        assert_eq!(written(Int64Array::from(vec![Some(i64::MAX), None]), json), ["9223372036854775807", "null"]);
        assert_eq!(written(UInt64Array::from(vec![u64::MAX]), json), ["18446744073709551615"]);
        let floats = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, 1.0, 1e300, -0.0];
        let expected = ["\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "0.1", "1.0", "1e300", "-0.0"];
        assert_eq!(written(Float64Array::from(floats), json), expected);
        assert_eq!(written(Float32Array::from(vec![0.1f32]), json), ["0.1"]);
        assert_eq!(written(StringArray::from(vec!["a\"\n"]), json), ["\"a\\\"\\n\""]);
        assert_eq!(written(BinaryArray::from(vec![&[0u8, 255][..]]), json), ["\"AP8=\""]);
        let ids = FixedSizeBinaryArray::try_from_iter([[0u8, 0xab].as_slice()].into_iter()).unwrap();
        assert_eq!(written(ids, json), ["\"00ab\""]);
        assert_eq!(
            written(Decimal128Array::from(vec![12345]).with_precision_and_scale(9, 2).unwrap(), json),
            ["123.45"]
        );
        assert_eq!(written(StringArray::from(vec![Some("a\"b"), None]), Style::Text), ["a\"b", ""]);
    }

    #[test]
    fn times_are_right_from_1677_to_2262() {
        let times = vec![0, 1, -1, i64::MAX, i64::MIN, 951_782_400_000_000_000];
        let array = TimestampNanosecondArray::from(times.clone()).with_timezone("UTC");
        let expected = [
            "\"1970-01-01T00:00:00.000000000Z\"",
            "\"1970-01-01T00:00:00.000000001Z\"",
            "\"1969-12-31T23:59:59.999999999Z\"",
            "\"2262-04-11T23:47:16.854775807Z\"",
            "\"1677-09-21T00:12:43.145224192Z\"",
            "\"2000-02-29T00:00:00.000000000Z\"",
        ];
        assert_eq!(written(array, Style::Json), expected);
        assert_eq!(written(TimestampMillisecondArray::from(vec![-1]), Style::Text), ["1969-12-31T23:59:59.999000000Z"]);
        assert_eq!(written(Date32Array::from(vec![-1, 11_016]), Style::Text), ["1969-12-31", "2000-02-29"]);
    }

    #[test]
    fn nested_values_are_json_in_every_style() {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
        assert_eq!(written(lists.clone(), Style::Json), ["[1,null]", "null", "[]"]);
        assert_eq!(written(lists.slice(2, 1), Style::Text), ["[]"]);
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        maps.keys().append_value("k\"");
        maps.values().append_value("v");
        maps.append(true).unwrap();
        assert_eq!(written(maps.finish(), Style::Json), ["{\"k\\\"\":\"v\"}"]);
        let dictionary: DictionaryArray<Int32Type> = [Some("x"), None, Some("x")].into_iter().collect();
        assert_eq!(written(dictionary, Style::Json), ["\"x\"", "null", "\"x\""]);
    }
}
