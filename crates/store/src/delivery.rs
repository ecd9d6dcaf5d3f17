//! How does one delivery become the bytes of one record of the log, and back? docs/formats/delivery.md draws them.

use causeway_model::{Batch, Delivery, Error, LedgerEntry, Result, Signal};

/// The version that is written. Readers know all versions up to it.
pub const VERSION: u8 = 1;

/// The delivery as bytes.
///
/// # Errors
/// `TooLarge` when a count does not fit its field; `Internal` when Arrow refuses to write.
pub fn encode(delivery: &Delivery) -> Result<Vec<u8>> {
    // Arrow's streams are about as long as what they say is in memory; growing step by step would copy megabytes again and again.
    let mut out = Vec::with_capacity(delivery.batches.iter().map(causeway_model::Batch::memory_bytes).sum());
    out.push(VERSION);
    out.extend_from_slice(&delivery.received_unix_nano.to_le_bytes());
    put_text(&mut out, &delivery.sender)?;
    put_count(&mut out, delivery.ledger.len())?;
    for entry in &delivery.ledger {
        out.push(entry.signal as u8);
        out.extend_from_slice(&entry.received.to_le_bytes());
        out.extend_from_slice(&entry.stored.to_le_bytes());
        put_count(&mut out, entry.dropped.len())?;
        for (reason, count) in &entry.dropped {
            put_text(&mut out, reason)?;
            out.extend_from_slice(&count.to_le_bytes());
        }
    }
    put_count(&mut out, delivery.batches.len())?;
    for batch in &delivery.batches {
        batch.write_to(&mut out)?;
    }
    Ok(out)
}

/// Reads what [`encode`] wrote. The bytes must have passed the log's checksum.
///
/// # Errors
/// `Unsupported` when a newer version wrote it; `Corrupt` when the bytes are not a whole delivery.
pub fn decode(mut bytes: &[u8]) -> Result<Delivery> {
    let [version] = take(&mut bytes)?;
    if version > VERSION {
        let message = format!("delivery: written in version {version}, known up to {VERSION}: start a newer program");
        return Err(Error::new(causeway_model::ErrorKind::Unsupported, message));
    }
    let received_unix_nano = i64::from_le_bytes(take(&mut bytes)?);
    let sender = take_text(&mut bytes)?;
    let mut ledger = Vec::new();
    for _ in 0..take_count(&mut bytes)? {
        let [signal] = take(&mut bytes)?;
        let signal = Signal::from_u8(signal).ok_or_else(|| damaged("unknown signal"))?;
        let (received, stored) = (u64::from_le_bytes(take(&mut bytes)?), u64::from_le_bytes(take(&mut bytes)?));
        let mut dropped = Vec::new();
        for _ in 0..take_count(&mut bytes)? {
            dropped.push((take_text(&mut bytes)?, u64::from_le_bytes(take(&mut bytes)?)));
        }
        ledger.push(LedgerEntry { signal, received, stored, dropped });
    }
    let mut batches = Vec::new();
    for _ in 0..take_count(&mut bytes)? {
        batches.push(Batch::read_from(&mut bytes)?);
    }
    if !bytes.is_empty() {
        return Err(damaged("bytes after its end"));
    }
    Ok(Delivery { sender, received_unix_nano, batches, ledger })
}

fn damaged(what: &str) -> Error {
    Error::corrupt(format!("delivery: {what}"))
}

fn put_count(out: &mut Vec<u8>, count: usize) -> Result<()> {
    let too_large = |_| Error::new(causeway_model::ErrorKind::TooLarge, "delivery: over 4 GiB");
    out.extend_from_slice(&u32::try_from(count).map_err(too_large)?.to_le_bytes());
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    put_count(out, text.len())?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn take<const LENGTH: usize>(bytes: &mut &[u8]) -> Result<[u8; LENGTH]> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(|| damaged("cut short"))?;
    *bytes = rest;
    Ok(*taken)
}

fn take_count(bytes: &mut &[u8]) -> Result<usize> {
    usize::try_from(u32::from_le_bytes(take(bytes)?)).map_err(|_| damaged("too long"))
}

