//! Which numbers does a query make of lines? Read straight into PromQL, whose operators and aggregations LogQL shares; what LogQL has of its
//! own are the ranges of lines.

use causeway_model::{METRIC_NAME, Result};
use causeway_promql::ast::{
    Aggregate, AggregateOperator, Binary, BinaryOperator, Cardinality, Duration, DurationKind, Expr, ExprKind,
    Function, Matching, Selector, Span,
};
use causeway_promql::{MatchOperator, Matcher};

use super::{DEPTH_MAX, filter, log, stages};
use crate::ast::{Conversion, Grouping, Leaf, LeafValue, LogQuery, Metric, Unwrap};
use crate::cursor::Cursor;
use crate::units::seconds;

/// PromQL's milliseconds are nanoseconds here.
const SCALE: f64 = 1e6;
/// Ranges of lines in one query at most.
const LEAVES_MAX: usize = 100;

/// Functions over ranges of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeFunction {
    Count,
    Rate,
    Bytes,
    BytesRate,
    Absent,
    RateCounter,
    Of(Function),
}

const RANGE_FUNCTIONS: [(&str, RangeFunction); 15] = [
    ("count_over_time", RangeFunction::Count),
    ("rate", RangeFunction::Rate),
    ("bytes_over_time", RangeFunction::Bytes),
    ("bytes_rate", RangeFunction::BytesRate),
    ("absent_over_time", RangeFunction::Absent),
    ("rate_counter", RangeFunction::RateCounter),
    ("sum_over_time", RangeFunction::Of(Function::SumOverTime)),
    ("avg_over_time", RangeFunction::Of(Function::AvgOverTime)),
    ("min_over_time", RangeFunction::Of(Function::MinOverTime)),
    ("max_over_time", RangeFunction::Of(Function::MaxOverTime)),
    ("stdvar_over_time", RangeFunction::Of(Function::StdvarOverTime)),
    ("stddev_over_time", RangeFunction::Of(Function::StddevOverTime)),
    ("quantile_over_time", RangeFunction::Of(Function::QuantileOverTime)),
    ("first_over_time", RangeFunction::Of(Function::FirstOverTime)),
    ("last_over_time", RangeFunction::Of(Function::LastOverTime)),
];

const AGGREGATIONS: [(&str, AggregateOperator); 10] = [
    ("sum", AggregateOperator::Sum),
    ("avg", AggregateOperator::Avg),
    ("count", AggregateOperator::Count),
    ("min", AggregateOperator::Min),
    ("max", AggregateOperator::Max),
    ("stddev", AggregateOperator::Stddev),
    ("stdvar", AggregateOperator::Stdvar),
    ("topk", AggregateOperator::Topk),
    ("bottomk", AggregateOperator::Bottomk),
    ("approx_topk", AggregateOperator::Topk),
];

/// Operators and how strongly they bind.
const OPERATORS: [(&str, (BinaryOperator, u8)); 12] = [
    ("==", (BinaryOperator::Equal, 3)),
    ("!=", (BinaryOperator::NotEqual, 3)),
    (">=", (BinaryOperator::GreaterOrEqual, 3)),
    ("<=", (BinaryOperator::LessOrEqual, 3)),
    (">", (BinaryOperator::Greater, 3)),
    ("<", (BinaryOperator::Less, 3)),
    ("+", (BinaryOperator::Add, 4)),
    ("-", (BinaryOperator::Subtract, 4)),
    ("*", (BinaryOperator::Multiply, 5)),
    ("/", (BinaryOperator::Divide, 5)),
    ("%", (BinaryOperator::Modulo, 5)),
    ("^", (BinaryOperator::Power, 6)),
];
const SET_OPERATORS: [(&str, BinaryOperator, u8); 3] =
    [("or", BinaryOperator::Or, 1), ("and", BinaryOperator::And, 2), ("unless", BinaryOperator::Unless, 2)];

/// Reads a metric query.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Metric> {
    let mut reader = Reader { leaves: Vec::new(), nodes: 0 };
    let expr = reader.binary(cursor, 0)?;
    Ok(Metric { expr, leaves: reader.leaves })
}

struct Reader {
    leaves: Vec<Leaf>,
    /// Operators, calls and parentheses so far: no tree is deeper than there are of them.
    nodes: usize,
}

