//! What do damaged requests do? Never a panic, and what is still accepted is whole. The same as the targets in fuzz/, bounded.

use causeway_model::{Batch, ErrorKind, Rng, Signal, Table};
use prost::Message;

use super::generate::Entropy;
use super::{RECEIVED, rows};
use crate::otlp::{Encoding, decode};

/// Damaged requests per signal and encoding.
const CASES: usize = 8_000;

/// Positions and bytes from a seed.
pub(crate) struct Random(pub(crate) Rng);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0.below(limit as u64) as usize
    }
}

fn valid(signal: Signal, encoding: Encoding, random: &mut Random) -> Vec<u8> {
    let length = random.below(1_500);
    let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
    let mut entropy = Entropy::new(&bytes, true);
    let json = encoding == Encoding::Json;
    match signal {
        Signal::Logs if json => serde_json::to_vec(&entropy.logs_request()).unwrap(),
        Signal::Spans if json => serde_json::to_vec(&entropy.spans_request()).unwrap(),
        Signal::Metrics if json => serde_json::to_vec(&entropy.metrics_request()).unwrap(),
        Signal::Logs => entropy.logs_request().encode_to_vec(),
        Signal::Spans => entropy.spans_request().encode_to_vec(),
        Signal::Metrics => entropy.metrics_request().encode_to_vec(),
    }
}

pub(crate) fn damage(body: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(body.len() + 1);
        let end = (at + random.below(40)).min(body.len());
        match random.below(5) {
            0 if at < body.len() => body[at] ^= 1 << random.below(8),
            1 if at < body.len() => body[at] = random.next() as u8,
            2 => body.truncate(at),
            3 => drop(body.drain(at..end)),
            _ => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(40)).min(other.len());
                drop(body.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
}

fn assert_whole(signal: Signal, encoding: Encoding, body: &[u8]) {
    let decoded = match decode(signal, encoding, body, RECEIVED) {
        Ok(decoded) => decoded,
        Err(error) => return assert_eq!(error.kind, ErrorKind::Invalid, "{error}"),
    };
    let records = [Table::Logs, Table::Spans, Table::MetricSamples];
    let stored: usize = decoded.batches.iter().filter(|batch| records.contains(&batch.table())).map(Batch::rows).sum();
    let dropped: u64 = decoded.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!(decoded.received, stored as u64 + dropped);
    assert!(decoded.dropped.is_empty() || decoded.message.is_some());
    assert_reads_back(&decoded.batches);
}

/// Every batch says the same after it was written and read.
pub(crate) fn assert_reads_back(batches: &[Batch]) {
    for batch in batches {
        let mut bytes = Vec::new();
        batch.write_to(&mut bytes).unwrap();
        let back = Batch::read_from(&mut bytes.as_slice()).unwrap();
        assert_eq!(rows(&back), rows(batch));
    }
}

fn run(signal: Signal, encoding: Encoding) {
    let mut random = Random(Rng::from_seed(signal as u64));
    let mut whole = Vec::new();
    for case in 0..CASES {
        let other = whole.clone();
        if case % 8 == 0 {
            whole = valid(signal, encoding, &mut random);
        }
        let mut body = whole.clone();
        damage(&mut body, &other, &mut random);
        assert_whole(signal, encoding, &body);
    }
}

#[test]
fn damaged_logs_are_contained() {
    run(Signal::Logs, Encoding::Protobuf);
    run(Signal::Logs, Encoding::Json);
}

#[test]
fn damaged_spans_are_contained() {
    run(Signal::Spans, Encoding::Protobuf);
    run(Signal::Spans, Encoding::Json);
}

#[test]
fn damaged_metrics_are_contained() {
    run(Signal::Metrics, Encoding::Protobuf);
    run(Signal::Metrics, Encoding::Json);
}
