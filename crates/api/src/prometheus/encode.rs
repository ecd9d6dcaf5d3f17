//! Which JSON does a query's value become? Prometheus' own (web/api/v1/json_codec.go, util/jsonutil), written in pieces straight
//! from the points: a range answer holds millions of them.

use std::fmt::Write as _;
use std::vec::IntoIter;

use causeway_model::{Histogram, Labels, json_escape_into};
use causeway_promql::{Annotations, Number, SeriesPoints, Value, VectorSample};
use std::sync::Arc;

/// A piece is handed on when it has this size: some thousand points, which take a fraction of a millisecond.
pub const PIECE_BYTES: usize = 64 << 10;
/// Warnings, and infos, in one answer; as in Prometheus.
const ANNOTATIONS_MAX: usize = 10;
/// What an answer says that a limit has cut.
pub const TRUNCATED: &str = "results truncated due to limit";

/// Writes a time in milliseconds as seconds.
pub fn timestamp(time_ms: i64, out: &mut String) {
    if time_ms < 0 {
        out.push('-');
    }
    let (seconds, thousandths) = (time_ms.unsigned_abs() / 1000, time_ms.unsigned_abs() % 1000);
    integer(seconds, 0, out);
    if thousandths != 0 {
        out.push('.');
        integer(thousandths, 3, out);
    }
}

/// Writes an integer of at least so many digits: several times faster than the standard library's way through a formatter.
fn integer(mut value: u64, digits_min: usize, out: &mut String) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        first = at;
        if value == 0 {
            break;
        }
    }
    let first = first.min(digits.len().saturating_sub(digits_min));
    out.push_str(std::str::from_utf8(digits.get(first..).unwrap_or_default()).unwrap_or_default());
}

/// Writes a number of at most nine digits before the point and six behind it, as most values are; `false` where it is none.
///
/// These are no more than fifteen digits, of which no two texts mean the same number; and the quotient of two integers is
/// rounded as the text's number would be. So what gives the number back is the shortest text that does.
fn short_decimal(value: f64, out: &mut String) -> bool {
    let size = value.abs();
    let millionths = (size * 1e6).round();
    if size >= 1e9 || millionths / 1e6 != size || (size == 0.0 && value.is_sign_negative()) {
        return false;
    }
    if value < 0.0 {
        out.push('-');
    }
    let millionths = millionths as u64;
    let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
    integer(whole, 0, out);
    if part != 0 {
        out.push('.');
        integer(part, 6, out);
        out.truncate(out.trim_end_matches('0').len());
    }
    true
}

/// Writes a number in quotes: the shortest digits that mean it, with an exponent below 1e-6 and from 1e21.
pub fn float(value: f64, out: &mut String) {
    out.push('"');
    let size = value.abs();
    if value.is_nan() {
        out.push_str("NaN");
    } else if size.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs());
    } else if !short_decimal(value, out) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{value}");
    }
    out.push('"');
}

/// Writes labels as an object.
pub fn labels(labels: &Labels, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json_escape_into(name, out);
        out.push(':');
        json_escape_into(value, out);
    }
    out.push('}');
}

fn histogram(histogram: &Histogram, out: &mut String) {
    out.push_str("{\"count\":");
    float(histogram.count, out);
    out.push_str(",\"sum\":");
    float(histogram.sum, out);
    let mut any = false;
    for bucket in histogram.populated() {
        out.push_str(if any { "," } else { ",\"buckets\":[" });
        any = true;
        let _ = write!(out, "[{}", bucket.boundary_rule());
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.push(',');
            float(number, out);
        }
        out.push(']');
    }
    out.push_str(if any { "]}" } else { "}" });
}

fn point(time_ms: i64, value: f64, out: &mut String) {
    out.push('[');
    timestamp(time_ms, out);
    out.push(',');
    float(value, out);
    out.push(']');
}

fn histogram_point(time_ms: i64, value: &Histogram, out: &mut String) {
    out.push('[');
    timestamp(time_ms, out);
    out.push(',');
    histogram(value, out);
    out.push(']');
}

