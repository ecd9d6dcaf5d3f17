//! What comes of a script? Its commands are run, and each evaluation that went otherwise than expected is told.

mod compare;
mod memory;
mod read;
mod series;

use std::sync::Arc;

use causeway_model::{Histogram, Labels};
use causeway_promql::ast::{At, DurationKind, Expr, ExprKind, Function};
use causeway_promql::{Source, Syntax, parse};

pub use memory::Memory;
pub use read::{Case, Command, Expected, read};

/// A float or a native histogram.
pub type Number = Result<f64, Arc<Histogram>>;

/// What a query gave.
#[derive(Debug)]
pub enum Value {
    Scalar(f64),
    String(String),
    Vector(Vec<(Labels, Number)>),
    /// Each series with its points in order of time.
    Matrix(Vec<(Labels, Vec<(i64, Number)>)>),
}

/// What a query gave, and what its reader is told besides.
pub struct Outcome {
    pub value: Value,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

/// The moments of a query in milliseconds; a step of 0 makes it an instant query.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

impl Moments {
    fn instant(time_ms: i64) -> Self {
        Self { start_ms: time_ms, end_ms: time_ms, step_ms: 0 }
    }
}

/// What evaluates queries.
pub type Evaluate = dyn Fn(&str, &Expr, Moments, &dyn Source) -> Result<Outcome, String>;

/// An evaluation that went otherwise than expected.
pub struct Failure {
    pub line: usize,
    pub query: String,
    pub why: String,
}

/// Runs a script; how many evaluations it holds, and which of them failed.
pub fn run(script: &str, evaluate: &Evaluate) -> Result<(usize, Vec<Failure>), String> {
    let (mut memory, mut count, mut failures) = (Memory::default(), 0, Vec::new());
    for command in read(script)? {
        match command {
            Command::Clear => memory = Memory::default(),
            Command::Load { step_ms, convert, series } => memory.load(&series, step_ms, convert)?,
            Command::Evaluate(case) => {
                count += 1;
                memory.whole = false;
                if let Err((query, why)) = check(&case, &mut memory, evaluate) {
                    failures.push(Failure { line: case.line, query, why });
                }
            }
        }
    }
    Ok((count, failures))
}

/// Evaluates one case as often as it must hold; the query that failed, and why.
fn check(case: &Case, memory: &mut Memory, evaluate: &Evaluate) -> Result<(), (String, String)> {
    let moments = Moments { start_ms: case.start_ms, end_ms: case.end_ms, step_ms: case.step_ms };
    check_once(case, &case.query, moments, memory, evaluate).map_err(|why| (case.query.clone(), why))?;
    if case.step_ms > 0 {
        return Ok(());
    }
    in_range_mode(case, &case.query, case.start_ms, memory, evaluate)
        .map_err(|why| (case.query.clone(), format!("as a range query: {why}")))?;
    // What every query gives at a fixed time does not depend on when it is asked.
    memory.whole = true;
    let Some(query) = fixed_at(&case.query, case.start_ms) else { return Ok(()) };
    let at_ms = case.start_ms;
    let times = if at_ms == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at_ms, 0, at_ms / 5, at_ms, 10 * at_ms] };
    for time_ms in times {
        check_once(case, &query, Moments::instant(time_ms), memory, evaluate)
            .and_then(|()| in_range_mode(case, &query, time_ms, memory, evaluate))
            .map_err(|why| (query.clone(), format!("at {time_ms} ms: {why}")))?;
    }
    Ok(())
}

fn outcome(query: &str, moments: Moments, memory: &Memory, evaluate: &Evaluate) -> Result<Outcome, String> {
    let expr = parse(query, &Syntax::ALL).map_err(|error| error.to_string())?;
    evaluate(query, &expr, moments, memory)
}

