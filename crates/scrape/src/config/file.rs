//! What may stand in the file? Prometheus' keys, as written; nothing else.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::scalars::{Bytes, EscapingScheme, ProtocolName, Secret, Span, TlsVersion};
use crate::names::NameScheme;
use crate::relabel::Action;

/// The whole file.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) global: Option<GlobalKeys>,
    pub(super) scrape_configs: Option<Vec<ScrapeKeys>>,
    pub(super) scrape_config_files: Option<Vec<String>>,
    pub(super) runtime: Option<IgnoredAny>,
    pub(super) alerting: Option<IgnoredAny>,
    pub(super) rule_files: Option<IgnoredAny>,
    pub(super) storage: Option<IgnoredAny>,
    pub(super) tracing: Option<IgnoredAny>,
    pub(super) remote_write: Option<IgnoredAny>,
    pub(super) remote_read: Option<IgnoredAny>,
    pub(super) otlp: Option<IgnoredAny>,
}

/// A file of `scrape_config_files`.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct ScrapeConfigFile {
    pub(super) scrape_configs: Option<Vec<ScrapeKeys>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct GlobalKeys {
    pub(super) scrape_interval: Option<Span>,
    pub(super) scrape_timeout: Option<Span>,
    pub(super) scrape_protocols: Option<Vec<ProtocolName>>,
    pub(super) scrape_native_histograms: Option<bool>,
    #[serde(alias = "scrape_classic_histograms")]
    pub(super) always_scrape_classic_histograms: Option<bool>,
    pub(super) convert_classic_histograms_to_nhcb: Option<bool>,
    pub(super) extra_scrape_metrics: Option<bool>,
    pub(super) body_size_limit: Option<Bytes>,
    pub(super) sample_limit: Option<u64>,
    pub(super) label_limit: Option<u64>,
    pub(super) label_name_length_limit: Option<u64>,
    pub(super) label_value_length_limit: Option<u64>,
    pub(super) target_limit: Option<u64>,
    pub(super) keep_dropped_targets: Option<u64>,
    pub(super) metric_name_validation_scheme: Option<NameScheme>,
    pub(super) metric_name_escaping_scheme: Option<EscapingScheme>,
    pub(super) external_labels: Option<BTreeMap<String, String>>,
    pub(super) evaluation_interval: Option<Span>,
    pub(super) rule_query_offset: Option<Span>,
    pub(super) query_log_file: Option<String>,
    pub(super) scrape_failure_log_file: Option<String>,
}

/// A struct of these keys and of those that all HTTP clients have: serde can't refuse unknown keys beside a flattened struct.
macro_rules! with_http_keys {
    ($(#[$attribute:meta])* $name:ident { $($(#[$key_attribute:meta])* $key:ident: $type:ty,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Deserialize, Default)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$key_attribute])* pub(super) $key: Option<$type>,)*
            basic_auth: Option<BasicAuthKeys>,
            authorization: Option<AuthorizationKeys>,
            bearer_token: Option<Secret>,
            bearer_token_file: Option<String>,
            tls_config: Option<TlsKeys>,
            follow_redirects: Option<bool>,
            enable_http2: Option<bool>,
            proxy_url: Option<Secret>,
            no_proxy: Option<String>,
            http_headers: Option<BTreeMap<String, HeaderKeys>>,
        }

        impl $name {
            /// Takes the keys of the HTTP client.
            pub(super) fn take_http(&mut self) -> HttpKeys {
                HttpKeys {
                    basic_auth: self.basic_auth.take(),
                    authorization: self.authorization.take(),
                    bearer_token: self.bearer_token.take(),
                    bearer_token_file: self.bearer_token_file.take(),
                    tls_config: self.tls_config.take(),
                    follow_redirects: self.follow_redirects.unwrap_or(true),
                    enable_http2: self.enable_http2.unwrap_or(true),
                    proxy_url: self.proxy_url.take(),
                    no_proxy: self.no_proxy.take(),
                    http_headers: self.http_headers.take().unwrap_or_default(),
                }
            }
        }
    };
}

