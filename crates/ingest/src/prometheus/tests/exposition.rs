//! Does an answer to a scrape give the series that it says? Each case is the text sent and the entries expected, a line each.

use std::fmt::Write as _;

use causeway_model::format_float;
use prost::Message;

use super::messages::client::{
    Bucket, Exemplar, Histogram, Metric, MetricFamily, Number, Quantile, Summary, Timestamp,
};
use super::messages::{BucketSpan, Label};
use super::remote_write::labels;
use crate::prometheus::{Entry, Format, Options, SampleValue, ScrapeProtocol, accept_header, parse};

/// The entries as lines: `family type "unit" "help"`, or `{labels} value @time ^start # {exemplar labels} value @time`.
fn entries_with(format: Format, body: &[u8], options: &Options) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let parsed = parse(format, body, options, &mut |entry| {
        lines.push(match entry {
            Entry::Family(family) => {
                format!("{} {} {:?} {:?}", family.name, family.metric_type.name(), family.unit, family.description)
            }
            Entry::Series(series) => {
                let pairs = |labels: &[(crate::prometheus::Text<'_>, crate::prometheus::Text<'_>)]| {
                    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                    format!("{{{}}}", pairs.join(","))
                };
                let mut line = pairs(series.labels).replace("__name__=", "");
                match series.value {
                    SampleValue::Float(value) => write!(line, " {}", format_float(value)),
                    SampleValue::Histogram(histogram) => {
                        write!(line, " {} hint {:?}", histogram.test_expression(), histogram.reset_hint)
                    }
                }
                .unwrap();
                for (mark, time) in [('@', series.time_ms), ('^', series.start_ms)] {
                    time.iter().for_each(|time| write!(line, " {mark}{time}").unwrap());
                }
                for exemplar in series.exemplars {
                    write!(line, " # {} {}", pairs(&exemplar.labels), format_float(exemplar.value)).unwrap();
                    exemplar.time_ms.iter().for_each(|time| write!(line, " @{time}").unwrap());
                }
                line
            }
        });
        Ok(())
    });
    parsed.map(|()| lines).map_err(|error| error.message)
}

fn entries(format: Format, body: &str) -> Result<Vec<String>, String> {
    entries_with(format, body.as_bytes(), &Options::default())
}

pub(super) const TEXT: &str = r#"# HELP http_requests_total The total\nnumber of \\ requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400",}    3 1395066363000

# Escaping in label values, and a comment:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
	metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="1"} 133988
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.50"} NaN
{"utf8.metric","label.name"="a",b="c"} 1
# HELP "utf8.metric" dots
# TYPE "utf8.metric" untyped
"#;

