//! Which dimensions does the data have? Attribute keys from the store's statistics, without reading a row, and the fixed columns that
//! tell rows apart.

use causeway_model::Result;

use crate::ask::{Inquiry, quoted};

/// A dimension: an attribute or a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dimension {
    /// Its name for people.
    pub key: String,
    /// `attr`, `resource`, `scope`; empty for a column.
    pub family: String,
    /// Its value as text in SQL.
    pub text: String,
    /// Its value as a number in SQL, where it has one.
    pub number: Option<String>,
    /// Estimate of its distinct values.
    pub distinct: u64,
    /// Rows that have it.
    pub rows: u64,
}

/// Columns that tell rows apart, by table.
fn columns(table: &str) -> &'static [&'static str] {
    match table {
        "logs" => &["service_name", "severity_text", "event_name", "scope_name"],
        _ => &["service_name", "name", "kind", "status_code", "status_message", "scope_name"],
    }
}

/// The dimensions of a table, those with the most rows first.
pub(crate) async fn dimensions(inquiry: &Inquiry<'_>, table: &str) -> Result<Vec<Dimension>> {
    let column = |name: &&str| Dimension {
        key: (*name).to_owned(),
        family: String::new(),
        text: (*name).to_owned(),
        number: None,
        distinct: 0,
        rows: u64::MAX,
    };
    let mut dimensions: Vec<Dimension> = columns(table).iter().map(column).collect();
    let sql = format!(
        "SELECT family, key, sum(rows), max(distinct_values), bool_and(kind IN ('int', 'double')) FROM attribute_keys({}) \
         WHERE kind IN ('string', 'int', 'double', 'bool') GROUP BY family, key ORDER BY 3 DESC, family, key",
        quoted(table)
    );
    inquiry
        .each(sql, |rows| {
            let (families, keys, counts) = (rows.text(0)?, rows.text(1)?, rows.integers(2)?);
            let (distinct, numbers) = (rows.integers(3)?, rows.booleans(4)?);
            for row in 0..rows.len() {
                let (family, key) = (families.value(row), keys.value(row));
                // The column service_name is the resource's service.name.
                if family == "resource" && key == "service.name" {
                    continue;
                }
                let literal = quoted(key);
                dimensions.push(Dimension {
                    key: key.to_owned(),
                    family: family.to_owned(),
                    text: format!("{family}({literal})"),
                    number: numbers.value(row).then(|| format!("{family}_double({literal})")),
                    distinct: u64::try_from(distinct.value(row)).unwrap_or(0),
                    rows: u64::try_from(counts.value(row)).unwrap_or(0),
                });
            }
            Ok(())
        })
        .await?;
    Ok(dimensions)
}
