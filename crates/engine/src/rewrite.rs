//! Which columns does `attr('key')` mean? Before planning, such calls become references to virtual columns of their table,
//! so that projection, filter pushdown and skipping work on them as on any column; parameters become literals.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use causeway_model::{Error, Family, Kind, Result, Table};
use causeway_query::Parameter;
use causeway_store::ScanColumn;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, TableFactor, TableWithJoins, Value, ValueWithSpan, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

/// Virtual columns that one question uses: at most this many. 500: each may be read from every part.
const VIRTUAL_COLUMNS_MAX: usize = 500;

/// The virtual columns of each table, by name.
pub(crate) type VirtualColumns = BTreeMap<Table, BTreeMap<String, ScanColumn>>;

/// Rewrites the statement in place and says which virtual columns its tables need.
pub(crate) fn rewrite(statement: &mut Statement, parameters: &[Parameter]) -> Result<VirtualColumns> {
    let inner = match statement {
        Statement::Explain(explain) => return rewrite(&mut explain.statement, parameters),
        Statement::Statement(inner) => inner,
        _ => return Ok(VirtualColumns::new()),
    };
    let mut calls = Calls { parameters, scopes: Vec::new(), columns: VirtualColumns::new(), count: 0 };
    if let ControlFlow::Break(error) = inner.visit(&mut calls) {
        return Err(error);
    }
    let columns = calls.columns;
    if !columns.is_empty() {
        let _ = inner.visit(&mut Wildcards { columns: &columns });
    }
    Ok(columns)
}

/// The tables that one SELECT names, by the name that its expressions use.
#[derive(Debug, Default)]
struct Scope {
    tables: Vec<(String, Table)>,
    /// Whether it also names something else: a subquery, a WITH name, a function.
    others: bool,
}

fn scope_of(from: &[TableWithJoins]) -> Scope {
    let mut scope = Scope::default();
    for item in from {
        add_factor(&item.relation, &mut scope);
        for join in &item.joins {
            add_factor(&join.relation, &mut scope);
        }
    }
    scope
}

fn add_factor(factor: &TableFactor, scope: &mut Scope) {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => match base_table(name) {
            Some(table) => {
                let called = alias.as_ref().map_or_else(|| table.name().to_owned(), |alias| folded(&alias.name));
                scope.tables.push((called, table));
            }
            None => scope.others = true,
        },
        TableFactor::NestedJoin { table_with_joins, .. } => {
            let inner = scope_of(std::slice::from_ref(table_with_joins));
            scope.tables.extend(inner.tables);
            scope.others |= inner.others;
        }
        _ => scope.others = true,
    }
}

fn base_table(name: &ObjectName) -> Option<Table> {
    let last = name.0.last()?.as_ident()?;
    Table::from_name(&folded(last))
}

/// SQL folds names to lower case unless they are quoted.
pub(crate) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The innermost SELECT of a query body, through parentheses.
fn select_of(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => select_of(&query.body),
        _ => None,
    }
}

/// First pass: parameters and attribute calls.
struct Calls<'a> {
    parameters: &'a [Parameter],
    scopes: Vec<Scope>,
    columns: VirtualColumns,
    count: usize,
}

