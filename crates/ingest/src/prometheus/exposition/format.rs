//! In which format does a target answer? What is asked for in `Accept`, and what the content type says (Prometheus, scrape and
//! model/textparse).

use causeway_model::{Error, Result};

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `io.prometheus.client.MetricFamily` messages, each behind its length.
    Protobuf,
    /// OpenMetrics text.
    OpenMetrics,
    /// Prometheus' text format.
    Text,
}

/// A format with its version, named as in Prometheus' configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapeProtocol {
    /// `PrometheusProto`; the only one that has native histograms.
    PrometheusProto,
    /// `OpenMetricsText1.0.0`
    OpenMetricsText1,
    /// `OpenMetricsText0.0.1`
    OpenMetricsText0,
    /// `PrometheusText1.0.0`
    PrometheusText1,
    /// `PrometheusText0.0.4`
    PrometheusText0,
}

impl ScrapeProtocol {
    /// All, in the order in which Prometheus prefers them where native histograms are wanted; else it begins with the second.
    pub const ALL: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText1,
        Self::OpenMetricsText0,
        Self::PrometheusText1,
        Self::PrometheusText0,
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrometheusProto => "PrometheusProto",
            Self::OpenMetricsText1 => "OpenMetricsText1.0.0",
            Self::OpenMetricsText0 => "OpenMetricsText0.0.1",
            Self::PrometheusText1 => "PrometheusText1.0.0",
            Self::PrometheusText0 => "PrometheusText0.0.4",
        }
    }

    /// The protocol of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// How its bodies are read.
    pub fn format(self) -> Format {
        match self {
            Self::PrometheusProto => Format::Protobuf,
            Self::OpenMetricsText1 | Self::OpenMetricsText0 => Format::OpenMetrics,
            Self::PrometheusText1 | Self::PrometheusText0 => Format::Text,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::OpenMetricsText1 => "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
            Self::OpenMetricsText0 => "application/openmetrics-text;version=0.0.1",
            Self::PrometheusText1 => "text/plain;version=1.0.0;escaping=allow-utf-8",
            Self::PrometheusText0 => "text/plain;version=0.0.4",
        }
    }
}

/// The header `Accept` that asks for these, the first the most.
pub fn accept_header(protocols: &[ScrapeProtocol]) -> String {
    let mut weight = ScrapeProtocol::ALL.len() + 1;
    let mut header = String::new();
    for protocol in protocols.iter().take(ScrapeProtocol::ALL.len()) {
        header.push_str(&format!("{};q=0.{weight},", protocol.media_type()));
        weight -= 1;
    }
    header.push_str(&format!("*/*;q=0.{weight}"));
    header
}

impl Format {
    /// The format that a content type names. One that is empty or unknown is read as the fallback, where there is one.
    ///
    /// # Errors
    /// `Invalid`, in Prometheus' words, where there is none.
    pub fn of_content_type(content_type: &str, fallback: Option<ScrapeProtocol>) -> Result<Self> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let format = match media_type.as_str() {
            "application/openmetrics-text" => Some(Self::OpenMetrics),
            "application/vnd.google.protobuf" => Some(Self::Protobuf),
            "text/plain" => Some(Self::Text),
            _ => fallback.map(ScrapeProtocol::format),
        };
        format.ok_or_else(|| {
            Error::invalid(if content_type.is_empty() {
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target".to_owned()
            } else {
                format!("received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol specified for target")
            })
        })
    }
}
