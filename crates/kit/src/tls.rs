//! Whom does a service believe at the other end of https? The system's roots (or those of `SSL_CERT_FILE`), and the ones that it was given.

use std::path::Path;

use reqwest::Certificate;
use rustls::crypto::{CryptoProvider, ring};

/// What every HTTP client of a program begins with: TLS by rustls and *ring*, unless the program has chosen another provider before.
/// Roots are read for https only: plain HTTP works on a machine that has none.
pub fn http_client(url: &str) -> reqwest::ClientBuilder {
    client(url, &[])
}

/// The same with further roots beside the system's.
pub(crate) fn client(url: &str, roots: &[Certificate]) -> reqwest::ClientBuilder {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster; then its choice counts.
        let _chosen_meanwhile = ring::default_provider().install_default();
    }
    let https = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    let builder = reqwest::Client::builder();
    if https { builder.tls_certs_merge(roots.iter().cloned()) } else { builder.tls_certs_only([]) }
}

/// The certificates of a file in PEM.
pub(crate) fn roots(file: Option<&Path>) -> std::io::Result<Vec<Certificate>> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let named = |error: &dyn std::fmt::Display| std::io::Error::other(format!("{}: {error}", file.display()));
    let pem = std::fs::read(file).map_err(|error| named(&error))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        Ok(_) => Err(named(&"no certificate in it")),
        Err(error) => Err(named(&error)),
    }
}
