//! Does a remote write request become the rows that it says? Both versions and the writer agree, and agree with a plain telling.

use std::collections::{BTreeMap, BTreeSet};

use causeway_model::{Batch, BucketSpan, ErrorKind, Histogram, Labels, METRIC_NAME, ResetHint, Table};
use proptest::prelude::*;
use prost::Message;

use super::messages::{self, Count, Label, MetricMetadata, TimeSeries, WriteRequest, ZeroCount, v2};
use crate::Decoded;
use crate::otlp::tests::{Row, rows};
use crate::prometheus::{
    Exemplar, Metadata, MetricType, NOTHING_KNOWN, Sample, SampleValue, SeriesWriter, Version, Written,
    decode_remote_write, decompress_snappy, metadata_id, series_id,
};

const RECEIVED: i64 = 1_700_000_000_000_000_000;
const DAY_MS: i64 = 86_400_000;

pub(super) fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(name, value)| Label { name: (*name).into(), value: (*value).into() }).collect()
}

fn sample(value: f64, timestamp: i64) -> messages::Sample {
    messages::Sample { value, timestamp, start_timestamp: 0 }
}

fn decode(request: &WriteRequest) -> Decoded {
    decode_remote_write(Version::V1, &request.encode_to_vec(), RECEIVED, NOTHING_KNOWN).unwrap()
}

fn table(decoded: &Decoded, table: Table) -> Vec<Row> {
    decoded.batches.iter().filter(|batch| batch.table() == table).flat_map(rows).collect()
}

/// The same request in version 2.0.
pub(super) fn as_v2(request: &WriteRequest) -> v2::Request {
    let mut symbols = vec![String::new()];
    let mut number = |text: &str| match symbols.iter().position(|symbol| symbol == text) {
        Some(at) => at as u32,
        None => {
            symbols.push(text.to_owned());
            symbols.len() as u32 - 1
        }
    };
    let mut numbers =
        |labels: &[Label]| labels.iter().flat_map(|label| [number(&label.name), number(&label.value)]).collect();
    let timeseries = request.timeseries.iter().map(|series| v2::TimeSeries {
        labels_refs: numbers(&series.labels),
        samples: series.samples.clone(),
        histograms: series.histograms.clone(),
        exemplars: series
            .exemplars
            .iter()
            .map(|exemplar| v2::Exemplar {
                labels_refs: numbers(&exemplar.labels),
                value: exemplar.value,
                timestamp: exemplar.timestamp,
            })
            .collect(),
        metadata: None,
        created_timestamp: 0,
    });
    let timeseries = timeseries.collect();
    v2::Request { symbols, timeseries }
}

fn any_labels() -> impl Strategy<Value = Vec<Label>> {
    let name = prop_oneof![4 => "[a-d]", 3 => Just(METRIC_NAME.to_owned()), 1 => Just(String::new()), 1 => Just("naïve.name".to_owned())];
    let value = prop_oneof![4 => "[a-c]{1,3}", 1 => Just(String::new()), 1 => Just("snow ☃".to_owned()), 1 => Just("long".repeat(40))];
    let label = (name, value).prop_map(|(name, value)| Label { name, value });
    let sorted = prop::collection::btree_map("[a-f]{1,2}", "[a-c]{0,2}", 0..6).prop_map(|pairs| {
        let mut all = labels(&[(METRIC_NAME, "up")]);
        all.extend(pairs.into_iter().map(|(name, value)| Label { name, value }));
        all
    });
    prop_oneof![prop::collection::vec(label, 0..6), sorted]
}

