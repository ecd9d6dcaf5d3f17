//! How do messages of syslog come in? Over TCP, TLS and UDP (RFC 6587, 5425, 5426): gathered for a moment, then kept as one delivery. The protocol
//! acknowledges nothing: over TCP a store that is slow is felt as a connection that is not read, over UDP messages are dropped and counted.

mod connection;
mod datagrams;
mod gather;
mod stats;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_ingest::syslog::SyslogRows;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Desk;
use crate::serve::accept_each;

pub(crate) use stats::SyslogStats;
pub use tls::acceptor;
pub use tokio_rustls::TlsAcceptor;

/// Connections at one time. 2,048, apart from those of HTTP: a sender keeps its connection for ever, and each may hold a message and a buffer.
const CONNECTIONS_MAX: u32 = 2_048;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// A TLS handshake that takes longer is given up. 10 s, as the head of a request.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// After the order to stop, for what is gathered. 10 s, as for requests.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Takes messages in on any number of sockets.
#[derive(Debug, Clone)]
pub struct Syslog {
    desk: Arc<Desk>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

/// A socket for TCP. Connections over which nothing has come for hours are asked whether the other end is still there: nothing else tells, as
/// senders may be silent for days, and a message that is sent into a closed connection is lost.
///
/// # Errors
/// When the address can't be had.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Syslog {
    /// Keeps through the desk, until `stop`.
    pub fn new(desk: Arc<Desk>, stop: CancellationToken) -> Self {
        Self { desk, places: Arc::new(Semaphore::new(CONNECTIONS_MAX as usize)), stop }
    }

    /// Takes connections until the order to stop; with `tls` they begin with its handshake.
    pub async fn serve(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        accept_each(&listener, &self.stop, |stream, peer| self.admit(stream, peer, tls.clone())).await;
    }

    /// Takes datagrams until the order to stop, then those that have arrived.
    pub async fn serve_datagrams(self, socket: UdpSocket) {
        // Held so that `drained` waits for it.
        let _place = self.places.acquire().await;
        datagrams::serve(&self.desk, &socket, &self.stop).await;
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
        let stats = &self.desk.syslog;
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return stats.refuse_connection("too_many");
        };
        let (desk, stop) = (self.desk.clone(), self.stop.clone());
        tokio::spawn(async move {
            let _place = place;
            let _open = desk.syslog.open();
            let Some(tls) = tls else {
                return connection::attend(&desk, stream, "syslog-tcp", peer, &stop).await;
            };
            let handshake = timeout(HANDSHAKE_MAX, tls.accept(stream));
            let Some(handshake) = stop.run_until_cancelled(handshake).await else { return };
            match handshake {
                Ok(Ok(stream)) => connection::attend(&desk, stream, "syslog-tls", peer, &stop).await,
                failed => {
                    desk.syslog.refuse_connection("tls_handshake");
                    let why = failed.map_or_else(
                        |_| "it took too long".to_owned(),
                        |result| result.err().map_or_else(String::new, |error| error.to_string()),
                    );
                    tracing::debug!(%peer, why, "a TLS handshake failed");
                }
            }
        });
    }

    /// Waits until everything that was gathered is kept, for some seconds at most. `true` when it is.
    pub async fn drained(&self) -> bool {
        timeout(STOP_MAX, self.places.acquire_many(CONNECTIONS_MAX)).await.is_ok()
    }
}

/// The sender as the ledger names it; a connection says no client's name.
fn sender(protocol: &str, address: &str) -> String {
    format!("{protocol} unknown {address}")
}

/// Rows that are gathered from now on.
fn rows(desk: &Desk) -> (SyslogRows, i64) {
    let received_unix_nano = desk.clock.now_unix_nano();
    (SyslogRows::new(received_unix_nano), received_unix_nano)
}
