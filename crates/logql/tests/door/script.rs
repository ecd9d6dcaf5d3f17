//! What does a script load, ask and expect? `clear`, `load` with lines of streams, `eval instant|range` with the series that it must give.

use causeway_logql::ast::Query;
use causeway_logql::{Entry, LineSource, Lines, Moments, Numbers, Series, Taker, metric, parse};
use causeway_model::{Labels, Result};
use causeway_promql::{Matcher, Options};

const SECOND_NS: i64 = 1_000_000_000;

/// An evaluation that did not give what it must.
pub struct Failure {
    pub line: usize,
    pub query: String,
    pub why: String,
}

type Pairs = Vec<(String, String)>;

struct Kept {
    time_ns: i64,
    stream: Labels,
    text: String,
    metadata: Pairs,
}

#[derive(Default)]
struct Memory {
    lines: Vec<Kept>,
}

impl LineSource for Memory {
    fn visit(&self, wanted: &Lines<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()> {
        let mut sets: Vec<(Labels, Pairs)> = Vec::new();
        // Lines go to all takers in turn, and only what is looked at: what else a query needed would be missing.
        for (at, Kept { time_ns, stream, text, metadata }) in self.lines.iter().enumerate() {
            let matches = |matcher: &Matcher| matcher.matches(stream.get(matcher.name()).unwrap_or_default());
            let passes = wanted.filters.iter().all(|filter| filter.keeps(text));
            if wanted.matchers.iter().all(matches) && passes && wanted.span.contains(*time_ns) {
                let taker = at % takers.len();
                let taker = &mut takers[taker];
                let text = if wanted.text { text } else { "" };
                let stream = &stream.filter(|name| wanted.looked.has(name));
                let mut beside: Pairs = metadata.clone();
                beside.retain(|(name, _)| wanted.looked.has(name));
                let of_number = |(name, _): &(String, String)| Some(name.as_str()) == wanted.number;
                let place = beside.iter().position(of_number).filter(|at| stream.get(&beside[*at].0).is_none());
                let number = place.and_then(|at| beside[at].1.parse().ok());
                if number.is_some() {
                    beside.retain(|pair| !of_number(pair));
                }
                let labels = (stream.clone(), beside.clone());
                let set = sets.iter().position(|other| *other == labels).unwrap_or_else(|| {
                    sets.push(labels);
                    sets.len() - 1
                });
                let metadata: Vec<_> = beside.iter().map(|(name, value)| (name.into(), value.into())).collect();
                let set = u32::try_from(set).ok();
                taker(Entry { time_ns: *time_ns, text, stream, metadata: &metadata, set, count: 1, number })?;
            }
        }
        Ok(())
    }

    fn streams(&self, _: &Lines<'_>, _: &mut dyn FnMut(&Labels) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

fn seconds(text: &str) -> i64 {
    if let Some(milliseconds) = text.strip_suffix("ms") {
        return milliseconds.parse::<i64>().unwrap() * 1_000_000;
    }
    if let Some(minutes) = text.strip_suffix('m') {
        return minutes.parse::<i64>().unwrap() * 60 * SECOND_NS;
    }
    let seconds: f64 = text.strip_suffix('s').unwrap().parse().unwrap();
    (seconds * 1e9).round() as i64
}

/// `{a="b"}` and what stands behind it.
fn labels(text: &str) -> (Vec<(String, String)>, &str) {
    let mut rest = text.strip_prefix('{').unwrap();
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return (found, behind.trim());
        }
        let (name, behind) = rest.split_once("=\"").unwrap();
        let (value, behind) = behind.split_once('"').unwrap();
        found.push((name.trim().to_owned(), value.to_owned()));
        rest = behind;
    }
}

impl Memory {
    fn load(&mut self, text: &str) {
        let (stream, rest) = labels(text);
        let stream = Labels::new(stream.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let quote = &rest[..1];
        let (line, rest) = rest[1..].split_once(&format!("{quote} ")).unwrap();
        let rest = rest.trim().strip_prefix('@').unwrap().trim();
        let (at, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let (mut every, mut count, mut metadata) = (0, 1, Vec::new());
        while let Some(behind) = rest.trim().strip_prefix('[') {
            let (inside, after) = behind.split_once(']').unwrap();
            rest = after;
            if let Some(repeat) = inside.strip_prefix("repeat every ") {
                let (distance, times) = repeat.split_once(" for ").unwrap();
                (every, count) = (seconds(distance.trim()), times.trim().parse().unwrap());
            } else if let Some(pairs) = inside.strip_prefix("metadata ") {
                for pair in pairs.split("\" ") {
                    let (name, value) = pair.split_once("=\"").unwrap();
                    metadata.push((name.trim().to_owned(), value.trim_end_matches('"').to_owned()));
                }
            }
        }
        for number in 0..count {
            let text = line.replace("{{.i}}", &number.to_string());
            let time_ns = seconds(at) + every * number;
            self.lines.push(Kept { time_ns, stream: stream.clone(), text, metadata: metadata.clone() });
        }
    }
}

/// What an evaluation must give.
#[derive(Default)]
struct Expected {
    fails: Option<String>,
    ordered: bool,
    series: Vec<(Pairs, Vec<Option<f64>>)>,
}

fn value(text: &str) -> Option<f64> {
    match text {
        "_" => None,
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        other => Some(other.parse().unwrap()),
    }
}

/// Runs a script: how many evaluations there were, and those that failed.
pub fn run(text: &str) -> (usize, Vec<Failure>) {
    let mut memory = Memory::default();
    let (mut count, mut failures) = (0, Vec::new());
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
    while let Some((number, line)) = lines.next() {
        let trimmed = line.trim();
        if trimmed == "clear" {
            memory.lines.clear();
        } else if line.starts_with("  {") {
            memory.load(without_comment(trimmed));
        } else if let Some(evaluation) = trimmed.strip_prefix("eval ") {
            let mut expected = Expected::default();
            while let Some((_, next)) = lines.next_if(|(_, next)| next.starts_with("  ")) {
                let next = without_comment(next.trim());
                if let Some(expect) = next.strip_prefix("expect ") {
                    match expect.strip_prefix("fail msg: ") {
                        Some(message) => expected.fails = Some(message.to_owned()),
                        None => expected.ordered |= expect == "ordered",
                    }
                } else if next.starts_with('{') {
                    let (labels, values) = labels(next);
                    expected.series.push((labels, values.split_whitespace().map(value).collect()));
                }
            }
            count += 1;
            let evaluation = without_comment(evaluation);
            let (moments, query) = moments(evaluation);
            if let Err(why) = check(&memory, query, moments, expected) {
                failures.push(Failure { line: number, query: query.to_owned(), why });
            }
        }
    }
    (count, failures)
}

/// A line up to a comment, which begins behind a space and no quote that is open.
fn without_comment(line: &str) -> &str {
    let mut open = None;
    for (at, character) in line.char_indices() {
        match (open, character) {
            (None, '"' | '`') => open = Some(character),
            (Some(quote), _) if quote == character => open = None,
            (None, '#') if line[..at].ends_with(' ') => return line[..at].trim(),
            _ => {}
        }
    }
    line.trim()
}

fn moments(text: &str) -> (Moments, &str) {
    if let Some(rest) = text.strip_prefix("instant at ") {
        let (at, query) = rest.split_once(' ').unwrap();
        let at = seconds(at);
        return (Moments { start_ns: at, end_ns: at, step_ns: 0 }, query);
    }
    let words: Vec<&str> = text.strip_prefix("range from ").unwrap().splitn(6, ' ').collect();
    let [start, _, end, _, step, query] = words[..] else { panic!("{text}") };
    (Moments { start_ns: seconds(start), end_ns: seconds(end), step_ns: seconds(step) }, query)
}

fn check(memory: &Memory, query: &str, moments: Moments, expected: Expected) -> std::result::Result<(), String> {
    let answer = parse(query).and_then(|parsed| match parsed {
        Query::Metric(asked) => metric(&asked, memory, moments, &Options { parallelism: 2, ..Options::default() }),
        Query::Log(_) => panic!("{query} asks for lines"),
    });
    let series = match (answer, expected.fails) {
        (Err(error), Some(message)) if error.message.contains(&message) => return Ok(()),
        (Err(error), Some(message)) => return Err(format!("failed: {}, not: {message}", error.message)),
        (Ok(_), Some(message)) => return Err(format!("did not fail: {message}")),
        (Err(error), None) => return Err(format!("failed: {}", error.message)),
        (Ok(Numbers::Scalar(value)), None) => {
            vec![Series { labels: Vec::new(), points: vec![(moments.start_ns, value)] }]
        }
        (Ok(Numbers::Vector(series) | Numbers::Matrix(series)), None) => series,
    };
    let steps: Vec<i64> = match moments.step_ns {
        0 => vec![moments.start_ns],
        step => (0..=(moments.end_ns - moments.start_ns) / step).map(|at| moments.start_ns + at * step).collect(),
    };
    let row = |series: &Series| -> Vec<Option<f64>> {
        let at = |time: &i64| series.points.iter().find(|(found, _)| found == time).map(|(_, value)| *value);
        steps.iter().map(at).collect()
    };
    let sorted = |labels: &[(String, String)]| {
        let mut labels = labels.to_vec();
        labels.sort();
        labels
    };
    let mut found: Vec<_> = series.iter().map(|series| (sorted(&series.labels), row(series))).collect();
    let mut wanted: Vec<_> = expected.series.iter().map(|(labels, values)| (sorted(labels), values.clone())).collect();
    if !expected.ordered {
        found.sort_by(|a, b| a.0.cmp(&b.0));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let close = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * b.abs().max(1.0);
    let same = |a: &[Option<f64>], b: &[Option<f64>]| {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => close(*a, *b),
                (a, b) => a.is_none() && b.is_none(),
            })
    };
    let all = found.len() == wanted.len() && found.iter().zip(&wanted).all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1));
    if all { Ok(()) } else { Err(format!("gave {found:?}\n  not  {wanted:?}")) }
}
