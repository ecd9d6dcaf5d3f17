//! How does a request of OTLP become a kept delivery? Inflate and decode it, count it, hand it to the appender; HTTP and
//! gRPC differ only in how they wrap it, and the protocols of other trace senders only in how they are decoded.

pub mod grpc;
pub mod http;
pub(crate) mod rpc;

use std::sync::Arc;
use std::time::Duration;

use ::http::header;
use bytes::Bytes;
use causeway_ingest::Decoded;
use causeway_ingest::otlp::Encoding;
use causeway_model::{Appender, Clock, Delivery, Error, Receipt, Result, Signal};
use tokio::sync::Semaphore;

use crate::DeskLimits;
use crate::body::{Budget, Charge, Compression, inflate};
use crate::observe::Metric;
use crate::serve::Peer;

/// A plain body up to this size is decoded where it arrived: it takes less than a tenth of a millisecond, and handing it to another
/// thread costs as much.
const INLINE_BYTES_MAX: usize = 32 << 10;
/// Characters of a client's name in the ledger.
const CLIENT_CHARS_MAX: usize = 80;

/// Takes requests in.
pub struct Intake {
    appender: Arc<dyn Appender>,
    clock: Arc<dyn Clock>,
    budget: Budget,
    decoders: Arc<Semaphore>,
    limits: DeskLimits,
}

/// What a body holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// An export request of OTLP.
    Otlp(Signal, Encoding),
    /// Zipkin's spans, version 2.
    Zipkin(Encoding),
    /// A request of Jaeger's collector.
    Jaeger,
}

impl Form {
    fn signal(self) -> Signal {
        match self {
            Self::Otlp(signal, _) => signal,
            Self::Zipkin(_) | Self::Jaeger => Signal::Spans,
        }
    }

    fn decode(self, body: &[u8], received_unix_nano: i64) -> Result<Decoded> {
        match self {
            Self::Otlp(signal, encoding) => causeway_ingest::otlp::decode(signal, encoding, body, received_unix_nano),
            Self::Zipkin(encoding) => causeway_ingest::zipkin::decode(encoding, body, received_unix_nano),
            Self::Jaeger => causeway_ingest::jaeger::decode(body, received_unix_nano),
        }
    }
}

/// One request's parameters, however they were wrapped.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) form: Form,
    pub(crate) compression: Compression,
    pub(crate) sender: String,
}

/// What the sender is told of a request that was kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Records that were not kept.
    pub rejected: u64,
    /// Why.
    pub message: String,
    /// Where there was something to keep.
    pub receipt: Option<Receipt>,
}

impl Intake {
    /// An intake that keeps through `appender`.
    pub fn new(appender: Arc<dyn Appender>, clock: Arc<dyn Clock>, limits: &DeskLimits) -> Self {
        Self {
            appender,
            clock,
            budget: Budget::new(limits.in_flight_bytes_max),
            decoders: Arc::new(Semaphore::new(limits.decoders_max.max(1))),
            limits: limits.clone(),
        }
    }

    /// How long a body may stand still.
    pub fn body_idle_max(&self) -> Duration {
        self.limits.body_idle_max
    }

    /// Bytes of one body after decompression.
    pub fn body_bytes_max(&self) -> usize {
        self.limits.body_bytes_max
    }

    /// Receives a body within the limits.
    pub(crate) async fn collect(&self, body: axum::body::Body, extra_bytes: usize) -> Result<(Bytes, Charge)> {
        let mut charge = self.budget.charge();
        let bytes_max = self.limits.body_bytes_max.saturating_add(extra_bytes);
        let body = crate::body::collect(body, bytes_max, self.limits.body_idle_max, &mut charge).await?;
        Ok((body, charge))
    }

    /// A share of the bytes in flight.
    pub(crate) fn charge(&self) -> Charge {
        self.budget.charge()
    }

    /// Keeps what was decoded elsewhere.
    ///
    /// # Errors
    /// As [`Appender`] says.
    pub async fn append(&self, delivery: Delivery) -> Result<()> {
        self.appender.append(delivery).await.map(|_| ())
    }

    /// Keeps one request, whole or not at all.
    pub(crate) async fn keep(&self, call: Call, body: Bytes, charge: Charge) -> Result<Kept> {
        let received_unix_nano = self.clock.now_unix_nano();
        let Call { form, compression, sender } = call;
        // Only of a plain body it is known beforehand how long it is.
        let announced = if compression == Compression::Identity { body.len() } else { usize::MAX };
        let bytes_max = self.limits.body_bytes_max;
        let decode = move |mut charge| {
            let body = inflate(compression, body, bytes_max, &mut charge)?;
            form.decode(&body, received_unix_nano)
        };
        let mut decoded = self.decode_by(announced, charge, decode).await?;
        self.admit(&sender, &mut decoded)?;
        self.store(form.signal(), sender, received_unix_nano, decoded).await
    }

