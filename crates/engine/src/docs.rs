//! What do the tables hold, column by column? The text of docs/tables.md, drawn from the tables themselves.

use std::fmt::Write as _;

use causeway_model::{Column, ColumnLevel, Table};
use datafusion::arrow::datatypes::DataType;

use crate::tables;

/// The text of docs/tables.md.
pub fn tables_markdown() -> String {
    let mut out = String::from(
        "# Tables\n\nGenerated from `crates/model/src/table.rs`; `UPDATE_DOCS=1` with the engine's tests writes it anew. \
         `docs/sql.md` says how to ask.\n",
    );
    for table in Table::ALL {
        section(&mut out, table.name(), about(table));
        out.push_str("| column | type | null | meaning |\n|---|---|---|---|\n");
        for column in table.columns() {
            row(&mut out, column);
        }
        if table.has_attributes() {
            out.push_str(
                "| attributes | map | no | The record's attributes as text; `attr('key')` reads one, faster. |\n",
            );
            out.push_str("| resource_attributes | map | no | Its resource's, `resource('key')`. |\n");
            out.push_str("| scope_attributes | map | no | Its scope's, `scope('key')`. |\n");
        }
    }
    system(
        &mut out,
        tables::LEDGER,
        "What was received, stored and dropped; exact across restarts.",
        tables::LEDGER_COLUMNS,
    );
    system(&mut out, tables::PARTS, "Where the rows live.", tables::PARTS_COLUMNS);
    let keys = format!("{}(table)", tables::ATTRIBUTE_KEYS);
    system(&mut out, &keys, "The attributes of a table, from statistics alone.", tables::ATTRIBUTE_KEYS_COLUMNS);
    out
}

fn section(out: &mut String, name: &str, about: &str) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\n## {name}\n\n{about}\n\n");
}

fn system(out: &mut String, name: &str, about: &str, columns: &[(&str, &str)]) {
    section(out, name, about);
    out.push_str("| column | meaning |\n|---|---|\n");
    for (column, doc) in columns {
        let _ = writeln!(out, "| {column} | {doc} |");
    }
}

fn row(out: &mut String, column: &Column) {
    let level = match column.level {
        ColumnLevel::Record => "",
        ColumnLevel::Resource => " (of the resource)",
        ColumnLevel::Scope => " (of the scope)",
    };
    let null = if column.nullable { "yes" } else { "no" };
    let kind = type_name(&(column.data_type)());
    let _ = writeln!(out, "| {} | {kind}{level} | {null} | {} |", column.name, column.doc);
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(..) => "timestamp, ns, UTC".to_owned(),
        DataType::FixedSizeBinary(width) => format!("{width} bytes"),
        DataType::Utf8 => "text".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::List(item) => format!("list of {}", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
            format!("({})", fields.join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}

fn about(table: Table) -> &'static str {
    match table {
        Table::Logs => "One row a log record.",
        Table::Spans => "One row a span, with its events and links.",
        Table::MetricSeries => "One row a time series and day: its name, type and labels.",
        Table::MetricSamples => "One row a data point; join `metric_series` by `series_id`.",
        Table::MetricRollups5m => {
            "One row a series and window of 5 minutes: the last sample in it, and what all were together. Not of the newest samples: see \
             guides/retention.md."
        }
        Table::MetricRollups1h => "The same of windows of an hour.",
        Table::Exemplars => "One row an exemplar of a data point; join `metric_series` by `series_id`.",
        Table::MetricMetadata => {
            "One row a metric, sender's words about it and day, of Prometheus' protocols; a restart may repeat one."
        }
        Table::Changes => "One row a change of state that was seen.",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn the_file_says_what_the_tables_are() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tables.md");
        let text = super::tables_markdown();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            file == text,
            "docs/tables.md is old: run the tests of causeway-engine with UPDATE_DOCS=1 and commit it"
        );
    }
}
