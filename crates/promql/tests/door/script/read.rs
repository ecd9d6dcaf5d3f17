//! Which commands does a script of PromQL's test language hold? The language is that of Prometheus (promql/promqltest/README.md).

use causeway_model::Labels;
use causeway_promql::ast::ExprKind;
use causeway_promql::{Syntax, parse, parse_duration_ms};
use regex::Regex;

use super::series::{Point, Series, read_number, read_series};

/// A command.
pub enum Command {
    Clear,
    Load { step_ms: i64, convert: bool, series: Vec<Series> },
    Evaluate(Box<Case>),
}

/// An evaluation and what is expected of it.
pub struct Case {
    /// The line in the script, from 1.
    pub line: usize,
    pub query: String,
    pub start_ms: i64,
    pub end_ms: i64,
    /// 0 for an instant query.
    pub step_ms: i64,
    pub expected: Expected,
    pub fails: Option<Pattern>,
    pub ordered: bool,
    pub warnings: Vec<Pattern>,
    pub infos: Vec<Pattern>,
    pub no_warnings: bool,
    pub no_infos: bool,
}

/// The value that is expected.
pub enum Expected {
    Scalar(f64),
    String(String),
    /// Series, in the order of the script. Of an instant query each has one point.
    Series(Vec<(Labels, Vec<Point>)>),
    /// A range vector of an instant query: when its points are.
    Range {
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        series: Vec<(Labels, Vec<Point>)>,
    },
}

/// How a message is compared.
pub enum Pattern {
    Any,
    Exactly(String),
    Matches(Regex),
}

impl Pattern {
    pub fn fits(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => expected == message,
            Self::Matches(regex) => regex.is_match(message),
        }
    }

    pub fn describe(&self) -> &str {
        match self {
            Self::Any => "any",
            Self::Exactly(expected) => expected,
            Self::Matches(regex) => regex.as_str(),
        }
    }

    /// `` (nothing), `msg: text` or `regex: pattern`.
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            Ok(Self::Any)
        } else if let Some(message) = text.strip_prefix("msg:") {
            Ok(Self::Exactly(message.trim().into()))
        } else if let Some(pattern) = text.strip_prefix("regex:") {
            Self::regex(pattern)
        } else {
            Err(format!("neither msg: nor regex: {text}"))
        }
    }

    fn regex(pattern: &str) -> Result<Self, String> {
        Regex::new(pattern.trim()).map(Self::Matches).map_err(|error| error.to_string())
    }
}

/// All commands of a script.
pub fn read(script: &str) -> Result<Vec<Command>, String> {
    let lines: Vec<&str> =
        script.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }).collect();
    let (mut commands, mut at) = (Vec::new(), 0);
    while let Some(line) = lines.get(at) {
        let mut block = lines[at + 1..].iter().take_while(|line| !line.is_empty()).copied().collect::<Vec<_>>();
        // A scalar is the last that is expected, even without an empty line after it.
        if let Some(scalar) = block.iter().position(|line| read_number(line).is_ok()) {
            block.truncate(scalar + 1);
        }
        let command = match line.split_whitespace().next().unwrap_or_default() {
            "" => {
                at += 1;
                continue;
            }
            "clear" => {
                commands.push(Command::Clear);
                at += 1;
                continue;
            }
            load @ ("load" | "load_with_nhcb") => read_load(line, load, &block),
            word if word.starts_with("eval") => {
                read_case(line, at + 1, &block).map(|case| Command::Evaluate(Box::new(case)))
            }
            _ => Err(format!("no command: {line}")),
        };
        commands.push(command.map_err(|error| format!("line {}: {error}", at + 1))?);
        at += 1 + block.len();
    }
    Ok(commands)
}

fn read_load(line: &str, word: &str, block: &[&str]) -> Result<Command, String> {
    let step_ms = parse_duration_ms(line[word.len()..].trim())?;
    let series = block.iter().map(|line| read_series(line)).collect::<Result<_, _>>()?;
    Ok(Command::Load { step_ms, convert: word == "load_with_nhcb", series })
}

