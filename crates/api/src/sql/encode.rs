//! Which bytes does an answer become? JSON, NDJSON, CSV or an Arrow IPC stream, written while the rows come.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use causeway_model::{Error, Result, json_escape_into};
use causeway_query::{Answer, Report};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::cells::{Cell, Style, cell_writer};
use super::error_json;
use crate::errors::verdict;

/// Rows that are written before other tasks get their turn: some hundred microseconds.
const SLICE_ROWS: usize = 1024;

/// A form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object: `columns`, `rows`, `stats`.
    Json,
    /// One object a line and row.
    Ndjson,
    /// RFC 4180, with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// All forms.
    pub const ALL: [Self; 4] = [Self::Json, Self::Ndjson, Self::Csv, Self::Arrow];

    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// How exactly a media range of Accept means this form: 3 by its name, 2 by its type, 1 as anything, 0 not at all.
    pub fn exactness(self, range: &str) -> u8 {
        let essence = self.content_type().split(';').next().unwrap_or_default();
        let is = |name: &str| range.eq_ignore_ascii_case(name);
        if is(essence) || (self == Self::Ndjson && is("application/ndjson")) {
            return 3;
        }
        let of_type = range
            .strip_suffix("/*")
            .is_some_and(|kind| essence.split_once('/').is_some_and(|(own, _)| own.eq_ignore_ascii_case(kind)));
        if of_type { 2 } else { u8::from(range == "*/*") }
    }
}

/// An answer as bytes. Dropping `chunks` ends the work behind it.
pub struct Encoded {
    /// The bytes. An error breaks them off where the form can't say it (CSV, Arrow).
    pub chunks: BoxStream<'static, Result<Bytes>>,
    /// How the answer knows; complete once `chunks` has ended.
    pub report: Arc<Report>,
    /// What went wrong after the first rows.
    pub failure: Arc<OnceLock<Error>>,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded").field("report", &self.report).finish_non_exhaustive()
    }
}

/// Encodes an answer. Waits for its first rows, so that what fails before them can still become a status.
///
/// # Errors
/// Those of the answer up to its first rows.
pub async fn encode(answer: Answer, format: Format) -> Result<Encoded> {
    let Answer { schema, mut rows, report } = answer;
    let mut slices = VecDeque::new();
    let ended = match rows.next().await {
        Some(batch) => {
            slices.extend(sliced(&batch?));
            false
        }
        None => true,
    };
    let mut writer = Writer::new(format, schema)?;
    let mut out = Vec::new();
    writer.begin(&mut out)?;
    let failure = Arc::new(OnceLock::new());
    let state =
        State { writer, rows, slices, ended, done: false, report: report.clone(), failure: failure.clone(), out };
    let chunks = futures::stream::unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        Some((chunk, state))
    });
    Ok(Encoded { chunks: chunks.boxed(), report, failure })
}

struct State {
    writer: Writer,
    rows: BoxStream<'static, Result<RecordBatch>>,
    slices: VecDeque<RecordBatch>,
    ended: bool,
    done: bool,
    report: Arc<Report>,
    failure: Arc<OnceLock<Error>>,
    out: Vec<u8>,
}

impl State {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        if self.done {
            return None;
        }
        let step = self.step().await;
        let written = match step {
            Ok(()) => Ok(Bytes::from(std::mem::take(&mut self.out))),
            Err(error) => {
                self.done = true;
                let told = self.writer.fail(&error, &self.report, &mut self.out);
                let _ = self.failure.set(error.clone());
                if told { Ok(Bytes::from(std::mem::take(&mut self.out))) } else { Err(error) }
            }
        };
        Some(written)
    }

    async fn step(&mut self) -> Result<()> {
        if self.slices.is_empty() && !self.ended {
            match self.rows.next().await {
                Some(batch) => self.slices.extend(sliced(&batch?)),
                None => self.ended = true,
            }
        }
        match self.slices.pop_front() {
            Some(slice) => self.writer.write(&slice, &mut self.out),
            None if self.ended => {
                self.done = true;
                self.writer.end(&self.report, &mut self.out)
            }
            None => Ok(()),
        }
    }
}

fn sliced(batch: &RecordBatch) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    (0..rows).step_by(SLICE_ROWS).map(|start| batch.slice(start, SLICE_ROWS.min(rows - start))).collect()
}

struct Writer {
    format: Format,
    schema: SchemaRef,
    arrow: Option<StreamWriter<Vec<u8>>>,
    rows_written: u64,
}

