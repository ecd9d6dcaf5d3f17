//! What can be skipped, given a condition? Necessary conditions on time, service, words and values, drawn from the
//! filters that a scan must apply anyway; where nothing is certain, nothing is said.

use std::collections::BTreeSet;
use std::sync::Arc;

use causeway_model::TimeRange;
use causeway_store::index::tokens;
use causeway_store::{Pruning, ScanColumn};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions as physical;
use regex_syntax::hir::{Hir, HirKind, Look};

use crate::functions::HAS_TOKEN;

/// Values that one condition may list for skipping. 1,000: each is looked up in every block's filter.
const VALUES_MAX: usize = 1_000;

/// No time at all: the identity of [`TimeRange::union`].
const NO_TIME: TimeRange = TimeRange { start: i64::MAX, end: i64::MIN };

/// What a column is, for skipping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Role {
    /// The time of the row.
    Time,
    /// The service's name.
    Service,
    /// A text whose words are in the filters.
    Tokens,
    /// A column whose values are in the filters.
    Value(ScanColumn),
    /// None of these.
    Other,
}

/// Necessary conditions of one filter.
#[derive(Debug, Clone, PartialEq)]
struct Conditions {
    time: TimeRange,
    services: Option<BTreeSet<String>>,
    tokens: BTreeSet<String>,
    values: Vec<(ScanColumn, BTreeSet<Vec<u8>>)>,
}

impl Conditions {
    fn none() -> Self {
        Self { time: TimeRange::ALL, services: None, tokens: BTreeSet::new(), values: Vec::new() }
    }

    fn time(time: TimeRange) -> Self {
        Self { time, ..Self::none() }
    }

    fn tokens(tokens: BTreeSet<String>) -> Self {
        Self { tokens, ..Self::none() }
    }

    fn and(mut self, other: Self) -> Self {
        self.time = self.time.intersect(&other.time);
        self.services = match (self.services, other.services) {
            (Some(left), Some(right)) => Some(left.intersection(&right).cloned().collect()),
            (left, right) => left.or(right),
        };
        self.tokens.extend(other.tokens);
        self.values.extend(other.values);
        self
    }

    fn or(self, other: Self) -> Self {
        let services = match (self.services, other.services) {
            (Some(left), Some(right)) => Some(left.union(&right).cloned().collect()),
            _ => None,
        };
        let mut values = Vec::new();
        for (column, left) in self.values {
            let same = other.values.iter().find(|(candidate, _)| *candidate == column);
            if let Some((_, right)) = same {
                values.push((column, left.union(right).cloned().collect()));
            }
        }
        Self {
            time: if self.time.is_empty() {
                other.time
            } else if other.time.is_empty() {
                self.time
            } else {
                self.time.union(&other.time)
            },
            services,
            tokens: self.tokens.intersection(&other.tokens).cloned().collect(),
            values,
        }
    }
}

/// What the filters, all of which must hold, allow to skip. `role` knows the columns by name.
pub(crate) fn pruning_of<'a>(filters: impl IntoIterator<Item = &'a Expr>, role: &dyn Fn(&str) -> Role) -> Pruning {
    let all = filters.into_iter().map(|filter| conditions_of(filter, role)).fold(Conditions::none(), Conditions::and);
    let values = all
        .values
        .into_iter()
        .filter(|(_, values)| values.len() <= VALUES_MAX)
        .map(|(column, values)| (column, values.into_iter().collect()))
        .collect();
    Pruning {
        time: all.time,
        services: all.services.map(|services| services.into_iter().collect()),
        tokens: all.tokens.into_iter().collect(),
        values,
    }
}

