//! Is this text one question? Parses SQL; exactly one statement, and only those that read.

use causeway_model::{Error, Result};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::limits::from_datafusion;

/// Depth of nesting (parentheses, subqueries). 64: no person writes more, and each level costs stack in every pass.
const NESTING_MAX: usize = 64;

/// Operators in one statement. 2,000: a chain of operators is a tree as deep as it is long.
const OPERATORS_MAX: usize = 2_000;

/// Depth of nesting of [`RETRIED`] forms. 10: where one of them holds a flaw, the parser reads its inside twice, so that each
/// level doubles the time; 10 levels cost about a millisecond.
const RETRIED_NESTING_MAX: usize = 10;

/// Forms with a grammar of their own, which the parser first reads one way and then another.
const RETRIED: [&str; 17] = [
    "array",
    "cast",
    "ceil",
    "ceiling",
    "convert",
    "extract",
    "floor",
    "interval",
    "map",
    "overlay",
    "position",
    "safe_cast",
    "struct",
    "substr",
    "substring",
    "trim",
    "try_cast",
];

const POSSIBLE: &str = "possible are SELECT, WITH, VALUES, EXPLAIN [ANALYZE], SHOW TABLES and DESCRIBE";

/// Parses one statement that only reads.
pub(crate) fn parse(text: &str, bytes_max: usize) -> Result<Statement> {
    if text.len() > bytes_max {
        return Err(Error::invalid(format!("the SQL text has {} bytes, more than {bytes_max}", text.len())));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize().map_err(|error| Error::invalid(format!("SQL: {error}")))?;
    check_words(&tokens)?;
    let operators = tokens.iter().filter(|token| is_operator(token)).count();
    if operators > OPERATORS_MAX {
        return Err(Error::invalid(format!(
            "the SQL has {operators} operators, more than {OPERATORS_MAX}; use IN (...) for long lists"
        )));
    }
    let mut statements = DFParserBuilder::new(text)
        .with_dialect(&dialect)
        .with_recursion_limit(NESTING_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| from_datafusion(&error))?;
    match (statements.pop_front(), statements.len()) {
        (None, _) => Err(Error::invalid(format!("the SQL is empty; {POSSIBLE}"))),
        (Some(statement), 0) => {
            only_reads(&statement)?;
            Ok(statement)
        }
        (Some(_), more) => Err(Error::invalid(format!("one statement at a time, not {}", more + 1))),
    }
}

/// Refuses what would take the parser too long, and what DataFusion reads over.
fn check_words(tokens: &[Token]) -> Result<()> {
    let mut open: Vec<bool> = Vec::new();
    let mut before = "";
    for token in tokens {
        match token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket => {
                open.push(RETRIED.iter().any(|form| before.eq_ignore_ascii_case(form)));
                if open.iter().filter(|retried| **retried).count() > RETRIED_NESTING_MAX {
                    let message =
                        format!("the SQL nests cast and its like deeper than {RETRIED_NESTING_MAX}; use WITH");
                    return Err(Error::invalid(message));
                }
            }
            Token::RParen | Token::RBracket => {
                open.pop();
            }
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("tablesample") => {
                return Err(Error::invalid("TABLESAMPLE is not supported; narrow the time range instead"));
            }
            _ => {}
        }
        before = match token {
            Token::Word(word) if word.quote_style.is_none() => &word.value,
            _ => "",
        };
    }
    Ok(())
}

/// Whether the token can make the tree one level deeper without nesting.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) if word.quote_style.is_none() => {
            let deepening = ["and", "or", "not", "union", "intersect", "except", "join", "like", "ilike", "is"];
            deepening.iter().any(|keyword| word.value.eq_ignore_ascii_case(keyword))
        }
        Token::Word(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::LParen
        | Token::RParen
        | Token::Period
        | Token::Placeholder(_)
        | Token::SemiColon
        | Token::EOF => false,
        _ => true,
    }
}

fn only_reads(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Explain(explain) => only_reads(&explain.statement),
        Statement::Statement(inner) => match inner.as_ref() {
            SqlStatement::Query(_)
            | SqlStatement::ShowTables { .. }
            | SqlStatement::ShowColumns { .. }
            | SqlStatement::ExplainTable { .. } => Ok(()),
            SqlStatement::Explain { statement, .. } if matches!(statement.as_ref(), SqlStatement::Query(_)) => Ok(()),
            _ => Err(Error::invalid(format!("only questions are answered here; {POSSIBLE}"))),
        },
        _ => Err(Error::invalid(format!("only questions are answered here; {POSSIBLE}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_one_reading_statement_is_taken() {
        for good in ["SELECT 1", "select 1;", "EXPLAIN ANALYZE SELECT 1", "SHOW TABLES", "DESCRIBE logs", "VALUES (1)"]
        {
            parse(good, 1000).unwrap();
        }
        let bad = [
            "",
            ";",
            "SELECT 1; SELECT 2",
            "DELETE FROM logs",
            "DROP TABLE logs",
            "CREATE TABLE x AS SELECT 1",
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
            "COPY logs TO 'x.csv'",
            "SET datafusion.execution.batch_size = 1",
            "EXPLAIN DELETE FROM logs",
            "EXPLAIN ANALYZE COPY logs TO 'x.csv'",
            "SELECT 'unfinished",
            "SELECT count(*) FROM logs TABLESAMPLE (10)",
        ];
        for text in bad {
            let error = parse(text, 1000).expect_err(text);
            assert_eq!(error.kind, causeway_model::ErrorKind::Invalid, "{text}");
        }
        assert!(parse("SELECT 1", 3).is_err());
    }

    #[test]
    fn deep_text_is_an_error_and_not_a_crash() {
        let parentheses = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        let chain = format!("SELECT 1{}", " OR 1".repeat(100_000));
        let minus = format!("SELECT {}1", "- ".repeat(100_000));
        let unions = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(50_000));
        let cases = format!("SELECT {}1{}", "CASE WHEN ".repeat(10_000), " THEN 1 END".repeat(10_000));
        let casts = format!("SELECT {}1{}", "cast(".repeat(63), " as bigint)".repeat(63));
        let arrays = format!("SELECT {}1{}", "array[".repeat(40), "]".repeat(39));
        for text in [parentheses, chain, minus, unions, cases, casts, arrays] {
            assert!(parse(&text, 4 << 20).is_err());
        }
        let side_by_side = format!("SELECT {} 1", "cast(1 as bigint) + ".repeat(100));
        parse(&side_by_side, 4 << 20).unwrap();
    }
}