fn node(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn number(value: f64) -> Expr {
    node(ExprKind::Number { value, as_duration: false })
}

fn is_scalar(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number { .. } => true,
        ExprKind::Paren(inner) | ExprKind::Unary { operand: inner, .. } => is_scalar(inner),
        ExprKind::Binary(binary) => is_scalar(&binary.left) && is_scalar(&binary.right),
        _ => false,
    }
}

fn combined(operator: BinaryOperator, left: Expr, right: Expr) -> Expr {
    let matching = (!is_scalar(&left) && !is_scalar(&right)).then(|| Matching {
        cardinality: if operator == BinaryOperator::Or { Cardinality::ManyToMany } else { Cardinality::OneToOne },
        ..Matching::default()
    });
    node(ExprKind::Binary(Box::new(Binary { operator, left, right, returns_bool: false, matching })))
}

fn call(function: Function, arguments: Vec<Expr>) -> Expr {
    node(ExprKind::Call { function, arguments })
}

fn scaled(seconds: f64) -> Duration {
    let kind = DurationKind::Literal { seconds: seconds * SCALE, as_duration: true };
    Duration { kind, span: Span::default() }
}

impl Reader {
    fn count(&mut self, cursor: &Cursor<'_>) -> Result<()> {
        self.nodes += 1;
        let max = DEPTH_MAX;
        if self.nodes > max { Err(cursor.refused(&format!("more than {max} operators and calls"))) } else { Ok(()) }
    }

    fn binary(&mut self, cursor: &mut Cursor<'_>, at_least: u8) -> Result<Expr> {
        let mut left = self.unary(cursor)?;
        loop {
            let before = *cursor;
            let word = cursor.peek_word();
            let set = SET_OPERATORS.iter().find(|(name, _, _)| *name == word);
            let found = match set {
                Some((name, operator, strength)) => {
                    cursor.advance(name.len());
                    Some((*operator, *strength))
                }
                None => cursor.take_any(&OPERATORS),
            };
            let Some((operator, strength)) = found.filter(|(_, strength)| *strength > at_least) else {
                *cursor = before;
                return Ok(left);
            };
            self.count(cursor)?;
            let returns_bool = strength == 3 && cursor.take_word("bool");
            let matching = matching(cursor, set.is_some())?;
            // A power binds to the right.
            let next = if operator == BinaryOperator::Power { strength - 1 } else { strength };
            let right = self.binary(cursor, next)?;
            let matching = Some(matching).filter(|_| !is_scalar(&left) && !is_scalar(&right));
            if set.is_some() && matching.is_none() {
                return Err(cursor.refused("unexpected literal for set operation"));
            }
            // Comparisons of two numbers have no vector to filter.
            let compares = strength == 3 && is_scalar(&left) && is_scalar(&right);
            let returns_bool = returns_bool || compares;
            left = node(ExprKind::Binary(Box::new(Binary { operator, left, right, returns_bool, matching })));
        }
    }

    fn unary(&mut self, cursor: &mut Cursor<'_>) -> Result<Expr> {
        self.count(cursor)?;
        for (sign, negative) in [("-", true), ("+", false)] {
            if cursor.take(sign) {
                let operand = Box::new(self.unary(cursor)?);
                return Ok(node(ExprKind::Unary { negative, operand }));
            }
        }
        if cursor.take("(") {
            let inner = self.binary(cursor, 0)?;
            cursor.expect(")")?;
            return Ok(node(ExprKind::Paren(Box::new(inner))));
        }
        if let Some(value) = literal(cursor)? {
            return Ok(number(value));
        }
        self.named(cursor)
    }

