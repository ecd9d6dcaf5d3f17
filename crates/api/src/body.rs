//! How much of a request's body is taken in? At most a named limit a request, counted after decompression, and at most
//! a named limit of all requests together; and only from clients that keep sending.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use causeway_model::{Error, ErrorKind, Result};
use http_body_util::BodyExt;
use tokio::time::Instant;

/// Bytes of one body after decompression: what OTLP's specification recommends to accept.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// Bytes of all bodies that are being received or decoded: with the memtables it stays inside 300 MB.
pub const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// zstd's window, as a power of two: 8 MiB is what RFC 8878 asks decoders to support; more would be memory by request.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Inflated bytes come in steps of this size; small enough that a refusal wastes little.
const INFLATE_STEP_BYTES: usize = 64 << 10;
/// How long senders are asked to wait when too many bytes are in flight: they leave within milliseconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A whole body may take this many times what its next byte may. 4: two minutes, where senders' own time-outs are 10 s; a client
/// that drips would else hold its share of the bytes in flight for ever, and all others would be refused.
const BODY_WAITS_MAX: u32 = 4;
/// Room made for a body before its bytes are there; a larger one proves itself by sending.
const FIRST_ROOM_BYTES_MAX: usize = 1 << 20;

/// What a sender whose body is refused may still send, and for how long, before its connection ends: one that closes on bytes
/// that nobody has read resets the connection, and the sender never learns why. Twice the largest body: a sender that
/// reads its answer at all has done so by then.
const DRAIN_BYTES_MAX: usize = 2 * BODY_BYTES_MAX;
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How a body was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// Reads the name that HTTP and gRPC share.
    ///
    /// # Errors
    /// `Unsupported` for any other.
    pub fn from_name(name: &str) -> Result<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Error::new(ErrorKind::Unsupported, "the body may be compressed with gzip or zstd only")),
        }
    }
}

/// Bytes of bodies in flight, over all requests.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<BudgetShared>,
}

