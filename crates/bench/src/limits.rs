//! What can't be beaten on this machine? The same bytes through `zstd -1` on one core, and our own decoder without a store
//! behind it: no store that compresses and decodes costs less. And what is counted of it on the way, alone.

use std::fs;

use causeway_errors::ErrorGroups;
use causeway_ingest::otlp::{self, Encoding};
use causeway_ingest::prometheus::{NOTHING_KNOWN, Version, Written, decode_remote_write, decompress_snappy};
use causeway_meters::{Counting, Moment};
use causeway_model::{Error, Result};
use causeway_patterns::LogPatterns;

use crate::report::{Better, Cell, Row, Section};
use crate::workload::Signal;
use crate::workload::files::{BODY_BYTES_MAX, BodyReader, Dataset};

/// Bytes are compressed in pieces of about a row group's column, so that no more than that is held.
const PIECE_BYTES: usize = 4 << 20;

/// CPU seconds per million records and bytes each of `zstd -1` over the bodies.
pub fn zstd(dataset: &Dataset, signals: &[Signal]) -> Result<Section> {
    let mut section = Section {
        title: "limit: the bytes sent, uncompressed, through zstd -1 on one core".to_owned(),
        rows: Vec::new(),
        notes: Vec::new(),
    };
    for signal in signals {
        let records = dataset.bodies(*signal).records.max(1) as f64;
        let (cpu_s, bytes) = compress(dataset, *signal)?;
        let rows = [("CPU-s per million", cpu_s / records * 1e6), ("bytes each", bytes as f64 / records)];
        for (what, value) in rows {
            let label = format!("{}, {what}", signal.name());
            section.rows.push(Row { label, better: Better::Lower, cells: vec![Cell::of(Some(value))] });
        }
    }
    Ok(section)
}

fn compress(dataset: &Dataset, signal: Signal) -> Result<(f64, u64)> {
    let mut reader = BodyReader::open(&dataset.path(signal))?;
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    let (mut cpu_s, mut bytes) = (0.0, 0);
    let (mut piece, mut body) = (Vec::new(), Vec::new());
    loop {
        body.clear();
        let more = reader.next(&mut body)?.is_some();
        match signal {
            Signal::Metrics if more => piece.extend(decompress_snappy(&body, BODY_BYTES_MAX)?),
            _ => piece.append(&mut body),
        }
        if piece.len() >= PIECE_BYTES || (!more && !piece.is_empty()) {
            let before = thread_cpu_s()?;
            bytes += compressor.compress(&piece)?.len() as u64;
            cpu_s += thread_cpu_s()? - before;
            piece.clear();
        }
        if !more {
            return Ok((cpu_s, bytes));
        }
    }
}

/// CPU seconds per million records of decoding the bodies into columns.
pub fn decode(dataset: &Dataset, signals: &[Signal]) -> Result<Section> {
    let mut section =
        Section { title: "limit: decoding the bytes sent on one core".to_owned(), rows: Vec::new(), notes: Vec::new() };
    for signal in signals {
        let records = dataset.bodies(*signal).records.max(1) as f64;
        let cpu_s = decode_all(dataset, *signal)?;
        let label = format!("{}, CPU-s per million", signal.name());
        let cells = vec![Cell::of(Some(cpu_s / records * 1e6))];
        section.rows.push(Row { label, better: Better::Lower, cells });
    }
    Ok(section)
}

fn decode_all(dataset: &Dataset, signal: Signal) -> Result<f64> {
    let mut reader = BodyReader::open(&dataset.path(signal))?;
    let (mut cpu_s, mut body) = (0.0, Vec::new());
    while let Some((_, records)) = reader.next(&mut body)? {
        let before = thread_cpu_s()?;
        let decoded = decode_one(signal, &body)?;
        cpu_s += thread_cpu_s()? - before;
        // OTLP counts a histogram once, and we its seventeen samples.
        if decoded != u64::from(records) && signal != Signal::OtlpMetrics {
            return Err(Error::internal(format!("{decoded} of {records} {} were decoded", signal.unit())));
        }
        body.clear();
    }
    Ok(cpu_s)
}

/// CPU seconds per million records of what is counted of them once they are kept: patterns of logs, groups of errors.
pub fn count(dataset: &Dataset, signals: &[Signal]) -> Result<Section> {
    let title = "alone: counting patterns and errors on one core".to_owned();
    let mut section = Section { title, rows: Vec::new(), notes: Vec::new() };
    for signal in signals {
        if *signal == Signal::Logs {
            let mut patterns = LogPatterns::default();
            section.rows.push(count_row(dataset, *signal, "patterns", &mut patterns)?);
            let kinds = patterns.figures().kinds;
            section.notes.push(format!("The lines are of {kinds} patterns."));
        }
        if matches!(signal, Signal::Logs | Signal::Spans) {
            section.rows.push(count_row(dataset, *signal, "errors", &mut ErrorGroups::default())?);
        }
    }
    Ok(section)
}

fn count_row<C: Counting>(dataset: &Dataset, signal: Signal, what: &str, counting: &mut C) -> Result<Row> {
    let table = if signal == Signal::Spans { causeway_model::Signal::Spans } else { causeway_model::Signal::Logs };
    let mut reader = BodyReader::open(&dataset.path(signal))?;
    let (mut cpu_s, mut records_all, mut body) = (0.0, 0, Vec::new());
    while let Some((_, records)) = reader.next(&mut body)? {
        let decoded = otlp::decode(table, Encoding::Protobuf, &body, 0)?;
        // Nothing is late in the year 1970.
        let now = Moment { unix_nano: 0, monotonic_nano: 0 };
        let before = thread_cpu_s()?;
        counting.observe(&decoded.batches, now);
        cpu_s += thread_cpu_s()? - before;
        records_all += u64::from(records);
        body.clear();
    }
    let label = format!("{}, {what}, CPU-s per million", signal.name());
    let value = cpu_s / records_all.max(1) as f64 * 1e6;
    Ok(Row { label, better: Better::Lower, cells: vec![Cell::of(Some(value))] })
}

/// Decodes a body; how many records it was.
fn decode_one(signal: Signal, body: &[u8]) -> Result<u64> {
    let table = match signal {
        Signal::Logs => causeway_model::Signal::Logs,
        Signal::Spans => causeway_model::Signal::Spans,
        Signal::OtlpMetrics => causeway_model::Signal::Metrics,
        Signal::Metrics => {
            let body = decompress_snappy(body, BODY_BYTES_MAX)?;
            return Ok(Written::of(&decode_remote_write(Version::V1, &body, 0, NOTHING_KNOWN)?.batches).samples);
        }
    };
    let decoded = otlp::decode(table, Encoding::Protobuf, body, 0)?;
    if let Some(dropped) = decoded.dropped.first() {
        return Err(Error::internal(format!("records were dropped while decoding: {dropped:?}")));
    }
    Ok(decoded.received)
}

/// Processor seconds of this thread: the first field of schedstat is its time on a core in nanoseconds.
fn thread_cpu_s() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse::<f64>().ok());
    nanoseconds.map(|nanoseconds| nanoseconds / 1e9).ok_or_else(|| Error::internal("no schedstat for this thread"))
}