impl VisitorMut for Calls<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        // A WITH name that hides a table would make it unclear which of the two attr() means.
        for with in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = folded(&with.alias.name);
            if Table::from_name(&name).is_some() {
                return ControlFlow::Break(Error::invalid(format!(
                    "WITH {name}: a table has this name; choose another"
                )));
            }
        }
        // ORDER BY stands beside the SELECT in the tree and sees its tables.
        self.scopes.push(select_of(&query.body).map(|select| scope_of(&select.from)).unwrap_or_default());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Error> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        self.scopes.push(scope_of(&select.from));
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &mut Select) -> ControlFlow<Error> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let rewritten = match expr {
            Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => self.parameter(name).map(Some),
            Expr::Function(function) => self.call(function),
            _ => return ControlFlow::Continue(()),
        };
        match rewritten {
            Ok(Some(new)) => *expr = new,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

impl Calls<'_> {
    fn parameter(&self, name: &str) -> Result<Expr> {
        let number: usize = name
            .strip_prefix('$')
            .and_then(|digits| digits.parse().ok())
            .filter(|number| *number > 0)
            .ok_or_else(|| Error::invalid(format!("parameter {name}: parameters are written $1, $2 …")))?;
        let value = self.parameters.get(number - 1).ok_or_else(|| {
            Error::invalid(format!("parameter {name}: only {} values were given", self.parameters.len()))
        })?;
        Ok(literal(value))
    }

    fn call(&mut self, function: &Function) -> Result<Option<Expr>> {
        let [ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else {
            return Ok(None);
        };
        let name = ident.value.to_lowercase();
        let Some((family, reading)) = accessor(&name) else {
            return Ok(None);
        };
        let usage =
            || Error::invalid(format!("{name}: write {name}('key') or {name}(alias, 'key'), the key in single quotes"));
        let FunctionArguments::List(list) = &function.args else {
            return Err(usage());
        };
        let args: Vec<&Expr> = list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
                _ => Err(usage()),
            })
            .collect::<Result<_>>()?;
        let (alias, key) = match args.as_slice() {
            [key] => (None, *key),
            [Expr::Identifier(alias), key] => (Some(alias), *key),
            _ => return Err(usage()),
        };
        let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(key), .. }) = key else {
            return Err(Error::invalid(format!(
                "{name}: the key must be a literal, so that it is known before reading which columns are needed"
            )));
        };
        let column = Ident::with_quote('"', format!("{name}('{}')", key.replace('\'', "''")));
        let scan = reading.column(family, key);
        match alias {
            Some(alias) => {
                self.add_aliased(&folded(alias), &column.value, scan)?;
                Ok(Some(Expr::CompoundIdentifier(vec![alias.clone(), column])))
            }
            None => {
                self.add_unaliased(&name, &column.value, scan)?;
                Ok(Some(Expr::Identifier(column)))
            }
        }
    }

    fn add_unaliased(&mut self, name: &str, column: &str, scan: ScanColumn) -> Result<()> {
        // The innermost SELECT that has tables decides, as for any unqualified column.
        let Some(scope) = self.scopes.iter().rev().find(|scope| scope.others || !scope.tables.is_empty()) else {
            return Err(Error::invalid(format!("{name}: there is no table to read from; add FROM logs or FROM spans")));
        };
        let with: Vec<Table> =
            scope.tables.iter().map(|(_, table)| *table).filter(|table| table.has_attributes()).collect();
        match (with.as_slice(), scope.tables.first()) {
            ([table], _) => self.add(*table, column, scan),
            ([], Some((_, table))) if !scope.others => Err(without_attributes(*table)),
            // A subquery may give a column of this name; if not, planning says so.
            ([], _) => Ok(()),
            _ => Err(Error::invalid(format!("{column}: several tables have attributes; write {name}(alias, 'key')"))),
        }
    }

    fn add_aliased(&mut self, alias: &str, column: &str, scan: ScanColumn) -> Result<()> {
        let found = self.scopes.iter().rev().flat_map(|scope| &scope.tables).find(|(called, _)| called == alias);
        match found.map(|(_, table)| *table) {
            Some(table) if table.has_attributes() => self.add(table, column, scan),
            Some(table) => Err(without_attributes(table)),
            None => Ok(()),
        }
    }

    fn add(&mut self, table: Table, column: &str, scan: ScanColumn) -> Result<()> {
        if self.columns.entry(table).or_default().insert(column.to_owned(), scan).is_none() {
            self.count += 1;
        }
        if self.count > VIRTUAL_COLUMNS_MAX {
            return Err(Error::invalid(format!("one question reads {VIRTUAL_COLUMNS_MAX} attributes at most")));
        }
        Ok(())
    }
}