    fn named(&mut self, cursor: &mut Cursor<'_>) -> Result<Expr> {
        let word = cursor.peek_word();
        if let Some((name, function)) = RANGE_FUNCTIONS.iter().find(|(name, _)| *name == word) {
            cursor.advance(name.len());
            return self.range(cursor, name, *function);
        }
        if let Some((name, operator)) = AGGREGATIONS.iter().find(|(name, _)| *name == word) {
            cursor.advance(name.len());
            return self.aggregate(cursor, *operator);
        }
        match word {
            "sort" | "sort_desc" => {
                cursor.advance(word.len());
                cursor.expect("(")?;
                let inner = self.vector(cursor)?;
                cursor.expect(")")?;
                Ok(call(if word == "sort" { Function::Sort } else { Function::SortDesc }, vec![inner]))
            }
            "vector" => {
                cursor.advance(word.len());
                cursor.expect("(")?;
                let value = literal(cursor)?.ok_or_else(|| cursor.unexpected("expecting a number"))?;
                cursor.expect(")")?;
                Ok(call(Function::Vector, vec![number(value)]))
            }
            "label_replace" => {
                cursor.advance(word.len());
                cursor.expect("(")?;
                let mut arguments = vec![self.vector(cursor)?];
                cursor.count_regex()?;
                for _ in 0..4 {
                    cursor.expect(",")?;
                    arguments.push(node(ExprKind::String(cursor.string()?)));
                }
                cursor.expect(")")?;
                Ok(call(Function::LabelReplace, arguments))
            }
            _ => Err(cursor.unexpected("expecting an expression")),
        }
    }

    /// An expression that is no number.
    fn vector(&mut self, cursor: &mut Cursor<'_>) -> Result<Expr> {
        let expr = self.binary(cursor, 0)?;
        if is_scalar(&expr) { Err(cursor.refused("expected type instant vector, got scalar")) } else { Ok(expr) }
    }

    fn aggregate(&mut self, cursor: &mut Cursor<'_>, operator: AggregateOperator) -> Result<Expr> {
        let before = grouping(cursor)?;
        cursor.expect("(")?;
        let takes = matches!(operator, AggregateOperator::Topk | AggregateOperator::Bottomk);
        let mut parameter = None;
        let ahead = *cursor;
        if let Some(value) = literal(cursor)? {
            if cursor.take(",") {
                if !takes {
                    return Err(cursor.refused("unsupported parameter for operation"));
                }
                if value < 1.0 || value.fract() != 0.0 {
                    return Err(cursor.refused("invalid parameter (must be greater than 0)"));
                }
                parameter = Some(number(value));
            } else {
                *cursor = ahead;
            }
        }
        if takes && parameter.is_none() {
            return Err(cursor.refused("parameter required for operation"));
        }
        let expr = self.vector(cursor)?;
        cursor.expect(")")?;
        let grouping = match before {
            Some(grouping) => Some(grouping),
            None => grouping(cursor)?,
        };
        let Grouping { labels: grouping, without } =
            grouping.unwrap_or(Grouping { labels: Vec::new(), without: false });
        if operator == AggregateOperator::Sum
            && let Some(leaf) = summed(&expr).and_then(|number| self.leaves.get_mut(number))
        {
            // A sum of sums is one: lines need no series of their own.
            leaf.grouping.get_or_insert(Grouping { labels: grouping.clone(), without });
        }
        Ok(node(ExprKind::Aggregate(Box::new(Aggregate { operator, expr, parameter, grouping, without }))))
    }

