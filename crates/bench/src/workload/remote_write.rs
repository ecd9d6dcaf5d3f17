//! What do the services measure, as Prometheus takes it? The series of `metrics` by remote write 1.0
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec/>), under the names that Prometheus gives to OpenTelemetry's.

use causeway_model::{Error, Result};
use prost::Message;

use super::metrics::{BOUNDS, Kind, Series};
use super::world::Instance;
use super::{Attributes, Value};

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    time_ms: i64,
}

/// Lets one interval pass for the series of one instance and writes them down as one request.
///
/// # Errors
/// `Internal` when it can't be compressed.
pub fn encode(instance: Instance, all: &mut [Series], time_ns: u64) -> Result<Vec<u8>> {
    let time_ms = i64::try_from(time_ns / 1_000_000).map_err(|_| Error::internal("a time beyond remote write"))?;
    let mut series = Vec::new();
    for one in all {
        one.step();
        let labels = labels(instance, &one.attributes);
        for (name, bound, value) in samples(one) {
            let mut labels = labels.clone();
            labels.push(label("__name__", name));
            labels.extend(bound.map(|bound| label("le", bound)));
            // The specification wants them in order.
            labels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            series.push(TimeSeries { labels, samples: vec![Sample { value, time_ms }] });
        }
    }
    let bytes = WriteRequest { series }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&bytes).map_err(|error| Error::internal(error.to_string()))
}

fn label(name: &str, value: String) -> Label {
    Label { name: name.to_owned(), value }
}

/// `job`, `instance` and the series' own.
fn labels(instance: Instance, attributes: &Attributes) -> Vec<Label> {
    let of_instance = instance.attributes().into_iter().filter_map(|(key, value)| match key {
        "service.name" => Some(label("job", value)),
        "service.instance.id" => Some(label("instance", value)),
        _ => None,
    });
    let own = attributes.iter().map(|(key, value)| {
        let value = match value {
            Value::Text(text) => text.clone(),
            Value::Int(number) => number.to_string(),
        };
        label(&key.replace('.', "_"), value)
    });
    of_instance.chain(own).collect()
}

/// Name, upper bound of a bucket, value: one sample of a number, seventeen of a histogram.
fn samples(series: &Series) -> Vec<(String, Option<String>, f64)> {
    let name = series.kind.prometheus_name();
    if series.kind != Kind::Duration {
        return vec![(name.to_owned(), None, series.level)];
    }
    let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    let mut so_far = 0;
    let mut samples: Vec<_> = bounds
        .zip(series.buckets)
        .map(|(bound, count)| {
            so_far += count;
            (format!("{name}_bucket"), Some(bound), so_far as f64)
        })
        .collect();
    samples.push((format!("{name}_sum"), None, series.sum));
    samples.push((format!("{name}_count"), None, series.level));
    samples
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_request_holds_all_samples_with_their_labels_in_order() {
        let mut all: Vec<Series> = (0..10).map(|index| Series::new(1, index)).collect();
        let body = encode(all[0].instance, &mut all, 15_000_000_000).unwrap();
        let body = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let WriteRequest { series } = WriteRequest::decode(body.as_slice()).unwrap();
        assert_eq!(series.len(), 9 + 17);
        assert_eq!(series.len(), all.iter().map(|one| one.kind.samples()).sum::<usize>());
        for one in &series {
            assert!(one.labels.is_sorted_by(|a, b| a.name < b.name), "{:?}", one.labels);
            assert_eq!(one.samples.len(), 1);
            assert_eq!(one.samples[0].time_ms, 15_000);
        }
        let value = |name: &str, le: &str| {
            let has = |one: &&TimeSeries, key: &str, value: &str| {
                one.labels.iter().any(|label| label.name == key && label.value == value)
            };
            let found = series.iter().find(|one| has(one, "__name__", name) && (le.is_empty() || has(one, "le", le)));
            found.unwrap().samples[0].value
        };
        let of = |suffix: &str| format!("{}{suffix}", Kind::Duration.prometheus_name());
        assert_eq!(value(&of("_bucket"), "+Inf"), value(&of("_count"), ""));
        assert!(value(&of("_bucket"), "0.05") <= value(&of("_bucket"), "0.1"));
        assert_eq!(value(Kind::Requests.prometheus_name(), ""), all[0].level);
    }
}