fn conditions_of(expr: &Expr, role: &dyn Fn(&str) -> Role) -> Conditions {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            conditions_of(left, role).and(conditions_of(right, role))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            conditions_of(left, role).or(conditions_of(right, role))
        }
        Expr::BinaryExpr(binary) => binary_conditions(binary, role),
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let bound = |op, value: &Expr| compare(expr, op, value, role);
            bound(Operator::GtEq, low).and(bound(Operator::LtEq, high))
        }
        Expr::InList(InList { expr, list, negated: false }) => list
            .iter()
            .map(|value| compare(expr, Operator::Eq, value, role))
            .reduce(Conditions::or)
            .unwrap_or_else(Conditions::none),
        Expr::Like(like) => like_conditions(like, role),
        Expr::ScalarFunction(function) if function.name() == HAS_TOKEN => match function.args.as_slice() {
            [text, word] if role_of(text, role) == Role::Tokens => {
                Conditions::tokens(text_literal(word).into_iter().flat_map(tokens).map(str::to_owned).collect())
            }
            _ => Conditions::none(),
        },
        Expr::Literal(ScalarValue::Boolean(Some(false) | None), _) => Conditions::time(NO_TIME),
        Expr::Alias(alias) => conditions_of(&alias.expr, role),
        _ => Conditions::none(),
    }
}

fn binary_conditions(binary: &BinaryExpr, role: &dyn Fn(&str) -> Role) -> Conditions {
    let BinaryExpr { left, op, right } = binary;
    if *op == Operator::RegexMatch {
        return match (role_of(left, role), text_literal(right)) {
            (Role::Tokens, Some(pattern)) => Conditions::tokens(regex_words(pattern)),
            _ => Conditions::none(),
        };
    }
    match (literal(left), literal(right)) {
        (None, Some(_)) => compare(left, *op, right, role),
        (Some(_), None) => op.swap().map_or_else(Conditions::none, |op| compare(right, op, left, role)),
        _ => Conditions::none(),
    }
}

fn compare(column: &Expr, op: Operator, value: &Expr, role: &dyn Fn(&str) -> Role) -> Conditions {
    let Some(value) = literal(value) else {
        return Conditions::none();
    };
    match (role_of(column, role), op) {
        (Role::Time, op) => {
            time_nanoseconds(value).map_or_else(Conditions::none, |at| Conditions::time(time_range(op, at)))
        }
        (Role::Service, Operator::Eq) => match text_value(value) {
            Some(text) => Conditions { services: Some(BTreeSet::from([text.to_owned()])), ..Conditions::none() },
            None => Conditions::none(),
        },
        (Role::Tokens, Operator::Eq) => {
            Conditions::tokens(text_value(value).into_iter().flat_map(tokens).map(str::to_owned).collect())
        }
        (Role::Value(column), Operator::Eq) => {
            let bytes = match value {
                ScalarValue::FixedSizeBinary(_, Some(bytes)) => Some(bytes.clone()),
                other => text_value(other).map(|text| text.as_bytes().to_vec()),
            };
            match bytes {
                Some(bytes) => Conditions { values: vec![(column, BTreeSet::from([bytes]))], ..Conditions::none() },
                None => Conditions::none(),
            }
        }
        _ => Conditions::none(),
    }
}

/// The role of a column, also inside a cast that keeps its order and value.
fn role_of(expr: &Expr, role: &dyn Fn(&str) -> Role) -> Role {
    match expr {
        Expr::Column(column) => role(&column.name),
        Expr::Cast(cast) => {
            let inner = role_of(&cast.expr, role);
            // From UTC nanoseconds to nanoseconds of any zone the number stays; "no zone" means UTC's local time.
            let keeps = matches!(cast.field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _));
            if inner == Role::Time && keeps { inner } else { Role::Other }
        }
        _ => Role::Other,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn text_literal(expr: &Expr) -> Option<&str> {
    literal(expr).and_then(text_value)
}

fn text_value(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => text.as_deref(),
        _ => None,
    }
}

fn time_nanoseconds(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampNanosecond(at, _) => *at,
        _ => None,
    }
}

fn time_range(op: Operator, at: i64) -> TimeRange {
    let all = TimeRange::ALL;
    match op {
        Operator::Eq => TimeRange { start: at, end: at },
        Operator::GtEq => TimeRange { start: at, ..all },
        Operator::LtEq => TimeRange { end: at, ..all },
        Operator::Gt => at.checked_add(1).map_or(NO_TIME, |start| TimeRange { start, ..all }),
        Operator::Lt => at.checked_sub(1).map_or(NO_TIME, |end| TimeRange { end, ..all }),
        _ => all,
    }
}

