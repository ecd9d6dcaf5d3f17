//! What must hold for any bytes? No panic, no record lost uncounted, and what is accepted reads back as written.

use causeway_ingest::otlp::{Encoding, decode};
use causeway_model::{Batch, Signal, Table};

/// The first byte chooses the encoding, the rest is the body.
pub fn check(signal: Signal, data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let encoding = if choice & 1 == 0 { Encoding::Protobuf } else { Encoding::Json };
    let Ok(decoded) = decode(signal, encoding, body, 1) else { return };
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