fn take_text(bytes: &mut &[u8]) -> Result<String> {
    let length = take_count(bytes)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or_else(|| damaged("cut short"))?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).map_err(|_| damaged("text that is not UTF-8"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use std::fmt::Write as _;

    use arrow::array::Array;
    use causeway_model::{Rng, Table};

    use super::*;
    use crate::part::scan_batch;
    use crate::part::tests::{all_of, random_batch, rows_of, scan};
    use crate::scan::ScanColumn;
    use crate::testing::{fixture_bytes, fixture_text, log_delivery, write_fixtures};

    proptest! {
        #[test]
        fn a_delivery_reads_back_as_it_was(
            sender in ".{0,40}",
            received in any::<i64>(),
            counts in proptest::collection::vec((1u8..=3, any::<u64>(), any::<u64>(), "[a-z_]{0,9}", any::<u64>()), 0..4),
            times in proptest::collection::vec(any::<i64>(), 0..20),
        ) {
            let mut delivery = log_delivery("cart", &[("a", "b")], &times);
            delivery.sender = sender;
            delivery.received_unix_nano = received;
            delivery.ledger = counts
                .into_iter()
                .map(|(signal, received, stored, reason, count)| LedgerEntry {
                    signal: Signal::from_u8(signal).unwrap(),
                    received,
                    stored,
                    dropped: vec![(reason, count)],
                })
                .collect();
            let bytes = encode(&delivery).unwrap();
            let back = decode(&bytes).unwrap();
            prop_assert_eq!(&back.sender, &delivery.sender);
            prop_assert_eq!(back.received_unix_nano, delivery.received_unix_nano);
            prop_assert_eq!(&back.ledger, &delivery.ledger);
            prop_assert_eq!(back.batches.len(), 1);
            prop_assert_eq!(back.batches[0].records(), delivery.batches[0].records());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn cut_or_longer_bytes_are_refused_and_newer_versions_named() {
        let mut bytes = encode(&log_delivery("cart", &[], &[1, 2])).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        bytes.push(0);
        assert!(decode(&bytes).is_err());
        bytes[0] = VERSION + 1;
        assert_eq!(decode(&bytes).unwrap_err().kind, causeway_model::ErrorKind::Unsupported);
    }

    const FIXTURE: &str = "delivery-1";
    /// Columns that tables got after the fixture was written.
    const ADDED_SINCE: [(Table, &str); 3] =
        [(Table::MetricSeries, "bounds"), (Table::MetricSamples, "reset_hint"), (Table::MetricSamples, "float_counts")];

    /// All that a delivery of the fixture's time holds, as text.
    fn shown(delivery: &Delivery) -> String {
        let mut text = format!("{:?} {}\n{:#?}\n", delivery.sender, delivery.received_unix_nano, delivery.ledger);
        for batch in &delivery.batches {
            let table = batch.table();
            let mut columns = all_of(table);
            columns.retain(|column| match column {
                ScanColumn::Fixed(at) => !ADDED_SINCE.contains(&(table, table.columns()[*at].name)),
                _ => true,
            });
            let rows = rows_of(&scan_batch(batch, &scan(table, columns)).unwrap());
            writeln!(text, "{} {rows:#?}", table.name()).unwrap();
        }
        text
    }

    #[test]
    fn format_1_is_read_forever() {
        let delivery = decode(&fixture_bytes(FIXTURE, "payload")).unwrap();
        assert_eq!(shown(&delivery), fixture_text(FIXTURE, "rows.txt"));
        for (table, column) in ADDED_SINCE {
            let batch = delivery.batches.iter().find(|batch| batch.table() == table).unwrap();
            let values = batch.records().column_by_name(column).unwrap();
            assert_eq!(values.logical_null_count(), batch.rows(), "{column} of {}", table.name());
        }
    }

    #[test]
    #[ignore = "writes the fixture of a new format, in a folder of its own; that of an old one is never written again"]
    fn write_the_fixture() {
        let mut rng = Rng::from_seed(12);
        let entry = |signal: Signal, dropped: &[(&str, u64)]| LedgerEntry {
            signal,
            received: 4 + dropped.iter().map(|(_, count)| count).sum::<u64>(),
            stored: 4,
            dropped: dropped.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
        };
        let delivery = Delivery {
            sender: "otlp_http köln".to_owned(),
            received_unix_nano: -1,
            batches: Table::ALL.map(|table| (*random_batch(table, 4, &mut rng)).clone()).to_vec(),
            ledger: vec![
                entry(Signal::Logs, &[]),
                entry(Signal::Spans, &[("invalid_trace_id", 1), ("invalid_span_id", u64::MAX - 5)]),
                entry(Signal::Metrics, &[("", 2)]),
            ],
        };
        write_fixtures(FIXTURE, &[("payload", &encode(&delivery).unwrap())], &[("rows.txt", &shown(&delivery))]);
    }
}