fn like_conditions(like: &Like, role: &dyn Fn(&str) -> Role) -> Conditions {
    let (Role::Tokens, Some(pattern)) = (role_of(&like.expr, role), text_literal(&like.pattern)) else {
        return Conditions::none();
    };
    if like.negated {
        return Conditions::none();
    }
    let mut words = like_words(pattern, like.escape_char.unwrap_or('\\'));
    if like.case_insensitive {
        // Only a word without letters is sure to stand there as it is written.
        words.retain(|word| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'));
    }
    Conditions::tokens(words)
}

/// What stands between two literal pieces of a pattern.
#[derive(Clone, Copy, PartialEq)]
enum Edge {
    /// The text begins or ends here.
    Text,
    /// Anything may follow, so a word that touches it may be longer than it seems.
    Unknown,
}

/// The words that are sure to stand in a text, as whole words, when this literal piece does.
fn certain_words(piece: &str, left: Edge, right: Edge, words: &mut BTreeSet<String>) {
    for word in tokens(piece) {
        // Both are slices of the same text, so that the distance is the word's position.
        let start = word.as_ptr() as usize - piece.as_ptr() as usize;
        let whole_left = start > 0 || left == Edge::Text;
        let whole_right = start + word.len() < piece.len() || right == Edge::Text;
        if whole_left && whole_right {
            words.insert(word.to_owned());
        }
    }
}

fn like_words(pattern: &str, escape: char) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut piece = String::new();
    let mut left = Edge::Text;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' | '_' => {
                certain_words(&piece, left, Edge::Unknown, &mut words);
                piece.clear();
                left = Edge::Unknown;
            }
            // A lone escape at the end stands for itself.
            escaped if escaped == escape => piece.push(characters.next().unwrap_or(escape)),
            plain => piece.push(plain),
        }
    }
    certain_words(&piece, left, Edge::Text, &mut words);
    words
}

/// The words that every match of the regular expression holds whole.
fn regex_words(pattern: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let Ok(hir) = regex_syntax::parse(pattern) else {
        return words;
    };
    let mut pieces = Pieces { piece: String::new(), left: Edge::Unknown, words: &mut words };
    pieces.walk(&hir);
    pieces.end(Edge::Unknown);
    words
}

/// Collects literal pieces of a concatenation from left to right.
struct Pieces<'a> {
    piece: String,
    left: Edge,
    words: &'a mut BTreeSet<String>,
}

impl Pieces<'_> {
    fn walk(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => self.piece.push_str(text),
                Err(_) => self.end(Edge::Unknown),
            },
            HirKind::Capture(capture) => self.walk(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.walk(part)),
            HirKind::Look(Look::Start) => {
                self.end(Edge::Unknown);
                self.left = Edge::Text;
            }
            HirKind::Look(Look::End) => self.end(Edge::Text),
            _ => self.end(Edge::Unknown),
        }
    }

    fn end(&mut self, right: Edge) {
        certain_words(&self.piece, self.left, right, self.words);
        self.piece.clear();
        self.left = Edge::Unknown;
    }
}

/// Whether the filter is filled in while running.
pub(crate) fn is_dynamic(expr: &dyn PhysicalExpr) -> bool {
    expr.downcast_ref::<physical::DynamicFilterPhysicalExpr>().is_some()
}

/// The time that a filter known only while running (from a top-k or a join) allows. `time` is the column's position.
pub(crate) fn time_of(expr: &dyn PhysicalExpr, time: usize) -> TimeRange {
    if let Some(dynamic) = expr.downcast_ref::<physical::DynamicFilterPhysicalExpr>() {
        return dynamic.current().map_or(TimeRange::ALL, |current| time_of(current.as_ref(), time));
    }
    if let Some(binary) = expr.downcast_ref::<physical::BinaryExpr>() {
        let (left, right) = (binary.left(), binary.right());
        return match binary.op() {
            Operator::And => time_of(left.as_ref(), time).intersect(&time_of(right.as_ref(), time)),
            Operator::Or => match (time_of(left.as_ref(), time), time_of(right.as_ref(), time)) {
                (left, right) if left.is_empty() => right,
                (left, right) if right.is_empty() => left,
                (left, right) => left.union(&right),
            },
            op => {
                let is_time = left.downcast_ref::<physical::Column>().is_some_and(|column| column.index() == time);
                let value = right.downcast_ref::<physical::Literal>().and_then(|value| time_nanoseconds(value.value()));
                match value {
                    Some(at) if is_time => time_range(*op, at),
                    _ => TimeRange::ALL,
                }
            }
        };
    }
    if let Some(null) = expr.downcast_ref::<physical::IsNullExpr>() {
        let is_time = null.arg().downcast_ref::<physical::Column>().is_some_and(|column| column.index() == time);
        // No row lacks its time.
        return if is_time { NO_TIME } else { TimeRange::ALL };
    }
    TimeRange::ALL
}