#[derive(Debug)]
struct BudgetShared {
    bytes_max: usize,
    bytes: AtomicUsize,
    refused: AtomicU64,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        let shared = BudgetShared { bytes_max, bytes: AtomicUsize::new(0), refused: AtomicU64::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// A share that holds nothing yet; dropping it gives back what it holds.
    pub fn charge(&self) -> Charge {
        Charge { shared: self.shared.clone(), held: 0 }
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Requests refused so far.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

/// One request's share of a [`Budget`].
#[derive(Debug)]
pub struct Charge {
    shared: Arc<BudgetShared>,
    held: usize,
}

impl Charge {
    /// Raises the share to `bytes`. A request that is alone is never refused: otherwise one that needs more than the
    /// whole budget, compressed and inflated together, would be told to repeat forever.
    ///
    /// # Errors
    /// `Overloaded` when the others leave too little.
    pub fn raise_to(&mut self, bytes: usize) -> Result<()> {
        let more = bytes.saturating_sub(self.held);
        let before = self.shared.bytes.fetch_add(more, Ordering::Relaxed);
        let alone = before <= self.held;
        if !alone && before.saturating_add(more) > self.shared.bytes_max {
            self.shared.bytes.fetch_sub(more, Ordering::Relaxed);
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            let kind = ErrorKind::Overloaded { retry_after: RETRY_AFTER };
            return Err(Error::new(kind, "too many bytes of requests are in flight"));
        }
        self.held += more;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shared.bytes.fetch_sub(self.held, Ordering::Relaxed);
    }
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the body has more than {bytes_max} bytes after decompression"))
}

/// Receives a whole body as it was sent. The rest of one that is refused is read and thrown away while the answer goes out.
///
/// # Errors
/// `TooLarge` beyond `bytes_max`, `Timeout` when nothing comes for `idle_max` or the whole takes four times as long, `Overloaded`
/// from the charge, `Invalid` when the client breaks off.
pub async fn collect(mut body: Body, bytes_max: usize, idle_max: Duration, charge: &mut Charge) -> Result<Bytes> {
    let collected = collect_from(&mut body, bytes_max, idle_max, charge).await;
    if let Err(Error { kind: ErrorKind::TooLarge | ErrorKind::Overloaded { .. }, .. }) = &collected {
        tokio::spawn(drain(body, idle_max));
    }
    collected
}

async fn drain(mut body: Body, idle_max: Duration) {
    let give_up = Instant::now() + DRAIN_MAX;
    let mut bytes = 0usize;
    while bytes <= DRAIN_BYTES_MAX {
        let deadline = give_up.min(Instant::now() + idle_max);
        let Ok(Some(Ok(frame))) = tokio::time::timeout_at(deadline, body.frame()).await else { return };
        bytes = bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
}

async fn collect_from(body: &mut Body, bytes_max: usize, idle_max: Duration, charge: &mut Charge) -> Result<Bytes> {
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    let whole_max = idle_max.saturating_mul(BODY_WAITS_MAX);
    let give_up = Instant::now() + whole_max;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let deadline = give_up.min(Instant::now() + idle_max);
        let frame = tokio::time::timeout_at(deadline, body.frame()).await.map_err(|_| {
            let (idle, whole) = (idle_max.as_secs_f32(), whole_max.as_secs_f32());
            Error::new(
                ErrorKind::Timeout,
                format!("no byte of the body came for {idle} s, or the whole took {whole} s"),
            )
        })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Error::invalid("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len() + rest.len() + data.len();
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        charge.raise_to(length.max(rest.capacity()))?;
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            // Most small bodies are one frame and are never copied; only a second frame makes it one buffer.
            let room = usize::try_from(announced).unwrap_or(0).min(FIRST_ROOM_BYTES_MAX).max(length);
            rest.reserve(room);
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Undoes the compression of a whole body.
///
/// # Errors
/// `TooLarge` beyond `bytes_max`, `Invalid` for broken or cut input, `Overloaded` from the charge.
pub fn inflate(compression: Compression, body: Bytes, bytes_max: usize, charge: &mut Charge) -> Result<Bytes> {
    let name = match compression {
        Compression::Identity => return Ok(body),
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    let broken = |error: std::io::Error| Error::invalid(format!("the body is not whole {name} data: {error}"));
    if compression == Compression::Gzip {
        return inflate_from(flate2::read::MultiGzDecoder::new(&*body), &broken, body.len(), bytes_max, charge);
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(&*body).map_err(broken)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
    inflate_from(decoder, &broken, body.len(), bytes_max, charge)
}

fn inflate_from(
    mut decoder: impl Read,
    broken: &impl Fn(std::io::Error) -> Error,
    compressed_bytes: usize,
    bytes_max: usize,
    charge: &mut Charge,
) -> Result<Bytes> {
    let mut out = Vec::new();
    loop {
        let filled = out.len();
        out.resize(filled + INFLATE_STEP_BYTES, 0);
        charge.raise_to(compressed_bytes + out.capacity())?;
        let read = decoder.read(out.get_mut(filled..).unwrap_or_default()).map_err(broken)?;
        out.truncate(filled + read);
        if out.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if read == 0 {
            return Ok(Bytes::from(out));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bombs_end_at_the_limit_and_hold_no_more_than_it() {
        let zeros = vec![0u8; 1 << 20];
        let bombs = [(Compression::Gzip, gzip(&zeros)), (Compression::Zstd, zstd::encode_all(&*zeros, 3).unwrap())];
        for (compression, bomb) in bombs {
            assert!(bomb.len() < 4096);
            let budget = Budget::new(1 << 30);
            let mut charge = budget.charge();
            let error = inflate(compression, bomb.clone().into(), 200_000, &mut charge).unwrap_err();
            assert_eq!(error.kind, ErrorKind::TooLarge);
            assert!(budget.bytes() < 600_000, "{}", budget.bytes());
            let whole = inflate(compression, bomb.into(), 1 << 20, &mut charge).unwrap();
            assert_eq!(whole.len(), 1 << 20);
        }
    }

    #[test]
    fn a_zstd_window_beyond_the_limit_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(25).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(&vec![7u8; 40 << 20]).unwrap();
        let body = encoder.finish().unwrap();
        let error = inflate(Compression::Zstd, body.into(), 64 << 20, &mut Budget::new(1).charge()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
    }

    #[test]
    fn cut_compressed_bodies_are_refused_at_every_length() {
        let text: Vec<u8> = (0..2000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let budget = Budget::new(1 << 30);
        for (compression, whole) in
            [(Compression::Gzip, gzip(&text)), (Compression::Zstd, zstd::encode_all(&*text, 3).unwrap())]
        {
            for cut in (1..whole.len()).step_by(97) {
                let body = Bytes::copy_from_slice(&whole[..cut]);
                let error = inflate(compression, body, 1 << 20, &mut budget.charge()).unwrap_err();
                assert_eq!(error.kind, ErrorKind::Invalid, "{compression:?} cut at {cut}");
            }
        }
        assert_eq!(budget.bytes(), 0);
    }

    #[tokio::test]
    async fn a_body_that_drips_ends_with_its_time() {
        let ticks = tokio::time::interval(Duration::from_millis(1));
        let drops = futures::stream::unfold(ticks, |mut ticks| async move {
            ticks.tick().await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ticks))
        });
        let budget = Budget::new(1 << 20);
        let idle_max = Duration::from_millis(20);
        let error = collect(Body::from_stream(drops), 20_000, idle_max, &mut budget.charge()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn the_budget_holds_across_requests_but_never_refuses_a_lone_one() {
        let budget = Budget::new(100);
        let mut one = budget.charge();
        one.raise_to(250).unwrap();
        let mut other = budget.charge();
        let error = other.raise_to(1).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Overloaded { .. }));
        assert_eq!((budget.bytes(), budget.refused()), (250, 1));
        drop(one);
        other.raise_to(60).unwrap();
        let mut third = budget.charge();
        third.raise_to(40).unwrap();
        assert!(third.raise_to(41).is_err());
        drop((other, third));
        assert_eq!(budget.bytes(), 0);
    }
}
