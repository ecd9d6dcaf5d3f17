//! Does each message of syslog come in once, over each transport, and is it said what became of those that did not?

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use causeway_model::{Delivery, ErrorKind, Table};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::doubles::{self, House};
use crate::syslog::{Syslog, acceptor, bind};
use crate::{Reading, metrics_text};

/// A house that takes syslog in.
async fn house() -> (House, Syslog) {
    let house = doubles::house().await;
    let syslog = Syslog::new(house.desk.clone(), house.stop.clone());
    (house, syslog)
}

fn listen(syslog: &Syslog, tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(syslog.clone().serve(listener, tls));
    address
}

/// The bodies of all that was kept, in order.
fn bodies(house: &House) -> Vec<String> {
    let kept = house.cellar.kept.lock();
    let batches =
        kept.iter().flat_map(|delivery| &delivery.batches).inspect(|batch| assert_eq!(batch.table(), Table::Logs));
    let bodies = batches.map(|batch| batch.records().column_by_name("body").unwrap().as_string::<i32>().clone());
    bodies
        .flat_map(|column| column.iter().map(|body| body.unwrap_or_default().to_owned()).collect::<Vec<_>>())
        .collect()
}

/// Writes and waits until the other end has taken everything and closes.
async fn send(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _closed = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "syslog answers nothing");
}

fn counted(house: &House, name: &str, reason: &str) -> f64 {
    let metrics = house.desk.metrics();
    let of = |labels: &[(&str, String)]| labels.iter().all(|(_, value)| value == reason);
    let metric = metrics.iter().find(|metric| metric.name == name && of(&metric.labels)).unwrap();
    match metric.reading {
        Reading::Counter(value) | Reading::Gauge(value) => value,
        _ => panic!("{name} is a histogram"),
    }
}

