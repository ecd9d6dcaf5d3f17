//! What comes over one connection? Messages one after the other, gathered; nothing is read while they are being kept.

use std::net::SocketAddr;

use causeway_ingest::syslog::Framer;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::gather::Gather;
use super::sender;
use crate::Desk;

/// Bytes of one read. 16 KiB: some dozen messages, and what each silent connection holds.
const READ_BYTES: usize = 16 << 10;

/// Takes messages in until the other end closes or the order to stop.
pub async fn attend(
    desk: &Desk,
    mut stream: impl AsyncRead + Unpin,
    protocol: &str,
    peer: SocketAddr,
    stop: &CancellationToken,
) {
    let address = peer.ip().to_canonical().to_string();
    let (mut framer, mut gather, mut buffer) = (Framer::default(), Gather::default(), vec![0; READ_BYTES]);
    loop {
        let read = async {
            match gather.due() {
                Some(due) => timeout_at(due, stream.read(&mut buffer)).await.ok(),
                None => Some(stream.read(&mut buffer).await),
            }
        };
        let read = tokio::select! {
            read = read => read,
            () = stop.cancelled() => break,
        };
        let is_due = read.is_none();
        match read {
            Some(Ok(0)) => break,
            Some(Ok(read)) => {
                let bytes = buffer.get(..read).unwrap_or_default();
                framer.feed(bytes, &mut |message, is_cut| add(desk, &mut gather, message, is_cut, &address));
            }
            Some(Err(error)) => {
                tracing::debug!(%peer, %error, "a connection of syslog ended early");
                break;
            }
            None => (),
        }
        if is_due || gather.is_full() {
            gather.take().keep(desk, sender(protocol, &address), stop).await;
        }
    }
    framer.finish(&mut |message, is_cut| add(desk, &mut gather, message, is_cut, &address));
    gather.keep(desk, sender(protocol, &address), stop).await;
}

fn add(desk: &Desk, gather: &mut Gather, message: &[u8], is_cut: bool, peer: &str) {
    if is_cut {
        desk.syslog.cut();
    }
    if let Err(error) = gather.push(desk, message, peer) {
        desk.syslog.drop_messages("refused", 1, &error);
    }
}
