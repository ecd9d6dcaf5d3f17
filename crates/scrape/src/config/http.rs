//! How is a target or a discovery service spoken to? Credentials, TLS, headers, redirects, proxy: Prometheus' HTTP client keys, checked.

use std::path::{Path, PathBuf};

use causeway_model::{Error, Result};
use http::{HeaderName, HeaderValue};

use super::file::{AuthorizationKeys, BasicAuthKeys, HeaderKeys, HttpKeys, TlsKeys};
use super::scalars::{Secret, TlsVersion};

/// A text that stands in the configuration or is read from a file when it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextSource {
    /// In the configuration.
    Inline(Secret),
    /// In a file; blanks around it don't count.
    File(PathBuf),
}

/// What the header `Authorization` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user with a password.
    Basic {
        /// The user.
        username: Option<TextSource>,
        /// The password.
        password: Option<TextSource>,
    },
    /// A scheme such as `Bearer` with a token.
    Scheme {
        /// The scheme.
        scheme: String,
        /// The token.
        token: Option<TextSource>,
    },
}

/// Whom to believe at the other end, and how to identify.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsConfig {
    /// Certificates that are believed instead of the system's, in PEM.
    pub ca: Option<TextSource>,
    /// The own certificate, in PEM.
    pub certificate: Option<TextSource>,
    /// Its key, in PEM.
    pub key: Option<TextSource>,
    /// Whether any certificate is believed.
    pub insecure_skip_verify: bool,
    /// The oldest version that is spoken.
    pub min_version: Option<TlsVersion>,
    /// The newest one.
    pub max_version: Option<TlsVersion>,
}

/// An HTTP client's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpConfig {
    /// The header `Authorization`.
    pub credentials: Option<Credentials>,
    /// TLS.
    pub tls: TlsConfig,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// A proxy; its URL may hold a password.
    pub proxy_url: Option<Secret>,
    /// Hosts that are reached without the proxy.
    pub no_proxy: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, TextSource)>,
}

/// Headers that the scraper itself sets, and those that say how a message is framed.
const RESERVED_HEADERS: [&str; 17] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-prometheus-scrape-timeout-seconds",
];

/// One of two keys.
fn one_of(name: &str, inline: Option<Secret>, file: Option<String>, directory: &Path) -> Result<Option<TextSource>> {
    match (inline, file.filter(|file| !file.is_empty())) {
        (Some(_), Some(_)) => Err(Error::invalid(format!("at most one of {name} & {name}_file must be configured"))),
        (Some(inline), None) => Ok(Some(TextSource::Inline(inline))),
        (None, Some(file)) => Ok(Some(TextSource::File(directory.join(file)))),
        (None, None) => Ok(None),
    }
}

impl HttpConfig {
    /// Checks the keys; relative files stand in `directory`.
    ///
    /// # Errors
    /// `Invalid` where keys contradict each other.
    pub(super) fn new(keys: HttpKeys, directory: &Path) -> Result<Self> {
        let bearer = one_of("bearer_token", keys.bearer_token, keys.bearer_token_file, directory)?;
        let credentials = match (keys.basic_auth, keys.authorization, bearer) {
            (None, None, None) => None,
            (Some(basic), None, None) => Some(Credentials::basic(basic, directory)?),
            (None, Some(authorization), None) => Some(Credentials::scheme(authorization, directory)?),
            (None, None, token) => Some(Credentials::Scheme { scheme: "Bearer".to_owned(), token }),
            _ => {
                return Err(Error::invalid(
                    "at most one of basic_auth, authorization, bearer_token & bearer_token_file must be configured",
                ));
            }
        };
        if keys.no_proxy.is_some() && keys.proxy_url.is_none() {
            return Err(Error::invalid("if no_proxy is configured, proxy_url must also be configured"));
        }
        // HTTP/1.1 serves both answers; what was asked for is at most a preference.
        let _either = keys.enable_http2;
        let mut headers = Vec::new();
        for (name, values) in keys.http_headers {
            add_header(&name, values, directory, &mut headers)?;
        }
        Ok(Self {
            credentials,
            tls: TlsConfig::new(keys.tls_config.unwrap_or_default(), directory)?,
            follow_redirects: keys.follow_redirects,
            proxy_url: keys.proxy_url,
            no_proxy: keys.no_proxy,
            headers,
        })
    }
}

fn add_header(name: &str, keys: HeaderKeys, directory: &Path, headers: &mut Vec<(String, TextSource)>) -> Result<()> {
    let lower = name.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&lower.as_str()) {
        return Err(Error::invalid(format!("setting header {name:?} is not allowed")));
    }
    HeaderName::try_from(name).map_err(|_| Error::invalid(format!("{name:?} is not the name of a header")))?;
    let inline = keys.values.into_iter().map(Secret::new).chain(keys.secrets);
    for value in inline {
        if HeaderValue::try_from(value.reveal()).is_err() {
            return Err(Error::invalid(format!("a value of header {name:?} is not valid")));
        }
        headers.push((name.to_owned(), TextSource::Inline(value)));
    }
    headers.extend(keys.files.iter().map(|file| (name.to_owned(), TextSource::File(directory.join(file)))));
    Ok(())
}

impl Credentials {
    fn basic(keys: BasicAuthKeys, directory: &Path) -> Result<Self> {
        let username = keys.username.map(Secret::new);
        Ok(Self::Basic {
            username: one_of("basic_auth username", username, keys.username_file, directory)?,
            password: one_of("basic_auth password", keys.password, keys.password_file, directory)?,
        })
    }

    fn scheme(keys: AuthorizationKeys, directory: &Path) -> Result<Self> {
        let scheme = keys.r#type.map(|scheme| scheme.trim().to_owned()).filter(|scheme| !scheme.is_empty());
        let scheme = scheme.unwrap_or_else(|| "Bearer".to_owned());
        if scheme.eq_ignore_ascii_case("basic") {
            return Err(Error::invalid("authorization type cannot be set to \"basic\", use \"basic_auth\" instead"));
        }
        let token = one_of("authorization credentials", keys.credentials, keys.credentials_file, directory)?;
        Ok(Self::Scheme { scheme, token })
    }
}

impl TlsConfig {
    fn new(keys: TlsKeys, directory: &Path) -> Result<Self> {
        if keys.server_name.is_some_and(|name| !name.is_empty()) {
            return Err(Error::invalid(
                "tls_config: server_name is not supported: name the target as its certificate does, or use a relabel rule",
            ));
        }
        let public = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Secret::new);
        let config = Self {
            ca: one_of("tls_config ca", public(keys.ca), keys.ca_file, directory)?,
            certificate: one_of("tls_config cert", public(keys.cert), keys.cert_file, directory)?,
            key: one_of("tls_config key", keys.key, keys.key_file, directory)?,
            insecure_skip_verify: keys.insecure_skip_verify.unwrap_or(false),
            min_version: keys.min_version,
            max_version: keys.max_version,
        };
        if config.certificate.is_some() != config.key.is_some() {
            return Err(Error::invalid("tls_config: exactly one of cert and key is configured, both are needed"));
        }
        Ok(config)
    }
}
