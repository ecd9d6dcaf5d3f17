//! What does a line of each logger become, and what does each odd thing cost?

use causeway_model::{ErrorKind, Value};

use super::{RECEIVED, one, read, told};
use crate::ROWS_MAX;
use crate::lines::fields::FIELDS_MAX;
use crate::lines::{Keep, LINE_BYTES_MAX, Line, LineRows, Severity, decode_lines, exception, time};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A line, and what must be told of it in the order of the alphabet.
fn becomes(line: &str, expected: &[&str]) {
    assert_eq!(read(line), expected, "{line}");
}

#[test]
fn lines_of_node() {
    // pino with its OpenTelemetry instrumentation and pino-http.
    becomes(
        r#"{"level":50,"time":1764000000123,"pid":7,"hostname":"a","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","trace_flags":"01","reqId":"r-1","err":{"type":"TypeError","message":"x is not a function","stack":"TypeError: x is not a function\n    at f (a.js:1:2)"},"msg":"failed"}"#,
        &[
            "attr.exception.message=x is not a function",
            "attr.exception.stacktrace=TypeError: x is not a function\n    at f (a.js:1:2)",
            "attr.exception.type=TypeError",
            "attr.hostname=a",
            "attr.pid=7",
            "attr.request_id=r-1",
            "body=failed",
            "flags=1",
            "severity_number=17",
            "severity_text=error",
            &format!("span_id={SPAN}"),
            "time=1764000000123000000",
            &format!("trace_id={TRACE}"),
        ],
    );
    // bunyan.
    becomes(
        r#"{"name":"shop","hostname":"a","pid":1,"level":30,"msg":"hi","time":"2026-01-31T23:59:59.500Z","v":0}"#,
        &[
            "attr.hostname=a",
            "attr.name=shop",
            "attr.pid=1",
            "attr.v=0",
            "body=hi",
            "severity_number=9",
            "severity_text=info",
            "time=1769903999500000000",
        ],
    );
    // winston.
    becomes(
        r#"{"level":"silly","message":"m","service":"cart"}"#,
        &["body=m", "resource.service.name=cart", "service_name=cart", "severity_number=1", "severity_text=silly"],
    );
}

#[test]
fn lines_of_go() {
    // zap in production.
    becomes(
        r#"{"level":"error","ts":1764000000.123456,"caller":"a/b.go:12","msg":"failed to fetch","error":"timeout","stacktrace":"main.main\n\t/a/b.go:12"}"#,
        &[
            "attr.caller=a/b.go:12",
            "attr.exception.message=timeout",
            "attr.exception.stacktrace=main.main\n\t/a/b.go:12",
            "body=failed to fetch",
            "severity_number=17",
            "severity_text=error",
            "time=1764000000123456000",
        ],
    );
    // log/slog.
    becomes(
        r#"{"time":"2026-01-31T23:59:59.123456789+01:00","level":"ERROR+2","msg":"slow","http":{"route":"/pay","status":200,"tags":[1,2.0,{"a":null}]}}"#,
        &[
            "attr.http.route=/pay",
            "attr.http.status=200",
            r#"attr.http.tags=[1,2.0,{"a":null}]"#,
            "body=slow",
            "severity_number=19",
            "severity_text=ERROR+2",
            "time=1769900399123456789",
        ],
    );
}

