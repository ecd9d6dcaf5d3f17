//! How is the store asked, and what is remembered of it? One inquiry is one answer of the loop: each question that it asks is kept with
//! its cost.

use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use causeway_model::{Error, ErrorKind, Result};
use causeway_query::{Answerer, Limits, Question, Report};
use futures::StreamExt;
use parking_lot::Mutex;

use crate::types::{How, Queried, Window};

/// One question may take this long; what it has by then counts and is marked partial. 10 s: the whole answer is due by then.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Rows that one question may bring. 50 million: they are counted as they stream by, not kept.
pub(crate) const ROWS_MAX: u64 = 50_000_000;
/// Bytes of the same stream, for the same reason.
const BYTES_MAX: u64 = 64 << 30;

/// One answer in the making.
pub(crate) struct Inquiry<'a> {
    answerer: &'a dyn Answerer,
    queries: Mutex<Vec<Queried>>,
    notes: Mutex<Vec<String>>,
}

impl<'a> Inquiry<'a> {
    pub(crate) fn new(answerer: &'a dyn Answerer) -> Self {
        Self { answerer, queries: Mutex::default(), notes: Mutex::default() }
    }

    /// Asks, and shows each batch to `each` as it comes.
    pub(crate) async fn each(&self, sql: String, mut each: impl FnMut(Rows<'_>) -> Result<()> + Send) -> Result<()> {
        let limits =
            Limits { timeout: TIMEOUT, rows_max: ROWS_MAX, bytes_max: BYTES_MAX, partial: true, ..Limits::default() };
        let question = Question { sql: sql.clone(), parameters: Vec::new(), limits };
        let mut answer = self.answerer.ask(question).await.map_err(|error| error.context(&sql))?;
        while let Some(batch) = answer.rows.next().await {
            each(Rows(&batch?))?;
        }
        let report = &answer.report;
        self.queries.lock().push(Queried {
            sql,
            params: Vec::new(),
            rows_scanned: Report::get(&report.rows_scanned),
            bytes_scanned: Report::get(&report.bytes_scanned),
            elapsed_ms: Report::get(&report.elapsed_ns) as f64 / 1e6,
            partial: report.coverage.get().is_some(),
        });
        Ok(())
    }

    /// Remembers that something was sampled or left out.
    pub(crate) fn note(&self, note: impl Into<String>) {
        let (note, mut notes) = (note.into(), self.notes.lock());
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// How the answer knows.
    pub(crate) fn how(&self, looked_at: Window) -> How {
        let (queries, notes) = (self.queries.lock().clone(), self.notes.lock().clone());
        let exact = notes.is_empty() && !queries.iter().any(|query| query.partial);
        How { queries, exact, notes, start: looked_at.start, end: looked_at.end }
    }
}

/// Columns of a batch by position, in the types that the methods count in.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a>(pub(crate) &'a RecordBatch);

impl Rows<'_> {
    pub(crate) fn len(&self) -> usize {
        self.0.num_rows()
    }

    fn column(&self, at: usize, wanted: &DataType) -> Result<ArrayRef> {
        let column =
            self.0.columns().get(at).ok_or_else(|| Error::internal(format!("the answer lacks column {at}")))?;
        Ok(if column.data_type() == wanted { column.clone() } else { arrow::compute::cast(column, wanted)? })
    }

    pub(crate) fn text(&self, at: usize) -> Result<StringArray> {
        Ok(self.column(at, &DataType::Utf8)?.as_string::<i32>().clone())
    }

    /// Integers, and times in nanoseconds.
    pub(crate) fn integers(&self, at: usize) -> Result<Int64Array> {
        Ok(self.column(at, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    pub(crate) fn numbers(&self, at: usize) -> Result<Float64Array> {
        Ok(self.column(at, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
    }

    pub(crate) fn booleans(&self, at: usize) -> Result<BooleanArray> {
        Ok(self.column(at, &DataType::Boolean)?.as_boolean().clone())
    }

    pub(crate) fn ids(&self, at: usize) -> Result<FixedSizeBinaryArray> {
        let column = self.0.columns().get(at).and_then(|column| column.as_fixed_size_binary_opt());
        column.cloned().ok_or_else(|| Error::internal(format!("column {at} of the answer is no id")))
    }
}

/// An aggregate without groups brings one row. Where none came it was cut off by a limit, and nothing is known, which is not the same as zero.
pub(crate) fn no_row(what: &str) -> Error {
    let message =
        format!("{what} could not be counted within the limits of a question; ask for less time or a narrower filter");
    Error::new(ErrorKind::LimitExceeded, message)
}

/// The text at a row; nothing where it is null.
pub(crate) fn at(column: &StringArray, row: usize) -> Option<&str> {
    (!column.is_null(row)).then(|| column.value(row))
}

/// The expression of a text that is to travel as numbers of a dictionary.
pub(crate) fn numbered(text: &str) -> String {
    format!("arrow_cast({text}, 'Dictionary(Int32, Utf8)')")
}

/// A string literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Joins conditions, each in its own parentheses; `filter` is the asker's own SQL.
pub(crate) fn all_of(conditions: &[String]) -> String {
    let kept: Vec<String> =
        conditions.iter().filter(|condition| !condition.is_empty()).map(|condition| format!("({condition})")).collect();
    if kept.is_empty() { "true".to_owned() } else { kept.join(" AND ") }
}

impl Rows<'_> {
    /// Lists of text, row by row; nulls are left out.
    pub(crate) fn lists(&self, at: usize) -> Result<Vec<Vec<String>>> {
        let column = self.0.columns().get(at).and_then(|column| column.as_list_opt::<i32>().cloned());
        let lists = column.ok_or_else(|| Error::internal(format!("column {at} of the answer is no list")))?;
        let row = |list: Option<ArrayRef>| {
            let Some(list) = list else { return Ok(Vec::new()) };
            let texts = arrow::compute::cast(&list, &DataType::Utf8)?;
            Ok(texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect())
        };
        lists.iter().map(row).collect()
    }

    /// Events of spans, row by row: name and attributes (a JSON object).
    pub(crate) fn events(&self, at: usize) -> Result<Vec<Vec<(String, String)>>> {
        let column = self.0.columns().get(at).and_then(|column| column.as_list_opt::<i32>().cloned());
        let lists = column.ok_or_else(|| Error::internal(format!("column {at} of the answer is no list")))?;
        let row = |list: Option<ArrayRef>| {
            let Some(list) = list.filter(|list| !list.is_empty()) else { return Ok(Vec::new()) };
            let field = |name: &str| {
                let column = list.as_struct_opt().and_then(|events| events.column_by_name(name).cloned());
                let column = column.ok_or_else(|| Error::internal(format!("events lack {name}")))?;
                Ok::<_, Error>(arrow::compute::cast(&column, &DataType::Utf8)?.as_string::<i32>().clone())
            };
            let (names, attributes) = (field("name")?, field("attributes")?);
            let text = |column: &StringArray, event| self::at(column, event).unwrap_or_default().to_owned();
            Ok((0..list.len()).map(|event| (text(&names, event), text(&attributes, event))).collect())
        };
        lists.iter().map(row).collect()
    }
}
