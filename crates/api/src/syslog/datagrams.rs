//! What comes over UDP? A message in each datagram (RFC 5426), from anyone. While the store is slow messages wait in bounded memory; beyond
//! that they are dropped.

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;

use causeway_model::{Error, ErrorKind};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::gather::{GATHER_MAX, Gather};
use super::sender;
use crate::Desk;

/// Bytes of one datagram, as IP has it.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Bytes of messages that wait while others are being kept. 8 MiB: some 20,000 messages, a second or two of a busy network.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// Takes messages in until the order to stop, then those that have arrived until then.
pub async fn serve(desk: &Desk, socket: &UdpSocket, stop: &CancellationToken) {
    desk.syslog.watch_socket(socket.as_raw_fd());
    let (mut waiting, mut buffer) = (Gather::default(), vec![0; DATAGRAM_BYTES_MAX]);
    let mut keeping = std::pin::pin!(Gather::default().keep(desk, String::new(), stop));
    let mut is_keeping = false;
    loop {
        let due = waiting.due();
        let is_due = async {
            match due {
                Some(due) => drop(timeout_at(due, std::future::pending::<()>()).await),
                None => std::future::pending().await,
            }
        };
        let is_time = tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                take_in(desk, &mut waiting, received, &buffer);
                waiting.is_full()
            }
            () = is_due, if !is_keeping => true,
            () = &mut keeping, if is_keeping => {
                is_keeping = false;
                waiting.is_full()
            }
            () = stop.cancelled() => break,
        };
        if is_time && !is_keeping {
            // Whoever sent them: a name for each address would be a list that any forger makes long.
            keeping.set(waiting.take().keep(desk, sender("syslog-udp", "any"), stop));
            is_keeping = true;
        }
    }
    if is_keeping {
        keeping.await;
    }
    // What has arrived is only known once the system was asked again.
    let until = Instant::now() + GATHER_MAX;
    while let Ok(received) = timeout_at(until, socket.recv_from(&mut buffer)).await {
        take_in(desk, &mut waiting, received, &buffer);
    }
    waiting.keep(desk, sender("syslog-udp", "any"), stop).await;
}

fn take_in(desk: &Desk, waiting: &mut Gather, received: std::io::Result<(usize, SocketAddr)>, buffer: &[u8]) {
    // An error of a datagram that was sent, which this socket never does.
    let Ok((bytes, peer)) = received else { return };
    let message = causeway_ingest::syslog::trimmed(buffer.get(..bytes).unwrap_or_default());
    if message.is_empty() {
        return;
    }
    let result = if waiting.bytes() < WAITING_BYTES_MAX {
        waiting.push(desk, message, &peer.ip().to_canonical().to_string())
    } else {
        Err(Error::new(ErrorKind::TooLarge, "too many messages wait to be kept"))
    };
    if let Err(error) = result {
        desk.syslog.drop_messages("queue_full", 1, &error);
    }
}