#[test]
fn the_text_format_is_read() {
    let expected = [
        r#"http_requests_total counter "" "The total\nnumber of \\ requests.""#,
        r#"{"http_requests_total",method="post",code="200"} 1027 @1395066363000"#,
        r#"{"http_requests_total",method="post",code="400"} 3 @1395066363000"#,
        r#"{"msdos_file_access_time_seconds",path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e+09"#,
        r#"{"metric_without_timestamp_and_labels"} 12.47"#,
        r#"{"something_weird",problem="division by zero"} +Inf @-3982045"#,
        r#"http_request_duration_seconds histogram "" """#,
        r#"{"http_request_duration_seconds_bucket",le="0.05"} 24054"#,
        r#"{"http_request_duration_seconds_bucket",le="1.0"} 133988"#,
        r#"{"http_request_duration_seconds_bucket",le="+Inf"} 144320"#,
        r#"{"http_request_duration_seconds_sum"} 53423"#,
        r#"{"http_request_duration_seconds_count"} 144320"#,
        r#"rpc_duration_seconds summary "" """#,
        r#"{"rpc_duration_seconds",quantile="0.5"} NaN"#,
        r#"{"utf8.metric",label.name="a",b="c"} 1"#,
        r#"utf8.metric unknown "" "dots""#,
    ];
    assert_eq!(entries(Format::Text, TEXT).unwrap(), expected);
    assert_eq!(entries(Format::Text, "").unwrap(), [""; 0]);
    assert_eq!(entries(Format::Text, "a 1").unwrap(), [r#"{"a"} 1"#], "a last line without its end");
    // A staleness marker can't be scraped.
    parse(Format::Text, b"a NaN", &Options::default(), &mut |entry| {
        let Entry::Series(series) = entry else { panic!("{entry:?}") };
        assert!(matches!(series.value, SampleValue::Float(value) if value.to_bits() == 0x7ff8_0000_0000_0001));
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_is_wrong_names_its_line() {
    let cases = [
        ("a 1\nb", "line 2: expected value after metric"),
        ("a 1\n\nb x", "line 3: invalid number \"x\""),
        ("a 1_000", "line 1: invalid number \"1_000\""),
        ("a 1 2.5", "line 1: invalid timestamp \"2.5\""),
        ("a 1 2 3", "line 1: expected next entry after timestamp"),
        ("9a 1", "line 1: expected a valid start token"),
        ("{a=\"b\"} 1", "line 1: metric name not set"),
        ("{\"a\",\"b\"} 1", "line 1: metric name already set"),
        ("a{b=\"1\"c=\"2\"} 1", "line 1: expected comma or brace close"),
        ("a{b} 1", "line 1: expected equal"),
        ("a{b=1} 1", "line 1: expected a quoted text"),
        ("a{b=\"1} 1", "line 1: expected a closing quote"),
        ("a{b=\"1\",b=\"2\"} 1", "line 1: a label name is not unique: invalid sample"),
        ("# TYPE a gaugehistogram", "line 1: invalid metric type \"gaugehistogram\""),
        ("# TYPE 1a counter", "line 1: expected metric name"),
    ];
    for (body, expected) in cases {
        assert_eq!(entries(Format::Text, body).unwrap_err(), expected, "{body}");
    }
    let error = entries_with(Format::Text, b"a{b=\"\xff\"} 1", &Options::default()).unwrap_err();
    assert_eq!(error, "line 1: invalid UTF-8");
    let narrow = Options { labels_max: 2, label_bytes_max: 3, ..Options::default() };
    let refused = |body: &str| entries_with(Format::Text, body.as_bytes(), &narrow).unwrap_err();
    assert_eq!(refused("a{b=\"1\",c=\"2\"} 1"), "line 1: too many labels");
    assert_eq!(refused("a{b=\"1234\"} 1"), "line 1: label name or value is too long");
}

pub(super) const OPEN_METRICS: &str = r#"# TYPE acme_http_router_request_seconds summary
# UNIT acme_http_router_request_seconds seconds
# HELP acme_http_router_request_seconds Latency "though" all.
acme_http_router_request_seconds_sum{path="/api/v1",method="GET"} 9036.32
acme_http_router_request_seconds_count{path="/api/v1",method="GET"} 807283.0
acme_http_router_request_seconds_created{path="/api/v1",method="GET"} 1605281325.5
# TYPE go_goroutines gauge
go_goroutines 69 1520879607.789
# TYPE foo counter
foo_total{a="1"} 17.0 1520879607.789 # {trace_id="KOO5S4vxi0o"} 0.67
foo_created{a="1"} 1520872607.123
foo_total{a="2"} 5
# TYPE h histogram
h_bucket{le="1"} 4 # {} 0.5 1.5
h_bucket{le="+Inf"} 4
h_created 10
# TYPE g gaugehistogram
g_bucket{le="1"} 2
# EOF
"#;

#[test]
fn open_metrics_is_read() {
    let expected = [
        r#"acme_http_router_request_seconds summary "seconds" "Latency \"though\" all.""#,
        r#"{"acme_http_router_request_seconds_sum",path="/api/v1",method="GET"} 9036.32 ^1605281325500"#,
        r#"{"acme_http_router_request_seconds_count",path="/api/v1",method="GET"} 807283 ^1605281325500"#,
        r#"{"acme_http_router_request_seconds_created",path="/api/v1",method="GET"} 1.6052813255e+09 ^1605281325500"#,
        r#"go_goroutines gauge "" """#,
        r#"{"go_goroutines"} 69 @1520879607789"#,
        r#"foo counter "" """#,
        r#"{"foo_total",a="1"} 17 @1520879607789 ^1520872607123 # {trace_id="KOO5S4vxi0o"} 0.67"#,
        r#"{"foo_created",a="1"} 1.520872607123e+09 ^1520872607123"#,
        r#"{"foo_total",a="2"} 5"#,
        r#"h histogram "" """#,
        r#"{"h_bucket",le="1.0"} 4 ^10000 # {} 0.5 @1500"#,
        r#"{"h_bucket",le="+Inf"} 4 ^10000"#,
        r#"{"h_created"} 10 ^10000"#,
        r#"g gaugehistogram "" """#,
        r#"{"g_bucket",le="1"} 2"#,
    ];
    assert_eq!(entries(Format::OpenMetrics, OPEN_METRICS).unwrap(), expected);
    let without = Options { created_series: false, ..Options::default() };
    let shown = entries_with(Format::OpenMetrics, OPEN_METRICS.as_bytes(), &without).unwrap();
    assert_eq!(shown.len(), expected.len() - 3);
    let cases = [
        ("a 1\n", "data does not end with # EOF"),
        ("# EOF\na 1\n", "line 2: unexpected data after # EOF"),
        ("# TYPE a_b counter\n# UNIT a_b seconds\n# EOF\n", "line 2: unit \"seconds\" not a suffix of metric \"a_b\""),
        ("# TYPE a untyped\n# EOF\n", "line 1: invalid metric type \"untyped\""),
        ("a 1 x\n# EOF\n", "line 1: invalid number \"x\""),
        ("a 1 NaN\n# EOF\n", "line 1: invalid timestamp NaN"),
        ("a 1 1 2\n# EOF\n", "line 1: expected next entry after timestamp"),
        ("a 1 # {a=\"b\"}\n# EOF\n", "line 1: expected value after exemplar labels"),
        ("a 1 # x\n# EOF\n", "line 1: expected exemplar labels"),
    ];
    for (body, expected) in cases {
        assert_eq!(entries(Format::OpenMetrics, body).unwrap_err(), expected, "{body}");
    }
}

fn delimited(families: &[MetricFamily]) -> Vec<u8> {
    families.iter().flat_map(MetricFamily::encode_length_delimited_to_vec).collect()
}

fn exemplar(seconds: Option<i64>) -> Exemplar {
    let label = vec![Label { name: "trace_id".into(), value: "t".into() }];
    Exemplar { label, value: 0.5, timestamp: seconds.map(|seconds| Timestamp { seconds, nanos: 7_999_999 }) }
}

fn native() -> Histogram {
    let bucket = |upper_bound: f64, cumulative_count: u64| Bucket {
        cumulative_count,
        upper_bound,
        exemplar: Some(exemplar(Some(3))),
    };
    Histogram {
        sample_count: 4,
        sample_sum: 6.5,
        bucket: vec![bucket(1.0, 3)],
        schema: 0,
        zero_threshold: 0.001,
        zero_count: 1,
        positive_span: vec![BucketSpan { offset: 0, length: 1 }, BucketSpan { offset: 1, length: 1 }],
        positive_delta: vec![2, -1],
        created_timestamp: Some(Timestamp { seconds: 2, nanos: 0 }),
        exemplars: vec![exemplar(None), exemplar(Some(4))],
        ..Histogram::default()
    }
}

/// Families of all types.
pub(super) fn families() -> Vec<u8> {
    let family = |name: &str, r#type: i32, metric: Metric| MetricFamily {
        name: name.into(),
        help: "Help.".into(),
        r#type,
        metric: vec![Metric { label: labels(&[("a", "1")]), ..metric }],
        unit: String::new(),
    };
    let counter = Number {
        value: 3.0,
        exemplar: Some(exemplar(Some(1))),
        created_timestamp: Some(Timestamp { seconds: 1, nanos: 0 }),
    };
    let gauge = Number { value: f64::from_bits(causeway_model::Histogram::STALE), ..Number::default() };
    let summary = Summary { sample_count: 2, sample_sum: 3.5, quantile: vec![Quantile { quantile: 1.0, value: 2.0 }] };
    let classic = Histogram { sample_count: 3, sample_sum: 1.5, bucket: native().bucket, ..Histogram::default() };
    delimited(&[
        family("c", 0, Metric { counter: Some(counter), ..Metric::default() }),
        family("g", 1, Metric { gauge: Some(gauge), timestamp_ms: 9, ..Metric::default() }),
        family("s", 2, Metric { summary: Some(summary), ..Metric::default() }),
        family("h", 4, Metric { histogram: Some(classic), ..Metric::default() }),
        family("n", 5, Metric { histogram: Some(native()), ..Metric::default() }),
    ])
}

#[test]
fn protobuf_is_read() {
    let trace = r#"{trace_id="t"} 0.5"#;
    let expected = [
        r#"c counter "" "Help.""#.to_owned(),
        format!(r#"{{"c",a="1"}} 3 ^1000 # {trace} @1007"#),
        r#"g gauge "" "Help.""#.to_owned(),
        r#"{"g",a="1"} NaN @9"#.to_owned(),
        r#"s summary "" "Help.""#.to_owned(),
        r#"{"s_count",a="1"} 2"#.to_owned(),
        r#"{"s_sum",a="1"} 3.5"#.to_owned(),
        r#"{"s",a="1",quantile="1.0"} 2"#.to_owned(),
        r#"h histogram "" "Help.""#.to_owned(),
        r#"{"h_count",a="1"} 3"#.to_owned(),
        r#"{"h_sum",a="1"} 1.5"#.to_owned(),
        format!(r#"{{"h_bucket",a="1",le="1.0"}} 3 # {trace} @3007"#),
        r#"{"h_bucket",a="1",le="+Inf"} 3"#.to_owned(),
        r#"n gaugehistogram "" "Help.""#.to_owned(),
        format!(
            r#"{{"n",a="1"}} {{{{count:4 sum:6.5 z_bucket:1 z_bucket_w:0.001 counter_reset_hint:gauge buckets:[2 0 1]}}}} hint Gauge ^2000 # {trace} @4007"#
        ),
    ];
    assert_eq!(entries_with(Format::Protobuf, &families(), &Options::default()).unwrap(), expected);
    let both = Options { classic_histograms: true, ..Options::default() };
    let shown = entries_with(Format::Protobuf, &families(), &both).unwrap();
    assert_eq!(shown.len(), expected.len() + 4);
    let error = entries_with(Format::Protobuf, &families()[..200], &Options::default()).unwrap_err();
    assert!(error.starts_with("metric family ") && error.ends_with("cut short"), "{error}");
    let twice = Metric { label: labels(&[("a", "1"), ("a", "2")]), ..Metric::default() };
    let family = MetricFamily { name: "x".into(), metric: vec![twice], ..MetricFamily::default() };
    let error = entries_with(Format::Protobuf, &delimited(&[family]), &Options::default()).unwrap_err();
    assert_eq!(error, "metric family 1: a label name is not unique: invalid sample");
}

#[test]
fn an_error_of_the_taker_ends_the_parsing() {
    let mut taken = 0;
    let parsed = parse(Format::Text, b"a 1\nb 2\nc 3", &Options::default(), &mut |_| {
        taken += 1;
        if taken == 2 { Err(causeway_model::Error::invalid("sample limit exceeded")) } else { Ok(()) }
    });
    assert_eq!((parsed.unwrap_err().message.as_str(), taken), ("line 2: sample limit exceeded", 2));
}

#[test]
fn formats_are_negotiated() {
    assert_eq!(
        accept_header(&ScrapeProtocol::ALL[1..]),
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    );
    assert!(ScrapeProtocol::ALL.iter().all(|protocol| ScrapeProtocol::from_name(protocol.name()) == Some(*protocol)));
    let of = |content_type: &str| Format::of_content_type(content_type, None);
    assert_eq!(of("text/plain; version=0.0.4; charset=utf-8").unwrap(), Format::Text);
    assert_eq!(of("Application/OpenMetrics-Text; version=1.0.0").unwrap(), Format::OpenMetrics);
    let proto = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    assert_eq!(of(proto).unwrap(), Format::Protobuf);
    assert!(of("").is_err() && of("text/html").is_err());
    let fallback = Format::of_content_type("text/html", Some(ScrapeProtocol::PrometheusText0)).unwrap();
    assert_eq!(fallback, Format::Text);
}
