//! How is a tree written as a query? On one line as Prometheus prints it (promql/parser/printer.go), or over several lines where one
//! would be long (prettier.go).

use std::fmt::{self, Display, Formatter, Write};

use causeway_model::METRIC_NAME;

use crate::ast::{
    Aggregate, At, Binary, Cardinality, Duration, DurationKind, DurationOperator, Expr, ExprKind, Extension, Matching,
    Selector, Subquery,
};
use crate::literal::{print_duration_seconds, print_number};
use crate::text::{is_plain_label, quote};
use crate::{MatchOperator, Matcher};

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let operator = match self.operator() {
            MatchOperator::Equal => "=",
            MatchOperator::NotEqual => "!=",
            MatchOperator::Matches => "=~",
            MatchOperator::NotMatches => "!~",
        };
        write!(f, "{}{operator}{}", LabelName(self.name()), quote(self.value()))
    }
}

/// A label's name, in quotes where it needs them.
struct LabelName<'a>(&'a str);

impl Display for LabelName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_plain_label(self.0) { f.write_str(self.0) } else { f.write_str(&quote(self.0)) }
    }
}

struct LabelNames<'a>(&'a [String]);

impl Display for LabelNames<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            write!(f, "{}{}", if at > 0 { ", " } else { "" }, LabelName(name))?;
        }
        Ok(())
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number { value, as_duration: true } => f.write_str(&print_duration_seconds(*value)),
            ExprKind::Number { value, as_duration: false } => f.write_str(&print_number(*value)),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::Selector(selector) => {
                write_series(f, selector)?;
                write_at(f, selector.at)?;
                write_extension(f, selector.extension)?;
                write_offset(f, selector.offset.as_ref())
            }
            ExprKind::Range { selector, range, .. } => {
                write_series(f, selector)?;
                write!(f, "[{}]", TopDuration(range))?;
                write_extension(f, selector.extension)?;
                write_at(f, selector.at)?;
                write_offset(f, selector.offset.as_ref())
            }
            ExprKind::Subquery(subquery) => write!(f, "{}{}", subquery.expr, Window(subquery)),
            ExprKind::Unary { negative, operand } => write!(f, "{}{operand}", sign(*negative)),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
            ExprKind::Binary(binary) => write!(f, "{} {} {}", binary.left, Operator(binary), binary.right),
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", Aggregation(aggregate))?;
                if let Some(parameter) = &aggregate.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Call { function, arguments } => {
                write!(f, "{}(", function.name())?;
                for (at, argument) in arguments.iter().enumerate() {
                    write!(f, "{}{argument}", if at > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
        }
    }
}

fn sign(negative: bool) -> &'static str {
    if negative { "-" } else { "+" }
}

/// The name and the conditions, sorted; that of the name is left out where the name stands before the braces.
fn write_series(f: &mut Formatter<'_>, selector: &Selector) -> fmt::Result {
    let name = selector.name.as_deref();
    let says_name = |matcher: &&Matcher| {
        matcher.name() == METRIC_NAME
            && matcher.operator() == MatchOperator::Equal
            && name.is_some_and(|name| !name.is_empty() && name == matcher.value())
    };
    let mut conditions: Vec<String> =
        selector.matchers.iter().filter(|matcher| !says_name(matcher)).map(Matcher::to_string).collect();
    conditions.sort();
    f.write_str(name.unwrap_or_default())?;
    if !conditions.is_empty() || name.is_none() {
        write!(f, "{{{}}}", conditions.join(","))?;
    }
    Ok(())
}

fn write_at(f: &mut Formatter<'_>, at: Option<At>) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::TimeMs(time_ms)) => write!(f, " @ {:.3}", time_ms as f64 / 1000.0),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
    }
}

fn write_extension(f: &mut Formatter<'_>, extension: Option<Extension>) -> fmt::Result {
    match extension {
        None => Ok(()),
        Some(Extension::Anchored) => f.write_str(" anchored"),
        Some(Extension::Smoothed) => f.write_str(" smoothed"),
    }
}

/// An offset of nothing is left out.
fn write_offset(f: &mut Formatter<'_>, offset: Option<&Duration>) -> fmt::Result {
    match offset {
        None => Ok(()),
        Some(Duration { kind: DurationKind::Literal { seconds: 0.0, .. }, .. }) => Ok(()),
        Some(offset) => write!(f, " offset {}", TopDuration(offset)),
    }
}

/// A duration that is no part of another; a literal is written with units, however it was read, unless it is too short for them.
struct TopDuration<'a>(&'a Duration);