    /// Decodes a body of so many bytes where that may take its time.
    ///
    /// # Errors
    /// Those of decoding.
    pub(crate) async fn decode_by<T: Send + 'static>(
        &self,
        bytes: usize,
        charge: Charge,
        decode: impl FnOnce(Charge) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if bytes <= INLINE_BYTES_MAX {
            return decode(charge);
        }
        let decoders = self.decoders.clone();
        let turn = decoders.acquire_owned().await.map_err(|_| Error::unavailable("shutting down"))?;
        let work = move || {
            let _turn = turn;
            decode(charge)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal("decoding this request failed"))?
    }

    /// Takes out samples of new series beyond the limits; they count as dropped.
    ///
    /// # Errors
    /// `Internal` when a batch can't be cut down.
    pub(crate) fn admit(&self, sender: &str, decoded: &mut Decoded) -> Result<()> {
        let refused = self.limits.series.admit(sender, self.clock.monotonic_nano(), &mut decoded.batches)?;
        if let Some(refused) = refused {
            decoded.dropped.extend(refused.dropped);
            let said = decoded.message.take().map_or(String::new(), |message| format!("; {message}"));
            decoded.message = Some(format!("{}{said}", refused.message));
        }
        Ok(())
    }

    /// Keeps what a request of any protocol was decoded to, with its entry in the ledger.
    ///
    /// # Errors
    /// As [`Appender`] says.
    pub(crate) async fn store(
        &self,
        signal: Signal,
        sender: String,
        received_unix_nano: i64,
        decoded: Decoded,
    ) -> Result<Kept> {
        if decoded.received == 0 && decoded.batches.is_empty() {
            return Ok(Kept { rejected: 0, message: decoded.message.unwrap_or_default(), receipt: None });
        }
        let entry = decoded.ledger_entry(signal);
        let rejected = entry.received - entry.stored;
        let message = decoded.message.unwrap_or_else(|| reasons(&decoded.dropped));
        // Metadata alone is no record.
        let ledger = if entry.received > 0 { vec![entry] } else { Vec::new() };
        let delivery = Delivery { sender, received_unix_nano, batches: decoded.batches, ledger };
        let receipt = Some(self.appender.append(delivery).await?);
        Ok(Kept { rejected, message, receipt })
    }

    /// Active series, and what their limits refused.
    pub fn series_metrics(&self) -> Vec<Metric> {
        let figures = self.limits.series.figures();
        let (active, active_max) = (figures.active as f64, figures.options.total_max as f64);
        let mut metrics = vec![
            Metric::gauge("causeway_series_active", "Series that had a sample in the last hour.", active),
            Metric::gauge("causeway_series_active_max", "Series that may be active in all.", active_max),
        ];
        metrics.extend(figures.refused.map(|(reason, count)| {
            let help = "Samples of new series that a limit refused, by reason.";
            Metric::counter("causeway_series_samples_refused_total", help, count as f64).with("reason", reason)
        }));
        metrics.extend(figures.refused_of.into_iter().map(|(metric, count)| {
            let help =
                "Samples of new series that a limit refused, by metric; those beyond the hundredth metric under no name.";
            Metric::counter("causeway_series_refused_total", help, count as f64).with("metric", metric)
        }));
        metrics
    }

    /// Bytes in flight and refusals.
    pub fn metrics(&self) -> [Metric; 2] {
        [
            Metric::gauge(
                "causeway_ingest_in_flight_bytes",
                "Bytes of request bodies that are being received or decoded.",
                self.budget.bytes() as f64,
            ),
            Metric::counter(
                "causeway_ingest_refused_total",
                "Requests refused because too many bytes were in flight.",
                self.budget.refused() as f64,
            ),
        ]
    }
}

#[cfg(test)]
impl Intake {
    /// Bytes in flight.
    pub fn metrics_bytes(&self) -> usize {
        self.budget.bytes()
    }
}

/// What was dropped, in words.
fn reasons(dropped: &[(&'static str, u64)]) -> String {
    let words: Vec<String> = dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    words.join(", ")
}

/// The sender as the ledger names it: protocol, the client's product word, its address.
pub(crate) fn sender(protocol: &str, headers: &::http::HeaderMap, extensions: &::http::Extensions) -> String {
    let agent = headers.get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let product = agent.as_deref().and_then(|agent| agent.split_whitespace().next()).unwrap_or("unknown");
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "._/+-".contains(letter) { letter } else { '_' };
    let product: String = product.chars().take(CLIENT_CHARS_MAX).map(plain).collect();
    let peer =
        extensions.get::<Peer>().map_or_else(|| "unknown".to_owned(), |peer| peer.0.ip().to_canonical().to_string());
    format!("{protocol} {product} {peer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_named_in_few_plain_characters() {
        let named = |agent: &[u8]| {
            let mut headers = ::http::HeaderMap::new();
            if let Ok(value) = ::http::HeaderValue::from_bytes(agent) {
                headers.insert(header::USER_AGENT, value);
            }
            let mut extensions = ::http::Extensions::new();
            extensions.insert(Peer(([127, 0, 0, 1], 9).into()));
            sender("otlp-http", &headers, &extensions)
        };
        assert_eq!(named(b"OTel-OTLP-Exporter-Python/1.27.0"), "otlp-http OTel-OTLP-Exporter-Python/1.27.0 127.0.0.1");
        assert_eq!(named(b"OpenTelemetry Collector/1 (linux)"), "otlp-http OpenTelemetry 127.0.0.1");
        assert_eq!(named(b"a\"b;c\xff"), "otlp-http a_b_c_ 127.0.0.1");
        assert_eq!(named(b""), "otlp-http unknown 127.0.0.1");
        assert_eq!(named(&[b'x'; 500]).len(), "otlp-http  127.0.0.1".len() + 80);
    }
}
