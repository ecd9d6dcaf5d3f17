//! Where does syslog come in? Up to three sockets beside the doors of HTTP, none unless asked for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use causeway_api::Desk;
use causeway_api::syslog::{Syslog, TlsAcceptor, acceptor, bind};
use causeway_model::{Error, Result};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

/// Which sockets are asked for.
#[derive(Debug, Clone, Default)]
pub struct SyslogSettings {
    /// Address of TCP.
    pub tcp: Option<SocketAddr>,
    /// Address of UDP.
    pub udp: Option<SocketAddr>,
    /// Address of TLS.
    pub tls: Option<SocketAddr>,
    /// The server's chain of certificates for TLS, in PEM.
    pub tls_certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub tls_key: Option<PathBuf>,
}

/// Where it listens.
#[derive(Debug, Clone, Copy)]
pub struct SyslogAddresses {
    /// TCP.
    pub tcp: Option<SocketAddr>,
    /// UDP.
    pub udp: Option<SocketAddr>,
    /// TLS.
    pub tls: Option<SocketAddr>,
}

impl SyslogAddresses {
    /// Those that there are, by the names of the settings.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let all = [("syslog_tcp", self.tcp), ("syslog_udp", self.udp), ("syslog_tls", self.tls)];
        all.into_iter().filter_map(|(name, address)| Some((name, address?)))
    }
}

/// The sockets, open.
pub struct Sockets {
    tcp: Option<TcpListener>,
    udp: Option<UdpSocket>,
    tls: Option<(TcpListener, TlsAcceptor)>,
}

impl Sockets {
    /// Opens what is asked for.
    ///
    /// # Errors
    /// `Unavailable` for an address that can't be had, `Invalid` where TLS lacks its certificate or key.
    pub async fn open(settings: &SyslogSettings) -> Result<Self> {
        let named =
            |address: SocketAddr| move |error: std::io::Error| Error::unavailable(format!("{address}: {error}"));
        let listen = |address: SocketAddr| bind(address).map_err(named(address));
        let udp = match settings.udp {
            Some(address) => Some(UdpSocket::bind(address).await.map_err(named(address))?),
            None => None,
        };
        let tls = match (settings.tls, &settings.tls_certificate, &settings.tls_key) {
            (None, ..) => None,
            (Some(address), Some(certificate), Some(key)) => Some((listen(address)?, acceptor(certificate, key)?)),
            _ => return Err(Error::invalid("syslog_tls needs syslog_tls_certificate and syslog_tls_key")),
        };
        Ok(Self { tcp: settings.tcp.map(listen).transpose()?, udp, tls })
    }

    /// Where they are.
    ///
    /// # Errors
    /// When the system doesn't say.
    pub fn addresses(&self) -> Result<SyslogAddresses> {
        Ok(SyslogAddresses {
            tcp: self.tcp.as_ref().map(TcpListener::local_addr).transpose()?,
            udp: self.udp.as_ref().map(UdpSocket::local_addr).transpose()?,
            tls: self.tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?,
        })
    }

    /// Takes messages in until `stop`.
    pub fn serve(self, desk: Arc<Desk>, stop: CancellationToken) -> Syslog {
        let syslog = Syslog::new(desk, stop);
        if let Some(listener) = self.tcp {
            tokio::spawn(syslog.clone().serve(listener, None));
        }
        if let Some((listener, acceptor)) = self.tls {
            tokio::spawn(syslog.clone().serve(listener, Some(acceptor)));
        }
        if let Some(socket) = self.udp {
            tokio::spawn(syslog.clone().serve_datagrams(socket));
        }
        syslog
    }
}