fn any_series() -> impl Strategy<Value = TimeSeries> {
    let value = prop_oneof![
        // prost leaves -0.0 out, as if it were the default.
        any::<f64>().prop_map(|value| value + 0.0),
        Just(f64::from_bits(Histogram::STALE)),
        Just(f64::NAN),
        Just(f64::NEG_INFINITY),
        (0..100i32).prop_map(f64::from)
    ];
    let time = prop_oneof![5 => 0..2 * DAY_MS, 1 => any::<i64>()];
    let start = prop_oneof![3 => Just(0), 1 => 1..DAY_MS];
    let samples = (value, time, start).prop_map(|(value, timestamp, start_timestamp)| messages::Sample {
        value,
        timestamp,
        start_timestamp,
    });
    let exemplars = (any_labels(), any::<f64>(), 1..DAY_MS).prop_map(|(labels, value, timestamp)| messages::Exemplar {
        labels,
        value,
        timestamp,
    });
    (any_labels(), prop::collection::vec(samples, 0..4), prop::collection::vec(exemplars, 0..2))
        .prop_map(|(labels, samples, exemplars)| TimeSeries { labels, samples, exemplars, histograms: vec![] })
}

/// What is wrong with labels, plainly.
fn refusal(all: &[Label]) -> Option<&'static str> {
    let names: Vec<&str> = all.iter().map(|label| label.name.as_str()).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    let is_named = all.iter().any(|label| label.name == METRIC_NAME && !label.value.is_empty());
    match () {
        () if distinct.len() < names.len() => Some("duplicate_label"),
        () if distinct.contains("") => Some("invalid_label_name"),
        () if !is_named => Some("missing_metric_name"),
        () => None,
    }
}

fn as_labels(all: &[Label]) -> Labels {
    Labels::new(all.iter().map(|label| (label.name.as_str(), label.value.as_str())))
}

