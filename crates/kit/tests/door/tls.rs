//! Does https work with a root that is believed, and is it said why it does not without? A TLS server, and a CA of the test's own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use causeway_kit::{ClientErrorKind, Fate, Signal};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::receiver::{Lines, quiet};

/// A certificate authority that nobody knows, and a server's certificate by it for `localhost`, made by Debian's openssl.
struct Authority {
    directory: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let authority = Self { directory };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let root = ["-subj", "/CN=causeway-kit's test", "-keyout", "ca.key", "-out", "ca.pem"];
        authority.openssl(&[&["req", "-x509"][..], &key, &root].concat());
        let leaf = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "leaf.key"];
        let signed = ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key"];
        authority.openssl(&[&["req", "-x509"][..], &key, &leaf, &signed, &["-out", "leaf.pem"]].concat());
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.directory).output();
        let output = output.expect("openssl is there: `make test` installs it");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn root(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Answers every request with 200; returns where, and what counts the requests.
    fn serve(&self) -> (String, Arc<AtomicUsize>) {
        let certificate = CertificateDer::from_pem_file(self.directory.join("leaf.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.directory.join("leaf.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let served = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&served);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, counter) = (Arc::clone(&config), Arc::clone(&counter));
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    // A client that does not believe us ends it; that is what it should do.
                    let _ended = answer(StreamOwned::new(connection, stream.unwrap()), &counter);
                });
            }
        });
        (url, served)
    }
}

/// The least HTTP/1.1: heads, bodies by their length, and an empty answer.
fn answer(mut stream: impl Read + Write, served: &AtomicUsize) -> std::io::Result<()> {
    let mut received = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        received.extend_from_slice(&bytes[..read]);
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if received.len() < end + 4 + length {
                break;
            }
            received.drain(..end + 4 + length);
            served.fetch_add(1, Ordering::Relaxed);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
            stream.flush()?;
        }
    }
}

#[tokio::test]
async fn the_client_speaks_https_to_whom_it_was_told_to_believe() {
    let authority = Authority::new("client");
    let (url, served) = authority.serve();
    let mut settings = quiet("web");
    settings.root_certificates = Some(authority.root());
    let kit = causeway_kit::init_scoped(settings).unwrap();
    let client = kit.client("stock", &url).build().unwrap();
    assert_eq!(client.get("/items").send().await.unwrap().status, StatusCode::OK);

    let stranger = causeway_kit::init_scoped(quiet("web")).unwrap();
    let client = stranger.client("stock", &url).tries_max(1).build();
    // A machine without any roots says so at once.
    let (error, kinds) = match client {
        Ok(client) => (client.get("/items").send().await.unwrap_err(), [ClientErrorKind::Connect; 2]),
        Err(error) => (error, [ClientErrorKind::Invalid; 2]),
    };
    let text = causes(&error);
    assert!(kinds.contains(&error.kind()) && text.to_lowercase().contains("certificate"), "{text}");
    assert_eq!(served.load(Ordering::Relaxed), 1);
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn telemetry_goes_over_https_and_the_log_says_why_it_does_not() {
    let authority = Authority::new("exporter");
    let (url, served) = authority.serve();
    let sent = async |root: Option<PathBuf>| {
        let lines = Lines::default();
        let root = root.map(|root| root.display().to_string());
        let mut settings = quiet("orders").from_variables(|name| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(url.clone()),
            "OTEL_EXPORTER_OTLP_CERTIFICATE" => root.clone(),
            _ => None,
        });
        settings.log_output = Box::new(lines.clone());
        let kit = causeway_kit::init_scoped(settings)?;
        kit.run(async { tracing::info!(event = "order.placed", "placed") }).await;
        kit.shutdown(Duration::from_secs(30)).await;
        let fates = [Fate::Exported, Fate::Unreachable].map(|fate| kit.fates().count(Signal::Logs, fate));
        Ok::<_, causeway_kit::InitError>((fates, lines))
    };
    let (fates, _) = sent(Some(authority.root())).await.unwrap();
    assert_eq!(fates, [1, 0]);
    let arrived = served.load(Ordering::Relaxed);
    assert!(arrived >= 1);

    match sent(None).await {
        Ok((fates, lines)) => {
            assert_eq!(fates, [0, 1]);
            let reason = lines.event("telemetry.lost")["reason"].as_str().unwrap().to_owned();
            assert!(reason.to_lowercase().contains("certificate"), "{reason}");
        }
        Err(error) => assert!(causes(&error).to_lowercase().contains("certificate"), "{}", causes(&error)),
    }
    assert_eq!(served.load(Ordering::Relaxed), arrived);
    let missing = sent(Some(authority.directory.join("no.pem"))).await.err().unwrap();
    assert!(causes(&missing).contains("no.pem"), "{}", causes(&missing));
    let key = sent(Some(authority.directory.join("ca.key"))).await.err().unwrap();
    assert!(causes(&key).contains("no certificate"), "{}", causes(&key));
}
