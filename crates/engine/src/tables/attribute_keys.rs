//! Which attributes are there? `attribute_keys('logs')`: keys, kinds and counts from the parts' statistics and from memory,
//! without reading a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_model::{Family, Kind, Table};
use causeway_store::TableSnapshot;
use causeway_store::part::{KeyStatistics, batch_keys};
use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;

use super::{View, bigint, in_memory};

/// The name in SQL.
pub(crate) const NAME: &str = "attribute_keys";

/// Columns for the documentation, in order.
pub(crate) const COLUMNS: &[(&str, &str)] = &[
    ("family", "`attr`, `resource` or `scope`: the function that reads it."),
    ("key", "The key as sent."),
    (
        "kind",
        "`string`, `int`, `double`, `bool`, `bytes`, `array`, `map` or `empty`; a key sent with several kinds has several rows.",
    ),
    ("rows", "Rows that have it, exactly."),
    (
        "distinct_values",
        "Estimate of its distinct values: the largest of any one part or of memory, so rather too low.",
    ),
    ("promoted", "Whether some part gives it a column of its own."),
];

#[derive(Debug)]
pub(crate) struct AttributeKeys {
    view: Arc<View>,
}

impl AttributeKeys {
    pub(crate) fn new(view: Arc<View>) -> Self {
        Self { view }
    }
}

impl TableFunctionImpl for AttributeKeys {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let [Expr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _)] = args.exprs() else {
            return plan_err!("attribute_keys takes a table's name, such as attribute_keys('logs')");
        };
        let Some(snapshot) = Table::from_name(name).and_then(|table| self.view.table(table)) else {
            return plan_err!("attribute_keys: no table {name}");
        };
        in_memory(rows(&merged(snapshot))?)
    }
}

#[derive(Default)]
struct Key {
    rows: u64,
    distinct: u64,
    promoted: bool,
}

type Keys = BTreeMap<(Family, String, Kind), Key>;

fn merged(snapshot: &TableSnapshot) -> Keys {
    let mut keys = Keys::new();
    for part in &snapshot.parts {
        part.keys().iter().for_each(|statistics| add(&mut keys, statistics));
    }
    batch_keys(&snapshot.memory).iter().for_each(|statistics| add(&mut keys, statistics));
    keys
}

fn add(keys: &mut Keys, statistics: &KeyStatistics) {
    let key = keys.entry((statistics.family, statistics.key.clone(), statistics.kind)).or_default();
    key.rows = key.rows.saturating_add(statistics.rows);
    key.distinct = key.distinct.max(statistics.distinct);
    key.promoted |= statistics.promoted;
}

fn rows(keys: &Keys) -> Result<RecordBatch> {
    let columns: [ArrayRef; 6] = [
        Arc::new(StringArray::from_iter_values(keys.keys().map(|(family, ..)| family.prefix()))),
        Arc::new(StringArray::from_iter_values(keys.keys().map(|(_, key, _)| key))),
        Arc::new(StringArray::from_iter_values(keys.keys().map(|(.., kind)| kind.name()))),
        Arc::new(Int64Array::from_iter_values(keys.values().map(|key| bigint(key.rows)))),
        Arc::new(Int64Array::from_iter_values(keys.values().map(|key| bigint(key.distinct)))),
        Arc::new(keys.values().map(|key| Some(key.promoted)).collect::<BooleanArray>()),
    ];
    Ok(RecordBatch::try_from_iter(COLUMNS.iter().map(|(name, _)| *name).zip(columns))?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up_and_distinct_is_the_largest() {
        let mut keys = Keys::new();
        let statistics = |rows, distinct, promoted| KeyStatistics {
            family: Family::Resource,
            key: "host.name".into(),
            kind: Kind::String,
            rows,
            distinct,
            promoted,
        };
        add(&mut keys, &statistics(10, 3, false));
        add(&mut keys, &statistics(5, 4, true));
        let rows = rows(&keys).unwrap();
        let text = datafusion::arrow::util::pretty::pretty_format_batches(&[rows]).unwrap().to_string();
        assert!(text.contains("| resource | host.name | string | 15   | 4               | true     |"), "{text}");
    }
}