#[test]
fn lines_of_java_and_dotnet() {
    // logstash-logback-encoder.
    becomes(
        r#"{"@timestamp":"2026-01-31T23:59:59.123Z","@version":"1","message":"boom","logger_name":"a.B","thread_name":"main","level":"WARN","level_value":30000,"stack_trace":"java.lang.IllegalStateException: no more\n\tat a.B.c(B.java:5)\n","traceId":"0AF7651916CD43DD8448EB211C80319C","spanId":"b7ad6b7169203331"}"#,
        &[
            "attr.@version=1",
            "attr.exception.message=no more",
            "attr.exception.stacktrace=java.lang.IllegalStateException: no more\n\tat a.B.c(B.java:5)\n",
            "attr.exception.type=java.lang.IllegalStateException",
            "attr.level_value=30000",
            "attr.logger_name=a.B",
            "attr.thread_name=main",
            "body=boom",
            "severity_number=13",
            "severity_text=WARN",
            &format!("span_id={SPAN}"),
            "time=1769903999123000000",
            &format!("trace_id={TRACE}"),
        ],
    );
    // Serilog's compact format, with a level and without.
    becomes(
        r#"{"@t":"2026-01-31T23:59:59.1234567Z","@mt":"Hello, {User}","@m":"Hello, \"ann\"","@i":"7","@l":"Fatal","@x":"System.InvalidOperationException: no\n   at A.B()","@tr":"0af7651916cd43dd8448eb211c80319c","@sp":"b7ad6b7169203331","User":"ann"}"#,
        &[
            "attr.@i=7",
            "attr.@mt=Hello, {User}",
            "attr.User=ann",
            "attr.exception.message=no",
            "attr.exception.stacktrace=System.InvalidOperationException: no\n   at A.B()",
            "attr.exception.type=System.InvalidOperationException",
            r#"body=Hello, "ann""#,
            "severity_number=21",
            "severity_text=Fatal",
            &format!("span_id={SPAN}"),
            "time=1769903999123456700",
            &format!("trace_id={TRACE}"),
        ],
    );
    becomes(r#"{"@t":"2026-01-31T23:59:59Z","@mt":"x"}"#, &["body=x", "severity_number=9", "time=1769903999000000000"]);
}

#[test]
fn lines_of_python_and_of_the_common_schema() {
    becomes(
        r#"{"event":"order failed","level":"critical","timestamp":"2026-01-31T23:59:59.123456Z","exception":"Traceback (most recent call last):\n  File \"a.py\", line 1\nValueError: bad\n","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#,
        &[
            "attr.exception.message=bad",
            "attr.exception.stacktrace=Traceback (most recent call last):\n  File \"a.py\", line 1\nValueError: bad\n",
            "attr.exception.type=ValueError",
            "body=order failed",
            "flags=1",
            "severity_number=21",
            "severity_text=critical",
            &format!("span_id={SPAN}"),
            "time=1769903999123456000",
            &format!("trace_id={TRACE}"),
        ],
    );
    let nested = r#"{"@timestamp":"2026-01-31T23:59:59Z","log":{"level":"info","logger":"a"},"message":"m","trace":{"id":"0af7651916cd43dd8448eb211c80319c"},"span":{"id":"b7ad6b7169203331"},"service":{"name":"cart","version":"1"},"error":{"type":"E","message":"e","stack_trace":"s"},"empty":{},"none":null}"#;
    let dotted = r#"{"@timestamp":"2026-01-31T23:59:59Z","log.level":"info","log.logger":"a","message":"m","trace.id":"0af7651916cd43dd8448eb211c80319c","span.id":"b7ad6b7169203331","service.name":"cart","service.version":"1","error.type":"E","error.message":"e","error.stack_trace":"s","empty":{}}"#;
    let trace = format!("trace_id={TRACE}");
    let expected = [
        "attr.empty={}",
        "attr.exception.message=e",
        "attr.exception.stacktrace=s",
        "attr.exception.type=E",
        "attr.log.logger=a",
        "attr.service.version=1",
        "body=m",
        "resource.service.name=cart",
        "service_name=cart",
        "severity_number=9",
        "severity_text=info",
        "span_id=b7ad6b7169203331",
        "time=1769903999000000000",
        &trace,
    ];
    becomes(nested, &expected);
    becomes(dotted, &expected);
}

#[test]
fn what_an_application_wrote_counts_before_what_its_shipper_says() {
    becomes(
        r#"{"@timestamp":"2026-01-31T23:59:59Z","stream":"stdout","log":"{\"level\":\"warn\",\"ts\":1764000000,\"msg\":\"m\",\"n\":1}","kubernetes":{"pod_name":"p"}}"#,
        &[
            "attr.@timestamp=2026-01-31T23:59:59Z",
            "attr.kubernetes.pod_name=p",
            "attr.n=1",
            "attr.stream=stdout",
            "body=m",
            "severity_number=13",
            "severity_text=warn",
            "time=1764000000000000000",
        ],
    );
    // A message that only looks like JSON is a message, one without a message of its own is the body.
    becomes(r#"{"message":"{not json","a":1}"#, &["attr.a=1", "body={not json"]);
    becomes(r#"{"message":"{\"b\":2}","a":1}"#, &["attr.a=1", "attr.b=2", r#"body={"b":2}"#]);
}

#[test]
fn what_does_not_fit_stays_an_attribute() {
    becomes(
        r#"{"msg":"m","level":"shouting","time":12,"trace_id":"xyz","span_id":"0000000000000000","error":{"type":"timeout"},"status":500,"service":7}"#,
        &[
            "attr.error.type=timeout",
            "attr.level=shouting",
            "attr.service=7",
            "attr.span_id=0000000000000000",
            "attr.status=500",
            "attr.time=12",
            "attr.trace_id=xyz",
            "body=m",
        ],
    );
    // A line without a message is its own.
    becomes(r#"{"status":200,"uri":"/a"}"#, &["attr.status=200", "attr.uri=/a", r#"body={"status":200,"uri":"/a"}"#]);
}

#[test]
fn datadogs_decimal_ids_fill_the_columns_and_stay() {
    becomes(
        r#"{"msg":"m","dd":{"trace_id":"1234567890","span_id":"255"}}"#,
        &[
            "attr.dd.span_id=255",
            "attr.dd.trace_id=1234567890",
            "body=m",
            "span_id=00000000000000ff",
            "trace_id=000000000000000000000000499602d2",
        ],
    );
}

#[test]
fn what_cannot_be_read_stays_as_it_came() {
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let many: Vec<String> = (0..=FIELDS_MAX).map(|n| format!(r#""k{n}":1"#)).collect();
    let many = format!("{{{}}}", many.join(","));
    let long = format!(
        r#"{{"{}":{{{}}}}}"#,
        "x".repeat(200),
        (0..90).map(|n| format!(r#""{n}":1"#)).collect::<Vec<_>>().join(",")
    );
    let odd = [
        "plain text with level=info",
        "",
        "{",
        "{}x",
        r#"{"a":}"#,
        r#"{"a":01}"#,
        r#"["a"]"#,
        "\"a\"",
        r#"{"a":[{"b":1,"b":2}]}"#,
        "{'a':1}",
        deep.as_str(),
        many.as_str(),
        long.as_str(),
    ];
    for line in odd {
        becomes(line, &[&format!("body={line}")]);
    }
}

#[test]
fn a_line_that_is_wanted_back_fills_columns_alone() {
    let text = r#"{"level":40,"time":1764000000123,"msg":"m","traceId":"0af7651916cd43dd8448eb211c80319c","err":{"message":"e"},"service":"x"}"#;
    let attributes = [("pod", Value::String("p-1")), ("n", Value::Int(3))];
    let line = Line { time_unix_nano: Some(5), attributes: &attributes, text, ..Line::default() };
    let expected = [
        "attr.n=3".to_owned(),
        "attr.pod=p-1".to_owned(),
        format!("body={text}"),
        "resource.job=j".to_owned(),
        "severity_number=13".to_owned(),
        "severity_text=warn".to_owned(),
        "time=5".to_owned(),
        format!("trace_id={TRACE}"),
    ];
    assert_eq!(one(Keep::Text, &[("job", "j")], &line), expected);
}

#[test]
fn what_the_protocol_says_stands_beside_what_the_line_says() {
    let severity = Severity::of_syslog(2).unwrap();
    let given = Line { time_unix_nano: Some(9), severity, span_id: Some([7; 8]), ..Line::default() };
    let plain = one(Keep::Fields, &[("service.name", "sshd")], &Line { text: "hi", ..given });
    assert_eq!(
        plain,
        [
            "body=hi",
            "resource.service.name=sshd",
            "service_name=sshd",
            "severity_number=18",
            "severity_text=crit",
            "span_id=0707070707070707",
            "time=9"
        ]
    );
    let json = one(
        Keep::Fields,
        &[("service.name", "sshd")],
        &Line { text: r#"{"level":"info","time":1764000000,"service":"x"}"#, ..given },
    );
    assert_eq!(json[..2], ["attr.service=x", "attr.time=1764000000"]);
    assert!(json.contains(&"severity_number=9".to_owned()) && json.contains(&"time=9".to_owned()), "{json:?}");
}

#[test]
fn services_that_lines_name_are_resources_up_to_a_limit() {
    let mut lines = LineRows::new(Keep::Fields, RECEIVED);
    let resource = lines.resource(&[("host.name", "a")]).unwrap();
    assert_eq!(lines.resource(&[("host.name", "a")]).unwrap(), resource);
    for n in 0..1_002 {
        let text = format!(r#"{{"msg":"m","service":"s{}"}}"#, n % 1_001);
        lines.push(resource, &Line { text: &text, ..Line::default() }).unwrap();
    }
    let rows = told(&lines.finish().unwrap());
    assert_eq!(rows[0], ["body=m", "resource.host.name=a", "resource.service.name=s0", "service_name=s0"]);
    assert_eq!(rows[1_000], ["attr.service=s1000", "body=m", "resource.host.name=a"]);
    assert_eq!(rows[1_001], rows[0]);
}

#[test]
fn the_last_of_a_repeated_key_stays() {
    let attributes = [("a", Value::Int(1)), ("b", Value::Int(2)), ("a", Value::Int(3))];
    let line = Line { attributes: &attributes, text: r#"{"b":4,"c":5,"c":6,"msg":"m"}"#, ..Line::default() };
    let resource = [("x", "1"), ("service.name", ""), ("x", "2")];
    assert_eq!(
        one(Keep::Fields, &resource, &line),
        ["attr.a=3", "attr.b=4", "attr.c=6", "body=m", "resource.service.name=", "resource.x=2"]
    );
    let named = one(Keep::Fields, &resource, &Line { text: r#"{"msg":"m","service":"s"}"#, ..Line::default() });
    assert_eq!(named, ["body=m", "resource.service.name=s", "resource.x=2", "service_name=s"]);
    // Quadratic in the lines this would take minutes.
    let body = "{\"a\":1,\"a\":2}\n".repeat(300_000);
    let decoded = decode_lines(&[], body.as_bytes(), RECEIVED).unwrap();
    assert_eq!((decoded.received, decoded.batches[0].rows()), (300_000, 300_000));
    let many: Vec<(&str, &str)> = vec![("a", "b"); 129];
    assert_eq!(decode_lines(&many, b"", RECEIVED).unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn lines_stay_as_they_came_once_there_are_too_many_keys() {
    let line = |row: usize| {
        let fields: Vec<String> = (0..FIELDS_MAX).map(|n| format!(r#""k{row}.{n}":1"#)).collect();
        format!("{{{}}}", fields.join(","))
    };
    let body: Vec<String> = (0..70).map(line).collect();
    let decoded = decode_lines(&[], body.join("\n").as_bytes(), RECEIVED).unwrap();
    let rows = told(&decoded);
    assert_eq!((rows.len(), rows[65].len(), rows[66].len()), (70, FIELDS_MAX + 1, 1));
    assert_eq!(rows[69], [format!("body={}", body[69])]);
}

#[test]
fn limits_hold() {
    let mut lines = LineRows::new(Keep::Fields, RECEIVED);
    let resource = lines.resource(&[]).unwrap();
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    lines.push(resource, &Line { text: &long, ..Line::default() }).unwrap();
    lines.push(resource, &Line { text: &long[1..], ..Line::default() }).unwrap();
    lines.refuse("not_utf8").unwrap();
    let decoded = lines.finish().unwrap();
    assert_eq!((decoded.received, &decoded.dropped[..]), (3, &[("line_too_long", 1), ("not_utf8", 1)][..]));
    let mut lines = LineRows::new(Keep::Fields, RECEIVED);
    let pushed = (0..=ROWS_MAX).try_for_each(|_| lines.push(0, &Line::default()));
    assert_eq!(pushed.unwrap_err().kind, ErrorKind::TooLarge);
}

#[test]
fn times_are_read_as_they_are_written() {
    for (text, expected) in [
        ("2026-01-31T23:59:59Z", Some(1_769_903_999_000_000_000)),
        ("2026-01-31 23:59:59,5", Some(1_769_903_999_500_000_000)),
        ("2026-01-31T23:59:59.123456789123+00:30", Some(1_769_902_199_123_456_789)),
        ("2026-01-31T23:59:59-0800", Some(1_769_932_799_000_000_000)),
        ("2026-01-31T23:59:59 UTC", Some(1_769_903_999_000_000_000)),
        ("2024-02-29T00:00:00+01", Some(1_709_161_200_000_000_000)),
        ("1969-12-31T23:59:59Z", Some(-1_000_000_000)),
        ("1764000000", Some(1_764_000_000_000_000_000)),
        ("1764000000.25", Some(1_764_000_000_250_000_000)),
        ("1764000000123", Some(1_764_000_000_123_000_000)),
        ("1764000000123456", Some(1_764_000_000_123_456_000)),
        ("1764000000123456789", Some(1_764_000_000_123_456_789)),
        ("2025-02-29T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-01-31T24:00:00Z", None),
        ("2026-01-31T23:59:59.Z", None),
        ("9999-01-31T23:59:59Z", None),
        ("2026-01-31", None),
        ("12", None),
        ("-1764000000", None),
        ("", None),
        (".", None),
        ("1.2.3", None),
    ] {
        assert_eq!(time::of_text(text), expected, "{text}");
    }
}

#[test]
fn stacks_tell_type_and_message() {
    for (stack, expected) in [
        ("java.lang.NullPointerException\n\tat a.b", (Some("java.lang.NullPointerException"), None)),
        ("Exception in thread \"main\" a.BError: c: d", (Some("a.BError"), Some("c: d"))),
        ("Traceback (most recent call last):\n  File \"x\"\n    f()\nKeyError: 'a'", (Some("KeyError"), Some("'a'"))),
        ("goroutine 1 [running]:\nmain.main()", (None, None)),
        ("main.main\n\t/a.go:1", (None, None)),
        ("note: this is no error", (None, None)),
        ("", (None, None)),
    ] {
        assert_eq!(exception::headline(stack), expected, "{stack}");
    }
}
