//! How does an answer look in a terminal? Aligned columns, numbers to the right, one line a row.

pub use causeway_trace::harmless;
use serde::Deserialize;
use serde_json::Value;

/// A cell is cut after this many characters; `--format json` shows all of it.
const CELL_CHARS_MAX: usize = 200;

/// An answer in JSON.
#[derive(Debug, Deserialize)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
}

impl Table {
    /// A table of these columns; each row is an object, what a column lacks in it stays empty.
    pub fn of(columns: &[&str], rows: &[Value]) -> Self {
        let cells = |row: &Value| columns.iter().map(|column| row.get(column).cloned().unwrap_or_default()).collect();
        let rows = rows.iter().map(cells).collect();
        Self { columns: columns.iter().map(|name| Column { name: (*name).to_owned() }).collect(), rows }
    }

    /// The table as text.
    pub fn render(&self) -> String {
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let width = |at: usize, name: &str| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            cells.chain([name.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(|(at, column)| width(at, &column.name)).collect();
        let numeric: Vec<bool> = (0..self.columns.len())
            .map(|at| self.rows.iter().filter_map(|row| row.get(at)).all(|cell| cell.is_number() || cell.is_null()))
            .collect();
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let mut out = line(&names, &widths, &numeric);
        out.push_str(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  "));
        out.push('\n');
        for row in &rows {
            out.push_str(&line(row, &widths, &numeric));
        }
        out
    }
}

fn line(cells: &[String], widths: &[usize], numeric: &[bool]) -> String {
    let padded = cells.iter().zip(widths).zip(numeric).map(|((cell, width), right)| {
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        if *right { format!("{padding}{cell}") } else { format!("{cell}{padding}") }
    });
    format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    harmless(&text, CELL_CHARS_MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_terminals_are_safe() {
        let json = r#"{"columns":[{"name":"service","type":"string"},{"name":"n","type":"int64"}],
                       "rows":[["cart\u001b[31m",5],[null,12345]],"stats":{}}"#;
        let table: Table = serde_json::from_str(json).unwrap();
        assert_eq!(table.render(), "service        n\n---------  -----\ncart·[31m      5\n           12345\n");
        assert_eq!(cell(&Value::String("x".repeat(300))).chars().count(), 201);
    }
}
