//! How large does a plan become once names stand for what they mean? A WITH table is planned anew wherever it is named, and a
//! filter takes the expressions of the columns that it names down with it: a chain in which each link names the one before
//! twice doubles with each link. Counted here, before anything is planned; the time-out does not reach planning.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use causeway_model::{Error, Result};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, Visit, Visitor, visit_expressions,
};

use crate::rewrite::folded;

/// Tables that one question reads, each as often as it is planned. 512: no person names more, and planning so many
/// takes tenths of a second and megabytes.
const REFERENCES_MAX: u64 = 512;
/// Columns in one expression, where those of subqueries and WITH tables stand for their expressions. 10,000: planning takes
/// about a second.
const EXPRESSION_MAX: u64 = 10_000;

/// Functions in the arguments of a table function, which are worked out in planning, before anything is bounded: those of
/// times and numbers, whose results are small whatever they are given.
const ARGUMENT_FUNCTIONS: [&str; 14] = [
    "abs",
    "ceil",
    "current_date",
    "current_timestamp",
    "date_bin",
    "date_trunc",
    "floor",
    "now",
    "round",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
];

/// Refuses a statement that would become too large.
pub(crate) fn check(statement: &Statement) -> Result<()> {
    let inner = match statement {
        Statement::Explain(explain) => return check(&explain.statement),
        Statement::Statement(inner) => inner,
        _ => return Ok(()),
    };
    let mut counter = Counter { open: vec![Scope::default()] };
    match inner.visit(&mut counter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// What a table stands for.
#[derive(Debug, Default, Clone)]
struct Meaning {
    /// Tables read.
    references: u64,
    /// How many columns stand in the expression of each of its own.
    columns: BTreeMap<String, u64>,
}

impl Meaning {
    /// Of a column that is not known by name, as large as any.
    fn weight(&self, column: Option<&str>) -> u64 {
        let known = column.and_then(|column| self.columns.get(column)).copied();
        known.unwrap_or_else(|| self.columns.values().copied().max().unwrap_or(1))
    }

    fn add(&mut self, other: &Self) {
        self.references = self.references.saturating_add(other.references);
        for (column, weight) in &other.columns {
            self.note(column, *weight);
        }
    }

    fn note(&mut self, column: &str, weight: u64) {
        let known = self.columns.entry(column.to_owned()).or_default();
        *known = weight.max(*known);
    }

    /// Makes all columns as large as the largest, where names no longer tell which is which.
    fn level(&mut self) {
        let largest = self.weight(None);
        self.columns.values_mut().for_each(|weight| *weight = largest);
    }
}

/// A query that is being visited.
#[derive(Default)]
struct Scope {
    /// Its WITH tables whose queries were not visited yet, the next one last; they come before its body.
    announced: Vec<TableAlias>,
    /// Those that were.
    known: Vec<(String, Meaning)>,
    /// What it reads so far outside the WITH tables.
    inputs: Meaning,
    /// Whether a table gets new names for its columns.
    renamed: bool,
}

struct Counter {
    open: Vec<Scope>,
}

impl Counter {
    /// The innermost WITH table of this name, or else one table.
    fn meaning(&self, name: &ObjectName) -> Meaning {
        let table = Meaning { references: 1, columns: BTreeMap::new() };
        let [part] = name.0.as_slice() else { return table };
        let Some(name) = part.as_ident().map(folded) else { return table };
        let mut known = self.open.iter().rev().flat_map(|scope| scope.known.iter().rev());
        known.find(|(known, _)| *known == name).map_or(table, |(_, meaning)| meaning.clone())
    }
}

impl Visitor for Counter {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let tables = query.with.iter().flat_map(|with| with.cte_tables.iter().rev());
        self.open.push(Scope { announced: tables.map(|table| table.alias.clone()).collect(), ..Scope::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let Some(mut closed) = self.open.pop() else { return ControlFlow::Continue(()) };
        if closed.renamed {
            closed.inputs.level();
        }
        // A WITH table that nobody names is planned all the same.
        let unnamed = closed.known.iter().map(|(_, table)| table.references).max().unwrap_or(1);
        let references = closed.inputs.references.max(unnamed);
        let mut meaning = Meaning { references, columns: BTreeMap::new() };
        add_outputs(&query.body, &closed.inputs, &mut meaning);
        if !matches!(*query.body, SetExpr::Select(_)) {
            meaning.level();
        }
        let largest = meaning.weight(None);
        if references > REFERENCES_MAX {
            return too_large(&format!("reads {references} tables"), REFERENCES_MAX);
        }
        if largest > EXPRESSION_MAX {
            return too_large(&format!("has an expression of {largest} columns"), EXPRESSION_MAX);
        }
        if let Some(parent) = self.open.last_mut() {
            match parent.announced.pop() {
                Some(alias) => {
                    if !alias.columns.is_empty() {
                        meaning.columns = BTreeMap::from([(String::new(), largest)]);
                    }
                    parent.known.push((folded(&alias.name), meaning));
                }
                None => parent.inputs.add(&meaning),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Error> {
        let meaning = self.meaning(name);
        if let Some(scope) = self.open.last_mut() {
            scope.inputs.add(&meaning);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        let (TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. }) = factor else {
            return ControlFlow::Continue(());
        };
        if let Some(scope) = self.open.last_mut() {
            scope.renamed |= alias.as_ref().is_some_and(|alias| !alias.columns.is_empty());
        }
        match factor {
            TableFactor::Table { args: Some(args), .. } => visit_expressions(args, check_argument),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn too_large<T>(what: &str, limit: u64) -> ControlFlow<Error, T> {
    ControlFlow::Break(Error::invalid(format!(
        "the question {what} once WITH tables and subqueries stand where they are named, more than {limit}; name each less often"
    )))
}

fn check_argument(expr: &Expr) -> ControlFlow<Error> {
    let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
    let name = function.name.to_string().to_lowercase();
    if ARGUMENT_FUNCTIONS.contains(&name.as_str()) {
        return ControlFlow::Continue(());
    }
    let known = ARGUMENT_FUNCTIONS.join(", ");
    ControlFlow::Break(Error::invalid(format!("{name} can't stand in the arguments of a table; possible are {known}")))
}

/// Adds what a query answers with to `meaning`.
fn add_outputs(body: &SetExpr, inputs: &Meaning, meaning: &mut Meaning) {
    match body {
        SetExpr::Select(select) => add_selected(select, inputs, meaning),
        SetExpr::SetOperation { left, right, .. } => {
            add_outputs(left, inputs, meaning);
            add_outputs(right, inputs, meaning);
        }
        // Its own visit has left its columns among the inputs.
        SetExpr::Query(_) => inputs.columns.iter().for_each(|(column, weight)| meaning.note(column, *weight)),
        _ => {}
    }
}

fn add_selected(select: &Select, inputs: &Meaning, meaning: &mut Meaning) {
    for item in &select.projection {
        let (expr, alias) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
            _ => {
                inputs.columns.iter().for_each(|(column, weight)| meaning.note(column, *weight));
                continue;
            }
        };
        let mut sum = 0u64;
        let _ = visit_expressions(expr, |part| {
            if let Some(column) = column_of(part) {
                sum = sum.saturating_add(inputs.weight(Some(&column)));
            }
            ControlFlow::<()>::Continue(())
        });
        let name = alias.map(folded).or_else(|| column_of(expr)).unwrap_or_default();
        meaning.note(&name, sum.max(1));
    }
}

fn column_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(column) => Some(folded(column)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What the text stands for as a subquery.
    fn meaning(text: &str) -> Meaning {
        let Statement::Statement(statement) = crate::sql::parse(text, 1 << 20).unwrap() else { panic!("{text}") };
        let mut counter = Counter { open: vec![Scope::default()] };
        assert!(statement.visit(&mut counter).is_continue(), "{text}");
        counter.open.remove(0).inputs
    }

    #[test]
    fn names_count_as_what_they_stand_for() {
        for (text, expected) in [
            ("SELECT 1", 1),
            ("SELECT * FROM logs", 1),
            ("SELECT * FROM logs JOIN spans USING (trace_id) WHERE span_id IN (SELECT span_id FROM spans)", 3),
            ("WITH a AS (SELECT * FROM logs, spans) SELECT * FROM a", 2),
            ("WITH a AS (SELECT * FROM logs, spans), b AS (SELECT * FROM a, a) SELECT * FROM B, b AS c, logs", 9),
            ("WITH a AS (SELECT * FROM logs, logs AS b), c AS (SELECT * FROM a, a AS b) SELECT 1", 4),
            ("WITH a AS (SELECT * FROM logs, spans) SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a, a AS b)", 2),
            ("SELECT * FROM a UNION ALL SELECT * FROM b UNION ALL SELECT * FROM c", 3),
        ] {
            assert_eq!(meaning(text).references, expected, "{text}");
        }
    }

    #[test]
    fn columns_count_as_what_they_stand_for() {
        for (text, expected) in [
            ("SELECT x + x AS y, z FROM logs", 2),
            ("SELECT y * a.y AS y, z FROM (SELECT x + x AS y, z FROM logs) AS a", 4),
            ("WITH a AS (SELECT x + x AS y, z FROM logs) SELECT z + z + z FROM a", 3),
            ("WITH a AS (SELECT x + x AS y, z FROM logs) SELECT * FROM a, logs", 2),
            ("WITH a(y, z) AS (SELECT x + x AS q, z FROM logs) SELECT z + z AS z FROM a", 4),
            ("WITH a AS (SELECT x + x AS y, z FROM logs) SELECT y + y FROM a AS b(z, y)", 4),
            ("WITH a AS (SELECT z, y FROM logs UNION ALL SELECT x + x, y FROM logs) SELECT z + z FROM a", 4),
        ] {
            assert_eq!(meaning(text).weight(None), expected, "{text}");
        }
    }
}
