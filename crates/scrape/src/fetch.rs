//! How is an answer got? One GET with the job's credentials, in time, of bounded length, decompressed.

use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use causeway_model::{Error, ErrorKind, Result};
use flate2::write::MultiGzDecoder;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, USER_AGENT};
use http::{HeaderName, HeaderValue, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Proxy, Response, Url};
use rustls::crypto::{CryptoProvider, ring};

use crate::config::{Credentials, HttpConfig, TextSource, TlsVersion};

/// Redirects that are followed, as in Go's client.
const REDIRECTS_MAX: usize = 10;

/// A connection waits so long for the next scrape, as in Prometheus.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Bytes of a credential's file.
const CREDENTIAL_BYTES_MAX: u64 = 1 << 20;

/// An answer is not longer than this, decompressed, where the job has no limit of its own. It is as much as a decoder reads.
pub(crate) const BODY_BYTES_MAX: u64 = causeway_ingest::BODY_BYTES_MAX as u64;

const BODY_LIMIT: &str = "body size limit exceeded";

/// A client by a configuration. Credentials in files are read at each request, certificates when it is made.
#[derive(Debug)]
pub(crate) struct Fetcher {
    client: Client,
    config: HttpConfig,
}

/// A client that is made when it is first needed: a certificate that was not there at the start may be there later.
#[derive(Debug)]
pub(crate) struct LazyFetcher {
    config: HttpConfig,
    made: OnceLock<Fetcher>,
}

impl LazyFetcher {
    pub(crate) fn new(config: HttpConfig) -> Self {
        Self { config, made: OnceLock::new() }
    }

    /// The client.
    ///
    /// # Errors
    /// As [`Fetcher::new`].
    pub(crate) fn get(&self, is_https: bool) -> Result<&Fetcher> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = Fetcher::new(&self.config, is_https)?;
        Ok(self.made.get_or_init(|| made))
    }
}

/// What was fetched.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: String,
}

impl Fetcher {
    /// A client.
    ///
    /// # Errors
    /// `Unavailable` where a certificate's file can't be read, `Invalid` where it holds none.
    pub(crate) fn new(config: &HttpConfig, is_https: bool) -> Result<Self> {
        if CryptoProvider::get_default().is_none() {
            // Another thread may have been faster; then its choice counts.
            let _chosen_meanwhile = ring::default_provider().install_default();
        }
        // Plain HTTP works on a machine that has no roots.
        let client = client(config, true).or_else(|error| if is_https { Err(error) } else { client(config, false) })?;
        Ok(Self { client, config: config.clone() })
    }

    /// Fetches a URL with further headers.
    ///
    /// # Errors
    /// `Unavailable` where there is no answer or none of status 200, `TooLarge` where it goes beyond the limit (0: none of the job's own).
    pub(crate) async fn get(&self, url: &Url, headers: HeaderMap, bytes_max: u64) -> Result<Answer> {
        let named = |error: reqwest::Error| Error::unavailable(format!("Get {:?}: {}", redacted(url), words(error)));
        let headers = self.headers(headers).await?;
        let response = self.client.get(url.clone()).headers(headers).send().await.map_err(named)?;
        if response.status() != StatusCode::OK {
            return Err(Error::unavailable(format!("server returned HTTP status {}", response.status())));
        }
        let text = |name: &HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (content_type, encoding) = (text(&CONTENT_TYPE), text(&CONTENT_ENCODING));
        let mut body =
            Body::new(&encoding, if bytes_max == 0 { BODY_BYTES_MAX } else { bytes_max.min(BODY_BYTES_MAX) })?;
        read(response, &mut body).await.map_err(|stop| match stop {
            Stop::Broken(error) => named(error),
            Stop::Refused(error) => error,
        })?;
        Ok(Answer { body: body.finish()?, content_type })
    }

    async fn headers(&self, mut headers: HeaderMap) -> Result<HeaderMap> {
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Causeway/", env!("CARGO_PKG_VERSION"))));
        if let Some(value) = self.authorization().await? {
            headers.insert(AUTHORIZATION, value);
        }
        for (name, value) in &self.config.headers {
            let value = text_of(value).await?;
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                return Err(Error::invalid(format!("the value of header {name:?} is not valid")));
            };
            headers.append(name, value);
        }
        Ok(headers)
    }

    async fn authorization(&self) -> Result<Option<HeaderValue>> {
        let text = match &self.config.credentials {
            None => return Ok(None),
            Some(Credentials::Basic { username, password }) => {
                let pair = format!("{}:{}", optional(username.as_ref()).await?, optional(password.as_ref()).await?);
                format!("Basic {}", BASE64_STANDARD.encode(pair))
            }
            Some(Credentials::Scheme { scheme, token }) => format!("{scheme} {}", optional(token.as_ref()).await?),
        };
        let mut value =
            HeaderValue::try_from(text).map_err(|_| Error::invalid("the credentials make no valid header"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// The headers by which a scrape asks for formats and compression.
pub(crate) fn scrape_headers(accept: &str, timeout_seconds: f64, enable_compression: bool) -> Result<HeaderMap> {
    let value = |text: &str| HeaderValue::try_from(text).map_err(|error| Error::internal(error.to_string()));
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, value(accept)?);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(if enable_compression { "gzip" } else { "identity" }));
    headers.insert("x-prometheus-scrape-timeout-seconds", value(&timeout_seconds.to_string())?);
    Ok(headers)
}

/// The URL without a password.
pub(crate) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() {
        let _cannot_have_one = shown.set_password(Some("xxxxx"));
    }
    shown.into()
}

