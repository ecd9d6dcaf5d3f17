//! What does a statement do, without the values in it? Its summary and its text for spans (semantic conventions for databases).

/// Longest text of a statement that is kept.
const TEXT_BYTES_MAX: usize = 2048;
/// Longest summary; the conventions' own limit.
const SUMMARY_BYTES_MAX: usize = 255;

/// A statement as spans show it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Operations and tables, such as `SELECT orders`.
    pub(crate) summary: String,
    /// The first operation, such as `SELECT`.
    pub(crate) operation: String,
    /// The first table, if one is named.
    pub(crate) collection: Option<String>,
    /// The text with `?` in place of every literal.
    pub(crate) text: String,
}

enum Token<'a> {
    Word(&'a str),
    Literal,
    Other(char),
}

/// Words after which a table is named.
const BEFORE_TABLE: [&str; 5] = ["FROM", "INTO", "UPDATE", "JOIN", "TABLE"];
/// Words that begin something worth a place in the summary.
const OPERATIONS: [&str; 12] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "ALTER", "DROP", "BEGIN", "COMMIT", "ROLLBACK", "PRAGMA",
];
/// Words that may stand between these and the table's name.
const BETWEEN: [&str; 5] = ["IF", "NOT", "EXISTS", "ONLY", "OR"];
/// Words before an `UPDATE` that names no table.
const WITH_UPDATE: [&str; 4] = ["DO", "FOR", "KEY", "ON"];

impl Statement {
    pub(crate) fn read(sql: &str) -> Self {
        let (mut summary, mut text) = (String::new(), String::new());
        let (mut operation, mut collection) = (None, None);
        let mut table_next = false;
        let mut before = String::new();
        let mut rest = sql.trim();
        let mut spaced = false;
        while let Some((token, tail, space_before)) = next(rest) {
            spaced |= space_before;
            if spaced && !text.is_empty() {
                text.push(' ');
            }
            spaced = false;
            match token {
                Token::Literal => text.push('?'),
                Token::Other(other) => {
                    text.push(other);
                    table_next &= other == '"' || other == '`';
                }
                Token::Word(word) => {
                    text.push_str(word);
                    let upper = word.to_ascii_uppercase();
                    // In `DO UPDATE SET` and `FOR UPDATE` it is part of another operation.
                    let another = upper == "UPDATE" && WITH_UPDATE.contains(&before.as_str());
                    if BEFORE_TABLE.contains(&upper.as_str()) {
                        table_next = !another;
                    } else if table_next && !BETWEEN.contains(&upper.as_str()) {
                        table_next = false;
                        collection.get_or_insert_with(|| word.to_owned());
                        append(&mut summary, word);
                    }
                    if OPERATIONS.contains(&upper.as_str()) && !another {
                        operation.get_or_insert_with(|| upper.clone());
                        append(&mut summary, &upper);
                    }
                    before = upper;
                }
            }
            rest = tail;
            if text.len() >= TEXT_BYTES_MAX {
                text.push('…');
                break;
            }
        }
        let operation = operation.unwrap_or_else(|| "OTHER".to_owned());
        let summary = if summary.is_empty() { operation.clone() } else { summary };
        Self { summary, operation, collection, text }
    }
}

fn append(summary: &mut String, word: &str) {
    if summary.len() + word.len() < SUMMARY_BYTES_MAX {
        if !summary.is_empty() {
            summary.push(' ');
        }
        summary.push_str(word);
    }
}

/// The next token, what follows it, and whether space or a comment came before it. Comments are left out: people write values into them.
fn next(sql: &str) -> Option<(Token<'_>, &str, bool)> {
    let mut rest = sql;
    loop {
        let trimmed = rest.trim_start();
        rest = match (trimmed.strip_prefix("--"), trimmed.strip_prefix("/*")) {
            (Some(comment), _) => comment.split_once('\n').map_or("", |(_, after)| after),
            (_, Some(comment)) => after_comment(comment),
            _ => break,
        };
    }
    let rest = rest.trim_start();
    let space_before = rest.len() < sql.len();
    let first = rest.chars().next()?;
    let word_end =
        |text: &str| text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(text.len());
    let (token, length) = match first {
        '\'' => (Token::Literal, quoted_length(rest, false)),
        // PostgreSQL's strings with escapes, and its strings between any two equal tags.
        'e' | 'E' if rest[1..].starts_with('\'') => (Token::Literal, 1 + quoted_length(&rest[1..], true)),
        '$' if tag(rest).is_some() => (Token::Literal, tagged_length(rest)),
        '0'..='9' => (Token::Literal, word_end(rest)),
        // A placeholder and its number are one word: `$1`, `?2`, `:name`.
        '$' | '?' | ':' | '@' => {
            let length = first.len_utf8() + word_end(&rest[first.len_utf8()..]);
            (Token::Word(&rest[..length]), length)
        }
        _ if first.is_alphabetic() || first == '_' => {
            let length = word_end(rest);
            (Token::Word(&rest[..length]), length)
        }
        _ => (Token::Other(first), first.len_utf8()),
    };
    Some((token, &rest[length..], space_before))
}

