//! How are the answers of TraceQL written for Tempo's `StreamingQuerier`? As its protobuf (grafana/tempo, tempo.proto), in messages of bounded size.

use causeway_model::hex;
use causeway_traceql::ast::Static;
use causeway_traceql::{Exemplar, FoundSpanset, FoundTrace, MetricSeries, Search};

use super::encode::{any_value, duration_ms, exemplar_labels, root_service, without_scope};
use super::tags::{ScopeNames, TagValue};
use crate::protobuf::{bytes, count, double, message, text, varint};
use crate::trace::{AnyValue, otlp_protobuf};

/// Bytes after which a message is sent and the next one begun. 1 MiB: clients in Go refuse messages above 4 MiB, and one trace or series may
/// stand behind the last byte.
const MESSAGE_BYTES_FULL: usize = 1 << 20;

/// Messages that hold the items in their field 1, and the last one what stands beside them. An item is written when its message is asked for;
/// `held` lives until the last of them.
pub(super) fn messages<T>(
    items: Vec<T>,
    write: impl Fn(&T, &mut Vec<u8>),
    tail: Vec<u8>,
    held: impl Sized,
) -> impl Iterator<Item = Vec<u8>> {
    let mut items = items.into_iter();
    let mut rest = Some((tail, held));
    std::iter::from_fn(move || {
        rest.as_ref()?;
        let mut out = Vec::new();
        while out.len() < MESSAGE_BYTES_FULL {
            let Some(item) = items.next() else {
                let (tail, _) = rest.take()?;
                out.extend_from_slice(&tail);
                break;
            };
            write(&item, &mut out);
        }
        Some(out)
    })
}

fn attributes(tag: u32, attributes: &[(String, Static)], out: &mut Vec<u8>) {
    for (key, value) in attributes {
        otlp_protobuf::key_value(tag, key, &any_value(value), out);
    }
}

/// A trace of `SearchResponse`.
pub(super) fn trace(trace: &FoundTrace, out: &mut Vec<u8>) {
    message(1, out, |out| {
        text(1, &hex(&trace.trace_id), out);
        text(2, root_service(trace), out);
        text(3, &trace.root_name, out);
        varint(4, trace.start_ns.max(0).cast_unsigned(), out);
        count(5, duration_ms(trace), out);
        for each in &trace.spansets {
            message(7, out, |out| spanset(each, out));
        }
        for (name, counts) in &trace.services {
            message(8, out, |out| {
                text(1, name, out);
                message(2, out, |out| {
                    count(1, counts.spans, out);
                    count(2, counts.errors, out);
                });
            });
        }
    });
}

fn spanset(spanset: &FoundSpanset, out: &mut Vec<u8>) {
    for span in &spanset.spans {
        message(1, out, |out| {
            bytes(1, hex(&span.span_id).as_bytes(), out);
            text(2, &span.name, out);
            varint(3, span.start_ns.max(0).cast_unsigned(), out);
            varint(4, span.duration_ns.max(0).cast_unsigned(), out);
            for (name, value) in &span.attributes {
                otlp_protobuf::key_value(5, without_scope(name), &any_value(value), out);
            }
        });
    }
    count(2, u32::try_from(spanset.matched).unwrap_or(u32::MAX), out);
    attributes(3, &spanset.attributes, out);
}

/// What a search took.
pub(super) fn search_metrics(found: &Search) -> Vec<u8> {
    metrics(found.inspected_traces, found.inspected_spans)
}

/// `SearchMetrics`, which all answers but those of tags have in their field 2.
pub(super) fn metrics(traces: u64, spans: u64) -> Vec<u8> {
    let mut out = Vec::new();
    message(2, &mut out, |out| {
        count(1, u32::try_from(traces).unwrap_or(u32::MAX), out);
        count(4, 1, out);
        count(5, 1, out);
        varint(7, spans, out);
    });
    out
}

/// A series over time, of `QueryRangeResponse`.
pub(super) fn series(series: &MetricSeries, out: &mut Vec<u8>) {
    message(1, out, |out| {
        attributes(1, &series.labels, out);
        for (time_ns, value) in &series.points {
            message(2, out, |out| {
                double(1, *value, out);
                varint(2, time_ns.div_euclid(1_000_000).cast_unsigned(), out);
            });
        }
        for each in &series.exemplars {
            message(4, out, |out| exemplar(each, out));
        }
    });
}

fn exemplar(exemplar: &Exemplar, out: &mut Vec<u8>) {
    for (key, value) in exemplar_labels(exemplar) {
        otlp_protobuf::key_value(1, key, &AnyValue::String(value), out);
    }
    double(2, exemplar.value, out);
    varint(3, exemplar.time_ns.div_euclid(1_000_000).cast_unsigned(), out);
}

/// A series at one moment, of `QueryInstantResponse`.
pub(super) fn instant_series(series: &MetricSeries, out: &mut Vec<u8>) {
    message(1, out, |out| {
        attributes(1, &series.labels, out);
        double(2, series.points.last().map_or(0.0, |(_, value)| *value), out);
    });
}

/// A scope of `SearchTagsV2Response`.
pub(super) fn scope(scope: &ScopeNames, out: &mut Vec<u8>) {
    let (name, keys) = scope;
    message(1, out, |out| {
        text(1, name, out);
        keys.iter().for_each(|key| bytes(2, key.as_bytes(), out));
    });
}

/// A value of `SearchTagValuesV2Response`.
pub(super) fn tag_value(value: &TagValue, out: &mut Vec<u8>) {
    let (kind, value) = value;
    message(1, out, |out| {
        text(1, kind, out);
        text(2, value, out);
    });
}

/// A text of `SearchTagsResponse` or `SearchTagValuesResponse`.
pub(super) fn plain(text: &str, out: &mut Vec<u8>) {
    bytes(1, text.as_bytes(), out);
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_BYTES_FULL, messages, plain};

    #[test]
    fn items_are_spread_over_messages_and_the_tail_is_in_the_last() {
        let texts: Vec<String> = (0..25).map(|number| number.to_string().repeat(100_000)).collect();
        let of = |texts: Vec<String>| {
            messages(texts, |text: &String, out: &mut Vec<u8>| plain(text, out), b"tail".to_vec(), ())
                .collect::<Vec<_>>()
        };
        let whole = of(texts.clone());
        assert_eq!(whole.len(), 4);
        assert!(whole.iter().all(|message| message.len() < 2 * MESSAGE_BYTES_FULL));
        let mut expected = Vec::new();
        texts.iter().for_each(|text| plain(text, &mut expected));
        expected.extend_from_slice(b"tail");
        assert!(whole.concat() == expected, "nothing is lost, nothing stands twice");
        // An answer without items has a message, too: it tells what the question took.
        assert_eq!(of(Vec::new()), [b"tail"]);
    }
}
