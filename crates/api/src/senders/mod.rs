//! How do logs come in that are not OTLP's? Pushes to Loki, bulk requests to Elasticsearch, events for Splunk, and plain lines: each file frames one
//! protocol's requests and answers, and all keep by the same intake. Tokens and passwords are not looked at: whoever reaches the
//! server may send, as by OTLP.

mod elasticsearch;
mod lines;
mod loki;
mod splunk;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use causeway_ingest::Decoded;
use causeway_ingest::prometheus::decompress_snappy;
use causeway_model::{Result, Signal};
use http::{HeaderMap, header};

use crate::Desk;
use crate::body::{Charge, Compression, inflate};
use crate::otlp::http::compression_of;
use crate::otlp::sender;

/// Routes of all of them.
pub fn routes() -> Router<Arc<Desk>> {
    loki::routes().merge(elasticsearch::routes()).merge(splunk::routes()).merge(lines::routes())
}

/// How a body was made smaller.
#[derive(Debug, Clone, Copy)]
enum Packing {
    /// As its content encoding says.
    Http(Compression),
    /// By snappy's block format, whatever the headers say.
    Snappy,
}

impl Packing {
    fn of_http(headers: &HeaderMap) -> Result<Self> {
        compression_of(headers, &header::CONTENT_ENCODING).map(Self::Http)
    }
}

/// A request that was kept.
struct Taken<T> {
    /// Log records in it.
    received: u64,
    /// How many of them were not kept, by reason.
    dropped: Vec<(&'static str, u64)>,
    /// The same in words, and what was kept with something missing; empty where all is well.
    message: String,
    /// What the decoder told beside the records.
    told: T,
}

impl<T> Taken<T> {
    fn stored(&self) -> u64 {
        let dropped = self.dropped.iter().map(|(_, count)| count).sum();
        self.received.saturating_sub(dropped)
    }
}

/// Takes a request in: receives it within the limits, unpacks and decodes it, and keeps what is in it. `decode` gets the body and when it
/// arrived.
async fn take<T: Send + 'static>(
    desk: &Desk,
    protocol: &str,
    packing: Packing,
    request: Request,
    decode: impl FnOnce(&[u8], i64) -> Result<(Decoded, T)> + Send + 'static,
) -> Result<Taken<T>> {
    let sender = sender(protocol, request.headers(), request.extensions());
    let (body, charge) = desk.intake.collect(request.into_body(), 0).await?;
    let received_unix_nano = desk.clock.now_unix_nano();
    let bytes_max = desk.intake.body_bytes_max();
    let unpacked_bytes = match packing {
        Packing::Http(Compression::Identity) => body.len(),
        Packing::Http(_) => usize::MAX,
        Packing::Snappy => snap::raw::decompress_len(&body).unwrap_or(usize::MAX),
    };
    let work = move |mut charge: Charge| match packing {
        Packing::Http(compression) => decode(&inflate(compression, body, bytes_max, &mut charge)?, received_unix_nano),
        Packing::Snappy => {
            charge.raise_to(body.len().saturating_add(unpacked_bytes.min(bytes_max)))?;
            decode(&decompress_snappy(&body, bytes_max)?, received_unix_nano)
        }
    };
    let (decoded, told) = desk.intake.decode_by(unpacked_bytes, charge, work).await?;
    let (received, dropped) = (decoded.received, decoded.dropped.clone());
    let kept = desk.intake.store(Signal::Logs, sender, received_unix_nano, decoded).await?;
    Ok(Taken { received, dropped, message: kept.message, told })
}
