//! What does a push to Loki mean? Streams of lines, as protobuf (Loki, push.proto, which is Apache-licensed) or JSON
//! (<https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs>). A line stays as it came. Labels become attributes of its
//! resource under their own names, so that LogQL finds the stream by them again; structured metadata become attributes of the record.

mod json;
mod labels;
mod protobuf;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;

use std::borrow::Cow;

use causeway_model::{Result, Value};

use crate::Decoded;
use crate::lines::{Beside, Keep, LineRows, Severity, check_body, error_of, severity_of};
use crate::wire::Fault;

/// Labels of one stream, and structured metadata of one line. Far above what Loki takes (15 and 128).
const LABELS_MAX: usize = 1_000;

/// The label that names the service, and those from which Loki finds it where it is not there, the best first
/// (`limits_config.discover_service_name`).
const SERVICE: &str = "service_name";
const SERVICE_LABELS: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `logproto.PushRequest`, after decompression.
    Protobuf,
    /// An object with `streams`.
    Json,
}

/// Names and values of labels or structured metadata.
type Labels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Decodes the body of one push. What is wrong with one stream or line costs only that.
///
/// # Errors
/// `Invalid` when the body as a whole can't be decoded, `TooLarge` when it would grow beyond all measure in memory.
pub fn decode_push(encoding: Encoding, body: &[u8], received_unix_nano: i64) -> Result<Decoded> {
    check_body(body)?;
    let mut push = Push { rows: LineRows::new(Keep::Text, received_unix_nano) };
    let read = match encoding {
        Encoding::Protobuf => protobuf::read(body, &mut push),
        Encoding::Json => json::read(body, &mut push),
    };
    read.map_err(|fault| error_of(fault).context("not a valid push request"))?;
    push.rows.finish()
}

/// The resource of a stream, and how bad its labels say that its lines are; 0 where they don't.
#[derive(Debug, Clone, Copy)]
struct Stream {
    resource: u32,
    severity_number: i32,
}

/// The lines of one push.
struct Push {
    rows: LineRows,
}

impl Push {
    /// The stream of these labels.
    fn stream(&mut self, labels: &Labels<'_>) -> Result<Stream, Fault> {
        if labels.len() > LABELS_MAX {
            return Err(Fault::Record("too_many_labels"));
        }
        let value = |name: &str| labels.iter().find(|(known, value)| known == name && !value.is_empty());
        let service = value(SERVICE).or_else(|| SERVICE_LABELS.iter().find_map(|name| value(name)));
        let mut attributes: Vec<(&str, &str)> =
            labels.iter().filter(|(name, _)| name != SERVICE).map(|(name, value)| (&**name, &**value)).collect();
        attributes.extend(service.map(|(_, service)| ("service.name", &**service)));
        let levels = labels.iter().filter_map(|(name, value)| severity_of(name, &Value::String(value)));
        let severity_number = levels.min().map_or(0, |(_, number)| number);
        Ok(Stream { resource: self.rows.add_resource(&attributes)?, severity_number })
    }

    /// A line of the stream, or of one that can't be kept for this reason.
    fn line(
        &mut self,
        stream: Result<Stream, &'static str>,
        time_unix_nano: Option<i64>,
        line: &[u8],
        metadata: &Labels<'_>,
    ) -> Result<(), Fault> {
        let stream = match stream {
            _ if metadata.len() > LABELS_MAX => Err("too_many_labels"),
            stream => stream,
        };
        match stream {
            Ok(stream) => {
                let beside = Beside::of(metadata.iter().map(|(name, value)| (&**name, Value::String(value))));
                let text = String::from_utf8_lossy(line);
                let mut line = beside.line(time_unix_nano, &text);
                line.stream_severity = Severity { number: stream.severity_number, text: "" };
                self.rows.add(stream.resource, &line).map(drop)
            }
            Err(reason) => self.rows.count_refused(reason),
        }
    }
}