    /// A function over a range of lines.
    fn range(&mut self, cursor: &mut Cursor<'_>, name: &str, function: RangeFunction) -> Result<Expr> {
        let is_quantile = function == RangeFunction::Of(Function::QuantileOverTime);
        cursor.expect("(")?;
        let quantile = if is_quantile {
            if cursor.rest().starts_with('-') {
                return Err(cursor.unexpected("expecting a number"));
            }
            let quantile =
                literal(cursor)?.ok_or_else(|| cursor.refused(&format!("parameter required for operation {name}")))?;
            cursor.expect(",")?;
            Some(quantile)
        } else {
            None
        };
        let (log, unwrap, range_s, offset_s) = range(cursor)?;
        cursor.expect(")")?;
        let grouping = grouping(cursor)?;
        let groups = matches!(function, RangeFunction::Of(of) if of != Function::SumOverTime);
        if grouping.is_some() && !groups {
            return Err(cursor.refused(&format!("grouping not allowed for {name} aggregation")));
        }
        let value = match (function, unwrap) {
            (RangeFunction::Of(_) | RangeFunction::RateCounter, None) => {
                return Err(cursor.refused(&format!("invalid aggregation {name} without unwrap")));
            }
            (RangeFunction::Count | RangeFunction::Bytes | RangeFunction::BytesRate, Some(_)) => {
                return Err(cursor.refused(&format!("invalid aggregation {name} with unwrap")));
            }
            (RangeFunction::Bytes | RangeFunction::BytesRate, None) => LeafValue::Bytes,
            (_, Some(unwrap)) => LeafValue::Unwrapped(unwrap),
            (_, None) => LeafValue::One,
        };
        let in_order = matches!(
            function,
            RangeFunction::RateCounter | RangeFunction::Of(Function::FirstOverTime | Function::LastOverTime)
        );
        let samples = self.leaf(cursor, Leaf { log, value, grouping, in_order }, range_s, offset_s)?;
        let over = |function, samples| call(function, vec![samples]);
        let per_second = |expr| combined(BinaryOperator::Divide, expr, number(range_s));
        Ok(match function {
            RangeFunction::Count | RangeFunction::Bytes => over(Function::SumOverTime, samples),
            RangeFunction::Rate | RangeFunction::BytesRate => per_second(over(Function::SumOverTime, samples)),
            RangeFunction::Absent => over(Function::AbsentOverTime, samples),
            RangeFunction::RateCounter => {
                // Of one sample it is 0.
                let rate = combined(BinaryOperator::Multiply, over(Function::Rate, samples.clone()), number(SCALE));
                let count = over(Function::CountOverTime, samples);
                let zero = combined(BinaryOperator::Multiply, count, number(0.0));
                node(ExprKind::Paren(Box::new(combined(BinaryOperator::Or, rate, zero))))
            }
            RangeFunction::Of(of) => call(of, quantile.map(number).into_iter().chain([samples]).collect()),
        })
    }

    /// The range selector that stands for lines.
    fn leaf(&mut self, cursor: &Cursor<'_>, leaf: Leaf, range_s: f64, offset_s: Option<f64>) -> Result<Expr> {
        if self.leaves.len() >= LEAVES_MAX {
            return Err(cursor.refused(&format!("more than {LEAVES_MAX} ranges")));
        }
        let name = Matcher::new(METRIC_NAME, MatchOperator::Equal, self.leaves.len().to_string())?;
        // The labels that are asked for by name are those of what is absent.
        let matchers = std::iter::once(name).chain(leaf.log.matchers.iter().cloned()).collect();
        let offset = offset_s.map(scaled);
        let selector = Selector { name: None, matchers, offset, at: None, extension: None };
        self.leaves.push(leaf);
        Ok(node(ExprKind::Range { selector, selector_span: Span::default(), range: scaled(range_s) }))
    }
}

/// The number of the range of lines whose values an expression adds up, and does nothing else with.
fn summed(expr: &Expr) -> Option<usize> {
    match &expr.kind {
        ExprKind::Paren(inner) => summed(inner),
        ExprKind::Binary(binary) if binary.operator == BinaryOperator::Divide && is_scalar(&binary.right) => {
            summed(&binary.left)
        }
        ExprKind::Call { function: Function::SumOverTime, arguments } => {
            let Some(Expr { kind: ExprKind::Range { selector, .. }, .. }) = arguments.first() else { return None };
            selector.matchers.first()?.value().parse().ok()
        }
        _ => None,
    }
}

/// A number without a sign.
fn literal(cursor: &mut Cursor<'_>) -> Result<Option<f64>> {
    let rest = cursor.rest();
    if !rest.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Ok(None);
    }
    let mut end = 0;
    let mut before = ' ';
    for (at, character) in rest.char_indices() {
        let exponent = "eE".contains(before) && "+-".contains(character);
        if !(character.is_ascii_alphanumeric() || character == '.' || exponent) {
            break;
        }
        (end, before) = (at + 1, character);
    }
    let text = rest.get(..end).unwrap_or_default();
    let value = text.parse().map_err(|_| cursor.unexpected("expecting a number"))?;
    cursor.advance(end);
    Ok(Some(value))
}

fn grouping(cursor: &mut Cursor<'_>) -> Result<Option<Grouping>> {
    let without = match cursor.peek_word() {
        "by" => false,
        "without" => true,
        _ => return Ok(None),
    };
    cursor.advance(if without { 7 } else { 2 });
    Ok(Some(Grouping { labels: names(cursor)?, without }))
}