#[tokio::test]
async fn messages_of_a_connection_are_kept_in_order_with_their_sender() {
    let (house, syslog) = house().await;
    let address = listen(&syslog, None);
    let stream = TcpStream::connect(address).await.unwrap();
    send(stream, b"<13>Oct 11 22:14:15 h app: one\n25 <13>1 - h app - - - two\nx\n<13>Oct 11 22:14:15 h app: three")
        .await;
    assert_eq!(bodies(&house), ["one", "two\nx", "three"]);
    let kept: Vec<Delivery> = house.cellar.kept.lock().clone();
    assert!(kept.iter().all(|delivery| delivery.sender == "syslog-tcp unknown 127.0.0.1"));
    assert_eq!(kept.iter().map(|delivery| delivery.ledger[0].stored).sum::<u64>(), 3);
    assert_eq!(counted(&house, "causeway_syslog_messages_cut_total", ""), 0.0);
    // A connection that ends within a message: what came of it is kept and counted.
    send(TcpStream::connect(address).await.unwrap(), b"99 <13>half").await;
    assert_eq!((bodies(&house).len(), counted(&house, "causeway_syslog_messages_cut_total", "")), (4, 1.0));
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_messages_back() {
    let (house, syslog) = house().await;
    let mut stream = TcpStream::connect(listen(&syslog, None)).await.unwrap();
    stream.write_all(b"<13>h: one\n<13>h: begun").await.unwrap();
    // The connection stays open; after a moment the first message is kept.
    while bodies(&house).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(counted(&house, "causeway_syslog_connections", ""), 1.0);
    house.stop.cancel();
    assert!(syslog.drained().await);
    assert_eq!(bodies(&house), ["one", "begun"]);
    assert_eq!(counted(&house, "causeway_syslog_connections", ""), 0.0);
}

#[tokio::test]
async fn a_store_that_is_busy_is_waited_for_and_one_that_refuses_is_counted() {
    let (house, syslog) = house().await;
    let address = listen(&syslog, None);
    *house.cellar.fail.lock() = Some(ErrorKind::Overloaded { retry_after: Duration::from_millis(1) });
    let mut stream = TcpStream::connect(address).await.unwrap();
    // More than a delivery holds: the connection is not read meanwhile.
    let many: String = (0..20_000).map(|number| format!("<13>h: {number}\n")).collect();
    let sent = tokio::spawn(async move {
        stream.write_all(many.as_bytes()).await.unwrap();
        send(stream, b"").await;
    });
    while counted(&house, "causeway_syslog_waits_total", "") < 2.0 {
        tokio::task::yield_now().await;
    }
    assert!(!sent.is_finished());
    *house.cellar.fail.lock() = None;
    sent.await.unwrap();
    assert_eq!(bodies(&house), (0..20_000).map(|number| number.to_string()).collect::<Vec<_>>());
    *house.cellar.fail.lock() = Some(ErrorKind::Corrupt);
    send(TcpStream::connect(address).await.unwrap(), b"<13>h: lost\n<13>h: too\n").await;
    assert_eq!(counted(&house, "causeway_syslog_messages_dropped_total", "refused"), 2.0);
}

#[tokio::test]
async fn datagrams_are_messages() {
    let (house, syslog) = house().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let serving = tokio::spawn(syslog.clone().serve_datagrams(socket));
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for message in ["<13>h: one\n", "", "<13>h: two\nlines", "\n"] {
        sender.send_to(message.as_bytes(), address).await.unwrap();
    }
    while bodies(&house).is_empty() {
        tokio::task::yield_now().await;
    }
    sender.send_to(b"<13>h: three", address).await.unwrap();
    house.stop.cancel();
    serving.await.unwrap();
    assert!(syslog.drained().await);
    assert_eq!(bodies(&house), ["one", "two\nlines", "three"]);
    assert!(house.cellar.kept.lock().iter().all(|delivery| delivery.sender == "syslog-udp unknown any"));
    let text = metrics_text(&house.desk.metrics());
    for reason in ["queue_full", "refused", "stopping", "kernel_buffer_full"] {
        let line = format!("causeway_syslog_messages_dropped_total{{reason=\"{reason}\"}} 0\n");
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test]
async fn datagrams_beyond_what_may_wait_are_dropped_and_counted() {
    let (house, syslog) = house().await;
    *house.cellar.fail.lock() = Some(ErrorKind::Overloaded { retry_after: Duration::from_secs(60) });
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let serving = tokio::spawn(syslog.clone().serve_datagrams(socket));
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let large = vec![b'x'; 60_000];
    let dropped = || counted(&house, "causeway_syslog_messages_dropped_total", "queue_full");
    let mut sent = 0u64;
    while dropped() == 0.0 {
        sender.send_to(&large, address).await.unwrap();
        sent += 1;
        tokio::task::yield_now().await;
    }
    house.stop.cancel();
    serving.await.unwrap();
    let lost: f64 = ["queue_full", "stopping", "kernel_buffer_full"]
        .map(|reason| counted(&house, "causeway_syslog_messages_dropped_total", reason))
        .iter()
        .sum();
    // The socket is closed, and with it what the kernel counted of it is gone.
    assert!(lost > 100.0 && lost <= sent as f64, "{lost} of {sent}");
    assert!(bodies(&house).is_empty());
}

/// A certificate for `localhost` that signs itself, made by Debian's openssl.
fn certificate(folder: &Path) {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
                     -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem";
    let made = Command::new("openssl").args(arguments.split_ascii_whitespace()).current_dir(folder).output();
    assert!(made.expect("openssl is there: `make test` installs it").status.success());
}

#[tokio::test]
async fn a_connection_may_be_encrypted() {
    let (house, syslog) = house().await;
    let folder = house.folder.path();
    certificate(folder);
    let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let address = listen(&syslog, Some(acceptor(&chain, &key).unwrap()));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&chain).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    send(stream, b"26 <13>1 - h app - - - secret").await;
    assert_eq!(bodies(&house), ["secret"]);
    assert_eq!(house.cellar.kept.lock()[0].sender, "syslog-tls unknown 127.0.0.1");
    // Who speaks without TLS gets nowhere.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"<13>h: plain\n").await.unwrap();
    let _alert = plain.read_to_end(&mut Vec::new()).await;
    assert_eq!(counted(&house, "causeway_syslog_connections_refused_total", "tls_handshake"), 1.0);
    assert_eq!(bodies(&house), ["secret"]);
    // A file that is missing, a key that is none.
    for (chain, key, named) in [(Path::new("no.pem"), &*key, "no.pem"), (&*chain, &*chain, "cert.pem")] {
        let refused = acceptor(chain, key).map(drop).unwrap_err();
        assert!(refused.message.contains(named), "{}", refused.message);
    }
}

#[tokio::test]
async fn a_handshake_that_has_not_ended_does_not_hold_up_the_stop() {
    let (house, syslog) = house().await;
    let folder = house.folder.path();
    certificate(folder);
    let tls = acceptor(&folder.join("cert.pem"), &folder.join("key.pem")).unwrap();
    let _silent = TcpStream::connect(listen(&syslog, Some(tls))).await.unwrap();
    while counted(&house, "causeway_syslog_connections", "") == 0.0 {
        tokio::task::yield_now().await;
    }
    house.stop.cancel();
    assert!(syslog.drained().await);
    // It was not waited for until it took too long.
    assert_eq!(counted(&house, "causeway_syslog_connections_refused_total", "tls_handshake"), 0.0);
}