/// Samples as id, time, start and bits; series as id, day and labels; drops by reason.
type Told = (Vec<(String, i64, Option<i64>, u64)>, BTreeSet<(String, i64, Labels)>, BTreeMap<&'static str, u64>);

fn tell(request: &WriteRequest) -> Told {
    let mut told = Told::default();
    for series in &request.timeseries {
        let refusal = refusal(&series.labels);
        let named = as_labels(&series.labels);
        let id = format!("{:032x}", series_id(&named));
        for sample in &series.samples {
            let time = sample.timestamp.checked_mul(1_000_000);
            match (refusal, time) {
                (Some(reason), _) => *told.2.entry(reason).or_default() += 1,
                (None, None) => *told.2.entry("time_out_of_range").or_default() += 1,
                (None, Some(time)) => {
                    let start = Some(sample.start_timestamp * 1_000_000).filter(|start| *start != 0);
                    told.0.push((id.clone(), time, start, sample.value.to_bits()));
                    told.1.insert((id.clone(), time.div_euclid(DAY_MS * 1_000_000), named.clone()));
                }
            }
        }
        for exemplar in &series.exemplars {
            let names: BTreeSet<&str> = exemplar.labels.iter().map(|label| label.name.as_str()).collect();
            if refusal.is_none() && names.len() == exemplar.labels.len() && !names.contains("") {
                told.1.insert((id.clone(), exemplar.timestamp.div_euclid(DAY_MS), named.clone()));
            }
        }
    }
    told
}

fn found(decoded: &Decoded) -> Told {
    use arrow::array::AsArray;
    use arrow::datatypes::{Float64Type, TimestampNanosecondType};
    let mut told = Told::default();
    for batch in decoded.batches.iter().filter(|batch| batch.table() == Table::MetricSamples) {
        let column = |name: &str| batch.records().column_by_name(name).unwrap().clone();
        let starts = column("start_time");
        for row in 0..batch.rows() {
            use arrow::array::Array as _;
            let id = column("series_id")
                .as_fixed_size_binary()
                .value(row)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let start = starts.as_primitive::<TimestampNanosecondType>();
            let time = column("time").as_primitive::<TimestampNanosecondType>().value(row);
            let bits = column("value").as_primitive::<Float64Type>().value(row).to_bits();
            told.0.push((id, time, start.is_valid(row).then(|| start.value(row)), bits));
        }
    }
    for row in table(decoded, Table::MetricSeries) {
        let text = |cell: &str| -> String { serde_json::from_str(cell).unwrap() };
        assert_eq!(
            (row["type"].as_str(), row["unit"].as_str(), row["service_name"].as_str()),
            ("\"prometheus\"", "null", "null")
        );
        let mut pairs = vec![(METRIC_NAME.to_owned(), text(&row["name"]))];
        for (key, cell) in row.iter().filter(|(key, _)| key.starts_with("attr.")) {
            let debug = text(cell);
            let value = debug.strip_prefix("String(").and_then(|rest| rest.strip_suffix(')')).unwrap();
            pairs.push((key["attr.".len()..].to_owned(), text(value)));
        }
        let labels = Labels::new(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let day = row["time"].parse::<i64>().unwrap().div_euclid(DAY_MS * 1_000_000);
        assert!(told.1.insert((row["series_id"].clone(), day, labels)), "a series stands twice on one day");
    }
    told.2 = decoded.dropped.iter().copied().collect();
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_versions_and_the_writer_say_what_was_sent(timeseries in prop::collection::vec(any_series(), 0..6)) {
        let request = WriteRequest { timeseries, metadata: vec![] };
        let told = tell(&request);
        let decoded = decode(&request);
        let written = Written::of(&decoded.batches);
        prop_assert_eq!(found(&decoded), told.clone());
        prop_assert_eq!(written.samples, told.0.len() as u64);
        prop_assert_eq!(decoded.received, written.samples + told.2.values().sum::<u64>());
        let all = |decoded: &Decoded| decoded.batches.iter().map(|batch| (batch.table(), rows(batch))).collect::<Vec<_>>();
        let body = as_v2(&request).encode_to_vec();
        let second = decode_remote_write(Version::V2, &body, RECEIVED, NOTHING_KNOWN).unwrap();
        let written_second = Written::of(&second.batches);
        prop_assert_eq!(all(&second), all(&decoded));
        prop_assert_eq!((written_second, second.dropped), (written, decoded.dropped.clone()));
        let mut writer = SeriesWriter::new(NOTHING_KNOWN);
        for series in request.timeseries.iter().filter(|series| refusal(&series.labels).is_none()) {
            for sample in &series.samples {
                let value = SampleValue::Float(sample.value);
                let start_ms = Some(sample.start_timestamp).filter(|start| *start != 0);
                writer.push(&as_labels(&series.labels), &Sample { time_ms: sample.timestamp, start_ms, value }, &[]).unwrap();
            }
        }
        let third = writer.finish().unwrap();
        prop_assert_eq!(table(&third, Table::MetricSamples), table(&decoded, Table::MetricSamples));
    }
}

fn histogram_request(histogram: messages::Histogram) -> WriteRequest {
    let series =
        TimeSeries { labels: labels(&[(METRIC_NAME, "h")]), histograms: vec![histogram], ..TimeSeries::default() };
    WriteRequest { timeseries: vec![series], metadata: vec![] }
}

fn int_histogram() -> messages::Histogram {
    messages::Histogram {
        count: Some(Count::Int(9)),
        sum: 12.5,
        schema: 1,
        zero_threshold: 0.25,
        zero_count: Some(ZeroCount::Int(2)),
        positive_spans: vec![
            messages::BucketSpan { offset: -1, length: 2 },
            messages::BucketSpan { offset: 2, length: 1 },
        ],
        positive_deltas: vec![1, 2, -1],
        negative_spans: vec![messages::BucketSpan { offset: 3, length: 1 }],
        negative_deltas: vec![1],
        reset_hint: 2,
        timestamp: 5,
        start_timestamp: 3,
        ..messages::Histogram::default()
    }
}

fn cells(decoded: &Decoded) -> Vec<String> {
    let row = table(decoded, Table::MetricSamples).remove(0);
    let shown =
        |(name, cell): (&String, &String)| (cell != "null" && name != "series_id").then(|| format!("{name} {cell}"));
    row.iter().filter_map(shown).collect()
}

fn bits(values: &[f64]) -> String {
    let row = |value: &f64| crate::otlp::tests::double(*value);
    format!("[{}]", values.iter().map(row).collect::<Vec<_>>().join(","))
}

#[test]
fn native_histograms_stand_in_columns() {
    let decoded = decode(&histogram_request(int_histogram()));
    let written = Written::of(&decoded.batches);
    assert_eq!(written, Written { samples: 0, histograms: 1, exemplars: 0 });
    let double = |value: f64| bits(&[value]).trim_matches(['[', ']']).to_owned();
    assert_eq!(
        cells(&decoded),
        [
            "count 9".to_owned(),
            "flags 0".to_owned(),
            "negative_bucket_counts [1]".to_owned(),
            "negative_offset 2".to_owned(),
            "positive_bucket_counts [1,3,0,0,2]".to_owned(),
            "positive_offset -2".to_owned(),
            "reset_hint 2".to_owned(),
            "scale 1".to_owned(),
            "start_time 3000000".to_owned(),
            format!("sum {}", double(12.5)),
            "time 5000000".to_owned(),
            "zero_count 2".to_owned(),
            format!("zero_threshold {}", double(0.25)),
        ]
    );
    let float = messages::Histogram {
        count: Some(Count::Float(4.5)),
        zero_count: Some(ZeroCount::Float(0.5)),
        positive_deltas: vec![],
        positive_counts: vec![1.5, 0.0, 2.5],
        negative_spans: vec![],
        negative_deltas: vec![],
        ..int_histogram()
    };
    let shown = cells(&decode(&histogram_request(float)));
    assert!(shown.contains(&format!("float_counts {}", bits(&[4.5, 0.5, 1.5, 0.0, 0.0, 0.0, 2.5]))), "{shown:?}");
    assert!(shown.contains(&"positive_bucket_counts [2,0,0,0,3]".to_owned()), "{shown:?}");
    let custom = messages::Histogram {
        count: Some(Count::Int(3)),
        schema: Histogram::CUSTOM,
        positive_spans: vec![messages::BucketSpan { offset: 1, length: 2 }],
        positive_deltas: vec![1, 1],
        custom_values: vec![0.5, 2.0],
        timestamp: 5,
        ..messages::Histogram::default()
    };
    let shown = cells(&decode(&histogram_request(custom)));
    assert!(shown.contains(&"bucket_counts [0,1,2]".to_owned()), "{shown:?}");
    assert!(shown.contains(&format!("explicit_bounds {}", bits(&[0.5, 2.0]))), "{shown:?}");
    assert!(!shown.iter().any(|cell| cell.starts_with("scale") || cell.starts_with("zero")), "{shown:?}");
    let stale =
        messages::Histogram { sum: f64::from_bits(Histogram::STALE), timestamp: 5, ..messages::Histogram::default() };
    let shown = cells(&decode(&histogram_request(stale)));
    assert!(
        shown.contains(&"flags 1".to_owned())
            && shown.contains(&format!("sum {}", bits(&[f64::from_bits(Histogram::STALE)]).trim_matches(['[', ']']))),
        "{shown:?}"
    );
}

#[test]
fn histograms_that_cannot_be_kept_say_why() {
    let span = |offset: i32, length: u32| messages::BucketSpan { offset, length };
    let cases = [
        (messages::Histogram { positive_deltas: vec![1, -2, 1], ..int_histogram() }, "bad_histogram"),
        (messages::Histogram { positive_deltas: vec![1], ..int_histogram() }, "bad_histogram"),
        (messages::Histogram { schema: -9, ..int_histogram() }, "bad_histogram"),
        (messages::Histogram { zero_threshold: -1.0, ..int_histogram() }, "bad_histogram"),
        (messages::Histogram { custom_values: vec![1.0], ..int_histogram() }, "bad_histogram"),
        (
            messages::Histogram { positive_spans: vec![span(0, 2), span(20_000, 1)], ..int_histogram() },
            "histogram_too_wide",
        ),
        (messages::Histogram { timestamp: i64::MAX, ..int_histogram() }, "time_out_of_range"),
    ];
    for (histogram, reason) in cases {
        let decoded = decode(&histogram_request(histogram.clone()));
        let written = Written::of(&decoded.batches);
        assert_eq!(
            (decoded.received, decoded.dropped, written),
            (1, vec![(reason, 1)], Written::default()),
            "{histogram:?}"
        );
        assert!(decoded.batches.is_empty());
    }
}

#[test]
fn a_histogram_may_be_pushed_as_it_is() {
    let histogram = Histogram {
        positive_spans: vec![BucketSpan { offset: 1, length: 1 }],
        positive_buckets: vec![2.0],
        count: 2.0,
        reset_hint: ResetHint::Gauge,
        ..Histogram::default()
    };
    let mut writer = SeriesWriter::new(NOTHING_KNOWN);
    let labels = Labels::new([(METRIC_NAME, "h")]);
    let sample = Sample { time_ms: 1, start_ms: None, value: SampleValue::Histogram(&histogram) };
    writer.push(&labels, &sample, &[]).unwrap();
    writer.push(&Labels::empty(), &sample, &[]).unwrap();
    let decoded = writer.finish().unwrap();
    let written = Written::of(&decoded.batches);
    assert_eq!(
        (decoded.received, decoded.dropped.clone(), written.histograms),
        (2, vec![("missing_metric_name", 1)], 1)
    );
    assert!(cells(&decoded).contains(&"reset_hint 3".to_owned()));
}

#[test]
fn exemplars_keep_their_trace_and_labels() {
    let exemplar =
        |pairs: &[(&str, &str)], timestamp: i64| messages::Exemplar { labels: labels(pairs), value: 0.5, timestamp };
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let series = TimeSeries {
        labels: labels(&[(METRIC_NAME, "c")]),
        exemplars: vec![
            exemplar(&[("trace_id", trace), ("span_id", "b7ad6b7169203331"), ("user", "7")], 9),
            exemplar(&[("trace_id", &trace.to_uppercase())], 0),
            exemplar(&[("a", "1"), ("a", "2")], 9),
        ],
        ..TimeSeries::default()
    };
    let decoded = decode(&WriteRequest { timeseries: vec![series], metadata: vec![] });
    let written = Written::of(&decoded.batches);
    assert_eq!((decoded.received, written.exemplars), (0, 2));
    assert_eq!(decoded.message.as_deref(), Some("1 exemplars left out as unreadable"));
    let rows = table(&decoded, Table::Exemplars);
    assert_eq!((rows[0]["trace_id"].as_str(), rows[0]["span_id"].as_str()), (trace, "b7ad6b7169203331"));
    assert_eq!((rows[0]["time"].as_str(), rows[0]["attr, order"].as_str()), ("9000000", "user"));
    assert_eq!((rows[1]["trace_id"].as_str(), rows[1]["attr, order"].as_str()), ("null", "trace_id"));
    assert_eq!(rows[1]["time"], RECEIVED.to_string());
    assert_eq!(table(&decoded, Table::MetricSeries).len(), 2, "one for each day");
}

#[test]
fn metadata_stands_once() {
    let said = |name: &str, r#type: i32, help: &str| MetricMetadata {
        r#type,
        metric_family_name: name.into(),
        help: help.into(),
        unit: String::new(),
    };
    let metadata =
        vec![said("a", 1, "help"), said("a", 1, "help"), said("a", 1, "other"), said("", 1, "x"), said("b", 99, "")];
    let request = WriteRequest { timeseries: vec![], metadata };
    let decoded = decode(&request);
    let shown = |decoded: &Decoded| -> Vec<String> {
        table(decoded, Table::MetricMetadata)
            .iter()
            .map(|row| format!("{} {} {}", row["name"], row["type"], row["description"]))
            .collect()
    };
    assert_eq!(shown(&decoded), [r#""a" "counter" "help""#, r#""a" "counter" "other""#, r#""b" "unknown" null"#]);
    let known = metadata_id(&Metadata { name: "a", metric_type: MetricType::Counter, unit: "", description: "help" });
    let is_known = |id: u128, day: i64| id == known && day == RECEIVED / 86_400_000_000_000;
    let decoded = decode_remote_write(Version::V1, &request.encode_to_vec(), RECEIVED, &is_known).unwrap();
    assert_eq!(shown(&decoded).len(), 2);
    // In version 2.0 it stands at the series.
    let symbols = ["", METRIC_NAME, "latency_bucket", "le", "1.0", "seconds", "Latency."];
    let series = v2::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![sample(1.0, 5)],
        metadata: Some(v2::Metadata { r#type: 3, help_ref: 6, unit_ref: 5 }),
        created_timestamp: 2,
        ..v2::TimeSeries::default()
    };
    let request = v2::Request { symbols: symbols.map(str::to_owned).to_vec(), timeseries: vec![series] };
    let decoded = decode_remote_write(Version::V2, &request.encode_to_vec(), RECEIVED, NOTHING_KNOWN).unwrap();
    assert_eq!(shown(&decoded), [r#""latency" "histogram" "Latency.""#]);
    assert!(cells(&decoded).contains(&"start_time 2000000".to_owned()));
}

#[test]
fn series_that_are_known_have_no_row() {
    let series = |name: &str| TimeSeries {
        labels: labels(&[(METRIC_NAME, name), ("job", "cart")]),
        samples: vec![sample(1.0, 5), sample(2.0, DAY_MS + 5)],
        ..TimeSeries::default()
    };
    let request = WriteRequest { timeseries: vec![series("up"), series("down")], metadata: vec![] };
    let known = series_id(&Labels::new([(METRIC_NAME, "up"), ("job", "cart")]));
    let is_known = |id: u128, day: i64| id == known && day == 1;
    let decoded = decode_remote_write(Version::V1, &request.encode_to_vec(), RECEIVED, &is_known).unwrap();
    let written = Written::of(&decoded.batches);
    assert_eq!(written.samples, 4);
    let rows = table(&decoded, Table::MetricSeries);
    let shown: Vec<_> = rows.iter().map(|row| (row["name"].as_str(), row["time"].as_str())).collect();
    assert_eq!(shown, [("\"up\"", "5000000"), ("\"down\"", "5000000"), ("\"down\"", "86400005000000")]);
    let ids: BTreeSet<String> = rows.iter().map(|row| row["series_id"][..8].to_owned()).collect();
    assert_eq!(ids.len(), 2, "the series of a metric begin alike");
}

#[test]
fn ids_stay_what_they_are() {
    // Stored series are found by it: a change of this value is a change of the store's format.
    let id = series_id(&Labels::new([(METRIC_NAME, "up"), ("job", "cart")]));
    assert_eq!(format!("{id:032x}"), SERIES_ID);
}

const SERIES_ID: &str = "3252f1645539ebf6e27359ea0f9cc231";

#[test]
fn references_that_lead_nowhere_cost_their_series() {
    let series = |labels_refs: Vec<u32>| v2::TimeSeries {
        labels_refs,
        samples: vec![sample(1.0, 5)],
        ..v2::TimeSeries::default()
    };
    let symbols = ["", METRIC_NAME, "up"].map(str::to_owned).to_vec();
    let timeseries = vec![series(vec![1, 2]), series(vec![1, 9]), series(vec![1, 2, 1])];
    let mut body = v2::Request { symbols, timeseries }.encode_to_vec();
    let decoded = |body: &[u8]| decode_remote_write(Version::V2, body, RECEIVED, NOTHING_KNOWN).unwrap();
    assert_eq!(decoded(&body).dropped, [("invalid_symbol", 2)]);
    let at = body.windows(2).position(|pair| pair == b"up").unwrap();
    body[at] = 0xff;
    assert_eq!(decoded(&body).dropped, [("invalid_utf8", 1), ("invalid_symbol", 2)]);
}

#[test]
fn few_bytes_do_not_become_many() {
    // A long symbol that many labels name.
    let symbols = vec![String::new(), "x".repeat(1 << 20), METRIC_NAME.to_owned()];
    let series =
        v2::TimeSeries { labels_refs: [2, 1].repeat(300), samples: vec![sample(1.0, 5)], ..v2::TimeSeries::default() };
    let body = v2::Request { symbols, timeseries: vec![series] }.encode_to_vec();
    let error = decode_remote_write(Version::V2, &body, RECEIVED, NOTHING_KNOWN).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    // Histograms of two buckets far apart.
    let far = messages::Histogram {
        positive_spans: vec![
            messages::BucketSpan { offset: 0, length: 1 },
            messages::BucketSpan { offset: 16_000, length: 1 },
        ],
        positive_deltas: vec![1, 0],
        negative_spans: vec![],
        negative_deltas: vec![],
        ..int_histogram()
    };
    let mut request = histogram_request(far.clone());
    request.timeseries[0].histograms = vec![far; 600];
    let error = decode_remote_write(Version::V1, &request.encode_to_vec(), RECEIVED, NOTHING_KNOWN).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

#[test]
fn bodies_that_do_not_frame_are_refused() {
    for version in [Version::V1, Version::V2] {
        for body in [&[0x0a, 0x05, 0x00][..], &[0x2a, 0x05, 0x00], &[0xff; 12]] {
            let error = decode_remote_write(version, body, RECEIVED, NOTHING_KNOWN).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{version:?} {body:?}");
        }
        let decoded = decode_remote_write(version, &[], RECEIVED, NOTHING_KNOWN).unwrap();
        let written = Written::of(&decoded.batches);
        assert_eq!((decoded.batches.len(), written), (0, Written::default()));
    }
}

#[test]
fn snappy_is_undone_up_to_a_limit() {
    let body = b"up ".repeat(1_000);
    let compressed = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    assert_eq!(decompress_snappy(&compressed, body.len()).unwrap(), body);
    assert_eq!(decompress_snappy(&compressed, body.len() - 1).unwrap_err().kind, ErrorKind::TooLarge);
    for damaged in [&b""[..], &[0xff; 9], &[0x80, 0x80, 0x80, 0x08, 0x00], &compressed[..20]] {
        assert_eq!(decompress_snappy(damaged, 1 << 30).unwrap_err().kind, ErrorKind::Invalid, "{damaged:?}");
    }
}

/// For the tests of damaged requests.
pub(super) fn any_request(seed: u64) -> WriteRequest {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let timeseries = prop::collection::vec(any_series(), 0..6).new_tree(&mut runner).unwrap().current();
    let mut request = WriteRequest { timeseries, ..histogram_request(int_histogram()) };
    request.timeseries.extend(histogram_request(int_histogram()).timeseries);
    request.metadata.push(MetricMetadata {
        r#type: 1,
        metric_family_name: "a".into(),
        help: "h".into(),
        unit: "u".into(),
    });
    request
}

pub(super) fn stored(batches: &[Batch]) -> u64 {
    batches.iter().filter(|batch| batch.table() == Table::MetricSamples).map(|batch| batch.rows() as u64).sum()
}

#[test]
fn an_exemplar_is_pushed_with_its_sample() {
    let mut writer = SeriesWriter::new(NOTHING_KNOWN);
    let exemplar = Exemplar { labels: vec![("k".into(), "v".into())], value: 1.0, time_ms: None };
    let sample = Sample { time_ms: 7, start_ms: None, value: SampleValue::Float(1.0) };
    writer.push(&Labels::new([(METRIC_NAME, "c")]), &sample, std::slice::from_ref(&exemplar)).unwrap();
    writer.push(&Labels::empty(), &sample, &[exemplar]).unwrap();
    writer.describe(&Metadata { name: "c", ..Metadata::default() }, RECEIVED).unwrap();
    let decoded = writer.finish().unwrap();
    let written = Written::of(&decoded.batches);
    assert_eq!(written, Written { samples: 1, histograms: 0, exemplars: 1 });
    assert_eq!(table(&decoded, Table::Exemplars)[0]["time"], "7000000");
    assert_eq!(table(&decoded, Table::MetricMetadata).len(), 1);
}