fn check_once(case: &Case, query: &str, moments: Moments, memory: &Memory, evaluate: &Evaluate) -> Result<(), String> {
    match (outcome(query, moments, memory, evaluate), &case.fails) {
        (Err(message), Some(pattern)) if pattern.fits(&message) => Ok(()),
        (Err(message), Some(pattern)) => Err(format!("expected the error {}\n  got {message}", pattern.describe())),
        (Err(message), None) => Err(format!("failed: {message}")),
        (Ok(outcome), Some(_)) => Err(format!("expected an error\n  got {:?}", outcome.value)),
        (Ok(outcome), None) => {
            compare::messages(case, &outcome)?;
            compare::value(case, &outcome.value)
        }
    }
}

/// An instant query gives what the range query gives at the same time.
fn in_range_mode(case: &Case, query: &str, time_ms: i64, memory: &Memory, evaluate: &Evaluate) -> Result<(), String> {
    const MINUTE_MS: i64 = 60_000;
    let depends_on_window = ["range()", "start()", "end()", "step()"].iter().any(|call| query.contains(call));
    if case.fails.is_some()
        || case.ordered
        || depends_on_window
        || matches!(case.expected, Expected::String(_) | Expected::Range { .. })
    {
        return Ok(());
    }
    let moments = Moments { start_ms: time_ms - MINUTE_MS, end_ms: time_ms + MINUTE_MS, step_ms: MINUTE_MS };
    let Value::Matrix(series) = outcome(query, moments, memory, evaluate)?.value else {
        return Err("no matrix".into());
    };
    compare::sorted(&series)?;
    let at_time = series.into_iter().filter_map(|(labels, points)| {
        let (_, number) = points.into_iter().find(|(point_ms, _)| *point_ms == time_ms)?;
        Some((labels, number))
    });
    let vector: Vec<_> = at_time.collect();
    match (&case.expected, vector.as_slice()) {
        (Expected::Scalar(_), [(_, Ok(number))]) => compare::value(case, &Value::Scalar(*number)),
        _ => compare::value(case, &Value::Vector(vector)),
    }
}

/// The query with `@` on all selectors that have none; `None` where a function of it looks at the time of the evaluation.
fn fixed_at(query: &str, time_ms: i64) -> Option<String> {
    let mut expr = parse(query, &Syntax::ALL).ok()?;
    fix(&mut expr, At::TimeMs(time_ms)).then(|| expr.to_string())
}

fn fix(expr: &mut Expr, at: At) -> bool {
    match &mut expr.kind {
        ExprKind::Number { .. } | ExprKind::String(_) => true,
        ExprKind::Selector(selector) => {
            selector.at.get_or_insert(at);
            true
        }
        ExprKind::Range { selector, range, .. } => {
            selector.at.get_or_insert(at);
            !matches!(range.kind, DurationKind::Range)
        }
        // Times within are those of the subquery, which are fixed by it.
        ExprKind::Subquery(subquery) => {
            subquery.at.get_or_insert(at);
            is_timeless(&mut subquery.expr)
        }
        ExprKind::Unary { operand, .. } | ExprKind::Paren(operand) => fix(operand, at),
        ExprKind::Binary(binary) => fix(&mut binary.left, at) && fix(&mut binary.right, at),
        ExprKind::Aggregate(aggregate) => {
            fix(&mut aggregate.expr, at) && aggregate.parameter.iter_mut().all(|parameter| fix(parameter, at))
        }
        ExprKind::Call { function, arguments } => {
            !looks_at_time(*function) && arguments.iter_mut().all(|argument| fix(argument, at))
        }
    }
}

/// Whether no function of an expression looks at the time of the evaluation.
fn is_timeless(expr: &mut Expr) -> bool {
    // On a copy, as what is within a subquery stays as it is.
    fix(&mut expr.clone(), At::Start)
}

fn looks_at_time(function: Function) -> bool {
    use Function::{
        DayOfMonth, DayOfWeek, DayOfYear, DaysInMonth, End, Hour, Minute, Month, PredictLinear, Range, Start,
        StartTimestamp, Step, Time, Timestamp, Year,
    };
    matches!(
        function,
        DayOfMonth
            | DayOfWeek
            | DayOfYear
            | DaysInMonth
            | End
            | Hour
            | Minute
            | Month
            | PredictLinear
            | Range
            | Start
            | StartTimestamp
            | Step
            | Time
            | Timestamp
            | Year
    )
}