/// An error with its causes, without the URL, which stands before it where it may.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

enum Stop {
    Broken(reqwest::Error),
    Refused(Error),
}

async fn read(mut response: Response, body: &mut Body) -> Result<(), Stop> {
    while let Some(chunk) = response.chunk().await.map_err(Stop::Broken)? {
        body.push(&chunk).map_err(Stop::Refused)?;
    }
    Ok(())
}

/// A body as it arrives; never longer than its limit.
enum Body {
    Plain(Limited),
    Gzip(Box<MultiGzDecoder<Limited>>),
}

struct Limited {
    bytes: Vec<u8>,
    bytes_max: u64,
}

impl std::io::Write for Limited {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<usize> {
        // Prometheus refuses what reaches the limit, too.
        if self.bytes.len() as u64 + chunk.len() as u64 >= self.bytes_max {
            return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn stopped(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::FileTooLarge {
        Error::new(ErrorKind::TooLarge, BODY_LIMIT)
    } else {
        Error::invalid(format!("gzip: {error}"))
    }
}

impl Body {
    fn new(encoding: &str, bytes_max: u64) -> Result<Self> {
        let limited = Limited { bytes: Vec::new(), bytes_max };
        match encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(limited)))),
            "" | "identity" => Ok(Self::Plain(limited)),
            other => Err(Error::new(ErrorKind::Unsupported, format!("content encoding {other:?} was not asked for"))),
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<()> {
        let written = match self {
            Self::Plain(limited) => limited.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        };
        written.map_err(stopped)
    }

    fn finish(self) -> Result<Vec<u8>> {
        let limited = match self {
            Self::Plain(limited) => limited,
            Self::Gzip(decoder) => decoder.finish().map_err(stopped)?,
        };
        Ok(limited.bytes)
    }
}

async fn optional(source: Option<&TextSource>) -> Result<String> {
    match source {
        None => Ok(String::new()),
        Some(source) => text_of(source).await,
    }
}

async fn text_of(source: &TextSource) -> Result<String> {
    match source {
        TextSource::Inline(secret) => Ok(secret.reveal().to_owned()),
        TextSource::File(path) => {
            let named = |error: std::io::Error| Error::unavailable(format!("{}: {error}", path.display()));
            let bytes = tokio::fs::metadata(path).await.map_err(named)?.len();
            check_length(path, bytes)?;
            let text = tokio::fs::read_to_string(path).await.map_err(named)?;
            Ok(text.trim().to_owned())
        }
    }
}

fn check_length(path: &Path, bytes: u64) -> Result<()> {
    if bytes > CREDENTIAL_BYTES_MAX {
        return Err(Error::invalid(format!("{} is too long for a credential", path.display())));
    }
    Ok(())
}

/// The bytes of a certificate or key.
fn pem_of(source: &TextSource) -> Result<Vec<u8>> {
    match source {
        TextSource::Inline(secret) => Ok(secret.reveal().as_bytes().to_vec()),
        TextSource::File(path) => {
            let named = |error: std::io::Error| Error::unavailable(format!("{}: {error}", path.display()));
            check_length(path, std::fs::metadata(path).map_err(named)?.len())?;
            std::fs::read(path).map_err(named)
        }
    }
}

fn client(config: &HttpConfig, with_roots: bool) -> Result<Client> {
    let redirects = if config.follow_redirects { Policy::limited(REDIRECTS_MAX) } else { Policy::none() };
    let builder = Client::builder().redirect(redirects).no_proxy().pool_idle_timeout(IDLE_MAX);
    let builder = tls(builder, config, with_roots)?;
    let builder = match &config.proxy_url {
        None => builder,
        Some(url) => {
            // The message must not repeat it: it may hold a password.
            let proxy = Proxy::all(url.reveal()).map_err(|_| Error::invalid("proxy_url is not valid"))?;
            let not_for = config.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
            builder.proxy(proxy.no_proxy(not_for))
        }
    };
    builder.build().map_err(|error| Error::invalid(format!("HTTP client: {}", words(error))))
}

fn tls(builder: reqwest::ClientBuilder, config: &HttpConfig, with_roots: bool) -> Result<reqwest::ClientBuilder> {
    let tls = &config.tls;
    let certificate = |error: reqwest::Error| Error::invalid(format!("tls_config: {}", words(error)));
    let mut builder = match &tls.ca {
        Some(ca) => builder.tls_certs_only(Certificate::from_pem_bundle(&pem_of(ca)?).map_err(certificate)?),
        None if with_roots => builder,
        None => builder.tls_certs_only([]),
    };
    if let (Some(own), Some(key)) = (&tls.certificate, &tls.key) {
        let mut pem = pem_of(own)?;
        pem.push(b'\n');
        pem.extend(pem_of(key)?);
        builder = builder.identity(Identity::from_pem(&pem).map_err(certificate)?);
    }
    let version = |version: TlsVersion| match version {
        TlsVersion::Tls12 => reqwest::tls::Version::TLS_1_2,
        TlsVersion::Tls13 => reqwest::tls::Version::TLS_1_3,
    };
    if let Some(min) = tls.min_version {
        builder = builder.tls_version_min(version(min));
    }
    if let Some(max) = tls.max_version {
        builder = builder.tls_version_max(version(max));
    }
    Ok(builder.tls_danger_accept_invalid_certs(tls.insecure_skip_verify))
}
