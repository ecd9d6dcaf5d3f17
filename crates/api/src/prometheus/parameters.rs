//! What was asked? The parameters of a URL and of a form, and the times, durations and limits in them, read as Prometheus reads them.

use axum::extract::Request;
use causeway_diagnose::Time;
use causeway_promql::{Matcher, parse_duration_ms, parse_selectors, quote};
use http::{HeaderMap, Method, header};

use super::failure::Failure;
use crate::{Desk, json};

/// Bytes of a form: a query may have 1 MiB, and each byte of it may be written as three.
const FORM_BYTES_MAX: usize = 4 << 20;
/// Parameters of one request: hundreds of times what dashboards send.
const PARAMETERS_MAX: usize = 10_000;
/// `match[]` of one request: each may hold expressions that take memory of their own.
const SELECTORS_MAX: usize = 100;

/// Prometheus' smallest and largest time in milliseconds; clients send them for "everything".
pub const TIME_MS_MIN: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// The largest.
pub const TIME_MS_MAX: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;
/// How Prometheus writes them, which no reader of RFC 3339 understands.
const TIMES_AT_THE_EDGE: [(&str, i64); 2] =
    [("-292273086-05-16T16:47:06Z", TIME_MS_MIN), ("292277025-08-18T07:12:54.999999999Z", TIME_MS_MAX)];

/// Names and values, those of a form before those of the URL.
#[derive(Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl FromIterator<(String, String)> for Parameters {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Parameters {
    /// Those of a request.
    pub async fn read(desk: &Desk, request: Request) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let mut parameters = Self::default();
        if parts.method == Method::POST {
            let body = json::take(desk, &parts.headers, body, FORM_BYTES_MAX).await.map_err(Failure::unreadable)?;
            if !body.is_empty() && !is_form(&parts.headers) {
                return Err(Failure::bad_data("send a form: Content-Type: application/x-www-form-urlencoded"));
            }
            parameters.add(&body)?;
        }
        parameters.add(parts.uri.query().unwrap_or_default().as_bytes())?;
        Ok(parameters)
    }

    /// Those of a request's URL alone, as its body is something else.
    pub fn of_query(request: &Request) -> Result<Self, Failure> {
        let mut parameters = Self::default();
        parameters.add(request.uri().query().unwrap_or_default().as_bytes())?;
        Ok(parameters)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn add(&mut self, text: &[u8]) -> Result<(), Failure> {
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if self.0.len() >= PARAMETERS_MAX {
                return Err(Failure::bad_data(format!("more than {PARAMETERS_MAX} parameters")));
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            self.0.push((decoded(name)?, decoded(value)?));
        }
        Ok(())
    }

    /// The first value, empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(each, _)| each == name).map_or("", |(_, value)| value.as_str())
    }

    /// All values.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    /// A time that must be there, in milliseconds since 1970.
    pub fn time(&self, name: &str) -> Result<i64, Failure> {
        time_ms(self.get(name)).map_err(|why| Failure::parameter(name, why))
    }

    /// A time that may be left out.
    pub fn time_or(&self, name: &str, default_ms: i64) -> Result<i64, Failure> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(default_ms);
        }
        time_ms(text).map_err(|why| Failure::parameter(name, format!("invalid time value for '{name}': {why}")))
    }

    /// A duration in milliseconds that may be left out.
    pub fn duration(&self, name: &str) -> Result<Option<i64>, Failure> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        duration_ms(text).map(Some).map_err(|why| Failure::parameter(name, why))
    }

    /// `limit`; 0 where there is none.
    pub fn limit(&self) -> Result<usize, Failure> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(0);
        }
        let number = integer(text).map_err(|why| Failure::parameter("limit", why))?;
        usize::try_from(number).map_err(|_| Failure::parameter("limit", "limit must be non-negative"))
    }

    /// A count that is left out or negative where there is no limit.
    pub fn count(&self, name: &str) -> Result<Option<usize>, Failure> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        let number = integer(text).map_err(|_| Failure::bad_data(format!("{name} must be a number")))?;
        Ok(usize::try_from(number).ok())
    }

    /// The selectors of `match[]`; none of them may fit everything.
    pub fn selectors(&self) -> Result<Vec<Vec<Matcher>>, String> {
        if self.all("match[]").count() > SELECTORS_MAX {
            return Err(format!("more than {SELECTORS_MAX} match[] parameters"));
        }
        let selectors = parse_selectors(self.all("match[]")).map_err(|error| error.to_string())?;
        let all_empty = |selector: &Vec<Matcher>| selector.iter().all(|matcher| matcher.matches(""));
        if selectors.iter().any(all_empty) {
            return Err("match[] must contain at least one non-empty matcher".to_owned());
        }
        Ok(selectors)
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Undoes the escapes of a form.
fn decoded(text: &[u8]) -> Result<String, Failure> {
    let refused = |at: &[u8]| {
        let escape = String::from_utf8_lossy(at.get(..3).unwrap_or(at));
        Failure::bad_data(format!("error parsing form values: invalid URL escape {}", quote(&escape)))
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'+' => {
                out.push(b' ');
                after
            }
            b'%' => {
                let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(refused(rest)) };
                out.push((high << 4 | low) as u8);
                after.get(2..).unwrap_or_default()
            }
            _ => {
                out.push(*byte);
                after
            }
        };
    }
    String::from_utf8(out).map_err(|_| Failure::bad_data("error parsing form values: not UTF-8"))
}