with_http_keys! {
    /// One job.
    ScrapeKeys {
        job_name: String,
        scrape_interval: Span,
        scrape_timeout: Span,
        scrape_protocols: Vec<ProtocolName>,
        fallback_scrape_protocol: ProtocolName,
        scrape_native_histograms: bool,
        #[serde(alias = "scrape_classic_histograms")]
        always_scrape_classic_histograms: bool,
        convert_classic_histograms_to_nhcb: bool,
        extra_scrape_metrics: bool,
        scrape_failure_log_file: String,
        metrics_path: String,
        honor_labels: bool,
        honor_timestamps: bool,
        track_timestamps_staleness: bool,
        scheme: String,
        params: BTreeMap<String, Vec<String>>,
        enable_compression: bool,
        static_configs: Vec<TargetGroupKeys>,
        file_sd_configs: Vec<FileDiscoveryKeys>,
        http_sd_configs: Vec<HttpDiscoveryKeys>,
        relabel_configs: Vec<RelabelKeys>,
        metric_relabel_configs: Vec<RelabelKeys>,
        body_size_limit: Bytes,
        sample_limit: u64,
        label_limit: u64,
        label_name_length_limit: u64,
        label_value_length_limit: u64,
        target_limit: u64,
        keep_dropped_targets: u64,
        native_histogram_bucket_limit: u64,
        native_histogram_min_bucket_factor: f64,
        metric_name_validation_scheme: NameScheme,
        metric_name_escaping_scheme: EscapingScheme,
    }
}

with_http_keys! {
    /// One URL that answers with targets.
    HttpDiscoveryKeys {
        url: String,
        refresh_interval: Span,
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileDiscoveryKeys {
    pub(super) files: Vec<String>,
    pub(super) refresh_interval: Option<Span>,
}

/// Targets that share labels, as in the configuration, in discovery files and in answers of discovery.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetGroupKeys {
    #[serde(default)]
    pub(crate) targets: Vec<String>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RelabelKeys {
    pub(super) source_labels: Option<Vec<String>>,
    pub(super) separator: Option<String>,
    pub(super) regex: Option<String>,
    pub(super) modulus: Option<u64>,
    pub(super) target_label: Option<String>,
    pub(super) replacement: Option<String>,
    pub(super) action: Option<Action>,
}

/// What all HTTP clients have.
#[derive(Debug)]
pub(super) struct HttpKeys {
    pub(super) basic_auth: Option<BasicAuthKeys>,
    pub(super) authorization: Option<AuthorizationKeys>,
    pub(super) bearer_token: Option<Secret>,
    pub(super) bearer_token_file: Option<String>,
    pub(super) tls_config: Option<TlsKeys>,
    pub(super) follow_redirects: bool,
    pub(super) enable_http2: bool,
    pub(super) proxy_url: Option<Secret>,
    pub(super) no_proxy: Option<String>,
    pub(super) http_headers: BTreeMap<String, HeaderKeys>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BasicAuthKeys {
    pub(super) username: Option<String>,
    pub(super) username_file: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) password_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizationKeys {
    pub(super) r#type: Option<String>,
    pub(super) credentials: Option<Secret>,
    pub(super) credentials_file: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsKeys {
    pub(super) ca: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) cert: Option<String>,
    pub(super) cert_file: Option<String>,
    pub(super) key: Option<Secret>,
    pub(super) key_file: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) insecure_skip_verify: Option<bool>,
    pub(super) min_version: Option<TlsVersion>,
    pub(super) max_version: Option<TlsVersion>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderKeys {
    #[serde(default)]
    pub(super) values: Vec<String>,
    #[serde(default)]
    pub(super) secrets: Vec<Secret>,
    #[serde(default)]
    pub(super) files: Vec<String>,
}