/// The next word and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// `keyword duration`, and what follows.
fn time<'a>(text: &'a str, keyword: &str) -> Result<(i64, &'a str), String> {
    let (found, rest) = word(text);
    if found != keyword {
        return Err(format!("{found} instead of {keyword}"));
    }
    let (duration, rest) = word(rest);
    Ok((parse_duration_ms(duration)?, rest))
}

fn read_case(line: &str, number: usize, block: &[&str]) -> Result<Case, String> {
    let (command, rest) = word(line);
    let (kind, rest) = word(rest);
    let (start_ms, end_ms, step_ms, query) = match kind {
        "instant" => {
            let (at_ms, query) = time(rest, "at")?;
            (at_ms, at_ms, 0, query)
        }
        "range" => {
            let (start_ms, rest) = time(rest, "from")?;
            let (end_ms, rest) = time(rest, "to")?;
            let (step_ms, query) = time(rest, "step")?;
            (start_ms, end_ms, step_ms, query)
        }
        _ => return Err(format!("neither instant nor range: {kind}")),
    };
    let mut case = Case {
        line: number,
        query: query.trim().into(),
        start_ms,
        end_ms,
        step_ms,
        expected: Expected::Series(Vec::new()),
        fails: None,
        ordered: false,
        warnings: Vec::new(),
        infos: Vec::new(),
        no_warnings: false,
        no_infos: false,
    };
    match command {
        "eval" => {}
        "eval_ordered" => case.ordered = true,
        "eval_fail" => case.fails = Some(Pattern::Any),
        "eval_warn" => case.warnings.push(Pattern::Any),
        "eval_info" => case.infos.push(Pattern::Any),
        _ => return Err(format!("no command: {command}")),
    }
    for line in block {
        case.expect(line).map_err(|error| format!("{line}: {error}"))?;
    }
    Ok(case)
}

impl Case {
    fn expect(&mut self, line: &str) -> Result<(), String> {
        if let Some(message) = line.strip_prefix("expected_fail_message ") {
            self.fails = Some(Pattern::Exactly(message.trim().into()));
        } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp ") {
            self.fails = Some(Pattern::regex(pattern)?);
        } else if let Some(times) = line.strip_prefix("expect range vector ") {
            let (start_ms, rest) = time(times, "from")?;
            let (end_ms, rest) = time(rest, "to")?;
            let (step_ms, _) = time(rest, "step")?;
            self.expected = Expected::Range { start_ms, end_ms, step_ms, series: Vec::new() };
        } else if let Some(literal) = line.strip_prefix("expect string ") {
            let Ok(ExprKind::String(text)) = parse(literal, &Syntax::ALL).map(|expr| expr.kind) else {
                return Err("no text in quotes".into());
            };
            self.expected = Expected::String(text);
        } else if let Some(what) = line.strip_prefix("expect ") {
            self.expect_message(what)?;
        } else if let Ok(number) = read_number(line) {
            self.expected = Expected::Scalar(number);
        } else {
            let series = read_series(line)?;
            match &mut self.expected {
                Expected::Series(all) | Expected::Range { series: all, .. } => all.push((series.labels, series.points)),
                _ => return Err("a series besides another value".into()),
            }
        }
        Ok(())
    }

    fn expect_message(&mut self, what: &str) -> Result<(), String> {
        let (kind, pattern) = word(what);
        match kind {
            "fail" => self.fails = Some(Pattern::read(pattern)?),
            "warn" => self.warnings.push(Pattern::read(pattern)?),
            "info" => self.infos.push(Pattern::read(pattern)?),
            "ordered" => self.ordered = true,
            "no_warn" => self.no_warnings = true,
            "no_info" => self.no_infos = true,
            _ => return Err(format!("nothing to expect: {kind}")),
        }
        Ok(())
    }
}