fn without_attributes(table: Table) -> Error {
    Error::invalid(format!("{} has no attributes; join metric_series by series_id for its labels", table.name()))
}

/// How an attribute is read.
enum Reading {
    Text,
    Number,
    Typed(Kind),
}

impl Reading {
    fn column(self, family: Family, key: &str) -> ScanColumn {
        let key = key.into();
        match self {
            Self::Text => ScanColumn::AttributeText { family, key },
            Self::Number => ScanColumn::AttributeNumber { family, key },
            Self::Typed(kind) => ScanColumn::Attribute { family, key, kind },
        }
    }
}

fn accessor(name: &str) -> Option<(Family, Reading)> {
    let (family, kind) =
        Family::ALL.into_iter().find_map(|family| Some((family, name.strip_prefix(family.prefix())?)))?;
    let reading = match kind {
        "" => Reading::Text,
        "_int" => Reading::Typed(Kind::Int),
        "_double" => Reading::Number,
        "_bool" => Reading::Typed(Kind::Bool),
        "_bytes" => Reading::Typed(Kind::Bytes),
        _ => return None,
    };
    Some((family, reading))
}

fn literal(parameter: &Parameter) -> Expr {
    let value = |value: Value| Expr::Value(value.with_empty_span());
    let cast = |text: String, data_type: DataType| Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(value(Value::SingleQuotedString(text))),
        data_type,
        array: false,
        format: None,
    };
    match parameter {
        Parameter::Null => value(Value::Null),
        Parameter::Bool(bool) => value(Value::Boolean(*bool)),
        Parameter::Int(int) if *int >= 0 => value(Value::Number(int.to_string(), false)),
        // Negative numbers are an operator and a number in SQL; a cast keeps them one value.
        Parameter::Int(int) => cast(int.to_string(), DataType::BigInt(None)),
        Parameter::Float(float) => cast(format!("{float:?}"), DataType::Double(ExactNumberInfo::None)),
        Parameter::Text(text) => value(Value::SingleQuotedString(text.clone())),
    }
}

/// Second pass: `*` means the columns that a table always has, not the virtual ones.
struct Wildcards<'a> {
    columns: &'a VirtualColumns,
}

impl VisitorMut for Wildcards<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let scope = scope_of(&select.from);
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) => self.hide(options, scope.tables.iter().map(|(_, table)| *table)),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let alias = name.0.last().and_then(ObjectNamePart::as_ident).map(folded);
                    let named = scope.tables.iter().filter(|(called, _)| Some(called) == alias.as_ref());
                    self.hide(options, named.map(|(_, table)| *table));
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

