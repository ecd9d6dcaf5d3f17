//! What waits to be kept together, and for how long? And what happens when the store refuses it?

use std::time::Duration;

use causeway_ingest::syslog::SyslogRows;
use causeway_model::{Delivery, ErrorKind, Result, Signal};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::Desk;
use crate::body::Charge;
use crate::errors::UNAVAILABLE_RETRY_AFTER;

/// Bytes of one delivery. 256 KiB: larger ones would not be kept much faster.
pub const GATHER_BYTES_MAX: usize = 256 << 10;
/// How long a message waits for others. 100 ms: what a crash may take with it; nobody who watches notices it.
pub const GATHER_MAX: Duration = Duration::from_millis(100);

/// Messages of one connection or socket, until they are kept.
#[derive(Default)]
pub struct Gather {
    held: Option<Held>,
}

struct Held {
    rows: SyslogRows,
    received_unix_nano: i64,
    due: Instant,
    charge: Charge,
}

impl Gather {
    /// Adds a message.
    pub fn push(&mut self, desk: &Desk, message: &[u8], peer: &str) -> Result<()> {
        let held = self.held.get_or_insert_with(|| {
            let (rows, received_unix_nano) = super::rows(desk);
            Held { rows, received_unix_nano, due: Instant::now() + GATHER_MAX, charge: desk.intake.charge() }
        });
        held.rows.push(message, peer)
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.rows.bytes())
    }

    /// When what is held has waited long enough; `None` when nothing is held.
    pub fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.due)
    }

    /// Whether it is time to keep what is held: because of its size, or because too many bytes are in flight in all.
    pub fn is_full(&mut self) -> bool {
        let Some(held) = &mut self.held else { return false };
        held.rows.bytes() >= GATHER_BYTES_MAX || held.charge.raise_to(held.rows.bytes()).is_err()
    }

    /// Takes out what is held.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Keeps what is held. While the store can't, this waits, and after the order to stop it gives up. What is not kept is counted.
    pub async fn keep(self, desk: &Desk, sender: String, stop: &CancellationToken) {
        let Some(Held { rows, received_unix_nano, charge, .. }) = self.held else { return };
        let count = rows.len() as u64;
        let _charge = charge;
        let delivery = rows.finish().map(|decoded| Delivery {
            sender,
            received_unix_nano,
            ledger: vec![decoded.ledger_entry(Signal::Logs)],
            batches: decoded.batches,
        });
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(error) => return desk.syslog.drop_messages("refused", count, &error),
        };
        loop {
            let Err(error) = desk.intake.append(delivery.clone()).await else { return };
            let pause = match error.kind {
                ErrorKind::Overloaded { retry_after } => retry_after,
                ErrorKind::Unavailable => UNAVAILABLE_RETRY_AFTER,
                _ => return desk.syslog.drop_messages("refused", count, &error),
            };
            desk.syslog.wait();
            if timeout(pause, stop.cancelled()).await.is_ok() {
                return desk.syslog.drop_messages("stopping", count, &error);
            }
        }
    }
}