/// What follows a comment that has begun. PostgreSQL's may hold others, so that everything up to the end of the outermost is left out.
fn after_comment(text: &str) -> &str {
    let mut depth = 1usize;
    let mut rest = text;
    while let Some(at) = rest.find(['/', '*']) {
        let mark = &rest[at..];
        let (length, now) = match (mark.starts_with("/*"), mark.starts_with("*/")) {
            (true, _) => (2, depth.saturating_add(1)),
            (_, true) => (2, depth - 1),
            _ => (1, depth),
        };
        rest = &mark[length..];
        depth = now;
        if depth == 0 {
            return rest;
        }
    }
    ""
}

/// The tag that begins a string such as `$$text$$` or `$tag$text$tag$`; a placeholder has a number instead.
fn tag(text: &str) -> Option<&str> {
    let name = text.get(1..)?;
    let length = name.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(name.len());
    let begins_well = !name.starts_with(|letter: char| letter.is_ascii_digit());
    (begins_well && name[length..].starts_with('$')).then(|| &text[..length + 2])
}

/// Bytes of a string between tags; to the end where it is not closed.
fn tagged_length(text: &str) -> usize {
    let Some(tag) = tag(text) else { return text.len() };
    text[tag.len()..].find(tag).map_or(text.len(), |at| at + 2 * tag.len())
}

/// Bytes of a quoted text, in which a doubled quote is one, and with `escapes` also one after a backslash; to the end where it is not closed.
fn quoted_length(text: &str, escapes: bool) -> usize {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' if escapes => drop(letters.next()),
            '\'' if letters.peek().is_some_and(|(_, next)| *next == '\'') => drop(letters.next()),
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn summary_and_text_by_example() {
        for (sql, summary, text) in [
            ("SELECT id FROM orders WHERE id = $1", "SELECT orders", "SELECT id FROM orders WHERE id = $1"),
            (
                "select *\n from a join b on a.x=b.x where n='O''Neil' and k>17",
                "SELECT a b",
                "select * from a join b on a.x=b.x where n=? and k>?",
            ),
            ("INSERT INTO items (a, b) VALUES (?, 'x')", "INSERT items", "INSERT INTO items (a, b) VALUES (?, ?)"),
            ("UPDATE stock SET n = n - 1", "UPDATE stock", "UPDATE stock SET n = n - ?"),
            ("DELETE FROM carts -- of user 17\n WHERE id = ?1", "DELETE carts", "DELETE FROM carts WHERE id = ?1"),
            ("CREATE TABLE IF NOT EXISTS t (id INTEGER)", "CREATE t", "CREATE TABLE IF NOT EXISTS t (id INTEGER)"),
            ("INSERT INTO \"odd name\" SELECT 1", "INSERT odd SELECT", "INSERT INTO \"odd name\" SELECT ?"),
            (
                "INSERT INTO carts (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = 2",
                "INSERT carts",
                "INSERT INTO carts (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = ?",
            ),
            ("SELECT a FROM b FOR UPDATE", "SELECT b", "SELECT a FROM b FOR UPDATE"),
            ("SELECT E'it\\'s', $$it's$$, $t$a $$ b$t$, $1::text", "SELECT", "SELECT ?, ?, ?, $1::text"),
            ("SELECT 1 /* a /* b */ c */ FROM t", "SELECT t", "SELECT ? FROM t"),
            ("SELECT $never closed$ 'a'", "SELECT", "SELECT $never closed$ ?"),
            ("'never closed", "OTHER", "?"),
            ("", "OTHER", ""),
        ] {
            let read = Statement::read(sql);
            assert_eq!((read.summary.as_str(), read.text.as_str()), (summary, text), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn no_literal_survives(before in "[a-z ]{0,10}", value in "[a-z0-9 ]{1,12}", number in 1000u32..) {
            let secret = format!("secret{}", value.replace('\'', ""));
            let sql = format!(
                "SELECT {before} FROM t WHERE a = '{secret}' AND b = {number} /* {secret} /* x */ {secret} */ \
                 AND c IN ($${secret}$$, $x${secret}$x$, E'\\'{secret}')"
            );
            let text = Statement::read(&sql).text;
            prop_assert!(!text.contains(&secret) && !text.contains(&number.to_string()), "{text}");
        }

        #[test]
        fn any_text_is_read(sql in "\\PC{0,200}") {
            let read = Statement::read(&sql);
            prop_assert!(read.summary.len() <= SUMMARY_BYTES_MAX);
        }
    }
}