impl Writer {
    fn new(format: Format, schema: SchemaRef) -> Result<Self> {
        let arrow = if format == Format::Arrow { Some(StreamWriter::try_new(Vec::new(), &schema)?) } else { None };
        Ok(Self { format, schema, arrow, rows_written: 0 })
    }

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match self.format {
            Format::Json => {
                let columns: Vec<_> = self
                    .schema
                    .fields()
                    .iter()
                    .map(|field| serde_json::json!({ "name": field.name(), "type": type_name(field.data_type()) }))
                    .collect();
                write!(out, "{{\"columns\":{},\"rows\":[", serde_json::Value::from(columns))?;
            }
            Format::Csv => {
                let names: Vec<String> = self.schema.fields().iter().map(|field| csv_text(field.name())).collect();
                write!(out, "{}\r\n", names.join(","))?;
            }
            Format::Ndjson => {}
            Format::Arrow => self.drain_arrow(out),
        }
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if let Some(arrow) = &mut self.arrow {
            arrow.write(batch)?;
            self.drain_arrow(out);
            return Ok(());
        }
        let style = if self.format == Format::Csv { Style::Text } else { Style::Json };
        let cells = batch.columns().iter().map(|column| cell_writer(column, style)).collect::<Result<Vec<_>>>()?;
        let mut text = String::new();
        match self.format {
            Format::Csv => write_csv(&cells, batch.num_rows(), &mut text),
            Format::Ndjson => write_ndjson(&self.schema, &cells, batch.num_rows(), &mut text),
            Format::Json | Format::Arrow => {
                for row in 0..batch.num_rows() {
                    text.push_str(if self.rows_written == 0 { "\n[" } else { ",\n[" });
                    self.rows_written += 1;
                    for (column, cell) in cells.iter().enumerate() {
                        if column > 0 {
                            text.push(',');
                        }
                        cell(row, &mut text);
                    }
                    text.push(']');
                }
            }
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn end(&mut self, report: &Report, out: &mut Vec<u8>) -> Result<()> {
        if let Some(arrow) = &mut self.arrow {
            arrow.finish()?;
            self.drain_arrow(out);
        }
        if self.format == Format::Json {
            writeln!(out, "],\"stats\":{}}}", stats(report))?;
        }
        Ok(())
    }

    /// Says the error in the form's own way; `false` where it has none.
    fn fail(&mut self, error: &Error, report: &Report, out: &mut Vec<u8>) -> bool {
        // A row that was half written when the error came is not sent.
        out.clear();
        match self.format {
            Format::Json => writeln!(out, "],\"error\":{},\"stats\":{}}}", error_json(error), stats(report)).is_ok(),
            Format::Ndjson => writeln!(out, "{{\"error\":{}}}", error_json(error)).is_ok(),
            Format::Csv | Format::Arrow => false,
        }
    }

    fn drain_arrow(&mut self, out: &mut Vec<u8>) {
        if let Some(arrow) = &mut self.arrow {
            out.append(arrow.get_mut());
        }
    }
}

fn write_csv(cells: &[Cell<'_>], rows: usize, out: &mut String) {
    let mut text = String::new();
    for row in 0..rows {
        for (column, cell) in cells.iter().enumerate() {
            if column > 0 {
                out.push(',');
            }
            text.clear();
            cell(row, &mut text);
            out.push_str(&csv_text(&text));
        }
        out.push_str("\r\n");
    }
}

fn csv_text(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn write_ndjson(schema: &SchemaRef, cells: &[Cell<'_>], rows: usize, out: &mut String) {
    let names: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut name = String::new();
            json_escape_into(field.name(), &mut name);
            name
        })
        .collect();
    for row in 0..rows {
        out.push('{');
        for (column, (name, cell)) in names.iter().zip(cells).enumerate() {
            if column > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push(':');
            cell(row, out);
        }
        out.push_str("}\n");
    }
}

/// How the answer knows, as JSON.
pub fn stats(report: &Report) -> serde_json::Value {
    let coverage = report.coverage.get();
    serde_json::json!({
        "rows_scanned": Report::get(&report.rows_scanned),
        "bytes_scanned": Report::get(&report.bytes_scanned),
        "parts": Report::get(&report.parts),
        "parts_skipped": Report::get(&report.parts_skipped),
        "row_groups": Report::get(&report.row_groups),
        "row_groups_skipped": Report::get(&report.row_groups_skipped),
        "blocks": Report::get(&report.blocks),
        "blocks_skipped": Report::get(&report.blocks_skipped),
        "rows_returned": Report::get(&report.rows_returned),
        "elapsed_ms": Report::get(&report.elapsed_ns) as f64 / 1e6,
        "partial": coverage.is_some(),
        "coverage": coverage.map(|coverage| serde_json::json!({
            "limit": verdict(coverage.limit).word,
            "fraction": coverage.fraction,
        })),
    })
}

/// A type in words that outlive Arrow's spelling: of several widths of text or lists there is one.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes".into(),
        DataType::FixedSizeBinary(_) => "id".into(),
        DataType::Timestamp(
            TimeUnit::Nanosecond | TimeUnit::Microsecond | TimeUnit::Millisecond | TimeUnit::Second,
            _,
        ) => "timestamp".into(),
        DataType::Boolean => "bool".into(),
        DataType::Dictionary(_, value) => type_name(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("list<{}>", type_name(item.data_type()))
        }
        DataType::Map(..) => "map".into(),
        DataType::Struct(_) => "struct".into(),
        other => other.to_string().to_lowercase(),
    }
}