impl Display for TopDuration<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.kind {
            DurationKind::Literal { seconds, .. } if seconds.abs() >= 0.001 => {
                f.write_str(&print_duration_seconds(seconds))
            }
            _ => self.0.fmt(f),
        }
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Literal { seconds, as_duration: true } => f.write_str(&print_duration_seconds(*seconds)),
            DurationKind::Literal { seconds, as_duration: false } => f.write_str(&print_number(*seconds)),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::Unary { negative, operand } => write!(f, "{}{operand}", sign(*negative)),
            DurationKind::Paren(inner) => write!(f, "({inner})"),
            DurationKind::Binary {
                operator: operator @ (DurationOperator::Min | DurationOperator::Max),
                left,
                right,
            } => {
                write!(f, "{}({left}, {right})", operator.symbol())
            }
            DurationKind::Binary { operator, left, right } => write!(f, "{left} {} {right}", operator.symbol()),
        }
    }
}

/// `[range:step] @ … offset …`
struct Window<'a>(&'a Subquery);

impl Display for Window<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", TopDuration(&self.0.range))?;
        if let Some(step) = &self.0.step {
            TopDuration(step).fmt(f)?;
        }
        f.write_str("]")?;
        write_at(f, self.0.at)?;
        write_offset(f, self.0.offset.as_ref())
    }
}

/// The aggregation's name with its grouping.
struct Aggregation<'a>(&'a Aggregate);

impl Display for Aggregation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Aggregate { operator, grouping, without, .. } = self.0;
        f.write_str(operator.name())?;
        match (without, grouping.as_slice()) {
            (true, labels) => write!(f, " without ({}) ", LabelNames(labels)),
            (false, []) => Ok(()),
            (false, labels) => write!(f, " by ({}) ", LabelNames(labels)),
        }
    }
}

/// The operator with its modifiers.
struct Operator<'a>(&'a Binary);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.operator.symbol())?;
        if self.0.returns_bool {
            f.write_str(" bool")?;
        }
        let Some(Matching { cardinality, labels, on, include, fill_left, fill_right }) = &self.0.matching else {
            return Ok(());
        };
        let group = match cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if !labels.is_empty() || *on || group.is_some() {
            write!(f, " {} ({})", if *on { "on" } else { "ignoring" }, LabelNames(labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} ({})", LabelNames(include))?;
        }
        match (fill_left, fill_right) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
                write!(f, " fill ({})", print_number(*left))
            }
            (left, right) => {
                for (name, value) in [("fill_left", left), ("fill_right", right)] {
                    if let Some(value) = value {
                        write!(f, " {name} ({})", print_number(*value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// What is longer is spread over several lines.
const LINE_BYTES_MAX: usize = 100;

/// Takes so many bytes and no more.
struct Room(usize);

impl Write for Room {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

impl Expr {
    /// Writes it over several lines where it is long.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.pretty_into(&mut out, 0);
        out
    }

    fn is_long(&self) -> bool {
        write!(Room(LINE_BYTES_MAX), "{self}").is_err()
    }

    fn pretty_into(&self, out: &mut String, level: usize) {
        let indent = "  ".repeat(level);
        if !self.is_long() {
            *out += &format!("{indent}{self}");
            return;
        }
        let below = level.saturating_add(1);
        match &self.kind {
            ExprKind::Aggregate(aggregate) => {
                *out += &format!("{indent}{}(\n", Aggregation(aggregate));
                if let Some(parameter) = &aggregate.parameter {
                    parameter.pretty_into(out, below);
                    *out += ",\n";
                }
                aggregate.expr.pretty_into(out, below);
                *out += &format!("\n{indent})");
            }
            ExprKind::Binary(binary) => {
                binary.left.pretty_into(out, below);
                *out += &format!("\n{indent}{}\n", Operator(binary));
                binary.right.pretty_into(out, below);
            }
            ExprKind::Call { function, arguments } => {
                *out += &format!("{indent}{}(\n", function.name());
                for (at, argument) in arguments.iter().enumerate() {
                    *out += if at > 0 { ",\n" } else { "" };
                    argument.pretty_into(out, below);
                }
                *out += &format!("\n{indent})");
            }
            ExprKind::Paren(inner) => {
                *out += &format!("{indent}(\n");
                inner.pretty_into(out, below);
                *out += &format!("\n{indent})");
            }
            ExprKind::Subquery(subquery) => {
                subquery.expr.pretty_into(out, level);
                *out += &Window(subquery).to_string();
            }
            ExprKind::Unary { negative, operand } => {
                let mut inner = String::new();
                operand.pretty_into(&mut inner, level);
                *out += &format!("{indent}{}{}", sign(*negative), inner.trim_start());
            }
            _ => *out += &format!("{indent}{self}"),
        }
    }
}