/// A time in milliseconds since 1970: seconds as a number, or RFC 3339.
fn time_ms(text: &str) -> Result<i64, String> {
    let refused = || format!("cannot parse {} to a valid timestamp", quote(text));
    if let Ok(seconds) = text.parse::<f64>() {
        // Seconds and thousandths apart, as a product of both would lose the last digits.
        let whole_ms = seconds.trunc() * 1000.0;
        let ms = whole_ms + (seconds.fract() * 1000.0).round();
        let reached = ms >= TIME_MS_MIN as f64 && ms <= TIME_MS_MAX as f64;
        return if reached { Ok(ms as i64) } else { Err(refused()) };
    }
    if let Some((_, edge_ms)) = TIMES_AT_THE_EDGE.iter().find(|(edge, _)| *edge == text) {
        return Ok(*edge_ms);
    }
    Time::parse(text).map(|time| time.0.div_euclid(1_000_000)).map_err(|_| refused())
}

/// A duration in milliseconds: seconds as a number, or units as in PromQL. Parts of a millisecond are cut off.
pub fn duration_ms(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        // Prometheus counts nanoseconds in 64 bits.
        let nanoseconds = seconds * 1e9;
        if !(i64::MIN as f64..=i64::MAX as f64).contains(&nanoseconds) {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quote(text)));
        }
        return Ok((nanoseconds.round() / 1e6) as i64);
    }
    parse_duration_ms(text).map_err(|_| format!("cannot parse {} to a valid duration", quote(text)))
}

/// A whole number, refused as Go does.
fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let why = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {}: {why}", quote(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_dates() {
        for (text, ms) in [
            ("1435781451.781", 1_435_781_451_781),
            ("-1.5", -1500),
            ("1e3", 1_000_000),
            ("0", 0),
            ("4000000000", 4_000_000_000_000),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
            ("2015-07-01T22:10:51.781+02:00", 1_435_781_451_781),
            ("-292273086-05-16T16:47:06Z", TIME_MS_MIN),
            ("292277025-08-18T07:12:54.999999999Z", TIME_MS_MAX),
        ] {
            assert_eq!(time_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "now", "NaN", "inf", "1e300", "2015-07-01", "2015-07-01T20:10:51"] {
            assert_eq!(time_ms(text), Err(format!("cannot parse {text:?} to a valid timestamp")));
        }
    }

    #[test]
    fn durations_are_seconds_or_units() {
        for (text, ms) in [("15", 15_000), ("0.5", 500), ("1m30s", 90_000), ("-1", -1000), ("0.0001", 0), ("0.29", 290)]
        {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        assert_eq!(duration_ms("1.5h"), Err("cannot parse \"1.5h\" to a valid duration".into()));
        assert_eq!(duration_ms("1e11"), Err("cannot parse \"1e11\" to a valid duration. It overflows int64".into()));
        assert!(duration_ms("NaN").is_err());
    }

    #[test]
    fn forms_are_decoded() {
        let mut parameters = Parameters::default();
        parameters.add(b"query=up%7Bjob%3D%22a+b%22%7D&match[]=a&&match%5B%5D=b&empty&x=1=2").unwrap();
        assert_eq!(parameters.get("query"), "up{job=\"a b\"}");
        assert_eq!(parameters.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((parameters.get("empty"), parameters.get("x"), parameters.get("none")), ("", "1=2", ""));
        for text in ["a=%zz", "a=%", "a=%4", "a=%ff"] {
            assert!(parameters.add(text.as_bytes()).is_err(), "{text}");
        }
    }
}
