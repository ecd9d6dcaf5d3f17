//! Is the configuration read as Prometheus reads it, and refused with words that help?

use super::*;

fn parse(text: &str) -> Result<Config> {
    Config::parse(text, Path::new("/etc/prometheus"))
}

fn job(text: &str) -> JobConfig {
    parse(&format!("scrape_configs:\n- job_name: j\n{text}")).unwrap().jobs.remove(0)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().message
}

#[test]
fn defaults_are_those_of_prometheus_3() {
    let job = job("");
    assert_eq!((job.scrape_interval, job.scrape_timeout), (Duration::from_secs(60), Duration::from_secs(10)));
    assert_eq!((job.metrics_path.as_str(), job.scheme.as_str()), ("/metrics", "http"));
    assert!(job.honor_timestamps && !job.honor_labels && !job.track_timestamps_staleness && job.enable_compression);
    assert_eq!(job.scrape_protocols, ScrapeProtocol::ALL[1..].to_vec());
    assert!(job.http.follow_redirects);
    assert_eq!(job.name_scheme, NameScheme::Utf8);
    assert_eq!(job.limits, Limits::default());
    assert_eq!(parse("").unwrap(), Config::default());
    assert_eq!(parse("global:\n").unwrap(), Config::default());
}

#[test]
fn the_global_section_speaks_where_a_job_is_silent() {
    let config = parse(
        "global: {scrape_interval: 5s, sample_limit: 7, body_size_limit: 10MB, scrape_native_histograms: true,
                  external_labels: {site: x}, evaluation_interval: 1m}
scrape_configs:
- {job_name: a}
- {job_name: b, scrape_interval: 1m30s, scrape_timeout: 250ms, sample_limit: 8, scrape_native_histograms: false}
rule_files: [x.yml]
alerting: {alertmanagers: []}
",
    )
    .unwrap();
    let [a, b] = config.jobs.as_slice() else { panic!("{config:?}") };
    assert_eq!((a.scrape_interval, a.scrape_timeout), (Duration::from_secs(5), Duration::from_secs(5)));
    assert_eq!((a.limits.sample, a.limits.body_size), (7, 10 << 20));
    assert_eq!(a.scrape_protocols, ScrapeProtocol::ALL.to_vec());
    assert_eq!((b.scrape_interval, b.scrape_timeout), (Duration::from_secs(90), Duration::from_millis(250)));
    assert_eq!(b.limits.sample, 8);
    assert_eq!(b.scrape_protocols.len(), 4);
    assert_eq!(config.external_labels["site"], "x");
    assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
}

