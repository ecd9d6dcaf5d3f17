//! What do spans with many attributes look like? Forty each, from two values to a thousand, most of them text; they fail by chance, and more
//! often where one attribute has one value.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span};

use super::random::Random;
use super::world::{Instance, ROUTES, SPAN_OF_TIME_NS, START_NS};
use super::{any_text, key_value};

/// Attributes of a span, those of its resource not counted.
pub const WIDTH: u64 = 40;
/// Spans in a request, all of one instance.
pub const SPANS_A_BODY: u64 = 1_000;
/// The first moment of [`START_NS`] and [`SPAN_OF_TIME_NS`], and the first after them.
pub const START: &str = "2026-11-20T00:00:00Z";
pub const END: &str = "2026-11-20T01:00:00Z";
/// Where the failures are, and what share of the spans there fails, beside what fails by chance.
pub const CAUSE: (&str, &str) = ("key.3", "value-1");
const FAILING_THERE: f64 = 0.1;
const FAILING: f64 = 0.01;
/// The last keys are numbers, those before them truths, the others text.
const INTS: u64 = 3;
const TRUTHS: u64 = 2;

/// The request of this number, of so many spans in all.
pub fn body(seed: u64, number: u64, spans: u64) -> Vec<u8> {
    let mut random = Random::new(seed, number);
    let instances: Vec<Instance> = Instance::all().collect();
    let instance = *random.pick(&instances);
    let first = number * SPANS_A_BODY;
    let spans = (first..spans.min(first + SPANS_A_BODY)).map(|at| span(at, spans, instance, &mut random)).collect();
    super::spans::request(instance, spans)
}

fn span(at: u64, spans: u64, instance: Instance, random: &mut Random) -> Span {
    let attributes: Vec<KeyValue> = (0..WIDTH).map(|key| attribute(key, random)).collect();
    let (key, value) = CAUSE;
    let there = attributes.iter().any(|it| it.key == key && it.value == Some(any_text(value.to_owned())));
    let failed = random.chance(FAILING) | (there & random.chance(FAILING_THERE));
    let start = START_NS + (SPAN_OF_TIME_NS as f64 * (at as f64 / spans.max(1) as f64)) as u64;
    let route = &ROUTES[(at % ROUTES.len() as u64) as usize];
    Span {
        trace_id: random.id128().to_vec(),
        span_id: random.id64().to_vec(),
        name: format!("{} {}", route.method, instance.service().name),
        kind: span::SpanKind::Server as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start + random.log_normal(5_000_000.0, 0.8) as u64,
        attributes,
        status: failed.then(|| Status { code: 2, ..Status::default() }),
        ..Span::default()
    }
}

/// The rare values rarer: the product of two even draws.
fn attribute(key: u64, random: &mut Random) -> KeyValue {
    let drawn = |values: u64, random: &mut Random| (random.unit() * random.unit() * values as f64) as u64;
    let values = 2 << (key % 10);
    let value = match key {
        _ if key >= WIDTH - INTS => any_value::Value::IntValue(200 + drawn(8, random) as i64),
        _ if key >= WIDTH - INTS - TRUTHS => any_value::Value::BoolValue(drawn(2, random) == 1),
        _ => any_value::Value::StringValue(format!("value-{}", drawn(values, random))),
    };
    key_value(&format!("key.{key}"), AnyValue { value: Some(value) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    use super::*;

    #[test]
    fn every_span_is_there_once_with_all_its_attributes_and_failures_lie_at_the_cause() {
        let spans = SPANS_A_BODY * 3 + 7;
        assert_eq!(body(1, 0, spans), body(1, 0, spans));
        assert_ne!(body(1, 0, spans), body(2, 0, spans));
        let (mut count, mut failed, mut there) = (0, 0, 0);
        for number in 0..spans.div_ceil(SPANS_A_BODY) {
            let request = ExportTraceServiceRequest::decode(body(1, number, spans).as_slice()).unwrap();
            for span in &request.resource_spans[0].scope_spans[0].spans {
                assert_eq!(span.attributes.len() as u64, WIDTH);
                let cause = |it: &KeyValue| it.key == CAUSE.0 && it.value == Some(any_text(CAUSE.1.to_owned()));
                count += 1;
                failed += u64::from(span.status.is_some());
                there += u64::from(span.status.is_some() && span.attributes.iter().any(cause));
            }
        }
        assert_eq!(count, spans);
        assert!(failed > 50 && there * 3 > failed, "{there} of {failed}");
    }
}