impl Wildcards<'_> {
    fn hide(&self, options: &mut WildcardAdditionalOptions, tables: impl Iterator<Item = Table>) {
        let hidden: BTreeSet<&String> =
            tables.filter_map(|table| self.columns.get(&table)).flat_map(BTreeMap::keys).collect();
        if hidden.is_empty() {
            return;
        }
        let mut names: Vec<ObjectName> = match options.opt_exclude.take() {
            Some(ExcludeSelectItem::Single(name)) => vec![name],
            Some(ExcludeSelectItem::Multiple(names)) => names,
            None => Vec::new(),
        };
        names.extend(hidden.into_iter().map(|name| ObjectName::from(Ident::with_quote('"', name.as_str()))));
        options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rewritten(text: &str, parameters: &[Parameter]) -> Result<(String, VirtualColumns)> {
        let mut statement = crate::sql::parse(text, 1 << 20).unwrap();
        let columns = rewrite(&mut statement, parameters)?;
        Ok((statement.to_string(), columns))
    }

    #[test]
    fn calls_become_columns_of_their_table() {
        let cases = [
            ("SELECT attr('a.b') FROM logs", r#"SELECT "attr('a.b')" FROM logs"#, "logs attr('a.b')"),
            (
                "SELECT ATTR_INT(l, 'x') FROM logs AS l JOIN spans AS s ON attr(s, 'y') = resource(l, 'z')",
                r#"SELECT l."attr_int('x')" FROM logs AS l JOIN spans AS s ON s."attr('y')" = l."resource('z')""#,
                "logs attr_int('x') logs resource('z') spans attr('y')",
            ),
            (
                "SELECT *, count(*) FROM spans GROUP BY attr('k') ORDER BY scope('s')",
                r#"SELECT * EXCLUDE ("attr('k')", "scope('s')"), count(*) FROM spans GROUP BY "attr('k')" ORDER BY "scope('s')""#,
                "spans attr('k') spans scope('s')",
            ),
            (
                "SELECT attr('k') FROM (SELECT attr('k') FROM logs) AS x",
                r#"SELECT "attr('k')" FROM (SELECT "attr('k')" FROM logs) AS x"#,
                "logs attr('k')",
            ),
            (
                "SELECT attr('it''s') FROM metric_samples JOIN metric_series USING (series_id)",
                r#"SELECT "attr('it''s')" FROM metric_samples JOIN metric_series USING(series_id)"#,
                "metric_series attr('it''s')",
            ),
        ];
        for (text, expected, columns) in cases {
            let (sql, found) = rewritten(text, &[]).unwrap();
            assert_eq!(sql, expected);
            let found: Vec<String> = found
                .iter()
                .flat_map(|(table, columns)| columns.keys().map(|name| format!("{} {name}", table.name())))
                .collect();
            assert_eq!(found.join(" "), columns, "{text}");
        }
    }

    #[test]
    fn each_accessor_reads_its_kind() {
        let text = "SELECT attr('k'), attr_int('k'), attr_double('k'), resource_bool('k'), scope_bytes('k') FROM logs";
        let (_, columns) = rewritten(text, &[]).unwrap();
        let key = || "k".into();
        let expected = [
            ("attr('k')", ScanColumn::AttributeText { family: Family::Record, key: key() }),
            ("attr_int('k')", ScanColumn::Attribute { family: Family::Record, key: key(), kind: Kind::Int }),
            ("attr_double('k')", ScanColumn::AttributeNumber { family: Family::Record, key: key() }),
            ("resource_bool('k')", ScanColumn::Attribute { family: Family::Resource, key: key(), kind: Kind::Bool }),
            ("scope_bytes('k')", ScanColumn::Attribute { family: Family::Scope, key: key(), kind: Kind::Bytes }),
        ];
        for (name, column) in expected {
            assert_eq!(columns[&Table::Logs][name], column);
        }
    }

    #[test]
    fn parameters_become_literals() {
        let parameters = [Parameter::Text("it's".into()), Parameter::Int(-3), Parameter::Float(0.5), Parameter::Null];
        let (sql, _) = rewritten("SELECT attr($1), $2, $3, $4 FROM logs LIMIT $2", &parameters).unwrap();
        let expected = r#"SELECT "attr('it''s')", CAST('-3' AS BIGINT), CAST('0.5' AS DOUBLE), NULL FROM logs LIMIT CAST('-3' AS BIGINT)"#;
        assert_eq!(sql, expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        let cases = [
            ("SELECT attr(body) FROM logs", "literal"),
            ("SELECT attr('a', 'b', 'c') FROM logs", "alias"),
            ("SELECT attr('k') FROM logs, spans", "several tables"),
            ("SELECT attr('k') FROM metric_samples", "no attributes"),
            ("SELECT attr('k')", "no table"),
            ("SELECT $1", "0 values"),
            ("SELECT $x", "$1"),
            ("WITH logs AS (SELECT 1) SELECT * FROM logs", "choose another"),
        ];
        for (text, part) in cases {
            let error = rewritten(text, &[]).expect_err(text);
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }
}