#[test]
fn every_key_is_read() {
    let job = job(r#"  honor_labels: true
  honor_timestamps: false
  track_timestamps_staleness: true
  fallback_scrape_protocol: PrometheusText0.0.4
  scrape_protocols: [PrometheusText1.0.0, PrometheusProto]
  always_scrape_classic_histograms: true
  convert_classic_histograms_to_nhcb: true
  extra_scrape_metrics: true
  metrics_path: /m
  scheme: https
  params: {module: [a, b]}
  enable_compression: false
  enable_http2: false
  follow_redirects: false
  basic_auth: {username: u, password_file: p.txt}
  tls_config: {ca_file: ca.pem, insecure_skip_verify: true, min_version: TLS13}
  http_headers: {X-Tenant: {values: [t], secrets: [s], files: [f]}}
  static_configs: [{targets: ["a:1", "b:2"], labels: {env: prod}}]
  file_sd_configs: [{files: ["sd/*.json", /x/y.yml], refresh_interval: 30s}]
  http_sd_configs: [{url: "http://u:hush@sd/targets", authorization: {credentials: hush}}]
  relabel_configs: [{source_labels: [__address__], target_label: instance}]
  metric_relabel_configs: [{action: drop, regex: go_.*, source_labels: [__name__]}]
  label_limit: 1
  label_name_length_limit: 2
  label_value_length_limit: 3
  target_limit: 4
  keep_dropped_targets: 5
  native_histogram_bucket_limit: 6
  native_histogram_min_bucket_factor: 1.1
  metric_name_validation_scheme: legacy
"#);
    assert_eq!(job.escaping_scheme, EscapingScheme("underscores".to_owned()));
    assert_eq!(job.discovery.len(), 3);
    let Discovery::Files { patterns, refresh_interval } = &job.discovery[1] else { panic!() };
    assert_eq!(patterns, &[PathBuf::from("/etc/prometheus/sd/*.json"), PathBuf::from("/x/y.yml")]);
    assert_eq!(*refresh_interval, Duration::from_secs(30));
    let password = Some(TextSource::File("/etc/prometheus/p.txt".into()));
    assert!(matches!(&job.http.credentials, Some(Credentials::Basic { password: read, .. }) if *read == password));
    assert_eq!(job.http.headers.len(), 3);
    assert!(!format!("{job:?}").contains("hush"));
}

#[test]
fn what_is_unknown_is_refused_with_its_place_and_a_hint() {
    let message = refusal("scrape_configs:\n  - job_name: j\n    scrape_intervall: 5s\n");
    assert!(
        message.contains("line 3, column 5: unknown key scrape_intervall: did you mean scrape_interval?"),
        "{message}"
    );
    let message = refusal("scrape_configs:\n  - job_name: j\n    kubernetes_sd_configs: [{role: pod}]\n");
    assert!(message.contains("line 3"), "{message}");
    let supported =
        "kubernetes_sd_configs is not supported: targets come from static_configs, file_sd_configs and http_sd_configs";
    assert!(message.contains(supported), "{message}");
    let message = refusal("scrape_configs:\n  - job_name: j\n    scrape_interval: 5 s\n");
    assert!(message.ends_with("line 3, column 22: not a valid duration string: \"5 s\""), "{message}");
    let message = refusal("scrape_configs:\n  - job_name: j\n    authorization: {credentials: [hush]}\n");
    assert!(message.contains("line 3") && !message.contains("hush"), "{message}");
    assert!(refusal("scrape_configs: [{job_name: j, oauth2: {}}]").contains("oauth2 is not supported"));
}

#[test]
fn contradictions_are_refused() {
    let refused = |keys: &str, part: &str| {
        let message = refusal(&format!("scrape_configs: [{{job_name: j, {keys}}}]"));
        assert!(message.contains(part), "{message}");
    };
    refused("scrape_interval: 5s, scrape_timeout: 6s", "scrape timeout greater than scrape interval");
    refused("scheme: ftp", "scheme \"ftp\"");
    refused("scrape_protocols: []", "cannot be empty");
    refused("scrape_protocols: [PrometheusProto, PrometheusProto]", "duplicated protocol");
    refused("scrape_protocols: [x]", "unknown scrape protocol \"x\"");
    refused("basic_auth: {}, bearer_token: t", "at most one of");
    refused("basic_auth: {password: a, password_file: b}", "at most one of basic_auth password");
    refused("authorization: {type: Basic}", "use \"basic_auth\"");
    refused("http_headers: {Host: {values: [x]}}", "not allowed");
    refused("static_configs: [{targets: ['http://a/b']}]", "is not a valid hostname");
    refused("file_sd_configs: [{files: ['*/a.json']}]", "only its name may have one *");
    refused("file_sd_configs: [{files: ['a.txt']}]", "must end in one of json, yml, yaml");
    refused("http_sd_configs: [{url: 'ftp://a'}]", "must be 'http' or 'https'");
    refused("tls_config: {cert_file: a}", "both are needed");
    assert!(refusal("scrape_configs: [{job_name: ''}]").contains("job_name is empty"));
    assert!(refusal("scrape_configs: [{job_name: a}, {job_name: a}]").contains("found multiple scrape configs"));
}

#[test]
fn durations_are_read_and_written_as_in_prometheus() {
    let cases =
        [("0", 0), ("15s", 15_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("1w2d", 777_600_000), ("7ms", 7)];
    for (text, milliseconds) in cases {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["", "5", "s", "1m1h", "1s1s", "-1s", "1.5s", "99999999999y", "1µs"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
    for text in ["0s", "15s", "1m30s", "1h30m", "2d", "1y", "250ms", "25h"] {
        assert_eq!(format_duration(parse_duration(text).unwrap()), text);
    }
}

#[test]
fn files_of_scrape_configurations_are_included() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("prometheus.yml", "global: {scrape_interval: 7s}\nscrape_config_files: ['more_*.yml']\n");
    write("more_a.yml", "scrape_configs: [{job_name: a}]");
    write("more_b.yml", "scrape_configs: [{job_name: b}]");
    let config = Config::load(&directory.path().join("prometheus.yml")).unwrap();
    let names: Vec<&str> = config.jobs.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(config.jobs[0].scrape_interval, Duration::from_secs(7));
    write("more_c.yml", "scrape_configs: [{job_name: a}]");
    let message = Config::load(&directory.path().join("prometheus.yml")).unwrap_err().message;
    assert!(message.contains("more_c.yml") && message.contains("multiple"), "{message}");
}

#[test]
fn words_are_read_as_go_reads_them() {
    let job = job("  honor_labels: yes
  honor_timestamps: off
  body_size_limit: 0
  metrics_path:
  params: {module: [1, true, 2.50]}
  basic_auth: {username: 007, password: 123}
  static_configs: [{targets: [localhost:9090], labels: {port: 8080, flag: true, none: , version: 1.10}}]
  relabel_configs:
  - {regex: 5, source_labels: [a], target_label: b, replacement: 80}
  - {regex: , source_labels: [a], target_label: b, replacement: ''}
");
    assert!(job.honor_labels && !job.honor_timestamps);
    assert_eq!(job.metrics_path, "/metrics");
    assert_eq!(job.params["module"], ["1", "true", "2.50"]);
    let Discovery::Static(groups) = &job.discovery[0] else { panic!() };
    let labels: Vec<(&str, &str)> =
        groups[0].labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("flag", "true"), ("none", ""), ("port", "8080"), ("version", "1.10")]);
    let secret = |text: &str| Some(TextSource::Inline(Secret::new(text)));
    assert_eq!(job.http.credentials, Some(Credentials::Basic { username: secret("007"), password: secret("123") }));
    assert_eq!(job.relabel_rules.len(), 2);
}
