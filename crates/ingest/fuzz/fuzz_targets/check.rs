//! What must hold for any bytes? No panic, no record lost uncounted, and what is accepted reads back as written.

// Each target uses its own part.
#![allow(dead_code)]

use causeway_ingest::Decoded;
use causeway_ingest::elasticsearch::decode_bulk;
use causeway_ingest::lines::decode_lines;
use causeway_ingest::loki::{self, decode_push};
use causeway_ingest::otlp::{Encoding, decode};
use causeway_ingest::prometheus::{
    Entry, Format, NOTHING_KNOWN, Options, Sample, SeriesWriter, Version, decode_remote_write, parse,
};
use causeway_ingest::splunk::decode_events;
use causeway_ingest::syslog::{Framer, SyslogRows};
use causeway_model::{Batch, Labels, Signal, Table};

/// The first byte chooses the encoding, the rest is the body.
pub fn check(signal: Signal, data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let encoding = if choice & 1 == 0 { Encoding::Protobuf } else { Encoding::Json };
    if let Ok(decoded) = decode(signal, encoding, body, 1) {
        assert_whole(&decoded);
    }
}

/// The first byte chooses the encoding, the rest is the body.
pub fn zipkin(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let encoding = if choice & 1 == 0 { Encoding::Protobuf } else { Encoding::Json };
    if let Ok(decoded) = causeway_ingest::zipkin::decode(encoding, body, 1) {
        assert_whole(&decoded);
    }
}

/// A request of Jaeger's collector.
pub fn jaeger(body: &[u8]) {
    if let Ok(decoded) = causeway_ingest::jaeger::decode(body, 1) {
        assert_whole(&decoded);
    }
}

/// The first byte chooses the version, the rest is the body.
pub fn remote_write(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let version = if choice & 1 == 0 { Version::V1 } else { Version::V2 };
    if let Ok(decoded) = decode_remote_write(version, body, 1, NOTHING_KNOWN) {
        assert_whole(&decoded);
    }
}

/// The first byte chooses the encoding, the rest is the body.
pub fn loki_push(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let encoding = if choice & 1 == 0 { loki::Encoding::Protobuf } else { loki::Encoding::Json };
    if let Ok(decoded) = decode_push(encoding, body, 1) {
        assert_whole(&decoded);
    }
}

/// All bytes are the body.
pub fn bulk(data: &[u8]) {
    if let Ok(bulk) = decode_bulk(Some("index"), data, 1) {
        let refused = bulk.items.iter().filter(|item| item.refused.is_some()).count() as u64;
        let dropped: u64 = bulk.decoded.dropped.iter().map(|(_, count)| count).sum();
        assert_eq!((bulk.items.len() as u64, refused), (bulk.decoded.received, dropped));
        assert_whole(&bulk.decoded);
    }
}

/// All bytes are the body.
pub fn splunk_events(data: &[u8]) {
    if let Ok(events) = decode_events(data, 1) {
        assert_whole(&events.decoded);
    }
}

/// All bytes are the body.
pub fn log_lines(data: &[u8]) {
    if let Ok(decoded) = decode_lines(&[("service.name", "a")], data, 1) {
        assert_whole(&decoded);
    }
}

/// The first byte chooses the format, the rest is the answer.
pub fn exposition(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let format = [Format::Text, Format::OpenMetrics, Format::Protobuf][usize::from(choice % 3)];
    let mut writer = SeriesWriter::new(NOTHING_KNOWN);
    let taken = parse(format, body, &Options::default(), &mut |entry| match entry {
        Entry::Family(family) => writer.describe(&family.metadata(), 1),
        Entry::Series(series) => {
            let labels = Labels::new(series.labels.iter().map(|(name, value)| (&**name, &**value)));
            let sample =
                Sample { time_ms: series.time_ms.unwrap_or(1), start_ms: series.start_ms, value: series.value };
            writer.push(&labels, &sample, series.exemplars)
        }
    });
    if taken.is_ok() {
        assert_whole(&writer.finish().expect("a batch can be built"));
    }
}

/// The first byte says in which pieces the rest comes. However that is, the same messages come out.
pub fn syslog(data: &[u8]) {
    let Some((piece_bytes, stream)) = data.split_first() else { return };
    let rows_of = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut framer, mut rows) = (Framer::default(), SyslogRows::new(1));
        let mut keep = |message: &[u8], _| rows.push(message, "peer").expect("few messages are taken");
        pieces.for_each(|piece| framer.feed(piece, &mut keep));
        framer.finish(&mut keep);
        rows
    };
    let rows = rows_of(&mut stream.chunks(usize::from(*piece_bytes).max(1)));
    assert_eq!(rows.len(), rows_of(&mut std::iter::once(stream)).len());
    assert_whole(&rows.finish().expect("a batch can be built"));
}

fn assert_whole(decoded: &Decoded) {
    let records = [Table::Logs, Table::Spans, Table::MetricSamples];
    let stored: usize = decoded.batches.iter().filter(|batch| records.contains(&batch.table())).map(Batch::rows).sum();
    let dropped: u64 = decoded.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!(decoded.received, stored as u64 + dropped);
    for batch in &decoded.batches {
        let mut bytes = Vec::new();
        batch.write_to(&mut bytes).expect("a batch can be written");
        let back = Batch::read_from(&mut bytes.as_slice()).expect("what was written can be read");
        assert_eq!((back.table(), back.rows()), (batch.table(), batch.rows()));
    }
}
