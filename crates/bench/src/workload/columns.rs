//! How does telemetry look as plain columns? Parquet with one column for each attribute, for engines that take no OTLP.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::error::ArrowError;
use causeway_model::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::logs::Log;
use super::spans::SpanRow;
use super::world::Instance;
use super::{Attributes, Value};

/// Attributes of logs, with whether they are numbers.
pub const LOG_KEYS: [(&str, bool); 8] = [
    ("http.route", false),
    ("http.response.status_code", true),
    ("user.id", false),
    ("duration_us", true),
    ("request.id", false),
    ("client.address", false),
    ("thread.name", false),
    ("session.id", false),
];
/// Attributes of spans, with whether they are numbers.
pub const SPAN_KEYS: [(&str, bool); 15] = [
    ("http.request.method", false),
    ("http.route", false),
    ("http.response.status_code", true),
    ("url.path", false),
    ("request.id", false),
    ("server.address", false),
    ("network.peer.port", true),
    ("client.address", false),
    ("user.id", false),
    ("request.bytes", true),
    ("db.system.name", false),
    ("db.query.text", false),
    ("db.operation.name", false),
    ("db.namespace", false),
    ("db.response.returned_rows", true),
];

/// A Parquet file in the making.
pub struct ColumnFile {
    writer: Option<ArrowWriter<File>>,
    path: std::path::PathBuf,
}

impl ColumnFile {
    /// A file at this path; what was there is replaced.
    pub fn new(path: &Path) -> Self {
        Self { writer: None, path: path.to_owned() }
    }

    /// Adds rows; the first decide the schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => {
                let level = ZstdLevel::try_new(1).map_err(parquet_error)?;
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .set_max_row_group_row_count(Some(131_072))
                    .build();
                let file = File::create(&self.path)?;
                empty.insert(ArrowWriter::try_new(file, batch.schema(), Some(properties)).map_err(parquet_error)?)
            }
        };
        writer.write(batch).map_err(parquet_error)
    }

    /// Writes what is left and the footer.
    pub fn finish(self) -> Result<()> {
        match self.writer {
            Some(writer) => writer.close().map(|_| ()).map_err(parquet_error),
            None => Ok(()),
        }
    }
}

fn parquet_error(error: parquet::errors::ParquetError) -> Error {
    Error::internal(format!("parquet: {error}"))
}

/// Lines as columns.
pub fn logs(instance: Instance, rows: &[Log]) -> Result<RecordBatch> {
    let mut columns = vec![
        ("time", times(rows.iter().map(|row| row.time_ns))),
        ("severity_number", int32(rows.iter().map(|row| row.severity_number))),
        ("severity_text", text(rows.iter().map(|row| Some(row.severity_text)))),
        ("body", text(rows.iter().map(|row| Some(row.body.as_str())))),
        ("trace_id", ids(rows.iter().map(|row| Some(row.trace_id)))?),
        ("span_id", ids(rows.iter().map(|row| Some(row.span_id)))?),
    ];
    let attributes: Vec<_> = rows.iter().map(|row| &row.attributes).collect();
    add_attributes(&mut columns, instance, &LOG_KEYS, &attributes);
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))?)
}

/// Spans as columns.
pub fn spans(instance: Instance, rows: &[SpanRow]) -> Result<RecordBatch> {
    let mut columns = vec![
        ("time", times(rows.iter().map(|row| row.time_ns))),
        ("duration_ns", int64(rows.iter().map(|row| Some(row.duration_ns as i64)))),
        ("trace_id", ids(rows.iter().map(|row| Some(row.trace_id)))?),
        ("span_id", ids(rows.iter().map(|row| Some(row.span_id)))?),
        ("parent_span_id", ids(rows.iter().map(|row| Some(row.parent_span_id.unwrap_or_default())))?),
        ("name", text(rows.iter().map(|row| Some(row.name.as_str())))),
        ("kind", int32(rows.iter().map(|row| row.kind))),
        ("status_code", int32(rows.iter().map(|row| row.status_code))),
    ];
    let attributes: Vec<_> = rows.iter().map(|row| &row.attributes).collect();
    add_attributes(&mut columns, instance, &SPAN_KEYS, &attributes);
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))?)
}

fn add_attributes(
    columns: &mut Vec<(&'static str, ArrayRef)>,
    instance: Instance,
    keys: &[(&'static str, bool)],
    rows: &[&Attributes],
) {
    for (key, value) in instance.attributes() {
        let key = if key == "service.name" { "service_name" } else { key };
        columns.push((key, text(rows.iter().map(|_| Some(value.as_str())))));
    }
    for (key, number) in keys {
        let values = rows.iter().map(|row| row.iter().find(|(name, _)| name == key).map(|(_, value)| value));
        let array = if *number {
            int64(values.map(|value| match value {
                Some(Value::Int(number)) => Some(*number),
                _ => None,
            }))
        } else {
            text(values.map(|value| match value {
                Some(Value::Text(text)) => Some(text.as_str()),
                _ => None,
            }))
        };
        columns.push((key, array));
    }
}

fn times(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from_iter_values(values.map(|value| value as i64)).with_timezone("UTC"))
}

fn int32(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn int64(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values))
}

fn text<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn ids<const N: usize>(values: impl Iterator<Item = Option<[u8; N]>>) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, N as i32)?))
}