/// `(a, b)`.
fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    cursor.expect("(")?;
    let mut names = Vec::new();
    while !cursor.take(")") {
        names.push(cursor.name()?.to_owned());
        if !cursor.take(",") {
            cursor.expect(")")?;
            break;
        }
    }
    Ok(names)
}

fn matching(cursor: &mut Cursor<'_>, is_set: bool) -> Result<Matching> {
    let mut matching = Matching::default();
    if is_set {
        matching.cardinality = Cardinality::ManyToMany;
    }
    let on = cursor.take_word("on");
    if on || cursor.take_word("ignoring") {
        (matching.on, matching.labels) = (on, names(cursor)?);
        for (word, cardinality) in [("group_left", Cardinality::ManyToOne), ("group_right", Cardinality::OneToMany)] {
            if cursor.take_word(word) {
                if matching.cardinality != Cardinality::OneToOne {
                    return Err(cursor.refused(&format!("unexpected {word}")));
                }
                matching.cardinality = cardinality;
                if cursor.rest().starts_with('(') {
                    matching.include = names(cursor)?;
                }
            }
        }
    }
    Ok(matching)
}

/// Lines, what of them is unwrapped, the length of the range and the offset, both in seconds.
fn range(cursor: &mut Cursor<'_>) -> Result<(LogQuery, Option<Unwrap>, f64, Option<f64>)> {
    let (mut log, mut unwrapped) = ranged(cursor, 0)?;
    let range_s = duration(cursor)?;
    let offset_s = match cursor.take_word("offset") {
        true => Some(signed(cursor)?),
        false => None,
    };
    if unwrapped.is_none() {
        stages(cursor, &mut log)?;
        unwrapped = unwrap(cursor)?;
    }
    Ok((log, unwrapped, range_s, offset_s))
}

/// Lines and what of them is unwrapped, which may stand in parentheses.
fn ranged(cursor: &mut Cursor<'_>, depth: usize) -> Result<(LogQuery, Option<Unwrap>)> {
    if depth > DEPTH_MAX {
        return Err(cursor.refused("the query nests too deep"));
    }
    if !cursor.take("(") {
        let log = log(cursor)?;
        return Ok((log, unwrap(cursor)?));
    }
    let (mut log, mut unwrapped) = ranged(cursor, depth + 1)?;
    cursor.expect(")")?;
    if unwrapped.is_none() {
        stages(cursor, &mut log)?;
        unwrapped = unwrap(cursor)?;
    }
    Ok((log, unwrapped))
}

fn duration(cursor: &mut Cursor<'_>) -> Result<f64> {
    cursor.expect("[")?;
    let seconds = signed(cursor)?;
    cursor.expect("]")?;
    if seconds > 0.0 { Ok(seconds) } else { Err(cursor.refused("a range must be longer than 0")) }
}

fn signed(cursor: &mut Cursor<'_>) -> Result<f64> {
    let rest = cursor.rest();
    let inside = |character: char| character.is_alphanumeric() || ".-+µ".contains(character);
    let end = rest.find(|character| !inside(character)).unwrap_or(rest.len());
    let text = rest.get(..end).unwrap_or_default();
    let seconds = seconds(text).ok_or_else(|| cursor.refused(&format!("not a valid duration string: {text:?}")))?;
    cursor.advance(end);
    Ok(seconds)
}

fn unwrap(cursor: &mut Cursor<'_>) -> Result<Option<Unwrap>> {
    let before = *cursor;
    if !(cursor.take("|") && cursor.take_word("unwrap")) {
        *cursor = before;
        return Ok(None);
    }
    let word = cursor.name()?;
    let conversion = match word {
        "bytes" => Conversion::Bytes,
        "duration" | "duration_seconds" => Conversion::Duration,
        _ => Conversion::Number,
    };
    let converts = conversion != Conversion::Number && cursor.take("(");
    let label = if converts { cursor.name()? } else { word };
    if converts {
        cursor.expect(")")?;
    }
    let conversion = if converts { conversion } else { Conversion::Number };
    let mut filters = Vec::new();
    while cursor.take("|") {
        filters.push(filter::read(cursor)?);
    }
    Ok(Some(Unwrap { label: label.to_owned(), conversion, filters }))
}
