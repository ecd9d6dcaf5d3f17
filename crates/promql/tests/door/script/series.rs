//! Which points does a line of a script say? `name{label="value"} 1 2+3x2 _ stale {{schema:1 sum:3}}`

use causeway_model::{BucketSpan, Histogram, Labels, ResetHint};
use causeway_promql::{MatchOperator, Samples, parse_duration_ms, parse_selector};

/// One point of a sequence.
#[derive(Debug, Clone)]
pub enum Point {
    /// None at this step.
    Gap,
    Float(f64),
    /// With whether its reset hint was written, as only then it is compared.
    Histogram(Histogram, bool),
}

/// A line.
#[derive(Debug, Clone)]
pub struct Series {
    pub labels: Labels,
    /// Whether the points are starts relative to the times of the samples (`name@st`).
    pub starts: bool,
    pub points: Vec<Point>,
}

pub fn read_series(line: &str) -> Result<Series, String> {
    let end = name_end(line);
    let (name, rest) = line.split_at(end);
    let (starts, rest) = match rest.strip_prefix("@st") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let matchers = parse_selector(name).map_err(|error| format!("{name}: {error}"))?;
    if matchers.iter().any(|matcher| matcher.operator() != MatchOperator::Equal) {
        return Err(format!("{name} names no series"));
    }
    let labels = Labels::new(matchers.iter().map(|matcher| (matcher.name(), matcher.value())));
    let mut points = Vec::new();
    for item in items(rest) {
        read_item(&item, &mut points).map_err(|error| format!("{item}: {error}"))?;
    }
    Ok(Series { labels, starts, points })
}

/// Where the name with its labels ends.
fn name_end(line: &str) -> usize {
    let (mut quote, mut braces, mut escaped) = (None, false, false);
    for (at, character) in line.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(open), '\\') if open != '`' => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(character),
            (None, '{') => braces = true,
            (None, '}') => return at + 1,
            (None, ' ' | '\t' | '@') if !braces => return at,
            _ => {}
        }
    }
    line.len()
}

/// The words of a sequence; spaces in double braces part none.
fn items(text: &str) -> Vec<String> {
    let (mut items, mut item, mut rest) = (Vec::new(), String::new(), text);
    while let Some(character) = rest.chars().next() {
        if rest.starts_with("{{") {
            let end = rest.find("}}").map_or(rest.len(), |end| end + 2);
            item += &rest[..end];
            rest = &rest[end..];
            continue;
        }
        rest = &rest[character.len_utf8()..];
        if character.is_whitespace() {
            items.extend((!item.is_empty()).then(|| std::mem::take(&mut item)));
        } else {
            item.push(character);
        }
    }
    items.extend((!item.is_empty()).then_some(item));
    items
}

fn read_item(item: &str, points: &mut Vec<Point>) -> Result<(), String> {
    // The first point stands for itself, the repetitions come on top, but for gaps.
    let (item, times) = match item.rsplit_once('x').map(|(before, times)| (before, times.parse::<usize>())) {
        Some((before, Ok(times))) => (before, Some(times)),
        _ => (item, None),
    };
    if item == "_" {
        points.extend(std::iter::repeat_n(Point::Gap, times.unwrap_or(1)));
        return Ok(());
    }
    let times = times.unwrap_or(0);
    if let Some(first) = item.strip_prefix("{{") {
        let (first, rest) = first.split_once("}}").ok_or("no end of the histogram")?;
        let (mut histogram, mut hinted) = read_histogram(first)?;
        points.push(Point::Histogram(histogram.clone(), hinted));
        let step = rest.strip_prefix(['+', '-']).and_then(|step| step.strip_prefix("{{")?.strip_suffix("}}"));
        if step.is_none() && !rest.is_empty() {
            return Err("what follows the histogram can't be read".into());
        }
        let step = step.map(read_histogram).transpose()?;
        for _ in 0..times {
            if let Some((step, step_hinted)) = &step {
                hinted = *step_hinted;
                let result = if rest.starts_with('+') { histogram.add(step) } else { histogram.subtract(step) };
                result.map_err(|error| error.to_string())?;
            }
            points.push(Point::Histogram(histogram.clone(), hinted));
        }
        return Ok(());
    }
    let (mut value, step) = match sign_within(item) {
        Some(at) => (read_number(&item[..at])?, read_number(&item[at..])?),
        None => (read_number(item)?, 0.0),
    };
    for at in 0..=times {
        if at > 0 && step != 0.0 {
            value += step;
        }
        points.push(Point::Float(value));
    }
    Ok(())
}

/// The sign between a value and its step, which belongs to no exponent.
fn sign_within(item: &str) -> Option<usize> {
    let bytes = item.as_bytes();
    (1..bytes.len()).find(|at| matches!(bytes[*at], b'+' | b'-') && !matches!(bytes[*at - 1], b'e' | b'E'))
}

pub fn read_number(text: &str) -> Result<f64, String> {
    if text == "stale" {
        return Ok(f64::from_bits(Samples::STALE));
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = match digits.parse::<f64>() {
        Ok(number) => number,
        Err(_) => parse_duration_ms(digits)? as f64 / 1000.0,
    };
    Ok(if negative { -number } else { number })
}

/// `key:value key:[1 2]`, and whether the reset hint was among them.
fn read_histogram(text: &str) -> Result<(Histogram, bool), String> {
    let (mut histogram, mut hinted) = (Histogram::default(), false);
    let (mut offset, mut negative_offset) = (0, 0);
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once(':') {
        let (value, after) = if let Some(list) = after.strip_prefix('[') {
            list.split_once(']').ok_or("no end of the list")?
        } else {
            after.split_once(' ').unwrap_or((after, ""))
        };
        rest = after.trim_start();
        let number = || read_number(value);
        let list = || value.split_whitespace().map(read_number).collect::<Result<Vec<_>, _>>();
        let whole = || value.parse::<i32>().map_err(|error| error.to_string());
        match key {
            "schema" => histogram.schema = whole()?,
            "sum" => histogram.sum = number()?,
            "count" => histogram.count = number()?,
            "z_bucket" => histogram.zero_count = number()?,
            "z_bucket_w" => histogram.zero_threshold = number()?,
            "custom_values" => histogram.custom_values = list()?,
            "buckets" => histogram.positive_buckets = list()?,
            "n_buckets" => histogram.negative_buckets = list()?,
            "offset" => offset = whole()?,
            "n_offset" => negative_offset = whole()?,
            "counter_reset_hint" => {
                hinted = true;
                histogram.reset_hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "gauge" => ResetHint::Gauge,
                    _ => return Err(format!("no reset hint: {value}")),
                };
            }
            _ => return Err(format!("no part of a histogram: {key}")),
        }
    }
    if !rest.is_empty() {
        return Err(format!("no part of a histogram: {rest}"));
    }
    let spans = |offset, buckets: &[f64]| {
        let length = u32::try_from(buckets.len()).unwrap_or(u32::MAX);
        if length == 0 { Vec::new() } else { vec![BucketSpan { offset, length }] }
    };
    histogram.positive_spans = spans(offset, &histogram.positive_buckets);
    histogram.negative_spans = spans(negative_offset, &histogram.negative_buckets);
    Ok((histogram, hinted))
}
