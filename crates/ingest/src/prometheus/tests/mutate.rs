//! What do damaged requests and answers do? Never a panic, and what is still accepted is whole. The same as the targets in fuzz/, bounded.

use causeway_model::{ErrorKind, Labels, Rng};
use prost::Message;

use super::exposition::{OPEN_METRICS, TEXT, families};
use super::remote_write::{any_request, as_v2, stored};
use crate::otlp::tests::mutate::{Random, assert_reads_back, damage};
use crate::prometheus::{
    Entry, Format, NOTHING_KNOWN, Options, Sample, SeriesWriter, Version, Written, decode_remote_write, parse,
};

/// Damaged requests of each version.
const CASES: usize = 4_000;
/// Damaged answers of each format, each of which makes several batches.
const ANSWERS: usize = 1_500;

fn remote_write(version: Version) {
    let mut random = Random(Rng::from_seed(version as u64 + 1));
    let mut whole = Vec::new();
    for case in 0..CASES {
        let other = whole.clone();
        if case % 8 == 0 {
            let request = any_request(random.next());
            whole = match version {
                Version::V1 => request.encode_to_vec(),
                Version::V2 => as_v2(&request).encode_to_vec(),
            };
        }
        let mut body = whole.clone();
        damage(&mut body, &other, &mut random);
        match decode_remote_write(version, &body, 1, NOTHING_KNOWN) {
            Err(error) => assert_eq!(error.kind, ErrorKind::Invalid, "{error}"),
            Ok(decoded) => {
                let written = Written::of(&decoded.batches);
                let dropped: u64 = decoded.dropped.iter().map(|(_, count)| count).sum();
                assert_eq!(decoded.received, stored(&decoded.batches) + dropped);
                assert_eq!(stored(&decoded.batches), written.samples + written.histograms);
                assert_reads_back(&decoded.batches);
            }
        }
    }
}

#[test]
fn damaged_requests_are_contained() {
    remote_write(Version::V1);
    remote_write(Version::V2);
}

fn exposition(format: Format, whole: &[u8]) {
    let mut random = Random(Rng::from_seed(format as u64 + 7));
    for _ in 0..ANSWERS {
        let mut body = whole.to_vec();
        damage(&mut body, whole, &mut random);
        let mut writer = SeriesWriter::new(NOTHING_KNOWN);
        let parsed = parse(format, &body, &Options::default(), &mut |entry| match entry {
            Entry::Family(family) => writer.describe(&family.metadata(), 1),
            Entry::Series(series) => {
                let labels = Labels::new(series.labels.iter().map(|(name, value)| (&**name, &**value)));
                let time_ms = series.time_ms.unwrap_or(1);
                let sample = Sample { time_ms, start_ms: series.start_ms, value: series.value };
                writer.push(&labels, &sample, series.exemplars)
            }
        });
        if let Err(error) = parsed {
            assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        }
        assert_reads_back(&writer.finish().unwrap().batches);
    }
}

#[test]
fn damaged_answers_are_contained() {
    exposition(Format::Text, TEXT.as_bytes());
    exposition(Format::OpenMetrics, OPEN_METRICS.as_bytes());
    exposition(Format::Protobuf, &families());
}
