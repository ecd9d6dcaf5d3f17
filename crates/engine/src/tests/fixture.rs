//! What do tests ask about? Rows written as JSON lines, made into batches, kept in memory or in parts.

use std::sync::Arc;

use causeway_model::{
    AttributeSets, AttributeSetsBuilder, Batch, ColumnLevel, Family, KeyDictionary, Result, Side, Signal, Table, Value,
};
use causeway_query::{Answer, Answerer, Limits, Parameter, Question};
use causeway_store::disk::{Disk, LocalDisk};
use causeway_store::part::{NewPart, Part, PartOptions, write_part};
use causeway_store::{LedgerRow, Snapshot, TableSnapshot};
use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use serde_json::{Map, Value as Json, json};

use crate::engine::Source;
use crate::{Engine, EngineOptions};

/// Tables made up by a test.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub tables: Vec<TableSnapshot>,
}

impl Source for Made {
    fn snapshot(&self, tables: &[Table]) -> Snapshot {
        let of = |table: &Table| {
            let found = self.tables.iter().find(|snapshot| snapshot.table == *table);
            found.cloned().unwrap_or(TableSnapshot {
                table: *table,
                parts: Vec::new(),
                memory: Vec::new(),
                unreadable_rows: 0,
            })
        };
        Snapshot { tables: tables.iter().map(of).collect() }
    }

    fn ledger(&self) -> Vec<LedgerRow> {
        vec![
            LedgerRow {
                sender: "otlp-http test".into(),
                signal: Signal::Logs,
                received: 10,
                stored: 7,
                dropped: vec![("invalid_trace_id".into(), 2), ("too_large".into(), 1)],
            },
            LedgerRow {
                sender: "otlp-grpc test".into(),
                signal: Signal::Spans,
                received: 5,
                stored: 5,
                dropped: vec![],
            },
        ]
    }
}

/// An engine over made-up tables; the directory lives as long as the engine is used.
pub(super) struct Fixture {
    pub engine: Arc<Engine>,
    _spill: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new(made: Made) -> Self {
        Self::with(made, |_| {})
    }

    pub(super) fn with(made: Made, change: impl FnOnce(&mut EngineOptions)) -> Self {
        let spill = tempfile::tempdir().unwrap();
        let mut options = EngineOptions::new(spill.path());
        options.target_partitions = 2;
        change(&mut options);
        Self { engine: Engine::over(Arc::new(made), options).unwrap(), _spill: spill }
    }

    pub(super) async fn ask(&self, sql: &str, limits: Limits) -> Result<Answer> {
        self.engine.ask(Question { sql: sql.into(), parameters: Vec::new(), limits }).await
    }

    /// The whole answer as text: a header, then a line a row.
    pub(super) async fn text(&self, sql: &str, parameters: Vec<Parameter>) -> Result<String> {
        let limits = Limits::default();
        let answer = self.engine.ask(Question { sql: sql.into(), parameters, limits }).await?;
        let names: Vec<String> = answer.schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut lines = vec![names.join(" | ")];
        for batch in collect(answer).await? {
            lines.extend(lines_of(&batch));
        }
        Ok(lines.join("\n"))
    }
}

pub(super) async fn collect(mut answer: Answer) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    while let Some(batch) = answer.rows.next().await {
        batches.push(batch?);
    }
    Ok(batches)
}

fn lines_of(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<ArrayFormatter<'_>> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let line = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | ");
    (0..batch.num_rows()).map(line).collect()
}

/// Rows as a batch: columns by their names, attributes under `attributes`, `resource` and `scope`.
pub(super) fn batch(table: Table, rows: &[Map<String, Json>]) -> Batch {
    let mut keys = KeyDictionary::new();
    let mut side = |level, family: &str| Side {
        columns: columns(table, level, rows),
        attributes: attributes(rows, family, &mut keys),
    };
    let records = side(ColumnLevel::Record, "attributes");
    let resources = side(ColumnLevel::Resource, Family::Resource.prefix());
    let scopes = side(ColumnLevel::Scope, Family::Scope.prefix());
    let own = || UInt32Array::from_iter_values(0..u32::try_from(rows.len()).unwrap());
    Batch::new(table, records, own(), resources, own(), scopes, keys).unwrap()
}

fn columns(table: Table, level: ColumnLevel, rows: &[Map<String, Json>]) -> Vec<ArrayRef> {
    let schema = table.schema(level);
    if schema.fields().is_empty() {
        return Vec::new();
    }
    let filled: Vec<Json> = rows
        .iter()
        .map(|row| {
            let value = |field: &Arc<Field>| row.get(field.name()).cloned().unwrap_or_else(|| missing(field));
            Json::Object(schema.fields().iter().map(|field| (field.name().clone(), value(field))).collect())
        })
        .collect();
    let mut decoder = ReaderBuilder::new(schema).with_batch_size(rows.len().max(1)).build_decoder().unwrap();
    decoder.serialize(&filled).unwrap();
    decoder.flush().unwrap().unwrap().columns().to_vec()
}

fn missing(field: &Field) -> Json {
    match field.data_type() {
        _ if field.is_nullable() => Json::Null,
        DataType::FixedSizeBinary(width) => json!("00".repeat(usize::try_from(*width).unwrap())),
        DataType::Utf8 => json!(""),
        DataType::List(_) => json!([]),
        DataType::Boolean => json!(false),
        _ => json!(0),
    }
}

fn attributes(rows: &[Map<String, Json>], family: &str, keys: &mut KeyDictionary) -> AttributeSets {
    let mut builder = AttributeSetsBuilder::new();
    for row in rows {
        for (key, value) in row.get(family).and_then(Json::as_object).into_iter().flatten() {
            let key = keys.number(key);
            let text = value.to_string();
            builder.push(
                key,
                match value {
                    Json::Null => Value::Empty,
                    Json::Bool(value) => Value::Bool(*value),
                    Json::String(text) => Value::String(text),
                    Json::Array(_) => Value::Array(&text),
                    Json::Object(_) => Value::Map(&text),
                    Json::Number(number) => {
                        number.as_i64().map_or_else(|| Value::Double(number.as_f64().unwrap()), Value::Int)
                    }
                },
            );
        }
        builder.finish_set();
    }
    builder.finish()
}

/// The batch as a part with tiny row groups and blocks.
pub(super) fn part(directory: &std::path::Path, id: u64, batch: &Arc<Batch>) -> Part {
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk::new(directory));
    disk.create_dir_all(&std::path::Path::new("parts").join(batch.table().name())).unwrap();
    let new = NewPart { id, level: 0, sequences: (id, id), created_unix_nano: 0 };
    let options = PartOptions { promoted_keys_max: 2, row_group_rows: 4, block_rows: 2, ..PartOptions::default() };
    let meta = write_part(&disk, batch.table(), std::slice::from_ref(batch), &new, &options).unwrap();
    Part::open(&disk, meta).unwrap()
}