fn sample(sample: &VectorSample, out: &mut String) {
    out.push_str("{\"metric\":");
    labels(&sample.labels, out);
    match &sample.value {
        Number::Float(value) => {
            out.push_str(",\"value\":");
            point(sample.time_ms, *value, out);
        }
        Number::Histogram(value) => {
            out.push_str(",\"histogram\":");
            histogram_point(sample.time_ms, value, out);
        }
    }
    out.push('}');
}

/// Writes texts as a list.
pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>, out: &mut String) {
    out.push('[');
    for (at, text) in texts.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json_escape_into(text, out);
    }
    out.push(']');
}

/// Ends an answer: what its reader should know, and the closing brace.
pub fn annotations(annotations: &Annotations, out: &mut String) {
    for (name, kind, all) in [("warnings", "warning", &annotations.warnings), ("infos", "info", &annotations.infos)] {
        if all.is_empty() {
            continue;
        }
        let left_out = all.len().saturating_sub(ANNOTATIONS_MAX);
        let more = (left_out > 0).then(|| format!("{left_out} more {kind} annotations omitted"));
        let _ = write!(out, ",\"{name}\":");
        texts(all.iter().take(ANNOTATIONS_MAX).chain(&more).map(String::as_str), out);
    }
    out.push('}');
}

/// What is left to write.
enum Rest {
    Vector(IntoIter<VectorSample>),
    Matrix(IntoIter<SeriesPoints>, Option<Series>),
    Nothing,
}

/// A series that is being written.
struct Series {
    floats: IntoIter<(i64, f64)>,
    histograms: IntoIter<(i64, Arc<Histogram>)>,
    list: List,
}

/// Which list of points is open.
#[derive(PartialEq, Eq)]
enum List {
    None,
    Floats,
    Histograms,
}

/// Writes an answer in pieces.
pub struct Pieces {
    rest: Rest,
    first: bool,
    tail: Option<String>,
    out: String,
}

impl Pieces {
    /// An answer of this value; `time_ms` is the moment that was asked for, `statistics` JSON, where that was asked for.
    pub fn new(value: Value, time_ms: i64, notes: &Annotations, statistics: Option<&str>) -> Self {
        let mut out = String::from("{\"status\":\"success\",\"data\":{\"resultType\":");
        let rest = match value {
            Value::Scalar { time_ms, value } => {
                out.push_str("\"scalar\",\"result\":");
                point(time_ms, value, &mut out);
                Rest::Nothing
            }
            Value::String(text) => {
                out.push_str("\"string\",\"result\":[");
                timestamp(time_ms, &mut out);
                out.push(',');
                json_escape_into(&text, &mut out);
                out.push(']');
                Rest::Nothing
            }
            Value::Vector(samples) => {
                out.push_str("\"vector\",\"result\":[");
                Rest::Vector(samples.into_iter())
            }
            Value::Matrix(series) => {
                out.push_str("\"matrix\",\"result\":[");
                Rest::Matrix(series.into_iter(), None)
            }
        };
        let mut tail = String::from(if matches!(rest, Rest::Nothing) { "" } else { "]" });
        if let Some(statistics) = statistics {
            tail.push_str(",\"stats\":");
            tail.push_str(statistics);
        }
        tail.push('}');
        annotations(notes, &mut tail);
        Self { rest, first: true, tail: Some(tail), out }
    }

    /// Whether all was handed on.
    pub fn is_done(&self) -> bool {
        self.tail.is_none()
    }

    /// The next piece; `None` after the last.
    pub fn next_piece(&mut self) -> Option<String> {
        self.tail.as_ref()?;
        while self.out.len() < PIECE_BYTES {
            if !self.step() {
                self.out.push_str(&self.tail.take().unwrap_or_default());
                break;
            }
        }
        Some(std::mem::take(&mut self.out))
    }

    /// Writes one point, or what stands between two; `false` at the end.
    fn step(&mut self) -> bool {
        let Self { rest, first, out, .. } = self;
        let mut separate = |out: &mut String| {
            if !std::mem::take(first) {
                out.push(',');
            }
        };
        match rest {
            Rest::Nothing => return false,
            Rest::Vector(samples) => {
                let Some(next) = samples.next() else { return false };
                separate(out);
                sample(&next, out);
            }
            Rest::Matrix(all, series) => {
                if series.as_mut().is_some_and(|series| series.step(out)) {
                    return true;
                }
                *series = None;
                let Some(next) = all.next() else { return false };
                separate(out);
                out.push_str("{\"metric\":");
                labels(&next.labels, out);
                let (floats, histograms) = (next.floats.into_iter(), next.histograms.into_iter());
                *series = Some(Series { floats, histograms, list: List::None });
            }
        }
        true
    }
}