/// The values that a column can still have, as a running filter (of a join whose other side was read) says now; `None` when it
/// names none.
pub(crate) fn values_of(expr: &dyn PhysicalExpr, column: usize) -> Option<Vec<Vec<u8>>> {
    if let Some(dynamic) = expr.downcast_ref::<physical::DynamicFilterPhysicalExpr>() {
        return values_of(dynamic.current().ok()?.as_ref(), column);
    }
    if let Some(binary) = expr.downcast_ref::<physical::BinaryExpr>().filter(|binary| *binary.op() == Operator::And) {
        return values_of(binary.left().as_ref(), column).or_else(|| values_of(binary.right().as_ref(), column));
    }
    let list = expr.downcast_ref::<physical::InListExpr>().filter(|list| !list.negated())?;
    let of_column = list.expr().downcast_ref::<physical::Column>().is_some_and(|of| of.index() == column);
    let value = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<physical::Literal>()?.value() {
        ScalarValue::FixedSizeBinary(_, Some(bytes)) => Some(bytes.clone()),
        text => Some(text_value(text)?.as_bytes().to_vec()),
    };
    if of_column { list.list().iter().map(value).collect() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use causeway_model::Family;
    use datafusion::logical_expr::{binary_expr, col, lit};
    use proptest::prelude::*;

    use super::*;

    fn role(name: &str) -> Role {
        match name {
            "time" => Role::Time,
            "service_name" => Role::Service,
            "body" => Role::Tokens,
            "trace_id" => Role::Value(ScanColumn::Fixed(6)),
            "attr('k')" => Role::Value(attribute()),
            _ => Role::Other,
        }
    }

    fn attribute() -> ScanColumn {
        ScanColumn::AttributeText { family: Family::Record, key: "k".into() }
    }

    fn attr() -> Expr {
        Expr::Column(datafusion::common::Column::from_name("attr('k')"))
    }

    fn at(nanoseconds: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(Some(nanoseconds), Some("UTC".into())))
    }

    fn prune(filter: Expr) -> Pruning {
        pruning_of([&filter], &role)
    }

    fn words(pruning: &Pruning) -> String {
        pruning.tokens.join(" ")
    }

    #[test]
    fn time_is_drawn_from_comparisons_on_either_side() {
        let range = |filter| {
            let time = prune(filter).time;
            (time.start, time.end)
        };
        assert_eq!(range(col("time").gt(at(5)).and(at(9).gt_eq(col("time")))), (6, 9));
        assert_eq!(range(col("time").between(at(5), at(9))), (5, 9));
        assert_eq!(range(col("time").eq(at(5)).or(col("time").eq(at(9)))), (5, 9));
        assert_eq!(range(col("time").eq(at(5)).or(col("x").eq(lit(1)))), (i64::MIN, i64::MAX));
        assert_eq!(range(col("time").not_eq(at(5))), (i64::MIN, i64::MAX));
        assert!(prune(col("time").gt(at(9)).and(col("time").lt(at(5)))).time.is_empty());
        assert_eq!(range(col("time").gt(at(9)).and(col("time").lt(at(5))).or(col("time").eq(at(7)))), (7, 7));
        assert!(prune(col("time").gt(at(i64::MAX))).time.is_empty());
    }

    #[test]
    fn values_and_services() {
        let pruning = prune(col("service_name").in_list(vec![lit("b"), lit("a")], false).and(attr().eq(lit("v"))));
        assert_eq!(pruning.services, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(pruning.values, vec![(attribute(), vec![b"v".to_vec()])]);
        let either = prune(attr().eq(lit("v")).or(attr().eq(lit("w"))));
        assert_eq!(either.values, vec![(attribute(), vec![b"v".to_vec(), b"w".to_vec()])]);
        assert!(prune(attr().eq(lit("v")).or(col("body").eq(lit("w")))).values.is_empty());
        assert!(prune(attr().not_eq(lit("v"))).values.is_empty());
        assert!(prune(attr().in_list(vec![lit("v")], true)).values.is_empty());
        let id = lit(ScalarValue::FixedSizeBinary(2, Some(vec![1, 2])));
        assert_eq!(prune(id.eq(col("trace_id"))).values, vec![(ScanColumn::Fixed(6), vec![vec![1, 2]])]);
    }

    #[test]
    fn only_whole_words_count() {
        assert_eq!(words(&prune(col("body").like(lit("%error 42 %")))), "42");
        assert_eq!(words(&prune(col("body").like(lit("error 42%done")))), "error");
        assert_eq!(words(&prune(col("body").like(lit("% a_b c\\_d %")))), "c_d");
        assert_eq!(words(&prune(col("body").ilike(lit("% user 42 %")))), "42");
        assert_eq!(words(&prune(col("body").not_like(lit("% a %")))), "");
        assert_eq!(words(&prune(col("body").eq(lit("disk full")))), "disk full");
        assert_eq!(words(&prune(col("x").like(lit("% a %")))), "");
        let token = crate::functions::scalar().swap_remove(0).call(vec![col("body"), lit("needle")]);
        assert_eq!(words(&prune(token.clone())), "needle");
        assert_eq!(words(&prune(!token)), "");
    }

    #[test]
    fn regular_expressions_give_the_words_that_every_match_holds() {
        let regex = |pattern: &str| words(&prune(binary_expr(col("body"), Operator::RegexMatch, lit(pattern))));
        assert_eq!(regex("user=(\\d+) timed out$"), "out timed");
        assert_eq!(regex("^error code"), "error");
        assert_eq!(regex(" a | b "), "");
        assert_eq!(regex("(?i) error "), "");
        assert_eq!(regex(" a{2} b? c "), "c");
        assert_eq!(regex("(unfinished"), "");
    }

    #[test]
    fn a_running_filter_narrows_time() {
        let schema = datafusion::arrow::datatypes::Schema::new(vec![datafusion::arrow::datatypes::Field::new(
            "time",
            DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            false,
        )]);
        let time = physical::col("time", &schema).unwrap();
        let five = physical::lit(ScalarValue::TimestampNanosecond(Some(5), Some("UTC".into())));
        let greater: Arc<dyn PhysicalExpr> = Arc::new(physical::BinaryExpr::new(time.clone(), Operator::Gt, five));
        let null: Arc<dyn PhysicalExpr> = Arc::new(physical::IsNullExpr::new(time));
        let either = physical::BinaryExpr::new(null, Operator::Or, greater);
        assert_eq!(time_of(&either, 0), TimeRange { start: 6, end: i64::MAX });
        assert_eq!(time_of(&either, 1), TimeRange::ALL);
    }

    proptest! {
        #[test]
        fn no_text_that_matches_lacks_a_demanded_word(text in "[ab .%_]{0,16}", pattern in "[ab %_]{0,8}") {
            let regex: String = pattern
                .chars()
                .map(|c| match c { '%' => "(?s:.*)".to_owned(), '_' => "(?s:.)".to_owned(), c => regex::escape(&c.to_string()) })
                .collect();
            if regex::Regex::new(&format!("^(?:{regex})$")).unwrap().is_match(&text) {
                for word in like_words(&pattern, '\\') {
                    prop_assert!(tokens(&text).any(|token| token == word), "{} in {}", word, text);
                }
            }
        }

        #[test]
        fn no_text_that_a_regex_matches_lacks_a_demanded_word(text in "[ab .]{0,12}", pattern in "\\^?[ab .*?+()|]{0,8}\\$?") {
            if let Ok(regex) = regex::Regex::new(&pattern) && regex.is_match(&text) {
                for word in regex_words(&pattern) {
                    prop_assert!(tokens(&text).any(|token| token == word), "{} in {}", word, text);
                }
            }
        }
    }
}
