//! What does a sender of remote write send? The published messages as prost has them, and snappy.

use causeway_tests::Program;
use prost::Message as _;
use reqwest::{Response, StatusCode};

/// Of the staleness marker.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// `prometheus.WriteRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.TimeSeries`
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// `prometheus.Label`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `prometheus.Sample`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// A series with these labels and these samples: times in milliseconds, and values.
pub fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let label = |(name, value): &(&str, &str)| Label { name: (*name).to_owned(), value: (*value).to_owned() };
    let sample = |(timestamp, value): &(i64, f64)| Sample { value: *value, timestamp: *timestamp };
    TimeSeries { labels: labels.iter().map(label).collect(), samples: samples.iter().map(sample).collect() }
}

/// The body of a request.
pub fn body(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    compressed(&WriteRequest { timeseries }.encode_to_vec())
}

/// In snappy's block format.
pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// Sends a body with headers of the sender's choice.
pub async fn send_as(program: &Program, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
    let request = program.client.post(format!("http://{}/prometheus/api/v1/write", program.listen));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(body).timeout(super::PATIENCE).send().await.unwrap()
}

/// Sends a body as Prometheus does; status and answer.
pub async fn send(program: &Program, body: Vec<u8>) -> (StatusCode, String) {
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let answer = send_as(program, &headers, body).await;
    (answer.status(), answer.text().await.unwrap())
}