impl Series {
    fn step(&mut self, out: &mut String) -> bool {
        if let Some((time_ms, value)) = self.floats.next() {
            out.push_str(if self.list == List::None { ",\"values\":[" } else { "," });
            self.list = List::Floats;
            point(time_ms, value, out);
            return true;
        }
        if let Some((time_ms, value)) = self.histograms.next() {
            out.push_str(match self.list {
                List::None => ",\"histograms\":[",
                List::Floats => "],\"histograms\":[",
                List::Histograms => ",",
            });
            self.list = List::Histograms;
            histogram_point(time_ms, &value, out);
            return true;
        }
        out.push_str(if self.list == List::None { "}" } else { "]}" });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn numbers_are_written_as_prometheus_does() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-3.0, "-3"),
            (0.1, "0.1"),
            (1e15, "1000000000000000"),
            (123_456_789_012_345_680.0, "123456789012345680"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (-1e-6, "-0.000001"),
            (1.25e-7, "1.25e-07"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(written(|out| float(value, out)), format!("\"{text}\""));
        }
        for (time_ms, text) in [
            (0, "0"),
            (1, "0.001"),
            (1_435_781_451_781, "1435781451.781"),
            (10_020, "10.020"),
            (-1500, "-1.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(written(|out| timestamp(time_ms, out)), text);
        }
    }

    #[test]
    fn the_quick_way_writes_what_the_long_way_does() {
        let mut seed = 7u64;
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let scale = [1.0, 10.0, 1e3, 1e5, 1e6, 1e7, 3.0][(seed >> 20) as usize % 7];
            for value in [(seed >> (seed % 60)) as f64 / scale, -((seed >> 40) as f64) / scale] {
                if (1e-6..1e21).contains(&value.abs()) {
                    assert_eq!(written(|out| float(value, out)), format!("\"{value}\""));
                }
            }
        }
        assert_eq!(written(|out| integer(u64::MAX, 0, out)), u64::MAX.to_string());
        assert_eq!(written(|out| integer(7, 3, out)), "007");
    }

    #[test]
    fn pieces_of_any_cut_make_the_same_text() {
        let series = |name: &str, floats: usize| SeriesPoints {
            labels: Labels::new([("__name__", name)]),
            floats: (0..floats).map(|at| (at as i64 * 1000, at as f64)).collect(),
            histograms: vec![(1, Arc::new(Histogram::default())); 2],
        };
        let value = Value::Matrix(vec![series("a", 20_000), series("b", 0), series("c", 20_000)]);
        let mut pieces = Pieces::new(value, 0, &Annotations::default(), None);
        let mut all = Vec::new();
        while let Some(piece) = pieces.next_piece() {
            assert!(piece.len() < PIECE_BYTES + 1000);
            all.push(piece);
        }
        assert!(all.len() > 5 && pieces.is_done());
        let json: serde_json::Value = serde_json::from_str(&all.concat()).unwrap();
        let result = json["data"]["result"].as_array().unwrap();
        assert_eq!(result[2]["values"].as_array().unwrap().len(), 20_000);
        assert_eq!(result[1].get("values"), None);
        assert_eq!(
            result[1]["histograms"],
            serde_json::json!([[0.001, {"count": "0", "sum": "0"}], [0.001, {"count": "0", "sum": "0"}]])
        );
    }

    #[test]
    fn what_is_beyond_ten_annotations_is_counted() {
        let infos = (0..12).map(|at| format!("info {at}")).collect();
        let notes = Annotations { warnings: vec!["w\"".into()], infos };
        let text = written(|out| annotations(&notes, out));
        assert!(text.starts_with(",\"warnings\":[\"w\\\"\"],\"infos\":[\"info 0\","), "{text}");
        assert!(text.ends_with("\"info 9\",\"2 more info annotations omitted\"]}"), "{text}");
    }
}
